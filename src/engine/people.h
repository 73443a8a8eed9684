/* SPDX-License-Identifier: Apache-2.0 */
/** How users prove who they are: invitations, passwords, second factors, sessions. Each call runs in a job's transaction
 * and writes rows, change and audit entries together. Passwords never come here: their hashes do. */
#pragma once

#include "engine/actor.h"
#include "engine/engine.h"
#include "login/totp.h"

/* ---- invitations ---- */

#define KS_INVITATION_PREFIX "invite_"
#define KS_INVITATION_RANDOM 32
/** "invite_" and 64 hexadecimal digits, terminated. */
#define KS_INVITATION_TEXT_SIZE (sizeof(KS_INVITATION_PREFIX) + 2 * KS_INVITATION_RANDOM)

/** Zero-initialise it; `expires_at` 0: none was made. The caller wipes it. */
struct ks_invited {
	int64_t expires_at;
	char token[KS_INVITATION_TEXT_SIZE];
};

/** Invites the user, who may have a password already (then this is a reset): the open invitation is void from then on.
 * Who gets the token can be the user, so the actor must see every tenant that the user is a member of. Refusals:
 * not_found; not_grantable; conflict (disabled). */
KS_MUST_USE enum ks_err ks_users_invite(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
					struct ks_invited *ret_invited, struct ks_refusal *ret_refusal);
/** Takes the open invitation back. Refusals: not_found. */
KS_MUST_USE enum ks_err ks_users_uninvite(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
					  struct ks_refusal *ret_refusal);

/** The digest of a token as presented; false if it has not the form of one. */
KS_MUST_USE bool ks_invitation_digest(struct ks_str token, struct ks_digest *ret_digest);

/** What an invitation is accepted with. */
struct ks_acceptance {
	struct ks_digest digest;     /* of the token */
	struct ks_str hash;          /* of the new password */
	struct ks_str name;          /* empty: stays */
	struct ks_str address;       /* of the client, for the audit; may be empty */
	struct ks_str request_id;
};
/** Sets the password and ends all sessions of the user; the invitation is used up. Refusals: invitation_invalid
 * (unknown, used, withdrawn, expired, user disabled). */
KS_MUST_USE enum ks_err ks_invitations_accept(struct ks_tx *tx, const struct ks_acceptance *acceptance,
					      uint64_t *ret_user, struct ks_refusal *ret_refusal);

/* ---- a user's own account; `actor` is the user ---- */

/** The user as the actor of what concerns the account alone. */
void ks_actor_user(uint64_t user, struct ks_str address, struct ks_str request_id, struct ks_actor *ret_actor);

/** Puts `hash` in the place of the password that was set at `changed_at` (refusal conflict: it was changed meanwhile),
 * voids an open invitation and ends all sessions but `keep` (0: none is kept). */
KS_MUST_USE enum ks_err ks_account_set_password(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
						int64_t changed_at, struct ks_str hash, uint64_t keep,
						struct ks_refusal *ret_refusal);

/** Keeps `secret`, sealed, for the user to confirm; an unconfirmed one is replaced. Refusals: conflict (one is in force).
 */
KS_MUST_USE enum ks_err ks_account_totp_begin(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
					      const uint8_t secret[KS_TOTP_SECRET_SIZE],
					      struct ks_refusal *ret_refusal);

struct ks_recovery_codes {
	char codes[KS_RECOVERY_CODES][KS_RECOVERY_TEXT_SIZE];
};
/** The second factor is in force from now on. The caller wipes the codes. Refusals: conflict (none is waiting, or one is
 * in force); totp_invalid. */
KS_MUST_USE enum ks_err ks_account_totp_confirm(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
						struct ks_str code, struct ks_recovery_codes *ret_codes,
						struct ks_refusal *ret_refusal);
/** With a code or a recovery code. Refusals: conflict (none is in force), totp_invalid. */
KS_MUST_USE enum ks_err ks_account_totp_disable(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
						struct ks_str code, struct ks_refusal *ret_refusal);
/** By somebody else, for a user who has lost it; as ks_users_invite. Refusals: not_found, not_grantable, conflict (none).
 */
KS_MUST_USE enum ks_err ks_users_totp_remove(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
					     struct ks_refusal *ret_refusal);

/* ---- sessions ---- */

#define KS_SESSION_PREFIX "ks_session"
#define KS_SESSIONS_OF_USER_MAX 64 /* live ones; a login beyond ends the oldest */

struct ks_session_input {
	uint64_t user;
	enum ks_session_method method;  /* PASSWORD: becomes what the second factor makes of it */
	int64_t password_changed_at;    /* PASSWORD: of the password that was right */
	struct ks_str code;             /* PASSWORD: the second factor, or empty */
	struct ks_str address;          /* may be empty */
	struct ks_str agent;            /* User-Agent; cut; may be empty */
	struct ks_str request_id;
	uint64_t replaces;              /* a session of the same user that ends with this; 0 */
};

/** The caller wipes it. */
struct ks_session_made {
	uint64_t id;
	int64_t expires_at;
	enum ks_session_method method;
	struct ks_digest digest;
	char token[KS_TOKEN_TEXT_SIZE];
};

/** Logs a user in whose password (or OpenID Connect login) was found right. Refusals: login_failed (disabled, or the
 * password was changed meanwhile), totp_required, totp_invalid. A code is taken in the same transaction, once. */
KS_MUST_USE enum ks_err ks_sessions_start(struct ks_tx *tx, const struct ks_session_input *input,
					  struct ks_session_made *ret_made, struct ks_refusal *ret_refusal);

/** Ends a session of `user`; one that has ended or expired stays so. Refusals: not_found (also another user's). */
KS_MUST_USE enum ks_err ks_sessions_end(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user, uint64_t id,
					struct ks_refusal *ret_refusal);

/** Ends all of a user whom the actor sees; how many. Refusals: not_found. */
KS_MUST_USE enum ks_err ks_users_end_sessions(struct ks_tx *tx, const struct ks_actor *actor, uint64_t user,
					      uint64_t *ret_count, struct ks_refusal *ret_refusal);
