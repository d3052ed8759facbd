/* SPDX-License-Identifier: MIT */
#include "proxy/admin/counters.h"

#include <stddef.h>

/* A counter's line in its .def makes its row here. */
#define ROW(group, type, member, is_gauge, help) {group, offsetof(struct type, member), #member, is_gauge, help},
#define COUNTER(group, type, member, help) ROW(group, type, member, false, help)
#define GAUGE(group, type, member, help) ROW(group, type, member, true, help)
#define UNSHOWN(group, type, member, help)

const struct counter counters[] = {
#define STAT(kind, name, help) kind(GROUP_CLIENT, gate_stats, name, help)
#include "proxy/front/gate_stats.def"
#define STAT(kind, name, help) kind(GROUP_WORKER, worker_stats, name, help)
#include "proxy/record/worker_stats.def"
#define STAT(where, kind, name, help) kind(GROUP_CACHE, cache_stats, name, help)
#include "cache/memory/cache_stats.def"
#define STAT(kind, name, help) kind(GROUP_INVALIDATION, invalidation_stats, name, help)
#include "cache/policy/invalidation_stats.def"
};
const unsigned counters_n = ARRAY_LEN(counters);

const struct counter upstream_counters[] = {
#define STAT(kind, name, help) kind(GROUPS, upstream_stats, name, help)
#include "upstream/upstream_stats.def"
};
const unsigned upstream_counters_n = ARRAY_LEN(upstream_counters);

void counted_init(struct counted *c, const struct service *s, const struct collected *sum)
{
	c->sum = sum;
	cache_stats(s->cache, &c->cache);
	c->bases[GROUP_CLIENT] = &sum->gate;
	c->bases[GROUP_WORKER] = &sum->worker;
	c->bases[GROUP_CACHE] = &c->cache;
	c->bases[GROUP_INVALIDATION] = &c->cache.invalidation;
}

static uint64_t at(const void *base, size_t offset)
{
	return *(const uint64_t *)(const void *)((const char *)base + offset);
}

uint64_t counter_value(const struct counter *k, const struct counted *c)
{
	return at(c->bases[k->group], k->offset);
}

uint64_t upstream_counter_value(const struct counter *k, const struct upstream_stats *u)
{
	return at(u, k->offset);
}
