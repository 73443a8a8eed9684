/* SPDX-License-Identifier: Apache-2.0 */
/* Organizations' keys, providers, versions of their fields, and the sets of these. */
#include "store/store_priv.h"
#include "store/vault.h"

/* ---- organizations' keys ---- */

static const struct ks_field key_fields[] = {
	KS_FIELD(ks_organization_key_row, organization, ID, 0),
	KS_FIELD(ks_organization_key_row, number, ID, 0),
	KS_FIELD(ks_organization_key_row, created_at, TIME, 0),
	KS_FIELD(ks_organization_key_row, erased_at, SOME, 0),
	KS_FIELD(ks_organization_key_row, wrapped, BYTES, KS_STORE_WRAPPED_MAX),
};

KS_ROW_TAKER(take_key, ks_organization_key_row, ks_organization_key_each, key_fields)

enum ks_err ks_store_organization_key_insert(struct ks_store *store, const struct ks_organization_key_row *row)
{
	return ks_store_insert(store, KS_SQL_ORGANIZATION_KEY_INSERT, key_fields, KS_ARRAY_LEN(key_fields), row);
}

enum ks_err ks_store_organization_key_get(struct ks_store *store, uint64_t organization, uint64_t number,
					  ks_organization_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	struct ks_sql_value params[2] = {ks_value_u64(organization), ks_value_u64(number)};

	return ks_store_read(&taker, number ? KS_SQL_ORGANIZATION_KEY_GET : KS_SQL_ORGANIZATION_KEY_LAST, params,
			     number ? 2 : 1, KS_ARRAY_LEN(key_fields), take_key);
}

enum ks_err ks_store_organization_keys(struct ks_store *store, uint64_t organization, uint64_t number, size_t limit,
				       ks_organization_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_ORGANIZATION_KEYS,
			      KS_PARAMS(ks_value_u64(organization), ks_value_u64(number), ks_value_limit(limit)),
			      KS_ARRAY_LEN(key_fields), take_key, &taker);
}

enum ks_err ks_store_organization_key_rewrap(struct ks_store *store, uint64_t organization, uint64_t number,
					     struct ks_str wrapped)
{
	if (wrapped.n > KS_STORE_WRAPPED_MAX)
		return KS_TOO_LARGE;
	return ks_store_write_one(store, KS_SQL_ORGANIZATION_KEY_REWRAP,
				  KS_PARAMS(ks_value_u64(organization), ks_value_u64(number),
					    ks_value_blob(wrapped.p, wrapped.n)));
}

struct erasing {
	uint64_t number; /* 0: none is left */
	size_t size;
};

static enum ks_err note_key(void *ctx, const struct ks_organization_key_row *row)
{
	struct erasing *e = ctx;

	if (row->erased_at == KS_TIME_NONE)
		*e = (struct erasing){row->number, row->wrapped.n};
	return KS_OK;
}

/* As many zeros as there were bytes, so that they take the same place in the file. There is another key only after an
 * erasure, so the last one is the only one that is left. */
enum ks_err ks_store_organization_keys_erase(struct ks_store *store, uint64_t organization, int64_t at)
{
	static const char zeros[KS_STORE_WRAPPED_MAX];
	struct erasing e = {0};
	enum ks_err err = ks_store_organization_key_get(store, organization, 0, note_key, &e);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	if (e.number == 0)
		return KS_OK;
	return ks_store_write_one(store, KS_SQL_ORGANIZATION_KEY_ERASE,
				  KS_PARAMS(ks_value_u64(organization), ks_value_u64(e.number), ks_value_i64(at),
					    ks_value_blob(zeros, e.size)));
}

/* ---- providers ---- */

static const struct ks_field provider_fields[] = {
	KS_FIELD(ks_provider_row, id, ID, 0),
	KS_FIELD(ks_provider_row, tenant, ID, 0),
	KS_FIELD(ks_provider_row, organization, ID, 0),
	KS_FIELD(ks_provider_row, current_set, COUNT, 0),
	KS_FIELD(ks_provider_row, first_set, COUNT, 0),
	KS_FIELD(ks_provider_row, waiting, BOOL, 0),
	KS_FIELD(ks_provider_row, created_at, TIME, 0),
	KS_FIELD(ks_provider_row, deleted_at, SOME, 0),
	KS_FIELD(ks_provider_row, platform, TEXT, KS_STORE_PLATFORM_MAX),
	KS_FIELD(ks_provider_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_provider_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
};

KS_ROW_TAKER(take_provider, ks_provider_row, ks_provider_each, provider_fields)

enum ks_err ks_store_provider_insert(struct ks_store *store, const struct ks_provider_row *row)
{
	return ks_store_insert(store, KS_SQL_PROVIDER_INSERT, provider_fields, KS_ARRAY_LEN(provider_fields), row);
}

enum ks_err ks_store_provider_get(struct ks_store *store, uint64_t id, ks_provider_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_PROVIDER_GET, KS_PARAMS(ks_value_u64(id)), KS_ARRAY_LEN(provider_fields),
			     take_provider);
}

enum ks_err ks_store_provider_rename(struct ks_store *store, uint64_t id, struct ks_str name)
{
	KS_TRY(ks_store_check_text(store, name, KS_STORE_NAME_MAX));
	return ks_store_write_one(store, KS_SQL_PROVIDER_RENAME, KS_PARAMS(ks_value_u64(id), ks_value_text(name)));
}

enum ks_err ks_store_provider_delete(struct ks_store *store, uint64_t id, int64_t at)
{
	memset(store->current, 0, sizeof(store->current));
	return ks_store_write_one(store, KS_SQL_PROVIDER_DELETE, KS_PARAMS(ks_value_u64(id), ks_value_i64(at)));
}

enum ks_err ks_store_provider_set_waiting(struct ks_store *store, uint64_t id, bool waiting)
{
	return ks_store_write_one(store, KS_SQL_PROVIDER_SET_WAITING,
				  KS_PARAMS(ks_value_u64(id), ks_value_i64(waiting)));
}

enum ks_err ks_store_providers(struct ks_store *store, const struct ks_provider_filter *filter, ks_provider_each *each,
			       void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	struct ks_sql_value params[3] = {ks_value_before(filter->before), ks_value_limit(filter->limit)};
	enum ks_sql_id id = KS_SQL_PROVIDERS;
	size_t count = 2;

	if (filter->tenant || filter->organization) {
		id = filter->tenant ? KS_SQL_PROVIDERS_OF_TENANT : KS_SQL_PROVIDERS_OF_ORGANIZATION;
		params[count++] = ks_value_u64(filter->tenant ? filter->tenant : filter->organization);
	}
	return ks_store_query(store, id, params, count, KS_ARRAY_LEN(provider_fields), take_provider, &taker);
}

static enum ks_err providers_ascending(struct ks_store *store, enum ks_sql_id id, uint64_t after, size_t limit,
				       ks_provider_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, id, KS_PARAMS(ks_value_u64(after), ks_value_limit(limit)),
			      KS_ARRAY_LEN(provider_fields), take_provider, &taker);
}

enum ks_err ks_store_providers_after(struct ks_store *store, uint64_t after, size_t limit, ks_provider_each *each,
				     void *ctx)
{
	return providers_ascending(store, KS_SQL_PROVIDERS_AFTER, after, limit, each, ctx);
}

enum ks_err ks_store_providers_waiting(struct ks_store *store, uint64_t after, size_t limit, ks_provider_each *each,
				       void *ctx)
{
	return providers_ascending(store, KS_SQL_PROVIDERS_WAITING, after, limit, each, ctx);
}

/* ---- versions of fields ---- */

/* What lies elsewhere is to follow. */
static enum ks_err ask(struct ks_store *store, uint64_t provider, struct ks_str field)
{
	return ks_store_write(store, KS_SQL_HELD_SECRET_ASK, KS_PARAMS(ks_value_u64(provider), ks_value_text(field)), NULL);
}

static enum ks_err ask_all(struct ks_store *store, uint64_t provider)
{
	return ks_store_write(store, KS_SQL_HELD_SECRETS_ASK, KS_PARAMS(ks_value_u64(provider)), NULL);
}

static const char *const stages[] = {
#define X(name, text) text,
	KS_FIELD_STAGES(X)
#undef X
};

const char *ks_field_stage_text(enum ks_field_stage stage)
{
	return stages[stage];
}

static const struct ks_field version_fields[] = {
	KS_FIELD(ks_field_version_row, provider, ID, 0),
	KS_FIELD(ks_field_version_row, field, TEXT, KS_STORE_FIELD_NAME_MAX),
	KS_FIELD(ks_field_version_row, version, ID, 0),
	KS_FIELD(ks_field_version_row, stage, ENUM, KS_FIELD_STAGE_COUNT),
	KS_FIELD(ks_field_version_row, kind, ENUM, KS_FIELD_KIND_COUNT),
	KS_FIELD(ks_field_version_row, open, BOOL, 0),
	KS_FIELD(ks_field_version_row, key_number, ID, 0),
	KS_FIELD(ks_field_version_row, created_at, TIME, 0),
	KS_FIELD(ks_field_version_row, promoted_at, SOME, 0),
	KS_FIELD(ks_field_version_row, ended_at, SOME, 0),
	KS_FIELD(ks_field_version_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_field_version_row, via, TEXT, KS_STORE_VIA_MAX),
	KS_FIELD(ks_field_version_row, code, TEXT, KS_STORE_ACTION_MAX),
	KS_FIELD(ks_field_version_row, sealed, BYTES, KS_STORE_SEALED_MAX),
};

KS_ROW_TAKER(take_version, ks_field_version_row, ks_field_version_each, version_fields)

enum ks_err ks_store_field_next_version(struct ks_store *store, uint64_t provider, struct ks_str field,
					uint64_t *ret_version)
{
	int64_t number;

	KS_TRY(ks_store_check_text(store, field, KS_STORE_FIELD_NAME_MAX));
	KS_TRY(ks_store_write_returning(store, KS_SQL_FIELD_NEXT_VERSION,
					KS_PARAMS(ks_value_u64(provider), ks_value_text(field)), &number));
	*ret_version = (uint64_t)number;
	return KS_OK;
}

enum ks_err ks_store_field_version_insert(struct ks_store *store, const struct ks_field_version_row *row)
{
	KS_TRY(ks_store_insert(store, KS_SQL_FIELD_VERSION_INSERT, version_fields, KS_ARRAY_LEN(version_fields), row));
	return ask(store, row->provider, row->field);
}

enum ks_err ks_store_field_version_get(struct ks_store *store, uint64_t provider, struct ks_str field, uint64_t version,
				       ks_field_version_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_FIELD_VERSION_GET,
			     KS_PARAMS(ks_value_u64(provider), ks_value_text(field), ks_value_u64(version)),
			     KS_ARRAY_LEN(version_fields), take_version);
}

enum ks_err ks_store_field_versions_open(struct ks_store *store, uint64_t provider, ks_field_version_each *each,
					 void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_FIELD_VERSIONS_OPEN, KS_PARAMS(ks_value_u64(provider)),
			      KS_ARRAY_LEN(version_fields), take_version, &taker);
}

enum ks_err ks_store_field_versions(struct ks_store *store, uint64_t provider, struct ks_str field, uint64_t before,
				    size_t limit, ks_field_version_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_FIELD_VERSIONS,
			      KS_PARAMS(ks_value_u64(provider), ks_value_text(field), ks_value_before(before),
					ks_value_limit(limit)),
			      KS_ARRAY_LEN(version_fields), take_version, &taker);
}

enum ks_err ks_store_field_version_update(struct ks_store *store, const struct ks_field_version_row *row)
{
	KS_TRY(ks_store_check_text(store, row->code, KS_STORE_ACTION_MAX));
	KS_TRY(ks_store_write_one(store, KS_SQL_FIELD_VERSION_UPDATE,
				  KS_PARAMS(ks_value_u64(row->provider), ks_value_text(row->field),
					    ks_value_u64(row->version), ks_value_i64(row->stage),
					    ks_value_some(row->promoted_at), ks_value_some(row->ended_at),
					    ks_value_text(row->code), ks_value_i64(row->open), ks_value_blob("", 0))));
	return ask(store, row->provider, row->field);
}

enum ks_err ks_store_field_versions_erase(struct ks_store *store, uint64_t provider, int64_t at, struct ks_str code)
{
	KS_TRY(ks_store_check_text(store, code, KS_STORE_ACTION_MAX));
	KS_TRY(ks_store_write(store, KS_SQL_FIELD_VERSIONS_ERASE,
			      KS_PARAMS(ks_value_u64(provider), ks_value_i64(KS_FIELD_STAGE_ERASED), ks_value_i64(at),
					ks_value_text(code), ks_value_blob("", 0)),
			      NULL));
	return ask_all(store, provider);
}

/* ---- sets ---- */

static const char *const reasons[] = {
#define X(name, text) text,
	KS_SET_REASONS(X)
#undef X
};

const char *ks_set_reason_text(enum ks_set_reason reason)
{
	return reasons[reason];
}

static const struct ks_field set_fields[] = {
	KS_FIELD(ks_provider_set_row, provider, ID, 0),
	KS_FIELD(ks_provider_set_row, number, ID, 0),
	KS_FIELD(ks_provider_set_row, based_on, COUNT, 0),
	KS_FIELD(ks_provider_set_row, reason, ENUM, KS_SET_REASON_COUNT),
	KS_FIELD(ks_provider_set_row, made_at, TIME, 0),
	KS_FIELD(ks_provider_set_row, ended_at, SOME, 0),
	KS_FIELD(ks_provider_set_row, drained_at, SOME, 0),
	KS_FIELD(ks_provider_set_row, calls, COUNT, 0),
	KS_FIELD(ks_provider_set_row, calls_ok, COUNT, 0),
	KS_FIELD(ks_provider_set_row, calls_failed, COUNT, 0),
	KS_FIELD(ks_provider_set_row, failed_code, TEXT, KS_STORE_ACTION_MAX),
};

KS_ROW_TAKER(take_set, ks_provider_set_row, ks_provider_set_each, set_fields)

enum ks_err ks_store_set_make(struct ks_store *store, const struct ks_provider_set_row *row,
			      const struct ks_set_field *fields, size_t count)
{
	KS_TRY(ks_store_insert(store, KS_SQL_SET_INSERT, set_fields, KS_ARRAY_LEN(set_fields), row));
	for (size_t i = 0; i < count; i++)
		KS_TRY(ks_store_write(store, KS_SQL_SET_FIELD_INSERT,
				      KS_PARAMS(ks_value_u64(row->provider), ks_value_u64(row->number),
						ks_value_text(fields[i].field), ks_value_u64(fields[i].version)),
				      NULL));
	if (row->based_on)
		KS_TRY(ks_store_write_one(store, KS_SQL_SET_END,
					  KS_PARAMS(ks_value_u64(row->provider), ks_value_u64(row->based_on),
						    ks_value_i64(row->made_at))));
	memset(store->current, 0, sizeof(store->current));
	return ks_store_write_one(store, KS_SQL_PROVIDER_SET_CURRENT,
				  KS_PARAMS(ks_value_u64(row->provider), ks_value_u64(row->number)));
}

enum ks_err ks_store_set_get(struct ks_store *store, uint64_t provider, uint64_t number, ks_provider_set_each *each,
			     void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_SET_GET, KS_PARAMS(ks_value_u64(provider), ks_value_u64(number)),
			     KS_ARRAY_LEN(set_fields), take_set);
}

enum ks_err ks_store_sets(struct ks_store *store, uint64_t provider, uint64_t before, size_t limit,
			  ks_provider_set_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_SETS,
			      KS_PARAMS(ks_value_u64(provider), ks_value_before(before), ks_value_limit(limit)),
			      KS_ARRAY_LEN(set_fields), take_set, &taker);
}

enum ks_err ks_store_set_versions(struct ks_store *store, uint64_t provider, uint64_t number,
				  ks_field_version_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_SET_VERSIONS, KS_PARAMS(ks_value_u64(provider), ks_value_u64(number)),
			      KS_ARRAY_LEN(version_fields), take_version, &taker);
}

enum ks_err ks_store_sets_draining(struct ks_store *store, int64_t after, int64_t before, size_t limit,
				   ks_provider_set_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_SETS_DRAINING,
			      KS_PARAMS(ks_value_i64(after), ks_value_i64(before), ks_value_limit(limit)),
			      KS_ARRAY_LEN(set_fields), take_set, &taker);
}

enum ks_err ks_store_version_needed(struct ks_store *store, uint64_t provider, struct ks_str field, uint64_t version,
				    uint64_t number, bool *ret_needed)
{
	int64_t by;
	enum ks_err err = ks_store_query_numbers(store, KS_SQL_VERSION_NEEDED,
						 KS_PARAMS(ks_value_u64(provider), ks_value_text(field),
							   ks_value_u64(version), ks_value_u64(number)),
						 1, &by);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_needed = err == KS_OK;
	return KS_OK;
}

enum ks_err ks_store_set_drained(struct ks_store *store, uint64_t provider, uint64_t number, int64_t at)
{
	return ks_store_write_one(store, KS_SQL_SET_DRAINED,
				  KS_PARAMS(ks_value_u64(provider), ks_value_u64(number), ks_value_i64(at)));
}

enum ks_err ks_store_provider_first_set(struct ks_store *store, uint64_t provider)
{
	return ks_store_write_one(store, KS_SQL_PROVIDER_FIRST_SET, KS_PARAMS(ks_value_u64(provider)));
}

enum ks_err ks_store_set_count(struct ks_store *store, uint64_t provider, uint64_t number, uint64_t calls, uint64_t ok,
			       uint64_t failed)
{
	return ks_store_write_one(store, KS_SQL_SET_COUNT,
				  KS_PARAMS(ks_value_u64(provider), ks_value_u64(number), ks_value_u64(calls),
					    ks_value_u64(ok), ks_value_u64(failed)));
}

enum ks_err ks_store_set_failed(struct ks_store *store, uint64_t provider, uint64_t number, struct ks_str code)
{
	KS_TRY(ks_store_check_text(store, code, KS_STORE_ACTION_MAX));
	return ks_store_write_one(store, KS_SQL_SET_FAILED,
				  KS_PARAMS(ks_value_u64(provider), ks_value_u64(number), ks_value_text(code)));
}
