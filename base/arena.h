/* SPDX-License-Identifier: MIT */
/* Memory that goes all at once: everything a configuration points to, say.
 * Thread: one at a time. Owns: each block until arena_free. Bounds: none but its user's. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

#include "base/check.h"
#include "base/slice.h"

struct arena;

struct arena *arena_new(void) WARN_UNUSED;
void arena_free(struct arena **a); /* takes NULL too */
/* Zeroed, aligned for anything; NULL when there is no memory. */
void *arena_alloc(struct arena *a, size_t n) WARN_UNUSED;
/* A copy followed by a NUL byte; its p is NULL when there is no memory. */
struct slice arena_copy(struct arena *a, struct slice s) WARN_UNUSED;

#endif
