/* SPDX-License-Identifier: Apache-2.0 */
/** Connections of the keeper to a key management service. */
#pragma once

#include "config/config.h"
#include "fetch/fetch.h"
#include "keeper/keeper.h"

/** What the settings say of the service; with it, where connections lead, for the process. keeper->root is set. KS_MALFORMED with
 * the text in *ret_problem. One thread. */
KS_MUST_USE enum ks_err ks_serve_kms(const struct ks_config *config, const struct ks_fetch_options *fetch,
				     struct ks_keeper_options *keeper, struct ks_config_problem *ret_problem);
