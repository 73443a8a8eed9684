/* SPDX-License-Identifier: Apache-2.0 */
/* Roles: their numbers, and what each gives a session today. */
#include "ring/ring_priv.h"

uint16_t ks_ring_role(const struct ks_ring *ring, struct ks_str name)
{
	uint16_t place;

	return ks_scope_find(ring->roles, name, &place) ? (uint16_t)(place + 1) : 0;
}

struct ks_str ks_ring_role_name(const struct ks_ring *ring, uint16_t number)
{
	return number == 0 ? KS_STR("") : ks_scope_name(ring->roles, (uint16_t)(number - 1));
}

uint16_t ks_ring_name_role(struct ks_ring *ring, struct ks_str name)
{
	uint16_t place;

	return ks_scope_add(ring->roles, name, &place) == KS_OK ? (uint16_t)(place + 1) : 0;
}

void ks_ring_name_built_in_roles(struct ks_ring *ring)
{
	for (unsigned role = KS_ROLE_NONE + 1; role < KS_ROLE_BUILT_IN_END; role++)
		(void)ks_ring_name_role(ring, ks_str_c(ks_role_text((enum ks_role)role)));
}

/* ---- what they give ---- */

/* Gives every role that a catalogue describes a number. */
static enum ks_err name_roles(struct ks_ring *ring, const struct ks_policy *policy)
{
	for (size_t i = 0; i < policy->role_count; i++) {
		if (ks_ring_name_role(ring, ks_str_c(policy->roles[i].name)) == 0)
			return KS_TOO_LARGE;
	}
	return KS_OK;
}

static enum ks_err add_scopes(struct ks_ring *ring, const struct ks_policy *policy, struct ks_str role,
			      struct ks_scopes *set)
{
	struct ks_scopes places;
	uint16_t number;

	if (!ks_policy_role_scopes(policy, role, KS_KIND_SESSION, &places))
		return KS_OK;
	for (uint16_t i = 0; i < policy->scope_count; i++) {
		if (!ks_scopes_has(&places, i))
			continue;
		if (ks_scope_add(ring->scopes, ks_str_c(policy->scopes[i].name), &number) != KS_OK)
			return KS_TOO_LARGE;
		ks_scopes_set(set, number);
	}
	return KS_OK;
}

static enum ks_err fill_sets(struct ks_ring *ring, const struct ks_policy *const *policies, size_t count,
			     struct ks_ring_role_sets *sets)
{
	for (uint16_t role = 0; role < sets->count; role++) {
		struct ks_scopes set = {{0}};

		for (size_t i = 0; i < count; i++) {
			if (policies[i])
				KS_TRY(add_scopes(ring, policies[i], ks_scope_name(ring->roles, role), &set));
		}
		sets->sets[role] = set;
	}
	sets->check = ks_ring_role_sets_check(ring, sets);
	return KS_OK;
}

static bool same_sets(const struct ks_ring_role_sets *a, const struct ks_ring_role_sets *b)
{
	size_t n = sizeof(*a) + a->count * sizeof(a->sets[0]);

	return a->count == b->count && ks_str_eq(ks_str_of((const char *)a, n), ks_str_of((const char *)b, n));
}

enum ks_err ks_ring_put_roles(struct ks_ring *ring, const struct ks_policy *const *policies, size_t count)
{
	struct ks_ring_header *h = ring->header;
	uint64_t before = atomic_load_explicit(&h->arena_used, memory_order_relaxed), at;
	const struct ks_ring_role_sets *current = ks_ring_role_sets(ring);
	struct ks_ring_role_sets *sets;
	uint32_t roles;
	enum ks_err err;

	for (size_t i = 0; i < count; i++) {
		if (policies[i])
			KS_TRY(name_roles(ring, policies[i]));
	}
	roles = atomic_load_explicit(&ring->roles->count, memory_order_relaxed);
	at = ks_ring_arena_take(ring, sizeof(*sets) + roles * sizeof(sets->sets[0]));
	if (at == 0)
		return KS_FULL;
	sets = (void *)(ring->arena + at);
	sets->count = roles;
	err = fill_sets(ring, policies, count, sets);
	if (err == KS_OK && (!current || !same_sets(current, sets))) {
		atomic_store_explicit(&h->role_sets_at, at, memory_order_seq_cst);
		atomic_fetch_add_explicit(&h->policy_epoch, 1, memory_order_release);
		return KS_OK;
	}
	/* Nothing refers to it yet: the room goes back. */
	atomic_store_explicit(&h->arena_used, before, memory_order_release);
	return err;
}
