/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

struct seal_check {
	struct ks_str sealed;
};

static const struct ks_field seal_check_fields[] = {
	KS_FIELD(seal_check, sealed, BYTES, KS_STORE_SEALED_MAX),
};

typedef enum ks_err seal_check_each(void *ctx, const struct seal_check *row);

struct seal_check_taker {
	enum ks_err (*each)(void *ctx, struct ks_str sealed);
	void *ctx;
};

static enum ks_err hand_on(void *ctx, const struct seal_check *row)
{
	struct seal_check_taker *taker = ctx;

	return taker->each(taker->ctx, row->sealed);
}

KS_ROW_TAKER(take_seal_check, seal_check, seal_check_each, seal_check_fields)

enum ks_err ks_store_seal_check_get(struct ks_store *store, enum ks_err (*each)(void *ctx, struct ks_str sealed),
				    void *ctx)
{
	struct seal_check_taker mine = {each, ctx};
	seal_check_each *on = hand_on;
	struct ks_row_taker taker = {store, &on, &mine, 0};

	return ks_store_read(&taker, KS_SQL_SEAL_CHECK_GET, NULL, 0, KS_ARRAY_LEN(seal_check_fields),
			     take_seal_check);
}

enum ks_err ks_store_seal_check_put(struct ks_store *store, struct ks_str sealed)
{
	return ks_store_insert(store, KS_SQL_SEAL_CHECK_PUT, seal_check_fields, KS_ARRAY_LEN(seal_check_fields),
			       &(struct seal_check){sealed});
}

enum ks_err ks_store_seal_check_set(struct ks_store *store, struct ks_str sealed)
{
	return ks_store_write_one(store, KS_SQL_SEAL_CHECK_SET, KS_PARAMS(ks_value_blob(sealed.p, sealed.n)));
}
