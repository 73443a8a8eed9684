/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring_priv.h"

/* The writer is alone: counts are read and stored, not added to atomically. Release: the record is there before
 * the count says so. */
static void raise_u32(_Atomic uint32_t *count)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_release);
}

static void raise_u64(_Atomic uint64_t *count)
{
	atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1, memory_order_release);
}

enum ks_err ks_ring_refuse(struct ks_ring *ring, enum ks_ring_part part)
{
	atomic_fetch_or_explicit(&ring->header->full, 1u << part, memory_order_relaxed);
	return KS_FULL;
}

uint64_t ks_ring_arena_take(struct ks_ring *ring, uint64_t n)
{
	struct ks_ring_header *h = ring->header;
	uint64_t used = atomic_load_explicit(&h->arena_used, memory_order_relaxed);
	uint64_t room = (n + 7) / 8 * 8;

	if (n > h->geometry.arena_bytes || used > h->geometry.arena_bytes - room) {
		(void)ks_ring_refuse(ring, KS_RING_PART_ARENA);
		return 0;
	}
	/* Before anything refers to the bytes: a writer killed in between leaves a gap, never a reference beyond
	 * what is used. */
	atomic_store_explicit(&h->arena_used, used + room, memory_order_release);
	return used;
}

void ks_ring_map_add(const struct ks_ring *ring, _Atomic uint32_t *map, uint32_t mask, uint64_t id, uint32_t index)
{
	uint32_t at = (uint32_t)ks_mix64(id, ring->header->slot_seed) & mask;

	/* Maps have twice as many entries as there can be records: a free one is always met. */
	while (atomic_load_explicit(&map[at], memory_order_relaxed) != 0)
		at = (at + 1) & mask;
	atomic_store_explicit(&map[at], index + 1, memory_order_release);
}

/* ---- tenants ---- */

static bool tenant_record_ok(const struct ks_ring_tenant_record *r)
{
	return r->id != 0 && (unsigned)r->kind < KS_TENANT_KIND_COUNT
	       && (r->parent == 0) == (r->kind == KS_TENANT_KIND_OPERATOR)
	       && (r->user != 0) == (r->kind == KS_TENANT_KIND_PERSONAL);
}

static uint32_t parent_of(const struct ks_ring_tenant *tenant)
{
	return tenant->depth == 0 ? KS_RING_NONE : tenant->path[tenant->depth - 1];
}

static uint32_t flags_of(const struct ks_ring *ring, uint32_t index)
{
	return atomic_load_explicit(&ring->tenants[index].flags, memory_order_relaxed);
}

/* What `record` and the tenant's parent make of its flags. */
static uint32_t flags_for(const struct ks_ring *ring, uint32_t parent, const struct ks_ring_tenant_record *record)
{
	uint32_t flags = (record->suspended ? KS_TENANT_SUSPENDED : 0) | (record->deleted ? KS_TENANT_DELETED : 0);

	if (parent != KS_RING_NONE && (flags_of(ring, parent) & KS_TENANT_INACTIVE))
		flags |= KS_TENANT_UNDER_SUSPENDED;
	return flags;
}

/* Brings UNDER_SUSPENDED up to date in all tenants below `root`, parents first. */
static void spread_flags(struct ks_ring *ring, uint32_t root)
{
	struct ks_ring_tenant *tenants = ring->tenants;
	uint32_t at = root;

	for (;;) {
		uint32_t flags;

		if (tenants[at].first_child != KS_RING_NONE) {
			at = tenants[at].first_child;
		} else {
			while (at != root && tenants[at].next_sibling == KS_RING_NONE)
				at = parent_of(&tenants[at]);
			if (at == root)
				return;
			at = tenants[at].next_sibling;
		}
		flags = flags_of(ring, at) & ~KS_TENANT_UNDER_SUSPENDED;
		if (flags_of(ring, parent_of(&tenants[at])) & KS_TENANT_INACTIVE)
			flags |= KS_TENANT_UNDER_SUSPENDED;
		atomic_store_explicit(&tenants[at].flags, flags, memory_order_release);
	}
}

static enum ks_err update_tenant(struct ks_ring *ring, uint32_t index, uint32_t parent, uint32_t user,
				 const struct ks_ring_tenant_record *record)
{
	struct ks_ring_tenant *tenant = &ring->tenants[index];
	uint32_t before = flags_of(ring, index), flags = flags_for(ring, parent, record);

	if (tenant->kind != (uint8_t)record->kind || parent_of(tenant) != parent || tenant->user != user)
		return KS_CONFLICT;
	atomic_store_explicit(&tenant->flags, flags, memory_order_seq_cst);
	/* The verification of a ring that is taken over has seen to it that what is below agrees with `before`. */
	if (!(before & KS_TENANT_INACTIVE) != !(flags & KS_TENANT_INACTIVE))
		spread_flags(ring, index);
	if (user != KS_RING_NONE)
		atomic_store_explicit(&ring->users[user].personal, index, memory_order_release);
	return KS_OK;
}

static bool store_slug(struct ks_ring *ring, struct ks_str slug, struct ks_ring_tenant *tenant)
{
	uint64_t at;

	tenant->slug_at = 0;
	tenant->slug_len = (uint16_t)slug.n;
	if (slug.n == 0)
		return true;
	at = ks_ring_arena_take(ring, slug.n);
	if (at == 0)
		return false;
	for (size_t i = 0; i < slug.n; i++) {
		char c = slug.p[i];

		ring->arena[at + i] = (unsigned char)(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
	}
	tenant->slug_at = (uint32_t)at;
	return true;
}

/* Everything of a new tenant but its flags, slug and check. */
static void fill_tenant(const struct ks_ring *ring, uint32_t index, uint32_t parent, uint32_t user,
			const struct ks_ring_tenant_record *record)
{
	struct ks_ring_tenant *tenant = &ring->tenants[index];
	const struct ks_ring_tenant *above = parent == KS_RING_NONE ? NULL : &ring->tenants[parent];

	tenant->id = record->id;
	tenant->kind = (uint8_t)record->kind;
	tenant->depth = (uint8_t)(above ? above->depth + 1 : 0);
	tenant->organization = above ? above->organization : KS_RING_NONE;
	if (record->kind == KS_TENANT_KIND_ORGANIZATION)
		tenant->organization = index;
	tenant->user = user;
	for (uint32_t d = 0; d < KS_TENANT_DEPTH_MAX; d++)
		tenant->path[d] = above && d <= above->depth ? above->path[d] : KS_RING_NONE;
	tenant->path[tenant->depth] = index;
	tenant->first_child = KS_RING_NONE;
	tenant->next_sibling = above ? above->first_child : KS_RING_NONE;
}

static enum ks_err add_tenant(struct ks_ring *ring, uint32_t parent, uint32_t user,
			      const struct ks_ring_tenant_record *record)
{
	struct ks_ring_header *h = ring->header;
	uint32_t index = atomic_load_explicit(&h->tenant_count, memory_order_relaxed);
	struct ks_ring_tenant *tenant;

	if (index >= h->geometry.tenants)
		return ks_ring_refuse(ring, KS_RING_PART_TENANTS);
	tenant = &ring->tenants[index];
	fill_tenant(ring, index, parent, user, record);
	if (!store_slug(ring, record->slug, tenant))
		return KS_FULL;
	tenant->check = ks_ring_tenant_check(ring, tenant);
	atomic_store_explicit(&tenant->flags, flags_for(ring, parent, record), memory_order_relaxed);
	raise_u32(&h->tenant_count);
	if (parent != KS_RING_NONE)
		ring->tenants[parent].first_child = index;
	ks_ring_map_add(ring, ring->tenant_map, h->tenant_map_mask, record->id, index);
	if (user != KS_RING_NONE)
		atomic_store_explicit(&ring->users[user].personal, index, memory_order_release);
	return KS_OK;
}

enum ks_err ks_ring_put_tenant(struct ks_ring *ring, const struct ks_ring_tenant_record *record)
{
	uint32_t parent = KS_RING_NONE, user = KS_RING_NONE, index;

	if (!tenant_record_ok(record))
		return KS_MALFORMED;
	if (record->slug.n > KS_RING_SLUG_MAX)
		return KS_TOO_LARGE;
	if (record->parent != 0) {
		parent = ks_ring_tenant(ring, record->parent);
		if (parent == KS_RING_NONE)
			return KS_NOT_FOUND;
		if (ring->tenants[parent].depth + 1 >= KS_TENANT_DEPTH_MAX)
			return KS_TOO_LARGE;
	}
	if (record->user != 0) {
		user = ks_ring_user(ring, record->user);
		if (user == KS_RING_NONE)
			return KS_NOT_FOUND;
	}
	index = ks_ring_tenant(ring, record->id);
	if (index != KS_RING_NONE)
		return update_tenant(ring, index, parent, user, record);
	return add_tenant(ring, parent, user, record);
}

/* ---- users ---- */

static struct ks_ring_memberships *list_at(const struct ks_ring *ring, uint64_t at)
{
	return (struct ks_ring_memberships *)(void *)(ring->arena + at);
}

/* Fills a list in ascending order of tenant id (what comes from the truth is nearly always in order already). */
static enum ks_err fill_memberships(const struct ks_ring *ring, const struct ks_ring_membership_record *records,
				    size_t count, struct ks_ring_memberships *list)
{
	list->count = 0;
	for (size_t i = 0; i < count; i++) {
		uint32_t tenant = ks_ring_tenant(ring, records[i].tenant), n = list->count;

		if (tenant == KS_RING_NONE)
			return KS_NOT_FOUND;
		if (records[i].role > atomic_load_explicit(&ring->roles->count, memory_order_relaxed))
			return KS_MALFORMED;
		while (n > 0 && ring->tenants[list->items[n - 1].tenant].id > records[i].tenant) {
			list->items[n] = list->items[n - 1];
			n--;
		}
		if (n > 0 && list->items[n - 1].tenant == tenant)
			return KS_CONFLICT;
		list->items[n] = (struct ks_ring_membership){tenant, records[i].role, records[i].below};
		list->count++;
	}
	list->check = ks_ring_memberships_check(ring, list);
	return KS_OK;
}

static bool same_list(const struct ks_ring_memberships *a, const struct ks_ring_memberships *b)
{
	size_t n = sizeof(*a) + a->count * sizeof(a->items[0]);

	return a->count == b->count && ks_str_eq(ks_str_of((const char *)a, n), ks_str_of((const char *)b, n));
}

/* The list in the arena, in units of 8 bytes. `current` is what is in force: where it says the same, its place is
 * given back. */
static enum ks_err store_memberships(struct ks_ring *ring, uint32_t current,
				     const struct ks_ring_membership_record *records, size_t count, uint32_t *ret_at)
{
	uint64_t before = atomic_load_explicit(&ring->header->arena_used, memory_order_relaxed), at;
	struct ks_ring_memberships *list;
	enum ks_err err;

	if (count == 0) {
		*ret_at = 0;
		return KS_OK;
	}
	at = ks_ring_arena_take(ring, sizeof(*list) + count * sizeof(list->items[0]));
	if (at == 0)
		return KS_FULL;
	list = list_at(ring, at);
	err = fill_memberships(ring, records, count, list);
	if (err == KS_OK && (current == 0 || !same_list(list, list_at(ring, (uint64_t)current * 8)))) {
		*ret_at = (uint32_t)(at / 8);
		return KS_OK;
	}
	/* Nothing refers to it yet: the room goes back. */
	atomic_store_explicit(&ring->header->arena_used, before, memory_order_release);
	if (err == KS_OK)
		*ret_at = current;
	return err;
}

enum ks_err ks_ring_put_user(struct ks_ring *ring, uint64_t id, bool disabled,
			     const struct ks_ring_membership_record *memberships, size_t count)
{
	struct ks_ring_header *h = ring->header;
	uint32_t index = ks_ring_user(ring, id), list = 0;
	bool is_new = index == KS_RING_NONE;
	struct ks_ring_user *user;

	if (id == 0)
		return KS_MALFORMED;
	if (count > KS_RING_MEMBERSHIPS_MAX)
		return KS_TOO_LARGE;
	if (is_new)
		index = atomic_load_explicit(&h->user_count, memory_order_relaxed);
	if (index >= h->geometry.users)
		return ks_ring_refuse(ring, KS_RING_PART_USERS);
	user = &ring->users[index];
	KS_TRY(store_memberships(ring, is_new ? 0 : atomic_load_explicit(&user->memberships_at, memory_order_relaxed),
				 memberships, count, &list));
	atomic_store_explicit(&user->flags, disabled ? KS_USER_DISABLED : 0, memory_order_seq_cst);
	atomic_store_explicit(&user->memberships_at, list, memory_order_seq_cst);
	if (!is_new)
		return KS_OK;
	user->id = id;
	user->check = ks_ring_user_check(ring, user);
	atomic_store_explicit(&user->personal, KS_RING_NONE, memory_order_relaxed);
	raise_u32(&h->user_count);
	ks_ring_map_add(ring, ring->user_map, h->user_map_mask, id, index);
	return KS_OK;
}

/* ---- grants ---- */

static enum ks_err grant_record_ok(const struct ks_ring_grant_record *r)
{
	if (r->id == 0 || (r->rate_requests != 0 && r->rate_window_s == 0))
		return KS_MALFORMED;
	if (r->cidr_count > KS_RING_CIDRS_MAX)
		return KS_TOO_LARGE;
	for (uint32_t i = 0; i < r->cidr_count; i++) {
		if (r->cidrs[i].bits > 128)
			return KS_MALFORMED;
	}
	return KS_OK;
}

enum ks_err ks_ring_put_grant(struct ks_ring *ring, const struct ks_ring_grant_record *record, uint32_t *ret_index)
{
	struct ks_ring_header *h = ring->header;
	uint32_t index = ks_ring_grant(ring, record->id);
	struct ks_ring_grant grant = {
		.id = record->id,
		.scopes = record->scopes,
		.cidr_count = record->cidr_count,
		.rate_requests = record->rate_requests,
		.rate_window_s = record->rate_window_s,
	};

	KS_TRY(grant_record_ok(record));
	grant.check = ks_ring_grant_check(ring, &grant, record->cidrs);
	if (index != KS_RING_NONE) {
		if (ring->grants[index].check != grant.check)
			return KS_CONFLICT;
		*ret_index = index;
		return KS_OK;
	}
	index = atomic_load_explicit(&h->grant_count, memory_order_relaxed);
	if (index >= h->geometry.grants)
		return ks_ring_refuse(ring, KS_RING_PART_GRANTS);
	if (record->cidr_count > 0) {
		uint64_t n = record->cidr_count * sizeof(record->cidrs[0]);
		uint64_t at = ks_ring_arena_take(ring, n);

		if (at == 0)
			return KS_FULL;
		memcpy(ring->arena + at, record->cidrs, n);
		grant.cidrs_at = (uint32_t)at;
	}
	ring->grants[index] = grant;
	raise_u32(&h->grant_count);
	ks_ring_map_add(ring, ring->grant_map, h->grant_map_mask, record->id, index);
	*ret_index = index;
	return KS_OK;
}

/* ---- keys ---- */

/* The slot that holds `digest`, or the free one where it would go (*ret_found tells which). KS_FULL. */
static enum ks_err probe(struct ks_ring *ring, const struct ks_digest *digest, uint64_t *ret_slot, bool *ret_found)
{
	uint64_t slots = ring->header->geometry.key_slots, slot = ks_ring_home(ring, digest);

	for (unsigned n = 0; n < KS_RING_PROBES_MAX; n++) {
		const struct ks_ring_key *key = &ring->keys[slot];
		bool live = (atomic_load_explicit(&key->state, memory_order_relaxed) & KS_KEY_LIVE) != 0;

		if (!live || ks_ring_digest_equal(&key->digest, digest)) {
			*ret_slot = slot;
			*ret_found = live;
			return KS_OK;
		}
		if (++slot == slots)
			slot = 0;
	}
	return ks_ring_refuse(ring, KS_RING_PART_KEYS);
}

static void publish_key(struct ks_ring *ring, uint64_t slot, const struct ks_ring_key *key, uint32_t state)
{
	struct ks_ring_header *h = ring->header;
	struct ks_ring_key *to = &ring->keys[slot];

	to->digest = key->digest;
	to->id = key->id;
	atomic_store_explicit(&to->ends_ms, atomic_load_explicit(&key->ends_ms, memory_order_relaxed),
			      memory_order_relaxed);
	to->tenant = key->tenant;
	to->grant = key->grant;
	to->check = ks_ring_key_check(h, to, state & KS_KEY_TRAITS_MASK);
	atomic_store_explicit(&to->state, state | KS_KEY_LIVE, memory_order_release);
	raise_u64(&h->key_count);
	if (KS_KEY_KIND(state) == KS_KIND_SESSION)
		raise_u64(&h->session_count);
	else if (state & KS_KEY_REVOKED)
		raise_u64(&h->revoked_count);
}

enum ks_err ks_ring_claim_limiter(struct ks_ring *ring, uint64_t key_id, const struct ks_ring_grant *grant)
{
	_Atomic uint32_t *count = &ring->header->limiter_count;
	bool is_new;

	if (grant->rate_requests == 0 || !ring->usage)
		return KS_OK;
	/* Said by the ring's own count: the usage file is open to every reader. */
	if (atomic_load_explicit(count, memory_order_relaxed) >= ring->header->geometry.limiters / 2
	    || ks_usage_claim_limiter(ring->usage, key_id, &is_new) != KS_OK)
		return ks_ring_refuse(ring, KS_RING_PART_LIMITERS);
	if (is_new)
		raise_u32(count);
	return KS_OK;
}

enum ks_err ks_ring_insert_key(struct ks_ring *ring, const struct ks_ring_key *key, uint32_t state)
{
	uint64_t slot;
	bool found;

	if (atomic_load_explicit(&ring->header->key_count, memory_order_relaxed)
	    >= KS_RING_KEYS_MAX(ring->header->geometry.key_slots))
		return ks_ring_refuse(ring, KS_RING_PART_KEYS);
	KS_TRY(probe(ring, &key->digest, &slot, &found));
	if (found)
		return KS_CONFLICT;
	if (!(state & KS_KEY_REVOKED) && KS_KEY_KIND(state) != KS_KIND_SESSION)
		KS_TRY(ks_ring_claim_limiter(ring, key->id, &ring->grants[key->grant]));
	publish_key(ring, slot, key, state);
	return KS_OK;
}

/* What was once said of a key's end stays said, whatever order the changes are replayed in. */
static enum ks_err update_key(struct ks_ring *ring, uint64_t slot, const struct ks_ring_key *want, uint32_t state)
{
	struct ks_ring_key *key = &ring->keys[slot];
	uint32_t before = atomic_load_explicit(&key->state, memory_order_relaxed);
	int64_t ends = atomic_load_explicit(&want->ends_ms, memory_order_relaxed);

	if (key->id != want->id || key->tenant != want->tenant || key->grant != want->grant
	    || (before & KS_KEY_TRAITS_MASK) != (state & KS_KEY_TRAITS_MASK))
		return KS_CONFLICT;
	/* The bits first: whoever sees the end that a rotation set also sees that a rotation set it. */
	before = atomic_fetch_or_explicit(&key->state, state & (KS_KEY_REVOKED | KS_KEY_ROTATED_OUT),
					  memory_order_seq_cst);
	if (ends < atomic_load_explicit(&key->ends_ms, memory_order_relaxed))
		atomic_store_explicit(&key->ends_ms, ends, memory_order_seq_cst);
	if ((state & KS_KEY_REVOKED) && !(before & KS_KEY_REVOKED) && KS_KEY_KIND(before) != KS_KIND_SESSION)
		raise_u64(&ring->header->revoked_count);
	return KS_OK;
}

enum ks_err ks_ring_put_slot(struct ks_ring *ring, const struct ks_ring_key *key, uint32_t state)
{
	uint64_t slot;
	bool found;

	KS_TRY(probe(ring, &key->digest, &slot, &found));
	if (found)
		return update_key(ring, slot, key, state);
	return ks_ring_insert_key(ring, key, state);
}

enum ks_err ks_ring_put_key(struct ks_ring *ring, const struct ks_ring_key_record *record)
{
	struct ks_ring_key key = {.digest = record->digest, .id = record->id};
	uint32_t state;

	/* What is of kind session has no grant: ring_session.c. */
	if (record->id == 0 || (unsigned)record->kind >= KS_KIND_COUNT || record->kind == KS_KIND_SESSION
	    || (unsigned)record->binding >= KS_BINDING_COUNT || (unsigned)record->environment >= KS_ENVIRONMENT_COUNT)
		return KS_MALFORMED;
	state = KS_KEY_TRAITS(record->kind, record->binding, record->environment)
		| (record->revoked ? KS_KEY_REVOKED : 0) | (record->rotated_out ? KS_KEY_ROTATED_OUT : 0);
	atomic_store_explicit(&key.ends_ms, record->ends_ms, memory_order_relaxed);
	key.tenant = ks_ring_tenant(ring, record->tenant);
	key.grant = ks_ring_grant(ring, record->grant);
	if (key.tenant == KS_RING_NONE || key.grant == KS_RING_NONE)
		return KS_NOT_FOUND;
	return ks_ring_put_slot(ring, &key, state);
}

/* ---- the rest ---- */

enum ks_err ks_ring_put_policy(struct ks_ring *ring, enum ks_ring_policy which, const struct ks_policy_table *table)
{
	const struct ks_policy_table *current = ks_ring_policy_table(ring, which);
	struct ks_ring_header *h = ring->header;
	uint64_t at;

	if (!ks_policy_table_ok(table, table->size))
		return KS_MALFORMED;
	if (current
	    && ks_str_eq(ks_str_of((const char *)current, current->size),
			 ks_str_of((const char *)table, table->size)))
		return KS_OK;
	at = ks_ring_arena_take(ring, (uint64_t)table->size + 56);
	if (at == 0)
		return KS_FULL;
	at = (at + 63) / 64 * 64;
	memcpy(ring->arena + at, table, table->size);
	atomic_store_explicit(&h->policy_at[which], at, memory_order_seq_cst);
	raise_u64(&h->policy_epoch);
	return KS_OK;
}

void ks_ring_set_position(struct ks_ring *ring, uint64_t position)
{
	uint64_t checked = atomic_load_explicit(&ring->header->scopes_check, memory_order_relaxed);
	uint32_t scopes = atomic_load_explicit(&ring->scopes->count, memory_order_relaxed);
	uint32_t roles = atomic_load_explicit(&ring->roles->count, memory_order_relaxed);

	if (checked >> 32 != scopes)
		atomic_store_explicit(&ring->header->scopes_check, ks_ring_names_check(ring, ring->scopes, scopes),
				      memory_order_relaxed);
	checked = atomic_load_explicit(&ring->header->roles_check, memory_order_relaxed);
	if (checked >> 32 != roles)
		atomic_store_explicit(&ring->header->roles_check, ks_ring_names_check(ring, ring->roles, roles),
				      memory_order_relaxed);
	atomic_store_explicit(&ring->header->position, position, memory_order_release);
}

void ks_ring_set_foreign(struct ks_ring *ring)
{
	atomic_fetch_or_explicit(&ring->header->flags, KS_RING_FLAG_FOREIGN, memory_order_release);
}

void ks_ring_set_lease(struct ks_ring *ring, int64_t until_ms)
{
	atomic_store_explicit(&ring->header->lease_until_ms, until_ms, memory_order_seq_cst);
}
