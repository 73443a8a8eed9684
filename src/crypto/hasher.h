/* SPDX-License-Identifier: Apache-2.0 */
/** Digests and HMACs (RFC 2104) that are fed piece by piece, and keys of HMACs that are digested once and used often.
 * MD5 and SHA-1 are here because signatures of other people's webhooks are made with them; nothing of ours is.
 * Nothing is allocated. A key is immutable once made: any number of threads may use it; a hasher is one call's own. */
#pragma once

#include "base/err.h"
#include "base/str.h"

#define KS_HASHER_MAX 64 /* bytes of the longest digest */

/** X(name, text, bytes of the digest, bytes of a block). */
#define KS_HASHER_ALGS(X)          \
	X(MD5, md5, 16, 64)        \
	X(SHA1, sha1, 20, 64)      \
	X(SHA256, sha256, 32, 64)  \
	X(SHA384, sha384, 48, 128) \
	X(SHA512, sha512, 64, 128)

enum ks_hasher_alg {
#define X(name, text, size, block) KS_HASHER_##name,
	KS_HASHER_ALGS(X)
#undef X
	KS_HASHER_COUNT
};

/** By its text, exactly; false (untouched) for any other. */
KS_MUST_USE bool ks_hasher_parse(struct ks_str text, enum ks_hasher_alg *ret_alg);
/** Bytes of the digest. */
size_t ks_hasher_size(enum ks_hasher_alg alg);

/** A digest in the making. May hold what a secret was digested into: wipe it after use where it did. */
struct ks_hasher {
	enum ks_hasher_alg alg;
	bool failed;
	uint64_t state[27]; /* the crypto library's own; see hasher.c */
};

void ks_hasher_begin(struct ks_hasher *h, enum ks_hasher_alg alg);
void ks_hasher_put(struct ks_hasher *h, struct ks_str bytes);
/** Writes ks_hasher_size bytes. KS_CRYPTO (untouched) if the library failed at any step. The hasher is worthless then. */
KS_MUST_USE enum ks_err ks_hasher_end(struct ks_hasher *h, unsigned char ret_digest[KS_HASHER_MAX]);

/** A key of HMAC: what its two pads are digested into. As secret as the key; ks_wipe it. */
struct ks_hmac_key {
	struct ks_hasher inner, outer;
};

/** Any length, none among them (whether an empty key is a key is the caller's to decide). */
void ks_hmac_key_make(struct ks_hmac_key *ret_key, enum ks_hasher_alg alg, struct ks_str secret);
/** Begins a code; feed `h` with ks_hasher_put. */
void ks_hmac_begin(const struct ks_hmac_key *key, struct ks_hasher *h);
/** As ks_hasher_end; `h` is wiped. Compare with ks_ct_equal. */
KS_MUST_USE enum ks_err ks_hmac_end(const struct ks_hmac_key *key, struct ks_hasher *h,
				    unsigned char ret_mac[KS_HASHER_MAX]);
