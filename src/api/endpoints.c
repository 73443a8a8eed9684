/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/webhook-endpoints: where events are sent, and what they are signed with. */
#include "engine/endpoints.h"

#include <stdlib.h>

#include "api/endpoints.h"
#include "api/federation.h"
#include "base/secret.h"
#include "engine/events.h"

/* ---- the record ---- */

static void put_tenant(struct ks_json *json, const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = ring ? ks_ring_tenant(ring, tenant) : KS_RING_NONE;

	if (index == KS_RING_NONE)
		ks_json_put_null(json, "tenant");
	else
		ks_json_put_id(json, "tenant", (enum ks_id_type)ring->tenants[index].kind, tenant);
}

static void put_events(struct ks_json *json, struct ks_str events)
{
	struct ks_str one, rest = events;
	bool more = true;

	ks_json_name(json, "events");
	ks_json_open(json, '[');
	while (more) {
		one = rest;
		more = ks_str_split(rest, ' ', &one, &rest);
		ks_json_str(json, one);
	}
	ks_json_close(json, ']');
}

/* 0: there is no limit of its own. */
static void put_limit(struct ks_json *json, const char *name, uint64_t value)
{
	if (value)
		ks_json_put_u64(json, name, value);
	else
		ks_json_put_null(json, name);
}

struct showing {
	struct ks_json *json;
	struct ks_store *store;
	const struct ks_ring *ring;
	int64_t now_ms;
};

/* Those that sign at this moment. */
static enum ks_err put_secret(void *ctx, const struct ks_endpoint_secret_row *row)
{
	const struct showing *s = ctx;

	if (row->ends_at != KS_TIME_NONE && row->ends_at <= s->now_ms)
		return KS_OK;
	ks_json_open(s->json, '{');
	ks_json_put_c(s->json, "signature", ks_endpoint_signature_text(row->signature));
	ks_json_put_some(s->json, "public_key", row->public_key);
	ks_json_put_time(s->json, "created_at", row->created_at);
	ks_json_put_time(s->json, "ends_at", row->ends_at);
	ks_json_close(s->json, '}');
	return KS_OK;
}

static enum ks_err put_endpoint(void *ctx, const struct ks_endpoint_row *row)
{
	struct showing *s = ctx;
	struct ks_json *json = s->json;

	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_ENDPOINT, row->id);
	put_tenant(json, s->ring, row->tenant);
	ks_json_put_id(json, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_str(json, "url", row->url);
	put_events(json, row->events);
	ks_json_put_str(json, "description", row->description);
	ks_json_put_c(json, "state", row->deleted_at != KS_TIME_NONE ? "deleted" : ks_endpoint_state_text(row->state));
	ks_json_put_some(json, "reason", row->reason);
	ks_json_put_c(json, "signature", ks_endpoint_signature_text(row->signature));
	put_limit(json, "concurrency", row->concurrency);
	put_limit(json, "rate_limit", row->rate_limit);
	ks_json_name(json, "secrets");
	ks_json_open(json, '[');
	KS_TRY(ks_store_endpoint_secrets(s->store, row->id, put_secret, s));
	ks_json_close(json, ']');
	ks_json_put_time(json, "failing_since", row->failing_since);
	ks_json_put_time(json, "disabled_at", row->disabled_at);
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_time(json, "deleted_at", row->deleted_at);
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_err show_in(struct ks_call *call, struct ks_tx *tx, uint64_t id)
{
	struct showing s = {&call->out, tx->store, tx->ring, tx->now_ms};

	return ks_store_endpoint_get(tx->store, id, put_endpoint, &s);
}

/* The secret at the end of what was shown: null for a key pair, whose public half stands in "secrets". */
static void put_made(struct ks_call *call, const struct ks_endpoint_secret *secret)
{
	ks_json_reopen(&call->out, '}');
	ks_json_put_some(&call->out, "secret", ks_str_c(secret->text));
	ks_json_close(&call->out, '}');
}

/* ---- reading bodies ---- */

/* What a request says of an endpoint; borrows from its JSON. */
struct change {
	uint64_t id;
	struct ks_endpoint_patch patch;
	struct ks_str events[KS_EVENT_COUNT];
};

static bool has(const struct ks_call *call, const char *name)
{
	return json_object_get(call->body, name) != NULL;
}

static void read_limit(struct ks_call *call, const char *name, uint64_t max, bool *set, uint64_t *value)
{
	const json_t *member = json_object_get(call->body, name);

	*set = member != NULL;
	*value = 0;
	if (member && !json_is_null(member))
		(void)ks_in_u64(&call->in, call->body, "", name, 1, max, true, value);
}

static void read_events(struct ks_call *call, struct change *change)
{
	struct ks_endpoint_input *to = &change->patch.to;

	change->patch.set_events = true;
	if (ks_in_strs(&call->in, call->body, "", "events", KS_STORE_ENDPOINT_EVENTS_MAX, change->events, KS_EVENT_COUNT,
		       &to->event_count) &&
	    to->event_count == 0)
		ks_in_problem(&call->in, "", "events", "This must be types of events, or \"*\" alone for all.");
	to->events = change->events;
}

static void read_members(struct ks_call *call, struct change *change)
{
	struct ks_endpoint_patch *patch = &change->patch;
	struct ks_in *in = &call->in;

	patch->set_url = has(call, "url");
	if (patch->set_url) {
		patch->to.url = ks_in_str(in, call->body, "", "url", KS_STORE_URL_MAX, true);
		if (!ks_str_empty(patch->to.url))
			ks_call_check_url(call, "url", patch->to.url);
	}
	if (has(call, "events"))
		read_events(call, change);
	patch->set_description = has(call, "description");
	patch->to.description = ks_in_str(in, call->body, "", "description", KS_STORE_DESCRIPTION_MAX, false);
	if (ks_str_has_control(patch->to.description))
		ks_in_problem(in, "", "description", "This must not have control characters.");
	read_limit(call, "concurrency", KS_ENDPOINT_CONCURRENCY_MAX, &patch->set_concurrency, &patch->to.concurrency);
	read_limit(call, "rate_limit", KS_ENDPOINT_RATE_MAX, &patch->set_rate_limit, &patch->to.rate_limit);
}

static void read_signature(struct ks_call *call, enum ks_endpoint_signature *signature)
{
	struct ks_str text = ks_in_str(&call->in, call->body, "", "signature", 8, false);

	if (!ks_str_empty(text) && !ks_endpoint_signature_parse(text, signature))
		ks_in_problem(&call->in, "", "signature", "This must be v1 (HMAC) or v1a (Ed25519).");
}

/* ---- create ---- */

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;
	struct ks_endpoint_secret secret;
	uint64_t id;
	enum ks_err err = ks_endpoints_create(tx, &call->actor, &change->patch.to, &id, &secret, &call->job.refusal);

	if (err != KS_OK)
		return err;
	err = show_in(call, tx, id);
	if (err == KS_OK)
		put_made(call, &secret);
	ks_wipe(&secret, sizeof(secret));
	return err;
}

static struct change *new_change(struct ks_call *call)
{
	call->extra = calloc(1, sizeof(struct change));
	call->wipe = true;
	call->shown_once = "secret";
	return call->extra;
}

enum ks_finish ks_api_endpoints_create(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "url", "events", "description", "signature", "concurrency", "rate_limit", NULL};
	struct change *change = new_change(call);
	enum ks_finish answered;

	if (!change)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_in_known(&call->in, call->body, "", known);
	read_members(call, change);
	read_signature(call, &change->patch.to.signature);
	if (!change->patch.set_url)
		ks_in_problem(&call->in, "", "url", "This is required.");
	if (!change->patch.set_events)
		ks_in_problem(&call->in, "", "events", "This is required.");
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "tenant", false, &change->patch.to.tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_create, 201);
}

/* ---- list, read ---- */

struct list {
	struct ks_history history;
	struct showing showing;
};

static enum ks_err list_row(void *ctx, const struct ks_endpoint_row *row)
{
	struct list *list = ctx;

	/* What is left of a deleted tenant is no endpoint any more. */
	if (!ks_history_take(&list->history, row->id, row->tenant) ||
	    !ks_actor_sees(&list->history.call->actor, list->history.ring, row->tenant))
		return KS_OK;
	return put_endpoint(&list->showing, row);
}

static enum ks_err ask(struct ks_history *h, void *ctx)
{
	struct ks_endpoint_filter filter = {
		.organization = h->organization, .tenant = h->tenant, .before = h->before, .limit = h->ask,
	};

	return ks_store_endpoints(h->call->reader->store, &filter, list_row, ctx);
}

static enum ks_finish list_endpoints(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "limit", "cursor", NULL};
	struct list list;

	ks_call_query_known(call, known);
	if (!ks_history_read(call, &list.history))
		return KS_FINISH_DONE;
	list.showing = (struct showing){&call->out, call->reader->store, list.history.ring, call->exchange->now_ms};
	return ks_history_answer(&list.history, ask, &list);
}

enum ks_finish ks_api_endpoints_list(struct ks_call *call)
{
	return ks_call_later(call, list_endpoints);
}

static enum ks_err put_seen(void *ctx, const struct ks_endpoint_row *row)
{
	struct ks_call *call = ctx;
	struct showing s = {&call->out, call->reader->store, ks_call_ring(call), call->exchange->now_ms};

	if (!s.ring || row->deleted_at != KS_TIME_NONE || !ks_actor_sees(&call->actor, s.ring, row->tenant))
		return KS_NOT_FOUND;
	return put_endpoint(&s, row);
}

enum ks_finish ks_api_endpoints_read(struct ks_call *call)
{
	uint64_t id;

	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_ENDPOINT, &id))
		return KS_FINISH_DONE;
	return ks_call_answer_read(call, ks_store_endpoint_get(call->reader->store, id, put_seen, call));
}

/* ---- change ---- */

static enum ks_err run_update(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_endpoints_update(tx, &call->actor, change->id, &change->patch, &call->job.refusal));
	return show_in(call, tx, change->id);
}

enum ks_finish ks_api_endpoints_update(struct ks_call *call)
{
	static const char *const known[] = {"url", "events", "description", "concurrency", "rate_limit", NULL};
	struct change *change;
	enum ks_finish answered;
	uint64_t id;

	if (!ks_call_id(call, 0, KS_ID_ENDPOINT, &id))
		return KS_FINISH_DONE;
	change = new_change(call);
	if (!change)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	change->id = id;
	ks_in_known(&call->in, call->body, "", known);
	read_members(call, change);
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_update, 200);
}

static enum ks_err run_switch(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(change->on ? ks_endpoints_resume(tx, &call->actor, change->id, &call->job.refusal)
			  : ks_endpoints_pause(tx, &call->actor, change->id, &call->job.refusal));
	return show_in(call, tx, change->id);
}

enum ks_finish ks_api_endpoints_pause(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_ENDPOINT, false, run_switch) : KS_FINISH_DONE;
}

enum ks_finish ks_api_endpoints_resume(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_ENDPOINT, true, run_switch) : KS_FINISH_DONE;
}

static enum ks_err run_delete(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_endpoints_delete(tx, &call->actor, change->id, &call->job.refusal));
	return show_in(call, tx, change->id);
}

enum ks_finish ks_api_endpoints_delete(struct ks_call *call)
{
	return ks_call_switch(call, KS_ID_ENDPOINT, false, run_delete);
}

/* ---- a new secret ---- */

struct rotation {
	uint64_t id;
	bool same; /* as the current one is */
	struct ks_endpoint_rotation to;
};

static enum ks_err take_signature(void *ctx, const struct ks_endpoint_row *row)
{
	struct rotation *rotation = ctx;

	rotation->to.signature = row->signature;
	return KS_OK;
}

static enum ks_err run_rotate(struct ks_call *call, struct ks_tx *tx)
{
	struct rotation *rotation = call->extra;
	struct ks_endpoint_secret secret;
	enum ks_err err = rotation->same ? ks_store_endpoint_get(tx->store, rotation->id, take_signature, rotation) : KS_OK;

	/* One that is not there is refused below, as one that is not seen. */
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	err = ks_endpoints_rotate(tx, &call->actor, rotation->id, &rotation->to, &secret, &call->job.refusal);
	if (err != KS_OK)
		return err;
	err = show_in(call, tx, rotation->id);
	if (err == KS_OK)
		put_made(call, &secret);
	ks_wipe(&secret, sizeof(secret));
	return err;
}

enum ks_finish ks_api_endpoints_rotate(struct ks_call *call)
{
	static const char *const known[] = {"overlap_s", "signature", NULL};
	struct rotation *rotation;
	uint64_t id, overlap_s = 0;
	enum ks_finish answered;

	if (!ks_call_id(call, 0, KS_ID_ENDPOINT, &id))
		return KS_FINISH_DONE;
	rotation = calloc(1, sizeof(*rotation));
	if (!rotation)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = rotation;
	call->wipe = true;
	call->shown_once = "secret";
	rotation->id = id;
	if (call->body) {
		ks_in_known(&call->in, call->body, "", known);
		(void)ks_in_u64(&call->in, call->body, "", "overlap_s", 0, KS_ENDPOINT_OVERLAP_MAX_MS / 1000, false, &overlap_s);
		read_signature(call, &rotation->to.signature);
	}
	rotation->same = !call->body || !has(call, "signature");
	rotation->to.overlap_ms = (int64_t)overlap_s * 1000;
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_rotate, 200);
}

/* ---- a test event ---- */

static enum ks_err run_test(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;
	uint64_t delivery;

	KS_TRY(ks_endpoints_test(tx, &call->actor, change->id, &delivery, &call->job.refusal));
	return ks_record_delivery_by_id(tx->store, &call->out, delivery, tx->ring);
}

enum ks_finish ks_api_endpoints_test(struct ks_call *call)
{
	struct ks_switch *change;
	uint64_t id;

	if (!ks_call_no_members(call) || !ks_call_id(call, 0, KS_ID_ENDPOINT, &id))
		return KS_FINISH_DONE;
	change = calloc(1, sizeof(*change));
	if (!change)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	change->id = id;
	call->extra = change;
	return ks_call_write(call, run_test, 201);
}
