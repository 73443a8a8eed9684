/* SPDX-License-Identifier: Apache-2.0 */
/** From the text of a JWT to what the decision rests on (decision/assertion.h): whose it is, by the issuers in the ring;
 * that its signature, type, audience and times are right; and what it says, our references unmasked. Nothing about a
 * token is remembered between two calls but the ready form of public keys. */
#pragma once

#include "assertion/jwt.h"
#include "decision/assertion.h"
#include "jose/claims.h"
#include "jose/jwk.h"
#include "ring/issuers.h"

#define KS_VERIFIER_SETS 64u
#define KS_VERIFIER_WAYS 2u

/** A public key, ready, and the text that it was made of. */
struct ks_verifier_key {
	char *jwk;
	size_t n;
	struct ks_jose_key *key;
};

/** One thread's: ready public keys (at most 128), and scratch. Zero-initialise it; ks_verifier_free at the end. */
struct ks_verifier {
	struct ks_verifier_key keys[KS_VERIFIER_SETS][KS_VERIFIER_WAYS];
	uint64_t lacks_key; /* of the last call: id of the foreign issuer that has no key of the token's kid; 0: none */
	struct ks_jws jws;
	struct ks_claims claims;
	char room[KS_CLAIMS_TEXT_MAX];
};

void ks_verifier_free(struct ks_verifier *verifier);

/** For which audience a token must be. */
enum ks_jwt_audience {
	KS_JWT_AUDIENCE_ANY,    /* any of the issuer's: the platform's APIs */
	KS_JWT_AUDIENCE_SERVICE /* of our own tokens those for this service's API alone: the issuer's first audience */
};

/** Checks `token` and fills *ret_assertion: result OK, or INVALID with the detail. The token's own end is not looked at, nor
 * what it refers to: ks_decide does that. Allocates only where it meets a key for the first time. Never fails otherwise:
 * what cannot be told is INVALID. What it said can be read from verifier->claims until the next call, but only where the
 * result is OK, and as long as the verifier lives. One call at a time for a verifier. Costs one signature check and a few microseconds.
 * RFC 7519, 7515, 8725, 9068. */
void ks_assert(const struct ks_ring *ring, struct ks_verifier *verifier, struct ks_str token, enum ks_jwt_audience audience,
	       int64_t now_ms, struct ks_assertion *ret_assertion);

/** The rules of a foreign issuer (`rules` of its record): which tenant and which roles its tokens stand for. A JSON object;
 * every member may be missing:
 * - "tenant_claim": path of a claim (ks_claims_find) that holds one string; "tenants": object of its values and the ids of
 *   tenants that they mean. A value that is not in it is refused. Without the claim in the token the tenant is
 *   "default_tenant", or where that is missing too the issuer's organization.
 * - "role_claim": path of a claim that holds a string, words or an array of strings; "roles": object of its values and the
 *   names of roles that they mean. Other values mean nothing. Where none means anything: "default_roles", an array of
 *   names.
 * True if `rules` is such an object and every id and name in it is well formed; whoever configures an issuer asks. */
KS_MUST_USE bool ks_jwt_rules_ok(struct ks_str rules);
