/* SPDX-License-Identifier: MIT */
/* A flight's insides. Private to cache/.
 * Life: made by a lookup that leads; in its shard's and its entry's lists until it has ended; the last reference frees
 * it. References: one for the lists, one for the leader, one for each waiter, one for each message under way. */
#ifndef CACHE_FLIGHT_INTERNAL_H
#define CACHE_FLIGHT_INTERNAL_H

#include "cache/cache_internal.h"

/* One a worker: who waits there, and the message that tells them. */
struct flight_slot {
	struct message message;
	struct flight *flight;
	struct flight_waiter *first, *last; /* changed under the flight's mu, by the slot's worker only */
	_Atomic bool has_news;              /* since its worker began to tell */
	/* that worker only */
	struct flight_waiter *cursor; /* the next to be told */
	uint64_t joined, told_up_to;  /* waiters ever; those that the telling under way is for */
};

/* What it is for. Its phases (flight.h) are told to all who wait; each comes once, but for RESPONSE, which is told anew as the body
 * grows:
 *
 *      WAITING -> RESPONSE       a head has come that others may have. Held back (is_held) until all has come where that decides
 *                              about the head or the storing; what breaks off before is STALE or FAILED
 *      WAITING -> RELEASED     the response is for the leader's client alone; the others ask for themselves
 *      WAITING -> RETRY        look up again: a READ has ended, a 304 confirms nothing, the leader gave up
 *      WAITING -> STALE        no usable response came, and `stored` may stand in for it
 *      WAITING -> FAILED       nor may that
 *
 *                      FETCH, TAIL     BACKGROUND      HEAD            KEPT            READ
 *      led for         a client        nobody          a client        nobody          a client
 *      joined          if is_shared    if is_shared    by HEADs, if so never           by all that find nothing in memory
 *      stored in       both tiers      both tiers      neither         both tiers      memory
 *      marks the key   if may_mark     if may_mark     for HEADs       never           never
 *      its failure     if may_fail     if may_fail     for HEADs       if it passed    never
 *
 * The lists have it until it has ended, or, where it is committing, until the lower tier has all of it. */
enum flight_kind {
	FLIGHT_FETCH,
	FLIGHT_BACKGROUND, /* what is stored has answered already */
	FLIGHT_TAIL,       /* `stored` is the beginning of what is wanted; the rest is asked for */
	FLIGHT_HEAD,       /* asks for the head alone, for HEADs */
	FLIGHT_KEPT,       /* made by cache_keep and cache_saw_passed */
	FLIGHT_READ,       /* of the lower tier; all who wait look up again after it */
};

#define WINDOW_BYTES (512 * 1024) /* of a body that is not stored: what waits for the slowest of those who take it */
/* Of a response that outgrew max_object: its bytes go when all waiters have passed them on. Guarded by the flight's mu. */
struct flight_window {
	bool is_open;
	bool is_full;    /* the leader waits until they have passed on more */
	uint64_t low;    /* the least offset of all waiters */
	unsigned at_low; /* how many of them are there */
};

enum flight_writing_state {
	FLIGHT_IS_NOT_WRITTEN, /* not as it arrives, or no more */
	FLIGHT_IS_STREAMED,    /* others fetch for themselves meanwhile */
	FLIGHT_IS_COMMITTING,  /* it has ended well, and is being written to its end */
};

/* Of a response that goes to the lower tier as it arrives. Guarded by the flight's mu; entering and leaving FLIGHT_IS_COMMITTING
 * takes the shard's too. */
struct flight_writing {
	enum flight_writing_state state;
	bool is_full; /* the leader waits for the tier */
	bool is_slow; /* and did for too long */
	int64_t stalled_ms, stall_seen_ms;
};

struct flight {
	_Atomic uint32_t refs;
	/* set once, before it is in a list */
	struct cache *cache;
	struct entry *entry;
	unsigned worker;
	const struct cache_rules *rules;
	void *rules_owner;
	void (*rules_unref)(void *owner);
	enum http_method method;
	struct http_fields request; /* a copy, over request_bytes */
	char *request_bytes;
	bool has_authorization, has_credential; /* the request, as credentials_of has it */
	enum flight_kind kind;
	bool is_shared; /* may be joined */
	uint64_t form;  /* of its leader's request */
	bool may_mark;  /* that its response is not for sharing says something of others': not alone by wish */
	bool may_fail;  /* and so does its failure: no credentials */
	enum failure_kind fails_as;
	bool is_forced;              /* a refresh: it replaces what others were told a moment ago */
	struct store_filter *filter; /* the leader's; NULL: every body is taken */
	bool is_fill;                /* for a warm-up, which has no credential where clients may have one */
	uint64_t epoch;
	uint64_t order; /* of its request among all: landing.h */
	struct now started;
	struct object *stored;        /* what it may validate or stand in for; or NULL */
	struct flight_stream *stream; /* the leader's: its response goes to the lower tier as it arrives; else NULL */
	struct buf own_lines;         /* of fields that are not stored, for the client that caused it */

	/* guarded by the shard's mu */
	struct flight *next_of_entry;
	struct link of_shard;
	bool is_listed;
	int64_t progress_ms; /* when `progress` was seen to change */
	uint64_t progress;
	_Atomic uint64_t checked;              /* as invalidation_check wants it */
	bool is_late;                          /* a response to a later request has landed */
	bool has_newer;                        /* any response has, that took the place of `stored` or retired it */
	uint64_t wants_names, wants_validator; /* it is late, too, unless its response has these: landing.c; 0: any */

	pthread_mutex_t mu;
	/* guarded by mu */
	struct buf names,
		values; /* the Vary that is known of the key, then of the response; and this request's values for it */
	enum flight_phase phase;
	struct object *object;
	int status, failure; /* as in flight_view */
	bool befalls_all;    /* it failed for a reason that every request meets: before anything was sent */
	unsigned waiters_n;
	bool has_had_own;          /* `own` has been set, though its client may have left */
	unsigned others_stored;    /* how often other flights of the entry stored, while this one has nothing to show */
	enum policy_share shares;  /* `object` is an error that is not stored: for whom else it is */
	enum policy_store verdict; /* what is known of its storing */
	enum flight_storing storing;
	struct flight_waiter *own; /* of the client that caused it: it stays when the others look up again */
	bool is_silent;            /* the leader timed out: not joined any more, waiters look up again */
	bool is_for_parts; /* led by a Range, and nobody who waits wants more than a part: nothing larger than max_object */
	struct flight_window window;
	struct flight_writing writing;
	void (*on_resume)(void *arg);
	void *on_resume_arg;
	struct message resume_message;

	/* the leader's thread only */
	struct pass_variants *speaks_for; /* owned: by a response that is not for sharing; see pass.h */
	unsigned
		cause; /* of a failure, as the leader numbers them; others read it once the phase says that it has failed */
	bool has_ended;
	bool is_overlong;
	bool is_held; /* nobody has been told of `object` yet: it is looked at, or tagged, when it is complete */
	struct now asked, answered; /* of a kept response */
	struct flight_slot slots[]; /* o.workers of them */
};

struct ending {
	enum flight_phase phase;
	int status;
	int said;                       /* of STALE, and of a failure: what the origin said; 0: nothing */
	struct object *object;          /* to be announced (RESPONSE); its reference is taken */
	struct object *store;           /* to go into the memory tier; its reference is taken */
	uint64_t read_lsn;              /* of a FLIGHT_READ: the record that `store` comes from */
	bool completes;                 /* the flight's object is whole */
	bool retires;                   /* nothing is stored, and what the response supersedes goes */
	enum policy_store verdict;      /* of `object` */
	int64_t pass_ms;                /* for how long those who ask don't wait for each other */
	struct object *failed_response; /* and the response, borrowed; or NULL */
	bool shows_trouble;             /* of a failure: it is a response, to be remembered when it comes again */
	bool is_cut;                    /* and it broke off */
	bool is_for_one; /* of such a response: others are told nothing of it, but a stale one may stand in again */
	bool marks_failure, drops_stored, opens_window;
	bool befalls_all; /* of a failure: the request is not its cause */
	struct now now;
};
/* What it has come to, to all who wait; and no more is to come: the store and the markers first, then the waiters, so that
 * whoever looks up again finds all that is known from the flight. */
void flight_announce(struct flight *f, const struct ending *x);
void flight_finish(struct flight *f, const struct ending *x);
/* Its response, of which the body still comes, will not be stored: what it supersedes goes, if it does. */
void flight_retire(struct flight *f);
/* Has a response to a later request landed meanwhile? */
bool flight_is_late(struct flight *f);
/* Has any, so that what it was to validate must not stand in for an error any more? */
bool flight_has_newer(struct flight *f);
/* ---- What the key's markers say after it (flight_mark.c) ---- */
/* Before a mark: by which fields the response is told apart from others. */
void flight_note_variant(struct flight *f, struct slice names);
/* Requests for the key don't wait for each other any more: for pass_memory (not under the shard's mu), or for pass_ms. */
void flight_mark_pass(struct flight *f);
void flight_mark_pass_locked(struct flight *f, int64_t now_ms, int64_t pass_ms, struct garbage *g);
/* What HEADs are told from now on, as the HEAD's response ends it. */
void flight_mark_heads_locked(struct flight *f, const struct ending *x, struct garbage *g);
/* The failure that `x` says is remembered. */
void flight_mark_failure_locked(struct flight *f, const struct ending *x, struct garbage *g);
/* A background refresh changed nothing: no other for failure_memory, whoever asks. */
void flight_mark_rest_locked(struct flight *f, int64_t now_ms, struct garbage *g);
/* As `stored` is: those who ask next may wait for each other again. */
void flight_clear_marks_locked(struct flight *f, const struct object *stored, struct garbage *g);
/* flight_body.c. What has streamed is aborted. */
void flight_break_off(struct flight *f);

/* ---- What its response is (flight_judge.c) ---- */
enum policy_store flight_judge(
	struct flight *f, const struct flight_response *a, struct freshness *freshness) WARN_UNUSED;
/* Whom else than its leader's client an error goes to that is not stored. */
enum policy_share flight_share_error(const struct flight *f, const struct flight_response *a);
/* Of an error that goes to that client alone, because of the client's wish or because others don't wait: would it befall others? */
bool flight_befalls_others(const struct flight *f, const struct flight_response *a);
/* For how long those who ask next need not wait for each other, as the response, not stored because of `why`, will not be for
 * sharing again. */
int64_t flight_pass_ms(const struct flight *f, const struct flight_response *a, enum policy_store why);
bool flight_is_large(const struct flight *f, const struct flight_response *a);
/* Could it go to the lower tier as it arrives, by its head? */
bool flight_may_stream(struct flight *f, int status, bool is_part, uint64_t length);
/* Another one for each key and each time that it is stored. */
uint32_t flight_jitter(const struct flight *f, struct now now);
/* Below 500 and neither a part, nor about the request or the connection rather than the page; 429 only asks for patience. */
bool flight_is_full_response(int status);
/* Does what is stored have to go, as `a` can't be stored for that reason (RFC 9111 4.3.3)? */
bool flight_head_supersedes(const struct flight *f, const struct flight_response *a, enum policy_store why);
/* The same of a response that could have been stored by its head. */
bool flight_supersedes(const struct flight *f);

struct flight *flight_new(struct cache *c, const struct cache_request *r) WARN_UNUSED;
/* keep_part.c. Does it say which one part of how many bytes it bears? */
bool keep_read_part(const struct flight_response *a, struct object_part *part, uint64_t *n);
/* Is it the beginning of something whose rest can be asked for? */
bool keep_has_tail(const struct object *o, struct now now);
/* A kept part together with the part that is stored, if they fit (RFC 9111 3.4); else the kept one. With a reference. */
struct object *keep_combined(struct flight *f) WARN_UNUSED;
/* The part, when it is the representation's end and its body, whole by its framing, is shorter than announced; or NULL. */
struct object *keep_short_tail(struct flight *f) WARN_UNUSED;
/* The whole of which the response is the tail: its body is there up to where the tail begins. NULL: it does not fit. */
struct object *keep_whole(struct flight *f, const struct flight_response *a, const struct refresh *r) WARN_UNUSED;

/* ---- Flights that read the lower tier (flight_read.c) ---- */
enum flight_read {
	FLIGHT_READ_ABSENT,
	FLIGHT_READ_FOUND, /* and in memory now */
	FLIGHT_READ_PENDING, /* the flight ends when it has been read; its message comes to the flight's worker, which this is */
};
/* For one that is listed; ends it, now or later. */
enum flight_read flight_read(struct flight *f, struct hash128 hash, struct now now) WARN_UNUSED;

/* ---- Responses that go to the lower tier as they arrive (flight_stream.c); leader's thread ---- */
/* 0: the response `o` of that length (-1: not known) does. Else it is not stored. */
int flight_stream_begin(struct flight *f, struct object *o, int64_t length) WARN_UNUSED;
/* True: the leader should wait. It may have been given up afterwards: f->stream. */
bool flight_stream_take(struct flight *f, const void *p, size_t n);
void flight_stream_drop(struct flight *f);
/* All of it has come. False: it is not to be stored after all. Else the flight is listed until the message has come that it
 * is in the lower tier: who asks meanwhile waits for that. */
bool flight_stream_commit(struct flight *f, struct now now) WARN_UNUSED;
/* Under the shard's mu: has the lower tier held it up for too long? */
void flight_check_stall_locked(struct flight *f, struct now now);
/* The leader may go on, unless it is paused by the other of window and lower tier. */
void flight_resume(struct flight *f);
void flight_post_resume_locked(struct flight *f); /* by message */

/* Under mu: a response on its way to the lower tier of which nothing more is to come. Its client may have all of it, and ask again,
 * before the leader hears of the end. */
bool flight_has_all_locked(const struct flight *f);

/* Under the shard's mu: those who wait for other flights of its entry may find their response stored. */
void flight_tell_stored_locked(const struct flight *by);
/* Told to all who wait, after something has changed. Under mu. */
void flight_wake_locked(struct flight *f);
/* Under mu: the least offset anew, room freed, the leader resumed. */
void flight_move_window(struct flight *f);
/* Under the shard's mu; the reference of the lists goes to the caller. */
void flight_list_locked(struct flight *f, struct entry *e);
bool flight_unlist_locked(struct flight *f);
/* Under the shard's mu: has its leader been silent for too long? If so its waiters are told to look up again. */
bool flight_is_silent_locked(struct flight *f, struct now now);

#endif
