/* SPDX-License-Identifier: Apache-2.0 */
#include "base/time.h"
#include "ring/ring_priv.h"
#include "ring/usage_priv.h"

#define ATTEMPTS 4
#define TAKE_ATTEMPTS 64
#define NS_PER_S UINT64_C(1000000000)

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* ---- the file ---- */

bool ks_usage_layout_of(const struct ks_ring_geometry *geometry, struct ks_usage_layout *ret_layout)
{
	struct ks_usage_layout l = {.cells_at = KS_RING_PAGE};
	uint64_t slots = geometry->key_slots, details;

	if (ks_ring_size(geometry) == 0)
		return false;
	/* One detail for 16 slots, about 1.5 bytes a key: room for what the few keys in use between two drains do
	 * besides. */
	l.buckets = KS_MAX(slots / 16, UINT64_C(4096)) / KS_USAGE_BUCKET;
	details = l.buckets * KS_USAGE_BUCKET;
	l.cell_marks_at = l.cells_at + slots * sizeof(struct ks_usage_cell);
	l.details_at = round_up(l.cell_marks_at + slots / KS_USAGE_MARK_CELLS + 1, 128);
	l.detail_marks_at = l.details_at + details * sizeof(struct ks_usage_detail);
	l.limiters_at = round_up(l.detail_marks_at + details / KS_USAGE_MARK_CELLS + 1, 64);
	l.total = round_up(l.limiters_at + (uint64_t)geometry->limiters * sizeof(struct ks_usage_limiter),
			   KS_RING_PAGE);
	*ret_layout = l;
	return true;
}

uint64_t ks_usage_size(const struct ks_ring_geometry *geometry)
{
	struct ks_usage_layout layout;

	return ks_usage_layout_of(geometry, &layout) ? layout.total : 0;
}

enum ks_err ks_usage_format(void *memory, uint64_t size, const struct ks_ring_geometry *geometry, uint64_t generation)
{
	struct ks_usage_header *h = memory;
	struct ks_usage_layout l;

	_Static_assert(sizeof(struct ks_usage_header) <= KS_RING_PAGE, "the header fits its page");
	if (!ks_usage_layout_of(geometry, &l) || size < l.total)
		return KS_TOO_LARGE;
	h->magic = KS_USAGE_MAGIC;
	h->version = KS_USAGE_VERSION;
	h->header_size = sizeof(*h);
	h->total_size = l.total;
	h->generation = generation;
	h->slots = geometry->key_slots;
	h->limiters = geometry->limiters;
	return KS_OK;
}

enum ks_err ks_usage_attach(void *memory, uint64_t size, const struct ks_ring_header *ring, struct ks_usage *ret_usage)
{
	struct ks_usage_header *h = memory;
	unsigned char *bytes = memory;
	struct ks_usage_layout l;

	if (size < KS_RING_PAGE || h->magic != KS_USAGE_MAGIC)
		return KS_CORRUPT;
	if (h->version != KS_USAGE_VERSION)
		return KS_VERSION;
	if (!ks_usage_layout_of(&ring->geometry, &l) || size < l.total || h->header_size != sizeof(*h)
	    || h->total_size != l.total || h->generation != ring->generation || h->slots != ring->geometry.key_slots
	    || h->limiters != ring->geometry.limiters)
		return KS_CORRUPT;
	*ret_usage = (struct ks_usage){
		.header = h,
		.cells = (void *)(bytes + l.cells_at),
		.cell_marks = (void *)(bytes + l.cell_marks_at),
		.details = (void *)(bytes + l.details_at),
		.detail_marks = (void *)(bytes + l.detail_marks_at),
		.limiters = (void *)(bytes + l.limiters_at),
		.slots = ring->geometry.key_slots,
		.buckets = l.buckets,
		.limiter_cells = ring->geometry.limiters,
		.seed = {ring->slot_seed[0], ring->slot_seed[1]},
	};
	return KS_OK;
}

/* ---- counting ---- */

/* After the count, both in the one order of all seq_cst operations: either the drainer, who takes the mark off
 * before he looks, sees the count, or this load sees that the mark is off. */
static void set_mark(_Atomic uint8_t *mark)
{
	if (atomic_load_explicit(mark, memory_order_seq_cst) == 0)
		atomic_store_explicit(mark, 1, memory_order_seq_cst);
}

/* Adds to the cell unless another pair stands there. */
static bool add_to_cell(struct ks_usage *usage, uint64_t slot, uint64_t pair, uint64_t n)
{
	_Atomic uint64_t *word = &usage->cells[slot].word;
	uint64_t was = atomic_load_explicit(word, memory_order_relaxed);

	for (int i = 0; i < ATTEMPTS; i++) {
		uint64_t count = was >> KS_USAGE_PAIR_BITS;

		if ((count != 0 && (was & KS_USAGE_PAIR_MASK) != pair) || n > KS_USAGE_COUNT_MAX - count)
			return false;
		if (atomic_compare_exchange_strong_explicit(word, &was, (count + n) << KS_USAGE_PAIR_BITS | pair,
							    memory_order_seq_cst, memory_order_relaxed)) {
			set_mark(&usage->cell_marks[slot / KS_USAGE_MARK_CELLS]);
			return true;
		}
	}
	return false;
}

/* Adds to one detail if it is `key`'s, or free and then claimed.
 *
 * The drainer empties a detail in this order: its key gets the mark "freeing", its word is exchanged for one with
 * the next epoch, its key becomes 0. The word is loaded before the key is compared: if the compare succeeds the
 * word is one from before the exchange, for a later one would have brought the changed key with it (acquire); and
 * then the exchange of the word fails if the place was emptied meanwhile, because the epoch differs. So no count
 * ever goes to another key than its own. */
static bool add_to_detail(struct ks_usage_detail *detail, uint64_t key, uint64_t n)
{
	for (int i = 0; i < ATTEMPTS; i++) {
		uint64_t word = atomic_load_explicit(&detail->word, memory_order_acquire);
		uint64_t have = atomic_load_explicit(&detail->key, memory_order_acquire);

		if (have == 0) {
			/* Failing is fine: whoever was first is looked at in the next round. */
			atomic_compare_exchange_strong_explicit(&detail->key, &have, key, memory_order_seq_cst,
								memory_order_relaxed);
			continue;
		}
		if (have != key || n > KS_USAGE_COUNT_MAX - (word & KS_USAGE_COUNT_MAX))
			return false;
		if (atomic_compare_exchange_strong_explicit(&detail->word, &word, word + n, memory_order_seq_cst,
							    memory_order_relaxed))
			return true;
	}
	return false;
}

static bool add_to_details(struct ks_usage *usage, uint64_t slot, uint64_t pair, uint64_t n)
{
	uint64_t key = (slot + 1) << KS_USAGE_PAIR_BITS | pair;
	uint64_t bucket = ks_ring_place(ks_mix64(key, usage->seed), usage->buckets);

	for (unsigned turn = 0; turn < 2; turn++) {
		for (uint64_t i = bucket * KS_USAGE_BUCKET; i < (bucket + 1) * KS_USAGE_BUCKET; i++) {
			if (add_to_detail(&usage->details[i], key, n)) {
				set_mark(&usage->detail_marks[i / KS_USAGE_MARK_CELLS]);
				return true;
			}
		}
		bucket = bucket + 1 == usage->buckets ? 0 : bucket + 1;
	}
	return false;
}

static void add(struct ks_usage *usage, uint64_t slot, uint64_t pair, uint64_t n)
{
	if (KS_UNLIKELY(!add_to_cell(usage, slot, pair, n)) && !add_to_details(usage, slot, pair, n))
		atomic_fetch_add_explicit(&usage->header->lost, n, memory_order_relaxed);
}

/* Two that write at once may mix their words; the hash in `last` tells, and then the address is given up. */
static void note_last(struct ks_usage_cell *cell, int64_t now_ms, const struct ks_addr *address)
{
	uint64_t now = now_ms < 0 ? 0 : KS_MIN((uint64_t)now_ms, KS_USAGE_LAST_MAX);
	uint64_t words[2];

	if (now <= atomic_load_explicit(&cell->last, memory_order_relaxed) >> KS_USAGE_CHECK_BITS)
		return;
	memcpy(words, address->bytes, sizeof(words));
	atomic_store_explicit(&cell->address[0], words[0], memory_order_relaxed);
	atomic_store_explicit(&cell->address[1], words[1], memory_order_relaxed);
	atomic_store_explicit(&cell->last, now << KS_USAGE_CHECK_BITS | ks_usage_address_check(words),
			      memory_order_release);
}

void ks_usage_count(struct ks_usage *usage, uint64_t slot, enum ks_reason reason, uint16_t scope, int64_t now_ms,
		    const struct ks_addr *address)
{
	if (slot >= usage->slots)
		return;
	/* First: who drains the count finds its time. */
	if (reason == KS_REASON_OK)
		note_last(&usage->cells[slot], now_ms, address);
	add(usage, slot, (uint64_t)(uint8_t)reason << 16 | scope, 1);
}

void ks_usage_add(struct ks_usage *usage, uint64_t slot, const struct ks_usage_item *item)
{
	if (slot >= usage->slots || item->count == 0)
		return;
	if (item->last_ms != KS_TIME_NONE)
		note_last(&usage->cells[slot], item->last_ms, &item->address);
	add(usage, slot, (uint64_t)(uint8_t)item->reason << 16 | item->scope, item->count);
}

uint64_t ks_usage_lost(const struct ks_usage *usage)
{
	return atomic_load_explicit(&usage->header->lost, memory_order_relaxed);
}

/* ---- rate limits ---- */

static uint64_t limiter_home(const struct ks_usage *usage, uint64_t key_id)
{
	return ks_ring_place(ks_mix64(key_id, usage->seed), usage->limiter_cells);
}

struct ks_usage_limiter *ks_usage_limiter(const struct ks_usage *usage, uint64_t key_id)
{
	uint64_t at = limiter_home(usage, key_id);

	for (unsigned i = 0; i < KS_USAGE_LIMITER_PROBES; i++) {
		uint64_t have = atomic_load_explicit(&usage->limiters[at].key_id, memory_order_acquire);

		if (have == key_id)
			return &usage->limiters[at];
		if (have == 0)
			return NULL;
		if (++at == usage->limiter_cells)
			at = 0;
	}
	return NULL;
}

enum ks_err ks_usage_claim_limiter(struct ks_usage *usage, uint64_t key_id, bool *ret_new)
{
	uint64_t at = limiter_home(usage, key_id);

	for (unsigned i = 0; i < KS_USAGE_LIMITER_PROBES; i++) {
		uint64_t have = atomic_load_explicit(&usage->limiters[at].key_id, memory_order_relaxed);

		if (have == 0)
			atomic_store_explicit(&usage->limiters[at].key_id, key_id, memory_order_release);
		if (have == 0 || have == key_id) {
			*ret_new = have == 0;
			return KS_OK;
		}
		if (++at == usage->limiter_cells)
			at = 0;
	}
	return KS_FULL;
}

static void raise_to(_Atomic uint64_t *tat, uint64_t ns)
{
	uint64_t have = atomic_load_explicit(tat, memory_order_relaxed);

	while (have < ns
	       && !atomic_compare_exchange_weak_explicit(tat, &have, ns, memory_order_acq_rel, memory_order_relaxed))
		continue;
}

void ks_usage_move_limiters(const struct ks_usage *from, struct ks_usage *to)
{
	for (uint64_t i = 0; i < from->limiter_cells; i++) {
		uint64_t key_id = atomic_load_explicit(&from->limiters[i].key_id, memory_order_acquire);
		uint64_t tat = atomic_load_explicit(&from->limiters[i].tat_ns, memory_order_acquire);
		struct ks_usage_limiter *limiter;

		if (key_id == 0 || tat == 0)
			continue;
		limiter = ks_usage_limiter(to, key_id);
		if (limiter)
			raise_to(&limiter->tat_ns, tat);
	}
}

static uint32_t seconds_up(uint64_t ns)
{
	return (uint32_t)KS_MIN((ns + NS_PER_S - 1) / NS_PER_S, (uint64_t)UINT32_MAX);
}

/* What `tat` says about a key at `now`: how many requests are left, and when all are. */
static void tell_rate(struct ks_rate *rate, uint64_t tat, uint64_t now, uint64_t window, uint64_t interval)
{
	uint64_t debt = tat > now ? tat - now : 0;

	rate->remaining = debt > window ? 0 : (uint32_t)KS_MIN((window - debt) / interval, (uint64_t)UINT32_MAX);
	rate->reset_s = seconds_up(debt);
}

void ks_usage_rate(const struct ks_usage *usage, uint64_t key_id, uint32_t requests, uint32_t window_s, int64_t now_ms,
		   struct ks_rate *ret_rate)
{
	uint64_t now = now_ms < 0 ? 0 : KS_MIN((uint64_t)now_ms, KS_USAGE_RATE_MS_MAX) * 1000000;
	uint64_t window = window_s * NS_PER_S;
	struct ks_rate rate = {.limit = requests, .window_s = window_s};
	const struct ks_usage_limiter *limiter;

	*ret_rate = (struct ks_rate){0};
	if (requests == 0)
		return;
	limiter = ks_usage_limiter(usage, key_id);
	tell_rate(&rate, limiter ? atomic_load_explicit(&limiter->tat_ns, memory_order_relaxed) : 0, now, window,
		  KS_MAX(window / requests, UINT64_C(1)));
	*ret_rate = rate;
}

bool ks_usage_take(struct ks_usage *usage, uint64_t key_id, uint32_t requests, uint32_t window_s, int64_t now_ms,
		   struct ks_rate *ret_rate)
{
	/* Sums stay below 2^64: now is below 2^63 / 10^6 ms, a window below 2^32 s, and a stored time at most one
	 * window ahead of some now. */
	uint64_t now = now_ms < 0 ? 0 : KS_MIN((uint64_t)now_ms, KS_USAGE_RATE_MS_MAX) * 1000000;
	uint64_t window = window_s * NS_PER_S;
	uint64_t interval = requests == 0 ? 1 : KS_MAX(window / requests, UINT64_C(1));
	struct ks_rate rate = {.limit = requests, .window_s = window_s, .retry_after_s = 1};
	struct ks_usage_limiter *limiter;
	uint64_t tat;

	*ret_rate = (struct ks_rate){0};
	if (requests == 0)
		return true;
	limiter = ks_usage_limiter(usage, key_id);
	tat = limiter ? atomic_load_explicit(&limiter->tat_ns, memory_order_relaxed) : 0;
	for (int i = 0; limiter && i < TAKE_ATTEMPTS; i++) {
		uint64_t next = KS_MIN(KS_MAX(tat, now), UINT64_MAX - interval) + interval;

		if (next - now > window) {
			tell_rate(&rate, tat, now, window, interval);
			rate.retry_after_s = KS_MAX(seconds_up(next - now - window), 1u);
			*ret_rate = rate;
			return false;
		}
		if (atomic_compare_exchange_weak_explicit(&limiter->tat_ns, &tat, next, memory_order_acq_rel,
							  memory_order_relaxed)) {
			tell_rate(&rate, next, now, window, interval);
			rate.retry_after_s = 0;
			*ret_rate = rate;
			return true;
		}
	}
	*ret_rate = rate;
	return false;
}
