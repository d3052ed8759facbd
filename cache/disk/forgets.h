/* SPDX-License-Identifier: MIT */
/* Keys that were forgotten, for as long as an older record of theirs may lie somewhere in the log.
 * Thread: any. Owns: its table. Bounds: `max` keys; past it the older half is covered by floor_lsn, which forgets more. */
#ifndef CACHE_DISK_FORGETS_H
#define CACHE_DISK_FORGETS_H

#include <pthread.h>
#include <stdint.h>

#include "base/check.h"
#include "cache/disk/log/checkpoint.h"

struct forgets {
	pthread_mutex_t mu;
	/* guarded by mu */
	struct forgotten *slots; /* open addressing, linear probing; before_lsn 0: free */
	uint32_t slots_n, used, max;
	_Atomic uint64_t floor_lsn;
	_Atomic uint32_t any; /* used, for a look without the lock */
};

int forgets_init(struct forgets *f, uint32_t max) WARN_UNUSED;
void forgets_fini(struct forgets *f);
void forgets_add(struct forgets *f, uint64_t key, uint64_t before_lsn);
bool forgets_covers(struct forgets *f, uint64_t key, uint64_t lsn);
/* Nothing below this lsn is left in the log. */
void forgets_retire(struct forgets *f, uint64_t oldest_lsn);
/* The caller frees *out. */
int forgets_export(struct forgets *f, struct forgotten **out, uint64_t *n, uint64_t *floor_lsn) WARN_UNUSED;

#endif
