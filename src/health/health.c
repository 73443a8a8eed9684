/* SPDX-License-Identifier: Apache-2.0 */
/* The scheduler, the workers, and what they share. */
#include "health/health.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "crypto/random.h"
#include "health/health_priv.h"
#include "store/vault.h"

#define TICK_MS 250
#define DUE_MAX (KS_HEALTH_QUEUE_MAX / 2) /* of those that wait; half of them for a worker, half for a host */
#define ADOPT_AT_ONCE 200
#define WRITE_AT_ONCE 64
#define WAITING_AT_ONCE 256
#define CANDIDATE_WAIT_MS 1000    /* a version that could not be tried is tried again; doubled with each time */
#define DOUBLINGS 5
#define CALL_FAILED_WAIT_MS 10000
#define CHORES_MS 10000
#define TRIM_AT_ONCE 1000
#define STACK_BYTES ((size_t)512 << 10)
#define RESERVED 2                /* workers that what is due leaves to what is urgent */
#define WANTING_MAX 4             /* where so many wait to compute, the processor is another's: no more is begun than can be ended in time */

int64_t ks_health_now_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t ks_health_tick_ms(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Without random numbers there is no jitter; nothing rests on it. */
static int64_t random_below(int64_t ms)
{
	uint32_t random = 0;

	if (ks_random(&random, sizeof(random)) != KS_OK)
		return ms / 2;
	return (int64_t)((uint64_t)random * (uint64_t)ms >> 32);
}

int64_t ks_health_jitter(int64_t ms)
{
	return ms - ms / 5 + random_below(ms / 5 * 2 + 1);
}

/* ---- what the threads share ---- */

static void on_fetch_wait(void *ctx, bool begins)
{
	if (begins)
		ks_health_wait(ctx);
	else
		ks_health_compute(ctx);
}

struct ks_engine_reader *ks_health_reader_take(struct ks_health *h)
{
	struct ks_engine_reader *found = NULL;

	(void)pthread_mutex_lock(&h->lock);
	while (!found) {
		for (size_t i = 0; i < KS_HEALTH_READERS && !found; i++) {
			if (!h->reader_busy[i])
				found = &h->readers[i];
		}
		if (!found)
			(void)pthread_cond_wait(&h->reader_free, &h->lock);
	}
	h->reader_busy[found - h->readers] = true;
	(void)pthread_mutex_unlock(&h->lock);
	if (!h->reader_open[found - h->readers]) {
		if (ks_engine_reader_open(h->engine, found) != KS_OK) {
			ks_health_reader_give(h, found);
			return NULL;
		}
		h->reader_open[found - h->readers] = true;
	}
	return found;
}

void ks_health_reader_give(struct ks_health *h, struct ks_engine_reader *reader)
{
	(void)pthread_mutex_lock(&h->lock);
	h->reader_busy[reader - h->readers] = false;
	(void)pthread_cond_signal(&h->reader_free);
	(void)pthread_mutex_unlock(&h->lock);
}

static bool is_known(const struct ks_health *h, uint64_t provider)
{
	for (size_t i = 0; i < h->queue_count; i++) {
		if (h->queue[i].provider == provider)
			return true;
	}
	for (size_t i = 0; i < h->options.threads; i++) {
		if (h->busy[i] == provider)
			return true;
	}
	for (size_t i = 0; i < h->found_count; i++) {
		if (h->found[i].provider == provider)
			return true;
	}
	return false;
}

static bool has_place(const struct ks_health *h, unsigned host)
{
	return h->hosts[host - 1] < h->options.per_host;
}

/* With the lock held. A worker is woken where one may begin. */
static bool queue(struct ks_health *h, const struct ks_health_work *work)
{
	size_t max = work->urgent ? KS_HEALTH_QUEUE_MAX : DUE_MAX;
	struct ks_health_work *w = NULL;

	for (size_t i = 0; i < h->queue_count && !w; i++) {
		if (h->queue[i].provider == work->provider)
			w = &h->queue[i];
	}
	if (w) {
		w->urgent = w->urgent || work->urgent;
		w->not_before_ms = KS_MIN(w->not_before_ms, work->not_before_ms);
		w->host = work->host ? work->host : w->host;
	} else if (h->queue_count >= max || h->stopping) {
		return false;
	} else {
		w = &h->queue[h->queue_count++];
		*w = *work;
	}
	if (!w->host || has_place(h, w->host))
		(void)pthread_cond_signal(&h->work);
	return true;
}

bool ks_health_queue(struct ks_health *h, uint64_t provider, int64_t not_before_ms, bool urgent)
{
	return queue(h, &(struct ks_health_work){.provider = provider, .not_before_ms = not_before_ms, .urgent = urgent});
}

/* With the lock held: the note about a provider, perhaps a new one in the place of the longest past. */
static struct ks_health_try *try_of(struct ks_health *h, uint64_t provider)
{
	struct ks_health_try *oldest = &h->tries[0];

	for (size_t i = 0; i < KS_HEALTH_TRIES; i++) {
		if (h->tries[i].provider == provider)
			return &h->tries[i];
		if (h->tries[i].again_ms < oldest->again_ms)
			oldest = &h->tries[i];
	}
	*oldest = (struct ks_health_try){.provider = provider};
	return oldest;
}

/* With the lock held: true, and noted, if the waiting version was not tried just now; each time it waits longer. */
static bool may_try(struct ks_health *h, uint64_t provider)
{
	struct ks_health_try *t = try_of(h, provider);
	int64_t now_ms = ks_health_tick_ms();

	if (t->again_ms > now_ms)
		return false;
	/* What has long been quiet begins anew. */
	t->count = t->again_ms && now_ms - t->again_ms < CANDIDATE_WAIT_MS << DOUBLINGS ? KS_MIN(t->count + 1, (unsigned)DOUBLINGS) : 0;
	t->again_ms = now_ms + ((int64_t)CANDIDATE_WAIT_MS << t->count);
	return true;
}

void ks_health_settled(struct ks_health *h, uint64_t provider)
{
	(void)pthread_mutex_lock(&h->lock);
	*try_of(h, provider) = (struct ks_health_try){.provider = provider};
	(void)pthread_mutex_unlock(&h->lock);
}

bool ks_health_host_take(struct ks_health *h, unsigned host)
{
	bool taken;

	(void)pthread_mutex_lock(&h->lock);
	taken = has_place(h, host);
	h->hosts[host - 1] += taken;
	(void)pthread_mutex_unlock(&h->lock);
	return taken;
}

void ks_health_host_give(struct ks_health *h, unsigned host)
{
	(void)pthread_mutex_lock(&h->lock);
	h->hosts[host - 1]--;
	(void)pthread_mutex_unlock(&h->lock);
}

/* With the lock held: how many wait for a host, and for this one. */
static size_t at_hosts(const struct ks_health *h, unsigned host, size_t *ret_there)
{
	size_t all = 0;

	*ret_there = 0;
	for (size_t i = 0; i < h->queue_count; i++) {
		all += h->queue[i].host != 0;
		*ret_there += h->queue[i].host == host;
	}
	return all;
}

/* With the lock held. What is due and waits for one host never takes more of the room than it leaves: however many hosts do not
 * answer, there is some for the others. */
static bool queue_at(struct ks_health *h, const struct ks_health_work *work, unsigned host)
{
	size_t there, all = at_hosts(h, host, &there);

	return (work->urgent || all + there < DUE_MAX / 2)
	       && queue(h, &(struct ks_health_work){.provider = work->provider, .urgent = work->urgent, .host = host});
}

bool ks_health_put_off(struct ks_health *h, const struct ks_health_work *work, unsigned host)
{
	bool ok;

	(void)atomic_fetch_add(&h->refused, 1);
	(void)pthread_mutex_lock(&h->lock);
	ok = queue_at(h, work, host);
	(void)pthread_mutex_unlock(&h->lock);
	return ok;
}

void ks_health_found(struct ks_health *h, const struct ks_health_found *found)
{
	(void)pthread_mutex_lock(&h->lock);
	/* The scheduler writes them four times a second; a worker that is faster waits for it. */
	while (h->found_count == KS_HEALTH_FOUND_MAX && !h->stopping) {
		(void)pthread_cond_signal(&h->wake);
		(void)pthread_cond_wait(&h->reader_free, &h->lock);
	}
	if (h->found_count < KS_HEALTH_FOUND_MAX)
		h->found[h->found_count++] = *found;
	if (h->found_count >= WRITE_AT_ONCE)
		(void)pthread_cond_signal(&h->wake);
	(void)pthread_mutex_unlock(&h->lock);
}

bool ks_health_ask(struct ks_health *h, uint64_t provider)
{
	bool ok;

	if (!h)
		return false;
	(void)pthread_mutex_lock(&h->lock);
	for (size_t i = 0; i < h->options.threads; i++) {
		if (h->busy[i] == provider)
			h->again[i] = true; /* what is under way may have begun before the change that is asked about */
	}
	ok = ks_health_queue(h, provider, 0, true);
	(void)pthread_mutex_unlock(&h->lock);
	return ok;
}

void ks_health_call_failed(struct ks_health *h, uint64_t provider)
{
	if (!h)
		return;
	(void)pthread_mutex_lock(&h->lock);
	if (!is_known(h, provider)) {
		struct ks_health_try *t = try_of(h, provider);
		int64_t at_ms = KS_MAX(t->again_ms, ks_health_tick_ms());

		(void)ks_health_queue(h, provider, at_ms, true);
		t->again_ms = at_ms + CALL_FAILED_WAIT_MS;
	}
	(void)pthread_mutex_unlock(&h->lock);
}

void ks_health_stats(struct ks_health *h, struct ks_health_stats *ret_stats)
{
	*ret_stats = (struct ks_health_stats){0};
	if (!h)
		return;
	(void)pthread_mutex_lock(&h->lock);
	memcpy(ret_stats->providers, h->counts, sizeof(h->counts));
	ret_stats->waiting = h->queue_count;
	for (size_t i = 0; i < h->options.threads; i++)
		ret_stats->running += h->busy[i] != 0;
	(void)pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < KS_HEALTH_STATUS_COUNT; i++)
		ret_stats->probes[i] = atomic_load(&h->probes[i]);
	ret_stats->refused = atomic_load(&h->refused);
}

/* ---- workers ---- */

static void wait_ms_on(pthread_cond_t *condition, struct ks_health *h, int64_t ms)
{
	struct timespec until;

	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += ms / 1000;
	until.tv_nsec += ms % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	(void)pthread_cond_timedwait(condition, &h->lock, &until);
}

static bool is_busy(const struct ks_health *h, uint64_t provider)
{
	for (size_t i = 0; i < h->options.threads; i++) {
		if (h->busy[i] == provider)
			return true;
	}
	return false;
}

static bool may_begin(const struct ks_health *h, const struct ks_health_work *w, int64_t now_ms)
{
	return w->not_before_ms <= now_ms && (!w->host || has_place(h, w->host)) && !is_busy(h, w->provider);
}

/* With the lock held, and so many workers running: the place of what is to be done next, which is what is urgent first, each
 * whose time has come and that nobody is at; with a place at its host, if that is known. SIZE_MAX: none. */
static size_t find_work(const struct ks_health *h, size_t running)
{
	bool urgent_only = running + RESERVED >= h->options.threads || atomic_load(&h->wanting) >= WANTING_MAX;
	int64_t now_ms = ks_health_tick_ms();
	size_t best = SIZE_MAX;

	for (size_t i = 0; i < h->queue_count; i++) {
		const struct ks_health_work *w = &h->queue[i];

		if ((!w->urgent && (urgent_only || best != SIZE_MAX)) || !may_begin(h, w, now_ms))
			continue;
		best = i;
		if (w->urgent)
			break;
	}
	return best;
}

static bool take_work(struct ks_health *h, struct ks_health_work *ret_work)
{
	size_t running = 0, at;

	for (size_t i = 0; i < h->options.threads; i++)
		running += h->busy[i] != 0;
	at = find_work(h, running);
	if (at == SIZE_MAX)
		return false;
	*ret_work = h->queue[at];
	if (ret_work->host)
		h->hosts[ret_work->host - 1]++;
	h->queue_count--;
	memmove(&h->queue[at], &h->queue[at + 1], (h->queue_count - at) * sizeof(h->queue[0]));
	/* Who comes to its end looks for more by itself; nobody else is woken for nothing. */
	if (find_work(h, running + 1) != SIZE_MAX)
		(void)pthread_cond_signal(&h->work);
	return true;
}

struct starting {
	struct ks_health *health;
	size_t number;
};

static void *work(void *ctx)
{
	struct starting s = *(struct starting *)ctx;
	struct ks_health *h = s.health;

	free(ctx);
	ks_health_step_back();
	(void)pthread_mutex_lock(&h->lock);
	while (!h->stopping) {
		struct ks_health_work w;

		if (!take_work(h, &w)) {
			wait_ms_on(&h->work, h, TICK_MS);
			continue;
		}
		h->busy[s.number] = w.provider;
		(void)pthread_mutex_unlock(&h->lock);
		ks_health_hurry(w.urgent);
		ks_health_compute(h);
		ks_health_probe(h, &w);
		ks_health_wait(h);
		(void)pthread_mutex_lock(&h->lock);
		h->busy[s.number] = 0;
		if (h->again[s.number])
			(void)ks_health_queue(h, w.provider, 0, true);
		h->again[s.number] = false;
	}
	(void)pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* ---- the scheduler ---- */

struct writing {
	struct ks_health_found found[WRITE_AT_ONCE];
	size_t count;
	uint64_t failures;
};

static struct writing *new_writing(const struct ks_health *h)
{
	struct writing *w = calloc(1, sizeof(*w));

	if (w)
		w->failures = h->options.failures;
	return w;
}

static enum ks_err run_writing(struct ks_job *job, struct ks_tx *tx)
{
	const struct writing *w = job->ctx;

	for (size_t i = 0; i < w->count; i++)
		KS_TRY(ks_health_record(tx, &w->found[i], w->failures));
	return KS_OK;
}

static void say(const struct ks_health *h, const char *event, const char *text)
{
	if (h->options.log)
		h->options.log(h->options.log_ctx, 2, event, text);
}

/* With the lock held; let go of meanwhile. What could not be written is found out anew when it is due. */
static void write_found(struct ks_health *h, struct writing *w)
{
	while (h->found_count > 0) {
		struct ks_job job = {.run = run_writing, .ctx = w};
		enum ks_err err;

		w->count = KS_MIN(h->found_count, (size_t)WRITE_AT_ONCE);
		memcpy(w->found, h->found, w->count * sizeof(w->found[0]));
		(void)pthread_mutex_unlock(&h->lock);
		err = ks_engine_run(h->engine, &job);
		if (err != KS_OK)
			say(h, "health_not_written", ks_err_text(err));
		(void)pthread_mutex_lock(&h->lock);
		h->found_count -= w->count;
		memmove(h->found, &h->found[w->count], h->found_count * sizeof(h->found[0]));
		(void)pthread_cond_broadcast(&h->reader_free);
	}
}

struct adopting {
	struct ks_health *health;
	struct ks_store *store;
	uint64_t ids[ADOPT_AT_ONCE];
	int64_t due_at[ADOPT_AT_ONCE];
	size_t count;
};

static enum ks_err has_row(void *ctx, const struct ks_health_row *row)
{
	(void)row;
	*(bool *)ctx = true;
	return KS_OK;
}

/* One that is new is looked at soon; those that were there before the service was are spread over a whole interval. */
static enum ks_err note_orphan(void *ctx, const struct ks_provider_row *row)
{
	struct adopting *a = ctx;
	struct ks_health *h = a->health;
	bool found = false;
	enum ks_err err = ks_store_health_get(a->store, row->id, has_row, &found);

	h->adopted = row->id;
	if (err == KS_OK || err != KS_NOT_FOUND)
		return err;
	a->ids[a->count] = row->id;
	a->due_at[a->count++] = h->options.interval_ms == 0 ? KS_TIME_NONE
				: row->created_at >= h->started_at
					? ks_health_now_ms() + 1000
					: ks_health_now_ms() + random_below(h->options.interval_ms);
	return KS_OK;
}

static enum ks_err run_adopting(struct ks_job *job, struct ks_tx *tx)
{
	const struct adopting *a = job->ctx;

	for (size_t i = 0; i < a->count; i++)
		KS_TRY(ks_health_adopt(tx, a->ids[i], a->due_at[i]));
	return KS_OK;
}

static void adopt(struct ks_health *h, struct ks_engine_reader *reader)
{
	struct adopting a = {.health = h, .store = reader->store};
	struct ks_job job = {.run = run_adopting, .ctx = &a};
	uint64_t from = h->adopted;

	if (ks_store_providers_after(reader->store, from, ADOPT_AT_ONCE, note_orphan, &a) != KS_OK
	    || (a.count > 0 && ks_engine_run(h->engine, &job) != KS_OK))
		h->adopted = from;
}

static enum ks_err note_waiting(void *ctx, const struct ks_provider_row *row)
{
	struct ks_health *h = ctx;

	h->waiting_seen = row->id;
	h->waiting_count++;
	(void)pthread_mutex_lock(&h->lock);
	if (!is_known(h, row->id) && may_try(h, row->id))
		(void)ks_health_queue(h, row->id, 0, true);
	(void)pthread_mutex_unlock(&h->lock);
	return KS_OK;
}

/* A part at a time, so that those whose platforms do not answer keep nobody from their turn. */
static enum ks_err look_at_waiting(struct ks_health *h, struct ks_store *store)
{
	enum ks_err err;

	h->waiting_count = 0;
	err = ks_store_providers_waiting(store, h->waiting_seen, WAITING_AT_ONCE, note_waiting, h);
	if (h->waiting_count < WAITING_AT_ONCE)
		h->waiting_seen = 0;
	return err;
}

struct due {
	struct ks_health *health;
	struct ks_store *store;
	size_t left;
	unsigned host;               /* of the provider that is looked at */
};

static enum ks_err note_host(void *ctx, const struct ks_provider_row *row)
{
	struct due *d = ctx;

	d->host = ks_health_host_of(d->health, row->platform);
	return KS_OK;
}

static enum ks_err note_due(void *ctx, const struct ks_health_row *row)
{
	struct due *d = ctx;
	struct ks_health *h = d->health;
	bool known;
	enum ks_err err;

	(void)pthread_mutex_lock(&h->lock);
	known = is_known(h, row->provider);
	(void)pthread_mutex_unlock(&h->lock);
	if (d->left == 0 || known)
		return KS_OK;
	d->host = 0;
	err = ks_store_provider_get(d->store, row->provider, note_host, d);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	(void)pthread_mutex_lock(&h->lock);
	/* What finds no room at its host waits for a worker, who puts it off. */
	if ((d->host && queue_at(h, &(struct ks_health_work){.provider = row->provider}, d->host))
	    || ks_health_queue(h, row->provider, 0, false))
		d->left--;
	(void)pthread_mutex_unlock(&h->lock);
	return KS_OK;
}

static void do_chores(struct ks_health *h, struct ks_engine_reader *reader)
{
	uint64_t counts[KS_HEALTH_STATUS_COUNT];

	if (ks_store_health_counts(reader->store, counts) != KS_OK)
		return;
	(void)pthread_mutex_lock(&h->lock);
	memcpy(h->counts, counts, sizeof(counts));
	(void)pthread_mutex_unlock(&h->lock);
}

static enum ks_err run_trim(struct ks_job *job, struct ks_tx *tx)
{
	const struct ks_health *h = job->ctx;
	uint64_t trimmed;

	return ks_store_health_trim(tx->store, tx->now_ms - h->options.keep_ms, TRIM_AT_ONCE, &trimmed);
}

/* So many that are due are looked at that `left` of them are new; as few as there is room for. */
static size_t due_limit(struct ks_health *h, size_t *left)
{
	size_t known, fresh, there;

	(void)pthread_mutex_lock(&h->lock);
	known = h->queue_count + h->options.threads + h->found_count;
	fresh = h->queue_count - at_hosts(h, 0, &there);
	(void)pthread_mutex_unlock(&h->lock);
	*left = KS_MIN(*left, fresh < DUE_MAX / 2 ? DUE_MAX / 2 - fresh : (size_t)0);
	return KS_MIN(known + *left, (size_t)KS_HEALTH_QUEUE_MAX);
}

/* What is to be done with the store, without the lock. `room`: due probes that may be begun. Returns how many were. */
static size_t look(struct ks_health *h, size_t room)
{
	struct ks_engine_reader *reader = ks_health_reader_take(h);
	struct due d = {.health = h, .left = room};
	size_t limit = due_limit(h, &d.left), begun = d.left;
	enum ks_err err;

	if (!reader)
		return 0;
	d.store = reader->store;
	adopt(h, reader);
	err = look_at_waiting(h, reader->store);
	if (err == KS_OK && d.left > 0 && h->options.interval_ms)
		err = ks_store_health_due(reader->store, ks_health_now_ms(), limit, note_due, &d);
	ks_health_reader_give(h, reader);
	if (err != KS_OK)
		say(h, "health_not_read", ks_err_text(err));
	return begun - d.left;
}

static void tidy(struct ks_health *h)
{
	struct ks_engine_reader *reader = ks_health_reader_take(h);
	struct ks_job job = {.run = run_trim, .ctx = h};

	if (reader) {
		do_chores(h, reader);
		ks_health_reader_give(h, reader);
	}
	if (h->options.keep_ms)
		(void)ks_engine_run(h->engine, &job);
}

static void *schedule(void *ctx)
{
	struct ks_health *h = ctx;
	struct writing *w = new_writing(h);
	int64_t looked_ms = ks_health_tick_ms() - TICK_MS, chores_ms = 0;
	double credit = 0; /* of due probes that may be begun */

	ks_health_step_back();
	(void)pthread_mutex_lock(&h->lock);
	while (w && !h->stopping) {
		int64_t now_ms = ks_health_tick_ms();

		write_found(h, w);
		if (now_ms - looked_ms >= TICK_MS) {
			credit += (double)h->options.per_second * (double)(now_ms - looked_ms) / 1000;
			credit = KS_MIN(credit, (double)h->options.per_second);
			looked_ms = now_ms;
			(void)pthread_mutex_unlock(&h->lock);
			ks_health_look_around(h);
			credit -= (double)look(h, (size_t)credit);
			if (now_ms >= chores_ms) {
				tidy(h);
				chores_ms = now_ms + CHORES_MS;
			}
			(void)pthread_mutex_lock(&h->lock);
			continue;
		}
		wait_ms_on(&h->wake, h, TICK_MS);
	}
	(void)pthread_mutex_unlock(&h->lock);
	free(w);
	return NULL;
}

/* ---- life ---- */

enum ks_err ks_health_new(struct ks_engine *engine, const struct ks_health_options *options, struct ks_health **ret_health)
{
	struct ks_health *h = calloc(1, sizeof(*h));
	struct ks_fetch_options fetch = options->fetch;
	pthread_condattr_t attributes;
	enum ks_err err;

	if (!h)
		return KS_MEMORY;
	h->engine = engine;
	h->options = *options;
	h->options.threads = KS_MAX(KS_MIN(options->threads, (unsigned)KS_HEALTH_THREADS_MAX), RESERVED + 1u);
	h->started_at = ks_health_now_ms();
	(void)pthread_mutex_init(&h->computing, NULL);
	(void)pthread_mutex_init(&h->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&h->work, &attributes);
	(void)pthread_cond_init(&h->wake, &attributes);
	(void)pthread_cond_init(&h->reader_free, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	h->found = calloc(KS_HEALTH_FOUND_MAX, sizeof(*h->found));
	h->stat = malloc(KS_HEALTH_STAT_MAX);
	/* As many as there are probes at a time, so that none reads the authorities anew. */
	fetch.idle_max = KS_MIN(h->options.threads, KS_FETCH_IDLE_MAX);
	fetch.on_wait = on_fetch_wait;
	fetch.on_wait_ctx = h;
	err = h->found && h->stat ? ks_fetch_new(&fetch, &h->fetch) : KS_MEMORY;
	if (err != KS_OK)
		ks_health_free(&h);
	else
		*ret_health = h;
	return err;
}

static enum ks_err add_thread(struct ks_health *h, void *(*run)(void *), void *ctx)
{
	pthread_attr_t attributes;
	int failed;

	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	failed = pthread_create(&h->threads[h->thread_count], &attributes, run, ctx);
	(void)pthread_attr_destroy(&attributes);
	if (failed)
		return KS_SYSTEM;
	h->thread_count++;
	return KS_OK;
}

enum ks_err ks_health_start(struct ks_health *h)
{
	KS_TRY(add_thread(h, schedule, h));
	for (size_t i = 0; i < h->options.threads; i++) {
		struct starting *s = malloc(sizeof(*s));

		if (!s)
			return KS_MEMORY;
		*s = (struct starting){h, i};
		if (add_thread(h, work, s) != KS_OK) {
			free(s);
			return KS_SYSTEM;
		}
	}
	return KS_OK;
}

void ks_health_stop(struct ks_health *h)
{
	struct writing *w;

	if (!h || h->thread_count == 0)
		return;
	(void)pthread_mutex_lock(&h->lock);
	h->stopping = true;
	(void)pthread_cond_broadcast(&h->work);
	(void)pthread_cond_broadcast(&h->wake);
	(void)pthread_cond_broadcast(&h->reader_free);
	(void)pthread_mutex_unlock(&h->lock);
	ks_fetch_stop(h->fetch);
	for (size_t i = 0; i < h->thread_count; i++)
		(void)pthread_join(h->threads[i], NULL);
	h->thread_count = 0;
	w = new_writing(h);
	(void)pthread_mutex_lock(&h->lock);
	if (w)
		write_found(h, w);
	(void)pthread_mutex_unlock(&h->lock);
	free(w);
}

void ks_health_free(struct ks_health **health)
{
	struct ks_health *h = *health;

	if (!h)
		return;
	ks_health_stop(h);
	for (size_t i = 0; i < KS_HEALTH_READERS; i++) {
		if (h->reader_open[i])
			ks_engine_reader_close(&h->readers[i]);
	}
	ks_fetch_free(&h->fetch);
	(void)pthread_cond_destroy(&h->reader_free);
	(void)pthread_cond_destroy(&h->wake);
	(void)pthread_cond_destroy(&h->work);
	(void)pthread_mutex_destroy(&h->lock);
	(void)pthread_mutex_destroy(&h->computing);
	free(h->stat);
	free(h->found);
	free(h);
	*health = NULL;
}
