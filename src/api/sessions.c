/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions: one's own, and those of users whom one administers. */
#include <stdlib.h>

#include "api/login.h"

bool ks_call_own_user(struct ks_call *call, bool cookie_alone, uint64_t *ret_user)
{
	struct ks_decision refusal = {.reason = KS_REASON_KIND_NOT_ALLOWED, .step = KS_STEP_KIND};

	if (call->actor.session != 0 && !(cookie_alone && call->actor.is_asserted)
	    && ks_id_parse(ks_str_c(call->actor.id), KS_ID_USER, ret_user))
		return true;
	(void)ks_call_refuse(call, NULL, &refusal, false);
	return false;
}

/* ---- lists ---- */

struct list {
	struct ks_call *call;
	struct ks_page page;
};

static enum ks_err list_row(void *ctx, const struct ks_session_row *row)
{
	struct list *list = ctx;

	if (!ks_page_take(&list->page, row->id))
		return KS_OK;
	ks_record_session(&list->call->out, row, list->call->actor.session);
	return KS_OK;
}

static enum ks_finish list_sessions(struct ks_call *call, uint64_t user)
{
	struct list list = {.call = call};
	enum ks_finish answered;
	enum ks_err err;

	ks_call_page(call, &list.page);
	if (ks_call_invalid(call, &answered))
		return answered;
	ks_call_page_open(call);
	err = ks_store_sessions_of_user(call->reader->store, user, call->exchange->now_ms, list.page.before,
					list.page.limit + 1, list_row, &list);
	return ks_call_page_answer(call, &list.page, err);
}

static const char *const list_query[] = {"limit", "cursor", NULL};

static enum ks_finish list_own(struct ks_call *call)
{
	uint64_t user;

	ks_call_query_known(call, list_query);
	return ks_call_own_user(call, false, &user) ? list_sessions(call, user) : KS_FINISH_DONE;
}

enum ks_finish ks_api_sessions_list(struct ks_call *call)
{
	return ks_call_later(call, list_own);
}

static enum ks_finish list_of_user(struct ks_call *call)
{
	uint64_t user;

	ks_call_query_known(call, list_query);
	return ks_call_path_user(call, &user) ? list_sessions(call, user) : KS_FINISH_DONE;
}

enum ks_finish ks_api_users_sessions(struct ks_call *call)
{
	return ks_call_later(call, list_of_user);
}

/* ---- who am I ---- */

static enum ks_err put_session(void *ctx, const struct ks_session_row *row)
{
	struct ks_call *call = ctx;

	ks_record_session(&call->out, row, call->actor.session);
	return KS_OK;
}

static enum ks_err put_membership(void *ctx, const struct ks_membership_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);
	uint32_t index = ring ? ks_ring_tenant(ring, row->tenant) : KS_RING_NONE;

	if (index == KS_RING_NONE)
		return KS_OK;
	ks_json_open(&call->out, '{');
	ks_json_put_id(&call->out, "tenant", (enum ks_id_type)ring->tenants[index].kind, row->tenant);
	ks_json_put_str(&call->out, "role", row->role);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static enum ks_err put_self(struct ks_call *call, uint64_t user)
{
	struct ks_store *store = call->reader->store;
	struct ks_json *out = &call->out;

	ks_json_open(out, '{');
	ks_json_name(out, "session");
	KS_TRY(ks_store_session_get(store, call->actor.session, put_session, call));
	ks_json_name(out, "user");
	KS_TRY(ks_record_user_by_id(store, out, user));
	ks_json_reopen(out, '}');
	KS_TRY(ks_record_access(store, out, user));
	ks_json_close(out, '}');
	ks_json_name(out, "memberships");
	ks_json_open(out, '[');
	KS_TRY(ks_store_memberships_of_user(store, user, put_membership, call));
	ks_json_close(out, ']');
	ks_json_close(out, '}');
	return KS_OK;
}

enum ks_finish ks_api_session_read(struct ks_call *call)
{
	uint64_t user;
	enum ks_err err;

	if (!ks_call_no_query(call) || !ks_call_own_user(call, false, &user))
		return KS_FINISH_DONE;
	err = put_self(call, user);
	return ks_call_answer_read(call, err);
}

/* ---- end ---- */

struct ending {
	uint64_t user;
	uint64_t session;
};

static enum ks_err run_end(struct ks_call *call, struct ks_tx *tx)
{
	const struct ending *ending = call->extra;

	KS_TRY(ks_sessions_end(tx, &call->actor, ending->user, ending->session, &call->job.refusal));
	return ks_store_session_get(tx->store, ending->session, put_session, call);
}

static void forget_cookie(struct ks_call *call)
{
	const struct ending *ending = call->extra;

	if (call->by_cookie && ending->session == call->actor.session)
		ks_cookie_set(call, KS_STR(""));
}

static enum ks_finish end(struct ks_call *call, uint64_t user, uint64_t session)
{
	struct ending *ending = calloc(1, sizeof(*ending));

	if (!ending)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	*ending = (struct ending){user, session};
	call->extra = ending;
	call->succeeded = forget_cookie;
	return ks_call_write(call, run_end, 200);
}

enum ks_finish ks_api_session_end(struct ks_call *call)
{
	uint64_t user;

	return ks_call_own_user(call, false, &user) ? end(call, user, call->actor.session) : KS_FINISH_DONE;
}

enum ks_finish ks_api_sessions_end(struct ks_call *call)
{
	uint64_t user, session;

	if (!ks_call_own_user(call, true, &user))
		return KS_FINISH_DONE;
	if (!ks_id_parse(call->params[0], KS_ID_SESSION, &session))
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	return end(call, user, session);
}

static enum ks_err run_end_all(struct ks_call *call, struct ks_tx *tx)
{
	const struct ending *ending = call->extra;
	uint64_t count = 0;

	KS_TRY(ks_users_end_sessions(tx, &call->actor, ending->user, &count, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_json_put_u64(&call->out, "ended", count);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

enum ks_finish ks_api_users_sessions_end(struct ks_call *call)
{
	struct ending *ending;
	uint64_t user;

	if (!ks_call_path_user(call, &user))
		return KS_FINISH_DONE;
	ending = calloc(1, sizeof(*ending));
	if (!ending)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ending->user = user;
	call->extra = ending;
	return ks_call_write(call, run_end_all, 200);
}
