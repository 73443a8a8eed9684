/* SPDX-License-Identifier: Apache-2.0 */
/** One-time codes by time (RFC 6238): HMAC-SHA-1, six digits, steps of 30 seconds, which is what every authenticator
 * knows. Pure: the time and the random bytes are arguments. */
#pragma once

#include "base/buf.h"
#include "base/err.h"

#define KS_TOTP_SECRET_SIZE 20
#define KS_TOTP_DIGITS 6
#define KS_TOTP_STEP_S 30
#define KS_TOTP_WINDOW 1 /* steps before and after that are taken too */

/** The code of a step as six digits, terminated. KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_totp_code(const uint8_t secret[KS_TOTP_SECRET_SIZE], uint64_t step,
				     char ret_code[KS_TOTP_DIGITS + 1]);

/** True if `code` is that of a step within the window around `now_ms` that is later than `last_step`: *ret_step is to
 * be remembered as taken. Every step of the window is computed and compared in constant time. */
KS_MUST_USE bool ks_totp_check(const uint8_t secret[KS_TOTP_SECRET_SIZE], struct ks_str code, int64_t now_ms,
			       uint64_t last_step, uint64_t *ret_step);

/** Base32 (RFC 4648, 6) in upper case without padding. */
void ks_base32_put(struct ks_buf *to, const uint8_t *bytes, size_t n);

/** The otpauth URL that authenticators read (Key Uri Format): issuer and account are escaped. */
void ks_totp_put_url(struct ks_buf *to, const uint8_t secret[KS_TOTP_SECRET_SIZE], struct ks_str issuer,
		     struct ks_str account);

/* ---- recovery codes ---- */

#define KS_RECOVERY_CODES 10
#define KS_RECOVERY_RANDOM 10 /* bytes of a code: 80 bits */
/** Four groups of four, with dashes, terminated. */
#define KS_RECOVERY_TEXT_SIZE 20

/** "ABCD-EFGH-IJKL-MNOP". */
void ks_recovery_format(const uint8_t random[KS_RECOVERY_RANDOM], char ret_text[KS_RECOVERY_TEXT_SIZE]);

/** A code as somebody typed it, in the spelling of ks_recovery_format; false if it is none. Case, dashes and blanks do
 * not matter. */
KS_MUST_USE bool ks_recovery_read(struct ks_str typed, char ret_text[KS_RECOVERY_TEXT_SIZE]);
