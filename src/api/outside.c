/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that need somebody outside, and who sees what of federation. */
#include "api/federation.h"

/* ---- elsewhere than where decisions are answered ---- */

static void work(void *ctx, struct ks_engine_reader *reader)
{
	struct ks_call *call = ctx;

	call->reader = reader;
	ks_call_look(call, reader->store, ks_call_ring(call));
	if (call->later(call) == KS_FINISH_DONE)
		ks_exchange_complete(call->exchange);
}

enum ks_finish ks_call_outside(struct ks_call *call, ks_call_handler *handler)
{
	enum ks_err err;

	call->later = handler;
	err = ks_federation_run(call->api->options.federation, work, call);
	return err == KS_OK ? KS_FINISH_PENDING : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

/* ---- organizations ---- */

static uint64_t organization_of(const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(ring, tenant);
	uint32_t organization = index == KS_RING_NONE ? KS_RING_NONE : ring->tenants[index].organization;

	return organization == KS_RING_NONE ? 0 : ring->tenants[organization].id;
}

bool ks_call_organization_query(struct ks_call *call, uint64_t *ret_organization)
{
	const struct ks_ring *ring = ks_call_ring(call);
	uint64_t named = 0;

	if (!ring) {
		(void)ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
		return false;
	}
	if (!ks_call_tenant_query(call, "organization", &named))
		return false;
	*ret_organization = KS_STORE_ANY;
	if (named != 0) {
		enum ks_tenant_kind kind = (enum ks_tenant_kind)ring->tenants[ks_ring_tenant(ring, named)].kind;

		if (kind != KS_TENANT_KIND_ORGANIZATION && kind != KS_TENANT_KIND_OPERATOR)
			ks_call_query_problem(call, "organization", "This must be an organization.");
		*ret_organization = kind == KS_TENANT_KIND_OPERATOR ? 0 : named;
	} else if (!call->actor.local && !call->actor.is_operator) {
		*ret_organization = organization_of(ring, call->actor.effective);
		if (*ret_organization == 0 || !ks_actor_sees(&call->actor, ring, *ret_organization))
			ks_call_query_problem(call, "organization", "Name an organization.");
	}
	return true;
}

bool ks_call_sees_organization(struct ks_call *call, uint64_t organization)
{
	const struct ks_ring *ring = ks_call_ring(call);

	return ring && ks_actor_sees(&call->actor, ring, ks_actor_home(ring, organization));
}

/* ---- URLs ---- */

void ks_call_check_url(struct ks_call *call, const char *name, struct ks_str url)
{
	switch (ks_federation_url_check(call->api->options.federation, url)) {
	case KS_FETCH_OK:
		break;
	case KS_FETCH_ADDRESS:
		ks_in_problem(&call->in, "", name, "This address is not reached from here.");
		break;
	default:
		ks_in_problem(&call->in, "", name, "This must be an https URL without user, password and fragment.");
	}
}
