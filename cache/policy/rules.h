/* SPDX-License-Identifier: MIT */
/* What a route says about caching: the cache's own options, filled from the configuration by proxy.
 * Thread: immutable once published, any thread reads. Borrows: all slices and arrays, which live as long as the rules.
 * All durations are milliseconds; -1 means "not set". */
#ifndef CACHE_POLICY_RULES_H
#define CACHE_POLICY_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"

enum cache_query_rule { CACHE_QUERY_KEEP, CACHE_QUERY_SORT, CACHE_QUERY_IGNORE, CACHE_QUERY_ONLY, CACHE_QUERY_DROP };
enum cache_scope { CACHE_SCOPE_SHARED, CACHE_SCOPE_USER };
enum cache_set_cookie { CACHE_COOKIE_AUTO, CACHE_COOKIE_STORE, CACHE_COOKIE_STRIP, CACHE_COOKIE_PASS };
/* In the order in which they are preferred where the client does not mind. */
enum cache_coding { CACHE_BR, CACHE_ZSTD, CACHE_GZIP, CACHE_CODINGS, CACHE_IDENTITY = CACHE_CODINGS };
enum cache_store_if { CACHE_STORE_ANY, CACHE_STORE_JSON, CACHE_STORE_GRAPHQL };

struct cache_names {
	const struct slice *v;
	unsigned n;
};

/* ttl_404 = 10s, ttl_5xx = 1s: statuses low..high; the first that contains the status wins. */
struct cache_status_ttl {
	uint16_t low, high;
	int64_t ttl_ms;
};

struct cache_rules {
	struct slice route; /* name, for Cache-Status, explain and counters */
	unsigned route_index;
	bool cache;                   /* off: everything passes */
	bool cache_post, cache_query; /* `methods` names POST or QUERY: cached under a key with the body's hash */
	bool json_body_key;           /* canonicalise JSON bodies before hashing */

	int64_t ttl_ms;       /* lifetime when the upstream gives none */
	int64_t ttl_force_ms; /* instead of what the upstream says: of lifetimes, no-cache and no-store. `private`,
	                       * credentials and (under AUTO) Set-Cookie still refuse. Not for errors: see policy.h */
	int64_t ttl_min_ms, ttl_max_ms;
	const struct cache_status_ttl *status_ttl;
	unsigned status_ttl_n;
	int64_t stale_if_unreachable_ms; /* no answer at all came: RFC 9111 4.2.4 allows stale ones */
	int64_t stale_while_revalidate_ms, stale_if_error_ms; /* used where the upstream says nothing */
	unsigned ttl_jitter_percent;
	int64_t refresh_ahead_ms;       /* a hit so long before the end has a new answer fetched */
	unsigned refresh_ahead_percent; /* the same as a share of the lifetime; 0: not so */
	unsigned refresh_ahead_hits;    /* with fewer hits since it was stored an answer is not hot */
	int64_t memory_idle_ms;

	enum cache_query_rule query;
	struct cache_names query_names; /* of ONLY and DROP; a trailing '*' matches a prefix */
	struct cache_names key_headers, key_cookies;
	struct cache_names credentials;        /* fields, beside Authorization and Cookie; see credentials.h */
	struct cache_names shared_credentials; /* fields and cookies; a trailing '*' matches a prefix */
	/* A digest of all rules by which an answer is given to others, the same in every process. Part of the key, so that
	 * what was stored under other rules (before a reload, or of another route for the same URL) is not found. */
	uint32_t trust;

	enum cache_scope scope;
	bool user_from_cookie;  /* else from a header */
	struct slice user_from; /* name; empty unless scope is USER */
	unsigned max_entries_per_user;

	enum cache_set_cookie set_cookie;
	int64_t coalesce_timeout_ms; /* a leader silent for longer is not joined any more */
	bool share_errors; /* errors that are not stored go to all who waited, those of the origin's own for a moment more */
	bool fills_ranges;   /* a Range that nothing stored answers has the whole fetched */
	bool client_refresh; /* obey Cache-Control and Pragma of requests */
	unsigned compress;   /* bits 1u << enum cache_coding: made once, when an answer is stored */
	bool etag_auto;
	enum cache_store_if store_if;
	struct cache_names tag_headers;     /* fields that carry tags */
	struct cache_names targeted_fields; /* RFC 9213 target list, first valid one wins; default CDN-Cache-Control */
};

/* A route that says nothing: everything cacheable is cached by the upstream's rules, clients decide nothing. */
static inline struct cache_rules cache_rules_default(void)
{
	return (struct cache_rules){
		.cache = true,
		.share_errors = true,
		.fills_ranges = true,
		.ttl_ms = -1,
		.ttl_force_ms = -1,
		.ttl_min_ms = -1,
		.ttl_max_ms = -1,
		.stale_while_revalidate_ms = -1,
		.stale_if_error_ms = -1,
		.stale_if_unreachable_ms = -1,
		.refresh_ahead_ms = -1,
		.memory_idle_ms = -1,
		.coalesce_timeout_ms = 30000,
	};
}

#endif
