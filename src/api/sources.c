/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/sources: where webhooks of others come from. What is secret in their parameters is written and never shown. */
#include "api/sources.h"

#include <stdlib.h>

#include "api/api_priv.h"
#include "api/key_in.h"
#include "base/secret.h"
#include "inbound/inbound.h"

/* ---- the record ---- */

struct showing {
	struct ks_json *json;
	struct ks_store *store;
	const struct ks_ring *ring;
	const struct ks_api *api;
	int64_t now_ms;
};

static enum ks_err put_version(void *ctx, const struct ks_source_parameters_row *row)
{
	const struct showing *s = ctx;

	if (row->until != KS_TIME_NONE && row->until <= s->now_ms)
		return KS_OK;
	ks_json_open(s->json, '{');
	ks_json_put_u64(s->json, "revision", row->revision);
	ks_json_put_raw(s->json, "parameters", row->plain);
	ks_json_put_bool(s->json, "secrets", row->key_number != 0);
	ks_json_put_time(s->json, "ends_at", row->until);
	ks_json_close(s->json, '}');
	return KS_OK;
}

static void put_url(const struct showing *s, uint64_t id)
{
	const char *origin = s->api->options.hook_origin;
	char text[KS_ENGINE_ISSUER_NAME_SIZE + KS_ID_TEXT_SIZE + 16], name[KS_ID_TEXT_SIZE];
	struct ks_buf b = KS_BUF(text);

	ks_id_format(KS_ID_SOURCE, id, name);
	ks_buf_put_c(&b, origin && origin[0] ? origin : ks_engine_options(s->api->engine)->issuer.name);
	ks_buf_put_c(&b, "/hooks/");
	ks_buf_put_c(&b, name);
	ks_json_put_str(s->json, "url", ks_buf_str(&b));
}

static void put_tenant(const struct showing *s, uint64_t tenant)
{
	uint32_t index = s->ring ? ks_ring_tenant(s->ring, tenant) : KS_RING_NONE;

	if (index == KS_RING_NONE)
		ks_json_put_null(s->json, "tenant");
	else
		ks_json_put_id(s->json, "tenant", (enum ks_id_type)s->ring->tenants[index].kind, tenant);
}

static const char *status_of(const struct ks_source_row *row)
{
	if (row->deleted_at != KS_TIME_NONE)
		return "deleted";
	return row->paused_at != KS_TIME_NONE ? "paused" : "active";
}

static enum ks_err put_row(void *ctx, const struct ks_source_row *row)
{
	struct showing *s = ctx;
	struct ks_json *json = s->json;
	enum ks_err err;

	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_SOURCE, row->id);
	put_tenant(s, row->tenant);
	ks_json_put_id(json, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_str(json, "platform", row->platform);
	if (ks_str_empty(row->form))
		ks_json_put_str(json, "scheme", row->scheme);
	else
		ks_json_put_raw(json, "scheme", row->form);
	ks_json_put_str(json, "name", row->name);
	ks_json_put_id(json, "provider", KS_ID_PROVIDER, row->provider);
	ks_json_put_c(json, "status", status_of(row));
	put_url(s, row->id);
	ks_json_name(json, "versions");
	ks_json_open(json, '[');
	err = ks_store_source_parameters(s->store, row->id, put_version, s);
	ks_json_close(json, ']');
	ks_json_put_time(json, "confirm_until", row->confirm_until > s->now_ms ? row->confirm_until : KS_TIME_NONE);
	ks_json_put_some(json, "confirm_url", row->confirm_url);
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_time(json, "paused_at", row->paused_at);
	ks_json_put_time(json, "deleted_at", row->deleted_at);
	ks_json_close(json, '}');
	return err;
}

static enum ks_err show_in(struct ks_call *call, struct ks_tx *tx, uint64_t id)
{
	struct showing s = {&call->out, tx->store, tx->ring, call->api, tx->now_ms};

	return ks_store_source_get(tx->store, id, put_row, &s);
}

/* ---- create and rotate ---- */

/* What was asked, on its way to a change. */
struct change {
	uint64_t id;                 /* of a rotation */
	struct ks_source_home home;
	struct ks_inbound_given given;
	struct ks_inbound_parameters parameters;
	struct ks_vault_prepared *sealed;
	struct ks_str name;
	uint64_t tenant, revision, overlap_s;
	char *form, *text;           /* the scheme and the parameters that were given, as JSON */
	/* of what there was */
	char platform[KS_STORE_PLATFORM_MAX + 1];
	char scheme[KS_STORE_SCHEME_MAX + 1];
	char *was_form, *was_plain;
	struct ks_secret was_secret;
};

static void wipe_text(char *text)
{
	if (text)
		ks_wipe(text, strlen(text));
	free(text);
}

static void drop(struct ks_call *call)
{
	struct change *change = call->extra;

	if (!change)
		return;
	ks_inbound_parameters_free(&change->parameters);
	ks_vault_prepared_free(&change->sealed);
	ks_secret_free(&change->was_secret);
	free(change->form);
	wipe_text(change->text);
	free(change->was_form);
	free(change->was_plain);
	free(change);
}

static struct change *change_new(struct ks_call *call)
{
	struct change *change = calloc(1, sizeof(*change));

	call->extra = change;
	call->drop = drop;
	call->wipe = true;
	return change;
}

/* The object `name` of the body as text; {} where it is missing. */
static bool read_object(struct ks_call *call, const char *name, char **ret_text)
{
	const json_t *value = json_object_get(call->body, name);

	if (value && !json_is_object(value)) {
		ks_in_problem(&call->in, "", name, "This must be an object.");
		return true;
	}
	*ret_text = value ? json_dumps(value, JSON_COMPACT) : strdup("{}");
	return *ret_text != NULL;
}

static enum ks_finish answer_err(struct ks_call *call, enum ks_err err, const struct ks_refusal *refusal)
{
	return refusal->code ? ks_call_answer_refusal(call, err, refusal)
			     : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *c = call->extra;

	KS_TRY(ks_sources_create(tx, &call->actor, &(struct ks_source_input){
		.home = c->home,
		.provider = c->given.provider,
		.platform = c->given.platform,
		.scheme = ks_str_c(c->parameters.scheme),
		.form = c->given.form,
		.name = c->name,
		.plain = ks_str_c(c->parameters.plain),
		.sealed = c->sealed,
		.confirm_ms = call->api->options.hook_confirm_ms,
	}, &call->job.refusal));
	return show_in(call, tx, c->home.id);
}

static enum ks_err check_and_seal(struct ks_call *call, struct change *c, struct ks_refusal *refusal)
{
	KS_TRY(ks_inbound_check(call->api->options.inbound, call->reader->store, call->exchange->now_ms, &c->given,
				&c->parameters, refusal));
	if (!c->parameters.secret)
		return KS_OK;
	return ks_source_seal(call->api->engine, &c->home, c->revision, ks_str_c(c->parameters.secret), &c->sealed, refusal);
}

static enum ks_finish prepare_create(struct ks_call *call)
{
	struct change *c = call->extra;
	struct ks_refusal refusal = {.code = NULL};
	enum ks_err err = ks_source_reserve(call->api->engine, &call->actor, c->tenant, c->given.provider, &c->home, &refusal);

	if (err == KS_OK)
		err = check_and_seal(call, c, &refusal);
	return err == KS_OK ? ks_call_write(call, run_create, 201) : answer_err(call, err, &refusal);
}

static void read_create(struct ks_call *call, struct change *c)
{
	static const char *const known[] = {"tenant", "platform", "name", "provider", "scheme", "parameters", NULL};
	const json_t *scheme = json_object_get(call->body, "scheme");

	ks_in_known(&call->in, call->body, "", known);
	c->name = ks_name_in(&call->in, call->body, "");
	c->given.platform = ks_in_str(&call->in, call->body, "", "platform", KS_STORE_PLATFORM_MAX, !json_is_object(scheme));
	if (ks_str_empty(c->given.platform))
		c->given.platform = KS_STR("generic");
	(void)ks_in_id(&call->in, call->body, "", "provider", KS_ID_PROVIDER, false, &c->given.provider);
	if (json_is_object(scheme))
		c->form = json_dumps(scheme, JSON_COMPACT);
	else
		c->given.scheme = ks_in_str(&call->in, call->body, "", "scheme", KS_STORE_SCHEME_MAX, false);
	c->given.form = ks_str_c(c->form);
	if (c->given.form.n > KS_STORE_FORM_MAX)
		ks_in_problem(&call->in, "", "scheme", "A scheme has at most %zu bytes.", KS_STORE_FORM_MAX);
}

enum ks_finish ks_api_sources_create(struct ks_call *call)
{
	struct change *c = change_new(call);
	enum ks_finish answered;

	if (!c)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	c->revision = 1;
	read_create(call, c);
	if (!read_object(call, "parameters", &c->text))
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	c->given.parameters = ks_str_c(c->text);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "tenant", false, &c->tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_vault(call, prepare_create);
}

/* ---- rotate ---- */

static enum ks_err run_rotate(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *c = call->extra;

	KS_TRY(ks_sources_rotate(tx, &call->actor, &(struct ks_source_rotation){
		.id = c->id,
		.based_on = c->revision - 1,
		.plain = ks_str_c(c->parameters.plain),
		.sealed = c->sealed,
		.overlap_ms = (int64_t)c->overlap_s * 1000,
	}, &call->job.refusal));
	return show_in(call, tx, c->id);
}

static enum ks_err take_source(void *ctx, const struct ks_source_row *row)
{
	struct ks_call *call = ctx;
	struct change *c = call->extra;
	struct ks_buf platform = KS_BUF(c->platform), scheme = KS_BUF(c->scheme);

	c->home = (struct ks_source_home){row->id, row->tenant, row->organization};
	c->revision = row->revision + 1;
	c->given.provider = row->provider;
	ks_buf_put(&platform, row->platform);
	ks_buf_put(&scheme, row->scheme);
	c->given.platform = ks_str_c(ks_buf_z(&platform));
	c->given.scheme = ks_str_c(ks_buf_z(&scheme));
	c->was_form = strndup(row->form.p, row->form.n);
	c->given.form = ks_str_c(c->was_form);
	return c->was_form ? KS_OK : KS_MEMORY;
}

struct was {
	struct change *change;
	char *sealed;
	struct ks_source_parameters_row row;
};

static enum ks_err take_parameters(void *ctx, const struct ks_source_parameters_row *row)
{
	struct was *was = ctx;

	if (row->until != KS_TIME_NONE)
		return KS_OK;
	was->row = *row;
	was->change->was_plain = strndup(row->plain.p, row->plain.n);
	was->sealed = malloc(row->sealed.n + 1);
	if (!was->change->was_plain || !was->sealed)
		return KS_MEMORY;
	memcpy(was->sealed, row->sealed.p, row->sealed.n);
	was->row.sealed = ks_str_of(was->sealed, row->sealed.n);
	return KS_OK;
}

/* What there was, which what is given changes. Parameters that were erased are none. */
static enum ks_err read_was(struct ks_call *call, struct change *c)
{
	struct was was = {.change = c};
	struct ks_store *store = call->reader->store;
	enum ks_err err;

	KS_TRY(ks_store_source_get(store, c->id, take_source, call));
	err = ks_store_source_parameters(store, c->id, take_parameters, &was);
	if (err == KS_OK && was.row.key_number)
		err = ks_source_open(call->api->engine, store, &c->home, &was.row, &c->was_secret);
	free(was.sealed);
	c->given.plain = ks_str_c(c->was_plain ? c->was_plain : "{}");
	c->given.secret = ks_str_of((const char *)c->was_secret.bytes, c->was_secret.n);
	return err == KS_CORRUPT ? KS_OK : err;
}

static enum ks_finish prepare_rotate(struct ks_call *call)
{
	struct change *c = call->extra;
	struct ks_refusal refusal = {.code = NULL};
	enum ks_err err = read_was(call, c);

	if (err == KS_OK)
		err = check_and_seal(call, c, &refusal);
	return err == KS_OK ? ks_call_write(call, run_rotate, 200) : answer_err(call, err, &refusal);
}

enum ks_finish ks_api_sources_rotate(struct ks_call *call)
{
	static const char *const known[] = {"parameters", "overlap_s", NULL};
	struct change *c = change_new(call);
	enum ks_finish answered;

	if (!c)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	if (!ks_call_source(call, &c->id))
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	(void)ks_in_u64(&call->in, call->body, "", "overlap_s", 0, KS_SOURCE_OVERLAP_MAX_S, false, &c->overlap_s);
	if (!json_object_get(call->body, "parameters"))
		ks_in_problem(&call->in, "", "parameters", "This is required.");
	if (!read_object(call, "parameters", &c->text))
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	c->given.parameters = ks_str_c(c->text);
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_vault(call, prepare_rotate);
}

/* ---- pause, resume, delete ---- */

static enum ks_err run_pause(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_sources_pause(tx, &call->actor, change->id, change->on, &call->job.refusal));
	return show_in(call, tx, change->id);
}

enum ks_finish ks_api_sources_pause(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_SOURCE, true, run_pause) : KS_FINISH_DONE;
}

enum ks_finish ks_api_sources_resume(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_SOURCE, false, run_pause) : KS_FINISH_DONE;
}

static enum ks_err run_delete(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_sources_delete(tx, &call->actor, change->id, &call->job.refusal));
	return show_in(call, tx, change->id);
}

static void forget(struct ks_call *call)
{
	const struct ks_switch *change = call->extra;

	ks_inbound_forget(call->api->options.inbound, change->id);
}

enum ks_finish ks_api_sources_delete(struct ks_call *call)
{
	call->succeeded = forget;
	return ks_call_switch(call, KS_ID_SOURCE, false, run_delete);
}

/* ---- confirm ---- */

struct confirm {
	uint64_t id;
	char url[KS_STORE_URL_MAX + 1];
	const char *outcome;
};

static enum ks_err run_confirm(struct ks_call *call, struct ks_tx *tx)
{
	const struct confirm *c = call->extra;

	KS_TRY(ks_sources_confirm(tx, &call->actor, c->id, call->api->options.hook_confirm_ms, c->outcome,
				  &call->job.refusal));
	KS_TRY(show_in(call, tx, c->id));
	ks_json_reopen(&call->out, '}');
	ks_json_put_c(&call->out, "fetched", c->outcome);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static enum ks_err take_confirm_url(void *ctx, const struct ks_source_row *row)
{
	struct confirm *c = ctx;
	struct ks_buf b = KS_BUF(c->url);

	ks_buf_put(&b, row->confirm_url);
	(void)ks_buf_z(&b);
	return KS_OK;
}

static enum ks_finish confirm(struct ks_call *call)
{
	struct confirm *c = call->extra;
	enum ks_err err = ks_store_source_get(call->reader->store, c->id, take_confirm_url, c);

	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	if (c->url[0])
		c->outcome = ks_inbound_confirm(call->api->options.inbound, ks_str_c(c->url));
	return ks_call_write(call, run_confirm, 200);
}

enum ks_finish ks_api_sources_confirm(struct ks_call *call)
{
	struct confirm *c = calloc(1, sizeof(*c));

	if (!c)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = c;
	if (!ks_call_source(call, &c->id) || !ks_call_no_members(call))
		return KS_FINISH_DONE;
	return ks_call_vault(call, confirm);
}

/* ---- list, read ---- */

static enum ks_err is_seen(void *ctx, const struct ks_source_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	if (!ring || row->deleted_at != KS_TIME_NONE || !ks_actor_sees(&call->actor, ring, row->tenant))
		return KS_NOT_FOUND;
	return KS_OK;
}

bool ks_call_source(struct ks_call *call, uint64_t *ret_id)
{
	enum ks_err err;

	if (!ks_call_id(call, 0, KS_ID_SOURCE, ret_id))
		return false;
	err = ks_store_source_get(call->reader->store, *ret_id, is_seen, call);
	if (err != KS_OK)
		(void)ks_call_problem(call, ks_problem_of_err(err), NULL);
	return err == KS_OK;
}

static void put_weaknesses(struct ks_call *call, const struct ks_inbound_source *source)
{
	const char *problem = ks_inbound_problem(source);
	unsigned warnings = ks_inbound_warnings(source);

	ks_json_reopen(&call->out, '}');
	ks_json_name(&call->out, "warnings");
	ks_json_open(&call->out, '[');
	for (unsigned i = 0; i < KS_HOOKSIG_WARNING_COUNT; i++)
		if (warnings >> i & 1)
			ks_json_c(&call->out, ks_hooksig_warning_name((enum ks_hooksig_warning)i));
	ks_json_close(&call->out, ']');
	ks_json_put_c(&call->out, "problem", problem[0] ? problem : NULL);
	ks_json_close(&call->out, '}');
}

static enum ks_finish read_source(struct ks_call *call)
{
	struct showing s = {&call->out, call->reader->store, ks_call_ring(call), call->api, call->exchange->now_ms};
	struct ks_inbound_source *source;
	struct ks_source_look look;
	uint64_t id;
	enum ks_err err;

	if (!ks_call_source(call, &id))
		return KS_FINISH_DONE;
	err = ks_store_source_get(s.store, id, put_row, &s);
	if (err == KS_OK)
		err = ks_inbound_load(call->api->options.inbound, s.store, id, s.now_ms, &look, &source);
	if (err == KS_OK) {
		put_weaknesses(call, source);
		ks_inbound_release(&source);
	}
	return ks_call_answer_read(call, err);
}

enum ks_finish ks_api_sources_read(struct ks_call *call)
{
	return ks_call_no_query(call) ? ks_call_vault(call, read_source) : KS_FINISH_DONE;
}

struct list {
	struct showing showing;
	struct ks_call *call;
	uint32_t within;             /* index of a tenant; KS_RING_NONE: any */
	struct ks_page page;
	uint64_t looked_at;
	size_t count;
};

static enum ks_err list_row(void *ctx, const struct ks_source_row *row)
{
	struct list *list = ctx;
	const struct ks_ring *ring = list->showing.ring;
	uint32_t index = ks_ring_tenant(ring, row->tenant);

	if (list->page.more)
		return KS_OK;
	list->count++;
	list->looked_at = row->id;
	if (index == KS_RING_NONE || !ks_actor_sees(&list->call->actor, ring, row->tenant)
	    || (list->within != KS_RING_NONE && !ks_ring_is_within(ring, index, list->within))
	    || !ks_page_take(&list->page, row->id))
		return KS_OK;
	return put_row(&list->showing, row);
}

/* The organization that holds all that may be shown; 0: there is none such. */
static uint64_t organization_for(const struct list *list)
{
	const struct ks_ring *ring = list->showing.ring;
	uint32_t index = list->within != KS_RING_NONE ? list->within : ks_ring_tenant(ring, list->call->actor.effective);
	uint32_t organization = index == KS_RING_NONE ? KS_RING_NONE : ring->tenants[index].organization;

	if (list->within == KS_RING_NONE
	    && (list->call->actor.visible_count != 1 || list->call->actor.visible[0] != list->call->actor.effective))
		return 0;
	return organization == KS_RING_NONE ? 0 : ring->tenants[organization].id;
}

/* 0: of any. */
static uint64_t read_provider(struct ks_call *call)
{
	char storage[KS_ID_TEXT_SIZE + 1];
	struct ks_str text;
	uint64_t provider = 0;

	if (ks_call_query(call, "provider", storage, sizeof(storage), &text)
	    && !ks_id_parse(text, KS_ID_PROVIDER, &provider))
		ks_call_query_problem(call, "provider", "This is not the id of a provider.");
	return provider;
}

static enum ks_finish list_sources(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "provider", "limit", "cursor", NULL};
	struct list list = {
		.showing = {&call->out, call->reader->store, ks_call_ring(call), call->api, call->exchange->now_ms},
		.call = call,
		.within = KS_RING_NONE,
	};
	struct ks_source_filter filter = {.limit = KS_STORE_EXAMINED + 1};
	uint64_t tenant = 0, provider;
	enum ks_finish answered;
	enum ks_err err;

	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	provider = read_provider(call);
	if (!ks_call_tenant_query(call, "tenant", &tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!list.showing.ring)
		return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	if (tenant)
		list.within = ks_ring_tenant(list.showing.ring, tenant);
	filter.organization = organization_for(&list);
	filter.before = list.page.before;
	ks_call_page_open(call);
	if (provider)
		err = ks_store_sources_of_provider(call->reader->store, provider, filter.before, filter.limit, list_row, &list);
	else
		err = ks_store_sources(call->reader->store, &filter, list_row, &list);
	if (err == KS_OK && !list.page.more && list.count == KS_STORE_EXAMINED + 1) {
		list.page.more = true;
		list.page.last = list.looked_at;
	}
	return ks_call_page_answer(call, &list.page, err);
}

enum ks_finish ks_api_sources_list(struct ks_call *call)
{
	return ks_call_later(call, list_sources);
}
