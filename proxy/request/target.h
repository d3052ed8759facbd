/* SPDX-License-Identifier: MIT */
/* What a request is about: its route, its rules, its origin, the key it is cached under. Both paths and the admin side
 * ask here, so that they can't disagree.
 * Thread: a target belongs to one. Owns: a reference to its snapshot, until it is cleared. */
#ifndef PROXY_REQUEST_TARGET_H
#define PROXY_REQUEST_TARGET_H

#include "cache/cache.h"
#include "config/config.h"
#include "proxy/request/readings.h"
#include "proxy/request/sent.h"
#include "proxy/request/snapshot.h"

struct target {
	struct snapshot *snapshot;
	const struct config_route *route;
	const struct config_upstream *upstream;
	unsigned upstream_index;
	struct sent sent; /* the request as the origin gets it: what all else is made of */
	struct cache_key key;
	bool has_key;      /* else the request passes uncached: no identity, or a key past its bound */
	bool is_graphql;   /* one that changes something, or can't be read: it passes uncached */
	bool is_write;     /* of a safe method, or of one that the route caches: it changes something all the same */
	bool is_cacheable; /* the cache may be asked: route, method, body and Range allow it */
	bool is_denied;    /* `allow` or `deny` of the route, or of one that an origin may take the path for: 403 */
	const struct config_route
		*limited_by; /* whose client_rate counts: of those that an origin may take the path for; or NULL */
	bool is_ambiguous;   /* an origin may read the path as one of another route: it passes uncached */
	struct buf path;     /* what the origin is asked: base, path and query */
	struct readings readings;
	struct buf origin; /* of the key, where it is not the upstream's own URL */
};

void target_init(struct target *t);
void target_fini(struct target *t);
/* Fills t for this request; body is that of a POST or QUERY, else empty. t borrows the request's bytes and the peer's text
 * until it is cleared. 0, -ENOMEM, -ENOBUFS (the URL is too long) or -EMSGSIZE (its fields are too many). */
int target_resolve(struct target *t, struct snapshot *s, const struct asked *asked, struct slice body) WARN_UNUSED;
/* As far as the cache is asked: all but `path`, which target_complete adds. 0, or as above. */
int target_find(struct target *t, struct snapshot *s, const struct asked *asked, struct slice body) WARN_UNUSED;
int target_complete(struct target *t) WARN_UNUSED;
/* `to`, which is not initialised, becomes `from`, which is as after target_init. */
void target_move(struct target *from, struct target *to);
/* What the cache is asked for it. Nothing else makes a cache_request: the cache sees what the origin would be sent. */
struct cache_request target_cache_request(const struct target *t, unsigned worker);
/* Which credential keeps the response to this request from being stored for others, and which keys would change that:
 * "Cookie sid: see key_cookies or ..."; empty: none does. Never a value. Names that are longer than is reasonable are cut. */
void target_explain_credential(const struct target *t, char *out, size_t size);
/* Why the cache is not asked; POLICY_STORE: it is. */
enum policy_store target_why_not(const struct target *t);
/* Without its snapshot; the storage is for the next request. */
void target_clear(struct target *t);

/* The origin of URLs that are asked with this Host (sent.http.host; empty: the upstream's own), as keys and purges spell
 * it: "scheme://authority/base". */
int target_origin(const struct config_upstream *u, struct slice host, struct buf *out) WARN_UNUSED;
/* Appends "path" or "path?query". 0 or the buffer's error. */
int target_add_path(struct buf *to, struct slice path, bool has_query, struct slice query);

#endif
