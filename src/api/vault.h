/* SPDX-License-Identifier: Apache-2.0 */
/** What the routes of the vault share. */
#pragma once

#include "api/api_priv.h"
#include "engine/vault.h"

/** The provider in the path, if it is there and the caller sees it. False: answered. */
bool ks_call_provider(struct ks_call *call, uint64_t *ret_id);
/** The same for a list of what belongs to it, whose `limit` and `cursor` are the only parameters; the list is open then. False:
 * answered with *ret_answered. */
bool ks_call_provider_page(struct ks_call *call, struct ks_page *ret_page, uint64_t *ret_id, enum ks_finish *ret_answered);
/** A provider as the contract shows it. */
void ks_record_provider(struct ks_json *json, const struct ks_provider_row *row, const struct ks_ring *ring);
KS_MUST_USE enum ks_err ks_record_provider_by_id(struct ks_store *store, struct ks_json *json, uint64_t id,
						 const struct ks_ring *ring);
/** A field of a provider with its open versions, as far as the store tells. KS_NOT_FOUND: the platform has no such
 * field. */
KS_MUST_USE enum ks_err ks_record_field(struct ks_call *call, struct ks_store *store, uint64_t provider,
					struct ks_str field);

/* ---- vault_metrics.c: counted for the process; any thread ---- */

/** Of the monotonic clock. */
int64_t ks_vault_tick_us(void);
/** One that was answered with `status`; `unread`: the code of why a field could not be read, or NULL. */
void ks_vault_count_use(bool digest, int status, const char *unread, int64_t us);
/** Lines of metrics. */
void ks_vault_put_uses(struct ks_buf *out, const char *name);
void ks_vault_put_use_seconds(struct ks_buf *out, const char *name);
