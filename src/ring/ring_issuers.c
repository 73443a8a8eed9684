/* SPDX-License-Identifier: Apache-2.0 */
#include "base/ctenc.h"
#include "ring/issuers.h"
#include "ring/ring_priv.h"

#define UNIT 8u
#define BUCKETS_MAX (1u << 20)

/* ---- where things are ---- */

static const struct ks_ring_issuers *directory_of(const struct ks_ring *ring)
{
	uint64_t at = atomic_load_explicit(&ring->header->issuers_at, memory_order_acquire);

	return at ? (const struct ks_ring_issuers *)(const void *)(ring->arena + at) : NULL;
}

static struct ks_ring_issuer_node *node_at(const struct ks_ring *ring, uint32_t unit)
{
	return (struct ks_ring_issuer_node *)(void *)(ring->arena + (uint64_t)unit * UNIT);
}

static const struct ks_ring_issuer *issuer_at(const struct ks_ring *ring, uint32_t unit)
{
	return unit ? (const struct ks_ring_issuer *)(const void *)(ring->arena + (uint64_t)unit * UNIT) : NULL;
}

static uint64_t hash_of_id(const struct ks_ring *ring, uint64_t id)
{
	return ks_mix64(id, ring->header->slot_seed);
}

/* The second hash is keyed with the first, so that the two texts cannot run into each other. */
static uint64_t hash_of_pair(const struct ks_ring *ring, struct ks_str name, struct ks_str audience)
{
	uint64_t key[2] = {ks_siphash(ring->header->slot_seed, name.p, name.n), ring->header->slot_seed[1]};

	return ks_siphash(key, audience.p, audience.n);
}

static const struct ks_ring_text *audiences_of(const struct ks_ring_issuer *issuer)
{
	return (const struct ks_ring_text *)(const void *)(ks_ring_issuer_keys(issuer) + issuer->key_count);
}

struct ks_str ks_ring_issuer_audience(const struct ks_ring_issuer *issuer, uint32_t i)
{
	return ks_ring_issuer_text(issuer, audiences_of(issuer)[i]);
}

const struct ks_ring_issuer_key *ks_ring_issuer_key(const struct ks_ring_issuer *issuer, struct ks_str kid)
{
	const struct ks_ring_issuer_key *keys = ks_ring_issuer_keys(issuer);

	for (uint32_t i = 0; i < issuer->key_count; i++) {
		if (ks_str_eq(ks_ring_issuer_text(issuer, keys[i].kid), kid))
			return &keys[i];
	}
	return NULL;
}

static bool has_audience(const struct ks_ring_issuer *issuer, struct ks_str audience)
{
	for (uint32_t i = 0; i < issuer->audience_count; i++) {
		if (ks_str_eq(ks_ring_issuer_audience(issuer, i), audience))
			return true;
	}
	return false;
}

/* ---- reading ---- */

static uint32_t first_of(const struct ks_ring_issuers *directory, uint64_t hash)
{
	return atomic_load_explicit(&directory->buckets[hash & (directory->bucket_count - 1)], memory_order_acquire);
}

static const struct ks_ring_issuer *issuer_of(const struct ks_ring *ring, const struct ks_ring_issuer_node *node)
{
	return issuer_at(ring, atomic_load_explicit(&node->issuer, memory_order_acquire));
}

const struct ks_ring_issuer *ks_ring_issuer(const struct ks_ring *ring, struct ks_str name, struct ks_str audience)
{
	const struct ks_ring_issuers *directory = directory_of(ring);
	const struct ks_ring_issuer *best = NULL;
	uint64_t hash;

	if (!directory)
		return NULL;
	hash = hash_of_pair(ring, name, audience);
	for (uint32_t at = first_of(directory, hash); at != 0; at = node_at(ring, at)->next) {
		const struct ks_ring_issuer *issuer;

		if (node_at(ring, at)->hash != hash)
			continue;
		issuer = issuer_of(ring, node_at(ring, at));
		if (issuer && (!best || issuer->id < best->id) && ks_str_eq(ks_ring_issuer_text(issuer, issuer->name), name)
		    && has_audience(issuer, audience))
			best = issuer;
	}
	return best;
}

/* The node that leads to the issuer `id` under this hash. */
static struct ks_ring_issuer_node *node_of(const struct ks_ring *ring, uint64_t hash, uint64_t id)
{
	const struct ks_ring_issuers *directory = directory_of(ring);

	if (!directory)
		return NULL;
	for (uint32_t at = first_of(directory, hash); at != 0; at = node_at(ring, at)->next) {
		const struct ks_ring_issuer *issuer;

		if (node_at(ring, at)->hash != hash)
			continue;
		issuer = issuer_of(ring, node_at(ring, at));
		if (issuer && issuer->id == id)
			return node_at(ring, at);
	}
	return NULL;
}

const struct ks_ring_issuer *ks_ring_issuer_by_id(const struct ks_ring *ring, uint64_t id)
{
	const struct ks_ring_issuer_node *node = node_of(ring, hash_of_id(ring, id), id);

	return node ? issuer_of(ring, node) : NULL;
}

/* ---- checking ---- */

static uint32_t check_of(const struct ks_ring *ring, const struct ks_ring_issuer *issuer)
{
	struct ks_ring_issuer head = *issuer;
	uint32_t crc = (uint32_t)ring->header->slot_seed[0];

	head.check = 0;
	crc = ks_crc32(crc, &head, sizeof(head));
	return ks_crc32(crc, issuer + 1, issuer->size - sizeof(head));
}

static bool within(uint64_t arena_used, uint64_t at, uint64_t n)
{
	return at >= KS_RING_ARENA_START && at % UNIT == 0 && at <= arena_used && n <= arena_used - at;
}

static bool text_ok(const struct ks_ring_issuer *issuer, struct ks_ring_text text)
{
	return text.at >= sizeof(*issuer) && text.at <= issuer->size && text.n <= issuer->size - text.at;
}

static bool issuer_ok(const struct ks_ring *ring, uint64_t arena_used, uint32_t unit)
{
	const struct ks_ring_issuer *issuer = issuer_at(ring, unit);
	const struct ks_ring_issuer_key *keys;
	uint64_t tables;

	if (!within(arena_used, (uint64_t)unit * UNIT, sizeof(*issuer)))
		return false;
	tables = sizeof(*issuer) + (uint64_t)issuer->key_count * sizeof(*keys)
		 + (uint64_t)issuer->audience_count * sizeof(struct ks_ring_text);
	if (issuer->key_count > KS_RING_ISSUER_KEYS_MAX || issuer->audience_count > KS_RING_ISSUER_AUDIENCES_MAX
	    || issuer->size < tables || !within(arena_used, (uint64_t)unit * UNIT, issuer->size)
	    || issuer->check != check_of(ring, issuer) || !text_ok(issuer, issuer->name) || !text_ok(issuer, issuer->rules))
		return false;
	keys = ks_ring_issuer_keys(issuer);
	for (uint32_t i = 0; i < issuer->key_count; i++) {
		if (!text_ok(issuer, keys[i].kid) || !text_ok(issuer, keys[i].jwk))
			return false;
	}
	for (uint32_t i = 0; i < issuer->audience_count; i++) {
		if (!text_ok(issuer, audiences_of(issuer)[i]))
			return false;
	}
	return true;
}

/* True if the node leads to what its hash says. */
static bool node_leads(const struct ks_ring *ring, const struct ks_ring_issuer *issuer, uint64_t hash)
{
	struct ks_str name = ks_ring_issuer_text(issuer, issuer->name);

	if (hash == hash_of_id(ring, issuer->id))
		return true;
	for (uint32_t i = 0; i < issuer->audience_count; i++) {
		if (hash == hash_of_pair(ring, name, ks_ring_issuer_audience(issuer, i)))
			return true;
	}
	return false;
}

/* Every node of a chain stands before the one that led to it, so the walk ends. */
static bool chain_ok(const struct ks_ring *ring, uint64_t arena_used, uint32_t bucket, uint32_t *nodes)
{
	const struct ks_ring_issuers *directory = directory_of(ring);
	uint32_t at = atomic_load_explicit(&directory->buckets[bucket], memory_order_acquire), before = UINT32_MAX;

	for (; at != 0; at = node_at(ring, before)->next) {
		const struct ks_ring_issuer_node *node;
		uint32_t issuer;

		if (at >= before || !within(arena_used, (uint64_t)at * UNIT, sizeof(*node)))
			return false;
		node = node_at(ring, at);
		issuer = atomic_load_explicit(&node->issuer, memory_order_acquire);
		if ((node->hash & (directory->bucket_count - 1)) != bucket)
			return false;
		if (issuer != 0
		    && (!issuer_ok(ring, arena_used, issuer) || !node_leads(ring, issuer_at(ring, issuer), node->hash)))
			return false;
		(*nodes)++;
		before = at;
	}
	return true;
}

bool ks_ring_issuers_ok(const struct ks_ring *ring, uint64_t arena_used)
{
	uint64_t at = atomic_load_explicit(&ring->header->issuers_at, memory_order_acquire);
	struct ks_ring_issuers *directory;
	uint32_t nodes = 0, said;

	if (at == 0)
		return true;
	if (!within(arena_used, at, sizeof(*directory)))
		return false;
	directory = (struct ks_ring_issuers *)(void *)(ring->arena + at);
	if (directory->bucket_count == 0 || directory->bucket_count > BUCKETS_MAX
	    || (directory->bucket_count & (directory->bucket_count - 1)) != 0
	    || !within(arena_used, at, sizeof(*directory) + directory->bucket_count * sizeof(directory->buckets[0])))
		return false;
	for (uint32_t i = 0; i < directory->bucket_count; i++) {
		if (!chain_ok(ring, arena_used, i, &nodes))
			return false;
	}
	/* A killed writer leaves the count one behind. */
	said = atomic_load_explicit(&directory->node_count, memory_order_acquire);
	if (nodes != said && nodes != said + 1)
		return false;
	atomic_store_explicit(&directory->node_count, nodes, memory_order_release);
	return true;
}

/* ---- writing ---- */

static bool text_fits(struct ks_str text, size_t max)
{
	return text.n > 0 && text.n <= max;
}

static enum ks_err check_keys(const struct ks_ring_issuer_keys_record *r)
{
	for (size_t i = 0; i < r->key_count; i++) {
		if (ks_str_empty(r->keys[i].kid) || ks_str_empty(r->keys[i].jwk))
			return KS_MALFORMED;
		if (r->keys[i].kid.n > KS_RING_ISSUER_NAME_MAX || r->keys[i].jwk.n > KS_RING_ISSUER_JWK_MAX)
			return KS_TOO_LARGE;
		for (size_t k = 0; k < i; k++) {
			if (ks_str_eq(r->keys[i].kid, r->keys[k].kid))
				return KS_MALFORMED;
		}
	}
	return KS_OK;
}

static enum ks_err check_record(const struct ks_ring_issuer_keys_record *r)
{
	if (ks_str_empty(r->name) || r->audience_count == 0)
		return KS_MALFORMED;
	if (r->name.n > KS_RING_ISSUER_NAME_MAX || r->audience_count > KS_RING_ISSUER_AUDIENCES_MAX
	    || r->key_count > KS_RING_ISSUER_KEYS_MAX || r->rules.n > KS_RING_ISSUER_RULES_MAX)
		return KS_TOO_LARGE;
	for (size_t i = 0; i < r->audience_count; i++) {
		if (!text_fits(r->audiences[i], KS_RING_ISSUER_NAME_MAX))
			return ks_str_empty(r->audiences[i]) ? KS_MALFORMED : KS_TOO_LARGE;
		for (size_t k = 0; k < i; k++) {
			if (ks_str_eq(r->audiences[i], r->audiences[k]))
				return KS_MALFORMED;
		}
	}
	return check_keys(r);
}

static uint32_t size_of(const struct ks_ring_issuer_keys_record *r)
{
	size_t size = sizeof(struct ks_ring_issuer) + r->key_count * sizeof(struct ks_ring_issuer_key)
		      + r->audience_count * sizeof(struct ks_ring_text) + r->name.n + r->rules.n;

	for (size_t i = 0; i < r->key_count; i++)
		size += r->keys[i].kid.n + r->keys[i].jwk.n;
	for (size_t i = 0; i < r->audience_count; i++)
		size += r->audiences[i].n;
	return (uint32_t)size;
}

static struct ks_ring_text put_text(struct ks_ring_issuer *issuer, uint32_t *at, struct ks_str text)
{
	struct ks_ring_text put = {.at = *at, .n = (uint32_t)text.n};

	if (text.n > 0)
		memcpy((char *)issuer + *at, text.p, text.n);
	*at += put.n;
	return put;
}

static void fill_issuer(const struct ks_ring *ring, struct ks_ring_issuer *issuer,
			const struct ks_ring_issuer_keys_record *r)
{
	struct ks_ring_issuer_key *keys = (void *)(issuer + 1);
	struct ks_ring_text *audiences = (void *)(keys + r->key_count);
	uint32_t at = (uint32_t)((char *)(audiences + r->audience_count) - (char *)issuer);

	issuer->id = r->id;
	issuer->tenant = r->tenant;
	issuer->size = size_of(r);
	issuer->key_count = (uint32_t)r->key_count;
	issuer->audience_count = (uint32_t)r->audience_count;
	issuer->name = put_text(issuer, &at, r->name);
	issuer->rules = put_text(issuer, &at, r->rules);
	for (size_t i = 0; i < r->key_count; i++) {
		keys[i].kid = put_text(issuer, &at, r->keys[i].kid);
		keys[i].jwk = put_text(issuer, &at, r->keys[i].jwk);
		memset(keys[i].mask, 0, sizeof(keys[i].mask));
		if (r->keys[i].mask)
			memcpy(keys[i].mask, r->keys[i].mask, sizeof(keys[i].mask));
	}
	for (size_t i = 0; i < r->audience_count; i++)
		audiences[i] = put_text(issuer, &at, r->audiences[i]);
	issuer->check = 0;
	issuer->check = check_of(ring, issuer);
}

/* The offset in units; 0: no room. Nothing refers to it yet. */
static uint32_t take_issuer(struct ks_ring *ring, const struct ks_ring_issuer_keys_record *r)
{
	uint64_t at = ks_ring_arena_take(ring, size_of(r));

	if (at != 0)
		fill_issuer(ring, (struct ks_ring_issuer *)(void *)(ring->arena + at), r);
	return (uint32_t)(at / UNIT);
}

static enum ks_err make_directory(struct ks_ring *ring, uint32_t bucket_count)
{
	uint64_t size = sizeof(struct ks_ring_issuers) + bucket_count * sizeof(_Atomic uint32_t);
	struct ks_ring_issuers *directory;
	uint64_t at;

	if (directory_of(ring))
		return KS_OK;
	at = ks_ring_arena_take(ring, size);
	if (at == 0)
		return KS_FULL;
	directory = (void *)(ring->arena + at);
	memset(directory, 0, size);
	directory->bucket_count = bucket_count;
	atomic_store_explicit(&ring->header->issuers_at, at, memory_order_release);
	return KS_OK;
}

/* A node under this hash that leads to `old`, or, where nothing leads from it any more, could lead anywhere. */
static struct ks_ring_issuer_node *usable_node(const struct ks_ring *ring, uint64_t hash, uint32_t old)
{
	struct ks_ring_issuer_node *free_node = NULL;

	for (uint32_t at = first_of(directory_of(ring), hash); at != 0; at = node_at(ring, at)->next) {
		struct ks_ring_issuer_node *node = node_at(ring, at);
		uint32_t issuer = atomic_load_explicit(&node->issuer, memory_order_relaxed);

		if (node->hash == hash && old != 0 && issuer == old)
			return node;
		if (node->hash == hash && issuer == 0)
			free_node = node;
	}
	return free_node;
}

static void lead(struct ks_ring *ring, uint64_t hash, uint32_t old, uint32_t issuer, uint64_t *spare_at)
{
	struct ks_ring_issuers *directory = (struct ks_ring_issuers *)(uintptr_t)directory_of(ring);
	struct ks_ring_issuer_node *node = usable_node(ring, hash, old);
	_Atomic uint32_t *bucket = &directory->buckets[hash & (directory->bucket_count - 1)];

	if (node) {
		atomic_store_explicit(&node->issuer, issuer, memory_order_seq_cst);
		return;
	}
	node = (void *)(ring->arena + *spare_at);
	node->hash = hash;
	node->next = atomic_load_explicit(bucket, memory_order_relaxed);
	atomic_store_explicit(&node->issuer, issuer, memory_order_relaxed);
	atomic_store_explicit(bucket, (uint32_t)(*spare_at / UNIT), memory_order_seq_cst);
	atomic_fetch_add_explicit(&directory->node_count, 1, memory_order_release);
	*spare_at += sizeof(*node);
}

/* Room for the nodes that are missing, one behind the other; they lie after all that are there. */
static enum ks_err take_nodes(struct ks_ring *ring, const struct ks_ring_issuer_keys_record *r, uint32_t old,
			      uint64_t *ret_at)
{
	size_t missing = !usable_node(ring, hash_of_id(ring, r->id), old);

	for (size_t i = 0; i < r->audience_count; i++)
		missing += !usable_node(ring, hash_of_pair(ring, r->name, r->audiences[i]), old);
	*ret_at = 0;
	if (missing > 0)
		*ret_at = ks_ring_arena_take(ring, missing * sizeof(struct ks_ring_issuer_node));
	return missing > 0 && *ret_at == 0 ? KS_FULL : KS_OK;
}

static bool in_record(const struct ks_ring_issuer_keys_record *r, struct ks_str name, struct ks_str audience)
{
	for (size_t i = 0; ks_str_eq(r->name, name) && i < r->audience_count; i++) {
		if (ks_str_eq(r->audiences[i], audience))
			return true;
	}
	return false;
}

/* What led to `old` and is not said by `r` (NULL: says nothing) leads nowhere. */
static void unlead(const struct ks_ring *ring, uint32_t old, const struct ks_ring_issuer_keys_record *r)
{
	const struct ks_ring_issuer *issuer = issuer_at(ring, old);
	struct ks_str name;

	if (!issuer)
		return;
	name = ks_ring_issuer_text(issuer, issuer->name);
	for (uint32_t i = 0; i < issuer->audience_count; i++) {
		struct ks_str audience = ks_ring_issuer_audience(issuer, i);
		struct ks_ring_issuer_node *node = node_of(ring, hash_of_pair(ring, name, audience), issuer->id);

		if (node && !(r && in_record(r, name, audience)))
			atomic_store_explicit(&node->issuer, 0, memory_order_seq_cst);
	}
}

static bool keys_say(const struct ks_ring_issuer *issuer, const struct ks_ring_issuer_keys_record *r)
{
	static const uint8_t zeros[KS_RING_ISSUER_MASK_SIZE];
	const struct ks_ring_issuer_key *keys = ks_ring_issuer_keys(issuer);

	for (size_t i = 0; i < r->key_count; i++) {
		const uint8_t *mask = r->keys[i].mask ? r->keys[i].mask : zeros;

		if (!ks_str_eq(ks_ring_issuer_text(issuer, keys[i].kid), r->keys[i].kid)
		    || !ks_str_eq(ks_ring_issuer_text(issuer, keys[i].jwk), r->keys[i].jwk)
		    || !ks_ct_equal(keys[i].mask, mask, sizeof(zeros)))
			return false;
	}
	return true;
}

static bool says(const struct ks_ring_issuer *issuer, const struct ks_ring_issuer_keys_record *r)
{
	if (issuer->tenant != r->tenant || issuer->key_count != r->key_count || issuer->audience_count != r->audience_count
	    || !ks_str_eq(ks_ring_issuer_text(issuer, issuer->name), r->name)
	    || !ks_str_eq(ks_ring_issuer_text(issuer, issuer->rules), r->rules))
		return false;
	for (uint32_t i = 0; i < issuer->audience_count; i++) {
		if (!ks_str_eq(ks_ring_issuer_audience(issuer, i), r->audiences[i]))
			return false;
	}
	return keys_say(issuer, r);
}

static uint32_t unit_of(const struct ks_ring *ring, const struct ks_ring_issuer *issuer)
{
	return issuer ? (uint32_t)((uint64_t)((const unsigned char *)issuer - ring->arena) / UNIT) : 0;
}

enum ks_err ks_ring_put_issuer_keys(struct ks_ring *ring, const struct ks_ring_issuer_keys_record *record)
{
	const struct ks_ring_issuer *before;
	uint32_t old, issuer;
	uint64_t spare_at;

	KS_TRY(check_record(record));
	KS_TRY(make_directory(ring, KS_RING_ISSUER_BUCKETS));
	before = ks_ring_issuer_by_id(ring, record->id);
	if (before && says(before, record))
		return KS_OK;
	old = unit_of(ring, before);
	issuer = take_issuer(ring, record);
	if (issuer == 0)
		return KS_FULL;
	KS_TRY(take_nodes(ring, record, old, &spare_at));
	unlead(ring, old, record);
	for (size_t i = 0; i < record->audience_count; i++)
		lead(ring, hash_of_pair(ring, record->name, record->audiences[i]), old, issuer, &spare_at);
	lead(ring, hash_of_id(ring, record->id), old, issuer, &spare_at);
	return KS_OK;
}

void ks_ring_drop_issuer_keys(struct ks_ring *ring, uint64_t id)
{
	struct ks_ring_issuer_node *node = node_of(ring, hash_of_id(ring, id), id);

	if (!node)
		return;
	unlead(ring, atomic_load_explicit(&node->issuer, memory_order_relaxed), NULL);
	atomic_store_explicit(&node->issuer, 0, memory_order_seq_cst);
}

/* ---- into another generation ---- */

static enum ks_err copy_issuer(const struct ks_ring_issuer *from, struct ks_ring *to)
{
	struct ks_ring_issuer_key_record keys[KS_RING_ISSUER_KEYS_MAX];
	struct ks_str audiences[KS_RING_ISSUER_AUDIENCES_MAX];
	const struct ks_ring_issuer_key *old = ks_ring_issuer_keys(from);

	for (uint32_t i = 0; i < from->key_count; i++)
		keys[i] = (struct ks_ring_issuer_key_record){.kid = ks_ring_issuer_text(from, old[i].kid),
							     .jwk = ks_ring_issuer_text(from, old[i].jwk),
							     .mask = old[i].mask};
	for (uint32_t i = 0; i < from->audience_count; i++)
		audiences[i] = ks_ring_issuer_audience(from, i);
	return ks_ring_put_issuer_keys(to, &(struct ks_ring_issuer_keys_record){
		.id = from->id,
		.tenant = from->tenant,
		.name = ks_ring_issuer_text(from, from->name),
		.rules = ks_ring_issuer_text(from, from->rules),
		.audiences = audiences,
		.audience_count = from->audience_count,
		.keys = keys,
		.key_count = from->key_count,
	});
}

enum ks_err ks_ring_copy_issuers(const struct ks_ring *from, struct ks_ring *to)
{
	const struct ks_ring_issuers *directory = directory_of(from);
	uint32_t buckets = KS_RING_ISSUER_BUCKETS, nodes;

	if (!directory)
		return KS_OK;
	nodes = atomic_load_explicit(&directory->node_count, memory_order_relaxed);
	while (buckets < nodes && buckets < BUCKETS_MAX)
		buckets *= 2;
	KS_TRY(make_directory(to, buckets));
	for (uint32_t i = 0; i < directory->bucket_count; i++) {
		uint32_t at = atomic_load_explicit(&directory->buckets[i], memory_order_relaxed);

		for (; at != 0; at = node_at(from, at)->next) {
			const struct ks_ring_issuer *issuer = issuer_of(from, node_at(from, at));
			enum ks_err err;

			if (!issuer || node_at(from, at)->hash != hash_of_id(from, issuer->id))
				continue;
			if (issuer->check != check_of(from, issuer))
				return KS_CORRUPT;
			err = copy_issuer(issuer, to);
			if (err != KS_OK)
				return err == KS_FULL ? err : KS_CORRUPT;
		}
	}
	return KS_OK;
}
