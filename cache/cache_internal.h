/* SPDX-License-Identifier: MIT */
/* What the cache's own files share. Private to cache/.
 * Lock order: shard, flight, the list of a growing body, mailbox. */
#ifndef CACHE_CACHE_INTERNAL_H
#define CACHE_CACHE_INTERNAL_H

#include "cache/cache.h"
#include "cache/memory/encoder.h"
#include "cache/memory/memory.h"
#include "cache/memory/object_internal.h"

struct counters {
#define IN_CACHE(name) _Atomic uint64_t name;
#define IN_MEMORY(name)
#define IN_ASKED(name)
#define STAT(where, kind, name, help) IN_##where(name)
#include "cache/memory/cache_stats.def"
#undef IN_CACHE
#undef IN_MEMORY
#undef IN_ASKED
};

#define LANDED_SLOTS 16384 /* keys may share one */

struct cache {
	struct cache_options o; /* set once */
	struct memory memory;
	struct invalidation_table *invalidation;
	struct encoder *encoder;
	struct tier *tier;  /* the lower one; set before any lookup; NULL: there is none */
	bool leaves_memory; /* cache_end */
	_Atomic uint64_t tier_reads;
	_Atomic uint64_t orders;               /* of requests that went upstream: landing.h */
	_Atomic uint64_t landed[LANDED_SLOTS]; /* by the key's hash: the order of the last response that landed */
	struct counters n;
	/* the sweeper's own */
	unsigned sweep_due_shard;     /* where to go on with what is due */
	int64_t sweep_flights_ms;     /* when looking at all flights began */
	unsigned sweep_flights_shard; /* where to go on with that, */
	unsigned sweep_flights_left;  /* for so many shards; 0: all were looked at */
	unsigned sweep_flights_of;    /* flights of that shard that are left; UINT_MAX: all of them */
	bool sweep_sees_flights;      /* before its entries, a round sees all flights */
	unsigned sweep_shard;
	uint32_t sweep_cursor;
	uint64_t sweep_oldest;       /* lowest epoch seen in this round; 0: a round begins */
	uint64_t sweep_lower_oldest; /* in the lower tier when the round began, and when it had seen the flights */
	uint64_t sweep_seq[2];       /* the number when this round began, and when the one before did */
	uint64_t sweep_retire;       /* rules up to this are on their way out; 0: none */
	pthread_mutex_t holds_mu;
	struct link holds; /* guarded by holds_mu; those that asked first stand first */
};

static inline void count(_Atomic uint64_t *counter)
{
	atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static inline void uncount(_Atomic uint64_t *counter)
{
	atomic_fetch_sub_explicit(counter, 1, memory_order_relaxed);
}

static inline uint64_t counted(const _Atomic uint64_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* It has been found purged: whoever counts what purges meet is told. Under the shard's lock. */
void cache_met_locked(const struct cache *c, const struct object *o);

/* The successor of a stored response after a 304 or HEAD named some fields anew (RFC 9111 3.2, 4.3.4): new head, same
 * body. Fields that say what the bytes are (coding, type, range, digests) stay as they came with them. `request` is the one whose
 * response brought them. NULL when there is no room. */
struct refresh {
	const struct http_fields *request, *update;
	enum http_method method;
	const struct cache_rules *rules;
	struct now request_time, response_time;
	uint64_t epoch;
	struct slice via;
	uint32_t jitter; /* as in policy_exchange */
	unsigned stretch;
};
/* The bytes that a successor holds when it is not the same ones: n from `first` on of `total`. */
struct span {
	uint64_t first, n, total;
};
struct object *object_refreshed(struct object *old, const struct refresh *r) WARN_UNUSED;
/* False: its request bore a credential and it does not itself say that others may have what it says. Then only what bears on
 * the use of the stored response is taken from it. */
bool refresh_is_for_others(const struct object *old, const struct refresh *r);
/* A successor with room for other bytes, which the caller appends, as 200 where they are all (RFC 9111 3.4). NULL where
 * there is no room, or what the fields say together may not be stored. */
struct object *object_respanned(struct object *old, const struct refresh *r, const struct span *span) WARN_UNUSED;
/* What proves that two parts are of the same bytes; empty: nothing does. */
struct slice object_strong_validator(const struct object *o);
/* Is the stored response in the content coding that the fields of `response` name (none: identity)? */
bool object_has_coding_of(const struct object *o, const struct http_fields *response);
bool objects_have_one_coding(const struct object *a, const struct object *b);
/* Do the validators in `update` speak of the stored response, and is that of the same content coding? */
bool object_is_confirmed_by(const struct object *o, const struct http_fields *update);

#endif
