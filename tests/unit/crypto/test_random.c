/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/base.h"
#include "crypto/random.h"

#define MIB ((size_t)1 << 20)

static unsigned char bytes[MIB];

static void test_too_much_is_refused(void **state)
{
	unsigned char byte = 77;

	(void)state;
	assert_int_equal(ks_random(&byte, MIB + 1), KS_TOO_LARGE);
	assert_int_equal(ks_random(&byte, SIZE_MAX), KS_TOO_LARGE);
	assert_int_equal(byte, 77);
}

static void test_nothing(void **state)
{
	unsigned char byte = 77;

	(void)state;
	assert_int_equal(ks_random(&byte, 0), KS_OK);
	assert_int_equal(byte, 77);
}

/* All of it is filled, to the last byte and no further: a stretch left as it was would be 4096 zeros. */
static void test_all_is_filled(void **state)
{
	(void)state;
	bytes[MIB - 1] = 77;
	assert_int_equal(ks_random(bytes, MIB - 1), KS_OK);
	assert_int_equal(bytes[MIB - 1], 77);
	for (size_t page = 0; page < MIB / 4096; page++) {
		unsigned char any = 0;

		for (size_t i = 0; i < 4095; i++)
			any |= bytes[page * 4096 + i];
		assert_int_not_equal(any, 0);
	}
}

static void test_no_two_are_equal(void **state)
{
	uint64_t drawn[256];

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(drawn); i++) {
		assert_int_equal(ks_random(&drawn[i], sizeof(drawn[i])), KS_OK);
		for (size_t j = 0; j < i; j++)
			assert_true(drawn[i] != drawn[j]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_too_much_is_refused),
		cmocka_unit_test(test_nothing),
		cmocka_unit_test(test_all_is_filled),
		cmocka_unit_test(test_no_two_are_equal),
	};

	return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
