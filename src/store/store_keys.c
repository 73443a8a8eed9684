/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

static const struct ks_field key_fields[] = {
	KS_FIELD(ks_key_row, id, ID, 0),
	KS_FIELD(ks_key_row, digest, DIGEST, 0),
	KS_FIELD(ks_key_row, tenant, ID, 0),
	KS_FIELD(ks_key_row, organization, REF, 0),
	KS_FIELD(ks_key_row, grant, ID, 0),
	KS_FIELD(ks_key_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_key_row, last_four, TEXT, KS_STORE_LAST_FOUR_MAX),
	/* often the same for all that are inserted together */
	KS_FIELD(ks_key_row, prefix, TEXT, KS_STORE_PREFIX_MAX),
	KS_FIELD(ks_key_row, labels, TEXT, KS_STORE_LABELS_MAX),
	KS_FIELD(ks_key_row, user, REF, 0),
	KS_FIELD(ks_key_row, kind, ENUM, KS_KIND_COUNT),
	KS_FIELD(ks_key_row, binding, ENUM, KS_BINDING_COUNT),
	KS_FIELD(ks_key_row, environment, ENUM, KS_ENVIRONMENT_COUNT),
	KS_FIELD(ks_key_row, expires_at, SOME, 0),
	/* always the same for all that are inserted together */
	KS_FIELD(ks_key_row, imported, BOOL, 0),
	KS_FIELD(ks_key_row, created_at, TIME, 0),
	KS_FIELD(ks_key_row, created_by, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_key_row, retires_at, SOME, 0),
	KS_FIELD(ks_key_row, revoked_at, SOME, 0),
	KS_FIELD(ks_key_row, revoked_by, TEXT, KS_STORE_ACTOR_MAX),
	KS_FIELD(ks_key_row, rotated_from, REF, 0),
	KS_FIELD(ks_key_row, rotated_to, REF, 0),
	/* joined */
	KS_FIELD(ks_key_row, uses, COUNT, 0),
	KS_FIELD(ks_key_row, last_used_at, SOME, 0),
	KS_FIELD(ks_key_row, last_used_address, TEXT, KS_STORE_ADDRESS_MAX),
};
#define KEY_COLUMNS KS_ARRAY_LEN(key_fields)
#define KEY_OWN_COLUMNS (KEY_COLUMNS - 3)
#define KEY_VARYING_COLUMNS 7       /* from here on often the same */
#define KEY_MOSTLY_VARYING_COLUMNS 14 /* from here on always */

KS_ROW_TAKER(take_key, ks_key_row, ks_key_each, key_fields)

/* ---- writing ---- */

enum ks_err ks_store_key_insert(struct ks_store *store, const struct ks_key_row *row)
{
	struct ks_sql_value values[KEY_OWN_COLUMNS + 1];
	uint64_t segment;
	bool limited;

	KS_TRY(ks_fields_save(key_fields, KEY_OWN_COLUMNS, row, values, &store->error));
	KS_TRY(ks_store_grant_limited(store, row->grant, &limited));
	KS_TRY(ks_store_segment_for(store, row->id, 1, &segment));
	values[KEY_OWN_COLUMNS] = ks_value_u64(segment);
	KS_TRY(ks_store_write(store, KS_SQL_KEY_INSERT, values, KEY_OWN_COLUMNS + 1, NULL));
	store->added.keys++;
	store->added.keys_limited += limited;
	return KS_OK;
}

static enum ks_err insert_each(struct ks_store *store, const struct ks_key_row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		enum ks_err err = ks_store_key_insert(store, &rows[i]);
		if (err != KS_OK) {
			store->spoiled = err;
			return err;
		}
	}
	return KS_OK;
}

/* What KEY_VARYING_COLUMNS leaves out before KEY_MOSTLY_VARYING_COLUMNS. */
static bool is_much_alike(const struct ks_key_row *a, const struct ks_key_row *b)
{
	return ks_str_eq(a->prefix, b->prefix) && ks_str_eq(a->labels, b->labels) && a->user == b->user && a->kind == b->kind
	       && a->binding == b->binding && a->environment == b->environment && a->expires_at == b->expires_at;
}

/* What KEY_MOSTLY_VARYING_COLUMNS leaves out. */
static bool is_alike(const struct ks_key_row *a, const struct ks_key_row *b)
{
	return a->imported == b->imported && a->created_at == b->created_at && ks_str_eq(a->created_by, b->created_by)
	       && a->retires_at == b->retires_at && a->revoked_at == b->revoked_at
	       && ks_str_eq(a->revoked_by, b->revoked_by) && a->rotated_from == b->rotated_from
	       && a->rotated_to == b->rotated_to;
}

enum ks_err ks_store_keys_insert(struct ks_store *store, const struct ks_key_row *rows, size_t count)
{
	uint64_t least = UINT64_MAX;
	uint64_t all_limited = 0;
	uint64_t segment;
	bool limited, alike = true, much_alike = true;

	if (count == 0)
		return KS_OK;
	for (size_t i = 0; i < count; i++) {
		KS_TRY(ks_store_grant_limited(store, rows[i].grant, &limited));
		all_limited += limited;
		least = KS_MIN(least, rows[i].id);
		alike = alike && is_alike(&rows[0], &rows[i]);
		much_alike = much_alike && is_much_alike(&rows[0], &rows[i]);
	}
	if (!alike)
		return insert_each(store, rows, count);
	enum ks_err err = ks_store_segment_for(store, least, count, &segment);
	/* New ids are above the known ones; others take the slow way. */
	if (err == KS_NOT_FOUND)
		return insert_each(store, rows, count);
	KS_TRY(err);
	KS_TRY(ks_store_insert_many(
		store, KS_SQL_KEY_INSERT,
		&(struct ks_many){key_fields, KEY_OWN_COLUMNS, much_alike ? KEY_VARYING_COLUMNS : KEY_MOSTLY_VARYING_COLUMNS,
				  rows, sizeof(*rows), count, ks_value_u64(segment)}));
	store->added.keys += count;
	store->added.keys_limited += all_limited;
	return KS_OK;
}

enum ks_err ks_store_key_rename(struct ks_store *store, uint64_t id, struct ks_str name)
{
	KS_TRY(ks_store_check_text(store, name, KS_STORE_NAME_MAX));
	return ks_store_write_one(store, KS_SQL_KEY_RENAME, KS_PARAMS(ks_value_u64(id), ks_value_text(name)));
}

/* What to say where an update with conditions changed nothing. */
static enum ks_err unchanged(struct ks_store *store, uint64_t id, enum ks_err if_there)
{
	int64_t found;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_KEY_EXISTS, KS_PARAMS(ks_value_u64(id)), 1, &found));
	return if_there;
}

enum ks_err ks_store_key_revoke(struct ks_store *store, uint64_t id, int64_t at, struct ks_str by)
{
	KS_TRY(ks_store_check_text(store, by, KS_STORE_ACTOR_MAX));
	enum ks_err err = ks_store_write_one(store, KS_SQL_KEY_REVOKE,
					     KS_PARAMS(ks_value_u64(id), ks_value_i64(at), ks_value_text(by)));
	return err == KS_NOT_FOUND ? unchanged(store, id, KS_OK) : err;
}

enum ks_err ks_store_key_rotated(struct ks_store *store, uint64_t id, int64_t retires_at, uint64_t rotated_to)
{
	uint64_t changed;

	KS_TRY(ks_store_write(store, KS_SQL_KEY_ROTATED,
			      KS_PARAMS(ks_value_u64(id), ks_value_i64(retires_at), ks_value_u64(rotated_to)),
			      &changed));
	return changed ? KS_OK : unchanged(store, id, KS_CONFLICT);
}

/* ---- those that something is to be told of ---- */

enum ks_err ks_store_keys_expiring(struct ks_store *store, uint64_t segment, const struct ks_reminder_mark *after,
				   int64_t until, size_t limit, ks_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	/* Many keys may end at one instant: each of the two is one range of the index. */
	KS_TRY(ks_store_query(store, KS_SQL_KEYS_EXPIRING_WITH,
			      KS_PARAMS(ks_value_u64(segment), ks_value_i64(after->ends_at), ks_value_u64(after->key),
					ks_value_limit(limit)),
			      KEY_COLUMNS, take_key, &taker));
	if (taker.rows >= limit)
		return KS_OK;
	return ks_store_query(store, KS_SQL_KEYS_EXPIRING,
			      KS_PARAMS(ks_value_u64(segment), ks_value_i64(after->ends_at), ks_value_i64(until),
					ks_value_limit(limit - taker.rows)),
			      KEY_COLUMNS, take_key, &taker);
}

enum ks_err ks_store_keys_unused(struct ks_store *store, uint64_t first, uint64_t last, int64_t now, int64_t since,
				 ks_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, KS_SQL_KEYS_UNUSED,
			      KS_PARAMS(ks_value_u64(first), ks_value_u64(last), ks_value_i64(now), ks_value_i64(since)),
			      KEY_COLUMNS, take_key, &taker);
}

/* ---- reading ---- */

enum ks_err ks_store_key_retire(struct ks_store *store, uint64_t id, int64_t at)
{
	if (at < 0)
		return KS_MALFORMED;
	return ks_store_write_one(store, KS_SQL_KEY_RETIRE, KS_PARAMS(ks_value_u64(id), ks_value_i64(at)));
}

enum ks_err ks_store_key_get(struct ks_store *store, uint64_t id, ks_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_KEY_GET, KS_PARAMS(ks_value_u64(id)), KEY_COLUMNS, take_key);
}

struct core_taker {
	struct ks_store *store;
	enum ks_err (*each)(void *ctx, const struct ks_key_core *core);
	void *ctx;
};

/* By hand, not by a table of fields: a rebuild reads every key there is. The columns are those of KS_SQL_KEY_CORES. */
static enum ks_err take_core(void *ctx, const struct ks_sql_value *v)
{
	const struct core_taker *taker = ctx;
	bool expires = v[8].type == KS_SQL_INTEGER;
	bool retires = v[9].type == KS_SQL_INTEGER;
	struct ks_key_core core = {
		.id = (uint64_t)v[0].integer,
		.tenant = (uint64_t)v[2].integer,
		.grant = (uint64_t)v[3].integer,
		.kind = (enum ks_kind)v[4].integer,
		.binding = (enum ks_binding)v[5].integer,
		.environment = (enum ks_environment)v[6].integer,
		.imported = v[7].integer != 0,
		.ends_ms = expires ? v[8].integer : INT64_MAX,
		.revoked = v[10].type == KS_SQL_INTEGER,
	};

	if (KS_UNLIKELY(v[1].type != KS_SQL_BLOB || v[1].bytes.n != KS_SHA256_SIZE || v[2].integer <= 0 ||
			v[3].integer <= 0 || (uint64_t)v[4].integer >= KS_KIND_COUNT ||
			(uint64_t)v[5].integer >= KS_BINDING_COUNT || (uint64_t)v[6].integer >= KS_ENVIRONMENT_COUNT)) {
		ks_sql_explain(&taker->store->error, "a stored key is damaged");
		return KS_CORRUPT;
	}
	memcpy(core.digest.bytes, v[1].bytes.p, KS_SHA256_SIZE);
	if (retires && v[9].integer <= core.ends_ms) {
		core.ends_ms = v[9].integer;
		core.rotated_out = true;
	}
	return taker->each(taker->ctx, &core);
}

enum ks_err ks_store_key_cores(struct ks_store *store, uint64_t first, uint64_t last,
			       enum ks_err (*each)(void *ctx, const struct ks_key_core *core), void *ctx)
{
	struct core_taker taker = {store, each, ctx};

	return ks_store_query(store, KS_SQL_KEY_CORES, KS_PARAMS(ks_value_u64(first), ks_value_u64(last)), 11,
			      take_core, &taker);
}

struct facts_taker {
	enum ks_err (*each)(void *ctx, const struct ks_key_facts *facts);
	void *ctx;
};

static enum ks_err take_facts(void *ctx, const struct ks_sql_value *v)
{
	const struct facts_taker *taker = ctx;
	struct ks_key_facts facts = {
		.id = (uint64_t)v[0].integer,
		.imported = v[1].integer != 0,
		.created_at = v[2].integer,
		.last_used_at = v[3].type == KS_SQL_INTEGER ? v[3].integer : KS_TIME_NONE,
	};

	return taker->each(taker->ctx, &facts);
}

enum ks_err ks_store_key_facts(struct ks_store *store, uint64_t first, uint64_t last,
			       enum ks_err (*each)(void *ctx, const struct ks_key_facts *facts), void *ctx)
{
	struct facts_taker taker = {each, ctx};

	return ks_store_query(store, KS_SQL_KEY_FACTS, KS_PARAMS(ks_value_u64(first), ks_value_u64(last)), 4,
			      take_facts, &taker);
}

enum ks_err ks_store_query_keys(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params,
				size_t count, ks_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_query(store, id, params, count, KEY_COLUMNS, take_key, &taker);
}
