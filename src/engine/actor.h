/* SPDX-License-Identifier: Apache-2.0 */
/** Who asks for a change, and how far that reaches. Made from a decision, or local: the owner of the data directory at
 * a terminal. */
#pragma once

#include "decision/decision.h"

#define KS_ACTOR_VISIBLE_MAX 64

struct ks_actor {
	bool local;                        /* may do everything, and alone may make runtime keys */
	char id[KS_ID_TEXT_SIZE];          /* "key_…", "usr_…"; "local" */
	struct ks_scopes scopes;           /* of the principal */
	uint8_t kind;                      /* enum ks_kind */
	uint8_t binding;                   /* enum ks_binding; OPERATOR where local */
	uint8_t environment;               /* enum ks_environment; LIVE where local */
	uint64_t own;                      /* tenant that the credential is bound to (id); 0 local */
	uint64_t effective;                /* effective tenant (id) */
	bool is_operator;                  /* bound to the operator, no runtime key, nothing narrowed: may grant all */
	uint64_t session;                  /* of a user's login: its id; 0: another kind of credential */
	bool is_asserted;                  /* presented as a JWT, not by the credential itself */
	bool is_narrowed;                  /* a JWT that may less than what it was made for */
	uint64_t root;                     /* the tenant that a JWT names (id); 0: none */
	/* Of a session: the scopes that it must have on every tenant that it sees in this call (numbers), and of an
	 * issuer's JWT its roles. */
	uint16_t needs[KS_POLICY_RULE_SCOPES_MAX];
	uint8_t need_count;
	uint8_t role_count;
	uint16_t roles[KS_ASSERTION_ROLES_MAX];
	/** Roots (tenant ids), the first ones of very many; ks_actor_sees asks the ring and knows all. */
	uint64_t visible[KS_ACTOR_VISIBLE_MAX];
	size_t visible_count;
	uint64_t visible_alone;            /* bit i: of visible[i] the tenant alone is seen, not what is below */
	char address[KS_ADDR_TEXT_SIZE];   /* empty: none */
	char request_id[65];
};

/** From an allowed decision on `ring`; address and request id are left empty for the caller to fill. */
void ks_actor_of_decision(const struct ks_ring *ring, const struct ks_decision *decision, struct ks_actor *ret_actor);
void ks_actor_local(const struct ks_ring *ring, struct ks_actor *ret_actor);

/** The tenant (id) that the people, or the identity providers, of `organization` belong to: the organization itself, or
 * the operator's where it is 0, which is what the operator's own people have. 0: the ring is empty. */
uint64_t ks_actor_home(const struct ks_ring *ring, uint64_t organization);

/** True if the actor sees the tenant with this id: it exists, is not deleted, and lies within what the actor's
 * credential sees as of this ring (the table of docs/internals/decision.md): memberships and roles count as they are
 * now. */
bool ks_actor_sees(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant);

/** The same of a tenant that has been deleted since: what the actor would see if it had not been. For what is kept of the
 * past. */
bool ks_actor_saw(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant);

/** Calls `each` with the index of every root of what the actor sees (as of this ring; all of a user's memberships, which
 * `visible` need not hold). What lies below a root is not always seen: ks_actor_sees tells. */
void ks_actor_roots(const struct ks_actor *actor, const struct ks_ring *ring, void (*each)(void *ctx, uint32_t index),
		    void *ctx);

/** What the actor may give to a credential on the tenant with this id. Of a session: what its roles give it there, and
 * on a personal tenant, from which every tenant of the user is seen, what they give it on every one of those. */
void ks_actor_grantable(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant,
			struct ks_scopes *ret_scopes);
