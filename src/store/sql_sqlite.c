/* SPDX-License-Identifier: Apache-2.0 */
/* The embedded driver: with sql_sqlite_extend.c the only one that knows SQLite. docs/internals/store.md says why each
 * setting is what it is. */
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "store/files.h"
#include "store/sql.h"
#include "store/sql_sqlite_priv.h"

#if SQLITE_VERSION_NUMBER < 3037000
#error "STRICT tables need SQLite 3.37"
#endif

/* "Keys" */
#define APPLICATION_ID 0x4b657973

#define CONNECTION_FLAGS (SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE)
#define BUSY_MS 5000
#define WRITER_CACHE_KIB 262144
#define READER_CACHE_KIB 65536
/* Pages in the write-ahead log at which it is copied back, and bytes to which it is cut after it grew beyond that. */
#define CHECKPOINT_PAGES 16384
#define WAL_KEPT_BYTES (128 << 20)
#define BACKUP_STEP_PAGES 1024
#define SQL_TEXT_MAX 4096
/* Such copies (of a savepoint too) are kept in one piece of memory, and go to a file beyond this. Where it is not
 * touched it is not there; with temp_store = MEMORY there would be four small pieces a page instead. The piece moves in
 * one write, and SQLite takes one of more than 0x1ffff bytes for a full disk. */
#define UNDO_BYTES ((128 << 10) - 1)

/* X(number and name, name) */
#define MIGRATIONS(X) \
	X(0001_truth, "truth") \
	X(0002_seal, "seal") \
	X(0003_people, "people") \
	X(0004_events, "events") \
	X(0005_issuer_keys, "issuer_keys") \
	X(0006_notices, "notices") \
	X(0007_federation, "federation") \
	X(0008_usage_mark, "usage_mark") \
	X(0009_lists, "lists") \
	X(0010_vault, "vault") \
	X(0011_links, "links") \
	X(0012_provider_health, "provider_health") \
	X(0013_audit_trees, "audit_trees") \
	X(0014_held, "held") \
	X(0015_deliveries, "deliveries") \
	X(0016_call_codes, "call_codes") \
	X(0017_sources, "sources") \
	X(0018_leases, "leases")

#define X(file, name)                                           \
	extern const unsigned char ks_embedded_store_##file[]; \
	extern const size_t ks_embedded_store_##file##_size;
MIGRATIONS(X)
#undef X

static const struct ks_sql_migration migrations[] = {
#define X(file, name) {name, ks_embedded_store_##file, &ks_embedded_store_##file##_size},
	MIGRATIONS(X)
#undef X
};

struct ks_sql_stmt {
	struct ks_sql *sql;
	sqlite3_stmt *stmt;
	bool busy;
	bool extra; /* beside the kept one, which was busy */
};

struct ks_sql {
	sqlite3 *db;
	enum ks_store_mode mode;
	int lock;                                    /* -1: none */
	int wal_pages;                               /* as of the last commit */
	int checkpoint_due;                          /* at so many */
	bool asked;                                  /* the checkpointer, since the log began anew */
	struct ks_sqlite_checkpointer *checkpointer; /* NULL: the writer does it itself */
	struct ks_sql_error *error;
	struct ks_sqlite_rows rows;
	struct ks_sql_stmt kept[KS_SQL_COUNT];
	struct {
		sqlite3_stmt *stmt;
		size_t varying;
	} kept_many[KS_SQL_COUNT];
	bool unchecked;                              /* references are not checked at the moment */
	sqlite3_stmt *begin, *commit;                /* NULL: not compiled yet */
	char path[KS_PATH_MAX];
};

/* ---- errors ---- */

static KS_COLD enum ks_err failed(struct ks_sql *sql, int rc, const char *what)
{
	ks_sql_explain(sql->error, "%s: %s (%d)", what, sql->db ? sqlite3_errmsg(sql->db) : sqlite3_errstr(rc), rc);
	return sql->db ? ks_sqlite_err(sql->db, rc) : KS_STORE;
}

static enum ks_err run(struct ks_sql *sql, const char *script, const char *what)
{
	int rc = sqlite3_exec(sql->db, script, NULL, NULL, NULL);

	return rc == SQLITE_OK ? KS_OK : failed(sql, rc, what);
}

/* The number that the one row of `text` gives. */
static enum ks_err number_of(struct ks_sql *sql, const char *text, int64_t *ret_number)
{
	sqlite3_stmt *stmt;
	int64_t number = 0;
	int rc = sqlite3_prepare_v2(sql->db, text, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return failed(sql, rc, "cannot read the store");
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		number = sqlite3_column_int64(stmt, 0);
	enum ks_err err = rc == SQLITE_ROW ? KS_OK : failed(sql, rc, "cannot read the store");
	sqlite3_finalize(stmt);
	if (err == KS_OK)
		*ret_number = number;
	return err;
}

/* What SQLite has once a process; refused if it runs already. */
static void prepare_process(const char *path)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static bool done;

	pthread_mutex_lock(&lock);
	if (!done) {
		/* Nobody asks how much memory SQLite has in use, and counting it takes a lock of the whole process. */
		sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0);
		sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, UNDO_BYTES);
		/* Copies of pages go where the pages are: into the folder that is its owner's alone, and that can be
		 * written to. */
		sqlite3_temp_directory = sqlite3_mprintf("%.*s", (int)(strrchr(path, '/') - path), path);
		done = true;
	}
	pthread_mutex_unlock(&lock);
}

/* ---- opening ---- */

static int wal_grew(void *ctx, sqlite3 *db, const char *name, int pages)
{
	struct ks_sql *sql = ctx;

	(void)db;
	(void)name;
	/* Fewer than before: it began anew. */
	if (pages < sql->wal_pages) {
		sql->checkpoint_due = CHECKPOINT_PAGES;
		sql->asked = false;
	}
	sql->wal_pages = pages;
	return SQLITE_OK;
}

/* A connection with the settings that all have. */
static enum ks_err connect(struct ks_sql *sql, int flags)
{
	int rc = sqlite3_open_v2(sql->path, &sql->db, flags | CONNECTION_FLAGS, NULL);

	if (rc != SQLITE_OK)
		return failed(sql, rc, "cannot open the store");
	sqlite3_busy_timeout(sql->db, BUSY_MS);
	sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	sqlite3_db_config(sql->db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
	sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
	sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
	sqlite3_limit(sql->db, SQLITE_LIMIT_ATTACHED, 0);
	rc = ks_sqlite_extend(sql->db, &sql->rows);
	if (rc != SQLITE_OK)
		return failed(sql, rc, "cannot prepare the store");
	return run(sql, "PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON; PRAGMA secure_delete = OFF",
		   "cannot prepare the store");
}

static enum ks_err sqlite_version(struct ks_sql *sql, unsigned *ret_version)
{
	int64_t application;
	int64_t version;
	int64_t objects;

	KS_TRY(number_of(sql, "PRAGMA application_id", &application));
	KS_TRY(number_of(sql, "PRAGMA user_version", &version));
	KS_TRY(number_of(sql, "SELECT count(*) FROM sqlite_schema", &objects));
	bool empty = application == 0 && version == 0 && objects == 0;
	if (!empty && (application != APPLICATION_ID || version <= 0)) {
		ks_sql_explain(sql->error, "%s is the database of another program", sql->path);
		return KS_CORRUPT;
	}
	*ret_version = (unsigned)version;
	return KS_OK;
}

static enum ks_err sqlite_set_version(struct ks_sql *sql, unsigned version)
{
	char script[96];

	snprintf(script, sizeof(script), "PRAGMA application_id = %d; PRAGMA user_version = %u", APPLICATION_ID,
		 version);
	return run(sql, script, "cannot set the version");
}

/* Where there is none, the writer copies the log back itself. */
static void start_checkpointer(struct ks_sql *sql)
{
	sqlite3 *db;
	int rc = sqlite3_open_v2(sql->path, &db, SQLITE_OPEN_READWRITE | CONNECTION_FLAGS, NULL);

	if (rc == SQLITE_OK)
		rc = sqlite3_exec(db, "PRAGMA synchronous = FULL; PRAGMA wal_autocheckpoint = 0", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		sql->checkpointer = ks_sqlite_checkpointer_new(db);
	if (!sql->checkpointer)
		sqlite3_close_v2(db);
}

static enum ks_err set_up(struct ks_sql *sql)
{
	char script[256];
	unsigned version;

	/* Asked before anything is written: another program's database stays as it is. */
	KS_TRY(sqlite_version(sql, &version));
	if (sql->mode == KS_STORE_READER) {
		snprintf(script, sizeof(script), "PRAGMA cache_size = -%d", READER_CACHE_KIB);
		return run(sql, script, "cannot prepare the store");
	}
	snprintf(
		script, sizeof(script),
		"PRAGMA page_size = 4096; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;"
		/* What a statement may have to undo is small: without this SQLite takes and frees 64 KiB for it each time. */
		"PRAGMA cache_size = -%d; PRAGMA journal_size_limit = %d; PRAGMA temp_store = MEMORY",
		WRITER_CACHE_KIB, WAL_KEPT_BYTES);
	KS_TRY(run(sql, script, "cannot prepare the store"));
	/* Takes the place of SQLite's own checkpoints. */
	sql->checkpoint_due = CHECKPOINT_PAGES;
	sqlite3_wal_hook(sql->db, wal_grew, sql);
	start_checkpointer(sql);
	return KS_OK;
}

static enum ks_err make_place(struct ks_sql *sql)
{
	char lock[KS_PATH_MAX];

	KS_TRY(ks_file_beside(sql->path, "-lock", lock));
	KS_TRY(ks_file_make_folder(sql->path, sql->error));
	KS_TRY(ks_file_lock(lock, sql->error, &sql->lock));
	return ks_file_make(sql->path, sql->error);
}

/* What SQLite would take for a URI or for a name of its own becomes a plain path. */
static enum ks_err set_path(struct ks_sql *sql, const char *address)
{
	if (address[0] == '\0' || ks_file_beside(address[0] == '/' ? "" : "./", address, sql->path) != KS_OK) {
		ks_sql_explain(sql->error, "the store's path is empty or too long");
		return KS_MALFORMED;
	}
	return KS_OK;
}

static enum ks_err new_connection(const char *address, enum ks_store_mode mode, struct ks_sql_error *error,
				  struct ks_sql **ret_sql)
{
	struct ks_sql *sql = calloc(1, sizeof(*sql));

	if (!sql)
		return KS_MEMORY;
	sql->lock = -1;
	sql->mode = mode;
	sql->error = error;
	enum ks_err err = set_path(sql, address);
	if (err != KS_OK) {
		free(sql);
		return err;
	}
	prepare_process(sql->path);
	*ret_sql = sql;
	return KS_OK;
}

static void sqlite_close(struct ks_sql *sql)
{
	for (size_t i = 0; i < KS_SQL_COUNT; i++) {
		sqlite3_finalize(sql->kept[i].stmt);
		sqlite3_finalize(sql->kept_many[i].stmt);
	}
	sqlite3_finalize(sql->begin);
	sqlite3_finalize(sql->commit);
	if (sql->checkpointer)
		ks_sqlite_checkpointer_free(sql->checkpointer);
	sqlite3_close_v2(sql->db);
	if (sql->lock >= 0)
		close(sql->lock);
	free(sql);
}

static enum ks_err open_place(struct ks_sql *sql)
{
	if (sql->mode == KS_STORE_WRITER) {
		KS_TRY(make_place(sql));
	} else if (!ks_file_exists(sql->path)) {
		return ks_file_failed(sql->error, "cannot open", sql->path);
	}
	KS_TRY(connect(sql, sql->mode == KS_STORE_WRITER ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY));
	return set_up(sql);
}

static enum ks_err sqlite_open(const char *address, enum ks_store_mode mode, struct ks_sql_error *error,
			       struct ks_sql **ret_sql)
{
	struct ks_sql *sql;

	KS_TRY(new_connection(address, mode, error, &sql));
	enum ks_err err = open_place(sql);
	if (err != KS_OK) {
		sqlite_close(sql);
		return err;
	}
	*ret_sql = sql;
	return KS_OK;
}

static enum ks_err sqlite_exec(struct ks_sql *sql, const char *script)
{
	return run(sql, script, "a script failed");
}

/* ---- statements ---- */

/* SQLite numbers $1 by its first place in the text, ?1 by its number. */
static void dialect(struct ks_str text, struct ks_buf *buf)
{
	for (size_t i = 0; i < text.n; i++)
		ks_buf_put_byte(buf, text.p[i] == '$' ? '?' : text.p[i]);
}

static enum ks_err compile(struct ks_sql *sql, enum ks_sql_id id, struct ks_buf *text, sqlite3_stmt **ret_stmt)
{
	int rc = sqlite3_prepare_v3(sql->db, ks_buf_z(text), -1, SQLITE_PREPARE_PERSISTENT, ret_stmt, NULL);

	return rc == SQLITE_OK ? KS_OK : failed(sql, rc, ks_sql_name(id));
}

static enum ks_err compile_one(struct ks_sql *sql, enum ks_sql_id id, sqlite3_stmt **ret_stmt)
{
	char bytes[SQL_TEXT_MAX];
	struct ks_buf buf = KS_BUF(bytes);

	dialect(ks_str_c(ks_sql_text(id)), &buf);
	return compile(sql, id, &buf, ret_stmt);
}

/* "INSERT … VALUES ($1, …)" becomes "INSERT … SELECT c1, …, ?1, … FROM ks_rows": what is the same for all rows is bound,
 * which costs nothing for each. */
static enum ks_err compile_many(struct ks_sql *sql, enum ks_sql_id id, size_t count, size_t varying,
				sqlite3_stmt **ret_stmt)
{
	char bytes[SQL_TEXT_MAX];
	struct ks_buf buf = KS_BUF(bytes);
	struct ks_str text = ks_str_c(ks_sql_text(id));
	const char *values = strstr(text.p, " VALUES (");

	dialect(ks_str_sub(text, 0, values ? (size_t)(values - text.p) : 0), &buf);
	ks_buf_put_c(&buf, " SELECT ");
	for (size_t i = 1; i <= count; i++)
		ks_buf_printf(&buf, "%s%c%zu", i > 1 ? ", " : "", i > varying ? '?' : 'c', i > varying ? i - varying : i);
	ks_buf_put_c(&buf, " FROM ks_rows");
	return compile(sql, id, &buf, ret_stmt);
}

static enum ks_err sqlite_prepare(struct ks_sql *sql, enum ks_sql_id id, struct ks_sql_stmt **ret_stmt)
{
	struct ks_sql_stmt *stmt = &sql->kept[id];

	if (KS_UNLIKELY(stmt->busy)) {
		stmt = calloc(1, sizeof(*stmt));
		if (!stmt)
			return KS_MEMORY;
		stmt->extra = true;
	}
	if (KS_UNLIKELY(!stmt->stmt)) {
		enum ks_err err = compile_one(sql, id, &stmt->stmt);
		if (err != KS_OK) {
			if (stmt->extra)
				free(stmt);
			return err;
		}
		stmt->sql = sql;
	}
	stmt->busy = true;
	*ret_stmt = stmt;
	return KS_OK;
}

static void sqlite_finish(struct ks_sql_stmt *stmt)
{
	if (KS_UNLIKELY(stmt->extra)) {
		sqlite3_finalize(stmt->stmt);
		free(stmt);
		return;
	}
	sqlite3_reset(stmt->stmt);
	stmt->busy = false;
}

static int bind_one(sqlite3_stmt *stmt, int number, const struct ks_sql_value *value)
{
	const char *bytes = value->bytes.n ? value->bytes.p : "";

	switch (value->type) {
	case KS_SQL_NULL:
		return sqlite3_bind_null(stmt, number);
	case KS_SQL_INTEGER:
		return sqlite3_bind_int64(stmt, number, value->integer);
	case KS_SQL_TEXT:
		return sqlite3_bind_text64(stmt, number, bytes, value->bytes.n, SQLITE_STATIC, SQLITE_UTF8);
	case KS_SQL_BLOB:
		return sqlite3_bind_blob64(stmt, number, bytes, value->bytes.n, SQLITE_STATIC);
	}
	return SQLITE_MISUSE;
}

static enum ks_err sqlite_bind(struct ks_sql_stmt *stmt, const struct ks_sql_value *values, size_t count)
{
	if (KS_UNLIKELY((size_t)sqlite3_bind_parameter_count(stmt->stmt) != count))
		return failed(stmt->sql, SQLITE_RANGE, "wrong number of parameters");
	for (size_t i = 0; i < count; i++) {
		int rc = bind_one(stmt->stmt, (int)i + 1, &values[i]);
		if (KS_UNLIKELY(rc != SQLITE_OK))
			return failed(stmt->sql, rc, "cannot bind");
	}
	return KS_OK;
}

static enum ks_err sqlite_step(struct ks_sql_stmt *stmt, bool *ret_row)
{
	int rc = sqlite3_step(stmt->stmt);

	if (KS_UNLIKELY(rc != SQLITE_ROW && rc != SQLITE_DONE))
		return failed(stmt->sql, rc, "a statement failed");
	*ret_row = rc == SQLITE_ROW;
	return KS_OK;
}

/* One sqlite3_column_value and cheap looks at it cost half of sqlite3_column_type and its like. They take no lock, and
 * need none: a connection is used by one thread at a time. */
static void sqlite_row(struct ks_sql_stmt *stmt, struct ks_sql_value *ret_values, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct ks_sql_value *value = &ret_values[i];
		sqlite3_value *column = sqlite3_column_value(stmt->stmt, (int)i);
		int type = sqlite3_value_type(column);

		if (type == SQLITE_INTEGER) {
			value->type = KS_SQL_INTEGER;
			value->integer = sqlite3_value_int64(column);
		} else if (type == SQLITE_NULL) {
			value->type = KS_SQL_NULL;
			value->integer = 0;
		} else {
			/* A REAL, which no table has, is an empty blob to us: a damaged row. */
			const char *bytes = type == SQLITE_FLOAT ? NULL : sqlite3_value_blob(column);
			value->type = type == SQLITE_TEXT ? KS_SQL_TEXT : KS_SQL_BLOB;
			value->integer = 0;
			value->bytes = bytes ? ks_str_of(bytes, (size_t)sqlite3_value_bytes(column)) : KS_STR("");
		}
	}
}

static uint64_t sqlite_changed(struct ks_sql_stmt *stmt)
{
	return (uint64_t)sqlite3_changes64(stmt->sql->db);
}

/* One statement for the rows up to KS_SQLITE_MANY_ROWS, the first of which is in `values` already. */
static enum ks_err insert_some(struct ks_sql *sql, sqlite3_stmt *stmt)
{
	struct ks_sqlite_rows *rows = &sql->rows;

	rows->left = KS_SQLITE_MANY_ROWS;
	int rc = sqlite3_step(stmt);
	enum ks_err err = KS_OK;
	if (rows->err != KS_OK && rows->err != KS_NOT_FOUND)
		err = rows->err;
	else if (rc != SQLITE_DONE)
		err = failed(sql, rc, "a statement failed");
	sqlite3_reset(stmt);
	return err;
}

/* Statement after statement, until the source has no more. */
static enum ks_err insert_all(struct ks_sql *sql, sqlite3_stmt *stmt)
{
	struct ks_sqlite_rows *rows = &sql->rows;

	for (;;) {
		KS_TRY(insert_some(sql, stmt));
		if (rows->err == KS_OK)
			rows->err = rows->source(rows->ctx, rows->values);
		if (rows->err != KS_OK)
			return rows->err == KS_NOT_FOUND ? KS_OK : rows->err;
	}
}

static enum ks_err sqlite_insert_many(struct ks_sql *sql, enum ks_sql_id id, size_t count, size_t varying,
				      ks_sql_source *source, void *ctx)
{
	sqlite3_stmt **stmt = &sql->kept_many[id].stmt;
	struct ks_sqlite_rows *rows = &sql->rows;

	if (!*stmt || sql->kept_many[id].varying != varying) {
		sqlite3_finalize(*stmt);
		KS_TRY(compile_many(sql, id, count, varying, stmt));
		sql->kept_many[id].varying = varying;
	}
	rows->err = source(ctx, rows->values);
	if (rows->err != KS_OK)
		return rows->err == KS_NOT_FOUND ? KS_OK : rows->err;
	for (size_t i = varying; i < count; i++) {
		int rc = bind_one(*stmt, (int)(i - varying) + 1, &rows->values[i]);
		if (rc != SQLITE_OK)
			return failed(sql, rc, "cannot bind");
	}
	rows->source = source;
	rows->ctx = ctx;
	enum ks_err err = insert_all(sql, *stmt);
	rows->source = NULL;
	sqlite3_clear_bindings(*stmt);
	return err;
}

/* ---- transactions ---- */

static bool sqlite_in_transaction(const struct ks_sql *sql)
{
	return !sqlite3_get_autocommit(sql->db);
}

static void sqlite_rollback(struct ks_sql *sql)
{
	if (sqlite_in_transaction(sql))
		sqlite3_exec(sql->db, "ROLLBACK", NULL, NULL, NULL);
}

/* Compiled statements know whether references are checked: changing it makes SQLite compile them anew. */
static enum ks_err set_checking(struct ks_sql *sql, bool unchecked)
{
	if (sql->unchecked == unchecked)
		return KS_OK;
	KS_TRY(run(sql, unchecked ? "PRAGMA foreign_keys = OFF" : "PRAGMA foreign_keys = ON", "cannot begin"));
	sql->unchecked = unchecked;
	return KS_OK;
}

/* A statement without parameters or rows that is run again and again. */
static enum ks_err run_kept(struct ks_sql *sql, sqlite3_stmt **kept, const char *text, const char *what)
{
	int rc = *kept ? SQLITE_OK : sqlite3_prepare_v3(sql->db, text, -1, SQLITE_PREPARE_PERSISTENT, kept, NULL);
	enum ks_err err;

	if (rc != SQLITE_OK)
		return failed(sql, rc, what);
	rc = sqlite3_step(*kept);
	err = rc == SQLITE_DONE ? KS_OK : failed(sql, rc, what);
	sqlite3_reset(*kept);
	return err;
}

static enum ks_err sqlite_begin(struct ks_sql *sql, bool proven)
{
	int64_t ignored;

	if (sql->mode == KS_STORE_WRITER) {
		KS_TRY(set_checking(sql, proven));
		return run_kept(sql, &sql->begin, "BEGIN IMMEDIATE", "cannot begin");
	}
	KS_TRY(run(sql, "BEGIN", "cannot begin"));
	/* The snapshot is taken by the first read. */
	enum ks_err err = number_of(sql, "SELECT count(*) FROM sqlite_schema WHERE rowid = 1", &ignored);
	if (err != KS_OK)
		sqlite_rollback(sql);
	return err;
}

/* Copies the write-ahead log back, so that it can begin anew. What was committed stays committed: if this fails, or a
 * reader still needs the log, it is tried again when the log has grown by as much. */
static void checkpoint(struct ks_sql *sql)
{
	sqlite3_wal_checkpoint_v2(sql->db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
	sql->checkpoint_due = sql->wal_pages + CHECKPOINT_PAGES;
	sql->asked = false;
}

/* The log begins anew only where all of it is copied back and nothing is added meanwhile. So the checkpointer copies
 * most of it while commits go on, and what they add until it is done is copied here. */
static void checkpoint_if_due(struct ks_sql *sql)
{
	if (sql->wal_pages < sql->checkpoint_due)
		return;
	if (!sql->checkpointer) {
		checkpoint(sql);
	} else if (!sql->asked) {
		sql->asked = true;
		ks_sqlite_checkpointer_ask(sql->checkpointer);
	} else if (!ks_sqlite_checkpointer_busy(sql->checkpointer)) {
		checkpoint(sql);
	}
}

static enum ks_err sqlite_commit(struct ks_sql *sql)
{
	enum ks_err err = run_kept(sql, &sql->commit, "COMMIT", "cannot commit");

	if (err == KS_OK) {
		checkpoint_if_due(sql);
		return KS_OK;
	}
	sqlite_rollback(sql);
	/* On a full disk the log may be what fills it. */
	if (err == KS_DISK_FULL)
		checkpoint(sql);
	return err;
}

/* ---- backup ---- */

/* Copies under one read transaction of the source: a snapshot, whatever is committed meanwhile. */
static enum ks_err copy_pages(struct ks_sql *from, struct ks_sql *to,
			      void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx)
{
	int rc;

	KS_TRY(sqlite_begin(from, false));
	KS_TRY(run(to, "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF", "cannot prepare the copy"));
	sqlite3_backup *backup = sqlite3_backup_init(to->db, "main", from->db, "main");
	if (!backup)
		return failed(to, sqlite3_errcode(to->db), "cannot copy the store");
	do {
		rc = sqlite3_backup_step(backup, BACKUP_STEP_PAGES);
		int all = sqlite3_backup_pagecount(backup);
		if (progress && (rc == SQLITE_OK || rc == SQLITE_DONE))
			progress(ctx, (uint64_t)(all - sqlite3_backup_remaining(backup)), (uint64_t)all);
	} while (rc == SQLITE_OK);
	sqlite3_backup_finish(backup);
	return rc == SQLITE_DONE ? KS_OK : failed(to, rc, "cannot copy the store");
}

static enum ks_err backup_into(struct ks_sql *sql, const char *temporary,
			       void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx)
{
	struct ks_sql *from = NULL;
	struct ks_sql *to = NULL;
	enum ks_err err = sqlite_open(sql->path, KS_STORE_READER, sql->error, &from);

	if (err == KS_OK)
		err = new_connection(temporary, KS_STORE_WRITER, sql->error, &to);
	if (err == KS_OK)
		err = connect(to, SQLITE_OPEN_READWRITE);
	if (err == KS_OK)
		err = copy_pages(from, to, progress, ctx);
	if (to)
		sqlite_close(to);
	if (from)
		sqlite_close(from);
	return err;
}

static enum ks_err sqlite_backup(struct ks_sql *sql, const char *path,
				 void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx)
{
	char temporary[KS_PATH_MAX];
	int fd;

	if (ks_file_exists(path)) {
		ks_sql_explain(sql->error, "%s exists", path);
		return KS_CONFLICT;
	}
	KS_TRY(ks_file_temporary(path, sql->error, temporary, &fd));
	enum ks_err err = backup_into(sql, temporary, progress, ctx);
	if (err == KS_OK)
		err = ks_file_publish(fd, temporary, path, false, sql->error);
	close(fd);
	if (err != KS_OK)
		unlink(temporary);
	return err;
}

/* ---- restore ---- */

static enum ks_err check_text(struct ks_sql *sql, const char *pragma, const char *expected)
{
	sqlite3_stmt *stmt;
	enum ks_err err = KS_CORRUPT;
	int rc = sqlite3_prepare_v2(sql->db, pragma, -1, &stmt, NULL);

	if (rc != SQLITE_OK)
		return failed(sql, rc, "cannot check the copy");
	rc = sqlite3_step(stmt);
	const char *text = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(stmt, 0) : "";
	if (rc != SQLITE_ROW && rc != SQLITE_DONE)
		err = failed(sql, rc, "the file is damaged");
	else if (ks_str_eq(ks_str_c(text), ks_str_c(expected)))
		err = KS_OK;
	else
		ks_sql_explain(sql->error, "the file is damaged: %s", text ? text : "");
	sqlite3_finalize(stmt);
	return err;
}

/* The copy in `sql->path` is whole, and `accept` takes it. Leaves no file beside it. */
static enum ks_err check_copy(struct ks_sql *sql, enum ks_err (*accept)(void *ctx, struct ks_sql *sql), void *ctx)
{
	unsigned version;

	KS_TRY(connect(sql, SQLITE_OPEN_READWRITE));
	KS_TRY(sqlite_version(sql, &version));
	if (version == 0) {
		ks_sql_explain(sql->error, "the file holds no store");
		return KS_CORRUPT;
	}
	/* With the exclusive mode no shared memory is made beside it. */
	KS_TRY(run(sql, "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE", "cannot prepare the copy"));
	KS_TRY(check_text(sql, "PRAGMA integrity_check(1)", "ok"));
	KS_TRY(check_text(sql, "PRAGMA foreign_key_check", ""));
	return accept(ctx, sql);
}

static void remove_beside(const char *path)
{
	static const char *const suffixes[] = {"-wal", "-shm", "-journal"};
	char name[KS_PATH_MAX];

	for (size_t i = 0; i < KS_ARRAY_LEN(suffixes); i++) {
		if (ks_file_beside(path, suffixes[i], name) == KS_OK)
			unlink(name);
	}
}

/* Brings everything of the store that will be replaced into its one file, so that what stands beside it can go, and a
 * crash before the replacement leaves it whole. A damaged one cannot be brought together, and loses what stood beside
 * it. */
static enum ks_err settle(struct ks_sql *target)
{
	if (!ks_file_exists(target->path)) {
		remove_beside(target->path);
		return KS_OK;
	}
	enum ks_err err = connect(target, SQLITE_OPEN_READWRITE);
	if (err == KS_OK)
		err = run(target, "PRAGMA synchronous = FULL", "cannot settle the store");
	if (err == KS_OK) {
		int rc = sqlite3_wal_checkpoint_v2(target->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
		err = rc == SQLITE_OK ? KS_OK : failed(target, rc, "cannot settle the store");
	}
	sqlite3_close_v2(target->db);
	target->db = NULL;
	if (err != KS_OK && err != KS_CORRUPT)
		return err;
	remove_beside(target->path);
	return ks_file_sync_folder(target->path, target->error);
}

/* A store that was not closed is more than its one file. */
static enum ks_err check_source(const char *path, struct ks_sql_error *error)
{
	char wal[KS_PATH_MAX];

	KS_TRY(ks_file_beside(path, "-wal", wal));
	if (!ks_file_exists(path))
		return ks_file_failed(error, "cannot open", path);
	if (ks_file_exists(wal)) {
		ks_sql_explain(error, "%s is in use or was not closed: make a backup of it, and restore that", path);
		return KS_BUSY;
	}
	return KS_OK;
}

static enum ks_err restore_into(struct ks_sql *target, const char *path,
				enum ks_err (*accept)(void *ctx, struct ks_sql *sql), void *ctx)
{
	char temporary[KS_PATH_MAX];
	struct ks_sql *copy = NULL;
	int fd;

	KS_TRY(ks_file_temporary(target->path, target->error, temporary, &fd));
	enum ks_err err = ks_file_copy(path, fd, temporary, target->error);
	if (err == KS_OK)
		err = new_connection(temporary, KS_STORE_WRITER, target->error, &copy);
	if (err == KS_OK)
		err = check_copy(copy, accept, ctx);
	if (copy)
		sqlite_close(copy);
	if (err == KS_OK)
		err = settle(target);
	if (err == KS_OK)
		err = ks_file_publish(fd, temporary, target->path, true, target->error);
	close(fd);
	if (err != KS_OK)
		unlink(temporary);
	remove_beside(temporary);
	return err;
}

static enum ks_err sqlite_restore(const char *path, const char *address,
				  enum ks_err (*accept)(void *ctx, struct ks_sql *sql), void *ctx,
				  struct ks_sql_error *error)
{
	struct ks_sql *target;
	char lock[KS_PATH_MAX];

	KS_TRY(new_connection(address, KS_STORE_WRITER, error, &target));
	enum ks_err err = check_source(path, error);
	if (err == KS_OK)
		err = ks_file_beside(target->path, "-lock", lock);
	if (err == KS_OK)
		err = ks_file_make_folder(target->path, error);
	if (err == KS_OK)
		err = ks_file_lock(lock, error, &target->lock);
	if (err == KS_OK)
		err = restore_into(target, path, accept, ctx);
	sqlite_close(target);
	return err;
}

static void sqlite_shrink(struct ks_sql *sql)
{
	(void)sqlite3_db_release_memory(sql->db);
}

const struct ks_sql_driver ks_sql_sqlite = {
	.scheme = "sqlite:",
	.migrations = migrations,
	.migration_count = KS_ARRAY_LEN(migrations),
	.open = sqlite_open,
	.close = sqlite_close,
	.version = sqlite_version,
	.set_version = sqlite_set_version,
	.exec = sqlite_exec,
	.begin = sqlite_begin,
	.commit = sqlite_commit,
	.rollback = sqlite_rollback,
	.in_transaction = sqlite_in_transaction,
	.prepare = sqlite_prepare,
	.bind = sqlite_bind,
	.step = sqlite_step,
	.row = sqlite_row,
	.changed = sqlite_changed,
	.finish = sqlite_finish,
	.insert_many = sqlite_insert_many,
	.shrink = sqlite_shrink,
	.backup = sqlite_backup,
	.restore = sqlite_restore,
};
