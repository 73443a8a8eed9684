/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/issuers: whose JWTs an organization takes, and whom they stand for. */
#include <stdlib.h>

#include "api/federation.h"
#include "engine/foreign_issuers.h"

/* ---- the record ---- */

/* A member of the rules as it stands there, or what it is without. */
static void put_rule(struct ks_json *json, const json_t *rules, const char *name, const char *absent)
{
	const json_t *value = json_object_get(rules, name);
	char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;

	ks_json_put_raw(json, name, ks_str_c(text ? text : absent));
	free(text);
}

static void put_rules(struct ks_json *json, struct ks_str text)
{
	json_t *rules = json_loadb(text.p, text.n, 0, NULL);

	put_rule(json, rules, "tenant_claim", "null");
	put_rule(json, rules, "tenants", "{}");
	put_rule(json, rules, "default_tenant", "null");
	put_rule(json, rules, "role_claim", "null");
	put_rule(json, rules, "roles", "{}");
	put_rule(json, rules, "default_roles", "[]");
	json_decref(rules);
}

/* Names of the keys, for who compares them with the issuer's. */
static void put_keys(struct ks_json *json, const struct ks_foreign_issuer_row *row)
{
	json_t *set = json_loadb(row->jwks.p, row->jwks.n, 0, NULL);
	const json_t *key;
	size_t i;

	ks_json_name(json, "keys");
	ks_json_open(json, '[');
	json_array_foreach (json_object_get(set, "keys"), i, key) {
		ks_json_open(json, '{');
		ks_json_put_c(json, "kid", json_string_value(json_object_get(key, "kid")));
		ks_json_put_c(json, "kty", json_string_value(json_object_get(key, "kty")));
		ks_json_close(json, '}');
	}
	ks_json_close(json, ']');
	json_decref(set);
}

static void put_issuer(struct ks_json *json, const struct ks_foreign_issuer_row *row)
{
	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_ISSUER, row->id);
	ks_json_put_id(json, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_str(json, "name", row->name);
	ks_json_put_str(json, "issuer", row->issuer);
	ks_json_put_str(json, "audience", row->audience);
	ks_json_put_some(json, "jwks_url", row->jwks_url);
	put_rules(json, row->rules);
	ks_json_put_c(json, "status",
		      row->deleted_at != KS_TIME_NONE ? "deleted"
		      : row->enabled                  ? "active"
						      : "disabled");
	put_keys(json, row);
	ks_json_put_time(json, "fetched_at", row->fetched_at);
	ks_json_put_time(json, "tried_at", row->tried_at);
	ks_json_put_some(json, "failure", row->failure);
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_close(json, '}');
}

static enum ks_err put_row(void *ctx, const struct ks_foreign_issuer_row *row)
{
	put_issuer(ctx, row);
	return KS_OK;
}

static enum ks_err put_seen(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct ks_call *call = ctx;

	if (row->deleted_at != KS_TIME_NONE || !ks_call_sees_organization(call, row->organization))
		return KS_NOT_FOUND;
	put_issuer(&call->out, row);
	return KS_OK;
}

/* ---- create ---- */

#define VALUE_MAX 512
#define PATH_MAX_BYTES 256

/* Only now the change is there to be seen by others. */
static void drop(struct ks_call *call)
{
	ks_federation_poke(call->api->options.federation);
	free(call->extra);
}

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	uint64_t id;

	KS_TRY(ks_foreign_issuers_create(tx, &call->actor, call->extra, &id, &call->job.refusal));
	return ks_store_foreign_issuer_get(tx->store, id, put_row, &call->out);
}

/* An object of texts. */
static void read_mappings(struct ks_call *call, const char *name, struct ks_claim_mapping *items, size_t *ret_count)
{
	json_t *object = json_object_get(call->body, name), *value;
	const char *key;
	size_t count = 0;

	if (!object || json_is_null(object))
		return;
	if (!json_is_object(object) || json_object_size(object) > KS_CLAIM_MAPPINGS_MAX) {
		ks_in_problem(&call->in, "", name, "This must be an object of at most %d texts.",
			      KS_CLAIM_MAPPINGS_MAX);
		return;
	}
	json_object_foreach (object, key, value) {
		if (!json_is_string(value)) {
			ks_in_problem(&call->in, "", name, "This must be an object of texts.");
			return;
		}
		items[count++] = (struct ks_claim_mapping){
			ks_str_c(key), ks_str_of(json_string_value(value), json_string_length(value))};
	}
	*ret_count = count;
}

static void read_body(struct ks_call *call, struct ks_foreign_issuer_input *input)
{
	static const char *const known[] = {"organization", "name",         "issuer",        "audience",
					    "jwks_url",     "tenant_claim", "tenants",       "default_tenant",
					    "role_claim",   "roles",        "default_roles", NULL};
	struct ks_in *in = &call->in;

	ks_in_known(in, call->body, "", known);
	input->name = ks_in_str(in, call->body, "", "name", KS_STORE_NAME_MAX, true);
	input->issuer = ks_in_str(in, call->body, "", "issuer", KS_STORE_ISSUER_MAX, true);
	input->audience = ks_in_str(in, call->body, "", "audience", KS_STORE_AUDIENCE_MAX, true);
	input->jwks_url = ks_in_str(in, call->body, "", "jwks_url", KS_STORE_URL_MAX, false);
	input->tenant_claim = ks_in_str(in, call->body, "", "tenant_claim", PATH_MAX_BYTES, false);
	read_mappings(call, "tenants", input->tenants, &input->tenant_count);
	input->default_tenant = ks_in_str(in, call->body, "", "default_tenant", VALUE_MAX, false);
	input->role_claim = ks_in_str(in, call->body, "", "role_claim", PATH_MAX_BYTES, false);
	read_mappings(call, "roles", input->roles, &input->role_count);
	(void)ks_in_strs(in, call->body, "", "default_roles", KS_STORE_ROLE_MAX, input->default_roles,
			 KS_CLAIM_MAPPINGS_MAX, &input->default_role_count);
	/* Where its keys are found is fetched; its name alone is only compared. */
	if (!ks_str_empty(input->jwks_url))
		ks_call_check_url(call, "jwks_url", input->jwks_url);
	else if (!ks_str_empty(input->issuer))
		ks_call_check_url(call, "issuer", input->issuer);
}

enum ks_finish ks_api_issuers_create(struct ks_call *call)
{
	struct ks_foreign_issuer_input *input = calloc(1, sizeof(*input));
	enum ks_finish answered;

	if (!input)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = input;
	call->drop = drop;
	read_body(call, input);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "organization", false, &input->organization))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_create, 201);
}

/* ---- list, read ---- */

struct list {
	struct ks_json *json;
	struct ks_page page;
};

static enum ks_err list_row(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct list *list = ctx;

	if (!ks_page_take(&list->page, row->id))
		return KS_OK;
	put_issuer(list->json, row);
	return KS_OK;
}

static enum ks_finish list_issuers(struct ks_call *call)
{
	static const char *const known[] = {"organization", "limit", "cursor", NULL};
	struct list list = {.json = &call->out};
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
	err = ks_store_foreign_issuers(call->reader->store, organization, list.page.before, list.page.limit + 1,
				       list_row, &list);
	return ks_call_page_answer(call, &list.page, err);
}

enum ks_finish ks_api_issuers_list(struct ks_call *call)
{
	return ks_call_later(call, list_issuers);
}

static enum ks_finish show(struct ks_call *call, uint64_t id)
{
	enum ks_err err = ks_store_foreign_issuer_get(call->reader->store, id, put_seen, call);

	return ks_call_answer_read(call, err);
}

enum ks_finish ks_api_issuers_read(struct ks_call *call)
{
	uint64_t id;

	return ks_call_no_query(call) && ks_call_id(call, 0, KS_ID_ISSUER, &id) ? show(call, id) : KS_FINISH_DONE;
}

/* ---- change ---- */

static enum ks_err run_enable(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_foreign_issuers_set_enabled(tx, &call->actor, change->id, change->on, &call->job.refusal));
	return ks_store_foreign_issuer_get(tx->store, change->id, put_row, &call->out);
}

static enum ks_err run_delete(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_foreign_issuers_delete(tx, &call->actor, change->id, &call->job.refusal));
	return ks_store_foreign_issuer_get(tx->store, change->id, put_row, &call->out);
}

static enum ks_finish change(struct ks_call *call, bool on, enum ks_err (*run)(struct ks_call *call, struct ks_tx *tx))
{
	call->drop = drop;
	return ks_call_switch(call, KS_ID_ISSUER, on, run);
}

enum ks_finish ks_api_issuers_delete(struct ks_call *call)
{
	return change(call, false, run_delete);
}

enum ks_finish ks_api_issuers_disable(struct ks_call *call)
{
	return ks_call_no_members(call) ? change(call, false, run_enable) : KS_FINISH_DONE;
}

enum ks_finish ks_api_issuers_enable(struct ks_call *call)
{
	return ks_call_no_members(call) ? change(call, true, run_enable) : KS_FINISH_DONE;
}

/* ---- refresh ---- */

static enum ks_err see(void *ctx, const struct ks_foreign_issuer_row *row)
{
	bool seen = row->deleted_at == KS_TIME_NONE && ks_call_sees_organization(ctx, row->organization);

	return seen ? KS_OK : KS_NOT_FOUND;
}

static enum ks_finish refresh(struct ks_call *call)
{
	uint64_t id = *(const uint64_t *)call->extra;
	enum ks_err err = ks_store_foreign_issuer_get(call->reader->store, id, see, call);

	if (err == KS_OK)
		err = ks_federation_refresh(call->api->options.federation, call->reader, id, &call->actor);
	return err == KS_OK ? show(call, id) : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

enum ks_finish ks_api_issuers_refresh(struct ks_call *call)
{
	uint64_t id, *kept;

	if (!ks_call_no_query(call) || !ks_call_no_members(call) || !ks_call_id(call, 0, KS_ID_ISSUER, &id))
		return KS_FINISH_DONE;
	kept = malloc(sizeof(*kept));
	if (!kept)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	*kept = id;
	call->extra = kept;
	return ks_call_outside(call, refresh);
}
