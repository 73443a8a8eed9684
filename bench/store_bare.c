/* SPDX-License-Identifier: Apache-2.0 */
/* The reference for durable creations and for imports: bare SQLite, its own calls alone, writing the rows that one
 * creation writes (a key, its change-log entry, its audit entry) into the store's schema with the store's promises (WAL,
 * synchronous FULL, foreign keys), `batch` creations a transaction; or the keys alone, in the order of their tenants in each
 * transaction, as an import writes them.
 *
 * usage: store_bare PATH COUNT BATCH [keys]        PATH must not exist. Prints creations, or keys, a second. */
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "bare.h"

extern const unsigned char ks_embedded_store_0001_truth[];

#define TENANTS 1000
#define FIRST_ID (INT64_C(200000000000) << 22)

static void bind_text(sqlite3_stmt *stmt, int at, const char *text)
{
	check(sqlite3_bind_text(stmt, at, text, -1, SQLITE_STATIC), "bind");
}

static void bind_number(sqlite3_stmt *stmt, int at, int64_t number)
{
	check(sqlite3_bind_int64(stmt, at, number), "bind");
}

static void make(const char *path)
{
	FILE *there = fopen(path, "rb");

	if (there) {
		fclose(there);
		fprintf(stderr, "store_bare: %s exists\n", path);
		exit(2);
	}
	check(sqlite3_open(path, &db), "open");
	run("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;"
	    "PRAGMA cache_size = -262144");
	run((const char *)ks_embedded_store_0001_truth);
	run("BEGIN;"
	    "INSERT INTO tenants (id, kind, created_at, name, slug, created_by)"
	    " VALUES (1, 0, 0, 'operator', '', 'system');"
	    "INSERT INTO grants (id, limited, body) VALUES (1, 0, '{}')");
	for (int i = 2; i <= TENANTS; i++) {
		char sql[256];
		snprintf(sql, sizeof(sql),
			 "INSERT INTO tenants (id, parent, organization, kind, created_at, name, slug, created_by)"
			 " VALUES (%d, 1, %d, 2, 0, 'organization %d', '', 'system')",
			 i, i, i);
		run(sql);
	}
	run("COMMIT");
}

static void put_key(sqlite3_stmt *key, int64_t id, int64_t tenant)
{
	uint64_t digest[4] = {random64(), random64(), random64(), random64()};

	bind_number(key, 1, id);
	check(sqlite3_bind_blob(key, 2, digest, sizeof(digest), SQLITE_STATIC), "bind");
	bind_number(key, 3, tenant);
	bind_number(key, 4, tenant);
	step(key);
}

static void create(sqlite3_stmt *key, sqlite3_stmt *change, sqlite3_stmt *audit, int64_t n)
{
	int64_t id = FIRST_ID + n * 4000000;
	int64_t tenant = 2 + (int64_t)(random64() % (TENANTS - 1));
	char object[32];

	snprintf(object, sizeof(object), "key_%013llx", (unsigned long long)id & 0xfffffffffffff);
	put_key(key, id, tenant);
	bind_number(change, 1, n + 1);
	bind_number(change, 2, id);
	step(change);
	bind_number(audit, 1, id + 1);
	bind_number(audit, 2, tenant);
	bind_number(audit, 3, tenant);
	bind_text(audit, 4, object);
	step(audit);
}

int main(int argc, char **argv)
{
	struct timespec from, to;

	bool keys_alone = argc == 5 && !strcmp(argv[4], "keys");

	if ((argc != 4 && !keys_alone) || atol(argv[2]) < 1 || atol(argv[3]) < 1) {
		fprintf(stderr, "usage: store_bare PATH COUNT BATCH [keys]\n");
		return 2;
	}
	long count = atol(argv[2]);
	long batch = atol(argv[3]);
	make(argv[1]);
	sqlite3_stmt *key = prepare(
		"INSERT INTO keys (id, digest, tenant, organization, grant_id, kind, binding, environment, imported,"
		" name, prefix, last_four, labels, created_at, created_by, revoked_by, segment) VALUES (?1, ?2, ?3, ?4,"
		" 1, 1, 2, 0, 0, 'CRM synchronisation', 'ks', 'cdef', '', 1760000000000, 'key_0123456789abc', '', 0)");
	sqlite3_stmt *change = prepare("INSERT INTO changes (seq, kind, object, object_end) VALUES (?1, 3, ?2, 0)");
	sqlite3_stmt *audit = prepare(
		"INSERT INTO audit (id, at, organization, tenant, actor, on_behalf, action, object, outcome, address,"
		" request_id, detail) VALUES (?1, 1760000000000, ?2, ?3, 'key_0123456789abc', '', 'key.create', ?4,"
		" 'ok', '192.0.2.7', '0123456789abcdef0123456789abcdef', '{}')");
	sqlite3_stmt *begin = prepare("BEGIN IMMEDIATE");
	sqlite3_stmt *commit = prepare("COMMIT");
	clock_gettime(CLOCK_MONOTONIC, &from);
	for (long n = 0; n < count;) {
		step(begin);
		for (long i = 0; i < batch && n < count; i++, n++) {
			if (keys_alone)
				put_key(key, FIRST_ID + n, 2 + i * (TENANTS - 1) / batch);
			else
				create(key, change, audit, n);
		}
		step(commit);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	double seconds = (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9;
	printf("%.0f\n", (double)count / seconds);
	return 0;
}
