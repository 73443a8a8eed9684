/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field idempotency_fields[] = {
	KS_FIELD(ks_idempotency_row, principal, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_idempotency_row, key, TEXT, KS_STORE_IDEMPOTENCY_KEY_MAX),
	KS_FIELD(ks_idempotency_row, request, DIGEST, 0),
	KS_FIELD(ks_idempotency_row, created_at, TIME, 0),
	KS_FIELD(ks_idempotency_row, status, INT, 1000),
	KS_FIELD(ks_idempotency_row, body, TEXT, KS_STORE_BODY_MAX),
};

KS_ROW_TAKER(take_idempotency, ks_idempotency_row, ks_idempotency_each, idempotency_fields)

enum ks_err ks_store_idempotency_get(struct ks_store *store, struct ks_str principal, struct ks_str key,
				     ks_idempotency_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_IDEMPOTENCY_GET, KS_PARAMS(ks_value_text(principal), ks_value_text(key)),
			     KS_ARRAY_LEN(idempotency_fields), take_idempotency);
}

enum ks_err ks_store_idempotency_put(struct ks_store *store, const struct ks_idempotency_row *row)
{
	return ks_store_insert(store, KS_SQL_IDEMPOTENCY_PUT, idempotency_fields, KS_ARRAY_LEN(idempotency_fields),
			       row);
}

enum ks_err ks_store_idempotency_trim(struct ks_store *store, int64_t before)
{
	return ks_store_write(store, KS_SQL_IDEMPOTENCY_TRIM, KS_PARAMS(ks_value_i64(before)), NULL);
}
