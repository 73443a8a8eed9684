/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field change_fields[] = {
	KS_FIELD(ks_change, seq, ID, 0),
	KS_FIELD(ks_change, kind, ENUM, KS_CHANGE_KIND_COUNT),
	KS_FIELD(ks_change, object, COUNT, 0),
	KS_FIELD(ks_change, object_end, COUNT, 0),
};

enum ks_err ks_store_change_last(struct ks_store *store, uint64_t *ret_seq)
{
	int64_t numbers[2]; /* forgotten, last of those that are there */

	KS_TRY(ks_store_query_numbers(store, KS_SQL_CHANGE_LAST, NULL, 0, 2, numbers));
	*ret_seq = (uint64_t)KS_MAX(numbers[0], numbers[1]);
	return KS_OK;
}

enum ks_err ks_store_change_append(struct ks_store *store, enum ks_change_kind kind, uint64_t object,
				   uint64_t object_end, uint64_t *ret_seq)
{
	struct ks_change change = {.kind = kind, .object = object, .object_end = object_end};

	/* Asked of the database once a transaction: whatever was undone gave no numbers. */
	if (store->last_change == 0)
		KS_TRY(ks_store_change_last(store, &store->last_change));
	change.seq = store->last_change + 1;
	KS_TRY(ks_store_insert(store, KS_SQL_CHANGE_INSERT, change_fields, KS_ARRAY_LEN(change_fields), &change));
	store->last_change = change.seq;
	*ret_seq = change.seq;
	return KS_OK;
}

struct taker {
	struct ks_store *store;
	uint64_t expected; /* numbers have no gaps but for what was forgotten */
	enum ks_err (*each)(void *ctx, const struct ks_change *change);
	void *ctx;
};

static enum ks_err forgotten(struct ks_store *store, uint64_t seq)
{
	ks_sql_explain(&store->error, "the changes after %llu are no longer known", (unsigned long long)seq);
	return KS_NOT_FOUND;
}

static enum ks_err take_change(void *ctx, const struct ks_sql_value *values)
{
	struct taker *taker = ctx;
	struct ks_change change;

	KS_TRY(ks_fields_load(change_fields, KS_ARRAY_LEN(change_fields), values, &change, &taker->store->error));
	if (change.seq != taker->expected)
		return forgotten(taker->store, taker->expected - 1);
	taker->expected++;
	return taker->each(taker->ctx, &change);
}

static enum ks_err read_after(struct taker *taker, uint64_t seq, size_t limit)
{
	uint64_t last;

	KS_TRY(ks_store_change_last(taker->store, &last));
	if (seq > last) {
		ks_sql_explain(&taker->store->error, "the store is older than what asks it for changes after %llu",
			       (unsigned long long)seq);
		return KS_CONFLICT;
	}
	KS_TRY(ks_store_query(taker->store, KS_SQL_CHANGES_AFTER, KS_PARAMS(ks_value_u64(seq), ks_value_limit(limit)),
			      KS_ARRAY_LEN(change_fields), take_change, taker));
	if (taker->expected == seq + 1 && seq < last && limit > 0)
		return forgotten(taker->store, seq);
	return KS_OK;
}

enum ks_err ks_store_changes_after(struct ks_store *store, uint64_t seq, size_t limit,
				   enum ks_err (*each)(void *ctx, const struct ks_change *change), void *ctx)
{
	struct taker taker = {store, seq + 1, each, ctx};

	if (store->in_transaction)
		return read_after(&taker, seq, limit);
	/* One snapshot, so that what is trimmed meanwhile is not taken for what was never there. */
	KS_TRY(ks_store_begin(store));
	enum ks_err err = read_after(&taker, seq, limit);
	ks_store_rollback(store);
	return err;
}

enum ks_err ks_store_changes_trim(struct ks_store *store, uint64_t seq)
{
	uint64_t last;

	KS_TRY(ks_store_change_last(store, &last));
	struct ks_sql_value to = ks_value_u64(KS_MIN(seq, last));
	KS_TRY(ks_store_write(store, KS_SQL_CHANGES_TRIM, &to, 1, NULL));
	return ks_store_write(store, KS_SQL_CHANGES_FORGOTTEN, &to, 1, NULL);
}
