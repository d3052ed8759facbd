/* SPDX-License-Identifier: MIT */
/* Counters of one worker, written by its own thread only and collected by message, so that none needs a lock.
 * Thread: the worker's. */
#ifndef PROXY_RECORD_STATS_H
#define PROXY_RECORD_STATS_H

#include <stdint.h>

#include "http/message.h"
#include "proxy/front/gate.h"
#include "upstream/fetch.h"
#include "upstream/latency.h"

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

/* Responses without an upstream request of their own, of all that the cache had to do with. */
double responses_hit_ratio(const uint64_t responses[RESPONSE_KINDS]);

struct route_stats {
	uint64_t responses[RESPONSE_KINDS];
	uint64_t codes[HTTP_STATUS_SLOTS]; /* the same responses by status */
	uint64_t limited;                  /* answered 429 because of `client_rate` */
	uint64_t denied;                   /* answered 403 because of `allow` or `deny` */
	uint64_t saved_us; /* of the upstream's time: each such response counts for the route's average fetch */
};

/* Of requests whose route asks one upstream, whether it was asked or not. */
struct asker_stats {
	uint64_t codes[HTTP_STATUS_SLOTS];
};

struct worker_stats {
#define STAT(kind, name, help) uint64_t name;
#include "proxy/record/worker_stats.def"
	uint64_t responses[RESPONSE_KINDS];
	uint64_t codes[HTTP_STATUS_SLOTS]; /* of all that was answered, refused requests as well */
	/* How long responses took, from the end of the request's head to their last byte. */
	struct latency latency[RESPONSE_KINDS];
};

#endif
