/* SPDX-License-Identifier: Apache-2.0 */
/* The ring from the whole truth. Keys are by far the most: two threads read them, each through its own connection, and
 * this one puts them into the ring. */
#include <stdlib.h>

#include "engine/federation.h"
#include "engine/grants.h"

#define READERS 2
#define CHUNK 1024   /* cores handed over at once */
#define CHUNKS 16
#define PROGRESS_EVERY 65536
#define PLAN_TRIES 6

/* ---- geometry ---- */

/* Address lists, memberships and slugs cannot be counted beforehand; a generation that turns out too small is made
 * anew, larger. */
#define ARENA_BASE (1u << 20)
#define ARENA_A_TENANT 32u
#define ARENA_A_USER 64u
#define ARENA_A_GRANT 32u

enum ks_err ks_rebuild_plan(struct ks_engine *engine, unsigned factor, struct ks_ring_geometry *ret_geometry)
{
	struct ks_store_counts counts;
	uint64_t arena, sessions;

	KS_TRY(ks_store_counts(engine->store, &counts));
	KS_TRY(ks_store_sessions_live_count(engine->store, ks_engine_now_ms(), &sessions));
	arena = ARENA_BASE + counts.tenants * ARENA_A_TENANT + counts.users * ARENA_A_USER
		+ counts.grants * ARENA_A_GRANT;
	*ret_geometry = ks_ring_plan(counts.keys + sessions, (uint32_t)KS_MIN(counts.tenants * factor, UINT32_MAX),
				     (uint32_t)KS_MIN(counts.users * factor, UINT32_MAX),
				     (uint32_t)KS_MIN(counts.grants * factor, UINT32_MAX),
				     (uint32_t)KS_MIN(counts.keys_limited * factor, UINT32_MAX), arena * factor);
	return KS_OK;
}

/* ---- all but the keys ---- */

struct filling {
	struct ks_engine *engine;
	struct ks_ring *ring;
	struct ks_store *second;  /* to read one thing while another is being listed */
	bool with_memberships;
};

static enum ks_err fill_user(void *ctx, const struct ks_user_row *row)
{
	struct filling *f = ctx;

	return ks_project_user(f->engine, f->second, f->ring, row->id, row->disabled_at != KS_TIME_NONE,
			       f->with_memberships);
}

static enum ks_err fill_tenant(void *ctx, const struct ks_tenant_row *row)
{
	struct filling *f = ctx;

	return ks_project_tenant(f->ring, row);
}

static enum ks_err fill_grant(void *ctx, const struct ks_grant_row *row)
{
	struct filling *f = ctx;

	return ks_project_grant(f->engine, f->ring, row);
}

static enum ks_err fill_foreign_issuer(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct filling *f = ctx;

	return ks_project_foreign_issuer(f->ring, row);
}

static enum ks_err fill_session(void *ctx, const struct ks_session_row *row)
{
	struct filling *f = ctx;

	return ks_project_session(f->ring, row);
}

/* Users before tenants (a personal tenant names its user), memberships after both. */
static enum ks_err fill_small(struct filling *f)
{
	struct ks_store *store = f->engine->store;

	f->with_memberships = false;
	KS_TRY(ks_store_users_all(store, fill_user, f));
	KS_TRY(ks_store_tenants_all(store, fill_tenant, f));
	f->with_memberships = true;
	KS_TRY(ks_store_users_all(store, fill_user, f));
	KS_TRY(ks_store_grants_all(store, fill_grant, f));
	KS_TRY(ks_store_foreign_issuers_all(store, fill_foreign_issuer, f));
	return ks_store_sessions_live(store, ks_engine_now_ms(), fill_session, f);
}

/* ---- keys: readers ---- */

struct chunk {
	struct ks_key_core cores[CHUNK];
	size_t count;
	struct chunk *next;
};

/* What a reader has still to read: ids from `next` to `last`. */
struct range {
	uint64_t next;
	uint64_t last;
	bool active;
};

struct loading {
	const char *uri;
	pthread_mutex_t lock;          /* everything below */
	pthread_cond_t filled;
	pthread_cond_t emptied;
	pthread_cond_t idle;
	struct range ranges[READERS];
	struct chunk *free_chunks;
	struct chunk *full_head, **full_tail;
	unsigned reading;              /* readers not at their end */
	unsigned hungry;               /* readers that wait for something to steal */
	enum ks_err err;               /* the first failure; ends all */
};

struct key_reader {
	struct loading *loading;
	unsigned number;
	struct ks_store *store;
	struct chunk *chunk;
	pthread_t thread;
	bool started;
};

static void fail(struct loading *l, enum ks_err err)
{
	if (l->err == KS_OK)
		l->err = err;
	pthread_cond_broadcast(&l->filled);
	pthread_cond_broadcast(&l->emptied);
	pthread_cond_broadcast(&l->idle);
}

/* Keys of a chunk that were read beyond a bound that has come down meanwhile; the other reads them. */
static void drop_beyond(struct chunk *chunk, uint64_t last)
{
	while (chunk->count > 0 && chunk->cores[chunk->count - 1].id > last)
		chunk->count--;
}

/* Hands the chunk over and takes an empty one. KS_STOPPING after a failure elsewhere. */
static enum ks_err exchange_chunk(struct key_reader *r)
{
	struct loading *l = r->loading;

	if (r->chunk) {
		drop_beyond(r->chunk, l->ranges[r->number].last);
		*l->full_tail = r->chunk;
		l->full_tail = &r->chunk->next;
		r->chunk = NULL;
		pthread_cond_signal(&l->filled);
	}
	while (!l->free_chunks && l->err == KS_OK)
		pthread_cond_wait(&l->emptied, &l->lock);
	if (l->err != KS_OK)
		return KS_STOPPING;
	r->chunk = l->free_chunks;
	l->free_chunks = r->chunk->next;
	r->chunk->next = NULL;
	r->chunk->count = 0;
	return KS_OK;
}

/* Ids are times, so that half of a range of ids need not be half of its keys: a reader that has nothing left takes the
 * upper half of what the other still has, again and again. A reader looks at its bounds whenever a chunk is full. */
static enum ks_err take_core(void *ctx, const struct ks_key_core *core)
{
	struct key_reader *r = ctx;
	struct loading *l = r->loading;
	struct range *range = &l->ranges[r->number];
	enum ks_err err;

	if (r->chunk->count < CHUNK) {
		r->chunk->cores[r->chunk->count++] = *core;
		return KS_OK;
	}
	pthread_mutex_lock(&l->lock);
	err = exchange_chunk(r);
	if (err == KS_OK && core->id > range->last) {
		err = KS_NOT_FOUND; /* the rest is another's */
	} else if (err == KS_OK) {
		r->chunk->cores[r->chunk->count++] = *core;
		range->next = core->id + 1;
		if (l->hungry > 0)
			pthread_cond_broadcast(&l->idle);
	}
	pthread_mutex_unlock(&l->lock);
	return err;
}

/* With the lock held. */
static bool steal(struct loading *l, struct range *mine)
{
	struct range *victim = NULL;

	for (unsigned i = 0; i < READERS; i++) {
		struct range *other = &l->ranges[i];

		if (other != mine && other->active && other->next < other->last
		    && (!victim || other->last - other->next > victim->last - victim->next))
			victim = other;
	}
	if (!victim)
		return false;
	mine->last = victim->last;
	mine->next = victim->next + (victim->last - victim->next) / 2 + 1;
	mine->active = true;
	victim->last = mine->next - 1;
	return true;
}

static enum ks_err read_range(struct key_reader *r)
{
	struct loading *l = r->loading;
	struct range *range = &l->ranges[r->number];
	uint64_t first, last;
	enum ks_err err;

	first = range->next;
	last = range->last;
	pthread_mutex_unlock(&l->lock);
	err = ks_store_key_cores(r->store, first, last, take_core, r);
	pthread_mutex_lock(&l->lock);
	if (err == KS_NOT_FOUND)
		err = KS_OK;
	if (err == KS_OK)
		err = exchange_chunk(r);
	range->active = false;
	return err;
}

static void *reader_main(void *arg)
{
	struct key_reader *r = arg;
	struct loading *l = r->loading;
	enum ks_err err;

	pthread_mutex_lock(&l->lock);
	err = exchange_chunk(r);
	while (err == KS_OK && l->err == KS_OK) {
		if (l->ranges[r->number].active || steal(l, &l->ranges[r->number])) {
			err = read_range(r);
			continue;
		}
		l->hungry++;
		/* Who has nothing and finds nobody who has is not the last: the last one's end wakes it. */
		if (l->hungry == READERS) {
			l->reading = 0;
			pthread_cond_broadcast(&l->idle);
			pthread_cond_broadcast(&l->filled);
		}
		if (l->reading > 0)
			pthread_cond_wait(&l->idle, &l->lock);
		if (l->reading == 0)
			break;
		l->hungry--;
	}
	if (err != KS_OK)
		fail(l, err);
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

/* ---- keys: into the ring ---- */

/* The next full chunk; NULL at the end or after a failure. */
static struct chunk *next_chunk(struct loading *l, struct chunk *done)
{
	struct chunk *chunk;

	pthread_mutex_lock(&l->lock);
	if (done) {
		done->next = l->free_chunks;
		l->free_chunks = done;
		pthread_cond_signal(&l->emptied);
	}
	while (!l->full_head && l->reading > 0 && l->err == KS_OK)
		pthread_cond_wait(&l->filled, &l->lock);
	chunk = l->err == KS_OK ? l->full_head : NULL;
	if (chunk) {
		l->full_head = chunk->next;
		if (!l->full_head)
			l->full_tail = &l->full_head;
	}
	pthread_mutex_unlock(&l->lock);
	return chunk;
}

static void put_all(struct ks_engine *engine, struct ks_ring *ring, struct loading *l, uint64_t all)
{
	struct chunk *chunk = NULL;
	uint64_t count = 0, told = 0;

	while ((chunk = next_chunk(l, chunk)) != NULL) {
		enum ks_err err = ks_project_cores(ring, chunk->cores, chunk->count);

		count += chunk->count;
		if (count - told >= PROGRESS_EVERY) {
			ks_engine_progress(engine, "keys", count, KS_MAX(all, count));
			told = count;
		}
		if (err != KS_OK) {
			pthread_mutex_lock(&l->lock);
			fail(l, err);
			pthread_mutex_unlock(&l->lock);
		}
	}
	ks_engine_progress(engine, "keys", count, count);
}

static enum ks_err start_readers(struct loading *l, struct key_reader *readers)
{
	for (unsigned i = 0; i < READERS; i++) {
		readers[i] = (struct key_reader){.loading = l, .number = i};
		KS_TRY(ks_store_open(l->uri, KS_STORE_READER, &readers[i].store));
	}
	for (unsigned i = 0; i < READERS; i++) {
		if (pthread_create(&readers[i].thread, NULL, reader_main, &readers[i]) != 0)
			return KS_SYSTEM;
		readers[i].started = true;
	}
	return KS_OK;
}

static void end_readers(struct loading *l, struct key_reader *readers, enum ks_err err)
{
	if (err != KS_OK) {
		pthread_mutex_lock(&l->lock);
		fail(l, err);
		pthread_mutex_unlock(&l->lock);
	}
	for (unsigned i = 0; i < READERS; i++) {
		if (readers[i].started)
			pthread_join(readers[i].thread, NULL);
		ks_store_close(&readers[i].store);
	}
}

static enum ks_err fill_keys(struct ks_engine *engine, struct ks_ring *ring, uint64_t last_id, uint64_t all)
{
	struct chunk *chunks = calloc(CHUNKS, sizeof(*chunks));
	struct key_reader readers[READERS] = {{0}};
	struct loading l = {
		.uri = engine->store_uri,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.filled = PTHREAD_COND_INITIALIZER,
		.emptied = PTHREAD_COND_INITIALIZER,
		.idle = PTHREAD_COND_INITIALIZER,
		.reading = READERS,
	};
	enum ks_err err;

	if (!chunks)
		return KS_MEMORY;
	l.full_tail = &l.full_head;
	l.ranges[0] = (struct range){.next = 1, .last = last_id, .active = true};
	for (size_t i = 0; i < CHUNKS; i++) {
		chunks[i].next = l.free_chunks;
		l.free_chunks = &chunks[i];
	}
	err = start_readers(&l, readers);
	if (err == KS_OK)
		put_all(engine, ring, &l, all);
	end_readers(&l, readers, err);
	free(chunks);
	return err == KS_OK ? l.err : err;
}

/* ---- the whole ---- */

/* Numbers of scopes and roles stay what they are: actors and counters of this process know them by these. */
static enum ks_err keep_numbers(const struct ks_engine *engine, struct ks_ring *ring)
{
	const struct ks_ring *current = ks_ringmap_writer_ring(engine->ringmap);
	uint32_t count;
	uint16_t number;

	if (current->scopes == ring->scopes)
		return KS_OK;
	count = atomic_load_explicit(&current->scopes->count, memory_order_acquire);
	for (uint32_t i = 0; i < count; i++)
		KS_TRY(ks_scope_add(ring->scopes, ks_scope_name(current->scopes, (uint16_t)i), &number));
	count = atomic_load_explicit(&current->roles->count, memory_order_acquire);
	for (uint32_t i = 1; i <= count; i++)
		(void)ks_ring_name_role(ring, ks_ring_role_name(current, (uint16_t)i));
	return KS_OK;
}

/* Fills `ring` from the whole truth, policies included, and states its position. KS_FULL: it is too small. */
static enum ks_err fill(struct ks_engine *engine, struct ks_ring *ring)
{
	struct filling f = {.engine = engine, .ring = ring};
	struct ks_store_counts counts;
	uint64_t position, last_id;
	enum ks_err err;

	KS_TRY(ks_store_change_last(engine->store, &position));
	KS_TRY(ks_store_last_id(engine->store, &last_id));
	KS_TRY(ks_store_counts(engine->store, &counts));
	KS_TRY(keep_numbers(engine, ring));
	/* Before the grants: scopes that rules ask for come first where numbers are scarce. */
	KS_TRY(ks_catalogue_publish(engine->policy, ring));
	KS_TRY(ks_issuer_publish(engine, ring));
	KS_TRY(ks_store_open(engine->store_uri, KS_STORE_READER, &f.second));
	err = fill_small(&f);
	ks_store_close(&f.second);
	KS_TRY(err);
	if (counts.keys > 0)
		KS_TRY(fill_keys(engine, ring, last_id, counts.keys));
	ks_ring_set_lease(ring, INT64_MAX);
	ks_ring_set_position(ring, position);
	engine->last_change = position;
	return KS_OK;
}

static enum ks_err publish(struct ks_engine *engine, uint64_t began)
{
	const struct ks_ring *ring;
	enum ks_err err;

	pthread_mutex_lock(&engine->ring_lock);
	err = ks_ringmap_writer_publish(engine->ringmap);
	if (err == KS_OK)
		engine->previous_since_ms = ks_engine_now_ms();
	pthread_mutex_unlock(&engine->ring_lock);
	KS_TRY(err);
	pthread_mutex_lock(&engine->stats_lock);
	engine->stats.rebuilds++;
	pthread_mutex_unlock(&engine->stats_lock);
	ring = ks_ringmap_writer_ring(engine->ringmap);
	ks_engine_say(engine, 1, "ring_rebuilt", "%llu keys in %llu ms",
		      (unsigned long long)atomic_load_explicit(&ring->header->key_count, memory_order_relaxed),
		      (unsigned long long)((ks_engine_tick_ns() - began) / 1000000));
	return KS_OK;
}

enum ks_err ks_rebuild_fresh(struct ks_engine *engine)
{
	uint64_t began = ks_engine_tick_ns();
	enum ks_err err = fill(engine, ks_ringmap_writer_ring(engine->ringmap));

	if (err == KS_FULL)
		return ks_rebuild_ring(engine);
	KS_TRY(err);
	return publish(engine, began);
}

enum ks_err ks_rebuild_ring(struct ks_engine *engine)
{
	uint64_t began = ks_engine_tick_ns();
	struct ks_ring_geometry geometry;
	struct ks_ring *ring;
	enum ks_err err = KS_FULL;

	for (unsigned factor = 1; err == KS_FULL && factor < 1u << PLAN_TRIES; factor *= 2) {
		KS_TRY(ks_rebuild_plan(engine, factor, &geometry));
		KS_TRY(ks_ringmap_writer_begin_rebuild(engine->ringmap, &geometry, &ring));
		err = fill(engine, ring);
	}
	KS_TRY(err);
	return publish(engine, began);
}
