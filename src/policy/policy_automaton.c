/* SPDX-License-Identifier: Apache-2.0 */
/* From routes to a deterministic matcher. The routes first become a tree; then states are built that stand for every
 * place of the tree that a path may have come to, the most specific first (the subset construction), so that matching
 * never goes back. */
#include <stdlib.h>

#include "base/hash.h"
#include "policy/policy_priv.h"

#define NONE UINT32_MAX

/* A hash index of numbered things that somebody else holds and compares. */
struct index_slot {
	uint64_t hash;
	uint32_t value; /* + 1; 0: free */
};

struct index {
	struct index_slot *slots;
	size_t cap; /* a power of two, or 0 */
	size_t used;
};

/* A place in the tree of routes. */
struct place {
	uint32_t segment; /* the literal that leads here */
	uint32_t parent;
	uint32_t first_literal; /* child, or NONE */
	uint32_t next_literal;  /* sibling, or NONE */
	uint32_t parameter;     /* child, or NONE */
	uint32_t end;           /* row of claims of the routes that end here, or 0 */
	uint32_t rest;          /* row of claims of the routes whose ** begins here, or 0 */
};

/* What a path may have come to: a place, or (lowest bit set) the ** of a place, which takes all that follows. */
#define AT(place) ((place) << 1)
#define IN_REST(place) ((place) << 1 | 1)
#define IS_REST(item) (((item) & 1) != 0)
#define PLACE(item) ((item) >> 1)

struct list {
	uint32_t at; /* in items */
	uint32_t count;
};

#define VECTOR(type)        \
	{                   \
		type *p;    \
		size_t n;   \
		size_t cap; \
	}

struct words VECTOR(uint32_t);

struct builder {
	struct policy_methods methods;
	struct VECTOR(struct ks_str) segments;
	struct VECTOR(struct place) places;
	struct words claims;              /* rows of methods.count cells */
	struct words items;               /* of all lists, and of the one being made at the end */
	struct VECTOR(struct list) lists; /* of the states */
	struct VECTOR(struct policy_state) states;
	struct VECTOR(struct policy_edge) edges;
	struct words answers; /* rows of methods.count cells */
	struct words stamps;  /* by segment: the last state that has an edge for it */
	struct index segment_index;
	struct index child_index;
	struct index state_index;
	struct index answer_index;
	size_t rule_count;
	size_t work;
	bool grew; /* of RESERVE alone */
};

static const uint64_t index_key[2] = {UINT64_C(0x6b65797374696c65), UINT64_C(0x706f6c696379)};

/* `p` with room for `want` things; as it was, and *ret_ok false, without memory. */
static void *grown(void *p, size_t *cap, size_t want, size_t size, bool *ret_ok)
{
	size_t room = KS_MAX(want, *cap ? *cap * 2 : 64);

	*ret_ok = true;
	if (want <= *cap)
		return p;
	void *moved = realloc(p, room * size);
	if (!moved) {
		*ret_ok = false;
		return p;
	}
	*cap = room;
	return moved;
}

/* Room for `more` things at the end; false without memory. */
#define RESERVE(b, vector, more)                                                                                   \
	((vector)->p = grown((vector)->p, &(vector)->cap, (vector)->n + (more), sizeof(*(vector)->p), &(b)->grew), \
	 (b)->grew)

static enum ks_err spend(struct builder *b, size_t work)
{
	b->work += work;
	return b->work > POLICY_WORK_MAX ? KS_FULL : KS_OK;
}

/* The next thing with this hash from `*probe` on (start with SIZE_MAX); false at the end. */
static bool index_next(const struct index *index, uint64_t hash, size_t *probe, uint32_t *ret_value)
{
	if (index->cap == 0)
		return false;
	size_t at = *probe == SIZE_MAX ? (size_t)hash & (index->cap - 1) : *probe;
	while (index->slots[at].value) {
		const struct index_slot *slot = &index->slots[at];

		at = (at + 1) & (index->cap - 1);
		if (slot->hash == hash) {
			*probe = at;
			*ret_value = slot->value - 1;
			return true;
		}
	}
	return false;
}

static void index_put(struct index *index, uint64_t hash, uint32_t value)
{
	size_t at = (size_t)hash & (index->cap - 1);

	while (index->slots[at].value)
		at = (at + 1) & (index->cap - 1);
	index->slots[at] = (struct index_slot){hash, value + 1};
	index->used++;
}

static enum ks_err index_add(struct index *index, uint64_t hash, uint32_t value)
{
	if ((index->used + 1) * 2 > index->cap) {
		struct index grown = {.cap = index->cap ? index->cap * 2 : 64};

		grown.slots = calloc(grown.cap, sizeof(*grown.slots));
		if (!grown.slots)
			return KS_MEMORY;
		for (size_t i = 0; i < index->cap; i++)
			if (index->slots[i].value)
				index_put(&grown, index->slots[i].hash, index->slots[i].value - 1);
		free(index->slots);
		*index = grown;
	}
	index_put(index, hash, value);
	return KS_OK;
}

/* A new row of claims or answers, zeroed. */
static enum ks_err add_row(struct builder *b, struct words *rows, uint32_t *ret_row)
{
	size_t width = b->methods.count;

	if (!RESERVE(b, rows, width))
		return KS_MEMORY;
	memset(&rows->p[rows->n], 0, width * sizeof(*rows->p));
	*ret_row = (uint32_t)(rows->n / width);
	rows->n += width;
	return KS_OK;
}

static enum ks_err number_segment(struct builder *b, struct ks_str text, uint32_t *ret_segment)
{
	uint64_t hash = ks_siphash(index_key, text.p, text.n);
	size_t probe = SIZE_MAX;
	uint32_t segment;

	while (index_next(&b->segment_index, hash, &probe, &segment)) {
		if (ks_str_eq(b->segments.p[segment], text)) {
			*ret_segment = segment;
			return KS_OK;
		}
	}
	if (!RESERVE(b, &b->segments, 1))
		return KS_MEMORY;
	segment = (uint32_t)b->segments.n;
	b->segments.p[b->segments.n++] = text;
	*ret_segment = segment;
	return index_add(&b->segment_index, hash, segment);
}

static uint64_t child_hash(uint32_t place, uint32_t segment)
{
	return ks_mix64((uint64_t)place << 32 | segment, index_key);
}

/* The place that the literal leads to from `place`, or NONE. */
static uint32_t literal_child(const struct builder *b, uint32_t place, uint32_t segment)
{
	size_t probe = SIZE_MAX;
	uint32_t child;

	while (index_next(&b->child_index, child_hash(place, segment), &probe, &child))
		if (b->places.p[child].parent == place && b->places.p[child].segment == segment)
			return child;
	return NONE;
}

static enum ks_err add_place(struct builder *b, uint32_t parent, uint32_t segment, uint32_t *ret_place)
{
	if (b->places.n >= UINT32_MAX / 4)
		return KS_FULL;
	if (!RESERVE(b, &b->places, 1))
		return KS_MEMORY;
	*ret_place = (uint32_t)b->places.n;
	b->places.p[b->places.n++] = (struct place){
		.segment = segment,
		.parent = parent,
		.first_literal = NONE,
		.next_literal = NONE,
		.parameter = NONE,
	};
	return KS_OK;
}

static enum ks_err step_literal(struct builder *b, struct ks_str text, uint32_t *place)
{
	uint32_t segment, child;

	KS_TRY(number_segment(b, text, &segment));
	child = literal_child(b, *place, segment);
	if (child == NONE) {
		KS_TRY(add_place(b, *place, segment, &child));
		b->places.p[child].next_literal = b->places.p[*place].first_literal;
		b->places.p[*place].first_literal = child;
		KS_TRY(index_add(&b->child_index, child_hash(*place, segment), child));
	}
	*place = child;
	return KS_OK;
}

static enum ks_err step_parameter(struct builder *b, uint32_t *place)
{
	uint32_t child = b->places.p[*place].parameter;

	if (child == NONE) {
		KS_TRY(add_place(b, *place, NONE, &child));
		b->places.p[*place].parameter = child;
	}
	*place = child;
	return KS_OK;
}

/* Enters the methods of `family`, whose first rule has the number `rule`, at the end of one of its routes. */
static enum ks_err claim(struct builder *b, const struct ks_policy_family *family, size_t rule, uint32_t place,
			 bool rest)
{
	uint32_t row = rest ? b->places.p[place].rest : b->places.p[place].end;

	if (row == 0) {
		KS_TRY(add_row(b, &b->claims, &row));
		*(rest ? &b->places.p[place].rest : &b->places.p[place].end) = row;
	}
	for (size_t i = 0; i < family->method_count; i++) {
		uint32_t number;

		if (!ks_policy_methods_number(&b->methods, ks_str_c(family->methods[i].name), &number))
			return KS_FULL;
		uint32_t *cell = &b->claims.p[row * b->methods.count + number];
		if (*cell == 0)
			*cell = (uint32_t)(rule + i + 1);
	}
	return KS_OK;
}

static enum ks_err add_route(struct builder *b, const struct ks_policy_family *family, size_t rule, struct ks_str text)
{
	struct policy_route route;
	struct ks_str culprit;
	uint32_t place = 0;
	bool rest = false;

	if (ks_policy_route_read(text, &route, &culprit))
		return KS_MALFORMED;
	for (size_t i = 0; i < route.count; i++) {
		const struct policy_segment *segment = &route.segments[i];

		if (segment->type == POLICY_REST)
			rest = true;
		else if (segment->type == POLICY_PARAMETER)
			KS_TRY(step_parameter(b, &place));
		else
			KS_TRY(step_literal(b, segment->text, &place));
	}
	return claim(b, family, rule, place, rest);
}

static uint64_t answer_hash(const struct builder *b, uint32_t row)
{
	size_t width = b->methods.count;

	return ks_siphash(index_key, &b->answers.p[row * width], width * sizeof(*b->answers.p));
}

static enum ks_err build_tree(struct builder *b, const struct ks_policy *policy)
{
	uint32_t root, row;

	/* All methods get their numbers first: rows are as wide as there are methods. */
	ks_policy_methods_init(&b->methods);
	for (size_t f = 0; f < policy->family_count; f++)
		for (size_t m = 0; m < policy->families[f].method_count; m++)
			if (!ks_policy_methods_number(&b->methods, ks_str_c(policy->families[f].methods[m].name), &row))
				return KS_FULL;
	KS_TRY(add_row(b, &b->claims, &row));  /* row 0: no claims */
	KS_TRY(add_row(b, &b->answers, &row)); /* row 0: nothing */
	KS_TRY(index_add(&b->answer_index, answer_hash(b, row), row));
	KS_TRY(add_place(b, NONE, NONE, &root));
	for (size_t f = 0; f < policy->family_count; f++) {
		const struct ks_policy_family *family = &policy->families[f];

		for (size_t r = 0; r < family->route_count; r++)
			KS_TRY(add_route(b, family, b->rule_count, ks_str_c(family->routes[r])));
		b->rule_count += family->method_count;
	}
	return KS_OK;
}

/* The list being made stands at the end of items, from `at` on. */
struct making {
	size_t at;
	uint64_t claimed; /* the methods (bits) that the ** of an item already there claims on every further path; bit
			     0: all */
};

_Static_assert(KS_POLICY_METHODS_MAX + 1 <= 64, "a bit for every method");

static uint64_t claimed_bits(const struct builder *b, uint32_t row)
{
	uint64_t bits = 0;

	for (size_t i = 0; row != 0 && i < b->methods.count; i++)
		bits |= (uint64_t)(b->claims.p[row * b->methods.count + i] != 0) << i;
	return bits;
}

static enum ks_err push(struct builder *b, uint32_t item)
{
	if (!RESERVE(b, &b->items, 1))
		return KS_MEMORY;
	b->items.p[b->items.n++] = item;
	return spend(b, 1);
}

/* Adds an item unless those before it leave nothing to it. */
static enum ks_err push_item(struct builder *b, struct making *making, uint32_t item)
{
	uint64_t bits = claimed_bits(b, b->places.p[PLACE(item)].rest);

	if ((making->claimed & 1) || (IS_REST(item) && (bits & ~making->claimed) == 0))
		return KS_OK;
	making->claimed |= bits;
	return push(b, item);
}

static struct list list_of(const struct builder *b, struct making making)
{
	return (struct list){(uint32_t)making.at, (uint32_t)(b->items.n - making.at)};
}

/* The list of the state that `from` goes to by a literal, by any other segment (NONE), or by the empty last one. */
static enum ks_err make_list(struct builder *b, struct list from, uint32_t segment, bool empty,
			     struct making *ret_making)
{
	*ret_making = (struct making){.at = b->items.n};
	for (uint32_t i = 0; i < from.count; i++) {
		uint32_t item = b->items.p[from.at + i];
		uint32_t child;

		if (IS_REST(item)) {
			KS_TRY(push_item(b, ret_making, item));
			continue;
		}
		child = segment == NONE ? NONE : literal_child(b, PLACE(item), segment);
		if (child != NONE)
			KS_TRY(push_item(b, ret_making, AT(child)));
		child = b->places.p[PLACE(item)].parameter;
		if (child != NONE && !empty)
			KS_TRY(push_item(b, ret_making, AT(child)));
		if (b->places.p[PLACE(item)].rest)
			KS_TRY(push_item(b, ret_making, IN_REST(PLACE(item))));
	}
	return spend(b, from.count);
}

/* Puts into `row` what the routes of `claims` (less specific than those before) still get. */
static void answer_claims(const struct builder *b, uint32_t claims, uint32_t *row)
{
	const uint32_t *cells = &b->claims.p[claims * b->methods.count];

	if (claims == 0 || row[0])
		return; /* once "*" is claimed, every method is */
	for (size_t i = 1; i < b->methods.count; i++)
		if (row[i] == 0)
			row[i] = cells[i] ? cells[i] : cells[0];
	row[0] = cells[0];
}

static bool row_is(const uint32_t *a, const uint32_t *b, size_t width)
{
	for (size_t i = 0; i < width; i++)
		if (a[i] != b[i])
			return false;
	return true;
}

/* The row of what a path that ends in the list is answered. */
static enum ks_err add_answer(struct builder *b, struct list list, uint32_t *ret_answer)
{
	size_t width = b->methods.count, probe = SIZE_MAX;
	uint32_t row, other;

	KS_TRY(spend(b, width * (list.count + 1)));
	KS_TRY(add_row(b, &b->answers, &row));
	uint32_t *cells = &b->answers.p[row * width];
	for (uint32_t i = 0; i < list.count; i++) {
		uint32_t item = b->items.p[list.at + i];

		if (!IS_REST(item))
			answer_claims(b, b->places.p[PLACE(item)].end, cells);
		answer_claims(b, b->places.p[PLACE(item)].rest, cells);
	}
	*ret_answer = row;
	uint64_t hash = answer_hash(b, row);
	while (index_next(&b->answer_index, hash, &probe, &other)) {
		if (row_is(cells, &b->answers.p[other * width], width)) {
			b->answers.n -= width;
			*ret_answer = other;
			return KS_OK;
		}
	}
	return index_add(&b->answer_index, hash, row);
}

static bool same_items(const struct builder *b, struct list a, struct list c)
{
	return a.count == c.count && row_is(&b->items.p[a.at], &b->items.p[c.at], a.count);
}

/* The state of the list being made: an existing one (and the list is dropped), or a new one. */
static enum ks_err add_state(struct builder *b, struct making making, uint32_t *ret_state)
{
	struct list list = list_of(b, making);
	uint64_t hash = ks_siphash(index_key, list.count ? &b->items.p[list.at] : NULL,
				   list.count * sizeof(*b->items.p));
	struct policy_state state = {.settled = true};
	size_t probe = SIZE_MAX;
	uint32_t other;

	while (index_next(&b->state_index, hash, &probe, &other)) {
		if (same_items(b, list, b->lists.p[other])) {
			b->items.n = making.at;
			*ret_state = other;
			return KS_OK;
		}
	}
	if (b->states.n == POLICY_STATES_MAX || b->items.n > UINT32_MAX / 2)
		return KS_FULL;
	for (uint32_t i = 0; i < list.count; i++)
		state.settled &= IS_REST(b->items.p[list.at + i]);
	KS_TRY(add_answer(b, list, &state.answer));
	if (!RESERVE(b, &b->states, 1) || !RESERVE(b, &b->lists, 1))
		return KS_MEMORY;
	*ret_state = (uint32_t)b->states.n;
	b->states.p[b->states.n++] = state;
	b->lists.p[b->lists.n++] = list;
	return index_add(&b->state_index, hash, *ret_state);
}

static enum ks_err add_edge(struct builder *b, struct list list, uint32_t segment)
{
	struct making making;
	uint32_t target;

	if (b->edges.n == POLICY_EDGES_MAX)
		return KS_FULL;
	KS_TRY(make_list(b, list, segment, false, &making));
	KS_TRY(add_state(b, making, &target));
	if (!RESERVE(b, &b->edges, 1))
		return KS_MEMORY;
	b->edges.p[b->edges.n++] = (struct policy_edge){segment, target};
	return KS_OK;
}

/* The edges of a state: one for every literal that any of its places knows, but for the empty one, which is a field. */
static enum ks_err add_edges(struct builder *b, uint32_t state, uint32_t empty_segment)
{
	struct list list = b->lists.p[state];

	b->states.p[state].edges_at = (uint32_t)b->edges.n;
	for (uint32_t i = 0; i < list.count; i++) {
		uint32_t item = b->items.p[list.at + i];

		if (IS_REST(item))
			continue;
		for (uint32_t child = b->places.p[PLACE(item)].first_literal; child != NONE;
		     child = b->places.p[child].next_literal) {
			uint32_t segment = b->places.p[child].segment;

			KS_TRY(spend(b, 1));
			if (segment == empty_segment || b->stamps.p[segment] == state)
				continue;
			b->stamps.p[segment] = state;
			KS_TRY(add_edge(b, list, segment));
		}
	}
	b->states.p[state].edge_count = (uint32_t)(b->edges.n - b->states.p[state].edges_at);
	return KS_OK;
}

static enum ks_err add_steps(struct builder *b, uint32_t state, uint32_t empty_segment)
{
	struct making making;
	uint32_t target;

	KS_TRY(add_edges(b, state, empty_segment));
	KS_TRY(make_list(b, b->lists.p[state], NONE, false, &making));
	KS_TRY(add_state(b, making, &target));
	b->states.p[state].other = target;
	/* The empty segment ends a path, so that it leads to an answer, not to a state. */
	KS_TRY(make_list(b, b->lists.p[state], empty_segment, true, &making));
	KS_TRY(add_answer(b, list_of(b, making), &target));
	b->items.n = making.at;
	b->states.p[state].empty = target;
	return KS_OK;
}

static enum ks_err build_states(struct builder *b)
{
	struct making making = {.at = 0};
	uint32_t empty_segment, state;

	KS_TRY(number_segment(b, KS_STR(""), &empty_segment));
	if (!RESERVE(b, &b->stamps, b->segments.n))
		return KS_MEMORY;
	memset(b->stamps.p, 0, b->segments.n * sizeof(*b->stamps.p));
	KS_TRY(add_state(b, making, &state)); /* the dead one, of no places */
	KS_TRY(push(b, AT(0)));
	KS_TRY(add_state(b, making, &state));
	for (uint32_t i = 1; i < b->states.n; i++)
		KS_TRY(add_steps(b, i, empty_segment));
	return KS_OK;
}

static void free_builder(struct builder *b)
{
	free(b->segments.p);
	free(b->places.p);
	free(b->claims.p);
	free(b->items.p);
	free(b->lists.p);
	free(b->states.p);
	free(b->edges.p);
	free(b->answers.p);
	free(b->stamps.p);
	free(b->segment_index.slots);
	free(b->child_index.slots);
	free(b->state_index.slots);
	free(b->answer_index.slots);
}

enum ks_err ks_policy_automaton_build(const struct ks_policy *policy, struct policy_automaton *ret_automaton)
{
	struct builder b = {0};
	enum ks_err err = build_tree(&b, policy);

	if (err == KS_OK)
		err = build_states(&b);
	if (err == KS_OK) {
		*ret_automaton = (struct policy_automaton){
			.methods = b.methods,
			.state_count = b.states.n,
			.states = b.states.p,
			.edge_count = b.edges.n,
			.edges = b.edges.p,
			.segment_count = b.segments.n,
			.segments = b.segments.p,
			.answer_count = b.answers.n / b.methods.count,
			.answers = b.answers.p,
			.rule_count = b.rule_count,
		};
		/* transferred */
		b.states.p = NULL;
		b.edges.p = NULL;
		b.segments.p = NULL;
		b.answers.p = NULL;
	}
	free_builder(&b);
	return err;
}

void ks_policy_automaton_free(struct policy_automaton *automaton)
{
	free(automaton->states);
	free(automaton->edges);
	free(automaton->segments);
	free(automaton->answers);
	*automaton = (struct policy_automaton){0};
}
