/* SPDX-License-Identifier: MIT */
/* What a request brings of its own: all that its origin sees of it beyond the key. An error may be the request's doing and
 * not the URL's, so it says something about those that look the same to the origin, and little about others.
 * Thread: any; pure. */
#ifndef CACHE_POLICY_FORM_H
#define CACHE_POLICY_FORM_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/policy/rules.h"
#include "http/fields.h"

/* It has nothing of its own: what becomes of it is the URL's doing. */
#define FORM_PLAIN 0

/* A hash of all fields but those that tell requests apart without changing what they are answered (hop-by-hop, conditions,
 * ranges, the last member of X-Forwarded-For, Via and CDN-Loop, which is the proxy's own word). Of ids for tracing only counts
 * that there are any, as long as they look as ids do: a client that makes them up is like others that have them, and like nobody else. The target is not in it: the origin is asked for it as it is in the key.
 * Of cookies that the route calls shared only counts that there are any, as long as they look as such cookies do: each browser has
 * an _ga of its own. What is long or has bytes that a filter may stumble over counts in full. */
uint64_t form_of(const struct cache_rules *rules, const struct http_fields *request);
/* Has it conditions or a range? */
bool form_has_own(const struct http_fields *request);
/* The same of a request that goes to the origin with these. */
uint64_t form_of_passed(const struct cache_rules *rules, const struct http_fields *request);

#endif
