/* SPDX-License-Identifier: Apache-2.0 */
/* What is current: promotion, rollback, and the sets that they make. */
#include <stdlib.h>

#include "base/array.h"
#include "engine/events.h"
#include "engine/vault_priv.h"

/* ---- the versions that are open ---- */

#define OPEN_VERSIONS_FIRST 16

static enum ks_err take_open(void *ctx, const struct ks_field_version_row *row)
{
	struct ks_open_versions *versions = ctx;
	struct ks_open_version *v;
	struct ks_buf name;

	if (versions->count == KS_OPEN_VERSIONS_MAX)
		return KS_TOO_LARGE;
	KS_TRY(ks_array_room(&versions->items, &versions->cap, versions->count, OPEN_VERSIONS_FIRST, sizeof(*v)));
	v = &versions->items[versions->count++];
	*v = (struct ks_open_version){.row = *row};
	name = KS_BUF(v->field);
	ks_buf_put(&name, row->field);
	(void)ks_buf_z(&name);
	v->row.created_by = v->row.via = v->row.code = v->row.sealed = KS_STR("");
	return KS_OK;
}

enum ks_err ks_vault_open_versions(struct ks_store *store, uint64_t provider, struct ks_open_versions *ret_versions)
{
	struct ks_open_versions versions = {0};
	enum ks_err err = ks_store_field_versions_open(store, provider, take_open, &versions);

	if (err != KS_OK) {
		free(versions.items);
		return err;
	}
	/* Only now do they stay where they are. */
	for (size_t i = 0; i < versions.count; i++)
		versions.items[i].row.field = ks_str_c(versions.items[i].field);
	*ret_versions = versions;
	return KS_OK;
}

void ks_vault_open_versions_free(struct ks_open_versions *versions)
{
	free(versions->items);
	*versions = (struct ks_open_versions){0};
}

bool ks_vault_complete(struct ks_engine *engine, struct ks_str name, const struct ks_open_versions *versions,
		       struct ks_vault_platform *ret_platform)
{
	if (!ks_vault_platform_of(engine, name, ret_platform))
		return false;
	for (size_t i = 0; i < ret_platform->count; i++) {
		bool have = !ret_platform->fields[i].required;

		for (size_t k = 0; k < versions->count && !have; k++)
			have = (ks_is_waiting(&versions->items[k])
				|| versions->items[k].row.stage == KS_FIELD_STAGE_CURRENT)
			       && ks_str_eq(ks_str_c(versions->items[k].field), ks_str_c(ret_platform->fields[i].name));
		if (!have)
			return false;
	}
	return true;
}

enum ks_err ks_vault_is_complete(struct ks_engine *engine, struct ks_store *store, uint64_t provider,
				 bool *ret_complete)
{
	struct ks_vault_platform platform;
	struct ks_open_versions versions;
	struct ks_provider_kept kept;

	KS_TRY(ks_store_provider_get(store, provider, ks_provider_keep, &kept));
	KS_TRY(ks_vault_open_versions(store, provider, &versions));
	*ret_complete = ks_vault_complete(engine, kept.row.platform, &versions, &platform);
	ks_vault_open_versions_free(&versions);
	return KS_OK;
}

/* ---- one change of what is current ---- */

_Static_assert(KS_VAULT_TALLY_SET_PROMOTED + KS_SET_REASON_FAILING == KS_VAULT_TALLY_SET_FAILING
		       && KS_SET_REASON_COUNT == KS_VAULT_TALLY_SET_FAILING - KS_VAULT_TALLY_SET_PROMOTED + 1,
	       "tallies of sets are in the order of their reasons");

struct changing {
	struct ks_tx *tx;
	const struct ks_actor *actor;
	struct ks_provider_row *row;
	struct ks_open_versions versions;
	enum ks_set_reason reason;
	enum ks_field_stage leaves;  /* what becomes of what was current */
	const char *code;            /* why; "" */
	struct ks_open_version *enters[KS_VAULT_FIELDS_MAX];
	size_t enter_count;
	struct ks_str drops[KS_VAULT_FIELDS_MAX]; /* fields that the new set does not have */
	size_t drop_count;
};

static struct ks_open_version *current_of(struct ks_open_versions *versions, const char *field)
{
	for (size_t i = 0; i < versions->count; i++) {
		struct ks_open_version *v = &versions->items[i];

		if (v->row.stage == KS_FIELD_STAGE_CURRENT && ks_str_eq(ks_str_c(v->field), ks_str_c(field)))
			return v;
	}
	return NULL;
}

static enum ks_err leave(struct changing *c, struct ks_open_version *v)
{
	v->row.stage = c->leaves;
	v->row.ended_at = c->tx->now_ms;
	v->row.code = ks_str_c(c->code);
	return ks_store_field_version_update(c->tx->store, &v->row);
}

static enum ks_err enter(struct changing *c, struct ks_open_version *v)
{
	struct ks_open_version *old = current_of(&c->versions, v->field);

	if (old)
		KS_TRY(leave(c, old));
	v->row.stage = KS_FIELD_STAGE_CURRENT;
	v->row.promoted_at = c->tx->now_ms;
	v->row.ended_at = KS_TIME_NONE;
	v->row.code = KS_STR("");
	return ks_store_field_version_update(c->tx->store, &v->row);
}

static enum ks_err drop(struct changing *c, struct ks_str field)
{
	for (size_t i = 0; i < c->versions.count; i++) {
		struct ks_open_version *v = &c->versions.items[i];

		if (v->row.stage == KS_FIELD_STAGE_CURRENT && ks_str_eq(ks_str_c(v->field), field))
			return leave(c, v);
	}
	return KS_OK;
}

/* What cannot be tried before other fields are written is not waited for: nobody is to look at it again and again. */
static enum ks_err set_waiting(const struct changing *c)
{
	struct ks_vault_platform platform;
	bool waiting = false;

	for (size_t i = 0; i < c->versions.count; i++)
		waiting |= ks_is_waiting(&c->versions.items[i]);
	waiting = waiting && ks_vault_complete(c->tx->engine, c->row->platform, &c->versions, &platform);
	return ks_store_provider_set_waiting(c->tx->store, c->row->id, waiting);
}

static enum ks_err write_set(struct changing *c)
{
	struct ks_set_field fields[KS_VAULT_FIELDS_MAX];
	size_t count = 0;
	struct ks_provider_set_row set = {
		.provider = c->row->id,
		.number = c->row->current_set + 1,
		.based_on = c->row->current_set,
		.reason = c->reason,
		.made_at = c->tx->now_ms,
		.ended_at = KS_TIME_NONE,
		.drained_at = KS_TIME_NONE,
		.failed_code = KS_STR(""),
	};

	for (size_t i = 0; i < c->versions.count; i++) {
		const struct ks_open_version *v = &c->versions.items[i];

		if (v->row.stage != KS_FIELD_STAGE_CURRENT)
			continue;
		if (count == KS_VAULT_FIELDS_MAX)
			return KS_TOO_LARGE;
		fields[count++] = (struct ks_set_field){ks_str_c(v->field), v->row.version};
	}
	KS_TRY(ks_store_set_make(c->tx->store, &set, fields, count));
	KS_TRY(set_waiting(c));
	c->row->current_set = set.number;
	c->row->first_set = c->row->first_set ? c->row->first_set : set.number;
	return KS_OK;
}

static void put_fields(struct changing *c, struct ks_buf *out)
{
	char text[KS_VAULT_FIELDS_MAX * (KS_STORE_FIELD_NAME_MAX + 24)];
	struct ks_buf list = KS_BUF(text);

	for (size_t i = 0; i < c->enter_count; i++) {
		if (i > 0)
			ks_buf_put_byte(&list, ' ');
		ks_buf_put_c(&list, c->enters[i]->field);
		ks_buf_put_byte(&list, '@');
		ks_buf_put_u64(&list, c->enters[i]->row.version);
	}
	ks_audit_put(out, "fields", ks_buf_str(&list));
	ks_audit_put_u64(out, "version", c->row->current_set);
}

static enum ks_err tell(struct changing *c, bool back)
{
	char text[KS_EVENT_DATA_SIZE], more[KS_VAULT_DETAIL_SIZE];
	struct ks_buf data = KS_BUF(text), detail = KS_BUF(more);

	put_fields(c, &detail);
	ks_audit_put(&detail, "reason", ks_str_c(ks_set_reason_text(c->reason)));
	if (c->code[0])
		ks_audit_put(&detail, "code", ks_str_c(c->code));
	KS_TRY(ks_vault_audit(c->tx, c->actor, back ? "secret.rollback" : "secret.promote", c->row, NULL,
			      ks_audit_end(&detail)));
	ks_audit_put(&data, "name", c->row->name);
	ks_audit_put(&data, "platform", c->row->platform);
	put_fields(c, &data);
	if (back)
		ks_audit_put_some(&data, "code", ks_str_c(c->code));
	return ks_event_add(c->tx, &(struct ks_event_note){
		.type = back ? KS_EVENT_SECRET_ROLLED_BACK : KS_EVENT_SECRET_ROTATED,
		.organization = c->row->organization,
		.tenant = c->row->tenant,
		.object_type = KS_ID_PROVIDER,
		.object = c->row->id,
		.data = ks_audit_end(&data),
	});
}

static enum ks_err change(struct changing *c)
{
	bool back = c->reason == KS_SET_REASON_ROLLED_BACK || c->reason == KS_SET_REASON_FAILING;

	for (size_t i = 0; i < c->enter_count; i++)
		KS_TRY(enter(c, c->enters[i]));
	for (size_t i = 0; i < c->drop_count; i++)
		KS_TRY(drop(c, c->drops[i]));
	KS_TRY(write_set(c));
	ks_tx_tally(c->tx, (enum ks_vault_tally)(KS_VAULT_TALLY_SET_PROMOTED + c->reason));
	return tell(c, back);
}

static enum ks_err enters(struct changing *c, struct ks_open_version *v)
{
	if (c->enter_count == KS_VAULT_FIELDS_MAX)
		return KS_TOO_LARGE;
	c->enters[c->enter_count++] = v;
	return KS_OK;
}

static enum ks_err begin(struct ks_tx *tx, const struct ks_actor *actor, struct ks_provider_row *row,
			 enum ks_set_reason reason, struct changing *c)
{
	*c = (struct changing){
		.tx = tx, .actor = actor, .row = row, .reason = reason, .leaves = KS_FIELD_STAGE_PREVIOUS, .code = ""};
	return ks_vault_open_versions(tx->store, row->id, &c->versions);
}

/* ---- promotion ---- */

static enum ks_err promote_waiting(struct changing *c)
{
	for (size_t i = 0; i < c->versions.count; i++) {
		if (ks_is_waiting(&c->versions.items[i]))
			KS_TRY(enters(c, &c->versions.items[i]));
	}
	return c->enter_count ? change(c) : KS_OK;
}

enum ks_err ks_vault_settle(struct ks_tx *tx, const struct ks_actor *actor, struct ks_provider_row *row)
{
	struct ks_vault_platform platform;
	struct changing c;
	bool waiting = false;
	enum ks_err err;

	KS_TRY(begin(tx, actor, row, KS_SET_REASON_PROMOTED, &c));
	for (size_t i = 0; i < c.versions.count; i++)
		waiting |= ks_is_waiting(&c.versions.items[i]);
	if (waiting && ks_vault_complete(tx->engine, row->platform, &c.versions, &platform) && !platform.probed)
		err = promote_waiting(&c);
	else
		err = set_waiting(&c);
	ks_vault_open_versions_free(&c.versions);
	return err;
}

enum ks_err ks_vault_promote(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider, struct ks_str field,
			     struct ks_refusal *ret_refusal)
{
	struct ks_provider_kept kept;
	struct changing c;
	enum ks_err err = KS_OK;

	KS_TRY(ks_vault_find(tx, actor, provider, &kept, ret_refusal));
	KS_TRY(begin(tx, actor, &kept.row, KS_SET_REASON_FORCED, &c));
	for (size_t i = 0; i < c.versions.count && err == KS_OK; i++) {
		if (ks_is_waiting(&c.versions.items[i]) && ks_str_eq(ks_str_c(c.versions.items[i].field), field))
			err = enters(&c, &c.versions.items[i]);
	}
	if (err == KS_OK)
		err = c.enter_count ? change(&c)
				    : ks_refuse(ret_refusal, KS_CONFLICT, "nothing_pending", "",
						"no version of this field is pending");
	ks_vault_open_versions_free(&c.versions);
	return err;
}

/* ---- back ---- */

enum ks_err ks_vault_rollback(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider, struct ks_str field,
			      struct ks_refusal *ret_refusal)
{
	struct ks_open_version *found = NULL;
	struct ks_provider_kept kept;
	struct changing c;
	enum ks_err err;

	KS_TRY(ks_vault_find(tx, actor, provider, &kept, ret_refusal));
	KS_TRY(begin(tx, actor, &kept.row, KS_SET_REASON_ROLLED_BACK, &c));
	c.leaves = KS_FIELD_STAGE_ROLLED_BACK;
	for (size_t i = 0; i < c.versions.count; i++) {
		struct ks_open_version *v = &c.versions.items[i];

		if (v->row.stage == KS_FIELD_STAGE_PREVIOUS && ks_str_eq(ks_str_c(v->field), field)
		    && (!found || v->row.ended_at >= found->row.ended_at))
			found = v;
	}
	err = found ? enters(&c, found)
		    : ks_refuse(ret_refusal, KS_CONFLICT, "nothing_previous", "",
				"no version of this field that was current before is there any more");
	if (err == KS_OK)
		err = change(&c);
	ks_vault_open_versions_free(&c.versions);
	return err;
}

struct base {
	struct changing *c;
	bool possible;
	size_t count;
	char fields[KS_VAULT_FIELDS_MAX][KS_STORE_FIELD_NAME_MAX + 1];
};

/* One version of the set that is gone back to. */
static enum ks_err take_base(void *ctx, const struct ks_field_version_row *row)
{
	struct base *b = ctx;
	struct ks_open_versions *versions = &b->c->versions;
	struct ks_buf name;

	if (b->count == KS_VAULT_FIELDS_MAX)
		return KS_TOO_LARGE;
	name = KS_BUF(b->fields[b->count++]);
	ks_buf_put(&name, row->field);
	(void)ks_buf_z(&name);
	if (row->stage == KS_FIELD_STAGE_CURRENT)
		return KS_OK;
	for (size_t i = 0; i < versions->count; i++) {
		struct ks_open_version *v = &versions->items[i];

		if (v->row.version == row->version && v->row.stage == KS_FIELD_STAGE_PREVIOUS
		    && ks_str_eq(ks_str_c(v->field), row->field))
			return enters(b->c, v);
	}
	b->possible = false;
	return KS_OK;
}

/* Fields that the set has and the one before had not. */
static void find_drops(struct base *b)
{
	struct changing *c = b->c;

	for (size_t i = 0; i < c->versions.count; i++) {
		bool had = c->versions.items[i].row.stage != KS_FIELD_STAGE_CURRENT;

		for (size_t k = 0; k < b->count && !had; k++)
			had = ks_str_eq(ks_str_c(b->fields[k]), ks_str_c(c->versions.items[i].field));
		if (!had && c->drop_count < KS_VAULT_FIELDS_MAX)
			c->drops[c->drop_count++] = ks_str_c(c->versions.items[i].field);
	}
}

static enum ks_err take_set(void *ctx, const struct ks_provider_set_row *row)
{
	struct ks_provider_set_row *kept = ctx;

	*kept = *row;
	kept->failed_code = KS_STR("");
	return KS_OK;
}

enum ks_err ks_vault_undo(struct ks_tx *tx, const struct ks_provider_row *row, const char *code, bool *ret_undone)
{
	struct ks_provider_set_row set;
	struct ks_provider_row copy = *row;
	struct changing c;
	struct base b = {.c = &c, .possible = true};
	enum ks_err err;

	*ret_undone = false;
	KS_TRY(ks_store_set_get(tx->store, row->id, row->current_set, take_set, &set));
	if (set.based_on == 0 || set.made_at + tx->engine->options.vault.rollback_window_ms < tx->now_ms
	    || (set.reason != KS_SET_REASON_PROMOTED && set.reason != KS_SET_REASON_FORCED))
		return KS_OK;
	KS_TRY(begin(tx, NULL, &copy, KS_SET_REASON_FAILING, &c));
	c.leaves = KS_FIELD_STAGE_FAILED;
	c.code = code;
	err = ks_store_set_versions(tx->store, row->id, set.based_on, take_base, &b);
	find_drops(&b);
	if (err == KS_OK && b.possible && c.enter_count + c.drop_count > 0) {
		err = change(&c);
		*ret_undone = err == KS_OK;
	}
	ks_vault_open_versions_free(&c.versions);
	return err;
}

/* ---- what probes find ---- */

static struct ks_open_version *waiting_version(struct ks_open_versions *versions, const struct ks_vault_version *wanted)
{
	for (size_t i = 0; i < versions->count; i++) {
		struct ks_open_version *v = &versions->items[i];

		if (ks_is_waiting(v) && v->row.version == wanted->version
		    && ks_str_eq(ks_str_c(v->field), wanted->field))
			return v;
	}
	return NULL;
}

static enum ks_err fail(struct changing *c, const char *code)
{
	char text[KS_VAULT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	for (size_t i = 0; i < c->enter_count; i++) {
		struct ks_field_version_row *row = &c->enters[i]->row;

		row->stage = KS_FIELD_STAGE_FAILED;
		row->open = false;
		row->ended_at = c->tx->now_ms;
		row->code = ks_str_c(code);
		KS_TRY(ks_store_field_version_update(c->tx->store, row));
	}
	KS_TRY(set_waiting(c));
	put_fields(c, &detail);
	ks_audit_put(&detail, "code", ks_str_c(code));
	return ks_vault_audit(c->tx, c->actor, "secret.probe_failed", c->row, code, ks_audit_end(&detail));
}

static enum ks_err probed(struct changing *c, const struct ks_vault_version *versions, size_t count,
			  enum ks_vault_probe outcome, const char *code)
{
	bool blames = false;

	for (size_t i = 0; i < count && outcome == KS_VAULT_PROBE_BAD; i++)
		blames |= versions[i].blamed;
	for (size_t i = 0; i < count; i++) {
		struct ks_open_version *v = waiting_version(&c->versions, &versions[i]);

		if (!v)
			return KS_CONFLICT;
		if (!blames || versions[i].blamed)
			KS_TRY(enters(c, v));
	}
	if (outcome == KS_VAULT_PROBE_BAD)
		return fail(c, code);
	return outcome == KS_VAULT_PROBE_GOOD ? change(c) : KS_OK;
}

enum ks_err ks_vault_probed(struct ks_tx *tx, uint64_t provider, const struct ks_vault_version *versions, size_t count,
			    enum ks_vault_probe outcome, const char *code)
{
	struct ks_refusal refusal;
	struct ks_provider_kept kept;
	struct changing c;
	enum ks_err err;

	KS_TRY(ks_vault_find(tx, NULL, provider, &kept, &refusal));
	if (count == 0)
		return KS_OK;
	KS_TRY(begin(tx, NULL, &kept.row, KS_SET_REASON_PROMOTED, &c));
	err = probed(&c, versions, count, outcome, code);
	ks_vault_open_versions_free(&c.versions);
	return err;
}

enum ks_err ks_vault_failing(struct ks_tx *tx, uint64_t provider, uint64_t set, const char *code, bool *ret_rolled_back)
{
	struct ks_refusal refusal;
	struct ks_provider_kept kept;

	*ret_rolled_back = false;
	KS_TRY(ks_vault_find(tx, NULL, provider, &kept, &refusal));
	if (kept.row.current_set != set)
		return KS_OK;
	return ks_vault_undo(tx, &kept.row, code, ret_rolled_back);
}
