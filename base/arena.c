/* SPDX-License-Identifier: MIT */
#include "base/arena.h"

#include <stdalign.h>

#include "base/mem.h"

struct block {
	struct block *next;
	alignas(max_align_t) char bytes[];
};

struct arena {
	struct block *blocks;
};

struct arena *arena_new(void)
{
	return mem_zalloc(sizeof(struct arena));
}

void arena_free(struct arena **a)
{
	struct block *block = *a ? (*a)->blocks : NULL;

	while (block) {
		struct block *next = block->next;

		mem_free(block);
		block = next;
	}
	mem_free(*a);
	*a = NULL;
}

void *arena_alloc(struct arena *a, size_t n)
{
	struct block *block = mem_zalloc(sizeof(*block) + n);

	if (!block)
		return NULL;
	block->next = a->blocks;
	a->blocks = block;
	return block->bytes;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
	char *p = arena_alloc(a, s.n + 1);

	if (p && s.n > 0)
		memcpy(p, s.p, s.n);
	return (struct slice){p, p ? s.n : 0};
}
