/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/audit: who did what, newest first. What was done to a tenant that has been deleted since stays to be read
 * by who saw it. */
#include "api/api_priv.h"

#define CHUNK 1000u       /* rows asked of the store at once where not all of them may be seen */
#define SCAN_MAX 20000u   /* rows looked at for one page: beyond, the page ends and says how to go on */

struct list {
	struct ks_call *call;
	const struct ks_ring *ring;
	struct ks_audit_filter filter;
	bool all_seen;            /* the filter lets nothing through that is not seen */
	size_t limit;
	size_t count;
	size_t got;               /* by the last question to the store */
	size_t scanned;
	uint64_t last_scanned;
	uint64_t last_shown;
	bool more;
};

/* ---- what is seen ---- */

static bool is_deleted(const struct ks_ring_tenant *tenant)
{
	return (atomic_load_explicit(&tenant->flags, memory_order_acquire) & KS_TENANT_DELETED) != 0;
}

/* A deleted tenant was seen by whoever it lay below. */
static bool saw(const struct ks_actor *actor, const struct ks_ring *ring, uint32_t index)
{
	const struct ks_ring_tenant *tenant = &ring->tenants[index];
	uint32_t own = ks_ring_tenant(ring, actor->own);

	if (actor->local || actor->is_operator)
		return true;
	if (own == KS_RING_NONE || tenant->kind == KS_TENANT_KIND_PERSONAL)
		return false;
	switch ((enum ks_binding)actor->binding) {
	case KS_BINDING_OPERATOR:
	case KS_BINDING_ORGANIZATION:
	case KS_BINDING_SUB_ENTITY:
	case KS_BINDING_PROJECT:
		return ks_ring_is_within(ring, index, own);
	case KS_BINDING_PARTNER:
		return tenant->kind == KS_TENANT_KIND_ORGANIZATION && tenant->depth > 0
		       && tenant->path[tenant->depth - 1] == own;
	case KS_BINDING_USER:
	case KS_BINDING_COUNT:
		break;
	}
	return false;
}

static bool sees_tenant(const struct list *list, uint64_t id)
{
	const struct ks_actor *actor = &list->call->actor;
	uint32_t index = id ? ks_ring_tenant(list->ring, id) : KS_RING_NONE;

	if (index == KS_RING_NONE)
		return actor->local || actor->is_operator;
	if (is_deleted(&list->ring->tenants[index]))
		return saw(actor, list->ring, index);
	return ks_actor_sees(actor, list->ring, id);
}

/* ---- rows ---- */

static void put_row(const struct list *list, const struct ks_audit_row *row)
{
	struct ks_json *out = &list->call->out;
	uint32_t index = row->tenant ? ks_ring_tenant(list->ring, row->tenant) : KS_RING_NONE;

	ks_json_open(out, '{');
	ks_json_put_id(out, "id", KS_ID_AUDIT, row->id);
	ks_json_put_time(out, "at", row->at);
	ks_json_put_str(out, "actor", row->actor);
	ks_json_put_some(out, "on_behalf", row->on_behalf);
	ks_json_put_str(out, "action", row->action);
	ks_json_put_some(out, "object", row->object);
	ks_json_put_id(out, "tenant",
		       index == KS_RING_NONE ? KS_ID_OPERATOR : (enum ks_id_type)list->ring->tenants[index].kind,
		       index == KS_RING_NONE ? 0 : row->tenant);
	ks_json_put_id(out, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_str(out, "outcome", row->outcome);
	ks_json_put_some(out, "address", row->address);
	ks_json_put_some(out, "request_id", row->request_id);
	ks_json_put_raw(out, "detail", ks_str_empty(row->detail) ? KS_STR("{}") : row->detail);
	ks_json_close(out, '}');
}

static enum ks_err list_row(void *ctx, const struct ks_audit_row *row)
{
	struct list *list = ctx;

	list->got++;
	list->last_scanned = row->id;
	if (list->more || (!list->all_seen && !sees_tenant(list, row->tenant)))
		return KS_OK;
	if (list->count == list->limit) {
		list->more = true;
		return KS_OK;
	}
	list->count++;
	list->last_shown = row->id;
	put_row(list, row);
	return KS_OK;
}

static enum ks_err put_rows(struct list *list)
{
	do {
		list->got = 0;
		KS_TRY(ks_store_audit(list->call->reader->store, &list->filter, list_row, list));
		list->scanned += list->got;
		list->filter.before = list->last_scanned;
	} while (!list->more && list->got == list->filter.limit && list->scanned < SCAN_MAX);
	if (!list->more && list->got == list->filter.limit) {
		list->more = true;
		list->last_shown = list->last_scanned;
	}
	return KS_OK;
}

/* ---- the question ---- */

/* False: answered. */
static bool read_tenant(struct list *list)
{
	char storage[64];
	struct ks_str text;
	enum ks_id_type type;
	uint64_t id;
	uint32_t index;

	if (!ks_call_query(list->call, "tenant", storage, sizeof(storage), &text))
		return true;
	if (!ks_id_parse_any(text, &type, &id)) {
		ks_call_query_problem(list->call, "tenant", "This is not the id of a tenant.");
		return true;
	}
	index = ks_ring_tenant(list->ring, id);
	if (index == KS_RING_NONE || list->ring->tenants[index].kind != (uint8_t)type || !sees_tenant(list, id)) {
		(void)ks_call_tenant_forbidden(list->call);
		return false;
	}
	list->filter.tenant = id;
	list->all_seen = true;
	return true;
}

static void read_time(struct ks_call *call, const char *name, int64_t *time)
{
	char storage[48];
	struct ks_str text;

	if (ks_call_query(call, name, storage, sizeof(storage), &text) && !ks_time_parse(text, time))
		ks_call_query_problem(call, name, "This must be an RFC 3339 time.");
}

/* The shortest stretch of the log that holds all that the caller may see. */
static void choose_range(struct list *list)
{
	const struct ks_actor *actor = &list->call->actor;
	struct ks_audit_filter *filter = &list->filter;
	uint32_t at;

	if (list->all_seen)
		return;
	if (actor->local || actor->is_operator) {
		list->all_seen = true;
		return;
	}
	at = ks_ring_tenant(list->ring, actor->effective);
	if (actor->binding == KS_BINDING_PROJECT || at == KS_RING_NONE
	    || list->ring->tenants[at].organization == KS_RING_NONE)
		filter->tenant = actor->effective;
	else
		filter->organization = list->ring->tenants[list->ring->tenants[at].organization].id;
}

static enum ks_finish list_audit(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "actor", "action", "from", "to", "limit", "cursor", NULL};
	struct list list = {.call = call, .ring = ks_call_ring(call),
			    .filter = {.from = KS_TIME_NONE, .to = KS_TIME_NONE}};
	char actor[KS_STORE_ACTOR_MAX], action[64];
	struct ks_page page;
	enum ks_finish answered;
	enum ks_err err;

	if (!list.ring)
		return ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
	ks_call_query_known(call, known);
	ks_call_page(call, &page);
	(void)ks_call_query(call, "actor", actor, sizeof(actor), &list.filter.actor);
	(void)ks_call_query(call, "action", action, sizeof(action), &list.filter.action);
	read_time(call, "from", &list.filter.from);
	read_time(call, "to", &list.filter.to);
	if (!read_tenant(&list))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	choose_range(&list);
	list.limit = page.limit;
	list.filter.before = page.before;
	list.filter.limit = list.all_seen ? page.limit + 1 : CHUNK;
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "items");
	ks_json_open(&call->out, '[');
	err = put_rows(&list);
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_call_page_end(call, list.more, list.last_shown);
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_audit(struct ks_call *call)
{
	return ks_call_later(call, list_audit);
}
