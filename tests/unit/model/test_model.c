/* SPDX-License-Identifier: Apache-2.0 */
/* The tables of words: what the contract fixes, and that nothing else is a word. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "model/model.h"

static void other_spellings_are_no_words(void **state)
{
	static const char *const wrong[] = {"",         " ",          "Session",   "SESSION",
					    "session ", "sessions",   "sess",      "live,",
					    "Live",     "sub-entity", "subentity", "required-for-partner",
					    "true",     "0"};
	enum ks_kind kind = KS_KIND_RUNTIME;
	enum ks_binding binding = KS_BINDING_USER;
	enum ks_environment environment = KS_ENVIRONMENT_SANDBOX;
	enum ks_tenant_kind tenant_kind = KS_TENANT_KIND_PERSONAL;
	enum ks_tenant_header rule = KS_TENANT_HEADER_REFUSED;
	enum ks_role role = KS_ROLE_MEMBER;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(wrong); i++) {
		struct ks_str text = ks_str_c(wrong[i]);

		assert_false(ks_kind_parse(text, &kind));
		assert_false(ks_binding_parse(text, &binding));
		assert_false(ks_environment_parse(text, &environment));
		assert_false(ks_tenant_kind_parse(text, &tenant_kind));
		assert_false(ks_tenant_header_parse(text, &rule));
		assert_false(ks_role_parse(text, &role));
	}
	assert_false(ks_role_parse(KS_STR("Administrator"), &role));
	assert_false(ks_kind_parse(ks_str_of("session\0", 8), &kind));
	assert_false(ks_kind_parse(ks_str_of(NULL, 0), &kind));
	/* Untouched on failure. */
	assert_int_equal(kind, KS_KIND_RUNTIME);
	assert_int_equal(binding, KS_BINDING_USER);
	assert_int_equal(environment, KS_ENVIRONMENT_SANDBOX);
	assert_int_equal(tenant_kind, KS_TENANT_KIND_PERSONAL);
	assert_int_equal(rule, KS_TENANT_HEADER_REFUSED);
	assert_int_equal(role, KS_ROLE_MEMBER);
}

static void values_beyond_the_table_have_no_text(void **state)
{
	(void)state;
	assert_string_equal(ks_kind_text(KS_KIND_COUNT), "");
	assert_string_equal(ks_binding_text(KS_BINDING_COUNT), "");
	assert_string_equal(ks_environment_text(KS_ENVIRONMENT_COUNT), "");
	assert_string_equal(ks_tenant_kind_text(KS_TENANT_KIND_COUNT), "");
	assert_string_equal(ks_tenant_header_text(KS_TENANT_HEADER_COUNT), "");
	assert_string_equal(ks_step_title(KS_STEP_COUNT), "");
	assert_string_equal(ks_kind_text((enum ks_kind)UINT32_MAX), "");
}

static void a_number_that_is_no_reason_refuses(void **state)
{
	(void)state;
	assert_int_equal(ks_reason_info(KS_REASON_COUNT)->status, 401);
	assert_int_equal(ks_reason_info((enum ks_reason)UINT32_MAX)->status, 401);
	assert_string_equal(ks_reason_info(KS_REASON_COUNT)->code, "credential_invalid");
}

#define GOES_BOTH_WAYS(type, count, text_of, parse)                   \
	for (unsigned i = 0; i < (count); i++) {                      \
		enum type value = (enum type)((count) + 1);           \
		struct ks_str text = ks_str_c(text_of((enum type)i)); \
		assert_true(text.n > 0);                              \
		assert_true(parse(text, &value));                     \
		assert_int_equal(value, i);                           \
	}

static void every_word_goes_both_ways(void **state)
{
	(void)state;
	GOES_BOTH_WAYS(ks_kind, KS_KIND_COUNT, ks_kind_text, ks_kind_parse)
	GOES_BOTH_WAYS(ks_binding, KS_BINDING_COUNT, ks_binding_text, ks_binding_parse)
	GOES_BOTH_WAYS(ks_environment, KS_ENVIRONMENT_COUNT, ks_environment_text, ks_environment_parse)
	GOES_BOTH_WAYS(ks_tenant_kind, KS_TENANT_KIND_COUNT, ks_tenant_kind_text, ks_tenant_kind_parse)
	GOES_BOTH_WAYS(ks_tenant_header, KS_TENANT_HEADER_COUNT, ks_tenant_header_text, ks_tenant_header_parse)
}

/* Their numbers stand in ring files, and 0 is none. */
static void built_in_roles(void **state)
{
	static const char *const names[] = {"", "administrator", "member", "account_reader", ""};
	enum ks_role role;

	(void)state;
	for (unsigned i = 0; i < KS_ARRAY_LEN(names); i++) {
		assert_string_equal(ks_role_text((enum ks_role)i), names[i]);
		if (i > 0 && i < KS_ROLE_BUILT_IN_END) {
			assert_true(ks_role_parse(ks_str_c(names[i]), &role));
			assert_int_equal(role, i);
		}
	}
}

static void kinds_of_tenants_are_types_of_ids(void **state)
{
	char text[KS_ID_TEXT_SIZE];

	(void)state;
	ks_id_format((enum ks_id_type)KS_TENANT_KIND_SUB_ENTITY, 1, text);
	assert_memory_equal(text, "sub_", 4);
	ks_id_format((enum ks_id_type)KS_TENANT_KIND_PERSONAL, 1, text);
	assert_memory_equal(text, "per_", 4);
	assert_int_equal(KS_TENANT_KIND_OPERATOR, KS_ID_OPERATOR);
}

static void reasons_are_those_of_the_contract(void **state)
{
	static const struct {
		int status;
		const char *code;
	} fixed[] = {
		{200, "ok"},
		{401, "credential_missing"},
		{401, "credential_malformed"},
		{401, "credential_invalid"},
		{401, "credential_expired"},
		{400, "path_ambiguous"},
		{403, "route_unknown"},
		{403, "kind_not_allowed"},
		{403, "environment_mismatch"},
		{403, "address_not_allowed"},
		{403, "scope_missing"},
		{400, "tenant_required"},
		{403, "tenant_forbidden"},
		{429, "rate_limited"},
		{503, "stale"},
	};

	(void)state;
	assert_int_equal(KS_ARRAY_LEN(fixed), KS_REASON_COUNT);
	for (size_t i = 0; i < KS_ARRAY_LEN(fixed); i++) {
		const struct ks_reason_info *info = ks_reason_info((enum ks_reason)i);

		assert_string_equal(info->code, fixed[i].code);
		assert_int_equal(info->status, fixed[i].status);
		assert_true(info->step < KS_STEP_COUNT);
		assert_true(info->text[0] != '\0');
	}
}

/* The reasons stand in the order of the steps that give them, but for ok and stale. */
static void reasons_follow_the_steps(void **state)
{
	(void)state;
	for (unsigned i = KS_REASON_CREDENTIAL_MISSING; i < KS_REASON_RATE_LIMITED; i++)
		assert_true(ks_reason_info((enum ks_reason)i)->step <= ks_reason_info((enum ks_reason)(i + 1))->step);
	assert_int_equal(ks_reason_info(KS_REASON_STALE)->step, KS_STEP_LEASE);
	for (unsigned i = 0; i < KS_STEP_COUNT; i++)
		assert_true(ks_step_title((enum ks_step)i)[0] != '\0');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(other_spellings_are_no_words),
		cmocka_unit_test(values_beyond_the_table_have_no_text),
		cmocka_unit_test(a_number_that_is_no_reason_refuses),
		cmocka_unit_test(every_word_goes_both_ways),
		cmocka_unit_test(built_in_roles),
		cmocka_unit_test(kinds_of_tenants_are_types_of_ids),
		cmocka_unit_test(reasons_are_those_of_the_contract),
		cmocka_unit_test(reasons_follow_the_steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
