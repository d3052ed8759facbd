/* SPDX-License-Identifier: MIT */
/* What requests go by: one loaded configuration and the connections to its upstreams. A reload publishes another one; requests
 * in progress hold theirs to their end.
 * Thread: immutable but for the averages, and shared by reference count; any thread.
 * Owns: a reference to the configuration and one to the origins. */
#ifndef PROXY_REQUEST_SNAPSHOT_H
#define PROXY_REQUEST_SNAPSHOT_H

#include "config/config.h"

struct origins;

struct snapshot {
	_Atomic unsigned refs;
	struct config *config;
	struct origins *origins;         /* shared with snapshots whose upstreams are the same */
	bool traces;                     /* some requests, or all: see trace.h */
	const struct key_secret *secret; /* of users' identities: the process's, which outlives it */
	_Atomic int64_t fetch_us[];      /* one a route: moving average of how long its fetches take; 0: none yet */
};

/* Takes the caller's references to `config` and `origins`. 0 or -ENOMEM. */
int snapshot_new(struct config *config, struct origins *origins, const struct key_secret *secret,
	struct snapshot **out) WARN_UNUSED;
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot **s);

/* The averages of routes that both have, by name. Before `to` is published. */
void snapshot_inherit(struct snapshot *to, const struct snapshot *from);
/* A fetch for this route took so long. Any thread. */
void snapshot_note_fetch(struct snapshot *s, unsigned route, int64_t us);

#endif
