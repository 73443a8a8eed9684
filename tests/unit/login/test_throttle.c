/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "login/throttle.h"

static struct ks_throttle table;
static const struct ks_throttle_rule rule = {.free = 3, .first_ms = 1000, .longest_ms = 60000, .forget_ms = 900000};

#define NOW INT64_C(1000000)

static int setup(void **state)
{
	(void)state;
	table = (struct ks_throttle){.seed = {1, 2}};
	return 0;
}

static int64_t take(const char *name, int64_t now_ms)
{
	return ks_throttle_take(&table, &rule, ks_str_c(name), now_ms);
}

static void waiting_doubles_up_to_its_bound(void **state)
{
	static const int64_t waits[] = {1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000};
	int64_t now_ms = NOW;

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(take("ada", now_ms), 0);
	for (size_t i = 0; i < KS_ARRAY_LEN(waits); i++) {
		assert_int_equal(take("ada", now_ms), waits[i]);
		assert_int_equal(take("ada", now_ms + waits[i] - 1), 1);
		now_ms += waits[i];
		assert_int_equal(take("ada", now_ms), 0);
	}
	for (int i = 0; i < 100; i++) {
		now_ms += 60000;
		assert_int_equal(take("ada", now_ms), 0);
	}
	assert_int_equal(take("ada", now_ms), 60000);
	assert_int_equal(take("grace", now_ms), 0);
}

static void attempts_at_the_same_time_count(void **state)
{
	int passed = 0;

	(void)state;
	for (int i = 0; i < 32; i++)
		passed += take("ada", NOW) == 0;
	assert_int_equal(passed, 4);
}

/* Threads come here in another order than their requests began. */
static void nobody_waits_for_who_began_later(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(take("ada", NOW - i), 0);
	assert_int_equal(take("ada", NOW), 0);
	assert_int_equal(take("ada", NOW - 1), 1001);
}

static void a_success_forgets(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++)
		(void)take("ada", NOW);
	ks_throttle_forget(&table, KS_STR("ada"));
	for (int i = 0; i < 4; i++)
		assert_int_equal(take("ada", NOW), 0);
	assert_int_equal(take("ada", NOW), 1000);
	ks_throttle_give_back(&table, KS_STR("ada"));
	assert_int_equal(take("ada", NOW), 0);
	assert_int_equal(take("ada", NOW), 1000);
	ks_throttle_forget(&table, KS_STR("nobody"));
	ks_throttle_give_back(&table, KS_STR("nobody"));
}

static void a_long_quiet_forgets(void **state)
{
	(void)state;
	for (int i = 0; i < 10; i++)
		(void)take("ada", NOW + i * 60000);
	for (int i = 0; i < 4; i++)
		assert_int_equal(take("ada", NOW + 600000 + 900000), 0);
	assert_int_equal(take("ada", NOW + 600000 + 900000), 1000);
}

/* Many names push the quietest out, and the table stays what it is. */
static void strangers_push_out_the_oldest_alone(void **state)
{
	char name[32];
	int waiting = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		(void)snprintf(name, sizeof(name), "stranger %d", i);
		assert_int_equal(take(name, NOW + i), 0);
	}
	for (int i = 0; i < 5; i++)
		(void)take("ada", NOW + 200000);
	assert_int_equal(take("ada", NOW + 200000), 1000);
	for (int i = 199000; i < 200000; i++) {
		(void)snprintf(name, sizeof(name), "stranger %d", i);
		for (int k = 0; k < 4; k++)
			(void)take(name, NOW + 200000);
		waiting += take(name, NOW + 200000) > 0;
	}
	assert_int_equal(waiting, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(waiting_doubles_up_to_its_bound, setup),
		cmocka_unit_test_setup(attempts_at_the_same_time_count, setup),
		cmocka_unit_test_setup(nobody_waits_for_who_began_later, setup),
		cmocka_unit_test_setup(a_success_forgets, setup),
		cmocka_unit_test_setup(a_long_quiet_forgets, setup),
		cmocka_unit_test_setup(strangers_push_out_the_oldest_alone, setup),
	};

	return cmocka_run_group_tests_name("throttle", tests, NULL, NULL);
}
