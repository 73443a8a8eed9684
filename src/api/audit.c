/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/audit: who did what, newest first. */
#include "api/api_priv.h"

struct question {
	struct ks_str actor, action, address, outcome;
	bool hidden;               /* the actor is not the caller's business: nothing was done by it */
};

static enum ks_err put_row(void *ctx, const struct ks_audit_row *row)
{
	struct ks_history *h = ctx;
	struct ks_json *out = &h->call->out;

	if (!ks_history_take(h, row->id, row->tenant))
		return KS_OK;
	ks_json_open(out, '{');
	ks_json_put_id(out, "id", KS_ID_AUDIT, row->id);
	ks_json_put_time(out, "at", row->at);
	ks_json_put_actor(out, "actor", row->actor);
	ks_json_put_some(out, "on_behalf", row->on_behalf);
	ks_json_put_str(out, "action", row->action);
	ks_json_put_some(out, "object", row->object);
	ks_history_put_tenant(out, h->ring, row->tenant);
	ks_json_put_id(out, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_str(out, "outcome", row->outcome);
	ks_json_put_some(out, "address", row->address);
	ks_json_put_some(out, "request_id", row->request_id);
	ks_json_put_raw(out, "detail", ks_str_empty(row->detail) ? KS_STR("{}") : row->detail);
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_err ask(struct ks_history *h, void *ctx)
{
	const struct question *q = ctx;
	struct ks_audit_filter filter = {
		.organization = h->organization,
		.tenant = h->tenant,
		.actor = q->actor,
		.action = q->action,
		.address = q->address,
		.outcome = q->outcome,
		.from = h->from,
		.to = h->to,
		.before = h->before,
		.limit = h->ask,
	};

	if (q->hidden)
		return KS_OK;
	return ks_store_audit(h->call->reader->store, &filter, put_row, h);
}

static enum ks_finish list_audit(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "actor", "action", "address", "outcome", "from", "to", "limit",
					    "cursor", NULL};
	char actor[KS_STORE_ACTOR_MAX], action[64], address[KS_STORE_ADDRESS_MAX], outcome[64];
	struct question q = {
		.actor = KS_STR(""), .action = KS_STR(""), .address = KS_STR(""), .outcome = KS_STR("")};
	struct ks_history history;

	ks_call_query_known(call, known);
	(void)ks_call_query(call, "actor", actor, sizeof(actor), &q.actor);
	(void)ks_call_query(call, "action", action, sizeof(action), &q.action);
	(void)ks_call_query(call, "address", address, sizeof(address), &q.address);
	(void)ks_call_query(call, "outcome", outcome, sizeof(outcome), &q.outcome);
	if (!ks_history_read(call, &history))
		return KS_FINISH_DONE;
	q.hidden = !ks_str_empty(q.actor) && !ks_viewer_sees(&call->viewer, q.actor);
	return ks_history_answer(&history, ask, &q);
}

enum ks_finish ks_api_audit(struct ks_call *call)
{
	return ks_call_later(call, list_audit);
}
