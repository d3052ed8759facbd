/* SPDX-License-Identifier: MIT */
/* Between the tiers, bodies that are larger than memory is to hold: their heads are in memory, they are on disk, written as
 * they arrive. Thread: the flight's leader, but for tier_place_block. Private to cache/. */
#ifndef CACHE_TIER_LARGE_H
#define CACHE_TIER_LARGE_H

#include "cache/flight_internal.h"

struct disk_body;
struct tier_stream;

/* A copy that counts as memory, for object_spec.shared with is_on_disk; the caller unrefs it. NULL: no room. */
struct block *tier_place_block(struct entry *e, const struct disk_body *b) WARN_UNUSED;

/* As disk_stream_begin, _write and _end; `length` -1: not known. What the disk says comes back as flight_stream_has_room and
 * flight_stream_committed, by letter. */
int tier_stream_begin(struct flight *f, struct object *o, int64_t length, struct tier_stream **out) WARN_UNUSED;
enum disk_flow tier_stream_write(struct tier_stream *ts, const void *p, size_t n) WARN_UNUSED;
void tier_stream_drop(struct tier_stream **ts, bool is_slow);
/* Under the shard's mu. */
void tier_stream_commit_locked(struct tier_stream *ts);
/* After flight_stream_committed has come. */
void tier_stream_free(struct tier_stream **ts);

#endif
