/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "support.h"

struct fixture {
	struct world w;
	uint64_t partner, org, other_org, sub, project, user, personal;
	struct ks_key_made operator_key, org_key, user_key, partner_key;
};

static uint64_t personal_of(struct world *w, uint64_t user)
{
	struct key_seen seen;
	struct ks_key_input input = key_input("k", 0, "contacts:read");
	struct ks_key_made made;

	input.user = user;
	assert_int_equal(create_key(w, NULL, &input, &made), KS_OK);
	assert_true(see_key(w, made.id, &seen));
	return seen.row.tenant;
}

static int set_up(void **state)
{
	static struct fixture f;
	struct ks_key_input input;

	world_new(&f.w);
	f.partner = make_tenant(&f.w, KS_TENANT_KIND_PARTNER, 0, "Partner");
	f.org = make_tenant(&f.w, KS_TENANT_KIND_ORGANIZATION, f.partner, "Acme");
	f.other_org = make_tenant(&f.w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	f.sub = make_tenant(&f.w, KS_TENANT_KIND_SUB_ENTITY, f.org, "Sub");
	f.project = make_tenant(&f.w, KS_TENANT_KIND_PROJECT, f.sub, "Project");
	f.user = make_user(&f.w, f.org, "Ann@Example.org");
	f.personal = personal_of(&f.w, f.user);
	f.operator_key = make_key(&f.w, 0, "contacts:read");
	f.org_key = make_key(&f.w, f.org, "contacts:read");
	f.partner_key = make_key(&f.w, f.partner, "contacts:read billing:allocate");
	input = key_input("mine", 0, "contacts:read");
	input.user = f.user;
	assert_int_equal(create_key(&f.w, NULL, &input, &f.user_key), KS_OK);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	assert_in_step(&f->w);
	world_free(&f->w);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The input is refused with this error, code and pointer, and nothing was made. */
static void refused(struct fixture *f, const struct ks_actor *actor, const struct ks_key_input *input, enum ks_err err,
		    const char *code, const char *pointer)
{
	struct ks_key_made made = {.id = 7};
	struct ks_engine_stats before, after;

	ks_engine_stats(f->w.engine, &before);
	assert_int_equal(create_key(&f->w, actor, input, &made), err);
	assert_string_equal(f->w.refusal.code, code);
	assert_string_equal(f->w.refusal.pointer, pointer);
	assert_true(f->w.refusal.detail[0] != '\0');
	ks_engine_stats(f->w.engine, &after);
	assert_int_equal(before.keys, after.keys);
	assert_int_equal(before.position, after.position);
}

/* ---- form ---- */

static void bad_names(void **state)
{
	struct fixture *f = *state;
	static char long_name[202];
	const char *const names[] = {"", "  \t", "a\nb", "\x7f", "\xff\xfe", "\xc3"};

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		struct ks_key_input input = key_input(names[i], f->org, "contacts:read");

		refused(f, NULL, &input, KS_MALFORMED, "invalid", "/name");
	}
	memset(long_name, 'x', 201);
	struct ks_key_input input = key_input(long_name, f->org, "contacts:read");
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/name");
	long_name[200] = '\0';
	input = key_input(long_name, f->org, "contacts:read");
	struct ks_key_made made;
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
}

static void bad_expiry(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "contacts:read");
	const int64_t times[] = {0, now_ms() - 1, KS_TIME_MAX + 1};

	input.expires_given = false;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/expires_at");
	input.expires_given = true;
	for (size_t i = 0; i < KS_ARRAY_LEN(times); i++) {
		input.expires_at = times[i];
		refused(f, NULL, &input, KS_MALFORMED, "invalid", "/expires_at");
	}
	input.expires_at = KS_TIME_MAX;
	struct ks_key_made made;
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
}

static void bad_limits_and_labels(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "contacts:read");
	const char *const labels[] = {
		"[]", "{", "{\"a\":1}", "{\"a\":\"b\",\"a\":\"c\"}", "{\"\":\"x\"}", "{\"a\":\"x\\ny\"}", "\"x\""};

	input.rate_requests = 10;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/rate_limit/window_s");
	input.rate_window_s = KS_RATE_WINDOW_MAX + 1;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/rate_limit/window_s");
	input.rate_window_s = 60;
	input.rate_requests = KS_RATE_REQUESTS_MAX + 1;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/rate_limit/requests");
	input.rate_requests = 0;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/rate_limit/requests");
	input.rate_window_s = 0;
	for (size_t i = 0; i < KS_ARRAY_LEN(labels); i++) {
		input.labels = ks_str_c(labels[i]);
		refused(f, NULL, &input, KS_MALFORMED, "invalid", "/labels");
	}
}

/* ---- scopes and kinds ---- */

static void unknown_scopes_and_roles(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "contacts:read nothing:here");

	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/scopes/1");
	input = key_input("k", f->org, "contacts:read");
	input.roles[0] = KS_STR("call_operator");
	input.roles[1] = KS_STR("nobody");
	input.role_count = 2;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/roles/1");
}

static void a_scope_kept_for_another_kind(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "billing:allocate");

	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/scopes/0");
	input = key_input("k", 0, "keystile:secrets:reveal");
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/scopes/0");
}

static void a_kind_that_does_not_fit(void **state)
{
	struct fixture *f = *state;
	struct ks_actor operator_actor = actor_of(&f->w, f->operator_key.token);
	struct ks_key_input input = key_input("k", f->org, "contacts:read");

	input.kind_given = true;
	input.kind = KS_KIND_PARTNER;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/kind");
	input.kind = KS_KIND_SESSION;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/kind");
	input.kind = KS_KIND_RUNTIME;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/kind");
	input = key_input("k", 0, "keystile:secrets:reveal");
	input.kind_given = true;
	input.kind = KS_KIND_RUNTIME;
	refused(f, &operator_actor, &input, KS_FORBIDDEN, "not_grantable", "/kind");
	struct ks_key_made made;
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
	assert_int_equal(actor_of(&f->w, make_key(&f->w, 0, "contacts:read").token).is_operator, true);
}

static void no_key_is_stronger_than_its_creator(void **state)
{
	struct fixture *f = *state;
	struct ks_actor actor = actor_of(&f->w, f->org_key.token);
	struct ks_key_input input = key_input("k", 0, "contacts:read calls:read");
	struct ks_key_made made;
	struct key_seen seen;

	refused(f, &actor, &input, KS_FORBIDDEN, "not_grantable", "/scopes/1");
	input = key_input("k", 0, "contacts:read");
	input.roles[0] = KS_STR("call_operator");
	input.role_count = 1;
	refused(f, &actor, &input, KS_FORBIDDEN, "not_grantable", "/roles/0");
	input = key_input("k", 0, "");
	input.scopes_default = true;
	refused(f, &actor, &input, KS_FORBIDDEN, "not_grantable", "/scopes");
	input = key_input("k", f->sub, "contacts:read");
	assert_int_equal(create_key(&f->w, &actor, &input, &made), KS_OK);
	assert_true(see_key(&f->w, made.id, &seen));
	assert_string_equal(seen.created_by, actor.id);
	assert_int_equal(seen.row.binding, KS_BINDING_SUB_ENTITY);
}

static void tenants_beyond_sight(void **state)
{
	struct fixture *f = *state;
	struct ks_actor actor = actor_of(&f->w, f->org_key.token);
	const uint64_t tenants[] = {f->other_org, f->partner, operator_of(&f->w), f->personal, 12345};

	for (size_t i = 0; i < KS_ARRAY_LEN(tenants); i++) {
		struct ks_key_input input = key_input("k", tenants[i], "contacts:read");

		refused(f, &actor, &input, KS_FORBIDDEN, "tenant_forbidden", "/tenant");
	}
	struct ks_key_input input = key_input("k", 0, "contacts:read");
	input.user = f->user;
	refused(f, &actor, &input, KS_FORBIDDEN, "tenant_forbidden", "/user");
	input.user = 12345;
	refused(f, NULL, &input, KS_FORBIDDEN, "tenant_forbidden", "/user");
	input.user = f->user;
	input.tenant = f->org;
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/tenant");
}

/* ---- what is made ---- */

static void bindings_follow_the_tenant(void **state)
{
	struct fixture *f = *state;
	const struct {
		uint64_t tenant, user, organization;
		enum ks_binding binding;
		enum ks_kind kind;
	} cases[] = {
		{0, 0, 0, KS_BINDING_OPERATOR, KS_KIND_TENANT},
		{f->partner, 0, 0, KS_BINDING_PARTNER, KS_KIND_PARTNER},
		{f->org, 0, f->org, KS_BINDING_ORGANIZATION, KS_KIND_TENANT},
		{f->sub, 0, f->org, KS_BINDING_SUB_ENTITY, KS_KIND_TENANT},
		{f->project, 0, f->org, KS_BINDING_PROJECT, KS_KIND_TENANT},
		{0, f->user, f->org, KS_BINDING_USER, KS_KIND_TENANT},
		{f->personal, f->user, f->org, KS_BINDING_USER, KS_KIND_TENANT},
		{f->personal, 0, f->org, KS_BINDING_USER, KS_KIND_TENANT},
	};

	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_key_input input = key_input("k", cases[i].tenant, "contacts:read");
		struct ks_key_made made;
		struct key_seen seen;

		input.user = cases[i].user;
		assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
		assert_true(see_key(&f->w, made.id, &seen));
		assert_int_equal(seen.row.binding, cases[i].binding);
		assert_int_equal(seen.row.kind, cases[i].kind);
		assert_true(seen.row.organization == cases[i].organization);
		if (cases[i].binding == KS_BINDING_USER)
			assert_true(seen.row.user == f->user && seen.row.tenant == f->personal);
		assert_int_equal(ask(&f->w, made.token), KS_REASON_OK);
	}
}

static void what_is_kept_of_a_token(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "contacts:read");
	struct ks_key_made made;
	struct key_seen seen;
	struct ks_digest digest;

	input.environment = KS_ENVIRONMENT_SANDBOX;
	input.labels = KS_STR("{\"team\":\"ops\"}");
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
	assert_int_equal(strlen(made.token), strlen("ks_test_") + 32);
	assert_memory_equal(made.token, "ks_test_", 8);
	assert_true(see_key(&f->w, made.id, &seen));
	assert_string_equal(seen.prefix, "ks_test");
	assert_string_equal(seen.last_four, made.token + strlen(made.token) - 4);
	assert_string_equal(seen.labels, "{\"team\":\"ops\"}");
	assert_int_equal(ks_sha256(ks_str_c(made.token), &digest), KS_OK);
	assert_memory_equal(seen.row.digest.bytes, digest.bytes, sizeof(digest.bytes));
	assert_int_equal(audit_count(&f->w, "key.create"), 6);
}

static void grants_are_canonical_and_shared(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input a = key_input("a", f->org, "contacts:write calls:read calls:read");
	struct ks_key_input b = key_input("b", f->sub, "calls:read contacts:write");
	struct ks_key_made made_a, made_b;
	struct key_seen seen_a, seen_b;

	a.roles[0] = b.roles[0] = b.roles[1] = KS_STR("call_operator");
	a.role_count = 1;
	b.role_count = 2;
	assert_true(ks_cidr_parse(KS_STR("203.0.113.0/24"), &a.addresses[0]));
	b.addresses[0] = a.addresses[0];
	a.address_count = b.address_count = 1;
	a.rate_requests = b.rate_requests = 600;
	a.rate_window_s = b.rate_window_s = 60;
	assert_int_equal(create_key(&f->w, NULL, &a, &made_a), KS_OK);
	assert_int_equal(create_key(&f->w, NULL, &b, &made_b), KS_OK);
	assert_true(see_key(&f->w, made_a.id, &seen_a));
	assert_true(see_key(&f->w, made_b.id, &seen_b));
	assert_true(seen_a.row.grant == seen_b.row.grant);
	assert_string_equal(seen_a.grant,
			    "{\"addresses\":[\"203.0.113.0/24\"],\"rate_limit\":{\"requests\":600,\"window_s\":60},"
			    "\"roles\":[\"call_operator\"],"
			    "\"scopes\":[\"calls:read\",\"contacts:read\",\"contacts:write\"]}");
}

static void default_means_the_marked_scopes_of_the_kind(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "");
	struct ks_key_made made;
	struct key_seen seen;

	input.scopes_default = true;
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
	assert_true(see_key(&f->w, made.id, &seen));
	assert_string_equal(
		seen.grant,
		"{\"addresses\":[],\"rate_limit\":null,\"roles\":[],\"scopes\":[\"calls:read\",\"contacts:read\"]}");
	/* Omitted is none at all. */
	input.scopes_default = false;
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
	assert_int_equal(ask(&f->w, made.token), KS_REASON_SCOPE_MISSING);
}

static void roles_are_frozen(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "");
	struct ks_key_made before, after;
	struct key_seen seen;
	char policy[4096];
	char *role;

	input.roles[0] = KS_STR("call_operator");
	input.role_count = 1;
	assert_int_equal(create_key(&f->w, NULL, &input, &before), KS_OK);
	assert_int_equal(decide(&f->w, before.token, "POST", "/v1/contacts", ""), KS_REASON_SCOPE_MISSING);
	/* The role is widened: new keys get more, the old one does not. */
	(void)snprintf(policy, sizeof(policy), "%s", demo_policy);
	role = strstr(policy, "[calls:read, contacts:read]");
	assert_non_null(role);
	memcpy(role, "[contacts:write,calls:read]", 27);
	world_write_policy(&f->w, policy);
	assert_int_equal(ks_engine_reload_policy(f->w.engine, &f->w.problem), KS_OK);
	assert_int_equal(decide(&f->w, before.token, "POST", "/v1/contacts", ""), KS_REASON_SCOPE_MISSING);
	assert_int_equal(decide(&f->w, before.token, "GET", "/v1/contacts", ""), KS_REASON_OK);
	assert_int_equal(create_key(&f->w, NULL, &input, &after), KS_OK);
	assert_int_equal(decide(&f->w, after.token, "POST", "/v1/contacts", ""), KS_REASON_OK);
	assert_true(see_key(&f->w, before.id, &seen));
	assert_string_equal(seen.grant, "{\"addresses\":[],\"rate_limit\":null,\"roles\":[\"call_operator\"],"
					"\"scopes\":[\"calls:read\",\"contacts:read\"]}");
}

static void an_imported_digest_is_taken_once(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "contacts:read");
	struct ks_key_made made;

	input.imported = true;
	assert_int_equal(ks_sha256(KS_STR("their-own.token"), &input.digest), KS_OK);
	input.last_four = KS_STR("to long");
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/last_four");
	input.last_four = KS_STR("oken");
	input.prefix = KS_STR("bad prefix");
	refused(f, NULL, &input, KS_MALFORMED, "invalid", "/prefix");
	input.prefix = KS_STR("their");
	assert_int_equal(ask(&f->w, "their-own.token"), KS_REASON_CREDENTIAL_MALFORMED);
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
	assert_string_equal(made.token, "");
	assert_int_equal(ask(&f->w, "their-own.token"), KS_REASON_OK);
	refused(f, NULL, &input, KS_CONFLICT, "conflict", "/sha256");
	assert_int_equal(revoke_key(&f->w, NULL, made.id), KS_OK);
	refused(f, NULL, &input, KS_CONFLICT, "conflict", "/sha256");
}

/* ---- rename and revoke ---- */

struct rename {
	const struct ks_actor *actor;
	uint64_t id;
	const char *name;
};

static enum ks_err step_rename(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct rename *c = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_keys_rename(tx, c->actor ? c->actor : &local, c->id, ks_str_c(c->name), refusal);
}

static void rename_changes_the_name_alone(void **state)
{
	struct fixture *f = *state;
	struct ks_actor stranger = actor_of(&f->w, make_key(&f->w, f->other_org, "contacts:read").token);
	struct key_seen before, after;

	assert_true(see_key(&f->w, f->org_key.id, &before));
	assert_int_equal(world_change(&f->w, step_rename, &(struct rename){NULL, f->org_key.id, ""}), KS_MALFORMED);
	assert_int_equal(world_change(&f->w, step_rename, &(struct rename){NULL, 999, "x"}), KS_NOT_FOUND);
	assert_int_equal(world_change(&f->w, step_rename, &(struct rename){&stranger, f->org_key.id, "x"}),
			 KS_NOT_FOUND);
	assert_string_equal(f->w.refusal.code, "not_found");
	assert_int_equal(audit_count(&f->w, "key.rename"), 0);
	assert_int_equal(world_change(&f->w, step_rename, &(struct rename){NULL, f->org_key.id, "new name"}), KS_OK);
	assert_true(see_key(&f->w, f->org_key.id, &after));
	assert_string_equal(after.name, "new name");
	assert_true(after.row.grant == before.row.grant && after.row.tenant == before.row.tenant
		    && after.row.expires_at == before.row.expires_at);
	assert_int_equal(ask(&f->w, f->org_key.token), KS_REASON_OK);
	assert_int_equal(world_change(&f->w, step_rename, &(struct rename){NULL, f->org_key.id, "new name"}), KS_OK);
	assert_int_equal(audit_count(&f->w, "key.rename"), 1);
}

static void revoked_is_revoked(void **state)
{
	struct fixture *f = *state;
	struct ks_actor stranger = actor_of(&f->w, make_key(&f->w, f->other_org, "contacts:read").token);
	struct ks_actor owner = actor_of(&f->w, f->org_key.token);
	struct key_seen first, again;

	assert_int_equal(revoke_key(&f->w, &stranger, f->org_key.id), KS_NOT_FOUND);
	assert_int_equal(revoke_key(&f->w, &owner, f->user_key.id), KS_NOT_FOUND);
	assert_int_equal(ask(&f->w, f->org_key.token), KS_REASON_OK);
	/* A key may end itself. */
	assert_int_equal(revoke_key(&f->w, &owner, f->org_key.id), KS_OK);
	assert_int_equal(ask(&f->w, f->org_key.token), KS_REASON_CREDENTIAL_INVALID);
	assert_true(see_key(&f->w, f->org_key.id, &first));
	assert_string_equal(first.revoked_by, owner.id);
	assert_int_equal(revoke_key(&f->w, NULL, f->org_key.id), KS_OK);
	assert_true(see_key(&f->w, f->org_key.id, &again));
	assert_true(again.row.revoked_at == first.row.revoked_at);
	assert_string_equal(again.revoked_by, owner.id);
	assert_int_equal(audit_count(&f->w, "key.revoke"), 1);
}

static void a_partner_that_acts_in_an_organization_sees_that_one_alone(void **state)
{
	struct fixture *f = *state;
	char org[KS_ID_TEXT_SIZE];
	const uint64_t hidden[] = {f->partner, f->other_org, operator_of(&f->w), f->personal};
	struct ks_key_input input = key_input("k", 0, "contacts:read");
	struct ks_key_made made;
	struct ks_actor actor;
	struct key_seen seen;

	ks_id_format(KS_ID_ORGANIZATION, f->org, org);
	actor = actor_for(&f->w, f->partner_key.token, org);
	for (size_t i = 0; i < KS_ARRAY_LEN(hidden); i++) {
		input = key_input("k", hidden[i], "contacts:read");
		refused(f, &actor, &input, KS_FORBIDDEN, "tenant_forbidden", "/tenant");
	}
	input = key_input("k", f->sub, "contacts:read");
	assert_int_equal(create_key(&f->w, &actor, &input, &made), KS_OK);
	assert_true(see_key(&f->w, made.id, &seen));
	assert_true(seen.row.tenant == f->sub);
	/* Itself it sees its organizations, and nothing below them. */
	actor = actor_of(&f->w, f->partner_key.token);
	refused(f, &actor, &input, KS_FORBIDDEN, "tenant_forbidden", "/tenant");
}

/* ---- rotate ---- */

struct rotation {
	const struct ks_actor *actor;
	uint64_t id;
	uint32_t overlap_s;
	bool expires_given;
	int64_t expires_at;
	struct ks_key_made made;
};

static enum ks_err step_rotate(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct rotation *c = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_keys_rotate(tx, c->actor ? c->actor : &local, c->id, c->overlap_s, c->expires_given, c->expires_at,
			      &c->made, refusal);
}

static void a_sandbox_key_makes_sandbox_keys_alone(void **state)
{
	struct fixture *f = *state;
	struct ks_key_made made, live = make_key(&f->w, f->org, "contacts:read"), sandbox;
	struct ks_key_input input = key_input("sandbox", f->org, "contacts:read");
	struct rotation r = {.id = live.id};
	struct ks_actor actor;

	input.environment = KS_ENVIRONMENT_SANDBOX;
	assert_int_equal(create_key(&f->w, NULL, &input, &sandbox), KS_OK);
	actor = actor_of(&f->w, sandbox.token);
	assert_int_equal(create_key(&f->w, &actor, &input, &made), KS_OK);
	input.environment = KS_ENVIRONMENT_LIVE;
	refused(f, &actor, &input, KS_FORBIDDEN, "not_grantable", "/environment");
	/* The successor of a live key would be one. */
	r.actor = &actor;
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_FORBIDDEN);
	assert_string_equal(f->w.refusal.code, "not_grantable");
	r.id = sandbox.id;
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_OK);
}

static void rotation_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ks_key_made strong = make_key(&f->w, f->org, "contacts:read contacts:write");
	struct ks_actor weak = actor_of(&f->w, f->org_key.token);
	struct rotation r = {.id = strong.id, .actor = &weak};

	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_FORBIDDEN);
	assert_string_equal(f->w.refusal.code, "not_grantable");
	r = (struct rotation){.id = strong.id, .overlap_s = KS_ROTATE_OVERLAP_MAX + 1};
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_MALFORMED);
	assert_string_equal(f->w.refusal.pointer, "/overlap_s");
	r = (struct rotation){.id = strong.id, .expires_given = true, .expires_at = 1};
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_MALFORMED);
	assert_string_equal(f->w.refusal.pointer, "/expires_at");
	assert_int_equal(revoke_key(&f->w, NULL, strong.id), KS_OK);
	r = (struct rotation){.id = strong.id};
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_CONFLICT);
	r = (struct rotation){.id = 4711};
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_NOT_FOUND);
	assert_int_equal(audit_count(&f->w, "key.rotate"), 0);
}

static void rotation_without_overlap_ends_the_old_key_at_once(void **state)
{
	struct fixture *f = *state;
	struct rotation r = {.id = f->org_key.id};
	struct key_seen old, new;

	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_OK);
	assert_int_equal(ask(&f->w, f->org_key.token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(ask(&f->w, r.made.token), KS_REASON_OK);
	assert_true(see_key(&f->w, f->org_key.id, &old));
	assert_true(see_key(&f->w, r.made.id, &new));
	assert_true(old.row.rotated_to == r.made.id && new.row.rotated_from == f->org_key.id);
	assert_true(old.row.revoked_at != KS_TIME_NONE);
	assert_true(old.row.grant == new.row.grant && old.row.tenant == new.row.tenant && old.row.kind == new.row.kind);
	assert_string_equal(old.name, new.name);
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_CONFLICT);
	/* Both keys have their entry. */
	assert_int_equal(audit_count(&f->w, "key.rotate"), 1);
	assert_int_equal(audit_count(&f->w, "key.create"), 6);
}

static void rotation_with_overlap_keeps_both(void **state)
{
	struct fixture *f = *state;
	struct ks_key_input input = key_input("k", f->org, "contacts:read");
	int64_t end = now_ms() + 10000000;
	struct rotation r = {.overlap_s = 3600};
	struct ks_key_made made;
	struct key_seen old, new;

	input.expires_at = end;
	assert_int_equal(create_key(&f->w, NULL, &input, &made), KS_OK);
	r.id = made.id;
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_OK);
	assert_int_equal(ask(&f->w, made.token), KS_REASON_OK);
	assert_int_equal(ask(&f->w, r.made.token), KS_REASON_OK);
	assert_true(see_key(&f->w, made.id, &old));
	assert_true(see_key(&f->w, r.made.id, &new));
	assert_true(new.row.expires_at == end);
	assert_true(old.row.retires_at == new.row.created_at + 3600000);
	assert_true(old.row.revoked_at == KS_TIME_NONE);
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_CONFLICT);
	/* The successor can be rotated again, to another end. */
	r = (struct rotation){.id = new.row.id, .expires_given = true, .expires_at = KS_TIME_NONE};
	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_OK);
	assert_true(see_key(&f->w, r.made.id, &new));
	assert_true(new.row.expires_at == KS_TIME_NONE);
}

static void a_key_may_rotate_itself(void **state)
{
	struct fixture *f = *state;
	struct ks_actor self = actor_of(&f->w, f->partner_key.token);
	struct rotation r = {.id = f->partner_key.id, .actor = &self};

	assert_int_equal(world_change(&f->w, step_rotate, &r), KS_OK);
	assert_int_equal(ask(&f->w, r.made.token), KS_REASON_OK);
	assert_int_equal(ask(&f->w, f->partner_key.token), KS_REASON_CREDENTIAL_INVALID);
}

static void on_whose_behalf_is_recorded(void **state)
{
	struct fixture *f = *state;
	char org[KS_ID_TEXT_SIZE], key[KS_ID_TEXT_SIZE];
	struct ks_key_input input = key_input("for \"them\"", 0, "contacts:read");
	struct ks_actor actor;
	struct audit_seen seen;
	struct ks_key_made made;

	ks_id_format(KS_ID_ORGANIZATION, f->org, org);
	actor = actor_for(&f->w, f->partner_key.token, org);
	assert_int_equal(create_key(&f->w, &actor, &input, &made), KS_OK);
	ks_id_format(KS_ID_KEY, made.id, key);
	see_audit(&f->w, "key.create", &seen);
	assert_string_equal(seen.actor, actor.id);
	assert_string_equal(seen.on_behalf, org);
	assert_string_equal(seen.object, key);
	assert_true(seen.row.organization == f->org && seen.row.tenant == f->org);
	assert_string_equal(seen.detail,
			    "{\"name\":\"for \\\"them\\\"\",\"kind\":\"tenant\",\"binding\":\"organization\","
			    "\"environment\":\"live\"}");
	assert_int_equal(revoke_key(&f->w, NULL, made.id), KS_OK);
	see_audit(&f->w, "key.revoke", &seen);
	assert_string_equal(seen.actor, "local");
	assert_string_equal(seen.on_behalf, "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bad_names),
		TEST(bad_expiry),
		TEST(bad_limits_and_labels),
		TEST(unknown_scopes_and_roles),
		TEST(a_scope_kept_for_another_kind),
		TEST(a_kind_that_does_not_fit),
		TEST(no_key_is_stronger_than_its_creator),
		TEST(a_partner_that_acts_in_an_organization_sees_that_one_alone),
		TEST(a_sandbox_key_makes_sandbox_keys_alone),
		TEST(tenants_beyond_sight),
		TEST(bindings_follow_the_tenant),
		TEST(what_is_kept_of_a_token),
		TEST(grants_are_canonical_and_shared),
		TEST(default_means_the_marked_scopes_of_the_kind),
		TEST(roles_are_frozen),
		TEST(an_imported_digest_is_taken_once),
		TEST(rename_changes_the_name_alone),
		TEST(revoked_is_revoked),
		TEST(rotation_is_refused),
		TEST(rotation_without_overlap_ends_the_old_key_at_once),
		TEST(rotation_with_overlap_keeps_both),
		TEST(a_key_may_rotate_itself),
		TEST(on_whose_behalf_is_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
