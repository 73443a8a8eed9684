/* SPDX-License-Identifier: Apache-2.0 */
/* Scopes by number: names, the table, sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "model/scopes.h"

static struct ks_scope_table table;

static int clear(void **state)
{
	(void)state;
	memset(&table, 0, sizeof(table));
	return 0;
}

/* 64 letters: one too many. */
#define LETTERS_64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

static void bad_names(void **state)
{
	static const char *const bad[] = {"",    ":",   "a:",       ":a",     "a::b", "A",    "a:B",
					  "1a",  "_a",  "-a",       "a b",    "a.b",  "a/b",  "a*",
					  "a\n", "a\t", "\xc3\xa4", "a:\xff", "a,b",  "a:b:", LETTERS_64};
	uint16_t number = 7;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		assert_false(ks_scope_name_ok(ks_str_c(bad[i])));
		assert_int_equal(ks_scope_add(&table, ks_str_c(bad[i]), &number), KS_MALFORMED);
		assert_false(ks_scope_find(&table, ks_str_c(bad[i]), &number));
	}
	assert_false(ks_scope_name_ok(ks_str_of("a\0b", 3)));
	assert_int_equal(number, 7);
	assert_int_equal(table.count, 0);
}

static void good_names(void **state)
{
	static const char *const good[] = {
		"a",     "contacts:read", "billing:partner:allocate", "call_traces:admin_read", "a-b:1",
		"a1:2_", &LETTERS_64[1]};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(good); i++)
		assert_true(ks_scope_name_ok(ks_str_c(good[i])));
}

static void unknown_names_have_no_number(void **state)
{
	uint16_t number = 7;

	(void)state;
	assert_false(ks_scope_find(&table, KS_STR("a"), &number));
	assert_int_equal(ks_scope_add(&table, KS_STR("contacts:read"), &number), KS_OK);
	number = 7;
	assert_false(ks_scope_find(&table, KS_STR("contacts:rea"), &number));
	assert_false(ks_scope_find(&table, KS_STR("contacts:readx"), &number));
	assert_false(ks_scope_find(&table, KS_STR("contactx:read"), &number));
	assert_false(ks_scope_find(&table, KS_STR(""), &number));
	assert_int_equal(number, 7);
	assert_int_equal(ks_scope_name(&table, 1).n, 0);
	assert_int_equal(ks_scope_name(&table, UINT16_MAX).n, 0);
}

static void numbers_stay(void **state)
{
	uint16_t number;

	(void)state;
	for (unsigned i = 0; i < KS_SCOPES_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s%u:read", i);
		assert_int_equal(ks_scope_add(&table, ks_str_c(name), &number), KS_OK);
		assert_int_equal(number, i);
	}
	assert_int_equal(ks_scope_add(&table, KS_STR("one:more"), &number), KS_FULL);
	for (unsigned i = 0; i < KS_SCOPES_MAX; i++) {
		char name[32];

		snprintf(name, sizeof(name), "s%u:read", i);
		assert_int_equal(ks_scope_add(&table, ks_str_c(name), &number), KS_OK);
		assert_int_equal(number, i);
		assert_true(ks_str_eq(ks_scope_name(&table, (uint16_t)i), ks_str_c(name)));
	}
	assert_int_equal(table.count, KS_SCOPES_MAX);
}

static void a_lying_count_is_bounded(void **state)
{
	uint16_t number;

	(void)state;
	table.count = UINT32_MAX;
	memset(table.names, 'x', sizeof(table.names));
	assert_false(ks_scope_find(&table, KS_STR("y"), &number));
	assert_int_equal(ks_scope_add(&table, KS_STR("y"), &number), KS_FULL);
	assert_int_equal(ks_scope_name(&table, KS_SCOPES_MAX).n, 0);
	assert_int_equal(ks_scope_name(&table, KS_SCOPES_MAX - 1).n, KS_SCOPE_NAME_MAX);
}

static void sets_hold_what_was_put_in(void **state)
{
	static const uint16_t edges[] = {0, 1, 63, 64, 127, 128, KS_SCOPES_MAX - 1};
	struct ks_scopes set = {{0}}, other = {{0}};

	(void)state;
	assert_true(ks_scopes_empty(&set));
	assert_true(ks_scopes_within(&set, &other));
	/* No number beyond the set is in it, or changes it. */
	ks_scopes_set(&set, KS_SCOPES_MAX);
	ks_scopes_set(&set, UINT16_MAX);
	assert_true(ks_scopes_empty(&set));
	assert_false(ks_scopes_has(&set, KS_SCOPES_MAX));
	for (size_t i = 0; i < KS_ARRAY_LEN(edges); i++) {
		assert_false(ks_scopes_has(&set, edges[i]));
		ks_scopes_set(&set, edges[i]);
		assert_true(ks_scopes_has(&set, edges[i]));
		assert_false(ks_scopes_within(&set, &other));
		ks_scopes_set(&other, edges[i]);
		assert_true(ks_scopes_within(&set, &other));
	}
	ks_scopes_set(&other, 200);
	assert_true(ks_scopes_within(&set, &other));
	assert_false(ks_scopes_within(&other, &set));
	assert_false(ks_scopes_empty(&set));
}

static void sets_are_added_and_cut(void **state)
{
	struct ks_scopes a = {{0}}, b = {{0}}, both;

	(void)state;
	ks_scopes_set(&a, 3);
	ks_scopes_set(&a, 511);
	ks_scopes_set(&b, 3);
	ks_scopes_set(&b, 200);
	both = a;
	ks_scopes_add(&both, &b);
	assert_true(ks_scopes_has(&both, 3) && ks_scopes_has(&both, 200) && ks_scopes_has(&both, 511));
	ks_scopes_keep(&both, &b);
	assert_true(ks_scopes_within(&both, &b) && ks_scopes_within(&b, &both));
	ks_scopes_keep(&both, &a);
	assert_true(ks_scopes_has(&both, 3) && !ks_scopes_has(&both, 200) && !ks_scopes_has(&both, 511));
	ks_scopes_clear(&both, 512);
	assert_false(ks_scopes_empty(&both));
	ks_scopes_clear(&both, 3);
	assert_true(ks_scopes_empty(&both));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(bad_names, clear),
		cmocka_unit_test(good_names),
		cmocka_unit_test_setup(unknown_names_have_no_number, clear),
		cmocka_unit_test_setup(numbers_stay, clear),
		cmocka_unit_test_setup(a_lying_count_is_bounded, clear),
		cmocka_unit_test(sets_hold_what_was_put_in),
		cmocka_unit_test(sets_are_added_and_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
