/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/notices.h"

#include <stdio.h>

#include "api/api.h"

#define DAY_MS INT64_C(86400000)

static enum ks_err complain(struct ks_config_problem *problem, const char *what)
{
	(void)snprintf(problem->text, sizeof(problem->text), "notice.expiring: %s", what);
	return KS_MALFORMED;
}

/* "30d": a whole number and a unit. */
static bool read_duration(struct ks_str text, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = {{'d', DAY_MS}, {'h', 3600000}, {'m', 60000}, {'s', 1000}};
	uint64_t n;

	for (size_t i = 0; text.n > 1 && i < KS_ARRAY_LEN(units); i++) {
		if (text.p[text.n - 1] != units[i].unit)
			continue;
		if (!ks_str_to_u64(ks_str_sub(text, 0, text.n - 1), 1000000, &n) || n == 0)
			return false;
		*ret_ms = (int64_t)n * units[i].ms;
		return true;
	}
	return false;
}

/* Longest first, each once. */
static enum ks_err read_leads(const struct ks_config_value *list, struct ks_notice_options *o,
			      struct ks_config_problem *problem)
{
	for (size_t i = 0; i < list->count; i++) {
		int64_t lead;
		size_t at = o->lead_count;

		if (i == KS_NOTICE_LEADS_MAX || !read_duration(ks_str_c(list->items[i]), &lead))
			return complain(problem, "items must be numbers with d, h, m or s, 16 at most");
		for (; at > 0 && o->leads_ms[at - 1] < lead; at--)
			o->leads_ms[at] = o->leads_ms[at - 1];
		if (at > 0 && o->leads_ms[at - 1] == lead)
			return complain(problem, "two items are the same");
		o->leads_ms[at] = lead;
		o->lead_count++;
	}
	return KS_OK;
}

enum ks_err ks_serve_notices(const struct ks_config *config, struct ks_notice_options *ret_options,
			     struct ks_config_problem *ret_problem)
{
	struct ks_notice_options o = {
		.unused_ms = (int64_t)config->notice_unused_days.number * DAY_MS,
		.networks = config->notice_networks.number != 0,
		.denials = config->notice_denials.number,
		.denials_ms = (int64_t)config->notice_denials_minutes.number * 60000,
		.unknown = config->notice_unknown.number,
		.unknown_total = ks_api_unknown_credentials,
	};

	KS_TRY(read_leads(&config->notice_expiring, &o, ret_problem));
	*ret_options = o;
	return KS_OK;
}
