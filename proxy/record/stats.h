/* SPDX-License-Identifier: MIT */
/* Counters of one worker, written by its own thread only and collected by message, so that none needs a lock.
 * Thread: the worker's. */
#ifndef PROXY_RECORD_STATS_H
#define PROXY_RECORD_STATS_H

#include <stdint.h>

#include "proxy/front/gate.h"
#include "upstream/fetch.h"

enum response_kind {
	RESPONSE_HIT,
	RESPONSE_STALE,
	RESPONSE_REVALIDATED,
	RESPONSE_MISS,
	RESPONSE_COLLAPSED,
	RESPONSE_PASS,
	RESPONSE_ERROR,
	RESPONSE_KINDS
};
const char *response_kind_name(enum response_kind k);

#define LATENCY_BOUNDS 16
/* Upper bounds of the histograms' buckets, included, in microseconds; one more bucket takes what is longer. */
extern const int64_t latency_bounds_us[LATENCY_BOUNDS];

/* How long responses took, from the end of the request's head to their last byte. */
struct latency {
	uint64_t buckets[LATENCY_BOUNDS + 1]; /* each counts what is in no lower one */
	uint64_t sum_us;
};
void latency_add(struct latency *l, int64_t us);
uint64_t latency_count(const struct latency *l);

/* Responses without an upstream request of their own, of all that the cache had to do with. */
double responses_hit_ratio(const uint64_t responses[RESPONSE_KINDS]);

struct route_stats {
	uint64_t responses[RESPONSE_KINDS];
	uint64_t saved_us; /* of the upstream's time: each such response counts for the route's average fetch */
};

struct worker_stats {
#define STAT(kind, name, help) uint64_t name;
#include "proxy/record/worker_stats.def"
	uint64_t responses[RESPONSE_KINDS];
	struct latency latency[RESPONSE_KINDS];
};

#endif
