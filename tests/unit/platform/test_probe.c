/* SPDX-License-Identifier: Apache-2.0 */
/* Probes: what is read, how values stand in texts, what answers mean. */
#include "fixture.h"

#define FIELDS                                                                                            \
	"fields:\n"                                                                                       \
	"  base: {label: URL, type: url}\n"                                                               \
	"  user: {label: User, type: text}\n"                                                             \
	"  password: {label: Password, type: secret}\n"                                                   \
	"  zone: {label: Zone, type: text, required: false, default: eu}\n"                               \
	"  extra: {label: Extra, type: text, required: false}\n"

struct value {
	const char *name, *value;
};

static bool look_up(void *context, const struct ks_platform_field *field, struct ks_str *ret_value)
{
	for (const struct value *v = context; v->name; v++) {
		if (strcmp(v->name, field->name) == 0) {
			*ret_value = ks_str_c(v->value);
			return true;
		}
	}
	return false;
}

static enum ks_err render(const struct ks_platform_probe *probe, enum ks_platform_probe_text which, struct value *values, char to[512],
			  const struct ks_platform_field **missing)
{
	struct ks_buf b = ks_buf_of(to, 511);
	enum ks_err err = ks_platform_render(&probe->texts[which], look_up, values, &b, missing);

	to[b.n] = '\0';
	return err;
}

static const char http[] = HEAD FIELDS
	"probe:\n"
	"  kind: http\n"
	"  method: POST\n"
	"  timeout_ms: 2500\n"
	"  url: ${base}/v1/${zone}/${user}?a=$$1\n"
	"  headers: {X-Zone: \"${zone}\", X-Extra: \"-${extra}-\"}\n"
	"  body: '{\"u\":\"${user}\",\"p\":\"${password}\"}'\n"
	"  basic: {user: \"${user}\", password: \"${password}\"}\n"
	"  answers:\n"
	"    - {status: 200, member: /status/state, equals: closed, code: account_suspended, fields: [user]}\n"
	"    - {status: 200, member: /ok, equals: \"false\", code: forbidden}\n"
	"    - {status: [401, 4xx], code: credential_refused}\n"
	"    - {status: 418, code: ok}\n"
	"    - {status: 503, code: unavailable, means: unknown, fields: [base]}\n";

static void values_stand_as_values(void **state)
{
	struct value values[] = {{"base", "https://api.example.com/x//"}, {"user", "a/b?c=d&\xc3\xa4 %\"\\"}, {"password", "p\"\\\n\x01"}, {NULL, NULL}};
	const struct ks_platform_field *missing = NULL;
	struct ks_platform_registry *registry;
	const struct ks_platform_probe *probe = platform_of(http, &registry)->probe;
	char to[512];

	(void)state;
	assert_int_equal(probe->kind, KS_PLATFORM_PROBE_HTTP);
	assert_int_equal(probe->timeout_ms, 2500);
	assert_int_equal(probe->uses, 0x1f);
	assert_int_equal(probe->secrets, 0x04);
	assert_int_equal(render(probe, KS_PLATFORM_PROBE_TEXT_URL, values, to, &missing), KS_OK);
	assert_string_equal(to, "https://api.example.com/x/v1/eu/a%2Fb%3Fc%3Dd%26%C3%A4%20%25%22%5C?a=$1");
	assert_int_equal(render(probe, KS_PLATFORM_PROBE_TEXT_BODY, values, to, &missing), KS_OK);
	assert_string_equal(to, "{\"u\":\"a/b?c=d&\xc3\xa4 %\\\"\\\\\",\"p\":\"p\\\"\\\\\\n\\u0001\"}");
	assert_int_equal(probe->header_count, 2);
	struct ks_buf b = KS_BUF(to);
	assert_int_equal(ks_platform_render(&probe->headers[1].value, look_up, values, &b, &missing), KS_OK);
	assert_string_equal(ks_buf_z(&b), "--");
	/* A control character ends no header. */
	assert_int_equal(render(probe, KS_PLATFORM_PROBE_TEXT_BASIC_PASSWORD, values, to, &missing), KS_MALFORMED);
	assert_null(missing);
	assert_false(ks_platform_probe_has(probe, KS_PLATFORM_PROBE_TEXT_BEARER));
	assert_true(ks_platform_probe_has(probe, KS_PLATFORM_PROBE_TEXT_URL));
	ks_platform_registry_release(&registry);
}

static void a_required_field_that_is_missing_is_named(void **state)
{
	struct value values[] = {{"base", "https://api.example.com"}, {NULL, NULL}};
	const struct ks_platform_field *missing = NULL;
	struct ks_platform_registry *registry;
	const struct ks_platform_probe *probe = platform_of(http, &registry)->probe;
	char to[512], small[8];
	struct ks_buf b = KS_BUF(small);

	(void)state;
	assert_int_equal(render(probe, KS_PLATFORM_PROBE_TEXT_URL, values, to, &missing), KS_NOT_FOUND);
	assert_string_equal(missing->name, "user");
	values[0] = (struct value){"user", "longer than eight"};
	assert_int_equal(ks_platform_render(&probe->texts[KS_PLATFORM_PROBE_TEXT_BASIC_USER], look_up, values, &b, &missing), KS_TOO_LARGE);
	ks_platform_registry_release(&registry);
}

static void forms_are_escaped(void **state)
{
	static const char yaml[] = HEAD FIELDS
		"probe:\n  kind: http\n  method: POST\n  url: https://example.com/\n  content_type: application/x-www-form-urlencoded\n"
		"  body: u=${user}&p=${password}\n";
	struct value values[] = {{"user", "a&b=c d+"}, {"password", "x"}, {NULL, NULL}};
	const struct ks_platform_field *missing = NULL;
	struct ks_platform_registry *registry;
	const struct ks_platform_probe *probe = platform_of(yaml, &registry)->probe;
	char to[512];

	(void)state;
	assert_int_equal(render(probe, KS_PLATFORM_PROBE_TEXT_BODY, values, to, &missing), KS_OK);
	assert_string_equal(to, "u=a%26b%3Dc%20d%2B&p=x");
	ks_platform_registry_release(&registry);
}

struct judgement {
	unsigned status;
	const char *body;
	enum ks_platform_health health;
	enum ks_platform_code code;
	uint32_t fields;
};

static void judge_all(const struct ks_platform_probe *probe, const struct judgement *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct ks_platform_verdict verdict;

		ks_platform_judge(probe, cases[i].status, ks_str_c(cases[i].body), &verdict);
		if (verdict.health != cases[i].health || verdict.code != cases[i].code || verdict.fields != cases[i].fields)
			fail_msg("%u %s: %s %s %x", cases[i].status, cases[i].body, ks_platform_health_text(verdict.health),
				 ks_platform_code_text(verdict.code), verdict.fields);
	}
}

static void answers_mean_what_the_file_says(void **state)
{
	static const struct judgement cases[] = {
		{200, "", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{200, "not json", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{200, "{\"status\":\"closed\"}", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{200, "{\"status\":{\"state\":\"open\"}}", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{200, "{\"status\":{\"state\":\"cl\\u006fsed\"}}", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_ACCOUNT_SUSPENDED, 2},
		{200, "{\"status\":{\"state\":\"closed\",\"state\":\"open\"}}", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{200, "{\"ok\":false}", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_FORBIDDEN, 0},
		{200, "{\"ok\":\"false\"}", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_FORBIDDEN, 0},
		{200, "[{\"ok\":false}]", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{401, "", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_CREDENTIAL_REFUSED, 4},
		{418, "", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_CREDENTIAL_REFUSED, 4},
		{503, "", KS_PLATFORM_UNKNOWN, KS_PLATFORM_CODE_UNAVAILABLE, 1},
		{500, "", KS_PLATFORM_DEGRADED, KS_PLATFORM_CODE_UNAVAILABLE, 0},
		{302, "", KS_PLATFORM_DEGRADED, KS_PLATFORM_CODE_UNEXPECTED_ANSWER, 0},
		{0, "", KS_PLATFORM_DEGRADED, KS_PLATFORM_CODE_UNEXPECTED_ANSWER, 0},
	};
	struct ks_platform_registry *registry;

	(void)state;
	judge_all(platform_of(http, &registry)->probe, cases, KS_ARRAY_LEN(cases));
	ks_platform_registry_release(&registry);
}

static void answers_mean_what_they_do_by_themselves(void **state)
{
	static const struct judgement cases_of_register[] = {
		{200, "", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{401, "", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_CREDENTIAL_REFUSED, 4},
		{403, "", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_CREDENTIAL_REFUSED, 4},
		{404, "", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_NOT_FOUND, 0},
		{503, "", KS_PLATFORM_DEGRADED, KS_PLATFORM_CODE_UNAVAILABLE, 0},
		{603, "", KS_PLATFORM_DEGRADED, KS_PLATFORM_CODE_UNEXPECTED_ANSWER, 0},
	}, cases_of_options[] = {
		{405, "", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{403, "", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_FORBIDDEN, 0},
	}, cases_of_oauth[] = {
		{200, "", KS_PLATFORM_HEALTHY, KS_PLATFORM_CODE_OK, 0},
		{400, "{\"error\":\"invalid_client\"}", KS_PLATFORM_FAILING, KS_PLATFORM_CODE_CREDENTIAL_REFUSED, 4},
		{201, "", KS_PLATFORM_DEGRADED, KS_PLATFORM_CODE_UNEXPECTED_ANSWER, 0},
		{429, "", KS_PLATFORM_DEGRADED, KS_PLATFORM_CODE_THROTTLED, 0},
	};
	struct ks_platform_registry *registry;

	(void)state;
	judge_all(platform_of(HEAD FIELDS "probe: {kind: sip-register, host: a, user: \"${user}\", password: \"${password}\"}\n", &registry)->probe,
		  cases_of_register, KS_ARRAY_LEN(cases_of_register));
	ks_platform_registry_release(&registry);
	judge_all(platform_of(HEAD FIELDS "probe: {kind: sip-options, host: a}\n", &registry)->probe, cases_of_options,
		  KS_ARRAY_LEN(cases_of_options));
	ks_platform_registry_release(&registry);
	judge_all(platform_of(HEAD FIELDS "probe: {kind: oauth, url: \"${base}\", client_id: a, client_secret: \"${password}\"}\n", &registry)->probe,
		  cases_of_oauth, KS_ARRAY_LEN(cases_of_oauth));
	ks_platform_registry_release(&registry);
}

static void what_is_left_out_of_a_probe_has_its_default(void **state)
{
	struct ks_platform_registry *registry;
	const struct ks_platform_probe *probe =
		platform_of(HEAD FIELDS "probe: {kind: oauth, url: \"${base}\", client_id: a, client_secret: \"${password}\", client_auth: body,"
					" parameters: {x: \"${user}\"}}\n",
			    &registry)->probe;

	(void)state;
	assert_true(probe->oauth_in_body);
	assert_int_equal(probe->timeout_ms, 0);
	assert_int_equal(probe->parameter_count, 1);
	assert_string_equal(probe->parameters[0].name, "x");
	assert_int_equal(probe->uses, 0x07);
	ks_platform_registry_release(&registry);
	probe = platform_of(HEAD FIELDS "probe: {kind: http, url: \"${base}\", jwt: {key: \"${password}\", claims: \"{}\"}}\n", &registry)->probe;
	assert_int_equal(probe->jwt_lifetime_s, 60);
	ks_platform_registry_release(&registry);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values_stand_as_values),
		cmocka_unit_test(a_required_field_that_is_missing_is_named),
		cmocka_unit_test(forms_are_escaped),
		cmocka_unit_test(answers_mean_what_the_file_says),
		cmocka_unit_test(answers_mean_what_they_do_by_themselves),
		cmocka_unit_test(what_is_left_out_of_a_probe_has_its_default),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
