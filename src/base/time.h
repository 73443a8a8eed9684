/* SPDX-License-Identifier: Apache-2.0 */
/** Times are milliseconds since 1970-01-01T00:00:00Z in an int64_t; text is RFC 3339 in UTC. */
#pragma once

#include "base/str.h"

/** No time ("never", "not yet"). */
#define KS_TIME_NONE INT64_MIN
/** 9999-12-31T23:59:59.999Z */
#define KS_TIME_MAX INT64_C(253402300799999)
/** "2026-01-02T03:04:05.678Z", and a terminator. */
#define KS_TIME_TEXT_SIZE 25

/** Parses RFC 3339 (5.6; "T" and "Z" of either case) with any offset and 0 to 9 fraction digits (cut to milliseconds).
 * Both the year as written and the instant must lie in 1970 to 9999. Leap second 60 is refused. */
KS_MUST_USE bool ks_time_parse(struct ks_str text, int64_t *ret_ms);

/** Writes the 24 characters and a terminator. `ms` must lie in 0 ... KS_TIME_MAX (it is cut to the nearer end). */
void ks_time_format(int64_t ms, char ret_text[KS_TIME_TEXT_SIZE]);
