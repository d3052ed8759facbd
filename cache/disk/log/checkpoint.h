/* SPDX-License-Identifier: MIT */
/* The state of invalidation at one moment: what the journals before it said is in here.
 * Thread: any; pure. Owns (struct checkpoint): its arrays.
 *
 * Files "ckpt.A" and "ckpt.B", written in turn, so that one is always whole:
 *     0    header (struct checkpoint_header, 128 bytes)
 *     128  rules of invalidation (32 bytes each), then forgotten keys (16 bytes each)
 *     end  XXH3-64 of all before it
 * Valid if and only if magic and sum are right, store is the FORMAT's, and the counts fit the file's length exactly. The
 * valid one with the greater number counts; the journals from first_journal on go on from it, without a gap. */
#ifndef CACHE_DISK_LOG_CHECKPOINT_H
#define CACHE_DISK_LOG_CHECKPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "base/check.h"
#include "cache/policy/invalidation.h"

#define CHECKPOINT_MAGIC 0x31504b4358504d4du /* "MMPXCKP1" */
#define CHECKPOINT_BYTES_MAX (256u << 20)

struct checkpoint_header {
	uint64_t magic, store, number;
	uint64_t runs; /* how often the store was opened: the upper bits of sequence numbers and lsns */
	uint64_t first_journal;
	uint64_t floor_seq, all_hard_seq, all_soft_seq;
	uint64_t floor_lsn; /* records below it are forgotten */
	uint64_t rules_n, forgets_n;
	uint64_t zero[5];
};
_Static_assert(sizeof(struct checkpoint_header) == 128, "the checkpoint header is 128 bytes");

struct forgotten {
	uint64_t key, before_lsn;
};

struct checkpoint {
	struct checkpoint_header h;
	struct invalidation_rule *rules;
	struct forgotten *forgets;
};
_Static_assert(sizeof(struct invalidation_rule) == 32, "a rule is 32 bytes");

/* 0, -EBADMSG or -ENOMEM. */
int checkpoint_read(const void *p, size_t n, uint64_t store, struct checkpoint *out) WARN_UNUSED;
/* The caller frees *p. */
int checkpoint_write(const struct checkpoint *c, void **p, size_t *n) WARN_UNUSED;
void checkpoint_fini(struct checkpoint *c);

#endif
