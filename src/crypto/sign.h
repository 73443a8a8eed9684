/* SPDX-License-Identifier: Apache-2.0 */
/** Signatures by asymmetric keys: ECDSA, Ed25519, RSA. A key is of one form, and an algorithm names the form it is for,
 * so that a key is never used with another's. Keys are immutable: any number of threads may use one at once, each call
 * has a context of its own; whoever frees a key sees to it that no call still uses it. */
#pragma once

#include "base/err.h"
#include "base/secret.h"
#include "base/str.h"

enum ks_key_form {
#define KS_KEY_FORM(name, group, size) KS_KEY_FORM_##name,
#include "crypto/sign.def"
	KS_KEY_FORM_COUNT
};

enum ks_sign_alg {
#define KS_SIGN_ALG(name, text, form, digest, size, pss) KS_SIGN_ALG_##name,
#include "crypto/sign.def"
	KS_SIGN_ALG_COUNT
};

#define KS_KEY_COORDINATE_MAX 66           /* of P-521 */
#define KS_KEY_RSA_BITS_MIN 2048
#define KS_KEY_RSA_BITS_MAX 8192
#define KS_KEY_RSA_EXPONENT_MAX 4          /* bytes */
#define KS_SIGNATURE_MAX (KS_KEY_RSA_BITS_MAX / 8)
#define KS_PRIVATE_KEY_MAX 4096            /* bytes of PKCS #8 */

/** The registered name ("ES256"); never NULL, static. */
struct ks_str ks_sign_alg_name(enum ks_sign_alg alg);
/** By its registered name, exactly; false for any other, "none" and the symmetric ones among them. */
KS_MUST_USE bool ks_sign_alg_parse(struct ks_str name, enum ks_sign_alg *ret_alg);
/** The form of key that `alg` is for. */
enum ks_key_form ks_sign_alg_form(enum ks_sign_alg alg);

struct ks_public_key;

/** A point of P-256, P-384 or P-521 by its coordinates, big-endian, each of exactly the size of the field (SEC 1,
 * 2.3.5). KS_MALFORMED: another form or size, or not a point of the curve. KS_MEMORY, KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_public_key_ec(enum ks_key_form form, struct ks_str x, struct ks_str y,
					 struct ks_public_key **ret_key);

/** Ed25519, the 32 bytes of RFC 8032, 5.1.5. KS_MALFORMED: of another size. KS_MEMORY, KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_public_key_ed25519(struct ks_str bytes, struct ks_public_key **ret_key);

/** RSA by modulus and exponent, big-endian without leading zeros. KS_MALFORMED: even, leading zero, or the exponent
 * less than 3 or of more than 4 bytes. KS_TOO_LARGE: the modulus not of 2048 to 8192 bits. KS_MEMORY, KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_public_key_rsa(struct ks_str modulus, struct ks_str exponent,
					  struct ks_public_key **ret_key);

/** SubjectPublicKeyInfo in DER (RFC 5280, 4.1) of one of the forms. KS_MALFORMED: anything else, or bytes after it.
 * KS_TOO_LARGE: RSA of a size that is not taken. */
KS_MUST_USE enum ks_err ks_public_key_spki(struct ks_str der, struct ks_public_key **ret_key);

void ks_public_key_free(struct ks_public_key *key);
/** For KS_AUTO. */
static inline void ks_public_key_free_at(struct ks_public_key **key)
{
	ks_public_key_free(*key);
}

enum ks_key_form ks_public_key_form(const struct ks_public_key *key);

/** The numbers that make the key, borrowed: x and y; the key's bytes and nothing; modulus and exponent (big-endian,
 * without leading zeros). */
void ks_public_key_numbers(const struct ks_public_key *key, struct ks_str *ret_first, struct ks_str *ret_second);

/** Checks a signature in the form of RFC 7518 (ECDSA: r and s side by side, each of the size of the field). KS_OK: it
 * is the key's own over `message`. KS_FORBIDDEN: it is not, or `alg` is not for this form of key, or the size is not
 * the one. KS_MEMORY, KS_CRYPTO: could not be told; treat as not. */
KS_MUST_USE enum ks_err ks_public_key_check(const struct ks_public_key *key, enum ks_sign_alg alg,
					    struct ks_str message, struct ks_str signature);

/** The same for ECDSA in DER (SEC 1, C.8), as other protocols than JOSE have it; other forms of key as above. */
KS_MUST_USE enum ks_err ks_public_key_check_der(const struct ks_public_key *key, enum ks_sign_alg alg,
						struct ks_str message, struct ks_str signature);

/** The two above for a message that is digested already, as the algorithm digests it (SHA-2 of its size); `der` tells
 * the form of ECDSA. KS_FORBIDDEN also where the algorithm has a digest of its own (Ed25519). */
KS_MUST_USE enum ks_err ks_public_key_check_digest(const struct ks_public_key *key, enum ks_sign_alg alg, bool der,
						   struct ks_str digest, struct ks_str signature);

struct ks_private_key;

/** A fresh key of P-256 or Ed25519, by the crypto library's generator. KS_MALFORMED for another form. */
KS_MUST_USE enum ks_err ks_private_key_new(enum ks_key_form form, struct ks_private_key **ret_key);

/** A key of P-256 or Ed25519 from PKCS #8 in DER (RFC 5958), at most KS_PRIVATE_KEY_MAX bytes and nothing after it.
 * `der` stays the caller's to wipe. KS_MALFORMED, KS_MEMORY, KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_private_key_load(struct ks_str der, struct ks_private_key **ret_key);

/** PKCS #8 in DER, not encrypted, in a secret that is the caller's to free. */
KS_MUST_USE enum ks_err ks_private_key_save(const struct ks_private_key *key, struct ks_secret *ret_der);

/** Wipes and frees; safe on NULL. The crypto library's copy is wiped by it, but not on locked pages. */
void ks_private_key_free(struct ks_private_key *key);
/** For KS_AUTO. */
static inline void ks_private_key_free_at(struct ks_private_key **key)
{
	ks_private_key_free(*key);
}

/** The public half, a key of its own. */
KS_MUST_USE enum ks_err ks_private_key_public(const struct ks_private_key *key, struct ks_public_key **ret_key);

/** Signs in the form of RFC 7518. KS_FORBIDDEN: `alg` is not for this form of key. *ret_n is 64, for RSA the size of the
 * modulus. KS_MEMORY, KS_CRYPTO.
 */
KS_MUST_USE enum ks_err ks_private_key_sign(const struct ks_private_key *key, enum ks_sign_alg alg,
					    struct ks_str message, unsigned char ret_signature[KS_SIGNATURE_MAX], size_t *ret_n);
