/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes, and trees that grow. */
#include "merkle/merkle.h"

#include "base/ctenc.h"

enum ks_err ks_merkle_leaf(struct ks_str data, struct ks_digest *ret_hash)
{
	const struct ks_str parts[] = {{"\x00", 1}, data};

	return ks_sha256_parts(parts, KS_ARRAY_LEN(parts), ret_hash);
}

enum ks_err ks_merkle_join(const struct ks_digest *left, const struct ks_digest *right, struct ks_digest *ret_hash)
{
	char bytes[1 + 2 * KS_SHA256_SIZE];

	bytes[0] = 0x01;
	memcpy(&bytes[1], left->bytes, KS_SHA256_SIZE);
	memcpy(&bytes[1 + KS_SHA256_SIZE], right->bytes, KS_SHA256_SIZE);
	return ks_sha256(ks_str_of(bytes, sizeof(bytes)), ret_hash);
}

enum ks_err ks_merkle_above(const struct ks_digest *nodes, unsigned height, struct ks_digest *ret_hash)
{
	struct ks_merkle_edge edge = {0};

	if (height > 8)
		return KS_TOO_LARGE;
	for (size_t i = 0; i < (size_t)1 << height; i++)
		KS_TRY(ks_merkle_edge_add(&edge, 0, &nodes[i]));
	*ret_hash = edge.nodes[0];
	return KS_OK;
}

bool ks_merkle_same(const struct ks_digest *a, const struct ks_digest *b)
{
	return ks_ct_equal(a->bytes, b->bytes, KS_SHA256_SIZE);
}

/* ---- the left edge ---- */

enum ks_err ks_merkle_edge_add(struct ks_merkle_edge *edge, unsigned height, const struct ks_digest *node)
{
	struct ks_digest joined = *node;
	size_t count = edge->count;

	if (height >= KS_MERKLE_HEIGHT_MAX || edge->size > KS_MERKLE_SIZE_MAX - (UINT64_C(1) << height))
		return KS_TOO_LARGE;
	if (edge->size & ((UINT64_C(1) << height) - 1))
		return KS_MALFORMED;
	for (uint64_t above = edge->size >> height; above & 1; above >>= 1) {
		KS_TRY(ks_merkle_join(&edge->nodes[count - 1], &joined, &joined));
		count--;
	}
	edge->nodes[count] = joined;
	edge->count = count + 1;
	edge->size += UINT64_C(1) << height;
	return KS_OK;
}

enum ks_err ks_merkle_edge_root(const struct ks_merkle_edge *edge, struct ks_digest *ret_root)
{
	struct ks_digest root;

	if (edge->count == 0)
		return ks_sha256(KS_STR(""), ret_root);
	root = edge->nodes[edge->count - 1];
	for (size_t i = edge->count - 1; i-- > 0;)
		KS_TRY(ks_merkle_join(&edge->nodes[i], &root, &root));
	*ret_root = root;
	return KS_OK;
}

unsigned ks_merkle_first_node(uint64_t from, uint64_t to)
{
	unsigned fits = 63u - (unsigned)__builtin_clzll(to - from);

	return from == 0 ? fits : KS_MIN(fits, (unsigned)__builtin_ctzll(from));
}
