/* SPDX-License-Identifier: Apache-2.0 */
#include "store/endpoints.h"
#include "store/store_priv.h"

static const char *const states[] = {
#define X(name, text) text,
	KS_DELIVERY_STATES(X)
#undef X
};

const char *ks_delivery_state_text(enum ks_delivery_state state)
{
	return states[state];
}

bool ks_delivery_state_parse(struct ks_str text, enum ks_delivery_state *ret_state)
{
	for (int i = 0; i < KS_DELIVERY_STATE_COUNT; i++) {
		if (ks_str_eq(text, ks_str_c(states[i]))) {
			*ret_state = (enum ks_delivery_state)i;
			return true;
		}
	}
	return false;
}

/* ---- deliveries ---- */

static const struct ks_field delivery_fields[] = {
	KS_FIELD(ks_delivery_row, id, ID, 0),
	KS_FIELD(ks_delivery_row, endpoint, ID, 0),
	KS_FIELD(ks_delivery_row, event, ID, 0),
	KS_FIELD(ks_delivery_row, organization, REF, 0),
	KS_FIELD(ks_delivery_row, tenant, ID, 0),
	KS_FIELD(ks_delivery_row, state, ENUM, KS_DELIVERY_STATE_COUNT),
	KS_FIELD(ks_delivery_row, attempts, COUNT, 0),
	KS_FIELD(ks_delivery_row, tries, COUNT, 0),
	KS_FIELD(ks_delivery_row, due_at, SOME, 0),
	KS_FIELD(ks_delivery_row, first_at, SOME, 0),
	KS_FIELD(ks_delivery_row, ended_at, SOME, 0),
	KS_FIELD(ks_delivery_row, status, COUNT, 0),
	KS_FIELD(ks_delivery_row, elapsed_ms, COUNT, 0),
	KS_FIELD(ks_delivery_row, type, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_delivery_row, code, TEXT, KS_STORE_ACTION_MAX),
};

KS_ROW_TAKER(take_delivery, ks_delivery_row, ks_delivery_each, delivery_fields)

static enum ks_err list(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params, size_t count,
			ks_delivery_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, id, params, count, KS_ARRAY_LEN(delivery_fields), take_delivery, &taker);
}

enum ks_err ks_store_delivery_insert(struct ks_store *store, const struct ks_delivery_row *row)
{
	return ks_store_insert(store, KS_SQL_DELIVERY_INSERT, delivery_fields, KS_ARRAY_LEN(delivery_fields), row);
}

enum ks_err ks_store_delivery_update(struct ks_store *store, const struct ks_delivery_row *row)
{
	if ((row->state == KS_DELIVERY_PENDING) != (row->due_at != KS_TIME_NONE) || row->state >= KS_DELIVERY_STATE_COUNT)
		return KS_MALFORMED;
	return ks_store_write_one(store, KS_SQL_DELIVERY_UPDATE,
				  KS_PARAMS(ks_value_u64(row->id), ks_value_i64((int64_t)row->state),
					    ks_value_u64(row->attempts), ks_value_u64(row->tries), ks_value_some(row->due_at),
					    ks_value_some(row->first_at), ks_value_some(row->ended_at),
					    ks_value_u64(row->status), ks_value_u64(row->elapsed_ms),
					    ks_value_text(row->code)));
}

enum ks_err ks_store_delivery_get(struct ks_store *store, uint64_t id, ks_delivery_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_DELIVERY_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(delivery_fields),
			     take_delivery);
}

enum ks_err ks_store_delivery_of(struct ks_store *store, uint64_t endpoint, uint64_t event, ks_delivery_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_DELIVERY_OF, KS_PARAMS(ks_value_u64(endpoint), ks_value_u64(event)),
			     KS_ARRAY_LEN(delivery_fields), take_delivery);
}

static enum ks_sql_id statement_of(const struct ks_delivery_filter *filter)
{
	if (filter->endpoint && filter->state == KS_DELIVERY_FAILED)
		return KS_SQL_DELIVERIES_OF_ENDPOINT_FAILED;
	if (filter->endpoint)
		return KS_SQL_DELIVERIES_OF_ENDPOINT;
	if (filter->tenant)
		return KS_SQL_DELIVERIES_OF_TENANT;
	return filter->organization ? KS_SQL_DELIVERIES_OF_ORGANIZATION : KS_SQL_DELIVERIES;
}

enum ks_err ks_store_deliveries(struct ks_store *store, const struct ks_delivery_filter *filter, ks_delivery_each *each,
				void *ctx)
{
	int64_t first = filter->from == KS_TIME_NONE ? 1 : ks_store_first_id(filter->from);
	int64_t end = filter->to == KS_TIME_NONE ? INT64_MAX : ks_store_first_id(filter->to);

	return list(store, statement_of(filter),
		    KS_PARAMS(ks_value_u64(filter->organization), ks_value_u64(filter->tenant), ks_value_u64(filter->endpoint),
			      ks_value_filter((unsigned)filter->state, KS_DELIVERY_STATE_COUNT), ks_value_i64(first),
			      ks_value_i64(end), ks_value_before(filter->before), ks_value_limit(filter->limit)),
		    each, ctx);
}

enum ks_err ks_store_deliveries_failed(struct ks_store *store, uint64_t endpoint, uint64_t first, uint64_t end, size_t limit,
				       ks_delivery_each *each, void *ctx)
{
	return list(store, KS_SQL_DELIVERIES_FAILED,
		    KS_PARAMS(ks_value_u64(endpoint), ks_value_u64(first), ks_value_u64(end), ks_value_limit(limit)), each, ctx);
}

enum ks_err ks_store_deliveries_due(struct ks_store *store, uint64_t endpoint, size_t limit, ks_delivery_each *each, void *ctx)
{
	return list(store, KS_SQL_DELIVERIES_DUE, KS_PARAMS(ks_value_u64(endpoint), ks_value_limit(limit)), each, ctx);
}

enum ks_err ks_store_deliveries_newest(struct ks_store *store, uint64_t endpoint, int64_t now_ms, size_t limit,
				       ks_delivery_each *each, void *ctx)
{
	return list(store, KS_SQL_DELIVERIES_NEWEST,
		    KS_PARAMS(ks_value_u64(endpoint), ks_value_i64(now_ms), ks_value_limit(limit)), each, ctx);
}

/* ---- attempts ---- */

static const struct ks_field attempt_fields[] = {
	KS_FIELD(ks_attempt_row, delivery, ID, 0),
	KS_FIELD(ks_attempt_row, number, ID, 0),
	KS_FIELD(ks_attempt_row, at, TIME, 0),
	KS_FIELD(ks_attempt_row, status, COUNT, 0),
	KS_FIELD(ks_attempt_row, elapsed_ms, COUNT, 0),
	KS_FIELD(ks_attempt_row, code, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_attempt_row, excerpt, TEXT, KS_STORE_EXCERPT_MAX),
};

KS_ROW_TAKER(take_attempt, ks_attempt_row, ks_attempt_each, attempt_fields)

enum ks_err ks_store_attempt_insert(struct ks_store *store, const struct ks_attempt_row *row)
{
	return ks_store_insert(store, KS_SQL_ATTEMPT_INSERT, attempt_fields, KS_ARRAY_LEN(attempt_fields), row);
}

enum ks_err ks_store_attempts(struct ks_store *store, uint64_t delivery, ks_attempt_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_ATTEMPTS, KS_PARAMS(ks_value_u64(delivery)), KS_ARRAY_LEN(attempt_fields),
			      take_attempt, &taker);
}

/* ---- the past ---- */

enum ks_err ks_store_deliveries_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed)
{
	int64_t end = ks_store_first_id(before), bound = end;
	enum ks_err err = ks_store_query_numbers(store, KS_SQL_DELIVERIES_OLDEST,
						 KS_PARAMS(ks_value_i64(end), ks_value_limit(limit)), 1, &bound);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (err == KS_NOT_FOUND)
		bound = end;
	KS_TRY(ks_store_write(store, KS_SQL_ATTEMPTS_TRIM, KS_PARAMS(ks_value_i64(bound)), NULL));
	return ks_store_write(store, KS_SQL_DELIVERIES_TRIM, KS_PARAMS(ks_value_i64(bound)), ret_trimmed);
}

enum ks_err ks_store_cursor_get(struct ks_store *store, uint64_t *ret_event)
{
	int64_t event;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_CURSOR_GET, NULL, 0, 1, &event));
	*ret_event = (uint64_t)event;
	return KS_OK;
}

enum ks_err ks_store_cursor_set(struct ks_store *store, uint64_t event)
{
	return ks_store_write_one(store, KS_SQL_CURSOR_SET, KS_PARAMS(ks_value_u64(event)));
}
