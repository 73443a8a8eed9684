/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tenants.h"

#include "base/buf.h"
#include "crypto/random.h"
#include "engine/events.h"
#include "engine/keys_check.h"
#include "engine/sources.h"
#include "engine/users.h"
#include "engine/vault.h"

#define DETAIL_SIZE 2048
#define SLUG_BASE_MAX 50      /* of one made from a name; room for what makes it unique */
#define SLUG_NUMBERS 9
#define SLUG_TRIES 16
#define USERS_AT_ONCE 256

/* ---- what goes below what ---- */

#define BIT(kind) (1u << KS_TENANT_KIND_##kind)

/* Kinds that a tenant of each kind may be a child of. Operator and personal tenants are never made here. */
static const unsigned parents_of[KS_TENANT_KIND_COUNT] = {
	[KS_TENANT_KIND_PARTNER] = BIT(OPERATOR),
	[KS_TENANT_KIND_ORGANIZATION] = BIT(OPERATOR) | BIT(PARTNER),
	[KS_TENANT_KIND_SUB_ENTITY] = BIT(ORGANIZATION) | BIT(SUB_ENTITY),
	[KS_TENANT_KIND_PROJECT] = BIT(ORGANIZATION) | BIT(SUB_ENTITY),
};

static enum ks_err check_place(const struct ks_ring *ring, uint32_t parent, enum ks_tenant_kind kind,
			       struct ks_refusal *refusal)
{
	const struct ks_ring_tenant *above = &ring->tenants[parent];
	unsigned nested = 0;

	if ((unsigned)kind >= KS_TENANT_KIND_COUNT || parents_of[kind] == 0)
		return ks_refuse_invalid(refusal, "/kind", "must be partner, organization, sub_entity or project");
	if (!(parents_of[kind] & 1u << above->kind))
		return ks_refuse_invalid(refusal, "/kind", "a tenant of kind %s does not go below one of kind %s",
					 ks_tenant_kind_text(kind),
					 ks_tenant_kind_text((enum ks_tenant_kind)above->kind));
	for (unsigned d = 0; d <= above->depth; d++)
		nested += ring->tenants[above->path[d]].kind == KS_TENANT_KIND_SUB_ENTITY;
	if (kind == KS_TENANT_KIND_SUB_ENTITY && nested >= KS_SUB_ENTITY_DEPTH_MAX)
		return ks_refuse_invalid(refusal, "/parent", "sub-entities nest at most %d deep",
					 KS_SUB_ENTITY_DEPTH_MAX);
	return KS_OK;
}

/* The tenant that something is to be made below; where none is named, the actor's own, and for a partner that acts in
 * an organization that one. */
static enum ks_err find_parent(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t parent,
			       uint32_t *ret_index, struct ks_refusal *refusal)
{
	bool acts_elsewhere = actor->own == 0 || actor->kind == KS_KIND_PARTNER;
	uint64_t id = parent ? parent : acts_elsewhere ? actor->effective : actor->own;

	if (!ks_actor_sees(actor, tx->ring, id) || ks_tx_is_gone(tx, id))
		return ks_refuse_tenant(refusal, "/parent");
	*ret_index = ks_ring_tenant(tx->ring, id);
	return KS_OK;
}

/* ---- slugs ---- */

static bool is_slug_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool slug_ok(struct ks_str slug)
{
	if (slug.n == 0 || slug.n > KS_RING_SLUG_MAX || slug.p[0] == '-' || slug.p[slug.n - 1] == '-')
		return false;
	for (size_t i = 0; i < slug.n; i++) {
		if (!is_slug_char(slug.p[i]) && slug.p[i] != '-')
			return false;
	}
	return true;
}

/* Letters and digits of the name, joined by single dashes. */
static void put_slug_of(struct ks_str name, struct ks_buf *slug)
{
	bool gap = false;

	for (size_t i = 0; i < name.n && slug->n < SLUG_BASE_MAX; i++) {
		char c = name.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!is_slug_char(c)) {
			gap = slug->n > 0;
			continue;
		}
		if (gap)
			ks_buf_put_byte(slug, '-');
		gap = false;
		ks_buf_put_byte(slug, c);
	}
	if (slug->n == 0)
		ks_buf_put_c(slug, "org");
}

/* The base itself, then small numbers, then random ones. */
static enum ks_err put_variant(struct ks_buf *slug, unsigned attempt)
{
	uint8_t random[4];

	if (attempt == 0)
		return KS_OK;
	ks_buf_put_byte(slug, '-');
	if (attempt < SLUG_NUMBERS) {
		ks_buf_put_u64(slug, attempt + 1);
		return KS_OK;
	}
	KS_TRY(ks_random(random, sizeof(random)));
	ks_buf_put_hex(slug, random, sizeof(random));
	return KS_OK;
}

static enum ks_err insert_with_made_slug(struct ks_tx *tx, struct ks_tenant_row *row)
{
	enum ks_err err = KS_CONFLICT;

	for (unsigned attempt = 0; err == KS_CONFLICT && attempt < SLUG_TRIES; attempt++) {
		char text[KS_RING_SLUG_MAX + 1];
		struct ks_buf slug = KS_BUF(text);

		put_slug_of(row->name, &slug);
		KS_TRY(put_variant(&slug, attempt));
		row->slug = ks_buf_str(&slug);
		err = ks_store_tenant_insert(tx->store, row);
	}
	row->slug = KS_STR("");
	return err;
}

static enum ks_err insert_row(struct ks_tx *tx, struct ks_tenant_row *row, struct ks_str slug,
			      struct ks_refusal *refusal)
{
	enum ks_err err;

	if (row->kind != KS_TENANT_KIND_ORGANIZATION) {
		if (!ks_str_empty(slug))
			return ks_refuse_invalid(refusal, "/slug", "only organizations have one");
		return ks_store_tenant_insert(tx->store, row);
	}
	if (ks_str_empty(slug))
		return insert_with_made_slug(tx, row);
	if (!slug_ok(slug))
		return ks_refuse_invalid(refusal, "/slug", "must be 1 to %d of a-z, 0-9 and -, no - at its ends",
					 KS_RING_SLUG_MAX);
	row->slug = slug;
	err = ks_store_tenant_insert(tx->store, row);
	return err == KS_CONFLICT ? ks_refuse(refusal, err, "conflict", "/slug", "the slug is taken") : err;
}

/* ---- records of what was done ---- */

static enum ks_err audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			 const struct ks_tenant_row *row, struct ks_str detail)
{
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = row->organization,
		.tenant = row->id,
		.object_type = (enum ks_id_type)row->kind,
		.object = row->id,
		.detail = detail,
	});
}

/* `was` empty: the name is what it was. Personal tenants are their user's affair: nobody else hears of them. */
static enum ks_err tell(struct ks_tx *tx, enum ks_event_type type, const struct ks_tenant_row *row, struct ks_str was)
{
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	if (row->kind == KS_TENANT_KIND_PERSONAL)
		return KS_OK;
	ks_audit_put(&data, "name", row->name);
	ks_audit_put(&data, "kind", ks_str_c(ks_tenant_kind_text(row->kind)));
	if (!ks_str_empty(was))
		ks_audit_put(&data, "was", was);
	return ks_event_add(tx, &(struct ks_event_note){
		.type = type,
		.organization = row->organization,
		.tenant = row->id,
		.object_type = (enum ks_id_type)row->kind,
		.object = row->id,
		.data = ks_audit_end(&data),
	});
}

/* ---- create ---- */

static enum ks_err insert_tenant(struct ks_tx *tx, const struct ks_actor *actor, uint32_t parent,
				 const struct ks_tenant_input *input, struct ks_tenant_row *row,
				 struct ks_refusal *refusal)
{
	const struct ks_ring_tenant *above = &tx->ring->tenants[parent];
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);

	*row = (struct ks_tenant_row){
		.id = ks_tx_id(tx),
		.parent = above->id,
		.kind = input->kind,
		.name = input->name,
		.created_at = tx->now_ms,
		.created_by = ks_str_c(actor->id),
		.suspended_at = KS_TIME_NONE,
		.deleted_at = KS_TIME_NONE,
	};
	if (input->kind == KS_TENANT_KIND_ORGANIZATION)
		row->organization = row->id;
	else if (above->organization != KS_RING_NONE)
		row->organization = tx->ring->tenants[above->organization].id;
	KS_TRY(insert_row(tx, row, input->slug, refusal));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_TENANT, row->id, 0));
	ks_audit_put(&detail, "name", row->name);
	ks_audit_put(&detail, "kind", ks_str_c(ks_tenant_kind_text(row->kind)));
	KS_TRY(audit(tx, actor, "tenant.create", row, ks_audit_end(&detail)));
	return tell(tx, KS_EVENT_TENANT_CREATED, row, KS_STR(""));
}

/* Refusals of a part come from its own members: "/name" is "/first_key/name" here. */
static enum ks_err prefix_pointer(struct ks_refusal *refusal, const char *prefix, enum ks_err err)
{
	char text[sizeof(refusal->pointer)];
	struct ks_buf b = KS_BUF(text);

	if (err == KS_OK || !refusal->code)
		return err;
	ks_buf_put_c(&b, prefix);
	ks_buf_put_c(&b, refusal->pointer);
	memcpy(refusal->pointer, ks_buf_z(&b), b.n + 1);
	return err;
}

static enum ks_err make_first_key(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_tenant_row *row,
				  const struct ks_key_input *input, struct ks_key_made *ret_made,
				  struct ks_refusal *refusal)
{
	struct ks_key_home home = {.tenant = row->id, .organization = row->id, .binding = KS_BINDING_ORGANIZATION,
				   .granting = row->parent};

	if (input->tenant || input->user)
		return ks_refuse_invalid(refusal, input->tenant ? "/tenant" : "/user",
					 "it belongs to the organization being made");
	return ks_key_create_at(tx, actor, &home, input, ret_made, refusal);
}

static enum ks_err make_administrator(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_tenant_row *row,
				      struct ks_str email, struct ks_tenant_made *made, struct ks_refusal *refusal)
{
	struct ks_user_input input = {.organization = row->id, .email = email, .name = email};

	KS_TRY(ks_user_create_at(tx, actor, row->id, &input, &made->administrator, &made->invited, refusal));
	return ks_member_put_at(tx, actor, row->id, row->id, made->administrator, KS_STR("administrator"));
}

static enum ks_err check_extras(const struct ks_tenant_input *input, struct ks_refusal *refusal)
{
	if (input->kind == KS_TENANT_KIND_ORGANIZATION)
		return KS_OK;
	if (input->first_key)
		return ks_refuse_invalid(refusal, "/first_key", "only organizations are made with one");
	if (!ks_str_empty(input->administrator_email))
		return ks_refuse_invalid(refusal, "/administrator", "only organizations are made with one");
	return KS_OK;
}

enum ks_err ks_tenants_create(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_tenant_input *input,
			      struct ks_tenant_made *ret_made, struct ks_refusal *ret_refusal)
{
	struct ks_tenant_made made = {0};
	struct ks_tenant_row row;
	uint32_t parent = KS_RING_NONE;

	KS_TRY(ks_check_name(input->name, "/name", ret_refusal));
	KS_TRY(find_parent(tx, actor, input->parent, &parent, ret_refusal));
	KS_TRY(check_place(tx->ring, parent, input->kind, ret_refusal));
	KS_TRY(check_extras(input, ret_refusal));
	KS_TRY(ks_tx_room(tx, 1));
	KS_TRY(insert_tenant(tx, actor, parent, input, &row, ret_refusal));
	made.id = row.id;
	if (!ks_str_empty(input->administrator_email))
		KS_TRY(prefix_pointer(ret_refusal, "/administrator",
				      make_administrator(tx, actor, &row, input->administrator_email, &made,
							 ret_refusal)));
	if (input->first_key)
		KS_TRY(prefix_pointer(ret_refusal, "/first_key",
				      make_first_key(tx, actor, &row, input->first_key, &made.first_key, ret_refusal)));
	*ret_made = made;
	return KS_OK;
}

/* ---- a tenant that is there ---- */

/* A row kept beyond its callback; without its creator. */
struct kept {
	struct ks_tenant_row row;
	char name[KS_STORE_NAME_MAX];
};

static enum ks_err keep_row(void *ctx, const struct ks_tenant_row *row)
{
	struct kept *kept = ctx;
	struct ks_buf b = KS_BUF(kept->name);

	ks_buf_put(&b, row->name);
	kept->row = *row;
	kept->row.name = ks_buf_str(&b);
	kept->row.slug = kept->row.created_by = KS_STR("");
	return KS_OK;
}

static enum ks_err find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct kept *kept,
			struct ks_refusal *refusal)
{
	if (!ks_actor_sees(actor, tx->ring, id) || ks_tx_is_gone(tx, id))
		return ks_refuse(refusal, KS_NOT_FOUND, "not_found", "", "there is no such tenant");
	return ks_store_tenant_get(tx->store, id, keep_row, kept);
}

/* Nobody ends himself, or what he stands below. */
static enum ks_err check_not_own(const struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				 struct ks_refusal *refusal)
{
	const struct ks_ring *ring = tx->ring;
	uint32_t target = ks_ring_tenant(ring, id);
	uint32_t own = actor->own ? ks_ring_tenant(ring, actor->own) : KS_RING_NONE;

	if (ring->tenants[target].kind == KS_TENANT_KIND_OPERATOR)
		return ks_refuse(refusal, KS_FORBIDDEN, "tenant_forbidden", "", "the operator's tenant stays as it is");
	if (own != KS_RING_NONE && ks_ring_is_within(ring, own, target))
		return ks_refuse(refusal, KS_FORBIDDEN, "tenant_forbidden", "", "the caller stands within this tenant");
	return KS_OK;
}

static enum ks_err update(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			  const struct ks_tenant_row *row, struct ks_str detail)
{
	KS_TRY(ks_store_tenant_update(tx->store, row));
	KS_TRY(ks_tx_change(tx, KS_CHANGE_TENANT, row->id, 0));
	return audit(tx, actor, action, row, detail);
}

enum ks_err ks_tenants_rename(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_str name,
			      struct ks_refusal *ret_refusal)
{
	struct kept kept;
	char text[DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(text);
	struct ks_tenant_row row;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(ks_check_name(name, "/name", ret_refusal));
	if (ks_str_eq(name, kept.row.name))
		return KS_OK;
	row = kept.row;
	row.name = name;
	ks_audit_put(&detail, "name", name);
	ks_audit_put(&detail, "was", kept.row.name);
	KS_TRY(update(tx, actor, "tenant.rename", &row, ks_audit_end(&detail)));
	return tell(tx, KS_EVENT_TENANT_RENAMED, &row, kept.row.name);
}

enum ks_err ks_tenants_set_suspended(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, bool suspended,
				     struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(check_not_own(tx, actor, id, ret_refusal));
	if ((kept.row.suspended_at != KS_TIME_NONE) == suspended)
		return KS_OK;
	kept.row.suspended_at = suspended ? tx->now_ms : KS_TIME_NONE;
	KS_TRY(update(tx, actor, suspended ? "tenant.suspend" : "tenant.resume", &kept.row, KS_STR("")));
	return tell(tx, suspended ? KS_EVENT_TENANT_SUSPENDED : KS_EVENT_TENANT_RESUMED, &kept.row, KS_STR(""));
}

/* ---- delete ---- */

static enum ks_err note_any(void *ctx, const struct ks_tenant_row *row)
{
	bool *any = ctx;

	(void)row;
	*any = true;
	return KS_OK;
}

/* Personal tenants go with their organization; everything else must have gone before. */
static enum ks_err check_empty(struct ks_tx *tx, uint64_t id, struct ks_refusal *refusal)
{
	bool any = false;

	for (enum ks_tenant_kind kind = 0; kind < KS_TENANT_KIND_COUNT && !any; kind++) {
		struct ks_tenant_filter filter = {.parent = id, .kind = kind, .limit = 1};

		if (kind != KS_TENANT_KIND_PERSONAL)
			KS_TRY(ks_store_tenants(tx->store, &filter, note_any, &any));
	}
	if (any)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "there are tenants below it");
	return KS_OK;
}

struct user_page {
	uint64_t ids[USERS_AT_ONCE];
	uint64_t personals[USERS_AT_ONCE];
	size_t count;
};

static enum ks_err take_user(void *ctx, const struct ks_user_row *row)
{
	struct user_page *page = ctx;

	page->ids[page->count] = row->id;
	page->personals[page->count++] = row->personal;
	return KS_OK;
}

static enum ks_err end_personal(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id)
{
	struct kept kept;

	KS_TRY(ks_store_tenant_get(tx->store, id, keep_row, &kept));
	if (kept.row.deleted_at != KS_TIME_NONE)
		return KS_OK;
	kept.row.deleted_at = tx->now_ms;
	KS_TRY(ks_tx_gone(tx, id));
	return update(tx, actor, "tenant.delete", &kept.row, KS_STR(""));
}

static enum ks_err end_users(struct ks_tx *tx, const struct ks_actor *actor, uint64_t organization)
{
	struct user_page page;
	uint64_t before = 0;

	do {
		page.count = 0;
		KS_TRY(ks_store_users(tx->store, organization, before, USERS_AT_ONCE, take_user, &page));
		for (size_t i = 0; i < page.count; i++) {
			KS_TRY(ks_user_disable_at(tx, actor, page.ids[i]));
			if (page.personals[i])
				KS_TRY(end_personal(tx, actor, page.personals[i]));
			before = page.ids[i];
		}
	} while (page.count == USERS_AT_ONCE);
	return KS_OK;
}

enum ks_err ks_tenants_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
			      struct ks_refusal *ret_refusal)
{
	struct kept kept;

	KS_TRY(find(tx, actor, id, &kept, ret_refusal));
	KS_TRY(check_not_own(tx, actor, id, ret_refusal));
	if (kept.row.kind == KS_TENANT_KIND_PERSONAL)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "",
				 "a personal tenant goes with its user's organization");
	KS_TRY(check_empty(tx, id, ret_refusal));
	if (kept.row.kind == KS_TENANT_KIND_ORGANIZATION)
		KS_TRY(end_users(tx, actor, id));
	KS_TRY(ks_sources_tenant_deleted(tx, actor, id));
	KS_TRY(ks_vault_tenant_deleted(tx, actor, id));
	kept.row.deleted_at = tx->now_ms;
	KS_TRY(ks_tx_gone(tx, id));
	KS_TRY(update(tx, actor, "tenant.delete", &kept.row, KS_STR("")));
	return tell(tx, KS_EVENT_TENANT_DELETED, &kept.row, KS_STR(""));
}
