/* SPDX-License-Identifier: Apache-2.0 */
/** The reading side of the ring that every decision passes through. Included by ring/ring.h alone. */
#pragma once

#include "base/hash.h"
#include "ring/usage_layout.h"

/** Position of a 64-bit hash on `n` places, without a division (Lemire 2016). It keeps the order of hashes: what
 * stands in order in one table goes in order into a larger one. */
static inline uint64_t ks_ring_place(uint64_t hash, uint64_t n)
{
	__extension__ unsigned __int128 product = (unsigned __int128)hash * n;

	return (uint64_t)(product >> 64);
}

/** Where probing for a digest begins: always at the first slot of a pair. Their counters share a cache line, so
 * that this one line is nearly always the right one to fetch, and fewer keys stand beyond the two lines that are
 * fetched. */
static inline uint64_t ks_ring_home(const struct ks_ring *ring, const struct ks_digest *digest)
{
	uint64_t hash = ks_mix256(digest->bytes, ring->header->slot_seed);

	return ks_ring_place(hash, ring->header->geometry.key_slots / 2) * 2;
}

/** Starts loading the slot of a digest (and its counters), so that other work can hide the wait. Returns the home
 * slot. */
static inline uint64_t ks_ring_prefetch_key(const struct ks_ring *ring, const struct ks_digest *digest)
{
	uint64_t home = ks_ring_home(ring, digest);

	KS_PREFETCH_READ(&ring->keys[home]);
	KS_PREFETCH_READ(&ring->keys[home] + 1);
	if (ring->usage)
		ks_usage_prefetch(ring->usage, home);
	return home;
}

/** Equality of digests in constant time. */
static inline bool ks_ring_digest_equal(const struct ks_digest *a, const struct ks_digest *b)
{
	uint64_t x[4], y[4];

	memcpy(x, a->bytes, sizeof(x));
	memcpy(y, b->bytes, sizeof(y));
	return ((x[0] ^ y[0]) | (x[1] ^ y[1]) | (x[2] ^ y[2]) | (x[3] ^ y[3])) == 0;
}

/** The key with this digest, revoked or not; NULL if there is none. *ret_slot (untouched then) gets its number.
 * `home` is what ks_ring_prefetch_key returned for this ring. At most KS_RING_PROBES_MAX probes, constant-time
 * compares. A reader that cares for the moment of a rotation loads `ends_ms` (acquire) before `state`: the writer
 * stores them the other way round. */
static inline const struct ks_ring_key *ks_ring_key(const struct ks_ring *ring, const struct ks_digest *digest,
						    uint64_t home, uint64_t *ret_slot)
{
	uint64_t slots = ring->header->geometry.key_slots;
	uint64_t slot = home < slots ? home : 0;

	for (unsigned probe = 0; probe < KS_RING_PROBES_MAX; probe++) {
		const struct ks_ring_key *key = &ring->keys[slot];

		/* Acquire: the rest of the slot was written before LIVE was. */
		if (!(atomic_load_explicit(&key->state, memory_order_acquire) & KS_KEY_LIVE))
			return NULL;
		if (ks_ring_digest_equal(&key->digest, digest)) {
			*ret_slot = slot;
			return key;
		}
		if (++slot == slots)
			slot = 0;
	}
	return NULL;
}

/** Starts loading what a found key refers to: its tenant, its grant, its counters. */
static inline void ks_ring_prefetch_record(const struct ks_ring *ring, const struct ks_ring_key *key, uint64_t slot)
{
	KS_PREFETCH_READ(&ring->tenants[key->tenant]);
	KS_PREFETCH_READ(&ring->grants[key->grant]);
	if (ring->usage)
		ks_usage_prefetch(ring->usage, slot);
}

/** Index of a tenant by id; KS_RING_NONE. */
static inline uint32_t ks_ring_tenant(const struct ks_ring *ring, uint64_t id)
{
	uint32_t mask = ring->header->tenant_map_mask;
	uint32_t at = (uint32_t)ks_mix64(id, ring->header->slot_seed) & mask;

	for (uint32_t probe = 0; probe <= mask; probe++) {
		uint32_t entry = atomic_load_explicit(&ring->tenant_map[at], memory_order_acquire);

		if (entry == 0)
			return KS_RING_NONE;
		if (ring->tenants[entry - 1].id == id)
			return entry - 1;
		at = (at + 1) & mask;
	}
	return KS_RING_NONE;
}

/** Index of a user by id; KS_RING_NONE. */
static inline uint32_t ks_ring_user(const struct ks_ring *ring, uint64_t id)
{
	uint32_t mask = ring->header->user_map_mask;
	uint32_t at = (uint32_t)ks_mix64(id, ring->header->slot_seed) & mask;

	for (uint32_t probe = 0; probe <= mask; probe++) {
		uint32_t entry = atomic_load_explicit(&ring->user_map[at], memory_order_acquire);

		if (entry == 0)
			return KS_RING_NONE;
		if (ring->users[entry - 1].id == id)
			return entry - 1;
		at = (at + 1) & mask;
	}
	return KS_RING_NONE;
}

/** The tenant at `index` lies at or below the one at `root`. Both must be valid indices. */
static inline bool ks_ring_is_within(const struct ks_ring *ring, uint32_t index, uint32_t root)
{
	return ring->tenants[index].path[ring->tenants[root].depth] == root
	       && ring->tenants[index].depth >= ring->tenants[root].depth;
}

/** The compiled policy in force, or NULL. */
static inline const struct ks_policy_table *ks_ring_policy_table(const struct ks_ring *ring, enum ks_ring_policy which)
{
	uint64_t at = atomic_load_explicit(&ring->header->policy_at[which], memory_order_acquire);

	return at ? (const struct ks_policy_table *)(const void *)(ring->arena + at) : NULL;
}

/** Memberships of the user at index `user`; NULL if none. */
static inline const struct ks_ring_memberships *ks_ring_memberships_of(const struct ks_ring *ring, uint32_t user)
{
	uint64_t at = atomic_load_explicit(&ring->users[user].memberships_at, memory_order_acquire);

	return at ? (const struct ks_ring_memberships *)(const void *)(ring->arena + at * 8) : NULL;
}

/** What the roles give today; NULL before any was published. */
static inline const struct ks_ring_role_sets *ks_ring_role_sets(const struct ks_ring *ring)
{
	uint64_t at = atomic_load_explicit(&ring->header->role_sets_at, memory_order_acquire);

	return at ? (const struct ks_ring_role_sets *)(const void *)(ring->arena + at) : NULL;
}

/** The scopes that the role `number` gives a session today. Never NULL. */
static inline const struct ks_scopes *ks_ring_role_scopes(const struct ks_ring *ring, uint16_t number)
{
	static const struct ks_scopes none;
	const struct ks_ring_role_sets *sets = ks_ring_role_sets(ring);

	return sets && number > 0 && number <= sets->count ? &sets->sets[number - 1] : &none;
}
