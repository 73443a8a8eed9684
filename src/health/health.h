/* SPDX-License-Identifier: Apache-2.0 */
/** Providers' health: who probes when. A scheduler looks for probes that are due and for versions that wait to be tried;
 * workers of the lowest priority open the values through the vault, ask the platform (probe/probe.h), and leave what they
 * found to be written a batch at a time (engine/health.h). Each provider is due again after the interval, a fifth more or
 * less by chance, so that rounds spread out; so many a second at most, so many at a time, and fewer at one host. On demand,
 * after a failed call and for waiting versions at once, before those that are due. Threads: all functions but new and free
 * from any thread. */
#pragma once

#include "engine/health.h"
#include "fetch/fetch.h"

#define KS_HEALTH_THREADS_MAX 256

struct ks_health_options {
	struct ks_fetch_options fetch;
	int64_t interval_ms;         /* between probes of one provider; 0: none but those that are asked for */
	unsigned threads;            /* probes at a time, at most KS_HEALTH_THREADS_MAX */
	unsigned per_host;           /* probes at a time of one platform at one host */
	unsigned per_second;         /* probes that are due, begun in a second */
	unsigned busy_percent;       /* of one processor, for those that are due, while everything else wants nearly all; 0, 100: no bound */
	unsigned timeout_ms;         /* of a probe whose file says none */
	uint64_t failures;           /* see engine/health.h, flapping */
	int64_t keep_ms;             /* the history is forgotten after so long */
	ks_engine_log *log;
	void *log_ctx;
};

struct ks_health;

/** KS_MEMORY, KS_CRYPTO. The engine outlives it. */
KS_MUST_USE enum ks_err ks_health_new(struct ks_engine *engine, const struct ks_health_options *options,
				      struct ks_health **ret_health);
/** Begins to probe. KS_SYSTEM: no thread. */
KS_MUST_USE enum ks_err ks_health_start(struct ks_health *health);
/** Breaks off what is under way, writes what was found, and waits for the threads. Takes NULL. */
void ks_health_stop(struct ks_health *health);
/** Stops first. Takes NULL. */
void ks_health_free(struct ks_health **health);

/** Probes the provider soon, once for all who ask before it begins. Does not wait. Takes NULL. False: too many are waiting. */
bool ks_health_ask(struct ks_health *health, uint64_t provider);
/** The same after a failed call: at most once in ten seconds a provider. */
void ks_health_call_failed(struct ks_health *health, uint64_t provider);

struct ks_health_stats {
	uint64_t providers[KS_HEALTH_STATUS_COUNT]; /* as of some seconds ago */
	uint64_t probes[KS_HEALTH_STATUS_COUNT], refused; /* finished, by what was found; put off because their host was busy */
	uint64_t waiting, running;
};
void ks_health_stats(struct ks_health *health, struct ks_health_stats *ret_stats);
