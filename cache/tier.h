/* Between the tiers: what is stored in memory is written to disk, what is asked for and not in memory is read from there.
 * What is too large for memory is nowhere.
 * Thread: any; `_locked` functions want the mu of the key's shard. Private to cache/. */
#ifndef CACHE_TIER_H
#define CACHE_TIER_H

#include "cache/flight_internal.h"

struct tier_source;

/* ---- Writing ---- */
/* A reference to a stored answer, for the disk; NULL: it does not go there. */
struct tier_source *tier_source_new(struct cache *c, struct object *o) WARN_UNUSED;
void tier_source_free(struct tier_source **s);
/* Takes it over, if the answer was stored in memory and nothing newer kept its place. */
void tier_write_locked(struct cache *c, struct tier_source **s, bool is_refresh);
void tier_forget(struct cache *c, const struct entry *e);

/* ---- Reading ---- */
bool tier_may_have(struct cache *c, const struct cache_key *key);
enum tier_verdict {
	TIER_ABSENT,
	TIER_FOUND,   /* and in memory now */
	TIER_PENDING, /* the flight ends when it has been read; its letter comes to the flight's worker, which this is */
};
/* For a listed disk flight; ends it, now or later. */
enum tier_verdict tier_read(struct flight *f, struct hash128 hash, struct now now) WARN_UNUSED;

/* Of a disk flight's key: was nothing newer stored since that record was read? What is stored is put under the same lock. */
bool tier_is_newest_locked(const struct flight *f, uint64_t lsn);

/* No answer on disk has an epoch before this; 1 when that is not known. */
uint64_t tier_oldest_epoch(struct cache *c);

#endif
