/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/delivery.h"

#include "config/log.h"

#define HOUR_MS INT64_C(3600000)
#define DAY_MS INT64_C(86400000)
#define LONGEST_PAUSE_MS (8 * HOUR_MS)

void ks_serve_delivery(const struct ks_config *config, const struct ks_fetch_options *fetch,
		       struct ks_delivery_options *ret_options)
{
	*ret_options = (struct ks_delivery_options){
		.fetch = *fetch,
		.concurrency = (unsigned)config->delivery_concurrency.number,
		.per_endpoint = (unsigned)config->delivery_per_endpoint.number,
		.timeout_ms = (unsigned)config->delivery_timeout_ms.number,
		.schedule = {
			.first_ms = (int64_t)config->delivery_retry_first_ms.number,
			.longest_ms = LONGEST_PAUSE_MS,
			.for_ms = (int64_t)config->delivery_retry_for_s.number * 1000,
		},
		.disable_after_ms = (int64_t)config->delivery_disable_after_h.number * HOUR_MS,
		.keep_ms = (int64_t)config->delivery_keep_days.number * DAY_MS,
		.log = ks_log_engine,
	};
}
