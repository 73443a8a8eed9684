/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/json_read.h"

static bool takes(struct ks_str text)
{
	struct ks_json_read r = ks_json_read_of(text);

	(void)ks_json_read_raw(&r);
	return ks_json_read_done(&r);
}

static const char *const malformed[] = {
	"",
	" ",
	"{",
	"}",
	"[",
	"]",
	"[1,]",
	"[,1]",
	"[1 2]",
	"[1,,2]",
	"{,}",
	"{\"a\"}",
	"{\"a\":}",
	"{\"a\" 1}",
	"{a:1}",
	"{\"a\":1,}",
	"{1:2}",
	"{\"a\":1",
	"[1",
	"\"",
	"\"\\\"",
	"\"\\x\"",
	"\"\\u12\"",
	"\"\n\"",
	"\"\t\"",
	"'a'",
	"01",
	"-",
	"+1",
	"1.",
	".5",
	"1e",
	"1e+",
	"0x1",
	"NaN",
	"nul",
	"nulll",
	"True",
	"1 2",
	"{} {}",
	"[1]]",
	"{]",
	"[}",
	"\"\\ud800\"",
	"\"\\udc00\"",
	"\"\\ud800x\"",
	"\"\\ud800\\u0041\"",
	"--1",
	"-01",
	"tru",
};

static void malformed_texts_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(malformed); i++) {
		if (takes(ks_str_c(malformed[i])))
			fail_msg("taken: %s", malformed[i]);
	}
}

static void depth_is_bounded(void **state)
{
	char text[2 * KS_JSON_READ_DEPTH + 3];

	(void)state;
	memset(text, '[', KS_JSON_READ_DEPTH);
	memset(text + KS_JSON_READ_DEPTH, ']', KS_JSON_READ_DEPTH);
	assert_true(takes(ks_str_of(text, 2 * KS_JSON_READ_DEPTH)));
	memset(text, '[', KS_JSON_READ_DEPTH + 1);
	memset(text + KS_JSON_READ_DEPTH + 1, ']', KS_JSON_READ_DEPTH + 1);
	assert_false(takes(ks_str_of(text, 2 * KS_JSON_READ_DEPTH + 2)));
}

static void a_nul_is_no_end(void **state)
{
	static const char text[] = "\"a\0b\"";
	static const char behind[] = "1\0";

	(void)state;
	assert_false(takes(ks_str_of(text, sizeof(text) - 1)));
	assert_false(takes(ks_str_of(behind, sizeof(behind) - 1)));
}

static void whole_texts_are_taken(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		"null",
		"true",
		"false",
		"0",
		"-0",
		"1.5e-3",
		"1E+9",
		"\"\"",
		"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
		"\"\\ud83d\\ude00\"",
		" { \"a\" : [ 1 , { \"b\" : null } , \"c\" ] } \r\n",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(texts); i++) {
		if (!takes(ks_str_c(texts[i])))
			fail_msg("refused: %s", texts[i]);
	}
}

static void strings_are_decoded(void **state)
{
	const struct {
		const char *text, *is;
	} cases[] = {
		{"\"plain\"", "plain"},
		{"\"a\\u0041\\n\\\"\"", "aA\n\""},
		{"\"\\u00e9\\u20ac\\ud83d\\ude00\"", "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_json_read r = ks_json_read_of(ks_str_c(cases[i].text));
		char storage[64];
		struct ks_buf b = KS_BUF(storage);
		struct ks_str is = ks_json_text_decode(ks_json_read_string(&r), &b);

		assert_true(ks_json_read_done(&r));
		assert_true(ks_str_eq(is, ks_str_c(cases[i].is)));
	}
}

static void numbers_are_whole_and_bounded(void **state)
{
	const struct {
		const char *text;
		bool ok;
	} cases[] = {{"0", true},      {"10", true},	{"11", false},
		     {"-1", false},    {"1.0", false},	{"1e1", false},
		     {"\"1\"", false}, {"null", false}, {"99999999999999999999999", false},
		     {"", false}};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_json_read r = ks_json_read_of(ks_str_c(cases[i].text));
		uint64_t value = 77;

		assert_int_equal(ks_json_read_u64(&r, 10, &value), cases[i].ok);
		if (!cases[i].ok)
			assert_int_equal(value, 77);
	}
}

/* A second opinion: texts made by changing one byte of good ones are taken by both or by neither. */
static void agrees_with_another_reader(void **state)
{
	static const char seed[] =
		"{\"name\":\"k\\u00e9\\n\",\"list\":[1,-2.5e3,true,null,{\"x\":\"\"}],\"t\":\"\\ud83d\\ude00\"}";
	char text[sizeof(seed)];
	unsigned both = 0;

	(void)state;
	for (size_t at = 0; at < sizeof(seed) - 1; at++) {
		for (unsigned byte = 1; byte < 128; byte++) {
			json_t *other;

			memcpy(text, seed, sizeof(seed));
			text[at] = (char)byte;
			other = json_loadb(text, sizeof(seed) - 1, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
			if (takes(ks_str_of(text, sizeof(seed) - 1)) != (other != NULL))
				fail_msg("%s", text);
			both += other != NULL;
			json_decref(other);
		}
	}
	assert_true(both > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malformed_texts_are_refused),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(a_nul_is_no_end),
		cmocka_unit_test(whole_texts_are_taken),
		cmocka_unit_test(strings_are_decoded),
		cmocka_unit_test(numbers_are_whole_and_bounded),
		cmocka_unit_test(agrees_with_another_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
