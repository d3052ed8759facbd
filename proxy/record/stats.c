/* SPDX-License-Identifier: MIT */
#include "proxy/record/stats.h"

const int64_t latency_bounds_us[LATENCY_BOUNDS] = {
	500,
	1000,
	2500,
	5000,
	10000,
	25000,
	50000,
	100000,
	250000,
	500000,
	1000000,
	2500000,
	5000000,
	10000000,
	30000000,
	60000000,
};

const char *response_kind_name(enum response_kind k)
{
	static const char *const names[RESPONSE_KINDS] = {
		[RESPONSE_HIT] = "hit",
		[RESPONSE_STALE] = "stale",
		[RESPONSE_REVALIDATED] = "revalidated",
		[RESPONSE_MISS] = "miss",
		[RESPONSE_COLLAPSED] = "collapsed",
		[RESPONSE_PASS] = "pass",
		[RESPONSE_ERROR] = "error",
	};

	return (unsigned)k < RESPONSE_KINDS ? names[k] : "unknown";
}

void latency_add(struct latency *l, int64_t us)
{
	unsigned i = 0;

	while (i < LATENCY_BOUNDS && us > latency_bounds_us[i])
		i++;
	l->buckets[i]++;
	l->sum_us += us > 0 ? (uint64_t)us : 0;
}

uint64_t latency_count(const struct latency *l)
{
	uint64_t n = 0;

	for (unsigned i = 0; i <= LATENCY_BOUNDS; i++)
		n += l->buckets[i];
	return n;
}

double responses_hit_ratio(const uint64_t responses[RESPONSE_KINDS])
{
	uint64_t hits = responses[RESPONSE_HIT] + responses[RESPONSE_STALE] + responses[RESPONSE_COLLAPSED];
	uint64_t all = hits + responses[RESPONSE_MISS] + responses[RESPONSE_REVALIDATED] + responses[RESPONSE_PASS];

	return all ? (double)hits / (double)all : 0;
}
