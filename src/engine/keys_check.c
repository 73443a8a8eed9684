/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/keys_check.h"

#include <jansson.h>

/* ---- form ---- */

enum ks_err ks_check_name(struct ks_str name, const char *pointer, struct ks_refusal *refusal)
{
	if (name.n > KS_STORE_NAME_MAX)
		return ks_refuse_invalid(refusal, pointer, "longer than %d bytes", KS_STORE_NAME_MAX);
	if (!ks_str_is_utf8(name) || ks_str_has_control(name))
		return ks_refuse_invalid(refusal, pointer, "must be UTF-8 without control characters");
	if (ks_str_empty(ks_str_trim(name)))
		return ks_refuse_invalid(refusal, pointer, "must not be empty");
	return KS_OK;
}

enum ks_err ks_check_expiry(bool given, int64_t expires_at, int64_t now_ms, struct ks_refusal *refusal)
{
	if (!given)
		return ks_refuse_invalid(refusal, "/expires_at", "must be given: a time, or null for never");
	if (expires_at == KS_TIME_NONE)
		return KS_OK;
	if (expires_at <= now_ms)
		return ks_refuse_invalid(refusal, "/expires_at", "must be in the future");
	if (expires_at > KS_TIME_MAX)
		return ks_refuse_invalid(refusal, "/expires_at", "must be before the year 10000");
	return KS_OK;
}

static bool is_plain(struct ks_str text)
{
	return ks_str_is_utf8(text) && !ks_str_has_control(text);
}

enum ks_err ks_check_label(struct ks_str name, struct ks_str value, struct ks_refusal *refusal)
{
	if (name.n == 0 || name.n > KS_LABEL_NAME_MAX || !is_plain(name))
		return ks_refuse_invalid(refusal, "/labels",
					 "names must be 1 to %d bytes of UTF-8 without control characters",
					 KS_LABEL_NAME_MAX);
	if (value.n > KS_LABEL_VALUE_MAX || !is_plain(value))
		return ks_refuse_invalid(refusal, "/labels",
					 "values must be at most %d bytes of UTF-8 without control characters",
					 KS_LABEL_VALUE_MAX);
	return KS_OK;
}

static enum ks_err check_members(json_t *labels, struct ks_refusal *refusal)
{
	const char *name;
	json_t *value;

	if (!json_is_object(labels))
		return ks_refuse_invalid(refusal, "/labels", "must be an object of strings");
	if (json_object_size(labels) > KS_KEY_LABELS_MAX)
		return ks_refuse_invalid(refusal, "/labels", "more than %d members", KS_KEY_LABELS_MAX);
	json_object_foreach(labels, name, value)
	{
		if (!json_is_string(value))
			return ks_refuse_invalid(refusal, "/labels", "must be an object of strings");
		KS_TRY(ks_check_label(ks_str_c(name), ks_str_of(json_string_value(value), json_string_length(value)),
				      refusal));
	}
	return KS_OK;
}

enum ks_err ks_check_labels(struct ks_str labels, struct ks_refusal *refusal)
{
	json_t *root;
	enum ks_err err;

	if (ks_str_empty(labels))
		return KS_OK;
	if (labels.n > KS_STORE_LABELS_MAX)
		return ks_refuse_invalid(refusal, "/labels", "longer than %d bytes", KS_STORE_LABELS_MAX);
	root = json_loadb(labels.p, labels.n, JSON_REJECT_DUPLICATES, NULL);
	err = check_members(root, refusal);
	json_decref(root);
	return err;
}

static bool is_token_text(struct ks_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')
		      || ks_str_find(KS_STR("-._~+/="), c) != SIZE_MAX))
			return false;
	}
	return true;
}

enum ks_err ks_check_hints(struct ks_str prefix, struct ks_str last_four, struct ks_refusal *refusal)
{
	if (prefix.n > KS_TOKEN_PREFIX_MAX || !is_token_text(prefix))
		return ks_refuse_invalid(refusal, "/prefix", "must be at most %d characters of a token",
					 KS_TOKEN_PREFIX_MAX);
	if (last_four.n > KS_LAST_FOUR_MAX || !is_token_text(last_four))
		return ks_refuse_invalid(refusal, "/last_four", "must be at most %d characters of a token",
					 KS_LAST_FOUR_MAX);
	return KS_OK;
}

/* ---- where it belongs ---- */

static const enum ks_binding binding_of[KS_TENANT_KIND_COUNT] = {
	[KS_TENANT_KIND_OPERATOR] = KS_BINDING_OPERATOR,
	[KS_TENANT_KIND_PARTNER] = KS_BINDING_PARTNER,
	[KS_TENANT_KIND_ORGANIZATION] = KS_BINDING_ORGANIZATION,
	[KS_TENANT_KIND_SUB_ENTITY] = KS_BINDING_SUB_ENTITY,
	[KS_TENANT_KIND_PROJECT] = KS_BINDING_PROJECT,
	[KS_TENANT_KIND_PERSONAL] = KS_BINDING_USER,
};

/* The personal tenant of a user; 0: no such user. */
static uint64_t personal_of(const struct ks_ring *ring, uint64_t user)
{
	uint32_t index = ks_ring_user(ring, user);
	uint32_t personal;

	if (index == KS_RING_NONE)
		return 0;
	personal = atomic_load_explicit(&ring->users[index].personal, memory_order_acquire);
	return personal == KS_RING_NONE ? 0 : ring->tenants[personal].id;
}

static enum ks_err check_user(const struct ks_ring *ring, uint32_t user, struct ks_refusal *refusal)
{
	if (user == KS_RING_NONE)
		return ks_refuse_tenant(refusal, "/user");
	if (atomic_load_explicit(&ring->users[user].flags, memory_order_acquire) & KS_USER_DISABLED)
		return ks_refuse_invalid(refusal, "/user", "the user is disabled");
	return KS_OK;
}

enum ks_err ks_key_find_home(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant, uint64_t user,
			     struct ks_key_home *ret_home, struct ks_refusal *refusal)
{
	const struct ks_ring *ring = tx->ring;
	const char *pointer = user ? "/user" : "/tenant";
	uint64_t id = user ? personal_of(ring, user) : tenant ? tenant : actor->effective;
	const struct ks_ring_tenant *t;
	struct ks_key_home home;

	if (!ks_actor_sees(actor, ring, id) || ks_tx_is_gone(tx, id))
		return ks_refuse_tenant(refusal, pointer);
	if (user && tenant && tenant != id)
		return ks_refuse_invalid(refusal, "/tenant", "must be the user's personal tenant, or absent");
	t = &ring->tenants[ks_ring_tenant(ring, id)];
	home = (struct ks_key_home){.tenant = id, .binding = binding_of[t->kind]};
	if (t->organization != KS_RING_NONE)
		home.organization = ring->tenants[t->organization].id;
	if (home.binding == KS_BINDING_USER) {
		KS_TRY(check_user(ring, t->user, refusal));
		home.user = ring->users[t->user].id;
	}
	*ret_home = home;
	return KS_OK;
}

static const enum ks_kind kind_of[KS_BINDING_COUNT] = {
#define X(name, text, kind) [KS_BINDING_##name] = KS_KIND_##kind,
	KS_BINDINGS(X)
#undef X
};

enum ks_err ks_key_find_kind(enum ks_binding binding, const struct ks_actor *actor, bool given, enum ks_kind kind,
			     enum ks_kind *ret_kind, struct ks_refusal *refusal)
{
	if (!given)
		kind = kind_of[binding];
	if (kind != kind_of[binding] && !(kind == KS_KIND_RUNTIME && binding == KS_BINDING_OPERATOR))
		return ks_refuse_invalid(refusal, "/kind", "keys of this tenant are of kind %s",
					 ks_kind_text(kind_of[binding]));
	if (kind == KS_KIND_RUNTIME && !actor->local)
		return ks_refuse(refusal, KS_FORBIDDEN, "not_grantable", "/kind",
				 "runtime keys are made by the operator's command line only");
	*ret_kind = kind;
	return KS_OK;
}

enum ks_err ks_key_check_environment(const struct ks_actor *actor, enum ks_environment environment, const char *pointer,
				     struct ks_refusal *refusal)
{
	if (actor->environment == KS_ENVIRONMENT_SANDBOX && environment != KS_ENVIRONMENT_SANDBOX)
		return ks_refuse(refusal, KS_FORBIDDEN, "not_grantable", pointer, "a sandbox key makes sandbox keys alone");
	return KS_OK;
}

/* ---- a row kept ---- */

static struct ks_str keep_text(char *to, size_t cap, struct ks_str from)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, from);
	return ks_buf_str(&b);
}

enum ks_err ks_key_keep(void *ctx, const struct ks_key_row *row)
{
	struct ks_key_kept *kept = ctx;

	kept->row = *row;
	kept->row.name = keep_text(kept->name, sizeof(kept->name), row->name);
	kept->row.last_four = keep_text(kept->last_four, sizeof(kept->last_four), row->last_four);
	kept->row.labels = keep_text(kept->labels, sizeof(kept->labels), row->labels);
	kept->row.prefix = kept->row.created_by = kept->row.revoked_by =
		kept->row.last_used_address = KS_STR("");
	return KS_OK;
}
