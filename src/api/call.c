/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: documents, problems, refusals with their challenges. */
#include <stdlib.h>

#include "api/api_priv.h"

/* Hands the JSON over to the exchange, which frees it after sending. */
static void give_body(struct ks_exchange *x, struct ks_json *json)
{
	x->heap = json->p;
	x->answer_body = ks_str_of(json->p, json->n);
	ks_json_init(json);
}

static void put_errors(struct ks_json *json, const struct ks_in *in)
{
	ks_json_name(json, "errors");
	ks_json_open(json, '[');
	for (size_t i = 0; i < in->problem_count; i++) {
		ks_json_open(json, '{');
		ks_json_put_c(json, "pointer", in->problems[i].pointer);
		ks_json_put_c(json, "detail", in->problems[i].detail);
		ks_json_close(json, '}');
	}
	ks_json_close(json, ']');
}

void ks_exchange_problem(struct ks_exchange *x, const char *code, int status, const char *title, const char *detail,
			 const struct ks_in *in, struct ks_str required_scope)
{
	struct ks_json json;
	char type[96];
	struct ks_buf b = KS_BUF(type);

	ks_buf_put_c(&b, "urn:keystile:problem:");
	ks_buf_put_c(&b, code);
	ks_json_init(&json);
	ks_json_open(&json, '{');
	ks_json_put_str(&json, "type", ks_buf_str(&b));
	ks_json_put_c(&json, "title", title);
	ks_json_put_u64(&json, "status", (uint64_t)status);
	ks_json_put_c(&json, "detail", detail ? detail : title);
	ks_json_put_c(&json, "code", code);
	ks_json_put_c(&json, "request_id", x->request_id);
	if (!ks_str_empty(required_scope))
		ks_json_put_str(&json, "required_scope", required_scope);
	if (in && in->problem_count > 0)
		put_errors(&json, in);
	ks_json_close(&json, '}');
	x->status = status;
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("application/problem+json"));
	if (json.failed)
		ks_json_free(&json);
	else
		give_body(x, &json);
}

/* RFC 6750 section 3: the error attribute only where a credential was tried; with 403 what it would take. */
static void put_challenge(const struct ks_api *api, struct ks_exchange *x, enum ks_reason reason, bool basic_tried, struct ks_str scope)
{
	struct ks_buf *text = &x->text;
	size_t at = text->n;

	ks_buf_put_c(text, basic_tried ? "Basic realm=\"" : "Bearer realm=\"");
	ks_buf_put_c(text, api->options.realm);
	ks_buf_put_c(text, basic_tried ? "\", charset=\"UTF-8\"" : "\"");
	if (!basic_tried && reason == KS_REASON_CREDENTIAL_MALFORMED)
		ks_buf_put_c(text, ", error=\"invalid_request\"");
	else if (!basic_tried && reason == KS_REASON_SCOPE_MISSING)
		ks_buf_put_c(text, ", error=\"insufficient_scope\"");
	else if (!basic_tried && reason != KS_REASON_CREDENTIAL_MISSING)
		ks_buf_put_c(text, ", error=\"invalid_token\"");
	if (!basic_tried && !ks_str_empty(scope)) {
		ks_buf_put_c(text, ", scope=\"");
		ks_buf_put(text, scope);
		ks_buf_put_c(text, "\"");
	}
	ks_exchange_answer_header(x, KS_STR("WWW-Authenticate"), ks_str_of(text->p + at, text->n - at));
}

void ks_exchange_number_header(struct ks_exchange *x, struct ks_str name, uint64_t value)
{
	size_t at = x->text.n;

	ks_buf_put_u64(&x->text, value);
	ks_exchange_answer_header(x, name, ks_str_of(x->text.p + at, x->text.n - at));
}

void ks_exchange_refuse(const struct ks_api *api, struct ks_exchange *x, const struct ks_ring *ring,
			const struct ks_decision *decision, bool basic_tried)
{
	const struct ks_reason_info *info = ks_reason_info(decision->reason);
	struct ks_str scope = KS_STR("");

	if (decision->reason == KS_REASON_SCOPE_MISSING && ring)
		scope = ks_scope_name(ring->scopes, decision->missing_scope);
	if (info->status == 401 || (decision->reason == KS_REASON_SCOPE_MISSING && !basic_tried))
		put_challenge(api, x, decision->reason, basic_tried, scope);
	if (decision->reason == KS_REASON_RATE_LIMITED)
		ks_exchange_number_header(x, KS_STR("Retry-After"), decision->rate.retry_after_s);
	ks_exchange_problem(x, info->code, info->status, info->text, NULL, NULL, scope);
}

void ks_call_look(struct ks_call *call, struct ks_store *store, const struct ks_ring *ring)
{
	call->viewer = (struct ks_viewer){.actor = &call->actor, .store = store, .ring = ring};
	call->out.viewer = &call->viewer;
}

const struct ks_ring *ks_call_ring(struct ks_call *call)
{
	return ks_ringmap_reader_ring(call->reader->ring);
}

enum ks_finish ks_call_answer_read(struct ks_call *call, enum ks_err err)
{
	return err == KS_OK ? ks_call_answer(call, 200) : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

bool ks_call_id(struct ks_call *call, size_t at, enum ks_id_type type, uint64_t *ret_id)
{
	if (ks_id_parse(call->params[at], type, ret_id))
		return true;
	(void)ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	return false;
}

enum ks_finish ks_call_answer(struct ks_call *call, int status)
{
	struct ks_exchange *x = call->exchange;

	if (call->out.failed)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	x->status = status;
	x->wipe = call->wipe;
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("application/json"));
	give_body(x, &call->out);
	return KS_FINISH_DONE;
}

enum ks_finish ks_call_problem(struct ks_call *call, enum ks_problem problem, const char *detail)
{
	const struct ks_problem_info *info = ks_problem_info(problem);

	if (info->status == 401)
		put_challenge(call->api, call->exchange, KS_REASON_CREDENTIAL_MISSING, false, KS_STR(""));
	/* A name that was sent in the place of another stands in the problem. */
	call->exchange->wipe = call->wipe;
	ks_exchange_problem(call->exchange, info->code, info->status, info->title, detail, &call->in, KS_STR(""));
	return KS_FINISH_DONE;
}

enum ks_finish ks_call_refuse(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *decision, bool basic_tried)
{
	ks_exchange_refuse(call->api, call->exchange, ring, decision, basic_tried);
	return KS_FINISH_DONE;
}

bool ks_call_invalid(struct ks_call *call, enum ks_finish *ret_finish)
{
	if (call->in.problem_count == 0)
		return false;
	*ret_finish = ks_call_problem(call, call->in.problems[0].pointer[0] == '?' ? KS_PROBLEM_QUERY_MALFORMED : KS_PROBLEM_INVALID,
				      call->in.problems[0].detail);
	return true;
}
