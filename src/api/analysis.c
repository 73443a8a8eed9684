/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/policy/who-can and /v1/policy/what-can, and what all questions over keys share. */
#include "api/analysis.h"

#include <stdlib.h>

/* ---- which keys ---- */

/* NULL and KS_OK: the caller sees all. */
static enum ks_err mark_seen(struct ks_survey *s, uint64_t within)
{
	const struct ks_actor *actor = &s->call->actor;
	bool all = actor->local || actor->is_operator;
	uint32_t root = within ? ks_ring_tenant(s->ring, within) : KS_RING_NONE;

	if (all && within == 0)
		return KS_OK;
	s->seen_count = atomic_load_explicit(&s->ring->header->tenant_count, memory_order_acquire);
	s->seen = calloc((size_t)s->seen_count + 1, 1);
	if (!s->seen)
		return KS_MEMORY;
	/* A tenant that has gone since has no living keys. */
	if (within && root == KS_RING_NONE)
		return KS_OK;
	for (uint32_t i = 0; i < s->seen_count; i++)
		s->seen[i] = (root == KS_RING_NONE || ks_ring_is_within(s->ring, i, root))
			     && (all || ks_actor_sees(actor, s->ring, s->ring->tenants[i].id));
	return KS_OK;
}

bool ks_survey_take(struct ks_call *call, uint64_t within, struct ks_survey *ret_survey)
{
	struct ks_survey s = {.call = call, .ring = ks_call_ring(call)};
	struct ks_seen seen;
	enum ks_err err;

	if (!s.ring) {
		(void)ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
		return false;
	}
	err = mark_seen(&s, within);
	seen = (struct ks_seen){s.seen, s.seen_count};
	if (err == KS_OK)
		err = ks_census_take(s.ring, call->exchange->now_ms, s.seen ? &seen : NULL, &s.census);
	if (err != KS_OK) {
		free(s.seen);
		(void)ks_survey_fail(call, err);
		return false;
	}
	s.policy = ks_engine_policy(call->api->engine);
	*ret_survey = s;
	return true;
}

void ks_survey_done(struct ks_survey *s)
{
	ks_engine_policy_release(&s->policy);
	ks_census_free(&s->census);
	free(s->seen);
	*s = (struct ks_survey){0};
}

enum ks_finish ks_survey_fail(struct ks_call *call, enum ks_err err)
{
	if (err == KS_FULL)
		return ks_call_problem(call, KS_PROBLEM_TOO_LARGE, "The policies are too large to be analysed together.");
	return ks_call_problem(call, ks_problem_of_err(err), NULL);
}

enum ks_ring_policy ks_survey_which(struct ks_call *call)
{
	char storage[16];
	struct ks_str word;

	if (!ks_call_query(call, "policy", storage, sizeof(storage), &word) || ks_str_eq(word, KS_STR("platform")))
		return KS_RING_POLICY_PLATFORM;
	if (!ks_str_eq(word, KS_STR("own")))
		ks_call_query_problem(call, "policy", "This must be platform or own.");
	return KS_RING_POLICY_SELF;
}

/* ---- pages ---- */

enum ks_err ks_newest_init(struct ks_newest *newest, size_t cap, uint64_t before)
{
	*newest = (struct ks_newest){.heap = calloc(cap, sizeof(*newest->heap)), .cap = cap, .before = before};
	return newest->heap ? KS_OK : KS_MEMORY;
}

static void swap(struct ks_newest *n, size_t a, size_t b)
{
	struct ks_newest_one one = n->heap[a];

	n->heap[a] = n->heap[b];
	n->heap[b] = one;
}

static void sift_down(struct ks_newest *n)
{
	for (size_t i = 0;;) {
		size_t least = i;

		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < n->count; child++)
			if (n->heap[child].id < n->heap[least].id)
				least = child;
		if (least == i)
			return;
		swap(n, i, least);
		i = least;
	}
}

void ks_newest_add(struct ks_newest *n, struct ks_newest_one one)
{
	if (n->before && one.id >= n->before)
		return;
	if (n->count < n->cap) {
		size_t i = n->count++;

		n->heap[i] = one;
		for (; i > 0 && n->heap[(i - 1) / 2].id > n->heap[i].id; i = (i - 1) / 2)
			swap(n, i, (i - 1) / 2);
		return;
	}
	n->more = true;
	if (one.id <= n->heap[0].id)
		return;
	n->heap[0] = one;
	sift_down(n);
}

static int greatest_first(const void *a, const void *b)
{
	uint64_t x = ((const struct ks_newest_one *)a)->id, y = ((const struct ks_newest_one *)b)->id;

	return (x < y) - (x > y);
}

void ks_newest_sort(struct ks_newest *n)
{
	qsort(n->heap, n->count, sizeof(*n->heap), greatest_first);
}

void ks_survey_page(struct ks_call *call, struct ks_page *ret_page)
{
	if (call->actor.local)
		ks_call_page_up_to(call, KS_SURVEY_LOCAL_MAX, ret_page);
	else
		ks_call_page(call, ret_page);
}

/* ---- keys as they are shown ---- */

static enum ks_err put_key(void *ctx, const struct ks_key_row *row)
{
	struct ks_json *out = ctx;

	ks_json_open(out, '{');
	ks_json_put_id(out, "key", KS_ID_KEY, row->id);
	ks_json_put_str(out, "name", row->name);
	return KS_OK;
}

enum ks_err ks_survey_put_key(const struct ks_survey *s, uint64_t id, uint32_t number, uint32_t slot)
{
	const struct ks_class *class = &s->census.classes[number];
	const struct ks_ring_tenant *tenant = &s->ring->tenants[s->ring->keys[slot].tenant];
	struct ks_json *out = &s->call->out;

	KS_TRY(ks_store_key_get(s->call->reader->store, id, put_key, out));
	ks_json_put_c(out, "kind", ks_kind_text((enum ks_kind)class->kind));
	ks_json_put_c(out, "binding", ks_binding_text((enum ks_binding)class->binding));
	ks_json_put_id(out, "tenant", (enum ks_id_type)tenant->kind, tenant->id);
	ks_json_put_id(out, "user", KS_ID_USER, tenant->user == KS_RING_NONE ? 0 : s->ring->users[tenant->user].id);
	ks_json_put_c(out, "environment", ks_environment_text((enum ks_environment)class->environment));
	return KS_OK;
}

void ks_survey_put_scopes(struct ks_json *out, const char *name, const struct ks_ring *ring,
			  const struct ks_scopes *set)
{
	ks_json_name(out, name);
	ks_json_open(out, '[');
	for (uint16_t i = 0; i < KS_SCOPES_MAX; i++)
		if (ks_scopes_has(set, i))
			ks_json_str(out, ks_scope_name(ring->scopes, i));
	ks_json_close(out, ']');
}

/* ---- who can ---- */

#define REQUIRED "This is required."

struct who {
	struct ks_request_words words;
	uint64_t tenant;          /* id; 0: any */
	struct ks_page page;
	uint64_t total;
	struct ks_newest newest;
	const struct ks_rule *rule;
	struct ks_need need;
};

const char *ks_survey_acts_in(const struct ks_reach *reach)
{
	return !reach->others ? "own" : reach->own ? "seen" : "others";
}

static void count_class(const struct ks_survey *s, struct who *who, const struct ks_aim *aim, uint32_t number)
{
	const struct ks_class *class = &s->census.classes[number];
	struct ks_reach reach = ks_reach(class, &who->need);

	if (reach.reason != KS_REASON_OK)
		return;
	for (uint32_t i = 0; i < class->count; i++) {
		uint32_t slot = s->census.members[class->first + i];

		if (!ks_aim_hits(s->ring, aim, class, &reach, slot))
			continue;
		who->total++;
		ks_newest_add(&who->newest, (struct ks_newest_one){s->ring->keys[slot].id, slot, number});
	}
}

static enum ks_err find_who(const struct ks_survey *s, struct who *who)
{
	struct ks_aim aim;
	enum ks_err err;
	uint32_t tenant = who->tenant ? ks_ring_tenant(s->ring, who->tenant) : KS_RING_NONE;

	if (!who->rule || (who->tenant && tenant == KS_RING_NONE))
		return KS_OK;
	who->need = ks_need_of_rule(who->rule);
	err = ks_aim_take(s->ring, tenant, &aim);
	for (uint32_t c = 0; err == KS_OK && c < s->census.class_count; c++)
		count_class(s, who, &aim, c);
	ks_aim_free(&aim);
	ks_newest_sort(&who->newest);
	return err;
}

static enum ks_err put_who(const struct ks_survey *s, struct who *who)
{
	struct ks_json *out = &s->call->out;

	for (size_t i = 0; i < who->newest.count; i++) {
		const struct ks_newest_one *one = &who->newest.heap[i];
		const struct ks_class *class = &s->census.classes[one->class];
		struct ks_reach reach = ks_reach(class, &who->need);
		enum ks_err err = ks_survey_put_key(s, one->id, one->class, one->slot);

		if (err == KS_NOT_FOUND)
			continue;
		KS_TRY(err);
		ks_json_put_c(out, "acts_in", ks_survey_acts_in(&reach));
		ks_json_close(out, '}');
	}
	return KS_OK;
}

static enum ks_finish answer_who(const struct ks_survey *s, struct who *who)
{
	const struct ks_policy_table *table = ks_ring_policy_table(s->ring, who->words.which);
	struct ks_json *out = &s->call->out;
	uint64_t last;
	enum ks_err err;

	who->rule = ks_survey_match(s->call, table, &who->words);
	err = find_who(s, who);
	if (err != KS_OK)
		return ks_survey_fail(s->call, err);
	ks_json_open(out, '{');
	ks_json_put_c(out, "method", who->words.method);
	ks_json_put_c(out, "path", who->words.path);
	ks_json_put_some(out, "family", who->rule ? ks_rule_family(table, who->rule) : KS_STR(""));
	ks_json_put_u64(out, "total", who->total);
	ks_json_name(out, "items");
	ks_json_open(out, '[');
	err = put_who(s, who);
	if (err != KS_OK)
		return ks_survey_fail(s->call, err);
	last = who->newest.count ? who->newest.heap[who->newest.count - 1].id : 0;
	ks_call_page_end(s->call, who->newest.more, last);
	return ks_call_answer(s->call, 200);
}

static enum ks_finish who_can(struct ks_call *call)
{
	struct who *who = call->extra;
	struct ks_survey s;
	enum ks_finish finish;

	if (!ks_survey_take(call, 0, &s))
		return KS_FINISH_DONE;
	if (ks_newest_init(&who->newest, who->page.limit, who->page.before) == KS_OK)
		finish = answer_who(&s, who);
	else
		finish = ks_survey_fail(call, KS_MEMORY);
	free(who->newest.heap);
	ks_survey_done(&s);
	return finish;
}

const struct ks_rule *ks_survey_match(struct ks_call *call, const struct ks_policy_table *table,
				      const struct ks_request_words *words)
{
	struct ks_path *path = &ks_api_thread(call->api)->path;

	if (!table || ks_path_read(ks_str_c(words->path), path) != KS_PATH_OK)
		return NULL;
	return ks_policy_match(table, path, ks_str_c(words->method));
}

void ks_survey_words(struct ks_call *call, struct ks_request_words *words)
{
	struct ks_path *scratch = &ks_api_thread(call->api)->path;
	struct ks_str text;
	enum ks_path_problem problem;

	*words = (struct ks_request_words){.which = ks_survey_which(call)};
	if (!ks_call_query(call, "method", words->method, sizeof(words->method) - 1, &text))
		ks_call_query_problem(call, "method", REQUIRED);
	else if (!ks_method_ok(text))
		ks_call_query_problem(call, "method", "This is no method.");
	if (!ks_call_query(call, "path", words->path, sizeof(words->path) - 1, &text)) {
		ks_call_query_problem(call, "path", REQUIRED);
		return;
	}
	problem = ks_path_read(text, scratch);
	if (problem != KS_PATH_OK)
		ks_call_query_problem(call, "path", ks_path_problem_text(problem));
}

enum ks_finish ks_api_who_can(struct ks_call *call)
{
	static const char *const known[] = {"method", "path", "tenant", "policy", "limit", "cursor", NULL};
	struct who *who = calloc(1, sizeof(*who));
	enum ks_finish finish;

	if (!who)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = who;
	ks_call_query_known(call, known);
	ks_survey_page(call, &who->page);
	ks_survey_words(call, &who->words);
	if (!ks_call_tenant_query(call, "tenant", &who->tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &finish))
		return finish;
	return ks_call_analyse(call, who_can);
}

/* ---- what can ---- */

struct what {
	uint64_t key;
	enum ks_ring_policy which;
	bool denied;              /* the refused too */
	struct ks_page page;      /* a cursor is how many were shown */
	/* of the store's row */
	uint64_t tenant;
	struct ks_digest digest;
};

static enum ks_err take_digest(void *ctx, const struct ks_key_row *row)
{
	struct what *what = ctx;

	what->tenant = row->tenant;
	what->digest = row->digest;
	return KS_OK;
}

static void put_methods(struct ks_json *out, const struct ks_policy_regions *regions, const uint64_t methods[2])
{
	ks_json_name(out, "methods");
	ks_json_open(out, '[');
	for (size_t i = 0; i < regions->method_count; i++)
		if (methods[i / 64] >> (i % 64) & 1)
			ks_json_str(out, regions->methods[i]);
	ks_json_close(out, ']');
}

static void put_entry(struct ks_call *call, const struct ks_policy *policy, const struct ks_policy_regions *regions,
		      const struct ks_policy_region *region, const struct ks_reach *reach, const struct ks_ring *ring)
{
	const struct ks_policy_family *family = &policy->families[region->sides[0].family];
	struct ks_json *out = &call->out;

	ks_json_open(out, '{');
	ks_json_put_c(out, "family", family->name);
	ks_json_put_c(out, "route", family->routes[region->sides[0].route]);
	put_methods(out, regions, region->methods);
	ks_json_put_bool(out, "allow", reach->reason == KS_REASON_OK);
	ks_json_put_c(out, "code", ks_reason_info(reach->reason)->code);
	ks_json_put_c(out, "acts_in", reach->reason == KS_REASON_OK ? ks_survey_acts_in(reach) : NULL);
	ks_json_put_some(out, "required_scope",
			 reach->reason == KS_REASON_SCOPE_MISSING ? ks_scope_name(ring->scopes, reach->missing_scope)
								  : KS_STR(""));
	ks_json_close(out, '}');
}

static int in_file_order(const void *a, const void *b)
{
	const struct ks_policy_entry *x = &((const struct ks_policy_region *)a)->sides[0];
	const struct ks_policy_entry *y = &((const struct ks_policy_region *)b)->sides[0];

	if (x->family != y->family)
		return x->family < y->family ? -1 : 1;
	if (x->route != y->route)
		return x->route < y->route ? -1 : 1;
	return (x->method > y->method) - (x->method < y->method);
}

static bool alike(const struct ks_reach *a, const struct ks_reach *b)
{
	return a->reason == b->reason && a->missing_scope == b->missing_scope && a->own == b->own && a->others == b->others;
}

/* Entries of one route that are answered alike are one item: the first of them takes the methods of the others, from
 * `*at` on, which is moved behind them. */
static struct ks_policy_region take_item(const struct ks_policy *policy, const struct ks_policy_regions *regions,
					 const struct ks_class *class, const struct ks_ring *ring, size_t *at,
					 struct ks_reach *ret_reach)
{
	struct ks_policy_region item = regions->items[*at];
	struct ks_need need = ks_need_of_entry(policy, item.sides[0], ring->scopes);

	*ret_reach = ks_reach(class, &need);
	while (++*at < regions->count) {
		const struct ks_policy_region *next = &regions->items[*at];
		struct ks_reach reach;

		if (next->sides[0].family != item.sides[0].family || next->sides[0].route != item.sides[0].route)
			break;
		need = ks_need_of_entry(policy, next->sides[0], ring->scopes);
		reach = ks_reach(class, &need);
		if (!alike(&reach, ret_reach))
			break;
		item.methods[0] |= next->methods[0];
		item.methods[1] |= next->methods[1];
	}
	return item;
}

static enum ks_finish put_what(struct ks_call *call, const struct what *what, const struct ks_policy *policy,
			       struct ks_policy_regions *regions, const struct ks_ring *ring,
			       const struct ks_class *class)
{
	struct ks_json *out = &call->out;
	uint64_t position = 0;

	if (regions->count > 1)
		qsort(regions->items, regions->count, sizeof(*regions->items), in_file_order);
	ks_json_open(out, '{');
	ks_json_put_id(out, "key", KS_ID_KEY, what->key);
	ks_json_put_bool(out, "accepted", class != NULL);
	ks_json_name(out, "items");
	ks_json_open(out, '[');
	for (size_t i = 0; class && i < regions->count;) {
		struct ks_reach reach;
		struct ks_policy_region item = take_item(policy, regions, class, ring, &i, &reach);

		if (reach.reason != KS_REASON_OK && !what->denied)
			continue;
		if (position >= what->page.before && position - what->page.before < what->page.limit)
			put_entry(call, policy, regions, &item, &reach, ring);
		position++;
	}
	ks_call_page_end(call, what->page.before + what->page.limit < position, what->page.before + what->page.limit);
	return ks_call_answer(call, 200);
}

static enum ks_finish what_can(struct ks_call *call)
{
	struct what *what = call->extra;
	struct ks_policy_regions regions = {0};
	struct ks_engine_policy policies;
	const struct ks_policy *policy;
	const struct ks_ring *ring;
	struct ks_class class;
	enum ks_finish finish;
	uint64_t slot;
	enum ks_err err = ks_store_key_get(call->reader->store, what->key, take_digest, what);
	bool accepted;

	ring = ks_call_ring(call);
	if (!ring)
		return ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
	if (err == KS_NOT_FOUND || (err == KS_OK && !ks_actor_sees(&call->actor, ring, what->tenant)))
		return ks_call_problem(call, KS_PROBLEM_NOT_FOUND, NULL);
	if (err != KS_OK)
		return ks_survey_fail(call, err);
	accepted = ks_ring_key(ring, &what->digest, ks_ring_home(ring, &what->digest), &slot)
		   && ks_class_of(ring, slot, call->exchange->now_ms, &class);
	policies = ks_engine_policy(call->api->engine);
	policy = what->which == KS_RING_POLICY_SELF ? policies.self : policies.platform;
	err = policy ? ks_policy_compare(policy, NULL, &regions) : KS_OK;
	finish = err == KS_OK ? put_what(call, what, policy, &regions, ring, accepted ? &class : NULL)
			      : ks_survey_fail(call, err);
	ks_policy_regions_free(&regions);
	ks_engine_policy_release(&policies);
	return finish;
}

enum ks_finish ks_api_what_can(struct ks_call *call)
{
	static const char *const known[] = {"key", "policy", "denied", "limit", "cursor", NULL};
	struct what *what = calloc(1, sizeof(*what));
	char storage[64];
	struct ks_str text;
	enum ks_finish finish;

	if (!what)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = what;
	ks_call_query_known(call, known);
	ks_survey_page(call, &what->page);
	what->which = ks_survey_which(call);
	if (!ks_call_query(call, "key", storage, sizeof(storage), &text))
		ks_call_query_problem(call, "key", REQUIRED);
	else if (!ks_id_parse(text, KS_ID_KEY, &what->key))
		ks_call_query_problem(call, "key", "This is not the id of a key.");
	if (ks_call_query(call, "denied", storage, sizeof(storage), &text)) {
		what->denied = ks_str_eq(text, KS_STR("true"));
		if (!what->denied && !ks_str_eq(text, KS_STR("false")))
			ks_call_query_problem(call, "denied", "This must be true or false.");
	}
	if (ks_call_invalid(call, &finish))
		return finish;
	return ks_call_analyse(call, what_can);
}
