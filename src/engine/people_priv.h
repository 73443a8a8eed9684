/* SPDX-License-Identifier: Apache-2.0 */
/** What people.c, second_factor.c and sessions.c share. */
#pragma once

#include "engine/engine_priv.h"
#include "engine/people.h"
#include "engine/users.h"

/** An audit entry about a user's account. */
KS_MUST_USE enum ks_err ks_person_audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
					const struct ks_user_row *row, struct ks_str detail);

/** The user's row without its texts; KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_person_get(struct ks_tx *tx, uint64_t id, struct ks_user_row *ret_row);

/** The same for a user whom the actor sees, with every tenant that the user is a member of. Refusals: not_found;
 * not_grantable. */
KS_MUST_USE enum ks_err ks_person_held(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				       struct ks_user_row *ret_row, struct ks_refusal *refusal);

/** Takes the second factor of a login where one is in force; *method says what it was. Refusals: totp_required,
 * totp_invalid. */
KS_MUST_USE enum ks_err ks_second_factor_take(struct ks_tx *tx, uint64_t user, struct ks_str code,
					      enum ks_session_method *method, struct ks_refusal *refusal);

/** Ends the user's live sessions but `keep` (0: all). */
KS_MUST_USE enum ks_err ks_sessions_end_all(struct ks_tx *tx, const struct ks_actor *actor,
					    const struct ks_user_row *row, uint64_t keep, uint64_t *ret_count);

/** Ends sessions that were not used for session_idle_ms. The usage thread's; blocks. */
void ks_sessions_sweep(struct ks_engine *engine);
