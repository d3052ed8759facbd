/* SPDX-License-Identifier: MIT */
/* The one way to the allocator, so that tests can make the n-th allocation fail.
 * Thread: any. Every function may return NULL; the caller turns that into a 503, a miss or a clear exit at start. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

void *mem_alloc(size_t n) WARN_UNUSED;
void *mem_zalloc(size_t n) WARN_UNUSED;
void *mem_realloc(void *p, size_t n) WARN_UNUSED;
char *mem_strndup(const char *p, size_t n) WARN_UNUSED;
void mem_free(void *p);
/* calloc for libraries that take one, faster than glibc's for what is asked for often. Tests do not make it fail. */
void *mem_library_calloc(size_t n, size_t size) WARN_UNUSED;
/* Bytes that the allocator really takes for p, bookkeeping included: what a byte-exact bound must count. */
size_t mem_size(const void *p);

/* Tests only. The nth (1 = next) allocation from now on fails, and every one after it while `sticky`; 0 ends it.
 * Also set at start from the environment: MEMOPROXY_FAIL_ALLOC=n[:sticky] (debug and sanitizer builds only). */
void mem_fail_at(unsigned long nth, int sticky);
/* For what has a heap of its own: counts as an allocation; true: this is the one that fails. */
bool mem_fails(void);
/* Allocations so far; counting begins with the first call of this or mem_fail_at, so only differences mean something. */
unsigned long mem_alloc_count(void);

#endif
