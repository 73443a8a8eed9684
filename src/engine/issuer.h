/* SPDX-License-Identifier: Apache-2.0 */
/** Our own issuer of JWTs: its signing keys, their rotation, and minting. Its public keys stand in the ring (ring/issuers.h),
 * the private ones sealed in the truth (engine/seal.h) and, opened, in this process. A key is published before it signs,
 * and stays published after its last token has expired, so that whoever keeps our JWKS for a while misses none. What a
 * JWT says and how it is checked: assertion/verifier.h. docs/tokens.md. */
#pragma once

#include "assertion/jwt.h"
#include "engine/actor.h"
#include "engine/engine.h"

/** No JWT lives longer than this, and so no retired key needs to be published longer. */
#define KS_ISSUER_LIFETIME_MAX_MS INT64_C(86400000)
/** A buffer of this size holds every JWT that is minted. */
#define KS_ISSUER_JWT_MAX KS_JWS_TOKEN_MAX
#define KS_ISSUER_AUDIENCES_MAX 8 /* in one JWT */

/** What a JWT says besides `iss`, `iat`, `jti` and the masked reference, which are the issuer's to write. Borrowed for the
 * call; texts that are empty are left out. */
struct ks_issuer_claims {
	bool session;                 /* typed as a session's, else as exchanged for a key */
	struct ks_digest ref;         /* digest of the slot (session or key) that it stands and falls with */
	struct ks_str subject;        /* sub: "usr_…", "key_…" */
	struct ks_str client;         /* client_id: "key_…" */
	int64_t now_ms;
	int64_t expires_ms;           /* cut to seconds; at most KS_ISSUER_LIFETIME_MAX_MS after now */
	const struct ks_str *audiences; /* `aud`; NULL: all that the issuer has */
	size_t audience_count;        /* at most KS_ISSUER_AUDIENCES_MAX */
	bool has_scope;               /* narrowed to `scope`, which may be empty */
	struct ks_str scope;          /* names divided by blanks */
	struct ks_str tenant;         /* id */
	struct ks_str family;
	struct ks_str call_id;
	struct ks_str actor;          /* act.sub: who acts for the tenant (RFC 8693, 4.1) */
};

/** Signs a JWT with the current key and appends it to `out` (a credential: the caller wipes it). KS_NOT_FOUND: this issuer has
 * no key; KS_MALFORMED: no subject, an end that is not after now, or too many audiences; KS_TOO_LARGE: beyond 8 KiB, a
 * lifetime beyond the limit, or no room in `out`; KS_CRYPTO, KS_SYSTEM. Nothing is written to the truth. Any thread; costs
 * one signature. */
KS_MUST_USE enum ks_err ks_issuer_mint(struct ks_engine *engine, const struct ks_issuer_claims *claims,
				       struct ks_buf *out);

/** A session's JWT, for all audiences, with the session's own rights: `session` is the digest of the session's slot in the
 * ring, `user` its user's id. It dies with the session, in the same instant. As ks_issuer_mint. */
KS_MUST_USE enum ks_err ks_issuer_mint_session(struct ks_engine *engine, const struct ks_digest *session, uint64_t user,
					       int64_t now_ms, int64_t expires_ms, struct ks_buf *out);

/** The issuer's name (`iss`); empty where this engine has no issuer. Lives as long as the engine. */
struct ks_str ks_issuer_name(const struct ks_engine *engine);

/** True if `audience` is one that our tokens may be for. */
bool ks_issuer_has_audience(const struct ks_engine *engine, struct ks_str audience);

/** A key as it is shown. Texts are borrowed for the callback. */
struct ks_issuer_key_view {
	struct ks_str kid;
	struct ks_str algorithm;
	struct ks_str public_jwk;
	enum ks_issuer_key_state state;
	int64_t created_at;
	int64_t signs_from;           /* of the next one: when it will; KS_TIME_NONE: unknown */
	int64_t retired_at;           /* KS_TIME_NONE */
	int64_t published_until;      /* of a retired one; KS_TIME_NONE */
};
/** How a row of the truth is shown. Borrows from it. */
void ks_issuer_view(const struct ks_engine *engine, const struct ks_issuer_key_row *row,
		    struct ks_issuer_key_view *ret_view);

/** JWTs signed since the start, and those that could not be. Any thread. */
void ks_issuer_counts(const struct ks_engine *engine, uint64_t *ret_minted, uint64_t *ret_failed);

/** Calls `each` for the keys that are published, the oldest first. Any thread. */
void ks_issuer_keys(struct ks_engine *engine, void (*each)(void *ctx, const struct ks_issuer_key_view *key), void *ctx);

/** How far a rotation goes. */
enum ks_issuer_rotation {
	KS_ISSUER_ROTATE,          /* a next key is published, and signs once verifiers have had time to see it */
	KS_ISSUER_ROTATE_NOW,      /* it signs at once */
	KS_ISSUER_ROTATE_WITHDRAW  /* it signs at once, and every other key is withdrawn: what they signed is void */
};
/** Within a job. With KS_ISSUER_ROTATE nothing changes where a next key is there already. KS_NOT_FOUND (no issuer),
 * KS_CONFLICT (too many keys are published), errors of sealing and of the store. */
KS_MUST_USE enum ks_err ks_issuer_rotate(struct ks_tx *tx, const struct ks_actor *actor, enum ks_issuer_rotation how,
					 struct ks_refusal *ret_refusal);
const char *ks_issuer_key_state_text(enum ks_issuer_key_state state);
