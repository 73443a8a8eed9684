/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the issuer's keys: next, current, retired, withdrawn. Each step is a row's change in a transaction with its
 * audit entry; what this process holds and the ring follow from the rows (ks_issuer_reload). */
#include "crypto/random.h"
#include "engine/issuer_priv.h"
#include "engine/seal.h"

#define SEAL_PURPOSE "issuer_key"
/* A retired key stays for the longest life of a token that it may have signed, and a moment for clocks that differ. */
#define PUBLISHED_MS (KS_ISSUER_LIFETIME_MAX_MS + INT64_C(300000))
#define TRY_AGAIN_MS 10000

int64_t ks_issuer_signs_from(const struct ks_engine *engine, const struct ks_issuer_key *key)
{
	return key->state == KS_ISSUER_KEY_NEXT ? key->created_at + engine->options.issuer.publish_ms : key->signs_from;
}

int64_t ks_issuer_published_until(const struct ks_issuer_key *key)
{
	return key->state == KS_ISSUER_KEY_RETIRED ? key->retired_at + PUBLISHED_MS : KS_TIME_NONE;
}

static struct ks_str algorithm_of(const struct ks_engine *engine)
{
	const char *text = engine->options.issuer.algorithm;

	return text ? ks_str_c(text) : KS_STR("ES256");
}

/* ---- one step each ---- */

static enum ks_err audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action, struct ks_str kid)
{
	char text[512];
	struct ks_buf detail = KS_BUF(text);

	ks_audit_put(&detail, "kid", kid);
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){.action = action, .detail = ks_audit_end(&detail)});
}

/* Mask and private key, sealed for the row. */
static enum ks_err seal_key(struct ks_tx *tx, uint64_t id, const struct ks_jose_signer *signer, uint8_t *ret_sealed,
			    size_t cap, size_t *ret_n)
{
	uint8_t plain[KS_ISSUER_PRIVATE_MAX];
	KS_AUTO(ks_secret_free) struct ks_secret der = {0};
	enum ks_err err;

	if (ks_jose_signer_save(signer, &der) != KS_JOSE_OK || der.n > sizeof(plain) - KS_RING_ISSUER_MASK_SIZE)
		return KS_CRYPTO;
	KS_TRY(ks_random(plain, KS_RING_ISSUER_MASK_SIZE));
	memcpy(&plain[KS_RING_ISSUER_MASK_SIZE], der.bytes, der.n);
	err = ks_engine_seal(tx, SEAL_PURPOSE, id, ks_str_of((const char *)plain, KS_RING_ISSUER_MASK_SIZE + der.n),
			     ret_sealed, cap, ret_n);
	ks_wipe(plain, sizeof(plain));
	return err;
}

static enum ks_err insert_key(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_jose_signer *signer,
			      enum ks_issuer_key_state state)
{
	uint8_t sealed[KS_ISSUER_PRIVATE_MAX + KS_SEAL_OVERHEAD];
	struct ks_issuer_key_row row = {.id = ks_tx_id(tx), .state = state, .created_at = tx->now_ms};
	char jwk[KS_ISSUER_PUBLIC_MAX];
	struct ks_buf text = KS_BUF(jwk);
	size_t n;

	ks_jose_key_write(ks_jose_signer_key(signer), &text);
	if (!ks_buf_ok(&text))
		return KS_TOO_LARGE;
	KS_TRY(seal_key(tx, row.id, signer, sealed, sizeof(sealed), &n));
	row.kid = ks_jose_key_kid(ks_jose_signer_key(signer));
	row.algorithm = ks_sign_alg_name(ks_jose_signer_alg(signer));
	row.public_jwk = ks_buf_str(&text);
	row.sealed = ks_str_of((const char *)sealed, n);
	row.signs_from = state == KS_ISSUER_KEY_CURRENT ? tx->now_ms : KS_TIME_NONE;
	row.retired_at = KS_TIME_NONE;
	row.withdrawn_at = KS_TIME_NONE;
	KS_TRY(ks_store_issuer_key_insert(tx->store, &row));
	return audit(tx, actor, state == KS_ISSUER_KEY_CURRENT ? "issuer.sign" : "issuer.publish", row.kid);
}

static enum ks_err make_key(struct ks_tx *tx, const struct ks_actor *actor, enum ks_issuer_key_state state)
{
	KS_AUTO(ks_jose_signer_free_at) struct ks_jose_signer *signer = NULL;
	enum ks_sign_alg alg;

	if (!ks_sign_alg_parse(algorithm_of(tx->engine), &alg))
		return KS_MALFORMED;
	if (ks_jose_signer_new(alg, &signer) != KS_JOSE_OK)
		return KS_CRYPTO;
	return insert_key(tx, actor, signer, state);
}

/* The rows as they are now: a transaction may take several steps. */
struct row {
	struct ks_issuer_key_row row;
	char kid[KS_STORE_KID_MAX + 1];
	char algorithm[KS_STORE_ALGORITHM_MAX + 1];
	char sealed[KS_ISSUER_PRIVATE_MAX + KS_SEAL_OVERHEAD];
	bool opens;
};

struct rows {
	struct ks_engine *engine;
	size_t count;
	struct row items[KS_RING_ISSUER_KEYS_MAX + 1];
};

static enum ks_err take_row(void *ctx, const struct ks_issuer_key_row *row)
{
	struct rows *rows = ctx;
	struct row *item = &rows->items[rows->count];
	uint8_t plain[sizeof(item->sealed)];
	size_t n;

	if (rows->count == KS_ARRAY_LEN(rows->items) || row->sealed.n > sizeof(item->sealed)
	    || row->kid.n >= sizeof(item->kid) || row->algorithm.n >= sizeof(item->algorithm))
		return KS_CORRUPT;
	item->row = *row;
	memcpy(item->kid, row->kid.p, row->kid.n);
	memcpy(item->algorithm, row->algorithm.p, row->algorithm.n);
	memcpy(item->sealed, row->sealed.p, row->sealed.n);
	item->row.kid = ks_str_of(item->kid, row->kid.n);
	item->row.algorithm = ks_str_of(item->algorithm, row->algorithm.n);
	item->row.sealed = ks_str_of(item->sealed, row->sealed.n);
	item->opens = ks_engine_open_sealed(rows->engine, SEAL_PURPOSE, row->id, row->sealed, plain, sizeof(plain), &n)
		      == KS_OK;
	ks_wipe(plain, sizeof(plain));
	rows->count++;
	return KS_OK;
}

static enum ks_err read_rows(struct ks_tx *tx, struct rows *rows)
{
	rows->engine = tx->engine;
	rows->count = 0;
	return ks_store_issuer_keys(tx->store, take_row, rows);
}

static struct row *in_state(struct rows *rows, enum ks_issuer_key_state state)
{
	for (size_t i = 0; i < rows->count; i++) {
		if (rows->items[i].row.state == state)
			return &rows->items[i];
	}
	return NULL;
}

static enum ks_err retire(struct ks_tx *tx, const struct ks_actor *actor, struct row *item)
{
	item->row.state = KS_ISSUER_KEY_RETIRED;
	item->row.retired_at = tx->now_ms;
	KS_TRY(ks_store_issuer_key_update(tx->store, &item->row));
	return audit(tx, actor, "issuer.retire", item->row.kid);
}

/* Its private half is forgotten with it. */
static enum ks_err withdraw(struct ks_tx *tx, const struct ks_actor *actor, struct row *item)
{
	item->row.state = KS_ISSUER_KEY_WITHDRAWN;
	item->row.withdrawn_at = tx->now_ms;
	item->row.sealed = KS_STR("");
	KS_TRY(ks_store_issuer_key_update(tx->store, &item->row));
	return audit(tx, actor, "issuer.withdraw", item->row.kid);
}

/* The next key signs from now on. */
static enum ks_err promote(struct ks_tx *tx, const struct ks_actor *actor, struct rows *rows)
{
	struct row *next = in_state(rows, KS_ISSUER_KEY_NEXT), *current = in_state(rows, KS_ISSUER_KEY_CURRENT);

	if (current)
		KS_TRY(retire(tx, actor, current));
	next->row.state = KS_ISSUER_KEY_CURRENT;
	next->row.signs_from = tx->now_ms;
	KS_TRY(ks_store_issuer_key_update(tx->store, &next->row));
	return audit(tx, actor, "issuer.sign", next->row.kid);
}

/* ---- what somebody asks for ---- */

enum ks_err ks_issuer_rotate(struct ks_tx *tx, const struct ks_actor *actor, enum ks_issuer_rotation how,
			     struct ks_refusal *ret_refusal)
{
	struct rows rows = {0};

	if (!tx->engine->options.issuer.name[0])
		return ks_refuse(ret_refusal, KS_NOT_FOUND, "not_found", "", "this service has no issuer");
	KS_TRY(read_rows(tx, &rows));
	for (size_t i = 0; how == KS_ISSUER_ROTATE_WITHDRAW && i < rows.count; i++)
		KS_TRY(withdraw(tx, actor, &rows.items[i]));
	if (how == KS_ISSUER_ROTATE_WITHDRAW)
		rows.count = 0;
	if (how == KS_ISSUER_ROTATE && in_state(&rows, KS_ISSUER_KEY_NEXT))
		return KS_OK;
	if (rows.count >= KS_RING_ISSUER_KEYS_MAX)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "%d keys are published: none is added before one of them goes",
				 KS_RING_ISSUER_KEYS_MAX);
	if (!in_state(&rows, KS_ISSUER_KEY_CURRENT)) {
		KS_TRY(make_key(tx, actor, KS_ISSUER_KEY_CURRENT));
	} else {
		if (!in_state(&rows, KS_ISSUER_KEY_NEXT)) {
			KS_TRY(make_key(tx, actor, KS_ISSUER_KEY_NEXT));
			KS_TRY(read_rows(tx, &rows));
		}
		if (how == KS_ISSUER_ROTATE_NOW)
			KS_TRY(promote(tx, actor, &rows));
	}
	return ks_tx_change(tx, KS_CHANGE_ISSUER_KEYS, 0, 0);
}

/* ---- what the clock asks for ---- */

/* True: the current key is to be followed by another. */
static bool wants_next(const struct ks_engine *engine, const struct row *current, int64_t now_ms)
{
	const struct ks_engine_issuer *o = &engine->options.issuer;
	int64_t signs_ms = KS_MAX(o->rotate_ms - o->publish_ms, (int64_t)0);

	if (!ks_str_eq(current->row.algorithm, algorithm_of(engine)))
		return true;
	return o->rotate_ms > 0 && now_ms - current->row.signs_from >= signs_ms;
}

/* Keys that cannot be opened (the master key is another one) and those whose time is over. */
static enum ks_err withdraw_useless(struct ks_tx *tx, struct rows *rows, bool *changed)
{
	for (size_t i = 0; i < rows->count; i++) {
		struct row *item = &rows->items[i];
		bool over = item->row.state == KS_ISSUER_KEY_RETIRED
			    && tx->now_ms >= item->row.retired_at + PUBLISHED_MS;

		if (item->opens && !over)
			continue;
		KS_TRY(withdraw(tx, NULL, item));
		*changed = true;
	}
	return *changed ? read_rows(tx, rows) : KS_OK;
}

enum ks_err ks_issuer_do_due(struct ks_tx *tx)
{
	const struct ks_engine_issuer *o = &tx->engine->options.issuer;
	struct rows rows = {0};
	struct row *next, *current;
	bool changed = false;

	KS_TRY(read_rows(tx, &rows));
	KS_TRY(withdraw_useless(tx, &rows, &changed));
	current = in_state(&rows, KS_ISSUER_KEY_CURRENT);
	next = in_state(&rows, KS_ISSUER_KEY_NEXT);
	if (!current && !next) {
		KS_TRY(make_key(tx, NULL, KS_ISSUER_KEY_CURRENT));
		changed = true;
	} else if (!next && wants_next(tx->engine, current, tx->now_ms) && rows.count < KS_RING_ISSUER_KEYS_MAX) {
		KS_TRY(make_key(tx, NULL, KS_ISSUER_KEY_NEXT));
		KS_TRY(read_rows(tx, &rows));
		next = in_state(&rows, KS_ISSUER_KEY_NEXT);
		changed = true;
	}
	if (next && (!current || tx->now_ms >= next->row.created_at + o->publish_ms)) {
		KS_TRY(promote(tx, NULL, &rows));
		changed = true;
	}
	return changed ? ks_tx_change(tx, KS_CHANGE_ISSUER_KEYS, 0, 0) : KS_OK;
}

/* When ks_issuer_do_due has something to do next, going by the set in force. */
static int64_t due_at(struct ks_engine *engine)
{
	const struct ks_engine_issuer *o = &engine->options.issuer;
	struct ks_issuer_set *set = ks_issuer_set(engine);
	const struct ks_issuer_key *next = ks_issuer_in_state(set, KS_ISSUER_KEY_NEXT);
	const struct ks_issuer_key *current = ks_issuer_in_state(set, KS_ISSUER_KEY_CURRENT);
	int64_t due = INT64_MAX;

	for (size_t i = 0; set && i < set->count; i++) {
		if (set->keys[i].state == KS_ISSUER_KEY_RETIRED)
			due = KS_MIN(due, ks_issuer_published_until(&set->keys[i]));
	}
	if (next)
		due = KS_MIN(due, ks_issuer_signs_from(engine, next));
	else if (current && o->rotate_ms > 0)
		due = KS_MIN(due, current->signs_from + KS_MAX(o->rotate_ms - o->publish_ms, (int64_t)0));
	ks_issuer_release(set);
	return due;
}

static enum ks_err run_due(struct ks_job *job, struct ks_tx *tx)
{
	(void)job;
	return ks_issuer_do_due(tx);
}

void ks_issuer_tend(struct ks_engine *engine)
{
	struct ks_job job = {.run = run_due};
	int64_t now_ms = ks_engine_now_ms();
	enum ks_err err;

	if (!engine->options.issuer.make_keys || now_ms < due_at(engine)
	    || now_ms < atomic_load_explicit(&engine->issuer.again_ms, memory_order_relaxed))
		return;
	err = ks_engine_run(engine, &job);
	/* Where many keys are published already, what is due waits until one of them goes. */
	atomic_store_explicit(&engine->issuer.again_ms, now_ms + TRY_AGAIN_MS, memory_order_relaxed);
	if (err != KS_OK)
		ks_engine_say(engine, 2, "issuer_waits", "%s", ks_err_text(err));
	else
		ks_engine_say(engine, 1, "issuer_keys_changed", "as the clock wants it");
}

/* Before the writer runs. */
static enum ks_err open_due(struct ks_engine *engine)
{
	struct ks_tx tx = {.engine = engine, .store = engine->store, .now_ms = ks_engine_now_ms()};
	enum ks_err err;

	KS_TRY(ks_store_begin(engine->store));
	err = ks_issuer_do_due(&tx);
	if (err == KS_OK)
		err = ks_store_commit(engine->store);
	else
		ks_store_rollback(engine->store);
	engine->log.change_count = 0;
	return err;
}

enum ks_err ks_issuer_open(struct ks_engine *engine)
{
	if (!engine->options.issuer.name[0])
		return KS_OK;
	if (engine->options.issuer.make_keys)
		KS_TRY(open_due(engine));
	return ks_issuer_reload(engine, NULL);
}
