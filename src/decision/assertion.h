/* SPDX-License-Identifier: Apache-2.0 */
/** What a JWT says, once its signature was checked. Checking allocates and needs keys, so that it is done before the
 * decision and its outcome is handed over in the request; everything that may change after the JWT was signed (the
 * session or key behind it, roles, tenants, its end) is decided by ks_decide, from the ring.
 * docs/internals/decision.md, "JWTs". */
#pragma once

#include "crypto/sha256.h"
#include "decision/lookup.h"
#include "model/scopes.h"
#include "policy/policy.h"

#define KS_ASSERTION_ROLES_MAX 16

enum ks_assertion_result {
	KS_ASSERTION_NONE,     /* there is no JWT, or nobody looked at it: KS_LOOKUP_ISSUER */
	KS_ASSERTION_OK,       /* signature, type, audience and nbf are right; the end (expires_ms) is not looked at */
	KS_ASSERTION_INVALID   /* `detail` says why; nothing else is filled */
};

/** What the slot at `ref` must be. */
enum ks_assertion_kind {
	KS_ASSERTION_SESSION,   /* a user's session of ours */
	KS_ASSERTION_EXCHANGED, /* a key: the JWT was made from it and dies with it */
	KS_ASSERTION_FEDERATED  /* an issuer of an organization (ks_ring_issuer_digest) */
};

/** A plain value; the decision keeps a copy. */
struct ks_assertion {
	enum ks_assertion_result result;
	enum ks_lookup_detail detail;
	enum ks_assertion_kind kind;
	struct ks_digest ref;           /* of the slot that it stands or falls with */
	int64_t expires_ms;             /* INT64_MAX: none of its own */

	/* Narrowing; it only ever takes away. */
	bool has_scopes;                /* no scope but those in `scopes`, by the ring's numbers */
	struct ks_scopes scopes;
	uint64_t tenant;                /* id of the tenant that it is for; 0: what it stands for decides */
	char family[KS_FAMILY_NAME_MAX + 1]; /* terminated; empty: any */

	/* FEDERATED: the numbers of the roles it holds on its tenant (ks_ring_role); 0 gives nothing. */
	uint8_t role_count;
	uint16_t roles[KS_ASSERTION_ROLES_MAX];
};
