/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/leaks/github: the alerts of GitHub's secret scanning partner program, signed over the raw body
 * (docs.github.com, "Secret scanning partner program"), answered with which of the tokens are real. */
#include <stdlib.h>

#include "api/leaks.h"
#include "base/secret.h"
#include "crypto/sha256.h"

#define TYPE_MAX 200u

/* ---- the matches ---- */

struct matches {
	json_t *list;
	enum ks_leak_found *found;   /* of each */
};

static void drop_matches(struct ks_call *call)
{
	struct matches *m = call->extra;

	if (!m)
		return;
	json_decref(m->list);
	free(m->found);
	free(m);
}

static struct ks_str text_of(const json_t *item, const char *name)
{
	const json_t *value = json_object_get(item, name);

	return json_is_string(value) ? ks_str_of(json_string_value(value), json_string_length(value)) : KS_STR("");
}

/* False: answered. */
static bool read_matches(struct ks_call *call)
{
	struct ks_str body = call->exchange->body;
	struct matches *m = calloc(1, sizeof(*m));
	bool ok;

	if (!m) {
		(void)ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
		return false;
	}
	call->extra = m;
	call->drop = drop_matches;
	m->list = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	ok = json_is_array(m->list) && json_array_size(m->list) > 0;
	for (size_t i = 0; ok && i < json_array_size(m->list); i++) {
		const json_t *item = json_array_get(m->list, i);

		ok = text_of(item, "token").n > 0 && text_of(item, "type").n > 0 && text_of(item, "type").n <= TYPE_MAX;
	}
	if (!ok) {
		(void)ks_call_problem(call, KS_PROBLEM_BODY_MALFORMED, "The body must be an array of objects with token and type.");
		return false;
	}
	m->found = calloc(json_array_size(m->list), sizeof(*m->found));
	if (!m->found)
		(void)ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	return m->found != NULL;
}

/* GitHub may add members: those that are not known here are not looked at. */
static enum ks_err run_matches(struct ks_job *job, struct ks_tx *tx)
{
	const struct ks_call *call = job->ctx;
	const struct matches *m = call->extra;
	struct ks_leak_in in;

	for (size_t i = 0; i < json_array_size(m->list); i++) {
		const json_t *item = json_array_get(m->list, i);
		struct ks_leak leak;

		KS_TRY(ks_leak_in_read(text_of(item, "token"), text_of(item, "url"), text_of(item, "source"), &in));
		leak = ks_leak_of(&in, KS_LEAK_SOURCE_GITHUB);
		KS_TRY(ks_leak_report(tx, &leak, &m->found[i]));
	}
	return KS_OK;
}

/* A token that any key has or had is real. Only its hash goes back. */
static enum ks_finish answer(struct ks_call *call)
{
	const struct matches *m = call->extra;
	struct ks_json *out = &call->out;

	ks_json_open(out, '[');
	for (size_t i = 0; i < json_array_size(m->list); i++) {
		const json_t *item = json_array_get(m->list, i);
		char hex[2 * KS_SHA256_SIZE + 1];
		struct ks_buf b = KS_BUF(hex);
		struct ks_digest digest;

		if (ks_sha256(text_of(item, "token"), &digest) != KS_OK)
			return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
		ks_buf_put_hex(&b, digest.bytes, sizeof(digest.bytes));
		ks_json_open(out, '{');
		ks_json_put_str(out, "token_hash", ks_buf_str(&b));
		ks_json_put_str(out, "token_type", text_of(item, "type"));
		ks_json_put_c(out, "label", m->found[i] == KS_LEAK_UNKNOWN ? "false_positive" : "true_positive");
		ks_json_close(out, '}');
	}
	ks_json_close(out, ']');
	ks_leaks_count(KS_LEAK_SOURCE_GITHUB, json_array_size(m->list));
	return ks_call_answer(call, 200);
}

static void matches_done(struct ks_job *job)
{
	struct ks_call *call = job->ctx;

	if (job->err == KS_OK)
		(void)answer(call);
	else
		(void)ks_call_problem(call, ks_problem_of_err(job->err), NULL);
	ks_exchange_complete(call->exchange);
}

/* ---- the signature ---- */

static enum ks_err check(struct ks_call *call, bool stale_ok)
{
	const struct ks_exchange *x = call->exchange;
	size_t ids, signatures;
	struct ks_str id = ks_exchange_header(x, KS_STR("Github-Public-Key-Identifier"), &ids);
	struct ks_str signature = ks_exchange_header(x, KS_STR("Github-Public-Key-Signature"), &signatures);

	if (ids != 1 || signatures != 1)
		return KS_FORBIDDEN;
	return ks_github_keys_check(call->api->github_keys, id, signature, x->body, x->now_ms, stale_ok);
}

static enum ks_finish refuse(struct ks_call *call)
{
	return ks_call_problem(call, KS_PROBLEM_SIGNATURE_INVALID, NULL);
}

/* On a thread of its own: keys are fetched for it, and it waits for the writer. */
static enum ks_finish fetch_and_take(struct ks_call *call)
{
	enum ks_err err;

	ks_github_keys_fetch(call->api->github_keys, call->exchange->now_ms);
	if (check(call, true) != KS_OK)
		return refuse(call);
	if (!read_matches(call))
		return KS_FINISH_DONE;
	call->job = (struct ks_job){.run = run_matches, .ctx = call, .bulk = true};
	err = ks_engine_run(call->api->engine, &call->job);
	return err == KS_OK ? answer(call) : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

enum ks_finish ks_api_leaks_github(struct ks_call *call)
{
	enum ks_err err;

	if (!ks_github_keys_configured(call->api->github_keys))
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	err = check(call, false);
	/* Who signs is not limited; who cannot, is, before anything is fetched for him. */
	if (err != KS_OK && !ks_leaks_admit(call))
		return KS_FINISH_DONE;
	if (err == KS_NOT_FOUND)
		return ks_call_alone(call, fetch_and_take);
	if (err != KS_OK)
		return refuse(call);
	if (!read_matches(call))
		return KS_FINISH_DONE;
	call->job = (struct ks_job){.run = run_matches, .done = matches_done, .ctx = call, .bulk = true};
	err = ks_engine_submit(call->api->engine, &call->job);
	return err == KS_OK ? KS_FINISH_PENDING : ks_call_problem(call, ks_problem_of_err(err), NULL);
}
