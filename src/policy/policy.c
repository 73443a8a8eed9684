/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "policy/policy_priv.h"

/* What ks_policy_parse hands out is the first member of this. */
struct whole {
	struct ks_policy policy;
	struct ks_yaml_arena arena;
};

const struct ks_yaml_limits ks_policy_yaml_limits = {
	.thing = "policy",
	.text_max = KS_POLICY_TEXT_MAX,
	.text_unit = 1u << 20,
	.text_unit_name = "MiB",
	.nodes_max = POLICY_NODES_MAX,
	.depth_max = POLICY_DEPTH_MAX,
};

struct ks_policy_problem ks_policy_problem_of(const struct ks_yaml_log *log)
{
	struct ks_policy_problem problem = {.line = log->first.line, .column = log->first.column};

	_Static_assert(sizeof(problem.text) == sizeof(log->first.text), "both are of one size");
	memcpy(problem.text, log->first.text, sizeof(problem.text));
	return problem;
}

static void read_and_check(struct ks_str yaml, struct ks_str reserved, struct whole *whole,
			   struct ks_yaml_arena *scratch, struct ks_yaml_log *log)
{
	struct policy_reading reading = {
		.policy = &whole->policy, .arena = &whole->arena, .scratch = scratch, .log = log, .reserved = reserved};
	const struct ks_yaml_node *root = ks_yaml_read(yaml, &ks_policy_yaml_limits, scratch, log);

	if (!root || log->memory)
		return;
	ks_policy_read(&reading, root);
	if (!log->memory)
		ks_policy_check(&reading);
}

enum ks_err ks_policy_parse(struct ks_str yaml, struct ks_str reserved, struct ks_policy **ret_policy,
			    struct ks_policy_problem *ret_problem)
{
	struct whole *whole = calloc(1, sizeof(*whole));
	struct ks_yaml_arena scratch = {0};
	struct ks_yaml_log log = {0};

	if (!whole)
		return KS_MEMORY;
	read_and_check(yaml, reserved, whole, &scratch, &log);
	ks_yaml_arena_free(&scratch);
	if (!log.memory && !log.any) {
		*ret_policy = &whole->policy;
		return KS_OK;
	}
	struct ks_policy *policy = &whole->policy;
	ks_policy_free(&policy);
	if (log.memory)
		return KS_MEMORY;
	*ret_problem = ks_policy_problem_of(&log);
	return KS_MALFORMED;
}

void ks_policy_free(struct ks_policy **policy)
{
	if (!*policy)
		return;
	struct whole *whole = (struct whole *)*policy;
	ks_yaml_arena_free(&whole->arena);
	free(whole);
	*policy = NULL;
}

const struct ks_policy_scope *ks_policy_scope(const struct ks_policy *policy, struct ks_str name)
{
	for (size_t i = 0; i < policy->scope_count; i++)
		if (ks_str_eq(name, ks_str_c(policy->scopes[i].name)))
			return &policy->scopes[i];
	return NULL;
}

const struct ks_policy_role *ks_policy_role(const struct ks_policy *policy, struct ks_str name)
{
	for (size_t i = 0; i < policy->role_count; i++)
		if (ks_str_eq(name, ks_str_c(policy->roles[i].name)))
			return &policy->roles[i];
	return NULL;
}

const struct ks_policy_family *ks_policy_family(const struct ks_policy *policy, struct ks_str name)
{
	for (size_t i = 0; i < policy->family_count; i++)
		if (ks_str_eq(name, ks_str_c(policy->families[i].name)))
			return &policy->families[i];
	return NULL;
}

/* ---- what a role gives ---- */

static bool is_read_scope(struct ks_str name)
{
	struct ks_str end = KS_STR(":read");

	return name.n > end.n && ks_str_eq(ks_str_sub(name, name.n - end.n, end.n), end);
}

/* True if a built-in role that is described nowhere gives the scope. */
static bool built_in_gives(enum ks_role role, const struct ks_policy_scope *scope)
{
	if (scope->opt_in)
		return false;
	switch (role) {
	case KS_ROLE_ADMINISTRATOR:
		return true;
	case KS_ROLE_MEMBER:
		return scope->is_default;
	case KS_ROLE_ACCOUNT_READER:
		return is_read_scope(ks_str_c(scope->name));
	case KS_ROLE_NONE:
	case KS_ROLE_BUILT_IN_END:
		break;
	}
	return false;
}

bool ks_policy_role_scopes(const struct ks_policy *policy, struct ks_str name, enum ks_kind kind,
			   struct ks_scopes *ret_places)
{
	const struct ks_policy_role *role = ks_policy_role(policy, name);
	struct ks_scopes places = {{0}};
	enum ks_role built_in;

	if (role) {
		for (size_t i = 0; i < role->scope_count; i++)
			ks_scopes_set(&places, role->scopes[i]);
	} else if (ks_role_parse(name, &built_in)) {
		for (uint16_t i = 0; i < policy->scope_count; i++) {
			if (built_in_gives(built_in, &policy->scopes[i]))
				ks_scopes_set(&places, i);
		}
	} else {
		return false;
	}
	for (uint16_t i = 0; i < policy->scope_count; i++) {
		if (!(policy->scopes[i].kinds & KS_KIND_BIT(kind)))
			ks_scopes_clear(&places, i);
	}
	*ret_places = places;
	return true;
}
