/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sources.h"

#include <stdlib.h>

#include "engine/events.h"
#include "engine/keys_check.h"
#include "engine/vault_priv.h"

#define DETAIL_SIZE KS_STORE_DETAIL_MAX
#define SOURCES_AT_ONCE 64
#define SEALED_NAME "source"

/* ---- a row, kept beyond its callback ---- */

struct kept {
	struct ks_source_row row;
	char platform[KS_STORE_PLATFORM_MAX + 1];
	char scheme[KS_STORE_SCHEME_MAX + 1];
	char name[KS_STORE_NAME_MAX + 1];
	char confirm_url[KS_STORE_URL_MAX + 1];
};

static struct ks_str keep_text(char *to, size_t cap, struct ks_str from)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	return ks_str_c(ks_buf_z(&b));
}

static enum ks_err keep_row(void *ctx, const struct ks_source_row *row)
{
	struct kept *kept = ctx;

	kept->row = *row;
	kept->row.platform = keep_text(kept->platform, sizeof(kept->platform), row->platform);
	kept->row.scheme = keep_text(kept->scheme, sizeof(kept->scheme), row->scheme);
	kept->row.name = keep_text(kept->name, sizeof(kept->name), row->name);
	kept->row.confirm_url = keep_text(kept->confirm_url, sizeof(kept->confirm_url), row->confirm_url);
	kept->row.form = kept->row.created_by = KS_STR("");
	return KS_OK;
}

static enum ks_err refuse_unknown(struct ks_refusal *refusal)
{
	return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such source");
}

static enum ks_err find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct kept *kept,
			struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_source_get(tx->store, id, keep_row, kept);

	if (err == KS_OK
	    && (kept->row.deleted_at != KS_TIME_NONE || ks_tx_is_gone(tx, kept->row.tenant)
		|| !ks_actor_sees(actor, tx->ring, kept->row.tenant)))
		err = KS_NOT_FOUND;
	return err == KS_NOT_FOUND ? refuse_unknown(refusal) : err;
}

/* ---- what is told of a source ---- */

static void put_source(struct ks_buf *b, const struct ks_source_row *row)
{
	ks_audit_put(b, "name", row->name);
	ks_audit_put(b, "platform", row->platform);
	ks_audit_put_some(b, "scheme", row->scheme);
	ks_audit_put_id(b, "provider", KS_ID_PROVIDER, row->provider);
}

static enum ks_err audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			 const struct ks_source_row *row, struct ks_buf *detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_SOURCE,
		.object = row->id,
		.detail = ks_audit_end(detail),
	});
}

static enum ks_err tell(struct ks_tx *tx, enum ks_event_type type, const struct ks_source_row *row, struct ks_buf *data)
{
	return ks_event_add(tx, &(struct ks_event_note){
		.type = type,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_SOURCE,
		.object = row->id,
		.data = ks_audit_end(data),
	});
}

/* An audit entry and an event, with the same members. `until`: of parameters that were replaced; KS_TIME_NONE: no
 * word. */
static enum ks_err record(struct ks_tx *tx, const struct ks_actor *actor, const char *action, enum ks_event_type type,
			  const struct ks_source_row *row, int64_t until)
{
	char texts[2][DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(texts[0]), data = KS_BUF(texts[1]);

	put_source(&detail, row);
	put_source(&data, row);
	if (until != KS_TIME_NONE) {
		ks_audit_put_time(&detail, "ends_at", until);
		ks_audit_put_time(&data, "ends_at", until);
	}
	KS_TRY(audit(tx, actor, action, row, &detail));
	return tell(tx, type, row, &data);
}

/* ---- a place for a new one ---- */

struct reserving {
	const struct ks_actor *actor;
	uint64_t tenant, provider;
	struct ks_source_home home;
};

/* Its secrets are those of another tenant otherwise. */
static enum ks_err check_provider(struct ks_tx *tx, const struct ks_actor *actor, uint64_t provider, uint64_t tenant,
				  struct ks_refusal *refusal)
{
	struct ks_provider_kept kept;
	enum ks_err err = ks_vault_find(tx, actor, provider, &kept, refusal);

	if (err == KS_NOT_FOUND || (err == KS_OK && kept.row.tenant != tenant))
		return ks_refuse_invalid(refusal, "/provider", "there is no such provider of this tenant");
	return err;
}

static enum ks_err run_reserve(struct ks_job *job, struct ks_tx *tx)
{
	struct reserving *r = job->ctx;
	struct ks_provider_row home = {.tenant = r->tenant};

	KS_TRY(ks_vault_home(tx, r->actor, r->tenant, &home, &job->refusal));
	if (r->provider)
		KS_TRY(check_provider(tx, r->actor, r->provider, home.tenant, &job->refusal));
	r->home = (struct ks_source_home){ks_tx_id(tx), home.tenant, home.organization};
	return KS_OK;
}

enum ks_err ks_source_reserve(struct ks_engine *engine, const struct ks_actor *actor, uint64_t tenant,
			      uint64_t provider, struct ks_source_home *ret_home, struct ks_refusal *ret_refusal)
{
	struct reserving r = {.actor = actor, .tenant = tenant, .provider = provider};
	struct ks_job job = {.run = run_reserve, .ctx = &r};
	enum ks_err err = ks_engine_run(engine, &job);

	*ret_refusal = job.refusal;
	if (err == KS_OK)
		*ret_home = r.home;
	return err;
}

/* ---- seals ---- */

enum ks_err ks_source_seal(struct ks_engine *engine, const struct ks_source_home *home, uint64_t revision,
			   struct ks_str secrets, struct ks_vault_prepared **ret_sealed, struct ks_refusal *ret_refusal)
{
	if (secrets.n > KS_SOURCE_SECRET_MAX)
		return ks_refuse_invalid(ret_refusal, "/parameters", "secrets have at most %d bytes together",
					 KS_SOURCE_SECRET_MAX);
	return ks_vault_seal_for(engine, &(struct ks_vault_bound){
		.organization = home->organization,
		.tenant = home->tenant,
		.object = home->id,
		.name = SEALED_NAME,
		.version = revision,
	}, secrets, ret_sealed, ret_refusal);
}

enum ks_err ks_source_open(struct ks_engine *engine, struct ks_store *store, const struct ks_source_home *home,
			   const struct ks_source_parameters_row *row, struct ks_secret *ret_secrets)
{
	return ks_vault_open_for(engine, store, &(struct ks_vault_bound){
		.organization = home->organization,
		.tenant = home->tenant,
		.object = home->id,
		.name = SEALED_NAME,
		.version = row->revision,
	}, row->key_number, row->sealed, ret_secrets);
}

struct opening {
	const struct ks_source_home *home;
	uint64_t provider, set;
};

static enum ks_err run_opens(struct ks_job *job, struct ks_tx *tx)
{
	const struct opening *opening = job->ctx;
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	ks_audit_put_id(&detail, "source", KS_ID_SOURCE, opening->home->id);
	ks_audit_put_u64(&detail, "version", opening->set);
	return ks_tx_audit(tx, NULL, &(struct ks_audit_note){
		.action = "secret.verify",
		.organization = opening->home->organization,
		.tenant = opening->home->tenant,
		.object_type = KS_ID_PROVIDER,
		.object = opening->provider,
		.detail = ks_audit_end(&detail),
	});
}

enum ks_err ks_source_opens(struct ks_engine *engine, const struct ks_source_home *home, uint64_t provider,
			    uint64_t set)
{
	struct opening opening = {home, provider, set};
	struct ks_job job = {.run = run_opens, .ctx = &opening};

	return ks_engine_run(engine, &job);
}

static enum ks_err insert_parameters(struct ks_tx *tx, uint64_t source, uint64_t organization, uint64_t revision,
				     struct ks_str plain, const struct ks_vault_prepared *sealed,
				     struct ks_refusal *refusal)
{
	struct ks_source_parameters_row row = {
		.source = source,
		.revision = revision,
		.until = KS_TIME_NONE,
		.plain = plain,
		.sealed = KS_STR(""),
	};

	if (sealed) {
		KS_TRY(ks_vault_prepared_check(tx, organization, sealed, refusal));
		row.key_number = ks_vault_prepared_key(sealed);
		row.sealed = ks_vault_prepared_text(sealed);
	}
	return ks_store_source_parameters_insert(tx->store, &row);
}

/* ---- changes ---- */

enum ks_err ks_sources_create(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_source_input *input,
			      struct ks_refusal *ret_refusal)
{
	struct ks_provider_row home = {0};
	struct ks_source_row row = {
		.id = input->home.id,
		.organization = input->home.organization,
		.tenant = input->home.tenant,
		.provider = input->provider,
		.revision = 1,
		.created_at = tx->now_ms,
		.paused_at = KS_TIME_NONE,
		.deleted_at = KS_TIME_NONE,
		.confirm_until = tx->now_ms + input->confirm_ms,
		.platform = input->platform,
		.scheme = input->scheme,
		.name = input->name,
		.form = input->form,
		.confirm_url = KS_STR(""),
		.created_by = ks_str_c(actor->id),
	};

	KS_TRY(ks_check_name(input->name, "/name", ret_refusal));
	KS_TRY(ks_vault_home(tx, actor, row.tenant, &home, ret_refusal));
	if (row.provider)
		KS_TRY(check_provider(tx, actor, row.provider, row.tenant, ret_refusal));
	KS_TRY(ks_store_source_insert(tx->store, &row));
	KS_TRY(insert_parameters(tx, row.id, row.organization, row.revision, input->plain, input->sealed, ret_refusal));
	return record(tx, actor, "source.create", KS_EVENT_SOURCE_CREATED, &row, KS_TIME_NONE);
}

enum ks_err ks_sources_pause(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, bool paused,
			     struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	if (paused == (kept.row.paused_at != KS_TIME_NONE))
		return KS_OK;
	KS_TRY(ks_store_source_pause(tx->store, id, paused ? tx->now_ms : KS_TIME_NONE));
	return record(tx, actor, paused ? "source.pause" : "source.resume",
		      paused ? KS_EVENT_SOURCE_PAUSED : KS_EVENT_SOURCE_RESUMED, &kept.row, KS_TIME_NONE);
}

static enum ks_err delete_row(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_source_row *row)
{
	KS_TRY(ks_store_source_parameters_erase(tx->store, row->id));
	KS_TRY(ks_store_source_delete(tx->store, row->id, tx->now_ms));
	return record(tx, actor, "source.delete", KS_EVENT_SOURCE_DELETED, row, KS_TIME_NONE);
}

enum ks_err ks_sources_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
			      struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	return delete_row(tx, actor, &kept.row);
}

struct holding {
	int64_t now_ms;
	size_t count;
};

static enum ks_err count_holding(void *ctx, const struct ks_source_parameters_row *row)
{
	struct holding *holding = ctx;

	holding->count += row->until == KS_TIME_NONE || row->until > holding->now_ms;
	return KS_OK;
}

enum ks_err ks_sources_rotate(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_source_rotation *rotation,
			      struct ks_refusal *ret_refusal)
{
	struct holding holding = {.now_ms = tx->now_ms};
	int64_t until = tx->now_ms + rotation->overlap_ms;
	struct kept kept;

	KS_TRY(find(tx, actor, rotation->id, &kept, ret_refusal));
	if (kept.row.revision != rotation->based_on)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "the source was changed just now");
	KS_TRY(ks_store_source_parameters(tx->store, rotation->id, count_holding, &holding));
	if (rotation->overlap_ms > 0 && holding.count >= KS_SOURCE_VERSIONS_MAX)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "/overlap_s",
				 "%d versions of the parameters hold already", KS_SOURCE_VERSIONS_MAX);
	if (rotation->overlap_ms > 0)
		KS_TRY(ks_store_source_parameters_end(tx->store, rotation->id, until));
	else
		KS_TRY(ks_store_source_parameters_erase(tx->store, rotation->id));
	KS_TRY(ks_store_source_revise(tx->store, rotation->id, rotation->based_on + 1));
	KS_TRY(insert_parameters(tx, rotation->id, kept.row.organization, rotation->based_on + 1, rotation->plain,
				 rotation->sealed, ret_refusal));
	return record(tx, actor, "source.rotate", KS_EVENT_SOURCE_ROTATED, &kept.row, until);
}

enum ks_err ks_sources_confirm(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, int64_t window_ms,
			       const char *outcome, struct ks_refusal *ret_refusal)
{
	char texts[2][DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(texts[0]), data = KS_BUF(texts[1]);
	bool fetched = outcome && ks_str_eq(ks_str_c(outcome), KS_STR("ok"));
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(ks_store_source_confirm(tx->store, id, tx->now_ms + window_ms,
				       fetched ? KS_STR("") : kept.row.confirm_url));
	put_source(&detail, &kept.row);
	put_source(&data, &kept.row);
	ks_audit_put_some(&detail, "fetched", ks_str_c(outcome));
	ks_audit_put_some(&data, "fetched", ks_str_c(outcome));
	KS_TRY(audit(tx, actor, "source.confirm", &kept.row, &detail));
	return tell(tx, KS_EVENT_SOURCE_CONFIRMED, &kept.row, &data);
}

/* ---- with their tenants ---- */

struct some {
	struct kept rows[SOURCES_AT_ONCE];
	size_t count;
};

static enum ks_err note(void *ctx, const struct ks_source_row *row)
{
	struct some *some = ctx;

	return keep_row(&some->rows[some->count++], row);
}

static enum ks_err erase_row(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_source_row *row)
{
	(void)actor;
	KS_TRY(ks_store_source_parameters_erase(tx->store, row->id));
	return ks_store_source_revise(tx->store, row->id, row->revision + 1);
}

static enum ks_err each_of(struct ks_tx *tx, const struct ks_actor *actor, struct ks_source_filter filter,
			   enum ks_err (*run)(struct ks_tx *tx, const struct ks_actor *actor,
					      const struct ks_source_row *row))
{
	struct some *some = malloc(sizeof(*some));
	enum ks_err err = some ? KS_OK : KS_MEMORY;

	filter.limit = SOURCES_AT_ONCE;
	while (err == KS_OK) {
		some->count = 0;
		err = ks_store_sources(tx->store, &filter, note, some);
		for (size_t i = 0; err == KS_OK && i < some->count; i++) {
			err = run(tx, actor, &some->rows[i].row);
			filter.before = some->rows[i].row.id;
		}
		if (some->count < SOURCES_AT_ONCE)
			break;
	}
	free(some);
	return err;
}

enum ks_err ks_sources_tenant_deleted(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant)
{
	return each_of(tx, actor, (struct ks_source_filter){.tenant = tenant}, delete_row);
}

enum ks_err ks_sources_organization_erased(struct ks_tx *tx, uint64_t organization)
{
	return each_of(tx, NULL, (struct ks_source_filter){.organization = organization}, erase_row);
}
