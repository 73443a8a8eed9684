/* SPDX-License-Identifier: Apache-2.0 */
/** From settings to who delivers webhooks. */
#pragma once

#include "config/config.h"
#include "delivery/delivery.h"

/** Fills `ret_options` from the settings "delivery.…"; what it may reach is said by those of "fetch.…". */
void ks_serve_delivery(const struct ks_config *config, const struct ks_fetch_options *fetch,
		       struct ks_delivery_options *ret_options);
