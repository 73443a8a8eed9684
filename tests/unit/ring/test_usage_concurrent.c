/* SPDX-License-Identifier: Apache-2.0 */
/* Several threads and processes count and take while one drains: nothing is counted twice, under another name, or
 * not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fixture.h"

#define COUNTERS 4
#define STEPS 60000
#define SLOTS 6
#define SCOPES 5
#define NOW INT64_C(1767225600000)

/* In memory that all processes share. */
struct shared {
	_Atomic uint64_t counted[SLOTS][SCOPES];
	_Atomic uint64_t admitted;
	_Atomic uint32_t done;
};

struct party {
	struct world world;
	struct shared *shared;
	unsigned torn;          /* addresses that were nobody's */
};

struct counter {
	struct party *party;
	uint64_t seed;
};

static struct ks_addr address_of(uint64_t n)
{
	struct ks_addr address = {{0}};

	memcpy(address.bytes, &n, sizeof(n));
	memcpy(address.bytes + 8, &n, sizeof(n));
	return address;
}

/* A few keys and pairs, so that they are fought for. */
static void count_many(struct party *party, uint64_t seed)
{
	for (uint64_t i = 0; i < STEPS; i++) {
		uint64_t random = split_mix(seed * STEPS + i);
		uint64_t slot = random % SLOTS;
		uint16_t scope = (uint16_t)(random >> 20) % SCOPES;
		struct ks_addr address = address_of(random);

		ks_usage_count(&party->world.usage, slot * 100, KS_REASON_OK, scope, NOW + (int64_t)i / 100, &address);
		atomic_fetch_add_explicit(&party->shared->counted[slot][scope], 1, memory_order_relaxed);
	}
	atomic_fetch_add(&party->shared->done, 1);
}

static void *count_thread(void *arg)
{
	const struct counter *counter = arg;

	count_many(counter->party, counter->seed);
	return NULL;
}

static struct party *open_party(void)
{
	static struct party party;

	party.torn = 0;
	world_open_small(&party.world);
	party.shared = world_map(sizeof(*party.shared));
	return &party;
}

static void close_party(struct party *party)
{
	munmap(party->shared, sizeof(*party->shared));
	world_close(&party->world);
}

static void drain_into(struct party *party, uint64_t *cursor, uint64_t sums[SLOTS][SCOPES])
{
	struct ks_usage_item items[7];
	size_t n = ks_usage_drain(&party->world.usage, cursor, items, KS_ARRAY_LEN(items));

	for (size_t i = 0; i < n; i++) {
		uint64_t first, second;

		assert_true(items[i].slot % 100 == 0 && items[i].slot / 100 < SLOTS && items[i].scope < SCOPES);
		assert_int_equal(items[i].reason, KS_REASON_OK);
		assert_true(items[i].last_ms >= NOW);
		memcpy(&first, items[i].address.bytes, 8);
		memcpy(&second, items[i].address.bytes + 8, 8);
		party->torn += first != second;
		sums[items[i].slot / 100][items[i].scope] += items[i].count;
	}
}

/* Drains until all have finished, and then two rounds more. */
static void drain_until_done(struct party *party, uint32_t counters, uint64_t sums[SLOTS][SCOPES])
{
	uint64_t cursor = 0;

	while (atomic_load(&party->shared->done) < counters)
		drain_into(party, &cursor, sums);
	for (int round = 0; round < 2; round++) {
		do {
			drain_into(party, &cursor, sums);
		} while (cursor != 0);
	}
}

static void assert_exact(struct party *party, uint64_t sums[SLOTS][SCOPES], uint64_t all)
{
	uint64_t total = 0;

	for (unsigned slot = 0; slot < SLOTS; slot++) {
		for (unsigned scope = 0; scope < SCOPES; scope++) {
			assert_true(sums[slot][scope] <= atomic_load(&party->shared->counted[slot][scope]));
			total += sums[slot][scope];
		}
	}
	assert_int_equal(total + ks_usage_lost(&party->world.usage), all);
	/* One torn address in a million passes for whole. */
	assert_in_range(party->torn, 0, 2);
	/* Losing is for emergencies. */
	assert_true(total > all / 2);
}

static void threads_count_while_one_drains(void **state)
{
	struct party *party = open_party();
	uint64_t sums[SLOTS][SCOPES] = {{0}};
	struct counter counters[COUNTERS];
	pthread_t threads[COUNTERS];

	(void)state;
	for (unsigned i = 0; i < COUNTERS; i++) {
		counters[i] = (struct counter){party, i + 1};
		assert_int_equal(pthread_create(&threads[i], NULL, count_thread, &counters[i]), 0);
	}
	drain_until_done(party, COUNTERS, sums);
	for (unsigned i = 0; i < COUNTERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_exact(party, sums, (uint64_t)COUNTERS * STEPS);
	close_party(party);
}

static void wait_for(const pid_t *pids, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	}
}

static void processes_count_while_one_drains(void **state)
{
	struct party *party = open_party();
	uint64_t sums[SLOTS][SCOPES] = {{0}};
	pid_t pids[COUNTERS];

	(void)state;
	for (unsigned i = 0; i < COUNTERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			count_many(party, 100 + i);
			_exit(0);
		}
	}
	drain_until_done(party, COUNTERS, sums);
	wait_for(pids, COUNTERS);
	assert_exact(party, sums, (uint64_t)COUNTERS * STEPS);
	close_party(party);
}

/* ---- rate limits ---- */

#define LIMIT 1000u

/* Many more than the limit, all at one instant. A request that lost too many races was refused, and another takes
 * its place. */
static void take_many(struct party *party)
{
	struct ks_rate rate;

	for (unsigned i = 0; i < LIMIT * 3; i++) {
		if (ks_usage_take(&party->world.usage, 42, LIMIT, 100, NOW, &rate))
			atomic_fetch_add(&party->shared->admitted, 1);
	}
}

static void *take_thread(void *arg)
{
	take_many(arg);
	return NULL;
}

static void open_limiter(struct party *party)
{
	bool is_new;

	assert_int_equal(ks_usage_claim_limiter(&party->world.usage, 42, &is_new), KS_OK);
}

static void threads_share_a_limit(void **state)
{
	struct party *party = open_party();
	pthread_t threads[COUNTERS];

	(void)state;
	open_limiter(party);
	for (unsigned i = 0; i < COUNTERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_thread, party), 0);
	for (unsigned i = 0; i < COUNTERS; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(atomic_load(&party->shared->admitted), LIMIT);
	close_party(party);
}

static void processes_share_a_limit(void **state)
{
	struct party *party = open_party();
	pid_t pids[COUNTERS];

	(void)state;
	open_limiter(party);
	for (unsigned i = 0; i < COUNTERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			take_many(party);
			_exit(0);
		}
	}
	wait_for(pids, COUNTERS);
	assert_int_equal(atomic_load(&party->shared->admitted), LIMIT);
	close_party(party);
}

/* ---- the ring itself: readers in threads of the writer's process, for the sanitizer ---- */

struct reading {
	struct world *world;
	_Atomic bool *stop;
	_Atomic uint64_t put;   /* keys below this are in */
	uint64_t seen;
};

static void *read_thread(void *arg)
{
	struct reading *reading = arg;
	const struct ks_ring *ring = &reading->world->ring;

	while (!atomic_load(reading->stop)) {
		uint64_t put = atomic_load(&reading->put), n = put ? split_mix(reading->seen++) % put : 0, slot = 0;
		const struct ks_ring_key *key = find_key(ring, n, &slot);
		uint32_t user = ks_ring_user(ring, USER_1);
		const struct ks_ring_memberships *list =
			user == KS_RING_NONE ? NULL : ks_ring_memberships_of(ring, user);

		if (!put)
			continue;
		assert_non_null(key);
		assert_int_equal(key->id, 1000000 + n);
		assert_int_equal(ring->tenants[key->tenant].id, ORG_A);
		(void)atomic_load(&ring->tenants[key->tenant].flags);
		for (uint32_t i = 0; list && i < list->count; i++)
			assert_true(ring->tenants[list->items[i].tenant].id > 0);
		if (list)
			assert_int_equal(list->items[0].role, list->items[list->count - 1].role);
		assert_non_null(ks_ring_policy_table(ring, KS_RING_POLICY_SELF));
		assert_true(ks_ring_policy_table(ring, KS_RING_POLICY_SELF)->rule_count == 1);
	}
	return NULL;
}

static void readers_never_see_half_a_record(void **state)
{
	static struct world w;
	static _Atomic bool stop;
	struct ks_ring_membership_record list[2] = {{.tenant = ORG_A}, {.tenant = ORG_B}};
	struct ks_policy_table *policies[2];
	struct reading readings[2];
	pthread_t threads[2];

	(void)state;
	atomic_store(&stop, false);
	world_open_small(&w);
	policies[0] = policy_named(&w.ring, "even");
	policies[1] = policy_named(&w.ring, "odd");
	world_fill(&w.ring, 0);
	assert_int_equal(ks_ring_put_user(&w.ring, USER_1, false, list, 2), KS_OK);
	for (unsigned i = 0; i < 2; i++) {
		readings[i] = (struct reading){.world = &w, .stop = &stop, .seen = i * 1000000};
		assert_int_equal(pthread_create(&threads[i], NULL, read_thread, &readings[i]), 0);
	}
	for (uint64_t n = 0; n < 800; n++) {
		list[0].role = list[1].role = (uint16_t)(n % 4);
		assert_int_equal(put_key(&w.ring, n, false), KS_OK);
		for (unsigned i = 0; i < 2; i++)
			atomic_store(&readings[i].put, n + 1);
		assert_int_equal(put_tenant(&w.ring, PARTNER, OPERATOR, KS_TENANT_KIND_PARTNER, n % 2), KS_OK);
		assert_int_equal(ks_ring_put_user(&w.ring, USER_1, n % 2, list, 2), KS_OK);
		if (n % 50 == 0)
			assert_int_equal(ks_ring_put_policy(&w.ring, KS_RING_POLICY_SELF, policies[n / 50 % 2]), KS_OK);
		assert_int_equal(put_key(&w.ring, n / 2, true), KS_OK);
	}
	atomic_store(&stop, true);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		free(policies[i]);
	}
	assert_int_equal(ks_ring_verify(&w.ring), KS_OK);
	world_close(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(processes_count_while_one_drains),
		cmocka_unit_test(threads_count_while_one_drains),
		cmocka_unit_test(processes_share_a_limit),
		cmocka_unit_test(threads_share_a_limit),
		cmocka_unit_test(readers_never_see_half_a_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
