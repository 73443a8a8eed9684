/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

#include <stdlib.h>

static const struct ks_field key_fields[] = {
	KS_FIELD(ks_key_row, id, ID, 0),
	KS_FIELD(ks_key_row, digest, DIGEST, 0),
	KS_FIELD(ks_key_row, tenant, ID, 0),
	KS_FIELD(ks_key_row, organization, REF, 0),
	KS_FIELD(ks_key_row, user, REF, 0),
	KS_FIELD(ks_key_row, grant, ID, 0),
	KS_FIELD(ks_key_row, kind, ENUM, KS_KIND_COUNT),
	KS_FIELD(ks_key_row, binding, ENUM, KS_BINDING_COUNT),
	KS_FIELD(ks_key_row, environment, ENUM, KS_ENVIRONMENT_COUNT),
	KS_FIELD(ks_key_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_key_row, prefix, TEXT, KS_STORE_PREFIX_MAX),
	KS_FIELD(ks_key_row, last_four, TEXT, KS_STORE_LAST_FOUR_MAX),
	KS_FIELD(ks_key_row, labels, TEXT, KS_STORE_LABELS_MAX),
	KS_FIELD(ks_key_row, expires_at, SOME, 0),
	/* the same for all that are inserted together, as are those that follow */
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
#define KEY_VARYING_COLUMNS 14

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

/* What KEY_VARYING_COLUMNS leaves out. */
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
	bool limited, alike = true;

	if (count == 0)
		return KS_OK;
	for (size_t i = 0; i < count; i++) {
		KS_TRY(ks_store_grant_limited(store, rows[i].grant, &limited));
		all_limited += limited;
		least = KS_MIN(least, rows[i].id);
		alike = alike && is_alike(&rows[0], &rows[i]);
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
		&(struct ks_many){key_fields, KEY_OWN_COLUMNS, KEY_VARYING_COLUMNS, rows, sizeof(*rows), count,
				  ks_value_u64(segment)}));
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

/* ---- lists ---- */

/* Parameters of SQL_KEYS_FILTER, by number - 1. */
enum {
	P_ORGANIZATION,
	P_USER,
	P_BEFORE,
	P_KIND,
	P_ENVIRONMENT,
	P_STATUS,
	P_NOW,
	P_UNUSED_SINCE,
	P_NAME,
	P_LIMIT,
	P_SEGMENT,
	P_TENANT,
	P_COUNT
};

/* "%part%" for LIKE, its own signs escaped. Room for KS_STORE_NAME_MAX bytes: a longer part is in no name. */
struct pattern {
	char bytes[2 * KS_STORE_NAME_MAX + 2];
	size_t n;
};

static struct ks_str make_pattern(struct ks_str part, struct pattern *pattern)
{
	size_t n = 0;

	if (part.n == 0)
		return KS_STR("");
	pattern->bytes[n++] = '%';
	for (size_t i = 0; i < part.n; i++) {
		char c = part.p[i];
		if (c == '%' || c == '_' || c == '\\')
			pattern->bytes[n++] = '\\';
		pattern->bytes[n++] = c;
	}
	pattern->bytes[n++] = '%';
	return ks_str_of(pattern->bytes, n);
}

static void filter_params(const struct ks_key_filter *filter, struct pattern *pattern,
			  struct ks_sql_value ret_params[P_COUNT])
{
	ret_params[P_ORGANIZATION] = ks_value_u64(filter->organization);
	ret_params[P_USER] = ks_value_u64(filter->user);
	ret_params[P_BEFORE] = ks_value_before(filter->before);
	ret_params[P_KIND] = ks_value_filter(filter->kind, KS_KIND_COUNT);
	ret_params[P_ENVIRONMENT] = ks_value_filter(filter->environment, KS_ENVIRONMENT_COUNT);
	ret_params[P_STATUS] = ks_value_i64((int64_t)KS_MIN((unsigned)filter->status, (unsigned)KS_KEY_STATUS_ANY));
	ret_params[P_NOW] = ks_value_i64(filter->now_ms);
	ret_params[P_UNUSED_SINCE] =
		ks_value_i64(filter->unused_since == KS_TIME_NONE ? INT64_MAX : filter->unused_since);
	ret_params[P_NAME] = ks_value_text(make_pattern(filter->q, pattern));
	ret_params[P_LIMIT] = ks_value_limit(filter->limit);
}

/* The newest key of one tenant that is not listed yet. */
struct head {
	uint64_t key;
	uint64_t tenant;
	uint64_t segment;
};

/* Moves the head at `i` of a heap (greatest key first) down to its place. */
static void sift(struct head *heads, size_t count, size_t i)
{
	for (;;) {
		size_t greatest = i;
		for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < count; child++) {
			if (heads[child].key > heads[greatest].key)
				greatest = child;
		}
		if (greatest == i)
			return;
		struct head moved = heads[i];
		heads[i] = heads[greatest];
		heads[greatest] = moved;
		i = greatest;
	}
}

/* The tenant's next key that passes the filter, below `before`: one seek in the index on tenants for each segment down
 * to where it is. KS_NOT_FOUND: no more. */
static enum ks_err next_head(struct ks_store *store, struct ks_sql_value params[P_COUNT], uint64_t before,
			     struct head *head)
{
	int64_t key;

	params[P_BEFORE] = ks_value_before(before);
	params[P_TENANT] = ks_value_u64(head->tenant);
	for (;; head->segment--) {
		params[P_SEGMENT] = ks_value_u64(head->segment);
		enum ks_err err = ks_store_query_numbers(store, KS_SQL_KEYS_OF_TENANT, params, P_COUNT, 1, &key);
		if (err == KS_OK)
			head->key = (uint64_t)key;
		if (err != KS_NOT_FOUND || head->segment == 0)
			return err;
	}
}

static enum ks_err fill_heads(struct ks_store *store, const struct ks_key_filter *filter,
			      struct ks_sql_value params[P_COUNT], struct head *heads, size_t *ret_count)
{
	uint64_t segment;
	size_t count = 0;

	KS_TRY(ks_store_segment_below(store, filter->before, &segment));
	for (size_t i = 0; i < filter->tenant_count; i++) {
		heads[count].tenant = filter->tenants[i];
		heads[count].segment = segment;
		enum ks_err err = next_head(store, params, filter->before, &heads[count]);
		if (err == KS_OK)
			count++;
		else if (err != KS_NOT_FOUND)
			return err;
	}
	for (size_t i = count / 2; i-- > 0;)
		sift(heads, count, i);
	*ret_count = count;
	return KS_OK;
}

/* Merges the tenants' ranges of the index, so that a page costs by its rows and the number of tenants, not by how many
 * keys there are. */
static enum ks_err merge(struct ks_row_taker *taker, const struct ks_key_filter *filter,
			 struct ks_sql_value params[P_COUNT], struct head *heads)
{
	uint64_t listed = 0; /* the last one; a tenant may be named twice */
	size_t count;

	KS_TRY(fill_heads(taker->store, filter, params, heads, &count));
	while (count > 0 && taker->rows < filter->limit) {
		uint64_t key = heads[0].key;
		if (key != listed)
			KS_TRY(ks_store_query(taker->store, KS_SQL_KEY_GET, KS_PARAMS(ks_value_u64(key)), KEY_COLUMNS,
					      take_key, taker));
		listed = key;
		enum ks_err err = next_head(taker->store, params, key, &heads[0]);
		if (err == KS_NOT_FOUND)
			heads[0] = heads[--count];
		else if (err != KS_OK)
			return err;
		sift(heads, count, 0);
	}
	return KS_OK;
}

static enum ks_err list_tenants(struct ks_row_taker *taker, const struct ks_key_filter *filter,
				struct ks_sql_value params[P_COUNT])
{
	struct head *heads;

	if (filter->tenant_count == 0 || filter->limit == 0)
		return KS_OK;
	heads = calloc(filter->tenant_count, sizeof(*heads));
	if (!heads) {
		ks_sql_explain(&taker->store->error, "out of memory");
		return KS_MEMORY;
	}
	params[P_LIMIT] = ks_value_limit(1);
	enum ks_err err = merge(taker, filter, params, heads);
	free(heads);
	return err;
}

static enum ks_err list_organization(struct ks_row_taker *taker, const struct ks_key_filter *filter,
				     struct ks_sql_value params[P_COUNT])
{
	uint64_t segment;

	KS_TRY(ks_store_segment_below(taker->store, filter->before, &segment));
	for (segment++; segment-- > 0 && taker->rows < filter->limit;) {
		params[P_SEGMENT] = ks_value_u64(segment);
		params[P_LIMIT] = ks_value_limit(filter->limit - taker->rows);
		KS_TRY(ks_store_query(taker->store, KS_SQL_KEYS_OF_ORGANIZATION, params, P_TENANT, KEY_COLUMNS,
				      take_key, taker));
	}
	return KS_OK;
}

enum ks_err ks_store_keys(struct ks_store *store, const struct ks_key_filter *filter, ks_key_each *each, void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};
	struct ks_sql_value params[P_COUNT];
	struct pattern pattern;

	if (filter->q.n > KS_STORE_NAME_MAX)
		return KS_OK;
	filter_params(filter, &pattern, params);
	if (filter->tenants)
		return list_tenants(&taker, filter, params);
	if (filter->organization && !filter->user)
		return list_organization(&taker, filter, params);
	return ks_store_query(store, filter->user ? KS_SQL_KEYS_OF_USER : KS_SQL_KEYS, params, P_SEGMENT, KEY_COLUMNS,
			      take_key, &taker);
}
