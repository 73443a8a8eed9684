/* SPDX-License-Identifier: Apache-2.0 */
/* Tables from strangers: damaged ones are refused; ones whose checksum was made to fit are refused or do no harm. Run
 * under the address sanitiser this shows that matching stays inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy_table.h"

static struct ks_policy_table *good;

static int make_good(void **state)
{
	static const char yaml[] =
		"version: 1\nscopes: {r: {}, w: {}}\nfamilies:\n"
		"  f: {routes: [/a, \"/a/{x}/**\", /b/c/], kinds: [tenant], scopes: {GET: r, \"*\": [w, r]}}\n"
		"  g: {routes: [/a/1, /a/2, /a/3, /a/4, /a/5, /a/a-literal-longer-than-16], kinds: [tenant], scopes: "
		"{GET: r, "
		"A-METHOD-LONGER-THAN-16: w, POST: w, PUT: w, DELETE: w, PATCH: w}}\n";
	static struct ks_scope_table scopes;
	static const uint64_t key[2] = {3, 4};
	struct ks_policy_problem problem;
	struct ks_policy *policy;

	(void)state;
	if (ks_policy_parse(ks_str_c(yaml), KS_STR(""), &policy, &problem) != KS_OK ||
	    ks_policy_compile(policy, &scopes, key, &good) != KS_OK)
		return -1;
	ks_policy_free(&policy);
	return 0;
}

static int free_good(void **state)
{
	(void)state;
	free(good);
	return 0;
}

static struct ks_policy_table *copy_of(const struct ks_policy_table *table, size_t size)
{
	struct ks_policy_table *copy = malloc(size);

	assert_non_null(copy);
	memcpy(copy, table, KS_MIN(size, table->size));
	return copy;
}

/* Walks the table in all ways that there are. */
static void use(const struct ks_policy_table *table)
{
	static const char *const paths[] = {
		"/",    "/a",    "/a/",      "/a/b",          "/a/1",
		"/a/5", "/b/c/", "/b/c/d/e", "/a/a/a/a/a/a/", "/a/a-literal-longer-than-16"};
	static const char *const methods[] = {"GET", "POST", "HEAD", "A-METHOD-LONGER-THAN-16", ""};
	static struct ks_path path;
	size_t sum = 0;

	for (size_t p = 0; p < KS_ARRAY_LEN(paths); p++) {
		assert_int_equal(ks_path_read(ks_str_c(paths[p]), &path), KS_PATH_OK);
		for (size_t m = 0; m < KS_ARRAY_LEN(methods); m++) {
			const struct ks_rule *rule = ks_policy_match(table, &path, ks_str_c(methods[m]));
			struct ks_str family = rule ? ks_rule_family(table, rule) : KS_STR("");

			for (size_t i = 0; i < family.n; i++)
				sum += (unsigned char)family.p[i];
			for (size_t i = 0; rule && i < rule->scope_count; i++)
				sum += rule->scopes[i];
		}
	}
	for (uint32_t i = 0; i < table->rule_count; i++)
		sum += ks_policy_rule(table, i)->kinds;
	assert_true(sum < SIZE_MAX);
}

static void the_good_one_is_good(void **state)
{
	(void)state;
	assert_true(ks_policy_table_ok(good, good->size));
	use(good);
}

static void other_sizes_are_refused(void **state)
{
	(void)state;
	for (size_t size = 0; size < good->size; size += size < 256 ? 1 : 37) {
		struct ks_policy_table *cut = copy_of(good, size ? size : 1);

		assert_false(ks_policy_table_ok(cut, size));
		free(cut);
	}
	struct ks_policy_table *longer = copy_of(good, good->size + 64);
	assert_false(ks_policy_table_ok(longer, good->size + 64));
	assert_false(ks_policy_table_ok(longer, SIZE_MAX));
	free(longer);
}

static void a_table_out_of_line_is_refused(void **state)
{
	char *bytes = malloc(good->size + 16);

	(void)state;
	assert_non_null(bytes);
	for (size_t at = 1; at < 8; at++) {
		memcpy(&bytes[at], good, good->size);
		assert_false(ks_policy_table_ok((const void *)&bytes[at], good->size));
	}
	free(bytes);
}

static void every_flipped_bit_is_found(void **state)
{
	struct ks_policy_table *copy = copy_of(good, good->size);
	unsigned char *bytes = (unsigned char *)copy;

	(void)state;
	for (size_t i = 0; i < good->size; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[i] ^= (unsigned char)(1u << bit);
			assert_false(ks_policy_table_ok(copy, good->size));
			bytes[i] ^= (unsigned char)(1u << bit);
		}
	}
	assert_true(ks_policy_table_ok(copy, good->size));
	free(copy);
}

/* Puts `value` at `at`, makes the checksum fit, and uses the table if it is still taken. Returns whether it was. */
static bool try_word(size_t at, uint32_t value)
{
	struct ks_policy_table *copy = copy_of(good, good->size);

	memcpy((char *)copy + at, &value, sizeof(value));
	if (copy->size == good->size)
		copy->crc = ks_policy_table_crc(copy);
	bool ok = ks_policy_table_ok(copy, good->size);
	if (ok)
		use(copy);
	free(copy);
	return ok;
}

static void hostile_words_do_no_harm(void **state)
{
	static const uint32_t values[] = {0,    1,       2,          3,          5,          16,        127,
					  4096, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff};
	unsigned taken = 0, refused = 0;

	(void)state;
	for (size_t at = 0; at + 4 <= good->size; at += 4) {
		for (size_t v = 0; v < KS_ARRAY_LEN(values); v++) {
			if (try_word(at, values[v]))
				taken++;
			else
				refused++;
		}
	}
	/* Both happen, or this test tries nothing. */
	assert_true(taken > 100 && refused > 1000);
}

static void offsets_beyond_the_table_are_refused(void **state)
{
	static const size_t offsets[] = {
		offsetof(struct ks_policy_table, rules_at),    offsetof(struct ks_policy_table, nodes_at),
		offsetof(struct ks_policy_table, edges_at),    offsetof(struct ks_policy_table, methods_at),
		offsetof(struct ks_policy_table, answers_at),  offsetof(struct ks_policy_table, names_at),
		offsetof(struct ks_policy_table, root),        offsetof(struct ks_policy_table, node_count),
		offsetof(struct ks_policy_table, method_count)};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(offsets); i++) {
		assert_false(try_word(offsets[i], good->size));
		assert_false(try_word(offsets[i], UINT32_MAX));
		assert_false(try_word(offsets[i], UINT32_MAX - 7));
	}
}

/* A rule without scopes would let everybody in. */
static void a_rule_without_scopes_is_refused(void **state)
{
	struct ks_policy_table *copy = copy_of(good, good->size);
	struct ks_rule *rule = (struct ks_rule *)(void *)((char *)copy + copy->rules_at);

	(void)state;
	rule->scope_count = 0;
	copy->crc = ks_policy_table_crc(copy);
	assert_false(ks_policy_table_ok(copy, copy->size));
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_sizes_are_refused),
		cmocka_unit_test(a_table_out_of_line_is_refused),
		cmocka_unit_test(every_flipped_bit_is_found),
		cmocka_unit_test(hostile_words_do_no_harm),
		cmocka_unit_test(offsets_beyond_the_table_are_refused),
		cmocka_unit_test(a_rule_without_scopes_is_refused),
		cmocka_unit_test(the_good_one_is_good),
	};

	return cmocka_run_group_tests(tests, make_good, free_good);
}
