/* SPDX-License-Identifier: Apache-2.0 */
/* The root in a PKCS#11 token, with SoftHSM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "keeper/keeper.h"

#define MODULE "/usr/lib/softhsm/libsofthsm2.so"

struct world {
	char data[64], tokens[128], pin[128];
	struct ks_keeper *keeper;
	struct ks_keeper_problem problem;
};

static const struct ks_keeper_binding binding = {11, 12, {"password", 8}, 1};

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, 0600), 0);
}

static void run(const char *program, const char *with)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "%s %s", program, with);
	assert_int_equal(system(command), 0);
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[160], text[256];

	assert_non_null(w);
	(void)snprintf(w->data, sizeof(w->data), "/tmp/keystile-pkcs11-XXXXXX");
	assert_non_null(mkdtemp(w->data));
	(void)snprintf(w->tokens, sizeof(w->tokens), "%s/tokens", w->data);
	(void)snprintf(w->pin, sizeof(w->pin), "%s/pin", w->data);
	assert_int_equal(mkdir(w->tokens, 0700), 0);
	write_file(w->pin, "1234\n");
	(void)snprintf(path, sizeof(path), "%s/softhsm2.conf", w->data);
	(void)snprintf(text, sizeof(text), "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", w->tokens);
	write_file(path, text);
	assert_int_equal(setenv("SOFTHSM2_CONF", path, 1), 0);
	run("softhsm2-util --init-token --free --label", "vault --so-pin 0000 --pin 1234 >/dev/null");
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	struct world *w = *state;

	ks_keeper_stop(&w->keeper);
	run("rm -rf", w->data);
	free(w);
	return 0;
}

static enum ks_err begin(struct world *w, enum ks_keeper_root root, bool may_create, const char *key)
{
	struct ks_keeper_options o = {
		.directory = w->data, .root = root, .may_create = may_create, .pkcs11_module = MODULE, .pkcs11_token = "vault",
		.pkcs11_key = key, .pkcs11_files = w->tokens, .pin_file = w->pin,
	};

	return ks_keeper_start(&o, &w->keeper, &w->problem);
}

static enum ks_err open_value(struct world *w, const struct ks_keeper_org *org, const uint8_t *sealed, size_t n)
{
	uint8_t plain[64];
	struct ks_keeper_value v = {.binding = binding, .in = ks_str_of((const char *)sealed, n), .ret_out = plain, .cap = 64};

	KS_TRY(ks_keeper_open(w->keeper, org, &v, 1));
	if (v.err == KS_OK)
		assert_true(ks_str_eq(ks_str_of((const char *)plain, v.ret_n), KS_STR("value")));
	return v.err;
}

static void the_token_wraps_within_the_sandbox(void **state)
{
	struct world *w = *state;
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX], sealed[128];
	struct ks_keeper_value v = {.binding = binding, .in = KS_STR("value"), .ret_out = sealed, .cap = sizeof(sealed)};
	struct ks_keeper_stats stats;
	struct ks_keeper_org org;
	size_t n;

	assert_int_equal(begin(w, KS_KEEPER_ROOT_PKCS11, false, "keystile"), KS_NOT_FOUND);
	assert_int_equal(begin(w, KS_KEEPER_ROOT_PKCS11, true, "keystile"), KS_OK);
	assert_int_equal(ks_keeper_org_create(w->keeper, 5, 1, wrapped, sizeof(wrapped), &n), KS_OK);
	org = (struct ks_keeper_org){5, 1, ks_str_of((const char *)wrapped, n)};
	assert_int_equal(ks_keeper_seal(w->keeper, &org, &v, 1), KS_OK);
	assert_int_equal(open_value(w, &org, sealed, v.ret_n), KS_OK);
	ks_keeper_stop(&w->keeper);
	assert_int_equal(begin(w, KS_KEEPER_ROOT_PKCS11, false, "keystile"), KS_OK);
	/* Altered, or another's: refused, and the keeper goes on. */
	for (size_t i = 10; i < n; i += 7) {
		wrapped[i] ^= 1;
		assert_int_equal(open_value(w, &org, sealed, v.ret_n), KS_CORRUPT);
		wrapped[i] ^= 1;
	}
	org.organization = 6;
	assert_int_equal(open_value(w, &org, sealed, v.ret_n), KS_CORRUPT);
	org.organization = 5;
	assert_int_equal(open_value(w, &org, sealed, v.ret_n), KS_OK);
	ks_keeper_stats(w->keeper, &stats);
	assert_int_equal(stats.restarts, 0);
	assert_non_null(strstr(stats.root, "pkcs11 "));
}

static void from_the_key_file_to_the_token(void **state)
{
	struct world *w = *state;
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX], anew[KS_KEEPER_WRAPPED_MAX], sealed[128];
	struct ks_keeper_value v = {.binding = binding, .in = KS_STR("value"), .ret_out = sealed, .cap = sizeof(sealed)};
	struct ks_keeper_org org;
	char path[128];
	bool changed;
	size_t n;

	assert_int_equal(begin(w, KS_KEEPER_ROOT_FILE, true, ""), KS_OK);
	assert_int_equal(ks_keeper_org_create(w->keeper, 5, 1, wrapped, sizeof(wrapped), &n), KS_OK);
	org = (struct ks_keeper_org){5, 1, ks_str_of((const char *)wrapped, n)};
	assert_int_equal(ks_keeper_seal(w->keeper, &org, &v, 1), KS_OK);
	ks_keeper_stop(&w->keeper);
	assert_int_equal(begin(w, KS_KEEPER_ROOT_PKCS11, false, "keystile"), KS_OK);
	assert_int_equal(open_value(w, &org, sealed, v.ret_n), KS_OK);
	assert_int_equal(ks_keeper_org_rewrap(w->keeper, &org, &changed, anew, sizeof(anew), &n), KS_OK);
	assert_true(changed);
	org.wrapped = ks_str_of((const char *)anew, n);
	ks_keeper_stop(&w->keeper);
	(void)snprintf(path, sizeof(path), "%s/master.key", w->data);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(begin(w, KS_KEEPER_ROOT_PKCS11, false, "keystile"), KS_OK);
	assert_int_equal(open_value(w, &org, sealed, v.ret_n), KS_OK);
}

static void a_wrong_pin_or_name_is_told(void **state)
{
	struct world *w = *state;

	write_file(w->pin, "4321\n");
	assert_int_equal(begin(w, KS_KEEPER_ROOT_PKCS11, true, "keystile"), KS_FORBIDDEN);
	assert_null(strstr(w->problem.text, "4321"));
	write_file(w->pin, "1234\n");
	assert_int_equal(chmod(w->pin, 0644), 0);
	assert_int_equal(begin(w, KS_KEEPER_ROOT_PKCS11, true, "keystile"), KS_FORBIDDEN);
	write_file(w->pin, "1234\n");
	assert_int_equal(setenv("SOFTHSM2_CONF", "/nonexistent", 1), 0);
	assert_true(begin(w, KS_KEEPER_ROOT_PKCS11, true, "keystile") != KS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_token_wraps_within_the_sandbox),
		TEST(from_the_key_file_to_the_token),
		TEST(a_wrong_pin_or_name_is_told),
	};

	return cmocka_run_group_tests_name("pkcs11", tests, NULL, NULL);
}
