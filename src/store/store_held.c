/* SPDX-License-Identifier: Apache-2.0 */
/* Which secrets lie outside of the store, and which of them do not follow it yet. */
#include "store/store_priv.h"
#include "store/vault.h"

static const struct ks_field fields[] = {
	KS_FIELD(ks_held_secret_row, provider, ID, 0),
	KS_FIELD(ks_held_secret_row, field, TEXT, KS_STORE_FIELD_NAME_MAX),
	KS_FIELD(ks_held_secret_row, key_number, ID, 0),
	KS_FIELD(ks_held_secret_row, asked, COUNT, 0),
	KS_FIELD(ks_held_secret_row, done, COUNT, 0),
	KS_FIELD(ks_held_secret_row, place, TEXT, KS_STORE_HELD_PLACE_MAX),
};

KS_ROW_TAKER(take, ks_held_secret_row, ks_held_secret_each, fields)

enum ks_err ks_store_held_secret_insert(struct ks_store *store, const struct ks_held_secret_row *row)
{
	struct ks_sql_value values[KS_ARRAY_LEN(fields)];

	KS_TRY(ks_fields_save(fields, KS_ARRAY_LEN(fields), row, values, &store->error));
	return ks_store_write(store, KS_SQL_HELD_SECRET_INSERT, values, KS_ARRAY_LEN(values), NULL);
}

enum ks_err ks_store_held_secret_get(struct ks_store *store, uint64_t provider, struct ks_str field, uint64_t key_number,
				     ks_held_secret_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_HELD_SECRET_GET,
			     KS_PARAMS(ks_value_u64(provider), ks_value_text(field), ks_value_u64(key_number)),
			     KS_ARRAY_LEN(fields), take);
}

enum ks_err ks_store_held_secrets_asked(struct ks_store *store, const struct ks_held_secret_row *after, size_t limit,
					ks_held_secret_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_HELD_SECRETS_ASKED,
			      KS_PARAMS(ks_value_u64(after->provider), ks_value_text(after->field),
					ks_value_u64(after->key_number), ks_value_limit(limit)),
			      KS_ARRAY_LEN(fields), take, &taker);
}

enum ks_err ks_store_held_secret_done(struct ks_store *store, const struct ks_held_secret_row *row)
{
	return ks_store_write_one(store, KS_SQL_HELD_SECRET_DONE,
				  KS_PARAMS(ks_value_u64(row->provider), ks_value_text(row->field),
					    ks_value_u64(row->key_number), ks_value_u64(row->done)));
}

enum ks_err ks_store_held_secret_delete(struct ks_store *store, const struct ks_held_secret_row *row)
{
	return ks_store_write_one(store, KS_SQL_HELD_SECRET_DELETE,
				  KS_PARAMS(ks_value_u64(row->provider), ks_value_text(row->field),
					    ks_value_u64(row->key_number)));
}
