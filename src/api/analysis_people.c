/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/policy/who-can/users: the people who could make a request with a session, and by which memberships. */
#include "api/analysis.h"

#include <stdlib.h>

#define MEMBERSHIPS_SHOWN 20

struct people {
	struct ks_call *call;
	const struct ks_ring *ring;
	struct ks_request_words words;
	uint64_t tenant;          /* id; 0: any */
	struct ks_page page;
	const struct ks_rule *rule;
	struct ks_need need;
	uint32_t at;              /* index of the tenant; KS_RING_NONE: any */
	uint64_t total;
	struct ks_newest newest;
};

static bool sees(const struct people *p, uint32_t tenant)
{
	return tenant != KS_RING_NONE && ks_actor_sees(&p->call->actor, p->ring, p->ring->tenants[tenant].id);
}

/* As GET /v1/users has it: by the home organization or the operator, or the personal tenant. */
static bool sees_user(const struct people *p, uint32_t user)
{
	uint32_t personal = atomic_load_explicit(&p->ring->users[user].personal, memory_order_acquire), home;

	if (p->call->actor.local || p->call->actor.is_operator || sees(p, personal))
		return true;
	home = p->ring->tenants[personal].organization;
	return sees(p, home == KS_RING_NONE ? 0 : home);
}

/* A membership that the request could be made by, on a tenant that the caller sees. */
static bool is_way(const struct people *p, uint32_t user, const struct ks_ring_membership *m)
{
	uint32_t at = p->at == KS_RING_NONE ? m->tenant : p->at;

	return sees(p, m->tenant) && ks_person_membership_counts(p->ring, m, at)
	       && ks_person_reach(p->ring, user, &p->need, at).reason == KS_REASON_OK;
}

static bool has_way(const struct people *p, uint32_t user)
{
	const struct ks_ring_memberships *list = ks_ring_memberships_of(p->ring, user);

	for (uint32_t i = 0; list && i < list->count; i++)
		if (is_way(p, user, &list->items[i]))
			return true;
	return false;
}

static void look(struct people *p)
{
	uint32_t count = atomic_load_explicit(&p->ring->header->user_count, memory_order_acquire);

	p->at = p->tenant ? ks_ring_tenant(p->ring, p->tenant) : KS_RING_NONE;
	if (!p->rule || (p->tenant && p->at == KS_RING_NONE))
		return;
	p->need = ks_need_of_rule(p->rule);
	for (uint32_t user = 0; user < count; user++) {
		if (!ks_person_lives(p->ring, user)
		    || ks_person_reach(p->ring, user, &p->need, p->at).reason != KS_REASON_OK
		    || (!sees_user(p, user) && !has_way(p, user)))
			continue;
		p->total++;
		ks_newest_add(&p->newest, (struct ks_newest_one){p->ring->users[user].id, user, 0});
	}
	ks_newest_sort(&p->newest);
}

static enum ks_err put_names(void *ctx, const struct ks_user_row *row)
{
	struct ks_json *out = ctx;

	ks_json_put_str(out, "email", row->email);
	ks_json_put_str(out, "name", row->name);
	return KS_OK;
}

static void put_ways(const struct people *p, uint32_t user)
{
	const struct ks_ring_memberships *list = ks_ring_memberships_of(p->ring, user);
	struct ks_json *out = &p->call->out;
	size_t shown = 0;

	ks_json_name(out, "memberships");
	ks_json_open(out, '[');
	for (uint32_t i = 0; list && i < list->count && shown < MEMBERSHIPS_SHOWN; i++) {
		const struct ks_ring_membership *m = &list->items[i];
		const struct ks_ring_tenant *tenant = &p->ring->tenants[m->tenant];

		if (!is_way(p, user, m))
			continue;
		shown++;
		ks_json_open(out, '{');
		ks_json_put_id(out, "tenant", (enum ks_id_type)tenant->kind, tenant->id);
		ks_json_put_some(out, "role", ks_ring_role_name(p->ring, m->role));
		ks_json_close(out, '}');
	}
	ks_json_close(out, ']');
}

static enum ks_err put_user(const struct people *p, const struct ks_newest_one *one)
{
	struct ks_json *out = &p->call->out;
	struct ks_reach reach = ks_person_reach(p->ring, one->slot, &p->need, p->at);
	enum ks_err err = KS_NOT_FOUND;

	ks_json_open(out, '{');
	ks_json_put_id(out, "user", KS_ID_USER, one->id);
	if (sees_user(p, one->slot))
		err = ks_store_user_get(p->call->reader->store, one->id, put_names, out);
	if (err == KS_NOT_FOUND) {
		ks_json_put_null(out, "email");
		ks_json_put_null(out, "name");
	} else {
		KS_TRY(err);
	}
	ks_json_put_c(out, "acts_in", ks_survey_acts_in(&reach));
	put_ways(p, one->slot);
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_finish answer(struct people *p)
{
	struct ks_call *call = p->call;
	struct ks_json *out = &call->out;
	const struct ks_policy_table *table;

	p->ring = ks_call_ring(call);
	if (!p->ring)
		return ks_call_refuse(call, NULL, &(struct ks_decision){.reason = KS_REASON_STALE}, false);
	table = ks_ring_policy_table(p->ring, p->words.which);
	p->rule = ks_survey_match(call, table, &p->words);
	look(p);
	ks_json_open(out, '{');
	ks_json_put_c(out, "method", p->words.method);
	ks_json_put_c(out, "path", p->words.path);
	ks_json_put_some(out, "family", p->rule ? ks_rule_family(table, p->rule) : KS_STR(""));
	ks_json_put_u64(out, "total", p->total);
	ks_json_name(out, "items");
	ks_json_open(out, '[');
	for (size_t i = 0; i < p->newest.count; i++) {
		enum ks_err err = put_user(p, &p->newest.heap[i]);

		if (err != KS_OK)
			return ks_survey_fail(call, err);
	}
	ks_call_page_end(call, p->newest.more, p->newest.count ? p->newest.heap[p->newest.count - 1].id : 0);
	return ks_call_answer(call, 200);
}

static enum ks_finish who_can(struct ks_call *call)
{
	struct people *p = call->extra;
	enum ks_finish finish;

	p->call = call;
	if (ks_newest_init(&p->newest, p->page.limit, p->page.before) != KS_OK)
		return ks_survey_fail(call, KS_MEMORY);
	finish = answer(p);
	free(p->newest.heap);
	return finish;
}

enum ks_finish ks_api_who_can_users(struct ks_call *call)
{
	static const char *const known[] = {"method", "path", "tenant", "policy", "limit", "cursor", NULL};
	struct people *p = calloc(1, sizeof(*p));
	enum ks_finish finish;

	if (!p)
		return ks_call_problem(call, KS_PROBLEM_INTERNAL, NULL);
	call->extra = p;
	ks_call_query_known(call, known);
	ks_survey_page(call, &p->page);
	ks_survey_words(call, &p->words);
	if (!ks_call_tenant_query(call, "tenant", &p->tenant))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &finish))
		return finish;
	return ks_call_analyse(call, who_can);
}
