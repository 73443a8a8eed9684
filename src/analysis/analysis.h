/* SPDX-License-Identifier: Apache-2.0 */
/** Who may do what, over all keys at once, by the rules of docs/internals/decision.md. Keys that agree in scopes, kind,
 * binding and environment are one class and are judged once; the rest is counting. What is asked is always "could be
 * allowed": from some address, by some host, with the header that it takes, as of now. Pure: memory and nothing else.
 */
#pragma once

#include "policy/expectations.h"
#include "policy/regions.h"
#include "ring/ring.h"

/* ---- what a rule asks for, and how far a credential gets with it ---- */

/** A rule of the compiled policy or of a catalogue, in numbers of the ring's scope table. */
struct ks_need {
	uint8_t kinds;
	uint8_t environments;
	uint8_t tenant_header;    /* enum ks_tenant_header */
	uint8_t scope_count;
	uint16_t scopes[KS_POLICY_RULE_SCOPES_MAX]; /* KS_SCOPES_MAX: a scope that the ring does not know */
};

struct ks_need ks_need_of_rule(const struct ks_rule *rule);
/** Of an entry (not KS_POLICY_NOWHERE) of a catalogue. */
struct ks_need ks_need_of_entry(const struct ks_policy *policy, struct ks_policy_entry entry,
				const struct ks_scope_table *scopes);

/** Keys that agree in all that decides, but for the tenant. */
struct ks_class {
	struct ks_scopes scopes;
	uint8_t kind;             /* enum ks_kind */
	uint8_t binding;          /* enum ks_binding */
	uint8_t environment;      /* enum ks_environment */
	bool has_organizations;   /* partner keys: the partner has one that is active */
	uint32_t first, count;    /* in ks_census.members */
};

/** How far a class gets with a need. */
struct ks_reach {
	enum ks_reason reason;    /* KS_REASON_OK: to some tenant */
	uint16_t missing_scope;   /* with SCOPE_MISSING */
	bool own;                 /* acts in the key's own tenant */
	bool others;              /* acts in the other tenants that the key sees */
};

struct ks_reach ks_reach(const struct ks_class *class, const struct ks_need *need);

/* ---- the census: every living key, by class ---- */

struct ks_census {
	const struct ks_ring *ring;
	size_t class_count;
	struct ks_class *classes;
	size_t member_count;
	uint32_t *members;        /* slots, class by class */
};

/** Which tenants' keys are counted: a byte for each of the first `count` tenants; of later ones none. */
struct ks_seen {
	const uint8_t *tenants;
	uint32_t count;
};

/** Counts the keys that are accepted at `now_ms`: not revoked, not ended, no tenant above them suspended, their user
 * not disabled. `seen` (NULL: all) narrows to keys of some tenants. One pass over the slots, and
 * work for each distinct set of scopes. The ring must stay mapped. KS_MEMORY; KS_TOO_LARGE: more than 2^32 - 2 slots.
 * ks_census_free gives back. */
KS_MUST_USE enum ks_err ks_census_take(const struct ks_ring *ring, int64_t now_ms, const struct ks_seen *seen,
				       struct ks_census *ret_census);
void ks_census_free(struct ks_census *census);

/** The class that a key in `slot` is in, as ks_census_take would put it; count is 1. False: the key is not accepted. */
KS_MUST_USE bool ks_class_of(const struct ks_ring *ring, uint64_t slot, int64_t now_ms, struct ks_class *ret_class);

/* ---- one tenant as the effective one ---- */

/** Whose keys may act in one tenant. */
struct ks_aim {
	uint32_t tenant;          /* KS_RING_NONE: any */
	bool active;
	uint32_t partner;         /* of an organization; KS_RING_NONE */
	uint32_t user_count;
	uint8_t *users;           /* a byte a user: by membership; NULL where `tenant` is none */
};

/** KS_MEMORY. `tenant` is an index, or KS_RING_NONE. */
KS_MUST_USE enum ks_err ks_aim_take(const struct ks_ring *ring, uint32_t tenant, struct ks_aim *ret_aim);
void ks_aim_free(struct ks_aim *aim);

/** True if the member in `slot` of a class with this reach could be allowed with the aim as its effective tenant. */
bool ks_aim_hits(const struct ks_ring *ring, const struct ks_aim *aim, const struct ks_class *class,
		 const struct ks_reach *reach, uint32_t slot);

/* ---- people: what a user could do with a session ---- */

/** True if a session of the user (an index) would be accepted. */
bool ks_person_lives(const struct ks_ring *ring, uint32_t user);

/** How far a living user gets, in the tenant at `tenant`, or in any (KS_RING_NONE). `own` is the user's personal
 * tenant. */
struct ks_reach ks_person_reach(const struct ks_ring *ring, uint32_t user, const struct ks_need *need, uint32_t tenant);

/** True if the membership is in force and covers the tenant at `tenant`. */
bool ks_person_membership_counts(const struct ks_ring *ring, const struct ks_ring_membership *membership,
				 uint32_t tenant);

/* ---- two policies ---- */

enum ks_change_effect {
	KS_EFFECT_GAINS,
	KS_EFFECT_LOSES,
	KS_EFFECT_MORE_TENANTS,
	KS_EFFECT_FEWER_TENANTS,
	KS_EFFECT_COUNT
};
/** "gains", "loses", "more_tenants", "fewer_tenants". */
const char *ks_effect_text(enum ks_change_effect effect);

/** What becomes of one class in one region of requests. */
struct ks_policy_change {
	uint32_t region;          /* in ks_diff.regions */
	uint32_t class;           /* in the census */
	enum ks_change_effect effect;
};

struct ks_diff {
	struct ks_policy_regions regions; /* side 0: the old policy, 1: the new one */
	size_t count;
	struct ks_policy_change *changes; /* by region, then by effect */
};

#define KS_DIFF_CHANGES_MAX (4u << 20)

/** What all keys of the census gain and lose when `new` takes the place of `old`; either may be NULL (nothing is
 * taken). Scopes are those that the keys hold: names decide, whatever the policies say of them. KS_FULL as of
 * ks_policy_compare, or more than KS_DIFF_CHANGES_MAX changes; KS_MEMORY. */
KS_MUST_USE enum ks_err ks_diff_take(const struct ks_census *census, const struct ks_policy *old,
				     const struct ks_policy *new, struct ks_diff *ret_diff);
void ks_diff_free(struct ks_diff *diff);

/* ---- assertions ---- */

/** What the targets of an assertion are under one policy: entries, each once. */
struct ks_goal {
	size_t count;
	struct ks_policy_entry *entries; /* family and method; the route is the first that was found */
	struct ks_need *needs;
};

/** KS_MALFORMED: *ret_problem tells which target names nothing, and where; KS_FULL, KS_MEMORY. */
KS_MUST_USE enum ks_err ks_goal_take(const struct ks_policy *policy, const struct ks_expectation *assertion,
				     const struct ks_scope_table *scopes, struct ks_goal *ret_goal,
				     struct ks_policy_problem *ret_problem);
void ks_goal_free(struct ks_goal *goal);

/** How far a class gets with a goal: `any` and `all` of its needs. */
struct ks_goal_reach {
	struct ks_reach any;
	struct ks_reach all;
};
struct ks_goal_reach ks_goal_reach(const struct ks_class *class, const struct ks_goal *goal);

/** The member in `slot` reaches any of the goal, or all of it, with the aim as its effective tenant. */
bool ks_goal_any(const struct ks_ring *ring, const struct ks_aim *aim, const struct ks_class *class,
		 const struct ks_goal_reach *reach, uint32_t slot);
bool ks_goal_all(const struct ks_ring *ring, const struct ks_aim *aim, const struct ks_class *class,
		 const struct ks_goal_reach *reach, uint32_t slot);
