/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/buf.h"

#define ROOM 16

/* A buffer of 8 bytes within 16, so that writing too far shows. */
static struct ks_buf fenced(char room[ROOM])
{
	memset(room, '#', ROOM);
	return ks_buf_of(room, 8);
}

static void assert_overflowed(struct ks_buf *b, const char *kept)
{
	assert_false(ks_buf_ok(b));
	assert_true(ks_str_eq(ks_buf_str(b), ks_str_c(kept)));
	assert_memory_equal(&b->p[8], "########", 8);
	ks_buf_put_byte(b, 'x');
	ks_buf_put(b, KS_STR(""));
	ks_buf_printf(b, "%d", 1);
	assert_true(ks_str_eq(ks_buf_str(b), ks_str_c(kept)));
	assert_string_equal(ks_buf_z(b), "");
}

static void test_overflow_writes_nothing_more(void **state)
{
	char room[ROOM];
	struct ks_buf b;

	(void)state;
	b = fenced(room);
	ks_buf_put_c(&b, "abc");
	ks_buf_put_c(&b, "123456");
	assert_overflowed(&b, "abc");

	b = fenced(room);
	ks_buf_put_u64(&b, UINT64_MAX);
	assert_overflowed(&b, "");

	b = fenced(room);
	ks_buf_put_i64(&b, -12345678);
	assert_overflowed(&b, "");

	b = fenced(room);
	ks_buf_put_hex(&b, "\1\2\3\4\5", 5);
	assert_overflowed(&b, "");

	b = fenced(room);
	ks_buf_put_hex(&b, "", SIZE_MAX / 2 + 1);
	assert_overflowed(&b, "");

	b = fenced(room);
	ks_buf_put_c(&b, "ab");
	ks_buf_printf(&b, "%s", "1234567");
	assert_overflowed(&b, "ab");

	b = fenced(room);
	ks_buf_put_json(&b, KS_STR("1234567"));
	assert_overflowed(&b, "\"1234567");
}

static void test_exactly_full(void **state)
{
	char room[ROOM];
	struct ks_buf b = fenced(room);

	(void)state;
	ks_buf_put_c(&b, "12345678");
	assert_true(ks_buf_ok(&b));
	assert_int_equal(ks_buf_str(&b).n, 8);
	assert_memory_equal(&b.p[8], "########", 8);
	/* No byte is left for the terminator. */
	assert_string_equal(ks_buf_z(&b), "");
	assert_false(ks_buf_ok(&b));

	b = fenced(room);
	ks_buf_printf(&b, "%s", "1234567");
	assert_true(ks_buf_ok(&b));
	assert_string_equal(ks_buf_z(&b), "1234567");
	assert_memory_equal(&b.p[8], "########", 8);
}

static void test_no_room_at_all(void **state)
{
	struct ks_buf b = ks_buf_of(NULL, 0);

	(void)state;
	ks_buf_put(&b, KS_STR(""));
	ks_buf_printf(&b, "%s", "");
	assert_true(ks_buf_ok(&b));
	ks_buf_put_byte(&b, 'a');
	assert_false(ks_buf_ok(&b));
	assert_string_equal(ks_buf_z(&b), "");
}

static void test_numbers(void **state)
{
	char room[160];
	struct ks_buf b = KS_BUF(room);

	(void)state;
	ks_buf_put_u64(&b, 0);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put_u64(&b, UINT64_MAX);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put_i64(&b, INT64_MIN);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put_i64(&b, INT64_MAX);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put_i64(&b, -1);
	ks_buf_put_byte(&b, ' ');
	ks_buf_put_hex(&b, "\x00\x0f\x9a\xff\x09\xa0", 6);
	assert_string_equal(ks_buf_z(&b),
			    "0 18446744073709551615 -9223372036854775808 9223372036854775807 -1 000f9aff09a0");
}

static void assert_json(struct ks_str text, const char *expected)
{
	char room[128];
	struct ks_buf b = KS_BUF(room);

	ks_buf_put_json(&b, text);
	assert_string_equal(ks_buf_z(&b), expected);
}

static void test_json(void **state)
{
	(void)state;
	assert_json(KS_STR(""), "\"\"");
	assert_json(KS_STR("plain / text"), "\"plain / text\"");
	assert_json(KS_STR("\"\\\b\f\n\r\t"), "\"\\\"\\\\\\b\\f\\n\\r\\t\"");
	assert_json(KS_STR("\0\x01\x1f\x7f"), "\"\\u0000\\u0001\\u001f\x7f\"");
	assert_json(KS_STR("\xe2\x82\xac\xf0\x9f\x94\x91"), "\"\xe2\x82\xac\xf0\x9f\x94\x91\"");
	assert_json(KS_STR("a\xff" "b"), "\"a\xef\xbf\xbd" "b\"");
	assert_json(KS_STR("\xe2\x82"), "\"\xef\xbf\xbd\xef\xbf\xbd\"");
	assert_json(KS_STR("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_overflow_writes_nothing_more),
		cmocka_unit_test(test_exactly_full),
		cmocka_unit_test(test_no_room_at_all),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests_name("buf", tests, NULL, NULL);
}
