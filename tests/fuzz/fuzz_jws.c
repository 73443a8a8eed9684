/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens and claims. The input is read as a token, as the header of one, and as its claims; the first line of it also
 * as the path of a claim. */
#include <stdlib.h>

#include "base/ctenc.h"
#include "jose/claims.h"
#include "jose/jwk.h"
#include "jose/symmetric.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

/* RFC 7515, A.3.1. */
#define KEY                                                                                                          \
	"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","                  \
	"\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}"

static size_t put_part(char *text, struct ks_str bytes)
{
	return ks_base64url_encode((const unsigned char *)bytes.p, bytes.n, text, 2 * KS_JWS_TOKEN_MAX);
}

/* There is one token alone of these three parts. */
static void check_parts(struct ks_str token, const struct ks_jws *jws)
{
	static char text[6 * KS_JWS_TOKEN_MAX];
	size_t n = put_part(text, jws->header);

	text[n++] = '.';
	n += put_part(&text[n], jws->payload);
	CHECK(ks_str_eq(ks_str_of(text, n), jws->input));
	text[n++] = '.';
	n += put_part(&text[n], jws->signature);
	CHECK(ks_str_eq(ks_str_of(text, n), token));
}

static void check_token(struct ks_str token)
{
	static struct ks_jose_key *key;
	static struct ks_jws_symmetric symmetric;
	static struct ks_jws jws;
	enum ks_jose_problem problem;

	if (!key)
		CHECK(ks_jwk_parse(KS_STR(KEY), &key) == KS_JOSE_OK);
	if (ks_jws_symmetric_parse(token, &symmetric) == KS_JOSE_OK) {
		CHECK(ks_jws_parse(token, &jws) == KS_JOSE_ALG_SYMMETRIC);
		CHECK(ks_jose_verify(key, &symmetric.jws) == KS_JOSE_ALG_OTHER);
	}
	if (ks_jws_parse(token, &jws) != KS_JOSE_OK)
		return;
	CHECK(token.n <= KS_JWS_TOKEN_MAX && (unsigned)jws.alg < KS_SIGN_ALG_COUNT);
	CHECK(jws.header.n <= KS_JWS_HEADER_MAX && ks_json_check(jws.header));
	CHECK(jws.kid.n <= KS_JOSE_KID_MAX && !ks_str_has_control(jws.kid) && ks_str_is_utf8(jws.kid));
	CHECK(jws.typ.n <= KS_JWS_TYPE_MAX && !ks_str_has_control(jws.typ));
	check_parts(token, &jws);
	problem = ks_jose_verify(key, &jws);
	CHECK((problem == KS_JOSE_ALG_OTHER) == (jws.alg != KS_SIGN_ALG_ES256));
	CHECK(problem == KS_JOSE_ALG_OTHER || problem == KS_JOSE_SIGNATURE || jws.signature.n == 64);
}

static void check_header(struct ks_str header)
{
	static char text[4 * KS_JWS_TOKEN_MAX];
	size_t n;

	if (header.n > KS_JWS_TOKEN_MAX)
		return;
	n = put_part(text, header);
	memcpy(&text[n], ".e30.AA", 7);
	check_token(ks_str_of(text, n + 7));
}

static void check_path(const struct ks_claims *claims, struct ks_str path)
{
	struct ks_claims_strings at = {0};
	struct ks_str value, string;
	bool malformed = false;
	size_t n = 0;

	if (!ks_claims_find(claims, path, &value))
		return;
	CHECK(ks_json_check(value) && value.p >= claims->text.p && value.n <= claims->text.n);
	for (;;) {
		char room[256];
		struct ks_buf to = KS_BUF(room);

		if (!ks_claims_next(&at, value, true, &to, &string, &malformed))
			break;
		CHECK(string.n < value.n && n++ < value.n);
	}
}

static void check_claims(struct ks_str payload, struct ks_str path)
{
	static struct ks_claims claims;

	if (ks_claims_parse(payload, &claims) != KS_JOSE_OK)
		return;
	CHECK(ks_json_check(payload));
	CHECK(claims.iss.n <= KS_CLAIMS_TEXT_MAX && !ks_str_has_control(claims.iss));
	CHECK(claims.exp_ms == KS_TIME_NONE || (claims.exp_ms >= 0 && claims.exp_ms <= KS_TIME_MAX));
	CHECK(claims.nbf_ms == KS_TIME_NONE || (claims.nbf_ms >= 0 && claims.nbf_ms <= KS_TIME_MAX));
	CHECK(ks_claims_audiences(&claims) <= KS_CLAIMS_AUDIENCES_MAX);
	if (claims.exp_ms != KS_TIME_NONE)
		CHECK(ks_claims_check_time(&claims, claims.exp_ms, 0) == KS_JOSE_EXPIRED);
	CHECK(ks_claims_check_audience(&claims, path) == KS_JOSE_AUDIENCE || claims.aud.n > 2);
	check_path(&claims, path);
	check_path(&claims, KS_STR("a.b"));
	check_path(&claims, KS_STR("scope"));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str text = ks_str_of((const char *)data, size), path, rest;

	check_token(text);
	check_header(text);
	check_claims(text, KS_STR("https://example.com/tenant"));
	if (ks_str_split(text, '\n', &path, &rest))
		check_claims(rest, path);
	return 0;
}
