/* SPDX-License-Identifier: Apache-2.0 */
/** The one reader of request paths: decoded segments, or a refusal. docs/internals/decision.md, step 3. Pure. */
#pragma once

#include "base/str.h"

#define KS_PATH_MAX 2048
#define KS_PATH_SEGMENTS_MAX 64

/** KS_PATH_PROBLEM(name, text): why a path is refused. */
#define KS_PATH_PROBLEMS(X)                                              \
	X(OK, "unambiguous")                                             \
	X(NOT_ABSOLUTE, "does not begin with a slash")                   \
	X(TOO_LONG, "longer than 2048 bytes or 64 segments")             \
	X(FRAGMENT, "has a fragment")                                    \
	X(EMPTY_SEGMENT, "has doubled slashes")                          \
	X(DOT_SEGMENT, "has a dot segment or an encoded dot")            \
	X(ENCODED_SLASH, "has an encoded slash")                         \
	X(BACKSLASH, "has a backslash")                                  \
	X(PARAMETER, "has a semicolon")                                  \
	X(CONTROL, "has a control byte or a blank")                      \
	X(DOUBLE_ENCODING, "is encoded twice")                           \
	X(BAD_ESCAPE, "has a percent sign without two hexadecimal digits") \
	X(BAD_UTF8, "is not UTF-8")

enum ks_path_problem {
#define X(name, text) KS_PATH_##name,
	KS_PATH_PROBLEMS(X)
#undef X
	KS_PATH_PROBLEM_COUNT
};

/** A path taken apart. Segments borrow from the raw text, or from `decoded` where an escape was decoded. */
struct ks_path {
	size_t count; /* "/" has one segment, the empty one */
	struct ks_str segments[KS_PATH_SEGMENTS_MAX];
	char decoded[KS_PATH_MAX];
};

/** Reads `raw` (path and perhaps query), which must outlive `ret_path`. On a refusal `ret_path` is not to be used.
 * Where several problems hold: not absolute is told first, then too many bytes, then the leftmost; what belongs to a
 * whole segment (empty, dots, encoded twice, not UTF-8) counts as standing at its end. Allocates nothing. */
KS_MUST_USE enum ks_path_problem ks_path_read(struct ks_str raw, struct ks_path *ret_path);

/** The text of the table; never NULL, static. */
const char *ks_path_problem_text(enum ks_path_problem problem);

/** 1 to 32 bytes of RFC 9110 token characters. */
bool ks_method_ok(struct ks_str method);
