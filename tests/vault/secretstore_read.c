/* SPDX-License-Identifier: Apache-2.0 */
/* Reads references as it is told, for the tests: secretstore_read IDENTITIES TIMEOUT_MS CONCURRENCY FAILURES OPEN_MS [CA_FILE]
 * Each line of the input is one read, made at once on a thread of its own, with tabs between:
 *   ID ORGANIZATION TENANT TIMEOUT_MS WORKED_BEFORE(0|1) REFERENCE
 * and is answered by one line of JSON when it is done. "reload" and "metrics" are other lines.
 * What the operator holds: held ID OPERATION IDENTITY NAME VERSION OTHER, with put (OTHER: the value), promote (OTHER: the version
 * before, or nothing), unstage (AWSPENDING), get and erase. VERSION is a number.
 * The token of an identity with token_audience is what stands in MINTED of the environment, the organization and the audience
 * put for {organization} and {audience}. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "secretstore/held.h"

#define LINE_MAX_BYTES 8192

static struct ks_secretstore *store;
static pthread_mutex_t printing = PTHREAD_MUTEX_INITIALIZER;
static atomic_uint under_way;

struct job {
	char line[LINE_MAX_BYTES];
	struct ks_str id;
	struct ks_secretstore_ask ask;
};

static void say(const char *text)
{
	(void)pthread_mutex_lock(&printing);
	(void)puts(text);
	(void)fflush(stdout);
	(void)pthread_mutex_unlock(&printing);
}

static void *run(void *ctx)
{
	struct job *job = ctx;
	struct ks_secretstore_answer answer;
	enum ks_secretstore_code code = ks_secretstore_read(store, &job->ask, &answer);
	static const size_t cap = 8 * KS_SECRETSTORE_VALUE_MAX;
	char *text = malloc(cap);
	struct ks_buf b = ks_buf_of(text, text ? cap : 0);

	ks_buf_put_c(&b, "{\"id\":");
	ks_buf_put_json(&b, job->id);
	ks_buf_printf(&b, ",\"code\":\"%s\",\"value\":", ks_secretstore_code_name(code));
	ks_buf_put_json(&b, ks_str_of((const char *)answer.value.bytes, answer.value.n));
	ks_buf_printf(&b, ",\"version\":\"%s\",\"said\":\"%s\",\"status\":%d,\"elapsed_ms\":%u,\"requests\":%u,\"shared\":%s}",
		      answer.version, answer.said, answer.status, answer.elapsed_ms, answer.requests, answer.shared ? "true" : "false");
	if (code != KS_SECRETSTORE_OK && answer.value.bytes)
		abort();
	say(ks_buf_z(&b));
	ks_secretstore_answer_free(&answer);
	free(text);
	free(job);
	(void)atomic_fetch_sub(&under_way, 1);
	return NULL;
}

static struct ks_str take(struct ks_str *line)
{
	struct ks_str head, tail;

	if (!ks_str_split(*line, '\t', &head, &tail))
		abort();
	*line = tail;
	return head;
}

static enum ks_secretstore_code do_held(struct ks_str operation, const struct ks_held_place *place, const char *version, struct ks_str other,
					struct ks_secret *ret_value)
{
	char before[KS_HELD_VERSION_SIZE];
	uint64_t number;

	if (ks_str_eq(operation, KS_STR("put")))
		return ks_held_put(store, place, version, other);
	if (ks_str_eq(operation, KS_STR("get")))
		return ks_held_get(store, place, version, ret_value);
	if (ks_str_eq(operation, KS_STR("erase")))
		return ks_held_erase(store, place);
	if (ks_str_eq(operation, KS_STR("unstage")))
		return ks_held_unstage(store, place, version, KS_HELD_PENDING);
	if (!other.n)
		return ks_held_promote(store, place, version, NULL);
	if (!ks_str_to_u64(other, 1000, &number) || ks_held_version(place->name, number, before) != KS_OK)
		abort();
	return ks_held_promote(store, place, version, before);
}

static void held(struct ks_str line)
{
	struct ks_held_place place = {.region = KS_STR("eu-central-1")};
	char version[KS_HELD_VERSION_SIZE], text[4096];
	struct ks_buf b = KS_BUF(text);
	struct ks_secret value = {0};
	struct ks_str id = take(&line), operation = take(&line);
	enum ks_secretstore_code code;
	uint64_t number;

	place.identity = take(&line);
	place.name = take(&line);
	if (!ks_str_to_u64(take(&line), 1000, &number) || ks_held_version(place.name, number, version) != KS_OK)
		abort();
	code = do_held(operation, &place, version, line, &value);
	ks_buf_put_c(&b, "{\"id\":");
	ks_buf_put_json(&b, id);
	ks_buf_printf(&b, ",\"code\":\"%s\",\"version\":\"%s\",\"value\":", ks_secretstore_code_name(code), version);
	ks_buf_put_json(&b, ks_str_of((const char *)value.bytes, value.n));
	ks_buf_put_c(&b, "}");
	say(ks_buf_z(&b));
	ks_secret_free(&value);
}

static void start(struct job *job)
{
	struct ks_str line = ks_str_c(job->line);
	pthread_attr_t attr;
	pthread_t thread;
	uint64_t timeout_ms;

	job->id = take(&line);
	job->ask.organization = take(&line);
	job->ask.tenant = take(&line);
	if (!ks_str_to_u64(take(&line), 300000, &timeout_ms))
		abort();
	job->ask.timeout_ms = (unsigned)timeout_ms;
	job->ask.worked_before = ks_str_eq(take(&line), KS_STR("1"));
	job->ask.reference = line;
	(void)atomic_fetch_add(&under_way, 1);
	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&thread, &attr, run, job) != 0)
		abort();
	(void)pthread_attr_destroy(&attr);
}

static enum ks_err mint(void *ctx, struct ks_str organization, struct ks_str audience, struct ks_buf *out)
{
	struct ks_str text = ks_str_c(getenv("MINTED")), head, tail;

	(void)ctx;
	while (ks_str_split(text, '{', &head, &tail)) {
		ks_buf_put(out, head);
		ks_buf_put(out, ks_str_starts(tail, KS_STR("o")) ? organization : audience);
		if (!ks_str_split(tail, '}', &head, &text))
			abort();
	}
	ks_buf_put(out, text);
	return text.n ? KS_OK : KS_NOT_FOUND;
}

static void complain(const char *id, enum ks_err err, const struct ks_secretstore_problem *problem)
{
	char text[1024];
	struct ks_buf b = KS_BUF(text);

	ks_buf_printf(&b, "{\"id\":\"%s\",\"error\":\"%s\",\"text\":", id, ks_err_name(err));
	ks_buf_put_json(&b, ks_str_c(problem->text));
	ks_buf_put_c(&b, "}");
	say(ks_buf_z(&b));
}

static void command(const char *line)
{
	static char text[65536], metrics[32768];
	struct ks_buf b = KS_BUF(text), m = KS_BUF(metrics);
	struct ks_secretstore_problem problem;

	if (ks_str_eq(ks_str_c(line), KS_STR("reload"))) {
		complain("reload", ks_secretstore_reload(store, &problem), &problem);
		return;
	}
	ks_secretstore_put_metrics(store, &m);
	ks_buf_put_c(&b, "{\"id\":\"metrics\",\"text\":");
	ks_buf_put_json(&b, ks_buf_str(&m));
	ks_buf_put_c(&b, "}");
	say(ks_buf_z(&b));
}

static unsigned number(const char *text)
{
	uint64_t value;

	if (!ks_str_to_u64(ks_str_c(text), 1000000, &value))
		abort();
	return (unsigned)value;
}

int main(int argc, char **argv)
{
	struct ks_secretstore_problem problem = {""};
	struct ks_secretstore_options o = {.mint = mint};
	struct job *job;
	enum ks_err err;

	if (argc < 6 || !ks_cidr_parse(KS_STR("127.0.0.1"), &o.fetch.allow[o.fetch.allow_count++]))
		return 2;
	o.identities = argv[1];
	o.timeout_ms = number(argv[2]);
	o.concurrency = number(argv[3]);
	o.circuit_failures = number(argv[4]);
	o.circuit_open_ms = number(argv[5]);
	o.credentials = getenv("CREDENTIALS_DIRECTORY");
	o.fetch.ca_file = argc > 6 ? argv[6] : NULL;
	err = ks_secretstore_new(&o, &store, &problem);
	if (err != KS_OK) {
		complain("start", err, &problem);
		return 1;
	}
	say("{\"id\":\"start\",\"error\":\"ok\"}");
	while ((job = calloc(1, sizeof(*job))) && fgets(job->line, sizeof(job->line), stdin)) {
		size_t n = strlen(job->line);

		if (n > 0 && job->line[n - 1] == '\n')
			job->line[n - 1] = '\0';
		if (ks_str_starts(ks_str_c(job->line), KS_STR("held\t"))) {
			held(ks_str_sub(ks_str_c(job->line), 5, sizeof(job->line)));
			free(job);
		} else if (strchr(job->line, '\t')) {
			start(job);
		} else {
			command(job->line);
			free(job);
		}
	}
	free(job);
	ks_secretstore_stop(store);
	while (atomic_load(&under_way))
		(void)sched_yield();
	ks_secretstore_free(&store);
	return 0;
}
