/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "delivery/schedule.h"

#define HOUR INT64_C(3600000)
#define BEGAN INT64_C(1700000000000)

static const struct ks_delivery_schedule s = {.first_ms = 10000, .longest_ms = 8 * HOUR, .for_ms = 72 * HOUR};

static int64_t next(uint64_t tries, int64_t now_ms, uint32_t random)
{
	return ks_delivery_next(&s, tries, BEGAN, now_ms, random, KS_TIME_NONE);
}

static void pauses_double_up_to_the_longest(void **state)
{
	static const int64_t most[] = {10000, 20000, 40000, 80000, 160000, 320000, 640000, 1280000, 2560000, 5120000, 10240000,
				       20480000, 8 * HOUR, 8 * HOUR};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(most); i++) {
		assert_int_equal(next(i + 1, BEGAN, 0), BEGAN);
		assert_in_range(next(i + 1, BEGAN, UINT32_MAX), BEGAN + most[i] - most[i] / 1000 - 1, BEGAN + most[i]);
		assert_in_range(next(i + 1, BEGAN, UINT32_MAX / 2), BEGAN + most[i] / 2 - 1, BEGAN + most[i] / 2);
	}
	assert_in_range(next(UINT64_MAX, BEGAN, UINT32_MAX), BEGAN + 8 * HOUR - HOUR, BEGAN + 8 * HOUR);
}

static void three_days_hold_some_dozens_of_tries(void **state)
{
	static const uint32_t fractions[] = {UINT32_MAX, UINT32_MAX / 2};
	static const uint64_t least[] = {18, 25};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(fractions); i++) {
		uint64_t tries = 1;
		int64_t now = BEGAN;

		for (int64_t at = next(tries, now, fractions[i]); at != KS_TIME_NONE; at = next(++tries, now, fractions[i])) {
			assert_true(at > now);
			now = at;
		}
		/* The last one is at the very end. */
		assert_int_equal(now, BEGAN + 72 * HOUR);
		assert_in_range(tries, least[i], 40);
	}
}

static void a_wish_is_heeded_within_the_end(void **state)
{
	(void)state;
	assert_int_equal(ks_delivery_next(&s, 1, BEGAN, BEGAN, 0, BEGAN + HOUR), BEGAN + HOUR);
	assert_int_equal(ks_delivery_next(&s, 1, BEGAN, BEGAN, 0, BEGAN + 100 * HOUR), BEGAN + 72 * HOUR);
	assert_int_equal(ks_delivery_next(&s, 9, BEGAN, BEGAN + 72 * HOUR, 0, BEGAN + 100 * HOUR), KS_TIME_NONE);
	/* The clock may go back. */
	assert_true(ks_delivery_next(&s, 1, BEGAN, BEGAN - HOUR, 0, KS_TIME_NONE) == BEGAN - HOUR);
}

static void brakes_begin_late_and_end_at_half_a_minute(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(ks_delivery_brake(&s, i), 0);
	assert_int_equal(ks_delivery_brake(&s, 4), 1000);
	assert_int_equal(ks_delivery_brake(&s, 5), 2000);
	assert_int_equal(ks_delivery_brake(&s, 9), 30000);
	assert_int_equal(ks_delivery_brake(&s, UINT32_MAX), 30000);
}

static void retry_after_is_seconds_or_a_date(void **state)
{
	static const struct {
		const char *value;
		int64_t at;
	} cases[] = {
		{"120", 1000 * 120},
		{" 120 ", 1000 * 120},
		{"0", KS_TIME_NONE},
		{"86401", KS_RETRY_AFTER_MAX_MS},
		{"18446744073709551615", KS_RETRY_AFTER_MAX_MS},
		{"99999999999999999999999", KS_TIME_NONE},
		{"-1", KS_TIME_NONE},
		{"1.5", KS_TIME_NONE},
		{"", KS_TIME_NONE},
		{"soon", KS_TIME_NONE},
		{"Tue, 14 Nov 2023 22:13:50 GMT", 30000},
		{"Tue, 14 Nov 2023 22:13:20 GMT", KS_TIME_NONE},
		{"Tue, 14 Nov 2022 22:13:50 GMT", KS_TIME_NONE},
		{"Thu, 29 Feb 2024 00:00:00 GMT", KS_RETRY_AFTER_MAX_MS},
		{"Tue, 14 Nov 2023 22:13:50 CET", KS_TIME_NONE},
		{"Tue, 14 Foo 2023 22:13:50 GMT", KS_TIME_NONE},
		{"Tue, 14 Nov 2023 22:13:99 GMT", KS_TIME_NONE},
		{"Tuesday, 14-Nov-23 22:13:50 GMT", KS_TIME_NONE},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		int64_t at = ks_delivery_retry_after(ks_str_c(cases[i].value), BEGAN);

		assert_int_equal(at, cases[i].at == KS_TIME_NONE ? KS_TIME_NONE : BEGAN + cases[i].at);
	}
}

static void excerpts_are_printable_and_bounded(void **state)
{
	static const struct {
		const char *body, *text;
	} cases[] = {
		{"plain", "plain"},
		{"two\r\nlines\x1b[31m\x7f", "two  lines [31m "},
		{"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
		{"c1\xc2\x9b!", "c1 !"},
		{"bad\xff\xc3 x", "bad?? x"},
		{"", ""},
		{"123456789012345678", "123456789012345"},
		{"12345678901234\xc3\xbc", "12345678901234"},
	};
	char text[16];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		char whole[64];

		ks_delivery_excerpt(ks_str_c(cases[i].body), i < 6 ? whole : text, i < 6 ? sizeof(whole) : sizeof(text));
		assert_string_equal(i < 6 ? whole : text, cases[i].text);
	}
	ks_delivery_excerpt(ks_str_of("a\0b", 3), text, sizeof(text));
	assert_string_equal(text, "a b");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pauses_double_up_to_the_longest),
		cmocka_unit_test(three_days_hold_some_dozens_of_tries),
		cmocka_unit_test(a_wish_is_heeded_within_the_end),
		cmocka_unit_test(brakes_begin_late_and_end_at_half_a_minute),
		cmocka_unit_test(retry_after_is_seconds_or_a_date),
		cmocka_unit_test(excerpts_are_printable_and_bounded),
	};

	return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}
