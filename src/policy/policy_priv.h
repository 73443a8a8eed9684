/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of this module share, and its tests may look at. The way of a policy:
 * src/yaml (text to nodes), policy_read.c (nodes to the catalogue), policy_check.c (what the families claim
 * together), policy_automaton.c (routes to states), policy_compile.c (states to the table). */
#pragma once

#include "policy/policy.h"
#include "yaml/nodes.h"

/* Containers in containers: the deepest thing that a policy has is root, families, family, scopes, list. */
#define POLICY_DEPTH_MAX 8
#define POLICY_NODES_MAX (1u << 19)
#define POLICY_STATES_MAX (1u << 18)
#define POLICY_EDGES_MAX (1u << 20)
/* Steps of the construction, so that no policy can make it run for long. */
#define POLICY_WORK_MAX (1u << 25)
#define POLICY_TABLE_MAX (64u << 20)

/** What a policy file may be. */
extern const struct ks_yaml_limits ks_policy_yaml_limits;

/** The first problem of the log, as callers of this module get it. */
struct ks_policy_problem ks_policy_problem_of(const struct ks_yaml_log *log);

enum policy_segment_type { POLICY_LITERAL, POLICY_PARAMETER, POLICY_REST };

struct policy_segment {
	enum policy_segment_type type;
	struct ks_str text;
};

struct policy_route {
	size_t count;
	struct policy_segment segments[KS_PATH_SEGMENTS_MAX + 1]; /* REST comes last, if at all */
};

/** Takes a route apart, borrowed from `text`. NULL, or what *ret_culprit (the route or a part of it) does wrong: static
 * text that begins with a verb. */
const char *ks_policy_route_read(struct ks_str text, struct policy_route *ret_route, struct ks_str *ret_culprit);

/** Distinct methods of a policy. Number 0 is "*". */
struct policy_methods {
	size_t count; /* with "*" */
	struct ks_str names[KS_POLICY_METHODS_MAX + 1];
};

void ks_policy_methods_init(struct policy_methods *methods);

/** The number of `name` (borrowed), given now if it had none; false if that would be one too many. */
KS_MUST_USE bool ks_policy_methods_number(struct policy_methods *methods, struct ks_str name, uint32_t *ret_number);

/** Where the things of a family stand. */
struct policy_family_marks {
	struct ks_yaml_mark name;
	struct ks_yaml_mark *routes;
};

struct policy_scope_entry {
	struct ks_str name;
	uint16_t position; /* in policy->scopes */
};

/** What is read, and what only the checks need. */
struct policy_reading {
	struct ks_policy *policy;
	struct ks_yaml_arena *arena;   /* of what the policy keeps */
	struct ks_yaml_arena *scratch; /* of the nodes and all else */
	struct ks_yaml_log *log;
	struct ks_str reserved;
	struct policy_methods methods;
	struct policy_scope_entry *scope_order; /* of policy->scopes, by name */
	struct policy_family_marks *families;
};

/** Fills reading->policy from the document. Problems go to the log. */
void ks_policy_read(struct policy_reading *reading, const struct ks_yaml_node *root);

/** Finds routes that are claimed twice, and (where nothing else is wrong) families that never decide. */
void ks_policy_check(struct policy_reading *reading);

/** One state of the deterministic matcher. State 0 is the dead one, state 1 the start. */
struct policy_state {
	uint32_t edges_at;
	uint32_t edge_count;
	uint32_t other;  /* where a non-empty segment without an edge leads */
	uint32_t empty;  /* row of answers where the empty last segment follows */
	uint32_t answer; /* row of answers, 0: none */
	bool settled;    /* no further segment changes the answer */
};

struct policy_edge {
	uint32_t segment; /* position in segments */
	uint32_t target;
};

/** The matcher as vectors; rows of answers have methods.count cells, each a rule's number + 1, or 0 for none. Cell 0 is
 * for every method that has no number. Rules are numbered in the order of the catalogue: every method of the first
 * family, then of the second, and so on. */
struct policy_automaton {
	struct policy_methods methods;
	size_t state_count;
	struct policy_state *states;
	size_t edge_count;
	struct policy_edge *edges;
	size_t segment_count;
	struct ks_str *segments; /* borrowed from the policy */
	size_t answer_count;     /* with the empty row 0 */
	uint32_t *answers;
	size_t rule_count;
};

/** Builds the automaton, heap memory that ks_policy_automaton_free frees. KS_FULL beyond the limits above, KS_MEMORY.
 */
KS_MUST_USE enum ks_err ks_policy_automaton_build(const struct ks_policy *policy,
						  struct policy_automaton *ret_automaton);
void ks_policy_automaton_free(struct policy_automaton *automaton);
