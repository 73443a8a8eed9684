/* SPDX-License-Identifier: Apache-2.0 */
/** Users, for the engine's own files: the steps of ks_users_* and ks_members_* once it is known that the actor may. */
#pragma once

#include "engine/engine_priv.h"

/** Makes the user with a personal tenant below `organization` (0: below the operator, of whose own people it is), which exists in the truth but perhaps not in the ring
 * yet, and invites it (NULL: not). Refusals: invalid (/email, /name), conflict
 * (/email). */
KS_MUST_USE enum ks_err ks_user_create_at(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization,
					  const struct ks_user_input *input, uint64_t *ret_id,
					  struct ks_invited *ret_invited, struct ks_refusal *refusal);

/** Writes the invitation, without an audit entry of its own; see ks_users_invite. */
KS_MUST_USE enum ks_err ks_user_invite_at(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_user_row *row,
					  struct ks_invited *ret_invited);

/** Disables a user that is not; its sessions end. */
KS_MUST_USE enum ks_err ks_user_disable_at(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id);

/** Writes the membership, its change and audit entries. */
KS_MUST_USE enum ks_err ks_member_put_at(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization,
					 uint64_t tenant, uint64_t user, struct ks_str role);
