/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/ctenc.h"
#include "crypto/seal.h"

static const uint8_t key_a[KS_SEAL_KEY_SIZE] = {1, 2, 3};
static const uint8_t key_b[KS_SEAL_KEY_SIZE] = {1, 2, 4};
static const uint8_t nonce[KS_SEAL_NONCE_SIZE] = {9, 8, 7};

static size_t seal(const char *associated, const char *plain, uint8_t *ret_sealed, size_t cap)
{
	size_t n = 0;

	assert_int_equal(ks_seal(key_a, nonce, ks_str_c(associated), ks_str_c(plain), ret_sealed, cap, &n), KS_OK);
	return n;
}

static enum ks_err unseal(const uint8_t *key, const char *associated, const uint8_t *sealed, size_t n)
{
	uint8_t plain[256];
	size_t got = 77;
	enum ks_err err;

	memset(plain, 0x55, sizeof(plain));
	err = ks_unseal(key, ks_str_c(associated), ks_str_of((const char *)sealed, n), plain, sizeof(plain), &got);
	if (err != KS_OK) {
		/* Nothing of the text is left, and nothing was said of its length. */
		assert_int_equal(got, 77);
		for (size_t i = 0; i + KS_SEAL_OVERHEAD < n; i++)
			assert_true(plain[i] == 0 || plain[i] == 0x55);
	}
	return err;
}

/* The GCM specification of McGrew and Viega, test case 16: 256-bit key, with associated data. */
static void gcm_is_as_published(void **state)
{
	static const char key_hex[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
	static const char plain_hex[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
					"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
	static const char associated_hex[] = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
	static const char expected_hex[] = "01cafebabefacedbaddecaf888"
					   "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
					   "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
					   "76fc6ece0f4e1768cddf8853bb2d551b";
	uint8_t key[32], plain[60], associated[20], iv[12], expected[89], sealed[89];
	size_t n;

	(void)state;
	assert_true(ks_hex_decode(ks_str_c(key_hex), false, key, sizeof(key)));
	assert_true(ks_hex_decode(ks_str_c(plain_hex), false, plain, sizeof(plain)));
	assert_true(ks_hex_decode(ks_str_c(associated_hex), false, associated, sizeof(associated)));
	assert_true(ks_hex_decode(KS_STR("cafebabefacedbaddecaf888"), false, iv, sizeof(iv)));
	assert_true(ks_hex_decode(ks_str_c(expected_hex), false, expected, sizeof(expected)));
	assert_int_equal(ks_seal(key, iv, ks_str_of((char *)associated, 20), ks_str_of((char *)plain, 60), sealed,
				 sizeof(sealed), &n),
			 KS_OK);
	assert_int_equal(n, sizeof(expected));
	assert_memory_equal(sealed, expected, n);
}

static void what_was_sealed_is_opened(void **state)
{
	static const char *const texts[] = {"", "x", "0123456789abcdef", "a text that is longer than one block"};
	uint8_t sealed[256], plain[256];
	size_t n, got;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(texts); i++) {
		n = seal("who", texts[i], sealed, sizeof(sealed));
		assert_int_equal(n, strlen(texts[i]) + KS_SEAL_OVERHEAD);
		assert_int_equal(ks_unseal(key_a, KS_STR("who"), ks_str_of((char *)sealed, n), plain, sizeof(plain),
					   &got),
				 KS_OK);
		assert_true(ks_str_eq(ks_str_of((char *)plain, got), ks_str_c(texts[i])));
	}
}

static void every_altered_bit_is_found(void **state)
{
	uint8_t sealed[128];
	size_t n = seal("who", "a secret", sealed, sizeof(sealed));

	(void)state;
	for (size_t bit = 0; bit < 8 * n; bit++) {
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
		assert_int_equal(unseal(key_a, "who", sealed, n), KS_CORRUPT);
		sealed[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	for (size_t cut = 0; cut < n; cut++)
		assert_int_equal(unseal(key_a, "who", sealed, cut), KS_CORRUPT);
	sealed[n] = 0;
	assert_int_equal(unseal(key_a, "who", sealed, n + 1), KS_CORRUPT);
	assert_int_equal(unseal(key_a, "who", sealed, n), KS_OK);
}

static void another_key_or_purpose_opens_nothing(void **state)
{
	uint8_t sealed[128];
	size_t n = seal("who", "a secret", sealed, sizeof(sealed));

	(void)state;
	assert_int_equal(unseal(key_b, "who", sealed, n), KS_CORRUPT);
	assert_int_equal(unseal(key_a, "", sealed, n), KS_CORRUPT);
	assert_int_equal(unseal(key_a, "whom", sealed, n), KS_CORRUPT);
}

static void sizes_are_bounded(void **state)
{
	static char large[KS_SEAL_PLAIN_MAX + 1];
	static uint8_t room[KS_SEAL_PLAIN_MAX + KS_SEAL_OVERHEAD + 1];
	uint8_t sealed[64] = {0}, plain[8];
	size_t n = 5;

	(void)state;
	assert_int_equal(ks_seal(key_a, nonce, KS_STR(""), ks_str_of(large, sizeof(large)), room, sizeof(room), &n),
			 KS_TOO_LARGE);
	assert_int_equal(ks_seal(key_a, nonce, KS_STR(""), KS_STR("12345678"), sealed, 8 + KS_SEAL_OVERHEAD - 1, &n),
			 KS_TOO_LARGE);
	assert_int_equal(n, 5);
	assert_int_equal(sealed[0], 0);
	n = seal("", "123456789", sealed, sizeof(sealed));
	assert_int_equal(ks_unseal(key_a, KS_STR(""), ks_str_of((char *)sealed, n), plain, sizeof(plain), &n),
			 KS_TOO_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gcm_is_as_published),
		cmocka_unit_test(what_was_sealed_is_opened),
		cmocka_unit_test(every_altered_bit_is_found),
		cmocka_unit_test(another_key_or_purpose_opens_nothing),
		cmocka_unit_test(sizes_are_bounded),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
