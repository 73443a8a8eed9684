/* SPDX-License-Identifier: Apache-2.0 */
/* A ring in memory of the test's own, and short ways to put records into it. Included after <cmocka.h>. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/ctenc.h"
#include "ring/ring_priv.h"

/* ids of the world that world_fill makes */
enum {
	OPERATOR = 1,
	PARTNER = 2,
	ORG_A = 10,
	SUB_A1 = 11,
	PROJECT_A1 = 12,
	ORG_B = 20,
	USER_1 = 100,
	PERSONAL_1 = 101,
	GRANT_PLAIN = 1000,
	GRANT_LIMITED = 1001,
	GRANT_ADDRESSES = 1002
};

struct world {
	struct ks_ring ring;
	struct ks_usage usage;
	void *memory, *usage_memory;
	uint64_t size, usage_size;
	struct ks_ring_geometry geometry;
};

static inline void *world_map(uint64_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static inline struct ks_ring_geometry small_geometry(void)
{
	return (struct ks_ring_geometry){
		.key_slots = 1000, .tenants = 64, .users = 16, .grants = 16, .limiters = 64, .arena_bytes = 1 << 17};
}

static inline struct ks_ring_stamp stamp_of(uint64_t generation)
{
	return (struct ks_ring_stamp){
		.generation = generation,
		.boot_id = {1, 2, 3},
		.store_id = {4, 5, 6},
		.slot_seed = {UINT64_C(0x0123456789abcdef), UINT64_C(0xfedcba9876543210)},
		.domain = KS_STR("Example.COM"),
	};
}

static inline void world_open(struct world *w, const struct ks_ring_geometry *geometry,
			      const struct ks_ring_stamp *stamp)
{
	*w = (struct world){
		.geometry = *geometry,
		.size = ks_ring_size(geometry),
		.usage_size = ks_usage_size(geometry),
	};
	assert_true(w->size > 0 && w->size % 4096 == 0);
	assert_true(w->usage_size > 0 && w->usage_size % 4096 == 0);
	w->memory = world_map(w->size);
	w->usage_memory = world_map(w->usage_size);
	assert_int_equal(ks_ring_format(w->memory, w->size, geometry, stamp, &w->ring), KS_OK);
	assert_int_equal(ks_usage_format(w->usage_memory, w->usage_size, geometry, stamp->generation), KS_OK);
	assert_int_equal(ks_usage_attach(w->usage_memory, w->usage_size, w->ring.header, &w->usage), KS_OK);
	w->ring.usage = &w->usage;
}

static inline void world_open_small(struct world *w)
{
	struct ks_ring_geometry geometry = small_geometry();
	struct ks_ring_stamp stamp = stamp_of(1);

	world_open(w, &geometry, &stamp);
}

static inline void world_close(struct world *w)
{
	munmap(w->memory, w->size);
	munmap(w->usage_memory, w->usage_size);
	*w = (struct world){0};
}

static inline uint64_t split_mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
	return x ^ x >> 31;
}

/* Stands for the SHA-256 of token number `n`. */
static inline struct ks_digest digest_of(uint64_t n)
{
	uint64_t words[4] = {split_mix(4 * n), split_mix(4 * n + 1), split_mix(4 * n + 2), split_mix(4 * n + 3)};
	struct ks_digest digest;

	memcpy(digest.bytes, words, sizeof(words));
	return digest;
}

static inline struct ks_ring_tenant_record tenant_record(uint64_t id, uint64_t parent, enum ks_tenant_kind kind)
{
	return (struct ks_ring_tenant_record){.id = id, .parent = parent, .kind = kind};
}

static inline enum ks_err put_tenant(struct ks_ring *ring, uint64_t id, uint64_t parent, enum ks_tenant_kind kind,
				     bool suspended)
{
	struct ks_ring_tenant_record record = tenant_record(id, parent, kind);

	record.suspended = suspended;
	if (kind == KS_TENANT_KIND_PERSONAL)
		record.user = USER_1;
	if (kind == KS_TENANT_KIND_ORGANIZATION)
		record.slug = KS_STR("Acme-1");
	return ks_ring_put_tenant(ring, &record);
}

static inline struct ks_ring_key_record key_record(uint64_t n, uint64_t tenant)
{
	return (struct ks_ring_key_record){
		.digest = digest_of(n),
		.id = 1000000 + n,
		.tenant = tenant,
		.grant = GRANT_PLAIN,
		.kind = KS_KIND_TENANT,
		.binding = KS_BINDING_ORGANIZATION,
		.environment = KS_ENVIRONMENT_LIVE,
		.ends_ms = INT64_MAX,
	};
}

static inline enum ks_err put_key(struct ks_ring *ring, uint64_t n, bool revoked)
{
	struct ks_ring_key_record record = key_record(n, ORG_A);

	record.revoked = revoked;
	return ks_ring_put_key(ring, &record);
}

static inline const struct ks_ring_key *find_key(const struct ks_ring *ring, uint64_t n, uint64_t *ret_slot)
{
	struct ks_digest digest = digest_of(n);

	return ks_ring_key(ring, &digest, ks_ring_prefetch_key(ring, &digest), ret_slot);
}

static inline uint32_t state_of(const struct ks_ring *ring, uint64_t n)
{
	uint64_t slot = 0;
	const struct ks_ring_key *key = find_key(ring, n, &slot);

	return key ? atomic_load(&key->state) : 0;
}

static inline uint32_t flags_of_tenant(const struct ks_ring *ring, uint64_t id)
{
	uint32_t index = ks_ring_tenant(ring, id);

	assert_int_not_equal(index, KS_RING_NONE);
	return atomic_load(&ring->tenants[index].flags);
}

/* A compiled policy of one family, whose name makes policies differ. The caller frees it. */
static inline struct ks_policy_table *policy_named(struct ks_ring *ring, const char *family)
{
	static const uint64_t hash_key[2] = {7, 8};
	struct ks_policy_problem problem;
	struct ks_policy_table *table;
	struct ks_policy *policy;
	char yaml[512];

	assert_true(snprintf(yaml, sizeof(yaml),
			     "version: 1\nscopes:\n  contacts:read: {about: Read}\nfamilies:\n  %s:\n    routes: "
			     "[\"/%s\"]\n"
			     "    kinds: [tenant]\n    scopes: {GET: contacts:read}\n",
			     family, family)
		    < (int)sizeof(yaml));
	if (ks_policy_parse(ks_str_c(yaml), KS_STR("keystile:"), &policy, &problem) != KS_OK)
		fail_msg("policy: line %u: %s", problem.line, problem.text);
	assert_int_equal(ks_policy_compile(policy, ring->scopes, hash_key, &table), KS_OK);
	ks_policy_free(&policy);
	return table;
}

static inline void put_policy_named(struct ks_ring *ring, enum ks_ring_policy which, const char *family)
{
	struct ks_policy_table *table = policy_named(ring, family);

	assert_int_equal(ks_ring_put_policy(ring, which, table), KS_OK);
	free(table);
}

static inline void put_grants(struct ks_ring *ring)
{
	static const struct ks_cidr cidrs[] = {{.base = {{0x20, 0x01, 0x0d, 0xb8}}, .bits = 32},
					       {.base = {{0}}, .bits = 0}};
	struct ks_ring_grant_record plain = {.id = GRANT_PLAIN},
				    limited = {.id = GRANT_LIMITED, .rate_requests = 5, .rate_window_s = 10};
	struct ks_ring_grant_record addresses = {.id = GRANT_ADDRESSES, .cidrs = cidrs, .cidr_count = 2};
	uint32_t index;

	ks_scopes_set(&plain.scopes, 0);
	ks_scopes_set(&addresses.scopes, 3);
	assert_int_equal(ks_ring_put_grant(ring, &plain, &index), KS_OK);
	assert_int_equal(ks_ring_put_grant(ring, &limited, &index), KS_OK);
	assert_int_equal(ks_ring_put_grant(ring, &addresses, &index), KS_OK);
}

/* Something of everything, and `keys` keys of ORG_A. */
static inline void world_fill(struct ks_ring *ring, uint64_t keys)
{
	const struct ks_ring_membership_record memberships[] = {{.tenant = ORG_B, .role = 2, .below = true},
								{.tenant = ORG_A, .role = 1}};

	assert_int_equal(put_tenant(ring, OPERATOR, 0, KS_TENANT_KIND_OPERATOR, false), KS_OK);
	assert_int_equal(put_tenant(ring, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, false), KS_OK);
	assert_int_equal(put_tenant(ring, ORG_A, PARTNER, KS_TENANT_KIND_ORGANIZATION, false), KS_OK);
	assert_int_equal(put_tenant(ring, SUB_A1, ORG_A, KS_TENANT_KIND_SUB_ENTITY, false), KS_OK);
	assert_int_equal(put_tenant(ring, PROJECT_A1, SUB_A1, KS_TENANT_KIND_PROJECT, false), KS_OK);
	assert_int_equal(put_tenant(ring, ORG_B, OPERATOR, KS_TENANT_KIND_ORGANIZATION, false), KS_OK);
	assert_int_equal(ks_ring_put_user(ring, USER_1, false, memberships, 2), KS_OK);
	assert_int_equal(put_tenant(ring, PERSONAL_1, ORG_A, KS_TENANT_KIND_PERSONAL, false), KS_OK);
	put_grants(ring);
	put_policy_named(ring, KS_RING_POLICY_PLATFORM, "contacts");
	put_policy_named(ring, KS_RING_POLICY_SELF, "own");
	for (uint64_t i = 0; i < keys; i++)
		assert_int_equal(put_key(ring, i, i % 7 == 3), KS_OK);
	ks_ring_set_position(ring, 42);
}
