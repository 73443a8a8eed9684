/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "policy/policy_priv.h"

#define BLOCK_SIZE ((size_t)32 << 10)
#define ALIGNMENT sizeof(max_align_t)

struct policy_arena_block {
	struct policy_arena_block *next;
	size_t used;
	size_t cap;
	max_align_t bytes[];
};

void *ks_policy_arena_take(struct policy_arena *arena, size_t n)
{
	struct policy_arena_block *block = arena->head;

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

char *ks_policy_arena_copy(struct policy_arena *arena, struct ks_str text)
{
	char *copy = ks_policy_arena_take(arena, text.n + 1);

	if (copy && text.n)
		memcpy(copy, text.p, text.n);
	return copy;
}

void ks_policy_arena_free(struct policy_arena *arena)
{
	while (arena->head) {
		struct policy_arena_block *block = arena->head;

		arena->head = block->next;
		free(block);
	}
}
