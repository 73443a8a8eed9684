/* SPDX-License-Identifier: Apache-2.0 */
/* Work away from the carrier's threads, which answer decisions and must never wait: a few threads that read lists,
 * and threads of their own for what takes long. All are made when first needed. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "api/api_priv.h"
#include "base/hash.h"
#include "crypto/random.h"

#define READER_IDLE_S 10

void ks_tasks_init(struct ks_tasks *tasks, struct ks_api *api, size_t workers, size_t queue_max)
{
	pthread_condattr_t attributes;

	*tasks = (struct ks_tasks){.api = api, .worker_max = workers, .queue_max = queue_max};
	tasks->tail = &tasks->head;
	(void)pthread_mutex_init(&tasks->lock, NULL);
	(void)pthread_condattr_init(&attributes);
	(void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&tasks->wake, &attributes);
	(void)pthread_condattr_destroy(&attributes);
	(void)pthread_cond_init(&tasks->idle, NULL);
}

enum ks_err ks_tasks_share(struct ks_tasks *tasks)
{
	tasks->shares = true;
	return ks_random(tasks->share_seed, sizeof(tasks->share_seed));
}

void ks_tasks_end(struct ks_tasks *tasks)
{
	(void)pthread_mutex_lock(&tasks->lock);
	tasks->stopping = true;
	(void)pthread_cond_broadcast(&tasks->wake);
	while (tasks->alone > 0)
		(void)pthread_cond_wait(&tasks->idle, &tasks->lock);
	(void)pthread_mutex_unlock(&tasks->lock);
	for (size_t i = 0; i < tasks->worker_count; i++)
		(void)pthread_join(tasks->workers[i], NULL);
	tasks->worker_count = 0;
}

void ks_tasks_done(struct ks_tasks *tasks)
{
	ks_tasks_end(tasks);
	(void)pthread_cond_destroy(&tasks->idle);
	(void)pthread_cond_destroy(&tasks->wake);
	(void)pthread_mutex_destroy(&tasks->lock);
}

/* ---- reading and hashing ---- */

static void read_now(struct ks_api *api, struct ks_call *call)
{
	struct ks_api_thread *thread = ks_api_thread(api);

	if (thread) {
		call->reader = &thread->reader;
		ks_call_look(call, call->reader->store, ks_call_ring(call));
		/* A change that it has submitted is answered by that, and the call may be gone. */
		if (call->later(call) == KS_FINISH_PENDING)
			return;
	} else {
		(void)ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	}
	ks_exchange_complete(call->exchange);
}

/* ---- shares ---- */

static const unsigned short most[KS_SHARE_COUNT] = {
#define X(name, threads) [KS_SHARE_##name] = threads,
	KS_API_SHARES(X)
#undef X
};

static void find_shares(const struct ks_tasks *tasks, struct ks_call *call)
{
	struct ks_str of = call->params[0];

	call->share[KS_SHARE_PROVIDER] = ks_siphash(tasks->share_seed, of.p, of.n) % KS_API_SHARE_SLOTS;
	call->share[KS_SHARE_TENANT] = call->tenant ? ks_siphash(tasks->share_seed, &call->tenant, sizeof(call->tenant)) % KS_API_SHARE_SLOTS
						    : call->share[KS_SHARE_PROVIDER];
}

static bool may_run(const struct ks_tasks *tasks, const struct ks_call *call)
{
	bool may = true;

	for (enum ks_share s = 0; s < KS_SHARE_COUNT && tasks->shares; s++)
		may &= tasks->of[s].running[call->share[s]] < most[s];
	return may;
}

static bool may_wait(const struct ks_tasks *tasks, const struct ks_call *call)
{
	bool may = true;

	for (enum ks_share s = 0; s < KS_SHARE_COUNT && tasks->shares; s++)
		may &= tasks->of[s].waiting[call->share[s]] < KS_API_VAULT_WAITING;
	return may;
}

/* It waits, runs, and ends. */
static void count_waiting(struct ks_tasks *tasks, const size_t share[KS_SHARE_COUNT])
{
	for (enum ks_share s = 0; s < KS_SHARE_COUNT; s++)
		tasks->of[s].waiting[share[s]]++;
}

static void count_running(struct ks_tasks *tasks, const size_t share[KS_SHARE_COUNT])
{
	for (enum ks_share s = 0; s < KS_SHARE_COUNT; s++) {
		tasks->of[s].waiting[share[s]]--;
		tasks->of[s].running[share[s]]++;
	}
}

static void count_ended(struct ks_tasks *tasks, const size_t share[KS_SHARE_COUNT])
{
	for (enum ks_share s = 0; s < KS_SHARE_COUNT; s++)
		tasks->of[s].running[share[s]]--;
}

/* The first call that may run: whose share is used up, all of its calls wait for one of them to end, and those behind them
 * do not. Taken off the queue, under the lock. NULL: none. */
static struct ks_call *next_call(struct ks_tasks *tasks)
{
	for (struct ks_call **at = &tasks->head; *at; at = &(*at)->next) {
		struct ks_call *call = *at;

		if (!may_run(tasks, call))
			continue;
		*at = call->next;
		if (tasks->tail == &call->next)
			tasks->tail = at;
		tasks->queued--;
		count_running(tasks, call->share);
		return call;
	}
	return NULL;
}

/* Waits for work. A thread that has had none for a while gives its reader back, which may hold a ring that has been
 * replaced since. Under the lock. */
static void rest(struct ks_tasks *tasks, bool *reads)
{
	struct timespec until;

	if (!*reads) {
		(void)pthread_cond_wait(&tasks->wake, &tasks->lock);
		return;
	}
	(void)clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += READER_IDLE_S;
	if (pthread_cond_timedwait(&tasks->wake, &tasks->lock, &until) != ETIMEDOUT || tasks->head)
		return;
	*reads = false;
	(void)pthread_mutex_unlock(&tasks->lock);
	ks_api_thread_done(tasks->api);
	(void)pthread_mutex_lock(&tasks->lock);
}

static void *work(void *ctx)
{
	struct ks_tasks *tasks = ctx;
	bool reads = false;

	(void)pthread_mutex_lock(&tasks->lock);
	for (;;) {
		struct ks_call *call = next_call(tasks);

		if (call) {
			size_t share[KS_SHARE_COUNT];

			memcpy(share, call->share, sizeof(share));
			(void)pthread_mutex_unlock(&tasks->lock);
			read_now(tasks->api, call);
			reads = true;
			(void)pthread_mutex_lock(&tasks->lock);
			count_ended(tasks, share);
			continue;
		}
		if (tasks->stopping)
			break;
		tasks->resting++;
		rest(tasks, &reads);
		tasks->resting--;
	}
	(void)pthread_mutex_unlock(&tasks->lock);
	ks_api_thread_done(tasks->api);
	return NULL;
}

/* Under the lock. Another thread where all that there are have work, until there are all; false where there is not even
 * one. */
static bool have_worker(struct ks_tasks *tasks)
{
	if (tasks->worker_count < tasks->worker_max && tasks->resting <= tasks->queued
	    && pthread_create(&tasks->workers[tasks->worker_count], NULL, work, tasks) == 0)
		tasks->worker_count++;
	return tasks->worker_count > 0;
}

static enum ks_finish queue(struct ks_tasks *tasks, struct ks_call *call, ks_call_handler *handler)
{
	bool taken;

	call->later = handler;
	call->next = NULL;
	if (tasks->shares)
		find_shares(tasks, call);
	(void)pthread_mutex_lock(&tasks->lock);
	taken = !tasks->stopping && tasks->queued < tasks->queue_max && may_wait(tasks, call) && have_worker(tasks);
	if (taken) {
		count_waiting(tasks, call->share);
		*tasks->tail = call;
		tasks->tail = &call->next;
		tasks->queued++;
		(void)pthread_cond_signal(&tasks->wake);
	}
	(void)pthread_mutex_unlock(&tasks->lock);
	return taken ? KS_FINISH_PENDING : ks_call_problem(call, KS_PROBLEM_OVERLOADED, NULL);
}

enum ks_finish ks_call_later(struct ks_call *call, ks_call_handler *handler)
{
	return queue(&call->api->tasks, call, handler);
}

enum ks_finish ks_call_vault(struct ks_call *call, ks_call_handler *handler)
{
	return queue(&call->api->vault, call, handler);
}

enum ks_finish ks_call_hook(struct ks_call *call, ks_call_handler *handler)
{
	return queue(&call->api->hooks, call, handler);
}

enum ks_finish ks_call_hash(struct ks_call *call, ks_call_handler *handler)
{
	return queue(&call->api->hashing, call, handler);
}

/* ---- what takes long ---- */

struct alone {
	struct ks_api *api;
	void (*run)(void *ctx);
	void *ctx;
};

static void leave(struct ks_tasks *tasks)
{
	(void)pthread_mutex_lock(&tasks->lock);
	tasks->alone--;
	(void)pthread_cond_broadcast(&tasks->idle);
	(void)pthread_mutex_unlock(&tasks->lock);
}

static void *run_alone(void *p)
{
	struct alone a = *(struct alone *)p;

	free(p);
	a.run(a.ctx);
	ks_api_thread_done(a.api);
	leave(&a.api->tasks);
	return NULL;
}

static enum ks_err enter(struct ks_tasks *tasks)
{
	enum ks_err err = KS_OK;

	(void)pthread_mutex_lock(&tasks->lock);
	if (tasks->stopping)
		err = KS_STOPPING;
	else if (tasks->alone == KS_API_ALONE_MAX)
		err = KS_FULL;
	else
		tasks->alone++;
	(void)pthread_mutex_unlock(&tasks->lock);
	return err;
}

enum ks_err ks_tasks_alone(struct ks_api *api, void (*run)(void *ctx), void *ctx)
{
	struct alone *a = malloc(sizeof(*a));
	pthread_attr_t attributes;
	pthread_t thread;
	enum ks_err err = a ? enter(&api->tasks) : KS_MEMORY;

	if (err != KS_OK) {
		free(a);
		return err;
	}
	*a = (struct alone){api, run, ctx};
	(void)pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attributes, run_alone, a) != 0) {
		leave(&api->tasks);
		free(a);
		err = KS_SYSTEM;
	}
	(void)pthread_attr_destroy(&attributes);
	return err;
}

static void call_alone(void *ctx)
{
	struct ks_call *call = ctx;

	(void)call->later(call);
	ks_exchange_complete(call->exchange);
}

enum ks_finish ks_call_alone(struct ks_call *call, ks_call_handler *handler)
{
	enum ks_err err;

	call->later = handler;
	err = ks_tasks_alone(call->api, call_alone, call);
	return err == KS_OK ? KS_FINISH_PENDING : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

static enum ks_finish analyse(struct ks_call *call)
{
	struct ks_api_thread *thread = ks_api_thread(call->api);
	enum ks_finish finish;

	if (thread) {
		call->reader = &thread->reader;
		finish = call->analysis(call);
	} else {
		finish = ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	}
	(void)atomic_fetch_sub(&call->api->tasks.analyses, 1);
	return finish;
}

enum ks_finish ks_call_analyse(struct ks_call *call, ks_call_handler *handler)
{
	struct ks_tasks *tasks = &call->api->tasks;
	enum ks_err err;

	call->analysis = handler;
	call->later = analyse;
	err = atomic_fetch_add(&tasks->analyses, 1) < KS_API_ANALYSES_MAX ? ks_tasks_alone(call->api, call_alone, call)
									   : KS_FULL;
	if (err == KS_OK)
		return KS_FINISH_PENDING;
	(void)atomic_fetch_sub(&tasks->analyses, 1);
	return err == KS_FULL ? ks_call_problem(call, KS_PROBLEM_OVERLOADED, "Other questions over all keys are being answered; ask again.")
			      : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

/* ---- exports ---- */

bool ks_tasks_stopping(struct ks_api *api)
{
	bool stopping;

	(void)pthread_mutex_lock(&api->tasks.lock);
	stopping = api->tasks.stopping;
	(void)pthread_mutex_unlock(&api->tasks.lock);
	return stopping;
}

enum ks_err ks_tasks_export_begins(struct ks_api *api, uint64_t tree)
{
	struct ks_tasks *tasks = &api->tasks;
	enum ks_err err = KS_OK;

	(void)pthread_mutex_lock(&tasks->lock);
	if (tasks->export_count == KS_API_EXPORTS_MAX)
		err = KS_FULL;
	for (size_t i = 0; i < tasks->export_count; i++)
		err = tasks->exports[i] == tree ? KS_FULL : err;
	if (err == KS_OK)
		tasks->exports[tasks->export_count++] = tree;
	(void)pthread_mutex_unlock(&tasks->lock);
	return err;
}

void ks_tasks_export_ends(struct ks_api *api, uint64_t tree)
{
	struct ks_tasks *tasks = &api->tasks;

	(void)pthread_mutex_lock(&tasks->lock);
	for (size_t i = 0; i < tasks->export_count; i++) {
		if (tasks->exports[i] == tree) {
			tasks->exports[i] = tasks->exports[--tasks->export_count];
			break;
		}
	}
	(void)pthread_mutex_unlock(&tasks->lock);
}
