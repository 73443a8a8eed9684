/* SPDX-License-Identifier: Apache-2.0 */
/* Forms and settings that are refused, where, and what a scheme says of itself. What good ones decide: tests/webhooks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "hooksig/hooksig.h"

#define SETTINGS "'settings':{'secrets':{'type':'secrets'}},"
#define SIG "'vars':{'sig':{'from':'header:X-Sig'}},"
#define HMAC "'verify':[{'hmac':{'digest':'sha256','secrets':'$secrets','content':'{body}','encoding':'hex','signature':'sig'}}]"
#define NO_TIME "'warnings':['no_timestamp'],"
#define GOOD "{" NO_TIME SETTINGS SIG HMAC "}"

/* JSON with apostrophes for quotes, so that it can be read here. */
static struct ks_str json(const char *text, char room[4096])
{
	size_t n = strlen(text);

	assert_true(n < 4096);
	for (size_t i = 0; i < n; i++)
		room[i] = (char)(text[i] == '\'' ? '"' : text[i]);
	return ks_str_of(room, n);
}

static enum ks_err compile(const char *form, const char *settings, struct ks_hooksig_problem *problem,
			   struct ks_hooksig_scheme **scheme)
{
	char a[4096], b[4096];

	*scheme = NULL;
	return ks_hooksig_compile(json(form, a), json(settings, b), problem, scheme);
}

static void refused(const char *form, const char *settings, int where, const char *pointer, const char *text)
{
	struct ks_hooksig_problem problem = {.text = ""};
	struct ks_hooksig_scheme *scheme;

	assert_int_equal(compile(form, settings, &problem, &scheme), KS_MALFORMED);
	assert_int_equal(problem.where, where);
	assert_string_equal(problem.pointer, pointer);
	if (!strstr(problem.text, text))
		fail_msg("\"%s\" lacks \"%s\"", problem.text, text);
}

static void a_good_form_compiles(void **state)
{
	struct ks_hooksig_problem problem;
	struct ks_hooksig_scheme *scheme;

	(void)state;
	assert_int_equal(compile(GOOD, "", &problem, &scheme), KS_OK);
	assert_int_equal(ks_hooksig_warnings(scheme), 1u << KS_HOOKSIG_NO_TIMESTAMP);
	ks_hooksig_free(scheme);
	assert_int_equal(compile(GOOD, "{'secrets':['a','b']}", &problem, &scheme), KS_OK);
	ks_hooksig_free(scheme);
	ks_hooksig_free(NULL);
}

static void mistakes_are_told_with_their_place(void **state)
{
	static const struct {
		const char *form, *settings;
		int where;
		const char *pointer, *text;
	} cases[] = {
		{"[]", "", KS_HOOKSIG_IN_FORM, "", "one JSON object"},
		{"{'about':'a','about':'b'}", "", KS_HOOKSIG_IN_FORM, "", "each member there once"},
		{"{}", "", KS_HOOKSIG_IN_FORM, "", "verify is missing"},
		{"{'surprise':1}", "", KS_HOOKSIG_IN_FORM, "/surprise", "no such member"},
		{"{'verify':[]}", "", KS_HOOKSIG_IN_FORM, "", "verify is missing"},
		{"{'verify':[{'magic':{}}]}", "", KS_HOOKSIG_IN_FORM, "/verify/0/magic", "no such operation"},
		{"{" NO_TIME SETTINGS HMAC "}", "", KS_HOOKSIG_IN_FORM, "/verify/0/hmac/signature", "no such variable"},
		{"{'settings':{'A':{'type':'text'}}}", "", KS_HOOKSIG_IN_FORM, "/A", "small letters"},
		{"{'settings':{'a':{'type':'magic'}}}", "", KS_HOOKSIG_IN_FORM, "/a", "no such type"},
		{"{'settings':{'a':{'type':'secrets','default':['x']}}}", "", KS_HOOKSIG_IN_FORM, "/a", "no default"},
		{"{'settings':{'a':{'type':'seconds','default':'x'}}}", "", KS_HOOKSIG_IN_FORM, "/a", "not of the type seconds"},
		{"{'vars':{'a':{'from':'cookie:x'}}}", "", KS_HOOKSIG_IN_FORM, "/vars/a/from", "is wanted here"},
		{"{'vars':{'a':{'from':'header:'}}}", "", KS_HOOKSIG_IN_FORM, "/vars/a/from", "is wanted here"},
		{"{'vars':{'a':{}}}", "", KS_HOOKSIG_IN_FORM, "/vars/a", "from is missing"},
		{"{'vars':{'a':{'from':'$b'}}}", "", KS_HOOKSIG_IN_SETTINGS, "/b", "no such setting"},
		{GOOD, "{}", KS_HOOKSIG_IN_SETTINGS, "/secrets", "is missing"},
		{GOOD, "{'secrets':7}", KS_HOOKSIG_IN_SETTINGS, "/secrets", "not of the type secrets"},
		{GOOD, "{'secrets':['a'],'more':1}", KS_HOOKSIG_IN_SETTINGS, "/more", "no such setting"},
		{GOOD, "[]", KS_HOOKSIG_IN_SETTINGS, "", "one JSON object"},
		{GOOD, "{'secrets':[1]}", KS_HOOKSIG_IN_SETTINGS, "/secrets/0", "a text is wanted"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++)
		refused(cases[i].form, cases[i].settings, cases[i].where, cases[i].pointer, cases[i].text);
}

/* A form with this content and digest. */
static void with_content(const char *content, const char *text)
{
	char form[2048];
	struct ks_buf b = KS_BUF(form);

	ks_buf_printf(&b,
		      "{" NO_TIME SETTINGS SIG "'verify':[{'hmac':{'digest':'sha256','secrets':'$secrets','content':'%s','encoding':'hex',"
		      "'signature':'sig'}}]}", content);
	refused(ks_buf_z(&b), "", KS_HOOKSIG_IN_FORM, "/verify/0/hmac/content", text);
}

static void templates_are_checked(void **state)
{
	(void)state;
	with_content("{body", "not closed");
	with_content("{nothing}", "no such variable");
	with_content("{body|magic}", "no such filter");
	with_content("{body|hex}", "cannot stand there");
	with_content("{body|sha256|sha256}", "cannot stand there");
	with_content("{url|if-any|sha256}", "cannot stand there");
	with_content("{body|hmac|hex}", "for the answers to challenges");
	with_content("{?a+b:x}", "texts of parameters");
	with_content("{?a:x}", "is wanted here");
}

static void nothing_vouches_for_nothing(void **state)
{
	(void)state;
	refused(GOOD, "{'secrets':['']}", KS_HOOKSIG_IN_KEYS, "/secrets", "an empty secret");
	refused(GOOD, "{'secrets':'' }", KS_HOOKSIG_IN_KEYS, "/secrets", "an empty secret");
	refused(GOOD, "{'secrets':['a','']}", KS_HOOKSIG_IN_KEYS, "/secrets", "an empty secret");
	refused(GOOD, "{'secrets':[]}", KS_HOOKSIG_IN_KEYS, "/secrets", "no secret");
	refused("{'vars':{'a':{'from':'query:a'}},'verify':[{'hash':{'digest':'sha256','content':'{body}','encoding':'hex','signature':'a'}}]}",
		"", KS_HOOKSIG_IN_FORM, "", "nothing here vouches");
	refused("{'vars':{'a':{'from':'query:a'}},'verify':[{'equals':{'value':'a','one_of':['x']}}]}", "", KS_HOOKSIG_IN_FORM, "",
		"nothing here vouches");
	refused("{'verify':[{'mtls':{}}]}", "{}", KS_HOOKSIG_IN_KEYS, "/verify/0/mtls", "proves nothing");
}

static void without_settings_nothing_is_genuine(void **state)
{
	static const struct ks_hooksig_header header = {{"X-Sig", 5}, {"00", 2}};
	struct ks_hooksig_request request = {.method = KS_STR("POST"), .url = KS_STR("https://a.example/"), .headers = &header, .header_count = 1};
	char bytes[131072];
	struct ks_buf room = KS_BUF(bytes);
	struct ks_hooksig_problem problem;
	struct ks_hooksig_answer answer;
	struct ks_hooksig_scheme *scheme;

	(void)state;
	assert_int_equal(compile(GOOD, "", &problem, &scheme), KS_OK);
	ks_hooksig_verify(scheme, &request, 0, &room, &answer);
	assert_int_equal(answer.code, KS_HOOKSIG_SIGNATURE_MISMATCH);
	assert_int_equal(answer.response.status, 401);
	ks_hooksig_free(scheme);
}

static void weaknesses_must_be_stated(void **state)
{
	(void)state;
	refused("{" SETTINGS SIG HMAC "}", "", KS_HOOKSIG_IN_FORM, "", "must state no_timestamp");
	refused("{" NO_TIME SETTINGS SIG "'verify':[{'hmac':{'digest':'sha1','secrets':'$secrets','content':'{body}','encoding':'hex','signature':'sig'}}]}",
		"", KS_HOOKSIG_IN_FORM, "", "must state weak_digest");
	refused("{" NO_TIME SETTINGS SIG "'verify':[{'hmac':{'digest':'sha256','secrets':'$secrets','content':'{url}','encoding':'hex','signature':'sig'}}]}",
		"{'secrets':['a']}", KS_HOOKSIG_IN_FORM, "", "must state body_not_covered");
	refused("{" SETTINGS SIG "'verify':[{'equals':{'value':'sig','secrets':'$secrets'}}]}", "{'secrets':['a']}", KS_HOOKSIG_IN_FORM, "",
		"must state static_secret");
}

static void a_challenge_is_no_oracle(void **state)
{
	static const char unproved[] =
		"{" NO_TIME SETTINGS SIG HMAC ",'challenge':[{'when':{'query':'q'%s},'unauthenticated':true,'answer':{'body':'%s'}}]}";
	char form[2048];
	struct ks_buf b = KS_BUF(form);

	(void)state;
	ks_buf_printf(&b, unproved, "", "x");
	refused(ks_buf_z(&b), "", KS_HOOKSIG_IN_FORM, "/challenge/0", "no body");
	b.n = 0;
	ks_buf_printf(&b, unproved, ",'empty_body':true", "{body|hmac|hex}");
	refused(ks_buf_z(&b), "", KS_HOOKSIG_IN_FORM, "/challenge/0/answer/body", "vouched for");
	b.n = 0;
	ks_buf_printf(&b, unproved, ",'empty_body':true", "{secret}");
	refused(ks_buf_z(&b), "", KS_HOOKSIG_IN_FORM, "/challenge/0/answer/body", "never answered");
}

static void no_problem_quotes_a_secret(void **state)
{
	struct ks_hooksig_problem problem;
	struct ks_hooksig_scheme *scheme;

	(void)state;
	assert_int_equal(compile("{" NO_TIME SETTINGS SIG
				 "'verify':[{'hmac':{'digest':'sha256','secrets':'$secrets','key_form':'base64','content':'{body}','encoding':'hex','signature':'sig'}}]}",
				 "{'secrets':['hunter2!']}", &problem, &scheme), KS_MALFORMED);
	assert_int_equal(problem.where, KS_HOOKSIG_IN_KEYS);
	assert_null(strstr(problem.text, "hunter2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_form_compiles),
		cmocka_unit_test(mistakes_are_told_with_their_place),
		cmocka_unit_test(templates_are_checked),
		cmocka_unit_test(nothing_vouches_for_nothing),
		cmocka_unit_test(without_settings_nothing_is_genuine),
		cmocka_unit_test(weaknesses_must_be_stated),
		cmocka_unit_test(a_challenge_is_no_oracle),
		cmocka_unit_test(no_problem_quotes_a_secret),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
