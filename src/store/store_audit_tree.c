/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles of the audit's trees, and what is signed of them. */
#include "store/audit_tree.h"

#include "store/store_priv.h"

#define TILE_BITS 8u

enum ks_err ks_store_audit_size(struct ks_store *store, uint64_t tree, uint64_t *ret_size)
{
	int64_t position;
	enum ks_err err = ks_store_audit_flush(store);

	if (err == KS_OK)
		err = ks_store_query_numbers(store, KS_SQL_AUDIT_LAST_POSITION, KS_PARAMS(ks_value_u64(tree)), 1, &position);
	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_size = err == KS_OK ? (uint64_t)position + 1 : 0;
	return KS_OK;
}

enum ks_err ks_store_audit_next_tree(struct ks_store *store, uint64_t after, uint64_t *ret_tree)
{
	int64_t tree;

	KS_TRY(ks_store_audit_flush(store));
	KS_TRY(ks_store_query_numbers(store, KS_SQL_AUDIT_NEXT_TREE,
				      KS_PARAMS(ks_value_i64(after == UINT64_MAX ? -1 : (int64_t)after)), 1, &tree));
	*ret_tree = (uint64_t)tree;
	return KS_OK;
}

/* ---- reading hashes ---- */

struct hash_taker {
	struct ks_digest *hashes;
	size_t count, cap;
};

static enum ks_err take_hash(void *ctx, const struct ks_sql_value *values)
{
	struct hash_taker *taker = ctx;

	if (values[0].type != KS_SQL_BLOB || values[0].bytes.n != KS_SHA256_SIZE || taker->count == taker->cap)
		return KS_CORRUPT;
	memcpy(taker->hashes[taker->count++].bytes, values[0].bytes.p, KS_SHA256_SIZE);
	return KS_OK;
}

/* The last `count` leaves that there are. */
static enum ks_err last_leaves(struct ks_store *store, uint64_t tree, size_t count, struct ks_digest *ret_hashes)
{
	struct hash_taker taker = {ret_hashes, 0, count};

	KS_TRY(ks_store_audit_flush(store));
	KS_TRY(ks_store_query(store, KS_SQL_AUDIT_LAST_LEAVES, KS_PARAMS(ks_value_u64(tree), ks_value_limit(count)), 1,
			      take_hash, &taker));
	if (taker.count != count)
		return KS_CORRUPT;
	for (size_t i = 0; i < count / 2; i++) {
		struct ks_digest kept = ret_hashes[i];

		ret_hashes[i] = ret_hashes[count - 1 - i];
		ret_hashes[count - 1 - i] = kept;
	}
	return KS_OK;
}

/* The roots of `count` tiles from `number` on. */
static enum ks_err tile_roots(struct ks_store *store, uint64_t tree, unsigned level, uint64_t number, size_t count,
			      struct ks_digest *ret_hashes)
{
	struct hash_taker taker = {ret_hashes, 0, count};

	KS_TRY(ks_store_query(store, KS_SQL_AUDIT_TILE_ROOTS,
			      KS_PARAMS(ks_value_u64(tree), ks_value_u64(level), ks_value_u64(number),
					ks_value_limit(count)), 1, take_hash, &taker));
	return taker.count == count ? KS_OK : KS_CORRUPT;
}

struct tile_taker {
	struct ks_digest *hashes, *root;
	bool found;
};

static enum ks_err take_tile(void *ctx, const struct ks_sql_value *values)
{
	struct tile_taker *taker = ctx;

	if (values[0].type != KS_SQL_BLOB || values[0].bytes.n != KS_SHA256_SIZE || values[1].type != KS_SQL_BLOB
	    || values[1].bytes.n != KS_AUDIT_TILE * KS_SHA256_SIZE)
		return KS_CORRUPT;
	memcpy(taker->root->bytes, values[0].bytes.p, KS_SHA256_SIZE);
	memcpy(taker->hashes, values[1].bytes.p, values[1].bytes.n);
	taker->found = true;
	return KS_OK;
}

enum ks_err ks_store_audit_tile_get(struct ks_store *store, uint64_t tree, unsigned level, uint64_t number,
				    struct ks_digest ret_hashes[KS_AUDIT_TILE], struct ks_digest *ret_root)
{
	struct tile_taker taker = {ret_hashes, ret_root, false};

	KS_TRY(ks_store_query(store, KS_SQL_AUDIT_TILE_GET,
			      KS_PARAMS(ks_value_u64(tree), ks_value_u64(level), ks_value_u64(number)), 2, take_tile,
			      &taker));
	return taker.found ? KS_OK : KS_NOT_FOUND;
}

enum ks_err ks_store_audit_tile_count(struct ks_store *store, uint64_t tree, unsigned level, uint64_t *ret_count)
{
	int64_t number;
	enum ks_err err = ks_store_query_numbers(store, KS_SQL_AUDIT_TILE_LAST,
						 KS_PARAMS(ks_value_u64(tree), ks_value_u64(level)), 1, &number);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_count = err == KS_OK ? (uint64_t)number + 1 : 0;
	return KS_OK;
}

/* ---- writing ---- */

static enum ks_err write_tile(struct ks_store *store, uint64_t tree, unsigned level, uint64_t number,
			      const struct ks_digest hashes[KS_AUDIT_TILE])
{
	struct ks_digest root;

	KS_TRY(ks_merkle_above(hashes, TILE_BITS, &root));
	return ks_store_write(store, KS_SQL_AUDIT_TILE_PUT,
			      KS_PARAMS(ks_value_u64(tree), ks_value_u64(level), ks_value_u64(number),
					ks_value_blob(root.bytes, sizeof(root.bytes)),
					ks_value_blob(hashes, KS_AUDIT_TILE * sizeof(hashes[0]))),
			      NULL);
}

/* NULL: what was remembered is of another tree, or does not go on here. */
static struct ks_tile_memo *remember(struct ks_store *store, uint64_t tree, uint64_t position, const struct ks_digest *leaf)
{
	struct ks_tile_memo *memo =
		store->tiles ? &store->tiles[(tree * UINT64_C(0x9e3779b97f4a7c15)) >> 60] : NULL;

	if (memo && position % KS_AUDIT_TILE == 0) {
		memo->known = true;
		memo->tree = tree;
		memo->next = position;
	}
	if (!memo || !memo->known || memo->tree != tree || memo->next != position)
		return NULL;
	memo->leaves[position % KS_AUDIT_TILE] = *leaf;
	memo->next++;
	return memo;
}

/* Each level that its last leaf has made whole, too. */
enum ks_err ks_store_audit_grown(struct ks_store *store, uint64_t tree, uint64_t position, const struct ks_digest *leaf)
{
	const struct ks_tile_memo *memo = remember(store, tree, position, leaf);
	struct ks_digest hashes[KS_AUDIT_TILE];
	uint64_t size = position + 1;

	for (unsigned level = 0; level < KS_AUDIT_LEVELS && size % KS_AUDIT_TILE == 0; level++) {
		size >>= TILE_BITS;
		if (level > 0)
			KS_TRY(tile_roots(store, tree, level - 1, (size - 1) << TILE_BITS, KS_AUDIT_TILE, hashes));
		else if (!memo)
			KS_TRY(last_leaves(store, tree, KS_AUDIT_TILE, hashes));
		KS_TRY(write_tile(store, tree, level, size - 1, level == 0 && memo ? memo->leaves : hashes));
	}
	return KS_OK;
}

/* ---- nodes ---- */

enum ks_err ks_store_audit_tree(struct ks_store *store, uint64_t tree, struct ks_audit_tree *ret_tree)
{
	ret_tree->store = store;
	ret_tree->tree = tree;
	for (size_t i = 0; i < KS_AUDIT_LEVELS; i++)
		ret_tree->tiles[i].known = false;
	return ks_store_audit_size(store, tree, &ret_tree->size);
}

static enum ks_err read_tile(struct ks_audit_tree *t, unsigned level, uint64_t number, size_t count,
			     struct ks_digest *ret_hashes)
{
	struct ks_digest root;

	if (count == KS_AUDIT_TILE) {
		enum ks_err err = ks_store_audit_tile_get(t->store, t->tree, level, number, ret_hashes, &root);

		return err == KS_NOT_FOUND ? KS_CORRUPT : err;
	}
	if (level == 0)
		return last_leaves(t->store, t->tree, count, ret_hashes);
	return tile_roots(t->store, t->tree, level - 1, number << TILE_BITS, count, ret_hashes);
}

/* Node `index` of a level stands in its tile, which is read once for many. */
static enum ks_err tile_of(struct ks_audit_tree *t, unsigned level, uint64_t index, struct ks_audit_tile **ret_tile)
{
	uint64_t number = index >> TILE_BITS, all = t->size >> (TILE_BITS * level);
	struct ks_audit_tile *tile = &t->tiles[level];

	if (index >= all)
		return KS_MALFORMED;
	if (!tile->known || tile->number != number) {
		tile->known = false;
		tile->count = (size_t)KS_MIN(all - (number << TILE_BITS), (uint64_t)KS_AUDIT_TILE);
		tile->number = number;
		KS_TRY(read_tile(t, level, number, tile->count, tile->hashes));
		tile->known = true;
	}
	*ret_tile = tile;
	return KS_OK;
}

enum ks_err ks_store_audit_node(void *ctx, unsigned height, uint64_t index, struct ks_digest *ret_hash)
{
	struct ks_audit_tree *t = ctx;
	unsigned level = height / TILE_BITS, above = height % TILE_BITS;
	struct ks_audit_tile *tile;
	size_t first;

	if (level >= KS_AUDIT_LEVELS || index >= t->size >> height)
		return KS_MALFORMED;
	KS_TRY(tile_of(t, level, index << above, &tile));
	first = (size_t)((index << above) % KS_AUDIT_TILE);
	return ks_merkle_above(&tile->hashes[first], above, ret_hash);
}

/* ---- the key, and checkpoints ---- */

static const struct ks_field key_fields[] = {
	KS_FIELD(ks_audit_key_row, id, ID, 0),
	KS_FIELD(ks_audit_key_row, created_at, TIME, 0),
	KS_FIELD(ks_audit_key_row, name, TEXT, KS_STORE_NAME_MAX),
	KS_FIELD(ks_audit_key_row, public_key, BYTES, 32),
	KS_FIELD(ks_audit_key_row, sealed, BYTES, KS_STORE_SEALED_MAX),
};

typedef enum ks_err audit_key_each(void *ctx, const struct ks_audit_key_row *row);

KS_ROW_TAKER(take_key, ks_audit_key_row, audit_key_each, key_fields)

enum ks_err ks_store_audit_key_put(struct ks_store *store, const struct ks_audit_key_row *row)
{
	return ks_store_insert(store, KS_SQL_AUDIT_KEY_PUT, key_fields, KS_ARRAY_LEN(key_fields), row);
}

enum ks_err ks_store_audit_key_get(struct ks_store *store,
				   enum ks_err (*each)(void *ctx, const struct ks_audit_key_row *row), void *ctx)
{
	struct ks_row_taker taker = {store, &each, ctx, 0};

	return ks_store_read(&taker, KS_SQL_AUDIT_KEY_GET, NULL, 0, KS_ARRAY_LEN(key_fields), take_key);
}

static const struct ks_field checkpoint_fields[] = {
	KS_FIELD(ks_audit_checkpoint_row, tree, COUNT, 0),
	KS_FIELD(ks_audit_checkpoint_row, size, COUNT, 0),
	KS_FIELD(ks_audit_checkpoint_row, at, TIME, 0),
	KS_FIELD(ks_audit_checkpoint_row, note, TEXT, KS_STORE_NOTE_MAX),
};

enum ks_err ks_store_audit_checkpoint_put(struct ks_store *store, const struct ks_audit_checkpoint_row *row)
{
	return ks_store_insert(store, KS_SQL_AUDIT_CHECKPOINT_PUT, checkpoint_fields, KS_ARRAY_LEN(checkpoint_fields),
			       row);
}

enum ks_err ks_store_audit_checkpoint_last(struct ks_store *store, uint64_t tree, uint64_t *ret_size)
{
	int64_t size;
	enum ks_err err = ks_store_query_numbers(store, KS_SQL_AUDIT_CHECKPOINT_LAST, KS_PARAMS(ks_value_u64(tree)), 1,
						 &size);

	if (err != KS_OK && err != KS_NOT_FOUND)
		return err;
	*ret_size = err == KS_OK ? (uint64_t)size : 0;
	return KS_OK;
}
