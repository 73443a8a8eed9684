/* SPDX-License-Identifier: Apache-2.0 */
/** Deliveries: one event to one endpoint, once. An outbox: events are written with what causes them, a cursor goes through
 * them by id and hands each to the endpoints that hear of it, and rows and cursor are written together. Who sends is module
 * delivery; what is replayed is sent again with the id of the event, by which a receiver knows it. */
#pragma once

#include "engine/endpoints.h"

/** Makes a delivery due again, as if it had never been tried; one that is waiting is due at once. Refusals: not_found,
 * conflict (its endpoint is deleted). */
KS_MUST_USE enum ks_err ks_deliveries_replay(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					     struct ks_refusal *ret_refusal);

#define KS_REPLAY_STEP 1000 /* events that one step looks at */

struct ks_replay {
	uint64_t endpoint;
	int64_t from, to;    /* [from, to) of the events' time; KS_TIME_NONE: open */
	bool failed_only;    /* dead letters; else every event that the endpoint listens to, also those that it was not sent */
};
/** One step of a replay. *after is 0 before the first one, and again after the last; in between it is the event that was
 * reached. Adds to *count what is due again. Refusals: not_found. */
KS_MUST_USE enum ks_err ks_deliveries_replay_range(struct ks_tx *tx, const struct ks_actor *actor,
						   const struct ks_replay *replay, uint64_t *after, uint64_t *count,
						   struct ks_refusal *ret_refusal);

/* ---- for whoever delivers; writer's thread ---- */

struct ks_fan_out {
	uint64_t events;     /* that the cursor passed */
	uint64_t deliveries; /* made */
	bool more;           /* events are left */
};
/** Hands out events until about `limit` deliveries are made; an event goes to all of its endpoints or to none. `anew`: what
 * is kept in mind of endpoints is read again (after a transaction that came to nothing). `touched` is told of the endpoint of
 * each delivery. */
KS_MUST_USE enum ks_err ks_deliveries_fan_out(struct ks_tx *tx, bool anew, size_t limit,
					      void (*touched)(void *ctx, uint64_t endpoint), void *ctx,
					      struct ks_fan_out *ret_done);

#define KS_DELIVERY_CODE_SIZE 32

/** How one attempt went, and what follows. */
struct ks_delivery_result {
	uint64_t delivery, endpoint;
	int64_t at;                    /* when it began */
	int64_t first_at;              /* the first of its round */
	int64_t due_at;                /* of the next, where it is still pending */
	unsigned elapsed_ms;
	unsigned status;               /* 0: no answer */
	enum ks_delivery_state state;
	bool failing, works;           /* the first failure after a success; the first success after a failure */
	const char *disable;           /* disable the endpoint for this reason; NULL */
	char code[KS_DELIVERY_CODE_SIZE];
	char excerpt[KS_STORE_EXCERPT_MAX + 1];
};
/** Writes the attempt and its outcome. What was forgotten meanwhile is KS_OK. */
KS_MUST_USE enum ks_err ks_deliveries_record(struct ks_tx *tx, const struct ks_delivery_result *result);
