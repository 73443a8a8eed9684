/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/federation.h"

#include "jose/jwk.h"
#include "ring/issuers.h"

/* ---- what is checked ---- */

enum ks_err ks_check_organization(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization,
				  bool operator_ok, struct ks_refusal *refusal)
{
	enum ks_tenant_kind kind;

	if (!ks_actor_sees(actor, tx->ring, organization) || ks_tx_is_gone(tx, organization))
		return ks_refuse_tenant(refusal, "/organization");
	kind = (enum ks_tenant_kind)tx->ring->tenants[ks_ring_tenant(tx->ring, organization)].kind;
	if (kind != KS_TENANT_KIND_ORGANIZATION && !(operator_ok && kind == KS_TENANT_KIND_OPERATOR))
		return ks_refuse_invalid(refusal, "/organization", "must be an organization");
	return KS_OK;
}

/* True if all that the role gives by this catalogue may be given. *known: the catalogue has the role. */
static bool within(const struct ks_granting *granting, const struct ks_policy *policy, struct ks_str role, bool *known)
{
	struct ks_scopes places;

	if (!policy || !ks_policy_role_scopes(policy, role, KS_KIND_SESSION, &places))
		return true;
	*known = true;
	for (uint16_t i = 0; !granting->all && i < policy->scope_count; i++) {
		uint16_t number;

		if (ks_scopes_has(&places, i)
		    && (!ks_scope_find(granting->numbers, ks_str_c(policy->scopes[i].name), &number)
			|| !ks_scopes_has(&granting->scopes, number)))
			return false;
	}
	return true;
}

enum ks_err ks_check_role_given(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant,
				struct ks_str role, const char *pointer, struct ks_refusal *refusal)
{
	const struct ks_granting granting = ks_granting_of(actor, tx->ring, tenant);
	const struct ks_engine_policy_ref *policy = tx->engine->policy;
	bool known = false;
	bool ok = within(&granting, policy->platform, role, &known) && within(&granting, policy->self, role, &known);

	if (ok && !known)
		return ks_refuse_invalid(refusal, pointer, "there is no such role");
	if (!ok)
		return ks_refuse(refusal, KS_FORBIDDEN, "not_grantable", pointer,
				 "the role gives more than the caller may give");
	return KS_OK;
}

/* ---- into the ring ---- */

struct records {
	struct ks_ring_issuer_key_record items[KS_RING_ISSUER_KEYS_MAX];
	char texts[KS_RING_ISSUER_KEYS_MAX][KS_RING_ISSUER_JWK_MAX];
	size_t count;
};

static bool has_kid(const struct records *records, struct ks_str kid)
{
	for (size_t i = 0; i < records->count; i++) {
		if (ks_str_eq(records->items[i].kid, kid))
			return true;
	}
	return false;
}

/* A key without a name goes by its thumbprint. Of two of one name the first counts. */
static void add_record(struct records *records, const struct ks_jose_key *key)
{
	struct ks_buf b = KS_BUF(records->texts[records->count]);
	struct ks_str kid = ks_jose_key_kid(key);

	if (ks_str_empty(kid))
		kid = ks_jose_key_thumbprint(key);
	ks_jose_key_write(key, &b);
	if (!ks_buf_ok(&b) || has_kid(records, kid))
		return;
	records->items[records->count++] = (struct ks_ring_issuer_key_record){.kid = kid, .jwk = ks_buf_str(&b)};
}

enum ks_err ks_project_foreign_issuer(struct ks_ring *ring, const struct ks_foreign_issuer_row *row)
{
	static _Thread_local struct records records;
	KS_AUTO(ks_jwk_set_free_at) struct ks_jwk_set *set = NULL;
	const struct ks_str audience = row->audience;
	bool deleted = row->deleted_at != KS_TIME_NONE;

	/* The slot that its tokens stand or fall with. */
	KS_TRY(ks_ring_put_issuer(ring, &(struct ks_ring_issuer_record){row->id, row->organization, deleted}));
	/* What is stored was parsed before; what cannot be parsed any more vouches for nobody. */
	if (!row->enabled || deleted || ks_str_empty(row->jwks)
	    || ks_jwk_set_parse(row->jwks, &set) != KS_JOSE_OK) {
		ks_ring_drop_issuer_keys(ring, row->id);
		return KS_OK;
	}
	records.count = 0;
	for (size_t i = 0; i < ks_jwk_set_count(set) && records.count < KS_RING_ISSUER_KEYS_MAX; i++)
		add_record(&records, ks_jwk_set_at(set, i));
	return ks_ring_put_issuer_keys(ring, &(struct ks_ring_issuer_keys_record){
		.id = row->id,
		.tenant = row->organization,
		.name = row->issuer,
		.rules = row->rules,
		.audiences = &audience,
		.audience_count = 1,
		.keys = records.items,
		.key_count = records.count,
	});
}
