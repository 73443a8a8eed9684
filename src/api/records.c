/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, tenants and users as the contract shows them. */
#include "api/call.h"
#include "base/cursor.h"

/* ---- grants: the members of a canonical JSON object, taken out as they stand ---- */

struct grant_text {
	struct ks_str addresses;
	struct ks_str rate_limit;
	struct ks_str roles;
	struct ks_str scopes;
};

static void skip_string(struct ks_cursor *c)
{
	ks_cursor_literal(c, KS_STR("\""));
	while (!c->failed) {
		int b = ks_cursor_byte(c);

		if (b == '"')
			return;
		if (b == '\\')
			(void)ks_cursor_byte(c);
	}
}

/* One value, borrowed: null, or an array or object with all that is in it. */
static struct ks_str take_value(struct ks_cursor *c)
{
	const char *from = c->p;
	size_t left = ks_cursor_left(c);
	int depth = 0;

	if (ks_cursor_peek(c) == 'n') {
		ks_cursor_literal(c, KS_STR("null"));
		return c->failed ? KS_STR("") : ks_str_of(from, 4);
	}
	c->failed |= ks_cursor_peek(c) != '[' && ks_cursor_peek(c) != '{';
	do {
		int b = ks_cursor_peek(c);

		if (b == '"') {
			skip_string(c);
			continue;
		}
		(void)ks_cursor_byte(c);
		if (b == '[' || b == '{')
			depth++;
		else if (b == ']' || b == '}')
			depth--;
	} while (!c->failed && depth > 0);
	return c->failed ? KS_STR("") : ks_str_of(from, left - ks_cursor_left(c));
}

static bool read_grant(struct ks_str body, struct grant_text *ret_grant)
{
	struct ks_cursor c = ks_cursor_of(body);
	struct grant_text g;

	ks_cursor_literal(&c, KS_STR("{\"addresses\":"));
	g.addresses = take_value(&c);
	ks_cursor_literal(&c, KS_STR(",\"rate_limit\":"));
	g.rate_limit = take_value(&c);
	ks_cursor_literal(&c, KS_STR(",\"roles\":"));
	g.roles = take_value(&c);
	ks_cursor_literal(&c, KS_STR(",\"scopes\":"));
	g.scopes = take_value(&c);
	ks_cursor_literal(&c, KS_STR("}"));
	if (!ks_cursor_done(&c))
		return false;
	*ret_grant = g;
	return true;
}

/* ---- keys ---- */

/* What a key is bound to is the type of its tenant. */
static const enum ks_id_type tenant_types[KS_BINDING_COUNT] = {
	[KS_BINDING_OPERATOR] = KS_ID_OPERATOR,
	[KS_BINDING_PARTNER] = KS_ID_PARTNER,
	[KS_BINDING_ORGANIZATION] = KS_ID_ORGANIZATION,
	[KS_BINDING_SUB_ENTITY] = KS_ID_SUB_ENTITY,
	[KS_BINDING_PROJECT] = KS_ID_PROJECT,
	[KS_BINDING_USER] = KS_ID_PERSONAL,
};

static const char *const status_texts[] = {
	[KS_KEY_STATUS_ACTIVE] = "active",
	[KS_KEY_STATUS_EXPIRED] = "expired",
	[KS_KEY_STATUS_REVOKED] = "revoked",
};

static bool is_past(int64_t at, int64_t now_ms)
{
	return at != KS_TIME_NONE && at <= now_ms;
}

/* The end set by a rotation, where that is what ends the key. */
static bool is_rotated_out(const struct ks_key_row *row, int64_t now_ms)
{
	return is_past(row->retires_at, now_ms)
	       && (row->expires_at == KS_TIME_NONE || row->retires_at <= row->expires_at);
}

enum ks_key_status ks_record_key_status(const struct ks_key_row *row, int64_t now_ms)
{
	if (row->revoked_at != KS_TIME_NONE || is_rotated_out(row, now_ms))
		return KS_KEY_STATUS_REVOKED;
	return is_past(row->expires_at, now_ms) ? KS_KEY_STATUS_EXPIRED : KS_KEY_STATUS_ACTIVE;
}

static void put_life(struct ks_json *json, const struct ks_key_row *row, int64_t now_ms)
{
	int64_t revoked_at = row->revoked_at;

	if (revoked_at == KS_TIME_NONE && is_rotated_out(row, now_ms))
		revoked_at = row->retires_at;
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_time(json, "expires_at", row->expires_at);
	ks_json_put_c(json, "status", status_texts[ks_record_key_status(row, now_ms)]);
	ks_json_put_time(json, "last_used_at", row->last_used_at);
	ks_json_put_some(json, "last_used_address", row->last_used_address);
	ks_json_put_u64(json, "uses", row->uses);
	ks_json_put_time(json, "revoked_at", revoked_at);
	ks_json_put_actor(json, "revoked_by", row->revoked_by);
	ks_json_put_id(json, "rotated_from", KS_ID_KEY, row->rotated_from);
	ks_json_put_id(json, "rotated_to", KS_ID_KEY, row->rotated_to);
}

void ks_record_key(struct ks_json *json, const struct ks_key_row *row, struct ks_str grant_body, const char *token,
		   int64_t now_ms)
{
	struct grant_text grant;

	/* Written by this program and nobody else: what does not read is damage. */
	if (row->binding >= KS_BINDING_COUNT || !read_grant(grant_body, &grant)) {
		json->failed = true;
		return;
	}
	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_KEY, row->id);
	if (token)
		ks_json_put_c(json, "token", token);
	ks_json_put_str(json, "name", row->name);
	ks_json_put_c(json, "kind", ks_kind_text(row->kind));
	ks_json_put_c(json, "binding", ks_binding_text(row->binding));
	ks_json_put_id(json, "tenant", tenant_types[row->binding], row->tenant);
	ks_json_put_id(json, "user", KS_ID_USER, row->user);
	ks_json_put_some(json, "prefix", row->prefix);
	ks_json_put_some(json, "last_four", row->last_four);
	ks_json_put_raw(json, "scopes", grant.scopes);
	ks_json_put_raw(json, "roles", grant.roles);
	ks_json_put_c(json, "environment", ks_environment_text(row->environment));
	ks_json_put_raw(json, "addresses", grant.addresses);
	ks_json_put_raw(json, "rate_limit", grant.rate_limit);
	ks_json_put_raw(json, "labels", ks_str_empty(row->labels) ? KS_STR("{}") : row->labels);
	put_life(json, row, now_ms);
	ks_json_close(json, '}');
}

struct key_by_id {
	struct ks_store *store;
	struct ks_json *json;
	const struct ks_key_row *row;
	const char *token;
	int64_t now_ms;
};

static enum ks_err with_grant(void *ctx, const struct ks_grant_row *grant)
{
	const struct key_by_id *k = ctx;

	ks_record_key(k->json, k->row, grant->body, k->token, k->now_ms);
	return KS_OK;
}

enum ks_err ks_record_key_row(struct ks_store *store, struct ks_json *json, const struct ks_key_row *row,
			      const char *token, int64_t now_ms)
{
	struct key_by_id k = {.json = json, .row = row, .token = token, .now_ms = now_ms};
	enum ks_err err = ks_store_grant_get(store, row->grant, with_grant, &k);

	return err == KS_NOT_FOUND ? KS_CORRUPT : err;
}

static enum ks_err with_key(void *ctx, const struct ks_key_row *row)
{
	const struct key_by_id *k = ctx;

	return ks_record_key_row(k->store, k->json, row, k->token, k->now_ms);
}

enum ks_err ks_record_key_by_id(struct ks_store *store, struct ks_json *json, uint64_t id, const char *token,
				int64_t now_ms)
{
	struct key_by_id k = {.store = store, .json = json, .token = token, .now_ms = now_ms};

	return ks_store_key_get(store, id, with_key, &k);
}

/* ---- tenants ---- */

static void put_parent(struct ks_json *json, uint64_t parent, const struct ks_ring *ring, const struct ks_actor *actor)
{
	uint32_t index = ring && parent ? ks_ring_tenant(ring, parent) : KS_RING_NONE;

	if (index != KS_RING_NONE && ks_actor_sees(actor, ring, parent))
		ks_json_put_id(json, "parent", (enum ks_id_type)ring->tenants[index].kind, parent);
	else
		ks_json_put_null(json, "parent");
}

void ks_record_tenant(struct ks_json *json, const struct ks_tenant_row *row, const struct ks_ring *ring,
		      const struct ks_actor *actor)
{
	const char *status = row->deleted_at != KS_TIME_NONE     ? "deleted"
			     : row->suspended_at != KS_TIME_NONE ? "suspended"
								 : "active";

	ks_json_open(json, '{');
	ks_json_put_id(json, "id", (enum ks_id_type)row->kind, row->id);
	ks_json_put_c(json, "kind", ks_tenant_kind_text(row->kind));
	put_parent(json, row->parent, ring, actor);
	ks_json_put_id(json, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_id(json, "user", KS_ID_USER, row->user);
	ks_json_put_str(json, "name", row->name);
	ks_json_put_some(json, "slug", row->slug);
	ks_json_put_c(json, "status", status);
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_time(json, "suspended_at", row->suspended_at);
	ks_json_put_time(json, "deleted_at", row->deleted_at);
	ks_json_close(json, '}');
}

struct tenant_by_id {
	struct ks_json *json;
	const struct ks_ring *ring;
	const struct ks_actor *actor;
};

static enum ks_err with_tenant(void *ctx, const struct ks_tenant_row *row)
{
	const struct tenant_by_id *t = ctx;

	ks_record_tenant(t->json, row, t->ring, t->actor);
	return KS_OK;
}

enum ks_err ks_record_tenant_by_id(struct ks_store *store, struct ks_json *json, uint64_t id,
				   const struct ks_ring *ring, const struct ks_actor *actor)
{
	struct tenant_by_id t = {.json = json, .ring = ring, .actor = actor};

	return ks_store_tenant_get(store, id, with_tenant, &t);
}

/* ---- users ---- */

void ks_record_user(struct ks_json *json, const struct ks_user_row *row)
{
	ks_json_open(json, '{');
	ks_json_put_id(json, "id", KS_ID_USER, row->id);
	ks_json_put_str(json, "email", row->email);
	ks_json_put_str(json, "name", row->name);
	ks_json_put_id(json, "organization", KS_ID_ORGANIZATION, row->organization);
	ks_json_put_id(json, "personal", KS_ID_PERSONAL, ks_viewer_sees_tenant(json->viewer, row->personal) ? row->personal : 0);
	ks_json_put_c(json, "status", row->disabled_at == KS_TIME_NONE ? "active" : "disabled");
	ks_json_put_time(json, "created_at", row->created_at);
	ks_json_put_actor(json, "created_by", row->created_by);
	ks_json_put_time(json, "disabled_at", row->disabled_at);
	ks_json_close(json, '}');
}

static enum ks_err with_user(void *ctx, const struct ks_user_row *row)
{
	ks_record_user(ctx, row);
	return KS_OK;
}

enum ks_err ks_record_user_by_id(struct ks_store *store, struct ks_json *json, uint64_t id)
{
	return ks_store_user_get(store, id, with_user, json);
}
