/* SPDX-License-Identifier: MIT */
/* RFC 9111 as pure decisions: what may be stored, how long it is fresh, when it may be used.
 * Thread: any; no state, no clock, no I/O, no randomness: `now` and `jitter` are parameters.
 *
 * Where a lifetime comes from, the first that there is:
 * 1. ttl_force, for 2xx and 3xx that are heuristically cacheable or have explicit freshness. It stands in for the
 *    upstream's lifetime, no-cache and no-store (an upstream's framework often sends them for everything); private,
 *    credentials, Vary: * and, under set_cookie = auto, Set-Cookie are about who may see the response and still refuse.
 *    Where the route has `override`, it and ttl (4) overrule what that names instead. Under no-cache a lifetime of 0 counts as
 *    none for 3, 4 and 5 if there is a ttl.
 * 2. Explicit freshness: the first valid targeted field (RFC 9213), which replaces Cache-Control and Expires altogether;
 *    else s-maxage, max-age, Expires less Date.
 * 3. ttl_404, ttl_5xx and the like, for any status in their range.
 * 4. ttl, for 2xx and 3xx that are heuristically cacheable. Errors never get it: a request that provokes one would deny
 *    the page to everybody else.
 * 5. `heuristic` of the time between Last-Modified and Date, at most a day (or ttl_max), for heuristically cacheable statuses
 *    and for any with `public`; not for POST (RFC 9110 9.3.3).
 * The route's own times (1, 3, 4, ttl_min, ttl_max) run from the moment of receipt: a response that took five seconds to
 * make, or came out of another cache, gets all of a ttl of two. The upstream's are compared with the age of RFC 9111 4.2.3.
 * ttl_min raises lifetimes of 2xx and 3xx only, and of those that have one.
 *
 * A response to a request that bears a credential (credentials.h) is stored only where the upstream itself says that others
 * may have it, and nothing of the route lengthens it: 1, 3, 4, 5 and ttl_min are not for it, but for 3, 4 and 5 with `public`.
 * And where the upstream has not said so of a response to anybody, it is not used for who bears one (POLICY_FOR_ALL). */
#ifndef CACHE_POLICY_POLICY_H
#define CACHE_POLICY_POLICY_H

#include <stdint.h>

#include "base/clock.h"
#include "cache/policy/rules.h"
#include "http/cache_control.h"
#include "http/fields.h"
#include "http/message.h"

enum policy_source { /* where a lifetime comes from, for explain and /entries */
	LIFETIME_NONE,
	LIFETIME_TARGETED, /* CDN-Cache-Control and the like (RFC 9213) */
	LIFETIME_S_MAXAGE,
	LIFETIME_MAX_AGE,
	LIFETIME_EXPIRES,
	LIFETIME_HEURISTIC, /* a part of the time since Last-Modified */
	LIFETIME_ROUTE,     /* ttl, ttl_404 ... */
	LIFETIME_ROUTE_FORCE,
};

/* Two more bits are not policy's: they are named below. */
enum policy_flag {
	POLICY_NO_CACHE = 1 << 0,    /* validate before every use */
	POLICY_NEVER_STALE = 1 << 1, /* must-revalidate, proxy-revalidate, s-maxage, no-cache */
	POLICY_IMMUTABLE = 1 << 2,
	POLICY_PRIVATE = 1 << 3, /* stored for one user only */
	POLICY_FOR_ALL = 1 << 4, /* by the upstream's own word, so for requests with credentials too */
	POLICY_AUTO_WINDOW =
		1 << 5, /* nobody has said how long it may serve while it is fetched anew: not after a soft purge */
	/* not policy's: what an object knows of itself beside its fields, in a tier's record only (cache/lower.c) */
	RECORD_ETAG_IS_OURS = 1 << 14,
	RECORD_MAY_ENCODE = 1 << 15,
};

/* The part of a stored response that decides its use. Plain data: kept in objects and in the lower tier's records. */
struct freshness {
	int64_t lifetime_ms;      /* after the route's rules; 0 is stale at once */
	int64_t initial_age_ms;   /* corrected_initial_age (RFC 9111 4.2.3) */
	int64_t received_mono_ms; /* response_time */
	int64_t received_wall_ms;
	int64_t stale_while_revalidate_ms, stale_if_error_ms; /* 0: none */
	uint16_t flags;                                       /* enum policy_flag */
	uint8_t source;                                       /* enum policy_source */
	uint8_t fetch_time; /* coarse.h: ms from the request for it to the beginning of the response; 0: not known */
	uint32_t stale_if_unreachable_s; /* 0: none; the route's own (RFC 9111 4.2.4: disconnected) */
};

struct policy_exchange {
	enum http_method method;
	struct slice target_url;           /* as asked; for POST's Content-Location rule; may be empty */
	const struct http_fields *request; /* as sent upstream, less what never matters; never NULL */
	/* What credentials_of says of the request. */
	bool request_has_authorization, request_has_credential;
	bool is_part; /* a 206 of one range, to a request that asked for one: it can be stored as a part */
	int status;
	const struct http_fields *response;
	struct now request_time, response_time;
	const struct cache_rules *rules;
	uint32_t
		jitter; /* any number, say a hash or a random one: the part of ttl_jitter percent, of 2^32, that goes */
	/* The upstream's budget is low: what is left of the lifetime counts so many times, within ttl_max and a day more; not
	 * where a stale response may never be used. 0 and 1: it does not. */
	unsigned stretch;
};

enum policy_store {
	POLICY_STORE = 0,
#define REASON(NAME, ...) POLICY_NOT_##NAME,
#include "cache/policy/reasons.def"
#undef REASON
	POLICY_STORES_N
};
/* Of reasons.def. Of POLICY_STORE all but the token is empty. */
struct policy_reason {
	const char *token;         /* for Cache-Status and the admin side */
	const char *key;           /* the route's key that the remedy is about; empty: none of a route's */
	const char *what, *remedy; /* for people: what it means, and what would change it */
};
const struct policy_reason *policy_reason(enum policy_store s);

/* Decides storing (RFC 9111 3, 3.5, 5.2.2) and fills *out when it is POLICY_STORE.
 * - Authorization: public, must-revalidate or s-maxage (RFC 9111 3.5). Other credentials: public, s-maxage, or a lifetime
 *   above 0 without no-cache. What is the identity of scope = user is none of these. private: only for such a user, of a request
 *   without any other credential.
 * - Set-Cookie under auto, of which all but that field is stored: only with an explicit lifetime above 0 and without no-cache, and then the route's ttl_force and
 *   ttl_min leave it alone. Fields named in no-cache="" or private="" do not count, as they are not stored.
 * - A request's no-store counts where client_refresh is on.
 * - 426, 428, 429, 431 and 511 are never stored (RFC 6585), nor are 304, 226 and, but for is_part, 206: parts of responses.
 * - no-cache is stored even without a validator; a lifetime of 0 only with a stale window, or a validator on a 2xx.
 * - POST: where the route caches it, or where policy_post_answers_get says so. */
enum policy_store policy_store(const struct policy_exchange *x, struct freshness *out);
/* Whether a response with this status can be stored at all: else no ttl_NNN has it stored. */
bool policy_status_is_stored(int status);
/* An error, or a redirect, that is not stored only because nothing gives it a lifetime or because of its status: to whom else
 * than to the one whose request caused it may it go? */
enum policy_share {
	POLICY_SHARE_NOT,
	POLICY_SHARE_WAITERS, /* to those who were waiting for it */
	POLICY_SHARE_MOMENT, /* and to those who come in the moment after it: the origin can't answer, or does not want to */
};
enum policy_share policy_share_error(const struct policy_exchange *x);
/* About the one request or the one connection, whoever else asks for the same? */
bool policy_status_is_of_one_client(int status);
/* Does the response by its own fields say that others may have what the request's credentials brought? True where it bears none. */
bool policy_says_for_others(const struct policy_exchange *x);
/* A response to POST that says it is what GET on the same URL would give: 2xx, explicit freshness, Content-Location equal
 * to target_url (RFC 9110 9.3.3, RFC 9111 4). It is then stored for GET, under GET's key, and not for POST. Always false
 * where the route caches POST under its own key. */
bool policy_post_answers_get(const struct policy_exchange *x);
/* Freshness of a stored response after a 304 or HEAD updated its fields; same rules. False: they forbid storing it now (RFC 9111 3, 5.2.2.5,
 * 5.2.2.7). Where it stays nevertheless, it is stale and to be validated before every use. */
bool policy_refresh(const struct policy_exchange *x, struct freshness *out);
/* Fields that must not be stored or replayed: hop-by-hop, no-cache="f" and private="f" lists,
 * Proxy-Authenticate and the like (RFC 9111 3.1); Set-Cookie but under set_cookie = store. Removes them in place; 0 or -ENOBUFS (Connection names too many fields;
 * nothing was removed then). To validate before each use, as no-cache="f" also allows, would cost a round trip for a
 * field that most readers do without. What describes the message itself stays (Vary, Cache-Control, Content-Type ...). */
int policy_strip_fields(struct http_fields *response, const struct cache_rules *rules) WARN_UNUSED;

/* For how long after its lifetime it may serve in any case at all, validation aside: 0 where it may never be stale. */
int64_t policy_stale_window_ms(const struct freshness *f);
int64_t policy_age_ms(const struct freshness *f, struct now now);
/* Freshness lifetime less current age; negative when stale. */
int64_t policy_ttl_ms(const struct freshness *f, struct now now);

/* Of what is stored but never fresh: "no-cache" where the upstream has each use confirmed, "no-lifetime" where nothing gives it
 * one, or one of 0. NULL: it is, or was when it came. A constant. */
const char *policy_never_fresh(const struct freshness *f);

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
/* request_cc is NULL where the route does not let clients decide; pragma_no_cache counts only when the request has no
 * Cache-Control, so pass it with an empty request_cc, or with NULL to let it not count. `soft_purged` makes it stale now:
 * staleness counts from the end of its lifetime, and is 0 before that. only-if-cached is the caller's business.
 * `immutable` does not weaken a request's no-cache or max-age=0: they are the signal of RFC 8246 2 that it is needed.
 * Never used stale (RFC 9111 4.2.4): with must-revalidate, proxy-revalidate, s-maxage or no-cache. */
struct policy_reuse policy_reuse(const struct freshness *f, const struct cache_control *request_cc,
	bool pragma_no_cache, bool soft_purged, struct now now);
/* Does the request say `Pragma: no-cache` and have no Cache-Control (RFC 9111 5.4)? */
bool policy_pragma_no_cache(const struct http_fields *request);
/* May a stale response stand in for an error of this status (0: no response at all: refused, timed out)? RFC 5861 4. */
bool policy_stale_if_error(const struct freshness *f, int status, bool soft_purged, struct now now);

/* May a stale response serve because the upstream must be spared? As long as it might in place of an error, else a day. */
bool policy_stale_if_spared(const struct freshness *f, struct now now);

/* May a stored response of this status be asked about with a condition? An origin does not look at conditions where it would
 * answer anything but 2xx (RFC 9110 13.2.1), so a 304 would speak of another response than a stored redirect or error. */
bool policy_may_validate(int status);

/* If-Match and If-Unmodified-Since are for the origin, whatever the method: no stored response can fulfil or fail them (RFC 9111
 * 4.3.2). */
bool policy_is_for_origin(const struct http_fields *request);
/* Has it If-None-Match or If-Modified-Since? Most have none, and the stored validators need not be looked for. */
bool policy_has_condition(const struct http_fields *request);
/* The request's own validators, against a response to GET or HEAD (RFC 9110 13.2.2): is 304 due? Absent validators are empty
 * slices. Without Last-Modified, If-Modified-Since is compared with Date (RFC 9111 4.3.2). What can't be read is ignored. */
bool policy_is_not_modified(
	const struct http_fields *request, struct slice etag, struct slice last_modified, struct slice date);
/* What proves that two parts are of the same bytes (RFC 9110 8.8.1): the entity tag if it is strong; where there is none,
 * Last-Modified if it is at least a second before Date. Empty: nothing does. */
struct slice policy_strong_validator(struct slice etag, struct slice last_modified, struct slice date);
struct slice policy_strong_validator_of(const struct http_fields *response);
/* Does If-Range let the request's Range count (RFC 9110 13.1.5)? True without If-Range. */
bool policy_if_range(
	const struct http_fields *request, struct slice etag, struct slice last_modified, struct slice date);

#endif
