/* RFC 9111 as pure decisions: what may be stored, how long it is fresh, when it may be used.
 * Thread: any; no state, no clock, no I/O: `now` is a parameter. */
#ifndef CACHE_POLICY_H
#define CACHE_POLICY_H

#include <stdint.h>

#include "base/clock.h"
#include "cache/rules.h"
#include "http/cache_control.h"
#include "http/fields.h"
#include "http/message.h"

enum policy_source { /* where a lifetime comes from, for explain and /entries */
	LIFETIME_NONE,
	LIFETIME_TARGETED,   /* CDN-Cache-Control and the like (RFC 9213) */
	LIFETIME_S_MAXAGE,
	LIFETIME_MAX_AGE,
	LIFETIME_EXPIRES,
	LIFETIME_HEURISTIC,  /* 10 % of the time since Last-Modified */
	LIFETIME_ROUTE,      /* ttl, ttl_404 ... */
	LIFETIME_ROUTE_FORCE,
};

enum policy_flag {
	POLICY_NO_CACHE = 1 << 0,        /* validate before every use */
	POLICY_NEVER_STALE = 1 << 1,     /* must-revalidate, proxy-revalidate, s-maxage, no-cache */
	POLICY_IMMUTABLE = 1 << 2,
	POLICY_PRIVATE = 1 << 3,         /* stored for one user only */
	POLICY_SHARED_AUTH = 1 << 4,     /* an answer to a request with Authorization that may be shared */
};

/* The part of a stored answer that decides its use. Plain data: kept in objects and in disk records. */
struct freshness {
	int64_t lifetime_ms;       /* after the route's rules; 0 is stale at once */
	int64_t initial_age_ms;    /* corrected_initial_age (RFC 9111 4.2.3) */
	int64_t received_mono_ms;  /* response_time */
	int64_t received_wall_ms;
	int64_t stale_while_revalidate_ms, stale_if_error_ms; /* 0: none */
	uint16_t flags;            /* enum policy_flag */
	uint8_t source;            /* enum policy_source */
};

struct policy_exchange {
	enum http_method method;
	struct slice target_url;              /* as asked; for POST's Content-Location rule; may be empty */
	const struct http_fields *request;    /* as sent upstream, less what never matters; never NULL */
	bool request_has_authorization;
	int status;
	const struct http_fields *response;
	struct now request_time, response_time;
	const struct cache_rules *rules;
};

enum policy_store {
	POLICY_STORE = 0,
	POLICY_NOT_ROUTE,        /* cache = off, or a method that the route does not cache */
	POLICY_NOT_METHOD,
	POLICY_NOT_STATUS,
	POLICY_NOT_NO_STORE,
	POLICY_NOT_PRIVATE,
	POLICY_NOT_AUTHORIZATION,
	POLICY_NOT_SET_COOKIE,
	POLICY_NOT_VARY_STAR,
	POLICY_NOT_PARTIAL,      /* a 206 or 304 that nobody asked for */
	POLICY_NOT_FRESH,        /* no lifetime and no validator: storing would be of no use */
	POLICY_NOT_TOO_LARGE,    /* set by the cache, not by policy */
	POLICY_NOT_BODY,         /* store_if refused it; set by the cache */
};
const char *policy_store_name(enum policy_store s); /* token for Cache-Status and explain */

/* Decides storing (RFC 9111 3, 3.5, 5.2.2; design: Set-Cookie only with explicit freshness; errors only with explicit
 * freshness or a route TTL) and fills *out when it is POLICY_STORE. */
enum policy_store policy_store(const struct policy_exchange *x, struct freshness *out);
/* Freshness of a stored answer after a 304 or HEAD updated its fields; same rules, storing not decided anew. */
void policy_refresh(const struct policy_exchange *x, struct freshness *out);
/* Fields that must not be stored or replayed: hop-by-hop, no-cache="f" and private="f" lists, Set-Cookie when stripped,
 * Proxy-Authenticate and the like (RFC 9111 3.1). Removes them in place. */
int policy_strip_fields(struct http_fields *response, const struct cache_rules *rules) WARN_UNUSED;

int64_t policy_age_ms(const struct freshness *f, struct now now);
/* Freshness lifetime less current age; negative when stale. */
int64_t policy_ttl_ms(const struct freshness *f, struct now now);

enum policy_use {
	POLICY_FRESH,
	POLICY_STALE_WHILE_REVALIDATE, /* usable now, and fetch in the background */
	POLICY_STALE_ALLOWED,          /* stale, and the client said max-stale */
	POLICY_VALIDATE,               /* ask the upstream first */
};
struct policy_reuse {
	enum policy_use use;
	bool by_request; /* the request's own directives forced it: Cache-Status fwd=request */
};
/* request_cc is NULL where the route does not let clients decide. `soft_purged` makes it stale now. */
struct policy_reuse policy_reuse(const struct freshness *f, const struct cache_control *request_cc, bool pragma_no_cache,
                                 bool soft_purged, struct now now);
/* May a stale answer stand in for an error of this status (0: no answer at all: refused, timed out)? RFC 5861 4. */
bool policy_stale_if_error(const struct freshness *f, int status, bool soft_purged, struct now now);

/* The request's own validators, against the stored answer (RFC 9110 13.2.2): 200, 304 or 412 for GET and HEAD. */
int policy_condition(const struct http_fields *request, struct slice etag, struct slice last_modified,
                     struct slice date);

#endif
