/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/policy/diff: what all keys gain and lose when one policy takes another's place. */
#include "api/analysis.h"

#include <stdlib.h>

#define EXAMPLES_MAX 1000u
#define EXAMPLES_DEFAULT 5u
#define LISTED_MAX 2000000u /* ids in one answer, all of its changes together */

struct diff_call {
	struct ks_policy *old, *new; /* parsed; old NULL: the one in force */
	uint64_t examples;
	bool all;                    /* every id */
};

static void drop(struct ks_call *call)
{
	struct diff_call *d = call->extra;

	ks_policy_free(&d->old);
	ks_policy_free(&d->new);
	free(d);
}

/* ---- scopes and roles ---- */

static uint64_t holders(const struct ks_survey *s, const char *scope)
{
	uint64_t count = 0;
	uint16_t number;

	if (!ks_scope_find(s->ring->scopes, ks_str_c(scope), &number))
		return 0;
	for (size_t c = 0; c < s->census.class_count; c++)
		if (ks_scopes_has(&s->census.classes[c].scopes, number))
			count += s->census.classes[c].count;
	return count;
}

static void put_scope_change(struct ks_survey *s, const char *scope, const char *change)
{
	struct ks_json *out = &s->call->out;

	ks_json_open(out, '{');
	ks_json_put_c(out, "scope", scope);
	ks_json_put_c(out, "change", change);
	ks_json_put_u64(out, "keys", holders(s, scope));
	ks_json_close(out, '}');
}

static void put_scopes(struct ks_survey *s, const struct ks_policy *old, const struct ks_policy *new)
{
	ks_json_name(&s->call->out, "scopes");
	ks_json_open(&s->call->out, '[');
	for (size_t i = 0; old && i < old->scope_count; i++) {
		const struct ks_policy_scope *was = &old->scopes[i];
		const struct ks_policy_scope *is = ks_policy_scope(new, ks_str_c(was->name));

		if (!is)
			put_scope_change(s, was->name, "removed");
		if (is && is->opt_in != was->opt_in)
			put_scope_change(s, was->name, is->opt_in ? "now_opt_in" : "no_longer_opt_in");
		if (is && is->is_default != was->is_default)
			put_scope_change(s, was->name, is->is_default ? "now_default" : "no_longer_default");
		if (is && is->kinds != was->kinds)
			put_scope_change(s, was->name, "kinds");
	}
	for (size_t i = 0; i < new->scope_count; i++)
		if (!old || !ks_policy_scope(old, ks_str_c(new->scopes[i].name)))
			put_scope_change(s, new->scopes[i].name, "added");
	ks_json_close(&s->call->out, ']');
}

static bool role_has(const struct ks_policy *policy, const struct ks_policy_role *role, const char *scope)
{
	for (size_t i = 0; role && i < role->scope_count; i++)
		if (ks_str_eq(ks_str_c(policy->scopes[role->scopes[i]].name), ks_str_c(scope)))
			return true;
	return false;
}

/* The scopes of `a` that `b` lacks. */
static size_t put_missing(struct ks_json *out, const char *name, const struct ks_policy *of_a,
			  const struct ks_policy_role *a, const struct ks_policy *of_b, const struct ks_policy_role *b)
{
	size_t count = 0;

	if (out) {
		ks_json_name(out, name);
		ks_json_open(out, '[');
	}
	for (size_t i = 0; a && i < a->scope_count; i++) {
		const char *scope = of_a->scopes[a->scopes[i]].name;

		if (role_has(of_b, b, scope))
			continue;
		count++;
		if (out)
			ks_json_c(out, scope);
	}
	if (out)
		ks_json_close(out, ']');
	return count;
}

static void put_role(struct ks_json *out, const struct ks_policy *old, const struct ks_policy_role *was,
		     const struct ks_policy *new, const struct ks_policy_role *is)
{
	if (was && is && put_missing(NULL, NULL, new, is, old, was) + put_missing(NULL, NULL, old, was, new, is) == 0)
		return;
	ks_json_open(out, '{');
	ks_json_put_c(out, "role", was ? was->name : is->name);
	ks_json_put_c(out, "change", !was ? "added" : !is ? "removed" : "changed");
	(void)put_missing(out, "gains", new, is, old, was);
	(void)put_missing(out, "loses", old, was, new, is);
	ks_json_close(out, '}');
}

static void put_roles(struct ks_survey *s, const struct ks_policy *old, const struct ks_policy *new)
{
	struct ks_json *out = &s->call->out;

	ks_json_name(out, "roles");
	ks_json_open(out, '[');
	for (size_t i = 0; old && i < old->role_count; i++)
		put_role(out, old, &old->roles[i], new, ks_policy_role(new, ks_str_c(old->roles[i].name)));
	for (size_t i = 0; i < new->role_count; i++)
		if (!old || !ks_policy_role(old, ks_str_c(new->roles[i].name)))
			put_role(out, old, NULL, new, &new->roles[i]);
	ks_json_close(out, ']');
}

/* ---- changes ---- */

/* Changes of one region and effect, which stand together; and other regions whose methods have joined it. */
struct group {
	size_t first, count;         /* in diff->changes */
	struct ks_policy_entry sides[2];
	enum ks_change_effect effect;
	uint64_t methods[2];
};

struct groups {
	const struct ks_survey *s;
	const struct ks_diff *diff;
	struct group *items;
	size_t count;
};

static bool same_place(const struct ks_policy_entry *a, const struct ks_policy_entry *b)
{
	return a->family == b->family && a->route == b->route;
}

static bool same_classes(const struct ks_diff *diff, const struct group *a, const struct group *b)
{
	if (a->count != b->count)
		return false;
	for (size_t i = 0; i < a->count; i++)
		if (diff->changes[a->first + i].class != diff->changes[b->first + i].class)
			return false;
	return true;
}

/* How far back a region looks for one that it can join: those of a route stand close to each other. */
#define JOIN_BACK 128

static void add_group(struct groups *g, struct group group)
{
	for (size_t back = 1; back <= JOIN_BACK && back <= g->count; back++) {
		struct group *other = &g->items[g->count - back];

		if (other->effect != group.effect || !same_place(&other->sides[0], &group.sides[0])
		    || !same_place(&other->sides[1], &group.sides[1]) || !same_classes(g->diff, other, &group))
			continue;
		other->methods[0] |= group.methods[0];
		other->methods[1] |= group.methods[1];
		return;
	}
	g->items[g->count++] = group;
}

static bool make_groups(struct groups *g)
{
	const struct ks_diff *diff = g->diff;

	g->items = calloc(diff->count + 1, sizeof(*g->items));
	for (size_t i = 0; g->items && i < diff->count;) {
		const struct ks_policy_change *change = &diff->changes[i];
		const struct ks_policy_region *region = &diff->regions.items[change->region];
		struct group group = {.first = i, .sides = {region->sides[0], region->sides[1]},
				      .effect = change->effect, .methods = {region->methods[0], region->methods[1]}};

		for (; i < diff->count && diff->changes[i].region == change->region
		       && diff->changes[i].effect == change->effect; i++)
			group.count++;
		add_group(g, group);
	}
	return g->items != NULL;
}

static void put_side(struct ks_json *out, const char *name, const struct ks_policy *policy,
		     const struct ks_policy_entry *entry)
{
	ks_json_name(out, name);
	if (entry->family == KS_POLICY_NOWHERE) {
		ks_json_null(out);
		return;
	}
	ks_json_open(out, '{');
	ks_json_put_c(out, "family", policy->families[entry->family].name);
	ks_json_put_c(out, "route", policy->families[entry->family].routes[entry->route]);
	ks_json_close(out, '}');
}

static void put_counts(const struct groups *g, const struct group *group, struct ks_json *out)
{
	uint64_t keys = 0, kinds[KS_KIND_COUNT] = {0};

	for (size_t i = 0; i < group->count; i++) {
		const struct ks_class *class = &g->s->census.classes[g->diff->changes[group->first + i].class];

		keys += class->count;
		kinds[class->kind] += class->count;
	}
	ks_json_put_u64(out, "keys", keys);
	ks_json_name(out, "kinds");
	ks_json_open(out, '{');
	for (enum ks_kind k = 0; k < KS_KIND_COUNT; k++)
		if (kinds[k])
			ks_json_put_u64(out, ks_kind_text(k), kinds[k]);
	ks_json_close(out, '}');
}

static void put_examples(const struct groups *g, const struct group *group, struct ks_json *out, uint64_t most)
{
	const struct ks_census *census = &g->s->census;
	uint64_t put = 0;

	ks_json_name(out, "examples");
	ks_json_open(out, '[');
	for (size_t i = 0; i < group->count && put < most; i++) {
		const struct ks_class *class = &census->classes[g->diff->changes[group->first + i].class];

		for (uint32_t m = 0; m < class->count && put < most; m++, put++)
			ks_json_id(out, KS_ID_KEY, census->ring->keys[census->members[class->first + m]].id);
	}
	ks_json_close(out, ']');
}

static void put_group(const struct groups *g, const struct group *group, const struct ks_policy *const policies[2],
		      uint64_t examples)
{
	const struct ks_policy_regions *regions = &g->diff->regions;
	struct ks_json *out = &g->s->call->out;

	ks_json_open(out, '{');
	ks_json_put_c(out, "effect", ks_effect_text(group->effect));
	ks_json_name(out, "methods");
	ks_json_open(out, '[');
	for (size_t i = 0; i < regions->method_count; i++)
		if (group->methods[i / 64] >> (i % 64) & 1)
			ks_json_str(out, regions->methods[i]);
	ks_json_close(out, ']');
	put_side(out, "old", policies[0], &group->sides[0]);
	put_side(out, "new", policies[1], &group->sides[1]);
	ks_json_put_c(out, "path", regions->items[g->diff->changes[group->first].region].example);
	put_counts(g, group, out);
	put_examples(g, group, out, examples);
	ks_json_close(out, '}');
}

/* Keys that any change touches, and the ids that all changes would list. */
static bool count_affected(const struct groups *g, uint64_t *ret_keys, uint64_t *ret_listed)
{
	const struct ks_census *census = &g->s->census;
	uint8_t *touched = calloc(census->class_count + 1, 1);

	if (!touched)
		return false;
	*ret_keys = 0;
	*ret_listed = 0;
	for (size_t i = 0; i < g->count; i++) {
		for (size_t k = 0; k < g->items[i].count; k++) {
			uint32_t class = g->diff->changes[g->items[i].first + k].class;

			*ret_listed += census->classes[class].count;
			if (!touched[class])
				*ret_keys += census->classes[class].count;
			touched[class] = 1;
		}
	}
	free(touched);
	return true;
}

/* What breaks comes first. */
static const enum ks_change_effect effect_order[] = {KS_EFFECT_LOSES, KS_EFFECT_FEWER_TENANTS, KS_EFFECT_GAINS,
						     KS_EFFECT_MORE_TENANTS};

static enum ks_finish answer(struct ks_survey *s, const struct groups *g, const struct ks_policy *const policies[2],
			     const struct diff_call *d)
{
	struct ks_json *out = &s->call->out;
	uint64_t affected, listed;

	if (!count_affected(g, &affected, &listed))
		return ks_survey_fail(s->call, KS_MEMORY);
	if (d->all && listed > LISTED_MAX)
		return ks_call_problem(s->call, KS_PROBLEM_TOO_LARGE,
				       "The changes name more than 2,000,000 keys: ask for examples.");
	ks_json_open(out, '{');
	ks_json_put_u64(out, "keys", s->census.member_count);
	ks_json_put_u64(out, "keys_affected", affected);
	put_scopes(s, policies[0], policies[1]);
	put_roles(s, policies[0], policies[1]);
	ks_json_name(out, "changes");
	ks_json_open(out, '[');
	for (size_t e = 0; e < KS_ARRAY_LEN(effect_order); e++)
		for (size_t i = 0; i < g->count; i++)
			if (g->items[i].effect == effect_order[e])
				put_group(g, &g->items[i], policies, d->all ? UINT64_MAX : d->examples);
	ks_json_close(out, ']');
	ks_json_close(out, '}');
	return ks_call_answer(s->call, 200);
}

static enum ks_finish compare(struct ks_survey *s, const struct diff_call *d)
{
	const struct ks_policy *const policies[2] = {d->old ? d->old : s->policy.platform, d->new};
	struct ks_diff diff;
	struct groups g = {.s = s, .diff = &diff};
	enum ks_err err = ks_diff_take(&s->census, policies[0], policies[1], &diff);
	enum ks_finish finish;

	if (err != KS_OK)
		return ks_survey_fail(s->call, err);
	finish = make_groups(&g) ? answer(s, &g, policies, d) : ks_survey_fail(s->call, KS_MEMORY);
	free(g.items);
	ks_diff_free(&diff);
	return finish;
}

bool ks_survey_policy(struct ks_call *call, const char *name, struct ks_policy **ret_policy)
{
	const json_t *text = json_object_get(call->body, name);
	struct ks_policy_problem problem;
	enum ks_err err;

	if (!json_is_string(text))
		return true;
	err = ks_policy_parse(ks_str_of(json_string_value(text), json_string_length(text)), KS_STR("keystile:"), ret_policy,
			      &problem);
	if (err == KS_OK)
		return true;
	if (err == KS_MALFORMED) {
		ks_in_problem(&call->in, "", name, "%u:%u: %s", problem.line, problem.column, problem.text);
		(void)ks_call_problem(call, KS_PROBLEM_INVALID, NULL);
	} else {
		(void)ks_survey_fail(call, err);
	}
	return false;
}

static enum ks_finish diff(struct ks_call *call)
{
	struct diff_call *d = call->extra;
	struct ks_survey s;
	enum ks_finish finish;

	if (!ks_survey_policy(call, "old", &d->old) || !ks_survey_policy(call, "new", &d->new)
	    || !ks_survey_take(call, 0, &s))
		return KS_FINISH_DONE;
	finish = compare(&s, d);
	ks_survey_done(&s);
	return finish;
}

enum ks_finish ks_api_policy_diff(struct ks_call *call)
{
	static const char *const known[] = {"old", "new", "examples", "all", NULL};
	struct diff_call *d = calloc(1, sizeof(*d));
	enum ks_finish finish;

	if (!d)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = d;
	call->drop = drop;
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	(void)ks_in_str(&call->in, call->body, "", "old", KS_POLICY_TEXT_MAX, false);
	(void)ks_in_str(&call->in, call->body, "", "new", KS_POLICY_TEXT_MAX, true);
	d->examples = EXAMPLES_DEFAULT;
	(void)ks_in_u64(&call->in, call->body, "", "examples", 0, EXAMPLES_MAX, false, &d->examples);
	(void)ks_in_bool(&call->in, call->body, "", "all", &d->all);
	if (ks_call_invalid(call, &finish))
		return finish;
	return ks_call_analyse(call, diff);
}
