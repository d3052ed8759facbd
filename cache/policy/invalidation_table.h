/* SPDX-License-Identifier: MIT */
/* The table of rules, as the files that look into it share it; docs/purges.md.
 * Thread: any, with the table's mu for writing; rule_find with mu in either way. Private to invalidation*.c. */
#ifndef CACHE_POLICY_INVALIDATION_TABLE_H
#define CACHE_POLICY_INVALIDATION_TABLE_H

#include <pthread.h>

#include "base/hash.h"
#include "cache/policy/invalidation.h"
#include "cache/policy/key.h"

/* Two purges whose hashes collide share a rule: that invalidates too much and never too little, so 64 bits do. */
struct rule {
	uint64_t id; /* 0: free slot */
	uint64_t hard_seq, soft_seq;
	uint32_t prefix_n; /* of PURGE_PREFIX, else 0 */
};

/* No response has a longer URL. */
#define PREFIX_MAX CACHE_KEY_MAX
#define SLOTS_MIN 16

/* Which of 64 lengths prefixes have, and the newest number among them: what was found valid since need not look for them again. */
struct lengths {
	uint64_t bits, newest;
};
#define LENGTHS_N (PREFIX_MAX / 64 + 1)

/* A table of its own for each 256th of the rules, so that it grows, and old rules go, in steps that are short however many
 * there are. Which part a rule is in only this process knows. */
#define PARTS_N 256
struct part {
	struct rule
		*slots; /* open addressing with linear probing, a power of two, at most three quarters full; or NULL */
	unsigned slots_n, rules_n;
	uint64_t oldest, newest; /* no rule is older, none newer */
};

/* What is left of rules that had to make room: one number for all whose id begins alike. A cell stands for what they named and
 * for the 65536th part of everything else, as of the newest of them. Its place is in checkpoints. */
#define CELLS_N 65536
struct cell {
	uint64_t hard_seq, soft_seq;
};
#define FOLD_MAX 32 /* rules at a time */

/* A purge whose span is not over. One of everything has no rule to become; its id is part of the disk tier's format, as those of rules are. */
#define SPREADS_MAX 8192
#define ALL_ID UINT64_C(0x676e696874796e61)
struct spread {
	uint64_t id;              /* of the rule that it becomes, or ALL_ID; 0: free slot. Several may have one id */
	uint64_t seq, when;       /* when: struct purge's `spread` */
	int64_t from_ms, span_ms; /* from_ms: CLOCK_MONOTONIC */
	uint32_t prefix_n;
	bool soft;
};
struct spreads {
	struct spread *slots; /* open addressing with linear probing, at most half full; NULL: there are none */
	_Atomic unsigned n;   /* written with mu */
	unsigned cursor;
	uint64_t newest, at_once;
	int64_t look_ms; /* when to look for those whose span is over */
};

/* One look at all that may have purged something. */
struct check {
	const struct purgeable *of;
	uint64_t epoch; /* nothing up to this number counts */
	enum purge_state state;
	uint64_t pending; /* the lowest number of those that will purge it, but not yet; UINT64_MAX: there is none */
	int64_t now_ms;   /* 0: not read yet, nor is place */
	uint32_t place;   /* in all spans */
	uint64_t by;      /* the number of what has purged it */
};

struct invalidation_table {
	unsigned max_rules;  /* set once */
	char pad_before[64]; /* every hit reads seq: nothing that is written more often shares its cache line */
	_Atomic uint64_t seq;
	char pad_after[64];
	pthread_rwlock_t mu;
	/* guarded by mu; rules_n and rules_left are read without it, too */
	struct part parts[PARTS_N];
	_Atomic unsigned rules_n, rules_left; /* left: when the last retirement was through */
	uint64_t slots_n;
	struct cell *cells;
	uint64_t folded, folded_newest; /* newest: no cell has a number above it */
	uint64_t floor_seq, floor_raised;
	uint64_t all_hard_seq, all_soft_seq;
	uint64_t retired_seq;  /* nothing older is left, but for what might come back from the lower tier */
	unsigned retire_parts; /* that have not been looked through for it yet: the first of them all */
	unsigned lengths_n[PREFIX_MAX + 1]; /* rules of each */
	struct lengths lengths[LENGTHS_N];
	struct lengths folded_lengths[LENGTHS_N]; /* for the cells */
	struct spreads spreads;
};

static inline uint64_t higher(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static inline uint64_t rule_seq(const struct rule *r)
{
	return higher(r->hard_seq, r->soft_seq);
}

/* Where a rule lies depends on the process's secret: nobody can choose names that fall together. */
struct place {
	unsigned part, slot;
};

static inline struct place place_of(uint64_t id)
{
	uint64_t h = hash_keyed_u64(id);

	return (struct place){(unsigned)(h >> 56), (unsigned)h};
}

/* NULL: there is none. */
struct rule *rule_find(const struct part *p, uint64_t id, unsigned home);
/* Always succeeds: without memory for a rule, its cell has the number. */
void rules_note(struct invalidation_table *t, uint64_t id, uint32_t prefix_n, bool soft, uint64_t next);
/* The same, but that an older number never replaces a newer one. */
void rules_restore(struct invalidation_table *t, uint64_t id, uint32_t prefix_n, bool soft, uint64_t seq);
/* Takes out the rules up to `seq`, and folds them or not. Needs no memory. */
void rules_drop_up_to(struct invalidation_table *t, struct part *p, uint64_t seq, bool folds);

/* Notes the worst that was found, and by what number. */
static inline void check_judge(struct check *c, uint64_t hard_seq, uint64_t soft_seq)
{
	enum purge_state found = hard_seq > c->epoch ? PURGED_HARD : soft_seq > c->epoch ? PURGED_SOFT : NOT_PURGED;

	if (found <= c->state)
		return;
	c->state = found;
	c->by = found == PURGED_HARD ? hard_seq : soft_seq;
}

/* ---- Those that are spread ---- */
/* False: there is no room, and nothing was noted. */
bool spreads_note_purge(
	struct invalidation_table *t, uint64_t id, uint32_t prefix_n, const struct purge *p, uint64_t seq);
void spreads_look(const struct invalidation_table *t, uint64_t id, struct check *c);
/* There is room for two records each. */
void spreads_export_locked(const struct invalidation_table *t, struct invalidation_image *out);
/* Of `left` records the first two. False: they are no spread, or there is no room for it. */
bool spreads_import_locked(struct invalidation_table *t, const struct invalidation_rule *r, unsigned left);

#endif
