/* SPDX-License-Identifier: Apache-2.0 */
#include "store/health.h"
#include "store/store_priv.h"

static const char *const statuses[] = {
#define X(name, text) text,
	KS_HEALTH_STATUSES(X)
#undef X
};

const char *ks_health_status_text(enum ks_health_status status)
{
	return statuses[status];
}

bool ks_health_status_parse(struct ks_str text, enum ks_health_status *ret_status)
{
	for (int i = 0; i < KS_HEALTH_STATUS_COUNT; i++) {
		if (ks_str_eq(text, ks_str_c(statuses[i]))) {
			*ret_status = (enum ks_health_status)i;
			return true;
		}
	}
	return false;
}

/* ---- how it is ---- */

static const struct ks_field health_fields[] = {
	KS_FIELD(ks_health_row, provider, ID, 0),
	KS_FIELD(ks_health_row, organization, ID, 0),
	KS_FIELD(ks_health_row, tenant, ID, 0),
	KS_FIELD(ks_health_row, status, ENUM, KS_HEALTH_STATUS_COUNT),
	KS_FIELD(ks_health_row, told, ENUM, KS_HEALTH_STATUS_COUNT),
	KS_FIELD(ks_health_row, since, TIME, 0),
	KS_FIELD(ks_health_row, checked_at, SOME, 0),
	KS_FIELD(ks_health_row, due_at, SOME, 0),
	KS_FIELD(ks_health_row, failures, COUNT, 0),
	KS_FIELD(ks_health_row, set, COUNT, 0),
	KS_FIELD(ks_health_row, reads, COUNT, 0),
	KS_FIELD(ks_health_row, read_set, COUNT, 0),
	KS_FIELD(ks_health_row, read_at, SOME, 0),
	KS_FIELD(ks_health_row, error_at, SOME, 0),
	KS_FIELD(ks_health_row, code, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_health_row, detail, TEXT, KS_STORE_HEALTH_DETAIL_MAX),
	KS_FIELD(ks_health_row, error_code, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_health_row, fields, TEXT, KS_STORE_HEALTH_FIELDS_MAX),
};

KS_ROW_TAKER(take_health, ks_health_row, ks_health_each, health_fields)

enum ks_err ks_store_health_put(struct ks_store *store, const struct ks_health_row *row)
{
	return ks_store_insert(store, KS_SQL_HEALTH_PUT, health_fields, KS_ARRAY_LEN(health_fields), row);
}

enum ks_err ks_store_health_seen(struct ks_store *store, const struct ks_health_row *row)
{
	return ks_store_write_one(store, KS_SQL_HEALTH_SEEN,
				  KS_PARAMS(ks_value_u64(row->provider), ks_value_some(row->checked_at),
					    ks_value_some(row->due_at), ks_value_u64(row->failures), ks_value_u64(row->reads),
					    ks_value_u64(row->read_set), ks_value_some(row->read_at),
					    ks_value_some(row->error_at)));
}

enum ks_err ks_store_health_get(struct ks_store *store, uint64_t provider, ks_health_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_HEALTH_GET, KS_PARAMS(ks_value_u64(provider)), KS_ARRAY_LEN(health_fields),
			     take_health);
}

enum ks_err ks_store_health_delete(struct ks_store *store, uint64_t provider)
{
	KS_TRY(ks_store_write(store, KS_SQL_HEALTH_CHANGES_DELETE, KS_PARAMS(ks_value_u64(provider)), NULL));
	return ks_store_write(store, KS_SQL_HEALTH_DELETE, KS_PARAMS(ks_value_u64(provider)), NULL);
}

enum ks_err ks_store_health_due(struct ks_store *store, int64_t now_ms, size_t limit, ks_health_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_HEALTH_DUE, KS_PARAMS(ks_value_i64(now_ms), ks_value_limit(limit)),
			      KS_ARRAY_LEN(health_fields), take_health, &taker);
}

enum ks_err ks_store_health_counts(struct ks_store *store, uint64_t ret_counts[KS_HEALTH_STATUS_COUNT])
{
	int64_t count;

	for (int i = 0; i < KS_HEALTH_STATUS_COUNT; i++) {
		KS_TRY(ks_store_query_numbers(store, KS_SQL_HEALTH_COUNT, KS_PARAMS(ks_value_i64(i)), 1, &count));
		ret_counts[i] = (uint64_t)count;
	}
	return KS_OK;
}

enum ks_err ks_store_healths(struct ks_store *store, const struct ks_health_filter *filter, ks_health_each *each, void *ctx)
{
	static const enum ks_sql_id statements[2][3] = {
		{KS_SQL_HEALTHS, KS_SQL_HEALTHS_OF_ORGANIZATION, KS_SQL_HEALTHS_OF_TENANT},
		{KS_SQL_HEALTHS_IN_STATUS, KS_SQL_HEALTHS_OF_ORGANIZATION_IN_STATUS, KS_SQL_HEALTHS_OF_TENANT_IN_STATUS},
	};
	struct ks_row_taker taker = {store, &each, ctx, 0};
	size_t by = filter->tenant ? 2 : filter->organization ? 1 : 0;

	return ks_store_query(store, statements[filter->status != KS_HEALTH_STATUS_COUNT][by],
			      KS_PARAMS(ks_value_u64(filter->organization), ks_value_u64(filter->tenant),
					ks_value_i64((int64_t)filter->status),
					ks_value_i64(filter->before ? (int64_t)filter->before : INT64_MAX),
					ks_value_limit(filter->limit)),
			      KS_ARRAY_LEN(health_fields), take_health, &taker);
}

/* ---- how it was ---- */

static const struct ks_field change_fields[] = {
	KS_FIELD(ks_health_change_row, id, ID, 0),
	KS_FIELD(ks_health_change_row, provider, ID, 0),
	KS_FIELD(ks_health_change_row, at, TIME, 0),
	KS_FIELD(ks_health_change_row, status, ENUM, KS_HEALTH_STATUS_COUNT),
	KS_FIELD(ks_health_change_row, was, ENUM, KS_HEALTH_STATUS_COUNT),
	KS_FIELD(ks_health_change_row, set, COUNT, 0),
	KS_FIELD(ks_health_change_row, code, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_health_change_row, detail, TEXT, KS_STORE_HEALTH_DETAIL_MAX),
};

KS_ROW_TAKER(take_change, ks_health_change_row, ks_health_change_each, change_fields)

enum ks_err ks_store_health_change_insert(struct ks_store *store, const struct ks_health_change_row *row)
{
	return ks_store_insert(store, KS_SQL_HEALTH_CHANGE_INSERT, change_fields, KS_ARRAY_LEN(change_fields), row);
}

enum ks_err ks_store_health_changes(struct ks_store *store, uint64_t provider, uint64_t before, size_t limit,
				    ks_health_change_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_HEALTH_CHANGES,
			      KS_PARAMS(ks_value_u64(provider), ks_value_i64(before ? (int64_t)before : INT64_MAX),
					ks_value_limit(limit)),
			      KS_ARRAY_LEN(change_fields), take_change, &taker);
}

enum ks_err ks_store_health_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed)
{
	return ks_store_write(store, KS_SQL_HEALTH_TRIM,
			      KS_PARAMS(ks_value_i64(ks_store_first_id(before)), ks_value_limit(limit)), ret_trimmed);
}
