/* SPDX-License-Identifier: Apache-2.0 */
/* Policy files: text to catalogue to table to rules. A file that is taken compiles, its table is whole, and every route
 * of every family is matched for each method that the family names. */
#include <stdio.h>
#include <stdlib.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

/* Writes a path that the route matches: "zz" for every parameter, nothing for "**", and what the reader of paths would
 * take as something else escaped. */
static struct ks_str path_of(const char *route, char *text, size_t cap)
{
	struct ks_str rest = ks_str_c(&route[1]), segment;
	struct ks_buf path = ks_buf_of(text, cap);

	for (bool more = true; more;) {
		more = ks_str_split(rest, '/', &segment, &rest);
		if (!more)
			segment = rest;
		if (!more && ks_str_eq(segment, KS_STR("**")) && path.n > 0)
			break;
		ks_buf_put_byte(&path, '/');
		if (segment.n > 0 && segment.p[0] == '{')
			segment = KS_STR("zz");
		for (size_t i = 0; i < segment.n; i++) {
			if (segment.p[i] == ' ')
				ks_buf_put_c(&path, "%20");
			else
				ks_buf_put_byte(&path, segment.p[i]);
		}
	}
	CHECK(ks_buf_ok(&path));
	return ks_buf_str(&path);
}

static void check_family(const struct ks_policy_family *family, const struct ks_policy_table *table)
{
	static char text[KS_PATH_MAX * 4];
	static struct ks_path path;

	CHECK(family->route_count > 0 && family->method_count > 0 && family->kinds != 0 && family->environments != 0);
	for (size_t r = 0; r < family->route_count; r++) {
		/* Only a parameter may make a path of the shortest length that the route promised too long. */
		if (ks_path_read(path_of(family->routes[r], text, sizeof(text)), &path) != KS_PATH_OK) {
			CHECK(strlen(family->routes[r]) > KS_PATH_MAX / 2 ||
			      ks_str_find(ks_str_c(family->routes[r]), '{') != SIZE_MAX);
			continue;
		}
		for (size_t m = 0; m < family->method_count; m++)
			CHECK(ks_policy_match(table, &path, ks_str_c(family->methods[m].name)));
	}
}

static void check_policy(const struct ks_policy *policy)
{
	static struct ks_scope_table scopes;
	static const uint64_t key[2] = {1, 2};
	struct ks_policy_table *table;

	memset(&scopes, 0, sizeof(scopes));
	CHECK(ks_policy_compile(policy, &scopes, key, &table) == KS_OK);
	CHECK(ks_policy_table_ok(table, table->size));
	for (size_t i = 0; i < policy->scope_count; i++) {
		CHECK(!policy->scopes[i].is_default || !policy->scopes[i].opt_in);
		CHECK(ks_str_is_utf8(ks_str_c(policy->scopes[i].about)));
	}
	for (size_t i = 0; i < policy->family_count; i++)
		check_family(&policy->families[i], table);
	free(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_policy_problem problem = {0};
	struct ks_policy *policy = NULL;
	enum ks_err err = ks_policy_parse(ks_str_of((const char *)data, size), KS_STR("keystile:"), &policy, &problem);

	CHECK(err == KS_OK || err == KS_MALFORMED);
	if (err == KS_OK) {
		check_policy(policy);
		ks_policy_free(&policy);
		return 0;
	}
	struct ks_str words = ks_str_c(problem.text);
	CHECK(!policy && problem.line > 0 && problem.column > 0 && words.n > 0);
	CHECK(ks_str_is_utf8(words) && !ks_str_has_control(words));
	return 0;
}
