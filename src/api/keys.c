/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/keys: create, list, read, rename, delete, rotate. */
#include <stdlib.h>

#include "api/key_in.h"
#include "base/secret.h"

/* ---- create ---- */

static enum ks_err run_create(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_key_in *key = call->extra;
	struct ks_key_made made = {0};
	enum ks_err err = ks_keys_create(tx, &call->actor, &key->input, &made, &call->job.refusal);

	if (err == KS_OK)
		ks_record_key(&call->out, &made.row, made.grant_body, made.token, tx->now_ms);
	ks_wipe(&made, sizeof(made));
	return err;
}

enum ks_finish ks_api_keys_create(struct ks_call *call)
{
	static const char *const bindings[] = {"tenant", "user", NULL};
	struct ks_key_in *key = malloc(sizeof(*key));
	enum ks_finish answered;

	if (!key)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = key;
	ks_key_in_read(&call->in, call->body, "", bindings, key);
	(void)ks_in_id(&call->in, call->body, "", "user", KS_ID_USER, false, &key->input.user);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_call_tenant_member(call, call->body, "", "tenant", false, &key->input.tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	call->wipe = true;
	call->refuses_first = true;
	return ks_call_write(call, run_create, 201);
}

/* ---- list ---- */

struct list {
	struct ks_call *call;
	uint64_t before;      /* where to go on after a page that is not full; 0: nowhere */
	struct ks_page page;
};

static enum ks_err list_row(void *ctx, const struct ks_key_row *row)
{
	struct list *list = ctx;

	if (!ks_page_take(&list->page, row->id))
		return KS_OK;
	return ks_record_key_row(list->call->reader->store, &list->call->out, row, NULL, list->call->exchange->now_ms);
}

/* With more tenants than this, keys are walked and looked at, instead of merged from each tenant's. */
#define MERGED_MAX 48

/* Whether a key's tenant may be listed. */
struct sight {
	const struct ks_actor *actor;
	const struct ks_ring *ring;
	uint32_t root;            /* KS_RING_NONE: any */
};

static bool is_seen(void *ctx, uint64_t tenant)
{
	const struct sight *sight = ctx;
	uint32_t index = ks_ring_tenant(sight->ring, tenant);

	return index != KS_RING_NONE
	       && (sight->root == KS_RING_NONE || ks_ring_is_within(sight->ring, index, sight->root))
	       && ks_actor_sees(sight->actor, sight->ring, tenant);
}

/* The organization that all of the tenants lie in; 0: none. */
static uint64_t organization_of(const struct ks_actor *actor, const struct sight *sight)
{
	uint32_t root = sight->root;

	if (root == KS_RING_NONE && actor->visible_count == 1)
		root = ks_ring_tenant(sight->ring, actor->visible[0]);
	if (root == KS_RING_NONE || sight->ring->tenants[root].organization == KS_RING_NONE)
		return 0;
	return sight->ring->tenants[sight->ring->tenants[root].organization].id;
}

static const char *const statuses[] = {"active", "expired", "revoked"};

static void read_words(struct ks_call *call, struct ks_key_filter *filter)
{
	char storage[32];
	struct ks_str word;

	if (ks_call_query(call, "status", storage, sizeof(storage), &word)) {
		for (enum ks_key_status i = KS_KEY_STATUS_ACTIVE; i <= KS_KEY_STATUS_REVOKED; i++) {
			if (ks_str_eq(word, ks_str_c(statuses[i])))
				filter->status = i;
		}
		if (filter->status == KS_KEY_STATUS_ANY)
			ks_call_query_problem(call, "status", "This must be active, expired or revoked.");
	}
	if (ks_call_query(call, "kind", storage, sizeof(storage), &word) && !ks_kind_parse(word, &filter->kind))
		ks_call_query_problem(call, "kind", "This must be tenant, partner or runtime.");
	if (ks_call_query(call, "environment", storage, sizeof(storage), &word)
	    && !ks_environment_parse(word, &filter->environment))
		ks_call_query_problem(call, "environment", "This must be live or sandbox.");
	if (ks_call_query(call, "unused_since", storage, sizeof(storage), &word)
	    && !ks_time_parse(word, &filter->unused_since))
		ks_call_query_problem(call, "unused_since", "This must be an RFC 3339 time.");
}

/* Which tenants' keys: the one that is named, what is below it if asked, or all that is seen. False: answered, or
 * nothing can be listed. */
static bool choose_tenants(struct ks_call *call, struct ks_view *view, uint64_t *ret_within, bool *ret_answered)
{
	char storage[8];
	struct ks_str word;
	uint64_t tenant = 0;
	bool below = false;

	*ret_answered = true;
	if (!ks_call_tenant_query(call, "tenant", &tenant))
		return false;
	if (ks_call_query(call, "below", storage, sizeof(storage), &word)) {
		below = ks_str_eq(word, KS_STR("true"));
		if (!below && !ks_str_eq(word, KS_STR("false")))
			ks_call_query_problem(call, "below", "This must be true or false.");
		else if (below && tenant == 0)
			ks_call_query_problem(call, "below", "This goes with tenant.");
	}
	*ret_answered = false;
	if (tenant != 0 && !below) {
		view->tenants = malloc(sizeof(*view->tenants));
		if (!view->tenants)
			return false;
		view->tenants[0] = tenant;
		view->tenant_count = 1;
		return true;
	}
	*ret_within = tenant;
	return ks_call_view_of(call, tenant, MERGED_MAX, view);
}

/* Nothing is seen where a view is empty: to the store, no tenants would mean any. */
static enum ks_err read_keys(struct ks_call *call, const struct ks_view *view, uint64_t within,
			     struct ks_key_filter *filter, struct list *list)
{
	struct sight sight = {&call->actor, ks_call_ring(call), KS_RING_NONE};

	if (!sight.ring || (!view->all && view->tenant_count == 0 && !view->many))
		return KS_OK;
	if (view->many) {
		sight.root = within ? ks_ring_tenant(sight.ring, within) : KS_RING_NONE;
		filter->organization = organization_of(&call->actor, &sight);
		filter->seen = is_seen;
		filter->seen_ctx = &sight;
	} else if (!view->all) {
		filter->tenants = view->tenants;
		filter->tenant_count = view->tenant_count;
	}
	return ks_store_keys_page(call->reader->store, filter, list_row, list, &list->before);
}

static enum ks_finish list_keys(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "below", "status", "kind", "environment", "unused_since", "q",
					    "limit", "cursor", NULL};
	struct ks_key_filter filter = {.status = KS_KEY_STATUS_ANY, .kind = KS_KIND_COUNT,
				       .environment = KS_ENVIRONMENT_COUNT, .unused_since = KS_TIME_NONE,
				       .now_ms = call->exchange->now_ms};
	struct list list = {.call = call};
	struct ks_view view = {0};
	char q[KS_STORE_NAME_MAX];
	uint64_t within = 0;
	bool answered, chosen;
	enum ks_finish invalid;
	enum ks_err err;

	ks_call_query_known(call, known);
	ks_call_page(call, &list.page);
	read_words(call, &filter);
	(void)ks_call_query(call, "q", q, sizeof(q), &filter.q);
	chosen = choose_tenants(call, &view, &within, &answered);
	if (answered && !chosen)
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &invalid)) {
		ks_view_free(&view);
		return invalid;
	}
	if (!chosen)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	filter.before = list.page.before;
	filter.limit = list.page.limit + 1;
	ks_call_page_open(call);
	err = read_keys(call, &view, within, &filter, &list);
	ks_view_free(&view);
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_call_page_end(call, list.page.more || list.before, list.page.more ? list.page.last : list.before);
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_keys_list(struct ks_call *call)
{
	return ks_call_later(call, list_keys);
}

/* ---- one key ---- */

static enum ks_err put_seen(void *ctx, const struct ks_key_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	if (!ring || !ks_actor_sees(&call->actor, ring, row->tenant))
		return KS_NOT_FOUND;
	return ks_record_key_row(call->reader->store, &call->out, row, NULL, call->exchange->now_ms);
}

enum ks_finish ks_api_keys_read(struct ks_call *call)
{
	uint64_t id;
	enum ks_err err;

	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_KEY, &id))
		return KS_FINISH_DONE;
	err = ks_store_key_get(call->reader->store, id, put_seen, call);
	return ks_call_answer_read(call, err);
}

struct change {
	uint64_t id;
	struct ks_str name;
	uint32_t overlap_s;
	bool expires_given;
	int64_t expires_at;
};

/* call->extra for the key that the path names; NULL: answered. */
static struct change *change_of(struct ks_call *call)
{
	struct change *change;
	uint64_t id;

	if (!ks_call_id(call, 0, KS_ID_KEY, &id))
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

static enum ks_err run_rename(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_keys_rename(tx, &call->actor, change->id, change->name, &call->job.refusal));
	return ks_record_key_by_id(tx->store, &call->out, change->id, NULL, tx->now_ms);
}

enum ks_finish ks_api_keys_rename(struct ks_call *call)
{
	struct change *change = change_of(call);

	if (!change || !ks_call_rename_in(call, ks_key_has_member, &change->name))
		return KS_FINISH_DONE;
	return ks_call_write(call, run_rename, 200);
}

static enum ks_err run_delete(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;

	KS_TRY(ks_keys_revoke(tx, &call->actor, change->id, &call->job.refusal));
	return ks_record_key_by_id(tx->store, &call->out, change->id, NULL, tx->now_ms);
}

enum ks_finish ks_api_keys_delete(struct ks_call *call)
{
	if (!change_of(call))
		return KS_FINISH_DONE;
	call->refuses_first = true;
	return ks_call_write(call, run_delete, 200);
}

static enum ks_err run_rotate(struct ks_call *call, struct ks_tx *tx)
{
	const struct change *change = call->extra;
	struct ks_key_made made = {0};
	enum ks_err err = ks_keys_rotate(tx, &call->actor, change->id, change->overlap_s, change->expires_given,
					 change->expires_at, &made, &call->job.refusal);

	if (err == KS_OK)
		err = ks_record_key_by_id(tx->store, &call->out, made.id, made.token, tx->now_ms);
	ks_wipe(&made, sizeof(made));
	return err;
}

enum ks_finish ks_api_keys_rotate(struct ks_call *call)
{
	static const char *const known[] = {"overlap_s", "expires_at", NULL};
	struct change *change = change_of(call);
	enum ks_finish answered;
	uint64_t overlap_s = 0;

	if (!change)
		return KS_FINISH_DONE;
	if (call->body) {
		ks_in_known(&call->in, call->body, "", known);
		(void)ks_in_u64(&call->in, call->body, "", "overlap_s", 0, KS_ROTATE_OVERLAP_MAX, false, &overlap_s);
		change->expires_given = ks_in_time(&call->in, call->body, "", "expires_at", false, true,
						   &change->expires_at);
	}
	if (ks_call_invalid(call, &answered))
		return answered;
	change->overlap_s = (uint32_t)overlap_s;
	call->wipe = true;
	return ks_call_write(call, run_rotate, 201);
}
