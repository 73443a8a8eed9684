/* SPDX-License-Identifier: Apache-2.0 */
/* Immediate means immediate: readers in other processes spin on 1,000 keys while all keys are revoked by 64 callers; not one decision that began after a
 * revoking call had returned may accept the key. And what a call costs, against the commit alone: the same rows, 64 a transaction, by the store without
 * projection, queue or readers.
 *
 *	revocation DATA [KEYS] [READERS]
 *
 * DATA must be empty or missing. Prints "RESULT revocation_violations …" and "RESULT revocation_p99 …". */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "api/api.h"
#include "engine/tenants.h"

#define CALLERS 64
#define WATCHED 1000
#define A_JOB 1000
#define READERS_MAX 64

struct made {
	uint64_t id;
	char token[KS_TOKEN_TEXT_SIZE];
};

/* What the processes share. */
struct shared {
	_Atomic uint64_t violations;
	_Atomic uint64_t decisions;
	_Atomic uint64_t accepted;
	_Atomic uint32_t readers_ready;
	_Atomic uint32_t stop;
	_Atomic uint64_t revoked_at[];   /* a key each, ns; 0: not yet */
};

static struct ks_engine *engine;
static struct shared *shared;
static struct made *keys;
static uint64_t *took;
static uint64_t key_count = 100000;
static _Atomic uint64_t next_key;

static _Noreturn void die(const char *what, const char *why)
{
	(void)fprintf(stderr, "revocation: %s: %s\n", what, why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the keys: twice as many as are revoked through the engine, the other half for the reference ---- */

static enum ks_err make_keys(struct ks_job *job, struct ks_tx *tx)
{
	const uint64_t *first = job->ctx;
	struct ks_actor actor;

	ks_actor_local(tx->ring, &actor);
	for (uint64_t i = *first; i < *first + A_JOB && i < 2 * key_count; i++) {
		struct ks_key_input input = {.name = KS_STR("watched"), .expires_given = true, .expires_at = KS_TIME_NONE};
		struct ks_key_made made;

		input.scopes[0] = KS_STR("keystile:keys:read");
		input.scope_count = 1;
		KS_TRY(ks_keys_create(tx, &actor, &input, &made, &job->refusal));
		keys[i].id = made.id;
		memcpy(keys[i].token, made.token, sizeof(made.token));
	}
	return KS_OK;
}

/* ---- readers ---- */

static bool is_accepted(const struct ks_ring *ring, const char *token, struct ks_path *path)
{
	struct ks_credential credential;
	struct ks_request request = {.credential = &credential, .credential_alone = true, .now_ms = 1};
	struct ks_decision decision;

	ks_credential_init(&credential);
	ks_credential_header(&credential, ks_str_c(token), KS_KINDS_ANY);
	ks_decide(ring, KS_RING_POLICY_SELF, &request, path, &decision);
	return decision.reason == KS_REASON_OK;
}

static _Noreturn void read_forever(const char *directory)
{
	static struct ks_path path;
	struct ks_ringmap_reader *reader = NULL;
	uint64_t step = key_count / WATCHED ? key_count / WATCHED : 1;

	if (ks_ringmap_reader_open(directory, &reader) != KS_OK)
		die("reader", "no ring");
	(void)atomic_fetch_add(&shared->readers_ready, 1);
	while (!atomic_load(&shared->stop)) {
		uint64_t accepted = 0, violations = 0, decisions = 0;

		for (uint64_t i = 0; i < key_count; i += step) {
			uint64_t start = now_ns();
			uint64_t revoked;

			decisions++;
			if (!is_accepted(ks_ringmap_reader_ring(reader), keys[i].token, &path))
				continue;
			accepted++;
			revoked = atomic_load(&shared->revoked_at[i]);
			violations += revoked != 0 && revoked < start;
		}
		(void)atomic_fetch_add(&shared->decisions, decisions);
		(void)atomic_fetch_add(&shared->accepted, accepted);
		(void)atomic_fetch_add(&shared->violations, violations);
	}
	ks_ringmap_reader_close(&reader);
	_exit(0);
}

/* ---- callers ---- */

struct revoke {
	struct ks_actor actor;
	uint64_t id;
};

static enum ks_err revoke_one(struct ks_job *job, struct ks_tx *tx)
{
	struct revoke *r = job->ctx;

	ks_actor_local(tx->ring, &r->actor);
	return ks_keys_revoke(tx, &r->actor, r->id, &job->refusal);
}

static void *call(void *ctx)
{
	struct revoke r;
	uint64_t i;

	(void)ctx;
	while ((i = atomic_fetch_add(&next_key, 1)) < key_count) {
		struct ks_job job = {.run = revoke_one, .ctx = &r, .refuses_first = true};
		uint64_t start = now_ns();

		r.id = keys[i].id;
		if (ks_engine_run(engine, &job) != KS_OK)
			die("revoke", ks_err_text(job.err));
		atomic_store(&shared->revoked_at[i], now_ns());
		took[i] = now_ns() - start;
	}
	return NULL;
}

/* ---- the reference: the commit alone ---- */

static enum ks_err note_tenant(void *ctx, const struct ks_key_row *row)
{
	*(uint64_t *)ctx = row->tenant;
	return KS_OK;
}

/* The rows that the engine writes for each: the key's, the change's, the audit's and the event's. */
static enum ks_err revoke_rows(struct ks_store *store, uint64_t tenant, uint64_t first, uint64_t end)
{
	char id[KS_ID_TEXT_SIZE];
	uint64_t seq;

	KS_TRY(ks_store_begin(store));
	for (uint64_t i = first; i < end; i++) {
		struct ks_audit_row audit = {.id = (UINT64_C(1) << 62) + i, .at = 1, .tenant = tenant, .actor = KS_STR("local"),
					     .action = KS_STR("key.revoke"), .outcome = KS_STR("ok"), .detail = KS_STR("{\"name\":\"watched\"}")};
		struct ks_event_row event = {.id = (UINT64_C(1) << 62) + i, .at = 1, .type = KS_STR("key.revoked"), .tenant = tenant,
					     .data = KS_STR("{\"name\":\"watched\",\"kind\":\"tenant\",\"binding\":\"operator\","
							    "\"environment\":\"live\",\"last_four\":\"0000\",\"expires_at\":null}")};

		ks_id_format(KS_ID_KEY, keys[i].id, id);
		audit.object = event.object = ks_str_c(id);
		KS_TRY(ks_store_key_revoke(store, keys[i].id, 1, KS_STR("local")));
		KS_TRY(ks_store_change_append(store, KS_CHANGE_KEY, keys[i].id, keys[i].id, &seq));
		KS_TRY(ks_store_audit_append(store, &audit));
		KS_TRY(ks_store_event_append(store, &event));
	}
	return ks_store_commit(store);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t percentile(uint64_t *values, uint64_t n, unsigned percent)
{
	qsort(values, (size_t)n, sizeof(*values), by_size);
	return values[n * percent / 100];
}

static uint64_t commit_alone_p99(const char *data, uint64_t *ret_p50)
{
	char uri[4200];
	struct ks_buf b = KS_BUF(uri);
	struct ks_store *store = NULL;
	uint64_t n = 0, tenant = 0;

	ks_buf_put_c(&b, "sqlite:");
	ks_buf_put_c(&b, data);
	ks_buf_put_c(&b, "/keystile.db");
	if (ks_store_open(ks_buf_z(&b), KS_STORE_WRITER, &store) != KS_OK)
		die("store", "cannot be opened");
	if (ks_store_key_get(store, keys[0].id, note_tenant, &tenant) != KS_OK)
		die("store", ks_store_error(store));
	for (uint64_t i = key_count; i + CALLERS <= 2 * key_count; i += CALLERS) {
		uint64_t start = now_ns();

		if (revoke_rows(store, tenant, i, i + CALLERS) != KS_OK)
			die("store", ks_store_error(store));
		took[n++] = now_ns() - start;
	}
	ks_store_close(&store);
	*ret_p50 = percentile(took, n, 50);
	return percentile(took, n, 99);
}

int main(int argc, char **argv)
{
	struct ks_engine_options options = {.prefix_live = "ks", .prefix_sandbox = "ks_sandbox", .domain = "", .ring_group = -1,
					    .usage_flush_ms = 1000, .create = true, .self_policy = ks_api_self_policy()};
	struct ks_engine_problem problem = {""};
	uint64_t readers = 1, start, p50, p99, alone50, alone99;
	pthread_t threads[CALLERS];
	pid_t pids[READERS_MAX];
	size_t size;

	if (argc < 2 || (argc > 2 && !ks_str_to_u64(ks_str_c(argv[2]), 10000000, &key_count))
	    || (argc > 3 && !ks_str_to_u64(ks_str_c(argv[3]), READERS_MAX, &readers))) {
		(void)fprintf(stderr, "usage: revocation DATA [KEYS] [READERS]\n");
		return 2;
	}
	size = sizeof(*shared) + key_count * sizeof(shared->revoked_at[0]);
	shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	keys = calloc(2 * key_count, sizeof(*keys));
	took = calloc(key_count, sizeof(*took));
	options.data_directory = argv[1];
	if (shared == MAP_FAILED || !keys || !took)
		die("memory", "none");
	if (ks_engine_open(&options, &engine, &problem) != KS_OK)
		die("engine", problem.text);
	for (uint64_t first = 0; first < 2 * key_count; first += A_JOB) {
		struct ks_job job = {.run = make_keys, .ctx = &first};

		if (ks_engine_run(engine, &job) != KS_OK)
			die("keys", job.refusal.detail);
	}
	for (uint64_t i = 0; i < readers; i++) {
		pids[i] = fork();
		if (pids[i] == 0)
			read_forever(ks_engine_ring_directory(engine));
	}
	while (atomic_load(&shared->readers_ready) < readers)
		(void)usleep(1000);
	start = now_ns();
	for (size_t i = 0; i < CALLERS; i++)
		(void)pthread_create(&threads[i], NULL, call, NULL);
	for (size_t i = 0; i < CALLERS; i++)
		(void)pthread_join(threads[i], NULL);
	start = now_ns() - start;
	atomic_store(&shared->stop, 1);
	/* Not any child: the engine has one too. */
	for (uint64_t i = 0; i < readers; i++)
		(void)waitpid(pids[i], NULL, 0);
	ks_engine_close(&engine);
	p50 = percentile(took, key_count, 50);
	p99 = percentile(took, key_count, 99);
	alone99 = commit_alone_p99(argv[1], &alone50);
	(void)printf("%llu revocations in %.2f s by %d callers, %llu decisions meanwhile by %llu readers, %llu of them accepted\n",
		     (unsigned long long)key_count, (double)start / 1e9, CALLERS, (unsigned long long)shared->decisions,
		     (unsigned long long)readers, (unsigned long long)shared->accepted);
	(void)printf("call to return: p50 %.0f us, p99 %.0f us; the commit alone: p50 %.0f us, p99 %.0f us\n", (double)p50 / 1e3,
		     (double)p99 / 1e3, (double)alone50 / 1e3, (double)alone99 / 1e3);
	(void)printf("RESULT revocation_violations value=%llu target=0 %s\n", (unsigned long long)shared->violations,
		     shared->violations == 0 && shared->accepted > 0 ? "pass" : "fail");
	(void)printf("RESULT revocation_p99 ratio=%.2f target=3 %s\n", (double)p99 / (double)alone99, p99 <= 3 * alone99 ? "pass" : "fail");
	return 0;
}
