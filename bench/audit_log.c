/* SPDX-License-Identifier: Apache-2.0 */
/* Fills a log of the audit, as the service appends it, 1000 entries a transaction.
 *
 * usage: audit_log STORE ORGANIZATION ENTRIES        The id of the organization; no service runs. Prints entries a second,
 * with their leaves and tiles. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/id.h"
#include "store/store.h"

#define BATCH 1000u

static struct ks_store *store;

static void must(enum ks_err err, const char *what)
{
	if (err == KS_OK)
		return;
	fprintf(stderr, "audit_log: %s: %s: %s\n", what, ks_err_text(err), ks_store_error(store));
	exit(1);
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void append(struct ks_id_source *ids, uint64_t organization, uint64_t n)
{
	int64_t now = wall_ms();
	char object[KS_ID_TEXT_SIZE];
	struct ks_audit_row row = {
		.id = ks_id_next(ids, now, (uint32_t)n * 2654435761u >> 10),
		.at = now,
		.organization = organization,
		.tenant = organization,
		.actor = KS_STR("local"),
		.action = KS_STR("key.create"),
		.outcome = KS_STR("ok"),
		.address = KS_STR("192.0.2.7"),
		.request_id = KS_STR("0123456789abcdef0123456789abcdef"),
		.detail = KS_STR("{\"name\":\"a key\",\"kind\":\"tenant\",\"binding\":\"organization\",\"environment\":\"live\"}"),
		.place = KS_STR("local"),
	};

	ks_id_format(KS_ID_KEY, row.id, object);
	row.object = ks_str_c(object);
	must(ks_store_audit_append(store, &row), "append");
}

int main(int argc, char **argv)
{
	struct ks_id_source ids = {0};
	uint64_t organization, count;
	char uri[4096];
	double began;

	if (argc != 4 || !ks_id_parse(ks_str_c(argv[2]), KS_ID_ORGANIZATION, &organization)
	    || !ks_str_to_u64(ks_str_c(argv[3]), UINT64_MAX, &count)) {
		fprintf(stderr, "usage: audit_log STORE ORGANIZATION ENTRIES\n");
		return 2;
	}
	snprintf(uri, sizeof(uri), "sqlite:%s", argv[1]);
	must(ks_store_open(uri, KS_STORE_WRITER, &store), "open");
	must(ks_store_last_id(store, &ids.last), "ids");
	began = seconds_now();
	for (uint64_t done = 0; done < count;) {
		must(ks_store_begin(store), "begin");
		for (uint64_t end = KS_MIN(count, done + BATCH); done < end; done++)
			append(&ids, organization, done);
		must(ks_store_commit(store), "commit");
	}
	printf("%.0f\n", (double)count / (seconds_now() - began));
	ks_store_close(&store);
	return 0;
}
