/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/hash.h"
#include "policy/policy_priv.h"
#include "policy/policy_table.h"

#define KEYS_TRIED 16
/* Slots an edge, after which another key is tried. */
#define SPARSEST 32
#define MOVES_MAX 256

/* The parts of the table while they are made; then they are put together. */
struct compiling {
	const struct ks_policy *policy;
	struct policy_automaton automaton;
	uint64_t key[2];
	char *names;
	size_t names_size;
	uint32_t *segment_at; /* in the names, by segment */
	uint32_t *method_at;
	uint32_t *family_at;
	struct policy_node_row *nodes;
	struct policy_edge_row *edges;
	size_t edge_count;
	size_t edge_cap;
	struct policy_node_row methods;        /* only its edges */
	uint16_t scope_numbers[KS_SCOPES_MAX]; /* by position in the catalogue */
};

static uint32_t put_name(struct compiling *c, struct ks_str text)
{
	uint32_t at = (uint32_t)c->names_size;

	memcpy(&c->names[at], text.p, text.n);
	c->names_size += text.n;
	return at;
}

/* Writes all texts and remembers where they stand. */
static enum ks_err make_names(struct compiling *c)
{
	const struct policy_automaton *a = &c->automaton;
	const struct ks_policy *policy = c->policy;
	size_t size = 1;

	for (size_t i = 0; i < a->segment_count; i++)
		size += a->segments[i].n;
	for (size_t i = 0; i < a->methods.count; i++)
		size += a->methods.names[i].n;
	for (size_t i = 0; i < policy->family_count; i++)
		size += strlen(policy->families[i].name);
	if (size > POLICY_TABLE_MAX)
		return KS_FULL;
	c->names = malloc(size);
	c->segment_at = calloc(a->segment_count + 1, sizeof(*c->segment_at));
	c->method_at = calloc(a->methods.count, sizeof(*c->method_at));
	c->family_at = calloc(policy->family_count + 1, sizeof(*c->family_at));
	if (!c->names || !c->segment_at || !c->method_at || !c->family_at)
		return KS_MEMORY;
	for (size_t i = 0; i < a->segment_count; i++)
		c->segment_at[i] = put_name(c, a->segments[i]);
	for (size_t i = 0; i < a->methods.count; i++)
		c->method_at[i] = put_name(c, a->methods.names[i]);
	for (size_t i = 0; i < policy->family_count; i++)
		c->family_at[i] = put_name(c, ks_str_c(policy->families[i].name));
	return KS_OK;
}

static struct policy_edge_row edge_row(uint32_t text_at, struct ks_str text, uint32_t target)
{
	struct policy_packed packed = policy_pack(text);

	return (struct policy_edge_row){
		.head = packed.head,
		.tail = packed.tail,
		.length = (uint32_t)text.n,
		.text_at = text_at,
		.target = target,
	};
}

/* Finds a slot in one of the two buckets of `row`, moving others to theirs where both are full (cuckoo hashing; Pagh,
 * Rodler 2001). */
static bool insert_edge(const struct compiling *c, struct policy_edge_row *rows, uint32_t slots,
			struct policy_edge_row row)
{
	for (unsigned move = 0; move < MOVES_MAX; move++) {
		struct ks_str text = ks_str_of(&c->names[row.text_at], row.length);
		uint64_t hash = policy_hash(c->key, text, (struct policy_packed){row.head, row.tail});

		for (unsigned i = 0; i < 2 * POLICY_BUCKET; i++) {
			struct policy_edge_row *slot =
				&rows[policy_bucket(hash, slots, i / POLICY_BUCKET) + i % POLICY_BUCKET];

			if (slot->length == 0) {
				*slot = row;
				return true;
			}
		}
		struct policy_edge_row *victim =
			&rows[policy_bucket(hash, slots, move & 1) + (move >> 1) % POLICY_BUCKET];
		struct policy_edge_row moved = *victim;
		*victim = row;
		row = moved;
	}
	return false;
}

static bool fill_slots(const struct compiling *c, const struct policy_edge_row *wanted, uint32_t count,
		       struct policy_edge_row *rows, uint32_t slots)
{
	memset(rows, 0, slots * sizeof(*rows));
	for (uint32_t i = 0; i < count; i++) {
		if (slots <= POLICY_EDGES_SCANNED)
			rows[i] = wanted[i];
		else if (!insert_edge(c, rows, slots, wanted[i]))
			return false;
	}
	return true;
}

/* Room for `slots` more rows of edges. */
static enum ks_err reserve_edges(struct compiling *c, uint32_t slots)
{
	size_t want = c->edge_count + slots, cap = KS_MAX(want, c->edge_cap * 2);

	if (want > POLICY_TABLE_MAX / sizeof(*c->edges))
		return KS_FULL;
	if (want <= c->edge_cap)
		return KS_OK;
	struct policy_edge_row *moved = realloc(c->edges, cap * sizeof(*moved));
	if (!moved)
		return KS_MEMORY;
	c->edges = moved;
	c->edge_cap = cap;
	return KS_OK;
}

/* Appends the edges of one node. KS_CONFLICT where they find no places under this key. */
static enum ks_err put_edges(struct compiling *c, const struct policy_edge_row *wanted, uint32_t count,
			     struct policy_node_row *ret_node)
{
	uint32_t slots = count, longest = 0;

	if (count > POLICY_EDGES_SCANNED)
		for (slots = 2 * POLICY_EDGES_SCANNED; slots < 2 * count;)
			slots *= 2;
	for (uint32_t i = 0; i < count; i++)
		longest = KS_MAX(longest, wanted[i].length);
	for (;; slots *= 2) {
		KS_TRY(reserve_edges(c, slots));
		if (slots == 0 || fill_slots(c, wanted, count, &c->edges[c->edge_count], slots))
			break;
		if (slots / SPARSEST > count)
			return KS_CONFLICT;
	}
	ret_node->edges_at = (uint32_t)c->edge_count;
	ret_node->edge_slots = slots;
	ret_node->longest = longest;
	c->edge_count += slots;
	return KS_OK;
}

static enum ks_err put_state(struct compiling *c, size_t number, struct policy_edge_row *scratch)
{
	const struct policy_automaton *a = &c->automaton;
	const struct policy_state *state = &a->states[number];
	struct policy_node_row *node = &c->nodes[number];

	node->other = state->other;
	node->empty = state->empty;
	node->answer = state->answer;
	node->settled = state->settled;
	for (uint32_t i = 0; i < state->edge_count; i++) {
		const struct policy_edge *edge = &a->edges[state->edges_at + i];

		scratch[i] = edge_row(c->segment_at[edge->segment], a->segments[edge->segment], edge->target);
	}
	return put_edges(c, scratch, state->edge_count, node);
}

/* All edges under the present key; those of the methods come last. */
static enum ks_err put_all_edges(struct compiling *c, struct policy_edge_row *scratch)
{
	const struct policy_methods *methods = &c->automaton.methods;

	c->edge_count = 0;
	for (size_t i = 0; i < c->automaton.state_count; i++)
		KS_TRY(put_state(c, i, scratch));
	for (uint32_t i = 1; i < methods->count; i++)
		scratch[i - 1] = edge_row(c->method_at[i], methods->names[i], i);
	return put_edges(c, scratch, (uint32_t)methods->count - 1, &c->methods);
}

static enum ks_err make_nodes(struct compiling *c, const uint64_t hash_key[2])
{
	size_t most = KS_POLICY_METHODS_MAX;
	enum ks_err err = KS_CONFLICT;

	for (size_t i = 0; i < c->automaton.state_count; i++)
		most = KS_MAX(most, c->automaton.states[i].edge_count);
	struct policy_edge_row *scratch = calloc(most, sizeof(*scratch));
	c->nodes = calloc(c->automaton.state_count, sizeof(*c->nodes));
	if (!scratch || !c->nodes)
		err = KS_MEMORY;
	for (uint64_t attempt = 0; err == KS_CONFLICT && attempt < KEYS_TRIED; attempt++) {
		c->key[0] = hash_key[0] + attempt * UINT64_C(0x9e3779b97f4a7c15);
		c->key[1] = attempt ? ks_mix64(hash_key[1] + attempt, c->key) : hash_key[1];
		err = put_all_edges(c, scratch);
	}
	free(scratch);
	return err == KS_CONFLICT ? KS_FULL : err;
}

/* Gives the scopes of the catalogue their numbers; none is added unless all fit. */
static enum ks_err number_scopes(struct compiling *c, struct ks_scope_table *scopes)
{
	size_t fresh = 0;
	uint16_t number;

	for (size_t i = 0; i < c->policy->scope_count; i++)
		fresh += !ks_scope_find(scopes, ks_str_c(c->policy->scopes[i].name), &number);
	if (atomic_load_explicit(&scopes->count, memory_order_relaxed) + fresh > KS_SCOPES_MAX)
		return KS_FULL;
	for (size_t i = 0; i < c->policy->scope_count; i++)
		KS_TRY(ks_scope_add(scopes, ks_str_c(c->policy->scopes[i].name), &c->scope_numbers[i]));
	return KS_OK;
}

static void put_rule(const struct compiling *c, size_t family_position, size_t method_position,
		     struct ks_rule *ret_rule)
{
	const struct ks_policy_family *family = &c->policy->families[family_position];
	const struct ks_policy_method *method = &family->methods[method_position];

	*ret_rule = (struct ks_rule){
		.family_name_at = c->family_at[family_position],
		.family_name_len = (uint8_t)strlen(family->name),
		.kinds = family->kinds,
		.environments = family->environments,
		.tenant_header = (uint8_t)family->tenant_header,
		.inherited = family->inherited,
		.scope_count = (uint8_t)method->scope_count,
		.family = (uint16_t)family_position,
	};
	for (size_t i = 0; i < method->scope_count; i++)
		ret_rule->scopes[i] = c->scope_numbers[method->scopes[i]];
	ret_rule->usage_class = ret_rule->scopes[0];
}

/* Offsets of the parts, one after the other; those of the widest rows first, so that all are aligned. KS_FULL beyond
 * the limit. */
static enum ks_err lay_out(const struct compiling *c, struct ks_policy_table *head)
{
	const struct policy_automaton *a = &c->automaton;
	const struct {
		uint32_t *at;
		uint64_t bytes;
	} parts[] = {
		{&head->edges_at, c->edge_count * sizeof(struct policy_edge_row)},
		{&head->nodes_at, a->state_count * sizeof(struct policy_node_row)},
		{&head->answers_at, a->answer_count * a->methods.count * sizeof(uint32_t)},
		{&head->rules_at, a->rule_count * sizeof(struct ks_rule)},
		{&head->names_at, c->names_size},
	};
	uint64_t size = sizeof(*head);

	for (size_t i = 0; i < KS_ARRAY_LEN(parts); i++) {
		if (size > POLICY_TABLE_MAX)
			return KS_FULL;
		*parts[i].at = (uint32_t)size;
		size += parts[i].bytes;
	}
	size = (size + 7) & ~UINT64_C(7);
	if (size > POLICY_TABLE_MAX)
		return KS_FULL;
	head->size = (uint32_t)size;
	return KS_OK;
}

static struct ks_policy_table make_head(const struct compiling *c)
{
	const struct policy_automaton *a = &c->automaton;

	return (struct ks_policy_table){
		.magic = POLICY_TABLE_MAGIC,
		.version = POLICY_TABLE_VERSION,
		.rule_count = (uint32_t)a->rule_count,
		.root = 1,
		.hash_key = {c->key[0], c->key[1]},
		.node_count = (uint32_t)a->state_count,
		.edge_count = c->methods.edges_at,
		.method_slots = c->methods.edge_slots,
		.method_count = (uint32_t)a->methods.count,
		.answer_count = (uint32_t)a->answer_count,
		.names_size = (uint32_t)c->names_size,
	};
}

static void copy_part(struct ks_policy_table *table, uint32_t at, const void *bytes, size_t n)
{
	if (n > 0)
		memcpy((char *)table + at, bytes, n);
}

/* Puts the parts together. */
static enum ks_err make_table(struct compiling *c, struct ks_scope_table *scopes, struct ks_policy_table **ret_table)
{
	const struct policy_automaton *a = &c->automaton;
	struct ks_policy_table head = make_head(c), *table;

	KS_TRY(lay_out(c, &head));
	head.methods_at = head.edges_at + head.edge_count * (uint32_t)sizeof(struct policy_edge_row);
	table = calloc(1, head.size);
	if (!table)
		return KS_MEMORY;
	enum ks_err err = number_scopes(c, scopes);
	if (err != KS_OK) {
		free(table);
		return err;
	}
	*table = head;
	copy_part(table, head.edges_at, c->edges, c->edge_count * sizeof(*c->edges));
	copy_part(table, head.nodes_at, c->nodes, a->state_count * sizeof(*c->nodes));
	copy_part(table, head.answers_at, a->answers, a->answer_count * a->methods.count * sizeof(*a->answers));
	copy_part(table, head.names_at, c->names, c->names_size);
	struct ks_rule *rule = (struct ks_rule *)(void *)((char *)table + head.rules_at);
	for (size_t f = 0; f < c->policy->family_count; f++)
		for (size_t m = 0; m < c->policy->families[f].method_count; m++)
			put_rule(c, f, m, rule++);
	table->crc = ks_policy_table_crc(table);
	*ret_table = table;
	return KS_OK;
}

enum ks_err ks_policy_compile(const struct ks_policy *policy, struct ks_scope_table *scopes, const uint64_t hash_key[2],
			      struct ks_policy_table **ret_table)
{
	struct compiling c = {.policy = policy};
	enum ks_err err = ks_policy_automaton_build(policy, &c.automaton);

	if (err == KS_OK)
		err = make_names(&c);
	if (err == KS_OK)
		err = make_nodes(&c, hash_key);
	if (err == KS_OK)
		err = make_table(&c, scopes, ret_table);
	ks_policy_automaton_free(&c.automaton);
	free(c.names);
	free(c.segment_at);
	free(c.method_at);
	free(c.family_at);
	free(c.nodes);
	free(c.edges);
	return err;
}
