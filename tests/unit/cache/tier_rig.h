/* SPDX-License-Identifier: MIT */
/* A cache over a lower tier of its own, and restarts of the process that has them. One thread's. The tests run over both
 * implementations of cache/tier/tier.h: a directory, and a table in memory. */
#ifndef TESTS_UNIT_CACHE_TIER_RIG_H
#define TESTS_UNIT_CACHE_TIER_RIG_H

#include <semaphore.h>

#include "cache/disk/store.h"
#include "rig.h"
#include "table_tier.h"

struct tiers {
	struct rig g;
	char path[64];
	struct disk_options o; /* of a table: queue_max */
	struct tier *tier;     /* the cache's */
	struct table *table;   /* NULL: it is the disk */
};

/* What the tier is stored on, as slow as a test wants it; made anew by tiers_begin. */
struct tiers_device {
	struct disk_io io;
	_Atomic bool is_cold;     /* nothing is at hand: what is read comes by message */
	_Atomic unsigned reads;   /* since the last restart */
	_Atomic bool is_held;     /* writes wait for its end */
	_Atomic bool writes_wait; /* the next write says writer_is_there, and waits for writer_may_go */
	sem_t writer_is_there, writer_may_go;
};
extern struct tiers_device tiers_device;

void tiers_begin(struct tiers *t); /* options and rules may be changed before the next restart */
void tiers_restart(struct tiers *t);
void tiers_end(struct tiers *t);
/* As fixtures: *state is the tiers. */
int tiers_set_up(void **state);
int tiers_tear_down(void **state);
#define TIERS_TEST(test) cmocka_unit_test_setup_teardown(test, tiers_set_up, tiers_tear_down)
void tiers_written(struct tiers *t); /* all that was stored is in the lower tier, or dropped */
/* Of a table: hits, puts, dropped_queue. */
struct disk_stats tiers_counts(struct tiers *t);
/* Until something lies in worker 0's mailbox, and nobody has looked. */
void tiers_wait_for_message(struct tiers *t);
/* A lookup that waits for the lower tier as a transaction would. The caller has initialised `a`, and ends it. */
enum cache_verdict tiers_look_up(struct tiers *t, struct ask *a);
/* Leads, answers 200 with those fields and that body, ends; and it is written. */
void tiers_store(struct tiers *t, const char *target, const char *request_fields, const char *fields, const char *body);
/* What a GET gets; LOWER never. *from_lower may be NULL. Whatever it leads is abandoned. */
enum cache_verdict tiers_verdict(struct tiers *t, const char *target, const char *fields, bool *from_lower);
/* It is a hit out of the lower tier with this body. */
void tiers_disk_has(struct tiers *t, const char *target, const char *fields, const char *body);

/* Group setups: the tests run over that one. */
int tiers_over_disk(void **state);
int tiers_over_table(void **state);
#define TIERS_RUN_OVER_DISK(tests) cmocka_run_group_tests_name("over the disk", tests, tiers_over_disk, NULL)
#define TIERS_RUN_OVER_BOTH(tests) \
	(TIERS_RUN_OVER_DISK(tests) + cmocka_run_group_tests_name("over a table", tests, tiers_over_table, NULL))

#endif
