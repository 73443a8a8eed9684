/* SPDX-License-Identifier: Apache-2.0 */
/* Against the crypto library's own signatures, and against signatures that are wrong in every way that once let
 * something through elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base/ctenc.h"
#include "crypto/sign.h"

#define DER_ROOM 2048
#define ROUNDS 64

static struct ks_str bytes_of(const unsigned char *bytes, size_t n)
{
	return ks_str_of((const char *)bytes, n);
}

/* ---- keys of the library's own ---- */

struct pair {
	EVP_PKEY *pkey;
	struct ks_public_key *public_key;
};

/* One for all, since it takes long. */
static EVP_PKEY *rsa_key(void)
{
	static EVP_PKEY *pkey;

	if (!pkey)
		pkey = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
	assert_int_equal(EVP_PKEY_up_ref(pkey), 1);
	return pkey;
}

static EVP_PKEY *generate(enum ks_key_form form)
{
	switch (form) {
	case KS_KEY_FORM_P256:
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	case KS_KEY_FORM_P384:
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	case KS_KEY_FORM_P521:
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-521");
	case KS_KEY_FORM_ED25519:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	default:
		return rsa_key();
	}
}

static struct pair make_pair(enum ks_key_form form)
{
	struct pair pair = {.pkey = generate(form)};
	unsigned char *der = NULL;
	int n;

	assert_non_null(pair.pkey);
	n = i2d_PUBKEY(pair.pkey, &der);
	assert_true(n > 0);
	assert_int_equal(ks_public_key_spki(bytes_of(der, (size_t)n), &pair.public_key), KS_OK);
	assert_int_equal(ks_public_key_form(pair.public_key), form);
	OPENSSL_free(der);
	return pair;
}

static void free_pair(struct pair *pair)
{
	ks_public_key_free(pair->public_key);
	EVP_PKEY_free(pair->pkey);
}

static const EVP_MD *digest_of(enum ks_sign_alg alg)
{
	const char *name = ks_sign_alg_name(alg).p;

	if (alg == KS_SIGN_ALG_EDDSA)
		return NULL;
	return strstr(name, "256") ? EVP_sha256() : strstr(name, "384") ? EVP_sha384() : EVP_sha512();
}

/* A signature as the library makes it; `salt` for PSS. */
static size_t library_sign(EVP_PKEY *pkey, enum ks_sign_alg alg, int salt, struct ks_str message,
			   unsigned char *ret_der)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	EVP_PKEY_CTX *pkey_context = NULL;
	size_t n = DER_ROOM;

	assert_int_equal(EVP_DigestSignInit(context, &pkey_context, digest_of(alg), NULL, pkey), 1);
	if (ks_sign_alg_name(alg).p[0] == 'P') {
		assert_int_equal(EVP_PKEY_CTX_set_rsa_padding(pkey_context, RSA_PKCS1_PSS_PADDING), 1);
		assert_int_equal(EVP_PKEY_CTX_set_rsa_pss_saltlen(pkey_context, salt), 1);
	}
	assert_int_equal(EVP_DigestSign(context, ret_der, &n, (const unsigned char *)message.p, message.n), 1);
	EVP_MD_CTX_free(context);
	return n;
}

/* r and s side by side, by the library's own reading of DER. */
static void raw_of(const unsigned char *der, size_t n, size_t size, unsigned char *ret_raw)
{
	ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)n);

	assert_non_null(signature);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(signature), ret_raw, (int)size), size);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(signature), &ret_raw[size], (int)size), size);
	ECDSA_SIG_free(signature);
}

static size_t field_size(enum ks_key_form form)
{
	static const size_t sizes[KS_KEY_FORM_COUNT] = {[KS_KEY_FORM_P256] = 32, [KS_KEY_FORM_P384] = 48,
							[KS_KEY_FORM_P521] = 66};

	return sizes[form];
}

/* ---- what is right ---- */

/* So many that r and s with zeros before them, and with the first bit set, all come up. */
static void check_alg(const struct pair *pair, enum ks_sign_alg alg, int rounds)
{
	size_t size = field_size(ks_sign_alg_form(alg));

	for (int round = 0; round < rounds; round++) {
		unsigned char der[DER_ROOM], raw[DER_ROOM];
		struct ks_str message = bytes_of((const unsigned char *)&round, sizeof(round));
		size_t n = library_sign(pair->pkey, alg, RSA_PSS_SALTLEN_DIGEST, message, der);
		struct ks_str signature = bytes_of(der, n);

		assert_int_equal(ks_public_key_check_der(pair->public_key, alg, message, signature), KS_OK);
		if (size > 0) {
			raw_of(der, n, size, raw);
			/* DER where raw is due is refused, whatever its length. */
			assert_int_equal(ks_public_key_check(pair->public_key, alg, message, signature), KS_FORBIDDEN);
			signature = bytes_of(raw, 2 * size);
			assert_int_equal(ks_public_key_check_der(pair->public_key, alg, message, signature), KS_FORBIDDEN);
		}
		assert_int_equal(ks_public_key_check(pair->public_key, alg, message, signature), KS_OK);
		for (unsigned other = 0; other < KS_SIGN_ALG_COUNT; other++)
			if (other != (unsigned)alg)
				assert_int_equal(ks_public_key_check(pair->public_key, (enum ks_sign_alg)other, message,
								     signature), KS_FORBIDDEN);
	}
}

static void test_the_library_agrees(void **state)
{
	(void)state;
	for (unsigned form = 0; form < KS_KEY_FORM_COUNT; form++) {
		struct pair pair = make_pair((enum ks_key_form)form);

		for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++)
			if (ks_sign_alg_form((enum ks_sign_alg)alg) == (enum ks_key_form)form)
				check_alg(&pair, (enum ks_sign_alg)alg, form == KS_KEY_FORM_P256 ? 4 * ROUNDS : form == KS_KEY_FORM_RSA ? 3 : 16);
		free_pair(&pair);
	}
}

/* PSS with a salt of another length than the digest's is not what RFC 7518, 3.5 says. */
static void test_salt_of_another_length(void **state)
{
	struct pair pair = make_pair(KS_KEY_FORM_RSA);
	unsigned char signature[DER_ROOM];

	(void)state;
	for (int salt = 0; salt <= 64; salt += 16) {
		size_t n = library_sign(pair.pkey, KS_SIGN_ALG_PS256, salt, KS_STR("message"), signature);

		assert_int_equal(ks_public_key_check(pair.public_key, KS_SIGN_ALG_PS256, KS_STR("message"),
						     bytes_of(signature, n)), salt == 32 ? KS_OK : KS_FORBIDDEN);
	}
	free_pair(&pair);
}

static void test_own_signatures(void **state)
{
	static const enum ks_sign_alg algs[] = {KS_SIGN_ALG_ES256, KS_SIGN_ALG_EDDSA};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(algs); i++) {
		KS_AUTO(ks_private_key_free_at) struct ks_private_key *key = NULL;
		KS_AUTO(ks_public_key_free_at) struct ks_public_key *public_key = NULL;

		assert_int_equal(ks_private_key_new(ks_sign_alg_form(algs[i]), &key), KS_OK);
		assert_int_equal(ks_private_key_public(key, &public_key), KS_OK);
		for (int round = 0; round < 4 * ROUNDS; round++) {
			unsigned char signature[KS_SIGNATURE_MAX];
			struct ks_str message = bytes_of((const unsigned char *)&round, sizeof(round));
			size_t n;

			assert_int_equal(ks_private_key_sign(key, algs[i], message, signature, &n), KS_OK);
			assert_int_equal(n, 64);
			assert_int_equal(ks_public_key_check(public_key, algs[i], message, bytes_of(signature, n)), KS_OK);
			assert_int_equal(ks_private_key_sign(key, algs[!i], message, signature, &n), KS_FORBIDDEN);
		}
	}
}

/* ---- what is wrong ---- */

struct curve {
	enum ks_key_form form;
	enum ks_sign_alg alg;
	const char *order; /* SP 800-186, 3.2.1 */
};

static const struct curve curves[] = {
	{KS_KEY_FORM_P256, KS_SIGN_ALG_ES256, "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"},
	{KS_KEY_FORM_P384, KS_SIGN_ALG_ES384,
	 "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973"},
	{KS_KEY_FORM_P521, KS_SIGN_ALG_ES512,
	 "01fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffa"
	 "51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409"},
};

#define SAMPLES 6

/* Numbers that no r or s may be, or that prove nothing: 0, 1, the order, one less, one more, all ones. */
static void make_samples(const struct curve *curve, size_t size, unsigned char samples[SAMPLES][KS_KEY_COORDINATE_MAX])
{
	memset(samples, 0, SAMPLES * KS_KEY_COORDINATE_MAX);
	samples[1][size - 1] = 1;
	for (int i = 2; i < 5; i++)
		assert_true(ks_hex_decode(ks_str_c(curve->order), false, samples[i], size));
	samples[3][size - 1]--;
	samples[4][size - 1]++;
	memset(samples[5], 0xff, size);
}

static void check_wrong_numbers(const struct curve *curve)
{
	struct pair pair = make_pair(curve->form);
	size_t size = field_size(curve->form);
	unsigned char samples[SAMPLES][KS_KEY_COORDINATE_MAX], der[DER_ROOM], right[DER_ROOM], raw[DER_ROOM];
	struct ks_str message = KS_STR("message");

	make_samples(curve, size, samples);
	raw_of(der, library_sign(pair.pkey, curve->alg, 0, message, der), size, right);
	for (int r = -1; r < SAMPLES; r++)
		for (int s = -1; s < SAMPLES; s++) {
			memcpy(raw, r < 0 ? right : samples[r], size);
			memcpy(&raw[size], s < 0 ? &right[size] : samples[s], size);
			assert_int_equal(ks_public_key_check(pair.public_key, curve->alg, message, bytes_of(raw, 2 * size)),
					 r < 0 && s < 0 ? KS_OK : KS_FORBIDDEN);
		}
	free_pair(&pair);
}

/* s + order is s to the arithmetic, and must not be to the check. It has room where s is small or the field's bytes
 * have bits to spare. */
static void check_order_added(const struct curve *curve)
{
	struct pair pair = make_pair(curve->form);
	size_t size = field_size(curve->form);
	unsigned char order[KS_KEY_COORDINATE_MAX], der[DER_ROOM], raw[DER_ROOM];
	struct ks_str message = KS_STR("message");

	assert_true(ks_hex_decode(ks_str_c(curve->order), false, order, size));
	for (size_t half = 0; half < 2; half++) {
		unsigned carry = 0;

		raw_of(der, library_sign(pair.pkey, curve->alg, 0, message, der), size, raw);
		for (size_t i = size; i-- > 0;) {
			carry += (unsigned)raw[half * size + i] + order[i];
			raw[half * size + i] = (unsigned char)carry;
			carry >>= 8;
		}
		assert_int_equal(ks_public_key_check(pair.public_key, curve->alg, message, bytes_of(raw, 2 * size)),
				 KS_FORBIDDEN);
	}
	free_pair(&pair);
}

static void test_wrong_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(curves); i++) {
		check_wrong_numbers(&curves[i]);
		check_order_added(&curves[i]);
	}
}

/* Every length but the right one, also of texts that begin with a right signature. */
static void test_wrong_lengths(void **state)
{
	(void)state;
	for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++) {
		enum ks_key_form form = ks_sign_alg_form((enum ks_sign_alg)alg);
		struct pair pair = make_pair(form);
		unsigned char der[DER_ROOM] = {0}, raw[DER_ROOM] = {0};
		size_t n = library_sign(pair.pkey, (enum ks_sign_alg)alg, RSA_PSS_SALTLEN_DIGEST, KS_STR("message"), der);

		memcpy(raw, der, n);
		if (field_size(form) > 0) {
			raw_of(der, n, field_size(form), raw);
			n = 2 * field_size(form);
			memset(&raw[n], 0, 64);
		}
		for (size_t length = 0; length <= n + 64; length++)
			assert_int_equal(ks_public_key_check(pair.public_key, (enum ks_sign_alg)alg, KS_STR("message"),
							     bytes_of(raw, length)), length == n ? KS_OK : KS_FORBIDDEN);
		free_pair(&pair);
	}
}

/* S + L of an Ed25519 signature (RFC 8032, 5.1.7: S must be below L). */
static void test_malleable_ed25519(void **state)
{
	static const char order[] = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
	struct pair pair = make_pair(KS_KEY_FORM_ED25519);
	unsigned char signature[DER_ROOM], added[32];
	size_t n = library_sign(pair.pkey, KS_SIGN_ALG_EDDSA, 0, KS_STR("message"), signature);
	unsigned carry = 0;

	(void)state;
	assert_int_equal(ks_public_key_check(pair.public_key, KS_SIGN_ALG_EDDSA, KS_STR("message"), bytes_of(signature, n)),
			 KS_OK);
	assert_true(ks_hex_decode(ks_str_c(order), false, added, sizeof(added)));
	for (size_t i = 0; i < 32; i++) {
		carry += (unsigned)signature[32 + i] + added[i];
		signature[32 + i] = (unsigned char)carry;
		carry >>= 8;
	}
	assert_int_equal(ks_public_key_check(pair.public_key, KS_SIGN_ALG_EDDSA, KS_STR("message"), bytes_of(signature, n)),
			 KS_FORBIDDEN);
	memset(signature, 0, sizeof(signature));
	assert_int_equal(ks_public_key_check(pair.public_key, KS_SIGN_ALG_EDDSA, KS_STR("message"), bytes_of(signature, 64)),
			 KS_FORBIDDEN);
	free_pair(&pair);
}

/* DER that is not the canonical one: numbers with zeros before them, long lengths, bytes after the end, negative. */
static void test_loose_der(void **state)
{
	struct pair pair = make_pair(KS_KEY_FORM_P256);
	unsigned char der[DER_ROOM], loose[DER_ROOM];
	size_t n = library_sign(pair.pkey, KS_SIGN_ALG_ES256, 0, KS_STR("message"), der);
	struct ks_str message = KS_STR("message");

	(void)state;
	assert_int_equal(ks_public_key_check_der(pair.public_key, KS_SIGN_ALG_ES256, message, bytes_of(der, n)), KS_OK);
	der[n] = 0;
	assert_int_equal(ks_public_key_check_der(pair.public_key, KS_SIGN_ALG_ES256, message, bytes_of(der, n + 1)),
			 KS_FORBIDDEN);
	/* The length in the long form. */
	loose[0] = 0x30;
	loose[1] = 0x81;
	memcpy(&loose[2], &der[1], n - 1);
	assert_int_equal(ks_public_key_check_der(pair.public_key, KS_SIGN_ALG_ES256, message, bytes_of(loose, n + 1)),
			 KS_FORBIDDEN);
	/* A zero more before r. */
	memcpy(loose, der, 4);
	loose[1]++;
	loose[3]++;
	loose[4] = 0;
	memcpy(&loose[5], &der[4], n - 4);
	assert_int_equal(ks_public_key_check_der(pair.public_key, KS_SIGN_ALG_ES256, message, bytes_of(loose, n + 1)),
			 KS_FORBIDDEN);
	for (size_t length = 0; length < n; length++)
		assert_int_equal(ks_public_key_check_der(pair.public_key, KS_SIGN_ALG_ES256, message, bytes_of(der, length)),
				 KS_FORBIDDEN);
	free_pair(&pair);
}

/* ---- keys that are none ---- */

static void test_what_is_no_public_key(void **state)
{
	unsigned char bytes[200] = {0};
	struct ks_public_key *key = NULL;
	EVP_PKEY *other = EVP_PKEY_Q_keygen(NULL, NULL, "X25519"), *curve = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "secp256k1");
	unsigned char *der = NULL, *curve_der = NULL;
	int n = i2d_PUBKEY(other, &der), curve_n = i2d_PUBKEY(curve, &curve_der);

	(void)state;
	assert_true(n > 0 && curve_n > 0);
	assert_int_equal(ks_public_key_spki(bytes_of(der, (size_t)n), &key), KS_MALFORMED);
	assert_int_equal(ks_public_key_spki(bytes_of(curve_der, (size_t)curve_n), &key), KS_MALFORMED);
	assert_int_equal(ks_public_key_spki(bytes_of(bytes, sizeof(bytes)), &key), KS_MALFORMED);
	assert_int_equal(ks_public_key_spki(KS_STR(""), &key), KS_MALFORMED);
	assert_int_equal(ks_public_key_ec(KS_KEY_FORM_RSA, bytes_of(bytes, 32), bytes_of(bytes, 32), &key), KS_MALFORMED);
	assert_int_equal(ks_public_key_ec(KS_KEY_FORM_P256, bytes_of(bytes, 32), bytes_of(bytes, 31), &key), KS_MALFORMED);
	assert_int_equal(ks_public_key_ed25519(bytes_of(bytes, 33), &key), KS_MALFORMED);
	assert_int_equal(ks_public_key_rsa(KS_STR(""), KS_STR("\3"), &key), KS_MALFORMED);
	assert_null(key);
	OPENSSL_free(der);
	OPENSSL_free(curve_der);
	EVP_PKEY_free(other);
	EVP_PKEY_free(curve);
}

/* Private keys of the forms that sign here, and of no other; one byte after the end is one too many. */
static void test_what_is_no_private_key(void **state)
{
	static const enum ks_key_form others[] = {KS_KEY_FORM_P384, KS_KEY_FORM_P521, KS_KEY_FORM_RSA};
	KS_AUTO(ks_private_key_free_at) struct ks_private_key *key = NULL;
	KS_AUTO(ks_secret_free) struct ks_secret der = {0};
	struct ks_private_key *none = NULL;
	unsigned char longer[KS_PRIVATE_KEY_MAX];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(others); i++) {
		EVP_PKEY *pkey = generate(others[i]);
		PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
		unsigned char *bytes = NULL;
		int n = i2d_PKCS8_PRIV_KEY_INFO(info, &bytes);

		assert_true(n > 0);
		assert_int_equal(ks_private_key_load(bytes_of(bytes, (size_t)n), &none), KS_MALFORMED);
		assert_int_equal(ks_private_key_new(others[i], &none), KS_MALFORMED);
		OPENSSL_free(bytes);
		PKCS8_PRIV_KEY_INFO_free(info);
		EVP_PKEY_free(pkey);
	}
	assert_int_equal(ks_private_key_new(KS_KEY_FORM_P256, &key), KS_OK);
	assert_int_equal(ks_private_key_save(key, &der), KS_OK);
	memcpy(longer, der.bytes, der.n);
	longer[der.n] = 0;
	assert_int_equal(ks_private_key_load(bytes_of(longer, der.n + 1), &none), KS_MALFORMED);
	/* The public half within is another key's: the last byte of its y. */
	longer[der.n - 1] ^= 1;
	assert_int_equal(ks_private_key_load(bytes_of(longer, der.n), &none), KS_MALFORMED);
	assert_null(none);
}

static void test_names(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KS_SIGN_ALG_COUNT; i++) {
		enum ks_sign_alg alg;

		assert_true(ks_sign_alg_parse(ks_sign_alg_name((enum ks_sign_alg)i), &alg));
		assert_int_equal(alg, i);
	}
	assert_int_equal(ks_sign_alg_name(KS_SIGN_ALG_COUNT).n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_library_agrees),    cmocka_unit_test(test_salt_of_another_length),
		cmocka_unit_test(test_own_signatures),        cmocka_unit_test(test_wrong_numbers),
		cmocka_unit_test(test_wrong_lengths),         cmocka_unit_test(test_malleable_ed25519),
		cmocka_unit_test(test_loose_der),             cmocka_unit_test(test_what_is_no_public_key),
		cmocka_unit_test(test_what_is_no_private_key), cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
