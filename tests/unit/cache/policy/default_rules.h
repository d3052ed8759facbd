/* SPDX-License-Identifier: MIT */
/* A route that says nothing: everything cacheable is cached by the upstream's rules, clients decide nothing. Made of rules.def: switches
 * and numbers are its defaults, words the first ones; lists are empty, and durations not set, those too whose default is one. */
#ifndef TESTS_UNIT_CACHE_POLICY_DEFAULT_RULES_H
#define TESTS_UNIT_CACHE_POLICY_DEFAULT_RULES_H

#include <stdlib.h>
#include <string.h>

#include "cache/policy/rules.h"

#define DEFAULT_BOOL(member, text) .member = strcmp(text, "on") == 0,
#define DEFAULT_UINT(member, text) .member = (unsigned)strtoul(text, NULL, 10),
#define DEFAULT_PERCENT(member, text) DEFAULT_UINT(member, text)
#define DEFAULT_DURATION(member, text) .member = -1,
#define DEFAULT_AHEAD(member, text) .member.ms = -1,
#define DEFAULT_METHODS(member, text)
#define DEFAULT_CODINGS(member, text)
#define DEFAULT_WORDS(member, text)
#define DEFAULT_ENUM(member, text)
#define DEFAULT_FIELDS(member, text)
#define DEFAULT_PREFIXES(member, text)
#define DEFAULT_QUERY(member, text)
#define DEFAULT_USER_FROM(member, text)
#define DEFAULT_STATUS_TTL(member, text)

static inline struct cache_rules default_rules(void)
{
	struct cache_rules r = {
#define RULE(key, member, type, text, ...) DEFAULT_##type(member, text)
#include "cache/policy/rules.def"
#undef RULE
		.coalesce_timeout_ms = 30000,
	};

	r.client_refresh = false;
	r.stale_while_revalidate_ms = r.stale_if_error_ms = 0; /* -1 is auto */
	r.refresh_ahead_hits = 0;                              /* the first hit counts */
	return r;
}

#endif
