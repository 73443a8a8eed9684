/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of keys, newest first. Each is driven by an index. Where a filter asks for more than the index knows, or not all
 * keys may be seen, a page looks at KS_STORE_EXAMINED rows and then says from where to go on: what it costs is
 * bounded, whatever is asked for. */
#include <stdlib.h>

#include "store/store_priv.h"

/* The migrations and statements name these by their numbers. */
_Static_assert(KS_KIND_TENANT == 1 && KS_ENVIRONMENT_SANDBOX == 1, "keys_kind and keys_sandbox are of these");

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
	P_FLOOR, /* of what is found by id, and of other paths: */
	P_SEGMENT = P_FLOOR,
	P_TENANT,
	P_ORGANIZATION_FLOOR = P_TENANT,
	P_TENANT_FLOOR,
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

/* The newest key of one tenant that is not listed yet; or, before, how far back it was looked at. */
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

static void heapify(struct head *heads, size_t count)
{
	for (size_t i = count / 2; i-- > 0;)
		sift(heads, count, i);
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
	heapify(heads, count);
	*ret_count = count;
	return KS_OK;
}

/* What a page passes its rows through. */
struct pass {
	const struct ks_key_filter *filter;
	ks_key_each *each;
	void *ctx;
	size_t passed;
};

static enum ks_err pass_row(void *ctx, const struct ks_key_row *row)
{
	struct pass *pass = ctx;
	const struct ks_key_filter *filter = pass->filter;

	if (pass->passed == filter->limit || (filter->seen && !filter->seen(filter->seen_ctx, row->tenant)))
		return KS_OK;
	pass->passed++;
	return pass->each(pass->ctx, row);
}

/* Rows of the database that are asked for: those that are not seen take places too, `times` what is looked at. */
static size_t rows_wanted(const struct ks_key_filter *filter, size_t passed, size_t times)
{
	return filter->seen ? times * KS_STORE_EXAMINED : filter->limit - passed;
}

/* True if a row that the index gives may be left out. */
static bool leaves_out(const struct ks_key_filter *filter)
{
	return filter->seen || filter->kind < KS_KIND_COUNT || filter->environment < KS_ENVIRONMENT_COUNT
	       || filter->status < KS_KEY_STATUS_ANY || filter->unused_since != KS_TIME_NONE || filter->q.n > 0;
}

/* ---- how far back so many rows reach ---- */

/* A stretch of an index: `third` and `fourth` are further parameters. */
struct stretch {
	enum ks_sql_id sql;
	size_t params;
	uint64_t third, fourth;
};

static enum ks_err behind(struct ks_store *store, const struct stretch *stretch, uint64_t before, size_t count,
			  uint64_t *ret_floor, size_t *ret_found)
{
	const struct ks_sql_value params[] = {ks_value_before(before), ks_value_u64(count), ks_value_u64(stretch->third),
					      ks_value_u64(stretch->fourth)};
	int64_t numbers[2];

	KS_TRY(ks_store_query_numbers(store, stretch->sql, params, stretch->params, 2, numbers));
	*ret_found = (size_t)numbers[1];
	*ret_floor = *ret_found == count ? (uint64_t)numbers[0] : 0;
	return KS_OK;
}

/* The same over all segments, the newest first; `owner` is the tenant or organization. 0: there are not so many. */
static enum ks_err behind_of(struct ks_store *store, enum ks_sql_id sql, uint64_t owner, uint64_t before, size_t count,
			     uint64_t *ret_floor)
{
	struct stretch stretch = {.sql = sql, .params = 4, .fourth = owner};
	uint64_t segment;
	size_t found;

	KS_TRY(ks_store_segment_below(store, before, &segment));
	*ret_floor = 0;
	for (segment++; segment-- > 0 && *ret_floor == 0;) {
		stretch.third = segment;
		KS_TRY(behind(store, &stretch, before, count, ret_floor, &found));
		count -= found;
	}
	return KS_OK;
}

/* ---- by tenant ---- */

/* The tenants' newest rows, together not many more than are to be looked at: above the floor all is known. One tenant may
 * have most of the keys, so half of them are those of the tenants that reach back least. `heads`: room for one a tenant. */
static enum ks_err floor_of_tenants(struct ks_store *store, const struct ks_key_filter *filter, struct head *heads,
				    uint64_t *ret_floor)
{
	const enum ks_sql_id sql = KS_SQL_KEYS_OF_TENANT_BEHIND;
	size_t each = KS_STORE_EXAMINED / filter->tenant_count + 2;
	size_t count = 0;

	for (size_t i = 0; leaves_out(filter) && i < filter->tenant_count; i++) {
		struct head *head = &heads[count];

		head->tenant = filter->tenants[i];
		KS_TRY(behind_of(store, sql, head->tenant, filter->before, each, &head->key));
		count += head->key != 0;
	}
	heapify(heads, count);
	for (size_t spare = KS_STORE_EXAMINED; count > 0 && spare >= each; spare -= each) {
		KS_TRY(behind_of(store, sql, heads[0].tenant, heads[0].key, each, &heads[0].key));
		if (heads[0].key == 0)
			heads[0] = heads[--count];
		sift(heads, count, 0);
	}
	*ret_floor = count > 0 ? heads[0].key : 0;
	return KS_OK;
}

/* Merges the tenants' ranges of the index, so that a page costs by its rows and the number of tenants, not by how many
 * keys there are. */
static enum ks_err merge(struct ks_store *store, struct pass *pass, struct ks_sql_value params[P_COUNT],
			 struct head *heads)
{
	uint64_t listed = 0; /* the last one; a tenant may be named twice */
	size_t count;

	KS_TRY(fill_heads(store, pass->filter, params, heads, &count));
	while (count > 0 && pass->passed < pass->filter->limit) {
		uint64_t key = heads[0].key;
		if (key != listed)
			KS_TRY(ks_store_key_get(store, key, pass_row, pass));
		listed = key;
		enum ks_err err = next_head(store, params, key, &heads[0]);
		if (err == KS_NOT_FOUND)
			heads[0] = heads[--count];
		else if (err != KS_OK)
			return err;
		sift(heads, count, 0);
	}
	return KS_OK;
}

static enum ks_err list_tenants(struct ks_store *store, struct pass *pass, struct ks_sql_value params[P_COUNT],
				uint64_t *ret_floor)
{
	const struct ks_key_filter *filter = pass->filter;
	struct head *heads;

	if (filter->tenant_count == 0)
		return KS_OK;
	heads = calloc(filter->tenant_count, sizeof(*heads));
	if (!heads) {
		ks_sql_explain(&store->error, "out of memory");
		return KS_MEMORY;
	}
	enum ks_err err = floor_of_tenants(store, filter, heads, ret_floor);
	params[P_LIMIT] = ks_value_limit(1);
	params[P_TENANT_FLOOR] = ks_value_u64(*ret_floor);
	if (err == KS_OK)
		err = merge(store, pass, params, heads);
	free(heads);
	return err;
}

/* ---- by organization ---- */

static enum ks_err list_organization(struct ks_store *store, struct pass *pass, struct ks_sql_value params[P_COUNT],
				     uint64_t *ret_floor)
{
	const struct ks_key_filter *filter = pass->filter;
	uint64_t segment, own = 0, below = 0;

	if (leaves_out(filter)) {
		KS_TRY(behind_of(store, KS_SQL_KEYS_OF_TENANT_BEHIND, filter->organization, filter->before,
				 KS_STORE_EXAMINED, &own));
		KS_TRY(behind_of(store, KS_SQL_KEYS_BELOW_ORGANIZATION_BEHIND, filter->organization, filter->before,
				 KS_STORE_EXAMINED, &below));
	}
	*ret_floor = KS_MAX(own, below);
	params[P_ORGANIZATION_FLOOR] = ks_value_u64(*ret_floor);
	KS_TRY(ks_store_segment_below(store, filter->before, &segment));
	for (segment++; segment-- > 0 && pass->passed < filter->limit;) {
		params[P_SEGMENT] = ks_value_u64(segment);
		params[P_LIMIT] = ks_value_limit(rows_wanted(filter, pass->passed, 2));
		KS_TRY(ks_store_query_keys(store, KS_SQL_KEYS_OF_ORGANIZATION, params, P_ORGANIZATION_FLOOR + 1,
					   pass_row, pass));
	}
	return KS_OK;
}

/* ---- all keys ---- */

/* The index with the fewest rows to look at. */
static enum ks_sql_id choose(const struct ks_key_filter *filter, struct stretch *ret_stretch)
{
	*ret_stretch = (struct stretch){.sql = KS_SQL_KEYS_BEHIND, .params = 2};
	if (filter->kind < KS_KIND_COUNT && filter->kind != KS_KIND_TENANT) {
		*ret_stretch = (struct stretch){KS_SQL_KEYS_OF_KIND_BEHIND, 3, filter->kind, 0};
		return KS_SQL_KEYS_OF_KIND;
	}
	if (filter->status == KS_KEY_STATUS_REVOKED) {
		ret_stretch->sql = KS_SQL_KEYS_STOPPED_BEHIND;
		return KS_SQL_KEYS_STOPPED;
	}
	if (filter->environment == KS_ENVIRONMENT_SANDBOX) {
		ret_stretch->sql = KS_SQL_KEYS_SANDBOX_BEHIND;
		return KS_SQL_KEYS_SANDBOX;
	}
	return KS_SQL_KEYS;
}

static enum ks_err list_all(struct ks_store *store, struct pass *pass, struct ks_sql_value params[P_COUNT],
			    uint64_t *ret_floor)
{
	const struct ks_key_filter *filter = pass->filter;
	struct stretch stretch;
	enum ks_sql_id sql = choose(filter, &stretch);
	size_t found;

	if (leaves_out(filter))
		KS_TRY(behind(store, &stretch, filter->before, KS_STORE_EXAMINED, ret_floor, &found));
	params[P_FLOOR] = ks_value_u64(*ret_floor);
	params[P_LIMIT] = ks_value_limit(rows_wanted(filter, 0, 1));
	return ks_store_query_keys(store, sql, params, P_FLOOR + 1, pass_row, pass);
}

enum ks_err ks_store_keys_page(struct ks_store *store, const struct ks_key_filter *filter, ks_key_each *each, void *ctx,
			       uint64_t *ret_before)
{
	struct pass pass = {.filter = filter, .each = each, .ctx = ctx};
	struct ks_sql_value params[P_COUNT];
	struct pattern pattern;
	uint64_t floor = 0;
	enum ks_err err;

	*ret_before = 0;
	if (filter->q.n > KS_STORE_NAME_MAX || filter->limit == 0)
		return KS_OK;
	filter_params(filter, &pattern, params);
	if (filter->tenants)
		err = list_tenants(store, &pass, params, &floor);
	else if (filter->user)
		err = ks_store_query_keys(store, KS_SQL_KEYS_OF_USER, params, P_LIMIT + 1, pass_row, &pass);
	else if (filter->organization)
		err = list_organization(store, &pass, params, &floor);
	else
		err = list_all(store, &pass, params, &floor);
	if (err == KS_OK && pass.passed < filter->limit)
		*ret_before = floor;
	return err;
}

enum ks_err ks_store_keys(struct ks_store *store, const struct ks_key_filter *filter, ks_key_each *each, void *ctx)
{
	struct ks_key_filter rest = *filter;
	struct pass pass = {.filter = filter, .each = each, .ctx = ctx};
	uint64_t before;

	do {
		rest.limit = filter->limit - pass.passed;
		KS_TRY(ks_store_keys_page(store, &rest, pass_row, &pass, &before));
		rest.before = before;
	} while (before != 0);
	return KS_OK;
}
