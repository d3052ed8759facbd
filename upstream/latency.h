/* SPDX-License-Identifier: MIT */
/* How long something took, counted by buckets: what /metrics shows as a histogram.
 * Thread: its owner's; nothing but counters of one width, so that those of several owners can be added up. */
#ifndef UPSTREAM_LATENCY_H
#define UPSTREAM_LATENCY_H

#include <stdint.h>

#define LATENCY_BOUNDS 19
/* Upper bounds of the buckets, included, in microseconds; one more bucket takes what is longer. */
extern const int64_t latency_bounds_us[LATENCY_BOUNDS];

struct latency {
	uint64_t buckets[LATENCY_BOUNDS + 1]; /* each counts what is in no lower one */
	uint64_t sum_us;
};
/* A time below 0 counts as 0. */
void latency_add(struct latency *l, int64_t us);
uint64_t latency_count(const struct latency *l);

#endif
