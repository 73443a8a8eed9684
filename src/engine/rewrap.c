/* SPDX-License-Identifier: Apache-2.0 */
/* Every wrapped key under the root in force. The keeper is asked outside of the writer, a batch at a time, so that changes go on
 * meanwhile; each batch is one job. Ended at any step, the next run goes on: what is wrapped anew is so for good, and a key
 * file that is to go stays until nothing needs it. */
#include "engine/rewrap.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/buf.h"
#include "engine/audit.h"
#include "engine/engine_priv.h"
#include "engine/seal.h"
#include "store/vault.h"

#define BATCH 32
#define PASSES_MAX 1000

struct item {
	uint64_t organization;       /* 0: the service */
	uint64_t number;
	size_t n;
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
	bool changed;
};

struct rewrap {
	struct ks_engine *engine;
	struct ks_engine_reader reader;
	struct item items[BATCH];
	size_t count;
	uint64_t pass_changed;
	struct ks_rewrap_report report;
};

/* ---- a batch ---- */

static enum ks_err take_key(void *ctx, const struct ks_organization_key_row *row)
{
	struct rewrap *r = ctx;
	struct item *item = &r->items[r->count];

	if (row->wrapped.n > sizeof(item->wrapped))
		return KS_CORRUPT;
	*item = (struct item){.organization = row->organization, .number = row->number, .n = row->wrapped.n};
	memcpy(item->wrapped, row->wrapped.p, row->wrapped.n);
	r->count++;
	return KS_OK;
}

static enum ks_err take_own(void *ctx, struct ks_str wrapped)
{
	const struct ks_organization_key_row row = {.organization = 0, .number = KS_SEAL_GENERATION, .wrapped = wrapped};

	return take_key(ctx, &row);
}

static enum ks_err ask(struct rewrap *r)
{
	for (size_t i = 0; i < r->count; i++) {
		struct item *item = &r->items[i];
		struct ks_keeper_org org = {item->organization, (uint32_t)item->number,
					    ks_str_of((const char *)item->wrapped, item->n)};
		uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
		size_t n = 0;
		enum ks_err err = ks_keeper_org_rewrap(r->engine->keeper, &org, &item->changed, wrapped, sizeof(wrapped), &n);

		/* Erased since it was read. */
		if (err == KS_NOT_FOUND)
			continue;
		KS_TRY(err);
		if (item->changed) {
			memcpy(item->wrapped, wrapped, n);
			item->n = n;
			r->pass_changed++;
		}
		r->report.keys++;
	}
	return KS_OK;
}

static enum ks_err write_batch(struct ks_job *job, struct ks_tx *tx)
{
	struct rewrap *r = job->ctx;

	for (size_t i = 0; i < r->count; i++) {
		const struct item *item = &r->items[i];
		struct ks_str wrapped = ks_str_of((const char *)item->wrapped, item->n);
		enum ks_err err = KS_OK;

		if (item->changed)
			err = item->organization == 0
				      ? ks_engine_seal_set(tx, wrapped)
				      : ks_store_organization_key_rewrap(tx->store, item->organization, item->number, wrapped);
		if (err != KS_OK && err != KS_NOT_FOUND)
			return err;
	}
	return KS_OK;
}

static enum ks_err run_batch(struct rewrap *r)
{
	struct ks_job job = {.run = write_batch, .ctx = r};
	uint64_t before = r->pass_changed;

	KS_TRY(ask(r));
	if (r->pass_changed == before)
		return KS_OK;
	KS_TRY(ks_engine_run(r->engine, &job));
	ks_vault_next_epoch(r->engine);
	r->report.rewrapped += r->pass_changed - before;
	atomic_store(&r->engine->seal->rewrapped, r->report.rewrapped);
	return KS_OK;
}

/* Once over all keys. */
static enum ks_err pass(struct rewrap *r)
{
	enum ks_err err;

	r->pass_changed = 0;
	r->report.keys = 0;
	r->count = 0;
	err = ks_store_seal_check_get(r->reader.store, take_own, r);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	KS_TRY(run_batch(r));
	for (uint64_t organization = 0, number = 0;;) {
		r->count = 0;
		KS_TRY(ks_store_organization_keys(r->reader.store, organization, number, BATCH, take_key, r));
		if (r->count == 0)
			return KS_OK;
		organization = r->items[r->count - 1].organization;
		number = r->items[r->count - 1].number;
		KS_TRY(run_batch(r));
	}
}

/* ---- all of it ---- */

static enum ks_err nothing(struct ks_job *job, struct ks_tx *tx)
{
	(void)job;
	(void)tx;
	return KS_OK;
}

/* Until a pass that began after every change before it was durable finds nothing: no key under the old root is left, nor
 * on its way. */
static enum ks_err pass_until_done(struct rewrap *r)
{
	for (size_t i = 0; i < PASSES_MAX; i++) {
		struct ks_job barrier = {.run = nothing};

		KS_TRY(ks_engine_run(r->engine, &barrier));
		KS_TRY(pass(r));
		if (r->pass_changed == 0)
			return KS_OK;
	}
	return KS_BUSY;
}

static enum ks_err note(struct ks_job *job, struct ks_tx *tx)
{
	const struct rewrap *r = job->ctx;
	char text[256];
	struct ks_buf detail = ks_buf_of(text, sizeof(text));

	ks_audit_put(&detail, "root", ks_str_c(r->report.root));
	ks_audit_put_u64(&detail, "rewrapped", r->report.rewrapped);
	return ks_tx_audit(tx, NULL, &(struct ks_audit_note){.action = "vault.rewrap", .detail = ks_audit_end(&detail)});
}

static enum ks_err rewrap_all(struct rewrap *r, bool rotate, struct ks_keeper_problem *problem)
{
	struct ks_keeper *keeper = r->engine->keeper;
	struct ks_job last = {.run = note, .ctx = r};
	struct ks_keeper_stats stats;

	if (rotate)
		KS_TRY(ks_keeper_restart(keeper, false, true, problem));
	KS_TRY(pass_until_done(r));
	ks_keeper_stats(keeper, &stats);
	if (stats.rotating) {
		KS_TRY(ks_keeper_rotated(keeper));
		KS_TRY(ks_keeper_restart(keeper, false, false, problem));
		ks_keeper_stats(keeper, &stats);
		r->report.rotated = true;
	}
	memcpy(r->report.root, stats.root, sizeof(r->report.root));
	return ks_engine_run(r->engine, &last);
}

enum ks_err ks_engine_rewrap(struct ks_engine *engine, bool rotate, struct ks_rewrap_report *ret_report,
			     struct ks_engine_problem *ret_problem)
{
	struct ks_keeper_problem problem = {""};
	struct rewrap *r;
	enum ks_err err;

	ret_problem->text[0] = '\0';
	if (rotate && engine->options.keeper.root != KS_KEEPER_ROOT_FILE)
		return ks_engine_problem(ret_problem, KS_FORBIDDEN,
					 "only a key file is made anew here; change the root where it is kept, then rewrap");
	if (atomic_exchange(&engine->seal->rewrapping, true))
		return ks_engine_problem(ret_problem, KS_CONFLICT, "a rewrap is under way");
	atomic_store(&engine->seal->rewrapped, 0);
	r = calloc(1, sizeof(*r));
	err = r ? ks_engine_reader_open(engine, &r->reader) : KS_MEMORY;
	if (err == KS_OK) {
		r->engine = engine;
		err = rewrap_all(r, rotate, &problem);
		ks_engine_reader_close(&r->reader);
	}
	if (err == KS_OK)
		*ret_report = r->report;
	else
		(void)ks_engine_problem(ret_problem, err, "%s", problem.text[0] ? problem.text : ks_err_text(err));
	free(r);
	atomic_store(&engine->seal->rewrapping, false);
	return err;
}

void ks_engine_rewrap_progress(const struct ks_engine *engine, bool *ret_running, uint64_t *ret_rewrapped)
{
	*ret_running = atomic_load(&engine->seal->rewrapping);
	*ret_rewrapped = atomic_load(&engine->seal->rewrapped);
}
