/* SPDX-License-Identifier: MIT */
#include "upstream/latency.h"

const int64_t latency_bounds_us[LATENCY_BOUNDS] = {
	50,
	100,
	250,
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
