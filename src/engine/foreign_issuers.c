/* SPDX-License-Identifier: Apache-2.0 */
/* Issuers of JWTs that organizations have configured. */
#include "engine/foreign_issuers.h"

#include <stdlib.h>

#include "base/buf.h"
#include "engine/federation.h"
#include "jose/claims.h"

#define DETAIL_SIZE 2048

/* ---- what is written ---- */

static enum ks_err audit_issuer(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
				uint64_t organization, uint64_t id, struct ks_str detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = organization,
		.tenant = organization,
		.object_type = KS_ID_ISSUER,
		.object = id,
		.detail = detail,
	});
}

/* ---- the rules ---- */

struct rules {
	struct ks_tx *tx;
	const struct ks_actor *actor;
	const struct ks_foreign_issuer_input *input;
	uint64_t organization;
	struct ks_buf *out;
	struct ks_refusal *refusal;
};

static void put_name(struct ks_buf *out, const char *name)
{
	if (out->n > 1)
		ks_buf_put_byte(out, ',');
	ks_buf_put_json(out, ks_str_c(name));
	ks_buf_put_byte(out, ':');
}

static enum ks_err put_path(const struct rules *r, const char *name, struct ks_str path)
{
	char pointer[32];
	struct ks_buf b = KS_BUF(pointer);

	if (ks_str_empty(path))
		return KS_OK;
	ks_buf_put_byte(&b, '/');
	ks_buf_put_c(&b, name);
	/* Without quotes and the like, so that it stands in the rules as it is. */
	if (path.n > KS_CLAIMS_PATH_MAX || !ks_str_is_utf8(path) || ks_str_has_control(path)
	    || ks_str_find(path, '"') != SIZE_MAX || ks_str_find(path, '\\') != SIZE_MAX)
		return ks_refuse_invalid(r->refusal, ks_buf_z(&b),
					 "must be the name or path of a claim, at most %d bytes", KS_CLAIMS_PATH_MAX);
	put_name(r->out, name);
	ks_buf_put_json(r->out, path);
	return KS_OK;
}

/* Ids of tenants within the organization, or its own slug. */
static enum ks_err put_tenant(const struct rules *r, struct ks_str text, const char *pointer)
{
	const struct ks_ring *ring = r->tx->ring;
	uint32_t home = ks_ring_tenant(ring, r->organization), index;
	enum ks_id_type type;
	char id_text[KS_ID_TEXT_SIZE];
	uint64_t id = r->organization;

	if (!ks_str_empty(text) && ks_str_eq(text, ks_ring_slug(ring, home)))
		index = home;
	else if (!ks_id_parse_any(text, &type, &id))
		return ks_refuse_invalid(r->refusal, pointer, "must be the id of a tenant, or the organization's slug");
	else
		index = ks_ring_tenant(ring, id);
	if (index == KS_RING_NONE || !ks_actor_sees(r->actor, ring, id) || ks_tx_is_gone(r->tx, id)
	    || !ks_ring_is_within(ring, index, home) || ring->tenants[index].kind == KS_TENANT_KIND_PERSONAL)
		return ks_refuse_tenant(r->refusal, pointer);
	ks_id_format((enum ks_id_type)ring->tenants[index].kind, id, id_text);
	ks_buf_put_json(r->out, ks_str_c(id_text));
	return KS_OK;
}

static enum ks_err put_role(const struct rules *r, struct ks_str role, const char *pointer)
{
	KS_TRY(ks_check_role_given(r->tx, r->actor, r->organization, role, pointer, r->refusal));
	ks_buf_put_json(r->out, role);
	return KS_OK;
}

static enum ks_err put_mappings(const struct rules *r, const char *name, const struct ks_claim_mapping *items,
				size_t count,
				enum ks_err (*put)(const struct rules *r, struct ks_str text, const char *pointer))
{
	char pointer[32];
	struct ks_buf b = KS_BUF(pointer);

	if (count == 0)
		return KS_OK;
	ks_buf_put_byte(&b, '/');
	ks_buf_put_c(&b, name);
	put_name(r->out, name);
	for (size_t i = 0; i < count; i++) {
		ks_buf_put_byte(r->out, i == 0 ? '{' : ',');
		if (items[i].value.n == 0 || items[i].value.n > KS_CLAIMS_TEXT_MAX)
			return ks_refuse_invalid(r->refusal, ks_buf_z(&b), "values of a claim must have 1 to %d bytes",
						 KS_CLAIMS_TEXT_MAX);
		ks_buf_put_json(r->out, items[i].value);
		ks_buf_put_byte(r->out, ':');
		KS_TRY(put(r, items[i].meaning, ks_buf_z(&b)));
	}
	ks_buf_put_byte(r->out, '}');
	return KS_OK;
}

static enum ks_err put_default_roles(const struct rules *r)
{
	if (r->input->default_role_count == 0)
		return KS_OK;
	put_name(r->out, "default_roles");
	for (size_t i = 0; i < r->input->default_role_count; i++) {
		ks_buf_put_byte(r->out, i == 0 ? '[' : ',');
		KS_TRY(put_role(r, r->input->default_roles[i], "/default_roles"));
	}
	ks_buf_put_byte(r->out, ']');
	return KS_OK;
}

/* A claim without values, and values without a claim, would mean nothing: a mistake. */
static enum ks_err check_pairs(const struct ks_foreign_issuer_input *input, struct ks_refusal *refusal)
{
	if (ks_str_empty(input->tenant_claim) != (input->tenant_count == 0))
		return ks_refuse_invalid(refusal, "/tenants", "must be given with tenant_claim, and only then");
	if (ks_str_empty(input->role_claim) != (input->role_count == 0))
		return ks_refuse_invalid(refusal, "/roles", "must be given with role_claim, and only then");
	if (input->role_count == 0 && input->default_role_count == 0)
		return ks_refuse_invalid(refusal, "/default_roles", "must be given where no claim gives roles");
	return KS_OK;
}

static enum ks_err put_rules(const struct rules *r)
{
	const struct ks_foreign_issuer_input *input = r->input;

	KS_TRY(check_pairs(input, r->refusal));
	ks_buf_put_byte(r->out, '{');
	KS_TRY(put_path(r, "tenant_claim", input->tenant_claim));
	KS_TRY(put_mappings(r, "tenants", input->tenants, input->tenant_count, put_tenant));
	if (!ks_str_empty(input->default_tenant)) {
		put_name(r->out, "default_tenant");
		KS_TRY(put_tenant(r, input->default_tenant, "/default_tenant"));
	}
	KS_TRY(put_path(r, "role_claim", input->role_claim));
	KS_TRY(put_mappings(r, "roles", input->roles, input->role_count, put_role));
	KS_TRY(put_default_roles(r));
	ks_buf_put_byte(r->out, '}');
	if (!ks_buf_ok(r->out))
		return ks_refuse_invalid(r->refusal, "", "the mappings are larger than %d bytes", KS_STORE_RULES_MAX);
	return KS_OK;
}

/* ---- create ---- */

static enum ks_err check_input(const struct ks_foreign_issuer_input *input, struct ks_refusal *refusal)
{
	KS_TRY(ks_check_name(input->name, "/name", refusal));
	if (input->issuer.n == 0 || input->issuer.n > KS_STORE_ISSUER_MAX || ks_str_has_control(input->issuer))
		return ks_refuse_invalid(refusal, "/issuer", "must have 1 to %d bytes", KS_STORE_ISSUER_MAX);
	if (input->audience.n == 0 || input->audience.n > KS_STORE_AUDIENCE_MAX || ks_str_has_control(input->audience))
		return ks_refuse_invalid(refusal, "/audience", "must have 1 to %d bytes", KS_STORE_AUDIENCE_MAX);
	return KS_OK;
}

static enum ks_err insert(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_foreign_issuer_input *input,
			  uint64_t organization, struct ks_str rules, uint64_t *ret_id, struct ks_refusal *refusal)
{
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	uint64_t id = ks_tx_id(tx);
	enum ks_err err = ks_store_foreign_issuer_insert(tx->store, &(struct ks_foreign_issuer_row){
		.id = id,
		.organization = organization,
		.enabled = true,
		.name = input->name,
		.issuer = input->issuer,
		.audience = input->audience,
		.jwks_url = input->jwks_url,
		.rules = rules,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(actor->id),
		.deleted_at = KS_TIME_NONE,
		.next_at = tx->now_ms,
		.tried_at = KS_TIME_NONE,
		.fetched_at = KS_TIME_NONE,
	});

	if (err == KS_CONFLICT)
		return ks_refuse(refusal, err, "conflict", "/audience",
				 "tokens of this issuer for this audience are taken already");
	KS_TRY(err);
	KS_TRY(ks_tx_change(tx, KS_CHANGE_FOREIGN_ISSUER, id, 0));
	ks_audit_put(&detail, "name", input->name);
	ks_audit_put(&detail, "issuer", input->issuer);
	ks_audit_put(&detail, "audience", input->audience);
	KS_TRY(audit_issuer(tx, actor, "issuer.create", organization, id, ks_audit_end(&detail)));
	*ret_id = id;
	return KS_OK;
}

enum ks_err ks_foreign_issuers_create(struct ks_tx *tx, const struct ks_actor *actor,
				      const struct ks_foreign_issuer_input *input, uint64_t *ret_id,
				      struct ks_refusal *ret_refusal)
{
	uint64_t organization = input->organization ? input->organization : actor->effective;
	char *text;
	struct ks_buf out;
	enum ks_err err;

	KS_TRY(check_input(input, ret_refusal));
	KS_TRY(ks_check_organization(tx, actor, organization, false, ret_refusal));
	KS_TRY(ks_tx_room(tx, 1));
	text = malloc(KS_STORE_RULES_MAX);
	if (!text)
		return KS_MEMORY;
	out = ks_buf_of(text, KS_STORE_RULES_MAX);
	err = put_rules(&(struct rules){tx, actor, input, organization, &out, ret_refusal});
	if (err == KS_OK)
		err = insert(tx, actor, input, organization, ks_buf_str(&out), ret_id, ret_refusal);
	free(text);
	return err;
}

/* ---- one that is there ---- */

struct kept {
	uint64_t organization;
	bool enabled;
	bool failing;
	struct ks_digest jwks;
};

static enum ks_err keep_row(void *ctx, const struct ks_foreign_issuer_row *row)
{
	struct kept *kept = ctx;

	if (row->deleted_at != KS_TIME_NONE)
		return KS_NOT_FOUND;
	kept->organization = row->organization;
	kept->enabled = row->enabled;
	kept->failing = row->failures > 0;
	return ks_sha256(row->jwks, &kept->jwks);
}

static enum ks_err find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct kept *kept,
			struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_foreign_issuer_get(tx->store, id, keep_row, kept);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (err == KS_NOT_FOUND || !ks_actor_sees(actor, tx->ring, kept->organization))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such issuer");
	return KS_OK;
}

enum ks_err ks_foreign_issuers_set_enabled(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, bool enabled,
					   struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	if (kept.enabled == enabled)
		return KS_OK;
	KS_TRY(ks_store_foreign_issuer_set_enabled(tx->store, id, enabled, tx->now_ms));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_FOREIGN_ISSUER, id, 0));
	return audit_issuer(tx, actor, enabled ? "issuer.enable" : "issuer.disable", kept.organization, id, KS_STR(""));
}

enum ks_err ks_foreign_issuers_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				      struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(ks_store_foreign_issuer_delete(tx->store, id, tx->now_ms));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_FOREIGN_ISSUER, id, 0));
	return audit_issuer(tx, actor, "issuer.delete", kept.organization, id, KS_STR(""));
}

/* ---- its keys ---- */

enum ks_err ks_foreign_issuers_fetched(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_str jwks,
				       int64_t next_at)
{
	struct kept kept;
	struct ks_digest digest;

	KS_TRY(ks_store_foreign_issuer_get(tx->store, id, keep_row, &kept));
	KS_TRY(ks_sha256(jwks, &digest));
	KS_TRY(ks_store_foreign_issuer_fetched(tx->store, id, jwks, tx->now_ms, next_at));
	if (ks_ct_equal(digest.bytes, kept.jwks.bytes, sizeof(digest.bytes)))
		return KS_OK;
	KS_TRY(ks_tx_room(tx, 1));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_FOREIGN_ISSUER, id, 0));
	return audit_issuer(tx, actor, "issuer.keys_changed", kept.organization, id, KS_STR(""));
}

enum ks_err ks_foreign_issuers_failed(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				      struct ks_str failure, int64_t next_at)
{
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	struct kept kept;

	KS_TRY(ks_store_foreign_issuer_get(tx->store, id, keep_row, &kept));
	KS_TRY(ks_store_foreign_issuer_failed(tx->store, id, failure, tx->now_ms, next_at));
	if (kept.failing)
		return KS_OK;
	ks_audit_put(&detail, "failure", failure);
	return audit_issuer(tx, actor, "issuer.keys_unavailable", kept.organization, id, ks_audit_end(&detail));
}
