/* SPDX-License-Identifier: Apache-2.0 */
/** How the members of a row's struct stand in columns: one table a row, read both ways. Used by the files of this
 * directory alone. */
#pragma once

#include "store/sql.h"

enum ks_field_type {
	KS_FIELD_ID,    /* uint64_t, 1 … INT64_MAX */
	KS_FIELD_REF,   /* uint64_t, 0 … INT64_MAX; 0 is NULL */
	KS_FIELD_COUNT, /* uint64_t, 0 … INT64_MAX; NULL reads as 0 */
	KS_FIELD_TIME,  /* int64_t */
	KS_FIELD_SOME,  /* int64_t; KS_TIME_NONE is NULL */
	KS_FIELD_INT,   /* int, 0 … bound - 1 */
	KS_FIELD_ENUM,  /* an enum, below `bound` */
	KS_FIELD_BOOL,
	KS_FIELD_TEXT,  /* struct ks_str of at most `bound` bytes, UTF-8 without NUL; NULL reads as empty */
	KS_FIELD_DIGEST, /* struct ks_digest */
	KS_FIELD_BYTES  /* struct ks_str of at most `bound` bytes of any value; NULL reads as empty */
};

struct ks_field {
	enum ks_field_type type;
	unsigned offset;
	unsigned bound;
};

#define KS_FIELD(row, member, type, bound)                             \
	{                                                              \
		KS_FIELD_##type, offsetof(struct row, member), (bound) \
	}

/** Values to bind for the members, texts borrowed from the row. KS_MALFORMED or KS_TOO_LARGE (with a text) for what may
 * not be stored. */
KS_MUST_USE enum ks_err ks_fields_save(const struct ks_field *fields, size_t count, const void *row,
				       struct ks_sql_value *ret_values, struct ks_sql_error *error);

/** The members from the columns, texts borrowed from the values. KS_CORRUPT (with a text) for what cannot have been
 * stored. */
KS_MUST_USE enum ks_err ks_fields_load(const struct ks_field *fields, size_t count, const struct ks_sql_value *values,
				       void *ret_row, struct ks_sql_error *error);

/* Single values. Ids beyond the range become the greatest, which no row has. */
static inline struct ks_sql_value ks_value_i64(int64_t value)
{
	return (struct ks_sql_value){.type = KS_SQL_INTEGER, .integer = value};
}

static inline struct ks_sql_value ks_value_u64(uint64_t value)
{
	return ks_value_i64((int64_t)KS_MIN(value, (uint64_t)INT64_MAX));
}

static inline struct ks_sql_value ks_value_some(int64_t time)
{
	return (struct ks_sql_value){.type = time == KS_TIME_NONE ? KS_SQL_NULL : KS_SQL_INTEGER, .integer = time};
}

static inline struct ks_sql_value ks_value_text(struct ks_str text)
{
	return (struct ks_sql_value){.type = KS_SQL_TEXT, .bytes = text};
}

static inline struct ks_sql_value ks_value_blob(const void *bytes, size_t n)
{
	return (struct ks_sql_value){.type = KS_SQL_BLOB, .bytes = {bytes, n}};
}

/** True if `text` may be stored: at most `max` bytes of UTF-8 without NUL. */
bool ks_text_ok(struct ks_str text, size_t max);
