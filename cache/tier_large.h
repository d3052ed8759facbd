/* Between the tiers, bodies that are larger than memory is to hold: their heads are in memory, they are on disk.
 * Thread: any. Private to cache/. */
#ifndef CACHE_TIER_LARGE_H
#define CACHE_TIER_LARGE_H

#include "cache/flight_internal.h"

struct disk_body;

/* A copy that counts as memory, for object_spec.shared with is_on_disk; the caller unrefs it. NULL: no room. */
struct block *tier_place_block(struct entry *e, const struct disk_body *b) WARN_UNUSED;

#endif
