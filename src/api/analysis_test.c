/* SPDX-License-Identifier: Apache-2.0 */
/* POST /v1/policy/test: holds assertions against the keys that there are. */
#include "api/analysis.h"

#include <stdlib.h>

#define EXAMPLES 20u

struct test_call {
	struct ks_policy *policy;         /* NULL: the one in force */
	struct ks_expectations *assertions;
};

/* One assertion being held. */
struct trial {
	const struct ks_survey *s;
	const struct ks_policy *policy;
	const struct ks_expectation *assertion;
	struct ks_goal goal;
	struct ks_aim aim;
	uint32_t tenants[KS_EXPECTATION_CONDITIONS_MAX];   /* by condition: index */
	uint8_t *grants[KS_EXPECTATION_CONDITIONS_MAX];    /* by condition: a byte a grant that has the role */
	uint32_t grant_count;
	uint64_t selected, failing;
	struct ks_newest examples;
	enum ks_err err;                  /* of reading the store on the way */
};

static void drop(struct ks_call *call)
{
	struct test_call *t = call->extra;

	ks_policy_free(&t->policy);
	ks_expectations_free(&t->assertions);
	free(t);
}

/* ---- what the conditions name ---- */

static enum ks_err unknown(struct ks_policy_problem *problem, struct ks_expectation_mark mark, const char *what)
{
	struct ks_buf b = KS_BUF(problem->text);

	problem->line = mark.line;
	problem->column = mark.column;
	ks_buf_put_c(&b, what);
	(void)ks_buf_z(&b);
	return KS_MALFORMED;
}

/* The tenant with this id that the caller sees. */
static uint32_t find_tenant(const struct trial *t, uint64_t id, enum ks_id_type type)
{
	uint32_t index = ks_ring_tenant(t->s->ring, id);

	if (index == KS_RING_NONE || t->s->ring->tenants[index].kind != (uint8_t)type
	    || !ks_actor_sees(&t->s->call->actor, t->s->ring, id))
		return KS_RING_NONE;
	return index;
}

struct role_search {
	const struct ks_ring *ring;
	struct ks_str role;
	uint8_t *grants;
	uint32_t count;
	bool any;
};

static enum ks_err look_for_role(void *ctx, const struct ks_grant_row *row)
{
	struct role_search *search = ctx;
	json_t *body = json_loadb(row->body.p, row->body.n, JSON_REJECT_DUPLICATES, NULL);
	uint32_t index = ks_ring_grant(search->ring, row->id);
	const json_t *role;
	size_t i;

	json_array_foreach(json_object_get(body, "roles"), i, role) {
		struct ks_str name = ks_str_of(json_string_value(role), json_string_length(role));

		if (!ks_str_eq(name, search->role))
			continue;
		search->any = true;
		if (index < search->count)
			search->grants[index] = 1;
	}
	json_decref(body);
	return KS_OK;
}

static bool is_role(const struct trial *t, struct ks_str name)
{
	const struct ks_policy *self = t->s->policy.self;

	return (t->policy && ks_policy_role(t->policy, name)) || (self && ks_policy_role(self, name));
}

static enum ks_err find_role(struct trial *t, size_t at, struct ks_policy_problem *problem)
{
	const struct ks_condition *condition = &t->assertion->conditions[at];
	struct role_search search = {.ring = t->s->ring, .role = condition->text, .count = t->grant_count};

	t->grants[at] = calloc((size_t)t->grant_count + 1, 1);
	if (!t->grants[at])
		return KS_MEMORY;
	search.grants = t->grants[at];
	KS_TRY(ks_store_grants_all(t->s->call->reader->store, look_for_role, &search));
	return search.any || is_role(t, condition->text) ? KS_OK
							 : unknown(problem, condition->mark, "there is no role of this name");
}

static enum ks_err prepare_condition(struct trial *t, size_t at, struct ks_policy_problem *problem)
{
	const struct ks_condition *condition = &t->assertion->conditions[at];
	uint16_t number;

	switch (condition->type) {
	case KS_CONDITION_OF:
	case KS_CONDITION_BELOW:
		t->tenants[at] = find_tenant(t, condition->id, condition->id_type);
		if (t->tenants[at] == KS_RING_NONE)
			return unknown(problem, condition->mark, "there is no tenant with this id");
		return KS_OK;
	case KS_CONDITION_SCOPE:
		if (!ks_scope_find(t->s->ring->scopes, condition->text, &number)
		    && !(t->policy && ks_policy_scope(t->policy, condition->text)))
			return unknown(problem, condition->mark, "there is no scope of this name");
		return KS_OK;
	case KS_CONDITION_ROLE:
		return find_role(t, at, problem);
	default:
		return KS_OK;
	}
}

/* ---- who is selected ---- */

/* By what all keys of the class have in common; conditions on more than that are left open. */
static bool class_selected(const struct trial *t, const struct ks_class *class)
{
	for (size_t i = 0; i < t->assertion->condition_count; i++) {
		const struct ks_condition *c = &t->assertion->conditions[i];
		uint16_t number;
		bool is = true;

		if (c->type == KS_CONDITION_KIND)
			is = class->kind == c->value;
		else if (c->type == KS_CONDITION_BINDING)
			is = class->binding == c->value;
		else if (c->type == KS_CONDITION_ENVIRONMENT)
			is = class->environment == c->value;
		else if (c->type == KS_CONDITION_SCOPE)
			is = (ks_scope_find(t->s->ring->scopes, c->text, &number) && ks_scopes_has(&class->scopes, number))
			     != c->without;
		if (!is)
			return false;
	}
	return true;
}

struct label_search {
	const struct ks_condition *condition;
	bool has;
};

static enum ks_err look_for_label(void *ctx, const struct ks_key_row *row)
{
	struct label_search *search = ctx;
	json_t *labels = row->labels.n ? json_loadb(row->labels.p, row->labels.n, JSON_REJECT_DUPLICATES, NULL) : NULL;
	const char *name;
	json_t *value;

	json_object_foreach(labels, name, value) {
		if (ks_str_eq(ks_str_c(name), search->condition->text)
		    && ks_str_eq(ks_str_of(json_string_value(value), json_string_length(value)),
				 search->condition->label_value))
			search->has = true;
	}
	json_decref(labels);
	return KS_OK;
}

static bool has_label(struct trial *t, const struct ks_condition *condition, uint64_t key)
{
	struct label_search search = {.condition = condition};
	enum ks_err err = ks_store_key_get(t->s->call->reader->store, key, look_for_label, &search);

	if (err != KS_OK && err != KS_NOT_FOUND)
		t->err = err;
	return search.has;
}

/* The rest of the conditions. Labels come last: they are read from the store. */
static bool member_selected(struct trial *t, uint32_t slot)
{
	const struct ks_ring *ring = t->s->ring;
	const struct ks_ring_key *key = &ring->keys[slot];

	for (size_t i = 0; i < t->assertion->condition_count; i++) {
		const struct ks_condition *c = &t->assertion->conditions[i];
		bool is = true;

		if (c->type == KS_CONDITION_OF)
			is = key->tenant == t->tenants[i];
		else if (c->type == KS_CONDITION_BELOW)
			is = ks_ring_is_within(ring, key->tenant, t->tenants[i]);
		else if (c->type == KS_CONDITION_KEY)
			is = key->id == c->id;
		else if (c->type == KS_CONDITION_ROLE)
			is = (key->grant < t->grant_count && t->grants[i][key->grant]) != c->without;
		if (!is)
			return false;
	}
	for (size_t i = 0; i < t->assertion->condition_count; i++) {
		const struct ks_condition *c = &t->assertion->conditions[i];

		if (c->type == KS_CONDITION_LABEL && has_label(t, c, key->id) == c->without)
			return false;
	}
	return true;
}

/* ---- holding it ---- */

static bool fails(const struct trial *t, bool selected, const struct ks_class *class, const struct ks_goal_reach *reach,
		  uint32_t slot)
{
	const struct ks_ring *ring = t->s->ring;

	switch (t->assertion->verb) {
	case KS_EXPECTATION_NEVER:
		return selected && ks_goal_any(ring, &t->aim, class, reach, slot);
	case KS_EXPECTATION_ALWAYS:
		return selected && !ks_goal_all(ring, &t->aim, class, reach, slot);
	case KS_EXPECTATION_ONLY:
		return !selected && ks_goal_any(ring, &t->aim, class, reach, slot);
	case KS_EXPECTATION_VERB_COUNT:
		break;
	}
	return true;
}

static void hold_class(struct trial *t, uint32_t number)
{
	const struct ks_class *class = &t->s->census.classes[number];
	struct ks_goal_reach reach = ks_goal_reach(class, &t->goal);
	bool maybe = class_selected(t, class);

	for (uint32_t i = 0; i < class->count && t->err == KS_OK; i++) {
		uint32_t slot = t->s->census.members[class->first + i];
		bool selected = maybe && member_selected(t, slot);

		t->selected += selected;
		if (!fails(t, selected, class, &reach, slot))
			continue;
		t->failing++;
		ks_newest_add(&t->examples, (struct ks_newest_one){t->s->ring->keys[slot].id, slot, number});
	}
}

static enum ks_err prepare(struct trial *t, struct ks_policy_problem *problem)
{
	const struct ks_expectation *a = t->assertion;
	uint32_t tenant = KS_RING_NONE;

	t->grant_count = atomic_load_explicit(&t->s->ring->header->grant_count, memory_order_acquire);
	KS_TRY(ks_goal_take(t->policy, a, t->s->ring->scopes, &t->goal, problem));
	for (size_t i = 0; i < a->condition_count; i++)
		KS_TRY(prepare_condition(t, i, problem));
	if (a->for_tenant) {
		tenant = find_tenant(t, a->for_tenant, a->for_type);
		if (tenant == KS_RING_NONE)
			return unknown(problem, a->for_mark, "there is no tenant with this id");
	}
	KS_TRY(ks_aim_take(t->s->ring, tenant, &t->aim));
	return ks_newest_init(&t->examples, EXAMPLES, 0);
}

static enum ks_err put_trial(struct trial *t)
{
	struct ks_json *out = &t->s->call->out;
	const struct ks_expectation *a = t->assertion;

	ks_json_open(out, '{');
	ks_json_put_u64(out, "line", a->mark.line);
	ks_json_put_c(out, "verb", ks_expectation_verb_text(a->verb));
	ks_json_put_str(out, "sentence", a->sentence);
	ks_json_put_some(out, "about", a->about);
	ks_json_put_bool(out, "holds", t->failing == 0);
	ks_json_put_u64(out, "keys_selected", t->selected);
	ks_json_put_u64(out, "keys_failing", t->failing);
	ks_json_name(out, "examples");
	ks_json_open(out, '[');
	ks_newest_sort(&t->examples);
	for (size_t i = 0; i < t->examples.count; i++) {
		const struct ks_newest_one *one = &t->examples.heap[i];
		enum ks_err err = ks_survey_put_key(t->s, one->id, one->class, one->slot);

		if (err == KS_OK)
			ks_json_close(out, '}');
		else if (err != KS_NOT_FOUND)
			return err;
	}
	ks_json_close(out, ']');
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_err hold(struct trial *t, struct ks_policy_problem *problem)
{
	enum ks_err err = prepare(t, problem);

	for (uint32_t c = 0; err == KS_OK && c < t->s->census.class_count; c++) {
		hold_class(t, c);
		err = t->err;
	}
	if (err == KS_OK)
		err = put_trial(t);
	for (size_t i = 0; i < KS_EXPECTATION_CONDITIONS_MAX; i++)
		free(t->grants[i]);
	free(t->examples.heap);
	ks_goal_free(&t->goal);
	ks_aim_free(&t->aim);
	return err;
}

static enum ks_finish malformed(struct ks_call *call, const struct ks_policy_problem *problem)
{
	ks_in_problem(&call->in, "", "assertions", "%u:%u: %s", problem->line, problem->column, problem->text);
	return ks_call_problem(call, KS_PROBLEM_INVALID, NULL);
}

static enum ks_finish hold_all(struct ks_survey *s, const struct test_call *test)
{
	struct ks_json *out = &s->call->out;
	struct ks_policy_problem problem;
	uint64_t failed = 0;

	ks_json_open(out, '{');
	ks_json_put_u64(out, "keys", s->census.member_count);
	ks_json_name(out, "assertions");
	ks_json_open(out, '[');
	for (size_t i = 0; i < test->assertions->count; i++) {
		struct trial t = {.s = s, .policy = test->policy ? test->policy : s->policy.platform,
				  .assertion = &test->assertions->items[i], .aim = {.tenant = KS_RING_NONE}};
		enum ks_err err = hold(&t, &problem);

		if (err == KS_MALFORMED)
			return malformed(s->call, &problem);
		if (err != KS_OK)
			return ks_survey_fail(s->call, err);
		failed += t.failing > 0;
	}
	ks_json_close(out, ']');
	ks_json_put_bool(out, "holds", failed == 0);
	ks_json_put_u64(out, "failed", failed);
	ks_json_close(out, '}');
	return ks_call_answer(s->call, 200);
}

static enum ks_finish test(struct ks_call *call)
{
	struct test_call *t = call->extra;
	const json_t *text = json_object_get(call->body, "assertions");
	struct ks_policy_problem problem;
	struct ks_survey s;
	enum ks_err err = ks_expectations_parse(ks_str_of(json_string_value(text), json_string_length(text)), &t->assertions,
					      &problem);
	enum ks_finish finish;

	if (err == KS_MALFORMED)
		return malformed(call, &problem);
	if (err != KS_OK)
		return ks_survey_fail(call, err);
	if (!ks_survey_policy(call, "policy", &t->policy) || !ks_survey_take(call, 0, &s))
		return KS_FINISH_DONE;
	finish = hold_all(&s, t);
	ks_survey_done(&s);
	return finish;
}

enum ks_finish ks_api_policy_test(struct ks_call *call)
{
	static const char *const known[] = {"assertions", "policy", NULL};
	struct test_call *t = calloc(1, sizeof(*t));
	enum ks_finish finish;

	if (!t)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = t;
	call->drop = drop;
	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	ks_in_known(&call->in, call->body, "", known);
	(void)ks_in_str(&call->in, call->body, "", "assertions", KS_POLICY_TEXT_MAX, true);
	(void)ks_in_str(&call->in, call->body, "", "policy", KS_POLICY_TEXT_MAX, false);
	if (ks_call_invalid(call, &finish))
		return finish;
	return ks_call_analyse(call, test);
}
