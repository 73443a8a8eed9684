/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime does with values: uses, their leases and outcomes; and what becomes of values that no call is on. */
#include "engine/vault_priv.h"

#define LEASE_KEPT_MS INT64_C(600000) /* after its end, for a report that comes late */
#define DRAIN_AT_ONCE 200
#define FORGET_AT_ONCE 2000        /* looked at */
#define FORGET_EVERY_MS INT64_C(300000)

/* ---- use ---- */

static enum ks_err check_alive(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_vault_fields *f,
			       struct ks_refusal *refusal)
{
	uint32_t index = ks_ring_tenant(tx->ring, f->tenant);
	uint32_t flags = index == KS_RING_NONE
				 ? KS_TENANT_DELETED
				 : atomic_load_explicit(&tx->ring->tenants[index].flags, memory_order_relaxed);

	if (flags & KS_TENANT_DELETED || ks_tx_is_gone(tx, f->tenant) || !ks_actor_sees(actor, tx->ring, f->tenant))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such provider");
	if (flags & KS_TENANT_INACTIVE)
		return ks_refuse(refusal, KS_FORBIDDEN, "tenant_suspended", "", "the provider's tenant is suspended");
	return KS_OK;
}

static enum ks_err audit_use(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_vault_use *use,
			     const struct ks_vault_lease *lease, const char *outcome)
{
	const struct ks_vault_fields *f = use->fields;
	char text[KS_VAULT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	bool first = true;

	ks_audit_put(&detail, "call_id", use->call);
	ks_audit_put_u64(&detail, "version", f->set);
	if (lease)
		ks_audit_put_id(&detail, "lease", KS_ID_LEASE, lease->id);
	ks_buf_put_c(&detail, ",\"fields\":");
	ks_buf_put_byte(&detail, '{');
	for (size_t i = 0; i < f->count; i++) {
		if (use->only && !ks_str_eq(ks_str_c(use->only), ks_str_c(f->items[i].field)))
			continue;
		if (!first)
			ks_buf_put_byte(&detail, ',');
		first = false;
		ks_buf_put_json(&detail, ks_str_c(f->items[i].field));
		ks_buf_put_byte(&detail, ':');
		ks_buf_put_u64(&detail, f->items[i].version);
	}
	ks_buf_put_byte(&detail, '}');
	if (!ks_buf_ok(&detail))
		return KS_TOO_LARGE;
	return ks_vault_audit(tx, actor, use->action,
			      &(struct ks_provider_row){
				      .id = f->provider, .tenant = f->tenant, .organization = f->organization},
			      outcome, ks_audit_end(&detail));
}

static enum ks_err take_lease(void *ctx, const struct ks_lease_row *row)
{
	struct ks_lease_row *kept = ctx;

	*kept = *row;
	kept->call = KS_STR("");
	return KS_OK;
}

/* It holds on for as long as is asked for now, or was before. One that had ended begins anew: that is another call. */
static enum ks_err go_on(struct ks_tx *tx, const struct ks_lease_row *row, struct ks_vault_lease *lease)
{
	bool live = row->ends_at > tx->now_ms;

	if (!live)
		KS_TRY(ks_store_set_count(tx->store, row->provider, row->set_number, 1, 0, 0));
	ks_tx_tally(tx, live ? KS_VAULT_TALLY_LEASE_EXTENDED : KS_VAULT_TALLY_LEASE_BEGUN);
	lease->id = row->id;
	lease->until = live ? KS_MAX(row->ends_at, lease->until) : lease->until;
	return ks_store_lease_update(tx->store, row->id, lease->until,
				     live ? row->outcome : KS_CALL_OUTCOME_NONE);
}

static enum ks_err begin_lease(struct ks_tx *tx, const struct ks_vault_use *use, struct ks_vault_lease *lease)
{
	const struct ks_vault_fields *f = use->fields;
	struct ks_lease_row row = {
		.id = ks_tx_id(tx),
		.provider = f->provider,
		.set_number = f->set,
		.outcome = KS_CALL_OUTCOME_NONE,
		.ends_at = lease->until,
		.call = use->call,
	};
	enum ks_err err;

	if (f->lease) {
		err = ks_store_lease_get(tx->store, f->lease, take_lease, &row);
		lease->stale = err == KS_NOT_FOUND || (err == KS_OK && row.ends_at <= tx->now_ms);
		return lease->stale ? KS_OK : err != KS_OK ? err : go_on(tx, &row, lease);
	}
	lease->id = row.id;
	err = ks_store_lease_begin(tx->store, &row);
	lease->stale = err == KS_NOT_FOUND;
	if (err == KS_OK)
		ks_tx_tally(tx, KS_VAULT_TALLY_LEASE_BEGUN);
	if (err != KS_CONFLICT)
		return lease->stale ? KS_OK : err;
	KS_TRY(ks_store_lease_of_call(tx->store, f->provider, f->set, use->call, take_lease, &row));
	return go_on(tx, &row, lease);
}

uint64_t ks_vault_epoch(const struct ks_engine *engine)
{
	return atomic_load(&engine->vault_epoch);
}

static enum ks_err note_erased(void *ctx, const struct ks_organization_key_row *row)
{
	*(bool *)ctx = row->erased_at != KS_TIME_NONE;
	return KS_OK;
}

/* What was read before a key was erased does not leave after it. Looked up only where one was. */
static enum ks_err check_erased(struct ks_tx *tx, const struct ks_vault_use *use, bool *ret_erased)
{
	const struct ks_vault_fields *f = use->fields;

	*ret_erased = false;
	if (f->epoch == ks_vault_epoch(tx->engine) && tx->engine->log.forgotten_count == 0)
		return KS_OK;
	return ks_store_organization_key_get(tx->store, f->organization, f->key_number, note_erased, ret_erased);
}

enum ks_err ks_vault_use(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_vault_use *use,
			 struct ks_vault_lease *ret_lease, struct ks_refusal *ret_refusal)
{
	const struct ks_vault_options *o = &tx->engine->options.vault;
	struct ks_vault_lease lease = {
		.until = tx->now_ms + KS_MIN(use->hold_ms ? use->hold_ms : o->lease_ms, o->drain_max_ms)};

	KS_TRY(check_alive(tx, actor, use->fields, ret_refusal));
	KS_TRY(check_erased(tx, use, &lease.stale));
	if (!lease.stale)
		KS_TRY(begin_lease(tx, use, &lease));
	if (!lease.stale)
		KS_TRY(audit_use(tx, actor, use, &lease, NULL));
	*ret_lease = lease;
	return KS_OK;
}

enum ks_err ks_vault_use_refused(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_vault_use *use,
				 const char *code)
{
	return audit_use(tx, actor, use, NULL, code);
}

/* ---- its end, and what came of it ---- */

/* `outcome` NULL: its end. */
static enum ks_err audit_lease(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_provider_row *row,
			       const struct ks_lease_row *lease, const char *outcome, struct ks_str code)
{
	char text[KS_VAULT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	ks_audit_put_id(&detail, "lease", KS_ID_LEASE, lease->id);
	ks_audit_put_u64(&detail, "version", lease->set_number);
	if (outcome)
		ks_audit_put(&detail, "outcome", ks_str_c(outcome));
	if (!ks_str_empty(code))
		ks_audit_put(&detail, "code", code);
	return ks_vault_audit(tx, actor, outcome ? "call.report" : "lease.release", row, NULL, ks_audit_end(&detail));
}

static enum ks_err no_lease(struct ks_refusal *refusal)
{
	return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such lease");
}

enum ks_err ks_vault_release(struct ks_tx *tx, const struct ks_actor *actor, uint64_t lease,
			     struct ks_refusal *ret_refusal)
{
	struct ks_provider_kept kept;
	struct ks_lease_row row;
	enum ks_err err = ks_store_lease_get(tx->store, lease, take_lease, &row);

	if (err == KS_NOT_FOUND)
		return no_lease(ret_refusal);
	KS_TRY(err);
	if (ks_vault_find(tx, actor, row.provider, &kept, ret_refusal) == KS_NOT_FOUND)
		return no_lease(ret_refusal);
	if (row.ends_at <= tx->now_ms)
		return KS_OK;
	ks_tx_tally(tx, KS_VAULT_TALLY_LEASE_RELEASED);
	KS_TRY(ks_store_lease_update(tx->store, lease, tx->now_ms, row.outcome));
	return audit_lease(tx, actor, &kept.row, &row, NULL, KS_STR(""));
}

static enum ks_err find_reported(struct ks_tx *tx, const struct ks_vault_report *report,
				 const struct ks_provider_row *row, struct ks_lease_row *ret_lease,
				 struct ks_refusal *refusal)
{
	enum ks_err err = KS_NOT_FOUND;

	if (report->lease) {
		err = ks_store_lease_get(tx->store, report->lease, take_lease, ret_lease);
		if (err == KS_OK && ret_lease->provider != row->id)
			err = KS_NOT_FOUND;
	}
	for (uint64_t set = row->current_set; !report->lease && err == KS_NOT_FOUND && set > 0 && set >= row->first_set;
	     set--)
		err = ks_store_lease_of_call(tx->store, row->id, set, report->call, take_lease, ret_lease);
	return err == KS_NOT_FOUND ? no_lease(refusal) : err;
}

static enum ks_err take_set(void *ctx, const struct ks_provider_set_row *row)
{
	struct ks_provider_set_row *kept = ctx;

	*kept = *row;
	kept->failed_code = KS_STR("");
	return KS_OK;
}

/* So many calls failed of those that began on the new set that it must be the set. */
static enum ks_err judge(struct ks_tx *tx, const struct ks_provider_row *row, bool *ret_rolled_back)
{
	struct ks_provider_set_row set;

	KS_TRY(ks_store_set_get(tx->store, row->id, row->current_set, take_set, &set));
	if (set.calls_failed < tx->engine->options.vault.rollback_failures || set.calls_failed <= set.calls_ok)
		return KS_OK;
	return ks_vault_undo(tx, row, "calls_failing", ret_rolled_back);
}

enum ks_err ks_vault_call_reported(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_vault_report *report,
				   bool *ret_rolled_back, struct ks_refusal *ret_refusal)
{
	enum ks_call_outcome outcome = report->failed ? KS_CALL_OUTCOME_FAILED : KS_CALL_OUTCOME_OK;
	struct ks_provider_kept kept;
	struct ks_lease_row lease;

	*ret_rolled_back = false;
	KS_TRY(ks_vault_find(tx, actor, report->provider, &kept, ret_refusal));
	KS_TRY(find_reported(tx, report, &kept.row, &lease, ret_refusal));
	if (lease.outcome == outcome)
		return KS_OK;
	if (lease.outcome != KS_CALL_OUTCOME_NONE)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "/outcome",
				 "another outcome of this call was reported before");
	KS_TRY(audit_lease(tx, actor, &kept.row, &lease, report->failed ? "failed" : "ok", report->code));
	KS_TRY(ks_store_lease_update(tx->store, lease.id, lease.ends_at, outcome));
	KS_TRY(ks_store_set_count(tx->store, lease.provider, lease.set_number, 0, !report->failed, report->failed));
	ks_tx_tally(tx, report->failed ? KS_VAULT_TALLY_CALL_FAILED : KS_VAULT_TALLY_CALL_OK);
	if (report->failed && !ks_str_empty(report->code))
		KS_TRY(ks_store_set_failed(tx->store, lease.provider, lease.set_number, report->code));
	if (!report->failed || lease.set_number != kept.row.current_set)
		return KS_OK;
	return judge(tx, &kept.row, ret_rolled_back);
}

/* ---- draining ---- */

struct drain_list {
	struct ks_provider_set_row sets[DRAIN_AT_ONCE];
	size_t count;
};

static enum ks_err note_set(void *ctx, const struct ks_provider_set_row *row)
{
	struct drain_list *list = ctx;

	list->sets[list->count] = *row;
	list->sets[list->count++].failed_code = KS_STR("");
	return KS_OK;
}

/* A version that no other set with values has is erased. */
static enum ks_err drain_version(struct ks_tx *tx, const struct ks_provider_set_row *set,
				 struct ks_open_version *v)
{
	bool needed = false;

	KS_TRY(ks_store_version_needed(tx->store, set->provider, ks_str_c(v->field), v->row.version, set->number,
				       &needed));
	if (needed)
		return KS_OK;
	if (v->row.stage == KS_FIELD_STAGE_PREVIOUS)
		v->row.stage = KS_FIELD_STAGE_DRAINED;
	v->row.open = false;
	return ks_store_field_version_update(tx->store, &v->row);
}

struct of_set {
	struct ks_open_version items[KS_VAULT_FIELDS_MAX];
	char codes[KS_VAULT_FIELDS_MAX][KS_STORE_ACTION_MAX + 1];
	size_t count;
};

static enum ks_err note_version(void *ctx, const struct ks_field_version_row *row)
{
	struct of_set *of = ctx;
	struct ks_open_version *v;
	struct ks_buf name, code;

	if (!row->open || of->count == KS_VAULT_FIELDS_MAX)
		return KS_OK;
	v = &of->items[of->count];
	code = KS_BUF(of->codes[of->count++]);
	v->row = *row;
	name = KS_BUF(v->field);
	ks_buf_put(&name, row->field);
	ks_buf_put(&code, row->code);
	v->row.field = ks_str_c(ks_buf_z(&name));
	v->row.code = ks_str_c(ks_buf_z(&code));
	v->row.created_by = v->row.via = v->row.sealed = KS_STR("");
	return KS_OK;
}

static enum ks_err drain(struct ks_tx *tx, const struct ks_provider_set_row *set)
{
	struct of_set of = {.count = 0};

	KS_TRY(ks_store_set_versions(tx->store, set->provider, set->number, note_version, &of));
	for (size_t i = 0; i < of.count; i++)
		KS_TRY(drain_version(tx, set, &of.items[i]));
	KS_TRY(ks_store_set_drained(tx->store, set->provider, set->number, tx->now_ms));
	return ks_store_provider_first_set(tx->store, set->provider);
}

/* A part of all leases, until they are through. */
static enum ks_err forget_leases(struct ks_tx *tx, bool *ret_more)
{
	struct ks_engine *engine = tx->engine;

	*ret_more = false;
	if (engine->vault_forgot_to == 0 && tx->now_ms < engine->vault_forgets_ms)
		return KS_OK;
	KS_TRY(ks_store_leases_forget(tx->store, tx->now_ms - LEASE_KEPT_MS, FORGET_AT_ONCE, &engine->vault_forgot_to));
	*ret_more = engine->vault_forgot_to != 0;
	if (!*ret_more)
		engine->vault_forgets_ms = tx->now_ms + FORGET_EVERY_MS;
	return KS_OK;
}

enum ks_err ks_vault_tend(struct ks_tx *tx, bool *ret_more)
{
	const struct ks_vault_options *o = &tx->engine->options.vault;
	int64_t *after = &tx->engine->vault_drained_to;
	struct drain_list list = {.count = 0};
	bool more;

	KS_TRY(ks_store_sets_draining(tx->store, *after, tx->now_ms - o->rollback_window_ms, DRAIN_AT_ONCE, note_set,
				      &list));
	for (size_t i = 0; i < list.count; i++) {
		const struct ks_provider_set_row *set = &list.sets[i];
		bool any = false;

		if (set->ended_at + o->drain_max_ms > tx->now_ms)
			KS_TRY(ks_store_leases_any(tx->store, set->provider, set->number, tx->now_ms, &any));
		if (!any)
			KS_TRY(drain(tx, set));
	}
	/* Those that calls are still on do not stand in the way of those behind them. */
	*after = list.count == DRAIN_AT_ONCE ? list.sets[list.count - 1].ended_at : 0;
	KS_TRY(forget_leases(tx, &more));
	*ret_more = list.count == DRAIN_AT_ONCE || more;
	return KS_OK;
}
