/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/health.h"

#include "engine/engine_priv.h"
#include "engine/events.h"
#include "store/vault.h"

#define AUDIT_EVERY_MS INT64_C(86400000)

struct ks_health_step ks_health_next(enum ks_health_status status, enum ks_health_status told, uint64_t failures_before,
				     const struct ks_health_found *found, uint64_t failures)
{
	struct ks_health_step step = {.status = found->status, .failures = found->passing ? failures_before + 1 : 0};

	if (found->passing && found->status == KS_HEALTH_FAILING && status != KS_HEALTH_FAILING && step.failures < failures)
		step.status = KS_HEALTH_DEGRADED;
	step.tell = step.status != told && (step.status != KS_HEALTH_DEGRADED || !found->passing || step.failures > 1);
	return step;
}

/* ---- fields ---- */

bool ks_health_next_field(struct ks_str *lines, struct ks_str *ret_name, struct ks_str *ret_status, struct ks_str *ret_code,
			  int64_t *ret_since)
{
	struct ks_str line, name, status, code, since;
	uint64_t ms;

	if (!ks_str_split(*lines, '\n', &line, lines) || !ks_str_split(line, ' ', &name, &since)
	    || !ks_str_split(since, ' ', &status, &since) || !ks_str_split(since, ' ', &code, &since)
	    || !ks_str_to_u64(since, KS_TIME_MAX, &ms))
		return false;
	*ret_name = name;
	*ret_status = status;
	*ret_code = code;
	*ret_since = (int64_t)ms;
	return true;
}

/* Since when the field is as it is now. */
static int64_t since_of(struct ks_str before, const struct ks_health_field *f, int64_t now_ms)
{
	struct ks_str name, status, code;
	int64_t since;

	while (ks_health_next_field(&before, &name, &status, &code, &since)) {
		if (ks_str_eq(name, ks_str_c(f->name)) && ks_str_eq(status, ks_str_c(ks_health_status_text(f->status))))
			return since;
	}
	return now_ms;
}

static void put_fields(struct ks_buf *to, struct ks_str before, const struct ks_health_found *found)
{
	for (size_t i = 0; i < found->field_count; i++) {
		const struct ks_health_field *f = &found->fields[i];

		ks_buf_printf(to, "%s %s %s %llu\n", f->name, ks_health_status_text(f->status), f->code,
			      (unsigned long long)since_of(before, f, found->at));
	}
}

/* ---- the row ---- */

/* A row with room for its texts. */
struct kept {
	struct ks_health_row row;
	bool found;
	char code[KS_HEALTH_CODE_SIZE], error_code[KS_HEALTH_CODE_SIZE], detail[KS_STORE_HEALTH_DETAIL_MAX + 1];
	char fields[KS_STORE_HEALTH_FIELDS_MAX + 1];
};

static struct ks_str keep_text(char *to, size_t cap, struct ks_str text)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, text);
	return ks_buf_ok(&b) ? ks_buf_str(&b) : KS_STR("");
}

static enum ks_err keep_row(void *ctx, const struct ks_health_row *row)
{
	struct kept *k = ctx;

	k->row = *row;
	k->row.code = keep_text(k->code, sizeof(k->code), row->code);
	k->row.error_code = keep_text(k->error_code, sizeof(k->error_code), row->error_code);
	k->row.detail = keep_text(k->detail, sizeof(k->detail), row->detail);
	k->row.fields = keep_text(k->fields, sizeof(k->fields), row->fields);
	k->found = true;
	return KS_OK;
}

struct whose {
	uint64_t organization, tenant;
	bool deleted;
	char name[KS_STORE_NAME_MAX + 1];
	char platform[KS_STORE_PLATFORM_MAX + 1];
};

static enum ks_err note_provider(void *ctx, const struct ks_provider_row *row)
{
	struct whose *w = ctx;
	struct ks_buf name = KS_BUF(w->name), platform = KS_BUF(w->platform);

	ks_buf_put(&name, row->name);
	(void)ks_buf_z(&name);
	ks_buf_put(&platform, row->platform);
	(void)ks_buf_z(&platform);
	w->organization = row->organization;
	w->tenant = row->tenant;
	w->deleted = row->deleted_at != KS_TIME_NONE;
	return KS_OK;
}

static struct ks_health_row first_row(const struct whose *w, uint64_t provider, int64_t now_ms)
{
	return (struct ks_health_row){
		.provider = provider,
		.organization = w->organization,
		.tenant = w->tenant,
		.status = KS_HEALTH_UNKNOWN,
		.told = KS_HEALTH_UNKNOWN,
		.since = now_ms,
		.checked_at = KS_TIME_NONE,
		.due_at = KS_TIME_NONE,
		.read_at = KS_TIME_NONE,
		.error_at = KS_TIME_NONE,
		.code = KS_STR("not_probed"),
	};
}

/* ---- what follows from a change ---- */

static enum ks_err tell(struct ks_tx *tx, const struct whose *w, const struct ks_health_row *row)
{
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	ks_audit_put(&data, "name", ks_str_c(w->name));
	ks_audit_put(&data, "platform", ks_str_c(w->platform));
	ks_audit_put(&data, "status", ks_str_c(ks_health_status_text(row->status)));
	ks_audit_put(&data, "was", ks_str_c(ks_health_status_text(row->told)));
	ks_audit_put(&data, "code", row->code);
	ks_audit_put(&data, "detail", row->detail);
	ks_audit_put_time(&data, "checked_at", row->checked_at);
	return ks_event_add(tx, &(struct ks_event_note){
		.type = KS_EVENT_PROVIDER_HEALTH_CHANGED,
		.organization = w->organization,
		.tenant = w->tenant,
		.object_type = KS_ID_PROVIDER,
		.object = row->provider,
		.data = ks_audit_end(&data),
	});
}

static enum ks_err write_history(struct ks_tx *tx, const struct ks_health_row *row, enum ks_health_status was)
{
	return ks_store_health_change_insert(tx->store, &(struct ks_health_change_row){
		.id = ks_tx_id(tx),
		.provider = row->provider,
		.at = row->checked_at,
		.status = row->status,
		.was = was,
		.set = row->set,
		.code = row->code,
		.detail = row->detail,
	});
}

/* Counts an opening, and audits those that are due. */
static enum ks_err count_read(struct ks_tx *tx, const struct whose *w, const struct ks_health_found *found,
			      struct ks_health_row *row)
{
	char text[KS_STORE_DETAIL_MAX];
	struct ks_buf detail = KS_BUF(text);

	if (!found->opened)
		return KS_OK;
	row->reads++;
	if (row->read_at != KS_TIME_NONE && row->read_set == found->set && found->at - row->read_at < AUDIT_EVERY_MS)
		return KS_OK;
	ks_audit_put_u64(&detail, "set", found->set);
	ks_audit_put_u64(&detail, "reads", row->reads);
	ks_audit_put_time(&detail, "since", row->read_at);
	row->read_set = found->set;
	row->read_at = found->at;
	row->reads = 0;
	return ks_tx_audit(tx, NULL, &(struct ks_audit_note){
		.action = "secret.probe",
		.organization = w->organization,
		.tenant = w->tenant,
		.object_type = KS_ID_PROVIDER,
		.object = found->provider,
		.detail = ks_audit_end(&detail),
	});
}

static void apply(struct ks_health_row *row, const struct ks_health_found *found, const struct ks_health_step *step)
{
	if (row->status != step->status)
		row->since = found->at;
	row->status = step->status;
	row->failures = step->failures;
	row->checked_at = found->at;
	row->due_at = found->due_at;
	row->set = found->set;
	row->code = ks_str_c(found->code);
	row->detail = ks_str_c(found->detail);
	if (found->status == KS_HEALTH_DEGRADED || found->status == KS_HEALTH_FAILING) {
		row->error_at = found->at;
		row->error_code = ks_str_c(found->code);
	}
}

/* Of first values that a probe found bad: that they are not there any more tells less than why. */
static bool tells_less(const struct ks_health_row *row, const struct ks_health_found *found)
{
	return row->set == 0 && row->status == KS_HEALTH_FAILING && ks_str_eq(ks_str_c(found->code), KS_STR("incomplete"));
}

static enum ks_err record(struct ks_tx *tx, const struct whose *w, const struct kept *k, const struct ks_health_found *found,
			  uint64_t failures)
{
	struct ks_health_row row = k->row;
	struct ks_health_step step = ks_health_next(row.status, row.told, row.failures, found, failures);
	char text[KS_STORE_HEALTH_FIELDS_MAX + 1];
	struct ks_buf fields = KS_BUF(text);
	bool same = k->found && k->row.status == step.status && k->row.set == found->set
		    && ks_str_eq(k->row.code, ks_str_c(found->code)) && ks_str_eq(k->row.detail, ks_str_c(found->detail));

	if (found->postponed) {
		row.due_at = found->due_at;
		return k->found ? ks_store_health_seen(tx->store, &row) : KS_OK;
	}
	if (k->found && tells_less(&row, found)) {
		row.checked_at = found->at;
		row.due_at = found->due_at;
		return ks_store_health_seen(tx->store, &row);
	}
	put_fields(&fields, k->row.fields, found);
	same = same && ks_str_eq(k->row.fields, ks_buf_str(&fields)) && !step.tell;
	apply(&row, found, &step);
	KS_TRY(count_read(tx, w, found, &row));
	if (same)
		return ks_store_health_seen(tx->store, &row);
	row.fields = ks_buf_ok(&fields) ? ks_buf_str(&fields) : KS_STR("");
	if (step.tell) {
		KS_TRY(tell(tx, w, &row));
		row.told = step.status;
	}
	KS_TRY(ks_store_health_put(tx->store, &row));
	if (k->row.status == row.status && ks_str_eq(k->row.code, row.code))
		return KS_OK;
	return write_history(tx, &row, k->row.status);
}

enum ks_err ks_health_record(struct ks_tx *tx, const struct ks_health_found *found, uint64_t failures)
{
	struct whose w = {0};
	struct kept k = {0};
	enum ks_err err = ks_store_provider_get(tx->store, found->provider, note_provider, &w);

	if (err == KS_NOT_FOUND || (err == KS_OK && w.deleted))
		return ks_store_health_delete(tx->store, found->provider);
	KS_TRY(err);
	err = ks_store_health_get(tx->store, found->provider, keep_row, &k);
	if (err == KS_NOT_FOUND)
		k.row = first_row(&w, found->provider, found->at);
	else
		KS_TRY(err);
	return record(tx, &w, &k, found, failures);
}

enum ks_err ks_health_adopt(struct ks_tx *tx, uint64_t provider, int64_t due_at)
{
	struct whose w = {0};
	struct kept k = {0};
	enum ks_err err = ks_store_health_get(tx->store, provider, keep_row, &k);

	if (err != KS_NOT_FOUND)
		return err;
	err = ks_store_provider_get(tx->store, provider, note_provider, &w);
	if (err == KS_NOT_FOUND || (err == KS_OK && w.deleted))
		return KS_OK;
	KS_TRY(err);
	k.row = first_row(&w, provider, tx->now_ms);
	k.row.due_at = due_at;
	return ks_store_health_put(tx->store, &k.row);
}

enum ks_err ks_health_asked(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider, struct ks_refusal *ret_refusal)
{
	struct whose w = {0};
	enum ks_err err = ks_store_provider_get(tx->store, provider, note_provider, &w);

	if (err == KS_NOT_FOUND || (err == KS_OK && (w.deleted || !ks_actor_sees(actor, tx->ring, w.tenant)))) {
		ret_refusal->code = "not_found";
		return KS_NOT_FOUND;
	}
	KS_TRY(err);
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = "provider.probe",
		.organization = w.organization,
		.tenant = w.tenant,
		.object_type = KS_ID_PROVIDER,
		.object = provider,
	});
}
