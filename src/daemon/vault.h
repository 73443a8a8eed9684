/* SPDX-License-Identifier: Apache-2.0 */
/** The settings of the vault, and what its references are read by. */
#pragma once

#include "config/config.h"
#include "engine/engine.h"

/** Fills in `options`; what it points to lives as long as the process. KS_MALFORMED. */
KS_MUST_USE enum ks_err ks_serve_vault(const struct ks_config *config, struct ks_vault_options *ret_options,
				       struct ks_config_problem *ret_problem);
