/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "store/federation.h"

static struct ks_foreign_issuer_row issuer_row(uint64_t id, uint64_t organization, const char *audience)
{
	return (struct ks_foreign_issuer_row){.id = id,
				      .organization = organization,
				      .enabled = true,
				      .name = KS_STR("Our directory"),
				      .issuer = KS_STR("https://issuer.example"),
				      .audience = ks_str_c(audience),
				      .jwks_url = KS_STR("https://issuer.example/keys"),
				      .rules = KS_STR("{}"),
				      .jwks = KS_STR(""),
				      .created_at = NOW,
				      .created_by = KS_STR("local"),
				      .deleted_at = KS_TIME_NONE,
				      .next_at = NOW,
				      .tried_at = KS_TIME_NONE,
				      .fetched_at = KS_TIME_NONE};
}

static enum ks_err insert(struct fixture *f, struct ks_foreign_issuer_row row)
{
	return ks_store_foreign_issuer_insert(f->store, &row);
}

static enum ks_err compare(void *ctx, const struct ks_foreign_issuer_row *row)
{
	const struct ks_foreign_issuer_row *e = ctx;

	assert_int_equal(row->id, e->id);
	assert_int_equal(row->organization, e->organization);
	assert_int_equal(row->enabled, e->enabled);
	assert_true(ks_str_eq(row->name, e->name));
	assert_true(ks_str_eq(row->issuer, e->issuer));
	assert_true(ks_str_eq(row->audience, e->audience));
	assert_true(ks_str_eq(row->jwks_url, e->jwks_url));
	assert_true(ks_str_eq(row->rules, e->rules));
	assert_true(ks_str_eq(row->jwks, e->jwks));
	assert_int_equal(row->created_at, e->created_at);
	assert_true(ks_str_eq(row->created_by, e->created_by));
	assert_int_equal(row->deleted_at, e->deleted_at);
	assert_int_equal(row->next_at, e->next_at);
	assert_int_equal(row->tried_at, e->tried_at);
	assert_int_equal(row->fetched_at, e->fetched_at);
	assert_int_equal(row->failures, e->failures);
	assert_true(ks_str_eq(row->failure, e->failure));
	return KS_OK;
}

struct ids {
	uint64_t items[8];
	size_t count;
};

static enum ks_err take_id(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct ids *ids = ctx;

	ids->items[ids->count++] = row->id;
	return KS_OK;
}

static enum ks_err take_provider_id(void *ctx, const struct ks_identity_provider_row *row)
{
	struct ids *ids = ctx;

	ids->items[ids->count++] = row->id;
	return KS_OK;
}

static void an_issuer_through_its_life(void **state)
{
	struct fixture *f = *state;
	struct ks_foreign_issuer_row row = issuer_row(100, ORG_A, "api");

	assert_ok(ks_store_begin(f->store));
	assert_ok(insert(f, row));
	assert_ok(ks_store_foreign_issuer_get(f->store, 100, compare, &row));
	assert_ok(ks_store_foreign_issuer_failed(f->store, 100, KS_STR("timeout"), NOW + 1, NOW + 60));
	assert_ok(ks_store_foreign_issuer_failed(f->store, 100, KS_STR("tls_failed"), NOW + 2, NOW + 120));
	row.tried_at = NOW + 2;
	row.next_at = NOW + 120;
	row.failures = 2;
	row.failure = KS_STR("tls_failed");
	assert_ok(ks_store_foreign_issuer_get(f->store, 100, compare, &row));
	row.jwks = KS_STR("{\"keys\":[]}");
	assert_ok(ks_store_foreign_issuer_fetched(f->store, 100, row.jwks, NOW + 3, NOW + 3600));
	row.tried_at = row.fetched_at = NOW + 3;
	row.next_at = NOW + 3600;
	row.failures = 0;
	row.failure = KS_STR("");
	assert_ok(ks_store_foreign_issuer_get(f->store, 100, compare, &row));
	assert_ok(ks_store_foreign_issuer_set_enabled(f->store, 100, false, NOW + 7));
	row.enabled = false;
	row.next_at = NOW + 7;
	assert_ok(ks_store_foreign_issuer_get(f->store, 100, compare, &row));
	assert_ok(ks_store_foreign_issuer_delete(f->store, 100, NOW + 9));
	row.deleted_at = NOW + 9;
	assert_ok(ks_store_foreign_issuer_get(f->store, 100, compare, &row));
	/* What is deleted is touched no more. */
	assert_int_equal(ks_store_foreign_issuer_delete(f->store, 100, NOW), KS_NOT_FOUND);
	assert_int_equal(ks_store_foreign_issuer_set_enabled(f->store, 100, true, NOW), KS_NOT_FOUND);
	assert_int_equal(ks_store_foreign_issuer_fetched(f->store, 100, row.jwks, NOW, NOW), KS_NOT_FOUND);
	assert_int_equal(ks_store_foreign_issuer_failed(f->store, 100, KS_STR("x"), NOW, NOW), KS_NOT_FOUND);
	assert_int_equal(ks_store_foreign_issuer_get(f->store, 101, compare, &row), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

static void one_audience_is_one_organizations(void **state)
{
	struct fixture *f = *state;
	struct ks_foreign_issuer_row row;

	assert_ok(ks_store_begin(f->store));
	assert_ok(insert(f, issuer_row(100, ORG_A, "api")));
	assert_int_equal(insert(f, issuer_row(101, ORG_B, "api")), KS_CONFLICT);
	assert_int_equal(insert(f, issuer_row(101, ORG_A, "api")), KS_CONFLICT);
	assert_ok(insert(f, issuer_row(101, ORG_B, "api of b")));
	assert_ok(ks_store_foreign_issuer_delete(f->store, 100, NOW));
	assert_ok(insert(f, issuer_row(102, ORG_B, "api")));
	assert_int_equal(insert(f, issuer_row(103, 99, "c")), KS_NOT_FOUND);
	row = issuer_row(0, ORG_A, "c");
	assert_int_equal(insert(f, row), KS_MALFORMED);
	row = issuer_row(103, ORG_A, "c");
	row.issuer = KS_STR("a\0b");
	assert_int_equal(insert(f, row), KS_MALFORMED);
	assert_ok(ks_store_commit(f->store));
}

static void lists_of_issuers(void **state)
{
	struct fixture *f = *state;
	struct ids ids = {.count = 0};
	int64_t next;

	assert_int_equal(ks_store_foreign_issuers_next(f->store, &next), KS_NOT_FOUND);
	assert_ok(ks_store_begin(f->store));
	for (uint64_t i = 0; i < 4; i++) {
		struct ks_foreign_issuer_row row = issuer_row(100 + i, i % 2 ? ORG_B : ORG_A, "");
		char audience[8];

		snprintf(audience, sizeof(audience), "a%d", (int)i);
		row.audience = ks_str_c(audience);
		row.next_at = NOW + 10 - (int64_t)i;
		assert_ok(insert(f, row));
	}
	assert_ok(ks_store_foreign_issuer_delete(f->store, 102, NOW));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_foreign_issuers(f->store, KS_STORE_ANY, 0, 10, take_id, &ids));
	assert_int_equal(ids.count, 3);
	assert_int_equal(ids.items[0], 103);
	ids.count = 0;
	assert_ok(ks_store_foreign_issuers(f->store, ORG_B, 103, 10, take_id, &ids));
	assert_int_equal(ids.count, 1);
	assert_int_equal(ids.items[0], 101);
	ids.count = 0;
	assert_ok(ks_store_foreign_issuers_all(f->store, take_id, &ids));
	assert_int_equal(ids.count, 4);
	ids.count = 0;
	assert_ok(ks_store_foreign_issuers_due(f->store, NOW + 9, 10, take_id, &ids));
	assert_int_equal(ids.count, 2);
	assert_int_equal(ids.items[0], 103);
	assert_int_equal(ids.items[1], 101);
	assert_ok(ks_store_foreign_issuers_next(f->store, &next));
	assert_int_equal(next, NOW + 7);
}

static enum ks_err compare_provider(void *ctx, const struct ks_identity_provider_row *row)
{
	const struct ks_identity_provider_row *e = ctx;

	assert_int_equal(row->id, e->id);
	assert_int_equal(row->organization, e->organization);
	assert_int_equal(row->enabled, e->enabled);
	assert_int_equal(row->auto_create, e->auto_create);
	assert_int_equal(row->default_tenant, e->default_tenant);
	assert_true(ks_str_eq(row->default_role, e->default_role));
	assert_true(ks_str_eq(row->name, e->name));
	assert_true(ks_str_eq(row->issuer, e->issuer));
	assert_true(ks_str_eq(row->client_id, e->client_id));
	assert_true(ks_str_eq(row->secret, e->secret));
	assert_true(ks_str_eq(row->scopes, e->scopes));
	assert_true(ks_str_eq(row->domains, e->domains));
	assert_int_equal(row->created_at, e->created_at);
	assert_true(ks_str_eq(row->created_by, e->created_by));
	assert_int_equal(row->deleted_at, e->deleted_at);
	return KS_OK;
}

static void an_identity_provider_through_its_life(void **state)
{
	struct fixture *f = *state;
	struct ids ids = {.count = 0};
	struct ks_identity_provider_row row = {.id = 200,
					       .organization = ORG_A,
					       .enabled = true,
					       .auto_create = true,
					       .default_tenant = SUB_A,
					       .default_role = KS_STR("member"),
					       .name = KS_STR("Directory"),
					       .issuer = KS_STR("https://idp.example"),
					       .client_id = KS_STR("console"),
					       .secret = KS_STR("\0sealed\xff"),
					       .scopes = KS_STR("openid email"),
					       .domains = KS_STR("example.com"),
					       .created_at = NOW,
					       .created_by = KS_STR("local"),
					       .deleted_at = KS_TIME_NONE};
	struct ks_identity_provider_row second = row;

	second.id = 201;
	second.organization = second.default_tenant = 0;
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_identity_provider_insert(f->store, &row));
	assert_ok(ks_store_identity_provider_insert(f->store, &second));
	assert_int_equal(ks_store_identity_provider_insert(f->store, &second), KS_CONFLICT);
	assert_ok(ks_store_identity_provider_get(f->store, 200, compare_provider, &row));
	assert_ok(ks_store_identity_provider_get(f->store, 201, compare_provider, &second));
	assert_ok(ks_store_identity_providers(f->store, 0, 0, 10, take_provider_id, &ids));
	assert_ok(ks_store_identity_providers(f->store, ORG_A, 0, 10, take_provider_id, &ids));
	assert_ok(ks_store_identity_providers(f->store, KS_STORE_ANY, 201, 10, take_provider_id, &ids));
	assert_int_equal(ids.count, 3);
	assert_int_equal(ids.items[0], 201);
	assert_int_equal(ids.items[1], 200);
	assert_int_equal(ids.items[2], 200);
	assert_ok(ks_store_identity_provider_set_enabled(f->store, 200, false));
	assert_ok(ks_store_identity_provider_delete(f->store, 200, NOW + 1));
	row.enabled = false;
	row.deleted_at = NOW + 1;
	row.secret = KS_STR("");
	assert_ok(ks_store_identity_provider_get(f->store, 200, compare_provider, &row));
	assert_int_equal(ks_store_identity_provider_set_enabled(f->store, 200, true), KS_NOT_FOUND);
	assert_int_equal(ks_store_identity_provider_delete(f->store, 200, NOW), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

static enum ks_err take_user(void *ctx, const struct ks_identity_row *row)
{
	*(uint64_t *)ctx = row->user;
	return KS_OK;
}

static void an_identity_is_one_users(void **state)
{
	struct fixture *f = *state;
	struct ks_identity_row row = {.organization = ORG_A,
				      .issuer = KS_STR("https://idp.example"),
				      .subject = KS_STR("alice"),
				      .user = USER_A,
				      .created_at = NOW};
	uint64_t user = 0;

	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_identity_insert(f->store, &row));
	assert_int_equal(ks_store_identity_insert(f->store, &row), KS_CONFLICT);
	row.organization = 0;
	assert_ok(ks_store_identity_insert(f->store, &row));
	row.subject = KS_STR("bob");
	row.user = 99;
	assert_int_equal(ks_store_identity_insert(f->store, &row), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_identity_get(f->store, ORG_A, row.issuer, KS_STR("alice"), take_user, &user));
	assert_int_equal(user, USER_A);
	assert_int_equal(ks_store_identity_get(f->store, ORG_B, row.issuer, KS_STR("alice"), take_user, &user),
			 KS_NOT_FOUND);
	assert_int_equal(ks_store_identity_get(f->store, ORG_A, row.issuer, KS_STR("ALICE"), take_user, &user),
			 KS_NOT_FOUND);
}

static void a_login_is_used_once(void **state)
{
	struct fixture *f = *state;
	struct ks_digest first = {{1}}, second = {{2}};
	bool used = true;

	assert_ok(ks_store_login_used(f->store, &first, &used));
	assert_false(used);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_login_use(f->store, &first, NOW, NOW - 100));
	assert_int_equal(ks_store_login_use(f->store, &first, NOW, NOW - 100), KS_CONFLICT);
	assert_ok(ks_store_login_used(f->store, &first, &used));
	assert_true(used);
	assert_ok(ks_store_login_use(f->store, &second, NOW + 101, NOW + 1));
	assert_ok(ks_store_login_used(f->store, &first, &used));
	assert_false(used);
	assert_ok(ks_store_commit(f->store));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_issuer_through_its_life),
		TEST(one_audience_is_one_organizations),
		TEST(lists_of_issuers),
		TEST(an_identity_provider_through_its_life),
		TEST(an_identity_is_one_users),
		TEST(a_login_is_used_once),
	};

	return cmocka_run_group_tests_name("store/federation", tests, NULL, NULL);
}
