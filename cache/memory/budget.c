/* SPDX-License-Identifier: MIT */
/* The budget that all bytes of the memory tier come from. What is evicted for them, memory.c says. */
#include "cache/memory/memory.h"

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

static void *take(struct shard *home, size_t n)
{
	return heap_take(&home->memory->heap, (unsigned)(home - home->memory->shards), n);
}

void *memory_take(struct shard *home, size_t n)
{
	size_t reserved = heap_size_at_most(n);
	void *p;

	if (!reserve(home, reserved))
		return NULL;
	p = take(home, n);
	/* Unsigned arithmetic wraps as it should when the guess was too low. */
	atomic_fetch_add_explicit(&home->memory->bytes, heap_size(p) - reserved, memory_order_relaxed);
	return p;
}

void *memory_take_beyond(struct shard *home, size_t n)
{
	void *p = take(home, n);

	atomic_fetch_add_explicit(&home->memory->bytes, heap_size(p), memory_order_relaxed);
	return p;
}

void memory_give(struct shard *home, void *p)
{
	atomic_fetch_sub_explicit(&home->memory->bytes, heap_size(p), memory_order_relaxed);
	heap_give(&home->memory->heap, p);
}

void memory_trim(struct shard *home)
{
	while (atomic_load_explicit(&home->memory->bytes, memory_order_relaxed) > home->memory->limit_bytes)
		if (!home->memory->evict(home))
			return;
}
