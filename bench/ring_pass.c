/* SPDX-License-Identifier: Apache-2.0 */
/* A bare pass over the slots of a ring, as a measure for what asks about all keys: counts the living ones, five times, and prints
 * "keys N best_ns N".
 *
 *	ring_pass RING_DIRECTORY */
#include <stdio.h>
#include <time.h>

#include "ringmap/ringmap.h"

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int main(int argc, char **argv)
{
	struct ks_ringmap_reader *reader = NULL;
	const struct ks_ring *ring;
	uint64_t best = UINT64_MAX, keys = 0;

	if (argc != 2 || ks_ringmap_reader_open(argv[1], &reader) != KS_OK || !(ring = ks_ringmap_reader_ring(reader))) {
		(void)fprintf(stderr, "usage: ring_pass RING_DIRECTORY\n");
		return 2;
	}
	for (unsigned pass = 0; pass < 5; pass++) {
		uint64_t from = now_ns();

		keys = 0;
		for (uint64_t slot = 0; slot < ring->header->geometry.key_slots; slot++) {
			uint32_t state = atomic_load_explicit(&ring->keys[slot].state, memory_order_acquire);

			keys += (state & (KS_KEY_LIVE | KS_KEY_REVOKED)) == KS_KEY_LIVE;
		}
		best = KS_MIN(best, now_ns() - from);
	}
	(void)printf("keys %llu best_ns %llu\n", (unsigned long long)keys, (unsigned long long)best);
	ks_ringmap_reader_close(&reader);
	return 0;
}
