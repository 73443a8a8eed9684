/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/events and /v1/events/{id}: what happened; GET /v1/event-types: what can happen, with a JSON Schema each. */
#include "api/api_priv.h"
#include "engine/events.h"

static void put_event(struct ks_json *out, const struct ks_ring *ring, const struct ks_event_row *row)
{
	ks_json_open(out, '{');
	ks_json_put_id(out, "id", KS_ID_EVENT, row->id);
	ks_json_put_str(out, "type", row->type);
	ks_json_put_time(out, "at", row->at);
	ks_history_put_tenant(out, ring, row->tenant);
	ks_json_put_id(out, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_some(out, "object", row->object);
	ks_json_put_raw(out, "data", row->data);
	ks_json_close(out, '}');
}

/* ---- the list ---- */

struct question {
	struct ks_str type;
	uint64_t after;
	bool oldest_first;
};

static enum ks_err put_row(void *ctx, const struct ks_event_row *row)
{
	struct ks_history *h = ctx;

	if (ks_history_take(h, row->id, row->tenant))
		put_event(&h->call->out, h->ring, row);
	return KS_OK;
}

static enum ks_err ask(struct ks_history *h, void *ctx)
{
	const struct question *q = ctx;
	struct ks_event_filter filter = {
		.organization = h->organization,
		.tenant = h->tenant,
		.type = q->type,
		.from = h->from,
		.to = h->to,
		.before = q->oldest_first ? 0 : h->before,
		.after = q->oldest_first ? KS_MAX(h->before, q->after) : 0,
		.oldest_first = q->oldest_first,
		.limit = h->ask,
	};

	return ks_store_events(h->call->reader->store, &filter, put_row, h);
}

static void read_question(struct ks_call *call, struct question *q, char storage[64])
{
	static const char *const known[] = {"tenant", "type", "from", "to", "after", "limit", "cursor", NULL};
	enum ks_event_type type;
	char text[64];
	struct ks_str after;

	ks_call_query_known(call, known);
	if (ks_call_query(call, "type", storage, 64, &q->type) && !ks_event_parse(q->type, &type))
		ks_call_query_problem(call, "type", "There is no such type of event.");
	if (!ks_call_query(call, "after", text, sizeof(text), &after))
		return;
	q->oldest_first = true;
	if (!ks_id_parse(after, KS_ID_EVENT, &q->after))
		ks_call_query_problem(call, "after", "This is not the id of an event.");
}

static enum ks_finish list_events(struct ks_call *call)
{
	struct question q = {.type = KS_STR("")};
	struct ks_history history;
	char storage[64];

	read_question(call, &q, storage);
	if (!ks_history_read(call, &history))
		return KS_FINISH_DONE;
	return ks_history_answer(&history, ask, &q);
}

enum ks_finish ks_api_events_list(struct ks_call *call)
{
	return ks_call_later(call, list_events);
}

/* ---- one ---- */

static enum ks_err show(void *ctx, const struct ks_event_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	if (!ring || !ks_history_sees(&call->actor, ring, row->tenant))
		return KS_NOT_FOUND;
	put_event(&call->out, ring, row);
	return KS_OK;
}

enum ks_finish ks_api_events_read(struct ks_call *call)
{
	uint64_t id;
	enum ks_err err;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	if (!ks_id_parse(call->params[0], KS_ID_EVENT, &id))
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	err = ks_store_event_get(call->reader->store, id, show, call);
	return ks_call_answer_read(call, err);
}

/* ---- types ---- */

/* {"type": "object", …} of the data of one type. */
static void put_schema(struct ks_json *out, enum ks_event_type type)
{
	size_t count;
	const struct ks_event_field *fields = ks_event_fields(&count);

	ks_json_open(out, '{');
	ks_json_put_c(out, "type", "object");
	ks_json_put_bool(out, "additionalProperties", false);
	ks_json_name(out, "required");
	ks_json_open(out, '[');
	for (size_t i = 0; i < count; i++) {
		if (fields[i].event == type)
			ks_json_c(out, fields[i].name);
	}
	ks_json_close(out, ']');
	ks_json_name(out, "properties");
	ks_json_open(out, '{');
	for (size_t i = 0; i < count; i++) {
		if (fields[i].event != type)
			continue;
		ks_json_put_raw(out, fields[i].name, ks_str_c(ks_event_field_schema(fields[i].type)));
		ks_json_reopen(out, '}');
		ks_json_put_c(out, "description", fields[i].about);
		ks_json_close(out, '}');
	}
	ks_json_close(out, '}');
	ks_json_close(out, '}');
}

/* Of the body of each request to an endpoint. */
#define ENVELOPE                                                                                                     \
	"{\"type\":\"object\","                                                                                        \
	"\"required\":[\"id\",\"type\",\"timestamp\",\"tenant\",\"organization\",\"object\",\"data\"],"                     \
	"\"properties\":{\"id\":{\"type\":\"string\",\"pattern\":\"^evt_[0-9a-hjkmnp-tv-z]{13}$\"},"                        \
	"\"type\":{\"type\":\"string\"},\"timestamp\":{\"type\":\"string\",\"format\":\"date-time\"},"                    \
	"\"tenant\":{\"type\":[\"string\",\"null\"]},\"organization\":{\"type\":[\"string\",\"null\"]},"                  \
	"\"object\":{\"type\":[\"string\",\"null\"]},\"data\":{\"type\":\"object\"}}}"

enum ks_finish ks_api_event_types(struct ks_call *call)
{
	struct ks_json *out = &call->out;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_json_open(out, '{');
	ks_json_name(out, "items");
	ks_json_open(out, '[');
	for (enum ks_event_type type = 0; type < KS_EVENT_COUNT; type++) {
		ks_json_open(out, '{');
		ks_json_put_c(out, "type", ks_event_name(type));
		ks_json_put_c(out, "about", ks_event_about(type));
		ks_json_name(out, "schema");
		put_schema(out, type);
		ks_json_close(out, '}');
	}
	ks_json_close(out, ']');
	ks_json_put_null(out, "next");
	ks_json_put_raw(out, "envelope", KS_STR(ENVELOPE));
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}
