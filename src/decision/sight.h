/* SPDX-License-Identifier: Apache-2.0 */
/** What a credential sees: the table of step 8 of docs/internals/decision.md, and what a session may where ("Roles").
 * For the decision, and for whoever asks the same question later of another generation of the ring. Pure. */
#pragma once

#include "ring/ring.h"

/** Who looks. Indices are of the ring that it is used with; pointers are borrowed. */
struct ks_sight {
	enum ks_kind kind;
	enum ks_binding binding;
	uint32_t own;              /* tenant of the key, session or issuer */
	uint32_t root;             /* the tenant that a JWT names, which bounds all; KS_RING_NONE */
	bool partner_itself;       /* a partner's credential may name the partner */
	const uint16_t *roles;     /* of an issuer's JWT: what it holds on its own tenant */
	uint8_t role_count;
	const uint16_t *needs;     /* scopes that a session must have where it sees; NULL where none are asked for */
	uint8_t need_count;
};

/** True if the tenant at `index` is seen, leaving scopes out of account. */
bool ks_sight_covers(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index);

/** The scopes of a session (kind session) on the tenant at `index`; none where nothing covers it. Unchanged by `needs`
 * and by the narrowing of a JWT. */
void ks_sight_scopes(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index,
		     struct ks_scopes *ret_scopes);

/** True if the tenant at `index` is seen: it is covered, and a session has all of `needs` there. */
bool ks_sight_sees(const struct ks_ring *ring, const struct ks_sight *sight, uint32_t index);
