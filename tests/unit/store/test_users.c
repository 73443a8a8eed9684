/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static enum ks_err insert(struct ks_store *store, struct ks_user_row row)
{
	return ks_store_user_insert(store, &row);
}

static enum ks_err compare(void *ctx, const struct ks_user_row *row)
{
	const struct ks_user_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_int_equal(row->organization, expected->organization);
	assert_int_equal(row->personal, expected->personal);
	assert_true(ks_str_eq(row->email, expected->email));
	assert_true(ks_str_eq(row->name, expected->name));
	assert_int_equal(row->created_at, expected->created_at);
	assert_true(ks_str_eq(row->created_by, expected->created_by));
	assert_int_equal(row->disabled_at, expected->disabled_at);
	return KS_OK;
}

static void an_address_is_one_users(void **state)
{
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	assert_int_equal(insert(f->store, user_row(100, ORG_A, "ada@example.com")), KS_CONFLICT);
	assert_int_equal(insert(f->store, user_row(USER_A, ORG_A, "b@example.com")), KS_CONFLICT);
	assert_int_equal(insert(f->store, user_row(100, 99, "b@example.com")), KS_NOT_FOUND);
	assert_int_equal(insert(f->store, user_row(0, ORG_A, "b@example.com")), KS_MALFORMED);
	assert_ok(ks_store_commit(f->store));
	struct ks_store_counts counts;
	assert_ok(ks_store_counts(f->store, &counts));
	assert_int_equal(counts.users, 1);
}

static void every_member_comes_back(void **state)
{
	struct fixture *f = *state;
	struct ks_user_row row = user_row(100, ORG_B, "grace@example.com");

	assert_ok(ks_store_begin(f->store));
	row.personal = 0;
	assert_ok(insert(f->store, row));
	assert_ok(ks_store_user_get(f->store, 100, compare, &row));
	row.personal = PERSONAL_A;
	row.name = KS_STR("Grace");
	row.disabled_at = NOW + 5;
	assert_ok(ks_store_user_update(f->store, &row));
	assert_ok(ks_store_user_by_email(f->store, row.email, compare, &row));
	row.disabled_at = KS_TIME_NONE;
	row.personal = 0;
	assert_ok(ks_store_user_update(f->store, &row));
	assert_ok(ks_store_user_get(f->store, 100, compare, &row));
	row.id = 101;
	assert_int_equal(ks_store_user_update(f->store, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_user_get(f->store, 101, compare, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_user_by_email(f->store, KS_STR("GRACE@example.com"), compare, &row), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

struct ids {
	uint64_t ids[64];
	size_t n;
};

static enum ks_err note(void *ctx, const struct ks_user_row *row)
{
	struct ids *ids = ctx;

	ids->ids[ids->n++] = row->id;
	return KS_OK;
}

static void lists_tell_organizations_apart(void **state)
{
	static const struct {
		uint64_t organization;
		uint64_t before;
		size_t limit;
		uint64_t expected[6];
	} cases[] = {
		{ORG_B, 0, SIZE_MAX, {104, 102}}, {ORG_A, 0, SIZE_MAX, {103, 101, USER_A}},
		{ORG_A, 103, 1, {101}},           {0, 0, SIZE_MAX, {105}},
		{KS_STORE_ANY, 0, 2, {105, 104}}, {KS_STORE_ANY, 104, SIZE_MAX, {103, 102, 101, USER_A}},
		{SUB_A, 0, SIZE_MAX, {0}},        {ORG_A, 0, 0, {0}},
	};
	struct fixture *f = *state;

	assert_ok(ks_store_begin(f->store));
	for (uint64_t i = 101; i <= 105; i++) {
		char email[32];
		snprintf(email, sizeof(email), "u%d@example.com", (int)i);
		assert_ok(insert(f->store, user_row(i, i == 105 ? 0 : i % 2 ? ORG_A : ORG_B, email)));
	}
	assert_ok(ks_store_commit(f->store));
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ids ids = {.n = 0};
		assert_ok(ks_store_users(f->store, cases[i].organization, cases[i].before, cases[i].limit, note, &ids));
		assert_memory_equal(ids.ids, cases[i].expected, ids.n * sizeof(ids.ids[0]));
		assert_int_equal(cases[i].expected[ids.n], 0);
	}
	struct ids all = {.n = 0};
	assert_ok(ks_store_users_all(f->store, note, &all));
	assert_int_equal(all.n, 6);
	assert_int_equal(all.ids[0], USER_A);
}

/* ---- memberships ---- */

struct memberships {
	struct {
		uint64_t user;
		uint64_t tenant;
		char role[KS_STORE_ROLE_MAX + 1];
		int64_t created_at;
	} rows[64];
	size_t n;
};

static enum ks_err note_membership(void *ctx, const struct ks_membership_row *row)
{
	struct memberships *all = ctx;

	all->rows[all->n].user = row->user;
	all->rows[all->n].tenant = row->tenant;
	all->rows[all->n].created_at = row->created_at;
	snprintf(all->rows[all->n].role, sizeof(all->rows[0].role), "%.*s", KS_STR_ARG(row->role));
	all->n++;
	return KS_OK;
}

static struct ks_membership_row membership(uint64_t user, uint64_t tenant, const char *role)
{
	return (struct ks_membership_row){.user = user,
					  .tenant = tenant,
					  .role = ks_str_c(role),
					  .created_at = NOW,
					  .created_by = KS_STR("local")};
}

static void a_membership_needs_both_its_ends(void **state)
{
	struct fixture *f = *state;
	struct ks_membership_row row = membership(99, ORG_A, "member");

	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_membership_put(f->store, &row), KS_NOT_FOUND);
	row = membership(USER_A, 99, "member");
	assert_int_equal(ks_store_membership_put(f->store, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_membership_delete(f->store, USER_A, ORG_A), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

static void memberships_are_put_listed_and_removed(void **state)
{
	struct fixture *f = *state;
	struct memberships of_user = {.n = 0}, of_tenant = {.n = 0};
	struct ks_membership_row row = membership(USER_A, SUB_A, "member");

	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_membership_put(f->store, &row));
	row = membership(USER_A, ORG_A, "member");
	assert_ok(ks_store_membership_put(f->store, &row));
	row.role = KS_STR("administrator");
	row.created_at = NOW + 1;
	assert_ok(ks_store_membership_put(f->store, &row));
	for (uint64_t i = 100; i < 105; i++) {
		char email[32];
		snprintf(email, sizeof(email), "u%d@example.com", (int)i);
		assert_ok(insert(f->store, user_row(i, ORG_A, email)));
		row = membership(i, ORG_A, "account_reader");
		assert_ok(ks_store_membership_put(f->store, &row));
	}
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_memberships_of_user(f->store, USER_A, note_membership, &of_user));
	assert_int_equal(of_user.n, 2);
	assert_int_equal(of_user.rows[0].tenant, ORG_A);
	assert_string_equal(of_user.rows[0].role, "administrator");
	assert_int_equal(of_user.rows[0].created_at, NOW + 1);
	assert_int_equal(of_user.rows[1].tenant, SUB_A);
	assert_ok(ks_store_memberships_of_tenant(f->store, ORG_A, 0, 4, note_membership, &of_tenant));
	assert_int_equal(of_tenant.n, 4);
	assert_int_equal(of_tenant.rows[0].user, 104);
	assert_ok(ks_store_memberships_of_tenant(f->store, ORG_A, of_tenant.rows[3].user, SIZE_MAX, note_membership,
						 &of_tenant));
	assert_int_equal(of_tenant.n, 6);
	assert_int_equal(of_tenant.rows[5].user, USER_A);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_membership_delete(f->store, USER_A, ORG_A));
	assert_ok(ks_store_commit(f->store));
	of_user.n = 0;
	assert_ok(ks_store_memberships_of_user(f->store, USER_A, note_membership, &of_user));
	assert_int_equal(of_user.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_address_is_one_users),
		TEST(every_member_comes_back),
		TEST(lists_tell_organizations_apart),
		TEST(a_membership_needs_both_its_ends),
		TEST(memberships_are_put_listed_and_removed),
	};

	return cmocka_run_group_tests_name("store/users", tests, NULL, NULL);
}
