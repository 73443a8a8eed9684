/* SPDX-License-Identifier: Apache-2.0 */
/* The audit as a provable log: whose tree an entry goes to, what is signed, and what a check finds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>
#include <sqlite3.h>

#include "base/id.h"
#include "engine/audit_log.h"
#include "support.h"

struct found {
	uint64_t tree;
	char place[32], actor[40];
	size_t count;
};

static enum ks_err take(void *ctx, const struct ks_audit_row *row)
{
	struct found *f = ctx;

	f->tree = row->tree;
	(void)snprintf(f->place, sizeof(f->place), "%.*s", KS_STR_ARG(row->place));
	(void)snprintf(f->actor, sizeof(f->actor), "%.*s", KS_STR_ARG(row->actor));
	f->count++;
	return KS_OK;
}

/* The newest entry. */
static struct found newest(struct world *w)
{
	struct ks_audit_filter filter = {.from = KS_TIME_NONE, .to = KS_TIME_NONE, .limit = 1};
	struct ks_engine_reader reader;
	struct found f = {0};

	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_audit(reader.store, &filter, take, &f), KS_OK);
	ks_engine_reader_close(&reader);
	assert_int_equal(f.count, 1);
	return f;
}

static void assert_newest(struct world *w, uint64_t tree, const char *place)
{
	struct found f = newest(w);

	assert_int_equal(f.tree, tree);
	assert_string_equal(f.place, place);
}

static void an_entry_is_a_leaf_of_its_tenants_tree(void **state)
{
	struct world w;
	uint64_t partner, org, sub;
	struct ks_key_made key;
	struct ks_key_input input;
	struct ks_actor actor;

	(void)state;
	world_new(&w);
	partner = make_tenant(&w, KS_TENANT_KIND_PARTNER, 0, "Reseller");
	assert_newest(&w, partner, "local");
	org = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	assert_newest(&w, org, "local");
	sub = make_tenant(&w, KS_TENANT_KIND_SUB_ENTITY, org, "Clinic");
	assert_newest(&w, org, "local");
	(void)make_key(&w, sub, "contacts:read");
	assert_newest(&w, org, "local");
	(void)make_key(&w, operator_of(&w), "contacts:read");
	assert_newest(&w, 0, "local");
	(void)make_key(&w, partner, "contacts:read");
	assert_newest(&w, partner, "local");
	/* Who acts is told by where the key belongs. */
	key = make_key(&w, operator_of(&w), "contacts:read");
	actor = actor_of(&w, key.token);
	input = key_input("by the operator", org, "contacts:read");
	assert_int_equal(create_key(&w, &actor, &input, &key), KS_OK);
	assert_newest(&w, org, "operator");
	key = make_key(&w, org, "contacts:read");
	actor = actor_of(&w, key.token);
	input = key_input("by itself", sub, "contacts:read");
	assert_int_equal(create_key(&w, &actor, &input, &key), KS_OK);
	assert_newest(&w, org, "organization");
	world_free(&w);
}

/* ---- checkpoints ---- */

static void sign(struct world *w, uint64_t tree_number, uint64_t size, char ret_note[KS_STORE_NOTE_MAX])
{
	struct ks_audit_tree *tree = malloc(sizeof(*tree));
	struct ks_buf out = ks_buf_of(ret_note, KS_STORE_NOTE_MAX);
	struct ks_engine_reader reader;
	struct ks_digest root;

	assert_non_null(tree);
	assert_int_equal(ks_engine_reader_open(w->engine, &reader), KS_OK);
	assert_int_equal(ks_store_audit_tree(reader.store, tree_number, tree), KS_OK);
	assert_int_equal(ks_audit_checkpoint(w->engine, tree, tree->size + 1, &out, &root), KS_MALFORMED);
	assert_int_equal(ks_audit_checkpoint(w->engine, tree, size == UINT64_MAX ? tree->size : size, &out, &root), KS_OK);
	ks_engine_reader_close(&reader);
	(void)ks_buf_z(&out);
	free(tree);
}

static void verifier_of(struct world *w, char ret_text[KS_NOTE_VERIFIER_SIZE])
{
	struct ks_buf out = ks_buf_of(ret_text, KS_NOTE_VERIFIER_SIZE);

	assert_true(ks_audit_put_verifier(w->engine, &out));
	(void)ks_buf_z(&out);
}

static void assert_signed(const char *note_text, const char *verifier_text, uint64_t size)
{
	struct ks_note note;
	struct ks_note_verifier verifier;
	struct ks_checkpoint checkpoint;

	assert_int_equal(ks_note_read_verifier(ks_str_c(verifier_text), &verifier), KS_OK);
	assert_int_equal(ks_note_read(ks_str_c(note_text), &note), KS_OK);
	assert_int_equal(ks_note_check(&note, &verifier), KS_OK);
	assert_int_equal(ks_checkpoint_read(note.text, &checkpoint), KS_OK);
	assert_int_equal(checkpoint.size, size);
	assert_true(ks_str_starts(checkpoint.origin, verifier.name));
}

static void one_key_signs_for_good(void **state)
{
	char before[KS_STORE_NOTE_MAX], after[KS_STORE_NOTE_MAX], key[KS_NOTE_VERIFIER_SIZE], again[KS_NOTE_VERIFIER_SIZE];
	struct world w;
	uint64_t org;

	(void)state;
	world_prepare(&w);
	w.options.audit_key = true;
	assert_int_equal(world_open(&w), KS_OK);
	org = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
	(void)make_key(&w, org, "contacts:read");
	sign(&w, org, UINT64_MAX, before);
	verifier_of(&w, key);
	assert_signed(before, key, 2);
	world_close(&w);
	/* Without the option it is not made, and one that is there is used. */
	w.options.audit_key = false;
	assert_int_equal(world_open(&w), KS_OK);
	(void)make_key(&w, org, "contacts:read");
	verifier_of(&w, again);
	assert_string_equal(key, again);
	sign(&w, org, 2, after);
	assert_string_equal(before, after);
	world_free(&w);
}

static void without_a_key_nothing_is_signed(void **state)
{
	struct ks_audit_tree *tree = malloc(sizeof(*tree));
	char text[KS_STORE_NOTE_MAX];
	struct ks_buf out = KS_BUF(text);
	struct ks_engine_reader reader;
	struct ks_digest root;
	struct world w;

	(void)state;
	assert_non_null(tree);
	world_new(&w);
	assert_int_equal(ks_engine_reader_open(w.engine, &reader), KS_OK);
	assert_int_equal(ks_store_audit_tree(reader.store, 0, tree), KS_OK);
	assert_int_equal(ks_audit_checkpoint(w.engine, tree, 0, &out, &root), KS_CRYPTO);
	assert_false(ks_audit_put_verifier(w.engine, &out));
	ks_engine_reader_close(&reader);
	world_free(&w);
	free(tree);
}

/* ---- checking ---- */

static struct ks_audit_report check(struct world *w)
{
	struct ks_audit_report report;

	assert_int_equal(ks_audit_check(w->engine, &report), KS_OK);
	return report;
}

static void run_sql(struct world *w, const char *sql)
{
	char path[200], *message = NULL;
	sqlite3 *db;

	(void)snprintf(path, sizeof(path), "%s/keystile.db", w->data);
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	if (sqlite3_exec(db, sql, NULL, NULL, &message) != SQLITE_OK)
		fail_msg("%s", message);
	assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void a_check_finds_what_was_changed(void **state)
{
	static const struct {
		const char *sql;
		const char *says;
	} cases[] = {
		{"UPDATE audit SET actor = 'system' WHERE action = 'tenant.create' AND organization IS NOT NULL", "not what its leaf"},
		{"UPDATE audit SET salt = zeroblob(16) WHERE position = 5 AND tree > 0", "not what its leaf"},
		{"UPDATE audit SET leaf = NULL WHERE position = 5 AND tree > 0", "not what its leaf"},
		{"UPDATE audit SET position = position + 1 WHERE position = 5 AND tree > 0", "at position 6"},
		{"DELETE FROM audit WHERE position = 7 AND tree > 0", "at position 8"},
		{"UPDATE audit_tiles SET root = zeroblob(32)", "tile 0 of level 0"},
		{"UPDATE audit_tiles SET hashes = zeroblob(8192)", "tile 0 of level 0"},
		{"DELETE FROM audit_tiles", "tile 0 of level 0"},
		{"INSERT INTO audit_tiles SELECT tree, level, 1, root, hashes FROM audit_tiles", "2 tiles of level 0"},
	};
	struct ks_audit_report report;
	struct world w;
	uint64_t org;

	(void)state;
	for (size_t i = 0; i < KS_ARRAY_LEN(cases); i++) {
		world_new(&w);
		org = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, "Acme");
		for (int n = 0; n < 300; n++)
			(void)make_key(&w, org, "contacts:read");
		report = check(&w);
		assert_int_equal(report.differences, 0);
		assert_int_equal(report.tiles, 1);
		assert_true(report.entries >= 301 && report.trees == 2);
		world_close(&w);
		run_sql(&w, "DROP TRIGGER audit_fixed; DROP TRIGGER audit_fixed_words; DROP TRIGGER audit_kept;"
			    "DROP TRIGGER audit_tiles_fixed; DROP TRIGGER audit_tiles_kept");
		run_sql(&w, cases[i].sql);
		/* A leaf that is missing would be made anew. */
		run_sql(&w, "UPDATE audit SET leaf = zeroblob(32) WHERE leaf IS NULL");
		assert_int_equal(world_open(&w), KS_OK);
		report = check(&w);
		assert_true(report.differences > 0);
		if (!strstr(report.first, cases[i].says))
			fail_msg("%s: %s", cases[i].sql, report.first);
		world_free(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_entry_is_a_leaf_of_its_tenants_tree),
		cmocka_unit_test(one_key_signs_for_good),
		cmocka_unit_test(without_a_key_nothing_is_signed),
		cmocka_unit_test(a_check_finds_what_was_changed),
	};

	return cmocka_run_group_tests_name("engine/audit", tests, NULL, NULL);
}
