/* SPDX-License-Identifier: Apache-2.0 */
/** HMAC with SHA-2. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KS_HMAC_MAX 64

enum ks_hmac { KS_HMAC_SHA256, KS_HMAC_SHA384, KS_HMAC_SHA512, KS_HMAC_COUNT };

/** HMAC (RFC 2104, FIPS 198-1) of `message` under `key` (of any length, secret); *ret_n is 32, 48 or 64. Compare with
 * ks_ct_equal. KS_CRYPTO if the library fails. Any thread. */
KS_MUST_USE enum ks_err ks_hmac(enum ks_hmac digest, struct ks_str key, struct ks_str message,
				unsigned char ret_mac[KS_HMAC_MAX], size_t *ret_n);
