/* SPDX-License-Identifier: Apache-2.0 */
#include "base/id.h"
#include "fixture.h"

#define MANY 300

static struct ks_event_row event_row(uint64_t id, uint64_t organization, uint64_t tenant, struct ks_str type)
{
	return (struct ks_event_row){.id = id,
				     .at = NOW,
				     .type = type,
				     .organization = organization,
				     .tenant = tenant,
				     .object = KS_STR("key_0000000000001"),
				     .data = KS_STR("{\"name\":\"x\"}")};
}

static enum ks_err append(struct ks_store *store, struct ks_event_row row)
{
	return ks_store_event_append(store, &row);
}

static void events_that_cannot_be_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[KS_STORE_DETAIL_MAX + 1];
	struct ks_event_row row = event_row(1, ORG_A, ORG_A, KS_STR("key.created"));

	memset(text, 'd', sizeof(text));
	assert_int_equal(append(f->store, row), KS_STORE);
	assert_ok(ks_store_begin(f->store));
	assert_ok(append(f->store, row));
	assert_int_equal(append(f->store, row), KS_CONFLICT);
	row.id = 0;
	assert_int_equal(append(f->store, row), KS_MALFORMED);
	row.id = 2;
	row.data = ks_str_of(text, sizeof(text));
	assert_int_equal(append(f->store, row), KS_TOO_LARGE);
	row.data = KS_STR("{}");
	row.type = ks_str_of(text, KS_STORE_ACTION_MAX + 1);
	assert_int_equal(append(f->store, row), KS_TOO_LARGE);
	row.type = KS_STR("\xff");
	assert_int_equal(append(f->store, row), KS_MALFORMED);
	assert_ok(ks_store_commit(f->store));
}

struct seen {
	size_t count;
	uint64_t ids[MANY];
	struct ks_event_row row;
};

static enum ks_err see(void *ctx, const struct ks_event_row *row)
{
	struct seen *seen = ctx;

	assert_true(seen->count < MANY);
	seen->ids[seen->count++] = row->id;
	seen->row = *row;
	assert_str(row->object, "key_0000000000001");
	assert_str(row->data, "{\"name\":\"x\"}");
	return KS_OK;
}

static void every_member_comes_back(void **state)
{
	struct fixture *f = *state;
	struct seen seen = {0};
	uint64_t last;

	assert_ok(ks_store_begin(f->store));
	assert_ok(append(f->store, event_row(UINT64_C(7) << 50, ORG_A, SUB_A, KS_STR("key.created"))));
	assert_ok(append(f->store, event_row((UINT64_C(7) << 50) + 1, 0, 0, KS_STR("key.created"))));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_event_get(f->store, UINT64_C(7) << 50, see, &seen));
	assert_int_equal(seen.row.at, NOW);
	assert_int_equal(seen.row.organization, ORG_A);
	assert_int_equal(seen.row.tenant, SUB_A);
	assert_ok(ks_store_event_get(f->store, (UINT64_C(7) << 50) + 1, see, &seen));
	assert_int_equal(seen.row.organization, 0);
	assert_int_equal(seen.row.tenant, 0);
	assert_int_equal(ks_store_event_get(f->store, 99, see, &seen), KS_NOT_FOUND);
	/* New ids go on after the events too. */
	assert_ok(ks_store_last_id(f->store, &last));
	assert_int_equal(last, (UINT64_C(7) << 50) + 1);
}

static const struct ks_str types[] = {KS_STR("key.created"), KS_STR("key.revoked")};
static struct ks_event_row model[MANY];

static void fill(struct ks_store *store)
{
	struct ks_id_source ids = {0};

	assert_ok(ks_store_begin(store));
	for (size_t i = 0; i < MANY; i++) {
		uint64_t organization = random64() % 3 ? ORG_A : ORG_B;

		model[i] = event_row(ks_id_next(&ids, NOW + (int64_t)i / 3, (uint32_t)random64()), organization,
				     random64() % 2 && organization == ORG_A ? SUB_A : organization,
				     types[random64() % 2]);
		assert_ok(append(store, model[i]));
	}
	assert_ok(ks_store_commit(store));
}

static bool passes(const struct ks_event_filter *filter, size_t i)
{
	const struct ks_event_row *row = &model[i];
	int64_t time = NOW + (int64_t)i / 3;

	return (!filter->organization || filter->organization == row->organization)
	       && (!filter->tenant || filter->tenant == row->tenant)
	       && (!filter->type.n || ks_str_eq(filter->type, row->type))
	       && (filter->from == KS_TIME_NONE || time >= filter->from)
	       && (filter->to == KS_TIME_NONE || time < filter->to) && (!filter->before || row->id < filter->before)
	       && row->id > filter->after;
}

static struct ks_event_filter random_filter(void)
{
	struct ks_event_filter filter = {
		.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 1 + random64() % MANY, .oldest_first = random64() % 2};

	if (random64() % 3 == 0)
		filter.organization = random64() % 2 ? ORG_A : ORG_B;
	if (random64() % 3 == 0)
		filter.tenant = SUB_A;
	if (random64() % 3 == 0)
		filter.type = types[random64() % 2];
	if (random64() % 4 == 0)
		filter.from = NOW + (int64_t)(random64() % (MANY / 3));
	if (random64() % 4 == 0)
		filter.to = NOW + (int64_t)(random64() % (MANY / 3));
	if (random64() % 4 == 0)
		filter.before = model[random64() % MANY].id;
	if (random64() % 4 == 0)
		filter.after = model[random64() % MANY].id;
	return filter;
}

static void lists_are_those_of_a_naive_model(void **state)
{
	struct fixture *f = *state;
	size_t rows = 0;

	seed_random();
	fill(f->store);
	for (int round = 0; round < 300; round++) {
		struct ks_event_filter filter = random_filter();
		struct seen seen = {0};
		size_t expected = 0;

		assert_ok(ks_store_events(f->store, &filter, see, &seen));
		for (size_t n = 0; n < MANY && expected < filter.limit; n++) {
			size_t i = filter.oldest_first ? n : MANY - 1 - n;

			if (!passes(&filter, i))
				continue;
			assert_true(expected < seen.count);
			assert_int_equal(seen.ids[expected++], model[i].id);
		}
		assert_int_equal(seen.count, expected);
		rows += expected;
	}
	assert_true(rows > MANY);
}

static void the_oldest_are_forgotten_a_few_at_a_time(void **state)
{
	struct fixture *f = *state;
	struct ks_event_filter all = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .oldest_first = true, .limit = SIZE_MAX};
	struct seen seen = {0};
	uint64_t trimmed;

	seed_random();
	fill(f->store);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_events_trim(f->store, NOW, 10, &trimmed));
	assert_int_equal(trimmed, 0);
	/* Three a millisecond. */
	assert_ok(ks_store_events_trim(f->store, NOW + 4, 10, &trimmed));
	assert_int_equal(trimmed, 10);
	assert_ok(ks_store_events_trim(f->store, NOW + 4, 10, &trimmed));
	assert_int_equal(trimmed, 2);
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_events(f->store, &all, see, &seen));
	assert_int_equal(seen.count, MANY - 12);
	assert_int_equal(seen.ids[0], model[12].id);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(events_that_cannot_be_are_refused),
		TEST(every_member_comes_back),
		TEST(lists_are_those_of_a_naive_model),
		TEST(the_oldest_are_forgotten_a_few_at_a_time),
	};

	return cmocka_run_group_tests_name("store/events", tests, NULL, NULL);
}
