/* SPDX-License-Identifier: Apache-2.0 */
#include "login/totp.h"

#include "base/ctenc.h"
#include "base/secret.h"
#include "crypto/hmac_sha1.h"

#define GROUP 4
#define RECOVERY_CHARS 16

static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/* RFC 4226, 5.3. */
enum ks_err ks_totp_code(const uint8_t secret[KS_TOTP_SECRET_SIZE], uint64_t step, char ret_code[KS_TOTP_DIGITS + 1])
{
	uint8_t counter[8], mac[KS_SHA1_SIZE];
	uint32_t number;
	unsigned at;

	for (size_t i = 0; i < sizeof(counter); i++)
		counter[i] = (uint8_t)(step >> (56 - 8 * i));
	KS_TRY(ks_hmac_sha1(ks_str_of((const char *)secret, KS_TOTP_SECRET_SIZE),
			    ks_str_of((const char *)counter, sizeof(counter)), mac));
	at = mac[KS_SHA1_SIZE - 1] & 15;
	number = (uint32_t)(mac[at] & 0x7f) << 24 | (uint32_t)mac[at + 1] << 16 | (uint32_t)mac[at + 2] << 8
		 | mac[at + 3];
	for (size_t i = KS_TOTP_DIGITS; i > 0; i--, number /= 10)
		ret_code[i - 1] = (char)('0' + number % 10);
	ret_code[KS_TOTP_DIGITS] = '\0';
	ks_wipe(mac, sizeof(mac));
	return KS_OK;
}

bool ks_totp_check(const uint8_t secret[KS_TOTP_SECRET_SIZE], struct ks_str code, int64_t now_ms, uint64_t last_step,
		   uint64_t *ret_step)
{
	uint64_t now = (uint64_t)KS_MAX(now_ms, 0) / 1000 / KS_TOTP_STEP_S;
	char expected[KS_TOTP_DIGITS + 1];
	bool found = false;

	if (code.n != KS_TOTP_DIGITS)
		return false;
	for (uint64_t step = now > KS_TOTP_WINDOW ? now - KS_TOTP_WINDOW : 1; step <= now + KS_TOTP_WINDOW; step++) {
		bool same = ks_totp_code(secret, step, expected) == KS_OK
			    && ks_ct_equal(code.p, expected, KS_TOTP_DIGITS);

		if (same && step > last_step && !found) {
			found = true;
			*ret_step = step;
		}
	}
	ks_wipe(expected, sizeof(expected));
	return found;
}

void ks_base32_put(struct ks_buf *to, const uint8_t *bytes, size_t n)
{
	uint32_t bits = 0;
	unsigned have = 0;

	for (size_t i = 0; i < n; i++) {
		bits = bits << 8 | bytes[i];
		for (have += 8; have >= 5; have -= 5)
			ks_buf_put_byte(to, base32[bits >> (have - 5) & 31]);
	}
	if (have > 0)
		ks_buf_put_byte(to, base32[bits << (5 - have) & 31]);
}

static bool is_unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
	       || ks_str_find(KS_STR("-._~"), c) != SIZE_MAX;
}

static void put_escaped(struct ks_buf *to, struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (is_unreserved(text.p[i]))
			ks_buf_put_byte(to, text.p[i]);
		else
			ks_buf_printf(to, "%%%02X", (unsigned char)text.p[i]);
	}
}

void ks_totp_put_url(struct ks_buf *to, const uint8_t secret[KS_TOTP_SECRET_SIZE], struct ks_str issuer,
		     struct ks_str account)
{
	ks_buf_put_c(to, "otpauth://totp/");
	put_escaped(to, issuer);
	ks_buf_put_c(to, "%3A");
	put_escaped(to, account);
	ks_buf_put_c(to, "?secret=");
	ks_base32_put(to, secret, KS_TOTP_SECRET_SIZE);
	ks_buf_put_c(to, "&issuer=");
	put_escaped(to, issuer);
	ks_buf_printf(to, "&algorithm=SHA1&digits=%d&period=%d", KS_TOTP_DIGITS, KS_TOTP_STEP_S);
}

/* ---- recovery codes ---- */

void ks_recovery_format(const uint8_t random[KS_RECOVERY_RANDOM], char ret_text[KS_RECOVERY_TEXT_SIZE])
{
	char chars[RECOVERY_CHARS + 1];
	struct ks_buf b = KS_BUF(chars);

	ret_text[0] = '\0';
	ks_base32_put(&b, random, KS_RECOVERY_RANDOM);
	if (!ks_recovery_read(ks_buf_str(&b), ret_text))
		ret_text[0] = '\0';
	ks_wipe(chars, sizeof(chars));
}

bool ks_recovery_read(struct ks_str typed, char ret_text[KS_RECOVERY_TEXT_SIZE])
{
	size_t n = 0;

	for (size_t i = 0; i < typed.n; i++) {
		char c = typed.p[i] >= 'a' && typed.p[i] <= 'z' ? (char)(typed.p[i] - 'a' + 'A') : typed.p[i];

		if (c == '-' || c == ' ')
			continue;
		if (n == RECOVERY_CHARS || c == '\0' || ks_str_find(ks_str_c(base32), c) == SIZE_MAX)
			return false;
		/* A dash before each group but the first. */
		if (n > 0 && n % GROUP == 0)
			ret_text[n + n / GROUP - 1] = '-';
		ret_text[n + n / GROUP] = c;
		n++;
	}
	if (n != RECOVERY_CHARS)
		return false;
	ret_text[KS_RECOVERY_TEXT_SIZE - 1] = '\0';
	return true;
}
