/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets of an assertion name. */
#include "world.h"

static const char policy_text[] =
	"version: 1\n"
	"scopes:\n"
	"  r: {about: x}\n"
	"  w: {about: x}\n"
	"families:\n"
	"  books:\n"
	"    routes: [/books, '/books/**']\n"
	"    kinds: [tenant]\n"
	"    scopes: {GET: r, HEAD: r, '*': w}\n"
	"  loans:\n"
	"    routes: ['/books/{id}/loans']\n"
	"    kinds: [tenant, partner]\n"
	"    scopes: {GET: r, POST: w}\n";

enum { BOOKS, LOANS };

struct goal_case {
	const char *targets;
	const char *entries;       /* "family/method" as positions, in their order */
	const char *problem;       /* else the end of its text */
};

static struct ks_policy *parse_policy(void)
{
	struct ks_policy_problem problem;
	struct ks_policy *policy = NULL;

	assert_int_equal(ks_policy_parse(KS_STR(policy_text), KS_STR(""), &policy, &problem), KS_OK);
	return policy;
}

static struct ks_expectations *parse_sentence(const char *targets)
{
	char text[512];
	struct ks_buf b = KS_BUF(text);
	struct ks_policy_problem problem = {0};
	struct ks_expectations *assertions = NULL;

	ks_buf_printf(&b, "version: 1\nassertions:\n  - never: keys reach %s\n", targets);
	enum ks_err err = ks_expectations_parse(ks_buf_str(&b), &assertions, &problem);
	if (err != KS_OK)
		print_error("%s: %s\n", targets, problem.text);
	assert_int_equal(err, KS_OK);
	return assertions;
}

static void targets_are_entries_of_the_policy(void **state)
{
	static const struct goal_case cases[] = {
		{"books", "0/0 0/1 0/2 ", NULL},
		{"GET books", "0/0 ", NULL},
		{"GET|HEAD books", "0/0 0/1 ", NULL},
		{"DELETE books", "0/2 ", NULL},
		{"DELETE|PATCH books", "0/2 ", NULL},
		{"loans", "1/0 1/1 ", NULL},
		{"anything", "0/0 0/1 0/2 1/0 1/1 ", NULL},
		{"POST anything", "0/2 1/1 ", NULL},
		{"GET /books", "0/0 ", NULL},
		{"/books/7", "0/0 0/1 0/2 ", NULL},
		{"GET /books/{x}/loans", "1/0 ", NULL},
		{"POST /books/7/loans", "1/1 ", NULL},
		{"PUT /books/7/loans", "0/2 ", NULL},
		{"GET /**", "0/0 1/0 ", NULL},
		{"GET books, POST loans", "0/0 1/1 ", NULL},
		{"GET books, GET /books/x", "0/0 ", NULL},
		{"films", NULL, "the policy has no family films"},
		{"DELETE loans", NULL, "this family does not take the method DELETE"},
		{"/films", NULL, "no family takes this: /films"},
	};
	static struct ks_scope_table scopes;
	struct ks_policy *policy = parse_policy();

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_expectations *assertions = parse_sentence(cases[i].targets);
		struct ks_policy_problem problem = {0};
		struct ks_goal goal;
		enum ks_err err = ks_goal_take(policy, &assertions->items[0], &scopes, &goal, &problem);
		char found[256];
		struct ks_buf b = KS_BUF(found);

		if (cases[i].problem) {
			assert_int_equal(err, KS_MALFORMED);
			assert_string_equal(problem.text, cases[i].problem);
			assert_int_equal(problem.line, 3);
			assert_true(problem.column > 20);
			ks_expectations_free(&assertions);
			continue;
		}
		if (err != KS_OK)
			print_error("%s: %s\n", cases[i].targets, problem.text);
		assert_int_equal(err, KS_OK);
		/* In the order of the catalogue. */
		for (unsigned f = 0; f < 2; f++)
			for (unsigned m = 0; m < 3; m++)
				for (size_t e = 0; e < goal.count; e++)
					if (goal.entries[e].family == f && goal.entries[e].method == m)
						ks_buf_printf(&b, "%u/%u ", f, m);
		assert_string_equal(ks_buf_z(&b), cases[i].entries);
		ks_goal_free(&goal);
		ks_expectations_free(&assertions);
	}
	ks_policy_free(&policy);
}

static void any_and_all_are_told_apart(void **state)
{
	static struct ks_scope_table scopes;
	struct ks_policy *policy = parse_policy();
	struct ks_expectations *assertions = parse_sentence("books");
	struct ks_policy_problem problem;
	struct ks_class class = {.kind = KS_KIND_TENANT, .binding = KS_BINDING_ORGANIZATION};
	struct ks_goal goal;
	uint16_t number;

	(void)state;
	assert_int_equal(ks_scope_add(&scopes, KS_STR("r"), &number), KS_OK);
	ks_scopes_set(&class.scopes, number);
	assert_int_equal(ks_scope_add(&scopes, KS_STR("w"), &number), KS_OK);
	assert_int_equal(ks_goal_take(policy, &assertions->items[0], &scopes, &goal, &problem), KS_OK);
	struct ks_goal_reach reach = ks_goal_reach(&class, &goal);
	assert_int_equal(reach.any.reason, KS_REASON_OK);
	assert_int_equal(reach.all.reason, KS_REASON_SCOPE_MISSING);
	ks_scopes_set(&class.scopes, number);
	reach = ks_goal_reach(&class, &goal);
	assert_int_equal(reach.all.reason, KS_REASON_OK);
	assert_true(reach.all.own && reach.all.others);
	class.kind = KS_KIND_PARTNER;
	reach = ks_goal_reach(&class, &goal);
	assert_int_not_equal(reach.any.reason, KS_REASON_OK);
	ks_goal_free(&goal);
	ks_expectations_free(&assertions);
	ks_policy_free(&policy);
}

static void without_a_policy_there_is_nothing_to_reach(void **state)
{
	static struct ks_scope_table scopes;
	struct ks_expectations *assertions = parse_sentence("anything");
	struct ks_policy_problem problem;
	struct ks_goal goal;

	(void)state;
	assert_int_equal(ks_goal_take(NULL, &assertions->items[0], &scopes, &goal, &problem), KS_OK);
	assert_int_equal(goal.count, 0);
	ks_goal_free(&goal);
	ks_expectations_free(&assertions);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(targets_are_entries_of_the_policy),
		cmocka_unit_test(any_and_all_are_told_apart),
		cmocka_unit_test(without_a_policy_there_is_nothing_to_reach),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
