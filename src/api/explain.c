/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/explain, for the local command line: every step of a decision, what it looked at, and its verdict. Counts nothing and uses up no rate. */
#include <stdio.h>

#include "api/api_priv.h"

struct explanation {
	const struct ks_ring *ring;
	const struct ks_question *question;
	const struct ks_decision *d;
	struct ks_buf *out;
};

static void put_names(struct ks_buf *out, uint8_t bits, size_t count, const char *(*name)(size_t))
{
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		if (!(bits >> i & 1))
			continue;
		ks_buf_put_c(out, first ? "" : ", ");
		ks_buf_put_c(out, name(i));
		first = false;
	}
}

static const char *kind_name(size_t i)
{
	return ks_kind_text((enum ks_kind)i);
}

static const char *environment_name(size_t i)
{
	return ks_environment_text((enum ks_environment)i);
}

static void say_parse(struct explanation *e)
{
	static const char *const forms[] = {
		[KS_TOKEN_NONE] = "of no known form", [KS_TOKEN_OWN] = "a token of our own form", [KS_TOKEN_JWT] = "a JWT",
		[KS_TOKEN_FOREIGN] = "a token of a foreign form"};

	ks_buf_put_c(e->out, e->question->credential.presented == KS_PRESENTED_NOTHING ? "nothing presented"
			     : e->question->credential.presented == KS_PRESENTED_MALFORMED
				     ? "malformed, or several"
				     : forms[e->question->credential.form]);
}

/* What the slot is, and its own id: of a session not its user's. */
static void put_slot(struct explanation *e)
{
	bool session = KS_KEY_KIND(e->d->state) == KS_KIND_SESSION, user = KS_KEY_BINDING(e->d->state) == KS_BINDING_USER;
	char id[KS_ID_TEXT_SIZE];

	ks_id_format(!session ? KS_ID_KEY : user ? KS_ID_SESSION : KS_ID_ISSUER, e->d->key->id, id);
	ks_buf_printf(e->out, "%s%s, ", e->d->is_asserted ? "a JWT made for " : "", id);
	if (!session) {
		ks_buf_printf(e->out, "%s key bound to %s ", ks_kind_text(KS_KEY_KIND(e->d->state)),
			      ks_binding_text(KS_KEY_BINDING(e->d->state)));
		return;
	}
	ks_buf_put_c(e->out, user ? "session of " : "issuer ");
	ks_decision_put_principal(e->ring, e->d, e->out);
	ks_buf_put_c(e->out, user ? " at " : " of ");
}

static void say_lookup(struct explanation *e)
{

	if (!e->d->key) {
		ks_buf_put_c(e->out, ks_lookup_detail_text(e->d->lookup));
		return;
	}
	put_slot(e);
	ks_decision_put_tenant(e->ring, e->d->key->tenant, e->out);
	if (e->d->lookup)
		ks_buf_printf(e->out, " (%s)", ks_lookup_detail_text(e->d->lookup));
}

static void say_path(struct explanation *e)
{
	ks_buf_put(e->out, e->question->request.path);
	ks_buf_printf(e->out, " %s", ks_path_problem_text(e->d->path_problem));
}

static void say_family(struct explanation *e)
{
	if (!e->d->rule) {
		ks_buf_put_c(e->out, "no family takes this method and path");
		return;
	}
	ks_buf_put(e->out, ks_rule_family(e->d->policy, e->d->rule));
}

static void say_kind(struct explanation *e)
{
	ks_buf_printf(e->out, "%s; the family takes ", ks_kind_text(KS_KEY_KIND(e->d->state)));
	put_names(e->out, e->d->rule->kinds, KS_KIND_COUNT, kind_name);
}

static void say_environment(struct explanation *e)
{
	char address[KS_ADDR_TEXT_SIZE] = "unknown";

	if (e->question->request.address_known)
		ks_addr_format(&e->question->request.address, address);
	ks_buf_printf(e->out, "%s; the family takes ", ks_environment_text(KS_KEY_ENVIRONMENT(e->d->state)));
	put_names(e->out, e->d->rule->environments, KS_ENVIRONMENT_COUNT, environment_name);
	ks_buf_printf(e->out, "; address %s, the key has %u ranges", address, e->d->grant->cidr_count);
}

static void say_scope(struct explanation *e)
{
	ks_buf_put_c(e->out, "needs");
	for (size_t i = 0; i < e->d->rule->scope_count; i++) {
		ks_buf_put_c(e->out, " ");
		ks_buf_put(e->out, ks_scope_name(e->ring->scopes, e->d->rule->scopes[i]));
	}
	ks_buf_put_c(e->out, "; it has ");
	ks_decision_put_scopes(e->ring, e->d, e->out);
}

static void say_tenant(struct explanation *e)
{
	bool sent = !ks_str_empty(e->question->request.tenant);

	ks_buf_put_c(e->out, "X-Tenant-Id ");
	ks_buf_put(e->out, sent ? e->question->request.tenant : KS_STR("not sent"));
	ks_buf_printf(e->out, " (%s)", ks_tenant_header_text((enum ks_tenant_header)e->d->rule->tenant_header));
	if (e->d->reason != KS_REASON_OK)
		return;
	ks_buf_put_c(e->out, "; acts in ");
	ks_decision_put_tenant(e->ring, e->d->tenant, e->out);
}

static void say_rate(struct explanation *e)
{
	if (e->d->grant->rate_requests == 0)
		ks_buf_put_c(e->out, "no limit");
	else
		ks_buf_printf(e->out, "%u in %u s; not used up by explaining", e->d->grant->rate_requests, e->d->grant->rate_window_s);
}

static void say_nothing(struct explanation *e)
{
	ks_buf_put_c(e->out, "embedded store: no lease is needed");
}

static void (*const say[KS_STEP_COUNT])(struct explanation *) = {
	[KS_STEP_LEASE] = say_nothing, [KS_STEP_PARSE] = say_parse, [KS_STEP_LOOKUP] = say_lookup, [KS_STEP_PATH] = say_path,
	[KS_STEP_FAMILY] = say_family, [KS_STEP_KIND] = say_kind, [KS_STEP_ENVIRONMENT] = say_environment,
	[KS_STEP_SCOPE] = say_scope, [KS_STEP_TENANT] = say_tenant, [KS_STEP_RATE] = say_rate,
};

static void put_steps(struct ks_call *call, struct explanation *e)
{
	struct ks_json *out = &call->out;
	char text[KS_ANSWER_TEXT_MAX];

	ks_json_name(out, "steps");
	ks_json_open(out, '[');
	for (enum ks_step step = 0; step < KS_STEP_COUNT; step++) {
		bool reached = step <= e->d->step;
		bool failed = step == e->d->step && e->d->reason != KS_REASON_OK;
		struct ks_buf b = KS_BUF(text);

		e->out = &b;
		if (reached)
			say[step](e);
		ks_json_open(out, '{');
		ks_json_put_c(out, "step", ks_step_title(step));
		ks_json_put_c(out, "verdict", failed ? "failed" : reached ? "passed" : "not reached");
		ks_json_put_str(out, "detail", ks_buf_str(&b));
		ks_json_close(out, '}');
	}
	ks_json_close(out, ']');
}

enum ks_finish ks_api_explain(struct ks_call *call)
{
	struct ks_api_thread *thread = ks_api_thread(call->api);
	const struct ks_ring *ring = ks_call_ring(call);
	struct ks_question q;
	struct explanation e;
	struct ks_ring quiet;
	enum ks_finish finish;

	ks_question_read(&call->in, call->body, "", NULL, call->exchange->now_ms, &q);
	if (call->in.problem_count == 0 && !q.has_route)
		ks_in_problem(&call->in, "", "path", "Method and path are required here.");
	if (ks_call_invalid(call, &finish))
		return finish;
	if (!ring)
		return ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
	quiet = *ring;
	quiet.usage = NULL;
	ks_present_jwt(thread, ring, KS_JWT_AUDIENCE_ANY, &q.request);
	ks_decide(&quiet, KS_RING_POLICY_PLATFORM, &q.request, &thread->path, &thread->decision);
	e = (struct explanation){.ring = ring, .question = &q, .d = &thread->decision};
	ks_json_open(&call->out, '{');
	ks_question_answer(call, ring, &thread->decision);
	put_steps(call, &e);
	ks_json_close(&call->out, '}');
	ks_credential_wipe(&q.credential);
	return ks_call_answer(call, 200);
}
