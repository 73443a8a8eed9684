/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/ctenc.h"

static void test_hex_refuses(void **state)
{
	static const char *const bad[] = {
		"", "0", "012", "0g", "g0", " 0", "0x", "\xb0\x30", "0\x80", "AF", "aF", "012345",
	};
	unsigned char out[2] = {0x77, 0x77};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(ks_hex_decode(ks_str_c(bad[i]), false, out, 1));
	assert_false(ks_hex_decode(KS_STR("ab0x"), true, out, 2));
	assert_false(ks_hex_decode(KS_STR("ab"), true, out, SIZE_MAX / 2 + 2));
	assert_int_equal(out[0], 0x77);
	assert_int_equal(out[1], 0x77);
}

/* Each pair of bytes, against the obvious. */
static void test_hex_every_pair(void **state)
{
	const char *digits = "0123456789abcdef";

	(void)state;
	for (unsigned pair = 0; pair < 65536; pair++) {
		unsigned high = pair >> 8, low = pair & 0xff;
		char text[2] = {(char)high, (char)low};
		const char *h = high ? strchr(digits, (int)high | (high >= 'A' && high <= 'F' ? 0x20 : 0)) : NULL;
		const char *l = low ? strchr(digits, (int)low | (low >= 'A' && low <= 'F' ? 0x20 : 0)) : NULL;
		bool upper = (high >= 'A' && high <= 'F') || (low >= 'A' && low <= 'F');
		unsigned char out;

		assert_int_equal(ks_hex_decode(ks_str_of(text, 2), true, &out, 1), h && l);
		if (h && l)
			assert_int_equal(out, (h - digits) << 4 | (l - digits));
		assert_int_equal(ks_hex_decode(ks_str_of(text, 2), false, &out, 1), h && l && !upper);
	}
	assert_true(ks_hex_decode(KS_STR(""), false, NULL, 0));
}

static void test_base64_refuses(void **state)
{
	static const char *const bad[] = {
		"A", "AA", "AAA", "AAAAA", "A===", "====", "=", "==", "AA=A", "=AAA", "A=AA", "AAA=AAAA", "AA==AAAA",
		"AB==", "AAB=", "AA A", "AA\nA", " AAA", "AAAA\n", "AA-_", "AAAA====", "AAAA=", "AA.=",
		"\xc1\x41\x41\x41",
	};
	unsigned char out[16] = {0x77};
	size_t n = 99;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(ks_base64_decode(ks_str_c(bad[i]), out, sizeof(out), &n));
	assert_false(ks_base64_decode(KS_STR("AA\0A"), out, sizeof(out), &n));
	assert_false(ks_base64_decode(KS_STR("AAAA"), out, 2, &n));
	assert_false(ks_base64_decode(KS_STR("AAA="), out, 1, &n));
	assert_int_equal(n, 99);
	assert_int_equal(out[0], 0x77);
}

static void test_base64url_refuses(void **state)
{
	static const char *const bad[] = {"A", "AAAAA", "AA==", "AAA=", "AB", "AAB", "AA+A", "AA/A", "AA A", "A\nAA"};
	unsigned char out[16] = {0x77};
	size_t n = 99;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(ks_base64url_decode(ks_str_c(bad[i]), out, sizeof(out), &n));
	assert_int_equal(n, 99);
	assert_int_equal(out[0], 0x77);
}

/* RFC 4648, section 10. */
static void test_base64_vectors(void **state)
{
	static const char *const vectors[][2] = {
		{"", ""},         {"f", "Zg=="},         {"fo", "Zm8="},          {"foo", "Zm9v"},
		{"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(vectors); i++) {
		struct ks_str plain = ks_str_c(vectors[i][0]), encoded = ks_str_c(vectors[i][1]);
		unsigned char out[8];
		char text[8];
		size_t n;

		assert_true(ks_base64_decode(encoded, out, sizeof(out), &n));
		assert_true(ks_str_eq(ks_str_of((const char *)out, n), plain));
		n = ks_base64_encode((const unsigned char *)plain.p, plain.n, text, sizeof(text));
		assert_true(ks_str_eq(ks_str_of(text, n), encoded));
	}
}

/* Each digit in each place stands for its value, and nothing else is a digit. */
static void check_alphabet(bool (*decode)(struct ks_str, unsigned char *, size_t, size_t *), const char *alphabet)
{
	for (unsigned c = 0; c < 256; c++) {
		for (unsigned place = 0; place < 4; place++) {
			char text[4] = {'A', 'A', 'A', 'A'};
			const char *at = c ? strchr(alphabet, (int)c) : NULL;
			unsigned char out[3];
			uint32_t bits;
			size_t n;

			text[place] = (char)c;
			if (!decode(ks_str_of(text, 4), out, sizeof(out), &n)) {
				assert_null(at);
				continue;
			}
			if (c == '=' && place == 3) {
				assert_int_equal(n, 2);
				continue;
			}
			assert_non_null(at);
			assert_int_equal(n, 3);
			bits = (uint32_t)out[0] << 16 | (uint32_t)out[1] << 8 | out[2];
			assert_int_equal(bits, (uint32_t)(at - alphabet) << (18 - 6 * place));
		}
	}
}

static void test_alphabets(void **state)
{
	(void)state;
	check_alphabet(ks_base64_decode, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/");
	check_alphabet(ks_base64url_decode, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
}

static void test_round_trips(void **state)
{
	unsigned char bytes[100], out[100];
	char text[140];

	(void)state;
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		size_t encoded, decoded;

		for (size_t i = 0; i < n; i++)
			bytes[i] = (unsigned char)(i * 151 + n * 37);
		encoded = ks_base64_encode(bytes, n, text, sizeof(text));
		assert_int_equal(encoded, 4 * ((n + 2) / 3));
		assert_true(ks_base64_decode(ks_str_of(text, encoded), out, n, &decoded));
		assert_int_equal(decoded, n);
		assert_memory_equal(out, bytes, n);
		assert_true(encoded == 0 || ks_base64_encode(bytes, n, text, encoded - 1) == 0);

		encoded = ks_base64url_encode(bytes, n, text, sizeof(text));
		assert_int_equal(encoded, (4 * n + 2) / 3);
		assert_true(ks_base64url_decode(ks_str_of(text, encoded), out, n, &decoded));
		assert_int_equal(decoded, n);
		assert_memory_equal(out, bytes, n);
		assert_true(encoded == 0 || ks_base64url_encode(bytes, n, text, encoded - 1) == 0);
	}
	assert_int_equal(ks_base64_encode(bytes, SIZE_MAX / 2, text, sizeof(text)), 0);
}

static void test_equal(void **state)
{
	unsigned char a[64], b[64];

	(void)state;
	for (size_t i = 0; i < sizeof(a); i++)
		a[i] = b[i] = (unsigned char)(i * 7);
	assert_true(ks_ct_equal(a, b, sizeof(a)));
	assert_true(ks_ct_equal(a, b, 0));
	for (size_t i = 0; i < sizeof(a); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			b[i] = (unsigned char)(b[i] ^ 1u << bit);
			assert_false(ks_ct_equal(a, b, sizeof(a)));
			assert_true(ks_ct_equal(a, b, i));
			b[i] = a[i];
		}
	}
}

static void test_str_equal(void **state)
{
	struct ks_str none = {NULL, 0};

	(void)state;
	assert_true(ks_ct_str_equal(KS_STR("secret"), KS_STR("secret")));
	assert_false(ks_ct_str_equal(KS_STR("secret"), KS_STR("secreT")));
	assert_false(ks_ct_str_equal(KS_STR("secret"), KS_STR("secre")));
	assert_false(ks_ct_str_equal(KS_STR("secre"), KS_STR("secret")));
	assert_false(ks_ct_str_equal(none, KS_STR("a")));
	assert_false(ks_ct_str_equal(KS_STR("a"), none));
	assert_true(ks_ct_str_equal(none, none));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hex_refuses),
		cmocka_unit_test(test_hex_every_pair),
		cmocka_unit_test(test_base64_refuses),
		cmocka_unit_test(test_base64url_refuses),
		cmocka_unit_test(test_base64_vectors),
		cmocka_unit_test(test_alphabets),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_str_equal),
	};

	return cmocka_run_group_tests_name("ctenc", tests, NULL, NULL);
}
