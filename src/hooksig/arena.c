/* SPDX-License-Identifier: Apache-2.0 */
#include <stdalign.h>
#include <stdlib.h>

#include "base/secret.h"
#include "hooksig/hooksig_priv.h"

#define BLOCK_SIZE ((size_t)8 << 10)

struct hs_block {
	struct hs_block *next;
	size_t used, size;
	alignas(16) char bytes[];
};

struct hs_owned {
	struct hs_owned *next;
	void *thing;
	void (*fn)(void *thing);
};

void *hs_arena_take(struct hs_arena *arena, size_t n)
{
	struct hs_block *block = arena->blocks;
	size_t size;

	n = (n + 15) & ~(size_t)15;
	if (!block || block->size - block->used < n) {
		size = KS_MAX(BLOCK_SIZE, n);
		block = calloc(1, sizeof(*block) + size);
		if (!block)
			return NULL;
		block->size = size;
		block->next = arena->blocks;
		arena->blocks = block;
	}
	block->used += n;
	return &block->bytes[block->used - n];
}

bool hs_arena_copy(struct hs_arena *arena, struct ks_str text, struct ks_str *ret_copy)
{
	char *copy = hs_arena_take(arena, text.n + 1);

	if (!copy)
		return false;
	if (text.n > 0)
		memcpy(copy, text.p, text.n);
	*ret_copy = ks_str_of(copy, text.n);
	return true;
}

bool hs_arena_own(struct hs_arena *arena, void *thing, void (*fn)(void *thing))
{
	struct hs_owned *owned = hs_arena_take(arena, sizeof(*owned));

	if (!owned) {
		fn(thing);
		return false;
	}
	*owned = (struct hs_owned){arena->owned, thing, fn};
	arena->owned = owned;
	return true;
}

void hs_arena_free(struct hs_arena *arena)
{
	struct hs_block *block = arena->blocks;

	for (struct hs_owned *owned = arena->owned; owned; owned = owned->next)
		owned->fn(owned->thing);
	while (block) {
		struct hs_block *next = block->next;

		ks_wipe(block->bytes, block->used);
		free(block);
		block = next;
	}
	*arena = (struct hs_arena){0};
}
