/* SPDX-License-Identifier: Apache-2.0 */
/* What users could do with a session of their own: the decision's steps for a session, whose scopes are those of its
 * roles on the tenant that it acts in. */
#include "analysis/analysis.h"
#include "decision/sight.h"

static bool is_active(const struct ks_ring *ring, uint32_t tenant)
{
	return (atomic_load_explicit(&ring->tenants[tenant].flags, memory_order_acquire) & KS_TENANT_INACTIVE) == 0;
}

static uint32_t personal_of(const struct ks_ring *ring, uint32_t user)
{
	return atomic_load_explicit(&ring->users[user].personal, memory_order_acquire);
}

static struct ks_sight sight_of(const struct ks_ring *ring, uint32_t user)
{
	return (struct ks_sight){.kind = KS_KIND_SESSION, .binding = KS_BINDING_USER, .own = personal_of(ring, user),
				 .root = KS_RING_NONE};
}

bool ks_person_lives(const struct ks_ring *ring, uint32_t user)
{
	uint32_t personal = personal_of(ring, user);

	return personal != KS_RING_NONE && is_active(ring, personal)
	       && !(atomic_load_explicit(&ring->users[user].flags, memory_order_acquire) & KS_USER_DISABLED);
}

/* Scopes are asked for on the tenant that is named, if it is seen at all, and else on the user's own. */
static enum ks_reason judge(const struct ks_ring *ring, uint32_t user, const struct ks_need *need, uint32_t tenant,
			    uint16_t *ret_missing)
{
	struct ks_sight sight = sight_of(ring, user);
	bool own = tenant == sight.own, covered = is_active(ring, tenant) && ks_sight_covers(ring, &sight, tenant);
	enum ks_tenant_header header = (enum ks_tenant_header)need->tenant_header;
	struct ks_scopes held;

	if (!(need->kinds & KS_KIND_BIT(KS_KIND_SESSION)))
		return KS_REASON_KIND_NOT_ALLOWED;
	if (!(need->environments & KS_ENVIRONMENT_BIT(KS_ENVIRONMENT_LIVE)))
		return KS_REASON_ENVIRONMENT_MISMATCH;
	ks_sight_scopes(ring, &sight, covered ? tenant : sight.own, &held);
	for (size_t i = 0; i < need->scope_count; i++) {
		if (!ks_scopes_has(&held, need->scopes[i])) {
			*ret_missing = need->scopes[i];
			return KS_REASON_SCOPE_MISSING;
		}
	}
	/* The own tenant is acted in without the header, or with it where it must be sent. */
	return covered && (own || header != KS_TENANT_HEADER_REFUSED) ? KS_REASON_OK : KS_REASON_TENANT_FORBIDDEN;
}

struct ks_reach ks_person_reach(const struct ks_ring *ring, uint32_t user, const struct ks_need *need, uint32_t tenant)
{
	struct ks_reach reach = {.missing_scope = KS_SCOPES_MAX};
	const struct ks_ring_memberships *list = ks_ring_memberships_of(ring, user);
	uint32_t own = personal_of(ring, user);
	uint16_t missing;

	if (tenant != KS_RING_NONE) {
		reach.reason = judge(ring, user, need, tenant, &reach.missing_scope);
		reach.own = reach.reason == KS_REASON_OK && tenant == own;
		reach.others = reach.reason == KS_REASON_OK && tenant != own;
		return reach;
	}
	reach.reason = judge(ring, user, need, own, &reach.missing_scope);
	reach.own = reach.reason == KS_REASON_OK;
	/* What covers a tenant below a membership's covers the nearest such tenant too: no tenant gives more. */
	for (uint32_t i = 0; list && i < list->count; i++)
		reach.others |= judge(ring, user, need, list->items[i].tenant, &missing) == KS_REASON_OK;
	if (reach.others)
		reach.reason = KS_REASON_OK;
	return reach;
}

bool ks_person_membership_counts(const struct ks_ring *ring, const struct ks_ring_membership *membership,
				 uint32_t tenant)
{
	return is_active(ring, membership->tenant)
	       && (membership->tenant == tenant
		   || (membership->below && ks_ring_is_within(ring, tenant, membership->tenant)));
}
