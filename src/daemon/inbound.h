/* SPDX-License-Identifier: Apache-2.0 */
/** From settings to who takes webhooks of others. */
#pragma once

#include "api/api.h"
#include "config/config.h"
#include "inbound/inbound.h"

/** Fills `ret_options`; what it may reach is said by the settings "fetch.…". */
void ks_serve_inbound(const struct ks_config *config, const struct ks_fetch_options *fetch,
		      struct ks_inbound_options *ret_options);

/** Fills what the settings "hooks.…" say. Texts are borrowed. */
void ks_serve_hooks(const struct ks_config *config, struct ks_api_options *options);
