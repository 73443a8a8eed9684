/* SPDX-License-Identifier: Apache-2.0 */
/* Changes: a job of the engine, its answer, and the memory of Idempotency-Key. */
#include <stdlib.h>

#include "api/api_priv.h"
#include "base/secret.h"
#include "crypto/sha256.h"

#define IDEMPOTENCY_KEY_MAX 128

/* What a repetition must have in common with the first: method, target and body. */
static enum ks_err fingerprint(struct ks_call *call)
{
	struct ks_exchange *x = call->exchange;
	struct ks_digest body;
	char text[KS_TARGET_MAX + 64 + 2 * KS_SHA256_SIZE];
	struct ks_buf b = KS_BUF(text);

	KS_TRY(ks_sha256(x->body, &body));
	ks_buf_put(&b, x->method);
	ks_buf_put_byte(&b, '\n');
	ks_buf_put(&b, x->target);
	ks_buf_put_byte(&b, '\n');
	ks_buf_put_hex(&b, body.bytes, sizeof(body.bytes));
	return ks_buf_ok(&b) ? ks_sha256(ks_buf_str(&b), &call->fingerprint) : KS_TOO_LARGE;
}

static bool is_visible_ascii(struct ks_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < 0x21 || s.p[i] > 0x7e)
			return false;
	}
	return true;
}

/* ---- what is kept: the answer without what must be seen only once ---- */

static enum ks_err keep(struct ks_call *call, struct ks_tx *tx)
{
	json_t *answer = json_loadb(call->out.p, call->out.n, 0, NULL);
	static const char *const shown_once[] = {"first_key", "invitation"};
	char *text;
	enum ks_err err;

	if (!answer)
		return KS_MEMORY;
	(void)json_object_del(answer, "token");
	if (call->shown_once)
		(void)json_object_del(answer, call->shown_once);
	for (size_t i = 0; i < KS_ARRAY_LEN(shown_once); i++) {
		json_t *holder = json_object_get(answer, shown_once[i]);

		if (json_is_object(holder))
			(void)json_object_del(holder, "token");
	}
	text = json_dumps(answer, JSON_COMPACT);
	json_decref(answer);
	if (!text)
		return KS_MEMORY;
	err = ks_store_idempotency_put(tx->store, &(struct ks_idempotency_row){
		.principal = ks_str_c(call->actor.id),
		.key = call->idempotency_key,
		.request = call->fingerprint,
		.created_at = tx->now_ms,
		.status = call->status,
		.body = ks_str_c(text),
	});
	free(text);
	return err;
}

struct replay {
	struct ks_call *call;
	bool other;
};

static enum ks_err replay_row(void *ctx, const struct ks_idempotency_row *row)
{
	struct replay *r = ctx;
	struct ks_call *call = r->call;

	if (!ks_str_eq(ks_str_of((const char *)row->request.bytes, KS_SHA256_SIZE),
		       ks_str_of((const char *)call->fingerprint.bytes, KS_SHA256_SIZE))) {
		r->other = true;
		return KS_OK;
	}
	call->replayed = true;
	call->status = row->status;
	ks_json_raw(&call->out, row->body);
	return KS_OK;
}

/* KS_OK with call->replayed: answered before. KS_CONFLICT: the key belongs to another request. */
static enum ks_err recall(struct ks_call *call, struct ks_tx *tx, struct ks_refusal *refusal)
{
	struct replay r = {.call = call};
	enum ks_err err = ks_store_idempotency_get(tx->store, ks_str_c(call->actor.id), call->idempotency_key, replay_row, &r);

	if (err == KS_NOT_FOUND)
		return KS_OK;
	KS_TRY(err);
	if (!r.other)
		return KS_OK;
	refusal->code = ks_problem_info(KS_PROBLEM_IDEMPOTENCY_CONFLICT)->code;
	return KS_CONFLICT;
}

static enum ks_err run(struct ks_job *job, struct ks_tx *tx)
{
	struct ks_call *call = job->ctx;

	if (!ks_str_empty(call->idempotency_key)) {
		KS_TRY(recall(call, tx, &job->refusal));
		if (call->replayed)
			return KS_OK;
	}
	ks_call_look(call, tx->store, tx->ring);
	KS_TRY(call->run(call, tx));
	if (call->out.failed)
		return call->refuses_first ? KS_STORE : KS_MEMORY;
	return ks_str_empty(call->idempotency_key) ? KS_OK : keep(call, tx);
}

/* A refusal by the engine: its own code where it has one, and where in the body. */
static void answer_refusal(struct ks_call *call)
{
	const struct ks_refusal *why = &call->job.refusal;
	enum ks_problem problem = why->code ? ks_problem_by_code(why->code) : ks_problem_of_err(call->job.err);
	const char *detail = why->detail[0] ? why->detail : NULL;

	ks_json_free(&call->out);
	if (why->pointer[0])
		ks_in_problem(&call->in, why->pointer, "", "%s", why->detail);
	for (enum ks_reason i = 0; why->code && i < KS_REASON_COUNT; i++) {
		const struct ks_reason_info *info = ks_reason_info(i);

		if (ks_str_eq(ks_str_c(info->code), ks_str_c(why->code))) {
			ks_exchange_problem(call->exchange, info->code, info->status, info->text, detail, &call->in, KS_STR(""));
			return;
		}
	}
	(void)ks_call_problem(call, problem, detail);
}

enum ks_finish ks_call_answer_refusal(struct ks_call *call, enum ks_err err, const struct ks_refusal *refusal)
{
	call->job.err = err;
	call->job.refusal = *refusal;
	answer_refusal(call);
	return KS_FINISH_DONE;
}

static void done(struct ks_job *job)
{
	struct ks_call *call = job->ctx;

	if (job->err != KS_OK) {
		answer_refusal(call);
	} else if (call->instead && call->instead(call)) {
		return;
	} else {
		if (call->succeeded)
			call->succeeded(call);
		if (call->replayed)
			ks_exchange_answer_header(call->exchange, KS_STR("Idempotency-Replayed"), KS_STR("true"));
		(void)ks_call_answer(call, call->status);
	}
	ks_exchange_complete(call->exchange);
}

enum ks_finish ks_call_write(struct ks_call *call, enum ks_err (*handler)(struct ks_call *call, struct ks_tx *tx), int status)
{
	size_t count = 0;
	enum ks_err err;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	call->run = handler;
	call->status = status;
	/* Callers without a credential have no memory: it would be one for all of them. */
	if (call->route->auth != KS_AUTH_OPEN && !call->unkept)
		call->idempotency_key = ks_exchange_header(call->exchange, KS_STR("Idempotency-Key"), &count);
	if (count > 1 || call->idempotency_key.n > IDEMPOTENCY_KEY_MAX || !is_visible_ascii(call->idempotency_key))
		return ks_call_problem(call, KS_PROBLEM_HEADER_MALFORMED,
				       "Idempotency-Key must be sent once, with 1 to 128 visible ASCII characters.");
	if (!ks_str_empty(call->idempotency_key) && fingerprint(call) != KS_OK)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->job = (struct ks_job){.run = run, .done = done, .ctx = call, .refuses_first = call->refuses_first};
	err = ks_engine_submit(call->api->engine, &call->job);
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	return KS_FINISH_PENDING;
}

enum ks_finish ks_call_switch(struct ks_call *call, enum ks_id_type type, bool on,
			      enum ks_err (*run_switch)(struct ks_call *call, struct ks_tx *tx))
{
	struct ks_switch *change;
	uint64_t id;

	if (!ks_call_id(call, 0, type, &id))
		return KS_FINISH_DONE;
	change = calloc(1, sizeof(*change));
	if (!change)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	*change = (struct ks_switch){id, on};
	call->extra = change;
	return ks_call_write(call, run_switch, 200);
}
