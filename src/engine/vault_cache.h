/* SPDX-License-Identifier: Apache-2.0 */
/** What calls begin with, kept sealed: the set that is current of each provider that calls use.
 *
 * Nothing here is believed: ks_vault_use asks in its own transaction whether the set still is the current one, and whether
 * what the values are sealed with has changed (ks_vault_epoch). Who is told that it is stale drops it and reads anew. So
 * the writer of a change need not know that this exists. */
#pragma once

#include "engine/vault.h"

struct ks_vault_cache;

/** KS_MEMORY. */
KS_MUST_USE enum ks_err ks_vault_cache_new(struct ks_vault_cache **ret_cache);
/** NULL is nothing. */
void ks_vault_cache_free(struct ks_vault_cache *cache);

/** The caller's to free, as others'; NULL: it is not there, or of another epoch. Any thread. */
struct ks_vault_fields *ks_vault_cache_find(struct ks_vault_cache *cache, uint64_t provider, uint64_t epoch);
/** Keeps what was read at `fields->epoch`, if that is `epoch` still, it is not large (4 KiB of sealed values),
 * nothing of it lies elsewhere, and no call can be on another set. It takes the place of another provider's where they
 * meet. Any thread. */
void ks_vault_cache_put(struct ks_vault_cache *cache, struct ks_vault_fields *fields, const _Atomic uint64_t *epoch);
void ks_vault_cache_drop(struct ks_vault_cache *cache, uint64_t provider);
/** Everything: keys that were erased or wrapped anew do not stay in memory. After the epoch has risen. */
void ks_vault_cache_clear(struct ks_vault_cache *cache);
