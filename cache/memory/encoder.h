/* SPDX-License-Identifier: MIT */
/* Threads that encode stored bodies which would keep a worker for too long (encode.h).
 * Thread: any. Owns: a reference to each object that waits, or is being encoded.
 * Bounds: ENCODER_JOBS objects, and bytes_max of their bodies; what is beyond is not encoded. Threads begin with the first
 * object. Private to cache/. */
#ifndef CACHE_MEMORY_ENCODER_H
#define CACHE_MEMORY_ENCODER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"

#define ENCODER_JOBS 1024
#define ENCODER_THREADS_MAX 8
#define ENCODER_AT_ONCE_BYTES (64 * 1024) /* four milliseconds in all codings */
#define ENCODER_MOMENT_MS 16

struct encoder;
struct object;

/* A thread for each four workers, ENCODER_THREADS_MAX at most. 0 or -ENOMEM. */
int encoder_new(unsigned workers, uint64_t bytes_max, struct encoder **out) WARN_UNUSED;
/* What waits is dropped; waits for what is being encoded. */
void encoder_free(struct encoder **e);
/* May a worker encode n bytes itself? Many responses may end in one turn of its loop, and all others wait for it meanwhile:
 * ENCODER_AT_ONCE_BYTES in ENCODER_MOMENT_MS. True: they count. */
bool encoder_allows_at_once(struct encoder *e, unsigned worker, int64_t now_ms, size_t n);
/* Has its encodings, which are there already and empty, made by and by, unless there is no room for it (`dropped`), or nobody wants
 * them any more by then. Takes a reference of its own. codings: bits 1u << enum cache_coding. */
void encoder_give(struct encoder *e, struct object *o, unsigned codings);

struct encoder_stats {
	uint64_t waiting, made, dropped;
};
void encoder_stats(struct encoder *e, struct encoder_stats *out);

#endif
