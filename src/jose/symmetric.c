/* SPDX-License-Identifier: Apache-2.0 */
#include "jose/symmetric.h"

#include "base/ctenc.h"
#include "base/json.h"
#include "jose/jws_priv.h"

static const struct {
	const char *name;
	size_t size;
} digests[KS_HMAC_COUNT] = {{"HS256", 32}, {"HS384", 48}, {"HS512", 64}};

enum ks_jose_problem ks_jws_symmetric_parse(struct ks_str token, struct ks_jws_symmetric *ret_jws)
{
	struct ks_str alg;
	enum ks_jose_problem problem = ks_jws_take_apart(token, &ret_jws->jws, &alg);

	if (problem)
		return problem;
	for (unsigned i = 0; i < KS_HMAC_COUNT; i++)
		if (ks_str_eq(alg, ks_str_c(digests[i].name))) {
			ret_jws->digest = (enum ks_hmac)i;
			ret_jws->jws.alg = KS_SIGN_ALG_COUNT;
			return KS_JOSE_OK;
		}
	problem = ks_jws_alg_problem(alg);
	return problem == KS_JOSE_ALG_NONE ? problem : KS_JOSE_ALG_UNKNOWN;
}

enum ks_jose_problem ks_jws_symmetric_verify(const struct ks_jws_symmetric *jws, struct ks_str secret)
{
	unsigned char mac[KS_HMAC_MAX];
	struct ks_str given = jws->jws.signature;
	size_t n;
	bool equal;

	if (secret.n < digests[jws->digest].size)
		return KS_JOSE_KEY_VALUE;
	if (ks_hmac(jws->digest, secret, jws->jws.input, mac, &n))
		return KS_JOSE_LIBRARY;
	equal = given.n == n && ks_ct_equal(given.p, mac, n);
	ks_wipe(mac, sizeof(mac));
	return equal ? KS_JOSE_OK : KS_JOSE_SIGNATURE;
}

enum ks_jose_problem ks_jwk_symmetric_parse(struct ks_str json, struct ks_secret *ret_secret)
{
	struct ks_secret secret = {0};
	struct ks_str kty, k;
	size_t n;

	if (json.n > 4 * KS_JOSE_SECRET_MAX)
		return KS_JOSE_KEY_TOO_LARGE;
	if (!ks_json_check(json) || ks_json_kind(json) != '{')
		return KS_JOSE_KEY_JSON;
	if (!ks_json_member(json, KS_STR("kty"), &kty) || !ks_json_string_is(kty, KS_STR("oct")))
		return KS_JOSE_KEY_TYPE;
	/* Base64url has no character that JSON would want escaped. */
	if (!ks_json_member(json, KS_STR("k"), &k) || ks_json_kind(k) != '"' || k.n < 3)
		return KS_JOSE_KEY_MEMBER;
	if (ks_secret_new(&secret, KS_JOSE_SECRET_MAX))
		return KS_JOSE_MEMORY;
	if (!ks_base64url_decode(ks_str_sub(k, 1, k.n - 2), secret.bytes, secret.cap, &n)) {
		ks_secret_free(&secret);
		return KS_JOSE_KEY_MEMBER;
	}
	secret.n = n;
	*ret_secret = secret;
	return KS_JOSE_OK;
}
