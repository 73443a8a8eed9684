/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "keeper/wire.h"

static struct ks_buf head(char room[KS_KEEPER_HEAD_SIZE], uint32_t n, uint16_t message, uint16_t status)
{
	struct ks_buf b = ks_buf_of(room, KS_KEEPER_HEAD_SIZE);

	ks_keeper_put_u32(&b, n);
	ks_buf_put_byte(&b, (char)(message & 0xff));
	ks_buf_put_byte(&b, (char)(message >> 8));
	ks_buf_put_byte(&b, (char)(status & 0xff));
	ks_buf_put_byte(&b, (char)(status >> 8));
	ks_keeper_put_u64(&b, 77);
	return b;
}

static enum ks_err read_head(uint32_t n, uint16_t message, uint16_t status, bool answer)
{
	char room[KS_KEEPER_HEAD_SIZE];
	struct ks_buf b = head(room, n, message, status);
	struct ks_keeper_head h = {.id = 1};
	enum ks_err err = ks_keeper_head_read(ks_buf_str(&b), answer, &h);

	if (err == KS_OK)
		assert_true(h.n == n && h.message == message && h.status == status && h.id == 77);
	else
		assert_int_equal(h.id, 1);
	return err;
}

static void a_head_is_within_the_table(void **state)
{
	(void)state;
	assert_int_equal(read_head(12, KS_KEEPER_ORG_CREATE, KS_OK, false), KS_OK);
	assert_int_equal(read_head(13, KS_KEEPER_ORG_CREATE, KS_OK, false), KS_MALFORMED);
	assert_int_equal(read_head(2048, KS_KEEPER_ORG_CREATE, KS_OK, true), KS_OK);
	assert_int_equal(read_head(2049, KS_KEEPER_ORG_CREATE, KS_OK, true), KS_MALFORMED);
	assert_int_equal(read_head(0, KS_KEEPER_MESSAGE_COUNT, KS_OK, false), KS_MALFORMED);
	assert_int_equal(read_head(0, 0xffff, KS_OK, false), KS_MALFORMED);
	assert_int_equal(read_head(0, KS_KEEPER_OPEN, KS_CORRUPT, false), KS_MALFORMED);
	assert_int_equal(read_head(0, KS_KEEPER_OPEN, KS_CORRUPT, true), KS_OK);
	assert_int_equal(read_head(512, KS_KEEPER_OPEN, KS_CORRUPT, true), KS_OK);
	assert_int_equal(read_head(513, KS_KEEPER_OPEN, KS_CORRUPT, true), KS_MALFORMED);
	assert_int_equal(read_head(0, KS_KEEPER_OPEN, KS_ERR_COUNT, true), KS_MALFORMED);
	assert_int_equal(read_head(KS_KEEPER_BODY_MAX, KS_KEEPER_OPEN, KS_OK, true), KS_OK);
	assert_int_equal(read_head(KS_KEEPER_BODY_MAX + 1, KS_KEEPER_OPEN, KS_OK, true), KS_MALFORMED);
	assert_int_equal(read_head(UINT32_MAX, KS_KEEPER_OPEN, KS_OK, false), KS_MALFORMED);
}

static void what_was_written_is_read(void **state)
{
	const struct ks_keeper_org org = {7, 3, KS_STR("wrapped")};
	const struct ks_keeper_binding binding = {1, UINT64_MAX, KS_STR("password"), 9};
	char room[256];
	struct ks_buf b = KS_BUF(room);
	struct ks_cursor c;
	struct ks_keeper_org org_read;
	struct ks_keeper_binding binding_read;

	(void)state;
	ks_keeper_put_org(&b, &org);
	ks_keeper_put_binding(&b, &binding);
	ks_keeper_put_text(&b, KS_STR("end"));
	assert_true(ks_buf_ok(&b));
	c = ks_cursor_of(ks_buf_str(&b));
	org_read = ks_keeper_take_org(&c);
	binding_read = ks_keeper_take_binding(&c);
	assert_true(ks_str_eq(ks_keeper_take_text(&c, 3), KS_STR("end")));
	assert_true(ks_cursor_done(&c));
	assert_true(org_read.organization == 7 && org_read.generation == 3 && ks_str_eq(org_read.wrapped, org.wrapped));
	assert_true(binding_read.tenant == 1 && binding_read.provider == UINT64_MAX && binding_read.version == 9
		    && ks_str_eq(binding_read.field, binding.field));
	for (size_t n = 0; n < b.n; n++) {
		c = ks_cursor_of(ks_str_of(room, n));
		(void)ks_keeper_take_org(&c);
		(void)ks_keeper_take_binding(&c);
		(void)ks_keeper_take_text(&c, 3);
		assert_false(ks_cursor_done(&c));
	}
}

static void texts_are_bounded(void **state)
{
	char room[64];
	struct ks_buf b = KS_BUF(room);
	struct ks_cursor c;

	(void)state;
	ks_keeper_put_text(&b, KS_STR("1234"));
	c = ks_cursor_of(ks_buf_str(&b));
	assert_int_equal(ks_keeper_take_text(&c, 3).n, 0);
	assert_false(ks_cursor_done(&c));
	assert_null(ks_keeper_put_room(&b, sizeof(room)));
	assert_false(ks_buf_ok(&b));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_head_is_within_the_table),
		cmocka_unit_test(what_was_written_is_read),
		cmocka_unit_test(texts_are_bounded),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
