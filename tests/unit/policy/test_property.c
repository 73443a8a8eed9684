/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled matcher agrees with one that tries every route of every family, over policies, paths and methods made at
 * random. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../seed.h"
#include "policy/policy.h"

#define POLICIES 900
#define QUESTIONS 300 /* of each policy */
#define FAMILIES_MAX 160
#define ROUTES_MAX 6
#define PARTS_MAX 7
#define TEXT_MAX ((size_t)512 << 10)

static const char *const literals[] = {"a",
				       "b",
				       "c",
				       "ab",
				       "abc",
				       "abcd",
				       "abcde",
				       "v1",
				       "abcdefg",
				       "abcdefgh",
				       "abcdefgi",
				       "bbcdefgh",
				       "me",
				       "caf\xc3\xa9",
				       "sixteen-bytes-aa",
				       "sixteen-bytes-ab",
				       "seventeen-bytes-a",
				       "seventeen-bytez-a",
				       "much-longer-than-sixteen-bytes-1-tail-is-same",
				       "much-longer-than-sixteen-bytes-2-tail-is-same"};
static const char *const methods[] = {
	"*", "GET", "HEAD", "POST", "PUT", "get", "PROPPATCH", "VERSION-CONTROL", "UPDATEREDIRECTREF"};
/* Asked for besides those: of no policy, or no method at all. */
static const char *const strange[] = {
	"DELETE", "GE", "GETS", "G T", "", "UPDATEREDIRECTREG", "MMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMMM"};

/* A route's parts are texts; "{}" stands for a parameter. */
struct route {
	size_t count;
	const char *parts[PARTS_MAX];
};

struct family {
	unsigned line;
	unsigned methods; /* bits of the array above */
	size_t route_count;
	struct route routes[ROUTES_MAX];
};

struct made {
	size_t family_count;
	struct family families[FAMILIES_MAX];
	char *text;
	size_t text_n;
};

static uint64_t seed;
static char numbered[FAMILIES_MAX][8];

static uint64_t random_u64(void)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = (seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static size_t below(size_t n)
{
	return (size_t)(random_u64() % n);
}

static bool chance(size_t percent)
{
	return below(100) < percent;
}

static const char *any_literal(bool wide)
{
	if (wide && chance(60))
		return numbered[below(FAMILIES_MAX)];
	return literals[below(chance(70) ? 6 : KS_ARRAY_LEN(literals))];
}

static void make_route(struct route *route, bool wide)
{
	size_t n = chance(4) ? 0 : 1 + below(4);

	*route = (struct route){0};
	for (size_t i = 0; i < n; i++)
		route->parts[route->count++] = chance(30) ? "{}" : any_literal(wide);
	if (chance(n ? 25 : 10))
		route->parts[route->count++] = "**";
	else if (n == 0 || chance(12))
		route->parts[route->count++] = "";
}

static bool same_route(const struct route *a, const struct route *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (strcmp(a->parts[i], b->parts[i]) != 0)
			return false;
	return true;
}

/* True if the route would be an error of the policy in `family`, which claims `entries`. */
static bool is_taken(const struct made *made, size_t family, const struct route *route, unsigned entries)
{
	for (size_t f = 0; f <= family; f++)
		for (size_t r = 0; r < made->families[f].route_count; r++)
			if (same_route(&made->families[f].routes[r], route) &&
			    (f == family || (made->families[f].methods & entries)))
				return true;
	return false;
}

static void put(struct made *made, const char *text)
{
	size_t n = strlen(text);

	assert_true(made->text_n + n < TEXT_MAX);
	memcpy(&made->text[made->text_n], text, n);
	made->text_n += n;
}

static void put_family(struct made *made, size_t f)
{
	const struct family *family = &made->families[f];
	char text[64];

	snprintf(text, sizeof(text), "  f%zu:\n    kinds: [tenant]\n    routes: [", f);
	put(made, text);
	for (size_t r = 0; r < family->route_count; r++) {
		put(made, r ? ", \"" : "\"");
		for (size_t i = 0; i < family->routes[r].count; i++) {
			put(made, "/");
			snprintf(text, sizeof(text), "{p%zu}", below(9));
			put(made, strcmp(family->routes[r].parts[i], "{}") == 0 ? text : family->routes[r].parts[i]);
		}
		put(made, "\"");
	}
	put(made, "]\n    scopes: {");
	for (size_t m = 0, any = 0; m < KS_ARRAY_LEN(methods); m++) {
		if (!(family->methods >> m & 1))
			continue;
		snprintf(text, sizeof(text), "%s\"%s\": s%zu", any++ ? ", " : "", methods[m], m);
		put(made, text);
	}
	put(made, "}\n");
}

static void make_policy(struct made *made)
{
	bool wide = chance(2);
	size_t families = wide ? FAMILIES_MAX : 1 + below(16);
	unsigned line = 4;

	made->family_count = 0;
	made->text_n = 0;
	put(made, "version: 1\nscopes: {s0: {}, s1: {}, s2: {}, s3: {}, s4: {}, s5: {}, s6: {}, s7: {}, s8: "
		  "{}}\nfamilies:\n");
	while (families-- > 0) {
		struct family *family = &made->families[made->family_count];

		*family = (struct family){.line = line, .methods = (unsigned)below(1u << KS_ARRAY_LEN(methods))};
		family->methods &= chance(60) ? 0x0eu : chance(50) ? 0x0fu : UINT_MAX;
		for (size_t tries = 1 + below(ROUTES_MAX); tries > 0 && family->methods; tries--) {
			struct route *route = &family->routes[family->route_count];

			make_route(route, wide);
			if (!is_taken(made, made->family_count, route, family->methods))
				family->route_count++;
		}
		if (family->route_count == 0)
			continue;
		put_family(made, made->family_count++);
		line += 4;
	}
}

static bool matches(const struct route *route, const struct ks_path *path)
{
	for (size_t i = 0; i < route->count; i++) {
		if (strcmp(route->parts[i], "**") == 0)
			return true;
		if (i == path->count)
			return false;
		if (strcmp(route->parts[i], "{}") == 0 ? path->segments[i].n == 0
						       : !ks_str_eq(ks_str_c(route->parts[i]), path->segments[i]))
			return false;
	}
	return route->count == path->count;
}

static int rank(const char *part)
{
	return strcmp(part, "**") == 0 ? 2 : strcmp(part, "{}") == 0 ? 1 : 0;
}

/* Below 0 if `a` is the more specific of two routes that match one path; 0 for the same route. */
static int by_specificity(const struct route *a, const struct route *b)
{
	for (size_t i = 0; i < a->count && i < b->count; i++)
		if (rank(a->parts[i]) != rank(b->parts[i]))
			return rank(a->parts[i]) - rank(b->parts[i]);
	return (a->count > b->count) - (a->count < b->count);
}

struct answer {
	size_t family;
	size_t method;
	const struct route *route;
};

static bool is_better(struct answer new, const struct answer *old)
{
	int order = old->route ? by_specificity(new.route, old->route) : -1;

	/* The same route: the own entry is before "*". */
	return order < 0 || (order == 0 && new.method != 0 && old->method == 0);
}

static struct answer naive(const struct made *made, const struct ks_path *path, const char *method)
{
	struct answer best = {0};
	size_t number = 0;

	if (!ks_method_ok(ks_str_c(method)))
		return best;
	for (size_t m = 1; m < KS_ARRAY_LEN(methods); m++)
		if (strcmp(methods[m], method) == 0)
			number = m;
	for (size_t f = 0; f < made->family_count; f++) {
		const struct family *family = &made->families[f];
		bool own = number && (family->methods >> number & 1);

		if (!own && !(family->methods & 1))
			continue;
		for (size_t r = 0; r < family->route_count; r++) {
			struct answer found = {f, own ? number : 0, &family->routes[r]};

			if (matches(found.route, path) && is_better(found, &best))
				best = found;
		}
	}
	return best;
}

/* A path that some route matches, or nearly. */
static void make_path(const struct made *made, struct ks_path *path)
{
	const struct family *family = &made->families[below(made->family_count)];
	const struct route *route = &family->routes[below(family->route_count)];
	char text[1024] = "";
	size_t at = 0;

	for (size_t i = 0; i < route->count; i++) {
		const char *part = route->parts[i];

		if (strcmp(part, "**") == 0)
			break;
		if (strcmp(part, "{}") == 0 || (part[0] && chance(8)))
			part = any_literal(chance(10));
		at += (size_t)snprintf(&text[at], sizeof(text) - at, "/%s", part);
		if (part[0] == '\0')
			break;
	}
	for (size_t more = chance(35) ? below(4) : 0; more > 0 && (at == 0 || text[at - 1] != '/'); more--)
		at += (size_t)snprintf(&text[at], sizeof(text) - at, "/%s", any_literal(false));
	if (at == 0 || (chance(10) && text[at - 1] != '/'))
		snprintf(&text[at], sizeof(text) - at, "/");
	assert_int_equal(ks_path_read(ks_str_c(text), path), KS_PATH_OK);
}

static const char *any_method(void)
{
	return chance(80) ? methods[below(KS_ARRAY_LEN(methods))] : strange[below(KS_ARRAY_LEN(strange))];
}

/* Returns how many of the questions had an answer. */
static size_t ask(const struct made *made, const struct ks_policy *policy, const struct ks_scope_table *scopes,
		  const struct ks_policy_table *table)
{
	static struct ks_path path;
	size_t answered = 0;

	for (size_t i = 0; i < QUESTIONS; i++) {
		make_path(made, &path);
		const char *method = any_method();
		struct answer want = naive(made, &path, method);
		const struct ks_rule *rule = ks_policy_match(table, &path, ks_str_c(method));

		assert_int_equal(rule != NULL, want.route != NULL);
		if (!rule)
			continue;
		answered++;
		char scope[8];
		snprintf(scope, sizeof(scope), "s%zu", want.method);
		assert_int_equal(rule->family, want.family);
		assert_int_equal(rule->scope_count, 1);
		assert_true(ks_str_eq(ks_scope_name(scopes, rule->scopes[0]), ks_str_c(scope)));
		assert_true(ks_str_eq(ks_rule_family(table, rule), ks_str_c(policy->families[want.family].name)));
	}
	return answered;
}

/* A family that is said to be out of reach must not be the answer to anything. */
static void check_unreachable(const struct made *made, unsigned line)
{
	static struct ks_path path;

	for (size_t i = 0; i < QUESTIONS; i++) {
		make_path(made, &path);
		struct answer got = naive(made, &path, any_method());

		assert_true(!got.route || made->families[got.family].line != line);
	}
}

static void compiled_and_naive_agree(void **state)
{
	static struct made made;
	size_t asked = 0, answered = 0, unreachable = 0;

	(void)state;
	made.text = malloc(TEXT_MAX);
	assert_non_null(made.text);
	for (size_t i = 0; i < FAMILIES_MAX; i++)
		snprintf(numbered[i], sizeof(numbered[i]), "n%zu", i);
	for (size_t i = 0; i < POLICIES; i++) {
		static struct ks_scope_table scopes;
		uint64_t key[2] = {random_u64(), random_u64()};
		struct ks_policy_problem problem = {0};
		struct ks_policy_table *table;
		struct ks_policy *policy;

		memset(&scopes, 0, sizeof(scopes));
		make_policy(&made);
		if (made.family_count == 0)
			continue;
		enum ks_err err = ks_policy_parse(ks_str_of(made.text, made.text_n), KS_STR("keystile:"), &policy,
						  &problem);
		if (err == KS_MALFORMED && strstr(problem.text, "nothing can ever reach")) {
			check_unreachable(&made, problem.line);
			unreachable++;
			continue;
		}
		if (err != KS_OK)
			fail_msg("%u:%u: %s\n%.*s", problem.line, problem.column, problem.text, (int)made.text_n,
				 made.text);
		assert_int_equal(ks_policy_compile(policy, &scopes, key, &table), KS_OK);
		assert_true(ks_policy_table_ok(table, table->size));
		answered += ask(&made, policy, &scopes, table);
		asked += QUESTIONS;
		free(table);
		ks_policy_free(&policy);
	}
	free(made.text);
	printf("%zu questions, %zu with an answer; %zu policies with an unreachable family\n", asked, answered,
	       unreachable);
	assert_true(asked >= 200000);
	/* Neither all nor nothing is answered, or the questions would tell little. */
	assert_in_range(answered, asked / 4, asked * 3 / 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(compiled_and_naive_agree),
	};

	seed = test_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
