/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time.h"

#include "base/cursor.h"

#define MS_PER_DAY INT64_C(86400000)
#define DAYS_PER_ERA 146097 /* 400 Gregorian years */
#define DAYS_TO_1970 719468 /* from 0000-03-01 */

/* Counting years from March puts the leap day last, so that no month's length matters but by its number. */
static int64_t days_from_date(int64_t year, int64_t month, int64_t day)
{
	int64_t from_march = (month + 9) % 12;
	int64_t y = year - (month <= 2);
	int64_t day_of_year = (153 * from_march + 2) / 5 + day - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 + day_of_year - DAYS_TO_1970;
}

static void date_from_days(int64_t days, int64_t *ret_year, int64_t *ret_month, int64_t *ret_day)
{
	int64_t since = days + DAYS_TO_1970;
	int64_t era = since / DAYS_PER_ERA;
	int64_t day_of_era = since % DAYS_PER_ERA;
	int64_t year_of_era =
		(day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / (DAYS_PER_ERA - 1)) / 365;
	int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	int64_t from_march = (5 * day_of_year + 2) / 153;

	*ret_day = day_of_year - (153 * from_march + 2) / 5 + 1;
	*ret_month = from_march < 10 ? from_march + 3 : from_march - 9;
	*ret_year = era * 400 + year_of_era + (*ret_month <= 2);
}

static int64_t days_in_month(int64_t year, int64_t month)
{
	static const int8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* Exactly `n` digits with a value of `min` to `max`. Returns `min` on failure, so that what follows stays in range. */
static int64_t number(struct ks_cursor *c, size_t n, int64_t min, int64_t max)
{
	struct ks_str digits = ks_cursor_run(c, is_digit, n, n);
	uint64_t value = 0;

	if (c->failed || !ks_str_to_u64(digits, (uint64_t)max, &value) || (int64_t)value < min) {
		c->failed = true;
		return min;
	}
	return (int64_t)value;
}

/* One of two bytes: RFC 3339, 5.6 lets "T" and "Z" be of either case. */
static void either(struct ks_cursor *c, char a, char b)
{
	int byte = ks_cursor_byte(c);

	if (byte != a && byte != b)
		c->failed = true;
}

/* Milliseconds of an optional fraction. */
static int64_t fraction(struct ks_cursor *c)
{
	struct ks_str digits;
	int64_t ms = 0;

	if (ks_cursor_peek(c) != '.')
		return 0;
	ks_cursor_literal(c, KS_STR("."));
	digits = ks_cursor_run(c, is_digit, 1, 9);
	for (size_t i = 0; i < 3; i++)
		ms = ms * 10 + (i < digits.n ? digits.p[i] - '0' : 0);
	return ms;
}

/* The offset from UTC in milliseconds. */
static int64_t offset(struct ks_cursor *c)
{
	int sign = ks_cursor_peek(c);
	int64_t hours, minutes;

	if (sign != '+' && sign != '-') {
		either(c, 'Z', 'z');
		return 0;
	}
	(void)ks_cursor_byte(c);
	hours = number(c, 2, 0, 23);
	ks_cursor_literal(c, KS_STR(":"));
	minutes = number(c, 2, 0, 59);
	return (sign == '-' ? -1 : 1) * (hours * 60 + minutes) * 60000;
}

bool ks_time_parse(struct ks_str text, int64_t *ret_ms)
{
	struct ks_cursor c = ks_cursor_of(text);
	int64_t year, month, day, ms;

	year = number(&c, 4, 1970, 9999);
	ks_cursor_literal(&c, KS_STR("-"));
	month = number(&c, 2, 1, 12);
	ks_cursor_literal(&c, KS_STR("-"));
	day = number(&c, 2, 1, days_in_month(year, month));
	either(&c, 'T', 't');
	ms = number(&c, 2, 0, 23) * 3600000;
	ks_cursor_literal(&c, KS_STR(":"));
	ms += number(&c, 2, 0, 59) * 60000;
	ks_cursor_literal(&c, KS_STR(":"));
	ms += number(&c, 2, 0, 59) * 1000;
	ms += fraction(&c);
	ms -= offset(&c);
	if (!ks_cursor_done(&c))
		return false;
	ms += days_from_date(year, month, day) * MS_PER_DAY;
	if (ms < 0 || ms > KS_TIME_MAX)
		return false;
	*ret_ms = ms;
	return true;
}

static void put_number(char *at, size_t n, int64_t value)
{
	while (n--) {
		at[n] = (char)('0' + value % 10);
		value /= 10;
	}
}

void ks_time_format(int64_t ms, char ret_text[KS_TIME_TEXT_SIZE])
{
	int64_t clamped = KS_MIN(KS_MAX(ms, 0), KS_TIME_MAX);
	int64_t of_day = clamped % MS_PER_DAY;
	int64_t year, month, day;

	date_from_days(clamped / MS_PER_DAY, &year, &month, &day);
	memcpy(ret_text, "0000-00-00T00:00:00.000Z", KS_TIME_TEXT_SIZE);
	put_number(&ret_text[0], 4, year);
	put_number(&ret_text[5], 2, month);
	put_number(&ret_text[8], 2, day);
	put_number(&ret_text[11], 2, of_day / 3600000);
	put_number(&ret_text[14], 2, of_day / 60000 % 60);
	put_number(&ret_text[17], 2, of_day / 1000 % 60);
	put_number(&ret_text[20], 3, of_day % 1000);
}
