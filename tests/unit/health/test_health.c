/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler's bounds: how many wait, who is asked for how often, and what becomes of them when it stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "../engine/support.h"
#include "health/health.h"

#define QUEUE_MAX 1024 /* of what is asked for */
#define PATIENCE_MS 20000
#define STEP_NS 1000000

struct fixture {
	struct world w;
	struct ks_health *health;
};

static int set_up(void **state)
{
	static struct fixture f;
	struct ks_health_options options = {.threads = 2, .per_host = 1, .per_second = 10, .timeout_ms = 1000, .failures = 3};

	world_new(&f.w);
	assert_int_equal(ks_health_new(f.w.engine, &options, &f.health), KS_OK);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	ks_health_free(&f->health);
	assert_null(f->health);
	ks_health_free(&f->health);
	world_free(&f->w);
	return 0;
}

static struct ks_health_stats stats_of(struct fixture *f)
{
	struct ks_health_stats stats;

	ks_health_stats(f->health, &stats);
	return stats;
}

static void who_asks_twice_is_asked_once(void **state)
{
	struct fixture *f = *state;

	assert_true(ks_health_ask(f->health, 7));
	assert_true(ks_health_ask(f->health, 7));
	assert_int_equal(stats_of(f).waiting, 1);
	assert_true(ks_health_ask(f->health, 8));
	assert_int_equal(stats_of(f).waiting, 2);
	assert_int_equal(stats_of(f).running, 0);
}

static void more_than_may_wait_are_refused(void **state)
{
	struct fixture *f = *state;

	for (uint64_t provider = 1; provider <= QUEUE_MAX; provider++)
		assert_true(ks_health_ask(f->health, provider));
	assert_false(ks_health_ask(f->health, QUEUE_MAX + 1));
	/* One that waits already is no more. */
	assert_true(ks_health_ask(f->health, QUEUE_MAX));
	ks_health_call_failed(f->health, QUEUE_MAX + 2);
	assert_int_equal(stats_of(f).waiting, QUEUE_MAX);
}

static void failed_calls_ask_once(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 100; i++)
		ks_health_call_failed(f->health, 7);
	assert_int_equal(stats_of(f).waiting, 1);
	ks_health_call_failed(f->health, 8);
	assert_int_equal(stats_of(f).waiting, 2);
}

static void without_a_scheduler_nothing_is_asked(void **state)
{
	struct ks_health_stats stats;

	(void)state;
	assert_false(ks_health_ask(NULL, 7));
	ks_health_call_failed(NULL, 7);
	ks_health_stats(NULL, &stats);
	assert_int_equal(stats.waiting, 0);
	ks_health_stop(NULL);
}

/* Providers that are none, or were deleted while they waited, are probed to no end, and stand in nobody's way. */
static void what_is_no_provider_is_done_with(void **state)
{
	struct fixture *f = *state;
	struct timespec step = {.tv_nsec = STEP_NS};
	int left = PATIENCE_MS;

	for (uint64_t provider = 1; provider <= 50; provider++)
		assert_true(ks_health_ask(f->health, provider));
	assert_int_equal(ks_health_start(f->health), KS_OK);
	while ((stats_of(f).waiting > 0 || stats_of(f).running > 0) && left-- > 0)
		(void)nanosleep(&step, NULL);
	assert_int_equal(stats_of(f).waiting, 0);
	for (int i = 0; i < KS_HEALTH_STATUS_COUNT; i++)
		assert_int_equal(stats_of(f).probes[i], 0);
}

static void it_stops_with_what_waits(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(ks_health_start(f->health), KS_OK);
	for (uint64_t provider = 1; provider <= QUEUE_MAX / 2; provider++)
		(void)ks_health_ask(f->health, provider);
	ks_health_stop(f->health);
	ks_health_stop(f->health);
	assert_false(ks_health_ask(f->health, 4096));
	assert_int_equal(stats_of(f).running, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_asks_twice_is_asked_once),
		TEST(more_than_may_wait_are_refused),
		TEST(failed_calls_ask_once),
		cmocka_unit_test(without_a_scheduler_nothing_is_asked),
		TEST(what_is_no_provider_is_done_with),
		TEST(it_stops_with_what_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
