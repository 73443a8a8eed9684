/* SPDX-License-Identifier: Apache-2.0 */
/* Issuers and identity providers: who may configure what, what reaches the ring, and who a login is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "assertion/verifier.h"
#include "base/buf.h"
#include "engine/foreign_issuers.h"
#include "engine/identity_providers.h"
#include "jose/signer.h"
#include "ring/issuers.h"
#include "support.h"

#define ISSUER "https://issuer.example"

static int set_up(void **state)
{
	static struct world w;

	world_new(&w);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	assert_in_step(w);
	world_free(w);
	return 0;
}

/* ---- issuers ---- */

struct issuing {
	const struct ks_actor *actor;
	struct ks_foreign_issuer_input input;
	uint64_t id;
	bool flag;
	struct ks_str text;
};

static const struct ks_actor *actor_of_step(struct ks_tx *tx, const struct ks_actor *actor, struct ks_actor *local)
{
	ks_actor_local(tx->ring, local);
	return actor ? actor : local;
}

static enum ks_err step_create(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct issuing *i = ctx;
	struct ks_actor local;

	return ks_foreign_issuers_create(tx, actor_of_step(tx, i->actor, &local), &i->input, &i->id, refusal);
}

static enum ks_err step_enable(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct issuing *i = ctx;
	struct ks_actor local;

	return ks_foreign_issuers_set_enabled(tx, actor_of_step(tx, i->actor, &local), i->id, i->flag, refusal);
}

static enum ks_err step_delete(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct issuing *i = ctx;
	struct ks_actor local;

	return ks_foreign_issuers_delete(tx, actor_of_step(tx, i->actor, &local), i->id, refusal);
}

static enum ks_err step_fetched(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct issuing *i = ctx;

	(void)refusal;
	return ks_foreign_issuers_fetched(tx, NULL, i->id, i->text, tx->now_ms + 3600000);
}

static enum ks_err step_failed(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct issuing *i = ctx;

	(void)refusal;
	return ks_foreign_issuers_failed(tx, NULL, i->id, i->text, tx->now_ms + 60000);
}

static struct issuing issuing(uint64_t organization)
{
	return (struct issuing){.input = {.organization = organization,
					  .name = KS_STR("Directory"),
					  .issuer = KS_STR(ISSUER),
					  .audience = KS_STR("api"),
					  .default_roles = {KS_STR("member")},
					  .default_role_count = 1}};
}

static void refused(struct world *w, change *step, const struct issuing *i, enum ks_err err, const char *code,
		    const char *pointer)
{
	struct issuing copy = *i;

	assert_int_equal(world_change(w, step, &copy), err);
	assert_string_equal(w->refusal.code, code);
	assert_string_equal(w->refusal.pointer, pointer);
}

static struct ks_str tenant_text(char text[KS_ID_TEXT_SIZE], enum ks_id_type type, uint64_t id)
{
	ks_id_format(type, id, text);
	return ks_str_c(text);
}

/* A set of one fresh key. */
static struct ks_str fresh_set(char *room, size_t cap)
{
	struct ks_buf b = ks_buf_of(room, cap);
	struct ks_jose_signer *signer;

	assert_int_equal(ks_jose_signer_new(KS_SIGN_ALG_ES256, &signer), KS_JOSE_OK);
	ks_buf_put_c(&b, "{\"keys\":[");
	ks_jose_key_write(ks_jose_signer_key(signer), &b);
	ks_buf_put_c(&b, "]}");
	assert_true(ks_buf_ok(&b));
	ks_jose_signer_free(signer);
	return ks_buf_str(&b);
}

struct seen {
	bool there;
	uint64_t id, tenant;
	uint32_t keys;
	char rules[1024];
};

static enum ks_err step_see(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct seen *s = ctx;
	const struct ks_ring_issuer *issuer = ks_ring_issuer(tx->ring, KS_STR(ISSUER), KS_STR("api"));
	struct ks_buf b = KS_BUF(s->rules);

	(void)refusal;
	*s = (struct seen){.there = issuer != NULL};
	if (!issuer)
		return KS_OK;
	s->id = issuer->id;
	s->tenant = issuer->tenant;
	s->keys = issuer->key_count;
	ks_buf_put(&b, ks_ring_issuer_text(issuer, issuer->rules));
	(void)ks_buf_z(&b);
	return KS_OK;
}

static struct seen see(struct world *w)
{
	struct seen s;

	assert_int_equal(world_change(w, step_see, &s), KS_OK);
	return s;
}

static void an_issuer_needs_sense(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	struct issuing good = issuing(org), bad;
	char text[KS_ID_TEXT_SIZE];

	bad = issuing(sub);
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/organization");
	bad = issuing(4711);
	refused(w, step_create, &bad, KS_FORBIDDEN, "tenant_forbidden", "/organization");
	bad = good;
	bad.input.name = KS_STR(" ");
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/name");
	bad = good;
	bad.input.issuer = KS_STR("");
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/issuer");
	bad = good;
	bad.input.audience = KS_STR("a\nb");
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/audience");
	bad = good;
	bad.input.default_role_count = 0;
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/default_roles");
	bad = good;
	bad.input.default_roles[0] = KS_STR("emperor");
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/default_roles");
	bad = good;
	bad.input.role_claim = KS_STR("groups");
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/roles");
	bad.input.roles[bad.input.role_count++] = (struct ks_claim_mapping){KS_STR("staff"), KS_STR("emperor")};
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/roles");
	bad.input.role_claim = KS_STR("gro\"ups");
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/role_claim");
	bad = good;
	bad.input.tenants[bad.input.tenant_count++] = (struct ks_claim_mapping){KS_STR("x"), KS_STR("nonsense")};
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/tenants");
	bad.input.tenant_claim = KS_STR("org");
	refused(w, step_create, &bad, KS_MALFORMED, "invalid", "/tenants");
	/* A tenant of another organization is as good as none. */
	bad.input.tenants[0].meaning = tenant_text(text, KS_ID_ORGANIZATION, other);
	refused(w, step_create, &bad, KS_FORBIDDEN, "tenant_forbidden", "/tenants");
	bad.input.tenants[0].meaning = tenant_text(text, KS_ID_ORGANIZATION, 4711);
	refused(w, step_create, &bad, KS_FORBIDDEN, "tenant_forbidden", "/tenants");
	assert_int_equal(audit_count(w, "issuer.create"), 0);
}

static void one_audience_one_organization(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	struct issuing first = issuing(org), second = issuing(other);

	assert_int_equal(world_change(w, step_create, &first), KS_OK);
	refused(w, step_create, &second, KS_CONFLICT, "conflict", "/audience");
	second.input.audience = KS_STR("another api");
	assert_int_equal(world_change(w, step_create, &second), KS_OK);
}

static void strangers_see_no_issuer(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	struct issuing i = issuing(org), mine;
	struct ks_actor stranger, below;

	assert_int_equal(world_change(w, step_create, &i), KS_OK);
	stranger = actor_of(w, make_key(w, other, "contacts:read").token);
	below = actor_of(w, make_key(w, sub, "contacts:read").token);
	i.actor = &stranger;
	refused(w, step_delete, &i, KS_NOT_FOUND, "not_found", "");
	refused(w, step_enable, &i, KS_NOT_FOUND, "not_found", "");
	i.actor = &below;
	refused(w, step_delete, &i, KS_NOT_FOUND, "not_found", "");
	mine = issuing(org);
	mine.input.audience = KS_STR("mine");
	mine.actor = &stranger;
	refused(w, step_create, &mine, KS_FORBIDDEN, "tenant_forbidden", "/organization");
	mine.actor = &below;
	refused(w, step_create, &mine, KS_FORBIDDEN, "tenant_forbidden", "/organization");
}

static void keys_reach_the_ring(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	struct issuing i = issuing(org);
	char text[KS_ID_TEXT_SIZE], first[2048], second[2048], rules[512];
	struct seen s;

	i.input.tenant_claim = KS_STR("org");
	i.input.tenants[0] = (struct ks_claim_mapping){KS_STR("a \"b\""), tenant_text(text, KS_ID_SUB_ENTITY, sub)};
	i.input.tenant_count = 1;
	i.input.default_tenant = KS_STR("org"); /* the slug */
	i.input.role_claim = KS_STR("realm_access.roles");
	i.input.roles[0] = (struct ks_claim_mapping){KS_STR("staff"), KS_STR("administrator")};
	i.input.role_count = 1;
	assert_int_equal(world_change(w, step_create, &i), KS_OK);
	/* Nobody is believed before there are keys. */
	assert_false(see(w).there);
	i.text = fresh_set(first, sizeof(first));
	assert_int_equal(world_change(w, step_fetched, &i), KS_OK);
	s = see(w);
	assert_true(s.there);
	assert_int_equal(s.id, i.id);
	assert_int_equal(s.tenant, org);
	assert_int_equal(s.keys, 1);
	(void)snprintf(rules, sizeof(rules),
		       "{\"tenant_claim\":\"org\",\"tenants\":{\"a \\\"b\\\"\":\"%s\"},\"default_tenant\":", text);
	assert_int_equal(strncmp(s.rules, rules, strlen(rules)), 0);
	assert_non_null(strstr(s.rules, ",\"role_claim\":\"realm_access.roles\","
					"\"roles\":{\"staff\":\"administrator\"},\"default_roles\":[\"member\"]}"));
	assert_true(ks_jwt_rules_ok(ks_str_c(s.rules)));
	/* The same again is nothing new; other keys are; a failure leaves them. */
	assert_int_equal(world_change(w, step_fetched, &i), KS_OK);
	assert_int_equal(audit_count(w, "issuer.keys_changed"), 1);
	i.text = fresh_set(second, sizeof(second));
	assert_int_equal(world_change(w, step_fetched, &i), KS_OK);
	assert_int_equal(audit_count(w, "issuer.keys_changed"), 2);
	i.text = KS_STR("timeout");
	assert_int_equal(world_change(w, step_failed, &i), KS_OK);
	assert_int_equal(world_change(w, step_failed, &i), KS_OK);
	assert_int_equal(audit_count(w, "issuer.keys_unavailable"), 1);
	assert_true(see(w).there);
	/* After a rebuild, and after opening again. */
	assert_int_equal(ks_engine_rebuild(w->engine), KS_OK);
	assert_int_equal(see(w).keys, 1);
	world_close(w);
	assert_int_equal(world_open(w), KS_OK);
	assert_int_equal(see(w).keys, 1);
	/* Off, on, gone. */
	assert_int_equal(world_change(w, step_enable, &i), KS_OK);
	assert_false(see(w).there);
	i.flag = true;
	assert_int_equal(world_change(w, step_enable, &i), KS_OK);
	assert_true(see(w).there);
	assert_int_equal(world_change(w, step_delete, &i), KS_OK);
	assert_false(see(w).there);
	refused(w, step_delete, &i, KS_NOT_FOUND, "not_found", "");
	i.text = KS_STR("{\"keys\":[]}");
	assert_int_equal(world_change(w, step_fetched, &i), KS_NOT_FOUND);
	assert_int_equal(ks_engine_rebuild(w->engine), KS_OK);
	assert_false(see(w).there);
	assert_int_equal(audit_count(w, "issuer.delete"), 1);
}

/* ---- identity providers ---- */

struct providing {
	const struct ks_actor *actor;
	struct ks_identity_provider_input input;
	struct ks_identity_claim claim;
	uint64_t id, user;
};

static enum ks_err step_provider(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct providing *p = ctx;
	struct ks_actor local;

	return ks_identity_providers_create(tx, actor_of_step(tx, p->actor, &local), &p->input, &p->id, refusal);
}

static enum ks_err step_provider_off(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct providing *p = ctx;
	struct ks_actor local;

	return ks_identity_providers_set_enabled(tx, actor_of_step(tx, NULL, &local), p->id, false, refusal);
}

static enum ks_err step_login(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct providing *p = ctx;

	return ks_identities_find_user(tx, &p->claim, &p->user, refusal);
}

static struct providing providing(uint64_t organization)
{
	return (struct providing){.input = {.organization = organization,
					    .name = KS_STR("Directory"),
					    .issuer = KS_STR(ISSUER),
					    .client_id = KS_STR("console"),
					    .client_secret = KS_STR("hunter2 hunter2"),
					    .scopes = KS_STR("openid email"),
					    .domains = {KS_STR("example.org"), KS_STR("example.com")},
					    .domain_count = 2}};
}

static void provider_refused(struct world *w, const struct providing *p, enum ks_err err, const char *code,
			     const char *pointer)
{
	struct providing copy = *p;

	assert_int_equal(world_change(w, step_provider, &copy), err);
	assert_string_equal(w->refusal.code, code);
	assert_string_equal(w->refusal.pointer, pointer);
}

static void a_provider_needs_sense(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	struct providing good = providing(org), bad;

	bad = good;
	bad.input.scopes = KS_STR("email");
	provider_refused(w, &bad, KS_MALFORMED, "invalid", "/scopes");
	bad.input.scopes = KS_STR("openid  email");
	provider_refused(w, &bad, KS_MALFORMED, "invalid", "/scopes");
	bad = good;
	bad.input.domains[1] = KS_STR("Example.com");
	provider_refused(w, &bad, KS_MALFORMED, "invalid", "/domains");
	bad = good;
	bad.input.domain_count = 0;
	bad.input.auto_create = true;
	provider_refused(w, &bad, KS_MALFORMED, "invalid", "/domains");
	bad = good;
	bad.input.default_tenant = org;
	provider_refused(w, &bad, KS_MALFORMED, "invalid", "/default_role");
	bad.input.default_role = KS_STR("member");
	bad.input.default_tenant = other;
	provider_refused(w, &bad, KS_FORBIDDEN, "tenant_forbidden", "/default_tenant");
	bad = good;
	bad.input.client_secret = KS_STR("two\nlines");
	provider_refused(w, &bad, KS_MALFORMED, "invalid", "/client_secret");
	bad = good;
	bad.input.organization = operator_of(w);
	bad.input.auto_create = true;
	provider_refused(w, &bad, KS_MALFORMED, "invalid", "/auto_create");
	bad.input.auto_create = false;
	assert_int_equal(world_change(w, step_provider, &bad), KS_OK);
}

static void a_role_is_the_callers_to_give(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	struct ks_actor actor = actor_of(w, make_key(w, org, "contacts:read").token);
	struct issuing i = issuing(org);
	struct providing p = providing(org);

	i.actor = p.actor = &actor;
	i.input.default_roles[0] = KS_STR("administrator");
	refused(w, step_create, &i, KS_FORBIDDEN, "not_grantable", "/default_roles");
	i.input.default_roles[0] = KS_STR("member");
	i.input.role_claim = KS_STR("groups");
	i.input.roles[i.input.role_count++] = (struct ks_claim_mapping){KS_STR("staff"), KS_STR("administrator")};
	refused(w, step_create, &i, KS_FORBIDDEN, "not_grantable", "/roles");
	p.input.default_role = KS_STR("administrator");
	provider_refused(w, &p, KS_FORBIDDEN, "not_grantable", "/default_role");
	p.actor = NULL;
	assert_int_equal(world_change(w, step_provider, &p), KS_OK);
}

struct opened {
	const struct ks_engine *engine;
	char secret[KS_CLIENT_SECRET_MAX];
	size_t n;
};

static enum ks_err open_secret(void *ctx, const struct ks_identity_provider_row *row)
{
	struct opened *o = ctx;

	/* It does not stand there as it is. */
	for (size_t i = 0; i + 7 <= row->secret.n; i++)
		assert_false(ks_str_eq(ks_str_sub(row->secret, i, 7), KS_STR("hunter2")));
	return ks_identity_provider_secret(o->engine, row, o->secret, sizeof(o->secret), &o->n);
}

static void a_client_secret_is_sealed(void **state)
{
	struct world *w = *state;
	struct providing p = providing(make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org"));
	struct opened o = {.engine = w->engine};
	struct ks_engine_reader reader;

	assert_int_equal(world_change(w, step_provider, &p), KS_OK);
	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_identity_provider_get(reader.store, p.id, open_secret, &o), KS_OK);
	assert_true(ks_str_eq(ks_str_of(o.secret, o.n), KS_STR("hunter2 hunter2")));
	ks_engine_reader_close(&reader);
}

/* ---- logins ---- */

static uint8_t next_state;

static enum ks_err login(struct world *w, struct providing *p, const char *subject, const char *email, bool verified)
{
	p->claim = (struct ks_identity_claim){.provider = p->id,
					      .issuer = KS_STR(ISSUER),
					      .subject = ks_str_c(subject),
					      .email = ks_str_c(email),
					      .email_verified = verified,
					      .name = KS_STR("Somebody"),
					      .state = {{++next_state}}};
	p->user = 0;
	return world_change(w, step_login, p);
}

static void login_fails(struct world *w, struct providing *p, const char *subject, const char *email, bool verified)
{
	assert_int_equal(login(w, p, subject, email, verified), KS_FORBIDDEN);
	assert_string_equal(w->refusal.code, "login_failed");
	assert_int_equal(p->user, 0);
}

static void who_is_known(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	uint64_t ada = make_user(w, org, "ada@example.com");
	uint64_t eve = make_user(w, other, "eve@example.com");
	struct providing p = providing(org), q = providing(other);

	assert_int_equal(world_change(w, step_provider, &p), KS_OK);
	assert_int_equal(world_change(w, step_provider, &q), KS_OK);
	login_fails(w, &p, "sub-ada", "", false);
	login_fails(w, &p, "sub-ada", "ada@example.com", false);
	login_fails(w, &p, "sub-ada", "nobody@example.com", true);
	login_fails(w, &p, "sub-eve", "eve@example.com", true);
	assert_int_equal(login(w, &p, "sub-ada", "ada@example.com", true), KS_OK);
	assert_int_equal(p.user, ada);
	assert_int_equal(audit_count(w, "user.link"), 1);
	/* From now on by the subject, whatever address is said. */
	assert_int_equal(login(w, &p, "sub-ada", "eve@example.com", true), KS_OK);
	assert_int_equal(p.user, ada);
	assert_int_equal(login(w, &p, "sub-ada", "", false), KS_OK);
	assert_int_equal(audit_count(w, "user.link"), 1);
	/* To the other organization, the same subject of the same issuer is somebody else. */
	login_fails(w, &q, "sub-ada", "", false);
	assert_int_equal(login(w, &q, "sub-ada", "eve@example.com", true), KS_OK);
	assert_int_equal(q.user, eve);
	/* A login leads to one session. */
	assert_int_equal(world_change(w, step_login, &p), KS_FORBIDDEN);
	assert_string_equal(w->refusal.code, "login_failed");
	/* Switched off. */
	assert_int_equal(world_change(w, step_provider_off, &p), KS_OK);
	login_fails(w, &p, "sub-ada", "", false);
}

static void domains_bound_what_a_provider_says(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	struct providing p = providing(org);

	(void)make_user(w, org, "ada@elsewhere.com");
	(void)make_user(w, org, "bob@notexample.com");
	assert_int_equal(world_change(w, step_provider, &p), KS_OK);
	login_fails(w, &p, "a", "ada@elsewhere.com", true);
	login_fails(w, &p, "b", "bob@notexample.com", true);
	login_fails(w, &p, "c", "example.com", true);
}

static void beyond_the_organization_nobody_is_logged_in(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	uint64_t ada = make_user(w, org, "ada@example.com");
	uint64_t bob = make_user(w, org, "bob@example.com");
	struct providing p = providing(org);

	assert_int_equal(world_change(w, step_provider, &p), KS_OK);
	put_member(w, sub, ada, "administrator");
	put_member(w, operator_of(w), bob, "member");
	assert_int_equal(login(w, &p, "ada", "ada@example.com", true), KS_OK);
	login_fails(w, &p, "bob", "bob@example.com", true);
	/* Nor who was linked before. */
	put_member(w, operator_of(w), ada, "account_reader");
	login_fails(w, &p, "ada", "ada@example.com", true);
}

static void who_is_new(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	struct providing p = providing(org);
	uint64_t user;

	p.input.auto_create = true;
	p.input.default_role = KS_STR("member");
	p.input.default_tenant = sub;
	assert_int_equal(world_change(w, step_provider, &p), KS_OK);
	login_fails(w, &p, "new", "new@elsewhere.com", true);
	login_fails(w, &p, "new", "new@example.org", false);
	login_fails(w, &p, "new", "not an address@example.org", true);
	assert_int_equal(audit_count(w, "user.create"), 0);
	assert_int_equal(login(w, &p, "new", "new@example.org", true), KS_OK);
	user = p.user;
	assert_int_equal(audit_count(w, "user.create"), 1);
	assert_int_equal(audit_count(w, "member.put"), 1);
	assert_int_equal(audit_count(w, "user.link"), 1);
	assert_int_equal(login(w, &p, "new", "new@example.org", true), KS_OK);
	assert_int_equal(p.user, user);
	assert_int_equal(audit_count(w, "user.create"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_issuer_needs_sense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_audience_one_organization, set_up, tear_down),
		cmocka_unit_test_setup_teardown(strangers_see_no_issuer, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_role_is_the_callers_to_give, set_up, tear_down),
		cmocka_unit_test_setup_teardown(keys_reach_the_ring, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_provider_needs_sense, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_client_secret_is_sealed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_known, set_up, tear_down),
		cmocka_unit_test_setup_teardown(domains_bound_what_a_provider_says, set_up, tear_down),
		cmocka_unit_test_setup_teardown(beyond_the_organization_nobody_is_logged_in, set_up, tear_down),
		cmocka_unit_test_setup_teardown(who_is_new, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("engine/federation", tests, NULL, NULL);
}
