/* SPDX-License-Identifier: Apache-2.0 */
#include "decision/sight.h"

static bool is_active(const struct ks_ring *ring, uint32_t index)
{
	return (atomic_load_explicit(&ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_INACTIVE) == 0;
}

static bool is_personal(const struct ks_ring *ring, uint32_t index)
{
	return ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL;
}

/* ---- memberships ---- */

static const struct ks_ring_memberships *memberships_of(const struct ks_ring *ring, const struct ks_sight *sight)
{
	uint32_t user = ring->tenants[sight->own].user;

	return user == KS_RING_NONE ? NULL : ks_ring_memberships_of(ring, user);
}

/* The membership on this very tenant; they are in ascending order of ids. */
static const struct ks_ring_membership *find(const struct ks_ring *ring, const struct ks_ring_memberships *list,
					     uint32_t tenant)
{
	uint64_t id = ring->tenants[tenant].id;
	uint32_t low = 0, high = list->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct ks_ring_membership *m = &list->items[middle];

		if (m->tenant == tenant)
			return m;
		if (ring->tenants[m->tenant].id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* The membership on the ancestor of `index` at `depth`, if it covers `index`. A user is a member of few tenants of a
 * tree, and a tree is not deep: walking up costs less than looking at every membership. */
static const struct ks_ring_membership *covering(const struct ks_ring *ring, const struct ks_ring_memberships *list,
						 uint32_t index, uint8_t depth)
{
	const struct ks_ring_tenant *tenant = &ring->tenants[index];
	const struct ks_ring_membership *m = find(ring, list, tenant->path[depth]);

	return m && (depth == tenant->depth || m->below) && is_active(ring, m->tenant) ? m : NULL;
}

static bool is_member(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index)
{
	const struct ks_ring_memberships *list = memberships_of(ring, sight);

	if (!list || is_personal(ring, index))
		return false;
	for (uint8_t depth = 0; depth <= ring->tenants[index].depth; depth++) {
		if (covering(ring, list, index, depth))
			return true;
	}
	return false;
}

/* ---- the table ---- */

static bool partner_sees(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index)
{
	const struct ks_ring_tenant *tenant = &ring->tenants[index];

	if (index == sight->own)
		return sight->partner_itself;
	return tenant->kind == KS_TENANT_KIND_ORGANIZATION && tenant->depth > 0
	       && tenant->path[tenant->depth - 1] == sight->own;
}

static bool is_below(const struct ks_ring *ring, uint32_t index, uint32_t root)
{
	return !is_personal(ring, index) && ks_ring_is_within(ring, index, root);
}

/* An issuer's JWT holds its roles on one tenant, as if by memberships. */
static bool reaches_below(const struct ks_sight *sight)
{
	for (uint8_t i = 0; i < sight->role_count; i++) {
		if (sight->roles[i] == KS_ROLE_ADMINISTRATOR)
			return true;
	}
	return false;
}

static uint32_t own_tenant(const struct ks_sight *sight)
{
	return sight->root == KS_RING_NONE ? sight->own : sight->root;
}

static bool issuer_covers(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index)
{
	uint32_t own = own_tenant(sight);

	return is_below(ring, index, own) && (index == own || reaches_below(sight));
}

static bool covers_unbounded(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index)
{
	switch (sight->binding) {
	case KS_BINDING_OPERATOR:
		return true;
	case KS_BINDING_PARTNER:
		return partner_sees(ring, sight, index);
	case KS_BINDING_USER:
		return index == sight->own || is_member(ring, sight, index);
	case KS_BINDING_ORGANIZATION:
		if (sight->kind == KS_KIND_SESSION)
			return issuer_covers(ring, sight, index);
		return is_below(ring, index, sight->own);
	case KS_BINDING_SUB_ENTITY:
	case KS_BINDING_PROJECT:
		return is_below(ring, index, sight->own);
	case KS_BINDING_COUNT:
		break;
	}
	return false;
}

bool ks_sight_covers(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index)
{
	if (sight->root != KS_RING_NONE && !ks_ring_is_within(ring, index, sight->root))
		return false;
	return covers_unbounded(ring, sight, index);
}

/* ---- scopes of a session ---- */

static void add_role(const struct ks_ring *ring, uint16_t role, struct ks_scopes *set)
{
	ks_scopes_add(set, ks_ring_role_scopes(ring, role));
}

static void issuer_scopes(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index,
			  struct ks_scopes *set)
{
	if (!issuer_covers(ring, sight, index))
		return;
	for (uint8_t i = 0; i < sight->role_count; i++) {
		if (index == own_tenant(sight) || sight->roles[i] == KS_ROLE_ADMINISTRATOR)
			add_role(ring, sight->roles[i], set);
	}
}

static void user_scopes(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index,
			struct ks_scopes *set)
{
	const struct ks_ring_memberships *list = memberships_of(ring, sight);

	if (!list)
		return;
	if (index == sight->own) {
		for (uint32_t i = 0; i < list->count; i++) {
			if (is_active(ring, list->items[i].tenant))
				add_role(ring, list->items[i].role, set);
		}
		return;
	}
	for (uint8_t depth = 0; !is_personal(ring, index) && depth <= ring->tenants[index].depth; depth++) {
		const struct ks_ring_membership *m = covering(ring, list, index, depth);

		if (m)
			add_role(ring, m->role, set);
	}
}

void ks_sight_scopes(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index,
		     struct ks_scopes *ret_scopes)
{
	struct ks_scopes set = {{0}};

	if (sight->binding == KS_BINDING_USER)
		user_scopes(ring, sight, index, &set);
	else
		issuer_scopes(ring, sight, index, &set);
	*ret_scopes = set;
}

bool ks_sight_sees(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index)
{
	struct ks_scopes set;

	if (!ks_sight_covers(ring, sight, index))
		return false;
	if (sight->kind != KS_KIND_SESSION || sight->need_count == 0)
		return true;
	ks_sight_scopes(ring, sight, index, &set);
	for (uint8_t i = 0; i < sight->need_count; i++) {
		if (!ks_scopes_has(&set, sight->needs[i]))
			return false;
	}
	return true;
}
