/* SPDX-License-Identifier: MIT */
/* The budget that all bytes of the memory tier come from. What is evicted for them, memory.c says. */
#include "base/mem.h"
#include "cache/memory/memory.h"

/* At least what the allocator will take for n bytes: its header, rounding, and a remainder too small to split off. */
static size_t reserve_size(size_t n)
{
	return n < 64 * 1024 ? ((n + 8 + 15) & ~(size_t)15) + 32 : n + 2 * 4096 + 64;
}

static bool reserve(struct shard *home, size_t n)
{
	struct memory *m = home->memory;

	if (n > m->limit_bytes)
		return false;
	for (;;) {
		uint64_t before = atomic_fetch_add_explicit(&m->bytes, n, memory_order_relaxed);

		if (before + n <= m->limit_bytes)
			return true;
		atomic_fetch_sub_explicit(&m->bytes, n, memory_order_relaxed);
		if (!home->memory->evict(home))
			return false;
	}
}

void *memory_take(struct shard *home, size_t n)
{
	size_t reserved = reserve_size(n);
	void *p;

	if (!reserve(home, reserved))
		return NULL;
	p = mem_alloc(n);
	/* Unsigned arithmetic wraps as it should when the guess was too low. */
	atomic_fetch_add_explicit(&home->memory->bytes, mem_size(p) - reserved, memory_order_relaxed);
	return p;
}

void *memory_take_beyond(struct shard *home, size_t n)
{
	void *p = mem_alloc(n);

	atomic_fetch_add_explicit(&home->memory->bytes, mem_size(p), memory_order_relaxed);
	return p;
}

void memory_give(struct shard *home, void *p)
{
	atomic_fetch_sub_explicit(&home->memory->bytes, mem_size(p), memory_order_relaxed);
	mem_free(p);
}

void memory_trim(struct shard *home)
{
	while (atomic_load_explicit(&home->memory->bytes, memory_order_relaxed) > home->memory->limit_bytes)
		if (!home->memory->evict(home))
			return;
}
