/* SPDX-License-Identifier: MIT */
/* The lower tier: what the cache asks of a store of responses that lies under its memory. The disk (cache/disk/) is one; whoever
 * opens it hands it to the cache (cache_set_tier), which is the only one to call it and closes it. A tier may forget; it may not
 * lie: what it gives is what was put last, and is not purged.
 * Thread: any, several at once, unless an operation says otherwise. Nothing waits for a device, but for what says "blocks";
 * what says "under a lock" neither blocks nor calls the cache back, so that it may be called under a shard's mu.
 * Owns: what a tier is given stays the caller's, and as it is, until on_release or the message that is promised for it.
 * Errors: negative errno. Whatever goes wrong is a miss, or a response that is not stored; a tier counts it.
 * Bounds: the tier's own, of bytes and of what waits; what goes past them is refused or dropped, and counted. */
#ifndef CACHE_TIER_TIER_H
#define CACHE_TIER_TIER_H

#include "base/check.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "cache/policy/policy.h"
#include "cache/policy/invalidation.h"

struct tier;

/* Private to a tier: how what was asked waits for its turn. */
struct tier_job {
	struct link link;
	void (*run)(struct tier *t, struct tier_job *job);
};

/* ---- Writing ---- */
/* A response to be stored; embedded in what keeps it alive. All bytes stay as they are until on_release, which comes once
 * for each put that is taken, on a thread of the tier's, and may free it. */
struct tier_source {
	struct slice key; /* all of it */
	struct hash128 hash;
	struct slice url; /* lies inside key */
	uint64_t user;
	struct slice vary_names, vary_values, head;
	int status;
	struct freshness freshness;
	uint64_t epoch;
	const uint64_t *tags;
	unsigned tags_n;
	uint64_t body_n;
	uint64_t part_first, part_total; /* the body is a part from there on of so many bytes; 0, 0: it is the whole */
	const struct tier_body *body; /* of a refresh: the body that is there already, in place of body_at; else NULL */
	/* A run of body bytes at offset (< body_n), at least one byte. */
	struct slice (*body_at)(const struct tier_source *s, uint64_t offset);
	void (*on_release)(struct tier_source *s);
	/* the result of a put that is not taken: for forget_before, once no lock is held; 0: nothing to forget */
	uint64_t forget_before;
	/* private to the tier */
	struct link link;
	uint64_t lsn;
	uint32_t variant;
	bool is_refresh, replaces;
	uint64_t replaced_age;
};

/* A response whose body comes in pieces, which are copied. Thread: one at a time. */
struct tier_stream {
	struct tier *tier;
};
#define TIER_LENGTH_UNKNOWN UINT64_MAX
enum tier_flow {
	TIER_FLOWS,
	TIER_IS_FULL, /* they were taken; whoever can wait should, until on_room */
	TIER_GAVE_UP, /* too slow, too large, out of room, failing: nothing will be stored */
};
enum tier_end {
	TIER_END_WHOLE,
	TIER_END_CUT,
	TIER_END_SLOW, /* cut, because the tier was too slow: counted */
};

/* ---- Reading ---- */
enum tier_verdict {
	TIER_MISS,
	TIER_HIT,
	TIER_SOFT,    /* there, but softly purged: stale */
	TIER_PENDING, /* the message will come */
};

/* Where a large body lies. Plain bytes, of which the tier knows what they mean: they may be copied to wherever there is room
 * for them, and keep nothing alive. */
struct tier_body {
	size_t bytes; /* of this and what follows it */
	uint64_t n;   /* of the body */
};

/* A stored response that was read and verified. */
struct tier_object {
	struct slice key, url, vary_names, vary_values, head;
	int status;
	struct freshness freshness; /* in this process's monotonic time */
	uint64_t epoch; /* up to which it is known to be valid, so later than the record's where that was checked */
	uint64_t user, lsn;
	const uint64_t *tags;
	unsigned tags_n;
	uint64_t body_n;
	uint64_t part_first, part_total; /* as in tier_source */
	struct slice body; /* all of it, verified, when it is at most whole_max; else p is NULL: read it in blocks */
	struct tier_body *large; /* then: where it lies; goes with this object, may be copied */
};
#define TIER_BODY_WHOLE_MAX (256u << 10)

struct tier_lookup {
	/* set by the caller; all of it lives until the result */
	struct slice key;
	struct hash128 hash;
	struct now now;
	uint64_t whole_max; /* bodies up to here come whole; 0: TIER_BODY_WHOLE_MAX */
	/* Is this variant the one? Called on this thread or the tier's. NULL: the newest. */
	bool (*accepts)(struct tier_lookup *l, const struct tier_object *candidate);
	struct mailbox *reply_to; /* NULL: blocks instead */
	struct message message;   /* its on_message is set by the caller */
	/* the result */
	enum tier_verdict verdict;
	struct tier_object *object; /* the caller frees it with object_free */
	/* private to the tier */
	struct tier_job job;
};

#define TIER_BLOCK 65536u
/* Of whoever reads a body: while it is held its bytes stay readable. The body has to outlive the hold. */
struct tier_hold {
	const struct tier_body *body;
	void *place; /* private to the tier; NULL: it is not held */
};
struct tier_read {
	/* set by the caller */
	const struct tier_hold *hold;
	uint64_t offset;          /* a multiple of TIER_BLOCK, below the body's n */
	struct mailbox *reply_to; /* NULL: blocks instead */
	struct message message;
	/* the result */
	int err;
	struct slice bytes; /* one block, in the caller's buffer */
	char *buffer;       /* of TIER_BLOCK bytes, the caller's */
	/* private to the tier */
	struct tier_job job;
};

/* ---- Purging ---- */
/* Of whoever answers once purges are durable. */
struct tier_purging {
	/* set by the caller */
	struct mailbox *reply_to;
	struct message message;
	/* the result */
	int err; /* 0, or one of them may not outlive a crash */
	/* private to the tier: what is waited for, and others that wait */
	uint64_t first, last;
	struct tier_purging *next;
};

/* ---- Listing ---- */
struct tier_record_info {
	struct slice url, vary_names;
	int status;
	struct freshness freshness;
	uint64_t user, body_n, bytes; /* bytes: that the record takes in the tier */
	bool soft_purged;
};
/* Records in an order of the tier's own, some at a time; what is stored or goes meanwhile may be seen or not. */
struct tier_cursor {
	unsigned shard; /* 0 at first, up to 255; TIER_CURSOR_END: all were seen */
	uint64_t key;
};
#define TIER_CURSOR_END 256
struct tier_listing {
	/* set by the caller; all of it lives until the message */
	struct slice prefix;       /* of the URL */
	unsigned limit, reads_max; /* records to tell of, and to read; a key's variants are not parted, so a few more */
	struct now now;
	void (*each)(struct tier_listing *l,
		const struct tier_record_info *info); /* on a thread of the tier's; valid meanwhile */
	struct mailbox *reply_to;
	struct message message;
	/* where to begin; afterwards where to go on */
	struct tier_cursor cursor;
	/* the result */
	unsigned told, read;
	/* private to the tier */
	struct tier_job job;
};

struct tier_stats {
	uint64_t objects, queue;          /* queue: that wait to be written */
	bool is_ready;                    /* all that is stored can be found; before that lookups miss */
	uint64_t segments_read, segments; /* of what is read in before it is ready; 0, 0: nothing is */
};
/* One number of those that a tier keeps of itself. */
struct tier_count {
	const char *name; /* a member of /stats, a part of a metric's name: letters, digits and _ */
	uint64_t value;
	bool is_gauge;    /* else it only grows */
	const char *help; /* without a full stop */
};

/* ---- The interface ---- */
struct tier_ops {
	/* -- What is there? Under a lock. -- */
	/* False: nothing is stored for the key. True: perhaps something is. */
	bool (*may_have)(struct tier *t, struct hash128 hash);
	/* Is a record there for this very variant, and none that waits to be written will replace it? */
	bool (*holds)(struct tier *t, struct hash128 hash, struct slice vary_names, struct slice vary_values);
	/* Is what was read as `lsn` still what counts? False once something newer for its variant was put, or the key was forgotten.
	 * Purges are another matter: those are in the invalidation table. */
	bool (*is_newest)(struct tier *t, struct hash128 hash, uint64_t lsn);

	/* -- Reading -- */
	/* What is at hand is the result at once; else TIER_PENDING. */
	enum tier_verdict (*get)(struct tier *t, struct tier_lookup *l);
	void (*object_free)(struct tier *t, struct tier_object **o);
	/* Could it be read, as far as that is known? Under a lock. */
	bool (*body_is_there)(struct tier *t, const struct tier_body *b);
	/* To be said of what could not be read as it was written: lookups don't find its record any more. */
	void (*body_lose)(struct tier *t, struct tier_body *b);
	/* 0, or -ESTALE: it is not there any more. Counts as a use. */
	int (*body_ref)(struct tier *t, struct tier_hold *h, const struct tier_body *b);
	void (*body_unref)(struct tier *t, struct tier_hold *h); /* also when it never began */
	/* 0: done, see err and bytes. -EINPROGRESS: the message will come. */
	int (*read)(struct tier *t, struct tier_read *r);

	/* -- Writing. Under a lock, so that both tiers see the responses of one key in the same order. -- */
	/* It takes the place of what is stored for its variant; without Vary, of all that is stored for the key; with it, of what has
	 * none (RFC 9111 4.1: what has no Vary serves every request).
	 * 0: on_release will come. Else nothing happened but that what it would have replaced is gone, as it is out of date,
	 * until a restart at least; see forget_before. -ENOBUFS (queue), -EMSGSIZE, -EIO (waiting after a failure), -EPERM (not
	 * admitted), -EINVAL, -ESHUTDOWN. */
	int (*put)(struct tier *t, struct tier_source *s);
	/* After a 304: the same body with other fields. */
	int (*refresh)(struct tier *t, struct tier_source *s);
	/* What a put would have replaced that could not even be made; needs no memory. Returns what forget_before would be. */
	uint64_t (*drop_put)(struct tier *t, struct hash128 hash, struct slice vary_names, struct slice vary_values);
	/* All variants of the key, queued ones too, are out of date. What is put from then on is not. Returns what to give to
	 * forget_before; 0: nothing was there. */
	uint64_t (*retire)(struct tier *t, struct hash128 hash);
	/* Not under a lock: what is older than such a number does not come back after a restart either. Durable soon, not at once:
	 * after a crash of the process it holds, after one of the machine perhaps not. 0: nothing to do. */
	void (*forget_before)(struct tier *t, struct hash128 hash, uint64_t number);

	/* -- Writing as it arrives. Thread: one at a time for each stream. -- */
	/* `s` as for put, without body_at; body_n may be TIER_LENGTH_UNKNOWN. 0: stream_end has to come, and on_release will after it;
	 * on_room too, on a thread of the tier's, at most once for each TIER_IS_FULL. Else nothing happened; -errno as of put, or
	 * -ENOMEM. */
	int (*stream_begin)(struct tier *t, struct tier_source *s, void (*on_room)(struct tier_source *s),
		struct tier_stream **out);
	enum tier_flow (*stream_write)(struct tier_stream *st, const void *p, size_t n);
	/* Whole, under a lock: it takes the place that a response put now would; s->epoch, s->freshness and
	 * what its tags are may have been set anew before, not how many. Else nothing is left of it. Closing waits for this. */
	void (*stream_end)(struct tier_stream **st, enum tier_end how);

	/* -- Invalidation -- */
	/* Invalidates in the invalidation table that the tier was opened with, and so that a restart knows of it: n purges, at least one.
	 * `wait` blocks until all are durable, as long as one would. *seq is the number of the last. 0; or negative errno: they hold in
	 * this process, but one of them may not after a crash; -EMSGSIZE: nothing was done. */
	int (*purge)(struct tier *t, const struct purge *v, unsigned n, bool wait, uint64_t *seq);
	/* The same in two steps, neither of which blocks, so that many wait together. `p` begins as zeros, and any number of calls add
	 * to it; what was noted before a failure stays noted. */
	int (*purge_note)(struct tier *t, const struct purge *v, unsigned n, uint64_t *seq, struct tier_purging *p);
	/* 0 or negative errno: done. -EINPROGRESS: the message will come. Closing and hand_over wait for that. */
	int (*purge_wait)(struct tier *t, struct tier_purging *p);
	/* The lowest epoch that a record here may have: for invalidation_retire. 0: not known now. */
	uint64_t (*oldest_epoch)(struct tier *t);

	/* -- For operators -- */
	/* 0: the message will come. -EBUSY, or -EAGAIN before it is ready. */
	int (*list)(struct tier *t, struct tier_listing *l);
	void (*stats)(struct tier *t, struct tier_stats *out);
	/* All that it counts, always the same names in the same order. */
	void (*counts)(struct tier *t, void (*each)(void *arg, const struct tier_count *n), void *arg);

	/* -- Its end. Thread: one. Block. -- */
	/* Gives what is stored up, so that another process can open it while this one goes on: what is queued is written first. From
	 * then on lookups miss, puts and purges that wait are refused with -ESHUTDOWN, other purges hold in this process only; what
	 * was found before is read on. A second time does nothing. */
	void (*hand_over)(struct tier *t);
	/* After hand_over, when no process has taken it: whoever opens it next starts empty, since nobody knows what was purged
	 * meanwhile. 0; -EWOULDBLOCK: another process has it. */
	int (*disown)(struct tier *t);
	/* Writes what is queued and frees all. No lookup, read or listing is under way. */
	void (*close)(struct tier **t);
};

#define TIER_SECRET_BYTES 32

/* The beginning of each tier. */
struct tier {
	/* set once, before the cache has it */
	const struct tier_ops *ops; /* all of them: none may be NULL */
	const char *name;           /* for operators, as tier_count has its names */
	uint64_t max_object;        /* of body bytes: what is larger is refused */
	const unsigned char
		*secret; /* TIER_SECRET_BYTES for the hashes that stand for users, the same as long as what is stored
					is. Never to be shown. */
};

#endif
