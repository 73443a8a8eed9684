/* SPDX-License-Identifier: Apache-2.0 */
/* When others want the processors, by what the system says of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "health/health_priv.h"

/* As of Linux 6.1, of three processors. */
#define STAT \
	"cpu  1000 20 300 4000 50 6 7 8 0 0\n" \
	"cpu0 100 2 30 400 5 1 2 3 0 0\n" \
	"cpu1 200 4 60 800 10 2 3 4 0 0\n" \
	"cpu2 700 14 210 2800 35 3 2 1 0 0\n" \
	"intr 12345 0 1 2\n" \
	"ctxt 99\n"

static cpu_set_t set_of(int a, int b)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET((size_t)a, &set);
	CPU_SET((size_t)b, &set);
	return set;
}

static void processors_of_the_set_are_added(void **state)
{
	cpu_set_t set = set_of(0, 1);
	struct ks_health_use use = ks_health_use_of(KS_STR(STAT), &set);

	(void)state;
	assert_int_equal(use.all, 543 + 1083);
	assert_int_equal(use.idle, 405 + 810);
	set = set_of(2, 2);
	assert_int_equal(ks_health_use_of(KS_STR(STAT), &set).idle, 2835);
	set = set_of(5, 6);
	assert_int_equal(ks_health_use_of(KS_STR(STAT), &set).all, 0);
}

static void what_is_odd_is_not_counted(void **state)
{
	static const char *const odd[] = {"", "\n", "cpu", "cpu0", "cpu0\n", "cpu0 \n", "cpu0 x 1 2 3 4\n", "cpu0 -1 2 3 4 5 6 7 8 9\n",
					  "cpu0 99999999999999999999999 1 1 1 1 1 1 1 1\n", "cpux 1 2 3 4 5 6 7 8 9\n", "cpu99999 1 2 3 4 5 6 7 8 9\n"};
	cpu_set_t set = set_of(0, 1);

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(odd); i++)
		assert_int_equal(ks_health_use_of(ks_str_c(odd[i]), &set).all, 0);
}

struct span {
	uint64_t all, idle, workers;
	bool crowded;
};

static void they_are_crowded_where_others_want_nearly_all(void **state)
{
	static const struct span spans[] = {
		{100, 100, 0, false}, {100, 0, 0, true},   {100, 9, 0, true},    {100, 10, 0, true},  {100, 11, 0, false},
		{100, 0, 100, false}, {100, 0, 10, true},  {100, 5, 5, true},    {100, 6, 5, false},  {0, 0, 0, false},
		/* What is told of the workers is more exact than the ticks. */
		{100, 0, 101, false}, {100, 90, 20, false},
	};
	const struct ks_health_use before = {5000, 3000, 700};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(spans); i++) {
		const struct span *s = &spans[i];
		struct ks_health_use now = {before.all + s->all, before.idle + s->idle, before.workers + s->workers};

		assert_int_equal(ks_health_is_crowded(&before, &now), s->crowded);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processors_of_the_set_are_added),
		cmocka_unit_test(what_is_odd_is_not_counted),
		cmocka_unit_test(they_are_crowded_where_others_want_nearly_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
