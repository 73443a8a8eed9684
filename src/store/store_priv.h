/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of the store share. */
#pragma once

#include "merkle/entry.h"
#include "store/audit_tree.h"
#include "store/fields.h"
#include "store/sql.h"
#include "store/store.h"

/** A grant's limit is asked for at every key; keys made together mostly share a few grants. */
#define KS_GRANT_MEMOS 64

struct ks_grant_memo {
	uint64_t grant; /* 0: nothing remembered */
	bool limited;
};

/** Keys after which a segment is full. The last batch may exceed it. */
#define KS_SEGMENT_KEYS (UINT64_C(1) << 19)

struct ks_segment_memo {
	bool known;
	uint64_t id;
	uint64_t first_key;
	uint64_t room;
};

/** Which set of a provider is current: calls ask for it all the time. */
#define KS_CURRENT_MEMOS 64 /* 6 bits of a hash */

struct ks_current_memo {
	uint64_t provider; /* 0: nothing remembered */
	uint64_t set;
};

/** How many leaves a tree of the audit has: known of those that were appended to of late. */
#define KS_TREE_MEMOS 1024

struct ks_tree_memo {
	bool known;
	uint64_t tree;
	uint64_t size;
};

/** The leaves of a tile that is not whole yet, of trees that were appended to of late: they need not be read back. */
#define KS_TILE_MEMOS 16 /* 4 bits of a hash */

struct ks_tile_memo {
	bool known;
	uint64_t tree;
	uint64_t next; /* position */
	struct ks_digest leaves[KS_AUDIT_TILE];
};

struct ks_store {
	const struct ks_sql_driver *driver;
	struct ks_sql *sql;
	enum ks_store_mode mode;
	bool in_transaction;
	bool in_savepoint;
	uint64_t writes;                     /* statements that may have written, since the store was opened */
	uint64_t writes_before;              /* this transaction */
	enum ks_err lost;                    /* why the database gave the transaction up; KS_OK: it did not */
	enum ks_err spoiled;                 /* why a part of something is in the transaction, which must be undone */
	uint64_t last_change;                /* known within the transaction; 0: not yet */
	struct ks_store_counts added;        /* by this transaction; written at its commit */
	struct ks_store_counts added_before; /* the savepoint */
	struct ks_grant_memo memos[KS_GRANT_MEMOS];
	struct ks_segment_memo last_segment;
	struct ks_current_memo current[KS_CURRENT_MEMOS];
	struct ks_tree_memo trees[KS_TREE_MEMOS];
	struct ks_tile_memo *tiles;          /* KS_TILE_MEMOS; a writer's */
	struct ks_audit_pending *audit_pending; /* a writer's */
	uint8_t salts[64][KS_AUDIT_SALT_SIZE]; /* of audit entries, drawn ahead */
	size_t salts_left;
	uint64_t segment_keys; /* KS_SEGMENT_KEYS */
	struct ks_sql_error error;
};

/** Where rows go. */
struct ks_row_taker {
	struct ks_store *store;
	void *each; /* points to the caller's callback */
	void *ctx;  /* of the callback */
	size_t rows;
};

/** The driver of `uri`, and what follows the scheme. NULL (with a text for ks_store_error(NULL)): none. */
const struct ks_sql_driver *ks_store_driver_of(const char *uri, const char **ret_address);

/** What ks_store_error(NULL) gives in this thread. */
void ks_store_set_open_error(const struct ks_sql_error *error);

/** Opens with other migrations than the driver's own. */
KS_MUST_USE enum ks_err ks_store_open_with(const char *uri, enum ks_store_mode mode,
					   const struct ks_sql_migration *migrations, size_t count,
					   struct ks_store **ret_store);

/** Brings the schema to the last of `migrations` in one transaction (a writer), or makes sure that it is there (a
 * reader). KS_VERSION, KS_CORRUPT (a migration that was applied had another text). */
KS_MUST_USE enum ks_err ks_store_migrate(struct ks_store *store, const struct ks_sql_migration *migrations,
					 size_t count);

/** Makes sure that the schema is one of ours, the last or an older one. KS_VERSION, KS_CORRUPT. */
KS_MUST_USE enum ks_err ks_store_check_version(struct ks_store *store, const struct ks_sql_migration *migrations,
					       size_t count, unsigned *ret_version);

/** Takes one row of a result; what it returns other than KS_OK ends the reading. */
typedef enum ks_err ks_store_take(void *ctx, const struct ks_sql_value *values);

/** The values given, and how many: two arguments. */
#define KS_PARAMS(...) \
	(const struct ks_sql_value[]){__VA_ARGS__}, KS_ARRAY_LEN(((const struct ks_sql_value[]){__VA_ARGS__}))

/** Runs a statement that gives rows of `columns` columns. */
KS_MUST_USE enum ks_err ks_store_query(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params,
				       size_t count, size_t columns, ks_store_take *take, void *ctx);

/** The first row of a result, if it gives numbers alone (NULL is 0). KS_NOT_FOUND where there is no row. */
KS_MUST_USE enum ks_err ks_store_query_numbers(struct ks_store *store, enum ks_sql_id id,
					       const struct ks_sql_value *params, size_t count, size_t columns,
					       int64_t *ret_numbers);

/** Runs a statement that changes rows, within the transaction. */
KS_MUST_USE enum ks_err ks_store_write(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params,
				       size_t count, uint64_t *ret_changed);

/** Runs a statement that changes rows and returns one number. */
KS_MUST_USE enum ks_err ks_store_write_returning(struct ks_store *store, enum ks_sql_id id,
						 const struct ks_sql_value *params, size_t count, int64_t *ret_number);

/** Inserts a row by its table of fields. */
KS_MUST_USE enum ks_err ks_store_insert(struct ks_store *store, enum ks_sql_id id, const struct ks_field *fields,
					size_t count, const void *row);

/** Rows as their struct has them, and one value more that is the same for all. */
struct ks_many {
	const struct ks_field *fields;
	size_t count;
	size_t varying; /* fields from this one on are the same in all rows, too */
	const void *rows;
	size_t stride; /* bytes from one row to the next */
	size_t row_count;
	struct ks_sql_value more;
};

/** Inserts them. After a failure the transaction (or the savepoint) cannot be kept. */
KS_MUST_USE enum ks_err ks_store_insert_many(struct ks_store *store, enum ks_sql_id id, const struct ks_many *many);

/** Inserts rows of `count` values each, of which ks_store_note_write was told before. After a failure the transaction (or the savepoint) cannot be kept. */
KS_MUST_USE enum ks_err ks_store_insert_values(struct ks_store *store, enum ks_sql_id id, size_t count, ks_sql_source *source,
					       void *ctx);

/** Before what will write: within a writer's transaction, and counted. */
KS_MUST_USE enum ks_err ks_store_note_write(struct ks_store *store);

#define KS_AUDIT_ROW_COLUMNS 17
/** store_audit_pending.c: a writer's. KS_MEMORY. */
KS_MUST_USE enum ks_err ks_audit_pending_new(struct ks_audit_pending **ret_pending);
void ks_audit_pending_free(struct ks_audit_pending **pending);
/** Forgets what was not inserted. NULL is nothing. */
void ks_audit_pending_drop(struct ks_audit_pending *pending);
/** A new entry of the audit: in the table when the transaction ends, or at the next flush. KS_CONFLICT: its id is taken. */
KS_MUST_USE enum ks_err ks_store_audit_put(struct ks_store *store, uint64_t id, const struct ks_sql_value *values);
/** Before the table is read through this handle. */
KS_MUST_USE enum ks_err ks_store_audit_flush(struct ks_store *store);

/** The segment for `count` new keys, of which `least` has the smallest id. KS_NOT_FOUND: several, and they do not all
 * belong into one. */
KS_MUST_USE enum ks_err ks_store_segment_for(struct ks_store *store, uint64_t least, size_t count,
					     uint64_t *ret_segment);

/** The segment of the greatest ids below `before` (0: of all). Those of smaller ids are numbered down to 0. */
KS_MUST_USE enum ks_err ks_store_segment_below(struct ks_store *store, uint64_t before, uint64_t *ret_segment);

/** KS_OK, or KS_NOT_FOUND if nothing was changed. */
KS_MUST_USE enum ks_err ks_store_write_one(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params,
					   size_t count);

/** As ks_store_query for a statement that gives one row: KS_NOT_FOUND where there is none. */
KS_MUST_USE enum ks_err ks_store_read(struct ks_row_taker *taker, enum ks_sql_id id, const struct ks_sql_value *params,
				      size_t count, size_t columns, ks_store_take *take);

/** Runs a statement whose rows are whole keys. */
KS_MUST_USE enum ks_err ks_store_query_keys(struct ks_store *store, enum ks_sql_id id,
					    const struct ks_sql_value *params, size_t count,
					    ks_key_each *each, void *ctx);

/** KS_TOO_LARGE or KS_MALFORMED for text that may not be stored. */
KS_MUST_USE enum ks_err ks_store_check_text(struct ks_store *store, struct ks_str text, size_t max);

/** True in *ret_limited if the grant has a rate limit. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_grant_limited(struct ks_store *store, uint64_t id, bool *ret_limited);

/** Remembers a new leaf at `position`, and writes the tiles that it makes whole. */
KS_MUST_USE enum ks_err ks_store_audit_grown(struct ks_store *store, uint64_t tree, uint64_t position,
					     const struct ks_digest *leaf);

/** LIMIT; beyond the range is no limit. */
static inline struct ks_sql_value ks_value_limit(size_t limit)
{
	return ks_value_u64(limit);
}

/** The least id that is given at `time` or later (base/id.h: the time counts from 2020-01-01, 22 bits follow it). */
static inline int64_t ks_store_first_id(int64_t time)
{
	const int64_t epoch = INT64_C(1577836800000);

	if (time <= epoch)
		return 1;
	return time - epoch > INT64_MAX >> 22 ? INT64_MAX : (time - epoch) << 22;
}

/** "ids below": 0 is from the newest. */
static inline struct ks_sql_value ks_value_before(uint64_t before)
{
	return ks_value_u64(before ? before : INT64_MAX);
}

/** A filter that is one of an enum, or COUNT: any. */
static inline struct ks_sql_value ks_value_filter(unsigned value, unsigned count)
{
	return ks_value_i64(value < count ? (int64_t)value : -1);
}

/** Forgets what was remembered of rows that may be gone. */
void ks_store_forget_memos(struct ks_store *store);

/** Defines the function `name`, a ks_store_take whose context is a ks_row_taker: it loads a struct `type` and hands it
 * to the caller's callback. */
#define KS_ROW_TAKER(name, type, callback, fields)                                                          \
	static enum ks_err name(void *ctx, const struct ks_sql_value *values)                               \
	{                                                                                                   \
		struct ks_row_taker *taker = ctx;                                                           \
		callback **each = taker->each;                                                              \
		struct type row;                                                                            \
                                                                                                            \
		KS_TRY(ks_fields_load((fields), KS_ARRAY_LEN(fields), values, &row, &taker->store->error)); \
		taker->rows++;                                                                              \
		return (*each)(taker->ctx, &row);                                                           \
	}
