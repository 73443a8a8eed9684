/* SPDX-License-Identifier: Apache-2.0 */
/* What rows keep sealed, by table, for whoever seals it anew. */
#include "store/store_priv.h"

struct sealed_row {
	uint64_t id;
	struct ks_str sealed;
};

static const struct ks_field sealed_fields[] = {
	KS_FIELD(sealed_row, id, ID, 0),
	KS_FIELD(sealed_row, sealed, BYTES, KS_STORE_SEALED_MAX),
};

static const struct {
	enum ks_sql_id list, set;
} tables[KS_SEALED_TABLE_COUNT] = {
#define X(name, purpose) [KS_SEALED_##name] = {KS_SQL_SEALED_##name##_LIST, KS_SQL_SEALED_##name##_SET},
	KS_SEALED_TABLES(X)
#undef X
};

typedef enum ks_err sealed_row_each(void *ctx, const struct sealed_row *row);

struct sealed_taker {
	ks_sealed_each *each;
	void *ctx;
};

static enum ks_err hand_on(void *ctx, const struct sealed_row *row)
{
	struct sealed_taker *taker = ctx;

	return taker->each(taker->ctx, row->id, row->sealed);
}

KS_ROW_TAKER(take_sealed, sealed_row, sealed_row_each, sealed_fields)

enum ks_err ks_store_sealed_list(struct ks_store *store, enum ks_sealed_table table, uint64_t after, size_t limit,
				 ks_sealed_each *each, void *ctx)
{
	struct sealed_taker mine = {each, ctx};
	sealed_row_each *on = hand_on;
	struct ks_row_taker taker = {store, &on, &mine, 0};

	return ks_store_query(store, tables[table].list, KS_PARAMS(ks_value_u64(after), ks_value_limit(limit)),
			      KS_ARRAY_LEN(sealed_fields), take_sealed, &taker);
}

enum ks_err ks_store_sealed_set(struct ks_store *store, enum ks_sealed_table table, uint64_t id, struct ks_str sealed)
{
	return ks_store_write_one(store, tables[table].set, KS_PARAMS(ks_value_u64(id), ks_value_blob(sealed.p, sealed.n)));
}
