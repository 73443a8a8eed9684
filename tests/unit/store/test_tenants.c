/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

static enum ks_err insert(struct ks_store *store, struct ks_tenant_row row)
{
	return ks_store_tenant_insert(store, &row);
}

static void what_refers_to_nothing_is_refused(void **state)
{
	struct fixture *f = *state;
	struct ks_tenant_row row = tenant_row(100, 99, ORG_A, KS_TENANT_KIND_SUB_ENTITY);

	assert_ok(ks_store_begin(f->store));
	assert_int_equal(insert(f->store, row), KS_NOT_FOUND);
	row.parent = ORG_A;
	row.organization = 99;
	assert_int_equal(insert(f->store, row), KS_NOT_FOUND);
	row.organization = ORG_A;
	row.user = 99;
	assert_int_equal(insert(f->store, row), KS_NOT_FOUND);
	row.user = 0;
	row.id = 5;
	assert_int_equal(insert(f->store, row), KS_MALFORMED); /* below its parent */
	row.id = ORG_B;
	assert_int_equal(insert(f->store, row), KS_CONFLICT);
	assert_ok(ks_store_commit(f->store));
	struct ks_store_counts counts;
	assert_ok(ks_store_counts(f->store, &counts));
	assert_int_equal(counts.tenants, 6);
}

static void a_slug_is_one_tenants_for_good(void **state)
{
	struct fixture *f = *state;
	struct ks_tenant_row row = tenant_row(100, OPERATOR, 100, KS_TENANT_KIND_ORGANIZATION);

	assert_ok(ks_store_begin(f->store));
	row.slug = KS_STR("acme");
	assert_ok(insert(f->store, row));
	row.deleted_at = NOW;
	assert_ok(ks_store_tenant_update(f->store, &row));
	row = tenant_row(101, OPERATOR, 101, KS_TENANT_KIND_ORGANIZATION);
	row.slug = KS_STR("acme");
	assert_int_equal(insert(f->store, row), KS_CONFLICT);
	row.slug = KS_STR("");
	assert_ok(insert(f->store, row));
	row.id = row.organization = 102;
	assert_ok(insert(f->store, row));
	assert_ok(ks_store_commit(f->store));
}

static enum ks_err compare(void *ctx, const struct ks_tenant_row *row)
{
	const struct ks_tenant_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_int_equal(row->parent, expected->parent);
	assert_int_equal(row->organization, expected->organization);
	assert_int_equal(row->kind, expected->kind);
	assert_int_equal(row->user, expected->user);
	assert_true(ks_str_eq(row->name, expected->name));
	assert_true(ks_str_eq(row->slug, expected->slug));
	assert_int_equal(row->created_at, expected->created_at);
	assert_true(ks_str_eq(row->created_by, expected->created_by));
	assert_int_equal(row->suspended_at, expected->suspended_at);
	assert_int_equal(row->deleted_at, expected->deleted_at);
	return KS_OK;
}

static void every_member_comes_back(void **state)
{
	struct fixture *f = *state;
	struct ks_tenant_row row = tenant_row(100, ORG_A, ORG_A, KS_TENANT_KIND_PERSONAL);

	row.user = USER_A;
	row.name = KS_STR("Zo\xc3\xab's \"own\" %_\\ place");
	row.slug = KS_STR("zoe");
	row.created_at = NOW + 1;
	row.created_by = KS_STR("usr_0123456789abc");
	assert_ok(ks_store_begin(f->store));
	assert_ok(insert(f->store, row));
	assert_ok(ks_store_tenant_get(f->store, 100, compare, &row));
	row.name = KS_STR("");
	row.suspended_at = NOW + 2;
	assert_ok(ks_store_tenant_update(f->store, &row));
	assert_ok(ks_store_tenant_get(f->store, 100, compare, &row));
	row.suspended_at = KS_TIME_NONE;
	row.deleted_at = NOW + 3;
	assert_ok(ks_store_tenant_update(f->store, &row));
	assert_ok(ks_store_tenant_get(f->store, 100, compare, &row));
	row.id = 101;
	assert_int_equal(ks_store_tenant_update(f->store, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_tenant_get(f->store, 101, compare, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_tenant_get(f->store, UINT64_MAX, compare, &row), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
}

struct order {
	uint64_t ids[64];
	uint64_t parents[64];
	size_t n;
};

static enum ks_err note(void *ctx, const struct ks_tenant_row *row)
{
	struct order *order = ctx;

	order->ids[order->n] = row->id;
	order->parents[order->n++] = row->parent;
	return KS_OK;
}

static void all_come_parents_first_the_deleted_too(void **state)
{
	struct fixture *f = *state;
	struct ks_tenant_row row = tenant_row(SUB_A, ORG_A, ORG_A, KS_TENANT_KIND_SUB_ENTITY);
	struct order order = {.n = 0};

	assert_ok(ks_store_begin(f->store));
	row.deleted_at = NOW;
	assert_ok(ks_store_tenant_update(f->store, &row));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_tenants_all(f->store, note, &order));
	assert_int_equal(order.n, 6);
	for (size_t i = 0; i < order.n; i++) {
		bool seen = order.parents[i] == 0;
		for (size_t j = 0; j < i; j++)
			seen |= order.ids[j] == order.parents[i];
		assert_true(seen);
	}
}

static enum ks_err stop(void *ctx, const struct ks_tenant_row *row)
{
	(void)row;
	++*(int *)ctx;
	return KS_STOPPING;
}

static void a_callback_ends_the_list(void **state)
{
	struct fixture *f = *state;
	int calls = 0;

	assert_int_equal(ks_store_tenants_all(f->store, stop, &calls), KS_STOPPING);
	assert_int_equal(calls, 1);
	assert_int_equal(ks_store_tenant_get(f->store, ORG_A, stop, &calls), KS_STOPPING);
}

/* ---- lists against a naive model ---- */

#define MANY 10000

static struct ks_tenant_row model[MANY];

static void fill(struct ks_store *store)
{
	assert_ok(ks_store_begin(store));
	for (size_t i = 0; i < MANY; i++) {
		uint64_t id = 1000 + i * 3 + random64() % 3;
		uint64_t parent =
			i == 0 || random64() % 4 == 0 ? OPERATOR : model[random64() % KS_MIN(i, (size_t)50)].id;
		uint64_t organization =
			i == 0 || random64() % 3 == 0 ? id : model[random64() % KS_MIN(i, (size_t)20)].id;
		model[i] =
			tenant_row(id, parent, organization, (enum ks_tenant_kind)(random64() % KS_TENANT_KIND_COUNT));
		if (random64() % 5 == 0)
			model[i].deleted_at = NOW;
		assert_ok(insert(store, model[i]));
	}
	assert_ok(ks_store_commit(store));
}

struct expectation {
	const struct ks_tenant_filter *filter;
	size_t at; /* the model is read from here down */
	size_t rows;
};

static bool in_ids(const struct ks_tenant_filter *filter, uint64_t id)
{
	bool found = !filter->ids;

	for (size_t i = 0; i < filter->id_count; i++)
		found |= filter->ids[i] == id;
	return found;
}

static bool passes(const struct ks_tenant_filter *filter, const struct ks_tenant_row *row)
{
	return row->deleted_at == KS_TIME_NONE && (filter->before == 0 || row->id < filter->before) &&
	       (filter->parent == 0 || row->parent == filter->parent) &&
	       (filter->organization == 0 || row->organization == filter->organization) &&
	       (filter->kind == KS_TENANT_KIND_COUNT || row->kind == filter->kind) && in_ids(filter, row->id);
}

static enum ks_err expect(void *ctx, const struct ks_tenant_row *row)
{
	struct expectation *expectation = ctx;

	do
		assert_true(expectation->at-- > 0);
	while (!passes(expectation->filter, &model[expectation->at]));
	assert_int_equal(row->id, model[expectation->at].id);
	expectation->rows++;
	return KS_OK;
}

/* Reads page by page to the end, and every page is what the model says. */
static void read_pages(struct ks_store *store, struct ks_tenant_filter filter)
{
	struct expectation expectation = {&filter, MANY, 0};
	size_t before;

	do {
		before = expectation.rows;
		assert_ok(ks_store_tenants(store, &filter, expect, &expectation));
		assert_true(expectation.rows - before <= filter.limit);
		if (expectation.rows > before)
			filter.before = model[expectation.at].id;
	} while (expectation.rows - before == filter.limit);
	while (expectation.at-- > 0)
		assert_false(passes(&filter, &model[expectation.at]));
}

static void lists_are_those_of_a_naive_model(void **state)
{
	struct fixture *f = *state;
	uint64_t ids[200];

	seed_random();
	fill(f->store);
	for (int round = 0; round < 150; round++) {
		struct ks_tenant_filter filter = {.kind = KS_TENANT_KIND_COUNT, .limit = 1 + random64() % 400};
		if (random64() % 2)
			filter.parent = model[random64() % 50].id;
		if (random64() % 3 == 0)
			filter.organization = model[random64() % 20].id;
		if (random64() % 3 == 0)
			filter.kind = (enum ks_tenant_kind)(random64() % KS_TENANT_KIND_COUNT);
		if (random64() % 4 == 0) {
			uint64_t id = 999;
			for (size_t i = 0; i < KS_ARRAY_LEN(ids); i++)
				ids[i] = id += 1 + random64() % 200;
			filter.ids = ids;
			filter.id_count = random64() % (KS_ARRAY_LEN(ids) + 1);
		}
		if (random64() % 3 == 0)
			filter.before = 1000 + random64() % (3 * MANY);
		/* The world's own tenants are not in the model. */
		if (!filter.ids && !filter.parent && !filter.organization)
			filter.organization = model[0].id;
		read_pages(f->store, filter);
	}
}

static void unfiltered_lists_page_through_all(void **state)
{
	struct fixture *f = *state;
	struct ks_tenant_filter filter = {.kind = KS_TENANT_KIND_COUNT, .limit = 3};
	struct order order = {.n = 0};

	assert_ok(ks_store_tenants(f->store, &filter, note, &order));
	assert_int_equal(order.n, 3);
	filter.before = order.ids[2];
	assert_ok(ks_store_tenants(f->store, &filter, note, &order));
	filter.before = order.ids[order.n - 1];
	assert_ok(ks_store_tenants(f->store, &filter, note, &order));
	assert_int_equal(order.n, 6);
	static const uint64_t expected[] = {PERSONAL_A, PROJECT_A, SUB_A, ORG_B, ORG_A, OPERATOR};
	assert_memory_equal(order.ids, expected, sizeof(expected));
	filter.limit = 0;
	filter.before = 0;
	assert_ok(ks_store_tenants(f->store, &filter, note, &order));
	assert_int_equal(order.n, 6);
	filter.limit = SIZE_MAX;
	filter.kind = KS_TENANT_KIND_ORGANIZATION;
	order.n = 0;
	assert_ok(ks_store_tenants(f->store, &filter, note, &order));
	assert_int_equal(order.n, 2);
	assert_int_equal(order.ids[0], ORG_B);
	filter.ids = (const uint64_t[]){0};
	filter.id_count = 0;
	assert_ok(ks_store_tenants(f->store, &filter, note, &order));
	assert_int_equal(order.n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_refers_to_nothing_is_refused),
		TEST(a_slug_is_one_tenants_for_good),
		TEST(every_member_comes_back),
		TEST(all_come_parents_first_the_deleted_too),
		TEST(a_callback_ends_the_list),
		TEST(unfiltered_lists_page_through_all),
		TEST(lists_are_those_of_a_naive_model),
	};

	return cmocka_run_group_tests_name("store/tenants", tests, NULL, NULL);
}
