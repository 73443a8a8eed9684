/* SPDX-License-Identifier: Apache-2.0 */
/* Two matchers walked together, state by state, from their starts: each pair of states that a path can come to is
 * visited once, the shortest path first. */
#include <stdlib.h>

#include "base/hash.h"
#include "policy/policy_priv.h"
#include "policy/regions.h"

#define NONE UINT32_MAX
#define PAIRS_MAX (1u << 20)
/* A step by a segment that neither state names, and the empty last one. */
#define BY_OTHER (UINT32_MAX - 1)
#define BY_EMPTY (UINT32_MAX - 2)

static const uint64_t hash_key[2] = {UINT64_C(0x726567696f6e73), UINT64_C(0x706169727365)};

/* One side: the policy with a family for each route, so that an answer tells the route too. */
struct side {
	struct ks_policy split;
	struct policy_automaton automaton;
	struct ks_policy_entry *entries;      /* by rule */
	uint32_t *segments;                   /* number that both sides share, by segment */
	uint32_t method_of[2 * KS_POLICY_METHODS_MAX + 1]; /* own number, by shared number */
};

/* A set of 64-bit words and their positions. */
struct index {
	uint64_t *words;
	uint32_t *values; /* + 1; 0: free */
	size_t cap, used;
};

struct pair {
	uint32_t states[2];
	uint32_t from; /* position of the pair before, NONE for the first */
	uint32_t by;   /* shared number of the segment */
};

struct walk {
	struct side sides[2];
	struct ks_policy_regions *out;
	size_t region_cap;
	struct pair *pairs;
	size_t pair_count, pair_cap;
	struct index pair_index;
	struct index region_index;
	struct ks_str *texts; /* of the shared segments */
	size_t text_count;
};

/* ---- an index ---- */

static bool index_grow(struct index *index)
{
	struct index grown = {.cap = index->cap ? 2 * index->cap : 256, .used = index->used};

	grown.words = calloc(grown.cap, sizeof(*grown.words));
	grown.values = calloc(grown.cap, sizeof(*grown.values));
	if (!grown.words || !grown.values) {
		free(grown.words);
		free(grown.values);
		return false;
	}
	for (size_t i = 0; i < index->cap; i++) {
		if (!index->values[i])
			continue;
		size_t at = (size_t)ks_mix64(index->words[i], hash_key) & (grown.cap - 1);
		while (grown.values[at])
			at = (at + 1) & (grown.cap - 1);
		grown.words[at] = index->words[i];
		grown.values[at] = index->values[i];
	}
	free(index->words);
	free(index->values);
	*index = grown;
	return true;
}

/* The value of `word`, or `value` given to it now. KS_MEMORY. */
static enum ks_err index_take(struct index *index, uint64_t word, uint32_t value, uint32_t *ret_value, bool *ret_new)
{
	if ((index->used + 1) * 2 > index->cap && !index_grow(index))
		return KS_MEMORY;
	size_t at = (size_t)ks_mix64(word, hash_key) & (index->cap - 1);
	while (index->values[at] && index->words[at] != word)
		at = (at + 1) & (index->cap - 1);
	*ret_new = index->values[at] == 0;
	if (*ret_new) {
		index->words[at] = word;
		index->values[at] = value + 1;
		index->used++;
	}
	*ret_value = index->values[at] - 1;
	return KS_OK;
}

static void index_free(struct index *index)
{
	free(index->words);
	free(index->values);
}

/* ---- the sides ---- */

static size_t routes_of(const struct ks_policy *policy, size_t *ret_rules)
{
	size_t routes = 0;

	*ret_rules = 0;
	for (size_t f = 0; policy && f < policy->family_count; f++) {
		routes += policy->families[f].route_count;
		*ret_rules += policy->families[f].route_count * policy->families[f].method_count;
	}
	return routes;
}

static enum ks_err split(const struct ks_policy *policy, struct side *side)
{
	size_t rules, routes = routes_of(policy, &rules), at = 0, rule = 0;

	if (rules > KS_POLICY_REGIONS_MAX)
		return KS_FULL;
	side->split.families = calloc(routes + 1, sizeof(*side->split.families));
	side->entries = calloc(rules + 1, sizeof(*side->entries));
	if (!side->split.families || !side->entries)
		return KS_MEMORY;
	side->split.family_count = routes;
	for (size_t f = 0; policy && f < policy->family_count; f++) {
		const struct ks_policy_family *family = &policy->families[f];

		for (size_t r = 0; r < family->route_count; r++) {
			side->split.families[at] = *family;
			side->split.families[at].routes = &family->routes[r];
			side->split.families[at++].route_count = 1;
			for (size_t m = 0; m < family->method_count; m++)
				side->entries[rule++] =
					(struct ks_policy_entry){(uint16_t)f, (uint16_t)r, (uint16_t)m};
		}
	}
	return ks_policy_automaton_build(&side->split, &side->automaton);
}

/* Gives equal segments of both sides one number. */
static enum ks_err share_segments(struct walk *w)
{
	size_t most = w->sides[0].automaton.segment_count + w->sides[1].automaton.segment_count;
	struct index index = {0};
	enum ks_err err = KS_OK;

	w->texts = calloc(most + 1, sizeof(*w->texts));
	if (!w->texts)
		return KS_MEMORY;
	for (size_t s = 0; s < 2 && err == KS_OK; s++) {
		struct side *side = &w->sides[s];

		side->segments = calloc(side->automaton.segment_count + 1, sizeof(*side->segments));
		if (!side->segments)
			err = KS_MEMORY;
		for (size_t i = 0; i < side->automaton.segment_count && err == KS_OK; i++) {
			struct ks_str text = side->automaton.segments[i];
			uint64_t hash = ks_siphash(hash_key, text.p, text.n);
			uint32_t number = 0;
			bool fresh = false;

			/* Another text with the same hash: the next word is tried. */
			do {
				err = index_take(&index, hash++, (uint32_t)w->text_count, &number, &fresh);
			} while (err == KS_OK && !fresh && !ks_str_eq(w->texts[number], text));
			if (fresh)
				w->texts[w->text_count++] = text;
			side->segments[i] = number;
		}
	}
	index_free(&index);
	return err;
}

static void share_methods(struct walk *w)
{
	struct ks_policy_regions *out = w->out;

	out->methods[0] = KS_STR("*");
	out->method_count = 1;
	for (size_t s = 0; s < 2; s++) {
		const struct policy_methods *methods = &w->sides[s].automaton.methods;

		for (uint32_t m = 1; m < methods->count; m++) {
			size_t at = 1;

			while (at < out->method_count && !ks_str_eq(out->methods[at], methods->names[m]))
				at++;
			if (at == out->method_count)
				out->methods[out->method_count++] = methods->names[m];
			w->sides[s].method_of[at] = m;
		}
	}
}

/* ---- the walk ---- */

static enum ks_err visit(struct walk *w, uint32_t a, uint32_t b, uint32_t from, uint32_t by)
{
	uint32_t at;
	bool fresh;

	KS_TRY(index_take(&w->pair_index, (uint64_t)a << 32 | b, (uint32_t)w->pair_count, &at, &fresh));
	if (!fresh)
		return KS_OK;
	if (w->pair_count == PAIRS_MAX)
		return KS_FULL;
	if (w->pair_count == w->pair_cap) {
		size_t cap = w->pair_cap ? 2 * w->pair_cap : 256;
		struct pair *grown = realloc(w->pairs, cap * sizeof(*grown));

		if (!grown)
			return KS_MEMORY;
		w->pairs = grown;
		w->pair_cap = cap;
	}
	w->pairs[w->pair_count++] = (struct pair){{a, b}, from, by};
	return KS_OK;
}

static void put_step(const struct walk *w, uint32_t by, struct ks_buf *out)
{
	ks_buf_put_c(out, "/");
	if (by == BY_OTHER)
		ks_buf_put_c(out, "{any}");
	else if (by != BY_EMPTY)
		ks_buf_put(out, w->texts[by]);
}

/* The way to a pair, and one step more unless it is NONE. Heap; NULL without memory. */
static char *example_of(const struct walk *w, uint32_t pair, uint32_t last)
{
	uint32_t steps[KS_PATH_SEGMENTS_MAX + 2];
	size_t count = 0, size = 2;

	if (last != NONE)
		steps[count++] = last;
	for (; w->pairs[pair].from != NONE && count < KS_ARRAY_LEN(steps); pair = w->pairs[pair].from)
		steps[count++] = w->pairs[pair].by;
	for (size_t i = 0; i < count; i++)
		size += steps[i] < BY_EMPTY ? w->texts[steps[i]].n + 1 : sizeof("/{any}");
	char *text = calloc(1, size);
	struct ks_buf b = ks_buf_of(text, size);
	while (text && count > 0)
		put_step(w, steps[--count], &b);
	return text;
}

static struct ks_policy_entry entry_of(const struct side *side, uint32_t row, size_t method)
{
	uint32_t rule = side->automaton.answers[(size_t)row * side->automaton.methods.count + side->method_of[method]];

	return rule ? side->entries[rule - 1] : (struct ks_policy_entry){KS_POLICY_NOWHERE, 0, 0};
}

static uint32_t rule_of(const struct side *side, uint32_t row, size_t method)
{
	return side->automaton.answers[(size_t)row * side->automaton.methods.count + side->method_of[method]];
}

static enum ks_err add_region(struct walk *w, const uint32_t rows[2], size_t method, uint32_t pair, uint32_t last)
{
	struct ks_policy_regions *out = w->out;
	uint64_t word = (uint64_t)rule_of(&w->sides[0], rows[0], method) << 32 | rule_of(&w->sides[1], rows[1], method);
	uint32_t at;
	bool fresh;

	if (word == 0)
		return KS_OK;
	KS_TRY(index_take(&w->region_index, word, (uint32_t)out->count, &at, &fresh));
	if (fresh) {
		if (out->count == KS_POLICY_REGIONS_MAX)
			return KS_FULL;
		if (out->count == w->region_cap) {
			size_t cap = w->region_cap ? 2 * w->region_cap : 256;
			struct ks_policy_region *grown = realloc(out->items, cap * sizeof(*grown));

			if (!grown)
				return KS_MEMORY;
			out->items = grown;
			w->region_cap = cap;
		}
		out->items[out->count++] = (struct ks_policy_region){
			.sides = {entry_of(&w->sides[0], rows[0], method), entry_of(&w->sides[1], rows[1], method)},
			.example = example_of(w, pair, last),
		};
		if (!out->items[at].example)
			return KS_MEMORY;
	}
	out->items[at].methods[method / 64] |= UINT64_C(1) << (method % 64);
	return KS_OK;
}

/* What paths that end here (`last` NONE), or here with a slash, are answered. */
static enum ks_err add_regions(struct walk *w, const uint32_t rows[2], uint32_t pair, uint32_t last)
{
	if (rows[0] == 0 && rows[1] == 0)
		return KS_OK;
	for (size_t m = 0; m < w->out->method_count; m++)
		KS_TRY(add_region(w, rows, m, pair, last));
	return KS_OK;
}

static int by_segment(const void *a, const void *b)
{
	uint32_t x = ((const struct policy_edge *)a)->segment, y = ((const struct policy_edge *)b)->segment;

	return (x > y) - (x < y);
}

/* Edges with the shared numbers, in their order, so that two states are merged in one pass. */
static void order_edges(struct side *side)
{
	struct policy_automaton *a = &side->automaton;

	for (size_t i = 0; i < a->edge_count; i++)
		a->edges[i].segment = side->segments[a->edges[i].segment];
	for (size_t i = 0; i < a->state_count; i++)
		if (a->states[i].edge_count > 1)
			qsort(&a->edges[a->states[i].edges_at], a->states[i].edge_count, sizeof(*a->edges),
			      by_segment);
}

/* The next literal of either state, and where both go with it. */
static bool next_literal(const struct side sides[2], const struct policy_state *const states[2], uint32_t at[2],
			 uint32_t *ret_segment, uint32_t ret_targets[2])
{
	uint32_t least = NONE;

	for (size_t s = 0; s < 2; s++)
		if (at[s] < states[s]->edge_count)
			least = KS_MIN(least, sides[s].automaton.edges[states[s]->edges_at + at[s]].segment);
	if (least == NONE)
		return false;
	for (size_t s = 0; s < 2; s++) {
		const struct policy_edge *edge = &sides[s].automaton.edges[states[s]->edges_at + at[s]];
		bool has = at[s] < states[s]->edge_count && edge->segment == least;

		ret_targets[s] = has ? edge->target : states[s]->other;
		at[s] += has;
	}
	*ret_segment = least;
	return true;
}

static enum ks_err expand(struct walk *w, uint32_t pair)
{
	const struct policy_state *const states[2] = {&w->sides[0].automaton.states[w->pairs[pair].states[0]],
						      &w->sides[1].automaton.states[w->pairs[pair].states[1]]};
	uint32_t at[2] = {0, 0}, targets[2], segment;

	KS_TRY(add_regions(w, (const uint32_t[2]){states[0]->answer, states[1]->answer}, pair, NONE));
	if (states[0]->settled && states[1]->settled)
		return KS_OK;
	KS_TRY(add_regions(w, (const uint32_t[2]){states[0]->empty, states[1]->empty}, pair, BY_EMPTY));
	KS_TRY(visit(w, states[0]->other, states[1]->other, pair, BY_OTHER));
	while (next_literal(w->sides, states, at, &segment, targets))
		KS_TRY(visit(w, targets[0], targets[1], pair, segment));
	return KS_OK;
}

static enum ks_err walk(struct walk *w)
{
	KS_TRY(share_segments(w));
	share_methods(w);
	order_edges(&w->sides[0]);
	order_edges(&w->sides[1]);
	KS_TRY(visit(w, 1, 1, NONE, NONE));
	for (uint32_t i = 0; i < w->pair_count; i++)
		KS_TRY(expand(w, i));
	return KS_OK;
}

enum ks_err ks_policy_compare(const struct ks_policy *a, const struct ks_policy *b,
			      struct ks_policy_regions *ret_regions)
{
	struct ks_policy_regions *out = calloc(1, sizeof(*out));
	struct walk *w = calloc(1, sizeof(*w));
	enum ks_err err = out && w ? KS_OK : KS_MEMORY;

	if (err == KS_OK) {
		w->out = out;
		err = split(a, &w->sides[0]);
		if (err == KS_OK)
			err = split(b, &w->sides[1]);
		if (err == KS_OK)
			err = walk(w);
		for (size_t s = 0; s < 2; s++) {
			ks_policy_automaton_free(&w->sides[s].automaton);
			free(w->sides[s].split.families);
			free(w->sides[s].entries);
			free(w->sides[s].segments);
		}
		index_free(&w->pair_index);
		index_free(&w->region_index);
		free(w->pairs);
		free(w->texts);
	}
	free(w);
	if (err == KS_OK)
		*ret_regions = *out;
	else if (out)
		ks_policy_regions_free(out);
	free(out);
	return err;
}

void ks_policy_regions_free(struct ks_policy_regions *regions)
{
	for (size_t i = 0; i < regions->count; i++)
		free(regions->items[i].example);
	free(regions->items);
	*regions = (struct ks_policy_regions){0};
}

bool ks_policy_route_ok(struct ks_str text, const char **ret_why)
{
	struct policy_route *route = calloc(1, sizeof(*route));
	struct ks_str culprit;
	const char *why = route ? ks_policy_route_read(text, route, &culprit) : "cannot be read: out of memory";

	free(route);
	if (why)
		*ret_why = why;
	return !why;
}
