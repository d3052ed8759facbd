/* SPDX-License-Identifier: MIT */
/* The disk tier: an append-only log of answers under the memory tier. A cache may forget; it may not lie.
 * Thread: any, where nothing else is said. Nothing here waits for a device, but for what says "blocks".
 * Owns: the directory (one process at a time), its files, its threads: a writer, a keeper (recovery and reclaim), a
 * journalist (syncs and checkpoints) and `threads` readers. Borrows: the scope table, the mailboxes.
 * Bounds: size, in bytes of the files, exact; queue_max and queue_bytes of answers that wait to be written; reads_max of
 * reads that wait. What goes past a bound is dropped and counted. */
#ifndef CACHE_DISK_STORE_H
#define CACHE_DISK_STORE_H

#include <stdio.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mailbox.h"
#include "cache/disk/log/io.h"
#include "cache/policy/policy.h"
#include "cache/policy/scope.h"

struct disk;
struct disk_body;
struct segment;

/* Private: how a request waits for a reader. */
struct disk_job {
	struct disk_job *next;
	void (*run)(struct disk *d, struct disk_job *job);
};

struct disk_options {
	const char *path; /* a directory; made when its parent exists */
	uint64_t size;
	uint64_t max_object;    /* of body bytes; 0: a quarter of size */
	uint64_t segment_bytes; /* 0: by size, 64 MiB at most */
	uint64_t journal_bytes; /* 0: 1 MiB */
	unsigned threads;       /* readers; 0: 2 */
	unsigned queue_max;     /* 0: 8192 */
	uint64_t queue_bytes;   /* 0: 64 MiB */
	unsigned reads_max;     /* 0: 4096 */
	unsigned forgets_max;   /* 0: 65536 */
	int64_t retry_ms;       /* after a failed write; 0: 5000 */
	bool admit_second_hit;  /* write what is put a second time, or is there already */
	uint64_t clock_id;      /* of this run of the machine; 0: asked from the kernel */
	struct scope_table *scopes;
	const struct disk_io *io; /* NULL: the real one */
};

#define DISK_ERROR_MAX 512

/* Locks, checks, restores the rules of invalidation into `scopes`; then recovery goes on in the background. Blocks. Before
 * any fetch has noted its epoch. 0; or negative errno and one sentence in `error`. */
int disk_open(const struct disk_options *o, struct disk **out, char error[DISK_ERROR_MAX]) WARN_UNUSED;
/* Blocks: writes what is queued, seals, syncs. Lookups under way are answered with a miss first. */
void disk_close(struct disk **d);

/* DISK_SECRET_BYTES for the hashes that stand for users, the same as long as the store is. Never to be shown. */
#define DISK_SECRET_BYTES 32
const unsigned char *disk_secret(const struct disk *d);
/* Gives the directory up, so that another process can open it while this one goes on: what is queued is written first.
 * From then on lookups miss, puts and purges that wait are refused with -ESHUTDOWN, other purges hold in this process only;
 * what was found before is read on. Blocks. For one thread; a second time does nothing. */
void disk_hand_over(struct disk *d);
/* After disk_hand_over, when no process has taken the directory: whoever opens it next starts empty, since nobody knows what
 * was purged meanwhile. 0; -EWOULDBLOCK: another process has it. */
int disk_disown(struct disk *d) WARN_UNUSED;

/* ---- Writing ---- */
/* An answer to be written; embedded in what holds it alive. All bytes stay as they are until on_release, which comes once
 * for each accepted put, from the writer's thread, and may free it. */
struct disk_source {
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
	const uint64_t *sums; /* NULL; or of the blocks of a body that is on disk: for disk_refresh, without body_at */
	/* A run of body bytes at offset (< body_n), at least one byte. */
	struct slice (*body_at)(const struct disk_source *s, uint64_t offset);
	void (*on_release)(struct disk_source *s);
	/* the answer of a put that is not taken: for disk_forget_before, once no lock is held; 0: nothing to forget */
	uint64_t forget_before;
	/* private */
	struct disk_source *next;
	uint64_t lsn;
	uint32_t variant;
	bool is_refresh, replaces;
};

/* 0: on_release will come. Else nothing happened but that what was stored for this variant is gone, as it is out of date,
 * until a restart at least; see forget_before. -ENOBUFS (queue), -EMSGSIZE, -EIO (waiting after a failure), -EPERM (not
 * admitted), -EINVAL, -ESHUTDOWN. */
int disk_put(struct disk *d, struct disk_source *s) WARN_UNUSED;
/* After a 304: the same body with other fields. A small answer is written again as a whole, which costs one read later
 * and no more bytes than its meta's block; of a larger one only the meta is, when the body there is proved the same. */
int disk_refresh(struct disk *d, struct disk_source *s) WARN_UNUSED;
#define DISK_REFRESH_WHOLE_MAX 65536
/* An answer whose body comes in pieces, which are copied, and written by the writer to a segment of its own. Bounds:
 * queue_bytes, which it shares with all that is queued, a quarter of them for one; DISK_STREAMS_MAX at once.
 * Thread: one at a time. */
struct disk_stream;
#define DISK_STREAMS_MAX 64
#define DISK_LENGTH_UNKNOWN UINT64_MAX
/* `s` as for disk_put, without body_at; body_n may be DISK_LENGTH_UNKNOWN. 0: disk_stream_end has to come, and on_release will
 * after it, from the writer's thread; on_room too, at most once for each DISK_IS_FULL. Else nothing happened; -errno as of
 * disk_put, or -ENOMEM. */
int disk_stream_begin(struct disk *d, struct disk_source *s, void (*on_room)(struct disk_source *s),
	struct disk_stream **out) WARN_UNUSED;
enum disk_flow {
	DISK_FLOWS,
	DISK_IS_FULL, /* they were taken; whoever can wait should, until on_room */
	DISK_GAVE_UP, /* too slow, too large, out of room, failing: nothing will be stored */
};
enum disk_flow disk_stream_write(struct disk_stream *st, const void *p, size_t n) WARN_UNUSED;
/* Whole: it takes the place of what is stored for this variant, as an answer put now; s->epoch, s->freshness and what its tags
 * are may have been set anew before, not how many. Else nothing is left of it. Closing waits for this. */
void disk_stream_end(struct disk_stream **st, bool is_whole);
/* Not whole, because the disk was too slow: counted. */
void disk_stream_end_slow(struct disk_stream **st);
uint64_t disk_max_object(const struct disk *d);
/* What a put would have replaced that could not even be made; needs no memory. Returns what forget_before would be. */
uint64_t disk_drop_put(
	struct disk *d, struct hash128 hash, struct slice vary_names, struct slice vary_values) WARN_UNUSED;
/* All variants of the key, queued ones too, are out of date; no I/O, so it can be done under a lock. What is put from then on is
 * not. Returns what to give to disk_forget_before; 0: nothing was there. */
uint64_t disk_retire(struct disk *d, struct hash128 hash) WARN_UNUSED;
/* Both. Durable soon, not at once: after a crash of the process it holds, after one of the machine perhaps not. */
void disk_forget(struct disk *d, struct hash128 hash);
/* Of what is older than such a number; 0: nothing. */
void disk_forget_before(struct disk *d, struct hash128 hash, uint64_t number);
/* Invalidates in `scopes` and in the journal. `wait` blocks until it is on the device; without it the entry is written but
 * not synced. 0; or negative errno: it holds in this process, but may not after a crash. */
int disk_purge(struct disk *d, enum scope_kind kind, struct slice what, uint64_t user, bool soft, bool wait,
	uint64_t *seq) WARN_UNUSED;
/* Blocks until what was put before is written or dropped. For tests and for closing. */
void disk_flush(struct disk *d);

/* ---- Reading ---- */
enum disk_verdict {
	DISK_MISS,
	DISK_HIT,
	DISK_SOFT,    /* there, but softly purged: stale */
	DISK_PENDING, /* the letter will come */
};

/* A stored answer that was read and verified. */
struct disk_object {
	struct slice key, url, vary_names, vary_values, head;
	int status;
	struct freshness freshness; /* in this process's monotonic time */
	uint64_t epoch; /* up to which it is known to be valid, so later than the record's where that was checked */
	uint64_t user, lsn;
	const uint64_t *tags;
	unsigned tags_n;
	uint64_t body_n;
	uint64_t part_first, part_total; /* as in disk_source */
	struct slice body;       /* all of it, verified, when it is at most whole_max; else p is NULL: disk_read */
	struct disk_body *large; /* then: where it lies; goes with this object, may be copied */
};
#define DISK_BODY_WHOLE_MAX (256u << 10)

struct disk_lookup {
	/* set by the caller; all of it lives until the answer */
	struct slice key;
	struct hash128 hash;
	struct now now;
	uint64_t whole_max; /* bodies up to here come whole; 0: DISK_BODY_WHOLE_MAX */
	/* Is this variant the one? Called on this thread or a reader's. NULL: the newest. */
	bool (*accepts)(struct disk_lookup *l, const struct disk_object *candidate);
	struct mailbox *reply_to; /* NULL: blocks instead */
	struct mail mail;         /* its on_mail is set by the caller */
	/* the answer */
	enum disk_verdict verdict;
	struct disk_object *object; /* the caller frees it with disk_object_free */
	/* private */
	struct disk_job job;
};
/* False: nothing is stored for the key. True: perhaps something is. No I/O. */
bool disk_may_have(struct disk *d, struct hash128 hash);
/* Is a record there for this very variant, and none that waits to be written will replace it? No I/O. */
bool disk_holds(struct disk *d, struct hash128 hash, struct slice vary_names, struct slice vary_values);
/* Absent keys cost no I/O; what the page cache holds is read at once; else DISK_PENDING. */
enum disk_verdict disk_get(struct disk *d, struct disk_lookup *l) WARN_UNUSED;
void disk_object_free(struct disk *d, struct disk_object **o);
/* Is what was read still what counts? False once something newer for its variant was put, or the key was forgotten. Purges are
 * another matter: those are the scopes'. */
bool disk_is_newest(struct disk *d, struct hash128 hash, uint64_t lsn);

#define DISK_BLOCK 65536u
/* Of whoever reads a body: keeps the file that it lies in. See body.h. */
struct disk_hold {
	const struct disk_body *body;
	struct segment *seg;
};
struct disk_read {
	/* set by the caller */
	struct disk_object *object; /* whose body it is; or NULL, and: */
	const struct disk_hold *hold;
	uint64_t offset;          /* a multiple of DISK_BLOCK, below body_n */
	struct mailbox *reply_to; /* NULL: blocks instead */
	struct mail mail;
	/* the answer */
	int err;
	struct slice bytes; /* one block, in the caller's buffer */
	char *buffer;       /* of DISK_BLOCK bytes, the caller's */
	/* private */
	struct disk_job job;
};
/* 0: done, see err and bytes. -EINPROGRESS: the letter will come. */
int disk_read(struct disk *d, struct disk_read *r) WARN_UNUSED;

/* ---- Listing ---- */
struct disk_record_info {
	struct slice url, vary_names;
	int status;
	struct freshness freshness;
	uint64_t user, body_n, bytes; /* bytes: of the record */
	bool soft_purged;
};
/* Records in the order of their keys' hashes, some at a time; what is stored or goes meanwhile may be seen or not. */
struct disk_cursor {
	unsigned shard; /* DISK_CURSOR_END: all were seen */
	uint64_t key;
};
#define DISK_CURSOR_END 256
struct disk_listing {
	/* set by the caller; all of it lives until the letter */
	struct slice prefix;       /* of the URL */
	unsigned limit, reads_max; /* records to tell of, and to read; a key's variants are not parted, so a few more */
	struct now now;
	void (*each)(struct disk_listing *l,
		const struct disk_record_info *info); /* on a reader's thread; valid meanwhile */
	struct mailbox *reply_to;
	struct mail mail;
	/* where to begin; afterwards where to go on */
	struct disk_cursor cursor;
	/* the answer */
	unsigned told, read;
	/* private */
	struct disk_job job;
};
/* Reads heads, never bodies, on a reader's thread, in turns with what requests wait for. 0: the letter will come. -EBUSY, or
 * -EAGAIN while the index is being loaded. */
int disk_browse(struct disk *d, struct disk_listing *l) WARN_UNUSED;

/* ---- Looking at it ---- */
struct disk_stats {
	uint64_t objects, index_bytes, bytes, size, segments;
	uint64_t hits, misses, absent, inline_reads, thread_reads, read_errors, bad_records, purged_reads;
	uint64_t puts, put_bytes, written_bytes, reinserted_bytes, heads_written;
	uint64_t dropped_queue, dropped_error, dropped_size, dropped_admit, dropped_outdated, dropped_slow;
	uint64_t write_errors, reclaimed_segments, spared_segments, reinserted, queue, queue_bytes, reads_refused;
	uint64_t purges, forgets, journal_errors, journal_syncs, checkpoints, checkpoint_errors, unlink_errors;
	uint64_t recovered_objects, recovered_segments, recovery_segments, recovery_ms, foreign_files, started_empty;
	bool is_ready; /* recovery is done; before that all lookups miss */
};
void disk_stats(struct disk *d, struct disk_stats *out);
/* Lowest epoch that a record here may have: for scope_retire. */
uint64_t disk_oldest_epoch(struct disk *d);
bool disk_is_ready(struct disk *d);
void disk_wait_ready(struct disk *d); /* blocks */

/* Verifies a directory that no process uses; writes what it finds to `out`. 0 when all is well, -EBADMSG when something
 * would be left out, else what kept it from looking. */
int disk_check(const char *path, FILE *out) WARN_UNUSED;

#endif
