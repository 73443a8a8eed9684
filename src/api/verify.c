/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/verify and /v1/verify/batch: the decision for those who do not stand behind a gateway. */
#include <stdio.h>

#include "api/api_priv.h"

#define BATCH_MAX 1000u

/* A thread's scratch is free here: finish runs after begin is done with it. */
static void verify_one(struct ks_call *call, const struct ks_ring *ring, struct ks_question *q)
{
	struct ks_api_thread *thread = ks_api_thread(call->api);

	ks_question_decide(call, ring, q, &thread->path, &thread->decision);
	ks_json_open(&call->out, '{');
	ks_question_answer(call, ring, &thread->decision);
	ks_json_close(&call->out, '}');
	ks_credential_wipe(&q->credential);
}

static enum ks_finish stale(struct ks_call *call)
{
	struct ks_decision none = {.reason = KS_REASON_STALE, .step = KS_STEP_LEASE};

	return ks_call_refuse(call, NULL, &none, false);
}

enum ks_finish ks_api_verify(struct ks_call *call)
{
	const struct ks_ring *ring = ks_call_ring(call);
	struct ks_question q;
	enum ks_finish finish;

	ks_question_read(&call->in, call->body, "", NULL, call->exchange->now_ms, &q);
	if (ks_call_invalid(call, &finish))
		return finish;
	if (!ring)
		return stale(call);
	verify_one(call, ring, &q);
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_verify_batch(struct ks_call *call)
{
	static const char *const known[] = {"items", NULL};
	const struct ks_ring *ring = ks_call_ring(call);
	const json_t *items = json_object_get(call->body, "items");
	enum ks_finish finish;
	struct ks_question q;
	char base[32];

	ks_in_known(&call->in, call->body, "", known);
	if (!json_is_array(items) || json_array_size(items) == 0 || json_array_size(items) > BATCH_MAX)
		ks_in_problem(&call->in, "", "items", "This must be an array of 1 to %u questions.", BATCH_MAX);
	/* All are read before one is decided: a bad one changes nothing, no use is counted. */
	for (size_t i = 0; i < json_array_size(items) && call->in.problem_count == 0; i++) {
		(void)snprintf(base, sizeof(base), "/items/%zu", i);
		if (!json_is_object(json_array_get(items, i)))
			ks_in_problem(&call->in, base, "", "This must be an object.");
		else
			ks_question_read(&call->in, json_array_get(items, i), base, NULL, call->exchange->now_ms, &q);
	}
	if (ks_call_invalid(call, &finish))
		return finish;
	if (!ring)
		return stale(call);
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "items");
	ks_json_open(&call->out, '[');
	for (size_t i = 0; i < json_array_size(items); i++) {
		ks_question_read(&call->in, json_array_get(items, i), "", NULL, call->exchange->now_ms, &q);
		verify_one(call, ring, &q);
	}
	ks_json_close(&call->out, ']');
	ks_json_close(&call->out, '}');
	return ks_call_answer(call, 200);
}
