/* SPDX-License-Identifier: Apache-2.0 */
/* What is sent is what our own verifier of others' webhooks takes, and the example of the Standard Webhooks specification. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ctenc.h"
#include "base/secret.h"
#include "crypto/sign.h"
#include "delivery/sign.h"

#define ID "msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TIMESTAMP "1614265330"

static void the_example_of_the_specification(void **state)
{
	unsigned char key[64];
	size_t n;
	char text[KS_SIGNATURES_SIZE];
	struct ks_buf out = KS_BUF(text);

	(void)state;
	assert_true(ks_base64_decode(KS_STR("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), key, sizeof(key), &n));
	assert_int_equal(ks_signature_write(KS_ENDPOINT_V1, ks_str_of((const char *)key, n), KS_STR(ID), KS_STR(TIMESTAMP),
					    KS_STR("{\"test\": 2432232314}"), &out),
			 KS_OK);
	assert_string_equal(ks_buf_z(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

static void an_ed25519_signature_verifies_over_id_time_and_body(void **state)
{
	static const char *const bodies[] = {"{\"test\": 2432232314}", "", "gr\xc3\xbc\xc3\x9f"};
	KS_AUTO(ks_private_key_free_at) struct ks_private_key *key = NULL;
	KS_AUTO(ks_public_key_free_at) struct ks_public_key *public_key = NULL;
	KS_AUTO(ks_secret_free) struct ks_secret der = {0};

	(void)state;
	assert_int_equal(ks_private_key_new(KS_KEY_FORM_ED25519, &key), KS_OK);
	assert_int_equal(ks_private_key_save(key, &der), KS_OK);
	assert_true(der.n <= KS_ENDPOINT_KEY_MAX);
	assert_int_equal(ks_private_key_public(key, &public_key), KS_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(bodies); i++) {
		char text[KS_SIGNATURES_SIZE], message[256];
		unsigned char signature[64];
		struct ks_buf out = KS_BUF(text), m = KS_BUF(message);
		size_t n;

		assert_int_equal(ks_signature_write(KS_ENDPOINT_V1A, ks_str_of((const char *)der.bytes, der.n), KS_STR(ID),
						    KS_STR(TIMESTAMP), ks_str_c(bodies[i]), &out),
				 KS_OK);
		assert_true(ks_str_starts(ks_buf_str(&out), KS_STR("v1a,")));
		assert_true(ks_base64_decode(ks_str_sub(ks_buf_str(&out), 4, SIZE_MAX), signature, sizeof(signature), &n));
		ks_buf_printf(&m, "%s.%s.%s", ID, TIMESTAMP, bodies[i]);
		assert_int_equal(ks_public_key_check(public_key, KS_SIGN_ALG_EDDSA, ks_buf_str(&m),
						     ks_str_of((const char *)signature, n)),
				 KS_OK);
	}
}

static void a_key_that_is_none_signs_nothing(void **state)
{
	char text[KS_SIGNATURES_SIZE];
	struct ks_buf out = KS_BUF(text);

	(void)state;
	assert_int_not_equal(ks_signature_write(KS_ENDPOINT_V1A, KS_STR("not a key"), KS_STR(ID), KS_STR(TIMESTAMP), KS_STR(""),
						&out),
			     KS_OK);
	assert_int_equal(out.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_example_of_the_specification),
		cmocka_unit_test(an_ed25519_signature_verifies_over_id_time_and_body),
		cmocka_unit_test(a_key_that_is_none_signs_nothing),
	};

	return cmocka_run_group_tests_name("sign", tests, NULL, NULL);
}
