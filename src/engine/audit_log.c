/* SPDX-License-Identifier: Apache-2.0 */
/* The key that signs checkpoints, and checkpoints: on demand and on schedule. */
#include <stdlib.h>

#include "base/id.h"
#include "engine/audit_log.h"
#include "engine/engine_priv.h"
#include "engine/events.h"
#include "engine/seal.h"

#define SEAL_PURPOSE "audit_key"
#define BUILD_AT_ONCE 2000u          /* entries of earlier versions in one transaction */
#define FIRST_RUN_MS (5 * INT64_C(60000))
#define BATCH 64u                    /* checkpoints in one transaction */

struct ks_audit_signer {
	struct ks_private_key *key;  /* NULL: it cannot be opened */
	struct ks_note_verifier verifier;
	char name[sizeof("keystile-") + 32];
};

/* ---- entries of earlier versions ---- */

static enum ks_err build_some(struct ks_engine *engine, size_t *ret_built)
{
	enum ks_err err;

	KS_TRY(ks_store_begin(engine->store));
	err = ks_store_audit_build(engine->store, BUILD_AT_ONCE, ret_built);
	if (err == KS_OK && *ret_built > 0)
		return ks_store_commit(engine->store);
	ks_store_rollback(engine->store);
	return err;
}

enum ks_err ks_audit_build(struct ks_engine *engine, struct ks_engine_problem *problem)
{
	uint64_t all = 0;
	size_t built;

	do {
		enum ks_err err = build_some(engine, &built);

		if (err != KS_OK)
			return ks_engine_problem(problem, err, "the audit's trees cannot be built: %s",
						 ks_store_error(engine->store));
		all += built;
		if (all > 0)
			ks_engine_progress(engine, "audit", all, built == BUILD_AT_ONCE ? all + 1 : all);
	} while (built == BUILD_AT_ONCE);
	if (all > 0)
		ks_engine_say(engine, 1, "audit_built", "trees over %llu entries of an earlier version",
			      (unsigned long long)all);
	return KS_OK;
}

/* ---- the key ---- */

struct opening {
	struct ks_engine *engine;
	struct ks_audit_signer *signer;
};

static void load_key(const struct opening *o, const struct ks_audit_key_row *row)
{
	uint8_t plain[KS_PRIVATE_KEY_MAX];
	size_t n;

	if (ks_engine_open_sealed(o->engine, SEAL_PURPOSE, row->id, row->sealed, plain, sizeof(plain), &n) != KS_OK
	    || ks_private_key_load(ks_str_of((const char *)plain, n), &o->signer->key) != KS_OK)
		ks_engine_say(o->engine, 3, "audit_key_unreadable", "no checkpoint can be signed");
	ks_wipe(plain, sizeof(plain));
}

static enum ks_err take_key(void *ctx, const struct ks_audit_key_row *row)
{
	const struct opening *o = ctx;
	struct ks_buf name = KS_BUF(o->signer->name);

	ks_buf_put(&name, row->name);
	(void)ks_buf_z(&name);
	if (!ks_buf_ok(&name) || row->public_key.n != sizeof(o->signer->verifier.key))
		return KS_CORRUPT;
	KS_TRY(ks_note_verifier_of(ks_str_c(o->signer->name), (const uint8_t *)row->public_key.p, &o->signer->verifier));
	load_key(o, row);
	return KS_OK;
}

static enum ks_err insert_key(struct ks_tx *tx, const struct ks_private_key *key, struct ks_str name)
{
	KS_AUTO(ks_secret_free) struct ks_secret der = {0};
	KS_AUTO(ks_public_key_free_at) struct ks_public_key *public_key = NULL;
	struct ks_audit_key_row row = {.id = ks_tx_id(tx), .created_at = tx->now_ms, .name = name};
	uint8_t sealed[KS_PRIVATE_KEY_MAX + KS_SEAL_OVERHEAD];
	struct ks_str none;
	size_t n;

	KS_TRY(ks_private_key_save(key, &der));
	KS_TRY(ks_private_key_public(key, &public_key));
	ks_public_key_numbers(public_key, &row.public_key, &none);
	KS_TRY(ks_engine_seal(tx, SEAL_PURPOSE, row.id, ks_str_of((const char *)der.bytes, der.n), sealed,
			      sizeof(sealed), &n));
	row.sealed = ks_str_of((const char *)sealed, n);
	KS_TRY(ks_store_audit_key_put(tx->store, &row));
	return ks_tx_audit(tx, NULL, &(struct ks_audit_note){.action = "audit.key_create"});
}

static enum ks_err make_key(struct ks_engine *engine)
{
	KS_AUTO(ks_private_key_free_at) struct ks_private_key *key = NULL;
	struct ks_tx tx = {.engine = engine, .store = engine->store, .now_ms = ks_engine_now_ms()};
	char text[sizeof("keystile-") + 32];
	struct ks_buf name = KS_BUF(text);
	enum ks_err err;

	ks_buf_put_c(&name, "keystile-");
	ks_buf_put_hex(&name, engine->store_id, sizeof(engine->store_id));
	KS_TRY(ks_private_key_new(KS_KEY_FORM_ED25519, &key));
	KS_TRY(ks_store_begin(engine->store));
	err = insert_key(&tx, key, ks_buf_str(&name));
	if (err == KS_OK)
		return ks_store_commit(engine->store);
	ks_store_rollback(engine->store);
	return err;
}

enum ks_err ks_audit_open(struct ks_engine *engine)
{
	struct opening o = {engine, calloc(1, sizeof(*o.signer))};
	enum ks_err err;

	if (!o.signer)
		return KS_MEMORY;
	engine->audit_signer = o.signer;
	engine->audit_next_ms = ks_engine_now_ms() + KS_MIN(engine->options.audit_checkpoint_ms, FIRST_RUN_MS);
	err = ks_store_audit_key_get(engine->store, take_key, &o);
	if (err != KS_NOT_FOUND)
		return err;
	if (!engine->options.audit_key)
		return KS_OK;
	KS_TRY(make_key(engine));
	return ks_store_audit_key_get(engine->store, take_key, &o);
}

void ks_audit_close(struct ks_engine *engine)
{
	if (engine->audit_signer)
		ks_private_key_free(engine->audit_signer->key);
	free(engine->audit_signer);
	engine->audit_signer = NULL;
}

bool ks_audit_put_verifier(const struct ks_engine *engine, struct ks_buf *out)
{
	if (!engine->audit_signer->key)
		return false;
	ks_note_put_verifier(out, &engine->audit_signer->verifier);
	return true;
}

/* ---- checkpoints ---- */

static enum ks_err put_tenant(void *ctx, const struct ks_tenant_row *row)
{
	char text[KS_ID_TEXT_SIZE];

	ks_id_format((enum ks_id_type)row->kind, row->id, text);
	ks_buf_put_c(ctx, text);
	return KS_OK;
}

enum ks_err ks_audit_origin(const struct ks_engine *engine, struct ks_store *store, uint64_t tree,
			    char ret_origin[KS_AUDIT_ORIGIN_SIZE])
{
	struct ks_buf out = ks_buf_of(ret_origin, KS_AUDIT_ORIGIN_SIZE);

	if (!engine->audit_signer->key)
		return KS_CRYPTO;
	ks_buf_put_c(&out, engine->audit_signer->name);
	ks_buf_put_byte(&out, '/');
	if (tree == 0)
		ks_buf_put_c(&out, "operator");
	else
		KS_TRY(ks_store_tenant_get(store, tree, put_tenant, &out));
	(void)ks_buf_z(&out);
	return ks_buf_ok(&out) ? KS_OK : KS_TOO_LARGE;
}

enum ks_err ks_audit_checkpoint(const struct ks_engine *engine, struct ks_audit_tree *tree, uint64_t size,
				struct ks_buf *out, struct ks_digest *ret_root)
{
	const struct ks_audit_signer *signer = engine->audit_signer;
	struct ks_merkle_source source = {ks_store_audit_node, tree};
	char origin[KS_AUDIT_ORIGIN_SIZE], text[KS_AUDIT_ORIGIN_SIZE + 96];
	struct ks_checkpoint checkpoint = {.size = size};
	struct ks_buf body = KS_BUF(text);

	if (size > tree->size)
		return KS_MALFORMED;
	KS_TRY(ks_audit_origin(engine, tree->store, tree->tree, origin));
	KS_TRY(ks_merkle_root(&source, size, &checkpoint.root));
	checkpoint.origin = ks_str_c(origin);
	ks_checkpoint_put(&body, &checkpoint);
	KS_TRY(ks_note_sign(ks_buf_str(&body), &signer->verifier, signer->key, out));
	*ret_root = checkpoint.root;
	return KS_OK;
}

/* ---- on schedule ---- */

struct due {
	uint64_t tree, size;
	char note[KS_STORE_NOTE_MAX];
	size_t note_n;
	bool is_organization;
	char origin[KS_AUDIT_ORIGIN_SIZE];
};

struct tending {
	struct ks_engine *engine;
	struct ks_store *store;
	struct ks_audit_tree *tree;
	size_t count;
	struct due due[BATCH];
};

static enum ks_err put_due(struct ks_tx *tx, const struct due *due)
{
	struct ks_str note = ks_str_of(due->note, due->note_n);
	char text[KS_EVENT_DATA_SIZE];
	struct ks_buf data = KS_BUF(text);

	KS_TRY(ks_store_audit_checkpoint_put(tx->store, &(struct ks_audit_checkpoint_row){
		.tree = due->tree, .size = due->size, .at = tx->now_ms, .note = note}));
	ks_audit_put(&data, "origin", ks_str_c(due->origin));
	ks_audit_put_u64(&data, "size", due->size);
	ks_audit_put(&data, "checkpoint", note);
	return ks_event_add(tx, &(struct ks_event_note){
		.type = KS_EVENT_AUDIT_CHECKPOINT,
		.organization = due->is_organization ? due->tree : 0,
		.tenant = due->tree,
		.data = ks_audit_end(&data),
	});
}

static enum ks_err run_put(struct ks_job *job, struct ks_tx *tx)
{
	const struct tending *t = job->ctx;

	for (size_t i = 0; i < t->count; i++)
		KS_TRY(put_due(tx, &t->due[i]));
	return KS_OK;
}

static enum ks_err put_batch(struct tending *t)
{
	struct ks_job job = {.run = run_put, .ctx = t};
	enum ks_err err = t->count ? ks_engine_run(t->engine, &job) : KS_OK;

	if (err == KS_OK) {
		pthread_mutex_lock(&t->engine->stats_lock);
		t->engine->stats.audit_checkpoints += t->count;
		pthread_mutex_unlock(&t->engine->stats_lock);
	}
	t->count = 0;
	return err;
}

/* By the id that ends the name of the log. */
static bool is_organization(struct ks_str origin)
{
	struct ks_str store, tenant;
	uint64_t id;

	return ks_str_split(origin, '/', &store, &tenant) && ks_id_parse(tenant, KS_ID_ORGANIZATION, &id);
}

static enum ks_err sign_one(struct tending *t, uint64_t tree)
{
	struct due *due = &t->due[t->count];
	struct ks_buf note = KS_BUF(due->note);
	struct ks_digest root;
	uint64_t last;

	KS_TRY(ks_store_audit_checkpoint_last(t->store, tree, &last));
	KS_TRY(ks_store_audit_tree(t->store, tree, t->tree));
	if (t->tree->size <= last)
		return KS_OK;
	due->tree = tree;
	due->size = t->tree->size;
	KS_TRY(ks_audit_origin(t->engine, t->store, tree, due->origin));
	KS_TRY(ks_audit_checkpoint(t->engine, t->tree, due->size, &note, &root));
	due->note_n = note.n;
	due->is_organization = is_organization(ks_str_c(due->origin));
	t->count++;
	return KS_OK;
}

/* One tree after the other by the index of trees, each in a snapshot of its own. */
static enum ks_err sign_all(struct tending *t)
{
	uint64_t tree = UINT64_MAX;
	enum ks_err err;

	for (;;) {
		KS_TRY(ks_store_begin(t->store));
		err = ks_store_audit_next_tree(t->store, tree, &tree);
		if (err == KS_OK)
			err = sign_one(t, tree);
		ks_store_rollback(t->store);
		if (err == KS_NOT_FOUND)
			return put_batch(t);
		KS_TRY(err);
		if (t->count == BATCH)
			KS_TRY(put_batch(t));
	}
}

void ks_audit_tend(struct ks_engine *engine)
{
	int64_t every_ms = engine->options.audit_checkpoint_ms, now_ms = ks_engine_now_ms();
	struct tending *t;
	enum ks_err err = KS_MEMORY;

	if (every_ms == 0 || now_ms < engine->audit_next_ms || !engine->audit_signer->key)
		return;
	engine->audit_next_ms = now_ms + every_ms;
	t = calloc(1, sizeof(*t));
	if (t) {
		t->engine = engine;
		t->tree = malloc(sizeof(*t->tree));
		err = t->tree ? ks_store_open(engine->store_uri, KS_STORE_READER, &t->store) : KS_MEMORY;
	}
	if (err == KS_OK)
		err = sign_all(t);
	if (err != KS_OK)
		ks_engine_say(engine, 2, "audit_checkpoints_failed", "%s", ks_err_text(err));
	if (t) {
		ks_store_close(&t->store);
		free(t->tree);
	}
	free(t);
}
