/* SPDX-License-Identifier: Apache-2.0 */
/* audit verify: an export against a checkpoint that was kept, without a service or a store. Every leaf is computed anew,
 * the tree over them is put together, and it must have the root of the checkpoint at its size, and at the end that of
 * the export's own. */
#include <stdarg.h>
#include <stdlib.h>

#include "base/ctenc.h"
#include "base/id.h"
#include "cli/audit_file.h"
#include "cli/cli.h"
#include "merkle/entry.h"
#include "merkle/note.h"

struct verifying {
	struct ks_audit_file file;
	struct ks_merkle_edge edge;
	char kept_note[KS_NOTE_MAX + 1];
	struct ks_checkpoint kept;   /* borrows from kept_note */
	bool kept_holds;
	bool has_key;
	struct ks_note_verifier key;
	char key_text[512];
	bool headed, ended;
	char origin[KS_NOTE_ORIGIN_MAX + 1];
	uint64_t size, last_id, entries;
	char problem[512];
};

/* Says why it does not hold. */
static bool fails(struct verifying *v, const char *fmt, ...) KS_PRINTF(2, 3);
static bool fails(struct verifying *v, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(v->problem, sizeof(v->problem), fmt, args);
	va_end(args);
	return false;
}

static bool breaks(struct verifying *v)
{
	return fails(v, "line %llu is no record of an export", (unsigned long long)v->file.line);
}

/* ---- the checkpoint that was kept, and the key ---- */

static bool check_signature(struct verifying *v, const struct ks_note *note, const char *which)
{
	enum ks_err err = v->has_key ? ks_note_check(note, &v->key) : KS_OK;

	if (err == KS_NOT_FOUND)
		return fails(v, "%s is not signed by this key", which);
	return err == KS_OK || fails(v, "the signature of %s is wrong", which);
}

static bool read_file(const char *path, char *bytes, size_t cap, size_t *ret_n)
{
	FILE *in = fopen(path, "re");

	if (!in)
		return false;
	*ret_n = fread(bytes, 1, cap, in);
	return fclose(in) == 0;
}

static bool read_kept(struct verifying *v, const char *path)
{
	struct ks_note note;
	size_t n;

	if (!read_file(path, v->kept_note, KS_NOTE_MAX, &n))
		return fails(v, "%s cannot be read", path);
	if (ks_note_read(ks_str_of(v->kept_note, n), &note) != KS_OK || ks_checkpoint_read(note.text, &v->kept) != KS_OK)
		return fails(v, "%s is no checkpoint", path);
	return check_signature(v, &note, "the checkpoint that was kept");
}

/* The text of a key, or the file that holds it. */
static bool read_key(struct verifying *v, const char *given)
{
	struct ks_str text;
	size_t n = 0;

	if (!given)
		return true;
	text = ks_str_c(given);
	if (ks_str_find(text, '+') == SIZE_MAX) {
		if (!read_file(given, v->key_text, sizeof(v->key_text), &n))
			return fails(v, "%s cannot be read", given);
		while (n > 0 && v->key_text[n - 1] == '\n')
			n--;
		text = ks_str_of(v->key_text, n);
	}
	v->has_key = ks_note_read_verifier(text, &v->key) == KS_OK;
	return v->has_key || fails(v, "this is no verifier key");
}

/* ---- one record ---- */

static bool read_hash(struct ks_str text, struct ks_digest *ret_hash)
{
	size_t n;

	return ks_base64_decode(text, ret_hash->bytes, sizeof(ret_hash->bytes), &n) && n == sizeof(ret_hash->bytes);
}

static bool take_log(struct verifying *v, const struct ks_audit_record *r)
{
	struct ks_buf origin = KS_BUF(v->origin);

	if (v->headed || !ks_str_to_u64(r->cells[0], KS_MERKLE_SIZE_MAX, &v->size))
		return breaks(v);
	v->headed = true;
	ks_buf_put(&origin, r->cells[1]);
	(void)ks_buf_z(&origin);
	if (!ks_str_eq(r->cells[1], v->kept.origin))
		return fails(v, "this is the log %s, and the checkpoint is of %.*s", v->origin, KS_STR_ARG(v->kept.origin));
	if (v->size < v->kept.size)
		return fails(v, "the log has %llu entries, and had %llu at the checkpoint: entries were dropped",
			     (unsigned long long)v->size, (unsigned long long)v->kept.size);
	return true;
}

/* Where the tree has the size of the checkpoint, it has its root. */
static bool compare_kept(struct verifying *v)
{
	struct ks_digest root;

	if (v->edge.size != v->kept.size || v->kept_holds)
		return true;
	if (ks_merkle_edge_root(&v->edge, &root) != KS_OK || !ks_merkle_same(&root, &v->kept.root))
		return fails(v, "the first %llu entries are not those of the checkpoint: something was altered, dropped,"
				" moved or inserted", (unsigned long long)v->kept.size);
	v->kept_holds = true;
	return true;
}

/* Behind the prefix; an id of a tenant or nothing. */
static bool digits_of(struct ks_str id, struct ks_str *ret_digits)
{
	enum ks_id_type type;
	uint64_t number;

	*ret_digits = ks_str_sub(id, KS_ID_TEXT_LEN - 13, SIZE_MAX);
	return ks_str_empty(id) || ks_id_parse_any(id, &type, &number);
}

static bool find_commitment(const struct ks_audit_record *r, struct ks_digest *ret_commitment)
{
	struct ks_str salt = r->cells[KS_AUDIT_CELL_salt], actor = r->cells[KS_AUDIT_CELL_actor];
	uint8_t bytes[KS_AUDIT_SALT_SIZE];
	size_t n;

	/* Whose id is not shown is told by where they came from, and by nothing else. */
	if (ks_str_empty(salt))
		return ks_str_eq(actor, r->cells[KS_AUDIT_CELL_place])
		       && read_hash(r->cells[KS_AUDIT_CELL_commitment], ret_commitment);
	return ks_str_empty(r->cells[KS_AUDIT_CELL_commitment]) && ks_base64_decode(salt, bytes, sizeof(bytes), &n)
	       && n == sizeof(bytes) && ks_audit_commit(bytes, actor, ret_commitment) == KS_OK;
}

static bool leaf_of(const struct ks_audit_record *r, struct ks_digest *ret_leaf)
{
	struct ks_digest commitment;
	struct ks_audit_leaf leaf = {
		.id = r->cells[KS_AUDIT_CELL_id],
		.at = r->cells[KS_AUDIT_CELL_at],
		.place = r->cells[KS_AUDIT_CELL_place],
		.on_behalf = r->cells[KS_AUDIT_CELL_on_behalf],
		.action = r->cells[KS_AUDIT_CELL_action],
		.object = r->cells[KS_AUDIT_CELL_object],
		.outcome = r->cells[KS_AUDIT_CELL_outcome],
		.address = r->cells[KS_AUDIT_CELL_address],
		.request_id = r->cells[KS_AUDIT_CELL_request_id],
		.detail = r->cells[KS_AUDIT_CELL_detail],
	};

	return digits_of(r->cells[KS_AUDIT_CELL_tenant], &leaf.tenant)
	       && digits_of(r->cells[KS_AUDIT_CELL_organization], &leaf.organization)
	       && find_commitment(r, &commitment) && ks_audit_leaf_hash(&leaf, &commitment, ret_leaf) == KS_OK;
}

static bool take_entry(struct verifying *v, const struct ks_audit_record *r)
{
	struct ks_str id_text = r->cells[KS_AUDIT_CELL_id];
	struct ks_digest leaf, stated;
	uint64_t index, id;

	if (!ks_id_parse(id_text, KS_ID_AUDIT, &id)
	    || !ks_str_to_u64(r->cells[KS_AUDIT_CELL_index], KS_MERKLE_SIZE_MAX, &index)
	    || !read_hash(r->cells[KS_AUDIT_CELL_leaf], &stated))
		return breaks(v);
	if (index != v->edge.size || id <= v->last_id)
		return fails(v, "line %llu: entry %.*s has index %llu where %llu comes next: entries were dropped, moved or"
				" inserted", (unsigned long long)v->file.line, KS_STR_ARG(id_text), (unsigned long long)index,
			     (unsigned long long)v->edge.size);
	if (!leaf_of(r, &leaf) || !ks_merkle_same(&leaf, &stated))
		return fails(v, "line %llu: entry %.*s is not what its leaf says: it was altered",
			     (unsigned long long)v->file.line, KS_STR_ARG(id_text));
	v->last_id = id;
	v->entries++;
	return ks_merkle_edge_add(&v->edge, 0, &leaf) == KS_OK || breaks(v);
}

/* Entries that are not shown, by the hashes of the nodes that cover them. */
static bool take_gap(struct verifying *v, const struct ks_audit_record *r)
{
	struct ks_str rest = r->cells[1], hash;
	struct ks_digest node;
	uint64_t to;

	if (!ks_str_to_u64(r->cells[0], KS_MERKLE_SIZE_MAX, &to) || to <= v->edge.size)
		return breaks(v);
	if (v->edge.size < v->kept.size && v->kept.size < to)
		return fails(v, "the checkpoint's end lies within entries that this export leaves out: export again with"
				" --checkpoint-size %llu", (unsigned long long)v->kept.size);
	while (v->edge.size < to) {
		if (!ks_str_split(rest, ' ', &hash, &rest)) {
			hash = rest;
			rest = KS_STR("");
		}
		if (!read_hash(hash, &node)
		    || ks_merkle_edge_add(&v->edge, ks_merkle_first_node(v->edge.size, to), &node) != KS_OK)
			return breaks(v);
	}
	return ks_str_empty(rest) || breaks(v);
}

static bool take_checkpoint(struct verifying *v, const struct ks_audit_record *r)
{
	struct ks_checkpoint checkpoint;
	struct ks_digest root;
	struct ks_note note;

	if (ks_note_read(r->cells[1], &note) != KS_OK || ks_checkpoint_read(note.text, &checkpoint) != KS_OK)
		return breaks(v);
	if (!check_signature(v, &note, "the export's own checkpoint"))
		return false;
	if (!ks_str_eq(checkpoint.origin, v->kept.origin) || checkpoint.size != v->edge.size || checkpoint.size != v->size
	    || ks_merkle_edge_root(&v->edge, &root) != KS_OK || !ks_merkle_same(&root, &checkpoint.root))
		return fails(v, "the entries are not those of the export's own checkpoint");
	v->ended = true;
	return true;
}

static bool take(struct verifying *v, const struct ks_audit_record *r)
{
	if (v->ended || (!v->headed && r->kind != KS_AUDIT_RECORD_LOG))
		return breaks(v);
	switch (r->kind) {
	case KS_AUDIT_RECORD_LOG:
		return take_log(v, r) && compare_kept(v);
	case KS_AUDIT_RECORD_ENTRY:
		return take_entry(v, r) && compare_kept(v);
	case KS_AUDIT_RECORD_GAP:
		return take_gap(v, r) && compare_kept(v);
	case KS_AUDIT_RECORD_CHECKPOINT:
		return take_checkpoint(v, r);
	case KS_AUDIT_RECORD_END:
		break;
	}
	return false;
}

static bool take_all(struct verifying *v)
{
	struct ks_audit_record record;

	for (;;) {
		enum ks_err err = ks_audit_file_read(&v->file, &record);

		if (err == KS_SYSTEM)
			return fails(v, "the export cannot be read");
		if (err != KS_OK)
			return fails(v, "line %llu is no record of an export", (unsigned long long)v->file.line + 1);
		if (record.kind == KS_AUDIT_RECORD_END)
			break;
		if (!take(v, &record))
			return false;
		if (v->size > 0)
			ks_progress(NULL, "verify", v->edge.size, v->size + 1);
	}
	if (!v->ended)
		return fails(v, "the export is cut off: it has no checkpoint at its end");
	return v->kept_holds || fails(v, "the checkpoint's size was never reached");
}

/* ---- the command ---- */

static int tell(struct ks_cli *cli, const struct verifying *v, bool holds)
{
	if (cli->json) {
		char text[1024];
		struct ks_buf b = KS_BUF(text);

		ks_buf_put_json(&b, ks_str_c(v->problem));
		(void)printf("{\"valid\":%s,\"problem\":%s,\"entries\":%llu,\"size\":%llu,\"checkpoint_size\":%llu,"
			     "\"signatures_checked\":%s}\n", holds ? "true" : "false", holds ? "null" : ks_buf_z(&b),
			     (unsigned long long)v->entries, (unsigned long long)v->edge.size,
			     (unsigned long long)v->kept.size, v->has_key ? "true" : "false");
	} else if (holds) {
		(void)printf("%s: %llu entries, %llu of them shown; nothing was altered, dropped, moved or inserted since the"
			     " checkpoint of %llu.\n", v->origin, (unsigned long long)v->edge.size,
			     (unsigned long long)v->entries, (unsigned long long)v->kept.size);
		if (!v->has_key)
			(void)printf("Signatures were not checked: give the log's key (keystile audit key) with --key.\n");
	} else {
		(void)fprintf(stderr, "keystile: %s\n", v->problem);
	}
	return holds ? KS_EXIT_DONE : KS_EXIT_FAILED;
}

int ks_cmd_audit_verify(struct ks_cli *cli)
{
	const char *checkpoint = ks_cli_option(cli, "checkpoint");
	struct verifying *v;
	bool holds;
	int code;

	if (!checkpoint)
		return ks_cli_fail(cli, KS_EXIT_USAGE, "--checkpoint is missing: a checkpoint that was kept");
	v = calloc(1, sizeof(*v));
	if (!v)
		return ks_cli_fail(cli, KS_EXIT_FAILED, "out of memory");
	v->file.in = fopen(cli->words[0], "re");
	holds = v->file.in ? read_key(v, ks_cli_option(cli, "key")) && read_kept(v, checkpoint) && take_all(v)
			   : fails(v, "%s cannot be read", cli->words[0]);
	if (v->file.in)
		(void)fclose(v->file.in);
	code = tell(cli, v, holds);
	free(v);
	return code;
}
