/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/audit/checkpoint and /v1/audit/proof; POST /v1/audit/check. */
#include <stdlib.h>

#include "api/audit_view.h"
#include "api/key_in.h"

/* What a reading thread works with: a snapshot of one tree. */
struct looking {
	struct ks_call *call;
	struct ks_audit_log log;
	struct ks_audit_tree *tree;
	struct ks_digest root;
	char note_bytes[KS_STORE_NOTE_MAX];
	struct ks_buf note;
};

static enum ks_err open_tree(struct looking *l)
{
	l->note = KS_BUF(l->note_bytes);
	l->tree = malloc(sizeof(*l->tree));
	if (!l->tree)
		return KS_MEMORY;
	KS_TRY(ks_store_begin(l->call->reader->store));
	return ks_store_audit_tree(l->call->reader->store, l->log.tree, l->tree);
}

static enum ks_finish leave(struct looking *l, enum ks_err err)
{
	ks_store_rollback(l->call->reader->store);
	free(l->tree);
	return err == KS_OK ? ks_call_answer(l->call, 200) : ks_call_problem(l->call, ks_audit_problem(err), NULL);
}

static enum ks_err sign(struct looking *l, uint64_t size)
{
	return ks_audit_checkpoint(l->call->api->engine, l->tree, size, &l->note, &l->root);
}

static void put_hash(struct ks_json *out, const struct ks_digest *hash)
{
	char text[64];
	struct ks_buf b = KS_BUF(text);

	ks_audit_put_hash(&b, hash->bytes, sizeof(hash->bytes));
	ks_json_str(out, ks_buf_str(&b));
}

/* Which log, and its checkpoint. */
static void put_log(struct looking *l)
{
	struct ks_json *out = &l->call->out;
	struct ks_str origin, rest;

	if (ks_str_split(ks_buf_str(&l->note), '\n', &origin, &rest))
		ks_json_put_str(out, "origin", origin);
	ks_json_put_str(out, "checkpoint", ks_buf_str(&l->note));
}

/* False: it was given, and is no number. */
static bool read_size(struct ks_call *call, const char *name, uint64_t *ret_size, bool *ret_given)
{
	char storage[32];
	struct ks_str text;

	*ret_given = ks_call_query(call, name, storage, sizeof(storage), &text);
	if (!*ret_given || ks_str_to_u64(text, KS_MERKLE_SIZE_MAX, ret_size))
		return true;
	ks_call_query_problem(call, name, "This must be a number of entries.");
	return false;
}

static enum ks_finish too_large(struct looking *l, const char *name)
{
	enum ks_finish answered;

	ks_store_rollback(l->call->reader->store);
	free(l->tree);
	ks_call_query_problem(l->call, name, "The log has fewer entries.");
	(void)ks_call_invalid(l->call, &answered);
	return answered;
}

/* ---- checkpoint ---- */

static void put_checkpoint(struct looking *l, uint64_t size)
{
	struct ks_json *out = &l->call->out;
	char key[KS_NOTE_VERIFIER_SIZE];
	struct ks_buf b = KS_BUF(key);

	ks_json_open(out, '{');
	put_log(l);
	ks_json_put_u64(out, "size", size);
	ks_json_name(out, "root");
	put_hash(out, &l->root);
	if (ks_audit_put_verifier(l->call->api->engine, &b))
		ks_json_put_str(out, "key", ks_buf_str(&b));
	ks_json_close(out, '}');
}

/* The note alone, to be kept as a file. */
static enum ks_finish answer_note(struct looking *l)
{
	struct ks_exchange *x = l->call->exchange;
	char *text = malloc(l->note.n);

	ks_store_rollback(l->call->reader->store);
	free(l->tree);
	if (!text)
		return ks_call_problem(l->call, KS_PROBLEM_INTERNAL, NULL);
	memcpy(text, l->note.p, l->note.n);
	x->heap = text;
	x->answer_body = ks_str_of(text, l->note.n);
	x->status = 200;
	ks_exchange_answer_header(x, KS_STR("Content-Type"), KS_STR("text/plain; charset=utf-8"));
	return KS_FINISH_DONE;
}

static bool read_format(struct ks_call *call, bool *ret_note)
{
	char storage[16];
	struct ks_str text = KS_STR("");

	*ret_note = ks_call_query(call, "format", storage, sizeof(storage), &text) && ks_str_eq(text, KS_STR("note"));
	if (*ret_note || ks_str_empty(text) || ks_str_eq(text, KS_STR("json")))
		return true;
	ks_call_query_problem(call, "format", "This must be json or note.");
	return false;
}

static enum ks_finish checkpoint(struct ks_call *call)
{
	static const char *const known[] = {"tenant", "size", "format", NULL};
	struct looking l = {.call = call};
	uint64_t size = 0;
	bool given, note;
	enum ks_finish answered;
	enum ks_err err;

	ks_call_query_known(call, known);
	(void)read_size(call, "size", &size, &given);
	(void)read_format(call, &note);
	if (!ks_audit_log_read(call, &l.log))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	err = open_tree(&l);
	if (err == KS_OK && given && size > l.tree->size)
		return too_large(&l, "size");
	if (err == KS_OK && !given)
		size = l.tree->size;
	if (err == KS_OK)
		err = sign(&l, size);
	if (err == KS_OK && note)
		return answer_note(&l);
	if (err == KS_OK)
		put_checkpoint(&l, size);
	return leave(&l, err);
}

enum ks_finish ks_api_audit_checkpoint(struct ks_call *call)
{
	return ks_call_later(call, checkpoint);
}

/* ---- proofs ---- */

static void put_proof(struct ks_json *out, const struct ks_merkle_proof *proof)
{
	ks_json_name(out, "proof");
	ks_json_open(out, '[');
	for (size_t i = 0; i < proof->count; i++)
		put_hash(out, &proof->hashes[i]);
	ks_json_close(out, ']');
}

struct entry {
	struct looking *l;
	uint64_t index;
	char *text;
	struct ks_buf out;
};

/* One that the caller does not see is not there. */
static enum ks_err take_entry(void *ctx, const struct ks_audit_row *row)
{
	struct entry *e = ctx;
	struct ks_call *call = e->l->call;
	const struct ks_ring *ring = ks_call_ring(call);
	struct ks_audit_eyes eyes;

	if (!ring || !ks_history_sees(&call->actor, ring, row->tenant))
		return KS_NOT_FOUND;
	ks_audit_eyes_open(&eyes, &call->actor, call->reader->store, ring);
	e->l->log.tree = row->tree;
	e->index = row->position;
	ks_audit_put_entry(&e->out, &eyes, row);
	return ks_buf_ok(&e->out) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err prove_entry(struct looking *l, struct entry *e, uint64_t size)
{
	struct ks_merkle_source source = {ks_store_audit_node, l->tree};
	struct ks_json *out = &l->call->out;
	struct ks_merkle_proof proof;

	KS_TRY(sign(l, size));
	KS_TRY(ks_merkle_prove_inclusion(&source, e->index, size, &proof));
	ks_json_open(out, '{');
	put_log(l);
	ks_json_put_u64(out, "index", e->index);
	ks_json_put_u64(out, "size", size);
	put_proof(out, &proof);
	ks_json_put_raw(out, "entry", ks_buf_str(&e->out));
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_finish inclusion(struct ks_call *call, uint64_t id)
{
	struct looking l = {.call = call};
	struct entry e = {.l = &l, .text = malloc(KS_AUDIT_RECORD_MAX)};
	uint64_t size = 0;
	bool given;
	enum ks_finish answered;
	enum ks_err err = e.text ? KS_OK : KS_MEMORY;

	(void)read_size(call, "size", &size, &given);
	if (ks_call_invalid(call, &answered)) {
		free(e.text);
		return answered;
	}
	e.out = ks_buf_of(e.text, KS_AUDIT_RECORD_MAX);
	if (err == KS_OK)
		err = ks_store_audit_get(call->reader->store, id, take_entry, &e);
	if (err == KS_OK)
		err = open_tree(&l);
	if (err == KS_OK && given && (size > l.tree->size || size <= e.index)) {
		free(e.text);
		return too_large(&l, "size");
	}
	if (err == KS_OK)
		err = prove_entry(&l, &e, given ? size : l.tree->size);
	free(e.text);
	return leave(&l, err);
}

static enum ks_err prove_consistency(struct looking *l, uint64_t from, uint64_t to)
{
	struct ks_merkle_source source = {ks_store_audit_node, l->tree};
	struct ks_json *out = &l->call->out;
	struct ks_merkle_proof proof;

	KS_TRY(sign(l, to));
	KS_TRY(ks_merkle_prove_consistency(&source, from, to, &proof));
	ks_json_open(out, '{');
	put_log(l);
	ks_json_put_u64(out, "from_size", from);
	ks_json_put_u64(out, "to_size", to);
	put_proof(out, &proof);
	ks_json_close(out, '}');
	return KS_OK;
}

static enum ks_finish consistency(struct ks_call *call)
{
	struct looking l = {.call = call};
	uint64_t from = 0, to = 0;
	bool has_from, has_to;
	enum ks_finish answered;
	enum ks_err err;

	(void)read_size(call, "from_size", &from, &has_from);
	(void)read_size(call, "to_size", &to, &has_to);
	if (!has_from)
		ks_call_query_problem(call, "from_size", "Give an entry, or the sizes of two checkpoints.");
	if (!ks_audit_log_read(call, &l.log))
		return KS_FINISH_DONE;
	if (ks_call_invalid(call, &answered))
		return answered;
	err = open_tree(&l);
	if (err == KS_OK && !has_to)
		to = l.tree->size;
	if (err == KS_OK && to > l.tree->size)
		return too_large(&l, "to_size");
	if (err == KS_OK && from > to)
		return too_large(&l, "from_size");
	if (err == KS_OK)
		err = prove_consistency(&l, from, to);
	return leave(&l, err);
}

static enum ks_finish proof(struct ks_call *call)
{
	static const char *const of_entry[] = {"entry", "size", NULL};
	static const char *const of_sizes[] = {"entry", "tenant", "from_size", "to_size", NULL};
	char storage[64];
	struct ks_str text;
	uint64_t id;

	if (!ks_call_query(call, "entry", storage, sizeof(storage), &text)) {
		ks_call_query_known(call, of_sizes);
		return consistency(call);
	}
	ks_call_query_known(call, of_entry);
	if (!ks_id_parse(text, KS_ID_AUDIT, &id)) {
		ks_call_query_problem(call, "entry", "This is not the id of an entry.");
		id = 0;
	}
	return inclusion(call, id);
}

enum ks_finish ks_api_audit_proof(struct ks_call *call)
{
	return ks_call_later(call, proof);
}

/* ---- the trees against their entries ---- */

static enum ks_finish check(struct ks_call *call)
{
	struct ks_json *out = &call->out;
	struct ks_audit_report report;
	enum ks_err err = ks_audit_check(call->api->engine, &report);

	if (err != KS_OK)
		return ks_call_problem(call, ks_problem_of_err(err), NULL);
	ks_json_open(out, '{');
	ks_json_put_bool(out, "equal", report.differences == 0);
	ks_json_put_u64(out, "differences", report.differences);
	ks_json_put_c(out, "first", report.first[0] ? report.first : NULL);
	ks_json_put_u64(out, "trees", report.trees);
	ks_json_put_u64(out, "entries", report.entries);
	ks_json_put_u64(out, "tiles", report.tiles);
	ks_json_close(out, '}');
	return ks_call_answer(call, 200);
}

enum ks_finish ks_api_audit_check(struct ks_call *call)
{
	return ks_call_no_query(call) && ks_call_no_members(call) ? ks_call_alone(call, check) : KS_FINISH_DONE;
}
