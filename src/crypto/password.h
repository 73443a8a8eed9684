/* SPDX-License-Identifier: Apache-2.0 */
/** Hashes of passwords: Argon2id (RFC 9106) through libsodium, as text with salt and costs. Slow on purpose, and large:
 * never on a thread that others wait for. */
#pragma once

#include "base/err.h"
#include "base/str.h"

/** How much a hash costs. X(name, text, MiB). */
#define KS_PASSWORD_COSTS(X)               \
	X(INTERACTIVE, "interactive", 64)  \
	X(MODERATE, "moderate", 256)

enum ks_password_cost {
#define X(name, text, mib) KS_PASSWORD_COST_##name,
	KS_PASSWORD_COSTS(X)
#undef X
	KS_PASSWORD_COST_COUNT
};

KS_MUST_USE bool ks_password_cost_parse(struct ks_str text, enum ks_password_cost *ret_cost);

#define KS_PASSWORD_HASH_SIZE 128 /* text, terminated */

/** Hashes with a fresh salt. KS_MEMORY: not enough of it at the moment; KS_CRYPTO: no random numbers. */
KS_MUST_USE enum ks_err ks_password_hash(struct ks_str password, enum ks_password_cost cost,
					 char ret_hash[KS_PASSWORD_HASH_SIZE]);

/** KS_OK: it is that password. KS_FORBIDDEN: it is not, or there was no memory to find out. `hash` empty: nobody's
 * password; the same work is done at `cost`, and the answer is KS_FORBIDDEN. */
KS_MUST_USE enum ks_err ks_password_verify(struct ks_str hash, struct ks_str password, enum ks_password_cost cost);

/** True if what stands for nobody's password at this cost is a hash of exactly this cost. */
bool ks_password_nobody_is_a_hash(enum ks_password_cost cost);

#define KS_PASSWORD_SALT_SIZE 16

/** A key of `n` bytes (16 to 64) from a passphrase by Argon2id v1.3 at the moderate cost (3 passes, 256 MiB), always the same
 * for the same salt. KS_MEMORY; KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_password_key(struct ks_str passphrase, const uint8_t salt[KS_PASSWORD_SALT_SIZE],
					uint8_t *ret_key, size_t n);
