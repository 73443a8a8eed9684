/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of the embedded driver share. */
#pragma once

#include <sqlite3.h>

#include "store/sql.h"

/* Rows that one statement inserts: SQLite keeps a copy of each page that a statement changes until it ends. */
#define KS_SQLITE_MANY_ROWS 1024

/* The rows that an INSERT … SELECT reads from the virtual table ks_rows. */
struct ks_sqlite_rows {
	ks_sql_source *source; /* NULL: none */
	void *ctx;
	size_t left; /* of this statement */
	enum ks_err err;
	struct ks_sql_value values[KS_SQL_VALUES_MAX];
};

/** What `rc`, the last code of `db`, means. */
enum ks_err ks_sqlite_err(sqlite3 *db, int rc);

/** A thread that copies the write-ahead log back. */
struct ks_sqlite_checkpointer;

/** Starts it with a connection of its own, which becomes its. NULL: no memory or no thread; `db` is still the caller's.
 */
struct ks_sqlite_checkpointer *ks_sqlite_checkpointer_new(sqlite3 *db);
void ks_sqlite_checkpointer_ask(struct ks_sqlite_checkpointer *c);
/** Asked, and not done yet. */
bool ks_sqlite_checkpointer_busy(struct ks_sqlite_checkpointer *c);
/** Waits until it is done. */
void ks_sqlite_checkpointer_free(struct ks_sqlite_checkpointer *c);

/** Adds lower() and ks_rows, which reads `rows`, to a connection. An SQLite code. */
int ks_sqlite_extend(sqlite3 *db, struct ks_sqlite_rows *rows);
