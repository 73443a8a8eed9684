/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/leaks.h"

#include "engine/engine_priv.h"
#include "engine/events.h"
#include "engine/keys_check.h"

#define AGAIN_MS INT64_C(86400000)

static const char *const sources[] = {
#define X(name, text) text,
	KS_LEAK_SOURCES(X)
#undef X
};

static const char *const actions[] = {
#define X(name, text) text,
	KS_LEAK_ACTIONS(X)
#undef X
};

bool ks_leak_action_parse(struct ks_str text, enum ks_leak_action *ret_action)
{
	for (enum ks_leak_action i = 0; i < KS_LEAK_ACTION_COUNT; i++) {
		if (ks_str_eq(text, ks_str_c(actions[i]))) {
			*ret_action = i;
			return true;
		}
	}
	return false;
}

struct handling {
	struct ks_tx *tx;
	const struct ks_leak *leak;
	const struct ks_key_row *row;
	enum ks_leak_action action;
	int64_t ends_at;             /* KS_TIME_NONE: it goes on */
};

static enum ks_err tell(struct handling *h)
{
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	ks_event_put_key(&data, h->row);
	ks_audit_put(&data, "source", ks_str_c(sources[h->leak->source]));
	ks_audit_put(&data, "action", ks_str_c(actions[h->action]));
	ks_audit_put_some(&data, "url", h->leak->url);
	ks_audit_put_some(&data, "note", h->leak->note);
	ks_audit_put_time(&data, "ends_at", h->ends_at);
	return ks_event_add_key(h->tx, KS_EVENT_KEY_LEAKED, h->row, &data);
}

static enum ks_err audit(const struct handling *h, const char *action, struct ks_str detail)
{
	return ks_tx_audit(h->tx, NULL, &(struct ks_audit_note){
		.action = action,
		.organization = h->row->organization,
		.tenant = h->row->tenant,
		.object_type = KS_ID_KEY,
		.object = h->row->id,
		.detail = detail,
	});
}

static enum ks_err record(const struct handling *h)
{
	char text[KS_STORE_DETAIL_MAX];
	struct ks_buf detail = KS_BUF(text);

	ks_audit_put(&detail, "source", ks_str_c(sources[h->leak->source]));
	ks_audit_put(&detail, "action", ks_str_c(actions[h->action]));
	ks_audit_put_some(&detail, "url", h->leak->url);
	ks_audit_put_time(&detail, "ends_at", h->ends_at);
	return audit(h, "key.leak", ks_audit_end(&detail));
}

static enum ks_err end_key(struct handling *h)
{
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);
	struct ks_tx *tx = h->tx;

	if (h->action == KS_LEAK_ALERT)
		return KS_OK;
	KS_TRY(ks_tx_change(tx, KS_CHANGE_KEY, h->row->id, 0));
	if (h->action == KS_LEAK_ROTATE)
		return ks_store_key_retire(tx->store, h->row->id, h->ends_at);
	KS_TRY(ks_store_key_revoke(tx->store, h->row->id, tx->now_ms, KS_STR("system")));
	KS_TRY(audit(h, "key.revoke", KS_STR("{\"reason\":\"leaked\"}")));
	ks_event_put_key(&data, h->row);
	return ks_event_add_key(tx, KS_EVENT_KEY_REVOKED, h->row, &data);
}

/* When it ends by what is done now, which never puts an end off. */
static int64_t end_of(const struct handling *h)
{
	int64_t end = h->tx->now_ms;

	if (h->action == KS_LEAK_ALERT)
		return h->row->retires_at;
	if (h->action == KS_LEAK_ROTATE)
		end += h->tx->engine->options.leak_overlap_ms;
	return h->row->retires_at == KS_TIME_NONE ? end : KS_MIN(end, h->row->retires_at);
}

/* True in *ret_done: it was told of lately, and what is to be done was done. */
static enum ks_err is_done(const struct handling *h, bool *ret_done)
{
	int64_t at;
	enum ks_err err = ks_store_notice_get(h->tx->store, h->row->id, KS_KEY_NOTICE_LEAKED, &at);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_done = err == KS_OK && h->tx->now_ms - at < AGAIN_MS
		    && (h->action == KS_LEAK_ALERT
			|| (h->action == KS_LEAK_ROTATE && h->row->retires_at == h->ends_at));
	return KS_OK;
}

static enum ks_err handle(struct handling *h)
{
	bool done = false;

	h->action = h->row->kind == KS_KIND_RUNTIME ? KS_LEAK_ALERT : h->tx->engine->options.leak_action;
	h->ends_at = end_of(h);
	KS_TRY(is_done(h, &done));
	if (done)
		return KS_OK;
	KS_TRY(tell(h));
	KS_TRY(record(h));
	KS_TRY(ks_store_notice_put(h->tx->store, h->row->id, KS_KEY_NOTICE_LEAKED, h->tx->now_ms));
	return end_key(h);
}

static bool is_ended(const struct ks_tx *tx, const struct ks_key_row *row)
{
	return row->revoked_at != KS_TIME_NONE || (row->retires_at != KS_TIME_NONE && row->retires_at <= tx->now_ms)
	       || (row->expires_at != KS_TIME_NONE && row->expires_at <= tx->now_ms);
}

enum ks_err ks_leak_report(struct ks_tx *tx, const struct ks_leak *leak, enum ks_leak_found *ret_found)
{
	struct ks_key_kept kept;
	struct handling h = {.tx = tx, .leak = leak, .row = &kept.row};
	const struct ks_ring_key *key;
	uint64_t slot;

	key = ks_ring_key(tx->ring, &leak->digest, ks_ring_home(tx->ring, &leak->digest), &slot);
	if (!key || KS_KEY_KIND(atomic_load_explicit(&key->state, memory_order_acquire)) == KS_KIND_SESSION) {
		*ret_found = KS_LEAK_UNKNOWN;
		return KS_OK;
	}
	KS_TRY(ks_store_key_get(tx->store, key->id, ks_key_keep, &kept));
	*ret_found = is_ended(tx, &kept.row) ? KS_LEAK_ENDED : KS_LEAK_ACTIVE;
	return *ret_found == KS_LEAK_ACTIVE ? handle(&h) : KS_OK;
}
