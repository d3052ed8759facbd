/* SPDX-License-Identifier: MIT */
/* Where every stored response lies: 32 bytes a slot, at least 72 % of the slots in use once a shard has grown.
 * Thread: any. Owns: its tables. Bounds: INDEX_VARIANTS responses a key; memory by the segments that hold the records.
 *
 * A slot knows 64 bits of the key's hash; another 8 choose the shard. What it points to is compared in full when it is
 * read, so two keys that share all of this only make each other miss. */
#ifndef CACHE_DISK_INDEX_H
#define CACHE_DISK_INDEX_H

#include <pthread.h>
#include <stdint.h>

#include "base/check.h"
#include "base/hash.h"

#define INDEX_SHARDS 256
#define INDEX_VARIANTS 8
#define INDEX_LONG UINT16_MAX /* len8 of a record too long for it: read the header first */

enum index_kind {
	INDEX_EMPTY,
	INDEX_WHOLE,
	INDEX_HEAD, /* a head-update record; its body is in a slot of INDEX_BODY */
	INDEX_BODY, /* a whole record of which only the body counts */
};

/* What becomes of a slot once all is loaded; what it took the place of is gone in any case. */
enum index_going {
	INDEX_STAYS,
	INDEX_GOES = 2,
	INDEX_GOES_ALONE, /* unless it is a BODY by then */
};

struct index_slot {
	uint64_t key; /* hash128.lo */
	uint64_t lsn;
	uint32_t variant;
	uint32_t seg;  /* slot of the segment table */
	uint32_t off8; /* offset of the record / 8 */
	uint16_t len8; /* length / 8, or INDEX_LONG */
	uint8_t kind;
	uint8_t hit; /* looked up since it was written or moved; while a start loads it, enum index_going */
};
_Static_assert(sizeof(struct index_slot) == 32, "an index slot is 32 bytes");

struct index_shard {
	pthread_mutex_t mu;
	struct index_slot *slots; /* linear probing from a home that is keyed by the process; a run has no gaps */
	uint32_t slots_n, used;
	uint32_t records;          /* WHOLE and HEAD */
	uint64_t dropped_variants; /* to keep a key to INDEX_VARIANTS */
};

struct index {
	struct index_shard *shards;
	/* A slot that is written (+1) or gone (-1), under the shard's lock: the caller counts what lives in a segment. */
	void (*on_count)(void *arg, uint32_t seg, int change);
	/* Asked under the shard's lock before a slot is added; NULL: never. Who says so first and drops the key then can be
	 * sure that nothing older is there afterwards, or comes. */
	bool (*is_outdated)(void *arg, struct hash128 hash, uint64_t lsn);
	void *arg;
	uint32_t plain; /* the variant of what has no Vary */
};

int index_init(
	struct index *ix, uint32_t plain, void (*on_count)(void *arg, uint32_t seg, int change), void *arg) WARN_UNUSED;
void index_fini(struct index *ix);

/* What is stored for the key, newest first, then bodies. `mark` notes the hit. Returns how many; never any I/O. */
#define INDEX_FOUND_MAX (2 * INDEX_VARIANTS)
unsigned index_find(struct index *ix, struct hash128 hash, bool mark, struct index_slot out[INDEX_FOUND_MAX]);
/* Is there anything for the key? */
bool index_has(struct index *ix, struct hash128 hash);
/* Does one from `lsn` on keep out a record of the variant that is older than that? */
bool index_keeps_out(struct index *ix, struct hash128 hash, uint32_t variant, uint64_t lsn);
/* Replaces older records of the key that it excludes: those of its variant, and, as a response without Vary serves every request
 * (RFC 9111 4.1), all where either is plain. -ESTALE when it is outdated, or a newer one excludes it; -ENOMEM. The same lsn moves.
 * For a HEAD, base_lsn must be there as a whole record or body, else -ENOENT. */
int index_add(struct index *ix, struct hash128 hash, const struct index_slot *slot, uint64_t base_lsn) WARN_UNUSED;
/* Only if `from` is still what the index says. */
bool index_move(struct index *ix, struct hash128 hash, const struct index_slot *from, uint32_t seg, uint32_t off8);
bool index_get_at(struct index *ix, struct hash128 hash, uint32_t seg, uint32_t off8, struct index_slot *out);
/* Removes what lies there; a HEAD goes with its body and a body with its head. */
bool index_drop_at(struct index *ix, struct hash128 hash, uint32_t seg, uint32_t off8);
/* Removes what is older than before_lsn: what a record of the variant excludes, or all. Returns how many slots went. */
unsigned index_drop_variant(struct index *ix, struct hash128 hash, uint32_t variant, uint64_t before_lsn);
unsigned index_drop_key(struct index *ix, struct hash128 hash, uint64_t before_lsn);
/* A walk over all: for a segment whose footer can't be read any more. */
void index_drop_segment(struct index *ix, uint32_t seg);

/* Ends loading: those go that are to, each with its head or body. */
void index_drop_going(struct index *ix);

/* Records of a shard with keys from `from` on, ascending; the caller frees *out. 0 or -ENOMEM. */
int index_list(struct index *ix, unsigned shard, uint64_t from, struct index_slot **out, unsigned *n) WARN_UNUSED;

struct index_stats {
	uint64_t records, bytes, dropped_variants;
};
void index_stats(struct index *ix, struct index_stats *out);

#endif
