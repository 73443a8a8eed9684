/* SPDX-License-Identifier: Apache-2.0 */
#include "store/store_priv.h"

/* How far the numbers of changes jump in a restored store. */
#define RESTORE_JUMP "4294967296"

enum ks_err ks_store_backup(struct ks_store *store, const char *path,
			    void (*progress)(void *ctx, uint64_t done, uint64_t all), void *ctx)
{
	return store->driver->backup(store->sql, path, progress, ctx);
}

/* Numbers of changes go on far beyond those that the replaced store may have given: whoever has applied those finds the
 * place after which it asks forgotten, and starts anew. */
static const char jump[] = "UPDATE truth SET changes_forgotten = " RESTORE_JUMP
			   " + changes_forgotten + (SELECT coalesce(max(seq), 0) FROM changes) WHERE one = 1;"
			   "DELETE FROM changes";

static enum ks_err accept(void *ctx, struct ks_sql *sql)
{
	struct ks_store *copy = ctx;
	unsigned version;

	copy->sql = sql;
	KS_TRY(ks_store_check_version(copy, copy->driver->migrations, copy->driver->migration_count, &version));
	KS_TRY(ks_store_begin(copy));
	enum ks_err err = copy->driver->exec(sql, jump);
	if (err == KS_OK)
		return ks_store_commit(copy);
	ks_store_rollback(copy);
	return err;
}

enum ks_err ks_store_restore(const char *path, const char *uri)
{
	const char *address;
	struct ks_store copy = {.mode = KS_STORE_WRITER, .driver = ks_store_driver_of(uri, &address)};

	if (!copy.driver)
		return KS_MALFORMED;
	enum ks_err err = copy.driver->restore(path, address, accept, &copy, &copy.error);
	if (err != KS_OK)
		ks_store_set_open_error(&copy.error);
	return err;
}
