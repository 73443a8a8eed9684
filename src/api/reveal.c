/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime does with providers: reveal, digest, the end and the outcome of calls.
 *
 * A reveal reads the sealed set on the carrier's thread, has it opened by the keeper, and then commits lease and audit
 * entry with whatever else waits for the writer; the answer leaves when that is durable. Only where there are references
 * a thread of their own waits for the customer's store. */
#include <stdlib.h>

#include "api/key_in.h"
#include "api/vault.h"
#include "health/health.h"
#include "base/secret.h"
#include "engine/platforms.h"
#include "keeper/sip_digest.h"

#define HOLD_MAX_S 86400u
#define TRIES 4
#define FETCH_MS 10000
#define METHOD_MAX 64
#define URI_MAX 2048
#define BODY_MAX 16384
#define ANSWER_MAX 8192

struct reveal {
	bool digest;                 /* the answer to a challenge leaves, not the values */
	struct ks_vault_challenge challenge;
	uint64_t provider;
	struct ks_str call_id;       /* in the body */
	uint64_t hold_s;
	struct ks_vault_fields *fields;
	struct ks_vault_opened opened;
	struct ks_vault_sharer sharer;
	struct ks_vault_lease lease;
	const char *bad;             /* a field could not be opened: why */
	char detail[160];            /* which one */
	unsigned tries;
	int64_t began_us;
};

static void forget(struct reveal *r)
{
	ks_vault_opened_free(&r->opened);
	if (r->fields)
		ks_vault_fields_free(&r->fields);
	r->bad = NULL;
}

static void drop(struct ks_call *call)
{
	struct reveal *r = call->extra;

	ks_vault_count_use(r->digest, call->exchange->status, r->bad, ks_vault_tick_us() - r->began_us);
	forget(r);
	free(r);
	call->extra = NULL;
}

static struct ks_vault_use use_of(const struct reveal *r)
{
	return (struct ks_vault_use){
		.action = r->digest ? "secret.digest" : "secret.reveal",
		.only = r->digest ? "password" : NULL,
		.fields = r->fields,
		.call = r->call_id,
		.hold_ms = (int64_t)r->hold_s * 1000,
	};
}

/* ---- the audit entry, and what leaves after it ---- */

static enum ks_err run_use(struct ks_call *call, struct ks_tx *tx)
{
	struct reveal *r = call->extra;
	struct ks_vault_use use = use_of(r);
	struct ks_json *out = &call->out;

	if (r->bad)
		return ks_vault_use_refused(tx, &call->actor, &use, r->bad);
	KS_TRY(ks_vault_use(tx, &call->actor, &use, &r->lease, &call->job.refusal));
	if (r->lease.stale)
		return KS_OK;
	ks_json_put_u64(out, "version", r->fields->set);
	ks_json_name(out, "lease");
	ks_json_open(out, '{');
	ks_json_put_id(out, "id", KS_ID_LEASE, r->lease.id);
	ks_json_put_time(out, "until", r->lease.until);
	ks_json_close(out, '}');
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_finish read_again(struct ks_call *call);

/* The writer's thread: another set has become current meanwhile, or there is nothing to show. */
static bool instead(struct ks_call *call)
{
	struct reveal *r = call->extra;
	enum ks_problem problem;

	if (!r->bad && !r->lease.stale)
		return false;
	ks_json_free(&call->out);
	if (r->bad) {
		problem = ks_problem_by_code(r->bad);
		(void)ks_call_problem(call, problem, r->detail);
		ks_exchange_complete(call->exchange);
		return true;
	}
	if (++r->tries == TRIES)
		(void)ks_call_problem(call, KS_PROBLEM_OVERLOADED, "The provider's values are being changed; try again.");
	else if (ks_call_vault(call, read_again) == KS_FINISH_PENDING)
		return true;
	ks_exchange_complete(call->exchange);
	return true;
}

/* ---- opened ---- */

static void note_bad(struct reveal *r)
{
	for (size_t i = 0; i < r->fields->count && !r->bad; i++) {
		const struct ks_vault_open_field *item = &r->opened.items[i];
		struct ks_buf detail = KS_BUF(r->detail);

		if (item->err == KS_OK)
			continue;
		r->bad = item->code ? item->code : "value_unreadable";
		ks_buf_put_c(&detail, "The field ");
		ks_buf_put_c(&detail, r->fields->items[i].field);
		ks_buf_put_c(&detail, " could not be read.");
		(void)ks_buf_z(&detail);
	}
}

static bool has_field(const struct ks_vault_fields *fields, const char *name)
{
	for (size_t i = 0; i < fields->count; i++) {
		if (ks_str_eq(ks_str_c(fields->items[i].field), ks_str_c(name)))
			return true;
	}
	return false;
}

/* What the platform's file says of fields that have no value. */
static void put_defaults(struct ks_call *call, const struct ks_vault_fields *fields)
{
	struct ks_platform_registry *registry = ks_engine_platforms(call->api->engine);
	const struct ks_platform *platform = ks_platform_find(registry, ks_str_c(fields->platform));

	for (size_t i = 0; platform && i < platform->field_count; i++) {
		const struct ks_platform_field *field = &platform->fields[i];

		if (field->fallback && !has_field(fields, field->name))
			ks_json_put_c(&call->out, field->name, field->fallback);
	}
	ks_platform_registry_release(&registry);
}

static void put_fields(struct ks_call *call, const struct reveal *r)
{
	ks_json_open(&call->out, '{');
	ks_json_name(&call->out, "fields");
	ks_json_open(&call->out, '{');
	for (size_t i = 0; i < r->fields->count; i++)
		ks_json_put_str(&call->out, r->fields->items[i].field, r->opened.items[i].value);
	put_defaults(call, r->fields);
	ks_json_close(&call->out, '}');
}

/* From any thread; KS_FINISH_DONE: answered. */
static enum ks_finish submit(struct ks_call *call)
{
	struct reveal *r = call->extra;

	note_bad(r);
	if (!r->bad)
		put_fields(call, r);
	call->refuses_first = true;
	call->instead = instead;
	return ks_call_write(call, run_use, 200);
}

static void opened(void *ctx, enum ks_err err)
{
	struct ks_call *call = ctx;

	if (err != KS_OK)
		(void)ks_call_problem(call, ks_problem_of_err(err), NULL);
	else if (submit(call) == KS_FINISH_PENDING)
		return;
	ks_exchange_complete(call->exchange);
}

static enum ks_finish fetch(struct ks_call *call)
{
	struct reveal *r = call->extra;
	enum ks_err err = ks_vault_open_fields(call->api->engine, r->fields, call->exchange->now_ms + FETCH_MS, &r->opened);

	return err == KS_OK ? submit(call) : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

/* ---- read ---- */

static enum ks_finish answer_unread(struct ks_call *call, enum ks_err err)
{
	if (err == KS_CONFLICT)
		return ks_call_problem(call, KS_PROBLEM_FIELDS_MISSING, NULL);
	return ks_call_problem(call, ks_problem_of_err(err), NULL);
}

static enum ks_err read_fields(struct ks_call *call, const struct ks_ring *ring)
{
	struct reveal *r = call->extra;

	KS_TRY(ks_vault_read_for_use(call->api->engine, call->reader->store, r->provider, r->call_id,
				     call->exchange->now_ms, r->tries > 0, &r->fields));
	return ks_actor_sees(&call->actor, ring, r->fields->tenant) ? KS_OK : KS_NOT_FOUND;
}

static enum ks_finish read_set(struct ks_call *call, bool may_wait)
{
	struct reveal *r = call->extra;
	const struct ks_ring *ring = ks_call_ring(call);
	enum ks_err err;

	if (!ring)
		return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	err = read_fields(call, ring);
	if (err != KS_OK)
		return answer_unread(call, err);
	call->tenant = r->fields->tenant;
	if (r->fields->has_references || r->fields->has_elsewhere)
		return may_wait ? fetch(call) : ks_call_vault(call, fetch);
	r->sharer = (struct ks_vault_sharer){
		.ret_opened = &r->opened, .done = opened, .ctx = call, .now_ns = (uint64_t)ks_vault_tick_us() * 1000};
	err = ks_vault_open_shared(call->api->engine, r->fields, &r->sharer);
	return err == KS_OK ? KS_FINISH_PENDING : ks_call_problem(call, ks_problem_of_err(err), NULL);
}

/* Answers a challenge, on a thread that may wait. */
static enum ks_finish answer_challenge(struct ks_call *call)
{
	struct reveal *r = call->extra;
	const struct ks_ring *ring = ks_call_ring(call);
	struct ks_refusal refusal = {0};
	char text[ANSWER_MAX];
	struct ks_buf out = KS_BUF(text);
	enum ks_err err;

	if (!ring)
		return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	err = read_fields(call, ring);
	if (err != KS_OK)
		return answer_unread(call, err);
	r->challenge.deadline_ms = call->exchange->now_ms + FETCH_MS;
	err = ks_vault_answer_challenge(call->api->engine, r->fields, &r->challenge, &out, &r->bad, &refusal);
	if (err != KS_OK && !r->bad)
		return ks_call_answer_refusal(call, err, &refusal);
	if (!r->bad) {
		ks_json_open(&call->out, '{');
		ks_json_put_str(&call->out, "authorization", ks_buf_str(&out));
	}
	call->refuses_first = true;
	call->instead = instead;
	return ks_call_write(call, run_use, 200);
}

static enum ks_finish read_again(struct ks_call *call)
{
	struct reveal *r = call->extra;

	forget(r);
	return r->digest ? answer_challenge(call) : read_set(call, true);
}

/* What whoever routes calls says of one: printable, and short enough for every record. */
static void check_printable(struct ks_call *call, const char *name, struct ks_str text)
{
	if (!ks_str_empty(text) && (ks_str_has_control(text) || !ks_str_is_utf8(text)))
		ks_in_problem(&call->in, "", name, "This must have no control characters.");
}

/* What both begin with. NULL: answered. */
static struct reveal *begin(struct ks_call *call, const char *const *known)
{
	struct reveal *r = calloc(1, sizeof(*r));

	if (!r) {
		(void)ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
		return NULL;
	}
	r->began_us = ks_vault_tick_us();
	call->extra = r;
	call->drop = drop;
	call->wipe = true;
	call->unkept = true;
	if (!ks_call_no_query(call) || !ks_call_id(call, 0, KS_ID_PROVIDER, &r->provider))
		return NULL;
	ks_in_known(&call->in, call->body, "", known);
	r->call_id = ks_in_str(&call->in, call->body, "", "call_id", KS_STORE_CALL_MAX, true);
	check_printable(call, "call_id", r->call_id);
	(void)ks_in_u64(&call->in, call->body, "", "hold_s", 1, HOLD_MAX_S, false, &r->hold_s);
	return r;
}

enum ks_finish ks_api_providers_reveal(struct ks_call *call)
{
	static const char *const known[] = {"call_id", "hold_s", NULL};
	enum ks_finish answered;

	if (!begin(call, known))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	return read_set(call, false);
}

enum ks_finish ks_api_providers_digest(struct ks_call *call)
{
	static const char *const known[] = {"call_id", "hold_s", "challenge", "method", "uri", "body", "count", NULL};
	struct reveal *r = begin(call, known);
	uint64_t count = 1;
	enum ks_finish answered;

	if (!r)
		return KS_FINISH_DONE;
	r->digest = true;
	r->challenge.challenge = ks_in_str(&call->in, call->body, "", "challenge", KS_SIP_CHALLENGE_MAX, true);
	r->challenge.method = ks_in_str(&call->in, call->body, "", "method", METHOD_MAX, true);
	r->challenge.uri = ks_in_str(&call->in, call->body, "", "uri", URI_MAX, true);
	r->challenge.body = ks_in_str(&call->in, call->body, "", "body", BODY_MAX, false);
	(void)ks_in_u64(&call->in, call->body, "", "count", 1, UINT32_MAX, false, &count);
	r->challenge.count = (uint32_t)count;
	if (ks_call_invalid(call, &answered))
		return answered;
	return ks_call_vault(call, answer_challenge);
}

/* ---- the end of a call, and its outcome ---- */

static enum ks_err run_release(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_switch *s = call->extra;

	KS_TRY(ks_vault_release(tx, &call->actor, s->id, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_json_put_id(&call->out, "id", KS_ID_LEASE, s->id);
	ks_json_put_bool(&call->out, "released", true);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

enum ks_finish ks_api_leases_release(struct ks_call *call)
{
	return ks_call_no_members(call) ? ks_call_switch(call, KS_ID_LEASE, false, run_release) : KS_FINISH_DONE;
}

static enum ks_err run_report(struct ks_call *call, struct ks_tx *tx)
{
	const struct ks_vault_report *report = call->extra;
	bool rolled_back = false;

	KS_TRY(ks_vault_call_reported(tx, &call->actor, report, &rolled_back, &call->job.refusal));
	ks_json_open(&call->out, '{');
	ks_json_put_c(&call->out, "outcome", report->failed ? "failed" : "ok");
	ks_json_put_bool(&call->out, "rolled_back", rolled_back);
	ks_json_close(&call->out, '}');
	return KS_OK;
}

static void read_report(struct ks_call *call, struct ks_vault_report *report)
{
	static const char *const known[] = {"lease", "call_id", "outcome", "code", NULL};
	struct ks_str outcome;

	ks_in_known(&call->in, call->body, "", known);
	(void)ks_in_id(&call->in, call->body, "", "lease", KS_ID_LEASE, false, &report->lease);
	report->call = ks_in_str(&call->in, call->body, "", "call_id", KS_STORE_CALL_MAX, false);
	check_printable(call, "call_id", report->call);
	if ((report->lease != 0) == !ks_str_empty(report->call) && call->in.problem_count == 0)
		ks_in_problem(&call->in, "", "call_id", "Either this or lease must be given.");
	outcome = ks_in_str(&call->in, call->body, "", "outcome", 16, true);
	report->failed = ks_str_eq(outcome, KS_STR("failed"));
	if (!ks_str_empty(outcome) && !report->failed && !ks_str_eq(outcome, KS_STR("ok")))
		ks_in_problem(&call->in, "", "outcome", "This must be ok or failed.");
	report->code = ks_in_str(&call->in, call->body, "", "code", KS_STORE_ACTION_MAX, false);
	check_printable(call, "code", report->code);
}

/* What fails may be the credential: it is tried. */
static void try_credential(struct ks_call *call)
{
	const struct ks_vault_report *report = call->extra;

	if (report->failed)
		ks_health_call_failed(call->api->options.health, report->provider);
}

enum ks_finish ks_api_providers_calls(struct ks_call *call)
{
	struct ks_vault_report *report = calloc(1, sizeof(*report));
	enum ks_finish answered;

	if (!report)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = report;
	if (!ks_call_id(call, 0, KS_ID_PROVIDER, &report->provider))
		return KS_FINISH_DONE;
	read_report(call, report);
	if (ks_call_invalid(call, &answered))
		return answered;
	call->succeeded = try_credential;
	return ks_call_write(call, run_report, 200);
}
