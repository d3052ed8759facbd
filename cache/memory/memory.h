/* SPDX-License-Identifier: MIT */
/* The memory tier: shards of a hash index over entries, the budget that all of their bytes come from, and who goes first
 * when it is used up.
 * Thread: any; `_locked` functions want the shard's mu. Owns: entries, and a reference to each object in the index.
 * Bounds: limit_bytes, exact: every byte that the allocator takes for entries, markers, index tables, objects and bodies is
 * in `bytes` until it is freed, whoever still holds it. Private to cache/. */
#ifndef CACHE_MEMORY_MEMORY_H
#define CACHE_MEMORY_MEMORY_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cache/policy/policy.h"
#include "cache/policy/key.h"
#include "cache/policy/invalidation.h"
#include "base/heap.h"
#include "cache/memory/wheel.h"

struct object;
struct flight;
struct memory;

/* What a purge of the key undoes: it is remembered of a request that was sent before. */
struct marker_epoch {
	uint64_t epoch; /* of that request */
	_Atomic uint64_t checked;
};

struct pass_variants;

/* That responses can't be shared, so nobody waits for another's. A purge undoes it. */
struct pass_marker {
	int64_t until_ms;    /* 0: none */
	int64_t probe_at_ms; /* one request may find out again from then on */
	struct marker_epoch since;
	struct pass_variants *variants; /* owned: whose responses, see pass.h; NULL: everybody's */
	enum policy_store why;          /* of the last of them */
};

/* That a fetch failed, which those who come next are told. A purge undoes it. */
struct failure_marker {
	int64_t until_ms;          /* 0: none */
	int64_t trouble_until_ms;  /* an error was answered with, or broke off: the next one until then is remembered */
	struct marker_epoch since; /* of both */
	bool was_once; /* by an error, the first or for one client, that a stale response stood in for: that may, and nobody is told of the error */
	bool is_cut;   /* a response began, and broke off */
	int status;    /* to be answered with */
	unsigned cause; /* as flight_note_cause had it */
	int by;         /* the status with which the origin answered; 0: no response came, or none to its end */
	uint64_t form;  /* whom it befell, or the error before: FORM_PLAIN says that it would befall all */
	struct object *response; /* owned; NULL: there is only the status */
};

/* Which requests failed. What befell one that asks as everybody does befalls all; the others' failures are told to their like
 * only: many an API has no HEAD where it has GET, or stumbles over a range. */
enum failure_kind {
	FAILED_PLAIN,
	FAILED_HEADS,
	FAILED_OWN, /* passed with a range or a condition of its client's own */
	FAILED_KINDS
};

/* What an entry needs only now and then: who fetches it, and what went wrong. All guarded by the shard's mu. */
struct markers {
	struct flight *flights; /* each holds a reference of its own for being here */
	struct link marker;     /* in the shard's list while PASS or failure is remembered; the link of garbage later */
	bool is_marked;
	struct pass_marker pass;
	struct pass_marker heads; /* what a HEAD was told says nothing about what GET's response could be stored as */
	int64_t rest_until_ms;    /* a background refresh was in vain: no other until then */
	struct marker_epoch rest_since;
	struct failure_marker failed[FAILED_KINDS];
	struct entry *entry; /* the entry holds them, not they it */
	struct shard *shard; /* set once */
};

/* One key. It lives as long as anything refers to it: the index, its objects, flights. */
struct entry {
	UT_hash_handle hh; /* over key[]; uthash's own order of elements is the LRU, oldest first */
	_Atomic uint32_t refs;
	uint16_t url_off, url_n; /* set once; CACHE_KEY_MAX fits */
	uint32_t touched_s;      /* guarded by the shard */
	bool has_user;           /* set once: a struct entry_user follows the key */
	uint8_t past_hits;       /* guarded by the shard; coarse.h: of responses that are stored no more */
	uint16_t idle;           /* guarded by the shard: see entry_set_idle_locked; 0: it may stay */
	struct shard *shard;     /* set once */
	struct object *variants; /* guarded by the shard; newest first */
	struct markers *markers; /* guarded by the shard; NULL most of the time */
	char key[];              /* set once */
};

/* Of entries that are private to a user: whose, and their place in the order in which that user's were stored. The oldest of
 * them stands for the user: it is in the shard's table and knows how many there are. All guarded by the shard. */
struct entry_user {
	struct link link; /* the user's others, oldest first, without a head */
	uint64_t user;
	unsigned n;               /* 0: not the oldest, or not stored */
	struct entry_user *next;  /* of the oldest: that of another user with the same slot */
	struct entry_user **from; /* what points to it there */
	struct entry *entry;
};

struct shard {
	pthread_mutex_t mu;
	/* guarded by mu */
	struct entry *index;
	size_t index_bytes;
	struct wheel wheel;        /* of objects, by when they stop being of use */
	struct entry_user **users; /* the oldest of each user, by user; all of a user's are in one shard */
	struct link markers;       /* of struct markers, oldest first */
	unsigned markers_n;
	struct link flights; /* all of this shard, those that nobody may join too */
	unsigned flights_n;
	_Atomic uint64_t objects_n;
	struct memory *memory; /* set once */
} __attribute__((aligned(64)));

struct memory {
	/* set once */
	struct shard *shards;
	void *block;
	struct entry_user **user_slots; /* of all shards, one after the other */
	uint32_t user_slots_n;          /* of each */
	unsigned shards_n, max_variants, max_markers;
	uint64_t limit_bytes;
	struct invalidation_table *invalidation;
	bool (*evict)(
		struct shard *home); /* something, at home first; false: nothing is left. The caller holds no lock */
	uint64_t slack_bytes;        /* of memory that is not given back */
	struct heap heap;            /* has locks of its own */
	/* the sweeper's own: move.h. A walk that begins when all is chosen moves it, and ends when the next begins */
	enum { COMPACT_IDLE, COMPACT_CHOOSE, COMPACT_CHOSEN, COMPACT_MOVE, COMPACT_RETURN } compacting;
	unsigned compact_pool;
	uint64_t choose_left;            /* regions to be looked at */
	uint64_t resident_most;          /* bytes, while regions are being emptied: else those that are left go on */
	uint64_t chosen, not_emptied;    /* regions: to be emptied, and of them at the end of the walk */
	uint64_t gain;                   /* bytes that are not used in them, as they are chosen */
	bool has_chosen_all;             /* that were worth it, not only as many as there was room for */
	uint64_t used_then, excess_then; /* bytes, when the last move began: used, and over and above that */
	uint64_t excess_left;            /* what it left of the latter, if that was most of it; else 0 */
	/* atomic */
	_Atomic uint64_t failed_bytes;
	_Atomic int64_t now_ms; /* the time as of some lookup; up to 200 ms old while there are lookups */
#define IN_MEMORY(name) _Atomic uint64_t name;
#define IN_CACHE(name)
#define IN_ASKED(name)
#define STAT(where, kind, name, help) IN_##where(name)
#include "cache/memory/cache_stats.def"
#undef IN_CACHE
#undef IN_MEMORY
#undef IN_ASKED
};

int memory_init(struct memory *m, uint64_t limit_bytes, unsigned shards, unsigned max_variants, unsigned max_markers,
	struct invalidation_table *invalidation) WARN_UNUSED;
/* Unlinks and frees all; what others still hold a reference to stays theirs. */
void memory_fini(struct memory *m);

struct shard *memory_shard(struct memory *m, const struct cache_key *key);
void memory_tick(struct memory *m, struct now now);

/* ---- Bytes ---- */
/* Room within the budget, by eviction if need be, and n bytes; NULL when there is none. The caller holds no lock. */
void *memory_take(struct shard *home, size_t n) WARN_UNUSED;
/* The same past the budget: for what bounds itself (windows of responses that are too large to keep). */
void *memory_take_beyond(struct shard *home, size_t n) WARN_UNUSED;
void memory_give(struct shard *home, void *p);
/* Evicts until the bytes are within the budget again, or nothing is left to evict. The caller holds no lock. */
void memory_trim(struct shard *home);

/* ---- Garbage: unlinked under the lock, freed after it ---- */
struct husk { /* of what was moved: its bytes */
	struct husk *next;
	struct shard *shard;
};
struct garbage {
	struct husk *husks;
	struct object *objects;
	struct entry *entries;
	struct markers *markers;
};
void garbage_free(struct garbage *g);
void garbage_add(struct garbage *g, struct object *o); /* which is in no list; its reference is taken */

/* ---- Entries ---- */
struct entry *entry_new(struct shard *s, const struct cache_key *key) WARN_UNUSED; /* not in the index yet */
struct markers *markers_new(struct shard *s) WARN_UNUSED;
struct entry *entry_ref(struct entry *e);
void entry_unref(struct entry **e);
struct slice entry_url(const struct entry *e);
uint64_t entry_user(const struct entry *e);
struct entry_user *entry_user_of(const struct entry *e); /* of one that has_user */

struct entry *entry_find_locked(struct shard *s, const struct cache_key *key);
/* Takes the caller's reference; -ENOMEM leaves it with the caller. */
int entry_link_locked(struct shard *s, struct entry *e) WARN_UNUSED;
/* Drops the entry when nothing is left in it. */
void entry_tidy_locked(struct entry *e, struct garbage *g);
/* Makes it the last to go, when it has not been that for a second. */
void entry_touch_locked(struct entry *e, struct now now);
/* After so long without a touch it may leave memory; -1: never. To the second up to nine hours, above that to the hour. */
void entry_set_idle_locked(struct entry *e, int64_t ms);
bool entry_is_idle_locked(const struct entry *e, struct now now);
void entry_move_last_locked(struct entry *e);

/* ---- Variants ---- */
enum drop_reason { DROP_LRU, DROP_EXPIRED, DROP_IDLE, DROP_PURGED, DROP_REPLACED };
/* Takes the caller's reference. What it replaces (same Vary names and values) goes. False: something keeps its place. */
bool variant_store_locked(struct entry *e, struct object *o, struct now now, struct garbage *g);
/* Makes room for what is stored elsewhere: what it would replace goes. False: something newer keeps its place. */
bool variant_supersede_locked(struct entry *e, struct object *o, struct now now, struct garbage *g) WARN_UNUSED;
void variant_drop_locked(struct entry *e, struct object *o, enum drop_reason why, struct garbage *g);
/* After a store: the user whose entry it is keeps `max` entries, the oldest goes. Nothing for shared entries. */
void user_bound_locked(struct entry *e, unsigned max, struct garbage *g);

/* ---- Markers ---- */
/* To be called after one of the markers' times was set: within the bound, by forgetting the oldest. */
void marker_set_locked(struct entry *e, struct garbage *g);
void marker_clear_locked(struct markers *n, struct garbage *g);
/* All but that responses can't be shared. */
void marker_clear_failures_locked(struct markers *n, struct garbage *g);
/* Of a request of that epoch; and has a purge undone it? Its tags, where it has any, are its response's to know. */
void marker_set_since(struct marker_epoch *m, uint64_t epoch);
bool marker_is_purged_locked(const struct entry *e, struct marker_epoch *m);
/* The response that is remembered with a failure of `n`, or NULL, in place of the one that was; of a marked key only. What is
 * beyond a bound in all is not kept: then there is the failure's status. */
void marker_keep_response_locked(struct markers *n, struct failure_marker *m, struct object *o, struct garbage *g);
/* Of one kind of request: the next error may be a slip again. */
void marker_clear_failure_locked(struct markers *n, enum failure_kind kind, struct garbage *g);

/* ---- Walking ---- */
/* Visits the entries of one bucket; *cursor starts at 0 and is 0 again at the end of a round. No entry that stays
 * is missed and none is seen twice, though the index grows in between. `visit` may drop the entry. Returns the count. */
unsigned shard_walk_locked(struct shard *s, uint32_t *cursor, void (*visit)(struct entry *e, void *arg), void *arg);
/* For walks that stop between two entries of a chain: a place is an entry's hash with its bits reversed, so a table that doubles moves
 * none. The first entry of the least place at *place or after it, if that is in the same chain, and *place is its own; the others of that
 * place, of which there hardly ever are any, follow by entry_next_of_hash. Else NULL, and *place is where the next chain begins:
 * SHARD_END behind the last. */
#define SHARD_END (UINT64_C(1) << 32)
struct entry *shard_seek_locked(struct shard *s, uint64_t *place);
struct entry *entry_next_of_hash(const struct entry *e);
/* Drops what is of no use any more, in at most max steps; returns how many it took: less than max, nothing is left that is due. */
unsigned shard_expire_locked(struct shard *s, int64_t now_ms, unsigned max, struct garbage *g);

/* ---- What is of most use (top.c) ---- */

struct memory_ranked {
	uint64_t spared_ms, hits, fetch_ms;
	struct entry *entry;
};

/* The n at the top, the first one first: as cache_top. The entries are borrowed. A shard is locked for one place of its index at a time. 0 or
 * -ENOMEM. */
int memory_top(
	struct memory *m, unsigned n, void (*each)(void *arg, const struct memory_ranked *r), void *arg) WARN_UNUSED;

#endif
