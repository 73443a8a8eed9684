/* SPDX-License-Identifier: Apache-2.0 */
#include "api/counters.h"

#include <stdatomic.h>

#include "api/api.h"

/* Threads share lines only beyond this many. */
#define LANES 64

struct lane {
	_Alignas(64) _Atomic uint64_t counts[KS_REASON_COUNT];
	_Atomic uint64_t unknown;
};

static struct lane lanes[LANES];
static _Atomic uint32_t next_lane;
static _Thread_local struct lane *own;

static struct lane *lane(void)
{
	if (KS_UNLIKELY(!own))
		own = &lanes[atomic_fetch_add_explicit(&next_lane, 1, memory_order_relaxed) % LANES];
	return own;
}

void ks_api_count_unknown(void)
{
	(void)atomic_fetch_add_explicit(&lane()->unknown, 1, memory_order_relaxed);
}

void ks_api_count_decision(const struct ks_decision *decision)
{
	(void)atomic_fetch_add_explicit(&lane()->counts[decision->reason], 1, memory_order_relaxed);
	if (decision->lookup == KS_LOOKUP_UNKNOWN)
		ks_api_count_unknown();
}

uint64_t ks_api_unknown_credentials(void *ctx)
{
	uint64_t sum = 0;

	(void)ctx;
	for (size_t i = 0; i < LANES; i++)
		sum += atomic_load_explicit(&lanes[i].unknown, memory_order_relaxed);
	return sum;
}

uint64_t ks_api_decisions(enum ks_reason reason)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < LANES; i++)
		sum += atomic_load_explicit(&lanes[i].counts[reason], memory_order_relaxed);
	return sum;
}

/* So few, and so slow by themselves, that they share a line. */
static _Atomic uint64_t logins[KS_LOGIN_COUNT];

void ks_api_count_login(enum ks_login outcome)
{
	(void)atomic_fetch_add_explicit(&logins[outcome], 1, memory_order_relaxed);
}

uint64_t ks_api_logins(enum ks_login outcome)
{
	return atomic_load_explicit(&logins[outcome], memory_order_relaxed);
}
