/* SPDX-License-Identifier: Apache-2.0 */
/* From the store to plain values: which set a call is on, what a probe is to try, and opening both. */
#include <stdlib.h>

#include "base/array.h"
#include "engine/vault_cache.h"
#include "engine/vault_priv.h"
#include "keeper/keeper.h"
#include "store/health.h"

#define SETS_LOOKED_AT 256 /* for a call's lease on a set that was replaced */
#define FIELDS_FIRST 8     /* room for so many fields at first */

/* ---- sealed ---- */

void ks_vault_fields_free(struct ks_vault_fields **fields)
{
	struct ks_vault_fields *f = *fields;

	*fields = NULL;
	if (!f || !ks_vault_fields_drop(f))
		return;
	for (size_t i = 0; i < f->count; i++)
		free((void *)(uintptr_t)f->items[i].sealed.p);
	free((void *)(uintptr_t)f->wrapped.p);
	free(f->items);
	free(f);
}

/* On the heap, of at least one byte. */
static enum ks_err copy_bytes(struct ks_str bytes, struct ks_str *ret_copy)
{
	char *copy = malloc(KS_MAX(bytes.n, (size_t)1));

	if (!copy)
		return KS_MEMORY;
	if (bytes.n > 0)
		memcpy(copy, bytes.p, bytes.n);
	*ret_copy = ks_str_of(copy, bytes.n);
	return KS_OK;
}

static enum ks_err add_field(struct ks_vault_fields *f, const struct ks_vault_sealed_field *field)
{
	struct ks_str sealed;

	if (f->count == KS_VAULT_FIELDS_MAX)
		return KS_TOO_LARGE;
	KS_TRY(ks_array_room(&f->items, &f->cap, f->count, FIELDS_FIRST, sizeof(*f->items)));
	KS_TRY(copy_bytes(field->sealed, &sealed));
	f->items[f->count] = *field;
	f->items[f->count++].sealed = sealed;
	return KS_OK;
}

static enum ks_err take_field(void *ctx, const struct ks_field_version_row *row)
{
	struct ks_vault_fields *f = ctx;
	struct ks_vault_sealed_field item = {
		.version = row->version, .kind = row->kind, .stage = row->stage, .sealed = row->sealed};
	struct ks_buf name = KS_BUF(item.field);

	if (!row->open || row->sealed.n == 0)
		return KS_NOT_FOUND;
	ks_buf_put(&name, row->field);
	(void)ks_buf_z(&name);
	KS_TRY(add_field(f, &item));
	f->key_number = KS_MAX(f->key_number, row->key_number);
	f->has_references |= row->kind == KS_FIELD_KIND_REFERENCE;
	f->has_elsewhere |= row->kind == KS_FIELD_KIND_ELSEWHERE;
	return KS_OK;
}

static void drop_items(struct ks_vault_fields *f)
{
	for (size_t i = 0; i < f->count; i++)
		free((void *)(uintptr_t)f->items[i].sealed.p);
	f->count = 0;
	f->key_number = 0;
	f->has_references = f->has_elsewhere = false;
}

static enum ks_err take_wrapped(void *ctx, const struct ks_organization_key_row *row)
{
	struct ks_vault_fields *f = ctx;

	if (row->erased_at != KS_TIME_NONE)
		return KS_OK;
	return copy_bytes(row->wrapped, &f->wrapped);
}

static enum ks_err read_key(struct ks_store *store, struct ks_vault_fields *f)
{
	enum ks_err err = ks_store_organization_key_get(store, f->organization, f->key_number, take_wrapped, f);

	return err == KS_NOT_FOUND ? KS_OK : err;
}

struct found_lease {
	uint64_t id;
	int64_t ends_at;
};

static enum ks_err take_lease(void *ctx, const struct ks_lease_row *row)
{
	*(struct found_lease *)ctx = (struct found_lease){row->id, row->ends_at};
	return KS_OK;
}

/* The call's lease on a set that was replaced since it began; the newest of them. */
static enum ks_err find_lease(struct ks_store *store, const struct ks_provider_row *row, struct ks_str call,
			      int64_t now_ms, struct ks_vault_fields *f)
{
	uint64_t least = KS_MAX(row->first_set, (uint64_t)1);

	if (row->current_set > SETS_LOOKED_AT && least < row->current_set - SETS_LOOKED_AT)
		least = row->current_set - SETS_LOOKED_AT;
	for (uint64_t number = row->current_set; number > least; number--) {
		struct found_lease lease;
		enum ks_err err = ks_store_lease_of_call(store, row->id, number - 1, call, take_lease, &lease);

		if (err != KS_OK && err != KS_NOT_FOUND)
			return err;
		if (err == KS_OK && lease.ends_at > now_ms) {
			f->lease = lease.id;
			f->set = number - 1;
			return KS_OK;
		}
	}
	return KS_OK;
}

static enum ks_err note_health(void *ctx, const struct ks_health_row *row)
{
	struct ks_vault_fields *f = ctx;

	/* What was found revoked had worked before, or it would have been found wrong. */
	f->worked = row->set == f->set && (row->status == KS_HEALTH_HEALTHY || ks_str_eq(row->code, KS_STR("trust_revoked")));
	return KS_OK;
}

static enum ks_err look_back(struct ks_store *store, struct ks_vault_fields *f)
{
	enum ks_err err = ks_store_health_get(store, f->provider, note_health, f);

	return err == KS_NOT_FOUND ? KS_OK : err;
}

static enum ks_err read_set(struct ks_store *store, const struct ks_provider_row *row, struct ks_str call,
			    int64_t now_ms, struct ks_vault_fields *f)
{
	enum ks_err err;

	f->set = row->current_set;
	f->settled = row->first_set == row->current_set;
	if (!ks_str_empty(call) && row->first_set < row->current_set)
		KS_TRY(find_lease(store, row, call, now_ms, f));
	err = ks_store_set_versions(store, row->id, f->set, take_field, f);
	if (err == KS_NOT_FOUND && f->lease) {
		/* Its time was up, and the values are gone: it goes on with what is current. */
		drop_items(f);
		f->lease = 0;
		f->set = row->current_set;
		err = ks_store_set_versions(store, row->id, f->set, take_field, f);
	}
	if (err == KS_NOT_FOUND || (err == KS_OK && f->count == 0))
		return KS_CONFLICT;
	KS_TRY(err);
	if (f->has_references)
		KS_TRY(look_back(store, f));
	return read_key(store, f);
}

static enum ks_err fields_of(struct ks_store *store, uint64_t provider, struct ks_provider_kept *kept,
			     struct ks_vault_fields **ret_fields)
{
	struct ks_vault_fields *f;
	struct ks_buf platform;

	KS_TRY(ks_store_provider_get(store, provider, ks_provider_keep, kept));
	if (kept->row.deleted_at != KS_TIME_NONE)
		return KS_NOT_FOUND;
	f = calloc(1, sizeof(*f));
	if (!f)
		return KS_MEMORY;
	f->provider = provider;
	f->tenant = kept->row.tenant;
	f->organization = kept->row.organization;
	platform = KS_BUF(f->platform);
	ks_buf_put(&platform, kept->row.platform);
	(void)ks_buf_z(&platform);
	*ret_fields = f;
	return KS_OK;
}

enum ks_err ks_vault_read(struct ks_engine *engine, struct ks_store *store, uint64_t provider, struct ks_str call,
			  int64_t now_ms, struct ks_vault_fields **ret_fields)
{
	uint64_t epoch = ks_vault_epoch(engine);
	struct ks_provider_kept kept;
	struct ks_vault_fields *f;
	enum ks_err err;

	KS_TRY(fields_of(store, provider, &kept, &f));
	f->epoch = epoch;
	err = kept.row.current_set ? read_set(store, &kept.row, call, now_ms, f) : KS_CONFLICT;
	if (err != KS_OK) {
		ks_vault_fields_free(&f);
		return err;
	}
	*ret_fields = f;
	return KS_OK;
}

enum ks_err ks_vault_read_for_use(struct ks_engine *engine, struct ks_store *store, uint64_t provider,
				  struct ks_str call, int64_t now_ms, bool anew, struct ks_vault_fields **ret_fields)
{
	struct ks_vault_cache *cache = engine->vault_cache;
	struct ks_vault_fields *f = NULL;

	if (anew)
		ks_vault_cache_drop(cache, provider);
	else
		f = ks_vault_cache_find(cache, provider, ks_vault_epoch(engine));
	if (!f) {
		KS_TRY(ks_vault_read(engine, store, provider, call, now_ms, &f));
		ks_vault_cache_put(cache, f, &engine->vault_epoch);
	}
	*ret_fields = f;
	return KS_OK;
}

void ks_vault_next_epoch(struct ks_engine *engine)
{
	(void)atomic_fetch_add(&engine->vault_epoch, 1);
	ks_vault_cache_clear(engine->vault_cache);
}

/* ---- candidates ---- */

/* Of each field what is pending, else what is current. */
static enum ks_err choose(struct ks_store *store, const struct ks_open_versions *versions, struct ks_vault_fields *f)
{
	for (size_t i = 0; i < versions->count; i++) {
		const struct ks_open_version *v = &versions->items[i];
		bool better = false;

		if (!ks_is_waiting(v) && v->row.stage != KS_FIELD_STAGE_CURRENT)
			continue;
		for (size_t k = 0; k < versions->count && !better; k++)
			better = k != i && !ks_is_waiting(v) && ks_is_waiting(&versions->items[k])
				 && ks_str_eq(ks_str_c(versions->items[k].field), ks_str_c(v->field));
		if (!better)
			KS_TRY(ks_store_field_version_get(store, f->provider, ks_str_c(v->field), v->row.version,
							  take_field, f));
	}
	return read_key(store, f);
}

static enum ks_err read_candidate(struct ks_engine *engine, struct ks_store *store, struct ks_vault_fields *f)
{
	struct ks_vault_platform platform;
	struct ks_open_versions versions;
	bool any = false;
	enum ks_err err;

	KS_TRY(ks_vault_open_versions(store, f->provider, &versions));
	for (size_t i = 0; i < versions.count; i++)
		any |= ks_is_waiting(&versions.items[i]);
	if (any && ks_vault_complete(engine, ks_str_c(f->platform), &versions, &platform))
		err = choose(store, &versions, f);
	else
		err = KS_CONFLICT;
	ks_vault_open_versions_free(&versions);
	return err;
}

enum ks_err ks_vault_candidate(struct ks_engine *engine, struct ks_store *store, uint64_t provider,
			       struct ks_vault_fields **ret_fields)
{
	struct ks_provider_kept kept;
	struct ks_vault_fields *f;
	enum ks_err err;

	KS_TRY(fields_of(store, provider, &kept, &f));
	err = read_candidate(engine, store, f);
	if (err != KS_OK) {
		ks_vault_fields_free(&f);
		return err;
	}
	*ret_fields = f;
	return KS_OK;
}

/* ---- all that calls have ---- */

struct staging {
	struct ks_vault_fields *fields;
	enum ks_field_stage stage;
};

static enum ks_err take_staged(void *ctx, const struct ks_field_version_row *row)
{
	const struct staging *staging = ctx;

	if (row->stage != staging->stage || staging->fields->count == KS_VAULT_FIELDS_MAX)
		return KS_OK;
	return take_field(staging->fields, row);
}

enum ks_err ks_vault_read_stages(struct ks_store *store, uint64_t provider, struct ks_vault_fields **ret_fields)
{
	static const enum ks_field_stage stages[] = {KS_FIELD_STAGE_CURRENT, KS_FIELD_STAGE_PREVIOUS};
	struct ks_provider_kept kept;
	struct ks_vault_fields *f;
	enum ks_err err = KS_OK;

	KS_TRY(fields_of(store, provider, &kept, &f));
	for (size_t i = 0; i < KS_ARRAY_LEN(stages) && err == KS_OK; i++)
		err = ks_store_field_versions_open(store, provider, take_staged, &(struct staging){f, stages[i]});
	if (err == KS_OK && f->count > 0)
		err = read_key(store, f);
	if (err != KS_OK) {
		ks_vault_fields_free(&f);
		return err;
	}
	*ret_fields = f;
	return KS_OK;
}

/* ---- rooms for plain values ---- */

/* Making locked memory takes several system calls, so that a few rooms, wiped, are kept for the next calls. Of the process. */
#define ROOM_SIZE 4096
#define ROOMS_KEPT 64

static struct {
	pthread_mutex_t lock;
	size_t count;
	struct ks_secret kept[ROOMS_KEPT];
} rooms = {.lock = PTHREAD_MUTEX_INITIALIZER};

static enum ks_err take_room(struct ks_secret *ret_room, size_t size)
{
	bool found = false;

	if (size > ROOM_SIZE)
		return ks_secret_new(ret_room, size);
	pthread_mutex_lock(&rooms.lock);
	if (rooms.count > 0) {
		*ret_room = rooms.kept[--rooms.count];
		found = true;
	}
	pthread_mutex_unlock(&rooms.lock);
	return found ? KS_OK : ks_secret_new(ret_room, ROOM_SIZE);
}

static void give_room(struct ks_secret *room)
{
	if (room->cap == ROOM_SIZE) {
		ks_wipe(room->bytes, room->n);
		room->n = 0;
		pthread_mutex_lock(&rooms.lock);
		if (rooms.count < ROOMS_KEPT) {
			rooms.kept[rooms.count++] = *room;
			*room = (struct ks_secret){0};
		}
		pthread_mutex_unlock(&rooms.lock);
	}
	ks_secret_free(room);
}

/* ---- opening ---- */

struct ks_vault_held {
	struct ks_vault_opening opening;
	struct ks_vault_opened *opened;
	const struct ks_vault_fields *fields;
	void (*done)(void *ctx, enum ks_err err);
	void *ctx;
	char (*bound)[KS_VAULT_BOUND_NAME_SIZE]; /* behind the values */
	struct ks_vault_value values[];
};

static size_t plain_size(const struct ks_engine *engine, struct ks_str sealed)
{
	size_t overhead = engine->openers.open ? engine->openers.overhead : KS_VAULT_KEEPER_OVERHEAD;

	return sealed.n > overhead ? sealed.n - overhead : 1;
}

static void held_done(struct ks_vault_opening *opening)
{
	struct ks_vault_held *h = opening->ctx;
	struct ks_vault_opened *o = h->opened;
	void (*done)(void *ctx, enum ks_err err) = h->done;
	enum ks_err err = opening->err;
	void *ctx = h->ctx;

	for (size_t i = 0; i < opening->count; i++) {
		const struct ks_vault_value *v = &h->values[i];
		enum ks_err one = err != KS_OK ? err : v->err;

		o->items[i].err = one;
		o->items[i].code = one == KS_OK ? NULL : one == KS_CORRUPT ? "value_unreadable" : "store_unavailable";
		if (h->fields->items[i].code)
			o->items[i].code = h->fields->items[i].code;
		if (one == KS_OK)
			o->items[i].value = ks_str_of((const char *)v->ret_out, v->ret_n);
	}
	free(h);
	/* A key that is not the organization's is as much of a refusal as a value that is another's. */
	done(ctx, err == KS_CORRUPT ? KS_OK : err);
}

static void bind_values(struct ks_vault_held *h, const struct ks_vault_fields *f, const struct ks_engine *engine)
{
	uint8_t *at = h->opened->room.bytes;

	for (size_t i = 0; i < f->count; i++) {
		const struct ks_vault_sealed_field *item = &f->items[i];
		size_t cap = plain_size(engine, item->sealed);

		h->values[i] = (struct ks_vault_value){
			.tenant = f->tenant,
			.provider = f->provider,
			.field = ks_vault_bound_name(item->kind, item->field, h->bound[i]),
			.version = item->version,
			.in = item->sealed,
			.ret_out = at,
			.cap = cap,
		};
		at = &at[cap];
	}
}

static struct ks_vault_held *new_held(size_t count)
{
	struct ks_vault_held *h = malloc(sizeof(*h) + count * (sizeof(h->values[0]) + sizeof(h->bound[0])));

	if (h)
		h->bound = (void *)&h->values[count];
	return h;
}

enum ks_err ks_vault_open_held(struct ks_engine *engine, const struct ks_vault_fields *f,
			       struct ks_vault_opened *opened, void (*done)(void *ctx, enum ks_err err), void *ctx)
{
	struct ks_vault_held *h;
	size_t size = 0;
	enum ks_err err;

	*opened = (struct ks_vault_opened){.count = f->count};
	for (size_t i = 0; i < f->count; i++)
		size += plain_size(engine, f->items[i].sealed);
	KS_TRY(take_room(&opened->room, KS_MAX(size, (size_t)1)));
	opened->items = calloc(KS_MAX(f->count, (size_t)1), sizeof(opened->items[0]));
	h = opened->items ? new_held(f->count) : NULL;
	if (!h)
		return KS_MEMORY;
	h->opened = opened;
	h->fields = f;
	h->done = done;
	h->ctx = ctx;
	opened->room.n = size;
	bind_values(h, f, engine);
	h->opening = (struct ks_vault_opening){
		.org = {f->organization, f->key_number, f->wrapped},
		.values = h->values,
		.count = f->count,
		.done = held_done,
		.ctx = h,
	};
	if (f->wrapped.n == 0) {
		h->opening.err = KS_CORRUPT;
		held_done(&h->opening);
		return KS_OK;
	}
	err = engine->openers.open ? engine->openers.open(engine->openers.ctx, &h->opening)
				   : ks_vault_keeper_open(engine, &h->opening);
	if (err != KS_OK)
		free(h);
	return err;
}

struct waiting {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	bool finished;
	enum ks_err err;
};

static void wake(void *ctx, enum ks_err err)
{
	struct waiting *w = ctx;

	pthread_mutex_lock(&w->lock);
	w->finished = true;
	w->err = err;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

enum ks_err ks_vault_open_fields(struct ks_engine *engine, struct ks_vault_fields *fields, int64_t deadline_ms,
				 struct ks_vault_opened *ret_opened)
{
	struct waiting w = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};
	size_t all[KS_VAULT_FIELDS_MAX];
	enum ks_err err;

	for (size_t i = 0; i < fields->count; i++)
		all[i] = i;
	ks_vault_bring(engine, fields, all, fields->count, deadline_ms);
	err = ks_vault_open_held(engine, fields, ret_opened, wake, &w);
	if (err == KS_OK) {
		pthread_mutex_lock(&w.lock);
		while (!w.finished)
			pthread_cond_wait(&w.wake, &w.lock);
		pthread_mutex_unlock(&w.lock);
		err = w.err;
	}
	pthread_mutex_destroy(&w.lock);
	pthread_cond_destroy(&w.wake);
	if (err == KS_OK)
		ks_vault_fetch_references(engine, fields, deadline_ms, ret_opened);
	return err;
}

void ks_vault_opened_free(struct ks_vault_opened *opened)
{
	if (opened->of) {
		ks_vault_shared_drop(opened->of);
		*opened = (struct ks_vault_opened){0};
		return;
	}
	give_room(&opened->room);
	for (size_t i = 0; opened->fetched && i < opened->count; i++)
		ks_secret_free(&opened->fetched[i]);
	free(opened->fetched);
	free(opened->items);
	*opened = (struct ks_vault_opened){0};
}

/* ---- what is no field of a provider ---- */

static enum ks_err open_one(struct ks_engine *engine, struct ks_store *store, struct ks_vault_fields *f,
			    struct ks_secret *ret_text)
{
	struct ks_vault_opened opened;
	struct ks_secret text = {0};
	struct ks_str value;
	enum ks_err err;

	KS_TRY(read_key(store, f));
	err = ks_vault_open_fields(engine, f, 0, &opened);
	if (err == KS_OK)
		err = opened.items[0].err;
	if (err == KS_OK) {
		value = opened.items[0].value;
		err = ks_secret_new(&text, KS_MAX(value.n, (size_t)1));
		if (err == KS_OK)
			err = ks_secret_set(&text, value.p, value.n);
	}
	ks_vault_opened_free(&opened);
	if (err == KS_OK)
		*ret_text = text;
	else
		ks_secret_free(&text);
	return err;
}

enum ks_err ks_vault_open_for(struct ks_engine *engine, struct ks_store *store, const struct ks_vault_bound *bound,
			      uint64_t key_number, struct ks_str sealed, struct ks_secret *ret_text)
{
	struct ks_vault_fields *f = calloc(1, sizeof(*f));
	enum ks_err err;

	if (!f)
		return KS_MEMORY;
	f->provider = bound->object;
	f->tenant = bound->tenant;
	f->organization = bound->organization;
	err = take_field(f, &(struct ks_field_version_row){
		.field = ks_str_c(bound->name),
		.version = bound->version,
		.kind = KS_FIELD_KIND_HELD,
		.stage = KS_FIELD_STAGE_CURRENT,
		.open = true,
		.key_number = key_number,
		.sealed = sealed,
	});
	if (err == KS_OK)
		err = open_one(engine, store, f, ret_text);
	ks_vault_fields_free(&f);
	return err == KS_NOT_FOUND ? KS_CORRUPT : err;
}
