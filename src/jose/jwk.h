/* SPDX-License-Identifier: Apache-2.0 */
/** Public keys: JSON Web Keys and sets of them (RFC 7517, 7518 section 6, 8037), ready to check signatures. Keys and
 * sets are immutable once made: any number of threads use one at once without a lock; whoever frees one sees to it that
 * nobody still uses it. Pure. */
#pragma once

#include "base/buf.h"
#include "jose/jws.h"

#define KS_JWK_MAX ((size_t)16 << 10)        /* bytes of one key as JSON */
#define KS_JWK_SET_MAX ((size_t)256 << 10)   /* bytes of a set as JSON */
#define KS_JWK_SET_KEYS_MAX 64               /* entries of a set, those passed over among them */
#define KS_JOSE_THUMBPRINT_LEN 43

struct ks_jose_key;

/** Reads one key: kty EC (P-256, P-384, P-521), OKP (Ed25519) or RSA (2048 to 8192 bits). `use` must be "sig" and
 * key_ops hold "verify" where they are given; `alg` narrows what the key is for. KS_JOSE_OK, or why not: KEY_TOO_LARGE,
 * KEY_JSON, KEY_TYPE, KEY_USE, KEY_PRIVATE (d, p, q, dp, dq, qi, oth, k or priv is there), KEY_MEMBER, KEY_VALUE,
 * MEMORY, LIBRARY. The key is the caller's to free. */
KS_MUST_USE enum ks_jose_problem ks_jwk_parse(struct ks_str json, struct ks_jose_key **ret_key);

/** A key made of a public key of crypto/sign.h, for all algorithms of its form, without kid. Takes over `public_key`
 * where it returns KS_JOSE_OK, and only then. MEMORY, LIBRARY. */
KS_MUST_USE enum ks_jose_problem ks_jose_key_of(struct ks_public_key *public_key, struct ks_jose_key **ret_key);

void ks_jose_key_free(struct ks_jose_key *key);
/** For KS_AUTO. */
static inline void ks_jose_key_free_at(struct ks_jose_key **key)
{
	ks_jose_key_free(*key);
}

/** Empty where none was given. */
struct ks_str ks_jose_key_kid(const struct ks_jose_key *key);
/** The SHA-256 thumbprint (RFC 7638) in base64url, 43 characters. */
struct ks_str ks_jose_key_thumbprint(const struct ks_jose_key *key);
/** True if the key is for `alg`. */
bool ks_jose_key_is_for(const struct ks_jose_key *key, enum ks_sign_alg alg);
/** The key within, borrowed. */
const struct ks_public_key *ks_jose_key_public(const struct ks_jose_key *key);

/** Writes the key as a JWK: kty, crv, the numbers, kid where it has one, "use":"sig", alg where it is for one alone. At
 * most 2 KiB but for the largest RSA keys. */
void ks_jose_key_write(const struct ks_jose_key *key, struct ks_buf *out);

/** Checks the signature of a token. KS_JOSE_OK: made by this key. ALG_OTHER: the key is not for the token's algorithm
 * (nothing was computed). SIGNATURE. MEMORY, LIBRARY: could not be told; treat as refused. Any thread, the context is
 * the call's own. */
KS_MUST_USE enum ks_jose_problem ks_jose_verify(const struct ks_jose_key *key, const struct ks_jws *jws);

/** An issuer's keys. */
struct ks_jwk_set;

/** Reads {"keys": […]}. Keys that are not for us (another type, use, algorithm or size; a member missing or wrong) are
 * passed over (RFC 7517, 5). The whole set is refused where it is not strict JSON or too large, where an entry holds a
 * secret (KEY_PRIVATE), and where two different keys have one kid and could both be meant (KEY_TWICE); the same key a
 * second time is passed over. A set without a usable key is a set. The set is the caller's to free. */
KS_MUST_USE enum ks_jose_problem ks_jwk_set_parse(struct ks_str json, struct ks_jwk_set **ret_set);

void ks_jwk_set_free(struct ks_jwk_set *set);
/** For KS_AUTO. */
static inline void ks_jwk_set_free_at(struct ks_jwk_set **set)
{
	ks_jwk_set_free(*set);
}

/** How many keys are usable; key number `index` of them. */
size_t ks_jwk_set_count(const struct ks_jwk_set *set);
const struct ks_jose_key *ks_jwk_set_at(const struct ks_jwk_set *set, size_t index);
/** How many were passed over, and why the first of them (KS_JOSE_OK: none); for the log. */
size_t ks_jwk_set_passed_over(const struct ks_jwk_set *set, enum ks_jose_problem *ret_why);

/** The key that the token means: the one of its kid and algorithm, or, where it names no kid, the only one for its
 * algorithm. KEY_UNKNOWN: none (fetch the set anew, at a bounded rate); KEY_AMBIGUOUS: no kid, and more than one.
 * Borrowed from the set. At most 64 comparisons. */
KS_MUST_USE enum ks_jose_problem ks_jwk_set_find(const struct ks_jwk_set *set, const struct ks_jws *jws,
						 const struct ks_jose_key **ret_key);
