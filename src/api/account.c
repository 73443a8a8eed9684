/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/account: the caller itself. What a key's holder monitors. */
#include <stdlib.h>
#include <string.h>

#include "api/api_priv.h"

#define DAYS 7

static enum ks_err put_tenant(void *ctx, const struct ks_tenant_row *row)
{
	struct ks_call *call = ctx;

	ks_record_tenant(&call->out, row, ks_call_ring(call), &call->actor);
	return KS_OK;
}

/* ---- a key ---- */

struct key_and_grant {
	struct ks_call *call;
	const struct ks_key_row *row;
};

static enum ks_err put_grant(void *ctx, const struct ks_grant_row *grant)
{
	struct key_and_grant *both = ctx;

	ks_record_key(&both->call->out, both->row, grant->body, NULL, both->call->exchange->now_ms);
	return KS_OK;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void put_scopes(struct ks_call *call, const struct ks_ring *ring)
{
	const char *names[KS_SCOPES_MAX];
	size_t count = 0;

	for (uint16_t i = 0; ring && i < KS_SCOPES_MAX; i++) {
		/* Names are terminated where they stand. */
		if (ks_scopes_has(&call->actor.scopes, i) && !ks_str_empty(ks_scope_name(ring->scopes, i)))
			names[count++] = ks_scope_name(ring->scopes, i).p;
	}
	if (count > 1)
		qsort(names, count, sizeof(names[0]), by_name);
	ks_json_name(&call->out, "scopes");
	ks_json_open(&call->out, '[');
	for (size_t i = 0; i < count; i++)
		ks_json_c(&call->out, names[i]);
	ks_json_close(&call->out, ']');
}

/* The limit as the ring has it, where decisions are made. */
static void put_limits(struct ks_call *call, const struct ks_ring *ring, const struct ks_key_row *row)
{
	struct ks_json *out = &call->out;
	const struct ks_ring_key *key = NULL;
	struct ks_rate rate = {0};
	uint64_t slot;

	if (ring)
		key = ks_ring_key(ring, &row->digest, ks_ring_home(ring, &row->digest), &slot);
	if (key && ring->usage) {
		const struct ks_ring_grant *grant = &ring->grants[key->grant];

		ks_usage_rate(ring->usage, key->id, grant->rate_requests, grant->rate_window_s, call->exchange->now_ms, &rate);
	}
	ks_json_name(out, "limits");
	ks_json_open(out, '{');
	ks_json_name(out, "rate_limit");
	if (rate.limit == 0) {
		ks_json_null(out);
	} else {
		ks_json_open(out, '{');
		ks_json_put_u64(out, "requests", rate.limit);
		ks_json_put_u64(out, "window_s", rate.window_s);
		ks_json_put_u64(out, "remaining", rate.remaining);
		ks_json_put_u64(out, "reset_s", rate.reset_s);
		ks_json_close(out, '}');
	}
	ks_json_close(out, '}');
}

static enum ks_err put_key(void *ctx, const struct ks_key_row *row)
{
	struct key_and_grant both = {.call = ctx, .row = row};
	const struct ks_ring *ring = ks_call_ring(both.call);
	struct ks_json *out = &both.call->out;
	enum ks_err err;

	ks_json_name(out, "key");
	err = ks_store_grant_get(both.call->reader->store, row->grant, put_grant, &both);
	put_scopes(both.call, ring);
	ks_json_name(out, "usage");
	ks_json_open(out, '{');
	ks_json_put_u64(out, "uses", row->uses);
	ks_json_put_time(out, "last_used_at", row->last_used_at);
	ks_json_put_some(out, "last_used_address", row->last_used_address);
	ks_json_name(out, "days");
	if (err == KS_OK)
		err = ks_usage_put_days(both.call, row->id, DAYS);
	ks_json_close(out, '}');
	put_limits(both.call, ring, row);
	return err;
}

/* ---- the answer ---- */

static enum ks_finish put_account(struct ks_call *call)
{
	struct ks_store *store = call->reader->store;
	struct ks_json *out = &call->out;
	enum ks_err err = KS_OK;
	uint64_t id = 0;

	ks_json_open(out, '{');
	ks_json_put_c(out, "principal", call->actor.id);
	if (ks_id_parse(ks_str_c(call->actor.id), KS_ID_KEY, &id)) {
		err = ks_store_key_get(store, id, put_key, call);
	} else if (ks_id_parse(ks_str_c(call->actor.id), KS_ID_USER, &id)) {
		ks_json_name(out, "user");
		err = ks_record_user_by_id(store, out, id);
	}
	if (err != KS_OK)
		return ks_call_problem(call, KS_PROBLEM_STORE_UNAVAILABLE, NULL);
	ks_json_name(out, "tenant");
	if (call->actor.own == 0 || ks_store_tenant_get(store, call->actor.own, put_tenant, call) != KS_OK)
		ks_json_null(out);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_account(struct ks_call *call)
{
	return ks_call_later(call, put_account);
}
