/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: docs/internals/decision.md, steps 2, 7 and 8, and "Roles". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "people.h"

/* ---- 2 ---- */

static void only_the_cookie_carries_a_session(void **state)
{
	(void)state;
	ALLOWED(COOKIE(anna));
	LOOKUP_FAILS(SESSION_CARRIER, .token = anna);
	LOOKUP_FAILS(SESSION_CARRIER, .api_key = anna);
	LOOKUP_FAILS(SESSION_CARRIER, .api_key = anna, .api_key_kinds = KS_KIND_BIT(KS_KIND_TENANT));
	LOOKUP_FAILS(SESSION_CARRIER, .api_key = anna,
		     .api_key_kinds = KS_KIND_BIT(KS_KIND_TENANT) | KS_KIND_BIT(KS_KIND_SESSION));
	/* prj_0: and the same token. */
	LOOKUP_FAILS(SESSION_CARRIER,
		     .authorization = "Basic cHJqXzA6a3NzXzAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDY0",
		     .host = "acme." DOMAIN_NAME);
}

static void a_session_ends(void **state)
{
	char ended[KS_TOKEN_TEXT_SIZE], old[KS_TOKEN_TEXT_SIZE], never[] = "kss_ffffffffffffffffffffffffffffffff";

	(void)state;
	fixture_session_put(&f, ANNA, INT64_MAX, true, ended);
	fixture_session_put(&f, ANNA, NOW, false, old);
	LOOKUP_FAILS(SESSION_ENDED, COOKIE(ended));
	LOOKUP_FAILS(SESSION_EXPIRED, COOKIE(old));
	ALLOWED(COOKIE(old), .now_ms = NOW - 1);
	LOOKUP_FAILS(UNKNOWN, COOKIE(never));
	/* Before all that could be said of the carrier. */
	LOOKUP_FAILS(SESSION_EXPIRED, .token = old);
	LOOKUP_FAILS(SESSION_ENDED, .token = ended);
}

static void a_session_is_its_user(void **state)
{
	char bert[KS_TOKEN_TEXT_SIZE];

	(void)state;
	fixture_session_put(&f, BERT, INT64_MAX, false, bert);
	LOOKUP_FAILS(USER_DISABLED, COOKIE(bert));
	put_anna(true);
	LOOKUP_FAILS(USER_DISABLED, COOKIE(anna));
	put_anna(false);
	ALLOWED(COOKIE(anna));
	/* The personal tenant lies in ACME. */
	fixture_tenant(&f, ACME, PARTNER_P, KS_TENANT_KIND_ORGANIZATION, "acme", 0, true);
	LOOKUP_FAILS(TENANT_INACTIVE, COOKIE(anna));
}

/* Nobody can know a token with the digest of an issuer; if there were one, it would be none. */
static void a_token_is_no_issuer(void **state)
{
	const char token[] = "ks_abcdefabcdefabcdefabcdefabcdefab";
	struct ks_ring_key key = {.id = 77, .tenant = ks_ring_tenant(&f.ring, ACME)};
	struct ks_decision d;

	(void)state;
	assert_int_equal(ks_sha256(ks_str_c(token), &key.digest), KS_OK);
	atomic_store(&key.ends_ms, INT64_MAX);
	assert_int_equal(ks_ring_put_slot(&f.ring, &key,
					  KS_KEY_TRAITS(KS_KIND_SESSION, KS_BINDING_ORGANIZATION, KS_ENVIRONMENT_LIVE)),
			 KS_OK);
	LOOKUP_FAILS(UNKNOWN, COOKIE(token));
	d = ask(&f, Q(.token = token));
	assert_int_equal(d.lookup, KS_LOOKUP_UNKNOWN);
	assert_null(d.key);
}

/* ---- 5, 6 ---- */

static void families_take_sessions_or_not(void **state)
{
	(void)state;
	ALLOWED(COOKIE(anna), .path = "/console");
	REFUSED(KIND_NOT_ALLOWED, COOKIE(anna), .path = "/keys");
	REFUSED(ENVIRONMENT_MISMATCH, COOKIE(anna), .path = "/trial");
	/* A session has no addresses to be kept to. */
	ALLOWED(COOKIE(anna), .address = "nowhere");
}

/* ---- 7 ---- */

static void scopes_come_from_the_roles(void **state)
{
	(void)state;
	SAYS(SCOPES, ALL_OF_ANNA, COOKIE(anna));
	SAYS(SCOPES, ALL_OF_ANNA, COOKIE(anna), .tenant = tenant(ANNA_PERSONAL));
	SAYS(SCOPES, ALL_OF_ANNA, COOKIE(anna), .tenant = tenant(SALES));
	SAYS(SCOPES, ALL_OF_ANNA, COOKIE(anna), .tenant = tenant(LAB));
	SAYS(SCOPES, "contacts:read trust:read", COOKIE(anna), .tenant = tenant(EAST));
	SAYS(SCOPES, "contacts:write", COOKIE(anna), .tenant = tenant(BLUE), .method = "PATCH");
	/* Opt-in scopes are in no default. */
	LACKS("billing:pay", COOKIE(anna), .path = "/billing", .method = "POST");
}

static void what_is_had_elsewhere_does_not_count(void **state)
{
	(void)state;
	ALLOWED(COOKIE(anna), .method = "POST", .tenant = tenant(SALES));
	LACKS("contacts:write", COOKIE(anna), .method = "POST", .tenant = tenant(EAST));
	LACKS("contacts:read", COOKIE(anna), .method = "POST", .tenant = tenant(BLUE));
	LACKS("contacts:read", COOKIE(anna), .tenant = tenant(BLUE));
}

static void roles_that_cover_a_tenant_add_up(void **state)
{
	const struct ks_ring_membership_record memberships[] = {{SALES, KS_ROLE_ACCOUNT_READER, true},
								{NORTH, CLERK, false}};

	(void)state;
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, memberships, 2), KS_OK);
	ALLOWED(COOKIE(anna), .method = "POST", .tenant = tenant(NORTH));
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, NORTH), COOKIE(anna), .method = "POST");
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES, NORTH), COOKIE(anna));
	LACKS("contacts:write", COOKIE(anna), .method = "POST", .tenant = tenant(SALES));
	/* The clerk of NORTH is none of what is below it. */
	LACKS("contacts:write", COOKIE(anna), .method = "POST", .tenant = tenant(LAB));
}

static void a_role_changes_for_all_at_once(void **state)
{
	(void)state;
	LACKS("contacts:write", COOKIE(anna), .method = "POST", .tenant = tenant(EAST));
	fixture_roles_put(&f, "version: 1\nscopes:\n  contacts:read: {}\n  contacts:write: {}\nroles:\n"
			      "  account_reader: {scopes: [contacts:read, contacts:write]}\n"
			      "  administrator: {scopes: [contacts:read]}\nfamilies:\n"
			      "  a: {routes: [/a], kinds: [session], scopes: {GET: [contacts:read, contacts:write]}}\n");
	ALLOWED(COOKIE(anna), .method = "POST", .tenant = tenant(EAST));
	LACKS("contacts:write", COOKIE(anna), .method = "POST", .tenant = tenant(SALES));
	/* No policy describes the clerk any more. */
	LACKS("contacts:write", COOKIE(anna), .method = "PATCH", .tenant = tenant(BLUE));
}

static void without_a_role_nothing(void **state)
{
	const struct ks_ring_membership_record none[] = {{SALES, KS_ROLE_NONE, true}};
	char token[KS_TOKEN_TEXT_SIZE];

	(void)state;
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, NULL, 0), KS_OK);
	LACKS("contacts:read", COOKIE(anna));
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, none, 1), KS_OK);
	LACKS("contacts:read", COOKIE(anna), .tenant = tenant(SALES));
	/* A user's key goes by what it was given. */
	fixture_key_put(&f, &(struct fixture_key){KEY_OF(ANNA_PERSONAL, USER), .scopes = "contacts:read"}, token);
	ALLOWED(.token = token, .tenant = tenant(NORTH));
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES), .token = token);
}

/* ---- 8 ---- */

static void a_session_acts_in_its_personal_tenant_or_where_it_is_sent(void **state)
{
	(void)state;
	SAYS(TENANT, tenant(ANNA_PERSONAL), COOKIE(anna));
	SAYS(TENANT, tenant(ANNA_PERSONAL), COOKIE(anna), .path = "/allocation");
	SAYS(TENANT, tenant(NORTH), COOKIE(anna), .tenant = tenant(NORTH));
	SAYS(ORGANIZATION, tenant(ACME), COOKIE(anna), .tenant = tenant(NORTH));
	SAYS(INHERITED, IDS(SALES, ACME), COOKIE(anna), .tenant = tenant(NORTH), .path = "/trust");
	REFUSED(TENANT_REQUIRED, COOKIE(anna), .path = "/explicit");
	ALLOWED(COOKIE(anna), .path = "/explicit", .tenant = tenant(EAST));
	REFUSED(TENANT_FORBIDDEN, COOKIE(anna), .path = "/own", .tenant = tenant(SALES));
	REFUSED(TENANT_FORBIDDEN, COOKIE(anna), .tenant = tenant(SALES), .tenant_repeated = true);
}

static void what_is_not_seen_is_as_if_it_were_not_there(void **state)
{
	const uint64_t hidden[] = {ACME, BERT_PERSONAL, CORAL, PARTNER_P, OPERATOR, DUNE, OASIS};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(hidden); i++) {
		REFUSED(TENANT_FORBIDDEN, COOKIE(anna), .tenant = tenant(hidden[i]));
		REFUSED(TENANT_FORBIDDEN, COOKIE(anna), .method = "POST", .tenant = tenant(hidden[i]));
		LACKS("billing:pay", COOKIE(anna), .path = "/billing", .method = "POST", .tenant = tenant(hidden[i]));
	}
	REFUSED(TENANT_FORBIDDEN, COOKIE(anna), .tenant = fixture_id(KS_ID_ORGANIZATION, 4711));
	REFUSED(TENANT_FORBIDDEN, COOKIE(anna), .tenant = "no id");
	REFUSED(TENANT_FORBIDDEN, COOKIE(anna), .tenant = fixture_id(KS_ID_USER, ANNA));
	LACKS("billing:pay", COOKIE(anna), .path = "/billing", .method = "POST",
	      .tenant = fixture_id(KS_ID_ORGANIZATION, 4711));
}

static void visible_is_where_the_request_may_be_done(void **state)
{
	(void)state;
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES, EAST), COOKIE(anna));
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES, EAST), COOKIE(anna), .tenant = tenant(EAST));
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES), COOKIE(anna), .method = "POST");
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES, BLUE), COOKIE(anna), .method = "PATCH");
}

static void sees_says_the_same(void **state)
{
	(void)state;
	for (uint64_t id = OPERATOR; id <= EAST; id++) {
		bool below = id == SALES || id == NORTH || id == LAB || id == ANNA_PERSONAL;

		assert_int_equal(sees(Q(COOKIE(anna)), id), below || id == EAST);
		assert_int_equal(sees(Q(COOKIE(anna), .method = "POST"), id), below);
		assert_int_equal(sees(Q(COOKIE(anna), .method = "PATCH"), id), below || id == BLUE);
		assert_int_equal(sees(Q(COOKIE(anna), .alone = true), id), below || id == EAST || id == BLUE);
	}
}

static void the_operators_people_see_what_they_are_members_of(void **state)
{
	const struct ks_ring_membership_record memberships[] = {{OPERATOR, KS_ROLE_ADMINISTRATOR, true}};
	char token[KS_TOKEN_TEXT_SIZE];
	enum { OLGA = 60, OLGAS = 61 };

	(void)state;
	assert_int_equal(ks_ring_put_user(&f.ring, OLGA, false, memberships, 1), KS_OK);
	fixture_tenant(&f, OLGAS, OPERATOR, KS_TENANT_KIND_PERSONAL, NULL, OLGA, false);
	fixture_session_put(&f, OLGA, INT64_MAX, false, token);
	SAYS(TENANT, tenant(OLGAS), COOKIE(token));
	SAYS(ORGANIZATION, "", COOKIE(token));
	SAYS(VISIBLE, IDS(OLGAS, OPERATOR), COOKIE(token));
	ALLOWED(COOKIE(token), .method = "POST", .tenant = tenant(CORAL));
	REFUSED(TENANT_FORBIDDEN, COOKIE(token), .tenant = tenant(ANNA_PERSONAL));
	REFUSED(TENANT_FORBIDDEN, COOKIE(token), .tenant = tenant(OASIS));
}

/* ---- the rest ---- */

static void the_allow_names_the_user(void **state)
{
	(void)state;
	SAYS(PRINCIPAL, fixture_id(KS_ID_USER, ANNA), COOKIE(anna));
	SAYS(KIND, "session", COOKIE(anna));
	SAYS(ENVIRONMENT, "live", COOKIE(anna));
	SAYS(FAMILY, "contacts", COOKIE(anna));
	SAYS(RATE_LIMIT, "", COOKIE(anna));
}

static void the_session_alone(void **state)
{
	(void)state;
	SAYS(PRINCIPAL, fixture_id(KS_ID_USER, ANNA), COOKIE(anna), .alone = true);
	SAYS(TENANT, tenant(ANNA_PERSONAL), COOKIE(anna), .alone = true, .tenant = tenant(EAST));
	SAYS(SCOPES, ALL_OF_ANNA, COOKIE(anna), .alone = true, .tenant = tenant(EAST));
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES, BLUE, EAST), COOKIE(anna), .alone = true);
	LOOKUP_FAILS(SESSION_CARRIER, .token = anna, .alone = true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_people, close_people)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(only_the_cookie_carries_a_session),
		TEST(a_session_ends),
		TEST(a_session_is_its_user),
		TEST(a_token_is_no_issuer),
		TEST(families_take_sessions_or_not),
		TEST(scopes_come_from_the_roles),
		TEST(what_is_had_elsewhere_does_not_count),
		TEST(roles_that_cover_a_tenant_add_up),
		TEST(a_role_changes_for_all_at_once),
		TEST(without_a_role_nothing),
		TEST(a_session_acts_in_its_personal_tenant_or_where_it_is_sent),
		TEST(what_is_not_seen_is_as_if_it_were_not_there),
		TEST(visible_is_where_the_request_may_be_done),
		TEST(sees_says_the_same),
		TEST(the_operators_people_see_what_they_are_members_of),
		TEST(the_allow_names_the_user),
		TEST(the_session_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
