/* SPDX-License-Identifier: Apache-2.0 */
/* Each segment has the keys from its first_key to the next one's. A new one begins where the last has enough, with an
 * id above all that there are. */
#include "store/store_priv.h"

static enum ks_err load_last(struct ks_store *store)
{
	struct ks_segment_memo *last = &store->last_segment;
	int64_t numbers[4]; /* id, first key, keys before it, keys in all when the transaction began */

	if (last->known)
		return KS_OK;
	KS_TRY(ks_store_query_numbers(store, KS_SQL_SEGMENT_LAST, NULL, 0, 4, numbers));
	uint64_t used = (uint64_t)(numbers[3] - numbers[2]) + store->added.keys;
	*last = (struct ks_segment_memo){
		.known = true,
		.id = (uint64_t)numbers[0],
		.first_key = (uint64_t)numbers[1],
		.room = used < store->segment_keys ? store->segment_keys - used : 0,
	};
	return KS_OK;
}

/* Begins the next segment with the key `first`, unless a key that is there would belong into it. */
static enum ks_err begin_next(struct ks_store *store, uint64_t first)
{
	struct ks_segment_memo *last = &store->last_segment;
	struct ks_store_counts counts;
	int64_t greatest;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_KEY_LAST, NULL, 0, 1, &greatest));
	if (first <= (uint64_t)greatest)
		return KS_OK;
	KS_TRY(ks_store_counts(store, &counts));
	KS_TRY(ks_store_write(store, KS_SQL_SEGMENT_INSERT,
			      KS_PARAMS(ks_value_u64(last->id + 1), ks_value_u64(first), ks_value_u64(counts.keys)),
			      NULL));
	*last = (struct ks_segment_memo){true, last->id + 1, first, store->segment_keys};
	return KS_OK;
}

enum ks_err ks_store_segment_for(struct ks_store *store, uint64_t least, size_t count, uint64_t *ret_segment)
{
	struct ks_segment_memo *last = &store->last_segment;

	KS_TRY(load_last(store));
	if (last->room == 0 && least > last->first_key)
		KS_TRY(begin_next(store, least));
	if (least < last->first_key)
		return count == 1 ? ks_store_segment_below(store, least + 1, ret_segment) : KS_NOT_FOUND;
	last->room -= KS_MIN(last->room, count);
	*ret_segment = last->id;
	return KS_OK;
}

enum ks_err ks_store_keys_apart(struct ks_store *store, uint64_t first)
{
	KS_TRY(load_last(store));
	return first > store->last_segment.first_key ? begin_next(store, first) : KS_OK;
}

enum ks_err ks_store_segment_below(struct ks_store *store, uint64_t before, uint64_t *ret_segment)
{
	int64_t segment;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_SEGMENT_BELOW, KS_PARAMS(ks_value_before(before)), 1, &segment));
	*ret_segment = (uint64_t)segment;
	return KS_OK;
}
