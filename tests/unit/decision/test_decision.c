/* SPDX-License-Identifier: Apache-2.0 */
/* The steps of docs/internals/decision.md one by one: what each refuses, then what passes it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ctenc.h"
#include "fixture.h"

#define SPACE_HOST "acme." DOMAIN_NAME
#define ALL "contacts:read contacts:write trust:read trust:write"

/* Keys of every binding, all scopes. */
struct tokens {
	char operator[KS_TOKEN_TEXT_SIZE], runtime[KS_TOKEN_TEXT_SIZE], partner[KS_TOKEN_TEXT_SIZE];
	char acme[KS_TOKEN_TEXT_SIZE], sales[KS_TOKEN_TEXT_SIZE], lab[KS_TOKEN_TEXT_SIZE];
	char anna[KS_TOKEN_TEXT_SIZE], bert[KS_TOKEN_TEXT_SIZE], oasis[KS_TOKEN_TEXT_SIZE], east[KS_TOKEN_TEXT_SIZE];
};

static struct fixture f;
static struct tokens t;

static void put(uint64_t tenant, enum ks_kind kind, enum ks_binding binding, char *ret_token)
{
	fixture_key_put(&f, &(struct fixture_key){.tenant = tenant, .kind = kind, .binding = binding, .scopes = ALL},
			ret_token);
}

static int open_world(void **state)
{
	(void)state;
	fixture_open(&f);
	put(OPERATOR, KS_KIND_TENANT, KS_BINDING_OPERATOR, t.operator);
	put(OPERATOR, KS_KIND_RUNTIME, KS_BINDING_OPERATOR, t.runtime);
	put(PARTNER_P, KS_KIND_PARTNER, KS_BINDING_PARTNER, t.partner);
	put(ACME, KS_KIND_TENANT, KS_BINDING_ORGANIZATION, t.acme);
	put(SALES, KS_KIND_TENANT, KS_BINDING_SUB_ENTITY, t.sales);
	put(LAB, KS_KIND_TENANT, KS_BINDING_PROJECT, t.lab);
	put(ANNA_PERSONAL, KS_KIND_TENANT, KS_BINDING_USER, t.anna);
	put(BERT_PERSONAL, KS_KIND_TENANT, KS_BINDING_USER, t.bert);
	put(OASIS, KS_KIND_TENANT, KS_BINDING_SUB_ENTITY, t.oasis);
	put(EAST, KS_KIND_TENANT, KS_BINDING_ORGANIZATION, t.east);
	return 0;
}

static int close_world(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

static void assert_reason(const struct question *q, enum ks_reason reason)
{
	struct ks_decision d = ask(&f, q);

	assert_string_equal(ks_reason_info(d.reason)->code, ks_reason_info(reason)->code);
	assert_int_equal(d.step, ks_reason_info(reason)->step);
}

static void assert_lookup(const struct question *q, enum ks_lookup_detail detail)
{
	struct ks_decision d = ask(&f, q);

	assert_string_equal(ks_lookup_detail_text(d.lookup), ks_lookup_detail_text(detail));
	assert_int_equal(d.reason, detail == KS_LOOKUP_EXPIRED ? KS_REASON_CREDENTIAL_EXPIRED
							       : KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(d.step, KS_STEP_LOOKUP);
}

#define REFUSED(reason, ...) assert_reason(&(struct question){__VA_ARGS__}, KS_REASON_##reason)
#define ALLOWED(...) assert_reason(&(struct question){__VA_ARGS__}, KS_REASON_OK)
#define LOOKUP_FAILS(detail, ...) assert_lookup(&(struct question){__VA_ARGS__}, KS_LOOKUP_##detail)

/* ---- before the first step ---- */

static void a_lease_that_ran_out_is_stale(void **state)
{
	(void)state;
	ks_ring_set_lease(&f.ring, NOW);
	REFUSED(STALE, .token = t.acme);
	REFUSED(STALE, .path = "no path");
	ks_ring_set_lease(&f.ring, NOW + 1);
	ALLOWED(.token = t.acme);
}

static void a_ring_that_was_not_finished_is_stale(void **state)
{
	(void)state;
	atomic_store(&f.ring.header->complete, 0);
	REFUSED(STALE, .token = t.acme);
	REFUSED(STALE, .token = t.acme, .alone = true);
}

/* ---- 1 ---- */

static void nothing_presented(void **state)
{
	(void)state;
	REFUSED(CREDENTIAL_MISSING, .path = "/contacts");
	REFUSED(CREDENTIAL_MISSING, .authorization = "", .api_key = "");
	REFUSED(CREDENTIAL_MISSING, .path = "not a path", .method = "");
	REFUSED(CREDENTIAL_MISSING, .alone = true);
}

static void malformed_credentials(void **state)
{
	(void)state;
	REFUSED(CREDENTIAL_MALFORMED, .token = t.acme, .api_key = t.acme);
	REFUSED(CREDENTIAL_MALFORMED, .authorization = "Digest x");
	REFUSED(CREDENTIAL_MALFORMED, .authorization = "Bearer");
	REFUSED(CREDENTIAL_MALFORMED, .token = "short");
	REFUSED(CREDENTIAL_MALFORMED, .token = "ks_00000000000000000000000000000064_00000000");
	REFUSED(CREDENTIAL_MALFORMED, .token = "ks_00000000000000000000000000000064_00000000", .path = "//");
}

static void foreign_tokens_only_where_keys_were_imported(void **state)
{
	static const char foreign[] = "Imported.Token-1";
	char token[KS_TOKEN_TEXT_SIZE];

	(void)state;
	REFUSED(CREDENTIAL_MALFORMED, .token = foreign);
	ks_ring_set_foreign(&f.ring);
	LOOKUP_FAILS(UNKNOWN, .token = foreign);
	fixture_key_put(&f, &(struct fixture_key){KEY_OF(ACME, ORGANIZATION), .scopes = ALL, .token = foreign}, token);
	ALLOWED(.token = foreign);
}

/* ---- 2 ---- */

static void unknown_and_jwt(void **state)
{
	(void)state;
	LOOKUP_FAILS(UNKNOWN, .token = "ks_ffffffffffffffffffffffffffffffff");
	LOOKUP_FAILS(ISSUER, .token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln");
	assert_null(ask(&f, &(struct question){.token = "ks_ffffffffffffffffffffffffffffffff"}).key);
}

static void revoked_before_expired_before_the_tenant(void **state)
{
	struct fixture_key key = {KEY_OF(OASIS, SUB_ENTITY),
				  .ends_ms = NOW, .revoked = true};
	char revoked[KS_TOKEN_TEXT_SIZE], expired[KS_TOKEN_TEXT_SIZE], rotated[KS_TOKEN_TEXT_SIZE];

	(void)state;
	fixture_key_put(&f, &key, revoked);
	key.revoked = false;
	fixture_key_put(&f, &key, expired);
	key.rotated_out = true;
	fixture_key_put(&f, &key, rotated);
	LOOKUP_FAILS(REVOKED, .token = revoked);
	LOOKUP_FAILS(EXPIRED, .token = expired);
	LOOKUP_FAILS(ROTATED_OUT, .token = rotated);
	LOOKUP_FAILS(TENANT_INACTIVE, .token = expired, .now_ms = NOW - 1);
	LOOKUP_FAILS(TENANT_INACTIVE, .token = rotated, .now_ms = NOW - 1);
}

static void the_end_is_exact(void **state)
{
	struct fixture_key key = {KEY_OF(ACME, ORGANIZATION),
				  .scopes = ALL, .ends_ms = NOW};
	char token[KS_TOKEN_TEXT_SIZE];

	(void)state;
	fixture_key_put(&f, &key, token);
	ALLOWED(.token = token, .now_ms = NOW - 1);
	LOOKUP_FAILS(EXPIRED, .token = token, .now_ms = NOW);
	LOOKUP_FAILS(EXPIRED, .token = token, .now_ms = NOW + 1);
	ALLOWED(.token = t.acme, .now_ms = KS_TIME_MAX);
}

static void suspension_reaches_down(void **state)
{
	(void)state;
	LOOKUP_FAILS(TENANT_INACTIVE, .token = t.oasis);
	fixture_tenant(&f, DUNE, OPERATOR, KS_TENANT_KIND_ORGANIZATION, "dune", 0, false);
	ALLOWED(.token = t.oasis);
	fixture_tenant(&f, PARTNER_P, OPERATOR, KS_TENANT_KIND_PARTNER, NULL, 0, true);
	LOOKUP_FAILS(TENANT_INACTIVE, .token = t.partner);
	LOOKUP_FAILS(TENANT_INACTIVE, .token = t.lab);
	LOOKUP_FAILS(TENANT_INACTIVE, .token = t.anna);
	LOOKUP_FAILS(TENANT_INACTIVE, .token = t.bert);
}

static void disabled_users(void **state)
{
	(void)state;
	LOOKUP_FAILS(USER_DISABLED, .token = t.bert);
	ALLOWED(.token = t.anna);
	fixture_must(ks_ring_put_user(&f.ring, ANNA, true, NULL, 0) == KS_OK);
	LOOKUP_FAILS(USER_DISABLED, .token = t.anna);
}

static void carriers_of_another_kind(void **state)
{
	(void)state;
	LOOKUP_FAILS(CARRIER, .api_key = t.acme, .api_key_kinds = KS_KIND_BIT(KS_KIND_PARTNER));
	LOOKUP_FAILS(CARRIER, .api_key = t.runtime, .api_key_kinds = KS_KIND_BIT(KS_KIND_TENANT));
	ALLOWED(.api_key = t.acme, .api_key_kinds = KS_KIND_BIT(KS_KIND_TENANT));
	ALLOWED(.api_key = t.acme);
}

/* "Basic" and the base64 of user:token; static room. */
static const char *basic(const char *user, const char *token)
{
	static char text[1024];
	char plain[512], encoded[700];
	struct ks_buf pair = KS_BUF(plain), value = KS_BUF(text);
	size_t n;

	ks_buf_put_c(&pair, user);
	ks_buf_put_byte(&pair, ':');
	ks_buf_put_c(&pair, token);
	n = ks_base64_encode((const unsigned char *)plain, pair.n, encoded, sizeof(encoded));
	ks_buf_put_c(&value, "Basic ");
	ks_buf_put(&value, ks_str_of(encoded, n));
	return ks_buf_z(&value);
}

static void basic_asks_binding_then_project_then_space(void **state)
{
	const char *lab = fixture_id(KS_ID_PROJECT, LAB), *acme = fixture_id(KS_ID_ORGANIZATION, ACME);

	(void)state;
	LOOKUP_FAILS(NOT_PROJECT, .authorization = basic(acme, t.acme), .host = SPACE_HOST);
	LOOKUP_FAILS(PROJECT, .authorization = basic("", t.lab), .host = SPACE_HOST);
	LOOKUP_FAILS(PROJECT, .authorization = basic(fixture_id(KS_ID_PROJECT, NORTH), t.lab), .host = SPACE_HOST);
	LOOKUP_FAILS(PROJECT, .authorization = basic(fixture_id(KS_ID_SUB_ENTITY, LAB), t.lab), .host = SPACE_HOST);
	LOOKUP_FAILS(SPACE, .authorization = basic(lab, t.lab));
	LOOKUP_FAILS(SPACE, .authorization = basic(lab, t.lab), .host = "blue." DOMAIN_NAME);
	ALLOWED(.authorization = basic(lab, t.lab), .host = SPACE_HOST);
	assert_true(f.credential.basic_tried);
}

static void hosts(void **state)
{
	static const char *const good[] = {SPACE_HOST, "ACME.Keystile.TEST", SPACE_HOST ".", SPACE_HOST ":443",
					   SPACE_HOST ".:8443", SPACE_HOST ":"};
	static const char *const bad[] = {"acme", DOMAIN_NAME, "." DOMAIN_NAME, "x" SPACE_HOST, "x." SPACE_HOST,
					  SPACE_HOST "..", SPACE_HOST ":443.", SPACE_HOST ":80:80", SPACE_HOST ":x",
					  " " SPACE_HOST, "acme-" DOMAIN_NAME, ":443", "443", ".", ":"};
	const char *authorization = basic(fixture_id(KS_ID_PROJECT, LAB), t.lab);

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		LOOKUP_FAILS(SPACE, .authorization = authorization, .host = bad[i]);
	for (size_t i = 0; i < KS_ARRAY_LEN(good); i++)
		ALLOWED(.authorization = authorization, .host = good[i]);
}

static void a_space_needs_a_slug_and_a_domain(void **state)
{
	char token[KS_TOKEN_TEXT_SIZE];
	const char *authorization;

	(void)state;
	fixture_tenant(&f, 50, EAST, KS_TENANT_KIND_PROJECT, NULL, 0, false);
	put(50, KS_KIND_TENANT, KS_BINDING_PROJECT, token);
	authorization = basic(fixture_id(KS_ID_PROJECT, 50), token);
	LOOKUP_FAILS(SPACE, .authorization = authorization, .host = "." DOMAIN_NAME);
	f.ring.header->domain[0] = '\0';
	authorization = basic(fixture_id(KS_ID_PROJECT, LAB), t.lab);
	LOOKUP_FAILS(SPACE, .authorization = authorization, .host = "acme.");
	LOOKUP_FAILS(SPACE, .authorization = authorization, .host = "acme");
}

/* ---- 3 and 4 ---- */

static void paths(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = t.acme, .path = "/contacts/../admin"});

	(void)state;
	assert_int_equal(d.reason, KS_REASON_PATH_AMBIGUOUS);
	assert_int_equal(d.path_problem, KS_PATH_DOT_SEGMENT);
	assert_null(d.rule);
	REFUSED(PATH_AMBIGUOUS, .token = t.acme, .path = "");
	REFUSED(PATH_AMBIGUOUS, .token = t.acme, .path = "", .method = "");
	REFUSED(PATH_AMBIGUOUS, .token = t.acme, .path = "/contacts//1");
	REFUSED(PATH_AMBIGUOUS, .token = t.runtime, .path = "/%2e", .method = "bad method");
	/* A path that is wrong says nothing before the credential was asked. */
	LOOKUP_FAILS(UNKNOWN, .token = "ks_ffffffffffffffffffffffffffffffff", .path = "//");
	assert_int_equal(ask(&f, &(struct question){.token = t.bert, .path = "//"}).path_problem, KS_PATH_OK);
	ALLOWED(.token = t.acme, .path = "/contacts/1?x=//..");
}

static void routes(void **state)
{
	(void)state;
	REFUSED(ROUTE_UNKNOWN, .token = t.acme, .path = "/");
	REFUSED(ROUTE_UNKNOWN, .token = t.acme, .path = "/live/1", .method = "POST");
	REFUSED(ROUTE_UNKNOWN, .token = t.acme, .path = "/live/");
	REFUSED(ROUTE_UNKNOWN, .token = t.acme, .method = "GE T");
	REFUSED(ROUTE_UNKNOWN, .token = t.acme, .method = "");
	ALLOWED(.token = t.acme, .path = "/contacts/a/b/");
}

static void nothing_is_allowed_by_default(void **state)
{
	char token[KS_TOKEN_TEXT_SIZE];

	(void)state;
	fixture_key_put(&f, &(struct fixture_key){KEY_OF(ACME, ORGANIZATION)}, token);
	REFUSED(SCOPE_MISSING, .token = token);
	atomic_store(&f.ring.header->policy_at[KS_RING_POLICY_PLATFORM], 0);
	REFUSED(ROUTE_UNKNOWN, .token = t.operator);
	REFUSED(ROUTE_UNKNOWN, .token = t.acme);
}

/* ---- 5 and 6 ---- */

static void kinds(void **state)
{
	(void)state;
	REFUSED(KIND_NOT_ALLOWED, .token = t.acme, .path = "/server");
	REFUSED(KIND_NOT_ALLOWED, .token = t.operator, .path = "/server");
	REFUSED(KIND_NOT_ALLOWED, .token = t.runtime);
	REFUSED(KIND_NOT_ALLOWED, .token = t.partner, .path = "/live/1");
	ALLOWED(.token = t.runtime, .path = "/server");
}

static void environments(void **state)
{
	struct fixture_key key = {KEY_OF(ACME, ORGANIZATION),
				  .environment = KS_ENVIRONMENT_SANDBOX, .scopes = "", .cidr = "192.0.2.0/24"};
	char token[KS_TOKEN_TEXT_SIZE];

	(void)state;
	fixture_key_put(&f, &key, token);
	REFUSED(ENVIRONMENT_MISMATCH, .token = token, .path = "/live/1");
	REFUSED(ADDRESS_NOT_ALLOWED, .token = token);
	REFUSED(SCOPE_MISSING, .token = token, .address = "192.0.2.1");
	ALLOWED(.token = t.acme, .path = "/live/1");
}

static void addresses(void **state)
{
	struct fixture_key key = {KEY_OF(ACME, ORGANIZATION), .scopes = ALL,
				  .cidr = "192.0.2.128/25"};
	char token[KS_TOKEN_TEXT_SIZE];

	(void)state;
	fixture_key_put(&f, &key, token);
	REFUSED(ADDRESS_NOT_ALLOWED, .token = token);
	REFUSED(ADDRESS_NOT_ALLOWED, .token = token, .address = "unknown");
	REFUSED(ADDRESS_NOT_ALLOWED, .token = token, .address = "192.0.2.127");
	REFUSED(ADDRESS_NOT_ALLOWED, .token = token, .address = "::192.0.2.128");
	ALLOWED(.token = token, .address = "192.0.2.128");
	ALLOWED(.token = token, .address = "::ffff:192.0.2.255");
	ALLOWED(.token = t.acme, .address = "unknown");
}

/* ---- 7 ---- */

static void scopes(void **state)
{
	struct fixture_key key = {KEY_OF(ACME, ORGANIZATION),
				  .scopes = "contacts:write trust:read"};
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_decision d;

	(void)state;
	fixture_key_put(&f, &key, token);
	REFUSED(SCOPE_MISSING, .token = token);
	/* Refused for the scope before the tenant is asked. */
	REFUSED(SCOPE_MISSING, .token = token, .tenant = "nobody");
	d = ask(&f, &(struct question){.token = token, .method = "POST"});
	assert_int_equal(d.reason, KS_REASON_SCOPE_MISSING);
	assert_string_equal(ks_scope_name(f.ring.scopes, d.missing_scope).p, "contacts:read");
	ALLOWED(.token = token, .path = "/trust");
	ALLOWED(.token = t.acme, .method = "POST");
}

static void the_first_missing_scope_is_named(void **state)
{
	struct fixture_key key = {KEY_OF(ACME, ORGANIZATION),
				  .scopes = "trust:read"};
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_decision d;

	(void)state;
	fixture_key_put(&f, &key, token);
	d = ask(&f, &(struct question){.token = token, .method = "POST"});
	assert_string_equal(ks_scope_name(f.ring.scopes, d.missing_scope).p, "contacts:write");
}

/* ---- 8 ---- */

static void tenant_header_rules(void **state)
{
	const char *acme = fixture_id(KS_ID_ORGANIZATION, ACME);

	(void)state;
	REFUSED(TENANT_FORBIDDEN, .token = t.acme, .tenant = acme, .tenant_repeated = true);
	REFUSED(TENANT_FORBIDDEN, .token = t.acme, .path = "/own", .tenant = acme);
	REFUSED(TENANT_REQUIRED, .token = t.acme, .path = "/explicit");
	REFUSED(TENANT_REQUIRED, .token = t.partner, .path = "/explicit");
	REFUSED(TENANT_REQUIRED, .token = t.partner, .path = "/allocation");
	ALLOWED(.token = t.partner, .path = "/allocation", .tenant = acme);
	ALLOWED(.token = t.acme, .path = "/allocation");
	ALLOWED(.token = t.acme, .path = "/explicit", .tenant = acme);
	ALLOWED(.token = t.acme, .path = "/own");
}

static void texts_that_are_no_tenant(void **state)
{
	static const char *const bad[] = {"x",    " ", "*", "org_", "org_0000000000000", "0000000000003",
					  "org_000000000000u"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		REFUSED(TENANT_FORBIDDEN, .token = t.operator, .tenant = bad[i]);
	REFUSED(TENANT_FORBIDDEN, .token = t.operator, .tenant = fixture_id(KS_ID_ORGANIZATION, 77));
	REFUSED(TENANT_FORBIDDEN, .token = t.operator, .tenant = fixture_id(KS_ID_SUB_ENTITY, ACME));
	REFUSED(TENANT_FORBIDDEN, .token = t.operator, .tenant = fixture_id(KS_ID_KEY, ACME));
	REFUSED(TENANT_FORBIDDEN, .token = t.operator, .tenant = fixture_id(KS_ID_USER, ANNA));
}

/* Which of the world's tenants each key may name, on a route where partners may name themselves. */
static const struct {
	enum ks_id_type type;
	uint64_t tenant;
	const char *seen_by; /* o operator, p partner P, a ACME, s SALES, l LAB, u user ANNA, e EAST */
} visibility[] = {
	{KS_ID_OPERATOR, OPERATOR, "o"},
	{KS_ID_PARTNER, PARTNER_P, "op"},
	{KS_ID_ORGANIZATION, ACME, "opa"},
	{KS_ID_SUB_ENTITY, SALES, "oasu"},
	{KS_ID_SUB_ENTITY, NORTH, "oasu"},
	{KS_ID_PROJECT, LAB, "oaslu"},
	{KS_ID_PERSONAL, ANNA_PERSONAL, "ou"},
	{KS_ID_PERSONAL, BERT_PERSONAL, "o"},
	{KS_ID_ORGANIZATION, BLUE, "op"},
	{KS_ID_PARTNER, PARTNER_Q, "o"},
	{KS_ID_ORGANIZATION, CORAL, "o"},
	{KS_ID_ORGANIZATION, DUNE, ""},
	{KS_ID_SUB_ENTITY, OASIS, ""},
	{KS_ID_ORGANIZATION, EAST, "oue"},
};

static void who_sees_what(void **state)
{
	const struct {
		char letter;
		const char *token;
	} keys[] = {{'o', t.operator}, {'p', t.partner}, {'a', t.acme}, {'s', t.sales},
		    {'l', t.lab},      {'u', t.anna},    {'e', t.east}};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(visibility); i++) {
		const char *id = fixture_id(visibility[i].type, visibility[i].tenant);
		uint32_t index = ks_ring_tenant(&f.ring, visibility[i].tenant);

		for (size_t k = 0; k < KS_ARRAY_LEN(keys); k++) {
			bool seen = strchr(visibility[i].seen_by, keys[k].letter) != NULL;
			struct ks_decision d = ask(&f, &(struct question){.token = keys[k].token, .tenant = id});
			struct ks_decision own = ask(&f, &(struct question){.token = keys[k].token});

			assert_int_equal(d.reason, seen ? KS_REASON_OK : KS_REASON_TENANT_FORBIDDEN);
			assert_int_equal(d.tenant, seen ? index : KS_RING_NONE);
			/* ks_decision_sees says nothing of suspension, which only the two in DUNE are under. */
			if (visibility[i].tenant != DUNE && visibility[i].tenant != OASIS)
				assert_int_equal(ks_decision_sees(&f.ring, &own, index), seen);
			assert_false(!seen && ks_decision_sees(&f.ring, &d, index));
		}
	}
}

static void suspended_memberships_do_not_count(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = t.anna});
	uint32_t oasis = ks_ring_tenant(&f.ring, OASIS);

	(void)state;
	assert_false(ks_decision_sees(&f.ring, &d, oasis));
	fixture_tenant(&f, DUNE, OPERATOR, KS_TENANT_KIND_ORGANIZATION, "dune", 0, false);
	assert_true(ks_decision_sees(&f.ring, &d, oasis));
	ALLOWED(.token = t.anna, .tenant = fixture_id(KS_ID_SUB_ENTITY, OASIS));
}

static void a_partner_may_not_name_itself_where_it_must_choose(void **state)
{
	const char *self = fixture_id(KS_ID_PARTNER, PARTNER_P), *sales = fixture_id(KS_ID_SUB_ENTITY, SALES);

	(void)state;
	REFUSED(TENANT_FORBIDDEN, .token = t.partner, .path = "/allocation", .tenant = self);
	REFUSED(TENANT_FORBIDDEN, .token = t.partner, .path = "/explicit", .tenant = self);
	REFUSED(TENANT_FORBIDDEN, .token = t.partner, .path = "/explicit", .tenant = sales);
	ALLOWED(.token = t.partner, .tenant = self);
	ALLOWED(.token = t.operator, .path = "/explicit", .tenant = self);
}

static void what_an_allow_carries(void **state)
{
	const char *blue = fixture_id(KS_ID_ORGANIZATION, BLUE);
	struct ks_decision d = ask(&f, &(struct question){.token = t.partner, .tenant = blue});

	(void)state;
	assert_int_equal(d.tenant, ks_ring_tenant(&f.ring, BLUE));
	assert_int_equal(d.organization, d.tenant);
	assert_int_equal(d.visible_own, d.tenant);
	d = ask(&f, &(struct question){.token = t.partner});
	assert_int_equal(d.tenant, ks_ring_tenant(&f.ring, PARTNER_P));
	assert_int_equal(d.organization, KS_RING_NONE);
	assert_int_equal(d.visible_own, d.tenant);
	d = ask(&f, &(struct question){.token = t.sales, .tenant = fixture_id(KS_ID_PROJECT, LAB)});
	assert_int_equal(d.organization, ks_ring_tenant(&f.ring, ACME));
	assert_int_equal(d.visible_own, ks_ring_tenant(&f.ring, SALES));
	d = ask(&f, &(struct question){.token = t.anna});
	assert_int_equal(d.tenant, ks_ring_tenant(&f.ring, ANNA_PERSONAL));
	assert_int_equal(d.organization, ks_ring_tenant(&f.ring, ACME));
	assert_non_null(d.memberships);
}

static void inherited_reads_walk_up(void **state)
{
	struct ks_decision d = ask(&f, &(struct question){.token = t.lab, .path = "/trust"});

	(void)state;
	assert_int_equal(d.inherited_count, 3);
	assert_int_equal(d.inherited[0], ks_ring_tenant(&f.ring, NORTH));
	assert_int_equal(d.inherited[1], ks_ring_tenant(&f.ring, SALES));
	assert_int_equal(d.inherited[2], ks_ring_tenant(&f.ring, ACME));
	d = ask(&f, &(struct question){.token = t.lab, .path = "/trust", .method = "HEAD"});
	assert_int_equal(d.inherited_count, 3);
	d = ask(&f, &(struct question){.token = t.lab, .path = "/trust", .method = "POST"});
	assert_int_equal(d.reason, KS_REASON_OK);
	assert_int_equal(d.inherited_count, 0);
	assert_int_equal(ask(&f, &(struct question){.token = t.lab}).inherited_count, 0);
	assert_int_equal(ask(&f, &(struct question){.token = t.acme, .path = "/trust"}).inherited_count, 0);
	assert_int_equal(ask(&f, &(struct question){.token = t.partner, .path = "/trust"}).inherited_count, 0);
	assert_int_equal(ask(&f, &(struct question){.token = t.anna, .path = "/trust"}).inherited_count, 1);
}

/* ---- 9 ---- */

static void rates(void **state)
{
	struct fixture_key key = {KEY_OF(ACME, ORGANIZATION), .scopes = ALL,
				  .requests = 2, .window_s = 10};
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_decision d;

	(void)state;
	fixture_key_put(&f, &key, token);
	d = ask(&f, &(struct question){.token = token});
	assert_int_equal(d.rate.limit, 2);
	assert_int_equal(d.rate.window_s, 10);
	assert_int_equal(d.rate.remaining, 1);
	ALLOWED(.token = token);
	d = ask(&f, &(struct question){.token = token});
	assert_int_equal(d.reason, KS_REASON_RATE_LIMITED);
	assert_int_equal(d.step, KS_STEP_RATE);
	assert_int_equal(d.rate.retry_after_s, 5);
	REFUSED(RATE_LIMITED, .token = token, .now_ms = NOW + 4999);
	ALLOWED(.token = token, .now_ms = NOW + 5000);
	assert_int_equal(ask(&f, &(struct question){.token = t.acme}).rate.limit, 0);
}

/* ---- the credential alone ---- */

static void the_credential_alone(void **state)
{
	struct fixture_key key = {KEY_OF(LAB, PROJECT), .requests = 1,
				  .window_s = 100, .cidr = "192.0.2.0/24"};
	char token[KS_TOKEN_TEXT_SIZE];
	struct ks_decision d;

	(void)state;
	fixture_key_put(&f, &key, token);
	REFUSED(ADDRESS_NOT_ALLOWED, .token = token, .alone = true);
	LOOKUP_FAILS(USER_DISABLED, .token = t.bert, .alone = true);
	for (int i = 0; i < 3; i++) {
		d = ask(&f, &(struct question){.token = token, .alone = true, .address = "192.0.2.9", .path = "//",
					       .method = "", .tenant = "nobody", .tenant_repeated = true});
		assert_int_equal(d.reason, KS_REASON_OK);
		assert_int_equal(d.tenant, ks_ring_tenant(&f.ring, LAB));
		assert_int_equal(d.organization, ks_ring_tenant(&f.ring, ACME));
		assert_null(d.rule);
		assert_int_equal(d.rate.limit, 0);
	}
	d = ask(&f, &(struct question){.token = t.partner, .alone = true});
	assert_int_equal(d.visible_own, ks_ring_tenant(&f.ring, PARTNER_P));
	assert_true(ks_decision_sees(&f.ring, &d, ks_ring_tenant(&f.ring, BLUE)));
	assert_true(ks_decision_sees(&f.ring, &d, ks_ring_tenant(&f.ring, PARTNER_P)));
	assert_non_null(ask(&f, &(struct question){.token = t.anna, .alone = true}).memberships);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lease_that_ran_out_is_stale),
		TEST(a_ring_that_was_not_finished_is_stale),
		TEST(nothing_presented),
		TEST(malformed_credentials),
		TEST(foreign_tokens_only_where_keys_were_imported),
		TEST(unknown_and_jwt),
		TEST(revoked_before_expired_before_the_tenant),
		TEST(the_end_is_exact),
		TEST(suspension_reaches_down),
		TEST(disabled_users),
		TEST(carriers_of_another_kind),
		TEST(basic_asks_binding_then_project_then_space),
		TEST(hosts),
		TEST(a_space_needs_a_slug_and_a_domain),
		TEST(paths),
		TEST(routes),
		TEST(nothing_is_allowed_by_default),
		TEST(kinds),
		TEST(environments),
		TEST(addresses),
		TEST(scopes),
		TEST(the_first_missing_scope_is_named),
		TEST(tenant_header_rules),
		TEST(texts_that_are_no_tenant),
		TEST(who_sees_what),
		TEST(suspended_memberships_do_not_count),
		TEST(a_partner_may_not_name_itself_where_it_must_choose),
		TEST(what_an_allow_carries),
		TEST(inherited_reads_walk_up),
		TEST(rates),
		TEST(the_credential_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
