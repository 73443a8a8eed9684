/* SPDX-License-Identifier: Apache-2.0 */
/* kill -9 at random instants. A writer process applies an endless, reproducible stream of changes and is killed;
 * the next one finds a ring that verifies, in which everything acknowledged stands, and brings it to the stream's
 * state by replaying from the position that the ring states. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <signal.h>
#include <time.h>

#include "../seed.h"
#include "fixture.h"

#define KILLS 120
#define OPS_MAX 4000
#define BATCH 16

static uint64_t seed;

struct shared {
	_Atomic uint64_t applied;   /* changes below this were put, and the calls had returned */
	_Atomic uint64_t grown;
	_Atomic uint64_t counted;
};

static uint64_t random_of(uint64_t i, uint64_t what)
{
	return split_mix(seed ^ split_mix(i * 16 + what));
}

/* ---- the stream ---- */

enum op { OP_KEY, OP_REVOKE, OP_ROTATE, OP_TENANT, OP_SUSPEND, OP_USER, OP_GRANT, OP_POLICY };

static const uint64_t fixed[] = {OPERATOR, PARTNER, ORG_A, SUB_A1, PROJECT_A1, ORG_B};
static const uint64_t fixed_parents[] = {0, OPERATOR, PARTNER, ORG_A, SUB_A1, OPERATOR};
static const enum ks_tenant_kind fixed_kinds[] = {KS_TENANT_KIND_OPERATOR,     KS_TENANT_KIND_PARTNER,
						  KS_TENANT_KIND_ORGANIZATION, KS_TENANT_KIND_SUB_ENTITY,
						  KS_TENANT_KIND_PROJECT,      KS_TENANT_KIND_ORGANIZATION};
static const uint64_t grants[] = {GRANT_PLAIN, GRANT_LIMITED, GRANT_ADDRESSES};

static enum op op_of(uint64_t i)
{
	static const uint8_t shares[] = {60, 75, 80, 87, 93, 96, 98, 100};
	uint64_t random = random_of(i, 0) % 100;
	unsigned op = 0;

	while (random >= shares[op])
		op++;
	return (enum op)op;
}

/* A key that was put before change `i`; UINT64_MAX if there is none. */
static uint64_t earlier_key(uint64_t i)
{
	uint64_t n = i ? random_of(i, 1) % i : 0;

	while (n > 0 && op_of(n) != OP_KEY)
		n--;
	return op_of(n) == OP_KEY && n < i ? n : UINT64_MAX;
}

static struct ks_ring_key_record stream_key(uint64_t n)
{
	struct ks_ring_key_record record = key_record(n, fixed[random_of(n, 2) % KS_ARRAY_LEN(fixed)]);

	record.grant = grants[random_of(n, 3) % KS_ARRAY_LEN(grants)];
	return record;
}

static enum ks_err put_fixed(struct ks_ring *ring, unsigned which, bool suspended)
{
	return put_tenant(ring, fixed[which], fixed_parents[which], fixed_kinds[which], suspended);
}

static enum ks_err put_stream_user(struct ks_ring *ring, uint64_t i)
{
	struct ks_ring_membership_record list[KS_ARRAY_LEN(fixed)];
	size_t n = 0;

	for (size_t k = 0; k < KS_ARRAY_LEN(fixed); k++) {
		if (random_of(i, 4) >> k & 1)
			list[n++] = (struct ks_ring_membership_record){.tenant = fixed[k], .role = (uint16_t)(i % 4)};
	}
	return ks_ring_put_user(ring, 20000 + random_of(i, 5) % 8, random_of(i, 6) & 1, list, n);
}

static enum ks_err put_stream_policy(struct ks_ring *ring, uint64_t i)
{
	char name[16];
	struct ks_policy_table *table;
	enum ks_err err;

	(void)snprintf(name, sizeof(name), "p%u", (unsigned)(i % 1000));
	table = policy_named(ring, name);
	err = ks_ring_put_policy(ring, KS_RING_POLICY_PLATFORM, table);
	free(table);
	return err;
}

/* Applies change `i`. */
static enum ks_err apply(struct ks_ring *ring, uint64_t i)
{
	uint64_t n = earlier_key(i);
	struct ks_ring_key_record record;
	uint32_t index;

	switch (op_of(i)) {
	case OP_KEY:
		record = stream_key(i);
		return ks_ring_put_key(ring, &record);
	case OP_REVOKE:
	case OP_ROTATE:
		if (n == UINT64_MAX)
			return KS_OK;
		record = stream_key(n);
		record.revoked = op_of(i) == OP_REVOKE;
		record.rotated_out = !record.revoked;
		record.ends_ms = record.revoked ? INT64_MAX : 5000;
		return ks_ring_put_key(ring, &record);
	case OP_TENANT:
		return put_tenant(ring, 10000 + i, fixed[2 + random_of(i, 7) % 3], KS_TENANT_KIND_PROJECT, false);
	case OP_SUSPEND:
		return put_fixed(ring, 1 + (unsigned)(random_of(i, 8) % 5), random_of(i, 9) & 1);
	case OP_USER:
		return put_stream_user(ring, i);
	case OP_GRANT:
		return ks_ring_put_grant(ring, &(struct ks_ring_grant_record){.id = 30000 + i}, &index);
	case OP_POLICY:
		return put_stream_policy(ring, i);
	}
	return KS_MALFORMED;
}

/* Change `i`, in a larger ring if need be. */
static void apply_or_grow(struct ks_ringmap_writer *writer, struct shared *shared, uint64_t i)
{
	while (apply(ks_ringmap_writer_ring(writer), i) == KS_FULL) {
		struct ks_ring_geometry next = ks_ring_plan_growth(ks_ringmap_writer_ring(writer), 0, 1 << 16, 0);

		assert_int_equal(ks_ringmap_writer_grow(writer, &next, 0), KS_OK);
		atomic_fetch_add(&shared->grown, 1);
	}
}

/* ---- what must stand ---- */

static uint64_t last_of(uint64_t until, enum op op, uint64_t what, uint64_t modulus, uint64_t value)
{
	for (uint64_t i = until; i-- > 0;) {
		if (op_of(i) == op && (modulus == 0 || random_of(i, what) % modulus == value))
			return i;
	}
	return UINT64_MAX;
}

static void assert_keys(const struct ks_ring *ring, uint64_t until)
{
	static uint32_t want[OPS_MAX + BATCH];
	uint64_t keys = 0, revoked = 0, slot = 0;

	memset(want, 0, sizeof(want));
	for (uint64_t i = 0; i < until; i++) {
		uint64_t n = earlier_key(i);

		if (op_of(i) == OP_KEY)
			want[i] |= KS_KEY_LIVE;
		else if (op_of(i) == OP_REVOKE && n != UINT64_MAX)
			want[n] |= KS_KEY_REVOKED;
		else if (op_of(i) == OP_ROTATE && n != UINT64_MAX)
			want[n] |= KS_KEY_ROTATED_OUT;
	}
	for (uint64_t i = 0; i < until; i++) {
		struct ks_ring_key_record record = stream_key(i);
		const struct ks_ring_key *key = find_key(ring, i, &slot);

		assert_int_equal(key != NULL, want[i] != 0);
		if (!key)
			continue;
		assert_int_equal(atomic_load(&key->state) & KS_KEY_STATE_BITS, want[i]);
		assert_true(atomic_load(&key->ends_ms) == (want[i] & KS_KEY_ROTATED_OUT ? 5000 : INT64_MAX));
		assert_int_equal(key->id, record.id);
		assert_int_equal(ring->tenants[key->tenant].id, record.tenant);
		assert_int_equal(ring->grants[key->grant].id, record.grant);
		if (record.grant == GRANT_LIMITED && !(want[i] & KS_KEY_REVOKED))
			assert_non_null(ks_usage_limiter(ring->usage, record.id));
		keys++;
		revoked += (want[i] & KS_KEY_REVOKED) != 0;
	}
	assert_int_equal(atomic_load(&ring->header->key_count), keys);
	assert_int_equal(atomic_load(&ring->header->revoked_count), revoked);
}

static void assert_tenants(const struct ks_ring *ring, uint64_t until)
{
	uint32_t want[KS_ARRAY_LEN(fixed)] = {0};

	for (unsigned k = 1; k < KS_ARRAY_LEN(fixed); k++) {
		uint64_t last = last_of(until, OP_SUSPEND, 8, 5, k - 1);
		unsigned parent = 0;

		while (fixed[parent] != fixed_parents[k])
			parent++;
		want[k] = last != UINT64_MAX && (random_of(last, 9) & 1) ? KS_TENANT_SUSPENDED : 0;
		want[k] |= want[parent] ? KS_TENANT_UNDER_SUSPENDED : 0;
		assert_int_equal(flags_of_tenant(ring, fixed[k]), want[k]);
	}
	for (uint64_t i = 0; i < until; i++) {
		if (op_of(i) == OP_TENANT)
			assert_int_equal(flags_of_tenant(ring, 10000 + i),
					 want[2 + random_of(i, 7) % 3] ? KS_TENANT_UNDER_SUSPENDED : 0);
		if (op_of(i) == OP_GRANT)
			assert_int_not_equal(ks_ring_grant(ring, 30000 + i), KS_RING_NONE);
	}
}

static void assert_users_and_policy(const struct ks_ring *ring, uint64_t until)
{
	uint64_t policy = last_of(until, OP_POLICY, 0, 0, 0);
	char name[16];

	for (uint64_t u = 0; u < 8; u++) {
		uint64_t last = last_of(until, OP_USER, 5, 8, u);
		uint32_t index = ks_ring_user(ring, 20000 + u);
		const struct ks_ring_memberships *list;

		assert_int_equal(index == KS_RING_NONE, last == UINT64_MAX);
		if (index == KS_RING_NONE)
			continue;
		assert_int_equal(atomic_load(&ring->users[index].flags), random_of(last, 6) & 1);
		list = ks_ring_memberships_of(ring, index);
		assert_int_equal(list ? list->count : 0, __builtin_popcountll(random_of(last, 4) & 63));
		if (list)
			assert_int_equal(list->items[0].role, (uint16_t)(last % 4));
	}
	if (policy == UINT64_MAX)
		return;
	(void)snprintf(name, sizeof(name), "p%u", (unsigned)(policy % 1000));
	const struct ks_policy_table *table = ks_ring_policy_table(ring, KS_RING_POLICY_PLATFORM);
	assert_true(ks_str_eq(ks_rule_family(table, ks_policy_rule(table, 0)), ks_str_c(name)));
}

/* ---- the writer that is killed ---- */

static struct ks_ringmap_writer *open_stream(const char *dir, struct shared *shared, bool *ret_fresh)
{
	struct ks_ringmap_options options = options_of(dir);
	struct ks_ring_geometry geometry = {64, 8, 4, 8, 64, 8192};
	struct ks_ringmap_writer *writer;

	/* The lock of one that was killed is free as soon as it has been waited for. */
	assert_int_equal(ks_ringmap_writer_open(&options, &geometry, false, &writer, ret_fresh), KS_OK);
	if (*ret_fresh) {
		struct ks_ring *ring = ks_ringmap_writer_ring(writer);

		atomic_store(&shared->applied, 0);
		for (unsigned k = 0; k < KS_ARRAY_LEN(fixed); k++)
			assert_int_equal(put_fixed(ring, k, false), KS_OK);
		put_grants(ring);
		assert_int_equal(ks_ringmap_writer_publish(writer), KS_OK);
	}
	return writer;
}

static void write_for_ever(const char *dir, struct shared *shared)
{
	bool fresh;
	struct ks_ringmap_writer *writer = open_stream(dir, shared, &fresh);
	uint64_t i = atomic_load(&ks_ringmap_writer_ring(writer)->header->position);

	for (; i < OPS_MAX; i++) {
		apply_or_grow(writer, shared, i);
		if (atomic_load(&shared->applied) < i + 1)
			atomic_store(&shared->applied, i + 1);
		if ((i + 1) % BATCH == 0)
			ks_ring_set_position(ks_ringmap_writer_ring(writer), i + 1);
	}
	ks_ringmap_writer_close(&writer);
}

/* Right after the kill: what was acknowledged is there, before anything is replayed. */
static void assert_acknowledged(const struct ks_ring *ring, uint64_t applied)
{
	for (uint64_t i = 0; i < applied; i++) {
		uint64_t n = earlier_key(i);

		if (op_of(i) == OP_KEY)
			assert_true(state_of(ring, i) & KS_KEY_LIVE);
		if (op_of(i) == OP_REVOKE && n != UINT64_MAX)
			assert_true(state_of(ring, n) & KS_KEY_REVOKED);
	}
}

/* Finishes what was begun; returns up to where. */
static uint64_t recover(const char *dir, struct shared *shared, unsigned *ret_fresh)
{
	uint64_t applied = atomic_load(&shared->applied), until;
	bool fresh;
	struct ks_ringmap_writer *writer = open_stream(dir, shared, &fresh);
	struct ks_ring *ring = ks_ringmap_writer_ring(writer);

	/* Only before its first publish may a writer leave nothing behind. */
	if (fresh)
		assert_int_equal(applied, 0);
	*ret_fresh += fresh;
	assert_int_equal(ks_ring_verify(ring), KS_OK);
	assert_acknowledged(ring, applied);
	assert_true(atomic_load(&ring->header->position) <= applied);
	/* The change that was being put when the kill came is put too. */
	until = KS_MIN(applied + 1, (uint64_t)OPS_MAX);
	for (uint64_t i = atomic_load(&ring->header->position); i < until; i++)
		apply_or_grow(writer, shared, i);
	ring = ks_ringmap_writer_ring(writer);
	ks_ring_set_position(ring, until);
	atomic_store(&shared->applied, until);
	assert_int_equal(ks_ring_verify(ring), KS_OK);
	assert_keys(ring, until);
	assert_tenants(ring, until);
	assert_users_and_policy(ring, until);
	ks_ringmap_writer_close(&writer);
	return until;
}

/* Kills `pid` a random while after the stream has reached `target`. */
static void kill_at(pid_t pid, struct shared *shared, uint64_t target, uint64_t spin)
{
	int status;

	while (atomic_load(&shared->applied) < target && waitpid(pid, &status, WNOHANG) == 0)
		(void)sched_yield();
	for (volatile uint64_t n = 0; n < spin; n++)
		continue;
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, &status, 0);
}

static void a_writer_is_killed_at_random_instants(void **state)
{
	struct shared *shared = world_map(sizeof(*shared));
	char top[PATH_SIZE], dir[PATH_SIZE];
	unsigned fresh = 0, rounds = 0;

	(void)state;
	place_make(memory_base(), top, dir);
	for (unsigned kills = 0; kills < KILLS; kills++) {
		uint64_t random = random_of(1000000 + kills, 0);
		uint64_t target = atomic_load(&shared->applied) + random % 150;
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid == 0) {
			write_for_ever(dir, shared);
			_exit(0);
		}
		kill_at(pid, shared, target, (random >> 32) % 20000);
		if (recover(dir, shared, &fresh) < OPS_MAX)
			continue;
		/* The stream is through: another one, from an empty directory. */
		place_remove(dir);
		atomic_store(&shared->applied, 0);
		seed = split_mix(seed);
		rounds++;
	}
	print_message("          %u kills, %u fresh starts, %u streams, %llu growths\n", KILLS, fresh, rounds + 1,
		      (unsigned long long)atomic_load(&shared->grown));
	assert_true(atomic_load(&shared->grown) > 0);
	place_remove(top);
	munmap(shared, sizeof(*shared));
}

/* ---- readers that are killed ---- */

static void read_for_ever(const char *dir, struct shared *shared, uint64_t n)
{
	struct ks_ringmap_reader *reader = reader_open(dir);
	const struct ks_addr address = {{1}};

	for (;; n++) {
		const struct ks_ring *ring = ks_ringmap_reader_ring(reader);
		uint64_t slot = 0;

		if (!ring || !find_key(ring, split_mix(n) % 64, &slot))
			_exit(1);
		atomic_fetch_add(&shared->counted, 1);
		ks_usage_count(ring->usage, slot, KS_REASON_OK, (uint16_t)(n % 5), 1000, &address);
	}
}

static uint64_t drain_count(const struct ks_ring *ring)
{
	struct ks_usage_item items[32];
	uint64_t cursor = 0, sum = 0;

	do {
		size_t n = ks_usage_drain(ring->usage, &cursor, items, KS_ARRAY_LEN(items));

		for (size_t i = 0; i < n; i++)
			sum += items[i].count;
	} while (cursor != 0);
	return sum;
}

/* What they leave: at most one count each that was begun and not made, and nothing that hinders anyone. */
static void readers_are_killed_at_random_instants(void **state)
{
	struct shared *shared = world_map(sizeof(*shared));
	struct ks_ringmap_writer *writer;
	struct ks_ring_geometry next = small_geometry();
	char top[PATH_SIZE], dir[PATH_SIZE];
	uint64_t drained = 0, lost = 0;

	(void)state;
	place_make(memory_base(), top, dir);
	writer = writer_open(dir, true, 64);
	for (unsigned kills = 0; kills < KILLS; kills++) {
		uint64_t before = atomic_load(&shared->counted), random = random_of(2000000 + kills, 0);
		pid_t pid = fork();
		int status;

		assert_true(pid >= 0);
		if (pid == 0)
			read_for_ever(dir, shared, random);
		while (atomic_load(&shared->counted) < before + random % 500)
			assert_true(waitpid(pid, &status, WNOHANG) == 0 && sched_yield() == 0);
		for (volatile uint64_t n = 0; n < (random >> 32) % 20000; n++)
			continue;
		if (kills % 16 == 7) {
			next.key_slots += 100;
			lost += ks_usage_lost(ks_ringmap_writer_ring(writer)->usage);
			assert_int_equal(ks_ringmap_writer_grow(writer, &next, 0), KS_OK);
		}
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSIGNALED(status));
		if (ks_ringmap_writer_previous(writer))
			drained += drain_count(ks_ringmap_writer_previous(writer));
		drained += drain_count(ks_ringmap_writer_ring(writer));
	}
	/* A mark that a killed reader had no time to set. */
	ks_usage_mark_all(ks_ringmap_writer_ring(writer)->usage);
	drained += drain_count(ks_ringmap_writer_ring(writer));
	lost += ks_usage_lost(ks_ringmap_writer_ring(writer)->usage);
	assert_in_range(drained + lost, atomic_load(&shared->counted) - KILLS, atomic_load(&shared->counted));
	assert_int_equal(ks_ring_verify(ks_ringmap_writer_ring(writer)), KS_OK);
	ks_ringmap_writer_close(&writer);
	place_remove(top);
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_writer_is_killed_at_random_instants),
		cmocka_unit_test(readers_are_killed_at_random_instants),
	};

	seed = split_mix(test_seed());
	return cmocka_run_group_tests(tests, NULL, NULL);
}
