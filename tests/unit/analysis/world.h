/* SPDX-License-Identifier: Apache-2.0 */
/** Random worlds with two policies, the old one in the platform's place and the new one in that of our own API, so that
 * the decision itself can be asked of both. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "../decision/fixture.h"
#include "analysis/analysis.h"

#define TENANTS_MAX 40
#define KEYS_MAX 60
#define POLICY_TEXT_MAX 16384

struct world {
	struct fixture f;
	size_t tenant_count;
	struct {
		uint64_t id;
		enum ks_tenant_kind kind;
	} tenants[TENANTS_MAX];
	size_t key_count;
	struct {
		char token[KS_TOKEN_TEXT_SIZE];
		char address[16];   /* from which it is taken; empty: from anywhere */
	} keys[KEYS_MAX];
	size_t session_count;
	struct {
		char token[KS_TOKEN_TEXT_SIZE];
		uint64_t user;
	} sessions[8];
	struct ks_policy *policies[2];
};

static uint64_t world_seed;

static inline uint64_t random_u64(void)
{
	/* splitmix64 (Steele, Lea, Flood 2014) */
	uint64_t z = (world_seed += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static inline size_t below(size_t n)
{
	return (size_t)(random_u64() % n);
}

static inline bool chance(size_t percent)
{
	return below(100) < percent;
}

#define ANY_OF(array) (array)[below(KS_ARRAY_LEN(array))]

static const char *const role_names[] = {"administrator", "member", "account_reader", "writer", "reader"};
static const char *const scope_names[] = {"a:read", "a:write", "b:read", "b:write", "c"};

static inline void put_route(struct ks_buf *text)
{
	static const char *const parts[] = {"a", "b", "c", "{x}", "{y}"};

	for (size_t i = 1 + below(3); i > 0; i--)
		ks_buf_printf(text, "/%s", ANY_OF(parts));
	if (chance(40))
		ks_buf_put_c(text, "/**");
	else if (chance(10))
		ks_buf_put_c(text, "/");
}

static inline void put_family(struct ks_buf *text, size_t number)
{
	static const char *const kinds[] = {"[tenant]", "[partner]", "[runtime]", "[tenant, partner]", "[session, tenant]",
					    "[session, tenant, partner, runtime]"};
	static const char *const headers[] = {"optional", "required_for_partner", "required", "refused"};
	static const char *const environments[] = {"[live]", "[sandbox]", "[live, sandbox]", "[live, sandbox]"};
	static const char *const methods[] = {"GET: ", "HEAD: ", "POST: "};

	ks_buf_printf(text, "  f%zu:\n    routes: ['", number);
	put_route(text);
	if (chance(40)) {
		ks_buf_put_c(text, "', '");
		put_route(text);
	}
	ks_buf_printf(text, "']\n    kinds: %s\n    tenant_header: %s\n    environments: %s\n    scopes:\n", ANY_OF(kinds),
		      ANY_OF(headers), ANY_OF(environments));
	for (size_t i = 0; i < KS_ARRAY_LEN(methods); i++)
		if (i == 0 || chance(40))
			ks_buf_printf(text, "      %s%s\n", methods[i], ANY_OF(scope_names));
	if (chance(50))
		ks_buf_printf(text, "      '*': [%s, %s]\n", scope_names[below(2)], scope_names[2 + below(3)]);
}

/* One that parses: tries until it does. */
static inline struct ks_policy *make_policy(char *bytes)
{
	struct ks_policy_problem problem;
	struct ks_policy *policy;

	for (;;) {
		struct ks_buf text = ks_buf_of(bytes, POLICY_TEXT_MAX);
		size_t families = 1 + below(7);

		ks_buf_put_c(&text, "version: 1\nscopes:\n");
		for (size_t i = 0; i < KS_ARRAY_LEN(scope_names); i++)
			ks_buf_printf(&text, "  %s: {about: x}\n", scope_names[i]);
		ks_buf_put_c(&text, "roles:\n  writer: {about: x, scopes: ['a:write', c]}\n"
				    "  reader: {about: x, scopes: ['a:read', 'b:read']}\nfamilies:\n");
		for (size_t i = 0; i < families; i++)
			put_family(&text, i);
		if (ks_policy_parse(ks_str_c(ks_buf_z(&text)), KS_STR(""), &policy, &problem) == KS_OK)
			return policy;
	}
}

static inline void add_tenant(struct world *w, size_t parent, enum ks_tenant_kind kind, uint64_t user)
{
	uint64_t id = w->tenant_count + 1;

	fixture_tenant(&w->f, id, w->tenant_count ? w->tenants[parent].id : 0, kind, NULL, user,
		       w->tenant_count > 0 && chance(6));
	w->tenants[w->tenant_count].id = id;
	w->tenants[w->tenant_count++].kind = kind;
}

static inline size_t tenant_of(struct world *w, enum ks_tenant_kind kind)
{
	size_t at = below(w->tenant_count);

	while (w->tenants[at].kind != kind)
		at = (at + 1) % w->tenant_count;
	return at;
}

static inline void make_tenants(struct world *w)
{
	add_tenant(w, 0, KS_TENANT_KIND_OPERATOR, 0);
	for (size_t i = 1 + below(3); i > 0; i--)
		add_tenant(w, 0, KS_TENANT_KIND_PARTNER, 0);
	for (size_t i = 1 + below(4); i > 0; i--)
		add_tenant(w, chance(70) ? tenant_of(w, KS_TENANT_KIND_PARTNER) : 0, KS_TENANT_KIND_ORGANIZATION, 0);
	for (size_t i = below(5); i > 0; i--)
		add_tenant(w, tenant_of(w, chance(50) && i < 3 ? w->tenants[w->tenant_count - 1].kind == KS_TENANT_KIND_SUB_ENTITY
									 ? KS_TENANT_KIND_SUB_ENTITY
									 : KS_TENANT_KIND_ORGANIZATION
							       : KS_TENANT_KIND_ORGANIZATION),
			   KS_TENANT_KIND_SUB_ENTITY, 0);
	for (size_t i = below(4); i > 0; i--)
		add_tenant(w, tenant_of(w, KS_TENANT_KIND_ORGANIZATION), KS_TENANT_KIND_PROJECT, 0);
}

static inline void make_users(struct world *w)
{
	size_t joinable = w->tenant_count;

	for (uint64_t user = 1001; user < 1001 + 3; user++) {
		struct ks_ring_membership_record list[4];
		size_t count = 0;

		fixture_must(ks_ring_put_user(&w->f.ring, user, false, NULL, 0) == KS_OK);
		add_tenant(w, tenant_of(w, KS_TENANT_KIND_ORGANIZATION), KS_TENANT_KIND_PERSONAL, user);
		for (size_t t = 0; t < joinable && count < KS_ARRAY_LEN(list); t++)
			if (chance(25))
				list[count++] = (struct ks_ring_membership_record){
					w->tenants[t].id, ks_ring_name_role(&w->f.ring, ks_str_c(ANY_OF(role_names))), chance(50)};
		fixture_must(ks_ring_put_user(&w->f.ring, user, chance(15), list, count) == KS_OK);
		w->sessions[w->session_count].user = user;
		(void)fixture_session_put(&w->f, user, INT64_MAX, false, w->sessions[w->session_count++].token);
	}
}

static inline enum ks_binding binding_of(enum ks_tenant_kind kind)
{
	switch (kind) {
	case KS_TENANT_KIND_PARTNER:
		return KS_BINDING_PARTNER;
	case KS_TENANT_KIND_ORGANIZATION:
		return KS_BINDING_ORGANIZATION;
	case KS_TENANT_KIND_SUB_ENTITY:
		return KS_BINDING_SUB_ENTITY;
	case KS_TENANT_KIND_PROJECT:
		return KS_BINDING_PROJECT;
	case KS_TENANT_KIND_PERSONAL:
		return KS_BINDING_USER;
	default:
		return KS_BINDING_OPERATOR;
	}
}

static inline void add_key(struct world *w, size_t tenant)
{
	enum ks_binding binding = binding_of(w->tenants[tenant].kind);
	char scopes[128], cidr[32];
	struct ks_buf names = KS_BUF(scopes);
	size_t at = w->key_count++;

	for (size_t i = 0; i < KS_ARRAY_LEN(scope_names); i++)
		if (chance(65))
			ks_buf_printf(&names, "%s%s", names.n ? " " : "", scope_names[i]);
	w->keys[at].address[0] = '\0';
	if (chance(25)) {
		snprintf(w->keys[at].address, sizeof(w->keys[at].address), "10.0.%zu.7", below(200));
		snprintf(cidr, sizeof(cidr), "%s/32", w->keys[at].address);
	}
	(void)fixture_key_put(&w->f,
			      &(struct fixture_key){
				      .tenant = w->tenants[tenant].id,
				      .kind = binding == KS_BINDING_PARTNER                  ? KS_KIND_PARTNER
					      : binding == KS_BINDING_OPERATOR && chance(50) ? KS_KIND_RUNTIME
											     : KS_KIND_TENANT,
				      .binding = binding,
				      .environment = chance(70) ? KS_ENVIRONMENT_LIVE : KS_ENVIRONMENT_SANDBOX,
				      .scopes = ks_buf_z(&names),
				      .cidr = w->keys[at].address[0] ? cidr : NULL,
				      .ends_ms = chance(10) ? NOW - 1 + (int64_t)below(3) : 0,
				      .revoked = chance(8),
				      .rotated_out = chance(5),
			      },
			      w->keys[at].token);
}

static inline void world_open(struct world *w)
{
	struct ks_ring_geometry geometry = ks_ring_plan(200, 64, 16, 200, 100, 1u << 20);
	struct ks_ring_stamp stamp = {.generation = 1, .slot_seed = {random_u64(), random_u64()},
				      .domain = KS_STR(DOMAIN_NAME)};
	static char text[POLICY_TEXT_MAX];

	memset(w, 0, sizeof(*w));
	w->f.size = ks_ring_size(&geometry);
	w->f.memory = fixture_map(w->f.size);
	w->f.usage_memory = fixture_map(w->f.usage_size = 4096);
	fixture_must(ks_ring_format(w->f.memory, w->f.size, &geometry, &stamp, &w->f.ring) == KS_OK);
	w->f.next_key = FIRST_KEY;
	w->f.next_grant = 1;
	for (size_t i = 0; i < 2; i++) {
		w->policies[i] = make_policy(text);
		fixture_policy_put(&w->f, i ? KS_RING_POLICY_SELF : KS_RING_POLICY_PLATFORM, text);
	}
	fixture_must(ks_ring_put_roles(&w->f.ring, (const struct ks_policy *const[]){w->policies[0]}, 1) == KS_OK);
	make_tenants(w);
	make_users(w);
	for (size_t i = 0; i < KEYS_MAX; i++)
		add_key(w, i < w->tenant_count ? i : below(w->tenant_count));
	atomic_store(&w->f.ring.header->complete, 1);
}

static inline void world_close(struct world *w)
{
	ks_policy_free(&w->policies[0]);
	ks_policy_free(&w->policies[1]);
	fixture_close(&w->f);
}

/* The decision on key `key`, from an address that it takes. `tenant` is a position, or SIZE_MAX: not sent. */
static inline struct ks_decision world_ask(struct world *w, enum ks_ring_policy which, size_t key, const char *method,
					   const char *path, size_t tenant)
{
	struct ks_request request = {.credential = &w->f.credential, .method = ks_str_c(method),
				     .path = ks_str_c(path), .now_ms = NOW};
	char bearer[128], id[KS_ID_TEXT_SIZE];
	struct ks_buf value = KS_BUF(bearer);
	struct ks_decision d;

	if (tenant != SIZE_MAX) {
		ks_id_format((enum ks_id_type)w->tenants[tenant].kind, w->tenants[tenant].id, id);
		request.tenant = ks_str_c(id);
	}
	ks_buf_printf(&value, "Bearer %s", w->keys[key].token);
	ks_credential_init(&w->f.credential);
	ks_credential_authorization(&w->f.credential, ks_buf_str(&value));
	request.address_known = ks_addr_parse(ks_str_c(w->keys[key].address), &request.address);
	ks_decide(&w->f.ring, which, &request, &w->f.path, &d);
	return d;
}

/* The same for a session, in its cookie. */
static inline struct ks_decision world_ask_session(struct world *w, size_t session, const char *method,
						   const char *path, size_t tenant)
{
	struct ks_request request = {.credential = &w->f.credential, .method = ks_str_c(method),
				     .path = ks_str_c(path), .now_ms = NOW};
	char id[KS_ID_TEXT_SIZE];
	struct ks_decision d;

	if (tenant != SIZE_MAX) {
		ks_id_format((enum ks_id_type)w->tenants[tenant].kind, w->tenants[tenant].id, id);
		request.tenant = ks_str_c(id);
	}
	ks_credential_init(&w->f.credential);
	ks_credential_header(&w->f.credential, ks_str_c(w->sessions[session].token), KS_KIND_BIT(KS_KIND_SESSION));
	ks_decide(&w->f.ring, KS_RING_POLICY_PLATFORM, &request, &w->f.path, &d);
	return d;
}

/* The tenants in which the key could act, as bits by position: all headers tried. */
static inline uint64_t world_tenants(struct world *w, enum ks_ring_policy which, size_t key, const char *method,
				     const char *path)
{
	uint64_t found = 0;

	for (size_t t = 0; t <= w->tenant_count; t++) {
		struct ks_decision d = world_ask(w, which, key, method, path, t < w->tenant_count ? t : SIZE_MAX);

		/* Tenants are put in their order, so that positions are the ring's indices. */
		if (d.reason == KS_REASON_OK)
			found |= UINT64_C(1) << d.tenant;
	}
	return found;
}
