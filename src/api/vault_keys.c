/* SPDX-License-Identifier: Apache-2.0 */
/* The root that wraps the keys of secrets: what it is, and wrapping them anew. */
#include "api/api_priv.h"
#include "engine/rewrap.h"
#include "engine/seal.h"

/* ---- what there is ---- */

enum ks_finish ks_api_vault_root(struct ks_call *call)
{
	struct ks_json *out = &call->out;
	struct ks_keeper_stats stats;
	uint64_t rewrapped;
	bool running;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_keeper_stats(ks_engine_keeper(call->api->engine), &stats);
	ks_engine_rewrap_progress(call->api->engine, &running, &rewrapped);
	ks_json_open(out, '{');
	ks_json_put_c(out, "root", stats.root);
	ks_json_put_bool(out, "ready", stats.ready);
	ks_json_put_bool(out, "landlock", stats.landlock);
	ks_json_put_bool(out, "rotating", stats.rotating);
	ks_json_put_bool(out, "rewrapping", running);
	ks_json_put_u64(out, "rewrapped", rewrapped);
	ks_json_put_u64(out, "restarts", stats.restarts);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

/* ---- wrapping anew ---- */

static enum ks_finish rewrap(struct ks_call *call)
{
	bool rotate = json_is_true(json_object_get(call->body, "rotate"));
	struct ks_rewrap_report report;
	struct ks_engine_problem why;
	struct ks_json *out = &call->out;
	enum ks_err err = ks_engine_rewrap(call->api->engine, rotate, &report, &why);

	if (err == KS_CONFLICT || err == KS_FORBIDDEN)
		return ks_call_problem(call, KS_PROBLEM_CONFLICT, why.text);
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), why.text);
	ks_json_open(out, '{');
	ks_json_put_c(out, "root", report.root);
	ks_json_put_u64(out, "keys", report.keys);
	ks_json_put_u64(out, "rewrapped", report.rewrapped);
	ks_json_put_bool(out, "rotated", report.rotated);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_vault_rewrap(struct ks_call *call)
{
	static const char *const known[] = {"rotate", NULL};
	enum ks_finish answered;
	bool rotate = false;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	if (call->body) {
		ks_in_known(&call->in, call->body, "", known);
		(void)ks_in_bool(&call->in, call->body, "", "rotate", &rotate);
	}
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_alone(call, rewrap);
}
