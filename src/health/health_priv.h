/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "engine/vault.h"
#include "health/health.h"

#define KS_HEALTH_QUEUE_MAX 1024
#define KS_HEALTH_FOUND_MAX 256
#define KS_HEALTH_HOSTS 256
#define KS_HEALTH_READERS 4
#define KS_HEALTH_TRIES 512
#define KS_HEALTH_STAT_MAX 65536 /* bytes of /proc/stat that are looked at */

struct ks_health_work {
	uint64_t provider;
	int64_t not_before_ms;       /* of the monotonic clock */
	bool urgent;
	unsigned host;               /* one more than its place among `hosts`, which who takes the work holds; 0: not known yet */
};

/* What processors did, in ticks. */
struct ks_health_use {
	uint64_t all;
	uint64_t idle;
	uint64_t workers;            /* for the workers, who are no others */
};

/* A provider that was tried and is not to be tried again before. */
struct ks_health_try {
	uint64_t provider;
	int64_t again_ms;            /* of the monotonic clock */
	unsigned count;
};

struct ks_health {
	struct ks_engine *engine;
	struct ks_health_options options;
	struct ks_fetch *fetch;
	pthread_t threads[KS_HEALTH_THREADS_MAX + 1];
	size_t thread_count;
	pthread_mutex_t computing;   /* of the workers' one who is at it, while the others wait for somebody */
	_Atomic unsigned wanting;    /* workers that wait for it */
	int64_t rest_until_ns;       /* of the monotonic clock: nobody computes before; guarded by `computing` */
	_Atomic uint64_t worked_ns;  /* processor time of the workers */
	_Atomic bool crowded;        /* others want nearly all of the processors */
	_Atomic bool stopping;       /* changed with the lock held */
	pthread_mutex_t lock;        /* guards all below */
	pthread_cond_t work;         /* to the workers */
	pthread_cond_t wake;         /* to the scheduler */
	pthread_cond_t reader_free;
	struct ks_health_work queue[KS_HEALTH_QUEUE_MAX];
	size_t queue_count;
	uint64_t busy[KS_HEALTH_THREADS_MAX]; /* provider of each worker; 0: it rests */
	bool again[KS_HEALTH_THREADS_MAX];    /* asked for while it was under way */
	struct ks_health_found *found;        /* KS_HEALTH_FOUND_MAX, to be written */
	size_t found_count;
	unsigned hosts[KS_HEALTH_HOSTS];      /* probes under way, by a hash of where */
	struct ks_health_try tries[KS_HEALTH_TRIES];
	struct ks_engine_reader readers[KS_HEALTH_READERS];
	bool reader_open[KS_HEALTH_READERS], reader_busy[KS_HEALTH_READERS];
	uint64_t counts[KS_HEALTH_STATUS_COUNT];
	_Atomic uint64_t probes[KS_HEALTH_STATUS_COUNT], refused;
	/* the scheduler's */
	char *stat;                  /* KS_HEALTH_STAT_MAX, scratch */
	struct ks_health_use use;    /* as of the last look */
	uint64_t adopted;            /* providers up to this id have a row */
	uint64_t waiting_seen;       /* versions of providers up to this id were looked for */
	size_t waiting_count;        /* of this part */
	int64_t started_at;
};

/* The thread has the lowest priority from now on. compute.c, as all up to the next blank line. */
void ks_health_step_back(void);
/* What this thread does next is waited for by somebody, or is not. */
void ks_health_hurry(bool urgent);
/* A worker computes between these two and waits for others outside of them. Of any number of workers one computes at a time,
 * and while the processors are crowded for a small share of the time, but who is in a hurry. */
void ks_health_compute(struct ks_health *h);
void ks_health_wait(struct ks_health *h);
/* Of what /proc/stat says: of the processors of this set. */
struct ks_health_use ks_health_use_of(struct ks_str stat, const cpu_set_t *ours);
/* True: nearly all that they did in between was others'. */
bool ks_health_is_crowded(const struct ks_health_use *before, const struct ks_health_use *now);
/* Finds out whether the processors are crowded, since the last time. The scheduler's. */
void ks_health_look_around(struct ks_health *h);

int64_t ks_health_now_ms(void);      /* wall clock */
int64_t ks_health_tick_ms(void);     /* monotonic clock */
/* `ms`, a fifth more or less. */
int64_t ks_health_jitter(int64_t ms);

/* One of the readers, or NULL (it cannot be opened). */
struct ks_engine_reader *ks_health_reader_take(struct ks_health *h);
void ks_health_reader_give(struct ks_health *h, struct ks_engine_reader *reader);

/* With the lock held. False: no room, or it waits for its time already. */
bool ks_health_queue(struct ks_health *h, uint64_t provider, int64_t not_before_ms, bool urgent);
/* A waiting version was found good or bad: the next one is tried at once. */
void ks_health_settled(struct ks_health *h, uint64_t provider);
/* Leaves what was found to be written. */
void ks_health_found(struct ks_health *h, const struct ks_health_found *found);

/* `host` as in ks_health_work. True: one of its places was taken; give it back. */
bool ks_health_host_take(struct ks_health *h, unsigned host);
void ks_health_host_give(struct ks_health *h, unsigned host);
/* Work whose host is busy waits until it is not. False: so many wait for this host that others would find no room. */
bool ks_health_put_off(struct ks_health *h, const struct ks_health_work *work, unsigned host);

/* The host of a platform's providers, as in ks_health_work, where their values do not tell; else 0. */
unsigned ks_health_host_of(struct ks_health *h, struct ks_str platform);

/* One provider, on a worker. */
void ks_health_probe(struct ks_health *h, const struct ks_health_work *work);
