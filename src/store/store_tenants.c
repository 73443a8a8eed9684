/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field tenant_fields[] = {
	KS_FIELD(ks_tenant_row, id, ID, 0),
	KS_FIELD(ks_tenant_row, parent, REF, 0),
	KS_FIELD(ks_tenant_row, organization, REF, 0),
	KS_FIELD(ks_tenant_row, kind, ENUM, KS_TENANT_KIND_COUNT),
	KS_FIELD(ks_tenant_row, user, REF, 0),
	KS_FIELD(ks_tenant_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_tenant_row, slug, TEXT, KS_STORE_SLUG_MAX),
	KS_FIELD(ks_tenant_row, created_at, TIME, 0),
	KS_FIELD(ks_tenant_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_tenant_row, suspended_at, SOME, 0),
	KS_FIELD(ks_tenant_row, deleted_at, SOME, 0),
};

KS_ROW_TAKER(take_tenant, ks_tenant_row, ks_tenant_each, tenant_fields)

enum ks_err ks_store_tenant_insert(struct ks_store *store, const struct ks_tenant_row *row)
{
	KS_TRY(ks_store_insert(store, KS_SQL_TENANT_INSERT, tenant_fields, KS_ARRAY_LEN(tenant_fields), row));
	store->added.tenants++;
	return KS_OK;
}

enum ks_err ks_store_tenant_update(struct ks_store *store, const struct ks_tenant_row *row)
{
	KS_TRY(ks_store_check_text(store, row->name, KS_STORE_NAME_MAX));
	return ks_store_write_one(store, KS_SQL_TENANT_UPDATE,
				  KS_PARAMS(ks_value_u64(row->id), ks_value_text(row->name),
					    ks_value_some(row->suspended_at), ks_value_some(row->deleted_at)));
}

enum ks_err ks_store_tenant_get(struct ks_store *store, uint64_t id, ks_tenant_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_TENANT_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(tenant_fields),
			     take_tenant);
}

/* $1 … $5 of every list of tenants. */
static void filter_params(const struct ks_tenant_filter *filter, uint64_t before, size_t limit,
			  struct ks_sql_value ret_params[5])
{
	ret_params[0] = ks_value_u64(filter->parent);
	ret_params[1] = ks_value_u64(filter->organization);
	ret_params[2] = ks_value_filter(filter->kind, KS_TENANT_KIND_COUNT);
	ret_params[3] = ks_value_before(before);
	ret_params[4] = ks_value_limit(limit);
}

/* Each of the ids is looked up, from the greatest. */
static enum ks_err list_ids(struct ks_row_taker *taker, const struct ks_tenant_filter *filter)
{
	struct ks_sql_value params[5];

	for (size_t i = filter->id_count; i-- > 0 && taker->rows < filter->limit;) {
		uint64_t id = filter->ids[i];
		if (id == 0 || (filter->before && id >= filter->before))
			continue;
		filter_params(filter, id, 1, params);
		KS_TRY(ks_store_query(taker->store, KS_SQL_TENANTS_ONE, params, 5, KS_ARRAY_LEN(tenant_fields),
				      take_tenant, taker));
	}
	return KS_OK;
}

enum ks_err ks_store_tenants(struct ks_store *store, const struct ks_tenant_filter *filter, ks_tenant_each *each,
			     void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	struct ks_sql_value params[5];
	enum ks_sql_id id = KS_SQL_TENANTS;

	if (filter->ids)
		return list_ids(&taker, filter);
	if (filter->parent)
		id = KS_SQL_TENANTS_OF_PARENT;
	else if (filter->organization)
		id = KS_SQL_TENANTS_OF_ORGANIZATION;
	else if (filter->kind < KS_TENANT_KIND_COUNT)
		id = KS_SQL_TENANTS_OF_KIND;
	filter_params(filter, filter->before, filter->limit, params);
	return ks_store_query(store, id, params, 5, KS_ARRAY_LEN(tenant_fields), take_tenant, &taker);
}

enum ks_err ks_store_tenants_all(struct ks_store *store, ks_tenant_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_TENANTS_ALL, NULL, 0, KS_ARRAY_LEN(tenant_fields), take_tenant, &taker);
}
