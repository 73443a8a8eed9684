/* SPDX-License-Identifier: Apache-2.0 */
#include "base/hash.h"
#include "policy/policy_table.h"

/* A part of the table; offsets were checked when the table was made or taken over. */
static inline const void *part(const struct ks_policy_table *table, uint32_t at)
{
	return (const char *)table + at;
}

/* `is_long` is a constant wherever this is used: the words of a text of up to 16 bytes are all of it. */
static inline bool edge_is(const struct ks_policy_table *table, const struct policy_edge_row *edge, struct ks_str text,
			   struct policy_packed packed, bool is_long)
{
	if (((edge->head ^ packed.head) | (edge->tail ^ packed.tail) | (edge->length ^ text.n)) != 0)
		return false;
	return !is_long ||
	       ks_str_eq(ks_str_of((const char *)part(table, table->names_at) + edge->text_at, edge->length), text);
}

/* The edge for `text` (not empty) among `slots`, or NULL. Looks at four slots at most. */
static inline __attribute__((always_inline)) const struct policy_edge_row *search(const struct ks_policy_table *table,
										  const struct policy_edge_row *edges,
										  uint32_t slots, struct ks_str text,
										  bool is_long)
{
	struct policy_packed packed = policy_pack(text);

	if (slots <= POLICY_EDGES_SCANNED) {
		for (uint32_t i = 0; i < slots; i++)
			if (edge_is(table, &edges[i], text, packed, is_long))
				return &edges[i];
		return NULL;
	}
	uint64_t hash = policy_hash(table->hash_key, text, packed);
	for (unsigned which = 0; which < 2; which++) {
		const struct policy_edge_row *bucket = &edges[policy_bucket(hash, slots, which)];

		for (uint32_t i = 0; i < POLICY_BUCKET; i++)
			if (edge_is(table, &bucket[i], text, packed, is_long))
				return &bucket[i];
	}
	return NULL;
}

/* Apart, so that the usual short texts are compared without a call or a saved register. */
static __attribute__((noinline)) const struct policy_edge_row *search_long(const struct ks_policy_table *table,
									   const struct policy_edge_row *edges,
									   uint32_t slots, struct ks_str text)
{
	return search(table, edges, slots, text, true);
}

static inline __attribute__((always_inline)) const struct policy_edge_row *find_edge(
	const struct ks_policy_table *table, const struct policy_edge_row *edges, uint32_t slots, struct ks_str text)
{
	return KS_LIKELY(text.n <= 16) ? search(table, edges, slots, text, false)
				       : search_long(table, edges, slots, text);
}

/* The number of the method: 0 for one without an entry of its own anywhere. False for what is no method. */
static inline bool method_number(const struct ks_policy_table *table, struct ks_str method, uint32_t *ret_number)
{
	const struct policy_edge_row *edge = NULL;

	if (method.n > 0)
		edge = find_edge(table, part(table, table->methods_at), table->method_slots, method);
	*ret_number = edge ? edge->target : 0;
	return edge || ks_method_ok(method);
}

/* The node that a segment (not empty) leads to. */
static inline uint32_t step(const struct ks_policy_table *table, const struct policy_node_row *node,
			    struct ks_str segment)
{
	const struct policy_edge_row *edges = part(table, table->edges_at), *edge;

	/* Also where there are no edges: their longest has no bytes. */
	if (segment.n > node->longest)
		return node->other;
	edge = find_edge(table, &edges[node->edges_at], node->edge_slots, segment);
	return edge ? edge->target : node->other;
}

/* The row of answers for a path. */
static inline uint32_t find_answer(const struct ks_policy_table *table, const struct ks_path *path)
{
	const struct policy_node_row *nodes = part(table, table->nodes_at);
	const struct policy_node_row *node = &nodes[table->root];

	for (size_t i = 0; i < path->count && !node->settled; i++) {
		/* Only the last segment can be empty. */
		if (KS_UNLIKELY(path->segments[i].n == 0))
			return node->empty;
		node = &nodes[step(table, node, path->segments[i])];
	}
	return node->answer;
}

const struct ks_rule *ks_policy_match(const struct ks_policy_table *table, const struct ks_path *path,
				      struct ks_str method)
{
	const uint32_t *answers = part(table, table->answers_at);
	const struct ks_rule *rules = part(table, table->rules_at);
	uint32_t answer = find_answer(table, path), number, rule;

	if (answer == 0 || !method_number(table, method, &number))
		return NULL;
	rule = answers[(size_t)answer * table->method_count + number];
	return rule ? &rules[rule - 1] : NULL;
}

struct ks_str ks_rule_family(const struct ks_policy_table *table, const struct ks_rule *rule)
{
	return ks_str_of((const char *)part(table, table->names_at) + rule->family_name_at, rule->family_name_len);
}

const struct ks_rule *ks_policy_rule(const struct ks_policy_table *table, uint32_t index)
{
	const struct ks_rule *rules = part(table, table->rules_at);

	return index < table->rule_count ? &rules[index] : NULL;
}

/* The checks. Everything that matching follows is compared with where it must lie; numbers that only give a wrong
 * verdict are the checksum's. */

/* True if `count` things of `size` bytes lie at `at`, aligned and inside. */
static bool part_ok(const struct ks_policy_table *table, uint32_t at, uint64_t count, uint64_t size, uint64_t alignment)
{
	return at >= sizeof(*table) && at % alignment == 0 && count <= table->size && at + count * size <= table->size;
}

static bool slots_ok(uint32_t slots)
{
	return slots <= POLICY_EDGES_SCANNED || (slots & (slots - 1)) == 0;
}

static bool nodes_ok(const struct ks_policy_table *table)
{
	const struct policy_node_row *nodes = part(table, table->nodes_at);

	for (uint32_t i = 0; i < table->node_count; i++) {
		const struct policy_node_row *node = &nodes[i];

		if (!slots_ok(node->edge_slots) || (uint64_t)node->edges_at + node->edge_slots > table->edge_count ||
		    node->other >= table->node_count || node->empty >= table->answer_count ||
		    node->answer >= table->answer_count || node->settled > 1)
			return false;
	}
	return nodes[0].settled && nodes[0].answer == 0;
}

static bool edges_ok(const struct ks_policy_table *table, uint32_t at, uint32_t count, uint32_t target_count)
{
	const struct policy_edge_row *edges = part(table, at);

	for (uint32_t i = 0; i < count; i++)
		if ((uint64_t)edges[i].text_at + edges[i].length > table->names_size || edges[i].target >= target_count)
			return false;
	return true;
}

static bool answers_ok(const struct ks_policy_table *table)
{
	const uint32_t *answers = part(table, table->answers_at);

	for (uint64_t i = 0; i < (uint64_t)table->answer_count * table->method_count; i++)
		if (answers[i] > table->rule_count)
			return false;
	return true;
}

static bool rule_ok(const struct ks_policy_table *table, const struct ks_rule *rule)
{
	if ((uint64_t)rule->family_name_at + rule->family_name_len > table->names_size ||
	    rule->family_name_len > KS_FAMILY_NAME_MAX || rule->tenant_header >= KS_TENANT_HEADER_COUNT ||
	    rule->inherited > 1 || rule->scope_count == 0 || rule->scope_count > KS_POLICY_RULE_SCOPES_MAX ||
	    rule->family >= KS_POLICY_FAMILIES_MAX || rule->usage_class >= KS_SCOPES_MAX)
		return false;
	for (size_t i = 0; i < rule->scope_count; i++)
		if (rule->scopes[i] >= KS_SCOPES_MAX)
			return false;
	return true;
}

static bool rules_ok(const struct ks_policy_table *table)
{
	const struct ks_rule *rules = part(table, table->rules_at);

	for (uint32_t i = 0; i < table->rule_count; i++)
		if (!rule_ok(table, &rules[i]))
			return false;
	return true;
}

uint32_t ks_policy_table_crc(const struct ks_policy_table *table)
{
	struct ks_policy_table head = *table;

	head.crc = 0;
	return ks_crc32(ks_crc32(0, &head, sizeof(head)), table + 1, table->size - sizeof(head));
}

static bool parts_ok(const struct ks_policy_table *table)
{
	uint64_t row = sizeof(uint32_t) * (uint64_t)table->method_count;

	return table->method_count > 0 && table->method_count <= KS_POLICY_METHODS_MAX + 1 && table->node_count > 0 &&
	       table->answer_count > 0 && table->root < table->node_count && slots_ok(table->method_slots) &&
	       part_ok(table, table->edges_at, table->edge_count, sizeof(struct policy_edge_row), 8) &&
	       part_ok(table, table->methods_at, table->method_slots, sizeof(struct policy_edge_row), 8) &&
	       part_ok(table, table->nodes_at, table->node_count, sizeof(struct policy_node_row), 4) &&
	       part_ok(table, table->answers_at, table->answer_count, row, 4) &&
	       part_ok(table, table->rules_at, table->rule_count, sizeof(struct ks_rule), 4) &&
	       part_ok(table, table->names_at, table->names_size, 1, 1);
}

bool ks_policy_table_ok(const struct ks_policy_table *table, size_t size)
{
	if ((uintptr_t)table % _Alignof(struct ks_policy_table) != 0 || size < sizeof(*table) || table->size != size ||
	    table->magic != POLICY_TABLE_MAGIC || table->version != POLICY_TABLE_VERSION)
		return false;
	return parts_ok(table) && table->crc == ks_policy_table_crc(table) && nodes_ok(table) && answers_ok(table) &&
	       rules_ok(table) && edges_ok(table, table->edges_at, table->edge_count, table->node_count) &&
	       edges_ok(table, table->methods_at, table->method_slots, table->method_count);
}
