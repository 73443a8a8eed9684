/* SPDX-License-Identifier: Apache-2.0 */
/** Certificates (RFC 5280): whether one chains to trusted ones at a given time, which names it has, and whether a
 * signature is of its key. Nothing is fetched, no revocation is looked up, no clock is read. Certificates and trust are
 * immutable once made: any number of threads may use one at once; the library allocates in each call. */
#pragma once

#include "base/err.h"
#include "base/str.h"
#include "crypto/hasher.h"

#define KS_X509_PEM_MAX 16384 /* bytes of one certificate as text */
#define KS_X509_CHAIN_MAX 8   /* certificates that are presented */

/** Decodes the one PEM block (RFC 7468) that `text` is, with blanks around it, whose label is `label`: what
 * is not secret, and stands alone (else: pem.h). False if it is of another form, or larger than `cap`. */
KS_MUST_USE bool ks_pem_take(struct ks_str text, struct ks_str label, unsigned char *ret_der, size_t cap,
			       size_t *ret_n);

struct ks_x509;

/** Reads one certificate from PEM text. KS_MALFORMED: it is none. KS_MEMORY. */
KS_MUST_USE enum ks_err ks_x509_read(struct ks_str pem, struct ks_x509 **ret_cert);
void ks_x509_free(struct ks_x509 *cert);

/** SHA-256 of its SubjectPublicKeyInfo, as pins are made of. */
KS_MUST_USE enum ks_err ks_x509_spki_sha256(const struct ks_x509 *cert, unsigned char ret_digest[32]);

/** True if one of its alternative names is exactly `value` of the kind "DNS" (ASCII case disregarded; a wildcard matches
 * itself alone), "URI" or "IP" (text). The common name is never looked at (RFC 9525, 2). */
KS_MUST_USE bool ks_x509_has_name(const struct ks_x509 *cert, struct ks_str kind, struct ks_str value);

/** True if `signature` is the certificate's own RSA key's over a digest (PKCS #1 v1.5); of RSA keys of 2048 to 8192 bits.
 */
KS_MUST_USE bool ks_x509_signed(const struct ks_x509 *cert, enum ks_hasher_alg alg, struct ks_str digest,
				struct ks_str signature);

struct ks_x509_trust;

/** Nobody is trusted yet. KS_MEMORY. */
KS_MUST_USE enum ks_err ks_x509_trust_new(struct ks_x509_trust **ret_trust);
void ks_x509_trust_free(struct ks_x509_trust *trust);
/** Adds a certificate, which stays the caller's. One that signed itself ends a chain; others may stand in one without
 * being presented. */
KS_MUST_USE enum ks_err ks_x509_trust_add(struct ks_x509_trust *trust, const struct ks_x509 *cert);

/** True if chain[0] chains to a trusted root at `now_s` (seconds since 1970), by way of the rest of `chain` (at most
 * KS_X509_CHAIN_MAX with it): signatures, validity, CA, path length and, where `client`, the use as a TLS client
 * (extendedKeyUsage). False also for n == 0, and where the library fails. */
KS_MUST_USE bool ks_x509_chains(const struct ks_x509_trust *trust, struct ks_x509 *const *chain, size_t n, bool client,
				int64_t now_s);
