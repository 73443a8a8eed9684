/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/actor.h"

#include "base/buf.h"

static void put_text(char *to, size_t cap, const char *from)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put_c(&b, from);
	(void)ks_buf_z(&b);
}

static bool is_active(const struct ks_ring_tenant *tenant)
{
	return (atomic_load_explicit(&tenant->flags, memory_order_acquire) & KS_TENANT_INACTIVE) == 0;
}

static void add_visible(struct ks_actor *actor, const struct ks_ring *ring, uint32_t index, bool alone)
{
	if (actor->visible_count == KS_ACTOR_VISIBLE_MAX)
		return;
	if (alone)
		actor->visible_alone |= UINT64_C(1) << actor->visible_count;
	actor->visible[actor->visible_count++] = ring->tenants[index].id;
}

void ks_actor_of_decision(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_actor *ret_actor)
{
	struct ks_actor actor = {
		.scopes = decision->grant->scopes,
		.kind = (uint8_t)KS_KEY_KIND(decision->state),
		.binding = (uint8_t)KS_KEY_BINDING(decision->state),
		.own = ring->tenants[decision->key->tenant].id,
		.effective = ring->tenants[decision->tenant].id,
	};

	ks_id_format(KS_ID_KEY, decision->key->id, actor.id);
	actor.is_operator = actor.binding == KS_BINDING_OPERATOR && actor.kind != KS_KIND_RUNTIME;
	add_visible(&actor, ring, decision->visible_own, false);
	for (uint32_t i = 0; decision->memberships && i < decision->memberships->count; i++) {
		const struct ks_ring_membership *m = &decision->memberships->items[i];

		if (is_active(&ring->tenants[m->tenant]))
			add_visible(&actor, ring, m->tenant, !m->below);
	}
	*ret_actor = actor;
}

void ks_actor_local(const struct ks_ring *ring, struct ks_actor *ret_actor)
{
	struct ks_actor actor = {
		.local = true, .kind = KS_KIND_TENANT, .binding = KS_BINDING_OPERATOR, .is_operator = true};
	uint32_t count = atomic_load_explicit(&ring->header->tenant_count, memory_order_acquire);

	put_text(actor.id, sizeof(actor.id), "local");
	/* The operator's tenant is the root, and roots come before what is below them. */
	if (count > 0 && ring->tenants[0].kind == KS_TENANT_KIND_OPERATOR) {
		actor.effective = ring->tenants[0].id;
		add_visible(&actor, ring, 0, false);
	}
	*ret_actor = actor;
}

/* ---- what is seen: the table of decision.md ---- */

static bool user_sees(const struct ks_ring *ring, uint32_t own, uint32_t index)
{
	uint32_t user = ring->tenants[own].user;
	const struct ks_ring_memberships *list = user == KS_RING_NONE ? NULL : ks_ring_memberships_of(ring, user);

	if (!list || ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL)
		return false;
	for (uint32_t i = 0; i < list->count; i++) {
		const struct ks_ring_membership *m = &list->items[i];

		if ((m->tenant == index || (m->below && ks_ring_is_within(ring, index, m->tenant)))
		    && is_active(&ring->tenants[m->tenant]))
			return true;
	}
	return false;
}

static bool partner_sees(const struct ks_ring *ring, uint32_t own, uint32_t index)
{
	const struct ks_ring_tenant *tenant = &ring->tenants[index];

	return index == own
	       || (tenant->kind == KS_TENANT_KIND_ORGANIZATION && tenant->depth > 0
		   && tenant->path[tenant->depth - 1] == own);
}

bool ks_actor_sees(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(ring, tenant);
	uint32_t own;

	if (index == KS_RING_NONE
	    || (atomic_load_explicit(&ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_DELETED))
		return false;
	if (actor->local)
		return true;
	own = ks_ring_tenant(ring, actor->own);
	if (own == KS_RING_NONE)
		return false;
	switch ((enum ks_binding)actor->binding) {
	case KS_BINDING_OPERATOR:
		return true;
	case KS_BINDING_PARTNER:
		return partner_sees(ring, own, index);
	case KS_BINDING_USER:
		return index == own || user_sees(ring, own, index);
	case KS_BINDING_ORGANIZATION:
	case KS_BINDING_SUB_ENTITY:
	case KS_BINDING_PROJECT:
		return ring->tenants[index].kind != KS_TENANT_KIND_PERSONAL && ks_ring_is_within(ring, index, own);
	case KS_BINDING_COUNT:
		break;
	}
	return false;
}
