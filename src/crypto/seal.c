/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/seal.h"

#include <limits.h>
#include <openssl/evp.h>

#include "base/secret.h"

#define VERSION 1
#define ASSOCIATED_MAX 4096

static const unsigned char *bytes_of(struct ks_str s)
{
	return (const unsigned char *)s.p;
}

/* The sealer is the library's context, by another name. */
static EVP_CIPHER_CTX *context_of(struct ks_sealer *sealer)
{
	return (EVP_CIPHER_CTX *)(void *)sealer;
}

enum ks_err ks_sealer_new(struct ks_sealer **ret_sealer)
{
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

	if (!ctx)
		return KS_MEMORY;
	if (EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, NULL, NULL, 1) != 1) {
		EVP_CIPHER_CTX_free(ctx);
		return KS_CRYPTO;
	}
	*ret_sealer = (struct ks_sealer *)(void *)ctx;
	return KS_OK;
}

void ks_sealer_free(struct ks_sealer **sealer)
{
	if (*sealer)
		EVP_CIPHER_CTX_free(context_of(*sealer));
	*sealer = NULL;
}

static bool encrypt(EVP_CIPHER_CTX *ctx, const uint8_t *key, const uint8_t *nonce, struct ks_str associated,
		    struct ks_str plain, uint8_t *ret_text, uint8_t *ret_tag)
{
	int n = 0;

	if (EVP_EncryptInit_ex(ctx, NULL, NULL, key, nonce) != 1)
		return false;
	if (associated.n > 0 && EVP_EncryptUpdate(ctx, NULL, &n, bytes_of(associated), (int)associated.n) != 1)
		return false;
	if (plain.n > 0 && EVP_EncryptUpdate(ctx, ret_text, &n, bytes_of(plain), (int)plain.n) != 1)
		return false;
	return EVP_EncryptFinal_ex(ctx, &ret_text[plain.n], &n) == 1
	       && EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, KS_SEAL_TAG_SIZE, ret_tag) == 1;
}

enum ks_err ks_sealer_seal(struct ks_sealer *sealer, const uint8_t key[KS_SEAL_KEY_SIZE],
			   const uint8_t nonce[KS_SEAL_NONCE_SIZE], struct ks_str associated, struct ks_str plain,
			   uint8_t *ret_sealed, size_t cap, size_t *ret_n)
{
	uint8_t *text;

	if (plain.n > KS_SEAL_PLAIN_MAX || associated.n > ASSOCIATED_MAX || plain.n + KS_SEAL_OVERHEAD > cap)
		return KS_TOO_LARGE;
	text = &ret_sealed[1 + KS_SEAL_NONCE_SIZE];
	if (!encrypt(context_of(sealer), key, nonce, associated, plain, text, &text[plain.n])) {
		ks_wipe(ret_sealed, plain.n + KS_SEAL_OVERHEAD);
		return KS_CRYPTO;
	}
	ret_sealed[0] = VERSION;
	memcpy(&ret_sealed[1], nonce, KS_SEAL_NONCE_SIZE);
	*ret_n = plain.n + KS_SEAL_OVERHEAD;
	return KS_OK;
}

static enum ks_err decrypt(EVP_CIPHER_CTX *ctx, const uint8_t *key, struct ks_str associated, struct ks_str sealed,
			   uint8_t *ret_plain)
{
	struct ks_str nonce = ks_str_sub(sealed, 1, KS_SEAL_NONCE_SIZE);
	struct ks_str text = ks_str_sub(sealed, 1 + KS_SEAL_NONCE_SIZE, sealed.n - KS_SEAL_OVERHEAD);
	unsigned char tag[KS_SEAL_TAG_SIZE];
	int n = 0;

	memcpy(tag, ks_str_sub(sealed, sealed.n - KS_SEAL_TAG_SIZE, KS_SEAL_TAG_SIZE).p, sizeof(tag));
	if (EVP_DecryptInit_ex(ctx, NULL, NULL, key, bytes_of(nonce)) != 1)
		return KS_CRYPTO;
	if (associated.n > 0 && EVP_DecryptUpdate(ctx, NULL, &n, bytes_of(associated), (int)associated.n) != 1)
		return KS_CRYPTO;
	if (text.n > 0 && EVP_DecryptUpdate(ctx, ret_plain, &n, bytes_of(text), (int)text.n) != 1)
		return KS_CRYPTO;
	if (EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, KS_SEAL_TAG_SIZE, tag) != 1)
		return KS_CRYPTO;
	return EVP_DecryptFinal_ex(ctx, &ret_plain[text.n], &n) == 1 ? KS_OK : KS_CORRUPT;
}

enum ks_err ks_sealer_unseal(struct ks_sealer *sealer, const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_str associated,
			     struct ks_str sealed, uint8_t *ret_plain, size_t cap, size_t *ret_n)
{
	enum ks_err err;

	if (sealed.n < KS_SEAL_OVERHEAD || sealed.p[0] != VERSION)
		return KS_CORRUPT;
	if (sealed.n - KS_SEAL_OVERHEAD > KS_MIN(cap, KS_SEAL_PLAIN_MAX) || associated.n > ASSOCIATED_MAX)
		return KS_TOO_LARGE;
	err = decrypt(context_of(sealer), key, associated, sealed, ret_plain);
	if (err != KS_OK) {
		ks_wipe(ret_plain, sealed.n - KS_SEAL_OVERHEAD);
		return err;
	}
	*ret_n = sealed.n - KS_SEAL_OVERHEAD;
	return KS_OK;
}

enum ks_err ks_seal(const uint8_t key[KS_SEAL_KEY_SIZE], const uint8_t nonce[KS_SEAL_NONCE_SIZE],
		    struct ks_str associated, struct ks_str plain, uint8_t *ret_sealed, size_t cap, size_t *ret_n)
{
	struct ks_sealer *sealer;
	enum ks_err err;

	KS_TRY(ks_sealer_new(&sealer));
	err = ks_sealer_seal(sealer, key, nonce, associated, plain, ret_sealed, cap, ret_n);
	ks_sealer_free(&sealer);
	return err;
}

enum ks_err ks_unseal(const uint8_t key[KS_SEAL_KEY_SIZE], struct ks_str associated, struct ks_str sealed,
		      uint8_t *ret_plain, size_t cap, size_t *ret_n)
{
	struct ks_sealer *sealer;
	enum ks_err err;

	KS_TRY(ks_sealer_new(&sealer));
	err = ks_sealer_unseal(sealer, key, associated, sealed, ret_plain, cap, ret_n);
	ks_sealer_free(&sealer);
	return err;
}
