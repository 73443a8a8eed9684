/* SPDX-License-Identifier: Apache-2.0 */
/* Providers as such: made, renamed, deleted, erased. */
#include "engine/events.h"
#include "engine/keys_check.h"
#include "engine/sources.h"
#include "engine/vault_priv.h"

#define DEFAULT_LEASE_MS INT64_C(3600000)
#define DEFAULT_DRAIN_MS INT64_C(86400000)
#define DEFAULT_WINDOW_MS INT64_C(900000)
#define DEFAULT_FAILURES 3
#define PROVIDERS_AT_ONCE 256

void ks_vault_defaults(struct ks_vault_options *o)
{
	o->lease_ms = o->lease_ms ? o->lease_ms : DEFAULT_LEASE_MS;
	o->drain_max_ms = o->drain_max_ms ? o->drain_max_ms : DEFAULT_DRAIN_MS;
	o->rollback_window_ms = o->rollback_window_ms ? o->rollback_window_ms : DEFAULT_WINDOW_MS;
	o->rollback_failures = o->rollback_failures ? o->rollback_failures : DEFAULT_FAILURES;
}

enum ks_err ks_provider_keep(void *ctx, const struct ks_provider_row *row)
{
	struct ks_provider_kept *kept = ctx;
	struct ks_buf platform = KS_BUF(kept->platform), name = KS_BUF(kept->name);

	kept->row = *row;
	ks_buf_put(&platform, row->platform);
	ks_buf_put(&name, row->name);
	kept->row.platform = ks_str_c(ks_buf_z(&platform));
	kept->row.name = ks_str_c(ks_buf_z(&name));
	kept->row.created_by = KS_STR("");
	return KS_OK;
}

enum ks_err ks_vault_find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_provider_kept *ret_kept,
			  struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_provider_get(tx->store, id, ks_provider_keep, ret_kept);

	if (err == KS_OK
	    && (ret_kept->row.deleted_at != KS_TIME_NONE || ks_tx_is_gone(tx, ret_kept->row.tenant)
		|| (actor && !ks_actor_sees(actor, tx->ring, ret_kept->row.tenant))))
		err = KS_NOT_FOUND;
	return err == KS_NOT_FOUND ? ks_refuse(refusal, err, "not_found", "", "there is no such provider") : err;
}

enum ks_err ks_vault_audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			   const struct ks_provider_row *row, const char *outcome, struct ks_str detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_PROVIDER,
		.object = row->id,
		.outcome = outcome,
		.detail = detail,
	});
}

/* ---- create, rename ---- */

enum ks_err ks_vault_home(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant, struct ks_provider_row *row,
			  struct ks_refusal *refusal)
{
	uint64_t id = tenant ? tenant : actor->effective;
	const struct ks_ring *ring = tx->ring;
	uint32_t index = ks_ring_tenant(ring, id);

	if (index == KS_RING_NONE || !ks_actor_sees(actor, ring, id) || ks_tx_is_gone(tx, id))
		return ks_refuse_tenant(refusal, "/tenant");
	if (ring->tenants[index].organization == KS_RING_NONE || ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL)
		return ks_refuse_invalid(refusal, "/tenant", "must be an organization, or a sub-entity or project within one");
	row->tenant = id;
	row->organization = ring->tenants[ring->tenants[index].organization].id;
	return KS_OK;
}

enum ks_err ks_vault_provider_create(struct ks_tx *tx, const struct ks_actor *actor,
				     const struct ks_provider_input *input, uint64_t *ret_id,
				     struct ks_refusal *ret_refusal)
{
	struct ks_provider_row row = {.platform = input->platform, .name = input->name};
	struct ks_vault_platform platform;
	char text[KS_VAULT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	KS_TRY(ks_check_name(input->name, "/name", ret_refusal));
	KS_TRY(ks_vault_home(tx, actor, input->tenant, &row, ret_refusal));
	if (!ks_vault_platform_of(tx->engine, input->platform, &platform))
		return ks_refuse_invalid(ret_refusal, "/platform", "there is no such platform");
	row.id = ks_tx_id(tx);
	row.created_at = tx->now_ms;
	row.created_by = ks_str_c(actor->id);
	row.deleted_at = KS_TIME_NONE;
	KS_TRY(ks_store_provider_insert(tx->store, &row));
	ks_audit_put(&detail, "name", row.name);
	ks_audit_put(&detail, "platform", row.platform);
	KS_TRY(ks_vault_audit(tx, actor, "provider.create", &row, NULL, ks_audit_end(&detail)));
	*ret_id = row.id;
	return KS_OK;
}

enum ks_err ks_vault_provider_rename(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_str name,
				     struct ks_refusal *ret_refusal)
{
	struct ks_provider_kept kept;
	char text[KS_VAULT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	KS_TRY(ks_vault_find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(ks_check_name(name, "/name", ret_refusal));
	if (ks_str_eq(name, kept.row.name))
		return KS_OK;
	KS_TRY(ks_store_provider_rename(tx->store, id, name));
	ks_audit_put(&detail, "name", name);
	ks_audit_put(&detail, "was", kept.row.name);
	return ks_vault_audit(tx, actor, "provider.rename", &kept.row, NULL, ks_audit_end(&detail));
}

/* ---- delete, erase ---- */

static enum ks_err delete_row(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_provider_row *row)
{
	KS_TRY(ks_store_field_versions_erase(tx->store, row->id, tx->now_ms, KS_STR("provider_deleted")));
	KS_TRY(ks_store_provider_delete(tx->store, row->id, tx->now_ms));
	return ks_vault_audit(tx, actor, "provider.delete", row, NULL, KS_STR(""));
}

enum ks_err ks_vault_provider_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				     struct ks_refusal *ret_refusal)
{
	struct ks_provider_kept kept;

	KS_TRY(ks_vault_find(tx, actor, id, &kept, ret_refusal));
	return delete_row(tx, actor, &kept.row);
}

struct some {
	struct ks_provider_row rows[PROVIDERS_AT_ONCE]; /* without their texts */
	size_t count;
};

static enum ks_err note(void *ctx, const struct ks_provider_row *row)
{
	struct some *some = ctx;

	some->rows[some->count] = *row;
	some->rows[some->count].platform = some->rows[some->count].name = KS_STR("");
	some->rows[some->count++].created_by = KS_STR("");
	return KS_OK;
}

static enum ks_err each_of(struct ks_tx *tx, const struct ks_actor *actor, struct ks_provider_filter filter,
			   enum ks_err (*run)(struct ks_tx *tx, const struct ks_actor *actor,
					      const struct ks_provider_row *row))
{
	struct some some;

	filter.limit = PROVIDERS_AT_ONCE;
	do {
		some.count = 0;
		KS_TRY(ks_store_providers(tx->store, &filter, note, &some));
		for (size_t i = 0; i < some.count; i++) {
			KS_TRY(run(tx, actor, &some.rows[i]));
			filter.before = some.rows[i].id;
		}
	} while (some.count == PROVIDERS_AT_ONCE);
	return KS_OK;
}

struct erased_key {
	uint64_t number;
};

static enum ks_err note_number(void *ctx, const struct ks_organization_key_row *row)
{
	struct erased_key *key = ctx;

	if (row->erased_at == KS_TIME_NONE)
		key->number = row->number;
	return KS_OK;
}

/* *ret_any: there was one. */
static enum ks_err erase_key(struct ks_tx *tx, uint64_t organization, bool *ret_any)
{
	struct erased_key key = {0};
	enum ks_err err = ks_store_organization_key_get(tx->store, organization, 0, note_number, &key);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_any = key.number != 0;
	if (key.number == 0)
		return KS_OK;
	KS_TRY(ks_store_organization_keys_erase(tx->store, organization, tx->now_ms));
	return ks_tx_forget_key(tx, organization, key.number);
}

enum ks_err ks_vault_tenant_deleted(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant)
{
	uint32_t index = ks_ring_tenant(tx->ring, tenant);
	bool any;

	KS_TRY(each_of(tx, actor, (struct ks_provider_filter){.tenant = tenant}, delete_row));
	if (index == KS_RING_NONE || tx->ring->tenants[index].kind != KS_TENANT_KIND_ORGANIZATION)
		return KS_OK;
	return erase_key(tx, tenant, &any);
}

static enum ks_err erase_row(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_provider_row *row)
{
	(void)actor;
	KS_TRY(ks_store_field_versions_erase(tx->store, row->id, tx->now_ms, KS_STR("organization_erased")));
	return ks_store_provider_set_waiting(tx->store, row->id, false);
}

enum ks_err ks_vault_organization_erase(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization,
					struct ks_refusal *ret_refusal)
{
	uint32_t index = ks_ring_tenant(tx->ring, organization);
	bool any = false;

	if (index == KS_RING_NONE || !ks_actor_sees(actor, tx->ring, organization) || ks_tx_is_gone(tx, organization))
		return ks_refuse(ret_refusal, KS_NOT_FOUND, "not_found", "", "there is no such tenant");
	if (tx->ring->tenants[index].kind != KS_TENANT_KIND_ORGANIZATION)
		return ks_refuse_invalid(ret_refusal, "", "only an organization has a key of its own");
	KS_TRY(erase_key(tx, organization, &any));
	KS_TRY(each_of(tx, actor, (struct ks_provider_filter){.organization = organization}, erase_row));
	KS_TRY(ks_sources_organization_erased(tx, organization));
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = "secret.erase",
		.organization = organization,
		.tenant = organization,
		.object_type = KS_ID_ORGANIZATION,
		.object = organization,
		.detail = any ? KS_STR("{\"key\":\"erased\"}") : KS_STR("{\"key\":\"none\"}"),
	});
}
