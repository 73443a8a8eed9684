/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "yaml/nodes.h"

#define BLOCK_SIZE ((size_t)32 << 10)
#define ALIGNMENT sizeof(max_align_t)

struct ks_yaml_arena_block {
	struct ks_yaml_arena_block *next;
	size_t used;
	size_t cap;
	max_align_t bytes[];
};

void *ks_yaml_arena_take(struct ks_yaml_arena *arena, size_t n)
{
	struct ks_yaml_arena_block *block = arena->head;

	n = n ? n : 1;
	if (n > SIZE_MAX / 2)
		return NULL;
	n = (n + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	if (!block || block->cap - block->used < n) {
		size_t cap = KS_MAX(n, BLOCK_SIZE);

		block = calloc(1, sizeof(*block) + cap);
		if (!block)
			return NULL;
		block->cap = cap;
		block->next = arena->head;
		arena->head = block;
	}
	void *p = (char *)block->bytes + block->used;
	block->used += n;
	return p;
}

char *ks_yaml_arena_copy(struct ks_yaml_arena *arena, struct ks_str text)
{
	char *copy = ks_yaml_arena_take(arena, text.n + 1);

	if (copy && text.n)
		memcpy(copy, text.p, text.n);
	return copy;
}

void ks_yaml_arena_free(struct ks_yaml_arena *arena)
{
	while (arena->head) {
		struct ks_yaml_arena_block *block = arena->head;

		arena->head = block->next;
		free(block);
	}
}
