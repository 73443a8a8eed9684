/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jose/claims.h"

static struct ks_claims claims;

static enum ks_jose_problem parse(const char *payload)
{
	return ks_claims_parse(ks_str_c(payload), &claims);
}

static void assert_problem(const char *what, enum ks_jose_problem problem, enum ks_jose_problem wanted)
{
	if (problem != wanted)
		fail_msg("%s: %s, wanted %s", what, ks_jose_problem_name(problem), ks_jose_problem_name(wanted));
}

static void test_what_is_read(void **state)
{
	(void)state;
	assert_int_equal(parse(" {\"iss\":\"https:\\/\\/issuer.example\",\"sub\":\"\\u00e4\",\"jti\":\"1\","
			       "\"aud\":[\"a\",\"b\"],\"exp\":1700000000,\"nbf\":1600000000.5,\"iat\":0,\"x\":null} "), KS_JOSE_OK);
	assert_true(ks_str_eq(claims.iss, KS_STR("https://issuer.example")));
	assert_true(ks_str_eq(claims.sub, KS_STR("\xc3\xa4")));
	assert_true(ks_str_eq(claims.jti, KS_STR("1")));
	assert_int_equal(claims.exp_ms, INT64_C(1700000000000));
	assert_int_equal(claims.nbf_ms, INT64_C(1600000000500));
	assert_int_equal(claims.iat_ms, 0);
	assert_int_equal(ks_claims_audiences(&claims), 2);
	assert_int_equal(parse("{}"), KS_JOSE_OK);
	assert_int_equal(claims.iss.n + claims.sub.n + claims.jti.n + claims.aud.n, 0);
	assert_true(claims.exp_ms == KS_TIME_NONE && claims.nbf_ms == KS_TIME_NONE && claims.iat_ms == KS_TIME_NONE);
}

static const struct {
	const char *payload;
	enum ks_jose_problem problem;
} payloads[] = {
	{"", KS_JOSE_CLAIMS_JSON},
	{"[]", KS_JOSE_CLAIMS_JSON},
	{"\"eyJhbGciOiJFUzI1NiJ9.e30.AA\"", KS_JOSE_CLAIMS_JSON},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AA", KS_JOSE_CLAIMS_JSON},
	{"{}{}", KS_JOSE_CLAIMS_JSON},
	{"{\"iss\":\"a\",\"iss\":\"b\"}", KS_JOSE_CLAIMS_JSON},
	{"{\"iss\":\"a\",\"\\u0069ss\":\"b\"}", KS_JOSE_CLAIMS_JSON},
	{"{\"x\":{\"y\":1,\"y\":2}}", KS_JOSE_CLAIMS_JSON},
	{"{\"x\":[{\"y\":1,\"y\":2}]}", KS_JOSE_CLAIMS_JSON},
	{"{\"iss\":\"\xff\"}", KS_JOSE_CLAIMS_JSON},
	{"{\"iss\":\"\\ud800\"}", KS_JOSE_CLAIMS_JSON},
	{"{\"exp\":01}", KS_JOSE_CLAIMS_JSON},
	{"{\"exp\":1.}", KS_JOSE_CLAIMS_JSON},
	{"{\"exp\":.5}", KS_JOSE_CLAIMS_JSON},
	{"{\"exp\":+1}", KS_JOSE_CLAIMS_JSON},
	{"{\"exp\":NaN}", KS_JOSE_CLAIMS_JSON},
	{"{\"exp\":Infinity}", KS_JOSE_CLAIMS_JSON},
	{"{\"x\":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}", KS_JOSE_CLAIMS_JSON},
	{"{\"x\":[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]}", KS_JOSE_OK},
	/* texts */
	{"{\"iss\":\"\"}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"iss\":null}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"iss\":1}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"iss\":[\"a\"]}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"sub\":\"a\\u0000\"}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"sub\":\"a\\n\"}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"sub\":7}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"jti\":true}", KS_JOSE_CLAIMS_MEMBER},
	/* audiences */
	{"{\"aud\":\"a\"}", KS_JOSE_OK},
	{"{\"aud\":[\"a\"]}", KS_JOSE_OK},
	{"{\"aud\":[]}", KS_JOSE_OK},
	{"{\"aud\":\"\"}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":[\"\"]}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":null}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":1}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":{}}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":[\"a\",1]}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":[[\"a\"]]}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":[\"a\",null]}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"aud\":\"a\\u0000\"}", KS_JOSE_CLAIMS_MEMBER},
	/* times */
	{"{\"exp\":0}", KS_JOSE_OK},
	{"{\"exp\":0.000000001}", KS_JOSE_OK},
	{"{\"exp\":253402300799}", KS_JOSE_OK},
	{"{\"exp\":253402300799.999999999}", KS_JOSE_OK},
	{"{\"exp\":253402300800}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":99999999999999999999999999}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":-1}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":-0}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":1e9}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":1.5E3}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":1.0000000000}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":\"1700000000\"}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":null}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"exp\":true}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"nbf\":[]}", KS_JOSE_CLAIMS_MEMBER},
	{"{\"iat\":{}}", KS_JOSE_CLAIMS_MEMBER},
};

static void test_payloads(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(payloads); i++)
		assert_problem(payloads[i].payload, parse(payloads[i].payload), payloads[i].problem);
}

/* A claim of a text of `n` characters, as itself or as escapes. */
static enum ks_jose_problem claim_of(const char *before, size_t n, const char *character, const char *after)
{
	static char text[16384];
	struct ks_buf out = KS_BUF(text);

	ks_buf_put_c(&out, before);
	for (size_t i = 0; i < n; i++)
		ks_buf_put_c(&out, character);
	ks_buf_put_c(&out, after);
	return parse(ks_buf_z(&out));
}

static void test_limits(void **state)
{
	static const char *const befores[] = {"{\"iss\":\"", "{\"sub\":\"", "{\"jti\":\"", "{\"aud\":\"",
					       "{\"aud\":[\"a\",\""};
	static const char *const characters[] = {"a", "\\u0061"};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(befores); i++)
		for (size_t j = 0; j < 2; j++) {
			const char *after = i == 4 ? "\"]}" : "\"}";

			assert_int_equal(claim_of(befores[i], KS_CLAIMS_TEXT_MAX, characters[j], after), KS_JOSE_OK);
			assert_int_equal(claim_of(befores[i], KS_CLAIMS_TEXT_MAX + 1, characters[j], after),
					 KS_JOSE_CLAIMS_MEMBER);
		}
	assert_int_equal(claim_of("{\"aud\":[\"a\"", KS_CLAIMS_AUDIENCES_MAX - 1, ",\"a\"", "]}"), KS_JOSE_OK);
	assert_int_equal(ks_claims_audiences(&claims), KS_CLAIMS_AUDIENCES_MAX);
	assert_int_equal(claim_of("{\"aud\":[\"a\"", KS_CLAIMS_AUDIENCES_MAX, ",\"a\"", "]}"), KS_JOSE_CLAIMS_MEMBER);
}

/* The room holds the longest texts at once, where all of them are written as escapes. */
static void test_the_longest_texts(void **state)
{
	static const char *const names[] = {"iss", "sub", "jti"};
	static char text[16384];
	struct ks_buf out = KS_BUF(text);

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		ks_buf_printf(&out, "%c\"%s\":\"", i == 0 ? '{' : ',', names[i]);
		for (size_t j = 0; j < KS_CLAIMS_TEXT_MAX; j++)
			ks_buf_printf(&out, "\\u00%02zx", 0x61 + i);
		ks_buf_put_byte(&out, '"');
	}
	ks_buf_put_byte(&out, '}');
	assert_int_equal(parse(ks_buf_z(&out)), KS_JOSE_OK);
	for (size_t i = 0; i < KS_CLAIMS_TEXT_MAX; i++)
		assert_true(claims.iss.p[i] == 'a' && claims.sub.p[i] == 'b' && claims.jti.p[i] == 'c');
	assert_int_equal(claims.iss.n + claims.sub.n + claims.jti.n, 3 * KS_CLAIMS_TEXT_MAX);
}

static void test_fractions(void **state)
{
	static const struct {
		const char *text;
		int64_t cut, up;
	} cases[] = {
		{"1", 1000, 1000},          {"1.0", 1000, 1000},   {"1.5", 1500, 1500},
		{"1.001", 1001, 1001},      {"1.0001", 1000, 1001}, {"1.0009", 1000, 1001},
		{"1.999999999", 1999, 2000}, {"0.000000001", 0, 1}, {"1.000000000", 1000, 1000},
		{"253402300799.9999", KS_TIME_MAX, KS_TIME_MAX},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		char text[128];
		struct ks_buf out = KS_BUF(text);

		ks_buf_printf(&out, "{\"exp\":%s,\"iat\":%s,\"nbf\":%s}", cases[i].text, cases[i].text, cases[i].text);
		assert_int_equal(parse(ks_buf_z(&out)), KS_JOSE_OK);
		assert_int_equal(claims.exp_ms, cases[i].cut);
		assert_int_equal(claims.iat_ms, cases[i].cut);
		assert_int_equal(claims.nbf_ms, cases[i].up);
	}
}

/* ---- checks ---- */

static void test_time(void **state)
{
	static const struct {
		const char *payload;
		int64_t now, leeway;
		enum ks_jose_problem problem;
	} cases[] = {
		{"{\"nbf\":0}", 1000, 0, KS_JOSE_NO_EXPIRY},
		{"{\"exp\":10}", 9999, 0, KS_JOSE_OK},
		{"{\"exp\":10}", 10000, 0, KS_JOSE_EXPIRED},
		{"{\"exp\":10}", 10000, 1, KS_JOSE_OK},
		{"{\"exp\":10}", 10001, 1, KS_JOSE_EXPIRED},
		{"{\"exp\":10.5}", 10499, 0, KS_JOSE_OK},
		{"{\"exp\":10.5}", 10500, 0, KS_JOSE_EXPIRED},
		{"{\"exp\":0}", 0, 0, KS_JOSE_EXPIRED},
		{"{\"exp\":10,\"nbf\":5}", 4999, 0, KS_JOSE_NOT_YET},
		{"{\"exp\":10,\"nbf\":5}", 5000, 0, KS_JOSE_OK},
		{"{\"exp\":10,\"nbf\":5}", 4000, 1000, KS_JOSE_OK},
		{"{\"exp\":10,\"nbf\":5}", 3999, 1000, KS_JOSE_NOT_YET},
		{"{\"exp\":10,\"nbf\":5.0001}", 5000, 0, KS_JOSE_NOT_YET},
		{"{\"exp\":10,\"iat\":5}", 4999, 0, KS_JOSE_FROM_THE_FUTURE},
		{"{\"exp\":10,\"iat\":5}", 5000, 0, KS_JOSE_OK},
		{"{\"exp\":10,\"iat\":5}", 4500, 500, KS_JOSE_OK},
		/* A leeway below zero is none, and one beyond the limit is the limit. */
		{"{\"exp\":10}", 9999, -1000, KS_JOSE_OK},
		{"{\"exp\":10}", 10000, INT64_MIN, KS_JOSE_EXPIRED},
		{"{\"exp\":10}", 10000 + KS_CLAIMS_LEEWAY_MAX_MS - 1, INT64_MAX, KS_JOSE_OK},
		{"{\"exp\":10}", 10000 + KS_CLAIMS_LEEWAY_MAX_MS, INT64_MAX, KS_JOSE_EXPIRED},
		{"{\"exp\":253402300799}", KS_TIME_MAX, INT64_MAX, KS_JOSE_OK},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		assert_int_equal(parse(cases[i].payload), KS_JOSE_OK);
		assert_problem(cases[i].payload, ks_claims_check_time(&claims, cases[i].now, cases[i].leeway),
			       cases[i].problem);
	}
}

static void test_audience(void **state)
{
	static const struct {
		const char *payload, *audience;
		bool good;
	} cases[] = {
		{"{\"aud\":\"a\"}", "a", true},
		{"{\"aud\":\"\\u0061\"}", "a", true},
		{"{\"aud\":[\"b\",\"a\"]}", "a", true},
		{"{\"aud\":[\"b\",\"\\u0061\"]}", "a", true},
		{"{\"aud\":\"a b\"}", "a", false},
		{"{\"aud\":\"A\"}", "a", false},
		{"{\"aud\":\"aa\"}", "a", false},
		{"{\"aud\":\"a/\"}", "a", false},
		{"{\"aud\":[\"b\",\"c\"]}", "a", false},
		{"{\"aud\":[]}", "a", false},
		{"{}", "a", false},
		{"{}", "", false},
		{"{\"aud\":\"a\"}", "", false},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		assert_int_equal(parse(cases[i].payload), KS_JOSE_OK);
		assert_problem(cases[i].payload, ks_claims_check_audience(&claims, ks_str_c(cases[i].audience)),
			       cases[i].good ? KS_JOSE_OK : KS_JOSE_AUDIENCE);
	}
}

static void test_issuer(void **state)
{
	(void)state;
	assert_int_equal(parse("{\"iss\":\"https://a.example\"}"), KS_JOSE_OK);
	assert_int_equal(ks_claims_check_issuer(&claims, KS_STR("https://a.example")), KS_JOSE_OK);
	assert_int_equal(ks_claims_check_issuer(&claims, KS_STR("https://a.example/")), KS_JOSE_ISSUER);
	assert_int_equal(ks_claims_check_issuer(&claims, KS_STR("https://A.example")), KS_JOSE_ISSUER);
	assert_int_equal(parse("{}"), KS_JOSE_OK);
	assert_int_equal(ks_claims_check_issuer(&claims, KS_STR("")), KS_JOSE_ISSUER);
}

/* ---- any claim ---- */

static void test_find(void **state)
{
	static const char payload[] =
		"{\"a\":1,\"b\":{\"c\":2,\"d\":{\"e\":[3]},\"f.g\":4,\"\":5},\"h.i\":{\"j\":6},\"h\":{\"i\":{\"k\":7}},"
		"\"https://example.com/tenant\":\"t\",\"https://example.com/claims\":{\"role\":\"r\"},\"\\u0078\":{\"\\u0079\":8}}";
	static const struct {
		const char *path, *value;
	} cases[] = {
		{"a", "1"},
		{"b.c", "2"},
		{"b.d.e", "[3]"},
		{"b.f.g", "4"},
		{"b.d", "{\"e\":[3]}"},
		{"x.y", "8"},
		{"https://example.com/tenant", "\"t\""},
		{"https://example.com/claims.role", "\"r\""},
		/* The longest name is taken, and there is no way back from it. */
		{"h.i", "{\"j\":6}"},
		{"h.i.j", "6"},
		{"h.i.k", NULL},
		{"", NULL},
		{".", NULL},
		{"a.", NULL},
		{".a", NULL},
		{"a.b", NULL},
		{"b", "{\"c\":2,\"d\":{\"e\":[3]},\"f.g\":4,\"\":5}"},
		{"b.", NULL},
		{"b..c", NULL},
		{"b.d.e.0", NULL},
		{"c", NULL},
		{"B.c", NULL},
	};
	char path[KS_CLAIMS_PATH_MAX + 2];

	(void)state;
	assert_int_equal(parse(payload), KS_JOSE_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_str value = KS_STR("untouched");
		bool found = ks_claims_find(&claims, ks_str_c(cases[i].path), &value);

		if (found != (cases[i].value != NULL) || !ks_str_eq(value, ks_str_c(found ? cases[i].value : "untouched")))
			fail_msg("%s: %.*s", cases[i].path, KS_STR_ARG(value));
	}
	memset(path, '.', sizeof(path));
	assert_false(ks_claims_find(&claims, ks_str_of(path, sizeof(path)), &(struct ks_str){0}));
	assert_false(ks_claims_find(&claims, ks_str_of(path, KS_CLAIMS_PATH_MAX), &(struct ks_str){0}));
}

/* The strings of a claim, each followed by ";", and "!" where it is malformed. */
static void assert_strings(const char *value, bool spaced, const char *wanted)
{
	struct ks_claims_strings at = {0};
	char text[256];
	struct ks_buf out = KS_BUF(text);
	struct ks_str string;
	bool malformed = false;

	for (;;) {
		char room[8];
		struct ks_buf to = KS_BUF(room);

		if (!ks_claims_next(&at, ks_str_c(value), spaced, &to, &string, &malformed))
			break;
		ks_buf_put(&out, string);
		ks_buf_put_byte(&out, ';');
	}
	if (malformed)
		ks_buf_put_byte(&out, '!');
	assert_string_equal(ks_buf_z(&out), wanted);
}

static void test_strings(void **state)
{
	(void)state;
	assert_strings("\"a\"", false, "a;");
	assert_strings("\"a b\"", false, "a b;");
	assert_strings("\"a b\"", true, "a;b;");
	assert_strings("\"  a  b \"", true, "a;b;");
	assert_strings("\"\"", true, "");
	assert_strings("\"\"", false, ";");
	assert_strings("\"a\\u0020b\"", true, "a;b;");
	assert_strings("[]", false, "");
	assert_strings("[\"a\",\"b c\"]", false, "a;b c;");
	assert_strings("[\"a\",\"b c\"]", true, "a;b c;");
	assert_strings("[\"\\u0061\",\"b\"]", false, "a;b;");
	assert_strings("[\"a\",1,\"b\"]", false, "a;!");
	assert_strings("[\"a\",[\"b\"]]", false, "a;!");
	assert_strings("1", false, "!");
	assert_strings("null", true, "!");
	assert_strings("{\"a\":\"b\"}", true, "!");
	/* Escapes beyond the room that was given. */
	assert_strings("\"\\u0061aaaaaaaa\"", false, "!");
	assert_strings("[\"a\",\"\\u0061aaaaaaaa\"]", false, "a;!");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_is_read), cmocka_unit_test(test_payloads), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_the_longest_texts),
		cmocka_unit_test(test_fractions),    cmocka_unit_test(test_time),     cmocka_unit_test(test_audience),
		cmocka_unit_test(test_issuer),       cmocka_unit_test(test_find),     cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
