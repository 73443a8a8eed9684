/* SPDX-License-Identifier: Apache-2.0 */
/** Who fails too often waits: a bounded table of failures by name (an account, an address). Pure: the time is an
 * argument. In memory alone: a restart forgets. Not thread-safe; the owner locks. */
#pragma once

#include "base/str.h"

#define KS_THROTTLE_WAYS 8
#define KS_THROTTLE_SETS 4096 /* 32768 names in all; of one set the one that failed longest ago gives way */

struct ks_throttle_entry {
	uint64_t hash;       /* 0: free */
	int64_t last_ms;     /* of the last attempt */
	int64_t until_ms;    /* no attempt before */
	uint32_t failures;
};

struct ks_throttle {
	uint64_t seed[2];    /* random: nobody can aim at another's entry */
	struct ks_throttle_entry entries[KS_THROTTLE_SETS][KS_THROTTLE_WAYS];
};

struct ks_throttle_rule {
	uint32_t free;       /* attempts without waiting */
	int64_t first_ms;    /* the first wait; each further one is twice as long */
	int64_t longest_ms;
	int64_t forget_ms;   /* without an attempt for so long everything is forgotten */
};

/** Counts an attempt as a failure before its outcome is known, so that attempts at the same time count too. 0: go on;
 * else the milliseconds to wait, and nothing was counted. */
int64_t ks_throttle_take(struct ks_throttle *throttle, const struct ks_throttle_rule *rule, struct ks_str name,
			 int64_t now_ms);

/** The attempt was none to count: takes one failure back. */
void ks_throttle_give_back(struct ks_throttle *throttle, struct ks_str name);

/** A success: forgets the name. */
void ks_throttle_forget(struct ks_throttle *throttle, struct ks_str name);
