/* SPDX-License-Identifier: MIT */
/* A radix tree over strings of symbols: nodes in one array, the children of a node side by side and sorted. A node behind a
 * {segment} hangs apart from the others. Several trees, each with a root, share the array.
 * Thread: immutable once built. Owns: nothing; its arrays are the arena's, labels point into the keys.
 * Bounds: at most two nodes and one a {segment} for each key; one a symbol where it is built by symbol. Private to config/. */
#ifndef CONFIG_ROUTING_TREE_H
#define CONFIG_ROUTING_TREE_H

#include "base/arena.h"
#include "config/routing/symbols.h"

#define TREE_NONE UINT32_MAX

struct tree_key {
	struct symbols symbols;
	uint32_t root;
};

struct tree_node {
	const uint16_t *label; /* what must stand in the text, after a child's first symbol was looked for */
	uint32_t children;     /* the first */
	uint32_t segment;      /* TREE_NONE: none */
	uint32_t keys, keys_n; /* those that end here: a range of what it was built from */
	uint32_t least;        /* for whoever built it */
	uint16_t label_n, children_n;
	uint16_t first; /* label[0] of a child */
};

struct tree {
	struct tree_node *nodes;
	uint32_t nodes_n;
	uint32_t *roots; /* nodes; TREE_NONE: no key has this root */
};

/* The keys are sorted by root, then by symbols. By symbol: labels of children have one symbol, others none. 0 or -ENOMEM. */
int tree_build(struct tree *t, struct arena *a, const struct tree_key *keys, uint32_t keys_n, uint32_t roots_n,
	bool by_symbol) WARN_UNUSED;

/* The child whose label begins with the symbol, or TREE_NONE. */
static inline uint32_t tree_child(const struct tree *t, const struct tree_node *node, unsigned symbol)
{
	uint32_t from = node->children, to = from + node->children_n;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (t->nodes[middle].first == symbol)
			return middle;
		if (t->nodes[middle].first < symbol)
			from = middle + 1;
		else
			to = middle;
	}
	return TREE_NONE;
}

#endif
