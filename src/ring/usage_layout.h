/* SPDX-License-Identifier: Apache-2.0 */
/** The bytes of the usage file, and one process's way to them. FORMAT.md. Included by ring/ring.h; use
 * ring/usage.h.
 *
 * Every reader may write to this file, so nothing in it is trusted: offsets and sizes come from the ring's header,
 * which readers cannot write to, and are kept in memory of the process's own. */
#pragma once

#include <stdatomic.h>

#include "base/base.h"

#define KS_USAGE_VERSION 1
#define KS_USAGE_MARK_CELLS 128u       /* cells that share a dirty mark */
#define KS_USAGE_BUCKET 8u             /* details in a bucket */
#define KS_USAGE_LIMITER_PROBES 64u

/** First page of the file. All but `lost` is fixed when it is made. */
struct ks_usage_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint64_t total_size;
	uint64_t generation;
	uint64_t slots;
	uint64_t limiters;

	_Alignas(64) _Atomic uint64_t lost;
};

/** One a slot: `word` is count (40 bits), reason (8), scope (16); 0 while nothing is counted. `last` is the time of
 * the last use that was allowed in ms (44 bits) and 20 bits of a hash of `address`, by which a torn address is
 * told. */
struct ks_usage_cell {
	_Atomic uint64_t word;
	_Atomic uint64_t last;
	_Atomic uint64_t address[2];
};
_Static_assert(sizeof(struct ks_usage_cell) == 32, "two cells a cache line");

/** A pair that its key's cell had no place for. `key`: freeing (1 bit), slot + 1 (39), reason (8), scope (16); 0
 * while free. `word`: how often this place was emptied (24 bits), count (40). */
struct ks_usage_detail {
	_Atomic uint64_t key;
	_Atomic uint64_t word;
};

struct ks_usage_limiter {
	_Atomic uint64_t key_id;       /* 0: free */
	_Atomic uint64_t tat_ns;       /* theoretical arrival time, since 1970 */
};

/** One mapped usage file. A plain value of this process. */
struct ks_usage {
	struct ks_usage_header *header;
	struct ks_usage_cell *cells;
	_Atomic uint8_t *cell_marks;   /* one for KS_USAGE_MARK_CELLS cells: something may be counted there */
	struct ks_usage_detail *details;
	_Atomic uint8_t *detail_marks; /* one for as many details */
	struct ks_usage_limiter *limiters;
	uint64_t slots;
	uint64_t buckets;
	uint64_t limiter_cells;
	uint64_t seed[2];
};

/** Starts loading the counters of a slot (which is below `slots`). */
static inline void ks_usage_prefetch(const struct ks_usage *usage, uint64_t slot)
{
	KS_PREFETCH_WRITE(&usage->cells[slot]);
}
