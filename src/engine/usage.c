/* SPDX-License-Identifier: Apache-2.0 */
/* Counted uses on their way from the ring's counters into the truth. Drained in slices into the journal, summed up,
 * written in jobs like any other change; what is in the journal when the process is killed is written by the next. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "engine/links.h"
#include "engine/sources.h"
#include "engine/people_priv.h"

#define ROWS_LEAST 512         /* of a job: other jobs wait for about a millisecond */
#define ROWS_MOST 20000
#define PREVIOUS_KEPT_MS 5000  /* a reader that was deciding at the switch has finished long before */
#define CHORES_EVERY_MS 60000
#define DAY_MS INT64_C(86400000)
#define MINUTES_KEPT_MS (3 * DAY_MS)
#define HOURS_KEPT_MS (90 * DAY_MS)
#define IDEMPOTENCY_KEPT_MS DAY_MS
#define FOLD_AT_ONCE 2000
#define TRIM_AT_ONCE 2000
#define ENDS_EVERY_MS 1000
#define ENDS_JOBS 32           /* in a row; other jobs have their turn between them */
#define WALK_CHORES 1440u      /* the walk over all keys takes a day of chores */
#define LINKS_EVERY_MS 1000
#define MINUTE_MS 60000
#define TEND_EVERY_MS 2000
#define TEND_JOBS 16         /* at one look */
#define SWEEP_EVERY_MS 15000   /* less where sessions end sooner */
#define SWEEP_EVERY_LEAST_MS 250
#define SESSIONS_KEPT_MS (30 * DAY_MS)
#define SESSIONS_AT_ONCE 500

/* ---- draining ---- */

/* The usage file is open to every reader: a slot without a key, or a time that is not yet, is not believed. Of
 * sessions the last use alone is kept, of issuers nothing. */
struct draining {
	struct ks_usage_journal *journal;
	const struct ks_ring *ring;
	int64_t now_ms;
};

static void take_item(void *ctx, const struct ks_usage_item *item)
{
	const struct draining *d = ctx;
	const struct ks_ring *ring = d->ring;
	int64_t now_ms = d->now_ms;
	const struct ks_ring_key *key;
	uint32_t state;
	bool session;

	if (item->slot >= ring->header->geometry.key_slots || (unsigned)item->reason >= KS_REASON_COUNT)
		return;
	key = &ring->keys[item->slot];
	state = atomic_load_explicit(&key->state, memory_order_acquire);
	session = KS_KEY_KIND(state) == KS_KIND_SESSION;
	if (!(state & KS_KEY_LIVE)
	    || (session && (item->reason != KS_REASON_OK || KS_KEY_BINDING(state) != KS_BINDING_USER)))
		return;
	ks_usage_journal_add(d->journal, &(struct ks_usage_entry){
		.key = key->id,
		.minute = now_ms - now_ms % MINUTE_MS,
		.count = item->count,
		.last_ms = item->last_ms == KS_TIME_NONE || item->last_ms < 0 ? KS_TIME_NONE
									      : KS_MIN(item->last_ms, now_ms),
		.address = item->address,
		.reason = (uint16_t)item->reason,
		.scope = session ? KS_USAGE_NO_SCOPE : item->scope,
		.session = session,
	});
}

/* One slice of one generation's counters, into the empty journal. `previous`: of the older one. False at the end of a
 * round. */
static bool drain_slice(struct ks_engine *engine, bool previous, uint64_t *generation, uint64_t *cursor)
{
	const struct ks_ring *ring;

	pthread_mutex_lock(&engine->ring_lock);
	ring = previous ? ks_ringmap_writer_previous(engine->ringmap) : ks_ringmap_writer_ring(engine->ringmap);
	if (ring && ring->header->generation != *generation) {
		*generation = ring->header->generation;
		*cursor = 0;
	}
	if (ring && ring->usage) {
		struct draining d = {&engine->usage.journal, ring, ks_engine_now_ms()};

		(void)ks_usage_drain_to(ring->usage, cursor, take_item, &d, KS_USAGE_JOURNAL_MAX);
	}
	pthread_mutex_unlock(&engine->ring_lock);
	return ring && *cursor != 0;
}

static void drop_previous(struct ks_engine *engine)
{
	pthread_mutex_lock(&engine->ring_lock);
	if (ks_ringmap_writer_previous(engine->ringmap)
	    && ks_engine_now_ms() - engine->previous_since_ms > PREVIOUS_KEPT_MS)
		ks_ringmap_writer_drop_previous(engine->ringmap);
	pthread_mutex_unlock(&engine->ring_lock);
}

/* ---- summing up ---- */

static int by_pair(const void *a, const void *b)
{
	const struct ks_usage_entry *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	if (x->minute != y->minute)
		return x->minute < y->minute ? -1 : 1;
	if (x->reason != y->reason)
		return x->reason < y->reason ? -1 : 1;
	if (x->scope != y->scope)
		return x->scope < y->scope ? -1 : 1;
	return 0;
}

/* In one order, however the entries came: what is written again after a stop must be cut where it was before. */
static int by_all(const void *a, const void *b)
{
	const struct ks_usage_entry *x = a, *y = b;
	int pair = by_pair(a, b);

	if (pair != 0)
		return pair;
	if (x->count != y->count)
		return x->count < y->count ? -1 : 1;
	return (x->last_ms > y->last_ms) - (x->last_ms < y->last_ms);
}

static void merge(struct ks_usage_entry *into, const struct ks_usage_entry *from)
{
	into->count += from->count;
	if (from->last_ms > into->last_ms) {
		into->last_ms = from->last_ms;
		into->address = from->address;
	}
}

/* One entry for each key, minute, reason and scope. What one row of the store cannot hold stays two. */
static void sum_up(struct ks_usage_state *u)
{
	size_t kept = 0;

	if (u->entry_count == 0)
		return;
	qsort(u->entries, u->entry_count, sizeof(*u->entries), by_all);
	for (size_t i = 1; i < u->entry_count; i++) {
		if (by_pair(&u->entries[kept], &u->entries[i]) == 0
		    && u->entries[kept].count + u->entries[i].count <= UINT32_MAX)
			merge(&u->entries[kept], &u->entries[i]);
		else
			u->entries[++kept] = u->entries[i];
	}
	u->entry_count = kept + 1;
}

/* ---- writing ---- */

struct batch {
	struct ks_job job;
	const struct ks_usage_entry *entries;
	size_t count;
	uint64_t number;             /* of the journal's batch */
	size_t done;                 /* entries of it that are in the truth with these */
};

static struct ks_notice_use use_of(const struct ks_usage_entry *e)
{
	/* It was allowed some time in that minute at the latest. */
	return (struct ks_notice_use){e->key, e->last_ms == KS_TIME_NONE ? e->minute : e->last_ms, e->address};
}

static enum ks_err add_entry(struct ks_tx *tx, const struct ks_usage_entry *e)
{
	char address[KS_ADDR_TEXT_SIZE] = "";
	int64_t last_ms = KS_TIME_NONE;

	if (e->reason == KS_REASON_OK) {
		last_ms = use_of(e).at;
		if (!ks_addr_is_zero(&e->address))
			ks_addr_format(&e->address, address);
	}
	for (uint64_t left = e->count; left > 0;) {
		uint64_t part = KS_MIN(left, UINT32_MAX);
		struct ks_usage_row row = {
			.key = e->key,
			.minute = e->minute,
			.reason = (enum ks_reason)e->reason,
			.scope = ks_scope_name(tx->ring->scopes, e->scope),
			.count = part,
		};

		KS_TRY(ks_store_usage_add(tx->store, &row, last_ms, ks_str_c(address)));
		left -= part;
	}
	return KS_OK;
}

/* ---- what is noticed on the way ---- */

static struct ks_use_memo memo_of(const struct ks_usage_entry *e)
{
	struct ks_use_memo memo = {.key = e->key, .day = use_of(e).at / DAY_MS};

	/* The first 48 bits of IPv6, or the first 24 of IPv4, which stand behind ten zeros and two ones. */
	for (size_t i = 0; i < 6; i++)
		memo.network = memo.network << 8 | e->address.bytes[i];
	if (memo.network == 0) {
		for (size_t i = 10; i < 15; i++)
			memo.network = memo.network << 8 | e->address.bytes[i];
	}
	return memo;
}

static struct ks_use_memo *memo_at(const struct ks_usage_state *u, const struct ks_use_memo *memo)
{
	static const uint64_t seed[2] = {1, 2};

	return &u->memos[ks_mix64(memo->key ^ memo->network, seed) % KS_USE_MEMOS];
}

static enum ks_err notice_use(struct ks_tx *tx, const struct ks_usage_entry *e)
{
	const struct ks_usage_state *u = &tx->engine->usage;
	struct ks_use_memo memo = memo_of(e);
	struct ks_notice_use use = use_of(e);
	const struct ks_use_memo *known;

	if (e->reason != KS_REASON_OK || !u->memos)
		return KS_OK;
	known = memo_at(u, &memo);
	if (known->key == memo.key && known->network == memo.network && known->day == memo.day)
		return KS_OK;
	return ks_notice_use(tx, &use);
}

static bool is_denial(const struct ks_usage_entry *e)
{
	return e->reason != KS_REASON_OK && e->reason != KS_REASON_RATE_LIMITED;
}

/* Entries are sorted by key. */
static enum ks_err notice_denials(struct ks_tx *tx, const struct ks_usage_entry *entries, size_t count)
{
	uint64_t last = 0;

	for (size_t i = 0; i < count; i++) {
		if (is_denial(&entries[i]) && entries[i].key != last)
			KS_TRY(ks_notice_denials(tx, last = entries[i].key));
	}
	return KS_OK;
}

/* What is durable needs no second look. */
static void remember(struct ks_usage_state *u, const struct ks_usage_entry *entries, size_t count)
{
	for (size_t i = 0; u->memos && i < count; i++) {
		struct ks_use_memo memo = memo_of(&entries[i]);

		if (entries[i].reason == KS_REASON_OK && !entries[i].session)
			*memo_at(u, &memo) = memo;
	}
}

static enum ks_err add_session(struct ks_tx *tx, const struct ks_usage_entry *e)
{
	char address[KS_ADDR_TEXT_SIZE] = "";

	if (!ks_addr_is_zero(&e->address))
		ks_addr_format(&e->address, address);
	return ks_store_session_used(tx->store, e->key, e->count, e->last_ms == KS_TIME_NONE ? e->minute : e->last_ms,
				     ks_str_c(address));
}

static enum ks_err run_batch(struct ks_job *job, struct ks_tx *tx)
{
	const struct batch *batch = job->ctx;

	for (size_t i = 0; i < batch->count; i++) {
		const struct ks_usage_entry *e = &batch->entries[i];

		if (e->session) {
			KS_TRY(add_session(tx, e));
			continue;
		}
		KS_TRY(notice_use(tx, e));
		KS_TRY(add_entry(tx, e));
	}
	KS_TRY(notice_denials(tx, batch->entries, batch->count));
	return ks_store_usage_mark_put(tx->store, &(struct ks_usage_mark){batch->number, batch->done});
}

/* The more is waiting, the larger the jobs: a commit each costs more than what others wait. */
static size_t rows_of_job(size_t waiting)
{
	return KS_MIN(KS_MAX(waiting / 8, (size_t)ROWS_LEAST), (size_t)ROWS_MOST);
}

/* Brings the journal's batch into the truth, from where an earlier attempt or an earlier process stopped. */
static enum ks_err write_journal(struct ks_engine *engine)
{
	struct ks_usage_state *u = &engine->usage;
	uint64_t number = ks_usage_journal_batch(&u->journal), sum = 0;
	enum ks_err err = KS_OK;
	size_t rows;

	u->entry_count = ks_usage_journal_read(&u->journal, u->entries);
	sum_up(u);
	rows = rows_of_job(u->entry_count);
	while (u->written < u->entry_count && err == KS_OK) {
		struct batch batch = {
			.entries = &u->entries[u->written], .count = KS_MIN(rows, u->entry_count - u->written), .number = number};

		batch.done = u->written + batch.count;
		batch.job = (struct ks_job){.run = run_batch, .ctx = &batch};
		err = ks_engine_run(engine, &batch.job);
		if (err != KS_OK)
			break;
		for (size_t i = 0; i < batch.count; i++)
			sum += batch.entries[i].count;
		remember(u, batch.entries, batch.count);
		u->written = batch.done;
	}
	if (err == KS_OK && ks_usage_journal_count(&u->journal) > 0) {
		ks_usage_journal_next(&u->journal, number + 1);
		u->written = 0;
	}
	pthread_mutex_lock(&engine->stats_lock);
	engine->stats.usage_flushed += sum;
	pthread_mutex_unlock(&engine->stats_lock);
	return err;
}

static void note_lost(struct ks_engine *engine)
{
	struct ks_usage_state *u = &engine->usage;
	const struct ks_ring *ring;

	pthread_mutex_lock(&engine->ring_lock);
	ring = ks_ringmap_writer_ring(engine->ringmap);
	if (ring->header->generation != u->lost_generation) {
		u->lost_generation = ring->header->generation;
		u->lost_before += u->lost_here;
	}
	u->lost_here = ring->usage ? ks_usage_lost(ring->usage) : 0;
	pthread_mutex_unlock(&engine->ring_lock);
	pthread_mutex_lock(&engine->stats_lock);
	engine->stats.usage_lost = u->lost_before + u->lost_here;
	pthread_mutex_unlock(&engine->stats_lock);
}

static enum ks_err flush(struct ks_engine *engine)
{
	uint64_t generation = 0, cursor = 0;
	enum ks_err err = write_journal(engine);
	bool more = true;

	/* The older generation first: its counts are the older ones. */
	for (int round = 0; round < 2 && err == KS_OK; round++, more = true) {
		while (more && err == KS_OK) {
			more = drain_slice(engine, round == 0, &generation, &cursor);
			err = write_journal(engine);
		}
		generation = cursor = 0;
	}
	if (err == KS_OK)
		drop_previous(engine);
	note_lost(engine);
	return err;
}

/* ---- chores ---- */

/* *job->ctx: there is more to do. */
static enum ks_err run_chores(struct ks_job *job, struct ks_tx *tx)
{
	bool *more = job->ctx, inbound = false;
	size_t folded = 0;
	uint64_t trimmed = 0;

	KS_TRY(ks_store_usage_fold(tx->store, tx->now_ms - MINUTES_KEPT_MS, tx->now_ms - HOURS_KEPT_MS, FOLD_AT_ONCE,
				   &folded));
	KS_TRY(ks_store_events_trim(tx->store, tx->now_ms - tx->engine->options.events_keep_days * DAY_MS, TRIM_AT_ONCE,
				    &trimmed));
	KS_TRY(ks_inbound_tend(tx, &inbound));
	*more = folded == FOLD_AT_ONCE || trimmed == TRIM_AT_ONCE || inbound;
	KS_TRY(ks_store_sessions_forget(tx->store, tx->now_ms - SESSIONS_KEPT_MS, SESSIONS_AT_ONCE));
	return ks_store_idempotency_trim(tx->store, tx->now_ms - IDEMPOTENCY_KEPT_MS);
}

/* Runs one of those below as a job. */
static void notice_by(struct ks_engine *engine, enum ks_err (*run)(struct ks_job *job, struct ks_tx *tx), void *ctx)
{
	struct ks_job job = {.run = run, .ctx = ctx};
	enum ks_err err = ks_engine_run(engine, &job);

	if (err != KS_OK && err != KS_STOPPING)
		ks_engine_say(engine, 2, "notice_failed", "%s", ks_err_text(err));
}

static enum ks_err walk(struct ks_job *job, struct ks_tx *tx)
{
	(void)job;
	return ks_notice_walk(tx);
}

static enum ks_err run_ends(struct ks_job *job, struct ks_tx *tx)
{
	return ks_notice_ends(tx, job->ctx);
}

static enum ks_err run_unknown(struct ks_job *job, struct ks_tx *tx)
{
	const uint64_t *count = job->ctx;

	return ks_notice_unknown(tx, *count);
}

/* What depends on time alone. */
static void notice(struct ks_engine *engine)
{
	const struct ks_notice_options *o = &engine->options.notice;
	struct ks_usage_state *u = &engine->usage;
	int64_t now_ms = ks_engine_now_ms();
	uint64_t count = 0;
	bool more = false;

	if (o->unknown_total
	    && ks_notice_take_unknown(&u->unknown, o->unknown_total(o->ctx), now_ms, o->unknown, o->denials_ms, &count))
		notice_by(engine, run_unknown, &count);
	if (o->lead_count == 0 || now_ms < u->next_ends_ms)
		return;
	for (int i = 0; i < ENDS_JOBS && (i == 0 || more); i++) {
		more = false;
		notice_by(engine, run_ends, &more);
	}
	/* Many segments take longer: at most a hundredth of the time goes there. */
	u->next_ends_ms = more ? now_ms : now_ms + KS_MAX((int64_t)ENDS_EVERY_MS, 100 * (ks_engine_now_ms() - now_ms));
}

/* Old counts become coarser, old answers and events are forgotten. A little at a time. */
static void do_chores(struct ks_engine *engine)
{
	bool more = false;
	struct ks_job job = {.run = run_chores, .ctx = &more};
	int64_t now_ms = ks_engine_now_ms();
	uint64_t steps = atomic_load_explicit(&engine->keys_known, memory_order_relaxed) / WALK_CHORES / KS_NOTICE_WALK_KEYS;
	enum ks_err err;

	if (now_ms < engine->usage.next_chores_ms)
		return;
	for (uint64_t i = 0; i <= steps; i++)
		notice_by(engine, walk, NULL);
	err = ks_engine_run(engine, &job);
	if (err != KS_OK)
		ks_engine_say(engine, 2, "chores_failed", "%s", ks_err_text(err));
	engine->usage.next_chores_ms = err == KS_OK && more ? now_ms : now_ms + CHORES_EVERY_MS;
}

static int64_t sweep_every_ms(const struct ks_engine *engine)
{
	int64_t part = engine->options.session_idle_ms / 4;

	return KS_MAX(KS_MIN(part, SWEEP_EVERY_MS), SWEEP_EVERY_LEAST_MS);
}

static enum ks_err run_tend(struct ks_job *job, struct ks_tx *tx)
{
	return ks_vault_tend(tx, job->ctx);
}

/* Values that no call is on any more are erased, leases that have ended are forgotten. */
static void tend_vault(struct ks_engine *engine)
{
	int64_t now_ms = ks_engine_now_ms();
	bool more = true;

	if (now_ms < engine->usage.next_tend_ms)
		return;
	for (int i = 0; i < TEND_JOBS && more; i++) {
		more = false;
		notice_by(engine, run_tend, &more);
	}
	engine->usage.next_tend_ms = now_ms + (more ? 0 : TEND_EVERY_MS);
}

/* After a flush: what was used up to it is known. */
static void sweep_sessions(struct ks_engine *engine)
{
	int64_t now_ms = ks_engine_now_ms();

	if (now_ms < engine->usage.next_sweep_ms)
		return;
	ks_sessions_sweep(engine);
	engine->usage.next_sweep_ms = now_ms + sweep_every_ms(engine);
}

static void sweep_links(struct ks_engine *engine)
{
	int64_t now_ms = ks_engine_now_ms();

	if (now_ms < engine->usage.next_links_ms)
		return;
	ks_links_sweep(engine);
	engine->usage.next_links_ms = now_ms + LINKS_EVERY_MS;
}

/* ---- the thread ---- */

static struct timespec deadline_in(unsigned ms)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += ms / 1000;
	t.tv_nsec += (long)(ms % 1000) * 1000000;
	if (t.tv_nsec >= 1000000000) {
		t.tv_sec++;
		t.tv_nsec -= 1000000000;
	}
	return t;
}

/* Until somebody asks, or it is time. True: go on; *ret_asked is what this flush answers. */
static bool wait_for_work(struct ks_usage_state *u, unsigned flush_ms, uint64_t *ret_asked)
{
	struct timespec until = deadline_in(flush_ms);
	bool go_on;

	pthread_mutex_lock(&u->lock);
	while (u->asked == u->answered && !u->stopping) {
		if (pthread_cond_timedwait(&u->wake, &u->lock, &until) == ETIMEDOUT)
			break;
	}
	*ret_asked = u->asked;
	go_on = !u->stopping;
	pthread_mutex_unlock(&u->lock);
	return go_on;
}

static void answer(struct ks_usage_state *u, uint64_t asked, enum ks_err err)
{
	pthread_mutex_lock(&u->lock);
	u->answered = asked;
	u->last_err = err;
	pthread_cond_broadcast(&u->done);
	pthread_mutex_unlock(&u->lock);
}

static void *usage_main(void *arg)
{
	struct ks_engine *engine = arg;
	enum ks_err err, before = KS_OK;
	uint64_t asked;
	bool go_on = true;

	pthread_setname_np(pthread_self(), "ks-usage");
	while (go_on) {
		go_on = wait_for_work(&engine->usage, engine->options.usage_flush_ms, &asked);
		err = flush(engine);
		answer(&engine->usage, asked, err);
		if (err != KS_OK && err != before)
			ks_engine_say(engine, 2, "usage_waits", "counts stay in memory: %s", ks_err_text(err));
		before = err;
		if (go_on && err == KS_OK) {
			notice(engine);
			sweep_sessions(engine);
			tend_vault(engine);
			do_chores(engine);
			ks_audit_tend(engine);
			sweep_links(engine);
		}
		if (go_on)
			ks_issuer_tend(engine);
	}
	return NULL;
}

/* What an earlier process left in the journal is written first, but for what it had brought into the truth. */
static enum ks_err open_journal(struct ks_engine *engine)
{
	struct ks_usage_state *u = &engine->usage;
	struct ks_usage_mark mark;
	uint64_t batch;

	u->entries = calloc(KS_USAGE_JOURNAL_MAX, sizeof(*u->entries));
	if (!u->entries)
		return KS_MEMORY;
	KS_TRY(ks_store_usage_mark_get(engine->store, &mark));
	KS_TRY(ks_usage_journal_open(engine->ring_directory, engine->store_id, engine->ring_fresh, &u->journal));
	if (!u->journal.kept)
		ks_engine_say(engine, 2, "usage_journal_missing", "counts under way are lost if the process is killed");
	batch = ks_usage_journal_batch(&u->journal);
	/* An empty journal is a new one: shared memory did not outlive the machine. The truth has had its numbers. */
	if (mark.batch > batch || (mark.batch == batch && ks_usage_journal_count(&u->journal) == 0))
		ks_usage_journal_next(&u->journal, mark.batch + 1);
	else if (mark.batch == batch)
		u->written = mark.done;
	return KS_OK;
}

static void let_go(struct ks_usage_state *u)
{
	ks_usage_journal_close(&u->journal);
	free(u->entries);
	u->entries = NULL;
	free(u->memos);
	u->memos = NULL;
}

enum ks_err ks_usage_start(struct ks_engine *engine)
{
	struct ks_usage_state *u = &engine->usage;
	pthread_condattr_t attr;
	enum ks_err err = KS_OK;

	pthread_mutex_init(&u->lock, NULL);
	pthread_cond_init(&u->done, NULL);
	if (pthread_condattr_init(&attr) != 0)
		return KS_MEMORY;
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&u->wake, &attr);
	pthread_condattr_destroy(&attr);
	u->next_chores_ms = ks_engine_now_ms() + CHORES_EVERY_MS;
	if (engine->options.notice.networks || engine->options.notice.unused_ms) {
		u->memos = calloc(KS_USE_MEMOS, sizeof(*u->memos));
		if (!u->memos)
			err = KS_MEMORY;
	}
	if (err == KS_OK)
		err = open_journal(engine);
	if (err == KS_OK && pthread_create(&u->thread, NULL, usage_main, engine) != 0)
		err = KS_SYSTEM;
	if (err != KS_OK) {
		let_go(u);
		return err;
	}
	u->started = true;
	return KS_OK;
}

void ks_usage_stop(struct ks_engine *engine)
{
	struct ks_usage_state *u = &engine->usage;

	if (!u->started)
		return;
	pthread_mutex_lock(&u->lock);
	u->stopping = true;
	pthread_cond_signal(&u->wake);
	pthread_mutex_unlock(&u->lock);
	pthread_join(u->thread, NULL);
	u->started = false;
	let_go(u);
	pthread_cond_destroy(&u->wake);
	pthread_cond_destroy(&u->done);
	pthread_mutex_destroy(&u->lock);
}

enum ks_err ks_engine_flush_usage(struct ks_engine *engine)
{
	struct ks_usage_state *u = &engine->usage;
	enum ks_err err;
	uint64_t mine;

	pthread_mutex_lock(&u->lock);
	mine = ++u->asked;
	pthread_cond_signal(&u->wake);
	while (u->answered < mine)
		pthread_cond_wait(&u->done, &u->lock);
	err = u->last_err;
	pthread_mutex_unlock(&u->lock);
	return err;
}
