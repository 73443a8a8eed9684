/* SPDX-License-Identifier: Apache-2.0 */
#include "store/endpoints.h"
#include "store/store_priv.h"

static const char *const states[] = {
#define X(name, text) text,
	KS_ENDPOINT_STATES(X)
#undef X
};

static const char *const signatures[] = {
#define X(name, text) text,
	KS_ENDPOINT_SIGNATURES(X)
#undef X
};

const char *ks_endpoint_state_text(enum ks_endpoint_state state)
{
	return states[state];
}

bool ks_endpoint_state_parse(struct ks_str text, enum ks_endpoint_state *ret_state)
{
	for (int i = 0; i < KS_ENDPOINT_STATE_COUNT; i++) {
		if (ks_str_eq(text, ks_str_c(states[i]))) {
			*ret_state = (enum ks_endpoint_state)i;
			return true;
		}
	}
	return false;
}

const char *ks_endpoint_signature_text(enum ks_endpoint_signature signature)
{
	return signatures[signature];
}

bool ks_endpoint_signature_parse(struct ks_str text, enum ks_endpoint_signature *ret_signature)
{
	for (int i = 0; i < KS_ENDPOINT_SIGNATURE_COUNT; i++) {
		if (ks_str_eq(text, ks_str_c(signatures[i]))) {
			*ret_signature = (enum ks_endpoint_signature)i;
			return true;
		}
	}
	return false;
}

/* ---- endpoints ---- */

static const struct ks_field endpoint_fields[] = {
	KS_FIELD(ks_endpoint_row, id, ID, 0),
	KS_FIELD(ks_endpoint_row, version, ID, 0),
	KS_FIELD(ks_endpoint_row, organization, REF, 0),
	KS_FIELD(ks_endpoint_row, tenant, ID, 0),
	KS_FIELD(ks_endpoint_row, state, ENUM, KS_ENDPOINT_STATE_COUNT),
	KS_FIELD(ks_endpoint_row, signature, ENUM, KS_ENDPOINT_SIGNATURE_COUNT),
	KS_FIELD(ks_endpoint_row, concurrency, COUNT, 0),
	KS_FIELD(ks_endpoint_row, rate_limit, COUNT, 0),
	KS_FIELD(ks_endpoint_row, created_at, TIME, 0),
	KS_FIELD(ks_endpoint_row, failing_since, SOME, 0),
	KS_FIELD(ks_endpoint_row, disabled_at, SOME, 0),
	KS_FIELD(ks_endpoint_row, deleted_at, SOME, 0),
	KS_FIELD(ks_endpoint_row, url, TEXT, KS_STORE_URL_MAX),
	KS_FIELD(ks_endpoint_row, events, TEXT, KS_STORE_ENDPOINT_EVENTS_MAX),
	KS_FIELD(ks_endpoint_row, description, TEXT, KS_STORE_DESCRIPTION_MAX),
	KS_FIELD(ks_endpoint_row, reason, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_endpoint_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
};

KS_ROW_TAKER(take_endpoint, ks_endpoint_row, ks_endpoint_each, endpoint_fields)

enum ks_err ks_store_endpoint_insert(struct ks_store *store, const struct ks_endpoint_row *row)
{
	return ks_store_insert(store, KS_SQL_ENDPOINT_INSERT, endpoint_fields, KS_ARRAY_LEN(endpoint_fields), row);
}

enum ks_err ks_store_endpoint_update(struct ks_store *store, const struct ks_endpoint_row *row)
{
	struct ks_sql_value all[KS_ARRAY_LEN(endpoint_fields)];

	/* The limits are those of an insertion. */
	KS_TRY(ks_fields_save(endpoint_fields, KS_ARRAY_LEN(endpoint_fields), row, all, &store->error));
	return ks_store_write_one(store, KS_SQL_ENDPOINT_UPDATE,
				  KS_PARAMS(ks_value_u64(row->id), ks_value_u64(row->version), ks_value_i64((int64_t)row->state),
					    ks_value_i64((int64_t)row->signature), ks_value_u64(row->concurrency),
					    ks_value_u64(row->rate_limit), ks_value_some(row->failing_since),
					    ks_value_some(row->disabled_at), ks_value_some(row->deleted_at),
					    ks_value_text(row->url), ks_value_text(row->events),
					    ks_value_text(row->description), ks_value_text(row->reason)));
}

enum ks_err ks_store_endpoint_failing(struct ks_store *store, uint64_t id, int64_t since)
{
	return ks_store_write_one(store, KS_SQL_ENDPOINT_FAILING, KS_PARAMS(ks_value_u64(id), ks_value_some(since)));
}

enum ks_err ks_store_endpoint_get(struct ks_store *store, uint64_t id, ks_endpoint_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_ENDPOINT_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(endpoint_fields),
			     take_endpoint);
}

enum ks_err ks_store_endpoints(struct ks_store *store, const struct ks_endpoint_filter *filter, ks_endpoint_each *each,
			       void *ctx)
{
	static const enum ks_sql_id statements[] = {KS_SQL_ENDPOINTS, KS_SQL_ENDPOINTS_OF_ORGANIZATION,
						    KS_SQL_ENDPOINTS_OF_TENANT};
	struct ks_row_taker taker = {store, &each, ctx, 0};
	size_t by = filter->tenant ? 2 : filter->organization ? 1 : 0;

	return ks_store_query(store, statements[by],
			      KS_PARAMS(ks_value_u64(filter->organization), ks_value_u64(filter->tenant),
					ks_value_before(filter->before), ks_value_limit(filter->limit)),
			      KS_ARRAY_LEN(endpoint_fields), take_endpoint, &taker);
}

enum ks_err ks_store_endpoints_changed(struct ks_store *store, uint64_t version, size_t limit, ks_endpoint_each *each,
				       void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_ENDPOINTS_CHANGED, KS_PARAMS(ks_value_u64(version), ks_value_limit(limit)),
			      KS_ARRAY_LEN(endpoint_fields), take_endpoint, &taker);
}

/* ---- what they are signed with ---- */

static const struct ks_field secret_fields[] = {
	KS_FIELD(ks_endpoint_secret_row, id, ID, 0),
	KS_FIELD(ks_endpoint_secret_row, endpoint, ID, 0),
	KS_FIELD(ks_endpoint_secret_row, signature, ENUM, KS_ENDPOINT_SIGNATURE_COUNT),
	KS_FIELD(ks_endpoint_secret_row, created_at, TIME, 0),
	KS_FIELD(ks_endpoint_secret_row, ends_at, SOME, 0),
	KS_FIELD(ks_endpoint_secret_row, public_key, TEXT, KS_STORE_PUBLIC_MAX),
	KS_FIELD(ks_endpoint_secret_row, sealed, BYTES, KS_STORE_ENDPOINT_SECRET_MAX),
};

KS_ROW_TAKER(take_secret, ks_endpoint_secret_row, ks_endpoint_secret_each, secret_fields)

enum ks_err ks_store_endpoint_secret_insert(struct ks_store *store, const struct ks_endpoint_secret_row *row)
{
	return ks_store_insert(store, KS_SQL_ENDPOINT_SECRET_INSERT, secret_fields, KS_ARRAY_LEN(secret_fields), row);
}

enum ks_err ks_store_endpoint_secrets_end(struct ks_store *store, uint64_t endpoint, int64_t at)
{
	return ks_store_write(store, KS_SQL_ENDPOINT_SECRETS_END, KS_PARAMS(ks_value_u64(endpoint), ks_value_i64(at)), NULL);
}

enum ks_err ks_store_endpoint_secrets_forget(struct ks_store *store, uint64_t endpoint, int64_t at)
{
	return ks_store_write(store, KS_SQL_ENDPOINT_SECRETS_FORGET, KS_PARAMS(ks_value_u64(endpoint), ks_value_i64(at)), NULL);
}

enum ks_err ks_store_endpoint_secrets(struct ks_store *store, uint64_t endpoint, ks_endpoint_secret_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_ENDPOINT_SECRETS, KS_PARAMS(ks_value_u64(endpoint)), KS_ARRAY_LEN(secret_fields),
			      take_secret, &taker);
}
