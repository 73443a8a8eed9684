/* SPDX-License-Identifier: Apache-2.0 */
/* What verify, check and explain have in common: reading the question, deciding, and the answer's members. */
#include "api/api_priv.h"
#include "api/counters.h"
#include "base/secret.h"

static void read_credential(struct ks_in *in, const json_t *object, const char *base, struct ks_question *q)
{
	bool bare = json_object_get(object, "credential") != NULL;
	bool header = json_object_get(object, "authorization") != NULL;

	ks_credential_init(&q->credential);
	if (bare == header) {
		ks_in_problem(in, base, "credential", "Exactly one of credential and authorization must be given.");
		return;
	}
	if (bare)
		ks_credential_header(&q->credential, ks_in_str(in, object, base, "credential", KS_CREDENTIAL_MAX, false), KS_KINDS_ANY);
	else
		ks_credential_authorization(&q->credential, ks_in_str(in, object, base, "authorization", KS_CREDENTIAL_MAX, false));
}

void ks_question_read(struct ks_in *in, const json_t *object, const char *base, const char *const *extra, int64_t now_ms,
		      struct ks_question *q)
{
	const char *known[16] = {"credential", "authorization", "method", "path", "tenant", "host", "address"};
	size_t count = 7;
	struct ks_str address;

	for (size_t i = 0; extra && extra[i] && count + 1 < KS_ARRAY_LEN(known); i++)
		known[count++] = extra[i];
	ks_in_known(in, object, base, known);
	read_credential(in, object, base, q);
	q->request = (struct ks_request){
		.credential = &q->credential,
		.method = ks_in_str(in, object, base, "method", 64, false),
		.path = ks_in_str(in, object, base, "path", KS_TARGET_MAX, false),
		.tenant = ks_in_str(in, object, base, "tenant", 256, false),
		.host = ks_in_str(in, object, base, "host", 512, false),
		.now_ms = now_ms,
	};
	q->has_route = !ks_str_empty(q->request.method);
	q->request.credential_alone = !q->has_route;
	if (q->has_route != !ks_str_empty(q->request.path))
		ks_in_problem(in, base, q->has_route ? "path" : "method", "Method and path go together.");
	address = ks_in_str(in, object, base, "address", KS_ADDR_TEXT_SIZE, false);
	q->request.address_known = ks_addr_parse(address, &q->request.address);
	if (!ks_str_empty(address) && !q->request.address_known)
		ks_in_problem(in, base, "address", "This is no IP address.");
}

void ks_question_decide(struct ks_call *call, const struct ks_ring *ring, struct ks_question *q, struct ks_path *scratch,
			struct ks_decision *d)
{
	const struct ks_actor *actor = &call->actor;

	ks_present_jwt(ks_api_thread(call->api), ring, KS_JWT_AUDIENCE_ANY, &q->request);
	ks_decide(ring, KS_RING_POLICY_PLATFORM, &q->request, scratch, d);
	ks_api_count_decision(d);
	if (d->key && !actor->local && !actor->is_operator
	    && !ks_actor_sees(actor, ring, ring->tenants[d->key->tenant].id))
		*d = (struct ks_decision){.reason = KS_REASON_CREDENTIAL_INVALID, .step = KS_STEP_LOOKUP, .lookup = KS_LOOKUP_UNKNOWN,
					  .tenant = KS_RING_NONE, .organization = KS_RING_NONE};
}

/* ---- the answer ---- */

/* "a,b" as ["a","b"]. */
static void put_list(struct ks_json *out, const char *name, struct ks_str text, char separator)
{
	struct ks_str item;

	ks_json_name(out, name);
	ks_json_open(out, '[');
	while (text.n > 0) {
		if (!ks_str_split(text, separator, &item, &text)) {
			item = text;
			text = KS_STR("");
		}
		ks_json_str(out, item);
	}
	ks_json_close(out, ']');
}

static void put_tenant(struct ks_json *out, const char *name, const struct ks_ring *ring, uint32_t index)
{
	char text[KS_ID_TEXT_SIZE];
	struct ks_buf b = KS_BUF(text);

	ks_decision_put_tenant(ring, index, &b);
	if (b.n)
		ks_json_put_str(out, name, ks_buf_str(&b));
	else
		ks_json_put_null(out, name);
}

struct key_and_grant {
	struct ks_call *call;
	const struct ks_key_row *row;
};

static enum ks_err put_key_and_grant(void *ctx, const struct ks_grant_row *grant)
{
	struct key_and_grant *both = ctx;

	ks_record_key(&both->call->out, both->row, grant->body, NULL, both->call->exchange->now_ms);
	return KS_OK;
}

static enum ks_err put_key(void *ctx, const struct ks_key_row *row)
{
	struct key_and_grant both = {.call = ctx, .row = row};

	return ks_store_grant_get(both.call->reader->store, row->grant, put_key_and_grant, &both);
}

static void put_rate(struct ks_json *out, const struct ks_rate *rate)
{
	ks_json_name(out, "rate_limit");
	ks_json_open(out, '{');
	ks_json_put_u64(out, "requests", rate->limit);
	ks_json_put_u64(out, "window_s", rate->window_s);
	ks_json_put_u64(out, "remaining", rate->remaining);
	ks_json_put_u64(out, "reset_s", rate->reset_s);
	ks_json_put_u64(out, "retry_after_s", rate->retry_after_s);
	ks_json_close(out, '}');
}

/* Who it is: once the credential itself was found good, whatever came after. */
static void put_principal(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *d, bool known)
{
	struct ks_json *out = &call->out;
	char text[KS_ID_TEXT_SIZE];
	struct ks_buf b = KS_BUF(text);

	if (!known) {
		ks_json_put_null(out, "principal");
		ks_json_put_null(out, "kind");
		ks_json_put_null(out, "key");
		ks_json_put_null(out, "environment");
		return;
	}
	ks_decision_put_principal(ring, d, &b);
	ks_json_put_str(out, "principal", ks_buf_str(&b));
	ks_json_put_c(out, "kind", ks_kind_text(KS_KEY_KIND(d->state)));
	ks_json_name(out, "key");
	if (KS_KEY_KIND(d->state) == KS_KIND_SESSION
	    || ks_store_key_get(call->reader->store, d->key->id, put_key, call) != KS_OK)
		ks_json_null(out);
	ks_json_put_c(out, "environment", ks_environment_text(KS_KEY_ENVIRONMENT(d->state)));
}

void ks_question_answer(struct ks_call *call, const struct ks_ring *ring, const struct ks_decision *d)
{
	struct ks_json *out = &call->out;
	bool allowed = d->reason == KS_REASON_OK;
	char text[KS_ANSWER_TEXT_MAX];
	struct ks_buf b = KS_BUF(text);

	ks_json_put_bool(out, "allow", allowed);
	ks_json_put_c(out, "code", ks_reason_info(d->reason)->code);
	if (d->reason == KS_REASON_SCOPE_MISSING)
		ks_json_put_str(out, "required_scope", ks_scope_name(ring->scopes, d->missing_scope));
	put_principal(call, ring, d, d->key && (allowed || d->step > KS_STEP_LOOKUP));
	put_tenant(out, "tenant", ring, allowed ? d->tenant : KS_RING_NONE);
	put_tenant(out, "organization", ring, allowed ? d->organization : KS_RING_NONE);
	if (allowed)
		ks_decision_put_visible(ring, d, &b);
	put_list(out, "visible", ks_buf_str(&b), ',');
	b = KS_BUF(text);
	if (allowed)
		ks_decision_put_inherited(ring, d, &b);
	put_list(out, "inherited", ks_buf_str(&b), ',');
	b = KS_BUF(text);
	if (allowed)
		ks_decision_put_scopes(ring, d, &b);
	put_list(out, "scopes", ks_buf_str(&b), ' ');
	if (d->rule)
		ks_json_put_str(out, "family", ks_rule_family(d->policy, d->rule));
	else
		ks_json_put_null(out, "family");
	if (d->rate.limit > 0)
		put_rate(out, &d->rate);
}
