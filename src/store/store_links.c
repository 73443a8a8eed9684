/* SPDX-License-Identifier: Apache-2.0 */
#include "store/links.h"
#include "store/store_priv.h"

static const struct ks_field link_fields[] = {
	KS_FIELD(ks_link_row, id, ID, 0),
	KS_FIELD(ks_link_row, digest, DIGEST, 0),
	KS_FIELD(ks_link_row, organization, ID, 0),
	KS_FIELD(ks_link_row, tenant, ID, 0),
	KS_FIELD(ks_link_row, provider, ID, 0),
	KS_FIELD(ks_link_row, state, ENUM, KS_LINK_STATE_COUNT),
	KS_FIELD(ks_link_row, attempts, COUNT, 0),
	KS_FIELD(ks_link_row, created_at, TIME, 0),
	KS_FIELD(ks_link_row, expires_at, TIME, 0),
	KS_FIELD(ks_link_row, ended_at, SOME, 0),
	KS_FIELD(ks_link_row, version, REF, 0),
	KS_FIELD(ks_link_row, field, TEXT, KS_STORE_FIELD_NAME_MAX),
	KS_FIELD(ks_link_row, recipient, TEXT, KS_STORE_RECIPIENT_MAX),
	KS_FIELD(ks_link_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
};

KS_ROW_TAKER(take_link, ks_link_row, ks_link_each, link_fields)

const char *ks_link_state_text(enum ks_link_state state)
{
	static const char *const texts[] = {
#define X(name, text) text,
		KS_LINK_STATES(X)
#undef X
	};

	return texts[state];
}

enum ks_err ks_store_link_insert(struct ks_store *store, const struct ks_link_row *row)
{
	return ks_store_insert(store, KS_SQL_LINK_INSERT, link_fields, KS_ARRAY_LEN(link_fields), row);
}

enum ks_err ks_store_link_get(struct ks_store *store, uint64_t id, ks_link_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_LINK_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(link_fields), take_link);
}

enum ks_err ks_store_link_by_digest(struct ks_store *store, const struct ks_digest *digest, ks_link_each *each,
				    void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_LINK_BY_DIGEST, KS_PARAMS(ks_value_blob(digest->bytes, KS_SHA256_SIZE)),
			     KS_ARRAY_LEN(link_fields), take_link);
}

enum ks_err ks_store_links_of_provider(struct ks_store *store, uint64_t provider, uint64_t before, size_t limit,
				       ks_link_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_LINKS_OF_PROVIDER,
			      KS_PARAMS(ks_value_u64(provider), ks_value_before(before), ks_value_limit(limit)),
			      KS_ARRAY_LEN(link_fields), take_link, &taker);
}

enum ks_err ks_store_links_over(struct ks_store *store, int64_t now_ms, size_t limit, ks_link_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_LINKS_OVER, KS_PARAMS(ks_value_i64(now_ms), ks_value_limit(limit)),
			      KS_ARRAY_LEN(link_fields), take_link, &taker);
}

enum ks_err ks_store_link_end(struct ks_store *store, uint64_t id, enum ks_link_state state, uint64_t version,
			      int64_t at)
{
	if (state <= KS_LINK_OPEN || state >= KS_LINK_STATE_COUNT || at == KS_TIME_NONE)
		return KS_MALFORMED;
	return ks_store_write_one(store, KS_SQL_LINK_END,
				  KS_PARAMS(ks_value_u64(id), ks_value_i64((int64_t)state),
					    version ? ks_value_u64(version) : (struct ks_sql_value){.type = KS_SQL_NULL},
					    ks_value_i64(at)));
}

enum ks_err ks_store_link_attempt(struct ks_store *store, uint64_t id)
{
	return ks_store_write_one(store, KS_SQL_LINK_ATTEMPT, KS_PARAMS(ks_value_u64(id)));
}
