/* SPDX-License-Identifier: MIT */
/* What is counted, by name: the one table behind /stats and /metrics. The lower tier tells of its own (cache_tier_counts).
 * Thread: main. */
#ifndef PROXY_ADMIN_COUNTERS_H
#define PROXY_ADMIN_COUNTERS_H

#include "cache/cache.h"
#include "proxy/admin/collect.h"
#include "proxy/transaction/service.h"

enum counter_group { GROUP_CLIENT, GROUP_WORKER, GROUP_CACHE, GROUP_INVALIDATION, GROUPS };

/* A uint64_t at this offset of the group's struct. */
struct counter {
	enum counter_group group;
	size_t offset;
	const char *name;
	bool is_gauge;
	const char *help; /* without a full stop */
};
extern const struct counter counters[];
extern const unsigned counters_n;
/* The same of an upstream; `group` means nothing there. */
extern const struct counter upstream_counters[];
extern const unsigned upstream_counters_n;

struct counted {
	const struct collected *sum;
	struct cache_stats cache;
	const void *bases[GROUPS];
};
void counted_init(struct counted *c, const struct service *s, const struct collected *sum);
uint64_t counter_value(const struct counter *k, const struct counted *c);
uint64_t upstream_counter_value(const struct counter *k, const struct upstream_stats *u);

#endif
