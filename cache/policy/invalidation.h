/* SPDX-License-Identifier: MIT */
/* Invalidation: one sequence and a table of rules, never a walk over objects.
 * Thread: any. Bounds: `max_rules`; past it, and without memory, the oldest rules are folded into cells, a few at a time
 * (over-invalidates, never resurrects), and a counter says so. docs/purges.md
 *
 * A purge takes the next number of the sequence (`seq`) and notes it in the rule for what it names. A response carries as its epoch the number
 * read before its fetch began. It is usable if and only if no rule that it falls under has a number above its epoch.
 * A purge that is spread meets each response at a time of its own in its span; until then the response is
 * usable, and is not found valid at any number from the purge's on.
 * URLs are one to it whose normal form is one (uri_normalize), whatever the case of their escapes: only too much can be purged by that,
 * while a key that two of them shared would give the one for the other. */
#ifndef CACHE_POLICY_INVALIDATION_H
#define CACHE_POLICY_INVALIDATION_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/slice.h"
#include "cache/policy/purge.h"

struct invalidation_table;

enum purge_state { NOT_PURGED, PURGED_SOFT, PURGED_HARD };

/* What the purges of one response may name it by. */
struct purgeable {
	struct slice url;     /* for URL and PREFIX */
	const uint64_t *tags; /* purge_tag_hash of each */
	unsigned tags_n;
	uint64_t user; /* 0: shared */
};

int invalidation_table_new(unsigned max_rules, struct invalidation_table **out) WARN_UNUSED;
void invalidation_table_free(struct invalidation_table **t);

/* The number to note before a fetch begins. */
uint64_t invalidation_now(const struct invalidation_table *t);
uint64_t purge_tag_hash(struct slice tag);
/* Invalidates; *seq is the number taken. O(1), and always succeeds. */
void invalidation_purge(struct invalidation_table *t, const struct purge *p, uint64_t *seq);
/* *checked is the number this response was last found valid against: one comparison when nothing was purged since.
 * It is updated only on NOT_PURGED. */
enum purge_state invalidation_check(
	struct invalidation_table *t, const struct purgeable *s, uint64_t epoch, _Atomic uint64_t *checked);
/* The number of a purge by which a response with this epoch is so; 0: of none. */
uint64_t invalidation_purged_by(struct invalidation_table *t, const struct purgeable *s, uint64_t epoch);
/* Nothing older than this epoch is left anywhere: rules at or below it go. Each call looks at about slots_max slots of the table,
 * and goes on where the last one ended, unless its epoch is higher. True: all have gone. */
bool invalidation_retire(struct invalidation_table *t, uint64_t oldest_epoch, unsigned slots_max);
/* Purges whose span is over become rules; to be called often, each call does a little. */
void invalidation_end_spreads(struct invalidation_table *t, struct now now);
/* While it is, nothing may be noted as valid at a number but by invalidation_check. */
bool invalidation_is_spreading(const struct invalidation_table *t);
unsigned invalidation_rules(const struct invalidation_table *t); /* that there are now */
/* Since the last retirement was through, an eighth of all rules that there may be has come: the next is worth some haste. */
bool invalidation_has_grown(const struct invalidation_table *t);

/* ---- Beyond the life of a process: what the lower tier keeps ---- */
struct invalidation_rule {
	uint64_t
		id; /* the hash of the kind and of what is purged: to change how it is made is to change the disk tier's format */
	uint64_t hard_seq, soft_seq;
	uint32_t prefix_n; /* UINT32_MAX: not a rule but what is left of folded ones, as invalidation_image.c says */
	uint32_t lengths;
};
struct invalidation_image {
	uint64_t floor_seq, all_hard_seq, all_soft_seq;
	struct invalidation_rule *rules;
	unsigned rules_n;
};
/* All that still counts of what was purged before the call, and perhaps of later purges; the caller frees out->rules with mem_free. 0 or -ENOMEM. */
int invalidation_export(struct invalidation_table *t, struct invalidation_image *out) WARN_UNUSED;
/* Adds what an export or an earlier purge said; may be repeated. What it does not know raises floor_seq. */
void invalidation_import(struct invalidation_table *t, const struct invalidation_image *in);
void invalidation_replay(struct invalidation_table *t, const struct purge *p, uint64_t seq);
/* Numbers go on from here at least: above all that a response from an earlier process can have as its epoch. */
void invalidation_start_at(struct invalidation_table *t, uint64_t seq);

struct invalidation_stats {
#define STAT(kind, name, help) uint64_t name;
#include "cache/policy/invalidation_stats.def"
};
void invalidation_stats(const struct invalidation_table *t, struct invalidation_stats *out);

#endif
