/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/health.h"

#include "config/log.h"

#define DAY_MS INT64_C(86400000)

void ks_serve_health(const struct ks_config *config, const struct ks_fetch_options *fetch, struct ks_health_options *ret_options)
{
	*ret_options = (struct ks_health_options){
		.fetch = *fetch,
		.interval_ms = (int64_t)config->health_interval_s.number * 1000,
		.threads = (unsigned)config->health_concurrency.number,
		.per_host = (unsigned)config->health_per_host.number,
		.per_second = (unsigned)config->health_per_second.number,
		.busy_percent = (unsigned)config->health_busy_percent.number,
		.timeout_ms = (unsigned)config->health_timeout_ms.number,
		.failures = config->health_failures.number,
		.keep_ms = (int64_t)config->health_keep_days.number * DAY_MS,
		.log = ks_log_engine,
	};
}
