/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

/* ---- reminders ---- */

enum ks_err ks_store_reminder_get(struct ks_store *store, int64_t lead, uint64_t segment,
				  struct ks_reminder_mark *ret_mark)
{
	int64_t numbers[2];

	KS_TRY(ks_store_query_numbers(store, KS_SQL_NOTICE_LEAD, KS_PARAMS(ks_value_i64(lead), ks_value_u64(segment)),
				      2, numbers));
	*ret_mark = (struct ks_reminder_mark){.ends_at = numbers[0], .key = (uint64_t)numbers[1]};
	return KS_OK;
}

enum ks_err ks_store_reminder_put(struct ks_store *store, int64_t lead, uint64_t segment,
				  const struct ks_reminder_mark *mark)
{
	return ks_store_write(store, KS_SQL_NOTICE_LEAD_PUT,
			      KS_PARAMS(ks_value_i64(lead), ks_value_u64(segment), ks_value_i64(mark->ends_at),
					ks_value_u64(mark->key)),
			      NULL);
}

enum ks_err ks_store_last_segment(struct ks_store *store, uint64_t *ret_segment)
{
	return ks_store_segment_below(store, 0, ret_segment);
}

/* ---- what was told of a key ---- */

enum ks_err ks_store_notice_get(struct ks_store *store, uint64_t key, enum ks_key_notice notice, int64_t *ret_at)
{
	return ks_store_query_numbers(store, KS_SQL_NOTICE,
				      KS_PARAMS(ks_value_u64(key), ks_value_i64((int64_t)notice)), 1, ret_at);
}

enum ks_err ks_store_notice_put(struct ks_store *store, uint64_t key, enum ks_key_notice notice, int64_t at)
{
	return ks_store_write(store, KS_SQL_NOTICE_PUT,
			      KS_PARAMS(ks_value_u64(key), ks_value_i64((int64_t)notice), ks_value_i64(at)), NULL);
}

/* ---- networks ---- */

static const struct ks_field network_fields[] = {
	KS_FIELD(ks_network_row, network, TEXT, KS_STORE_ADDRESS_MAX),
	KS_FIELD(ks_network_row, at, TIME, 0),
};

KS_ROW_TAKER(take_network, ks_network_row, ks_network_each, network_fields)

enum ks_err ks_store_networks(struct ks_store *store, uint64_t key, ks_network_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_NETWORKS, KS_PARAMS(ks_value_u64(key)), KS_ARRAY_LEN(network_fields),
			      take_network, &taker);
}

enum ks_err ks_store_network_put(struct ks_store *store, uint64_t key, const struct ks_network_row *row)
{
	KS_TRY(ks_store_check_text(store, row->network, KS_STORE_ADDRESS_MAX));
	return ks_store_write(store, KS_SQL_NETWORK_PUT,
			      KS_PARAMS(ks_value_u64(key), ks_value_text(row->network), ks_value_i64(row->at)), NULL);
}

enum ks_err ks_store_network_delete(struct ks_store *store, uint64_t key, struct ks_str network)
{
	return ks_store_write_one(store, KS_SQL_NETWORK_DELETE,
				  KS_PARAMS(ks_value_u64(key), ks_value_text(network)));
}

/* ---- usage ---- */

enum ks_err ks_store_last_used(struct ks_store *store, uint64_t key, int64_t *ret_at)
{
	return ks_store_query_numbers(store, KS_SQL_LAST_USED, KS_PARAMS(ks_value_u64(key)), 1, ret_at);
}

enum ks_err ks_store_usage_denied(struct ks_store *store, uint64_t key, int64_t from, uint64_t *ret_count)
{
	int64_t count;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_USAGE_DENIED,
				      KS_PARAMS(ks_value_u64(key), ks_value_i64(from), ks_value_i64(KS_REASON_OK),
						ks_value_i64(KS_REASON_RATE_LIMITED)),
				      1, &count));
	*ret_count = (uint64_t)count;
	return KS_OK;
}

/* ---- the walk ---- */

enum ks_err ks_store_walk_get(struct ks_store *store, uint64_t *ret_key)
{
	int64_t key;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_NOTICE_WALK, NULL, 0, 1, &key));
	*ret_key = (uint64_t)key;
	return KS_OK;
}

enum ks_err ks_store_walk_put(struct ks_store *store, uint64_t key)
{
	return ks_store_write_one(store, KS_SQL_NOTICE_WALK_PUT, KS_PARAMS(ks_value_u64(key)));
}

enum ks_err ks_store_key_ahead(struct ks_store *store, uint64_t key, size_t count, uint64_t *ret_key)
{
	int64_t last;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_KEY_AHEAD, KS_PARAMS(ks_value_u64(key), ks_value_limit(count)), 1,
				      &last));
	*ret_key = (uint64_t)last;
	return KS_OK;
}
