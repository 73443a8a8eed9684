/* SPDX-License-Identifier: Apache-2.0 */
/* Our own issuer as others see it: its keys (RFC 7517) and metadata (RFC 8414), open to all; and its keys' life, for the
 * operator. */
#include "engine/issuer.h"

#include <stdlib.h>

#include "api/api_priv.h"

/* Whoever keeps the JWKS longer would miss a key that signs. */
#define JWKS_KEPT_MAX_S 300

/* ---- for everybody ---- */

static void put_cache_control(struct ks_call *call)
{
	const struct ks_engine_options *options = ks_engine_options(call->api->engine);
	struct ks_exchange *x = call->exchange;
	size_t at = x->text.n;

	ks_buf_put_c(&x->text, "public, max-age=");
	ks_buf_put_i64(&x->text, KS_MIN(options->issuer.publish_ms / 2000, (int64_t)JWKS_KEPT_MAX_S));
	ks_exchange_answer_header(x, KS_STR("Cache-Control"), ks_str_of(x->text.p + at, x->text.n - at));
}

static void put_jwk(void *ctx, const struct ks_issuer_key_view *key)
{
	ks_json_raw(ctx, key->public_jwk);
}

enum ks_finish ks_api_jwks(struct ks_call *call)
{
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "keys");
	ks_json_open(&call->out, '[');
	ks_issuer_keys(call->api->engine, put_jwk, &call->out);
	ks_json_close(&call->out, ']');
	ks_json_close(&call->out, '}');
	put_cache_control(call);
	return ks_call_answer(call, 200);
}

static void put_url(struct ks_call *call, const char *name, const char *path)
{
	char text[KS_ENGINE_ISSUER_NAME_SIZE + 64];
	struct ks_buf b = KS_BUF(text);

	ks_buf_put(&b, ks_issuer_name(call->api->engine));
	ks_buf_put_c(&b, path);
	ks_json_put_str(&call->out, name, ks_buf_str(&b));
}

static void put_texts(struct ks_json *out, const char *name, const char *const *texts)
{
	ks_json_name(out, name);
	ks_json_open(out, '[');
	for (size_t i = 0; texts[i]; i++)
		ks_json_c(out, texts[i]);
	ks_json_close(out, ']');
}

struct algorithms {
	struct ks_json *out;
	bool seen[KS_SIGN_ALG_COUNT];
};

static void put_algorithm(void *ctx, const struct ks_issuer_key_view *key)
{
	struct algorithms *a = ctx;
	enum ks_sign_alg alg;

	if (!ks_sign_alg_parse(key->algorithm, &alg) || a->seen[alg])
		return;
	a->seen[alg] = true;
	ks_json_str(a->out, key->algorithm);
}

enum ks_finish ks_api_oauth_metadata(struct ks_call *call)
{
	static const char *const none[] = {NULL};
	static const char *const bearer[] = {"Bearer", NULL};
	static const char *const methods[] = {"client_secret_basic", "client_secret_post", "none", NULL};
	static const char *const grants[] = {"client_credentials", "urn:ietf:params:oauth:grant-type:token-exchange", NULL};
	struct algorithms algorithms = {.out = &call->out};
	struct ks_json *out = &call->out;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_json_open(out, '{');
	ks_json_put_str(out, "issuer", ks_issuer_name(call->api->engine));
	put_url(call, "jwks_uri", "/.well-known/jwks.json");
	put_url(call, "token_endpoint", "/v1/token");
	put_url(call, "introspection_endpoint", "/v1/introspect");
	put_url(call, "revocation_endpoint", "/v1/revoke");
	put_texts(out, "response_types_supported", none);
	put_texts(out, "grant_types_supported", grants);
	put_texts(out, "token_endpoint_auth_methods_supported", methods);
	put_texts(out, "introspection_endpoint_auth_methods_supported", bearer);
	put_texts(out, "revocation_endpoint_auth_methods_supported", bearer);
	ks_json_name(out, "access_token_signing_alg_values_supported");
	ks_json_open(out, '[');
	ks_issuer_keys(call->api->engine, put_algorithm, &algorithms);
	ks_json_close(out, ']');
	ks_json_close(out, '}');
	put_cache_control(call);
	return ks_call_answer(call, 200);
}

/* ---- for the operator ---- */

/* False: answered. The issuer is the whole service's: whoever acts within a tenant has no say. */
static bool is_operator(struct ks_call *call)
{
	const struct ks_ring *ring = ks_call_ring(call);

	/* The operator is the root: the first tenant of every ring. */
	if (call->actor.local || (ring && ks_actor_sees(&call->actor, ring, ring->tenants[0].id)))
		return true;
	(void)ks_call_tenant_forbidden(call);
	return false;
}

struct showing {
	struct ks_call *call;
	struct ks_json *out;
};

static enum ks_err put_key(void *ctx, const struct ks_issuer_key_row *row)
{
	struct showing *s = ctx;
	struct ks_issuer_key_view key;

	ks_issuer_view(s->call->api->engine, row, &key);
	ks_json_open(s->out, '{');
	ks_json_put_str(s->out, "kid", key.kid);
	ks_json_put_str(s->out, "algorithm", key.algorithm);
	ks_json_put_c(s->out, "state", ks_issuer_key_state_text(key.state));
	ks_json_put_time(s->out, "created_at", key.created_at);
	ks_json_put_time(s->out, "signs_from", key.signs_from);
	ks_json_put_time(s->out, "retired_at", key.retired_at);
	ks_json_put_time(s->out, "published_until", key.published_until);
	ks_json_close(s->out, '}');
	return KS_OK;
}

static enum ks_err put_issuer(struct ks_call *call, struct ks_store *store)
{
	const struct ks_engine_issuer *issuer = &ks_engine_options(call->api->engine)->issuer;
	struct showing showing = {.call = call, .out = &call->out};
	enum ks_err err;

	ks_json_open(&call->out, '{');
	ks_json_put_c(&call->out, "issuer", issuer->name);
	ks_json_name(&call->out, "audiences");
	ks_json_open(&call->out, '[');
	ks_json_c(&call->out, issuer->name);
	for (size_t i = 0; i < issuer->audience_count; i++)
		ks_json_c(&call->out, issuer->audiences[i]);
	ks_json_close(&call->out, ']');
	ks_json_name(&call->out, "keys");
	ks_json_open(&call->out, '[');
	err = ks_store_issuer_keys(store, put_key, &showing);
	ks_json_close(&call->out, ']');
	ks_json_close(&call->out, '}');
	return err;
}

enum ks_finish ks_api_issuer_show(struct ks_call *call)
{
	enum ks_err err;

	if (!is_operator(call) || !ks_call_no_query(call))
		return KS_FINISH_DONE;
	err = put_issuer(call, call->reader->store);
	return ks_call_answer_read(call, err);
}

static enum ks_err run_rotate(struct ks_call *call, struct ks_tx *tx)
{
	const enum ks_issuer_rotation *how = call->extra;

	KS_TRY(ks_issuer_rotate(tx, &call->actor, *how, &call->job.refusal));
	return put_issuer(call, tx->store);
}

enum ks_finish ks_api_issuer_rotate(struct ks_call *call)
{
	static const char *const known[] = {"now", "withdraw", NULL};
	enum ks_issuer_rotation *how;
	enum ks_finish finish;
	bool now = false, withdraw = false;

	if (!is_operator(call))
		return KS_FINISH_DONE;
	if (call->body) {
		ks_in_known(&call->in, call->body, "", known);
		(void)ks_in_bool(&call->in, call->body, "", "now", &now);
		(void)ks_in_bool(&call->in, call->body, "", "withdraw", &withdraw);
	}
	if (ks_call_invalid(call, &finish))
		return finish;
	how = malloc(sizeof(*how));
	if (!how)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	*how = withdraw ? KS_ISSUER_ROTATE_WITHDRAW : now ? KS_ISSUER_ROTATE_NOW : KS_ISSUER_ROTATE;
	call->extra = how;
	return ks_call_write(call, run_rotate, 200);
}
