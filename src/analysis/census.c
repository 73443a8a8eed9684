/* SPDX-License-Identifier: Apache-2.0 */
/* Steps 1 and 2 of the decision for every key at once, and the sorting of what is left into classes. */
#include <stdlib.h>

#include "analysis/analysis.h"
#include "base/hash.h"

#define NONE UINT32_MAX

static const uint64_t hash_key[2] = {UINT64_C(0x63656e737573), UINT64_C(0x636c6173736573)};

/* A hash index from what things hash to, to their positions; whoever asks compares. */
struct index {
	uint32_t *positions; /* + 1; 0: free */
	size_t cap, used;
};

struct taking {
	const struct ks_ring *ring;
	int64_t now_ms;
	const uint8_t *seen;      /* a byte a tenant, of the first `tenants`; or NULL */
	/* How many there are of each when this begins: what is added meanwhile is not counted. */
	uint32_t tenants, grants;
	uint8_t *partners;        /* a byte a tenant: has an organization below it that is active */
	uint32_t *scopes_of;      /* by grant: position in sets */
	struct ks_scopes *sets;   /* the distinct ones */
	size_t set_count;
	struct index set_index;
	struct ks_class *classes;
	uint32_t *class_sets;     /* by class: position in sets */
	size_t class_count, class_cap;
	struct index class_index;
	uint32_t *class_of;       /* by slot; NONE: does not count */
};

/* ---- who counts ---- */

static bool is_alive(const struct ks_ring *ring, const struct ks_ring_key *key, int64_t now_ms, uint32_t *ret_state)
{
	uint32_t state = atomic_load_explicit(&key->state, memory_order_acquire);
	const struct ks_ring_tenant *tenant;
	int64_t ends_ms;

	/* Nothing else of the slot is read before LIVE was. Sessions and issuers of JWTs stand in slots too. */
	if ((state & (KS_KEY_LIVE | KS_KEY_REVOKED)) != KS_KEY_LIVE || KS_KEY_KIND(state) == KS_KIND_SESSION)
		return false;
	ends_ms = atomic_load_explicit(&key->ends_ms, memory_order_acquire);
	if (now_ms >= ends_ms && ends_ms != INT64_MAX)
		return false;
	tenant = &ring->tenants[key->tenant];
	if (atomic_load_explicit(&tenant->flags, memory_order_acquire) & KS_TENANT_INACTIVE)
		return false;
	if (KS_KEY_BINDING(state) == KS_BINDING_USER
	    && (tenant->user == KS_RING_NONE
		|| atomic_load_explicit(&ring->users[tenant->user].flags, memory_order_acquire) & KS_USER_DISABLED))
		return false;
	*ret_state = state;
	return true;
}

static bool has_organizations(const struct ks_ring *ring, uint32_t partner)
{
	const struct ks_ring_tenant *tenants = ring->tenants;
	uint32_t count = atomic_load_explicit(&ring->header->tenant_count, memory_order_acquire);

	for (uint32_t i = 0; i < count; i++) {
		if (tenants[i].kind == KS_TENANT_KIND_ORGANIZATION && tenants[i].depth > 0
		    && tenants[i].path[tenants[i].depth - 1] == partner
		    && (atomic_load_explicit(&tenants[i].flags, memory_order_acquire) & KS_TENANT_INACTIVE) == 0)
			return true;
	}
	return false;
}

bool ks_class_of(const struct ks_ring *ring, uint64_t slot, int64_t now_ms, struct ks_class *ret_class)
{
	const struct ks_ring_key *key = &ring->keys[slot];
	uint32_t state;

	if (!is_alive(ring, key, now_ms, &state))
		return false;
	*ret_class = (struct ks_class){
		.scopes = ring->grants[key->grant].scopes,
		.kind = (uint8_t)KS_KEY_KIND(state),
		.binding = (uint8_t)KS_KEY_BINDING(state),
		.environment = (uint8_t)KS_KEY_ENVIRONMENT(state),
		.count = 1,
	};
	if (ret_class->binding == KS_BINDING_PARTNER)
		ret_class->has_organizations = has_organizations(ring, key->tenant);
	return true;
}

/* ---- sets of scopes ---- */

static bool index_grow(struct index *index, uint64_t (*hash)(const void *ctx, uint32_t position), const void *ctx)
{
	struct index grown = {.cap = index->cap ? 2 * index->cap : 256, .used = index->used};

	grown.positions = calloc(grown.cap, sizeof(*grown.positions));
	if (!grown.positions)
		return false;
	for (size_t i = 0; i < index->cap; i++) {
		if (!index->positions[i])
			continue;
		size_t at = (size_t)hash(ctx, index->positions[i] - 1) & (grown.cap - 1);
		while (grown.positions[at])
			at = (at + 1) & (grown.cap - 1);
		grown.positions[at] = index->positions[i];
	}
	free(index->positions);
	*index = grown;
	return true;
}

static uint64_t hash_of_set(const void *ctx, uint32_t position)
{
	const struct taking *t = ctx;

	return ks_siphash(hash_key, &t->sets[position], sizeof(t->sets[position]));
}

static bool same_scopes(const struct ks_scopes *a, const struct ks_scopes *b)
{
	return ks_scopes_within(a, b) && ks_scopes_within(b, a);
}

/* The position of `set`, which has room at the end of sets. */
static enum ks_err number_set(struct taking *t, const struct ks_scopes *set, uint32_t *ret_position)
{
	if ((t->set_index.used + 1) * 2 > t->set_index.cap && !index_grow(&t->set_index, hash_of_set, t))
		return KS_MEMORY;
	size_t mask = t->set_index.cap - 1;
	size_t at = (size_t)ks_siphash(hash_key, set, sizeof(*set)) & mask;
	for (; t->set_index.positions[at]; at = (at + 1) & mask) {
		*ret_position = t->set_index.positions[at] - 1;
		if (same_scopes(&t->sets[*ret_position], set))
			return KS_OK;
	}
	*ret_position = (uint32_t)t->set_count;
	t->sets[t->set_count++] = *set;
	t->set_index.positions[at] = *ret_position + 1;
	t->set_index.used++;
	return KS_OK;
}

/* Many grants differ in addresses and rates alone. */
static enum ks_err number_grants(struct taking *t)
{
	t->scopes_of = calloc((size_t)t->grants + 1, sizeof(*t->scopes_of));
	t->sets = calloc((size_t)t->grants + 1, sizeof(*t->sets));
	if (!t->scopes_of || !t->sets)
		return KS_MEMORY;
	for (uint32_t g = 0; g < t->grants; g++)
		KS_TRY(number_set(t, &t->ring->grants[g].scopes, &t->scopes_of[g]));
	return KS_OK;
}

static enum ks_err note_partners(struct taking *t)
{
	const struct ks_ring_tenant *tenants = t->ring->tenants;

	t->partners = calloc((size_t)t->tenants + 1, 1);
	if (!t->partners)
		return KS_MEMORY;
	for (uint32_t i = 0; i < t->tenants; i++) {
		if (tenants[i].kind == KS_TENANT_KIND_ORGANIZATION && tenants[i].depth > 0
		    && (atomic_load_explicit(&tenants[i].flags, memory_order_acquire) & KS_TENANT_INACTIVE) == 0)
			t->partners[tenants[i].path[tenants[i].depth - 1]] = 1;
	}
	return KS_OK;
}

/* ---- classes ---- */

static uint64_t class_word(uint32_t set, const struct ks_class *class)
{
	return (uint64_t)set << 32 | (uint64_t)class->kind << 24 | (uint64_t)class->binding << 16
	       | (uint64_t)class->environment << 8 | class->has_organizations;
}

static uint64_t hash_of_class(const void *ctx, uint32_t position)
{
	const struct taking *t = ctx;

	return ks_mix64(class_word(t->class_sets[position], &t->classes[position]), hash_key);
}

static enum ks_err add_class(struct taking *t, uint32_t set, const struct ks_class *class)
{
	if (t->class_count == t->class_cap) {
		size_t cap = t->class_cap ? 2 * t->class_cap : 256;
		struct ks_class *classes = realloc(t->classes, cap * sizeof(*classes));

		if (classes)
			t->classes = classes;
		uint32_t *sets = realloc(t->class_sets, cap * sizeof(*sets));
		if (sets)
			t->class_sets = sets;
		if (!classes || !sets)
			return KS_MEMORY;
		t->class_cap = cap;
	}
	t->classes[t->class_count] = *class;
	t->classes[t->class_count].scopes = t->sets[set];
	t->class_sets[t->class_count++] = set;
	return KS_OK;
}

static enum ks_err number_class(struct taking *t, uint32_t set, const struct ks_class *class, uint32_t *ret_position)
{
	struct index *index = &t->class_index;

	if ((index->used + 1) * 2 > index->cap && !index_grow(index, hash_of_class, t))
		return KS_MEMORY;
	uint64_t word = class_word(set, class);
	size_t at = (size_t)ks_mix64(word, hash_key) & (index->cap - 1);
	for (; index->positions[at]; at = (at + 1) & (index->cap - 1)) {
		*ret_position = index->positions[at] - 1;
		if (class_word(t->class_sets[*ret_position], &t->classes[*ret_position]) == word)
			return KS_OK;
	}
	*ret_position = (uint32_t)t->class_count;
	KS_TRY(add_class(t, set, class));
	index->positions[at] = *ret_position + 1;
	index->used++;
	return KS_OK;
}

static enum ks_err classify(struct taking *t)
{
	uint64_t slots = t->ring->header->geometry.key_slots;
	uint64_t last_word = UINT64_MAX;
	uint32_t last = NONE, state;

	for (uint64_t slot = 0; slot < slots; slot++) {
		const struct ks_ring_key *key = &t->ring->keys[slot];

		t->class_of[slot] = NONE;
		if (!is_alive(t->ring, key, t->now_ms, &state) || key->tenant >= t->tenants || key->grant >= t->grants
		    || (t->seen && !t->seen[key->tenant]))
			continue;
		struct ks_class class = {.kind = (uint8_t)KS_KEY_KIND(state),
					 .binding = (uint8_t)KS_KEY_BINDING(state),
					 .environment = (uint8_t)KS_KEY_ENVIRONMENT(state)};
		if (class.binding == KS_BINDING_PARTNER)
			class.has_organizations = t->partners[key->tenant];
		uint32_t set = t->scopes_of[key->grant];
		uint64_t word = class_word(set, &class);
		if (word != last_word)
			KS_TRY(number_class(t, set, &class, &last));
		last_word = word;
		t->class_of[slot] = last;
		t->classes[last].count++;
	}
	return KS_OK;
}

/* Sorts the slots by class, in one pass more. */
static enum ks_err collect(struct taking *t, struct ks_census *ret_census)
{
	uint64_t slots = t->ring->header->geometry.key_slots;
	struct ks_census census = {.ring = t->ring, .class_count = t->class_count, .classes = t->classes};
	uint32_t next = 0;

	for (size_t i = 0; i < t->class_count; i++) {
		t->classes[i].first = next;
		next += t->classes[i].count;
		t->classes[i].count = 0;
	}
	census.member_count = next;
	census.members = calloc((size_t)next + 1, sizeof(*census.members));
	if (!census.members)
		return KS_MEMORY;
	for (uint64_t slot = 0; slot < slots; slot++) {
		if (t->class_of[slot] == NONE)
			continue;
		struct ks_class *class = &t->classes[t->class_of[slot]];
		census.members[class->first + class->count++] = (uint32_t)slot;
	}
	t->classes = NULL;
	*ret_census = census;
	return KS_OK;
}

enum ks_err ks_census_take(const struct ks_ring *ring, int64_t now_ms, const struct ks_seen *seen,
			   struct ks_census *ret_census)
{
	struct taking t = {.ring = ring, .now_ms = now_ms};
	enum ks_err err;

	t.tenants = atomic_load_explicit(&ring->header->tenant_count, memory_order_acquire);
	t.grants = atomic_load_explicit(&ring->header->grant_count, memory_order_acquire);
	if (seen) {
		t.seen = seen->tenants;
		t.tenants = KS_MIN(t.tenants, seen->count);
	}
	if (ring->header->geometry.key_slots >= NONE)
		return KS_TOO_LARGE;
	t.class_of = malloc(ring->header->geometry.key_slots * sizeof(*t.class_of));
	err = t.class_of ? number_grants(&t) : KS_MEMORY;
	if (err == KS_OK)
		err = note_partners(&t);
	if (err == KS_OK)
		err = classify(&t);
	if (err == KS_OK)
		err = collect(&t, ret_census);
	free(t.class_of);
	free(t.partners);
	free(t.scopes_of);
	free(t.sets);
	free(t.set_index.positions);
	free(t.classes);
	free(t.class_sets);
	free(t.class_index.positions);
	return err;
}

void ks_census_free(struct ks_census *census)
{
	free(census->classes);
	free(census->members);
	*census = (struct ks_census){0};
}
