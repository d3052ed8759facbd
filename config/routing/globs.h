/* SPDX-License-Identifier: MIT */
/* Many patterns as one table, of which one pass over a text finds all that match it. docs/routing.md says how.
 * A pattern belongs to a root, and a search is told in which roots to look: patterns of one host, say.
 *
 * Thread: immutable once built; any thread searches. What a search has to remember lies in a slot that it takes for itself; while
 * all are taken it waits for the search of another thread. That one may wait for a slot of its queries' table, but who has one of
 * those waits for nothing.
 * Owns: nothing; all is the arena's. Borrows: the patterns' symbols.
 * Bounds: a search never allocates. It looks at each symbol of the text once for the table and once for each {name} that may begin
 * there, and at each part of a pattern at most once. Private to config/. */
#ifndef CONFIG_ROUTING_GLOBS_H
#define CONFIG_ROUTING_GLOBS_H

#include "base/slice.h"
#include "base/arena.h"
#include "config/routing/tree.h"

struct globs;

/* A pattern of a route. */
struct glob {
	struct symbols symbols;
	uint32_t root, route;
	struct symbols query; /* what the query must match too, if has_query */
	bool has_query;
};

/* Patterns of queries: those that stand behind the same path have a root for themselves. */
struct glob_queries {
	struct glob *v; /* room for as many as there are patterns of paths */
	uint32_t n, roots_n;
};

/* `queries` gets the queries' patterns, for a table of their own; NULL where there are none. 0 or -ENOMEM. */
int globs_new(struct arena *a, const struct glob *v, uint32_t n, uint32_t roots_n, unsigned slots_n,
	struct glob_queries *queries, struct globs **out) WARN_UNUSED;

/* What searches of paths and queries have found together. */
struct globs_found {
	uint32_t route; /* the least; UINT32_MAX: none */
	uint64_t steps; /* symbols compared, nodes looked for, parts of patterns met */
};

struct globs_search {
	const struct globs *g;
	struct slice text;
	unsigned bits; /* of a symbol, those that count */
	struct globs_found *found;
	struct globs_search *queries; /* NULL: there is no query */
	/* private */
	struct globs_slot *slot;
};

/* Looks for the root's patterns. Those with a run in the middle are found by globs_end, which ends the search. */
void globs_look(struct globs_search *s, uint32_t root);
void globs_end(struct globs_search *s);

#endif
