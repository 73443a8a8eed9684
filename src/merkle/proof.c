/* SPDX-License-Identifier: Apache-2.0 */
/* Proofs: made from a tree that can be asked, and checked without one. */
#include "merkle/merkle.h"

/* ---- making ---- */

/* The root of the subtree of leaves [from, to), where from is a multiple of a power of two that is no less than the
 * number of leaves: as all subtrees of RFC 9162 are. */
static enum ks_err subtree(const struct ks_merkle_source *source, uint64_t from, uint64_t to, struct ks_digest *ret_root)
{
	struct ks_digest nodes[KS_MERKLE_HEIGHT_MAX];
	size_t count = 0;

	while (from < to) {
		unsigned height = ks_merkle_first_node(from, to);

		KS_TRY(source->node(source->ctx, height, from >> height, &nodes[count++]));
		from += UINT64_C(1) << height;
	}
	while (--count > 0)
		KS_TRY(ks_merkle_join(&nodes[count - 1], &nodes[count], &nodes[count - 1]));
	*ret_root = nodes[0];
	return KS_OK;
}

enum ks_err ks_merkle_root(const struct ks_merkle_source *source, uint64_t size, struct ks_digest *ret_root)
{
	if (size > KS_MERKLE_SIZE_MAX)
		return KS_TOO_LARGE;
	return size == 0 ? ks_sha256(KS_STR(""), ret_root) : subtree(source, 0, size, ret_root);
}

/* The greatest power of two that is less than n; n is at least 2. */
static uint64_t left_half(uint64_t n)
{
	return UINT64_C(1) << (63u - (unsigned)__builtin_clzll(n - 1));
}

static void reverse(struct ks_merkle_proof *proof)
{
	for (size_t i = 0, j = proof->count; i + 1 < j; i++) {
		struct ks_digest kept = proof->hashes[i];

		proof->hashes[i] = proof->hashes[--j];
		proof->hashes[j] = kept;
	}
}

enum ks_err ks_merkle_prove_inclusion(const struct ks_merkle_source *source, uint64_t index, uint64_t size,
				      struct ks_merkle_proof *ret_proof)
{
	struct ks_merkle_proof proof = {0};
	uint64_t from = 0, to = size;

	if (size > KS_MERKLE_SIZE_MAX)
		return KS_TOO_LARGE;
	if (index >= size)
		return KS_MALFORMED;
	while (to - from > 1) {
		uint64_t middle = from + left_half(to - from);
		struct ks_digest *other = &proof.hashes[proof.count++];

		if (index < middle) {
			KS_TRY(subtree(source, middle, to, other));
			to = middle;
		} else {
			KS_TRY(subtree(source, from, middle, other));
			from = middle;
		}
	}
	reverse(&proof);
	*ret_proof = proof;
	return KS_OK;
}

enum ks_err ks_merkle_prove_consistency(const struct ks_merkle_source *source, uint64_t from, uint64_t to,
					struct ks_merkle_proof *ret_proof)
{
	struct ks_merkle_proof proof = {0};
	uint64_t begin = 0, end = to, old_end = from;

	if (to > KS_MERKLE_SIZE_MAX)
		return KS_TOO_LARGE;
	if (from > to)
		return KS_MALFORMED;
	while (from > 0 && old_end < end) {
		uint64_t middle = begin + left_half(end - begin);
		struct ks_digest *other = &proof.hashes[proof.count++];

		if (old_end <= middle) {
			KS_TRY(subtree(source, middle, end, other));
			end = middle;
		} else {
			KS_TRY(subtree(source, begin, middle, other));
			begin = middle;
		}
	}
	/* The old root itself is known to whoever checks; any other subtree of the old tree is not. */
	if (begin > 0)
		KS_TRY(subtree(source, begin, end, &proof.hashes[proof.count++]));
	reverse(&proof);
	*ret_proof = proof;
	return KS_OK;
}

/* ---- checking ---- */

enum ks_err ks_merkle_check_inclusion(const struct ks_digest *leaf, uint64_t index, uint64_t size,
				      const struct ks_digest *proof, size_t count, const struct ks_digest *root)
{
	struct ks_digest hash = *leaf;
	uint64_t node = index, last = size - 1;

	if (index >= size || size > KS_MERKLE_SIZE_MAX)
		return KS_FORBIDDEN;
	for (size_t i = 0; i < count; i++) {
		if (last == 0)
			return KS_FORBIDDEN;
		if ((node & 1) || node == last) {
			KS_TRY(ks_merkle_join(&proof[i], &hash, &hash));
			while (!(node & 1) && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		} else {
			KS_TRY(ks_merkle_join(&hash, &proof[i], &hash));
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 && ks_merkle_same(&hash, root) ? KS_OK : KS_FORBIDDEN;
}

static enum ks_err check_trivial(uint64_t from, const struct ks_digest *from_root, const struct ks_digest *to_root,
				 size_t count)
{
	struct ks_digest empty;

	if (count != 0)
		return KS_FORBIDDEN;
	if (from != 0)
		return ks_merkle_same(from_root, to_root) ? KS_OK : KS_FORBIDDEN;
	KS_TRY(ks_sha256(KS_STR(""), &empty));
	return ks_merkle_same(from_root, &empty) ? KS_OK : KS_FORBIDDEN;
}

enum ks_err ks_merkle_check_consistency(uint64_t from, const struct ks_digest *from_root, uint64_t to,
					const struct ks_digest *to_root, const struct ks_digest *proof, size_t count)
{
	uint64_t node = from - 1, last = to - 1;
	struct ks_digest old, new;
	size_t i = 0;

	if (from > to || to > KS_MERKLE_SIZE_MAX)
		return KS_FORBIDDEN;
	if (from == to || from == 0) {
		if (from == to && from == 0 && !ks_merkle_same(from_root, to_root))
			return KS_FORBIDDEN;
		return check_trivial(from, from_root, to_root, count);
	}
	if (count == 0)
		return KS_FORBIDDEN;
	while (node & 1) {
		node >>= 1;
		last >>= 1;
	}
	/* A whole tree is itself the first hash, which the proof leaves out. */
	old = new = (from & (from - 1)) == 0 ? *from_root : proof[i++];
	for (; i < count; i++) {
		if (last == 0)
			return KS_FORBIDDEN;
		if ((node & 1) || node == last) {
			KS_TRY(ks_merkle_join(&proof[i], &old, &old));
			KS_TRY(ks_merkle_join(&proof[i], &new, &new));
			while (!(node & 1) && node != 0) {
				node >>= 1;
				last >>= 1;
			}
		} else {
			KS_TRY(ks_merkle_join(&new, &proof[i], &new));
		}
		node >>= 1;
		last >>= 1;
	}
	return last == 0 && ks_merkle_same(&old, from_root) && ks_merkle_same(&new, to_root) ? KS_OK : KS_FORBIDDEN;
}
