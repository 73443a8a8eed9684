/* SPDX-License-Identifier: Apache-2.0 */
/* What is written of a webhook that was genuine: the request itself, that it was seen, and the event. */
#include "base/ctenc.h"
#include "engine/events.h"
#include "engine/sources.h"
#include "engine/vault_priv.h"

#define TRIM_AT_ONCE 500
#define DAY_MS INT64_C(86400000)

static enum ks_err check_source(struct ks_tx *tx, const struct ks_inbound_message *m, struct ks_source_look *look,
				struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_source_look(tx->store, m->source, look);

	if (err == KS_NOT_FOUND || (err == KS_OK && ks_tx_is_gone(tx, m->tenant)))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "the source is gone");
	KS_TRY(err);
	if (look->revision != m->revision || look->paused_at != KS_TIME_NONE)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "the source was changed just now");
	return KS_OK;
}

static enum ks_err tell(struct ks_tx *tx, const struct ks_inbound_message *m, uint64_t id)
{
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	ks_audit_put_id(&data, "source", KS_ID_SOURCE, m->source);
	ks_audit_put(&data, "name", m->name);
	ks_audit_put(&data, "platform", m->platform);
	ks_audit_put_some(&data, "scheme", m->scheme);
	ks_audit_put(&data, "method", m->method);
	ks_audit_put_some(&data, "address", m->peer);
	ks_audit_put_time(&data, "received_at", m->received_at);
	ks_audit_put_u64(&data, "size", m->body.n);
	return ks_event_add(tx, &(struct ks_event_note){
		.type = KS_EVENT_INBOUND_RECEIVED,
		.organization = m->organization,
		.tenant = m->tenant,
		.object_type = KS_ID_MESSAGE,
		.object = id,
		.data = ks_audit_end(&data),
	});
}

enum ks_err ks_inbound_receive(struct ks_tx *tx, const struct ks_inbound_message *m,
			       struct ks_inbound_outcome *ret_outcome, struct ks_refusal *ret_refusal)
{
	struct ks_inbound_outcome outcome = {0};
	struct ks_source_look look;
	bool fresh = true;

	KS_TRY(check_source(tx, m, &look, ret_refusal));
	if (m->replay)
		KS_TRY(ks_store_inbound_seen(tx->store, m->source, m->replay, tx->now_ms, tx->now_ms + m->replay_ms, &fresh));
	if (fresh) {
		outcome.id = ks_tx_id(tx);
		KS_TRY(ks_store_inbound_insert(tx->store, &(struct ks_inbound_row){
			.id = outcome.id,
			.source = m->source,
			.received_at = m->received_at,
			.method = m->method,
			.target = m->target,
			.peer = m->peer,
			.headers = m->headers,
			.body = m->body,
		}));
		KS_TRY(tell(tx, m, outcome.id));
		if (!ks_str_empty(m->confirm_url))
			KS_TRY(ks_store_source_confirm(tx->store, m->source, look.confirm_until, m->confirm_url));
	}
	outcome.duplicate = !fresh;
	*ret_outcome = outcome;
	return KS_OK;
}

/* ---- as endpoints get it ---- */

static enum ks_err put_request(void *ctx, const struct ks_inbound_row *row)
{
	struct ks_buf *data = ctx;

	ks_buf_put_c(data, ",\"request\":{\"target\":");
	ks_buf_put_json(data, row->target);
	ks_buf_put_c(data, ",\"headers\":");
	ks_buf_put(data, row->headers);
	ks_buf_put_c(data, ",\"body_base64\":\"");
	if (!ks_buf_ok(data) || row->body.n / 3 * 4 + 8 > data->cap - data->n)
		return KS_TOO_LARGE;
	data->n += ks_base64_encode((const unsigned char *)row->body.p, row->body.n, &data->p[data->n], data->cap - data->n);
	ks_buf_put_c(data, "\"}");
	return ks_buf_ok(data) ? KS_OK : KS_TOO_LARGE;
}

enum ks_err ks_inbound_payload(struct ks_store *store, const struct ks_event_row *row, struct ks_buf *data)
{
	uint64_t id;

	if (!ks_id_parse(row->object, KS_ID_MESSAGE, &id))
		return KS_CORRUPT;
	return ks_store_inbound_get(store, id, put_request, data);
}

enum ks_err ks_inbound_tend(struct ks_tx *tx, bool *ret_more)
{
	uint64_t messages = 0, seen = 0, parameters = 0;

	KS_TRY(ks_store_inbound_trim(tx->store, tx->now_ms - tx->engine->options.inbound_keep_days * DAY_MS, TRIM_AT_ONCE,
				     &messages));
	KS_TRY(ks_store_inbound_seen_trim(tx->store, tx->now_ms, TRIM_AT_ONCE, &seen));
	KS_TRY(ks_store_source_parameters_trim(tx->store, tx->now_ms, TRIM_AT_ONCE, &parameters));
	*ret_more = messages == TRIM_AT_ONCE || seen == TRIM_AT_ONCE || parameters == TRIM_AT_ONCE;
	return KS_OK;
}
