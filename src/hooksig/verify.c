/* SPDX-License-Identifier: Apache-2.0 */
#include "hooksig/hooksig_priv.h"

static const struct {
	const char *name, *text;
} codes[KS_HOOKSIG_CODE_COUNT] = {
#define KS_HOOKSIG_CODE(name, code, text) {code, text},
#include "hooksig/hooksig.def"
}, warnings[KS_HOOKSIG_WARNING_COUNT] = {
#define KS_HOOKSIG_WARNING(name, code, text) {code, text},
#include "hooksig/hooksig.def"
};

const char *ks_hooksig_code_name(enum ks_hooksig_code code)
{
	return (unsigned)code < KS_HOOKSIG_CODE_COUNT ? codes[code].name : "malformed";
}

const char *ks_hooksig_code_text(enum ks_hooksig_code code)
{
	return (unsigned)code < KS_HOOKSIG_CODE_COUNT ? codes[code].text : "";
}

const char *ks_hooksig_warning_name(enum ks_hooksig_warning warning)
{
	return (unsigned)warning < KS_HOOKSIG_WARNING_COUNT ? warnings[warning].name : "";
}

const char *ks_hooksig_warning_text(enum ks_hooksig_warning warning)
{
	return (unsigned)warning < KS_HOOKSIG_WARNING_COUNT ? warnings[warning].text : "";
}

size_t ks_hooksig_room(size_t body_n)
{
	return 3 * body_n + ((size_t)96 << 10);
}

/* Headers that a request has once (RFC 9110, 5.3): with two of one of them, who signed may have meant the other. */
static bool has_twice(const struct ks_hooksig_request *request)
{
	static const char *const once[] = {"Authorization", "Content-Type", "Content-Length", "Host"};
	struct ks_str value;

	for (size_t i = 0; i < KS_ARRAY_LEN(once); i++)
		if (hs_header(request, ks_str_c(once[i]), &value) == KS_HOOKSIG_MALFORMED)
			return true;
	return false;
}

static void choose_plan(struct hs_run *run, const struct hs_plan *plan)
{
	run->plan = plan;
	for (size_t i = 0; i < plan->var_n; i++)
		run->values[i].read = false;
}

static enum ks_hooksig_code run_plan(struct hs_run *run)
{
	const struct hs_plan *plan = run->plan;
	enum ks_hooksig_code code = plan->time.present ? hs_time_check(run, &plan->time) : KS_HOOKSIG_OK;

	for (size_t i = 0; i < plan->op_n && code == KS_HOOKSIG_OK; i++)
		code = plan->ops[i].type->run(run, plan->ops[i].op);
	return code;
}

/* ---- what is answered ---- */

static enum ks_hooksig_code put_json(struct hs_run *run, const struct hs_reply *reply, struct ks_str *ret_body)
{
	struct ks_str values[KS_ARRAY_LEN(reply->json)];
	size_t from;

	for (size_t i = 0; i < reply->json_n; i++) {
		enum ks_hooksig_code code = hs_template_text(run, &reply->json[i].value, &values[i]);

		if (code)
			return code;
	}
	from = run->room->n;
	for (size_t i = 0; i < reply->json_n; i++) {
		ks_buf_put_byte(run->room, i > 0 ? ',' : '{');
		ks_buf_put_json(run->room, reply->json[i].name);
		ks_buf_put_byte(run->room, ':');
		ks_buf_put_json(run->room, values[i]);
	}
	ks_buf_put_byte(run->room, '}');
	*ret_body = ks_str_sub(ks_buf_str(run->room), from, SIZE_MAX);
	return ks_buf_ok(run->room) ? KS_HOOKSIG_OK : KS_HOOKSIG_MALFORMED;
}

static enum ks_hooksig_code write_reply(struct hs_run *run, const struct hs_reply *reply,
					struct ks_hooksig_response *ret_response)
{
	struct ks_hooksig_response response = {.status = reply->status, .content_type = reply->content_type};
	enum ks_hooksig_code code = KS_HOOKSIG_OK;

	for (size_t i = 0; i < reply->header_n && code == KS_HOOKSIG_OK; i++) {
		response.headers[i].name = reply->names[i];
		code = hs_template_text(run, &reply->values[i], &response.headers[i].value);
		if (code == KS_HOOKSIG_OK && ks_str_has_control(response.headers[i].value))
			code = KS_HOOKSIG_MALFORMED;
		response.header_count = i + 1;
	}
	if (code == KS_HOOKSIG_OK)
		code = reply->json_n > 0 ? put_json(run, reply, &response.body)
					 : hs_template_text(run, &reply->body, &response.body);
	if (code == KS_HOOKSIG_OK)
		*ret_response = response;
	return code;
}

static enum ks_hooksig_code run_challenge(struct hs_run *run, const struct hs_challenge *challenge,
					  struct ks_hooksig_answer *answer)
{
	enum ks_hooksig_code code = challenge->unauthenticated ? KS_HOOKSIG_OK : run_plan(run);

	answer->challenge = true;
	answer->unauthenticated = challenge->unauthenticated;
	return code ? code : write_reply(run, &challenge->reply, &answer->response);
}

static void keep_replay_key(struct hs_run *run, struct ks_hooksig_answer *answer)
{
	const struct ks_hooksig_scheme *scheme = run->scheme;
	struct ks_str key = run->claim;

	if (!scheme->replay.present)
		return;
	if (!scheme->replay.of_token && hs_var_one(run, scheme->replay.var, &key))
		key = KS_STR("");
	answer->replay_key = key;
	answer->replay_s = scheme->replay.keep_s;
}

static void keep_confirm_url(struct hs_run *run, struct ks_hooksig_answer *answer)
{
	const struct ks_hooksig_scheme *scheme = run->scheme;
	struct hs_url url;
	struct ks_str text;

	if (scheme->confirm.present && hs_var_one(run, scheme->confirm.var, &text) == KS_HOOKSIG_OK &&
	    hs_url_at(text, &scheme->confirm.hosts, &url))
		answer->confirm_url = text;
}

/* ---- the decision ---- */

static enum ks_hooksig_code decide(struct hs_run *run, struct ks_hooksig_answer *answer)
{
	const struct ks_hooksig_scheme *scheme = run->scheme;
	enum ks_hooksig_code code;

	for (size_t i = 0; i < scheme->challenge_n; i++) {
		choose_plan(run, &scheme->challenges[i].plan);
		if (hs_when_holds(run, &scheme->challenges[i].plan.when))
			return run_challenge(run, &scheme->challenges[i], answer);
	}
	for (size_t i = 0; i < scheme->plan_n; i++) {
		choose_plan(run, &scheme->plans[i]);
		if (!hs_when_holds(run, &scheme->plans[i].when))
			continue;
		code = run_plan(run);
		if (code)
			return code;
		keep_replay_key(run, answer);
		keep_confirm_url(run, answer);
		return write_reply(run, &scheme->accept, &answer->response);
	}
	return KS_HOOKSIG_MALFORMED;
}

void hs_run_begin(struct hs_run *run, const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request,
		  int64_t now_ms, struct ks_buf *room)
{
	room->n = 0;
	room->overflow = false;
	run->scheme = scheme;
	run->request = request;
	run->now_ms = now_ms;
	run->room = room;
	run->variant = HS_URL_AS_IS;
	run->pair_n = 0;
	run->pairs_from = 0;
	run->pairs_code = KS_HOOKSIG_OK;
	run->secret = run->claim = KS_STR("");
	run->matched = NULL;
	choose_plan(run, &scheme->plans[0]);
}

void ks_hooksig_verify(const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request, int64_t now_ms,
		       struct ks_buf *room, struct ks_hooksig_answer *ret_answer)
{
	struct hs_run run; /* large: only what is read is written */

	hs_run_begin(&run, scheme, request, now_ms, room);
	*ret_answer = (struct ks_hooksig_answer){.warnings = scheme->warnings};
	if (!scheme->vouches)
		ret_answer->code = KS_HOOKSIG_SIGNATURE_MISMATCH;
	else if (request->header_count > KS_HOOKSIG_HEADERS_MAX || !hs_url_parse(request->url, &run.url) || has_twice(request))
		ret_answer->code = KS_HOOKSIG_MALFORMED;
	else
		ret_answer->code = decide(&run, ret_answer);
	if (ret_answer->code && write_reply(&run, &scheme->reject, &ret_answer->response))
		ret_answer->response = (struct ks_hooksig_response){.status = 401};
}

/* ---- what those who keep requests ask ---- */

bool ks_hooksig_wants(const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request, int64_t now_ms,
		      struct ks_buf *room, struct ks_str *ret_url)
{
	struct hs_run run;

	hs_run_begin(&run, scheme, request, now_ms, room);
	if (!scheme->vouches || request->header_count > KS_HOOKSIG_HEADERS_MAX || !hs_url_parse(request->url, &run.url))
		return false;
	for (size_t i = 0; i < scheme->plan_n; i++) {
		choose_plan(&run, &scheme->plans[i]);
		if (!hs_when_holds(&run, &scheme->plans[i].when))
			continue;
		for (size_t k = 0; k < scheme->plans[i].op_n; k++)
			if (scheme->plans[i].ops[k].type == &hs_op_x509)
				return hs_x509_wants(&run, scheme->plans[i].ops[k].op, ret_url);
		return false;
	}
	return false;
}

static bool takes_from(const struct hs_var *var, enum hs_source_kind kind, struct ks_str name)
{
	for (size_t i = 0; i < var->from_n; i++) {
		const struct hs_source *from = &var->from[i];

		if (from->kind == kind && (kind == HS_HEADER ? ks_str_eq_nocase(from->name, name) : ks_str_eq(from->name, name)))
			return true;
	}
	return false;
}

static bool plan_sends_secret(const struct hs_plan *plan, bool of_query, struct ks_str name)
{
	size_t var;

	for (size_t i = 0; i < plan->op_n; i++) {
		if (!hs_secret_var(&plan->ops[i], &var))
			continue;
		if (takes_from(&plan->vars[var], of_query ? HS_QUERY : HS_HEADER, name) ||
		    (of_query && takes_from(&plan->vars[var], HS_PARAM, name)))
			return true;
	}
	return false;
}

bool ks_hooksig_sends_secret(const struct ks_hooksig_scheme *scheme, bool of_query, struct ks_str name)
{
	for (size_t i = 0; i < scheme->plan_n; i++)
		if (plan_sends_secret(&scheme->plans[i], of_query, name))
			return true;
	return false;
}
