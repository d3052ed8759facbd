/* SPDX-License-Identifier: MIT */
/* Where the memory tier's small blocks lie: regions of its own, so that what is freed can go back to the system a little at a time, and a
 * region that few blocks are left in can be emptied. The C library's heap gives back in one go, under the lock that every thread
 * allocates under, and only what lies at its end or in whole pages.
 * Two-level segregated fit: taking and giving cost the same however much there is; neighbours that are free are one block.
 * Thread: any. Owns: its regions. Bounds: whoever takes counts heap_size; a step of giving back is a region at most.
 * Its locks are below all others: nothing is called under them but the system. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "base/list.h"

#define HEAP_REGION ((size_t)1 << 20)
#define HEAP_SMALL_MAX ((size_t)120 << 10) /* what is larger is malloc's, which maps it by itself */
#define HEAP_CLASSES 17                    /* powers of two, in units of 16 bytes */
#define HEAP_STEPS 8                       /* of each */
#define HEAP_POOLS 8
#define HEAP_FULL 5
#define HEAP_FULL_OF 6 /* a region that is as full as that is not worth emptying */

struct heap_pool {
	pthread_mutex_t mu;
	/* guarded by mu */
	uint32_t classes; /* which have a free block */
	uint8_t steps[HEAP_CLASSES];
	struct link free[HEAP_CLASSES]
			[HEAP_STEPS]; /* of the links in free blocks; those whose pages went back are last */
	struct link regions, leaving; /* of heap_region */
};

struct heap {
	size_t small_max; /* set once */
	struct heap_pool pools[HEAP_POOLS];
	pthread_mutex_t mu;            /* below the pools' */
	char *reserved, *reserved_end; /* guarded by mu: addresses for the next regions */
	_Atomic uint64_t regions;      /* that are mapped */
	_Atomic uint64_t used;         /* bytes in blocks that were taken */
	_Atomic uint64_t absent;       /* bytes of free blocks that the system has back */
	_Atomic uint64_t leaving;      /* regions that are being emptied */
	_Atomic uint64_t leaving_used; /* bytes in blocks there */
};

/* small_max: HEAP_SMALL_MAX, or 0: all is malloc's. 0 or negative errno. */
int heap_init(struct heap *h, size_t small_max) WARN_UNUSED;
void heap_fini(struct heap *h); /* what is still taken stays */

/* `pool`: any number; blocks of one are near each other. NULL: no memory. Aligned to 16. */
void *heap_take(struct heap *h, unsigned pool, size_t n) WARN_UNUSED;
void heap_give(struct heap *h, void *p);
/* Bytes that the block takes, bookkeeping included; of NULL 0. */
size_t heap_size(const void *p);
/* Bytes of a small block that were asked for, or a few more: a block for as many has as many. */
size_t heap_room(const void *p);
/* At least what heap_size will be. */
size_t heap_size_at_most(size_t n);

/* Bytes of its regions that the system has not back. */
uint64_t heap_resident(const struct heap *h);
/* Gives the pages of one free block back, of `pool`, and returns how many bytes that were; 0: there is nothing that would be worth it. */
size_t heap_give_back(struct heap *h, unsigned pool);
/* From now on nothing is taken in one region of `pool` that is less than HEAP_FULL / HEAP_FULL_OF full, if there is one among the next
 * `look` of them; returns 1 then. What is in it is to be moved; when it is empty it goes on. */
unsigned heap_leave(struct heap *h, unsigned pool, unsigned look);
/* One of those of which something is left goes on as it is; false: there is none. */
bool heap_return(struct heap *h, unsigned pool);
bool heap_is_leaving(const struct heap *h, const void *p);

#endif
