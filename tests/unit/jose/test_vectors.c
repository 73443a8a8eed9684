/* SPDX-License-Identifier: Apache-2.0 */
/* The examples of the RFCs, tests/vectors/jose: each verifies or is refused as its file says, and what verifies no
 * longer does with any byte of the signature, or of what is signed, changed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/ctenc.h"
#include "jose/claims.h"
#include "jose/signer.h"
#include "jose/symmetric.h"

struct vector {
	const json_t *json;
	const char *name;
	const char *result;
};

static const char *text_of(const struct vector *v, const char *name)
{
	return json_string_value(json_object_get(v->json, name));
}

static void assert_result(const struct vector *v, enum ks_jose_problem problem)
{
	if (strcmp(ks_jose_problem_name(problem), v->result) != 0)
		fail_msg("%s: %s, wanted %s", v->name, ks_jose_problem_name(problem), v->result);
}

static void assert_text(const struct vector *v, const char *name, struct ks_str text)
{
	const char *wanted = text_of(v, name);

	if (wanted && !ks_str_eq(text, ks_str_c(wanted)))
		fail_msg("%s: %s is %.*s", v->name, name, KS_STR_ARG(text));
}

static struct ks_jose_key *key_of(const struct vector *v, const char *name)
{
	char *text = json_dumps(json_object_get(v->json, name), JSON_COMPACT);
	struct ks_jose_key *key = NULL;
	enum ks_jose_problem problem = ks_jwk_parse(ks_str_c(text), &key);

	if (problem)
		fail_msg("%s: its key: %s", v->name, ks_jose_problem_name(problem));
	free(text);
	return key;
}

/* ---- claims ---- */

static void check_claims(const struct vector *v, struct ks_str payload)
{
	const json_t *exp = json_object_get(v->json, "exp");
	struct ks_claims claims;
	struct ks_str value;

	if (!text_of(v, "iss"))
		return;
	assert_int_equal(ks_claims_parse(payload, &claims), KS_JOSE_OK);
	assert_text(v, "iss", claims.iss);
	assert_int_equal(claims.exp_ms, json_integer_value(exp) * 1000);
	assert_int_equal(ks_claims_check_time(&claims, claims.exp_ms - 1, 0), KS_JOSE_OK);
	assert_int_equal(ks_claims_check_time(&claims, claims.exp_ms, 0), KS_JOSE_EXPIRED);
	assert_true(ks_claims_find(&claims, ks_str_c(text_of(v, "true")), &value));
	assert_true(ks_str_eq(value, KS_STR("true")));
}

/* ---- public keys ---- */

static bool verifies(const struct ks_jose_key *key, struct ks_str token)
{
	struct ks_jws jws;

	return ks_jws_parse(token, &jws) == KS_JOSE_OK && ks_jose_verify(key, &jws) == KS_JOSE_OK;
}

/* Each byte of the signature, each bit of its first and last; then each character of what is signed. */
static void check_altered(const struct vector *v, const struct ks_jose_key *key, struct ks_jws *jws)
{
	char copy[KS_JWS_TOKEN_MAX];
	size_t n = jws->input.n, at = (size_t)(jws->signature.p - jws->room);

	memcpy(copy, jws->input.p, n);
	for (size_t i = 0; i < jws->signature.n; i++) {
		char *byte = &jws->room[at + i], old = *byte;
		unsigned bits = i == 0 || i + 1 == jws->signature.n ? 8 : 1;

		for (unsigned bit = 0; bit < bits; bit++) {
			*byte = (char)(old ^ 1 << (bits == 1 ? i % 8 : bit));
			if (ks_jose_verify(key, jws) != KS_JOSE_SIGNATURE)
				fail_msg("%s: byte %zu of the signature changed, bit %u", v->name, i, bit);
		}
		*byte = old;
	}
	jws->input = ks_str_of(copy, n);
	for (size_t i = 0; i < n; i++) {
		copy[i] ^= 1;
		if (ks_jose_verify(key, jws) != KS_JOSE_SIGNATURE)
			fail_msg("%s: byte %zu of what is signed changed", v->name, i);
		copy[i] ^= 1;
	}
	assert_int_equal(ks_jose_verify(key, jws), KS_JOSE_OK);
	jws->input.n--;
	assert_int_equal(ks_jose_verify(key, jws), KS_JOSE_SIGNATURE);
}

static void check_token(const struct vector *v)
{
	struct ks_str token = ks_str_c(text_of(v, "token"));
	struct ks_jose_key *key;
	struct ks_jws jws;
	enum ks_jose_problem problem = ks_jws_parse(token, &jws);

	assert_result(v, problem);
	if (!json_object_get(v->json, "key"))
		return;
	assert_int_equal(problem, KS_JOSE_OK);
	key = key_of(v, "key");
	assert_result(v, ks_jose_verify(key, &jws));
	assert_text(v, "payload", jws.payload);
	assert_text(v, "kid", jws.kid);
	check_claims(v, jws.payload);
	check_altered(v, key, &jws);
	/* One character missing anywhere makes another token. */
	for (size_t i = 0; i < token.n; i++) {
		char cut[KS_JWS_TOKEN_MAX];

		memcpy(cut, token.p, i);
		memcpy(&cut[i], &token.p[i + 1], token.n - i - 1);
		assert_false(verifies(key, ks_str_of(cut, token.n - 1)));
	}
	ks_jose_key_free(key);
}

/* A signature over what is no compact token: section 4.8 of RFC 7520 has one without a protected header. */
static void check_raw(const struct vector *v)
{
	unsigned char signature[KS_SIGNATURE_MAX];
	struct ks_jose_key *key = key_of(v, "key");
	struct ks_str input = ks_str_c(text_of(v, "input"));
	enum ks_sign_alg alg;
	size_t n;

	assert_true(ks_sign_alg_parse(ks_str_c(text_of(v, "alg")), &alg));
	assert_true(ks_base64url_decode(ks_str_c(text_of(v, "signature")), signature, sizeof(signature), &n));
	for (size_t i = 0; i <= n; i++) {
		enum ks_err err = ks_public_key_check(ks_jose_key_public(key), alg, input,
						      ks_str_of((const char *)signature, n));

		assert_int_equal(err, i == 0 ? KS_OK : KS_FORBIDDEN);
		if (i > 0)
			signature[i - 1] ^= 1;
		if (i < n)
			signature[i] ^= 1;
	}
	ks_jose_key_free(key);
}

/* ---- shared secrets ---- */

static void check_symmetric(const struct vector *v)
{
	struct ks_str token = ks_str_c(text_of(v, "token"));
	char *text = json_dumps(json_object_get(v->json, "secret"), JSON_COMPACT);
	struct ks_secret secret = {0};
	struct ks_jws_symmetric jws;
	struct ks_jws other;
	struct ks_str bytes;

	assert_int_equal(ks_jws_parse(token, &other), KS_JOSE_ALG_SYMMETRIC);
	assert_int_equal(ks_jwk_symmetric_parse(ks_str_c(text), &secret), KS_JOSE_OK);
	bytes = ks_str_of((const char *)secret.bytes, secret.n);
	assert_int_equal(ks_jws_symmetric_parse(token, &jws), KS_JOSE_OK);
	assert_result(v, ks_jws_symmetric_verify(&jws, bytes));
	assert_text(v, "payload", jws.jws.payload);
	assert_text(v, "kid", jws.jws.kid);
	check_claims(v, jws.jws.payload);
	for (size_t i = 0; i < jws.jws.signature.n; i++) {
		char *byte = &jws.jws.room[(size_t)(jws.jws.signature.p - jws.jws.room) + i];

		*byte ^= 1;
		assert_int_equal(ks_jws_symmetric_verify(&jws, bytes), KS_JOSE_SIGNATURE);
		*byte ^= 1;
	}
	jws.jws.signature.n--;
	assert_int_equal(ks_jws_symmetric_verify(&jws, bytes), KS_JOSE_SIGNATURE);
	ks_secret_free(&secret);
	free(text);
}

/* ---- keys ---- */

static void check_key(const struct vector *v)
{
	char *text = json_dumps(json_object_get(v->json, "jwk"), JSON_COMPACT);
	struct ks_jose_key *key = NULL;

	assert_result(v, ks_jwk_parse(ks_str_c(text), &key));
	if (key) {
		assert_text(v, "thumbprint", ks_jose_key_thumbprint(key));
		assert_text(v, "kid", ks_jose_key_kid(key));
	}
	ks_jose_key_free(key);
	free(text);
}

static void check_set(const struct vector *v)
{
	char *text = json_dumps(json_object_get(v->json, "set"), JSON_COMPACT);
	struct ks_jwk_set *set = NULL;
	enum ks_jose_problem why;

	assert_result(v, ks_jwk_set_parse(ks_str_c(text), &set));
	if (set) {
		assert_int_equal(ks_jwk_set_count(set), json_integer_value(json_object_get(v->json, "usable")));
		assert_int_equal(ks_jwk_set_passed_over(set, &why),
				 json_integer_value(json_object_get(v->json, "passed_over")));
		assert_text(v, "why", ks_str_c(ks_jose_problem_name(why)));
	}
	ks_jwk_set_free(set);
	free(text);
}

/* Ed25519 signs a text in one way alone: RFC 8037, A.4, made again from its private key. */
static void check_signing(const struct vector *v)
{
	/* PKCS #8 of Ed25519 (RFC 8410, 7) up to the 32 bytes themselves. */
	unsigned char der[48] = {0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06,
				 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20};
	struct ks_str token = ks_str_c(text_of(v, "token"));
	unsigned char signature[KS_SIGNATURE_MAX];
	struct ks_private_key *key = NULL;
	struct ks_jws jws;
	size_t n;

	if (!text_of(v, "sign_with"))
		return;
	assert_true(ks_base64url_decode(ks_str_c(text_of(v, "sign_with")), &der[16], 32, &n));
	assert_int_equal(ks_private_key_load(ks_str_of((const char *)der, sizeof(der)), &key), KS_OK);
	assert_int_equal(ks_jws_parse(token, &jws), KS_JOSE_OK);
	assert_int_equal(ks_private_key_sign(key, KS_SIGN_ALG_EDDSA, jws.input, signature, &n), KS_OK);
	assert_true(ks_str_eq(ks_str_of((const char *)signature, n), jws.signature));
	ks_private_key_free(key);
}

/* ---- files ---- */

static void check_vector(const struct vector *v)
{
	if (json_object_get(v->json, "jwk"))
		check_key(v);
	else if (json_object_get(v->json, "set"))
		check_set(v);
	else if (json_object_get(v->json, "secret"))
		check_symmetric(v);
	else if (text_of(v, "input"))
		check_raw(v);
	else
		check_token(v);
	check_signing(v);
}

/* Checks every vector of a file; how many there are is said in the table below, so that none is lost. */
static void check_file(const char *name, size_t wanted)
{
	char path[4096];
	json_error_t error;
	json_t *file;
	const json_t *vectors;

	assert_true(snprintf(path, sizeof(path), "%s/tests/vectors/jose/%s.json", getenv("KEYSTILE_SOURCE"), name) <
		    (int)sizeof(path));
	file = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
	if (!file)
		fail_msg("%s: %s", path, error.text);
	vectors = json_object_get(file, "vectors");
	assert_int_equal(json_array_size(vectors), wanted);
	for (size_t i = 0; i < wanted; i++) {
		struct vector v = {.json = json_array_get(vectors, i)};

		v.name = text_of(&v, "name");
		v.result = text_of(&v, "result");
		assert_non_null(v.name);
		assert_non_null(v.result);
		check_vector(&v);
	}
	json_decref(file);
}

#define FILES(X)                                                                                                     \
	X(rfc7515, 14) X(rfc7516, 4) X(rfc7517, 6) X(rfc7518, 28) X(rfc7519, 5) X(rfc7520, 55) X(rfc7638, 1) X(rfc7797, 1) \
	X(rfc8037, 5)

#define X(name, count)                        \
	static void test_##name(void **state) \
	{                                     \
		(void)state;                  \
		check_file(#name, count);     \
	}
FILES(X)
#undef X

int main(void)
{
	const struct CMUnitTest tests[] = {
#define X(name, count) cmocka_unit_test(test_##name),
		FILES(X)
#undef X
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
