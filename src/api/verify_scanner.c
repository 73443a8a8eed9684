/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/verify/trufflehog: what that scanner sends to find out whether what it found is live:
 * {detector: {name of the expression: [texts]}}. 200: one of them is the token of an active key; else 404. */
#include "api/api_priv.h"

#define TEXTS_MAX 16u

static bool is_live(struct ks_call *call, const struct ks_ring *ring, struct ks_str text)
{
	struct ks_api_thread *thread = ks_api_thread(call->api);
	struct ks_question q = {.request = {.credential = &q.credential, .credential_alone = true,
					    .now_ms = call->exchange->now_ms}};

	ks_credential_init(&q.credential);
	ks_credential_header(&q.credential, text, KS_KINDS_ANY);
	ks_question_decide(call, ring, &q, &thread->path, &thread->decision);
	ks_credential_wipe(&q.credential);
	/* A key that may be used from elsewhere alone is as live as any. */
	return thread->decision.reason == KS_REASON_OK || thread->decision.reason == KS_REASON_ADDRESS_NOT_ALLOWED;
}

/* Every text in it, two objects down; false: it is of another form. */
static bool any_live(struct ks_call *call, const struct ks_ring *ring, bool *ret_live)
{
	const char *name;
	json_t *detector, *texts, *text;
	size_t seen = 0, i;

	json_object_foreach(call->body, name, detector) {
		if (!json_is_object(detector))
			return false;
		json_object_foreach(detector, name, texts) {
			if (!json_is_array(texts))
				return false;
			json_array_foreach(texts, i, text) {
				if (!json_is_string(text) || ++seen > TEXTS_MAX)
					return false;
				*ret_live |= is_live(call, ring, ks_str_of(json_string_value(text), json_string_length(text)));
			}
		}
	}
	return seen > 0;
}

enum ks_finish ks_api_verify_trufflehog(struct ks_call *call)
{
	const struct ks_ring *ring = ks_call_ring(call);
	bool live = false;

	if (!ring)
		return ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	if (!any_live(call, ring, &live))
		return ks_call_problem(call, KS_PROBLEM_INVALID, "The body must be {detector: {name: [texts]}}, with 1 to 16 texts.");
	if (!live)
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, "None of these is live.");
	ks_json_open(&call->out, '{');
	ks_json_put_bool(&call->out, "active", true);
	ks_json_close(&call->out, '}');
	return ks_call_answer(call, 200);
}
