/* SPDX-License-Identifier: Apache-2.0 */
/* Steps 5 to 8 of the decision, for a class of keys instead of one request. */
#include <stdlib.h>

#include "analysis/analysis.h"

struct ks_need ks_need_of_rule(const struct ks_rule *rule)
{
	struct ks_need need = {.kinds = rule->kinds, .environments = rule->environments,
			       .tenant_header = rule->tenant_header, .scope_count = rule->scope_count};

	for (size_t i = 0; i < rule->scope_count; i++)
		need.scopes[i] = rule->scopes[i];
	return need;
}

struct ks_need ks_need_of_entry(const struct ks_policy *policy, struct ks_policy_entry entry,
				const struct ks_scope_table *scopes)
{
	const struct ks_policy_family *family = &policy->families[entry.family];
	const struct ks_policy_method *method = &family->methods[entry.method];
	struct ks_need need = {.kinds = family->kinds, .environments = family->environments,
			       .tenant_header = (uint8_t)family->tenant_header,
			       .scope_count = (uint8_t)method->scope_count};

	for (size_t i = 0; i < method->scope_count; i++) {
		need.scopes[i] = KS_SCOPES_MAX;
		if (!ks_scope_find(scopes, ks_str_c(policy->scopes[method->scopes[i]].name), &need.scopes[i]))
			continue;
	}
	return need;
}

/* The reason that the decision would give, the first in its order. */
static enum ks_reason refusal(const struct ks_class *class, const struct ks_need *need, uint16_t *ret_missing)
{
	if (!(need->kinds & KS_KIND_BIT(class->kind)))
		return KS_REASON_KIND_NOT_ALLOWED;
	if (!(need->environments & KS_ENVIRONMENT_BIT(class->environment)))
		return KS_REASON_ENVIRONMENT_MISMATCH;
	for (size_t i = 0; i < need->scope_count; i++) {
		if (!ks_scopes_has(&class->scopes, need->scopes[i])) {
			*ret_missing = need->scopes[i];
			return KS_REASON_SCOPE_MISSING;
		}
	}
	return KS_REASON_OK;
}

struct ks_reach ks_reach(const struct ks_class *class, const struct ks_need *need)
{
	struct ks_reach reach = {.missing_scope = KS_SCOPES_MAX};
	enum ks_tenant_header header = (enum ks_tenant_header)need->tenant_header;
	bool of_partner = header == KS_TENANT_HEADER_REQUIRED || header == KS_TENANT_HEADER_REQUIRED_FOR_PARTNER;
	bool may_omit = header != KS_TENANT_HEADER_REQUIRED
			&& !(header == KS_TENANT_HEADER_REQUIRED_FOR_PARTNER && class->kind == KS_KIND_PARTNER);
	bool may_name = header != KS_TENANT_HEADER_REFUSED;
	bool sees_own = class->binding != KS_BINDING_PARTNER || !of_partner;

	reach.reason = refusal(class, need, &reach.missing_scope);
	if (reach.reason != KS_REASON_OK)
		return reach;
	reach.own = may_omit || (may_name && sees_own);
	reach.others = may_name && (class->binding != KS_BINDING_PARTNER || class->has_organizations);
	if (!reach.own && !reach.others)
		reach.reason = KS_REASON_TENANT_REQUIRED;
	return reach;
}

/* ---- one tenant ---- */

static bool is_active(const struct ks_ring *ring, uint32_t tenant)
{
	return (atomic_load_explicit(&ring->tenants[tenant].flags, memory_order_acquire) & KS_TENANT_INACTIVE) == 0;
}

static bool user_sees(const struct ks_ring *ring, uint32_t user, uint32_t tenant)
{
	const struct ks_ring_memberships *list = ks_ring_memberships_of(ring, user);

	for (uint32_t i = 0; list && i < list->count; i++) {
		const struct ks_ring_membership *m = &list->items[i];

		if ((m->tenant == tenant || (m->below && ks_ring_is_within(ring, tenant, m->tenant)))
		    && is_active(ring, m->tenant))
			return true;
	}
	return false;
}

enum ks_err ks_aim_take(const struct ks_ring *ring, uint32_t tenant, struct ks_aim *ret_aim)
{
	struct ks_aim aim = {.tenant = tenant, .partner = KS_RING_NONE};

	if (tenant != KS_RING_NONE) {
		const struct ks_ring_tenant *t = &ring->tenants[tenant];

		aim.active = is_active(ring, tenant);
		if (t->kind == KS_TENANT_KIND_ORGANIZATION && t->depth > 0)
			aim.partner = t->path[t->depth - 1];
		aim.user_count = atomic_load_explicit(&ring->header->user_count, memory_order_acquire);
		aim.users = calloc((size_t)aim.user_count + 1, 1);
		if (!aim.users)
			return KS_MEMORY;
		for (uint32_t u = 0; u < aim.user_count && t->kind != KS_TENANT_KIND_PERSONAL; u++)
			aim.users[u] = user_sees(ring, u, tenant);
	}
	*ret_aim = aim;
	return KS_OK;
}

void ks_aim_free(struct ks_aim *aim)
{
	free(aim->users);
	*aim = (struct ks_aim){.tenant = KS_RING_NONE};
}

static bool sees_aim(const struct ks_ring *ring, const struct ks_aim *aim, enum ks_binding binding, uint32_t own)
{
	switch (binding) {
	case KS_BINDING_OPERATOR:
		return true;
	case KS_BINDING_PARTNER:
		return aim->partner == own;
	case KS_BINDING_USER:
		return ring->tenants[own].user < aim->user_count && aim->users[ring->tenants[own].user];
	case KS_BINDING_ORGANIZATION:
	case KS_BINDING_SUB_ENTITY:
	case KS_BINDING_PROJECT:
		return ring->tenants[aim->tenant].kind != KS_TENANT_KIND_PERSONAL
		       && ks_ring_is_within(ring, aim->tenant, own);
	case KS_BINDING_COUNT:
		break;
	}
	return false;
}

bool ks_aim_hits(const struct ks_ring *ring, const struct ks_aim *aim, const struct ks_class *class,
		 const struct ks_reach *reach, uint32_t slot)
{
	uint32_t own = ring->keys[slot].tenant;

	if (aim->tenant == KS_RING_NONE)
		return reach->own || reach->others;
	if (own == aim->tenant)
		return reach->own;
	return reach->others && aim->active && sees_aim(ring, aim, (enum ks_binding)class->binding, own);
}
