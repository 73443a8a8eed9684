/* SPDX-License-Identifier: Apache-2.0 */
/** Sends events to endpoints: hands out what was written (engine/deliveries.h), signs, sends, and writes how it went, on one
 * thread of its own with many requests at once. A request's time to answer, failures and hanging hold up nobody but the
 * endpoint that they are of. Whatever is not written as delivered is sent again, after a crash too, with the same id. */
#pragma once

#include "delivery/schedule.h"
#include "engine/deliveries.h"
#include "fetch/fetch.h"

struct ks_delivery;

struct ks_delivery_options {
	struct ks_fetch_options fetch;    /* what may be reached */
	unsigned concurrency;             /* requests at a time, of all endpoints; 1 to 4096 */
	unsigned per_endpoint;            /* of one, where it says nothing else; 1 to KS_ENDPOINT_CONCURRENCY_MAX */
	unsigned timeout_ms;              /* of one request */
	struct ks_delivery_schedule schedule;
	int64_t disable_after_ms;         /* an endpoint that fails so long is disabled; 0: never */
	int64_t keep_ms;                  /* deliveries are forgotten after so long; 0: never */
	ks_engine_log *log;
	void *log_ctx;
};

/** KS_MEMORY, KS_CRYPTO. The engine outlives it. */
KS_MUST_USE enum ks_err ks_delivery_new(struct ks_engine *engine, const struct ks_delivery_options *options,
					struct ks_delivery **ret_delivery);
/** Starts its thread. KS_SYSTEM. */
KS_MUST_USE enum ks_err ks_delivery_start(struct ks_delivery *delivery);
/** Ends the thread; what is under way is cut off, and sent again by the next start. The engine must still run. Takes NULL. */
void ks_delivery_stop(struct ks_delivery *delivery);
void ks_delivery_free(struct ks_delivery **delivery);

/** How attempts end, for counting: X(name, text). */
#define KS_DELIVERY_OUTCOMES(X)                                            \
	X(DELIVERED, "delivered")                                          \
	X(RETRIED, "retried")   /* failed, and will be tried again */      \
	X(FAILED, "failed")     /* failed for good: a dead letter */

enum ks_delivery_outcome {
#define X(name, text) KS_DELIVERY_OUTCOME_##name,
	KS_DELIVERY_OUTCOMES(X)
#undef X
	KS_DELIVERY_OUTCOME_COUNT
};
const char *ks_delivery_outcome_text(enum ks_delivery_outcome outcome);

struct ks_delivery_stats {
	uint64_t events;                            /* handed out */
	uint64_t made;                              /* deliveries */
	uint64_t attempts[KS_DELIVERY_OUTCOME_COUNT];
	uint64_t attempt_ms;                        /* that they took, in all */
	uint64_t disabled;                          /* endpoints */
	uint64_t running, endpoints, failing, behind; /* now */
	uint64_t oldest_ms;                         /* how long the longest waiting delivery in hand has been due */
};
/** Zero for NULL. Any thread. */
void ks_delivery_stats(struct ks_delivery *delivery, struct ks_delivery_stats *ret_stats);
