/* SPDX-License-Identifier: MIT */
/* The cache: keyed memory tier, coalescing, invalidation behind one face.
 * Thread: any, except where a function names a worker. Lock order: shard, then flight, then mailbox; nothing is freed,
 * called out or read from the lower tier under a shard lock.
 * Bounds: memory_bytes (exact: every byte that the allocator takes for entries and objects), max_waiters, max_flights,
 * max_markers (PASS and failure memory), invalidation rules. */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "base/clock.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "cache/flight.h"
#include "cache/policy/key.h"
#include "cache/memory/object.h"
#include "cache/policy/policy.h"
#include "cache/policy/rules.h"
#include "cache/policy/invalidation.h"
#include "cache/tier/tier.h"

struct cache;

struct cache_options {
	uint64_t memory_bytes;
	uint64_t max_object_bytes;
	unsigned shards; /* power of two: cache_shards */
	bool coalesce;
	int64_t failure_memory_ms; /* 1000 */
	int64_t pass_memory_ms;    /* 120 000: how long a PASS marker lasts */
	unsigned max_waiters, max_flights, max_markers, max_variants, max_invalidation_rules;
	struct slice via; /* "1.1 memoproxy": appended to Via when a response is stored */
	/* Told of each purge, once it holds here, by the thread that made it; not of those that cache_purge_as_told makes, nor of
	 * those that are refused as too long (-EMSGSIZE). */
	void (*on_purge)(void *arg, const struct purge *p);
	void *on_purge_arg;
	/* Told, for each response in memory that is found purged, of the number of a purge that has met it: of a hard one when the response
	 * goes, of a soft one by the sweeper. Under a shard's lock, by any thread. NULL: nobody. */
	void (*on_met)(void *arg, uint64_t seq);
	void *on_met_arg;
	/* Told of a key when a response was stored here, or retired what was, of which another process may have an older one; once that
	 * holds here, by the thread that made it. had_older: there was one here. Not of what cache_forget_as_told makes. NULL: nobody. */
	void (*on_forget)(void *arg, struct slice key, uint64_t user, bool had_older);
	void *on_forget_arg;
	struct mailbox *const *mailboxes; /* one a worker, borrowed; what leaders and waiters are told arrives there */
	unsigned workers;
};

/* Into how many shards so much memory is divided: 16 MiB and more each, but less than 32 as long as there are not 1024 of them. What is
 * done for a whole shard at once, as when its index doubles, so does not grow with memory. */
unsigned cache_shards(uint64_t memory_bytes);
int cache_new(const struct cache_options *o, struct cache **out) WARN_UNUSED;
/* After all workers have stopped, all LEADs have ended, and what is left in the mailboxes was delivered: a message under way
 * holds its flight. Debug builds check that no reference is left. */
void cache_free(struct cache **c);
/* As cache_free, of a process that ends now: what lies in memory is left to the system, which takes it back at once and not in a walk
 * through millions of responses. */
void cache_end(struct cache **c);

/* A tier under the memory: what is stored goes there too, what memory lacks is looked for there. After cache_new and before any
 * lookup, once; it was opened with the cache's invalidation table. cache_free closes it. */
void cache_set_tier(struct cache *c, struct tier *t);
struct invalidation_table *cache_invalidation(struct cache *c);
/* What the tier holds is another process's from now on; nothing happens without one. Blocks. */
void cache_hand_over_tier(struct cache *c);
/* It was handed over and nobody took it: what is there is given up. Blocks. 0 or negative errno. */
int cache_disown_tier(struct cache *c) WARN_UNUSED;
/* Is something stored there for the key, as far as is known without reading? False without a lower tier. */
bool cache_is_in_tier(struct cache *c, const struct cache_key *key);
/* What waits for a message of the tier's now (lookups, listings, blocks, responses that are written to their end): cache_free wants
 * none. */
unsigned cache_tier_reads(const struct cache *c);

enum cache_verdict {
	CACHE_HIT,   /* object: fresh, referenced; flight, when not NULL: the caller also leads a background fetch */
	CACHE_STALE, /* object: usable now; flight as with HIT */
	CACHE_JOIN,  /* flight: wait there */
	CACHE_LOWER, /* flight: the lower tier is read; wait there, then look up again */
	CACHE_LEAD,  /* flight: fetch for all; flight_stored says what to validate */
	CACHE_PASS, /* fetch alone, nothing is stored (misses of HEAD, and of a Range that no fetch of the whole is for) */
	CACHE_ONLY_CACHED, /* 504 (RFC 9111 5.2.1.7) */
	CACHE_FAILED,      /* a failure a moment ago: without asking again `object`, or where there is none `status` */
	CACHE_BUSY,        /* a bound on waiters or flights: 503 */
};

enum cache_forward { /* RFC 9211 2.2 */
	CACHE_FWD_NONE,
	CACHE_FWD_BYPASS,
	CACHE_FWD_METHOD,
	CACHE_FWD_URI_MISS,
	CACHE_FWD_VARY_MISS,
	CACHE_FWD_MISS,
	CACHE_FWD_REQUEST,
	CACHE_FWD_STALE,
	CACHE_FWD_PARTIAL,
};

struct cache_request {
	const struct http_request *http; /* borrowed for the call */
	const struct cache_rules *rules; /* borrowed: kept by a flight until it ends, see `rules_owner` */
	const struct cache_key *key;     /* built with these rules; copied when needed */
	unsigned worker;
	/* The snapshot that `rules` belongs to: a flight holds it until it ends. Both may be NULL in tests. */
	void *rules_owner;
	void (*rules_ref)(void *owner);
	void (*rules_unref)(void *owner);
	bool no_join; /* released from a flight a moment ago, or the request may not share (body, range, credentials) */
	/* The upstream's budget is low, or it asked for a pause: what is stale serves where it may, whatever the client wishes,
	 * and nothing is fetched in the background. What is missing is still led. */
	bool spare_upstream;
	bool skip_lower;  /* the lower tier has been asked for this request */
	bool only_stored; /* as only-if-cached, and no client asks: what it finds is no hit of anybody's */
	/* Has it been stored meanwhile? HIT, or no more happens than that a read of the lower tier begins which can't end at once; any
	 * other verdict comes back as CACHE_PASS. */
	bool hit_only;
};

struct cache_result {
	enum cache_verdict verdict;
	struct object *object; /* the caller unrefs */
	struct flight *flight; /* the caller unrefs; a LEAD must reach flight_end, flight_fail or flight_abandon */
	enum cache_forward forward;
	enum policy_store
		why;     /* of PASS: the reason, which is the last response's own where forward is CACHE_FWD_MISS */
	int status;      /* of FAILED */
	unsigned cause;  /* and as flight_note_cause or cache_saw_passed had it; 0: not said */
	bool from_lower; /* of HIT and STALE: the object was in the lower tier only */
	bool whole_comes; /* of PASS: it is being fetched, and in the lower tier a part that is kept later would take its place */
	bool leads_read; /* of LOWER: it is this lookup's variant that is read for */
};

/* What is to be done for this request. `out` has a reference to the object and the flight that it names. */
void cache_lookup(struct cache *c, const struct cache_request *r, struct now now, struct cache_result *out);
/* Forced refresh: leads a fetch whatever is stored or being fetched; readers keep the old object until the new one lands. */
void cache_refresh(struct cache *c, const struct cache_request *r, struct now now, struct cache_result *out);
/* The same for who wants it stored and no newer than that: joins a fetch that is under way. */
void cache_fill(struct cache *c, const struct cache_request *r, struct now now, struct cache_result *out);
/* When the upstream was asked: what was purged later counts against its response, and what was asked for later is newer. */
struct cache_asked {
	uint64_t sequence; /* of purges */
	uint64_t order;    /* among all requests */
};
struct cache_asked cache_ask(struct cache *c); /* now */
/* A response that goes to one client alone may be of use to others all the same: a 206, or a POST's that answers GET (then
 * r->http says GET). This makes a flight that nobody joins or waits for, to be given that response like any other; NULL
 * where there is no room for one. */
struct flight *cache_keep(
	struct cache *c, const struct cache_request *r, const struct cache_asked *asked, struct now now);
uint64_t cache_sequence(const struct cache *c);
/* From begin to end no purge after asked.sequence is forgotten: for whoever asks the upstream and may keep the response. Begin
 * sets `asked`. The caller's memory, at one place; any thread. */
struct cache_hold {
	struct cache_asked asked;
	struct link link; /* private */
};
void cache_hold_begin(struct cache *c, struct cache_hold *h);
void cache_hold_end(struct cache *c, struct cache_hold *h);
/* Has the URL, by itself or by its beginning, been purged since then? */
bool cache_was_purged(const struct cache *c, struct slice url, uint64_t sequence);
/* A response to HEAD came for this key, if nothing that was asked for later has come before it. A 200 updates or invalidates what is
 * stored (RFC 9111 4.3.5); what GET would then be told instead of it (301, 404, 410, or a 200 that may not be stored) retires it
 * as GET's own response would. 405 does not: many an API has no HEAD where it has GET. */
void cache_saw_head(struct cache *c, const struct cache_request *r, const struct cache_asked *asked, int status,
	const struct http_fields *response, struct now request_time, struct now now);
/* A response to GET for one client alone, which nobody keeps, came for this key: what it supersedes goes. */
void cache_saw_response(struct cache *c, const struct cache_request *r, const struct cache_asked *asked, int status,
	const struct http_fields *response, struct now now);

/* How a request that passed ended. */
struct cache_passed {
	int status;                   /* of the response; 502, 503 or 504: none came */
	struct http_fields *response; /* NULL: none came */
	unsigned cause;               /* that none came: as of flight_note_cause */
	bool befalls_all;             /* that none came is not the request's doing, as nothing of it was sent */
	struct now request_time, now;
};
/* Of each response to such a request, at its head, and when none comes: its failure is told to its like for failure_memory, as a flight's
 * is, though no more than the status of it; anything else says that the origin answers them again. */
void cache_saw_passed(
	struct cache *c, const struct cache_request *r, const struct cache_asked *asked, const struct cache_passed *p);

/* Invalidation, both tiers: in force when it returns, but a crash of the machine a moment later may take it back. 0 or negative errno. */
int cache_purge_soon(struct cache *c, const struct purge *p, uint64_t *seq) WARN_UNUSED;
/* One that outlives a crash, in two steps that don't block, so that many wait for the device together; if either fails the response must
 * not claim success. `p` begins as zeros; any number of calls add to it, each with at least one purge. All are made, even if one of
 * them fails; *seq is the number of the last. */
int cache_purge_note(
	struct cache *c, const struct purge *v, unsigned n, uint64_t *seq, struct tier_purging *p) WARN_UNUSED;
/* 0 or negative errno; -EINPROGRESS: the message of `p` comes, with p->err, and whoever gets it calls cache_purge_end. */
int cache_purge_wait(struct cache *c, struct tier_purging *p) WARN_UNUSED;
void cache_purge_end(struct cache *c);
/* Another process has something newer, or knows that it has gone: what is stored here of the key goes, in both tiers, and what is
 * being fetched is late. */
void cache_forget_as_told(struct cache *c, struct slice key, uint64_t user);
/* Another process made it. */
void cache_purge_as_told(struct cache *c, const struct purge *p);

/* How many stored responses would these purges meet, if they were made now? A purge itself looks for none, so of what memory holds a
 * sample is looked at, at random: CACHE_SAMPLE_MAX responses, and four times as many places of the index, whatever is stored. What was
 * purged before as hard as that is not counted. 0 or -ENOMEM. */
#define CACHE_SAMPLE_MAX 128
struct cache_met {
	unsigned met, looked_at;
	bool is_all; /* of what is there, nothing was left out */
};
int cache_count_met(struct cache *c, const struct purge *v, unsigned n, struct cache_met *out) WARN_UNUSED;
/* Of all that is stored under that key, and would be met by a purge of its URL. */
unsigned cache_count_key(struct cache *c, const struct cache_key *key, bool soft);

/* Periodic work in small steps, in two parts: at most max_steps of what is due goes, and about max_steps entries and chains of the
 * index are looked at for what was purged or lies idle. A shard is locked for SWEEP_BATCH steps at a time. Any thread, one at a time. */
#define SWEEP_BATCH 32
struct cache_swept {
	unsigned looked; /* entries and chains of the index */
	unsigned gone;
	unsigned flights;  /* and shards that were looked at for some: 320 at most */
	bool is_behind;    /* there is more to free, or likely to be: call again soon */
	bool has_seen_all; /* a round over all entries has ended */
};
struct cache_swept cache_sweep(struct cache *c, unsigned max_steps, struct now now);

/* ---- For operators ---- */
struct cache_stats {
#define STAT(where, kind, name, help) uint64_t name;
#include "cache/memory/cache_stats.def"
	struct invalidation_stats invalidation;
	bool has_tier;
	struct tier_stats tier;
};
void cache_stats(struct cache *c, struct cache_stats *out);
/* Of the lower tier: its name, NULL when there is none; and what it counts of itself, nothing then. */
const char *cache_tier_name(const struct cache *c);
void cache_tier_counts(struct cache *c, void (*each)(void *arg, const struct tier_count *n), void *arg);

struct cache_entry_info {
	struct slice url;
	int status;
	int64_t age_ms, ttl_ms;
	uint64_t body_bytes, total_bytes, hits;
	enum policy_source source;
	struct slice vary_names;
	uint64_t user; /* hash, 0 when shared */
	bool soft_purged;
	bool for_all;  /* for requests with credentials too */
	bool answers;  /* of cache_see: the request would get it, or have the origin asked about it */
	bool in_lower; /* of what is in memory: the lower tier has it too */
};
/* What spared the API the most time since it came into memory: hits, those of responses that it had before too, times how long a
 * fetch took until its response began. Both within a sixteenth. Only what is for all, and what a GET without any field asks for. */
struct cache_ranked {
	struct slice url;
	uint64_t hits, fetch_ms;
};
/* The first n of all, the first one first. Walks through all of memory, a place of the index at a time. 0 or -ENOMEM. */
int cache_top(
	struct cache *c, unsigned n, void (*each)(void *arg, const struct cache_ranked *r), void *arg) WARN_UNUSED;
/* A listing of what is in memory, in no order, a part at a time. */
struct cache_listing {
	struct slice prefix; /* of URLs */
	unsigned limit;      /* responses told in one part, at most */
	struct now now;
	/* Outside shard locks; info is valid during the call. */
	void (*each)(const struct cache_entry_info *info, void *arg);
	void *arg;
	struct tier_cursor cursor; /* where the part begins, zeroed at first; then where the next one does */
	unsigned told, looked;     /* of this part: responses; entries and chains of the index */
};
/* One part: ends at the limit, after `steps` entries and chains, or when all were seen: cursor.shard is TIER_CURSOR_END. What stays in
 * memory from the first part to the last is told once, whatever comes and goes meanwhile. */
void cache_list(struct cache *c, struct cache_listing *l, unsigned steps);
/* What is in the lower tier, as its `list` says; once the message has come, cache_browse_end. -ENODEV: there is none. */
int cache_browse_tier(struct cache *c, struct tier_listing *l) WARN_UNUSED;
void cache_browse_end(struct cache *c);
/* What a request would find in memory. Nothing changes by it, counters neither. */
struct cache_sight {
	bool is_stored;   /* something is, for the key; of the rest what fits the request best, in this order: */
	bool is_answer;   /* it answers, as `reuse` says */
	bool is_withheld; /* it would, but the request bears a credential, and it is not for all */
	bool is_part;     /* it may have the bytes that are wanted */
	struct policy_reuse reuse;
	struct freshness freshness; /* of is_answer */
	bool is_soft_purged;
	int status;
	enum policy_store
		passes;    /* the last response could not be shared, and so requests go alone; POLICY_STORE: no */
	int64_t passes_ms; /* for so long */
};
/* `each` is told of all that is stored in memory for the key; may be NULL. */
void cache_see(struct cache *c, const struct cache_request *r, struct now now, struct cache_sight *out,
	void (*each)(const struct cache_entry_info *info, void *arg), void *arg);

#endif
