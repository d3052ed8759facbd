/* SPDX-License-Identifier: MIT */
/* Threads that encode stored bodies which would keep a worker for too long (encode.h).
 * Thread: any. Owns: a reference to each object that waits, or is being encoded.
 * Bounds: ENCODER_JOBS objects, and bytes_max of their bodies; what is beyond is not encoded. Threads begin with the first
 * object. Private to cache/. */
#ifndef CACHE_MEMORY_ENCODER_H
#define CACHE_MEMORY_ENCODER_H

#include <stdint.h>

#include "base/check.h"

#define ENCODER_JOBS 1024
#define ENCODER_THREADS_MAX 8

struct encoder;
struct object;

/* threads: at most ENCODER_THREADS_MAX. 0 or -ENOMEM. */
int encoder_new(unsigned threads, uint64_t bytes_max, struct encoder **out) WARN_UNUSED;
/* What waits is dropped; waits for what is being encoded. */
void encoder_free(struct encoder **e);
/* Has its encodings, which are there already and empty, made by and by, unless there is no room for it (`dropped`), or nobody wants
 * them any more by then. Takes a reference of its own. codings: bits 1u << enum cache_coding. */
void encoder_give(struct encoder *e, struct object *o, unsigned codings);

struct encoder_stats {
	uint64_t waiting, made, dropped;
};
void encoder_stats(struct encoder *e, struct encoder_stats *out);

#endif
