/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/ctenc.h"
#include "base/secret.h"
#include "token/token.h"

#define TOKEN "ks_0123456789abcdef0123456789abcdef"
#define BASIC_TEXT_SIZE 1100

static struct ks_credential credential;

static void authorization(const char *value)
{
	ks_credential_init(&credential);
	ks_credential_authorization(&credential, ks_str_c(value));
}

/* "Basic " and the base64 of `n` bytes. */
static const char *basic_of(const char *bytes, size_t n)
{
	static char text[BASIC_TEXT_SIZE];
	size_t encoded;

	memcpy(text, "Basic ", 6);
	encoded = ks_base64_encode((const unsigned char *)bytes, n, &text[6], sizeof(text) - 7);
	assert_true(encoded > 0);
	text[6 + encoded] = '\0';
	return text;
}

static const char *basic(const char *plain)
{
	return basic_of(plain, strlen(plain));
}

static void assert_malformed(bool basic_tried)
{
	assert_int_equal(credential.presented, KS_PRESENTED_MALFORMED);
	assert_int_equal(credential.form, KS_TOKEN_NONE);
	assert_int_equal(credential.token.n, 0);
	assert_int_equal(credential.user.n, 0);
	assert_int_equal(credential.basic_tried, basic_tried);
}

static void assert_token(const char *token, enum ks_token_form form, uint8_t kinds)
{
	assert_int_equal(credential.presented, KS_PRESENTED_TOKEN);
	assert_int_equal(credential.form, form);
	assert_true(ks_str_eq(credential.token, ks_str_c(token)));
	assert_int_equal(credential.user.n, 0);
	assert_int_equal(credential.kinds, kinds);
	assert_false(credential.basic_tried);
}

static void test_nothing(void **state)
{
	(void)state;
	authorization("");
	assert_int_equal(credential.presented, KS_PRESENTED_NOTHING);
	ks_credential_header(&credential, KS_STR(""), 1);
	ks_credential_header(&credential, (struct ks_str){NULL, 0}, 1);
	assert_int_equal(credential.presented, KS_PRESENTED_NOTHING);
	assert_false(credential.basic_tried);
	/* Empty ones do not count beside a full one either. */
	ks_credential_authorization(&credential, KS_STR("Bearer " TOKEN));
	ks_credential_header(&credential, KS_STR(""), 1);
	assert_token(TOKEN, KS_TOKEN_OWN, 0xff);
}

static void test_malformed_bearer(void **state)
{
	static const char *const bad[] = {
		" ", "Bearer", "Bearer ", "Bearer   ", " Bearer " TOKEN, "Bearer\t" TOKEN, "Bearer " TOKEN " ",
		"Bearer " TOKEN " x", "Bearer " TOKEN "," TOKEN, "Bearer: " TOKEN, "Bearer=" TOKEN, TOKEN,
		"Digest " TOKEN,
		"Token " TOKEN, "Bearer Bearer " TOKEN, "Bearer \t" TOKEN, "BearerX " TOKEN, "Beare " TOKEN,
		"Bearer \"" TOKEN "\"", "Bearer short", "Bearer ks_0123456789abcdef0123456789abcdef_00000000",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		authorization(bad[i]);
		assert_malformed(false);
	}
}

static void test_bearer(void **state)
{
	(void)state;
	authorization("Bearer " TOKEN);
	assert_token(TOKEN, KS_TOKEN_OWN, 0xff);
	authorization("bEARER    " TOKEN);
	assert_token(TOKEN, KS_TOKEN_OWN, 0xff);
	authorization("Bearer eyJhbGci.e30.sig");
	assert_token("eyJhbGci.e30.sig", KS_TOKEN_JWT, 0xff);
	authorization("Bearer legacy-key/1=");
	assert_token("legacy-key/1=", KS_TOKEN_FOREIGN, 0xff);
}

static void test_malformed_basic(void **state)
{
	static const char *const bad[] = {
		"Basic", "Basic ", "basic  ", "Basic *", "Basic cHJqOng", "Basic cHJqOng==", "Basic cHJq Ong=",
		"Basic cHJqOng= ", "Basic =", "BASIC ====",
	};
	static const char *const plain_bad[] = {
		"no colon in here", "prj_1:", "prj_1:short", "prj_1:has blank", "prj_1:eyJhbGci.e30.sig",
		"prj\x01:" TOKEN,
		"prj_1:" TOKEN "\n", "prj\x7f:" TOKEN, "prj\xff:" TOKEN, "prj\xc0\x80:" TOKEN, "prj_1:" TOKEN ":",
		"prj_1:" TOKEN "_00000000", "a:b:" TOKEN,
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		authorization(bad[i]);
		assert_malformed(true);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(plain_bad); i++) {
		authorization(basic(plain_bad[i]));
		assert_malformed(true);
	}
	authorization(basic_of("prj_1\0:" TOKEN, sizeof("prj_1\0:" TOKEN) - 1));
	assert_malformed(true);
}

static void test_basic(void **state)
{
	(void)state;
	authorization(basic("prj_0000000000001:" TOKEN));
	assert_int_equal(credential.presented, KS_PRESENTED_BASIC);
	assert_int_equal(credential.form, KS_TOKEN_OWN);
	assert_true(credential.basic_tried);
	assert_int_equal(credential.kinds, 0xff);
	assert_true(ks_str_eq(credential.user, KS_STR("prj_0000000000001")));
	assert_true(ks_str_eq(credential.token, KS_STR(TOKEN)));
	assert_ptr_equal(credential.user.p, credential.decoded);

	/* An empty user, or one that is no id, is for the look-up to refuse. */
	authorization(basic(":" TOKEN));
	assert_int_equal(credential.presented, KS_PRESENTED_BASIC);
	assert_int_equal(credential.user.n, 0);
	authorization(basic("caf\xc3\xa9:legacy-key/1="));
	assert_int_equal(credential.presented, KS_PRESENTED_BASIC);
	assert_int_equal(credential.form, KS_TOKEN_FOREIGN);
	authorization("bAsIc   Om9sZC1rZXktMQ==");
	assert_int_equal(credential.presented, KS_PRESENTED_BASIC);
	assert_true(ks_str_eq(credential.token, KS_STR("old-key-1")));
}

static void test_basic_bounds(void **state)
{
	static char plain[KS_BASIC_DECODED_MAX + 1];

	(void)state;
	memset(plain, 'u', sizeof(plain));
	plain[KS_BASIC_DECODED_MAX - 9] = ':';
	authorization(basic_of(plain, KS_BASIC_DECODED_MAX));
	assert_int_equal(credential.presented, KS_PRESENTED_BASIC);
	assert_int_equal(credential.token.n, 8);
	authorization(basic_of(plain, KS_BASIC_DECODED_MAX + 1));
	assert_malformed(true);
}

static void test_headers(void **state)
{
	(void)state;
	ks_credential_init(&credential);
	ks_credential_header(&credential, KS_STR(TOKEN), 0xff);
	assert_token(TOKEN, KS_TOKEN_OWN, 0xff);
	ks_credential_init(&credential);
	ks_credential_header(&credential, KS_STR(TOKEN), 4);
	assert_token(TOKEN, KS_TOKEN_OWN, 4);
	ks_credential_init(&credential);
	ks_credential_header(&credential, KS_STR("Bearer " TOKEN), 4);
	assert_malformed(false);
	ks_credential_init(&credential);
	ks_credential_header(&credential, KS_STR(" " TOKEN), 4);
	assert_malformed(false);
}

enum carrier { BEARER, BASIC, HEADER, BROKEN, CARRIER_COUNT };

static void add(enum carrier carrier)
{
	switch (carrier) {
	case BEARER:
		ks_credential_authorization(&credential, KS_STR("Bearer " TOKEN));
		break;
	case BASIC:
		ks_credential_authorization(&credential, ks_str_c(basic("prj_0000000000001:" TOKEN)));
		break;
	case HEADER:
		ks_credential_header(&credential, KS_STR(TOKEN), 0xff);
		break;
	default:
		ks_credential_header(&credential, KS_STR("?"), 0xff);
	}
}

/* Two are malformed, also if they are equal, and stay so with a third. */
static void test_more_than_one(void **state)
{
	(void)state;
	for (unsigned i = 0; i < CARRIER_COUNT * CARRIER_COUNT * CARRIER_COUNT; i++) {
		enum carrier first = i % CARRIER_COUNT, second = i / CARRIER_COUNT % CARRIER_COUNT;
		enum carrier third = i / CARRIER_COUNT / CARRIER_COUNT;

		ks_credential_init(&credential);
		add(first);
		add(second);
		assert_malformed(first == BASIC || second == BASIC);
		add(third);
		assert_malformed(first == BASIC || second == BASIC || third == BASIC);
	}
}

static bool holds_token(void)
{
	struct ks_str decoded = ks_str_of(credential.decoded, sizeof(credential.decoded));

	for (size_t i = 0; i + 8 <= decoded.n; i++)
		if (ks_str_eq(ks_str_sub(decoded, i, 8), KS_STR("01234567")))
			return true;
	return false;
}

static void test_wipe(void **state)
{
	(void)state;
	memset(credential.decoded, 'd', sizeof(credential.decoded));
	authorization(basic("prj_0000000000001:" TOKEN));
	assert_true(holds_token());
	ks_credential_wipe(&credential);
	assert_false(holds_token());
	assert_int_equal(credential.token.n, 0);
	assert_int_equal(credential.user.n, 0);

	/* What was decoded before it was found malformed, or before a second credential came, is wiped at once. */
	authorization(basic("prj_1:" TOKEN "_00000000"));
	assert_malformed(true);
	assert_false(holds_token());
	authorization(basic("no colon " TOKEN));
	assert_false(holds_token());
	authorization(basic("prj_1:" TOKEN));
	ks_credential_header(&credential, KS_STR(TOKEN), 0xff);
	assert_malformed(true);
	assert_false(holds_token());

	authorization("Bearer " TOKEN);
	ks_credential_wipe(&credential);
	assert_int_equal(credential.token.n, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_malformed_bearer),
		cmocka_unit_test(test_bearer),
		cmocka_unit_test(test_malformed_basic),
		cmocka_unit_test(test_basic),
		cmocka_unit_test(test_basic_bounds),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_more_than_one),
		cmocka_unit_test(test_wipe),
	};

	return cmocka_run_group_tests_name("credential", tests, NULL, NULL);
}
