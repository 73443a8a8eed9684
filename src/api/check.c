/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/check: may this credential reach that resource of that tenant? Asked by family and tenant where verify asks by method and path. */
#include "api/api_priv.h"

struct resource {
	const struct ks_policy_family *family;
	const struct ks_policy_method *method;
	uint64_t tenant;
	bool write;
};

static const struct ks_policy_method *method_named(const struct ks_policy_family *family, const char *name)
{
	for (size_t i = 0; i < family->method_count; i++) {
		if (ks_str_eq(ks_str_c(family->methods[i].name), ks_str_c(name)))
			return &family->methods[i];
	}
	return NULL;
}

/* Reading is GET; writing is the first of these that the family takes. */
static const struct ks_policy_method *method_of(const struct ks_policy_family *family, bool write)
{
	static const char *const writes[] = {"POST", "PUT", "PATCH", "DELETE"};
	const struct ks_policy_method *found = NULL;

	if (!write)
		found = method_named(family, "GET");
	for (size_t i = 0; write && !found && i < KS_ARRAY_LEN(writes); i++)
		found = method_named(family, writes[i]);
	return found ? found : method_named(family, "*");
}

static void read_resource(struct ks_call *call, const struct ks_policy *policy, struct resource *r)
{
	static const char *const known[] = {"tenant", "family", "action", NULL};
	const json_t *object = json_object_get(call->body, "resource");
	struct ks_str action, family;

	*r = (struct resource){0};
	if (!json_is_object(object)) {
		ks_in_problem(&call->in, "", "resource", "This must be an object with tenant, family and action.");
		return;
	}
	ks_in_known(&call->in, object, "/resource", known);
	(void)ks_in_id(&call->in, object, "/resource", "tenant", KS_ID_TYPE_COUNT, true, &r->tenant);
	family = ks_in_str(&call->in, object, "/resource", "family", KS_FAMILY_NAME_MAX, true);
	r->family = policy ? ks_policy_family(policy, family) : NULL;
	if (!ks_str_empty(family) && !r->family)
		ks_in_problem(&call->in, "/resource", "family", "The policy has no family of this name.");
	action = ks_in_str(&call->in, object, "/resource", "action", 16, true);
	r->write = ks_str_eq(action, KS_STR("write"));
	if (!r->write && !ks_str_eq(action, KS_STR("read")))
		ks_in_problem(&call->in, "/resource", "action", "This must be read or write.");
	if (r->family)
		r->method = method_of(r->family, r->write);
}

/* An ancestor of the effective tenant, up to its organization: what an inherited family's reads may see. */
static bool is_inherited(const struct ks_ring *ring, const struct ks_decision *d, uint32_t tenant)
{
	return d->organization != KS_RING_NONE && ks_ring_is_within(ring, d->tenant, tenant)
	       && ks_ring_is_within(ring, tenant, d->organization);
}

/* Steps 4 to 8 of the decision for the resource, after 1 and 2 have accepted the credential. */
static enum ks_reason reach(const struct ks_ring *ring, const struct ks_policy *policy, const struct resource *r, struct ks_decision *d)
{
	uint32_t tenant;
	uint16_t number;

	if (!r->method)
		return KS_REASON_ROUTE_UNKNOWN;
	if (!(r->family->kinds & KS_KIND_BIT(KS_KEY_KIND(d->state))))
		return KS_REASON_KIND_NOT_ALLOWED;
	if (!(r->family->environments & KS_ENVIRONMENT_BIT(KS_KEY_ENVIRONMENT(d->state))))
		return KS_REASON_ENVIRONMENT_MISMATCH;
	for (size_t i = 0; i < r->method->scope_count; i++) {
		if (ks_scope_find(ring->scopes, ks_str_c(policy->scopes[r->method->scopes[i]].name), &number)
		    && ks_scopes_has(ks_decision_scopes(d), number))
			continue;
		d->missing_scope = number;
		return KS_REASON_SCOPE_MISSING;
	}
	tenant = ks_ring_tenant(ring, r->tenant);
	if (tenant == KS_RING_NONE)
		return KS_REASON_TENANT_FORBIDDEN;
	if (ks_decision_sees(ring, d, tenant) || (!r->write && r->family->inherited && is_inherited(ring, d, tenant)))
		return KS_REASON_OK;
	return KS_REASON_TENANT_FORBIDDEN;
}

enum ks_finish ks_api_check(struct ks_call *call)
{
	static const char *const extra[] = {"resource", NULL};
	struct ks_engine_policy policy = ks_engine_policy(call->api->engine);
	struct ks_api_thread *thread = ks_api_thread(call->api);
	const struct ks_ring *ring = ks_call_ring(call);
	struct ks_decision *d = &thread->decision;
	struct ks_question q;
	struct resource r;
	enum ks_finish finish;

	ks_question_read(&call->in, call->body, "", extra, call->exchange->now_ms, &q);
	read_resource(call, policy.platform, &r);
	if (!ks_call_invalid(call, &finish)) {
		if (ring)
			ks_question_decide(call, ring, &q, &thread->path, d);
		else
			*d = (struct ks_decision){.reason = KS_REASON_STALE, .step = KS_STEP_LEASE};
		if (d->reason == KS_REASON_OK)
			d->reason = reach(ring, policy.platform, &r, d);
		ks_json_open(&call->out, '{');
		ks_json_put_bool(&call->out, "allow", d->reason == KS_REASON_OK);
		ks_json_put_c(&call->out, "code", ks_reason_info(d->reason)->code);
		if (d->reason == KS_REASON_SCOPE_MISSING && ring)
			ks_json_put_str(&call->out, "required_scope", ks_scope_name(ring->scopes, d->missing_scope));
		ks_json_close(&call->out, '}');
		finish = ks_call_answer(call, 200);
	}
	ks_credential_wipe(&q.credential);
	ks_engine_policy_release(&policy);
	return finish;
}
