/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/token: a short-lived JWT for a key (RFC 6749, 4.4), or for a key or a JWT a narrower and shorter one (RFC 8693).
 * Nothing is written: what was minted ends by itself, or with its key. */
#include "api/oauth.h"
#include "base/secret.h"
#include "engine/issuer.h"

#define TEXT_MAX 512u
#define CALL_ID_MAX 128u
#define LIFETIME_S 300
#define LIFETIME_MAX_S 3600
#define LIFETIME_MIN_S 1
#define TYPE_ACCESS_TOKEN "urn:ietf:params:oauth:token-type:access_token"
#define TYPE_JWT "urn:ietf:params:oauth:token-type:jwt"
#define TYPE_KEY "urn:keystile:params:oauth:token-type:key"

/* One request on its way. */
struct grant {
	struct ks_call *call;
	struct ks_api_thread *thread;
	const struct ks_ring *ring;
	struct ks_decision *d;
	struct ks_oauth_client client;
	const char *why;

	/* What the token will say. */
	struct ks_issuer_claims claims;
	struct ks_str audiences[KS_ISSUER_AUDIENCES_MAX];
	char subject[KS_ID_TEXT_SIZE], key[KS_ID_TEXT_SIZE], tenant[KS_ID_TEXT_SIZE], actor[KS_ID_TEXT_SIZE];
	char scope[KS_JWS_PAYLOAD_MAX];
	char family[TEXT_MAX], call_id[TEXT_MAX];
	char target_text[2][TEXT_MAX];
	char inherited_audiences[KS_JWS_PAYLOAD_MAX];
};

static enum ks_oauth_error refuse(struct grant *g, enum ks_oauth_error error, const char *why)
{
	g->why = why;
	return error;
}

#define OAUTH_TRY(expression)                           \
	do {                                            \
		enum ks_oauth_error error_ = (expression); \
		if (error_ != KS_OAUTH_NONE)            \
			return error_;                  \
	} while (0)

static enum ks_oauth_error parameter(struct grant *g, const char *name, char *storage, size_t cap, struct ks_str *ret_value)
{
	if (ks_oauth_parameter(g->call, name, storage, cap, ret_value))
		return KS_OAUTH_NONE;
	return refuse(g, KS_OAUTH_INVALID_REQUEST, "A parameter is given more than once, too long, or not well encoded.");
}

/* ---- whose token it is ---- */

/* True if the token is good, by itself and from where it is presented. */
static bool decide(struct grant *g, struct ks_str token)
{
	struct ks_request request = {
		.credential = &g->thread->credential,
		.credential_alone = true,
		.now_ms = g->call->exchange->now_ms,
	};

	request.address_known = ks_client_address(g->call->api, g->call->exchange, &request.address);
	ks_credential_init(&g->thread->credential);
	ks_credential_header(&g->thread->credential, token, KS_KINDS_ANY);
	ks_present_jwt(g->thread, g->ring, KS_JWT_AUDIENCE_ANY, &request);
	ks_decide(g->ring, KS_RING_POLICY_PLATFORM, &request, &g->thread->path, g->d);
	ks_credential_wipe(&g->thread->credential);
	return g->d->reason == KS_REASON_OK;
}

/* A mint is a request of the key like any other. */
static enum ks_oauth_error take_rate(struct grant *g)
{
	const struct ks_ring_grant *limits = g->d->grant;
	struct ks_exchange *x = g->call->exchange;
	size_t at = x->text.n;

	if (limits->rate_requests == 0 || !g->ring->usage
	    || ks_usage_take(g->ring->usage, g->d->key->id, limits->rate_requests, limits->rate_window_s, x->now_ms,
			     &g->d->rate))
		return KS_OAUTH_NONE;
	ks_buf_put_u64(&x->text, g->d->rate.retry_after_s);
	ks_exchange_answer_header(x, KS_STR("Retry-After"), ks_str_of(x->text.p + at, x->text.n - at));
	return refuse(g, KS_OAUTH_RATE_LIMITED, "The key has used up its rate.");
}

static bool is_client_the_key(const struct grant *g)
{
	uint64_t id;

	return ks_id_parse(g->client.id, KS_ID_KEY, &id) && g->d->key->id == id && KS_KEY_KIND(g->d->state) != KS_KIND_SESSION;
}

static enum ks_oauth_error authenticate(struct grant *g)
{
	if (decide(g, g->client.secret) && !g->d->is_asserted && is_client_the_key(g))
		return KS_OAUTH_NONE;
	if (g->d->reason == KS_REASON_STALE)
		return refuse(g, KS_OAUTH_UNAVAILABLE, "This node cannot vouch for its knowledge at the moment.");
	return refuse(g, KS_OAUTH_INVALID_CLIENT, "client_id and client_secret must be the id and the token of a key that works here.");
}

/* ---- what the token will be narrowed to; each only ever takes away ---- */

static enum ks_oauth_error put_scope(struct grant *g, struct ks_buf *b, struct ks_str name)
{
	uint16_t number;

	if (!ks_scope_find(g->ring->scopes, name, &number) || !ks_scopes_has(ks_decision_scopes(g->d), number))
		return refuse(g, KS_OAUTH_INVALID_SCOPE, "A scope is asked for that the subject does not have.");
	if (b->n > 0)
		ks_buf_put_byte(b, ' ');
	ks_buf_put(b, name);
	return KS_OAUTH_NONE;
}

static enum ks_oauth_error narrow_scope(struct grant *g)
{
	char asked_text[KS_JWS_PAYLOAD_MAX];
	struct ks_buf b = KS_BUF(g->scope);
	struct ks_str asked, name;

	OAUTH_TRY(parameter(g, "scope", asked_text, sizeof(asked_text), &asked));
	/* What a session may depends on the tenant it acts in; unless it asks for less, its JWT may what it may. */
	g->claims.has_scope = !ks_str_empty(asked) || !g->claims.session || (g->d->is_asserted && g->d->assertion.has_scopes);
	if (ks_str_empty(asked) && g->claims.has_scope)
		ks_decision_put_scopes(g->ring, g->d, &b);
	while (asked.n > 0) {
		if (!ks_str_split(asked, ' ', &name, &asked)) {
			name = asked;
			asked = KS_STR("");
		}
		OAUTH_TRY(put_scope(g, &b, name));
	}
	if (!ks_buf_ok(&b))
		return refuse(g, KS_OAUTH_INVALID_SCOPE, "These are more scopes than a token has room for: ask for those that are needed.");
	g->claims.scope = ks_buf_str(&b);
	return KS_OAUTH_NONE;
}

/* One refusal for what is not there and what is not seen. */
static bool sees_tenant(const struct grant *g, struct ks_str text)
{
	enum ks_id_type type;
	uint64_t id;
	uint32_t index;

	if (!ks_id_parse_any(text, &type, &id))
		return false;
	index = ks_ring_tenant(g->ring, id);
	return index != KS_RING_NONE && g->ring->tenants[index].kind == (uint8_t)type
	       && !(atomic_load_explicit(&g->ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_INACTIVE)
	       && ks_decision_sees(g->ring, g->d, index);
}

static enum ks_oauth_error narrow_tenant(struct grant *g)
{
	struct ks_buf b = KS_BUF(g->tenant);
	struct ks_str asked;
	char text[TEXT_MAX];

	OAUTH_TRY(parameter(g, "tenant", text, sizeof(text), &asked));
	if (!ks_str_empty(asked)) {
		if (!sees_tenant(g, asked))
			return refuse(g, KS_OAUTH_INVALID_TARGET, "The tenant is not accessible.");
		ks_buf_put(&b, asked);
	} else if (g->d->is_asserted && g->d->assertion.tenant != 0) {
		ks_decision_put_tenant(g->ring, ks_ring_tenant(g->ring, g->d->assertion.tenant), &b);
	}
	g->claims.tenant = ks_buf_str(&b);
	return KS_OAUTH_NONE;
}

static bool is_family(const struct grant *g, struct ks_str name)
{
	struct ks_engine_policy policy = ks_engine_policy(g->call->api->engine);
	bool known = (policy.platform && ks_policy_family(policy.platform, name)) || (policy.self && ks_policy_family(policy.self, name));

	ks_engine_policy_release(&policy);
	return known;
}

static enum ks_oauth_error narrow_family(struct grant *g)
{
	struct ks_str before = g->d->is_asserted ? ks_str_c(g->d->assertion.family) : KS_STR("");
	struct ks_str asked;

	OAUTH_TRY(parameter(g, "family", g->family, sizeof(g->family), &asked));
	if (!ks_str_empty(asked) && !is_family(g, asked))
		return refuse(g, KS_OAUTH_INVALID_TARGET, "There is no such route family.");
	if (!ks_str_empty(asked) && !ks_str_empty(before) && !ks_str_eq(asked, before))
		return refuse(g, KS_OAUTH_INVALID_TARGET, "The subject is for another route family.");
	g->claims.family = ks_str_empty(asked) ? before : asked;
	return KS_OAUTH_NONE;
}

static bool is_call_id(struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (text.p[i] < 0x21 || text.p[i] > 0x7e)
			return false;
	}
	return text.n <= CALL_ID_MAX;
}

static enum ks_oauth_error narrow_call(struct grant *g)
{
	struct ks_buf none = {0};
	struct ks_str asked, value, before = KS_STR("");

	OAUTH_TRY(parameter(g, "call_id", g->call_id, sizeof(g->call_id), &asked));
	if (!is_call_id(asked))
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "call_id must be 1 to 128 visible ASCII characters.");
	if (g->d->is_asserted && ks_json_member(g->thread->verifier.claims.text, KS_STR("call_id"), &value)
	    && !ks_json_string(value, &none, &before))
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "The subject's call_id cannot be read.");
	if (!ks_str_empty(asked) && !ks_str_empty(before) && !ks_str_eq(asked, before))
		return refuse(g, KS_OAUTH_INVALID_TARGET, "The subject is for another call.");
	g->claims.call_id = ks_str_empty(asked) ? before : asked;
	return KS_OAUTH_NONE;
}

/* True where the subject is a key, which is for every audience, or a JWT that is for this one. */
static bool is_subject_for(const struct grant *g, struct ks_str audience)
{
	return !g->d->is_asserted || ks_claims_check_audience(&g->thread->verifier.claims, audience) == KS_JOSE_OK;
}

/* Those of the subject, where it is a JWT. */
static enum ks_oauth_error inherit_audiences(struct grant *g)
{
	struct ks_buf room = KS_BUF(g->inherited_audiences);
	struct ks_claims_strings at = {0};
	bool malformed = false;
	struct ks_str audience;

	while (g->d->is_asserted && g->claims.audience_count < KS_ISSUER_AUDIENCES_MAX
	       && ks_claims_next(&at, g->thread->verifier.claims.aud, false, &room, &audience, &malformed)) {
		if (ks_issuer_has_audience(g->call->api->engine, audience))
			g->audiences[g->claims.audience_count++] = audience;
	}
	return malformed ? refuse(g, KS_OAUTH_INVALID_REQUEST, "The subject's audiences cannot be read.") : KS_OAUTH_NONE;
}

static enum ks_oauth_error narrow_audience(struct grant *g)
{
	static const char *const names[] = {"audience", "resource"};
	struct ks_str asked;

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		OAUTH_TRY(parameter(g, names[i], g->target_text[i], sizeof(g->target_text[i]), &asked));
		if (ks_str_empty(asked))
			continue;
		if (!ks_issuer_has_audience(g->call->api->engine, asked) || !is_subject_for(g, asked))
			return refuse(g, KS_OAUTH_INVALID_TARGET, "The audience or resource is none that this token may be for.");
		g->audiences[g->claims.audience_count++] = asked;
	}
	if (g->claims.audience_count == 0)
		OAUTH_TRY(inherit_audiences(g));
	g->claims.audiences = g->claims.audience_count > 0 ? g->audiences : NULL;
	return KS_OAUTH_NONE;
}

static enum ks_oauth_error narrow_life(struct grant *g)
{
	const struct ks_api_options *o = &g->call->api->options;
	uint64_t max = o->token_lifetime_max_s ? o->token_lifetime_max_s : LIFETIME_MAX_S;
	uint64_t seconds = KS_MIN(o->token_lifetime_s ? o->token_lifetime_s : (uint64_t)LIFETIME_S, max);
	int64_t ends = atomic_load_explicit(&g->d->key->ends_ms, memory_order_acquire);
	struct ks_str asked;
	char text[TEXT_MAX];

	OAUTH_TRY(parameter(g, "expires_in_s", text, sizeof(text), &asked));
	if (!ks_str_empty(asked) && (!ks_str_to_u64(asked, max, &seconds) || seconds < LIFETIME_MIN_S))
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "expires_in_s must be a whole number of seconds, within the setting issuer.lifetime_max_s.");
	g->claims.expires_ms = KS_MIN(g->claims.now_ms + (int64_t)seconds * 1000, ends);
	if (g->d->is_asserted)
		g->claims.expires_ms = KS_MIN(g->claims.expires_ms, g->d->assertion.expires_ms);
	if (g->claims.expires_ms / 1000 <= g->claims.now_ms / 1000)
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "The subject ends within this second.");
	return KS_OAUTH_NONE;
}

static void identify(struct grant *g)
{
	struct ks_buf subject = KS_BUF(g->subject), actor = KS_BUF(g->actor);

	g->claims.session = KS_KEY_KIND(g->d->state) == KS_KIND_SESSION;
	g->claims.ref = g->d->key->digest;
	g->claims.now_ms = g->call->exchange->now_ms;
	ks_decision_put_principal(g->ring, g->d, &subject);
	g->claims.subject = ks_buf_str(&subject);
	if (!g->claims.session) {
		ks_id_format(KS_ID_KEY, g->d->key->id, g->key);
		g->claims.client = ks_str_c(g->key);
	}
	/* Who acts in an organization that is not its own. */
	if (KS_KEY_KIND(g->d->state) == KS_KIND_PARTNER) {
		ks_decision_put_tenant(g->ring, g->d->key->tenant, &actor);
		g->claims.actor = ks_buf_str(&actor);
	}
}

static enum ks_oauth_error narrow(struct grant *g)
{
	OAUTH_TRY(take_rate(g));
	identify(g);
	OAUTH_TRY(narrow_scope(g));
	OAUTH_TRY(narrow_tenant(g));
	OAUTH_TRY(narrow_family(g));
	OAUTH_TRY(narrow_call(g));
	OAUTH_TRY(narrow_audience(g));
	return narrow_life(g);
}

/* ---- the two grants ---- */

static enum ks_oauth_error by_client_credentials(struct grant *g)
{
	if (ks_str_empty(g->client.id) || ks_str_empty(g->client.secret))
		return refuse(g, KS_OAUTH_INVALID_CLIENT, "client_id and client_secret must be given, by Basic or in the form.");
	OAUTH_TRY(authenticate(g));
	return narrow(g);
}

/* What the request calls its subject must be what it is. */
static bool type_fits(struct ks_str type, enum ks_token_form form)
{
	if (ks_str_eq(type, KS_STR(TYPE_JWT)))
		return form == KS_TOKEN_JWT;
	if (ks_str_eq(type, KS_STR(TYPE_KEY)))
		return form == KS_TOKEN_OWN || form == KS_TOKEN_FOREIGN;
	return ks_str_eq(type, KS_STR(TYPE_ACCESS_TOKEN));
}

static enum ks_oauth_error check_types(struct grant *g, struct ks_str subject)
{
	char text[TEXT_MAX];
	struct ks_str type;

	OAUTH_TRY(parameter(g, "actor_token", text, sizeof(text), &type));
	if (!ks_str_empty(type))
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "actor_token is not taken: a partner's key names the partner as actor by itself.");
	OAUTH_TRY(parameter(g, "requested_token_type", text, sizeof(text), &type));
	if (!ks_str_empty(type) && !ks_str_eq(type, KS_STR(TYPE_ACCESS_TOKEN)) && !ks_str_eq(type, KS_STR(TYPE_JWT)))
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "requested_token_type can be " TYPE_ACCESS_TOKEN " or " TYPE_JWT ".");
	OAUTH_TRY(parameter(g, "subject_token_type", text, sizeof(text), &type));
	if (!type_fits(type, ks_token_form(subject)))
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "subject_token_type must be given and say what subject_token is.");
	return KS_OAUTH_NONE;
}

/* RFC 8693, 2.2.2: whatever is wrong with the subject is invalid_request. */
static enum ks_oauth_error exchange_subject(struct grant *g, struct ks_str subject)
{
	OAUTH_TRY(check_types(g, subject));
	if (!decide(g, subject)) {
		if (g->d->reason == KS_REASON_STALE)
			return refuse(g, KS_OAUTH_UNAVAILABLE, "This node cannot vouch for its knowledge at the moment.");
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "subject_token is not accepted.");
	}
	if (g->d->is_asserted && g->d->assertion.kind == KS_ASSERTION_FEDERATED)
		return refuse(g, KS_OAUTH_INVALID_REQUEST, "Tokens of other issuers are not exchanged.");
	/* Who also says who it is must be who it is. */
	if (!ks_str_empty(g->client.id) && !is_client_the_key(g))
		return refuse(g, KS_OAUTH_INVALID_CLIENT, "The client is not the key that the subject is of.");
	return narrow(g);
}

static enum ks_oauth_error by_exchange(struct grant *g)
{
	char text[KS_CREDENTIAL_MAX];
	enum ks_oauth_error error;
	struct ks_str subject;

	if (!ks_str_empty(g->client.secret))
		OAUTH_TRY(authenticate(g));
	error = parameter(g, "subject_token", text, sizeof(text), &subject);
	if (error == KS_OAUTH_NONE)
		error = exchange_subject(g, subject);
	ks_wipe(text, sizeof(text));
	return error;
}

static const struct {
	struct ks_str name;
	enum ks_oauth_error (*run)(struct grant *g);
	bool is_exchange;
} grants[] = {
	{KS_STR("client_credentials"), by_client_credentials, false},
	{KS_STR("urn:ietf:params:oauth:grant-type:token-exchange"), by_exchange, true},
};

/* ---- the answer ---- */

static enum ks_finish answer(struct grant *g, bool is_exchange, struct ks_str token)
{
	struct ks_json *out = &g->call->out;

	ks_json_open(out, '{');
	ks_json_put_str(out, "access_token", token);
	if (is_exchange)
		ks_json_put_c(out, "issued_token_type", TYPE_ACCESS_TOKEN);
	ks_json_put_c(out, "token_type", "Bearer");
	ks_json_put_u64(out, "expires_in", (uint64_t)(g->claims.expires_ms / 1000 - g->claims.now_ms / 1000));
	if (g->claims.has_scope)
		ks_json_put_str(out, "scope", g->claims.scope);
	ks_json_close(out, '}');
	g->call->wipe = true;
	ks_exchange_answer_header(g->call->exchange, KS_STR("Pragma"), KS_STR("no-cache"));
	return ks_call_answer(g->call, 200);
}

static enum ks_finish mint(struct grant *g, bool is_exchange)
{
	char token[KS_ISSUER_JWT_MAX];
	struct ks_buf b = KS_BUF(token);
	enum ks_err err = ks_issuer_mint(g->call->api->engine, &g->claims, &b);
	enum ks_finish finish;

	if (err == KS_OK)
		finish = answer(g, is_exchange, ks_buf_str(&b));
	else if (err == KS_TOO_LARGE)
		finish = ks_oauth_refuse(g->call, KS_OAUTH_INVALID_SCOPE, "The token would be too large: ask for fewer scopes.");
	else
		finish = ks_oauth_refuse(g->call, KS_OAUTH_FAILED, "The token could not be signed.");
	ks_wipe(token, sizeof(token));
	return finish;
}

static enum ks_finish serve(struct grant *g)
{
	char text[TEXT_MAX];
	struct ks_str type;
	enum ks_oauth_error error = parameter(g, "grant_type", text, sizeof(text), &type);

	if (error != KS_OAUTH_NONE)
		return ks_oauth_refuse(g->call, error, g->why);
	if (ks_str_empty(type))
		return ks_oauth_refuse(g->call, KS_OAUTH_INVALID_REQUEST, "grant_type must be given.");
	if (ks_oauth_client(g->call, &g->client) != KS_OAUTH_NONE)
		return ks_oauth_refuse(g->call, KS_OAUTH_INVALID_REQUEST,
				       "The client must present itself by Basic or in the form, in one of these ways alone.");
	for (size_t i = 0; i < KS_ARRAY_LEN(grants); i++) {
		if (!ks_str_eq(grants[i].name, type))
			continue;
		error = grants[i].run(g);
		return error == KS_OAUTH_NONE ? mint(g, grants[i].is_exchange) : ks_oauth_refuse(g->call, error, g->why);
	}
	return ks_oauth_refuse(g->call, KS_OAUTH_UNSUPPORTED_GRANT_TYPE, "grant_type can be client_credentials or token-exchange.");
}

enum ks_finish ks_api_token(struct ks_call *call)
{
	struct ks_api_thread *thread = ks_api_thread(call->api);
	struct grant g = {.call = call, .thread = thread, .ring = ks_call_ring(call), .d = &thread->decision, .why = ""};
	enum ks_finish finish;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	if (!g.ring)
		return ks_oauth_refuse(call, KS_OAUTH_UNAVAILABLE, "This node cannot vouch for its knowledge at the moment.");
	finish = serve(&g);
	ks_wipe(&g.client, sizeof(g.client));
	return finish;
}
