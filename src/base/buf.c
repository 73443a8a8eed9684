/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>

#define U64_DIGITS 20

/* Room for `n` more bytes, taken; NULL (and the overflow noted) where there is none. */
static char *reserve(struct ks_buf *b, size_t n)
{
	char *at;

	if (b->overflow || n > b->cap - b->n) {
		b->overflow = true;
		return NULL;
	}
	at = &b->p[b->n];
	b->n += n;
	return at;
}

void ks_buf_put(struct ks_buf *b, struct ks_str s)
{
	char *at;

	if (s.n == 0)
		return;
	at = reserve(b, s.n);
	if (at)
		memcpy(at, s.p, s.n);
}

void ks_buf_put_c(struct ks_buf *b, const char *z)
{
	ks_buf_put(b, ks_str_c(z));
}

void ks_buf_put_byte(struct ks_buf *b, char c)
{
	char *at = reserve(b, 1);

	if (at)
		*at = c;
}

void ks_buf_put_u64(struct ks_buf *b, uint64_t value)
{
	char digits[U64_DIGITS];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	ks_buf_put(b, ks_str_of(&digits[at], sizeof(digits) - at));
}

void ks_buf_put_i64(struct ks_buf *b, int64_t value)
{
	if (value >= 0) {
		ks_buf_put_u64(b, (uint64_t)value);
		return;
	}
	/* In whole or not at all: "-" alone would be worse than nothing. */
	size_t before = b->n;

	ks_buf_put_byte(b, '-');
	ks_buf_put_u64(b, 0 - (uint64_t)value);
	if (b->overflow)
		b->n = before;
}

void ks_buf_put_hex(struct ks_buf *b, const void *bytes, size_t n)
{
	const unsigned char *from = bytes;
	char *at;

	if (n == 0)
		return;
	if (n > SIZE_MAX / 2) {
		b->overflow = true;
		return;
	}
	at = reserve(b, 2 * n);
	if (!at)
		return;
	for (size_t i = 0; i < n; i++) {
		unsigned high = from[i] >> 4, low = from[i] & 15;

		/* No table: the bytes may be a secret's. 39 leads from '9' + 1 to 'a'. */
		at[2 * i] = (char)('0' + high + (((9 - high) >> 8) & 39));
		at[2 * i + 1] = (char)('0' + low + (((9 - low) >> 8) & 39));
	}
}

void ks_buf_printf(struct ks_buf *b, const char *fmt, ...)
{
	size_t room = b->cap - b->n;
	va_list args;
	int n;

	if (b->overflow)
		return;
	va_start(args, fmt);
	n = vsnprintf(room ? &b->p[b->n] : NULL, room, fmt, args);
	va_end(args);
	if (n < 0 || (n > 0 && (size_t)n >= room))
		b->overflow = true;
	else
		b->n += (size_t)n;
}

/* The letter of JSON's two-character escapes; 0 where there is none. */
static const char json_escapes[256] = {
	['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't',
};

static bool json_plain(unsigned char c)
{
	return c >= 0x20 && c < 0x80 && !json_escapes[c];
}

/* Writes the sequence at the beginning of `rest`, which is not plain; returns its length. */
static size_t put_json_special(struct ks_buf *b, struct ks_str rest)
{
	unsigned char c = (unsigned char)rest.p[0];
	size_t n = ks_str_utf8_len(rest);

	if (json_escapes[c]) {
		ks_buf_put_byte(b, '\\');
		ks_buf_put_byte(b, json_escapes[c]);
	} else if (c < 0x20) {
		ks_buf_put(b, KS_STR("\\u00"));
		ks_buf_put_hex(b, &c, 1);
	} else if (n == 0) {
		ks_buf_put(b, KS_STR("\xef\xbf\xbd"));
		return 1;
	} else {
		ks_buf_put(b, ks_str_sub(rest, 0, n));
	}
	return n;
}

void ks_buf_put_json(struct ks_buf *b, struct ks_str s)
{
	size_t at = 0;

	ks_buf_put_byte(b, '"');
	while (at < s.n && !b->overflow) {
		size_t plain = at;

		while (plain < s.n && json_plain((unsigned char)s.p[plain]))
			plain++;
		ks_buf_put(b, ks_str_sub(s, at, plain - at));
		at = plain;
		if (at < s.n)
			at += put_json_special(b, ks_str_sub(s, at, SIZE_MAX));
	}
	ks_buf_put_byte(b, '"');
}

const char *ks_buf_z(struct ks_buf *b)
{
	if (b->overflow || b->n >= b->cap) {
		b->overflow = true;
		return "";
	}
	b->p[b->n] = '\0';
	return b->p;
}
