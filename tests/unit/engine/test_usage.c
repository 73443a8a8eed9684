/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "support.h"

#define KEYS 5

struct fixture {
	struct world w;
	struct ks_key_made keys[KEYS];
	uint64_t counted[KEYS][KS_REASON_COUNT]; /* what was decided */
	uint64_t uses[KEYS];
};

static int set_up(void **state)
{
	static struct fixture f;

	memset(&f, 0, sizeof(f));
	world_new(&f.w);
	for (size_t i = 0; i < KEYS; i++)
		f.keys[i] = make_key(&f.w, 0, "contacts:read");
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	world_free(&f->w);
	return 0;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* `n` decisions on one key through one reader, three of four allowed. */
static void use(struct fixture *f, size_t key, unsigned n)
{
	static struct ks_path scratch;
	struct ks_credential credential;
	struct ks_engine_reader reader;
	char header[100];

	assert_int_equal(ks_engine_reader_open(f->w.engine, &reader), KS_OK);
	(void)snprintf(header, sizeof(header), "Bearer %s", f->keys[key].token);
	for (unsigned i = 0; i < n; i++) {
		struct ks_request request = {
			.credential = &credential,
			.method = i % 4 == 3 ? KS_STR("DELETE") : KS_STR("GET"),
			.path = KS_STR("/v1/contacts"),
			.address_known = true,
			.now_ms = now_ms(),
		};
		struct ks_decision decision;

		assert_true(ks_addr_parse(KS_STR("198.51.100.7"), &request.address));
		ks_credential_init(&credential);
		ks_credential_authorization(&credential, ks_str_c(header));
		ks_decide(ks_ringmap_reader_ring(reader.ring), KS_RING_POLICY_PLATFORM, &request, &scratch, &decision);
		f->counted[key][decision.reason]++;
		f->uses[key] += decision.reason == KS_REASON_OK;
	}
	ks_engine_reader_close(&reader);
}

struct sums {
	uint64_t by_reason[KS_REASON_COUNT];
	uint64_t with_scope;
};

static enum ks_err take_sum(void *ctx, const struct ks_usage_row *row)
{
	struct sums *sums = ctx;

	sums->by_reason[row->reason] += row->count;
	if (ks_str_eq(row->scope, KS_STR("contacts:read")))
		sums->with_scope += row->count;
	return KS_OK;
}

/* The truth says exactly what was decided. */
static void assert_exact(struct fixture *f)
{
	struct ks_engine_reader reader;

	assert_int_equal(ks_engine_reader_open(f->w.engine, &reader), KS_OK);
	for (size_t i = 0; i < KEYS; i++) {
		struct sums sums = {{0}, 0};
		struct key_seen seen;

		assert_true(see_key(&f->w, f->keys[i].id, &seen));
		assert_int_equal(seen.row.uses, f->uses[i]);
		if (f->uses[i] > 0) {
			assert_string_equal(seen.address, "198.51.100.7");
			assert_true(seen.row.last_used_at != KS_TIME_NONE);
		}
		assert_int_equal(
			ks_store_usage(reader.store, f->keys[i].id, 0, now_ms() + 60000, 60000, take_sum, &sums),
			KS_OK);
		for (size_t r = 0; r < KS_REASON_COUNT; r++)
			assert_int_equal(sums.by_reason[r], f->counted[i][r]);
		assert_int_equal(sums.with_scope, f->uses[i]);
	}
	ks_engine_reader_close(&reader);
}

static void totals_are_exact_after_a_flush(void **state)
{
	struct fixture *f = *state;
	struct ks_engine_stats stats;

	assert_int_equal(ks_engine_flush_usage(f->w.engine), KS_OK);
	assert_exact(f);
	for (size_t i = 0; i < KEYS - 1; i++)
		use(f, i, 100 * (unsigned)(i + 1) + 1);
	assert_int_equal(ks_engine_flush_usage(f->w.engine), KS_OK);
	assert_exact(f);
	use(f, 0, 7);
	assert_int_equal(ks_engine_flush_usage(f->w.engine), KS_OK);
	assert_exact(f);
	ks_engine_stats(f->w.engine, &stats);
	assert_int_equal(stats.usage_flushed, 101 + 201 + 301 + 401 + 7);
	assert_int_equal(stats.usage_lost, 0);
}

static void closing_flushes(void **state)
{
	struct fixture *f = *state;

	use(f, 1, 50);
	use(f, 2, 3);
	world_close(&f->w);
	assert_int_equal(world_open(&f->w), KS_OK);
	assert_exact(f);
	use(f, 1, 5);
	world_close(&f->w);
	f->w.options.rebuild_ring = true;
	assert_int_equal(world_open(&f->w), KS_OK);
	assert_exact(f);
}

static void counts_survive_a_rebuild(void **state)
{
	struct fixture *f = *state;

	use(f, 0, 40);
	assert_int_equal(ks_engine_rebuild(f->w.engine), KS_OK);
	use(f, 0, 41);
	use(f, 1, 2);
	assert_int_equal(ks_engine_rebuild(f->w.engine), KS_OK);
	use(f, 1, 3);
	assert_int_equal(ks_engine_flush_usage(f->w.engine), KS_OK);
	assert_exact(f);
	assert_in_step(&f->w);
}

struct user {
	struct fixture *f;
	size_t key;
	_Atomic bool stop;
};

static void *use_on_and_on(void *arg)
{
	struct user *user = arg;

	do
		use(user->f, user->key, 64);
	while (!atomic_load(&user->stop));
	return NULL;
}

/* Drained, moved to another generation and counted on, all at once. */
static void nothing_is_counted_twice_or_never(void **state)
{
	struct fixture *f = *state;
	struct user user = {.f = f, .key = 3};
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, use_on_and_on, &user), 0);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(ks_engine_flush_usage(f->w.engine), KS_OK);
		/* Once: of two in a row the first one's last counts would be those of a reader that slept all through
		 * the second. */
		if (i == 4)
			assert_int_equal(ks_engine_rebuild(f->w.engine), KS_OK);
	}
	atomic_store(&user.stop, true);
	pthread_join(thread, NULL);
	assert_int_equal(ks_engine_flush_usage(f->w.engine), KS_OK);
	assert_exact(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(totals_are_exact_after_a_flush),
		TEST(closing_flushes),
		TEST(counts_survive_a_rebuild),
		TEST(nothing_is_counted_twice_or_never),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
