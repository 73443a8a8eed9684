/* SPDX-License-Identifier: Apache-2.0 */
#include "store/federation.h"
#include "store/store_priv.h"

/* ---- issuers of JWTs ---- */

static const struct ks_field issuer_fields[] = {
	KS_FIELD(ks_foreign_issuer_row, id, ID, 0),
	KS_FIELD(ks_foreign_issuer_row, organization, ID, 0),
	KS_FIELD(ks_foreign_issuer_row, enabled, BOOL, 0),
	KS_FIELD(ks_foreign_issuer_row, created_at, TIME, 0),
	KS_FIELD(ks_foreign_issuer_row, deleted_at, SOME, 0),
	KS_FIELD(ks_foreign_issuer_row, next_at, TIME, 0),
	KS_FIELD(ks_foreign_issuer_row, tried_at, SOME, 0),
	KS_FIELD(ks_foreign_issuer_row, fetched_at, SOME, 0),
	KS_FIELD(ks_foreign_issuer_row, failures, COUNT, 0),
	KS_FIELD(ks_foreign_issuer_row, failure, TEXT, KS_STORE_FAILURE_MAX),
	KS_FIELD(ks_foreign_issuer_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_foreign_issuer_row, issuer, TEXT, KS_STORE_ISSUER_MAX),
	KS_FIELD(ks_foreign_issuer_row, audience, TEXT, KS_STORE_AUDIENCE_MAX),
	KS_FIELD(ks_foreign_issuer_row, jwks_url, TEXT, KS_STORE_URL_MAX),
	KS_FIELD(ks_foreign_issuer_row, rules, TEXT, KS_STORE_RULES_MAX),
	KS_FIELD(ks_foreign_issuer_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_foreign_issuer_row, jwks, TEXT, KS_STORE_JWKS_MAX),
};

KS_ROW_TAKER(take_issuer, ks_foreign_issuer_row, ks_foreign_issuer_each, issuer_fields)

enum ks_err ks_store_foreign_issuer_insert(struct ks_store *store, const struct ks_foreign_issuer_row *row)
{
	return ks_store_insert(store, KS_SQL_FOREIGN_ISSUER_INSERT, issuer_fields, KS_ARRAY_LEN(issuer_fields), row);
}

enum ks_err ks_store_foreign_issuer_get(struct ks_store *store, uint64_t id, ks_foreign_issuer_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_FOREIGN_ISSUER_GET, KS_PARAMS(ks_value_u64(id)),
			     KS_ARRAY_LEN(issuer_fields), take_issuer);
}

enum ks_err ks_store_foreign_issuers(struct ks_store *store, uint64_t organization, uint64_t before, size_t limit,
				     ks_foreign_issuer_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	struct ks_sql_value params[3] = {ks_value_before(before), ks_value_limit(limit), ks_value_u64(organization)};
	bool any = organization == KS_STORE_ANY;

	return ks_store_query(store, any ? KS_SQL_FOREIGN_ISSUERS : KS_SQL_FOREIGN_ISSUERS_OF_ORGANIZATION, params,
			      any ? 2 : 3, KS_ARRAY_LEN(issuer_fields), take_issuer, &taker);
}

enum ks_err ks_store_foreign_issuers_all(struct ks_store *store, ks_foreign_issuer_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_FOREIGN_ISSUERS_ALL, NULL, 0, KS_ARRAY_LEN(issuer_fields), take_issuer,
			      &taker);
}

enum ks_err ks_store_foreign_issuers_due(struct ks_store *store, int64_t now_ms, size_t limit,
					 ks_foreign_issuer_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_FOREIGN_ISSUERS_DUE, KS_PARAMS(ks_value_i64(now_ms), ks_value_limit(limit)),
			      KS_ARRAY_LEN(issuer_fields), take_issuer, &taker);
}

static enum ks_err take_next(void *ctx, const struct ks_sql_value *values)
{
	if (values[0].type != KS_SQL_INTEGER)
		return KS_NOT_FOUND;
	*(int64_t *)ctx = values[0].integer;
	return KS_OK;
}

enum ks_err ks_store_foreign_issuers_next(struct ks_store *store, int64_t *ret_next_at)
{
	return ks_store_query(store, KS_SQL_FOREIGN_ISSUERS_NEXT, NULL, 0, 1, take_next, ret_next_at);
}

enum ks_err ks_store_foreign_issuer_set_enabled(struct ks_store *store, uint64_t id, bool enabled, int64_t next_at)
{
	return ks_store_write_one(store, KS_SQL_FOREIGN_ISSUER_SET_ENABLED,
				  KS_PARAMS(ks_value_u64(id), ks_value_i64(enabled), ks_value_i64(next_at)));
}

enum ks_err ks_store_foreign_issuer_delete(struct ks_store *store, uint64_t id, int64_t at)
{
	return ks_store_write_one(store, KS_SQL_FOREIGN_ISSUER_DELETE, KS_PARAMS(ks_value_u64(id), ks_value_i64(at)));
}

enum ks_err ks_store_foreign_issuer_fetched(struct ks_store *store, uint64_t id, struct ks_str jwks, int64_t at,
					    int64_t next_at)
{
	KS_TRY(ks_store_check_text(store, jwks, KS_STORE_JWKS_MAX));
	return ks_store_write_one(
		store, KS_SQL_FOREIGN_ISSUER_FETCHED,
		KS_PARAMS(ks_value_u64(id), ks_value_text(jwks), ks_value_i64(at), ks_value_i64(next_at)));
}

enum ks_err ks_store_foreign_issuer_failed(struct ks_store *store, uint64_t id, struct ks_str failure, int64_t at,
					   int64_t next_at)
{
	KS_TRY(ks_store_check_text(store, failure, KS_STORE_FAILURE_MAX));
	return ks_store_write_one(
		store, KS_SQL_FOREIGN_ISSUER_FAILED,
		KS_PARAMS(ks_value_u64(id), ks_value_text(failure), ks_value_i64(at), ks_value_i64(next_at)));
}

/* ---- identity providers ---- */

static const struct ks_field provider_fields[] = {
	KS_FIELD(ks_identity_provider_row, id, ID, 0),
	KS_FIELD(ks_identity_provider_row, organization, REF, 0),
	KS_FIELD(ks_identity_provider_row, enabled, BOOL, 0),
	KS_FIELD(ks_identity_provider_row, created_at, TIME, 0),
	KS_FIELD(ks_identity_provider_row, deleted_at, SOME, 0),
	KS_FIELD(ks_identity_provider_row, auto_create, BOOL, 0),
	KS_FIELD(ks_identity_provider_row, default_tenant, REF, 0),
	KS_FIELD(ks_identity_provider_row, default_role, TEXT, KS_STORE_ROLE_MAX),
	KS_FIELD(ks_identity_provider_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_identity_provider_row, issuer, TEXT, KS_STORE_ISSUER_MAX),
	KS_FIELD(ks_identity_provider_row, client_id, TEXT, KS_STORE_CLIENT_ID_MAX),
	KS_FIELD(ks_identity_provider_row, scopes, TEXT, KS_STORE_SCOPES_TEXT_MAX),
	KS_FIELD(ks_identity_provider_row, domains, TEXT, KS_STORE_DOMAINS_MAX),
	KS_FIELD(ks_identity_provider_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_identity_provider_row, secret, BYTES, KS_STORE_CLIENT_SECRET_MAX),
};

KS_ROW_TAKER(take_provider, ks_identity_provider_row, ks_identity_provider_each, provider_fields)

enum ks_err ks_store_identity_provider_insert(struct ks_store *store, const struct ks_identity_provider_row *row)
{
	return ks_store_insert(store, KS_SQL_IDENTITY_PROVIDER_INSERT, provider_fields, KS_ARRAY_LEN(provider_fields),
			       row);
}

enum ks_err ks_store_identity_provider_get(struct ks_store *store, uint64_t id, ks_identity_provider_each *each,
					   void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_IDENTITY_PROVIDER_GET, KS_PARAMS(ks_value_u64(id)),
			     KS_ARRAY_LEN(provider_fields), take_provider);
}

enum ks_err ks_store_identity_providers(struct ks_store *store, uint64_t organization, uint64_t before, size_t limit,
					ks_identity_provider_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	struct ks_sql_value params[3] = {ks_value_before(before), ks_value_limit(limit), ks_value_u64(organization)};
	enum ks_sql_id id = KS_SQL_IDENTITY_PROVIDERS_OF_ORGANIZATION;
	size_t count = 3;

	if (organization == 0 || organization == KS_STORE_ANY) {
		id = organization ? KS_SQL_IDENTITY_PROVIDERS : KS_SQL_IDENTITY_PROVIDERS_OF_OPERATOR;
		count = 2;
	}
	return ks_store_query(store, id, params, count, KS_ARRAY_LEN(provider_fields), take_provider, &taker);
}

enum ks_err ks_store_identity_provider_set_enabled(struct ks_store *store, uint64_t id, bool enabled)
{
	return ks_store_write_one(store, KS_SQL_IDENTITY_PROVIDER_SET_ENABLED,
				  KS_PARAMS(ks_value_u64(id), ks_value_i64(enabled)));
}

enum ks_err ks_store_identity_provider_delete(struct ks_store *store, uint64_t id, int64_t at)
{
	return ks_store_write_one(store, KS_SQL_IDENTITY_PROVIDER_DELETE,
				  KS_PARAMS(ks_value_u64(id), ks_value_i64(at), ks_value_blob("", 0)));
}

/* ---- who users are to them ---- */

static const struct ks_field identity_fields[] = {
	KS_FIELD(ks_identity_row, organization, COUNT, 0),
	KS_FIELD(ks_identity_row, issuer, TEXT, KS_STORE_ISSUER_MAX),
	KS_FIELD(ks_identity_row, subject, TEXT, KS_STORE_SUBJECT_MAX),
	KS_FIELD(ks_identity_row, user, ID, 0),
	KS_FIELD(ks_identity_row, created_at, TIME, 0),
};

KS_ROW_TAKER(take_identity, ks_identity_row, ks_identity_each, identity_fields)

enum ks_err ks_store_identity_insert(struct ks_store *store, const struct ks_identity_row *row)
{
	return ks_store_insert(store, KS_SQL_IDENTITY_INSERT, identity_fields, KS_ARRAY_LEN(identity_fields), row);
}

enum ks_err ks_store_identity_get(struct ks_store *store, uint64_t organization, struct ks_str issuer,
				  struct ks_str subject, ks_identity_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_IDENTITY_GET,
			     KS_PARAMS(ks_value_u64(organization), ks_value_text(issuer), ks_value_text(subject)),
			     KS_ARRAY_LEN(identity_fields), take_identity);
}

/* ---- logins ---- */

struct login_used {
	struct ks_digest state;
	int64_t used_at;
};

static const struct ks_field login_fields[] = {
	KS_FIELD(login_used, state, DIGEST, 0),
	KS_FIELD(login_used, used_at, TIME, 0),
};

enum ks_err ks_store_login_use(struct ks_store *store, const struct ks_digest *state, int64_t at, int64_t forget_before)
{
	uint64_t forgotten;

	KS_TRY(ks_store_insert(store, KS_SQL_LOGIN_USE, login_fields, KS_ARRAY_LEN(login_fields),
			       &(struct login_used){*state, at}));
	return ks_store_write(store, KS_SQL_LOGINS_FORGET, KS_PARAMS(ks_value_i64(forget_before)), &forgotten);
}

enum ks_err ks_store_login_used(struct ks_store *store, const struct ks_digest *state, bool *ret_used)
{
	int64_t at;
	enum ks_err err = ks_store_query_numbers(store, KS_SQL_LOGIN_USED,
						 KS_PARAMS(ks_value_blob(state->bytes, sizeof(state->bytes))), 1, &at);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_used = err == KS_OK;
	return KS_OK;
}
