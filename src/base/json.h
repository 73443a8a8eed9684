/* SPDX-License-Identifier: Apache-2.0 */
/** A JSON document that was checked whole, and then is asked for its members in any order, without allocation: for
 * small documents that strangers write (headers and claims of tokens, keys, metadata of issuers). A value is its text
 * within the document, without blanks around it. Pure. */
#pragma once

#include "base/json_read.h"

/** Members of all objects that are open at one place of the document, together. */
#define KS_JSON_MEMBERS_MAX 256
/** Values within values. */
#define KS_JSON_DEPTH_MAX 16
/** Bytes of the names among them that are written with escapes. */
#define KS_JSON_ESCAPED_MAX 1024

/** True if `text` is one JSON value (RFC 8259) and nothing else: UTF-8, nested KS_JSON_DEPTH_MAX deep at most, no
 * object with two members of one name (escapes undone: "a" and "\u0061" are one), and within the two limits above. What
 * is said below of documents holds for those alone for which this was true. Time: length of the text, and for each
 * object the square of its members. */
KS_MUST_USE bool ks_json_check(struct ks_str text);

/** What a value is: { [ " 0 (any number) t f n; 0 for the empty text. */
char ks_json_kind(struct ks_str value);

/** The value of the member `name` of the object `object`, borrowed. False (untouched) where `object` is no object or
 * has no such member. A member that is null is a member. */
KS_MUST_USE bool ks_json_member(struct ks_str object, struct ks_str name, struct ks_str *ret_value);

/** The string that `value` is: borrowed, or written to `to` where it has escapes. False (untouched, but `to` may have
 * grown) where it is no string, or has escapes and does not fit. May hold any character, NUL too. */
KS_MUST_USE bool ks_json_string(struct ks_str value, struct ks_buf *to, struct ks_str *ret_text);

/** True if `value` is a string and that string equals `text`. */
KS_MUST_USE bool ks_json_string_is(struct ks_str value, struct ks_str text);
