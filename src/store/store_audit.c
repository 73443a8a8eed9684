/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field audit_fields[] = {
	KS_FIELD(ks_audit_row, id, ID, 0),
	KS_FIELD(ks_audit_row, at, TIME, 0),
	KS_FIELD(ks_audit_row, organization, REF, 0),
	KS_FIELD(ks_audit_row, tenant, REF, 0),
	KS_FIELD(ks_audit_row, actor, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_audit_row, on_behalf, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_audit_row, action, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_audit_row, object, TEXT, KS_STORE_OBJECT_MAX),
	KS_FIELD(ks_audit_row, outcome, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_audit_row, address, TEXT, KS_STORE_ADDRESS_MAX),
	KS_FIELD(ks_audit_row, request_id, TEXT, KS_STORE_REQUEST_ID_MAX),
	KS_FIELD(ks_audit_row, detail, TEXT, KS_STORE_DETAIL_MAX),
};

KS_ROW_TAKER(take_audit, ks_audit_row, ks_audit_each, audit_fields)

enum ks_err ks_store_audit_append(struct ks_store *store, const struct ks_audit_row *row)
{
	return ks_store_insert(store, KS_SQL_AUDIT_INSERT, audit_fields, KS_ARRAY_LEN(audit_fields), row);
}

enum ks_err ks_store_audit(struct ks_store *store, const struct ks_audit_filter *filter, ks_audit_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	int64_t from = filter->from == KS_TIME_NONE ? 1 : ks_store_first_id(filter->from);
	int64_t to = filter->to == KS_TIME_NONE ? INT64_MAX : ks_store_first_id(filter->to);
	enum ks_sql_id id = KS_SQL_AUDIT;

	if (filter->actor.n)
		id = KS_SQL_AUDIT_OF_ACTOR;
	else if (filter->tenant)
		id = KS_SQL_AUDIT_OF_TENANT;
	else if (filter->organization)
		id = KS_SQL_AUDIT_OF_ORGANIZATION;
	else if (filter->action.n)
		id = KS_SQL_AUDIT_OF_ACTION;
	if (filter->before && filter->before < (uint64_t)to)
		to = (int64_t)filter->before;
	return ks_store_query(store, id,
			      KS_PARAMS(ks_value_u64(filter->organization), ks_value_u64(filter->tenant),
					ks_value_text(filter->actor), ks_value_text(filter->action), ks_value_i64(from),
					ks_value_i64(to), ks_value_limit(filter->limit)),
			      KS_ARRAY_LEN(audit_fields), take_audit, &taker);
}
