/* SPDX-License-Identifier: MIT */
/* The lower tier as the cache asks it: what is stored in memory is written there, and what it replaces is taken back.
 * What is asked for and not in memory is read from there by flight_read.c; what is too large for memory goes there as it arrives, by
 * flight_stream.c.
 * Thread: any; `_locked` functions want the mu of the key's shard. Private to cache/. */
#ifndef CACHE_LOWER_H
#define CACHE_LOWER_H

#include "cache/cache_internal.h"

struct lower_source;

/* ---- Writing ---- */
/* All of a response but its body; borrows from it. */
void lower_describe(const struct object *o, struct tier_source *out);
/* A response on its way into both tiers, or on its way out of them; begin and end are called without a lock. */
struct lower_write {
	struct object *object;       /* borrowed until it was stored; NULL: nothing for the lower tier */
	struct lower_source *source; /* NULL too when there was no memory for it */
	uint64_t forget_before;
	bool tells; /* an older response may have been there, so that another process may have it still */
	bool lands; /* it is stored, or retires what was: that process may have an older one even if there was none here */
	bool was_told; /* by that process, which has it not */
};
void lower_write_begin(struct lower_write *w, struct cache *c, struct object *o); /* o may be NULL */
/* Hands it over, if it was stored in memory and nothing newer kept its place. Whether or not the lower tier takes it, what it
 * replaces does not come back from there. */
void lower_write_locked(struct lower_write *w, struct cache *c, bool is_refresh);
/* All of the key, and what of it waits to be written, is out of date at once. After a restart too, once lower_write_end has
 * said so to the journal. */
void lower_retire_locked(struct lower_write *w, struct cache *c, const struct entry *e);
void lower_write_end(struct lower_write *w, struct cache *c, const struct entry *e); /* and tells the other process */
/* The same by the key, which may have no entry in memory. */
void lower_retire_key_locked(struct lower_write *w, struct cache *c, const struct cache_key *key);
void lower_write_end_key(struct lower_write *w, struct cache *c, const struct cache_key *key);

/* ---- What is there ---- */
/* It is there, with nothing on its way there that would take its place. */
bool lower_has(struct cache *c, const struct object *o);
/* Of one whose body is not in memory: could it be read there, as far as is known? */
bool lower_has_body(struct cache *c, const struct object *o);
bool lower_may_have(struct cache *c, const struct cache_key *key);
/* Was nothing newer of the key stored since that record was read? What is stored is put under the same lock. */
bool lower_is_newest_locked(struct cache *c, const struct entry *e, uint64_t lsn);
/* No response there has an epoch before this; 1 when that is not known. */
uint64_t lower_oldest_epoch(struct cache *c);

#endif
