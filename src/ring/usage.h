/* SPDX-License-Identifier: Apache-2.0 */
/** Counters beside the ring: how often each key was used, with which outcome, when and from where last; and the
 * rate limiters. In a mapping of their own that every reader may write to; added to without a system call, a lock
 * or a wait. Pure.
 *
 * A cell of 32 bytes a slot counts for the first (reason, scope) pair since it was last drained; other pairs of
 * the same key go to a shared table. The service drains both in batches. Whatever finds no room is counted in
 * `lost`: what was drained and what was lost together are exactly what was counted, as long as no process is
 * killed within one of these calls. */
#pragma once

#include "ring/ring.h"
#include "ring/usage_layout.h"

#define KS_USAGE_NO_SCOPE 0xffffu

/** Bytes for the usage file that goes with a ring of this geometry (a multiple of 4096); 0 if it is out of bounds. */
uint64_t ks_usage_size(const struct ks_ring_geometry *geometry);

/** Writes empty counters into `memory` (zeroed, page-aligned). KS_TOO_LARGE: `size` is below ks_usage_size. */
KS_MUST_USE enum ks_err ks_usage_format(void *memory, uint64_t size, const struct ks_ring_geometry *geometry,
					uint64_t generation);

/** Checks magic, version, sizes and generation against the ring that it goes with. KS_CORRUPT, KS_VERSION.
 * *ret_usage is the caller's, and good as long as `memory` is mapped; put its address into ks_ring.usage. */
KS_MUST_USE enum ks_err ks_usage_attach(void *memory, uint64_t size, const struct ks_ring_header *ring,
					struct ks_usage *ret_usage);

/* ---- counting: any process, any thread ---- */

/** Counts one decision on the key in `slot`. `scope`: the rule's usage_class, or KS_USAGE_NO_SCOPE. Time and
 * address (all zero where unknown) are kept for allowed ones. At most 4 attempts at each of a cell and its 16
 * details. */
void ks_usage_count(struct ks_usage *usage, uint64_t slot, enum ks_reason reason, uint16_t scope, int64_t now_ms,
		    const struct ks_addr *address);

/** Outcome of the rate limit of one request. */
struct ks_rate {
	uint32_t limit;          /* requests; 0: the key has no limit */
	uint32_t window_s;
	uint32_t remaining;
	uint32_t reset_s;        /* until all of the limit is available again, rounded up */
	uint32_t retry_after_s;  /* where limited; 1 at least */
};

/** GCRA of decision.md step 9 for the key with this id. True: go on, and one request is used up. With `requests` 0
 * there is no limit. A key without a cell (cannot happen for keys put with a limit) is refused. It never lets
 * through more than the limit: a request that loses 64 races for the same cell in a row is refused for a second,
 * 64 others having been let through or refused meanwhile. */
KS_MUST_USE bool ks_usage_take(struct ks_usage *usage, uint64_t key_id, uint32_t requests, uint32_t window_s,
			       int64_t now_ms, struct ks_rate *ret_rate);

/** What ks_usage_take would go by now, without using anything up. */
void ks_usage_rate(const struct ks_usage *usage, uint64_t key_id, uint32_t requests, uint32_t window_s, int64_t now_ms,
		   struct ks_rate *ret_rate);

/* ---- the writer's ---- */

/** Claims a limiter cell for a key; *ret_new tells whether it had none. KS_FULL. Idempotent. */
KS_MUST_USE enum ks_err ks_usage_claim_limiter(struct ks_usage *usage, uint64_t key_id, bool *ret_new);

/** Brings the limiters of an older generation over, for the keys that have one in `to`: the later time wins. Called
 * before readers are switched over and once more after it: a reader that is between the two may let a request
 * through that the new generation does not know of until the second call. */
void ks_usage_move_limiters(const struct ks_usage *from, struct ks_usage *to);

/** One drained count. */
struct ks_usage_item {
	uint64_t slot;
	uint64_t count;
	enum ks_reason reason;
	uint16_t scope;
	int64_t last_ms;         /* when it was last allowed; KS_TIME_NONE where `reason` is not OK or it never was */
	struct ks_addr address;  /* of that time; zero where not known */
};

/** Takes up to `cap` (at least 1) counts out (they are zero afterwards) and goes on where the last call stopped
 * (`*cursor`, start with 0; 0 again after a full round). One caller at a time. Returns how many. One key may
 * appear several times with the same pair. */
size_t ks_usage_drain(struct ks_usage *usage, uint64_t *cursor, struct ks_usage_item *ret_items, size_t cap);

/** The same, each count given to `take` as soon as it is out: whoever keeps it there loses at most the one that was
 * between the two when the process was killed. `take` does not call back. */
size_t ks_usage_drain_to(struct ks_usage *usage, uint64_t *cursor, void (*take)(void *ctx, const struct ks_usage_item *item),
			 void *ctx, size_t cap);

/** Adds what was drained elsewhere, under the slot `slot` of this generation: for counts of an older generation. */
void ks_usage_add(struct ks_usage *usage, uint64_t slot, const struct ks_usage_item *item);

/** Makes the next round of draining look everywhere: for a file that was drained by a process that was killed. */
void ks_usage_mark_all(struct ks_usage *usage);

/** How many counts found no room since the generation began. */
uint64_t ks_usage_lost(const struct ks_usage *usage);
