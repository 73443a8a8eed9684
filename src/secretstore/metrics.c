/* SPDX-License-Identifier: Apache-2.0 */
#include "secretstore/secretstore.h"

static void put_head(struct ks_buf *out, const char *name, const char *type, const char *unit, const char *help)
{
	ks_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
	if (unit[0])
		ks_buf_printf(out, "# UNIT %s %s\n", name, unit);
}

static void put_reads(const struct ks_secretstore_stats *stats, struct ks_buf *out)
{
	put_head(out, "keystile_reference_reads", "counter", "", "Reads of references, by store and outcome.");
	for (unsigned kind = 0; kind < KS_SECRETSTORE_KIND_COUNT; kind++) {
		for (unsigned code = 0; code < KS_SECRETSTORE_CODE_COUNT; code++) {
			if (stats->reads[kind][code])
				ks_buf_printf(out, "keystile_reference_reads_total{store=\"%s\",outcome=\"%s\"} %llu\n",
					      ks_secretstore_kind_name((enum ks_secretstore_kind)kind),
					      ks_secretstore_code_name((enum ks_secretstore_code)code),
					      (unsigned long long)stats->reads[kind][code]);
		}
	}
}

static void put_latency(const struct ks_secretstore_stats *stats, struct ks_buf *out)
{
	static const unsigned ends[] = {
#define X(ms) ms,
		KS_SECRETSTORE_BUCKETS(X)
#undef X
		0,
	};

	put_head(out, "keystile_reference_read_seconds", "histogram", "seconds", "How long fetches from stores took.");
	for (unsigned kind = 0; kind < KS_SECRETSTORE_KIND_COUNT; kind++) {
		const char *store = ks_secretstore_kind_name((enum ks_secretstore_kind)kind);
		uint64_t sum = 0;

		for (size_t i = 0; i < KS_ARRAY_LEN(ends); i++) {
			sum += stats->buckets[kind][i];
			ks_buf_printf(out, "keystile_reference_read_seconds_bucket{store=\"%s\",le=\"", store);
			if (ends[i])
				ks_buf_printf(out, "%u.%03u", ends[i] / 1000, ends[i] % 1000);
			else
				ks_buf_put_c(out, "+Inf");
			ks_buf_printf(out, "\"} %llu\n", (unsigned long long)sum);
		}
		ks_buf_printf(out, "keystile_reference_read_seconds_sum{store=\"%s\"} %llu.%03llu\n", store,
			      (unsigned long long)stats->elapsed_ms[kind] / 1000, (unsigned long long)stats->elapsed_ms[kind] % 1000);
		ks_buf_printf(out, "keystile_reference_read_seconds_count{store=\"%s\"} %llu\n", store, (unsigned long long)sum);
	}
}

static void put_number(struct ks_buf *out, const char *name, const char *type, const char *help, uint64_t value)
{
	bool counter = ks_str_eq(ks_str_c(type), KS_STR("counter"));

	put_head(out, name, type, "", help);
	ks_buf_printf(out, "%s%s %llu\n", name, counter ? "_total" : "", (unsigned long long)value);
}

void ks_secretstore_put_metrics(struct ks_secretstore *store, struct ks_buf *out)
{
	struct ks_secretstore_stats stats;

	ks_secretstore_stats(store, &stats);
	put_reads(&stats, out);
	put_latency(&stats, out);
	put_number(out, "keystile_reference_reads_shared", "counter", "Reads that waited with another and got its fetch.", stats.shared);
	put_number(out, "keystile_reference_circuits_opened", "counter", "Times that the circuit of a tenant's store opened.",
		   stats.circuits_opened);
	put_number(out, "keystile_reference_circuits_open", "gauge", "Tenants' stores whose circuit is open now.", stats.circuits_open);
	put_number(out, "keystile_reference_running", "gauge", "Fetches from stores under way now.", stats.running);
	put_number(out, "keystile_reference_waiting", "gauge", "Reads that wait for a place now.", stats.waiting);
}
