/* SPDX-License-Identifier: MIT */
/* What policy's files know of one exchange: its fields, read once.
 * Thread: any. Borrows: the exchange's fields. */
#ifndef CACHE_POLICY_POLICY_FACTS_H
#define CACHE_POLICY_POLICY_FACTS_H

#include "cache/policy/policy.h"

/* "max-age=4294967295" and the like: longer is as good as this (RFC 9111 1.2.2), for lifetimes and ages alike. */
#define POLICY_DELTA_MAX_MS (CC_DELTA_MAX * 1000)
/* What `auto` windows are, see rules.def. */
#define POLICY_AUTO_REVALIDATE_MS INT64_C(10000)
#define POLICY_AUTO_ERROR_MS INT64_C(3600000)

struct policy_facts {
	struct cache_control cc; /* of the targeted field that counts, else of Cache-Control */
	bool is_targeted;
	int64_t explicit_ms; /* the upstream's own lifetime, -1 when it gives none */
	enum policy_source explicit_source;
	int64_t date_min_ms, date_max_ms; /* Date, or the time of receipt; they differ for repeated lines that do */
	int64_t last_modified_ms;         /* -1: none, or more than one */
	bool has_validator;
	bool has_set_cookie;  /* one that would be stored */
	bool route_may_raise; /* ttl_force and ttl_min count */
	bool route_may_give;  /* ttl, ttl_404 and heuristics do, where the upstream gives none */
	/* By override, else what ttl_force overrules by itself; enum cache_override. */
	unsigned overrides;
	bool is_overruled;      /* the response says something of that */
	bool has_authorization; /* the request does, and it is not overruled */
	bool is_forced;
	int64_t ttl_ms; /* the lifetime before age and clamping: 0 is of use for validation only */
};

void policy_read(const struct policy_exchange *x, struct policy_facts *facts);
/* Chooses the lifetime and fills *out from it; sets facts->ttl_ms. */
void policy_fill(const struct policy_exchange *x, struct policy_facts *facts, struct freshness *out);

/* RFC 9110 15.1, without 206. */
bool policy_status_is_heuristic(int status);

static inline bool policy_no_cache_all(const struct cache_control *cc)
{
	return cc->no_cache && cc->no_cache_fields.n == 0;
}
static inline bool policy_private_all(const struct cache_control *cc)
{
	return cc->private_ && cc->private_fields.n == 0;
}

#endif
