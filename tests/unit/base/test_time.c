/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <time.h>

#include "base/time.h"

static void test_refuses(void **state)
{
	static const char *const bad[] = {
		"", "2026", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04Z", "2026-01-02 03:04:05Z",
		"2026-1-02T03:04:05Z", "26-01-02T03:04:05Z", "+2026-01-02T03:04:05Z", "2026-01-02T03:04:05ZZ",
		" 2026-01-02T03:04:05Z", "2026-01-02T03:04:05Z ", "2026-00-02T03:04:05Z", "2026-13-02T03:04:05Z",
		"2026-01-00T03:04:05Z", "2026-01-32T03:04:05Z", "2026-04-31T03:04:05Z", "2026-02-29T03:04:05Z",
		"2100-02-29T03:04:05Z", "2024-02-30T03:04:05Z", "2026-01-02T24:00:00Z", "2026-01-02T03:60:05Z",
		"2026-01-02T03:04:60Z", "2016-12-31T23:59:60Z", "2026-01-02T03:04:05.Z", "2026-01-02T03:04:05,5Z",
		"2026-01-02T03:04:05.1234567890Z", "2026-01-02T03:04:05.12a4Z", "2026-01-02T03:04:05+24:00",
		"2026-01-02T03:04:05+01:60", "2026-01-02T03:04:05+0100", "2026-01-02T03:04:05+1:00",
		"2026-01-02T03:04:05+", "2026-01-02T03:04:05+01:00Z", "2026-01-02T-3:04:05Z", "2026/01/02T03:04:05Z",
		"1969-12-31T23:59:59Z", "1969-12-31T23:30:00-01:00", "0000-01-01T00:00:00Z", "10000-01-01T00:00:00Z",
		"1970-01-01T00:30:00+01:00", "9999-12-31T23:30:00-01:00", "2026-01-02T03:04:0\xd9\xa5Z",
	};
	int64_t ms = 77;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		if (ks_time_parse(ks_str_c(bad[i]), &ms))
			fail_msg("\"%s\" was taken", bad[i]);
	}
	assert_false(ks_time_parse(KS_STR("2026-01-02T03:04:05Z\0"), &ms));
	assert_true(ms == 77);
}

static void test_known(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} known[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"1970-01-01T00:00:00.001Z", 1},
		{"1970-01-01T01:00:00+01:00", 0},
		{"1970-01-01T00:30:00.5-00:30", 3600500},
		{"2000-02-29T12:00:00Z", INT64_C(951825600000)},
		{"2026-01-02T03:04:05.678Z", INT64_C(1767323045678)},
		{"2026-01-02t03:04:05.678z", INT64_C(1767323045678)},
		{"2026-01-02T03:04:05.67Z", INT64_C(1767323045670)},
		{"2026-01-02T03:04:05.6Z", INT64_C(1767323045600)},
		{"2026-01-02T03:04:05.678999999Z", INT64_C(1767323045678)},
		{"2026-01-02T03:04:05.678-00:00", INT64_C(1767323045678)},
		{"2026-01-02T08:49:05.678+05:45", INT64_C(1767323045678)},
		{"2026-01-01T04:04:05.678-23:00", INT64_C(1767323045678)},
		{"9999-12-31T23:59:59.999Z", KS_TIME_MAX},
		{"9999-12-31T23:59:59.999999999Z", KS_TIME_MAX},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(known); i++) {
		int64_t ms;

		assert_true(ks_time_parse(ks_str_c(known[i].text), &ms));
		assert_true(ms == known[i].ms);
	}
}

/* Each day of the 400 years after which the calendar repeats itself, and some of every later year, against the C
 * library. */
static void test_days(void **state)
{
	(void)state;
	for (int64_t day = 0; day <= KS_TIME_MAX / 86400000; day += day < 146097 ? 1 : 97) {
		int64_t ms = day * 86400000 + (day * 7919) % 86400000;
		time_t seconds = (time_t)(ms / 1000);
		char expected[64], text[KS_TIME_TEXT_SIZE];
		int64_t back;
		struct tm tm;

		assert_non_null(gmtime_r(&seconds, &tm));
		snprintf(expected, sizeof(expected), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
		ks_time_format(ms, text);
		assert_string_equal(text, expected);
		assert_true(ks_time_parse(ks_str_c(text), &back));
		assert_true(back == ms);
	}
}

static void test_format_ends(void **state)
{
	char text[KS_TIME_TEXT_SIZE];

	(void)state;
	ks_time_format(0, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	ks_time_format(KS_TIME_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
	/* Out of range is a caller's mistake; it still writes nothing but a time. */
	ks_time_format(-1, text);
	assert_string_equal(text, "1970-01-01T00:00:00.000Z");
	ks_time_format(INT64_MAX, text);
	assert_string_equal(text, "9999-12-31T23:59:59.999Z");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_days),
		cmocka_unit_test(test_format_ends),
	};

	return cmocka_run_group_tests_name("time", tests, NULL, NULL);
}
