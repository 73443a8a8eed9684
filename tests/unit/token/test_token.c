/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "token/token.h"

#define HEX "0123456789abcdef0123456789abcdef"
#define WORD16 "abcdefghijklmnop"

static const uint8_t random_bytes[KS_TOKEN_RANDOM_BYTES] = {
	0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef, 0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
};

/* A copy that ends exactly where its memory does, so that a read too far is found out. */
static enum ks_token_form form_of(const char *text)
{
	size_t n = strlen(text);
	char *copy = malloc(n ? n : 1);
	enum ks_token_form form;

	assert_non_null(copy);
	memcpy(copy, text, n);
	form = ks_token_form(ks_str_of(copy, n));
	free(copy);
	return form;
}

static void assert_form(const char *text, enum ks_token_form expected)
{
	if (form_of(text) != expected)
		fail_msg("\"%s\" has form %d, not %d", text, (int)form_of(text), (int)expected);
	if (expected != KS_TOKEN_OWN)
		assert_int_equal(ks_token_prefix(ks_str_c(text)).n, 0);
}

/* The right checksum behind `body`. */
static const char *with_checksum(const char *body, uint32_t difference)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s_%08x", body, ks_crc32(0, body, strlen(body)) ^ difference);
	return text;
}

static void test_formless(void **state)
{
	static const char *const bad[] = {
		"", "a", "_", "short", "1234567", "has blank in it", "tab\there12", "quote\"1234", "comma,12345",
		"colon:12345", "a;b;c;d;e;f", "control\x01xx", "del\x7fxxxxx", "caf\xc3\xa9xxxxx", "percent%41xx",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_form(bad[i], KS_TOKEN_NONE);
	assert_int_equal(ks_token_form(KS_STR("nul\0nul\0nul")), KS_TOKEN_NONE);
	assert_int_equal(ks_token_form((struct ks_str){NULL, 0}), KS_TOKEN_NONE);
}

static void test_wrong_checksum_is_no_form(void **state)
{
	static const char *const bodies[] = {"k_" HEX, "ks_" HEX, "ks_live_" HEX, WORD16 "_" "abcdefghijklmno" "_" HEX};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bodies); i++) {
		assert_form(with_checksum(bodies[i], 0), KS_TOKEN_OWN);
		for (unsigned bit = 0; bit < 32; bit++)
			assert_form(with_checksum(bodies[i], 1u << bit), KS_TOKEN_NONE);
	}
}

/* What has not the own form falls to the foreign one, whose alphabet it has. */
static void test_almost_own(void **state)
{
	(void)state;
	assert_form("ks_0123456789abcdef0123456789abcde", KS_TOKEN_FOREIGN);
	assert_form("ks_0123456789abcdef0123456789abcdef0", KS_TOKEN_FOREIGN);
	assert_form("ks_0123456789ABCDEF0123456789ABCDEF", KS_TOKEN_FOREIGN);
	assert_form("ks_0123456789abcdeg0123456789abcdef", KS_TOKEN_FOREIGN);
	assert_form("ks-" HEX, KS_TOKEN_FOREIGN);
	assert_form("_" HEX, KS_TOKEN_FOREIGN);
	assert_form(HEX, KS_TOKEN_FOREIGN);
	assert_form("1s_" HEX, KS_TOKEN_FOREIGN);
	assert_form("Ks_" HEX, KS_TOKEN_FOREIGN);
	assert_form("ks__" HEX, KS_TOKEN_FOREIGN);
	assert_form("ks_A_" HEX, KS_TOKEN_FOREIGN);
	assert_form("abcdefghijklmnopq_" HEX, KS_TOKEN_FOREIGN);
	assert_form("a_abcdefghijklmnopq_" HEX, KS_TOKEN_FOREIGN);
	assert_form(WORD16 "_" WORD16 "_" HEX, KS_TOKEN_FOREIGN);
	assert_form("ks_" HEX "_", KS_TOKEN_FOREIGN);
	assert_form("ks_" HEX "_0123456", KS_TOKEN_FOREIGN);
	assert_form("ks_" HEX "_012345678", KS_TOKEN_FOREIGN);
	assert_form("ks_" HEX "_0123456G", KS_TOKEN_FOREIGN);
	assert_form("ks_" HEX "_0123ABCD", KS_TOKEN_FOREIGN);
	assert_form("ks_" HEX "_01234567_01234567", KS_TOKEN_FOREIGN);
	assert_form(with_checksum("ks_0123456789abcdef0123456789abcde", 0), KS_TOKEN_FOREIGN);
	assert_form(with_checksum("Ks_" HEX, 0), KS_TOKEN_FOREIGN);
	assert_form(with_checksum(WORD16 "_" WORD16 "_" HEX, 0), KS_TOKEN_FOREIGN);
	assert_form("ks_" HEX " ", KS_TOKEN_NONE);
	assert_form(" ks_" HEX, KS_TOKEN_NONE);
	assert_form("ks_" HEX "\n", KS_TOKEN_NONE);
}

static void test_own(void **state)
{
	static const char *const prefixes[] = {
		"a", "z9", "revdesk", "ks", WORD16, "ks_live", "a_b_c", "k_0123456789abcdef", "a_" WORD16,
		WORD16 "_" "abcdefghijklmno", "a_1_2_3_4_5_6_7_8_9_a_b_c_d_e_ff", "eyj",
	};
	char text[KS_TOKEN_TEXT_SIZE];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(prefixes); i++) {
		struct ks_str prefix = ks_str_c(prefixes[i]);

		assert_true(ks_token_prefix_ok(prefix));
		for (int checksum = 0; checksum < 2; checksum++) {
			assert_int_equal(ks_token_make(prefix, random_bytes, checksum, text), KS_OK);
			assert_int_equal(strlen(text), prefix.n + 1 + 32 + (checksum ? 9 : 0));
			assert_form(text, KS_TOKEN_OWN);
			assert_true(ks_str_eq(ks_token_prefix(ks_str_c(text)), prefix));
		}
	}
	assert_int_equal(ks_token_make(KS_STR("ks"), random_bytes, false, text), KS_OK);
	assert_string_equal(text, "ks_" HEX);
	/* zlib.crc32(b"ks_" + ...) */
	assert_int_equal(ks_token_make(KS_STR("ks"), random_bytes, true, text), KS_OK);
	assert_string_equal(text, "ks_" HEX "_2ce87ab8");
}

static void test_bad_prefixes(void **state)
{
	static const char *const bad[] = {
		"", "_", "a_", "_a", "a__b", "1", "1a", "A", "aB", "a-b", "a b", "a.b", "a\n", "\xc3\xa9",
		"abcdefghijklmnopq", "a_abcdefghijklmnopq", WORD16 "_" WORD16, "a_0123456789abcdef0123456789abcd",
		"a_1_2_3_4_5_6_7_8_9_a_b_c_d_e_fff", HEX,
	};
	char text[KS_TOKEN_TEXT_SIZE] = "kept";

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		assert_false(ks_token_prefix_ok(ks_str_c(bad[i])));
		assert_int_equal(ks_token_make(ks_str_c(bad[i]), random_bytes, false, text), KS_MALFORMED);
	}
	assert_false(ks_token_prefix_ok(KS_STR("a\0b")));
	assert_string_equal(text, "kept");
}

/* Each single byte changed in each place of a token with a checksum: never again of the own form. */
static void test_checksum_finds_every_changed_byte(void **state)
{
	char text[KS_TOKEN_TEXT_SIZE];
	size_t n;

	(void)state;
	assert_int_equal(ks_token_make(KS_STR("ks_live"), random_bytes, true, text), KS_OK);
	n = strlen(text);
	for (size_t place = 0; place < n; place++) {
		char kept = text[place];

		for (unsigned c = 0; c < 256; c++) {
			text[place] = (char)c;
			if (text[place] != kept)
				assert_int_not_equal(ks_token_form(ks_str_of(text, n)), KS_TOKEN_OWN);
		}
		text[place] = kept;
	}
}

static void test_jwt(void **state)
{
	static const char *const good[] = {
		"eyJ.a.b", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c3JfMSJ9.c2ln", "eyJ-_.-_.-_", "eyJhbGciOiJub25lIn0.e30.A",
	};
	/* These have the bytes of a foreign token, but for the ones that are too short for it. */
	static const char *const foreign[] = {
		"eyJhbGci.e30", "eyJhbGci.e30.", "eyJhbGci..sig", ".eyJh.e30.sig", "eyJhbGci.e30.sig.more",
		"eyjhbGci.e30.sig", "EyJhbGci.e30.sig", "eyJhbGc=.e30.sig", "eyJhbGci.e3+.sig", "eyJhbGci.e30.s/g",
		"eyJhbGci.e30.sig=", "eyJhbGci.e30.s~g",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(good); i++)
		assert_form(good[i], KS_TOKEN_JWT);
	for (size_t i = 0; i < KS_ARRAY_LEN(foreign); i++)
		assert_form(foreign[i], KS_TOKEN_FOREIGN);
	assert_form("eyJ..b", KS_TOKEN_NONE);
	assert_form("eyJ", KS_TOKEN_NONE);
	assert_form("eyJhbGci.e30.s g", KS_TOKEN_NONE);
}

static void test_long_jwt(void **state)
{
	static char text[8000];

	(void)state;
	memset(text, 'A', sizeof(text));
	memcpy(text, "eyJ", 3);
	text[100] = text[4000] = '.';
	assert_int_equal(ks_token_form(ks_str_of(text, sizeof(text))), KS_TOKEN_JWT);
	text[100] = 'A';
	assert_int_equal(ks_token_form(ks_str_of(text, sizeof(text))), KS_TOKEN_NONE);
}

static void test_foreign_bounds(void **state)
{
	static char text[KS_TOKEN_FOREIGN_MAX + 1];

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(ks_token_form(ks_str_of(text, KS_TOKEN_FOREIGN_MIN - 1)), KS_TOKEN_NONE);
	assert_int_equal(ks_token_form(ks_str_of(text, KS_TOKEN_FOREIGN_MIN)), KS_TOKEN_FOREIGN);
	assert_int_equal(ks_token_form(ks_str_of(text, KS_TOKEN_FOREIGN_MAX)), KS_TOKEN_FOREIGN);
	assert_int_equal(ks_token_form(ks_str_of(text, KS_TOKEN_FOREIGN_MAX + 1)), KS_TOKEN_NONE);
	for (unsigned c = 0; c < 256; c++) {
		bool alphabet = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
				(c && c < 128 && strchr("-._~+/=", (int)c));

		text[4] = (char)c;
		assert_int_equal(ks_token_form(ks_str_of(text, 8)), alphabet ? KS_TOKEN_FOREIGN : KS_TOKEN_NONE);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formless),
		cmocka_unit_test(test_wrong_checksum_is_no_form),
		cmocka_unit_test(test_almost_own),
		cmocka_unit_test(test_own),
		cmocka_unit_test(test_bad_prefixes),
		cmocka_unit_test(test_checksum_finds_every_changed_byte),
		cmocka_unit_test(test_jwt),
		cmocka_unit_test(test_long_jwt),
		cmocka_unit_test(test_foreign_bounds),
	};

	return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
