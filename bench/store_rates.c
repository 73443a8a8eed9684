/* SPDX-License-Identifier: Apache-2.0 */
/* Rates of the store on one core: an import, what a rebuild reads, and creations (key, change, audit) at 1, 10 and 100
 * a commit with the distribution of the commits' times.
 *
 * usage: store_rates PATH KEYS TENANTS BATCH CREATIONS        PATH must not exist. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "store/store.h"

#define NOW INT64_C(1760000000000)
#define NAME_SIZE 32

static struct ks_store *store;
static struct ks_id_source ids;
static uint64_t *tenants;
static size_t tenant_count;
static uint64_t grant;

static void must(enum ks_err err, const char *what)
{
	if (err == KS_OK)
		return;
	fprintf(stderr, "store_rates: %s: %s: %s\n", what, ks_err_text(err), ks_store_error(store));
	exit(1);
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static uint64_t random64(void)
{
	static uint64_t state = 88172645463325252u;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t new_id(size_t n)
{
	return ks_id_next(&ids, NOW + (int64_t)n / 100, (uint32_t)random64() & 0x3fffff);
}

static void make_tenants(void)
{
	bool made;
	struct ks_tenant_row row = {.id = new_id(0),
				    .kind = KS_TENANT_KIND_OPERATOR,
				    .name = KS_STR("operator"),
				    .created_by = KS_STR("system"),
				    .suspended_at = KS_TIME_NONE,
				    .deleted_at = KS_TIME_NONE};

	must(ks_store_begin(store), "begin");
	must(ks_store_tenant_insert(store, &row), "tenant");
	row.parent = row.id;
	row.kind = KS_TENANT_KIND_ORGANIZATION;
	for (size_t i = 0; i < tenant_count; i++) {
		row.id = row.organization = tenants[i] = new_id(0);
		must(ks_store_tenant_insert(store, &row), "tenant");
	}
	must(ks_store_grant_intern(
		     store,
		     KS_STR("{\"addresses\":[],\"rate_limit\":null,\"roles\":[],\"scopes\":[\"contacts:read\"]}"),
		     &grant, &made),
	     "grant");
	must(ks_store_commit(store), "commit");
}

static struct ks_key_row new_key(void)
{
	uint64_t tenant = tenants[random64() % tenant_count];
	uint64_t digest[4] = {random64(), random64(), random64(), random64()};
	struct ks_key_row row = {
		.tenant = tenant,
		.organization = tenant,
		.grant = grant,
		.kind = KS_KIND_TENANT,
		.binding = KS_BINDING_ORGANIZATION,
		.name = KS_STR("CRM synchronisation"),
		.prefix = KS_STR("ks"),
		.last_four = KS_STR("cdef"),
		.created_at = NOW,
		.created_by = KS_STR("key_0123456789abc"),
		.expires_at = KS_TIME_NONE,
		.retires_at = KS_TIME_NONE,
		.revoked_at = KS_TIME_NONE,
	};

	memcpy(row.digest.bytes, digest, sizeof(digest));
	return row;
}

static int by_tenant(const void *a, const void *b)
{
	const struct ks_key_row *x = a, *y = b;

	return x->tenant < y->tenant ? -1 : x->tenant > y->tenant;
}

static void import(size_t count, size_t batch)
{
	struct ks_key_row *rows = calloc(batch, sizeof(*rows));
	double seconds = 0;
	uint64_t seq;

	for (size_t n = 0; n < count; n += batch) {
		for (size_t i = 0; i < batch; i++)
			rows[i] = new_key();
		double from = seconds_now();
		qsort(rows, batch, sizeof(*rows), by_tenant);
		for (size_t i = 0; i < batch; i++)
			rows[i].id = new_id(n + i);
		must(ks_store_begin(store), "begin");
		must(ks_store_keys_insert(store, rows, batch), "keys");
		must(ks_store_change_append(store, KS_CHANGE_KEY_RANGE, rows[0].id, rows[batch - 1].id, &seq),
		     "change");
		must(ks_store_commit(store), "commit");
		seconds += seconds_now() - from;
	}
	printf("import: %.0f keys/s (%zu a transaction)\n", (double)count / seconds, batch);
	fflush(stdout);
	free(rows);
}

static enum ks_err count_core(void *ctx, const struct ks_key_core *core)
{
	uint64_t *sum = ctx;

	sum[0]++;
	sum[1] += core->id ^ core->digest.bytes[0];
	return KS_OK;
}

static void read_cores(const char *uri)
{
	struct ks_store *reader;

	must(ks_store_open(uri, KS_STORE_READER, &reader), "open a reader");
	for (int round = 0; round < 3; round++) {
		uint64_t sum[2] = {0, 0};
		double from = seconds_now();
		must(ks_store_key_cores(reader, 0, UINT64_MAX, count_core, sum), "cores");
		printf("cores: %.0f keys/s (%llu keys)\n", (double)sum[0] / (seconds_now() - from),
		       (unsigned long long)sum[0]);
	}
	ks_store_close(&reader);
}

static void create(size_t n)
{
	struct ks_key_row row = new_key();
	char object[KS_ID_TEXT_SIZE];
	uint64_t seq;

	row.id = new_id(n);
	ks_id_format(KS_ID_KEY, row.id, object);
	struct ks_audit_row audit = {.id = new_id(n),
				     .at = NOW,
				     .organization = row.organization,
				     .tenant = row.tenant,
				     .actor = KS_STR("key_0123456789abc"),
				     .action = KS_STR("key.create"),
				     .object = ks_str_c(object),
				     .outcome = KS_STR("ok"),
				     .address = KS_STR("192.0.2.7"),
				     .request_id = KS_STR("0123456789abcdef0123456789abcdef"),
				     .detail = KS_STR("{}")};
	must(ks_store_savepoint(store), "savepoint");
	must(ks_store_key_insert(store, &row), "key");
	must(ks_store_change_append(store, KS_CHANGE_KEY, row.id, 0, &seq), "change");
	must(ks_store_audit_append(store, &audit), "audit");
	must(ks_store_release(store), "release");
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void creations(size_t start, size_t count, size_t batch)
{
	size_t commits = (count + batch - 1) / batch;
	double *times = calloc(commits, sizeof(*times));
	double from = seconds_now();

	for (size_t c = 0; c < commits; c++) {
		must(ks_store_begin(store), "begin");
		for (size_t i = 0; i < batch; i++)
			create(start + c * batch + i);
		double before = seconds_now();
		must(ks_store_commit(store), "commit");
		times[c] = seconds_now() - before;
	}
	double seconds = seconds_now() - from;
	qsort(times, commits, sizeof(*times), by_value);
	printf("creations, %zu a commit: %.0f /s; commit p50 %.0f us, p99 %.0f us, p99.9 %.0f us, max %.0f us\n", batch,
	       (double)(commits * batch) / seconds, times[commits / 2] * 1e6, times[commits * 99 / 100] * 1e6,
	       times[commits * 999 / 1000] * 1e6, times[commits - 1] * 1e6);
	free(times);
}

int main(int argc, char **argv)
{
	char uri[4096];

	if (argc != 6) {
		fprintf(stderr, "usage: store_rates PATH KEYS TENANTS BATCH CREATIONS\n");
		return 2;
	}
	size_t keys = strtoul(argv[2], NULL, 10);
	size_t count = strtoul(argv[5], NULL, 10);
	tenant_count = strtoul(argv[3], NULL, 10);
	tenants = calloc(tenant_count, sizeof(*tenants));
	snprintf(uri, sizeof(uri), "sqlite:%s", argv[1]);
	must(ks_store_open(uri, KS_STORE_WRITER, &store), "open");
	make_tenants();
	import(keys, strtoul(argv[4], NULL, 10));
	read_cores(uri);
	for (size_t batch = 1; batch <= 100; batch *= 10)
		creations(keys + batch * count, count, batch);
	double from = seconds_now();
	ks_store_close(&store);
	printf("close: %.0f ms\n", (seconds_now() - from) * 1e3);
	free(tenants);
	return 0;
}
