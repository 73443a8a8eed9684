/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field issuer_key_fields[] = {
	KS_FIELD(ks_issuer_key_row, id, ID, 0),
	KS_FIELD(ks_issuer_key_row, kid, TEXT, KS_STORE_KID_MAX),
	KS_FIELD(ks_issuer_key_row, algorithm, TEXT, KS_STORE_ALGORITHM_MAX),
	KS_FIELD(ks_issuer_key_row, public_jwk, TEXT, KS_STORE_JWK_MAX),
	KS_FIELD(ks_issuer_key_row, sealed, BYTES, KS_STORE_SEALED_MAX),
	KS_FIELD(ks_issuer_key_row, state, ENUM, KS_ISSUER_KEY_STATE_COUNT),
	KS_FIELD(ks_issuer_key_row, created_at, TIME, 0),
	KS_FIELD(ks_issuer_key_row, signs_from, SOME, 0),
	KS_FIELD(ks_issuer_key_row, retired_at, SOME, 0),
	KS_FIELD(ks_issuer_key_row, withdrawn_at, SOME, 0),
};

KS_ROW_TAKER(take_issuer_key, ks_issuer_key_row, ks_issuer_key_each, issuer_key_fields)

enum ks_err ks_store_issuer_key_insert(struct ks_store *store, const struct ks_issuer_key_row *row)
{
	return ks_store_insert(store, KS_SQL_ISSUER_KEY_INSERT, issuer_key_fields, KS_ARRAY_LEN(issuer_key_fields), row);
}

enum ks_err ks_store_issuer_key_update(struct ks_store *store, const struct ks_issuer_key_row *row)
{
	if (row->sealed.n > KS_STORE_SEALED_MAX)
		return KS_TOO_LARGE;
	return ks_store_write_one(store, KS_SQL_ISSUER_KEY_UPDATE,
				  KS_PARAMS(ks_value_u64(row->id), ks_value_blob(row->sealed.p, row->sealed.n),
					    ks_value_i64((int64_t)row->state), ks_value_some(row->signs_from),
					    ks_value_some(row->retired_at), ks_value_some(row->withdrawn_at)));
}

enum ks_err ks_store_issuer_keys(struct ks_store *store, ks_issuer_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_ISSUER_KEYS, NULL, 0, KS_ARRAY_LEN(issuer_key_fields), take_issuer_key,
			      &taker);
}
