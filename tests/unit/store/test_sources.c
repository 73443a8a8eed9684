/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "store/sources.h"

#define PROVIDER 7001

static struct ks_source_row source_row(uint64_t id)
{
	return (struct ks_source_row){
		.id = id,
		.organization = ORG_A,
		.tenant = ORG_A,
		.provider = id == 1 ? PROVIDER : 0,
		.revision = 1,
		.created_at = NOW,
		.paused_at = KS_TIME_NONE,
		.deleted_at = KS_TIME_NONE,
		.confirm_until = NOW + 5,
		.platform = KS_STR("github"),
		.scheme = KS_STR("github.sha256"),
		.name = KS_STR("Releases"),
		.form = KS_STR(""),
		.confirm_url = KS_STR(""),
		.created_by = KS_STR("local"),
	};
}

static void put_sources(struct ks_store *store)
{
	struct ks_provider_row provider = {
		.id = PROVIDER,
		.tenant = ORG_A,
		.organization = ORG_A,
		.created_at = NOW,
		.deleted_at = KS_TIME_NONE,
		.platform = KS_STR("github"),
		.name = KS_STR("p"),
		.created_by = KS_STR("local"),
	};

	assert_ok(ks_store_begin(store));
	assert_ok(ks_store_provider_insert(store, &provider));
	for (uint64_t id = 1; id <= 3; id++) {
		struct ks_source_row row = source_row(id);

		assert_ok(ks_store_source_insert(store, &row));
	}
	assert_ok(ks_store_commit(store));
}

struct ids {
	uint64_t ids[8];
	size_t count;
};

static enum ks_err add_source(void *ctx, const struct ks_source_row *row)
{
	struct ids *ids = ctx;

	ids->ids[ids->count++] = row->id;
	return KS_OK;
}

static void sources_are_listed_newest_first_and_looked_at(void **state)
{
	struct fixture *f = *state;
	struct ks_source_filter filters[] = {
		{.limit = 10}, {.organization = ORG_A, .limit = 10}, {.tenant = ORG_A, .limit = 10}};
	struct ks_source_look look;
	struct ids ids;

	put_sources(f->store);
	for (size_t i = 0; i < KS_ARRAY_LEN(filters); i++) {
		ids.count = 0;
		assert_ok(ks_store_sources(f->store, &filters[i], add_source, &ids));
		assert_int_equal(ids.count, 3);
		assert_int_equal(ids.ids[0], 3);
	}
	ids.count = 0;
	assert_ok(ks_store_sources_of_provider(f->store, PROVIDER, 0, 10, add_source, &ids));
	assert_int_equal(ids.count, 1);
	assert_ok(ks_store_source_look(f->store, 1, &look));
	assert_int_equal(look.provider, PROVIDER);
	assert_int_equal(look.confirm_until, NOW + 5);
	assert_false(look.provider_gone);
	assert_int_equal(look.paused_at, KS_TIME_NONE);
	assert_int_equal(ks_store_source_look(f->store, 9, &look), KS_NOT_FOUND);
}

static void what_is_deleted_is_gone_from_lists(void **state)
{
	struct fixture *f = *state;
	struct ks_source_filter filter = {.organization = ORG_A, .limit = 10};
	struct ks_source_look look;
	struct ids ids = {.count = 0};

	put_sources(f->store);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_source_pause(f->store, 2, NOW + 1));
	assert_ok(ks_store_source_revise(f->store, 2, 5));
	assert_ok(ks_store_source_confirm(f->store, 2, NOW + 9, KS_STR("https://x")));
	assert_ok(ks_store_source_look(f->store, 2, &look));
	assert_int_equal(look.paused_at, NOW + 1);
	assert_int_equal(look.revision, 5);
	assert_ok(ks_store_source_delete(f->store, 2, NOW + 2));
	assert_int_equal(ks_store_source_delete(f->store, 2, NOW + 2), KS_NOT_FOUND);
	assert_int_equal(ks_store_source_pause(f->store, 2, NOW), KS_NOT_FOUND);
	assert_int_equal(ks_store_source_revise(f->store, 2, 6), KS_NOT_FOUND);
	assert_int_equal(ks_store_source_look(f->store, 2, &look), KS_NOT_FOUND);
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_sources(f->store, &filter, add_source, &ids));
	assert_int_equal(ids.count, 2);
	assert_ok(ks_store_source_get(f->store, 2, add_source, &ids));
}

struct versions {
	uint64_t revisions[8];
	int64_t until[8];
	size_t count;
};

static enum ks_err add_version(void *ctx, const struct ks_source_parameters_row *row)
{
	struct versions *v = ctx;

	v->revisions[v->count] = row->revision;
	v->until[v->count++] = row->until;
	return KS_OK;
}

static void parameters_end_and_are_forgotten(void **state)
{
	struct fixture *f = *state;
	struct ks_source_parameters_row row = {
		.source = 1,
		.revision = 1,
		.until = KS_TIME_NONE,
		.key_number = 1,
		.plain = KS_STR("{}"),
		.sealed = KS_STR("\xff\x00"),
	};
	struct versions v = {.count = 0};
	uint64_t trimmed;

	put_sources(f->store);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_source_parameters_insert(f->store, &row));
	assert_int_equal(ks_store_source_parameters_insert(f->store, &row), KS_CONFLICT);
	assert_ok(ks_store_source_parameters_end(f->store, 1, NOW + 10));
	row.revision = 2;
	assert_ok(ks_store_source_parameters_insert(f->store, &row));
	row.source = 9;
	assert_int_equal(ks_store_source_parameters_insert(f->store, &row), KS_NOT_FOUND);
	assert_ok(ks_store_source_parameters(f->store, 1, add_version, &v));
	assert_int_equal(v.count, 2);
	assert_int_equal(v.revisions[0], 2);
	assert_int_equal(v.until[0], KS_TIME_NONE);
	assert_int_equal(v.until[1], NOW + 10);
	assert_ok(ks_store_source_parameters_trim(f->store, NOW + 10, 10, &trimmed));
	assert_int_equal(trimmed, 0);
	assert_ok(ks_store_source_parameters_trim(f->store, NOW + 11, 10, &trimmed));
	assert_int_equal(trimmed, 1);
	assert_ok(ks_store_source_parameters_erase(f->store, 1));
	v.count = 0;
	assert_ok(ks_store_source_parameters(f->store, 1, add_version, &v));
	assert_int_equal(v.count, 0);
	assert_ok(ks_store_commit(f->store));
}

static enum ks_err add_line(void *ctx, const struct ks_inbound_line *line)
{
	struct ids *ids = ctx;

	assert_int_equal(line->size, 3);
	ids->ids[ids->count++] = line->id;
	return KS_OK;
}

static enum ks_err see_message(void *ctx, const struct ks_inbound_row *row)
{
	(void)ctx;
	assert_true(ks_str_eq(row->body, KS_STR("\x00\xff\n")));
	assert_true(ks_str_eq(row->headers, KS_STR("[]")));
	return KS_OK;
}

static void messages_are_kept_as_they_came(void **state)
{
	struct fixture *f = *state;
	struct ks_inbound_row row = {.source = 1,
				     .received_at = NOW,
				     .method = KS_STR("POST"),
				     .target = KS_STR("/hooks/x"),
				     .peer = KS_STR(""),
				     .headers = KS_STR("[]"),
				     .body = KS_STR("\x00\xff\n")};
	uint64_t trimmed, last = (uint64_t)1 << 50;
	struct ids ids = {.count = 0};

	assert_ok(ks_store_begin(f->store));
	for (row.id = 1; row.id <= 3; row.id++)
		assert_ok(ks_store_inbound_insert(f->store, &row));
	row.id = last;
	assert_ok(ks_store_inbound_insert(f->store, &row));
	assert_int_equal(ks_store_inbound_insert(f->store, &row), KS_CONFLICT);
	assert_ok(ks_store_inbound_get(f->store, 2, see_message, NULL));
	assert_int_equal(ks_store_inbound_get(f->store, 9, see_message, NULL), KS_NOT_FOUND);
	assert_ok(ks_store_inbound_of_source(f->store, 1, last, 2, add_line, &ids));
	assert_int_equal(ids.count, 2);
	assert_int_equal(ids.ids[0], 3);
	assert_ok(ks_store_inbound_trim(f->store, INT64_C(1577836800001), 2, &trimmed));
	assert_int_equal(trimmed, 2);
	assert_ok(ks_store_inbound_trim(f->store, INT64_C(1577836800001), 2, &trimmed));
	assert_int_equal(trimmed, 1);
	assert_ok(ks_store_inbound_get(f->store, last, see_message, NULL));
	assert_ok(ks_store_commit(f->store));
}

static void what_was_seen_is_known_until_its_time_is_over(void **state)
{
	struct fixture *f = *state;
	struct ks_digest digest = {{1, 2, 3}}, other = {{4}};
	uint64_t trimmed;
	bool fresh;

	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_inbound_seen(f->store, 1, &digest, NOW, NOW + 100, &fresh));
	assert_true(fresh);
	assert_ok(ks_store_inbound_seen(f->store, 1, &digest, NOW + 99, NOW + 200, &fresh));
	assert_false(fresh);
	assert_ok(ks_store_inbound_seen(f->store, 2, &digest, NOW, NOW + 100, &fresh));
	assert_true(fresh);
	assert_ok(ks_store_inbound_seen(f->store, 1, &other, NOW, NOW + 100, &fresh));
	assert_true(fresh);
	assert_ok(ks_store_inbound_seen(f->store, 1, &digest, NOW + 100, NOW + 300, &fresh));
	assert_true(fresh);
	assert_ok(ks_store_inbound_seen_trim(f->store, NOW + 101, 10, &trimmed));
	assert_int_equal(trimmed, 2);
	assert_ok(ks_store_inbound_seen(f->store, 1, &digest, NOW + 200, NOW + 400, &fresh));
	assert_false(fresh);
	assert_ok(ks_store_commit(f->store));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sources_are_listed_newest_first_and_looked_at),
		TEST(what_is_deleted_is_gone_from_lists),
		TEST(parameters_end_and_are_forgotten),
		TEST(messages_are_kept_as_they_came),
		TEST(what_was_seen_is_known_until_its_time_is_over),
	};

	return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
