/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "jose/jwk.h"
#include "jose/symmetric.h"
#include "tokens.h"

/* RFC 7515, A.3.1 and A.2.1. */
#define EC_KEY                                                                                                       \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                  \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\""
#define RSA_N                                                                                                        \
	"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-" \
	"pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2Ca" \
	"pHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54" \
	"h4FRWyuXpoQ"
#define RSA_KEY "{\"kty\":\"RSA\",\"n\":\"" RSA_N "\",\"e\":\"AQAB\""

static char room[TOKEN_ROOM];
static struct ks_jws jws;

static enum ks_jose_problem parse(struct ks_str header, struct ks_str payload)
{
	return ks_jws_parse(make_token(room, header, payload, NULL, KS_SIGN_ALG_ES256, "AA"), &jws);
}

static void assert_problem(const char *what, enum ks_jose_problem problem, enum ks_jose_problem wanted)
{
	if (problem != wanted)
		fail_msg("%s: %s, wanted %s", what, ks_jose_problem_name(problem), ks_jose_problem_name(wanted));
}

/* ---- the header ---- */

static const struct {
	const char *header;
	enum ks_jose_problem problem;
} headers[] = {
	{"{\"alg\":\"ES256\"}", KS_JOSE_OK},
	{" { \"alg\" : \"ES256\" } ", KS_JOSE_OK},
	{"{\"\\u0061lg\":\"ES\\u0032\\u00356\"}", KS_JOSE_OK},
	{"{\"alg\":\"ES256\",\"typ\":\"JWT\",\"kid\":\"a\",\"cty\":\"text/plain\"}", KS_JOSE_OK},
	/* What is not understood and not marked critical is left alone. */
	{"{\"alg\":\"ES256\",\"x5t\":\"AA\",\"x5t#S256\":\"AA\",\"iss\":\"a\",\"x\":{\"jwk\":1,\"crit\":[]}}", KS_JOSE_OK},
	/* no header */
	{"", KS_JOSE_HEADER_JSON},
	{"{", KS_JOSE_HEADER_JSON},
	{"[]", KS_JOSE_HEADER_JSON},
	{"\"alg\"", KS_JOSE_HEADER_JSON},
	{"null", KS_JOSE_HEADER_JSON},
	{"{\"alg\":\"ES256\"}}", KS_JOSE_HEADER_JSON},
	{"{\"alg\":\"ES256\",}", KS_JOSE_HEADER_JSON},
	{"{\"alg\":\"ES256\xff\"}", KS_JOSE_HEADER_JSON},
	{"{\"alg\":'ES256'}", KS_JOSE_HEADER_JSON},
	/* a member twice */
	{"{\"alg\":\"ES256\",\"alg\":\"ES256\"}", KS_JOSE_HEADER_JSON},
	{"{\"alg\":\"none\",\"alg\":\"ES256\"}", KS_JOSE_HEADER_JSON},
	{"{\"alg\":\"ES256\",\"\\u0061lg\":\"none\"}", KS_JOSE_HEADER_JSON},
	{"{\"alg\":\"ES256\",\"x\":{\"y\":1,\"y\":2}}", KS_JOSE_HEADER_JSON},
	{"{\"alg\":\"ES256\",\"kid\":\"a\",\"kid\":\"b\"}", KS_JOSE_HEADER_JSON},
	/* algorithms */
	{"{}", KS_JOSE_ALG_MISSING},
	{"{\"typ\":\"JWT\"}", KS_JOSE_ALG_MISSING},
	{"{\"ALG\":\"ES256\"}", KS_JOSE_ALG_MISSING},
	{"{\"alg\":null}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":1}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"\"}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":[\"ES256\"]}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"none\"}", KS_JOSE_ALG_NONE},
	{"{\"alg\":\"None\"}", KS_JOSE_ALG_NONE},
	{"{\"alg\":\"NONE\"}", KS_JOSE_ALG_NONE},
	{"{\"alg\":\"nOnE\"}", KS_JOSE_ALG_NONE},
	{"{\"alg\":\"n\\u006fne\"}", KS_JOSE_ALG_NONE},
	{"{\"alg\":\"none \"}", KS_JOSE_ALG_UNKNOWN},
	{"{\"alg\":\"\\u0000none\"}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"HS256\"}", KS_JOSE_ALG_SYMMETRIC},
	{"{\"alg\":\"HS384\"}", KS_JOSE_ALG_SYMMETRIC},
	{"{\"alg\":\"hs512\"}", KS_JOSE_ALG_SYMMETRIC},
	{"{\"alg\":\"es256\"}", KS_JOSE_ALG_UNKNOWN},
	{"{\"alg\":\"ES256 \"}", KS_JOSE_ALG_UNKNOWN},
	{"{\"alg\":\"ES256K\"}", KS_JOSE_ALG_UNKNOWN},
	{"{\"alg\":\"ES2567\"}", KS_JOSE_ALG_UNKNOWN},
	{"{\"alg\":\"Ed448\"}", KS_JOSE_ALG_UNKNOWN},
	{"{\"alg\":\"RS1\"}", KS_JOSE_ALG_UNKNOWN},
	{"{\"alg\":\"dir\"}", KS_JOSE_ALG_UNKNOWN},
	/* extensions and keys of the token's own, whatever they say */
	{"{\"alg\":\"ES256\",\"crit\":[\"exp\"]}", KS_JOSE_CRITICAL},
	{"{\"alg\":\"ES256\",\"crit\":[]}", KS_JOSE_CRITICAL},
	{"{\"alg\":\"ES256\",\"crit\":null}", KS_JOSE_CRITICAL},
	{"{\"alg\":\"ES256\",\"cr\\u0069t\":[\"exp\"]}", KS_JOSE_CRITICAL},
	{"{\"crit\":[\"exp\"]}", KS_JOSE_CRITICAL},
	{"{\"alg\":\"none\",\"crit\":[\"exp\"]}", KS_JOSE_CRITICAL},
	{"{\"alg\":\"ES256\",\"jwk\":{\"kty\":\"EC\"}}", KS_JOSE_EMBEDDED_KEY},
	{"{\"alg\":\"ES256\",\"jwk\":null}", KS_JOSE_EMBEDDED_KEY},
	{"{\"alg\":\"ES256\",\"jku\":\"https://example.com/keys\"}", KS_JOSE_KEY_ADDRESS},
	{"{\"alg\":\"ES256\",\"x5u\":\"https://example.com/certificate\"}", KS_JOSE_CERTIFICATE_ADDRESS},
	{"{\"alg\":\"ES256\",\"x5c\":[\"MIIB\"]}", KS_JOSE_CERTIFICATE},
	{"{\"alg\":\"ES256\",\"b64\":true}", KS_JOSE_UNENCODED},
	{"{\"alg\":\"ES256\",\"b64\":false}", KS_JOSE_UNENCODED},
	{"{\"alg\":\"ES256\",\"zip\":\"DEF\"}", KS_JOSE_COMPRESSED},
	/* nested */
	{"{\"alg\":\"ES256\",\"cty\":\"JWT\"}", KS_JOSE_NESTED},
	{"{\"alg\":\"ES256\",\"cty\":\"jwt\"}", KS_JOSE_NESTED},
	{"{\"alg\":\"ES256\",\"cty\":\"application/jwt\"}", KS_JOSE_NESTED},
	{"{\"alg\":\"ES256\",\"cty\":\"Application/JWT\"}", KS_JOSE_NESTED},
	{"{\"alg\":\"none\",\"cty\":\"JWT\"}", KS_JOSE_NESTED},
	/* forms of the other members */
	{"{\"alg\":\"ES256\",\"cty\":1}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"typ\":null}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"typ\":\"\"}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"typ\":[\"JWT\"]}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"kid\":\"\"}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"kid\":7}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"kid\":\"a\\nb\"}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"kid\":\"a\\u0000b\"}", KS_JOSE_HEADER_MEMBER},
	{"{\"alg\":\"ES256\",\"kid\":\"\\u007f\"}", KS_JOSE_HEADER_MEMBER},
};

static void test_headers(void **state)
{
	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(headers); i++)
		assert_problem(headers[i].header, parse(ks_str_c(headers[i].header), KS_STR("{}")), headers[i].problem);
}

static void test_what_a_header_says(void **state)
{
	(void)state;
	assert_int_equal(parse(KS_STR("{\"kid\":\"\\u00e4\\/b\",\"typ\":\"application/at+jwt\",\"alg\":\"PS384\"}"),
			       KS_STR("x")), KS_JOSE_OK);
	assert_int_equal(jws.alg, KS_SIGN_ALG_PS384);
	assert_true(ks_str_eq(jws.kid, KS_STR("\xc3\xa4/b")));
	assert_true(ks_str_eq(jws.payload, KS_STR("x")));
	assert_true(ks_jws_typ_is(&jws, KS_STR("at+jwt")));
	assert_true(ks_jws_typ_is(&jws, KS_STR("AT+JWT")));
	assert_false(ks_jws_typ_is(&jws, KS_STR("JWT")));
	assert_int_equal(parse(KS_STR("{\"alg\":\"ES256\"}"), KS_STR("")), KS_JOSE_OK);
	assert_int_equal(jws.kid.n, 0);
	assert_int_equal(jws.typ.n, 0);
	assert_int_equal(jws.payload.n, 0);
	assert_false(ks_jws_typ_is(&jws, KS_STR("")));
	/* The short form is for types without another slash alone (RFC 7515, 4.1.9). */
	assert_int_equal(parse(KS_STR("{\"alg\":\"ES256\",\"typ\":\"application/a/b\"}"), KS_STR("")), KS_JOSE_OK);
	assert_false(ks_jws_typ_is(&jws, KS_STR("a/b")));
}

/* ---- sizes ---- */

/* A header of `n` bytes. */
static enum ks_jose_problem padded_header(size_t n)
{
	static char text[TOKEN_ROOM];
	struct ks_buf out = KS_BUF(text);

	ks_buf_put_c(&out, "{\"alg\":\"ES256\"");
	while (out.n + 1 < n)
		ks_buf_put_byte(&out, ' ');
	ks_buf_put_byte(&out, '}');
	return parse(ks_buf_str(&out), KS_STR("{}"));
}

static enum ks_jose_problem kid_of(size_t n)
{
	char text[1024];
	struct ks_buf out = KS_BUF(text);

	ks_buf_printf(&out, "{\"alg\":\"ES256\",\"typ\":\"%0*d\",\"kid\":\"%0*d\"}", KS_JWS_TYPE_MAX, 0, (int)n, 0);
	return parse(ks_buf_str(&out), KS_STR("{}"));
}

static void test_sizes(void **state)
{
	static char payload[2 * KS_JWS_TOKEN_MAX];

	(void)state;
	assert_int_equal(padded_header(KS_JWS_HEADER_MAX), KS_JOSE_OK);
	assert_int_equal(padded_header(KS_JWS_HEADER_MAX + 1), KS_JOSE_HEADER_TOO_LARGE);
	assert_int_equal(padded_header(6000), KS_JOSE_HEADER_TOO_LARGE);
	assert_int_equal(kid_of(KS_JOSE_KID_MAX), KS_JOSE_OK);
	assert_int_equal(kid_of(KS_JOSE_KID_MAX + 1), KS_JOSE_HEADER_MEMBER);
	memset(payload, 'x', sizeof(payload));
	assert_int_equal(parse(KS_STR("{\"alg\":\"ES256\"}"), ks_str_of(payload, 6000)), KS_JOSE_OK);
	assert_int_equal(jws.payload.n, 6000);
	for (size_t n = 6100; n < sizeof(payload); n += 501) {
		enum ks_jose_problem problem = parse(KS_STR("{\"alg\":\"ES256\"}"), ks_str_of(payload, n));

		assert_true(problem == KS_JOSE_TOKEN_TOO_LARGE || (problem == KS_JOSE_OK && n <= KS_JWS_PAYLOAD_MAX));
	}
	assert_int_equal(ks_jws_parse(ks_str_of(payload, KS_JWS_TOKEN_MAX + 1), &jws), KS_JOSE_TOKEN_TOO_LARGE);
	assert_int_equal(ks_jws_parse(ks_str_of(payload, KS_JWS_TOKEN_MAX), &jws), KS_JOSE_NOT_COMPACT);
	/* A signature larger than the largest key's. */
	memset(room, 'A', sizeof(room));
	memcpy(room, "eyJhbGciOiJFUzI1NiJ9.e30.", 25);
	assert_int_equal(ks_jws_parse(ks_str_of(room, 25 + 1368), &jws), KS_JOSE_SIGNATURE);
	assert_int_equal(ks_jws_parse(ks_str_of(room, 25 + 86), &jws), KS_JOSE_OK);
}

static void test_deep_and_wide_headers(void **state)
{
	char text[1024];
	struct ks_buf out = KS_BUF(text);

	(void)state;
	ks_buf_put_c(&out, "{\"alg\":\"ES256\",\"x\":");
	for (int i = 0; i < 400; i++)
		ks_buf_put_byte(&out, '[');
	for (int i = 0; i < 400; i++)
		ks_buf_put_byte(&out, ']');
	ks_buf_put_byte(&out, '}');
	assert_true(ks_buf_ok(&out));
	assert_int_equal(parse(ks_buf_str(&out), KS_STR("{}")), KS_JOSE_HEADER_JSON);
}

/* ---- the parts ---- */

static const struct {
	const char *token;
	enum ks_jose_problem problem;
} forms[] = {
	{"eyJhbGciOiJFUzI1NiJ9.e30.AA", KS_JOSE_OK},
	{"eyJhbGciOiJFUzI1NiJ9..", KS_JOSE_OK},
	{"", KS_JOSE_NOT_COMPACT},
	{".", KS_JOSE_NOT_COMPACT},
	{"eyJhbGciOiJFUzI1NiJ9", KS_JOSE_NOT_COMPACT},
	{"eyJhbGciOiJFUzI1NiJ9.e30", KS_JOSE_NOT_COMPACT},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AA.AA", KS_JOSE_NOT_COMPACT},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AA.AA.AA.AA", KS_JOSE_NOT_COMPACT},
	{"{\"payload\":\"e30\",\"protected\":\"eyJhbGciOiJFUzI1NiJ9\",\"signature\":\"AA\"}", KS_JOSE_NOT_COMPACT},
	{"{\"kid\":\"a.b.c\"}", KS_JOSE_NOT_COMPACT},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AA.AA.AA", KS_JOSE_ENCRYPTED},
	{"....", KS_JOSE_ENCRYPTED},
	{"..", KS_JOSE_HEADER_JSON},
	/* padding, the other alphabet, blanks, bits that no byte uses */
	{"eyJhbGciOiJFUzI1NiJ9.e30=.AA", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AA==", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e+0.AA", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e/0.AA", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e3 0.AA", KS_JOSE_BASE64},
	{" eyJhbGciOiJFUzI1NiJ9.e30.AA", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AA\n", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e30.A", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AB", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e31.AA", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiJ9.e30.AAAAA", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiIgfR.e30.AA", KS_JOSE_BASE64},
	{"eyJhbGciOiJFUzI1NiIgfQ.e30.AA", KS_JOSE_OK},
	{"eyJhbGciOiJFUzI1NiJ9.e30.\xc3\xa4", KS_JOSE_BASE64},
};

static void test_forms(void **state)
{
	struct ks_str nul = KS_STR("eyJhbGciOiJFUzI1NiJ9.e30.AA\0");

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(forms); i++)
		assert_problem(forms[i].token, ks_jws_parse(ks_str_c(forms[i].token), &jws), forms[i].problem);
	assert_int_equal(ks_jws_parse(nul, &jws), KS_JOSE_BASE64);
}

/* ---- confusion ---- */

/* Of a key without its last bracket, and more members of it. */
static struct ks_jose_key *key_of(const char *json, const char *more)
{
	char text[2048];
	struct ks_buf out = KS_BUF(text);
	struct ks_jose_key *key = NULL;

	ks_buf_put_c(&out, json);
	ks_buf_put_c(&out, more);
	ks_buf_put_byte(&out, '}');
	assert_int_equal(ks_jwk_parse(ks_buf_str(&out), &key), KS_JOSE_OK);
	return key;
}

/* What everybody knows of an RSA key, in each form, is no secret that a token could be authenticated with. */
static void test_a_public_key_is_no_secret(void **state)
{
	static const char *const secrets[] = {RSA_N, RSA_KEY "}"};
	KS_AUTO(ks_jose_key_free_at) struct ks_jose_key *key = key_of(RSA_KEY, "");
	struct ks_str header = KS_STR("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(secrets); i++) {
		struct ks_str token = make_token(room, header, KS_STR("{\"sub\":\"admin\"}"), NULL, KS_SIGN_ALG_RS256, "");
		struct ks_buf out = ks_buf_of(room, sizeof(room));
		struct ks_jws_symmetric symmetric;
		unsigned char mac[KS_HMAC_MAX];
		size_t n;

		out.n = token.n;
		assert_int_equal(ks_hmac(KS_HMAC_SHA256, ks_str_c(secrets[i]), ks_str_sub(token, 0, token.n - 1), mac, &n),
				 KS_OK);
		put_part(&out, ks_str_of((const char *)mac, n));
		/* The code is right, were it a secret; but no key of an issuer's ever comes to check it. */
		assert_int_equal(ks_jws_symmetric_parse(ks_buf_str(&out), &symmetric), KS_JOSE_OK);
		assert_int_equal(ks_jws_symmetric_verify(&symmetric, ks_str_c(secrets[i])), KS_JOSE_OK);
		assert_int_equal(ks_jws_parse(ks_buf_str(&out), &jws), KS_JOSE_ALG_SYMMETRIC);
		assert_int_equal(ks_jose_verify(key, &symmetric.jws), KS_JOSE_ALG_OTHER);
	}
}

static void test_a_key_is_for_its_algorithms_alone(void **state)
{
	static const struct {
		const char *json, *more;
		const char *algs;
	} keys[] = {
		{EC_KEY, "", "ES256"},
		{EC_KEY, ",\"alg\":\"ES256\"", "ES256"},
		{RSA_KEY, "", "RS256 RS384 RS512 PS256 PS384 PS512"},
		{RSA_KEY, ",\"alg\":\"RS256\"", "RS256"},
		{RSA_KEY, ",\"alg\":\"PS512\"", "PS512"},
		{"{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"", "", "EdDSA"},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(keys); i++) {
		struct ks_jose_key *key = key_of(keys[i].json, keys[i].more);

		for (unsigned alg = 0; alg < KS_SIGN_ALG_COUNT; alg++) {
			char header[64];
			struct ks_buf out = KS_BUF(header);
			bool is_for = strstr(keys[i].algs, ks_sign_alg_name((enum ks_sign_alg)alg).p) != NULL;

			ks_buf_printf(&out, "{\"alg\":\"%s\"}", ks_sign_alg_name((enum ks_sign_alg)alg).p);
			assert_int_equal(parse(ks_buf_str(&out), KS_STR("{}")), KS_JOSE_OK);
			assert_int_equal(ks_jose_key_is_for(key, (enum ks_sign_alg)alg), is_for);
			assert_int_equal(ks_jose_verify(key, &jws), is_for ? KS_JOSE_SIGNATURE : KS_JOSE_ALG_OTHER);
		}
		assert_false(ks_jose_key_is_for(key, KS_SIGN_ALG_COUNT));
		ks_jose_key_free(key);
	}
}

/* Signed well, by the very key that the header brings: refused for bringing it. */
static void test_well_signed_and_refused(void **state)
{
	static const struct {
		const char *more;
		enum ks_jose_problem problem;
	} cases[] = {
		{"", KS_JOSE_OK},
		{",\"jwk\":{\"kty\":\"EC\",\"crv\":\"P-256\"}", KS_JOSE_EMBEDDED_KEY},
		{",\"jku\":\"https://attacker.example/\"", KS_JOSE_KEY_ADDRESS},
		{",\"x5u\":\"https://attacker.example/\"", KS_JOSE_CERTIFICATE_ADDRESS},
		{",\"x5c\":[]", KS_JOSE_CERTIFICATE},
		{",\"crit\":[\"http://example.com/unknown\"],\"http://example.com/unknown\":true", KS_JOSE_CRITICAL},
		{",\"cty\":\"JWT\"", KS_JOSE_NESTED},
		{",\"zip\":\"DEF\"", KS_JOSE_COMPRESSED},
		{",\"b64\":true", KS_JOSE_UNENCODED},
		{",\"alg\":\"ES256\"", KS_JOSE_HEADER_JSON},
	};
	KS_AUTO(ks_private_key_free_at) struct ks_private_key *private_key = NULL;
	KS_AUTO(ks_jose_key_free_at) struct ks_jose_key *key = NULL;
	struct ks_public_key *public_key;

	(void)state;
	assert_int_equal(ks_private_key_new(KS_KEY_FORM_P256, &private_key), KS_OK);
	assert_int_equal(ks_private_key_public(private_key, &public_key), KS_OK);
	assert_int_equal(ks_jose_key_of(public_key, &key), KS_JOSE_OK);
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		char header[256];
		struct ks_buf out = KS_BUF(header);
		struct ks_str token;

		ks_buf_printf(&out, "{\"alg\":\"ES256\"%s}", cases[i].more);
		token = make_token(room, ks_buf_str(&out), KS_STR("{}"), private_key, KS_SIGN_ALG_ES256, NULL);
		assert_problem(header, ks_jws_parse(token, &jws), cases[i].problem);
		if (cases[i].problem == KS_JOSE_OK)
			assert_int_equal(ks_jose_verify(key, &jws), KS_JOSE_OK);
	}
}

/* A token of one algorithm is never read as of the other kind. */
static void test_symmetric_takes_nothing_else(void **state)
{
	struct ks_jws_symmetric symmetric;
	struct ks_str secret = KS_STR("0123456789abcdef0123456789abcdef");

	(void)state;
	assert_int_equal(ks_jws_symmetric_parse(KS_STR("eyJhbGciOiJFUzI1NiJ9.e30.AA"), &symmetric), KS_JOSE_ALG_UNKNOWN);
	assert_int_equal(ks_jws_symmetric_parse(KS_STR("eyJhbGciOiJub25lIn0.e30."), &symmetric), KS_JOSE_ALG_NONE);
	/* {"alg":"HS256"} */
	assert_int_equal(ks_jws_symmetric_parse(KS_STR("eyJhbGciOiJIUzI1NiJ9.e30."), &symmetric), KS_JOSE_OK);
	assert_int_equal(ks_jws_symmetric_verify(&symmetric, secret), KS_JOSE_SIGNATURE);
	assert_int_equal(ks_jws_symmetric_verify(&symmetric, KS_STR("")), KS_JOSE_KEY_VALUE);
	assert_int_equal(ks_jws_symmetric_verify(&symmetric, ks_str_sub(secret, 0, 31)), KS_JOSE_KEY_VALUE);
}

static void test_symmetric_keys(void **state)
{
	static const struct {
		const char *json;
		enum ks_jose_problem problem;
	} cases[] = {
		{"{\"kty\":\"oct\",\"k\":\"AAAA\"}", KS_JOSE_OK},
		{"{\"kty\":\"oct\",\"k\":\"AAAA=\"}", KS_JOSE_KEY_MEMBER},
		{"{\"kty\":\"oct\",\"k\":\"\"}", KS_JOSE_KEY_MEMBER},
		{"{\"kty\":\"oct\",\"k\":1}", KS_JOSE_KEY_MEMBER},
		{"{\"kty\":\"oct\"}", KS_JOSE_KEY_MEMBER},
		{"{\"kty\":\"oct\",\"k\":\"AAAA\",\"k\":\"AAAA\"}", KS_JOSE_KEY_JSON},
		{"{\"kty\":\"RSA\",\"k\":\"AAAA\"}", KS_JOSE_KEY_TYPE},
		{"{\"k\":\"AAAA\"}", KS_JOSE_KEY_TYPE},
		{"[]", KS_JOSE_KEY_JSON},
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		KS_AUTO(ks_secret_free) struct ks_secret secret = {0};

		assert_problem(cases[i].json, ks_jwk_symmetric_parse(ks_str_c(cases[i].json), &secret), cases[i].problem);
		assert_int_equal(secret.n, cases[i].problem == KS_JOSE_OK ? 3 : 0);
	}
}

/* Nothing of a token is left, neither of one that was taken nor of those that were refused at any point. */
static void test_wipe(void **state)
{
	static const char *const tokens[] = {
		"eyJhbGciOiJFUzI1NiJ9.e30.AAAA", "eyJhbGciOiJub25lIn0.e30.AAAA", "eyJhbGciOiJFUzI1NiJ9.e3.AAAA",
		"eyJhbGciOiJFUzI1NiJ9.e30.A", "e30.e30.AAAA", "a", "",
	};

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(tokens); i++) {
		memset(&jws, 0x55, sizeof(jws));
		memset(jws.room, 0, sizeof(jws.room));
		assert_int_equal(ks_jws_parse(ks_str_c(tokens[i]), &jws) == KS_JOSE_OK, i == 0);
		ks_jws_wipe(&jws);
		for (size_t at = 0; at < KS_JWS_HEADER_MAX + KS_JWS_PAYLOAD_MAX + KS_SIGNATURE_MAX; at++)
			assert_int_equal(jws.room[at], 0);
		assert_int_equal(jws.header.n + jws.payload.n + jws.signature.n + jws.input.n, 0);
	}
}

static void test_texts_of_problems(void **state)
{
	(void)state;
	for (unsigned i = 0; i < KS_JOSE_PROBLEM_COUNT; i++) {
		assert_true(ks_jose_problem_text((enum ks_jose_problem)i)[0] != '\0');
		for (unsigned j = 0; j < i; j++)
			assert_string_not_equal(ks_jose_problem_name((enum ks_jose_problem)i),
						ks_jose_problem_name((enum ks_jose_problem)j));
	}
	assert_string_equal(ks_jose_problem_name(KS_JOSE_PROBLEM_COUNT), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_what_a_header_says),
		cmocka_unit_test(test_sizes),
		cmocka_unit_test(test_deep_and_wide_headers),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_a_public_key_is_no_secret),
		cmocka_unit_test(test_a_key_is_for_its_algorithms_alone),
		cmocka_unit_test(test_well_signed_and_refused),
		cmocka_unit_test(test_symmetric_takes_nothing_else),
		cmocka_unit_test(test_symmetric_keys),
		cmocka_unit_test(test_wipe),
		cmocka_unit_test(test_texts_of_problems),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
