/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/endpoint_set.h"

#include <stdlib.h>

#include "base/array.h"

#define AT_ONCE 1000

/* ---- types ---- */

bool ks_event_set_has(const struct ks_event_set *set, enum ks_event_type type)
{
	return set->bits[type / 64] >> type % 64 & 1;
}

void ks_event_set_of(struct ks_str events, struct ks_event_set *ret_set)
{
	struct ks_event_set set = {{0}};
	struct ks_str rest = events, name;
	enum ks_event_type type;
	bool more = true;

	if (ks_str_eq(events, KS_STR("*")))
		memset(&set, 0xff, sizeof(set));
	while (more) {
		more = ks_str_split(rest, ' ', &name, &rest);
		if (!more)
			name = rest;
		if (ks_event_parse(name, &type))
			set.bits[type / 64] |= UINT64_C(1) << type % 64;
	}
	*ret_set = set;
}

/* ---- the set ---- */

void ks_endpoint_set_clear(struct ks_endpoint_set *set)
{
	free(set->items);
	*set = (struct ks_endpoint_set){0};
}

static enum ks_err append(struct ks_endpoint_set *set, const struct ks_endpoint_known *known)
{
	KS_TRY(ks_array_room(&set->items, &set->cap, set->count, 64, sizeof(*set->items)));
	set->items[set->count++] = *known;
	return KS_OK;
}

static void take_out(struct ks_endpoint_set *set, uint64_t id)
{
	for (size_t i = 0; i < set->count; i++) {
		if (set->items[i].id == id) {
			set->items[i] = set->items[--set->count];
			return;
		}
	}
}

struct reading {
	struct ks_endpoint_set *set;
	bool first;    /* nothing can be in it yet */
	size_t rows;
};

static enum ks_err note(void *ctx, const struct ks_endpoint_row *row)
{
	struct reading *r = ctx;
	struct ks_endpoint_known known = {.id = row->id, .tenant = row->tenant, .organization = row->organization};

	r->rows++;
	r->set->version = row->version;
	if (!r->first)
		take_out(r->set, row->id);
	if (row->deleted_at != KS_TIME_NONE || row->state == KS_ENDPOINT_DISABLED)
		return KS_OK;
	ks_event_set_of(row->events, &known.events);
	return append(r->set, &known);
}

static int order(const void *a, const void *b)
{
	const struct ks_endpoint_known *x = a, *y = b;

	if (x->tenant != y->tenant)
		return x->tenant < y->tenant ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

enum ks_err ks_endpoint_set_update(struct ks_endpoint_set *set, struct ks_store *store)
{
	struct reading r = {.set = set, .first = set->version == 0};
	size_t all = 0;

	do {
		r.rows = 0;
		KS_TRY(ks_store_endpoints_changed(store, set->version, AT_ONCE, note, &r));
		all += r.rows;
	} while (r.rows == AT_ONCE);
	if (all > 0 && set->count > 1)
		qsort(set->items, set->count, sizeof(set->items[0]), order);
	return KS_OK;
}

/* ---- who hears of what ---- */

static bool is_deleted(const struct ks_ring_tenant *tenant)
{
	return (atomic_load_explicit(&tenant->flags, memory_order_acquire) & KS_TENANT_DELETED) != 0;
}

/* As GET /v1/events shows it to a key of tenant `own`, an ancestor of `tenant` or it itself. */
static bool hears(const struct ks_ring_tenant *own, const struct ks_ring_tenant *tenant)
{
	if (own == tenant || own->kind == KS_TENANT_KIND_OPERATOR)
		return true;
	if (tenant->kind == KS_TENANT_KIND_PERSONAL)
		return false;
	return own->kind != KS_TENANT_KIND_PARTNER
	       || (tenant->kind == KS_TENANT_KIND_ORGANIZATION && tenant->depth == own->depth + 1);
}

bool ks_endpoint_hears(const struct ks_ring *ring, uint64_t own, uint64_t tenant)
{
	uint32_t at = ks_ring_tenant(ring, own), of = tenant ? ks_ring_tenant(ring, tenant) : KS_RING_NONE;

	if (at == KS_RING_NONE || is_deleted(&ring->tenants[at]))
		return false;
	if (of == KS_RING_NONE)
		return ring->tenants[at].kind == KS_TENANT_KIND_OPERATOR;
	return ks_ring_is_within(ring, of, at) && hears(&ring->tenants[at], &ring->tenants[of]);
}

static size_t first_of(const struct ks_endpoint_set *set, uint64_t tenant)
{
	size_t low = 0, high = set->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (set->items[middle].tenant < tenant)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static enum ks_err hearers_of(const struct ks_endpoint_set *set, uint64_t own, enum ks_event_type type,
			      enum ks_err (*each)(void *ctx, const struct ks_endpoint_known *known), void *ctx)
{
	for (size_t i = first_of(set, own); i < set->count && set->items[i].tenant == own; i++) {
		if (ks_event_set_has(&set->items[i].events, type))
			KS_TRY(each(ctx, &set->items[i]));
	}
	return KS_OK;
}

enum ks_err ks_endpoint_set_hearers(const struct ks_endpoint_set *set, const struct ks_ring *ring, enum ks_event_type type,
				    uint64_t tenant, enum ks_err (*each)(void *ctx, const struct ks_endpoint_known *known),
				    void *ctx)
{
	uint32_t of = tenant ? ks_ring_tenant(ring, tenant) : KS_RING_NONE;

	/* Whatever is of no tenant is the operator's, whose tenant is the first. */
	if (of == KS_RING_NONE)
		return hearers_of(set, ring->tenants[0].id, type, each, ctx);
	for (uint8_t depth = 0; depth <= ring->tenants[of].depth; depth++) {
		const struct ks_ring_tenant *own = &ring->tenants[ring->tenants[of].path[depth]];

		if (!is_deleted(own) && hears(own, &ring->tenants[of]))
			KS_TRY(hearers_of(set, own->id, type, each, ctx));
	}
	return KS_OK;
}
