/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "yaml/nodes.h"

bool ks_yaml_is_null(const struct ks_yaml_node *node)
{
	return node->type == KS_YAML_TEXT && node->plain &&
	       (node->text.n == 0 || ks_str_eq(node->text, KS_STR("~")) || ks_str_eq(node->text, KS_STR("null")));
}

static int by_text_then_place(const void *a, const void *b)
{
	const struct ks_yaml_node *left = ((const struct ks_yaml_pair *)a)->key, *right = ((const struct ks_yaml_pair *)b)->key;
	int order = ks_str_order(left->text, right->text);

	if (order != 0)
		return order;
	if (left->mark.line != right->mark.line)
		return left->mark.line < right->mark.line ? -1 : 1;
	return left->mark.column < right->mark.column ? -1 : left->mark.column > right->mark.column;
}

size_t ks_yaml_pairs(const struct ks_yaml_node *map, struct ks_yaml_arena *arena, struct ks_yaml_log *log,
		     struct ks_yaml_pair **ret_pairs)
{
	struct ks_yaml_pair *pairs = ks_yaml_arena_take(arena, map->count * sizeof(*pairs));
	struct ks_yaml_pair *sorted = ks_yaml_arena_take(arena, map->count * sizeof(*sorted));
	size_t n = 0, kept = 0;

	if (!pairs || !sorted) {
		log->memory = true;
		return 0;
	}
	for (const struct ks_yaml_node *key = map->first; key && key->next; key = key->next->next) {
		if (key->type == KS_YAML_TEXT)
			sorted[n++] = (struct ks_yaml_pair){key, key->next};
		else
			KS_YAML_REPORT(log, key, "a key has the wrong form: it must be text");
	}
	memcpy(pairs, sorted, n * sizeof(*pairs));
	qsort(sorted, n, sizeof(*sorted), by_text_then_place);
	for (size_t i = 1; i < n; i++)
		if (ks_str_eq(sorted[i].key->text, sorted[i - 1].key->text))
			KS_YAML_REPORT(log, sorted[i].key, "%s stands twice in the same map (before in line %u)",
			       KS_YAML_QUOTE(sorted[i].key->text), sorted[i - 1].key->mark.line);
	for (size_t i = 0; i < n; i++) {
		const struct ks_yaml_pair *found = bsearch(&pairs[i], sorted, n, sizeof(*sorted), by_text_then_place);
		bool first = found == sorted || !ks_str_eq(found[-1].key->text, found->key->text);

		if (first)
			pairs[kept++] = pairs[i];
	}
	*ret_pairs = pairs;
	return kept;
}
