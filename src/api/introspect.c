/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 7662 introspection and RFC 7009 revocation: for gateways and clients that speak OAuth. Of keys' tokens and of JWTs. */
#include <stdlib.h>

#include "api/oauth.h"
#include "base/secret.h"
#include "engine/people.h"

#define TOKEN_MAX KS_CREDENTIAL_MAX

/* The `token` of the form; false: answered. */
static bool token_of(struct ks_call *call, char storage[TOKEN_MAX], struct ks_str *ret_token)
{
	if (ks_form_get(call->exchange->body, "token", storage, TOKEN_MAX, ret_token) == KS_FORM_FOUND)
		return true;
	ks_in_problem(&call->in, "/token", "", "Exactly one token must be given.");
	(void)ks_call_problem(call, KS_PROBLEM_INVALID, NULL);
	return false;
}

/* Decides on the token alone. Introspecting is no use of the key: nothing is counted. */
static bool decide_alone(struct ks_call *call, struct ks_str token, struct ks_ring *ret_quiet, struct ks_decision **ret_decision)
{
	struct ks_api_thread *thread = ks_api_thread(call->api);
	const struct ks_ring *ring = ks_call_ring(call);
	struct ks_request request = {.credential = &thread->credential, .credential_alone = true, .now_ms = call->exchange->now_ms};
	struct ks_decision *d = &thread->decision;

	if (!ring) {
		(void)ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
		return false;
	}
	*ret_quiet = *ring;
	ret_quiet->usage = NULL;
	ks_credential_init(&thread->credential);
	ks_credential_header(&thread->credential, token, KS_KINDS_ANY);
	ks_present_jwt(thread, ret_quiet, KS_JWT_AUDIENCE_ANY, &request);
	ks_decide(ret_quiet, KS_RING_POLICY_PLATFORM, &request, &thread->path, d);
	ks_credential_wipe(&thread->credential);
	*ret_decision = d;
	return true;
}

static bool is_seen(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *d)
{
	return d->key
	       && (call->actor.local || call->actor.is_operator
		   || ks_actor_sees(&call->actor, ring, ring->tenants[d->key->tenant].id));
}

/* An address list does not make a token inactive: the introspecting party knows the address, we do not. */
static bool is_active(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *d)
{
	return (d->reason == KS_REASON_OK || d->reason == KS_REASON_ADDRESS_NOT_ALLOWED) && is_seen(call, ring, d);
}

/* ---- introspection ---- */

/* What stands in the JWT itself, as it stands there. */
static void put_claims(struct ks_json *out, const struct ks_claims *claims)
{
	static const char *const names[] = {"iss", "aud", "iat", "nbf", "jti", "act", "family", "call_id"};
	struct ks_str value;

	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		if (ks_json_member(claims->text, ks_str_c(names[i]), &value))
			ks_json_put_raw(out, names[i], value);
	}
}

static void put_scope(struct ks_json *out, const struct ks_ring *ring, const struct ks_decision *d)
{
	char *text = malloc(KS_DECISION_SCOPES_TEXT_MAX);
	struct ks_buf b = ks_buf_of(text, KS_DECISION_SCOPES_TEXT_MAX);

	if (!text) {
		out->failed = true;
		return;
	}
	ks_decision_put_scopes(ring, d, &b);
	ks_json_put_str(out, "scope", ks_buf_str(&b));
	free(text);
}

static void put_identity(struct ks_json *out, const struct ks_ring *ring, const struct ks_decision *d)
{
	char text[KS_ID_TEXT_SIZE];
	struct ks_buf b = KS_BUF(text);
	uint32_t tenant = d->root == KS_RING_NONE ? d->key->tenant : d->root;

	if (KS_KEY_KIND(d->state) != KS_KIND_SESSION)
		ks_json_put_id(out, "client_id", KS_ID_KEY, d->key->id);
	ks_decision_put_principal(ring, d, &b);
	ks_json_put_str(out, "sub", ks_buf_str(&b));
	ks_json_put_c(out, "token_type", "Bearer");
	ks_json_put_c(out, "keystile_kind", ks_kind_text(KS_KEY_KIND(d->state)));
	ks_json_put_c(out, "keystile_environment", ks_environment_text(KS_KEY_ENVIRONMENT(d->state)));
	b = KS_BUF(text);
	ks_decision_put_tenant(ring, tenant, &b);
	ks_json_put_str(out, "keystile_tenant", ks_buf_str(&b));
}

static void put_active(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *d)
{
	int64_t ends = atomic_load_explicit(&d->key->ends_ms, memory_order_acquire);
	struct ks_json *out = &call->out;

	put_scope(out, ring, d);
	put_identity(out, ring, d);
	if (d->is_asserted) {
		ends = KS_MIN(ends, d->assertion.expires_ms);
		put_claims(out, &ks_api_thread(call->api)->verifier.claims);
	}
	if (ends != INT64_MAX)
		ks_json_put_u64(out, "exp", (uint64_t)(ends / 1000));
}

enum ks_finish ks_api_introspect(struct ks_call *call)
{
	struct ks_json *out = &call->out;
	char storage[TOKEN_MAX];
	struct ks_str token;
	struct ks_decision *d;
	struct ks_ring ring;
	bool decided, active;

	decided = token_of(call, storage, &token) && decide_alone(call, token, &ring, &d);
	ks_wipe(storage, sizeof(storage));
	if (!decided)
		return KS_FINISH_DONE;
	active = is_active(call, &ring, d);
	ks_json_open(out, '{');
	ks_json_put_bool(out, "active", active);
	if (active)
		put_active(call, &ring, d);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

/* ---- revocation ---- */

/* What is to end: a key, or a session of a user. */
struct ending {
	uint64_t id;
	uint64_t user;  /* 0: a key */
};

static enum ks_err run_revoke(struct ks_call *call, struct ks_tx *tx)
{
	const struct ending *ending = call->extra;

	ks_json_raw(&call->out, KS_STR("{}"));
	if (ending->user)
		return ks_sessions_end(tx, &call->actor, ending->user, ending->id, &call->job.refusal);
	return ks_keys_revoke(tx, &call->actor, ending->id, &call->job.refusal);
}

static enum ks_finish revoke(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *d)
{
	const struct ks_ring_tenant *own = &ring->tenants[d->key->tenant];
	struct ending *ending = calloc(1, sizeof(*ending));

	if (!ending)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ending->id = d->key->id;
	if (KS_KEY_KIND(d->state) == KS_KIND_SESSION && own->user != KS_RING_NONE)
		ending->user = ring->users[own->user].id;
	call->extra = ending;
	return ks_call_write(call, run_revoke, 200);
}

/* A JWT of a session is as good as the session itself; the others are made, or issued elsewhere, for a while. */
static bool is_revocable(const struct ks_decision *d)
{
	return !d->is_asserted || d->assertion.kind == KS_ASSERTION_SESSION;
}

/* RFC 7009 section 2.2: also for a token that is unknown the answer is 200, so that it tells nothing. */
enum ks_finish ks_api_revoke(struct ks_call *call)
{
	char storage[TOKEN_MAX];
	struct ks_str token;
	struct ks_decision *d;
	struct ks_ring ring;
	bool decided;

	decided = token_of(call, storage, &token) && decide_alone(call, token, &ring, &d);
	ks_wipe(storage, sizeof(storage));
	if (!decided)
		return KS_FINISH_DONE;
	/* A session's bare token is no access token, and none here. */
	if (!is_seen(call, &ring, d) || (KS_KEY_KIND(d->state) == KS_KIND_SESSION && !d->is_asserted)) {
		ks_json_raw(&call->out, KS_STR("{}"));
		return ks_call_answer(call, 200);
	}
	/* No list of revoked JWTs is kept: an exchanged one ends soon, or with its key. */
	if (!is_revocable(d))
		return ks_oauth_refuse(call, KS_OAUTH_UNSUPPORTED_TOKEN_TYPE,
				       "This JWT is not revoked by itself: it ends by its own time, or with the key that it was made from.");
	return revoke(call, &ring, d);
}
