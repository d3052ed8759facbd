/* SPDX-License-Identifier: MIT */
/* Invalidation: one sequence and a table of scopes, never a walk over objects.
 * Thread: any. Bounds: `max_rules`; past it floor_seq rises (over-invalidates, never resurrects) and a counter says so.
 *
 * A purge takes the next number of inval_seq and notes it under its scope. An answer carries as its epoch the number
 * read before its fetch began. It is usable if and only if no scope that it belongs to has a number above its epoch.
 * URLs that differ in the case of their percent-encodings only are one scope. */
#ifndef CACHE_POLICY_SCOPE_H
#define CACHE_POLICY_SCOPE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

struct scope_table;

enum scope_kind { SCOPE_URL, SCOPE_PREFIX, SCOPE_TAG, SCOPE_USER, SCOPE_ALL };
enum scope_state { SCOPE_VALID, SCOPE_SOFT, SCOPE_HARD };

/* The scopes that one answer belongs to. */
struct scope_set {
	struct slice url;     /* for URL and PREFIX */
	const uint64_t *tags; /* scope_tag_hash of each */
	unsigned tags_n;
	uint64_t user; /* 0: shared */
};

int scope_table_new(unsigned max_rules, struct scope_table **out) WARN_UNUSED;
void scope_table_free(struct scope_table **t);

/* The number to note before a fetch begins. */
uint64_t scope_now(const struct scope_table *t);
uint64_t scope_tag_hash(struct slice tag);
/* Invalidates; *seq is the number taken. O(1). 0 or -ENOMEM (then floor_seq was raised instead: still invalid). */
int scope_purge(
	struct scope_table *t, enum scope_kind kind, struct slice what, uint64_t user, bool soft, uint64_t *seq);
/* *checked is the inval_seq this answer was last found valid against: one comparison when nothing was purged since.
 * It is updated only on SCOPE_VALID. */
enum scope_state scope_check(
	struct scope_table *t, const struct scope_set *s, uint64_t epoch, _Atomic uint64_t *checked);
/* Nothing older than this epoch is left anywhere: rules at or below it may go. */
void scope_retire(struct scope_table *t, uint64_t oldest_epoch);

/* ---- Beyond the life of a process: what the disk tier keeps ---- */
struct scope_rule {
	uint64_t id; /* the kind's and the scope's hash: to change how it is made is to change the disk tier's format */
	uint64_t hard_seq, soft_seq;
	uint32_t prefix_n, zero;
};
struct scope_image {
	uint64_t floor_seq, all_hard_seq, all_soft_seq;
	struct scope_rule *rules;
	unsigned rules_n;
};
/* All that still counts, as of one moment; the caller frees out->rules with mem_free. 0 or -ENOMEM. */
int scope_export(struct scope_table *t, struct scope_image *out) WARN_UNUSED;
/* Adds what an export or an earlier purge said; may be repeated. What does not fit raises floor_seq. */
void scope_import(struct scope_table *t, const struct scope_image *in);
void scope_replay(
	struct scope_table *t, enum scope_kind kind, struct slice what, uint64_t user, bool soft, uint64_t seq);
/* Numbers go on from here at least: above all that an answer from an earlier process can have as its epoch. */
void scope_start_at(struct scope_table *t, uint64_t seq);

struct scope_stats {
	uint64_t seq, floor_seq, rules, floor_raised;
};
void scope_stats(const struct scope_table *t, struct scope_stats *out);

#endif
