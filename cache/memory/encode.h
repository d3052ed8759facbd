/* SPDX-License-Identifier: MIT */
/* Bodies in the codings that a route asks for (`compress`), made once, when a response is stored: small ones at once, as far as
 * the worker's time goes, others by threads of their own (encoder.h); until they are there the body serves as it is.
 * Thread: any; what is made does not change. Bounds: ENCODE_MIN to ENCODE_MAX bytes; all of it comes out of the cache's
 * budget. Private to cache/. */
#ifndef CACHE_MEMORY_ENCODE_H
#define CACHE_MEMORY_ENCODE_H

#include "cache/memory/object_internal.h"
#include "http/fields.h"

#define ENCODE_MIN 256
#define ENCODE_AT_ONCE (16 * 1024) /* a millisecond in all codings */
#define ENCODE_MAX (2 * 1024 * 1024)

struct encoder;

/* Is it text of the origin's own coding, which may be changed? */
bool encode_is_meant(const struct cache_rules *rules, int status, const struct http_fields *fields);
/* Then its Vary names Accept-Encoding, for caches beyond us. 0 or negative errno. */
int encode_announce(struct http_fields *fields) WARN_UNUSED;
/* And here it does not separate variants: takes accept-encoding out of the list. */
void encode_drop_name(struct buf *names);

/* Has them made, as far as there is room and they are shorter. The body is whole and in one piece. Before others can see
 * the object. */
void encode_object(
	struct encoder *e, struct object *o, const struct cache_rules *rules, unsigned worker, int64_t now_ms);
/* The same body: the same encodings, also those that are still to be made. */
void encode_share(struct object *to, const struct object *from);

#endif
