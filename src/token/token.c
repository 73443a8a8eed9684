/* SPDX-License-Identifier: Apache-2.0 */
#include "token/token.h"

#include "base/hash.h"
#include "base/secret.h"

#define WORD_MAX 16
#define HEX_DIGITS ((size_t)(2 * KS_TOKEN_RANDOM_BYTES))
#define CHECKSUM_DIGITS ((size_t)8)

/* Branches on a token depend on which class its bytes are of, never on their values: a form is no secret. */

static bool is_lower(unsigned char c)
{
	return (unsigned char)(c - 'a') < 26;
}

static bool is_digit(unsigned char c)
{
	return (unsigned char)(c - '0') < 10;
}

static bool is_base64url(unsigned char c)
{
	return is_digit(c) || is_lower(c | 0x20) || c == '-' || c == '_';
}

/* The alphabet of bearer tokens (RFC 6750, 2.1), where "=" may stand anywhere. */
static bool is_foreign(unsigned char c)
{
	return is_base64url(c) || c == '.' || c == '~' || c == '+' || c == '/' || c == '=';
}

static bool all(struct ks_str s, bool (*in_set)(unsigned char))
{
	for (size_t i = 0; i < s.n; i++)
		if (!in_set((unsigned char)s.p[i]))
			return false;
	return true;
}

/* Without a branch a byte, so that compilers do sixteen at once. */
static inline bool all_lower_hex(const char *p, size_t n)
{
	unsigned char bad = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)p[i];
		unsigned char digit = (unsigned char)(c - '0') < 10, letter = (unsigned char)(c - 'a') < 6;

		bad = (unsigned char)(bad | ((digit | letter) ^ 1));
	}
	return bad == 0;
}

bool ks_token_prefix_ok(struct ks_str prefix)
{
	size_t word = 0;

	if (prefix.n == 0 || prefix.n > KS_TOKEN_PREFIX_MAX || !is_lower((unsigned char)prefix.p[0]))
		return false;
	for (size_t i = 0; i < prefix.n; i++) {
		unsigned char c = (unsigned char)prefix.p[i];

		if (is_lower(c) || is_digit(c))
			word++;
		else if (c == '_' && word > 0)
			word = 0;
		else
			return false;
		if (word > WORD_MAX)
			return false;
	}
	return word > 0;
}

/* The value of eight lower-case hex digits, known to be such. */
static uint32_t checksum_value(struct ks_str digits)
{
	uint32_t value = 0;

	for (size_t i = 0; i < CHECKSUM_DIGITS; i++) {
		unsigned char c = (unsigned char)digits.p[i];

		value = value << 4 | (uint32_t)((c & 15) + (c >> 6) * 9);
	}
	return value;
}

/* `text` as prefix, "_" and 32 hex digits: the prefix's length, or 0. */
static inline size_t prefix_len(struct ks_str text)
{
	size_t at;

	if (text.n < 1 + 1 + HEX_DIGITS || text.n > KS_TOKEN_PREFIX_MAX + 1 + HEX_DIGITS)
		return 0;
	at = text.n - HEX_DIGITS - 1;
	if (text.p[at] != '_' || !all_lower_hex(&text.p[at + 1], HEX_DIGITS) ||
	    !ks_token_prefix_ok(ks_str_of(text.p, at)))
		return 0;
	return at;
}

/* Whether `text` ends like a checksum does. 32 hex digits hold no "_", so that one here can only lead a checksum. */
static inline bool has_checksum(struct ks_str text)
{
	size_t at;

	if (text.n <= CHECKSUM_DIGITS)
		return false;
	at = text.n - CHECKSUM_DIGITS - 1;
	return text.p[at] == '_' && all_lower_hex(&text.p[at + 1], CHECKSUM_DIGITS);
}

static bool is_jwt(struct ks_str text)
{
	struct ks_str header, payload, signature, rest;

	return ks_str_starts(text, KS_STR("eyJ")) && ks_str_split(text, '.', &header, &rest) &&
	       ks_str_split(rest, '.', &payload, &signature) && payload.n > 0 && signature.n > 0 &&
	       all(header, is_base64url) && all(payload, is_base64url) && all(signature, is_base64url);
}

static KS_COLD enum ks_token_form other_form(struct ks_str text)
{
	if (is_jwt(text))
		return KS_TOKEN_JWT;
	if (text.n >= KS_TOKEN_FOREIGN_MIN && text.n <= KS_TOKEN_FOREIGN_MAX && all(text, is_foreign))
		return KS_TOKEN_FOREIGN;
	return KS_TOKEN_NONE;
}

/* The form, and for the own form the prefix's length. */
static inline enum ks_token_form form_of(struct ks_str text, size_t *ret_prefix_len)
{
	bool checksum = has_checksum(text);
	struct ks_str body = checksum ? ks_str_of(text.p, text.n - CHECKSUM_DIGITS - 1) : text;

	*ret_prefix_len = prefix_len(body);
	if (*ret_prefix_len == 0)
		return other_form(text);
	if (checksum && ks_crc32(0, body.p, body.n) != checksum_value(ks_str_sub(text, body.n + 1, CHECKSUM_DIGITS)))
		return KS_TOKEN_NONE;
	return KS_TOKEN_OWN;
}

enum ks_token_form ks_token_form(struct ks_str text)
{
	size_t n;

	return form_of(text, &n);
}

struct ks_str ks_token_prefix(struct ks_str text)
{
	size_t n;

	if (form_of(text, &n) != KS_TOKEN_OWN)
		return KS_STR("");
	return ks_str_of(text.p, n);
}

enum ks_err ks_token_make(struct ks_str prefix, const uint8_t random[KS_TOKEN_RANDOM_BYTES], bool checksum,
			  char ret_text[KS_TOKEN_TEXT_SIZE])
{
	struct ks_buf b = ks_buf_of(ret_text, KS_TOKEN_TEXT_SIZE);

	if (!ks_token_prefix_ok(prefix))
		return KS_MALFORMED;
	ks_buf_put(&b, prefix);
	ks_buf_put_byte(&b, '_');
	ks_buf_put_hex(&b, random, KS_TOKEN_RANDOM_BYTES);
	if (checksum) {
		uint32_t crc = ks_crc32(0, b.p, b.n);

		ks_buf_printf(&b, "_%08x", crc);
	}
	(void)ks_buf_z(&b);
	return KS_OK;
}
