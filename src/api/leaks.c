/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/leaks: whoever has a token may say where it was seen. The answer is the same whatever the token is, and does
 * not wait for what is done: it tells nothing about tokens. */
#include "api/leaks.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/secret.h"

#define WITHHELD "[withheld: it held a token]"
#define HEX_RUN 32

static _Atomic uint64_t counts[KS_LEAK_SOURCE_COUNT];

void ks_leaks_count(enum ks_leak_source source, uint64_t n)
{
	(void)atomic_fetch_add_explicit(&counts[source], n, memory_order_relaxed);
}

uint64_t ks_leaks_counted(enum ks_leak_source source)
{
	return atomic_load_explicit(&counts[source], memory_order_relaxed);
}

/* ---- texts ---- */

static bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

/* This token, or what looks like another one of ours: "_" and 32 hexadecimal digits. */
static bool holds_token(struct ks_str text, struct ks_str token)
{
	size_t run = 0;

	for (size_t i = 0; i < text.n; i++) {
		if (token.n > 0 && ks_str_starts(ks_str_sub(text, i, text.n), token))
			return true;
		if (run > 0 && is_hex(text.p[i]))
			run++;
		else
			run = text.p[i] == '_';
		if (run > HEX_RUN)
			return true;
	}
	return false;
}

/* At most `max` bytes of it, whole characters. */
static void keep_clean(struct ks_str text, struct ks_str token, char *to, size_t max)
{
	struct ks_buf b = ks_buf_of(to, max + 1);

	if (holds_token(text, token)) {
		ks_buf_put_c(&b, WITHHELD);
	} else if (!ks_str_has_control(text)) {
		text = ks_str_sub(text, 0, max);
		while (text.n > 0 && !ks_str_is_utf8(text))
			text.n--;
		ks_buf_put(&b, text);
	}
	(void)ks_buf_z(&b);
}

enum ks_err ks_leak_in_read(struct ks_str token, struct ks_str url, struct ks_str note, struct ks_leak_in *ret_leak)
{
	KS_TRY(ks_sha256(token, &ret_leak->digest));
	keep_clean(url, token, ret_leak->url, KS_LEAK_URL_MAX);
	keep_clean(note, token, ret_leak->note, KS_LEAK_NOTE_MAX);
	return KS_OK;
}

struct ks_leak ks_leak_of(const struct ks_leak_in *leak, enum ks_leak_source source)
{
	return (struct ks_leak){leak->digest, source, ks_str_c(leak->url), ks_str_c(leak->note)};
}

/* ---- the gate ---- */

bool ks_leaks_admit(struct ks_call *call)
{
	struct ks_decision limited = {.reason = KS_REASON_RATE_LIMITED};
	struct ks_addr address = {{0}};

	if (call->exchange->local)
		return true;
	/* All whose address is not known share one place. */
	if (!ks_client_address(call->api, call->exchange, &address))
		address = (struct ks_addr){{0}};
	if (ks_gate_take(&call->api->leak_gate, &address, call->api->options.leaks_per_minute, call->exchange->now_ms,
			 &limited.rate.retry_after_s))
		return true;
	(void)ks_call_refuse(call, NULL, &limited, false);
	return false;
}

/* ---- a report ---- */

struct report {
	struct ks_job job;
	struct ks_leak_in in;
};

static enum ks_err run_report(struct ks_job *job, struct ks_tx *tx)
{
	const struct report *report = job->ctx;
	struct ks_leak leak = ks_leak_of(&report->in, KS_LEAK_SOURCE_REPORT);
	enum ks_leak_found found;

	return ks_leak_report(tx, &leak, &found);
}

static void report_done(struct ks_job *job)
{
	struct report *report = job->ctx;

	ks_wipe(report, sizeof(*report));
	free(report);
}

static enum ks_finish submit(struct ks_call *call, struct ks_str token, struct ks_str url, struct ks_str note)
{
	struct report *report = calloc(1, sizeof(*report));
	enum ks_err err = report ? ks_leak_in_read(token, url, note, &report->in) : KS_MEMORY;

	if (err == KS_OK) {
		report->job = (struct ks_job){.run = run_report, .done = report_done, .ctx = report};
		err = ks_engine_submit(call->api->engine, &report->job);
	}
	if (err != KS_OK) {
		free(report);
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	}
	ks_leaks_count(KS_LEAK_SOURCE_REPORT, 1);
	ks_json_open(&call->out, '{');
	ks_json_put_c(&call->out, "status", "accepted");
	ks_json_close(&call->out, '}');
	return ks_call_answer(call, 202);
}

enum ks_finish ks_api_leaks(struct ks_call *call)
{
	static const char *const known[] = {"token", "url", "note", NULL};
	struct ks_str token, url, note;
	enum ks_finish answered;

	if (!ks_leaks_admit(call) || !ks_call_no_query(call))
		return KS_FINISH_DONE;
	token = ks_in_str(&call->in, call->body, "", "token", KS_TOKEN_FOREIGN_MAX, true);
	url = ks_in_str(&call->in, call->body, "", "url", KS_LEAK_URL_MAX, false);
	note = ks_in_str(&call->in, call->body, "", "note", KS_LEAK_NOTE_MAX, false);
	ks_in_known(&call->in, call->body, "", known);
	if (ks_str_has_control(url))
		ks_in_problem(&call->in, "", "url", "This must not have control characters.");
	if (ks_str_has_control(note))
		ks_in_problem(&call->in, "", "note", "This must not have control characters.");
	if (ks_call_invalid(call, &answered))
		return answered;
	return submit(call, token, url, note);
}
