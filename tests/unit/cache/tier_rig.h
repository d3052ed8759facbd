/* SPDX-License-Identifier: MIT */
/* A cache over a directory of its own, and restarts of the process that has them. One thread's. */
#ifndef TESTS_UNIT_CACHE_TIER_RIG_H
#define TESTS_UNIT_CACHE_TIER_RIG_H

#include "cache/disk/store.h"
#include "rig.h"

struct tiers {
	struct rig g;
	char path[64];
	struct disk_options o;
	struct tier *disk; /* the cache's */
};

void tiers_begin(struct tiers *t); /* options and rules may be changed before the next restart */
void tiers_restart(struct tiers *t);
void tiers_end(struct tiers *t);
struct disk_stats tiers_disk_stats(struct tiers *t);
void tiers_written(struct tiers *t); /* all that was stored is on disk, or dropped */
/* A lookup that waits for the disk as an exchange would. The caller has initialised `a`, and ends it. */
enum cache_verdict tiers_look_up(struct tiers *t, struct ask *a);
/* Leads, answers 200 with those fields and that body, ends; and it is written. */
void tiers_store(struct tiers *t, const char *target, const char *request_fields, const char *fields, const char *body);
/* What a GET gets; DISK never. *from_disk may be NULL. Whatever it leads is abandoned. */
enum cache_verdict tiers_verdict(struct tiers *t, const char *target, const char *fields, bool *from_disk);
/* It is a hit out of the disk tier with this body. */
void tiers_disk_has(struct tiers *t, const char *target, const char *fields, const char *body);

#endif
