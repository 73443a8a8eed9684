/* SPDX-License-Identifier: Apache-2.0 */
/* What several calls have of one provider at the same moment: its sealed set, and what is being opened of it. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/vault_priv.h"

/* ---- sealed ---- */

enum ks_err ks_vault_fields_keep(struct ks_vault_fields *fields)
{
	struct ks_vault_kept *kept = calloc(1, sizeof(*kept));

	if (!kept)
		return KS_MEMORY;
	atomic_init(&kept->holders, 1);
	pthread_mutex_init(&kept->lock, NULL);
	fields->kept = kept;
	return KS_OK;
}

struct ks_vault_fields *ks_vault_fields_hold(struct ks_vault_fields *fields)
{
	(void)atomic_fetch_add(&fields->kept->holders, 1);
	return fields;
}

bool ks_vault_fields_drop(struct ks_vault_fields *fields)
{
	struct ks_vault_kept *kept = fields->kept;

	if (!kept)
		return true;
	if (atomic_fetch_sub(&kept->holders, 1) > 1)
		return false;
	pthread_mutex_destroy(&kept->lock);
	free(kept);
	return true;
}

/* ---- opened ---- */

struct ks_vault_shared {
	struct ks_vault_fields *fields;  /* a holder of them */
	struct ks_vault_opened opened;
	uint64_t begun_ns;
	/* with the lock of what is kept */
	uint32_t holders;
	bool landed;
	struct ks_vault_sharer *first, **last; /* until then */
};

void ks_vault_shared_drop(struct ks_vault_shared *shared)
{
	struct ks_vault_kept *kept = shared->fields->kept;
	bool last;

	pthread_mutex_lock(&kept->lock);
	last = --shared->holders == 0;
	if (last && kept->opening == shared)
		kept->opening = NULL;
	pthread_mutex_unlock(&kept->lock);
	if (!last)
		return;
	ks_vault_opened_free(&shared->opened);
	ks_vault_fields_free(&shared->fields);
	free(shared);
}

/* The sharer is a holder already. */
static void tell(struct ks_vault_shared *shared, struct ks_vault_sharer *sharer, enum ks_err err)
{
	*sharer->ret_opened = (struct ks_vault_opened){
		.count = shared->opened.count, .items = shared->opened.items, .of = shared};
	sharer->done(sharer->ctx, err);
}

static bool is_good(const struct ks_vault_shared *shared, enum ks_err err)
{
	for (size_t i = 0; i < shared->opened.count && err == KS_OK; i++)
		err = shared->opened.items[i].err;
	return err == KS_OK;
}

/* It is open, or cannot be: all who came meanwhile are told. */
static void land(void *ctx, enum ks_err err)
{
	struct ks_vault_shared *shared = ctx;
	struct ks_vault_kept *kept = shared->fields->kept;
	struct ks_vault_sharer *next;

	pthread_mutex_lock(&kept->lock);
	shared->landed = true;
	for (struct ks_vault_sharer *s = shared->first; s; s = s->next)
		shared->holders++;
	/* What failed is tried again for who comes next. */
	if (!is_good(shared, err) && kept->opening == shared)
		kept->opening = NULL;
	pthread_mutex_unlock(&kept->lock);
	for (struct ks_vault_sharer *s = shared->first; s; s = next) {
		next = s->next; /* it may be freed when it is told */
		tell(shared, s, err);
	}
	ks_vault_shared_drop(shared);
}

/* With the lock. NULL: no memory. */
static struct ks_vault_shared *begin(struct ks_vault_fields *fields, uint64_t now_ns)
{
	struct ks_vault_shared *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return NULL;
	shared->holders = 1;
	shared->begun_ns = now_ns;
	shared->fields = ks_vault_fields_hold(fields);
	shared->last = &shared->first;
	fields->kept->opening = shared;
	return shared;
}

/* With the lock. NULL: there is none to be had. */
static struct ks_vault_shared *find(const struct ks_vault_kept *kept, uint64_t now_ns)
{
	struct ks_vault_shared *shared = kept->opening;

	return shared && (!shared->landed || now_ns < shared->begun_ns + KS_VAULT_SHARED_NS) ? shared : NULL;
}

/* With the lock. */
static void join(struct ks_vault_shared *shared, struct ks_vault_sharer *sharer)
{
	if (shared->landed) {
		shared->holders++;
		return;
	}
	sharer->next = NULL;
	*shared->last = sharer;
	shared->last = &sharer->next;
}

enum ks_err ks_vault_open_shared(struct ks_engine *engine, struct ks_vault_fields *fields, struct ks_vault_sharer *sharer)
{
	struct ks_vault_kept *kept = fields->kept;
	struct ks_vault_shared *shared;
	bool begins, landed = false;
	enum ks_err err;

	*sharer->ret_opened = (struct ks_vault_opened){0};
	if (!kept)
		return ks_vault_open_held(engine, fields, sharer->ret_opened, sharer->done, sharer->ctx);
	pthread_mutex_lock(&kept->lock);
	shared = find(kept, sharer->now_ns);
	begins = !shared;
	if (begins)
		shared = begin(fields, sharer->now_ns);
	if (shared) {
		landed = shared->landed;
		join(shared, sharer);
	}
	pthread_mutex_unlock(&kept->lock);
	if (!shared)
		return KS_MEMORY;
	if (landed)
		tell(shared, sharer, KS_OK);
	if (!begins)
		return KS_OK;
	err = ks_vault_open_held(engine, fields, &shared->opened, land, shared);
	if (err != KS_OK)
		land(shared, err);
	return KS_OK;
}
