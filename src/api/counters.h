/* SPDX-License-Identifier: Apache-2.0 */
/** Decisions answered by this process, by reason: for /metrics. */
#pragma once

#include "model/model.h"

/** Counts one decision. A thread adds to a line of its own: no cache line moves between cores. */
void ks_api_count_decision(enum ks_reason reason);

/** Sum over all threads. */
uint64_t ks_api_decisions(enum ks_reason reason);
