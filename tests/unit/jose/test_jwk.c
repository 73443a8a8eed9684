/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/ctenc.h"
#include "jose/jwk.h"

/* RFC 7515, A.3.1; RFC 8037, A.2; RFC 7515, A.2.1. */
#define EC_X "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define EC_Y "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define EC "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\""
#define ED_X "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define ED "\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\""
#define RSA_N                                                                                                        \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-" \
	"pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca" \
	"pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54" \
	"h4FRWyuXpoQ"
#define RSA "\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\""

static void assert_problem(const char *what, enum ks_jose_problem problem, enum ks_jose_problem wanted)
{
	if (problem != wanted)
		fail_msg("%s: %s, wanted %s", what, ks_jose_problem_name(problem), ks_jose_problem_name(wanted));
}

static const struct {
	const char *json;
	enum ks_jose_problem problem;
} keys[] = {
	{"{" EC "}", KS_JOSE_OK},
	{"{" ED "}", KS_JOSE_OK},
	{"{" RSA "}", KS_JOSE_OK},
	{"{" EC ",\"use\":\"sig\",\"key_ops\":[\"verify\"],\"alg\":\"ES256\",\"kid\":\"1\","
	 "\"x5c\":[\"AA\"],\"more\":{}}", KS_JOSE_OK},
	{"{" EC ",\"key_ops\":[\"sign\",\"verify\"]}", KS_JOSE_OK},
	/* no keys */
	{"", KS_JOSE_KEY_JSON},
	{"[]", KS_JOSE_KEY_JSON},
	{"\"EC\"", KS_JOSE_KEY_JSON},
	{"{" EC "} ", KS_JOSE_OK},
	{"{" EC "}x", KS_JOSE_KEY_JSON},
	{"{" EC ",\"kty\":\"EC\"}", KS_JOSE_KEY_JSON},
	{"{" EC ",\"\\u0078\":\"AA\"}", KS_JOSE_KEY_JSON},
	{"{}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":null}", KS_JOSE_KEY_MEMBER},
	/* types and curves */
	{"{\"kty\":\"ec\"}", KS_JOSE_KEY_TYPE},
	{"{\"kty\":\"AKP\",\"pub\":\"AA\"}", KS_JOSE_KEY_TYPE},
	{"{\"kty\":\"oct\"}", KS_JOSE_KEY_TYPE},
	{"{\"kty\":\"EC\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}", KS_JOSE_KEY_TYPE},
	{"{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}", KS_JOSE_KEY_TYPE},
	{"{\"kty\":\"EC\",\"crv\":\"Ed25519\",\"x\":\"" ED_X "\"}", KS_JOSE_KEY_TYPE},
	{"{\"kty\":\"OKP\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}", KS_JOSE_KEY_TYPE},
	{"{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" ED_X "\"}", KS_JOSE_KEY_TYPE},
	/* secrets, whatever their form */
	{"{" EC ",\"d\":\"AA\"}", KS_JOSE_KEY_PRIVATE},
	{"{" EC ",\"d\":null}", KS_JOSE_KEY_PRIVATE},
	{"{" ED ",\"d\":\"AA\"}", KS_JOSE_KEY_PRIVATE},
	{"{" RSA ",\"d\":\"AA\"}", KS_JOSE_KEY_PRIVATE},
	{"{" RSA ",\"p\":\"AA\"}", KS_JOSE_KEY_PRIVATE},
	{"{" RSA ",\"qi\":\"AA\"}", KS_JOSE_KEY_PRIVATE},
	{"{" RSA ",\"oth\":[]}", KS_JOSE_KEY_PRIVATE},
	{"{\"kty\":\"oct\",\"k\":\"AA\"}", KS_JOSE_KEY_PRIVATE},
	{"{\"kty\":\"AKP\",\"pub\":\"AA\",\"priv\":\"AA\"}", KS_JOSE_KEY_PRIVATE},
	/* use */
	{"{" EC ",\"use\":\"enc\"}", KS_JOSE_KEY_USE},
	{"{" EC ",\"use\":\"SIG\"}", KS_JOSE_KEY_USE},
	{"{" EC ",\"use\":null}", KS_JOSE_KEY_USE},
	{"{" EC ",\"key_ops\":[]}", KS_JOSE_KEY_USE},
	{"{" EC ",\"key_ops\":[\"sign\"]}", KS_JOSE_KEY_USE},
	{"{" EC ",\"key_ops\":\"verify\"}", KS_JOSE_KEY_USE},
	{"{" EC ",\"key_ops\":[\"verify\",1]}", KS_JOSE_KEY_USE},
	{"{" EC ",\"use\":\"sig\",\"key_ops\":[\"deriveKey\"]}", KS_JOSE_KEY_USE},
	{"{" EC ",\"use\":\"enc\",\"key_ops\":[\"verify\"]}", KS_JOSE_KEY_USE},
	/* alg: known and for this form */
	{"{" EC ",\"alg\":\"ES384\"}", KS_JOSE_KEY_TYPE},
	{"{" EC ",\"alg\":\"RS256\"}", KS_JOSE_KEY_TYPE},
	{"{" EC ",\"alg\":\"HS256\"}", KS_JOSE_KEY_TYPE},
	{"{" EC ",\"alg\":\"none\"}", KS_JOSE_KEY_TYPE},
	{"{" EC ",\"alg\":\"\"}", KS_JOSE_KEY_TYPE},
	{"{" EC ",\"alg\":256}", KS_JOSE_KEY_MEMBER},
	{"{" RSA ",\"alg\":\"RSA-OAEP\"}", KS_JOSE_KEY_TYPE},
	{"{" RSA ",\"alg\":\"ES256\"}", KS_JOSE_KEY_TYPE},
	{"{" ED ",\"alg\":\"ES256\"}", KS_JOSE_KEY_TYPE},
	/* kid */
	{"{" EC ",\"kid\":\"\"}", KS_JOSE_KEY_MEMBER},
	{"{" EC ",\"kid\":1}", KS_JOSE_KEY_MEMBER},
	{"{" EC ",\"kid\":\"a\\u0000\"}", KS_JOSE_KEY_MEMBER},
	/* coordinates: there, canonical, of exactly the size of the field */
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\"}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":1}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "\",\"y\":\"\"}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_X "=\",\"y\":\"" EC_Y "\"}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\","
	 "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEV\",\"y\":\"" EC_Y "\"}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA" EC_X "\",\"y\":\"" EC_Y "\"}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" EC_X "\",\"y\":\"" EC_Y "\"}", KS_JOSE_KEY_VALUE},
	/* not on the curve: x and y the other way round, zero, beyond the field */
	{"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" EC_Y "\",\"y\":\"" EC_X "\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\","
	 "\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
	 "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"EC\",\"crv\":\"P-256\","
	 "\"x\":\"__________________________________________8\",\"y\":\"" EC_Y "\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AA\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}", KS_JOSE_KEY_MEMBER},
	/* RSA: exponents even, 1, of five bytes, with a zero before it; no modulus */
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Ag\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQ\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAAAAE\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AAEAAQ\"}", KS_JOSE_KEY_VALUE},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"Aw\"}", KS_JOSE_OK},
	{"{\"kty\":\"RSA\",\"n\":\"" RSA_N "\"}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"RSA\",\"e\":\"AQAB\"}", KS_JOSE_KEY_MEMBER},
	{"{\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", KS_JOSE_KEY_VALUE},
};

static void test_keys(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(keys); i++) {
		struct ks_jose_key *key = NULL;

		assert_problem(keys[i].json, ks_jwk_parse(ks_str_c(keys[i].json), &key), keys[i].problem);
		assert_int_equal(key != NULL, keys[i].problem == KS_JOSE_OK);
		ks_jose_key_free(key);
	}
}

/* A modulus of `bits` bits, odd or even. */
static enum ks_jose_problem modulus(size_t bits, bool odd, bool zero_before)
{
	unsigned char bytes[1100] = {0};
	char text[2048], number[1500];
	struct ks_buf out = KS_BUF(text);
	struct ks_jose_key *key = NULL;
	size_t n = (bits + 7) / 8, at = zero_before, encoded;
	enum ks_jose_problem problem;

	bytes[at] = (unsigned char)(1u << ((bits - 1) % 8));
	bytes[at + n - 1] |= odd;
	encoded = ks_base64url_encode(bytes, n + at, number, sizeof(number));
	ks_buf_printf(&out, "{\"kty\":\"RSA\",\"e\":\"AQAB\",\"n\":\"%.*s\"}", (int)encoded, number);
	problem = ks_jwk_parse(ks_buf_str(&out), &key);
	ks_jose_key_free(key);
	return problem;
}

static void test_sizes_of_rsa(void **state)
{
	(void)state;
	assert_int_equal(modulus(2048, true, false), KS_JOSE_OK);
	assert_int_equal(modulus(2049, true, false), KS_JOSE_OK);
	assert_int_equal(modulus(8192, true, false), KS_JOSE_OK);
	assert_int_equal(modulus(2047, true, false), KS_JOSE_KEY_VALUE);
	assert_int_equal(modulus(1024, true, false), KS_JOSE_KEY_VALUE);
	assert_int_equal(modulus(8193, true, false), KS_JOSE_KEY_VALUE);
	assert_int_equal(modulus(8600, true, false), KS_JOSE_KEY_MEMBER);
	assert_int_equal(modulus(2048, false, false), KS_JOSE_KEY_VALUE);
	assert_int_equal(modulus(2048, true, true), KS_JOSE_KEY_VALUE);
}

/* A kid of `n` bytes, each but the last of them written as an escape or as itself. */
static enum ks_jose_problem kid_of(size_t n, bool escaped)
{
	char text[2048];
	struct ks_buf out = KS_BUF(text);
	struct ks_jose_key *key = NULL;
	enum ks_jose_problem problem;

	ks_buf_put_c(&out, "{" EC ",\"kid\":\"");
	for (size_t i = 0; i < n; i++)
		ks_buf_put_c(&out, escaped ? "\\u0061" : "a");
	ks_buf_put_c(&out, "\"}");
	problem = ks_jwk_parse(ks_buf_str(&out), &key);
	if (key)
		assert_int_equal(ks_jose_key_kid(key).n, n);
	ks_jose_key_free(key);
	return problem;
}

static void test_limits(void **state)
{
	static char text[KS_JWK_MAX + 1];
	struct ks_jose_key *key = NULL;

	(void)state;
	for (int escaped = 0; escaped < 2; escaped++) {
		assert_int_equal(kid_of(KS_JOSE_KID_MAX, escaped), KS_JOSE_OK);
		assert_int_equal(kid_of(KS_JOSE_KID_MAX + 1, escaped), KS_JOSE_KEY_MEMBER);
	}
	memset(text, ' ', sizeof(text));
	memcpy(text, "{" ED "}", sizeof("{" ED "}") - 1);
	assert_int_equal(ks_jwk_parse(ks_str_of(text, sizeof(text)), &key), KS_JOSE_KEY_TOO_LARGE);
	assert_int_equal(ks_jwk_parse(ks_str_of(text, KS_JWK_MAX), &key), KS_JOSE_OK);
	ks_jose_key_free(key);
}

/* What stands beside the numbers does not change the thumbprint, and neither does their order; the numbers do. */
static void test_thumbprints(void **state)
{
	KS_AUTO(ks_jose_key_free_at) struct ks_jose_key *plain = NULL, *more = NULL, *other = NULL;

	(void)state;
	assert_int_equal(ks_jwk_parse(KS_STR("{" EC "}"), &plain), KS_JOSE_OK);
	assert_int_equal(ks_jwk_parse(KS_STR("{\"y\":\"" EC_Y "\",\"x\":\"" EC_X "\",\"alg\":\"ES256\",\"crv\":\"P-256\","
					     "\"kid\":\"k\",\"kty\":\"EC\",\"use\":\"sig\"}"), &more), KS_JOSE_OK);
	assert_int_equal(ks_jwk_parse(KS_STR("{" ED "}"), &other), KS_JOSE_OK);
	assert_int_equal(ks_jose_key_thumbprint(plain).n, KS_JOSE_THUMBPRINT_LEN);
	assert_true(ks_str_eq(ks_jose_key_thumbprint(plain), ks_jose_key_thumbprint(more)));
	assert_false(ks_str_eq(ks_jose_key_thumbprint(plain), ks_jose_key_thumbprint(other)));
}

/* What is written reads back as the same key for the same algorithms. */
static void test_written_keys(void **state)
{
	static const char *const written[] = {
		"{" EC "}", "{" ED ",\"kid\":\"\\u00e4\\\"\"}", "{" RSA "}", "{" RSA ",\"alg\":\"PS256\",\"kid\":\"r\"}",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(written); i++) {
		struct ks_jose_key *first = NULL, *second = NULL;
		char text[2048];
		struct ks_buf out = KS_BUF(text);

		assert_int_equal(ks_jwk_parse(ks_str_c(written[i]), &first), KS_JOSE_OK);
		ks_jose_key_write(first, &out);
		assert_true(ks_buf_ok(&out));
		assert_int_equal(ks_jwk_parse(ks_buf_str(&out), &second), KS_JOSE_OK);
		assert_true(ks_str_eq(ks_jose_key_thumbprint(first), ks_jose_key_thumbprint(second)));
		assert_true(ks_str_eq(ks_jose_key_kid(first), ks_jose_key_kid(second)));
		for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++)
			assert_int_equal(ks_jose_key_is_for(first, (enum ks_sign_alg)alg),
					 ks_jose_key_is_for(second, (enum ks_sign_alg)alg));
		ks_jose_key_free(first);
		ks_jose_key_free(second);
	}
}

/* ---- sets ---- */

static enum ks_jose_problem set_of(const char *json, size_t usable, size_t passed_over)
{
	struct ks_jwk_set *set = NULL;
	enum ks_jose_problem problem = ks_jwk_set_parse(ks_str_c(json), &set), why;

	if (set) {
		assert_int_equal(problem, KS_JOSE_OK);
		assert_int_equal(ks_jwk_set_count(set), usable);
		assert_int_equal(ks_jwk_set_passed_over(set, &why), passed_over);
		assert_int_equal(why == KS_JOSE_OK, passed_over == 0);
		assert_null(ks_jwk_set_at(set, usable));
		for (size_t i = 0; i < usable; i++)
			assert_non_null(ks_jwk_set_at(set, i));
	}
	ks_jwk_set_free(set);
	return problem;
}

static void test_sets(void **state)
{
	(void)state;
	assert_int_equal(set_of("{\"keys\":[]}", 0, 0), KS_JOSE_OK);
	assert_int_equal(set_of("{\"more\":1,\"keys\":[{" EC "},{" ED "},{" RSA "}]}", 3, 0), KS_JOSE_OK);
	/* What is not for us is passed over, known types that make no key among them. */
	assert_int_equal(set_of("{\"keys\":[{\"kty\":\"AKP\",\"pub\":\"AA\"},{" EC ",\"use\":\"enc\"},{" ED "},"
				"{\"kty\":\"RSA\"},"
				"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"},{}]}", 1, 5), KS_JOSE_OK);
	assert_int_equal(set_of("", 0, 0), KS_JOSE_KEY_JSON);
	assert_int_equal(set_of("[]", 0, 0), KS_JOSE_KEY_JSON);
	assert_int_equal(set_of("{}", 0, 0), KS_JOSE_KEY_MEMBER);
	assert_int_equal(set_of("{\"keys\":{}}", 0, 0), KS_JOSE_KEY_MEMBER);
	assert_int_equal(set_of("{\"keys\":null}", 0, 0), KS_JOSE_KEY_MEMBER);
	assert_int_equal(set_of("{\"keys\":[],\"keys\":[]}", 0, 0), KS_JOSE_KEY_JSON);
	assert_int_equal(set_of("{\"keys\":[{" EC "},1]}", 0, 0), KS_JOSE_KEY_JSON);
	assert_int_equal(set_of("{\"keys\":[{" EC ",\"kty\":\"EC\"}]}", 0, 0), KS_JOSE_KEY_JSON);
	/* One secret refuses all. */
	assert_int_equal(set_of("{\"keys\":[{" EC "},{" ED ",\"d\":\"AA\"}]}", 0, 0), KS_JOSE_KEY_PRIVATE);
	assert_int_equal(set_of("{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\"},{" EC "}]}", 0, 0), KS_JOSE_KEY_PRIVATE);
}

static void test_two_of_one_kid(void **state)
{
	(void)state;
	/* Of different types: no token can mean both (RFC 7517, 4.5). */
	assert_int_equal(set_of("{\"keys\":[{" EC ",\"kid\":\"a\"},{" ED ",\"kid\":\"a\"}]}", 2, 0), KS_JOSE_OK);
	/* The same key twice. */
	assert_int_equal(set_of("{\"keys\":[{" EC ",\"kid\":\"a\"},{" EC ",\"kid\":\"a\"}]}", 1, 1), KS_JOSE_OK);
	assert_int_equal(set_of("{\"keys\":[{" EC ",\"kid\":\"a\"},{" EC ",\"kid\":\"b\"}]}", 2, 0), KS_JOSE_OK);
	/* RFC 8037's key and another. */
	assert_int_equal(set_of("{\"keys\":[{" ED ",\"kid\":\"a\"},{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"a\","
				"\"x\":\"21qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}", 0, 0), KS_JOSE_KEY_TWICE);
	/* One RSA key for one algorithm each. */
	assert_int_equal(set_of("{\"keys\":[{" RSA ",\"kid\":\"a\",\"alg\":\"RS256\"},"
				"{" RSA ",\"kid\":\"a\",\"alg\":\"PS256\"}]}", 2, 0),
			 KS_JOSE_OK);
}

static void put_keys(struct ks_buf *out, size_t n)
{
	ks_buf_put_c(out, "{\"keys\":[");
	for (size_t i = 0; i < n; i++)
		ks_buf_printf(out, "%s{" ED ",\"kid\":\"%zu\"}", i ? "," : "", i);
	ks_buf_put_c(out, "]}");
}

static void test_limits_of_sets(void **state)
{
	static char text[KS_JWK_SET_MAX + 1];
	struct ks_buf out = KS_BUF(text);
	struct ks_jwk_set *set = NULL;

	(void)state;
	put_keys(&out, KS_JWK_SET_KEYS_MAX);
	assert_int_equal(set_of(ks_buf_z(&out), KS_JWK_SET_KEYS_MAX, 0), KS_JOSE_OK);
	out.n = 0;
	put_keys(&out, KS_JWK_SET_KEYS_MAX + 1);
	assert_int_equal(set_of(ks_buf_z(&out), 0, 0), KS_JOSE_KEY_COUNT);
	memset(text, ' ', sizeof(text));
	assert_int_equal(ks_jwk_set_parse(ks_str_of(text, sizeof(text)), &set), KS_JOSE_KEY_TOO_LARGE);
	assert_int_equal(ks_jwk_set_parse(ks_str_of(text, KS_JWK_SET_MAX), &set), KS_JOSE_KEY_JSON);
}

/* ---- which key a token means ---- */

#define FIND_SET                                                                                                     \
	"{\"keys\":[{" EC ",\"kid\":\"ec\"},{" RSA ",\"kid\":\"rsa\",\"alg\":\"RS256\"},{" ED ",\"kid\":\"a\"},"           \
	"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"b\",\"x\":\"21qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}"

static void test_find(void **state)
{
	static const struct {
		const char *kid;
		enum ks_sign_alg alg;
		enum ks_jose_problem problem;
		size_t index;
	} cases[] = {
		{"ec", KS_SIGN_ALG_ES256, KS_JOSE_OK, 0},
		{"", KS_SIGN_ALG_ES256, KS_JOSE_OK, 0},
		{"rsa", KS_SIGN_ALG_RS256, KS_JOSE_OK, 1},
		{"", KS_SIGN_ALG_RS256, KS_JOSE_OK, 1},
		{"a", KS_SIGN_ALG_EDDSA, KS_JOSE_OK, 2},
		{"b", KS_SIGN_ALG_EDDSA, KS_JOSE_OK, 3},
		{"", KS_SIGN_ALG_EDDSA, KS_JOSE_KEY_AMBIGUOUS, 0},
		{"c", KS_SIGN_ALG_EDDSA, KS_JOSE_KEY_UNKNOWN, 0},
		{"A", KS_SIGN_ALG_EDDSA, KS_JOSE_KEY_UNKNOWN, 0},
		{"ec", KS_SIGN_ALG_EDDSA, KS_JOSE_KEY_UNKNOWN, 0},
		{"rsa", KS_SIGN_ALG_PS256, KS_JOSE_KEY_UNKNOWN, 0},
		{"ec", KS_SIGN_ALG_ES384, KS_JOSE_KEY_UNKNOWN, 0},
		{"", KS_SIGN_ALG_ES512, KS_JOSE_KEY_UNKNOWN, 0},
	};
	KS_AUTO(ks_jwk_set_free_at) struct ks_jwk_set *set = NULL;

	(void)state;
	assert_int_equal(ks_jwk_set_parse(KS_STR(FIND_SET), &set), KS_JOSE_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		struct ks_jws jws = {.kid = ks_str_c(cases[i].kid), .alg = cases[i].alg};
		const struct ks_jose_key *key = NULL;

		assert_problem(cases[i].kid, ks_jwk_set_find(set, &jws, &key), cases[i].problem);
		assert_ptr_equal(key, cases[i].problem == KS_JOSE_OK ? ks_jwk_set_at(set, cases[i].index) : NULL);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_keys),           cmocka_unit_test(test_sizes_of_rsa), cmocka_unit_test(test_limits),
		cmocka_unit_test(test_thumbprints),    cmocka_unit_test(test_written_keys), cmocka_unit_test(test_sets),
		cmocka_unit_test(test_two_of_one_kid), cmocka_unit_test(test_limits_of_sets), cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
