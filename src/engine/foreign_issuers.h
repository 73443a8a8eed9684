/* SPDX-License-Identifier: Apache-2.0 */
/** Issuers of JWTs that organizations have configured: whose tokens are taken, whom they stand for, and the last good
 * copy of their public keys. Each function runs in a job's transaction and writes row, change and audit entries
 * together. */
#pragma once

#include "engine/actor.h"
#include "engine/engine.h"
#include "store/federation.h"

#define KS_CLAIM_MAPPINGS_MAX 64

/** A value of a claim and what it means. */
struct ks_claim_mapping {
	struct ks_str value;
	struct ks_str meaning;
};

/** The members of POST /v1/issuers, checked for form alone. Borrowed. */
struct ks_foreign_issuer_input {
	uint64_t organization; /* 0: the actor's effective tenant */
	struct ks_str name;
	struct ks_str issuer;
	struct ks_str audience;
	struct ks_str jwks_url; /* empty: by the issuer's discovery document */
	struct ks_str tenant_claim;
	struct ks_claim_mapping tenants[KS_CLAIM_MAPPINGS_MAX]; /* to ids, or the organization's slug */
	size_t tenant_count;
	struct ks_str default_tenant;
	struct ks_str role_claim;
	struct ks_claim_mapping roles[KS_CLAIM_MAPPINGS_MAX];
	size_t role_count;
	struct ks_str default_roles[KS_CLAIM_MAPPINGS_MAX];
	size_t default_role_count;
};

/** Makes it, without keys yet: they are due at once. Refusals: invalid; tenant_forbidden (the organization is not seen,
 * a tenant does not lie within it); not_grantable (a role gives what the actor has not); conflict (issuer and audience
 * are taken). */
KS_MUST_USE enum ks_err ks_foreign_issuers_create(struct ks_tx *tx, const struct ks_actor *actor,
						  const struct ks_foreign_issuer_input *input, uint64_t *ret_id,
						  struct ks_refusal *ret_refusal);
/** Both: KS_NOT_FOUND also for what the actor does not see. Idempotent. Once it has returned, no reader takes what the
 * issuer signed. */
KS_MUST_USE enum ks_err ks_foreign_issuers_set_enabled(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						       bool enabled, struct ks_refusal *ret_refusal);
KS_MUST_USE enum ks_err ks_foreign_issuers_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						  struct ks_refusal *ret_refusal);

/** Its keys were fetched: `jwks` holds usable public keys alone, in the form of ks_jose_key_write. A change of keys is
 * audited, a look that found the same is not. `actor` NULL: the service itself. KS_NOT_FOUND: deleted meanwhile. */
KS_MUST_USE enum ks_err ks_foreign_issuers_fetched(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						   struct ks_str jwks, int64_t next_at);
/** They could not be; the last good copy stays in force. `failure` is a code. The first failure after a success is
 * audited. */
KS_MUST_USE enum ks_err ks_foreign_issuers_failed(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						  struct ks_str failure, int64_t next_at);
