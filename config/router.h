/* SPDX-License-Identifier: MIT */
/* All routes as one table: hosts, paths and queries. docs/routing.md says how it is made and what it costs.
 * Thread: immutable once built; any thread looks. Owns: nothing; all is the arena's. Borrows: the routes' patterns and hosts.
 * Bounds: a look never allocates; see globs.h. Private to config/, but for tests, which ask what a look has cost. */
#ifndef CONFIG_ROUTER_H
#define CONFIG_ROUTER_H

#include "base/arena.h"
#include "config/config.h"

struct router;

struct router_asked {
	struct slice host, path, query; /* a Host value, port included or not */
	bool has_query;
	bool is_decoded; /* as a server sees the path that decodes it before it looks for a handler: `%40` is then `@`, and `%2f`
	                    is `/` (but bounds no {segment}) */
};

struct router_found {
	uint32_t route; /* the first in the file whose host and match fit; the last of all, if none does */
	uint64_t steps;
};

/* Of all routes but the last, which takes what they leave. 0 or -ENOMEM. */
int router_new(struct arena *a, const struct config_route *routes, unsigned routes_n, unsigned workers,
	struct router **out) WARN_UNUSED;
struct router_found router_look(const struct router *r, const struct router_asked *asked);

#endif
