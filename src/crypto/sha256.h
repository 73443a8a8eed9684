/* SPDX-License-Identifier: Apache-2.0 */
/** SHA-256. With crypto/random.h the only place of the core that includes headers of the crypto library. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KS_SHA256_SIZE 32

struct ks_digest {
	uint8_t bytes[KS_SHA256_SIZE];
};

/** SHA-256 (FIPS 180-4) of `text`. Any thread; nothing is allocated. KS_CRYPTO (digest zeroed) if the library fails. */
KS_MUST_USE enum ks_err ks_sha256(struct ks_str text, struct ks_digest *ret_digest);

/** The same of `count` texts one after the other. */
KS_MUST_USE enum ks_err ks_sha256_parts(const struct ks_str *parts, size_t count, struct ks_digest *ret_digest);
