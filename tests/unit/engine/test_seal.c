/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/seal.h"
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_key_is_made_once_for_its_owner_alone),
		cmocka_unit_test(what_is_sealed_opens_for_its_purpose_and_row_alone),
		cmocka_unit_test(a_key_that_others_can_reach_is_refused),
		cmocka_unit_test(a_file_that_is_no_key_is_refused),
		cmocka_unit_test(nothing_starts_without_the_key_that_sealed),
		cmocka_unit_test(a_key_that_sealed_nothing_can_be_made_anew),
	};

	return cmocka_run_group_tests_name("seal", tests, NULL, NULL);
}
