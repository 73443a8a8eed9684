/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring_priv.h"

/* Nothing read from the records is believed before it was compared with the geometry, which ks_ring_attach has
 * compared with the mapping. */

struct check {
	struct ks_ring *ring;
	const struct ks_ring_geometry *geometry;
	uint64_t arena_used;
	uint32_t tenants, users, grants;
};

/* [at, at + n) lies within the used part of the arena, `at` on a boundary of `align`. */
static bool in_arena(const struct check *c, uint64_t at, uint64_t n, uint64_t align)
{
	return at >= KS_RING_ARENA_START && at % align == 0 && at <= c->arena_used && n <= c->arena_used - at;
}

static bool counts_ok(struct check *c)
{
	const struct ks_ring_header *h = c->ring->header;

	c->arena_used = atomic_load_explicit(&h->arena_used, memory_order_acquire);
	c->tenants = atomic_load_explicit(&h->tenant_count, memory_order_acquire);
	c->users = atomic_load_explicit(&h->user_count, memory_order_acquire);
	c->grants = atomic_load_explicit(&h->grant_count, memory_order_acquire);
	return c->arena_used >= KS_RING_ARENA_START && c->arena_used <= c->geometry->arena_bytes
	       && c->arena_used % 8 == 0 && c->tenants <= c->geometry->tenants && c->users <= c->geometry->users
	       && c->grants <= c->geometry->grants;
}

/* Names that were given after the last set_position are not under the checksum yet. */
static bool names_ok(const struct check *c, const struct ks_scope_table *table, const _Atomic uint64_t *check)
{
	uint32_t count = atomic_load_explicit(&table->count, memory_order_acquire);
	uint64_t checked = atomic_load_explicit(check, memory_order_acquire);

	if (count > KS_SCOPES_MAX || checked >> 32 > count
	    || (checked != 0 && checked != ks_ring_names_check(c->ring, table, (uint32_t)(checked >> 32))))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		if (table->names[i][KS_SCOPE_NAME_MAX] != '\0' || !ks_scope_name_ok(ks_str_c(table->names[i])))
			return false;
	}
	return true;
}

static bool scopes_ok(const struct check *c)
{
	return names_ok(c, c->ring->scopes, &c->ring->header->scopes_check);
}

static bool roles_ok(const struct check *c)
{
	uint64_t at = atomic_load_explicit(&c->ring->header->role_sets_at, memory_order_acquire);
	const struct ks_ring_role_sets *sets;

	if (!names_ok(c, c->ring->roles, &c->ring->header->roles_check))
		return false;
	for (unsigned role = KS_ROLE_NONE + 1; role < KS_ROLE_BUILT_IN_END; role++) {
		if (ks_ring_role(c->ring, ks_str_c(ks_role_text((enum ks_role)role))) != role)
			return false;
	}
	if (at == 0)
		return true;
	if (!in_arena(c, at, sizeof(*sets), 8))
		return false;
	sets = (const void *)(c->ring->arena + at);
	return sets->count <= atomic_load_explicit(&c->ring->roles->count, memory_order_acquire)
	       && in_arena(c, at, sizeof(*sets) + sets->count * sizeof(sets->sets[0]), 8)
	       && sets->check == ks_ring_role_sets_check(c->ring, sets);
}

/* ---- maps ---- */

/* The number of entries; false if one refers to no record. */
static bool map_entries_ok(const _Atomic uint32_t *map, uint32_t mask, uint32_t count, uint32_t *ret_used)
{
	uint32_t used = 0;

	for (uint64_t i = 0; i <= mask; i++) {
		uint32_t entry = atomic_load_explicit(&map[i], memory_order_relaxed);

		if (entry > count)
			return false;
		used += entry != 0;
	}
	*ret_used = used;
	return true;
}

/* The map leads from each id to its record and holds nothing else. `find` is safe once map_entries_ok has said so.
 * A writer that is killed right after publishing a record leaves the last one without its entry. */
static bool map_ok(struct check *c, _Atomic uint32_t *map, uint32_t mask, uint32_t count,
		   uint32_t (*find)(const struct ks_ring *ring, uint64_t id),
		   uint64_t (*id_of)(const struct ks_ring *ring, uint32_t i))
{
	uint32_t used;

	if (!map_entries_ok(map, mask, count, &used))
		return false;
	for (uint32_t i = 0; i < count; i++) {
		uint64_t id = id_of(c->ring, i);
		uint32_t found = find(c->ring, id);

		if (id == 0 || (found != i && (found != KS_RING_NONE || i != count - 1)))
			return false;
		if (found == KS_RING_NONE) {
			ks_ring_map_add(c->ring, map, mask, id, i);
			used++;
		}
	}
	return used == count;
}

static uint64_t tenant_id(const struct ks_ring *ring, uint32_t i)
{
	return ring->tenants[i].id;
}

static uint64_t user_id(const struct ks_ring *ring, uint32_t i)
{
	return ring->users[i].id;
}

static uint64_t grant_id(const struct ks_ring *ring, uint32_t i)
{
	return ring->grants[i].id;
}

/* ---- tenants ---- */

/* Its path is that of its parent, which stands before it, and itself. */
static bool tenant_path_ok(const struct check *c, uint32_t i)
{
	const struct ks_ring_tenant *t = &c->ring->tenants[i], *above;
	uint32_t organization = KS_RING_NONE;

	if (t->depth >= KS_TENANT_DEPTH_MAX || t->path[t->depth] != i)
		return false;
	if (t->depth > 0) {
		if (t->path[t->depth - 1] >= i)
			return false;
		above = &c->ring->tenants[t->path[t->depth - 1]];
		if (above->depth + 1 != t->depth)
			return false;
		for (uint32_t d = 0; d < t->depth; d++) {
			if (t->path[d] != above->path[d])
				return false;
		}
		organization = above->organization;
	}
	return t->organization == (t->kind == KS_TENANT_KIND_ORGANIZATION ? i : organization);
}

static bool tenant_ok(const struct check *c, uint32_t i)
{
	const struct ks_ring_tenant *t = &c->ring->tenants[i];
	uint32_t flags = atomic_load_explicit(&t->flags, memory_order_acquire);

	if (t->kind >= KS_TENANT_KIND_COUNT || (flags & ~KS_TENANT_INACTIVE) || t->slug_len > KS_RING_SLUG_MAX
	    || !(t->slug_len == 0 ? t->slug_at == 0 : in_arena(c, t->slug_at, t->slug_len, 1)))
		return false;
	if ((t->kind == KS_TENANT_KIND_PERSONAL) != (t->user < c->users)
	    || (t->user >= c->users && t->user != KS_RING_NONE))
		return false;
	return tenant_path_ok(c, i) && t->check == ks_ring_tenant_check(c->ring, t);
}

/* The writer's lists of children, and the flags that follow from what is above. */
static void mend_tenants(const struct check *c)
{
	struct ks_ring_tenant *tenants = c->ring->tenants;

	for (uint32_t i = 0; i < c->tenants; i++) {
		struct ks_ring_tenant *t = &tenants[i], *above;
		uint32_t flags = atomic_load_explicit(&t->flags, memory_order_relaxed);
		uint32_t mended = flags & ~KS_TENANT_UNDER_SUSPENDED;

		t->first_child = KS_RING_NONE;
		t->next_sibling = KS_RING_NONE;
		if (t->depth > 0) {
			above = &tenants[t->path[t->depth - 1]];
			t->next_sibling = above->first_child;
			above->first_child = i;
			if (atomic_load_explicit(&above->flags, memory_order_relaxed) & KS_TENANT_INACTIVE)
				mended |= KS_TENANT_UNDER_SUSPENDED;
		}
		if (mended != flags)
			atomic_store_explicit(&t->flags, mended, memory_order_seq_cst);
	}
}

static bool tenants_ok(struct check *c)
{
	for (uint32_t i = 0; i < c->tenants; i++) {
		if (!tenant_ok(c, i))
			return false;
	}
	return map_ok(c, c->ring->tenant_map, c->ring->header->tenant_map_mask, c->tenants, ks_ring_tenant, tenant_id);
}

/* ---- users ---- */

static bool memberships_ok(const struct check *c, uint64_t at)
{
	const struct ks_ring_memberships *list;
	uint64_t last = 0;

	if (at == 0)
		return true;
	if (!in_arena(c, at, sizeof(*list), 8))
		return false;
	list = (const void *)(c->ring->arena + at);
	if (list->count == 0 || list->count > KS_RING_MEMBERSHIPS_MAX
	    || !in_arena(c, at, sizeof(*list) + list->count * sizeof(list->items[0]), 8)
	    || list->check != ks_ring_memberships_check(c->ring, list))
		return false;
	for (uint32_t i = 0; i < list->count; i++) {
		if (list->items[i].role > atomic_load_explicit(&c->ring->roles->count, memory_order_acquire))
			return false;
		if (list->items[i].tenant >= c->tenants || c->ring->tenants[list->items[i].tenant].id <= last)
			return false;
		last = c->ring->tenants[list->items[i].tenant].id;
	}
	return true;
}

static bool users_ok(struct check *c)
{
	for (uint32_t i = 0; i < c->users; i++) {
		const struct ks_ring_user *u = &c->ring->users[i];
		uint32_t personal = atomic_load_explicit(&u->personal, memory_order_acquire);
		uint64_t list = (uint64_t)atomic_load_explicit(&u->memberships_at, memory_order_acquire) * 8;

		if ((atomic_load_explicit(&u->flags, memory_order_acquire) & ~KS_USER_DISABLED)
		    || u->check != ks_ring_user_check(c->ring, u) || !memberships_ok(c, list))
			return false;
		if (personal != KS_RING_NONE && (personal >= c->tenants || c->ring->tenants[personal].user != i))
			return false;
	}
	return map_ok(c, c->ring->user_map, c->ring->header->user_map_mask, c->users, ks_ring_user, user_id);
}

/* ---- grants ---- */

static bool grants_ok(struct check *c)
{
	for (uint32_t i = 0; i < c->grants; i++) {
		const struct ks_ring_grant *g = &c->ring->grants[i];
		const struct ks_cidr *cidrs;

		if (g->cidr_count > KS_RING_CIDRS_MAX || (g->rate_requests != 0 && g->rate_window_s == 0)
		    || (g->cidr_count > 0 && !in_arena(c, g->cidrs_at, g->cidr_count * sizeof(*cidrs), 8)))
			return false;
		cidrs = ks_ring_cidrs(c->ring, g);
		for (uint32_t n = 0; n < g->cidr_count; n++) {
			if (cidrs[n].bits > 128)
				return false;
		}
		if (g->check != ks_ring_grant_check(c->ring, g, cidrs))
			return false;
	}
	return map_ok(c, c->ring->grant_map, c->ring->header->grant_map_mask, c->grants, ks_ring_grant, grant_id);
}

/* ---- policies ---- */

static bool policies_ok(const struct check *c)
{
	for (unsigned i = 0; i < KS_RING_POLICY_COUNT; i++) {
		uint64_t at = atomic_load_explicit(&c->ring->header->policy_at[i], memory_order_acquire);
		const struct ks_policy_table *table;

		if (at == 0)
			continue;
		if (!in_arena(c, at, sizeof(*table), 64))
			return false;
		table = (const void *)(c->ring->arena + at);
		if (!in_arena(c, at, table->size, 64) || !ks_policy_table_ok(table, table->size))
			return false;
	}
	return true;
}

/* ---- keys ---- */

struct key_counts {
	uint64_t keys, sessions, revoked;
};

/* A session's tenant is its user's, an issuer's is an organization; neither has a grant. */
static bool origin_ok(const struct check *c, const struct ks_ring_key *key, uint32_t state)
{
	const struct ks_ring_tenant *tenant = &c->ring->tenants[key->tenant];

	if (KS_KEY_KIND(state) != KS_KIND_SESSION)
		return key->grant < c->grants;
	if (KS_KEY_BINDING(state) == KS_BINDING_USER)
		return tenant->user == key->grant && key->grant < c->users;
	return KS_KEY_BINDING(state) == KS_BINDING_ORGANIZATION && key->grant == 0
	       && tenant->kind == KS_TENANT_KIND_ORGANIZATION;
}

static bool key_ok(const struct check *c, const struct ks_ring_key *key, uint32_t state)
{
	return key->id != 0 && key->tenant < c->tenants && origin_ok(c, key, state) && KS_KEY_KIND(state) < KS_KIND_COUNT
	       && KS_KEY_BINDING(state) < KS_BINDING_COUNT && KS_KEY_ENVIRONMENT(state) < KS_ENVIRONMENT_COUNT
	       && (state & ~(KS_KEY_STATE_BITS | KS_KEY_TRAITS_MASK)) == 0
	       && key->check == ks_ring_key_check(c->ring->header, key, state & KS_KEY_TRAITS_MASK);
}

static bool is_live(const struct check *c, uint64_t slot)
{
	return (atomic_load_explicit(&c->ring->keys[slot].state, memory_order_acquire) & KS_KEY_LIVE) != 0;
}

/* How many slots before the first one, going backwards over the end of the table, are taken without a gap. */
static uint64_t run_before_first(const struct check *c)
{
	uint64_t slots = c->geometry->key_slots, run = 0;

	while (run < slots && run < KS_RING_PROBES_MAX && is_live(c, slots - 1 - run))
		run++;
	return run;
}

/* A key can be found if every slot from its home on to it is taken and it is within the bound of probes. `run` is
 * how many slots right before this one are taken. */
static bool reachable(const struct check *c, const struct ks_ring_key *key, uint64_t slot, uint64_t run)
{
	uint64_t home = ks_ring_home(c->ring, &key->digest);
	uint64_t distance = slot >= home ? slot - home : slot + c->geometry->key_slots - home;

	return distance <= run && distance < KS_RING_PROBES_MAX;
}

/* A killed writer leaves a count one behind. Anything else means that slots were lost, or bits of them. */
static bool follows(const _Atomic uint64_t *count, uint64_t found)
{
	uint64_t said = atomic_load_explicit(count, memory_order_acquire);

	return found == said || found == said + 1;
}

static bool keys_ok(const struct check *c, struct key_counts *ret_counts)
{
	uint64_t slots = c->geometry->key_slots, run = run_before_first(c);
	struct key_counts counts = {0};

	for (uint64_t slot = 0; slot < slots; slot++) {
		const struct ks_ring_key *key = &c->ring->keys[slot];
		uint32_t state = atomic_load_explicit(&key->state, memory_order_acquire);

		if (!(state & KS_KEY_LIVE)) {
			/* Whatever a killed writer wrote here was never published; the next key of this place
			 * overwrites it. */
			if (state != 0)
				return false;
			run = 0;
			continue;
		}
		if (!key_ok(c, key, state) || !reachable(c, key, slot, run))
			return false;
		counts.keys++;
		if (KS_KEY_KIND(state) == KS_KIND_SESSION)
			counts.sessions++;
		else
			counts.revoked += (state & KS_KEY_REVOKED) != 0;
		run++;
	}
	*ret_counts = counts;
	return counts.keys <= KS_RING_KEYS_MAX(slots) && follows(&c->ring->header->key_count, counts.keys)
	       && follows(&c->ring->header->session_count, counts.sessions)
	       && follows(&c->ring->header->revoked_count, counts.revoked);
}

static void mend_counts(const struct check *c, const struct key_counts *counts)
{
	struct ks_ring_header *h = c->ring->header;
	uint64_t limiters = 0;

	atomic_store_explicit(&h->key_count, counts->keys, memory_order_release);
	atomic_store_explicit(&h->session_count, counts->sessions, memory_order_release);
	atomic_store_explicit(&h->revoked_count, counts->revoked, memory_order_release);
	if (!c->ring->usage)
		return;
	for (uint64_t i = 0; i < c->ring->usage->limiter_cells; i++)
		limiters += atomic_load_explicit(&c->ring->usage->limiters[i].key_id, memory_order_relaxed) != 0;
	atomic_store_explicit(&h->limiter_count, (uint32_t)limiters, memory_order_release);
}

enum ks_err ks_ring_verify(struct ks_ring *ring)
{
	struct check c = {.ring = ring, .geometry = &ring->header->geometry};
	struct key_counts counts;

	if (!counts_ok(&c) || !scopes_ok(&c) || !roles_ok(&c) || !tenants_ok(&c) || !users_ok(&c) || !grants_ok(&c)
	    || !policies_ok(&c) || !ks_ring_issuers_ok(ring, c.arena_used) || !keys_ok(&c, &counts))
		return KS_CORRUPT;
	mend_tenants(&c);
	mend_counts(&c, &counts);
	return KS_OK;
}
