/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring_priv.h"

/* How far ahead of the copying the places in the new table are fetched. */
#define AHEAD 8

static bool fits(const struct ks_ring_header *from, const struct ks_ring_header *to)
{
	return atomic_load_explicit(&from->tenant_count, memory_order_relaxed) <= to->geometry.tenants
	       && atomic_load_explicit(&from->user_count, memory_order_relaxed) <= to->geometry.users
	       && atomic_load_explicit(&from->grant_count, memory_order_relaxed) <= to->geometry.grants;
}

/* Brings `n` bytes of the arena over. *ret_at: their new place. */
static enum ks_err copy_bytes(const struct ks_ring *from, uint64_t from_at, uint64_t n, struct ks_ring *to,
			      uint64_t *ret_at)
{
	uint64_t at = ks_ring_arena_take(to, n);

	if (at == 0)
		return KS_FULL;
	memcpy(to->arena + at, from->arena + from_at, n);
	*ret_at = at;
	return KS_OK;
}

static void copy_names(const struct ks_scope_table *from, struct ks_scope_table *to)
{
	uint32_t count = KS_MIN(atomic_load_explicit(&from->count, memory_order_acquire), (uint32_t)KS_SCOPES_MAX);

	memcpy(to->names, from->names, count * sizeof(to->names[0]));
	atomic_store_explicit(&to->count, count, memory_order_release);
}

static enum ks_err copy_role_sets(const struct ks_ring *from, struct ks_ring *to)
{
	const struct ks_ring_role_sets *sets = ks_ring_role_sets(from);
	struct ks_ring_role_sets *copy;
	uint64_t at;

	if (!sets)
		return KS_OK;
	if (sets->check != ks_ring_role_sets_check(from, sets))
		return KS_CORRUPT;
	KS_TRY(copy_bytes(from, atomic_load_explicit(&from->header->role_sets_at, memory_order_relaxed),
			  sizeof(*sets) + sets->count * sizeof(sets->sets[0]), to, &at));
	copy = (void *)(to->arena + at);
	copy->check = ks_ring_role_sets_check(to, copy);
	atomic_store_explicit(&to->header->role_sets_at, at, memory_order_release);
	return KS_OK;
}

static enum ks_err copy_tenants(const struct ks_ring *from, struct ks_ring *to)
{
	uint32_t count = atomic_load_explicit(&from->header->tenant_count, memory_order_relaxed);
	uint64_t at;

	for (uint32_t i = 0; i < count; i++) {
		const struct ks_ring_tenant *old = &from->tenants[i];
		struct ks_ring_tenant *t = &to->tenants[i];

		if (old->check != ks_ring_tenant_check(from, old))
			return KS_CORRUPT;
		memcpy(t, old, sizeof(*t));
		if (old->slug_len > 0) {
			KS_TRY(copy_bytes(from, old->slug_at, old->slug_len, to, &at));
			t->slug_at = (uint32_t)at;
		}
		t->check = ks_ring_tenant_check(to, t);
		ks_ring_map_add(to, to->tenant_map, to->header->tenant_map_mask, t->id, i);
	}
	atomic_store_explicit(&to->header->tenant_count, count, memory_order_release);
	return KS_OK;
}

static enum ks_err copy_user(const struct ks_ring *from, const struct ks_ring_user *old, struct ks_ring *to,
			     struct ks_ring_user *user)
{
	uint64_t list_at = (uint64_t)atomic_load_explicit(&old->memberships_at, memory_order_relaxed) * 8, at = 0;

	if (old->check != ks_ring_user_check(from, old))
		return KS_CORRUPT;
	if (list_at != 0) {
		const struct ks_ring_memberships *list = (const void *)(from->arena + list_at);
		struct ks_ring_memberships *copy;

		if (list->check != ks_ring_memberships_check(from, list))
			return KS_CORRUPT;
		KS_TRY(copy_bytes(from, list_at, sizeof(*list) + list->count * sizeof(list->items[0]), to, &at));
		copy = (void *)(to->arena + at);
		copy->check = ks_ring_memberships_check(to, copy);
	}
	user->id = old->id;
	user->check = ks_ring_user_check(to, user);
	atomic_store_explicit(&user->flags, atomic_load_explicit(&old->flags, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&user->personal, atomic_load_explicit(&old->personal, memory_order_relaxed),
			      memory_order_relaxed);
	atomic_store_explicit(&user->memberships_at, (uint32_t)(at / 8), memory_order_release);
	return KS_OK;
}

static enum ks_err copy_users(const struct ks_ring *from, struct ks_ring *to)
{
	uint32_t count = atomic_load_explicit(&from->header->user_count, memory_order_relaxed);

	for (uint32_t i = 0; i < count; i++) {
		KS_TRY(copy_user(from, &from->users[i], to, &to->users[i]));
		ks_ring_map_add(to, to->user_map, to->header->user_map_mask, to->users[i].id, i);
	}
	atomic_store_explicit(&to->header->user_count, count, memory_order_release);
	return KS_OK;
}

static enum ks_err copy_grants(const struct ks_ring *from, struct ks_ring *to)
{
	uint32_t count = atomic_load_explicit(&from->header->grant_count, memory_order_relaxed);
	uint64_t at;

	for (uint32_t i = 0; i < count; i++) {
		const struct ks_ring_grant *old = &from->grants[i];
		struct ks_ring_grant *grant = &to->grants[i];

		if (old->check != ks_ring_grant_check(from, old, ks_ring_cidrs(from, old)))
			return KS_CORRUPT;
		*grant = *old;
		if (old->cidr_count > 0) {
			KS_TRY(copy_bytes(from, old->cidrs_at, old->cidr_count * sizeof(struct ks_cidr), to, &at));
			grant->cidrs_at = (uint32_t)at;
		}
		grant->check = ks_ring_grant_check(to, grant, ks_ring_cidrs(to, grant));
		ks_ring_map_add(to, to->grant_map, to->header->grant_map_mask, grant->id, i);
	}
	atomic_store_explicit(&to->header->grant_count, count, memory_order_release);
	return KS_OK;
}

static enum ks_err copy_policies(const struct ks_ring *from, struct ks_ring *to)
{
	for (unsigned i = 0; i < KS_RING_POLICY_COUNT; i++) {
		const struct ks_policy_table *table = ks_ring_policy_table(from, (enum ks_ring_policy)i);

		if (!table)
			continue;
		enum ks_err err = ks_ring_put_policy(to, (enum ks_ring_policy)i, table);
		if (err != KS_OK)
			return err == KS_MALFORMED ? KS_CORRUPT : err;
	}
	return KS_OK;
}

bool ks_ring_is_over(const struct ks_ring_key *key, uint32_t state, int64_t now_ms)
{
	int64_t ends = atomic_load_explicit(&key->ends_ms, memory_order_relaxed);

	if (KS_KEY_KIND(state) != KS_KIND_SESSION)
		return false;
	return (state & KS_KEY_REVOKED) || ends < now_ms - KS_RING_SESSION_KEPT_MS;
}

/* With the same seed the keys come in the order of their new places: both tables are walked once from end to end. */
static enum ks_err copy_keys(const struct ks_ring *from, struct ks_ring *to, int64_t now_ms)
{
	uint64_t slots = from->header->geometry.key_slots;

	for (uint64_t i = 0; i < slots; i++) {
		const struct ks_ring_key *key = &from->keys[i];
		uint32_t state = atomic_load_explicit(&key->state, memory_order_relaxed);

		if (i + AHEAD < slots)
			KS_PREFETCH_WRITE(&to->keys[ks_ring_home(to, &from->keys[i + AHEAD].digest)]);
		if (!(state & KS_KEY_LIVE))
			continue;
		if (key->check != ks_ring_key_check(from->header, key, state & KS_KEY_TRAITS_MASK))
			return KS_CORRUPT;
		if (!ks_ring_is_over(key, state, now_ms))
			KS_TRY(ks_ring_insert_key(to, key, state));
	}
	return KS_OK;
}

enum ks_err ks_ring_copy(const struct ks_ring *from, struct ks_ring *to, int64_t now_ms)
{
	const struct ks_ring_header *old = from->header;
	struct ks_ring_header *h = to->header;

	if (!fits(old, h))
		return KS_FULL;
	copy_names(from->scopes, to->scopes);
	copy_names(from->roles, to->roles);
	KS_TRY(copy_role_sets(from, to));
	KS_TRY(copy_tenants(from, to));
	KS_TRY(copy_users(from, to));
	KS_TRY(copy_grants(from, to));
	KS_TRY(copy_policies(from, to));
	KS_TRY(ks_ring_copy_issuers(from, to));
	KS_TRY(copy_keys(from, to, now_ms));
	if (from->usage && to->usage)
		ks_usage_move_limiters(from->usage, to->usage);
	atomic_store_explicit(&h->policy_epoch, atomic_load_explicit(&old->policy_epoch, memory_order_relaxed) + 1,
			      memory_order_relaxed);
	atomic_store_explicit(&h->flags, atomic_load_explicit(&old->flags, memory_order_relaxed), memory_order_relaxed);
	ks_ring_set_lease(to, atomic_load_explicit(&old->lease_until_ms, memory_order_relaxed));
	ks_ring_set_position(to, atomic_load_explicit(&old->position, memory_order_relaxed));
	return KS_OK;
}
