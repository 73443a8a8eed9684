/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field grant_fields[] = {
	KS_FIELD(ks_grant_row, id, ID, 0),
	KS_FIELD(ks_grant_row, body, TEXT, KS_STORE_GRANT_MAX),
};

KS_ROW_TAKER(take_grant, ks_grant_row, ks_grant_each, grant_fields)

/* In canonical JSON these bytes can only be the member: no name of a scope, role or address holds a quote. A body of
 * any other form counts as limited, which only makes the plan of a ring a little larger. */
static bool is_limited(struct ks_str body)
{
	return !memmem(body.p, body.n, "\"rate_limit\":null", sizeof("\"rate_limit\":null") - 1);
}

enum ks_err ks_store_grant_intern(struct ks_store *store, struct ks_str body, uint64_t *ret_id, bool *ret_made)
{
	struct ks_sql_value text = ks_value_text(body);
	int64_t id;

	KS_TRY(ks_store_check_text(store, body, KS_STORE_GRANT_MAX));
	enum ks_err err = ks_store_query_numbers(store, KS_SQL_GRANT_BY_BODY, &text, 1, 1, &id);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	bool made = err == KS_NOT_FOUND;
	if (made) {
		KS_TRY(ks_store_write_returning(store, KS_SQL_GRANT_INSERT,
						KS_PARAMS(ks_value_i64(is_limited(body)), text), &id));
		store->added.grants++;
	}
	*ret_id = (uint64_t)id;
	*ret_made = made;
	return KS_OK;
}

enum ks_err ks_store_grant_get(struct ks_store *store, uint64_t id, ks_grant_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_GRANT_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(grant_fields),
			     take_grant);
}

enum ks_err ks_store_grants_all(struct ks_store *store, ks_grant_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_GRANTS_ALL, NULL, 0, KS_ARRAY_LEN(grant_fields), take_grant, &taker);
}

enum ks_err ks_store_grant_limited(struct ks_store *store, uint64_t id, bool *ret_limited)
{
	struct ks_grant_memo *memo = &store->memos[id % KS_GRANT_MEMOS];
	int64_t limited;

	if (memo->grant != id || id == 0) {
		KS_TRY(ks_store_query_numbers(store, KS_SQL_GRANT_LIMITED, KS_PARAMS(ks_value_u64(id)), 1, &limited));
		*memo = (struct ks_grant_memo){id, limited != 0};
	}
	*ret_limited = memo->limited;
	return KS_OK;
}

void ks_store_forget_memos(struct ks_store *store)
{
	memset(store->memos, 0, sizeof(store->memos));
	memset(store->trees, 0, sizeof(store->trees));
	for (size_t i = 0; store->tiles && i < KS_TILE_MEMOS; i++)
		store->tiles[i].known = false;
	memset(store->current, 0, sizeof(store->current));
	store->last_segment.known = false;
}
