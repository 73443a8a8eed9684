/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/providers: a tenant's connections to platforms. What is in them: provider_fields.c, reveal.c. */
#include <stdlib.h>

#include "api/key_in.h"
#include "api/vault.h"

/* ---- the record ---- */

/* X(name, text): what a list may be narrowed to. */
#define STATUSES(X)                \
	X(INCOMPLETE, "incomplete") \
	X(ACTIVE, "active")        \
	X(ROTATING, "rotating")    \
	X(DELETED, "deleted")

enum status {
#define X(name, text) STATUS_##name,
	STATUSES(X)
#undef X
	STATUS_COUNT
};

static const char *const status_texts[] = {
#define X(name, text) text,
	STATUSES(X)
#undef X
};

static enum status status_of(const struct ks_provider_row *row)
{
	if (row->deleted_at != KS_TIME_NONE)
		return STATUS_DELETED;
	if (row->current_set == 0)
		return STATUS_INCOMPLETE;
	return row->waiting ? STATUS_ROTATING : STATUS_ACTIVE;
}

void ks_record_provider(struct ks_json *json, const struct ks_provider_row *row, const struct ks_ring *ring)
{
	uint32_t index = ring ? ks_ring_tenant(ring, row->tenant) : KS_RING_NONE;

	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_PROVIDER, row->id);
	if (index == KS_RING_NONE)
		ks_json_put_null(json, "tenant");
	else
		ks_json_put_id(json, "tenant", (enum ks_id_type)ring->tenants[index].kind, row->tenant);
	ks_json_put_id(json, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_str(json, "platform", row->platform);
	ks_json_put_str(json, "name", row->name);
	ks_json_put_c(json, "status", status_texts[status_of(row)]);
	ks_json_put_u64(json, "version", row->current_set);
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_time(json, "deleted_at", row->deleted_at);
	ks_json_close(json, '}');
}

struct showing {
	struct ks_json *json;
	const struct ks_ring *ring;
};

static enum ks_err put_row(void *ctx, const struct ks_provider_row *row)
{
	const struct showing *s = ctx;

	ks_record_provider(s->json, row, s->ring);
	return KS_OK;
}

enum ks_err ks_record_provider_by_id(struct ks_store *store, struct ks_json *json, uint64_t id,
				     const struct ks_ring *ring)
{
	struct showing s = {json, ring};

	return ks_store_provider_get(store, id, put_row, &s);
}

/* ---- create ---- */

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	uint64_t id;

	KS_TRY(ks_vault_provider_create(tx, &call->actor, call->extra, &id, &call->job.refusal));
	return ks_record_provider_by_id(tx->store, &call->out, id, tx->ring);
}

enum ks_finish ks_api_providers_create(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "platform", "name", NULL};
	struct ks_provider_input *input = calloc(1, sizeof(*input));
	enum ks_finish answered;

	if (!input)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = input;
	ks_in_known(&call->in, call->body, "", known);
	input->name = ks_name_in(&call->in, call->body, "");
	input->platform = ks_in_str(&call->in, call->body, "", "platform", KS_STORE_PLATFORM_MAX, true);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "tenant", false, &input->tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_create, 201);
}

/* ---- list ---- */

struct list {
	struct ks_call *call;
	const struct ks_ring *ring;
	uint32_t within;             /* index of a tenant; KS_RING_NONE: any */
	enum status status;
	struct ks_str platform;
	struct ks_page page;
	uint64_t looked_at;          /* the last one */
	size_t count;
};

static enum ks_err list_row(void *ctx, const struct ks_provider_row *row)
{
	struct list *list = ctx;
	uint32_t index = ks_ring_tenant(list->ring, row->tenant);

	if (list->page.more)
		return KS_OK;
	list->count++;
	list->looked_at = row->id;
	if (index == KS_RING_NONE || !ks_actor_sees(&list->call->actor, list->ring, row->tenant)
	    || (list->within != KS_RING_NONE && !ks_ring_is_within(list->ring, index, list->within))
	    || (list->status != STATUS_COUNT && list->status != status_of(row))
	    || (!ks_str_empty(list->platform) && !ks_str_eq(list->platform, row->platform))
	    || !ks_page_take(&list->page, row->id))
		return KS_OK;
	ks_record_provider(&list->call->out, row, list->ring);
	return KS_OK;
}

/* The one organization that holds all that the caller sees; 0: there is none such. */
struct roots {
	const struct ks_ring *ring;
	uint64_t organization;
	bool several;
};

static void note_root(void *ctx, uint32_t index)
{
	struct roots *roots = ctx;
	uint32_t organization = roots->ring->tenants[index].organization;
	uint64_t id = organization == KS_RING_NONE ? 0 : roots->ring->tenants[organization].id;

	roots->several |= id == 0 || (roots->organization != 0 && roots->organization != id);
	roots->organization = id;
}

static uint64_t organization_for(const struct list *list)
{
	struct roots roots = {.ring = list->ring};

	if (list->within != KS_RING_NONE)
		note_root(&roots, list->within);
	else
		ks_actor_roots(&list->call->actor, list->ring, note_root, &roots);
	return roots.several ? 0 : roots.organization;
}

static bool read_status(struct ks_call *call, enum status *ret_status)
{
	char storage[32];
	struct ks_str text;

	*ret_status = STATUS_COUNT;
	if (!ks_call_query(call, "status", storage, sizeof(storage), &text))
		return false;
	for (enum status i = 0; i < STATUS_DELETED; i++) {
		if (ks_str_eq(text, ks_str_c(status_texts[i])))
			*ret_status = i;
	}
	if (*ret_status == STATUS_COUNT)
		ks_call_query_problem(call, "status", "This must be incomplete, active or rotating.");
	return true;
}

/* A page ends when it has looked at so many rows, full or not. */
static enum ks_finish read_page(struct list *list)
{
	struct ks_call *call = list->call;
	struct ks_provider_filter filter = {.organization = organization_for(list),
					    .before = list->page.before,
					    .limit = KS_STORE_EXAMINED + 1};
	enum ks_err err;

	ks_call_page_open(call);
	err = ks_store_providers(call->reader->store, &filter, list_row, list);
	if (err == KS_OK && !list->page.more && list->count == KS_STORE_EXAMINED + 1) {
		list->page.more = true;
		list->page.last = list->looked_at;
	}
	return ks_call_page_answer(call, &list->page, err);
}

static enum ks_finish list_providers(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "platform", "status", "limit", "cursor", NULL};
	struct list list = {.call = call, .ring = ks_call_ring(call), .within = KS_RING_NONE, .status = STATUS_COUNT};
	char storage[KS_STORE_PLATFORM_MAX + 1];
	uint64_t tenant = 0;
	enum ks_finish answered;

	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	(void)read_status(call, &list.status);
	(void)ks_call_query(call, "platform", storage, sizeof(storage), &list.platform);
	if (!ks_call_tenant_query(call, "tenant", &tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!list.ring)
		return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	if (tenant)
		list.within = ks_ring_tenant(list.ring, tenant);
	return read_page(&list);
}

enum ks_finish ks_api_providers_list(struct ks_call *call)
{
	return ks_call_later(call, list_providers);
}

/* ---- read ---- */

static enum ks_err put_seen(void *ctx, const struct ks_provider_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	if (!ring || row->deleted_at != KS_TIME_NONE || !ks_actor_sees(&call->actor, ring, row->tenant))
		return KS_NOT_FOUND;
	ks_record_provider(&call->out, row, ring);
	return KS_OK;
}

enum ks_finish ks_api_providers_read(struct ks_call *call)
{
	uint64_t id;

	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_PROVIDER, &id))
		return KS_FINISH_DONE;
	return ks_call_answer_read(call, ks_store_provider_get(call->reader->store, id, put_seen, call));
}

static enum ks_err is_seen(void *ctx, const struct ks_provider_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	return ring && row->deleted_at == KS_TIME_NONE && ks_actor_sees(&call->actor, ring, row->tenant) ? KS_OK
													  : KS_NOT_FOUND;
}

bool ks_call_provider(struct ks_call *call, uint64_t *ret_id)
{
	enum ks_err err;

	if (!ks_call_id(call, 0, KS_ID_PROVIDER, ret_id))
		return false;
	err = ks_store_provider_get(call->reader->store, *ret_id, is_seen, call);
	if (err != KS_OK)
		(void)ks_call_problem(call, ks_problem_of_err(err), NULL);
	return err == KS_OK;
}

bool ks_call_provider_page(struct ks_call *call, struct ks_page *ret_page, uint64_t *ret_id, enum ks_finish *ret_answered)
{
	static const char *const known[] = {"limit", "cursor", NULL};

	*ret_answered = KS_FINISH_DONE;
	ks_call_query_known(call, known);
	ks_call_page(call, ret_page);
	if (ks_call_invalid(call, ret_answered) || !ks_call_provider(call, ret_id))
		return false;
	ks_call_page_open(call);
	return true;
}

/* ---- change ---- */

struct rename {
	uint64_t id;
	struct ks_str name;
};

static enum ks_err run_rename(struct ks_call *call, struct ks_tx *tx)
{
	const struct rename *rename = call->extra;

	KS_TRY(ks_vault_provider_rename(tx, &call->actor, rename->id, rename->name, &call->job.refusal));
	return ks_record_provider_by_id(tx->store, &call->out, rename->id, tx->ring);
}

enum ks_finish ks_api_providers_rename(struct ks_call *call)
{
	static const char *const known[] = {"name", NULL};
	struct rename *rename;
	enum ks_finish answered;
	uint64_t id;

	if (!ks_call_id(call, 0, KS_ID_PROVIDER, &id))
		return KS_FINISH_DONE;
	rename = calloc(1, sizeof(*rename));
	if (!rename)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = rename;
	ks_in_known(&call->in, call->body, "", known);
	*rename = (struct rename){id, ks_name_in(&call->in, call->body, "")};
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_write(call, run_rename, 200);
}

static enum ks_err run_delete(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_vault_provider_delete(tx, &call->actor, change->id, &call->job.refusal));
	return ks_record_provider_by_id(tx->store, &call->out, change->id, tx->ring);
}

enum ks_finish ks_api_providers_delete(struct ks_call *call)
{
	return ks_call_switch(call, KS_ID_PROVIDER, false, run_delete);
}

/* ---- erasing an organization ---- */

static enum ks_err run_erase(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_vault_organization_erase(tx, &call->actor, change->id, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_json_put_id(&call->out, "organization", KS_ID_ORGANIZATION, change->id);
	ks_json_put_time(&call->out, "erased_at", tx->now_ms);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

enum ks_finish ks_api_tenants_erase_secrets(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_ORGANIZATION, false, run_erase) : KS_FINISH_DONE;
}
