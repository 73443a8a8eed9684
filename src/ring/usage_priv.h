/* SPDX-License-Identifier: Apache-2.0 */
/** How the words of the usage file are divided. usage.c writes them, usage_drain.c takes them out. */
#pragma once

#include "ring/usage.h"

/** A pair: reason (8 bits), scope (16). */
#define KS_USAGE_PAIR_BITS 24
#define KS_USAGE_PAIR_MASK ((UINT64_C(1) << KS_USAGE_PAIR_BITS) - 1)
#define KS_USAGE_COUNT_BITS 40
#define KS_USAGE_COUNT_MAX ((UINT64_C(1) << KS_USAGE_COUNT_BITS) - 1)
#define KS_USAGE_CHECK_BITS 20
#define KS_USAGE_LAST_MAX ((UINT64_C(1) << 44) - 1)
/** Of a detail's key, while the drainer empties it. */
#define KS_USAGE_FREEING (UINT64_C(1) << 63)
/** Times of rate limits are nanoseconds: the year 2262. */
#define KS_USAGE_RATE_MS_MAX UINT64_C(9223372036854)

static inline uint64_t ks_usage_address_check(const uint64_t words[2])
{
	uint64_t mixed = (words[0] ^ (words[1] >> 32 | words[1] << 32)) * UINT64_C(0x9e3779b97f4a7c15);

	return mixed >> (64 - KS_USAGE_CHECK_BITS);
}
