/* SPDX-License-Identifier: Apache-2.0 */
/* Notes, checkpoints and verifiers as anybody may send them; and proofs: the input is read as a proof, and whatever is
 * found to hold must be the one proof that there is. */
#include <stdlib.h>

#include "base/cursor.h"
#include "merkle/note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

#define LEAVES 64

static struct ks_digest leaves[LEAVES];

static enum ks_err node(void *ctx, unsigned height, uint64_t index, struct ks_digest *ret_hash)
{
	(void)ctx;
	CHECK((index + 1) << height <= LEAVES);
	return ks_merkle_above(&leaves[index << height], height, ret_hash);
}

static void make_leaves(void)
{
	for (unsigned i = 0; i < LEAVES && leaves[0].bytes[0] == 0; i++)
		CHECK(ks_merkle_leaf(ks_str_of((const char *)&(uint8_t){(uint8_t)i}, 1), &leaves[LEAVES - 1 - i]) == KS_OK);
}

static void check_note(struct ks_str text)
{
	struct ks_note note;
	struct ks_note_verifier verifier;
	struct ks_checkpoint checkpoint;
	char written[512];
	struct ks_buf out = KS_BUF(written);

	if (ks_note_read(text, &note) == KS_OK) {
		CHECK(note.count >= 1 && note.count <= KS_NOTE_SIGNATURES_MAX);
		CHECK(note.text.n > 0 && note.text.p[note.text.n - 1] == '\n');
		for (size_t i = 0; i < note.count; i++)
			CHECK(ks_note_name_ok(note.signatures[i].name));
	}
	if (ks_note_read_verifier(text, &verifier) == KS_OK) {
		ks_note_put_verifier(&out, &verifier);
		CHECK(ks_str_eq(ks_buf_str(&out), text));
	}
	out = KS_BUF(written);
	if (ks_checkpoint_read(text, &checkpoint) == KS_OK) {
		ks_checkpoint_put(&out, &checkpoint);
		CHECK(ks_str_starts(text, ks_buf_str(&out)));
	}
}

/* Two numbers, then hashes: a byte below 128 takes the hash of that number from the true proof, another one takes 32
 * bytes of the input. */
static size_t read_proof(struct ks_cursor *c, const struct ks_merkle_proof *right, struct ks_digest *ret_hashes)
{
	size_t count = 0;

	while (count < KS_MERKLE_PROOF_MAX && ks_cursor_left(c) > 0) {
		unsigned how = ks_cursor_u8(c);

		if (how < 128) {
			ret_hashes[count++] = right->hashes[how % KS_MERKLE_PROOF_MAX];
			continue;
		}
		struct ks_str bytes = ks_cursor_take(c, sizeof(ret_hashes->bytes));

		if (c->failed)
			break;
		memcpy(ret_hashes[count++].bytes, bytes.p, bytes.n);
	}
	return count;
}

static bool same_proof(const struct ks_merkle_proof *right, const struct ks_digest *hashes, size_t count)
{
	for (size_t i = 0; i < right->count && i < count; i++) {
		if (!ks_merkle_same(&right->hashes[i], &hashes[i]))
			return false;
	}
	return right->count == count;
}

static void check_proofs(struct ks_str text)
{
	struct ks_merkle_source source = {node, NULL};
	struct ks_merkle_proof right = {0};
	struct ks_digest hashes[KS_MERKLE_PROOF_MAX], root, old_root;
	struct ks_cursor c = ks_cursor_of(text);
	unsigned kind = ks_cursor_u8(&c);
	uint64_t a = ks_cursor_u8(&c), b = ks_cursor_u8(&c);
	size_t count;

	if (c.failed)
		return;
	a %= LEAVES + 1;
	b %= LEAVES + 1;
	CHECK(ks_merkle_root(&source, b, &root) == KS_OK && ks_merkle_root(&source, a, &old_root) == KS_OK);
	if (kind & 1) {
		bool can = ks_merkle_prove_inclusion(&source, a, b, &right) == KS_OK;

		count = read_proof(&c, &right, hashes);
		if (ks_merkle_check_inclusion(&leaves[a % LEAVES], a, b, hashes, count, &root) == KS_OK)
			CHECK(can && same_proof(&right, hashes, count));
		else
			CHECK(!can || !same_proof(&right, hashes, count));
		return;
	}
	bool can = ks_merkle_prove_consistency(&source, a, b, &right) == KS_OK;

	count = read_proof(&c, &right, hashes);
	if (ks_merkle_check_consistency(a, &old_root, b, &root, hashes, count) == KS_OK)
		CHECK(can && same_proof(&right, hashes, count));
	else
		CHECK(!can || !same_proof(&right, hashes, count));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ks_str text = ks_str_of((const char *)data, size);

	make_leaves();
	check_note(text);
	check_proofs(text);
	return 0;
}
