/* SPDX-License-Identifier: Apache-2.0 */
/** From settings to who probes providers. */
#pragma once

#include "config/config.h"
#include "health/health.h"

/** Fills `ret_options` from the settings "health.…"; what it may reach is said by those of "fetch.…". */
void ks_serve_health(const struct ks_config *config, const struct ks_fetch_options *fetch, struct ks_health_options *ret_options);
