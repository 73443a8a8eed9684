/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/providers/{id}/health, its history, /v1/health/providers: whether credentials work; /v1/providers/{id}/probe: find out
 * now. */
#include <stdlib.h>

#include "api/key_in.h"
#include "api/vault.h"
#include "health/health.h"

/* ---- the record ---- */

static void put_fields(struct ks_json *json, const struct ks_health_row *row)
{
	struct ks_str lines = row->fields, name, status, code;
	int64_t since;

	ks_json_name(json, "fields");
	ks_json_open(json, '[');
	while (ks_health_next_field(&lines, &name, &status, &code, &since)) {
		ks_json_open(json, '{');
		ks_json_put_str(json, "name", name);
		ks_json_put_str(json, "status", status);
		ks_json_put_time(json, "since", since);
		ks_json_put_str(json, "code", code);
		ks_json_put_time(json, "checked_at", row->checked_at);
		ks_json_close(json, '}');
	}
	ks_json_close(json, ']');
}

static void put_health(struct ks_json *json, const struct ks_ring *ring, const struct ks_health_row *row)
{
	ks_json_open(json, '{');
	ks_json_put_id(json, "provider", KS_ID_PROVIDER, row->provider);
	ks_history_put_tenant(json, ring, row->tenant);
	ks_json_put_c(json, "status", ks_health_status_text(row->status));
	ks_json_put_time(json, "since", row->since);
	ks_json_put_str(json, "code", row->code);
	ks_json_put_str(json, "detail", row->detail);
	ks_json_put_time(json, "checked_at", row->checked_at);
	ks_json_put_time(json, "next_at", row->due_at);
	ks_json_put_u64(json, "failures", row->failures);
	ks_json_put_u64(json, "version", row->set);
	ks_json_put_some(json, "last_error_code", row->error_code);
	ks_json_put_time(json, "last_error_at", row->error_at);
	put_fields(json, row);
	ks_json_close(json, '}');
}

/* ---- one provider ---- */

struct showing {
	struct ks_call *call;
	const struct ks_ring *ring;
};

static enum ks_err show_row(void *ctx, const struct ks_health_row *row)
{
	const struct showing *s = ctx;

	put_health(&s->call->out, s->ring, row);
	return KS_OK;
}

/* A provider that nobody has looked at yet. */
static enum ks_err show_first(void *ctx, const struct ks_provider_row *row)
{
	struct ks_health_row none = {
		.provider = row->id, .tenant = row->tenant, .status = KS_HEALTH_UNKNOWN, .since = row->created_at,
		.checked_at = KS_TIME_NONE, .due_at = KS_TIME_NONE, .error_at = KS_TIME_NONE, .code = KS_STR("not_probed"),
	};

	return show_row(ctx, &none);
}

static enum ks_finish show_health(struct ks_call *call)
{
	struct showing s = {call, ks_call_ring(call)};
	uint64_t id;
	enum ks_err err;

	if (!ks_call_no_query(call) || !ks_call_provider(call, &id))
		return KS_FINISH_DONE;
	if (!s.ring)
		return ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
	err = ks_store_health_get(call->reader->store, id, show_row, &s);
	if (err == KS_NOT_FOUND)
		err = ks_store_provider_get(call->reader->store, id, show_first, &s);
	return ks_call_answer_read(call, err);
}

enum ks_finish ks_api_provider_health(struct ks_call *call)
{
	return ks_call_later(call, show_health);
}

/* ---- its history ---- */

struct history {
	struct ks_call *call;
	struct ks_page page;
};

static enum ks_err put_change(void *ctx, const struct ks_health_change_row *row)
{
	struct history *h = ctx;
	struct ks_json *json = &h->call->out;

	if (!ks_page_take(&h->page, row->id))
		return KS_OK;
	ks_json_open(json, '{');
	ks_json_put_time(json, "at", row->at);
	ks_json_put_c(json, "status", ks_health_status_text(row->status));
	ks_json_put_c(json, "was", ks_health_status_text(row->was));
	ks_json_put_str(json, "code", row->code);
	ks_json_put_str(json, "detail", row->detail);
	ks_json_put_u64(json, "version", row->set);
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_finish show_history(struct ks_call *call)
{
	struct history h = {.call = call};
	enum ks_finish answered;
	uint64_t id;
	enum ks_err err;

	if (!ks_call_provider_page(call, &h.page, &id, &answered))
		return answered;
	err = ks_store_health_changes(call->reader->store, id, h.page.before, h.page.limit + 1, put_change, &h);
	return ks_call_page_answer(call, &h.page, err);
}

enum ks_finish ks_api_provider_health_history(struct ks_call *call)
{
	return ks_call_later(call, show_history);
}

/* ---- all ---- */

struct question {
	enum ks_health_status status;
};

static enum ks_err put_row(void *ctx, const struct ks_health_row *row)
{
	struct ks_history *h = ctx;

	if (ks_history_take(h, row->provider, row->tenant))
		put_health(&h->call->out, h->ring, row);
	return KS_OK;
}

static enum ks_err ask(struct ks_history *h, void *ctx)
{
	const struct question *q = ctx;
	struct ks_health_filter filter = {
		.organization = h->organization,
		.tenant = h->tenant,
		.status = q->status,
		.before = h->before,
		.limit = h->ask,
	};

	return ks_store_healths(h->call->reader->store, &filter, put_row, h);
}

static enum ks_finish list_health(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "status", "limit", "cursor", NULL};
	struct question q = {.status = KS_HEALTH_STATUS_COUNT};
	struct ks_history history;
	char storage[32];
	struct ks_str status;

	ks_call_query_known(call, known);
	if (ks_call_query(call, "status", storage, sizeof(storage), &status) && !ks_health_status_parse(status, &q.status))
		ks_call_query_problem(call, "status", "This must be healthy, degraded, failing or unknown.");
	if (!ks_history_read(call, &history))
		return KS_FINISH_DONE;
	return ks_history_answer(&history, ask, &q);
}

enum ks_finish ks_api_health_providers(struct ks_call *call)
{
	return ks_call_later(call, list_health);
}

/* ---- now ---- */

static enum ks_err run_probe(struct ks_call *call, struct ks_tx *tx)
{
	uint64_t id = ((const struct ks_switch *)call->extra)->id;

	KS_TRY(ks_health_asked(tx, &call->actor, id, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_json_put_id(&call->out, "provider", KS_ID_PROVIDER, id);
	ks_json_put_time(&call->out, "requested_at", tx->now_ms);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static void ask_now(struct ks_call *call)
{
	(void)ks_health_ask(call->api->options.health, ((const struct ks_switch *)call->extra)->id);
}

enum ks_finish ks_api_provider_probe(struct ks_call *call)
{
	struct ks_switch *asked;
	uint64_t id;

	if (!ks_call_no_members(call) || !ks_call_id(call, 0, KS_ID_PROVIDER, &id))
		return KS_FINISH_DONE;
	asked = calloc(1, sizeof(*asked));
	if (!asked)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	*asked = (struct ks_switch){.id = id};
	call->extra = asked;
	call->succeeded = ask_now;
	return ks_call_write(call, run_probe, 202);
}
