/* SPDX-License-Identifier: MIT */
#include "base/mem.h"

#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* glibc's calloc does not take from the thread's own cache, which free fills and malloc uses; that cache is for blocks up to
 * about this size. Larger ones may come from the kernel, zeroed already. */
#define CACHED_MAX 1024

/* glibc keeps the chunk's size in the word before the block. */
#define CHUNK_OVERHEAD sizeof(size_t)

/* Off until a test asks, so that the usual allocation reads one flag that nobody writes. */
static _Atomic bool counting;
static _Atomic unsigned long allocations;
static _Atomic unsigned long fail_at; /* value of `allocations` that fails; 0: none */
static _Atomic bool fail_sticky;

static bool counted_allocation_fails(void)
{
	unsigned long n = atomic_fetch_add(&allocations, 1) + 1;
	unsigned long at = atomic_load(&fail_at);

	return at != 0 && (n == at || (n > at && atomic_load(&fail_sticky)));
}

bool mem_fails(void)
{
	return atomic_load_explicit(&counting, memory_order_relaxed) && counted_allocation_fails();
}

void *mem_alloc(size_t n)
{
	return mem_fails() ? NULL : malloc(n ? n : 1);
}

static void *zeroed(size_t n)
{
	void *p;

	if (n > CACHED_MAX)
		return calloc(1, n);
	p = malloc(n ? n : 1);
	return p ? memset(p, 0, n) : NULL;
}

void *mem_zalloc(size_t n)
{
	return mem_fails() ? NULL : zeroed(n);
}

void *mem_library_calloc(size_t n, size_t size)
{
	size_t all;

	return __builtin_mul_overflow(n, size, &all) ? NULL : zeroed(all);
}

void *mem_realloc(void *p, size_t n)
{
	return mem_fails() ? NULL : realloc(p, n ? n : 1);
}

char *mem_strndup(const char *p, size_t n)
{
	char *z = n < SIZE_MAX ? mem_alloc(n + 1) : NULL;

	if (!z)
		return NULL;
	if (n > 0)
		memcpy(z, p, n);
	z[n] = '\0';
	return z;
}

void mem_free(void *p)
{
	free(p);
}

size_t mem_size(const void *p)
{
	/* malloc_usable_size only reads; its parameter predates const. */
	return p ? malloc_usable_size((void *)(uintptr_t)p) + CHUNK_OVERHEAD : 0;
}

void mem_fail_at(unsigned long nth, int sticky)
{
	atomic_store(&counting, true);
	atomic_store(&fail_sticky, sticky != 0);
	atomic_store(&fail_at, nth ? atomic_load(&allocations) + nth : 0);
}

unsigned long mem_alloc_count(void)
{
	atomic_store(&counting, true);
	return atomic_load(&allocations);
}

#ifdef MEMOPROXY_HOOKS
__attribute__((constructor)) static void fail_as_environment_says(void)
{
	const char *value = getenv("MEMOPROXY_FAIL_ALLOC");
	char *end = NULL;
	unsigned long nth = value ? strtoul(value, &end, 10) : 0;

	if (!value)
		return;
	if (end == value || (strcmp(end, "") != 0 && strcmp(end, ":sticky") != 0)) {
		fprintf(stderr, "MEMOPROXY_FAIL_ALLOC=%s: it must be n or n:sticky\n", value);
		exit(2);
	}
	mem_fail_at(nth, *end == ':');
}
#endif
