/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>

#include "api/json_out.h"
#include "base/time.h"

static void assert_text(struct ks_json *json, const char *wanted)
{
	assert_false(json->failed);
	assert_int_equal(json->n, strlen(wanted));
	assert_memory_equal(json->p, wanted, json->n);
	ks_json_free(json);
}

static void test_more_than_the_limit_fails_and_sticks(void **state)
{
	struct ks_json json;
	char *large = calloc(1, 1 << 20);

	(void)state;
	assert_non_null(large);
	memset(large, 'x', 1 << 20);
	ks_json_init(&json);
	ks_json_open(&json, '[');
	for (int i = 0; i < 70; i++)
		ks_json_str(&json, ks_str_of(large, 1 << 20));
	assert_true(json.failed);
	ks_json_str(&json, KS_STR("x"));
	ks_json_close(&json, ']');
	assert_true(json.failed);
	ks_json_free(&json);
	free(large);
}

static void test_reopen_of_what_is_not_closed_fails(void **state)
{
	static const char brackets[] = "}]";

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ks_json json;

		ks_json_init(&json);
		ks_json_open(&json, i ? '{' : '[');
		ks_json_close(&json, i ? '}' : ']');
		ks_json_reopen(&json, brackets[i]);
		assert_true(json.failed);
		ks_json_free(&json);
	}
	{
		struct ks_json json;

		ks_json_init(&json);
		ks_json_reopen(&json, '}');
		assert_true(json.failed);
		ks_json_free(&json);
	}
}

static void test_reopen(void **state)
{
	struct ks_json json;

	(void)state;
	ks_json_init(&json);
	ks_json_open(&json, '{');
	ks_json_close(&json, '}');
	ks_json_reopen(&json, '}');
	ks_json_put_u64(&json, "a", 1);
	ks_json_close(&json, '}');
	ks_json_reopen(&json, '}');
	ks_json_put_u64(&json, "b", 2);
	ks_json_close(&json, '}');
	assert_text(&json, "{\"a\":1,\"b\":2}");
}

static void test_commas(void **state)
{
	struct ks_json json;

	(void)state;
	ks_json_init(&json);
	ks_json_open(&json, '{');
	ks_json_name(&json, "a");
	ks_json_open(&json, '[');
	ks_json_close(&json, ']');
	ks_json_name(&json, "b");
	ks_json_open(&json, '[');
	ks_json_u64(&json, 1);
	ks_json_open(&json, '{');
	ks_json_close(&json, '}');
	ks_json_open(&json, '{');
	ks_json_put_null(&json, "c");
	ks_json_put_bool(&json, "d", false);
	ks_json_put_some(&json, "e", KS_STR(""));
	ks_json_put_some(&json, "f", KS_STR("g"));
	ks_json_close(&json, '}');
	ks_json_bool(&json, true);
	ks_json_null(&json);
	ks_json_close(&json, ']');
	ks_json_close(&json, '}');
	assert_text(&json, "{\"a\":[],\"b\":[1,{},{\"c\":null,\"d\":false,\"e\":null,\"f\":\"g\"},true,null]}");
}

static void test_values(void **state)
{
	struct ks_json json;

	(void)state;
	ks_json_init(&json);
	ks_json_open(&json, '[');
	ks_json_u64(&json, UINT64_MAX);
	ks_json_c(&json, NULL);
	ks_json_c(&json, "");
	ks_json_time(&json, 0);
	ks_json_time(&json, KS_TIME_NONE);
	ks_json_time(&json, -1);
	ks_json_time(&json, KS_TIME_MAX);
	ks_json_id(&json, KS_ID_KEY, 0);
	ks_json_id(&json, KS_ID_KEY, 1);
	ks_json_raw(&json, KS_STR(""));
	ks_json_raw(&json, KS_STR("{\"x\":1}"));
	ks_json_close(&json, ']');
	assert_text(&json,
		    "[18446744073709551615,null,\"\",\"1970-01-01T00:00:00.000Z\",null,null,"
			   "\"9999-12-31T23:59:59.999Z\",null,"
			   "\"key_0000000000001\",null,{\"x\":1}]");
}

/* Whatever bytes a text has, what is written reads back; other than UTF-8 becomes U+FFFD. */
static void test_every_byte_makes_sound_json(void **state)
{
	struct ks_json json;
	json_t *root;

	(void)state;
	ks_json_init(&json);
	ks_json_open(&json, '[');
	for (int i = 0; i < 256; i++) {
		char c = (char)i;

		ks_json_str(&json, ks_str_of(&c, 1));
	}
	ks_json_str(&json, KS_STR("\"\\/\b\f\n\r\t\x7f \xe2\x82\xac \xf0\x9f\x98\x80"));
	ks_json_close(&json, ']');
	assert_false(json.failed);
	root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
	assert_non_null(root);
	assert_int_equal(json_array_size(root), 257);
	assert_string_equal(json_string_value(json_array_get(root, 'a')), "a");
	assert_string_equal(json_string_value(json_array_get(root, 0xff)), "\xef\xbf\xbd");
	assert_string_equal(json_string_value(json_array_get(root, 256)),
			    "\"\\/\b\f\n\r\t\x7f \xe2\x82\xac \xf0\x9f\x98\x80");
	json_decref(root);
	ks_json_free(&json);
}

static void test_it_grows(void **state)
{
	struct ks_json json;
	json_t *root;

	(void)state;
	ks_json_init(&json);
	ks_json_open(&json, '[');
	for (uint64_t i = 0; i < 20000; i++)
		ks_json_u64(&json, i);
	ks_json_close(&json, ']');
	root = json_loadb(json.p, json.n, 0, NULL);
	assert_int_equal(json_array_size(root), 20000);
	assert_int_equal(json_integer_value(json_array_get(root, 19999)), 19999);
	json_decref(root);
	ks_json_free(&json);
	assert_null(json.p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_more_than_the_limit_fails_and_sticks),
		cmocka_unit_test(test_reopen_of_what_is_not_closed_fails),
		cmocka_unit_test(test_reopen),
		cmocka_unit_test(test_commas),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_every_byte_makes_sound_json),
		cmocka_unit_test(test_it_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
