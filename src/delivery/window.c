/* SPDX-License-Identifier: Apache-2.0 */
/* Which delivery of an endpoint is next: those that are due in order, a few at a time read from the store. Where there are
 * more than the endpoint keeps up with, every fourth is the newest instead, so that what happens now does not wait for what
 * happened long ago. */
#include <stdlib.h>
#include <string.h>

#include "delivery/delivery_priv.h"

#define KEEPS_UP_MS 1000
#define NEWEST_EVERY 4
#define LOOK_AGAIN_MS 1000   /* after the store could not be read */

/* ---- what is under way ---- */

static bool is_busy(const struct dl_endpoint *e, uint64_t id)
{
	for (size_t i = 0; i < e->busy_count; i++) {
		if (e->busy[i] == id)
			return true;
	}
	return false;
}

void dl_busy_add(struct dl_endpoint *e, uint64_t id)
{
	e->busy[e->busy_count++] = id;
}

void dl_busy_remove(struct dl_endpoint *e, uint64_t id)
{
	for (size_t i = 0; i < e->busy_count; i++) {
		if (e->busy[i] == id) {
			e->busy[i] = e->busy[--e->busy_count];
			return;
		}
	}
}

/* ---- reading ---- */

struct filling {
	struct dl_endpoint *endpoint;
	int64_t now_ms;
	size_t rows;
	int64_t next_due;    /* KS_TIME_NONE: of none */
};

static struct dl_item item_of(const struct ks_delivery_row *row)
{
	return (struct dl_item){row->id, row->event, row->tries, row->first_at, row->due_at};
}

static enum ks_err take(void *ctx, const struct ks_delivery_row *row)
{
	struct filling *f = ctx;
	struct dl_endpoint *e = f->endpoint;

	f->rows++;
	if (is_busy(e, row->id))
		return KS_OK;
	if (row->due_at > f->now_ms) {
		f->next_due = row->due_at;
		return KS_NOT_FOUND;
	}
	if (e->window_count == DL_WINDOW)
		return KS_NOT_FOUND;
	e->window[e->window_count++] = item_of(row);
	return KS_OK;
}

static bool have_room(struct dl_endpoint *e)
{
	if (!e->window)
		e->window = calloc(DL_WINDOW, sizeof(*e->window));
	if (!e->busy)
		e->busy = calloc(DL_BUSY_MAX, sizeof(*e->busy));
	return e->window && e->busy;
}

/* An endpoint that nothing is due of keeps nothing. */
static void give_room(struct dl_endpoint *e)
{
	if (e->busy_count > 0)
		return;
	free(e->window);
	free(e->busy);
	e->window = NULL;
	e->busy = NULL;
}

static void refill(struct ks_delivery *d, struct dl_endpoint *e, int64_t now_ms)
{
	struct filling f = {.endpoint = e, .now_ms = now_ms, .next_due = KS_TIME_NONE};
	size_t limit = DL_WINDOW + e->busy_count;
	enum ks_err err;

	e->window_at = e->window_count = 0;
	if (!have_room(e)) {
		dl_wake_at(d, e, now_ms + LOOK_AGAIN_MS);
		return;
	}
	err = ks_store_deliveries_due(d->reader.store, e->id, limit, take, &f);
	if (err != KS_OK && err != KS_NOT_FOUND) {
		dl_say(d, 2, "deliveries_not_read", e->id, ks_err_text(err));
		dl_wake_at(d, e, now_ms + LOOK_AGAIN_MS);
		return;
	}
	e->hungry = f.rows >= limit || (err == KS_NOT_FOUND && f.next_due == KS_TIME_NONE);
	if (f.next_due != KS_TIME_NONE)
		dl_wake_at(d, e, f.next_due);
	if (e->window_count == 0)
		give_room(e);
}

struct newest {
	struct dl_endpoint *endpoint;
	struct dl_item item;
	bool found;
};

static enum ks_err take_newest(void *ctx, const struct ks_delivery_row *row)
{
	struct newest *n = ctx;

	if (is_busy(n->endpoint, row->id))
		return KS_OK;
	n->item = item_of(row);
	n->found = true;
	return KS_NOT_FOUND;
}

/* It may be in the window too: then it is taken out there. */
static bool pick_newest(struct ks_delivery *d, struct dl_endpoint *e, int64_t now_ms, struct dl_item *ret_item)
{
	struct newest n = {.endpoint = e};
	enum ks_err err = ks_store_deliveries_newest(d->reader.store, e->id, now_ms, e->busy_count + 1u, take_newest, &n);

	if ((err != KS_OK && err != KS_NOT_FOUND) || !n.found)
		return false;
	for (uint8_t i = e->window_at; i < e->window_count; i++) {
		if (e->window[i].id != n.item.id)
			continue;
		memmove(&e->window[i], &e->window[i + 1], (size_t)(e->window_count - i - 1) * sizeof(e->window[0]));
		e->window_count--;
		break;
	}
	*ret_item = n.item;
	return true;
}

bool dl_is_behind(const struct dl_endpoint *e, int64_t now_ms)
{
	return e->window_at < e->window_count && e->window[e->window_at].due_at < now_ms - KEEPS_UP_MS;
}

bool dl_next_item(struct ks_delivery *d, struct dl_endpoint *e, int64_t now_ms, struct dl_item *ret_item)
{
	if (e->window_at == e->window_count && e->hungry)
		refill(d, e, now_ms);
	if (e->window_at == e->window_count)
		return false;
	if (dl_is_behind(e, now_ms) && e->picks++ % NEWEST_EVERY == NEWEST_EVERY - 1
	    && pick_newest(d, e, now_ms, ret_item))
		return true;
	*ret_item = e->window[e->window_at++];
	return true;
}
