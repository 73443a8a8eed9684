/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "analysis/analysis.h"

/* A goal being put together. */
struct making {
	const struct ks_policy *policy;
	const struct ks_scope_table *scopes;
	struct ks_goal goal;
	size_t cap;
	struct ks_policy_problem *problem;
};

static enum ks_err add(struct making *m, struct ks_policy_entry entry)
{
	struct ks_goal *goal = &m->goal;

	for (size_t i = 0; i < goal->count; i++)
		if (goal->entries[i].family == entry.family && goal->entries[i].method == entry.method)
			return KS_OK;
	if (goal->count == m->cap) {
		size_t cap = m->cap ? 2 * m->cap : 16;
		struct ks_policy_entry *entries = realloc(goal->entries, cap * sizeof(*entries));

		if (entries)
			goal->entries = entries;
		struct ks_need *needs = realloc(goal->needs, cap * sizeof(*needs));
		if (needs)
			goal->needs = needs;
		if (!entries || !needs)
			return KS_MEMORY;
		m->cap = cap;
	}
	goal->entries[goal->count] = entry;
	goal->needs[goal->count++] = ks_need_of_entry(m->policy, entry, m->scopes);
	return KS_OK;
}

static enum ks_err nothing(struct making *m, const struct ks_expectation_target *target, const char *what,
			   struct ks_str name)
{
	m->problem->line = target->mark.line;
	m->problem->column = target->mark.column;
	(void)snprintf(m->problem->text, sizeof(m->problem->text), "%s %.*s", what, (int)KS_MIN(name.n, (size_t)80), name.p);
	return KS_MALFORMED;
}

/* The entry of a family for a method: its own, else that of "*"; SIZE_MAX: none. */
static size_t entry_for(const struct ks_policy_family *family, struct ks_str method)
{
	size_t found = SIZE_MAX;

	for (size_t i = 0; i < family->method_count; i++) {
		if (ks_str_eq(ks_str_c(family->methods[i].name), method))
			return i;
		if (ks_str_eq(ks_str_c(family->methods[i].name), KS_STR("*")))
			found = i;
	}
	return found;
}

/* The entries of a family for the target's methods. `must`: each method is to have one. */
static enum ks_err add_family(struct making *m, size_t number, const struct ks_expectation_target *target, bool must)
{
	const struct ks_policy_family *family = &m->policy->families[number];

	for (size_t i = 0; target->method_count == 0 && i < family->method_count; i++)
		KS_TRY(add(m, (struct ks_policy_entry){(uint16_t)number, 0, (uint16_t)i}));
	for (size_t i = 0; i < target->method_count; i++) {
		size_t entry = entry_for(family, target->methods[i]);

		if (entry != SIZE_MAX)
			KS_TRY(add(m, (struct ks_policy_entry){(uint16_t)number, 0, (uint16_t)entry}));
		else if (must)
			return nothing(m, target, "this family does not take the method", target->methods[i]);
	}
	return KS_OK;
}

/* Position of a method among those of the regions: 0, "every other", where none names it. */
static size_t method_number(const struct ks_policy_regions *regions, struct ks_str method)
{
	for (size_t i = 1; i < regions->method_count; i++)
		if (ks_str_eq(regions->methods[i], method))
			return i;
	return 0;
}

static enum ks_err add_regions(struct making *m, const struct ks_policy_regions *regions,
			       const struct ks_expectation_target *target, bool *ret_any)
{
	for (size_t i = 0; i < regions->count; i++) {
		const struct ks_policy_region *region = &regions->items[i];
		bool asked = target->method_count == 0;

		if (region->sides[0].family == KS_POLICY_NOWHERE || region->sides[1].family == KS_POLICY_NOWHERE)
			continue;
		for (size_t k = 0; k < target->method_count; k++) {
			size_t method = method_number(regions, target->methods[k]);

			asked |= region->methods[method / 64] >> (method % 64) & 1;
		}
		if (asked)
			KS_TRY(add(m, region->sides[0]));
		*ret_any |= asked;
	}
	return KS_OK;
}

/* Whatever family decides any request that the route matches. */
static enum ks_err add_route(struct making *m, const struct ks_expectation_target *target)
{
	struct ks_policy_method every = {.name = "*"};
	char text[KS_PATH_MAX + 1];
	struct ks_buf b = KS_BUF(text);
	char *routes[1] = {text};
	struct ks_policy_family family = {.name = "target", .route_count = 1, .routes = routes, .method_count = 1,
					  .methods = &every};
	struct ks_policy wanted = {.family_count = 1, .families = &family};
	struct ks_policy_regions regions;
	bool any = false;

	ks_buf_put(&b, target->route);
	(void)ks_buf_z(&b);
	KS_TRY(ks_policy_compare(m->policy, &wanted, &regions));
	enum ks_err err = add_regions(m, &regions, target, &any);
	ks_policy_regions_free(&regions);
	if (err == KS_OK && !any)
		return nothing(m, target, "no family takes this:", target->route);
	return err;
}

static enum ks_err add_target(struct making *m, const struct ks_expectation_target *target)
{
	if (target->route.n > 0)
		return add_route(m, target);
	for (size_t f = 0; f < m->policy->family_count; f++) {
		if (target->family.n == 0)
			KS_TRY(add_family(m, f, target, false));
		else if (ks_str_eq(ks_str_c(m->policy->families[f].name), target->family))
			return add_family(m, f, target, true);
	}
	return target->family.n == 0 ? KS_OK : nothing(m, target, "the policy has no family", target->family);
}

enum ks_err ks_goal_take(const struct ks_policy *policy, const struct ks_expectation *assertion,
			 const struct ks_scope_table *scopes, struct ks_goal *ret_goal,
			 struct ks_policy_problem *ret_problem)
{
	static const struct ks_policy none;
	struct making m = {.policy = policy ? policy : &none, .scopes = scopes, .problem = ret_problem};

	for (size_t i = 0; i < assertion->target_count; i++) {
		enum ks_err err = add_target(&m, &assertion->targets[i]);

		if (err != KS_OK) {
			ks_goal_free(&m.goal);
			return err;
		}
	}
	*ret_goal = m.goal;
	return KS_OK;
}

void ks_goal_free(struct ks_goal *goal)
{
	free(goal->entries);
	free(goal->needs);
	*goal = (struct ks_goal){0};
}

/* In all.reason stands whether each need is reached in some tenant; in all.own and all.others whether each is in the
 * own one, and in others. */
struct ks_goal_reach ks_goal_reach(const struct ks_class *class, const struct ks_goal *goal)
{
	struct ks_goal_reach r = {.any.reason = KS_REASON_ROUTE_UNKNOWN, .all = {.own = true, .others = true}};

	for (size_t i = 0; i < goal->count; i++) {
		struct ks_reach reach = ks_reach(class, &goal->needs[i]);

		if (reach.reason == KS_REASON_OK)
			r.any.reason = KS_REASON_OK;
		else if (r.all.reason == KS_REASON_OK)
			r.all.reason = reach.reason;
		r.any.own |= reach.own;
		r.any.others |= reach.others;
		r.all.own &= reach.own;
		r.all.others &= reach.others;
	}
	return r;
}

bool ks_goal_any(const struct ks_ring *ring, const struct ks_aim *aim, const struct ks_class *class,
		 const struct ks_goal_reach *reach, uint32_t slot)
{
	return ks_aim_hits(ring, aim, class, &reach->any, slot);
}

bool ks_goal_all(const struct ks_ring *ring, const struct ks_aim *aim, const struct ks_class *class,
		 const struct ks_goal_reach *reach, uint32_t slot)
{
	if (aim->tenant == KS_RING_NONE)
		return reach->all.reason == KS_REASON_OK;
	return ks_aim_hits(ring, aim, class, &reach->all, slot);
}
