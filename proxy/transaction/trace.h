/* SPDX-License-Identifier: MIT */
/* One request's decisions, told in the log as they are made: of all requests with log_level = debug, else of those that bear the secret
 * of debug_header in Memoproxy-Debug. The field is never sent on and is in no key, so a traced request gets what any other gets; it
 * only goes past the fast path, which has nothing to tell.
 * Thread: the transaction's worker. Bounds: some ten lines a request. */
#ifndef PROXY_TRANSACTION_TRACE_H
#define PROXY_TRANSACTION_TRACE_H

#include "cache/cache.h"
#include "http/message.h"
#include "proxy/request/snapshot.h"

struct transaction;

/* The secret is compared in a time that does not tell how much of it was right. */
bool trace_is_wanted(const struct snapshot *s, const struct http_request *client);

#define trace(x, ...) ((x)->is_traced ? trace_line((x), __VA_ARGS__) : (void)0)
void trace_line(struct transaction *x, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What was asked, and by which route, upstream and key; and what the cache said to it. */
void trace_target(struct transaction *x);
void trace_verdict(struct transaction *x, const struct cache_result *found);
/* How what it waited for came out. */
void trace_flight(struct transaction *x, const struct flight_view *view);

#endif
