/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring_priv.h"

struct ks_str ks_ring_slug(const struct ks_ring *ring, uint32_t tenant)
{
	const struct ks_ring_tenant *t = &ring->tenants[tenant];

	return ks_str_of((const char *)ring->arena + t->slug_at, t->slug_len);
}

const struct ks_cidr *ks_ring_cidrs(const struct ks_ring *ring, const struct ks_ring_grant *grant)
{
	if (grant->cidr_count == 0)
		return NULL;
	return (const struct ks_cidr *)(const void *)(ring->arena + grant->cidrs_at);
}

uint32_t ks_ring_grant(const struct ks_ring *ring, uint64_t id)
{
	uint32_t mask = ring->header->grant_map_mask;
	uint32_t at = (uint32_t)ks_mix64(id, ring->header->slot_seed) & mask;

	for (uint32_t probe = 0; probe <= mask; probe++) {
		uint32_t entry = atomic_load_explicit(&ring->grant_map[at], memory_order_acquire);

		if (entry == 0)
			return KS_RING_NONE;
		if (ring->grants[entry - 1].id == id)
			return entry - 1;
		at = (at + 1) & mask;
	}
	return KS_RING_NONE;
}

/* ---- checksums ---- */

static uint32_t seed_of(const struct ks_ring *ring)
{
	return (uint32_t)ring->header->slot_seed[0];
}

uint32_t ks_ring_tenant_check(const struct ks_ring *ring, const struct ks_ring_tenant *tenant)
{
	struct {
		uint64_t id;
		uint32_t kind, depth, slug_len, organization, user;
		uint32_t path[KS_TENANT_DEPTH_MAX];
		uint32_t zero;
	} fixed = {
		.id = tenant->id,
		.kind = tenant->kind,
		.depth = tenant->depth,
		.slug_len = tenant->slug_len,
		.organization = tenant->organization,
		.user = tenant->user,
	};

	_Static_assert(sizeof(fixed) == 80, "no padding");
	memcpy(fixed.path, tenant->path, sizeof(fixed.path));
	return ks_crc32(ks_crc32(seed_of(ring), &fixed, sizeof(fixed)), ring->arena + tenant->slug_at,
			tenant->slug_len);
}

uint32_t ks_ring_user_check(const struct ks_ring *ring, const struct ks_ring_user *user)
{
	return ks_crc32(seed_of(ring), &user->id, sizeof(user->id));
}

uint32_t ks_ring_grant_check(const struct ks_ring *ring, const struct ks_ring_grant *grant, const struct ks_cidr *cidrs)
{
	uint32_t crc = ks_crc32(seed_of(ring), &grant->id, sizeof(grant->id));
	uint32_t numbers[] = {grant->cidr_count, grant->rate_requests, grant->rate_window_s};

	crc = ks_crc32(crc, &grant->scopes, sizeof(grant->scopes));
	crc = ks_crc32(crc, numbers, sizeof(numbers));
	for (uint32_t i = 0; i < grant->cidr_count; i++) {
		crc = ks_crc32(crc, cidrs[i].base.bytes, sizeof(cidrs[i].base.bytes));
		crc = ks_crc32(crc, &cidrs[i].bits, sizeof(cidrs[i].bits));
	}
	return crc;
}

uint32_t ks_ring_memberships_check(const struct ks_ring *ring, const struct ks_ring_memberships *list)
{
	return ks_crc32(seed_of(ring) ^ list->count, list->items, list->count * sizeof(list->items[0]));
}

uint32_t ks_ring_role_sets_check(const struct ks_ring *ring, const struct ks_ring_role_sets *sets)
{
	return ks_crc32(seed_of(ring) ^ sets->count, sets->sets, sets->count * sizeof(sets->sets[0]));
}

uint64_t ks_ring_names_check(const struct ks_ring *ring, const struct ks_scope_table *table, uint32_t count)
{
	return (uint64_t)count << 32 | ks_crc32(seed_of(ring), table->names, count * sizeof(table->names[0]));
}
