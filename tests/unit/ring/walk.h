/* SPDX-License-Identifier: Apache-2.0 */
/* Reads everything that a reader may read of a ring, as the decision does: by what the records say, with no check
 * of its own. Under a sanitizer a verified ring that leads outside its memory is found out here. */
#pragma once

#include "ring/issuers.h"
#include "ring/ring_priv.h"

static inline uint64_t walk_tenant(const struct ks_ring *ring, uint32_t index)
{
	const struct ks_ring_tenant *t = &ring->tenants[index];
	struct ks_str slug = ks_ring_slug(ring, index);
	uint64_t sum = t->id + atomic_load(&t->flags);

	for (size_t i = 0; i < slug.n; i++)
		sum += (unsigned char)slug.p[i];
	for (unsigned d = 0; d <= t->depth; d++)
		sum += ring->tenants[t->path[d]].id + ks_ring_is_within(ring, index, t->path[d]);
	if (t->organization != KS_RING_NONE)
		sum += ring->tenants[t->organization].id;
	return sum;
}

static inline uint64_t walk_user(const struct ks_ring *ring, uint32_t index)
{
	const struct ks_ring_memberships *list = ks_ring_memberships_of(ring, index);
	uint32_t personal = atomic_load(&ring->users[index].personal);
	uint64_t sum = ring->users[index].id + atomic_load(&ring->users[index].flags);

	for (uint32_t i = 0; list && i < list->count; i++)
		sum += walk_tenant(ring, list->items[i].tenant) + list->items[i].role
		       + ks_scopes_empty(ks_ring_role_scopes(ring, list->items[i].role));
	return sum + (personal == KS_RING_NONE ? 0 : walk_tenant(ring, personal));
}

static inline uint64_t walk_grant(const struct ks_ring *ring, const struct ks_ring_grant *grant)
{
	const struct ks_cidr *cidrs = ks_ring_cidrs(ring, grant);
	const struct ks_addr address = {{0x20, 1, 0x0d, 0xb8}};
	uint64_t sum = grant->id + ks_scopes_empty(&grant->scopes);

	for (uint32_t i = 0; i < grant->cidr_count; i++)
		sum += ks_cidr_has(&cidrs[i], &address);
	return sum;
}

static inline uint64_t walk_policies(const struct ks_ring *ring)
{
	uint64_t sum = 0;

	for (unsigned which = 0; which < KS_RING_POLICY_COUNT; which++) {
		const struct ks_policy_table *table = ks_ring_policy_table(ring, (enum ks_ring_policy)which);
		struct ks_path path;

		if (!table)
			continue;
		for (uint32_t i = 0; i < table->rule_count; i++)
			sum += ks_rule_family(table, ks_policy_rule(table, i)).n;
		if (ks_path_read(KS_STR("/contacts"), &path) == KS_PATH_OK)
			sum += ks_policy_match(table, &path, KS_STR("GET")) != NULL;
	}
	return sum;
}

static inline uint64_t walk_issuer(const struct ks_ring *ring, uint64_t id)
{
	const struct ks_ring_issuer *issuer = ks_ring_issuer_by_id(ring, id);
	const struct ks_ring_issuer_key *keys = issuer ? ks_ring_issuer_keys(issuer) : NULL;
	uint64_t sum = 0;

	if (!issuer)
		return 0;
	for (uint32_t i = 0; i < issuer->key_count; i++) {
		struct ks_str kid = ks_ring_issuer_text(issuer, keys[i].kid), jwk = ks_ring_issuer_text(issuer, keys[i].jwk);

		sum += ks_crc32(keys[i].mask[0], jwk.p, jwk.n) + (ks_ring_issuer_key(issuer, kid) != NULL);
	}
	for (uint32_t i = 0; i < issuer->audience_count; i++)
		sum += ks_ring_issuer(ring, ks_ring_issuer_text(issuer, issuer->name), ks_ring_issuer_audience(issuer, i))
		       != NULL;
	return sum;
}

static inline uint64_t walk_ring(const struct ks_ring *ring)
{
	const struct ks_ring_header *h = ring->header;
	uint64_t sum = walk_policies(ring) + walk_issuer(ring, KS_RING_ISSUER_OWN), slot = 0;

	for (uint64_t i = 0; i < h->geometry.key_slots; i++) {
		const struct ks_ring_key *key = &ring->keys[i], *found;
		struct ks_digest absent = key->digest;

		absent.bytes[31] ^= 1;
		found = ks_ring_key(ring, &key->digest, ks_ring_prefetch_key(ring, &key->digest), &slot);
		if (!(atomic_load(&key->state) & KS_KEY_LIVE) || !found)
			continue;
		sum += walk_tenant(ring, found->tenant);
		if (KS_KEY_KIND(atomic_load(&found->state)) != KS_KIND_SESSION)
			sum += walk_grant(ring, &ring->grants[found->grant]);
		else if (KS_KEY_BINDING(atomic_load(&found->state)) == KS_BINDING_USER)
			sum += walk_user(ring, found->grant);
		if (ring->tenants[found->tenant].user != KS_RING_NONE)
			sum += walk_user(ring, ring->tenants[found->tenant].user);
		ks_ring_prefetch_record(ring, found, slot);
		sum += ks_ring_key(ring, &absent, ks_ring_prefetch_key(ring, &absent), &slot) != NULL;
		if (ring->usage)
			ks_usage_count(ring->usage, slot, KS_REASON_OK, 1, 1, &(struct ks_addr){{0}});
	}
	for (uint32_t i = 0; i < atomic_load(&h->tenant_count); i++)
		sum += walk_tenant(ring, i) + ks_ring_tenant(ring, ring->tenants[i].id) + ks_ring_tenant(ring, sum);
	for (uint32_t i = 0; i < atomic_load(&h->user_count); i++)
		sum += walk_user(ring, i) + ks_ring_user(ring, ring->users[i].id);
	for (uint32_t i = 0; i < atomic_load(&h->grant_count); i++)
		sum += walk_grant(ring, &ring->grants[i]) + ks_ring_grant(ring, ring->grants[i].id);
	for (uint16_t i = 0; i < KS_SCOPES_MAX; i++)
		sum += ks_scope_name(ring->scopes, i).n;
	for (uint16_t i = 0; i <= KS_RING_ROLES_MAX; i++)
		sum += ks_ring_role_name(ring, i).n + ks_scopes_empty(ks_ring_role_scopes(ring, i));
	return sum;
}
