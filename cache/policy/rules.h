/* SPDX-License-Identifier: MIT */
/* What a route says about caching. config/ reads it in place: a key is a line in rules.def, which its member is made of.
 * Thread: immutable once published, any thread reads. Borrows: all slices and arrays, which live as long as the rules.
 * All durations are milliseconds; -1 means "not set". */
#ifndef CACHE_POLICY_RULES_H
#define CACHE_POLICY_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/message.h"

enum cache_query_rule { CACHE_QUERY_KEEP, CACHE_QUERY_SORT, CACHE_QUERY_IGNORE, CACHE_QUERY_ONLY, CACHE_QUERY_DROP };
/* In the order in which they are preferred where the client does not mind. */
enum cache_coding { CACHE_BR, CACHE_ZSTD, CACHE_GZIP, CACHE_CODINGS, CACHE_IDENTITY = CACHE_CODINGS };
/* As the words of their keys are ordered in rules.def. */
enum cache_scope { CACHE_SCOPE_SHARED, CACHE_SCOPE_USER };
enum cache_set_cookie { CACHE_COOKIE_AUTO, CACHE_COOKIE_STORE, CACHE_COOKIE_STRIP, CACHE_COOKIE_PASS };
enum cache_range_fill { CACHE_RANGE_WHOLE, CACHE_RANGE_PASS };
/* Bits of `override`. */
enum cache_override {
	CACHE_OVERRIDE_PRIVATE = 1 << 0,
	CACHE_OVERRIDE_NO_STORE = 1 << 1,
	CACHE_OVERRIDE_NO_CACHE = 1 << 2,
	CACHE_OVERRIDE_AUTHORIZATION = 1 << 3,
	CACHE_OVERRIDE_SET_COOKIE = 1 << 4,
};
enum cache_etag { CACHE_ETAG_OFF, CACHE_ETAG_AUTO };
enum cache_store_if { CACHE_STORE_ANY, CACHE_STORE_JSON, CACHE_STORE_GRAPHQL };

struct cache_query {
	enum cache_query_rule rule;
	struct slices names; /* of ONLY and DROP; a trailing '*' matches a prefix */
};

struct cache_user_from {
	bool is_cookie; /* else a header */
	struct slice name;
};

struct cache_ahead {      /* how long before the end of a lifetime */
	int64_t ms;       /* -1: not as a duration */
	unsigned percent; /* of the lifetime; 0: not so */
};

struct cache_status_ttl {
	uint16_t low, high; /* statuses low..high */
	int64_t ttl_ms;
};

struct cache_status_ttls {
	const struct cache_status_ttl *v; /* a single status before a class: the first that contains the status wins */
	unsigned n;
};

#define RULE_BOOL(member) bool member;
#define RULE_UINT(member) unsigned member;
#define RULE_PERCENT(member) unsigned member;
#define RULE_METHODS(member) unsigned member; /* bits 1U << enum http_method */
#define RULE_CODINGS(member) unsigned member; /* bits 1U << enum cache_coding */
#define RULE_WORDS(member) unsigned member;   /* bit n: the nth of the line's words */
#define RULE_DURATION(member) int64_t member;
#define RULE_AHEAD(member) struct cache_ahead member;
#define RULE_ENUM(member) enum cache_##member member;
#define RULE_FIELDS(member) struct slices member;
#define RULE_PREFIXES(member) struct slices member; /* a trailing '*' matches a prefix */
#define RULE_QUERY(member) struct cache_query member;
#define RULE_USER_FROM(member) struct cache_user_from member;
#define RULE_STATUS_TTL(member) struct cache_status_ttls member;

struct cache_rules {
	struct slice route; /* name, for Cache-Status, explain and counters; "default" for what no other matches */
	unsigned route_index;
	/* A digest of all keys by which a response is given to others, the same in every process. Part of the key, so that
	 * what was stored under other rules (before a reload, or of another route for the same URL) is not found. */
	uint32_t trust;
	uint64_t no_credential[4];   /* by credentials_note_absent; 0: not known, each name is compared */
	int64_t coalesce_timeout_ms; /* a leader silent for longer is not joined any more */
#define RULE(key, member, type, ...) RULE_##type(member)
#include "cache/policy/rules.def"
#undef RULE
};

/* A method that is cached only where `methods` names it: POST or QUERY, under a key with the body's hash. */
static inline bool cache_takes_method(const struct cache_rules *rules, enum http_method method)
{
	return rules->methods >> method & 1U;
}

/* What `override` names, where there is something that may overrule it. */
static inline unsigned cache_overrides(const struct cache_rules *rules)
{
	return rules->ttl_ms >= 0 || rules->ttl_force_ms >= 0 ? rules->override : 0;
}

#endif
