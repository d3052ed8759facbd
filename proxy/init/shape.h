/* SPDX-License-Identifier: MIT */
/* Paths as patterns: which parts are someone's identity, and what a route of them is called.
 * Thread: any. Borrows: what it is given. */
#ifndef PROXY_INIT_SHAPE_H
#define PROXY_INIT_SHAPE_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/slice.h"

/* "/users/7/posts" is "/users/{id}/posts": numbers, dates, UUIDs and other long mixtures of letters and digits are {id}, {id2} ...
 * The path is without its query. All three append; out's error. */
int shape_fold(struct slice path, struct buf *out) WARN_UNUSED;
/* A template of a document (RFC 6570, OpenAPI) as a pattern: names that are whole segments keep their names as far as those
 * may be used, others are `*`. */
int shape_template(struct slice text, struct buf *out) WARN_UNUSED;
/* "/users/{id}/posts" is "users-id-posts"; "/" is "root". */
int shape_name(struct slice pattern, struct buf *out) WARN_UNUSED;
/* Which of two patterns has to stand first, so that neither hides the other: below 0 a. */
int shape_compare(struct slice a, struct slice b);

#endif
