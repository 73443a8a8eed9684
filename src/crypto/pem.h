/* SPDX-License-Identifier: Apache-2.0 */
/** PEM (RFC 7468): the bytes within the first block of a label. Pure; strict about the base64, not about what stands
 * before and after the block. */
#pragma once

#include "base/secret.h"
#include "base/str.h"
#include "crypto/sign.h"

#define KS_PEM_MAX ((size_t)64 << 10) /* bytes of text */

/** The bytes of the first block that is labelled `label` ("PRIVATE KEY", "CERTIFICATE"), in a secret that is the
 * caller's to free. KS_NOT_FOUND: no such block; KS_MALFORMED: not closed, or no base64; KS_TOO_LARGE, KS_MEMORY. */
KS_MUST_USE enum ks_err ks_pem_decode(struct ks_str text, struct ks_str label, struct ks_secret *ret_der);

/** A private key that is not encrypted, of PKCS #8 ("PRIVATE KEY"): P-256, Ed25519, or RSA of 2048 to 8192 bits, which no
 * token of ours is signed with but which others' services want. KS_NOT_FOUND, KS_MALFORMED, KS_TOO_LARGE, KS_MEMORY,
 * KS_CRYPTO. `text` stays the caller's to wipe. */
KS_MUST_USE enum ks_err ks_private_key_pem(struct ks_str text, struct ks_private_key **ret_key);
