/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/time.h"
#include "fixture.h"
#include "ring/usage_priv.h"

static const struct ks_addr address_a = {{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 203, 0, 113, 7}};
static const struct ks_addr address_b = {{0x20, 0x01, 0x0d, 0xb8, 1}};
static const struct ks_addr address_none;

#define SECOND INT64_C(1000)
#define NOW (INT64_C(1767225600) * SECOND)
#define ITEMS 4096

static int open_world(void **state)
{
	static struct world w;

	world_open_small(&w);
	*state = &w;
	return 0;
}

static int close_world(void **state)
{
	world_close(*state);
	return 0;
}

/* Everything there is, in portions of `cap`. */
static size_t drain_all(struct ks_usage *usage, size_t cap, struct ks_usage_item *ret_items)
{
	uint64_t cursor = 0;
	size_t n = 0;

	do {
		assert_true(n + cap <= ITEMS);
		n += ks_usage_drain(usage, &cursor, &ret_items[n], cap);
	} while (cursor != 0);
	return n;
}

static uint64_t sum_of(const struct ks_usage_item *items, size_t n, uint64_t slot, enum ks_reason reason,
		       uint16_t scope)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (items[i].slot == slot && items[i].reason == reason && items[i].scope == scope)
			sum += items[i].count;
	}
	return sum;
}

/* ---- the file ---- */

static void attach_refuses_what_is_not_its_file(void **state)
{
	struct world *w = *state;
	struct ks_usage_header *h = w->usage_memory;
	struct ks_usage usage = {0};
	struct ks_ring_header other = *w->ring.header;

	assert_int_equal(ks_usage_attach(h, 4095, w->ring.header, &usage), KS_CORRUPT);
	assert_int_equal(ks_usage_attach(h, w->usage_size - 1, w->ring.header, &usage), KS_CORRUPT);
	for (size_t i = 0; i < offsetof(struct ks_usage_header, lost); i++) {
		enum ks_err err;

		if (i >= sizeof(uint64_t) * 6)
			break;
		((unsigned char *)h)[i] ^= 0x40;
		err = ks_usage_attach(h, w->usage_size, w->ring.header, &usage);
		assert_int_equal(err, i >= 8 && i < 12 ? KS_VERSION : KS_CORRUPT);
		((unsigned char *)h)[i] ^= 0x40;
	}
	other.geometry.key_slots += 128;
	assert_int_equal(ks_usage_attach(h, w->usage_size, &other, &usage), KS_CORRUPT);
	other = *w->ring.header;
	other.generation++;
	assert_int_equal(ks_usage_attach(h, w->usage_size, &other, &usage), KS_CORRUPT);
	assert_null(usage.cells);
	assert_int_equal(ks_usage_attach(h, w->usage_size, w->ring.header, &usage), KS_OK);
}

static void format_refuses_too_little_room(void **state)
{
	struct world *w = *state;
	struct ks_ring_geometry bad = w->geometry;

	assert_int_equal(ks_usage_format(w->usage_memory, w->usage_size - 1, &w->geometry, 1), KS_TOO_LARGE);
	bad.key_slots = 0;
	assert_int_equal(ks_usage_format(w->usage_memory, w->usage_size, &bad, 1), KS_TOO_LARGE);
}

static void parts_do_not_overlap(void **state)
{
	struct ks_ring_geometry g = small_geometry();
	struct ks_usage_layout l;

	(void)state;
	for (uint64_t slots = 64; slots < 200000; slots = slots * 5 / 4 + 1) {
		g.key_slots = slots;
		assert_true(ks_usage_layout_of(&g, &l));
		assert_true(l.cells_at >= 4096 && l.cells_at % 32 == 0);
		assert_true(l.cell_marks_at >= l.cells_at + slots * 32);
		assert_true(l.details_at >= l.cell_marks_at + (slots + 127) / 128 && l.details_at % 128 == 0);
		assert_true(l.detail_marks_at >= l.details_at + l.buckets * 8 * 16);
		assert_true(l.limiters_at >= l.detail_marks_at + (l.buckets * 8 + 127) / 128
			    && l.limiters_at % 16 == 0);
		assert_true(l.total >= l.limiters_at + g.limiters * 16u);
	}
}

/* ---- counting ---- */

static void a_slot_that_is_none_is_not_counted(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];

	ks_usage_count(&w->usage, w->geometry.key_slots, KS_REASON_OK, 1, NOW, &address_a);
	ks_usage_count(&w->usage, UINT64_MAX, KS_REASON_OK, 1, NOW, &address_a);
	assert_int_equal(drain_all(&w->usage, 8, items), 0);
	assert_int_equal(ks_usage_lost(&w->usage), 0);
}

static void what_was_counted_comes_out_once(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];
	size_t n;

	for (int i = 0; i < 5; i++)
		ks_usage_count(&w->usage, 999, KS_REASON_OK, 7, NOW + i, &address_a);
	ks_usage_count(&w->usage, 999, KS_REASON_SCOPE_MISSING, 7, NOW + 9, &address_b);
	ks_usage_count(&w->usage, 999, KS_REASON_OK, KS_USAGE_NO_SCOPE, NOW + 5, &address_b);
	ks_usage_count(&w->usage, 0, KS_REASON_STALE, KS_USAGE_NO_SCOPE, NOW, &address_none);
	n = drain_all(&w->usage, 1, items);
	assert_int_equal(n, 4);
	assert_int_equal(sum_of(items, n, 999, KS_REASON_OK, 7), 5);
	assert_int_equal(sum_of(items, n, 999, KS_REASON_SCOPE_MISSING, 7), 1);
	assert_int_equal(sum_of(items, n, 999, KS_REASON_OK, KS_USAGE_NO_SCOPE), 1);
	assert_int_equal(sum_of(items, n, 0, KS_REASON_STALE, KS_USAGE_NO_SCOPE), 1);
	for (size_t i = 0; i < n; i++) {
		bool allowed = items[i].reason == KS_REASON_OK;

		/* The last allowed use is the key's, not the pair's. */
		assert_true(items[i].last_ms == (allowed ? NOW + 5 : KS_TIME_NONE));
		assert_true(ks_ct_equal(items[i].address.bytes, allowed ? address_b.bytes : address_none.bytes, 16));
	}
	assert_int_equal(drain_all(&w->usage, 100, items), 0);
}

static void refusals_alone_leave_no_time(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];

	ks_usage_count(&w->usage, 5, KS_REASON_CREDENTIAL_EXPIRED, 3, NOW, &address_a);
	assert_int_equal(drain_all(&w->usage, 8, items), 1);
	assert_true(items[0].last_ms == KS_TIME_NONE);
	assert_true(ks_addr_is_zero(&items[0].address));
}

static void times_do_not_go_back(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];

	ks_usage_count(&w->usage, 5, KS_REASON_OK, 3, NOW, &address_a);
	ks_usage_count(&w->usage, 5, KS_REASON_OK, 3, NOW - 500, &address_b);
	ks_usage_count(&w->usage, 6, KS_REASON_OK, 3, INT64_MAX, &address_b);
	ks_usage_count(&w->usage, 7, KS_REASON_OK, 3, -5, &address_b);
	assert_int_equal(drain_all(&w->usage, 8, items), 3);
	assert_true(items[0].last_ms == NOW);
	assert_true(ks_ct_equal(items[0].address.bytes, address_a.bytes, 16));
	assert_true(items[1].last_ms == (INT64_C(1) << 44) - 1);
	assert_int_equal(items[2].count, 1);
}

static void a_torn_address_is_given_up(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];

	ks_usage_count(&w->usage, 5, KS_REASON_OK, 3, NOW, &address_a);
	atomic_store(&w->usage.cells[5].address[1], 12345);
	assert_int_equal(drain_all(&w->usage, 8, items), 1);
	assert_true(items[0].last_ms == NOW);
	assert_true(ks_addr_is_zero(&items[0].address));
}

/* More pairs of one key than there is room for: what comes out and what is lost is what went in. */
static void pairs_without_room_are_lost_and_counted(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];
	uint64_t sum = 0;
	size_t n;

	for (uint16_t scope = 0; scope < 512; scope++) {
		for (unsigned reason = 0; reason < KS_REASON_COUNT; reason++) {
			for (uint64_t slot = 0; slot < 8; slot++)
				ks_usage_count(&w->usage, slot, (enum ks_reason)reason, scope, NOW, &address_a);
		}
	}
	assert_true(ks_usage_lost(&w->usage) > 0);
	n = 0;
	for (uint64_t cursor = 0;;) {
		size_t got = ks_usage_drain(&w->usage, &cursor, items, 64);

		for (size_t i = 0; i < got; i++) {
			assert_int_equal(items[i].count, 1);
			assert_true(items[i].slot < 8);
		}
		sum += got;
		n++;
		if (cursor == 0)
			break;
	}
	assert_true(n > 1);
	assert_int_equal(sum + ks_usage_lost(&w->usage), 512u * KS_REASON_COUNT * 8);
	/* The room is free again. */
	sum = ks_usage_lost(&w->usage);
	for (uint16_t scope = 0; scope < 8; scope++)
		ks_usage_count(&w->usage, 3, KS_REASON_OK, scope, NOW, &address_a);
	assert_int_equal(ks_usage_lost(&w->usage), sum);
	assert_int_equal(drain_all(&w->usage, 64, items), 8);
}

static void a_full_counter_does_not_wrap(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];
	struct ks_usage_item big = {
		.slot = 9, .count = KS_USAGE_COUNT_MAX, .reason = KS_REASON_OK, .scope = 1, .last_ms = NOW};
	size_t n;

	ks_usage_add(&w->usage, 3, &big);
	big.count = KS_USAGE_COUNT_MAX - 1;
	ks_usage_add(&w->usage, 3, &big);
	big.count = 5;
	ks_usage_add(&w->usage, 3, &big);
	ks_usage_add(&w->usage, w->geometry.key_slots, &big);
	big.count = 0;
	ks_usage_add(&w->usage, 4, &big);
	n = drain_all(&w->usage, 8, items);
	assert_int_equal(sum_of(items, n, 3, KS_REASON_OK, 1) + ks_usage_lost(&w->usage), 2 * KS_USAGE_COUNT_MAX + 4);
	assert_true(items[0].last_ms == NOW);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(items[i].slot, 3);
}

static void draining_in_portions_misses_nothing_counted_meanwhile(void **state)
{
	struct world *w = *state;
	struct ks_usage_item item;
	uint64_t counted = 0, drained = 0, cursor = 0;

	for (uint64_t step = 0; step < 20000; step++) {
		for (uint64_t i = 0; i < split_mix(step) % 4; i++) {
			uint64_t random = split_mix(step * 4 + i);

			ks_usage_count(&w->usage, random % 300, KS_REASON_OK, (uint16_t)(random >> 32 & 3), NOW,
				       &address_a);
			counted++;
		}
		if (ks_usage_drain(&w->usage, &cursor, &item, 1) == 1)
			drained += item.count;
	}
	for (int rounds = 0; rounds < 2; rounds++) {
		do {
			if (ks_usage_drain(&w->usage, &cursor, &item, 1) == 1)
				drained += item.count;
		} while (cursor != 0);
	}
	assert_int_equal(drained + ks_usage_lost(&w->usage), counted);
}

/* A drainer that was killed has taken marks off that it did not get to look at, and left a place half emptied. */
static void after_a_killed_drainer_everything_is_found(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];
	uint64_t sum = 0;
	size_t n;

	for (uint64_t slot = 0; slot < 500; slot++) {
		ks_usage_count(&w->usage, slot, KS_REASON_OK, 1, NOW, &address_a);
		ks_usage_count(&w->usage, slot, KS_REASON_OK, 2, NOW, &address_a);
	}
	for (uint64_t i = 0; i <= 500 / 128; i++)
		atomic_store(&w->usage.cell_marks[i], 0);
	for (uint64_t i = 0; i < w->usage.buckets * 8 / 128; i++)
		atomic_store(&w->usage.detail_marks[i], 0);
	for (uint64_t i = 0; i < w->usage.buckets * 8; i += 2) {
		if (atomic_load(&w->usage.details[i].key) != 0)
			atomic_fetch_or(&w->usage.details[i].key, KS_USAGE_FREEING);
	}
	assert_int_equal(drain_all(&w->usage, 64, items), 0);
	ks_usage_mark_all(&w->usage);
	n = drain_all(&w->usage, 64, items);
	for (size_t i = 0; i < n; i++)
		sum += items[i].count;
	assert_int_equal(sum + ks_usage_lost(&w->usage), 1000);
	assert_int_equal(ks_usage_lost(&w->usage), 0);
}

/* Every reader may write to the file: whatever it holds, draining and counting stay within it, and what comes out
 * makes sense. */
static void rubbish_in_the_file_does_no_harm(void **state)
{
	struct world *w = *state;
	static struct ks_usage_item items[ITEMS];
	unsigned char *bytes = w->usage_memory;
	struct ks_rate rate;
	uint64_t cursor = 0;

	for (uint64_t i = 4096; i < w->usage_size; i++)
		bytes[i] = (unsigned char)split_mix(i);
	do {
		size_t n = ks_usage_drain(&w->usage, &cursor, items, 100);

		for (size_t i = 0; i < n; i++)
			assert_true(items[i].slot < w->geometry.key_slots
				    && (unsigned)items[i].reason < KS_REASON_COUNT);
	} while (cursor != 0);
	for (uint64_t slot = 0; slot < 1000; slot++) {
		ks_usage_count(&w->usage, slot, KS_REASON_OK, 3, NOW, &address_a);
		if (ks_usage_take(&w->usage, slot, 5, 10, NOW, &rate))
			assert_int_equal(rate.limit, 5);
	}
	assert_int_equal(ks_usage_drain(&w->usage, &(uint64_t){UINT64_MAX}, items, 100), 0);
}

/* ---- rate limits ---- */

static void claim(struct world *w, uint64_t id)
{
	bool is_new = false;

	assert_int_equal(ks_usage_claim_limiter(&w->usage, id, &is_new), KS_OK);
	assert_true(is_new);
	assert_int_equal(ks_usage_claim_limiter(&w->usage, id, &is_new), KS_OK);
	assert_false(is_new);
}

static void a_key_without_a_cell_is_refused(void **state)
{
	struct world *w = *state;
	struct ks_rate rate;

	claim(w, 1);
	assert_false(ks_usage_take(&w->usage, 2, 5, 10, NOW, &rate));
	assert_int_equal(rate.limit, 5);
	assert_int_equal(rate.remaining, 0);
	assert_int_equal(rate.retry_after_s, 1);
	assert_true(ks_usage_take(&w->usage, 2, 0, 10, NOW, &rate));
	assert_int_equal(rate.limit, 0);
}

static void limiters_run_out(void **state)
{
	struct world *w = *state;
	bool is_new;
	uint64_t id = 1;

	while (ks_usage_claim_limiter(&w->usage, id, &is_new) == KS_OK)
		id++;
	assert_int_equal(id, w->geometry.limiters + 1);
	for (uint64_t i = 1; i < id; i++)
		assert_non_null(ks_usage_limiter(&w->usage, i));
	assert_null(ks_usage_limiter(&w->usage, id));
}

static void looking_uses_nothing_up(void **state)
{
	struct world *w = *state;
	struct ks_rate taken, seen;

	claim(w, 1);
	ks_usage_rate(&w->usage, 1, 5, 10, NOW, &seen);
	assert_int_equal(seen.remaining, 5);
	assert_int_equal(seen.reset_s, 0);
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(ks_usage_take(&w->usage, 1, 5, 10, NOW, &taken));
		for (int again = 0; again < 3; again++) {
			ks_usage_rate(&w->usage, 1, 5, 10, NOW, &seen);
			assert_int_equal(seen.limit, 5);
			assert_int_equal(seen.window_s, 10);
			assert_int_equal(seen.remaining, taken.remaining);
			assert_int_equal(seen.reset_s, taken.reset_s);
		}
	}
	ks_usage_rate(&w->usage, 1, 5, 10, NOW + 20000, &seen);
	assert_int_equal(seen.remaining, 5);
	ks_usage_rate(&w->usage, 1, 0, 10, NOW, &seen);
	assert_int_equal(seen.limit, 0);
}

/* decision.md, step 9, worked by hand: 5 in 10 s, T = 2 s. */
static void gcra_by_hand(void **state)
{
	struct world *w = *state;
	struct ks_rate rate;

	claim(w, 1);
	for (uint32_t i = 0; i < 5; i++) {
		assert_true(ks_usage_take(&w->usage, 1, 5, 10, NOW, &rate));
		assert_int_equal(rate.limit, 5);
		assert_int_equal(rate.window_s, 10);
		assert_int_equal(rate.remaining, 4 - i);
		assert_int_equal(rate.reset_s, 2 * (i + 1));
		assert_int_equal(rate.retry_after_s, 0);
	}
	assert_false(ks_usage_take(&w->usage, 1, 5, 10, NOW, &rate));
	assert_int_equal(rate.remaining, 0);
	assert_int_equal(rate.retry_after_s, 2);
	assert_int_equal(rate.reset_s, 10);
	assert_false(ks_usage_take(&w->usage, 1, 5, 10, NOW + 1999, &rate));
	assert_int_equal(rate.retry_after_s, 1);
	assert_int_equal(rate.reset_s, 9);
	assert_true(ks_usage_take(&w->usage, 1, 5, 10, NOW + 2000, &rate));
	assert_int_equal(rate.remaining, 0);
	assert_false(ks_usage_take(&w->usage, 1, 5, 10, NOW + 2000, &rate));
	assert_true(ks_usage_take(&w->usage, 1, 5, 10, NOW + 60 * SECOND, &rate));
	assert_int_equal(rate.remaining, 4);
	assert_int_equal(rate.reset_s, 2);
}

/* The page's arithmetic in wide numbers, against many limits and arrivals. */
static void gcra_against_the_page(void **state)
{
	struct world *w = *state;
	struct ks_rate rate;

	for (uint64_t id = 1; id <= 32; id++) {
		uint32_t requests = 1 + (uint32_t)(split_mix(id) % (id < 16 ? 10 : 2000000000));
		uint32_t window_s = 1 + (uint32_t)(split_mix(id + 100) % (id % 2 ? 5 : UINT32_MAX));
		__extension__ typedef unsigned __int128 wide;
		wide window = (wide)window_s * 1000000000u, interval = window / requests, tat = 0;
		int64_t now = NOW;

		interval = interval > 0 ? interval : 1;
		claim(w, id);
		for (uint64_t step = 0; step < 300; step++) {
			wide ns = (wide)now * 1000000, next = (tat > ns ? tat : ns) + interval;
			bool want = next - ns <= window;

			assert_int_equal(ks_usage_take(&w->usage, id, requests, window_s, now, &rate), want);
			if (want) {
				tat = next;
				assert_int_equal(rate.remaining, (uint32_t)((window - (next - ns)) / interval));
			} else {
				assert_int_equal(rate.retry_after_s,
						 (uint32_t)((next - ns - window + 999999999) / 1000000000));
			}
			/* Sometimes the clock goes back. */
			now += (int64_t)(split_mix(id * 1000 + step) % 800) - 20;
		}
	}
}

static void extremes_do_not_overflow(void **state)
{
	struct world *w = *state;
	struct ks_rate rate;

	claim(w, 1);
	assert_true(ks_usage_take(&w->usage, 1, 1, UINT32_MAX, INT64_MAX, &rate));
	assert_false(ks_usage_take(&w->usage, 1, 1, UINT32_MAX, INT64_MAX, &rate));
	assert_int_equal(rate.retry_after_s, UINT32_MAX);
	assert_false(ks_usage_take(&w->usage, 1, 1, UINT32_MAX, 0, &rate));
	assert_false(ks_usage_take(&w->usage, 1, 1, UINT32_MAX, -1, &rate));
	atomic_store(&ks_usage_limiter(&w->usage, 1)->tat_ns, UINT64_MAX);
	assert_false(ks_usage_take(&w->usage, 1, UINT32_MAX, 1, NOW, &rate));
	assert_false(ks_usage_take(&w->usage, 1, 1, UINT32_MAX, NOW, &rate));
}

static void moving_limiters_takes_the_later_time(void **state)
{
	struct world *w = *state;
	struct world other;
	struct ks_rate rate;

	world_open_small(&other);
	claim(w, 1);
	claim(w, 2);
	claim(w, 3);
	claim(&other, 1);
	claim(&other, 2);
	assert_true(ks_usage_take(&w->usage, 1, 1, 10, NOW, &rate));
	assert_true(ks_usage_take(&w->usage, 2, 1, 10, NOW, &rate));
	assert_true(ks_usage_take(&w->usage, 3, 1, 10, NOW, &rate));
	assert_true(ks_usage_take(&other.usage, 2, 1, 10, NOW + SECOND, &rate));
	ks_usage_move_limiters(&w->usage, &other.usage);
	assert_false(ks_usage_take(&other.usage, 1, 1, 10, NOW + 9999, &rate));
	assert_true(ks_usage_take(&other.usage, 1, 1, 10, NOW + 10000, &rate));
	assert_false(ks_usage_take(&other.usage, 2, 1, 10, NOW + 10999, &rate));
	assert_true(ks_usage_take(&other.usage, 2, 1, 10, NOW + 11000, &rate));
	assert_null(ks_usage_limiter(&other.usage, 3));
	world_close(&other);
}

#define WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(attach_refuses_what_is_not_its_file),
		WORLD(format_refuses_too_little_room),
		WORLD(parts_do_not_overlap),
		WORLD(a_slot_that_is_none_is_not_counted),
		WORLD(what_was_counted_comes_out_once),
		WORLD(refusals_alone_leave_no_time),
		WORLD(times_do_not_go_back),
		WORLD(a_torn_address_is_given_up),
		WORLD(pairs_without_room_are_lost_and_counted),
		WORLD(a_full_counter_does_not_wrap),
		WORLD(draining_in_portions_misses_nothing_counted_meanwhile),
		WORLD(after_a_killed_drainer_everything_is_found),
		WORLD(rubbish_in_the_file_does_no_harm),
		WORLD(a_key_without_a_cell_is_refused),
		WORLD(limiters_run_out),
		WORLD(looking_uses_nothing_up),
		WORLD(gcra_by_hand),
		WORLD(gcra_against_the_page),
		WORLD(extremes_do_not_overflow),
		WORLD(moving_limiters_takes_the_later_time),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
