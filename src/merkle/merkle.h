/* SPDX-License-Identifier: Apache-2.0 */
/** Merkle trees as in RFC 9162, 2.1: a leaf is hashed with 0x00 before it, two nodes with 0x01. A node is named by its
 * height (a leaf's is 0) and its index at that height: it covers the leaves [index << height, (index + 1) << height).
 * Only whole nodes are named; what the right edge of a tree lacks is put together from them. Nothing here allocates,
 * blocks or keeps state; any thread. Every function that hashes gives KS_CRYPTO if the crypto library fails. */
#pragma once

#include "crypto/sha256.h"

#define KS_MERKLE_HEIGHT_MAX 63
/** Most leaves of a tree; more are KS_TOO_LARGE. */
#define KS_MERKLE_SIZE_MAX (UINT64_C(1) << 62)
/** Most hashes of an inclusion or consistency proof. */
#define KS_MERKLE_PROOF_MAX 64

/** HASH(0x00 || data). */
KS_MUST_USE enum ks_err ks_merkle_leaf(struct ks_str data, struct ks_digest *ret_hash);
/** HASH(0x01 || left || right). *ret_hash may be one of the two. */
KS_MUST_USE enum ks_err ks_merkle_join(const struct ks_digest *left, const struct ks_digest *right,
				       struct ks_digest *ret_hash);
/** The node above 2^height whole nodes that stand side by side; height 0: the node itself. At most 8. */
KS_MUST_USE enum ks_err ks_merkle_above(const struct ks_digest *nodes, unsigned height, struct ks_digest *ret_hash);

/* ---- the left edge: a tree that only grows ---- */

/** A tree by its fewest whole nodes, the largest first: all that appending and its root need. Zeroed: empty. */
struct ks_merkle_edge {
	uint64_t size;               /* leaves */
	size_t count;                /* nodes: one for each bit that is set in size */
	struct ks_digest nodes[KS_MERKLE_HEIGHT_MAX];
};

/** Appends a whole node of 2^height leaves. KS_MALFORMED: the size so far is no multiple of that. KS_TOO_LARGE. On
 * failure the edge is as it was. */
KS_MUST_USE enum ks_err ks_merkle_edge_add(struct ks_merkle_edge *edge, unsigned height, const struct ks_digest *node);
/** The root (of the empty tree: the hash of nothing). */
KS_MUST_USE enum ks_err ks_merkle_edge_root(const struct ks_merkle_edge *edge, struct ks_digest *ret_root);

/** The first of the fewest whole nodes that together cover the leaves [from, to), from < to: its height. Its index is
 * from >> height, and the next one begins at from + (1 << height). */
unsigned ks_merkle_first_node(uint64_t from, uint64_t to);

/* ---- trees that can be asked for their nodes ---- */

/** Gives the hash of a whole node that lies within the size asked about; an error ends what needed it. */
typedef enum ks_err ks_merkle_node(void *ctx, unsigned height, uint64_t index, struct ks_digest *ret_hash);

struct ks_merkle_source {
	ks_merkle_node *node;
	void *ctx;
};

struct ks_merkle_proof {
	size_t count;
	struct ks_digest hashes[KS_MERKLE_PROOF_MAX];
};

/** The root of the first `size` leaves. */
KS_MUST_USE enum ks_err ks_merkle_root(const struct ks_merkle_source *source, uint64_t size,
				       struct ks_digest *ret_root);
/** RFC 9162, 2.1.3.1: that leaf `index` is in the tree of `size` leaves. KS_MALFORMED: index is not below size. Asks for
 * at most 2 * 62 nodes. */
KS_MUST_USE enum ks_err ks_merkle_prove_inclusion(const struct ks_merkle_source *source, uint64_t index, uint64_t size,
						  struct ks_merkle_proof *ret_proof);
/** RFC 9162, 2.1.4.1: that the tree of `from` leaves is the beginning of the one of `to`. Empty where they are the same,
 * and from the empty tree. KS_MALFORMED: from is greater than to. */
KS_MUST_USE enum ks_err ks_merkle_prove_consistency(const struct ks_merkle_source *source, uint64_t from, uint64_t to,
						    struct ks_merkle_proof *ret_proof);

/* ---- checking proofs, which may be anybody's ---- */

/** RFC 9162, 2.1.3.2. KS_FORBIDDEN: the proof does not show it. */
KS_MUST_USE enum ks_err ks_merkle_check_inclusion(const struct ks_digest *leaf, uint64_t index, uint64_t size,
						  const struct ks_digest *proof, size_t count,
						  const struct ks_digest *root);
/** RFC 9162, 2.1.4.2. KS_FORBIDDEN: the proof does not show it. From the empty tree everything follows: its root must
 * be the hash of nothing, and the proof empty. */
KS_MUST_USE enum ks_err ks_merkle_check_consistency(uint64_t from, const struct ks_digest *from_root, uint64_t to,
						    const struct ks_digest *to_root, const struct ks_digest *proof,
						    size_t count);

/** True if they are the same hash. */
bool ks_merkle_same(const struct ks_digest *a, const struct ks_digest *b);
