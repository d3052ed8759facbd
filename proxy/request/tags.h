/* SPDX-License-Identifier: MIT */
/* Entity tags as clients are given them, and as the origin made them (RFC 9110 8.8.3).
 * On routes that compress, each coding of a stored body has a tag of its own: "x" becomes "x-gzip". A tag of the origin's that
 * looks like one of these is shown as "x-gzip-identity", so that what a client says can always be turned back without
 * knowing what is stored. On routes with etag = auto, bodies without a tag get one that the origin does not know.
 * Thread: any. Borrows: what it is given. */
#ifndef PROXY_REQUEST_TAGS_H
#define PROXY_REQUEST_TAGS_H

#include "base/buf.h"
#include "cache/memory/object.h"
#include "cache/policy/rules.h"
#include "http/message.h"

/* Does it end as one that was made for a coding? */
bool tags_looks_coded(struct slice tag);
/* The tag for a body in that coding, in `text` if it is not the origin's own: valid until that changes. */
struct slice tags_for_client(struct buf *text, struct slice tag, enum cache_coding coding);
/* Appends the origin's own tag. */
int tags_add_own(struct buf *out, struct slice tag) WARN_UNUSED;
/* Is it made by tags_for_client for a body that is coded here? */
bool tags_is_coded(struct slice tag);

/* A condition that hangs on a tag made by etag = auto alone, which nobody can judge at the moment of a write: the origin
 * does not know it, and what is fetched to compare may have changed before the write is there. */
bool tags_cannot_be_judged(const struct http_request *request, const struct cache_rules *rules);
bool tags_is_made(struct slice tag, const struct cache_rules *rules);
/* Is it If-Match, If-None-Match or If-Range? */
bool tags_are_in(enum http_field_id id);
/* Appends the value of one of these with its tags turned back into the origin's own; those that it does not know are left out
 * of If-Match. */
int tags_add_condition(struct buf *out, const struct http_field *f, const struct cache_rules *rules) WARN_UNUSED;

#endif
