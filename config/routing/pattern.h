/* SPDX-License-Identifier: MIT */
/* Path patterns of routes, compiled once: `*` is any run of characters, slashes included; `{name}` is one whole path
 * segment, which can be used again in a template. A pattern with `?` is matched against path and query, each part on its
 * own; one without takes every query.
 *
 * Percent-encoding makes no difference: `%70` matches `p`, `%2f` matches `%2F` but not `/` (RFC 3986 6.2.2), so that
 * a path written otherwise can't slip past a route that is meant for it.
 *
 * Thread: immutable once compiled; any thread matches. Owns: a copy of the text.
 * Bounds: PATTERN_MAX bytes, PATTERN_CAPTURES_MAX names; matching costs at most pattern x text, and never allocates. */
#ifndef CONFIG_ROUTING_PATTERN_H
#define CONFIG_ROUTING_PATTERN_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/slice.h"

enum { PATTERN_MAX = 1024, PATTERN_CAPTURES_MAX = 8 };

struct pattern;
struct pattern_template;

/* What {names} stood for, as received (still percent-encoded); slices of the path that was matched. */
struct pattern_captures {
	struct slice v[PATTERN_CAPTURES_MAX];
	unsigned n;
};

/* 0, -ENOMEM, or -EINVAL and *why is a constant sentence without a capital or full stop. */
int pattern_compile(struct slice text, struct pattern **out, const char **why) WARN_UNUSED;
void pattern_free(struct pattern **p);
/* `captures` may be NULL; otherwise it is written whether or not it matches. */
bool pattern_match(const struct pattern *p, struct slice path, bool has_query, struct slice query,
	struct pattern_captures *captures);
/* Has `a` whatever `b` has? NULL is every path with every query. True is proved; false may be that it is not seen. */
bool pattern_covers(const struct pattern *a, const struct pattern *b);
/* A path to be made from captures: "/users/{id}", "/users/{id}/posts*". A `*` only at its end: then it stands for every
 * path (and query) that begins so. `{names}` must be ones of `match`, which may be NULL when there are none. */
int pattern_template_compile(
	struct slice text, const struct pattern *match, struct pattern_template **out, const char **why) WARN_UNUSED;
void pattern_template_free(struct pattern_template **t);
/* Appends the path, without the final `*`; out's error. */
int pattern_expand(
	const struct pattern_template *t, const struct pattern_captures *captures, struct buf *out) WARN_UNUSED;
bool pattern_template_is_prefix(const struct pattern_template *t); /* it ends in `*` */

#endif
