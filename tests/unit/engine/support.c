/* SPDX-License-Identifier: Apache-2.0 */
#include "support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"

const char demo_policy[] =
	"version: 1\n"
	"scopes:\n"
	"  contacts:read: {about: Read contacts, default: true}\n"
	"  contacts:write: {about: Change contacts}\n"
	"  calls:read: {about: Read calls, default: true}\n"
	"  billing:allocate: {about: Allocate credit, opt_in: true, kinds: [partner]}\n"
	"roles:\n"
	"  call_operator: {about: Watch calls, scopes: [calls:read, contacts:read]}\n"
	"families:\n"
	"  contacts:\n"
	"    routes: [\"/v1/contacts\", \"/v1/contacts/**\"]\n"
	"    kinds: [tenant, partner, runtime]\n"
	"    scopes: {GET: contacts:read, \"*\": contacts:write}\n"
	"  calls:\n"
	"    routes: [\"/v1/calls\"]\n"
	"    kinds: [tenant, partner]\n"
	"    scopes: {GET: calls:read}\n"
	"  billing:\n"
	"    routes: [\"/v1/billing\"]\n"
	"    kinds: [partner]\n"
	"    scopes: {POST: billing:allocate}\n"
	"    tenant_header: required_for_partner\n";

const char self_policy[] =
	"version: 1\n"
	"scopes:\n"
	"  keystile:keys:read: {about: See keys}\n"
	"  keystile:keys:write: {about: Change keys}\n"
	"  keystile:secrets:reveal: {about: Reveal, opt_in: true, kinds: [runtime]}\n"
	"roles:\n"
	"  administrator: {about: All, scopes: [keystile:keys:read, keystile:keys:write]}\n"
	"families:\n"
	"  keys:\n"
	"    routes: [\"/v1/keys\"]\n"
	"    kinds: [tenant, partner]\n"
	"    scopes: {GET: keystile:keys:read, POST: keystile:keys:write}\n"
	"  secrets:\n"
	"    routes: [\"/v1/secrets\"]\n"
	"    kinds: [runtime]\n"
	"    scopes: {POST: keystile:secrets:reveal}\n";

/* ---- the world ---- */

static void say(void *ctx, int level, const char *event, const char *text)
{
	(void)ctx;
	if (getenv("ENGINE_TEST_LOG"))
		fprintf(stderr, "%d %s: %s\n", level, event, text);
}

void world_write_policy(struct world *w, const char *yaml)
{
	FILE *f = fopen(w->policy_path, "w");

	assert_non_null(f);
	assert_true(fputs(yaml, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

void world_prepare(struct world *w)
{
	const char *base = getenv("TMPDIR");

	memset(w, 0, sizeof(*w));
	assert_true(snprintf(w->data, sizeof(w->data), "%s/ks-engine-XXXXXX", base ? base : "/tmp")
		    < (int)sizeof(w->data));
	assert_non_null(mkdtemp(w->data));
	(void)snprintf(w->policy_path, sizeof(w->policy_path), "%s/policy.yaml", w->data);
	(void)snprintf(w->ring, sizeof(w->ring), "%s/rings", w->data);
	world_write_policy(w, demo_policy);
	w->options = (struct ks_engine_options){
		.data_directory = w->data,
		.ring_directory = w->ring,
		.ring_group = -1,
		.domain = "example.org",
		.policy_path = w->policy_path,
		.self_policy = ks_str_c(self_policy),
		.prefix_live = "ks",
		.prefix_sandbox = "ks_test",
		.usage_flush_ms = 60000,
		.create = true,
		.log = say,
	};
}

enum ks_err world_open(struct world *w)
{
	return ks_engine_open(&w->options, &w->engine, &w->problem);
}

void world_new(struct world *w)
{
	world_prepare(w);
	if (world_open(w) != KS_OK)
		fail_msg("%s", w->problem.text);
}

void world_close(struct world *w)
{
	ks_engine_close(&w->engine);
}

void world_free(struct world *w)
{
	char command[256];

	world_close(w);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", w->data);
	assert_int_equal(system(command), 0);
}

/* ---- changes ---- */

struct stepping {
	change *step;
	void *ctx;
};

static enum ks_err run_step(struct ks_job *job, struct ks_tx *tx)
{
	struct stepping *s = job->ctx;

	return s->step(tx, s->ctx, &job->refusal);
}

enum ks_err world_change(struct world *w, change *step, void *ctx)
{
	struct stepping s = {step, ctx};
	struct ks_job job = {.run = run_step, .ctx = &s};
	enum ks_err err = ks_engine_run(w->engine, &job);

	w->refusal = job.refusal;
	return err;
}

static const struct ks_actor *actor_or_local(struct ks_tx *tx, const struct ks_actor *actor, struct ks_actor *local)
{
	ks_actor_local(tx->ring, local);
	return actor ? actor : local;
}

struct tenant_change {
	struct ks_tenant_input input;
	struct ks_tenant_made made;
};

static enum ks_err step_tenant(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct tenant_change *c = ctx;
	struct ks_actor local;

	return ks_tenants_create(tx, actor_or_local(tx, NULL, &local), &c->input, &c->made, refusal);
}

uint64_t make_tenant(struct world *w, enum ks_tenant_kind kind, uint64_t parent, const char *name)
{
	struct tenant_change c = {.input = {.kind = kind, .parent = parent, .name = ks_str_c(name)}};
	enum ks_err err = world_change(w, step_tenant, &c);

	if (err != KS_OK)
		fail_msg("%s: %s %s", ks_err_name(err), w->refusal.pointer, w->refusal.detail);
	return c.made.id;
}

struct user_change {
	struct ks_user_input input;
	uint64_t id;
};

static enum ks_err step_user(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct user_change *c = ctx;
	struct ks_invited invited;
	struct ks_actor local;

	return ks_users_create(tx, actor_or_local(tx, NULL, &local), &c->input, &c->id, &invited, refusal);
}

uint64_t make_user(struct world *w, uint64_t organization, const char *email)
{
	struct user_change c = {
		.input = {.organization = organization, .email = ks_str_c(email), .name = ks_str_c(email)}};
	enum ks_err err = world_change(w, step_user, &c);

	if (err != KS_OK)
		fail_msg("%s: %s %s", ks_err_name(err), w->refusal.pointer, w->refusal.detail);
	return c.id;
}

struct member_change {
	uint64_t tenant, user;
	const char *role;
};

static enum ks_err step_member(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct member_change *c = ctx;
	struct ks_actor local;

	return ks_members_put(tx, actor_or_local(tx, NULL, &local), c->tenant, c->user, ks_str_c(c->role), refusal);
}

void put_member(struct world *w, uint64_t tenant, uint64_t user, const char *role)
{
	struct member_change c = {tenant, user, role};

	assert_int_equal(world_change(w, step_member, &c), KS_OK);
}

static enum ks_err step_operator(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	uint64_t *id = ctx;

	(void)refusal;
	*id = tx->ring->tenants[0].id;
	return KS_OK;
}

uint64_t operator_of(struct world *w)
{
	uint64_t id = 0;

	assert_int_equal(world_change(w, step_operator, &id), KS_OK);
	return id;
}

struct ks_key_input key_input(const char *name, uint64_t tenant, const char *scopes)
{
	struct ks_key_input input = {
		.name = ks_str_c(name), .tenant = tenant, .expires_given = true, .expires_at = KS_TIME_NONE};
	struct ks_str rest = ks_str_c(scopes), scope = rest;

	while (rest.n > 0) {
		bool more = ks_str_split(rest, ' ', &scope, &rest);

		input.scopes[input.scope_count++] = more ? scope : rest;
		if (!more)
			break;
	}
	return input;
}

struct key_change {
	const struct ks_actor *actor;
	const struct ks_key_input *input;
	struct ks_key_made made;
};

static enum ks_err step_key(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct key_change *c = ctx;
	struct ks_actor local;

	return ks_keys_create(tx, actor_or_local(tx, c->actor, &local), c->input, &c->made, refusal);
}

enum ks_err create_key(struct world *w, const struct ks_actor *actor, const struct ks_key_input *input,
		       struct ks_key_made *ret_made)
{
	struct key_change c = {.actor = actor, .input = input};
	enum ks_err err = world_change(w, step_key, &c);

	if (err == KS_OK)
		*ret_made = c.made;
	return err;
}

struct ks_key_made make_key(struct world *w, uint64_t tenant, const char *scopes)
{
	struct ks_key_input input = key_input("a key", tenant, scopes);
	struct ks_key_made made;
	enum ks_err err = create_key(w, NULL, &input, &made);

	if (err != KS_OK)
		fail_msg("%s: %s %s", ks_err_name(err), w->refusal.pointer, w->refusal.detail);
	return made;
}

struct by_id {
	const struct ks_actor *actor;
	uint64_t id;
	bool flag;
};

static enum ks_err step_revoke(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct by_id *c = ctx;
	struct ks_actor local;

	return ks_keys_revoke(tx, actor_or_local(tx, c->actor, &local), c->id, refusal);
}

enum ks_err revoke_key(struct world *w, const struct ks_actor *actor, uint64_t id)
{
	return world_change(w, step_revoke, &(struct by_id){actor, id, false});
}

static enum ks_err step_suspend(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct by_id *c = ctx;
	struct ks_actor local;

	return ks_tenants_set_suspended(tx, actor_or_local(tx, c->actor, &local), c->id, c->flag, refusal);
}

enum ks_err suspend_tenant(struct world *w, const struct ks_actor *actor, uint64_t id, bool suspended)
{
	return world_change(w, step_suspend, &(struct by_id){actor, id, suspended});
}

static enum ks_err step_delete(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct by_id *c = ctx;
	struct ks_actor local;

	return ks_tenants_delete(tx, actor_or_local(tx, c->actor, &local), c->id, refusal);
}

enum ks_err delete_tenant(struct world *w, const struct ks_actor *actor, uint64_t id)
{
	return world_change(w, step_delete, &(struct by_id){actor, id, false});
}

/* ---- asking ---- */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static enum ks_reason decide_on(const struct ks_ring *ring, const char *token, const char *method, const char *path,
				const char *tenant, struct ks_decision *ret_decision)
{
	static struct ks_path scratch;
	struct ks_credential credential;
	struct ks_request request = {
		.credential = &credential,
		.method = ks_str_c(method),
		.path = ks_str_c(path),
		.tenant = ks_str_c(tenant),
		.now_ms = now_ms(),
	};
	char header[600];

	(void)snprintf(header, sizeof(header), "Bearer %s", token);
	ks_credential_init(&credential);
	ks_credential_authorization(&credential, ks_str_c(header));
	ks_decide(ring, KS_RING_POLICY_PLATFORM, &request, &scratch, ret_decision);
	return ret_decision->reason;
}

enum ks_reason decide(struct world *w, const char *token, const char *method, const char *path, const char *tenant)
{
	struct ks_engine_reader reader;
	struct ks_decision decision;
	const struct ks_ring *ring;
	enum ks_reason reason;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	ring = ks_ringmap_reader_ring(reader.ring);
	assert_non_null(ring);
	reason = decide_on(ring, token, method, path, tenant, &decision);
	ks_engine_reader_close(&reader);
	return reason;
}

enum ks_reason ask(struct world *w, const char *token)
{
	return decide(w, token, "GET", "/v1/contacts", "");
}

struct ks_actor actor_of(struct world *w, const char *token)
{
	return actor_for(w, token, "");
}

struct ks_actor actor_for(struct world *w, const char *token, const char *tenant)
{
	struct ks_engine_reader reader;
	struct ks_decision decision;
	const struct ks_ring *ring;
	struct ks_actor actor;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	ring = ks_ringmap_reader_ring(reader.ring);
	assert_non_null(ring);
	assert_int_equal(decide_on(ring, token, "GET", "/v1/contacts", tenant, &decision), KS_REASON_OK);
	ks_actor_of_decision(ring, &decision, &actor);
	ks_engine_reader_close(&reader);
	return actor;
}

static struct ks_str copy(struct ks_str from, char *to, size_t cap)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	(void)ks_buf_z(&b);
	return ks_buf_str(&b);
}

static enum ks_err take_key(void *ctx, const struct ks_key_row *row)
{
	struct key_seen *seen = ctx;

	seen->row = *row;
	seen->row.name = copy(row->name, seen->name, sizeof(seen->name));
	seen->row.prefix = copy(row->prefix, seen->prefix, sizeof(seen->prefix));
	seen->row.last_four = copy(row->last_four, seen->last_four, sizeof(seen->last_four));
	seen->row.labels = copy(row->labels, seen->labels, sizeof(seen->labels));
	seen->row.created_by = copy(row->created_by, seen->created_by, sizeof(seen->created_by));
	seen->row.revoked_by = copy(row->revoked_by, seen->revoked_by, sizeof(seen->revoked_by));
	seen->row.last_used_address = copy(row->last_used_address, seen->address, sizeof(seen->address));
	return KS_OK;
}

static enum ks_err take_grant(void *ctx, const struct ks_grant_row *row)
{
	struct key_seen *seen = ctx;

	(void)copy(row->body, seen->grant, sizeof(seen->grant));
	return KS_OK;
}

bool see_key(struct world *w, uint64_t id, struct key_seen *ret_seen)
{
	struct ks_engine_reader reader;
	enum ks_err err;

	memset(ret_seen, 0, sizeof(*ret_seen));
	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	err = ks_store_key_get(reader.store, id, take_key, ret_seen);
	if (err == KS_OK)
		assert_int_equal(ks_store_grant_get(reader.store, ret_seen->row.grant, take_grant, ret_seen), KS_OK);
	ks_engine_reader_close(&reader);
	return err == KS_OK;
}

void assert_in_step(struct world *w)
{
	struct ks_engine_report report;

	assert_int_equal(ks_engine_check(w->engine, &report), KS_OK);
	if (report.differences > 0)
		fail_msg("%llu differences, the first: %s", (unsigned long long)report.differences, report.first);
}

struct finding {
	struct ks_str action;
	struct audit_seen *seen;
};

static enum ks_err take_entry(void *ctx, const struct ks_audit_row *row)
{
	struct finding *f = ctx;

	if (f->seen->row.id != 0 || !ks_str_eq(row->action, f->action))
		return KS_OK;
	f->seen->row = *row;
	(void)copy(row->actor, f->seen->actor, sizeof(f->seen->actor));
	(void)copy(row->on_behalf, f->seen->on_behalf, sizeof(f->seen->on_behalf));
	(void)copy(row->object, f->seen->object, sizeof(f->seen->object));
	(void)copy(row->detail, f->seen->detail, sizeof(f->seen->detail));
	return KS_OK;
}

void see_audit(struct world *w, const char *action, struct audit_seen *ret_seen)
{
	struct finding f = {ks_str_c(action), ret_seen};
	struct ks_audit_filter filter = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 100000};
	struct ks_engine_reader reader;

	memset(ret_seen, 0, sizeof(*ret_seen));
	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_audit(reader.store, &filter, take_entry, &f), KS_OK);
	ks_engine_reader_close(&reader);
	assert_true(ret_seen->row.id != 0);
}

struct counting {
	struct ks_str action;
	size_t count;
};

static enum ks_err count_entry(void *ctx, const struct ks_audit_row *row)
{
	struct counting *c = ctx;

	c->count += ks_str_eq(row->action, c->action);
	return KS_OK;
}

size_t audit_count(struct world *w, const char *action)
{
	struct counting c = {.action = ks_str_c(action)};
	struct ks_audit_filter filter = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 100000};
	struct ks_engine_reader reader;

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_audit(reader.store, &filter, count_entry, &c), KS_OK);
	ks_engine_reader_close(&reader);
	return c.count;
}
