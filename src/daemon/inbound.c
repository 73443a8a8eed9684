/* SPDX-License-Identifier: Apache-2.0 */
#include "daemon/inbound.h"

#include "config/log.h"

void ks_serve_inbound(const struct ks_config *config, const struct ks_fetch_options *fetch,
		      struct ks_inbound_options *ret_options)
{
	*ret_options = (struct ks_inbound_options){
		.fetch = *fetch,
		.fetch_ms = (unsigned)config->fetch_timeout_ms.number,
		.log = ks_log_engine,
	};
}

void ks_serve_hooks(const struct ks_config *config, struct ks_api_options *options)
{
	options->hook_origin = config->hooks_origin.text;
	options->hook_certificate_header = config->hooks_client_certificate_header.text;
	options->hook_body_max = (size_t)config->hooks_body_bytes.number;
	options->hook_challenges = (uint32_t)config->hooks_challenges_per_minute.number;
	options->hook_confirm_ms = (int64_t)config->hooks_confirm_s.number * 1000;
}
