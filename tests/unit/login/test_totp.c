/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "login/totp.h"

static const uint8_t secret[] = "12345678901234567890";

/* RFC 6238, appendix B, for SHA-1: the last six of its eight digits. RFC 4226, appendix D: counters 0 to 9. */
static void codes_are_as_published(void **state)
{
	static const struct {
		uint64_t seconds;
		const char *code;
	} times[] = {
		{59, "287082"},         {1111111109, "081804"}, {1111111111, "050471"},
		{1234567890, "005924"}, {2000000000, "279037"}, {20000000000, "353130"},
	};
	static const char *const counters[] = {"755224", "287082", "359152", "969429", "338314",
					       "254676", "287922", "162583", "399871", "520489"};
	char code[KS_TOTP_DIGITS + 1];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(times); i++) {
		assert_int_equal(ks_totp_code(secret, times[i].seconds / KS_TOTP_STEP_S, code), KS_OK);
		assert_string_equal(code, times[i].code);
	}
	for (size_t i = 0; i < KS_ARRAY_LEN(counters); i++) {
		assert_int_equal(ks_totp_code(secret, i, code), KS_OK);
		assert_string_equal(code, counters[i]);
	}
}

static void a_step_before_and_after_is_taken(void **state)
{
	static const int64_t now_ms = INT64_C(1111111111000);
	uint64_t now = (uint64_t)now_ms / 30000, step;
	char code[KS_TOTP_DIGITS + 1];

	(void)state;
	for (uint64_t at = now - 3; at <= now + 3; at++) {
		bool near = at + 1 >= now && at <= now + 1;

		assert_int_equal(ks_totp_code(secret, at, code), KS_OK);
		step = 0;
		assert_int_equal(ks_totp_check(secret, ks_str_c(code), now_ms, 0, &step), near);
		assert_int_equal(step, near ? at : 0);
	}
}

static void a_code_is_taken_once(void **state)
{
	static const int64_t now_ms = INT64_C(1111111111000);
	uint64_t now = (uint64_t)now_ms / 30000, step = 0;
	char code[KS_TOTP_DIGITS + 1], before[KS_TOTP_DIGITS + 1];

	(void)state;
	assert_int_equal(ks_totp_code(secret, now, code), KS_OK);
	assert_int_equal(ks_totp_code(secret, now - 1, before), KS_OK);
	assert_true(ks_totp_check(secret, ks_str_c(code), now_ms, now - 1, &step));
	assert_int_equal(step, now);
	assert_false(ks_totp_check(secret, ks_str_c(code), now_ms, now, &step));
	assert_false(ks_totp_check(secret, ks_str_c(before), now_ms, now, &step));
}

static void what_is_no_code_is_refused(void **state)
{
	static const char *const codes[] = {"", "0", "28708", "2870822", "28708x", " 287082", "287 082", "------"};
	uint64_t step = 0;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(codes); i++)
		assert_false(ks_totp_check(secret, ks_str_c(codes[i]), 59000, 0, &step));
	assert_true(ks_totp_check(secret, KS_STR("287082"), 59000, 0, &step));
	assert_false(ks_totp_check(secret, KS_STR("755224"), -5, 0, &step));
}

/* RFC 4648, 10. */
static void base32_is_as_published(void **state)
{
	static const char *const plain[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
	static const char *const coded[] = {"", "MY", "MZXQ", "MZXW6", "MZXW6YQ", "MZXW6YTB", "MZXW6YTBOI"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(plain); i++) {
		char text[32];
		struct ks_buf b = KS_BUF(text);

		ks_base32_put(&b, (const uint8_t *)plain[i], strlen(plain[i]));
		assert_string_equal(ks_buf_z(&b), coded[i]);
	}
}

static void the_url_is_what_authenticators_read(void **state)
{
	char text[512];
	struct ks_buf b = KS_BUF(text);

	(void)state;
	ks_totp_put_url(&b, secret, KS_STR("Key stile"), KS_STR("ada+x@example.com"));
	assert_string_equal(ks_buf_z(&b), "otpauth://totp/Key%20stile%3Aada%2Bx%40example.com"
					  "?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=Key%20stile"
					  "&algorithm=SHA1&digits=6&period=30");
}

static void recovery_codes_are_read_as_people_type(void **state)
{
	static const uint8_t random[KS_RECOVERY_RANDOM] = {0, 1, 2, 3, 4, 5, 250, 251, 252, 253};
	static const char *const bad[] = {"", "ABCD", "AAAQ-EAYE-AUP2-X7H", "AAAQ-EAYE-AUP2-X7H5A", "AAAQ-EAYE-AUP2-X7H1",
					  "AAAQ_EAYE_AUP2_X7H5"};
	char code[KS_RECOVERY_TEXT_SIZE], typed[64], again[KS_RECOVERY_TEXT_SIZE];

	(void)state;
	ks_recovery_format(random, code);
	assert_int_equal(strlen(code), 19);
	assert_int_equal(code[4], '-');
	assert_int_equal(code[14], '-');
	for (size_t i = 0; i <= strlen(code); i++)
		typed[i] = code[i] >= 'A' && code[i] <= 'Z' ? (char)(code[i] - 'A' + 'a') : code[i] == '-' ? ' ' : code[i];
	assert_true(ks_recovery_read(ks_str_c(typed), again));
	assert_string_equal(code, again);
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(ks_recovery_read(ks_str_c(bad[i]), again));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(codes_are_as_published),
		cmocka_unit_test(a_step_before_and_after_is_taken),
		cmocka_unit_test(a_code_is_taken_once),
		cmocka_unit_test(what_is_no_code_is_refused),
		cmocka_unit_test(base32_is_as_published),
		cmocka_unit_test(the_url_is_what_authenticators_read),
		cmocka_unit_test(recovery_codes_are_read_as_people_type),
	};

	return cmocka_run_group_tests_name("totp", tests, NULL, NULL);
}
