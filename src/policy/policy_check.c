/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "policy/policy_priv.h"

/* One route of one family. Routes that differ in the names of their parameters alone are the same: they have one
 * `shape`. */
struct claim {
	struct ks_str shape;
	uint32_t family;
	uint32_t route;
};

static int by_shape_then_place(const void *a, const void *b)
{
	const struct claim *left = a, *right = b;
	int order = ks_str_order(left->shape, right->shape);

	if (order != 0)
		return order;
	if (left->family != right->family)
		return left->family < right->family ? -1 : 1;
	return left->route < right->route ? -1 : left->route > right->route;
}

/* The route with "{}" for every parameter. The text becomes no longer by that. */
static bool shape_of(struct ks_yaml_arena *arena, const char *text, struct ks_str *ret_shape)
{
	struct policy_route route;
	struct ks_str culprit;
	size_t room = strlen(text);
	char *bytes = ks_yaml_arena_take(arena, room);

	if (!bytes || ks_policy_route_read(ks_str_c(text), &route, &culprit))
		return false;
	struct ks_buf shape = ks_buf_of(bytes, room);
	for (size_t i = 0; i < route.count; i++) {
		ks_buf_put_byte(&shape, '/');
		ks_buf_put(&shape, route.segments[i].type == POLICY_PARAMETER ? KS_STR("{}") : route.segments[i].text);
	}
	*ret_shape = ks_buf_str(&shape);
	return true;
}

/* Checks one run of claims of the same shape, in the file's order. */
static void check_run(struct policy_reading *reading, const struct claim *claims, size_t count)
{
	const struct ks_policy_family *holders[KS_POLICY_METHODS_MAX + 1] = {0};
	char quoted[2][KS_YAML_QUOTE_SIZE];

	for (size_t i = 0; i < count; i++) {
		const struct ks_policy_family *family = &reading->policy->families[claims[i].family];
		struct ks_yaml_mark at = reading->families[claims[i].family].routes[claims[i].route];
		const char *route = ks_yaml_quote(ks_str_c(family->routes[claims[i].route]), quoted[0]);

		if (i > 0 && claims[i - 1].family == claims[i].family) {
			ks_yaml_report(reading->log, at,
					 "%s stands twice in this family (names of parameters do not count)", route);
			continue;
		}
		for (size_t m = 0; m < family->method_count; m++) {
			const char *method = family->methods[m].name;
			uint32_t number;

			if (!ks_policy_methods_number(&reading->methods, ks_str_c(method), &number))
				continue;
			if (holders[number])
				ks_yaml_report(reading->log, at, "%s %s is claimed by the family %s (line %u) too",
						 method, route,
						 ks_yaml_quote(ks_str_c(holders[number]->name), quoted[1]),
						 holders[number]->line);
			else
				holders[number] = family;
		}
	}
}

static void check_claims(struct policy_reading *reading)
{
	const struct ks_policy *policy = reading->policy;
	size_t room = 0, count = 0;

	for (size_t f = 0; f < policy->family_count; f++)
		room += policy->families[f].route_count;
	struct claim *claims = ks_yaml_arena_take(reading->scratch, room * sizeof(*claims));
	if (!claims) {
		reading->log->memory = true;
		return;
	}
	for (size_t f = 0; f < policy->family_count; f++) {
		for (size_t r = 0; r < policy->families[f].route_count; r++) {
			struct claim *claim = &claims[count++];

			*claim = (struct claim){.family = (uint32_t)f, .route = (uint32_t)r};
			if (!shape_of(reading->scratch, policy->families[f].routes[r], &claim->shape)) {
				reading->log->memory = true;
				return;
			}
		}
	}
	qsort(claims, count, sizeof(*claims), by_shape_then_place);
	for (size_t at = 0, end; at < count; at = end) {
		for (end = at + 1; end < count && ks_str_eq(claims[at].shape, claims[end].shape);)
			end++;
		check_run(reading, &claims[at], end - at);
	}
}

/* Reports families none of whose rules is the answer anywhere: more specific routes of others take every request. */
static void check_reach(struct policy_reading *reading, const struct policy_automaton *automaton)
{
	const struct ks_policy *policy = reading->policy;
	bool *reached = ks_yaml_arena_take(reading->scratch, automaton->rule_count + 1);
	size_t rule = 0;

	if (!reached) {
		reading->log->memory = true;
		return;
	}
	for (size_t i = 0; i < automaton->answer_count * automaton->methods.count; i++)
		reached[automaton->answers[i]] = true;
	for (size_t f = 0; f < policy->family_count; f++) {
		bool any = false;

		for (size_t m = 0; m < policy->families[f].method_count; m++)
			any |= reached[++rule];
		if (!any)
			ks_yaml_report(reading->log, reading->families[f].name,
					 "nothing can ever reach this family: more specific routes of others take all "
					 "that it claims");
	}
}

void ks_policy_check(struct policy_reading *reading)
{
	struct policy_automaton automaton;

	check_claims(reading);
	if (reading->log->any || reading->log->memory || reading->policy->family_count == 0)
		return;
	switch (ks_policy_automaton_build(reading->policy, &automaton)) {
	case KS_OK:
		check_reach(reading, &automaton);
		ks_policy_automaton_free(&automaton);
		break;
	case KS_FULL:
		ks_yaml_report(reading->log, reading->families[0].name,
				 "the routes combine into too many cases to compile: use fewer {name} segments beside "
				 "literal ones");
		break;
	default:
		reading->log->memory = true;
	}
}
