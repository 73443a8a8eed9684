/* SPDX-License-Identifier: Apache-2.0 */
#include "api/counters.h"

#include <stdatomic.h>

/* Threads share lines only beyond this many. */
#define LANES 64

struct lane {
	_Alignas(64) _Atomic uint64_t counts[KS_REASON_COUNT];
};

static struct lane lanes[LANES];
static _Atomic uint32_t next_lane;
static _Thread_local struct lane *own;

void ks_api_count_decision(enum ks_reason reason)
{
	if (KS_UNLIKELY(!own))
		own = &lanes[atomic_fetch_add_explicit(&next_lane, 1, memory_order_relaxed) % LANES];
	(void)atomic_fetch_add_explicit(&own->counts[reason], 1, memory_order_relaxed);
}

uint64_t ks_api_decisions(enum ks_reason reason)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < LANES; i++)
		sum += atomic_load_explicit(&lanes[i].counts[reason], memory_order_relaxed);
	return sum;
}
