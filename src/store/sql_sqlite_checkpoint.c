/* SPDX-License-Identifier: Apache-2.0 */
/* Copies the write-ahead log back from a thread of its own, so that commits need not wait while megabytes are written
 * and synced. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#include "store/sql_sqlite_priv.h"

struct ks_sqlite_checkpointer {
	sqlite3 *db; /* the thread's alone */
	pthread_t thread;
	pthread_mutex_t lock; /* of what follows */
	pthread_cond_t asked;
	bool busy; /* asked, and not done yet */
	bool stop;
};

/* Passive: waits for nobody and lets nobody wait. The second time finds what was committed during the first. A failure
 * is not told: the writer looks at the log after each commit, and asks again. */
static void copy_back(sqlite3 *db)
{
	for (int i = 0; i < 2; i++)
		sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
}

static void *run(void *ctx)
{
	struct ks_sqlite_checkpointer *c = ctx;

	pthread_mutex_lock(&c->lock);
	while (!c->stop) {
		if (!c->busy) {
			pthread_cond_wait(&c->asked, &c->lock);
			continue;
		}
		pthread_mutex_unlock(&c->lock);
		copy_back(c->db);
		pthread_mutex_lock(&c->lock);
		c->busy = false;
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}

/* Signals are the affair of the threads that the program has made. */
static bool start(struct ks_sqlite_checkpointer *c)
{
	sigset_t all, before;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int failed = pthread_create(&c->thread, NULL, run, c);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return failed == 0;
}

struct ks_sqlite_checkpointer *ks_sqlite_checkpointer_new(sqlite3 *db)
{
	struct ks_sqlite_checkpointer *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->db = db;
	pthread_mutex_init(&c->lock, NULL);
	pthread_cond_init(&c->asked, NULL);
	if (start(c))
		return c;
	pthread_cond_destroy(&c->asked);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

void ks_sqlite_checkpointer_ask(struct ks_sqlite_checkpointer *c)
{
	pthread_mutex_lock(&c->lock);
	c->busy = true;
	pthread_cond_signal(&c->asked);
	pthread_mutex_unlock(&c->lock);
}

bool ks_sqlite_checkpointer_busy(struct ks_sqlite_checkpointer *c)
{
	pthread_mutex_lock(&c->lock);
	bool busy = c->busy;
	pthread_mutex_unlock(&c->lock);
	return busy;
}

void ks_sqlite_checkpointer_free(struct ks_sqlite_checkpointer *c)
{
	pthread_mutex_lock(&c->lock);
	c->stop = true;
	pthread_cond_signal(&c->asked);
	pthread_mutex_unlock(&c->lock);
	pthread_join(c->thread, NULL);
	pthread_cond_destroy(&c->asked);
	pthread_mutex_destroy(&c->lock);
	sqlite3_close_v2(c->db);
	free(c);
}
