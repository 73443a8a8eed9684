/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/usage_journal.h"
#include "support.h"

#define MINUTE INT64_C(1760000040000)

static const uint8_t id_a[16] = {1}, id_b[16] = {2};
static char folder[64];

static int folder_new(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/keystile-journal-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static int folder_end(void **state)
{
	char command[100];

	(void)state;
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", folder);
	return system(command);
}

static struct ks_usage_entry entry(uint64_t key, uint64_t count)
{
	return (struct ks_usage_entry){.key = key, .minute = MINUTE, .count = count, .last_ms = MINUTE + 5, .scope = 0xffff};
}

static struct ks_usage_journal open_journal(const uint8_t id[16], bool anew)
{
	struct ks_usage_journal j;

	assert_int_equal(ks_usage_journal_open(folder, id, anew, &j), KS_OK);
	return j;
}

static void what_was_added_is_there_when_it_is_opened_again(void **state)
{
	static struct ks_usage_entry read[KS_USAGE_JOURNAL_MAX];
	struct ks_usage_journal j = open_journal(id_a, false);
	struct ks_usage_entry e = entry(7, 3);

	(void)state;
	assert_true(j.kept);
	assert_int_equal(ks_usage_journal_batch(&j), 1);
	assert_int_equal(ks_usage_journal_count(&j), 0);
	for (size_t i = 0; i < KS_USAGE_JOURNAL_MAX; i++) {
		e.key = i + 1;
		ks_usage_journal_add(&j, &e);
	}
	ks_usage_journal_close(&j);
	j = open_journal(id_a, false);
	assert_int_equal(ks_usage_journal_read(&j, read), KS_USAGE_JOURNAL_MAX);
	assert_int_equal(read[4711].key, 4712);
	assert_int_equal(read[4711].count, 3);
	assert_int_equal(read[4711].last_ms, MINUTE + 5);
	ks_usage_journal_next(&j, 9);
	ks_usage_journal_close(&j);
	j = open_journal(id_a, false);
	assert_int_equal(ks_usage_journal_batch(&j), 9);
	assert_int_equal(ks_usage_journal_count(&j), 0);
	ks_usage_journal_close(&j);
}

static void another_truths_is_not_taken(void **state)
{
	struct ks_usage_journal j = open_journal(id_a, false);
	struct ks_usage_entry e = entry(7, 3);

	(void)state;
	ks_usage_journal_add(&j, &e);
	ks_usage_journal_close(&j);
	j = open_journal(id_b, false);
	assert_int_equal(ks_usage_journal_count(&j), 0);
	ks_usage_journal_add(&j, &e);
	ks_usage_journal_close(&j);
	j = open_journal(id_b, true);
	assert_int_equal(ks_usage_journal_count(&j), 0);
	ks_usage_journal_close(&j);
}

static void what_cannot_be_ours_is_left_out(void **state)
{
	static struct ks_usage_entry read[KS_USAGE_JOURNAL_MAX];
	struct ks_usage_journal j = open_journal(id_a, false);
	struct ks_usage_entry good = entry(7, 3), bad[4] = {good, good, good, good};

	(void)state;
	bad[0].key = 0;
	bad[1].count = 0;
	bad[2].reason = 200;
	bad[3].minute = -1;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		ks_usage_journal_add(&j, &bad[i]);
	ks_usage_journal_add(&j, &good);
	assert_int_equal(ks_usage_journal_count(&j), 5);
	assert_int_equal(ks_usage_journal_read(&j, read), 1);
	ks_usage_journal_close(&j);
}

static void a_file_that_is_not_ours_is_not_used(void **state)
{
	char path[100], target[100];
	struct ks_usage_journal j;
	struct stat st;
	FILE *file;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/usage.journal", folder);
	(void)snprintf(target, sizeof(target), "%s/target", folder);
	assert_int_equal(symlink(target, path), 0);
	j = open_journal(id_a, false);
	assert_false(j.kept);
	ks_usage_journal_close(&j);
	assert_int_not_equal(access(target, F_OK), 0);
	assert_int_equal(unlink(path), 0);
	/* One that others may write to. */
	file = fopen(path, "w");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(chmod(path, 0666), 0);
	j = open_journal(id_a, false);
	assert_false(j.kept);
	ks_usage_journal_close(&j);
	/* Nonsense of ours is made anew. */
	assert_int_equal(chmod(path, 0600), 0);
	file = fopen(path, "w");
	assert_non_null(file);
	for (int i = 0; i < 100000; i++)
		(void)fputc('x', file);
	fclose(file);
	j = open_journal(id_a, false);
	assert_true(j.kept);
	assert_int_equal(ks_usage_journal_count(&j), 0);
	ks_usage_journal_close(&j);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

/* ---- what a killed process leaves, taken over by an engine ---- */

struct sum {
	uint64_t uses;
};

static enum ks_err add_up(void *ctx, const struct ks_usage_row *row)
{
	struct sum *sum = ctx;

	sum->uses += row->count;
	return KS_OK;
}

static uint64_t counted(struct world *w, uint64_t key)
{
	struct ks_engine_reader reader;
	struct sum sum = {0};

	assert_int_equal(ks_engine_flush_usage(w->engine), KS_OK);
	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_usage(reader.store, key, 0, MINUTE + 60000, 60000, add_up, &sum), KS_OK);
	ks_engine_reader_close(&reader);
	return sum.uses;
}

static enum ks_err set_mark(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)refusal;
	return ks_store_usage_mark_put(tx->store, ctx);
}

/* The journal as a process leaves it that was killed when `done` of its entries were in the truth. */
static void leave_journal(struct world *w, const struct ks_key_made *keys, size_t count, uint64_t batch, uint64_t mark,
			  uint64_t done)
{
	struct ks_engine_reader reader;
	struct ks_usage_mark row = {mark, done};
	struct ks_usage_journal j;
	uint8_t id[16];

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_identity(reader.store, id), KS_OK);
	ks_engine_reader_close(&reader);
	(void)snprintf(folder, sizeof(folder), "%s", ks_engine_ring_directory(w->engine));
	assert_int_equal(world_change(w, set_mark, &row), KS_OK);
	world_close(w);
	j = open_journal(id, false);
	ks_usage_journal_next(&j, batch);
	/* Several of a key are one entry of the truth; the order is that of the counters. */
	for (size_t turn = 0; turn < 2; turn++) {
		for (size_t i = count; i-- > 0;) {
			struct ks_usage_entry e = entry(keys[i].id, 10 + turn);

			ks_usage_journal_add(&j, &e);
		}
	}
	ks_usage_journal_close(&j);
	assert_int_equal(world_open(w), KS_OK);
}

static void what_was_under_way_arrives_once(void **state)
{
	static const struct {
		uint64_t batch, mark, done;
		uint64_t expected[3]; /* of each key, in order of ids */
	} cases[] = {
		{50, 49, 9, {21, 21, 21}},  /* nothing of it was written */
		{60, 60, 0, {21, 21, 21}},
		{70, 70, 2, {0, 0, 21}},    /* two of three */
		{80, 80, 3, {0, 0, 0}},     /* all of it */
		{90, 95, 1, {0, 0, 0}},     /* written long ago */
	};
	struct ks_key_made keys[3];
	uint64_t expected[3] = {0, 0, 0};
	struct world w;

	(void)state;
	world_new(&w);
	for (size_t i = 0; i < 3; i++)
		keys[i] = make_key(&w, 0, "contacts:read");
	for (size_t c = 0; c < KS_ARRAY_LEN(cases); c++) {
		leave_journal(&w, keys, 3, cases[c].batch, cases[c].mark, cases[c].done);
		for (size_t i = 0; i < 3; i++) {
			expected[i] += cases[c].expected[i];
			assert_int_equal(counted(&w, keys[i].id), expected[i]);
		}
		world_close(&w);
		assert_int_equal(world_open(&w), KS_OK);
		for (size_t i = 0; i < 3; i++)
			assert_int_equal(counted(&w, keys[i].id), expected[i]);
	}
	world_free(&w);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, folder_new, folder_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_added_is_there_when_it_is_opened_again),
		TEST(another_truths_is_not_taken),
		TEST(what_cannot_be_ours_is_left_out),
		TEST(a_file_that_is_not_ours_is_not_used),
		cmocka_unit_test(what_was_under_way_arrives_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
