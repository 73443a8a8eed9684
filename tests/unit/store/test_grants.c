/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static enum ks_err compare(void *ctx, const struct ks_grant_row *row)
{
	const struct ks_grant_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_true(ks_str_eq(row->body, expected->body));
	return KS_OK;
}

static void equal_bodies_are_one_grant(void **state)
{
	struct fixture *f = *state;
	struct ks_grant_row row = {.id = 1, .body = KS_STR(GRANT_FREE)};
	uint64_t id;
	bool made;

	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_grant_intern(f->store, KS_STR(GRANT_FREE), &id, &made));
	assert_int_equal(id, 1);
	assert_false(made);
	assert_ok(ks_store_grant_intern(f->store, KS_STR("{\"third\":true}"), &id, &made));
	assert_int_equal(id, 3);
	assert_true(made);
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_grant_get(f->store, 1, compare, &row));
	assert_int_equal(ks_store_grant_get(f->store, 4, compare, &row), KS_NOT_FOUND);
}

static void interning_needs_no_transaction_where_nothing_is_made(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 77;
	bool made;

	assert_ok(ks_store_grant_intern(f->store, KS_STR(GRANT_LIMITED), &id, &made));
	assert_int_equal(id, 2);
	assert_int_equal(ks_store_grant_intern(f->store, KS_STR("{}"), &id, &made), KS_STORE);
	assert_int_equal(id, 2);
}

static void a_grant_that_is_too_long_is_refused(void **state)
{
	struct fixture *f = *state;
	char *body = calloc(1, KS_STORE_GRANT_MAX + 1);
	uint64_t id;
	bool made;

	assert_non_null(body);
	memset(body, 'x', KS_STORE_GRANT_MAX + 1);
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_grant_intern(f->store, ks_str_of(body, KS_STORE_GRANT_MAX + 1), &id, &made),
			 KS_TOO_LARGE);
	assert_ok(ks_store_grant_intern(f->store, ks_str_of(body, KS_STORE_GRANT_MAX), &id, &made));
	assert_ok(ks_store_commit(f->store));
	free(body);
}

static enum ks_err in_order(void *ctx, const struct ks_grant_row *row)
{
	assert_int_equal(row->id, ++*(uint64_t *)ctx);
	return KS_OK;
}

static void numbers_follow_each_other(void **state)
{
	struct fixture *f = *state;
	uint64_t id, seen = 0;
	bool made;

	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_grant_intern(f->store, KS_STR("{\"gone\":1}"), &id, &made));
	assert_int_equal(id, 3);
	ks_store_rollback(f->store);
	assert_ok(ks_store_begin(f->store));
	for (uint64_t i = 3; i < 40; i++) {
		char body[32];
		snprintf(body, sizeof(body), "{\"n\":%d}", (int)i);
		assert_ok(ks_store_grant_intern(f->store, ks_str_c(body), &id, &made));
		assert_int_equal(id, i);
	}
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_grants_all(f->store, in_order, &seen));
	assert_int_equal(seen, 39);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(equal_bodies_are_one_grant),
		TEST(interning_needs_no_transaction_where_nothing_is_made),
		TEST(a_grant_that_is_too_long_is_refused),
		TEST(numbers_follow_each_other),
	};

	return cmocka_run_group_tests_name("store/grants", tests, NULL, NULL);
}
