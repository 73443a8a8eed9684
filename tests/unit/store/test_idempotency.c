/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static struct ks_idempotency_row row_of(const char *principal, const char *key, int64_t created_at)
{
	struct ks_idempotency_row row = {.principal = ks_str_c(principal),
					 .key = ks_str_c(key),
					 .created_at = created_at,
					 .status = 201,
					 .body = KS_STR("{\"id\":\"key_0123456789abc\",\"token\":null}")};

	memset(row.request.bytes, 0x5a, sizeof(row.request.bytes));
	return row;
}

static enum ks_err put(struct ks_store *store, struct ks_idempotency_row row)
{
	return ks_store_idempotency_put(store, &row);
}

static enum ks_err compare(void *ctx, const struct ks_idempotency_row *row)
{
	const struct ks_idempotency_row *expected = ctx;

	assert_true(ks_str_eq(row->principal, expected->principal));
	assert_true(ks_str_eq(row->key, expected->key));
	assert_memory_equal(row->request.bytes, expected->request.bytes, KS_SHA256_SIZE);
	assert_int_equal(row->created_at, expected->created_at);
	assert_int_equal(row->status, expected->status);
	assert_true(ks_str_eq(row->body, expected->body));
	return KS_OK;
}

static enum ks_err get(struct ks_store *store, struct ks_idempotency_row expected)
{
	return ks_store_idempotency_get(store, expected.principal, expected.key, compare, &expected);
}

static void rows_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[KS_STORE_IDEMPOTENCY_KEY_MAX + 1];
	struct ks_idempotency_row row = row_of("local", "a", NOW);

	memset(text, 'k', sizeof(text));
	assert_ok(ks_store_begin(f->store));
	row.status = -1;
	assert_int_equal(put(f->store, row), KS_MALFORMED);
	row.status = 1000;
	assert_int_equal(put(f->store, row), KS_MALFORMED);
	row = row_of("local", "a", NOW);
	row.key = ks_str_of(text, sizeof(text));
	assert_int_equal(put(f->store, row), KS_TOO_LARGE);
	row = row_of("local", "a", NOW);
	row.body = KS_STR("\xed\xa0\x80");
	assert_int_equal(put(f->store, row), KS_MALFORMED);
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(get(f->store, row_of("local", "a", NOW)), KS_NOT_FOUND);
}

static void the_first_answer_stays(void **state)
{
	struct fixture *f = *state;
	struct ks_idempotency_row second = row_of("local", "a", NOW + 1);

	assert_ok(ks_store_begin(f->store));
	assert_ok(put(f->store, row_of("local", "a", NOW)));
	second.status = 422;
	assert_int_equal(put(f->store, second), KS_CONFLICT);
	assert_ok(put(f->store, row_of("key_0123456789abc", "a", NOW)));
	assert_ok(put(f->store, row_of("local", "b", NOW)));
	assert_ok(put(f->store, row_of("local", "", NOW)));
	assert_ok(ks_store_commit(f->store));
	assert_ok(get(f->store, row_of("local", "a", NOW)));
	assert_ok(get(f->store, row_of("key_0123456789abc", "a", NOW)));
	assert_int_equal(get(f->store, row_of("local", "A", NOW)), KS_NOT_FOUND);
	assert_int_equal(get(f->store, row_of("", "a", NOW)), KS_NOT_FOUND);
}

static void long_answers_come_back_whole(void **state)
{
	struct fixture *f = *state;
	struct ks_idempotency_row row = row_of("local", "long", NOW);
	char *body = malloc(KS_STORE_BODY_MAX);

	assert_non_null(body);
	for (size_t i = 0; i < KS_STORE_BODY_MAX; i++)
		body[i] = (char)('a' + i % 26);
	row.body = ks_str_of(body, KS_STORE_BODY_MAX);
	assert_ok(ks_store_begin(f->store));
	assert_ok(put(f->store, row));
	assert_ok(ks_store_commit(f->store));
	assert_ok(get(f->store, row));
	free(body);
}

static void old_answers_are_forgotten(void **state)
{
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	for (int i = 0; i < 50; i++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", i);
		assert_ok(put(f->store, row_of("local", key, NOW + i)));
	}
	assert_ok(ks_store_idempotency_trim(f->store, NOW + 20));
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(get(f->store, row_of("local", "k19", NOW + 19)), KS_NOT_FOUND);
	assert_ok(get(f->store, row_of("local", "k20", NOW + 20)));
	assert_int_equal(ks_store_idempotency_trim(f->store, NOW + 30), KS_STORE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_that_cannot_be_are_refused),
		TEST(the_first_answer_stays),
		TEST(long_answers_come_back_whole),
		TEST(old_answers_are_forgotten),
	};

	return cmocka_run_group_tests_name("store/idempotency", tests, NULL, NULL);
}
