/* SPDX-License-Identifier: MIT */
/* What memory has over and above what is stored goes back to the system, in steps: free pages first; and where what is left lies
 * thinly spread, it is moved together and its regions are emptied. Private to cache/.
 * Thread: one at a time (the sweeper). Owns: nothing. Bounds: a step is a block of the heap, or an entry with its responses. */
#ifndef CACHE_MEMORY_MOVE_H
#define CACHE_MEMORY_MOVE_H

#include "cache/memory/memory.h"

/* A few steps; a walk over all entries begins with this call or does not. True: there is more to do, soon. */
bool memory_compact(struct memory *m, bool walk_begins);
/* Where e, or what belongs to it, lies in a region that is being emptied, and nobody but the index refers to it, it is moved. Returns
 * where e is now. What it was moved from is garbage. */
struct entry *entry_move_locked(struct entry *e, struct garbage *g);

#endif
