/* SPDX-License-Identifier: Apache-2.0 */
/* When a request was signed. */
#include <stdio.h>

#include "base/time.h"
#include "hooksig/hooksig_priv.h"

#define TIME_S_MAX ((uint64_t)253402300799)

static bool parse_s(struct ks_str text, int64_t *ret_ms)
{
	uint64_t n;

	if (!ks_str_to_u64(text, TIME_S_MAX, &n))
		return false;
	*ret_ms = (int64_t)n * 1000;
	return true;
}

static bool parse_ms(struct ks_str text, int64_t *ret_ms)
{
	uint64_t n;

	if (!ks_str_to_u64(text, TIME_S_MAX * 1000, &n))
		return false;
	*ret_ms = (int64_t)n;
	return true;
}

static const char *const months = "JanFebMarAprMayJunJulAugSepOctNovDec";
static const char *const days = "ThuFriSatSunMonTueWed"; /* 1970-01-01 was a Thursday */

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110, 5.6.7: IMF-fixdate alone), by way of RFC 3339. */
static bool parse_rfc1123(struct ks_str text, int64_t *ret_ms)
{
	char room[32];
	struct ks_buf to = KS_BUF(room);
	unsigned month = 0;
	int64_t ms;

	if (text.n != 29 || !ks_str_eq(ks_str_sub(text, 3, 2), KS_STR(", ")) || text.p[7] != ' ' || text.p[11] != ' ' ||
	    text.p[16] != ' ' || !ks_str_eq(ks_str_sub(text, 25, 4), KS_STR(" GMT")))
		return false;
	while (month < 12 && !ks_str_eq(ks_str_of(&months[3 * month], 3), ks_str_sub(text, 8, 3)))
		month++;
	ks_buf_printf(&to, "%.4s-%02u-%.2sT%.8sZ", &text.p[12], month + 1, &text.p[5], &text.p[17]);
	if (month == 12 || !ks_time_parse(ks_buf_str(&to), &ms) ||
	    !ks_str_eq(ks_str_of(&days[3 * (ms / 86400000 % 7)], 3), ks_str_sub(text, 0, 3)))
		return false;
	*ret_ms = ms;
	return true;
}

static void write_s(int64_t ms, struct ks_buf *to)
{
	ks_buf_put_i64(to, ms / 1000);
}

static void write_ms(int64_t ms, struct ks_buf *to)
{
	ks_buf_put_i64(to, ms);
}

static void write_iso8601(int64_t ms, struct ks_buf *to)
{
	char text[KS_TIME_TEXT_SIZE];

	ks_time_format(ms, text);
	ks_buf_put_c(to, text);
}

static void write_rfc1123(int64_t ms, struct ks_buf *to)
{
	char text[KS_TIME_TEXT_SIZE];
	unsigned month;

	ks_time_format(ms, text);
	month = (unsigned)(text[5] - '0') * 10 + (unsigned)(text[6] - '0') - 1;
	ks_buf_printf(to, "%.3s, %.2s %.3s %.4s %.8s GMT", &days[3 * (ms / 86400000 % 7)], &text[8], &months[3 * month], text,
		      &text[11]);
}

static const struct {
	const char *name;
	bool (*parse)(struct ks_str text, int64_t *ret_ms);
	void (*write)(int64_t ms, struct ks_buf *to);
} units[HS_UNIT_COUNT] = {
	[HS_UNIT_S] = {"s", parse_s, write_s},
	[HS_UNIT_MS] = {"ms", parse_ms, write_ms},
	[HS_UNIT_ISO8601] = {"iso8601", ks_time_parse, write_iso8601},
	[HS_UNIT_RFC1123] = {"rfc1123", parse_rfc1123, write_rfc1123},
};

void hs_time_write(enum hs_unit unit, int64_t ms, struct ks_buf *to)
{
	units[unit].write(KS_MIN(KS_MAX(ms, 0), KS_TIME_MAX), to);
}

static bool read_unit(struct hs_compile *c, struct ks_str value, void *to)
{
	struct ks_str text;

	if (!hs_read_text(c, value, &text))
		return false;
	for (unsigned i = 0; i < HS_UNIT_COUNT; i++)
		if (ks_str_eq(text, ks_str_c(units[i].name))) {
			*(enum hs_unit *)to = (enum hs_unit)i;
			return true;
		}
	return hs_refuse(c, "s, ms, iso8601 or rfc1123 is wanted here");
}

struct time_form {
	struct hs_time time;
	struct ks_str var;
};

bool hs_read_time(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("value", hs_read_text, struct time_form, var),
		HS_NEEDED("unit", read_unit, struct time_form, time.unit),
		HS_MEMBER("max_age", hs_read_seconds, struct time_form, time.max_age_ms),
		HS_MEMBER("max_future", hs_read_seconds, struct time_form, time.max_future_ms),
	};
	struct time_form form = {.time = {.max_age_ms = -1, .max_future_ms = -1}};

	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), &form))
		return false;
	/* Without an age the tenant wants no rule. */
	form.time.present = form.time.max_age_ms >= 0;
	if (form.time.max_future_ms < 0)
		form.time.max_future_ms = form.time.max_age_ms;
	if (form.time.present && !hs_var_index(c, form.var, &form.time.var))
		return false;
	*(struct hs_time *)to = form.time;
	return true;
}

enum ks_hooksig_code hs_time_check(struct hs_run *run, const struct hs_time *time)
{
	struct ks_str text;
	enum ks_hooksig_code code = hs_var_one(run, time->var, &text);
	int64_t ms;

	if (code)
		return code;
	if (!units[time->unit].parse(text, &ms))
		return KS_HOOKSIG_MALFORMED;
	if (run->now_ms - ms > time->max_age_ms || ms - run->now_ms > time->max_future_ms)
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	return KS_HOOKSIG_OK;
}
