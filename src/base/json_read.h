/* SPDX-License-Identifier: Apache-2.0 */
/** Reading JSON (RFC 8259) value by value, strictly and without allocation: for imports, where a document a line would
 * cost more than all the rest. The text must be UTF-8 (ks_str_is_utf8; the reader does not ask). The first failure
 * sticks: read on and ask once. By index, so that each access is compared with the length. Pure. */
#pragma once

#include "base/buf.h"

#define KS_JSON_READ_DEPTH 64 /* of values that are taken whole */

struct ks_json_read {
	struct ks_str text;
	size_t at;       /* what comes next; never beyond text.n */
	bool failed;
};

struct ks_json_read ks_json_read_of(struct ks_str text);

/** The first byte of the value that comes next, blanks skipped: one of { [ " - 0-9 t f n; 0 at the end or after a
 * failure. */
char ks_json_read_peek(struct ks_json_read *r);

/** Takes an opening { or [. */
void ks_json_read_open(struct ks_json_read *r, char bracket);

/** True: another element comes (its comma is taken). False: the closing bracket is taken, or it failed. *first is true
 * before the first call. */
KS_MUST_USE bool ks_json_read_more(struct ks_json_read *r, bool *first, char closing);

/** A string as it stands between its quotes. */
struct ks_json_text {
	struct ks_str raw;
	bool escaped;    /* contains a backslash */
};
/** Takes a string. Escapes are checked; a lone surrogate fails. */
struct ks_json_text ks_json_read_string(struct ks_json_read *r);
/** The string itself: borrowed from the document, or decoded into `to` (at most as long as `raw`) where it has escapes.
 */
struct ks_str ks_json_text_decode(struct ks_json_text text, struct ks_buf *to);

/** Reads exactly 2 * n hexadecimal digits of either case. For what is not secret: ks_hex_decode takes the same time for
 * all. */
KS_MUST_USE bool ks_json_hex(struct ks_str text, unsigned char *ret_bytes, size_t n);

/** Takes the name of a member and its colon. */
struct ks_json_text ks_json_read_name(struct ks_json_read *r);

/** Takes a whole number of at most `max`: digits alone. Any other number fails as not being one. */
KS_MUST_USE bool ks_json_read_u64(struct ks_json_read *r, uint64_t max, uint64_t *ret_value);

/** Takes null, if that is what comes. */
KS_MUST_USE bool ks_json_read_null(struct ks_json_read *r);

/** Takes any value whole; its text without surrounding blanks. */
struct ks_str ks_json_read_raw(struct ks_json_read *r);

/** Nothing failed, and nothing but blanks is left. */
KS_MUST_USE bool ks_json_read_done(struct ks_json_read *r);

static inline bool ks_json_read_failed(const struct ks_json_read *r)
{
	return r->failed;
}
