/* SPDX-License-Identifier: MIT */
/* The table: how globs.c builds it and globs_search.c reads it.
 *
 * A pattern is cut at its runs, "a*b*c" into the chunks a, b and c. First chunks stand at the beginning of a text: they are in one
 * tree, `first`, a root for each root. What follows a run may stand anywhere behind it: all such chunks are in a second tree,
 * `later`, by symbol, with the failure links of Aho and Corasick (1975), by which one pass finds every chunk wherever it stands.
 * A stop is where a chunk ends: which chunk came before it, and what is known of the text then. */
#ifndef CONFIG_ROUTING_GLOBS_TABLE_H
#define CONFIG_ROUTING_GLOBS_TABLE_H

#include <stdatomic.h>

#include "config/routing/globs.h"

#define GLOBS_NONE UINT32_MAX

/* What it means that a pattern has matched. */
struct glob_end {
	uint32_t route; /* the least one without a pattern for the query; GLOBS_NONE: none */
	uint32_t query; /* root of the patterns of queries that count then; GLOBS_NONE: none */
};

struct glob_stop {
	uint32_t from;        /* the run before the chunk; GLOBS_NONE in `first` */
	uint32_t run;         /* the run behind it, if more chunks follow; GLOBS_NONE: none do */
	uint32_t least;       /* of the routes that can come of it */
	struct glob_end ends; /* if the text ends here */
	struct glob_end open; /* whatever follows */
};

/* Of a node of `later`. */
struct glob_link {
	uint32_t fail;      /* the node of the longest end of what leads here that begins a chunk */
	uint32_t next_met;  /* along those, the first at which something begins: a run, a {segment}; 0: none */
	uint32_t next_ends; /* the first at which a pattern may end */
	uint16_t depth;     /* symbols */
	bool is_met, is_end;
};

/* Numbers below a bound with a value each, in the order in which they came. Emptied by n = 0. */
struct mark {
	uint32_t id, value;
};
struct marks {
	uint32_t *places; /* of an id in v, if it is there */
	struct mark *v;
	uint32_t n;
};

/* A chunk with a {segment}, on the way. */
struct glob_thread {
	uint32_t node, start;
};

struct globs_slot {
	atomic_bool is_taken;
	struct mark
		*starts; /* runs behind first chunks, and where they begin; sorted by that once they are all there */
	uint32_t starts_n;
	bool is_passing;    /* all starts are there */
	struct marks runs;  /* those that have begun, and where, in this order */
	struct marks seen;  /* by the first stop of a node: how many of the runs were there when it was last met */
	struct marks armed; /* nodes behind a {segment} that the current one may be, and where their chunk begins */
	struct glob_thread *threads;
	uint32_t threads_n;
};

struct globs {
	struct tree first, later;
	struct glob_stop *first_stops, *later_stops; /* in the order of the trees' keys */
	struct glob_link *links;
	struct globs_slot *slots;
	unsigned slots_n;
	uint32_t runs_n;
};

#endif
