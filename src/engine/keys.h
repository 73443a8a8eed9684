/* SPDX-License-Identifier: Apache-2.0 */
/** Keys and their life: create, rename, revoke, rotate, import. Each runs in a job's transaction and writes row, change
 * and audit entries together. */
#pragma once

#include "engine/actor.h"
#include "engine/engine.h"

#define KS_KEY_SCOPES_MAX 128
#define KS_KEY_ROLES_MAX 16
#define KS_KEY_LABELS_MAX 32
#define KS_RATE_REQUESTS_MAX 1000000000u
#define KS_RATE_WINDOW_MAX 2592000u    /* 30 days, seconds */
#define KS_ROTATE_OVERLAP_MAX 2592000u /* seconds */

/** The members of POST /v1/keys, checked for form alone. Borrowed. */
struct ks_key_input {
	struct ks_str name;
	bool kind_given;
	enum ks_kind kind;                 /* not given: partner for a partner's key, else tenant */
	uint64_t tenant; /* 0: the actor's effective tenant (of a user key: the user's personal tenant) */
	uint64_t user;                     /* user keys */
	bool scopes_default;               /* "scopes": "default" */
	struct ks_str scopes[KS_KEY_SCOPES_MAX];
	size_t scope_count;
	struct ks_str roles[KS_KEY_ROLES_MAX];
	size_t role_count;
	bool expires_given;
	int64_t expires_at;                /* KS_TIME_NONE: null, never */
	enum ks_environment environment;   /* live unless given */
	struct ks_cidr addresses[KS_RING_CIDRS_MAX];
	size_t address_count;
	uint32_t rate_requests;            /* 0: none */
	uint32_t rate_window_s;
	struct ks_str labels;              /* canonical JSON object, or empty */
	/* imports alone */
	bool imported;
	struct ks_digest digest;
	struct ks_str prefix;
	struct ks_str last_four;
};

struct ks_key_made {
	uint64_t id;
	char token[KS_TOKEN_TEXT_SIZE];    /* terminated; empty for imports; the caller wipes it */
	/* By ks_keys_create: borrowed of the actor, the input, the token above and the engine, until the job ends or makes
	 * another key. */
	struct ks_key_row row;
	struct ks_str grant_body;
};

/** Makes a key. Refusals: validation (pointer says where), tenant_forbidden, scope not grantable, kind not grantable.
 * "No key is stronger than its creator": scopes within the actor's (all for the operator), tenant within what it sees,
 * kind and binding that fit; opt-in scopes only by name; scope kinds respected; runtime keys by the local actor alone.
 * Roles are resolved to scopes now, for good. */
KS_MUST_USE enum ks_err ks_keys_create(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_key_input *input,
				       struct ks_key_made *ret_made, struct ks_refusal *ret_refusal);

KS_MUST_USE enum ks_err ks_keys_rename(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_str name,
				       struct ks_refusal *ret_refusal);

/** Idempotent: a key that is revoked stays as it is. KS_NOT_FOUND also for what the actor does not see. */
KS_MUST_USE enum ks_err ks_keys_revoke(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				       struct ks_refusal *ret_refusal);

/** Makes a successor with the same grants (within the actor's); the old one ends after `overlap_s`, at once for 0.
 * `expires_given` false: the successor ends when the old one would have. */
KS_MUST_USE enum ks_err ks_keys_rotate(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, uint32_t overlap_s,
				       bool expires_given, int64_t expires_at, struct ks_key_made *ret_made,
				       struct ks_refusal *ret_refusal);

/** Makes the operator's first key: named "first key", bound to the operator, of kind tenant, with every scope of the
 * self policy that a tenant key may hold, live, without end. KS_CONFLICT: there are keys. Any thread but the writer's.
 */
KS_MUST_USE enum ks_err ks_engine_first_key(struct ks_engine *engine, struct ks_key_made *ret_made);

/* ---- import: many lines, one transaction a batch ---- */
struct ks_import;
struct ks_import_result {
	uint64_t lines, imported, refused;
};
/** Starts an import as `actor` (local alone, or the operator's). `on_bad` is told each refused line: number, JSON
 * pointer, why. Lines are parsed on the caller's thread and written in batches through the engine; memory is bounded.
 */
KS_MUST_USE enum ks_err ks_import_begin(struct ks_engine *engine, const struct ks_actor *actor,
					void (*on_bad)(void *ctx, uint64_t line, const char *pointer,
						       const char *detail),
					void *ctx, struct ks_import **ret_import);
/** Feeds bytes of the JSON Lines file; lines may be cut anywhere. Blocks while the writer is behind. */
KS_MUST_USE enum ks_err ks_import_feed(struct ks_import *import, struct ks_str piece);
/** Finishes the last line and the last batch, waits until all is durable and in the ring, frees. Also after a failed
 * feed. */
KS_MUST_USE enum ks_err ks_import_end(struct ks_import **import, struct ks_import_result *ret_result);
