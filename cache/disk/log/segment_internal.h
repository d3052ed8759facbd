/* SPDX-License-Identifier: MIT */
/* What segment.c and segment_end.c share. Private to them. */
#ifndef CACHE_DISK_LOG_SEGMENT_INTERNAL_H
#define CACHE_DISK_LOG_SEGMENT_INTERNAL_H

#include "cache/disk/log/segment.h"

/* A slot that nobody uses. NULL without memory, or when there are four million of them. */
struct segment *segment_free_slot_locked(struct segments *t) WARN_UNUSED;
/* Ends what was begun in a slot whose `size` bytes are counted; fd -1: there is no file. */
void segment_give_up(struct segments *t, struct segment *s, int fd, uint64_t id, uint64_t size);

#endif
