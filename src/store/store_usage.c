/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS INT64_C(3600000)
#define DAY_MS INT64_C(86400000)

/* Steps as stored. */
enum { STEP_MINUTE, STEP_HOUR, STEP_DAY };

/* Rows folded at a time: what is read must be finished before it is changed. */
#define FOLD_BATCH 256

static int64_t floor_to(int64_t time, int64_t step)
{
	return time - time % step;
}

/* The number of a scope's name, given now if it had none; 0 for none. */
static enum ks_err scope_number(struct ks_store *store, struct ks_str name, int64_t *ret_number)
{
	struct ks_sql_value text = ks_value_text(name);

	if (name.n == 0) {
		*ret_number = 0;
		return KS_OK;
	}
	KS_TRY(ks_store_check_text(store, name, KS_STORE_SCOPE_MAX));
	enum ks_err err = ks_store_query_numbers(store, KS_SQL_USAGE_SCOPE, &text, 1, 1, ret_number);
	return err == KS_NOT_FOUND ? ks_store_write_returning(store, KS_SQL_USAGE_SCOPE_INSERT, &text, 1, ret_number)
				   : err;
}

struct count {
	int64_t key;
	int64_t start;
	int64_t reason;
	int64_t scope;
	int64_t uses;
};

static enum ks_err add(struct ks_store *store, const struct count *count, int64_t step)
{
	return ks_store_write(store, KS_SQL_USAGE_ADD,
			      KS_PARAMS(ks_value_i64(count->key), ks_value_i64(step), ks_value_i64(count->start),
					ks_value_i64(count->reason), ks_value_i64(count->scope),
					ks_value_i64(count->uses)),
			      NULL);
}

enum ks_err ks_store_usage_add(struct ks_store *store, const struct ks_usage_row *row, int64_t last_used_at,
			       struct ks_str last_used_address)
{
	struct count count = {(int64_t)row->key, row->minute, (int64_t)row->reason, 0, (int64_t)row->count};

	if (count.key <= 0 || row->minute < 0 || (unsigned)row->reason >= KS_REASON_COUNT || row->count > UINT32_MAX ||
	    (last_used_at != KS_TIME_NONE && last_used_at < 0)) {
		ks_sql_explain(&store->error, "a count of usage is out of range");
		return KS_MALFORMED;
	}
	KS_TRY(ks_store_check_text(store, last_used_address, KS_STORE_ADDRESS_MAX));
	KS_TRY(scope_number(store, row->scope, &count.scope));
	count.start = floor_to(row->minute, MINUTE_MS);
	KS_TRY(add(store, &count, STEP_MINUTE));
	if (last_used_at == KS_TIME_NONE)
		return KS_OK;
	return ks_store_write(store, KS_SQL_KEY_USED,
			      KS_PARAMS(ks_value_i64(count.key), ks_value_i64(count.uses), ks_value_i64(last_used_at),
					ks_value_text(last_used_address)),
			      NULL);
}

enum ks_err ks_store_usage_mark_get(struct ks_store *store, struct ks_usage_mark *ret_mark)
{
	int64_t numbers[2];

	KS_TRY(ks_store_query_numbers(store, KS_SQL_USAGE_MARK, NULL, 0, 2, numbers));
	*ret_mark = (struct ks_usage_mark){(uint64_t)numbers[0], (uint64_t)numbers[1]};
	return KS_OK;
}

enum ks_err ks_store_usage_mark_put(struct ks_store *store, const struct ks_usage_mark *mark)
{
	return ks_store_write_one(store, KS_SQL_USAGE_MARK_PUT,
				  KS_PARAMS(ks_value_u64(mark->batch), ks_value_u64(mark->done)));
}

/* ---- reading ---- */

static const struct ks_field sum_fields[] = {
	KS_FIELD(ks_usage_row, minute, TIME, 0),
	KS_FIELD(ks_usage_row, reason, ENUM, KS_REASON_COUNT),
	KS_FIELD(ks_usage_row, scope, TEXT, KS_STORE_SCOPE_MAX),
	KS_FIELD(ks_usage_row, count, COUNT, 0),
};

struct sum_taker {
	struct ks_store *store;
	uint64_t key;
	enum ks_err (*each)(void *ctx, const struct ks_usage_row *row);
	void *ctx;
};

static enum ks_err take_sum(void *ctx, const struct ks_sql_value *values)
{
	const struct sum_taker *taker = ctx;
	struct ks_usage_row row = {.key = taker->key};

	KS_TRY(ks_fields_load(sum_fields, KS_ARRAY_LEN(sum_fields), values, &row, &taker->store->error));
	return taker->each(taker->ctx, &row);
}

enum ks_err ks_store_usage(struct ks_store *store, uint64_t key, int64_t from, int64_t to, int64_t step,
			   enum ks_err (*each)(void *ctx, const struct ks_usage_row *row), void *ctx)
{
	struct sum_taker taker = {store, key, each, ctx};

	if (step != MINUTE_MS && step != HOUR_MS && step != DAY_MS) {
		ks_sql_explain(&store->error, "usage is summed by minutes, hours or days");
		return KS_MALFORMED;
	}
	return ks_store_query(store, KS_SQL_USAGE,
			      KS_PARAMS(ks_value_u64(key), ks_value_i64(from), ks_value_i64(to), ks_value_i64(step)),
			      KS_ARRAY_LEN(sum_fields), take_sum, &taker);
}

/* ---- for audits: all keys at once, so by hand and not by a table of fields ---- */

struct scope_taker {
	struct ks_store *store;
	enum ks_err (*name)(void *ctx, uint64_t number, struct ks_str name);
	enum ks_err (*pair)(void *ctx, uint64_t key, uint64_t number);
	void *ctx;
};

static enum ks_err take_name(void *ctx, const struct ks_sql_value *v)
{
	const struct scope_taker *taker = ctx;

	return taker->name(taker->ctx, (uint64_t)v[0].integer, v[1].bytes);
}

static enum ks_err take_pair(void *ctx, const struct ks_sql_value *v)
{
	const struct scope_taker *taker = ctx;

	return taker->pair(taker->ctx, (uint64_t)v[0].integer, (uint64_t)v[1].integer);
}

enum ks_err ks_store_usage_scopes(struct ks_store *store,
				  enum ks_err (*each)(void *ctx, uint64_t number, struct ks_str name), void *ctx)
{
	struct scope_taker taker = {.store = store, .name = each, .ctx = ctx};

	return ks_store_query(store, KS_SQL_USAGE_SCOPES, NULL, 0, 2, take_name, &taker);
}

enum ks_err ks_store_usage_scopes_used(struct ks_store *store, uint64_t first, uint64_t last, int64_t since,
				       enum ks_err (*each)(void *ctx, uint64_t key, uint64_t number), void *ctx)
{
	struct scope_taker taker = {.store = store, .pair = each, .ctx = ctx};

	return ks_store_query(store, KS_SQL_USAGE_SCOPES_USED,
			      KS_PARAMS(ks_value_u64(first), ks_value_u64(last), ks_value_i64(since),
					ks_value_i64(KS_REASON_OK)),
			      2, take_pair, &taker);
}

/* ---- folding ---- */

struct batch {
	struct count counts[FOLD_BATCH];
	size_t n;
};

static enum ks_err take_old(void *ctx, const struct ks_sql_value *values)
{
	struct batch *batch = ctx;

	if (batch->n == FOLD_BATCH)
		return KS_TOO_LARGE;
	batch->counts[batch->n++] = (struct count){values[0].integer, values[1].integer, values[2].integer,
						   values[3].integer, values[4].integer};
	return KS_OK;
}

/* Moves one count into the step above it. */
static enum ks_err fold_one(struct ks_store *store, struct count count, int64_t step, int64_t into_ms)
{
	KS_TRY(ks_store_write_one(store, KS_SQL_USAGE_DELETE,
				  KS_PARAMS(ks_value_i64(count.key), ks_value_i64(step), ks_value_i64(count.start),
					    ks_value_i64(count.reason), ks_value_i64(count.scope))));
	count.start = floor_to(count.start, into_ms);
	return add(store, &count, step + 1);
}

/* Folds rows of `step` that start before `before` until `*folded` is `limit`. */
static enum ks_err fold(struct ks_store *store, int64_t step, int64_t into_ms, int64_t before, size_t limit,
			size_t *folded)
{
	struct batch batch;

	while (before > 0 && *folded < limit) {
		batch.n = 0;
		KS_TRY(ks_store_query(store, KS_SQL_USAGE_OLD,
				      KS_PARAMS(ks_value_i64(step), ks_value_i64(floor_to(before, into_ms)),
						ks_value_limit(KS_MIN((size_t)FOLD_BATCH, limit - *folded))),
				      5, take_old, &batch));
		for (size_t i = 0; i < batch.n; i++)
			KS_TRY(fold_one(store, batch.counts[i], step, into_ms));
		*folded += batch.n;
		if (batch.n == 0)
			break;
	}
	return KS_OK;
}

enum ks_err ks_store_usage_fold(struct ks_store *store, int64_t minutes_before, int64_t hours_before, size_t limit,
				size_t *ret_folded)
{
	size_t folded = 0;

	KS_TRY(fold(store, STEP_MINUTE, HOUR_MS, minutes_before, limit, &folded));
	KS_TRY(fold(store, STEP_HOUR, DAY_MS, hours_before, limit, &folded));
	*ret_folded = folded;
	return KS_OK;
}
