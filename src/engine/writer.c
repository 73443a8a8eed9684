/* SPDX-License-Identifier: Apache-2.0 */
/* The one thread that changes the truth and its projection. Jobs that come together share a commit. */
#include <stdlib.h>
#include <time.h>

#include "base/array.h"
#include "crypto/random.h"
#include "engine/engine_priv.h"

#define TRIM_EVERY 4096 /* entries of the change log */
#define LOG_FIRST 64    /* room for so much that a transaction says at first */
#define JOIN_FROM_NS 1000000u /* commits that take less are not waited for */
#define JOIN_NS_MAX 20000000u
#define JOIN_PARTS 16 /* of a commit: a part in which nobody comes ends the wait */

/* ---- what a transaction remembers ---- */

enum ks_err ks_tx_change(struct ks_tx *tx, enum ks_change_kind kind, uint64_t object, uint64_t object_end)
{
	struct ks_tx_log *log = &tx->engine->log;
	uint64_t seq;

	KS_TRY(ks_array_room(&log->changes, &log->change_cap, log->change_count, LOG_FIRST, sizeof(*log->changes)));
	KS_TRY(ks_array_room(&log->cores, &log->core_cap, log->change_count, LOG_FIRST, sizeof(*log->cores)));
	KS_TRY(ks_store_change_append(tx->store, kind, object, object_end, &seq));
	log->cores[log->change_count].id = 0;
	log->changes[log->change_count++] =
		(struct ks_change){.seq = seq, .kind = kind, .object = object, .object_end = object_end};
	return KS_OK;
}

enum ks_err ks_tx_change_key(struct ks_tx *tx, const struct ks_key_row *row)
{
	struct ks_tx_log *log = &tx->engine->log;
	int64_t expires = row->expires_at == KS_TIME_NONE ? INT64_MAX : row->expires_at;
	bool retires = row->retires_at != KS_TIME_NONE && row->retires_at <= expires;

	KS_TRY(ks_tx_change(tx, KS_CHANGE_KEY, row->id, 0));
	log->cores[log->change_count - 1] = (struct ks_key_core){
		.id = row->id,
		.digest = row->digest,
		.tenant = row->tenant,
		.grant = row->grant,
		.ends_ms = retires ? row->retires_at : expires,
		.kind = row->kind,
		.binding = row->binding,
		.environment = row->environment,
		.revoked = row->revoked_at != KS_TIME_NONE,
		.rotated_out = retires,
		.imported = row->imported,
	};
	return KS_OK;
}

enum ks_err ks_tx_change_range(struct ks_tx *tx, const struct ks_key_core *cores, size_t count)
{
	struct ks_tx_log *log = &tx->engine->log;

	KS_TRY(ks_tx_change(tx, KS_CHANGE_KEY_RANGE, cores[0].id, cores[count - 1].id));
	log->range = cores;
	log->range_count = count;
	return KS_OK;
}

enum ks_err ks_tx_gone(struct ks_tx *tx, uint64_t tenant)
{
	struct ks_tx_log *log = &tx->engine->log;

	KS_TRY(ks_array_room(&log->gone, &log->gone_cap, log->gone_count, LOG_FIRST, sizeof(*log->gone)));
	log->gone[log->gone_count++] = tenant;
	return KS_OK;
}

enum ks_err ks_tx_forget_key(struct ks_tx *tx, uint64_t organization, uint64_t number)
{
	struct ks_tx_log *log = &tx->engine->log;

	KS_TRY(ks_array_room(&log->forgotten, &log->forgotten_cap, log->forgotten_count, LOG_FIRST, sizeof(*log->forgotten)));
	log->forgotten[log->forgotten_count++] = (struct ks_tx_forgotten){organization, number};
	return KS_OK;
}

void ks_tx_tally(struct ks_tx *tx, enum ks_vault_tally tally)
{
	tx->engine->log.vault[tally]++;
}

bool ks_tx_is_gone(const struct ks_tx *tx, uint64_t tenant)
{
	const struct ks_tx_log *log = &tx->engine->log;

	for (size_t i = 0; i < log->gone_count; i++) {
		if (log->gone[i] == tenant)
			return true;
	}
	return false;
}

uint64_t ks_tx_id(struct ks_tx *tx)
{
	struct ks_engine *engine = tx->engine;

	/* Without randomness ids stay unique: they rise. */
	if (engine->id_random_left == 0) {
		if (ks_random(engine->id_random, sizeof(engine->id_random)) != KS_OK)
			return ks_id_next(&engine->ids, tx->now_ms, 0);
		engine->id_random_left = KS_ARRAY_LEN(engine->id_random);
	}
	return ks_id_next(&engine->ids, tx->now_ms, engine->id_random[--engine->id_random_left]);
}

enum ks_err ks_tx_room(struct ks_tx *tx, uint64_t keys)
{
	struct ks_engine *engine = tx->engine;
	struct ks_ring *ring = ks_ringmap_writer_ring(engine->ringmap);
	/* What this transaction has said already will need its room too. */
	uint64_t wanted = keys + engine->log.change_count;
	enum ks_err err;

	if (!ks_ring_wants_growth(ring, wanted))
		return KS_OK;
	if (tx->now_ms < engine->grow_again_ms)
		return KS_DISK_FULL;
	err = ks_project_grow(engine, wanted, 0);
	tx->ring = ks_ringmap_writer_ring(engine->ringmap);
	return err;
}

static struct ks_tx_mark mark_of(const struct ks_engine *engine)
{
	struct ks_tx_mark mark = {.changes = engine->log.change_count,
				  .gone = engine->log.gone_count,
				  .events = engine->log.event_count,
				  .forgotten = engine->log.forgotten_count};

	memcpy(mark.vault, engine->log.vault, sizeof(mark.vault));
	return mark;
}

static void forget_after(struct ks_engine *engine, struct ks_tx_mark mark)
{
	engine->log.change_count = mark.changes;
	engine->log.gone_count = mark.gone;
	engine->log.event_count = mark.events;
	engine->log.forgotten_count = mark.forgotten;
	memcpy(engine->log.vault, mark.vault, sizeof(mark.vault));
	engine->log.range = NULL;
}

/* ---- the queue ---- */

/* With the lock held: the jobs of a transaction, `max` at most, in the order they came. Those that take long go alone. */
static struct ks_job *take(struct ks_engine *engine, size_t max, size_t *ret_count)
{
	struct ks_job *first = engine->queue_head;
	struct ks_job *last = first;
	size_t count = 1;

	while (!first->bulk && !first->apart && count < max && last->next && !last->next->bulk && !last->next->apart) {
		last = last->next;
		count++;
	}
	engine->queue_head = last->next;
	if (!engine->queue_head)
		engine->queue_tail = &engine->queue_head;
	last->next = NULL;
	engine->queue_count -= count;
	*ret_count = count;
	return first;
}

static struct timespec after_ns(uint64_t ns)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += (long)ns;
	until.tv_sec += until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	return until;
}

/* Where commits are slow, callers that were answered just now come back while the next one has already begun, and half of
 * them wait for two. So a transaction waits for its callers before it ends, as long as they keep coming, and for as long as
 * its commit is likely to take at most; each that comes joins it at once. Where commits are fast nobody is waited for: it is
 * better that some requests are read while others are written. */
struct joining {
	uint64_t until_ns;
	uint64_t part_ns;
	size_t count, callers;
};

static struct joining joining_of(const struct ks_engine *engine, const struct ks_job *jobs)
{
	uint64_t ns = jobs->bulk || engine->commit_ns < JOIN_FROM_NS ? 0 : KS_MIN(engine->commit_ns, (uint64_t)JOIN_NS_MAX);
	struct joining joining = {
		.until_ns = ks_engine_tick_ns() + ns, .part_ns = ns / JOIN_PARTS, .callers = engine->callers};

	for (; jobs; jobs = jobs->next)
		joining.count++;
	return joining;
}

static bool can_join(const struct ks_engine *engine)
{
	return engine->queue_head && !engine->queue_head->bulk && !engine->queue_head->apart;
}

/* NULL: the transaction ends. */
static struct ks_job *join(struct ks_engine *engine, struct joining *joining)
{
	struct ks_job *jobs = NULL;
	size_t count = 0;

	if (joining->count >= KS_ENGINE_BATCH_MAX || ks_engine_tick_ns() >= joining->until_ns)
		return NULL;
	pthread_mutex_lock(&engine->queue_lock);
	if (!engine->queue_head && joining->count < joining->callers) {
		struct timespec until = after_ns(joining->part_ns);

		while (!engine->stopping && !engine->queue_head
		       && pthread_cond_clockwait(&engine->queue_wake, &engine->queue_lock, CLOCK_MONOTONIC, &until) == 0)
			;
	}
	if (can_join(engine))
		jobs = take(engine, KS_ENGINE_BATCH_MAX - joining->count, &count);
	pthread_mutex_unlock(&engine->queue_lock);
	joining->count += count;
	return jobs;
}

/* ---- one batch ---- */

/* Errors that are the store's own: the transaction cannot be trusted any more. */
static bool is_store_failure(enum ks_err err)
{
	return err == KS_STORE || err == KS_DISK_FULL || err == KS_BUSY || err == KS_CORRUPT;
}

static enum ks_err undo_job(const struct ks_job *job, struct ks_store *store, uint64_t writes_before)
{
	if (is_store_failure(job->err))
		return job->err;
	if (job->refuses_first)
		return ks_store_writes(store) == writes_before ? KS_OK : KS_STORE;
	ks_store_rollback_to(store);
	return KS_OK;
}

static enum ks_err run_job(struct ks_engine *engine, struct ks_job *job, struct ks_tx *tx)
{
	struct ks_tx_mark mark = mark_of(engine);
	uint64_t writes = ks_store_writes(tx->store);

	if (!job->refuses_first)
		KS_TRY(ks_store_savepoint(tx->store));
	tx->ring = ks_ringmap_writer_ring(engine->ringmap);
	job->err = job->run(job, tx);
	job->changed = engine->log.change_count > mark.changes;
	if (job->err == KS_OK)
		return job->refuses_first ? KS_OK : ks_store_release(tx->store);
	forget_after(engine, mark);
	job->changed = false;
	return undo_job(job, tx->store, writes);
}

/* Entries that the ring has applied are of no more use. Within a transaction that is made anyway. */
static enum ks_err trim(struct ks_engine *engine)
{
	uint64_t position = engine->last_change;

	if (position < engine->trimmed_to + TRIM_EVERY)
		return KS_OK;
	KS_TRY(ks_store_changes_trim(engine->store, position));
	engine->trimmed_to = position;
	return KS_OK;
}

static enum ks_err run_jobs(struct ks_engine *engine, struct ks_job *jobs, struct ks_tx *tx, bool *ret_committed)
{
	struct joining joining = joining_of(engine, jobs);
	uint64_t writes = ks_store_writes(engine->store);
	bool any = false;

	KS_TRY(jobs->proven ? ks_store_begin_proven(engine->store) : ks_store_begin(engine->store));
	for (struct ks_job *job = jobs; job; job = job->next) {
		KS_TRY(run_job(engine, job, tx));
		any |= job->err == KS_OK;
		if (!job->next && (job->next = join(engine, &joining)) != NULL)
			tx->now_ms = ks_engine_now_ms();
	}
	if (!any || ks_store_writes(engine->store) == writes) {
		ks_store_rollback(engine->store);
		return KS_OK;
	}
	KS_TRY(trim(engine));
	uint64_t began = ks_engine_tick_ns();
	KS_TRY(ks_store_commit(engine->store));
	engine->commit_ns = ks_engine_tick_ns() - began;
	*ret_committed = true;
	return KS_OK;
}

/* Nothing of the batch was kept: every job that had not failed by itself fails now. */
static void fail_all(struct ks_job *jobs, enum ks_err err, bool changed_alone)
{
	for (struct ks_job *job = jobs; job; job = job->next) {
		if (job->err == KS_OK && (job->changed || !changed_alone)) {
			job->err = err;
			job->refusal = (struct ks_refusal){0};
		}
	}
}

/* What is durable becomes visible. */
static enum ks_err project_log(struct ks_engine *engine)
{
	struct ks_tx_log *log = &engine->log;

	for (size_t i = 0; i < log->change_count; i++)
		KS_TRY(ks_project(engine, &log->changes[i], &log->cores[i]));
	if (log->change_count > 0) {
		engine->last_change = log->changes[log->change_count - 1].seq;
		ks_ring_set_position(ks_ringmap_writer_ring(engine->ringmap), engine->last_change);
	}
	return KS_OK;
}

static void forget_keys(struct ks_engine *engine)
{
	const struct ks_tx_log *log = &engine->log;

	if (log->forgotten_count > 0)
		ks_vault_next_epoch(engine);
	for (size_t i = 0; i < log->forgotten_count; i++)
		ks_vault_forget_key(engine, log->forgotten[i].organization, log->forgotten[i].number);
}

static void fall_behind(struct ks_engine *engine, struct ks_job *jobs, enum ks_err err)
{
	engine->behind = true;
	fail_all(jobs, err, true);
	ks_engine_say(engine, 3, "projection_failed",
		      "changes are durable but not in the ring: %s; catching up before the next", ks_err_text(err));
}

static enum ks_err catch_up(struct ks_engine *engine)
{
	enum ks_err err;

	if (!engine->behind)
		return KS_OK;
	err = ks_project_rest(engine);
	if (err == KS_CONFLICT)
		err = ks_rebuild_ring(engine);
	if (err == KS_OK)
		engine->behind = false;
	return err;
}

/* True: something is durable that was not before. */
static bool run_transaction(struct ks_engine *engine, struct ks_job *jobs, struct ks_tx *tx)
{
	enum ks_err err = catch_up(engine);
	bool committed = false;

	forget_after(engine, (struct ks_tx_mark){0});
	engine->log.ids_before = engine->ids.last;
	engine->log.delivers = false;
	if (err == KS_OK)
		err = run_jobs(engine, jobs, tx, &committed);
	if (err != KS_OK) {
		/* A commit that fails has kept nothing; should the disk say otherwise later, the change log knows. */
		ks_store_rollback(engine->store);
		engine->behind = true;
		fail_all(jobs, err, false);
		ks_engine_say(engine, 3, "commit_failed", "%s: %s", ks_err_text(err), ks_store_error(engine->store));
		return false;
	}
	if (committed)
		forget_keys(engine);
	err = project_log(engine);
	if (err != KS_OK)
		fall_behind(engine, jobs, err);
	return committed;
}

static void run_apart(struct ks_engine *engine, struct ks_job *job, struct ks_tx *tx)
{
	enum ks_err err = catch_up(engine);

	tx->ring = ks_ringmap_writer_ring(engine->ringmap);
	job->err = err == KS_OK ? job->run(job, tx) : err;
}

/* ---- numbers ---- */

void ks_writer_note_ring(struct ks_engine *engine)
{
	const struct ks_ring *ring = ks_ringmap_writer_ring(engine->ringmap);
	struct ks_ring_header *h = ring->header;
	uint64_t revoked = atomic_load_explicit(&h->revoked_count, memory_order_relaxed);
	uint64_t keys = atomic_load_explicit(&h->key_count, memory_order_relaxed)
			- atomic_load_explicit(&h->session_count, memory_order_relaxed);
	struct ks_engine_stats *s = &engine->stats;

	pthread_mutex_lock(&engine->stats_lock);
	s->keys = keys;
	s->keys_revoked = revoked;
	s->tenants = atomic_load_explicit(&h->tenant_count, memory_order_relaxed);
	s->users = atomic_load_explicit(&h->user_count, memory_order_relaxed);
	s->grants = atomic_load_explicit(&h->grant_count, memory_order_relaxed);
	s->key_slots = h->geometry.key_slots;
	s->ring_bytes = h->total_size;
	s->usage_bytes = ks_usage_size(&h->geometry);
	s->generation = h->generation;
	s->position = atomic_load_explicit(&h->position, memory_order_relaxed);
	s->ready = !engine->behind && atomic_load_explicit(&h->complete, memory_order_relaxed) != 0;
	pthread_mutex_unlock(&engine->stats_lock);
	atomic_store_explicit(&engine->keys_known, keys, memory_order_relaxed);
}

static void note_batch(struct ks_engine *engine, const struct ks_job *jobs, bool committed, uint64_t ns)
{
	uint64_t count = 0, failed = 0;

	for (const struct ks_job *job = jobs; job; job = job->next) {
		count++;
		failed += job->err != KS_OK;
	}
	if (committed) {
		pthread_mutex_lock(&engine->queue_lock);
		engine->callers = count + engine->queue_count;
		pthread_mutex_unlock(&engine->queue_lock);
	}
	pthread_mutex_lock(&engine->stats_lock);
	engine->stats.jobs += count;
	engine->stats.jobs_failed += failed;
	engine->stats.commits += committed;
	engine->stats.events += committed ? engine->log.event_count : 0;
	engine->stats.commit_ns_total += committed ? ns : 0;
	for (size_t i = 0; i < KS_VAULT_TALLY_COUNT && committed; i++)
		engine->stats.vault[i] += engine->log.vault[i];
	if (committed && engine->watch && (engine->log.event_count > 0 || engine->log.delivers))
		engine->watch(engine->watch_ctx);
	pthread_mutex_unlock(&engine->stats_lock);
	ks_writer_note_ring(engine);
}

/* ---- batch after batch ---- */

static void finish(struct ks_job *job)
{
	struct ks_waiter *waiter = job->waiter;

	if (!waiter) {
		if (job->done)
			job->done(job);
		return;
	}
	pthread_mutex_lock(&waiter->lock);
	waiter->finished = true;
	pthread_cond_signal(&waiter->wake);
	pthread_mutex_unlock(&waiter->lock);
}

static void run_batch(struct ks_engine *engine, struct ks_job *jobs)
{
	struct ks_tx tx = {.engine = engine, .store = engine->store, .now_ms = ks_engine_now_ms()};
	uint64_t began = ks_engine_tick_ns();
	bool committed = false;

	if (jobs->apart)
		run_apart(engine, jobs, &tx);
	else
		committed = run_transaction(engine, jobs, &tx);
	note_batch(engine, jobs, committed, ks_engine_tick_ns() - began);
	for (struct ks_job *job = jobs, *next; job; job = next) {
		next = job->next; /* the job may be freed */
		finish(job);
	}
}

static struct ks_job *wait_for_batch(struct ks_engine *engine)
{
	struct ks_job *jobs = NULL;
	size_t count;

	pthread_mutex_lock(&engine->queue_lock);
	while (!engine->queue_head && !engine->stopping)
		pthread_cond_wait(&engine->queue_wake, &engine->queue_lock);
	if (engine->queue_head)
		jobs = take(engine, KS_ENGINE_BATCH_MAX, &count);
	pthread_mutex_unlock(&engine->queue_lock);
	return jobs;
}

static void *writer_main(void *arg)
{
	struct ks_engine *engine = arg;
	struct ks_job *jobs;

	pthread_setname_np(pthread_self(), "ks-writer");
	while ((jobs = wait_for_batch(engine)) != NULL)
		run_batch(engine, jobs);
	return NULL;
}

enum ks_err ks_writer_start(struct ks_engine *engine)
{
	if (pthread_create(&engine->writer, NULL, writer_main, engine) != 0)
		return KS_SYSTEM;
	engine->writer_started = true;
	return KS_OK;
}

void ks_writer_stop(struct ks_engine *engine)
{
	if (!engine->writer_started)
		return;
	pthread_mutex_lock(&engine->queue_lock);
	engine->stopping = true;
	pthread_cond_signal(&engine->queue_wake);
	pthread_mutex_unlock(&engine->queue_lock);
	pthread_join(engine->writer, NULL);
	engine->writer_started = false;
}

enum ks_err ks_engine_submit(struct ks_engine *engine, struct ks_job *job)
{
	enum ks_err err = KS_OK;

	job->next = NULL;
	job->err = KS_OK;
	job->changed = false;
	job->refusal = (struct ks_refusal){0};
	pthread_mutex_lock(&engine->queue_lock);
	if (engine->stopping) {
		err = KS_STOPPING;
	} else if (engine->queue_count >= KS_ENGINE_QUEUE_MAX) {
		err = KS_FULL;
	} else {
		*engine->queue_tail = job;
		engine->queue_tail = &job->next;
		engine->queue_count++;
		pthread_cond_signal(&engine->queue_wake);
	}
	pthread_mutex_unlock(&engine->queue_lock);
	return err;
}

enum ks_err ks_engine_run(struct ks_engine *engine, struct ks_job *job)
{
	struct ks_waiter waiter = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
	enum ks_err err;

	job->waiter = &waiter;
	err = ks_engine_submit(engine, job);
	if (err == KS_OK) {
		pthread_mutex_lock(&waiter.lock);
		while (!waiter.finished)
			pthread_cond_wait(&waiter.wake, &waiter.lock);
		pthread_mutex_unlock(&waiter.lock);
		err = job->err;
	}
	job->waiter = NULL;
	job->err = err;
	pthread_mutex_destroy(&waiter.lock);
	pthread_cond_destroy(&waiter.wake);
	return err;
}

void ks_engine_watch(struct ks_engine *engine, ks_engine_watch_fn *watch, void *ctx)
{
	pthread_mutex_lock(&engine->stats_lock);
	engine->watch = watch;
	engine->watch_ctx = ctx;
	pthread_mutex_unlock(&engine->stats_lock);
}

void ks_engine_stats(struct ks_engine *engine, struct ks_engine_stats *ret_stats)
{
	size_t waiting;

	pthread_mutex_lock(&engine->queue_lock);
	waiting = engine->queue_count;
	pthread_mutex_unlock(&engine->queue_lock);
	pthread_mutex_lock(&engine->stats_lock);
	*ret_stats = engine->stats;
	pthread_mutex_unlock(&engine->stats_lock);
	ret_stats->jobs_waiting = waiting;
}
