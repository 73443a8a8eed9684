/* SPDX-License-Identifier: Apache-2.0 */
/* The endpoints in mind: kept in step with the store by their versions, in the line of those that may begin something, and
 * among those that wait for a time. */
#include <stdlib.h>
#include <string.h>

#include "delivery/delivery_priv.h"

#define AT_ONCE 500

/* ---- by id ---- */

static size_t place_of(const struct ks_delivery *d, uint64_t id)
{
	size_t low = 0, high = d->endpoint_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (d->endpoints[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct dl_endpoint *dl_endpoint_find(struct ks_delivery *d, uint64_t id)
{
	size_t at = place_of(d, id);

	return at < d->endpoint_count && d->endpoints[at]->id == id ? d->endpoints[at] : NULL;
}

/* Both arrays, so that neither a place by id nor one by time is ever missing. */
static bool make_room(struct ks_delivery *d)
{
	size_t cap = d->endpoint_cap ? 2 * d->endpoint_cap : 64;
	struct dl_endpoint **grown;

	if (d->endpoint_count < d->endpoint_cap)
		return true;
	grown = reallocarray(d->endpoints, cap, sizeof(struct dl_endpoint *));
	if (!grown)
		return false;
	d->endpoints = grown;
	grown = reallocarray(d->heap, cap, sizeof(struct dl_endpoint *));
	if (!grown)
		return false;
	d->heap = grown;
	d->endpoint_cap = cap;
	return true;
}

static struct dl_endpoint *add(struct ks_delivery *d, uint64_t id)
{
	struct dl_endpoint *e = make_room(d) ? calloc(1, sizeof(*e)) : NULL;
	size_t at = place_of(d, id);

	if (!e)
		return NULL;
	e->id = id;
	e->heap_at = SIZE_MAX;
	e->failing_since = KS_TIME_NONE;
	memmove(&d->endpoints[at + 1], &d->endpoints[at], (d->endpoint_count - at) * sizeof(struct dl_endpoint *));
	d->endpoints[at] = e;
	d->endpoint_count++;
	return e;
}

static void free_endpoint(struct dl_endpoint *e)
{
	free(e->url);
	free(e->window);
	free(e->busy);
	free(e);
}

void dl_endpoints_free(struct ks_delivery *d)
{
	for (size_t i = 0; i < d->endpoint_count; i++)
		free_endpoint(d->endpoints[i]);
	free(d->endpoints);
	free(d->heap);
	d->endpoints = d->heap = NULL;
	d->endpoint_count = d->endpoint_cap = d->heap_count = 0;
}

/* ---- in step with the store ---- */

struct reading {
	struct ks_delivery *delivery;
	size_t rows;
};

static bool set_url(struct dl_endpoint *e, struct ks_str url)
{
	char *copy = strndup(url.p, url.n);

	if (!copy)
		return false;
	free(e->url);
	e->url = copy;
	return true;
}

static enum ks_err note(void *ctx, const struct ks_endpoint_row *row)
{
	struct reading *r = ctx;
	struct ks_delivery *d = r->delivery;
	struct dl_endpoint *e = dl_endpoint_find(d, row->id);
	bool was_active = e && e->active;

	if (!e && row->deleted_at == KS_TIME_NONE)
		e = add(d, row->id);
	if (row->deleted_at == KS_TIME_NONE && (!e || !set_url(e, row->url)))
		return KS_MEMORY;
	r->rows++;
	d->version = row->version;
	if (!e)
		return KS_OK;
	e->gone = row->deleted_at != KS_TIME_NONE;
	e->active = !e->gone && row->state == KS_ENDPOINT_ACTIVE;
	e->tenant = row->tenant;
	e->concurrency = row->concurrency ? (unsigned)row->concurrency : d->options.per_endpoint;
	e->rate = (unsigned)row->rate_limit;
	e->failing_since = row->failing_since;
	e->keys_known = false;
	e->hungry = true;
	/* Whoever was put to rest and goes on begins anew. */
	if (e->active && !was_active) {
		e->failures = 0;
		e->braked_until = 0;
	}
	dl_ready_push(d, e);
	return KS_OK;
}

enum ks_err dl_endpoints_read(struct ks_delivery *d)
{
	struct reading r = {.delivery = d};

	do {
		r.rows = 0;
		KS_TRY(ks_store_endpoints_changed(d->reader.store, d->version, AT_ONCE, note, &r));
	} while (r.rows == AT_ONCE);
	return KS_OK;
}

/* ---- the line ---- */

void dl_ready_push(struct ks_delivery *d, struct dl_endpoint *e)
{
	if (e->ready)
		return;
	e->ready = true;
	e->ready_next = NULL;
	*d->ready_tail = e;
	d->ready_tail = &e->ready_next;
	d->ready_count++;
}

struct dl_endpoint *dl_ready_pop(struct ks_delivery *d)
{
	struct dl_endpoint *e = d->ready;

	if (!e)
		return NULL;
	d->ready = e->ready_next;
	if (!d->ready)
		d->ready_tail = &d->ready;
	d->ready_count--;
	e->ready = false;
	return e;
}

/* ---- times: a binary heap, the earliest first ---- */

static void put(struct ks_delivery *d, size_t at, struct dl_endpoint *e)
{
	d->heap[at] = e;
	e->heap_at = at;
}

static void rise(struct ks_delivery *d, size_t at, struct dl_endpoint *e)
{
	for (; at > 0 && d->heap[(at - 1) / 2]->wake_at > e->wake_at; at = (at - 1) / 2)
		put(d, at, d->heap[(at - 1) / 2]);
	put(d, at, e);
}

static void sink(struct ks_delivery *d, size_t at, struct dl_endpoint *e)
{
	for (size_t child = 2 * at + 1; child < d->heap_count; child = 2 * at + 1) {
		if (child + 1 < d->heap_count && d->heap[child + 1]->wake_at < d->heap[child]->wake_at)
			child++;
		if (d->heap[child]->wake_at >= e->wake_at)
			break;
		put(d, at, d->heap[child]);
		at = child;
	}
	put(d, at, e);
}

static void heap_remove(struct ks_delivery *d, struct dl_endpoint *e)
{
	size_t at = e->heap_at;
	struct dl_endpoint *last;

	if (at == SIZE_MAX)
		return;
	e->heap_at = SIZE_MAX;
	last = d->heap[--d->heap_count];
	if (last == e)
		return;
	if (at > 0 && d->heap[(at - 1) / 2]->wake_at > last->wake_at)
		rise(d, at, last);
	else
		sink(d, at, last);
}

void dl_wake_at(struct ks_delivery *d, struct dl_endpoint *e, int64_t at)
{
	if (e->heap_at != SIZE_MAX && e->wake_at <= at)
		return;
	heap_remove(d, e);
	e->wake_at = at;
	rise(d, d->heap_count++, e);
}

int64_t dl_wake_due(struct ks_delivery *d, int64_t now_ms)
{
	while (d->heap_count > 0 && d->heap[0]->wake_at <= now_ms) {
		struct dl_endpoint *e = d->heap[0];

		heap_remove(d, e);
		e->hungry = true;
		dl_ready_push(d, e);
	}
	return d->heap_count > 0 ? d->heap[0]->wake_at : INT64_MAX;
}

bool dl_endpoint_settle(struct ks_delivery *d, struct dl_endpoint *e)
{
	size_t at;

	if (!e->gone || e->flying > 0 || e->busy_count > 0 || e->ready)
		return false;
	heap_remove(d, e);
	at = place_of(d, e->id);
	d->endpoint_count--;
	memmove(&d->endpoints[at], &d->endpoints[at + 1], (d->endpoint_count - at) * sizeof(struct dl_endpoint *));
	free_endpoint(e);
	return true;
}
