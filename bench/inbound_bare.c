/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for webhooks that are taken: bare SQLite, its own calls alone, writing the rows that one of them
 * writes (the request, that it was seen, its event) into the store's schema with the store's promises (WAL, synchronous
 * FULL, foreign keys), `batch` webhooks a transaction.
 *
 * usage: inbound_bare PATH COUNT BATCH BODY HEADERS     PATH must not exist; bytes of a body and of its headers. Prints
 * webhooks a second. */
#include <string.h>
#include <time.h>

#include "bare.h"

extern const unsigned char ks_embedded_store_0001_truth[];
extern const unsigned char ks_embedded_store_0004_events[];
extern const unsigned char ks_embedded_store_0010_vault[];
extern const unsigned char ks_embedded_store_0017_sources[];

#define FIRST_ID (INT64_C(200000000000) << 22)
#define ORGANIZATION 2
#define SOURCE 3

static void bind_number(sqlite3_stmt *stmt, int at, int64_t number)
{
	check(sqlite3_bind_int64(stmt, at, number), "bind");
}

static void bind_bytes(sqlite3_stmt *stmt, int at, const void *bytes, size_t n)
{
	check(sqlite3_bind_blob(stmt, at, bytes, (int)n, SQLITE_STATIC), "bind");
}

static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
	check(sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC), "bind");
}

static char *bytes_of(size_t n)
{
	char *bytes = malloc(n + 1);

	if (!bytes)
		exit(1);
	memset(bytes, 'x', n);
	bytes[n] = '\0';
	return bytes;
}

static void make(const char *path)
{
	FILE *there = fopen(path, "rb");

	if (there) {
		fclose(there);
		fprintf(stderr, "inbound_bare: %s exists\n", path);
		exit(2);
	}
	check(sqlite3_open(path, &db), "open");
	run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
	    "PRAGMA cache_size = -262144");
	run((const char *)ks_embedded_store_0001_truth);
	run((const char *)ks_embedded_store_0004_events);
	run((const char *)ks_embedded_store_0010_vault);
	run((const char *)ks_embedded_store_0017_sources);
}

struct statements {
	sqlite3_stmt *request, *seen, *event;
};

static void take(const struct statements *s, int64_t n, const char *headers, const char *body)
{
	uint64_t digest[4] = {random64(), random64(), random64(), random64()};
	int64_t id = FIRST_ID + n * 4000000;
	char object[32];

	bind_number(s->seen, 1, SOURCE);
	bind_bytes(s->seen, 2, digest, sizeof(digest));
	bind_number(s->seen, 3, id >> 22);
	step(s->seen);
	bind_number(s->request, 1, id);
	bind_number(s->request, 2, SOURCE);
	bind_text(s->request, 3, headers);
	bind_bytes(s->request, 4, body, strlen(body));
	step(s->request);
	snprintf(object, sizeof(object), "msg_%013llx", (unsigned long long)id & 0xfffffffffffff);
	bind_number(s->event, 1, id + 1);
	bind_number(s->event, 2, ORGANIZATION);
	bind_text(s->event, 3, object);
	step(s->event);
}

int main(int argc, char **argv)
{
	struct timespec from, to;
	struct statements s;

	if (argc != 6 || atol(argv[2]) < 1 || atol(argv[3]) < 1 || atol(argv[4]) < 1 || atol(argv[5]) < 1) {
		fprintf(stderr, "usage: inbound_bare PATH COUNT BATCH BODY HEADERS\n");
		return 2;
	}
	long count = atol(argv[2]);
	long batch = atol(argv[3]);
	char *body = bytes_of((size_t)atol(argv[4])), *headers = bytes_of((size_t)atol(argv[5]));

	make(argv[1]);
	s.request = prepare("INSERT INTO inbound (id, source, received_at, method, target, peer, headers, body)"
			    " VALUES (?1, ?2, 1760000000000, 'POST', '/hooks/src_0123456789abc', '127.0.0.1', ?3, ?4)");
	s.seen = prepare("INSERT INTO inbound_seen (source, digest, until) VALUES (?1, ?2, ?3)");
	s.event = prepare("INSERT INTO events (id, at, type, organization, tenant, object, data) VALUES (?1, 1760000000000,"
			  " 'inbound.received', ?2, ?2, ?3, '{\"source\":\"src_0123456789abc\",\"name\":\"Bench\",\"platform\":\"github\","
			  "\"scheme\":\"github.sha256\",\"method\":\"POST\",\"address\":\"127.0.0.1\","
			  "\"received_at\":\"2026-01-01T00:00:00.000Z\",\"size\":1024}')");
	sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE");
	sqlite3_stmt *commit = prepare("COMMIT");

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long n = 0; n < count;) {
		step(begin);
		for (long i = 0; i < batch && n < count; i++, n++)
			take(&s, n, headers, body);
		step(commit);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("%.0f\n", (double)count / seconds);
	free(body);
	free(headers);
	return 0;
}
