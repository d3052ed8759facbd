/* SPDX-License-Identifier: MIT */
/* Entity tags and the condition made of them that a cache answers (RFC 9110 8.8.3, 13.1.2).
 * Thread: any. Borrows: what it is given. */
#ifndef HTTP_ETAG_H
#define HTTP_ETAG_H

#include <stdbool.h>

#include "base/slice.h"
#include "http/fields.h"

/* [W/] "opaque": 'W' in upper case only, any visible ASCII but '"' and any byte above 0x7F between the quotes. */
bool etag_is_valid(struct slice tag);
bool etag_is_strong(struct slice tag); /* valid and not weak */

/* RFC 9110 8.8.3.2. Tags that lack their quotes are sent in the field by some origins: two such are weakly equal if they
 * are the same bytes, and never strongly. */
bool etag_weak_equal(struct slice a, struct slice b);
bool etag_strong_equal(struct slice a, struct slice b);

enum etag_condition {
	ETAG_NO_CONDITION, /* the field is not there */
	ETAG_MATCHES,
	ETAG_MATCHES_NOT,
};

/* Compares the lists on all lines with a representation's tag (empty: it has none, only `*` matches it). A single `*`
 * matches as well. Compares weakly
 * (MATCHES: answer 304 to GET and HEAD, else 412). */
enum etag_condition etag_if_none_match(const struct http_fields *f, struct slice tag);

/* The next member of a list of tags; no backslash escapes in there, unlike in other lists. Start with *rest = value. */
bool etag_list_next(struct slice *rest, struct slice *tag);

#endif
