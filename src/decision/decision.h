/* SPDX-License-Identifier: Apache-2.0 */
/** The decision: may this credential do this, on behalf of this tenant? The nine steps of docs/internals/decision.md.
 * A pure function of the ring (with the policy in it), the request and the time; it allocates nothing, takes no lock
 * and waits for nothing. The only thing it changes is the key's rate limiter and counters, and only where ring->usage
 * is set. */
#pragma once

#include "decision/assertion.h"
#include "ring/ring.h"
#include "ring/usage.h"
#include "token/token.h"
#include "urlpath/urlpath.h"

/** Borrowed for the call. */
struct ks_request {
	struct ks_credential *credential;  /* as presented; see token.h */
	/* Where that is a JWT: what checking it found. NULL: nobody did, which is KS_ASSERTION_NONE. */
	const struct ks_assertion *assertion;
	/* Nothing is asked of a method and a path ("The credential alone" on the page). Never guessed from empty
	 * ones, so that a gateway that forgets to send them is refused. */
	bool credential_alone;
	struct ks_str method;
	struct ks_str path;                /* raw */
	struct ks_str tenant;              /* X-Tenant-Id; empty: not sent */
	bool tenant_repeated;              /* sent more than once, empty ones not counted */
	struct ks_str host;
	struct ks_addr address;            /* the client's */
	bool address_known;
	int64_t now_ms;
};

/** In missing_scope: the key has no scope at all, and the rule named none. */
#define KS_DECISION_NO_SCOPE UINT16_MAX

/** The verdict and all that it rests on. Pointers borrow from the ring and live as long as its mapping. */
struct ks_decision {
	enum ks_reason reason;             /* KS_REASON_OK: allow */
	enum ks_step step;                 /* where it was decided; RATE on allow */
	enum ks_lookup_detail lookup;
	enum ks_path_problem path_problem;
	uint16_t missing_scope;            /* with SCOPE_MISSING: its number, or KS_DECISION_NO_SCOPE */

	const struct ks_ring_key *key;     /* or session, or issuer: what the verdict rests on; NULL: none was found */
	uint64_t slot;
	uint32_t state;                    /* the key's state word as it was read, once */
	const struct ks_ring_grant *grant; /* of kind session an empty one */
	const struct ks_rule *rule;        /* NULL before step 4, and for a credential alone */
	const struct ks_policy_table *policy;

	uint32_t tenant;                   /* effective, index; KS_RING_NONE until step 8 */
	uint32_t organization;             /* index or KS_RING_NONE */
	uint32_t visible_own;              /* first root: its own tenant, or the one that a partner chose */
	const struct ks_ring_memberships *memberships; /* further roots, of a user's key or session: see
							* ks_decision_is_root */
	uint8_t inherited_count;
	uint32_t inherited[KS_TENANT_DEPTH_MAX]; /* indices, nearest first */
	struct ks_rate rate;               /* rate.limit 0: none */

	/* Only ks_decision_scopes and ks_decision_sees know what these mean. */
	bool has_own_scopes;               /* `own_scopes` stand in the place of the grant's */
	bool is_asserted;                  /* a JWT: `assertion` is filled, and `root` where it names a tenant */
	uint32_t root;
	struct ks_scopes own_scopes;
	struct ks_assertion assertion;
};

/** The scopes that the verdict counts with: the key's, or those of the roles on the tenant at hand, narrowed by the
 * JWT. Lives as long as `decision`. Only where a key was found. */
static inline const struct ks_scopes *ks_decision_scopes(const struct ks_decision *decision)
{
	return KS_UNLIKELY(decision->has_own_scopes) ? &decision->own_scopes : &decision->grant->scopes;
}

/** Decides by the policy `which`. The path scratch is the caller's, so that stacks stay small and nothing is cleared
 * needlessly; its content after the call is the path read. Counts the use where a key was found and ring->usage is
 * set. Any thread; a scratch and a credential belong to one call at a time. */
void ks_decide(const struct ks_ring *ring, enum ks_ring_policy which, const struct ks_request *request,
	       struct ks_path *scratch, struct ks_decision *ret_decision);

/** True if the allowed principal sees the tenant at `index` (step 8's table; for partner keys the organizations of the
 * partner, and the partner itself where the rule lets it be named; for a session, tenants on which its roles hold every
 * scope that the rule asks for). Says nothing of whether that tenant is suspended.
 * For handlers that filter what they list, and for /v1/check. False where `decision` does not allow. */
bool ks_decision_sees(const struct ks_ring *ring, const struct ks_decision *decision, uint32_t index);

/** True if the membership (one of decision->memberships) is a root of what the allowed principal sees: its tenant is
 * active, and, for a session, the roles that cover the tenant hold every scope that the rule asks for. */
bool ks_decision_is_root(const struct ks_ring *ring, const struct ks_decision *decision,
			 const struct ks_ring_membership *membership);

/** An allow's fields as text, for headers and JSON. Each appends to `out`: the principal's id (key_, of a session its
 * user's usr_, of a federated one its issuer's iss_), a tenant's id (nothing for
 * KS_RING_NONE), and lists, of tenants by commas, of scopes by blanks. Nothing where the decision did not get that
 * far. */
void ks_decision_put_principal(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out);
void ks_decision_put_tenant(const struct ks_ring *ring, uint32_t index, struct ks_buf *out);
void ks_decision_put_visible(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out);
void ks_decision_put_inherited(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out);
void ks_decision_put_scopes(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_buf *out);

/** Bytes that any of the lists above needs at most: scopes, visible tenants, ancestors. */
#define KS_DECISION_SCOPES_TEXT_MAX (KS_SCOPES_MAX * (KS_SCOPE_NAME_MAX + 1))
#define KS_DECISION_VISIBLE_TEXT_MAX ((KS_RING_MEMBERSHIPS_MAX + 1) * (KS_ID_TEXT_LEN + 1))
#define KS_DECISION_INHERITED_TEXT_MAX (KS_TENANT_DEPTH_MAX * (KS_ID_TEXT_LEN + 1))

/** The headers that carry an allow to the upstream: X(name, field). All are sent always, empty where there is nothing.
 * RateLimit and RateLimit-Policy are those of draft-ietf-httpapi-ratelimit-headers, with one policy named "key". */
#define KS_IDENTITY_HEADERS(X)                        \
	X(PRINCIPAL, "X-Keystile-Principal")          \
	X(KIND, "X-Keystile-Kind")                    \
	X(TENANT, "X-Keystile-Tenant")                \
	X(ORGANIZATION, "X-Keystile-Organization")    \
	X(VISIBLE, "X-Keystile-Visible")              \
	X(INHERITED, "X-Keystile-Inherited")          \
	X(SCOPES, "X-Keystile-Scopes")                \
	X(ENVIRONMENT, "X-Keystile-Environment")      \
	X(FAMILY, "X-Keystile-Family")                \
	X(RATE_LIMIT, "RateLimit")                    \
	X(RATE_LIMIT_POLICY, "RateLimit-Policy")

enum ks_identity_header {
#define X(name, field) KS_IDENTITY_##name,
	KS_IDENTITY_HEADERS(X)
#undef X
	KS_IDENTITY_COUNT
};

/** The field name; never NULL, static. */
const char *ks_identity_name(enum ks_identity_header header);

/** Appends the value: printable ASCII without blanks at its ends, or nothing. */
void ks_identity_put(const struct ks_ring *ring, const struct ks_decision *decision, enum ks_identity_header header,
		     struct ks_buf *out);

/** The value of WWW-Authenticate for a refusal: Basic's (RFC 7617) where Basic was tried, else Bearer's (RFC 6750)
 * with its error where there was a credential. Empty where the reason's status is not 401. Static. */
const char *ks_decision_challenge(enum ks_reason reason, bool basic_tried);
