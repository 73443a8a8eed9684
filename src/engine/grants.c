/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/grants.h"

#include <jansson.h>
#include <stdlib.h>

/* The scopes of a grant under construction: names of the policy, sorted, each once. */
struct names {
	struct ks_str items[KS_SCOPES_MAX];
	size_t count;
};

struct resolving {
	const struct ks_grant_ask *ask;
	const struct ks_engine_policy *policy;
	const struct ks_granting *granting;
	struct ks_refusal *refusal;
	struct names names;
};

struct ks_granting ks_granting_of(const struct ks_actor *actor, const struct ks_ring *ring, uint64_t tenant)
{
	struct ks_granting granting = {.all = actor->local || actor->is_operator, .numbers = ring->scopes};

	if (!granting.all)
		ks_actor_grantable(actor, ring, tenant, &granting.scopes);
	return granting;
}

static bool may_grant(const struct ks_granting *granting, struct ks_str scope)
{
	uint16_t number;

	return granting->all
	       || (ks_scope_find(granting->numbers, scope, &number) && ks_scopes_has(&granting->scopes, number));
}

static enum ks_err refuse_grant(struct ks_refusal *refusal, const char *pointer, struct ks_str scope)
{
	return ks_refuse(refusal, KS_FORBIDDEN, "not_grantable", pointer, "the scope %.*s is not the caller's to grant",
			 KS_STR_ARG(scope));
}

static void add_name(struct names *names, struct ks_str name)
{
	size_t low = 0, high = names->count;

	while (low < high) {
		size_t middle = (low + high) / 2;
		int order = ks_str_order(names->items[middle], name);

		if (order == 0)
			return;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	memmove(&names->items[low + 1], &names->items[low], (names->count - low) * sizeof(names->items[0]));
	names->items[low] = name;
	names->count++;
}

/* One scope of the policy; the text stays the policy's. */
static enum ks_err add_scope(struct resolving *r, const struct ks_policy_scope *scope, const char *pointer)
{
	struct ks_str name = ks_str_c(scope->name);

	if (!(scope->kinds & KS_KIND_BIT(r->ask->kind)))
		return ks_refuse_invalid(r->refusal, pointer, "the scope %s is not for keys of kind %s", scope->name,
					 ks_kind_text(r->ask->kind));
	if (!may_grant(r->granting, name))
		return refuse_grant(r->refusal, pointer, name);
	if (r->names.count == KS_SCOPES_MAX)
		return ks_refuse_invalid(r->refusal, pointer, "more than %d scopes", KS_SCOPES_MAX);
	add_name(&r->names, name);
	return KS_OK;
}

static enum ks_err add_asked(struct resolving *r)
{
	for (size_t i = 0; i < r->ask->scope_count; i++) {
		const struct ks_policy_scope *scope = ks_catalogue_scope(r->policy, r->ask->scopes[i]);
		char pointer[32];
		struct ks_buf b = KS_BUF(pointer);

		ks_buf_printf(&b, "/scopes/%zu", i);
		if (!scope)
			return ks_refuse_invalid(r->refusal, ks_buf_z(&b), "there is no such scope");
		KS_TRY(add_scope(r, scope, ks_buf_z(&b)));
	}
	return KS_OK;
}

/* What "default" means: the scopes marked so that this kind of key may hold. */
static enum ks_err add_defaults(struct resolving *r)
{
	const struct ks_policy *both[] = {r->policy->platform, r->policy->self};

	for (size_t i = 0; i < KS_ARRAY_LEN(both); i++) {
		for (size_t k = 0; both[i] && k < both[i]->scope_count; k++) {
			const struct ks_policy_scope *scope = &both[i]->scopes[k];

			if (scope->is_default && !scope->opt_in && (scope->kinds & KS_KIND_BIT(r->ask->kind)))
				KS_TRY(add_scope(r, scope, "/scopes"));
		}
	}
	return KS_OK;
}

/* What a built-in role gives where the policy does not describe it. */
static enum ks_err add_built_in(struct resolving *r, const struct ks_policy *policy, struct ks_str name,
				const char *pointer, bool *found)
{
	struct ks_scopes places;

	if (!ks_policy_role_scopes(policy, name, r->ask->kind, &places))
		return KS_OK;
	*found = true;
	for (uint16_t i = 0; i < policy->scope_count; i++) {
		if (ks_scopes_has(&places, i))
			KS_TRY(add_scope(r, &policy->scopes[i], pointer));
	}
	return KS_OK;
}

enum ks_err ks_grant_check_role(struct ks_str role, const struct ks_engine_policy *policy,
				const struct ks_granting *granting, struct ks_refusal *refusal)
{
	const struct ks_policy *both[] = {policy->platform, policy->self};
	struct ks_scopes places;

	for (size_t i = 0; i < KS_ARRAY_LEN(both); i++) {
		if (!both[i] || !ks_policy_role_scopes(both[i], role, KS_KIND_SESSION, &places))
			continue;
		for (uint16_t k = 0; k < both[i]->scope_count; k++) {
			struct ks_str scope = ks_str_c(both[i]->scopes[k].name);
			if (ks_scopes_has(&places, k) && !may_grant(granting, scope))
				return refuse_grant(refusal, "/role", scope);
		}
	}
	return KS_OK;
}

/* A role is what both policies say of it: the service's part of it, and the platform's. */
static enum ks_err add_role(struct resolving *r, struct ks_str name, const char *pointer)
{
	const struct ks_policy *both[] = {r->policy->platform, r->policy->self};
	bool found = false;

	for (size_t i = 0; i < KS_ARRAY_LEN(both); i++) {
		const struct ks_policy_role *role = both[i] ? ks_policy_role(both[i], name) : NULL;

		found |= role != NULL;
		for (size_t k = 0; role && k < role->scope_count; k++)
			KS_TRY(add_scope(r, &both[i]->scopes[role->scopes[k]], pointer));
		if (both[i] && !role)
			KS_TRY(add_built_in(r, both[i], name, pointer, &found));
	}
	return found ? KS_OK : ks_refuse_invalid(r->refusal, pointer, "there is no such role");
}

static enum ks_err add_roles(struct resolving *r)
{
	for (size_t i = 0; i < r->ask->role_count; i++) {
		char pointer[32];
		struct ks_buf b = KS_BUF(pointer);

		ks_buf_printf(&b, "/roles/%zu", i);
		KS_TRY(add_role(r, r->ask->roles[i], ks_buf_z(&b)));
	}
	return KS_OK;
}

/* ---- writing the text ---- */

static bool is_repeated(const struct ks_str *items, size_t i)
{
	for (size_t k = 0; k < i; k++) {
		if (ks_str_eq(items[k], items[i]))
			return true;
	}
	return false;
}

static void put_item(struct ks_buf *body, bool *first, struct ks_str text)
{
	if (!*first)
		ks_buf_put_byte(body, ',');
	*first = false;
	ks_buf_put_json(body, text);
}

static void put_addresses(const struct ks_grant_ask *ask, struct ks_buf *body)
{
	char texts[KS_RING_CIDRS_MAX][KS_ADDR_TEXT_SIZE];
	struct ks_str items[KS_RING_CIDRS_MAX];
	bool first = true;

	ks_buf_put_c(body, "\"addresses\":[");
	for (size_t i = 0; i < ask->address_count; i++) {
		ks_cidr_format(&ask->addresses[i], texts[i]);
		items[i] = ks_str_c(texts[i]);
		if (!is_repeated(items, i))
			put_item(body, &first, items[i]);
	}
	ks_buf_put_byte(body, ']');
}

static void put_body(const struct resolving *r, struct ks_buf *body)
{
	const struct ks_grant_ask *ask = r->ask;
	bool first = true;

	ks_buf_put_byte(body, '{');
	put_addresses(ask, body);
	if (ask->rate_requests > 0)
		ks_buf_printf(body, ",\"rate_limit\":{\"requests\":%u,\"window_s\":%u}", ask->rate_requests,
			      ask->rate_window_s);
	else
		ks_buf_put_c(body, ",\"rate_limit\":null");
	ks_buf_put_c(body, ",\"roles\":[");
	for (size_t i = 0; i < ask->role_count; i++) {
		if (!is_repeated(ask->roles, i))
			put_item(body, &first, ask->roles[i]);
	}
	ks_buf_put_c(body, "],\"scopes\":[");
	first = true;
	for (size_t i = 0; i < r->names.count; i++)
		put_item(body, &first, r->names.items[i]);
	ks_buf_put_c(body, "]}");
}

static enum ks_err check_limits(const struct ks_grant_ask *ask, struct ks_refusal *refusal)
{
	if (ask->scope_count > KS_KEY_SCOPES_MAX)
		return ks_refuse_invalid(refusal, "/scopes", "more than %d scopes", KS_KEY_SCOPES_MAX);
	if (ask->role_count > KS_KEY_ROLES_MAX)
		return ks_refuse_invalid(refusal, "/roles", "more than %d roles", KS_KEY_ROLES_MAX);
	if (ask->address_count > KS_RING_CIDRS_MAX)
		return ks_refuse_invalid(refusal, "/addresses", "more than %d addresses", KS_RING_CIDRS_MAX);
	if (ask->rate_requests == 0 && ask->rate_window_s == 0)
		return KS_OK;
	if (ask->rate_requests == 0 || ask->rate_requests > KS_RATE_REQUESTS_MAX)
		return ks_refuse_invalid(refusal, "/rate_limit/requests", "must be from 1 to %u", KS_RATE_REQUESTS_MAX);
	if (ask->rate_window_s == 0 || ask->rate_window_s > KS_RATE_WINDOW_MAX)
		return ks_refuse_invalid(refusal, "/rate_limit/window_s", "must be from 1 to %u", KS_RATE_WINDOW_MAX);
	return KS_OK;
}

enum ks_err ks_grant_resolve(const struct ks_grant_ask *ask, const struct ks_engine_policy *policy,
			     const struct ks_granting *granting, struct ks_buf *body, struct ks_refusal *refusal)
{
	struct resolving r = {.ask = ask, .policy = policy, .granting = granting, .refusal = refusal};

	KS_TRY(check_limits(ask, refusal));
	KS_TRY(ask->scopes_default ? add_defaults(&r) : add_asked(&r));
	KS_TRY(add_roles(&r));
	put_body(&r, body);
	return ks_buf_ok(body) ? KS_OK : KS_TOO_LARGE;
}

/* ---- reading the text ---- */

static json_t *load(struct ks_str body)
{
	json_t *root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);

	if (root && !json_is_object(root)) {
		json_decref(root);
		return NULL;
	}
	return root;
}

/* The text of a member of an array; NULL where it is none. */
static struct ks_str text_at(const json_t *array, size_t i)
{
	const json_t *item = json_array_get(array, i);

	return ks_str_of(json_string_value(item), json_string_length(item));
}

enum ks_err ks_grant_check(struct ks_str body, const struct ks_granting *granting, struct ks_refusal *refusal)
{
	json_t *root = load(body);
	json_t *scopes = json_object_get(root, "scopes");
	enum ks_err err = json_is_array(scopes) ? KS_OK : KS_CORRUPT;

	for (size_t i = 0; err == KS_OK && i < json_array_size(scopes); i++) {
		struct ks_str scope = text_at(scopes, i);

		if (!scope.p)
			err = KS_CORRUPT;
		else if (!may_grant(granting, scope))
			err = refuse_grant(refusal, "", scope);
	}
	json_decref(root);
	return err;
}

static enum ks_err read_scopes(const json_t *array, struct ks_scope_table *table, struct ks_scopes *ret_set,
			       size_t *ret_left_out)
{
	struct ks_scopes set = {{0}};
	size_t left_out = 0;

	if (!json_is_array(array))
		return KS_CORRUPT;
	for (size_t i = 0; i < json_array_size(array); i++) {
		struct ks_str name = text_at(array, i);
		uint16_t number;
		enum ks_err err = name.p ? ks_scope_add(table, name, &number) : KS_CORRUPT;

		if (err == KS_FULL) {
			left_out++;
			continue;
		}
		if (err != KS_OK)
			return KS_CORRUPT;
		ks_scopes_set(&set, number);
	}
	*ret_set = set;
	*ret_left_out = left_out;
	return KS_OK;
}

static enum ks_err read_addresses(const json_t *array, struct ks_cidr *cidrs, uint32_t *ret_count)
{
	size_t count = json_array_size(array);

	if (!json_is_array(array) || count > KS_RING_CIDRS_MAX)
		return KS_CORRUPT;
	for (size_t i = 0; i < count; i++) {
		struct ks_str text = text_at(array, i);

		if (!text.p || !ks_cidr_parse(text, &cidrs[i]))
			return KS_CORRUPT;
	}
	*ret_count = (uint32_t)count;
	return KS_OK;
}

static enum ks_err read_rate(const json_t *rate, struct ks_ring_grant_record *record)
{
	json_int_t requests = json_integer_value(json_object_get(rate, "requests"));
	json_int_t window = json_integer_value(json_object_get(rate, "window_s"));

	if (json_is_null(rate))
		return KS_OK;
	if (requests < 1 || requests > KS_RATE_REQUESTS_MAX || window < 1 || window > KS_RATE_WINDOW_MAX)
		return KS_CORRUPT;
	record->rate_requests = (uint32_t)requests;
	record->rate_window_s = (uint32_t)window;
	return KS_OK;
}

enum ks_err ks_grant_read(const struct ks_grant_row *row, struct ks_scope_table *scopes, struct ks_cidr *cidrs,
			  struct ks_ring_grant_record *ret_record, size_t *ret_left_out)
{
	struct ks_ring_grant_record record = {.id = row->id, .cidrs = cidrs};
	json_t *root = load(row->body);
	size_t left_out = 0;
	enum ks_err err;

	if (!root)
		return KS_CORRUPT;
	err = read_scopes(json_object_get(root, "scopes"), scopes, &record.scopes, &left_out);
	if (err == KS_OK)
		err = read_addresses(json_object_get(root, "addresses"), cidrs, &record.cidr_count);
	if (err == KS_OK)
		err = read_rate(json_object_get(root, "rate_limit"), &record);
	json_decref(root);
	if (err != KS_OK)
		return err;
	*ret_record = record;
	*ret_left_out = left_out;
	return KS_OK;
}

enum ks_err ks_grant_intern(struct ks_tx *tx, struct ks_str body, uint64_t *ret_id)
{
	uint64_t id;
	bool made;

	KS_TRY(ks_store_grant_intern(tx->store, body, &id, &made));
	if (made)
		KS_TRY(ks_tx_change(tx, KS_CHANGE_GRANT, id, 0));
	*ret_id = id;
	return KS_OK;
}
