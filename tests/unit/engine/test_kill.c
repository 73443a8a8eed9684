/* SPDX-License-Identifier: Apache-2.0 */
/* A child changes things on several threads and says so, before and after, through a pipe; it is killed at some
 * instant; everything that it said was done must be there, nothing may be half done, and the ring must equal the truth.
 * Again and again on the same data. KILL_ROUNDS sets how often. */
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "../seed.h"
#include "base/buf.h"
#include "crypto/sha256.h"
#include "support.h"

#define THREADS 3
#define KEYS_MAX 60000
#define IMPORT_LINES 300
#define ROUNDS 100

enum what { INTEND_REVOKE, REVOKED, CREATED, INTEND_ROTATE, ROTATED, INTEND_SUSPEND, SUSPENDED, IMPORTED, OPENED };

struct message {
	enum what what;
	unsigned key;                /* index, of those that were there before the child */
	bool flag;
	uint64_t id;
	char token[96];
};
_Static_assert(sizeof(struct message) <= 512, "a message is written at once");

enum state { LIVE, GONE, EITHER };

struct known {
	char token[112];
	uint64_t id;
	enum state state;
};

static struct trial {
	struct world w;
	unsigned seed;
	uint64_t org, moody;
	struct ks_key_made moody_key;
	enum state moody_state;
	struct known keys[KEYS_MAX];
	unsigned key_count;
	unsigned imports;
} trial;

static unsigned draw(unsigned *seed, unsigned n)
{
	*seed = *seed * 1103515245u + 12345u;
	return (*seed >> 8) % n;
}

/* ---- the child ---- */

struct worker {
	int pipe;
	unsigned number;
	unsigned seed;
	unsigned round;
};

static void die(const struct world *w, const char *what, enum ks_err err)
{
	fprintf(stderr, "%s: %s %s\n", what, ks_err_name(err), w->refusal.detail);
	_exit(4);
}

static void say(const struct worker *worker, const struct message *message)
{
	if (write(worker->pipe, message, sizeof(*message)) != (ssize_t)sizeof(*message))
		_exit(3);
}

/* The keys that this thread may end: no two threads take the same, and the ids of imported ones are not known here. */
static bool pick(struct worker *worker, unsigned *ret_key)
{
	for (int tries = 0; tries < 10 && trial.key_count > 0; tries++) {
		unsigned key = draw(&worker->seed, trial.key_count);

		if (key % THREADS == worker->number && trial.keys[key].state == LIVE && trial.keys[key].id != 0) {
			trial.keys[key].state = GONE;
			*ret_key = key;
			return true;
		}
	}
	return false;
}

static void do_create(struct worker *worker)
{
	struct ks_key_input input =
		key_input("k", trial.org, draw(&worker->seed, 2) ? "contacts:read" : "contacts:read calls:read");
	struct message m = {.what = CREATED};
	struct ks_key_made made;
	struct world w = trial.w;
	enum ks_err err = create_key(&w, NULL, &input, &made);

	if (err != KS_OK)
		die(&w, "create", err);
	m.id = made.id;
	(void)snprintf(m.token, sizeof(m.token), "%s", made.token);
	say(worker, &m);
}

static void do_revoke(struct worker *worker)
{
	struct message m = {.what = INTEND_REVOKE};
	struct world w = trial.w;
	enum ks_err err;

	if (!pick(worker, &m.key))
		return;
	say(worker, &m);
	err = revoke_key(&w, NULL, trial.keys[m.key].id);
	if (err != KS_OK)
		die(&w, "revoke", err);
	m.what = REVOKED;
	say(worker, &m);
}

struct rotation {
	uint64_t id;
	struct ks_key_made made;
};

static enum ks_err step_rotate(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct rotation *r = ctx;
	struct ks_actor local;

	ks_actor_local(tx->ring, &local);
	return ks_keys_rotate(tx, &local, r->id, 0, false, 0, &r->made, refusal);
}

static void do_rotate(struct worker *worker)
{
	struct message m = {.what = INTEND_ROTATE};
	struct rotation r;
	struct world w = trial.w;
	enum ks_err err;

	if (!pick(worker, &m.key))
		return;
	say(worker, &m);
	r.id = trial.keys[m.key].id;
	err = world_change(&w, step_rotate, &r);
	if (err != KS_OK)
		die(&w, "rotate", err);
	m.what = ROTATED;
	m.id = r.made.id;
	(void)snprintf(m.token, sizeof(m.token), "%s", r.made.token);
	say(worker, &m);
}

static void do_suspend(struct worker *worker)
{
	struct message m = {.what = INTEND_SUSPEND, .flag = draw(&worker->seed, 2) == 0};
	struct world w = trial.w;
	enum ks_err err;

	say(worker, &m);
	err = suspend_tenant(&w, NULL, trial.moody, m.flag);
	if (err != KS_OK)
		die(&w, "suspend", err);
	m.what = SUSPENDED;
	say(worker, &m);
}

static enum ks_err step_local(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	(void)refusal;
	ks_actor_local(tx->ring, ctx);
	return KS_OK;
}

static void do_import(struct worker *worker)
{
	struct message m = {.what = IMPORTED, .key = draw(&worker->seed, 1u << 30)};
	struct ks_import_result result;
	struct ks_import *import;
	struct ks_actor actor;
	struct world w = trial.w;
	char org[KS_ID_TEXT_SIZE];

	ks_id_format(KS_ID_ORGANIZATION, trial.org, org);
	if (world_change(&w, step_local, &actor) != KS_OK
	    || ks_import_begin(w.engine, &actor, NULL, NULL, &import) != KS_OK)
		_exit(4);
	for (unsigned i = 0; i < IMPORT_LINES; i++) {
		char line[400], token[96];
		struct ks_buf b = KS_BUF(line);
		struct ks_digest digest;

		(void)snprintf(token, sizeof(token), "import-%u-%u-%u", worker->round, m.key, i);
		if (ks_sha256(ks_str_c(token), &digest) != KS_OK)
			_exit(5);
		ks_buf_printf(&b,
			      "{\"name\":\"i\",\"tenant\":\"%s\",\"scopes\":[\"contacts:read\"],\"expires_at\":null,"
			      "\"sha256\":\"",
			      org);
		ks_buf_put_hex(&b, digest.bytes, sizeof(digest.bytes));
		ks_buf_put_c(&b, "\"}\n");
		if (ks_import_feed(import, ks_buf_str(&b)) != KS_OK)
			_exit(4);
	}
	if (ks_import_end(&import, &result) != KS_OK || result.imported != IMPORT_LINES)
		die(&w, "import", KS_OK);
	(void)snprintf(m.token, sizeof(m.token), "import-%u-%u-", worker->round, m.key);
	say(worker, &m);
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;

	for (;;) {
		unsigned choice = draw(&worker->seed, 40);

		if (choice < 20)
			do_create(worker);
		else if (choice < 30)
			do_revoke(worker);
		else if (choice < 35)
			do_rotate(worker);
		else if (choice < 39 && worker->number == 0)
			do_suspend(worker);
		else if (choice == 39)
			do_import(worker);
	}
	return NULL;
}

static void child(int pipe, unsigned round, unsigned seed)
{
	struct worker workers[THREADS];
	struct message opened = {.what = OPENED};

	trial.w.options.rebuild_ring = draw(&seed, 10) == 0;
	if (world_open(&trial.w) != KS_OK)
		_exit(2);
	workers[0] = (struct worker){.pipe = pipe};
	say(&workers[0], &opened);
	for (unsigned i = 0; i < THREADS; i++) {
		pthread_t thread;

		workers[i] = (struct worker){.pipe = pipe, .number = i, .seed = seed + i * 7919, .round = round};
		if (pthread_create(&thread, NULL, worker_main, &workers[i]) != 0)
			_exit(2);
	}
	for (;;)
		pause();
}

/* ---- the parent ---- */

static void add_key(const char *token, uint64_t id)
{
	struct known *key = &trial.keys[trial.key_count];

	if (trial.key_count == KEYS_MAX)
		return;
	trial.key_count++;
	assert_true(snprintf(key->token, sizeof(key->token), "%s", token) < (int)sizeof(key->token));
	key->id = id;
	key->state = LIVE;
}

static void hear(const struct message *m)
{
	switch (m->what) {
	case INTEND_REVOKE:
	case INTEND_ROTATE:
		trial.keys[m->key].state = EITHER;
		break;
	case REVOKED:
		trial.keys[m->key].state = GONE;
		break;
	case ROTATED:
		trial.keys[m->key].state = GONE;
		add_key(m->token, m->id);
		break;
	case CREATED:
		add_key(m->token, m->id);
		break;
	case INTEND_SUSPEND:
		trial.moody_state = EITHER;
		break;
	case SUSPENDED:
		trial.moody_state = m->flag ? GONE : LIVE;
		break;
	case IMPORTED:
		trial.imports++;
		for (unsigned i = 0; i < IMPORT_LINES; i++) {
			char token[112];

			(void)snprintf(token, sizeof(token), "%s%u", m->token, i);
			add_key(token, 0);
		}
		break;
	case OPENED:
		break;
	}
}

/* Hears at least `count` messages, kills, and hears what was said until then. */
static void run_and_kill(unsigned round, unsigned count, unsigned seed)
{
	int pipes[2], status;
	struct message m;
	unsigned heard = 0;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipes), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		close(pipes[0]);
		child(pipes[1], round, seed);
	}
	close(pipes[1]);
	while (heard < count && (n = read(pipes[0], &m, sizeof(m))) == (ssize_t)sizeof(m)) {
		hear(&m);
		heard++;
	}
	assert_int_equal(kill(pid, SIGKILL), 0);
	while ((n = read(pipes[0], &m, sizeof(m))) == (ssize_t)sizeof(m))
		hear(&m);
	assert_int_equal(n, 0);
	close(pipes[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (!WIFSIGNALED(status))
		fail_msg("the child ended by itself: %d", WEXITSTATUS(status));
}

static enum state state_of(const struct ks_ring *ring, const char *token)
{
	static struct ks_path scratch;
	struct ks_credential credential;
	struct ks_decision decision;
	char header[100];
	struct ks_request request = {.credential = &credential,
				     .method = KS_STR("GET"),
				     .path = KS_STR("/v1/contacts"),
				     .now_ms = INT64_C(4000000000000)};

	(void)snprintf(header, sizeof(header), "Bearer %s", token);
	ks_credential_init(&credential);
	ks_credential_authorization(&credential, ks_str_c(header));
	ks_decide(ring, KS_RING_POLICY_PLATFORM, &request, &scratch, &decision);
	return decision.reason == KS_REASON_OK ? LIVE : GONE;
}

/* Settles what could be either. */
static void compare(enum state *known, enum state is, const char *token)
{
	if (*known != EITHER && *known != is)
		fail_msg("%.12s… is %s", token, is == LIVE ? "accepted" : "not accepted");
	*known = is;
}

static void verify(void)
{
	struct ks_engine_reader reader;
	struct ks_engine_stats stats;
	const struct ks_ring *ring;

	assert_int_equal(ks_engine_reader_open(trial.w.engine, &reader), KS_OK);
	ring = ks_ringmap_reader_ring(reader.ring);
	assert_non_null(ring);
	for (unsigned i = 0; i < trial.key_count; i++)
		compare(&trial.keys[i].state, state_of(ring, trial.keys[i].token), trial.keys[i].token);
	compare(&trial.moody_state, state_of(ring, trial.moody_key.token), trial.moody_key.token);
	ks_engine_reader_close(&reader);
	assert_in_step(&trial.w);
	/* Rows and audit entries were made together. */
	ks_engine_stats(trial.w.engine, &stats);
	assert_int_equal(stats.keys,
			 audit_count(&trial.w, "key.create") + audit_count(&trial.w, "key.import") * IMPORT_LINES);
	assert_true(audit_count(&trial.w, "key.import") >= trial.imports);
}

static void killed_at_any_instant(void **state)
{
	const char *rounds_text = getenv("KILL_ROUNDS");
	unsigned rounds = rounds_text ? (unsigned)strtoul(rounds_text, NULL, 10) : ROUNDS;

	(void)state;
	trial.seed = (unsigned)test_seed();
	world_new(&trial.w);
	trial.org = make_tenant(&trial.w, KS_TENANT_KIND_ORGANIZATION, 0, "Org");
	trial.moody = make_tenant(&trial.w, KS_TENANT_KIND_ORGANIZATION, 0, "Moody");
	trial.moody_key = make_key(&trial.w, trial.moody, "contacts:read");
	trial.moody_state = LIVE;
	for (unsigned round = 0; round < rounds; round++) {
		unsigned messages = draw(&trial.seed, 8) == 0 ? 0 : draw(&trial.seed, 60);

		world_close(&trial.w);
		run_and_kill(round, messages, trial.seed);
		if (world_open(&trial.w) != KS_OK)
			fail_msg("round %u: %s", round, trial.w.problem.text);
		verify();
	}
	print_message("%u keys, %u imports\n", trial.key_count, trial.imports);
	world_free(&trial.w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(killed_at_any_instant)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
