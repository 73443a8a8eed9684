/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ctenc.h"

/* Masks are 0 or all ones. A difference of two bytes, as unsigned, has its bit 8 set exactly if it is negative. */

/* All ones if low <= c <= high. */
static unsigned within(unsigned c, unsigned low, unsigned high)
{
	return ((((low - 1) - c) & (c - (high + 1))) >> 8 & 1) * ~0u;
}

static unsigned same(unsigned a, unsigned b)
{
	return within(a, b, b);
}

bool ks_ct_equal(const void *a, const void *b, size_t n)
{
	const volatile unsigned char *x = a;
	const volatile unsigned char *y = b;
	unsigned char difference = 0;

	for (size_t i = 0; i < n; i++)
		difference = (unsigned char)(difference | (x[i] ^ y[i]));
	return difference == 0;
}

bool ks_ct_str_equal(struct ks_str a, struct ks_str b)
{
	bool same_length = a.n == b.n;

	return ks_ct_equal(same_length ? a.p : b.p, b.p, b.n) & same_length;
}

/* The value of a hexadecimal digit; bit 8 set if it is none. */
static unsigned hex_value(unsigned c, unsigned upper_mask)
{
	unsigned digit = within(c, '0', '9');
	unsigned lower = within(c, 'a', 'f');
	unsigned upper = within(c, 'A', 'F') & upper_mask;

	return (digit & (c - '0')) | (lower & (c - 'a' + 10)) | (upper & (c - 'A' + 10)) |
	       (~(digit | lower | upper) & 0x100);
}

bool ks_hex_decode(struct ks_str text, bool upper_ok, unsigned char *ret_bytes, size_t n)
{
	unsigned upper_mask = upper_ok ? ~0u : 0;
	unsigned bad = 0;

	if (n > SIZE_MAX / 2 || text.n != 2 * n)
		return false;
	for (size_t i = 0; i < text.n; i++)
		bad |= hex_value((unsigned char)text.p[i], upper_mask);
	if (bad & 0x100)
		return false;
	for (size_t i = 0; i < n; i++) {
		unsigned high = hex_value((unsigned char)text.p[2 * i], upper_mask);
		unsigned low = hex_value((unsigned char)text.p[2 * i + 1], upper_mask);

		ret_bytes[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

/* The last two digits of the alphabet, by which base64 and base64url differ. */
struct alphabet {
	unsigned char c62;
	unsigned char c63;
};

static const struct alphabet standard = {'+', '/'};
static const struct alphabet url_safe = {'-', '_'};

/* Sixteen bytes at once: a token is decoded for each request that presents one. Comparisons give 0 or all ones. */
typedef uint8_t lanes __attribute__((vector_size(16)));
#define LANES sizeof(lanes)

static lanes lanes_within(lanes c, uint8_t low, uint8_t high)
{
	return (lanes)((c >= low) & (c <= high));
}

/* The values of base64 digits; 128 where there is none. */
static lanes sextets(struct alphabet alphabet, lanes c)
{
	lanes upper = lanes_within(c, 'A', 'Z');
	lanes lower = lanes_within(c, 'a', 'z');
	lanes digit = lanes_within(c, '0', '9');
	lanes is_62 = lanes_within(c, alphabet.c62, alphabet.c62);
	lanes is_63 = lanes_within(c, alphabet.c63, alphabet.c63);

	return (upper & (c - 'A')) | (lower & (c - ('a' - 26))) | (digit & (c + (52 - '0'))) | (is_62 & 62) |
	       (is_63 & 63) | (~(upper | lower | digit | is_62 | is_63) & 128);
}

/* The values of the digits from `at` on, at most LANES; those beyond the end are 0. */
static lanes sextets_at(struct alphabet alphabet, struct ks_str digits, size_t at)
{
	lanes c;

	if (digits.n - at < LANES)
		memset(&c, 'A', LANES);
	memcpy(&c, &digits.p[at], KS_MIN(digits.n - at, LANES));
	return sextets(alphabet, c);
}

static char sextet_digit(struct alphabet alphabet, unsigned v)
{
	unsigned upper = within(v, 0, 25);
	unsigned lower = within(v, 26, 51);
	unsigned digit = within(v, 52, 61);

	return (char)((upper & (v + 'A')) | (lower & (v - 26 + 'a')) | (digit & (v - 52 + '0')) |
		      (same(v, 62) & alphabet.c62) | (same(v, 63) & alphabet.c63));
}

/* True if every byte is a digit and the bits that the last one does not use are zero (RFC 4648, 3.5). */
static bool base64_valid(struct alphabet alphabet, struct ks_str digits)
{
	unsigned unused = digits.n % 4 == 2 ? 15 : digits.n % 4 == 3 ? 3 : 0;
	lanes all = {0};
	unsigned bad = 0;

	if (digits.n % 4 == 1)
		return false;
	for (size_t at = 0; at < digits.n; at += LANES)
		all |= sextets_at(alphabet, digits, at);
	for (size_t i = 0; i < LANES; i++)
		bad |= all[i] & 128u;
	if (unused)
		bad |= sextets_at(alphabet, digits, digits.n - 1)[0] & unused;
	return bad == 0;
}

/* Decodes digits without padding. */
static bool base64_decode(struct alphabet alphabet, struct ks_str digits, unsigned char *ret_bytes, size_t cap,
			  size_t *ret_n)
{
	size_t length = digits.n / 4 * 3 + (digits.n % 4 ? digits.n % 4 - 1 : 0);

	if (length > cap || !base64_valid(alphabet, digits))
		return false;
	for (size_t at = 0, to = 0; to < length; at += LANES, to += LANES / 4 * 3) {
		lanes v = sextets_at(alphabet, digits, at);
		unsigned char bytes[LANES / 4 * 3];

		for (size_t i = 0; i < LANES / 4; i++) {
			uint32_t bits = (uint32_t)v[4 * i] << 18 | (uint32_t)v[4 * i + 1] << 12 |
					(uint32_t)v[4 * i + 2] << 6 | v[4 * i + 3];

			bytes[3 * i] = (unsigned char)(bits >> 16);
			bytes[3 * i + 1] = (unsigned char)(bits >> 8);
			bytes[3 * i + 2] = (unsigned char)bits;
		}
		memcpy(&ret_bytes[to], bytes, KS_MIN(length - to, sizeof(bytes)));
	}
	*ret_n = length;
	return true;
}

bool ks_base64_decode(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n)
{
	size_t padding = 0;

	if (text.n % 4)
		return false;
	while (padding < 2 && padding < text.n && text.p[text.n - 1 - padding] == '=')
		padding++;
	return base64_decode(standard, ks_str_sub(text, 0, text.n - padding), ret_bytes, cap, ret_n);
}

bool ks_base64url_decode(struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n)
{
	return base64_decode(url_safe, text, ret_bytes, cap, ret_n);
}

static size_t base64_encode(struct alphabet alphabet, bool pad, const unsigned char *bytes, size_t n, char *ret_text,
			    size_t cap)
{
	size_t digits, length, at = 0;
	uint32_t bits = 0;

	if (n > SIZE_MAX / 4 - 2)
		return 0;
	digits = n / 3 * 4 + (n % 3 ? n % 3 + 1 : 0);
	length = pad ? 4 * ((n + 2) / 3) : digits;
	if (length > cap)
		return 0;
	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | bytes[i];
		ret_text[at++] = sextet_digit(alphabet, bits >> (2 + 2 * (i % 3)) & 63);
		if (i % 3 == 2)
			ret_text[at++] = sextet_digit(alphabet, bits & 63);
	}
	if (n % 3)
		ret_text[at++] = sextet_digit(alphabet, bits << (6 - 2 * (n % 3)) & 63);
	while (at < length)
		ret_text[at++] = '=';
	return length;
}

size_t ks_base64_encode(const unsigned char *bytes, size_t n, char *ret_text, size_t cap)
{
	return base64_encode(standard, true, bytes, n, ret_text, cap);
}

size_t ks_base64url_encode(const unsigned char *bytes, size_t n, char *ret_text, size_t cap)
{
	return base64_encode(url_safe, false, bytes, n, ret_text, cap);
}
