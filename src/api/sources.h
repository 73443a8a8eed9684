/* SPDX-License-Identifier: Apache-2.0 */
/** Sources of webhooks: what sources.c and messages.c share. */
#pragma once

#include "api/call.h"

/** Parameter 0 of the route as the id of a source that the caller sees. False: answered as whatever does not exist. */
bool ks_call_source(struct ks_call *call, uint64_t *ret_id);
