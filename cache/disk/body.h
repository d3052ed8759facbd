/* SPDX-License-Identifier: MIT */
/* Where a large body lies on disk and what its bytes must be: to be kept with a head in memory, and read block by block.
 * Thread: any; what is set once does not change. Owns: nothing, so that whoever keeps one does not keep the file; whoever
 * reads holds the file (struct tier_hold). Bounds: 8 bytes for each 64 KiB of the body. Private to cache/disk/. */
#ifndef CACHE_DISK_BODY_H
#define CACHE_DISK_BODY_H

#include <stdatomic.h>

#include "cache/disk/store_internal.h"

struct disk_body {
	struct tier_body pub;
	/* set once */
	struct hash128 hash;  /* of the key */
	uint64_t generation;  /* of the segment */
	uint64_t at;          /* of the body in the segment's file */
	uint32_t seg, off8;   /* its record's place */
	_Atomic bool is_lost; /* its bytes turned out to be wrong or not to be read */
	uint64_t sums[];      /* of each block */
};

size_t disk_body_bytes(uint64_t body_n);
const uint64_t *disk_body_sums(const struct tier_body *b);

#endif
