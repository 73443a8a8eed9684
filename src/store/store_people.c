/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords, invitations, second factors and sessions. */
#include "store/store_priv.h"

#define FORGET_MAX 1024

static const struct ks_field password_fields[] = {
	KS_FIELD(ks_password_row, user, ID, 0),
	KS_FIELD(ks_password_row, changed_at, TIME, 0),
	KS_FIELD(ks_password_row, hash, TEXT, KS_STORE_HASH_MAX),
};

static const struct ks_field invitation_fields[] = {
	KS_FIELD(ks_invitation_row, user, ID, 0),
	KS_FIELD(ks_invitation_row, digest, DIGEST, 0),
	KS_FIELD(ks_invitation_row, created_at, TIME, 0),
	KS_FIELD(ks_invitation_row, expires_at, TIME, 0),
	KS_FIELD(ks_invitation_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
};

static const struct ks_field totp_fields[] = {
	KS_FIELD(ks_totp_row, user, ID, 0),
	KS_FIELD(ks_totp_row, confirmed_at, SOME, 0),
	KS_FIELD(ks_totp_row, last_step, COUNT, 0),
	KS_FIELD(ks_totp_row, sealed, BYTES, KS_STORE_SEALED_MAX),
};

#define SESSION_OWN_FIELDS 9
static const struct ks_field session_fields[] = {
	KS_FIELD(ks_session_row, id, ID, 0),
	KS_FIELD(ks_session_row, digest, DIGEST, 0),
	KS_FIELD(ks_session_row, user, ID, 0),
	KS_FIELD(ks_session_row, created_at, TIME, 0),
	KS_FIELD(ks_session_row, expires_at, TIME, 0),
	KS_FIELD(ks_session_row, ended_at, SOME, 0),
	KS_FIELD(ks_session_row, method, ENUM, KS_SESSION_METHOD_COUNT),
	KS_FIELD(ks_session_row, address, TEXT, KS_STORE_ADDRESS_MAX),
	KS_FIELD(ks_session_row, agent, TEXT, KS_STORE_AGENT_MAX),
	KS_FIELD(ks_session_row, last_used_at, SOME, 0),
	KS_FIELD(ks_session_row, last_used_address, TEXT, KS_STORE_ADDRESS_MAX),
};

KS_ROW_TAKER(take_password, ks_password_row, ks_password_each, password_fields)
KS_ROW_TAKER(take_invitation, ks_invitation_row, ks_invitation_each, invitation_fields)
KS_ROW_TAKER(take_totp, ks_totp_row, ks_totp_each, totp_fields)
KS_ROW_TAKER(take_session, ks_session_row, ks_session_each, session_fields)

static struct ks_sql_value digest_value(const struct ks_digest *digest)
{
	return ks_value_blob(digest->bytes, KS_SHA256_SIZE);
}

/* ---- passwords, invitations ---- */

enum ks_err ks_store_password_put(struct ks_store *store, const struct ks_password_row *row)
{
	return ks_store_insert(store, KS_SQL_PASSWORD_PUT, password_fields, KS_ARRAY_LEN(password_fields), row);
}

enum ks_err ks_store_password_get(struct ks_store *store, uint64_t user, ks_password_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_PASSWORD_GET, KS_PARAMS(ks_value_u64(user)), KS_ARRAY_LEN(password_fields),
			     take_password);
}

enum ks_err ks_store_invitation_put(struct ks_store *store, const struct ks_invitation_row *row)
{
	return ks_store_insert(store, KS_SQL_INVITATION_PUT, invitation_fields, KS_ARRAY_LEN(invitation_fields), row);
}

enum ks_err ks_store_invitation_get(struct ks_store *store, uint64_t user, ks_invitation_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_INVITATION_GET, KS_PARAMS(ks_value_u64(user)),
			     KS_ARRAY_LEN(invitation_fields), take_invitation);
}

enum ks_err ks_store_invitation_by_digest(struct ks_store *store, const struct ks_digest *digest,
					  ks_invitation_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_INVITATION_BY_DIGEST, KS_PARAMS(digest_value(digest)),
			     KS_ARRAY_LEN(invitation_fields), take_invitation);
}

enum ks_err ks_store_invitation_delete(struct ks_store *store, uint64_t user)
{
	return ks_store_write_one(store, KS_SQL_INVITATION_DELETE, KS_PARAMS(ks_value_u64(user)));
}

/* ---- second factors ---- */

enum ks_err ks_store_totp_put(struct ks_store *store, const struct ks_totp_row *row)
{
	return ks_store_insert(store, KS_SQL_TOTP_PUT, totp_fields, KS_ARRAY_LEN(totp_fields), row);
}

enum ks_err ks_store_totp_get(struct ks_store *store, uint64_t user, ks_totp_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_TOTP_GET, KS_PARAMS(ks_value_u64(user)), KS_ARRAY_LEN(totp_fields),
			     take_totp);
}

enum ks_err ks_store_totp_used(struct ks_store *store, uint64_t user, uint64_t step)
{
	return ks_store_write_one(store, KS_SQL_TOTP_USED, KS_PARAMS(ks_value_u64(user), ks_value_u64(step)));
}

enum ks_err ks_store_totp_confirmed(struct ks_store *store, uint64_t user, int64_t at)
{
	return ks_store_write_one(store, KS_SQL_TOTP_CONFIRMED, KS_PARAMS(ks_value_u64(user), ks_value_i64(at)));
}

enum ks_err ks_store_totp_delete(struct ks_store *store, uint64_t user)
{
	KS_TRY(ks_store_recovery_clear(store, user));
	return ks_store_write_one(store, KS_SQL_TOTP_DELETE, KS_PARAMS(ks_value_u64(user)));
}

enum ks_err ks_store_recovery_put(struct ks_store *store, uint64_t user, const struct ks_digest *digest)
{
	return ks_store_write(store, KS_SQL_RECOVERY_PUT, KS_PARAMS(ks_value_u64(user), digest_value(digest)), NULL);
}

enum ks_err ks_store_recovery_use(struct ks_store *store, uint64_t user, const struct ks_digest *digest)
{
	return ks_store_write_one(store, KS_SQL_RECOVERY_USE, KS_PARAMS(ks_value_u64(user), digest_value(digest)));
}

enum ks_err ks_store_recovery_clear(struct ks_store *store, uint64_t user)
{
	return ks_store_write(store, KS_SQL_RECOVERY_CLEAR, KS_PARAMS(ks_value_u64(user)), NULL);
}

static enum ks_err read_count(struct ks_store *store, enum ks_sql_id id, struct ks_sql_value param, uint64_t *ret_count)
{
	int64_t number;

	KS_TRY(ks_store_query_numbers(store, id, &param, 1, 1, &number));
	*ret_count = (uint64_t)KS_MAX(number, 0);
	return KS_OK;
}

enum ks_err ks_store_recovery_left(struct ks_store *store, uint64_t user, uint64_t *ret_count)
{
	return read_count(store, KS_SQL_RECOVERY_LEFT, ks_value_u64(user), ret_count);
}

/* ---- sessions ---- */

const char *ks_session_method_text(enum ks_session_method method)
{
	static const char *const texts[] = {
#define X(name, text) text,
		KS_SESSION_METHODS(X)
#undef X
	};

	return texts[method];
}

enum ks_err ks_store_session_insert(struct ks_store *store, const struct ks_session_row *row)
{
	return ks_store_insert(store, KS_SQL_SESSION_INSERT, session_fields, SESSION_OWN_FIELDS, row);
}

enum ks_err ks_store_session_end(struct ks_store *store, uint64_t id, int64_t at)
{
	return ks_store_write_one(store, KS_SQL_SESSION_END, KS_PARAMS(ks_value_u64(id), ks_value_i64(at)));
}

enum ks_err ks_store_session_used(struct ks_store *store, uint64_t id, uint64_t uses, int64_t last_used_at,
				  struct ks_str last_used_address)
{
	KS_TRY(ks_store_check_text(store, last_used_address, KS_STORE_ADDRESS_MAX));
	return ks_store_write(store, KS_SQL_KEY_USED,
			      KS_PARAMS(ks_value_u64(id), ks_value_u64(KS_MIN(uses, UINT32_MAX)),
					ks_value_i64(last_used_at), ks_value_text(last_used_address)),
			      NULL);
}

enum ks_err ks_store_session_get(struct ks_store *store, uint64_t id, ks_session_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_SESSION_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(session_fields),
			     take_session);
}

enum ks_err ks_store_sessions_of_user(struct ks_store *store, uint64_t user, int64_t now_ms, uint64_t before,
				      size_t limit, ks_session_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_SESSIONS_OF_USER,
			      KS_PARAMS(ks_value_u64(user), ks_value_i64(now_ms), ks_value_before(before),
					ks_value_limit(limit)),
			      KS_ARRAY_LEN(session_fields), take_session, &taker);
}

enum ks_err ks_store_sessions_live(struct ks_store *store, int64_t now_ms, ks_session_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_SESSIONS_LIVE, KS_PARAMS(ks_value_i64(now_ms)),
			      KS_ARRAY_LEN(session_fields), take_session, &taker);
}

enum ks_err ks_store_sessions_live_count(struct ks_store *store, int64_t now_ms, uint64_t *ret_count)
{
	return read_count(store, KS_SQL_SESSIONS_LIVE_COUNT, ks_value_i64(now_ms), ret_count);
}

struct id_list {
	uint64_t *ids;
	size_t count;
	size_t cap;
};

static enum ks_err take_id(void *ctx, const struct ks_sql_value *values)
{
	struct id_list *list = ctx;

	if (values[0].type != KS_SQL_INTEGER || values[0].integer <= 0 || list->count == list->cap)
		return KS_CORRUPT;
	list->ids[list->count++] = (uint64_t)values[0].integer;
	return KS_OK;
}

enum ks_err ks_store_sessions_idle(struct ks_store *store, int64_t now_ms, int64_t idle_since, size_t limit,
				   uint64_t *ret_ids, size_t *ret_count)
{
	struct id_list list = {.ids = ret_ids, .cap = limit};

	KS_TRY(ks_store_query(store, KS_SQL_SESSIONS_IDLE,
			      KS_PARAMS(ks_value_i64(now_ms), ks_value_i64(idle_since), ks_value_limit(limit)), 1,
			      take_id, &list));
	*ret_count = list.count;
	return KS_OK;
}

enum ks_err ks_store_sessions_forget(struct ks_store *store, int64_t before, size_t limit)
{
	uint64_t ids[FORGET_MAX];
	struct id_list list = {.ids = ids, .cap = FORGET_MAX};

	KS_TRY(ks_store_query(store, KS_SQL_SESSIONS_OVER,
			      KS_PARAMS(ks_value_i64(before), ks_value_limit(KS_MIN(limit, FORGET_MAX))), 1, take_id,
			      &list));
	for (size_t i = 0; i < list.count; i++) {
		struct ks_sql_value id = ks_value_u64(ids[i]);

		KS_TRY(ks_store_write(store, KS_SQL_SESSION_FORGET_COUNTS, &id, 1, NULL));
		KS_TRY(ks_store_write(store, KS_SQL_SESSION_FORGET_USAGE, &id, 1, NULL));
		KS_TRY(ks_store_write(store, KS_SQL_SESSION_FORGET, &id, 1, NULL));
	}
	return KS_OK;
}
