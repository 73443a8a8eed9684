/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/sign_priv.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "base/buf.h"

/* Two INTEGERs of 66 bytes and a sign each, and the header of the SEQUENCE. */
#define ECDSA_DER_MAX (3 + 2 * (2 + 1 + KS_KEY_COORDINATE_MAX))
#define SPKI_MAX 4096

struct ks_public_key {
	EVP_PKEY *pkey;
	/* One an algorithm of ECDSA and RSA, ready to check, since a copy costs a tenth of a new one; NULL for others. Never
	 * used but to be copied, so that threads need no lock. */
	EVP_PKEY_CTX *ready[KS_SIGN_ALG_COUNT];
	enum ks_key_form form;
	size_t first_n, second_n; /* of `numbers` */
	unsigned char numbers[KS_SIGNATURE_MAX + KS_KEY_COORDINATE_MAX];
};

const struct key_form ks_key_forms[KS_KEY_FORM_COUNT] = {
#define KS_KEY_FORM(name, group, size) {group, size},
#include "crypto/sign.def"
};

/* Of an algorithm that has its own. */
static const EVP_MD *no_digest(void)
{
	return NULL;
}

const struct sign_alg ks_sign_algs[KS_SIGN_ALG_COUNT] = {
#define KS_SIGN_ALG(name, text, form, digest, size, pss) \
	{{text, sizeof(text) - 1}, KS_KEY_FORM_##form, digest, size, pss},
#include "crypto/sign.def"
};

struct ks_str ks_sign_alg_name(enum ks_sign_alg alg)
{
	return (unsigned)alg < KS_SIGN_ALG_COUNT ? ks_sign_algs[alg].name : KS_STR("");
}

bool ks_sign_alg_parse(struct ks_str name, enum ks_sign_alg *ret_alg)
{
	for (unsigned i = 0; i < KS_SIGN_ALG_COUNT; i++)
		if (ks_str_eq(ks_sign_algs[i].name, name)) {
			*ret_alg = (enum ks_sign_alg)i;
			return true;
		}
	return false;
}

enum ks_key_form ks_sign_alg_form(enum ks_sign_alg alg)
{
	return ks_sign_algs[alg].form;
}

/* ---- public keys ---- */

void ks_public_key_free(struct ks_public_key *key)
{
	if (!key)
		return;
	for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++)
		EVP_PKEY_CTX_free(key->ready[alg]);
	EVP_PKEY_free(key->pkey);
	free(key);
}

enum ks_key_form ks_public_key_form(const struct ks_public_key *key)
{
	return key->form;
}

void ks_public_key_numbers(const struct ks_public_key *key, struct ks_str *ret_first, struct ks_str *ret_second)
{
	*ret_first = ks_str_of((const char *)key->numbers, key->first_n);
	*ret_second = ks_str_of((const char *)&key->numbers[key->first_n], key->second_n);
}

static bool set_padding(EVP_PKEY_CTX *context, bool pss)
{
	if (!pss)
		return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
	return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
	       EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
}

/* NULL if the library fails. */
static EVP_PKEY_CTX *make_ready(EVP_PKEY *pkey, const struct sign_alg *alg)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new(pkey, NULL);

	if (context && EVP_PKEY_verify_init(context) == 1 &&
	    (alg->form != KS_KEY_FORM_RSA || set_padding(context, alg->pss)) &&
	    EVP_PKEY_CTX_set_signature_md(context, alg->digest()) == 1)
		return context;
	EVP_PKEY_CTX_free(context);
	return NULL;
}

static bool make_all_ready(struct ks_public_key *key)
{
	for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++) {
		if (ks_sign_algs[alg].form != key->form || !ks_sign_algs[alg].digest())
			continue;
		key->ready[alg] = make_ready(key->pkey, &ks_sign_algs[alg]);
		if (!key->ready[alg])
			return false;
	}
	return true;
}

/* Gives the key to the caller. Takes over `pkey`, also on failure. */
static enum ks_err make_public(enum ks_key_form form, EVP_PKEY *pkey, struct ks_str first, struct ks_str second,
			       struct ks_public_key **ret_key)
{
	struct ks_public_key *key = calloc(1, sizeof(*key));

	if (!key) {
		EVP_PKEY_free(pkey);
		return KS_MEMORY;
	}
	key->pkey = pkey;
	key->form = form;
	key->first_n = first.n;
	key->second_n = second.n;
	memcpy(key->numbers, first.p, first.n);
	if (second.n > 0)
		memcpy(&key->numbers[first.n], second.p, second.n);
	if (!make_all_ready(key)) {
		ks_public_key_free(key);
		ERR_clear_error();
		return KS_CRYPTO;
	}
	*ret_key = key;
	return KS_OK;
}

/* A public key of the type named, from `params`; NULL if the library refuses them. */
static EVP_PKEY *pkey_from(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *pkey = NULL;

	if (!context || EVP_PKEY_fromdata_init(context) != 1 ||
	    EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, params) != 1)
		pkey = NULL;
	EVP_PKEY_CTX_free(context);
	ERR_clear_error();
	return pkey;
}

static bool is_curve(enum ks_key_form form)
{
	return form == KS_KEY_FORM_P256 || form == KS_KEY_FORM_P384 || form == KS_KEY_FORM_P521;
}

enum ks_err ks_public_key_ec(enum ks_key_form form, struct ks_str x, struct ks_str y, struct ks_public_key **ret_key)
{
	unsigned char point[1 + 2 * KS_KEY_COORDINATE_MAX];
	char group[8];
	OSSL_PARAM params[3];
	EVP_PKEY *pkey;

	if (!is_curve(form) || x.n != ks_key_forms[form].size || y.n != x.n)
		return KS_MALFORMED;
	point[0] = 4; /* uncompressed (SEC 1, 2.3.3) */
	memcpy(&point[1], x.p, x.n);
	memcpy(&point[1 + x.n], y.p, y.n);
	memcpy(group, ks_key_forms[form].group, strlen(ks_key_forms[form].group) + 1);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * x.n);
	params[2] = OSSL_PARAM_construct_end();
	/* The library refuses what is no point of the curve, coordinates beyond the field among it. */
	pkey = pkey_from("EC", params);
	return pkey ? make_public(form, pkey, x, y, ret_key) : KS_MALFORMED;
}

enum ks_err ks_public_key_ed25519(struct ks_str bytes, struct ks_public_key **ret_key)
{
	EVP_PKEY *pkey;

	if (bytes.n != ks_key_forms[KS_KEY_FORM_ED25519].size)
		return KS_MALFORMED;
	pkey = EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, NULL, (const unsigned char *)bytes.p, bytes.n);
	ERR_clear_error();
	return pkey ? make_public(KS_KEY_FORM_ED25519, pkey, bytes, KS_STR(""), ret_key) : KS_CRYPTO;
}

/* True if `number` is odd and begins with a byte that is not zero. */
static bool is_odd_number(struct ks_str number)
{
	return number.n > 0 && number.p[0] != 0 && (number.p[number.n - 1] & 1);
}

static size_t bits_of(struct ks_str number)
{
	size_t bits = 8 * number.n;

	for (unsigned mask = 0x80; mask && !((unsigned char)number.p[0] & mask); mask >>= 1)
		bits--;
	return bits;
}

static EVP_PKEY *rsa_from(struct ks_str modulus, struct ks_str exponent)
{
	BIGNUM *n = BN_bin2bn((const unsigned char *)modulus.p, (int)modulus.n, NULL);
	BIGNUM *e = BN_bin2bn((const unsigned char *)exponent.p, (int)exponent.n, NULL);
	OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	EVP_PKEY *pkey = NULL;

	if (n && e && build && OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		params = OSSL_PARAM_BLD_to_param(build);
	if (params)
		pkey = pkey_from("RSA", params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(e);
	return pkey;
}

enum ks_err ks_public_key_rsa(struct ks_str modulus, struct ks_str exponent, struct ks_public_key **ret_key)
{
	EVP_PKEY *pkey;

	if (!is_odd_number(modulus) || !is_odd_number(exponent) || exponent.n > KS_KEY_RSA_EXPONENT_MAX ||
	    (exponent.n == 1 && exponent.p[0] == 1))
		return KS_MALFORMED;
	if (modulus.n > KS_KEY_RSA_BITS_MAX / 8 || bits_of(modulus) < KS_KEY_RSA_BITS_MIN)
		return KS_TOO_LARGE;
	pkey = rsa_from(modulus, exponent);
	return pkey ? make_public(KS_KEY_FORM_RSA, pkey, modulus, exponent, ret_key) : KS_CRYPTO;
}

/* The number `name` of `pkey` as bytes; empty where it has none or is too large. */
static struct ks_str number_of(const EVP_PKEY *pkey, const char *name, unsigned char *bytes, size_t cap)
{
	BIGNUM *number = NULL;
	int n = 0;

	if (EVP_PKEY_get_bn_param(pkey, name, &number) == 1 && (size_t)BN_num_bytes(number) <= cap)
		n = BN_bn2bin(number, bytes);
	BN_free(number);
	return ks_str_of((const char *)bytes, n > 0 ? (size_t)n : 0);
}

static enum ks_err rsa_of(const EVP_PKEY *pkey, struct ks_public_key **ret_key)
{
	unsigned char modulus[KS_SIGNATURE_MAX], exponent[KS_KEY_RSA_EXPONENT_MAX];

	if (EVP_PKEY_get_bits(pkey) > KS_KEY_RSA_BITS_MAX)
		return KS_TOO_LARGE;
	return ks_public_key_rsa(number_of(pkey, OSSL_PKEY_PARAM_RSA_N, modulus, sizeof(modulus)),
				 number_of(pkey, OSSL_PKEY_PARAM_RSA_E, exponent, sizeof(exponent)), ret_key);
}

static enum ks_err ed25519_of(const EVP_PKEY *pkey, struct ks_public_key **ret_key)
{
	unsigned char bytes[32];
	size_t n = sizeof(bytes);

	if (EVP_PKEY_get_raw_public_key(pkey, bytes, &n) != 1)
		return KS_CRYPTO;
	return ks_public_key_ed25519(ks_str_of((const char *)bytes, n), ret_key);
}

static bool curve_of(const EVP_PKEY *pkey, enum ks_key_form *ret_form)
{
	static const struct {
		const char *name;
		enum ks_key_form form;
	} curves[] = {
		{"prime256v1", KS_KEY_FORM_P256}, {"P-256", KS_KEY_FORM_P256},
		{"secp384r1", KS_KEY_FORM_P384},  {"P-384", KS_KEY_FORM_P384},
		{"secp521r1", KS_KEY_FORM_P521},  {"P-521", KS_KEY_FORM_P521},
	};
	char name[32];
	size_t n;

	if (EVP_PKEY_get_group_name(pkey, name, sizeof(name), &n) != 1)
		return false;
	for (size_t i = 0; i < KS_ARRAY_LEN(curves); i++)
		if (ks_str_eq(ks_str_c(name), ks_str_c(curves[i].name))) {
			*ret_form = curves[i].form;
			return true;
		}
	return false;
}

static enum ks_err ec_of(const EVP_PKEY *pkey, struct ks_public_key **ret_key)
{
	unsigned char coordinates[2][KS_KEY_COORDINATE_MAX];
	static const char *const names[2] = {OSSL_PKEY_PARAM_EC_PUB_X, OSSL_PKEY_PARAM_EC_PUB_Y};
	enum ks_key_form form;
	size_t size;

	if (!curve_of(pkey, &form))
		return KS_MALFORMED;
	size = ks_key_forms[form].size;
	for (int i = 0; i < 2; i++) {
		BIGNUM *number = NULL;
		int n = EVP_PKEY_get_bn_param(pkey, names[i], &number) == 1
			? BN_bn2binpad(number, coordinates[i], (int)size) : -1;

		BN_free(number);
		if (n < 0)
			return KS_MALFORMED;
	}
	return ks_public_key_ec(form, ks_str_of((const char *)coordinates[0], size),
				ks_str_of((const char *)coordinates[1], size), ret_key);
}

enum ks_err ks_public_key_of(const EVP_PKEY *pkey, struct ks_public_key **ret_key)
{
	enum ks_err err = KS_MALFORMED;

	switch (EVP_PKEY_get_base_id(pkey)) {
	case EVP_PKEY_EC:
		err = ec_of(pkey, ret_key);
		break;
	case EVP_PKEY_ED25519:
		err = ed25519_of(pkey, ret_key);
		break;
	case EVP_PKEY_RSA:
		err = rsa_of(pkey, ret_key);
		break;
	default:
		break;
	}
	ERR_clear_error();
	return err;
}

enum ks_err ks_public_key_spki(struct ks_str der, struct ks_public_key **ret_key)
{
	const unsigned char *at = (const unsigned char *)der.p;
	EVP_PKEY *pkey;
	enum ks_err err = KS_MALFORMED;

	if (der.n == 0 || der.n > SPKI_MAX)
		return KS_MALFORMED;
	pkey = d2i_PUBKEY(NULL, &at, (long)der.n);
	if (pkey && at == (const unsigned char *)&der.p[der.n])
		err = ks_public_key_of(pkey, ret_key);
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	return err;
}

/* ---- checking ---- */

/* One number as an INTEGER of DER: without leading zeros, but one where the first bit would be taken for a sign. */
static void put_integer(struct ks_buf *out, struct ks_str number)
{
	size_t from = 0;
	bool sign;

	while (from + 1 < number.n && number.p[from] == 0)
		from++;
	sign = (unsigned char)number.p[from] >= 0x80;
	ks_buf_put_byte(out, 2);
	ks_buf_put_byte(out, (char)(number.n - from + sign));
	if (sign)
		ks_buf_put_byte(out, 0);
	ks_buf_put(out, ks_str_sub(number, from, SIZE_MAX));
}

/* r and s side by side, to ECDSA-Sig-Value. */
static void put_ecdsa(struct ks_buf *out, struct ks_str signature)
{
	char bytes[ECDSA_DER_MAX];
	struct ks_buf numbers = KS_BUF(bytes);

	put_integer(&numbers, ks_str_sub(signature, 0, signature.n / 2));
	put_integer(&numbers, ks_str_sub(signature, signature.n / 2, SIZE_MAX));
	ks_buf_put_byte(out, 0x30);
	if (numbers.n >= 0x80)
		ks_buf_put_byte(out, (char)0x81);
	ks_buf_put_byte(out, (char)numbers.n);
	ks_buf_put(out, ks_buf_str(&numbers));
}

static enum ks_err check_digested(const EVP_PKEY_CTX *ready, struct ks_str digest, struct ks_str signature)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_dup(ready);
	enum ks_err err;

	if (!context)
		return KS_MEMORY;
	err = EVP_PKEY_verify(context, (const unsigned char *)signature.p, signature.n, (const unsigned char *)digest.p,
			      digest.n) == 1 ? KS_OK : KS_FORBIDDEN;
	EVP_PKEY_CTX_free(context);
	return err;
}

/* Algorithms that digest the message first. */
static enum ks_err check_digest(const EVP_PKEY_CTX *ready, const struct sign_alg *alg, struct ks_str message,
				struct ks_str signature)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n;

	if (EVP_Digest(message.p, message.n, digest, &n, alg->digest(), NULL) != 1)
		return KS_CRYPTO;
	return check_digested(ready, ks_str_of((const char *)digest, n), signature);
}

/* Ed25519, which takes the message as it is. */
static enum ks_err check_message(EVP_PKEY *pkey, struct ks_str message, struct ks_str signature)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	enum ks_err err = KS_CRYPTO;

	if (!context)
		return KS_MEMORY;
	if (EVP_DigestVerifyInit(context, NULL, NULL, NULL, pkey) == 1)
		err = EVP_DigestVerify(context, (const unsigned char *)signature.p, signature.n,
				       (const unsigned char *)message.p, message.n) == 1 ? KS_OK : KS_FORBIDDEN;
	EVP_MD_CTX_free(context);
	return err;
}

static enum ks_err check(const struct ks_public_key *key, enum ks_sign_alg alg, struct ks_str message,
			 struct ks_str signature)
{
	enum ks_err err = key->ready[alg] ? check_digest(key->ready[alg], &ks_sign_algs[alg], message, signature)
					  : check_message(key->pkey, message, signature);

	if (err)
		ERR_clear_error();
	return err;
}

static size_t signature_size(const struct ks_public_key *key, const struct sign_alg *alg)
{
	return alg->size > 0 ? alg->size : key->first_n;
}

enum ks_err ks_public_key_check(const struct ks_public_key *key, enum ks_sign_alg alg, struct ks_str message,
				struct ks_str signature)
{
	char bytes[ECDSA_DER_MAX];
	struct ks_buf der = KS_BUF(bytes);

	if ((unsigned)alg >= KS_SIGN_ALG_COUNT || ks_sign_algs[alg].form != key->form ||
	    signature.n != signature_size(key, &ks_sign_algs[alg]))
		return KS_FORBIDDEN;
	if (!is_curve(key->form))
		return check(key, alg, message, signature);
	put_ecdsa(&der, signature);
	return check(key, alg, message, ks_buf_str(&der));
}

enum ks_err ks_public_key_check_der(const struct ks_public_key *key, enum ks_sign_alg alg, struct ks_str message,
				    struct ks_str signature)
{
	if (!is_curve(key->form))
		return ks_public_key_check(key, alg, message, signature);
	if ((unsigned)alg >= KS_SIGN_ALG_COUNT || ks_sign_algs[alg].form != key->form || signature.n > ECDSA_DER_MAX)
		return KS_FORBIDDEN;
	return check(key, alg, message, signature);
}

enum ks_err ks_public_key_check_digest(const struct ks_public_key *key, enum ks_sign_alg alg, bool der,
				       struct ks_str digest, struct ks_str signature)
{
	char bytes[ECDSA_DER_MAX];
	struct ks_buf turned = KS_BUF(bytes);
	enum ks_err err;

	if ((unsigned)alg >= KS_SIGN_ALG_COUNT || ks_sign_algs[alg].form != key->form || !key->ready[alg] ||
	    digest.n != (size_t)EVP_MD_get_size(ks_sign_algs[alg].digest()))
		return KS_FORBIDDEN;
	if (is_curve(key->form) && der) {
		if (signature.n > ECDSA_DER_MAX)
			return KS_FORBIDDEN;
	} else if (signature.n != signature_size(key, &ks_sign_algs[alg])) {
		return KS_FORBIDDEN;
	} else if (is_curve(key->form)) {
		put_ecdsa(&turned, signature);
		signature = ks_buf_str(&turned);
	}
	err = check_digested(key->ready[alg], digest, signature);
	if (err)
		ERR_clear_error();
	return err;
}
