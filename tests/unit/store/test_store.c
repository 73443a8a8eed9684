/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, transactions and what the store keeps of itself. */
#include <fcntl.h>
#include <sqlite3.h>

#include "fixture.h"
#include "store/store_priv.h"

static enum ks_err open_quietly(const char *uri, enum ks_store_mode mode)
{
	struct ks_store *store = NULL;
	enum ks_err err = ks_store_open(uri, mode, &store);

	if (err == KS_OK) {
		ks_store_close(&store);
		return KS_OK;
	}
	assert_null(store);
	assert_true(strlen(ks_store_error(NULL)) > 0);
	return err;
}

static void run_sql(const char *path, const char *sql)
{
	sqlite3 *db;

	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	int rc = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (rc != SQLITE_OK)
		print_message("%s: %s\n", sql, sqlite3_errmsg(db));
	assert_int_equal(rc, SQLITE_OK);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* ---- opening ---- */

static void bad_uris_are_refused(void **state)
{
	static const char *const uris[] = {"",        "sqlite", "sqlite:",  "postgresql://localhost/ks",
					   "mysql:x", "file:x", "/tmp/x.db"};
	char longest[5000];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(uris); i++) {
		assert_int_equal(open_quietly(uris[i], KS_STORE_WRITER), KS_MALFORMED);
		assert_int_equal(open_quietly(uris[i], KS_STORE_READER), KS_MALFORMED);
	}
	memset(longest, 'a', sizeof(longest));
	memcpy(longest, "sqlite:", 7);
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(open_quietly(longest, KS_STORE_WRITER), KS_MALFORMED);
}

static void a_reader_needs_a_store(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(open_quietly(f->uri, KS_STORE_READER), KS_NOT_FOUND);
	assert_int_not_equal(access(f->path, F_OK), 0);
}

static void a_folder_above_that_is_missing_is_not_made(void **state)
{
	struct fixture *f = *state;
	char uri[160];

	snprintf(uri, sizeof(uri), "sqlite:%s/no/such/keystile.db", f->folder);
	assert_int_equal(open_quietly(uri, KS_STORE_WRITER), KS_NOT_FOUND);
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 0777;
}

static void files_are_their_owners_alone(void **state)
{
	struct fixture *f = *state;
	char path[160];
	mode_t before = umask(0);

	open_writer(f);
	make_world(f->store);
	umask(before);
	assert_int_equal(mode_of(f->path), 0600);
	snprintf(path, sizeof(path), "%s/data", f->folder);
	assert_int_equal(mode_of(path), 0700);
	static const char *const suffixes[] = {"-wal", "-shm", "-lock"};
	for (size_t i = 0; i < KS_ARRAY_LEN(suffixes); i++) {
		snprintf(path, sizeof(path), "%s%s", f->path, suffixes[i]);
		assert_int_equal(mode_of(path), 0600);
	}
}

static void a_relative_path_that_looks_like_something_else_is_a_path(void **state)
{
	struct fixture *f = *state;
	char before[4096];

	assert_non_null(getcwd(before, sizeof(before)));
	assert_int_equal(chdir(f->folder), 0);
	assert_int_equal(open_quietly("sqlite::memory:", KS_STORE_WRITER), KS_OK);
	assert_int_equal(access(":memory:", F_OK), 0);
	assert_int_equal(open_quietly("sqlite:file:x?mode=memory", KS_STORE_WRITER), KS_OK);
	assert_int_equal(access("file:x?mode=memory", F_OK), 0);
	assert_int_equal(chdir(before), 0);
}

static void what_is_no_database_is_found_out(void **state)
{
	struct fixture *f = *state;
	char junk[8192];

	open_writer(f);
	ks_store_close(&f->store);
	memset(junk, 'x', sizeof(junk));
	write_file(f->path, junk, sizeof(junk));
	assert_int_equal(open_quietly(f->uri, KS_STORE_WRITER), KS_CORRUPT);
	assert_int_equal(open_quietly(f->uri, KS_STORE_READER), KS_CORRUPT);
	assert_int_equal(file_size(f->path), sizeof(junk));
}

static void another_programs_database_is_left_alone(void **state)
{
	struct fixture *f = *state;
	char path[160];
	char uri[192];

	snprintf(path, sizeof(path), "%s/other.db", f->folder);
	snprintf(uri, sizeof(uri), "sqlite:%s", path);
	run_sql(path, "CREATE TABLE theirs (x); PRAGMA journal_mode = DELETE");
	assert_int_equal(open_quietly(uri, KS_STORE_WRITER), KS_CORRUPT);
	assert_int_equal(open_quietly(uri, KS_STORE_READER), KS_CORRUPT);
	run_sql(path, "PRAGMA application_id = 7; PRAGMA user_version = 1");
	assert_int_equal(open_quietly(uri, KS_STORE_WRITER), KS_CORRUPT);
	run_sql(path, "INSERT INTO theirs VALUES (1)");
	snprintf(path, sizeof(path), "%s/other.db-wal", f->folder);
	assert_int_not_equal(access(path, F_OK), 0);
}

static void damage_is_found_out(void **state)
{
	struct fixture *f = *state;
	size_t keys = 0;

	open_writer(f);
	make_world(f->store);
	assert_ok(ks_store_begin(f->store));
	for (uint64_t i = 0; i < 3000; i++)
		put_key(f->store, FIRST_KEY + i);
	assert_ok(ks_store_commit(f->store));
	ks_store_close(&f->store);

	/* Every page but the first is overwritten. */
	size_t n = file_size(f->path);
	char page[4096];
	memset(page, 0xa5, sizeof(page));
	int fd = open(f->path, O_WRONLY);
	assert_true(fd >= 0);
	for (size_t at = sizeof(page); at < n; at += sizeof(page))
		assert_int_equal(pwrite(fd, page, sizeof(page), (off_t)at), sizeof(page));
	close(fd);
	enum ks_err err = ks_store_open(f->uri, KS_STORE_WRITER, &f->store);
	if (err == KS_OK)
		err = ks_store_keys(f->store,
				    &(struct ks_key_filter){.limit = SIZE_MAX,
							    .status = KS_KEY_STATUS_ANY,
							    .kind = KS_KIND_COUNT,
							    .environment = KS_ENVIRONMENT_COUNT},
				    take_no_key, &keys);
	assert_int_equal(err, KS_CORRUPT);
	assert_int_equal(keys, 0);
}

static void a_row_that_cannot_be_ours_is_damage(void **state)
{
	static const char *const damages[] = {
		"UPDATE grants SET body = body; DROP TRIGGER keys_fixed; UPDATE keys SET kind = 99",
		"UPDATE keys SET kind = 1, environment = -1",
		"UPDATE keys SET environment = 0, binding = 6",
		"UPDATE keys SET binding = 0, imported = 2",
	};
	struct fixture *f = *state;
	struct ks_store *reader;

	open_writer(f);
	make_world(f->store);
	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	assert_ok(ks_store_commit(f->store));
	ks_store_close(&f->store);
	for (size_t i = 0; i < KS_ARRAY_LEN(damages); i++) {
		run_sql(f->path, damages[i]);
		reader = open_reader(f);
		assert_int_equal(ks_store_key_get(reader, FIRST_KEY, take_no_key, NULL), KS_CORRUPT);
		ks_store_close(&reader);
	}
}

static void two_writers_exclude_each_other(void **state)
{
	struct fixture *f = *state;

	open_writer(f);
	assert_int_equal(open_quietly(f->uri, KS_STORE_WRITER), KS_BUSY);
	fflush(NULL);
	pid_t child = fork();
	if (child == 0)
		_exit(open_quietly(f->uri, KS_STORE_WRITER) == KS_BUSY && open_quietly(f->uri, KS_STORE_READER) == KS_OK
			      ? 0
			      : 1);
	int status;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	ks_store_close(&f->store);
	open_writer(f);
}

static void the_identity_stays(void **state)
{
	struct fixture *f = *state;
	uint8_t first[16], again[16], other[16];
	static const uint8_t none[16];

	open_writer(f);
	assert_ok(ks_store_identity(f->store, first));
	assert_memory_not_equal(first, none, sizeof(first));
	ks_store_close(&f->store);
	open_writer(f);
	assert_ok(ks_store_identity(f->store, again));
	assert_memory_equal(first, again, sizeof(first));
	ks_store_close(&f->store);
	unlink(f->path);
	open_writer(f);
	assert_ok(ks_store_identity(f->store, other));
	assert_memory_not_equal(first, other, sizeof(first));
}

static void settings_are_in_force(void **state)
{
	const struct {
		const char *pragma;
		int64_t expected;
	} cases[] = {{"PRAGMA application_id", 0x4b657973}, {"PRAGMA user_version", (int64_t)ks_sql_sqlite.migration_count}, {"PRAGMA page_size", 4096}};
	struct fixture *f = *state;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		sqlite3_stmt *stmt;
		assert_int_equal(sqlite3_prepare_v2(db, cases[i].pragma, -1, &stmt, NULL), SQLITE_OK);
		assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
		assert_int_equal(sqlite3_column_int64(stmt, 0), cases[i].expected);
		sqlite3_finalize(stmt);
	}
	sqlite3_stmt *stmt;
	assert_int_equal(sqlite3_prepare_v2(db, "PRAGMA journal_mode", -1, &stmt, NULL), SQLITE_OK);
	assert_int_equal(sqlite3_step(stmt), SQLITE_ROW);
	assert_string_equal((const char *)sqlite3_column_text(stmt, 0), "wal");
	sqlite3_finalize(stmt);
	sqlite3_close(db);
}

/* ---- versions ---- */

static const unsigned char script_2[] =
	"CREATE TABLE second (x INTEGER NOT NULL) STRICT; INSERT INTO second VALUES (2)";
static const size_t script_2_size = sizeof(script_2) - 1;
static const unsigned char script_bad[] =
	"CREATE TABLE third (x INTEGER) STRICT; CREATE TABLE second (again INTEGER) STRICT";
static const size_t script_bad_size = sizeof(script_bad) - 1;

#define STEPS_MAX 64

/* The driver's own, one more, and a bad one; how many the driver's own are. */
static size_t make_steps(struct ks_sql_migration steps[STEPS_MAX])
{
	size_t own = ks_sql_sqlite.migration_count;

	assert_true(own + 2 <= STEPS_MAX);
	for (size_t i = 0; i < own; i++)
		steps[i] = ks_sql_sqlite.migrations[i];
	steps[own] = (struct ks_sql_migration){"second", script_2, &script_2_size};
	steps[own + 1] = (struct ks_sql_migration){"bad", script_bad, &script_bad_size};
	return own;
}

static int64_t schema_version(struct ks_store *store)
{
	unsigned version;

	assert_ok(store->driver->version(store->sql, &version));
	return version;
}

static void a_newer_store_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ks_sql_migration steps[STEPS_MAX];
	size_t own = make_steps(steps);
	char version[32];

	assert_ok(ks_store_open_with(f->uri, KS_STORE_WRITER, steps, own + 1, &f->store));
	ks_store_close(&f->store);
	assert_int_equal(open_quietly(f->uri, KS_STORE_WRITER), KS_VERSION);
	assert_non_null(strstr(ks_store_error(NULL), "newer program"));
	(void)snprintf(version, sizeof(version), "version %zu", own + 1);
	assert_non_null(strstr(ks_store_error(NULL), version));
	assert_int_equal(open_quietly(f->uri, KS_STORE_READER), KS_VERSION);
}

static void an_older_store_is_migrated_by_a_writer_alone(void **state)
{
	struct fixture *f = *state;
	struct ks_sql_migration steps[STEPS_MAX];
	size_t own = make_steps(steps);

	open_writer(f);
	make_world(f->store);
	ks_store_close(&f->store);
	assert_int_equal(ks_store_open_with(f->uri, KS_STORE_READER, steps, own + 1, &f->store), KS_VERSION);
	assert_ok(ks_store_open_with(f->uri, KS_STORE_WRITER, steps, own + 1, &f->store));
	assert_int_equal(schema_version(f->store), own + 1);
	struct ks_store_counts counts;
	assert_ok(ks_store_counts(f->store, &counts));
	assert_int_equal(counts.tenants, 6);
	ks_store_close(&f->store);
	assert_ok(ks_store_open_with(f->uri, KS_STORE_READER, steps, own + 1, &f->store));
}

static void a_migration_that_fails_changes_nothing(void **state)
{
	struct fixture *f = *state;
	struct ks_sql_migration steps[STEPS_MAX];
	size_t own = make_steps(steps);

	open_writer(f);
	make_world(f->store);
	ks_store_close(&f->store);
	assert_int_not_equal(ks_store_open_with(f->uri, KS_STORE_WRITER, steps, own + 2, &f->store), KS_OK);
	assert_null(f->store);
	open_writer(f);
	assert_int_equal(schema_version(f->store), own);
	ks_store_close(&f->store);
	run_sql(f->path, "CREATE TABLE second (free INTEGER)");
}

static void a_migration_that_was_edited_is_found_out(void **state)
{
	struct fixture *f = *state;
	struct ks_sql_migration steps[STEPS_MAX];
	size_t own = make_steps(steps);

	assert_ok(ks_store_open_with(f->uri, KS_STORE_WRITER, steps, own + 1, &f->store));
	ks_store_close(&f->store);
	steps[own].text = script_bad;
	steps[own].size = &script_bad_size;
	assert_int_equal(ks_store_open_with(f->uri, KS_STORE_WRITER, steps, own + 1, &f->store), KS_CORRUPT);
	assert_int_equal(ks_store_open_with(f->uri, KS_STORE_READER, steps, own + 1, &f->store), KS_CORRUPT);
}

/* Released migrations are never edited: whoever changes one must mean it, and change this digest too. */
static void migrations_are_those_that_were_released(void **state)
{
	static const char *const released[] = {
		"ba7b063d935da6568fcffef20b859b959f99bbdf96eedec9570844c38be06e83",
		"3ab3abeea87b46ecdbef3e6784eff8399db6eda6b04dae472f85f70c7d8ebb9f",
		"627e9dc186c16b92a62ff5d702e5ddfcfac5f1d41a2768e1afab88f4d75e227d",
		"fa6fab880c72da6888dd6352c1b471acc1c1d24015cd06dadb1884ce1e3d8f31",
		"dc53b39e272eb8e249b557660c68f5e3612f9b82a72ff94e73dffbc3b29e195b",
		"e86ceab8834add8e8efe957e3149482e860368e9feeab120183bc2f12f94112b",
		"022bb3ed403ddf5a822e4de382531608c5146f5d498ecc74862a6d5845c8b732",
		"65f95de7add488a0cc3f53374a9a7f0795ab856e4f859b64e0fda2b7b70efc96",
		"d813c15d8bee3a7da13936d144f060af0832e8290962e256a25e17e9a5f2673f",
		"af6a3a523b2546cea28adca2578fa952f4ceebea8018536d847a8e15a097febf",
		"30978c43463259c09bdf57514564991fd0d614f871eb847ea103f12187a139b6",
		"6b67f4e029b5e8d9fc39b19fd2c08f5608f95ca0e50b18190318ae5da7cb0277",
		"928043e0f8385fe257453f56ddba38b0fcc39425d5114150c3ad8608f6fd46e3",
		"e45491f015694e15415c6dcc0c6d0063eb475bebcd893298f7012c167032d635",
		"4b2417835dc3375b4e97ebbd2a05e59dc7eb6f9a263f2f53f8fa5f4a726f9cdc",
		"ee0e363b90aae62d39dcf7bab145e0f88eb55698603a29774a7466c3465b4cd2",
		"7694e46626b8ac202b2b9501b9a0834b58c8c63b0da284052af04322cb4fc57f",
		"1cd282d986dc937622f9600c7d2b6701c5269cb85b6eb17ab242e44df964ddd4",
	};

	(void)state;
	assert_int_equal(ks_sql_sqlite.migration_count, KS_ARRAY_LEN(released));
	for (size_t i = 0; i < KS_ARRAY_LEN(released); i++) {
		const struct ks_sql_migration *step = &ks_sql_sqlite.migrations[i];
		struct ks_digest digest;
		char hex[2 * KS_SHA256_SIZE + 1];
		assert_ok(ks_sha256(ks_str_of((const char *)step->text, *step->size), &digest));
		for (size_t b = 0; b < KS_SHA256_SIZE; b++)
			snprintf(&hex[2 * b], 3, "%02x", digest.bytes[b]);
		assert_string_equal(hex, released[i]);
	}
}

/* ---- transactions ---- */

static void changes_need_a_transaction_of_a_writer(void **state)
{
	struct fixture *f = *state;
	struct ks_key_row key = key_row(FIRST_KEY, ORG_A, ORG_A, 1);
	struct ks_store *reader = open_reader(f);

	assert_int_equal(ks_store_key_insert(f->store, &key), KS_STORE);
	assert_int_equal(ks_store_keys_insert(f->store, &key, 1), KS_STORE);
	assert_ok(ks_store_begin(reader));
	assert_int_equal(ks_store_key_insert(reader, &key), KS_STORE);
	assert_int_equal(ks_store_savepoint(reader), KS_STORE);
	ks_store_rollback(reader);
	ks_store_close(&reader);
	assert_false(has_key(f->store, FIRST_KEY));
}

static void transactions_out_of_order_are_refused(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ks_store_commit(f->store), KS_STORE);
	ks_store_rollback(f->store);
	ks_store_rollback_to(f->store);
	assert_int_equal(ks_store_savepoint(f->store), KS_STORE);
	assert_int_equal(ks_store_release(f->store), KS_STORE);
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_begin(f->store), KS_STORE);
	assert_ok(ks_store_savepoint(f->store));
	assert_int_equal(ks_store_savepoint(f->store), KS_STORE);
	assert_ok(ks_store_release(f->store));
	assert_ok(ks_store_commit(f->store));
}

static void a_rollback_keeps_nothing(void **state)
{
	struct fixture *f = *state;
	uint64_t seq, before, after;

	assert_ok(ks_store_change_last(f->store, &before));
	assert_ok(ks_store_begin(f->store));
	assert_ok(create_key(f->store, FIRST_KEY));
	assert_ok(ks_store_change_append(f->store, KS_CHANGE_KEY, 1, 0, &seq));
	assert_int_equal(seq, before + 2);
	assert_int_equal(key_count(f->store), 1);
	ks_store_rollback(f->store);
	assert_false(has_key(f->store, FIRST_KEY));
	assert_int_equal(key_count(f->store), 0);
	assert_ok(ks_store_change_last(f->store, &after));
	assert_int_equal(after, before);
}

static void a_savepoint_undoes_its_own_part(void **state)
{
	struct fixture *f = *state;
	struct ks_key_row taken = key_row(FIRST_KEY, ORG_A, ORG_A, 1);
	uint64_t grant, seq;
	bool made;

	assert_ok(ks_store_begin(f->store));
	assert_ok(create_key(f->store, FIRST_KEY));
	assert_ok(ks_store_savepoint(f->store));
	assert_ok(create_key(f->store, FIRST_KEY + 1));
	assert_ok(ks_store_grant_intern(f->store, KS_STR("{\"x\":1}"), &grant, &made));
	assert_true(made);
	taken.grant = grant;
	assert_int_equal(ks_store_key_insert(f->store, &taken), KS_CONFLICT);
	ks_store_rollback_to(f->store);
	assert_ok(ks_store_change_append(f->store, KS_CHANGE_GRANT, 1, 0, &seq));
	assert_int_equal(seq, 2);
	/* The grant is gone, and what was remembered of it. */
	taken.id = FIRST_KEY + 2;
	assert_int_equal(ks_store_key_insert(f->store, &taken), KS_NOT_FOUND);
	assert_ok(ks_store_savepoint(f->store));
	assert_ok(create_key(f->store, FIRST_KEY + 3));
	assert_ok(ks_store_release(f->store));
	assert_ok(ks_store_commit(f->store));
	assert_true(has_key(f->store, FIRST_KEY));
	assert_false(has_key(f->store, FIRST_KEY + 1));
	assert_true(has_key(f->store, FIRST_KEY + 3));
	assert_int_equal(key_count(f->store), 2);
}

static void a_snapshot_stands_still(void **state)
{
	struct fixture *f = *state;
	struct ks_store *reader = open_reader(f);

	assert_ok(ks_store_begin(reader));
	assert_ok(ks_store_begin(f->store));
	put_key(f->store, FIRST_KEY);
	assert_false(has_key(reader, FIRST_KEY));
	assert_ok(ks_store_commit(f->store));
	assert_false(has_key(reader, FIRST_KEY));
	assert_int_equal(key_count(reader), 0);
	assert_ok(ks_store_commit(reader));
	assert_true(has_key(reader, FIRST_KEY));
	assert_int_equal(key_count(reader), 1);
	ks_store_close(&reader);
}

static enum ks_err list_again(void *ctx, const struct ks_tenant_row *row)
{
	struct ks_store *store = ctx;
	struct ks_tenant_filter filter = {.parent = row->id, .kind = KS_TENANT_KIND_COUNT, .limit = SIZE_MAX};
	uint64_t id = row->id;

	KS_TRY(ks_store_tenants(store, &filter, list_again, store));
	/* The row is still there after its statement was used within itself. */
	return id == row->id && ks_str_eq(row->name, KS_STR("a tenant")) ? KS_OK : KS_CORRUPT;
}

static void a_list_may_be_read_within_itself(void **state)
{
	struct fixture *f = *state;
	struct ks_tenant_filter filter = {.parent = OPERATOR, .kind = KS_TENANT_KIND_COUNT, .limit = SIZE_MAX};

	assert_ok(ks_store_tenants(f->store, &filter, list_again, f->store));
}

static void what_is_kept_survives_a_close(void **state)
{
	struct fixture *f = *state;
	struct ks_store_counts counts;
	uint64_t last;

	assert_ok(ks_store_begin(f->store));
	struct ks_key_row limited = key_row(FIRST_KEY + 7, ORG_A, ORG_A, 2);
	assert_ok(ks_store_key_insert(f->store, &limited));
	put_key(f->store, FIRST_KEY);
	assert_ok(ks_store_commit(f->store));
	ks_store_close(&f->store);
	open_writer(f);
	assert_ok(ks_store_counts(f->store, &counts));
	assert_int_equal(counts.keys, 2);
	assert_int_equal(counts.keys_limited, 1);
	assert_int_equal(counts.tenants, 6);
	assert_int_equal(counts.users, 1);
	assert_int_equal(counts.grants, 2);
	assert_ok(ks_store_last_id(f->store, &last));
	assert_int_equal(last, FIRST_KEY + 7);
}

static void rows_beyond_their_limits_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[KS_STORE_LABELS_MAX + 2];
	struct ks_key_row row = key_row(FIRST_KEY, ORG_A, ORG_A, 1);

	memset(text, 'a', sizeof(text));
	assert_ok(ks_store_begin(f->store));
	row.name = ks_str_of(text, KS_STORE_NAME_MAX + 1);
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_TOO_LARGE);
	row.name = ks_str_of("a\0b", 3);
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_MALFORMED);
	row.name = KS_STR("\xc0\xaf");
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_MALFORMED);
	row.name = KS_STR("ok");
	row.labels = ks_str_of(text, KS_STORE_LABELS_MAX + 1);
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_TOO_LARGE);
	row.labels = ks_str_of(text, KS_STORE_LABELS_MAX);
	row.id = 0;
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_MALFORMED);
	row.id = UINT64_C(1) << 63;
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_MALFORMED);
	row.id = INT64_MAX;
	row.kind = KS_KIND_COUNT;
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_MALFORMED);
	row.kind = KS_KIND_TENANT;
	row.created_at = KS_TIME_NONE;
	assert_int_equal(ks_store_key_insert(f->store, &row), KS_MALFORMED);
	row.created_at = NOW;
	row.name = ks_str_of(NULL, 0);
	assert_ok(ks_store_key_insert(f->store, &row));
	assert_ok(ks_store_commit(f->store));
	assert_true(has_key(f->store, INT64_MAX));
	assert_int_equal(key_count(f->store), 1);
}

/* ---- the write-ahead log ---- */

/* Changes whenever the log begins anew. */
static uint32_t log_salt(const struct fixture *f)
{
	char path[160];
	uint32_t salt = 0;

	snprintf(path, sizeof(path), "%s-wal", f->path);
	int fd = open(path, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &salt, sizeof(salt), 16), sizeof(salt));
	close(fd);
	return salt;
}

/* Commits long rows until the log begins anew; false if it does not within `most` commits. */
static bool fill_log(struct fixture *f, const char *body, int most)
{
	uint32_t before = log_salt(f);

	for (int i = 0; i < most; i++) {
		struct ks_idempotency_row row = {.principal = KS_STR("local"),
						 .key = KS_STR("long"),
						 .created_at = NOW,
						 .body = ks_str_of(body, KS_STORE_BODY_MAX)};
		assert_ok(ks_store_begin(f->store));
		assert_ok(ks_store_idempotency_put(f->store, &row));
		assert_ok(ks_store_idempotency_trim(f->store, NOW + 1));
		assert_ok(create_key(f->store, FIRST_KEY + key_count(f->store)));
		assert_ok(ks_store_commit(f->store));
		if (log_salt(f) != before)
			return true;
	}
	return false;
}

static void the_log_begins_anew(void **state)
{
	struct fixture *f = *state;
	char *body = malloc(KS_STORE_BODY_MAX);

	assert_non_null(body);
	memset(body, 'b', KS_STORE_BODY_MAX);
	assert_true(fill_log(f, body, 3000));
	assert_true(fill_log(f, body, 3000));
	free(body);
}

static void a_reader_holds_the_log_until_it_is_done(void **state)
{
	struct fixture *f = *state;
	struct ks_store *reader = open_reader(f);
	char *body = malloc(KS_STORE_BODY_MAX);

	assert_non_null(body);
	memset(body, 'b', KS_STORE_BODY_MAX);
	assert_ok(ks_store_begin(reader));
	assert_false(fill_log(f, body, 150));
	assert_int_equal(key_count(reader), 0);
	ks_store_rollback(reader);
	assert_int_equal(key_count(reader), 150);
	assert_true(fill_log(f, body, 3000));
	ks_store_close(&reader);
	free(body);
}

static void nothing_may_be_closed(void **state)
{
	struct ks_store *store = NULL;

	(void)state;
	ks_store_close(&store);
	assert_null(store);
	assert_non_null(ks_store_error(NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_uris_are_refused),
		cmocka_unit_test(nothing_may_be_closed),
		TEST_IN_FOLDER(a_reader_needs_a_store),
		TEST_IN_FOLDER(a_folder_above_that_is_missing_is_not_made),
		TEST_IN_FOLDER(files_are_their_owners_alone),
		TEST_IN_FOLDER(a_relative_path_that_looks_like_something_else_is_a_path),
		TEST_IN_FOLDER(what_is_no_database_is_found_out),
		TEST_IN_FOLDER(another_programs_database_is_left_alone),
		TEST_IN_FOLDER(damage_is_found_out),
		TEST_IN_FOLDER(a_row_that_cannot_be_ours_is_damage),
		TEST_IN_FOLDER(two_writers_exclude_each_other),
		TEST_IN_FOLDER(the_identity_stays),
		TEST(settings_are_in_force),
		TEST_IN_FOLDER(a_newer_store_is_refused),
		TEST_IN_FOLDER(an_older_store_is_migrated_by_a_writer_alone),
		TEST_IN_FOLDER(a_migration_that_fails_changes_nothing),
		TEST_IN_FOLDER(a_migration_that_was_edited_is_found_out),
		cmocka_unit_test(migrations_are_those_that_were_released),
		TEST(changes_need_a_transaction_of_a_writer),
		TEST(transactions_out_of_order_are_refused),
		TEST(a_rollback_keeps_nothing),
		TEST(a_savepoint_undoes_its_own_part),
		TEST(a_snapshot_stands_still),
		TEST(a_list_may_be_read_within_itself),
		TEST(what_is_kept_survives_a_close),
		TEST(rows_beyond_their_limits_are_refused),
		TEST(the_log_begins_anew),
		TEST(a_reader_holds_the_log_until_it_is_done),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
