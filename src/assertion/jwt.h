/* SPDX-License-Identifier: Apache-2.0 */
/** What is fixed about the JWTs of our own issuer, for who writes them (engine/issuer.h) and who reads them (verifier.h). Pure. */
#pragma once

#include "crypto/sha256.h"
#include "jose/claims.h"
#include "ring/issuers.h"

/** Types of our own tokens (RFC 8725, 3.11: no token of one type is taken for another's). */
#define KS_JWT_TYPE_SESSION "ks-session+jwt" /* a user's session */
#define KS_JWT_TYPE_ACCESS "at+jwt"          /* exchanged for a key (RFC 9068) */
/** How far clocks may differ: for `nbf` and `iat`. The end of a token is kept exactly. */
#define KS_JWT_LEEWAY_MS INT64_C(60000)
/** Random part of a token of ours: 16 bytes as base64url. */
#define KS_JWT_ID_LEN 22u
/** A digest as base64url. */
#define KS_JWT_REF_LEN 43u

/** Masks a digest, and unmasks it: XOR with SHA-256 (mask || jti). So a token names the slot it stands or falls with, and
 * its holder learns nothing of the digest. `jti` is of 1 to KS_CLAIMS_TEXT_MAX bytes. KS_CRYPTO, KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_jwt_mask(const uint8_t mask[KS_RING_ISSUER_MASK_SIZE], struct ks_str jti,
				    const struct ks_digest *digest, struct ks_digest *ret_digest);
