/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/identity-providers: with whom the people of an organization log in. */
#include <stdlib.h>

#include "api/federation.h"
#include "engine/identity_providers.h"

/* ---- the record ---- */

/* Words divided by spaces as an array of them. */
static void put_words(struct ks_json *json, const char *name, struct ks_str words)
{
	struct ks_str word, rest = words;

	ks_json_name(json, name);
	ks_json_open(json, '[');
	while (ks_str_split(rest, ' ', &word, &rest))
		ks_json_str(json, word);
	if (!ks_str_empty(rest))
		ks_json_str(json, rest);
	ks_json_close(json, ']');
}

struct showing {
	struct ks_json *json;
	const struct ks_ring *ring;
};

static void put_tenant(const struct showing *s, const char *name, uint64_t tenant)
{
	uint32_t index = tenant && s->ring ? ks_ring_tenant(s->ring, tenant) : KS_RING_NONE;

	if (index == KS_RING_NONE)
		ks_json_put_null(s->json, name);
	else
		ks_json_put_id(s->json, name, (enum ks_id_type)s->ring->tenants[index].kind, tenant);
}

static enum ks_err put_row(void *ctx, const struct ks_identity_provider_row *row)
{
	const struct showing *s = ctx;
	struct ks_json *json = s->json;

	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_IDENTITY_PROVIDER, row->id);
	ks_json_put_id(json, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_str(json, "name", row->name);
	ks_json_put_str(json, "issuer", row->issuer);
	ks_json_put_str(json, "client_id", row->client_id);
	ks_json_put_bool(json, "has_client_secret", !ks_str_empty(row->secret));
	put_words(json, "scopes", row->scopes);
	put_words(json, "domains", row->domains);
	ks_json_put_bool(json, "auto_create", row->auto_create);
	put_tenant(s, "default_tenant", row->default_tenant);
	ks_json_put_some(json, "default_role", row->default_role);
	ks_json_put_c(json, "status",
		      row->deleted_at != KS_TIME_NONE ? "deleted"
		      : row->enabled                  ? "active"
						      : "disabled");
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_err show_in(struct ks_call *call, struct ks_store *store, const struct ks_ring *ring, uint64_t id)
{
	struct showing s = {&call->out, ring};

	return ks_store_identity_provider_get(store, id, put_row, &s);
}

/* ---- create ---- */

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	uint64_t id;

	KS_TRY(ks_identity_providers_create(tx, &call->actor, call->extra, &id, &call->job.refusal));
	return show_in(call, tx->store, tx->ring, id);
}

static void read_body(struct ks_call *call, struct ks_identity_provider_input *input)
{
	static const char *const known[] = {"organization",   "name",         "issuer",  "client_id",
					    "client_secret",  "scopes",       "domains", "auto_create",
					    "default_tenant", "default_role", NULL};
	struct ks_in *in = &call->in;

	ks_in_known(in, call->body, "", known);
	input->name = ks_in_str(in, call->body, "", "name", KS_STORE_NAME_MAX, true);
	input->issuer = ks_in_str(in, call->body, "", "issuer", KS_STORE_ISSUER_MAX, true);
	input->client_id = ks_in_str(in, call->body, "", "client_id", KS_STORE_CLIENT_ID_MAX, true);
	input->client_secret = ks_in_str(in, call->body, "", "client_secret", KS_CLIENT_SECRET_MAX, false);
	input->scopes = ks_in_str(in, call->body, "", "scopes", KS_STORE_SCOPES_TEXT_MAX, false);
	if (ks_str_empty(input->scopes))
		input->scopes = KS_STR("openid email profile");
	(void)ks_in_strs(in, call->body, "", "domains", KS_STORE_EMAIL_MAX, input->domains, KS_PROVIDER_DOMAINS_MAX,
			 &input->domain_count);
	(void)ks_in_bool(in, call->body, "", "auto_create", &input->auto_create);
	input->default_role = ks_in_str(in, call->body, "", "default_role", KS_STORE_ROLE_MAX, false);
	if (!ks_str_empty(input->issuer))
		ks_call_check_url(call, "issuer", input->issuer);
}

enum ks_finish ks_api_identity_providers_create(struct ks_call *call)
{
	struct ks_identity_provider_input *input = calloc(1, sizeof(*input));
	enum ks_finish answered;

	if (!input)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = input;
	call->wipe = true;
	read_body(call, input);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "organization", false, &input->organization)
	    || !ks_call_tenant_member(call, call->body, "", "default_tenant", false, &input->default_tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_create, 201);
}

/* ---- list, read ---- */

struct list {
	struct showing showing;
	struct ks_page page;
};

static enum ks_err list_row(void *ctx, const struct ks_identity_provider_row *row)
{
	struct list *list = ctx;

	if (!ks_page_take(&list->page, row->id))
		return KS_OK;
	return put_row(&list->showing, row);
}

static enum ks_finish list_providers(struct ks_call *call)
{
	static const char *const known[] = {"organization", "limit", "cursor", NULL};
	struct list list = {.showing = {&call->out, ks_call_ring(call)}};
	uint64_t organization;
	enum ks_finish answered;
	enum ks_err err;

	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	if (!ks_call_organization_query(call, &organization))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	ks_call_page_open(call);
	err = ks_store_identity_providers(call->reader->store, organization, list.page.before, list.page.limit + 1, list_row,
					  &list);
	return ks_call_page_answer(call, &list.page, err);
}

enum ks_finish ks_api_identity_providers_list(struct ks_call *call)
{
	return ks_call_later(call, list_providers);
}

static enum ks_err put_seen(void *ctx, const struct ks_identity_provider_row *row)
{
	struct ks_call *call = ctx;
	struct showing s = {&call->out, ks_call_ring(call)};

	if (row->deleted_at != KS_TIME_NONE || !ks_call_sees_organization(call, row->organization))
		return KS_NOT_FOUND;
	return put_row(&s, row);
}

enum ks_finish ks_api_identity_providers_read(struct ks_call *call)
{
	uint64_t id;
	enum ks_err err;

	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_IDENTITY_PROVIDER, &id))
		return KS_FINISH_DONE;
	err = ks_store_identity_provider_get(call->reader->store, id, put_seen, call);
	return ks_call_answer_read(call, err);
}

/* ---- change ---- */

static enum ks_err run_enable(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_identity_providers_set_enabled(tx, &call->actor, change->id, change->on, &call->job.refusal));
	return show_in(call, tx->store, tx->ring, change->id);
}

static enum ks_err run_delete(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_identity_providers_delete(tx, &call->actor, change->id, &call->job.refusal));
	return show_in(call, tx->store, tx->ring, change->id);
}

enum ks_finish ks_api_identity_providers_delete(struct ks_call *call)
{
	return ks_call_switch(call, KS_ID_IDENTITY_PROVIDER, false, run_delete);
}

enum ks_finish ks_api_identity_providers_disable(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_IDENTITY_PROVIDER, false, run_enable) : KS_FINISH_DONE;
}

enum ks_finish ks_api_identity_providers_enable(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_IDENTITY_PROVIDER, true, run_enable) : KS_FINISH_DONE;
}
