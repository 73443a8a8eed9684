/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/account: the caller itself. What a key's holder monitors. */
#include "api/api_priv.h"

static enum ks_err put_tenant(void *ctx, const struct ks_tenant_row *row)
{
	struct ks_call *call = ctx;

	ks_record_tenant(&call->out, row, ks_call_ring(call), &call->actor);
	return KS_OK;
}

struct key_and_grant {
	struct ks_call *call;
	const struct ks_key_row *row;
};

static enum ks_err put_grant(void *ctx, const struct ks_grant_row *grant)
{
	struct key_and_grant *both = ctx;

	ks_record_key(&both->call->out, both->row, grant->body, NULL, both->call->exchange->now_ms);
	return KS_OK;
}

static enum ks_err put_key(void *ctx, const struct ks_key_row *row)
{
	struct key_and_grant both = {.call = ctx, .row = row};
	struct ks_json *out = &both.call->out;
	enum ks_err err;

	ks_json_name(out, "key");
	err = ks_store_grant_get(both.call->reader->store, row->grant, put_grant, &both);
	ks_json_name(out, "usage");
	ks_json_open(out, '{');
	ks_json_put_u64(out, "uses", row->uses);
	ks_json_put_time(out, "last_used_at", row->last_used_at);
	ks_json_put_some(out, "last_used_address", row->last_used_address);
	ks_json_close(out, '}');
	return err;
}

enum ks_finish ks_api_account(struct ks_call *call)
{
	struct ks_json *out = &call->out;
	uint64_t id = 0;

	ks_json_open(out, '{');
	ks_json_put_c(out, "principal", call->actor.id);
	if (ks_id_parse(ks_str_c(call->actor.id), KS_ID_KEY, &id)) {
		if (ks_store_key_get(call->reader->store, id, put_key, call) != KS_OK)
			return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	}
	ks_json_name(out, "tenant");
	if (call->actor.own == 0 || ks_store_tenant_get(call->reader->store, call->actor.own, put_tenant, call) != KS_OK)
		ks_json_null(out);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}
