/* SPDX-License-Identifier: Apache-2.0 */
/* Immediate means immediate: processes that spin on keys while the writer revokes, suspends and grows accept
 * nothing in a decision that began after the call had returned. No clock, no sleep: the writer stamps each key in
 * shared memory when the call has returned, and a reader looks at the stamp before it begins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>

#include "fixture.h"

#define KEYS 10000
#define READERS 3
#define GROWTHS 6

struct shared {
	_Atomic uint8_t ended[KEYS];     /* revoking or suspending it has returned */
	_Atomic uint64_t next;           /* what the writer is at: readers look around there */
	_Atomic uint32_t ready;
	_Atomic bool stop;
	_Atomic uint64_t lookups[READERS], accepted[READERS], refused_after[READERS], wrong[READERS], none[READERS];
};

static bool accepts(const struct ks_ring *ring, uint64_t n)
{
	uint64_t slot = 0;
	const struct ks_ring_key *key = find_key(ring, n, &slot);

	return key && !(atomic_load_explicit(&key->state, memory_order_acquire) & KS_KEY_REVOKED)
	       && !(atomic_load_explicit(&ring->tenants[key->tenant].flags, memory_order_acquire) & KS_TENANT_INACTIVE);
}

static void spin(const char *dir, struct shared *shared, unsigned me)
{
	struct ks_ringmap_reader *reader = reader_open(dir);
	uint64_t random = me;

	atomic_fetch_add(&shared->ready, 1);
	while (!atomic_load(&shared->stop)) {
		uint64_t next = atomic_load(&shared->next), n = next;

		/* Half of the time exactly where the writer is. */
		random = split_mix(random);
		if (random & 1)
			n = (next + KEYS - 8 + (random >> 8) % 16) % KEYS;
		bool ended = atomic_load(&shared->ended[n]) != 0;
		const struct ks_ring *ring = ks_ringmap_reader_ring(reader);
		bool accepted = ring && accepts(ring, n);

		atomic_fetch_add_explicit(&shared->lookups[me], 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&shared->accepted[me], accepted, memory_order_relaxed);
		atomic_fetch_add_explicit(&shared->refused_after[me], ended && !accepted, memory_order_relaxed);
		atomic_fetch_add_explicit(&shared->wrong[me], ended && accepted, memory_order_relaxed);
		atomic_fetch_add_explicit(&shared->none[me], ring == NULL, memory_order_relaxed);
	}
	ks_ringmap_reader_close(&reader);
}

/* Every reader has looked once more, whoever has the processors. */
static void wait_for_readers(struct shared *shared)
{
	for (unsigned i = 0; i < READERS; i++) {
		uint64_t before = atomic_load(&shared->lookups[i]);

		while (atomic_load(&shared->lookups[i]) == before)
			(void)sched_yield();
	}
}

static void run(void (*end)(struct ks_ring *ring, uint64_t n), uint64_t (*tenant_of)(uint64_t n))
{
	struct shared *shared = world_map(sizeof(*shared));
	struct ks_ring_geometry geometry = ks_ring_plan(KEYS, KEYS + 10, 10, 10, 0, 0);
	struct ks_ringmap_options options;
	struct ks_ringmap_writer *writer;
	char top[PATH_SIZE], dir[PATH_SIZE];
	pid_t pids[READERS];
	bool fresh;

	place_make(memory_base(), top, dir);
	options = options_of(dir);
	assert_int_equal(ks_ringmap_writer_open(&options, &geometry, false, &writer, &fresh), KS_OK);
	world_fill(ks_ringmap_writer_ring(writer), 0);
	for (uint64_t n = 0; n < KEYS; n++) {
		struct ks_ring_key_record record;

		if (tenant_of(n) >= 100000)
			assert_int_equal(put_tenant(ks_ringmap_writer_ring(writer), tenant_of(n), SUB_A1,
						    KS_TENANT_KIND_PROJECT, false),
					 KS_OK);
		record = key_record(n, tenant_of(n));
		assert_int_equal(ks_ring_put_key(ks_ringmap_writer_ring(writer), &record), KS_OK);
	}
	assert_int_equal(ks_ringmap_writer_publish(writer), KS_OK);
	for (unsigned i = 0; i < READERS; i++) {
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (pids[i] == 0) {
			spin(dir, shared, i);
			_exit(0);
		}
	}
	while (atomic_load(&shared->ready) < READERS)
		(void)sched_yield();
	for (uint64_t n = 0; n < KEYS; n++) {
		atomic_store(&shared->next, n);
		end(ks_ringmap_writer_ring(writer), n);
		atomic_store(&shared->ended[n], 1);
		if (n % 512 == 0)
			wait_for_readers(shared);
		if (n % (KEYS / GROWTHS) == 100) {
			geometry.key_slots += 1000;
			assert_int_equal(ks_ringmap_writer_grow(writer, &geometry, 0), KS_OK);
		}
	}
	/* Each reader has at least one look at what is over. */
	for (unsigned i = 0; i < READERS; i++) {
		while (atomic_load(&shared->refused_after[i]) == 0)
			(void)sched_yield();
	}
	atomic_store(&shared->stop, true);
	for (unsigned i = 0; i < READERS; i++) {
		int status;

		assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
		assert_int_equal(status, 0);
		assert_int_equal(atomic_load(&shared->wrong[i]), 0);
		assert_int_equal(atomic_load(&shared->none[i]), 0);
	}
	ks_ringmap_writer_close(&writer);
	place_remove(top);
	munmap(shared, sizeof(*shared));
}

static void end_key(struct ks_ring *ring, uint64_t n)
{
	assert_int_equal(put_key(ring, n, true), KS_OK);
}

static uint64_t of_one_tenant(uint64_t n)
{
	(void)n;
	return ORG_A;
}

static void no_accept_begins_after_revocation_returned(void **state)
{
	(void)state;
	run(end_key, of_one_tenant);
}

/* Every key of a project of its own, and the projects end one by one. */
static uint64_t of_its_own_tenant(uint64_t n)
{
	return 100000 + n;
}

static void end_tenant(struct ks_ring *ring, uint64_t n)
{
	assert_int_equal(put_tenant(ring, of_its_own_tenant(n), SUB_A1, KS_TENANT_KIND_PROJECT, true), KS_OK);
}

static void no_accept_begins_after_suspension_returned(void **state)
{
	(void)state;
	run(end_tenant, of_its_own_tenant);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_accept_begins_after_revocation_returned),
		cmocka_unit_test(no_accept_begins_after_suspension_returned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
