/* SPDX-License-Identifier: MIT */
#include "proxy/record/stats.h"

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

double responses_hit_ratio(const uint64_t responses[RESPONSE_KINDS])
{
	uint64_t hits = responses[RESPONSE_HIT] + responses[RESPONSE_STALE] + responses[RESPONSE_COLLAPSED];
	uint64_t all = hits + responses[RESPONSE_MISS] + responses[RESPONSE_REVALIDATED] + responses[RESPONSE_PASS];

	return all ? (double)hits / (double)all : 0;
}
