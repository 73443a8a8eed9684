/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/** What a randomized test begins with: KEYSTILE_SEED, which `./check` sets, or another one every time. Printed, so that a
 * failure can be repeated. */
static inline uint64_t test_seed(void)
{
	const char *given = getenv("KEYSTILE_SEED");
	uint64_t seed = given ? (uint64_t)strtoull(given, NULL, 0) : (uint64_t)getpid();

	printf("KEYSTILE_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}
