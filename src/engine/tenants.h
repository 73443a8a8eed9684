/* SPDX-License-Identifier: Apache-2.0 */
/** Tenants, users and memberships. Each runs in a job's transaction and writes row, change and audit entries together.
 */
#pragma once

#include "engine/keys.h"
#include "engine/people.h"

struct ks_tenant_input {
	enum ks_tenant_kind kind; /* partner, organization, sub_entity, project; the operator and personal ones are
				     never made here */
	uint64_t parent;                   /* 0: the actor's own tenant */
	struct ks_str name;
	struct ks_str slug;                /* organizations; empty: made from the name, made unique */
	const struct ks_key_input *first_key;  /* organizations: provisioned in the same transaction; NULL: none */
	struct ks_str administrator_email; /* organizations: a user with the administrator role; empty: none */
};

struct ks_tenant_made {
	uint64_t id;
	uint64_t administrator;            /* user id; 0 */
	struct ks_invited invited;         /* the administrator */
	struct ks_key_made first_key;      /* id 0: none */
};

/** Refusals: validation; parent not seen: tenant_forbidden; a kind that does not go below the parent; nesting beyond 8;
 * slug taken. */
KS_MUST_USE enum ks_err ks_tenants_create(struct ks_tx *tx, const struct ks_actor *actor,
					  const struct ks_tenant_input *input, struct ks_tenant_made *ret_made,
					  struct ks_refusal *ret_refusal);
KS_MUST_USE enum ks_err ks_tenants_rename(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					  struct ks_str name, struct ks_refusal *ret_refusal);
/** Suspends or resumes. Not the operator, not the actor's own tenant or one above it. Idempotent. */
KS_MUST_USE enum ks_err ks_tenants_set_suspended(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
						 bool suspended, struct ks_refusal *ret_refusal);
/** Deletes a tenant that has no children left (KS_CONFLICT); its keys stop at once. */
KS_MUST_USE enum ks_err ks_tenants_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					  struct ks_refusal *ret_refusal);

struct ks_user_input {
	uint64_t organization;             /* home: an organization, or the operator for its own people; 0: the
					      actor's effective tenant, where that is an organization */
	struct ks_str email;
	struct ks_str name;
};
/** Makes a user with a personal tenant below its home, and invites it. The caller wipes *ret_invited. Refusals:
 * tenant_forbidden, invalid (/organization, /email, /name), conflict (/email). */
KS_MUST_USE enum ks_err ks_users_create(struct ks_tx *tx, const struct ks_actor *actor,
					const struct ks_user_input *input, uint64_t *ret_id,
					struct ks_invited *ret_invited, struct ks_refusal *ret_refusal);
KS_MUST_USE enum ks_err ks_users_set_disabled(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
					      bool disabled, struct ks_refusal *ret_refusal);
/** Built-in roles: administrator (reaches below), member, account_reader; others are of the policy file (reach the
 * tenant alone). */
KS_MUST_USE enum ks_err ks_members_put(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant, uint64_t user,
				       struct ks_str role, struct ks_refusal *ret_refusal);
KS_MUST_USE enum ks_err ks_members_remove(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant,
					  uint64_t user, struct ks_refusal *ret_refusal);
