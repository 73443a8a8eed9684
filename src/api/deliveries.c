/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/deliveries, and what an endpoint is sent once more: one event to one endpoint, with each attempt. */
#include "engine/deliveries.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/endpoints.h"
#include "base/ctenc.h"

#define CHUNK 1000u /* rows asked of the store at once for those of one event */

/* ---- the record ---- */

/* 0: there was no answer. */
static void put_status(struct ks_json *json, uint64_t status)
{
	if (status)
		ks_json_put_u64(json, "status", status);
	else
		ks_json_put_null(json, "status");
}

void ks_record_delivery(struct ks_json *json, const struct ks_delivery_row *row, const struct ks_ring *ring, bool open)
{
	uint32_t index = ring ? ks_ring_tenant(ring, row->tenant) : KS_RING_NONE;

	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_DELIVERY, row->id);
	ks_json_put_id(json, "endpoint", KS_ID_ENDPOINT, row->endpoint);
	ks_json_put_id(json, "event", KS_ID_EVENT, row->event);
	ks_json_put_str(json, "type", row->type);
	if (index == KS_RING_NONE)
		ks_json_put_null(json, "tenant");
	else
		ks_json_put_id(json, "tenant", (enum ks_id_type)ring->tenants[index].kind, row->tenant);
	ks_json_put_c(json, "state", ks_delivery_state_text(row->state));
	ks_json_put_u64(json, "attempts", row->attempts);
	ks_json_put_time(json, "next_at", row->due_at);
	ks_json_put_time(json, "ended_at", row->ended_at);
	ks_json_put_some(json, "code", row->code);
	put_status(json, row->status);
	if (row->attempts)
		ks_json_put_u64(json, "elapsed_ms", row->elapsed_ms);
	else
		ks_json_put_null(json, "elapsed_ms");
	if (!open)
		ks_json_close(json, '}');
}

struct showing {
	struct ks_json *json;
	const struct ks_ring *ring;
};

static enum ks_err put_delivery(void *ctx, const struct ks_delivery_row *row)
{
	const struct showing *s = ctx;

	ks_record_delivery(s->json, row, s->ring, false);
	return KS_OK;
}

enum ks_err ks_record_delivery_by_id(struct ks_store *store, struct ks_json *json, uint64_t id, const struct ks_ring *ring)
{
	struct showing s = {json, ring};

	return ks_store_delivery_get(store, id, put_delivery, &s);
}

static enum ks_err put_attempt(void *ctx, const struct ks_attempt_row *row)
{
	struct ks_json *json = ctx;

	ks_json_open(json, '{');
	ks_json_put_u64(json, "number", row->number);
	ks_json_put_time(json, "at", row->at);
	ks_json_put_str(json, "code", row->code);
	put_status(json, row->status);
	ks_json_put_u64(json, "elapsed_ms", row->elapsed_ms);
	ks_json_put_str(json, "excerpt", row->excerpt);
	ks_json_close(json, '}');
	return KS_OK;
}

/* ---- list ---- */

struct list {
	struct ks_history history;
	uint64_t endpoint, event;
	enum ks_delivery_state state;
};

static enum ks_err list_row(void *ctx, const struct ks_delivery_row *row)
{
	struct list *list = ctx;
	struct ks_history *h = &list->history;

	if ((list->event && row->event != list->event) || (h->tenant && row->tenant != h->tenant))
		ks_history_skip(h, row->id);
	else if (ks_history_take(h, row->id, row->tenant))
		ks_record_delivery(&h->call->out, row, h->ring, false);
	return KS_OK;
}

static enum ks_err ask(struct ks_history *h, void *ctx)
{
	const struct list *list = ctx;
	struct ks_delivery_filter filter = {
		.organization = h->organization, .tenant = h->tenant, .endpoint = list->endpoint, .state = list->state,
		.from = h->from, .to = h->to, .before = h->before, .limit = h->ask,
	};

	return ks_store_deliveries(h->call->reader->store, &filter, list_row, ctx);
}

static void read_id(struct ks_call *call, const char *name, enum ks_id_type type, uint64_t *id)
{
	char storage[64];
	struct ks_str text;

	if (ks_call_query(call, name, storage, sizeof(storage), &text) && !ks_id_parse(text, type, id))
		ks_call_query_problem(call, name, type == KS_ID_EVENT ? "This is not the id of an event." : "This is not the id of an endpoint.");
}

static void read_state(struct ks_call *call, enum ks_delivery_state *state)
{
	char storage[32];
	struct ks_str text;

	if (ks_call_query(call, "state", storage, sizeof(storage), &text) && !ks_delivery_state_parse(text, state))
		ks_call_query_problem(call, "state", "This must be pending, delivered or failed.");
}

static enum ks_finish list_deliveries(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "endpoint", "event", "state", "from", "to", "limit", "cursor", NULL};
	struct list list = {.state = KS_DELIVERY_STATE_COUNT};

	ks_call_query_known(call, known);
	read_id(call, "endpoint", KS_ID_ENDPOINT, &list.endpoint);
	read_id(call, "event", KS_ID_EVENT, &list.event);
	read_state(call, &list.state);
	if (!ks_history_read(call, &list.history))
		return KS_FINISH_DONE;
	/* An endpoint may be anybody's: each row is looked at. No delivery is older than its event. */
	if (list.endpoint)
		list.history.all_seen = false;
	if (list.event) {
		list.history.ask = CHUNK;
		list.history.from = KS_MAX(list.history.from, ks_id_time(list.event));
	}
	return ks_history_answer(&list.history, ask, &list);
}

enum ks_finish ks_api_deliveries_list(struct ks_call *call)
{
	return ks_call_later(call, list_deliveries);
}

/* ---- one ---- */

static enum ks_err put_seen(void *ctx, const struct ks_delivery_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	if (!ring || !ks_history_sees(&call->actor, ring, row->tenant))
		return KS_NOT_FOUND;
	ks_record_delivery(&call->out, row, ring, true);
	ks_json_name(&call->out, "attempt_list");
	ks_json_open(&call->out, '[');
	KS_TRY(ks_store_attempts(call->reader->store, row->id, put_attempt, &call->out));
	ks_json_close(&call->out, ']');
	ks_json_close(&call->out, '}');
	return KS_OK;
}

enum ks_finish ks_api_deliveries_read(struct ks_call *call)
{
	uint64_t id;

	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_DELIVERY, &id))
		return KS_FINISH_DONE;
	return ks_call_answer_read(call, ks_store_delivery_get(call->reader->store, id, put_seen, call));
}

static enum ks_err run_replay(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_deliveries_replay(tx, &call->actor, change->id, &call->job.refusal));
	return ks_record_delivery_by_id(tx->store, &call->out, change->id, tx->ring);
}

enum ks_finish ks_api_deliveries_replay(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_DELIVERY, true, run_replay) : KS_FINISH_DONE;
}

/* ---- many of an endpoint, a step at a time ---- */

#define CURSOR_DIGITS 16

struct range {
	struct ks_replay replay;
	uint64_t after;
};

static enum ks_err run_range(struct ks_call *call, struct ks_tx *tx)
{
	struct range *range = call->extra;
	char cursor[CURSOR_DIGITS + 1];
	uint64_t after = range->after, count = 0;

	KS_TRY(ks_deliveries_replay_range(tx, &call->actor, &range->replay, &after, &count, &call->job.refusal));
	(void)snprintf(cursor, sizeof(cursor), "%016llx", (unsigned long long)after);
	ks_json_open(&call->out, '{');
	ks_json_put_u64(&call->out, "replayed", count);
	ks_json_put_c(&call->out, "next", after ? cursor : NULL);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static void read_cursor(struct ks_call *call, uint64_t *after)
{
	struct ks_str text = ks_in_str(&call->in, call->body, "", "cursor", CURSOR_DIGITS, false);
	unsigned char bytes[CURSOR_DIGITS / 2];

	if (ks_str_empty(text))
		return;
	if (text.n != CURSOR_DIGITS || !ks_hex_decode(text, false, bytes, sizeof(bytes))) {
		ks_in_problem(&call->in, "", "cursor", "This is no cursor of ours.");
		return;
	}
	for (size_t i = 0; i < sizeof(bytes); i++)
		*after = *after << 8 | bytes[i];
}

enum ks_finish ks_api_endpoints_replay(struct ks_call *call)
{
	static const char *const known[] = {"from", "to", "failed_only", "cursor", NULL};
	struct range *range;
	enum ks_finish answered;
	uint64_t id;

	if (!ks_call_id(call, 0, KS_ID_ENDPOINT, &id))
		return KS_FINISH_DONE;
	range = calloc(1, sizeof(*range));
	if (!range)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = range;
	range->replay = (struct ks_replay){.endpoint = id, .from = KS_TIME_NONE, .to = KS_TIME_NONE, .failed_only = true};
	ks_in_known(&call->in, call->body, "", known);
	(void)ks_in_time(&call->in, call->body, "", "from", true, false, &range->replay.from);
	(void)ks_in_time(&call->in, call->body, "", "to", false, true, &range->replay.to);
	(void)ks_in_bool(&call->in, call->body, "", "failed_only", &range->replay.failed_only);
	read_cursor(call, &range->after);
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_range, 200);
}
