/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/id.h"

#define EPOCH_MS INT64_C(1577836800000)

static void test_refuses(void **state)
{
	static const char *const bad[] = {
		"", "key", "key_", "key_000000000001", "key_00000000000001", "key_0000000000000", "KEY_0000000000001",
		"kex_0000000000001", "key-0000000000001", "key_000000000000i", "key_000000000000l",
		"key_000000000000o", "key_000000000000u", "key_000000000000A", "key_g000000000000",
		"key_z000000000000", "key_00000 0000001", "key_000000000000\x80", "_ey_0000000000001",
		"key0_000000000001", " key_000000000001",
	};
	enum ks_id_type type = KS_ID_AUDIT;
	uint64_t id = 77;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		assert_false(ks_id_parse_any(ks_str_c(bad[i]), &type, &id));
		assert_false(ks_id_parse(ks_str_c(bad[i]), KS_ID_KEY, &id));
	}
	assert_false(ks_id_parse(KS_STR("org_0000000000001"), KS_ID_KEY, &id));
	assert_int_equal(type, KS_ID_AUDIT);
	assert_true(id == 77);
}

static void test_known(void **state)
{
	char text[KS_ID_TEXT_SIZE];

	(void)state;
	ks_id_format(KS_ID_KEY, 1, text);
	assert_string_equal(text, "key_0000000000001");
	ks_id_format(KS_ID_ORGANIZATION, UINT64_MAX, text);
	assert_string_equal(text, "org_fzzzzzzzzzzzz");
	ks_id_format(KS_ID_USER, UINT64_C(0x0123456789abcdef), text);
	assert_string_equal(text, "usr_028t5cy4tqkff");
}

static void test_round_trips(void **state)
{
	(void)state;
	for (enum ks_id_type type = 0; type < KS_ID_TYPE_COUNT; type++) {
		for (unsigned bit = 0; bit < 64; bit++) {
			uint64_t id = UINT64_C(1) << bit, back;
			char text[KS_ID_TEXT_SIZE];
			enum ks_id_type type_back;

			ks_id_format(type, id, text);
			assert_int_equal(strlen(text), KS_ID_TEXT_LEN);
			assert_true(ks_id_parse_any(ks_str_c(text), &type_back, &back));
			assert_int_equal(type_back, type);
			assert_true(back == id);
			assert_true(ks_id_parse(ks_str_c(text), type, &back));
			assert_true(back == id);
		}
	}
}

/* Every byte in every place: taken only if it writes back as it stood. */
static void test_only_the_canonical_text(void **state)
{
	(void)state;
	for (size_t place = 0; place < KS_ID_TEXT_LEN; place++) {
		for (unsigned c = 0; c < 256; c++) {
			char text[KS_ID_TEXT_SIZE] = "key_00000000000a0", back[KS_ID_TEXT_SIZE];
			enum ks_id_type type;
			uint64_t id;

			text[place] = (char)c;
			if (!ks_id_parse_any(ks_str_of(text, KS_ID_TEXT_LEN), &type, &id))
				continue;
			ks_id_format(type, id, back);
			assert_string_equal(back, text);
		}
	}
}

static void test_next_rises(void **state)
{
	struct ks_id_source source = {0};
	uint64_t last = 0, id;

	(void)state;
	/* Before the epoch, and with nothing random: still no 0. */
	id = ks_id_next(&source, 0, 0);
	assert_true(id == 1);
	assert_true(ks_id_next(&source, INT64_MIN, 0) == 2);
	for (int64_t ms = EPOCH_MS; ms < EPOCH_MS + 2000; ms++) {
		/* The clock goes back now and then, and the random bits fall. */
		int64_t now = ms % 7 == 0 ? ms - 500 : ms;

		id = ks_id_next(&source, now, (uint32_t)(UINT32_MAX - ms));
		assert_true(id > last);
		last = id;
	}
}

static void test_next_parts(void **state)
{
	struct ks_id_source source = {0};
	uint64_t id = ks_id_next(&source, EPOCH_MS + 5, UINT32_MAX);

	(void)state;
	assert_true(id == (UINT64_C(5) << 22 | 0x3fffff));
	assert_true(ks_id_time(id) == EPOCH_MS + 5);
	assert_true(ks_id_time(id + 1) == EPOCH_MS + 6);
	assert_true(ks_id_time(1) == EPOCH_MS);
	assert_true(ks_id_next(&source, EPOCH_MS + 5, 0) == id + 1);
	assert_true(ks_id_next(&source, INT64_MAX, 0) == UINT64_C(0x3ffffffffff) << 22);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refuses),
		cmocka_unit_test(test_known),
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_only_the_canonical_text),
		cmocka_unit_test(test_next_rises),
		cmocka_unit_test(test_next_parts),
	};

	return cmocka_run_group_tests_name("id", tests, NULL, NULL);
}
