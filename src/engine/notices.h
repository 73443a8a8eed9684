/* SPDX-License-Identifier: Apache-2.0 */
/** What is noticed of keys and told as events, never acted upon: ends that come near, long disuse and use after it, new
 * networks, bursts of refusals. All of it away from decisions: in the flush of counted uses and between flushes, on the
 * writer's thread. The one clock is tx->now_ms. What was told is remembered in the truth, so that it is told once, also
 * over restarts. docs/usage.md says how exact each is. */
#pragma once

#include "base/addr.h"
#include "engine/engine.h"

#define KS_NOTICE_NETWORKS_MAX 32  /* remembered of a key; the one not used for longest is forgotten */
#define KS_NOTICE_AT_ONCE 1000     /* reminders of one job */
#define KS_NOTICE_WALK_KEYS 2000   /* looked at by one step of the walk */

/** A use that was allowed, the last of those counted together. */
struct ks_notice_use {
	uint64_t key;
	int64_t at;
	struct ks_addr address;        /* zero: not known */
};

/** Tells of use after long disuse and of a new network. Before the use is written: it compares with what is there. */
KS_MUST_USE enum ks_err ks_notice_use(struct ks_tx *tx, const struct ks_notice_use *use);

/** Tells of a burst of refusals of the key, at most once in the time that it is counted over. After they are written. */
KS_MUST_USE enum ks_err ks_notice_denials(struct ks_tx *tx, uint64_t key);

/** Tells of keys that will end within one of the leads, at most KS_NOTICE_AT_ONCE; *ret_more: there are more. */
KS_MUST_USE enum ks_err ks_notice_ends(struct ks_tx *tx, bool *ret_more);

/** Looks at the next KS_NOTICE_WALK_KEYS keys and tells of those unused for long, once each time that long. */
KS_MUST_USE enum ks_err ks_notice_walk(struct ks_tx *tx);

/** Unknown credentials over time: a few samples of their total. Zeroed at first. */
#define KS_NOTICE_SAMPLES 32
struct ks_notice_unknown {
	struct {
		int64_t at;
		uint64_t total;
	} samples[KS_NOTICE_SAMPLES];
	size_t next, count;
	int64_t told_at;               /* 0: never */
};
/** Takes the total as of `now_ms`. True: `limit` or more came within about `window_ms`, and none was told of within that
 * time; *ret_count is how many. Pure. */
KS_MUST_USE bool ks_notice_take_unknown(struct ks_notice_unknown *unknown, uint64_t total, int64_t now_ms,
					uint64_t limit, int64_t window_ms, uint64_t *ret_count);
/** Tells of them. */
KS_MUST_USE enum ks_err ks_notice_unknown(struct ks_tx *tx, uint64_t count);

/** "203.0.113.0/24", or a /48 of IPv6: what counts as one network. */
void ks_notice_network(const struct ks_addr *address, char ret_text[KS_ADDR_TEXT_SIZE]);
