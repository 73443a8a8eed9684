/* SPDX-License-Identifier: Apache-2.0 */
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

struct world {
	char data[64];
	struct ks_keeper *keeper;
	struct ks_keeper_problem problem;
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
	struct ks_keeper_org org;
};

static const struct ks_keeper_binding binding = {11, 12, {"password", 8}, 1};

static enum ks_err begin(struct world *w, bool may_create)
{
	struct ks_keeper_options o = {.directory = w->data, .may_create = may_create};

	return ks_keeper_start(&o, &w->keeper, &w->problem);
}

static struct ks_keeper_org make_org(struct world *w, uint64_t id, uint32_t generation, uint8_t room[KS_KEEPER_WRAPPED_MAX])
{
	size_t n;

	assert_int_equal(ks_keeper_org_create(w->keeper, id, generation, room, KS_KEEPER_WRAPPED_MAX, &n), KS_OK);
	return (struct ks_keeper_org){id, generation, ks_str_of((const char *)room, n)};
}

static int set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	(void)snprintf(w->data, sizeof(w->data), "/tmp/keystile-keeper-XXXXXX");
	assert_non_null(mkdtemp(w->data));
	assert_int_equal(begin(w, true), KS_OK);
	w->org = make_org(w, 5, 1, w->wrapped);
	*state = w;
	return 0;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"master.key", "master.key.next", "master.salt", "passphrase"};
	struct world *w = *state;
	char path[128];

	ks_keeper_stop(&w->keeper);
	for (size_t i = 0; i < KS_ARRAY_LEN(names); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", w->data, names[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(w->data), 0);
	free(w);
	return 0;
}

struct sealed {
	uint8_t bytes[256];
	size_t n;
};

static enum ks_err seal(struct world *w, const struct ks_keeper_org *org, const char *plain, struct sealed *ret_sealed)
{
	struct ks_keeper_value v = {.binding = binding, .in = ks_str_c(plain), .ret_out = ret_sealed->bytes, .cap = 256};

	KS_TRY(ks_keeper_seal(w->keeper, org, &v, 1));
	ret_sealed->n = v.ret_n;
	return KS_OK;
}

static enum ks_err open_as(struct world *w, const struct ks_keeper_org *org, const struct ks_keeper_binding *as,
			   const struct sealed *s, const char *wanted)
{
	uint8_t room[256];
	struct ks_keeper_value v = {
		.binding = *as, .in = ks_str_of((const char *)s->bytes, s->n), .ret_out = room, .cap = sizeof(room)};

	KS_TRY(ks_keeper_open(w->keeper, org, &v, 1));
	if (v.err == KS_OK)
		assert_true(ks_str_eq(ks_str_of((const char *)room, v.ret_n), ks_str_c(wanted)));
	else
		assert_int_equal(v.ret_n, 0);
	return v.err;
}

static void a_value_opens_as_what_it_is_alone(void **state)
{
	struct world *w = *state;
	uint8_t other_wrapped[KS_KEEPER_WRAPPED_MAX];
	struct ks_keeper_org other = make_org(w, 6, 1, other_wrapped), swapped = w->org, newer = w->org;
	struct ks_keeper_binding b[4] = {binding, binding, binding, binding};
	struct sealed s;

	assert_int_equal(seal(w, &w->org, "hunter2 hunter2", &s), KS_OK);
	assert_int_equal(s.n, 15 + KS_KEEPER_OVERHEAD);
	assert_int_equal(open_as(w, &w->org, &binding, &s, "hunter2 hunter2"), KS_OK);
	b[0].tenant++;
	b[1].provider++;
	b[2].field = KS_STR("passwore");
	b[3].version++;
	for (size_t i = 0; i < KS_ARRAY_LEN(b); i++)
		assert_int_equal(open_as(w, &w->org, &b[i], &s, ""), KS_CORRUPT);
	assert_int_equal(open_as(w, &other, &binding, &s, ""), KS_CORRUPT);
	/* Another organization's wrapped key, or number, or generation in the row. */
	swapped.wrapped = other.wrapped;
	assert_int_equal(open_as(w, &swapped, &binding, &s, ""), KS_CORRUPT);
	swapped = (struct ks_keeper_org){6, 1, w->org.wrapped};
	assert_int_equal(open_as(w, &swapped, &binding, &s, ""), KS_CORRUPT);
	newer.generation = 2;
	assert_int_equal(open_as(w, &newer, &binding, &s, ""), KS_CORRUPT);
	newer.generation = 0;
	assert_int_equal(open_as(w, &newer, &binding, &s, ""), KS_NOT_FOUND);
	assert_int_equal(open_as(w, &w->org, &binding, &s, "hunter2 hunter2"), KS_OK);
}

static void every_altered_byte_is_found(void **state)
{
	struct world *w = *state;
	struct sealed s;

	assert_int_equal(seal(w, &w->org, "v", &s), KS_OK);
	for (size_t i = 0; i < s.n; i++) {
		s.bytes[i] ^= 0x40;
		assert_int_equal(open_as(w, &w->org, &binding, &s, ""), KS_CORRUPT);
		s.bytes[i] ^= 0x40;
	}
	for (size_t n = 0; n < s.n; n++) {
		struct sealed cut = s;

		cut.n = n;
		assert_int_equal(open_as(w, &w->org, &binding, &cut, ""), KS_CORRUPT);
	}
	for (size_t i = 0; i < w->org.wrapped.n; i++) {
		ks_keeper_stop(&w->keeper);
		assert_int_equal(begin(w, false), KS_OK);
		w->wrapped[i] ^= 1;
		assert_int_equal(open_as(w, &w->org, &binding, &s, ""), KS_CORRUPT);
		w->wrapped[i] ^= 1;
		if (i == 12)
			i = w->org.wrapped.n - 4;
	}
	assert_int_equal(open_as(w, &w->org, &binding, &s, "v"), KS_OK);
}

static void two_seals_of_one_value_differ(void **state)
{
	struct world *w = *state;
	struct sealed a, b;

	assert_int_equal(seal(w, &w->org, "same", &a), KS_OK);
	assert_int_equal(seal(w, &w->org, "same", &b), KS_OK);
	assert_int_equal(a.n, b.n);
	assert_memory_not_equal(a.bytes, b.bytes, a.n);
}

static void many_values_go_in_one_message(void **state)
{
	static uint8_t sealed[KS_KEEPER_BATCH_MAX][KS_KEEPER_OVERHEAD + 8], plain[KS_KEEPER_BATCH_MAX][8];
	struct world *w = *state;
	struct ks_keeper_value v[KS_KEEPER_BATCH_MAX];

	for (size_t i = 0; i < KS_KEEPER_BATCH_MAX; i++) {
		v[i] = (struct ks_keeper_value){.binding = binding, .in = KS_STR("12345678"), .ret_out = sealed[i], .cap = sizeof(sealed[i])};
		v[i].binding.version = i;
	}
	assert_int_equal(ks_keeper_seal(w->keeper, &w->org, v, KS_KEEPER_BATCH_MAX), KS_OK);
	for (size_t i = 0; i < KS_KEEPER_BATCH_MAX; i++) {
		v[i].in = ks_str_of((const char *)sealed[i], v[i].ret_n);
		v[i].ret_out = plain[i];
		v[i].cap = 8;
	}
	v[3].cap = 7;
	v[5].binding.version = 99;
	assert_int_equal(ks_keeper_open(w->keeper, &w->org, v, KS_KEEPER_BATCH_MAX), KS_OK);
	for (size_t i = 0; i < KS_KEEPER_BATCH_MAX; i++) {
		assert_int_equal(v[i].err, i == 3 ? KS_TOO_LARGE : i == 5 ? KS_CORRUPT : KS_OK);
		assert_int_equal(v[i].ret_n, v[i].err == KS_OK ? 8 : 0);
	}
	assert_int_equal(ks_keeper_open(w->keeper, &w->org, v, 0), KS_TOO_LARGE);
	assert_int_equal(ks_keeper_open(w->keeper, &w->org, v, KS_KEEPER_BATCH_MAX + 1), KS_TOO_LARGE);
}

static void the_largest_value_goes(void **state)
{
	struct world *w = *state;
	char *plain = calloc(1, KS_KEEPER_VALUE_MAX + 1);
	uint8_t *sealed = malloc(KS_KEEPER_VALUE_MAX + KS_KEEPER_OVERHEAD), *opened = malloc(KS_KEEPER_VALUE_MAX);
	struct ks_keeper_value v = {.binding = binding, .in = ks_str_of(plain, KS_KEEPER_VALUE_MAX), .ret_out = sealed,
				    .cap = KS_KEEPER_VALUE_MAX + KS_KEEPER_OVERHEAD};

	assert_true(plain && sealed && opened);
	memset(plain, 'x', KS_KEEPER_VALUE_MAX);
	assert_int_equal(ks_keeper_seal(w->keeper, &w->org, &v, 1), KS_OK);
	v = (struct ks_keeper_value){.binding = binding, .in = ks_str_of((const char *)sealed, v.ret_n), .ret_out = opened,
				     .cap = KS_KEEPER_VALUE_MAX};
	assert_int_equal(ks_keeper_open(w->keeper, &w->org, &v, 1), KS_OK);
	assert_int_equal(v.err, KS_OK);
	assert_memory_equal(opened, plain, KS_KEEPER_VALUE_MAX);
	v.in = ks_str_of(plain, KS_KEEPER_VALUE_MAX + 1);
	assert_int_equal(ks_keeper_seal(w->keeper, &w->org, &v, 1), KS_TOO_LARGE);
	free(plain);
	free(sealed);
	free(opened);
}

static void what_was_sealed_opens_after_a_restart(void **state)
{
	struct world *w = *state;
	struct sealed s;

	assert_int_equal(seal(w, &w->org, "kept", &s), KS_OK);
	ks_keeper_stop(&w->keeper);
	assert_int_equal(begin(w, false), KS_OK);
	assert_int_equal(open_as(w, &w->org, &binding, &s, "kept"), KS_OK);
}

static void a_forgotten_key_opens_nothing(void **state)
{
	struct world *w = *state;
	uint8_t next_wrapped[KS_KEEPER_WRAPPED_MAX];
	struct ks_keeper_org next = make_org(w, 5, 2, next_wrapped);
	struct sealed s;

	assert_int_equal(seal(w, &w->org, "gone", &s), KS_OK);
	assert_int_equal(ks_keeper_org_forget(w->keeper, 5, 1), KS_OK);
	assert_int_equal(open_as(w, &w->org, &binding, &s, ""), KS_NOT_FOUND);
	assert_int_equal(seal(w, &w->org, "more", &s), KS_NOT_FOUND);
	assert_int_equal(seal(w, &next, "next", &s), KS_OK);
	assert_int_equal(open_as(w, &next, &binding, &s, "next"), KS_OK);
}

static void more_keys_than_are_kept_go_round(void **state)
{
	static uint8_t wrapped[1500][128];
	struct world *w = *state;
	struct sealed s[2];

	for (uint32_t i = 0; i < KS_ARRAY_LEN(wrapped); i++) {
		size_t n;

		assert_int_equal(ks_keeper_org_create(w->keeper, 100 + i, 1, wrapped[i], sizeof(wrapped[i]), &n), KS_OK);
		for (size_t k = 0; k < 2; k++) {
			const struct ks_keeper_org org = {100 + i, 1, ks_str_of((const char *)wrapped[i], n)};

			assert_int_equal(seal(w, &org, "value", &s[k]), KS_OK);
			assert_int_equal(open_as(w, &org, &binding, &s[k], "value"), KS_OK);
		}
	}
}

static void another_key_file_takes_over(void **state)
{
	struct world *w = *state;
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
	struct ks_keeper_org org = w->org;
	struct sealed s;
	bool changed;
	size_t n;

	assert_int_equal(seal(w, &w->org, "kept", &s), KS_OK);
	assert_int_equal(ks_keeper_org_rewrap(w->keeper, &w->org, &changed, wrapped, sizeof(wrapped), &n), KS_OK);
	assert_false(changed);
	assert_int_equal(ks_keeper_restart(w->keeper, false, true, &w->problem), KS_OK);
	assert_int_equal(open_as(w, &w->org, &binding, &s, "kept"), KS_OK);
	assert_int_equal(ks_keeper_org_rewrap(w->keeper, &w->org, &changed, wrapped, sizeof(wrapped), &n), KS_OK);
	assert_true(changed);
	org.wrapped = ks_str_of((const char *)wrapped, n);
	assert_int_equal(open_as(w, &org, &binding, &s, "kept"), KS_OK);
	/* Ended in the middle of it: both are accepted still. */
	ks_keeper_stop(&w->keeper);
	assert_int_equal(begin(w, false), KS_OK);
	assert_int_equal(open_as(w, &w->org, &binding, &s, "kept"), KS_OK);
	assert_int_equal(open_as(w, &org, &binding, &s, "kept"), KS_OK);
	assert_int_equal(ks_keeper_rotated(w->keeper), KS_OK);
	assert_int_equal(ks_keeper_restart(w->keeper, false, false, &w->problem), KS_OK);
	assert_int_equal(open_as(w, &org, &binding, &s, "kept"), KS_OK);
	assert_int_equal(open_as(w, &w->org, &binding, &s, ""), KS_CORRUPT);
}

static void system_secrets_are_bound(void **state)
{
	struct world *w = *state;
	const struct ks_keeper_org old = {0, 1, KS_STR("")};
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX], sealed[64], plain[64];
	struct ks_keeper_org org = make_org(w, 0, 1, wrapped);
	size_t n, m;

	for (int i = 0; i < 2; i++) {
		const struct ks_keeper_org *of = i ? &org : &old;
		struct ks_str text = {(const char *)sealed, 0};

		assert_int_equal(ks_keeper_system_seal(w->keeper, of, KS_STR("a:1"), KS_STR("secret"), sealed, sizeof(sealed), &n), KS_OK);
		text.n = n;
		assert_int_equal(ks_keeper_system_open(w->keeper, of, KS_STR("a:1"), text, plain, sizeof(plain), &m), KS_OK);
		assert_true(ks_str_eq(ks_str_of((const char *)plain, m), KS_STR("secret")));
		/* What is under the file's own key opens with the newer key at hand too; not the other way round. */
		assert_int_equal(ks_keeper_system_open(w->keeper, i ? &old : &org, KS_STR("a:1"), text, plain, sizeof(plain), &m),
				 i ? KS_CORRUPT : KS_OK);
		assert_int_equal(ks_keeper_system_open(w->keeper, of, KS_STR("a:2"), text, plain, sizeof(plain), &m), KS_CORRUPT);
		assert_int_equal(ks_keeper_system_open(w->keeper, of, KS_STR("a:1"), text, plain, 5, &m), KS_TOO_LARGE);
	}
}

static void a_challenge_is_answered_for_a_sealed_password(void **state)
{
	struct world *w = *state;
	struct ks_keeper_sip sip = {
		.challenge = KS_STR("Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", qop=\"auth\""),
		.method = KS_STR("GET"), .uri = KS_STR("/dir/index.html"), .user = KS_STR("Mufasa"),
		.client_nonce = KS_STR("0a4f113b"), .count = 1,
	};
	struct ks_keeper_binding other = binding;
	char value[1024], again[1024];
	struct ks_str sealed;
	struct sealed s;
	size_t n, m;

	assert_int_equal(seal(w, &w->org, "Circle Of Life", &s), KS_OK);
	sealed = ks_str_of((const char *)s.bytes, s.n);
	assert_int_equal(ks_keeper_sip_digest(w->keeper, &w->org, &binding, sealed, &sip, value, sizeof(value) - 1, &n), KS_OK);
	value[n] = '\0';
	assert_non_null(strstr(value, "response=\"6629fae49393a05397450978507c4ef1\""));
	assert_int_equal(ks_keeper_sip_digest(w->keeper, &w->org, &binding, sealed, &sip, value, n - 1, &m), KS_TOO_LARGE);
	sip.client_nonce = KS_STR("");
	assert_int_equal(ks_keeper_sip_digest(w->keeper, &w->org, &binding, sealed, &sip, value, sizeof(value), &n), KS_OK);
	assert_int_equal(ks_keeper_sip_digest(w->keeper, &w->org, &binding, sealed, &sip, again, sizeof(again), &m), KS_OK);
	assert_int_equal(n, m);
	assert_memory_not_equal(value, again, n);
	other.version++;
	assert_int_equal(ks_keeper_sip_digest(w->keeper, &w->org, &other, sealed, &sip, value, sizeof(value), &n), KS_CORRUPT);
	sip.challenge = KS_STR("Digest nonce");
	assert_int_equal(ks_keeper_sip_digest(w->keeper, &w->org, &binding, sealed, &sip, value, sizeof(value), &n), KS_MALFORMED);
	sip.challenge = KS_STR("Digest realm=\"a\", nonce=\"b\", algorithm=X");
	assert_int_equal(ks_keeper_sip_digest(w->keeper, &w->org, &binding, sealed, &sip, value, sizeof(value), &n), KS_VERSION);
}

static void nothing_is_made_where_something_was_sealed(void **state)
{
	struct world *w = *state;
	char path[128];

	ks_keeper_stop(&w->keeper);
	(void)snprintf(path, sizeof(path), "%s/master.key", w->data);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(begin(w, false), KS_NOT_FOUND);
	assert_non_null(strstr(w->problem.text, "master.key is missing"));
	assert_int_equal(access(path, F_OK), -1);
}

static void write_passphrase(struct world *w, const char *text, mode_t mode)
{
	char path[128];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/passphrase", w->data);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
}

static enum ks_err begin_with_passphrase(struct world *w, bool may_create)
{
	char path[128];
	struct ks_keeper_options o = {
		.directory = w->data, .root = KS_KEEPER_ROOT_PASSPHRASE, .passphrase_file = path, .may_create = may_create};

	(void)snprintf(path, sizeof(path), "%s/passphrase", w->data);
	return ks_keeper_start(&o, &w->keeper, &w->problem);
}

static void a_passphrase_is_a_root(void **state)
{
	struct world *w = *state;
	uint8_t wrapped[KS_KEEPER_WRAPPED_MAX];
	struct ks_keeper_stats stats;
	struct ks_keeper_org org;
	struct sealed s;
	bool changed;
	size_t n;

	assert_int_equal(seal(w, &w->org, "kept", &s), KS_OK);
	ks_keeper_stop(&w->keeper);
	write_passphrase(w, "correct horse battery staple\n", 0600);
	/* New to the store, beside the key file. */
	assert_int_equal(begin_with_passphrase(w, false), KS_OK);
	ks_keeper_stats(w->keeper, &stats);
	assert_non_null(strstr(stats.root, "passphrase "));
	/* From the key file to the passphrase. */
	assert_int_equal(ks_keeper_org_rewrap(w->keeper, &w->org, &changed, wrapped, sizeof(wrapped), &n), KS_OK);
	assert_true(changed);
	org = (struct ks_keeper_org){5, 1, ks_str_of((const char *)wrapped, n)};
	assert_int_equal(open_as(w, &org, &binding, &s, "kept"), KS_OK);
	ks_keeper_stop(&w->keeper);
	write_passphrase(w, "correct horse battery stapler", 0600);
	assert_int_equal(begin_with_passphrase(w, false), KS_OK);
	assert_int_equal(open_as(w, &org, &binding, &s, ""), KS_CORRUPT);
	ks_keeper_stop(&w->keeper);
	write_passphrase(w, "correct horse battery staple", 0644);
	assert_int_equal(begin_with_passphrase(w, false), KS_FORBIDDEN);
	write_passphrase(w, "too short", 0600);
	assert_int_equal(begin_with_passphrase(w, false), KS_MALFORMED);
	assert_null(strstr(w->problem.text, "too short"));
	write_passphrase(w, "correct horse battery staple\nand more\n", 0600);
	assert_int_equal(begin_with_passphrase(w, false), KS_MALFORMED);
	write_passphrase(w, "correct horse battery staple", 0600);
	assert_int_equal(begin_with_passphrase(w, false), KS_OK);
	assert_int_equal(open_as(w, &org, &binding, &s, "kept"), KS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_value_opens_as_what_it_is_alone),
		TEST(every_altered_byte_is_found),
		TEST(two_seals_of_one_value_differ),
		TEST(many_values_go_in_one_message),
		TEST(the_largest_value_goes),
		TEST(what_was_sealed_opens_after_a_restart),
		TEST(a_forgotten_key_opens_nothing),
		TEST(more_keys_than_are_kept_go_round),
		TEST(another_key_file_takes_over),
		TEST(system_secrets_are_bound),
		TEST(a_challenge_is_answered_for_a_sealed_password),
		TEST(nothing_is_made_where_something_was_sealed),
		TEST(a_passphrase_is_a_root),
	};

	return cmocka_run_group_tests_name("keeper", tests, NULL, NULL);
}
