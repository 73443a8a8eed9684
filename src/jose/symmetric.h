/* SPDX-License-Identifier: Apache-2.0 */
/** Tokens authenticated by a shared secret (HS256, HS384, HS512: RFC 7518, 3.2), apart from all others: what is parsed
 * here is of another type than what a public key checks, and the other way round, so that a public key can never serve
 * as a secret. No decision uses it; it is for protocols in which both ends share a secret. */
#pragma once

#include "jose/jws.h"

#define KS_JOSE_SECRET_MAX 1024

struct ks_jws_symmetric {
	enum ks_hmac digest;
	struct ks_jws jws;      /* its `alg` means nothing */
};

/** As ks_jws_parse, for the symmetric algorithms alone; any other is KS_JOSE_ALG_UNKNOWN (or ALG_NONE). */
KS_MUST_USE enum ks_jose_problem ks_jws_symmetric_parse(struct ks_str token, struct ks_jws_symmetric *ret_jws);

/** Checks the whole code, in constant time, under `secret`, which has at least as many bytes as the digest (RFC 7518,
 * 3.2), else KS_JOSE_KEY_VALUE. KS_JOSE_SIGNATURE: of another size or value. */
KS_MUST_USE enum ks_jose_problem ks_jws_symmetric_verify(const struct ks_jws_symmetric *jws, struct ks_str secret);

/** The secret of a key of type "oct" (RFC 7518, 6.4), at most KS_JOSE_SECRET_MAX bytes. `json` is the caller's to wipe.
 */
KS_MUST_USE enum ks_jose_problem ks_jwk_symmetric_parse(struct ks_str json, struct ks_secret *ret_secret);
