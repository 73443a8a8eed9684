/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "http/conn.h"

int64_t ks_stamp_now(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* xoshiro256** (Blackman, Vigna 2018). */
static uint64_t next_random(void)
{
	static _Thread_local uint64_t s[4];
	uint64_t result, t;

	/* All zero is the one state it cannot have: not seeded yet. */
	while (!(s[0] | s[1] | s[2] | s[3])) {
		if (getrandom(s, sizeof(s), 0) != (ssize_t)sizeof(s))
			s[0] = (uint64_t)ks_stamp_now() ^ (uint64_t)(uintptr_t)&s;
	}
	result = s[1] * 5;
	result = (result << 7 | result >> 57) * 9;
	t = s[1] << 17;
	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = s[3] << 45 | s[3] >> 19;
	return result;
}

void ks_stamp_request_id(char ret_id[KS_REQUEST_ID_MAX + 1])
{
	uint64_t words[2] = {next_random(), next_random()};
	struct ks_buf b = ks_buf_of(ret_id, KS_REQUEST_ID_MAX + 1);

	ks_buf_put_hex(&b, words, sizeof(words));
	(void)ks_buf_z(&b);
}

struct ks_str ks_stamp_date(int64_t now_ms)
{
	static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
					   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
	static _Thread_local char text[48];
	static _Thread_local int64_t text_s = -1;
	static _Thread_local size_t text_n;
	int64_t now_s = now_ms / 1000;

	if (now_s != text_s) {
		time_t t = (time_t)now_s;
		struct tm at = {.tm_mday = 1};
		int n;

		(void)gmtime_r(&t, &at);
		n = snprintf(text, sizeof(text), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[at.tm_wday], at.tm_mday,
			     months[at.tm_mon], 1900 + at.tm_year, at.tm_hour, at.tm_min, at.tm_sec);
		text_n = n > 0 && (size_t)n < sizeof(text) ? (size_t)n : 0;
		text_s = now_s;
	}
	return ks_str_of(text, text_n);
}
