/* SPDX-License-Identifier: Apache-2.0 */
/** What the store asks of a SQL database: one table of functions a driver. The statements are fixed and stand in
 * statements.def in SQL that every driver understands, with parameters $1, $2, …; whatever differs between databases
 * (opening, locking, types of the schema, pragmas, backup) is behind this line. Used by the files of this directory
 * alone. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "store/store.h"

enum ks_sql_id {
#define KS_SQL(name, text) KS_SQL_##name,
#include "store/statements.def"
#undef KS_SQL
	KS_SQL_COUNT
};

/** Text and name of a statement; static. */
const char *ks_sql_text(enum ks_sql_id id);
const char *ks_sql_name(enum ks_sql_id id);

/** Highest number of parameters, and of columns, of a statement. */
#define KS_SQL_VALUES_MAX 32

enum ks_sql_type { KS_SQL_NULL, KS_SQL_INTEGER, KS_SQL_TEXT, KS_SQL_BLOB };

struct ks_sql_value {
	enum ks_sql_type type;
	int64_t integer;
	struct ks_str bytes; /* text, blob: borrowed */
};

/** Where a driver leaves the text of its last failure. */
struct ks_sql_error {
	char text[256];
};

KS_PRINTF(2, 3) void ks_sql_explain(struct ks_sql_error *error, const char *fmt, ...);

/** One step of the schema, in the dialect of one driver. Once released it is never edited: the store remembers its
 * digest. */
struct ks_sql_migration {
	const char *name;
	const unsigned char *text; /* terminated beyond `size` */
	const size_t *size;
};

/** Gives the next row's values; KS_NOT_FOUND after the last. */
typedef enum ks_err ks_sql_source(void *ctx, struct ks_sql_value *ret_values);

struct ks_sql;      /* a connection */
struct ks_sql_stmt; /* a statement in use on it */

/** One kind of database. All functions of one connection are called by one thread at a time. Those that can fail leave
 * a text in the connection's ks_sql_error. Failures are told as: KS_CONFLICT (a unique key is taken), KS_NOT_FOUND (a
 * referenced row is missing), KS_MALFORMED (a check of the schema), KS_IMMUTABLE (a trigger of the schema), KS_BUSY,
 * KS_CORRUPT, KS_DISK_FULL, KS_TOO_LARGE, KS_MEMORY, KS_STORE. */
struct ks_sql_driver {
	const char *scheme; /* of its URIs, with the colon */
	const struct ks_sql_migration *migrations;
	size_t migration_count;

	/** Connects. A writer creates what is not there, and is alone until it closes (KS_BUSY). KS_NOT_FOUND: nothing
	 * to read there. KS_MALFORMED: a bad address. `error` is kept and written to until close. */
	enum ks_err (*open)(const char *address, enum ks_store_mode mode, struct ks_sql_error *error,
			    struct ks_sql **ret_sql);
	/** All statements must be finished. An open transaction is rolled back. */
	void (*close)(struct ks_sql *sql);

	/** Number of migrations applied; 0 for an empty database. KS_CORRUPT: it holds another program's data. */
	enum ks_err (*version)(struct ks_sql *sql, unsigned *ret_version);
	/** Within the transaction. */
	enum ks_err (*set_version)(struct ks_sql *sql, unsigned version);
	/** Runs a script of statements without parameters or results. */
	enum ks_err (*exec)(struct ks_sql *sql, const char *script);

	/** For a writer a transaction that may write, in which references are not checked where `proven`; for a reader
	 * one snapshot until commit or rollback. */
	enum ks_err (*begin)(struct ks_sql *sql, bool proven);
	/** Durable when it returns KS_OK. On any failure the transaction is gone and nothing of it was kept. */
	enum ks_err (*commit)(struct ks_sql *sql);
	void (*rollback)(struct ks_sql *sql);
	/** False once the database has given a transaction up by itself. */
	bool (*in_transaction)(const struct ks_sql *sql);

	/** A statement ready to bind; the same id may be in use more than once. */
	enum ks_err (*prepare)(struct ks_sql *sql, enum ks_sql_id id, struct ks_sql_stmt **ret_stmt);
	/** Binds $1 … $count; texts are borrowed until finish. */
	enum ks_err (*bind)(struct ks_sql_stmt *stmt, const struct ks_sql_value *values, size_t count);
	enum ks_err (*step)(struct ks_sql_stmt *stmt, bool *ret_row);
	/** The first `count` columns of the row that step found; borrowed until the next step or finish. */
	void (*row)(struct ks_sql_stmt *stmt, struct ks_sql_value *ret_values, size_t count);
	/** Rows that the statement has changed. */
	uint64_t (*changed)(struct ks_sql_stmt *stmt);
	void (*finish)(struct ks_sql_stmt *stmt);

	/** Runs `id`, an INSERT that ends in VALUES ($1 … $count), for each row of `source`, whose texts are borrowed
	 * until it returns. Values beyond the first `varying` are taken from the first row for all. Several times as
	 * fast as running it for each. After a failure rows may have been inserted: the caller undoes them. */
	enum ks_err (*insert_many)(struct ks_sql *sql, enum ks_sql_id id, size_t count, size_t varying,
				   ks_sql_source *source, void *ctx);

	/** Gives back the memory that it keeps of the database beyond what is in use. */
	void (*shrink)(struct ks_sql *sql);

	/** As ks_store_backup, for whatever `sql` is connected to, from a connection of its own. */
	enum ks_err (*backup)(struct ks_sql *sql, const char *path,
			      void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx);
	/** As ks_store_restore: copies `path` beside the place of `address`, checks the copy, lets `accept` look at it
	 * and change it over a connection, and puts it in its place. What `accept` returns other than KS_OK ends it,
	 * and leaves everything as it was. */
	enum ks_err (*restore)(const char *path, const char *address,
			       enum ks_err (*accept)(void *ctx, struct ks_sql *sql), void *ctx,
			       struct ks_sql_error *error);
};

extern const struct ks_sql_driver ks_sql_sqlite;
