/* SPDX-License-Identifier: Apache-2.0 */
/** When a delivery that failed is tried again. Pure: time and randomness are arguments. */
#pragma once

#include "base/str.h"
#include "base/time.h"

struct ks_delivery_schedule {
	int64_t first_ms;    /* the first pause is this long at most; each further one twice as long … */
	int64_t longest_ms;  /* … up to this */
	int64_t for_ms;      /* so long after the first try is the last one */
};

/** When to try again after `tries` (1 or more) failed ones, the first at `first_at`: a random time within the pause (full
 * jitter: receivers that come back are not met by all at once), not before `not_before` (KS_TIME_NONE: no wish), and not after
 * the end, at which there is one last try. `random`: any 32 bits. KS_TIME_NONE: it was the last. */
int64_t ks_delivery_next(const struct ks_delivery_schedule *schedule, uint64_t tries, int64_t first_at, int64_t now_ms,
			 uint32_t random, int64_t not_before);

/** How long an endpoint rests that failed `failures` times in a row; ms. */
int64_t ks_delivery_brake(const struct ks_delivery_schedule *schedule, unsigned failures);

#define KS_RETRY_AFTER_MAX_MS INT64_C(86400000)
/** The time that a Retry-After (RFC 9110, 10.2.3: seconds, or a date in the preferred form of 5.6.7) asks to wait for, a day
 * from now at most. KS_TIME_NONE: it is neither, or past. */
int64_t ks_delivery_retry_after(struct ks_str value, int64_t now_ms);

/** The first bytes of `body` as text for people: what is not printable or not UTF-8 is a blank or "?". Terminated. */
void ks_delivery_excerpt(struct ks_str body, char *ret_text, size_t cap);
