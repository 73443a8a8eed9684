/* SPDX-License-Identifier: Apache-2.0 */
/** The fixture's world with roles, and short ways to ask in it. Included after <cmocka.h>.
 *
 * ANNA is administrator of SALES (and below), account reader in EAST, clerk in BLUE, and administrator of DUNE, which is
 * suspended. A clerk may write contacts and cannot read them. */
#pragma once

#include "fixture.h"
#include "ring/ring_priv.h"

#define CLERK 4
#define AUDITOR 5

static const char people_policy[] =
	"version: 1\n"
	"scopes:\n"
	"  contacts:read: {about: Read contacts, default: true}\n"
	"  contacts:write: {about: Write contacts}\n"
	"  trust:read: {about: Read trust}\n"
	"  billing:pay: {about: Pay, opt_in: true}\n"
	"roles:\n"
	"  clerk: {scopes: [contacts:write]}\n"
	"  auditor: {scopes: [trust:read]}\n"
	"families:\n"
	"  contacts:\n"
	"    routes: [/contacts]\n"
	"    kinds: [session, tenant, partner]\n"
	"    scopes: {GET: contacts:read, PATCH: contacts:write, '*': [contacts:write, contacts:read]}\n"
	"  billing:\n"
	"    routes: [/billing]\n"
	"    kinds: [session, tenant]\n"
	"    scopes: {POST: billing:pay}\n"
	"  explicit:\n"
	"    routes: [/explicit]\n"
	"    kinds: [session, tenant, partner]\n"
	"    scopes: {GET: contacts:read}\n"
	"    tenant_header: required\n"
	"  allocation:\n"
	"    routes: [/allocation]\n"
	"    kinds: [session, tenant, partner]\n"
	"    scopes: {GET: contacts:read}\n"
	"    tenant_header: required_for_partner\n"
	"  own:\n"
	"    routes: [/own]\n"
	"    kinds: [session, tenant]\n"
	"    scopes: {GET: contacts:read}\n"
	"    tenant_header: refused\n"
	"  trust:\n"
	"    routes: [/trust]\n"
	"    kinds: [session, tenant]\n"
	"    scopes: {GET: trust:read}\n"
	"    inherited: true\n"
	"  console:\n"
	"    routes: [/console]\n"
	"    kinds: [session]\n"
	"    scopes: {GET: contacts:read}\n"
	"  keys:\n"
	"    routes: [/keys]\n"
	"    kinds: [tenant, partner, runtime]\n"
	"    scopes: {GET: contacts:read}\n"
	"  trial:\n"
	"    routes: [/trial]\n"
	"    kinds: [session, tenant]\n"
	"    scopes: {GET: contacts:read}\n"
	"    environments: [sandbox]\n";

static struct fixture f;
static char anna[KS_TOKEN_TEXT_SIZE];

static inline void put_anna(bool disabled)
{
	static const struct ks_ring_membership_record memberships[] = {{SALES, KS_ROLE_ADMINISTRATOR, true},
								       {EAST, KS_ROLE_ACCOUNT_READER, false},
								       {BLUE, CLERK, false},
								       {DUNE, KS_ROLE_ADMINISTRATOR, true}};

	fixture_must(ks_ring_put_user(&f.ring, ANNA, disabled, memberships, KS_ARRAY_LEN(memberships)) == KS_OK);
}

static inline int open_people(void **state)
{
	(void)state;
	fixture_open(&f);
	fixture_policy_put(&f, KS_RING_POLICY_PLATFORM, people_policy);
	fixture_roles_put(&f, people_policy);
	fixture_must(ks_ring_role(&f.ring, KS_STR("clerk")) == CLERK);
	fixture_must(ks_ring_role(&f.ring, KS_STR("auditor")) == AUDITOR);
	put_anna(false);
	fixture_session_put(&f, ANNA, INT64_MAX, false, anna);
	return 0;
}

static inline int close_people(void **state)
{
	(void)state;
	fixture_close(&f);
	return 0;
}

static inline void assert_reason(const struct question *q, enum ks_reason reason)
{
	struct ks_decision d = ask(&f, q);

	assert_string_equal(ks_reason_info(d.reason)->code, ks_reason_info(reason)->code);
	assert_int_equal(d.step, ks_reason_info(reason)->step);
}

static inline void assert_lookup(const struct question *q, enum ks_lookup_detail detail)
{
	struct ks_decision d = ask(&f, q);

	assert_string_equal(ks_lookup_detail_text(d.lookup), ks_lookup_detail_text(detail));
	assert_int_equal(d.reason, ks_lookup_detail_is_expired(detail) ? KS_REASON_CREDENTIAL_EXPIRED
								      : KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(d.step, KS_STEP_LOOKUP);
}

static inline void assert_missing(const struct question *q, const char *scope)
{
	struct ks_decision d = ask(&f, q);

	assert_string_equal(ks_reason_info(d.reason)->code, "scope_missing");
	assert_true(ks_str_eq(ks_scope_name(f.ring.scopes, d.missing_scope), ks_str_c(scope)));
}

/* `field` of the allow that answers `q`. */
static inline void assert_says(const struct question *q, enum ks_identity_header field, const char *want)
{
	struct ks_decision d = ask(&f, q);
	char text[1024];
	struct ks_buf out = KS_BUF(text);

	assert_string_equal(ks_reason_info(d.reason)->code, "ok");
	ks_identity_put(&f.ring, &d, field, &out);
	assert_string_equal(ks_buf_z(&out), want);
}

/* The ids of tenants, joined by commas; static room. */
static inline const char *ids(const uint64_t *tenants, size_t count)
{
	static char text[1024];
	struct ks_buf out = KS_BUF(text);

	for (size_t i = 0; i < count; i++) {
		if (i > 0)
			ks_buf_put_byte(&out, ',');
		ks_decision_put_tenant(&f.ring, ks_ring_tenant(&f.ring, tenants[i]), &out);
	}
	return ks_buf_z(&out);
}

static inline bool sees(const struct question *q, uint64_t tenant)
{
	struct ks_decision d = ask(&f, q);

	assert_int_equal(d.reason, KS_REASON_OK);
	return ks_decision_sees(&f.ring, &d, ks_ring_tenant(&f.ring, tenant));
}

static inline const char *tenant(uint64_t id)
{
	return fixture_id((enum ks_id_type)f.ring.tenants[ks_ring_tenant(&f.ring, id)].kind, id);
}

#define Q(...) (&(struct question){__VA_ARGS__})
#define REFUSED(reason, ...) assert_reason(Q(__VA_ARGS__), KS_REASON_##reason)
#define ALLOWED(...) assert_reason(Q(__VA_ARGS__), KS_REASON_OK)
#define LOOKUP_FAILS(detail, ...) assert_lookup(Q(__VA_ARGS__), KS_LOOKUP_##detail)
#define LACKS(scope, ...) assert_missing(Q(__VA_ARGS__), scope)
#define SAYS(field, want, ...) assert_says(Q(__VA_ARGS__), KS_IDENTITY_##field, want)
#define IDS(...) ids((const uint64_t[]){__VA_ARGS__}, sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
/** The session's token as the console's cookie. */
#define COOKIE(of) .api_key = (of), .api_key_kinds = KS_KIND_BIT(KS_KIND_SESSION)
#define ALL_OF_ANNA "contacts:read contacts:write trust:read"
