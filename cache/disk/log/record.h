/* SPDX-License-Identifier: MIT */
/* One stored response as it lies in a segment, and what makes it valid.
 * Thread: any; pure. Borrows: the bytes given.
 *
 * All numbers are little-endian. A record begins at a multiple of 8 and is this:
 *     0    header (struct record_header, 208 bytes)
 *     208  key, Vary names, Vary values, zeros up to a multiple of 8, tag hashes (8 bytes each), response head,
 *          zeros up to a multiple of 8: together the meta
 *     ..   body, zeros up to a multiple of 8
 *     ..   XXH3-64 of each 64 KiB of the body
 * A RECORD_HEAD has neither body nor sums: it renews the meta of the RECORD_WHOLE whose lsn is base_lsn.
 *
 * A header is valid if and only if magic, kind and header_sum (XXH3-64 of the 200 bytes before it) are right, generation
 * is its segment's, the lengths fit each other and the room there is, and a part lies within its whole. The meta is valid if and only if meta_sum is its
 * XXH3-64; the sums, if and only if sums_sum is theirs; a block of body, if and only if its sum is right. */
#ifndef CACHE_DISK_LOG_RECORD_H
#define CACHE_DISK_LOG_RECORD_H

#include <stdint.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/slice.h"
#include "cache/policy/policy.h"

#define RECORD_MAGIC 0x3252504du /* "MPR2" */
#define RECORD_BLOCK 65536u
#define RECORD_META_MAX (1u << 20)

enum record_kind { RECORD_NONE, RECORD_WHOLE, RECORD_HEAD };

struct record_header {
	uint32_t magic;
	uint16_t kind, status;
	uint64_t generation;
	uint64_t lsn; /* greater is newer; a copy made by reclaim keeps it */
	uint64_t base_lsn;
	uint64_t key_lo, key_hi; /* XXH3-128 of the key */
	uint64_t epoch, user;
	uint64_t body_n;
	uint64_t part_first, part_total; /* the body is a part from there on of so many bytes; 0, 0: it is the whole */
	uint32_t key_n, url_off, url_n, names_n, values_n, tags_n, head_n;
	uint32_t variant; /* hash of names and values */
	int64_t lifetime_ms, initial_age_ms, received_wall_ms, received_mono_ms;
	int64_t stale_while_revalidate_ms, stale_if_error_ms;
	uint64_t clock_id; /* of the machine's run that received_mono_ms counts from */
	uint16_t fresh_flags;
	uint8_t fresh_source, fetch_time; /* the latter 0: not known, as in files from before it was noted */
	uint32_t stale_if_unreachable_s;
	uint64_t meta_sum, sums_sum, header_sum;
};
_Static_assert(sizeof(struct record_header) == 208, "the record header is 208 bytes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian and so must be the machine");

struct record_meta {
	struct slice key, url, names, values, head;
	const uint64_t *tags;
};

/* ---- Lengths, of a header that is valid or was made here ---- */
size_t record_meta_n(const struct record_header *h);
uint64_t record_blocks(uint64_t body_n);
static inline uint64_t record_pad(uint64_t n)
{
	return (n + 7) & ~(uint64_t)7;
}
uint64_t record_total(const struct record_header *h);

/* ---- Reading ---- */
/* `p` holds a header's bytes, `room` what there is from its first byte to the end of its segment. 0 or -EBADMSG. */
int record_read_header(const void *p, uint64_t generation, uint64_t room, struct record_header *out) WARN_UNUSED;
/* `meta` holds record_meta_n bytes, aligned to 8. 0 or -EBADMSG. */
int record_read_meta(const struct record_header *h, const void *meta, struct record_meta *out) WARN_UNUSED;
bool record_sums_are_right(const struct record_header *h, const uint64_t *sums);
bool record_block_is_right(uint64_t sum, const void *p, size_t n);
/* All of the body; `body` and what follows it are record_pad(body_n) bytes and the sums. True for a RECORD_HEAD. */
bool record_body_is_right(const struct record_header *h, const char *body);
void record_freshness(const struct record_header *h, uint64_t clock_id, struct now now, struct freshness *out);

/* ---- Writing ---- */
void record_set_freshness(struct record_header *h, const struct freshness *f, uint64_t clock_id);
uint32_t record_variant(struct slice names, struct slice values);
struct record_parts {
	struct slice key, names, values, head;
	const uint64_t *tags;
};
/* Writes the header at p, with its sums, and the meta behind it. */
void record_write_meta(void *p, struct record_header *h, const struct record_parts *parts);
void record_sign(struct record_header *h); /* after any change to a header */

#endif
