/* SPDX-License-Identifier: Apache-2.0 */
/** A reading position in borrowed bytes. The first failure sticks: read everything, then ask once with
 * ks_cursor_done(). No call reads outside [p, end). */
#pragma once

#include "base/str.h"

struct ks_cursor {
	const char *p;
	const char *end;
	bool failed;
};

struct ks_cursor ks_cursor_of(struct ks_str text);

size_t ks_cursor_left(const struct ks_cursor *c);

/** The next byte without taking it; -1 at the end or after a failure. */
int ks_cursor_peek(const struct ks_cursor *c);

/** Takes one byte; -1 (and failure) at the end. */
int ks_cursor_byte(struct ks_cursor *c);

/** Takes exactly `literal`, or fails. */
void ks_cursor_literal(struct ks_cursor *c, struct ks_str literal);

/** Takes `n` bytes, borrowed; the empty text on failure. */
struct ks_str ks_cursor_take(struct ks_cursor *c, size_t n);

/** Takes the longest run of bytes for which `in_set` holds, of `min` to `max` bytes (it stops at `max`). */
struct ks_str ks_cursor_run(struct ks_cursor *c, bool (*in_set)(unsigned char), size_t min, size_t max);

/** Skips blanks and tabs. */
void ks_cursor_skip_blanks(struct ks_cursor *c);

/** Little-endian fixed-size numbers, for our own binary formats. */
uint8_t ks_cursor_u8(struct ks_cursor *c);
uint16_t ks_cursor_u16(struct ks_cursor *c);
uint32_t ks_cursor_u32(struct ks_cursor *c);
uint64_t ks_cursor_u64(struct ks_cursor *c);

/** True if nothing failed and nothing is left. */
KS_MUST_USE bool ks_cursor_done(const struct ks_cursor *c);
