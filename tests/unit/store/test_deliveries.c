/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include "store/endpoints.h"

#define ENDPOINT_A 8001
#define ENDPOINT_B 8002
#define DAY INT64_C(86400000)

static struct ks_endpoint_row endpoint_row(uint64_t id)
{
	return (struct ks_endpoint_row){
		.id = id,
		.version = id,
		.organization = ORG_A,
		.tenant = ORG_A,
		.created_at = NOW,
		.failing_since = KS_TIME_NONE,
		.disabled_at = KS_TIME_NONE,
		.deleted_at = KS_TIME_NONE,
		.url = KS_STR("https://receiver.example/"),
		.events = KS_STR("*"),
		.created_by = KS_STR("local"),
	};
}

/* The nth event, NOW + n ms, and its delivery a moment later. */
static struct ks_delivery_row delivery_row(uint64_t endpoint, uint64_t n)
{
	return (struct ks_delivery_row){
		.id = ks_store_first_id_at(NOW + (int64_t)n) + 1000 + endpoint,
		.endpoint = endpoint,
		.event = ks_store_first_id_at(NOW + (int64_t)n) + 1,
		.organization = ORG_A,
		.tenant = ORG_A,
		.state = KS_DELIVERY_PENDING,
		.due_at = NOW + (int64_t)n,
		.first_at = KS_TIME_NONE,
		.ended_at = KS_TIME_NONE,
		.type = KS_STR("key.created"),
	};
}

static void put(struct ks_store *store, uint64_t count)
{
	assert_ok(ks_store_begin(store));
	for (uint64_t id = ENDPOINT_A; id <= ENDPOINT_B; id++) {
		struct ks_endpoint_row row = endpoint_row(id);

		assert_ok(ks_store_endpoint_insert(store, &row));
	}
	for (uint64_t n = 1; n <= count; n++) {
		struct ks_delivery_row a = delivery_row(ENDPOINT_A, n), b = delivery_row(ENDPOINT_B, n);

		assert_ok(ks_store_delivery_insert(store, &a));
		assert_ok(ks_store_delivery_insert(store, &b));
	}
	assert_ok(ks_store_commit(store));
}

struct found {
	size_t count;
	uint64_t events[16];
};

static enum ks_err note(void *ctx, const struct ks_delivery_row *row)
{
	struct found *found = ctx;

	found->events[found->count++] = row->event;
	return KS_OK;
}

static uint64_t event_of(uint64_t n)
{
	return delivery_row(ENDPOINT_A, n).event;
}

static void set_state(struct ks_store *store, uint64_t n, enum ks_delivery_state state, int64_t due_at)
{
	struct ks_delivery_row row = delivery_row(ENDPOINT_A, n);

	row.state = state;
	row.due_at = due_at;
	row.attempts = row.tries = 1;
	row.ended_at = state == KS_DELIVERY_PENDING ? KS_TIME_NONE : NOW;
	assert_ok(ks_store_begin(store));
	assert_ok(ks_store_delivery_update(store, &row));
	assert_ok(ks_store_commit(store));
}

/* ---- tests ---- */

static void an_endpoint_has_an_event_once(void **state)
{
	struct fixture *f = *state;
	struct ks_delivery_row row = delivery_row(ENDPOINT_A, 1);

	put(f->store, 1);
	row.id += 100;
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(ks_store_delivery_insert(f->store, &row), KS_CONFLICT);
	row.state = KS_DELIVERY_DELIVERED;
	assert_int_equal(ks_store_delivery_update(f->store, &row), KS_MALFORMED);
	row.state = KS_DELIVERY_PENDING;
	assert_int_equal(ks_store_delivery_update(f->store, &row), KS_NOT_FOUND);
	ks_store_rollback(f->store);
}

static void what_is_due_comes_in_order_and_from_the_other_end(void **state)
{
	struct fixture *f = *state;
	struct found due = {0}, newest = {0};

	put(f->store, 4);
	set_state(f->store, 1, KS_DELIVERY_PENDING, NOW + 100);
	set_state(f->store, 2, KS_DELIVERY_DELIVERED, KS_TIME_NONE);
	assert_ok(ks_store_deliveries_due(f->store, ENDPOINT_A, 16, note, &due));
	assert_int_equal(due.count, 3);
	assert_int_equal(due.events[0], event_of(3));
	assert_int_equal(due.events[1], event_of(4));
	assert_int_equal(due.events[2], event_of(1));
	assert_ok(ks_store_deliveries_newest(f->store, ENDPOINT_A, NOW + 50, 1, note, &newest));
	assert_int_equal(newest.count, 1);
	assert_int_equal(newest.events[0], event_of(4));
}

static void lists_go_on_where_a_page_ended(void **state)
{
	struct fixture *f = *state;
	struct ks_delivery_filter filter = {.endpoint = ENDPOINT_A, .state = KS_DELIVERY_STATE_COUNT, .from = KS_TIME_NONE, .to = KS_TIME_NONE,
					    .limit = 2};
	struct found pages = {0}, all = {0}, some = {0}, failed = {0};

	put(f->store, 4);
	assert_ok(ks_store_deliveries(f->store, &filter, note, &pages));
	filter.before = delivery_row(ENDPOINT_A, 3).id;
	assert_ok(ks_store_deliveries(f->store, &filter, note, &pages));
	assert_int_equal(pages.count, 4);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(pages.events[i], event_of(4 - i));
	filter = (struct ks_delivery_filter){.organization = ORG_A, .state = KS_DELIVERY_STATE_COUNT, .from = NOW + 2, .to = NOW + 4, .limit = 16};
	assert_ok(ks_store_deliveries(f->store, &filter, note, &all));
	assert_int_equal(all.count, 4);
	filter.tenant = ORG_B;
	assert_ok(ks_store_deliveries(f->store, &filter, note, &some));
	assert_int_equal(some.count, 0);
	set_state(f->store, 2, KS_DELIVERY_FAILED, KS_TIME_NONE);
	filter = (struct ks_delivery_filter){.endpoint = ENDPOINT_A, .state = KS_DELIVERY_FAILED, .from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 16};
	assert_ok(ks_store_deliveries(f->store, &filter, note, &failed));
	assert_ok(ks_store_deliveries_failed(f->store, ENDPOINT_A, event_of(2), event_of(3), 16, note, &failed));
	assert_ok(ks_store_deliveries_failed(f->store, ENDPOINT_A, event_of(3), event_of(4), 16, note, &failed));
	assert_int_equal(failed.count, 2);
	assert_int_equal(failed.events[0], event_of(2));
}

static enum ks_err count(void *ctx, const struct ks_attempt_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

static void what_is_forgotten_goes_with_its_attempts(void **state)
{
	struct fixture *f = *state;
	struct ks_attempt_row attempt = {.number = 1, .at = NOW, .code = KS_STR("ok")};
	struct found left = {0};
	uint64_t trimmed;
	size_t attempts = 0;

	put(f->store, 4);
	assert_ok(ks_store_begin(f->store));
	for (uint64_t n = 1; n <= 4; n++) {
		attempt.delivery = delivery_row(ENDPOINT_A, n).id;
		assert_ok(ks_store_attempt_insert(f->store, &attempt));
	}
	assert_int_equal(ks_store_attempt_insert(f->store, &attempt), KS_CONFLICT);
	/* The oldest first, at most as many as asked, and none that is younger. */
	assert_ok(ks_store_deliveries_trim(f->store, NOW + DAY, 2, &trimmed));
	assert_int_equal(trimmed, 2);
	assert_ok(ks_store_deliveries_trim(f->store, NOW + 3, 100, &trimmed));
	assert_int_equal(trimmed, 2);
	assert_ok(ks_store_deliveries_trim(f->store, NOW + 3, 100, &trimmed));
	assert_int_equal(trimmed, 0);
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_deliveries_due(f->store, ENDPOINT_A, 16, note, &left));
	assert_int_equal(left.count, 2);
	assert_int_equal(left.events[0], event_of(3));
	for (uint64_t n = 1; n <= 4; n++)
		assert_ok(ks_store_attempts(f->store, delivery_row(ENDPOINT_A, n).id, count, &attempts));
	assert_int_equal(attempts, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_endpoint_has_an_event_once),
		TEST(what_is_due_comes_in_order_and_from_the_other_end),
		TEST(lists_go_on_where_a_page_ended),
		TEST(what_is_forgotten_goes_with_its_attempts),
	};

	return cmocka_run_group_tests_name("deliveries", tests, NULL, NULL);
}
