/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "store/links.h"

#define PROVIDER_A 7001
#define PROVIDER_B 7002

static struct ks_link_row link_row(uint64_t id, uint64_t provider)
{
	return (struct ks_link_row){
		.id = id,
		.digest = {{(uint8_t)id, 1, 2}},
		.organization = ORG_A,
		.tenant = ORG_A,
		.provider = provider,
		.state = KS_LINK_OPEN,
		.created_at = NOW,
		.expires_at = NOW + (int64_t)id * 1000,
		.ended_at = KS_TIME_NONE,
		.field = KS_STR("password"),
		.recipient = KS_STR("Jane"),
		.created_by = KS_STR("local"),
	};
}

static void put_links(struct ks_store *store)
{
	struct ks_provider_row provider = {
		.tenant = ORG_A,
		.organization = ORG_A,
		.created_at = NOW,
		.deleted_at = KS_TIME_NONE,
		.platform = KS_STR("sip-trunk"),
		.name = KS_STR("Line"),
		.created_by = KS_STR("local"),
	};

	assert_ok(ks_store_begin(store));
	for (provider.id = PROVIDER_A; provider.id <= PROVIDER_B; provider.id++)
		assert_ok(ks_store_provider_insert(store, &provider));
	for (uint64_t id = 1; id <= 4; id++) {
		struct ks_link_row row = link_row(id, id == 4 ? PROVIDER_B : PROVIDER_A);

		assert_ok(ks_store_link_insert(store, &row));
	}
	assert_ok(ks_store_commit(store));
}

static enum ks_err see(void *ctx, const struct ks_link_row *row)
{
	const struct ks_link_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_memory_equal(row->digest.bytes, expected->digest.bytes, KS_SHA256_SIZE);
	assert_int_equal(row->organization, expected->organization);
	assert_int_equal(row->tenant, expected->tenant);
	assert_int_equal(row->provider, expected->provider);
	assert_int_equal(row->state, expected->state);
	assert_int_equal(row->attempts, expected->attempts);
	assert_int_equal(row->created_at, expected->created_at);
	assert_int_equal(row->expires_at, expected->expires_at);
	assert_int_equal(row->ended_at, expected->ended_at);
	assert_int_equal(row->version, expected->version);
	assert_true(ks_str_eq(row->field, expected->field));
	assert_true(ks_str_eq(row->recipient, expected->recipient));
	assert_true(ks_str_eq(row->created_by, expected->created_by));
	return KS_OK;
}

struct ids {
	uint64_t ids[8];
	size_t count;
};

static enum ks_err add_id(void *ctx, const struct ks_link_row *row)
{
	struct ids *ids = ctx;

	assert_true(ids->count < KS_ARRAY_LEN(ids->ids));
	ids->ids[ids->count++] = row->id;
	return KS_OK;
}

static void a_link_is_found_by_id_and_by_digest(void **state)
{
	struct fixture *f = *state;
	struct ks_link_row row = link_row(2, PROVIDER_A);

	put_links(f->store);
	assert_ok(ks_store_link_get(f->store, 2, see, &row));
	assert_ok(ks_store_link_by_digest(f->store, &row.digest, see, &row));
	row.digest.bytes[31] = 1;
	assert_int_equal(ks_store_link_by_digest(f->store, &row.digest, see, &row), KS_NOT_FOUND);
	assert_int_equal(ks_store_link_get(f->store, 9, see, &row), KS_NOT_FOUND);
}

static void what_may_not_be_there_is_refused(void **state)
{
	struct fixture *f = *state;
	char text[KS_STORE_RECIPIENT_MAX + 1];
	struct ks_link_row row = link_row(2, PROVIDER_A);

	put_links(f->store);
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_link_insert(f->store, &row), KS_CONFLICT);
	row.id = 5;
	assert_int_equal(ks_store_link_insert(f->store, &row), KS_CONFLICT);
	row = link_row(5, 7003);
	assert_int_equal(ks_store_link_insert(f->store, &row), KS_NOT_FOUND);
	row = link_row(5, PROVIDER_A);
	memset(text, 'x', sizeof(text));
	row.recipient = ks_str_of(text, sizeof(text));
	assert_int_equal(ks_store_link_insert(f->store, &row), KS_TOO_LARGE);
	assert_int_equal(ks_store_link_end(f->store, 1, KS_LINK_OPEN, 0, NOW), KS_MALFORMED);
	assert_int_equal(ks_store_link_end(f->store, 1, KS_LINK_STATE_COUNT, 0, NOW), KS_MALFORMED);
	assert_int_equal(ks_store_link_end(f->store, 1, KS_LINK_USED, 0, KS_TIME_NONE), KS_MALFORMED);
	ks_store_rollback(f->store);
}

static void a_link_ends_once(void **state)
{
	struct fixture *f = *state;
	struct ks_link_row row = link_row(1, PROVIDER_A);

	put_links(f->store);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_link_attempt(f->store, 1));
	assert_ok(ks_store_link_end(f->store, 1, KS_LINK_USED, 3, NOW + 5));
	for (enum ks_link_state next = KS_LINK_USED; next < KS_LINK_STATE_COUNT; next++)
		assert_int_equal(ks_store_link_end(f->store, 1, next, 4, NOW + 6), KS_NOT_FOUND);
	assert_int_equal(ks_store_link_attempt(f->store, 1), KS_NOT_FOUND);
	assert_int_equal(ks_store_link_end(f->store, 9, KS_LINK_USED, 4, NOW + 6), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
	row.state = KS_LINK_USED;
	row.attempts = 1;
	row.version = 3;
	row.ended_at = NOW + 5;
	assert_ok(ks_store_link_get(f->store, 1, see, &row));
	assert_string_equal(ks_link_state_text(KS_LINK_USED), "used");
}

static void lists(void **state)
{
	struct fixture *f = *state;
	struct ids ids = {.count = 0};

	put_links(f->store);
	assert_ok(ks_store_links_of_provider(f->store, PROVIDER_A, 0, 10, add_id, &ids));
	assert_true(ids.count == 3 && ids.ids[0] == 3 && ids.ids[2] == 1);
	ids.count = 0;
	assert_ok(ks_store_links_of_provider(f->store, PROVIDER_A, 3, 1, add_id, &ids));
	assert_true(ids.count == 1 && ids.ids[0] == 2);
	ids.count = 0;
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_link_end(f->store, 2, KS_LINK_CANCELLED, 0, NOW));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_links_over(f->store, NOW + 3000, 10, add_id, &ids));
	assert_true(ids.count == 2 && ids.ids[0] == 1 && ids.ids[1] == 3);
	ids.count = 0;
	assert_ok(ks_store_links_over(f->store, NOW + 999, 10, add_id, &ids));
	assert_int_equal(ids.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_link_is_found_by_id_and_by_digest),
		TEST(what_may_not_be_there_is_refused),
		TEST(a_link_ends_once),
		TEST(lists),
	};

	return cmocka_run_group_tests_name("links", tests, NULL, NULL);
}
