/* SPDX-License-Identifier: Apache-2.0 */
/* Audit entries, and their way into the trees. */
#include "base/buf.h"
#include "base/id.h"
#include "crypto/random.h"
#include "store/audit_tree.h"
#include "store/store_priv.h"

static const struct ks_field audit_fields[] = {
	KS_FIELD(ks_audit_row, id, ID, 0),
	KS_FIELD(ks_audit_row, at, TIME, 0),
	KS_FIELD(ks_audit_row, organization, REF, 0),
	KS_FIELD(ks_audit_row, tenant, REF, 0),
	KS_FIELD(ks_audit_row, actor, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_audit_row, on_behalf, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_audit_row, action, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_audit_row, object, TEXT, KS_STORE_OBJECT_MAX),
	KS_FIELD(ks_audit_row, outcome, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_audit_row, address, TEXT, KS_STORE_ADDRESS_MAX),
	KS_FIELD(ks_audit_row, request_id, TEXT, KS_STORE_REQUEST_ID_MAX),
	KS_FIELD(ks_audit_row, detail, TEXT, KS_STORE_DETAIL_MAX),
	KS_FIELD(ks_audit_row, tree, COUNT, 0),
	KS_FIELD(ks_audit_row, position, COUNT, 0),
	KS_FIELD(ks_audit_row, place, TEXT, KS_STORE_PLACE_MAX),
	KS_FIELD(ks_audit_row, salt, BYTES, KS_AUDIT_SALT_SIZE),
	KS_FIELD(ks_audit_row, leaf, BYTES, KS_SHA256_SIZE),
};

_Static_assert(KS_ARRAY_LEN(audit_fields) == KS_AUDIT_ROW_COLUMNS, "what is pending has all columns");

KS_ROW_TAKER(take_audit, ks_audit_row, ks_audit_each, audit_fields)

/* ---- the leaf ---- */

/* The 13 characters behind the prefix; empty where there is no id. */
static struct ks_str id_digits(uint64_t id, char text[KS_ID_TEXT_SIZE])
{
	if (id == 0)
		return KS_STR("");
	ks_id_format(KS_ID_AUDIT, id, text);
	return ks_str_of(&text[KS_ID_TEXT_LEN - 13], 13);
}

enum ks_err ks_audit_row_leaf(const struct ks_audit_row *row, struct ks_digest *ret_leaf)
{
	char id[KS_ID_TEXT_SIZE], tenant[KS_ID_TEXT_SIZE], organization[KS_ID_TEXT_SIZE], at[KS_TIME_TEXT_SIZE];
	struct ks_digest commitment;

	if (row->salt.n != KS_AUDIT_SALT_SIZE)
		return KS_MALFORMED;
	KS_TRY(ks_audit_commit((const uint8_t *)row->salt.p, row->actor, &commitment));
	ks_id_format(KS_ID_AUDIT, row->id, id);
	ks_time_format(row->at, at);
	return ks_audit_leaf_hash(&(struct ks_audit_leaf){
		.id = ks_str_c(id),
		.at = ks_str_c(at),
		.place = row->place,
		.on_behalf = row->on_behalf,
		.action = row->action,
		.object = row->object,
		.tenant = id_digits(row->tenant, tenant),
		.organization = id_digits(row->organization, organization),
		.outcome = row->outcome,
		.address = row->address,
		.request_id = row->request_id,
		.detail = ks_str_empty(row->detail) ? KS_STR("{}") : row->detail,
	}, &commitment, ret_leaf);
}

/* ---- appending ---- */

static enum ks_err draw_salt(struct ks_store *store, struct ks_str *ret_salt)
{
	if (store->salts_left == 0) {
		if (ks_random(store->salts, sizeof(store->salts)) != KS_OK) {
			ks_sql_explain(&store->error, "the system has no random numbers");
			return KS_SYSTEM;
		}
		store->salts_left = KS_ARRAY_LEN(store->salts);
	}
	*ret_salt = ks_str_of((const char *)store->salts[--store->salts_left], KS_AUDIT_SALT_SIZE);
	return KS_OK;
}

static struct ks_tree_memo *memo_of(struct ks_store *store, uint64_t tree)
{
	return &store->trees[(tree * UINT64_C(0x9e3779b97f4a7c15)) >> 54];
}

/* How many leaves the tree has; asked of the database once, and again after anything was undone. */
static enum ks_err next_position(struct ks_store *store, uint64_t tree, uint64_t *ret_position)
{
	struct ks_tree_memo *memo = memo_of(store, tree);

	if (!memo->known || memo->tree != tree) {
		uint64_t size;

		KS_TRY(ks_store_audit_size(store, tree, &size));
		*memo = (struct ks_tree_memo){.known = true, .tree = tree, .size = size};
	}
	*ret_position = memo->size;
	return KS_OK;
}

/* Gives the row its place in its tree; its texts are the caller's and `leaf`'s. */
static enum ks_err make_leaf(struct ks_store *store, struct ks_audit_row *row, struct ks_digest *leaf)
{
	if (row->organization)
		row->tree = row->organization;
	KS_TRY(next_position(store, row->tree, &row->position));
	KS_TRY(draw_salt(store, &row->salt));
	KS_TRY(ks_audit_row_leaf(row, leaf));
	row->leaf = ks_str_of((const char *)leaf->bytes, sizeof(leaf->bytes));
	return KS_OK;
}

static enum ks_err has_grown(struct ks_store *store, const struct ks_audit_row *row, const struct ks_digest *leaf)
{
	memo_of(store, row->tree)->size = row->position + 1;
	return ks_store_audit_grown(store, row->tree, row->position, leaf);
}

enum ks_err ks_store_audit_append(struct ks_store *store, const struct ks_audit_row *given)
{
	struct ks_sql_value values[KS_AUDIT_ROW_COLUMNS];
	struct ks_audit_row row = *given;
	struct ks_digest leaf;

	if (!ks_text_ok(row.place, KS_STORE_PLACE_MAX))
		return KS_MALFORMED;
	KS_TRY(make_leaf(store, &row, &leaf));
	KS_TRY(ks_fields_save(audit_fields, KS_AUDIT_ROW_COLUMNS, &row, values, &store->error));
	KS_TRY(ks_store_audit_put(store, row.id, values));
	return has_grown(store, &row, &leaf);
}

/* ---- entries of earlier versions ---- */

struct old_home {
	uint64_t tenant;
	uint64_t user;
};

static enum ks_err home_of_key(void *ctx, const struct ks_key_row *row)
{
	*(struct old_home *)ctx = (struct old_home){row->tenant, row->user};
	return KS_OK;
}

static enum ks_err home_of_user(void *ctx, const struct ks_user_row *row)
{
	*(struct old_home *)ctx = (struct old_home){row->organization, 0};
	return KS_OK;
}

static enum ks_err kind_of_tenant(void *ctx, const struct ks_tenant_row *row)
{
	*(enum ks_tenant_kind *)ctx = row->kind;
	return KS_OK;
}

/* KS_NOT_FOUND leaves what was there. */
static enum ks_err unless_missing(enum ks_err err)
{
	return err == KS_NOT_FOUND ? KS_OK : err;
}

/* As the engine tells it of new ones (engine/audit.c). */
static enum ks_err find_place(struct ks_store *store, struct ks_str actor, struct ks_str *ret_place)
{
	enum ks_tenant_kind kind = KS_TENANT_KIND_OPERATOR;
	struct old_home home = {0};
	uint64_t id;

	if (ks_str_eq(actor, KS_STR("system")) || ks_str_eq(actor, KS_STR("local"))) {
		*ret_place = actor;
		return KS_OK;
	}
	if (ks_id_parse(actor, KS_ID_KEY, &id))
		KS_TRY(unless_missing(ks_store_key_get(store, id, home_of_key, &home)));
	else if (ks_id_parse(actor, KS_ID_USER, &id))
		KS_TRY(unless_missing(ks_store_user_get(store, id, home_of_user, &home)));
	if (home.user)
		KS_TRY(unless_missing(ks_store_user_get(store, home.user, home_of_user, &home)));
	if (home.tenant)
		KS_TRY(unless_missing(ks_store_tenant_get(store, home.tenant, kind_of_tenant, &kind)));
	*ret_place = ks_str_c(ks_tenant_kind_text(kind));
	return KS_OK;
}

static enum ks_err find_tree(struct ks_store *store, const struct ks_audit_row *row, uint64_t *ret_tree)
{
	enum ks_tenant_kind kind = KS_TENANT_KIND_OPERATOR;

	if (row->tenant && !row->organization)
		KS_TRY(unless_missing(ks_store_tenant_get(store, row->tenant, kind_of_tenant, &kind)));
	*ret_tree = kind == KS_TENANT_KIND_PARTNER ? row->tenant : 0;
	return KS_OK;
}

/* An entry that was read, whole. */
struct old_entry {
	struct ks_audit_row row;
	char text[KS_STORE_DETAIL_MAX + 1024];
	bool found;
};

static void keep_text(struct ks_buf *text, struct ks_str *member)
{
	size_t at = text->n;

	ks_buf_put(text, *member);
	*member = ks_str_of(&text->p[at], member->n);
}

static enum ks_err keep_entry(void *ctx, const struct ks_audit_row *row)
{
	struct old_entry *old = ctx;
	struct ks_buf text = KS_BUF(old->text);
	struct ks_str *const members[] = {&old->row.actor, &old->row.on_behalf, &old->row.action, &old->row.object,
					  &old->row.outcome, &old->row.address, &old->row.request_id, &old->row.detail};

	old->row = *row;
	for (size_t i = 0; i < KS_ARRAY_LEN(members); i++)
		keep_text(&text, members[i]);
	old->found = true;
	return ks_buf_ok(&text) ? KS_OK : KS_CORRUPT;
}

static enum ks_err build_one(struct ks_store *store, struct old_entry *old)
{
	struct ks_audit_row *row = &old->row;
	struct ks_digest leaf;

	KS_TRY(find_place(store, row->actor, &row->place));
	KS_TRY(find_tree(store, row, &row->tree));
	KS_TRY(make_leaf(store, row, &leaf));
	KS_TRY(ks_store_write_one(store, KS_SQL_AUDIT_BUILD,
				  KS_PARAMS(ks_value_u64(row->id), ks_value_u64(row->tree), ks_value_u64(row->position),
					    ks_value_text(row->place), ks_value_blob(row->salt.p, row->salt.n),
					    ks_value_blob(row->leaf.p, row->leaf.n))));
	return has_grown(store, row, &leaf);
}

enum ks_err ks_store_audit_build(struct ks_store *store, size_t limit, size_t *ret_built)
{
	ks_audit_each *each = keep_entry;
	struct old_entry old;
	uint64_t after = 0;
	size_t count = 0;

	KS_TRY(ks_store_audit_flush(store));
	for (; count < limit; count++) {
		struct ks_row_taker taker = {store, &each, &old, 0};

		old.found = false;
		KS_TRY(ks_store_query(store, KS_SQL_AUDIT_UNBUILT, KS_PARAMS(ks_value_u64(after)),
				      KS_ARRAY_LEN(audit_fields), take_audit, &taker));
		if (!old.found)
			break;
		after = old.row.id;
		KS_TRY(build_one(store, &old));
	}
	*ret_built = count;
	return KS_OK;
}

/* ---- lists ---- */

static enum ks_sql_id choose(const struct ks_audit_filter *filter)
{
	if (filter->actor.n)
		return filter->oldest_first ? KS_SQL_AUDIT_OF_ACTOR_AFTER : KS_SQL_AUDIT_OF_ACTOR;
	if (filter->address.n)
		return filter->oldest_first ? KS_SQL_AUDIT_OF_ADDRESS_AFTER : KS_SQL_AUDIT_OF_ADDRESS;
	if (filter->outcome.n && !ks_str_eq(filter->outcome, KS_STR("ok")))
		return filter->oldest_first ? KS_SQL_AUDIT_OF_OUTCOME_AFTER : KS_SQL_AUDIT_OF_OUTCOME;
	if (filter->tenant)
		return filter->oldest_first ? KS_SQL_AUDIT_OF_TENANT_AFTER : KS_SQL_AUDIT_OF_TENANT;
	if (filter->organization || filter->has_tree)
		return filter->oldest_first ? KS_SQL_AUDIT_OF_TREE_AFTER : KS_SQL_AUDIT_OF_TREE;
	if (filter->action.n)
		return filter->oldest_first ? KS_SQL_AUDIT_OF_ACTION_AFTER : KS_SQL_AUDIT_OF_ACTION;
	return filter->oldest_first ? KS_SQL_AUDIT_AFTER : KS_SQL_AUDIT;
}

enum ks_err ks_store_audit(struct ks_store *store, const struct ks_audit_filter *filter, ks_audit_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	int64_t from = filter->from == KS_TIME_NONE ? 1 : ks_store_first_id(filter->from);
	int64_t to = filter->to == KS_TIME_NONE ? INT64_MAX : ks_store_first_id(filter->to);
	int64_t tree = filter->organization ? (int64_t)filter->organization : filter->has_tree ? (int64_t)filter->tree : -1;

	KS_TRY(ks_store_audit_flush(store));
	if (filter->before && filter->before < (uint64_t)to)
		to = (int64_t)filter->before;
	if (filter->after && filter->after >= (uint64_t)from)
		from = (int64_t)filter->after + 1;
	return ks_store_query(store, choose(filter),
			      KS_PARAMS(ks_value_i64(tree),
					ks_value_u64(filter->tenant), ks_value_text(filter->actor),
					ks_value_text(filter->action), ks_value_i64(from), ks_value_i64(to),
					ks_value_limit(filter->limit), ks_value_text(filter->address),
					ks_value_text(filter->outcome)),
			      KS_ARRAY_LEN(audit_fields), take_audit, &taker);
}

enum ks_err ks_store_audit_get(struct ks_store *store, uint64_t id, ks_audit_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	KS_TRY(ks_store_audit_flush(store));
	return ks_store_read(&taker, KS_SQL_AUDIT_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(audit_fields),
			     take_audit);
}
