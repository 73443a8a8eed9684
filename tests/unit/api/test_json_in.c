/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/json_in.h"

static json_t *parsed(const char *text)
{
	char detail[256] = "";
	json_t *root = ks_in_parse(ks_str_c(text), detail);

	if (!root)
		fail_msg("%s: %s", text, detail);
	return root;
}

static void assert_problem(const struct ks_in *in, const char *pointer)
{
	assert_int_equal(in->problem_count, 1);
	assert_string_equal(in->problems[0].pointer, pointer);
	assert_true(in->problems[0].detail[0] != '\0');
}

/* ---- the text ---- */

static void test_what_is_no_object_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"[]",
		"1",
		"\"x\"",
		"null",
		"{",
		"{}x",
		"{} {}",
		"{\"a\":1,\"a\":1}",
		"{\"a\":{\"b\":1,\"b\":2}}",
		"{\"a\":\"\xff\"}",
		"{\"a\":\"\xc0\xaf\"}",
		"{\"a\":\"\\u0000\"}",
		"{\"a\":\"\\ud800\"}",
		"{a:1}",
		"{\"a\":1,}",
		"{\"a\":99999999999999999999}",
		"{\"a\":NaN}",
		"{\"a\":01}",
		"\xef\xbb\xbf{}",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(texts); i++) {
		char detail[256] = "";

		assert_null(ks_in_parse(ks_str_c(texts[i]), detail));
		assert_true(detail[0] != '\0');
	}
	{
		static const char nul[] = "{\"a\":\"x\0y\"}";
		char detail[256];

		assert_null(ks_in_parse(ks_str_of(nul, sizeof(nul) - 1), detail));
	}
}

static void test_depth_is_bounded(void **state)
{
	char text[20002];
	char detail[256];

	(void)state;
	memset(text, '[', sizeof(text));
	memcpy(text, "{\"a\":", 5);
	assert_null(ks_in_parse(ks_str_of(text, sizeof(text)), detail));
}

static void test_the_text_is_borrowed_by_nobody(void **state)
{
	char text[] = "{\"a\":\"b\"}";
	char detail[256];
	json_t *root = ks_in_parse(ks_str_c(text), detail);

	(void)state;
	assert_non_null(root);
	memset(text, 'x', sizeof(text) - 1);
	assert_string_equal(json_string_value(json_object_get(root, "a")), "b");
	json_decref(root);
}

/* ---- problems ---- */

static void test_the_first_problems_are_kept(void **state)
{
	struct ks_in in = {0};

	(void)state;
	for (int i = 0; i < 40; i++)
		ks_in_problem(&in, "/base", "name", "number %d", i);
	assert_int_equal(in.problem_count, KS_IN_PROBLEMS_MAX);
	assert_string_equal(in.problems[0].detail, "number 0");
	assert_string_equal(in.problems[KS_IN_PROBLEMS_MAX - 1].detail, "number 15");
	assert_string_equal(in.problems[0].pointer, "/base/name");
}

static void test_long_names_are_cut(void **state)
{
	struct ks_in in = {0};
	char name[500];

	(void)state;
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ks_in_problem(&in, name, name, "%s", name);
	assert_int_equal(strlen(in.problems[0].pointer), sizeof(in.problems[0].pointer) - 1);
	assert_int_equal(strlen(in.problems[0].detail), sizeof(in.problems[0].detail) - 1);
}

static void test_pointers_are_escaped(void **state)
{
	static const struct {
		const char *name, *token;
		size_t cap;
	} cases[] = {{"a/b~c", "a~1b~0c", 32}, {"", "", 1}, {"abc", "", 2}, {"abc", "a", 3}, {"abc", "abc", 5},
		     {"//", "~1", 4}};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		char token[32];

		memset(token, '#', sizeof(token));
		ks_in_escape(cases[i].name, token, cases[i].cap);
		assert_string_equal(token, cases[i].token);
		assert_true(cases[i].cap == sizeof(token) || token[cases[i].cap] == '#');
	}
}

static void test_unknown_members(void **state)
{
	static const char *const known[] = {"a", "b", NULL};
	json_t *root = parsed("{\"a\":1,\"c/d\":2}");
	struct ks_in in = {0};

	(void)state;
	ks_in_known(&in, root, "/x", known);
	assert_problem(&in, "/x/c~1d");
	json_decref(root);
}

/* ---- members ---- */

#define EACH_WRONG(call, ...)                                                          \
	do {                                                                           \
		static const char *const wrong[] = {__VA_ARGS__};                      \
		for (size_t i = 0; i < KS_ARRAY_LEN(wrong); i++) {                     \
			json_t *root = parsed(wrong[i]);                               \
			struct ks_in in = {0};                                         \
			call;                                                          \
			assert_problem(&in, "/b/m");                                   \
			json_decref(root);                                             \
		}                                                                      \
	} while (0)

static void test_texts(void **state)
{
	json_t *good = parsed("{\"m\":\"abc\",\"none\":null,\"empty\":\"\"}");
	struct ks_in none = {0};

	(void)state;
	EACH_WRONG(assert_true(ks_str_empty(ks_in_str(&in, root, "/b", "m", 3, true))), "{}", "{\"m\":null}",
		   "{\"m\":1}", "{\"m\":[]}", "{\"m\":\"\"}",
		   "{\"m\":\"abcd\"}");
	EACH_WRONG(assert_true(ks_str_empty(ks_in_str(&in, root, "/b", "m", 3, false))), "{\"m\":1}", "{\"m\":true}",
		   "{\"m\":\"abcd\"}");
	assert_true(ks_str_eq(ks_in_str(&none, good, "", "m", 3, true), KS_STR("abc")));
	assert_true(ks_str_empty(ks_in_str(&none, good, "", "none", 3, false)));
	assert_true(ks_str_empty(ks_in_str(&none, good, "", "missing", 3, false)));
	assert_true(ks_str_empty(ks_in_str(&none, good, "", "empty", 3, false)));
	assert_int_equal(none.problem_count, 0);
	json_decref(good);
}

static void test_numbers(void **state)
{
	json_t *good = parsed("{\"m\":7,\"top\":9223372036854775807}");
	struct ks_in none = {0};
	uint64_t number = 99;

	(void)state;
	EACH_WRONG(assert_false(ks_in_u64(&in, root, "/b", "m", 2, 9, true, &number)), "{}", "{\"m\":null}",
		   "{\"m\":\"7\"}", "{\"m\":7.0}", "{\"m\":-7}",
		   "{\"m\":1}", "{\"m\":10}", "{\"m\":true}");
	assert_int_equal(number, 99);
	assert_false(ks_in_u64(&none, good, "", "missing", 0, 9, false, &number));
	assert_int_equal(number, 99);
	assert_true(ks_in_u64(&none, good, "", "m", 7, 7, true, &number));
	assert_int_equal(number, 7);
	assert_true(ks_in_u64(&none, good, "", "top", 0, UINT64_MAX, true, &number));
	assert_true(number == INT64_MAX);
	assert_int_equal(none.problem_count, 0);
	json_decref(good);
}

static void test_truths(void **state)
{
	json_t *good = parsed("{\"m\":true}");
	struct ks_in none = {0};
	bool truth = false;

	(void)state;
	EACH_WRONG(assert_false(ks_in_bool(&in, root, "/b", "m", &truth)), "{\"m\":null}", "{\"m\":\"true\"}",
		   "{\"m\":1}");
	assert_false(truth);
	assert_false(ks_in_bool(&none, good, "", "missing", &truth));
	assert_true(ks_in_bool(&none, good, "", "m", &truth));
	assert_true(truth);
	assert_int_equal(none.problem_count, 0);
	json_decref(good);
}

static void test_ids(void **state)
{
	json_t *good = parsed("{\"org\":\"org_0m6xwq3k2r4t8\",\"key\":\"key_0m6xwq3k2r4t8\",\"none\":null}");
	struct ks_in none = {0};
	uint64_t id = 99, other = 0;

	(void)state;
	EACH_WRONG(assert_false(ks_in_id(&in, root, "/b", "m", KS_ID_KEY, true, &id)), "{}", "{\"m\":null}",
		   "{\"m\":5}", "{\"m\":\"\"}",
		   "{\"m\":\"org_0m6xwq3k2r4t8\"}", "{\"m\":\"key_0M6XWQ3K2R4T8\"}", "{\"m\":\"key_0m6xwq3k2r4t8 \"}");
	EACH_WRONG(assert_false(ks_in_id(&in, root, "/b", "m", KS_ID_TYPE_COUNT, false, &id)), "{\"m\":5}",
		   "{\"m\":\"key_0m6xwq3k2r4t8\"}",
		   "{\"m\":\"usr_0m6xwq3k2r4t8\"}");
	assert_int_equal(id, 99);
	assert_false(ks_in_id(&none, good, "", "none", KS_ID_KEY, false, &id));
	assert_false(ks_in_id(&none, good, "", "missing", KS_ID_KEY, false, &id));
	assert_int_equal(id, 99);
	assert_true(ks_in_id(&none, good, "", "key", KS_ID_KEY, true, &id));
	assert_true(ks_in_id(&none, good, "", "org", KS_ID_TYPE_COUNT, true, &other));
	assert_true(id == other);
	assert_int_equal(none.problem_count, 0);
	json_decref(good);
}

static void test_times(void **state)
{
	json_t *good = parsed("{\"m\":\"1970-01-01T00:00:01.5Z\",\"never\":null}");
	struct ks_in none = {0};
	int64_t time = 99;

	(void)state;
	EACH_WRONG(assert_false(ks_in_time(&in, root, "/b", "m", true, true, &time)), "{}", "{\"m\":5}",
		   "{\"m\":\"never\"}", "{\"m\":\"1970-01-01\"}");
	EACH_WRONG(assert_false(ks_in_time(&in, root, "/b", "m", false, false, &time)), "{\"m\":null}");
	assert_int_equal(time, 99);
	assert_false(ks_in_time(&none, good, "", "missing", false, true, &time));
	assert_true(ks_in_time(&none, good, "", "m", true, true, &time));
	assert_int_equal(time, 1500);
	assert_true(ks_in_time(&none, good, "", "never", true, true, &time));
	assert_true(time == KS_TIME_NONE);
	assert_int_equal(none.problem_count, 0);
	json_decref(good);
}

static void test_lists_of_texts(void **state)
{
	json_t *good = parsed("{\"m\":[\"a\",\"bc\"],\"empty\":[]}");
	struct ks_in none = {0};
	struct ks_str texts[2];
	size_t count = 99;

	(void)state;
	EACH_WRONG(assert_false(ks_in_strs(&in, root, "/b", "m", 2, texts, 2, &count)), "{\"m\":null}", "{\"m\":\"a\"}",
		   "{\"m\":{}}",
		   "{\"m\":[\"a\",\"b\",\"c\"]}");
	assert_int_equal(count, 99);
	assert_false(ks_in_strs(&none, good, "", "missing", 2, texts, 2, &count));
	assert_true(ks_in_strs(&none, good, "", "empty", 2, texts, 2, &count));
	assert_int_equal(count, 0);
	assert_true(ks_in_strs(&none, good, "", "m", 2, texts, 2, &count));
	assert_int_equal(count, 2);
	assert_true(ks_str_eq(texts[1], KS_STR("bc")));
	assert_int_equal(none.problem_count, 0);
	json_decref(good);
}

static void test_each_bad_item_of_a_list_is_told(void **state)
{
	json_t *root = parsed("{\"m\":[\"a\",1,\"\",\"abc\",\"b\"]}");
	struct ks_in in = {0};
	struct ks_str texts[8];
	size_t count = 0;

	(void)state;
	assert_false(ks_in_strs(&in, root, "", "m", 2, texts, 8, &count));
	assert_int_equal(in.problem_count, 3);
	assert_string_equal(in.problems[0].pointer, "/m/1");
	assert_string_equal(in.problems[1].pointer, "/m/2");
	assert_string_equal(in.problems[2].pointer, "/m/3");
	json_decref(root);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_no_object_is_refused),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_the_text_is_borrowed_by_nobody),
		cmocka_unit_test(test_the_first_problems_are_kept),
		cmocka_unit_test(test_long_names_are_cut),
		cmocka_unit_test(test_pointers_are_escaped),
		cmocka_unit_test(test_unknown_members),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_truths),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_lists_of_texts),
		cmocka_unit_test(test_each_bad_item_of_a_list_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
