/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

static void geometries_out_of_bounds_have_no_size(void **state)
{
	(void)state;
	const struct ks_ring_geometry good = small_geometry();
	struct ks_ring_geometry bad[] = {good, good, good, good, good, good, good, good, good, good, good, good, good};

	bad[0].key_slots = KS_RING_KEY_SLOTS_MIN - 1;
	bad[1].key_slots = KS_RING_KEY_SLOTS_MAX + 1;
	bad[2].tenants = 0;
	bad[3].tenants = KS_RING_RECORDS_MAX + 1;
	bad[4].users = 0;
	bad[5].users = UINT32_MAX;
	bad[6].grants = 0;
	bad[7].grants = KS_RING_RECORDS_MAX + 1;
	bad[8].limiters = KS_RING_LIMITERS_MIN - 1;
	bad[9].limiters = UINT32_MAX;
	bad[10].arena_bytes = KS_RING_ARENA_MIN - 64;
	bad[11].arena_bytes = KS_RING_ARENA_MAX + 64;
	bad[12].arena_bytes += 8;
	assert_true(ks_ring_size(&good) > 0);
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		assert_int_equal(ks_ring_size(&bad[i]), 0);
		assert_int_equal(ks_usage_size(&bad[i]), 0);
	}
}

static void bounds_themselves_have_a_size(void **state)
{
	(void)state;
	const struct ks_ring_geometry least = {KS_RING_KEY_SLOTS_MIN, 1, 1, 1, KS_RING_LIMITERS_MIN, KS_RING_ARENA_MIN};
	const struct ks_ring_geometry most = {KS_RING_KEY_SLOTS_MAX, KS_RING_RECORDS_MAX,  KS_RING_RECORDS_MAX,
					      KS_RING_RECORDS_MAX,   KS_RING_LIMITERS_MAX, KS_RING_ARENA_MAX};

	assert_true(ks_ring_size(&least) >= 4096 + sizeof(struct ks_scope_table) + KS_RING_ARENA_MIN + 64 * 64);
	assert_true(ks_ring_size(&most) > KS_RING_KEY_SLOTS_MAX * 64);
	assert_true(ks_usage_size(&most) > KS_RING_KEY_SLOTS_MAX * 32);
}

static void parts_do_not_overlap(void **state)
{
	(void)state;
	struct ks_ring_geometry g = small_geometry();

	for (uint64_t i = 0; i < 200; i++) {
		struct ks_ring_layout l;

		g.key_slots = 64 + split_mix(i) % 5000;
		g.tenants = 1 + (uint32_t)(split_mix(i + 1000) % 700);
		g.users = 1 + (uint32_t)(split_mix(i + 2000) % 700);
		g.grants = 1 + (uint32_t)(split_mix(i + 3000) % 700);
		g.arena_bytes = 4096 + split_mix(i + 4000) % 1000 * 64;
		assert_true(ks_ring_layout_of(&g, &l));
		assert_true(l.scopes_at >= 4096);
		assert_true(l.arena_at >= l.scopes_at + sizeof(struct ks_scope_table));
		assert_true(l.tenants_at >= l.arena_at + g.arena_bytes);
		assert_true(l.tenant_map_at >= l.tenants_at + g.tenants * sizeof(struct ks_ring_tenant));
		assert_true(l.tenant_map_mask + 1 >= 2 * g.tenants
			    && ((l.tenant_map_mask + 1) & l.tenant_map_mask) == 0);
		assert_true(l.users_at >= l.tenant_map_at + (l.tenant_map_mask + 1) * sizeof(uint32_t));
		assert_true(l.user_map_at >= l.users_at + g.users * sizeof(struct ks_ring_user));
		assert_true(l.user_map_mask + 1 >= 2 * g.users);
		assert_true(l.grants_at >= l.user_map_at + (l.user_map_mask + 1) * sizeof(uint32_t));
		assert_true(l.grant_map_at >= l.grants_at + g.grants * sizeof(struct ks_ring_grant));
		assert_true(l.grant_map_mask + 1 >= 2 * g.grants);
		assert_true(l.keys_at >= l.grant_map_at + (l.grant_map_mask + 1) * sizeof(uint32_t)
			    && l.keys_at % 4096 == 0);
		assert_true(l.total >= l.keys_at + g.key_slots * sizeof(struct ks_ring_key) && l.total % 4096 == 0);
	}
}

static void format_refuses_what_does_not_fit(void **state)
{
	(void)state;
	struct ks_ring_geometry g = small_geometry(), bad = g;
	struct ks_ring_stamp stamp = stamp_of(1);
	uint64_t size = ks_ring_size(&g);
	char long_domain[KS_RING_DOMAIN_MAX + 1];
	unsigned char *memory = world_map(size);
	struct ks_ring ring = {0};

	bad.tenants = 0;
	assert_int_equal(ks_ring_format(memory, size - 1, &g, &stamp, &ring), KS_TOO_LARGE);
	assert_int_equal(ks_ring_format(memory, size, &bad, &stamp, &ring), KS_TOO_LARGE);
	memset(long_domain, 'a', sizeof(long_domain));
	stamp.domain = ks_str_of(long_domain, sizeof(long_domain));
	assert_int_equal(ks_ring_format(memory, size, &g, &stamp, &ring), KS_MALFORMED);
	stamp.domain = KS_STR("ex ample.com");
	assert_int_equal(ks_ring_format(memory, size, &g, &stamp, &ring), KS_MALFORMED);
	assert_null(ring.header);
	for (uint64_t i = 0; i < size; i++)
		assert_int_equal(memory[i], 0);
	stamp.domain = ks_str_of(long_domain, KS_RING_DOMAIN_MAX);
	assert_int_equal(ks_ring_format(memory, size, &g, &stamp, &ring), KS_OK);
	assert_int_equal(strlen(ring.header->domain), KS_RING_DOMAIN_MAX);
	munmap(memory, size);
}

static void attach_gives_what_format_gave(void **state)
{
	(void)state;
	struct ks_ring ring;
	struct world w;

	world_open_small(&w);
	assert_int_equal(ks_ring_attach(w.memory, w.size, &ring), KS_OK);
	assert_ptr_equal(ring.keys, w.ring.keys);
	assert_ptr_equal(ring.grant_map, w.ring.grant_map);
	assert_null(ring.usage);
	assert_string_equal(ring.header->domain, "example.com");
	assert_int_equal(atomic_load(&ring.header->complete), 0);
	assert_true(atomic_load(&ring.header->lease_until_ms) == INT64_MAX);
	assert_int_equal(ks_ring_attach(w.memory, w.size + 4096 * 3, &ring), KS_OK);
	world_close(&w);
}

static void attach_refuses_every_changed_byte_of_the_header(void **state)
{
	(void)state;
	struct ks_ring ring = {0};
	struct world w;
	unsigned char *bytes;

	world_open_small(&w);
	bytes = w.memory;
	for (size_t i = 0; i < offsetof(struct ks_ring_header, header_crc) + sizeof(uint32_t); i++) {
		enum ks_err err;

		bytes[i] ^= 0x11;
		err = ks_ring_attach(w.memory, w.size, &ring);
		assert_true(err == KS_CORRUPT || err == KS_VERSION);
		assert_true((err == KS_VERSION) == (i >= 8 && i < 12));
		bytes[i] ^= 0x11;
	}
	assert_null(ring.header);
	assert_int_equal(ks_ring_attach(w.memory, w.size, &ring), KS_OK);
	world_close(&w);
}

static void attach_refuses_short_files_and_lying_headers(void **state)
{
	(void)state;
	struct ks_ring_header *h;
	struct ks_ring ring = {0};
	struct world w;

	world_open_small(&w);
	h = w.ring.header;
	assert_int_equal(ks_ring_attach(w.memory, 0, &ring), KS_CORRUPT);
	assert_int_equal(ks_ring_attach(w.memory, 4095, &ring), KS_CORRUPT);
	assert_int_equal(ks_ring_attach(w.memory, w.size - 1, &ring), KS_CORRUPT);
	/* With a checksum that is right for the lie. */
	h->keys_at += 64;
	h->header_crc = ks_ring_header_crc(h);
	assert_int_equal(ks_ring_attach(w.memory, w.size, &ring), KS_CORRUPT);
	h->keys_at -= 64;
	h->geometry.key_slots = UINT64_C(1) << 60;
	h->header_crc = ks_ring_header_crc(h);
	assert_int_equal(ks_ring_attach(w.memory, w.size, &ring), KS_CORRUPT);
	h->geometry.key_slots = w.geometry.key_slots + 64;
	h->header_crc = ks_ring_header_crc(h);
	assert_int_equal(ks_ring_attach(w.memory, w.size, &ring), KS_CORRUPT);
	h->geometry.key_slots = w.geometry.key_slots;
	memset(h->domain, 'x', sizeof(h->domain));
	h->header_crc = ks_ring_header_crc(h);
	assert_int_equal(ks_ring_attach(w.memory, w.size, &ring), KS_CORRUPT);
	assert_null(ring.header);
	world_close(&w);
}

static void plan_keeps_within_150_bytes_a_key(void **state)
{
	(void)state;
	struct ks_ring_geometry g = ks_ring_plan(10000000, 100000, 0, 1000, 0, 4u << 20);
	uint64_t total = ks_ring_size(&g) + ks_usage_size(&g);

	assert_true(total <= UINT64_C(150) * 10000000);
	assert_true(KS_RING_KEYS_MAX(g.key_slots) > 11000000);
	assert_true(g.tenants > 100000 && g.limiters >= 64);
}

static void plan_of_nothing_is_small(void **state)
{
	(void)state;
	struct ks_ring_geometry g = ks_ring_plan(0, 0, 0, 0, 0, 0);

	assert_true(ks_ring_size(&g) > 0);
	assert_true(ks_ring_size(&g) + ks_usage_size(&g) <= 4u << 20);
}

static void plan_is_always_within_bounds_and_sufficient(void **state)
{
	(void)state;
	const uint64_t keys[] = {1, 5000, 8192, 8193, 100000, UINT64_C(1) << 31, UINT64_MAX};
	const uint32_t records[] = {0, 1, 1000, KS_RING_RECORDS_MAX, UINT32_MAX};

	for (size_t i = 0; i < KS_ARRAY_LEN(keys); i++) {
		for (size_t j = 0; j < KS_ARRAY_LEN(records); j++) {
			struct ks_ring_geometry g =
				ks_ring_plan(keys[i], records[j], records[j], records[j], records[j],
					     keys[i] == UINT64_MAX ? UINT64_MAX : keys[i] * 2);

			assert_true(ks_ring_size(&g) > 0);
			if (keys[i] < UINT64_C(1) << 31)
				assert_true(KS_RING_KEYS_MAX(g.key_slots) >= keys[i]);
			if (records[j] <= 1000)
				assert_true(g.tenants > records[j] && g.users > records[j] && g.grants > records[j]
					    && g.limiters / 2 > records[j]);
		}
	}
}

static void growth_enlarges_what_is_short_and_nothing_else(void **state)
{
	(void)state;
	struct ks_ring_geometry g, same;
	struct world w;

	world_open_small(&w);
	same = ks_ring_plan_growth(&w.ring, 0, 0, 0);
	assert_int_equal(same.key_slots, w.geometry.key_slots);
	assert_int_equal(same.tenants, w.geometry.tenants);
	assert_int_equal(same.arena_bytes, w.geometry.arena_bytes);
	assert_false(ks_ring_wants_growth(&w.ring, 0));
	assert_false(ks_ring_wants_growth(&w.ring, 800));
	assert_true(ks_ring_wants_growth(&w.ring, 801));
	g = ks_ring_plan_growth(&w.ring, 100000, 0, 0);
	assert_true(KS_RING_KEYS_MAX(g.key_slots) > 100000);
	assert_int_equal(g.tenants, w.geometry.tenants);
	g = ks_ring_plan_growth(&w.ring, 0, 10u << 20, 0);
	assert_true(g.arena_bytes > 10u << 20);
	assert_int_equal(g.key_slots, w.geometry.key_slots);
	atomic_store(&w.ring.header->tenant_count, 60);
	assert_true(ks_ring_wants_growth(&w.ring, 0));
	g = ks_ring_plan_growth(&w.ring, 0, 0, 0);
	assert_true(g.tenants > w.geometry.tenants);
	assert_int_equal(g.users, w.geometry.users);
	world_close(&w);
}

/* Whatever said KS_FULL is larger afterwards, full by count or not. */
static void growth_heeds_refusals(void **state)
{
	(void)state;
	struct ks_ring_geometry g;
	struct world w;

	world_open_small(&w);
	assert_int_equal(ks_ring_refuse(&w.ring, KS_RING_PART_KEYS), KS_FULL);
	assert_true(ks_ring_wants_growth(&w.ring, 0));
	g = ks_ring_plan_growth(&w.ring, 0, 0, 0);
	assert_true(g.key_slots >= w.geometry.key_slots * 3 / 2);
	assert_int_equal(g.limiters, w.geometry.limiters);
	assert_int_equal(ks_ring_refuse(&w.ring, KS_RING_PART_LIMITERS), KS_FULL);
	g = ks_ring_plan_growth(&w.ring, 0, 0, 0);
	assert_true(g.limiters > w.geometry.limiters);
	assert_true(ks_ring_size(&g) > 0);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(geometries_out_of_bounds_have_no_size),
		cmocka_unit_test(bounds_themselves_have_a_size),
		cmocka_unit_test(parts_do_not_overlap),
		cmocka_unit_test(format_refuses_what_does_not_fit),
		cmocka_unit_test(attach_gives_what_format_gave),
		cmocka_unit_test(attach_refuses_every_changed_byte_of_the_header),
		cmocka_unit_test(attach_refuses_short_files_and_lying_headers),
		cmocka_unit_test(plan_keeps_within_150_bytes_a_key),
		cmocka_unit_test(plan_of_nothing_is_small),
		cmocka_unit_test(plan_is_always_within_bounds_and_sufficient),
		cmocka_unit_test(growth_enlarges_what_is_short_and_nothing_else),
		cmocka_unit_test(growth_heeds_refusals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
