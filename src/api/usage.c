/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/keys/{id}/usage: how a key was used, by step of time. Steps without a use are left out. */
#include <stdlib.h>

#include "api/api_priv.h"

#define MINUTE_MS INT64_C(60000)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define STEPS_MAX 10000 /* of one answer */

static const struct {
	const char *name;
	int64_t ms;
	int64_t span_ms; /* unless `from` is given */
} steps[] = {
	{"minute", MINUTE_MS, HOUR_MS},
	{"hour", HOUR_MS, DAY_MS},
	{"day", DAY_MS, 30 * DAY_MS},
};

struct scope_count {
	char name[KS_SCOPE_NAME_MAX + 1];
	uint64_t count;
};

/* One step of time, being added up. */
struct usage {
	struct ks_json *out;
	bool open;
	int64_t start;
	uint64_t outcomes[KS_REASON_COUNT];
	struct scope_count scopes[KS_SCOPES_MAX];
	size_t scope_count;
};

static void put_step(struct usage *u)
{
	struct ks_json *out = u->out;
	uint64_t all = 0;

	if (!u->open)
		return;
	for (size_t i = 0; i < KS_REASON_COUNT; i++)
		all += u->outcomes[i];
	ks_json_open(out, '{');
	ks_json_put_time(out, "start", u->start);
	ks_json_put_u64(out, "allowed", u->outcomes[KS_REASON_OK]);
	ks_json_put_u64(out, "denied", all - u->outcomes[KS_REASON_OK]);
	ks_json_name(out, "by_outcome");
	ks_json_open(out, '{');
	for (enum ks_reason i = 0; i < KS_REASON_COUNT; i++) {
		if (u->outcomes[i])
			ks_json_put_u64(out, ks_reason_info(i)->code, u->outcomes[i]);
	}
	ks_json_close(out, '}');
	ks_json_name(out, "by_scope");
	ks_json_open(out, '{');
	for (size_t i = 0; i < u->scope_count; i++)
		ks_json_put_u64(out, u->scopes[i].name, u->scopes[i].count);
	ks_json_close(out, '}');
	ks_json_close(out, '}');
	u->open = false;
}

static void add_scope(struct usage *u, struct ks_str scope, uint64_t count)
{
	struct ks_buf b;

	if (ks_str_empty(scope))
		return;
	for (size_t i = 0; i < u->scope_count; i++) {
		if (ks_str_eq(ks_str_c(u->scopes[i].name), scope)) {
			u->scopes[i].count += count;
			return;
		}
	}
	if (u->scope_count == KS_SCOPES_MAX)
		return;
	b = KS_BUF(u->scopes[u->scope_count].name);
	ks_buf_put(&b, scope);
	if (ks_buf_z(&b)[0])
		u->scopes[u->scope_count++].count = count;
}

static enum ks_err add_row(void *ctx, const struct ks_usage_row *row)
{
	struct usage *u = ctx;

	if (u->open && u->start != row->minute)
		put_step(u);
	if (!u->open) {
		u->open = true;
		u->start = row->minute;
		u->scope_count = 0;
		memset(u->outcomes, 0, sizeof(u->outcomes));
	}
	if (row->reason < KS_REASON_COUNT)
		u->outcomes[row->reason] += row->count;
	add_scope(u, row->scope, row->count);
	return KS_OK;
}

enum ks_err ks_usage_put_days(struct ks_call *call, uint64_t key, unsigned days)
{
	struct usage *u = calloc(1, sizeof(*u));
	int64_t to = call->exchange->now_ms - call->exchange->now_ms % DAY_MS + DAY_MS;
	enum ks_err err;

	if (!u)
		return KS_MEMORY;
	u->out = &call->out;
	ks_json_open(&call->out, '[');
	err = ks_store_usage(call->reader->store, key, KS_MAX(to - (int64_t)days * DAY_MS, 0), to, DAY_MS, add_row, u);
	put_step(u);
	ks_json_close(&call->out, ']');
	free(u);
	return err;
}

/* ---- the question ---- */

struct span {
	int64_t from;
	int64_t to;
	size_t step;
};

static void time_of(struct ks_call *call, const char *name, int64_t *time)
{
	char storage[48];
	struct ks_str text;

	if (ks_call_query(call, name, storage, sizeof(storage), &text) && !ks_time_parse(text, time))
		ks_call_query_problem(call, name, "This must be an RFC 3339 time.");
}

static void read_span(struct ks_call *call, struct span *span)
{
	static const char *const known[] = {"from", "to", "step", NULL};
	char storage[16];
	struct ks_str name;
	int64_t ms;

	*span = (struct span){.from = KS_TIME_NONE, .to = call->exchange->now_ms, .step = 1};
	ks_call_query_known(call, known);
	if (ks_call_query(call, "step", storage, sizeof(storage), &name)) {
		for (span->step = 0; span->step < KS_ARRAY_LEN(steps); span->step++) {
			if (ks_str_eq(name, ks_str_c(steps[span->step].name)))
				break;
		}
		if (span->step == KS_ARRAY_LEN(steps)) {
			ks_call_query_problem(call, "step", "This must be minute, hour or day.");
			span->step = 0;
		}
	}
	time_of(call, "from", &span->from);
	time_of(call, "to", &span->to);
	ms = steps[span->step].ms;
	if (span->from == KS_TIME_NONE)
		span->from = KS_MAX(span->to - steps[span->step].span_ms, 0);
	/* Whole steps, so that each is shown with all that was counted in it. */
	span->from -= span->from % ms;
	span->to += (ms - span->to % ms) % ms;
	if (span->to <= span->from)
		ks_call_query_problem(call, "from", "This must be before to.");
	else if ((span->to - span->from) / ms > STEPS_MAX)
		ks_call_query_problem(call, "from", "There are more than 10000 steps between from and to.");
}

static enum ks_err see(void *ctx, const struct ks_key_row *row)
{
	struct ks_call *call = ctx;
	const struct ks_ring *ring = ks_call_ring(call);

	return ring && ks_actor_sees(&call->actor, ring, row->tenant) ? KS_OK : KS_NOT_FOUND;
}

static enum ks_err put_usage(struct ks_call *call, uint64_t key, const struct span *span)
{
	struct usage *u = call->extra;
	struct ks_json *out = &call->out;

	ks_json_open(out, '{');
	ks_json_put_time(out, "from", span->from);
	ks_json_put_time(out, "to", span->to);
	ks_json_put_c(out, "step", steps[span->step].name);
	ks_json_name(out, "items");
	ks_json_open(out, '[');
	KS_TRY(ks_store_usage(call->reader->store, key, span->from, span->to, steps[span->step].ms, add_row, u));
	put_step(u);
	ks_json_close(out, ']');
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_finish read_usage(struct ks_call *call)
{
	struct usage *u = calloc(1, sizeof(*u));
	struct span span;
	enum ks_finish answered;
	uint64_t id;
	enum ks_err err;

	if (!u)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	u->out = &call->out;
	call->extra = u;
	read_span(call, &span);
	if (ks_call_invalid(call, &answered))
		return answered;
	if (!ks_id_parse(call->params[0], KS_ID_KEY, &id))
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	err = ks_store_key_get(call->reader->store, id, see, call);
	if (err == KS_OK)
		err = put_usage(call, id, &span);
	return ks_call_answer_read(call, err);
}

enum ks_finish ks_api_keys_usage(struct ks_call *call)
{
	return ks_call_later(call, read_usage);
}
