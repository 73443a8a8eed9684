/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "http/exchange.h"

static struct ks_exchange x;

static void assert_text(struct ks_str s, const char *want)
{
	assert_int_equal(s.n, strlen(want));
	assert_memory_equal(s.p, want, s.n);
}

/* Whatever an earlier request left. */
static int dirty(void **state)
{
	(void)state;
	memset(&x, 0xa5, sizeof(x));
	ks_exchange_init(&x);
	return 0;
}

static void nothing_is_left_after_init(void **state)
{
	(void)state;
	assert_int_equal(x.header_count, 0);
	assert_int_equal(x.status, 0);
	assert_int_equal(x.answer_header_count, 0);
	assert_int_equal(x.body_max, KS_BODY_MAX);
	assert_true(ks_str_empty(x.method) && ks_str_empty(x.target));
	assert_true(ks_str_empty(x.body) && ks_str_empty(x.answer_body));
	assert_true(ks_addr_is_zero(&x.peer));
	assert_false(x.peer_known || x.local || x.tls || x.wipe || x.close);
	assert_null(x.heap);
	assert_null(x.state);
	assert_null(x.carrier);
	assert_true(x.sink == NULL && x.complete == NULL && x.resume == NULL);
	assert_string_equal(x.request_id, "");
	assert_ptr_equal(x.text.p, x.text_bytes);
	assert_int_equal(x.text.n, 0);
	assert_int_equal(x.text.cap, KS_ANSWER_TEXT_MAX);
	assert_true(ks_buf_ok(&x.text));
}

static void headers_that_are_not_there(void **state)
{
	size_t count = 7;

	(void)state;
	assert_true(ks_str_empty(ks_exchange_header(&x, KS_STR("X"), &count)));
	assert_int_equal(count, 0);
	x.headers[0] = (struct ks_header){KS_STR("XY"), KS_STR("a")};
	x.headers[1] = (struct ks_header){KS_STR(""), KS_STR("b")};
	x.header_count = 1;
	assert_true(ks_str_empty(ks_exchange_header(&x, KS_STR("X"), &count)));
	assert_int_equal(count, 0);
	assert_true(ks_str_empty(ks_exchange_header(&x, KS_STR(""), NULL)));
}

static void the_first_of_several_headers(void **state)
{
	size_t count;

	(void)state;
	x.headers[0] = (struct ks_header){KS_STR("a"), KS_STR("0")};
	x.headers[1] = (struct ks_header){KS_STR("x-TENANT-id"), KS_STR("1")};
	x.headers[2] = (struct ks_header){KS_STR("X-Tenant-Id"), KS_STR("2")};
	x.header_count = 3;
	assert_text(ks_exchange_header(&x, KS_STR("X-Tenant-ID"), &count), "1");
	assert_int_equal(count, 2);
	assert_text(ks_exchange_header(&x, KS_STR("A"), NULL), "0");
}

static void targets_divide_at_the_first_question_mark(void **state)
{
	static const char *const cases[][3] = {
		{"/", "/", ""}, {"/?", "/", ""}, {"/a?b", "/a", "b"}, {"/a?b?c", "/a", "b?c"}, {"?", "", ""}, {"", "", ""},
		{"/a%3fb", "/a%3fb", ""},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		x.target = ks_str_c(cases[i][0]);
		assert_text(ks_exchange_path(&x), cases[i][1]);
		assert_text(ks_exchange_query(&x), cases[i][2]);
	}
}

static void answer_headers_beyond_the_maximum(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ANSWER_HEADERS_MAX + 5; i++)
		ks_exchange_answer_header(&x, KS_STR("X"), i < KS_ANSWER_HEADERS_MAX ? KS_STR("in") : KS_STR("out"));
	assert_int_equal(x.answer_header_count, KS_ANSWER_HEADERS_MAX);
	assert_text(x.answer_headers[KS_ANSWER_HEADERS_MAX - 1].value, "in");
}

static unsigned called;

static void count_call(struct ks_exchange *exchange)
{
	assert_ptr_equal(exchange, &x);
	called++;
}

static void the_carrier_is_told(void **state)
{
	(void)state;
	called = 0;
	x.complete = count_call;
	ks_exchange_complete(&x);
	assert_int_equal(called, 1);
	ks_exchange_resume(&x);
	assert_int_equal(called, 1);
	x.resume = count_call;
	ks_exchange_resume(&x);
	assert_int_equal(called, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(headers_that_are_not_there, dirty),
		cmocka_unit_test_setup(answer_headers_beyond_the_maximum, dirty),
		cmocka_unit_test_setup(nothing_is_left_after_init, dirty),
		cmocka_unit_test_setup(the_first_of_several_headers, dirty),
		cmocka_unit_test_setup(targets_divide_at_the_first_question_mark, dirty),
		cmocka_unit_test_setup(the_carrier_is_told, dirty),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
