/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "walk.h"

#define KEYS 300
#define FLIPS 4000

static int open_filled(void **state)
{
	static struct world w;

	world_open_small(&w);
	world_fill(&w.ring, KEYS);
	*state = &w;
	return 0;
}

static int close_world(void **state)
{
	world_close(*state);
	return 0;
}

/* A copy on the heap, where a sanitizer watches both ends. */
static unsigned char *copy_of(const struct world *w)
{
	void *copy = NULL;

	assert_int_equal(posix_memalign(&copy, 4096, w->size), 0);
	memcpy(copy, w->memory, w->size);
	return copy;
}

static void a_whole_ring_verifies_and_does_not_change(void **state)
{
	struct world *w = *state;
	unsigned char *before = copy_of(w);

	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	/* The lists of children may come out in another order. */
	for (uint32_t i = 0; i < atomic_load(&w->ring.header->tenant_count); i++) {
		const uint64_t at =
			(uint64_t)((unsigned char *)&w->ring.tenants[i].first_child - (unsigned char *)w->memory);

		memcpy(before + at, (unsigned char *)w->memory + at, 8);
	}
	assert_true(ks_ct_equal(before, w->memory, w->size));
	assert_true(walk_ring(&w->ring) > 0);
	free(before);
}

static void an_empty_ring_verifies(void **state)
{
	(void)state;
	struct world w;

	world_open_small(&w);
	assert_int_equal(ks_ring_verify(&w.ring), KS_OK);
	assert_int_equal(walk_ring(&w.ring), walk_ring(&w.ring));
	world_close(&w);
}

/* ---- what a killed writer leaves ---- */

static void a_key_not_yet_published_is_overwritten(void **state)
{
	struct world *w = *state;
	struct ks_digest digest = digest_of(9999);
	uint64_t slot = ks_ring_home(&w->ring, &digest), found;

	while (atomic_load(&w->ring.keys[slot].state) & KS_KEY_LIVE)
		slot = (slot + 1) % w->geometry.key_slots;
	memset(&w->ring.keys[slot], 0xa5, offsetof(struct ks_ring_key, state));
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	assert_int_equal(put_key(&w->ring, 9999, false), KS_OK);
	assert_non_null(find_key(&w->ring, 9999, &found));
	assert_int_equal(found, slot);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void counts_left_behind_are_mended(void **state)
{
	struct world *w = *state;
	struct ks_ring_header *h = w->ring.header;
	uint64_t revoked = atomic_load(&h->revoked_count);
	struct ks_ring_key_record limited = key_record(7777, ORG_A);

	limited.grant = GRANT_LIMITED;
	assert_int_equal(ks_ring_put_key(&w->ring, &limited), KS_OK);
	atomic_store(&h->key_count, KEYS);
	atomic_store(&h->revoked_count, revoked - 1);
	atomic_store(&h->limiter_count, 0);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	assert_int_equal(atomic_load(&h->key_count), KEYS + 1);
	assert_int_equal(atomic_load(&h->revoked_count), revoked);
	assert_int_equal(atomic_load(&h->limiter_count), 1);
}

static void the_last_records_map_entry_is_mended(void **state)
{
	struct world *w = *state;
	struct ks_ring *r = &w->ring;
	struct {
		_Atomic uint32_t *map;
		uint32_t mask, count;
	} maps[] = {
		{r->tenant_map, r->header->tenant_map_mask, atomic_load(&r->header->tenant_count)},
		{r->user_map, r->header->user_map_mask, atomic_load(&r->header->user_count)},
		{r->grant_map, r->header->grant_map_mask, atomic_load(&r->header->grant_count)},
	};

	for (size_t m = 0; m < KS_ARRAY_LEN(maps); m++) {
		for (uint32_t i = 0; i <= maps[m].mask; i++) {
			if (atomic_load(&maps[m].map[i]) == maps[m].count)
				atomic_store(&maps[m].map[i], 0);
		}
	}
	assert_int_equal(ks_ring_tenant(r, PERSONAL_1), KS_RING_NONE);
	assert_int_equal(ks_ring_verify(r), KS_OK);
	assert_int_not_equal(ks_ring_tenant(r, PERSONAL_1), KS_RING_NONE);
	assert_int_not_equal(ks_ring_user(r, USER_1), KS_RING_NONE);
	assert_int_not_equal(ks_ring_grant(r, GRANT_ADDRESSES), KS_RING_NONE);
}

static void a_suspension_half_spread_is_finished(void **state)
{
	struct world *w = *state;
	struct ks_ring_tenant *partner = &w->ring.tenants[ks_ring_tenant(&w->ring, PARTNER)];

	atomic_store(&partner->flags, KS_TENANT_SUSPENDED);
	atomic_store(&w->ring.tenants[ks_ring_tenant(&w->ring, ORG_B)].flags, KS_TENANT_UNDER_SUSPENDED);
	/* The child was linked nowhere yet. */
	partner->first_child = KS_RING_NONE;
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	assert_int_equal(flags_of_tenant(&w->ring, ORG_A), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(&w->ring, PROJECT_A1), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(&w->ring, PERSONAL_1), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(&w->ring, ORG_B), 0);
	assert_int_equal(put_tenant(&w->ring, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, false), KS_OK);
	assert_int_equal(flags_of_tenant(&w->ring, PROJECT_A1), 0);
}

/* ---- damage ---- */

static struct ks_ring_key *any_live(const struct world *w)
{
	uint64_t slot = 0;

	assert_non_null(find_key(&w->ring, 1, &slot));
	return &w->ring.keys[slot];
}

static void damaged_keys_are_found(void **state)
{
	struct world *w = *state;
	struct ks_ring_key *key = any_live(w), good = *key;
	unsigned char *bytes = (unsigned char *)key;

	for (size_t i = 0; i < offsetof(struct ks_ring_key, state); i++) {
		if (i >= offsetof(struct ks_ring_key, ends_ms) && i < offsetof(struct ks_ring_key, tenant))
			continue;
		for (unsigned bit = 0; bit < 8; bit++) {
			bytes[i] ^= (unsigned char)(1u << bit);
			assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);
			bytes[i] ^= (unsigned char)(1u << bit);
		}
	}
	for (unsigned bit = 3; bit < 32; bit++) {
		atomic_store(&key->state, good.state ^ 1u << bit);
		assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);
	}
	atomic_store(&key->state, good.state);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void a_key_that_cannot_be_reached_is_found(void **state)
{
	struct world *w = *state;
	uint64_t slots = w->geometry.key_slots, slot = 0;
	struct ks_ring_key moved;

	/* A copy in a free slot that no probe from its home leads to. */
	assert_non_null(find_key(&w->ring, 1, &slot));
	moved = w->ring.keys[slot];
	for (slot = (slot + slots / 2) % slots; atomic_load(&w->ring.keys[slot].state) & KS_KEY_LIVE;
	     slot = (slot + 1) % slots)
		continue;
	w->ring.keys[slot] = moved;
	assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);
	memset(&w->ring.keys[slot], 0, sizeof(w->ring.keys[slot]));
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	/* A hole in a run that somebody's probe goes over. */
	for (slot = 0; slot < slots; slot++) {
		const struct ks_ring_key *key = &w->ring.keys[slot];

		if ((atomic_load(&key->state) & KS_KEY_LIVE) && ks_ring_home(&w->ring, &key->digest) != slot)
			break;
	}
	assert_true(slot > 0 && slot < slots);
	memset(&w->ring.keys[slot - 1], 0, sizeof(w->ring.keys[slot - 1]));
	assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);
}

static void a_table_without_a_gap_is_found(void **state)
{
	struct world *w = *state;
	struct ks_ring_key key = *any_live(w);

	for (uint64_t slot = 0; slot < w->geometry.key_slots; slot++)
		w->ring.keys[slot] = key;
	assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);
}

/* Each writes one lie and undoes it. */
#define LIE(place, value)                                                \
	do {                                                             \
		__typeof__(place) lie_saved = (place);                   \
		(place) = (value);                                       \
		assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);  \
		(place) = lie_saved;                                     \
		assert_int_equal(ks_ring_verify(&w->ring), KS_OK);       \
	} while (0)

static void lying_counts_are_found(void **state)
{
	struct world *w = *state;
	struct ks_ring_header *h = w->ring.header;

	LIE(h->tenant_count, w->geometry.tenants + 1);
	LIE(h->tenant_count, h->tenant_count + 1);
	LIE(h->tenant_count, h->tenant_count - 1);
	LIE(h->user_count, UINT32_MAX);
	LIE(h->user_count, 0);
	LIE(h->grant_count, w->geometry.grants + 1);
	LIE(h->grant_count, 1);
	LIE(h->arena_used, w->geometry.arena_bytes + 8);
	LIE(h->arena_used, 0);
	LIE(h->arena_used, 72);
	LIE(h->key_count, KEYS + 1);
	LIE(h->key_count, KEYS - 2);
	LIE(h->revoked_count, 0);
	LIE(h->revoked_count, h->revoked_count + 1);
	LIE(h->policy_at[0], w->geometry.arena_bytes);
	LIE(h->policy_at[0], h->policy_at[0] + 64);
	LIE(h->policy_at[1], UINT64_MAX - 7);
	LIE(h->policy_at[1], 1);
	LIE(w->ring.scopes->count, KS_SCOPES_MAX + 1);
	LIE(w->ring.scopes->names[0][0], ' ');
	LIE(w->ring.scopes->names[0][KS_SCOPE_NAME_MAX], 'x');
}

static void lying_tenants_are_found(void **state)
{
	struct world *w = *state;
	uint32_t index = ks_ring_tenant(&w->ring, SUB_A1);
	struct ks_ring_tenant *t = &w->ring.tenants[index], *org = &w->ring.tenants[ks_ring_tenant(&w->ring, ORG_A)];
	struct ks_ring_tenant *personal = &w->ring.tenants[ks_ring_tenant(&w->ring, PERSONAL_1)];

	LIE(t->id, 0);
	LIE(t->id, ORG_B);
	LIE(t->flags, 8);
	LIE(t->kind, KS_TENANT_KIND_COUNT);
	LIE(t->kind, KS_TENANT_KIND_PERSONAL);
	LIE(t->depth, KS_TENANT_DEPTH_MAX);
	LIE(t->depth, 255);
	LIE(t->depth, t->depth - 1);
	LIE(t->path[t->depth], index + 1);
	LIE(t->path[1], UINT32_MAX);
	LIE(t->path[2], index);
	LIE(t->path[KS_TENANT_DEPTH_MAX - 1], 1);
	LIE(t->organization, 63);
	LIE(t->organization, KS_RING_NONE);
	LIE(t->user, 0);
	LIE(t->slug_at, 64);
	LIE(t->check, t->check + 1);
	LIE(org->slug_len, KS_RING_SLUG_MAX + 1);
	LIE(org->slug_len, org->slug_len + 1);
	LIE(org->slug_at, UINT32_MAX);
	LIE(org->slug_at, 0);
	LIE(w->ring.arena[org->slug_at], 'x');
	LIE(personal->user, w->geometry.users);
	LIE(personal->user, KS_RING_NONE);
}

static void lying_users_are_found(void **state)
{
	struct world *w = *state;
	uint32_t index = ks_ring_user(&w->ring, USER_1);
	struct ks_ring_user *u = &w->ring.users[index];
	struct ks_ring_memberships *list = (void *)(w->ring.arena + (uint64_t)u->memberships_at * 8);

	LIE(u->id, 0);
	LIE(u->id, USER_1 + 1);
	LIE(u->flags, 2);
	LIE(u->personal, w->geometry.tenants);
	LIE(u->personal, 0);
	LIE(u->memberships_at, UINT32_MAX);
	LIE(u->memberships_at, 1);
	LIE(u->memberships_at, (uint32_t)(w->geometry.arena_bytes / 8));
	LIE(list->count, 0);
	LIE(list->count, UINT32_MAX);
	LIE(list->count, list->count + 1);
	LIE(list->items[0].tenant, w->geometry.tenants);
	LIE(list->items[1].role, 77);
	/* A role that nobody named, with a checksum that is right. */
	list->items[1].role = (uint16_t)(atomic_load(&w->ring.roles->count) + 1);
	list->check = ks_ring_memberships_check(&w->ring, list);
	assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);
	list->items[1].role = 3;
	list->check = ks_ring_memberships_check(&w->ring, list);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	/* Out of order, likewise. */
	struct ks_ring_membership first = list->items[0];
	list->items[0] = list->items[1];
	list->items[1] = first;
	list->check = ks_ring_memberships_check(&w->ring, list);
	assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);
}

static void lying_grants_are_found(void **state)
{
	struct world *w = *state;
	struct ks_ring_grant *g = &w->ring.grants[ks_ring_grant(&w->ring, GRANT_ADDRESSES)];
	struct ks_cidr *cidrs = (void *)(w->ring.arena + g->cidrs_at);

	LIE(g->id, 0);
	LIE(g->id, GRANT_PLAIN);
	LIE(g->scopes.bits[0], UINT64_MAX);
	LIE(g->cidr_count, KS_RING_CIDRS_MAX + 1);
	LIE(g->cidr_count, 1);
	LIE(g->cidrs_at, 0);
	LIE(g->cidrs_at, UINT32_MAX - 7);
	LIE(g->cidrs_at, g->cidrs_at + 1);
	LIE(g->rate_requests, 3);
	LIE(cidrs[0].bits, 129);
	LIE(cidrs[0].base.bytes[3], 0);
}

static void lying_maps_are_found(void **state)
{
	struct world *w = *state;
	_Atomic uint32_t *map = w->ring.tenant_map;
	uint32_t i = 0, empty = 0;

	while (atomic_load(&map[i]) != 1)
		i++;
	while (atomic_load(&map[empty]) != 0)
		empty++;
	LIE(map[i], 0);
	LIE(map[i], 2);
	LIE(map[i], w->geometry.tenants + 1);
	LIE(map[i], UINT32_MAX);
	LIE(map[empty], 1);
}

/* Any byte anywhere: it is found, or what is left leads nobody astray. */
static void flipped_bytes_are_found_or_harmless(void **state)
{
	struct world *w = *state;
	unsigned char *copy = copy_of(w);
	const unsigned char *good = w->memory;
	unsigned harmless = 0;
	struct ks_ring ring;

	for (uint64_t i = 0; i < FLIPS; i++) {
		/* Half of them before the keys, where there is more variety. */
		uint64_t range = i % 2 ? w->size : (uint64_t)((unsigned char *)w->ring.keys - good);
		unsigned n = 1 + (unsigned)(split_mix(i) % 4);

		for (unsigned k = 0; k < n; k++)
			copy[split_mix(100000 + 4 * i + k) % range] ^= (unsigned char)(1 + split_mix(i + k) % 255);
		if (ks_ring_attach(copy, w->size, &ring) == KS_OK && ks_ring_verify(&ring) == KS_OK) {
			harmless++;
			assert_int_equal(walk_ring(&ring), walk_ring(&ring));
			(void)put_key(&ring, 5000, false);
			(void)put_tenant(&ring, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, true);
			(void)put_tenant(&ring, 4444, PROJECT_A1, KS_TENANT_KIND_PROJECT, false);
		}
		memcpy(copy, good, w->size);
	}
	assert_in_range(harmless, 1, FLIPS - 1);
	free(copy);
}

/* Whole pages of nothing, as a file system may leave them. A page that held a record is missed. */
static void lost_pages_are_found(void **state)
{
	struct world *w = *state;
	unsigned char *copy = copy_of(w);
	struct ks_ring ring;

	for (uint64_t page = 0; page < w->size / 4096; page++) {
		bool lost;

		memset(copy + page * 4096, 0, 4096);
		lost = !ks_ct_equal(copy + page * 4096, (unsigned char *)w->memory + page * 4096, 4096);
		if (ks_ring_attach(copy, w->size, &ring) == KS_OK)
			assert_int_equal(ks_ring_verify(&ring), lost ? KS_CORRUPT : KS_OK);
		memcpy(copy + page * 4096, (unsigned char *)w->memory + page * 4096, 4096);
	}
	free(copy);
}

#define FILLED(test) cmocka_unit_test_setup_teardown(test, open_filled, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILLED(damaged_keys_are_found),
		FILLED(a_key_that_cannot_be_reached_is_found),
		FILLED(a_table_without_a_gap_is_found),
		FILLED(lying_counts_are_found),
		FILLED(lying_tenants_are_found),
		FILLED(lying_users_are_found),
		FILLED(lying_grants_are_found),
		FILLED(lying_maps_are_found),
		FILLED(flipped_bytes_are_found_or_harmless),
		FILLED(lost_pages_are_found),
		FILLED(a_whole_ring_verifies_and_does_not_change),
		cmocka_unit_test(an_empty_ring_verifies),
		FILLED(a_key_not_yet_published_is_overwritten),
		FILLED(counts_left_behind_are_mended),
		FILLED(the_last_records_map_entry_is_mended),
		FILLED(a_suspension_half_spread_is_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
