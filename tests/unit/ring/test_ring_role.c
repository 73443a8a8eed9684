/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fixture.h"
#include "walk.h"

static const char platform_yaml[] =
	"version: 1\n"
	"scopes:\n"
	"  calls:read: {default: true}\n"
	"  calls:write: {}\n"
	"  calls:erase: {opt_in: true}\n"
	"  partner:read: {kinds: [partner]}\n"
	"  read: {}\n"
	"roles:\n"
	"  eraser: {scopes: [calls:erase, partner:read]}\n"
	"families:\n"
	"  calls: {routes: [/calls], kinds: [session, partner], scopes: {GET: calls:read}}\n";

static const char self_yaml[] =
	"version: 1\n"
	"scopes:\n"
	"  keystile:keys:read: {}\n"
	"  keystile:keys:write: {}\n"
	"  keystile:verify: {kinds: [tenant]}\n"
	"roles:\n"
	"  administrator: {scopes: [keystile:keys:read, keystile:keys:write, keystile:verify]}\n"
	"  member: {scopes: [keystile:keys:read]}\n"
	"families:\n"
	"  keystile:keys: {routes: [/v1/keys], kinds: [session, tenant], scopes: {GET: keystile:keys:read}}\n";

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

static struct ks_policy *parsed(const char *yaml)
{
	struct ks_policy_problem problem;
	struct ks_policy *policy;

	if (ks_policy_parse(ks_str_c(yaml), KS_STR(""), &policy, &problem) != KS_OK)
		fail_msg("line %u: %s", problem.line, problem.text);
	return policy;
}

static void put_roles(struct world *w, const char *first, const char *second)
{
	struct ks_policy *policies[2] = {first ? parsed(first) : NULL, second ? parsed(second) : NULL};

	assert_int_equal(ks_ring_put_roles(&w->ring, (const struct ks_policy *const *)policies, 2), KS_OK);
	ks_policy_free(&policies[0]);
	ks_policy_free(&policies[1]);
}

/* True if the role gives exactly the scopes, separated by blanks. */
static bool gives(const struct world *w, const char *role, const char *scopes)
{
	uint16_t number = ks_ring_role(&w->ring, ks_str_c(role)), scope;
	struct ks_str rest = ks_str_c(scopes), name;
	struct ks_scopes want = {{0}};

	while (rest.n > 0) {
		if (!ks_str_split(rest, ' ', &name, &rest)) {
			name = rest;
			rest = KS_STR("");
		}
		assert_true(ks_scope_find(w->ring.scopes, name, &scope));
		ks_scopes_set(&want, scope);
	}
	return ks_scopes_within(&want, ks_ring_role_scopes(&w->ring, number))
	       && ks_scopes_within(ks_ring_role_scopes(&w->ring, number), &want);
}

static void numbers_are_given_once(void **state)
{
	struct world *w = *state;
	uint16_t auditor;
	char name[16];

	assert_int_equal(ks_ring_role(&w->ring, KS_STR("administrator")), KS_ROLE_ADMINISTRATOR);
	assert_int_equal(ks_ring_role(&w->ring, KS_STR("member")), KS_ROLE_MEMBER);
	assert_int_equal(ks_ring_role(&w->ring, KS_STR("account_reader")), KS_ROLE_ACCOUNT_READER);
	assert_int_equal(ks_ring_role(&w->ring, KS_STR("auditor")), 0);
	assert_int_equal(ks_ring_role_name(&w->ring, 0).n, 0);
	assert_int_equal(ks_ring_role_name(&w->ring, 4).n, 0);
	auditor = ks_ring_name_role(&w->ring, KS_STR("auditor"));
	assert_int_equal(auditor, 4);
	assert_int_equal(ks_ring_name_role(&w->ring, KS_STR("auditor")), auditor);
	assert_int_equal(ks_ring_role(&w->ring, KS_STR("auditor")), auditor);
	assert_true(ks_str_eq(ks_ring_role_name(&w->ring, auditor), KS_STR("auditor")));
	assert_int_equal(ks_ring_name_role(&w->ring, KS_STR("no role")), 0);
	assert_int_equal(ks_ring_name_role(&w->ring, KS_STR("")), 0);
	for (unsigned i = 0; i < KS_RING_ROLES_MAX - 4; i++) {
		assert_true(snprintf(name, sizeof(name), "role%u", i) > 0);
		assert_int_equal(ks_ring_name_role(&w->ring, ks_str_c(name)), 5 + i);
	}
	assert_int_equal(ks_ring_name_role(&w->ring, KS_STR("one_more")), 0);
	assert_int_equal(ks_ring_role(&w->ring, KS_STR("role507")), KS_RING_ROLES_MAX);
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
}

static void roles_give_what_the_policies_say(void **state)
{
	struct world *w = *state;

	/* Before any policy nobody has anything. */
	for (uint16_t number = 0; number < 9; number++)
		assert_true(ks_scopes_empty(ks_ring_role_scopes(&w->ring, number)));
	put_roles(w, self_yaml, platform_yaml);
	/* A session may not hold keystile:verify, nor partner:read. */
	assert_true(gives(w, "administrator", "keystile:keys:read keystile:keys:write calls:read calls:write read"));
	assert_true(gives(w, "member", "keystile:keys:read calls:read"));
	/* Of the service's own file, which does not describe it here, as of the platform's; "read" is no ":read". */
	assert_true(gives(w, "account_reader", "keystile:keys:read calls:read"));
	assert_true(gives(w, "eraser", "calls:erase"));
	assert_int_equal(ks_ring_verify(&w->ring), KS_OK);
	assert_true(walk_ring(&w->ring) > 0);
}

static void a_change_takes_the_place_of_what_was(void **state)
{
	struct world *w = *state;
	uint64_t used, epoch;

	put_roles(w, self_yaml, platform_yaml);
	used = atomic_load(&w->ring.header->arena_used);
	epoch = atomic_load(&w->ring.header->policy_epoch);
	put_roles(w, self_yaml, platform_yaml);
	assert_int_equal(atomic_load(&w->ring.header->arena_used), used);
	assert_int_equal(atomic_load(&w->ring.header->policy_epoch), epoch);
	put_roles(w, self_yaml, NULL);
	assert_true(gives(w, "administrator", "keystile:keys:read keystile:keys:write"));
	/* Its number stays, and gives nothing. */
	assert_true(gives(w, "eraser", ""));
	assert_int_equal(ks_ring_role(&w->ring, KS_STR("eraser")), 4);
	assert_true(atomic_load(&w->ring.header->policy_epoch) > epoch);
	put_roles(w, NULL, "version: 1\nscopes: {a:read: {}, b:read: {}}\n"
			   "roles: {administrator: {scopes: [a:read]}, eraser: {scopes: [b:read]}}\nfamilies:\n"
			   "  a: {routes: [/a], kinds: [session], scopes: {GET: [a:read, b:read]}}\n");
	assert_true(gives(w, "administrator", "a:read"));
	assert_true(gives(w, "eraser", "b:read"));
	assert_true(gives(w, "account_reader", "a:read b:read"));
}

static void a_copy_takes_roles_along(void **state)
{
	struct world *w = *state, larger;
	struct ks_ring_geometry geometry = ks_ring_plan_growth(&w->ring, 5000, 1 << 20, 0);
	struct ks_ring_stamp stamp = stamp_of(2);
	struct ks_ring_role_sets *sets;

	put_roles(w, self_yaml, platform_yaml);
	world_open(&larger, &geometry, &stamp);
	assert_int_equal(ks_ring_copy(&w->ring, &larger.ring, 0), KS_OK);
	assert_true(gives(&larger, "eraser", "calls:erase"));
	assert_true(gives(&larger, "member", "keystile:keys:read calls:read"));
	assert_int_equal(ks_ring_role(&larger.ring, KS_STR("eraser")), ks_ring_role(&w->ring, KS_STR("eraser")));
	assert_int_equal(ks_ring_verify(&larger.ring), KS_OK);
	world_close(&larger);
	sets = (void *)(w->ring.arena + atomic_load(&w->ring.header->role_sets_at));
	sets->sets[0].bits[0] ^= 1;
	world_open(&larger, &geometry, &stamp);
	assert_int_equal(ks_ring_copy(&w->ring, &larger.ring, 0), KS_CORRUPT);
	world_close(&larger);
}

static void no_room_says_so(void **state)
{
	struct world *w = *state;
	struct ks_policy *policy = parsed(platform_yaml);
	const struct ks_policy *const one[] = {policy};
	char name[16];

	put_roles(w, self_yaml, NULL);
	while (ks_ring_arena_take(&w->ring, 8) != 0)
		continue;
	assert_int_equal(ks_ring_put_roles(&w->ring, one, 1), KS_FULL);
	assert_true(gives(w, "administrator", "keystile:keys:read keystile:keys:write"));
	for (unsigned i = 0; i < KS_RING_ROLES_MAX; i++) {
		assert_true(snprintf(name, sizeof(name), "role%u", i) > 0);
		(void)ks_ring_name_role(&w->ring, ks_str_c(name));
	}
	ks_policy_free(&policy);
	policy = parsed("version: 1\nscopes: {a:read: {}}\nroles: {last: {scopes: [a:read]}}\nfamilies:\n"
			"  a: {routes: [/a], kinds: [session], scopes: {GET: a:read}}\n");
	assert_int_equal(ks_ring_put_roles(&w->ring, &(const struct ks_policy *){policy}, 1), KS_TOO_LARGE);
	ks_policy_free(&policy);
}

#define LIE(place, value)                                                \
	do {                                                             \
		__auto_type lie_saved = (place);                         \
		(place) = (value);                                       \
		assert_int_equal(ks_ring_verify(&w->ring), KS_CORRUPT);  \
		(place) = lie_saved;                                     \
		assert_int_equal(ks_ring_verify(&w->ring), KS_OK);       \
	} while (0)

static void lying_roles_are_found(void **state)
{
	struct world *w = *state;
	struct ks_ring_header *h = w->ring.header;
	struct ks_ring_role_sets *sets;

	put_roles(w, self_yaml, platform_yaml);
	ks_ring_set_position(&w->ring, 43);
	sets = (void *)(w->ring.arena + atomic_load(&h->role_sets_at));
	LIE(h->role_sets_at, h->role_sets_at + 8);
	LIE(h->role_sets_at, w->geometry.arena_bytes);
	LIE(h->role_sets_at, UINT64_MAX - 7);
	LIE(h->role_sets_at, 4);
	LIE(sets->count, 5);
	LIE(sets->count, 3);
	LIE(sets->count, UINT32_MAX);
	LIE(sets->sets[1].bits[7], 1);
	LIE(w->ring.roles->count, KS_RING_ROLES_MAX + 1);
	LIE(w->ring.roles->count, 2);
	LIE(w->ring.roles->names[0][0], 'A');
	LIE(w->ring.roles->names[3][0], 'f');
	LIE(w->ring.roles->names[0][KS_SCOPE_NAME_MAX], 'x');
	LIE(h->roles_check, h->roles_check + 1);
}

#define FILLED(test) cmocka_unit_test_setup_teardown(test, open_filled, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		FILLED(numbers_are_given_once),
		FILLED(roles_give_what_the_policies_say),
		FILLED(a_change_takes_the_place_of_what_was),
		FILLED(a_copy_takes_roles_along),
		FILLED(no_room_says_so),
		FILLED(lying_roles_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
