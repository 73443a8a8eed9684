/* SPDX-License-Identifier: Apache-2.0 */
/* The older interface of the library, for the reason told in sha256.c: EVP allocates for each digest, and the pads of an
 * HMAC's key could not be kept digested without that. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "crypto/hasher.h"

#include <openssl/md5.h>
#include <openssl/sha.h>

#include "base/secret.h"

#define STATE_SIZE sizeof(((struct ks_hasher *)NULL)->state)

_Static_assert(sizeof(MD5_CTX) <= STATE_SIZE, "a state of MD5 fits");
_Static_assert(sizeof(SHA_CTX) <= STATE_SIZE, "a state of SHA-1 fits");
_Static_assert(sizeof(SHA256_CTX) <= STATE_SIZE, "a state of SHA-256 fits");
_Static_assert(sizeof(SHA512_CTX) <= STATE_SIZE, "a state of SHA-512 fits");

/* One algorithm of the library, behind one form of call. */
#define ALG(name, context, init, update, final)                                                        \
	static bool name##_begin(void *state)                                                          \
	{                                                                                              \
		return init((context *)state) == 1;                                                    \
	}                                                                                              \
	static bool name##_put(void *state, struct ks_str bytes)                                       \
	{                                                                                              \
		return update((context *)state, bytes.p, bytes.n) == 1;                                \
	}                                                                                              \
	static bool name##_end(void *state, unsigned char *ret_digest)                                 \
	{                                                                                              \
		return final(ret_digest, (context *)state) == 1;                                       \
	}

ALG(md5, MD5_CTX, MD5_Init, MD5_Update, MD5_Final)
ALG(sha1, SHA_CTX, SHA1_Init, SHA1_Update, SHA1_Final)
ALG(sha256, SHA256_CTX, SHA256_Init, SHA256_Update, SHA256_Final)
ALG(sha384, SHA512_CTX, SHA384_Init, SHA384_Update, SHA384_Final)
ALG(sha512, SHA512_CTX, SHA512_Init, SHA512_Update, SHA512_Final)

static const struct {
	struct ks_str name;
	size_t size, block;
	bool (*begin)(void *state);
	bool (*put)(void *state, struct ks_str bytes);
	bool (*end)(void *state, unsigned char *ret_digest);
} algs[KS_HASHER_COUNT] = {
#define X(name, text, size, block) {{#text, sizeof(#text) - 1}, size, block, text##_begin, text##_put, text##_end},
	KS_HASHER_ALGS(X)
#undef X
};

bool ks_hasher_parse(struct ks_str text, enum ks_hasher_alg *ret_alg)
{
	for (unsigned i = 0; i < KS_HASHER_COUNT; i++)
		if (ks_str_eq(text, algs[i].name)) {
			*ret_alg = (enum ks_hasher_alg)i;
			return true;
		}
	return false;
}

size_t ks_hasher_size(enum ks_hasher_alg alg)
{
	return algs[alg].size;
}

void ks_hasher_begin(struct ks_hasher *h, enum ks_hasher_alg alg)
{
	h->alg = alg;
	h->failed = !algs[alg].begin(h->state);
}

void ks_hasher_put(struct ks_hasher *h, struct ks_str bytes)
{
	if (bytes.n > 0 && !algs[h->alg].put(h->state, bytes))
		h->failed = true;
}

enum ks_err ks_hasher_end(struct ks_hasher *h, unsigned char ret_digest[KS_HASHER_MAX])
{
	unsigned char digest[KS_HASHER_MAX];

	if (!algs[h->alg].end(h->state, digest) || h->failed)
		return KS_CRYPTO;
	memcpy(ret_digest, digest, algs[h->alg].size);
	return KS_OK;
}

/* The key as it is mixed into the pads: padded with zeros to a block, digested first where it is longer (RFC 2104, 2). */
static bool key_block(enum ks_hasher_alg alg, struct ks_str secret, unsigned char block[128])
{
	struct ks_hasher h;
	bool ok = true;

	memset(block, 0, 128);
	if (secret.n <= algs[alg].block) {
		if (secret.n > 0)
			memcpy(block, secret.p, secret.n);
		return true;
	}
	ks_hasher_begin(&h, alg);
	ks_hasher_put(&h, secret);
	ok = ks_hasher_end(&h, block) == KS_OK;
	ks_wipe(&h, sizeof(h));
	return ok;
}

static void put_pad(struct ks_hasher *h, enum ks_hasher_alg alg, unsigned char block[128], unsigned char with)
{
	for (size_t i = 0; i < algs[alg].block; i++)
		block[i] = (unsigned char)(block[i] ^ with);
	ks_hasher_begin(h, alg);
	ks_hasher_put(h, ks_str_of((const char *)block, algs[alg].block));
}

void ks_hmac_key_make(struct ks_hmac_key *ret_key, enum ks_hasher_alg alg, struct ks_str secret)
{
	unsigned char block[128];
	bool ok = key_block(alg, secret, block);

	put_pad(&ret_key->inner, alg, block, 0x36);
	put_pad(&ret_key->outer, alg, block, 0x36 ^ 0x5c);
	ret_key->inner.failed |= !ok;
	ks_wipe(block, sizeof(block));
}

void ks_hmac_begin(const struct ks_hmac_key *key, struct ks_hasher *h)
{
	*h = key->inner;
}

enum ks_err ks_hmac_end(const struct ks_hmac_key *key, struct ks_hasher *h, unsigned char ret_mac[KS_HASHER_MAX])
{
	unsigned char digest[KS_HASHER_MAX];
	enum ks_err err = ks_hasher_end(h, digest);

	if (err == KS_OK) {
		*h = key->outer;
		ks_hasher_put(h, ks_str_of((const char *)digest, algs[h->alg].size));
		err = ks_hasher_end(h, ret_mac);
	}
	ks_wipe(digest, sizeof(digest));
	ks_wipe(h, sizeof(*h));
	return err;
}
