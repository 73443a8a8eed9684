/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "ring/issuers.h"

static const uint8_t mask[KS_RING_ISSUER_MASK_SIZE] = {1, 2, 3};

/* An issuer "https://<id>.example" with one key and the audiences of `text`, one letter each. */
struct sample {
	char name[64];
	struct ks_str audiences[KS_RING_ISSUER_AUDIENCES_MAX];
	struct ks_ring_issuer_key_record keys[2];
	struct ks_ring_issuer_keys_record record;
};

static void sample_of(struct sample *s, uint64_t id, const char *audiences)
{
	(void)snprintf(s->name, sizeof(s->name), "https://%llu.example", (unsigned long long)id);
	s->keys[0] = (struct ks_ring_issuer_key_record){.kid = KS_STR("k1"), .jwk = KS_STR("{\"kty\":\"OKP\"}"), .mask = mask};
	s->keys[1] = (struct ks_ring_issuer_key_record){.kid = KS_STR("k2"), .jwk = KS_STR("{\"kty\":\"EC\"}")};
	s->record = (struct ks_ring_issuer_keys_record){.id = id,
						   .name = ks_str_c(s->name),
						   .audiences = s->audiences,
						   .keys = s->keys,
						   .key_count = 1};
	for (size_t i = 0; audiences[i]; i++)
		s->audiences[s->record.audience_count++] = ks_str_of(&audiences[i], 1);
}

static void put(struct ks_ring *ring, uint64_t id, const char *audiences)
{
	struct sample s;

	sample_of(&s, id, audiences);
	assert_int_equal(ks_ring_put_issuer_keys(ring, &s.record), KS_OK);
}

static uint64_t found(const struct ks_ring *ring, const char *name, const char *audience)
{
	const struct ks_ring_issuer *issuer = ks_ring_issuer(ring, ks_str_c(name), ks_str_c(audience));

	return issuer ? issuer->id : UINT64_MAX;
}

static void an_issuer_is_found_by_name_and_audience(void **state)
{
	struct world w;
	const struct ks_ring_issuer *issuer;
	const struct ks_ring_issuer_key *key;

	(void)state;
	world_open_small(&w);
	assert_null(ks_ring_issuer(&w.ring, KS_STR("x"), KS_STR("y")));
	assert_null(ks_ring_issuer_by_id(&w.ring, 0));
	put(&w.ring, KS_RING_ISSUER_OWN, "ab");
	put(&w.ring, 7, "a");
	assert_int_equal(found(&w.ring, "https://0.example", "a"), 0);
	assert_int_equal(found(&w.ring, "https://0.example", "b"), 0);
	assert_int_equal(found(&w.ring, "https://7.example", "a"), 7);
	assert_true(found(&w.ring, "https://7.example", "b") == UINT64_MAX);
	assert_true(found(&w.ring, "https://0.exampl", "ea") == UINT64_MAX);
	issuer = ks_ring_issuer_by_id(&w.ring, 0);
	assert_non_null(issuer);
	assert_true(ks_str_eq(ks_ring_issuer_audience(issuer, 1), KS_STR("b")));
	key = ks_ring_issuer_key(issuer, KS_STR("k1"));
	assert_non_null(key);
	assert_true(ks_str_eq(ks_ring_issuer_text(issuer, key->jwk), KS_STR("{\"kty\":\"OKP\"}")));
	assert_memory_equal(key->mask, mask, sizeof(mask));
	assert_null(ks_ring_issuer_key(issuer, KS_STR("k2")));
	assert_int_equal(ks_ring_verify(&w.ring), KS_OK);
	world_close(&w);
}

static void our_own_comes_before_another_of_its_name(void **state)
{
	struct world w;
	struct sample s;

	(void)state;
	world_open_small(&w);
	sample_of(&s, 9, "a");
	s.record.name = KS_STR("https://0.example");
	assert_int_equal(ks_ring_put_issuer_keys(&w.ring, &s.record), KS_OK);
	put(&w.ring, KS_RING_ISSUER_OWN, "a");
	assert_int_equal(found(&w.ring, "https://0.example", "a"), 0);
	ks_ring_drop_issuer_keys(&w.ring, KS_RING_ISSUER_OWN);
	assert_int_equal(found(&w.ring, "https://0.example", "a"), 9);
	world_close(&w);
}

static void a_change_takes_the_place_of_what_was_there(void **state)
{
	struct world w;
	struct sample s;
	uint64_t used;

	(void)state;
	world_open_small(&w);
	put(&w.ring, 5, "ab");
	used = atomic_load(&w.ring.header->arena_used);
	put(&w.ring, 5, "ab");
	assert_true(atomic_load(&w.ring.header->arena_used) == used);
	sample_of(&s, 5, "bc");
	s.record.keys = &s.keys[1];
	assert_int_equal(ks_ring_put_issuer_keys(&w.ring, &s.record), KS_OK);
	assert_true(found(&w.ring, "https://5.example", "a") == UINT64_MAX);
	assert_int_equal(found(&w.ring, "https://5.example", "b"), 5);
	assert_int_equal(found(&w.ring, "https://5.example", "c"), 5);
	assert_null(ks_ring_issuer_key(ks_ring_issuer_by_id(&w.ring, 5), KS_STR("k1")));
	/* Another name: the old one is gone. */
	s.record.name = KS_STR("https://new.example");
	assert_int_equal(ks_ring_put_issuer_keys(&w.ring, &s.record), KS_OK);
	assert_true(found(&w.ring, "https://5.example", "b") == UINT64_MAX);
	assert_int_equal(found(&w.ring, "https://new.example", "b"), 5);
	ks_ring_drop_issuer_keys(&w.ring, 5);
	ks_ring_drop_issuer_keys(&w.ring, 5);
	assert_true(found(&w.ring, "https://new.example", "b") == UINT64_MAX);
	assert_null(ks_ring_issuer_by_id(&w.ring, 5));
	put(&w.ring, 5, "a");
	assert_int_equal(found(&w.ring, "https://5.example", "a"), 5);
	assert_int_equal(ks_ring_verify(&w.ring), KS_OK);
	world_close(&w);
}

static void bad_issuers_are_refused_and_change_nothing(void **state)
{
	static char large[KS_RING_ISSUER_RULES_MAX + 1];
	struct world w;
	struct sample s;

	(void)state;
	world_open_small(&w);
	put(&w.ring, 5, "a");
#define REFUSED(change, err)                                                     \
	sample_of(&s, 5, "ab");                                                  \
	change;                                                                  \
	assert_int_equal(ks_ring_put_issuer_keys(&w.ring, &s.record), (err));         \
	assert_int_equal(found(&w.ring, "https://5.example", "a"), 5);           \
	assert_true(found(&w.ring, "https://5.example", "b") == UINT64_MAX)
	REFUSED(s.record.name = KS_STR(""), KS_MALFORMED);
	REFUSED(s.record.audience_count = 0, KS_MALFORMED);
	REFUSED(s.audiences[1] = s.audiences[0], KS_MALFORMED);
	REFUSED(s.audiences[1] = KS_STR(""), KS_MALFORMED);
	REFUSED(s.audiences[1] = ks_str_of(large, KS_RING_ISSUER_NAME_MAX + 1), KS_TOO_LARGE);
	REFUSED(s.keys[0].kid = KS_STR(""), KS_MALFORMED);
	REFUSED(s.keys[0].jwk = ks_str_of(large, KS_RING_ISSUER_JWK_MAX + 1), KS_TOO_LARGE);
	REFUSED((s.keys[1].kid = s.keys[0].kid, s.record.key_count = 2), KS_MALFORMED);
	REFUSED(s.record.key_count = KS_RING_ISSUER_KEYS_MAX + 1, KS_TOO_LARGE);
	REFUSED(s.record.rules = ks_str_of(large, sizeof(large)), KS_TOO_LARGE);
#undef REFUSED
	world_close(&w);
}

/* A full arena refuses, and the larger generation has everything. */
static void growth_takes_issuers_along(void **state)
{
	struct ks_ring_geometry geometry = small_geometry();
	struct ks_ring_stamp stamp = stamp_of(2);
	struct world w, larger;
	struct sample s;
	enum ks_err err = KS_OK;
	uint64_t count = 0;
	char name[64];

	(void)state;
	world_open_small(&w);
	put(&w.ring, KS_RING_ISSUER_OWN, "ab");
	put(&w.ring, 1, "c");
	ks_ring_drop_issuer_keys(&w.ring, 1);
	for (count = 2; err == KS_OK; count++) {
		sample_of(&s, count, "ab");
		err = ks_ring_put_issuer_keys(&w.ring, &s.record);
	}
	assert_int_equal(err, KS_FULL);
	assert_true(count > 200);
	assert_int_equal(ks_ring_verify(&w.ring), KS_OK);
	geometry.arena_bytes *= 2;
	stamp.slot_seed[0] = 99;
	world_open(&larger, &geometry, &stamp);
	assert_int_equal(ks_ring_copy(&w.ring, &larger.ring, 0), KS_OK);
	assert_int_equal(ks_ring_verify(&larger.ring), KS_OK);
	for (uint64_t id = 2; id < count - 1; id++) {
		(void)snprintf(name, sizeof(name), "https://%llu.example", (unsigned long long)id);
		assert_true(found(&larger.ring, name, "b") == id);
	}
	assert_true(found(&larger.ring, "https://1.example", "c") == UINT64_MAX);
	assert_memory_equal(ks_ring_issuer_keys(ks_ring_issuer_by_id(&larger.ring, 0))->mask, mask, sizeof(mask));
	world_close(&larger);
	world_close(&w);
}

/* Every byte of what is there, changed one by one: found, or without effect on where readers are led. */
static void damage_is_found(void **state)
{
	struct world w;
	uint64_t from, to, unnoticed = 0;

	(void)state;
	world_open_small(&w);
	put(&w.ring, KS_RING_ISSUER_OWN, "a");
	put(&w.ring, 5, "ab");
	from = atomic_load(&w.ring.header->issuers_at) + 8 + KS_RING_ISSUER_BUCKETS * 4;
	to = atomic_load(&w.ring.header->arena_used);
	for (uint64_t at = from; at < to; at++) {
		w.ring.arena[at] ^= 0x41;
		unnoticed += ks_ring_verify(&w.ring) == KS_OK;
		w.ring.arena[at] ^= 0x41;
	}
	/* Padding behind a record's last text. */
	assert_true(unnoticed < 16);
	atomic_store(&w.ring.header->issuers_at, to);
	assert_int_equal(ks_ring_verify(&w.ring), KS_CORRUPT);
	atomic_store(&w.ring.header->issuers_at, 12);
	assert_int_equal(ks_ring_verify(&w.ring), KS_CORRUPT);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_issuer_is_found_by_name_and_audience),
		cmocka_unit_test(our_own_comes_before_another_of_its_name),
		cmocka_unit_test(a_change_takes_the_place_of_what_was_there),
		cmocka_unit_test(bad_issuers_are_refused_and_change_nothing),
		cmocka_unit_test(growth_takes_issuers_along),
		cmocka_unit_test(damage_is_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
