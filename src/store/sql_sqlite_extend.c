/* SPDX-License-Identifier: Apache-2.0 */
/* What the embedded driver adds to SQLite: lower() for all of Unicode, and a table whose rows come from a callback. */
#include <locale.h>
#include <pthread.h>
#include <wctype.h>

#include "base/buf.h"
#include "store/sql_sqlite_priv.h"

/* ---- lower(): SQLite's own knows ASCII alone ---- */

static pthread_once_t once = PTHREAD_ONCE_INIT;
static locale_t utf8;

static void find_locale(void)
{
	utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
}

/* The code point of the well-formed sequence of `n` bytes. */
static wint_t decode(const unsigned char *bytes, size_t n)
{
	static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	wint_t point = bytes[0] & first_bits[n];

	for (size_t i = 1; i < n; i++)
		point = point << 6 | (bytes[i] & 0x3f);
	return point;
}

/* Writes `point`, below 0x110000; returns the number of bytes. */
static size_t encode(wint_t point, char ret_bytes[4])
{
	static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
	size_t n = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

	for (size_t i = n; i-- > 1; point >>= 6)
		ret_bytes[i] = (char)(0x80 | (point & 0x3f));
	ret_bytes[0] = (char)(n == 1 ? point : first[n] | point);
	return n;
}

static size_t lower_text(struct ks_str text, char *ret_bytes)
{
	size_t n = 0;

	for (size_t at = 0; at < text.n;) {
		size_t length = ks_str_utf8_len(ks_str_sub(text, at, 4));
		if (length == 0) {
			ret_bytes[n++] = text.p[at++];
			continue;
		}
		wint_t point = decode((const unsigned char *)&text.p[at], length);
		if (utf8)
			point = towlower_l(point, utf8);
		else if (point >= 'A' && point <= 'Z')
			point += 'a' - 'A';
		n += encode(point, &ret_bytes[n]);
		at += length;
	}
	return n;
}

static void sql_lower(sqlite3_context *context, int count, sqlite3_value **values)
{
	struct ks_str text = {(const char *)sqlite3_value_text(values[0]), (size_t)sqlite3_value_bytes(values[0])};

	(void)count;
	if (!text.p)
		return;
	/* No sequence grows by more than half when it becomes lower case. */
	char *bytes = sqlite3_malloc64(2 * text.n + 4);
	if (!bytes) {
		sqlite3_result_error_nomem(context);
		return;
	}
	sqlite3_result_text64(context, bytes, lower_text(text, bytes), sqlite3_free, SQLITE_UTF8);
}

/* ---- ks_rows: a table-valued function without arguments whose rows come from struct ks_sqlite_rows ---- */

struct rows_table {
	sqlite3_vtab base; /* first: SQLite's */
	struct ks_sqlite_rows *rows;
};

static struct ks_sqlite_rows *rows_of(sqlite3_vtab_cursor *cursor)
{
	return ((struct rows_table *)(void *)cursor->pVtab)->rows;
}

static int rows_connect(sqlite3 *db, void *ctx, int argc, const char *const *argv, sqlite3_vtab **ret_table,
			char **ret_error)
{
	char bytes[512];
	struct ks_buf buf = KS_BUF(bytes);
	struct rows_table *table = sqlite3_malloc64(sizeof(*table));

	(void)argc;
	(void)argv;
	(void)ret_error;
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct rows_table){.rows = ctx};
	ks_buf_put_c(&buf, "CREATE TABLE x (");
	for (int i = 1; i <= KS_SQL_VALUES_MAX; i++)
		ks_buf_printf(&buf, "%sc%d", i > 1 ? ", " : "", i);
	ks_buf_put_c(&buf, ")");
	*ret_table = &table->base;
	return sqlite3_declare_vtab(db, ks_buf_z(&buf));
}

static int rows_disconnect(sqlite3_vtab *table)
{
	sqlite3_free(table);
	return SQLITE_OK;
}

static int rows_best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
	(void)table;
	info->estimatedCost = KS_SQLITE_MANY_ROWS;
	info->estimatedRows = KS_SQLITE_MANY_ROWS;
	return SQLITE_OK;
}

static int rows_open(sqlite3_vtab *table, sqlite3_vtab_cursor **ret_cursor)
{
	sqlite3_vtab_cursor *cursor = sqlite3_malloc64(sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	*cursor = (sqlite3_vtab_cursor){.pVtab = table};
	*ret_cursor = cursor;
	return SQLITE_OK;
}

static int rows_close(sqlite3_vtab_cursor *cursor)
{
	sqlite3_free(cursor);
	return SQLITE_OK;
}

static int rows_next(sqlite3_vtab_cursor *cursor)
{
	struct ks_sqlite_rows *rows = rows_of(cursor);

	if (rows->left == 0 || !rows->source)
		return SQLITE_OK;
	rows->left--;
	rows->err = rows->left ? rows->source(rows->ctx, rows->values) : KS_OK;
	return rows->err == KS_OK || rows->err == KS_NOT_FOUND ? SQLITE_OK : SQLITE_ABORT;
}

/* The first row is there before the statement starts. */
static int rows_filter(sqlite3_vtab_cursor *cursor, int number, const char *text, int argc, sqlite3_value **argv)
{
	(void)cursor;
	(void)number;
	(void)text;
	(void)argc;
	(void)argv;
	return SQLITE_OK;
}

static int rows_eof(sqlite3_vtab_cursor *cursor)
{
	const struct ks_sqlite_rows *rows = rows_of(cursor);

	return rows->left == 0 || rows->err != KS_OK;
}

static int rows_column(sqlite3_vtab_cursor *cursor, sqlite3_context *context, int column)
{
	const struct ks_sql_value *value = &rows_of(cursor)->values[column];
	const char *bytes = value->bytes.n ? value->bytes.p : "";

	switch (value->type) {
	case KS_SQL_NULL:
		break;
	case KS_SQL_INTEGER:
		sqlite3_result_int64(context, value->integer);
		break;
	case KS_SQL_TEXT:
		sqlite3_result_text64(context, bytes, value->bytes.n, SQLITE_STATIC, SQLITE_UTF8);
		break;
	case KS_SQL_BLOB:
		sqlite3_result_blob64(context, bytes, value->bytes.n, SQLITE_STATIC);
		break;
	}
	return SQLITE_OK;
}

static int rows_rowid(sqlite3_vtab_cursor *cursor, sqlite3_int64 *ret_rowid)
{
	*ret_rowid = (sqlite3_int64)rows_of(cursor)->left;
	return SQLITE_OK;
}

static const sqlite3_module rows_module = {
	.xConnect = rows_connect,
	.xBestIndex = rows_best_index,
	.xDisconnect = rows_disconnect,
	.xOpen = rows_open,
	.xClose = rows_close,
	.xFilter = rows_filter,
	.xNext = rows_next,
	.xEof = rows_eof,
	.xColumn = rows_column,
	.xRowid = rows_rowid,
};

int ks_sqlite_extend(sqlite3 *db, struct ks_sqlite_rows *rows)
{
	int rc;

	(void)pthread_once(&once, find_locale);
	rc = sqlite3_create_function_v2(db, "lower", 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
					sql_lower, NULL, NULL, NULL);
	return rc == SQLITE_OK ? sqlite3_create_module_v2(db, "ks_rows", &rows_module, rows, NULL) : rc;
}
