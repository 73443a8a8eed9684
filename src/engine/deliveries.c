/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/deliveries.h"

#include "engine/endpoint_set.h"

#define EVENTS_AT_ONCE 1000
#define QUIET_MAX 1000  /* events that nobody listens to, before the cursor is written for them alone */

enum ks_err ks_delivery_add(struct ks_tx *tx, const struct ks_endpoint_row *endpoint, uint64_t event, struct ks_str type,
			    uint64_t *ret_id)
{
	struct ks_delivery_row row = {
		.id = ks_tx_id(tx),
		.endpoint = endpoint->id,
		.event = event,
		.organization = endpoint->organization,
		.tenant = endpoint->tenant,
		.state = KS_DELIVERY_PENDING,
		.due_at = tx->now_ms,
		.first_at = KS_TIME_NONE,
		.ended_at = KS_TIME_NONE,
		.type = type,
	};

	KS_TRY(ks_store_delivery_insert(tx->store, &row));
	*ret_id = row.id;
	return KS_OK;
}

/* ---- from events to deliveries ---- */

struct handing {
	struct ks_tx *tx;
	const struct ks_event_row *event;
	size_t limit;
	void (*touched)(void *ctx, uint64_t endpoint);
	void *ctx;
	uint64_t last;           /* event that is done */
	size_t looked;           /* events that were read */
	struct ks_fan_out done;
};

static enum ks_err hand_to(void *ctx, const struct ks_endpoint_known *known)
{
	struct handing *h = ctx;
	struct ks_endpoint_row row = {.id = known->id, .organization = known->organization, .tenant = known->tenant};
	uint64_t id;

	/* What happened before there was an endpoint is none of its business. */
	if (h->event->id <= known->id)
		return KS_OK;
	KS_TRY(ks_delivery_add(h->tx, &row, h->event->id, h->event->type, &id));
	h->done.deliveries++;
	h->touched(h->ctx, known->id);
	return KS_OK;
}

static enum ks_err hand_out(void *ctx, const struct ks_event_row *row)
{
	struct handing *h = ctx;
	enum ks_event_type type;

	h->looked++;
	/* Those of transactions of before: what they are about is in the ring. */
	if (row->id > h->tx->engine->log.ids_before || h->done.deliveries >= h->limit)
		return KS_NOT_FOUND;
	h->event = row;
	if (ks_event_parse(row->type, &type) && type != KS_EVENT_ENDPOINT_TEST)
		KS_TRY(ks_endpoint_set_hearers(&h->tx->engine->endpoints, h->tx->ring, type, row->tenant, hand_to, h));
	h->last = row->id;
	h->done.events++;
	return KS_OK;
}

/* Where nobody listens, a change costs no second commit. */
static enum ks_err move_cursor(struct ks_tx *tx, const struct handing *h)
{
	struct ks_engine *engine = tx->engine;

	if (h->last == 0)
		return KS_OK;
	engine->handed_out = h->last;
	engine->handed_quietly += h->done.events;
	if (h->done.deliveries == 0 && engine->handed_quietly < QUIET_MAX)
		return KS_OK;
	engine->handed_quietly = 0;
	return ks_store_cursor_set(tx->store, h->last);
}

enum ks_err ks_deliveries_fan_out(struct ks_tx *tx, bool anew, size_t limit, void (*touched)(void *ctx, uint64_t endpoint),
				  void *ctx, struct ks_fan_out *ret_done)
{
	struct handing h = {.tx = tx, .limit = limit, .touched = touched, .ctx = ctx};
	struct ks_event_filter filter = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .oldest_first = true, .limit = EVENTS_AT_ONCE};
	enum ks_err err;

	if (anew) {
		ks_endpoint_set_clear(&tx->engine->endpoints);
		tx->engine->handed_out = 0;
	}
	KS_TRY(ks_endpoint_set_update(&tx->engine->endpoints, tx->store));
	KS_TRY(ks_store_cursor_get(tx->store, &filter.after));
	filter.after = KS_MAX(filter.after, tx->engine->handed_out);
	err = ks_store_events(tx->store, &filter, hand_out, &h);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	h.done.more = err == KS_NOT_FOUND || h.looked == EVENTS_AT_ONCE;
	KS_TRY(move_cursor(tx, &h));
	*ret_done = h.done;
	return KS_OK;
}

/* ---- attempts ---- */

enum ks_err ks_delivery_keep(void *ctx, const struct ks_delivery_row *row)
{
	struct ks_delivery_row *kept = ctx;

	*kept = *row;
	kept->type = kept->code = KS_STR("");
	return KS_OK;
}

static enum ks_err write_attempt(struct ks_tx *tx, const struct ks_delivery_result *r, const struct ks_delivery_row *row)
{
	return ks_store_attempt_insert(tx->store, &(struct ks_attempt_row){
		.delivery = row->id,
		.number = row->attempts,
		.at = r->at,
		.status = r->status,
		.elapsed_ms = r->elapsed_ms,
		.code = ks_str_c(r->code),
		.excerpt = ks_str_c(r->excerpt),
	});
}

static enum ks_err mark_endpoint(struct ks_tx *tx, const struct ks_delivery_result *r)
{
	enum ks_err err = KS_OK;

	if (r->works || r->failing)
		err = ks_store_endpoint_failing(tx->store, r->endpoint, r->works ? KS_TIME_NONE : r->at);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	return r->disable ? ks_endpoints_disable(tx, r->endpoint, r->disable) : KS_OK;
}

enum ks_err ks_deliveries_record(struct ks_tx *tx, const struct ks_delivery_result *r)
{
	struct ks_delivery_row row;
	enum ks_err err = ks_store_delivery_get(tx->store, r->delivery, ks_delivery_keep, &row);

	if (err == KS_NOT_FOUND)
		return mark_endpoint(tx, r);
	KS_TRY(err);
	row.attempts++;
	row.tries++;
	row.state = r->state;
	row.first_at = r->first_at;
	row.due_at = r->state == KS_DELIVERY_PENDING ? r->due_at : KS_TIME_NONE;
	row.ended_at = r->state == KS_DELIVERY_PENDING ? KS_TIME_NONE : tx->now_ms;
	row.status = r->status;
	row.elapsed_ms = r->elapsed_ms;
	row.code = ks_str_c(r->code);
	KS_TRY(ks_store_delivery_update(tx->store, &row));
	KS_TRY(write_attempt(tx, r, &row));
	return mark_endpoint(tx, r);
}
