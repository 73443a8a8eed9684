/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/notices.h"

#include "engine/engine_priv.h"
#include "engine/events.h"

#define DAY_MS INT64_C(86400000)
#define MARK_EVERY_MS INT64_C(3600000) /* marks without a reminder are written this seldom */
#define ANY_KEY UINT64_MAX             /* of a mark: all keys that end then */

static bool is_deleted(const struct ks_tx *tx, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(tx->ring, tenant);

	return index == KS_RING_NONE
	       || (atomic_load_explicit(&tx->ring->tenants[index].flags, memory_order_acquire) & KS_TENANT_DELETED);
}

static bool is_ended(const struct ks_tx *tx, const struct ks_key_row *row)
{
	return row->revoked_at != KS_TIME_NONE || row->rotated_to
	       || (row->retires_at != KS_TIME_NONE && row->retires_at <= tx->now_ms)
	       || (row->expires_at != KS_TIME_NONE && row->expires_at <= tx->now_ms) || is_deleted(tx, row->tenant);
}

/* ---- use ---- */

void ks_notice_network(const struct ks_addr *address, char ret_text[KS_ADDR_TEXT_SIZE])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	bool v4 = ks_str_eq(ks_str_of((const char *)address->bytes, sizeof(mapped)),
			    ks_str_of((const char *)mapped, sizeof(mapped)));
	struct ks_cidr network = {.base = *address, .bits = v4 ? 96 + 24 : 48};

	for (size_t i = network.bits / 8; i < sizeof(network.base.bytes); i++)
		network.base.bytes[i] = 0;
	ks_cidr_format(&network, ret_text);
}

struct networks {
	struct ks_str wanted;
	size_t count;
	bool found;
	int64_t found_at;
	int64_t oldest_at;
	char oldest[KS_ADDR_TEXT_SIZE];
};

static enum ks_err take_network(void *ctx, const struct ks_network_row *row)
{
	struct networks *n = ctx;
	struct ks_buf b = KS_BUF(n->oldest);

	if (ks_str_eq(row->network, n->wanted)) {
		n->found = true;
		n->found_at = row->at;
	}
	if (n->count++ == 0 || row->at < n->oldest_at) {
		n->oldest_at = row->at;
		ks_buf_put(&b, row->network);
		(void)ks_buf_z(&b);
	}
	return KS_OK;
}

struct telling {
	struct ks_tx *tx;
	const struct ks_notice_use *use;
	const char *network;
	int64_t last_used_at;          /* KS_TIME_NONE: never */
	uint64_t count;
};

static enum ks_err tell_network(void *ctx, const struct ks_key_row *row)
{
	const struct telling *t = ctx;
	char text[KS_EVENT_DATA_SIZE], address[KS_ADDR_TEXT_SIZE];
	struct ks_buf data = KS_BUF(text);

	ks_addr_format(&t->use->address, address);
	ks_event_put_key(&data, row);
	ks_audit_put(&data, "network", ks_str_c(t->network));
	ks_audit_put(&data, "address", ks_str_c(address));
	ks_audit_put_time(&data, "used_at", t->use->at);
	return ks_event_add_key(t->tx, KS_EVENT_KEY_NEW_NETWORK, row, &data);
}

/* The first network of a key is what the others are new against. */
static enum ks_err note_network(struct ks_tx *tx, const struct ks_notice_use *use)
{
	char text[KS_ADDR_TEXT_SIZE];
	struct telling t = {.tx = tx, .use = use, .network = text};
	struct networks n = {0};

	if (!tx->engine->options.notice.networks || ks_addr_is_zero(&use->address))
		return KS_OK;
	ks_notice_network(&use->address, text);
	n.wanted = ks_str_c(text);
	KS_TRY(ks_store_networks(tx->store, use->key, take_network, &n));
	if (n.found && use->at < n.found_at + DAY_MS)
		return KS_OK;
	if (!n.found && n.count >= KS_NOTICE_NETWORKS_MAX)
		KS_TRY(ks_store_network_delete(tx->store, use->key, ks_str_c(n.oldest)));
	KS_TRY(ks_store_network_put(tx->store, use->key,
				    &(struct ks_network_row){.network = n.wanted, .at = use->at - use->at % DAY_MS}));
	return n.found || n.count == 0 ? KS_OK : ks_store_key_get(tx->store, use->key, tell_network, &t);
}

static enum ks_err tell_used_again(void *ctx, const struct ks_key_row *row)
{
	const struct telling *t = ctx;
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);
	int64_t since = t->last_used_at == KS_TIME_NONE ? row->created_at : t->last_used_at;

	if (t->use->at - since < t->tx->engine->options.notice.unused_ms)
		return KS_OK;
	ks_event_put_key(&data, row);
	ks_audit_put_time(&data, "last_used_at", t->last_used_at);
	ks_audit_put_time(&data, "used_at", t->use->at);
	return ks_event_add_key(t->tx, KS_EVENT_KEY_USED_AGAIN, row, &data);
}

static enum ks_err note_gap(struct ks_tx *tx, const struct ks_notice_use *use)
{
	int64_t unused_ms = tx->engine->options.notice.unused_ms;
	struct telling t = {.tx = tx, .use = use, .last_used_at = KS_TIME_NONE};
	enum ks_err err;

	if (unused_ms == 0)
		return KS_OK;
	err = ks_store_last_used(tx->store, use->key, &t.last_used_at);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (err == KS_OK && use->at - t.last_used_at < unused_ms)
		return KS_OK;
	return ks_store_key_get(tx->store, use->key, tell_used_again, &t);
}

/* A key that is counted and not there is damage of the counters, which every reader may write to. */
static enum ks_err unless_missing(enum ks_err err)
{
	return err == KS_NOT_FOUND ? KS_OK : err;
}

enum ks_err ks_notice_use(struct ks_tx *tx, const struct ks_notice_use *use)
{
	KS_TRY(unless_missing(note_gap(tx, use)));
	return unless_missing(note_network(tx, use));
}

/* ---- refusals ---- */

/* True in *ret_told: `notice` was told of the key less than `ms` ago. */
static enum ks_err was_told(struct ks_tx *tx, uint64_t key, enum ks_key_notice notice, int64_t ms, bool *ret_told)
{
	int64_t at;
	enum ks_err err = ks_store_notice_get(tx->store, key, notice, &at);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_told = err == KS_OK && tx->now_ms - at < ms;
	return KS_OK;
}

static enum ks_err tell_denials(void *ctx, const struct ks_key_row *row)
{
	const struct telling *t = ctx;
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	ks_event_put_key(&data, row);
	ks_audit_put_u64(&data, "denied", t->count);
	ks_audit_put_u64(&data, "window_s", (uint64_t)t->tx->engine->options.notice.denials_ms / 1000);
	return ks_event_add_key(t->tx, KS_EVENT_KEY_DENIALS, row, &data);
}

enum ks_err ks_notice_denials(struct ks_tx *tx, uint64_t key)
{
	const struct ks_notice_options *o = &tx->engine->options.notice;
	struct telling t = {.tx = tx};
	bool told = false;

	if (o->denials == 0)
		return KS_OK;
	KS_TRY(ks_store_usage_denied(tx->store, key, tx->now_ms - o->denials_ms, &t.count));
	if (t.count < o->denials)
		return KS_OK;
	KS_TRY(was_told(tx, key, KS_KEY_NOTICE_DENIALS, o->denials_ms, &told));
	if (told)
		return KS_OK;
	KS_TRY(unless_missing(ks_store_key_get(tx->store, key, tell_denials, &t)));
	return ks_store_notice_put(tx->store, key, KS_KEY_NOTICE_DENIALS, tx->now_ms);
}

bool ks_notice_take_unknown(struct ks_notice_unknown *u, uint64_t total, int64_t now_ms, uint64_t limit,
			    int64_t window_ms, uint64_t *ret_count)
{
	size_t newest = (u->next + KS_NOTICE_SAMPLES - 1) % KS_NOTICE_SAMPLES;
	uint64_t before = total;

	/* A total or a clock that went back is another process's: begin anew. */
	if (u->count > 0 && (u->samples[newest].total > total || u->samples[newest].at > now_ms))
		*u = (struct ks_notice_unknown){0};
	if (u->count == 0 || now_ms - u->samples[newest].at >= window_ms / (KS_NOTICE_SAMPLES - 2)) {
		u->samples[u->next].at = now_ms;
		u->samples[u->next].total = total;
		u->next = (u->next + 1) % KS_NOTICE_SAMPLES;
		u->count = KS_MIN(u->count + 1, (size_t)KS_NOTICE_SAMPLES);
	}
	for (size_t i = 0; i < u->count; i++) {
		if (now_ms - u->samples[i].at <= window_ms)
			before = KS_MIN(before, u->samples[i].total);
	}
	if (limit == 0 || total - before < limit || (u->told_at && now_ms - u->told_at < window_ms))
		return false;
	u->told_at = now_ms;
	*ret_count = total - before;
	return true;
}

enum ks_err ks_notice_unknown(struct ks_tx *tx, uint64_t count)
{
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	ks_audit_put_u64(&data, "denied", count);
	ks_audit_put_u64(&data, "window_s", (uint64_t)tx->engine->options.notice.denials_ms / 1000);
	return ks_event_add(tx, &(struct ks_event_note){
		.type = KS_EVENT_CREDENTIALS_UNKNOWN,
		.data = ks_audit_end(&data),
	});
}

/* ---- ends that come near ---- */

struct reminding {
	struct ks_tx *tx;
	int64_t lead;
	int64_t shorter;               /* the next lead below it; 0: none */
	struct ks_reminder_mark mark;  /* the last key that was looked at */
	size_t looked_at;
};

/* Who makes a key for less than the lead knows its end; where a nearer reminder is due, that one is enough. */
static bool is_due(const struct reminding *r, const struct ks_key_row *row)
{
	return !is_ended(r->tx, row) && row->retires_at == KS_TIME_NONE && row->created_at < row->expires_at - r->lead
	       && (r->shorter == 0 || row->expires_at > r->tx->now_ms + r->shorter);
}

static enum ks_err remind(void *ctx, const struct ks_key_row *row)
{
	struct reminding *r = ctx;
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	r->looked_at++;
	r->mark = (struct ks_reminder_mark){.ends_at = row->expires_at, .key = row->id};
	if (!is_due(r, row))
		return KS_OK;
	ks_event_put_key(&data, row);
	ks_audit_put_u64(&data, "before_s", (uint64_t)r->lead / 1000);
	ks_audit_put_time(&data, "last_used_at", row->last_used_at);
	return ks_event_add_key(r->tx, KS_EVENT_KEY_EXPIRING, row, &data);
}

/* One lead in one segment. `start`: where it begins if it never did; becomes where it stood before. */
static enum ks_err remind_segment(struct reminding *r, uint64_t segment, struct ks_reminder_mark *start, size_t *left)
{
	struct ks_store *store = r->tx->store;
	int64_t until = r->tx->now_ms + r->lead;
	enum ks_err err = ks_store_reminder_get(store, r->lead, segment, &r->mark);
	bool first = err == KS_NOT_FOUND;

	if (err != KS_OK && !first)
		return err;
	if (first)
		r->mark = *start;
	*start = r->mark;
	r->looked_at = 0;
	KS_TRY(ks_store_keys_expiring(store, segment, start, until, *left, remind, r));
	*left -= r->looked_at;
	if (*left > 0 && until > r->mark.ends_at)
		r->mark = (struct ks_reminder_mark){.ends_at = until, .key = ANY_KEY};
	if (!first && r->looked_at == 0 && r->mark.ends_at - start->ends_at < MARK_EVERY_MS)
		return KS_OK;
	return ks_store_reminder_put(store, r->lead, segment, &r->mark);
}

enum ks_err ks_notice_ends(struct ks_tx *tx, bool *ret_more)
{
	const struct ks_notice_options *o = &tx->engine->options.notice;
	size_t left = KS_NOTICE_AT_ONCE;
	uint64_t last;

	KS_TRY(ks_store_last_segment(tx->store, &last));
	for (size_t i = 0; i < o->lead_count && left > 0; i++) {
		struct reminding r = {.tx = tx, .lead = o->leads_ms[i]};
		struct ks_reminder_mark start;

		r.shorter = i + 1 < o->lead_count ? o->leads_ms[i + 1] : 0;
		/* A lead that is new begins with the keys that no shorter one speaks of. */
		start = (struct ks_reminder_mark){.ends_at = tx->now_ms + r.shorter, .key = ANY_KEY};
		for (uint64_t segment = 0; segment <= last && left > 0; segment++)
			KS_TRY(remind_segment(&r, segment, &start, &left));
	}
	*ret_more = left == 0;
	return KS_OK;
}

/* ---- disuse ---- */

static enum ks_err tell_unused(void *ctx, const struct ks_key_row *row)
{
	struct ks_tx *tx = ctx;
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);
	bool told = false;

	KS_TRY(was_told(tx, row->id, KS_KEY_NOTICE_UNUSED, tx->engine->options.notice.unused_ms, &told));
	if (told || is_deleted(tx, row->tenant))
		return KS_OK;
	ks_event_put_key(&data, row);
	ks_audit_put_time(&data, "last_used_at", row->last_used_at);
	KS_TRY(ks_event_add_key(tx, KS_EVENT_KEY_UNUSED, row, &data));
	return ks_store_notice_put(tx->store, row->id, KS_KEY_NOTICE_UNUSED, tx->now_ms);
}

enum ks_err ks_notice_walk(struct ks_tx *tx)
{
	int64_t unused_ms = tx->engine->options.notice.unused_ms;
	uint64_t from, to;

	if (unused_ms == 0)
		return KS_OK;
	KS_TRY(ks_store_walk_get(tx->store, &from));
	KS_TRY(ks_store_key_ahead(tx->store, from, KS_NOTICE_WALK_KEYS, &to));
	if (to > 0)
		KS_TRY(ks_store_keys_unused(tx->store, from, to, tx->now_ms, tx->now_ms - unused_ms, tell_unused, tx));
	return from == to ? KS_OK : ks_store_walk_put(tx->store, to);
}
