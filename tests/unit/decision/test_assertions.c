/* SPDX-License-Identifier: Apache-2.0 */
/* JWTs, once their signature was checked: docs/internals/decision.md, "JWTs". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "people.h"

#define ISSUER 500
#define ALL "contacts:read contacts:write trust:read billing:pay"

static char acme_key[KS_TOKEN_TEXT_SIZE], partner_key[KS_TOKEN_TEXT_SIZE], anna_key[KS_TOKEN_TEXT_SIZE],
	operator_key[KS_TOKEN_TEXT_SIZE];

static void put(const struct fixture_key *key, char *ret_token)
{
	fixture_key_put(&f, key, ret_token);
}

static int open_world(void **state)
{
	open_people(state);
	put(&(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = ALL, .cidr = "192.0.2.0/24", .requests = 2,
				  .window_s = 60},
	    acme_key);
	put(&(struct fixture_key){.tenant = PARTNER_P, .kind = KS_KIND_PARTNER, .binding = KS_BINDING_PARTNER,
				  .scopes = ALL},
	    partner_key);
	put(&(struct fixture_key){KEY_OF(ANNA_PERSONAL, USER), .scopes = ALL, .environment = KS_ENVIRONMENT_SANDBOX},
	    anna_key);
	put(&(struct fixture_key){KEY_OF(OPERATOR, OPERATOR), .scopes = ALL}, operator_key);
	assert_int_equal(ks_ring_put_issuer(&f.ring, &(struct ks_ring_issuer_record){ISSUER, ACME, false}), KS_OK);
	return 0;
}

static struct ks_assertion made_for(enum ks_assertion_kind kind, const char *token)
{
	struct ks_assertion assertion = {.result = KS_ASSERTION_OK, .kind = kind, .expires_ms = INT64_MAX};

	assert_int_equal(ks_sha256(ks_str_c(token), &assertion.ref), KS_OK);
	return assertion;
}

static struct ks_assertion of_issuer(uint64_t tenant_id, uint16_t role)
{
	struct ks_assertion assertion = {.result = KS_ASSERTION_OK, .kind = KS_ASSERTION_FEDERATED,
					 .expires_ms = INT64_MAX, .tenant = tenant_id, .role_count = 1,
					 .roles = {role}};

	assert_int_equal(ks_ring_issuer_digest(ISSUER, &assertion.ref), KS_OK);
	return assertion;
}

static void narrow_to(struct ks_assertion *assertion, const char *scope)
{
	uint16_t number;

	assert_true(ks_scope_find(f.ring.scopes, ks_str_c(scope), &number));
	assertion->has_scopes = true;
	ks_scopes_set(&assertion->scopes, number);
}

static void narrow_family(struct ks_assertion *assertion, const char *family)
{
	struct ks_buf text = KS_BUF(assertion->family);

	ks_buf_put_c(&text, family);
	(void)ks_buf_z(&text);
}

/* A JWT is presented, and this was found out about it. */
#define JWT(a) .token = JWT_TEXT, .assertion = (a)
#define INSIDE .address = "192.0.2.7"

/* ---- what the check said ---- */

static void nobody_vouches(void **state)
{
	struct ks_assertion a = {.result = KS_ASSERTION_NONE};

	(void)state;
	LOOKUP_FAILS(ISSUER, .token = JWT_TEXT);
	LOOKUP_FAILS(ISSUER, JWT(&a));
	LOOKUP_FAILS(ISSUER, JWT(&a), .alone = true);
}

static void a_check_that_failed_says_why(void **state)
{
	(void)state;
	for (enum ks_lookup_detail detail = KS_LOOKUP_JWT_MALFORMED; detail < KS_LOOKUP_DETAIL_COUNT; detail++) {
		struct ks_assertion a = made_for(KS_ASSERTION_SESSION, anna);

		a.result = KS_ASSERTION_INVALID;
		a.detail = detail;
		assert_lookup(Q(JWT(&a)), detail);
		assert_lookup(Q(JWT(&a), .alone = true), detail);
	}
	LOOKUP_FAILS(ISSUER, JWT((&(struct ks_assertion){.result = KS_ASSERTION_INVALID})));
}

/* What was found of a JWT says nothing of another credential. */
static void an_assertion_without_a_jwt_is_nothing(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_SESSION, anna);

	(void)state;
	REFUSED(CREDENTIAL_MISSING, .assertion = &a);
	LOOKUP_FAILS(UNKNOWN, .token = "ks_ffffffffffffffffffffffffffffffff", .assertion = &a);
	SAYS(PRINCIPAL, fixture_id(KS_ID_KEY, FIRST_KEY + 4), .token = operator_key, .assertion = &a);
}

/* ---- what it was made for ---- */

static void it_must_be_what_it_says(void **state)
{
	const struct {
		enum ks_assertion_kind kind;
		const char *token;
	} right[] = {{KS_ASSERTION_SESSION, anna}, {KS_ASSERTION_EXCHANGED, anna_key}};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(right); i++) {
		for (enum ks_assertion_kind kind = KS_ASSERTION_SESSION; kind <= KS_ASSERTION_FEDERATED; kind++) {
			struct ks_assertion a = made_for(kind, right[i].token);

			if (kind == right[i].kind)
				ALLOWED(JWT(&a), .alone = true);
			else
				LOOKUP_FAILS(JWT_ORIGIN, JWT(&a), .alone = true);
		}
	}
}

static void unknown_origins(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_EXCHANGED, "ks_ffffffffffffffffffffffffffffffff");
	struct ks_assertion issuer = of_issuer(0, KS_ROLE_ADMINISTRATOR);

	(void)state;
	LOOKUP_FAILS(JWT_ORIGIN, JWT(&a));
	issuer.kind = KS_ASSERTION_SESSION;
	LOOKUP_FAILS(JWT_ORIGIN, JWT(&issuer));
	issuer.kind = KS_ASSERTION_EXCHANGED;
	LOOKUP_FAILS(JWT_ORIGIN, JWT(&issuer));
	issuer = of_issuer(0, KS_ROLE_ADMINISTRATOR);
	assert_int_equal(ks_ring_issuer_digest(ISSUER + 1, &issuer.ref), KS_OK);
	LOOKUP_FAILS(JWT_ORIGIN, JWT(&issuer));
}

static void it_dies_with_its_session(void **state)
{
	struct ks_ring_session_record record = {.id = FIRST_KEY, .user = ANNA, .ends_ms = NOW, .ended = false};
	struct ks_assertion a = made_for(KS_ASSERTION_SESSION, anna);

	(void)state;
	record.digest = a.ref;
	ALLOWED(JWT(&a));
	put_anna(true);
	LOOKUP_FAILS(USER_DISABLED, JWT(&a));
	put_anna(false);
	assert_int_equal(ks_ring_put_session(&f.ring, &record), KS_OK);
	LOOKUP_FAILS(SESSION_EXPIRED, JWT(&a));
	record.ended = true;
	assert_int_equal(ks_ring_put_session(&f.ring, &record), KS_OK);
	LOOKUP_FAILS(SESSION_ENDED, JWT(&a));
}

static void it_dies_with_its_key(void **state)
{
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_assertion a;

	(void)state;
	put(&(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = ALL, .revoked = true}, token);
	a = made_for(KS_ASSERTION_EXCHANGED, token);
	LOOKUP_FAILS(REVOKED, JWT(&a));
	put(&(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = ALL, .ends_ms = NOW}, token);
	a = made_for(KS_ASSERTION_EXCHANGED, token);
	LOOKUP_FAILS(EXPIRED, JWT(&a));
	put(&(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = ALL, .ends_ms = NOW, .rotated_out = true},
	    token);
	a = made_for(KS_ASSERTION_EXCHANGED, token);
	LOOKUP_FAILS(ROTATED_OUT, JWT(&a));
	put(&(struct fixture_key){KEY_OF(OASIS, SUB_ENTITY), .scopes = ALL}, token);
	a = made_for(KS_ASSERTION_EXCHANGED, token);
	LOOKUP_FAILS(TENANT_INACTIVE, JWT(&a));
}

static void it_dies_with_its_issuer(void **state)
{
	struct ks_assertion a = of_issuer(0, KS_ROLE_MEMBER);

	(void)state;
	ALLOWED(JWT(&a));
	assert_int_equal(ks_ring_put_issuer(&f.ring, &(struct ks_ring_issuer_record){ISSUER, ACME, true}), KS_OK);
	LOOKUP_FAILS(ISSUER_REMOVED, JWT(&a));
}

static void its_own_end_counts_too(void **state)
{
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_assertion a = made_for(KS_ASSERTION_SESSION, anna);

	(void)state;
	a.expires_ms = NOW + 1;
	ALLOWED(JWT(&a));
	LOOKUP_FAILS(JWT_EXPIRED, JWT(&a), .now_ms = NOW + 1);
	put_anna(true);
	LOOKUP_FAILS(JWT_EXPIRED, JWT(&a), .now_ms = NOW + 1);
	put_anna(false);
	/* What is revoked is so first. */
	put(&(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = ALL, .revoked = true}, token);
	a = made_for(KS_ASSERTION_EXCHANGED, token);
	a.expires_ms = NOW;
	LOOKUP_FAILS(REVOKED, JWT(&a));
}

static void carriers_of_a_kind_carry_its_jwts(void **state)
{
	struct ks_assertion session = made_for(KS_ASSERTION_SESSION, anna);
	struct ks_assertion key = made_for(KS_ASSERTION_EXCHANGED, operator_key);

	(void)state;
	ALLOWED(.api_key = JWT_TEXT, .assertion = &session);
	ALLOWED(.api_key = JWT_TEXT, .api_key_kinds = KS_KIND_BIT(KS_KIND_SESSION), .assertion = &session);
	ALLOWED(.api_key = JWT_TEXT, .api_key_kinds = KS_KIND_BIT(KS_KIND_TENANT), .assertion = &key);
	LOOKUP_FAILS(CARRIER, .api_key = JWT_TEXT, .api_key_kinds = KS_KIND_BIT(KS_KIND_TENANT), .assertion = &session);
	LOOKUP_FAILS(CARRIER, .api_key = JWT_TEXT, .api_key_kinds = KS_KIND_BIT(KS_KIND_SESSION), .assertion = &key);
}

/* ---- what it may ---- */

static void a_sessions_jwt_is_the_session(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_SESSION, anna);

	(void)state;
	SAYS(PRINCIPAL, fixture_id(KS_ID_USER, ANNA), JWT(&a));
	SAYS(KIND, "session", JWT(&a));
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES), JWT(&a), .method = "POST");
	SAYS(SCOPES, "contacts:read trust:read", JWT(&a), .tenant = tenant(EAST));
	LACKS("contacts:write", JWT(&a), .method = "POST", .tenant = tenant(EAST));
	REFUSED(KIND_NOT_ALLOWED, JWT(&a), .path = "/keys");
}

static void an_exchanged_jwt_is_the_key(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_EXCHANGED, acme_key);
	struct ks_assertion user = made_for(KS_ASSERTION_EXCHANGED, anna_key);

	(void)state;
	REFUSED(ADDRESS_NOT_ALLOWED, JWT(&a));
	SAYS(PRINCIPAL, fixture_id(KS_ID_KEY, FIRST_KEY + 1), JWT(&a), INSIDE);
	SAYS(KIND, "tenant", JWT(&a), INSIDE);
	/* The rate is the key's, whoever of the two asks. */
	REFUSED(RATE_LIMITED, JWT(&a), INSIDE);
	REFUSED(RATE_LIMITED, .token = acme_key, INSIDE);
	REFUSED(KIND_NOT_ALLOWED, JWT(&a), INSIDE, .path = "/console");
	SAYS(ENVIRONMENT, "sandbox", JWT(&user), .path = "/trial");
	SAYS(VISIBLE, IDS(ANNA_PERSONAL, SALES, BLUE, EAST), JWT(&user));
	SAYS(SCOPES, ALL_OF_ANNA " billing:pay", JWT(&user), .tenant = tenant(BLUE));
}

static void narrowed_scopes(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_EXCHANGED, operator_key);
	struct ks_assertion session = made_for(KS_ASSERTION_SESSION, anna);

	(void)state;
	narrow_to(&a, "contacts:read");
	SAYS(SCOPES, "contacts:read", JWT(&a));
	LACKS("contacts:write", JWT(&a), .method = "POST");
	narrow_to(&session, "contacts:write");
	narrow_to(&session, "billing:pay");
	SAYS(SCOPES, "contacts:write", JWT(&session), .method = "PATCH");
	/* Narrowing gives nothing. */
	LACKS("billing:pay", JWT(&session), .method = "POST", .path = "/billing");
	LACKS("contacts:write", JWT(&session), .method = "PATCH", .tenant = tenant(EAST));
	a.scopes = (struct ks_scopes){{0}};
	LACKS("contacts:read", JWT(&a));
}

static void narrowed_families(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_EXCHANGED, operator_key);

	(void)state;
	narrow_family(&a, "contacts");
	ALLOWED(JWT(&a));
	ALLOWED(JWT(&a), .method = "POST");
	LACKS("trust:read", JWT(&a), .path = "/trust");
	REFUSED(ROUTE_UNKNOWN, JWT(&a), .path = "/nowhere");
	REFUSED(KIND_NOT_ALLOWED, JWT(&a), .path = "/console");
	narrow_family(&a, "contact");
	LACKS("contacts:read", JWT(&a));
	/* No family is asked of the credential alone. */
	SAYS(SCOPES, ALL, JWT(&a), .alone = true);
}

static void narrowed_tenants(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_EXCHANGED, operator_key);

	(void)state;
	a.tenant = SALES;
	SAYS(TENANT, tenant(SALES), JWT(&a));
	SAYS(VISIBLE, IDS(SALES), JWT(&a));
	SAYS(TENANT, tenant(LAB), JWT(&a), .tenant = tenant(LAB));
	SAYS(VISIBLE, IDS(SALES), JWT(&a), .tenant = tenant(LAB));
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(ACME));
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(EAST));
	/* It names its tenant. */
	SAYS(TENANT, tenant(SALES), JWT(&a), .path = "/explicit");
	SAYS(TENANT, tenant(SALES), JWT(&a), .path = "/own");
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .path = "/own", .tenant = tenant(SALES));
	for (uint64_t id = OPERATOR; id <= EAST; id++)
		assert_int_equal(sees(Q(JWT(&a)), id), id == SALES || id == NORTH || id == LAB);
	SAYS(TENANT, tenant(SALES), JWT(&a), .alone = true);
}

static void a_tenant_that_is_not_seen(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_EXCHANGED, anna_key);
	const uint64_t bad[] = {ACME, DUNE, OASIS, CORAL, BERT_PERSONAL, ANNA, 4711};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		a.tenant = bad[i];
		LOOKUP_FAILS(JWT_TENANT, JWT(&a));
		LOOKUP_FAILS(JWT_TENANT, JWT(&a), .alone = true);
	}
	a.tenant = ANNA_PERSONAL;
	SAYS(VISIBLE, IDS(ANNA_PERSONAL), JWT(&a));
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(SALES));
	a.tenant = EAST;
	ALLOWED(JWT(&a));
	a.tenant = LAB;
	ALLOWED(JWT(&a));
}

static void a_partner_narrowed_to_one_of_its_organizations(void **state)
{
	struct ks_assertion a = made_for(KS_ASSERTION_EXCHANGED, partner_key);

	(void)state;
	REFUSED(TENANT_REQUIRED, JWT(&a), .path = "/allocation");
	a.tenant = BLUE;
	SAYS(TENANT, tenant(BLUE), JWT(&a), .path = "/allocation");
	SAYS(VISIBLE, IDS(BLUE), JWT(&a), .path = "/allocation");
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(ACME));
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(PARTNER_P));
	a.tenant = PARTNER_P;
	SAYS(TENANT, tenant(ACME), JWT(&a), .tenant = tenant(ACME));
	SAYS(VISIBLE, IDS(ACME), JWT(&a), .tenant = tenant(ACME));
	a.tenant = SALES;
	LOOKUP_FAILS(JWT_TENANT, JWT(&a));
}

/* Account reader of SALES and below, clerk of NORTH: narrowed to SALES, it may write in NORTH and not in SALES. */
static void a_session_may_more_below_its_jwts_tenant(void **state)
{
	const struct ks_ring_membership_record memberships[] = {{SALES, KS_ROLE_ACCOUNT_READER, true},
								{NORTH, CLERK, false}};
	struct ks_assertion a = made_for(KS_ASSERTION_SESSION, anna);

	(void)state;
	assert_int_equal(ks_ring_put_user(&f.ring, ANNA, false, memberships, 2), KS_OK);
	a.tenant = SALES;
	SAYS(VISIBLE, IDS(SALES), JWT(&a), .tenant = tenant(NORTH));
	SAYS(VISIBLE, IDS(NORTH), JWT(&a), .method = "POST", .tenant = tenant(NORTH));
	LACKS("contacts:write", JWT(&a), .method = "POST");
	LACKS("contacts:write", JWT(&a), .method = "POST", .tenant = tenant(ANNA_PERSONAL));
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(ANNA_PERSONAL));
	SAYS(SCOPES, "contacts:read trust:read", JWT(&a));
}

/* ---- foreign issuers ---- */

static void an_issuers_jwt_holds_its_roles_on_its_tenant(void **state)
{
	struct ks_assertion a = of_issuer(SALES, KS_ROLE_ACCOUNT_READER);

	(void)state;
	SAYS(PRINCIPAL, fixture_id(KS_ID_ISSUER, ISSUER), JWT(&a));
	SAYS(KIND, "session", JWT(&a));
	SAYS(ENVIRONMENT, "live", JWT(&a));
	SAYS(TENANT, tenant(SALES), JWT(&a));
	SAYS(ORGANIZATION, tenant(ACME), JWT(&a));
	SAYS(SCOPES, "contacts:read trust:read", JWT(&a));
	SAYS(VISIBLE, IDS(SALES), JWT(&a));
	LACKS("contacts:write", JWT(&a), .method = "POST");
	/* Account readers do not reach below. */
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(NORTH));
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(ACME));
	for (uint64_t id = OPERATOR; id <= EAST; id++)
		assert_int_equal(sees(Q(JWT(&a)), id), id == SALES);
	SAYS(SCOPES, "contacts:read trust:read", JWT(&a), .alone = true);
}

static void an_issuers_administrator_reaches_below(void **state)
{
	struct ks_assertion a = of_issuer(0, KS_ROLE_ADMINISTRATOR);

	(void)state;
	a.roles[a.role_count++] = CLERK;
	SAYS(TENANT, tenant(ACME), JWT(&a));
	SAYS(VISIBLE, IDS(ACME), JWT(&a), .method = "POST", .tenant = tenant(LAB));
	for (uint64_t id = OPERATOR; id <= EAST; id++)
		assert_int_equal(sees(Q(JWT(&a)), id), id == ACME || id == SALES || id == NORTH || id == LAB);
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(ANNA_PERSONAL));
	REFUSED(TENANT_FORBIDDEN, JWT(&a), .tenant = tenant(BLUE));
	/* What a clerk may does not reach below, what the administrator may does. */
	fixture_roles_put(&f, "version: 1\nscopes:\n  contacts:read: {}\n  contacts:write: {}\nroles:\n"
			      "  administrator: {scopes: [contacts:read]}\n  clerk: {scopes: [contacts:write]}\nfamilies:\n"
			      "  a: {routes: [/a], kinds: [session], scopes: {GET: [contacts:read, contacts:write]}}\n");
	ALLOWED(JWT(&a), .method = "POST");
	LACKS("contacts:write", JWT(&a), .method = "POST", .tenant = tenant(LAB));
	ALLOWED(JWT(&a), .tenant = tenant(LAB));
}

static void an_issuer_stays_in_its_organization(void **state)
{
	const uint64_t bad[] = {BLUE, PARTNER_P, OPERATOR, ANNA_PERSONAL, EAST, OASIS, 4711};
	struct ks_assertion whole = of_issuer(0, KS_ROLE_ADMINISTRATOR);

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		struct ks_assertion a = of_issuer(bad[i], KS_ROLE_ADMINISTRATOR);

		LOOKUP_FAILS(JWT_TENANT, JWT(&a));
	}
	fixture_tenant(&f, ACME, PARTNER_P, KS_TENANT_KIND_ORGANIZATION, "acme", 0, true);
	LOOKUP_FAILS(TENANT_INACTIVE, JWT(&whole));
}

static void an_issuers_jwt_without_a_role_may_nothing(void **state)
{
	struct ks_assertion a = of_issuer(0, KS_ROLE_NONE);

	(void)state;
	LACKS("contacts:read", JWT(&a));
	a.role_count = 0;
	LACKS("contacts:read", JWT(&a));
	a = of_issuer(0, 400);
	LACKS("contacts:read", JWT(&a));
	/* A count beyond the list is not believed. */
	a.role_count = 255;
	LACKS("contacts:read", JWT(&a));
	a = of_issuer(0, KS_ROLE_MEMBER);
	SAYS(SCOPES, "contacts:read", JWT(&a));
	narrow_to(&a, "contacts:write");
	LACKS("contacts:read", JWT(&a));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_people)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_vouches),
		TEST(a_check_that_failed_says_why),
		TEST(an_assertion_without_a_jwt_is_nothing),
		TEST(it_must_be_what_it_says),
		TEST(unknown_origins),
		TEST(it_dies_with_its_session),
		TEST(it_dies_with_its_key),
		TEST(it_dies_with_its_issuer),
		TEST(its_own_end_counts_too),
		TEST(carriers_of_a_kind_carry_its_jwts),
		TEST(a_sessions_jwt_is_the_session),
		TEST(an_exchanged_jwt_is_the_key),
		TEST(narrowed_scopes),
		TEST(narrowed_families),
		TEST(narrowed_tenants),
		TEST(a_tenant_that_is_not_seen),
		TEST(a_partner_narrowed_to_one_of_its_organizations),
		TEST(a_session_may_more_below_its_jwts_tenant),
		TEST(an_issuers_jwt_holds_its_roles_on_its_tenant),
		TEST(an_issuers_administrator_reaches_below),
		TEST(an_issuer_stays_in_its_organization),
		TEST(an_issuers_jwt_without_a_role_may_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
