/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile requests against a small world. Each line of the input is one part of the request: Authorization, X-API-Key,
 * method, path, X-Tenant-Id, Host, address, and what checking a JWT found (see read_assertion); a first line "=N" presents
 * key number N instead, "~N" session number N as a cookie. What must hold of every verdict is in check(). */
#include "../unit/decision/fixture.h"

#define KEYS 7
#define SESSIONS 3
#define ISSUER 500
#define PARTS 8

static struct fixture world;
static char tokens[KEYS][KS_TOKEN_TEXT_SIZE];
static char sessions[SESSIONS][KS_TOKEN_TEXT_SIZE];

static void make_people(void)
{
	static const struct ks_ring_membership_record memberships[] = {{SALES, KS_ROLE_ADMINISTRATOR, true},
								       {EAST, KS_ROLE_ACCOUNT_READER, false},
								       {BLUE, KS_ROLE_MEMBER, true},
								       {DUNE, KS_ROLE_ADMINISTRATOR, true}};

	fixture_roles_put(&world, fixture_policy);
	fixture_must(ks_ring_put_user(&world.ring, ANNA, false, memberships, KS_ARRAY_LEN(memberships)) == KS_OK);
	fixture_session_put(&world, ANNA, INT64_MAX, false, sessions[0]);
	fixture_session_put(&world, ANNA, NOW, false, sessions[1]);
	fixture_session_put(&world, BERT, INT64_MAX, false, sessions[2]);
	fixture_must(ks_ring_put_issuer(&world.ring, &(struct ks_ring_issuer_record){ISSUER, ACME, false}) == KS_OK);
}

static void make_world(void)
{
	static const char all[] = "contacts:read contacts:write trust:read trust:write";
	const struct fixture_key keys[KEYS] = {
		{.tenant = OPERATOR, .kind = KS_KIND_RUNTIME, .binding = KS_BINDING_OPERATOR, .scopes = all},
		{.tenant = PARTNER_P, .kind = KS_KIND_PARTNER, .binding = KS_BINDING_PARTNER, .scopes = all},
		{KEY_OF(ACME, ORGANIZATION), .scopes = "contacts:read trust:read", .cidr = "192.0.2.0/24"},
		{KEY_OF(SALES, SUB_ENTITY), .scopes = all, .requests = 3, .window_s = 1},
		{KEY_OF(LAB, PROJECT), .scopes = all, .environment = KS_ENVIRONMENT_SANDBOX},
		{KEY_OF(ANNA_PERSONAL, USER), .scopes = all},
		{KEY_OF(OASIS, SUB_ENTITY), .scopes = all},
	};

	fixture_open(&world);
	ks_ring_set_foreign(&world.ring);
	for (size_t i = 0; i < KEYS; i++)
		fixture_key_put(&world, &keys[i], tokens[i]);
	make_people();
}

/* What is visible may be seen, and a session has there what the rule asks for. */
static void check_roots(const struct ks_decision *d)
{
	for (uint32_t i = 0; d->memberships && i < d->memberships->count; i++) {
		const struct ks_ring_membership *m = &d->memberships->items[i];

		fixture_must(!ks_decision_is_root(&world.ring, d, m) || ks_decision_sees(&world.ring, d, m->tenant));
	}
	fixture_must(d->root == KS_RING_NONE || (d->is_asserted && !d->memberships));
	fixture_must(KS_KEY_KIND(d->state) != KS_KIND_SESSION || d->has_own_scopes);
	if (d->is_asserted && d->assertion.has_scopes)
		fixture_must(ks_scopes_within(ks_decision_scopes(d), &d->assertion.scopes));
}

/* What an allow rests on. */
static void check_allow(const struct ks_request *request, const struct ks_decision *d)
{
	const struct ks_ring_tenant *tenant;
	char text[KS_ID_TEXT_SIZE];

	fixture_must(d->key && d->grant && d->rule && d->tenant != KS_RING_NONE);
	fixture_must(!(d->state & KS_KEY_REVOKED) && ks_method_ok(request->method));
	fixture_must((d->rule->kinds & KS_KIND_BIT(KS_KEY_KIND(d->state))) != 0);
	fixture_must((d->rule->environments & KS_ENVIRONMENT_BIT(KS_KEY_ENVIRONMENT(d->state))) != 0);
	for (uint8_t i = 0; i < d->rule->scope_count; i++)
		fixture_must(ks_scopes_has(ks_decision_scopes(d), d->rule->scopes[i]));
	check_roots(d);
	tenant = &world.ring.tenants[d->tenant];
	fixture_must((tenant->flags & KS_TENANT_INACTIVE) == 0 && ks_decision_sees(&world.ring, d, d->tenant));
	ks_id_format((enum ks_id_type)tenant->kind, tenant->id, text);
	fixture_must(ks_str_empty(request->tenant) || ks_str_eq(request->tenant, ks_str_c(text)));
	for (uint8_t i = 0; i < d->inherited_count; i++)
		fixture_must(ks_ring_is_within(&world.ring, d->tenant, d->inherited[i])
			     && ks_ring_is_within(&world.ring, d->inherited[i], d->organization));
}

static void check(const struct ks_request *request, const struct ks_decision *d)
{
	char text[1024];

	fixture_must(d->reason < KS_REASON_COUNT && d->step == ks_reason_info(d->reason)->step);
	fixture_must((d->step > KS_STEP_LOOKUP) <= (d->key != NULL));
	if (d->reason == KS_REASON_OK)
		check_allow(request, d);
	for (unsigned i = 0; i < KS_IDENTITY_COUNT; i++) {
		struct ks_buf out = KS_BUF(text);

		ks_identity_put(&world.ring, d, (enum ks_identity_header)i, &out);
		fixture_must(ks_buf_ok(&out) && !ks_str_has_control(ks_buf_str(&out)));
	}
}

/* Parts of the input, one a line; those that are missing are empty. */
static void take_parts(struct ks_str input, struct ks_str ret_parts[PARTS])
{
	for (size_t i = 0; i < PARTS; i++) {
		struct ks_str rest;

		ret_parts[i] = input;
		if (i + 1 == PARTS || !ks_str_split(input, '\n', &ret_parts[i], &rest))
			rest = KS_STR("");
		input = rest;
	}
}

static void present(struct ks_credential *credential, const struct ks_str parts[PARTS])
{
	ks_credential_init(credential);
	if (parts[0].n >= 2 && parts[0].p[0] == '=')
		ks_credential_header(credential, ks_str_c(tokens[(unsigned char)parts[0].p[1] % KEYS]), KS_KINDS_ANY);
	else if (parts[0].n >= 2 && parts[0].p[0] == '~')
		ks_credential_header(credential, ks_str_c(sessions[(unsigned char)parts[0].p[1] % SESSIONS]),
				     KS_KIND_BIT(KS_KIND_SESSION));
	else
		ks_credential_authorization(credential, parts[0]);
	ks_credential_header(credential, parts[1], KS_KIND_BIT(KS_KIND_TENANT));
}

static unsigned byte_at(struct ks_str text, size_t i)
{
	return i < text.n ? (unsigned char)text.p[i] : 0;
}

/* What a JWT could be made for: keys, sessions, an issuer, nothing. */
static void find_origin(unsigned number, struct ks_digest *ret_digest)
{
	enum ks_err err;

	number %= KEYS + SESSIONS + 2;
	if (number < KEYS)
		err = ks_sha256(ks_str_c(tokens[number]), ret_digest);
	else if (number < KEYS + SESSIONS)
		err = ks_sha256(ks_str_c(sessions[number - KEYS]), ret_digest);
	else
		err = ks_ring_issuer_digest(ISSUER + number - KEYS - SESSIONS, ret_digest);
	fixture_must(err == KS_OK);
}

/* Bytes: result and kind, origin, tenant, end, bits of scopes, roles and what there is of both; the rest is the family. */
static void read_assertion(struct ks_str part, struct ks_assertion *ret_assertion)
{
	struct ks_assertion a = {
		.result = (enum ks_assertion_result)(byte_at(part, 0) % 3),
		.kind = (enum ks_assertion_kind)(byte_at(part, 0) / 3 % 3),
		.detail = (enum ks_lookup_detail)(byte_at(part, 4) % KS_LOOKUP_DETAIL_COUNT),
		.tenant = byte_at(part, 2) % 20,
		.expires_ms = byte_at(part, 3) & 1 ? NOW + (int)(byte_at(part, 3) % 8) - 3 : INT64_MAX,
		.has_scopes = (byte_at(part, 3) & 2) != 0,
		.scopes = {{byte_at(part, 4)}},
		.role_count = (uint8_t)(byte_at(part, 3) >> 5),
	};
	struct ks_str family = ks_str_sub(part, 6, SIZE_MAX);

	find_origin(byte_at(part, 1), &a.ref);
	for (unsigned i = 0; i < 8; i++)
		a.roles[i] = (uint16_t)(byte_at(part, 5) >> i & 3);
	memcpy(a.family, family.p, KS_MIN(family.n, (size_t)KS_FAMILY_NAME_MAX));
	*ret_assertion = a;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str parts[PARTS];
	struct ks_request request = {.credential = &world.credential, .now_ms = NOW};
	struct ks_assertion assertion;
	struct ks_decision first, second;

	if (!world.memory)
		make_world();
	take_parts(ks_str_of((const char *)data, size), parts);
	request.method = parts[2];
	request.path = parts[3];
	request.tenant = parts[4];
	request.host = parts[5];
	request.address_known = ks_addr_parse(parts[6], &request.address);
	read_assertion(parts[7], &assertion);
	request.assertion = &assertion;

	present(&world.credential, parts);
	ks_decide(&world.ring, KS_RING_POLICY_PLATFORM, &request, &world.path, &first);
	check(&request, &first);
	/* The same again, and nothing but the rate depends on counters. */
	world.ring.usage = NULL;
	ks_decide(&world.ring, KS_RING_POLICY_PLATFORM, &request, &world.path, &second);
	world.ring.usage = &world.usage;
	check(&request, &second);
	fixture_must(first.reason == second.reason || first.reason == KS_REASON_RATE_LIMITED);
	ks_credential_wipe(&world.credential);
	return 0;
}
