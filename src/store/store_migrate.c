/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/random.h"
#include "store/store_priv.h"

struct check {
	struct ks_store *store;
	const struct ks_sql_migration *migrations;
	size_t count;
	size_t seen;
};

static enum ks_err digest_of(const struct ks_sql_migration *migration, struct ks_digest *ret_digest)
{
	return ks_sha256(ks_str_of((const char *)migration->text, *migration->size), ret_digest);
}

/* A migration that was applied must be the one that this program knows, byte for byte. */
static enum ks_err take_applied(void *ctx, const struct ks_sql_value *values)
{
	struct check *check = ctx;
	struct ks_digest digest;

	if (values[0].type == KS_SQL_INTEGER && values[0].integer == (int64_t)check->seen + 1 &&
	    check->seen < check->count) {
		KS_TRY(digest_of(&check->migrations[check->seen], &digest));
		if (ks_str_eq(values[2].bytes, ks_str_of((const char *)digest.bytes, sizeof(digest.bytes)))) {
			check->seen++;
			return KS_OK;
		}
	}
	ks_sql_explain(&check->store->error, "step %zu of the store's schema is not the one that this program knows",
		       check->seen + 1);
	return KS_CORRUPT;
}

static enum ks_err check_applied(struct ks_store *store, const struct ks_sql_migration *migrations, unsigned version)
{
	struct check check = {store, migrations, version, 0};

	KS_TRY(ks_store_query(store, KS_SQL_MIGRATIONS, NULL, 0, 3, take_applied, &check));
	if (check.seen == version)
		return KS_OK;
	ks_sql_explain(&store->error, "the store's schema says version %u, but %zu steps were made", version,
		       check.seen);
	return KS_CORRUPT;
}

static enum ks_err make_identity(struct ks_store *store)
{
	uint8_t identity[16];

	if (ks_random(identity, sizeof(identity)) != KS_OK) {
		ks_sql_explain(&store->error, "the system has no random numbers");
		return KS_SYSTEM;
	}
	return ks_store_write(store, KS_SQL_TRUTH_INSERT, KS_PARAMS(ks_value_blob(identity, sizeof(identity))), NULL);
}

static enum ks_err apply_one(struct ks_store *store, const struct ks_sql_migration *migration, unsigned number)
{
	struct ks_digest digest;

	KS_TRY(digest_of(migration, &digest));
	KS_TRY(store->driver->exec(store->sql, (const char *)migration->text));
	KS_TRY(ks_store_write(store, KS_SQL_MIGRATION_INSERT,
			      KS_PARAMS(ks_value_i64(number), ks_value_text(ks_str_c(migration->name)),
					ks_value_blob(digest.bytes, sizeof(digest.bytes))),
			      NULL));
	return number == 1 ? make_identity(store) : KS_OK;
}

static enum ks_err apply_all(struct ks_store *store, const struct ks_sql_migration *migrations, unsigned from,
			     unsigned to)
{
	for (unsigned i = from; i < to; i++)
		KS_TRY(apply_one(store, &migrations[i], i + 1));
	return store->driver->set_version(store->sql, to);
}

enum ks_err ks_store_check_version(struct ks_store *store, const struct ks_sql_migration *migrations, size_t count,
				   unsigned *ret_version)
{
	unsigned version;

	KS_TRY(store->driver->version(store->sql, &version));
	if (version > count) {
		ks_sql_explain(
			&store->error,
			"the store was made by a newer program: its schema is version %u, this program reads up to %zu",
			version, count);
		return KS_VERSION;
	}
	if (version > 0)
		KS_TRY(check_applied(store, migrations, version));
	*ret_version = version;
	return KS_OK;
}

enum ks_err ks_store_migrate(struct ks_store *store, const struct ks_sql_migration *migrations, size_t count)
{
	unsigned last = (unsigned)count;
	unsigned version;

	KS_TRY(ks_store_check_version(store, migrations, count, &version));
	if (version == last)
		return KS_OK;
	if (store->mode != KS_STORE_WRITER) {
		ks_sql_explain(&store->error,
			       "the store's schema is version %u and must first be brought to %u by the service",
			       version, last);
		return KS_VERSION;
	}
	KS_TRY(ks_store_begin(store));
	enum ks_err err = apply_all(store, migrations, version, last);
	if (err == KS_OK)
		return ks_store_commit(store);
	ks_store_rollback(store);
	return err;
}
