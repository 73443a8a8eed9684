/* SPDX-License-Identifier: Apache-2.0 */
/* Is this ID token what the provider was asked for? OpenID Connect Core, 3.1.3.7. */
#include "base/ctenc.h"
#include "crypto/sha256.h"
#include "federation/federation_priv.h"

#define LEEWAY_MS INT64_C(60000)
#define HASH_TEXT_MAX 64

static bool refuse(enum ks_jose_problem problem, enum ks_jose_problem *ret_problem, struct ks_failure *failure)
{
	*ret_problem = problem;
	return ks_fail(failure, "%s", ks_jose_problem_name(problem));
}

static bool check_signature(struct ks_str token, struct ks_str jwks, struct ks_jws *jws,
			    enum ks_jose_problem *ret_problem, struct ks_failure *failure)
{
	KS_AUTO(ks_jwk_set_free_at) struct ks_jwk_set *set = NULL;
	const struct ks_jose_key *key;
	enum ks_jose_problem problem = ks_jws_parse(token, jws);

	if (problem == KS_JOSE_OK)
		problem = ks_jwk_set_parse(jwks, &set);
	if (problem == KS_JOSE_OK)
		problem = ks_jwk_set_find(set, jws, &key);
	if (problem == KS_JOSE_OK)
		problem = ks_jose_verify(key, jws);
	return problem == KS_JOSE_OK || refuse(problem, ret_problem, failure);
}

static bool claim_is(const struct ks_claims *claims, const char *name, struct ks_str wanted)
{
	char room[KS_CLAIMS_TEXT_MAX];
	struct ks_buf b = KS_BUF(room);
	struct ks_str value, text;

	return ks_json_member(claims->text, ks_str_c(name), &value) && ks_json_string(value, &b, &text)
	       && ks_ct_str_equal(text, wanted);
}

/* With several audiences the token says for whom it was made; where it says so, that must be us. */
static bool check_party(const struct ks_claims *claims, struct ks_str client_id, struct ks_failure *failure)
{
	struct ks_str azp;

	if (ks_json_member(claims->text, KS_STR("azp"), &azp))
		return claim_is(claims, "azp", client_id) || ks_fail(failure, "azp");
	return ks_claims_audiences(claims) == 1 || ks_fail(failure, "azp_missing");
}

/* The left half of the access token's digest (3.1.3.6). Optional; of other lengths than SHA-256's it is not checked. */
static bool check_at_hash(const struct ks_id_token *token, struct ks_str access_token, struct ks_failure *failure)
{
	bool sha256 = token->jws.alg == KS_SIGN_ALG_ES256 || token->jws.alg == KS_SIGN_ALG_RS256
		      || token->jws.alg == KS_SIGN_ALG_PS256;
	char text[HASH_TEXT_MAX];
	struct ks_digest digest;
	struct ks_str value;
	size_t n;

	if (!sha256 || !ks_json_member(token->claims.text, KS_STR("at_hash"), &value))
		return true;
	if (ks_sha256(access_token, &digest) != KS_OK)
		return ks_fail(failure, "crypto");
	n = ks_base64url_encode(digest.bytes, sizeof(digest.bytes) / 2, text, sizeof(text));
	return claim_is(&token->claims, "at_hash", ks_str_of(text, n)) || ks_fail(failure, "at_hash");
}

static enum ks_jose_problem check_claims(const struct ks_claims *claims, const struct ks_id_token_wants *wants)
{
	enum ks_jose_problem problem = ks_claims_check_issuer(claims, wants->issuer);

	if (problem == KS_JOSE_OK)
		problem = ks_claims_check_audience(claims, wants->client_id);
	if (problem == KS_JOSE_OK)
		problem = ks_claims_check_time(claims, wants->now_ms, LEEWAY_MS);
	return problem;
}

bool ks_id_token_check(struct ks_str token, struct ks_str jwks, const struct ks_id_token_wants *wants,
		       struct ks_id_token *ret_token, enum ks_jose_problem *ret_problem, struct ks_failure *ret_failure)
{
	enum ks_jose_problem problem;

	*ret_problem = KS_JOSE_OK;
	if (!check_signature(token, jwks, &ret_token->jws, ret_problem, ret_failure))
		return false;
	problem = ks_claims_parse(ret_token->jws.payload, &ret_token->claims);
	if (problem == KS_JOSE_OK)
		problem = check_claims(&ret_token->claims, wants);
	if (problem != KS_JOSE_OK)
		return refuse(problem, ret_problem, ret_failure);
	if (ret_token->claims.iat_ms == KS_TIME_NONE)
		return ks_fail(ret_failure, "iat_missing");
	if (ks_str_empty(ret_token->claims.sub))
		return ks_fail(ret_failure, "sub_missing");
	if (!claim_is(&ret_token->claims, "nonce", wants->nonce))
		return ks_fail(ret_failure, "nonce");
	return check_party(&ret_token->claims, wants->client_id, ret_failure)
	       && check_at_hash(ret_token, wants->access_token, ret_failure);
}
