/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jose/claims.h"
#include "jose/signer.h"

#define PAYLOAD "{\"iss\":\"https://keystile.example\",\"sub\":\"key_1\",\"exp\":1700000000}"

static const enum ks_sign_alg algs[] = {KS_SIGN_ALG_ES256, KS_SIGN_ALG_EDDSA};

static void sign(const struct ks_jose_signer *signer, struct ks_buf *out)
{
	assert_int_equal(ks_jose_sign(signer, KS_STR("at+jwt"), KS_STR(PAYLOAD), out), KS_JOSE_OK);
}

static void test_what_is_signed_verifies(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(algs); i++) {
		KS_AUTO(ks_jose_signer_free_at) struct ks_jose_signer *signer = NULL;
		const struct ks_jose_key *key;
		struct ks_jws jws;

		assert_int_equal(ks_jose_signer_new(algs[i], &signer), KS_JOSE_OK);
		assert_int_equal(ks_jose_signer_alg(signer), algs[i]);
		key = ks_jose_signer_key(signer);
		for (int round = 0; round < 500; round++) {
			char text[1024];
			struct ks_buf out = KS_BUF(text);

			sign(signer, &out);
			assert_int_equal(ks_jws_parse(ks_buf_str(&out), &jws), KS_JOSE_OK);
			assert_int_equal(jws.alg, algs[i]);
			assert_true(ks_str_eq(jws.kid, ks_jose_key_thumbprint(key)));
			assert_true(ks_str_eq(jws.payload, KS_STR(PAYLOAD)));
			assert_true(ks_jws_typ_is(&jws, KS_STR("AT+JWT")));
			assert_int_equal(jws.signature.n, 64);
			assert_int_equal(ks_jose_verify(key, &jws), KS_JOSE_OK);
		}
	}
}

static void test_another_key_refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(algs); i++) {
		KS_AUTO(ks_jose_signer_free_at) struct ks_jose_signer *signer = NULL, *same = NULL, *other = NULL;
		char text[1024];
		struct ks_buf out = KS_BUF(text);
		struct ks_jws jws;

		assert_int_equal(ks_jose_signer_new(algs[i], &signer), KS_JOSE_OK);
		assert_int_equal(ks_jose_signer_new(algs[i], &same), KS_JOSE_OK);
		assert_int_equal(ks_jose_signer_new(algs[!i], &other), KS_JOSE_OK);
		sign(signer, &out);
		assert_int_equal(ks_jws_parse(ks_buf_str(&out), &jws), KS_JOSE_OK);
		assert_int_equal(ks_jose_verify(ks_jose_signer_key(same), &jws), KS_JOSE_SIGNATURE);
		assert_int_equal(ks_jose_verify(ks_jose_signer_key(other), &jws), KS_JOSE_ALG_OTHER);
	}
}

static void test_saved_and_loaded(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(algs); i++) {
		KS_AUTO(ks_jose_signer_free_at) struct ks_jose_signer *signer = NULL, *loaded = NULL;
		KS_AUTO(ks_secret_free) struct ks_secret der = {0};
		char text[1024];
		struct ks_buf out = KS_BUF(text);
		struct ks_jws jws;
		struct ks_str bytes;

		assert_int_equal(ks_jose_signer_new(algs[i], &signer), KS_JOSE_OK);
		assert_int_equal(ks_jose_signer_save(signer, &der), KS_JOSE_OK);
		bytes = ks_str_of((const char *)der.bytes, der.n);
		assert_int_equal(ks_jose_signer_load(bytes, &loaded), KS_JOSE_OK);
		assert_int_equal(ks_jose_signer_alg(loaded), algs[i]);
		sign(loaded, &out);
		assert_int_equal(ks_jws_parse(ks_buf_str(&out), &jws), KS_JOSE_OK);
		assert_int_equal(ks_jose_verify(ks_jose_signer_key(signer), &jws), KS_JOSE_OK);
		/* Cut anywhere it is no key. */
		for (size_t n = 0; n < bytes.n; n++) {
			struct ks_jose_signer *none = NULL;

			assert_int_equal(ks_jose_signer_load(ks_str_sub(bytes, 0, n), &none), KS_JOSE_KEY_VALUE);
			assert_null(none);
		}
	}
}

static void test_public_key_out(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(algs); i++) {
		KS_AUTO(ks_jose_signer_free_at) struct ks_jose_signer *signer = NULL;
		KS_AUTO(ks_jose_key_free_at) struct ks_jose_key *key = NULL;
		char text[1024], token[1024];
		struct ks_buf jwk = KS_BUF(text), out = KS_BUF(token);
		struct ks_jws jws;

		assert_int_equal(ks_jose_signer_new(algs[i], &signer), KS_JOSE_OK);
		ks_jose_key_write(ks_jose_signer_key(signer), &jwk);
		assert_int_equal(ks_jwk_parse(ks_buf_str(&jwk), &key), KS_JOSE_OK);
		assert_true(ks_str_eq(ks_jose_key_kid(key), ks_jose_key_thumbprint(ks_jose_signer_key(signer))));
		assert_true(ks_str_eq(ks_jose_key_thumbprint(key), ks_jose_key_kid(key)));
		sign(signer, &out);
		assert_int_equal(ks_jws_parse(ks_buf_str(&out), &jws), KS_JOSE_OK);
		assert_int_equal(ks_jose_verify(key, &jws), KS_JOSE_OK);
	}
}

static void test_limits(void **state)
{
	static char payload[KS_JWS_PAYLOAD_MAX + 1], text[2 * KS_JWS_TOKEN_MAX];
	KS_AUTO(ks_jose_signer_free_at) struct ks_jose_signer *signer = NULL;
	struct ks_buf out = KS_BUF(text);
	struct ks_jose_signer *none = NULL;

	(void)state;
	for (unsigned alg = 0; alg <= KS_SIGN_ALG_COUNT; alg++)
		if (alg != KS_SIGN_ALG_ES256 && alg != KS_SIGN_ALG_EDDSA)
			assert_int_equal(ks_jose_signer_new((enum ks_sign_alg)alg, &none), KS_JOSE_KEY_TYPE);
	assert_null(none);
	memset(payload, ' ', sizeof(payload));
	assert_int_equal(ks_jose_signer_new(KS_SIGN_ALG_EDDSA, &signer), KS_JOSE_OK);
	assert_int_equal(ks_jose_sign(signer, KS_STR("JWT"), ks_str_of(payload, sizeof(payload)), &out),
			 KS_JOSE_PAYLOAD_TOO_LARGE);
	/* As a token it would be longer than any that is taken. */
	assert_int_equal(ks_jose_sign(signer, KS_STR("JWT"), ks_str_of(payload, KS_JWS_PAYLOAD_MAX), &out),
			 KS_JOSE_TOKEN_TOO_LARGE);
	out = ks_buf_of(text, 200);
	assert_int_equal(ks_jose_sign(signer, KS_STR("JWT"), KS_STR(PAYLOAD), &out), KS_JOSE_TOKEN_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_signed_verifies), cmocka_unit_test(test_another_key_refuses),
		cmocka_unit_test(test_saved_and_loaded),        cmocka_unit_test(test_public_key_out),
		cmocka_unit_test(test_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
