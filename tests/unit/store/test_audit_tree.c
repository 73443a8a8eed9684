/* SPDX-License-Identifier: Apache-2.0 */
/* The trees of the audit: always those of their entries. */
#include <sqlite3.h>

#include "fixture.h"
#include "store/audit_tree.h"
#include "store/sql.h"
#include "store/store_priv.h"

#define TREES 3

/* What the trees must be: by the leaves that the entries say, in the order of ids. */
struct expected {
	struct ks_merkle_edge edges[TREES];
	uint64_t last;
	size_t count;
};

static size_t tree_index(uint64_t tree)
{
	return tree == 0 ? 0 : tree == ORG_A ? 1 : 2;
}

static uint64_t tree_number(size_t index)
{
	return index == 0 ? 0 : index == 1 ? ORG_A : 777;
}

static enum ks_err expect_row(void *ctx, const struct ks_audit_row *row)
{
	struct expected *e = ctx;
	struct ks_merkle_edge *edge = &e->edges[tree_index(row->tree)];
	struct ks_digest leaf;

	assert_ok(ks_audit_row_leaf(row, &leaf));
	assert_true(ks_str_eq(row->leaf, ks_str_of((const char *)leaf.bytes, sizeof(leaf.bytes))));
	assert_int_equal(row->position, edge->size);
	assert_true(row->id > e->last);
	e->last = row->id;
	e->count++;
	assert_ok(ks_merkle_edge_add(edge, 0, &leaf));
	return KS_OK;
}

static void assert_roots(struct ks_store *store, const struct expected *e)
{
	struct ks_audit_tree *tree = malloc(sizeof(*tree));
	struct ks_merkle_source source = {ks_store_audit_node, tree};
	struct ks_digest root, expected;

	assert_non_null(tree);
	for (size_t i = 0; i < TREES; i++) {
		assert_ok(ks_store_audit_tree(store, tree_number(i), tree));
		assert_int_equal(tree->size, e->edges[i].size);
		assert_ok(ks_merkle_root(&source, tree->size, &root));
		assert_ok(ks_merkle_edge_root(&e->edges[i], &expected));
		assert_true(ks_merkle_same(&root, &expected));
	}
	free(tree);
}

/* Every entry anew. */
static struct expected assert_trees(struct ks_store *store)
{
	struct ks_audit_filter all = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = SIZE_MAX, .oldest_first = true};
	struct expected e = {.count = 0};

	assert_ok(ks_store_audit(store, &all, expect_row, &e));
	assert_roots(store, &e);
	return e;
}

static enum ks_err append_at(struct ks_store *store, uint64_t id, size_t index)
{
	struct ks_audit_row row = audit_row(id, index == 1 ? ORG_A : 0, index == 1 ? SUB_A : 0);

	row.place = KS_STR("operator");
	row.tree = index == 1 ? 0 : tree_number(index);
	return ks_store_audit_append(store, &row);
}

static void append_many(struct ks_store *store, uint64_t *id, size_t count, size_t index)
{
	assert_ok(ks_store_begin(store));
	for (size_t i = 0; i < count; i++)
		assert_ok(append_at(store, ++*id, index));
	assert_ok(ks_store_commit(store));
}

static void trees_are_those_of_their_entries(void **state)
{
	static const size_t steps[] = {1, 1, 253, 1, 1, 255, 300, 1000, 63000, 725, 1, 3};
	struct fixture *f = *state;
	uint64_t id = 0;
	struct expected e;

	(void)assert_trees(f->store);
	for (size_t i = 0; i < KS_ARRAY_LEN(steps); i++) {
		append_many(f->store, &id, steps[i], 1);
		append_many(f->store, &id, steps[i] % 100, 2);
		append_many(f->store, &id, i, 0);
		if (i + 4 >= KS_ARRAY_LEN(steps)) {
			e = assert_trees(f->store);
			assert_int_equal(e.last, id);
		}
	}
	assert_true(e.edges[1].size > 65536);
	ks_store_close(&f->store);
	open_writer(f);
	append_many(f->store, &id, 300, 1);
	(void)assert_trees(f->store);
}

/* Roots of earlier sizes, and proofs of entries, stay what they were. */
static void proofs_of_every_size_hold(void **state)
{
	struct fixture *f = *state;
	struct ks_audit_tree *tree = malloc(sizeof(*tree));
	struct ks_merkle_source source = {ks_store_audit_node, tree};
	struct ks_merkle_edge edge = {0};
	struct ks_digest roots[801], leaf, root;
	struct ks_merkle_proof proof;
	uint64_t id = 0;

	assert_non_null(tree);
	append_many(f->store, &id, 800, 1);
	assert_ok(ks_store_audit_tree(f->store, ORG_A, tree));
	assert_ok(ks_merkle_edge_root(&edge, &roots[0]));
	for (uint64_t i = 0; i < 800; i++) {
		assert_ok(ks_store_audit_node(tree, 0, i, &leaf));
		assert_ok(ks_merkle_edge_add(&edge, 0, &leaf));
		assert_ok(ks_merkle_edge_root(&edge, &roots[i + 1]));
	}
	for (uint64_t size = 1; size <= 800; size += 37) {
		assert_ok(ks_merkle_root(&source, size, &root));
		assert_true(ks_merkle_same(&root, &roots[size]));
		assert_ok(ks_merkle_prove_inclusion(&source, size / 2, size, &proof));
		assert_ok(ks_store_audit_node(tree, 0, size / 2, &leaf));
		assert_ok(ks_merkle_check_inclusion(&leaf, size / 2, size, proof.hashes, proof.count, &root));
		assert_ok(ks_merkle_prove_consistency(&source, size, 800, &proof));
		assert_ok(ks_merkle_check_consistency(size, &root, 800, &roots[800], proof.hashes, proof.count));
	}
	assert_int_equal(ks_store_audit_node(tree, 0, 800, &leaf), KS_MALFORMED);
	assert_int_equal(ks_store_audit_node(tree, 9, 1, &leaf), KS_MALFORMED);
	assert_int_equal(ks_store_audit_node(tree, 63, 0, &leaf), KS_MALFORMED);
	free(tree);
}

static void what_is_undone_leaves_no_gap(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 0;

	append_many(f->store, &id, 250, 1);
	assert_ok(ks_store_begin(f->store));
	for (int i = 0; i < 20; i++) {
		assert_ok(ks_store_savepoint(f->store));
		assert_ok(append_at(f->store, ++id, 1));
		assert_ok(append_at(f->store, ++id, 2));
		if (i % 3 == 0)
			ks_store_rollback_to(f->store);
		else
			assert_ok(ks_store_release(f->store));
	}
	assert_ok(ks_store_commit(f->store));
	assert_int_equal(assert_trees(f->store).count, 250 + 26);
	assert_ok(ks_store_begin(f->store));
	for (int i = 0; i < 300; i++)
		assert_ok(append_at(f->store, ++id, 1));
	ks_store_rollback(f->store);
	append_many(f->store, &id, 300, 1);
	assert_int_equal(assert_trees(f->store).count, 250 + 26 + 300);
	/* An entry that was refused took no place. */
	assert_ok(ks_store_begin(f->store));
	assert_int_equal(append_at(f->store, id, 1), KS_CONFLICT);
	assert_ok(append_at(f->store, ++id, 1));
	assert_ok(ks_store_commit(f->store));
	(void)assert_trees(f->store);
}

static void trees_are_listed_one_after_the_other(void **state)
{
	struct fixture *f = *state;
	uint64_t id = 0, tree = UINT64_MAX;

	assert_int_equal(ks_store_audit_next_tree(f->store, tree, &tree), KS_NOT_FOUND);
	append_many(f->store, &id, 3, 2);
	append_many(f->store, &id, 3, 0);
	append_many(f->store, &id, 3, 1);
	assert_ok(ks_store_audit_next_tree(f->store, tree, &tree));
	assert_int_equal(tree, 0);
	assert_ok(ks_store_audit_next_tree(f->store, tree, &tree));
	assert_int_equal(tree, KS_MIN(ORG_A, 777));
	assert_ok(ks_store_audit_next_tree(f->store, tree, &tree));
	assert_int_equal(tree, KS_MAX(ORG_A, 777));
	assert_int_equal(ks_store_audit_next_tree(f->store, tree, &tree), KS_NOT_FOUND);
}

static void run_sql(const struct fixture *f, const char *sql)
{
	char *message = NULL;
	sqlite3 *db;

	assert_int_equal(sqlite3_open(f->path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_tree_that_lacks_something_is_corrupt(void **state)
{
	struct fixture *f = *state;
	struct ks_audit_tree *tree = malloc(sizeof(*tree));
	struct ks_digest node;
	uint64_t id = 0;

	assert_non_null(tree);
	append_many(f->store, &id, 600, 1);
	run_sql(f, "DROP TRIGGER audit_tiles_kept; DELETE FROM audit_tiles WHERE number = 0");
	assert_ok(ks_store_audit_tree(f->store, ORG_A, tree));
	assert_int_equal(ks_store_audit_node(tree, 0, 5, &node), KS_CORRUPT);
	assert_int_equal(ks_store_audit_node(tree, 9, 0, &node), KS_CORRUPT);
	assert_ok(ks_store_audit_node(tree, 0, 300, &node));
	free(tree);
}

/* ---- entries of earlier versions ---- */

static size_t migrations_before(void)
{
	size_t i = 0;

	while (!ks_str_eq(ks_str_c(ks_sql_sqlite.migrations[i].name), KS_STR("audit_trees")))
		i++;
	return i;
}

static void make_old_store(struct fixture *f)
{
	assert_ok(ks_store_open_with(f->uri, KS_STORE_WRITER, ks_sql_sqlite.migrations, migrations_before(), &f->store));
	make_world(f->store);
	assert_ok(ks_store_begin(f->store));
	put_tenant(f->store, 777, OPERATOR, 0, KS_TENANT_KIND_PARTNER);
	assert_ok(ks_store_commit(f->store));
	ks_store_close(&f->store);
	run_sql(f, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500)"
		   " INSERT INTO audit SELECT i, 1760000000000 + i, CASE i % 3 WHEN 1 THEN 10 END,"
		   " CASE i % 3 WHEN 1 THEN 20 WHEN 2 THEN 777 END, 'local', '', 'key.create', 'o' || i, 'ok', '', '',"
		   " '{\"n\":' || i || '}' FROM n");
}

static void old_entries_become_leaves(void **state)
{
	struct fixture *f = folder_new();
	struct expected e;
	size_t built;
	uint64_t id = 1500;

	(void)state;
	make_old_store(f);
	open_writer(f);
	for (int round = 0; round < 3; round++) {
		assert_ok(ks_store_begin(f->store));
		assert_ok(ks_store_audit_build(f->store, 400, &built));
		assert_int_equal(built, 400);
		/* A process that ends before the commit has done nothing. */
		if (round == 1)
			ks_store_rollback(f->store);
		else
			assert_ok(ks_store_commit(f->store));
		ks_store_close(&f->store);
		open_writer(f);
	}
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_audit_build(f->store, SIZE_MAX, &built));
	assert_int_equal(built, 700);
	assert_ok(ks_store_audit_build(f->store, SIZE_MAX, &built));
	assert_int_equal(built, 0);
	assert_ok(ks_store_commit(f->store));
	append_many(f->store, &id, 300, 1);
	e = assert_trees(f->store);
	assert_int_equal(e.edges[0].size, 500);
	assert_int_equal(e.edges[1].size, 800);
	assert_int_equal(e.edges[2].size, 500);
	ks_store_close(&f->store);
	remove_folder(f->folder);
	free(f);
}

/* ---- the key, and checkpoints ---- */

static enum ks_err compare_key(void *ctx, const struct ks_audit_key_row *row)
{
	const struct ks_audit_key_row *expected = ctx;

	assert_int_equal(row->id, expected->id);
	assert_int_equal(row->created_at, expected->created_at);
	assert_true(ks_str_eq(row->name, expected->name));
	assert_true(ks_str_eq(row->public_key, expected->public_key));
	assert_true(ks_str_eq(row->sealed, expected->sealed));
	return KS_OK;
}

static void keys_and_checkpoints_come_back(void **state)
{
	struct fixture *f = *state;
	struct ks_audit_key_row key = {.id = 3, .created_at = NOW, .name = KS_STR("log"), .sealed = KS_STR("\x00\xff"),
				       .public_key = KS_STR("0123456789abcdef0123456789abcdef")};
	struct ks_audit_checkpoint_row c = {.tree = 0, .size = 5, .at = NOW, .note = KS_STR("a\n5\n")};
	uint64_t size;

	assert_int_equal(ks_store_audit_key_get(f->store, compare_key, &key), KS_NOT_FOUND);
	assert_ok(ks_store_begin(f->store));
	assert_ok(ks_store_audit_key_put(f->store, &key));
	assert_ok(ks_store_audit_checkpoint_last(f->store, 0, &size));
	assert_int_equal(size, 0);
	assert_ok(ks_store_audit_checkpoint_put(f->store, &c));
	assert_int_equal(ks_store_audit_checkpoint_put(f->store, &c), KS_CONFLICT);
	c.size = 7;
	assert_ok(ks_store_audit_checkpoint_put(f->store, &c));
	assert_ok(ks_store_commit(f->store));
	assert_ok(ks_store_audit_key_get(f->store, compare_key, &key));
	assert_ok(ks_store_audit_checkpoint_last(f->store, 0, &size));
	assert_int_equal(size, 7);
	assert_ok(ks_store_audit_checkpoint_last(f->store, ORG_A, &size));
	assert_int_equal(size, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(trees_are_those_of_their_entries),
		TEST(proofs_of_every_size_hold),
		TEST(what_is_undone_leaves_no_gap),
		TEST(trees_are_listed_one_after_the_other),
		TEST(a_tree_that_lacks_something_is_corrupt),
		cmocka_unit_test(old_entries_become_leaves),
		TEST(keys_and_checkpoints_come_back),
	};

	return cmocka_run_group_tests_name("store/audit_tree", tests, NULL, NULL);
}
