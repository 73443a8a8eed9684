/* SPDX-License-Identifier: Apache-2.0 */
#include "store/sources.h"
#include "store/store_priv.h"

/* ---- sources ---- */

static const struct ks_field source_fields[] = {
	KS_FIELD(ks_source_row, id, ID, 0),
	KS_FIELD(ks_source_row, organization, ID, 0),
	KS_FIELD(ks_source_row, tenant, ID, 0),
	KS_FIELD(ks_source_row, provider, REF, 0),
	KS_FIELD(ks_source_row, revision, COUNT, 0),
	KS_FIELD(ks_source_row, created_at, TIME, 0),
	KS_FIELD(ks_source_row, paused_at, SOME, 0),
	KS_FIELD(ks_source_row, deleted_at, SOME, 0),
	KS_FIELD(ks_source_row, confirm_until, TIME, 0),
	KS_FIELD(ks_source_row, platform, TEXT, KS_STORE_PLATFORM_MAX),
	KS_FIELD(ks_source_row, scheme, TEXT, KS_STORE_SCHEME_MAX),
	KS_FIELD(ks_source_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_source_row, form, TEXT, KS_STORE_FORM_MAX),
	KS_FIELD(ks_source_row, confirm_url, TEXT, KS_STORE_URL_MAX),
	KS_FIELD(ks_source_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
};

KS_ROW_TAKER(take_source, ks_source_row, ks_source_each, source_fields)

enum ks_err ks_store_source_insert(struct ks_store *store, const struct ks_source_row *row)
{
	return ks_store_insert(store, KS_SQL_SOURCE_INSERT, source_fields, KS_ARRAY_LEN(source_fields), row);
}

enum ks_err ks_store_source_get(struct ks_store *store, uint64_t id, ks_source_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_SOURCE_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(source_fields),
			     take_source);
}

enum ks_err ks_store_sources(struct ks_store *store, const struct ks_source_filter *filter, ks_source_each *each,
			     void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	enum ks_sql_id statement = filter->tenant	  ? KS_SQL_SOURCES_OF_TENANT
				   : filter->organization ? KS_SQL_SOURCES_OF_ORGANIZATION
							  : KS_SQL_SOURCES;

	return ks_store_query(store, statement,
			      KS_PARAMS(ks_value_u64(filter->organization), ks_value_u64(filter->tenant),
					ks_value_before(filter->before), ks_value_limit(filter->limit)),
			      KS_ARRAY_LEN(source_fields), take_source, &taker);
}

enum ks_err ks_store_sources_of_provider(struct ks_store *store, uint64_t provider, uint64_t before, size_t limit,
					 ks_source_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_SOURCES_OF_PROVIDER,
			      KS_PARAMS(ks_value_u64(provider), ks_value_before(before), ks_value_limit(limit)),
			      KS_ARRAY_LEN(source_fields), take_source, &taker);
}

enum ks_err ks_store_source_pause(struct ks_store *store, uint64_t id, int64_t paused_at)
{
	return ks_store_write_one(store, KS_SQL_SOURCE_PAUSE, KS_PARAMS(ks_value_u64(id), ks_value_some(paused_at)));
}

enum ks_err ks_store_source_delete(struct ks_store *store, uint64_t id, int64_t at)
{
	return ks_store_write_one(store, KS_SQL_SOURCE_DELETE, KS_PARAMS(ks_value_u64(id), ks_value_i64(at)));
}

enum ks_err ks_store_source_revise(struct ks_store *store, uint64_t id, uint64_t revision)
{
	return ks_store_write_one(store, KS_SQL_SOURCE_REVISE, KS_PARAMS(ks_value_u64(id), ks_value_u64(revision)));
}

enum ks_err ks_store_source_confirm(struct ks_store *store, uint64_t id, int64_t until, struct ks_str confirm_url)
{
	KS_TRY(ks_store_check_text(store, confirm_url, KS_STORE_URL_MAX));
	return ks_store_write_one(store, KS_SQL_SOURCE_CONFIRM,
				  KS_PARAMS(ks_value_u64(id), ks_value_i64(until), ks_value_text(confirm_url)));
}

static const struct ks_field look_fields[] = {
	KS_FIELD(ks_source_look, organization, ID, 0),
	KS_FIELD(ks_source_look, tenant, ID, 0),
	KS_FIELD(ks_source_look, provider, REF, 0),
	KS_FIELD(ks_source_look, revision, COUNT, 0),
	KS_FIELD(ks_source_look, paused_at, SOME, 0),
	KS_FIELD(ks_source_look, confirm_until, TIME, 0),
	KS_FIELD(ks_source_look, current_set, COUNT, 0),
	KS_FIELD(ks_source_look, first_set, COUNT, 0),
	KS_FIELD(ks_source_look, provider_gone, BOOL, 0),
};

typedef enum ks_err look_each(void *ctx, const struct ks_source_look *look);

KS_ROW_TAKER(take_look, ks_source_look, look_each, look_fields)

static enum ks_err keep_look(void *ctx, const struct ks_source_look *look)
{
	*(struct ks_source_look *)ctx = *look;
	return KS_OK;
}

enum ks_err ks_store_source_look(struct ks_store *store, uint64_t id, struct ks_source_look *ret_look)
{
	look_each *each = keep_look;
	struct ks_row_taker taker = {store, &each, ret_look, 0};

	return ks_store_read(&taker, KS_SQL_SOURCE_LOOK, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(look_fields), take_look);
}

/* ---- what they are verified with ---- */

static const struct ks_field parameters_fields[] = {
	KS_FIELD(ks_source_parameters_row, source, ID, 0),
	KS_FIELD(ks_source_parameters_row, revision, COUNT, 0),
	KS_FIELD(ks_source_parameters_row, until, SOME, 0),
	KS_FIELD(ks_source_parameters_row, key_number, COUNT, 0),
	KS_FIELD(ks_source_parameters_row, plain, TEXT, KS_STORE_PARAMETERS_MAX),
	KS_FIELD(ks_source_parameters_row, sealed, BYTES, KS_STORE_SEALED_MAX),
};

KS_ROW_TAKER(take_parameters, ks_source_parameters_row, ks_source_parameters_each, parameters_fields)

enum ks_err ks_store_source_parameters_insert(struct ks_store *store, const struct ks_source_parameters_row *row)
{
	return ks_store_insert(store, KS_SQL_SOURCE_PARAMETERS_INSERT, parameters_fields, KS_ARRAY_LEN(parameters_fields),
			       row);
}

enum ks_err ks_store_source_parameters(struct ks_store *store, uint64_t source, ks_source_parameters_each *each,
				       void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_SOURCE_PARAMETERS, KS_PARAMS(ks_value_u64(source)),
			      KS_ARRAY_LEN(parameters_fields), take_parameters, &taker);
}

enum ks_err ks_store_source_parameters_end(struct ks_store *store, uint64_t source, int64_t until)
{
	uint64_t ended;

	return ks_store_write(store, KS_SQL_SOURCE_PARAMETERS_END, KS_PARAMS(ks_value_u64(source), ks_value_i64(until)),
			      &ended);
}

enum ks_err ks_store_source_parameters_erase(struct ks_store *store, uint64_t source)
{
	uint64_t erased;

	return ks_store_write(store, KS_SQL_SOURCE_PARAMETERS_ERASE, KS_PARAMS(ks_value_u64(source)), &erased);
}

enum ks_err ks_store_source_parameters_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed)
{
	return ks_store_write(store, KS_SQL_SOURCE_PARAMETERS_TRIM, KS_PARAMS(ks_value_i64(before), ks_value_limit(limit)),
			      ret_trimmed);
}

/* ---- what was received ---- */

static const struct ks_field inbound_fields[] = {
	KS_FIELD(ks_inbound_row, id, ID, 0),
	KS_FIELD(ks_inbound_row, source, ID, 0),
	KS_FIELD(ks_inbound_row, received_at, TIME, 0),
	KS_FIELD(ks_inbound_row, method, TEXT, KS_STORE_METHOD_MAX),
	KS_FIELD(ks_inbound_row, target, TEXT, KS_STORE_TARGET_MAX),
	KS_FIELD(ks_inbound_row, peer, TEXT, KS_STORE_ADDRESS_MAX),
	KS_FIELD(ks_inbound_row, headers, TEXT, KS_STORE_HEADERS_MAX),
	KS_FIELD(ks_inbound_row, body, BYTES, KS_STORE_WEBHOOK_MAX),
};

KS_ROW_TAKER(take_inbound, ks_inbound_row, ks_inbound_each, inbound_fields)

static const struct ks_field line_fields[] = {
	KS_FIELD(ks_inbound_line, id, ID, 0),
	KS_FIELD(ks_inbound_line, source, ID, 0),
	KS_FIELD(ks_inbound_line, received_at, TIME, 0),
	KS_FIELD(ks_inbound_line, method, TEXT, KS_STORE_METHOD_MAX),
	KS_FIELD(ks_inbound_line, target, TEXT, KS_STORE_TARGET_MAX),
	KS_FIELD(ks_inbound_line, peer, TEXT, KS_STORE_ADDRESS_MAX),
	KS_FIELD(ks_inbound_line, size, COUNT, 0),
};

KS_ROW_TAKER(take_line, ks_inbound_line, ks_inbound_line_each, line_fields)

enum ks_err ks_store_inbound_insert(struct ks_store *store, const struct ks_inbound_row *row)
{
	return ks_store_insert(store, KS_SQL_INBOUND_INSERT, inbound_fields, KS_ARRAY_LEN(inbound_fields), row);
}

enum ks_err ks_store_inbound_get(struct ks_store *store, uint64_t id, ks_inbound_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_INBOUND_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(inbound_fields),
			     take_inbound);
}

enum ks_err ks_store_inbound_of_source(struct ks_store *store, uint64_t source, uint64_t before, size_t limit,
				       ks_inbound_line_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_INBOUND_OF_SOURCE,
			      KS_PARAMS(ks_value_u64(source), ks_value_before(before), ks_value_limit(limit)),
			      KS_ARRAY_LEN(line_fields), take_line, &taker);
}

enum ks_err ks_store_inbound_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed)
{
	return ks_store_write(store, KS_SQL_INBOUND_TRIM,
			      KS_PARAMS(ks_value_i64(ks_store_first_id(before)), ks_value_limit(limit)), ret_trimmed);
}

enum ks_err ks_store_inbound_seen(struct ks_store *store, uint64_t source, const struct ks_digest *digest,
				  int64_t now_ms, int64_t until, bool *ret_new)
{
	uint64_t changed;

	KS_TRY(ks_store_write(store, KS_SQL_INBOUND_SEEN,
			      KS_PARAMS(ks_value_u64(source), ks_value_blob(digest->bytes, KS_SHA256_SIZE),
					ks_value_i64(until), ks_value_i64(now_ms)),
			      &changed));
	*ret_new = changed > 0;
	return KS_OK;
}

enum ks_err ks_store_inbound_seen_trim(struct ks_store *store, int64_t before, size_t limit, uint64_t *ret_trimmed)
{
	return ks_store_write(store, KS_SQL_INBOUND_SEEN_TRIM, KS_PARAMS(ks_value_i64(before), ks_value_limit(limit)),
			      ret_trimmed);
}
