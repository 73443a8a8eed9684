/* SPDX-License-Identifier: Apache-2.0 */
/** The trees of the audit (docs/audit.md): one for each organization and partner, and the operator's. Their leaves stand
 * in the entries, in the order of ids; whole nodes above them in tiles of 256, written with the entry that makes them
 * whole. What is not whole yet is read from at most 255 rows a level, so that nothing here scans. */
#pragma once

#include "merkle/entry.h"
#include "store/store.h"

#define KS_AUDIT_TILE 256u           /* hashes of a tile */
#define KS_AUDIT_LEVELS 8            /* of tiles: 2^64 leaves */
#define KS_STORE_PLACE_MAX 16
#define KS_STORE_NOTE_MAX 1024       /* bytes of a checkpoint */

/** The leaf of an entry by its members and salt. KS_MALFORMED: it has no salt. */
KS_MUST_USE enum ks_err ks_audit_row_leaf(const struct ks_audit_row *row, struct ks_digest *ret_leaf);

/** Leaves of a tree; 0 where there is none. */
KS_MUST_USE enum ks_err ks_store_audit_size(struct ks_store *store, uint64_t tree, uint64_t *ret_size);

/** The tree with the least number greater than `after` (UINT64_MAX: the first). KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_audit_next_tree(struct ks_store *store, uint64_t after, uint64_t *ret_tree);

/** The entry at a position. KS_NOT_FOUND. */
KS_MUST_USE enum ks_err ks_store_audit_get(struct ks_store *store, uint64_t id, ks_audit_each *each, void *ctx);

/** Makes leaves of up to `limit` entries of earlier versions, the oldest first, in the writer's transaction. *ret_built
 * less than `limit`: there are no more. */
KS_MUST_USE enum ks_err ks_store_audit_build(struct ks_store *store, size_t limit, size_t *ret_built);

/** A tile that was read. */
struct ks_audit_tile {
	bool known;
	uint64_t number;
	size_t count;
	struct ks_digest hashes[KS_AUDIT_TILE];
};

/** A tree as it can be asked for its nodes: within one transaction (a snapshot) of the handle. 64 KiB: on the heap. */
struct ks_audit_tree {
	struct ks_store *store;
	uint64_t tree;
	uint64_t size;
	struct ks_audit_tile tiles[KS_AUDIT_LEVELS];
};

/** Begins to read it. */
KS_MUST_USE enum ks_err ks_store_audit_tree(struct ks_store *store, uint64_t tree, struct ks_audit_tree *ret_tree);
/** A ks_merkle_node; ctx is a struct ks_audit_tree. KS_MALFORMED: beyond its size. KS_CORRUPT: a tile or leaf is missing. */
KS_MUST_USE enum ks_err ks_store_audit_node(void *ctx, unsigned height, uint64_t index, struct ks_digest *ret_hash);
/** A tile as it stands: its hashes, and in *ret_root the root that was kept beside it. KS_NOT_FOUND: it is not whole. */
KS_MUST_USE enum ks_err ks_store_audit_tile_get(struct ks_store *store, uint64_t tree, unsigned level, uint64_t number,
						struct ks_digest ret_hashes[KS_AUDIT_TILE], struct ks_digest *ret_root);
/** Tiles of a level. */
KS_MUST_USE enum ks_err ks_store_audit_tile_count(struct ks_store *store, uint64_t tree, unsigned level,
						  uint64_t *ret_count);

/* ---- the key that signs, and what was signed on schedule ---- */

struct ks_audit_key_row {
	uint64_t id;
	int64_t created_at;
	struct ks_str name;
	struct ks_str public_key;    /* 32 bytes */
	struct ks_str sealed;
};
KS_MUST_USE enum ks_err ks_store_audit_key_put(struct ks_store *store, const struct ks_audit_key_row *row);
/** The newest. KS_NOT_FOUND: there is none. */
KS_MUST_USE enum ks_err ks_store_audit_key_get(struct ks_store *store,
					       enum ks_err (*each)(void *ctx, const struct ks_audit_key_row *row),
					       void *ctx);

struct ks_audit_checkpoint_row {
	uint64_t tree;
	uint64_t size;
	int64_t at;
	struct ks_str note;
};
/** KS_CONFLICT: there is one of this size. */
KS_MUST_USE enum ks_err ks_store_audit_checkpoint_put(struct ks_store *store, const struct ks_audit_checkpoint_row *row);
/** The size of the last one of a tree; 0: there is none. */
KS_MUST_USE enum ks_err ks_store_audit_checkpoint_last(struct ks_store *store, uint64_t tree, uint64_t *ret_size);
