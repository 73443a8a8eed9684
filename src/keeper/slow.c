/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that must wait for a slow root: a queue and a thread, so that all others go on. */
#include <stdlib.h>

#include "keeper/child_priv.h"

#define QUEUE_MAX 64

struct job {
	struct ks_keeper_head head;
	struct ks_secret body;
};

static struct {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct job jobs[QUEUE_MAX];
	size_t first, count;
	struct ks_worker worker;
	struct ks_secret room;
	struct ks_buf out;
} slow = {.lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER};

enum ks_err ks_slow_put(const struct ks_keeper_head *head, struct ks_str body)
{
	struct job job = {.head = *head};
	enum ks_err err = ks_secret_new(&job.body, body.n + 1);

	if (err == KS_OK)
		err = ks_secret_set(&job.body, body.p, body.n);
	if (err != KS_OK)
		return err;
	pthread_mutex_lock(&slow.lock);
	if (slow.count < QUEUE_MAX) {
		slow.jobs[(slow.first + slow.count++) % QUEUE_MAX] = job;
		job.body = (struct ks_secret){0};
		pthread_cond_signal(&slow.wake);
	} else {
		err = KS_FULL;
	}
	pthread_mutex_unlock(&slow.lock);
	ks_secret_free(&job.body);
	return err;
}

static struct job take(void)
{
	struct job job;

	pthread_mutex_lock(&slow.lock);
	while (slow.count == 0)
		pthread_cond_wait(&slow.wake, &slow.lock);
	job = slow.jobs[slow.first];
	slow.first = (slow.first + 1) % QUEUE_MAX;
	slow.count--;
	pthread_mutex_unlock(&slow.lock);
	return job;
}

static void *run(void *ctx)
{
	struct ks_child *child = ctx;

	for (bool ok = true; ok;) {
		struct job job = take();

		(void)ks_child_answer(&slow.worker, &job.head, ks_str_of((const char *)job.body.bytes, job.body.n), &slow.out);
		ks_secret_free(&job.body);
		ok = ks_child_send(child, &slow.out);
	}
	return NULL;
}

enum ks_err ks_slow_start(struct ks_child *child)
{
	pthread_t thread;

	KS_TRY(ks_worker_init(&slow.worker, child));
	slow.worker.may_wait = true;
	KS_TRY(ks_secret_new(&slow.room, KS_KEEPER_FRAME_MAX));
	slow.out = ks_buf_of((char *)slow.room.bytes, slow.room.cap);
	return pthread_create(&thread, NULL, run, child) == 0 && pthread_detach(thread) == 0 ? KS_OK : KS_SYSTEM;
}
