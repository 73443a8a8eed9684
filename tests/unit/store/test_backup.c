/* SPDX-License-Identifier: Apache-2.0 */
/* Backup and restore: what is copied is one instant, and what is refused changes nothing. */
#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>

#include "fixture.h"
#include "store/store_priv.h"

#define KEYS 40000

struct paths {
	char backup[160];
	char uri[192]; /* of a store restored elsewhere */
};

static struct paths paths_of(const struct fixture *f)
{
	struct paths paths;

	snprintf(paths.backup, sizeof(paths.backup), "%s/backup.db", f->folder);
	snprintf(paths.uri, sizeof(paths.uri), "sqlite:%s/restored/keystile.db", f->folder);
	return paths;
}

static void put_keys(struct ks_store *store, uint64_t first, size_t count)
{
	assert_ok(ks_store_begin(store));
	for (size_t i = 0; i < count; i++)
		assert_ok(create_key(store, first + i));
	assert_ok(ks_store_commit(store));
}

static size_t entries_of(const char *folder)
{
	DIR *dir = opendir(folder);
	size_t n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n - 2;
}

static enum ks_err count_audit(void *ctx, const struct ks_audit_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

static void assert_holds(const char *uri, size_t keys)
{
	struct ks_store *store = NULL;
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY,
				       .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT,
				       .unused_since = KS_TIME_NONE,
				       .limit = SIZE_MAX};
	struct ks_audit_filter audit = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = SIZE_MAX};
	size_t listed = 0, entries = 0;

	assert_ok(ks_store_open(uri, KS_STORE_WRITER, &store));
	assert_int_equal(key_count(store), keys);
	assert_ok(ks_store_keys(store, &filter, take_no_key, &listed));
	assert_int_equal(listed, keys);
	assert_ok(ks_store_audit(store, &audit, count_audit, &entries));
	assert_int_equal(entries, keys);
	ks_store_close(&store);
}

/* ---- backup ---- */

static void a_file_that_is_there_is_not_overwritten(void **state)
{
	struct fixture *f = *state;
	struct paths paths = paths_of(f);

	write_file(paths.backup, "mine", 4);
	assert_int_equal(ks_store_backup(f->store, paths.backup, NULL, NULL), KS_CONFLICT);
	assert_int_equal(file_size(paths.backup), 4);
	snprintf(paths.backup, sizeof(paths.backup), "%s/no/backup.db", f->folder);
	assert_int_equal(ks_store_backup(f->store, paths.backup, NULL, NULL), KS_NOT_FOUND);
	assert_true(strlen(ks_store_error(f->store)) > 0);
	assert_int_equal(entries_of(f->folder), 2);
}

struct race {
	struct fixture *f;
	const char *path;
	uint64_t next;
	size_t calls;
	uint64_t done;
	bool appears; /* a file of that name, meanwhile */
};

static void commit_meanwhile(void *ctx, uint64_t done, uint64_t all)
{
	struct race *race = ctx;

	assert_true(done >= race->done && done <= all);
	race->done = done;
	race->calls++;
	put_keys(race->f->store, race->next, 50);
	race->next += 50;
	if (race->appears)
		write_file(race->path, "mine", 4);
}

static void a_backup_is_one_instant_while_commits_go_on(void **state)
{
	struct fixture *f = *state;
	struct paths paths = paths_of(f);
	struct race race = {.f = f, .next = FIRST_KEY + KEYS};
	struct ks_store *reader;
	struct stat st;

	put_keys(f->store, FIRST_KEY, KEYS);
	reader = open_reader(f);
	assert_ok(ks_store_backup(reader, paths.backup, commit_meanwhile, &race));
	ks_store_close(&reader);
	assert_true(race.calls > 2);
	assert_int_equal(stat(paths.backup, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(race.done, (uint64_t)st.st_size / 4096);
	assert_int_equal(entries_of(f->folder), 2);
	assert_ok(ks_store_restore(paths.backup, paths.uri));
	assert_holds(paths.uri, KEYS);
	assert_int_equal(key_count(f->store), KEYS + 50 * race.calls);
}

static void a_file_that_appears_meanwhile_is_not_overwritten(void **state)
{
	struct fixture *f = *state;
	struct paths paths = paths_of(f);
	struct race race = {.f = f, .path = paths.backup, .next = FIRST_KEY, .appears = true};

	assert_int_equal(ks_store_backup(f->store, paths.backup, commit_meanwhile, &race), KS_CONFLICT);
	assert_int_equal(file_size(paths.backup), 4);
	assert_int_equal(entries_of(f->folder), 2);
}

static void what_is_not_committed_is_not_copied(void **state)
{
	struct fixture *f = *state;
	struct paths paths = paths_of(f);

	put_keys(f->store, FIRST_KEY, 10);
	assert_ok(ks_store_begin(f->store));
	assert_ok(create_key(f->store, FIRST_KEY + 10));
	assert_ok(ks_store_backup(f->store, paths.backup, NULL, NULL));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_restore(paths.backup, paths.uri));
	assert_holds(paths.uri, 10);
	assert_int_equal(key_count(f->store), 11);
}

/* ---- restore ---- */

/* A store of 300 keys, closed, and a backup of it when it had 200. */
static struct paths make_both(struct fixture *f)
{
	struct paths paths = paths_of(f);

	put_keys(f->store, FIRST_KEY, 200);
	assert_ok(ks_store_backup(f->store, paths.backup, NULL, NULL));
	put_keys(f->store, FIRST_KEY + 200, 100);
	ks_store_close(&f->store);
	return paths;
}

static void assert_refused(struct fixture *f, const char *path, enum ks_err expected)
{
	size_t entries = entries_of(f->folder);
	char data[128];

	snprintf(data, sizeof(data), "%s/data", f->folder);
	size_t in_data = entries_of(data);
	enum ks_err err = ks_store_restore(path, f->uri);
	if (err != expected)
		print_message("%s: %s\n", ks_err_name(err), ks_store_error(NULL));
	assert_int_equal(err, expected);
	assert_true(strlen(ks_store_error(NULL)) > 0);
	assert_int_equal(entries_of(f->folder), entries);
	assert_int_equal(entries_of(data), in_data);
	assert_holds(f->uri, 300);
}

static void what_is_no_whole_store_is_refused(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);
	char other[160];
	sqlite3 *db;

	snprintf(other, sizeof(other), "%s/other.db", f->folder);
	assert_refused(f, other, KS_NOT_FOUND);
	write_file(other, "", 0);
	assert_refused(f, other, KS_CORRUPT);
	write_file(other, "not a database, but long enough to look at", 42);
	assert_refused(f, other, KS_CORRUPT);
	unlink(other);
	assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "CREATE TABLE theirs (x); PRAGMA user_version = 1", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_refused(f, other, KS_CORRUPT);
	copy_file(paths.backup, other, SIZE_MAX);
	assert_int_equal(sqlite3_open(other, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, "PRAGMA journal_mode = DELETE; PRAGMA user_version = 99", NULL, NULL, NULL),
			 SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_refused(f, other, KS_VERSION);
	assert_int_equal(ks_store_restore(paths.backup, "mysql:x"), KS_MALFORMED);
	assert_int_equal(ks_store_restore(paths.backup, "sqlite:"), KS_MALFORMED);
}

static void a_torn_file_is_refused(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);
	size_t n = file_size(paths.backup);
	char torn[160];

	seed_random();
	snprintf(torn, sizeof(torn), "%s/torn.db", f->folder);
	copy_file(paths.backup, torn, n - 4096);
	assert_refused(f, torn, KS_CORRUPT);
	for (int round = 0; round < 20; round++) {
		copy_file(paths.backup, torn, (size_t)(random64() % (n - 1)));
		assert_refused(f, torn, KS_CORRUPT);
	}
}

static void a_page_from_elsewhere_is_refused(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);
	size_t pages = file_size(paths.backup) / 4096;
	char bad[160];
	char page[4096];

	seed_random();
	snprintf(bad, sizeof(bad), "%s/bad.db", f->folder);
	for (int round = 0; round < 20; round++) {
		/* No page of a tree is all zeros or all ones, not even an empty one. */
		size_t at = 1 + random64() % (pages - 1);
		copy_file(paths.backup, bad, SIZE_MAX);
		int fd = open(bad, O_RDWR);
		assert_true(fd >= 0);
		memset(page, round % 2 ? 0 : 0xff, sizeof(page));
		assert_int_equal(pwrite(fd, page, sizeof(page), (off_t)(at * 4096)), sizeof(page));
		close(fd);
		assert_refused(f, bad, KS_CORRUPT);
	}
}

static void rows_that_refer_to_nothing_are_refused(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);
	sqlite3 *db;

	assert_int_equal(sqlite3_open(paths.backup, &db), SQLITE_OK);
	assert_int_equal(
		sqlite3_exec(db,
			     "PRAGMA journal_mode = DELETE; PRAGMA foreign_keys = OFF; DELETE FROM grants WHERE id = 1",
			     NULL, NULL, NULL),
		SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
	assert_refused(f, paths.backup, KS_CORRUPT);
}

static void a_store_in_use_is_not_replaced(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);

	open_writer(f);
	assert_int_equal(ks_store_restore(paths.backup, f->uri), KS_BUSY);
	put_keys(f->store, FIRST_KEY + 300, 1);
	assert_int_equal(key_count(f->store), 301);
	/* Nor is a store that is in use taken for a backup. */
	assert_int_equal(ks_store_restore(f->path, paths.uri), KS_BUSY);
}

static enum ks_err no_change(void *ctx, const struct ks_change *change)
{
	(void)ctx;
	(void)change;
	return KS_STOPPING;
}

static void a_restored_store_takes_the_place_of_the_old(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);
	uint8_t identity[16], restored[16];
	uint64_t seq;
	struct stat st;

	open_writer(f);
	assert_ok(ks_store_identity(f->store, identity));
	ks_store_close(&f->store);
	assert_ok(ks_store_restore(paths.backup, f->uri));
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_holds(f->uri, 200);
	open_writer(f);
	assert_ok(ks_store_identity(f->store, restored));
	assert_memory_equal(identity, restored, sizeof(identity));
	/* Whoever followed the old one, at whatever place, is told to start anew. */
	for (uint64_t after = 0; after <= 300; after += 100)
		assert_int_equal(ks_store_changes_after(f->store, after, SIZE_MAX, no_change, NULL), KS_NOT_FOUND);
	assert_ok(ks_store_change_last(f->store, &seq));
	assert_true(seq > UINT32_MAX);
	put_keys(f->store, FIRST_KEY + 200, 2);
	uint64_t next;
	assert_ok(ks_store_change_last(f->store, &next));
	assert_int_equal(next, seq + 2);
	/* The backup can be used again. */
	ks_store_close(&f->store);
	assert_ok(ks_store_restore(paths.backup, f->uri));
	assert_holds(f->uri, 200);
}

/* Leaves a store as a killed process does: with its write-ahead log beside it. */
static void leave_unclosed(struct fixture *f, size_t more)
{
	fflush(NULL);
	pid_t child = fork();
	int status;

	if (child == 0) {
		open_writer(f);
		put_keys(f->store, FIRST_KEY + 300, more);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	char wal[160];
	snprintf(wal, sizeof(wal), "%s-wal", f->path);
	assert_true(file_size(wal) > 0);
}

static void what_stood_beside_the_old_store_is_gone(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);

	leave_unclosed(f, 5);
	assert_ok(ks_store_restore(paths.backup, f->uri));
	char data[128];
	snprintf(data, sizeof(data), "%s/data", f->folder);
	assert_int_equal(entries_of(data), 2); /* and the lock */
	assert_holds(f->uri, 200);
}

static void a_refusal_leaves_what_stood_beside_the_old_store(void **state)
{
	struct fixture *f = *state;
	char other[160];

	make_both(f);
	leave_unclosed(f, 5);
	snprintf(other, sizeof(other), "%s/other.db", f->folder);
	write_file(other, "no", 2);
	assert_int_equal(ks_store_restore(other, f->uri), KS_CORRUPT);
	assert_holds(f->uri, 305);
}

static void a_damaged_store_can_be_replaced(void **state)
{
	struct fixture *f = *state;
	struct paths paths = make_both(f);
	char junk[4096];

	leave_unclosed(f, 5);
	memset(junk, 'x', sizeof(junk));
	write_file(f->path, junk, sizeof(junk));
	assert_ok(ks_store_restore(paths.backup, f->uri));
	assert_holds(f->uri, 200);
}

static void an_older_store_is_restored_and_then_migrated(void **state)
{
	static const unsigned char script[] = "CREATE TABLE second (x INTEGER) STRICT";
	static const size_t size = sizeof(script) - 1;
	struct fixture *f = *state;
	struct paths paths = make_both(f);
	struct ks_sql_migration steps[64];
	size_t own = ks_sql_sqlite.migration_count;

	assert_true(own < KS_ARRAY_LEN(steps));
	for (size_t i = 0; i < own; i++)
		steps[i] = ks_sql_sqlite.migrations[i];
	steps[own] = (struct ks_sql_migration){"second", script, &size};
	assert_ok(ks_store_restore(paths.backup, paths.uri));
	assert_ok(ks_store_open_with(paths.uri, KS_STORE_WRITER, steps, own + 1, &f->store));
	assert_int_equal(key_count(f->store), 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_that_is_there_is_not_overwritten),
		TEST(a_file_that_appears_meanwhile_is_not_overwritten),
		TEST(a_backup_is_one_instant_while_commits_go_on),
		TEST(what_is_not_committed_is_not_copied),
		TEST(what_is_no_whole_store_is_refused),
		TEST(a_torn_file_is_refused),
		TEST(a_page_from_elsewhere_is_refused),
		TEST(rows_that_refer_to_nothing_are_refused),
		TEST(a_store_in_use_is_not_replaced),
		TEST(a_restored_store_takes_the_place_of_the_old),
		TEST(what_stood_beside_the_old_store_is_gone),
		TEST(a_refusal_leaves_what_stood_beside_the_old_store),
		TEST(a_damaged_store_can_be_replaced),
		TEST(an_older_store_is_restored_and_then_migrated),
	};

	return cmocka_run_group_tests_name("store/backup", tests, NULL, NULL);
}
