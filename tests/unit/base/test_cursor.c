/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/cursor.h"

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static void test_failure_sticks(void **state)
{
	struct ks_cursor c = ks_cursor_of(KS_STR("abc123"));

	(void)state;
	ks_cursor_literal(&c, KS_STR("abd"));
	assert_true(c.failed);
	assert_int_equal(ks_cursor_peek(&c), -1);
	assert_int_equal(ks_cursor_byte(&c), -1);
	assert_int_equal(ks_cursor_take(&c, 0).n, 0);
	assert_int_equal(ks_cursor_run(&c, is_digit, 0, 9).n, 0);
	assert_int_equal(ks_cursor_u32(&c), 0);
	assert_false(ks_cursor_done(&c));
}

static void test_nothing_is_read_past_the_end(void **state)
{
	struct ks_cursor c = ks_cursor_of(KS_STR("ab"));

	(void)state;
	assert_int_equal(ks_cursor_take(&c, SIZE_MAX).n, 0);
	assert_true(c.failed);

	c = ks_cursor_of(KS_STR("ab"));
	ks_cursor_literal(&c, KS_STR("abc"));
	assert_true(c.failed);

	c = ks_cursor_of(KS_STR("\1\2\3"));
	assert_int_equal(ks_cursor_u32(&c), 0);
	assert_true(c.failed);

	c = ks_cursor_of((struct ks_str){NULL, 0});
	assert_int_equal(ks_cursor_left(&c), 0);
	assert_int_equal(ks_cursor_peek(&c), -1);
	assert_false(c.failed);
	assert_int_equal(ks_cursor_take(&c, 0).n, 0);
	assert_true(ks_cursor_done(&c));
	assert_int_equal(ks_cursor_byte(&c), -1);
	assert_false(ks_cursor_done(&c));
}

static void test_what_is_left_is_not_done(void **state)
{
	struct ks_cursor c = ks_cursor_of(KS_STR("ab"));

	(void)state;
	assert_int_equal(ks_cursor_byte(&c), 'a');
	assert_int_equal(ks_cursor_left(&c), 1);
	assert_false(ks_cursor_done(&c));
	assert_int_equal(ks_cursor_byte(&c), 'b');
	assert_true(ks_cursor_done(&c));
}

static void test_run(void **state)
{
	struct ks_cursor c = ks_cursor_of(KS_STR("12345x"));

	(void)state;
	assert_true(ks_str_eq(ks_cursor_run(&c, is_digit, 1, 3), KS_STR("123")));
	assert_true(ks_str_eq(ks_cursor_run(&c, is_digit, 2, SIZE_MAX), KS_STR("45")));
	assert_int_equal(ks_cursor_run(&c, is_digit, 0, 3).n, 0);
	assert_false(c.failed);
	assert_int_equal(ks_cursor_run(&c, is_digit, 1, 3).n, 0);
	assert_true(c.failed);
}

static void test_bytes_above_0x7f_are_positive(void **state)
{
	struct ks_cursor c = ks_cursor_of(KS_STR("\xff"));

	(void)state;
	assert_int_equal(ks_cursor_peek(&c), 0xff);
	assert_int_equal(ks_cursor_byte(&c), 0xff);
}

static void test_numbers(void **state)
{
	struct ks_cursor c = ks_cursor_of(KS_STR("\x01\x02\x03\x04\x05\x06\x07\xff\xfe\xfd\xfc\xfb\xfa\xf9\xf8"));

	(void)state;
	assert_int_equal(ks_cursor_u8(&c), 0x01);
	assert_int_equal(ks_cursor_u16(&c), 0x0302);
	assert_int_equal(ks_cursor_u32(&c), 0x07060504);
	assert_true(ks_cursor_u64(&c) == UINT64_C(0xf8f9fafbfcfdfeff));
	assert_true(ks_cursor_done(&c));
}

static void test_blanks(void **state)
{
	struct ks_cursor c = ks_cursor_of(KS_STR(" \t x\n"));

	(void)state;
	ks_cursor_skip_blanks(&c);
	assert_int_equal(ks_cursor_byte(&c), 'x');
	ks_cursor_skip_blanks(&c);
	assert_int_equal(ks_cursor_peek(&c), '\n');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failure_sticks),
		cmocka_unit_test(test_nothing_is_read_past_the_end),
		cmocka_unit_test(test_what_is_left_is_not_done),
		cmocka_unit_test(test_run),
		cmocka_unit_test(test_bytes_above_0x7f_are_positive),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_blanks),
	};

	return cmocka_run_group_tests_name("cursor", tests, NULL, NULL);
}
