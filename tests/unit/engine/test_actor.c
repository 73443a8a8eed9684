/* SPDX-License-Identifier: Apache-2.0 */
/* Who asks for a change, after the decision: what it sees and what it may give, by roles where it is a session. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../decision/people.h"
#include "engine/grants.h"

static struct ks_actor actor_of(const struct question *q)
{
	struct ks_decision d = ask(&f, q);
	struct ks_actor actor;

	assert_string_equal(ks_reason_info(d.reason)->code, "ok");
	ks_actor_of_decision(&f.ring, &d, &actor);
	return actor;
}

static struct ks_assertion made_for(enum ks_assertion_kind kind, const char *token)
{
	struct ks_assertion assertion = {.result = KS_ASSERTION_OK, .kind = kind, .expires_ms = INT64_MAX};

	assert_int_equal(ks_sha256(ks_str_c(token), &assertion.ref), KS_OK);
	return assertion;
}

static bool may_give(const struct ks_actor *actor, uint64_t tenant_id, const char *scope)
{
	struct ks_granting granting = ks_granting_of(actor, &f.ring, tenant_id);
	uint16_t number;

	assert_true(ks_scope_find(f.ring.scopes, ks_str_c(scope), &number));
	return granting.all || ks_scopes_has(&granting.scopes, number);
}

/* The roots, as a sum of bits of their ids. */
static void add_root(void *ctx, uint32_t index)
{
	*(uint64_t *)ctx |= UINT64_C(1) << f.ring.tenants[index].id;
}

static uint64_t roots_of(const struct ks_actor *actor)
{
	uint64_t roots = 0;

	ks_actor_roots(actor, &f.ring, add_root, &roots);
	return roots;
}

#define BIT(id) (UINT64_C(1) << (id))

static void it_sees_what_the_decision_saw(void **state)
{
	static const char *const methods[] = {"GET", "POST", "PATCH"};

	(void)state;
	for (size_t m = 0; m < KS_ARRAY_LEN(methods); m++) {
		struct ks_actor actor = actor_of(Q(COOKIE(anna), .method = methods[m]));

		assert_string_equal(actor.id, fixture_id(KS_ID_USER, ANNA));
		assert_false(actor.is_operator);
		for (uint64_t id = OPERATOR; id <= EAST; id++)
			assert_int_equal(ks_actor_sees(&actor, &f.ring, id),
					 sees(Q(COOKIE(anna), .method = methods[m]), id));
		assert_false(ks_actor_sees(&actor, &f.ring, 4711));
	}
}

/* Between the decision and the change much may happen. */
static void it_sees_by_what_the_roles_are_now(void **state)
{
	const struct ks_ring_membership_record memberships[] = {{EAST, KS_ROLE_ADMINISTRATOR, true}};
	struct ks_actor actor = actor_of(Q(COOKIE(anna), .method = "POST"));

	(void)state;
	assert_true(ks_actor_sees(&actor, &f.ring, NORTH));
	assert_false(ks_actor_sees(&actor, &f.ring, EAST));
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, memberships, 1), KS_OK);
	assert_false(ks_actor_sees(&actor, &f.ring, NORTH));
	assert_true(ks_actor_sees(&actor, &f.ring, EAST));
	fixture_roles_put(&f, "version: 1\nscopes:\n  contacts:read: {}\nroles:\n"
			      "  administrator: {scopes: [contacts:read]}\nfamilies:\n"
			      "  a: {routes: [/a], kinds: [session], scopes: {GET: contacts:read}}\n");
	assert_false(ks_actor_sees(&actor, &f.ring, EAST));
}

static void its_roots(void **state)
{
	struct ks_actor actor = actor_of(Q(COOKIE(anna)));

	(void)state;
	assert_true(roots_of(&actor) == (BIT(ANNA_PERSONAL) | BIT(SALES) | BIT(EAST)));
	actor = actor_of(Q(COOKIE(anna), .method = "POST"));
	assert_true(roots_of(&actor) == (BIT(ANNA_PERSONAL) | BIT(SALES)));
}

static void count_root(void *ctx, uint32_t index)
{
	(void)index;
	(*(size_t *)ctx)++;
}

/* More memberships than an actor holds: none of them is forgotten. */
static void all_roots_of_very_many(void **state)
{
	static struct ks_ring_membership_record memberships[70];
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_actor actors[2];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(memberships); i++) {
		memberships[i] = (struct ks_ring_membership_record){1000 + i, KS_ROLE_MEMBER, false};
		fixture_tenant(&f, 1000 + i, EAST, KS_TENANT_KIND_PROJECT, NULL, 0, false);
	}
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, memberships, KS_ARRAY_LEN(memberships)), KS_OK);
	fixture_key_put(&f, &(struct fixture_key){KEY_OF(ANNA_PERSONAL, USER), .scopes = "contacts:read"}, token);
	actors[0] = actor_of(Q(COOKIE(anna)));
	actors[1] = actor_of(Q(.token = token));
	for (size_t i = 0; i < 2; i++) {
		size_t roots = 0;

		assert_int_equal(actors[i].visible_count, KS_ACTOR_VISIBLE_MAX);
		ks_actor_roots(&actors[i], &f.ring, count_root, &roots);
		assert_int_equal(roots, KS_ARRAY_LEN(memberships) + 1);
	}
}

static void it_gives_what_its_roles_give_there(void **state)
{
	struct ks_actor actor = actor_of(Q(COOKIE(anna)));

	(void)state;
	assert_true(may_give(&actor, SALES, "contacts:write"));
	assert_true(may_give(&actor, LAB, "contacts:write"));
	assert_true(may_give(&actor, EAST, "contacts:read"));
	/* Administrator in SALES, account reader in EAST: a key of EAST cannot write. */
	assert_false(may_give(&actor, EAST, "contacts:write"));
	assert_true(may_give(&actor, BLUE, "contacts:write"));
	assert_false(may_give(&actor, BLUE, "contacts:read"));
	assert_false(may_give(&actor, SALES, "billing:pay"));
	assert_false(may_give(&actor, CORAL, "contacts:read"));
	assert_false(may_give(&actor, 4711, "contacts:read"));
}

/* A key of the user's own sees all that the user is a member of: it may hold what the user has everywhere. */
static void a_users_key_holds_what_the_user_has_everywhere(void **state)
{
	const struct ks_ring_membership_record two[] = {{SALES, KS_ROLE_ADMINISTRATOR, true},
							{EAST, KS_ROLE_ACCOUNT_READER, false},
							{DUNE, KS_ROLE_NONE, true}};
	struct ks_actor actor = actor_of(Q(COOKIE(anna)));

	(void)state;
	/* In BLUE a clerk cannot read, in EAST an account reader cannot write. */
	assert_false(may_give(&actor, ANNA_PERSONAL, "contacts:read"));
	assert_false(may_give(&actor, ANNA_PERSONAL, "contacts:write"));
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, two, 3), KS_OK);
	assert_true(may_give(&actor, ANNA_PERSONAL, "contacts:read"));
	assert_false(may_give(&actor, ANNA_PERSONAL, "contacts:write"));
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, two, 1), KS_OK);
	assert_true(may_give(&actor, ANNA_PERSONAL, "contacts:write"));
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, NULL, 0), KS_OK);
	assert_false(may_give(&actor, ANNA_PERSONAL, "contacts:read"));
}

static void a_narrowed_jwt_gives_no_more_than_it_has(void **state)
{
	struct ks_assertion session = made_for(KS_ASSERTION_SESSION, anna), key;
	char operator[KS_TOKEN_TEXT_SIZE];
	struct ks_actor actor;
	uint16_t read;

	(void)state;
	assert_true(ks_scope_find(f.ring.scopes, KS_STR("contacts:read"), &read));
	actor = actor_of(Q(.token = JWT_TEXT, .assertion = &session));
	assert_true(may_give(&actor, SALES, "contacts:write"));
	session.has_scopes = true;
	ks_scopes_set(&session.scopes, read);
	actor = actor_of(Q(.token = JWT_TEXT, .assertion = &session));
	assert_true(may_give(&actor, SALES, "contacts:read"));
	assert_false(may_give(&actor, SALES, "contacts:write"));
	fixture_key_put(&f, &(struct fixture_key){KEY_OF(OPERATOR, OPERATOR), .scopes = "contacts:read contacts:write"},
			operator);
	key = made_for(KS_ASSERTION_EXCHANGED, operator);
	actor = actor_of(Q(.token = JWT_TEXT, .assertion = &key));
	assert_true(actor.is_operator && may_give(&actor, ACME, "billing:pay"));
	key.tenant = ACME;
	actor = actor_of(Q(.token = JWT_TEXT, .assertion = &key));
	assert_false(actor.is_operator);
	assert_true(may_give(&actor, SALES, "contacts:write"));
	assert_false(may_give(&actor, SALES, "billing:pay"));
	assert_true(roots_of(&actor) == BIT(ACME));
	for (uint64_t id = OPERATOR; id <= EAST; id++)
		assert_int_equal(ks_actor_sees(&actor, &f.ring, id),
				 (id >= ACME && id <= BERT_PERSONAL));
}

static void an_issuers_jwt_later(void **state)
{
	struct ks_assertion a = {.result = KS_ASSERTION_OK, .kind = KS_ASSERTION_FEDERATED, .expires_ms = INT64_MAX,
				 .tenant = SALES, .role_count = 2, .roles = {KS_ROLE_ADMINISTRATOR, CLERK}};
	struct ks_actor actor;

	(void)state;
	assert_int_equal(ks_ring_put_issuer(&f.ring, &(struct ks_ring_issuer_record){500, ACME, false}), KS_OK);
	assert_int_equal(ks_ring_issuer_digest(500, &a.ref), KS_OK);
	actor = actor_of(Q(.token = JWT_TEXT, .assertion = &a));
	assert_string_equal(actor.id, fixture_id(KS_ID_ISSUER, 500));
	for (uint64_t id = OPERATOR; id <= EAST; id++)
		assert_int_equal(ks_actor_sees(&actor, &f.ring, id), id == SALES || id == NORTH || id == LAB);
	assert_true(may_give(&actor, NORTH, "contacts:write"));
	assert_false(may_give(&actor, ACME, "contacts:read"));
	assert_true(roots_of(&actor) == BIT(SALES));
}

static void what_was_deleted_was_seen(void **state)
{
	struct ks_ring_tenant_record gone = {.id = NORTH, .parent = SALES, .kind = KS_TENANT_KIND_SUB_ENTITY,
					     .deleted = true};
	struct ks_actor actor = actor_of(Q(COOKIE(anna)));

	(void)state;
	assert_int_equal(ks_ring_put_tenant(&f.ring, &gone), KS_OK);
	assert_false(ks_actor_sees(&actor, &f.ring, NORTH));
	assert_true(ks_actor_saw(&actor, &f.ring, NORTH));
	assert_false(ks_actor_saw(&actor, &f.ring, CORAL));
	assert_false(ks_actor_saw(&actor, &f.ring, 4711));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_people, close_people)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(it_sees_what_the_decision_saw),
		TEST(it_sees_by_what_the_roles_are_now),
		TEST(its_roots),
		TEST(all_roots_of_very_many),
		TEST(it_gives_what_its_roles_give_there),
		TEST(a_users_key_holds_what_the_user_has_everywhere),
		TEST(a_narrowed_jwt_gives_no_more_than_it_has),
		TEST(an_issuers_jwt_later),
		TEST(what_was_deleted_was_seen),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
