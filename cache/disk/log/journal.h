/* SPDX-License-Identifier: MIT */
/* What was purged and forgotten since the last checkpoint.
 * Thread: any appends; one thread syncs. Owns: the current file's descriptor. Bounds: a file is journal_bytes long, and
 * what a purge names at most JOURNAL_WHAT_MAX.
 *
 * A file "journal.<number, 16 hex digits>" has a fixed, zero-filled size:
 *     0     header (struct journal_header, 64 bytes), valid if and only if magic and sum are right, store is the
 *           FORMAT's, number is the name's, size is the file's
 *     64    entries, one behind the other: struct journal_head (32 bytes), seq or key (8), user or bound (8), what, zeros
 *           up to a multiple of 8, sum (8)
 * An entry is valid if and only if its head's magic, generation, ordinal and sum are right, and the sum at its end is the
 * XXH3-64 of all before it. Both sums have their top bit set, so that the last byte of neither is zero: what was cut
 * short by a crash ends in zeros, and was never acknowledged; anything else that is not valid is damage, and then nobody
 * knows what was purged, and the store starts empty. */
#ifndef CACHE_DISK_LOG_JOURNAL_H
#define CACHE_DISK_LOG_JOURNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"
#include "cache/disk/log/io.h"
#include "cache/policy/purge.h"
#include "cache/tier/tier.h"

#define JOURNAL_MAGIC 0x314c4e4a58504d4du /* "MMPXJNL1" */
#define ENTRY_MAGIC 0x314a504du           /* "MPJ1" */
#define JOURNAL_WHAT_MAX 16384
#define JOURNAL_BYTES_MIN 4096
#define JOURNAL_BYTES_MAX (64u << 20)
#define JOURNAL_NAME_MAX 32
#define JOURNAL_HELD_MAX (512u << 10)

struct journal_header {
	uint64_t magic, store, number, generation, size, zero[2], sum;
};
_Static_assert(sizeof(struct journal_header) == 64, "the journal header is 64 bytes");

struct journal_head {
	uint32_t magic, bytes; /* of the whole entry */
	uint64_t generation;
	uint32_t ordinal; /* 0, 1, 2 .. in the file */
	uint16_t kind;    /* enum journal_kind */
	struct purge_code purge;
	uint32_t what_n, sum;
};
_Static_assert(sizeof(struct journal_head) == 32, "an entry's head is 32 bytes");

enum journal_kind {
	JOURNAL_PURGE = 1,  /* a: sequence number, b and what: as purge_encode has them */
	JOURNAL_FORGET = 2, /* a: low half of the key's hash, b: lsn below which it is forgotten */
	JOURNAL_NEXT = 3,   /* the file with the next number goes on */
};

struct journal_entry {
	enum journal_kind kind;
	struct purge_code purge; /* of PURGE */
	uint64_t a, b;
	struct slice what;
};

/* ---- Decoding; pure ---- */
enum journal_end {
	JOURNAL_CLEAN,     /* zeros from there on */
	JOURNAL_TORN,      /* the last entry was cut short */
	JOURNAL_CONTINUES, /* the next file goes on */
	JOURNAL_DAMAGED,
};
int journal_read_header(
	const void *p, size_t n, uint64_t store, uint64_t number, struct journal_header *out) WARN_UNUSED;
void journal_write_header(struct journal_header *h); /* sets magic and sum */
enum journal_end journal_scan(const void *p, size_t n, const struct journal_header *h,
	void (*each)(const struct journal_entry *e, void *arg), void *arg);
/* Bytes that an entry takes. */
size_t journal_entry_bytes(const struct journal_entry *e);
/* p has room for them. */
void journal_write_entry(void *p, const struct journal_entry *e, uint64_t generation, uint32_t ordinal);
void journal_name(uint64_t number, char out[JOURNAL_NAME_MAX]);
bool journal_name_read(const char *name, uint64_t *number);

/* ---- The live journal ---- */
struct journal {
	/* set once */
	const struct disk_io *io;
	int dir;
	uint64_t store, size;
	pthread_mutex_t mu;
	pthread_cond_t changed;
	/* guarded by mu */
	int fd, old_fd; /* old: of the file before, still to be synced; or -1 */
	uint64_t number, generation, at;
	uint32_t ordinal;
	uint64_t appended, synced;          /* entries, counted since start */
	uint64_t failed;                    /* entries up to here may be lost, although later ones are synced */
	uint64_t covered;                   /* entries up to here are in a checkpoint */
	struct tier_purging *waiting;       /* whom a message is to tell */
	uint64_t rotated, checkpoint_bytes; /* files filled since the last checkpoint, and how long that is */
	bool is_syncing, wants_checkpoint, stopping;
	bool is_given; /* to another process: nothing is written any more */
	uint64_t errors, syncs;
	char *scratch; /* of one entry */
	/* The last entries that count as appended, but are not written yet; and room for them. */
	char *held;
	size_t held_n;
	uint32_t held_entries;
};

/* Begins a file with this number. */
int journal_init(struct journal *j, const struct disk_io *io, int dir, uint64_t store, uint64_t size,
	uint64_t number) WARN_UNUSED;
void journal_fini(struct journal *j);
/* The caller holds mu, under which it also made the change that the entry is about. *ticket is for journal_wait. */
int journal_append_locked(struct journal *j, const struct journal_entry *e, uint64_t *ticket) WARN_UNUSED;
/* For whoever waits for it: it is only noted, and written before the next sync with all that came meanwhile, for a write to a file that
 * is being synced may take as long as that. The wait asks for the sync, so that those who append many share one. */
int journal_append_held_locked(struct journal *j, const struct journal_entry *e, uint64_t *ticket) WARN_UNUSED;
/* Goes on in a new file, whose number is returned in *number: what was appended before lies in those below it. */
int journal_rotate_locked(struct journal *j, uint64_t *number) WARN_UNUSED;
/* Syncs the current file, whatever is in it: before a checkpoint says that it exists. */
int journal_sync_file(struct journal *j) WARN_UNUSED;
/* Waits until the entries from one ticket to another are on the device. Not on an event loop. 0, or -EIO when one of them may not be. */
int journal_wait(struct journal *j, uint64_t first, uint64_t last) WARN_UNUSED;
/* The same, of p->first to p->last, without blocking: -EINPROGRESS, and then its message comes, with p->err. */
int journal_wait_for(struct journal *j, struct tier_purging *p) WARN_UNUSED;
/* How long the newest checkpoint is: the next one is due when at least as much has been journalled. */
void journal_set_checkpoint(struct journal *j, uint64_t bytes);
/* The syncing thread: waits at most `ms` for something to sync and syncs it. True when a checkpoint is due. */
bool journal_work(struct journal *j, int ms);
/* A checkpoint has everything up to this ticket (`appended` when it was begun). */
void journal_cover(struct journal *j, uint64_t ticket);
void journal_stop(struct journal *j); /* wakes journal_work and whoever waits */

#endif
