/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "api/key_in.h"

static struct ks_key_in *read_key(const char *text, const char *base, const char *const *extra, struct ks_in *in,
				  json_t **ret_root)
{
	struct ks_key_in *key = calloc(1, sizeof(*key));
	char detail[256];

	assert_non_null(key);
	*ret_root = ks_in_parse(ks_str_c(text), detail);
	assert_non_null(*ret_root);
	*in = (struct ks_in){0};
	ks_key_in_read(in, *ret_root, base, extra, key);
	return key;
}

static void test_problems_have_their_base(void **state)
{
	struct ks_in in;
	json_t *root;
	struct ks_key_in *key = read_key("{\"rate_limit\":{\"x\":1},\"labels\":{\"a\":1},\"scopes\":[1],"
					 "\"addresses\":[\"x\"]}",
					 "/first_key", NULL, &in, &root);

	(void)state;
	assert_true(in.problem_count >= 7);
	for (size_t i = 0; i < in.problem_count; i++)
		assert_true(ks_str_starts(ks_str_c(in.problems[i].pointer), KS_STR("/first_key/")));
	free(key);
	json_decref(root);
}

static void test_extra_members_are_the_callers(void **state)
{
	static const char *const extra[] = {"tenant", NULL};
	struct ks_in in;
	json_t *root;
	struct ks_key_in *key = read_key("{\"name\":\"x\",\"expires_at\":null,\"tenant\":5}", "", extra, &in, &root);

	(void)state;
	assert_int_equal(in.problem_count, 0);
	free(key);
	json_decref(root);
	key = read_key("{\"name\":\"x\",\"expires_at\":null,\"tenant\":5}", "", NULL, &in, &root);
	assert_int_equal(in.problem_count, 1);
	assert_string_equal(in.problems[0].pointer, "/tenant");
	free(key);
	json_decref(root);
}

static void test_the_least(void **state)
{
	struct ks_in in;
	json_t *root;
	struct ks_key_in *key = read_key("{\"name\":\"x\",\"expires_at\":null}", "", NULL, &in, &root);
	const struct ks_key_input *input = &key->input;

	(void)state;
	assert_int_equal(in.problem_count, 0);
	assert_true(ks_str_eq(input->name, KS_STR("x")));
	assert_true(input->expires_given && input->expires_at == KS_TIME_NONE);
	assert_false(input->kind_given || input->scopes_default || input->imported);
	assert_int_equal(input->environment, KS_ENVIRONMENT_LIVE);
	assert_int_equal(input->scope_count + input->role_count + input->address_count, 0);
	assert_int_equal(input->rate_requests + input->labels.n, 0);
	free(key);
	json_decref(root);
}

/* null where a member may be left out is the same as leaving it out. */
static void test_nulls(void **state)
{
	struct ks_in in;
	json_t *root;
	struct ks_key_in *key = read_key("{\"name\":\"x\",\"expires_at\":null,\"kind\":null,\"environment\":null,"
					 "\"rate_limit\":null,\"labels\":null}",
					 "", NULL, &in, &root);

	(void)state;
	assert_int_equal(in.problem_count, 0);
	assert_false(key->input.kind_given);
	free(key);
	json_decref(root);
}

static void test_everything(void **state)
{
	struct ks_in in;
	json_t *root;
	struct ks_key_in *key = read_key("{\"name\":\"x\",\"kind\":\"runtime\","
					 "\"scopes\":[\"a:b\",\"c\"],\"roles\":[\"r\"],"
					 "\"expires_at\":\"1970-01-01T00:00:01Z\","
					 "\"environment\":\"sandbox\",\"addresses\":[\"10.0.0.0/8\",\"::1\"],"
					 "\"rate_limit\":{\"requests\":6,\"window_s\":60},"
					 "\"labels\":{\"z\":\"\",\"a\":\"\\u00e9\\\"\"}}",
					 "", NULL, &in, &root);
	const struct ks_key_input *input = &key->input;

	(void)state;
	assert_int_equal(in.problem_count, 0);
	assert_true(input->kind_given && input->kind == KS_KIND_RUNTIME
		    && input->environment == KS_ENVIRONMENT_SANDBOX);
	assert_int_equal(input->scope_count, 2);
	assert_true(ks_str_eq(input->scopes[1], KS_STR("c")) && ks_str_eq(input->roles[0], KS_STR("r")));
	assert_int_equal(input->expires_at, 1000);
	assert_int_equal(input->address_count, 2);
	assert_int_equal(input->addresses[0].bits, 96 + 8);
	assert_int_equal(input->addresses[1].bits, 128);
	assert_int_equal(input->rate_requests, 6);
	assert_int_equal(input->rate_window_s, 60);
	/* In order of name: equal labels are equal bytes. */
	assert_true(ks_str_eq(input->labels, KS_STR("{\"a\":\"\xc3\xa9\\\"\",\"z\":\"\"}")));
	free(key);
	json_decref(root);
}

static void test_default_scopes(void **state)
{
	struct ks_in in;
	json_t *root;
	struct ks_key_in *key = read_key("{\"name\":\"x\",\"expires_at\":null,\"scopes\":\"default\"}", "", NULL, &in,
					 &root);

	(void)state;
	assert_int_equal(in.problem_count, 0);
	assert_true(key->input.scopes_default);
	assert_int_equal(key->input.scope_count, 0);
	free(key);
	json_decref(root);
}

static void test_members_of_a_key(void **state)
{
	static const char *const yes[] = {"id", "token", "name", "scopes", "rotated_to", "user", "labels"};
	static const char *const no[] = {"", "Name", "sha256", "names", "x"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(yes); i++)
		assert_true(ks_key_has_member(yes[i]));
	for (size_t i = 0; i < KS_ARRAY_LEN(no); i++)
		assert_false(ks_key_has_member(no[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_problems_have_their_base),
		cmocka_unit_test(test_extra_members_are_the_callers),
		cmocka_unit_test(test_the_least),
		cmocka_unit_test(test_nulls),
		cmocka_unit_test(test_everything),
		cmocka_unit_test(test_default_scopes),
		cmocka_unit_test(test_members_of_a_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
