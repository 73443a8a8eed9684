/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "walk.h"

#define NOW INT64_C(1790000000000)
#define DAY_MS INT64_C(86400000)
#define FIRST 5000  /* number of the first session; its digest and id follow from it */

static int open_filled(void **state)
{
	static struct world w;

	world_open_small(&w);
	world_fill(&w.ring, 20);
	*state = &w;
	return 0;
}

static int close_world(void **state)
{
	world_close(*state);
	return 0;
}

static enum ks_err put_session(struct ks_ring *ring, uint64_t n, int64_t ends_ms, bool ended)
{
	return ks_ring_put_session(ring, &(struct ks_ring_session_record){
						 .digest = digest_of(n), .id = n, .user = USER_1, .ends_ms = ends_ms,
						 .ended = ended});
}

static uint32_t state_of_issuer(const struct ks_ring *ring, uint64_t id)
{
	const struct ks_ring_key *key;
	struct ks_digest digest;
	uint64_t slot;

	assert_int_equal(ks_ring_issuer_digest(id, &digest), KS_OK);
	key = ks_ring_key(ring, &digest, ks_ring_home(ring, &digest), &slot);
	return key ? atomic_load(&key->state) : 0;
}

static uint64_t sessions(const struct ks_ring *ring)
{
	return atomic_load(&ring->header->session_count);
}

static void a_session_is_a_slot_of_its_user(void **state)
{
	struct world *w = *state;
	uint64_t slot = 0, keys = atomic_load(&w->ring.header->key_count);
	uint64_t revoked = atomic_load(&w->ring.header->revoked_count);
	const struct ks_ring_key *key;
	uint32_t word;

	assert_int_equal(put_session(&w->ring, FIRST, NOW + 5, false), KS_OK);
	key = find_key(&w->ring, FIRST, &slot);
	assert_non_null(key);
	word = atomic_load(&key->state);
	assert_int_equal(word & KS_KEY_STATE_BITS, KS_KEY_LIVE);
	assert_int_equal(KS_KEY_KIND(word), KS_KIND_SESSION);
	assert_int_equal(KS_KEY_BINDING(word), KS_BINDING_USER);
	assert_int_equal(KS_KEY_ENVIRONMENT(word), KS_ENVIRONMENT_LIVE);
	assert_int_equal(key->id, FIRST);
	assert_true(atomic_load(&key->ends_ms) == NOW + 5);
	assert_int_equal(w->ring.tenants[key->tenant].id, PERSONAL_1);
	assert_int_equal(w->ring.users[key->grant].id, USER_1);
	assert_int_equal(atomic_load(&w->ring.header->key_count), keys + 1);
	assert_int_equal(sessions(&w->ring), 1);
	assert_int_equal(atomic_load(&w->ring.header->revoked_count), revoked);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void bad_sessions_are_refused_and_change_nothing(void **state)
{
	struct world *w = *state;
	struct ks_ring_session_record record = {.digest = digest_of(FIRST), .id = FIRST, .user = USER_1};
	struct ks_ring_key_record key = key_record(FIRST, ORG_A);

	record.user = USER_1 + 1;
	assert_int_equal(ks_ring_put_session(&w->ring, &record), KS_NOT_FOUND);
	/* A user without a personal tenant. */
	assert_int_equal(ks_ring_put_user(&w->ring, USER_1 + 1, false, NULL, 0), KS_OK);
	assert_int_equal(ks_ring_put_session(&w->ring, &record), KS_NOT_FOUND);
	record.user = USER_1;
	record.id = 0;
	assert_int_equal(ks_ring_put_session(&w->ring, &record), KS_MALFORMED);
	record.id = FIRST;
	/* The digest is a key's. */
	record.digest = digest_of(3);
	assert_int_equal(ks_ring_put_session(&w->ring, &record), KS_CONFLICT);
	key.kind = KS_KIND_SESSION;
	assert_int_equal(ks_ring_put_key(&w->ring, &key), KS_MALFORMED);
	assert_int_equal(sessions(&w->ring), 0);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void a_session_only_ends(void **state)
{
	struct world *w = *state;
	uint64_t slot = 0, revoked = atomic_load(&w->ring.header->revoked_count);

	assert_int_equal(put_session(&w->ring, FIRST, NOW, false), KS_OK);
	assert_int_equal(put_session(&w->ring, FIRST, NOW + 1, false), KS_OK);
	assert_true(atomic_load(&find_key(&w->ring, FIRST, &slot)->ends_ms) == NOW);
	assert_int_equal(put_session(&w->ring, FIRST, NOW - 1, false), KS_OK);
	assert_true(atomic_load(&find_key(&w->ring, FIRST, &slot)->ends_ms) == NOW - 1);
	assert_int_equal(put_session(&w->ring, FIRST, NOW, true), KS_OK);
	assert_true(state_of(&w->ring, FIRST) & KS_KEY_REVOKED);
	assert_int_equal(put_session(&w->ring, FIRST, NOW, false), KS_OK);
	assert_true(state_of(&w->ring, FIRST) & KS_KEY_REVOKED);
	assert_int_equal(sessions(&w->ring), 1);
	/* What is counted as revoked is keys. */
	assert_int_equal(atomic_load(&w->ring.header->revoked_count), revoked);
}

static void an_ended_session_that_is_not_there_takes_no_place(void **state)
{
	struct world *w = *state;
	uint64_t keys = atomic_load(&w->ring.header->key_count);

	assert_int_equal(put_session(&w->ring, FIRST, NOW, true), KS_OK);
	assert_int_equal(state_of(&w->ring, FIRST), 0);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, ORG_A, true}), KS_OK);
	assert_int_equal(atomic_load(&w->ring.header->key_count), keys);
}

static void issuers_stand_for_an_organization(void **state)
{
	struct world *w = *state;
	uint32_t word;

	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, 999, false}), KS_NOT_FOUND);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, SUB_A1, false}), KS_MALFORMED);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){0, ORG_A, false}), KS_MALFORMED);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, ORG_A, false}), KS_OK);
	word = state_of_issuer(&w->ring, 7);
	assert_int_equal(KS_KEY_KIND(word), KS_KIND_SESSION);
	assert_int_equal(KS_KEY_BINDING(word), KS_BINDING_ORGANIZATION);
	assert_int_equal(state_of_issuer(&w->ring, 8), 0);
	/* It belongs to one organization for good. */
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, ORG_B, false}), KS_CONFLICT);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, ORG_A, true}), KS_OK);
	assert_true(state_of_issuer(&w->ring, 7) & KS_KEY_REVOKED);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	assert_true(walk_ring(&w->ring) > 0);
}

static void a_copy_leaves_out_what_is_over(void **state)
{
	struct world *w = *state, larger;
	struct ks_ring_geometry geometry = ks_ring_plan_growth(&w->ring, 1000, 0, NOW);
	struct ks_ring_stamp stamp = stamp_of(2);

	assert_int_equal(put_session(&w->ring, FIRST, NOW + DAY_MS, false), KS_OK);
	assert_int_equal(put_session(&w->ring, FIRST + 1, NOW - DAY_MS, false), KS_OK);
	assert_int_equal(put_session(&w->ring, FIRST + 2, NOW - DAY_MS - 1, false), KS_OK);
	assert_int_equal(put_session(&w->ring, FIRST + 3, INT64_MAX, false), KS_OK);
	assert_int_equal(put_session(&w->ring, FIRST + 4, NOW + DAY_MS, false), KS_OK);
	assert_int_equal(put_session(&w->ring, FIRST + 4, NOW + DAY_MS, true), KS_OK);
	assert_int_equal(put_session(&w->ring, FIRST + 5, INT64_MIN, false), KS_OK);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, ORG_A, false}), KS_OK);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){8, ORG_A, false}), KS_OK);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){8, ORG_A, true}), KS_OK);
	world_open(&larger, &geometry, &stamp);
	assert_int_equal(ks_ring_copy(&w->ring, &larger.ring, NOW), KS_OK);
	assert_int_not_equal(state_of(&larger.ring, FIRST), 0);
	assert_int_not_equal(state_of(&larger.ring, FIRST + 1), 0);
	assert_int_equal(state_of(&larger.ring, FIRST + 2), 0);
	assert_int_not_equal(state_of(&larger.ring, FIRST + 3), 0);
	assert_int_equal(state_of(&larger.ring, FIRST + 4), 0);
	assert_int_equal(state_of(&larger.ring, FIRST + 5), 0);
	assert_int_not_equal(state_of_issuer(&larger.ring, 7), 0);
	assert_int_equal(state_of_issuer(&larger.ring, 8), 0);
	assert_int_equal(sessions(&larger.ring), 4);
	/* Keys stay, revoked ones too: their digests are never to be used again. */
	for (uint64_t i = 0; i < 20; i++)
		assert_int_equal(state_of(&larger.ring, i), state_of(&w->ring, i));
	assert_int_equal(atomic_load(&larger.ring.header->revoked_count), atomic_load(&w->ring.header->revoked_count));
	assert_int_equal(ks_ring_verify(&larger.ring), KS_OK);
	world_close(&larger);
}

static void room_is_made_of_what_is_over(void **state)
{
	struct world *w = *state;
	struct ks_ring_geometry grown;
	uint64_t n = FIRST;

	while (put_session(&w->ring, n, NOW, false) == KS_OK)
		n++;
	/* At the time of their end all still count. */
	grown = ks_ring_plan_growth(&w->ring, 1, 0, NOW);
	assert_true(grown.key_slots > w->geometry.key_slots);
	grown = ks_ring_plan_growth(&w->ring, 1, 0, NOW + DAY_MS + 1);
	assert_int_equal(grown.key_slots, w->geometry.key_slots);
	/* A few that are over make no room worth a copy. */
	for (uint64_t i = FIRST; i < n - 20; i++)
		assert_int_equal(put_session(&w->ring, i, NOW, i < FIRST + 100), KS_OK);
	grown = ks_ring_plan_growth(&w->ring, 1, 0, NOW);
	assert_true(grown.key_slots > w->geometry.key_slots);
}

#define LIE(place, value)                                                        \
	do {                                                                     \
		__auto_type lie_saved = (place);                                 \
		(place) = (value);                                               \
		key->check = ks_ring_key_check(w->ring.header, key, atomic_load(&key->state) & KS_KEY_TRAITS_MASK); \
		assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);          \
		(place) = lie_saved;                                             \
		key->check = ks_ring_key_check(w->ring.header, key, atomic_load(&key->state) & KS_KEY_TRAITS_MASK); \
		assert_int_equal(ks_ring_verify(&w->ring), KS_OK);               \
	} while (0)

static void lying_sessions_are_found(void **state)
{
	struct world *w = *state;
	struct ks_ring_key *key;
	struct ks_digest digest;
	uint64_t slot = 0;

	assert_int_equal(put_session(&w->ring, FIRST, NOW, false), KS_OK);
	(void)find_key(&w->ring, FIRST, &slot);
	key = &w->ring.keys[slot];
	LIE(key->grant, w->geometry.users);
	LIE(key->grant, key->grant + 1);
	LIE(key->grant, KS_RING_NONE);
	LIE(key->tenant, ks_ring_tenant(&w->ring, ORG_A));
	LIE(key->tenant, w->geometry.tenants);
	LIE(key->state, KS_KEY_LIVE | KS_KEY_TRAITS(KS_KIND_SESSION, KS_BINDING_OPERATOR, KS_ENVIRONMENT_LIVE));
	LIE(key->state, KS_KEY_LIVE | KS_KEY_TRAITS(KS_KIND_SESSION, KS_BINDING_ORGANIZATION, KS_ENVIRONMENT_LIVE));
	LIE(w->ring.header->session_count, 3);
	assert_int_equal(ks_ring_put_issuer(&w->ring, &(struct ks_ring_issuer_record){7, ORG_A, false}), KS_OK);
	assert_int_equal(ks_ring_issuer_digest(7, &digest), KS_OK);
	assert_non_null(ks_ring_key(&w->ring, &digest, ks_ring_home(&w->ring, &digest), &slot));
	key = &w->ring.keys[slot];
	LIE(key->grant, 1);
	LIE(key->tenant, ks_ring_tenant(&w->ring, SUB_A1));
	LIE(key->state, KS_KEY_LIVE | KS_KEY_TRAITS(KS_KIND_SESSION, KS_BINDING_USER, KS_ENVIRONMENT_LIVE));
}

#define FILLED(test) cmocka_unit_test_setup_teardown(test, open_filled, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILLED(a_session_is_a_slot_of_its_user),
		FILLED(bad_sessions_are_refused_and_change_nothing),
		FILLED(a_session_only_ends),
		FILLED(an_ended_session_that_is_not_there_takes_no_place),
		FILLED(issuers_stand_for_an_organization),
		FILLED(a_copy_leaves_out_what_is_over),
		FILLED(room_is_made_of_what_is_over),
		FILLED(lying_sessions_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
