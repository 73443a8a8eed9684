/* SPDX-License-Identifier: Apache-2.0 */
/* Signed tokens (RFC 7515, 7519): who signed them, what they say, and what they say about the request. */
#include "base/ctenc.h"
#include "base/secret.h"
#include "hooksig/hooksig_priv.h"
#include "jose/claims.h"
#include "jose/jwk.h"
#include "jose/symmetric.h"

#define CLAIMS_MAX 8
#define HASHES_MAX 4

/* A claim and what it must be. */
struct claim {
	struct ks_str name;          /* "azp|appid": the first that is there */
	struct hs_list is;           /* one of these texts */
	bool is_true;
	size_t path_n;               /* > 0: what the body has there */
	struct ks_str path[HS_PATH_MAX];
};

/* A claim that is the digest of something. */
struct hash {
	struct ks_str claim;
	struct hs_template of, of_get; /* of_get.n == 0: as `of` */
	enum hs_encoding encoding;
	bool if_body;                /* where there is no body the claim may be missing */
};

struct jws {
	size_t token;
	struct hs_list algorithms;
	struct hs_list secrets;
	struct ks_jwk_set *keys;
	struct ks_str keys_text;     /* the set as JSON, for members that are nobody else's */
	bool detached;
	struct hs_list require;
	int64_t skew_ms, max_age_ms, max_lifetime_ms; /* -1: not given */
	struct claim claims[CLAIMS_MAX];
	size_t claim_n;
	struct hash hashes[HASHES_MAX];
	size_t hash_n;
	struct ks_str endorsed;      /* the member of the body that the key must be endorsed for */
	struct ks_str replay;        /* the claim that no other token has */
};

/* ---- compiling ---- */

static void free_set(void *set)
{
	ks_jwk_set_free(set);
}

static bool read_keys(struct hs_compile *c, struct ks_str value, void *to)
{
	struct jws *jws = (struct jws *)(void *)((char *)to - offsetof(struct jws, keys));
	enum ks_jose_problem problem;

	if (c->checking)
		return true;
	problem = ks_jwk_set_parse(value, &jws->keys);
	if (problem)
		return hs_refuse_key(c, "%s", ks_jose_problem_text(problem));
	if (!hs_arena_own(c->arena, jws->keys, free_set))
		return hs_no_memory(c);
	return hs_read_raw(c, value, &jws->keys_text);
}

static bool read_claim_value(struct hs_compile *c, struct claim *claim, struct ks_str value)
{
	if (ks_json_kind(value) == 't')
		return hs_read_flag(c, value, &claim->is_true);
	if (!hs_read_texts(c, value, &claim->is))
		return false;
	return c->checking || claim->is.n > 0 || hs_refuse_key(c, "no value is allowed for this claim");
}

static struct claim *new_claim(struct hs_compile *c, struct jws *jws, struct ks_str name)
{
	struct claim *claim = &jws->claims[jws->claim_n];

	if (jws->claim_n == CLAIMS_MAX) {
		(void)hs_refuse(c, "more than %d claims", CLAIMS_MAX);
		return NULL;
	}
	if (!hs_arena_copy(c->arena, name, &claim->name)) {
		(void)hs_no_memory(c);
		return NULL;
	}
	jws->claim_n++;
	return claim;
}

static bool add_claim(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct claim *claim = new_claim(c, to, name);
	struct ks_str set;

	if (!claim)
		return false;
	/* A setting may say what a claim must be. */
	if (!c->in_settings && ks_str_starts(value, KS_STR("\"$"))) {
		if (!hs_setting(c, ks_str_sub(value, 2, value.n - 3), &set))
			return false;
		value = set;
	}
	return read_claim_value(c, claim, value);
}

static bool read_claims(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_claim, (char *)to - offsetof(struct jws, claims));
}

static bool add_body_claim(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to)
{
	struct claim *claim = new_claim(c, to, name);
	struct ks_str path;

	return claim && hs_read_text(c, value, &path) && hs_read_path(c, path, claim->path, &claim->path_n);
}

static bool read_body_claims(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_member(c, value, add_body_claim, (char *)to - offsetof(struct jws, claims));
}

static bool add_hash(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("claim", hs_read_text, struct hash, claim),
		HS_NEEDED("of", hs_read_template, struct hash, of),
		HS_MEMBER("of_get", hs_read_template, struct hash, of_get),
		HS_NEEDED("encoding", hs_read_encoding, struct hash, encoding),
		HS_MEMBER("if_body", hs_read_flag, struct hash, if_body),
	};
	struct jws *jws = to;

	if (jws->hash_n == HASHES_MAX)
		return hs_refuse(c, "more than %d digests", HASHES_MAX);
	return hs_read_object(c, value, members, KS_ARRAY_LEN(members), &jws->hashes[jws->hash_n++]);
}

static bool read_hashes(struct hs_compile *c, struct ks_str value, void *to)
{
	return hs_each_element(c, value, add_hash, (char *)to - offsetof(struct jws, hashes));
}

static bool covers_body(const struct hs_compile *c, const struct jws *jws)
{
	const struct hs_var *token = &c->plan->vars[jws->token];
	bool covers = jws->detached || (token->from_n > 0 && token->from[0].kind == HS_BODY);

	for (size_t i = 0; i < jws->hash_n; i++)
		covers |= jws->hashes[i].of.covers_body;
	return covers;
}

static bool requires(const struct jws *jws, struct ks_str claim)
{
	for (size_t i = 0; i < jws->require.n; i++)
		if (ks_str_eq(jws->require.v[i], claim))
			return true;
	return false;
}

static bool read_jws(struct hs_compile *c, struct ks_str value, void *to)
{
	static const struct hs_member members[] = {
		HS_NEEDED("token", hs_read_var_name, struct jws, token),
		HS_NEEDED("algorithms", hs_read_texts, struct jws, algorithms),
		HS_MEMBER("secrets", hs_read_secrets, struct jws, secrets),
		HS_MEMBER("keys", read_keys, struct jws, keys),
		HS_MEMBER("detached", hs_read_flag, struct jws, detached),
		HS_MEMBER("require", hs_read_texts, struct jws, require),
		HS_MEMBER("skew", hs_read_seconds, struct jws, skew_ms),
		HS_MEMBER("max_age", hs_read_seconds, struct jws, max_age_ms),
		HS_MEMBER("max_lifetime", hs_read_seconds, struct jws, max_lifetime_ms),
		HS_MEMBER("claims", read_claims, struct jws, claims),
		HS_MEMBER("more_claims", read_claims, struct jws, claims),
		HS_MEMBER("claims_of_body", read_body_claims, struct jws, claims),
		HS_MEMBER("hashes", read_hashes, struct jws, hashes),
		HS_MEMBER("endorsed_for", hs_read_text, struct jws, endorsed),
		HS_MEMBER("replay_claim", hs_read_text, struct jws, replay),
	};
	struct jws *jws = to;

	jws->max_age_ms = jws->max_lifetime_ms = -1;
	if (!hs_read_object(c, value, members, KS_ARRAY_LEN(members), jws))
		return false;
	if (!c->checking && (jws->secrets.v != NULL) == (jws->keys != NULL))
		return hs_refuse(c, "secrets or keys is wanted here, and not both");
	if (c->checking)
		jws->secrets.n = 0;
	hs_cover_add(c, (struct hs_cover){.signs = true, .body = covers_body(c, jws),
					  .time = jws->max_age_ms >= 0 || requires(jws, KS_STR("exp"))});
	return true;
}

/* ---- the signature ---- */

static bool is_listed(const struct hs_list *list, struct ks_str text)
{
	for (size_t i = 0; i < list->n; i++)
		if (ks_str_eq(list->v[i], text))
			return true;
	return false;
}

/* The key's digest must be one of those that are listed ("HS256"). Secrets that people chose are shorter than RFC 7518
 * wants them, so that ks_jws_symmetric_verify would refuse them; the length is between the tenant and the platform. */
static bool check_secrets(const struct jws *jws, const struct ks_jws_symmetric *token)
{
	static const struct {
		struct ks_str name;
		enum ks_hasher_alg digest;
	} algs[KS_HMAC_COUNT] = {
		{{"HS256", 5}, KS_HASHER_SHA256}, {{"HS384", 5}, KS_HASHER_SHA384}, {{"HS512", 5}, KS_HASHER_SHA512},
	};
	struct ks_str given = token->jws.signature;
	bool found = false;

	if (!is_listed(&jws->algorithms, algs[token->digest].name))
		return false;
	for (size_t i = 0; i < jws->secrets.n; i++) {
		unsigned char mac[KS_HMAC_MAX];
		size_t n;

		found |= ks_hmac(token->digest, jws->secrets.v[i], token->jws.input, mac, &n) == KS_OK && given.n == n &&
			 ks_ct_equal(given.p, mac, n);
		ks_wipe(mac, sizeof(mac));
	}
	return found;
}

/* A detached payload is fed after the header, so that it is not copied. */
static bool check_detached(const struct ks_jose_key *key, const struct ks_jws *token, struct ks_str body)
{
	static const struct {
		enum ks_sign_alg alg;
		enum ks_hasher_alg digest;
	} digests[] = {
		{KS_SIGN_ALG_ES256, KS_HASHER_SHA256}, {KS_SIGN_ALG_ES384, KS_HASHER_SHA384},
		{KS_SIGN_ALG_ES512, KS_HASHER_SHA512}, {KS_SIGN_ALG_RS256, KS_HASHER_SHA256},
		{KS_SIGN_ALG_RS384, KS_HASHER_SHA384}, {KS_SIGN_ALG_RS512, KS_HASHER_SHA512},
		{KS_SIGN_ALG_PS256, KS_HASHER_SHA256}, {KS_SIGN_ALG_PS384, KS_HASHER_SHA384},
		{KS_SIGN_ALG_PS512, KS_HASHER_SHA512},
	};

	for (size_t i = 0; i < KS_ARRAY_LEN(digests); i++) {
		unsigned char digest[KS_HASHER_MAX];
		struct ks_hasher hasher;

		if (digests[i].alg != token->alg || !ks_jose_key_is_for(key, token->alg))
			continue;
		ks_hasher_begin(&hasher, digests[i].digest);
		ks_hasher_put(&hasher, token->input);
		ks_hasher_put(&hasher, body);
		return ks_hasher_end(&hasher, digest) == KS_OK &&
		       ks_public_key_check_digest(ks_jose_key_public(key), token->alg, false,
						  ks_str_of((const char *)digest, ks_hasher_size(digests[i].digest)),
						  token->signature) == KS_OK;
	}
	return false;
}

static enum ks_hooksig_code check_keys(struct hs_run *run, const struct jws *jws, struct ks_str text,
				       struct ks_jws *token)
{
	const struct ks_jose_key *key;
	enum ks_jose_problem problem = jws->detached ? ks_jws_parse_detached(text, token) : ks_jws_parse(text, token);
	bool ok;

	if (problem)
		return KS_HOOKSIG_MALFORMED;
	if (!is_listed(&jws->algorithms, ks_sign_alg_name(token->alg)) || !jws->keys ||
	    ks_jwk_set_find(jws->keys, token, &key))
		return KS_HOOKSIG_SIGNATURE_MISMATCH;
	ok = jws->detached ? check_detached(key, token, run->request->body) : ks_jose_verify(key, token) == KS_JOSE_OK;
	return ok ? KS_HOOKSIG_OK : KS_HOOKSIG_SIGNATURE_MISMATCH;
}

/* ---- what it says ---- */

static enum ks_hooksig_code check_time(struct hs_run *run, const struct jws *jws, const struct ks_claims *claims)
{
	int64_t now = run->now_ms, skew = jws->skew_ms;
	int64_t age = jws->max_age_ms;

	if (age >= 0 && claims->iat_ms == KS_TIME_NONE)
		return KS_HOOKSIG_MALFORMED;
	if (age >= 0 && (now - claims->iat_ms > age || claims->iat_ms - now > age))
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	if (requires(jws, KS_STR("iat")) && claims->iat_ms > now + skew)
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	if (claims->exp_ms != KS_TIME_NONE && (now > claims->exp_ms + skew || (skew == 0 && now == claims->exp_ms)))
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	if (claims->nbf_ms != KS_TIME_NONE && now < claims->nbf_ms - skew)
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	if (jws->max_lifetime_ms >= 0 && claims->exp_ms != KS_TIME_NONE && claims->exp_ms > now + jws->max_lifetime_ms)
		return KS_HOOKSIG_TIMESTAMP_OUT_OF_RANGE;
	return KS_HOOKSIG_OK;
}

/* The value of the first of the names "a|b" that is there. */
static bool find_claim(const struct ks_claims *claims, struct ks_str names, struct ks_str *ret_value)
{
	bool more = true;

	while (more) {
		struct ks_str name = names;

		more = ks_str_split(names, '|', &name, &names);
		if (ks_json_member(claims->text, name, ret_value))
			return true;
	}
	return false;
}

static bool is_one_of(struct ks_str value, const struct hs_list *is)
{
	for (size_t i = 0; i < is->n; i++)
		if (ks_json_string_is(value, is->v[i]))
			return true;
	return false;
}

/* The claim itself, or (an audience) an element of it. */
static bool says_one_of(struct ks_str value, const struct hs_list *is)
{
	struct ks_json_read r = ks_json_read_of(value);
	bool first = true, found = false;

	if (ks_json_kind(value) != '[')
		return is_one_of(value, is);
	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']'))
		found |= is_one_of(ks_json_read_raw(&r), is);
	return found;
}

static enum ks_hooksig_code check_claim(struct hs_run *run, const struct claim *claim, const struct ks_claims *claims)
{
	struct hs_values of_body;
	struct hs_list is = claim->is;
	struct ks_str value;
	enum ks_hooksig_code code;

	if (!find_claim(claims, claim->name, &value))
		return KS_HOOKSIG_SIGNATURE_MISMATCH;
	if (claim->is_true)
		return ks_str_eq(value, KS_STR("true")) ? KS_HOOKSIG_OK : KS_HOOKSIG_SIGNATURE_MISMATCH;
	if (claim->path_n > 0) {
		code = hs_json_find(run, claim->path, claim->path_n, true, &of_body);
		if (code)
			return code;
		is = (struct hs_list){of_body.v, of_body.n};
	}
	return says_one_of(value, &is) ? KS_HOOKSIG_OK : KS_HOOKSIG_SIGNATURE_MISMATCH;
}

static enum ks_hooksig_code check_hash(struct hs_run *run, const struct hash *hash, const struct ks_claims *claims)
{
	bool get = hash->of_get.n > 0 && ks_str_eq(run->request->method, KS_STR("GET"));
	unsigned char digest[KS_HASHER_MAX], given[KS_HASHER_MAX];
	struct ks_hasher hasher;
	struct hs_sink sink = {.hasher = &hasher};
	struct ks_str value;
	enum ks_hooksig_code code;
	size_t n;

	if (!ks_json_member(claims->text, hash->claim, &value)) {
		bool missing = !hash->if_body || run->request->body.n > 0 || (get && run->url.has_query);

		return missing ? KS_HOOKSIG_SIGNATURE_MISMATCH : KS_HOOKSIG_OK;
	}
	if (!ks_json_string(value, run->room, &value) ||
	    !hs_decode(hash->encoding, value, given, sizeof(given), &n) || n != 32)
		return KS_HOOKSIG_MALFORMED;
	ks_hasher_begin(&hasher, KS_HASHER_SHA256);
	code = hs_template_put(run, get ? &hash->of_get : &hash->of, &sink);
	if (code || ks_hasher_end(&hasher, digest))
		return code ? code : KS_HOOKSIG_SIGNATURE_MISMATCH;
	return ks_ct_equal(digest, given, n) ? KS_HOOKSIG_OK : KS_HOOKSIG_SIGNATURE_MISMATCH;
}

/* The key of the set that has this kid must list, in "endorsements", what the body says. */
static bool is_endorsed(struct hs_run *run, const struct jws *jws, struct ks_str kid)
{
	struct ks_str keys, path[1] = {jws->endorsed};
	struct hs_values wanted;
	struct ks_json_read r;
	bool first = true;

	if (hs_json_find(run, path, 1, true, &wanted) || !ks_json_member(jws->keys_text, KS_STR("keys"), &keys))
		return false;
	r = ks_json_read_of(keys);
	ks_json_read_open(&r, '[');
	while (ks_json_read_more(&r, &first, ']')) {
		struct ks_str key = ks_json_read_raw(&r), value;
		struct hs_list is = {wanted.v, wanted.n};

		if (ks_json_kind(key) == '{' && ks_json_member(key, KS_STR("kid"), &value) && ks_json_string_is(value, kid) &&
		    ks_json_member(key, KS_STR("endorsements"), &value) && says_one_of(value, &is))
			return true;
	}
	return false;
}

static enum ks_hooksig_code check_required(const struct jws *jws, const struct ks_claims *claims)
{
	struct ks_str value;

	for (size_t i = 0; i < jws->require.n; i++)
		if (!ks_json_member(claims->text, jws->require.v[i], &value))
			return KS_HOOKSIG_MALFORMED;
	return KS_HOOKSIG_OK;
}

static void keep_replay_key(struct hs_run *run, const struct jws *jws, const struct ks_claims *claims)
{
	struct ks_str value;

	/* The token lies on the stack of the operation. */
	if (jws->replay.n > 0 && ks_json_member(claims->text, jws->replay, &value) && ks_json_kind(value) == '"') {
		size_t from = run->room->n;

		ks_buf_put(run->room, ks_str_sub(value, 1, value.n - 2));
		run->claim = ks_str_sub(ks_buf_str(run->room), from, SIZE_MAX);
	}
}

static enum ks_hooksig_code check_claims(struct hs_run *run, const struct jws *jws, const struct ks_jws *token)
{
	struct ks_claims claims;
	enum ks_hooksig_code code;

	if (jws->detached)
		return KS_HOOKSIG_OK;
	if (!ks_json_check(token->payload) || ks_claims_parse(token->payload, &claims))
		return KS_HOOKSIG_MALFORMED;
	code = check_required(jws, &claims);
	if (code == KS_HOOKSIG_OK)
		code = check_time(run, jws, &claims);
	for (size_t i = 0; i < jws->claim_n && code == KS_HOOKSIG_OK; i++)
		code = check_claim(run, &jws->claims[i], &claims);
	for (size_t i = 0; i < jws->hash_n && code == KS_HOOKSIG_OK; i++)
		code = check_hash(run, &jws->hashes[i], &claims);
	if (code == KS_HOOKSIG_OK && jws->endorsed.n > 0 && !is_endorsed(run, jws, token->kid))
		code = KS_HOOKSIG_SIGNATURE_MISMATCH;
	if (code == KS_HOOKSIG_OK)
		keep_replay_key(run, jws, &claims);
	return code;
}

static enum ks_hooksig_code check_token(struct hs_run *run, const struct jws *jws, struct ks_str text)
{
	struct ks_jws_symmetric symmetric;
	struct ks_jws token;
	enum ks_hooksig_code code;

	if (!jws->secrets.v) {
		code = check_keys(run, jws, text, &token);
		return code ? code : check_claims(run, jws, &token);
	}
	if (ks_jws_symmetric_parse(text, &symmetric))
		return KS_HOOKSIG_MALFORMED;
	if (!check_secrets(jws, &symmetric))
		return KS_HOOKSIG_SIGNATURE_MISMATCH;
	return check_claims(run, jws, &symmetric.jws);
}

static enum ks_hooksig_code run_jws(struct hs_run *run, const void *op)
{
	const struct jws *jws = op;
	const struct hs_values *values;
	enum ks_hooksig_code code = hs_var_read(run, jws->token, &values);

	if (code == KS_HOOKSIG_OK && values->n > 1 && !run->plan->vars[jws->token].many)
		code = KS_HOOKSIG_MALFORMED;
	for (size_t i = 0; code == KS_HOOKSIG_OK && i < values->n; i++)
		code = check_token(run, jws, values->v[i]);
	return code;
}

const struct hs_op_type hs_op_jws = {"jws", sizeof(struct jws), read_jws, run_jws, NULL, true};
