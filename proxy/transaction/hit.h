/* SPDX-License-Identifier: MIT */
/* A transaction's first attempt: a GET or HEAD is resolved and looked up where its head was read. What a fresh object in memory
 * answers is answered at once, without a transaction; what was found out about any other request goes on with its transaction.
 * Thread: the worker. */
#ifndef PROXY_TRANSACTION_HIT_H
#define PROXY_TRANSACTION_HIT_H

#include <stdbool.h>

#include "base/clock.h"
#include "cache/cache.h"
#include "proxy/request/sent.h"

struct target;
struct transport;
struct worker;

/* gate_options.answer; arg is the worker. */
bool hit_answer(void *arg, struct transport *t, struct now now);

/* A request counts against its client's client_rate, once, before anything is looked up; t->is_limited: it is to be answered 429. */
void hit_charge(struct worker *w, const struct target *target, struct transport *t, struct now now);

/* What is left of an attempt that was no response. */
struct hit_attempt {
	struct transport *transport; /* NULL: there is none */
	struct now now;
	bool has_looked; /* `found` is the verdict; what it says is to be led has not been led yet */
	struct cache_result found;
};
/* If the last attempt was for this transport's request: its target, as target_find leaves it, goes to `to`, which is initialised,
 * and the rest to `out`. */
bool hit_take(struct worker *w, const struct transport *t, struct target *to, struct hit_attempt *out);
/* Nobody took it: its flight is for others to lead. Harmless where there is none. */
void hit_drop(struct hit_attempt *a);
/* What a target is found by, for a client's request, and what the cache is asked for it. */
struct asked hit_asked(const struct transport *t);
struct cache_request hit_request(const struct worker *w, const struct target *t);

#endif
