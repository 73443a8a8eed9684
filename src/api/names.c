/* SPDX-License-Identifier: Apache-2.0 */
/* Tenants as callers name them. Whatever a caller does not see is answered as what does not exist. */
#include "api/api_priv.h"

bool ks_call_tenant(struct ks_call *call, struct ks_str text, uint64_t *ret_id)
{
	const struct ks_ring *ring = ks_call_ring(call);
	enum ks_id_type type;
	uint64_t id;
	uint32_t index;

	if (!ring || !ks_id_parse_any(text, &type, &id))
		return false;
	index = ks_ring_tenant(ring, id);
	/* The number alone does not name it: an organization is not to be called by the spelling of a project. */
	if (index == KS_RING_NONE || ring->tenants[index].kind != (uint8_t)type
	    || !ks_actor_sees(&call->actor, ring, id))
		return false;
	*ret_id = id;
	return true;
}

enum ks_finish ks_call_tenant_forbidden(struct ks_call *call)
{
	const struct ks_reason_info *info = ks_reason_info(KS_REASON_TENANT_FORBIDDEN);

	ks_exchange_problem(call->exchange, info->code, info->status, info->text, NULL, &call->in, KS_STR(""));
	return KS_FINISH_DONE;
}

bool ks_call_tenant_member(struct ks_call *call, const json_t *object, const char *base, const char *name,
			   bool required, uint64_t *ret_id)
{
	const json_t *value = json_object_get(object, name);
	uint64_t id;

	if (!ks_in_id(&call->in, object, base, name, KS_ID_TYPE_COUNT, required, &id))
		return true;
	if (ks_call_tenant(call, ks_str_of(json_string_value(value), json_string_length(value)), ret_id))
		return true;
	call->in = (struct ks_in){0};
	ks_in_problem(&call->in, base, name, "This tenant is not accessible.");
	(void)ks_call_tenant_forbidden(call);
	return false;
}

bool ks_call_tenant_query(struct ks_call *call, const char *name, uint64_t *ret_id)
{
	char storage[64];
	struct ks_str text;
	enum ks_id_type type;
	uint64_t id;

	if (!ks_call_query(call, name, storage, sizeof(storage), &text))
		return true;
	if (!ks_id_parse_any(text, &type, &id)) {
		ks_call_query_problem(call, name, "This is not the id of a tenant.");
		return true;
	}
	if (ks_call_tenant(call, text, ret_id))
		return true;
	(void)ks_call_tenant_forbidden(call);
	return false;
}

bool ks_call_sees_user(struct ks_call *call, const struct ks_user_row *row)
{
	const struct ks_ring *ring = ks_call_ring(call);

	if (call->actor.local || call->actor.is_operator)
		return true;
	return ring && (ks_actor_sees(&call->actor, ring, ks_actor_home(ring, row->organization))
			|| (row->personal && ks_actor_sees(&call->actor, ring, row->personal)));
}
