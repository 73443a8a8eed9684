/* SPDX-License-Identifier: Apache-2.0 */
#include "base/cursor.h"

struct ks_cursor ks_cursor_of(struct ks_str text)
{
	return (struct ks_cursor){text.p, text.n ? &text.p[text.n] : text.p, false};
}

size_t ks_cursor_left(const struct ks_cursor *c)
{
	return c->p == c->end ? 0 : (size_t)(c->end - c->p);
}

int ks_cursor_peek(const struct ks_cursor *c)
{
	if (c->failed || c->p == c->end)
		return -1;
	return (unsigned char)*c->p;
}

int ks_cursor_byte(struct ks_cursor *c)
{
	int byte = ks_cursor_peek(c);

	if (byte < 0)
		c->failed = true;
	else
		c->p++;
	return byte;
}

struct ks_str ks_cursor_take(struct ks_cursor *c, size_t n)
{
	struct ks_str taken;

	if (c->failed || n > ks_cursor_left(c)) {
		c->failed = true;
		return KS_STR("");
	}
	taken = ks_str_of(c->p, n);
	if (n)
		c->p += n;
	return taken;
}

void ks_cursor_literal(struct ks_cursor *c, struct ks_str literal)
{
	if (!ks_str_eq(ks_cursor_take(c, literal.n), literal))
		c->failed = true;
}

struct ks_str ks_cursor_run(struct ks_cursor *c, bool (*in_set)(unsigned char), size_t min, size_t max)
{
	size_t most = KS_MIN(max, ks_cursor_left(c));
	size_t n = 0;

	if (c->failed)
		return KS_STR("");
	while (n < most && in_set((unsigned char)c->p[n]))
		n++;
	if (n < min) {
		c->failed = true;
		return KS_STR("");
	}
	return ks_cursor_take(c, n);
}

static bool is_blank(unsigned char c)
{
	return c == ' ' || c == '\t';
}

void ks_cursor_skip_blanks(struct ks_cursor *c)
{
	(void)ks_cursor_run(c, is_blank, 0, SIZE_MAX);
}

static uint64_t take_little_endian(struct ks_cursor *c, size_t n)
{
	struct ks_str bytes = ks_cursor_take(c, n);
	uint64_t value = 0;

	for (size_t i = 0; i < bytes.n; i++)
		value |= (uint64_t)(unsigned char)bytes.p[i] << (8 * i);
	return value;
}

uint8_t ks_cursor_u8(struct ks_cursor *c)
{
	return (uint8_t)take_little_endian(c, 1);
}

uint16_t ks_cursor_u16(struct ks_cursor *c)
{
	return (uint16_t)take_little_endian(c, 2);
}

uint32_t ks_cursor_u32(struct ks_cursor *c)
{
	return (uint32_t)take_little_endian(c, 4);
}

uint64_t ks_cursor_u64(struct ks_cursor *c)
{
	return take_little_endian(c, 8);
}

bool ks_cursor_done(const struct ks_cursor *c)
{
	return !c->failed && ks_cursor_left(c) == 0;
}
