/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time.h"
#include "ring/ring_priv.h"
#include "ring/usage_priv.h"

/* One round walks the cells and then the details, a block under one mark at a time. The cursor counts both on. */

struct round {
	struct ks_usage *usage;
	void (*take)(void *ctx, const struct ks_usage_item *item);
	void *ctx;
	size_t n, cap;
};

/* The time and address of the last allowed use; they stay where they are. */
static void read_last(const struct ks_usage_cell *cell, struct ks_usage_item *item)
{
	uint64_t last = atomic_load_explicit(&cell->last, memory_order_acquire);
	uint64_t words[2] = {
		atomic_load_explicit(&cell->address[0], memory_order_relaxed),
		atomic_load_explicit(&cell->address[1], memory_order_relaxed),
	};

	if (last == 0)
		return;
	item->last_ms = (int64_t)(last >> KS_USAGE_CHECK_BITS);
	if ((last & ((1u << KS_USAGE_CHECK_BITS) - 1)) == ks_usage_address_check(words))
		memcpy(item->address.bytes, words, sizeof(words));
}

/* Readers can write anything into this file: what makes no sense counts as lost. */
static void take(struct round *r, uint64_t slot, uint64_t pair, uint64_t count)
{
	struct ks_usage_item item = {.slot = slot, .count = count, .scope = (uint16_t)pair, .last_ms = KS_TIME_NONE};

	if (count == 0)
		return;
	if (slot >= r->usage->slots || pair >> 16 >= KS_REASON_COUNT) {
		atomic_fetch_add_explicit(&r->usage->header->lost, count, memory_order_relaxed);
		return;
	}
	item.reason = (enum ks_reason)(pair >> 16);
	if (item.reason == KS_REASON_OK)
		read_last(&r->usage->cells[slot], &item);
	r->n++;
	r->take(r->ctx, &item);
}

static void drain_cell(struct round *r, uint64_t slot)
{
	_Atomic uint64_t *word = &r->usage->cells[slot].word;
	uint64_t was;

	/* seq_cst: see set_mark in usage.c. */
	if (atomic_load_explicit(word, memory_order_seq_cst) == 0)
		return;
	was = atomic_exchange_explicit(word, 0, memory_order_seq_cst);
	take(r, slot, was & KS_USAGE_PAIR_MASK, was >> KS_USAGE_PAIR_BITS);
}

/* The order is that of add_to_detail in usage.c. A detail that a killed drainer left behind with the mark still
 * has its key. */
static void drain_detail(struct round *r, uint64_t i)
{
	struct ks_usage_detail *detail = &r->usage->details[i];
	uint64_t key = atomic_load_explicit(&detail->key, memory_order_seq_cst) & ~KS_USAGE_FREEING;
	uint64_t word = atomic_load_explicit(&detail->word, memory_order_seq_cst);

	if (key == 0)
		return;
	atomic_store_explicit(&detail->key, key | KS_USAGE_FREEING, memory_order_seq_cst);
	while (!atomic_compare_exchange_weak_explicit(&detail->word, &word,
						      ((word >> KS_USAGE_COUNT_BITS) + 1) << KS_USAGE_COUNT_BITS,
						      memory_order_seq_cst, memory_order_relaxed))
		continue;
	take(r, (key >> KS_USAGE_PAIR_BITS) - 1, key & KS_USAGE_PAIR_MASK, word & KS_USAGE_COUNT_MAX);
	atomic_store_explicit(&detail->key, 0, memory_order_release);
}

/* Drains [at, end) of one kind. Returns where it stopped: `end`, or sooner because the items are full. */
static uint64_t drain_part(struct round *r, uint64_t at, uint64_t end, _Atomic uint8_t *marks,
			   void (*drain)(struct round *r, uint64_t i))
{
	while (at < end) {
		_Atomic uint8_t *mark = &marks[at / KS_USAGE_MARK_CELLS];
		uint64_t stop = KS_MIN(end, at / KS_USAGE_MARK_CELLS * KS_USAGE_MARK_CELLS + KS_USAGE_MARK_CELLS);

		if (at % KS_USAGE_MARK_CELLS == 0) {
			/* Off before looking: what is counted from now on puts it on again. */
			if (atomic_load_explicit(mark, memory_order_seq_cst) == 0
			    || atomic_exchange_explicit(mark, 0, memory_order_seq_cst) == 0) {
				at = stop;
				continue;
			}
		}
		while (at < stop && r->n < r->cap)
			drain(r, at++);
		if (at < stop) {
			/* On again, and left on when the rest is drained: the next round looks at the whole block. */
			atomic_store_explicit(mark, 1, memory_order_seq_cst);
			return at;
		}
	}
	return end;
}

static void put_item(void *ctx, const struct ks_usage_item *item)
{
	struct ks_usage_item **next = ctx;

	*(*next)++ = *item;
}

size_t ks_usage_drain(struct ks_usage *usage, uint64_t *cursor, struct ks_usage_item *ret_items, size_t cap)
{
	return ks_usage_drain_to(usage, cursor, put_item, &ret_items, cap);
}

size_t ks_usage_drain_to(struct ks_usage *usage, uint64_t *cursor, void (*taker)(void *ctx, const struct ks_usage_item *item),
			 void *ctx, size_t cap)
{
	struct round r = {.usage = usage, .take = taker, .ctx = ctx, .cap = cap};
	uint64_t details = usage->buckets * KS_USAGE_BUCKET, at = *cursor;

	if (at < usage->slots)
		at = drain_part(&r, at, usage->slots, usage->cell_marks, drain_cell);
	if (at >= usage->slots)
		at = usage->slots
		     + drain_part(&r, KS_MIN(at - usage->slots, details), details, usage->detail_marks, drain_detail);
	*cursor = at >= usage->slots + details ? 0 : at;
	return r.n;
}

static void set_all(_Atomic uint8_t *marks, uint64_t n)
{
	for (uint64_t i = 0; i < n; i++)
		atomic_store_explicit(&marks[i], 1, memory_order_relaxed);
}

void ks_usage_mark_all(struct ks_usage *usage)
{
	set_all(usage->cell_marks, usage->slots / KS_USAGE_MARK_CELLS + 1);
	set_all(usage->detail_marks, usage->buckets * KS_USAGE_BUCKET / KS_USAGE_MARK_CELLS + 1);
}
