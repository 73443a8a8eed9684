/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "api/call.h"

#define DAY INT64_C(86400000)
#define GRANT                                                                                      \
	"{\"addresses\":[\"10.0.0.0/8\"],\"rate_limit\":{\"requests\":5,\"window_s\":60}," \
	"\"roles\":[\"r\"],\"scopes\":[\"a:b\",\"c:d\"]}"

static struct ks_key_row row(void)
{
	return (struct ks_key_row){
		.id = 1,
		.tenant = 2,
		.kind = KS_KIND_TENANT,
		.binding = KS_BINDING_SUB_ENTITY,
		.environment = KS_ENVIRONMENT_LIVE,
		.name = KS_STR("na\"me"),
		.prefix = KS_STR("ks"),
		.last_four = KS_STR("cdef"),
		.created_at = 0,
		.created_by = KS_STR("local"),
		.expires_at = KS_TIME_NONE,
		.retires_at = KS_TIME_NONE,
		.revoked_at = KS_TIME_NONE,
		.last_used_at = KS_TIME_NONE,
	};
}

static json_t *rendered(const struct ks_key_row *key, const char *grant, const char *token, int64_t now_ms)
{
	struct ks_json json;
	json_t *root;

	ks_json_init(&json);
	ks_record_key(&json, key, ks_str_c(grant), token, now_ms);
	assert_false(json.failed);
	root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	assert_non_null(root);
	ks_json_free(&json);
	return root;
}

static const char *text(const json_t *root, const char *name)
{
	return json_string_value(json_object_get(root, name));
}

/* ---- what is damaged ---- */

static void test_a_grant_that_is_not_canonical_is_no_record(void **state)
{
	static const char *const bodies[] = {
		"",
		"{}",
		"null",
		"[]",
		"{\"addresses\":[],\"rate_limit\":null,\"roles\":[],\"scopes\":[]",
		"{\"addresses\":[],\"rate_limit\":null,\"roles\":[],\"scopes\":[]}x",
		"{\"scopes\":[],\"addresses\":[],\"rate_limit\":null,\"roles\":[]}",
		"{\"addresses\":[,\"rate_limit\":null,\"roles\":[],\"scopes\":[]}",
		"{\"addresses\":\"x\",\"rate_limit\":null,\"roles\":[],\"scopes\":[]}",
		"{\"addresses\":[\"x],\"rate_limit\":null,\"roles\":[],\"scopes\":[]}",
		"{\"addresses\":[],\"rate_limit\":nul,\"roles\":[],\"scopes\":[]}",
		"{ \"addresses\":[],\"rate_limit\":null,\"roles\":[],\"scopes\":[]}",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bodies); i++) {
		struct ks_key_row key = row();
		struct ks_json json;

		ks_json_init(&json);
		ks_record_key(&json, &key, ks_str_c(bodies[i]), NULL, 0);
		assert_true(json.failed);
		ks_json_free(&json);
	}
}

static void test_a_binding_beyond_the_table_is_no_record(void **state)
{
	struct ks_key_row key = row();
	struct ks_json json;

	(void)state;
	key.binding = KS_BINDING_COUNT;
	ks_json_init(&json);
	ks_record_key(&json, &key, KS_STR(GRANT), NULL, 0);
	assert_true(json.failed);
	ks_json_free(&json);
}

/* ---- keys ---- */

static void test_members_of_the_grant_are_as_they_stand(void **state)
{
	struct ks_key_row key = row();
	json_t *root = rendered(&key, GRANT, NULL, 0);
	json_t *grant = json_loads(GRANT, 0, NULL);
	const char *name;
	json_t *value;

	(void)state;
	json_object_foreach(grant, name, value)
		assert_true(json_equal(json_object_get(root, name), value));
	json_decref(grant);
	json_decref(root);
}

static void test_brackets_in_texts_end_nothing(void **state)
{
	struct ks_key_row key = row();
	json_t *root = rendered(&key,
				"{\"addresses\":[],\"rate_limit\":null,\"roles\":[\"]}\\\"[\",\"\\\\\"],\"scopes\":[]}",
				NULL, 0);

	(void)state;
	assert_string_equal(json_string_value(json_array_get(json_object_get(root, "roles"), 0)), "]}\"[");
	assert_string_equal(json_string_value(json_array_get(json_object_get(root, "roles"), 1)), "\\");
	assert_true(json_is_null(json_object_get(root, "rate_limit")));
	json_decref(root);
}

static void test_nothing_is_null(void **state)
{
	static const char *const nulls[] = {"user", "expires_at", "last_used_at", "last_used_address", "revoked_at",
					    "revoked_by", "rotated_from",
					    "rotated_to"};
	struct ks_key_row key = row();
	json_t *root = rendered(&key, GRANT, NULL, 0);

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(nulls); i++)
		assert_true(json_is_null(json_object_get(root, nulls[i])));
	assert_null(json_object_get(root, "token"));
	assert_int_equal(json_object_size(json_object_get(root, "labels")), 0);
	assert_string_equal(text(root, "name"), "na\"me");
	assert_string_equal(text(root, "status"), "active");
	json_decref(root);
	key.prefix = key.last_four = KS_STR("");
	root = rendered(&key, GRANT, NULL, 0);
	assert_true(json_is_null(json_object_get(root, "prefix")) && json_is_null(json_object_get(root, "last_four")));
	json_decref(root);
}

static void test_the_tenants_prefix_follows_the_binding(void **state)
{
	static const char *const prefixes[] = {
		[KS_BINDING_OPERATOR] = "opr_", [KS_BINDING_PARTNER] = "prt_", [KS_BINDING_ORGANIZATION] = "org_",
		[KS_BINDING_SUB_ENTITY] = "sub_", [KS_BINDING_PROJECT] = "prj_", [KS_BINDING_USER] = "per_"};

	(void)state;
	for (enum ks_binding i = 0; i < KS_BINDING_COUNT; i++) {
		struct ks_key_row key = row();
		json_t *root;

		key.binding = i;
		root = rendered(&key, GRANT, NULL, 0);
		assert_true(ks_str_starts(ks_str_c(text(root, "tenant")), ks_str_c(prefixes[i])));
		json_decref(root);
	}
}

static void test_the_token_is_there_when_it_is_given(void **state)
{
	struct ks_key_row key = row();
	json_t *root = rendered(&key, GRANT, "ks_0123456789abcdef0123456789abcdef", 0);

	(void)state;
	assert_string_equal(text(root, "token"), "ks_0123456789abcdef0123456789abcdef");
	json_decref(root);
}

/* expires, retires, revoked, now; and what they mean. */
static void test_status(void **state)
{
	static const struct {
		int64_t expires_at, retires_at, revoked_at, now_ms;
		enum ks_key_status status;
		int64_t shown_revoked_at;
	} cases[] = {
		{KS_TIME_NONE, KS_TIME_NONE, KS_TIME_NONE, DAY, KS_KEY_STATUS_ACTIVE, KS_TIME_NONE},
		{DAY, KS_TIME_NONE, KS_TIME_NONE, DAY - 1, KS_KEY_STATUS_ACTIVE, KS_TIME_NONE},
		{DAY, KS_TIME_NONE, KS_TIME_NONE, DAY, KS_KEY_STATUS_EXPIRED, KS_TIME_NONE},
		{KS_TIME_NONE, DAY, KS_TIME_NONE, DAY - 1, KS_KEY_STATUS_ACTIVE, KS_TIME_NONE},
		{KS_TIME_NONE, DAY, KS_TIME_NONE, DAY, KS_KEY_STATUS_REVOKED, DAY},
		{2 * DAY, DAY, KS_TIME_NONE, 3 * DAY, KS_KEY_STATUS_REVOKED, DAY},
		{DAY, DAY, KS_TIME_NONE, DAY, KS_KEY_STATUS_REVOKED, DAY},
		{DAY, 2 * DAY, KS_TIME_NONE, DAY, KS_KEY_STATUS_EXPIRED, KS_TIME_NONE},
		{DAY, 2 * DAY, KS_TIME_NONE, 3 * DAY, KS_KEY_STATUS_EXPIRED, KS_TIME_NONE},
		{DAY, KS_TIME_NONE, 5, 6, KS_KEY_STATUS_REVOKED, 5},
		{DAY, KS_TIME_NONE, 5, 2 * DAY, KS_KEY_STATUS_REVOKED, 5},
		{KS_TIME_NONE, DAY, 5, 6, KS_KEY_STATUS_REVOKED, 5},
	};
	static const char *const names[] = {"active", "expired", "revoked"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_key_row key = row();
		char at[KS_TIME_TEXT_SIZE];
		json_t *root;

		key.expires_at = cases[i].expires_at;
		key.retires_at = cases[i].retires_at;
		key.revoked_at = cases[i].revoked_at;
		assert_int_equal(ks_record_key_status(&key, cases[i].now_ms), cases[i].status);
		root = rendered(&key, GRANT, NULL, cases[i].now_ms);
		assert_string_equal(text(root, "status"), names[cases[i].status]);
		if (cases[i].shown_revoked_at == KS_TIME_NONE) {
			assert_true(json_is_null(json_object_get(root, "revoked_at")));
		} else {
			ks_time_format(cases[i].shown_revoked_at, at);
			assert_string_equal(text(root, "revoked_at"), at);
		}
		json_decref(root);
	}
}

/* ---- tenants and users ---- */

static void test_a_tenant_without_a_ring_hides_its_parent(void **state)
{
	struct ks_actor actor = {.local = true};
	struct ks_tenant_row tenant = {.id = 5, .parent = 4, .organization = 3, .kind = KS_TENANT_KIND_PROJECT,
				       .name = KS_STR("x"),
				       .created_by = KS_STR("local"), .suspended_at = 1000, .deleted_at = KS_TIME_NONE};
	struct ks_json json;
	json_t *root;

	(void)state;
	ks_json_init(&json);
	ks_record_tenant(&json, &tenant, NULL, &actor);
	root = json_loadb(json.p, json.n, 0, NULL);
	assert_non_null(root);
	assert_true(json_is_null(json_object_get(root, "parent")) && json_is_null(json_object_get(root, "slug")));
	assert_string_equal(text(root, "id"), "prj_0000000000005");
	assert_string_equal(text(root, "organization"), "org_0000000000003");
	assert_string_equal(text(root, "status"), "suspended");
	json_decref(root);
	ks_json_free(&json);
	tenant.deleted_at = 2000;
	ks_record_tenant(&json, &tenant, NULL, &actor);
	root = json_loadb(json.p, json.n, 0, NULL);
	assert_string_equal(text(root, "status"), "deleted");
	json_decref(root);
	ks_json_free(&json);
}

static void test_a_user(void **state)
{
	struct ks_user_row user = {.id = 1, .organization = 2, .personal = 3, .email = KS_STR("a@b.test"),
				   .name = KS_STR("A"),
				   .created_by = KS_STR("system"), .disabled_at = KS_TIME_NONE};
	struct ks_json json;
	json_t *root;

	(void)state;
	ks_json_init(&json);
	ks_record_user(&json, &user);
	root = json_loadb(json.p, json.n, 0, NULL);
	assert_string_equal(text(root, "status"), "active");
	assert_string_equal(text(root, "personal"), "per_0000000000003");
	json_decref(root);
	ks_json_free(&json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_grant_that_is_not_canonical_is_no_record),
		cmocka_unit_test(test_a_binding_beyond_the_table_is_no_record),
		cmocka_unit_test(test_members_of_the_grant_are_as_they_stand),
		cmocka_unit_test(test_brackets_in_texts_end_nothing),
		cmocka_unit_test(test_nothing_is_null),
		cmocka_unit_test(test_the_tenants_prefix_follows_the_binding),
		cmocka_unit_test(test_the_token_is_there_when_it_is_given),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_a_tenant_without_a_ring_hides_its_parent),
		cmocka_unit_test(test_a_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
