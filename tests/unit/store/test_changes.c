/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static uint64_t append(struct ks_store *store, uint64_t object)
{
	uint64_t seq = 0;

	assert_ok(ks_store_change_append(store, KS_CHANGE_KEY, object, object + 5, &seq));
	return seq;
}

static uint64_t last(struct ks_store *store)
{
	uint64_t seq = 77;

	assert_ok(ks_store_change_last(store, &seq));
	return seq;
}

static void append_some(struct ks_store *store, size_t count)
{
	assert_ok(ks_store_begin(store));
	for (size_t i = 0; i < count; i++)
		append(store, 100 + i);
	assert_ok(ks_store_commit(store));
}

static void trim(struct ks_store *store, uint64_t seq)
{
	assert_ok(ks_store_begin(store));
	assert_ok(ks_store_changes_trim(store, seq));
	assert_ok(ks_store_commit(store));
}

struct walk {
	uint64_t next;
	size_t seen;
	enum ks_err result;
};

static enum ks_err follow(void *ctx, const struct ks_change *change)
{
	struct walk *walk = ctx;

	assert_int_equal(change->seq, walk->next++);
	assert_int_equal(change->kind, KS_CHANGE_KEY);
	assert_int_equal(change->object_end, change->object + 5);
	walk->seen++;
	return walk->result;
}

static size_t read_after(struct ks_store *store, uint64_t seq, size_t limit, enum ks_err expected)
{
	struct walk walk = {.next = seq + 1};

	assert_int_equal(ks_store_changes_after(store, seq, limit, follow, &walk), expected);
	return walk.seen;
}

static void an_empty_log_has_no_last(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(last(f->store), 0);
	assert_int_equal(read_after(f->store, 0, SIZE_MAX, KS_OK), 0);
	assert_int_equal(read_after(f->store, 1, SIZE_MAX, KS_CONFLICT), 0);
}

static void kinds_that_are_none_are_refused(void **state)
{
	struct fixture *f = *state;
	uint64_t seq = 77;

	assert_int_equal(ks_store_change_append(f->store, KS_CHANGE_KEY, 1, 0, &seq), KS_STORE);
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_change_append(f->store, KS_CHANGE_KIND_COUNT, 1, 0, &seq), KS_MALFORMED);
	assert_int_equal(ks_store_change_append(f->store, KS_CHANGE_KEY, UINT64_MAX, 0, &seq), KS_MALFORMED);
	assert_int_equal(seq, 77);
	assert_int_equal(append(f->store, 1), 1);
	assert_ok(ks_store_commit(f->store));
}

static void entries_come_in_order_and_in_part(void **state)
{
	struct fixture *f = *state;
	struct walk walk = {.next = 4, .result = KS_STOPPING};

	append_some(f->store, 10);
	assert_int_equal(last(f->store), 10);
	assert_int_equal(read_after(f->store, 0, SIZE_MAX, KS_OK), 10);
	assert_int_equal(read_after(f->store, 3, 4, KS_OK), 4);
	assert_int_equal(read_after(f->store, 3, 0, KS_OK), 0);
	assert_int_equal(read_after(f->store, 10, SIZE_MAX, KS_OK), 0);
	assert_int_equal(read_after(f->store, 11, SIZE_MAX, KS_CONFLICT), 0);
	assert_int_equal(ks_store_changes_after(f->store, 3, SIZE_MAX, follow, &walk), KS_STOPPING);
	assert_int_equal(walk.seen, 1);
	assert_ok(ks_store_begin(f->store));
	append(f->store, 100);
	assert_int_equal(read_after(f->store, 9, SIZE_MAX, KS_OK), 2);
	assert_ok(ks_store_commit(f->store));
}

static void numbers_go_on_after_a_trim(void **state)
{
	struct fixture *f = *state;

	append_some(f->store, 10);
	trim(f->store, 4);
	assert_int_equal(last(f->store), 10);
	assert_int_equal(read_after(f->store, 4, SIZE_MAX, KS_OK), 6);
	assert_int_equal(read_after(f->store, 3, SIZE_MAX, KS_NOT_FOUND), 0);
	assert_int_equal(read_after(f->store, 0, 1, KS_NOT_FOUND), 0);
	trim(f->store, 2);
	assert_int_equal(read_after(f->store, 4, SIZE_MAX, KS_OK), 6);
	/* Beyond the last nothing is promised away. */
	trim(f->store, 1000);
	assert_int_equal(last(f->store), 10);
	assert_int_equal(read_after(f->store, 9, SIZE_MAX, KS_NOT_FOUND), 0);
	assert_int_equal(read_after(f->store, 10, SIZE_MAX, KS_OK), 0);
	assert_int_equal(read_after(f->store, 11, SIZE_MAX, KS_CONFLICT), 0);
	ks_store_close(&f->store);
	open_writer(f);
	append_some(f->store, 2);
	assert_int_equal(last(f->store), 12);
	assert_int_equal(read_after(f->store, 10, SIZE_MAX, KS_OK), 2);
	assert_int_equal(read_after(f->store, 9, SIZE_MAX, KS_NOT_FOUND), 0);
}

static void a_trim_that_is_undone_forgets_nothing(void **state)
{
	struct fixture *f = *state;

	append_some(f->store, 5);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_changes_trim(f->store, 5));
	ks_store_rollback(f->store);
	assert_int_equal(read_after(f->store, 0, SIZE_MAX, KS_OK), 5);
}

static void a_reader_sees_one_snapshot(void **state)
{
	struct fixture *f = *state;
	struct ks_store *reader = open_reader(f);

	append_some(f->store, 3);
	assert_ok(ks_store_begin(reader));
	trim(f->store, 3);
	append_some(f->store, 1);
	assert_int_equal(read_after(reader, 0, SIZE_MAX, KS_OK), 3);
	ks_store_rollback(reader);
	assert_int_equal(read_after(reader, 0, SIZE_MAX, KS_NOT_FOUND), 0);
	assert_int_equal(read_after(reader, 3, SIZE_MAX, KS_OK), 1);
	ks_store_close(&reader);
}

/* Whatever is appended, undone and trimmed, numbers have no gaps and none is given twice. */
static void numbers_are_those_of_a_naive_model(void **state)
{
	struct fixture *f = *state;
	uint64_t given = 0, trimmed = 0;

	seed_random();
	for (int round = 0; round < 300; round++) {
		uint64_t in_transaction = given;
		assert_ok(ks_store_begin(f->store));
		for (uint64_t i = random64() % 6; i > 0; i--)
			assert_int_equal(append(f->store, i), ++in_transaction);
		if (random64() % 2) {
			assert_ok(ks_store_savepoint(f->store));
			assert_int_equal(append(f->store, 1), in_transaction + 1);
			ks_store_rollback_to(f->store);
			assert_int_equal(append(f->store, 2), ++in_transaction);
		}
		uint64_t to = random64() % (in_transaction + 3);
		if (random64() % 3 == 0)
			assert_ok(ks_store_changes_trim(f->store, to));
		else
			to = trimmed;
		if (random64() % 4 == 0) {
			ks_store_rollback(f->store);
		} else {
			assert_ok(ks_store_commit(f->store));
			given = in_transaction;
			trimmed = KS_MAX(trimmed, KS_MIN(to, given));
		}
		assert_int_equal(last(f->store), given);
		assert_int_equal(read_after(f->store, trimmed, SIZE_MAX, KS_OK), given - trimmed);
		if (trimmed > 0)
			read_after(f->store, random64() % trimmed, SIZE_MAX, KS_NOT_FOUND);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_empty_log_has_no_last),
		TEST(kinds_that_are_none_are_refused),
		TEST(entries_come_in_order_and_in_part),
		TEST(numbers_go_on_after_a_trim),
		TEST(a_trim_that_is_undone_forgets_nothing),
		TEST(a_reader_sees_one_snapshot),
		TEST(numbers_are_those_of_a_naive_model),
	};

	return cmocka_run_group_tests_name("store/changes", tests, NULL, NULL);
}
