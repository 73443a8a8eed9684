/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of ring/ share, and its tests use. */
#pragma once

#include "ring/ring.h"
#include "ring/usage.h"

#define KS_RING_MAGIC UINT64_C(0x31676e725f74736b)  /* "kst_rng1" in memory */
#define KS_USAGE_MAGIC UINT64_C(0x316773755f74736b) /* "kst_usg1" */
#define KS_RING_PAGE 4096u
#define KS_RING_ARENA_START 64u  /* offsets below are no place: 0 stands for none */
/** The table is never fuller than this. */
#define KS_RING_KEYS_MAX(slots) ((slots) / 5 * 4)

/** Where everything stands in a ring file of a geometry. */
struct ks_ring_layout {
	uint64_t scopes_at, roles_at, arena_at, tenants_at, tenant_map_at, users_at, user_map_at, grants_at, grant_map_at,
		keys_at;
	uint32_t tenant_map_mask, user_map_mask, grant_map_mask;
	uint64_t total;
};

/** False where the geometry is out of bounds. */
KS_MUST_USE bool ks_ring_layout_of(const struct ks_ring_geometry *geometry, struct ks_ring_layout *ret_layout);

/** CRC-32 of the header up to `header_crc`. */
uint32_t ks_ring_header_crc(const struct ks_ring_header *header);

/** Checksums of what never changes in a record; they depend on the generation's seed. The two with lists read them
 * from the arena, where they must lie. */
uint32_t ks_ring_tenant_check(const struct ks_ring *ring, const struct ks_ring_tenant *tenant);
uint32_t ks_ring_user_check(const struct ks_ring *ring, const struct ks_ring_user *user);
uint32_t ks_ring_grant_check(const struct ks_ring *ring, const struct ks_ring_grant *grant,
			     const struct ks_cidr *cidrs);
uint32_t ks_ring_memberships_check(const struct ks_ring *ring, const struct ks_ring_memberships *list);

uint32_t ks_ring_role_sets_check(const struct ks_ring *ring, const struct ks_ring_role_sets *sets);

/** What `scopes_check` and `roles_check` say of the first `count` names of their table. */
uint64_t ks_ring_names_check(const struct ks_ring *ring, const struct ks_scope_table *table, uint32_t count);

/** Gives the built-in roles their numbers in an empty ring. */
void ks_ring_name_built_in_roles(struct ks_ring *ring);

static inline uint64_t ks_ring_fold(uint64_t a, uint64_t b)
{
	__extension__ unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/** The check of a key whose traits are `traits` (the state word without its low bits). Four multiplications that do
 * not wait for each other. */
static inline uint32_t ks_ring_key_check(const struct ks_ring_header *header, const struct ks_ring_key *key,
					 uint32_t traits)
{
	uint64_t seed = header->slot_seed[1] | 1;
	uint64_t d[4], all;

	memcpy(d, key->digest.bytes, sizeof(d));
	all = ks_ring_fold(d[0] ^ seed, d[1] ^ UINT64_C(0x9e3779b97f4a7c15));
	all ^= ks_ring_fold(d[2] ^ UINT64_C(0xadf85458a2bb4a9b), d[3] ^ seed);
	all += ks_ring_fold(key->id ^ UINT64_C(0xc2b2ae3d27d4eb4f),
			    ((uint64_t)key->tenant << 32 | key->grant) ^ UINT64_C(0x165667b19e3779f9) ^ seed);
	all = ks_ring_fold(all ^ traits, UINT64_C(0xd6e8feb86659fd93));
	return (uint32_t)(all ^ all >> 32);
}

/** Bits of a state word that may be set. */
#define KS_KEY_STATE_BITS (KS_KEY_LIVE | KS_KEY_REVOKED | KS_KEY_ROTATED_OUT)
#define KS_KEY_TRAITS_MASK UINT32_C(0x000fff00)

/** Puts index `index` into a map under `id`, which is not in it. */
void ks_ring_map_add(const struct ks_ring *ring, _Atomic uint32_t *map, uint32_t mask, uint64_t id, uint32_t index);

/** `n` bytes of the arena, aligned to 8; 0: no room (and the part is marked full). The bytes are the caller's to
 * fill before he publishes the offset. */
uint64_t ks_ring_arena_take(struct ks_ring *ring, uint64_t n);

/** Records that `part` refused something. Returns KS_FULL. */
enum ks_err ks_ring_refuse(struct ks_ring *ring, enum ks_ring_part part);

/** Puts a whole key (its `check` is made here) into a free slot. KS_FULL, KS_CONFLICT: the digest is there. */
KS_MUST_USE enum ks_err ks_ring_insert_key(struct ks_ring *ring, const struct ks_ring_key *key, uint32_t state);

/** Adds a key, session or issuer, or brings the one with its digest up to date: see ks_ring_put_key. */
KS_MUST_USE enum ks_err ks_ring_put_slot(struct ks_ring *ring, const struct ks_ring_key *key, uint32_t state);

/** True if ks_ring_copy leaves this slot (in use, with this state) out at `now_ms`. */
bool ks_ring_is_over(const struct ks_ring_key *key, uint32_t state, int64_t now_ms);

/** True where a rate-limited key has, or now gets, its limiter; or where nothing is limited because there are no
 * counters. */
KS_MUST_USE enum ks_err ks_ring_claim_limiter(struct ks_ring *ring, uint64_t key_id, const struct ks_ring_grant *grant);

/** True if every issuer and every way to it is whole and within the used part of the arena. Mends the count that a
 * killed writer left one behind. */
bool ks_ring_issuers_ok(const struct ks_ring *ring, uint64_t arena_used);

/** Copies the issuers into `to`, which has none. KS_FULL, KS_CORRUPT. */
KS_MUST_USE enum ks_err ks_ring_copy_issuers(const struct ks_ring *from, struct ks_ring *to);

/** Where everything stands in a usage file. */
struct ks_usage_layout {
	uint64_t cells_at, cell_marks_at, details_at, detail_marks_at, limiters_at;
	uint64_t buckets;
	uint64_t total;
};

KS_MUST_USE bool ks_usage_layout_of(const struct ks_ring_geometry *geometry, struct ks_usage_layout *ret_layout);

/** The limiter of a key, or NULL. */
struct ks_usage_limiter *ks_usage_limiter(const struct ks_usage *usage, uint64_t key_id);
