/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crypto/password.h"

static const struct ks_str secret = {"correct horse battery", 21};

static void a_hash_is_of_its_password_alone(void **state)
{
	char hash[KS_PASSWORD_HASH_SIZE], other[KS_PASSWORD_HASH_SIZE];

	(void)state;
	assert_int_equal(ks_password_hash(secret, KS_PASSWORD_COST_INTERACTIVE, hash), KS_OK);
	assert_int_equal(ks_password_hash(secret, KS_PASSWORD_COST_INTERACTIVE, other), KS_OK);
	assert_string_not_equal(hash, other);
	assert_true(ks_str_starts(ks_str_c(hash), KS_STR("$argon2id$v=19$m=65536,t=2,p=1$")));
	assert_null(strstr(hash, "horse"));
	assert_int_equal(ks_password_verify(ks_str_c(hash), secret, KS_PASSWORD_COST_INTERACTIVE), KS_OK);
	assert_int_equal(ks_password_verify(ks_str_c(hash), KS_STR("correct horse batterY"),
					    KS_PASSWORD_COST_INTERACTIVE),
			 KS_FORBIDDEN);
	assert_int_equal(ks_password_verify(ks_str_c(hash), KS_STR(""), KS_PASSWORD_COST_INTERACTIVE), KS_FORBIDDEN);
}

static void what_is_no_hash_takes_no_password(void **state)
{
	static const char *const hashes[] = {"", "x", "$argon2id$", "correct horse battery"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(hashes); i++)
		assert_int_equal(ks_password_verify(ks_str_c(hashes[i]), secret, KS_PASSWORD_COST_INTERACTIVE),
				 KS_FORBIDDEN);
}

static void costs_have_names(void **state)
{
	enum ks_password_cost cost = KS_PASSWORD_COST_COUNT;

	(void)state;
	assert_false(ks_password_cost_parse(KS_STR("cheap"), &cost));
	assert_int_equal(cost, KS_PASSWORD_COST_COUNT);
	assert_true(ks_password_cost_parse(KS_STR("interactive"), &cost));
	assert_int_equal(cost, KS_PASSWORD_COST_INTERACTIVE);
	assert_true(ks_password_cost_parse(KS_STR("moderate"), &cost));
	assert_int_equal(cost, KS_PASSWORD_COST_MODERATE);
}

/* The hash of nobody's password must be one that the library takes for a hash, or the work would not be done: then
 * as much memory is touched as for a real one. */
static void nobodys_password_takes_the_same_work(void **state)
{
	(void)state;
	for (int cost = 0; cost < KS_PASSWORD_COST_COUNT; cost++)
		assert_true(ks_password_nobody_is_a_hash((enum ks_password_cost)cost));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hash_is_of_its_password_alone),
		cmocka_unit_test(what_is_no_hash_takes_no_password),
		cmocka_unit_test(costs_have_names),
		cmocka_unit_test(nobodys_password_takes_the_same_work),
	};

	return cmocka_run_group_tests_name("password", tests, NULL, NULL);
}
