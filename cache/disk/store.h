/* SPDX-License-Identifier: MIT */
/* The disk tier: an append-only log of responses under the memory tier. A cache may forget; it may not lie.
 * Thread: any, where nothing else is said. Nothing here waits for a device, but for what says "blocks".
 * Owns: the directory (one process at a time), its files, its threads: a writer, a reclaimer (recovery and reclaim), a
 * journal syncer (syncs and checkpoints) and `threads` readers. Borrows: the invalidation table, the mailboxes.
 * Bounds: size, in bytes of the files, exact; queue_max and queue_bytes of responses that wait to be written; reads_max of
 * reads that wait. What goes past a bound is dropped and counted. */
#ifndef CACHE_DISK_STORE_H
#define CACHE_DISK_STORE_H

#include <stdio.h>

#include "cache/disk/log/io.h"
#include "cache/tier/tier.h"

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
	unsigned settle_rules;  /* of invalidation; more, and records are judged anew so that they can go; 0: 262144 */
	int64_t retry_ms;       /* after a failed write; 0: 5000 */
	bool admit_second_hit;  /* write what is put a second time, or is there already */
	uint64_t clock_id;      /* of this run of the machine; 0: asked from the kernel */
	struct invalidation_table *invalidation;
	const struct disk_io *io; /* NULL: the real one */
};

#define DISK_ERROR_MAX 512

/* Locks, checks, restores the rules of invalidation into `invalidation`; then recovery goes on in the background. Blocks. Before
 * any fetch has noted its epoch. 0; or negative errno and one sentence in `error`. */
int disk_open(const struct disk_options *o, struct tier **out, char error[DISK_ERROR_MAX]) WARN_UNUSED;

/* ---- The operations of tier.h, of which only what is the disk's own is said here ---- */
void disk_close(struct tier **t); /* lookups under way are answered with a miss first */
void disk_hand_over(struct tier *t);
int disk_disown(struct tier *t) WARN_UNUSED;

int disk_put(struct tier *t, struct tier_source *s) WARN_UNUSED;
/* A small response is written again as a whole, which costs one read later and no more bytes than its meta's block; of a larger
 * one only the meta is, when the body there is proved the same. */
int disk_refresh(struct tier *t, struct tier_source *s) WARN_UNUSED;
#define DISK_REFRESH_WHOLE_MAX 65536
uint64_t disk_drop_put(
	struct tier *t, struct hash128 hash, struct slice vary_names, struct slice vary_values) WARN_UNUSED;
uint64_t disk_retire(struct tier *t, struct hash128 hash) WARN_UNUSED;
void disk_forget_before(struct tier *t, struct hash128 hash, uint64_t number);
/* Written by the writer to a segment of its own. Bounds: queue_bytes, which it shares with all that is queued, a quarter of them
 * for one; DISK_STREAMS_MAX at once. */
#define DISK_STREAMS_MAX 64
int disk_stream_begin(struct tier *t, struct tier_source *s, void (*on_room)(struct tier_source *s),
	struct tier_stream **out) WARN_UNUSED;
enum tier_flow disk_stream_write(struct tier_stream *st, const void *p, size_t n) WARN_UNUSED;
void disk_stream_end(struct tier_stream **st, enum tier_end how);
int disk_purge(
	struct tier *t, const struct purge *v, unsigned n, bool wait, uint64_t *seq) WARN_UNUSED; /* in the journal */
int disk_purge_note(
	struct tier *t, const struct purge *v, unsigned n, uint64_t *seq, struct tier_purging *p) WARN_UNUSED;
int disk_purge_wait(struct tier *t, struct tier_purging *p) WARN_UNUSED;
uint64_t disk_oldest_epoch(struct tier *t);

bool disk_may_have(struct tier *t, struct hash128 hash);
bool disk_holds(struct tier *t, struct hash128 hash, struct slice vary_names, struct slice vary_values);
bool disk_is_newest(struct tier *t, struct hash128 hash, uint64_t lsn);
/* Absent keys cost no I/O; what the page cache holds is read at once. */
enum tier_verdict disk_get(struct tier *t, struct tier_lookup *l) WARN_UNUSED;
void disk_object_free(struct tier *t, struct tier_object **o);
bool disk_body_is_there(struct tier *t, const struct tier_body *b);
void disk_body_lose(struct tier *t, struct tier_body *b);
int disk_body_ref(struct tier *t, struct tier_hold *h, const struct tier_body *b) WARN_UNUSED; /* keeps its file */
void disk_body_unref(struct tier *t, struct tier_hold *h);
int disk_body_read(struct tier *t, struct tier_read *r) WARN_UNUSED;
/* Reads heads, never bodies, on a reader's thread, in turns with what requests wait for; in the order of keys' hashes. */
int disk_browse(struct tier *t, struct tier_listing *l) WARN_UNUSED;

/* ---- For tests ---- */
void disk_flush(struct tier *t);      /* blocks until what was put before is written or dropped */
void disk_wait_ready(struct tier *t); /* blocks */

/* ---- Looking at it ---- */
struct disk_stats {
#define STAT(where, kind, name, help) uint64_t name;
#include "cache/disk/disk_stats.def"
	bool is_ready; /* recovery is done; before that all lookups miss */
};
void disk_stats(struct tier *t, struct disk_stats *out);

/* Verifies a directory that no process uses; writes what it finds to `out`, and what kept it from looking. 0 when all is well, -EBADMSG when something
 * would be left out, else what kept it from looking. */
int disk_check(const char *path, FILE *out) WARN_UNUSED;

#endif
