/* SPDX-License-Identifier: MIT */
/* The writer's side of responses that are written as they arrive. Thread: the writer. Private to cache/disk/. */
#ifndef CACHE_DISK_STREAM_H
#define CACHE_DISK_STREAM_H

#include "cache/disk/store_internal.h"

/* The next that has something to be written; under queue_mu. */
struct disk_stream *disk_stream_take_locked(struct disk *d);
/* Writes what has come; after its end it is freed. */
void disk_stream_go_on(struct disk_stream *st);

#endif
