/* SPDX-License-Identifier: Apache-2.0 */
/* One provider: what is to be tried, opened; the platform asked; what follows from the answer. */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "engine/platforms.h"
#include "health/health_priv.h"
#include "probe/probe.h"

#define OPEN_MS 15000
#define POSTPONED_MS INT64_C(15000) /* one that found no room is due again after this */
#define MISSING "not_probed"

struct attempt {
	struct ks_health *health;
	const struct ks_health_work *work;
	const struct ks_platform *platform;
	struct ks_vault_fields *fields;
	struct ks_vault_opened *opened;
	bool is_candidate;
	unsigned host;               /* whose place is held, as in ks_health_work; 0: none */
	struct ks_probe_result result;
	const char *store_code;      /* why a reference could not be read; NULL: all could */
	bool store_passing;
	struct ks_health_found found;
};

/* ---- values ---- */

static size_t item_of(const struct attempt *a, const char *name)
{
	for (size_t i = 0; i < a->fields->count; i++) {
		if (ks_str_eq(ks_str_c(a->fields->items[i].field), ks_str_c(name)))
			return i;
	}
	return SIZE_MAX;
}

static bool look_up(void *context, const struct ks_platform_field *field, struct ks_str *ret_value)
{
	const struct attempt *a = context;
	size_t i = item_of(a, field->name);

	if (i == SIZE_MAX || a->opened->items[i].err != KS_OK)
		return false;
	*ret_value = a->opened->items[i].value;
	return true;
}

/* Codes of the customer's store, or of ours, that may pass by themselves. */
static bool is_passing_code(const char *code)
{
	static const char *const passing[] = {"throttled", "timeout", "unreachable", "store_failed", "circuit_open", "busy",
					      "held_store_unavailable"};

	for (size_t i = 0; i < KS_ARRAY_LEN(passing); i++) {
		if (ks_str_eq(ks_str_c(code), ks_str_c(passing[i])))
			return true;
	}
	return false;
}

static void look_at_items(struct attempt *a)
{
	for (size_t i = 0; i < a->fields->count && !a->store_code; i++) {
		const struct ks_vault_open_field *item = &a->opened->items[i];

		if (item->err == KS_OK)
			continue;
		a->store_code = item->code ? item->code : "reference_unreadable";
		a->store_passing = is_passing_code(a->store_code);
	}
}

/* ---- what was found ---- */

static enum ks_health_status status_of(enum ks_platform_health health)
{
	static const enum ks_health_status statuses[] = {
		[KS_PLATFORM_UNKNOWN] = KS_HEALTH_UNKNOWN,
		[KS_PLATFORM_HEALTHY] = KS_HEALTH_HEALTHY,
		[KS_PLATFORM_DEGRADED] = KS_HEALTH_DEGRADED,
		[KS_PLATFORM_FAILING] = KS_HEALTH_FAILING,
	};

	return statuses[health];
}

/* What the answer speaks of. */
static uint32_t spoken_of(const struct attempt *a)
{
	const struct ks_platform_probe *probe = a->platform->probe;

	if (a->result.fields || !probe)
		return a->result.fields;
	if (a->result.code == KS_PLATFORM_CODE_CREDENTIAL_REFUSED && probe->secrets)
		return probe->secrets;
	return probe->uses;
}

static void put_field(struct attempt *a, const char *name, enum ks_health_status status, const char *code)
{
	struct ks_health_field *f = &a->found.fields[a->found.field_count++];

	f->status = status;
	(void)snprintf(f->name, sizeof(f->name), "%s", name);
	(void)snprintf(f->code, sizeof(f->code), "%s", code);
}

static void put_fields(struct attempt *a)
{
	uint32_t spoken = spoken_of(a);

	for (size_t i = 0; i < a->platform->field_count && a->found.field_count < KS_HEALTH_FIELDS_MAX; i++) {
		const char *name = a->platform->fields[i].name;
		size_t at = item_of(a, name);
		bool there = at < a->fields->count, opened = there && a->opened->items[at].err == KS_OK;

		if (there && !opened)
			put_field(a, name, a->store_passing ? KS_HEALTH_DEGRADED : KS_HEALTH_FAILING,
				  a->opened->items[at].code ? a->opened->items[at].code : "reference_unreadable");
		else if (!a->store_code && (spoken >> i & 1) && (there || a->found.status != KS_HEALTH_HEALTHY))
			put_field(a, name, a->found.status, a->found.code);
		else if (there && a->fields->items[at].kind == KS_FIELD_KIND_REFERENCE)
			put_field(a, name, KS_HEALTH_HEALTHY, "ok");
		else if (there)
			put_field(a, name, KS_HEALTH_UNKNOWN, MISSING);
	}
}

static void conclude(struct attempt *a)
{
	struct ks_health_found *f = &a->found;

	f->opened = true;
	if (a->store_code) {
		f->status = KS_HEALTH_FAILING;
		f->passing = a->store_passing;
		(void)snprintf(f->code, sizeof(f->code), "%s", a->store_code);
		(void)snprintf(f->detail, sizeof(f->detail), "a reference could not be read");
	} else {
		f->status = status_of(a->result.health);
		f->passing = a->result.passing;
		(void)snprintf(f->code, sizeof(f->code), "%s", ks_platform_code_text(a->result.code));
		(void)snprintf(f->detail, sizeof(f->detail), "%s", a->result.detail);
	}
	put_fields(a);
}

/* ---- the vault ---- */

struct verdict {
	const struct attempt *attempt;
	struct ks_health_found found;
	struct ks_vault_version versions[KS_VAULT_FIELDS_MAX];
	size_t count, blamed;
	uint64_t failures;
	bool again;                  /* there are other values to be tried: probe anew */
};

static enum ks_err note_set(void *ctx, const struct ks_provider_row *row)
{
	*(uint64_t *)ctx = row->current_set;
	return KS_OK;
}

static enum ks_vault_probe meaning_of(const struct ks_health_found *found)
{
	if (found->status == KS_HEALTH_HEALTHY)
		return KS_VAULT_PROBE_GOOD;
	return found->status == KS_HEALTH_FAILING && !found->passing ? KS_VAULT_PROBE_BAD : KS_VAULT_PROBE_UNCLEAR;
}

/* A candidate that is good is current in the same transaction, and its health that of the provider; so is that of the first
 * values of all. */
static enum ks_err write_candidate(struct ks_job *job, struct ks_tx *tx)
{
	struct verdict *v = job->ctx;
	enum ks_vault_probe meaning = meaning_of(&v->found);
	enum ks_err err = ks_vault_probed(tx, v->found.provider, v->versions, v->count, meaning, v->found.code);

	if (err == KS_CONFLICT) {
		v->again = true;
		return KS_OK;
	}
	KS_TRY(err);
	KS_TRY(ks_store_provider_get(tx->store, v->found.provider, note_set, &v->found.set));
	/* Those that are not blamed may be good without the others. */
	v->again = meaning == KS_VAULT_PROBE_BAD && v->blamed > 0 && v->blamed < v->count;
	/* Where calls go on with what is current, that one's health counts. */
	return meaning == KS_VAULT_PROBE_GOOD || v->found.set == 0 ? ks_health_record(tx, &v->found, v->failures) : KS_OK;
}

static enum ks_err write_failing(struct ks_job *job, struct ks_tx *tx)
{
	struct verdict *v = job->ctx;

	KS_TRY(ks_health_record(tx, &v->found, v->failures));
	return ks_vault_failing(tx, v->found.provider, v->found.set, v->found.code, &v->again);
}

static bool is_blamed(const struct attempt *a, const char *field)
{
	for (size_t i = 0; i < a->found.field_count; i++) {
		if (ks_str_eq(ks_str_c(a->found.fields[i].name), ks_str_c(field)))
			return a->found.fields[i].status == KS_HEALTH_FAILING;
	}
	return false;
}

static void write_now(struct attempt *a)
{
	struct verdict *v = calloc(1, sizeof(*v));
	struct ks_job job = {.run = a->is_candidate ? write_candidate : write_failing, .ctx = v};
	enum ks_err err;

	if (!v)
		return;
	v->found = a->found;
	v->failures = a->health->options.failures;
	for (size_t i = 0; i < a->fields->count; i++) {
		const struct ks_vault_sealed_field *item = &a->fields->items[i];
		bool waits = item->stage == KS_FIELD_STAGE_PENDING || item->stage == KS_FIELD_STAGE_PROBED;

		if (waits)
			v->versions[v->count++] = (struct ks_vault_version){
				ks_str_c(item->field), item->version, is_blamed(a, item->field)};
		v->blamed += waits && is_blamed(a, item->field);
	}
	ks_health_wait(a->health);
	err = ks_engine_run(a->health->engine, &job);
	ks_health_compute(a->health);
	if (err == KS_OK && v->again) {
		(void)pthread_mutex_lock(&a->health->lock);
		(void)ks_health_queue(a->health, v->found.provider, ks_health_tick_ms(), true);
		(void)pthread_mutex_unlock(&a->health->lock);
	}
	if (a->is_candidate && meaning_of(&a->found) != KS_VAULT_PROBE_UNCLEAR)
		ks_health_settled(a->health, a->found.provider);
	free(v);
}

static void leave(struct attempt *a)
{
	if (a->is_candidate || (a->found.set && a->found.status == KS_HEALTH_FAILING && !a->found.passing))
		write_now(a);
	else
		ks_health_found(a->health, &a->found);
}

/* ---- the attempt ---- */

static bool names_host(const struct ks_platform_field *f)
{
	return f->type == KS_PLATFORM_HOST || f->type == KS_PLATFORM_URL;
}

static const uint64_t host_key[2] = {0x6b657973, 0x74696c65};

static unsigned host_number(uint64_t hash)
{
	return (unsigned)(hash % KS_HEALTH_HOSTS) + 1;
}

/* By a hash of the platform and of the host or URL that its provider names. */
static unsigned host_of(const struct attempt *a)
{
	uint64_t hash = ks_siphash(host_key, a->platform->name, strlen(a->platform->name));

	for (size_t i = 0; i < a->platform->field_count; i++) {
		const struct ks_platform_field *f = &a->platform->fields[i];
		struct ks_str value;

		if (names_host(f) && look_up((void *)(uintptr_t)a, f, &value))
			hash ^= ks_siphash(host_key, value.p, value.n);
	}
	return host_number(hash);
}

/* The platform is always at the same host: nothing has to be opened to know which. */
static bool is_at_one_host(const struct ks_platform *platform)
{
	for (size_t i = 0; i < platform->field_count; i++) {
		if (names_host(&platform->fields[i]))
			return false;
	}
	return true;
}

unsigned ks_health_host_of(struct ks_health *h, struct ks_str name)
{
	struct ks_platform_registry *platforms = ks_engine_platforms(h->engine);
	const struct ks_platform *platform = ks_platform_find(platforms, name);
	bool known = platform && platform->probe && is_at_one_host(platform);

	ks_platform_registry_release(&platforms);
	return known ? host_number(ks_siphash(host_key, name.p, name.n)) : 0;
}

static void put_off(struct attempt *a, unsigned host)
{
	struct ks_health *h = a->health;

	if (ks_health_put_off(h, a->work, host) || a->work->urgent || !h->options.interval_ms)
		return;
	a->found.postponed = true;
	a->found.due_at = a->found.at + ks_health_jitter(KS_MIN(POSTPONED_MS, h->options.interval_ms));
	ks_health_found(h, &a->found);
}

static void leave_host(struct attempt *a)
{
	if (a->host)
		ks_health_host_give(a->health, a->host);
	a->host = 0;
}

/* False: it is busy, and the work was put off. */
static bool enter_host(struct attempt *a)
{
	unsigned host = host_of(a);

	if (a->host == host)
		return true;
	leave_host(a);
	if (!ks_health_host_take(a->health, host)) {
		put_off(a, host);
		return false;
	}
	a->host = host;
	return true;
}

static void ask_platform(struct attempt *a)
{
	struct ks_probe_job job = {
		.platform = a->platform,
		.lookup = look_up,
		.context = a,
		.timeout_ms = a->health->options.timeout_ms,
		.now_ms = ks_health_now_ms(),
	};

	if (!enter_host(a))
		return;
	look_at_items(a);
	if (!a->store_code)
		ks_probe_run(a->health->fetch, &job, &a->result);
	/* Without a probe of its own, references that can be read are all that can be found out. */
	if (!a->platform->probe && a->fields->has_references && !a->store_code)
		a->result = (struct ks_probe_result){.health = KS_PLATFORM_HEALTHY, .code = KS_PLATFORM_CODE_OK};
	leave_host(a);
	if (a->result.is_stopped)
		return;
	conclude(a);
	(void)atomic_fetch_add(&a->health->probes[a->found.status], 1);
	leave(a);
}

static void open_and_ask(struct attempt *a)
{
	enum ks_err err;

	/* Nothing is opened for nothing. */
	if (!a->platform || (!a->platform->probe && !a->fields->has_references)) {
		(void)snprintf(a->found.code, sizeof(a->found.code), MISSING);
		ks_health_found(a->health, &a->found);
		return;
	}
	if (is_at_one_host(a->platform) && !enter_host(a))
		return;
	a->opened = calloc(1, sizeof(*a->opened));
	if (!a->opened)
		return;
	ks_health_wait(a->health);
	err = ks_vault_open_fields(a->health->engine, a->fields, ks_health_now_ms() + OPEN_MS, a->opened);
	ks_health_compute(a->health);
	if (err == KS_OK) {
		ask_platform(a);
	} else {
		(void)snprintf(a->found.code, sizeof(a->found.code), "internal");
		(void)snprintf(a->found.detail, sizeof(a->found.detail), "the values could not be opened");
		a->found.passing = true;
		ks_health_found(a->health, &a->found);
	}
	ks_vault_opened_free(a->opened);
	free(a->opened);
}

/* What is to be tried: versions that wait, else what is current. */
static enum ks_err read_fields(struct attempt *a)
{
	struct ks_engine_reader *reader = ks_health_reader_take(a->health);
	struct ks_engine *engine = a->health->engine;
	enum ks_err err = KS_STORE;

	if (!reader)
		return err;
	err = ks_vault_candidate(engine, reader->store, a->work->provider, &a->fields);
	a->is_candidate = err == KS_OK;
	if (err == KS_CONFLICT)
		err = ks_vault_read(engine, reader->store, a->work->provider, KS_STR(""), ks_health_now_ms(), &a->fields);
	ks_health_reader_give(a->health, reader);
	return err;
}

void ks_health_probe(struct ks_health *h, const struct ks_health_work *work)
{
	struct attempt *a = calloc(1, sizeof(*a));
	struct ks_platform_registry *platforms = NULL;
	int64_t now_ms = ks_health_now_ms();
	enum ks_err err;

	if (!a) {
		if (work->host)
			ks_health_host_give(h, work->host);
		return;
	}
	a->health = h;
	a->work = work;
	a->host = work->host;
	a->found = (struct ks_health_found){
		.provider = work->provider,
		.at = now_ms,
		.due_at = h->options.interval_ms ? now_ms + ks_health_jitter(h->options.interval_ms) : KS_TIME_NONE,
		.status = KS_HEALTH_UNKNOWN,
	};
	err = read_fields(a);
	if (err == KS_OK) {
		a->found.set = a->fields->set;
		platforms = ks_engine_platforms(h->engine);
		a->platform = ks_platform_find(platforms, ks_str_c(a->fields->platform));
		open_and_ask(a);
	} else if (err == KS_CONFLICT || err == KS_NOT_FOUND) {
		(void)snprintf(a->found.code, sizeof(a->found.code), "incomplete");
		ks_health_found(h, &a->found);
	}
	leave_host(a);
	ks_vault_fields_free(&a->fields);
	ks_platform_registry_release(&platforms);
	free(a);
}
