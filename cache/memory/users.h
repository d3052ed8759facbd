/* SPDX-License-Identifier: MIT */
/* Which entries are of one user, in the order in which they were stored. Private to cache/memory/.
 * Thread: any that holds the shard's mu. Owns: nothing; what links them is in the entries. Bounds: as many slots as there may be
 * users with a response each, so that a slot is shared by few; nothing is walked but a slot. */
#ifndef CACHE_MEMORY_USERS_H
#define CACHE_MEMORY_USERS_H

#include "cache/memory/memory.h"

/* Makes the slots of all shards, whose limit_bytes are known. 0 or -ENOMEM. */
int users_init(struct memory *m, unsigned shards) WARN_UNUSED;
void users_fini(struct memory *m);

/* e, which has a user, was stored: it is the newest. *over: with it there are more than max, and the oldest, which is this, is no
 * longer counted; else as it was. Returns how many entries it looked at: one for each user in the slot, a few times. */
unsigned users_note_locked(struct entry *e, unsigned max, struct entry **over);
/* e, which has a user, is not stored any more; harmless when it was not. */
void users_forget_locked(struct entry *e);
/* `copy`, which is one byte by byte, takes e's place. */
void users_moved_locked(struct entry *e, struct entry *copy);

#endif
