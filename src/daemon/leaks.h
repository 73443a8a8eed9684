/* SPDX-License-Identifier: Apache-2.0 */
/* From settings to what is done with reports of leaked tokens. */
#pragma once

#include "api/api.h"
#include "config/config.h"

/** Fills the parts of the options that the settings "leaks.…" say. KS_MALFORMED: what is wrong in *ret_problem. */
KS_MUST_USE enum ks_err ks_serve_leak_action(const struct ks_config *config, struct ks_engine_options *options,
					     struct ks_config_problem *ret_problem);
void ks_serve_leak_routes(const struct ks_config *config, struct ks_api_options *options);

/** Reads GitHub's public keys from the file of the setting, where there is one. KS_MALFORMED: it is none. */
KS_MUST_USE enum ks_err ks_serve_github_keys(const struct ks_config *config, struct ks_api *api,
					     struct ks_config_problem *ret_problem);
