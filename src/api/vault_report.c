/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/providers/{id}/report: how many calls began on which version, how many failed, how many are under way. */
#include "api/vault.h"

struct report {
	struct ks_call *call;
	uint64_t provider;
	int64_t now_ms;
	struct ks_page page;
};

static enum ks_err put_version(void *ctx, const struct ks_field_version_row *row)
{
	struct ks_json *json = ctx;

	ks_json_open(json, '{');
	ks_json_put_str(json, "name", row->field);
	ks_json_put_u64(json, "version", row->version);
	ks_json_put_c(json, "stage", ks_field_stage_text(row->stage));
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_err put_set(void *ctx, const struct ks_provider_set_row *row)
{
	struct report *r = ctx;
	struct ks_store *store = r->call->reader->store;
	struct ks_json *json = &r->call->out;
	uint64_t all = 0, open = 0;

	if (!ks_page_take(&r->page, row->number))
		return KS_OK;
	KS_TRY(ks_store_leases_count(store, row->provider, row->number, r->now_ms, &all, &open));
	ks_json_open(json, '{');
	ks_json_put_u64(json, "version", row->number);
	ks_json_put_c(json, "reason", ks_set_reason_text(row->reason));
	ks_json_put_time(json, "made_at", row->made_at);
	ks_json_put_time(json, "ended_at", row->ended_at);
	ks_json_put_time(json, "drained_at", row->drained_at);
	ks_json_put_u64(json, "calls", row->calls + all);
	ks_json_put_u64(json, "ok", row->calls_ok);
	ks_json_put_u64(json, "failed", row->calls_failed);
	ks_json_put_some(json, "failed_code", row->failed_code);
	ks_json_put_u64(json, "open", open);
	ks_json_name(json, "fields");
	ks_json_open(json, '[');
	KS_TRY(ks_store_set_versions(store, row->provider, row->number, put_version, json));
	ks_json_close(json, ']');
	ks_json_close(json, '}');
	return KS_OK;
}

static enum ks_finish show(struct ks_call *call)
{
	struct report r = {.call = call, .now_ms = call->exchange->now_ms};
	enum ks_finish answered;
	enum ks_err err;

	if (!ks_call_provider_page(call, &r.page, &r.provider, &answered))
		return answered;
	err = ks_store_sets(call->reader->store, r.provider, r.page.before, r.page.limit + 1, put_set, &r);
	return ks_call_page_answer(call, &r.page, err);
}

enum ks_finish ks_api_providers_report(struct ks_call *call)
{
	return ks_call_later(call, show);
}
