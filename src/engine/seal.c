/* SPDX-License-Identifier: Apache-2.0 */
/* What the service itself keeps sealed, by the keeper. The row seal_check holds the wrapped key of organization 0, which is
 * the service; in stores of earlier releases a text that was sealed directly under the master key. */
#include "engine/seal.h"

#include <stdlib.h>

#include "base/buf.h"
#include "engine/engine_priv.h"

#define CHECK_PURPOSE "check"
#define CHECK_ROW 1
#define SYSTEM 0
#define GENERATION KS_SEAL_GENERATION
/* A check of earlier releases: nothing, sealed. */
#define OLD_CHECK_SIZE KS_KEEPER_SYSTEM_OVERHEAD

/* ---- the key of the service ---- */

struct system_key {
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
	size_t n;                    /* 0: none; what is sealed is under the key file's key */
};

static struct system_key system_key(const struct ks_engine *engine)
{
	struct ks_engine_seal *seal = engine->seal;
	struct system_key key;

	pthread_mutex_lock(&seal->lock);
	memcpy(key.wrapped, seal->wrapped, sizeof(key.wrapped));
	key.n = seal->wrapped_n;
	pthread_mutex_unlock(&seal->lock);
	return key;
}

static struct ks_keeper_org org_of(const struct system_key *key)
{
	return (struct ks_keeper_org){SYSTEM, GENERATION, ks_str_of((const char *)key->wrapped, key->n)};
}

static enum ks_err keep(void *ctx, struct ks_str sealed)
{
	struct system_key *key = ctx;

	if (sealed.n > sizeof(key->wrapped))
		return KS_CORRUPT;
	memcpy(key->wrapped, sealed.p, sealed.n);
	key->n = sealed.n;
	return KS_OK;
}

static void set_system_key(struct ks_engine *engine, const struct system_key *key)
{
	pthread_mutex_lock(&engine->seal->lock);
	memcpy(engine->seal->wrapped, key->wrapped, key->n);
	engine->seal->wrapped_n = key->n;
	pthread_mutex_unlock(&engine->seal->lock);
}

/* The right root opens what is there. */
static enum ks_err check_key(const struct ks_engine *engine, const struct system_key *row)
{
	struct ks_str sealed = ks_str_of((const char *)row->wrapped, row->n);
	struct ks_keeper_org org = org_of(row);
	uint8_t room[KS_KEEPER_SYSTEM_OVERHEAD];
	size_t n;

	if (row->n == OLD_CHECK_SIZE)
		return ks_engine_open_sealed(engine, CHECK_PURPOSE, CHECK_ROW, sealed, room, sizeof(room), &n);
	return ks_keeper_system_seal(engine->keeper, &org, KS_STR(CHECK_PURPOSE), KS_STR(""), room, sizeof(room), &n);
}

void ks_engine_keeper_close(struct ks_engine *engine)
{
	ks_keeper_stop(&engine->keeper);
	if (engine->seal)
		pthread_mutex_destroy(&engine->seal->lock);
	free(engine->seal);
	engine->seal = NULL;
}

struct ks_keeper *ks_engine_keeper(const struct ks_engine *engine)
{
	return engine->keeper;
}

static enum ks_err make_system_key(struct ks_tx *tx)
{
	struct system_key key = system_key(tx->engine);

	/* One that was made in a transaction that came to nothing is as good. */
	if (key.n == 0)
		KS_TRY(ks_keeper_org_create(tx->engine->keeper, SYSTEM, GENERATION, key.wrapped, sizeof(key.wrapped), &key.n));
	KS_TRY(ks_store_seal_check_put(tx->store, ks_str_of((const char *)key.wrapped, key.n)));
	set_system_key(tx->engine, &key);
	return KS_OK;
}

static enum ks_err ignore(void *ctx, struct ks_str sealed)
{
	(void)ctx;
	(void)sealed;
	return KS_OK;
}

enum ks_err ks_engine_seal_ready(struct ks_tx *tx)
{
	enum ks_err err = ks_store_seal_check_get(tx->store, ignore, NULL);

	return err == KS_NOT_FOUND ? make_system_key(tx) : err;
}

enum ks_err ks_engine_seal_set(struct ks_tx *tx, struct ks_str wrapped)
{
	struct system_key key = {.n = wrapped.n};

	if (wrapped.n > sizeof(key.wrapped))
		return KS_TOO_LARGE;
	memcpy(key.wrapped, wrapped.p, wrapped.n);
	KS_TRY(ks_store_seal_check_set(tx->store, wrapped));
	set_system_key(tx->engine, &key);
	return KS_OK;
}

/* ---- sealing ---- */

static enum ks_err bind(const char *purpose, uint64_t row, struct ks_buf *associated)
{
	ks_buf_put_c(associated, "keystile:");
	ks_buf_put_c(associated, purpose);
	ks_buf_put_byte(associated, ':');
	ks_buf_put_u64(associated, row);
	return ks_buf_ok(associated) ? KS_OK : KS_TOO_LARGE;
}

enum ks_err ks_engine_seal(struct ks_tx *tx, const char *purpose, uint64_t row, struct ks_str plain,
			   uint8_t *ret_sealed, size_t cap, size_t *ret_n)
{
	char text[KS_SEAL_PURPOSE_MAX + 32];
	struct ks_buf associated = KS_BUF(text);
	struct system_key key;
	struct ks_keeper_org org;

	KS_TRY(bind(purpose, row, &associated));
	KS_TRY(ks_engine_seal_ready(tx));
	key = system_key(tx->engine);
	org = org_of(&key);
	return ks_keeper_system_seal(tx->engine->keeper, &org, ks_buf_str(&associated), plain, ret_sealed, cap, ret_n);
}

enum ks_err ks_engine_open_sealed(const struct ks_engine *engine, const char *purpose, uint64_t row,
				  struct ks_str sealed, uint8_t *ret_plain, size_t cap, size_t *ret_n)
{
	char text[KS_SEAL_PURPOSE_MAX + 32];
	struct ks_buf associated = KS_BUF(text);
	struct system_key key = system_key(engine);
	struct ks_keeper_org org = org_of(&key);

	KS_TRY(bind(purpose, row, &associated));
	return ks_keeper_system_open(engine->keeper, &org, ks_buf_str(&associated), sealed, ret_plain, cap, ret_n);
}

/* ---- stores of earlier releases ---- */

#define UPGRADE_BATCH 16
#define UPGRADE_SEALED_MAX 8192

struct upgrade_row {
	uint64_t id;
	size_t n;
	uint8_t sealed[UPGRADE_SEALED_MAX];
};

struct upgrade {
	struct ks_tx tx;
	struct ks_keeper_org org;    /* the new key */
	struct upgrade_row rows[UPGRADE_BATCH];
	size_t count;
};

static enum ks_err take_row(void *ctx, uint64_t id, struct ks_str sealed)
{
	struct upgrade *u = ctx;
	struct upgrade_row *row = &u->rows[u->count++];

	if (sealed.n > sizeof(row->sealed))
		return KS_TOO_LARGE;
	row->id = id;
	row->n = sealed.n;
	memcpy(row->sealed, sealed.p, sealed.n);
	return KS_OK;
}

static enum ks_err upgrade_row(struct upgrade *u, enum ks_sealed_table table, const char *purpose, const struct upgrade_row *row)
{
	uint8_t plain[UPGRADE_SEALED_MAX], sealed[UPGRADE_SEALED_MAX];
	char text[KS_SEAL_PURPOSE_MAX + 32];
	struct ks_buf associated = KS_BUF(text);
	enum ks_err err;
	size_t n;

	KS_TRY(bind(purpose, row->id, &associated));
	err = ks_keeper_system_open(u->tx.engine->keeper, &u->org, ks_buf_str(&associated),
				    ks_str_of((const char *)row->sealed, row->n), plain, sizeof(plain), &n);
	/* What nothing opens any more stays as it is, for whoever reads it to say so. */
	if (err == KS_CORRUPT)
		return KS_OK;
	if (err == KS_OK)
		err = ks_keeper_system_seal(u->tx.engine->keeper, &u->org, ks_buf_str(&associated),
					    ks_str_of((const char *)plain, n), sealed, sizeof(sealed), &n);
	ks_wipe(plain, sizeof(plain));
	KS_TRY(err);
	return ks_store_sealed_set(u->tx.store, table, row->id, ks_str_of((const char *)sealed, n));
}

static enum ks_err upgrade_table(struct upgrade *u, enum ks_sealed_table table, const char *purpose)
{
	for (uint64_t after = 0;;) {
		u->count = 0;
		KS_TRY(ks_store_sealed_list(u->tx.store, table, after, UPGRADE_BATCH, take_row, u));
		if (u->count == 0)
			return KS_OK;
		for (size_t i = 0; i < u->count; i++)
			KS_TRY(upgrade_row(u, table, purpose, &u->rows[i]));
		after = u->rows[u->count - 1].id;
	}
}

static enum ks_err upgrade_all(struct upgrade *u, struct system_key *key)
{
	static const char *const purposes[KS_SEALED_TABLE_COUNT] = {
#define X(name, purpose) [KS_SEALED_##name] = (purpose),
		KS_SEALED_TABLES(X)
#undef X
	};

	KS_TRY(ks_keeper_org_create(u->tx.engine->keeper, SYSTEM, GENERATION, key->wrapped, sizeof(key->wrapped), &key->n));
	u->org = org_of(key);
	for (enum ks_sealed_table table = 0; table < KS_SEALED_TABLE_COUNT; table++)
		KS_TRY(upgrade_table(u, table, purposes[table]));
	return ks_store_seal_check_set(u->tx.store, ks_str_of((const char *)key->wrapped, key->n));
}

/* Secrets that are directly under the key file's key come under the service's own, so that they need not be sealed anew with
 * every new root. */
static enum ks_err upgrade(struct ks_engine *engine)
{
	struct upgrade *u = calloc(1, sizeof(*u));
	struct system_key key = {.n = 0};
	enum ks_err err;

	if (!u)
		return KS_MEMORY;
	u->tx = (struct ks_tx){.engine = engine, .store = engine->store, .now_ms = ks_engine_now_ms()};
	err = ks_store_begin(engine->store);
	if (err == KS_OK) {
		err = upgrade_all(u, &key);
		if (err == KS_OK)
			err = ks_store_commit(engine->store);
		else
			ks_store_rollback(engine->store);
	}
	free(u);
	if (err == KS_OK)
		set_system_key(engine, &key);
	return err;
}

enum ks_err ks_engine_keeper_open(struct ks_engine *engine, struct ks_engine_problem *ret_problem)
{
	struct ks_keeper_options options = engine->options.keeper;
	struct ks_keeper_problem problem = {""};
	struct system_key row = {.n = 0};
	enum ks_err sealed = ks_store_seal_check_get(engine->store, keep, &row), err;

	if (sealed != KS_OK && sealed != KS_NOT_FOUND)
		return sealed;
	engine->seal = calloc(1, sizeof(*engine->seal));
	if (!engine->seal)
		return KS_MEMORY;
	pthread_mutex_init(&engine->seal->lock, NULL);
	options.directory = engine->data_directory;
	options.may_create = sealed == KS_NOT_FOUND;
	options.log = engine->options.log;
	options.log_ctx = engine->options.log_ctx;
	err = ks_keeper_start(&options, &engine->keeper, &problem);
	if (err != KS_OK)
		return ks_engine_problem(ret_problem, err, "%s", problem.text);
	if (sealed == KS_NOT_FOUND)
		return KS_OK;
	if (row.n != OLD_CHECK_SIZE)
		set_system_key(engine, &row);
	err = check_key(engine, &row);
	if (err == KS_CORRUPT)
		return ks_engine_problem(ret_problem, err, "%s/master.key, or what vault.kms names instead, is not the key that"
							   " this store was sealed with", engine->data_directory);
	KS_TRY(err);
	return row.n == OLD_CHECK_SIZE ? upgrade(engine) : KS_OK;
}
