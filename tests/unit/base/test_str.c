/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/str.h"

static const struct ks_str null_text = {NULL, 0};

static void assert_text(struct ks_str got, const char *expected)
{
	assert_int_equal(got.n, strlen(expected));
	assert_memory_equal(got.p, expected, got.n);
}

static void test_to_u64_refuses(void **state)
{
	static const char *const bad[] = {
		"", "-1", "+1", " 1", "1 ", "0x1", "1.", "a", "18446744073709551616", "99999999999999999999",
		"000000000000000000001", "1_0", "\xd9\xa1",
	};
	uint64_t value = 77;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(ks_str_to_u64(ks_str_c(bad[i]), UINT64_MAX, &value));
	assert_false(ks_str_to_u64(KS_STR("1\0"), UINT64_MAX, &value));
	assert_false(ks_str_to_u64(KS_STR("256"), 255, &value));
	assert_int_equal(value, 77);
}

static void test_to_u64(void **state)
{
	uint64_t value;

	(void)state;
	assert_true(ks_str_to_u64(KS_STR("0"), 0, &value));
	assert_true(value == 0);
	assert_true(ks_str_to_u64(KS_STR("255"), 255, &value));
	assert_true(value == 255);
	assert_true(ks_str_to_u64(KS_STR("00000000000000000007"), 7, &value));
	assert_true(value == 7);
	assert_true(ks_str_to_u64(KS_STR("18446744073709551615"), UINT64_MAX, &value));
	assert_true(value == UINT64_MAX);
}

static void test_utf8_refuses(void **state)
{
	static const char *const bad[] = {
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xc2", "\xc2g", "\xe0\x9f\xbf", "\xe1\x80", "\xe1\x80g",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf1\x80\x80", "\xf1\x80\x80g",
		"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "abcdefgh\x80", "abcdefg\x80h", "abcdefghi\xe2\x82",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		assert_false(ks_str_is_utf8(ks_str_c(bad[i])));
}

static void test_utf8_accepts(void **state)
{
	static const char *const good[] = {
		"", "a", "abcdefgh", "abcdefgh\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
		"\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xe2\x82\xacghijklmnopq",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(good); i++)
		assert_true(ks_str_is_utf8(ks_str_c(good[i])));
	assert_true(ks_str_is_utf8(KS_STR("a\0b")));
	assert_true(ks_str_is_utf8(null_text));
}

/* Every code point, encoded by arithmetic, is taken whole; the surrogates are not. */
static void test_utf8_every_code_point(void **state)
{
	(void)state;
	for (uint32_t cp = 0x80; cp <= 0x10ffff; cp++) {
		char s[4];
		size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
		static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
		bool surrogate = cp >= 0xd800 && cp <= 0xdfff;

		for (size_t i = n; i-- > 1;)
			s[i] = (char)(0x80 | (cp >> (6 * (n - 1 - i)) & 0x3f));
		s[0] = (char)(leads[n] | cp >> (6 * (n - 1)));
		assert_int_equal(ks_str_utf8_len(ks_str_of(s, n)), surrogate ? 0 : n);
		assert_int_equal(ks_str_utf8_len(ks_str_of(s, n - 1)), 0);
	}
}

static void test_control(void **state)
{
	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		char s[3] = {'a', (char)c, 'b'};

		assert_int_equal(ks_str_has_control(ks_str_of(s, 3)), c < 0x20 || c == 0x7f);
	}
	assert_false(ks_str_has_control(null_text));
}

static void test_equality(void **state)
{
	(void)state;
	assert_true(ks_str_eq(KS_STR(""), null_text));
	assert_true(ks_str_eq(null_text, null_text));
	assert_false(ks_str_eq(KS_STR("a"), KS_STR("A")));
	assert_false(ks_str_eq(KS_STR("a"), KS_STR("ab")));
	assert_false(ks_str_eq(KS_STR("a\0b"), KS_STR("a\0c")));
	assert_true(ks_str_eq(KS_STR("a\0b"), KS_STR("a\0b")));
	assert_true(ks_str_eq_nocase(KS_STR("BeaRer"), KS_STR("bEarER")));
	assert_false(ks_str_eq_nocase(KS_STR("a"), KS_STR("ab")));
	assert_false(ks_str_eq_nocase(KS_STR("@"), KS_STR("`")));
	assert_false(ks_str_eq_nocase(KS_STR("["), KS_STR("{")));
	assert_false(ks_str_eq_nocase(KS_STR("\xc3\x89"), KS_STR("\xc3\xa9")));
}

static void test_order(void **state)
{
	(void)state;
	assert_int_equal(ks_str_order(KS_STR("ab"), KS_STR("ab")), 0);
	assert_int_equal(ks_str_order(null_text, KS_STR("")), 0);
	assert_true(ks_str_order(null_text, KS_STR("a")) < 0);
	assert_true(ks_str_order(KS_STR("ab"), KS_STR("a")) > 0);
	assert_true(ks_str_order(KS_STR("a"), KS_STR("b")) < 0);
	assert_true(ks_str_order(KS_STR("\xff"), KS_STR("\x01")) > 0);
}

static void test_parts(void **state)
{
	struct ks_str head = KS_STR("kept"), tail = KS_STR("too");

	(void)state;
	assert_true(ks_str_starts(KS_STR("abc"), KS_STR("")));
	assert_true(ks_str_starts(KS_STR("abc"), KS_STR("abc")));
	assert_false(ks_str_starts(KS_STR("abc"), KS_STR("abcd")));
	assert_false(ks_str_starts(KS_STR("abc"), KS_STR("b")));
	assert_text(ks_str_sub(KS_STR("abc"), 1, 1), "b");
	assert_text(ks_str_sub(KS_STR("abc"), 1, SIZE_MAX), "bc");
	assert_text(ks_str_sub(KS_STR("abc"), 3, 1), "");
	assert_text(ks_str_sub(KS_STR("abc"), SIZE_MAX, SIZE_MAX), "");
	assert_int_equal(ks_str_sub(null_text, 1, 1).n, 0);
	assert_int_equal(ks_str_find(KS_STR("abcb"), 'b'), 1);
	assert_true(ks_str_find(KS_STR("abc"), 'd') == SIZE_MAX);
	assert_true(ks_str_find(null_text, '\0') == SIZE_MAX);
	assert_false(ks_str_split(KS_STR("abc"), ':', &head, &tail));
	assert_text(head, "kept");
	assert_text(tail, "too");
	assert_true(ks_str_split(KS_STR("a:b:c"), ':', &head, &tail));
	assert_text(head, "a");
	assert_text(tail, "b:c");
	assert_true(ks_str_split(KS_STR(":"), ':', &head, &tail));
	assert_text(head, "");
	assert_text(tail, "");
}

static void test_trim(void **state)
{
	(void)state;
	assert_text(ks_str_trim(KS_STR(" \t a b\t ")), "a b");
	assert_text(ks_str_trim(KS_STR(" \t ")), "");
	assert_text(ks_str_trim(KS_STR("\na")), "\na");
	assert_int_equal(ks_str_trim(null_text).n, 0);
	assert_text(ks_str_c(NULL), "");
	assert_true(ks_str_empty(ks_str_c("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_to_u64_refuses),
		cmocka_unit_test(test_to_u64),
		cmocka_unit_test(test_utf8_refuses),
		cmocka_unit_test(test_utf8_accepts),
		cmocka_unit_test(test_utf8_every_code_point),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_trim),
	};

	return cmocka_run_group_tests_name("str", tests, NULL, NULL);
}
