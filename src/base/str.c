/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"

static unsigned char ascii_lower(unsigned char c)
{
	return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

bool ks_str_eq(struct ks_str a, struct ks_str b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool ks_str_eq_nocase(struct ks_str a, struct ks_str b)
{
	if (a.n != b.n)
		return false;
	if (a.n == 0 || memcmp(a.p, b.p, a.n) == 0)
		return true;
	for (size_t i = 0; i < a.n; i++)
		if (ascii_lower((unsigned char)a.p[i]) != ascii_lower((unsigned char)b.p[i]))
			return false;
	return true;
}

bool ks_str_starts(struct ks_str s, struct ks_str prefix)
{
	return s.n >= prefix.n && ks_str_eq(ks_str_of(s.p, prefix.n), prefix);
}

int ks_str_order(struct ks_str a, struct ks_str b)
{
	size_t n = KS_MIN(a.n, b.n);
	int order = n ? memcmp(a.p, b.p, n) : 0;

	if (order)
		return order;
	return (a.n > b.n) - (a.n < b.n);
}

struct ks_str ks_str_sub(struct ks_str s, size_t from, size_t n)
{
	if (from >= s.n)
		return ks_str_of(s.n ? &s.p[s.n] : s.p, 0);
	return ks_str_of(&s.p[from], KS_MIN(n, s.n - from));
}

size_t ks_str_find(struct ks_str s, char c)
{
	const char *at = s.n ? memchr(s.p, c, s.n) : NULL;

	return at ? (size_t)(at - s.p) : SIZE_MAX;
}

bool ks_str_split(struct ks_str s, char c, struct ks_str *ret_head, struct ks_str *ret_tail)
{
	size_t at = ks_str_find(s, c);

	if (at == SIZE_MAX)
		return false;
	*ret_head = ks_str_sub(s, 0, at);
	*ret_tail = ks_str_sub(s, at + 1, SIZE_MAX);
	return true;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct ks_str ks_str_trim(struct ks_str s)
{
	size_t from = 0, to = s.n;

	while (from < to && is_blank(s.p[from]))
		from++;
	while (to > from && is_blank(s.p[to - 1]))
		to--;
	return ks_str_sub(s, from, to - from);
}

bool ks_str_to_u64(struct ks_str s, uint64_t max, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (s.n == 0 || s.n > 20)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';

		if (digit > 9 || __builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)digit, &value))
			return false;
	}
	if (value > max)
		return false;
	*ret_value = value;
	return true;
}

static bool is_tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

size_t ks_str_utf8_len(struct ks_str s)
{
	/* The second byte alone decides over overlong forms, surrogates and what lies beyond U+10FFFF. */
	unsigned char low = 0x80, high = 0xbf;
	unsigned char lead;
	size_t n;

	if (s.n == 0)
		return 0;
	lead = (unsigned char)s.p[0];
	if (lead < 0x80)
		return 1;
	if (lead < 0xc2 || lead > 0xf4)
		return 0;
	n = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
	if (s.n < n)
		return 0;
	if (lead == 0xe0)
		low = 0xa0;
	else if (lead == 0xed)
		high = 0x9f;
	else if (lead == 0xf0)
		low = 0x90;
	else if (lead == 0xf4)
		high = 0x8f;
	if ((unsigned char)s.p[1] < low || (unsigned char)s.p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (!is_tail((unsigned char)s.p[i]))
			return 0;
	return n;
}

bool ks_str_is_utf8(struct ks_str s)
{
	size_t at = 0;

	while (at < s.n) {
		uint64_t word;
		size_t n;

		if (s.n - at >= sizeof(word)) {
			memcpy(&word, &s.p[at], sizeof(word));
			if (!(word & UINT64_C(0x8080808080808080))) {
				at += sizeof(word);
				continue;
			}
		}
		n = ks_str_utf8_len(ks_str_of(&s.p[at], s.n - at));
		if (n == 0)
			return false;
		at += n;
	}
	return true;
}

bool ks_str_has_control(struct ks_str s)
{
	bool found = false;

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		found |= c < 0x20 || c == 0x7f;
	}
	return found;
}

int ks_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}
