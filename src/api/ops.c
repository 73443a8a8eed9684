/* SPDX-License-Identifier: Apache-2.0 */
/* What operators ask: whether it lives and is ready, metrics, the API's description, the ring, a backup. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "api/api_priv.h"
#include "delivery/delivery.h"
#include "health/health.h"
#include "api/counters.h"
#include "api/hooks.h"
#include "api/intake.h"
#include "api/key_in.h"
#include "api/leaks.h"
#include "api/vault.h"
#include "engine/issuer.h"
#include "engine/seal.h"

#define METRICS_MAX (256u << 10)

/* ---- livez, readyz ---- */

enum ks_finish ks_api_livez(struct ks_call *call)
{
	ks_json_open(&call->out, '{');
	ks_json_put_c(&call->out, "status", "live");
	ks_json_close(&call->out, '}');
	return ks_call_answer(call, 200);
}

/* Without writing: a probe that anybody may send must not cost a commit. */
static bool is_writable(const char *directory)
{
	struct statvfs fs;

	return statvfs(directory, &fs) == 0 && !(fs.f_flag & ST_RDONLY) && fs.f_bavail > 0;
}

/* NULL: ready. Else why not. */
static const char *not_ready(struct ks_call *call, const struct ks_engine_stats *stats)
{
	uint64_t last;

	if (!stats->ready || !ks_call_ring(call))
		return "The ring is not at the store's last change.";
	if (ks_store_change_last(call->reader->store, &last) != KS_OK)
		return "The store cannot be read.";
	if (!is_writable(ks_engine_options(call->api->engine)->data_directory))
		return "The store cannot be written.";
	return NULL;
}

enum ks_finish ks_api_readyz(struct ks_call *call)
{
	struct ks_engine_stats stats;
	struct ks_keeper_stats keeper;
	const char *why;

	ks_keeper_stats(ks_engine_keeper(call->api->engine), &keeper);
	if (!keeper.ready)
		return ks_call_problem(call, KS_PROBLEM_KEEPER_UNAVAILABLE, "The keeper of the keys is not there.");
	ks_engine_stats(call->api->engine, &stats);
	why = not_ready(call, &stats);
	if (why)
		return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, why);
	ks_json_open(&call->out, '{');
	ks_json_put_c(&call->out, "status", "ready");
	ks_json_close(&call->out, '}');
	return ks_call_answer(call, 200);
}

/* ---- metrics: OpenMetrics 1.0.0 ---- */

struct metric;

/* What the sources work with. */
struct scrape {
	struct ks_call *call;
	const struct ks_engine_stats *stats;
	struct ks_buf *out;
};

typedef void metric_source(struct scrape *s, const struct metric *m);

struct metric {
	const char *name;
	const char *type;
	const char *unit;
	const char *help;
	metric_source *source;
	size_t at;
};

static bool is_counter(const struct metric *m)
{
	return ks_str_eq(ks_str_c(m->type), KS_STR("counter"));
}

static uint64_t stat_at(const struct scrape *s, size_t at)
{
	uint64_t value;

	memcpy(&value, (const char *)s->stats + at, sizeof(value));
	return value;
}

/* "name 12\n", with the suffix that the type asks for. */
static void put_sample(struct scrape *s, const struct metric *m, uint64_t value)
{
	ks_buf_printf(s->out, "%s%s %llu\n", m->name, is_counter(m) ? "_total" : "", (unsigned long long)value);
}

static void put_nanos(struct scrape *s, const struct metric *m, uint64_t ns)
{
	ks_buf_printf(s->out, "%s%s %llu.%09llu\n", m->name, is_counter(m) ? "_total" : "",
		      (unsigned long long)(ns / 1000000000),
		      (unsigned long long)(ns % 1000000000));
}

static void put_build(struct scrape *s, const struct metric *m)
{
	ks_buf_printf(s->out, "%s_info{version=\"%s\"} 1\n", m->name, KEYSTILE_VERSION_TEXT);
}

static void put_decisions(struct scrape *s, const struct metric *m)
{
	for (enum ks_reason i = 0; i < KS_REASON_COUNT; i++)
		ks_buf_printf(s->out, "%s_total{code=\"%s\"} %llu\n", m->name, ks_reason_info(i)->code,
			      (unsigned long long)ks_api_decisions(i));
}

/* Counts by the outcomes of a table, whose rows have a name and a label. */
#define LABEL(name, label) label,
#define PUT_OUTCOMES(function, TABLE, count, counted)                                                        \
	static void function(struct scrape *s, const struct metric *m)                                       \
	{                                                                                                    \
		static const char *const labels[] = {TABLE(LABEL)};                                          \
                                                                                                             \
		for (unsigned i = 0; i < (count); i++)                                                       \
			ks_buf_printf(s->out, "%s_total{outcome=\"%s\"} %llu\n", m->name, labels[i],         \
				      (unsigned long long)counted(i));                                       \
	}
PUT_OUTCOMES(put_logins, KS_LOGINS, KS_LOGIN_COUNT, ks_api_logins)
PUT_OUTCOMES(put_intakes, KS_INTAKES, KS_INTAKE_COUNT, ks_intake_counted)
PUT_OUTCOMES(put_hooks, KS_HOOKS, KS_HOOK_COUNT, ks_hooks_counted)
#undef PUT_OUTCOMES
#undef LABEL

static void put_hooks_refused(struct scrape *s, const struct metric *m)
{
	for (enum ks_hooksig_code i = KS_HOOKSIG_OK + 1; i < KS_HOOKSIG_CODE_COUNT; i++)
		ks_buf_printf(s->out, "%s_total{code=\"%s\"} %llu\n", m->name, ks_hooksig_code_name(i),
			      (unsigned long long)ks_hooks_refused(i));
}

static void put_leaks(struct scrape *s, const struct metric *m)
{
	static const char *const sources[] = {
#define X(name, text) text,
		KS_LEAK_SOURCES(X)
#undef X
	};

	for (enum ks_leak_source i = 0; i < KS_LEAK_SOURCE_COUNT; i++)
		ks_buf_printf(s->out, "%s_total{source=\"%s\"} %llu\n", m->name, sources[i],
			      (unsigned long long)ks_leaks_counted(i));
}

#define KS_DELIVERY_STAT(member) offsetof(struct ks_delivery_stats, member)

static uint64_t delivery_stat(const struct scrape *s, size_t at)
{
	struct ks_delivery_stats stats;
	uint64_t value;

	ks_delivery_stats(s->call->api->options.delivery, &stats);
	memcpy(&value, (const char *)&stats + at, sizeof(value));
	return value;
}

static void put_delivery(struct scrape *s, const struct metric *m)
{
	put_sample(s, m, delivery_stat(s, m->at));
}

static void put_delivery_ms(struct scrape *s, const struct metric *m)
{
	put_nanos(s, m, delivery_stat(s, m->at) * 1000000);
}

static void put_attempts(struct scrape *s, const struct metric *m)
{
	struct ks_delivery_stats stats;

	ks_delivery_stats(s->call->api->options.delivery, &stats);
	for (size_t i = 0; i < KS_DELIVERY_OUTCOME_COUNT; i++)
		ks_buf_printf(s->out, "%s_total{outcome=\"%s\"} %llu\n", m->name,
			      ks_delivery_outcome_text((enum ks_delivery_outcome)i), (unsigned long long)stats.attempts[i]);
}

static void put_health(struct scrape *s, const struct metric *m)
{
	struct ks_health_stats stats;

	ks_health_stats(s->call->api->options.health, &stats);
	for (int i = 0; i < KS_HEALTH_STATUS_COUNT; i++)
		ks_buf_printf(s->out, "%s{status=\"%s\"} %llu\n", m->name, ks_health_status_text((enum ks_health_status)i),
			      (unsigned long long)stats.providers[i]);
}

static void put_probes(struct scrape *s, const struct metric *m)
{
	struct ks_health_stats stats;

	ks_health_stats(s->call->api->options.health, &stats);
	if (m->at) {
		ks_buf_printf(s->out, "%s_total %llu\n", m->name, (unsigned long long)stats.refused);
		return;
	}
	for (int i = 0; i < KS_HEALTH_STATUS_COUNT; i++)
		ks_buf_printf(s->out, "%s_total{status=\"%s\"} %llu\n", m->name, ks_health_status_text((enum ks_health_status)i),
			      (unsigned long long)stats.probes[i]);
}

static void put_probing(struct scrape *s, const struct metric *m)
{
	struct ks_health_stats stats;

	ks_health_stats(s->call->api->options.health, &stats);
	ks_buf_printf(s->out, "%s %llu\n", m->name, (unsigned long long)(m->at ? stats.running : stats.waiting));
}

/* As many tallies from `at` on as have labels of one metric. */
struct tallies {
	enum ks_vault_tally first, last;
	const char *label;
};
static const struct tallies tallies[] = {
	{KS_VAULT_TALLY_SET_PROMOTED, KS_VAULT_TALLY_SET_FAILING, "reason"},
	{KS_VAULT_TALLY_VERSION_HELD, KS_VAULT_TALLY_VERSION_REFERENCE, "kind"},
	{KS_VAULT_TALLY_LEASE_BEGUN, KS_VAULT_TALLY_LEASE_RELEASED, "what"},
	{KS_VAULT_TALLY_CALL_OK, KS_VAULT_TALLY_CALL_FAILED, "outcome"},
	{KS_VAULT_TALLY_LINK_CREATED, KS_VAULT_TALLY_LINK_CLOSED, "what"},
};

static void put_tallies(struct scrape *s, const struct metric *m)
{
	static const char *const labels[] = {
#define X(name, label) label,
		KS_VAULT_TALLIES(X)
#undef X
	};
	const struct tallies *t = &tallies[m->at];

	for (size_t i = t->first; i <= t->last; i++)
		ks_buf_printf(s->out, "%s_total{%s=\"%s\"} %llu\n", m->name, t->label, labels[i],
			      (unsigned long long)s->stats->vault[i]);
}

static void put_uses(struct scrape *s, const struct metric *m)
{
	ks_vault_put_uses(s->out, m->name);
}

static void put_use_seconds(struct scrape *s, const struct metric *m)
{
	ks_vault_put_use_seconds(s->out, m->name);
}

static void put_keeper_requests(struct scrape *s, const struct metric *m)
{
	struct ks_keeper_stats stats;

	ks_keeper_stats(ks_engine_keeper(s->call->api->engine), &stats);
	for (enum ks_keeper_message i = 0; i < KS_KEEPER_MESSAGE_COUNT; i++)
		ks_buf_printf(s->out, "%s_total{message=\"%s\"} %llu\n", m->name, ks_keeper_message_text(i),
			      (unsigned long long)stats.requests[i]);
}

static void put_keeper(struct scrape *s, const struct metric *m)
{
	struct ks_keeper_stats stats;
	uint64_t value;

	ks_keeper_stats(ks_engine_keeper(s->call->api->engine), &stats);
	memcpy(&value, (const char *)&stats + m->at, sizeof(value));
	if (m->unit[0])
		put_nanos(s, m, value);
	else
		put_sample(s, m, value);
}

static void put_ready(struct scrape *s, const struct metric *m)
{
	struct ks_keeper_stats keeper;

	ks_keeper_stats(ks_engine_keeper(s->call->api->engine), &keeper);
	put_sample(s, m, !keeper.ready || not_ready(s->call, s->stats) ? 0 : 1);
}

static void put_stat(struct scrape *s, const struct metric *m)
{
	put_sample(s, m, stat_at(s, m->at));
}

static void put_minted(struct scrape *s, const struct metric *m)
{
	uint64_t minted, failed;

	ks_issuer_counts(s->call->api->engine, &minted, &failed);
	put_sample(s, m, minted);
}

static void put_mint_failures(struct scrape *s, const struct metric *m)
{
	uint64_t minted, failed;

	ks_issuer_counts(s->call->api->engine, &minted, &failed);
	put_sample(s, m, failed);
}

static void put_seconds(struct scrape *s, const struct metric *m)
{
	put_nanos(s, m, stat_at(s, m->at));
}

static void put_cpu(struct scrape *s, const struct metric *m)
{
	struct timespec t = {0};

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	put_nanos(s, m, (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec);
}

/* proc(5): the second number of statm is the resident set in pages. */
static void put_resident(struct scrape *s, const struct metric *m)
{
	FILE *file = fopen("/proc/self/statm", "re");
	char line[128] = "";
	struct ks_str size, rest, resident;
	uint64_t pages = 0;

	if (file && fgets(line, sizeof(line), file) && ks_str_split(ks_str_c(line), ' ', &size, &rest)
	    && ks_str_split(rest, ' ', &resident, &rest))
		(void)!ks_str_to_u64(resident, UINT32_MAX, &pages);
	if (file)
		(void)fclose(file);
	put_sample(s, m, pages * (uint64_t)sysconf(_SC_PAGESIZE));
}

static const struct metric metrics[] = {
#define KS_KEEPER_STAT(member) offsetof(struct ks_keeper_stats, member)
#define KS_STAT(field) offsetof(struct ks_engine_stats, field)
#define KS_METRIC(name, type, unit, help, source, at) {name, type, unit, help, source, at},
#include "api/metrics.def"
#undef KS_METRIC
#undef KS_STAT
#undef KS_KEEPER_STAT
};

static void put_metrics(struct scrape *s)
{
	const struct ks_api_options *options = &s->call->api->options;

	for (size_t i = 0; i < KS_ARRAY_LEN(metrics); i++) {
		const struct metric *m = &metrics[i];

		ks_buf_printf(s->out, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name, m->type);
		if (m->unit[0])
			ks_buf_printf(s->out, "# UNIT %s %s\n", m->name, m->unit);
		m->source(s, m);
	}
	if (options->metrics)
		options->metrics(options->metrics_ctx, s->out);
	ks_buf_put_c(s->out, "# EOF\n");
}

enum ks_finish ks_api_metrics(struct ks_call *call)
{
	struct ks_exchange *x = call->exchange;
	char *text = malloc(METRICS_MAX);
	struct ks_buf out = ks_buf_of(text, METRICS_MAX);
	struct ks_engine_stats stats;
	struct scrape s = {.call = call, .stats = &stats, .out = &out};

	if (!text)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	ks_engine_stats(call->api->engine, &stats);
	put_metrics(&s);
	if (!ks_buf_ok(&out)) {
		free(text);
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	}
	x->heap = text;
	x->answer_body = ks_buf_str(&out);
	x->status = 200;
	ks_exchange_answer_header(x, KS_STR("Content-Type"),
				  KS_STR("application/openmetrics-text; version=1.0.0; charset=utf-8"));
	return KS_FINISH_DONE;
}

enum ks_finish ks_api_openapi_yaml(struct ks_call *call)
{
	struct ks_exchange *x = call->exchange;

	x->answer_body = ks_api_openapi();
	x->status = 200;
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("application/yaml"));
	return KS_FINISH_DONE;
}

/* ---- the ring ---- */

static enum ks_finish put_ring(struct ks_call *call)
{
	struct ks_json *out = &call->out;
	struct ks_engine_stats stats;

	ks_engine_stats(call->api->engine, &stats);
	ks_json_open(out, '{');
	ks_json_put_c(out, "directory", ks_engine_ring_directory(call->api->engine));
	ks_json_put_bool(out, "ready", stats.ready);
	ks_json_put_u64(out, "generation", stats.generation);
	ks_json_put_u64(out, "position", stats.position);
	ks_json_put_u64(out, "keys", stats.keys);
	ks_json_put_u64(out, "keys_revoked", stats.keys_revoked);
	ks_json_put_u64(out, "key_slots", stats.key_slots);
	ks_json_put_u64(out, "tenants", stats.tenants);
	ks_json_put_u64(out, "users", stats.users);
	ks_json_put_u64(out, "grants", stats.grants);
	ks_json_put_u64(out, "ring_bytes", stats.ring_bytes);
	ks_json_put_u64(out, "usage_bytes", stats.usage_bytes);
	ks_json_put_u64(out, "rebuilds", stats.rebuilds);
	ks_json_put_u64(out, "growths", stats.growths);
	ks_json_put_u64(out, "usage_flushed", stats.usage_flushed);
	ks_json_put_u64(out, "usage_lost", stats.usage_lost);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_ring_stat(struct ks_call *call)
{
	return ks_call_no_query(call) ? put_ring(call) : KS_FINISH_DONE;
}

/* For the command that waits for the work on another connection. */
enum ks_finish ks_api_progress(struct ks_call *call)
{
	struct ks_json *out = &call->out;
	struct ks_engine_stats stats;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_engine_stats(call->api->engine, &stats);
	ks_json_open(out, '{');
	ks_json_put_c(out, "work", stats.work);
	ks_json_put_u64(out, "done", stats.work ? stats.work_done : 0);
	ks_json_put_u64(out, "all", stats.work ? stats.work_all : 0);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

static enum ks_finish rebuild(struct ks_call *call)
{
	enum ks_err err = ks_engine_rebuild(call->api->engine);

	return err == KS_OK ? put_ring(call) : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

enum ks_finish ks_api_ring_rebuild(struct ks_call *call)
{
	return ks_call_no_query(call) && ks_call_no_members(call) ? ks_call_alone(call, rebuild) : KS_FINISH_DONE;
}

/* Compares every key; changes wait meanwhile, decisions do not. */
static enum ks_finish check(struct ks_call *call)
{
	struct ks_json *out = &call->out;
	struct ks_engine_report report;
	enum ks_err err = ks_engine_check(call->api->engine, &report);

	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_json_open(out, '{');
	ks_json_put_bool(out, "equal", report.differences == 0);
	ks_json_put_u64(out, "differences", report.differences);
	ks_json_put_c(out, "first", report.first[0] ? report.first : NULL);
	ks_json_put_u64(out, "keys", report.keys);
	ks_json_put_u64(out, "tenants", report.tenants);
	ks_json_put_u64(out, "users", report.users);
	ks_json_put_u64(out, "memberships", report.memberships);
	ks_json_put_u64(out, "grants", report.grants);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_ring_check(struct ks_call *call)
{
	return ks_call_no_query(call) && ks_call_no_members(call) ? ks_call_alone(call, check) : KS_FINISH_DONE;
}

/* ---- backup ---- */

/* Of the file: the store's own failures keep their codes. */
static bool is_of_path(enum ks_err err)
{
	return err == KS_SYSTEM || err == KS_NOT_FOUND || err == KS_FORBIDDEN || err == KS_MALFORMED;
}

static enum ks_finish backup(struct ks_call *call)
{
	const char *path = json_string_value(json_object_get(call->body, "path"));
	enum ks_err err = ks_engine_backup(call->api->engine, path);

	if (err == KS_CONFLICT)
		return ks_call_problem(call, KS_PROBLEM_CONFLICT, "There is a file at this path already.");
	if (is_of_path(err)) {
		ks_in_problem(&call->in, "", "path", "No file can be made there.");
		return ks_call_problem(call, KS_PROBLEM_INVALID, NULL);
	}
	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_json_open(&call->out, '{');
	ks_json_put_c(&call->out, "path", path);
	ks_json_close(&call->out, '}');
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_backup(struct ks_call *call)
{
	static const char *const known[] = {"path", NULL};
	struct ks_str path = ks_in_str(&call->in, call->body, "", "path", 4095, true);
	enum ks_finish answered;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	/* Ours and the caller's working directories are two. */
	if (!ks_str_empty(path) && path.p[0] != '/')
		ks_in_problem(&call->in, "", "path", "This must be absolute.");
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_alone(call, backup);
}
