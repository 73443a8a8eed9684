/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/tenants/{id}/members: who has which role on a tenant. */
#include <stdlib.h>

#include "api/key_in.h"

/* ---- the record ---- */

struct member {
	struct ks_store *store;
	struct ks_json *json;
	struct ks_str tenant;                     /* its id as text */
	uint64_t tenant_id;
	const struct ks_membership_row *row;
	bool found;
};

static enum ks_err put_with_user(void *ctx, const struct ks_user_row *user)
{
	struct member *m = ctx;
	struct ks_json *json = m->json;

	ks_json_open(json, '{');
	ks_json_put_str(json, "tenant", m->tenant);
	ks_json_put_id(json, "user", KS_ID_USER, user->id);
	ks_json_put_str(json, "email", user->email);
	ks_json_put_str(json, "name", user->name);
	ks_json_put_str(json, "role", m->row->role);
	ks_json_put_time(json, "created_at", m->row->created_at);
	ks_json_put_actor(json, "created_by", m->row->created_by);
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_err put_member(struct member *m, const struct ks_membership_row *row)
{
	m->row = row;
	return ks_store_user_get(m->store, row->user, put_with_user, m);
}

/* ---- list ---- */

struct list {
	struct member member;
	struct ks_page page;
};

static enum ks_err list_row(void *ctx, const struct ks_membership_row *row)
{
	struct list *list = ctx;

	if (!ks_page_take(&list->page, row->user))
		return KS_OK;
	return put_member(&list->member, row);
}

/* The tenant of the path; false: answered. */
static bool tenant_of(struct ks_call *call, uint64_t *ret_id)
{
	if (ks_call_tenant(call, call->params[0], ret_id))
		return true;
	(void)ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	return false;
}

static enum ks_finish list_members(struct ks_call *call)
{
	static const char *const known[] = {"limit", "cursor", NULL};
	struct list list = {.member = {.store = call->reader->store, .json = &call->out, .tenant = call->params[0]}};
	enum ks_finish answered;
	uint64_t tenant;
	enum ks_err err;

	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!tenant_of(call, &tenant))
		return KS_FINISH_DONE;
	ks_call_page_open(call);
	err = ks_store_memberships_of_tenant(call->reader->store, tenant, list.page.before, list.page.limit + 1,
					     list_row, &list);
	return ks_call_page_answer(call, &list.page, err);
}

enum ks_finish ks_api_members_list(struct ks_call *call)
{
	return ks_call_later(call, list_members);
}

/* ---- put, remove ---- */

struct change {
	uint64_t tenant;
	uint64_t user;
	struct ks_str role;
};

static enum ks_err see(void *ctx, const struct ks_user_row *row)
{
	return ks_call_sees_user(ctx, row) ? KS_OK : KS_NOT_FOUND;
}

/* call->extra for what the path names; NULL: answered. */
static struct change *change_of(struct ks_call *call)
{
	struct change *change;
	uint64_t tenant, user;

	if (!tenant_of(call, &tenant))
		return NULL;
	if (!ks_id_parse(call->params[1], KS_ID_USER, &user)
	    || ks_store_user_get(call->reader->store, user, see, call) != KS_OK) {
		(void)ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
		return NULL;
	}
	change = calloc(1, sizeof(*change));
	if (!change) {
		(void)ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
		return NULL;
	}
	*change = (struct change){.tenant = tenant, .user = user};
	call->extra = change;
	return change;
}

static enum ks_err put_if_this(void *ctx, const struct ks_membership_row *row)
{
	struct member *m = ctx;

	if (row->tenant != m->tenant_id)
		return KS_OK;
	m->found = true;
	return put_member(m, row);
}

static enum ks_err put_one(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;
	struct member m = {.store = tx->store, .json = &call->out, .tenant = call->params[0],
			   .tenant_id = change->tenant};

	KS_TRY(ks_store_memberships_of_user(tx->store, change->user, put_if_this, &m));
	return m.found ? KS_OK : KS_NOT_FOUND;
}

static enum ks_err run_put(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_members_put(tx, &call->actor, change->tenant, change->user, change->role, &call->job.refusal));
	return put_one(call, tx);
}

enum ks_finish ks_api_members_put(struct ks_call *call)
{
	static const char *const known[] = {"role", NULL};
	struct change *change;
	enum ks_finish answered;

	ks_in_known(&call->in, call->body, "", known);
	(void)ks_in_str(&call->in, call->body, "", "role", KS_SCOPE_NAME_MAX, true);
	if (ks_call_invalid(call, &answered))
		return answered;
	change = change_of(call);
	if (!change)
		return KS_FINISH_DONE;
	change->role = ks_in_str(&call->in, call->body, "", "role", KS_SCOPE_NAME_MAX, true);
	return ks_call_write(call, run_put, 200);
}

/* The record as it was is the answer: rendered first. */
static enum ks_err run_remove(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(put_one(call, tx));
	return ks_members_remove(tx, &call->actor, change->tenant, change->user, &call->job.refusal);
}

enum ks_finish ks_api_members_remove(struct ks_call *call)
{
	return change_of(call) ? ks_call_write(call, run_remove, 200) : KS_FINISH_DONE;
}
