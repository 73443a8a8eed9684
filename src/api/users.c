/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/users: invite, list, read, disable, enable. */
#include <stdlib.h>

#include "api/key_in.h"
#include "api/login.h"
#include "base/secret.h"

#define EMAIL_MAX 254u /* RFC 5321, errata 1690 */
#define HOMES_MAX 256u /* organizations that one list goes through */

/* ---- create ---- */

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_user_input *input = call->extra;
	struct ks_invited invited = {0};
	uint64_t id;
	enum ks_err err = ks_users_create(tx, &call->actor, input, &id, &invited, &call->job.refusal);

	if (err == KS_OK)
		err = ks_record_user_by_id(tx->store, &call->out, id);
	if (err == KS_OK) {
		ks_json_reopen(&call->out, '}');
		ks_record_invited(&call->out, &invited);
		ks_json_close(&call->out, '}');
	}
	ks_wipe(&invited, sizeof(invited));
	return err;
}

enum ks_finish ks_api_users_create(struct ks_call *call)
{
	static const char *const known[] = {"organization", "email", "name", NULL};
	struct ks_user_input *input = calloc(1, sizeof(*input));
	enum ks_finish answered;

	if (!input)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = input;
	ks_in_known(&call->in, call->body, "", known);
	input->email = ks_in_str(&call->in, call->body, "", "email", EMAIL_MAX, true);
	input->name = ks_in_str(&call->in, call->body, "", "name", KS_STORE_NAME_MAX, false);
	/* Who is invited by address alone goes by it. */
	if (ks_str_empty(input->name))
		input->name = ks_str_sub(input->email, 0, KS_STORE_NAME_MAX);
	if (ks_str_has_control(input->name))
		ks_in_problem(&call->in, "", "name", "This must not have control characters.");
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "organization", false, &input->organization))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	call->wipe = true;
	return ks_call_write(call, run_create, 201);
}

/* ---- list: each organization's users are in their order; the newest of all are kept ---- */

struct list {
	struct ks_call *call;
	size_t cap;         /* one more than the page: that there is more */
	size_t count;
	uint64_t *ids;      /* descending */
	uint64_t homes[HOMES_MAX];
	size_t home_count;
};

static void offer(struct list *list, uint64_t id)
{
	size_t at = 0;

	while (at < list->count && list->ids[at] > id)
		at++;
	if (at == list->cap || (at < list->count && list->ids[at] == id))
		return;
	if (list->count < list->cap)
		list->count++;
	for (size_t i = list->count - 1; i > at; i--)
		list->ids[i] = list->ids[i - 1];
	list->ids[at] = id;
}

static enum ks_err offer_row(void *ctx, const struct ks_user_row *row)
{
	offer(ctx, row->id);
	return KS_OK;
}

/* The organizations among the tenants that are seen, and the operator; false: too many. The user of a user key is seen
 * wherever its home is. */
static bool gather_homes(struct list *list, const struct ks_ring *ring, const struct ks_view *view, uint64_t before)
{
	for (size_t i = 0; i < view->tenant_count; i++) {
		const struct ks_ring_tenant *tenant = &ring->tenants[ks_ring_tenant(ring, view->tenants[i])];

		if (tenant->kind == KS_TENANT_KIND_PERSONAL && tenant->user != KS_RING_NONE
		    && (before == 0 || ring->users[tenant->user].id < before))
			offer(list, ring->users[tenant->user].id);
		if (tenant->kind != KS_TENANT_KIND_ORGANIZATION && tenant->kind != KS_TENANT_KIND_OPERATOR)
			continue;
		if (list->home_count == HOMES_MAX)
			return false;
		list->homes[list->home_count++] = tenant->kind == KS_TENANT_KIND_OPERATOR ? 0 : tenant->id;
	}
	return true;
}

/* Where to look. False: answered. */
static bool choose_homes(struct list *list, uint64_t before)
{
	struct ks_call *call = list->call;
	const struct ks_ring *ring = ks_call_ring(call);
	struct ks_view view;
	uint64_t organization = 0;
	bool few;

	if (!ks_call_tenant_query(call, "organization", &organization))
		return false;
	if (organization != 0) {
		enum ks_tenant_kind kind = ring->tenants[ks_ring_tenant(ring, organization)].kind;

		if (kind != KS_TENANT_KIND_ORGANIZATION && kind != KS_TENANT_KIND_OPERATOR)
			ks_call_query_problem(call, "organization", "This must be an organization.");
		/* The operator's own people have no organization. */
		list->homes[list->home_count++] = kind == KS_TENANT_KIND_ORGANIZATION ? organization : 0;
		return true;
	}
	if (!ks_call_view(call, 0, &view)) {
		(void)ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
		return false;
	}
	if (view.all)
		list->homes[list->home_count++] = KS_STORE_ANY;
	few = view.all || gather_homes(list, ring, &view, before);
	ks_view_free(&view);
	if (!few)
		ks_call_query_problem(call, "organization", "There are too many organizations for one list: name one.");
	return true;
}

static enum ks_err put_page(struct list *list, uint64_t before)
{
	struct ks_call *call = list->call;
	size_t shown;

	for (size_t i = 0; i < list->home_count; i++)
		KS_TRY(ks_store_users(call->reader->store, list->homes[i], before, list->cap, offer_row, list));
	shown = KS_MIN(list->count, list->cap - 1);
	ks_call_page_open(call);
	for (size_t i = 0; i < shown; i++)
		KS_TRY(ks_record_user_by_id(call->reader->store, &call->out, list->ids[i]));
	ks_call_page_end(call, list->count == list->cap, shown ? list->ids[shown - 1] : 0);
	return KS_OK;
}

static enum ks_finish list_users(struct ks_call *call)
{
	static const char *const known[] = {"organization", "limit", "cursor", NULL};
	struct list *list = calloc(1, sizeof(*list));
	struct ks_page page;
	enum ks_finish answered;
	enum ks_err err;

	call->extra = list;
	ks_call_query_known(call, known);
	ks_call_page(call, &page);
	if (list)
		list->ids = calloc(page.limit + 1, sizeof(*list->ids));
	if (!list || !list->ids)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	list->call = call;
	list->cap = page.limit + 1;
	if (!choose_homes(list, page.before)) {
		free(list->ids);
		return KS_FINISH_DONE;
	}
	if (ks_call_invalid(call, &answered)) {
		free(list->ids);
		return answered;
	}
	err = put_page(list, page.before);
	free(list->ids);
	return ks_call_answer_read(call, err);
}

enum ks_finish ks_api_users_list(struct ks_call *call)
{
	return ks_call_later(call, list_users);
}

/* ---- one user ---- */

static enum ks_err put_seen(void *ctx, const struct ks_user_row *row)
{
	struct ks_call *call = ctx;

	if (!ks_call_sees_user(call, row))
		return KS_NOT_FOUND;
	ks_record_user(&call->out, row);
	ks_json_reopen(&call->out, '}');
	KS_TRY(ks_record_access(call->reader->store, &call->out, row->id));
	ks_json_close(&call->out, '}');
	return KS_OK;
}

enum ks_finish ks_api_users_read(struct ks_call *call)
{
	uint64_t id;
	enum ks_err err;

	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_USER, &id))
		return KS_FINISH_DONE;
	err = ks_store_user_get(call->reader->store, id, put_seen, call);
	return ks_call_answer_read(call, err);
}

static enum ks_err run_change(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *change = call->extra;

	KS_TRY(ks_users_set_disabled(tx, &call->actor, change->id, change->on, &call->job.refusal));
	return ks_record_user_by_id(tx->store, &call->out, change->id);
}

static enum ks_finish set_disabled(struct ks_call *call, bool disabled)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_USER, disabled, run_change) : KS_FINISH_DONE;
}

enum ks_finish ks_api_users_disable(struct ks_call *call)
{
	return set_disabled(call, true);
}

enum ks_finish ks_api_users_enable(struct ks_call *call)
{
	return set_disabled(call, false);
}
