/* SPDX-License-Identifier: Apache-2.0 */
/** From settings to what is noticed. */
#pragma once

#include "config/config.h"
#include "engine/engine.h"

/** Fills `ret_options` from the settings "notice.…". KS_MALFORMED: what is wrong in *ret_problem. */
KS_MUST_USE enum ks_err ks_serve_notices(const struct ks_config *config, struct ks_notice_options *ret_options,
					 struct ks_config_problem *ret_problem);
