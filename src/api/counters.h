/* SPDX-License-Identifier: Apache-2.0 */
/** Decisions answered by this process, by reason: for /metrics. */
#pragma once

#include "decision/decision.h"

/** Counts one decision. A thread adds to a line of its own: no cache line moves between cores. */
void ks_api_count_decision(const struct ks_decision *decision);

/** Counts a credential that nobody has, tried on this API itself. */
void ks_api_count_unknown(void);

/** Sum over all threads. */
uint64_t ks_api_decisions(enum ks_reason reason);
