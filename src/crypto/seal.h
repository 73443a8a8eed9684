/* SPDX-License-Identifier: Apache-2.0 */
/** Sealing: AES-256-GCM (NIST SP 800-38D). What is sealed can be read, and read as what it was, only with the key and
 * the same associated data. Any thread; the library allocates. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KS_SEAL_KEY_SIZE 32
#define KS_SEAL_NONCE_SIZE 12
#define KS_SEAL_TAG_SIZE 16
/** Bytes that a sealed text has more than the plain one: version 1, nonce, tag. */
#define KS_SEAL_OVERHEAD (1 + KS_SEAL_NONCE_SIZE + KS_SEAL_TAG_SIZE)
#define KS_SEAL_PLAIN_MAX 65536

/** Writes plain.n + KS_SEAL_OVERHEAD bytes. A nonce must be random (or never be used twice with the key); random ones
 * hold for 2^32 texts a key. KS_TOO_LARGE: beyond KS_SEAL_PLAIN_MAX or `cap`. KS_CRYPTO: the library failed. The output
 * is untouched then. */
KS_MUST_USE enum ks_err ks_seal(const uint8_t key[KS_SEAL_KEY_SIZE], const uint8_t nonce[KS_SEAL_NONCE_SIZE],
				struct ks_str associated, struct ks_str plain, uint8_t *ret_sealed, size_t cap,
				size_t *ret_n);

/** Writes sealed.n - KS_SEAL_OVERHEAD bytes; the caller wipes them. KS_CORRUPT: not sealed with this key and this
 * associated data, or altered since; nothing of what was read is left in `ret_plain` (its first bytes are zero then).
 * KS_TOO_LARGE: beyond `cap`. KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_unseal(const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_str associated, struct ks_str sealed,
				  uint8_t *ret_plain, size_t cap, size_t *ret_n);

/** The same with a context of the library that is made once: sealing and opening then allocate nothing. One thread at a
 * time. */
struct ks_sealer;
/** KS_MEMORY, KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_sealer_new(struct ks_sealer **ret_sealer);
/** Takes NULL. */
void ks_sealer_free(struct ks_sealer **sealer);
/** As ks_seal. */
KS_MUST_USE enum ks_err ks_sealer_seal(struct ks_sealer *sealer, const uint8_t key[KS_SEAL_KEY_SIZE],
				       const uint8_t nonce[KS_SEAL_NONCE_SIZE], struct ks_str associated,
				       struct ks_str plain, uint8_t *ret_sealed, size_t cap, size_t *ret_n);
/** As ks_unseal. */
KS_MUST_USE enum ks_err ks_sealer_unseal(struct ks_sealer *sealer, const uint8_t key[KS_SEAL_KEY_SIZE],
					 struct ks_str associated, struct ks_str sealed, uint8_t *ret_plain, size_t cap,
					 size_t *ret_n);
