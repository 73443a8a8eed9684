/* SPDX-License-Identifier: Apache-2.0 */
#include "ring/ring_priv.h"

/* Room that wants_growth keeps free in the parts that are not keys. */
#define RESERVE_RECORDS 64u
#define RESERVE_ARENA (64u << 10)

static uint64_t round_up(uint64_t n, uint64_t to)
{
	return (n + to - 1) / to * to;
}

/* Entries of a map of `n` records: a power of two, at most half full. */
static uint32_t map_entries(uint32_t n)
{
	uint32_t entries = 16;

	while (entries < 2 * (uint64_t)n)
		entries *= 2;
	return entries;
}

static bool within(uint64_t n, uint64_t min, uint64_t max)
{
	return n >= min && n <= max;
}

static bool geometry_ok(const struct ks_ring_geometry *g)
{
	return within(g->key_slots, KS_RING_KEY_SLOTS_MIN, KS_RING_KEY_SLOTS_MAX)
	       && within(g->tenants, 1, KS_RING_RECORDS_MAX) && within(g->users, 1, KS_RING_RECORDS_MAX)
	       && within(g->grants, 1, KS_RING_RECORDS_MAX)
	       && within(g->limiters, KS_RING_LIMITERS_MIN, KS_RING_LIMITERS_MAX)
	       && within(g->arena_bytes, KS_RING_ARENA_MIN, KS_RING_ARENA_MAX) && g->arena_bytes % 64 == 0;
}

/* Takes `n` things of `size` bytes at the next boundary. */
static uint64_t place(uint64_t *at, uint64_t n, uint64_t size, uint64_t boundary)
{
	uint64_t here = round_up(*at, boundary);

	*at = here + n * size;
	return here;
}

bool ks_ring_layout_of(const struct ks_ring_geometry *g, struct ks_ring_layout *ret_layout)
{
	struct ks_ring_layout l;
	uint64_t at = KS_RING_PAGE;

	if (!geometry_ok(g))
		return false;
	l.tenant_map_mask = map_entries(g->tenants) - 1;
	l.user_map_mask = map_entries(g->users) - 1;
	l.grant_map_mask = map_entries(g->grants) - 1;
	l.scopes_at = place(&at, 1, sizeof(struct ks_scope_table), 64);
	l.roles_at = place(&at, 1, sizeof(struct ks_scope_table), 64);
	l.arena_at = place(&at, 1, g->arena_bytes, 64);
	l.tenants_at = place(&at, g->tenants, sizeof(struct ks_ring_tenant), 128);
	l.tenant_map_at = place(&at, (uint64_t)l.tenant_map_mask + 1, sizeof(uint32_t), 64);
	l.users_at = place(&at, g->users, sizeof(struct ks_ring_user), 64);
	l.user_map_at = place(&at, (uint64_t)l.user_map_mask + 1, sizeof(uint32_t), 64);
	l.grants_at = place(&at, g->grants, sizeof(struct ks_ring_grant), 128);
	l.grant_map_at = place(&at, (uint64_t)l.grant_map_mask + 1, sizeof(uint32_t), 64);
	l.keys_at = place(&at, g->key_slots, sizeof(struct ks_ring_key), KS_RING_PAGE);
	l.total = round_up(at, KS_RING_PAGE);
	*ret_layout = l;
	return true;
}

uint64_t ks_ring_size(const struct ks_ring_geometry *geometry)
{
	struct ks_ring_layout layout;

	return ks_ring_layout_of(geometry, &layout) ? layout.total : 0;
}

/* ---- planning ---- */

static uint32_t records_for(uint32_t n, uint32_t spare)
{
	uint64_t room = (uint64_t)n + n / 4 + spare;

	return (uint32_t)KS_MIN(room, (uint64_t)KS_RING_RECORDS_MAX);
}

static uint64_t slots_for(uint64_t keys)
{
	keys = KS_MIN(KS_MAX(keys, UINT64_C(8192)), KS_RING_KEY_SLOTS_MAX / 2);
	/* 11 keys on 16 slots: with 32 bytes of counters a slot that is 140 bytes a key. */
	return KS_MIN((keys * 16 + 10) / 11, KS_RING_KEY_SLOTS_MAX);
}

static uint64_t arena_for(uint64_t bytes)
{
	bytes = KS_MIN(bytes, KS_RING_ARENA_MAX / 2);
	return round_up(bytes + bytes / 2 + (1u << 20), 64);
}

struct ks_ring_geometry ks_ring_plan(uint64_t keys, uint32_t tenants, uint32_t users, uint32_t grants,
				     uint32_t limiters, uint64_t arena_bytes)
{
	uint64_t cells = (uint64_t)limiters * 5 / 2 + 2048;

	return (struct ks_ring_geometry){
		.key_slots = slots_for(keys),
		.tenants = records_for(tenants, 1024),
		.users = records_for(users, 1024),
		.grants = records_for(grants, 1024),
		.limiters = (uint32_t)KS_MIN(cells, (uint64_t)KS_RING_LIMITERS_MAX),
		.arena_bytes = arena_for(arena_bytes),
	};
}

/* How much of each part is used, and the parts that have refused something. */
struct fill {
	uint64_t keys, arena;
	uint32_t tenants, users, grants, limiters;
	uint32_t full;
};

static struct fill fill_of(const struct ks_ring *ring)
{
	const struct ks_ring_header *h = ring->header;

	return (struct fill){
		.keys = atomic_load_explicit(&h->key_count, memory_order_relaxed),
		.arena = atomic_load_explicit(&h->arena_used, memory_order_relaxed),
		.tenants = atomic_load_explicit(&h->tenant_count, memory_order_relaxed),
		.users = atomic_load_explicit(&h->user_count, memory_order_relaxed),
		.grants = atomic_load_explicit(&h->grant_count, memory_order_relaxed),
		.limiters = atomic_load_explicit(&h->limiter_count, memory_order_relaxed),
		.full = atomic_load_explicit(&h->full, memory_order_relaxed),
	};
}

static bool is_full(const struct fill *fill, enum ks_ring_part part)
{
	return (fill->full >> part & 1) != 0;
}

/* A part with few places keeps an eighth of them. */
static bool records_short(uint32_t used, uint32_t places)
{
	return places - KS_MIN(used, places) < KS_MIN(RESERVE_RECORDS, places / 8 + 1);
}

static bool keys_short(const struct fill *fill, const struct ks_ring_geometry *g, uint64_t keys)
{
	uint64_t most = KS_RING_KEYS_MAX(g->key_slots);

	return is_full(fill, KS_RING_PART_KEYS) || fill->keys > most || most - fill->keys < keys;
}

static bool limiters_short(const struct fill *fill, const struct ks_ring_geometry *g)
{
	return is_full(fill, KS_RING_PART_LIMITERS) || records_short(fill->limiters, g->limiters / 2);
}

static bool arena_short(const struct fill *fill, const struct ks_ring_geometry *g, uint64_t bytes)
{
	uint64_t left = g->arena_bytes - KS_MIN(fill->arena, g->arena_bytes);

	return is_full(fill, KS_RING_PART_ARENA) || left < bytes || left < KS_MIN(RESERVE_ARENA, g->arena_bytes / 8);
}

bool ks_ring_wants_growth(const struct ks_ring *ring, uint64_t keys)
{
	const struct ks_ring_geometry *g = &ring->header->geometry;
	struct fill fill = fill_of(ring);

	return fill.full != 0 || keys_short(&fill, g, keys) || limiters_short(&fill, g) || arena_short(&fill, g, 0)
	       || records_short(fill.tenants, g->tenants) || records_short(fill.users, g->users)
	       || records_short(fill.grants, g->grants);
}

/* How many slots a copy will leave out. A table of keys alone is not read for it. */
static uint64_t slots_over(const struct ks_ring *ring, int64_t now_ms)
{
	uint64_t over = 0;

	if (atomic_load_explicit(&ring->header->session_count, memory_order_relaxed) == 0)
		return 0;
	for (uint64_t i = 0; i < ring->header->geometry.key_slots; i++) {
		uint32_t state = atomic_load_explicit(&ring->keys[i].state, memory_order_relaxed);

		over += (state & KS_KEY_LIVE) && ks_ring_is_over(&ring->keys[i], state, now_ms);
	}
	return over;
}

struct ks_ring_geometry ks_ring_plan_growth(const struct ks_ring *ring, uint64_t keys, uint64_t arena_bytes,
					    int64_t now_ms)
{
	struct ks_ring_geometry g = ring->header->geometry;
	struct fill fill = fill_of(ring);
	uint64_t over = keys_short(&fill, &g, keys) ? slots_over(ring, now_ms) : 0, more;
	struct ks_ring_geometry larger;

	/* Less than a fourth of the table would be filled again before the copying has paid. */
	if (over > 0 && over >= fill.keys / 4) {
		fill.keys -= KS_MIN(over, fill.keys);
		fill.full &= ~(1u << KS_RING_PART_KEYS);
	}
	more = KS_MIN(KS_MAX(fill.keys / 2, keys), KS_RING_KEY_SLOTS_MAX);
	larger = ks_ring_plan(fill.keys + more, fill.tenants + fill.tenants / 2, fill.users + fill.users / 2,
			     fill.grants + fill.grants / 2, fill.limiters + fill.limiters / 2,
			     fill.arena + KS_MAX(fill.arena / 2, arena_bytes));

	/* A part that refused records before it was counted full (long probes) must grow even so. */
	if (keys_short(&fill, &g, keys))
		g.key_slots = KS_MIN(KS_MAX(larger.key_slots, g.key_slots + g.key_slots / 2), KS_RING_KEY_SLOTS_MAX);
	if (records_short(fill.tenants, g.tenants))
		g.tenants = KS_MAX(larger.tenants, g.tenants);
	if (records_short(fill.users, g.users))
		g.users = KS_MAX(larger.users, g.users);
	if (records_short(fill.grants, g.grants))
		g.grants = KS_MAX(larger.grants, g.grants);
	if (limiters_short(&fill, &g))
		g.limiters = (uint32_t)KS_MIN(KS_MAX(larger.limiters, (uint64_t)g.limiters * 3 / 2),
					      (uint64_t)KS_RING_LIMITERS_MAX);
	if (arena_short(&fill, &g, arena_bytes))
		g.arena_bytes = KS_MAX(larger.arena_bytes, g.arena_bytes);
	return g;
}

/* ---- making and attaching ---- */

uint32_t ks_ring_header_crc(const struct ks_ring_header *header)
{
	return ks_crc32(0, header, offsetof(struct ks_ring_header, header_crc));
}

static void *at(void *memory, uint64_t offset)
{
	return (unsigned char *)memory + offset;
}

static struct ks_ring pointers(void *memory, const struct ks_ring_layout *l)
{
	return (struct ks_ring){
		.header = memory,
		.scopes = at(memory, l->scopes_at),
		.roles = at(memory, l->roles_at),
		.arena = at(memory, l->arena_at),
		.tenants = at(memory, l->tenants_at),
		.tenant_map = at(memory, l->tenant_map_at),
		.users = at(memory, l->users_at),
		.user_map = at(memory, l->user_map_at),
		.grants = at(memory, l->grants_at),
		.grant_map = at(memory, l->grant_map_at),
		.keys = at(memory, l->keys_at),
	};
}

static bool copy_domain(struct ks_str domain, char *ret_domain)
{
	if (domain.n > KS_RING_DOMAIN_MAX)
		return false;
	for (size_t i = 0; i < domain.n; i++) {
		char c = domain.p[i];

		if (c >= 'A' && c <= 'Z')
			c = (char)(c - 'A' + 'a');
		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.'))
			return false;
		ret_domain[i] = c;
	}
	return true;
}

enum ks_err ks_ring_format(void *memory, uint64_t size, const struct ks_ring_geometry *geometry,
			   const struct ks_ring_stamp *stamp, struct ks_ring *ret_ring)
{
	char domain[KS_RING_DOMAIN_MAX + 1] = {0};
	struct ks_ring_header *h = memory;
	struct ks_ring_layout l;

	_Static_assert(sizeof(struct ks_ring_header) <= KS_RING_PAGE, "the header fits its page");
	if (!ks_ring_layout_of(geometry, &l) || size < l.total)
		return KS_TOO_LARGE;
	if (!copy_domain(stamp->domain, domain))
		return KS_MALFORMED;
	h->magic = KS_RING_MAGIC;
	h->version = KS_RING_VERSION;
	h->header_size = sizeof(*h);
	h->total_size = l.total;
	h->generation = stamp->generation;
	memcpy(h->boot_id, stamp->boot_id, sizeof(h->boot_id));
	memcpy(h->store_id, stamp->store_id, sizeof(h->store_id));
	memcpy(h->slot_seed, stamp->slot_seed, sizeof(h->slot_seed));
	h->geometry = *geometry;
	h->scopes_at = l.scopes_at;
	h->roles_at = l.roles_at;
	h->arena_at = l.arena_at;
	h->tenants_at = l.tenants_at;
	h->tenant_map_at = l.tenant_map_at;
	h->users_at = l.users_at;
	h->user_map_at = l.user_map_at;
	h->grants_at = l.grants_at;
	h->grant_map_at = l.grant_map_at;
	h->keys_at = l.keys_at;
	h->tenant_map_mask = l.tenant_map_mask;
	h->user_map_mask = l.user_map_mask;
	h->grant_map_mask = l.grant_map_mask;
	memcpy(h->domain, domain, sizeof(h->domain));
	h->header_crc = ks_ring_header_crc(h);
	atomic_store_explicit(&h->arena_used, KS_RING_ARENA_START, memory_order_relaxed);
	atomic_store_explicit(&h->lease_until_ms, INT64_MAX, memory_order_release);
	*ret_ring = pointers(memory, &l);
	ks_ring_name_built_in_roles(ret_ring);
	return KS_OK;
}

/* The offsets follow from the geometry; a file that says otherwise was not made by ks_ring_format. */
static bool offsets_ok(const struct ks_ring_header *h, const struct ks_ring_layout *l)
{
	return h->scopes_at == l->scopes_at && h->roles_at == l->roles_at && h->arena_at == l->arena_at && h->tenants_at == l->tenants_at
	       && h->tenant_map_at == l->tenant_map_at && h->users_at == l->users_at && h->user_map_at == l->user_map_at
	       && h->grants_at == l->grants_at && h->grant_map_at == l->grant_map_at && h->keys_at == l->keys_at
	       && h->tenant_map_mask == l->tenant_map_mask && h->user_map_mask == l->user_map_mask
	       && h->grant_map_mask == l->grant_map_mask;
}

enum ks_err ks_ring_attach(void *memory, uint64_t size, struct ks_ring *ret_ring)
{
	const struct ks_ring_header *h = memory;
	struct ks_ring_layout l;

	if (size < KS_RING_PAGE || h->magic != KS_RING_MAGIC)
		return KS_CORRUPT;
	if (h->version != KS_RING_VERSION)
		return KS_VERSION;
	if (h->header_size != sizeof(*h) || h->header_crc != ks_ring_header_crc(h)
	    || !ks_ring_layout_of(&h->geometry, &l) || h->total_size != l.total || size < l.total
	    || !offsets_ok(h, &l) || h->domain[KS_RING_DOMAIN_MAX] != '\0')
		return KS_CORRUPT;
	*ret_ring = pointers(memory, &l);
	return KS_OK;
}
