/* SPDX-License-Identifier: MIT */
/* Cache keys: what must be equal for one stored response to serve another request.
 * Thread: one at a time. Owns: the key's bytes (reused from request to request).
 * Bounds: CACHE_KEY_MAX bytes; a longer key is -ENOBUFS and the request passes uncached.
 *
 * Layout of the bytes (every part is length-prefixed or cannot contain its delimiter, so that no two different requests
 * share them): class byte ('G' GET and HEAD, 'P' POST, 'Q' QUERY, '-' any other method, under which nothing is ever
 * stored), target URI as sent to the origin after the query rule, NUL, the 4 bytes of the rules' `trust`, then the route's extra parts, each a letter and
 * lengths of 4 bytes: 'x' extra; 'o' the Host that the client gave, where that is sent; 's' the client's scheme is https, and
 * alone; 'h' a field of key_headers: name and every line; 'c' a cookie of key_cookies: name and every pair of that name; 'b' or 'j' Content-Type, Content-Encoding and Content-Language, then SHA-256 of the body, or
 * of its canonical JSON; 'u' a keyed hash of the user's identity.
 *
 * Query rules. KEEP leaves the query as it is; SORT orders the parameters by decoded name and keeps the order of those
 * with the same name, which often means something ("sort=a&sort=b"); IGNORE drops the query; ONLY and DROP filter it by
 * name. Where a filter leaves no parameter, the '?' goes too. As the origin is asked with what the rule left, nothing
 * that it sees is outside the key. */
#ifndef CACHE_POLICY_KEY_H
#define CACHE_POLICY_KEY_H

#include <stdint.h>

#include "base/buf.h"
#include "base/hash.h"
#include "cache/policy/rules.h"
#include "http/message.h"

#define CACHE_KEY_MAX 16384

struct key_secret;

struct cache_key_input {
	const struct http_request *http;
	struct slice
		origin; /* "scheme://authority" plus the upstream's base path, as the origin is asked; no final '/' */
	struct slice
		extra; /* further bytes that separate (upstream name when Host comes from the client); may be empty */
	struct slice host;               /* as sent, where it comes from the client; else empty */
	bool is_https;                   /* which the origin is told, and may answer by (a redirect to https) */
	struct slice body;               /* POST and QUERY; empty otherwise */
	const struct key_secret *secret; /* for scope = user; NULL: such a key can't be built */
	bool is_normal_origin;           /* cache_origin_add wrote it: it is taken as it is */
};

struct cache_key {
	struct buf bytes;
	struct hash128 hash;   /* XXH3-128 of all bytes: names it in the lower tier */
	uint64_t place;        /* hash_keyed of all bytes: where memory holds it, in this process */
	size_t url_off, url_n; /* the target URI inside bytes: what purges name, and `key` in listings */
	uint64_t user;         /* hash of the user identity (keyed with the input's secret), 0 when shared */
};

void cache_key_init(struct cache_key *k);
void cache_key_fini(struct cache_key *k);
/* 0, -ENOBUFS, -ENOMEM, or -ENOKEY when scope is user and the request bears no identity (the request then passes), or
 * -EINVAL for an origin or target with a NUL in it, which no parser lets through. After an error the key holds nothing
 * of use. */
int cache_key_build(struct cache_key *k, const struct cache_rules *rules, const struct cache_key_input *in) WARN_UNUSED;
/* Is it that of every GET of its URL, by one of the schemes and with the Host that the URL has, whatever its other fields are? The URL ends
 * at `url_end`. */
bool cache_key_is_of_url(struct slice key, size_t url_end);
/* The URL only, as purge, refresh and explain need it, from an absolute URL or path: same query rule, same bytes.
 * Appends to out. The origin's scheme and host are lower-cased and its scheme's default port is left out. 0, -EINVAL
 * (NUL), -ENOBUFS or -ENOMEM. */
int cache_url_build(struct buf *out, const struct cache_rules *rules, struct slice origin, struct slice path,
	bool has_query, struct slice query) WARN_UNUSED;
/* The `user` of keys whose request bears this identity, for purging by user: the value of the header or cookie that the
 * rules' user_from names. 0, -ENOKEY for an empty identity, -ENOBUFS or -ENOMEM. */
int cache_user_hash(const struct cache_rules *rules, const struct key_secret *secret, struct slice identity,
	uint64_t *user) WARN_UNUSED;
/* The same of a key's input. */
int cache_key_url_build(struct buf *out, const struct cache_rules *rules, const struct cache_key_input *in) WARN_UNUSED;
/* Appends the origin as keys spell it. Returns out's error. */
int cache_origin_add(struct buf *out, struct slice origin);
static inline struct slice cache_key_url(const struct cache_key *k)
{
	return (struct slice){k->bytes.p + k->url_off, k->url_n};
}

#endif
