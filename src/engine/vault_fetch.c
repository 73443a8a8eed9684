/* SPDX-License-Identifier: Apache-2.0 */
/* What is not in the store is fetched: several fields at a time, all until one deadline. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/vault_priv.h"
#include "keeper/keeper.h"

#define AT_ONCE 8

struct fetching {
	struct ks_engine *engine;
	int64_t deadline_ms;
	void (*one)(struct fetching *f, size_t item);
	struct ks_vault_fields *to_bring;        /* of ks_vault_bring */
	const struct ks_vault_fields *fields;    /* of ks_vault_fetch_references */
	struct ks_vault_opened *opened;
	size_t items[KS_VAULT_FIELDS_MAX];       /* that are to be fetched */
	size_t count;
	_Atomic size_t next;
};

static void *fetch_some(void *ctx)
{
	struct fetching *f = ctx;
	size_t i;

	while ((i = atomic_fetch_add(&f->next, 1)) < f->count)
		f->one(f, f->items[i]);
	return NULL;
}

/* The calling thread is one of those that fetch: where no other can be made, it fetches all. */
static void fetch_all(struct fetching *f)
{
	pthread_t threads[AT_ONCE - 1];
	size_t made = 0;

	while (made < KS_ARRAY_LEN(threads) && made + 1 < f->count
	       && pthread_create(&threads[made], NULL, fetch_some, f) == 0)
		made++;
	(void)fetch_some(f);
	while (made > 0)
		(void)pthread_join(threads[--made], NULL);
}

/* ---- the rest of sealed values ---- */

/* Head and place, as ks_vault_place leaves them. */
static void bring_one(struct fetching *f, size_t i)
{
	const struct ks_vault_openers *o = &f->engine->openers;
	struct ks_vault_sealed_field *item = &f->to_bring->items[i];
	struct ks_str head = ks_str_sub(item->sealed, 0, KS_KEEPER_VALUE_HEAD);
	struct ks_str place = ks_str_sub(item->sealed, head.n, item->sealed.n);
	struct ks_secret rest = {0};
	const char *code = "held_store_unavailable";
	enum ks_err err = o->held_get ? o->held_get(o->ctx, place, item->version, f->deadline_ms, &rest, &code) : KS_KMS;
	char *whole = err == KS_OK ? malloc(head.n + rest.n) : NULL;

	if (whole) {
		memcpy(whole, head.p, head.n);
		memcpy(&whole[head.n], rest.bytes, rest.n);
		free((void *)(uintptr_t)item->sealed.p);
		item->sealed = ks_str_of(whole, head.n + rest.n);
		item->kind = KS_FIELD_KIND_HELD;
	} else {
		item->code = code;
	}
	ks_secret_free(&rest);
}

void ks_vault_bring(struct ks_engine *engine, struct ks_vault_fields *fields, const size_t *items, size_t count,
		    int64_t deadline_ms)
{
	struct fetching f = {.engine = engine, .deadline_ms = deadline_ms, .one = bring_one, .to_bring = fields};

	for (size_t i = 0; i < count; i++) {
		const struct ks_vault_sealed_field *item = &fields->items[items[i]];

		if (item->kind == KS_FIELD_KIND_ELSEWHERE && !item->code)
			f.items[f.count++] = items[i];
	}
	fetch_all(&f);
}

/* ---- references ---- */

static void read_one(struct fetching *f, size_t i)
{
	const struct ks_vault_openers *o = &f->engine->openers;
	struct ks_vault_open_field *item = &f->opened->items[i];
	struct ks_secret *fetched = &f->opened->fetched[i];
	const char *code = "reference_unavailable";
	const struct ks_vault_reference reference = {
		f->fields->organization, f->fields->tenant, item->value, f->fields->worked};

	item->err = o->fetch ? o->fetch(o->ctx, &reference, f->deadline_ms, fetched, &code) : KS_STORE;
	item->code = item->err == KS_OK ? NULL : code;
	item->value = item->err == KS_OK ? ks_str_of((const char *)fetched->bytes, fetched->n) : KS_STR("");
}

static void no_room(const struct fetching *f)
{
	for (size_t i = 0; i < f->count; i++) {
		f->opened->items[f->items[i]].err = KS_MEMORY;
		f->opened->items[f->items[i]].code = "store_unavailable";
		f->opened->items[f->items[i]].value = KS_STR("");
	}
}

void ks_vault_fetch_references(struct ks_engine *engine, const struct ks_vault_fields *fields, int64_t deadline_ms,
			       struct ks_vault_opened *opened)
{
	struct fetching f = {
		.engine = engine, .deadline_ms = deadline_ms, .one = read_one, .fields = fields, .opened = opened};

	for (size_t i = 0; i < fields->count; i++) {
		if (fields->items[i].kind == KS_FIELD_KIND_REFERENCE && opened->items[i].err == KS_OK)
			f.items[f.count++] = i;
	}
	if (f.count > 0)
		opened->fetched = calloc(fields->count, sizeof(opened->fetched[0]));
	if (opened->fetched)
		fetch_all(&f);
	else
		no_room(&f);
}
