/* SPDX-License-Identifier: Apache-2.0 */
/** The endpoints as the writer keeps them in mind, so that handing an event out costs no look-up in the store. Writer's
 * thread. */
#pragma once

#include "engine/endpoints_priv.h"

struct ks_endpoint_known {
	uint64_t id, tenant, organization;
	struct ks_event_set events;
};

/** Forgets all. */
void ks_endpoint_set_clear(struct ks_endpoint_set *set);
/** Reads what has changed since. */
KS_MUST_USE enum ks_err ks_endpoint_set_update(struct ks_endpoint_set *set, struct ks_store *store);

/** Calls `each` for every endpoint that hears of an event of this type and tenant (0: the operator's). */
KS_MUST_USE enum ks_err ks_endpoint_set_hearers(const struct ks_endpoint_set *set, const struct ks_ring *ring,
						enum ks_event_type type, uint64_t tenant,
						enum ks_err (*each)(void *ctx, const struct ks_endpoint_known *known),
						void *ctx);
