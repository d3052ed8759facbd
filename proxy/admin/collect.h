/* SPDX-License-Identifier: MIT */
/* The workers' counters, gathered by message: each worker copies its own, so that none needs a lock or an atomic.
 * Thread: main. Bounds: one message a worker and collection. */
#ifndef PROXY_ADMIN_COLLECT_H
#define PROXY_ADMIN_COLLECT_H

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
	struct route_stats *routes;
};

/* `done` comes from main's loop once all workers have answered; it takes `sum`, for collected_free. */
int collect_start(struct service *s, void (*done)(void *arg, struct collected *sum), void *arg) WARN_UNUSED;
void collected_free(struct collected **sum);

#endif
