/* SPDX-License-Identifier: Apache-2.0 */
/** Structured fields (RFC 8941) as far as signatures of messages need them: dictionaries whose members are kept as the
 * text that they are, and what is in such a text. Strict; nothing is allocated. */
#pragma once

#include "base/cursor.h"

struct hs_member_text {
	struct ks_str key;
	struct ks_str value; /* with its parameters; "?1" and parameters where there is no = */
	bool bare;           /* there is no = */
};

/** The next member of a dictionary. False at the end, and (c->failed) where it is malformed. *first is true before the
 * first call. */
KS_MUST_USE bool hs_dictionary_next(struct ks_cursor *c, bool *first, struct hs_member_text *ret_member);

/** The one member `key` of the dictionary `text`: false where that is malformed, or the member is not there, or
 * it is there twice. */
KS_MUST_USE bool hs_dictionary_find(struct ks_str text, struct ks_str key, struct hs_member_text *ret_member);

/** A parameter: ";key=value", or ";key" (bare). */
struct hs_parameter {
	struct ks_str key, value;
	bool bare;
};
/** Takes the next parameter; false where none comes, or it is malformed (c->failed). */
KS_MUST_USE bool hs_parameter_next(struct ks_cursor *c, struct hs_parameter *ret_parameter);

/** Takes a string with its quotes; *ret_text is what stands between them, without escapes (one with escapes fails). */
void hs_string_take(struct ks_cursor *c, struct ks_str *ret_text);

/** The text between the colons of a byte sequence, which `value` must be and nothing else. */
KS_MUST_USE bool hs_bytes_of(struct ks_str value, struct ks_str *ret_base64);
