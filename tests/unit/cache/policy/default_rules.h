/* SPDX-License-Identifier: MIT */
/* A route that says nothing: everything cacheable is cached by the upstream's rules, clients decide nothing. */
#ifndef TESTS_UNIT_CACHE_POLICY_DEFAULT_RULES_H
#define TESTS_UNIT_CACHE_POLICY_DEFAULT_RULES_H

#include "cache/policy/rules.h"

static inline struct cache_rules default_rules(void)
{
	return (struct cache_rules){
		.cache = true,
		.share_errors = true,
		.heuristic = 10,
		.ttl_ms = -1,
		.ttl_force_ms = -1,
		.ttl_min_ms = -1,
		.ttl_max_ms = -1,
		.stale_while_revalidate_ms = -1,
		.stale_if_error_ms = -1,
		.stale_if_unreachable_ms = -1,
		.refresh_ahead.ms = -1,
		.memory_idle_ms = -1,
		.coalesce_timeout_ms = 30000,
	};
}

#endif
