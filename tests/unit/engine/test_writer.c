/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "support.h"

static int set_up(void **state)
{
	static struct world w;

	world_new(&w);
	*state = &w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	assert_in_step(w);
	world_free(w);
	return 0;
}

/* ---- a job that holds the writer until it is told to go on ---- */

struct gate {
	struct ks_job job;
	pthread_mutex_t lock;
	pthread_cond_t moved;
	bool reached, open, finished;
};

static enum ks_err run_gate(struct ks_job *job, struct ks_tx *tx)
{
	struct gate *gate = job->ctx;

	(void)tx;
	pthread_mutex_lock(&gate->lock);
	gate->reached = true;
	pthread_cond_broadcast(&gate->moved);
	while (!gate->open)
		pthread_cond_wait(&gate->moved, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
	return KS_OK;
}

static void gate_done(struct ks_job *job)
{
	struct gate *gate = job->ctx;

	pthread_mutex_lock(&gate->lock);
	gate->finished = true;
	pthread_cond_broadcast(&gate->moved);
	pthread_mutex_unlock(&gate->lock);
}

/* On return the writer stands in the gate, in a transaction of its own. */
static void shut(struct world *w, struct gate *gate)
{
	*gate = (struct gate){.lock = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
	gate->job = (struct ks_job){.run = run_gate, .done = gate_done, .ctx = gate, .bulk = true};
	assert_int_equal(ks_engine_submit(w->engine, &gate->job), KS_OK);
	pthread_mutex_lock(&gate->lock);
	while (!gate->reached)
		pthread_cond_wait(&gate->moved, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

static void open_gate(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->open = true;
	pthread_cond_broadcast(&gate->moved);
	while (!gate->finished)
		pthread_cond_wait(&gate->moved, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

/* ---- many jobs without a thread each ---- */

struct task {
	struct ks_job job;
	struct tasks *all;
	uint64_t tenant;
	enum ks_err fails_with;      /* after its writes */
	bool idle;                   /* without any */
	bool new_grant;
	bool refuses_first;          /* or so it says */
	struct task *follower;       /* submitted while this one runs */
	struct world *w;
	struct ks_key_made made;
	unsigned order;              /* in which it was done */
};

struct tasks {
	pthread_mutex_t lock;
	pthread_cond_t moved;
	unsigned done;
};

static void submit_task(struct world *w, struct tasks *all, struct task *task);

static enum ks_err run_task(struct ks_job *job, struct ks_tx *tx)
{
	struct task *task = job->ctx;
	struct ks_key_input input =
		key_input("task", task->tenant, task->new_grant ? "contacts:write calls:read" : "contacts:read");
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	if (task->follower)
		submit_task(task->w, task->all, task->follower);
	if (!task->idle)
		KS_TRY(ks_keys_create(tx, &local, &input, &task->made, &job->refusal));
	return task->fails_with;
}

static void task_done(struct ks_job *job)
{
	struct task *task = job->ctx;

	pthread_mutex_lock(&task->all->lock);
	task->order = task->all->done++;
	pthread_cond_broadcast(&task->all->moved);
	pthread_mutex_unlock(&task->all->lock);
}

static void submit_task(struct world *w, struct tasks *all, struct task *task)
{
	task->all = all;
	task->job = (struct ks_job){.run = run_task, .done = task_done, .ctx = task, .refuses_first = task->refuses_first};
	assert_int_equal(ks_engine_submit(w->engine, &task->job), KS_OK);
}

static void wait_for(struct tasks *all, unsigned count)
{
	pthread_mutex_lock(&all->lock);
	while (all->done < count)
		pthread_cond_wait(&all->moved, &all->lock);
	pthread_mutex_unlock(&all->lock);
}

#define TASKS {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}

/* ---- tests ---- */

static void a_job_that_fails_harms_no_other(void **state)
{
	struct world *w = *state;
	uint64_t org = make_tenant(w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	struct tasks all = TASKS;
	struct task tasks[5] = {0};
	struct ks_engine_stats before, after;
	struct gate gate;

	for (size_t i = 0; i < 5; i++)
		tasks[i].tenant = org;
	tasks[1].fails_with = KS_CONFLICT;
	tasks[1].new_grant = true;
	tasks[3].fails_with = KS_MEMORY;
	shut(w, &gate);
	ks_engine_stats(w->engine, &before);
	for (size_t i = 0; i < 5; i++)
		submit_task(w, &all, &tasks[i]);
	open_gate(&gate);
	wait_for(&all, 5);
	ks_engine_stats(w->engine, &after);
	for (unsigned i = 0; i < 5; i++) {
		struct key_seen seen;
		bool fails = tasks[i].fails_with != KS_OK;

		assert_int_equal(tasks[i].job.err, tasks[i].fails_with);
		assert_int_equal(tasks[i].order, i);
		assert_int_equal(see_key(w, tasks[i].made.id, &seen), !fails);
		assert_int_equal(ask(w, tasks[i].made.token), fails ? KS_REASON_CREDENTIAL_INVALID : KS_REASON_OK);
	}
	/* The gate writes nothing, the five share one commit. */
	assert_int_equal(after.commits - before.commits, 1);
	assert_int_equal(after.keys - before.keys, 3);
	assert_int_equal(after.grants - before.grants, 1);
	assert_int_equal(after.jobs_failed - before.jobs_failed, 2);
}

static void what_keeps_nothing_commits_nothing(void **state)
{
	struct world *w = *state;
	struct tasks all = TASKS;
	struct task tasks[2] = {{.fails_with = KS_CONFLICT}, {.idle = true}};
	struct ks_engine_stats before, after;

	ks_engine_stats(w->engine, &before);
	for (unsigned i = 0; i < 2; i++) {
		submit_task(w, &all, &tasks[i]);
		wait_for(&all, i + 1);
		assert_int_equal(tasks[i].job.err, tasks[i].fails_with);
	}
	ks_engine_stats(w->engine, &after);
	assert_int_equal(after.commits, before.commits);
	assert_int_equal(after.position, before.position);
}

static void a_store_that_fails_fails_the_whole_transaction(void **state)
{
	struct world *w = *state;
	struct tasks all = TASKS;
	struct task tasks[3] = {{.tenant = 0}, {.fails_with = KS_STORE}, {.tenant = 0}};
	struct task later = {0};
	struct ks_engine_stats before, after;
	struct gate gate;

	shut(w, &gate);
	ks_engine_stats(w->engine, &before);
	for (size_t i = 0; i < 3; i++)
		submit_task(w, &all, &tasks[i]);
	open_gate(&gate);
	wait_for(&all, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(tasks[i].job.err, KS_STORE);
		assert_int_equal(ask(w, tasks[i].made.token),
				 tasks[i].made.id ? KS_REASON_CREDENTIAL_INVALID : KS_REASON_CREDENTIAL_MALFORMED);
	}
	ks_engine_stats(w->engine, &after);
	assert_int_equal(after.position, before.position);
	assert_in_step(w);
	submit_task(w, &all, &later);
	wait_for(&all, 4);
	assert_int_equal(later.job.err, KS_OK);
	assert_int_equal(ask(w, later.made.token), KS_REASON_OK);
}

static void run_three(struct world *w, struct tasks *all, struct task *tasks)
{
	struct gate gate;

	shut(w, &gate);
	for (size_t i = 0; i < 3; i++)
		submit_task(w, all, &tasks[i]);
	open_gate(&gate);
	wait_for(all, 3);
}

static void a_job_that_refuses_first_harms_no_other(void **state)
{
	struct world *w = *state;
	struct tasks all = TASKS;
	struct task tasks[3] = {{.refuses_first = true}, {.refuses_first = true, .idle = true, .fails_with = KS_CONFLICT}, {.tenant = 0}};

	run_three(w, &all, tasks);
	assert_int_equal(tasks[1].job.err, KS_CONFLICT);
	for (size_t i = 0; i < 3; i += 2) {
		assert_int_equal(tasks[i].job.err, KS_OK);
		assert_int_equal(ask(w, tasks[i].made.token), KS_REASON_OK);
	}
}

/* It has no savepoint to go back to: nothing of its transaction may be kept, least of all its own half. */
static void a_job_that_refuses_after_all_fails_the_whole_transaction(void **state)
{
	struct world *w = *state;
	struct tasks all = TASKS;
	struct task tasks[3] = {{.tenant = 0}, {.refuses_first = true, .fails_with = KS_CONFLICT}, {.tenant = 0}};
	struct key_seen seen;

	run_three(w, &all, tasks);
	assert_int_equal(tasks[0].job.err, KS_STORE);
	assert_int_equal(tasks[1].job.err, KS_CONFLICT);
	assert_int_equal(tasks[2].job.err, KS_STORE);
	for (size_t i = 0; i < 2; i++) {
		assert_false(see_key(w, tasks[i].made.id, &seen));
		assert_int_equal(ask(w, tasks[i].made.token), KS_REASON_CREDENTIAL_INVALID);
	}
	assert_in_step(w);
}

static void the_queue_is_bounded(void **state)
{
	struct world *w = *state;
	struct tasks all = TASKS;
	struct task *tasks = calloc(KS_ENGINE_QUEUE_MAX + 1, sizeof(*tasks));
	struct ks_engine_stats stats;
	struct gate gate;

	assert_non_null(tasks);
	shut(w, &gate);
	for (size_t i = 0; i < KS_ENGINE_QUEUE_MAX; i++) {
		tasks[i].idle = true;
		submit_task(w, &all, &tasks[i]);
	}
	ks_engine_stats(w->engine, &stats);
	assert_int_equal(stats.jobs_waiting, KS_ENGINE_QUEUE_MAX);
	tasks[KS_ENGINE_QUEUE_MAX].job = (struct ks_job){.run = run_task, .done = task_done};
	assert_int_equal(ks_engine_submit(w->engine, &tasks[KS_ENGINE_QUEUE_MAX].job), KS_FULL);
	open_gate(&gate);
	wait_for(&all, KS_ENGINE_QUEUE_MAX);
	free(tasks);
}

struct client {
	struct world *w;
	pthread_t thread;
	_Atomic unsigned *go;
	unsigned count;
	unsigned failures;
};

static void *client_main(void *arg)
{
	struct client *c = arg;

	while (atomic_load(c->go) == 0)
		sched_yield();
	for (unsigned i = 0; i < c->count; i++) {
		struct tasks all = TASKS;
		struct task task = {0};

		submit_task(c->w, &all, &task);
		wait_for(&all, 1);
		c->failures += task.job.err != KS_OK;
	}
	return NULL;
}

static void those_who_wait_together_share_a_commit(void **state)
{
	struct world *w = *state;
	struct client clients[64];
	struct ks_engine_stats before, after;
	_Atomic unsigned go = 0;
	struct gate gate;

	ks_engine_stats(w->engine, &before);
	shut(w, &gate);
	for (size_t i = 0; i < 64; i++) {
		clients[i] = (struct client){.w = w, .go = &go, .count = 20};
		assert_int_equal(pthread_create(&clients[i].thread, NULL, client_main, &clients[i]), 0);
	}
	atomic_store(&go, 1);
	do {
		sched_yield();
		ks_engine_stats(w->engine, &after);
	} while (after.jobs_waiting < 64);
	open_gate(&gate);
	for (size_t i = 0; i < 64; i++) {
		pthread_join(clients[i].thread, NULL);
		assert_int_equal(clients[i].failures, 0);
	}
	ks_engine_stats(w->engine, &after);
	assert_int_equal(after.keys - before.keys, 64 * 20);
	assert_true(after.commits - before.commits < 64 * 20);
}

/* A disk that takes its time: SQLite calls this one. */
#define SLOW_MS 2
static _Atomic bool slow;

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	const struct timespec a_while = {0, SLOW_MS * 1000000};

	if (atomic_load(&slow))
		(void)nanosleep(&a_while, NULL);
	return (int)syscall(SYS_fdatasync, fd);
}

static void who_comes_while_a_transaction_runs_joins_it(void **state)
{
	struct world *w = *state;
	struct tasks all = TASKS;
	struct task tasks[41] = {0};
	struct ks_engine_stats before, after;

	atomic_store(&slow, true);
	submit_task(w, &all, &tasks[40]);
	wait_for(&all, 1);
	ks_engine_stats(w->engine, &before);
	for (unsigned i = 0; i < 40; i += 2) {
		tasks[i].w = w;
		tasks[i].follower = &tasks[i + 1];
		tasks[i + 1].fails_with = i % 4 == 0 ? KS_OK : KS_CONFLICT;
		submit_task(w, &all, &tasks[i]);
		wait_for(&all, i + 3);
	}
	ks_engine_stats(w->engine, &after);
	atomic_store(&slow, false);
	for (unsigned i = 0; i < 40; i++) {
		assert_int_equal(tasks[i].order, i + 1);
		assert_int_equal(tasks[i].job.err, tasks[i].fails_with);
		assert_int_equal(ask(w, tasks[i].made.token),
				 tasks[i].fails_with ? KS_REASON_CREDENTIAL_INVALID : KS_REASON_OK);
	}
	assert_int_equal(after.keys - before.keys, 30);
	/* Alone, each of the thirty would have one; on a machine that stands still some may be late. */
	assert_in_range(after.commits - before.commits, 20, 29);
}

static void what_was_submitted_before_the_end_is_finished(void **state)
{
	struct world *w = *state;
	struct tasks all = TASKS;
	struct task tasks[100] = {0};

	for (size_t i = 0; i < 100; i++)
		submit_task(w, &all, &tasks[i]);
	world_close(w);
	assert_int_equal(all.done, 100);
	assert_int_equal(world_open(w), KS_OK);
	for (size_t i = 0; i < 100; i++) {
		assert_int_equal(tasks[i].job.err, KS_OK);
		assert_int_equal(ask(w, tasks[i].made.token), KS_REASON_OK);
	}
}

/* Done means visible: each callback looks into the ring itself. */
struct watcher {
	struct ks_job job;
	struct world *w;
	struct tasks *all;
	uint64_t key;
	const char *token;
	enum ks_reason at_done;
};

static enum ks_err run_revoke(struct ks_job *job, struct ks_tx *tx)
{
	struct watcher *watcher = job->ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_keys_revoke(tx, &local, watcher->key, &job->refusal);
}

static void watch_done(struct ks_job *job)
{
	struct watcher *watcher = job->ctx;

	watcher->at_done = ask(watcher->w, watcher->token);
	pthread_mutex_lock(&watcher->all->lock);
	watcher->all->done++;
	pthread_cond_broadcast(&watcher->all->moved);
	pthread_mutex_unlock(&watcher->all->lock);
}

static void done_means_visible_to_every_reader(void **state)
{
	struct world *w = *state;
	struct ks_key_made keys[20];
	struct watcher watchers[20];
	struct tasks all = TASKS;

	for (size_t i = 0; i < 20; i++)
		keys[i] = make_key(w, 0, "contacts:read");
	for (size_t i = 0; i < 20; i++) {
		watchers[i] = (struct watcher){
			.w = w, .all = &all, .key = keys[i].id, .token = keys[i].token, .at_done = KS_REASON_OK};
		watchers[i].job = (struct ks_job){.run = run_revoke, .done = watch_done, .ctx = &watchers[i]};
		assert_int_equal(ks_engine_submit(w->engine, &watchers[i].job), KS_OK);
	}
	wait_for(&all, 20);
	for (size_t i = 0; i < 20; i++)
		assert_int_equal(watchers[i].at_done, KS_REASON_CREDENTIAL_INVALID);
}

static enum ks_err step_ids(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	uint64_t *last = ctx;

	(void)refusal;
	for (int i = 0; i < 1000; i++) {
		uint64_t id = ks_tx_id(tx);

		assert_true(id > *last);
		*last = id;
	}
	return KS_OK;
}

static void ids_rise_also_after_opening_again(void **state)
{
	struct world *w = *state;
	uint64_t last = make_key(w, 0, "contacts:read").id;

	world_close(w);
	assert_int_equal(world_open(w), KS_OK);
	assert_int_equal(world_change(w, step_ids, &last), KS_OK);
}

/* The ring becomes larger while somebody decides by it without pause. */
struct decider {
	struct world *w;
	const char *token;
	_Atomic bool stop;
	uint64_t asked, refused;
};

static void *decide_on_and_on(void *arg)
{
	struct decider *d = arg;

	do {
		d->refused += ask(d->w, d->token) != KS_REASON_OK;
		d->asked++;
	} while (!atomic_load(&d->stop));
	return NULL;
}

static void growth_disturbs_no_reader(void **state)
{
	struct world *w = *state;
	struct ks_engine_stats stats;
	struct ks_key_made key = make_key(w, 0, "contacts:read");
	struct decider d = {.w = w, .token = key.token};
	struct tasks all = TASKS;
	struct task *tasks;
	pthread_t thread;
	unsigned done = 0;

	ks_engine_stats(w->engine, &stats);
	tasks = calloc(2000, sizeof(*tasks));
	assert_non_null(tasks);
	assert_int_equal(pthread_create(&thread, NULL, decide_on_and_on, &d), 0);
	while (stats.growths < 2) {
		assert_true(done < 400000);
		for (size_t i = 0; i < 2000; i++)
			submit_task(w, &all, &tasks[i]);
		done += 2000;
		wait_for(&all, done);
		ks_engine_stats(w->engine, &stats);
	}
	atomic_store(&d.stop, true);
	pthread_join(thread, NULL);
	assert_true(d.asked > 0);
	assert_int_equal(d.refused, 0);
	assert_int_equal(ask(w, tasks[1999].made.token), KS_REASON_OK);
	free(tasks);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_job_that_fails_harms_no_other),
		TEST(what_keeps_nothing_commits_nothing),
		TEST(a_store_that_fails_fails_the_whole_transaction),
		TEST(a_job_that_refuses_first_harms_no_other),
		TEST(a_job_that_refuses_after_all_fails_the_whole_transaction),
		TEST(the_queue_is_bounded),
		TEST(those_who_wait_together_share_a_commit),
		TEST(who_comes_while_a_transaction_runs_joins_it),
		TEST(what_was_submitted_before_the_end_is_finished),
		TEST(done_means_visible_to_every_reader),
		TEST(ids_rise_also_after_opening_again),
		TEST(growth_disturbs_no_reader),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
