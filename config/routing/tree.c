/* SPDX-License-Identifier: MIT */
#include "config/routing/tree.h"

#include <errno.h>

#include "base/mem.h"

/* The keys of a node's subtree, of which `depth` symbols lead to it. */
struct span {
	uint32_t from, to;
	unsigned depth;
	bool is_child; /* its first symbol is known to stand in all of them */
};

struct maker {
	const struct tree_key *keys;
	bool by_symbol;
	struct tree_node *nodes;
	struct span *spans; /* one a node */
	uint32_t n, capacity;
};

static int grow(struct maker *m)
{
	uint32_t capacity = m->capacity ? 2 * m->capacity : 64;
	struct tree_node *nodes = mem_realloc(m->nodes, capacity * sizeof(*nodes));
	struct span *spans;

	if (!nodes)
		return -ENOMEM;
	m->nodes = nodes;
	spans = mem_realloc(m->spans, capacity * sizeof(*spans));
	if (!spans)
		return -ENOMEM;
	m->spans = spans;
	m->capacity = capacity;
	return 0;
}

static int add_node(struct maker *m, struct span span)
{
	int err = m->n == m->capacity ? grow(m) : 0;

	if (err)
		return err;
	m->spans[m->n] = span;
	m->nodes[m->n++] = (struct tree_node){.segment = TREE_NONE, .least = UINT32_MAX};
	return 0;
}

/* How many symbols all keys of the span share from its depth on. The first and the last differ the most. */
static unsigned shared_n(const struct maker *m, struct span s)
{
	struct symbols a = m->keys[s.from].symbols, b = m->keys[s.to - 1].symbols;
	unsigned n = s.depth + s.is_child;

	while (!m->by_symbol && n < a.n && n < b.n && a.v[n] == b.v[n] && a.v[n] != SYMBOL_SEGMENT)
		n++;
	return n - s.depth;
}

/* What begins with the same symbol is a child. {segment} is the greatest symbol, so that its node is added last. */
static int add_children(struct maker *m, uint32_t node, struct span rest)
{
	int err = 0;

	m->nodes[node].children = m->n;
	while (rest.from < rest.to && !err) {
		struct span child = rest;
		uint16_t symbol = m->keys[rest.from].symbols.v[rest.depth];
		bool is_segment = symbol == SYMBOL_SEGMENT;

		while (rest.from < rest.to && m->keys[rest.from].symbols.v[rest.depth] == symbol)
			rest.from++;
		child.to = rest.from;
		child.depth += is_segment;
		child.is_child = !is_segment;
		if (is_segment)
			m->nodes[node].segment = m->n;
		else
			m->nodes[node].children_n++;
		err = add_node(m, child);
		if (!err && !is_segment)
			m->nodes[m->n - 1].first = symbol;
	}
	return err;
}

static int fill_node(struct maker *m, uint32_t i)
{
	struct span s = m->spans[i];
	struct tree_node *node = &m->nodes[i];

	node->label = m->keys[s.from].symbols.v + s.depth;
	node->label_n = (uint16_t)shared_n(m, s);
	node->keys = s.from;
	s.depth += node->label_n;
	while (s.from < s.to && m->keys[s.from].symbols.n == s.depth)
		s.from++;
	node->keys_n = s.from - node->keys;
	return add_children(m, i, s);
}

/* One root for all keys that have it. */
static int add_roots(struct maker *m, struct tree *t, uint32_t keys_n)
{
	int err = 0;

	for (uint32_t from = 0, to = 0; from < keys_n && !err; from = to) {
		while (to < keys_n && m->keys[to].root == m->keys[from].root)
			to++;
		t->roots[m->keys[from].root] = m->n;
		err = add_node(m, (struct span){from, to, 0, false});
	}
	return err;
}

static int keep_nodes(struct tree *t, struct arena *a, const struct maker *m)
{
	t->nodes = arena_alloc(a, m->n * sizeof(*t->nodes));
	if (!t->nodes)
		return -ENOMEM;
	if (m->n)
		memcpy(t->nodes, m->nodes, m->n * sizeof(*t->nodes));
	t->nodes_n = m->n;
	return 0;
}

int tree_build(
	struct tree *t, struct arena *a, const struct tree_key *keys, uint32_t keys_n, uint32_t roots_n, bool by_symbol)
{
	struct maker m = {.keys = keys, .by_symbol = by_symbol};
	int err;

	t->roots = arena_alloc(a, roots_n * sizeof(*t->roots));
	if (!t->roots)
		return -ENOMEM;
	memset(t->roots, 0xff, roots_n * sizeof(*t->roots));
	err = add_roots(&m, t, keys_n);
	for (uint32_t i = 0; i < m.n && !err; i++)
		err = fill_node(&m, i);
	if (!err)
		err = keep_nodes(t, a, &m);
	mem_free(m.nodes);
	mem_free(m.spans);
	return err;
}
