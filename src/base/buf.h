/* SPDX-License-Identifier: Apache-2.0 */
/** A bounded writing buffer over storage of the caller's. Writing past the end sets `overflow` and writes nothing more;
 * ask once with ks_buf_ok(). The content is not terminated (ks_buf_z does that). */
#pragma once

#include "base/str.h"

struct ks_buf {
	char *p;
	size_t n;
	size_t cap;
	bool overflow;
};

#define KS_BUF(array) ((struct ks_buf){(array), 0, sizeof(array), false})

static inline struct ks_buf ks_buf_of(char *p, size_t cap)
{
	return (struct ks_buf){p, 0, cap, false};
}

static inline struct ks_str ks_buf_str(const struct ks_buf *b)
{
	return (struct ks_str){b->p, b->n};
}

static inline bool ks_buf_ok(const struct ks_buf *b)
{
	return !b->overflow;
}

void ks_buf_put(struct ks_buf *b, struct ks_str s);
void ks_buf_put_c(struct ks_buf *b, const char *z);
void ks_buf_put_byte(struct ks_buf *b, char c);
void ks_buf_put_u64(struct ks_buf *b, uint64_t value);
void ks_buf_put_i64(struct ks_buf *b, int64_t value);
/** Lower-case hexadecimal of `n` bytes. */
void ks_buf_put_hex(struct ks_buf *b, const void *bytes, size_t n);
/** As printf; needs room for one byte more than it writes. */
void ks_buf_printf(struct ks_buf *b, const char *fmt, ...) KS_PRINTF(2, 3);
/** A JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void ks_buf_put_json(struct ks_buf *b, struct ks_str s);

/** Terminates the content and returns it; the empty string after an overflow. */
const char *ks_buf_z(struct ks_buf *b);
