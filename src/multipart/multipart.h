/* SPDX-License-Identifier: Apache-2.0 */
/** Bodies of HTML forms with files in them: multipart/form-data (RFC 7578, in the form of RFC 2046 section 5.1.1), as
 * browsers and curl write it. Pure; any thread. */
#pragma once

#include "base/str.h"

#define KS_MULTIPART_PARTS_MAX 16
#define KS_MULTIPART_BOUNDARY_MAX 70  /* RFC 2046 section 5.1.1 */
#define KS_MULTIPART_HEAD_MAX 2048    /* bytes of one part's headers */
#define KS_MULTIPART_NAME_MAX 128

/** One part. Borrowed from the body. */
struct ks_multipart_part {
	struct ks_str name;   /* 1 to KS_MULTIPART_NAME_MAX bytes, no control, no quote */
	bool is_file;         /* it came with a file name, which may be empty: nothing was chosen */
	struct ks_str value;  /* any bytes */
};

/** The boundary of a Content-Type, borrowed. False: another media type, no boundary, two of them, or one with a
 * character that RFC 2046 does not have. */
KS_MUST_USE bool ks_multipart_boundary(struct ks_str content_type, struct ks_str *ret_boundary);

/** Reads a whole body into `ret_parts` (room for KS_MULTIPART_PARTS_MAX). False, and nothing is written to
 * *ret_count, for what is not of the form or could be read two ways: text before the first or behind the last
 * delimiter, a delimiter that goes on, a part without Content-Disposition or with two, parameters twice, a transfer
 * encoding, a bare CR or LF in a header, more parts or longer headers than the limits. */
KS_MUST_USE bool ks_multipart_read(struct ks_str body, struct ks_str boundary,
				   struct ks_multipart_part ret_parts[KS_MULTIPART_PARTS_MAX], size_t *ret_count);

/** The one part of this name; *ret_part is NULL where there is none. False: there are several. */
KS_MUST_USE bool ks_multipart_find(const struct ks_multipart_part *parts, size_t count, struct ks_str name,
				   const struct ks_multipart_part **ret_part);
