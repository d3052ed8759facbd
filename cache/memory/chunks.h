/* SPDX-License-Identifier: MIT */
/* A body whose length is not known yet, or of which only a window is kept, in pieces that never move.
 * Thread: append from the one that fills it, the rest from any. Owns: its chunks. Bounds: whoever appends. */
#ifndef CACHE_MEMORY_CHUNKS_H
#define CACHE_MEMORY_CHUNKS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

struct shard;
struct chunks;

/* announced: how many bytes there will be; -1: not known. NULL: no room. */
struct chunks *chunks_new(struct shard *s, int64_t announced) WARN_UNUSED;
int64_t chunks_announced(const struct chunks *c);
void chunks_free(struct shard *s, struct chunks *c);
/* Writes behind the `at` bytes that are there. -ENOMEM, and nothing written. */
int chunks_append(struct shard *s, struct chunks *c, uint64_t at, const void *p, size_t n, bool beyond) WARN_UNUSED;
/* The run at `offset`, of what lies before `available`. */
struct slice chunks_at(struct chunks *c, uint64_t offset, uint64_t available);
/* Frees what lies wholly before `offset`. */
void chunks_discard(struct shard *s, struct chunks *c, uint64_t offset);

#endif
