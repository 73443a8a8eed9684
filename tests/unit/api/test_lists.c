/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "api/api_priv.h"

static struct ks_call *call_of(const char *target)
{
	struct ks_call *call = calloc(1, sizeof(*call));

	assert_non_null(call);
	call->exchange = calloc(1, sizeof(*call->exchange));
	assert_non_null(call->exchange);
	ks_exchange_init(call->exchange);
	call->exchange->target = ks_str_c(target);
	ks_json_init(&call->out);
	return call;
}

static void let_go(struct ks_call *call)
{
	free(call->exchange->heap);
	free(call->exchange);
	ks_call_free(call);
}

/* ---- forms ---- */

static void test_forms(void **state)
{
	static const struct {
		const char *form;
		enum ks_form found;
		const char *value;
	} cases[] = {
		{"", KS_FORM_ABSENT, ""},
		{"b=1", KS_FORM_ABSENT, ""},
		{"aa=1&ab=2", KS_FORM_ABSENT, ""},
		{"A=1", KS_FORM_ABSENT, ""},
		{"%61=1", KS_FORM_ABSENT, ""},
		{"a", KS_FORM_FOUND, ""},
		{"a=", KS_FORM_FOUND, ""},
		{"a=x=y", KS_FORM_FOUND, "x=y"},
		{"&&b=2&a=1&", KS_FORM_FOUND, "1"},
		{"a=x+y%2B%2b%20z", KS_FORM_FOUND, "x y++ z"},
		{"a=%C3%A9", KS_FORM_FOUND, "\xc3\xa9"},
		{"a=12345678", KS_FORM_FOUND, "12345678"},
		{"a=123456789", KS_FORM_MALFORMED, ""},
		{"a=1&a=1", KS_FORM_REPEATED, ""},
		{"a&b&a", KS_FORM_REPEATED, ""},
		{"a=%", KS_FORM_MALFORMED, ""},
		{"a=%4", KS_FORM_MALFORMED, ""},
		{"a=%4g", KS_FORM_MALFORMED, ""},
		{"a=%00", KS_FORM_MALFORMED, ""},
		{"a=%0a", KS_FORM_MALFORMED, ""},
		{"a=%7f", KS_FORM_MALFORMED, ""},
		{"a=%ff", KS_FORM_MALFORMED, ""},
		{"a=%c0%af", KS_FORM_MALFORMED, ""},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		char storage[8];
		struct ks_str value = KS_STR("");

		assert_int_equal(ks_form_get(ks_str_c(cases[i].form), "a", storage, sizeof(storage), &value),
				 cases[i].found);
		if (cases[i].found == KS_FORM_FOUND)
			assert_true(ks_str_eq(value, ks_str_c(cases[i].value)));
	}
}

/* ---- queries ---- */

static void test_queries_that_are_wrong(void **state)
{
	static const struct {
		const char *target, *pointer;
	} cases[] = {{"/x?limit=1&limit=2", "?limit"}, {"/x?limit=%zz", "?limit"}, {"/x?other=1", "?other"},
		     {"/x?Limit=1", "?Limit"}, {"/x?=1", "?"},
		     {"/x?limit", "?limit"}, {"/x?limit=0", "?limit"}, {"/x?limit=501", "?limit"}, {"/x?limit=+1",
			     "?limit"}, {"/x?limit=0x1", "?limit"},
		     {"/x?cursor=", "?cursor"}, {"/x?cursor=1", "?cursor"}, {"/x?cursor=000000000000000g", "?cursor"},
		     {"/x?cursor=00000000000000001", "?cursor"}};
	static const char *const known[] = {"limit", "cursor", NULL};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_call *call = call_of(cases[i].target);
		enum ks_finish finish = KS_FINISH_PENDING;
		struct ks_page page;

		ks_call_query_known(call, known);
		ks_call_page(call, &page);
		assert_int_equal(call->in.problem_count, 1);
		assert_string_equal(call->in.problems[0].pointer, cases[i].pointer);
		assert_true(ks_call_invalid(call, &finish));
		assert_int_equal(finish, KS_FINISH_DONE);
		assert_int_equal(call->exchange->status, 400);
		let_go(call);
	}
}

static void test_no_query_where_none_belongs(void **state)
{
	struct ks_call *call = call_of("/x?");

	(void)state;
	assert_true(ks_call_no_query(call));
	let_go(call);
	call = call_of("/x?y");
	assert_false(ks_call_no_query(call));
	assert_int_equal(call->exchange->status, 400);
	let_go(call);
}

static void test_pages(void **state)
{
	static const struct {
		const char *target;
		size_t limit;
		uint64_t before;
	} cases[] = {{"/x", 50, 0}, {"/x?limit=1", 1, 0}, {"/x?limit=500", 500, 0},
		     {"/x?cursor=00000000000000ff", 50, 255},
		     {"/x?cursor=FFFFFFFFFFFFFFFF&limit=7", 7, UINT64_MAX}};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_call *call = call_of(cases[i].target);
		struct ks_page page;

		ks_call_page(call, &page);
		assert_int_equal(call->in.problem_count, 0);
		assert_int_equal(page.limit, cases[i].limit);
		assert_true(page.before == cases[i].before);
		let_go(call);
	}
}

/* What ends one page begins the next. */
static void test_cursors_go_round(void **state)
{
	static const uint64_t ids[] = {1, 255, UINT64_C(0x0123456789abcdef), UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(ids); i++) {
		struct ks_call *call = call_of("/x");
		char target[64];
		struct ks_buf b = KS_BUF(target);
		struct ks_page page;
		json_t *root;

		ks_json_open(&call->out, '{');
		ks_json_name(&call->out, "items");
		ks_json_open(&call->out, '[');
		ks_call_page_end(call, true, ids[i]);
		root = json_loadb(call->out.p, call->out.n, 0, NULL);
		assert_non_null(root);
		ks_buf_put_c(&b, "/x?cursor=");
		ks_buf_put_c(&b, json_string_value(json_object_get(root, "next")));
		json_decref(root);
		let_go(call);
		call = call_of(ks_buf_z(&b));
		ks_call_page(call, &page);
		assert_true(page.before == ids[i]);
		let_go(call);
	}
}

static void test_the_last_page_has_no_next(void **state)
{
	struct ks_call *call = call_of("/x");
	json_t *root;

	(void)state;
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "items");
	ks_json_open(&call->out, '[');
	ks_call_page_end(call, false, 5);
	root = json_loadb(call->out.p, call->out.n, 0, NULL);
	assert_true(json_is_null(json_object_get(root, "next")));
	json_decref(root);
	let_go(call);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_queries_that_are_wrong),
		cmocka_unit_test(test_no_query_where_none_belongs),
		cmocka_unit_test(test_pages),
		cmocka_unit_test(test_cursors_go_round),
		cmocka_unit_test(test_the_last_page_has_no_next),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
