/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field event_fields[] = {
	KS_FIELD(ks_event_row, id, ID, 0),
	KS_FIELD(ks_event_row, at, TIME, 0),
	KS_FIELD(ks_event_row, type, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_event_row, organization, REF, 0),
	KS_FIELD(ks_event_row, tenant, REF, 0),
	KS_FIELD(ks_event_row, object, TEXT, KS_STORE_OBJECT_MAX),
	KS_FIELD(ks_event_row, data, TEXT, KS_STORE_DETAIL_MAX),
};

KS_ROW_TAKER(take_event, ks_event_row, ks_event_each, event_fields)

enum ks_err ks_store_event_append(struct ks_store *store, const struct ks_event_row *row)
{
	return ks_store_insert(store, KS_SQL_EVENT_INSERT, event_fields, KS_ARRAY_LEN(event_fields), row);
}

enum ks_err ks_store_event_get(struct ks_store *store, uint64_t id, ks_event_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_EVENT_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(event_fields),
			     take_event);
}

/* By what a list is driven: in each direction. */
static enum ks_sql_id statement_of(const struct ks_event_filter *filter)
{
	static const enum ks_sql_id statements[2][4] = {
		{KS_SQL_EVENTS, KS_SQL_EVENTS_OF_TYPE, KS_SQL_EVENTS_OF_ORGANIZATION, KS_SQL_EVENTS_OF_TENANT},
		{KS_SQL_EVENTS_AFTER, KS_SQL_EVENTS_AFTER_OF_TYPE, KS_SQL_EVENTS_AFTER_OF_ORGANIZATION,
		 KS_SQL_EVENTS_AFTER_OF_TENANT},
	};
	size_t by = filter->tenant ? 3 : filter->organization ? 2 : filter->type.n ? 1 : 0;

	return statements[filter->oldest_first][by];
}

enum ks_err ks_store_events(struct ks_store *store, const struct ks_event_filter *filter, ks_event_each *each,
			    void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	int64_t first = filter->from == KS_TIME_NONE ? 1 : ks_store_first_id(filter->from);
	int64_t end = filter->to == KS_TIME_NONE ? INT64_MAX : ks_store_first_id(filter->to);

	if (filter->before && filter->before < (uint64_t)end)
		end = (int64_t)filter->before;
	if (filter->after >= INT64_MAX)
		return KS_OK;
	first = KS_MAX(first, (int64_t)filter->after + 1);
	return ks_store_query(store, statement_of(filter),
			      KS_PARAMS(ks_value_u64(filter->organization), ks_value_u64(filter->tenant),
					ks_value_text(filter->type), ks_value_i64(first), ks_value_i64(end),
					ks_value_limit(filter->limit)),
			      KS_ARRAY_LEN(event_fields), take_event, &taker);
}

enum ks_err ks_store_events_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed)
{
	return ks_store_write(store, KS_SQL_EVENTS_TRIM,
			      KS_PARAMS(ks_value_i64(ks_store_first_id(before)), ks_value_limit(limit)), ret_trimmed);
}

uint64_t ks_store_first_id_at(int64_t time)
{
	return (uint64_t)ks_store_first_id(time);
}
