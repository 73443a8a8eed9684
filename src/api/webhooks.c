/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/webhooks/verify: is this request genuine? Nothing of it is kept. */
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/ctenc.h"
#include "base/json.h"
#include "base/secret.h"
#include "engine/platforms.h"
#include "hooksig/hooksig.h"

#define BODY_MAX ((size_t)4 << 20) /* of the webhook */
#define NOW_MAX UINT64_C(253402300799)

/* What is asked, borrowed from the body of the call but for what is decoded. */
struct question {
	struct ks_hooksig_request request;
	struct ks_hooksig_header headers[KS_HOOKSIG_HEADERS_MAX];
	struct ks_str certs[KS_HOOKSIG_CERTS_MAX];
	int64_t now_ms;
	char *bytes;          /* the body, then room for the decision */
	size_t body_n, room_n;
};

static void free_question(struct question *q)
{
	if (q && q->bytes) {
		ks_wipe(q->bytes, q->body_n + q->room_n);
		free(q->bytes);
	}
	free(q);
}

static void free_question_at(struct question **q)
{
	free_question(*q);
}

static struct ks_str text_of(const json_t *value)
{
	return ks_str_of(json_string_value(value), json_string_length(value));
}

/* ---- reading ---- */

static void read_headers(struct ks_in *in, const json_t *object, struct question *q)
{
	const json_t *headers = json_object_get(object, "headers");
	size_t n = json_array_size(headers);

	if (!json_is_array(headers) || n > KS_HOOKSIG_HEADERS_MAX) {
		ks_in_problem(in, "/request", "headers", "This must be an array of at most %d pairs [name, value].", KS_HOOKSIG_HEADERS_MAX);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		const json_t *pair = json_array_get(headers, i);

		if (json_array_size(pair) != 2 || !json_is_string(json_array_get(pair, 0)) || !json_is_string(json_array_get(pair, 1))) {
			ks_in_problem(in, "/request", "headers", "Each header is an array of two texts, name and value.");
			return;
		}
		q->headers[i] = (struct ks_hooksig_header){text_of(json_array_get(pair, 0)), text_of(json_array_get(pair, 1))};
	}
	q->request.headers = q->headers;
	q->request.header_count = n;
}

static void read_certs(struct ks_in *in, const json_t *object, struct question *q)
{
	const json_t *certs = json_object_get(object, "client_cert_chain_pem");
	size_t n = json_array_size(certs);

	if (!certs || json_is_null(certs))
		return;
	if (!json_is_array(certs) || n > KS_HOOKSIG_CERTS_MAX) {
		ks_in_problem(in, "/request", "client_cert_chain_pem", "This must be an array of at most %d certificates in PEM.", KS_HOOKSIG_CERTS_MAX);
		return;
	}
	for (size_t i = 0; i < n; i++)
		q->certs[i] = text_of(json_array_get(certs, i));
	q->request.certs = q->certs;
	q->request.cert_count = n;
}

static void read_body(struct ks_in *in, const json_t *object, struct question *q)
{
	struct ks_str text = ks_in_str(in, object, "/request", "body_base64", BODY_MAX / 3 * 4 + 4, false);
	size_t n = text.n / 4 * 3;

	q->body_n = n;
	q->room_n = ks_hooksig_room(n);
	q->bytes = malloc(q->body_n + q->room_n);
	if (!q->bytes)
		return;
	if (text.n > 0 && !ks_base64_decode(text, (unsigned char *)q->bytes, n, &n))
		ks_in_problem(in, "/request", "body_base64", "This must be base64 with padding.");
	q->request.body = ks_str_of(q->bytes, n);
}

static void read_request(struct ks_in *in, const json_t *body, struct question *q)
{
	static const char *const known[] = {"method", "url", "headers", "body_base64", "source_ip", "client_cert_chain_pem", NULL};
	const json_t *object = json_object_get(body, "request");

	if (!json_is_object(object)) {
		ks_in_problem(in, "", "request", "This must be an object with method, url, headers and body_base64.");
		return;
	}
	ks_in_known(in, object, "/request", known);
	q->request.method = ks_in_str(in, object, "/request", "method", 32, true);
	q->request.url = ks_in_str(in, object, "/request", "url", KS_HOOKSIG_URL_MAX, true);
	q->request.source_ip = ks_in_str(in, object, "/request", "source_ip", 64, false);
	read_headers(in, object, q);
	read_certs(in, object, q);
	read_body(in, object, q);
}

static void read_question(struct ks_call *call, struct question *q)
{
	/* The last eleven are of the public vectors, which are taken as they are; they decide nothing. */
	static const char *const known[] = {"scheme", "params", "request", "now", "id", "platform", "case", "level", "expect", "reason",
					    "made_by", "sdk_verdict", "verified_by", "response", "source", NULL};
	uint64_t now = 0;

	ks_in_known(&call->in, call->body, "", known);
	if (!json_is_object(json_object_get(call->body, "params")))
		ks_in_problem(&call->in, "", "params", "This must be an object: the settings of the scheme.");
	read_request(&call->in, call->body, q);
	q->now_ms = call->exchange->now_ms;
	if (ks_in_u64(&call->in, call->body, "", "now", 0, NOW_MAX, false, &now))
		q->now_ms = (int64_t)now * 1000;
}

/* ---- the scheme ---- */

/* The form of the scheme of that name, of any platform; borrowed from the registry. */
static bool find_form(const struct ks_platform_registry *registry, struct ks_str name, struct ks_str *ret_form)
{
	for (size_t i = 0; i < ks_platform_count(registry); i++) {
		struct ks_str webhook = ks_platform_at(registry, i)->webhook;

		if (webhook.n > 0 && ks_json_member(webhook, name, ret_form))
			return true;
	}
	return false;
}

static enum ks_err compile_text(struct ks_str form, const json_t *params, struct ks_hooksig_problem *problem,
				struct ks_hooksig_scheme **ret_scheme)
{
	char *settings = json_dumps(params, JSON_COMPACT);
	enum ks_err err = settings ? ks_hooksig_compile(form, ks_str_c(settings), problem, ret_scheme) : KS_MEMORY;

	if (settings)
		ks_wipe(settings, strlen(settings));
	free(settings);
	return err;
}

/* The scheme that is named, or that is given itself. KS_NOT_FOUND: there is none of the name. */
static enum ks_err compile(struct ks_call *call, struct ks_hooksig_problem *problem, struct ks_hooksig_scheme **ret_scheme)
{
	const json_t *scheme = json_object_get(call->body, "scheme"), *params = json_object_get(call->body, "params");
	struct ks_platform_registry *registry;
	struct ks_str form;
	enum ks_err err = KS_NOT_FOUND;
	char *own;

	if (json_is_object(scheme)) {
		own = json_dumps(scheme, JSON_COMPACT);
		err = own ? compile_text(ks_str_c(own), params, problem, ret_scheme) : KS_MEMORY;
		free(own);
		return err;
	}
	registry = ks_engine_platforms(call->api->engine);
	if (json_is_string(scheme) && find_form(registry, text_of(scheme), &form))
		err = compile_text(form, params, problem, ret_scheme);
	ks_platform_registry_release(&registry);
	return err;
}

/* ---- the answer ---- */

static void put_response(struct ks_json *out, const struct ks_hooksig_response *response)
{
	size_t size = response->body.n / 3 * 4 + 8, n;
	char *text = malloc(size);

	ks_json_name(out, "response");
	ks_json_open(out, '{');
	ks_json_put_u64(out, "status", response->status);
	ks_json_name(out, "headers");
	ks_json_open(out, '[');
	for (size_t i = 0; i < response->header_count; i++) {
		ks_json_open(out, '[');
		ks_json_str(out, response->headers[i].name);
		ks_json_str(out, response->headers[i].value);
		ks_json_close(out, ']');
	}
	ks_json_close(out, ']');
	ks_json_put_some(out, "content_type", response->content_type);
	n = text ? ks_base64_encode((const unsigned char *)response->body.p, response->body.n, text, size) : 0;
	ks_json_put_str(out, "body_base64", ks_str_of(text, n));
	ks_json_close(out, '}');
	free(text);
}

static void put_warnings(struct ks_json *out, unsigned warnings)
{
	ks_json_name(out, "warnings");
	ks_json_open(out, '[');
	for (unsigned i = 0; i < KS_HOOKSIG_WARNING_COUNT; i++)
		if (warnings >> i & 1)
			ks_json_c(out, ks_hooksig_warning_name((enum ks_hooksig_warning)i));
	ks_json_close(out, ']');
}

static void put_answer(struct ks_json *out, const struct ks_hooksig_answer *answer, const char *detail)
{
	ks_json_open(out, '{');
	ks_json_put_bool(out, "valid", answer->code == KS_HOOKSIG_OK);
	ks_json_put_c(out, "code", ks_hooksig_code_name(answer->code));
	ks_json_put_c(out, "detail", detail);
	put_warnings(out, answer->warnings);
	ks_json_put_bool(out, "challenge", answer->challenge);
	ks_json_put_bool(out, "unauthenticated", answer->unauthenticated);
	if (answer->response.status > 0)
		put_response(out, &answer->response);
	else
		ks_json_put_null(out, "response");
	ks_json_put_some(out, "replay_key", answer->replay_key);
	ks_json_put_u64(out, "replay_s", (uint64_t)answer->replay_s);
	ks_json_close(out, '}');
}

/* Nothing can be verified with these settings: an answer, and no mistake of who asks about a request. */
static enum ks_finish answer_no_key(struct ks_call *call, const struct ks_hooksig_problem *problem)
{
	struct ks_hooksig_answer answer = {.code = KS_HOOKSIG_SIGNATURE_MISMATCH, .response = {.status = 401}};
	char detail[400];
	struct ks_buf text = KS_BUF(detail);

	ks_buf_printf(&text, "/params%s: %s", problem->pointer, problem->text);
	put_answer(&call->out, &answer, ks_buf_z(&text));
	return ks_call_answer(call, 200);
}

static enum ks_finish refuse_scheme(struct ks_call *call, enum ks_err err, const struct ks_hooksig_problem *problem)
{
	enum ks_finish finish;

	if (err == KS_MEMORY)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	if (err == KS_NOT_FOUND)
		ks_in_problem(&call->in, "", "scheme", "No platform has a scheme of this name.");
	else if (problem->where == KS_HOOKSIG_IN_KEYS)
		return answer_no_key(call, problem);
	else
		ks_in_problem(&call->in, problem->where == KS_HOOKSIG_IN_FORM ? "/scheme" : "/params",
			      problem->pointer[0] ? &problem->pointer[1] : "", "%s", problem->text);
	return ks_call_invalid(call, &finish) ? finish : ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
}

static enum ks_finish verify(struct ks_call *call)
{
	KS_AUTO(free_question_at) struct question *q = calloc(1, sizeof(*q));
	KS_AUTO(ks_hooksig_free_at) struct ks_hooksig_scheme *scheme = NULL;
	struct ks_hooksig_problem problem;
	struct ks_hooksig_answer answer;
	enum ks_finish finish;
	struct ks_buf room;
	enum ks_err err;

	call->wipe = true;
	if (q)
		read_question(call, q);
	if (ks_call_invalid(call, &finish))
		return finish;
	if (!q || !q->bytes)
		return ks_call_problem(call, ks_problem_of_err(KS_MEMORY), NULL);
	err = compile(call, &problem, &scheme);
	if (err)
		return refuse_scheme(call, err, &problem);
	room = ks_buf_of(&q->bytes[q->body_n], q->room_n);
	ks_hooksig_verify(scheme, &q->request, q->now_ms, &room, &answer);
	put_answer(&call->out, &answer, NULL);
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_webhooks_verify(struct ks_call *call)
{
	return ks_call_later(call, verify);
}
