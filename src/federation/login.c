/* SPDX-License-Identifier: Apache-2.0 */
/* Logins by OpenID Connect: authorization code with PKCE (S256), state, nonce. What must be known again when the
 * browser comes back lies sealed in its cookie: nothing is kept here of logins that never end. */
#include <stdlib.h>

#include "base/ctenc.h"
#include "base/secret.h"
#include "crypto/random.h"
#include "crypto/sha256.h"
#include "engine/issuer.h"
#include "federation/federation_priv.h"

#define RANDOM_SIZE 32
#define COOKIE_PURPOSE "keystile login cookie 1"
#define METADATA_KEPT_MS INT64_C(600000)
#define FAILURE_KEPT_MS INT64_C(3000)
#define TOKEN_ANSWER_MAX 65536u
#define CALLBACK "/v1/session/oidc/callback"

static const char *const codes[] = {
#define X(name, code) code,
	KS_OIDC_RESULTS(X)
#undef X
};

const char *ks_oidc_code(enum ks_oidc_result result)
{
	return codes[result];
}

/* ---- the provider as configured ---- */

struct provider {
	uint64_t id;
	char issuer[KS_STORE_ISSUER_MAX + 1];
	char client_id[KS_STORE_CLIENT_ID_MAX + 1];
	char scopes[KS_STORE_SCOPES_TEXT_MAX + 1];
	char secret[KS_CLIENT_SECRET_MAX];
	size_t secret_n;
	const struct ks_engine *engine;
	struct ks_metadata metadata;
	char *jwks; /* heap */
};

static void copy(struct ks_str from, char *to, size_t cap)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	(void)ks_buf_z(&b);
}

static enum ks_err keep_provider(void *ctx, const struct ks_identity_provider_row *row)
{
	struct provider *p = ctx;

	if (!row->enabled || row->deleted_at != KS_TIME_NONE)
		return KS_NOT_FOUND;
	p->id = row->id;
	copy(row->issuer, p->issuer, sizeof(p->issuer));
	copy(row->client_id, p->client_id, sizeof(p->client_id));
	copy(row->scopes, p->scopes, sizeof(p->scopes));
	return ks_identity_provider_secret(p->engine, row, p->secret, sizeof(p->secret), &p->secret_n);
}

static void drop_provider(struct provider *p)
{
	free(p->jwks);
	ks_wipe(p, sizeof(*p));
	free(p);
}

static enum ks_oidc_result get_provider(struct ks_federation *f, struct ks_engine_reader *reader, uint64_t id,
					struct provider **ret_provider)
{
	struct provider *p = calloc(1, sizeof(*p));
	enum ks_err err;

	if (!p)
		return KS_OIDC_INTERNAL;
	p->engine = f->engine;
	err = ks_store_identity_provider_get(reader->store, id, keep_provider, p);
	if (err == KS_OK) {
		*ret_provider = p;
		return KS_OIDC_OK;
	}
	drop_provider(p);
	return err == KS_NOT_FOUND ? KS_OIDC_UNKNOWN : KS_OIDC_INTERNAL;
}

/* ---- what is known of it ---- */

/* The lock is held. The entry of the provider, a free one, or the one that was fetched longest ago. */
static struct ks_known_provider *entry_of(struct ks_federation *f, uint64_t id)
{
	struct ks_known_provider *oldest = &f->known[0];

	for (size_t i = 0; i < KS_KNOWN_PROVIDERS; i++) {
		struct ks_known_provider *k = &f->known[i];

		if (k->id == id)
			return k;
		if (k->metadata_ms < oldest->metadata_ms)
			oldest = k;
	}
	free(oldest->jwks);
	*oldest = (struct ks_known_provider){.id = id};
	return oldest;
}

static bool is_fresh(int64_t fetched_ms, int64_t now_ms)
{
	return fetched_ms != 0 && now_ms - fetched_ms >= 0 && now_ms - fetched_ms < METADATA_KEPT_MS;
}

static bool fetch_metadata(struct ks_federation *f, struct provider *p, struct ks_failure *failure)
{
	if (!ks_discover(f, ks_str_c(p->issuer), &p->metadata, failure))
		return false;
	return (p->metadata.authorization_endpoint[0] && p->metadata.token_endpoint[0])
	       || ks_fail(failure, "no_endpoints");
}

/* A provider that just failed is not asked again at once: anybody may begin a login, as often as they like. */
static bool get_metadata(struct ks_federation *f, struct provider *p, int64_t now_ms, struct ks_failure *failure)
{
	struct ks_known_provider *known;
	bool have, failed, ok;

	(void)pthread_mutex_lock(&f->lock);
	known = entry_of(f, p->id);
	have = is_fresh(known->metadata_ms, now_ms);
	failed = known->failed_ms != 0 && now_ms - known->failed_ms < FAILURE_KEPT_MS;
	if (have)
		p->metadata = known->metadata;
	(void)pthread_mutex_unlock(&f->lock);
	if (have || failed)
		return have || ks_fail(failure, "failed_just_now");
	ok = fetch_metadata(f, p, failure);
	(void)pthread_mutex_lock(&f->lock);
	known = entry_of(f, p->id);
	known->failed_ms = ok ? 0 : ks_federation_now_ms();
	if (ok) {
		known->metadata = p->metadata;
		known->metadata_ms = now_ms;
	}
	(void)pthread_mutex_unlock(&f->lock);
	return ok;
}

/* Puts the keys at hand into p->jwks. With `other`: not those that are known, unless they were fetched for the same
 * reason a moment ago (then false). */
static bool get_keys(struct ks_federation *f, struct provider *p, bool other, int64_t now_ms,
		     struct ks_failure *failure)
{
	struct ks_known_provider *known;
	bool may = true;

	free(p->jwks);
	p->jwks = NULL;
	(void)pthread_mutex_lock(&f->lock);
	known = entry_of(f, p->id);
	if (other) {
		may = known->kid_ms == 0 || now_ms - known->kid_ms >= KS_FEDERATION_KID_MS;
		if (may)
			known->kid_ms = now_ms;
	} else if (known->jwks && is_fresh(known->keys_ms, now_ms)) {
		p->jwks = strdup(known->jwks);
	}
	(void)pthread_mutex_unlock(&f->lock);
	if (p->jwks)
		return true;
	if (!may)
		return ks_fail(failure, "key_unknown");
	if (!ks_fetch_keys(f, ks_str_c(p->metadata.jwks_uri), &p->jwks, failure))
		return false;
	(void)pthread_mutex_lock(&f->lock);
	known = entry_of(f, p->id);
	free(known->jwks);
	known->jwks = strdup(p->jwks);
	known->keys_ms = now_ms;
	(void)pthread_mutex_unlock(&f->lock);
	return true;
}

/* ---- the cookie ---- */

/* Wiped after use: who has the verifier can redeem the code. */
struct remembered {
	uint64_t provider;
	int64_t until_ms;
	char state[KS_OIDC_STATE_LEN];
	char nonce[KS_OIDC_STATE_LEN];
	char verifier[KS_OIDC_STATE_LEN];
	uint16_t return_n;
	char return_to[KS_OIDC_RETURN_MAX];
};

static enum ks_err draw(char ret_text[KS_OIDC_STATE_LEN])
{
	uint8_t random[RANDOM_SIZE];
	enum ks_err err = ks_random(random, sizeof(random));

	if (err == KS_OK && ks_base64url_encode(random, sizeof(random), ret_text, KS_OIDC_STATE_LEN) == 0)
		err = KS_TOO_LARGE;
	ks_wipe(random, sizeof(random));
	return err;
}

static enum ks_err seal_cookie(const struct ks_federation *f, const struct remembered *r,
			       char ret_cookie[KS_OIDC_COOKIE_MAX])
{
	uint8_t nonce[KS_SEAL_NONCE_SIZE], sealed[sizeof(*r) + KS_SEAL_OVERHEAD];
	/* What is not used of return_to stays out of it: cookies are short. */
	size_t n = offsetof(struct remembered, return_to) + r->return_n, sealed_n, text_n;

	KS_TRY(ks_random(nonce, sizeof(nonce)));
	KS_TRY(ks_seal(f->cookie_key.bytes, nonce, KS_STR(COOKIE_PURPOSE), ks_str_of((const char *)r, n), sealed,
		       sizeof(sealed), &sealed_n));
	text_n = ks_base64url_encode(sealed, sealed_n, ret_cookie, KS_OIDC_COOKIE_MAX - 1);
	ret_cookie[text_n] = '\0';
	return text_n > 0 ? KS_OK : KS_TOO_LARGE;
}

static bool open_cookie(const struct ks_federation *f, struct ks_str cookie, struct remembered *ret_remembered)
{
	uint8_t sealed[sizeof(*ret_remembered) + KS_SEAL_OVERHEAD];
	size_t sealed_n, n;

	return ks_base64url_decode(cookie, sealed, sizeof(sealed), &sealed_n)
	       && ks_unseal(f->cookie_key.bytes, KS_STR(COOKIE_PURPOSE), ks_str_of((const char *)sealed, sealed_n),
			    (uint8_t *)ret_remembered, sizeof(*ret_remembered), &n)
			  == KS_OK
	       && n == offsetof(struct remembered, return_to) + ret_remembered->return_n;
}

/* ---- begin ---- */

static void put_encoded(struct ks_buf *out, struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		/* Unreserved, RFC 3986, 2.3. */
		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_'
		    || c == '.' || c == '~')
			ks_buf_put_byte(out, c);
		else
			ks_buf_printf(out, "%%%02X", (unsigned char)c);
	}
}

static void put_parameter(struct ks_buf *out, const char *name, struct ks_str value)
{
	if (out->n > 0)
		ks_buf_put_byte(out, '&');
	ks_buf_put_c(out, name);
	ks_buf_put_byte(out, '=');
	put_encoded(out, value);
}

static void put_redirect(const struct ks_federation *f, struct ks_buf *out)
{
	char url[KS_STORE_URL_MAX];
	struct ks_buf b = KS_BUF(url);

	ks_buf_put(&b, ks_issuer_name(f->engine));
	ks_buf_put_c(&b, CALLBACK);
	put_parameter(out, "redirect_uri", ks_buf_str(&b));
}

static bool put_url(const struct ks_federation *f, const struct provider *p, const struct remembered *r, char *to,
		    size_t cap)
{
	struct ks_buf out = ks_buf_of(to, cap), query = {0};
	char challenge[KS_OIDC_STATE_LEN], room[KS_OIDC_URL_MAX];
	struct ks_digest digest;

	if (ks_sha256(ks_str_of(r->verifier, sizeof(r->verifier)), &digest) != KS_OK
	    || ks_base64url_encode(digest.bytes, sizeof(digest.bytes), challenge, sizeof(challenge))
		       != sizeof(challenge))
		return false;
	query = ks_buf_of(room, sizeof(room));
	put_parameter(&query, "response_type", KS_STR("code"));
	put_parameter(&query, "client_id", ks_str_c(p->client_id));
	put_redirect(f, &query);
	put_parameter(&query, "scope", ks_str_c(p->scopes));
	put_parameter(&query, "state", ks_str_of(r->state, sizeof(r->state)));
	put_parameter(&query, "nonce", ks_str_of(r->nonce, sizeof(r->nonce)));
	put_parameter(&query, "code_challenge", ks_str_of(challenge, sizeof(challenge)));
	put_parameter(&query, "code_challenge_method", KS_STR("S256"));
	ks_buf_put_c(&out, p->metadata.authorization_endpoint);
	ks_buf_put_byte(&out, strchr(p->metadata.authorization_endpoint, '?') ? '&' : '?');
	ks_buf_put(&out, ks_buf_str(&query));
	(void)ks_buf_z(&out);
	return ks_buf_ok(&query) && ks_buf_ok(&out);
}

static enum ks_oidc_result begin(struct ks_federation *f, struct provider *p, struct ks_str return_to, int64_t now_ms,
				 struct ks_oidc_begun *ret_begun)
{
	struct ks_failure failure = {""};
	struct remembered r = {.provider = p->id, .until_ms = now_ms + KS_OIDC_LIFETIME_MS};
	bool ok;

	/* The browser is sent there: nowhere that a browser would take for something else than a page of the provider.
	 */
	if (!get_metadata(f, p, now_ms, &failure)
	    || (ks_federation_url_check(f, ks_str_c(p->metadata.authorization_endpoint)) != KS_FETCH_OK
		&& !ks_fail(&failure, "authorization_endpoint"))) {
		ks_federation_say(f, 2, "login_provider_unavailable", "%s: %s", p->issuer, failure.code);
		return KS_OIDC_UNAVAILABLE;
	}
	r.return_n = (uint16_t)KS_MIN(return_to.n, sizeof(r.return_to));
	memcpy(r.return_to, return_to.p, r.return_n);
	ok = draw(r.state) == KS_OK && draw(r.nonce) == KS_OK && draw(r.verifier) == KS_OK
	     && put_url(f, p, &r, ret_begun->url, sizeof(ret_begun->url))
	     && seal_cookie(f, &r, ret_begun->cookie) == KS_OK;
	ks_wipe(&r, sizeof(r));
	return ok ? KS_OIDC_OK : KS_OIDC_INTERNAL;
}

enum ks_oidc_result ks_oidc_begin(struct ks_federation *federation, struct ks_engine_reader *reader, uint64_t provider,
				  struct ks_str return_to, int64_t now_ms, struct ks_oidc_begun *ret_begun)
{
	struct provider *p;
	enum ks_oidc_result result;

	if (ks_str_empty(ks_issuer_name(federation->engine)))
		return KS_OIDC_UNKNOWN;
	result = get_provider(federation, reader, provider, &p);
	if (result != KS_OIDC_OK)
		return result;
	result = begin(federation, p, return_to, now_ms, ret_begun);
	drop_provider(p);
	return result;
}

/* ---- exchange ---- */

/* RFC 6749, 2.3.1: id and secret are encoded as in a form before they are joined. */
static bool put_basic(const struct provider *p, char *to, size_t cap, size_t *ret_n)
{
	char plain[3 * (KS_CLIENT_SECRET_MAX + KS_STORE_CLIENT_ID_MAX) + 2];
	struct ks_buf b = KS_BUF(plain), out = ks_buf_of(to, cap);
	size_t n;

	put_encoded(&b, ks_str_c(p->client_id));
	ks_buf_put_byte(&b, ':');
	put_encoded(&b, ks_str_of(p->secret, p->secret_n));
	ks_buf_put_c(&out, "Basic ");
	n = ks_buf_ok(&b) ? ks_base64_encode((const unsigned char *)plain, b.n, to + out.n, cap - out.n) : 0;
	ks_wipe(plain, sizeof(plain));
	*ret_n = out.n + n;
	return n > 0;
}

struct exchange {
	char body[3 * KS_OIDC_CODE_MAX + 3 * KS_CLIENT_SECRET_MAX + 8192];
	char authorization[4 * (KS_CLIENT_SECRET_MAX + KS_STORE_CLIENT_ID_MAX) + 16];
};

static bool post_code(struct ks_federation *f, const struct provider *p, const struct remembered *r, struct ks_str code,
		      struct ks_fetch_response *ret_response, struct ks_failure *failure)
{
	struct exchange *e = calloc(1, sizeof(*e));
	struct ks_buf body;
	bool basic = p->secret_n > 0 && !p->metadata.secret_in_body, ok = e != NULL;
	size_t n = 0;

	if (!ok)
		return ks_fail(failure, "memory");
	body = KS_BUF(e->body);
	put_parameter(&body, "grant_type", KS_STR("authorization_code"));
	put_parameter(&body, "code", code);
	put_redirect(f, &body);
	put_parameter(&body, "code_verifier", ks_str_of(r->verifier, sizeof(r->verifier)));
	if (!basic)
		put_parameter(&body, "client_id", ks_str_c(p->client_id));
	if (!basic && p->secret_n > 0)
		put_parameter(&body, "client_secret", ks_str_of(p->secret, p->secret_n));
	ok = ks_buf_ok(&body) && (!basic || put_basic(p, e->authorization, sizeof(e->authorization), &n));
	ok = ok ? ks_fetch_json(
		     f,
		     &(struct ks_fetch_request){
			     .method = "POST",
			     .url = ks_str_c(p->metadata.token_endpoint),
			     .headers = {{KS_STR("Accept"), KS_STR("application/json")},
					 {KS_STR("Content-Type"), KS_STR("application/x-www-form-urlencoded")},
					 {KS_STR("Authorization"), ks_str_of(e->authorization, n)}},
			     .header_count = basic ? 3 : 2,
			     .body = ks_buf_str(&body),
			     .body_max = TOKEN_ANSWER_MAX,
			     .timeout_ms = f->options.timeout_ms,
		     },
		     ret_response, failure)
		: ks_fail(failure, "too_large");
	ks_wipe(e, sizeof(*e));
	free(e);
	return ok;
}

/* ---- what the provider says of the user ---- */

/* Of the claims of the ID token, or else of the userinfo endpoint. Texts go to `room`. */
static void read_person(struct ks_str object, struct ks_buf *room, struct ks_identity_claim *claim)
{
	char text[KS_STORE_EMAIL_MAX + 1], name[KS_STORE_NAME_MAX + 1];
	struct ks_str value;
	size_t at = room->n;

	if (ks_json_copy(object, "email", text, sizeof(text))) {
		for (char *c = text; *c; c++)
			ks_buf_put_byte(room, *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c);
		claim->email = ks_str_of(room->p + at, room->n - at);
		claim->email_verified =
			ks_json_member(object, KS_STR("email_verified"), &value) && ks_json_kind(value) == 't';
	}
	at = room->n;
	if (ks_json_copy(object, "name", name, sizeof(name))) {
		ks_buf_put_c(room, name);
		claim->name = ks_str_of(room->p + at, room->n - at);
	}
}

/* Some providers give an address there alone. Without it the login goes on: the subject may be known. */
static void ask_userinfo(struct ks_federation *f, const struct provider *p, struct ks_str access_token,
			 struct ks_str subject, struct ks_buf *room, struct ks_identity_claim *claim)
{
	char bearer[KS_FETCH_HEADER_MAX / 2];
	struct ks_buf b = KS_BUF(bearer);
	struct ks_fetch_response response;
	struct ks_failure failure;
	struct ks_str object, sub;

	if (!p->metadata.userinfo_endpoint[0] || ks_str_empty(access_token))
		return;
	ks_buf_put_c(&b, "Bearer ");
	ks_buf_put(&b, access_token);
	if (ks_buf_ok(&b)
	    && ks_fetch_json(f,
			     &(struct ks_fetch_request){
				     .method = "GET",
				     .url = ks_str_c(p->metadata.userinfo_endpoint),
				     .headers = {{KS_STR("Accept"), KS_STR("application/json")},
						 {KS_STR("Authorization"), ks_buf_str(&b)}},
				     .header_count = 2,
				     .body_max = TOKEN_ANSWER_MAX,
				     .timeout_ms = f->options.timeout_ms,
			     },
			     &response, &failure)) {
		object = ks_str_trim(ks_str_of(response.body, response.body_n));
		/* It must speak of the same user (OpenID Connect Core, 5.3.2). */
		if (ks_json_member(object, KS_STR("sub"), &sub) && ks_json_string_is(sub, subject))
			read_person(object, room, claim);
		ks_fetch_response_free(&response);
	}
	ks_wipe(bearer, sizeof(bearer));
}

/* ---- finish ---- */

struct finishing {
	struct ks_federation *f;
	struct provider *p;
	const struct ks_oidc_answer *answer;
	struct remembered remembered;
	struct ks_id_token token;
	struct ks_failure failure;
	char id_token[KS_JWS_TOKEN_MAX + 1];
	char access_token[KS_JWS_TOKEN_MAX + 1];
	int64_t now_ms;
};

static bool check_token(struct finishing *s)
{
	const struct ks_id_token_wants wants = {
		.issuer = ks_str_c(s->p->issuer),
		.client_id = ks_str_c(s->p->client_id),
		.nonce = ks_str_of(s->remembered.nonce, sizeof(s->remembered.nonce)),
		.access_token = ks_str_c(s->access_token),
		.now_ms = s->now_ms,
	};
	enum ks_jose_problem problem;

	if (!get_keys(s->f, s->p, false, s->now_ms, &s->failure))
		return false;
	if (ks_id_token_check(ks_str_c(s->id_token), ks_str_c(s->p->jwks), &wants, &s->token, &problem, &s->failure))
		return true;
	if (problem != KS_JOSE_KEY_UNKNOWN)
		return false;
	/* The provider may have changed its keys. */
	return get_keys(s->f, s->p, true, s->now_ms, &s->failure)
	       && ks_id_token_check(ks_str_c(s->id_token), ks_str_c(s->p->jwks), &wants, &s->token, &problem,
				    &s->failure);
}

static enum ks_oidc_result exchange(struct finishing *s)
{
	struct ks_fetch_response response;
	struct ks_str object;
	bool ok;

	if (!get_metadata(s->f, s->p, s->now_ms, &s->failure))
		return KS_OIDC_UNAVAILABLE;
	/* Another provider's answer, brought here to have its code spent at this one (RFC 9207). */
	if (!ks_str_empty(s->answer->iss) ? !ks_str_eq(s->answer->iss, ks_str_c(s->p->issuer))
					  : s->p->metadata.names_itself)
		return KS_OIDC_ISSUER;
	if (!ks_str_empty(s->answer->error) || ks_str_empty(s->answer->code))
		return KS_OIDC_DENIED;
	if (!post_code(s->f, s->p, &s->remembered, s->answer->code, &response, &s->failure))
		return ks_str_starts(ks_str_c(s->failure.code), KS_STR("status_4")) ? KS_OIDC_CODE
										    : KS_OIDC_UNAVAILABLE;
	object = ks_str_trim(ks_str_of(response.body, response.body_n));
	ok = ks_json_copy(object, "id_token", s->id_token, sizeof(s->id_token))
	     || ks_fail(&s->failure, "id_token_missing");
	(void)ks_json_copy(object, "access_token", s->access_token, sizeof(s->access_token));
	ks_fetch_response_free(&response);
	return ok && check_token(s) ? KS_OIDC_OK : KS_OIDC_TOKEN;
}

static struct ks_str put_text(struct ks_buf *room, struct ks_str text)
{
	size_t at = room->n;

	ks_buf_put(room, text);
	return ks_str_of(room->p + at, room->n - at);
}

static enum ks_oidc_result conclude(struct finishing *s, struct ks_oidc_finished *to)
{
	struct ks_buf room = KS_BUF(to->room);

	to->claim = (struct ks_identity_claim){
		.provider = s->p->id,
		.issuer = put_text(&room, ks_str_c(s->p->issuer)),
		.subject = put_text(&room, s->token.claims.sub),
	};
	if (ks_sha256(s->answer->state, &to->claim.state) != KS_OK)
		return KS_OIDC_INTERNAL;
	read_person(s->token.claims.text, &room, &to->claim);
	if (ks_str_empty(to->claim.email))
		ask_userinfo(s->f, s->p, ks_str_c(s->access_token), to->claim.subject, &room, &to->claim);
	copy(ks_str_of(s->remembered.return_to, s->remembered.return_n), to->return_to, sizeof(to->return_to));
	return ks_buf_ok(&room) ? KS_OIDC_OK : KS_OIDC_INTERNAL;
}

/* The browser that began, in time, for the first time. */
static bool recall(struct finishing *s, struct ks_engine_reader *reader)
{
	struct ks_digest digest;
	bool used = true;

	return open_cookie(s->f, s->answer->cookie, &s->remembered) && s->now_ms < s->remembered.until_ms
	       && ks_ct_str_equal(s->answer->state, ks_str_of(s->remembered.state, sizeof(s->remembered.state)))
	       && ks_sha256(s->answer->state, &digest) == KS_OK
	       && ks_store_login_used(reader->store, &digest, &used) == KS_OK && !used;
}

static enum ks_oidc_result finish(struct finishing *s, struct ks_engine_reader *reader, struct ks_oidc_finished *to)
{
	enum ks_oidc_result result;

	if (!recall(s, reader))
		return KS_OIDC_STATE;
	result = get_provider(s->f, reader, s->remembered.provider, &s->p);
	if (result != KS_OIDC_OK)
		return result;
	result = exchange(s);
	if (result == KS_OIDC_OK)
		result = conclude(s, to);
	drop_provider(s->p);
	return result;
}

enum ks_oidc_result ks_oidc_finish(struct ks_federation *federation, struct ks_engine_reader *reader,
				   const struct ks_oidc_answer *answer, int64_t now_ms,
				   struct ks_oidc_finished *ret_finished)
{
	struct finishing *s = calloc(1, sizeof(*s));
	enum ks_oidc_result result;

	ret_finished->detail[0] = '\0';
	if (!s)
		return KS_OIDC_INTERNAL;
	s->f = federation;
	s->answer = answer;
	s->now_ms = now_ms;
	result = finish(s, reader, ret_finished);
	copy(ks_str_c(s->failure.code), ret_finished->detail, sizeof(ret_finished->detail));
	ks_wipe(s, sizeof(*s));
	free(s);
	return result;
}
