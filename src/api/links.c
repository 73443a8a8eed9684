/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/providers/{id}/fields/{field}/links, /v1/providers/{id}/links, /v1/links/{id}: by those who manage providers. */
#include "engine/links.h"

#include <stdlib.h>

#include "api/api_priv.h"

#define LIFETIME_S 86400

/* ---- the record ---- */

struct showing {
	struct ks_json *json;
	int64_t now_ms;
	const struct ks_ring *ring;
};

/* One whose time is over has expired, also before that is written. */
static enum ks_link_state state_at(const struct ks_link_row *row, int64_t now_ms)
{
	return row->state == KS_LINK_OPEN && row->expires_at <= now_ms ? KS_LINK_EXPIRED : row->state;
}

static void put_tenant(const struct showing *s, uint64_t tenant)
{
	uint32_t index = s->ring ? ks_ring_tenant(s->ring, tenant) : KS_RING_NONE;

	if (index == KS_RING_NONE)
		ks_json_put_null(s->json, "tenant");
	else
		ks_json_put_id(s->json, "tenant", (enum ks_id_type)s->ring->tenants[index].kind, tenant);
}

static enum ks_err put_row(void *ctx, const struct ks_link_row *row)
{
	const struct showing *s = ctx;
	enum ks_link_state state = state_at(row, s->now_ms);
	struct ks_json *json = s->json;

	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_LINK, row->id);
	put_tenant(s, row->tenant);
	ks_json_put_id(json, "provider", KS_ID_PROVIDER, row->provider);
	ks_json_put_str(json, "field", row->field);
	ks_json_put_some(json, "for", row->recipient);
	ks_json_put_c(json, "status", ks_link_state_text(state));
	ks_json_put_u64(json, "attempts", row->attempts);
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_time(json, "expires_at", row->expires_at);
	ks_json_put_time(json, "ended_at", state == KS_LINK_EXPIRED ? row->expires_at : row->ended_at);
	if (row->version)
		ks_json_put_u64(json, "version", row->version);
	else
		ks_json_put_null(json, "version");
	ks_json_close(json, '}');
	return KS_OK;
}

/* ---- create ---- */

struct create {
	struct ks_link_input input;
	char field[KS_STORE_FIELD_NAME_MAX + 1];
};

static void put_url(struct ks_call *call, const struct ks_link_made *made)
{
	char url[KS_ENGINE_ISSUER_NAME_SIZE + KS_LINK_TOKEN_SIZE + 16];
	struct ks_buf b = KS_BUF(url);

	ks_buf_put_c(&b, ks_engine_options(call->api->engine)->issuer.name);
	ks_buf_put_c(&b, "/intake/");
	ks_buf_put_c(&b, made->token);
	ks_json_reopen(&call->out, '}');
	ks_json_put_str(&call->out, "url", ks_buf_str(&b));
	ks_json_close(&call->out, '}');
	ks_wipe(url, sizeof(url));
}

static enum ks_err show_in(struct ks_call *call, struct ks_store *store, const struct ks_ring *ring, int64_t now_ms,
			   uint64_t id)
{
	struct showing s = {&call->out, now_ms, ring};

	return ks_store_link_get(store, id, put_row, &s);
}

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	const struct create *create = call->extra;
	struct ks_link_made made;
	enum ks_err err = ks_links_create(tx, &call->actor, &create->input, &made, &call->job.refusal);

	if (err == KS_OK)
		err = show_in(call, tx->store, tx->ring, tx->now_ms, made.id);
	if (err == KS_OK)
		put_url(call, &made);
	ks_wipe(&made, sizeof(made));
	return err;
}

static void read_body(struct ks_call *call, struct ks_link_input *input)
{
	static const char *const known[] = {"expires_in_s", "for", NULL};
	uint64_t lifetime_s = LIFETIME_S;

	ks_in_known(&call->in, call->body, "", known);
	(void)ks_in_u64(&call->in, call->body, "", "expires_in_s", KS_LINK_LIFETIME_LEAST_S, KS_LINK_LIFETIME_MOST_S,
			false, &lifetime_s);
	input->lifetime_ms = (int64_t)lifetime_s * 1000;
	input->recipient = ks_in_str(&call->in, call->body, "", "for", KS_STORE_RECIPIENT_MAX, false);
	if (ks_str_has_control(input->recipient))
		ks_in_problem(&call->in, "", "for", "This must not have control characters.");
}

enum ks_finish ks_api_links_create(struct ks_call *call)
{
	struct create *create = calloc(1, sizeof(*create));
	struct ks_buf field;
	enum ks_finish answered;

	if (!create)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = create;
	call->wipe = true;
	call->shown_once = "url";
	if (!ks_call_id(call, 0, KS_ID_PROVIDER, &create->input.provider))
		return KS_FINISH_DONE;
	field = KS_BUF(create->field);
	ks_buf_put(&field, call->params[1]);
	create->input.field = ks_buf_str(&field);
	if (!ks_buf_ok(&field))
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	read_body(call, &create->input);
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_create, 201);
}

/* ---- list, read ---- */

struct list {
	struct showing showing;
	struct ks_page page;
};

static enum ks_err list_row(void *ctx, const struct ks_link_row *row)
{
	struct list *list = ctx;

	return ks_page_take(&list->page, row->id) ? put_row(&list->showing, row) : KS_OK;
}

static enum ks_err see_provider(void *ctx, const struct ks_provider_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	if (!ring || row->deleted_at != KS_TIME_NONE || !ks_actor_sees(&call->actor, ring, row->tenant))
		return KS_NOT_FOUND;
	return KS_OK;
}

static enum ks_finish list_links(struct ks_call *call)
{
	static const char *const known[] = {"limit", "cursor", NULL};
	struct list list = {.showing = {&call->out, call->exchange->now_ms, ks_call_ring(call)}};
	struct ks_store *store = call->reader->store;
	uint64_t provider;
	enum ks_finish answered;
	enum ks_err err;

	if (!ks_call_id(call, 0, KS_ID_PROVIDER, &provider))
		return KS_FINISH_DONE;
	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	if (ks_call_invalid(call, &answered))
		return answered;
	err = ks_store_provider_get(store, provider, see_provider, call);
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_call_page_open(call);
	err = ks_store_links_of_provider(store, provider, list.page.before, list.page.limit + 1, list_row, &list);
	return ks_call_page_answer(call, &list.page, err);
}

enum ks_finish ks_api_links_list(struct ks_call *call)
{
	return ks_call_later(call, list_links);
}

static enum ks_err put_seen(void *ctx, const struct ks_link_row *row)
{
	struct ks_call *call = ctx;
	struct showing s = {&call->out, call->exchange->now_ms, ks_call_ring(call)};

	if (!s.ring || !ks_actor_sees(&call->actor, s.ring, row->tenant))
		return KS_NOT_FOUND;
	return put_row(&s, row);
}

enum ks_finish ks_api_links_read(struct ks_call *call)
{
	uint64_t id;

	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_LINK, &id))
		return KS_FINISH_DONE;
	return ks_call_answer_read(call, ks_store_link_get(call->reader->store, id, put_seen, call));
}

/* ---- cancel ---- */

static enum ks_err run_cancel(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_links_cancel(tx, &call->actor, change->id, &call->job.refusal));
	return show_in(call, tx->store, tx->ring, tx->now_ms, change->id);
}

enum ks_finish ks_api_links_cancel(struct ks_call *call)
{
	return ks_call_switch(call, KS_ID_LINK, false, run_cancel);
}
