/* SPDX-License-Identifier: Apache-2.0 */
/* Calls under way. */
#include <stdlib.h>

#include "store/store_priv.h"
#include "store/vault.h"

#define FORGET_MAX 4096

static const struct ks_field lease_fields[] = {
	KS_FIELD(ks_lease_row, id, ID, 0),
	KS_FIELD(ks_lease_row, provider, ID, 0),
	KS_FIELD(ks_lease_row, set_number, ID, 0),
	KS_FIELD(ks_lease_row, outcome, ENUM, KS_CALL_OUTCOME_COUNT),
	KS_FIELD(ks_lease_row, ends_at, TIME, 0),
	KS_FIELD(ks_lease_row, call, TEXT, KS_STORE_CALL_MAX),
};

KS_ROW_TAKER(take_lease, ks_lease_row, ks_lease_each, lease_fields)

/* KS_NOT_FOUND: it is not. Asked of the database once, and again after anything was undone or another set has become current. */
static enum ks_err check_current(struct ks_store *store, uint64_t provider, uint64_t set)
{
	struct ks_current_memo *memo = &store->current[(provider * UINT64_C(0x9e3779b97f4a7c15)) >> 58];
	int64_t one;

	if (memo->provider == provider && memo->set == set)
		return KS_OK;
	KS_TRY(ks_store_query_numbers(store, KS_SQL_LEASE_MAY_BEGIN, KS_PARAMS(ks_value_u64(provider), ks_value_u64(set)), 1,
				      &one));
	*memo = (struct ks_current_memo){provider, set};
	return KS_OK;
}

enum ks_err ks_store_lease_begin(struct ks_store *store, const struct ks_lease_row *row)
{
	/* Not in one statement with the other: what may write several rows takes copies of pages before. */
	KS_TRY(check_current(store, row->provider, row->set_number));
	return ks_store_insert(store, KS_SQL_LEASE_BEGIN, lease_fields, KS_ARRAY_LEN(lease_fields), row);
}

enum ks_err ks_store_lease_get(struct ks_store *store, uint64_t id, ks_lease_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_LEASE_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(lease_fields),
			     take_lease);
}

enum ks_err ks_store_lease_of_call(struct ks_store *store, uint64_t provider, uint64_t set_number, struct ks_str call,
				   ks_lease_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_LEASE_OF_CALL,
			     KS_PARAMS(ks_value_u64(provider), ks_value_u64(set_number), ks_value_text(call)),
			     KS_ARRAY_LEN(lease_fields), take_lease);
}

enum ks_err ks_store_lease_update(struct ks_store *store, uint64_t id, int64_t ends_at, enum ks_call_outcome outcome)
{
	return ks_store_write_one(store, KS_SQL_LEASE_UPDATE,
				  KS_PARAMS(ks_value_u64(id), ks_value_i64(ends_at), ks_value_i64(outcome)));
}

enum ks_err ks_store_leases_count(struct ks_store *store, uint64_t provider, uint64_t set_number, int64_t now_ms,
				  uint64_t *ret_all, uint64_t *ret_open)
{
	int64_t numbers[2];

	KS_TRY(ks_store_query_numbers(
		store, KS_SQL_LEASES_COUNT,
		KS_PARAMS(ks_value_u64(provider), ks_value_u64(set_number), ks_value_i64(now_ms)), 2, numbers));
	*ret_all = (uint64_t)numbers[0];
	*ret_open = (uint64_t)numbers[1];
	return KS_OK;
}

enum ks_err ks_store_leases_any(struct ks_store *store, uint64_t provider, uint64_t set_number, int64_t now_ms,
				bool *ret_any)
{
	int64_t id;
	enum ks_err err = ks_store_query_numbers(
		store, KS_SQL_LEASES_ANY,
		KS_PARAMS(ks_value_u64(provider), ks_value_u64(set_number), ks_value_i64(now_ms)), 1, &id);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_any = err == KS_OK;
	return KS_OK;
}

/* ---- forgetting ---- */

struct ended {
	uint64_t provider;
	uint64_t set_number;
	uint64_t id;
};

struct ended_list {
	int64_t before;
	struct ended *items;
	size_t count, seen;
	uint64_t last;
};

static enum ks_err note_ended(void *ctx, const struct ks_lease_row *row)
{
	struct ended_list *list = ctx;

	list->seen++;
	list->last = row->id;
	if (row->ends_at >= list->before)
		return KS_OK;
	list->items[list->count++] = (struct ended){row->provider, row->set_number, row->id};
	return KS_OK;
}

static int by_set(const void *a, const void *b)
{
	const struct ended *x = a, *y = b;

	if (x->provider != y->provider)
		return (x->provider > y->provider) - (x->provider < y->provider);
	return (x->set_number > y->set_number) - (x->set_number < y->set_number);
}

static enum ks_err forget_listed(struct ks_store *store, struct ended_list *list)
{
	uint64_t same = 0;

	qsort(list->items, list->count, sizeof(*list->items), by_set);
	for (size_t i = 0; i < list->count; i++) {
		const struct ended *item = &list->items[i];

		KS_TRY(ks_store_write_one(store, KS_SQL_LEASE_FORGET, KS_PARAMS(ks_value_u64(item->id))));
		same++;
		if (i + 1 < list->count && by_set(item, &list->items[i + 1]) == 0)
			continue;
		KS_TRY(ks_store_set_count(store, item->provider, item->set_number, same, 0, 0));
		same = 0;
	}
	return KS_OK;
}

enum ks_err ks_store_leases_forget(struct ks_store *store, int64_t before, size_t limit, uint64_t *after)
{
	size_t most = KS_MIN(limit, (size_t)FORGET_MAX);
	struct ended_list list = {.before = before, .items = calloc(most, sizeof(struct ended))};
	struct ks_row_taker taker = {store, &(ks_lease_each *){note_ended}, &list, 0};
	enum ks_err err;

	if (!list.items)
		return KS_MEMORY;
	err = ks_store_query(
		store, KS_SQL_LEASES_FROM,
		KS_PARAMS(ks_value_u64(*after), ks_value_i64(ks_store_first_id(before)), ks_value_limit(most)),
		KS_ARRAY_LEN(lease_fields), take_lease, &taker);
	if (err == KS_OK && list.count > 0)
		err = forget_listed(store, &list);
	if (err == KS_OK)
		*after = list.seen == most ? list.last : 0;
	free(list.items);
	return err;
}
