/* SPDX-License-Identifier: MIT */
/* The upstream connections of one configuration: a loop for each worker, shared by all snapshots with the same [upstream]
 * sections. A reload that changes them makes new ones; requests in progress end on the old.
 * Thread: origins_new on main; origins_open and origins_loop on the worker; references from any.
 * Owns: its loops. The last reference posts a message to each worker, which frees its own loop.
 * Bounds: max_connections counts old and new together where the upstream's name and URLs are the same, else apart. */
#ifndef PROXY_REQUEST_ORIGINS_H
#define PROXY_REQUEST_ORIGINS_H

#include "base/check.h"
#include "config/config.h"

struct event_base;
struct mailbox;
struct origins;
struct upstream_loop;

/* Who has a loop each. */
struct origins_workers {
	struct mailbox *const *mailboxes; /* NULL: not begun */
	unsigned n;
	const bool *are_ended; /* nobody reads messages any more */
};

/* A reference to `config` is taken; what `workers` points to outlives it. 0 or -ENOMEM. */
int origins_new(const struct origins_workers *workers, struct config *config, struct origins **out) WARN_UNUSED;
struct origins *origins_ref(struct origins *o);
void origins_unref(struct origins **o);
/* Makes the worker's loop, unless there is one. It goes on with the counters of the loop before it, or NULL. 0 or negative errno. */
int origins_open(
	struct origins *o, unsigned worker, struct event_base *base, const struct upstream_loop *before) WARN_UNUSED;
/* After a reload that left the upstreams as they are: the worker's loop, if there is one, looks names up anew. */
void origins_renew(struct origins *o, unsigned worker);
/* Of the upstream with that index, for upstream_health. */
const struct upstream_options *origins_options(const struct origins *o, unsigned upstream);
/* The worker's loop; NULL when it could not be made. */
struct upstream_loop *origins_loop(const struct origins *o, unsigned worker);

#endif
