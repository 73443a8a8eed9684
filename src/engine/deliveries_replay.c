/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries that are made due again, and those of events that an endpoint was not sent. */
#include <stdlib.h>

#include "engine/deliveries.h"
#include "engine/endpoint_set.h"

static enum ks_err make_due(struct ks_tx *tx, struct ks_delivery_row *row)
{
	row->state = KS_DELIVERY_PENDING;
	row->tries = 0;
	row->due_at = tx->now_ms;
	row->first_at = row->ended_at = KS_TIME_NONE;
	return ks_store_delivery_update(tx->store, row);
}

/* Whoever keeps the endpoint in mind looks at what is due. */
static enum ks_err wake(struct ks_tx *tx, struct ks_endpoint_row *endpoint)
{
	endpoint->version = ks_tx_id(tx);
	tx->engine->log.delivers = true;
	return ks_store_endpoint_update(tx->store, endpoint);
}

/* ---- one ---- */

enum ks_err ks_deliveries_replay(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_refusal *ret_refusal)
{
	char text[KS_ENDPOINT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	struct ks_delivery_row row;
	struct ks_endpoint_kept kept;
	enum ks_err err = ks_store_delivery_get(tx->store, id, ks_delivery_keep, &row);

	if (err == KS_NOT_FOUND || (err == KS_OK && !ks_actor_sees(actor, tx->ring, row.tenant)))
		return ks_refuse(ret_refusal, KS_NOT_FOUND, "not_found", "", "there is no such delivery");
	KS_TRY(err);
	KS_TRY(ks_store_endpoint_get(tx->store, row.endpoint, ks_endpoint_keep, &kept));
	if (kept.row.deleted_at != KS_TIME_NONE)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "the endpoint was deleted");
	KS_TRY(make_due(tx, &row));
	KS_TRY(wake(tx, &kept.row));
	ks_audit_put_id(&detail, "delivery", KS_ID_DELIVERY, row.id);
	ks_audit_put_id(&detail, "event", KS_ID_EVENT, row.event);
	return ks_endpoint_audit(tx, actor, "delivery.replay", &kept.row, &detail);
}

/* ---- a range ---- */

struct replaying {
	struct ks_tx *tx;
	const struct ks_endpoint_row *endpoint;
	struct ks_event_set events;
	struct ks_delivery_row *rows; /* KS_REPLAY_STEP: a list's rows are not changed while it is read */
	size_t looked;
	uint64_t last;                /* event that was looked at */
	uint64_t count;               /* of deliveries that are due again */
};

static enum ks_err note_failed(void *ctx, const struct ks_delivery_row *row)
{
	struct replaying *r = ctx;

	r->last = row->event;
	return ks_delivery_keep(&r->rows[r->looked++], row);
}

static enum ks_err replay_failed(struct replaying *r, uint64_t first, uint64_t end)
{
	enum ks_err err;

	r->rows = calloc(KS_REPLAY_STEP, sizeof(*r->rows));
	if (!r->rows)
		return KS_MEMORY;
	err = ks_store_deliveries_failed(r->tx->store, r->endpoint->id, first, end, KS_REPLAY_STEP, note_failed, r);
	for (size_t i = 0; err == KS_OK && i < r->looked; i++)
		err = make_due(r->tx, &r->rows[i]);
	r->count = r->looked;
	free(r->rows);
	return err;
}

static enum ks_err replay_event(struct replaying *r, const struct ks_event_row *event)
{
	struct ks_delivery_row row;
	uint64_t id;
	enum ks_err err = ks_store_delivery_of(r->tx->store, r->endpoint->id, event->id, ks_delivery_keep, &row);

	if (err == KS_NOT_FOUND)
		err = ks_delivery_add(r->tx, r->endpoint, event->id, event->type, &id);
	else if (err == KS_OK && row.state != KS_DELIVERY_PENDING)
		err = make_due(r->tx, &row);
	else
		return err;
	r->count += err == KS_OK;
	return err;
}

static enum ks_err note_event(void *ctx, const struct ks_event_row *row)
{
	struct replaying *r = ctx;
	enum ks_event_type type;

	r->looked++;
	r->last = row->id;
	if (!ks_event_parse(row->type, &type) || type == KS_EVENT_ENDPOINT_TEST || !ks_event_set_has(&r->events, type)
	    || !ks_endpoint_hears(r->tx->ring, r->endpoint->tenant, row->tenant))
		return KS_OK;
	return replay_event(r, row);
}

/* What the cursor has not reached yet comes by itself. */
static enum ks_err replay_all(struct replaying *r, const struct ks_replay *replay, uint64_t after)
{
	struct ks_event_filter filter = {
		.organization = r->endpoint->organization,
		.from = replay->from,
		.to = replay->to,
		.after = after,
		.oldest_first = true,
		.limit = KS_REPLAY_STEP,
	};

	KS_TRY(ks_store_cursor_get(r->tx->store, &filter.before));
	filter.before = KS_MAX(filter.before, r->tx->engine->handed_out) + 1;
	ks_event_set_of(r->endpoint->events, &r->events);
	return ks_store_events(r->tx->store, &filter, note_event, r);
}

static enum ks_err finish(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_replay *replay, uint64_t count,
			  struct ks_endpoint_row *endpoint)
{
	char text[KS_ENDPOINT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	if (count == 0)
		return KS_OK;
	KS_TRY(wake(tx, endpoint));
	ks_audit_put_time(&detail, "from", replay->from);
	ks_audit_put_time(&detail, "to", replay->to);
	ks_audit_put(&detail, "what", replay->failed_only ? KS_STR("failed") : KS_STR("all"));
	ks_audit_put_u64(&detail, "deliveries", count);
	return ks_endpoint_audit(tx, actor, "delivery.replay", endpoint, &detail);
}

static uint64_t first_event(int64_t time, uint64_t otherwise)
{
	return time == KS_TIME_NONE ? otherwise : ks_store_first_id_at(time);
}

enum ks_err ks_deliveries_replay_range(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_replay *replay,
				       uint64_t *after, uint64_t *count, struct ks_refusal *ret_refusal)
{
	struct ks_endpoint_kept kept;
	struct replaying r = {.tx = tx, .endpoint = &kept.row};
	uint64_t first = KS_MAX(first_event(replay->from, 1), *after + 1);

	KS_TRY(ks_endpoint_find(tx, actor, replay->endpoint, &kept, ret_refusal));
	if (replay->failed_only)
		KS_TRY(replay_failed(&r, first, first_event(replay->to, INT64_MAX)));
	else
		KS_TRY(replay_all(&r, replay, *after));
	KS_TRY(finish(tx, actor, replay, r.count, &kept.row));
	*after = r.looked == KS_REPLAY_STEP ? r.last : 0;
	*count += r.count;
	return KS_OK;
}
