/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of issuers: fetched when they are due, when a token names one that is not known, and when somebody asks. */
#include <stdlib.h>

#include "engine/foreign_issuers.h"
#include "federation/federation_priv.h"

#define FAILURE_FIRST_MS INT64_C(60000)
#define FAILURE_DOUBLINGS 10
#define DUE_AT_ONCE (KS_FEDERATION_WORKERS + 1)
#define BUSY_WAIT_MS 1000
#define STORE_FAILED_MS 5000

/* ---- one issuer ---- */

struct target {
	char issuer[KS_STORE_ISSUER_MAX + 1];
	char jwks_url[KS_STORE_URL_MAX + 1];
	uint64_t failures;
};

static void copy(struct ks_str from, char *to, size_t cap)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	(void)ks_buf_z(&b);
}

static enum ks_err keep_target(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct target *t = ctx;

	if (row->deleted_at != KS_TIME_NONE)
		return KS_NOT_FOUND;
	copy(row->issuer, t->issuer, sizeof(t->issuer));
	copy(row->jwks_url, t->jwks_url, sizeof(t->jwks_url));
	t->failures = row->failures;
	return KS_OK;
}

static bool fetch(struct ks_federation *f, const struct target *t, char **ret_jwks, struct ks_failure *failure)
{
	struct ks_metadata *metadata;
	bool ok;

	if (t->jwks_url[0])
		return ks_fetch_keys(f, ks_str_c(t->jwks_url), ret_jwks, failure);
	metadata = calloc(1, sizeof(*metadata));
	if (!metadata)
		return ks_fail(failure, "memory");
	ok = ks_discover(f, ks_str_c(t->issuer), metadata, failure)
	     && ks_fetch_keys(f, ks_str_c(metadata->jwks_uri), ret_jwks, failure);
	free(metadata);
	return ok;
}

/* What came of it, on its way into the truth. */
struct outcome {
	uint64_t issuer;
	const struct ks_actor *actor;
	char *jwks; /* NULL: it failed */
	struct ks_failure failure;
	int64_t after_ms;
};

static enum ks_err write_outcome(struct ks_job *job, struct ks_tx *tx)
{
	const struct outcome *o = job->ctx;
	int64_t next_at = tx->now_ms + o->after_ms;

	if (o->jwks)
		return ks_foreign_issuers_fetched(tx, o->actor, o->issuer, ks_str_c(o->jwks), next_at);
	return ks_foreign_issuers_failed(tx, o->actor, o->issuer, ks_str_c(o->failure.code), next_at);
}

static int64_t wait_after_failure(const struct ks_federation *f, uint64_t failures)
{
	int64_t wait = FAILURE_FIRST_MS << KS_MIN(failures, (uint64_t)FAILURE_DOUBLINGS);

	return ks_jittered(KS_MIN(wait, f->options.refresh_ms));
}

enum ks_err ks_federation_refresh(struct ks_federation *federation, struct ks_engine_reader *reader, uint64_t issuer,
				  const struct ks_actor *actor)
{
	struct outcome outcome = {.issuer = issuer, .actor = actor};
	struct ks_job job = {.run = write_outcome, .ctx = &outcome};
	struct target target;
	enum ks_err err;

	KS_TRY(ks_store_foreign_issuer_get(reader->store, issuer, keep_target, &target));
	if (fetch(federation, &target, &outcome.jwks, &outcome.failure)) {
		outcome.after_ms = ks_jittered(federation->options.refresh_ms);
	} else {
		outcome.after_ms = wait_after_failure(federation, target.failures);
		ks_federation_say(federation, 2, "issuer_keys_unavailable", "%s: %s", target.issuer,
				  outcome.failure.code);
	}
	err = ks_engine_run(federation->engine, &job);
	free(outcome.jwks);
	return err;
}

/* ---- which is next ---- */

static bool is_busy(const struct ks_federation *f, uint64_t issuer)
{
	for (size_t i = 0; i < KS_FEDERATION_WORKERS; i++) {
		if (f->busy[i] == issuer)
			return true;
	}
	return false;
}

struct due {
	uint64_t ids[DUE_AT_ONCE];
	size_t count;
};

static enum ks_err take_due(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct due *due = ctx;

	due->ids[due->count++] = row->id;
	return KS_OK;
}

/* Asked for by a token, then the longest due; 0: none. */
static uint64_t choose(struct ks_federation *f, struct ks_engine_reader *reader, int64_t now_ms, int64_t *ret_wait_ms)
{
	struct due due = {.count = 0};
	int64_t next_at;

	for (size_t i = 0; i < KS_ASKED_MAX; i++) {
		if (f->asked[i].waits && !is_busy(f, f->asked[i].issuer)) {
			f->asked[i].waits = false;
			return f->asked[i].issuer;
		}
	}
	if (ks_store_foreign_issuers_due(reader->store, now_ms, DUE_AT_ONCE, take_due, &due) != KS_OK) {
		*ret_wait_ms = STORE_FAILED_MS;
		return 0;
	}
	for (size_t i = 0; i < due.count; i++) {
		if (!is_busy(f, due.ids[i]))
			return due.ids[i];
	}
	if (due.count > 0)
		*ret_wait_ms = BUSY_WAIT_MS;
	else if (ks_store_foreign_issuers_next(reader->store, &next_at) == KS_OK)
		*ret_wait_ms = KS_MAX(KS_MIN(next_at - now_ms, *ret_wait_ms), INT64_C(1));
	return 0;
}

bool ks_keeper_step(struct ks_federation *federation, size_t worker, struct ks_engine_reader *reader,
		    int64_t *ret_wait_ms)
{
	uint64_t issuer = choose(federation, reader, ks_federation_now_ms(), ret_wait_ms);
	enum ks_err err;

	if (issuer == 0)
		return false;
	federation->busy[worker] = issuer;
	(void)pthread_mutex_unlock(&federation->lock);
	err = ks_federation_refresh(federation, reader, issuer, NULL);
	(void)pthread_mutex_lock(&federation->lock);
	federation->busy[worker] = 0;
	if (err == KS_OK || err == KS_NOT_FOUND)
		return true;
	/* It is as due as before: not at once again. */
	*ret_wait_ms = STORE_FAILED_MS;
	return false;
}

void ks_federation_poke(struct ks_federation *federation)
{
	(void)pthread_mutex_lock(&federation->lock);
	(void)pthread_cond_broadcast(&federation->wake);
	(void)pthread_mutex_unlock(&federation->lock);
}

/* The entry of the issuer, or the one that was used longest ago if that is long enough; NULL: neither. */
static struct ks_asked *entry_for(struct ks_federation *f, uint64_t issuer, int64_t now_ms)
{
	struct ks_asked *oldest = &f->asked[0];

	for (size_t i = 0; i < KS_ASKED_MAX; i++) {
		if (f->asked[i].issuer == issuer) {
			oldest = &f->asked[i];
			break;
		}
		if (f->asked[i].at_ms < oldest->at_ms)
			oldest = &f->asked[i];
	}
	return oldest->issuer == 0 || now_ms - oldest->at_ms >= KS_FEDERATION_KID_MS ? oldest : NULL;
}

void ks_federation_unknown_kid(struct ks_federation *federation, uint64_t issuer)
{
	int64_t now_ms = ks_federation_now_ms();
	struct ks_asked *entry;

	/* A decision is under way: it does not wait for us, and the next token of the kind asks again. */
	if (pthread_mutex_trylock(&federation->lock) != 0)
		return;
	entry = entry_for(federation, issuer, now_ms);
	if (entry) {
		*entry = (struct ks_asked){issuer, now_ms, true};
		(void)pthread_cond_signal(&federation->wake);
	}
	(void)pthread_mutex_unlock(&federation->lock);
}
