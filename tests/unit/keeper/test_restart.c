/* SPDX-License-Identifier: Apache-2.0 */
/* The keeper's end under load: what is under way fails with its code, nothing hangs, and it is there again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "keeper/keeper.h"

#define THREADS 4
#define KILLS 6

static char data[64];
static struct ks_keeper *keeper;
static uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
static struct ks_keeper_org org;
static const struct ks_keeper_binding binding = {1, 2, {"field", 5}, 3};

static void begin(unsigned timeout_ms)
{
	struct ks_keeper_options o = {.directory = data, .may_create = true, .timeout_ms = timeout_ms};
	struct ks_keeper_problem problem;
	size_t n;

	(void)snprintf(data, sizeof(data), "/tmp/keystile-keeper-XXXXXX");
	assert_non_null(mkdtemp(data));
	assert_int_equal(ks_keeper_start(&o, &keeper, &problem), KS_OK);
	assert_int_equal(ks_keeper_org_create(keeper, 1, 1, wrapped, sizeof(wrapped), &n), KS_OK);
	org = (struct ks_keeper_org){1, 1, ks_str_of((const char *)wrapped, n)};
}

static void end(void)
{
	char path[128];

	ks_keeper_stop(&keeper);
	(void)snprintf(path, sizeof(path), "%s/master.key", data);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(data), 0);
}

static struct ks_keeper_stats stats_now(void)
{
	struct ks_keeper_stats stats;

	ks_keeper_stats(keeper, &stats);
	return stats;
}

static void wait_ready(uint64_t restarts)
{
	struct ks_keeper_stats stats;

	do {
		(void)sched_yield();
		stats = stats_now();
	} while (!stats.ready || stats.restarts < restarts);
}

struct load {
	pthread_t thread;
	uint64_t done, failed;
};

static _Atomic bool ending;
static _Atomic uint64_t all_done;

static void *press(void *ctx)
{
	struct load *l = ctx;
	uint8_t sealed[128], plain[32];

	while (!atomic_load(&ending)) {
		struct ks_keeper_value v = {.binding = binding, .in = KS_STR("value"), .ret_out = sealed, .cap = sizeof(sealed)};
		enum ks_err err = ks_keeper_seal(keeper, &org, &v, 1);

		if (err == KS_OK) {
			v.in = ks_str_of((const char *)sealed, v.ret_n);
			v.ret_out = plain;
			v.cap = sizeof(plain);
			err = ks_keeper_open(keeper, &org, &v, 1);
			if (err == KS_OK && (v.err != KS_OK || !ks_str_eq(ks_str_of((const char *)plain, v.ret_n), KS_STR("value"))))
				abort();
		}
		if (err != KS_OK && err != KS_KEEPER)
			abort();
		l->failed += err != KS_OK;
		l->done += err == KS_OK;
		atomic_fetch_add(&all_done, err == KS_OK);
	}
	return NULL;
}

static void killed_under_load_it_comes_again(void **state)
{
	struct load loads[THREADS] = {{0}};
	uint64_t done = 0;

	(void)state;
	begin(0);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&loads[i].thread, NULL, press, &loads[i]), 0);
	for (uint64_t i = 1; i <= KILLS; i++) {
		uint64_t before = atomic_load(&all_done);

		while (atomic_load(&all_done) < before + 50)
			(void)sched_yield();
		assert_int_equal(kill((pid_t)stats_now().pid, SIGKILL), 0);
		wait_ready(i);
	}
	done = atomic_load(&all_done);
	while (atomic_load(&all_done) < done + 50)
		(void)sched_yield();
	atomic_store(&ending, true);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_join(loads[i].thread, NULL), 0);
	assert_int_equal(stats_now().waiting, 0);
	assert_int_equal(stats_now().restarts, KILLS);
	end();
}

/* It is there but does nothing: ended, and what waited fails. */
static void a_keeper_that_does_not_answer_is_ended(void **state)
{
	struct ks_keeper_value v;
	uint8_t sealed[128];
	pid_t pid;

	(void)state;
	begin(400);
	v = (struct ks_keeper_value){.binding = binding, .in = KS_STR("value"), .ret_out = sealed, .cap = sizeof(sealed)};
	pid = (pid_t)stats_now().pid;
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(ks_keeper_seal(keeper, &org, &v, 1), KS_KEEPER);
	wait_ready(1);
	assert_true(stats_now().pid != pid);
	assert_int_equal(ks_keeper_seal(keeper, &org, &v, 1), KS_OK);
	end();
}

static void count_opened(struct ks_keeper_opening *opening)
{
	if (opening->err != KS_OK || opening->values->err != KS_OK)
		abort();
	atomic_fetch_add((_Atomic uint64_t *)opening->ctx, 1);
}

#define PIPELINED 2000

static void many_wait_at_one_time(void **state)
{
	static struct ks_keeper_opening openings[PIPELINED];
	static struct ks_keeper_value values[PIPELINED];
	static uint8_t plain[PIPELINED][8];
	static _Atomic uint64_t opened;
	uint8_t sealed[128];
	struct ks_keeper_value v = {.binding = binding, .in = KS_STR("value"), .ret_out = sealed, .cap = sizeof(sealed)};

	(void)state;
	begin(0);
	assert_int_equal(ks_keeper_seal(keeper, &org, &v, 1), KS_OK);
	for (size_t i = 0; i < PIPELINED; i++) {
		values[i] = (struct ks_keeper_value){.binding = binding, .in = ks_str_of((const char *)sealed, v.ret_n), .ret_out = plain[i], .cap = 8};
		openings[i] = (struct ks_keeper_opening){.values = &values[i], .count = 1, .done = count_opened, .ctx = &opened};
		assert_int_equal(ks_keeper_open_submit(keeper, &org, &openings[i]), KS_OK);
	}
	while (atomic_load(&opened) < PIPELINED)
		(void)sched_yield();
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_under_load_it_comes_again),
		cmocka_unit_test(a_keeper_that_does_not_answer_is_ended),
		cmocka_unit_test(many_wait_at_one_time),
	};

	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
