/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the audit's trees are those of its entries: everything is computed anew. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/id.h"
#include "engine/audit_log.h"
#include "engine/engine_priv.h"

#define PAGE 2000u

/* Nodes of a level that are not a tile yet. */
struct level {
	uint64_t number;
	size_t count;
	struct ks_digest hashes[KS_AUDIT_TILE];
};

struct checking {
	struct ks_store *store;
	struct ks_audit_report report;
	uint64_t tree, position, last;
	size_t got;
	struct level levels[KS_AUDIT_LEVELS];
	struct ks_digest kept[KS_AUDIT_TILE];
};

static void differs(struct checking *c, const char *fmt, ...) KS_PRINTF(2, 3);
static void differs(struct checking *c, const char *fmt, ...)
{
	va_list args;

	if (c->report.differences++ > 0)
		return;
	va_start(args, fmt);
	(void)vsnprintf(c->report.first, sizeof(c->report.first), fmt, args);
	va_end(args);
}

static enum ks_err check_tile(struct checking *c, unsigned level, const struct ks_digest *root)
{
	struct level *l = &c->levels[level];
	struct ks_digest kept_root;
	enum ks_err err = ks_store_audit_tile_get(c->store, c->tree, level, l->number, c->kept, &kept_root);
	bool same = err == KS_OK && ks_merkle_same(root, &kept_root);

	if (err != KS_OK && err != KS_NOT_FOUND && err != KS_CORRUPT)
		return err;
	for (size_t i = 0; same && i < KS_AUDIT_TILE; i++)
		same = ks_merkle_same(&l->hashes[i], &c->kept[i]);
	if (!same)
		differs(c, "tree %llu: tile %llu of level %u is not that of its entries", (unsigned long long)c->tree,
			(unsigned long long)l->number, level);
	c->report.tiles++;
	return KS_OK;
}

static enum ks_err add_node(struct checking *c, unsigned level, const struct ks_digest *node)
{
	struct ks_digest root = *node;

	for (; level < KS_AUDIT_LEVELS; level++) {
		struct level *l = &c->levels[level];

		l->hashes[l->count++] = root;
		if (l->count < KS_AUDIT_TILE)
			return KS_OK;
		KS_TRY(ks_merkle_above(l->hashes, 8, &root));
		KS_TRY(check_tile(c, level, &root));
		l->count = 0;
		l->number++;
	}
	return KS_OK;
}

static enum ks_err check_entry(void *ctx, const struct ks_audit_row *row)
{
	struct checking *c = ctx;
	struct ks_digest leaf = {{0}};
	char id[KS_ID_TEXT_SIZE];
	enum ks_err err = ks_audit_row_leaf(row, &leaf);

	if (err != KS_OK && err != KS_MALFORMED)
		return err;
	ks_id_format(KS_ID_AUDIT, row->id, id);
	if (row->position != c->position)
		differs(c, "%s is at position %llu, not %llu", id, (unsigned long long)row->position,
			(unsigned long long)c->position);
	if (err != KS_OK || !ks_str_eq(row->leaf, ks_str_of((const char *)leaf.bytes, sizeof(leaf.bytes))))
		differs(c, "%s is not what its leaf says", id);
	c->position = row->position + 1;
	c->last = row->id;
	c->got++;
	c->report.entries++;
	return add_node(c, 0, &leaf);
}

/* No more tiles than the entries make. */
static enum ks_err check_tile_counts(struct checking *c)
{
	for (unsigned level = 0; level < KS_AUDIT_LEVELS; level++) {
		uint64_t count;

		KS_TRY(ks_store_audit_tile_count(c->store, c->tree, level, &count));
		if (count != c->levels[level].number)
			differs(c, "tree %llu has %llu tiles of level %u, not %llu", (unsigned long long)c->tree,
				(unsigned long long)count, level, (unsigned long long)c->levels[level].number);
	}
	return KS_OK;
}

static enum ks_err check_tree(struct checking *c)
{
	struct ks_audit_filter filter = {.has_tree = true, .tree = c->tree, .from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = PAGE,
					 .oldest_first = true};

	memset(c->levels, 0, sizeof(c->levels));
	c->position = c->last = 0;
	do {
		filter.after = c->last;
		c->got = 0;
		KS_TRY(ks_store_audit(c->store, &filter, check_entry, c));
	} while (c->got == PAGE);
	c->report.trees++;
	return check_tile_counts(c);
}

static enum ks_err check_all(struct checking *c)
{
	enum ks_err err;

	c->tree = UINT64_MAX;
	while ((err = ks_store_audit_next_tree(c->store, c->tree, &c->tree)) == KS_OK)
		KS_TRY(check_tree(c));
	return err == KS_NOT_FOUND ? KS_OK : err;
}

enum ks_err ks_audit_check(struct ks_engine *engine, struct ks_audit_report *ret_report)
{
	struct checking *c = calloc(1, sizeof(*c));
	enum ks_err err;

	if (!c)
		return KS_MEMORY;
	err = ks_store_open(engine->store_uri, KS_STORE_READER, &c->store);
	if (err == KS_OK)
		err = ks_store_begin(c->store);
	if (err == KS_OK)
		err = check_all(c);
	if (err == KS_OK)
		*ret_report = c->report;
	ks_store_close(&c->store);
	free(c);
	return err;
}
