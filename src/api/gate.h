/* SPDX-License-Identifier: Apache-2.0 */
/** How often an address may come to an open route. Bounded: addresses share places where there are more of them than
 * those, which lets fewer through, never more. */
#pragma once

#include <pthread.h>

#include "base/addr.h"
#include "base/err.h"

#define KS_GATE_PLACES 4096u

struct ks_gate {
	pthread_mutex_t lock;
	int64_t tat_ms[KS_GATE_PLACES];  /* theoretical arrival time */
	uint64_t seed[2];
};

/** KS_SYSTEM: no random numbers. */
KS_MUST_USE enum ks_err ks_gate_init(struct ks_gate *gate);
void ks_gate_done(struct ks_gate *gate);

/** Counts one request of `address` (of IPv6 the /64) at `now_ms`; at most `per_minute` in a minute pass. False: it is too
 * many; *ret_retry_s tells when to come back. Any thread. */
KS_MUST_USE bool ks_gate_take(struct ks_gate *gate, const struct ks_addr *address, uint32_t per_minute, int64_t now_ms,
			      uint32_t *ret_retry_s);
