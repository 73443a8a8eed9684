/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/vault_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "engine/vault_priv.h"

#define SLOTS_LOG2 12 /* some 1 KiB each where there are four fields */
#define SLOTS (1u << SLOTS_LOG2)
#define SEALED_MAX 4096 /* bytes of a provider's values: what has more is read each time */

struct ks_vault_cache {
	pthread_mutex_t lock;
	struct ks_vault_fields *slots[SLOTS];
};

enum ks_err ks_vault_cache_new(struct ks_vault_cache **ret_cache)
{
	struct ks_vault_cache *cache = calloc(1, sizeof(*cache));

	if (!cache)
		return KS_MEMORY;
	pthread_mutex_init(&cache->lock, NULL);
	*ret_cache = cache;
	return KS_OK;
}

void ks_vault_cache_free(struct ks_vault_cache *cache)
{
	if (!cache)
		return;
	ks_vault_cache_clear(cache);
	pthread_mutex_destroy(&cache->lock);
	free(cache);
}

/* Ids rise; Fibonacci hashing spreads them. */
static struct ks_vault_fields **slot_of(struct ks_vault_cache *cache, uint64_t provider)
{
	return &cache->slots[(provider * UINT64_C(0x9e3779b97f4a7c15)) >> (64 - SLOTS_LOG2)];
}

struct ks_vault_fields *ks_vault_cache_find(struct ks_vault_cache *cache, uint64_t provider, uint64_t epoch)
{
	struct ks_vault_fields *found;

	pthread_mutex_lock(&cache->lock);
	found = *slot_of(cache, provider);
	if (found && found->provider == provider && found->epoch == epoch)
		(void)ks_vault_fields_hold(found);
	else
		found = NULL;
	pthread_mutex_unlock(&cache->lock);
	return found;
}

static bool may_be_kept(const struct ks_vault_fields *fields)
{
	size_t sealed = 0;

	for (size_t i = 0; i < fields->count; i++)
		sealed += fields->items[i].sealed.n;
	return fields->settled && !fields->lease && !fields->has_references && !fields->has_elsewhere && sealed <= SEALED_MAX;
}

void ks_vault_cache_put(struct ks_vault_cache *cache, struct ks_vault_fields *fields, const _Atomic uint64_t *epoch)
{
	struct ks_vault_fields **slot, *gone = NULL;

	if (!may_be_kept(fields) || ks_vault_fields_keep(fields) != KS_OK)
		return;
	pthread_mutex_lock(&cache->lock);
	/* The epoch rises before everything is dropped: what is put here meanwhile is dropped, or is not put. */
	if (atomic_load(epoch) == fields->epoch) {
		slot = slot_of(cache, fields->provider);
		gone = *slot;
		*slot = ks_vault_fields_hold(fields);
	}
	pthread_mutex_unlock(&cache->lock);
	ks_vault_fields_free(&gone);
}

void ks_vault_cache_drop(struct ks_vault_cache *cache, uint64_t provider)
{
	struct ks_vault_fields **slot, *gone = NULL;

	pthread_mutex_lock(&cache->lock);
	slot = slot_of(cache, provider);
	if (*slot && (*slot)->provider == provider) {
		gone = *slot;
		*slot = NULL;
	}
	pthread_mutex_unlock(&cache->lock);
	ks_vault_fields_free(&gone);
}

void ks_vault_cache_clear(struct ks_vault_cache *cache)
{
	pthread_mutex_lock(&cache->lock);
	for (size_t i = 0; i < SLOTS; i++)
		ks_vault_fields_free(&cache->slots[i]);
	pthread_mutex_unlock(&cache->lock);
}
