/* SPDX-License-Identifier: Apache-2.0 */
/** Keys that sign tokens of ours: ES256 and EdDSA. A signer is immutable: any number of threads may sign with one at
 * once. The kid of a signer's key is its thumbprint. Randomness is the crypto library's. */
#pragma once

#include "jose/jwk.h"

struct ks_jose_signer;

/** A fresh key for `alg`, KS_SIGN_ALG_ES256 or KS_SIGN_ALG_EDDSA. KEY_TYPE: another. MEMORY, LIBRARY. */
KS_MUST_USE enum ks_jose_problem ks_jose_signer_new(enum ks_sign_alg alg, struct ks_jose_signer **ret_signer);

/** From PKCS #8 in DER, as ks_jose_signer_save gives it; the key says which algorithm. `der` is the caller's to wipe.
 * KEY_VALUE: no such key. MEMORY, LIBRARY. */
KS_MUST_USE enum ks_jose_problem ks_jose_signer_load(struct ks_str der, struct ks_jose_signer **ret_signer);

/** The private key as PKCS #8 in DER, to be sealed before it is stored; the caller frees the secret. */
KS_MUST_USE enum ks_jose_problem ks_jose_signer_save(const struct ks_jose_signer *signer, struct ks_secret *ret_der);

/** Wipes and frees; safe on NULL. */
void ks_jose_signer_free(struct ks_jose_signer *signer);
/** For KS_AUTO. */
static inline void ks_jose_signer_free_at(struct ks_jose_signer **signer)
{
	ks_jose_signer_free(*signer);
}

enum ks_sign_alg ks_jose_signer_alg(const struct ks_jose_signer *signer);
/** The public half, borrowed: what goes into our JWKS (ks_jose_key_write) and checks our own tokens. */
const struct ks_jose_key *ks_jose_signer_key(const struct ks_jose_signer *signer);

/** Writes a compact token: header {"alg", "typ", "kid"} (no typ where it is empty) and `payload` as it is. `typ` is of
 * ours, at most KS_JWS_TYPE_MAX bytes, plain ASCII. KS_JOSE_OK; PAYLOAD_TOO_LARGE, TOKEN_TOO_LARGE (also where `out`
 * has no room); MEMORY, LIBRARY. On failure what `out` holds is worthless. The token is a credential: the caller wipes
 * `out`. */
KS_MUST_USE enum ks_jose_problem ks_jose_sign(const struct ks_jose_signer *signer, struct ks_str typ,
					      struct ks_str payload, struct ks_buf *out);
