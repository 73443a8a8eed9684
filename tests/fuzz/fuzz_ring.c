/* SPDX-License-Identifier: Apache-2.0 */
/* A hostile ring file: attach, verify, and then everything that readers and the writer do with it. What verify
 * lets through must lead nobody outside its memory. The first byte of the input says how it is read:
 *
 *   bit 0 clear  the rest is the file
 *   bit 0 set    the rest are patches to a small whole ring: offset (4 bytes, little-endian; the highest bit set: of
 *                the usage file), length (1), bytes
 *   bit 1 set    the header's checksum is made right afterwards
 *   bit 2 set    so are the checksums of the records, as far as they can be made */
#include <stdlib.h>

#include "../unit/ring/walk.h"
#include "base/cursor.h"

#define KEYS 36
#define USAGE_PATCH 0x80000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct ks_ring_geometry geometry = {64, 8, 4, 4, 64, 4096};

struct image {
	unsigned char *ring, *usage;
	uint64_t ring_size, usage_size;
};

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void *zeroed(uint64_t size)
{
	void *p = NULL;

	must(posix_memalign(&p, 4096, size) == 0);
	memset(p, 0, size);
	return p;
}

static struct ks_digest digest_of(uint64_t n)
{
	struct ks_digest digest;

	for (size_t i = 0; i < sizeof(digest.bytes); i++)
		digest.bytes[i] = (uint8_t)((n + 1) * (i + 3) * 37 >> (i % 5));
	return digest;
}

static void put_policy(struct ks_ring *ring)
{
	static const struct ks_str yaml =
		KS_STR("version: 1\nscopes:\n  contacts:read: {about: Read}\nfamilies:\n  contacts:\n"
		       "    routes: [\"/contacts\"]\n    kinds: [tenant]\n    scopes: {GET: contacts:read}\n");
	static const uint64_t hash_key[2] = {1, 2};
	struct ks_policy_problem problem;
	struct ks_policy_table *table;
	struct ks_policy *policy;

	must(ks_policy_parse(yaml, KS_STR(""), &policy, &problem) == KS_OK);
	must(ks_policy_compile(policy, ring->scopes, hash_key, &table) == KS_OK);
	must(ks_ring_put_policy(ring, KS_RING_POLICY_PLATFORM, table) == KS_OK);
	must(ks_ring_put_roles(ring, &(const struct ks_policy *){policy}, 1) == KS_OK);
	free(table);
	ks_policy_free(&policy);
}

static enum ks_err put_session(struct ks_ring *ring, uint64_t n, bool ended)
{
	return ks_ring_put_session(ring, &(struct ks_ring_session_record){
						 .digest = digest_of(n), .id = n, .user = 9, .ends_ms = 5, .ended = ended});
}

static enum ks_err put_key(struct ks_ring *ring, uint64_t n)
{
	return ks_ring_put_key(ring, &(struct ks_ring_key_record){.digest = digest_of(n),
								  .id = n + 1,
								  .tenant = 1 + n % 4,
								  .grant = 1 + n % 2,
								  .kind = KS_KIND_TENANT,
								  .ends_ms = INT64_MAX,
								  .revoked = n % 5 == 0});
}

static void fill(struct ks_ring *ring)
{
	static const struct ks_cidr cidr = {.base = {{0x20, 1}}, .bits = 16};
	const struct ks_ring_tenant_record tenants[] = {
		{.id = 1, .kind = KS_TENANT_KIND_OPERATOR},
		{.id = 2, .parent = 1, .kind = KS_TENANT_KIND_ORGANIZATION, .slug = KS_STR("acme")},
		{.id = 3, .parent = 2, .kind = KS_TENANT_KIND_SUB_ENTITY, .suspended = true},
		{.id = 4, .parent = 2, .kind = KS_TENANT_KIND_PERSONAL, .user = 9},
	};
	const struct ks_ring_membership_record memberships[] = {{.tenant = 2, .role = 1},
								{.tenant = 3, .role = 2, .below = true}};
	uint32_t index;

	for (size_t i = 0; i < KS_ARRAY_LEN(tenants); i++) {
		if (tenants[i].user)
			must(ks_ring_put_user(ring, 9, false, memberships, 2) == KS_OK);
		must(ks_ring_put_tenant(ring, &tenants[i]) == KS_OK);
	}
	must(ks_ring_put_grant(ring, &(struct ks_ring_grant_record){.id = 1, .cidrs = &cidr, .cidr_count = 1}, &index)
	     == KS_OK);
	must(ks_ring_put_grant(ring, &(struct ks_ring_grant_record){.id = 2, .rate_requests = 2, .rate_window_s = 1},
			       &index)
	     == KS_OK);
	put_policy(ring);
	for (uint64_t n = 0; n < KEYS; n++)
		must(put_key(ring, n) == KS_OK);
	must(put_session(ring, 200, false) == KS_OK && put_session(ring, 201, false) == KS_OK);
	must(put_session(ring, 201, true) == KS_OK);
	must(ks_ring_put_issuer(ring, &(struct ks_ring_issuer_record){77, 2, false}) == KS_OK);
	ks_ring_set_position(ring, 3);
}

static const struct image *whole(void)
{
	static struct image image;
	struct ks_ring_stamp stamp = {.generation = 1, .slot_seed = {3, 4}, .domain = KS_STR("example.com")};
	struct ks_usage usage;
	struct ks_ring ring;

	if (image.ring)
		return &image;
	image.ring_size = ks_ring_size(&geometry);
	image.usage_size = ks_usage_size(&geometry);
	image.ring = zeroed(image.ring_size);
	image.usage = zeroed(image.usage_size);
	must(ks_ring_format(image.ring, image.ring_size, &geometry, &stamp, &ring) == KS_OK);
	must(ks_usage_format(image.usage, image.usage_size, &geometry, 1) == KS_OK);
	must(ks_usage_attach(image.usage, image.usage_size, ring.header, &usage) == KS_OK);
	ring.usage = &usage;
	fill(&ring);
	must(ks_ring_verify(&ring) == KS_OK);
	return &image;
}

static void patch(struct ks_cursor *c, struct image *image)
{
	while (ks_cursor_left(c) > 0 && !c->failed) {
		uint32_t at = ks_cursor_u32(c);
		struct ks_str bytes = ks_cursor_take(c, ks_cursor_u8(c));
		unsigned char *file = at & USAGE_PATCH ? image->usage : image->ring;
		uint64_t size = at & USAGE_PATCH ? image->usage_size : image->ring_size;

		at &= ~USAGE_PATCH;
		if (at <= size && bytes.n <= size - at && bytes.n > 0)
			memcpy(file + at, bytes.p, bytes.n);
	}
}

static void fix_roles(struct ks_ring *ring)
{
	uint64_t at = atomic_load(&ring->header->role_sets_at), room = ring->header->geometry.arena_bytes;
	struct ks_ring_role_sets *sets = (void *)(ring->arena + at);

	if (at != 0 && at % 8 == 0 && at <= room && sizeof(*sets) <= room - at
	    && sets->count <= (room - at - sizeof(*sets)) / sizeof(sets->sets[0]))
		sets->check = ks_ring_role_sets_check(ring, sets);
}

/* Makes the checksums of the records right that can be computed within the memory at all. */
static void fix_records(struct ks_ring *ring)
{
	const struct ks_ring_geometry *g = &ring->header->geometry;

	for (uint64_t i = 0; i < g->key_slots; i++)
		ring->keys[i].check =
			ks_ring_key_check(ring->header, &ring->keys[i], ring->keys[i].state & KS_KEY_TRAITS_MASK);
	for (uint32_t i = 0; i < g->tenants; i++) {
		struct ks_ring_tenant *t = &ring->tenants[i];

		if ((uint64_t)t->slug_at + t->slug_len <= g->arena_bytes)
			t->check = ks_ring_tenant_check(ring, t);
	}
	for (uint32_t i = 0; i < g->users; i++) {
		uint64_t at = (uint64_t)ring->users[i].memberships_at * 8;
		struct ks_ring_memberships *list = (void *)(ring->arena + at);

		ring->users[i].check = ks_ring_user_check(ring, &ring->users[i]);
		if (at != 0 && at + sizeof(*list) <= g->arena_bytes
		    && list->count <= (g->arena_bytes - at - sizeof(*list)) / sizeof(list->items[0]))
			list->check = ks_ring_memberships_check(ring, list);
	}
	fix_roles(ring);
	for (uint32_t i = 0; i < g->grants; i++) {
		struct ks_ring_grant *grant = &ring->grants[i];

		if (grant->cidrs_at <= g->arena_bytes
		    && grant->cidr_count <= (g->arena_bytes - grant->cidrs_at) / sizeof(struct ks_cidr))
			grant->check = ks_ring_grant_check(ring, grant, ks_ring_cidrs(ring, grant));
	}
}

/* What a writer goes on to do with it. */
static void write_on(struct ks_ring *ring)
{
	const struct ks_ring_membership_record membership = {.tenant = 2};
	struct ks_ring_geometry larger = ks_ring_plan_growth(ring, 100, 4096, 0);
	struct ks_ring_stamp stamp = {.generation = 2, .slot_seed = {3, 4}};
	uint64_t size = ks_ring_size(&larger);
	struct ks_ring copy;
	void *memory;

	for (uint64_t n = 0; n < 4; n++)
		must(put_key(ring, 100 + n) <= KS_ERR_COUNT);
	must(ks_ring_put_tenant(ring,
				&(struct ks_ring_tenant_record){
					.id = 2, .parent = 1, .kind = KS_TENANT_KIND_ORGANIZATION, .suspended = true})
	     <= KS_ERR_COUNT);
	must(ks_ring_put_tenant(
		     ring, &(struct ks_ring_tenant_record){.id = 50, .parent = 3, .kind = KS_TENANT_KIND_PROJECT})
	     <= KS_ERR_COUNT);
	must(ks_ring_put_user(ring, 9, true, &membership, 1) <= KS_ERR_COUNT);
	must(put_session(ring, 202, false) <= KS_ERR_COUNT && put_session(ring, 200, true) <= KS_ERR_COUNT);
	must(ks_ring_put_issuer(ring, &(struct ks_ring_issuer_record){78, 2, false}) <= KS_ERR_COUNT);
	(void)ks_ring_name_role(ring, KS_STR("auditor"));
	must(walk_ring(ring) == walk_ring(ring));
	if (size == 0 || size > 1u << 20)
		return;
	memory = zeroed(size);
	if (ks_ring_format(memory, size, &larger, &stamp, &copy) == KS_OK && ks_ring_copy(ring, &copy, 0) == KS_OK)
		must(ks_ring_verify(&copy) == KS_OK && walk_ring(&copy) == walk_ring(&copy));
	free(memory);
}

static void drain(struct ks_usage *usage)
{
	struct ks_usage_item items[16];
	uint64_t cursor = 0;

	do {
		size_t n = ks_usage_drain(usage, &cursor, items, KS_ARRAY_LEN(items));

		for (size_t i = 0; i < n; i++)
			must(items[i].slot < usage->slots && (unsigned)items[i].reason < KS_REASON_COUNT);
	} while (cursor != 0);
}

static void use(struct image *image, unsigned mode)
{
	struct ks_ring_header *h = (void *)image->ring;
	struct ks_usage usage;
	struct ks_ring ring;

	if ((mode & 2) && image->ring_size >= sizeof(*h))
		h->header_crc = ks_ring_header_crc(h);
	if (ks_ring_attach(image->ring, image->ring_size, &ring) != KS_OK)
		return;
	if (mode & 4)
		fix_records(&ring);
	if (image->usage && ks_usage_attach(image->usage, image->usage_size, ring.header, &usage) == KS_OK)
		ring.usage = &usage;
	if (ks_ring_verify(&ring) != KS_OK)
		return;
	must(walk_ring(&ring) == walk_ring(&ring));
	if (ring.usage)
		drain(ring.usage);
	write_on(&ring);
	must(ks_ring_verify(&ring) == KS_OK);
	if (ring.usage)
		drain(ring.usage);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_cursor c = ks_cursor_of(ks_str_of((const char *)data, size));
	unsigned mode = ks_cursor_u8(&c);
	struct image image = {0};

	if (c.failed)
		return 0;
	if (mode & 1) {
		const struct image *base = whole();

		image = (struct image){zeroed(base->ring_size), zeroed(base->usage_size), base->ring_size,
				       base->usage_size};
		memcpy(image.ring, base->ring, base->ring_size);
		memcpy(image.usage, base->usage, base->usage_size);
		patch(&c, &image);
	} else {
		image.ring_size = ks_cursor_left(&c);
		image.ring = zeroed(image.ring_size ? image.ring_size : 1);
		if (image.ring_size > 0)
			memcpy(image.ring, ks_cursor_take(&c, image.ring_size).p, image.ring_size);
	}
	use(&image, mode);
	free(image.ring);
	free(image.usage);
	return 0;
}
