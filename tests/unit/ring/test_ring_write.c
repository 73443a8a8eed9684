/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"

static int open_world(void **state)
{
	static struct world w;

	world_open_small(&w);
	*state = &w;
	return 0;
}

static int open_filled(void **state)
{
	struct world *w;

	(void)open_world(state);
	w = *state;
	world_fill(&w->ring, 20);
	return 0;
}

static int close_world(void **state)
{
	world_close(*state);
	return 0;
}

static unsigned char *snapshot(const struct world *w)
{
	unsigned char *copy = malloc(w->size);

	assert_non_null(copy);
	memcpy(copy, w->memory, w->size);
	return copy;
}

/* Nothing has changed since the snapshot, which is freed. `but` (may be NULL): a word that may have. */
static void assert_unchanged(const struct world *w, unsigned char *before, const void *but, size_t but_n)
{
	const unsigned char *now = w->memory;

	for (uint64_t i = 0; i < w->size; i++) {
		if (now[i] != before[i]
		    && !(but && &now[i] >= (const unsigned char *)but
			 && &now[i] < (const unsigned char *)but + but_n))
			fail_msg("byte %llu changed", (unsigned long long)i);
	}
	free(before);
}

/* ---- tenants ---- */

static void bad_tenants_are_refused_and_change_nothing(void **state)
{
	struct world *w = *state;
	char slug[KS_RING_SLUG_MAX + 1];
	const struct ks_ring_tenant_record good = tenant_record(900, ORG_A, KS_TENANT_KIND_SUB_ENTITY);
	struct ks_ring_tenant_record bad[10];
	const enum ks_err want[] = {KS_MALFORMED, KS_MALFORMED, KS_MALFORMED, KS_MALFORMED, KS_MALFORMED,
				    KS_NOT_FOUND, KS_NOT_FOUND, KS_TOO_LARGE, KS_CONFLICT,  KS_CONFLICT};
	unsigned char *before = snapshot(w);

	memset(slug, 'a', sizeof(slug));
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		bad[i] = good;
	bad[0].id = 0;
	bad[1].parent = 0;
	bad[2].kind = KS_TENANT_KIND_OPERATOR;
	bad[3].kind = (enum ks_tenant_kind)KS_TENANT_KIND_COUNT;
	bad[4].user = USER_1;
	bad[5].parent = 901;
	bad[6].kind = KS_TENANT_KIND_PERSONAL;
	bad[6].user = 901;
	bad[7].slug = ks_str_of(slug, sizeof(slug));
	bad[8].id = SUB_A1;
	bad[8].parent = ORG_B;
	bad[9].id = ORG_B;
	bad[9].parent = OPERATOR;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_int_equal(ks_ring_put_tenant(&w->ring, &bad[i]), want[i]);
	assert_unchanged(w, before, NULL, 0);
}

static void tenants_nest_to_the_bound_and_no_deeper(void **state)
{
	struct world *w = *state;
	uint64_t parent = SUB_A1;

	/* ORG_A is at depth 2, SUB_A1 at 3. */
	for (uint64_t depth = 4; depth < KS_TENANT_DEPTH_MAX; depth++) {
		assert_int_equal(put_tenant(&w->ring, 500 + depth, parent, KS_TENANT_KIND_SUB_ENTITY, false), KS_OK);
		parent = 500 + depth;
	}
	assert_int_equal(put_tenant(&w->ring, 600, parent, KS_TENANT_KIND_PROJECT, false), KS_TOO_LARGE);
	assert_true(ks_ring_is_within(&w->ring, ks_ring_tenant(&w->ring, parent), ks_ring_tenant(&w->ring, OPERATOR)));
	assert_true(ks_ring_is_within(&w->ring, ks_ring_tenant(&w->ring, parent), ks_ring_tenant(&w->ring, SUB_A1)));
	assert_false(ks_ring_is_within(&w->ring, ks_ring_tenant(&w->ring, SUB_A1), ks_ring_tenant(&w->ring, parent)));
	assert_false(ks_ring_is_within(&w->ring, ks_ring_tenant(&w->ring, parent), ks_ring_tenant(&w->ring, ORG_B)));
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void tenants_say_what_was_put(void **state)
{
	struct world *w = *state;
	uint32_t org = ks_ring_tenant(&w->ring, ORG_A), project = ks_ring_tenant(&w->ring, PROJECT_A1);
	uint32_t personal = ks_ring_tenant(&w->ring, PERSONAL_1), user = ks_ring_user(&w->ring, USER_1);

	assert_int_equal(ks_ring_tenant(&w->ring, 77), KS_RING_NONE);
	assert_int_equal(w->ring.tenants[project].organization, org);
	assert_int_equal(w->ring.tenants[org].organization, org);
	assert_int_equal(w->ring.tenants[ks_ring_tenant(&w->ring, PARTNER)].organization, KS_RING_NONE);
	assert_true(ks_str_eq(ks_ring_slug(&w->ring, org), KS_STR("acme-1")));
	assert_int_equal(ks_ring_slug(&w->ring, project).n, 0);
	assert_int_equal(w->ring.tenants[personal].user, user);
	assert_int_equal(atomic_load(&w->ring.users[user].personal), personal);
	assert_int_equal(w->ring.tenants[project].user, KS_RING_NONE);
}

static void suspension_reaches_everything_below_and_nothing_else(void **state)
{
	struct world *w = *state;
	struct ks_ring *r = &w->ring;

	assert_int_equal(put_tenant(r, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, true), KS_OK);
	assert_int_equal(flags_of_tenant(r, PARTNER), KS_TENANT_SUSPENDED);
	assert_int_equal(flags_of_tenant(r, ORG_A), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(r, SUB_A1), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(r, PROJECT_A1), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(r, PERSONAL_1), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(r, OPERATOR), 0);
	assert_int_equal(flags_of_tenant(r, ORG_B), 0);
	/* A second cause below; taking the first away leaves it. */
	assert_int_equal(put_tenant(r, SUB_A1, ORG_A, KS_TENANT_KIND_SUB_ENTITY, true), KS_OK);
	assert_int_equal(flags_of_tenant(r, SUB_A1), KS_TENANT_SUSPENDED | KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(put_tenant(r, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, false), KS_OK);
	assert_int_equal(flags_of_tenant(r, ORG_A), 0);
	assert_int_equal(flags_of_tenant(r, SUB_A1), KS_TENANT_SUSPENDED);
	assert_int_equal(flags_of_tenant(r, PROJECT_A1), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(r, PERSONAL_1), 0);
	/* What is added below starts with it. */
	assert_int_equal(put_tenant(r, 700, PROJECT_A1, KS_TENANT_KIND_PROJECT, false), KS_OK);
	assert_int_equal(flags_of_tenant(r, 700), KS_TENANT_UNDER_SUSPENDED);
}

static void deletion_counts_as_suspension_for_what_is_below(void **state)
{
	struct world *w = *state;
	struct ks_ring_tenant_record record = tenant_record(SUB_A1, ORG_A, KS_TENANT_KIND_SUB_ENTITY);

	record.deleted = true;
	assert_int_equal(ks_ring_put_tenant(&w->ring, &record), KS_OK);
	assert_int_equal(flags_of_tenant(&w->ring, SUB_A1), KS_TENANT_DELETED);
	assert_int_equal(flags_of_tenant(&w->ring, PROJECT_A1), KS_TENANT_UNDER_SUSPENDED);
	assert_int_equal(flags_of_tenant(&w->ring, ORG_A), 0);
}

/* Random trees, random suspensions: the flags are those that a walk up from each tenant finds. */
static void flags_agree_with_a_walk_up(void **state)
{
	struct world *w = *state;
	uint64_t parents[60] = {0};
	bool suspended[60] = {false};

	assert_int_equal(put_tenant(&w->ring, 1, 0, KS_TENANT_KIND_OPERATOR, false), KS_OK);
	for (uint64_t i = 1; i < 60; i++) {
		parents[i] = split_mix(i) % i;
		if (w->ring.tenants[parents[i]].depth + 1 == KS_TENANT_DEPTH_MAX)
			parents[i] = 0;
		assert_int_equal(put_tenant(&w->ring, i + 1, parents[i] + 1, KS_TENANT_KIND_SUB_ENTITY, false), KS_OK);
	}
	for (uint64_t step = 0; step < 500; step++) {
		uint64_t i = 1 + split_mix(1000 + step) % 59;

		suspended[i] = split_mix(2000 + step) % 2;
		assert_int_equal(put_tenant(&w->ring, i + 1, parents[i] + 1, KS_TENANT_KIND_SUB_ENTITY, suspended[i]),
				 KS_OK);
		for (uint64_t t = 1; t < 60; t++) {
			uint32_t want = suspended[t] ? KS_TENANT_SUSPENDED : 0;

			for (uint64_t up = parents[t]; up != 0; up = parents[up]) {
				if (suspended[up])
					want |= KS_TENANT_UNDER_SUSPENDED;
			}
			assert_int_equal(flags_of_tenant(&w->ring, t + 1), want);
		}
	}
}

static void a_full_table_of_tenants_refuses_and_remembers(void **state)
{
	struct world *w = *state;
	enum ks_err err = KS_OK;
	uint64_t id = 5000;

	for (; err == KS_OK; id++)
		err = put_tenant(&w->ring, id, ORG_A, KS_TENANT_KIND_PROJECT, false);
	assert_int_equal(err, KS_FULL);
	assert_int_equal(atomic_load(&w->ring.header->tenant_count), w->geometry.tenants);
	assert_true(ks_ring_wants_growth(&w->ring, 0));
	assert_int_equal(put_tenant(&w->ring, 5000, ORG_A, KS_TENANT_KIND_PROJECT, true), KS_OK);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

/* ---- users ---- */

static void bad_users_are_refused_and_change_nothing(void **state)
{
	struct world *w = *state;
	const struct ks_ring_membership_record unknown[] = {{.tenant = ORG_A}, {.tenant = 999}};
	const struct ks_ring_membership_record twice[] = {{.tenant = ORG_A}, {.tenant = ORG_B}, {.tenant = ORG_A}};
	static struct ks_ring_membership_record many[KS_RING_MEMBERSHIPS_MAX + 1];
	uint32_t index = ks_ring_user(&w->ring, USER_1);
	uint32_t list = atomic_load(&w->ring.users[index].memberships_at);
	uint64_t used = atomic_load(&w->ring.header->arena_used);

	assert_int_equal(ks_ring_put_user(&w->ring, 0, false, NULL, 0), KS_MALFORMED);
	assert_int_equal(ks_ring_put_user(&w->ring, 555, false, unknown, 2), KS_NOT_FOUND);
	assert_int_equal(ks_ring_put_user(&w->ring, 555, false, twice, 3), KS_CONFLICT);
	assert_int_equal(ks_ring_put_user(&w->ring, USER_1, true, unknown, 2), KS_NOT_FOUND);
	assert_int_equal(ks_ring_put_user(&w->ring, USER_1, true, twice, 3), KS_CONFLICT);
	assert_int_equal(ks_ring_put_user(&w->ring, USER_1, true, many, KS_ARRAY_LEN(many)), KS_TOO_LARGE);
	assert_int_equal(ks_ring_user(&w->ring, 555), KS_RING_NONE);
	assert_int_equal(atomic_load(&w->ring.users[index].memberships_at), list);
	assert_int_equal(atomic_load(&w->ring.users[index].flags), 0);
	assert_int_equal(atomic_load(&w->ring.header->arena_used), used);
}

static void memberships_are_swapped_whole_and_in_order(void **state)
{
	struct world *w = *state;
	const struct ks_ring_membership_record next[] = {
		{.tenant = SUB_A1, .role = 3}, {.tenant = OPERATOR}, {.tenant = PROJECT_A1}};
	uint32_t user = ks_ring_user(&w->ring, USER_1);
	const struct ks_ring_memberships *before = ks_ring_memberships_of(&w->ring, user), *after;

	assert_int_equal(before->count, 2);
	assert_int_equal(before->items[0].tenant, ks_ring_tenant(&w->ring, ORG_A));
	assert_int_equal(before->items[1].tenant, ks_ring_tenant(&w->ring, ORG_B));
	assert_int_equal(before->items[1].role, 2);
	assert_int_equal(before->items[1].below, 1);
	assert_int_equal(ks_ring_put_user(&w->ring, USER_1, true, next, 3), KS_OK);
	after = ks_ring_memberships_of(&w->ring, user);
	assert_ptr_not_equal(after, before);
	assert_int_equal(after->count, 3);
	for (uint32_t i = 1; i < after->count; i++)
		assert_true(w->ring.tenants[after->items[i - 1].tenant].id
			    < w->ring.tenants[after->items[i].tenant].id);
	assert_int_equal(after->items[1].role, 3);
	assert_int_equal(atomic_load(&w->ring.users[user].flags), KS_USER_DISABLED);
	/* Whoever still walks the old list finds it as it was. */
	assert_int_equal(before->count, 2);
	assert_int_equal(before->items[1].role, 2);
	assert_int_equal(ks_ring_put_user(&w->ring, USER_1, false, NULL, 0), KS_OK);
	assert_null(ks_ring_memberships_of(&w->ring, user));
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void lists_for_ever_fill_the_arena(void **state)
{
	struct world *w = *state;
	struct ks_ring_membership_record list[3] = {{.tenant = ORG_A}, {.tenant = ORG_B}, {.tenant = SUB_A1}};
	enum ks_err err = KS_OK;

	for (uint16_t role = 0; err == KS_OK; role++) {
		list[0].role = (uint16_t)(role % 3 + 1);
		err = ks_ring_put_user(&w->ring, USER_1, false, list, 3);
	}
	assert_int_equal(err, KS_FULL);
	assert_true(atomic_load(&w->ring.header->full) == 1u << KS_RING_PART_ARENA);
	assert_int_equal(ks_ring_memberships_of(&w->ring, ks_ring_user(&w->ring, USER_1))->count, 3);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

/* ---- grants ---- */

static void bad_grants_are_refused_and_change_nothing(void **state)
{
	struct world *w = *state;
	static struct ks_cidr cidrs[KS_RING_CIDRS_MAX + 1];
	const struct ks_cidr wide = {.bits = 129};
	struct ks_ring_grant_record bad[] = {
		{.id = 0},
		{.id = 5, .rate_requests = 1},
		{.id = 5, .cidrs = &wide, .cidr_count = 1},
		{.id = 5, .cidrs = cidrs, .cidr_count = KS_RING_CIDRS_MAX + 1},
		{.id = GRANT_PLAIN, .rate_requests = 1, .rate_window_s = 1},
		{.id = GRANT_ADDRESSES, .cidrs = cidrs, .cidr_count = 2},
	};
	const enum ks_err want[] = {KS_MALFORMED, KS_MALFORMED, KS_MALFORMED, KS_TOO_LARGE, KS_CONFLICT, KS_CONFLICT};
	unsigned char *before = snapshot(w);
	uint32_t index = 77;

	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_int_equal(ks_ring_put_grant(&w->ring, &bad[i], &index), want[i]);
	assert_int_equal(index, 77);
	assert_unchanged(w, before, NULL, 0);
}

static void grants_come_in_any_order_and_are_found(void **state)
{
	struct world *w = *state;
	const uint64_t ids[] = {50, 20, UINT64_MAX, 1};
	uint32_t index, again;

	for (size_t i = 0; i < KS_ARRAY_LEN(ids); i++) {
		struct ks_ring_grant_record record = {.id = ids[i]};

		assert_int_equal(ks_ring_put_grant(&w->ring, &record, &index), KS_OK);
		assert_int_equal(ks_ring_put_grant(&w->ring, &record, &again), KS_OK);
		assert_int_equal(index, again);
		assert_int_equal(ks_ring_grant(&w->ring, ids[i]), index);
	}
	assert_int_equal(ks_ring_grant(&w->ring, 21), KS_RING_NONE);
	index = ks_ring_grant(&w->ring, GRANT_ADDRESSES);
	assert_int_equal(w->ring.grants[index].cidr_count, 2);
	assert_int_equal(ks_ring_cidrs(&w->ring, &w->ring.grants[index])[0].bits, 32);
	assert_null(ks_ring_cidrs(&w->ring, &w->ring.grants[ks_ring_grant(&w->ring, GRANT_PLAIN)]));
}

/* ---- keys ---- */

static void bad_keys_are_refused_and_change_nothing(void **state)
{
	struct world *w = *state;
	struct ks_ring_key_record bad[8];
	const enum ks_err want[] = {KS_MALFORMED, KS_MALFORMED, KS_MALFORMED, KS_MALFORMED,
				    KS_NOT_FOUND, KS_NOT_FOUND, KS_CONFLICT,  KS_CONFLICT};
	unsigned char *before = snapshot(w);

	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		bad[i] = key_record(800, ORG_A);
	bad[0].id = 0;
	bad[1].kind = KS_KIND_COUNT;
	bad[2].binding = KS_BINDING_COUNT;
	bad[3].environment = KS_ENVIRONMENT_COUNT;
	bad[4].tenant = 4711;
	bad[5].grant = 4711;
	bad[6].digest = digest_of(0);
	bad[7] = key_record(0, ORG_B);
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_int_equal(ks_ring_put_key(&w->ring, &bad[i]), want[i]);
	assert_unchanged(w, before, NULL, 0);
}

static void keys_say_what_was_put(void **state)
{
	struct world *w = *state;
	struct ks_ring_key_record record = key_record(300, PROJECT_A1);
	const struct ks_ring_key *key;
	uint64_t slot = 1234;

	assert_null(find_key(&w->ring, 300, &slot));
	assert_int_equal(slot, 1234);
	record.kind = KS_KIND_RUNTIME;
	record.binding = KS_BINDING_PROJECT;
	record.environment = KS_ENVIRONMENT_SANDBOX;
	record.ends_ms = 99;
	assert_int_equal(ks_ring_put_key(&w->ring, &record), KS_OK);
	key = find_key(&w->ring, 300, &slot);
	assert_non_null(key);
	assert_ptr_equal(key, &w->ring.keys[slot]);
	assert_int_equal(key->id, record.id);
	assert_int_equal(key->tenant, ks_ring_tenant(&w->ring, PROJECT_A1));
	assert_int_equal(atomic_load(&key->ends_ms), 99);
	assert_int_equal(KS_KEY_KIND(key->state), KS_KIND_RUNTIME);
	assert_int_equal(KS_KEY_BINDING(key->state), KS_BINDING_PROJECT);
	assert_int_equal(KS_KEY_ENVIRONMENT(key->state), KS_ENVIRONMENT_SANDBOX);
	assert_int_equal(key->state & KS_KEY_STATE_BITS, KS_KEY_LIVE);
	assert_int_equal(atomic_load(&w->ring.header->key_count), 21);
}

/* Whatever is replayed afterwards: the past of a key, when it was neither revoked nor ended. */
static void what_ended_stays_ended(void **state)
{
	struct world *w = *state;
	struct ks_ring_key_record record = key_record(0, ORG_A), rotated = record;
	uint64_t revoked = atomic_load(&w->ring.header->revoked_count), slot = 0;

	rotated.rotated_out = true;
	rotated.ends_ms = 5000;
	assert_int_equal(ks_ring_put_key(&w->ring, &rotated), KS_OK);
	assert_int_equal(ks_ring_put_key(&w->ring, &record), KS_OK);
	assert_int_equal(state_of(&w->ring, 0) & KS_KEY_STATE_BITS, KS_KEY_LIVE | KS_KEY_ROTATED_OUT);
	assert_int_equal(atomic_load(&find_key(&w->ring, 0, &slot)->ends_ms), 5000);
	assert_int_equal(put_key(&w->ring, 0, true), KS_OK);
	assert_int_equal(put_key(&w->ring, 0, true), KS_OK);
	assert_int_equal(put_key(&w->ring, 0, false), KS_OK);
	assert_true(state_of(&w->ring, 0) & KS_KEY_REVOKED);
	assert_int_equal(atomic_load(&w->ring.header->revoked_count), revoked + 1);
	assert_int_equal(atomic_load(&w->ring.header->key_count), 20);
}

static void replay_changes_nothing(void **state)
{
	struct world *w = *state;
	unsigned char *before;
	uint64_t epoch = atomic_load(&w->ring.header->policy_epoch);

	assert_int_equal(put_key(&w->ring, 5, true), KS_OK);
	assert_int_equal(put_tenant(&w->ring, SUB_A1, ORG_A, KS_TENANT_KIND_SUB_ENTITY, false), KS_OK);
	before = snapshot(w);
	world_fill(&w->ring, 20);
	/* The same memberships are put together in the arena's free room before they are seen to be the same. */
	assert_unchanged(w, before, w->ring.arena + atomic_load(&w->ring.header->arena_used), 4096);
	assert_int_equal(atomic_load(&w->ring.header->policy_epoch), epoch);
	assert_true(state_of(&w->ring, 5) & KS_KEY_REVOKED);
}

static void the_table_fills_to_four_fifths(void **state)
{
	struct world *w = *state;
	uint64_t n = 20, slot = 0;

	while (put_key(&w->ring, n, false) == KS_OK)
		n++;
	assert_int_equal(n, 800);
	assert_int_equal(put_key(&w->ring, n, false), KS_FULL);
	assert_int_equal(put_key(&w->ring, 17, true), KS_OK);
	for (uint64_t i = 0; i < n; i++)
		assert_non_null(find_key(&w->ring, i, &slot));
	for (uint64_t i = n; i < n + 2000; i++)
		assert_null(find_key(&w->ring, i, &slot));
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

/* The next digest after number *n whose home is the last one of the table. */
static struct ks_digest next_of_last_home(const struct world *w, uint64_t *n)
{
	struct ks_digest digest;

	do
		digest = digest_of(++*n);
	while (ks_ring_home(&w->ring, &digest) < w->geometry.key_slots - 2);
	return digest;
}

/* Whoever knows the seed can still fill a neighbourhood. */
static void probes_are_bounded_and_wrap(void **state)
{
	struct world *w = *state;
	struct ks_ring_key_record record = key_record(0, ORG_A);
	struct ks_digest last = {{0}};
	enum ks_err err = KS_OK;
	uint64_t number = 1000, slot = 0, n = 0;

	for (; err == KS_OK; n++) {
		last = record.digest;
		record.digest = next_of_last_home(w, &number);
		record.id = 1 + n;
		err = ks_ring_put_key(&w->ring, &record);
	}
	assert_int_equal(err, KS_FULL);
	/* One slot of the run may belong to one of the keys that were there. */
	assert_in_range(n, KS_RING_PROBES_MAX - 40, KS_RING_PROBES_MAX + 1);
	assert_true(atomic_load(&w->ring.header->full) == 1u << KS_RING_PART_KEYS);
	assert_null(ks_ring_key(&w->ring, &record.digest, ks_ring_home(&w->ring, &record.digest), &slot));
	assert_non_null(ks_ring_key(&w->ring, &last, ks_ring_home(&w->ring, &last), &slot));
	assert_true(slot < ks_ring_home(&w->ring, &last));
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

/* Without the seed nobody can: alike in all but one word, whichever it is, digests go everywhere. */
static void chosen_digests_do_not_pile_up(void **state)
{
	struct world *w = *state;
	struct ks_ring_key_record record = key_record(0, ORG_A);
	uint64_t n = 0, at = 0;

	for (unsigned word = 0; word < 4; word++) {
		for (uint64_t i = 0; i < 190; i++, n++) {
			uint64_t words[4] = {5, 6, 7, 8};
			uint64_t slot = 0, home;

			words[word] = 1000 + i;
			memcpy(record.digest.bytes, words, sizeof(words));
			record.id = 1 + n;
			assert_int_equal(ks_ring_put_key(&w->ring, &record), KS_OK);
			home = ks_ring_home(&w->ring, &record.digest);
			assert_non_null(ks_ring_key(&w->ring, &record.digest, home, &slot));
			at = KS_MAX(at, slot >= home ? slot - home : slot + w->geometry.key_slots - home);
		}
	}
	/* Random ones fill three quarters of a table of this size so that none stands farther off. */
	assert_in_range(at, 1, 100);
}

static void a_home_of_another_ring_does_no_harm(void **state)
{
	struct world *w = *state;
	struct ks_digest digest = digest_of(0);
	uint64_t slot = 0;

	(void)ks_ring_key(&w->ring, &digest, UINT64_MAX, &slot);
	assert_null(ks_ring_key(&w->ring, &(struct ks_digest){{1}}, w->geometry.key_slots, &slot));
}

static void limited_keys_have_their_limiter_before_they_are_seen(void **state)
{
	struct world *w = *state;
	struct ks_ring_key_record record = key_record(400, ORG_A);
	enum ks_err err = KS_OK;
	uint64_t n = 400, slot = 0;

	record.grant = GRANT_LIMITED;
	record.revoked = true;
	assert_int_equal(ks_ring_put_key(&w->ring, &record), KS_OK);
	assert_null(ks_usage_limiter(&w->usage, record.id));
	for (; err == KS_OK; n++) {
		record = key_record(n + 1, ORG_A);
		record.grant = GRANT_LIMITED;
		err = ks_ring_put_key(&w->ring, &record);
		if (err == KS_OK)
			assert_non_null(ks_usage_limiter(&w->usage, record.id));
	}
	assert_int_equal(err, KS_FULL);
	assert_null(find_key(&w->ring, n, &slot));
	assert_int_equal(atomic_load(&w->ring.header->limiter_count), w->geometry.limiters / 2);
	assert_true(atomic_load(&w->ring.header->full) == 1u << KS_RING_PART_LIMITERS);
	/* Without counters nothing is limited, and keys go in all the same. */
	w->ring.usage = NULL;
	assert_int_equal(ks_ring_put_key(&w->ring, &record), KS_OK);
}

/* ---- policies and the rest ---- */

static void policies_change_hands_whole(void **state)
{
	struct world *w = *state;
	const struct ks_policy_table *before = ks_ring_policy_table(&w->ring, KS_RING_POLICY_PLATFORM), *after;
	struct ks_policy_table *table;
	uint64_t epoch = atomic_load(&w->ring.header->policy_epoch);

	assert_true(ks_policy_table_ok(before, before->size));
	put_policy_named(&w->ring, KS_RING_POLICY_PLATFORM, "phones");
	after = ks_ring_policy_table(&w->ring, KS_RING_POLICY_PLATFORM);
	assert_ptr_not_equal(before, after);
	assert_true(ks_policy_table_ok(before, before->size));
	assert_true(ks_str_eq(ks_rule_family(after, ks_policy_rule(after, 0)), KS_STR("phones")));
	assert_int_equal(atomic_load(&w->ring.header->policy_epoch), epoch + 1);
	table = policy_named(&w->ring, "broken");
	table->crc ^= 1;
	assert_int_equal(ks_ring_put_policy(&w->ring, KS_RING_POLICY_SELF, table), KS_MALFORMED);
	free(table);
	assert_int_equal(atomic_load(&w->ring.header->policy_epoch), epoch + 1);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void policies_for_ever_fill_the_arena(void **state)
{
	struct world *w = *state;
	struct ks_policy_table *a = policy_named(&w->ring, "a"), *b = policy_named(&w->ring, "b");
	enum ks_err err = KS_OK;

	for (int i = 0; err == KS_OK; i++)
		err = ks_ring_put_policy(&w->ring, KS_RING_POLICY_SELF, i % 2 ? a : b);
	assert_int_equal(err, KS_FULL);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	free(a);
	free(b);
}

static void words_of_the_header_are_set(void **state)
{
	struct world *w = *state;

	ks_ring_set_position(&w->ring, 17);
	ks_ring_set_foreign(&w->ring);
	ks_ring_set_lease(&w->ring, 1234);
	assert_int_equal(atomic_load(&w->ring.header->position), 17);
	assert_int_equal(atomic_load(&w->ring.header->flags), KS_RING_FLAG_FOREIGN);
	assert_int_equal(atomic_load(&w->ring.header->lease_until_ms), 1234);
}

#define FILLED(test) cmocka_unit_test_setup_teardown(test, open_filled, close_world)
#define EMPTY(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILLED(bad_tenants_are_refused_and_change_nothing),
		FILLED(tenants_nest_to_the_bound_and_no_deeper),
		FILLED(tenants_say_what_was_put),
		FILLED(suspension_reaches_everything_below_and_nothing_else),
		FILLED(deletion_counts_as_suspension_for_what_is_below),
		EMPTY(flags_agree_with_a_walk_up),
		FILLED(a_full_table_of_tenants_refuses_and_remembers),
		FILLED(bad_users_are_refused_and_change_nothing),
		FILLED(memberships_are_swapped_whole_and_in_order),
		FILLED(lists_for_ever_fill_the_arena),
		FILLED(bad_grants_are_refused_and_change_nothing),
		FILLED(grants_come_in_any_order_and_are_found),
		FILLED(bad_keys_are_refused_and_change_nothing),
		FILLED(keys_say_what_was_put),
		FILLED(what_ended_stays_ended),
		FILLED(replay_changes_nothing),
		FILLED(the_table_fills_to_four_fifths),
		FILLED(probes_are_bounded_and_wrap),
		FILLED(chosen_digests_do_not_pile_up),
		FILLED(a_home_of_another_ring_does_no_harm),
		FILLED(limited_keys_have_their_limiter_before_they_are_seen),
		FILLED(policies_change_hands_whole),
		FILLED(policies_for_ever_fill_the_arena),
		EMPTY(words_of_the_header_are_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
