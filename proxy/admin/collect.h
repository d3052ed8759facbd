/* SPDX-License-Identifier: MIT */
/* The workers' counters, gathered by message: each worker copies its own, so that none needs a lock or an atomic.
 * Thread: main. Bounds: one message a worker and collection; those of routes, which may be many, are copied and added up a stretch
 * at a time. */
#ifndef PROXY_ADMIN_COLLECT_H
#define PROXY_ADMIN_COLLECT_H

#include <stdbool.h>

#include "proxy/record/stats.h"
#include "upstream/fetch.h"

struct service;

struct collected {
	unsigned workers;
	struct worker_stats worker;
	struct gate_stats gate;
	struct snapshot *snapshot; /* of which `upstreams` and `routes` are */
	unsigned upstreams_n, routes_n;
	struct upstream_stats *upstreams; /* summed over workers, like all of it */
	struct asker_stats *askers;       /* of the same upstreams */
	struct route_stats *routes;       /* once collected_add_routes has said that no more is to come */
};

/* `done` comes from main's loop once all workers have answered; it takes `sum`, for collected_free. Where a reload comes between, all is
 * collected anew. */
int collect_start(struct service *s, void (*done)(void *arg, struct collected *sum), void *arg) WARN_UNUSED;
/* Adds up so many routes of one worker or several. False: that was all. */
bool collected_add_routes(struct collected *sum, unsigned routes);
void collected_free(struct collected **sum);

#endif
