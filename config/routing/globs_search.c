/* SPDX-License-Identifier: MIT */
/* Searches the table. */
#include <sched.h>

#include "base/check.h"
#include "config/routing/globs_table.h"
#include "config/routing/pattern.h"

/* ---- Marks ---- */

static bool marks_have(const struct marks *m, uint32_t id)
{
	return m->places[id] < m->n && m->v[m->places[id]].id == id;
}

static void marks_put(struct marks *m, uint32_t id, uint32_t value)
{
	if (!marks_have(m, id)) {
		m->places[id] = m->n;
		m->v[m->n++].id = id;
	}
	m->v[m->places[id]].value = value;
}

/* How many of those that are sorted by it have a value of at most `value`. */
static uint32_t marks_up_to(const struct marks *m, uint32_t value)
{
	uint32_t from = 0, to = m->n;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (m->v[middle].value <= value)
			from = middle + 1;
		else
			to = middle;
	}
	return from;
}

static void sink(struct mark *v, uint32_t n, uint32_t i)
{
	for (uint32_t child; (child = 2 * i + 1) < n; i = child) {
		struct mark moved = v[i];

		if (child + 1 < n && v[child + 1].value > v[child].value)
			child++;
		if (v[child].value <= moved.value)
			return;
		v[i] = v[child];
		v[child] = moved;
	}
}

/* By their values, in a heap: qsort() may allocate. */
static void sort(struct mark *v, uint32_t n)
{
	for (uint32_t i = n / 2; i-- > 0;)
		sink(v, n, i);
	while (n-- > 1) {
		struct mark last = v[n];

		v[n] = v[0];
		v[0] = last;
		sink(v, n, 0);
	}
}

/* ---- Slots ---- */

/* Threads begin at slots of their own, so that as a rule none is taken twice. */
static struct globs_slot *take_slot(const struct globs *g)
{
	static atomic_uint threads_n;
	static _Thread_local unsigned own;

	if (!own)
		own = 1 + atomic_fetch_add(&threads_n, 1);
	for (unsigned i = 0;; i++) {
		struct globs_slot *slot = &g->slots[(own + i) % g->slots_n];

		if (!atomic_exchange_explicit(&slot->is_taken, true, memory_order_acquire))
			return slot;
		if (i % g->slots_n == g->slots_n - 1)
			sched_yield();
	}
}

static void empty_slot(struct globs_slot *slot)
{
	slot->runs.n = slot->seen.n = slot->armed.n = slot->threads_n = slot->starts_n = 0;
	slot->is_passing = false;
}

/* ---- What is found ---- */

static void need_slot(struct globs_search *s)
{
	if (s->slot || s->g->slots_n == 0)
		return;
	s->slot = take_slot(s->g);
	empty_slot(s->slot);
}

static void find_end(struct globs_search *s, const struct glob_end *end)
{
	if (end->route < s->found->route)
		s->found->route = end->route;
	if (end->query == GLOBS_NONE || !s->queries)
		return;
	/* Before the queries' own, in case it will need one: two that took them in different order could wait for each other. */
	need_slot(s);
	globs_look(s->queries, end->query);
}

/* As each root and each {name} is gone through by itself, runs behind first chunks are not found in the order of where they begin. */
static void begin_run(struct globs_search *s, uint32_t run, uint32_t at)
{
	need_slot(s);
	if (s->slot->is_passing) {
		marks_put(&s->slot->runs, run, at);
		return;
	}
	CHECK(s->slot->starts_n <
		s->g->runs_n); /* one place in the table leads to a run, and nobody comes there twice */
	s->slot->starts[s->slot->starts_n++] = (struct mark){run, at};
}

static void pass_stop(struct globs_search *s, const struct glob_stop *stop, uint32_t at)
{
	s->found->steps++;
	if (stop->least >= s->found->route)
		return;
	find_end(s, &stop->open);
	if (stop->run != GLOBS_NONE && stop->least < s->found->route)
		begin_run(s, stop->run, at);
}

/* ---- First chunks ---- */

struct place {
	uint32_t node, at; /* so many symbols in */
	const char *p;
};

/* Nodes with a {segment} stand two symbols apart at least, and of the ways that are left each begins at another of them. */
enum { PLACES_MAX = PATTERN_MAX / 2 + 2 };

struct places {
	struct place v[PLACES_MAX];
	unsigned n;
};

static bool pass_label(struct globs_search *s, const struct tree_node *node, struct place *at, const char *end)
{
	for (unsigned i = 0; i < node->label_n; i++) {
		s->found->steps++;
		if (at->p == end || (symbol_next(&at->p, end) & s->bits) != node->label[i])
			return false;
		at->at++;
	}
	return true;
}

static void add_segment(struct globs_search *s, uint32_t node, struct place at, const char *end, struct places *to)
{
	if (node == TREE_NONE || *at.p == '/' || s->g->first.nodes[node].least >= s->found->route)
		return;
	while (at.p < end && *at.p != '/') {
		symbol_next(&at.p, end);
		at.at++;
		s->found->steps++;
	}
	CHECK(to->n < PLACES_MAX);
	at.node = node;
	to->v[to->n++] = at;
}

/* From one node to the next; what a {segment} leads to is left for later. */
static bool go_on(struct globs_search *s, struct place *at, struct places *later)
{
	const struct tree_node *node = &s->g->first.nodes[at->node];
	const char *end = slice_end(s->text), *peek;

	if (node->least >= s->found->route || !pass_label(s, node, at, end))
		return false;
	if (node->keys_n > 0) {
		pass_stop(s, &s->g->first_stops[node->keys], at->at);
		if (at->p == end)
			find_end(s, &s->g->first_stops[node->keys].ends);
	}
	if (at->p == end)
		return false;
	add_segment(s, node->segment, *at, end, later);
	peek = at->p;
	at->node = tree_child(&s->g->first, node, symbol_next(&peek, end) & s->bits);
	s->found->steps++;
	return at->node != TREE_NONE;
}

void globs_look(struct globs_search *s, uint32_t root)
{
	struct places places;
	uint32_t node = s->g->first.roots[root];

	if (node == TREE_NONE)
		return;
	places.v[0] = (struct place){node, 0, s->text.p};
	places.n = 1;
	while (places.n > 0) {
		struct place at = places.v[--places.n];

		while (go_on(s, &at, &places))
			;
	}
}

/* ---- Later chunks ---- */

struct scan {
	struct globs_search *s;
	const char *p, *end;
	uint32_t at, state;
	uint32_t begun; /* of the starts */
};

static const struct glob_stop *stop_of_run(const struct globs *g, const struct tree_node *node, uint32_t run)
{
	uint32_t from = node->keys, to = from + node->keys_n;

	while (from < to) {
		uint32_t middle = from + (to - from) / 2;

		if (g->later_stops[middle].from == run)
			return &g->later_stops[middle];
		if (g->later_stops[middle].from < run)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

typedef void stop_taker(struct globs_search *s, const struct glob_stop *stop, uint32_t at);

static void take_end(struct globs_search *s, const struct glob_stop *stop, uint32_t at)
{
	(void)at;
	s->found->steps++;
	find_end(s, &stop->ends);
}

/* The stops of a node that follow one of these runs: looked for from the side that has fewer. */
static void take_stops(const struct scan *c, const struct tree_node *node, uint32_t from, uint32_t to, stop_taker *take)
{
	const struct globs *g = c->s->g;
	const struct marks *runs = &c->s->slot->runs;

	if (to - from < node->keys_n) {
		for (; from < to; from++) {
			const struct glob_stop *stop = stop_of_run(g, node, runs->v[from].id);

			c->s->found->steps++;
			if (stop)
				take(c->s, stop, c->at);
		}
		return;
	}
	for (uint32_t i = node->keys; i < node->keys + node->keys_n; i++) {
		uint32_t run = g->later_stops[i].from;

		c->s->found->steps++;
		if (marks_have(runs, run) && runs->places[run] >= from && runs->places[run] < to)
			take(c->s, &g->later_stops[i], c->at);
	}
}

/* A chunk that begins at `start` ends here. It counts for the runs that were there by then, and for each of them once: a second time
 * it would end later, which helps nobody. */
static void meet(const struct scan *c, uint32_t node, uint32_t start)
{
	const struct tree_node *n = &c->s->g->later.nodes[node];
	struct globs_slot *slot = c->s->slot;
	uint32_t from = 0, to;

	c->s->found->steps++;
	if (n->segment != TREE_NONE && c->p < c->end && *c->p != '/')
		marks_put(&slot->armed, n->segment, start);
	if (n->keys_n == 0)
		return;
	if (marks_have(&slot->seen, n->keys))
		from = slot->seen.v[slot->seen.places[n->keys]].value;
	if (from == slot->runs.n)
		return;
	to = marks_up_to(&slot->runs, start);
	if (from < to) {
		marks_put(&slot->seen, n->keys, to);
		take_stops(c, n, from, to, pass_stop);
	}
}

static void meet_end(const struct scan *c, uint32_t node, uint32_t start)
{
	const struct tree_node *n = &c->s->g->later.nodes[node];

	c->s->found->steps++;
	if (n->keys_n > 0 && n->least < c->s->found->route)
		take_stops(c, n, 0, marks_up_to(&c->s->slot->runs, start), take_end);
}

static void go_on_threads(struct scan *c, unsigned symbol)
{
	struct globs_slot *slot = c->s->slot;
	const struct tree *t = &c->s->g->later;
	uint32_t n = 0;

	for (uint32_t i = 0; i < slot->threads_n; i++) {
		struct glob_thread thread = slot->threads[i];

		thread.node = tree_child(t, &t->nodes[thread.node], symbol);
		c->s->found->steps++;
		if (thread.node == TREE_NONE)
			continue;
		slot->threads[n++] = thread;
		if (c->s->g->links[thread.node].is_met)
			meet(c, thread.node, thread.start);
	}
	slot->threads_n = n;
}

/* Here a path segment ends, and all that it was a {segment} for goes on. */
static void begin_threads(const struct scan *c)
{
	struct globs_slot *slot = c->s->slot;

	for (uint32_t i = 0; i < slot->armed.n; i++)
		slot->threads[slot->threads_n++] = (struct glob_thread){slot->armed.v[i].id, slot->armed.v[i].value};
	c->s->found->steps += slot->armed.n;
	slot->armed.n = 0;
}

static void go_on_state(struct scan *c, unsigned symbol)
{
	const struct globs *g = c->s->g;
	uint32_t to;

	while ((to = tree_child(&g->later, &g->later.nodes[c->state], symbol)) == TREE_NONE && c->state) {
		c->state = g->links[c->state].fail;
		c->s->found->steps++;
	}
	c->state = to == TREE_NONE ? 0 : to;
	c->s->found->steps++;
}

static void begin_starts(struct scan *c)
{
	struct globs_slot *slot = c->s->slot;

	for (; c->begun < slot->starts_n && slot->starts[c->begun].value <= c->at; c->begun++)
		marks_put(&slot->runs, slot->starts[c->begun].id, c->at);
}

static void read_symbol(struct scan *c)
{
	const struct glob_link *links = c->s->g->links;
	unsigned symbol;

	begin_starts(c);
	if (*c->p == '/' && c->s->slot->armed.n > 0)
		begin_threads(c);
	symbol = symbol_next(&c->p, c->end) & c->s->bits;
	c->at++;
	go_on_threads(c, symbol);
	go_on_state(c, symbol);
	for (uint32_t n = links[c->state].is_met ? c->state : links[c->state].next_met; n; n = links[n].next_met)
		meet(c, n, c->at - links[n].depth);
}

static void read_end(const struct scan *c)
{
	const struct glob_link *links = c->s->g->links;
	const struct globs_slot *slot = c->s->slot;

	for (uint32_t n = links[c->state].is_end ? c->state : links[c->state].next_ends; n; n = links[n].next_ends)
		meet_end(c, n, c->at - links[n].depth);
	for (uint32_t i = 0; i < slot->threads_n; i++)
		meet_end(c, slot->threads[i].node, slot->threads[i].start);
	for (uint32_t i = 0; i < slot->armed.n; i++)
		meet_end(c, slot->armed.v[i].id, slot->armed.v[i].value);
}

static void pass_over(struct globs_search *s)
{
	struct scan c = {.s = s, .p = s->text.p, .end = slice_end(s->text)};
	struct globs_slot *slot = s->slot;

	sort(slot->starts, slot->starts_n);
	slot->is_passing = true;
	for (; c.at < slot->starts[0].value; c.at++)
		symbol_next(&c.p, c.end);
	while (c.p < c.end)
		read_symbol(&c);
	read_end(&c);
}

void globs_end(struct globs_search *s)
{
	if (!s->slot)
		return;
	if (s->slot->starts_n > 0)
		pass_over(s);
	atomic_store_explicit(&s->slot->is_taken, false, memory_order_release);
	s->slot = NULL;
}
