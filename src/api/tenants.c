/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/tenants: create (with a first key and an administrator, all or nothing), list, read, rename, delete, suspend,
 * resume. */
#include <stdlib.h>

#include "api/key_in.h"
#include "api/login.h"
#include "base/secret.h"

#define EMAIL_MAX 254u /* RFC 5321, errata 1690 */

/* ---- create ---- */

struct create {
	struct ks_tenant_input input;
	struct ks_key_in first_key;
};

/* A key of the tenant that is being made: whose it is, is no question. */
static void read_first_key(struct ks_call *call, struct create *create)
{
	const json_t *key = json_object_get(call->body, "first_key");

	if (!key || json_is_null(key))
		return;
	if (!json_is_object(key)) {
		ks_in_problem(&call->in, "", "first_key",
			      "This must be an object with the members of a key, without tenant and user.");
		return;
	}
	ks_key_in_read(&call->in, key, "/first_key", NULL, &create->first_key);
	create->input.first_key = &create->first_key.input;
}

static void read_administrator(struct ks_call *call, struct create *create)
{
	static const char *const known[] = {"email", NULL};
	const json_t *administrator = json_object_get(call->body, "administrator");

	if (!administrator || json_is_null(administrator))
		return;
	if (!json_is_object(administrator)) {
		ks_in_problem(&call->in, "", "administrator", "This must be an object with the member email.");
		return;
	}
	ks_in_known(&call->in, administrator, "/administrator", known);
	create->input.administrator_email = ks_in_str(&call->in, administrator, "/administrator", "email", EMAIL_MAX,
						      true);
}

static void read_create(struct ks_call *call, struct create *create)
{
	static const char *const known[] = {"kind", "parent", "name", "slug", "first_key", "administrator", NULL};
	struct ks_str kind = ks_in_str(&call->in, call->body, "", "kind", 32, true);
	const json_t *slug = json_object_get(call->body, "slug");

	ks_in_known(&call->in, call->body, "", known);
	if (!ks_str_empty(kind)
	    && (!ks_tenant_kind_parse(kind, &create->input.kind) || create->input.kind == KS_TENANT_KIND_OPERATOR
		|| create->input.kind == KS_TENANT_KIND_PERSONAL))
		ks_in_problem(&call->in, "", "kind", "This must be partner, organization, sub_entity or project.");
	create->input.name = ks_name_in(&call->in, call->body, "");
	create->input.slug = ks_in_str(&call->in, call->body, "", "slug", KS_RING_SLUG_MAX, false);
	if (json_is_string(slug) && json_string_length(slug) == 0)
		ks_in_problem(&call->in, "", "slug", "This must not be empty.");
	read_first_key(call, create);
	read_administrator(call, create);
}

static enum ks_err put_made(struct ks_call *call, struct ks_tx *tx, const struct create *create,
			    const struct ks_tenant_made *made)
{
	struct ks_json *out = &call->out;

	KS_TRY(ks_record_tenant_by_id(tx->store, out, made->id, tx->ring, &call->actor));
	ks_json_reopen(out, '}');
	if (create->input.first_key) {
		ks_json_name(out, "first_key");
		KS_TRY(ks_record_key_by_id(tx->store, out, made->first_key.id, made->first_key.token, tx->now_ms));
	}
	if (made->administrator) {
		ks_json_name(out, "administrator");
		KS_TRY(ks_record_user_by_id(tx->store, out, made->administrator));
		ks_record_invited(out, &made->invited);
	}
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	const struct create *create = call->extra;
	struct ks_tenant_made made = {0};
	enum ks_err err = ks_tenants_create(tx, &call->actor, &create->input, &made, &call->job.refusal);

	if (err == KS_OK)
		err = put_made(call, tx, create, &made);
	ks_wipe(&made, sizeof(made));
	return err;
}

enum ks_finish ks_api_tenants_create(struct ks_call *call)
{
	struct create *create = calloc(1, sizeof(*create));
	enum ks_finish answered;

	if (!create)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = create;
	read_create(call, create);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "parent", false, &create->input.parent))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	call->wipe = true;
	return ks_call_write(call, run_create, 201);
}

/* ---- list ---- */

struct list {
	struct ks_call *call;
	const struct ks_ring *ring;
	struct ks_page page;
};

static enum ks_err list_row(void *ctx, const struct ks_tenant_row *row)
{
	struct list *list = ctx;

	if (!ks_page_take(&list->page, row->id))
		return KS_OK;
	ks_record_tenant(&list->call->out, row, list->ring, &list->call->actor);
	return KS_OK;
}

/* Leaves in the view what the filter lets pass: kinds and parents are in the ring, so that only rows that are shown are
 * read. */
static void narrow(const struct ks_ring *ring, const struct ks_tenant_filter *filter, struct ks_view *view)
{
	size_t kept = 0;

	for (size_t i = 0; i < view->tenant_count; i++) {
		uint32_t index = ks_ring_tenant(ring, view->tenants[i]);
		const struct ks_ring_tenant *tenant = index == KS_RING_NONE ? NULL : &ring->tenants[index];

		if (!tenant || (filter->kind != KS_TENANT_KIND_COUNT && tenant->kind != (uint8_t)filter->kind))
			continue;
		if (filter->parent != 0
		    && (tenant->depth == 0 || ring->tenants[tenant->path[tenant->depth - 1]].id != filter->parent))
			continue;
		view->tenants[kept++] = view->tenants[i];
	}
	view->tenant_count = kept;
}

static enum ks_err read_tenants(struct ks_call *call, struct ks_view *view, struct ks_tenant_filter *filter,
				struct list *list)
{
	if (!view->all && list->ring)
		narrow(list->ring, filter, view);
	if (!view->all && view->tenant_count == 0)
		return KS_OK;
	filter->ids = view->all ? NULL : view->tenants;
	filter->id_count = view->all ? 0 : view->tenant_count;
	return ks_store_tenants(call->reader->store, filter, list_row, list);
}

static enum ks_finish list_tenants(struct ks_call *call)
{
	static const char *const known[] = {"parent", "kind", "limit", "cursor", NULL};
	struct ks_tenant_filter filter = {.kind = KS_TENANT_KIND_COUNT};
	struct list list = {.call = call, .ring = ks_call_ring(call)};
	struct ks_view view = {0};
	char storage[32];
	struct ks_str word;
	enum ks_finish answered;
	enum ks_err err;

	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	if (ks_call_query(call, "kind", storage, sizeof(storage), &word) && !ks_tenant_kind_parse(word, &filter.kind))
		ks_call_query_problem(call, "kind",
				      "This must be operator, partner, organization, sub_entity, project or personal.");
	if (!ks_call_tenant_query(call, "parent", &filter.parent))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_view(call, 0, &view))
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	filter.before = list.page.before;
	filter.limit = list.page.limit + 1;
	ks_call_page_open(call);
	err = read_tenants(call, &view, &filter, &list);
	ks_view_free(&view);
	return ks_call_page_answer(call, &list.page, err);
}

enum ks_finish ks_api_tenants_list(struct ks_call *call)
{
	return ks_call_later(call, list_tenants);
}

/* ---- one tenant ---- */

struct change {
	uint64_t id;
	struct ks_str name;
};

/* False: answered. */
static bool id_of(struct ks_call *call, uint64_t *ret_id)
{
	if (ks_call_tenant(call, call->params[0], ret_id))
		return true;
	(void)ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	return false;
}

enum ks_finish ks_api_tenants_read(struct ks_call *call)
{
	uint64_t id;
	enum ks_err err;

	if (!ks_call_no_query(call) || !id_of(call, &id))
		return KS_FINISH_DONE;
	err = ks_record_tenant_by_id(call->reader->store, &call->out, id, ks_call_ring(call), &call->actor);
	return ks_call_answer_read(call, err);
}

/* call->extra for the tenant that the path names; NULL: answered. */
static struct change *change_of(struct ks_call *call)
{
	struct change *change;
	uint64_t id;

	if (!id_of(call, &id))
		return NULL;
	change = calloc(1, sizeof(*change));
	if (!change) {
		(void)ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
		return NULL;
	}
	change->id = id;
	call->extra = change;
	return change;
}

static enum ks_err put_changed(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	return ks_record_tenant_by_id(tx->store, &call->out, change->id, tx->ring, &call->actor);
}

static bool has_member(const char *name)
{
	static const char *const members[] = {
		"id", "kind", "parent", "organization", "user", "name", "slug", "status", "created_at", "created_by",
		"suspended_at", "deleted_at", "first_key", "administrator"};

	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++) {
		if (ks_str_eq(ks_str_c(members[i]), ks_str_c(name)))
			return true;
	}
	return false;
}

static enum ks_err run_rename(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_tenants_rename(tx, &call->actor, change->id, change->name, &call->job.refusal));
	return put_changed(call, tx);
}

enum ks_finish ks_api_tenants_rename(struct ks_call *call)
{
	struct change *change = change_of(call);

	if (!change || !ks_call_rename_in(call, has_member, &change->name))
		return KS_FINISH_DONE;
	return ks_call_write(call, run_rename, 200);
}

static enum ks_err run_delete(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_tenants_delete(tx, &call->actor, change->id, &call->job.refusal));
	return put_changed(call, tx);
}

enum ks_finish ks_api_tenants_delete(struct ks_call *call)
{
	return change_of(call) ? ks_call_write(call, run_delete, 200) : KS_FINISH_DONE;
}

static enum ks_err run_suspend(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_tenants_set_suspended(tx, &call->actor, change->id, true, &call->job.refusal));
	return put_changed(call, tx);
}

enum ks_finish ks_api_tenants_suspend(struct ks_call *call)
{
	return change_of(call) && ks_call_no_members(call) ? ks_call_write(call, run_suspend, 200) : KS_FINISH_DONE;
}

static enum ks_err run_resume(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_tenants_set_suspended(tx, &call->actor, change->id, false, &call->job.refusal));
	return put_changed(call, tx);
}

enum ks_finish ks_api_tenants_resume(struct ks_call *call)
{
	return change_of(call) && ks_call_no_members(call) ? ks_call_write(call, run_resume, 200) : KS_FINISH_DONE;
}
