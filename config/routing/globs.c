/* SPDX-License-Identifier: MIT */
/* Builds the table. */
#include "config/routing/globs.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"
#include "config/routing/globs_table.h"

/* A chunk behind another, while the table is built. */
struct piece {
	struct tree_key key; /* the root of a first one; 0 of others */
	struct glob_stop stop;
};

struct builder {
	struct arena *arena;
	struct globs *g;
	struct glob_queries *queries;
	struct piece *pieces;
	uint32_t n, capacity;
	uint32_t *table; /* of pieces by what they are; a power of two, half of it empty at least */
	uint32_t table_n;
};

/* ---- Pieces ---- */

static uint64_t hash_of(const struct tree_key *key, uint32_t from)
{
	uint64_t parts[2] = {
		hash64_of(key->symbols.v, key->symbols.n * sizeof(uint16_t)), (uint64_t)from << 32 | key->root};

	return hash64_of(parts, sizeof(parts));
}

static bool is_same(const struct piece *p, const struct tree_key *key, uint32_t from)
{
	return p->stop.from == from && p->key.root == key->root && p->key.symbols.n == key->symbols.n &&
	       memcmp(p->key.symbols.v, key->symbols.v, key->symbols.n * sizeof(uint16_t)) == 0;
}

/* Where the piece is in the table, or belongs. */
static uint32_t *place_of(const struct builder *b, const struct tree_key *key, uint32_t from)
{
	uint32_t i = (uint32_t)hash_of(key, from) & (b->table_n - 1);

	while (b->table[i] != GLOBS_NONE && !is_same(&b->pieces[b->table[i]], key, from))
		i = (i + 1) & (b->table_n - 1);
	return &b->table[i];
}

static int grow(struct builder *b)
{
	uint32_t capacity = b->capacity ? 2 * b->capacity : 64;
	struct piece *pieces = mem_realloc(b->pieces, capacity * sizeof(*pieces));
	uint32_t *table;

	if (!pieces)
		return -ENOMEM;
	b->pieces = pieces;
	table = mem_realloc(b->table, 2 * capacity * sizeof(*table));
	if (!table)
		return -ENOMEM;
	b->table = table;
	b->table_n = 2 * capacity;
	b->capacity = capacity;
	memset(table, 0xff, b->table_n * sizeof(*table));
	for (uint32_t i = 0; i < b->n; i++)
		*place_of(b, &pieces[i].key, pieces[i].stop.from) = i;
	return 0;
}

/* The piece with this key behind that run, which is made if need be. */
static int find_piece(struct builder *b, struct tree_key key, uint32_t from, uint32_t *out)
{
	static const struct glob_end nothing = {GLOBS_NONE, GLOBS_NONE};
	int err = b->n == b->capacity ? grow(b) : 0;
	uint32_t *place;

	if (err)
		return err;
	place = place_of(b, &key, from);
	if (*place == GLOBS_NONE) {
		b->pieces[b->n] = (struct piece){key, {from, GLOBS_NONE, UINT32_MAX, nothing, nothing}};
		*place = b->n++;
	}
	*out = *place;
	return 0;
}

static void add_query(struct glob_queries *to, struct glob_end *end, const struct glob *glob)
{
	if (end->query == GLOBS_NONE)
		end->query = to->roots_n++;
	to->v[to->n++] = (struct glob){.symbols = glob->query, .root = end->query, .route = glob->route};
}

static void add_end(struct builder *b, struct glob_end *end, const struct glob *glob)
{
	if (glob->has_query)
		add_query(b->queries, end, glob);
	else if (glob->route < end->route)
		end->route = glob->route;
}

static struct symbols take_chunk(struct symbols *rest)
{
	struct symbols chunk = {rest->v, 0};

	while (chunk.n < rest->n && chunk.v[chunk.n] != SYMBOL_RUN)
		chunk.n++;
	rest->v += chunk.n;
	rest->n -= chunk.n;
	return chunk;
}

static int add_glob(struct builder *b, const struct glob *glob)
{
	struct symbols rest = glob->symbols;
	struct tree_key key = {take_chunk(&rest), glob->root};
	uint32_t from = GLOBS_NONE, i;

	for (;;) {
		struct glob_stop *stop;
		int err = find_piece(b, key, from, &i);

		if (err)
			return err;
		stop = &b->pieces[i].stop;
		stop->least = glob->route < stop->least ? glob->route : stop->least;
		if (rest.n < 2) { /* nothing follows, or a run and no more */
			add_end(b, rest.n ? &stop->open : &stop->ends, glob);
			return 0;
		}
		if (stop->run == GLOBS_NONE)
			stop->run = b->g->runs_n++;
		from = stop->run;
		rest.v++;
		rest.n--;
		key = (struct tree_key){take_chunk(&rest), 0};
	}
}

/* ---- Trees ---- */

/* First chunks before later ones; then as trees want their keys; equal ones by the run before them. */
static int by_key(const void *one, const void *two)
{
	const struct piece *a = one, *b = two;
	bool a_is_later = a->stop.from != GLOBS_NONE, b_is_later = b->stop.from != GLOBS_NONE;
	int order;

	if (a_is_later != b_is_later)
		return a_is_later ? 1 : -1;
	if (a->key.root != b->key.root)
		return a->key.root < b->key.root ? -1 : 1;
	order = symbols_compare(a->key.symbols, b->key.symbols);
	if (order)
		return order;
	return a->stop.from < b->stop.from ? -1 : a->stop.from > b->stop.from;
}

static int make_tree(struct builder *b, const struct piece *pieces, uint32_t n, uint32_t roots_n, bool by_symbol,
	struct tree *tree, struct glob_stop **stops)
{
	struct tree_key *keys = mem_alloc(n * sizeof(*keys) + 1);
	int err;

	*stops = arena_alloc(b->arena, n * sizeof(**stops));
	if (!keys || !*stops) {
		mem_free(keys);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < n; i++) {
		keys[i] = pieces[i].key;
		(*stops)[i] = pieces[i].stop;
	}
	err = tree_build(tree, b->arena, keys, n, roots_n, by_symbol);
	mem_free(keys);
	return err;
}

static int make_trees(struct builder *b, uint32_t roots_n)
{
	struct globs *g = b->g;
	uint32_t first_n = 0;
	int err;

	if (b->n)
		qsort(b->pieces, b->n, sizeof(*b->pieces), by_key);
	while (first_n < b->n && b->pieces[first_n].stop.from == GLOBS_NONE)
		first_n++;
	err = make_tree(b, b->pieces, first_n, roots_n, false, &g->first, &g->first_stops);
	if (err || first_n == b->n)
		return err;
	return make_tree(b, b->pieces + first_n, b->n - first_n, 1, true, &g->later, &g->later_stops);
}

static void lower(uint32_t *least, uint32_t to)
{
	if (to < *least)
		*least = to;
}

/* Children stand behind their parents. */
static void find_least(struct tree *t, const struct glob_stop *stops)
{
	for (uint32_t i = t->nodes_n; i-- > 0;) {
		struct tree_node *node = &t->nodes[i];

		for (uint32_t k = 0; k < node->keys_n; k++)
			lower(&node->least, stops[node->keys + k].least);
		for (uint32_t k = 0; k < node->children_n; k++)
			lower(&node->least, t->nodes[node->children + k].least);
		if (node->segment != TREE_NONE)
			lower(&node->least, t->nodes[node->segment].least);
	}
}

/* ---- Failure links ---- */

static void note_stops(const struct globs *g, const struct tree_node *node, struct glob_link *link)
{
	link->is_met = node->segment != TREE_NONE;
	for (uint32_t i = 0; i < node->keys_n; i++) {
		const struct glob_stop *stop = &g->later_stops[node->keys + i];

		link->is_met |=
			stop->run != GLOBS_NONE || stop->open.route != GLOBS_NONE || stop->open.query != GLOBS_NONE;
		link->is_end |= stop->ends.route != GLOBS_NONE || stop->ends.query != GLOBS_NONE;
	}
}

static uint32_t fail_of(const struct globs *g, uint32_t parent, unsigned symbol)
{
	uint32_t at = parent, to = TREE_NONE;

	while (at && to == TREE_NONE) {
		at = g->links[at].fail;
		to = tree_child(&g->later, &g->later.nodes[at], symbol);
	}
	return to == TREE_NONE ? 0 : to;
}

static void link_child(struct globs *g, uint32_t parent, uint32_t child)
{
	struct glob_link *link = &g->links[child];

	link->depth = (uint16_t)(g->links[parent].depth + 1);
	link->fail = fail_of(g, parent, g->later.nodes[child].first);
	link->next_met = g->links[link->fail].is_met ? link->fail : g->links[link->fail].next_met;
	link->next_ends = g->links[link->fail].is_end ? link->fail : g->links[link->fail].next_ends;
}

/* Only as far as the first {segment} of a chunk: what follows is looked for where that ends. Breadth first, as nodes are numbered. */
static int make_links(struct builder *b)
{
	struct globs *g = b->g;
	const struct tree *t = &g->later;

	g->links = arena_alloc(b->arena, t->nodes_n * sizeof(*g->links));
	if (!g->links)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->nodes_n; i++)
		note_stops(g, &t->nodes[i], &g->links[i]);
	for (uint32_t i = 0; i < t->nodes_n; i++) {
		if (i > 0 && g->links[i].depth == 0)
			continue;
		for (uint32_t k = 0; k < t->nodes[i].children_n; k++)
			link_child(g, i, t->nodes[i].children + k);
	}
	return 0;
}

/* ---- Slots ---- */

static int make_marks(struct builder *b, struct marks *m, uint32_t n)
{
	m->places = arena_alloc(b->arena, n * sizeof(*m->places));
	m->v = arena_alloc(b->arena, n * sizeof(*m->v));
	return m->places && m->v ? 0 : -ENOMEM;
}

static bool has_segments(const struct tree *t)
{
	for (uint32_t i = 0; i < t->nodes_n; i++)
		if (t->nodes[i].segment != TREE_NONE)
			return true;
	return false;
}

static int make_slots(struct builder *b, unsigned n)
{
	struct globs *g = b->g;
	uint32_t threads_n = has_segments(&g->later) ? g->later.nodes_n : 0;
	int err = 0;

	g->slots = arena_alloc(b->arena, n * sizeof(*g->slots));
	if (!g->slots)
		return -ENOMEM;
	g->slots_n = n;
	for (unsigned i = 0; i < n && !err; i++) {
		struct globs_slot *slot = &g->slots[i];

		atomic_init(&slot->is_taken, false);
		err = make_marks(b, &slot->runs, g->runs_n);
		if (!err)
			err = make_marks(b, &slot->seen, b->n);
		if (!err)
			err = make_marks(b, &slot->armed, threads_n);
		slot->threads = arena_alloc(b->arena, threads_n * sizeof(*slot->threads));
		slot->starts = arena_alloc(b->arena, g->runs_n * sizeof(*slot->starts));
		if (!slot->threads || !slot->starts)
			err = -ENOMEM;
	}
	return err;
}

static int build(struct builder *b, const struct glob *v, uint32_t n, uint32_t roots_n, unsigned slots_n)
{
	int err = 0;

	for (uint32_t i = 0; i < n && !err; i++)
		err = add_glob(b, &v[i]);
	if (!err)
		err = make_trees(b, roots_n);
	if (err)
		return err;
	find_least(&b->g->first, b->g->first_stops);
	if (b->g->runs_n == 0)
		return 0;
	find_least(&b->g->later, b->g->later_stops);
	err = make_links(b);
	return err ? err : make_slots(b, slots_n);
}

int globs_new(struct arena *a, const struct glob *v, uint32_t n, uint32_t roots_n, unsigned slots_n,
	struct glob_queries *queries, struct globs **out)
{
	struct builder b = {.arena = a, .queries = queries};
	int err;

	*out = b.g = arena_alloc(a, sizeof(*b.g));
	if (!b.g)
		return -ENOMEM;
	err = build(&b, v, n, roots_n, slots_n);
	mem_free(b.pieces);
	mem_free(b.table);
	return err;
}
