/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/session/oidc/…: logins with an identity provider, by a browser. They end in the same session as any other login. */
#include <stdlib.h>

#include "api/federation.h"
#include "api/html.h"
#include "api/login.h"
#include "base/secret.h"

#define COOKIE_SECURE "__Secure-keystile-login"
#define COOKIE_PLAIN "keystile_login"
/* Lax: the browser comes back from another site. */
#define COOKIE_ATTRIBUTES "; Path=/v1/session/oidc; HttpOnly; SameSite=Lax"

static struct ks_str cookie_name(const struct ks_call *call)
{
	return ks_cookie_is_secure(call->api, call->exchange) ? KS_STR(COOKIE_SECURE) : KS_STR(COOKIE_PLAIN);
}

/* Empty: removes it. */
static void set_cookie(struct ks_call *call, struct ks_str value)
{
	struct ks_exchange *x = call->exchange;
	struct ks_buf *text = &x->text;
	size_t at = text->n;

	ks_buf_put(text, cookie_name(call));
	ks_buf_put_byte(text, '=');
	ks_buf_put(text, value);
	ks_buf_put_c(text, COOKIE_ATTRIBUTES);
	ks_buf_printf(text, "; Max-Age=%d", ks_str_empty(value) ? 0 : (int)(KS_OIDC_LIFETIME_MS / 1000));
	if (ks_cookie_is_secure(call->api, x))
		ks_buf_put_c(text, "; Secure");
	if (ks_buf_ok(text))
		ks_exchange_answer_header(x, KS_STR("Set-Cookie"), ks_str_of(text->p + at, text->n - at));
}

static enum ks_finish refuse(struct ks_call *call, enum ks_oidc_result result, const char *detail)
{
	char text[160];
	struct ks_buf b = KS_BUF(text);

	ks_buf_put_c(&b, ks_oidc_code(result));
	if (detail && detail[0]) {
		ks_buf_put_c(&b, ": ");
		ks_buf_put_c(&b, detail);
	}
	ks_api_log(call->api, 1, "login_refused", ks_buf_z(&b));
	switch (result) {
	case KS_OIDC_UNKNOWN:
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	case KS_OIDC_UNAVAILABLE:
		return ks_call_problem(call, KS_PROBLEM_PROVIDER_UNAVAILABLE, NULL);
	case KS_OIDC_INTERNAL:
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	default:
		ks_api_count_login(KS_LOGIN_FAILED);
		return ks_call_problem(call, KS_PROBLEM_LOGIN_FAILED, "The identity provider's answer led to no login.");
	}
}

/* ---- start ---- */

struct starting {
	uint64_t provider;
	char return_to[KS_OIDC_RETURN_MAX + 1];
	struct ks_oidc_begun begun;
};

/* A path of ours, in characters that mean nothing in a page. */
static bool is_path(struct ks_str path)
{
	if (path.n == 0 || path.p[0] != '/' || (path.n > 1 && path.p[1] == '/'))
		return false;
	for (size_t i = 0; i < path.n; i++) {
		char c = path.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
		      || ks_str_find(KS_STR("/-_.~?=%#"), c) != SIZE_MAX))
			return false;
	}
	return true;
}

static enum ks_finish start(struct ks_call *call)
{
	struct starting *s = call->extra;
	struct ks_exchange *x = call->exchange;
	struct ks_buf *text = &x->text;
	enum ks_oidc_result result = ks_oidc_begin(call->api->options.federation, call->reader, s->provider,
						   ks_str_c(s->return_to), x->now_ms, &s->begun);
	size_t at;

	if (result != KS_OIDC_OK)
		return refuse(call, result, NULL);
	set_cookie(call, ks_str_c(s->begun.cookie));
	at = text->n;
	ks_buf_put_c(text, s->begun.url);
	if (!ks_buf_ok(text))
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_exchange_answer_header(x, KS_STR("Location"), ks_str_of(text->p + at, text->n - at));
	x->status = 303;
	return KS_FINISH_DONE;
}

enum ks_finish ks_api_oidc_start(struct ks_call *call)
{
	static const char *const known[] = {"return_to", NULL};
	struct starting *s = calloc(1, sizeof(*s));
	struct ks_str path = KS_STR("/");
	enum ks_finish answered;

	if (!s)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = s;
	ks_call_query_known(call, known);
	(void)ks_call_query(call, "return_to", s->return_to, sizeof(s->return_to) - 1, &path);
	if (!is_path(path))
		ks_call_query_problem(call, "return_to", "This must be a path on this host.");
	if (ks_call_invalid(call, &answered))
		return answered;
	memmove(s->return_to, path.p, path.n);
	s->return_to[path.n] = '\0';
	if (!ks_id_parse(call->params[0], KS_ID_IDENTITY_PROVIDER, &s->provider))
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	return ks_call_outside(call, start);
}

/* ---- callback ---- */

struct finishing {
	struct ks_call *call;
	struct ks_oidc_answer answer;
	struct ks_oidc_finished finished;
	struct ks_session_made made;
	uint64_t user;
	char address[KS_ADDR_TEXT_SIZE];
	char state[64], code[KS_OIDC_CODE_MAX], error[128], iss[KS_STORE_ISSUER_MAX + 1];
};

static void drop(struct ks_call *call)
{
	if (call->extra)
		ks_wipe(call->extra, sizeof(struct finishing));
	free(call->extra);
}

/* Providers may send more parameters; of ours each once. */
static bool read_query(struct ks_call *call, struct finishing *f)
{
	const struct {
		const char *name;
		char *storage;
		size_t cap;
		struct ks_str *value;
	} parameters[] = {
		{"state", f->state, sizeof(f->state), &f->answer.state},
		{"code", f->code, sizeof(f->code), &f->answer.code},
		{"error", f->error, sizeof(f->error), &f->answer.error},
		{"iss", f->iss, sizeof(f->iss), &f->answer.iss},
	};

	for (size_t i = 0; i < KS_ARRAY_LEN(parameters); i++) {
		enum ks_form form = ks_form_get(ks_exchange_query(call->exchange), parameters[i].name,
						parameters[i].storage, parameters[i].cap, parameters[i].value);

		if (form != KS_FORM_ABSENT && form != KS_FORM_FOUND)
			return false;
	}
	return ks_cookie_find(call->exchange, cookie_name(call), &f->answer.cookie) == 1;
}

static enum ks_err find_user(struct ks_job *job, struct ks_tx *tx)
{
	struct finishing *f = job->ctx;

	return ks_identities_find_user(tx, &f->finished.claim, &f->user, &job->refusal);
}

/* Apart: a user who is new must have reached the ring. */
static enum ks_err start_session(struct ks_job *job, struct ks_tx *tx)
{
	struct finishing *f = job->ctx;
	const struct ks_session_input input = {
		.user = f->user,
		.method = KS_SESSION_METHOD_OIDC,
		.address = ks_str_c(f->address),
		.agent = ks_exchange_header(f->call->exchange, KS_STR("User-Agent"), NULL),
		.request_id = ks_str_c(f->call->exchange->request_id),
		.replaces = ks_session_replaced(f->call, tx->ring),
	};

	return ks_sessions_start(tx, &input, &f->made, &job->refusal);
}

/* The session's cookie goes along only where our own page leads: a redirect would still count as the other site's. */
static enum ks_finish answer_page(struct ks_call *call, const struct finishing *f)
{
	struct ks_str to = ks_str_c(f->finished.return_to);
	struct ks_html html;

	call->wipe = true;
	if (ks_html_begin(&html, KS_STR("Logged in"), to) != KS_OK)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_cookie_set(call, ks_str_c(f->made.token));
	set_cookie(call, KS_STR(""));
	ks_html_raw(&html, "<h1>You are logged in.</h1>\n<p><a href=\"");
	ks_html_text(&html, to);
	ks_html_raw(&html, "\">Go on</a></p>\n");
	return ks_html_answer(call, &html, 200);
}

static enum ks_finish finish(struct ks_call *call)
{
	struct finishing *f = call->extra;
	struct ks_job finding = {.run = find_user, .ctx = f}, starting = {.run = start_session, .ctx = f};
	enum ks_oidc_result result = ks_oidc_finish(call->api->options.federation, call->reader, &f->answer,
						    call->exchange->now_ms, &f->finished);
	enum ks_err err;

	if (result != KS_OIDC_OK) {
		set_cookie(call, KS_STR(""));
		return refuse(call, result, f->finished.detail);
	}
	ks_call_address(call, f->address);
	f->finished.claim.address = ks_str_c(f->address);
	f->finished.claim.request_id = ks_str_c(call->exchange->request_id);
	err = ks_engine_run(call->api->engine, &finding);
	if (err == KS_OK)
		err = ks_engine_run(call->api->engine, &starting);
	if (err == KS_FORBIDDEN)
		return refuse(call, KS_OIDC_DENIED, "no user");
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_api_count_login(KS_LOGIN_OK);
	return answer_page(call, f);
}

enum ks_finish ks_api_oidc_callback(struct ks_call *call)
{
	struct finishing *f = calloc(1, sizeof(*f));

	if (!f)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	f->call = call;
	call->extra = f;
	call->drop = drop;
	if (!read_query(call, f))
		return refuse(call, KS_OIDC_STATE, NULL);
	return ks_call_outside(call, finish);
}
