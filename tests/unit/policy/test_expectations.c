/* SPDX-License-Identifier: Apache-2.0 */
/* The assertions file: what is understood, and where what is not goes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/id.h"
#include "policy/expectations.h"

#define ORG "org_0m6xwq3k2r4t8"
#define KEY "key_0m6xwq3k2r4t8"

static struct ks_expectations *parse(const char *text)
{
	struct ks_policy_problem problem = {0};
	struct ks_expectations *assertions = NULL;
	enum ks_err err = ks_expectations_parse(ks_str_c(text), &assertions, &problem);

	if (err != KS_OK)
		print_error("%u:%u: %s\n", problem.line, problem.column, problem.text);
	assert_int_equal(err, KS_OK);
	return assertions;
}

static void sentences_are_understood(void **state)
{
	struct ks_expectations *all = parse("version: 1\n"
					  "assertions:\n"
					  "  - never: live partner keys with scope a:b and role r without label team=ops of " ORG
					  " below " ORG " reach GET|HEAD contacts, /api/{x}/**, anything for " ORG "\n"
					  "    about: because\n"
					  "  - about: 'in another order'\n"
					  "    always: \"key " KEY " reaches POST /a\"\n"
					  "  - only: all keys reach books\n");
	const struct ks_expectation *a = &all->items[0];
	static const enum ks_condition_type types[] = {KS_CONDITION_ENVIRONMENT, KS_CONDITION_KIND, KS_CONDITION_SCOPE,
						       KS_CONDITION_ROLE, KS_CONDITION_LABEL, KS_CONDITION_OF,
						       KS_CONDITION_BELOW};
	uint64_t id;

	(void)state;
	assert_true(ks_id_parse(KS_STR(ORG), KS_ID_ORGANIZATION, &id));
	assert_int_equal(all->count, 3);
	assert_int_equal(a->verb, KS_EXPECTATION_NEVER);
	assert_true(ks_str_eq(a->about, KS_STR("because")));
	assert_true(ks_str_starts(a->sentence, KS_STR("live partner keys")));
	assert_int_equal(a->condition_count, KS_ARRAY_LEN(types));
	for (size_t i = 0; i < KS_ARRAY_LEN(types); i++) {
		assert_int_equal(a->conditions[i].type, types[i]);
		assert_int_equal(a->conditions[i].without, types[i] == KS_CONDITION_LABEL);
	}
	assert_int_equal(a->conditions[0].value, KS_ENVIRONMENT_LIVE);
	assert_int_equal(a->conditions[1].value, KS_KIND_PARTNER);
	assert_true(ks_str_eq(a->conditions[2].text, KS_STR("a:b")));
	assert_true(ks_str_eq(a->conditions[3].text, KS_STR("r")));
	assert_true(ks_str_eq(a->conditions[4].text, KS_STR("team")));
	assert_true(ks_str_eq(a->conditions[4].label_value, KS_STR("ops")));
	assert_true(a->conditions[5].id == id && a->conditions[6].id == id && a->for_tenant == id);
	assert_int_equal(a->target_count, 3);
	assert_int_equal(a->targets[0].method_count, 2);
	assert_true(ks_str_eq(a->targets[0].family, KS_STR("contacts")));
	assert_true(ks_str_eq(a->targets[1].route, KS_STR("/api/{x}/**")));
	assert_true(a->targets[2].family.n == 0 && a->targets[2].route.n == 0);
	assert_int_equal(all->items[1].verb, KS_EXPECTATION_ALWAYS);
	assert_int_equal(all->items[1].conditions[0].type, KS_CONDITION_KEY);
	assert_int_equal(all->items[2].verb, KS_EXPECTATION_ONLY);
	assert_int_equal(all->items[2].condition_count, 0);
	assert_int_equal(all->items[2].mark.line, 7);
	ks_expectations_free(&all);
	assert_null(all);
}

#define HEAD "version: 1\nassertions:\n"

static void mistakes_are_told_with_their_place(void **state)
{
	static const struct {
		const char *text;
		unsigned line, column;
		const char *part;
	} cases[] = {
		{"", 1, 1, ""},
		{"[]", 1, 1, "a map with version and assertions"},
		{"assertions:\n  - never: keys reach a\n", 1, 1, "version: 1"},
		{"version: 2\nassertions:\n  - never: keys reach a\n", 1, 10, "version"},
		{"version: 1\n", 1, 1, "no assertions"},
		{"version: 1\nassertions: []\n", 2, 13, "at least one"},
		{"version: 1\nassertions: x\n", 2, 13, "at least one"},
		{"version: 1\nmore: 1\nassertions:\n  - never: keys reach a\n", 2, 1, "'more' does not belong"},
		{HEAD "  - keys reach a\n", 3, 5, "an assertion is a map"},
		{HEAD "  - about: x\n", 3, 5, "an assertion is a map"},
		{HEAD "  - sometimes: keys reach a\n", 3, 5, "'sometimes' does not belong"},
		{HEAD "  - never: keys reach a\n    always: keys reach a\n", 4, 5, "'always' does not belong"},
		{HEAD "  - never: [a]\n", 3, 12, "must be text"},
		{HEAD "  - never: kys reach a\n", 3, 12, "'kys' is not a kind"},
		{HEAD "  - never: session keys reach a\n", 3, 12, "'session' is not a kind"},
		{HEAD "  - never: tenant partner\n", 3, 26, "ends where"},
		{HEAD "  - never: keys\n", 3, 16, "'reach'"},
		{HEAD "  - never: keys reach\n", 3, 22, "a family"},
		{HEAD "  - never: keys reach Contacts\n", 3, 31, "ends where"},
		{HEAD "  - never: keys reach G/T contacts\n", 3, 23, "not a method"},
		{HEAD "  - never: keys reach /a//b\n", 3, 23, "doubled slashes"},
		{HEAD "  - never: keys reach a,\n", 3, 25, "ends where"},
		{HEAD "  - never: keys reach a b\n", 3, 25, "'b' comes after the end"},
		{HEAD "  - never: keys reach a for b\n", 3, 29, "'b' is not the id of a tenant"},
		{HEAD "  - never: keys of b reach a\n", 3, 20, "'b' is not the id of a tenant"},
		{HEAD "  - never: key b reaches a\n", 3, 16, "'b' is not the id of a key"},
		{HEAD "  - never: keys with a reach b\n", 3, 22, "'scope', 'role' or 'label'"},
		{HEAD "  - never: keys with scope A reach b\n", 3, 28, "the name of a scope"},
		{HEAD "  - never: keys with label a reach b\n", 3, 28, "name=value"},
		{HEAD "  - never: keys and scope a reach b\n", 3, 17, "'reach'"},
		{HEAD "  - never: 'keys reach a b'\n", 3, 12, "'b' comes after the end"},
		{HEAD "  - &x never: keys reach a\n", 3, 5, "anchor"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_policy_problem problem = {0};
		struct ks_expectations *assertions = NULL;
		enum ks_err err = ks_expectations_parse(ks_str_c(cases[i].text), &assertions, &problem);

		if (err != KS_MALFORMED || problem.line != cases[i].line || problem.column != cases[i].column
		    || !strstr(problem.text, cases[i].part))
			print_error("%s\n%u:%u: %s\n", cases[i].text, problem.line, problem.column, problem.text);
		assert_int_equal(err, KS_MALFORMED);
		assert_null(assertions);
		assert_int_equal(problem.line, cases[i].line);
		assert_int_equal(problem.column, cases[i].column);
		assert_non_null(strstr(problem.text, cases[i].part));
	}
}

/* One more than the limit is refused, the limit is not. */
static void numbers_are_limited(void **state)
{
	static const struct {
		const char *before, *each, *after;
		size_t max;
	} cases[] = {
		{"  - never: keys reach a", ", a", "\n", KS_EXPECTATION_TARGETS_MAX - 1},
		{"  - never: ", "live ", "keys reach a\n", KS_EXPECTATION_CONDITIONS_MAX},
		{"  - never: keys reach A", "|A", " a\n", KS_EXPECTATION_METHODS_MAX - 1},
		{"", "  - never: keys reach a\n", "", KS_EXPECTATIONS_MAX},
	};
	static char text[64 << 10];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		for (size_t more = 0; more < 2; more++) {
			struct ks_buf b = KS_BUF(text);
			struct ks_policy_problem problem;
			struct ks_expectations *assertions = NULL;

			ks_buf_printf(&b, HEAD "%s", cases[i].before);
			for (size_t k = 0; k < cases[i].max + more; k++)
				ks_buf_put_c(&b, cases[i].each);
			ks_buf_put_c(&b, cases[i].after);
			assert_true(ks_buf_ok(&b));
			assert_int_equal(ks_expectations_parse(ks_buf_str(&b), &assertions, &problem),
					 more ? KS_MALFORMED : KS_OK);
			ks_expectations_free(&assertions);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sentences_are_understood),
		cmocka_unit_test(mistakes_are_told_with_their_place),
		cmocka_unit_test(numbers_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
