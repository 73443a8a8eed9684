/* SPDX-License-Identifier: Apache-2.0 */
/* Hostile requests against a small world. Each line of the input is one part of the request: Authorization, X-API-Key,
 * method, path, X-Tenant-Id, Host, address; a first line "=N" presents key number N instead. What must hold of every
 * verdict is in check(). */
#include "../unit/decision/fixture.h"

#define KEYS 7
#define PARTS 7

static struct fixture world;
static char tokens[KEYS][KS_TOKEN_TEXT_SIZE];

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
	else
		ks_credential_authorization(credential, parts[0]);
	ks_credential_header(credential, parts[1], KS_KIND_BIT(KS_KIND_TENANT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str parts[PARTS];
	struct ks_request request = {.credential = &world.credential, .now_ms = NOW};
	struct ks_decision first, second;

	if (!world.memory)
		make_world();
	take_parts(ks_str_of((const char *)data, size), parts);
	request.method = parts[2];
	request.path = parts[3];
	request.tenant = parts[4];
	request.host = parts[5];
	request.address_known = ks_addr_parse(parts[6], &request.address);

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
