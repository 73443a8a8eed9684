/* SPDX-License-Identifier: Apache-2.0 */
/** What a key may do: asked for, resolved against the policy for good, and kept as one canonical JSON text that equal
 * keys share.
 *
 * The text:
 * {"addresses":["203.0.113.0/24"],"rate_limit":{"requests":600,"window_s":60},"roles":["r"],"scopes":["a:read"]},
 * without blanks, members in this order, rate_limit null where there is none; scopes sorted by name, roles and
 * addresses as given, each once. */
#pragma once

#include "engine/engine_priv.h"

/** What is asked for. Borrowed. */
struct ks_grant_ask {
	enum ks_kind kind;                 /* of the key */
	bool scopes_default;
	const struct ks_str *scopes;
	size_t scope_count;
	const struct ks_str *roles;
	size_t role_count;
	const struct ks_cidr *addresses;
	size_t address_count;
	uint32_t rate_requests;
	uint32_t rate_window_s;
};

/** What the one who asks may give: "No key is stronger than its creator". */
struct ks_granting {
	bool all;
	const struct ks_scope_table *numbers; /* that `scopes` counts in; not looked at where `all` */
	struct ks_scopes scopes;
};

/** What `actor` may give to a key whose home is the tenant with this id (ks_actor_grantable). */
struct ks_granting ks_granting_of(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant);

/** Refuses a role that gives a user more than is to be given (not_grantable, "/role"): who may manage members must not
 * make himself, or somebody else, stronger than he is. */
KS_MUST_USE enum ks_err ks_grant_check_role(struct ks_str role, const struct ks_engine_policy *policy,
					    const struct ks_granting *granting, struct ks_refusal *refusal);

/** Writes the canonical text of what `ask` comes to under `policy` today. Refusals: unknown scope or role, a scope that
 * the kind may not hold, limits out of range (invalid, with the pointer); a scope that is not to be given
 * (not_grantable). KS_TOO_LARGE: `body` is too small (KS_GRANT_BODY_MAX is enough). */
KS_MUST_USE enum ks_err ks_grant_resolve(const struct ks_grant_ask *ask, const struct ks_engine_policy *policy,
					 const struct ks_granting *granting, struct ks_buf *body,
					 struct ks_refusal *refusal);

/** Refuses what is in the canonical text `body` and is not to be given. KS_CORRUPT. */
KS_MUST_USE enum ks_err ks_grant_check(struct ks_str body, const struct ks_granting *granting,
				       struct ks_refusal *refusal);

/** The id of the grant with this text, made now where there is none, with its change-log entry. */
KS_MUST_USE enum ks_err ks_grant_intern(struct ks_tx *tx, struct ks_str body, uint64_t *ret_id);

/** Reads a canonical text: into numbers of `scopes`, which gives new ones where needed. A scope for which it has none
 * left is left out (no rule can ask for it) and counted in *ret_left_out. Ranges go to `cidrs` (KS_RING_CIDRS_MAX),
 * which the record borrows. KS_CORRUPT. */
KS_MUST_USE enum ks_err ks_grant_read(const struct ks_grant_row *row, struct ks_scope_table *scopes,
				      struct ks_cidr *cidrs, struct ks_ring_grant_record *ret_record,
				      size_t *ret_left_out);
