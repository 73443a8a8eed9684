/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "api/gate.h"

#define MINUTE 60000

static struct ks_gate gate;
static const int64_t start = INT64_C(1760000000000);

static int set_up(void **state)
{
	(void)state;
	return ks_gate_init(&gate) == KS_OK ? 0 : -1;
}

static int tear_down(void **state)
{
	(void)state;
	ks_gate_done(&gate);
	return 0;
}

static bool come(const char *address, int64_t at, uint32_t per_minute, uint32_t *ret_retry_s)
{
	struct ks_addr addr;

	assert_true(ks_addr_parse(ks_str_c(address), &addr));
	return ks_gate_take(&gate, &addr, per_minute, start + at, ret_retry_s);
}

static void so_many_in_a_minute(void **state)
{
	uint32_t retry;

	(void)state;
	for (int i = 0; i < 30; i++)
		assert_true(come("203.0.113.1", i, 30, &retry));
	assert_false(come("203.0.113.1", 30, 30, &retry));
	assert_int_equal(retry, 2);
	/* One more every two seconds, and all of them after a minute. */
	assert_true(come("203.0.113.1", 2000, 30, &retry));
	assert_false(come("203.0.113.1", 2001, 30, &retry));
	for (int i = 0; i < 30; i++)
		assert_true(come("203.0.113.1", 2 * MINUTE + 10, 30, &retry));
	assert_false(come("203.0.113.1", 2 * MINUTE + 10, 30, &retry));
}

static void parties_are_apart(void **state)
{
	char address[40];
	uint32_t retry;
	int passed = 0;

	(void)state;
	for (int i = 0; i < 250; i++) {
		(void)snprintf(address, sizeof(address), "198.51.100.%d", i);
		passed += come(address, 0, 1, &retry);
	}
	/* Those that fall on one place share it. */
	assert_in_range(passed, 220, 250);
	assert_true(come("2001:db8:0:1::1", 0, 1, &retry) || come("2001:db8:0:2::1", 0, 1, &retry));
	assert_false(come("2001:db8:0:1::2", 0, 1, &retry) && come("2001:db8:0:1::3", 0, 1, &retry));
}

static void a_clock_that_goes_back_shuts_nobody_out(void **state)
{
	uint32_t retry;

	(void)state;
	assert_true(come("203.0.113.1", 100 * (int64_t)MINUTE, 1, &retry));
	assert_false(come("203.0.113.1", 0, 1, &retry));
	assert_int_equal(retry, 60);
	assert_true(come("203.0.113.1", 200 * (int64_t)MINUTE, 1, &retry));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(so_many_in_a_minute),
		TEST(parties_are_apart),
		TEST(a_clock_that_goes_back_shuts_nobody_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
