/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ctype.h>
#include <string.h>

#include "base/err.h"

static void test_unknown_values_have_texts(void **state)
{
	(void)state;
	assert_string_equal(ks_err_text(KS_ERR_COUNT), "unknown error");
	assert_string_equal(ks_err_name(KS_ERR_COUNT), "unknown");
	assert_string_equal(ks_err_name((enum ks_err)-1), "unknown");
}

static void test_every_row(void **state)
{
	(void)state;
	assert_int_equal(KS_OK, 0);
	for (unsigned i = 0; i < KS_ERR_COUNT; i++) {
		const char *name = ks_err_name((enum ks_err)i);

		assert_true(strlen(ks_err_text((enum ks_err)i)) > 0);
		assert_true(strlen(name) > 0);
		for (size_t j = 0; name[j]; j++)
			assert_true(islower((unsigned char)name[j]) || name[j] == '_');
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(name, ks_err_name((enum ks_err)j));
	}
	assert_string_equal(ks_err_name(KS_NOT_FOUND), "not_found");
	assert_string_equal(ks_err_text(KS_NOT_FOUND), "no such thing");
}

static enum ks_err tried(enum ks_err err, int *ret_reached)
{
	KS_TRY(err);
	*ret_reached = 1;
	return KS_FULL;
}

static void test_try(void **state)
{
	int reached = 0;

	(void)state;
	assert_int_equal(tried(KS_BUSY, &reached), KS_BUSY);
	assert_int_equal(reached, 0);
	assert_int_equal(tried(KS_OK, &reached), KS_FULL);
	assert_int_equal(reached, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unknown_values_have_texts),
		cmocka_unit_test(test_every_row),
		cmocka_unit_test(test_try),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
