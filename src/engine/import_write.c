/* SPDX-License-Identifier: Apache-2.0 */
/* A batch of an import on the writer's thread: what only the truth can say of each line, and the rows. */
#include <stdlib.h>

#include "engine/import_priv.h"

#define PREFETCH_AHEAD 12

enum ks_err ks_import_note_bad(struct ks_import_batch *batch, uint64_t line, const struct ks_refusal *refusal)
{
	struct ks_import_bad *grown;
	size_t cap = batch->bad_cap ? 2 * batch->bad_cap : 64;

	if (batch->bad_count == batch->bad_cap) {
		grown = reallocarray(batch->bad, cap, sizeof(*grown));
		if (!grown)
			return KS_MEMORY;
		batch->bad = grown;
		batch->bad_cap = cap;
	}
	batch->bad[batch->bad_count++] = (struct ks_import_bad){line, *refusal};
	return KS_OK;
}

struct writing {
	struct ks_tx *tx;
	struct ks_import *import;
	struct ks_import_batch *batch;
	struct ks_key_home home;       /* of the line before, which is often that of the next one */
	const struct ks_import_row *home_of; /* that line; NULL: none */
	size_t count;                  /* rows in import->out */
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
	w->import->out[w->count++] = (struct ks_key_row){
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
	return KS_OK;
}

static enum ks_err take_row(struct writing *w, const struct ks_import_row *row)
{
	struct ks_refusal refusal = {0};
	enum ks_err err = check_row(w, row, &refusal);

	if (err != KS_OK && refusal.code)
		return ks_import_note_bad(w->batch, row->line, &refusal);
	KS_TRY(err);
	return add_row(w, row);
}

/* One entry for all of them: who imported what is the operator's affair. */
static enum ks_err record(struct writing *w)
{
	uint64_t first_id = w->import->out[0].id, last_id = w->import->out[w->count - 1].id;
	char text[256], first[KS_ID_TEXT_SIZE], last[KS_ID_TEXT_SIZE];
	struct ks_buf detail = KS_BUF(text);

	KS_TRY(ks_tx_change(w->tx, KS_CHANGE_KEY_RANGE, first_id, last_id));
	ks_id_format(KS_ID_KEY, first_id, first);
	ks_id_format(KS_ID_KEY, last_id, last);
	ks_audit_put(&detail, "first", ks_str_c(first));
	ks_audit_put(&detail, "last", ks_str_c(last));
	ks_buf_printf(&detail, ",\"keys\":%llu", (unsigned long long)w->count);
	return ks_tx_audit(w->tx, &w->import->actor, &(struct ks_audit_note){
		.action = "key.import",
		.tenant = w->import->actor.effective,
		.object_type = KS_ID_KEY,
		.object = first_id,
		.detail = ks_audit_end(&detail),
	});
}

enum ks_err ks_import_run(struct ks_job *job, struct ks_tx *tx)
{
	struct ks_import_batch *batch = job->ctx;
	struct writing w = {.tx = tx, .import = batch->import, .batch = batch};

	if (batch->import->failed)
		return KS_STOPPING;
	KS_TRY(ks_tx_room(tx, batch->count));
	for (size_t i = 0; i < batch->count; i++) {
		if (i + PREFETCH_AHEAD < batch->count)
			(void)ks_ring_prefetch_key(tx->ring, &batch->rows[batch->order[i + PREFETCH_AHEAD].row].digest);
		KS_TRY(take_row(&w, &batch->rows[batch->order[i].row]));
	}
	batch->imported = w.count;
	if (w.count == 0)
		return KS_OK;
	KS_TRY(ks_store_keys_insert(tx->store, batch->import->out, w.count));
	return record(&w);
}
