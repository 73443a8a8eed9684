/* SPDX-License-Identifier: Apache-2.0 */
#include "delivery/schedule.h"

#include <string.h>

#include "base/buf.h"

#define DOUBLINGS_MAX 30
#define BRAKE_FROM 4             /* failures in a row */
#define BRAKE_MAX_MS INT64_C(30000)

static int64_t doubled(int64_t ms, uint64_t times, int64_t most)
{
	while (times-- > 0 && ms < most)
		ms *= 2;
	return KS_MIN(ms, most);
}

int64_t ks_delivery_next(const struct ks_delivery_schedule *s, uint64_t tries, int64_t first_at, int64_t now_ms, uint32_t random,
			 int64_t not_before)
{
	int64_t end = first_at + s->for_ms;
	int64_t pause = doubled(s->first_ms, KS_MIN(tries - 1, (uint64_t)DOUBLINGS_MAX), s->longest_ms);
	int64_t due = now_ms + (int64_t)((uint64_t)pause * random >> 32);

	if (now_ms >= end)
		return KS_TIME_NONE;
	if (not_before != KS_TIME_NONE)
		due = KS_MAX(due, not_before);
	return KS_MIN(due, end);
}

int64_t ks_delivery_brake(const struct ks_delivery_schedule *s, unsigned failures)
{
	return failures < BRAKE_FROM ? 0 : doubled(KS_MAX(s->first_ms / 10, (int64_t)1), failures - BRAKE_FROM, BRAKE_MAX_MS);
}

/* ---- Retry-After ---- */

static bool two_digits(struct ks_str s, size_t at, uint64_t max, uint64_t *ret_value)
{
	return ks_str_to_u64(ks_str_sub(s, at, 2), max, ret_value);
}

/* Days since 1970-01-01 of a date of the Gregorian calendar. */
static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
	int64_t y = month <= 2 ? year - 1 : year, era = y / 400, of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" */
static bool parse_date(struct ks_str s, int64_t *ret_ms)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	uint64_t day, year, hour, minute, second;
	int64_t month = 0;

	if (s.n != 29 || !ks_str_eq(ks_str_sub(s, 25, 4), KS_STR(" GMT")) || s.p[3] != ',' || s.p[19] != ':' || s.p[22] != ':'
	    || !two_digits(s, 5, 31, &day) || !ks_str_to_u64(ks_str_sub(s, 12, 4), 9999, &year)
	    || !two_digits(s, 17, 23, &hour) || !two_digits(s, 20, 59, &minute) || !two_digits(s, 23, 60, &second))
		return false;
	for (size_t i = 0; i < 12; i++) {
		if (ks_str_eq(ks_str_sub(s, 8, 3), ks_str_of(&months[3 * i], 3)))
			month = (int64_t)i + 1;
	}
	if (month == 0 || day == 0)
		return false;
	*ret_ms = (days_of((int64_t)year, month, (int64_t)day) * 86400 + (int64_t)(hour * 3600 + minute * 60 + second)) * 1000;
	return true;
}

int64_t ks_delivery_retry_after(struct ks_str value, int64_t now_ms)
{
	struct ks_str text = ks_str_trim(value);
	uint64_t seconds;
	int64_t at;

	if (ks_str_to_u64(text, UINT64_MAX, &seconds))
		at = now_ms + (int64_t)KS_MIN(seconds, (uint64_t)KS_RETRY_AFTER_MAX_MS / 1000) * 1000;
	else if (!parse_date(text, &at))
		return KS_TIME_NONE;
	return at <= now_ms ? KS_TIME_NONE : KS_MIN(at, now_ms + KS_RETRY_AFTER_MAX_MS);
}

/* ---- excerpts ---- */

void ks_delivery_excerpt(struct ks_str body, char *ret_text, size_t cap)
{
	struct ks_buf b = ks_buf_of(ret_text, cap);
	size_t n;

	for (size_t i = 0; i < body.n; i += n) {
		struct ks_str rest = ks_str_sub(body, i, body.n);
		size_t one = ks_str_utf8_len(rest);
		bool control = one == 1 && ((unsigned char)rest.p[0] < 0x20 || rest.p[0] == 0x7f);
		struct ks_str put = one == 0 ? KS_STR("?") : control ? KS_STR(" ") : ks_str_sub(rest, 0, one);

		n = KS_MAX(one, (size_t)1);
		/* C1 controls, U+0080 to U+009F. */
		if (one == 2 && (unsigned char)put.p[0] == 0xc2 && (unsigned char)put.p[1] < 0xa0)
			put = KS_STR(" ");
		if (b.n + put.n + 1 > cap)
			break;
		ks_buf_put(&b, put);
	}
	(void)ks_buf_z(&b);
}
