/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/rewrap.h"
#include "engine/seal.h"
#include "store/vault.h"
#include "support.h"

static char *key_path(const struct world *w)
{
	static char path[200];

	(void)snprintf(path, sizeof(path), "%s/master.key", w->data);
	return path;
}

static void read_file(const char *path, char ret_text[66])
{
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	memset(ret_text, 0, 66);
	assert_int_equal(fread(ret_text, 1, 65, f), 65);
	assert_int_equal(fclose(f), 0);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

struct sealed {
	uint8_t bytes[128];
	size_t n;
};

static enum ks_err seal_it(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct sealed *s = ctx;

	(void)refusal;
	return ks_engine_seal(tx, "test", 7, KS_STR("a secret"), s->bytes, sizeof(s->bytes), &s->n);
}

static enum ks_err open_it(const struct world *w, const char *purpose, uint64_t row, const struct sealed *s)
{
	uint8_t plain[64];
	size_t n;
	enum ks_err err = ks_engine_open_sealed(w->engine, purpose, row, ks_str_of((const char *)s->bytes, s->n), plain,
						sizeof(plain), &n);

	if (err == KS_OK)
		assert_true(ks_str_eq(ks_str_of((const char *)plain, n), KS_STR("a secret")));
	return err;
}

static void the_key_is_made_once_for_its_owner_alone(void **state)
{
	struct world w;
	struct stat st;
	char before[66], after[66];

	(void)state;
	world_new(&w);
	assert_int_equal(stat(key_path(&w), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 65);
	read_file(key_path(&w), before);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	read_file(key_path(&w), after);
	assert_string_equal(before, after);
	world_free(&w);
}

static void what_is_sealed_opens_for_its_purpose_and_row_alone(void **state)
{
	struct world w;
	struct sealed s;

	(void)state;
	world_new(&w);
	assert_int_equal(world_change(&w, seal_it, &s), KS_OK);
	assert_int_equal(open_it(&w, "test", 7, &s), KS_OK);
	assert_int_equal(open_it(&w, "test", 8, &s), KS_CORRUPT);
	assert_int_equal(open_it(&w, "tes", 7, &s), KS_CORRUPT);
	assert_int_equal(open_it(&w, "check", 1, &s), KS_CORRUPT);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(open_it(&w, "test", 7, &s), KS_OK);
	s.bytes[s.n - 1] ^= 1;
	assert_int_equal(open_it(&w, "test", 7, &s), KS_CORRUPT);
	world_free(&w);
}

static void a_key_that_others_can_reach_is_refused(void **state)
{
	static const mode_t modes[] = {0640, 0604, 0620, 0660, 0666, 0601};
	struct world w;

	(void)state;
	world_new(&w);
	world_close(&w);
	for (size_t i = 0; i < KS_ARRAY_LEN(modes); i++) {
		assert_int_equal(chmod(key_path(&w), modes[i]), 0);
		assert_int_equal(world_open(&w), KS_FORBIDDEN);
		assert_non_null(strstr(w.problem.text, "master.key"));
	}
	assert_int_equal(chmod(key_path(&w), 0400), 0);
	assert_int_equal(world_open(&w), KS_OK);
	world_free(&w);
}

static void a_file_that_is_no_key_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		"0123",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1fx",
		"000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F\n",
		"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n\n",
	};
	struct world w;
	char kept[240];

	(void)state;
	world_new(&w);
	world_close(&w);
	for (size_t i = 0; i < KS_ARRAY_LEN(texts); i++) {
		write_file(key_path(&w), texts[i]);
		assert_int_equal(world_open(&w), KS_CORRUPT);
		assert_null(strstr(w.problem.text, "000102"));
	}
	(void)snprintf(kept, sizeof(kept), "%s.kept", key_path(&w));
	assert_int_equal(rename(key_path(&w), kept), 0);
	assert_int_equal(symlink(kept, key_path(&w)), 0);
	assert_int_equal(world_open(&w), KS_SYSTEM);
	assert_int_equal(unlink(key_path(&w)), 0);
	assert_int_equal(mkdir(key_path(&w), 0700), 0);
	assert_int_equal(world_open(&w), KS_CORRUPT);
	assert_int_equal(rmdir(key_path(&w)), 0);
	world_free(&w);
}

static void nothing_starts_without_the_key_that_sealed(void **state)
{
	struct world w;
	struct sealed s;
	char right[66];

	(void)state;
	world_new(&w);
	assert_int_equal(world_change(&w, seal_it, &s), KS_OK);
	read_file(key_path(&w), right);
	world_close(&w);
	assert_int_equal(unlink(key_path(&w)), 0);
	assert_int_equal(world_open(&w), KS_NOT_FOUND);
	assert_non_null(strstr(w.problem.text, "master.key is missing"));
	assert_int_equal(access(key_path(&w), F_OK), -1);
	write_file(key_path(&w), "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n");
	assert_int_equal(world_open(&w), KS_CORRUPT);
	assert_non_null(strstr(w.problem.text, "not the key"));
	write_file(key_path(&w), right);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(open_it(&w, "test", 7, &s), KS_OK);
	world_free(&w);
}

static void a_key_that_sealed_nothing_can_be_made_anew(void **state)
{
	struct world w;

	(void)state;
	world_new(&w);
	world_close(&w);
	assert_int_equal(unlink(key_path(&w)), 0);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(access(key_path(&w), F_OK), 0);
	world_free(&w);
}

/* ---- another root ---- */

static enum ks_err take_sealed_row(void *ctx, uint64_t id, struct ks_str sealed)
{
	struct sealed *s = ctx;

	(void)id;
	memcpy(s->bytes, sealed.p, sealed.n);
	s->n = sealed.n;
	return KS_OK;
}

struct org_keys {
	uint64_t tenants[3];
	uint8_t wrapped[3][KS_KEEPER_WRAPPED_MAX];
	size_t n[3];
};

static enum ks_err make_org_keys(struct ks_tx *tx, void *ctx, struct ks_refusal *refusal)
{
	struct org_keys *keys = ctx;

	(void)refusal;
	KS_TRY(ks_engine_seal_ready(tx));
	for (size_t i = 0; i < 3; i++) {
		KS_TRY(ks_keeper_org_create(ks_engine_keeper(tx->engine), keys->tenants[i], 1, keys->wrapped[i],
					    sizeof(keys->wrapped[i]), &keys->n[i]));
		KS_TRY(ks_store_organization_key_insert(tx->store, &(struct ks_organization_key_row){
			.organization = keys->tenants[i], .number = 1, .created_at = tx->now_ms, .erased_at = KS_TIME_NONE,
			.wrapped = ks_str_of((const char *)keys->wrapped[i], keys->n[i])}));
	}
	return KS_OK;
}

static enum ks_err read_wrapped(void *ctx, const struct ks_organization_key_row *row)
{
	struct org_keys *keys = ctx;

	memcpy(keys->wrapped[0], row->wrapped.p, row->wrapped.n);
	keys->n[0] = row->wrapped.n;
	return KS_OK;
}

static void assert_opens(const struct world *w, uint64_t organization, const uint8_t *wrapped, size_t n,
			 const struct sealed *s, enum ks_err wanted)
{
	uint8_t plain[64];
	const struct ks_keeper_org org = {organization, 1, ks_str_of((const char *)wrapped, n)};
	struct ks_keeper_value v = {.binding = {organization, 1, KS_STR("f"), 1},
				    .in = ks_str_of((const char *)s->bytes, s->n), .ret_out = plain, .cap = sizeof(plain)};

	assert_int_equal(ks_keeper_open(ks_engine_keeper(w->engine), &org, &v, 1), wanted);
	assert_int_equal(wanted == KS_OK ? v.err : KS_OK, KS_OK);
}

static void all_keys_come_under_a_new_key_file(void **state)
{
	struct org_keys keys, now;
	struct ks_rewrap_report report;
	struct ks_engine_problem problem;
	struct ks_engine_reader reader;
	struct sealed own, value = {.n = 0};
	struct ks_keeper_org org;
	struct ks_keeper_value v;
	char before[66], after[66];
	struct world w;

	(void)state;
	world_new(&w);
	for (size_t i = 0; i < 3; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "org %zu", i);
		keys.tenants[i] = make_tenant(&w, KS_TENANT_KIND_ORGANIZATION, 0, name);
	}
	assert_int_equal(world_change(&w, seal_it, &own), KS_OK);
	assert_int_equal(world_change(&w, make_org_keys, &keys), KS_OK);
	org = (struct ks_keeper_org){keys.tenants[0], 1, ks_str_of((const char *)keys.wrapped[0], keys.n[0])};
	v = (struct ks_keeper_value){.binding = {keys.tenants[0], 1, KS_STR("f"), 1}, .in = KS_STR("value"),
				     .ret_out = value.bytes, .cap = sizeof(value.bytes)};
	assert_int_equal(ks_keeper_seal(ks_engine_keeper(w.engine), &org, &v, 1), KS_OK);
	value.n = v.ret_n;
	read_file(key_path(&w), before);
	assert_int_equal(ks_engine_rewrap(w.engine, false, &report, &problem), KS_OK);
	assert_true(report.keys == 4 && report.rewrapped == 0 && !report.rotated);
	assert_int_equal(ks_engine_rewrap(w.engine, true, &report, &problem), KS_OK);
	assert_true(report.keys == 4 && report.rewrapped == 4 && report.rotated);
	read_file(key_path(&w), after);
	assert_string_not_equal(before, after);
	assert_int_equal(open_it(&w, "test", 7, &own), KS_OK);
	assert_int_equal(ks_engine_reader_open(w.engine, &reader), KS_OK);
	assert_int_equal(ks_store_organization_key_get(reader.store, keys.tenants[0], 1, read_wrapped, &now), KS_OK);
	ks_engine_reader_close(&reader);
	assert_opens(&w, keys.tenants[0], now.wrapped[0], now.n[0], &value, KS_OK);
	/* The old wrapping is under a key that is no more. */
	assert_opens(&w, keys.tenants[0], keys.wrapped[0], keys.n[0], &value, KS_CORRUPT);
	world_close(&w);
	assert_int_equal(world_open(&w), KS_OK);
	assert_int_equal(open_it(&w, "test", 7, &own), KS_OK);
	/* The old file does not open this store any more. */
	world_close(&w);
	write_file(key_path(&w), before);
	assert_int_equal(world_open(&w), KS_CORRUPT);
	write_file(key_path(&w), after);
	assert_int_equal(world_open(&w), KS_OK);
	world_free(&w);
}

/* As a release before the keeper left it: the check and what is sealed directly under the file's key. */
static void a_store_of_before_is_taken_over(void **state)
{
	static const char key_text[] = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n";
	static const char script[] =
		"<<'END'\n"
		"import sqlite3, sys\n"
		"from cryptography.hazmat.primitives.ciphers.aead import AESGCM\n"
		"aes = AESGCM(bytes(range(32)))\n"
		"seal = lambda plain, to: b'\\x01' + b'n' * 12 + aes.encrypt(b'n' * 12, plain, to)\n"
		"db = sqlite3.connect(sys.argv[1])\n"
		"db.execute('DELETE FROM seal_check')\n"
		"db.execute('INSERT INTO seal_check (one, sealed) VALUES (1, ?)', (seal(b'', b'keystile:check:1'),))\n"
		"db.execute('PRAGMA foreign_keys = OFF')\n"
		"db.execute('INSERT INTO totp (user_id, confirmed_at, last_step, sealed) VALUES (99, NULL, 0, ?)', (seal(b'totp secret', b'keystile:totp:99'),))\n"
		"db.commit()\n"
		"END\n";
	char text[2048];
	struct ks_engine_reader reader;
	struct sealed s = {.n = 0};
	uint8_t plain[64];
	struct world w;
	size_t n;

	(void)state;
	world_new(&w);
	world_close(&w);
	write_file(key_path(&w), key_text);
	(void)snprintf(text, sizeof(text), "/usr/bin/python3 - %s/keystile.db %s", w.data, script);
	assert_int_equal(system(text), 0);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(world_open(&w), KS_OK);
		assert_int_equal(ks_engine_reader_open(w.engine, &reader), KS_OK);
		assert_int_equal(ks_store_sealed_list(reader.store, KS_SEALED_TOTP, 0, 1, take_sealed_row, &s), KS_OK);
		ks_engine_reader_close(&reader);
		assert_int_equal(ks_engine_open_sealed(w.engine, "totp", 99, ks_str_of((const char *)s.bytes, s.n), plain, sizeof(plain), &n), KS_OK);
		assert_true(ks_str_eq(ks_str_of((const char *)plain, n), KS_STR("totp secret")));
		world_close(&w);
	}
	assert_int_equal(world_open(&w), KS_OK);
	world_free(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_is_made_once_for_its_owner_alone),
		cmocka_unit_test(what_is_sealed_opens_for_its_purpose_and_row_alone),
		cmocka_unit_test(a_key_that_others_can_reach_is_refused),
		cmocka_unit_test(a_file_that_is_no_key_is_refused),
		cmocka_unit_test(nothing_starts_without_the_key_that_sealed),
		cmocka_unit_test(a_key_that_sealed_nothing_can_be_made_anew),
		cmocka_unit_test(all_keys_come_under_a_new_key_file),
		cmocka_unit_test(a_store_of_before_is_taken_over),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
