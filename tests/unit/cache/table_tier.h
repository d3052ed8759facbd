/* SPDX-License-Identifier: MIT */
/* A lower tier that is a table in memory: the second implementation of cache/tier/tier.h, small, and as slow as a test wants it.
 * Thread: as tier.h says; a thread of its own writes, another reads. */
#ifndef TESTS_UNIT_CACHE_TABLE_TIER_H
#define TESTS_UNIT_CACHE_TABLE_TIER_H

#include "cache/tier/tier.h"

struct table_options {
	struct invalidation_table *invalidation;
	unsigned queue_max;         /* puts that wait to be written; 0: no bound */
	bool (*is_at_hand)(void);   /* else reads are answered by message; counts as a read when true */
	void (*before_read)(void);  /* on the reading thread */
	void (*before_write)(void); /* on the writing thread */
};

/* What is stored: it outlives the tier, as a directory outlives a process. */
struct table;
struct table *table_new(void);
void table_free(struct table **tb);
struct tier *table_open(struct table *tb, const struct table_options *o);

struct table_counts {
	uint64_t hits, puts, dropped_queue;
};
struct table_counts table_counts(struct tier *t);

#endif
