/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

#include <stdlib.h>

static const struct ks_sql_driver *const drivers[] = {&ks_sql_sqlite};

/* Of this thread: there is no handle to ask after an open that failed. */
static _Thread_local struct ks_sql_error open_error;

const struct ks_sql_driver *ks_store_driver_of(const char *uri, const char **ret_address)
{
	struct ks_str text = ks_str_c(uri);

	for (size_t i = 0; i < KS_ARRAY_LEN(drivers); i++) {
		struct ks_str scheme = ks_str_c(drivers[i]->scheme);
		if (ks_str_starts(text, scheme)) {
			*ret_address = &uri[scheme.n];
			return drivers[i];
		}
	}
	ks_sql_explain(&open_error, "a store is named as sqlite:PATH");
	return NULL;
}

void ks_store_set_open_error(const struct ks_sql_error *error)
{
	open_error = *error;
}

static enum ks_err make_memory(struct ks_store *store)
{
	store->tiles = calloc(KS_TILE_MEMOS, sizeof(*store->tiles));
	return store->tiles ? ks_audit_pending_new(&store->audit_pending) : KS_MEMORY;
}

enum ks_err ks_store_open_with(const char *uri, enum ks_store_mode mode, const struct ks_sql_migration *migrations,
			       size_t count, struct ks_store **ret_store)
{
	const char *address;
	const struct ks_sql_driver *driver = ks_store_driver_of(uri, &address);

	if (!driver)
		return KS_MALFORMED;
	struct ks_store *store = calloc(1, sizeof(*store));
	if (!store) {
		ks_sql_explain(&open_error, "out of memory");
		return KS_MEMORY;
	}
	store->driver = driver;
	store->mode = mode;
	store->segment_keys = KS_SEGMENT_KEYS;
	enum ks_err err = driver->open(address, mode, &store->error, &store->sql);
	if (err == KS_OK)
		err = ks_store_migrate(store, migrations, count);
	if (err == KS_OK && mode == KS_STORE_WRITER)
		err = make_memory(store);
	if (err != KS_OK) {
		open_error = store->error;
		ks_store_close(&store);
		return err;
	}
	*ret_store = store;
	return KS_OK;
}

enum ks_err ks_store_open(const char *uri, enum ks_store_mode mode, struct ks_store **ret_store)
{
	const char *address;
	const struct ks_sql_driver *driver = ks_store_driver_of(uri, &address);

	return ks_store_open_with(uri, mode, driver ? driver->migrations : NULL, driver ? driver->migration_count : 0,
				  ret_store);
}

void ks_store_close(struct ks_store **store)
{
	if (!*store)
		return;
	if ((*store)->sql)
		(*store)->driver->close((*store)->sql);
	ks_audit_pending_free(&(*store)->audit_pending);
	free((*store)->tiles);
	free(*store);
	*store = NULL;
}

const char *ks_store_error(const struct ks_store *store)
{
	return store ? store->error.text : open_error.text;
}

/* ---- transactions ---- */

static void end_transaction(struct ks_store *store)
{
	store->in_transaction = false;
	store->in_savepoint = false;
	store->lost = KS_OK;
	store->spoiled = KS_OK;
	store->last_change = 0;
	store->added = (struct ks_store_counts){0};
	ks_audit_pending_drop(store->audit_pending);
}

/* After a failure within a transaction: has the database given it up? */
static enum ks_err failed(struct ks_store *store, enum ks_err err)
{
	if (store->in_transaction && store->lost == KS_OK && !store->driver->in_transaction(store->sql))
		store->lost = err;
	return err;
}

static enum ks_err begin(struct ks_store *store, bool proven)
{
	if (store->in_transaction) {
		ks_sql_explain(&store->error, "a transaction is open already");
		return KS_STORE;
	}
	KS_TRY(store->driver->begin(store->sql, proven));
	store->in_transaction = true;
	store->writes_before = store->writes;
	return KS_OK;
}

enum ks_err ks_store_begin(struct ks_store *store)
{
	return begin(store, false);
}

enum ks_err ks_store_begin_proven(struct ks_store *store)
{
	return begin(store, true);
}

/* One row is rewritten for all that the transaction has added. */
static enum ks_err write_counts(struct ks_store *store)
{
	const struct ks_store_counts *added = &store->added;

	if ((added->keys | added->tenants | added->users | added->grants) == 0)
		return KS_OK;
	return ks_store_write(store, KS_SQL_COUNTS_ADD,
			      KS_PARAMS(ks_value_u64(added->keys), ks_value_u64(added->keys_limited),
					ks_value_u64(added->tenants), ks_value_u64(added->users),
					ks_value_u64(added->grants)),
			      NULL);
}

enum ks_err ks_store_commit(struct ks_store *store)
{
	if (!store->in_transaction) {
		ks_sql_explain(&store->error, "no transaction is open");
		return KS_STORE;
	}
	enum ks_err err = store->lost != KS_OK ? store->lost : store->spoiled;
	if (err == KS_OK)
		err = ks_store_audit_flush(store);
	if (err == KS_OK && store->mode == KS_STORE_WRITER)
		err = write_counts(store);
	if (err != KS_OK) {
		ks_store_rollback(store);
		return err;
	}
	err = store->driver->commit(store->sql);
	end_transaction(store);
	if (err != KS_OK)
		ks_store_forget_memos(store);
	return err;
}

void ks_store_rollback(struct ks_store *store)
{
	if (!store->in_transaction)
		return;
	store->driver->rollback(store->sql);
	end_transaction(store);
	if (store->writes != store->writes_before)
		ks_store_forget_memos(store);
}

void ks_store_shrink(struct ks_store *store)
{
	store->driver->shrink(store->sql);
}

uint64_t ks_store_writes(const struct ks_store *store)
{
	return store->writes;
}

/* ---- statements ---- */

/* Prepares and binds; *ret_stmt is untouched on failure. */
static enum ks_err start(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params, size_t count,
			 struct ks_sql_stmt **ret_stmt)
{
	struct ks_sql_stmt *stmt;

	if (KS_UNLIKELY(store->lost != KS_OK))
		return store->lost;
	KS_TRY(store->driver->prepare(store->sql, id, &stmt));
	enum ks_err err = store->driver->bind(stmt, params, count);
	if (err != KS_OK) {
		store->driver->finish(stmt);
		return err;
	}
	*ret_stmt = stmt;
	return KS_OK;
}

enum ks_err ks_store_note_write(struct ks_store *store)
{
	if (KS_LIKELY(store->in_transaction && store->mode == KS_STORE_WRITER)) {
		store->writes++;
		return KS_OK;
	}
	ks_sql_explain(&store->error, store->mode == KS_STORE_WRITER ? "changes are made within a transaction"
								     : "a reader changes nothing");
	return KS_STORE;
}

enum ks_err ks_store_query(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params, size_t count,
			   size_t columns, ks_store_take *take, void *ctx)
{
	struct ks_sql_value values[KS_SQL_VALUES_MAX];
	struct ks_sql_stmt *stmt;

	KS_TRY(start(store, id, params, count, &stmt));
	for (;;) {
		bool any;
		enum ks_err err = store->driver->step(stmt, &any);
		if (KS_UNLIKELY(err != KS_OK)) {
			store->driver->finish(stmt);
			return failed(store, err);
		}
		if (!any)
			break;
		store->driver->row(stmt, values, columns);
		err = take(ctx, values);
		if (KS_UNLIKELY(err != KS_OK)) {
			store->driver->finish(stmt);
			return err;
		}
	}
	store->driver->finish(stmt);
	return KS_OK;
}

struct numbers_taker {
	int64_t *numbers;
	size_t columns;
	bool any;
};

static enum ks_err take_numbers(void *ctx, const struct ks_sql_value *values)
{
	struct numbers_taker *taker = ctx;

	for (size_t i = 0; i < taker->columns && !taker->any; i++)
		taker->numbers[i] = values[i].type == KS_SQL_INTEGER ? values[i].integer : 0;
	taker->any = true;
	return KS_OK;
}

enum ks_err ks_store_query_numbers(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params,
				   size_t count, size_t columns, int64_t *ret_numbers)
{
	struct numbers_taker taker = {ret_numbers, columns, false};

	KS_TRY(ks_store_query(store, id, params, count, columns, take_numbers, &taker));
	return taker.any ? KS_OK : KS_NOT_FOUND;
}

enum ks_err ks_store_read(struct ks_row_taker *taker, enum ks_sql_id id, const struct ks_sql_value *params,
			  size_t count, size_t columns, ks_store_take *take)
{
	KS_TRY(ks_store_query(taker->store, id, params, count, columns, take, taker));
	return taker->rows ? KS_OK : KS_NOT_FOUND;
}

enum ks_err ks_store_check_text(struct ks_store *store, struct ks_str text, size_t max)
{
	if (ks_text_ok(text, max))
		return KS_OK;
	ks_sql_explain(&store->error, "a text is longer than %zu bytes, or is not text", max);
	return text.n > max ? KS_TOO_LARGE : KS_MALFORMED;
}

/* A statement that gives no rows. */
static enum ks_err perform(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params, size_t count,
			   uint64_t *ret_changed)
{
	struct ks_sql_stmt *stmt;
	bool any;

	KS_TRY(start(store, id, params, count, &stmt));
	enum ks_err err = store->driver->step(stmt, &any);
	if (err == KS_OK && ret_changed)
		*ret_changed = store->driver->changed(stmt);
	store->driver->finish(stmt);
	return err == KS_OK ? KS_OK : failed(store, err);
}

enum ks_err ks_store_write(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params, size_t count,
			   uint64_t *ret_changed)
{
	KS_TRY(ks_store_note_write(store));
	return perform(store, id, params, count, ret_changed);
}

enum ks_err ks_store_write_returning(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params,
				     size_t count, int64_t *ret_number)
{
	KS_TRY(ks_store_note_write(store));
	return ks_store_query_numbers(store, id, params, count, 1, ret_number);
}

enum ks_err ks_store_write_one(struct ks_store *store, enum ks_sql_id id, const struct ks_sql_value *params,
			       size_t count)
{
	uint64_t changed;

	KS_TRY(ks_store_write(store, id, params, count, &changed));
	return changed ? KS_OK : KS_NOT_FOUND;
}

enum ks_err ks_store_insert(struct ks_store *store, enum ks_sql_id id, const struct ks_field *fields, size_t count,
			    const void *row)
{
	struct ks_sql_value values[KS_SQL_VALUES_MAX];

	KS_TRY(ks_fields_save(fields, count, row, values, &store->error));
	return ks_store_write(store, id, values, count, NULL);
}

struct many_source {
	struct ks_store *store;
	const struct ks_many *many;
	const char *row;
	size_t left;
};

static enum ks_err next_of_many(void *ctx, struct ks_sql_value *ret_values)
{
	struct many_source *source = ctx;
	const struct ks_many *many = source->many;

	if (source->left == 0)
		return KS_NOT_FOUND;
	bool first = source->left == many->row_count;
	KS_TRY(ks_fields_save(many->fields, first ? many->count : many->varying, source->row, ret_values,
			      &source->store->error));
	if (first)
		ret_values[many->count] = many->more;
	source->row = &source->row[many->stride];
	source->left--;
	return KS_OK;
}

static enum ks_err insert_many(struct ks_store *store, enum ks_sql_id id, size_t count, size_t varying,
			       ks_sql_source *source, void *ctx)
{
	enum ks_err err;

	if (store->lost != KS_OK)
		return store->lost;
	err = store->driver->insert_many(store->sql, id, count, varying, source, ctx);
	if (err == KS_OK)
		return KS_OK;
	store->spoiled = err;
	return failed(store, err);
}

enum ks_err ks_store_insert_many(struct ks_store *store, enum ks_sql_id id, const struct ks_many *many)
{
	struct many_source source = {store, many, many->rows, many->row_count};

	KS_TRY(ks_store_note_write(store));
	return insert_many(store, id, many->count + 1, many->varying, next_of_many, &source);
}

enum ks_err ks_store_insert_values(struct ks_store *store, enum ks_sql_id id, size_t count, ks_sql_source *source, void *ctx)
{
	return insert_many(store, id, count, count, source, ctx);
}

/* ---- savepoints ---- */

enum ks_err ks_store_savepoint(struct ks_store *store)
{
	if (!store->in_transaction || store->mode != KS_STORE_WRITER || store->in_savepoint || store->spoiled != KS_OK) {
		ks_sql_explain(&store->error, "a savepoint needs a writer's transaction without one");
		return KS_STORE;
	}
	KS_TRY(ks_store_audit_flush(store));
	KS_TRY(perform(store, KS_SQL_SAVEPOINT, NULL, 0, NULL));
	store->in_savepoint = true;
	store->added_before = store->added;
	return KS_OK;
}

enum ks_err ks_store_release(struct ks_store *store)
{
	if (!store->in_savepoint) {
		ks_sql_explain(&store->error, "no savepoint is open");
		return KS_STORE;
	}
	if (store->spoiled != KS_OK)
		return store->spoiled;
	KS_TRY(perform(store, KS_SQL_RELEASE, NULL, 0, NULL));
	store->in_savepoint = false;
	return KS_OK;
}

void ks_store_rollback_to(struct ks_store *store)
{
	if (!store->in_savepoint)
		return;
	store->in_savepoint = false;
	store->spoiled = KS_OK;
	store->last_change = 0;
	store->added = store->added_before;
	ks_store_forget_memos(store);
	/* What cannot be undone in part must not be kept at all. */
	enum ks_err err = perform(store, KS_SQL_ROLLBACK_TO, NULL, 0, NULL);
	if (err == KS_OK)
		err = perform(store, KS_SQL_RELEASE, NULL, 0, NULL);
	if (err != KS_OK && store->lost == KS_OK)
		store->lost = err;
}

/* ---- the truth as a whole ---- */

static enum ks_err take_identity(void *ctx, const struct ks_sql_value *values)
{
	if (values[0].type != KS_SQL_BLOB || values[0].bytes.n != 16)
		return KS_CORRUPT;
	memcpy(ctx, values[0].bytes.p, 16);
	return KS_OK;
}

enum ks_err ks_store_identity(struct ks_store *store, uint8_t ret_id[16])
{
	return ks_store_query(store, KS_SQL_IDENTITY, NULL, 0, 1, take_identity, ret_id);
}

enum ks_err ks_store_counts(struct ks_store *store, struct ks_store_counts *ret_counts)
{
	int64_t numbers[5];

	KS_TRY(ks_store_query_numbers(store, KS_SQL_COUNTS, NULL, 0, 5, numbers));
	*ret_counts = (struct ks_store_counts){
		.keys = (uint64_t)numbers[0] + store->added.keys,
		.keys_limited = (uint64_t)numbers[1] + store->added.keys_limited,
		.tenants = (uint64_t)numbers[2] + store->added.tenants,
		.users = (uint64_t)numbers[3] + store->added.users,
		.grants = (uint64_t)numbers[4] + store->added.grants,
	};
	return KS_OK;
}

enum ks_err ks_store_last_id(struct ks_store *store, uint64_t *ret_id)
{
	int64_t number;

	KS_TRY(ks_store_query_numbers(store, KS_SQL_LAST_ID, NULL, 0, 1, &number));
	*ret_id = (uint64_t)number;
	return KS_OK;
}
