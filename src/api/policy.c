/* SPDX-License-Identifier: Apache-2.0 */
/* The catalogue of scopes, the roles, and the permission matrix: what is in force, of the platform's policy and of
 * Keystile's own. In the order of the file, the platform's first. */
#include "api/api_priv.h"

#define CATALOGUES 2

/* The platform's, which may be missing, and our own. */
struct catalogues {
	struct ks_engine_policy policy;
	const struct ks_policy *list[CATALOGUES];
};

static struct catalogues catalogues_of(struct ks_call *call)
{
	struct catalogues c = {.policy = ks_engine_policy(call->api->engine)};

	c.list[0] = c.policy.platform;
	c.list[1] = c.policy.self;
	return c;
}

static void put_kinds(struct ks_json *out, uint8_t kinds)
{
	ks_json_name(out, "kinds");
	ks_json_open(out, '[');
	for (enum ks_kind i = 0; i < KS_KIND_COUNT; i++) {
		if (kinds & KS_KIND_BIT(i))
			ks_json_c(out, ks_kind_text(i));
	}
	ks_json_close(out, ']');
}

/* ---- lists: a cursor is how many were shown ---- */

static bool begin_list(struct ks_call *call, struct ks_page *ret_page)
{
	static const char *const known[] = {"limit", "cursor", NULL};
	enum ks_finish answered;

	ks_call_query_known(call, known);
	ks_call_page(call, ret_page);
	if (ks_call_invalid(call, &answered))
		return false;
	ks_call_page_open(call);
	return true;
}

/* True for the positions that the page shows. */
static bool on_page(const struct ks_page *page, uint64_t position)
{
	return position >= page->before && position - page->before < page->limit;
}

static enum ks_finish end_list(struct ks_call *call, const struct ks_page *page, uint64_t count)
{
	bool more = page->before < count && count - page->before > page->limit;

	ks_call_page_end(call, more, page->before + page->limit);
	return ks_call_answer(call, 200);
}

static void put_scope(struct ks_json *out, const struct ks_policy_scope *scope, bool built_in)
{
	ks_json_open(out, '{');
	ks_json_put_c(out, "name", scope->name);
	ks_json_put_c(out, "about", scope->about);
	ks_json_put_bool(out, "default", scope->is_default);
	ks_json_put_bool(out, "opt_in", scope->opt_in);
	put_kinds(out, scope->kinds);
	ks_json_put_bool(out, "built_in", built_in);
	ks_json_close(out, '}');
}

enum ks_finish ks_api_scopes(struct ks_call *call)
{
	struct catalogues c;
	struct ks_page page;
	uint64_t position = 0;

	if (!begin_list(call, &page))
		return KS_FINISH_DONE;
	c = catalogues_of(call);
	for (size_t k = 0; k < CATALOGUES; k++) {
		for (size_t i = 0; c.list[k] && i < c.list[k]->scope_count; i++, position++) {
			if (on_page(&page, position))
				put_scope(&call->out, &c.list[k]->scopes[i], k > 0);
		}
	}
	ks_engine_policy_release(&c.policy);
	return end_list(call, &page, position);
}

/* What one catalogue gives with the role, to whichever kind. */
static void put_role_scopes(struct ks_json *out, const struct ks_policy *policy, struct ks_str role)
{
	struct ks_scopes given = {{0}}, places;

	for (unsigned kind = 0; kind < KS_KIND_COUNT; kind++) {
		if (ks_policy_role_scopes(policy, role, (enum ks_kind)kind, &places))
			ks_scopes_add(&given, &places);
	}
	for (uint16_t i = 0; i < policy->scope_count; i++) {
		if (ks_scopes_has(&given, i))
			ks_json_c(out, policy->scopes[i].name);
	}
}

/* A role is what both catalogues say of it. */
static void put_role(struct ks_json *out, const struct catalogues *c, const struct ks_policy_role *role)
{
	struct ks_str name = ks_str_c(role->name);
	enum ks_role built_in;

	ks_json_open(out, '{');
	ks_json_put_c(out, "name", role->name);
	ks_json_put_c(out, "about", role->about);
	ks_json_name(out, "scopes");
	ks_json_open(out, '[');
	for (size_t k = 0; k < CATALOGUES; k++) {
		if (c->list[k])
			put_role_scopes(out, c->list[k], name);
	}
	ks_json_close(out, ']');
	ks_json_put_bool(out, "built_in", ks_role_parse(name, &built_in));
	ks_json_close(out, '}');
}

enum ks_finish ks_api_roles(struct ks_call *call)
{
	struct catalogues c;
	struct ks_page page;
	uint64_t position = 0;

	if (!begin_list(call, &page))
		return KS_FINISH_DONE;
	c = catalogues_of(call);
	for (size_t k = 0; k < CATALOGUES; k++) {
		for (size_t i = 0; c.list[k] && i < c.list[k]->role_count; i++) {
			const struct ks_policy_role *role = &c.list[k]->roles[i];

			if (k > 0 && c.list[0] && ks_policy_role(c.list[0], ks_str_c(role->name)))
				continue;
			if (on_page(&page, position++))
				put_role(&call->out, &c, role);
		}
	}
	ks_engine_policy_release(&c.policy);
	return end_list(call, &page, position);
}

/* ---- the matrix ---- */

static void put_methods(struct ks_json *out, const struct ks_policy *policy, const struct ks_policy_family *family)
{
	ks_json_name(out, "scopes");
	ks_json_open(out, '{');
	for (size_t i = 0; i < family->method_count; i++) {
		const struct ks_policy_method *method = &family->methods[i];

		ks_json_name(out, method->name);
		ks_json_open(out, '[');
		for (size_t k = 0; k < method->scope_count; k++)
			ks_json_c(out, policy->scopes[method->scopes[k]].name);
		ks_json_close(out, ']');
	}
	ks_json_close(out, '}');
}

static void put_family(struct ks_json *out, const struct ks_policy *policy, const struct ks_policy_family *family)
{
	ks_json_open(out, '{');
	ks_json_put_c(out, "name", family->name);
	ks_json_put_c(out, "about", family->about);
	ks_json_name(out, "routes");
	ks_json_open(out, '[');
	for (size_t i = 0; i < family->route_count; i++)
		ks_json_c(out, family->routes[i]);
	ks_json_close(out, ']');
	put_methods(out, policy, family);
	put_kinds(out, family->kinds);
	ks_json_put_c(out, "tenant_header", ks_tenant_header_text(family->tenant_header));
	ks_json_name(out, "environments");
	ks_json_open(out, '[');
	for (enum ks_environment i = 0; i < KS_ENVIRONMENT_COUNT; i++) {
		if (family->environments & KS_ENVIRONMENT_BIT(i))
			ks_json_c(out, ks_environment_text(i));
	}
	ks_json_close(out, ']');
	ks_json_put_bool(out, "inherited", family->inherited);
	ks_json_close(out, '}');
}

enum ks_finish ks_api_policy(struct ks_call *call)
{
	static const char *const names[CATALOGUES] = {"families", "own_families"};
	struct ks_json *out = &call->out;
	struct catalogues c;

	if (!ks_call_no_query(call))
		return KS_FINISH_DONE;
	c = catalogues_of(call);
	ks_json_open(out, '{');
	ks_json_put_u64(out, "version", 1);
	ks_json_put_u64(out, "epoch", c.policy.epoch);
	for (size_t k = 0; k < CATALOGUES; k++) {
		ks_json_name(out, names[k]);
		ks_json_open(out, '[');
		for (size_t i = 0; c.list[k] && i < c.list[k]->family_count; i++)
			put_family(out, c.list[k], &c.list[k]->families[i]);
		ks_json_close(out, ']');
	}
	ks_json_close(out, '}');
	ks_engine_policy_release(&c.policy);
	return ks_call_answer(call, 200);
}
