/* SPDX-License-Identifier: Apache-2.0 */
/* The thread: what was committed is handed out, what is due is sent, what came of it is written. */
#include "delivery/delivery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/array.h"
#include "delivery/delivery_priv.h"

#define WAIT_MAX_MS 1000
#define AGAIN_MS 500             /* after the store failed */
#define LOOK_MS 1000
#define TRIM_MS 10000
#define TRIM_AT_ONCE 2000
#define SHRINK_EVERY 10000       /* rows written: what was gone through once is not kept in memory */

static const char *const outcomes[] = {
#define X(name, text) text,
	KS_DELIVERY_OUTCOMES(X)
#undef X
};

const char *ks_delivery_outcome_text(enum ks_delivery_outcome outcome)
{
	return outcomes[outcome];
}

int64_t dl_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void dl_say(const struct ks_delivery *d, int level, const char *event, uint64_t endpoint, const char *text)
{
	char id[KS_ID_TEXT_SIZE] = "", line[256];

	if (!d->options.log)
		return;
	if (endpoint)
		ks_id_format(KS_ID_ENDPOINT, endpoint, id);
	(void)snprintf(line, sizeof(line), "%s%s%s", id, endpoint ? ": " : "", text);
	d->options.log(d->options.log_ctx, level, event, line);
}

static void on_commit(void *ctx)
{
	struct ks_delivery *d = ctx;

	atomic_store(&d->news, true);
	ks_fetch_many_wake(d->many);
}

/* On the writer's thread. */
static void note_rows(struct ks_delivery *d, struct ks_store *store, uint64_t rows)
{
	d->rows += rows;
	if (d->rows < SHRINK_EVERY)
		return;
	d->rows = 0;
	ks_store_shrink(store);
	atomic_store(&d->shrink, true);
}

/* ---- handing out ---- */

static void touch(void *ctx, uint64_t endpoint)
{
	struct dl_fan_out *f = ctx;

	/* Without memory: who is not told of looks when the next one is. */
	if (ks_array_room(&f->touched, &f->touched_cap, f->touched_count, 1024, sizeof(*f->touched)) == KS_OK)
		f->touched[f->touched_count++] = endpoint;
}

static enum ks_err run_fan_out(struct ks_job *job, struct ks_tx *tx)
{
	struct dl_fan_out *f = job->ctx;

	f->touched_count = 0;
	f->done = (struct ks_fan_out){0};
	KS_TRY(ks_deliveries_fan_out(tx, f->anew, DL_FAN_OUT, touch, f, &f->done));
	note_rows(f->delivery, tx->store, f->done.deliveries);
	return KS_OK;
}

static void fan_out_done(struct ks_job *job)
{
	struct dl_fan_out *f = job->ctx;

	atomic_store(&f->finished, true);
	ks_fetch_many_wake(f->delivery->many);
}

static void after_fan_out(struct ks_delivery *d, int64_t now_ms)
{
	struct dl_fan_out *f = &d->fan_out;

	f->running = false;
	f->anew = f->job.err != KS_OK;
	if (f->anew) {
		dl_say(d, 2, "events_not_handed_out", 0, ks_err_text(f->job.err));
		f->wanted = true;
		f->not_before = now_ms + AGAIN_MS;
		return;
	}
	f->wanted = f->wanted || f->done.more;
	atomic_fetch_add_explicit(&d->events, f->done.events, memory_order_relaxed);
	atomic_fetch_add_explicit(&d->made, f->done.deliveries, memory_order_relaxed);
	for (size_t i = 0; i < f->touched_count; i++) {
		struct dl_endpoint *e = dl_endpoint_find(d, f->touched[i]);

		if (!e)
			continue;
		e->hungry = true;
		dl_ready_push(d, e);
	}
}

static void hand_out(struct ks_delivery *d, int64_t now_ms)
{
	struct dl_fan_out *f = &d->fan_out;

	if (f->running && atomic_load(&f->finished))
		after_fan_out(d, now_ms);
	if (f->running || !f->wanted || now_ms < f->not_before)
		return;
	f->job = (struct ks_job){.run = run_fan_out, .done = fan_out_done, .ctx = f};
	atomic_store(&f->finished, false);
	f->wanted = false;
	f->running = ks_engine_submit(d->engine, &f->job) == KS_OK;
	if (!f->running) {
		f->wanted = true;
		f->not_before = now_ms + AGAIN_MS;
	}
}

/* ---- writing ---- */

static enum ks_err run_writing(struct ks_job *job, struct ks_tx *tx)
{
	const struct dl_results *r = job->ctx;

	for (size_t i = 0; i < r->count; i++)
		KS_TRY(ks_deliveries_record(tx, &r->items[i]));
	note_rows(r->delivery, tx->store, r->count);
	return KS_OK;
}

static void writing_done(struct ks_job *job)
{
	struct dl_results *r = job->ctx;

	atomic_store(&r->finished, true);
	ks_fetch_many_wake(r->delivery->many);
}

static void submit_writing(struct ks_delivery *d, int64_t now_ms)
{
	struct dl_results *r = d->writing;

	r->job = (struct ks_job){.run = run_writing, .done = writing_done, .ctx = r};
	atomic_store(&r->finished, false);
	r->running = ks_engine_submit(d->engine, &r->job) == KS_OK;
	if (!r->running)
		d->write_again_at = now_ms + AGAIN_MS;
}

static void after_writing(struct ks_delivery *d, int64_t now_ms)
{
	struct dl_results *r = d->writing;

	r->running = false;
	if (r->job.err != KS_OK) {
		dl_say(d, 2, "deliveries_not_written", 0, ks_err_text(r->job.err));
		d->write_again_at = now_ms + AGAIN_MS;
		return;
	}
	for (size_t i = 0; i < r->count; i++) {
		struct dl_endpoint *e = dl_endpoint_find(d, r->items[i].endpoint);

		if (!e)
			continue;
		dl_busy_remove(e, r->items[i].delivery);
		if (r->items[i].state == KS_DELIVERY_PENDING)
			dl_wake_at(d, e, r->items[i].due_at);
		/* It may have been full of what was not written. */
		dl_ready_push(d, e);
	}
	r->count = 0;
}

static void write_results(struct ks_delivery *d, int64_t now_ms)
{
	if (d->writing->running && atomic_load(&d->writing->finished))
		after_writing(d, now_ms);
	if (d->writing->running || now_ms < d->write_again_at)
		return;
	if (d->writing->count == 0) {
		struct dl_results *full = d->filling;

		if (full->count == 0)
			return;
		d->filling = d->writing;
		d->writing = full;
	}
	submit_writing(d, now_ms);
}

/* ---- chores ---- */

static enum ks_err run_trim(struct ks_job *job, struct ks_tx *tx)
{
	struct dl_trim *t = job->ctx;

	return ks_store_deliveries_trim(tx->store, tx->now_ms - t->delivery->options.keep_ms, TRIM_AT_ONCE, &t->trimmed);
}

static void trim_done(struct ks_job *job)
{
	struct dl_trim *t = job->ctx;

	atomic_store(&t->finished, true);
}

static void trim(struct ks_delivery *d, int64_t now_ms)
{
	struct dl_trim *t = &d->trim;

	if (t->running && atomic_load(&t->finished)) {
		t->running = false;
		t->next_at = t->job.err == KS_OK && t->trimmed >= TRIM_AT_ONCE ? now_ms : now_ms + TRIM_MS;
	}
	if (t->running || d->options.keep_ms == 0 || now_ms < t->next_at)
		return;
	t->job = (struct ks_job){.run = run_trim, .done = trim_done, .ctx = t};
	atomic_store(&t->finished, false);
	t->trimmed = 0;
	t->running = ks_engine_submit(d->engine, &t->job) == KS_OK;
	t->next_at = now_ms + TRIM_MS;
}

static void look_around(struct ks_delivery *d, int64_t now_ms)
{
	uint64_t failing = 0, behind = 0;
	int64_t oldest = now_ms;

	if (now_ms < d->look_at && d->look_at <= now_ms + LOOK_MS)
		return;
	d->look_at = now_ms + LOOK_MS;
	for (size_t i = 0; i < d->endpoint_count; i++) {
		const struct dl_endpoint *e = d->endpoints[i];

		failing += e->active && e->failing_since != KS_TIME_NONE;
		behind += e->active && dl_is_behind(e, now_ms);
		if (e->active && e->window_at < e->window_count)
			oldest = KS_MIN(oldest, e->window[e->window_at].due_at);
	}
	atomic_store_explicit(&d->now_endpoints, d->endpoint_count, memory_order_relaxed);
	atomic_store_explicit(&d->now_failing, failing, memory_order_relaxed);
	atomic_store_explicit(&d->now_behind, behind, memory_order_relaxed);
	atomic_store_explicit(&d->now_oldest_ms, (uint64_t)(now_ms - oldest), memory_order_relaxed);
}

/* ---- the loop ---- */

static bool may_read(struct ks_delivery *d)
{
	enum ks_err err;

	if (d->reading)
		return true;
	err = ks_engine_reader_open(d->engine, &d->reader);
	d->reading = err == KS_OK;
	if (!d->reading)
		dl_say(d, 2, "deliveries_not_read", 0, ks_err_text(err));
	return d->reading;
}

static void read_news(struct ks_delivery *d)
{
	enum ks_err err;

	if (!atomic_exchange(&d->news, false))
		return;
	err = dl_endpoints_read(d);
	if (err != KS_OK) {
		dl_say(d, 2, "endpoints_not_read", 0, ks_err_text(err));
		atomic_store(&d->news, true);
	}
	d->fan_out.wanted = true;
}

static unsigned wait_of(int64_t next_at, int64_t now_ms)
{
	int64_t left = KS_MIN(next_at - now_ms, (int64_t)WAIT_MAX_MS);

	return left > 0 ? (unsigned)left : 0;
}

static void *deliver(void *ctx)
{
	struct ks_delivery *d = ctx;

	(void)pthread_setname_np(pthread_self(), "ks-delivery");
	while (!atomic_load(&d->stopping)) {
		int64_t now_ms = dl_now_ms(), next_at = INT64_MAX;

		if (may_read(d)) {
			if (atomic_exchange(&d->shrink, false))
				ks_store_shrink(d->reader.store);
			read_news(d);
			hand_out(d, now_ms);
			write_results(d, now_ms);
			next_at = dl_wake_due(d, now_ms);
			dl_dispatch(d, now_ms);
			/* What was begun may set a time that is earlier; what was given up is written at once. */
			next_at = KS_MIN(next_at, d->heap_count > 0 ? d->heap[0]->wake_at : INT64_MAX);
			write_results(d, now_ms);
			trim(d, now_ms);
			look_around(d, now_ms);
		}
		atomic_store_explicit(&d->now_running, d->flying, memory_order_relaxed);
		ks_fetch_many_go(d->many, wait_of(next_at, now_ms));
	}
	return NULL;
}

/* ---- life ---- */

static bool make_results(struct ks_delivery *d)
{
	d->filling = calloc(1, sizeof(*d->filling));
	d->writing = calloc(1, sizeof(*d->writing));
	if (!d->filling || !d->writing)
		return false;
	d->filling->delivery = d->writing->delivery = d->fan_out.delivery = d->trim.delivery = d;
	return true;
}

enum ks_err ks_delivery_new(struct ks_engine *engine, const struct ks_delivery_options *options,
			    struct ks_delivery **ret_delivery)
{
	struct ks_delivery *d = calloc(1, sizeof(*d));
	enum ks_err err = KS_MEMORY;

	if (!d)
		return KS_MEMORY;
	d->engine = engine;
	d->options = *options;
	d->ready_tail = &d->ready;
	atomic_store(&d->news, true);
	if (make_results(d))
		err = ks_fetch_new(&options->fetch, &d->fetch);
	if (err == KS_OK)
		err = ks_fetch_many_new(d->fetch, 2 * options->concurrency, dl_ended, d, &d->many);
	if (err == KS_OK)
		err = ks_signer_new(engine, &d->signer);
	if (err != KS_OK) {
		ks_delivery_free(&d);
		return err;
	}
	*ret_delivery = d;
	return KS_OK;
}

enum ks_err ks_delivery_start(struct ks_delivery *d)
{
	if (pthread_create(&d->thread, NULL, deliver, d) != 0)
		return KS_SYSTEM;
	d->started = true;
	ks_engine_watch(d->engine, on_commit, d);
	return KS_OK;
}

/* The writer still holds them. */
static void wait_for(const bool *running, _Atomic bool *finished)
{
	const struct timespec moment = {0, 1000000};

	while (*running && !atomic_load(finished))
		(void)nanosleep(&moment, NULL);
}

void ks_delivery_stop(struct ks_delivery *d)
{
	if (!d || !d->started)
		return;
	ks_engine_watch(d->engine, NULL, NULL);
	atomic_store(&d->stopping, true);
	ks_fetch_many_wake(d->many);
	(void)pthread_join(d->thread, NULL);
	d->started = false;
	wait_for(&d->fan_out.running, &d->fan_out.finished);
	wait_for(&d->trim.running, &d->trim.finished);
	wait_for(&d->writing->running, &d->writing->finished);
	/* What is known of is written, so that it need not be sent again. The writer is at this job only once it has left those before, whose
	 * ends it told: nothing of ours is in its hands then. */
	d->filling->job = (struct ks_job){.run = run_writing, .ctx = d->filling};
	(void)ks_engine_run(d->engine, &d->filling->job);
}

void ks_delivery_free(struct ks_delivery **delivery)
{
	struct ks_delivery *d = *delivery;

	if (!d)
		return;
	ks_fetch_many_free(&d->many);
	ks_fetch_free(&d->fetch);
	ks_signer_free(&d->signer);
	if (d->reading)
		ks_engine_reader_close(&d->reader);
	dl_payloads_free(d);
	dl_endpoints_free(d);
	free(d->fan_out.touched);
	free(d->filling);
	free(d->writing);
	free(d);
	*delivery = NULL;
}

void ks_delivery_stats(struct ks_delivery *d, struct ks_delivery_stats *ret_stats)
{
	*ret_stats = (struct ks_delivery_stats){0};
	if (!d)
		return;
	ret_stats->events = atomic_load_explicit(&d->events, memory_order_relaxed);
	ret_stats->made = atomic_load_explicit(&d->made, memory_order_relaxed);
	for (size_t i = 0; i < KS_DELIVERY_OUTCOME_COUNT; i++)
		ret_stats->attempts[i] = atomic_load_explicit(&d->attempts[i], memory_order_relaxed);
	ret_stats->attempt_ms = atomic_load_explicit(&d->attempt_ms, memory_order_relaxed);
	ret_stats->disabled = atomic_load_explicit(&d->disabled, memory_order_relaxed);
	ret_stats->running = atomic_load_explicit(&d->now_running, memory_order_relaxed);
	ret_stats->endpoints = atomic_load_explicit(&d->now_endpoints, memory_order_relaxed);
	ret_stats->failing = atomic_load_explicit(&d->now_failing, memory_order_relaxed);
	ret_stats->behind = atomic_load_explicit(&d->now_behind, memory_order_relaxed);
	ret_stats->oldest_ms = atomic_load_explicit(&d->now_oldest_ms, memory_order_relaxed);
}
