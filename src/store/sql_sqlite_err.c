/* SPDX-License-Identifier: Apache-2.0 */
/* What SQLite's codes, and the system's beneath them, mean here. */
#include <errno.h>

#include "store/sql_sqlite_priv.h"

static const struct {
	int code;
	enum ks_err err;
} codes[] = {
	/* extended codes before the primary ones that they belong to */
	{SQLITE_CONSTRAINT_UNIQUE, KS_CONFLICT},
	{SQLITE_CONSTRAINT_PRIMARYKEY, KS_CONFLICT},
	{SQLITE_CONSTRAINT_ROWID, KS_CONFLICT},
	{SQLITE_CONSTRAINT_FOREIGNKEY, KS_NOT_FOUND},
	{SQLITE_CONSTRAINT_TRIGGER, KS_IMMUTABLE},
	{SQLITE_IOERR_NOMEM, KS_MEMORY},
	{SQLITE_CONSTRAINT, KS_MALFORMED},
	{SQLITE_FULL, KS_DISK_FULL},
	{SQLITE_BUSY, KS_BUSY},
	{SQLITE_LOCKED, KS_BUSY},
	{SQLITE_CORRUPT, KS_CORRUPT},
	{SQLITE_NOTADB, KS_CORRUPT},
	{SQLITE_NOMEM, KS_MEMORY},
	{SQLITE_TOOBIG, KS_TOO_LARGE},
};

/* What the system said to the last failure. Of a failed write to the write-ahead log SQLite tells the log's file alone.
 */
static int system_errno(sqlite3 *db)
{
	int number = sqlite3_system_errno(db);
	sqlite3_file *log = NULL;

	if (number == 0 && sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log) == SQLITE_OK && log &&
	    log->pMethods)
		(void)log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &number);
	return number;
}

enum ks_err ks_sqlite_err(sqlite3 *db, int rc)
{
	int number = system_errno(db);

	for (size_t i = 0; i < KS_ARRAY_LEN(codes); i++) {
		if (codes[i].code == rc || codes[i].code == (rc & 0xff))
			return codes[i].err;
	}
	/* A full disk may also show as a failed write or sync. */
	if ((rc & 0xff) == SQLITE_IOERR && (number == ENOSPC || number == EDQUOT || number == EFBIG))
		return KS_DISK_FULL;
	return KS_STORE;
}
