/* SPDX-License-Identifier: Apache-2.0 */
/* Fields of providers: their versions, new ones, and which are current. */
#include <stdlib.h>

#include "api/key_in.h"
#include "api/vault.h"
#include "base/secret.h"

/* ---- the record ---- */

/* One field under way; versions come in order of fields. */
struct record {
	struct ks_call *call;
	struct ks_str field;
	uint64_t current, pending;
	bool probed;                 /* the pending one */
};

static void put_version(struct ks_json *json, const struct ks_field_version_row *row)
{
	ks_json_open(json, '{');
	ks_json_put_u64(json, "version", row->version);
	ks_json_put_c(json, "stage", ks_field_stage_text(row->stage));
	ks_json_put_c(json, "kind", row->kind == KS_FIELD_KIND_REFERENCE ? "reference" : "held");
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_str(json, "via", row->via);
	ks_json_put_time(json, "promoted_at", row->promoted_at);
	ks_json_put_time(json, "ended_at", row->ended_at);
	ks_json_put_some(json, "code", row->code);
	ks_json_close(json, '}');
}

static enum ks_err put_of_field(void *ctx, const struct ks_field_version_row *row)
{
	struct record *r = ctx;

	if (!ks_str_eq(row->field, r->field))
		return KS_OK;
	if (row->stage == KS_FIELD_STAGE_CURRENT)
		r->current = row->version;
	if (row->stage == KS_FIELD_STAGE_PENDING || row->stage == KS_FIELD_STAGE_PROBED)
		r->pending = row->version;
	put_version(&r->call->out, row);
	return KS_OK;
}

/* What it takes until a new value is current. */
static const char *next_step(const struct record *r, bool probed, bool complete)
{
	if (!r->pending)
		return r->current ? NULL : "write";
	if (!complete)
		return "write_others";
	return probed ? "probe" : "promote";
}

static void put_number(struct ks_json *json, const char *name, uint64_t number)
{
	if (number)
		ks_json_put_u64(json, name, number);
	else
		ks_json_put_null(json, name);
}

static enum ks_err put_field(struct ks_call *call, struct ks_store *store, uint64_t provider,
			     const struct ks_vault_field *field, bool probed, bool complete)
{
	struct record r = {.call = call, .field = ks_str_c(field->name)};
	struct ks_json *json = &call->out;

	ks_json_open(json, '{');
	ks_json_put_c(json, "name", field->name);
	ks_json_put_bool(json, "secret", field->secret);
	ks_json_put_bool(json, "required", field->required);
	ks_json_name(json, "versions");
	ks_json_open(json, '[');
	KS_TRY(ks_store_field_versions_open(store, provider, put_of_field, &r));
	ks_json_close(json, ']');
	put_number(json, "current", r.current);
	put_number(json, "pending", r.pending);
	ks_json_put_c(json, "next", next_step(&r, probed, complete));
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_err keep_platform(void *ctx, const struct ks_provider_row *row)
{
	struct ks_buf *name = ctx;

	ks_buf_put(name, row->platform);
	return KS_OK;
}

static enum ks_err platform_of(struct ks_call *call, struct ks_store *store, uint64_t provider,
			       struct ks_vault_platform *ret_platform)
{
	char text[KS_STORE_PLATFORM_MAX + 1];
	struct ks_buf name = KS_BUF(text);

	KS_TRY(ks_store_provider_get(store, provider, keep_platform, &name));
	return ks_vault_platform_of(call->api->engine, ks_buf_str(&name), ret_platform) ? KS_OK : KS_NOT_FOUND;
}

enum ks_err ks_record_field(struct ks_call *call, struct ks_store *store, uint64_t provider, struct ks_str field)
{
	struct ks_vault_platform platform;
	bool complete;

	KS_TRY(platform_of(call, store, provider, &platform));
	KS_TRY(ks_vault_is_complete(call->api->engine, store, provider, &complete));
	for (size_t i = 0; i < platform.count; i++) {
		if (ks_str_eq(ks_str_c(platform.fields[i].name), field))
			return put_field(call, store, provider, &platform.fields[i], platform.probed, complete);
	}
	return KS_NOT_FOUND;
}

/* ---- read ---- */

static enum ks_finish list_fields(struct ks_call *call)
{
	struct ks_vault_platform platform;
	bool complete = false;
	uint64_t id;
	enum ks_err err;

	if (!ks_call_no_query(call) || !ks_call_provider(call, &id))
		return KS_FINISH_DONE;
	err = platform_of(call, call->reader->store, id, &platform);
	if (err == KS_NOT_FOUND)
		return ks_call_problem(call, KS_PROBLEM_CONFLICT, "The platform of this provider is not known any more.");
	if (err == KS_OK)
		err = ks_vault_is_complete(call->api->engine, call->reader->store, id, &complete);
	ks_call_page_open(call);
	for (size_t i = 0; i < platform.count && err == KS_OK; i++)
		err = put_field(call, call->reader->store, id, &platform.fields[i], platform.probed, complete);
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_call_page_end(call, false, 0);
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_provider_fields_list(struct ks_call *call)
{
	return ks_call_later(call, list_fields);
}

struct history {
	struct ks_call *call;
	struct ks_page page;
};

static enum ks_err put_past(void *ctx, const struct ks_field_version_row *row)
{
	struct history *h = ctx;

	if (ks_page_take(&h->page, row->version))
		put_version(&h->call->out, row);
	return KS_OK;
}

static enum ks_finish list_versions(struct ks_call *call)
{
	struct history h = {.call = call};
	enum ks_finish answered;
	uint64_t id;
	enum ks_err err;

	if (!ks_call_provider_page(call, &h.page, &id, &answered))
		return answered;
	err = ks_store_field_versions(call->reader->store, id, call->params[1], h.page.before, h.page.limit + 1, put_past,
				      &h);
	return ks_call_page_answer(call, &h.page, err);
}

enum ks_finish ks_api_provider_versions_list(struct ks_call *call)
{
	return ks_call_later(call, list_versions);
}

/* ---- write ---- */

struct writing {
	uint64_t provider;
	struct ks_vault_writing what;
	struct ks_vault_prepared *prepared;
	char *reference;             /* its JSON; wiped, as all that is read of bodies */
};

static void drop_writing(struct ks_call *call)
{
	struct writing *w = call->extra;

	ks_vault_prepared_free(&w->prepared);
	free(w->reference);
	free(w);
	call->extra = NULL;
}

static enum ks_err run_put(struct ks_call *call, struct ks_tx *tx)
{
	const struct writing *w = call->extra;

	KS_TRY(ks_vault_put_version(tx, &call->actor, w->prepared, "api", &call->job.refusal));
	return ks_record_field(call, tx->store, w->provider, call->params[1]);
}

static enum ks_finish prepare(struct ks_call *call)
{
	struct writing *w = call->extra;
	struct ks_refusal refusal = {0};
	enum ks_err err = ks_vault_prepare(call->api->engine, &call->actor, &w->what, &w->prepared, &refusal);

	if (err != KS_OK)
		return ks_call_answer_refusal(call, err, &refusal);
	return ks_call_write(call, run_put, 200);
}

static void read_value(struct ks_call *call, struct writing *w)
{
	static const char *const known[] = {"value", "reference", NULL};
	const json_t *reference = json_object_get(call->body, "reference");
	const json_t *value = json_object_get(call->body, "value");

	ks_in_known(&call->in, call->body, "", known);
	if (!reference == !value) {
		ks_in_problem(&call->in, "", "value", "Either this or reference must be given.");
		return;
	}
	if (value) {
		w->what.text = ks_in_str(&call->in, call->body, "", "value", KS_VAULT_VALUE_MAX, true);
		w->what.kind = KS_FIELD_KIND_HELD;
		return;
	}
	w->what.kind = KS_FIELD_KIND_REFERENCE;
	w->reference = json_is_object(reference) ? json_dumps(reference, JSON_COMPACT | JSON_SORT_KEYS) : NULL;
	if (w->reference)
		w->what.text = ks_str_c(w->reference);
	else
		ks_in_problem(&call->in, "", "reference", "This must be an object.");
}

static enum ks_finish write_version(struct ks_call *call)
{
	struct writing *w = calloc(1, sizeof(*w));
	enum ks_finish answered;

	if (!w)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = w;
	call->drop = drop_writing;
	call->wipe = true;
	if (!ks_call_provider(call, &w->provider))
		return KS_FINISH_DONE;
	read_value(call, w);
	if (ks_call_invalid(call, &answered))
		return answered;
	w->what.provider = w->provider;
	w->what.field = call->params[1];
	w->what.direct = true;
	return ks_call_vault(call, prepare);
}

enum ks_finish ks_api_provider_fields_put(struct ks_call *call)
{
	return ks_call_no_query(call) ? write_version(call) : KS_FINISH_DONE;
}

/* ---- rotate, promote, roll back ---- */

static enum ks_finish show_field(struct ks_call *call)
{
	uint64_t id;

	if (!ks_call_provider(call, &id))
		return KS_FINISH_DONE;
	return ks_call_answer_read(call, ks_record_field(call, call->reader->store, id, call->params[1]));
}

enum ks_finish ks_api_provider_fields_rotate(struct ks_call *call)
{
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	if (call->body && json_object_size(call->body) > 0)
		return write_version(call);
	return ks_call_later(call, show_field);
}

typedef enum ks_err stage_change(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider, struct ks_str field,
				 struct ks_refusal *ret_refusal);

static enum ks_err run_change(struct ks_call *call, struct ks_tx *tx, stage_change *change)
{
	const struct ks_switch *s = call->extra;

	KS_TRY(change(tx, &call->actor, s->id, call->params[1], &call->job.refusal));
	return ks_record_field(call, tx->store, s->id, call->params[1]);
}

static enum ks_err run_promote(struct ks_call *call, struct ks_tx *tx)
{
	return run_change(call, tx, ks_vault_promote);
}

static enum ks_err run_rollback(struct ks_call *call, struct ks_tx *tx)
{
	return run_change(call, tx, ks_vault_rollback);
}

enum ks_finish ks_api_provider_fields_promote(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_PROVIDER, true, run_promote) : KS_FINISH_DONE;
}

enum ks_finish ks_api_provider_fields_rollback(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_PROVIDER, false, run_rollback) : KS_FINISH_DONE;
}
