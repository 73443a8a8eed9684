/* SPDX-License-Identifier: Apache-2.0 */
/* Values that we hold outside of the store: what goes there, and what the secret there is to follow.
 *
 * A sealed value is split: its head, without which the rest opens for nobody, stays in the store with the place of the rest.
 * So what is erased in the store is erased, whatever becomes of the rest. In this order: the version's number, the place, the
 * rest at its place, the version. Whoever is killed between two of them leaves a rest that has no head and a number that is
 * never given again. What the stages there say follows afterwards, and is tried until it does. */
#include "engine/vault_priv.h"
#include "keeper/keeper.h"

/* ---- writing ---- */

struct placed {
	const struct ks_vault_placing *placing;
	char place[KS_VAULT_PLACE_SIZE];
};

static enum ks_err take_place(void *ctx, const struct ks_held_secret_row *row)
{
	struct placed *p = ctx;
	struct ks_buf place = KS_BUF(p->place);

	ks_buf_put(&place, row->place);
	(void)ks_buf_z(&place);
	return KS_OK;
}

/* A secret stays where it began, whatever the settings say now. */
static enum ks_err run_place(struct ks_job *job, struct ks_tx *tx)
{
	struct placed *p = job->ctx;
	const struct ks_vault_placing *placing = p->placing;

	KS_TRY(ks_store_held_secret_insert(tx->store, &(struct ks_held_secret_row){
		.provider = placing->provider,
		.field = placing->field,
		.key_number = placing->key_number,
		.place = ks_str_c(p->place),
	}));
	return ks_store_held_secret_get(tx->store, placing->provider, placing->field, placing->key_number, take_place, p);
}

enum ks_err ks_vault_place(struct ks_engine *engine, struct ks_vault_placing *placing, struct ks_refusal *refusal)
{
	const struct ks_vault_openers *o = &engine->openers;
	struct placed p = {.placing = placing};
	struct ks_job job = {.run = run_place, .ctx = &p};
	struct ks_str sealed = ks_str_of((const char *)placing->sealed, placing->n);
	struct ks_buf left = ks_buf_of((char *)placing->sealed, KS_VAULT_SEALED_MAX);
	const char *code = "held_store_unavailable";

	if (!o->held_place || placing->kind != KS_FIELD_KIND_HELD)
		return KS_OK;
	if (sealed.n <= KS_KEEPER_VALUE_HEAD)
		return KS_CORRUPT;
	KS_TRY(o->held_place(o->ctx, placing->organization, placing->provider, placing->field, placing->key_number, p.place));
	KS_TRY(ks_engine_run(engine, &job));
	if (o->held_put(o->ctx, ks_str_c(p.place), placing->version, ks_str_sub(sealed, KS_KEEPER_VALUE_HEAD, sealed.n), &code)
	    != KS_OK)
		return ks_refuse(refusal, KS_KMS, code, "", "the store of held values did not take it");
	left.n = KS_KEEPER_VALUE_HEAD;
	ks_buf_put_c(&left, p.place);
	if (!ks_buf_ok(&left))
		return KS_TOO_LARGE;
	placing->n = left.n;
	placing->kind = KS_FIELD_KIND_ELSEWHERE;
	return KS_OK;
}

/* ---- following ---- */

static enum ks_err take_work(void *ctx, const struct ks_held_secret_row *row)
{
	struct ks_vault_held_work *w = ctx;
	struct ks_buf field = KS_BUF(w->field), place = KS_BUF(w->place);

	w->provider = row->provider;
	w->key_number = row->key_number;
	w->asked = row->asked;
	ks_buf_put(&field, row->field);
	(void)ks_buf_z(&field);
	ks_buf_put(&place, row->place);
	(void)ks_buf_z(&place);
	return KS_OK;
}

static enum ks_err take_version(void *ctx, const struct ks_field_version_row *row)
{
	struct ks_vault_held_work *w = ctx;

	if (row->kind != KS_FIELD_KIND_ELSEWHERE || row->key_number != w->key_number
	    || !ks_str_eq(row->field, ks_str_c(w->field)))
		return KS_OK;
	if (row->stage == KS_FIELD_STAGE_CURRENT)
		w->current = row->version;
	else if (row->stage == KS_FIELD_STAGE_PENDING || row->stage == KS_FIELD_STAGE_PROBED)
		w->pending = row->version;
	else if (row->promoted_at != KS_TIME_NONE)
		w->previous = row->version;
	return KS_OK;
}

static enum ks_err take_key(void *ctx, const struct ks_organization_key_row *row)
{
	struct ks_vault_held_work *w = ctx;

	w->gone |= row->erased_at != KS_TIME_NONE;
	return KS_OK;
}

enum ks_err ks_vault_held_next(struct ks_store *store, const struct ks_vault_held_work *after,
			       struct ks_vault_held_work *ret_work)
{
	struct ks_vault_held_work w = {.asked = 0};
	struct ks_provider_kept kept;

	KS_TRY(ks_store_held_secrets_asked(store,
					   &(struct ks_held_secret_row){.provider = after->provider,
									.field = ks_str_c(after->field),
									.key_number = after->key_number},
					   1, take_work, &w));
	if (w.provider == 0)
		return KS_NOT_FOUND;
	KS_TRY(ks_store_provider_get(store, w.provider, ks_provider_keep, &kept));
	w.gone = kept.row.deleted_at != KS_TIME_NONE;
	KS_TRY(ks_store_organization_key_get(store, kept.row.organization, w.key_number, take_key, &w));
	KS_TRY(ks_store_field_versions_open(store, w.provider, take_version, &w));
	*ret_work = w;
	return KS_OK;
}

static enum ks_err run_done(struct ks_job *job, struct ks_tx *tx)
{
	const struct ks_vault_held_work *w = job->ctx;
	struct ks_held_secret_row row = {
		.provider = w->provider,
		.field = ks_str_c(w->field),
		.key_number = w->key_number,
		.done = w->asked,
	};

	return w->gone ? ks_store_held_secret_delete(tx->store, &row) : ks_store_held_secret_done(tx->store, &row);
}

enum ks_err ks_vault_held_done(struct ks_engine *engine, const struct ks_vault_held_work *work)
{
	struct ks_vault_held_work copy = *work;
	struct ks_job job = {.run = run_done, .ctx = &copy};
	enum ks_err err = ks_engine_run(engine, &job);

	return err == KS_NOT_FOUND ? KS_OK : err;
}
