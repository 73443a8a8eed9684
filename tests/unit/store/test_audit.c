/* SPDX-License-Identifier: Apache-2.0 */
#include <sqlite3.h>

#include "base/id.h"
#include "fixture.h"

static enum ks_err append(struct ks_store *store, struct ks_audit_row row)
{
	return ks_store_audit_append(store, &row);
}

static void entries_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[KS_STORE_DETAIL_MAX + 1];
	struct ks_audit_row row = audit_row(1, ORG_A, SUB_A);

	memset(text, 'd', sizeof(text));
	assert_int_equal(append(f->store, row), KS_STORE);
	assert_ok(ks_store_begin(f->store));
	assert_ok(append(f->store, row));
	assert_int_equal(append(f->store, row), KS_CONFLICT);
	row.id = 0;
	assert_int_equal(append(f->store, row), KS_MALFORMED);
	row = audit_row(2, ORG_A, SUB_A);
	row.detail = ks_str_of(text, sizeof(text));
	assert_int_equal(append(f->store, row), KS_TOO_LARGE);
	row = audit_row(2, ORG_A, SUB_A);
	row.actor = ks_str_of(text, KS_STORE_ACTOR_MAX + 1);
	assert_int_equal(append(f->store, row), KS_TOO_LARGE);
	row = audit_row(2, ORG_A, SUB_A);
	row.request_id = KS_STR("\xff");
	assert_int_equal(append(f->store, row), KS_MALFORMED);
	assert_ok(ks_store_commit(f->store));
}

static void the_schema_itself_keeps_entries(void **state)
{
	static const char *const attempts[] = {"DELETE FROM audit", "UPDATE audit SET outcome = 'ok'",
					       "UPDATE audit SET at = 0 WHERE id = 1"};
	struct fixture *f = *state;
	sqlite3 *db;

	assert_ok(ks_store_begin(f->store));
	assert_ok(append(f->store, audit_row(1, ORG_A, SUB_A)));
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(attempts); i++)
		assert_int_equal(sqlite3_exec(db, attempts[i], NULL, NULL, NULL), SQLITE_CONSTRAINT);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static enum ks_err compare(void *ctx, const struct ks_audit_row *row)
{
	const struct ks_audit_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_int_equal(row->at, expected->at);
	assert_int_equal(row->organization, expected->organization);
	assert_int_equal(row->tenant, expected->tenant);
	assert_true(ks_str_eq(row->actor, expected->actor));
	assert_true(ks_str_eq(row->on_behalf, expected->on_behalf));
	assert_true(ks_str_eq(row->action, expected->action));
	assert_true(ks_str_eq(row->object, expected->object));
	assert_true(ks_str_eq(row->outcome, expected->outcome));
	assert_true(ks_str_eq(row->address, expected->address));
	assert_true(ks_str_eq(row->request_id, expected->request_id));
	assert_true(ks_str_eq(row->detail, expected->detail));
	return KS_OK;
}

static void every_member_comes_back(void **state)
{
	struct fixture *f = *state;
	struct ks_audit_filter all = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = SIZE_MAX};
	struct ks_audit_row row = {.id = 5,
				   .at = NOW,
				   .actor = KS_STR("key_0123456789abc"),
				   .on_behalf = KS_STR("sub_0123456789abc"),
				   .action = KS_STR("tenant.suspend"),
				   .object = KS_STR("org_0123456789abc"),
				   .outcome = KS_STR("tenant_forbidden"),
				   .address = KS_STR("2001:db8::7"),
				   .request_id = KS_STR("0123456789abcdef"),
				   .detail = KS_STR("{\"name\":\"Zo\xc3\xab\"}")};

	assert_ok(ks_store_begin(f->store));
	assert_ok(append(f->store, row));
	assert_ok(ks_store_audit(f->store, &all, compare, &row));
	assert_ok(ks_store_commit(f->store));
}

static enum ks_err count_row(void *ctx, const struct ks_audit_row *row)
{
	(void)row;
	(*(size_t *)ctx)++;
	return KS_OK;
}

/* Who reads brings what was appended into the table, but has written nothing that would have to be undone. */
static void reading_is_no_writing(void **state)
{
	static const struct ks_audit_filter all = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 10};
	struct fixture *f = *state;
	uint64_t writes;
	size_t rows = 0;

	assert_ok(ks_store_begin(f->store));
	writes = ks_store_writes(f->store);
	assert_ok(append(f->store, audit_row(1, ORG_A, SUB_A)));
	assert_int_not_equal(ks_store_writes(f->store), writes);
	writes = ks_store_writes(f->store);
	assert_ok(ks_store_audit(f->store, &all, count_row, &rows));
	assert_int_equal(rows, 1);
	assert_int_equal(ks_store_writes(f->store), writes);
	ks_store_rollback(f->store);
	rows = 0;
	assert_ok(ks_store_audit(f->store, &all, count_row, &rows));
	assert_int_equal(rows, 0);
}

/* ---- lists against a naive model ---- */

#define MANY 5000

static struct ks_audit_row model[MANY];

static void fill(struct ks_store *store)
{
	static const char *const actors[] = {"local", "system", "key_0000000000001", "key_0000000000002"};
	static const char *const actions[] = {"key.create", "key.revoke", "tenant.create"};
	struct ks_id_source ids = {0};

	assert_ok(ks_store_begin(store));
	for (size_t i = 0; i < MANY; i++) {
		struct ks_audit_row row = audit_row(ks_id_next(&ids, NOW + (int64_t)i / 3, (uint32_t)random64()), 0, 0);
		row.at = NOW + (int64_t)i / 3;
		row.organization = random64() % 4 ? 10 + random64() % 3 : 0;
		row.tenant = random64() % 5;
		row.actor = ks_str_c(actors[random64() % KS_ARRAY_LEN(actors)]);
		row.action = ks_str_c(actions[random64() % KS_ARRAY_LEN(actions)]);
		model[i] = row;
		assert_ok(append(store, row));
	}
	assert_ok(ks_store_commit(store));
}

static bool passes(const struct ks_audit_filter *filter, const struct ks_audit_row *row)
{
	return (filter->before == 0 || row->id < filter->before) &&
	       (filter->organization == 0 || row->organization == filter->organization) &&
	       (filter->tenant == 0 || row->tenant == filter->tenant) &&
	       (filter->actor.n == 0 || ks_str_eq(row->actor, filter->actor)) &&
	       (filter->action.n == 0 || ks_str_eq(row->action, filter->action)) &&
	       (filter->from == KS_TIME_NONE || row->at >= filter->from) &&
	       (filter->to == KS_TIME_NONE || row->at < filter->to);
}

struct expectation {
	const struct ks_audit_filter *filter;
	size_t at;
	size_t rows;
};

static enum ks_err expect(void *ctx, const struct ks_audit_row *row)
{
	struct expectation *expectation = ctx;

	do
		assert_true(expectation->at-- > 0);
	while (!passes(expectation->filter, &model[expectation->at]));
	expectation->rows++;
	return compare(&model[expectation->at], row);
}

static size_t read_pages(struct ks_store *store, struct ks_audit_filter filter)
{
	struct expectation expectation = {&filter, MANY, 0};
	size_t before;

	do {
		before = expectation.rows;
		assert_ok(ks_store_audit(store, &filter, expect, &expectation));
		if (expectation.rows > before)
			filter.before = model[expectation.at].id;
	} while (expectation.rows - before == filter.limit);
	while (expectation.at-- > 0)
		assert_false(passes(&filter, &model[expectation.at]));
	return expectation.rows;
}

static void lists_are_those_of_a_naive_model(void **state)
{
	struct fixture *f = *state;
	size_t rows = 0;

	seed_random();
	fill(f->store);
	for (int round = 0; round < 200; round++) {
		struct ks_audit_filter filter = {
			.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 1 + random64() % 500};
		if (random64() % 2)
			filter.organization = 10 + random64() % 3;
		if (random64() % 3 == 0)
			filter.tenant = 1 + random64() % 4;
		if (random64() % 3 == 0)
			filter.actor = random64() % 2 ? KS_STR("local") : KS_STR("key_0000000000002");
		if (random64() % 3 == 0)
			filter.action = KS_STR("key.revoke");
		if (random64() % 3 == 0)
			filter.from = NOW + (int64_t)(random64() % (MANY / 3));
		if (random64() % 3 == 0)
			filter.to = NOW + (int64_t)(random64() % (MANY / 3));
		if (random64() % 3 == 0)
			filter.before = model[random64() % MANY].id;
		rows += read_pages(f->store, filter);
	}
	assert_true(rows > MANY);
}

static enum ks_err count(void *ctx, const struct ks_audit_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

static void times_beyond_every_id_are_harmless(void **state)
{
	static const struct {
		int64_t from, to;
		size_t found;
	} cases[] = {
		{0, KS_TIME_MAX, 1},       {INT64_MIN + 1, INT64_MAX, 1},
		{INT64_MAX, INT64_MAX, 0}, {0, 0, 0},
		{KS_TIME_NONE, 0, 0},      {NOW + 1, NOW, 0},
		{NOW, NOW + 1, 1},         {NOW, NOW, 0},
	};
	struct fixture *f = *state;
	struct ks_id_source ids = {0};

	assert_ok(ks_store_begin(f->store));
	assert_ok(append(f->store, audit_row(ks_id_next(&ids, NOW, 5), ORG_A, ORG_A)));
	assert_ok(ks_store_commit(f->store));
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_audit_filter filter = {.from = cases[i].from, .to = cases[i].to, .limit = SIZE_MAX};
		size_t found = 0;
		assert_ok(ks_store_audit(f->store, &filter, count, &found));
		assert_int_equal(found, cases[i].found);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(entries_that_cannot_be_are_refused),
		TEST(the_schema_itself_keeps_entries),
		TEST(every_member_comes_back),
		TEST(reading_is_no_writing),
		TEST(times_beyond_every_id_are_harmless),
		TEST(lists_are_those_of_a_naive_model),
	};

	return cmocka_run_group_tests_name("store/audit", tests, NULL, NULL);
}
