/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field user_fields[] = {
	KS_FIELD(ks_user_row, id, ID, 0),
	KS_FIELD(ks_user_row, organization, REF, 0),
	KS_FIELD(ks_user_row, personal, REF, 0),
	KS_FIELD(ks_user_row, email, TEXT, KS_STORE_EMAIL_MAX),
	KS_FIELD(ks_user_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_user_row, created_at, TIME, 0),
	KS_FIELD(ks_user_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_user_row, disabled_at, SOME, 0),
};

static const struct ks_field membership_fields[] = {
	KS_FIELD(ks_membership_row, user, ID, 0),
	KS_FIELD(ks_membership_row, tenant, ID, 0),
	KS_FIELD(ks_membership_row, role, TEXT, KS_STORE_ROLE_MAX),
	KS_FIELD(ks_membership_row, created_at, TIME, 0),
	KS_FIELD(ks_membership_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
};

KS_ROW_TAKER(take_user, ks_user_row, ks_user_each, user_fields)
KS_ROW_TAKER(take_membership, ks_membership_row, ks_membership_each, membership_fields)

enum ks_err ks_store_user_insert(struct ks_store *store, const struct ks_user_row *row)
{
	KS_TRY(ks_store_insert(store, KS_SQL_USER_INSERT, user_fields, KS_ARRAY_LEN(user_fields), row));
	store->added.users++;
	return KS_OK;
}

enum ks_err ks_store_user_update(struct ks_store *store, const struct ks_user_row *row)
{
	struct ks_sql_value personal = row->personal ? ks_value_u64(row->personal) : ks_value_some(KS_TIME_NONE);

	KS_TRY(ks_store_check_text(store, row->name, KS_STORE_NAME_MAX));
	return ks_store_write_one(
		store, KS_SQL_USER_UPDATE,
		KS_PARAMS(ks_value_u64(row->id), personal, ks_value_text(row->name), ks_value_some(row->disabled_at)));
}

enum ks_err ks_store_user_get(struct ks_store *store, uint64_t id, ks_user_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_USER_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(user_fields),
			     take_user);
}

enum ks_err ks_store_user_by_email(struct ks_store *store, struct ks_str email, ks_user_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_USER_BY_EMAIL, KS_PARAMS(ks_value_text(email)), KS_ARRAY_LEN(user_fields),
			     take_user);
}

enum ks_err ks_store_users(struct ks_store *store, uint64_t organization, uint64_t before, size_t limit,
			   ks_user_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	struct ks_sql_value params[3] = {ks_value_before(before), ks_value_limit(limit), ks_value_u64(organization)};
	enum ks_sql_id id = KS_SQL_USERS_OF_ORGANIZATION;
	size_t count = 3;

	if (organization == 0 || organization == KS_STORE_ANY) {
		id = organization ? KS_SQL_USERS : KS_SQL_USERS_OF_OPERATOR;
		count = 2;
	}
	return ks_store_query(store, id, params, count, KS_ARRAY_LEN(user_fields), take_user, &taker);
}

enum ks_err ks_store_users_all(struct ks_store *store, ks_user_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_USERS_ALL, NULL, 0, KS_ARRAY_LEN(user_fields), take_user, &taker);
}

enum ks_err ks_store_membership_put(struct ks_store *store, const struct ks_membership_row *row)
{
	return ks_store_insert(store, KS_SQL_MEMBERSHIP_PUT, membership_fields, KS_ARRAY_LEN(membership_fields), row);
}

enum ks_err ks_store_membership_delete(struct ks_store *store, uint64_t user, uint64_t tenant)
{
	return ks_store_write_one(store, KS_SQL_MEMBERSHIP_DELETE, KS_PARAMS(ks_value_u64(user), ks_value_u64(tenant)));
}

enum ks_err ks_store_memberships_of_user(struct ks_store *store, uint64_t user, ks_membership_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_MEMBERSHIPS_OF_USER, KS_PARAMS(ks_value_u64(user)),
			      KS_ARRAY_LEN(membership_fields), take_membership, &taker);
}

enum ks_err ks_store_memberships_of_tenant(struct ks_store *store, uint64_t tenant, uint64_t before, size_t limit,
					   ks_membership_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_MEMBERSHIPS_OF_TENANT,
			      KS_PARAMS(ks_value_u64(tenant), ks_value_before(before), ks_value_limit(limit)),
			      KS_ARRAY_LEN(membership_fields), take_membership, &taker);
}
