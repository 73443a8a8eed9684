/* SPDX-License-Identifier: Apache-2.0 */
/** Comparison and text encodings whose time depends on lengths alone, never on content. */
#pragma once

#include "base/str.h"

/** Equality of `n` bytes in constant time. */
KS_MUST_USE bool ks_ct_equal(const void *a, const void *b, size_t n);

/** Equality of two texts in time that depends on `b.n` alone. */
KS_MUST_USE bool ks_ct_str_equal(struct ks_str a, struct ks_str b);

/** Decodes exactly 2 * n hexadecimal digits (upper case only if `upper_ok`). Like all decoders here it looks at the
 * whole text before it writes anything: nothing is written where it returns false. */
KS_MUST_USE bool ks_hex_decode(struct ks_str text, bool upper_ok, unsigned char *ret_bytes, size_t n);

/** Standard base64 (RFC 4648, 4), padding required, no blanks. *ret_n gets the length; false if malformed, not
 * canonical (bits set that no byte uses), or longer than `cap`. */
KS_MUST_USE bool ks_base64_decode(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n);

/** base64url without padding (RFC 7515, 2); otherwise the same. */
KS_MUST_USE bool ks_base64url_decode(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n);

/** Writes 4 * ((n + 2) / 3) characters (base64url: without the padding), not terminated. Returns the length written, or
 * 0 if it does not fit `cap`. */
size_t ks_base64_encode(const unsigned char *bytes, size_t n, char *ret_text, size_t cap);
size_t ks_base64url_encode(const unsigned char *bytes, size_t n, char *ret_text, size_t cap);
