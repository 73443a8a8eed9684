/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "walk.h"

#define KEYS 700

/* Everything that a reader can learn of one is in the other. */
static void assert_same(const struct ks_ring *a, const struct ks_ring *b, uint64_t keys)
{
	uint64_t slot = 0;

	for (uint64_t i = 0; i < keys; i++) {
		const struct ks_ring_key *x = find_key(a, i, &slot), *y = find_key(b, i, &slot);

		assert_non_null(x);
		assert_non_null(y);
		assert_int_equal(x->id, y->id);
		assert_int_equal(atomic_load(&x->state), atomic_load(&y->state));
		assert_true(atomic_load(&x->ends_ms) == atomic_load(&y->ends_ms));
		assert_int_equal(a->tenants[x->tenant].id, b->tenants[y->tenant].id);
		assert_int_equal(a->grants[x->grant].id, b->grants[y->grant].id);
	}
	for (uint32_t i = 0; i < atomic_load(&a->header->tenant_count); i++) {
		assert_int_equal(a->tenants[i].id, b->tenants[i].id);
		assert_int_equal(atomic_load(&a->tenants[i].flags), atomic_load(&b->tenants[i].flags));
		assert_true(ks_str_eq(ks_ring_slug(a, i), ks_ring_slug(b, i)));
	}
	for (uint32_t i = 0; i < atomic_load(&a->header->user_count); i++)
		assert_int_equal(walk_user(a, i), walk_user(b, i));
	for (uint32_t i = 0; i < atomic_load(&a->header->grant_count); i++)
		assert_int_equal(walk_grant(a, &a->grants[i]), walk_grant(b, &b->grants[i]));
	assert_int_equal(walk_policies(a), walk_policies(b));
	assert_true(ks_str_eq(ks_scope_name(a->scopes, 0), ks_scope_name(b->scopes, 0)));
	assert_int_equal(atomic_load(&a->header->key_count), atomic_load(&b->header->key_count));
	assert_int_equal(atomic_load(&a->header->revoked_count), atomic_load(&b->header->revoked_count));
	assert_int_equal(atomic_load(&a->header->position), atomic_load(&b->header->position));
	assert_int_equal(atomic_load(&a->header->flags), atomic_load(&b->header->flags));
	assert_true(atomic_load(&a->header->lease_until_ms) == atomic_load(&b->header->lease_until_ms));
}

static struct ks_ring_geometry larger(void)
{
	struct ks_ring_geometry g = small_geometry();

	g.key_slots = 3001;
	g.tenants = 100;
	g.users = 33;
	g.grants = 99;
	return g;
}

static void a_part_too_small_refuses(void **state)
{
	(void)state;
	struct ks_ring_geometry good = larger(), bad[] = {good, good, good, good, good};
	static const struct ks_cidr cidrs[KS_RING_CIDRS_MAX];
	struct ks_ring_stamp stamp = stamp_of(2);
	struct world from, to;
	uint32_t index;

	world_open_small(&from);
	world_fill(&from.ring, KEYS);
	bad[0].key_slots = 800;
	bad[1].tenants = 5;
	bad[2].grants = 2;
	bad[3].arena_bytes = 4096;
	bad[4].users = 1;
	assert_int_equal(ks_ring_put_user(&from.ring, 555, false, NULL, 0), KS_OK);
	for (uint64_t id = 1; id <= 4; id++) {
		struct ks_ring_grant_record record = {.id = id, .cidrs = cidrs, .cidr_count = KS_RING_CIDRS_MAX};

		assert_int_equal(ks_ring_put_grant(&from.ring, &record, &index), KS_OK);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		world_open(&to, &bad[i], &stamp);
		assert_int_equal(ks_ring_copy(&from.ring, &to.ring, 0), KS_FULL);
		world_close(&to);
	}
	world_close(&from);
}

static void damage_is_not_copied(void **state)
{
	(void)state;
	struct ks_ring_geometry g = larger();
	struct ks_ring_stamp stamp = stamp_of(2);
	struct world from, to;
	uint64_t slot = 0;

	world_open_small(&from);
	world_fill(&from.ring, KEYS);
	assert_non_null(find_key(&from.ring, 3, &slot));
	uint32_t *const words[] = {&from.ring.keys[slot].tenant, &from.ring.tenants[1].organization,
				   &from.ring.users[0].check, &from.ring.grants[2].rate_window_s};

	for (size_t i = 0; i < KS_ARRAY_LEN(words); i++) {
		*words[i] ^= 1;
		world_open(&to, &g, &stamp);
		assert_int_equal(ks_ring_copy(&from.ring, &to.ring, 0), KS_CORRUPT);
		world_close(&to);
		*words[i] ^= 1;
	}
	world_close(&from);
}

static void everything_goes_over(const struct ks_ring_stamp *stamp)
{
	struct ks_ring_geometry g = larger();
	struct world from, to;

	world_open_small(&from);
	world_fill(&from.ring, KEYS);
	assert_int_equal(put_tenant(&from.ring, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, true), KS_OK);
	ks_ring_set_foreign(&from.ring);
	ks_ring_set_lease(&from.ring, 999);
	world_open(&to, &g, stamp);
	assert_int_equal(ks_ring_copy(&from.ring, &to.ring, 0), KS_OK);
	assert_same(&from.ring, &to.ring, KEYS);
	assert_int_equal(ks_ring_verify(&to.ring), KS_OK);
	assert_int_equal(atomic_load(&to.ring.header->complete), 0);
	/* It can be gone on with. */
	assert_int_equal(put_tenant(&to.ring, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, false), KS_OK);
	assert_int_equal(flags_of_tenant(&to.ring, PROJECT_A1), 0);
	world_fill(&to.ring, KEYS + 1000);
	assert_int_equal(ks_ring_verify(&to.ring), KS_OK);
	world_close(&from);
	world_close(&to);
}

static void everything_goes_over_with_the_same_seed(void **state)
{
	struct ks_ring_stamp stamp = stamp_of(2);

	(void)state;
	everything_goes_over(&stamp);
}

static void everything_goes_over_with_another_seed(void **state)
{
	struct ks_ring_stamp stamp = stamp_of(2);

	(void)state;
	stamp.slot_seed[0] = 99;
	stamp.slot_seed[1] = 0;
	everything_goes_over(&stamp);
}

static void garbage_stays_behind(void **state)
{
	(void)state;
	struct ks_ring_membership_record list[2] = {{.tenant = ORG_A}, {.tenant = ORG_B}};
	struct ks_ring_stamp stamp = stamp_of(2);
	struct world from, to;
	uint64_t before, after;

	world_open_small(&from);
	world_fill(&from.ring, 1);
	before = atomic_load(&from.ring.header->arena_used);
	for (uint16_t role = 0; role < 1000; role++) {
		list[0].role = (uint16_t)(role % 3 + 1);
		assert_int_equal(ks_ring_put_user(&from.ring, USER_1, false, list, 2), KS_OK);
	}
	assert_true(atomic_load(&from.ring.header->arena_used) > before + 20000);
	world_open(&to, &from.geometry, &stamp);
	assert_int_equal(ks_ring_copy(&from.ring, &to.ring, 0), KS_OK);
	after = atomic_load(&to.ring.header->arena_used);
	assert_true(after <= before + 64);
	assert_same(&from.ring, &to.ring, 1);
	world_close(&from);
	world_close(&to);
}

static void limiters_go_along_and_counts_do_not(void **state)
{
	(void)state;
	struct ks_ring_key_record limited = key_record(900, ORG_A);
	struct ks_ring_geometry g = larger();
	struct ks_ring_stamp stamp = stamp_of(2);
	const struct ks_addr address = {{1}};
	struct ks_usage_item item;
	struct world from, to;
	struct ks_rate rate;
	uint64_t cursor = 0, slot = 0;

	world_open_small(&from);
	world_fill(&from.ring, 10);
	limited.grant = GRANT_LIMITED;
	assert_int_equal(ks_ring_put_key(&from.ring, &limited), KS_OK);
	for (int i = 0; i < 3; i++)
		assert_true(ks_usage_take(&from.usage, limited.id, 5, 10, 1000000, &rate));
	assert_non_null(find_key(&from.ring, 900, &slot));
	ks_usage_count(&from.usage, slot, KS_REASON_OK, 1, 1000000, &address);
	world_open(&to, &g, &stamp);
	assert_int_equal(ks_ring_copy(&from.ring, &to.ring, 0), KS_OK);
	assert_int_equal(atomic_load(&to.ring.header->limiter_count), 1);
	assert_true(ks_usage_take(&to.usage, limited.id, 5, 10, 1000000, &rate));
	assert_int_equal(rate.remaining, 1);
	/* What was taken from the old one meanwhile: the second call brings it. */
	for (int i = 0; i < 2; i++)
		assert_true(ks_usage_take(&from.usage, limited.id, 5, 10, 1000000, &rate));
	ks_usage_move_limiters(&from.usage, &to.usage);
	assert_false(ks_usage_take(&to.usage, limited.id, 5, 10, 1000000, &rate));
	ks_usage_mark_all(&to.usage);
	assert_int_equal(ks_usage_drain(&to.usage, &cursor, &item, 1), 0);
	assert_int_equal(cursor, 0);
	world_close(&from);
	world_close(&to);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_part_too_small_refuses),
		cmocka_unit_test(damage_is_not_copied),
		cmocka_unit_test(everything_goes_over_with_the_same_seed),
		cmocka_unit_test(everything_goes_over_with_another_seed),
		cmocka_unit_test(garbage_stays_behind),
		cmocka_unit_test(limiters_go_along_and_counts_do_not),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
