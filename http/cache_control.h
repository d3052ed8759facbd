/* SPDX-License-Identifier: MIT */
/* Cache-Control, and fields of its kind, as flags and seconds (RFC 9111 5.2, 5861, 8246; as a structured field RFC 9213).
 * Thread: any. Borrows: field names in no-cache="..." and private="..." point into the lines.
 * Bounds: CC_FIELDS_MAX names of each; more make the directive apply to the whole response. */
#ifndef HTTP_CACHE_CONTROL_H
#define HTTP_CACHE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/slice.h"
#include "http/fields.h"

#define CC_ABSENT (-1)
/* What a larger delta-seconds is read as (RFC 9111 1.2.2), and max-stale without a value: any staleness will do. */
#define CC_DELTA_MAX (1LL << 31)
#define CC_FIELDS_MAX 16

struct cc_fields {
	unsigned n;
	struct slice v[CC_FIELDS_MAX];
	bool is_unqualified; /* private: the directive also came without names */
};

/* A value that can't be read, or directives that disagree, are read so that less is served from the cache. */
struct cache_control {
	bool no_store;
	bool no_cache; /* in any form; with no_cache_fields.n > 0 it is about those response fields only (5.2.2.4) */
	bool private_; /* likewise (5.2.2.7) */
	bool public_;
	bool must_revalidate;
	bool proxy_revalidate;
	bool must_understand;
	bool immutable;
	bool no_transform;
	bool only_if_cached;
	/* Seconds or CC_ABSENT. Not plain digits (negative, signed, fractional, none, spaces around '='): 0, which is stale
	 * (4.2.1). Twice with two values: the smaller. */
	int64_t max_age;
	int64_t s_maxage;
	int64_t stale_while_revalidate;
	int64_t stale_if_error;
	int64_t max_stale; /* of a request; one that can't be read is absent */
	int64_t min_fresh; /* of a request; one that can't be read is CC_DELTA_MAX; of two the larger */
	struct cc_fields no_cache_fields, private_fields;
};

/* All absent. */
extern const struct cache_control cache_control_none;
/* Adds one line's directives. Names in any case; values as tokens or quoted strings, whichever the directive asks for
 * (5.2); unknown directives are skipped. What comes after a quoted string that does not end can only make cc stricter. */
void cache_control_add(struct cache_control *cc, struct slice line);
/* Init, then all lines of that field. False when there is none. */
bool cache_control_of(struct cache_control *cc, const struct http_fields *f);

/* A targeted field such as CDN-Cache-Control, its lines joined (RFC 9213 2.1): a dictionary. Init first, as above. False,
 * and cc all absent, when it is empty or does not parse: then the field counts as absent. Of a repeated directive the last
 * counts; a delta that is not an integer of at least 0 is 0. */
bool cache_control_of_targeted(struct cache_control *cc, struct slice joined);

#endif
