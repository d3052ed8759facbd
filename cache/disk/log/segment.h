/* SPDX-License-Identifier: MIT */
/* The log's files: how one is laid out, who holds it, and how many bytes all of them take.
 * Thread: any, except where a function says. Owns: file descriptors and the bytes of the files until the last reference
 * is gone, unlinked or not. Bounds: `capacity`, exact.
 *
 * A segment is a file "seg-<id, 16 hex digits>" of a fixed, reserved size:
 *     0            header (struct segment_header, 64 bytes)
 *     64           records, one behind the other, each a multiple of 8
 *     size-64-48n  footer: one struct footer_entry (48 bytes) for each record, once it is sealed
 *     size-64      trailer (struct segment_trailer, 64 bytes), once it is sealed
 * A header is valid if and only if magic and sum are right, store is the FORMAT's, size is the file's. A footer is valid
 * if and only if the trailer's magic, generation and sum are right, and footer_sum is the XXH3-64 of the entries. A
 * segment without a valid footer is read record by record up to the first that is not valid. */
#ifndef CACHE_DISK_LOG_SEGMENT_H
#define CACHE_DISK_LOG_SEGMENT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

#include "base/check.h"
#include "cache/disk/log/io.h"

#define SEGMENT_MAGIC 0x3147455358504d4du /* "MMPXSEG1" */
#define TRAILER_MAGIC 0x31444e4558504d4du /* "MMPXEND1" */
#define SETTLED_MAGIC 0x32444e4558504d4du /* "MMPXEND2": kinds have flags, epochs count as min_epoch at least */
#define SEGMENT_NAME_MAX 32

struct segment_header {
	uint64_t magic, store, id, generation, size, zero[2], sum;
};
_Static_assert(sizeof(struct segment_header) == 64, "the segment header is 64 bytes");

struct footer_entry {
	uint64_t key_lo, key_hi, lsn, base_lsn;
	uint32_t variant, off8, n8; /* offset and length / 8 */
	uint32_t kind;              /* enum record_kind, and flags of those below */
};
_Static_assert(sizeof(struct footer_entry) == 48, "a footer entry is 48 bytes");

#define FOOTER_KIND 0xffu
/* Of a settled segment: what a start loads, so that it takes the place of what is older, and what then does not stay. */
#define FOOTER_GONE 0x100u /* in no case */
#define FOOTER_BODY 0x200u /* unless a head has come for it */

struct segment_trailer {
	uint64_t magic, generation, entries, end; /* end: of the records */
	uint64_t min_epoch, min_lsn, footer_sum, sum;
};
_Static_assert(sizeof(struct segment_trailer) == 64, "the trailer is 64 bytes");

/* ---- Decoding; pure ---- */
int segment_read_header(const void *p, uint64_t store, uint64_t file_size, struct segment_header *out) WARN_UNUSED;
void segment_write_header(struct segment_header *h);
/* `p` holds 64 bytes. The entries fit between `end` and the trailer. 0 or -EBADMSG. */
int segment_read_trailer(const void *p, uint64_t generation, uint64_t size, struct segment_trailer *out) WARN_UNUSED;
/* The sums, and the usual magic unless it is SETTLED_MAGIC. */
void segment_write_trailer(struct segment_trailer *t, const struct footer_entry *entries);
bool footer_is_right(const struct segment_trailer *t, const struct footer_entry *entries);
/* Does an entry lie among the records? */
struct record_header;
/* Of a record at `at`, of n bytes. */
struct footer_entry footer_entry_of(const struct record_header *h, uint64_t at, uint64_t n);
bool footer_entry_fits(const struct footer_entry *e, uint64_t end);
void segment_name(uint64_t id, char out[SEGMENT_NAME_MAX]);
bool segment_name_read(const char *name, uint64_t *id);

/* ---- Files ---- */
enum segment_state { SEGMENT_FREE, SEGMENT_ACTIVE, SEGMENT_LOADING, SEGMENT_SEALED, SEGMENT_GOING };

struct segment {
	_Atomic uint32_t
		refs; /* 0: nobody may look at it. One for being in the log, one for each who reads or writes */
	/* set once while refs > 0 */
	uint32_t slot;
	int fd;
	uint64_t id, generation, size;
	bool is_linked; /* its file has a name; only who ends it looks */
	/* atomic */
	_Atomic int64_t live;       /* slots of the index that point here */
	_Atomic uint64_t min_epoch; /* no record's counts as less (segment_epoch); 0 while that is not known */
	_Atomic uint64_t min_lsn;   /* of its records; 0 as well */
	_Atomic uint64_t age;       /* the lowest goes first: its id, or that of the youngest when it was renewed */
	/* guarded by mu */
	enum segment_state state;
	bool waits; /* SEGMENT_WAITS */
	struct segment *next_closing;
};

#define SEGMENT_CHUNK 1024
#define SEGMENT_CHUNKS 4096

struct segments {
	/* set once */
	const struct disk_io *io;
	int dir;
	uint64_t store, capacity;
	/* chunks are made under mu, never moved or freed before the end */
	struct segment *_Atomic chunks[SEGMENT_CHUNKS];
	pthread_mutex_t mu;
	pthread_cond_t changed; /* room came, or something is to be closed, or stopping */
	/* guarded by mu */
	uint32_t slots_n;
	uint64_t allocated, next_id;
	uint64_t going; /* of allocated: unlinked, but still read from */
	uint64_t count;
	uint64_t wanted;       /* what a writer waits for */
	struct segment *stuck; /* files that can be neither removed nor emptied: to be tried again */
	unsigned stuck_n;
	int64_t stuck_again_s;
	struct segment *closing; /* unlinked, last reference gone: to be closed by a thread that may block */
	bool stopping;
	_Atomic uint64_t reclaimed, unlink_errors;
};

int segments_init(struct segments *t, const struct disk_io *io, int dir, uint64_t capacity) WARN_UNUSED;
void segments_fini(struct segments *t); /* closes all; nobody else may be in */

/* A new active segment with two references: the log's and the caller's. -ENOSPC when, with `spare` bytes kept free, there
 * is no room within the capacity; -EDQUOT when the device has none; else the file system's. Disk threads only. */
int segment_create(struct segments *t, uint64_t size, uint64_t spare, struct segment **out) WARN_UNUSED;
int segment_create_as(
	struct segments *t, uint64_t size, uint64_t spare, bool has_header, struct segment **out) WARN_UNUSED;
/* Waits up to a second for somebody to make room of `wanted` with `spare` kept free. */
void segments_wait_room(struct segments *t, uint64_t wanted, uint64_t spare);
/* Takes over a file found at start, its bytes counted; state LOADING. */
int segment_adopt(struct segments *t, const char *name, uint64_t id, struct segment **out) WARN_UNUSED;
/* Writes the footer. On failure the segment is as good as sealed, but for a slower start. */
int segment_seal(struct segments *t, struct segment *s, const struct footer_entry *entries, uint32_t n, uint64_t end);
int segment_write_footer(struct segments *t, struct segment *s, const struct footer_entry *entries, uint32_t n,
	uint64_t end) WARN_UNUSED;
/* To be told before a record with these is written. Whoever writes to the segment only. */
void segment_note(struct segment *s, uint64_t epoch, uint64_t lsn);
/* The epoch that a record of it counts with. Whoever uses the record looks afterwards whether it is still in the index: what was
 * purged was taken out before the number was raised. */
static inline uint64_t segment_epoch(const struct segment *s, uint64_t epoch)
{
	uint64_t min = atomic_load_explicit(&s->min_epoch, memory_order_acquire);

	return epoch > min ? epoch : min;
}
/* All that the footer does not say is gone was found valid at `epoch`: once that is on the device, it is so in memory. 0, or of
 * writing: then nothing has changed, but for a slower start. */
int segment_settle(struct segments *t, struct segment *s, const struct segment_trailer *of,
	const struct footer_entry *entries, uint64_t epoch) WARN_UNUSED;
/* The sealed segment with the lowest epoch, if that is below `epoch`, with a reference; or NULL. */
struct segment *segments_unsettled(struct segments *t, uint64_t epoch) WARN_UNUSED;
void segment_set_sealed(struct segments *t, struct segment *s);
/* What is in the slot now, with a reference; or NULL. Another segment may have moved in: the generation tells. */
struct segment *segment_get(struct segments *t, uint32_t slot) WARN_UNUSED;
void segment_unref(struct segments *t, struct segment **s);
/* Takes it out of the log: unlinks it and drops the log's reference. Disk threads only. */
void segment_retire(struct segments *t, struct segment *s);
/* Closes what the last reader left, and tries again what could not be removed. Disk threads only. */
void segments_close_left(struct segments *t);
/* A file found at start that is none of ours: removed, or counted as long as it can't be. */
void segment_discard(struct segments *t, const char *name, uint64_t id);
/* More files than this that can't be removed, and no more are reclaimed: it would gain no room. */
#define SEGMENTS_STUCK_MAX 4
/* Counts for the index. */
void segment_count(struct segments *t, uint32_t slot, int change);
/* The next sealed segment to go, referenced: one without live records, else the oldest; NULL when there is none. */
struct segment *segments_victim(struct segments *t, bool *is_dead);
enum segment_stay {
	SEGMENT_STAYS,
	SEGMENT_WAITS,    /* until it is the oldest, though it has no live record */
	SEGMENT_IS_YOUNG, /* as if it were the youngest; until a restart */
};
/* A victim that shall not go. */
void segment_stay(struct segments *t, struct segment *s, enum segment_stay how);
/* Of what is in the slot, or was. */
uint64_t segment_age(struct segments *t, uint32_t slot);
/* Footer entries of a sealed segment; the caller frees *entries. 0, -EBADMSG, -ENOMEM or of reading. */
int segment_load_footer(struct segments *t, struct segment *s, struct segment_trailer *trailer,
	struct footer_entry **entries) WARN_UNUSED;
/* Lowest epoch and lsn of what is left; UINT64_MAX when there is nothing, 0 while one is being loaded. */
void segments_oldest(struct segments *t, uint64_t *epoch, uint64_t *lsn);

/* ---- A segment of one record that grows while it is written (segment_grow.c); disk threads only ---- */
/* As segment_create, without a header. */
int segment_begin(struct segments *t, uint64_t size, uint64_t spare, struct segment **out) WARN_UNUSED;
/* Errors as segment_create's. On any but -ENOSPC the segment is of no use any more. */
int segment_grow(struct segments *t, struct segment *s, uint64_t size, uint64_t spare) WARN_UNUSED;
/* To its final size; what is over comes back at once. */
int segment_trim(struct segments *t, struct segment *s, uint64_t size) WARN_UNUSED;
/* Footer, then header: after it the file is a segment. Its state stays ACTIVE. */
int segment_finish(struct segments *t, struct segment *s, const struct footer_entry *entry, uint64_t end) WARN_UNUSED;

#endif
