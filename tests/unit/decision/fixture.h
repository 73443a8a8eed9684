/* SPDX-License-Identifier: Apache-2.0 */
/** A small world in memory of the test's own, for everything that asks the decision.
 *
 *	operator
 *	+- partner P
 *	|  +- organization ACME (slug acme)
 *	|  |  +- sub-entity SALES
 *	|  |  |  +- sub-entity NORTH
 *	|  |  |     +- project LAB
 *	|  |  +- personal tenants of ANNA and of BERT (disabled)
 *	|  +- organization BLUE (slug blue)
 *	+- partner Q
 *	|  +- organization CORAL
 *	+- organization DUNE (suspended)
 *	|  +- sub-entity OASIS
 *	+- organization EAST (no slug)
 *
 * ANNA is a member of SALES (and below), of EAST (itself alone) and of DUNE. */
#pragma once

#include <stdlib.h>
#include <sys/mman.h>

#include "base/time.h"
#include "decision/decision.h"

#define NOW INT64_C(1790000000000)
#define DOMAIN_NAME "keystile.test"

/* Numbers of the ids. */
enum {
	OPERATOR = 1, PARTNER_P, ACME, SALES, NORTH, LAB, ANNA_PERSONAL, BERT_PERSONAL, BLUE, PARTNER_Q, CORAL, DUNE,
	OASIS, EAST, ANNA, BERT,
	FIRST_KEY = 100
};

static const char fixture_policy[] =
	"version: 1\n"
	"scopes:\n"
	"  contacts:read: {about: Read contacts}\n"
	"  contacts:write: {about: Write contacts}\n"
	"  trust:read: {about: Read trust}\n"
	"  trust:write: {about: Write trust}\n"
	"families:\n"
	"  contacts:\n"
	"    routes: [/contacts, '/contacts/**']\n"
	"    kinds: [session, tenant, partner]\n"
	"    scopes: {GET: contacts:read, '*': [contacts:write, contacts:read]}\n"
	"  allocation:\n"
	"    routes: [/allocation]\n"
	"    kinds: [tenant, partner]\n"
	"    scopes: {GET: contacts:read}\n"
	"    tenant_header: required_for_partner\n"
	"  explicit:\n"
	"    routes: [/explicit]\n"
	"    kinds: [tenant, partner]\n"
	"    scopes: {GET: contacts:read}\n"
	"    tenant_header: required\n"
	"  own:\n"
	"    routes: [/own]\n"
	"    kinds: [tenant, partner]\n"
	"    scopes: {GET: contacts:read}\n"
	"    tenant_header: refused\n"
	"  live:\n"
	"    routes: ['/live/{id}']\n"
	"    kinds: [tenant]\n"
	"    scopes: {GET: contacts:read}\n"
	"    environments: [live]\n"
	"  server:\n"
	"    routes: [/server]\n"
	"    kinds: [runtime]\n"
	"    scopes: {GET: contacts:read}\n"
	"  trust:\n"
	"    routes: [/trust]\n"
	"    kinds: [tenant, partner, runtime]\n"
	"    scopes: {GET: trust:read, HEAD: trust:read, POST: trust:write}\n"
	"    inherited: true\n";

struct fixture {
	struct ks_ring ring;
	struct ks_usage usage;
	void *memory, *usage_memory;
	uint64_t size, usage_size;
	uint64_t next_key, next_grant;
	struct ks_credential credential;
	struct ks_path path;
};

/** A key to be made; the rest is live, never ends, without addresses and limit. */
struct fixture_key {
	uint64_t tenant;
	enum ks_kind kind;
	enum ks_binding binding;
	enum ks_environment environment;
	const char *scopes;       /* separated by blanks */
	const char *cidr;         /* NULL: from anywhere */
	uint32_t requests, window_s;
	int64_t ends_ms;          /* 0: never */
	bool revoked, rotated_out;
	const char *token;        /* NULL: made of the number */
};

/** The first members of a tenant key bound to `of`. */
#define KEY_OF(of, bound) .tenant = (of), .kind = KS_KIND_TENANT, .binding = KS_BINDING_##bound

/** What is asked. */
struct question {
	const char *token;         /* Bearer; or one of the next two */
	const char *authorization;
	const char *api_key;
	uint8_t api_key_kinds;     /* 0: any */
	const char *method;        /* NULL: GET */
	const char *path;          /* NULL: /contacts */
	const char *tenant, *host, *address;
	int64_t now_ms;            /* 0: NOW */
	bool tenant_repeated, alone;
	const struct ks_assertion *assertion;
};

/** Has the form of a JWT; what it says comes with the question. */
#define JWT_TEXT "eyJhbGciOiJFUzI1NiJ9.e30.c2lnbmF0dXJl"

static inline void fixture_must(bool ok)
{
	if (!ok)
		abort();
}

static inline void *fixture_map(uint64_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	fixture_must(memory != MAP_FAILED);
	return memory;
}

static inline void fixture_tenant(struct fixture *f, uint64_t id, uint64_t parent, enum ks_tenant_kind kind,
				  const char *slug, uint64_t user, bool suspended)
{
	struct ks_ring_tenant_record record = {.id = id, .parent = parent, .kind = kind, .suspended = suspended,
					       .slug = ks_str_c(slug), .user = user};

	fixture_must(ks_ring_put_tenant(&f->ring, &record) == KS_OK);
}

static inline void fixture_people(struct fixture *f)
{
	static const struct ks_ring_membership_record of_anna[] = {{SALES, 0, true}, {EAST, 0, false}, {DUNE, 0, true}};

	fixture_must(ks_ring_put_user(&f->ring, ANNA, false, NULL, 0) == KS_OK);
	fixture_must(ks_ring_put_user(&f->ring, BERT, true, NULL, 0) == KS_OK);
	fixture_tenant(f, OPERATOR, 0, KS_TENANT_KIND_OPERATOR, NULL, 0, false);
	fixture_tenant(f, PARTNER_P, OPERATOR, KS_TENANT_KIND_PARTNER, NULL, 0, false);
	fixture_tenant(f, ACME, PARTNER_P, KS_TENANT_KIND_ORGANIZATION, "acme", 0, false);
	fixture_tenant(f, SALES, ACME, KS_TENANT_KIND_SUB_ENTITY, NULL, 0, false);
	fixture_tenant(f, NORTH, SALES, KS_TENANT_KIND_SUB_ENTITY, NULL, 0, false);
	fixture_tenant(f, LAB, NORTH, KS_TENANT_KIND_PROJECT, NULL, 0, false);
	fixture_tenant(f, ANNA_PERSONAL, ACME, KS_TENANT_KIND_PERSONAL, NULL, ANNA, false);
	fixture_tenant(f, BERT_PERSONAL, ACME, KS_TENANT_KIND_PERSONAL, NULL, BERT, false);
	fixture_tenant(f, BLUE, PARTNER_P, KS_TENANT_KIND_ORGANIZATION, "blue", 0, false);
	fixture_tenant(f, PARTNER_Q, OPERATOR, KS_TENANT_KIND_PARTNER, NULL, 0, false);
	fixture_tenant(f, CORAL, PARTNER_Q, KS_TENANT_KIND_ORGANIZATION, "coral", 0, false);
	fixture_tenant(f, DUNE, OPERATOR, KS_TENANT_KIND_ORGANIZATION, "dune", 0, true);
	fixture_tenant(f, OASIS, DUNE, KS_TENANT_KIND_SUB_ENTITY, NULL, 0, false);
	fixture_tenant(f, EAST, OPERATOR, KS_TENANT_KIND_ORGANIZATION, NULL, 0, false);
	fixture_must(ks_ring_put_user(&f->ring, ANNA, false, of_anna, KS_ARRAY_LEN(of_anna)) == KS_OK);
}

static inline void fixture_policy_put(struct fixture *f, enum ks_ring_policy which, const char *yaml)
{
	static const uint64_t hash_key[2] = {3, 5};
	struct ks_policy_problem problem;
	struct ks_policy_table *table;
	struct ks_policy *policy;

	fixture_must(ks_policy_parse(ks_str_c(yaml), KS_STR(""), &policy, &problem) == KS_OK);
	fixture_must(ks_policy_compile(policy, f->ring.scopes, hash_key, &table) == KS_OK);
	fixture_must(ks_ring_put_policy(&f->ring, which, table) == KS_OK);
	free(table);
	ks_policy_free(&policy);
}

/** Puts what the roles give under this policy in force. */
static inline void fixture_roles_put(struct fixture *f, const char *yaml)
{
	struct ks_policy_problem problem;
	struct ks_policy *policy;

	fixture_must(ks_policy_parse(ks_str_c(yaml), KS_STR(""), &policy, &problem) == KS_OK);
	fixture_must(ks_ring_put_roles(&f->ring, &(const struct ks_policy *){policy}, 1) == KS_OK);
	ks_policy_free(&policy);
}

/** Puts a session of the user and writes its token. Returns its id. */
static inline uint64_t fixture_session_put(struct fixture *f, uint64_t user, int64_t ends_ms, bool ended,
					   char ret_token[KS_TOKEN_TEXT_SIZE])
{
	struct ks_ring_session_record record = {.id = f->next_key++, .user = user, .ends_ms = ends_ms};
	struct ks_buf text = ks_buf_of(ret_token, KS_TOKEN_TEXT_SIZE);

	ks_buf_printf(&text, "kss_%032llx", (unsigned long long)record.id);
	(void)ks_buf_z(&text);
	fixture_must(ks_sha256(ks_buf_str(&text), &record.digest) == KS_OK);
	fixture_must(ks_ring_put_session(&f->ring, &record) == KS_OK);
	record.ended = ended;
	fixture_must(ks_ring_put_session(&f->ring, &record) == KS_OK);
	return record.id;
}

/** Puts everything but keys into f->ring, which is empty; the platform's policy is the one above. */
static inline void fixture_fill(struct fixture *f)
{
	f->next_key = FIRST_KEY;
	f->next_grant = 1;
	fixture_policy_put(f, KS_RING_POLICY_PLATFORM, fixture_policy);
	fixture_people(f);
}

/** The world in memory of its own. */
static inline void fixture_open(struct fixture *f)
{
	struct ks_ring_geometry geometry = ks_ring_plan(1000, 100, 100, 1000, 100, 1u << 20);
	struct ks_ring_stamp stamp = {.generation = 1, .slot_seed = {7, 11}, .domain = KS_STR(DOMAIN_NAME)};

	f->size = ks_ring_size(&geometry);
	f->usage_size = ks_usage_size(&geometry);
	f->memory = fixture_map(f->size);
	f->usage_memory = fixture_map(f->usage_size);
	fixture_must(ks_ring_format(f->memory, f->size, &geometry, &stamp, &f->ring) == KS_OK);
	fixture_must(ks_usage_format(f->usage_memory, f->usage_size, &geometry, stamp.generation) == KS_OK);
	fixture_must(ks_usage_attach(f->usage_memory, f->usage_size, f->ring.header, &f->usage) == KS_OK);
	f->ring.usage = &f->usage;
	fixture_fill(f);
	atomic_store(&f->ring.header->complete, 1);
}

static inline void fixture_close(struct fixture *f)
{
	munmap(f->memory, f->size);
	munmap(f->usage_memory, f->usage_size);
}

static inline uint64_t fixture_grant(struct fixture *f, const struct fixture_key *key)
{
	struct ks_ring_grant_record record = {.id = f->next_grant++, .rate_requests = key->requests,
					      .rate_window_s = key->window_s};
	struct ks_str rest = ks_str_c(key->scopes), name, tail;
	struct ks_cidr cidr;
	uint16_t number;
	uint32_t index;

	while (rest.n > 0) {
		if (!ks_str_split(rest, ' ', &name, &tail)) {
			name = rest;
			tail = KS_STR("");
		}
		fixture_must(ks_scope_add(f->ring.scopes, name, &number) == KS_OK);
		ks_scopes_set(&record.scopes, number);
		rest = tail;
	}
	if (key->cidr) {
		fixture_must(ks_cidr_parse(ks_str_c(key->cidr), &cidr));
		record.cidrs = &cidr;
		record.cidr_count = 1;
	}
	fixture_must(ks_ring_put_grant(&f->ring, &record, &index) == KS_OK);
	return record.id;
}

/** Puts a key and writes its token. Returns its id. */
static inline uint64_t fixture_key_put(struct fixture *f, const struct fixture_key *key,
				       char ret_token[KS_TOKEN_TEXT_SIZE])
{
	struct ks_ring_key_record record = {
		.id = f->next_key++,
		.tenant = key->tenant,
		.grant = fixture_grant(f, key),
		.kind = key->kind,
		.binding = key->binding,
		.environment = key->environment,
		.ends_ms = key->ends_ms ? key->ends_ms : INT64_MAX,
		.revoked = key->revoked,
		.rotated_out = key->rotated_out,
	};
	struct ks_buf text = ks_buf_of(ret_token, KS_TOKEN_TEXT_SIZE);

	if (key->token)
		ks_buf_put_c(&text, key->token);
	else
		ks_buf_printf(&text, "ks_%032llx", (unsigned long long)record.id);
	(void)ks_buf_z(&text);
	fixture_must(ks_sha256(ks_buf_str(&text), &record.digest) == KS_OK);
	fixture_must(ks_ring_put_key(&f->ring, &record) == KS_OK);
	return record.id;
}

/** The text of a tenant's, user's or key's id; static room, good for eight calls. */
static inline const char *fixture_id(enum ks_id_type type, uint64_t id)
{
	static char rooms[8][KS_ID_TEXT_SIZE];
	static unsigned next;
	char *room = rooms[next++ % 8];

	ks_id_format(type, id, room);
	return room;
}

static inline struct ks_decision ask(struct fixture *f, const struct question *q)
{
	struct ks_request request = {
		.credential = &f->credential,
		.assertion = q->assertion,
		.credential_alone = q->alone,
		.method = q->method ? ks_str_c(q->method) : KS_STR("GET"),
		.path = q->path ? ks_str_c(q->path) : KS_STR("/contacts"),
		.tenant = ks_str_c(q->tenant),
		.tenant_repeated = q->tenant_repeated,
		.host = ks_str_c(q->host),
		.now_ms = q->now_ms ? q->now_ms : NOW,
	};
	char bearer[1024];
	struct ks_buf value = KS_BUF(bearer);
	struct ks_decision d;

	ks_credential_init(&f->credential);
	if (q->token) {
		ks_buf_put_c(&value, "Bearer ");
		ks_buf_put_c(&value, q->token);
		fixture_must(ks_buf_ok(&value));
		ks_credential_authorization(&f->credential, ks_buf_str(&value));
	}
	ks_credential_authorization(&f->credential, ks_str_c(q->authorization));
	ks_credential_header(&f->credential, ks_str_c(q->api_key), q->api_key_kinds ? q->api_key_kinds : KS_KINDS_ANY);
	request.address_known = ks_addr_parse(ks_str_c(q->address), &request.address);
	ks_decide(&f->ring, KS_RING_POLICY_PLATFORM, &request, &f->path, &d);
	ks_credential_wipe(&f->credential);
	return d;
}
