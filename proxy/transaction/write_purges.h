/* SPDX-License-Identifier: MIT */
/* What a successful unsafe request makes stale (RFC 9111 4.4, and the route's `invalidates`): its own URL, Location and
 * Content-Location on the same origin or the client's Host, and the route's patterns with what the request's path captured.
 * A 3xx may be a success, and it may be how a login is asked for: the patterns don't count then, only its own URL and what
 * the response itself names.
 * Thread: the worker that forwards the request. Owns: a copy of all it needs: the client may leave before the response.
 * Bounds: INVALIDATION_MAX bytes. */
#ifndef PROXY_TRANSACTION_WRITE_PURGES_H
#define PROXY_TRANSACTION_WRITE_PURGES_H

#include "base/check.h"
#include "http/message.h"

struct write_purges;
struct snapshot;
struct target;
struct worker;

int write_purges_new(const struct target *t, struct write_purges **out) WARN_UNUSED;
/* The target URL as the cache spells it; borrowed. */
struct slice write_purges_url(const struct write_purges *i);
void write_purges_free(struct write_purges **i);
/* For a response with this status, below 400. Before the writer sees it, so that it reads its own write. `before` is what
 * cache_sequence has said; returned is what it says after the last of these purges, or `before` when anybody else's came between. */
uint64_t write_purges_apply(const struct write_purges *i, struct worker *w, const struct snapshot *s, int status,
	const struct http_fields *response, uint64_t before);

#endif
