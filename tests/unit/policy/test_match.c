/* SPDX-License-Identifier: Apache-2.0 */
/* Which rule decides: docs/internals/decision.md, step 4, case by case; and what the rule carries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

static const uint64_t key[2] = {1, 2};

static struct ks_policy *parse(const char *yaml)
{
	struct ks_policy_problem problem = {0};
	struct ks_policy *policy = NULL;

	if (ks_policy_parse(ks_str_c(yaml), KS_STR("keystile:"), &policy, &problem) != KS_OK)
		fail_msg("%u:%u: %s", problem.line, problem.column, problem.text);
	return policy;
}

static struct ks_policy_table *compile(const char *yaml, struct ks_scope_table *scopes)
{
	struct ks_policy *policy = parse(yaml);
	struct ks_policy_table *table = NULL;

	assert_int_equal(ks_policy_compile(policy, scopes, key, &table), KS_OK);
	assert_true(ks_policy_table_ok(table, table->size));
	ks_policy_free(&policy);
	return table;
}

static const struct ks_rule *match(const struct ks_policy_table *table, const char *method, const char *path)
{
	static struct ks_path read;

	assert_int_equal(ks_path_read(ks_str_c(path), &read), KS_PATH_OK);
	return ks_policy_match(table, &read, ks_str_c(method));
}

/* family scope for `method path`, or "-". */
struct question {
	const char *method;
	const char *path;
	const char *want;
};

static void ask(const char *yaml, const struct question *questions, size_t count)
{
	static struct ks_scope_table scopes;
	unsigned wrong = 0;

	memset(&scopes, 0, sizeof(scopes));
	struct ks_policy_table *table = compile(yaml, &scopes);
	for (size_t i = 0; i < count; i++) {
		const struct ks_rule *rule = match(table, questions[i].method, questions[i].path);
		char got[160] = "-";

		if (rule) {
			struct ks_str family = ks_rule_family(table, rule),
				      scope = ks_scope_name(&scopes, rule->scopes[0]);

			snprintf(got, sizeof(got), "%.*s %.*s", KS_STR_ARG(family), KS_STR_ARG(scope));
		}
		if (strcmp(got, questions[i].want) != 0) {
			print_error("%s %s: %s, not %s\n", questions[i].method, questions[i].path, got,
				    questions[i].want);
			wrong++;
		}
	}
	free(table);
	assert_int_equal(wrong, 0);
}

#define SCOPES "version: 1\nscopes: {r: {}, w: {}, x: {}}\nfamilies:\n"

static void nothing_is_allowed_by_default(void **state)
{
	static const struct question none[] = {
		{"GET", "/", "-"},
		{"GET", "/a", "-"},
		{"*", "/a", "-"},
		{"", "/a", "-"},
	};
	static const struct question one[] = {
		{"GET", "/", "-"},      {"GET", "/b", "-"},        {"GET", "/a/", "-"},  {"GET", "/a/b", "-"},
		{"GET", "/A", "-"},     {"GET", "/aa", "-"},       {"get", "/a", "-"},   {"HEAD", "/a", "-"},
		{"*", "/a", "-"},       {"", "/a", "-"},           {"GET ", "/a", "-"},  {"GE", "/a", "-"},
		{"GETT", "/a", "-"},    {"G\xc3\x89T", "/a", "-"}, {"GET", "/a", "f r"}, {"GET", "/a?x=/b", "f r"},
		{"GET", "/%61", "f r"},
	};

	(void)state;
	ask("version: 1\n", none, KS_ARRAY_LEN(none));
	ask(SCOPES "  f: {routes: [/a], kinds: [tenant], scopes: {GET: r}}\n", one, KS_ARRAY_LEN(one));
}

static void methods_compare_exactly_and_star_takes_the_others(void **state)
{
	static const struct question questions[] = {
		{"GET", "/a", "f r"},
		{"HEAD", "/a", "f w"},
		{"get", "/a", "f w"},
		{"*", "/a", "f w"},
		{"PROPFIND", "/a", "f w"},
		{"M-SEARCH", "/a", "f x"},
		{"VERSION-CONTROL-AND-MORE", "/a", "f x"},
		{"VERSION-CONTROL-END-MORE", "/a", "f w"},
		{"G!#$%&'*+-.^_`|~T", "/a", "f w"},
		{"MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", "/a", "f w"},
		/* Not methods at all: no family takes them. */
		{"MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM", "/a", "-"},
		{"", "/a", "-"},
		{"GET,POST", "/a", "-"},
		{"GET\t", "/a", "-"},
	};

	(void)state;
	ask(SCOPES "  f: {routes: [/a], kinds: [tenant], scopes: {GET: r, M-SEARCH: x, VERSION-CONTROL-AND-MORE: x, "
		   "\"*\": w}}\n",
	    questions, KS_ARRAY_LEN(questions));
}

static void the_most_specific_route_wins(void **state)
{
	static const struct question questions[] = {
		{"GET", "/a/b/c", "literal r"}, {"GET", "/a/b/d", "last r"},   {"GET", "/a/x/c", "middle r"},
		{"GET", "/a/x/d", "both r"},    {"GET", "/a/b/d/e", "rest r"}, {"GET", "/a", "rest r"},
		{"GET", "/a/", "rest r"},       {"GET", "/a/b", "rest r"},     {"GET", "/a/b/", "rest r"},
		{"GET", "/a/b/c/", "rest r"},   {"GET", "/", "all r"},         {"GET", "/b/b/c", "all r"},
	};

	(void)state;
	ask(SCOPES "  all: {routes: [\"/**\"], kinds: [tenant], scopes: {GET: r}}\n"
		   "  rest: {routes: [\"/a/**\"], kinds: [tenant], scopes: {GET: r}}\n"
		   "  both: {routes: [\"/a/{x}/{y}\"], kinds: [tenant], scopes: {GET: r}}\n"
		   "  middle: {routes: [\"/a/{x}/c\"], kinds: [tenant], scopes: {GET: r}}\n"
		   "  last: {routes: [\"/a/b/{y}\"], kinds: [tenant], scopes: {GET: r}}\n"
		   "  literal: {routes: [/a/b/c], kinds: [tenant], scopes: {GET: r}}\n",
	    questions, KS_ARRAY_LEN(questions));
}

/* From the left: two routes that match one path are told apart by the first segment that is of another sort. */
static void the_left_counts_more(void **state)
{
	static const struct question questions[] = {
		{"GET", "/a/b/c", "deep r"}, {"GET", "/z/b/c", "exact r"}, {"GET", "/a/b", "deep r"},
		{"GET", "/a/", "-"},         {"GET", "/z/b", "-"},
	};

	(void)state;
	ask(SCOPES "  deep: {routes: [\"/a/{x}/**\"], kinds: [tenant], scopes: {GET: r}}\n"
		   "  exact: {routes: [\"/{x}/b/c\"], kinds: [tenant], scopes: {GET: r}}\n",
	    questions, KS_ARRAY_LEN(questions));
}

/* The pair of route and method decides, so a more specific route without the method hides nothing. */
static void pairs_decide_not_routes(void **state)
{
	static const struct question questions[] = {
		{"GET", "/a/b", "near r"},   {"POST", "/a/b", "far w"},  {"PUT", "/a/b", "middle w"},
		{"DELETE", "/a/b", "far w"}, {"GET", "/a/c", "far w"},   {"PUT", "/a/c", "middle w"},
		{"GET", "/a/b/c", "far w"},  {"PUT", "/a/b/c", "far w"},
	};

	(void)state;
	ask(SCOPES "  near: {routes: [/a/b], kinds: [tenant], scopes: {GET: r}}\n"
		   "  middle: {routes: [\"/a/{x}\"], kinds: [tenant], scopes: {PUT: w}}\n"
		   "  far: {routes: [\"/**\"], kinds: [tenant], scopes: {\"*\": w}}\n",
	    questions, KS_ARRAY_LEN(questions));
}

/* Of two families with the same route, the one that names the method is before the one with "*"; a more specific route
 * with "*" is before a less specific one that names the method. */
static void own_entries_win_on_the_same_route_only(void **state)
{
	static const struct question questions[] = {
		{"GET", "/a/1", "named r"},    {"POST", "/a/1", "other w"},  {"GET", "/a/b", "special x"},
		{"POST", "/a/b", "special x"}, {"PATCH", "/a/1", "other w"},
	};

	(void)state;
	ask(SCOPES "  other: {routes: [\"/a/{x}\"], kinds: [tenant], scopes: {\"*\": w}}\n"
		   "  named: {routes: [\"/a/{y}\"], kinds: [session], scopes: {GET: r}}\n"
		   "  special: {routes: [/a/b], kinds: [tenant], scopes: {\"*\": x}}\n",
	    questions, KS_ARRAY_LEN(questions));
}

static void the_empty_last_segment(void **state)
{
	static const struct question questions[] = {
		{"GET", "/", "root r"},  {"GET", "/a", "one r"},   {"GET", "/a/", "slash r"},
		{"GET", "/a/b", "-"},    {"GET", "/b/", "-"},      {"GET", "/b/c", "two r"},
		{"GET", "/c", "rest r"}, {"GET", "/c/", "rest r"}, {"GET", "/c/d/", "rest r"},
	};

	(void)state;
	ask(SCOPES "  root: {routes: [/], kinds: [tenant], scopes: {GET: r}}\n"
		   "  one: {routes: [/a], kinds: [tenant], scopes: {GET: r}}\n"
		   "  slash: {routes: [/a/], kinds: [tenant], scopes: {GET: r}}\n"
		   "  two: {routes: [\"/b/{x}\"], kinds: [tenant], scopes: {GET: r}}\n"
		   "  rest: {routes: [\"/c/**\"], kinds: [tenant], scopes: {GET: r}}\n",
	    questions, KS_ARRAY_LEN(questions));
}

/* Literals are compared whole, decoded, whatever their length. */
static void literals_of_every_length(void **state)
{
	static struct ks_scope_table scopes;
	static char yaml[64 << 10];
	size_t at = 0;

	(void)state;
	memset(&scopes, 0, sizeof(scopes));
	at += (size_t)snprintf(&yaml[at], sizeof(yaml) - at, "%s", SCOPES);
	for (int n = 1; n <= 100; n++)
		at += (size_t)snprintf(&yaml[at], sizeof(yaml) - at,
				       "  f%d: {routes: [/x%0*d/y, /y%0*d], kinds: [tenant], scopes: {GET: r}}\n", n, n,
				       1, n, 1);
	at += (size_t)snprintf(&yaml[at], sizeof(yaml) - at,
			       "  blank: {routes: [\"/my file/caf\xc3\xa9\"], kinds: [tenant], scopes: {GET: r}}\n");
	struct ks_policy_table *table = compile(yaml, &scopes);
	for (int n = 1; n <= 100; n++) {
		char path[160], name[16];

		snprintf(name, sizeof(name), "f%d", n);
		snprintf(path, sizeof(path), "/y%0*d", n, 1);
		assert_true(ks_str_eq(ks_rule_family(table, match(table, "GET", path)), ks_str_c(name)));
		snprintf(path, sizeof(path), "/x%0*d/y", n, 1);
		assert_true(ks_str_eq(ks_rule_family(table, match(table, "GET", path)), ks_str_c(name)));
		/* One byte other, at each place. */
		for (size_t i = 1; i + 2 < strlen(path); i++) {
			char was = path[i];

			path[i] = '~';
			assert_null(match(table, "GET", path));
			path[i] = was;
		}
	}
	assert_non_null(match(table, "GET", "/my%20file/caf%C3%A9"));
	assert_null(match(table, "GET", "/my+file/caf%C3%A9"));
	free(table);
}

static void sixty_four_segments(void **state)
{
	static struct ks_scope_table scopes;
	char deep[512] = "", deeper[512] = "", yaml[2048];

	(void)state;
	memset(&scopes, 0, sizeof(scopes));
	for (size_t i = 0; i < KS_PATH_SEGMENTS_MAX; i++)
		strncat(deep, "/a", 3);
	strncat(deeper, deep, sizeof(deeper) - 1);
	deeper[strlen(deeper) - 1] = 'b';
	snprintf(yaml, sizeof(yaml), SCOPES "  f: {routes: [\"%s\", \"%s/**\"], kinds: [tenant], scopes: {GET: r}}\n",
		 deep, deeper);
	struct ks_policy_table *table = compile(yaml, &scopes);
	assert_non_null(match(table, "GET", deep));
	assert_non_null(match(table, "GET", deeper));
	assert_null(match(table, "GET", &deep[2]));
	free(table);
}

static void a_rule_carries_what_its_family_says(void **state)
{
	static struct ks_scope_table scopes;
	uint16_t number;

	(void)state;
	memset(&scopes, 0, sizeof(scopes));
	assert_int_equal(ks_scope_add(&scopes, KS_STR("older"), &number), KS_OK);
	assert_int_equal(ks_scope_add(&scopes, KS_STR("x"), &number), KS_OK);
	struct ks_policy_table *table = compile(
		"version: 1\nscopes: {r: {}, w: {}, x: {}}\nfamilies:\n"
		"  first: {routes: [/b], kinds: [session], scopes: {GET: r, PUT: r}}\n"
		"  second:\n    routes: [/a]\n    kinds: [tenant, runtime]\n    environments: [sandbox]\n"
		"    tenant_header: refused\n    inherited: true\n    scopes: {GET: r, \"*\": [w, x, r]}\n",
		&scopes);
	const struct ks_rule *rule = match(table, "POST", "/a");

	/* Numbers that the table had stay; the others are added. */
	assert_int_equal(scopes.count, 4);
	assert_non_null(rule);
	assert_ptr_equal(rule, ks_policy_rule(table, 3));
	assert_int_equal(table->rule_count, 4);
	assert_null(ks_policy_rule(table, 4));
	assert_int_equal(rule->family, 1);
	assert_int_equal(rule->kinds, KS_KIND_BIT(KS_KIND_TENANT) | KS_KIND_BIT(KS_KIND_RUNTIME));
	assert_int_equal(rule->environments, KS_ENVIRONMENT_BIT(KS_ENVIRONMENT_SANDBOX));
	assert_int_equal(rule->tenant_header, KS_TENANT_HEADER_REFUSED);
	assert_int_equal(rule->inherited, 1);
	assert_int_equal(rule->scope_count, 3);
	assert_true(ks_str_eq(ks_scope_name(&scopes, rule->scopes[0]), KS_STR("w")));
	assert_int_equal(rule->scopes[1], 1);
	assert_true(ks_str_eq(ks_scope_name(&scopes, rule->scopes[2]), KS_STR("r")));
	assert_int_equal(rule->usage_class, rule->scopes[0]);
	assert_int_equal(match(table, "PUT", "/b")->tenant_header, KS_TENANT_HEADER_OPTIONAL);
	free(table);
}

/* Where the scope table has no room for all, it is left as it is. */
static void a_full_scope_table_is_left_alone(void **state)
{
	static struct ks_scope_table scopes;
	struct ks_policy *policy = parse("version: 1\nscopes: {n1: {}, n2: {}, s0: {}}\n");
	struct ks_policy_table *table = NULL;
	uint16_t number;

	(void)state;
	memset(&scopes, 0, sizeof(scopes));
	for (unsigned i = 0; i < KS_SCOPES_MAX - 1; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%u", i);
		assert_int_equal(ks_scope_add(&scopes, ks_str_c(name), &number), KS_OK);
	}
	assert_int_equal(ks_policy_compile(policy, &scopes, key, &table), KS_FULL);
	assert_null(table);
	assert_int_equal(scopes.count, KS_SCOPES_MAX - 1);
	ks_policy_free(&policy);
	policy = parse("version: 1\nscopes: {n1: {}, s1: {}, s0: {}}\n");
	assert_int_equal(ks_policy_compile(policy, &scopes, key, &table), KS_OK);
	assert_int_equal(scopes.count, KS_SCOPES_MAX);
	free(table);
	ks_policy_free(&policy);
}

/* A node with very many edges: every edge is found, under keys of every sort. */
static void thousands_of_edges(void **state)
{
	static const uint64_t keys[][2] = {{0, 0}, {1, 2}, {UINT64_MAX, UINT64_MAX}, {UINT64_C(0x9e3779b97f4a7c15), 0}};
	static struct ks_scope_table scopes;
	char *yaml = malloc(1 << 20);
	size_t at = 0, cap = 1 << 20;

	(void)state;
	assert_non_null(yaml);
	memset(&scopes, 0, sizeof(scopes));
	at += (size_t)snprintf(&yaml[at], cap - at, "%s", SCOPES);
	for (unsigned i = 0; i < 4000; i++)
		at += (size_t)snprintf(&yaml[at], cap - at,
				       "  f%u: {routes: [\"/r%u\", \"/a-common-beginning-%u-and-end\"], kinds: "
				       "[tenant], scopes: {GET: r}}\n",
				       i, i, i);
	struct ks_policy *policy = parse(yaml);
	free(yaml);
	for (size_t k = 0; k < KS_ARRAY_LEN(keys); k++) {
		struct ks_policy_table *table = NULL;

		assert_int_equal(ks_policy_compile(policy, &scopes, keys[k], &table), KS_OK);
		assert_true(ks_policy_table_ok(table, table->size));
		for (unsigned i = 0; i < 4000; i++) {
			char path[64];

			snprintf(path, sizeof(path), "/r%u", i);
			assert_int_equal(match(table, "GET", path)->family, i);
			snprintf(path, sizeof(path), "/a-common-beginning-%u-and-end", i);
			assert_int_equal(match(table, "GET", path)->family, i);
		}
		assert_null(match(table, "GET", "/r4000"));
		assert_null(match(table, "GET", "/a-common-beginning-4000-and-end"));
		free(table);
	}
	ks_policy_free(&policy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_allowed_by_default),
		cmocka_unit_test(methods_compare_exactly_and_star_takes_the_others),
		cmocka_unit_test(the_most_specific_route_wins),
		cmocka_unit_test(the_left_counts_more),
		cmocka_unit_test(pairs_decide_not_routes),
		cmocka_unit_test(own_entries_win_on_the_same_route_only),
		cmocka_unit_test(the_empty_last_segment),
		cmocka_unit_test(literals_of_every_length),
		cmocka_unit_test(sixty_four_segments),
		cmocka_unit_test(a_rule_carries_what_its_family_says),
		cmocka_unit_test(a_full_scope_table_is_left_alone),
		cmocka_unit_test(thousands_of_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
