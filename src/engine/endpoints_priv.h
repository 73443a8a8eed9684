/* SPDX-License-Identifier: Apache-2.0 */
/** Between the files of endpoints and deliveries. */
#pragma once

#include "engine/endpoints.h"
#include "engine/engine_priv.h"
#include "engine/events.h"

#define KS_ENDPOINT_DETAIL_SIZE KS_STORE_DETAIL_MAX

/** A row kept beyond its callback; the texts point into it. */
struct ks_endpoint_kept {
	struct ks_endpoint_row row;
	char url[KS_STORE_URL_MAX + 1];
	char events[KS_STORE_ENDPOINT_EVENTS_MAX + 1];
	char description[KS_STORE_DESCRIPTION_MAX + 1];
	char reason[KS_STORE_ACTION_MAX + 1];
};
/** A ks_endpoint_each. */
enum ks_err ks_endpoint_keep(void *ctx, const struct ks_endpoint_row *row);

/** The endpoint, if it is there and the actor sees its tenant. Refusals: not_found. */
KS_MUST_USE enum ks_err ks_endpoint_find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					 struct ks_endpoint_kept *ret_kept, struct ks_refusal *refusal);

/** Audits an action with the members that tell which endpoint it is; `detail` may hold further ones. */
KS_MUST_USE enum ks_err ks_endpoint_audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
					  const struct ks_endpoint_row *row, struct ks_buf *detail);

/** Makes the endpoint's next secret, sealed in the store and shown in *ret_secret, which the caller wipes. */
KS_MUST_USE enum ks_err ks_endpoint_secret_add(struct ks_tx *tx, uint64_t endpoint, enum ks_endpoint_signature signature,
					       struct ks_endpoint_secret *ret_secret);

/** A new delivery, due now. KS_CONFLICT: the endpoint has this event. */
KS_MUST_USE enum ks_err ks_delivery_add(struct ks_tx *tx, const struct ks_endpoint_row *endpoint, uint64_t event,
					struct ks_str type, uint64_t *ret_id);

/** A ks_delivery_each: keeps the row without its texts in a struct ks_delivery_row. */
enum ks_err ks_delivery_keep(void *ctx, const struct ks_delivery_row *row);

/** Types of events as bits. */
struct ks_event_set {
	uint64_t bits[(KS_EVENT_COUNT + 63) / 64];
};
/** Of the text of a row; unknown types are left out. */
void ks_event_set_of(struct ks_str events, struct ks_event_set *ret_set);
bool ks_event_set_has(const struct ks_event_set *set, enum ks_event_type type);
