/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/buf.h"
#include "secretstore/reference.h"

static struct ks_secretstore_detail detail;

static enum ks_err check(const char *json)
{
	return ks_secretstore_check(ks_str_c(json), &detail);
}

#define ARN "arn:aws:secretsmanager:eu-central-1:123456789012:secret:trunk/acme-AbCdEf"
#define ROLE "arn:aws:iam::123456789012:role/keystile/reader"

static void accepts(void **state)
{
	static const char *const good[] = {
		"{\"store\":\"aws\",\"secret\":\"" ARN "\"}",
		" {\"store\":\"aws\",\"secret\":\"trunk/acme\",\"region\":\"us-gov-east-1\",\"role\":\"" ROLE
		"\",\"external_id\":\"keystile:org_1\",\"stage\":\"AWSCURRENT\",\"member\":\"password\"} ",
		"{\"store\":\"aws\",\"secret\":\"x\",\"region\":\"eu-west-1\",\"version\":\"0123456789abcdef0123456789abcdef\","
		"\"endpoint\":\"https://vpce-1.secretsmanager.eu-west-1.vpce.amazonaws.com\"}",
		"{\"store\":\"gcp\",\"secret\":\"projects/acme-1/secrets/trunk\"}",
		"{\"store\":\"gcp\",\"secret\":\"projects/12/locations/europe-west3/secrets/t_1\",\"version\":7,"
		"\"impersonate\":\"reader@acme-1.iam.gserviceaccount.com\",\"identity\":\"gcp-acme\"}",
		"{\"store\":\"gcp\",\"secret\":\"projects/acme-1/secrets/trunk\",\"version\":\"prod\"}",
		"{\"store\":\"vault\",\"path\":\"voice/trunk one\",\"mount\":\"kv/team\",\"namespace\":\"acme/voice\",\"version\":3,"
		"\"member\":\"/sip/password\",\"address\":\"https://vault.acme.example:8200\"}",
		"{\"store\":\"azure\",\"vault\":\"https://acme-voice.vault.azure.net\",\"secret\":\"trunk-1\","
		"\"version\":\"0123456789abcdef0123456789abcdef\",\"directory\":\"acme.onmicrosoft.com\"}",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(good); i++)
		assert_int_equal(check(good[i]), KS_OK);
}

static void parsed(void **state)
{
	static struct ks_secretstore_reference r;

	(void)state;
	assert_int_equal(ks_secretstore_parse(KS_STR("{\"store\":\"aws\",\"secret\":\"" ARN "\"}"), &r, &detail), KS_OK);
	assert_true(ks_str_eq(r.region, KS_STR("eu-central-1")));
	assert_true(ks_str_eq(r.identity, KS_STR("aws")));
	assert_int_equal(r.role.n, 0);
	assert_int_equal(ks_secretstore_parse(KS_STR("{\"st\\u006fre\":\"vault\",\"path\":\"a\\u002fb\",\"version\":12}"), &r, &detail), KS_OK);
	assert_true(ks_str_eq(r.path, KS_STR("a/b")));
	assert_true(ks_str_eq(r.mount, KS_STR("secret")));
	assert_true(ks_str_eq(r.version, KS_STR("12")));
	assert_int_equal(ks_secretstore_parse(KS_STR("{\"store\":\"gcp\",\"secret\":\"projects/p/secrets/s\"}"), &r, &detail), KS_OK);
	assert_true(ks_str_eq(r.version, KS_STR("latest")));
}

struct bad {
	const char *json, *pointer;
};

static const struct bad bad[] = {
	{"", ""},
	{"[]", ""},
	{"{}", "/store"},
	{"{\"store\":\"aws\"", ""},
	{"{\"store\":\"s3\"}", "/store"},
	{"{\"store\":7}", "/store"},
	{"{\"store\":\"aws\"}", "/secret"},
	{"{\"store\":\"aws\",\"store\":\"gcp\",\"secret\":\"x\"}", ""},
	{"{\"store\":\"aws\",\"secret\":\"x\",\"region\":\"eu-west-1\",\"access_key\":\"AKIA\"}", "/access_key"},
	{"{\"store\":\"aws\",\"secret\":\"x\",\"region\":\"eu-west-1\",\"Bad Name\\n\":1}", ""},
	{"{\"store\":\"vault\",\"path\":\"x\",\"region\":\"eu-west-1\"}", "/region"},
	{"{\"store\":\"aws\",\"secret\":\"x\"}", "/region"},
	{"{\"store\":\"aws\",\"secret\":\"x\",\"region\":\"evil.example/\"}", "/region"},
	{"{\"store\":\"aws\",\"secret\":\"x\",\"region\":\"EU-WEST-1\"}", "/region"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"region\":\"eu-west-1\"}", "/region"},
	{"{\"store\":\"aws\",\"secret\":\"arn:aws:s3:eu-west-1:123456789012:secret:x\"}", "/secret"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN ":more\"}", "/secret"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN ":\"}", "/secret"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"external_id\":\"abc\"}", "/external_id"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"role\":\"" ROLE "\",\"external_id\":\"a\"}", "/external_id"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"role\":\"" ROLE "\",\"external_id\":\"a b\"}", "/external_id"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"role\":\"arn:aws:iam::123456789012:user/x\"}", "/role"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"role\":\"reader\"}", "/role"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"version\":\"short\"}", "/version"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"stage\":\"A\",\"version\":\"0123456789abcdef0123456789abcdef\"}", "/stage"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"endpoint\":\"https://evil.example\"}", "/endpoint"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"endpoint\":\"https://evil.example/.amazonaws.com\"}", "/endpoint"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"endpoint\":\"https://u@x.amazonaws.com\"}", "/endpoint"},
	{"{\"store\":\"aws\",\"secret\":\"" ARN "\",\"endpoint\":\"http://x.amazonaws.com\"}", "/endpoint"},
	{"{\"store\":\"gcp\",\"secret\":\"trunk\"}", "/secret"},
	{"{\"store\":\"gcp\",\"secret\":\"projects/p/secrets/s/versions/1\"}", "/secret"},
	{"{\"store\":\"gcp\",\"secret\":\"projects/p/secrets/s/\"}", "/secret"},
	{"{\"store\":\"gcp\",\"secret\":\"projects/p/locations/evil.example/secrets/s\"}", "/secret"},
	{"{\"store\":\"gcp\",\"secret\":\"projects/p/secrets/../s\"}", "/secret"},
	{"{\"store\":\"gcp\",\"secret\":\"projects/p/secrets/s\",\"version\":\"0\"}", "/version"},
	{"{\"store\":\"gcp\",\"secret\":\"projects/p/secrets/s\",\"version\":-1}", "/version"},
	{"{\"store\":\"gcp\",\"secret\":\"projects/p/secrets/s\",\"impersonate\":\"x@evil.example\"}", "/impersonate"},
	{"{\"store\":\"vault\"}", "/path"},
	{"{\"store\":\"vault\",\"path\":\"\"}", "/path"},
	{"{\"store\":\"vault\",\"path\":\"/a\"}", "/path"},
	{"{\"store\":\"vault\",\"path\":\"a/../sys\"}", "/path"},
	{"{\"store\":\"vault\",\"path\":\"a//b\"}", "/path"},
	{"{\"store\":\"vault\",\"path\":\"a/\"}", "/path"},
	{"{\"store\":\"vault\",\"path\":\"a\\u000ab\"}", "/path"},
	{"{\"store\":\"vault\",\"path\":\"a\",\"version\":0}", "/version"},
	{"{\"store\":\"vault\",\"path\":\"a\",\"version\":1.5}", "/version"},
	{"{\"store\":\"vault\",\"path\":\"a\",\"address\":\"ftp://x\"}", "/address"},
	{"{\"store\":\"vault\",\"path\":\"a\",\"address\":\"https://u@x\"}", "/address"},
	{"{\"store\":\"vault\",\"path\":\"a\",\"token\":\"s.123\"}", "/token"},
	{"{\"store\":\"vault\",\"path\":\"a\",\"member\":\"\"}", "/member"},
	{"{\"store\":\"vault\",\"path\":\"a\",\"identity\":\"../x\"}", "/identity"},
	{"{\"store\":\"azure\",\"vault\":\"https://x.evil.example\",\"secret\":\"s\"}", "/vault"},
	{"{\"store\":\"azure\",\"vault\":\"https://evil.example/x.vault.azure.net\",\"secret\":\"s\"}", "/vault"},
	{"{\"store\":\"azure\",\"vault\":\"https://acme.vault.azure.net:8443\",\"secret\":\"s\"}", "/vault"},
	{"{\"store\":\"azure\",\"vault\":\"http://acme.vault.azure.net\",\"secret\":\"s\"}", "/vault"},
	{"{\"store\":\"azure\",\"vault\":\"https://acme.vault.azure.net\",\"secret\":\"a/b\"}", "/secret"},
	{"{\"store\":\"azure\",\"vault\":\"https://acme.vault.azure.net\",\"secret\":\"s\",\"version\":\"1\"}", "/version"},
	{"{\"store\":\"azure\",\"vault\":\"https://acme.vault.azure.net\",\"secret\":\"s\",\"directory\":\"a/b\"}", "/directory"},
};

static void refuses(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(bad); i++) {
		if (check(bad[i].json) != KS_MALFORMED)
			fail_msg("accepted: %s", bad[i].json);
		assert_string_equal(detail.pointer, bad[i].pointer);
		assert_true(detail.text[0] != '\0');
	}
}

static void too_large(void **state)
{
	static char text[KS_SECRETSTORE_REFERENCE_MAX + 2];

	(void)state;
	memset(text, ' ', sizeof(text) - 1);
	assert_int_equal(ks_secretstore_check(ks_str_of(text, sizeof(text) - 1), &detail), KS_TOO_LARGE);
}

static void codes(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KS_SECRETSTORE_CODE_COUNT; i++) {
		struct ks_str who = ks_str_c(ks_secretstore_code_who((enum ks_secretstore_code)i));

		assert_true(strlen(ks_secretstore_code_name((enum ks_secretstore_code)i)) > 1);
		assert_true(strlen(ks_secretstore_code_text((enum ks_secretstore_code)i)) > 10);
		assert_true(ks_str_eq(who, KS_STR("tenant")) || ks_str_eq(who, KS_STR("operator")) || ks_str_eq(who, KS_STR("store"))
			    || ks_str_eq(who, KS_STR("nobody")));
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(ks_secretstore_code_name((enum ks_secretstore_code)i),
						ks_secretstore_code_name((enum ks_secretstore_code)k));
	}
}

struct selection {
	const char *value, *member;
	enum ks_secretstore_code code;
	const char *text;
};

static const struct selection selections[] = {
	{"plain", "", KS_SECRETSTORE_OK, "plain"},
	{"{\"a\":1}", "", KS_SECRETSTORE_OK, "{\"a\":1}"},
	{"", "", KS_SECRETSTORE_VALUE_EMPTY, ""},
	{"plain", "a", KS_SECRETSTORE_VALUE_NOT_JSON, ""},
	{"\"text\"", "a", KS_SECRETSTORE_VALUE_NOT_JSON, ""},
	{"{\"a\":1,\"a\":2}", "a", KS_SECRETSTORE_VALUE_NOT_JSON, ""},
	{" {\"a\":\"x\"} ", "a", KS_SECRETSTORE_OK, "x"},
	{"{\"a\":\"x\\n\\u00e9\"}", "a", KS_SECRETSTORE_OK, "x\n\xc3\xa9"},
	{"{\"a\":-1.5e3}", "a", KS_SECRETSTORE_OK, "-1.5e3"},
	{"{\"a\":true}", "a", KS_SECRETSTORE_OK, "true"},
	{"{\"a\":null}", "a", KS_SECRETSTORE_MEMBER_NOT_TEXT, ""},
	{"{\"a\":{}}", "a", KS_SECRETSTORE_MEMBER_NOT_TEXT, ""},
	{"{\"a\":[1]}", "a", KS_SECRETSTORE_MEMBER_NOT_TEXT, ""},
	{"{\"a\":\"\"}", "a", KS_SECRETSTORE_VALUE_EMPTY, ""},
	{"{\"a\":1}", "b", KS_SECRETSTORE_MEMBER_MISSING, ""},
	{"{\"a\":{\"b\":[1,{\"c\":\"deep\"}]}}", "/a/b/1/c", KS_SECRETSTORE_OK, "deep"},
	{"{\"a\":{\"b\":[1,{\"c\":\"deep\"}]}}", "/a/b/01/c", KS_SECRETSTORE_MEMBER_MISSING, ""},
	{"{\"a\":{\"b\":[1]}}", "/a/b/1", KS_SECRETSTORE_MEMBER_MISSING, ""},
	{"{\"a\":{\"b\":[1]}}", "/a/b/-", KS_SECRETSTORE_MEMBER_MISSING, ""},
	{"{\"a/b\":{\"m~n\":\"x\"}}", "/a~1b/m~0n", KS_SECRETSTORE_OK, "x"},
	{"{\"a\":\"x\"}", "/a~2", KS_SECRETSTORE_MEMBER_MISSING, ""},
	{"{\"a\":\"x\"}", "/a/b", KS_SECRETSTORE_MEMBER_MISSING, ""},
	{"{\"\":\"x\"}", "/", KS_SECRETSTORE_OK, "x"},
	{"[\"x\"]", "/0", KS_SECRETSTORE_OK, "x"},
	{"[\"x\"]", "0", KS_SECRETSTORE_MEMBER_MISSING, ""},
	{"{\"a\":\"far too long for it\"}", "a", KS_SECRETSTORE_TOO_LARGE, ""},
};

static void selects(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(selections); i++) {
		char room[16];
		struct ks_buf to = KS_BUF(room);
		const struct selection *s = &selections[i];

		assert_int_equal(ks_secretstore_select(ks_str_c(s->value), ks_str_c(s->member), &to), s->code);
		if (s->code == KS_SECRETSTORE_OK)
			assert_true(ks_str_eq(ks_buf_str(&to), ks_str_c(s->text)));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts), cmocka_unit_test(parsed), cmocka_unit_test(refuses),
		cmocka_unit_test(too_large), cmocka_unit_test(codes), cmocka_unit_test(selects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
