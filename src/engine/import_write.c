/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of an import on the writer's thread: what only the truth can say of each line, and the rows. */
#include <stdlib.h>

#include "base/array.h"
#include "engine/events.h"
#include "engine/import_priv.h"

#define PREFETCH_AHEAD 12
#define LINE_SIZE 64 /* of the processor's cache */

enum ks_err ks_import_note_bad(struct ks_import_batch *batch, uint64_t line, const struct ks_refusal *refusal)
{
	KS_TRY(ks_array_room(&batch->bad, &batch->bad_cap, batch->bad_count, 64, sizeof(*batch->bad)));
	batch->bad[batch->bad_count++] = (struct ks_import_bad){line, *refusal};
	return KS_OK;
}

struct writing {
	struct ks_tx *tx;
	struct ks_import *import;
	struct ks_import_batch *batch;
	struct ks_key_home home;       /* of the line before, which is often that of the next one */
	const struct ks_import_row *home_of; /* that line; NULL: none */
	size_t count;                  /* rows in import->cores */
	size_t out_count;              /* rows in import->out, not in the store yet */
};

static enum ks_err find_home(struct writing *w, const struct ks_import_row *row, struct ks_refusal *refusal)
{
	const struct ks_ring *ring = w->tx->ring;

	if (w->home_of && w->home_of->tenant == row->tenant && w->home_of->tenant_kind == row->tenant_kind
	    && w->home_of->user == row->user)
		return KS_OK;
	w->home_of = NULL;
	KS_TRY(ks_key_find_home(w->tx, &w->import->actor, row->tenant, row->user, &w->home, refusal));
	/* "prj_" before the number of an organization names nothing. */
	if (row->tenant && ring->tenants[ks_ring_tenant(ring, row->tenant)].kind != row->tenant_kind)
		return ks_refuse_tenant(refusal, "/tenant");
	w->home_of = row;
	return KS_OK;
}

static enum ks_err check_row(struct writing *w, const struct ks_import_row *row, struct ks_refusal *refusal)
{
	const struct ks_ring *ring = w->tx->ring;
	enum ks_kind kind;
	uint64_t slot;

	if (ks_ring_key(ring, &row->digest, ks_ring_home(ring, &row->digest), &slot))
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "/sha256",
				 "there is a key with this digest already");
	KS_TRY(find_home(w, row, refusal));
	KS_TRY(ks_key_check_environment(&w->import->actor, (enum ks_environment)row->environment, "/environment", refusal));
	return ks_key_find_kind(w->home.binding, &w->import->actor, true, (enum ks_kind)row->kind, &kind, refusal);
}

static enum ks_err intern(struct writing *w, struct ks_import_grant *grant)
{
	return grant->id ? KS_OK : ks_grant_intern(w->tx, ks_str_of(grant->body, grant->body_n), &grant->id);
}

static enum ks_err add_row(struct writing *w, const struct ks_import_row *row)
{
	struct ks_tx *tx = w->tx;

	KS_TRY(intern(w, row->grant));
	struct ks_key_row *out = &w->import->out[w->out_count++];
	*out = (struct ks_key_row){
		/* Without random bits ids follow one another: rows go to the end of the table, and one entry of the
		   change log names them all. */
		.id = ks_id_next(&tx->engine->ids, tx->now_ms, 0),
		.digest = row->digest,
		.tenant = w->home.tenant,
		.organization = w->home.organization,
		.user = w->home.user,
		.grant = row->grant->id,
		.kind = (enum ks_kind)row->kind,
		.binding = w->home.binding,
		.environment = (enum ks_environment)row->environment,
		.imported = true,
		.name = row->name,
		.prefix = row->prefix,
		.last_four = row->last_four,
		.labels = row->labels,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(w->import->actor.id),
		.expires_at = row->expires_at,
		.retires_at = KS_TIME_NONE,
		.revoked_at = KS_TIME_NONE,
	};
	w->import->cores[w->count++] = (struct ks_key_core){
		.id = out->id,
		.digest = out->digest,
		.tenant = out->tenant,
		.grant = out->grant,
		.ends_ms = out->expires_at == KS_TIME_NONE ? INT64_MAX : out->expires_at,
		.kind = out->kind,
		.binding = out->binding,
		.environment = out->environment,
		.imported = true,
	};
	return KS_OK;
}

/* Rows are stored while they are still in the processor's cache. */
static enum ks_err store_rows(struct writing *w)
{
	size_t count = w->out_count;

	if (count == 0)
		return KS_OK;
	if (w->batch->at == 0 && w->count == count && w->batch->count >= KS_IMPORT_APART)
		KS_TRY(ks_store_keys_apart(w->tx->store, w->import->out[0].id));
	w->out_count = 0;
	return ks_store_keys_insert(w->tx->store, w->import->out, count);
}

static enum ks_err take_row(struct writing *w, const struct ks_import_row *row)
{
	struct ks_refusal refusal = {0};
	enum ks_err err = check_row(w, row, &refusal);

	if (err != KS_OK && refusal.code)
		return ks_import_note_bad(w->batch, row->line, &refusal);
	KS_TRY(err);
	KS_TRY(add_row(w, row));
	return w->out_count == KS_IMPORT_SLICE ? store_rows(w) : KS_OK;
}

/* One entry and one event for all of them: who imported what is the operator's affair. */
static enum ks_err record(struct writing *w)
{
	uint64_t first_id = w->import->cores[0].id, last_id = w->import->cores[w->count - 1].id;
	char text[256];
	struct ks_buf buf = KS_BUF(text);
	struct ks_str detail;

	KS_TRY(ks_tx_change_range(w->tx, w->import->cores, w->count));
	ks_audit_put_id(&buf, "first", KS_ID_KEY, first_id);
	ks_audit_put_id(&buf, "last", KS_ID_KEY, last_id);
	ks_audit_put_u64(&buf, "keys", w->count);
	detail = ks_audit_end(&buf);
	KS_TRY(ks_event_add(w->tx, &(struct ks_event_note){
		.type = KS_EVENT_KEYS_IMPORTED,
		.tenant = w->import->actor.effective,
		.object_type = KS_ID_KEY,
		.object = first_id,
		.data = detail,
	}));
	return ks_tx_audit(w->tx, &w->import->actor, &(struct ks_audit_note){
		.action = "key.import",
		.tenant = w->import->actor.effective,
		.object_type = KS_ID_KEY,
		.object = first_id,
		.detail = detail,
	});
}

/* The order jumps about in the batch and in the ring: each row is on its way before its slot's place and its texts are
 * asked of it. */
static void prefetch(const struct ks_tx *tx, const struct ks_import_batch *batch, size_t i)
{
	const struct ks_import_row *row;

	if (i + 2 * PREFETCH_AHEAD < batch->end) {
		row = &batch->rows[batch->order[i + 2 * PREFETCH_AHEAD].row];
		for (size_t at = 0; at < sizeof(*row); at += LINE_SIZE)
			__builtin_prefetch((const char *)row + at);
	}
	if (i + PREFETCH_AHEAD < batch->end) {
		row = &batch->rows[batch->order[i + PREFETCH_AHEAD].row];
		(void)ks_ring_prefetch_key(tx->ring, &row->digest);
		__builtin_prefetch(row->name.p);
		__builtin_prefetch(row->name.p + LINE_SIZE);
	}
}

enum ks_err ks_import_run(struct ks_job *job, struct ks_tx *tx)
{
	struct ks_import_batch *batch = job->ctx;
	struct writing w = {.tx = tx, .import = batch->import, .batch = batch};

	if (batch->import->failed)
		return KS_STOPPING;
	batch->end = KS_MIN(batch->count, batch->at + KS_IMPORT_CHUNK);
	KS_TRY(ks_tx_room(tx, batch->end - batch->at));
	for (size_t i = batch->at; i < batch->end; i++) {
		prefetch(tx, batch, i);
		KS_TRY(take_row(&w, &batch->rows[batch->order[i].row]));
	}
	KS_TRY(store_rows(&w));
	batch->added = w.count;
	return w.count > 0 ? record(&w) : KS_OK;
}
