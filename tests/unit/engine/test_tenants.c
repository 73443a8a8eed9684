/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "support.h"

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

struct creation {
	const struct ks_actor *actor;
	struct ks_tenant_input input;
	struct ks_tenant_made made;
};

static enum ks_err step_create(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct creation *c = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_tenants_create(tx, c->actor ? c->actor : &local, &c->input, &c->made, refusal);
}

static void refused(struct world *w, const struct creation *c, enum ks_err err, const char *code, const char *pointer)
{
	struct creation copy = *c;
	struct ks_engine_stats before, after;

	ks_engine_stats(w->engine, &before);
	assert_int_equal(world_change(w, step_create, &copy), err);
	assert_string_equal(w->refusal.code, code);
	assert_string_equal(w->refusal.pointer, pointer);
	ks_engine_stats(w->engine, &after);
	assert_int_equal(before.position, after.position);
	assert_int_equal(before.tenants, after.tenants);
}

static struct creation creation(enum ks_tenant_kind kind, uint64_t parent)
{
	return (struct creation){.input = {.kind = kind, .parent = parent, .name = KS_STR("A tenant")}};
}

/* ---- refusals ---- */

static void a_tree_that_cannot_be(void **state)
{
	struct world *w = *state;
	uint64_t partner = make_tenant(w, KS_TENANT_KIND_PARTNER, 0, "Partner");
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	uint64_t project = make_tenant(w, KS_TENANT_KIND_PROJECT, sub, "Project");
	const struct {
		enum ks_tenant_kind kind;
		uint64_t parent;
	} bad[] = {
		{KS_TENANT_KIND_PARTNER, partner},    {KS_TENANT_KIND_PARTNER, org},
		{KS_TENANT_KIND_ORGANIZATION, org},   {KS_TENANT_KIND_ORGANIZATION, sub},
		{KS_TENANT_KIND_SUB_ENTITY, 0},	      {KS_TENANT_KIND_SUB_ENTITY, partner},
		{KS_TENANT_KIND_SUB_ENTITY, project}, {KS_TENANT_KIND_PROJECT, 0},
		{KS_TENANT_KIND_PROJECT, project},    {KS_TENANT_KIND_OPERATOR, 0},
		{KS_TENANT_KIND_PERSONAL, org},	      {KS_TENANT_KIND_COUNT, 0},
	};

	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		struct creation c = creation(bad[i].kind, bad[i].parent);

		refused(w, &c, KS_MALFORMED, "invalid", "/kind");
	}
	struct creation c = creation(KS_TENANT_KIND_PROJECT, 4711);
	refused(w, &c, KS_FORBIDDEN, "tenant_forbidden", "/parent");
	c = creation(KS_TENANT_KIND_PROJECT, org);
	c.input.name = KS_STR(" ");
	refused(w, &c, KS_MALFORMED, "invalid", "/name");
}

static void nesting_ends_at_eight(void **state)
{
	struct world *w = *state;
	uint64_t at = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");

	for (int i = 0; i < KS_SUB_ENTITY_DEPTH_MAX; i++)
		at = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, at, "Sub");
	struct creation c = creation(KS_TENANT_KIND_SUB_ENTITY, at);
	refused(w, &c, KS_MALFORMED, "invalid", "/parent");
	(void)make_tenant(w, KS_TENANT_KIND_PROJECT, at, "Project");
}

static void slugs(void **state)
{
	struct world *w = *state;
	const char *const bad[] = {"-a", "a-", "A", "a_b", "a.b", "\xc3\xa9",
				   "0123456789012345678901234567890123456789012345678901234567890123"};
	struct creation c = creation(KS_TENANT_KIND_ORGANIZATION, 0);

	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		c.input.slug = ks_str_c(bad[i]);
		refused(w, &c, KS_MALFORMED, "invalid", "/slug");
	}
	c.input.slug = KS_STR("acme");
	assert_int_equal(world_change(w, step_create, &c), KS_OK);
	refused(w, &c, KS_CONFLICT, "conflict", "/slug");
	c = creation(KS_TENANT_KIND_PARTNER, 0);
	c.input.slug = KS_STR("partner");
	refused(w, &c, KS_MALFORMED, "invalid", "/slug");
	/* Made from the name, and unique. */
	for (int i = 0; i < 12; i++)
		(void)make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "  Acme, Inc. & Sons!");
	(void)make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "\xe2\x98\x83");
}

static void strangers_see_no_parent(void **state)
{
	struct world *w = *state;
	uint64_t one = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "One");
	uint64_t two = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Two");
	struct ks_actor actor = actor_of(w, make_key(w, one, "contacts:read").token);
	struct creation c = creation(KS_TENANT_KIND_PROJECT, two);

	c.actor = &actor;
	refused(w, &c, KS_FORBIDDEN, "tenant_forbidden", "/parent");
	c.input.parent = 0;
	assert_int_equal(world_change(w, step_create, &c), KS_OK);
	assert_int_equal(delete_tenant(w, &actor, two), KS_NOT_FOUND);
	assert_int_equal(suspend_tenant(w, &actor, two, true), KS_NOT_FOUND);
	/* Nobody ends what he stands in. */
	assert_int_equal(suspend_tenant(w, &actor, one, true), KS_FORBIDDEN);
	assert_int_equal(delete_tenant(w, &actor, one), KS_FORBIDDEN);
	assert_int_equal(suspend_tenant(w, NULL, operator_of(w), true), KS_FORBIDDEN);
	assert_int_equal(delete_tenant(w, NULL, operator_of(w)), KS_FORBIDDEN);
}

/* ---- partners ---- */

static void a_partner_provisions_its_own_organizations(void **state)
{
	struct world *w = *state;
	uint64_t partner = make_tenant(w, KS_TENANT_KIND_PARTNER, 0, "Partner");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	struct ks_key_made key = make_key(w, partner, "contacts:read");
	struct ks_actor actor = actor_of(w, key.token);
	struct ks_key_input first = key_input("their first", 0, "contacts:read");
	struct creation c = creation(KS_TENANT_KIND_ORGANIZATION, 0);
	struct key_seen seen;

	c.actor = &actor;
	c.input.first_key = &first;
	c.input.administrator_email = KS_STR("Boss@Customer.example");
	assert_int_equal(world_change(w, step_create, &c), KS_OK);
	assert_true(c.made.administrator != 0);
	assert_int_equal(ask(w, c.made.first_key.token), KS_REASON_OK);
	assert_true(see_key(w, c.made.first_key.id, &seen));
	assert_true(seen.row.tenant == c.made.id && seen.row.organization == c.made.id);
	assert_int_equal(seen.row.binding, KS_BINDING_ORGANIZATION);
	/* On behalf of one's own, by the header; never of another's. */
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", ""), KS_REASON_OK);
	char own[KS_ID_TEXT_SIZE], foreign[KS_ID_TEXT_SIZE];
	ks_id_format(KS_ID_ORGANIZATION, c.made.id, own);
	ks_id_format(KS_ID_ORGANIZATION, other, foreign);
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", own), KS_REASON_OK);
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", foreign), KS_REASON_TENANT_FORBIDDEN);
}

static void provisioning_is_whole_or_not_at_all(void **state)
{
	struct world *w = *state;
	uint64_t partner = make_tenant(w, KS_TENANT_KIND_PARTNER, 0, "Partner");
	struct ks_actor actor = actor_of(w, make_key(w, partner, "contacts:read").token);
	struct ks_key_input first = key_input("k", 0, "calls:read");
	struct creation c = creation(KS_TENANT_KIND_ORGANIZATION, 0);
	struct ks_engine_stats before, after;

	ks_engine_stats(w->engine, &before);
	c.actor = &actor;
	c.input.first_key = &first;
	c.input.administrator_email = KS_STR("a@b.example");
	refused(w, &c, KS_FORBIDDEN, "not_grantable", "/first_key/scopes/0");
	first = key_input("", 0, "contacts:read");
	refused(w, &c, KS_MALFORMED, "invalid", "/first_key/name");
	first = key_input("k", partner, "contacts:read");
	refused(w, &c, KS_MALFORMED, "invalid", "/first_key/tenant");
	first = key_input("k", 0, "contacts:read");
	c.input.administrator_email = KS_STR("nobody");
	refused(w, &c, KS_MALFORMED, "invalid", "/administrator/email");
	c.input.kind = KS_TENANT_KIND_PARTNER;
	c.actor = NULL;
	refused(w, &c, KS_MALFORMED, "invalid", "/first_key");
	ks_engine_stats(w->engine, &after);
	assert_int_equal(before.users, after.users);
	assert_int_equal(before.keys, after.keys);
}

/* ---- suspend and delete ---- */

static void a_suspended_organization_is_refused_at_once(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	struct ks_key_made keys[] = {make_key(w, org, "contacts:read"), make_key(w, sub, "contacts:read")};
	struct ks_key_made unharmed = make_key(w, other, "contacts:read");

	assert_int_equal(suspend_tenant(w, NULL, org, true), KS_OK);
	assert_int_equal(ask(w, keys[0].token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(ask(w, keys[1].token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(ask(w, unharmed.token), KS_REASON_OK);
	assert_int_equal(suspend_tenant(w, NULL, org, true), KS_OK);
	assert_int_equal(audit_count(w, "tenant.suspend"), 1);
	assert_in_step(w);
	assert_int_equal(suspend_tenant(w, NULL, sub, true), KS_OK);
	assert_int_equal(suspend_tenant(w, NULL, org, false), KS_OK);
	assert_int_equal(ask(w, keys[0].token), KS_REASON_OK);
	assert_int_equal(ask(w, keys[1].token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(suspend_tenant(w, NULL, sub, false), KS_OK);
	assert_int_equal(ask(w, keys[1].token), KS_REASON_OK);
}

static void what_has_tenants_below_stays(void **state)
{
	struct world *w = *state;
	uint64_t partner = make_tenant(w, KS_TENANT_KIND_PARTNER, 0, "Partner");
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, partner, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	uint64_t project = make_tenant(w, KS_TENANT_KIND_PROJECT, sub, "Project");
	struct ks_key_made key = make_key(w, project, "contacts:read");

	assert_int_equal(delete_tenant(w, NULL, partner), KS_CONFLICT);
	assert_int_equal(delete_tenant(w, NULL, org), KS_CONFLICT);
	assert_int_equal(delete_tenant(w, NULL, sub), KS_CONFLICT);
	assert_int_equal(ask(w, key.token), KS_REASON_OK);
	assert_int_equal(delete_tenant(w, NULL, project), KS_OK);
	assert_int_equal(ask(w, key.token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(delete_tenant(w, NULL, project), KS_NOT_FOUND);
	assert_int_equal(delete_tenant(w, NULL, sub), KS_OK);
	assert_int_equal(delete_tenant(w, NULL, org), KS_OK);
	assert_int_equal(delete_tenant(w, NULL, partner), KS_OK);
	struct creation c = creation(KS_TENANT_KIND_PROJECT, sub);
	refused(w, &c, KS_FORBIDDEN, "tenant_forbidden", "/parent");
}

static void an_organization_takes_its_people_along(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	struct ks_key_input input = key_input("mine", 0, "contacts:read");
	struct ks_key_made key, guest_key;
	uint64_t guest = make_user(w, other, "guest@example.org");

	for (int i = 0; i < 300; i++) {
		char email[64];

		(void)snprintf(email, sizeof(email), "user%d@example.org", i);
		input.user = make_user(w, org, email);
	}
	assert_int_equal(create_key(w, NULL, &input, &key), KS_OK);
	put_member(w, org, guest, "administrator");
	input.user = guest;
	assert_int_equal(create_key(w, NULL, &input, &guest_key), KS_OK);
	assert_int_equal(delete_tenant(w, NULL, org), KS_OK);
	assert_int_equal(ask(w, key.token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(ask(w, guest_key.token), KS_REASON_OK);
	assert_int_equal(audit_count(w, "user.disable"), 300);
}

/* ---- in one transaction ---- */

static enum ks_err step_delete_then_use(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	const uint64_t *org = ctx;
	struct ks_tenant_input below = {.kind = KS_TENANT_KIND_PROJECT, .parent = *org, .name = KS_STR("late")};
	struct ks_key_input key = key_input("late", *org, "contacts:read");
	struct ks_user_input user = {.organization = *org, .email = KS_STR("late@example.org"), .name = KS_STR("late")};
	struct ks_tenant_made tenant_made;
	struct ks_key_made key_made;
	struct ks_invited invited;
	struct ks_actor local;
	uint64_t id;

	ks_actor_local(tx->ring, &local);
	KS_TRY(ks_tenants_delete(tx, &local, *org, refusal));
	/* The ring does not know yet; the transaction does. */
	assert_int_equal(ks_tenants_create(tx, &local, &below, &tenant_made, refusal), KS_FORBIDDEN);
	assert_int_equal(ks_keys_create(tx, &local, &key, &key_made, refusal), KS_FORBIDDEN);
	assert_int_equal(ks_users_create(tx, &local, &user, &id, &invited, refusal), KS_FORBIDDEN);
	assert_int_equal(ks_tenants_delete(tx, &local, *org, refusal), KS_NOT_FOUND);
	return KS_OK;
}

static void what_is_deleted_in_a_transaction_is_gone_in_it(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");

	assert_int_equal(world_change(w, step_delete_then_use, &org), KS_OK);
}

/* ---- users and members ---- */

static void addresses_of_people(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	const char *const bad[] = {"",
				   "a",
				   "a@",
				   "@b.example",
				   "a@b",
				   "a b@c.example",
				   "a@b..example",
				   "a@-b.example",
				   "a@b-.example",
				   "a@b@c.example",
				   "a\n@b.example",
				   "a@b.example.",
				   "<a@b.example>",
				   "a@b_c.example",
				   "\xff@b.example"};
	struct creation c = creation(KS_TENANT_KIND_ORGANIZATION, 0);

	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		if (bad[i][0] == '\0')
			continue;
		c.input.administrator_email = ks_str_c(bad[i]);
		refused(w, &c, KS_MALFORMED, "invalid", "/administrator/email");
	}
	(void)make_user(w, org, "First.Last+tag@sub.example.org");
	c.input.administrator_email = KS_STR("first.LAST+tag@SUB.example.org");
	refused(w, &c, KS_CONFLICT, "conflict", "/administrator/email");
}

struct membership {
	const struct ks_actor *actor;
	uint64_t tenant, user;
	const char *role;
};

static enum ks_err step_put(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct membership *m = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_members_put(tx, m->actor ? m->actor : &local, m->tenant, m->user, ks_str_c(m->role), refusal);
}

static enum ks_err step_remove(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct membership *m = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_members_remove(tx, m->actor ? m->actor : &local, m->tenant, m->user, refusal);
}

static void members_see_as_of_now(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t sub = make_tenant(w, KS_TENANT_KIND_SUB_ENTITY, org, "Sub");
	uint64_t project = make_tenant(w, KS_TENANT_KIND_PROJECT, sub, "Project");
	uint64_t user = make_user(w, org, "ann@example.org");
	struct ks_key_input input = key_input("mine", 0, "contacts:read");
	struct membership m = {NULL, sub, user, "member"};
	struct ks_key_made key;
	char sub_text[KS_ID_TEXT_SIZE], project_text[KS_ID_TEXT_SIZE];

	ks_id_format(KS_ID_SUB_ENTITY, sub, sub_text);
	ks_id_format(KS_ID_PROJECT, project, project_text);
	input.user = user;
	assert_int_equal(create_key(w, NULL, &input, &key), KS_OK);
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", sub_text), KS_REASON_TENANT_FORBIDDEN);
	assert_int_equal(world_change(w, step_put, &m), KS_OK);
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", sub_text), KS_REASON_OK);
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", project_text), KS_REASON_TENANT_FORBIDDEN);
	m.role = "administrator";
	assert_int_equal(world_change(w, step_put, &m), KS_OK);
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", project_text), KS_REASON_OK);
	assert_int_equal(world_change(w, step_remove, &m), KS_OK);
	assert_int_equal(decide(w, key.token, "GET", "/v1/contacts", sub_text), KS_REASON_TENANT_FORBIDDEN);
	assert_int_equal(world_change(w, step_remove, &m), KS_NOT_FOUND);
}

static void memberships_refused(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	uint64_t other = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Other");
	uint64_t user = make_user(w, org, "ann@example.org");
	uint64_t stranger = make_user(w, other, "bob@example.org");
	struct ks_actor actor = actor_of(w, make_key(w, org, "contacts:read").token);
	const struct {
		struct membership m;
		enum ks_err err;
	} cases[] = {
		{{NULL, org, user, "emperor"}, KS_MALFORMED},
		{{NULL, org, 4711, "member"}, KS_NOT_FOUND},
		{{NULL, 4711, user, "member"}, KS_NOT_FOUND},
		{{&actor, other, user, "member"}, KS_NOT_FOUND},
		{{&actor, org, stranger, "member"}, KS_NOT_FOUND},
		{{&actor, org, user, "call_operator"}, KS_FORBIDDEN},
		{{NULL, org, user, "call_operator"}, KS_OK},
	};

	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct membership m = cases[i].m;

		assert_int_equal(world_change(w, step_put, &m), cases[i].err);
	}
}

struct disabling {
	uint64_t user;
	bool disabled;
};

static enum ks_err step_disable(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct disabling *d = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_users_set_disabled(tx, &local, d->user, d->disabled, refusal);
}

static void a_disabled_user_has_no_keys(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	struct ks_key_input input = key_input("mine", 0, "contacts:read");
	struct disabling d = {make_user(w, org, "ann@example.org"), true};
	struct ks_key_made key;

	input.user = d.user;
	assert_int_equal(create_key(w, NULL, &input, &key), KS_OK);
	assert_int_equal(world_change(w, step_disable, &d), KS_OK);
	assert_int_equal(ask(w, key.token), KS_REASON_CREDENTIAL_INVALID);
	assert_int_equal(create_key(w, NULL, &input, &key), KS_MALFORMED);
	assert_string_equal(w->refusal.pointer, "/user");
	assert_int_equal(world_change(w, step_disable, &d), KS_OK);
	assert_int_equal(audit_count(w, "user.disable"), 1);
	d.disabled = false;
	assert_int_equal(world_change(w, step_disable, &d), KS_OK);
	assert_int_equal(ask(w, key.token), KS_REASON_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_tree_that_cannot_be),
		TEST(nesting_ends_at_eight),
		TEST(slugs),
		TEST(strangers_see_no_parent),
		TEST(a_partner_provisions_its_own_organizations),
		TEST(provisioning_is_whole_or_not_at_all),
		TEST(a_suspended_organization_is_refused_at_once),
		TEST(what_has_tenants_below_stays),
		TEST(an_organization_takes_its_people_along),
		TEST(what_is_deleted_in_a_transaction_is_gone_in_it),
		TEST(addresses_of_people),
		TEST(members_see_as_of_now),
		TEST(memberships_refused),
		TEST(a_disabled_user_has_no_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
