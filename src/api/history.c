/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of the past (audit, events): of what happened to a tenant that has been deleted since, who saw it may go
 * on reading. */
#include "api/api_priv.h"

#define CHUNK 1000u       /* rows asked of the store at once where not all of them may be seen */
#define SCAN_MAX 20000u   /* rows looked at for one page: beyond, the page ends and says how to go on */

static bool is_deleted(const struct ks_ring_tenant *tenant)
{
	return (atomic_load_explicit(&tenant->flags, memory_order_acquire) & KS_TENANT_DELETED) != 0;
}

bool ks_history_sees(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = tenant ? ks_ring_tenant(ring, tenant) : KS_RING_NONE;

	if (index == KS_RING_NONE)
		return actor->local || actor->is_operator;
	if (is_deleted(&ring->tenants[index]))
		return ks_actor_saw(actor, ring, tenant);
	return ks_actor_sees(actor, ring, tenant);
}

void ks_history_put_tenant(struct ks_json *json, const struct ks_ring *ring, uint64_t tenant)
{
	uint32_t index = tenant ? ks_ring_tenant(ring, tenant) : KS_RING_NONE;

	ks_json_put_id(json, "tenant",
		       index == KS_RING_NONE ? KS_ID_OPERATOR : (enum ks_id_type)ring->tenants[index].kind,
		       index == KS_RING_NONE ? 0 : tenant);
}

/* ---- the question ---- */

/* False: answered. */
static bool read_tenant(struct ks_call *call, struct ks_history *h)
{
	char storage[64];
	struct ks_str text;
	enum ks_id_type type;
	uint64_t id;
	uint32_t index;

	if (!ks_call_query(call, "tenant", storage, sizeof(storage), &text))
		return true;
	if (!ks_id_parse_any(text, &type, &id)) {
		ks_call_query_problem(call, "tenant", "This is not the id of a tenant.");
		return true;
	}
	index = ks_ring_tenant(h->ring, id);
	if (index == KS_RING_NONE || h->ring->tenants[index].kind != (uint8_t)type
	    || !ks_history_sees(&call->actor, h->ring, id)) {
		(void)ks_call_tenant_forbidden(call);
		return false;
	}
	h->tenant = id;
	h->all_seen = true;
	return true;
}

static void read_time(struct ks_call *call, const char *name, int64_t *time)
{
	char storage[48];
	struct ks_str text;

	if (ks_call_query(call, name, storage, sizeof(storage), &text) && !ks_time_parse(text, time))
		ks_call_query_problem(call, name, "This must be an RFC 3339 time.");
}

/* The shortest stretch of the past that holds all that the caller may see. */
static void choose_range(struct ks_call *call, struct ks_history *h)
{
	const struct ks_actor *actor = &call->actor;
	uint32_t at;

	if (h->all_seen)
		return;
	if (actor->local || actor->is_operator) {
		h->all_seen = true;
		return;
	}
	at = ks_ring_tenant(h->ring, actor->effective);
	if (actor->binding == KS_BINDING_PROJECT || at == KS_RING_NONE
	    || h->ring->tenants[at].organization == KS_RING_NONE)
		h->tenant = actor->effective;
	else
		h->organization = h->ring->tenants[h->ring->tenants[at].organization].id;
}

bool ks_history_read(struct ks_call *call, struct ks_history *ret_history)
{
	struct ks_history h = {.call = call, .ring = ks_call_ring(call), .from = KS_TIME_NONE, .to = KS_TIME_NONE};
	struct ks_page page;
	enum ks_finish answered;

	if (!h.ring) {
		(void)ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
		return false;
	}
	ks_call_page(call, &page);
	read_time(call, "from", &h.from);
	read_time(call, "to", &h.to);
	if (!read_tenant(call, &h) || ks_call_invalid(call, &answered))
		return false;
	choose_range(call, &h);
	h.limit = page.limit;
	h.before = page.before;
	h.ask = h.all_seen ? page.limit + 1 : CHUNK;
	*ret_history = h;
	return true;
}

/* ---- the answer ---- */

void ks_history_skip(struct ks_history *h, uint64_t id)
{
	h->got++;
	h->last_scanned = id;
}

bool ks_history_take(struct ks_history *h, uint64_t id, uint64_t tenant)
{
	h->got++;
	h->last_scanned = id;
	if (h->more || (!h->all_seen && !ks_history_sees(&h->call->actor, h->ring, tenant)))
		return false;
	if (h->count == h->limit) {
		h->more = true;
		return false;
	}
	h->count++;
	h->last_shown = id;
	return true;
}

enum ks_finish ks_history_answer(struct ks_history *h, enum ks_err (*ask)(struct ks_history *h, void *ctx), void *ctx)
{
	struct ks_call *call = h->call;
	enum ks_err err;

	ks_call_page_open(call);
	do {
		h->got = 0;
		err = ask(h, ctx);
		if (err != KS_OK)
			return ks_call_problem(call, ks_problem_of_err(err), NULL);
		h->scanned += h->got;
		h->before = h->last_scanned;
	} while (!h->more && h->got == h->ask && h->scanned < SCAN_MAX);
	if (!h->more && h->got == h->ask) {
		h->more = true;
		h->last_shown = h->last_scanned;
	}
	ks_call_page_end(call, h->more, h->last_shown);
	return ks_call_answer(call, 200);
}
