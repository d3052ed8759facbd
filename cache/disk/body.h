/* SPDX-License-Identifier: MIT */
/* Where a large body lies on disk and what its bytes must be: to be kept with a head in memory, and read block by block.
 * Thread: any; what is set once does not change. Owns: nothing, so that whoever keeps one does not keep the file; whoever
 * reads holds the file (struct disk_hold). Bounds: 8 bytes for each 64 KiB of the body. Private to cache/. */
#ifndef CACHE_DISK_BODY_H
#define CACHE_DISK_BODY_H

#include <stdatomic.h>

#include "base/check.h"
#include "base/hash.h"
#include "cache/disk/store.h"

struct segment;

/* Plain bytes: it may be copied to wherever there is room for it. */
struct disk_body {
	/* set once */
	struct disk *disk;
	struct hash128 hash;  /* of the key */
	uint64_t generation;  /* of the segment */
	uint64_t at, n;       /* of the body in the segment's file */
	uint32_t seg, off8;   /* its record's place */
	_Atomic bool is_lost; /* its bytes turned out to be wrong or not to be read */
	uint64_t sums[];      /* of each block */
};

size_t disk_body_bytes(uint64_t body_n);
/* Could it be read, as far as that is known? No I/O. */
bool disk_body_is_there(const struct disk_body *b);
/* To be said of what could not be read as it was written: its record is not found any more. */
void disk_body_lose(struct disk_body *b);

/* 0, or -ESTALE: it is not there any more. The hold keeps `b`'s file, not b itself. A hit, as reclaim sees it. */
int disk_hold_begin(struct disk_hold *h, const struct disk_body *b) WARN_UNUSED;
void disk_hold_end(struct disk_hold *h); /* also when it never began */

#endif
