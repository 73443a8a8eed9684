/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/json.h"

static void test_accepted(void **state)
{
	static const char *const good[] = {
		"{}", " [ ] ", "0", "\"\"", "null", "{\"a\":1,\"b\":{\"a\":1,\"b\":[{\"a\":1},{\"a\":1}]},\"A\":2}",
		"{\"a\":{\"b\":1},\"b\":{\"a\":1}}", "[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]", "{\"\":1,\"\\u0000\":2}",
		"{\"\\u0061\":{\"\\u0061\":1},\"b\":{\"\\u0062\":1}}",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(good); i++)
		if (!ks_json_check(ks_str_c(good[i])))
			fail_msg("refused: %s", good[i]);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {
		"", " ", "{", "[1,]", "{\"a\":1,}", "{} {}", "{\"a\"}", "01", "{\"a\":1,\"a\":1}", "{\"a\":1,\"\\u0061\":1}",
		"{\"\\u0061\":1,\"\\u0061\":1}", "{\"b\":{\"a\":1,\"c\":[{}],\"a\":2}}", "[{\"a\":1,\"b\":{\"c\":1},\"a\":1}]",
		"{\"\":1,\"\":1}", "{\"\xc3\xa4\":1,\"\\u00e4\":1}", "\"\xff\"", "{\"\xc0\x80\":1}",
		"[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]", "{\"a\\ud800\":1}", "{\"\\/\":1,\"/\":2}",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++)
		if (ks_json_check(ks_str_c(bad[i])))
			fail_msg("accepted: %s", bad[i]);
}

/* An object of `n` members with names of their own, at the depth `depth`. */
static bool members(size_t n, size_t outer, const char *escape)
{
	static char text[65536];
	struct ks_buf out = KS_BUF(text);

	ks_buf_put_byte(&out, '{');
	for (size_t i = 0; i < outer; i++)
		ks_buf_printf(&out, "\"o%zu\":0,", i);
	ks_buf_put_c(&out, "\"deep\":{");
	for (size_t i = 0; i < n; i++)
		ks_buf_printf(&out, "%s\"%s%zu\":{}", i ? "," : "", escape, i);
	ks_buf_put_c(&out, "}}");
	assert_true(ks_buf_ok(&out));
	return ks_json_check(ks_buf_str(&out));
}

static void test_limits(void **state)
{
	(void)state;
	assert_true(members(KS_JSON_MEMBERS_MAX - 1, 0, ""));
	assert_false(members(KS_JSON_MEMBERS_MAX, 0, ""));
	assert_true(members(KS_JSON_MEMBERS_MAX - 11, 10, ""));
	assert_false(members(KS_JSON_MEMBERS_MAX - 10, 10, ""));
	/* Three bytes each: 341 would fit the room for escaped names, but not the names; 30 bytes each do not. */
	assert_true(members(200, 0, "\\u0061"));
	assert_false(members(100, 0, "\\n0123456789"));
	assert_true(members(70, 0, "\\n0123456789"));
}

static void assert_member(const char *object, const char *name, const char *expected)
{
	struct ks_str value = KS_STR("untouched");
	bool found = ks_json_member(ks_str_c(object), ks_str_c(name), &value);

	assert_int_equal(found, expected != NULL);
	assert_true(ks_str_eq(value, ks_str_c(expected ? expected : "untouched")));
}

static void test_members(void **state)
{
	const char *object = " { \"a\" : 1 , \"b\":[ {\"a\":2} ] ,\"\\u0063\":null, \"\":\"x\",\"d.e\":-1.5e3}";

	(void)state;
	assert_member(object, "a", "1");
	assert_member(object, "b", "[ {\"a\":2} ]");
	assert_member(object, "c", "null");
	assert_member(object, "\\u0063", NULL);
	assert_member(object, "", "\"x\"");
	assert_member(object, "d.e", "-1.5e3");
	assert_member(object, "d", NULL);
	assert_member("[1]", "a", NULL);
	assert_member("\"a\"", "a", NULL);
	assert_member("", "a", NULL);
}

static void test_kinds(void **state)
{
	(void)state;
	assert_int_equal(ks_json_kind(KS_STR("")), 0);
	assert_int_equal(ks_json_kind(KS_STR("{}")), '{');
	assert_int_equal(ks_json_kind(KS_STR("[]")), '[');
	assert_int_equal(ks_json_kind(KS_STR("\"\"")), '"');
	assert_int_equal(ks_json_kind(KS_STR("-1")), '0');
	assert_int_equal(ks_json_kind(KS_STR("9")), '0');
	assert_int_equal(ks_json_kind(KS_STR("true")), 't');
	assert_int_equal(ks_json_kind(KS_STR("false")), 'f');
	assert_int_equal(ks_json_kind(KS_STR("null")), 'n');
}

static void test_strings(void **state)
{
	char room[4];
	struct ks_buf to = KS_BUF(room);
	struct ks_str text = KS_STR("untouched");

	(void)state;
	assert_false(ks_json_string(KS_STR("1"), &to, &text));
	assert_false(ks_json_string(KS_STR("[\"a\"]"), &to, &text));
	assert_false(ks_json_string(KS_STR(""), &to, &text));
	assert_true(ks_str_eq(text, KS_STR("untouched")));
	assert_true(ks_json_string(KS_STR("\"longer than the room\""), &to, &text));
	assert_true(ks_str_eq(text, KS_STR("longer than the room")));
	assert_true(ks_json_string(KS_STR("\"\\u00e4\\n\""), &to, &text));
	assert_true(ks_str_eq(text, KS_STR("\xc3\xa4\n")));
	assert_false(ks_json_string(KS_STR("\"\\n\\n\""), &to, &text));
	assert_true(ks_json_string_is(KS_STR("\"a\\u0062\""), KS_STR("ab")));
	assert_true(ks_json_string_is(KS_STR("\"\""), KS_STR("")));
	assert_false(ks_json_string_is(KS_STR("\"a\\u0062\""), KS_STR("a\\u0062")));
	assert_false(ks_json_string_is(KS_STR("1"), KS_STR("1")));
	assert_false(ks_json_string_is(KS_STR(""), KS_STR("")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted), cmocka_unit_test(test_refused), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_members),  cmocka_unit_test(test_kinds),   cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
