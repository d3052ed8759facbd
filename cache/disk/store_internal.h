/* SPDX-License-Identifier: MIT */
/* The disk tier's insides. Private to cache/disk/.
 * Lock order: journal, then the invalidation table or forgets; index shard, then forgets; the others are taken alone. No lock is held
 * over file I/O but the journal's, whose one write goes to the page cache. */
#ifndef CACHE_DISK_STORE_INTERNAL_H
#define CACHE_DISK_STORE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/disk/forgets.h"
#include "cache/disk/index.h"
#include "cache/disk/log/journal.h"
#include "cache/disk/log/record.h"
#include "cache/disk/secret.h"
#include "cache/disk/log/segment.h"
#include "cache/disk/store.h"

#define FORMAT_MAGIC 0x314d464458504d4du /* "MMPXDFM1" */
#define FORMAT_MAJOR 3
/* Sequence numbers and lsns of one run of the store: all later runs' are greater, whatever a crash took away. */
#define RUN_SHIFT 40
#define RUNS_MAX ((uint64_t)1 << 22)

/* The file FORMAT, 64 bytes: valid if and only if magic and sum are right. Another major: the store starts empty. All
 * other files carry `store`, which is new whenever the store starts empty, so that what was left of before is foreign. */
struct disk_format {
	uint64_t magic;
	uint32_t major, minor;
	uint64_t store, zero[4], sum;
};
_Static_assert(sizeof(struct disk_format) == 64, "FORMAT is 64 bytes");

/* A record that is written but not in the index yet. */
struct pending {
	struct hash128 hash;
	struct index_slot slot;
	uint64_t base_lsn;
	bool is_move;           /* by reclaim */
	bool replaces;          /* an older version may lie in the log */
	uint64_t replaced_age;  /* disk_age_of, when it was put */
	struct index_slot from; /* where it was */
};

#define APPEND_BUFFER (1u << 20)
#define PENDING_MAX 4096

/* Writes records one behind the other into a segment of its own. One thread's. */
struct appender {
	struct disk *d;
	struct segment *seg; /* with a reference */
	uint64_t tail;       /* where the buffer's bytes go */
	uint64_t committed;  /* end of the last record that is in the index */
	uint64_t begun;      /* of the record under way */
	char *buf;
	size_t used;
	struct footer_entry *entries;
	uint32_t entries_n, entries_cap, entries_committed;
	struct pending *pending;
	uint32_t pending_n;
	bool is_reclaim;
};

struct counters_disk {
#define IN_COUNTED(name) _Atomic uint64_t name;
#define IN_ASKED(name)
#define STAT(where, kind, name, help) IN_##where(name)
#include "cache/disk/disk_stats.def"
#undef IN_COUNTED
#undef IN_ASKED
};

#define PUT_SLOTS 65536 /* of dropped, queued and ending: by the key's hash, so that keys may share one */
#define GHOST_SLOTS 262144

struct disk {
	struct tier tier; /* what the cache knows of it */
	/* set once */
	struct disk_options o;
	const struct disk_io *io;
	int dir;
	uint64_t store, runs;
	unsigned char secret[SECRET_BYTES];
	uint64_t own_segment_from; /* records of this length get a segment of their own */
	pthread_t writer, reclaimer, journal_syncer, *readers;
	unsigned readers_n, started; /* started: a bit for each of the first three */
	struct index index;
	struct segments segments;
	struct journal journal;
	struct forgets forgets;
	/* atomic */
	struct counters_disk n;
	_Atomic bool is_ready, stopping, no_nowait;
	_Atomic bool is_given;    /* to another process: nothing new is taken; set under queue_mu */
	_Atomic bool is_disowned; /* FORMAT is removed: no start reads what is in the directory */
	_Atomic bool
		leaving; /* it has all been written: reclaimer and journal syncer end, the writer only clears away */
	_Atomic int64_t retry_at_ms; /* writes are dropped until then */
	_Atomic uint64_t
		*dropped;         /* by key: the lsn of the last put that was dropped, which no older put may outlive */
	_Atomic uint64_t *queued; /* by key: the lsn of the last put that was taken */
	_Atomic uint16_t *ending; /* by key: streams that have ended and are not in the index yet */
	_Atomic uint64_t written_lsn; /* all puts up to this lsn are written, or given up */
	_Atomic uint32_t *ghosts;     /* of second_hit: keys seen once */
	_Atomic uint64_t checkpoint_number;
	_Atomic uint64_t settle_up_to; /* segments with lower epochs are judged anew */

	pthread_mutex_t queue_mu;
	pthread_cond_t queue_changed;
	/* guarded by queue_mu */
	struct link queue; /* of sources */
	bool is_sealed;    /* after is_given: the writer has written all */
	unsigned queue_n;  /* those under way included */
	uint64_t queue_bytes, next_lsn;
	struct link streams; /* with something to be written */
	unsigned streams_n;  /* all */

	pthread_mutex_t jobs_mu;
	pthread_cond_t jobs_changed;
	/* guarded by jobs_mu */
	struct link jobs;
	unsigned jobs_n;
	bool jobs_stopping;

	uint64_t streams_bytes; /* the writer's: what files hold of responses that are still arriving */
	/* the writer's, and the reclaimer's */
	struct appender log, own, kept;
	uint64_t spared_bytes; /* the reclaimer's: of large records kept since a segment went */
};

static inline struct disk *disk_of(struct tier *t)
{
	return CONTAINER_OF(t, struct disk, tier);
}

/* Recovery is done. */
static inline bool disk_is_ready(const struct disk *d)
{
	return atomic_load_explicit(&d->is_ready, memory_order_acquire);
}

static inline void disk_add(_Atomic uint64_t *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* The number of a put of that key, or of one that shares its slot, that was dropped after lsn; 0: none. */
static inline uint64_t disk_dropped_after(struct disk *d, struct hash128 hash, uint64_t lsn)
{
	uint64_t newest = atomic_load(&d->dropped[hash.lo & (PUT_SLOTS - 1)]);

	return lsn < newest ? newest : 0;
}

/* ---- append.c ---- */
int appender_init(struct appender *a, struct disk *d, bool is_reclaim) WARN_UNUSED;
void appender_fini(struct appender *a);
/* Room for a record of `total` bytes; the generation it must carry is a->seg's. */
int appender_begin(struct appender *a, uint64_t total, bool own_segment) WARN_UNUSED;
int appender_bytes(struct appender *a, const void *p, size_t n) WARN_UNUSED;
int appender_zeros(struct appender *a, size_t n) WARN_UNUSED;
/* The record is whole; it comes into the index when it is flushed. p->slot's place is filled in. */
int appender_end(struct appender *a, const struct record_header *h, struct pending *p) WARN_UNUSED;
int appender_flush(struct appender *a) WARN_UNUSED;
void appender_seal(struct appender *a); /* flushes and lets go of the segment */
/* After any of these failed: records that are not committed are given up, and writing rests for a while. */
void appender_fail(struct appender *a, int err);

/* Writing rests for a while. */
void disk_rest(struct disk *d, int err);

/* index_add of what has been written. What it replaces is forgotten for good where it lies in a segment that goes after its own, as nothing
 * would keep it out then. `was` is disk_age_of when it was put, which may have taken it out of the index. */
int disk_index_add(struct disk *d, struct hash128 hash, const struct index_slot *slot, uint64_t base_lsn,
	uint64_t was) WARN_UNUSED;

/* ---- queue.c ---- */
/* Why a response is not written; 0: it may be. */
int disk_refuse(struct disk *d, const struct tier_source *s) WARN_UNUSED;
/* All but the sum of the sums. */
struct record_header disk_header_of(const struct disk *d, const struct tier_source *s);
/* Records of the variant that are there or queued are older than lsn and must not stand in for it. True: something was there. */
bool disk_outdate(struct disk *d, struct hash128 hash, uint32_t variant, uint64_t lsn);
/* May an older version lie in the log, where the next start would find it, or be on its way there? */
bool disk_may_come(struct disk *d, struct hash128 hash);
/* Of the segments in which the key has records, the age of the one that goes last; 0: there is none. */
uint64_t disk_age_of(struct disk *d, struct hash128 hash);
/* Raises *v to at least `to`. */
void disk_raise(_Atomic uint64_t *v, uint64_t to);
/* The bytes that s counts for in the queue. */
uint64_t disk_source_bytes(const struct tier_source *s);

/* ---- write.c, read.c, readers.c, reclaim.c, recover.c, purge.c ---- */
void *disk_writer(void *arg);
void *disk_reader(void *arg);
void *disk_reclaimer(void *arg);
void *disk_journal_syncer(void *arg);
void disk_recover(struct disk *d);
/* Reads bytes of a segment. -EAGAIN, unless may_wait: they are not in the page cache. */
int disk_read_at(struct disk *d, struct segment *s, void *p, size_t n, uint64_t at, bool may_wait) WARN_UNUSED;
int disk_checkpoint(struct disk *d) WARN_UNUSED;
void disk_jobs_stop(struct disk *d);
/* False: too many wait, or the readers are going. */
bool disk_post_job(struct disk *d, struct tier_job *job) WARN_UNUSED;

/* ---- settle.c; the reclaimer ---- */
struct record_head {
	struct record_header h;
	struct record_meta m; /* points into bytes */
	char *bytes;          /* the caller frees them where it was read */
};
/* Verified, without the body, which is when it is read. */
int disk_read_head(
	struct disk *d, struct segment *s, const struct index_slot *slot, struct record_head *out) WARN_UNUSED;
enum purge_state disk_purge_state(
	const struct disk *d, const struct segment *s, const struct record_header *h, const struct record_meta *m);
void disk_settle(struct disk *d);

/* ---- store.c ---- */
/* disk_open, but for what makes it a tier. */
int disk_start(const struct disk_options *o, struct disk **out, char error[DISK_ERROR_MAX]) WARN_UNUSED;

/* ---- open.c ---- */
int disk_format_read(const void *p, size_t n, struct disk_format *out) WARN_UNUSED;
/* The valid checkpoint with the greatest number; -ENOENT when there is none. */
int disk_best_checkpoint(const struct disk_io *io, int dir, uint64_t store, struct checkpoint *out) WARN_UNUSED;
/* Reads the journals from h->first_journal on; *last is the greatest number that exists. -EBADMSG: damaged. */
int disk_replay(const struct disk_io *io, int dir, uint64_t store, uint64_t first,
	void (*each)(const struct journal_entry *e, void *arg), void *arg, uint64_t *last) WARN_UNUSED;
struct id_list {
	uint64_t *v;
	size_t n, cap;
	int err;
};
/* Numbers in the names of segments (or journals), ascending; the caller frees v. */
int disk_list(const struct disk_io *io, int dir, bool (*read_name)(const char *name, uint64_t *id),
	struct id_list *out) WARN_UNUSED;
/* Walks the records of a segment without a footer. *entries is the caller's. */
int disk_scan_segment(const struct disk_io *io, int fd, uint64_t generation, uint64_t size,
	struct footer_entry **entries, struct segment_trailer *t) WARN_UNUSED;

#endif
