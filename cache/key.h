/* Cache keys: what must be equal for one stored answer to serve another request.
 * Thread: one at a time. Owns: the key's bytes (reused from request to request).
 * Bounds: CACHE_KEY_MAX bytes; a longer key is -ENOBUFS and the request passes uncached.
 *
 * Layout of the bytes (every part is length-prefixed or cannot contain its delimiter, so that no two different requests
 * share them): class byte ('G' GET and HEAD, 'P' POST, 'Q' QUERY), target URI as sent to the origin after the query
 * rule, NUL, then the route's extra parts. */
#ifndef CACHE_KEY_H
#define CACHE_KEY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "cache/rules.h"
#include "http/message.h"

#define CACHE_KEY_MAX 16384

struct cache_key_input {
	const struct http_request *http;
	struct slice origin; /* "scheme://authority" plus the upstream's base path, as the origin is asked; no final '/' */
	struct slice extra;  /* further bytes that separate (upstream name when Host comes from the client); may be empty */
	struct slice body;   /* POST and QUERY; empty otherwise */
};

struct cache_key {
	struct buf bytes;
	struct hash128 hash;      /* XXH3-128 of all bytes */
	size_t url_off, url_n;    /* the target URI inside bytes: the input of invalidation scopes and of `key` in listings */
	uint64_t user;            /* hash of the user identity (keyed with a per-process secret), 0 when shared */
};

void cache_key_init(struct cache_key *k);
void cache_key_fini(struct cache_key *k);
/* 0, -ENOBUFS, -ENOMEM, or -ENOKEY when scope is user and the request bears no identity (the request then passes). */
int cache_key_build(struct cache_key *k, const struct cache_rules *rules, const struct cache_key_input *in) WARN_UNUSED;
/* The URL only, as purge, refresh and explain need it, from an absolute URL or path: same query rule, same bytes. */
int cache_url_build(struct buf *out, const struct cache_rules *rules, struct slice origin, struct slice path,
                    bool has_query, struct slice query) WARN_UNUSED;
static inline struct slice cache_key_url(const struct cache_key *k)
{
	return (struct slice){k->bytes.p + k->url_off, k->url_n};
}

#endif
