/* SPDX-License-Identifier: Apache-2.0 */
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "crypto/pem.h"
#include "crypto/sign_priv.h"

/* Of a P-521 signature, the largest: as in sign.c. */
#define ECDSA_DER_MAX 160

struct ks_private_key {
	EVP_PKEY *pkey;
	enum ks_key_form form;
};

void ks_private_key_free(struct ks_private_key *key)
{
	if (!key)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

/* Takes over `pkey`, also on failure. */
static enum ks_err make_private(enum ks_key_form form, EVP_PKEY *pkey, struct ks_private_key **ret_key)
{
	struct ks_private_key *key = malloc(sizeof(*key));

	if (!key) {
		EVP_PKEY_free(pkey);
		return KS_MEMORY;
	}
	*key = (struct ks_private_key){pkey, form};
	*ret_key = key;
	return KS_OK;
}

enum ks_err ks_private_key_new(enum ks_key_form form, struct ks_private_key **ret_key)
{
	EVP_PKEY *pkey;

	if (form == KS_KEY_FORM_P256)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "EC", ks_key_forms[form].group);
	else if (form == KS_KEY_FORM_ED25519)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, ks_key_forms[form].group);
	else
		return KS_MALFORMED;
	ERR_clear_error();
	return pkey ? make_private(form, pkey, ret_key) : KS_CRYPTO;
}

/* The form of a private key whose public half is what the private one gives; RSA where `rsa` allows it. */
static enum ks_err form_of(EVP_PKEY *pkey, bool rsa, enum ks_key_form *ret_form)
{
	struct ks_public_key *public_key;
	EVP_PKEY_CTX *context;
	bool whole;

	KS_TRY(ks_public_key_of(pkey, &public_key));
	*ret_form = ks_public_key_form(public_key);
	ks_public_key_free(public_key);
	if (*ret_form != KS_KEY_FORM_P256 && *ret_form != KS_KEY_FORM_ED25519 && !(rsa && *ret_form == KS_KEY_FORM_RSA))
		return KS_MALFORMED;
	context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
	whole = context && EVP_PKEY_pairwise_check(context) == 1;
	EVP_PKEY_CTX_free(context);
	return whole ? KS_OK : KS_MALFORMED;
}

static enum ks_err load(struct ks_str der, bool rsa, struct ks_private_key **ret_key)
{
	const unsigned char *at = (const unsigned char *)der.p;
	PKCS8_PRIV_KEY_INFO *info = NULL;
	EVP_PKEY *pkey = NULL;
	enum ks_key_form form;
	enum ks_err err = KS_MALFORMED;

	if (der.n > 0 && der.n <= KS_PRIVATE_KEY_MAX)
		info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)der.n);
	if (info && at == (const unsigned char *)&der.p[der.n])
		pkey = EVP_PKCS82PKEY(info);
	PKCS8_PRIV_KEY_INFO_free(info);
	if (pkey)
		err = form_of(pkey, rsa, &form);
	ERR_clear_error();
	if (err) {
		EVP_PKEY_free(pkey);
		return err;
	}
	return make_private(form, pkey, ret_key);
}

enum ks_err ks_private_key_load(struct ks_str der, struct ks_private_key **ret_key)
{
	return load(der, false, ret_key);
}

enum ks_err ks_private_key_pem(struct ks_str text, struct ks_private_key **ret_key)
{
	struct ks_secret der = {0};
	enum ks_err err;

	KS_TRY(ks_pem_decode(text, KS_STR("PRIVATE KEY"), &der));
	err = load(ks_str_of((const char *)der.bytes, der.n), true, ret_key);
	ks_secret_free(&der);
	return err;
}

enum ks_err ks_private_key_save(const struct ks_private_key *key, struct ks_secret *ret_der)
{
	PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key->pkey);
	int n = info ? i2d_PKCS8_PRIV_KEY_INFO(info, NULL) : -1;
	struct ks_secret der = {0};
	unsigned char *at;
	enum ks_err err = n > 0 ? ks_secret_new(&der, (size_t)n) : KS_CRYPTO;

	if (err == KS_OK) {
		at = der.bytes;
		der.n = (size_t)n;
		if (i2d_PKCS8_PRIV_KEY_INFO(info, &at) != n)
			err = KS_CRYPTO;
	}
	PKCS8_PRIV_KEY_INFO_free(info);
	ERR_clear_error();
	if (err)
		ks_secret_free(&der);
	else
		*ret_der = der;
	return err;
}

enum ks_err ks_private_key_public(const struct ks_private_key *key, struct ks_public_key **ret_key)
{
	return ks_public_key_of(key->pkey, ret_key);
}

/* ---- signing ---- */

/* ECDSA-Sig-Value to r and s side by side, each of `size` bytes. */
static bool ecdsa_to_raw(const unsigned char *der, size_t n, size_t size, unsigned char *ret_raw)
{
	const unsigned char *at = der;
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &at, (long)n);
	bool ok = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret_raw, (int)size) == (int)size &&
		  BN_bn2binpad(ECDSA_SIG_get0_s(signature), &ret_raw[size], (int)size) == (int)size;

	ECDSA_SIG_free(signature);
	return ok;
}

/* Of P-521 or RSA, the larger. */
#define SIGNATURE_DER_MAX (KS_SIGNATURE_MAX > ECDSA_DER_MAX ? KS_SIGNATURE_MAX : ECDSA_DER_MAX)

static bool set_padding(EVP_PKEY_CTX *context, const struct sign_alg *alg)
{
	if (!alg->pss)
		return true;
	/* The salt is as long as the digest (RFC 7518, 3.5). */
	return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1
	       && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

enum ks_err ks_private_key_sign(const struct ks_private_key *key, enum ks_sign_alg alg, struct ks_str message,
				unsigned char ret_signature[KS_SIGNATURE_MAX], size_t *ret_n)
{
	unsigned char signature[SIGNATURE_DER_MAX];
	size_t n = sizeof(signature);
	EVP_PKEY_CTX *settings = NULL;
	EVP_MD_CTX *context;
	bool ok;

	if ((unsigned)alg >= KS_SIGN_ALG_COUNT || ks_sign_algs[alg].form != key->form)
		return KS_FORBIDDEN;
	context = EVP_MD_CTX_new();
	if (!context)
		return KS_MEMORY;
	ok = EVP_DigestSignInit(context, &settings, ks_sign_algs[alg].digest(), NULL, key->pkey) == 1 &&
	     set_padding(settings, &ks_sign_algs[alg]) &&
	     EVP_DigestSign(context, signature, &n, (const unsigned char *)message.p, message.n) == 1;
	EVP_MD_CTX_free(context);
	if (ok && (key->form == KS_KEY_FORM_ED25519 || key->form == KS_KEY_FORM_RSA)) {
		memcpy(ret_signature, signature, n);
	} else if (ok) {
		ok = ecdsa_to_raw(signature, n, ks_key_forms[key->form].size, ret_signature);
		n = ks_sign_algs[alg].size;
	}
	ERR_clear_error();
	if (!ok)
		return KS_CRYPTO;
	*ret_n = n;
	return KS_OK;
}
