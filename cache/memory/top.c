/* SPDX-License-Identifier: MIT */
/* Which of what is stored has spared the API the most time: hits since it came into memory, over refreshes too, times how long a fetch
 * took until its response began. */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "cache/memory/memory.h"
#include "cache/memory/object_internal.h"
#include "cache/policy/coarse.h"

/* Of one place of the index: chains are much shorter. */
#define CHAIN_MAX 64

struct top {
	/* Each with a reference to its entry. */
	struct memory_ranked *v; /* a heap: none is less than the first */
	unsigned n, max;
	/* from under the lock */
	struct memory_ranked met[CHAIN_MAX];
	unsigned met_n;
};

static uint64_t least_of(const struct top *t)
{
	return t->n == t->max ? t->v[0].spared_ms : 0;
}

/* ---- Under the lock ---- */

static bool is_of_url(const struct entry *e)
{
	return cache_key_is_of_url((struct slice){e->key, e->hh.keylen}, (size_t)e->url_off + e->url_n);
}

static struct memory_ranked rank(struct entry *e)
{
	struct memory_ranked r = {.hits = coarse_value(e->past_hits), .entry = e};

	for (const struct object *o = e->variants; o; o = object_next(o) ? *object_next(o) : NULL) {
		uint64_t ms = coarse_value(o->freshness.fetch_time);

		r.hits += o->hits;
		r.fetch_ms = ms > r.fetch_ms ? ms : r.fetch_ms;
	}
	/* At least the call was spared. */
	r.spared_ms = r.hits * (r.fetch_ms > 0 ? r.fetch_ms : 1);
	return r;
}

static void meet(struct entry *e, void *arg)
{
	struct top *t = arg;
	struct memory_ranked r;

	if (!e->variants || !is_of_url(e) || t->met_n == CHAIN_MAX)
		return;
	r = rank(e);
	if (r.spared_ms <= least_of(t))
		return;
	entry_ref(e);
	t->met[t->met_n++] = r;
}

/* ---- The heap ---- */

static void swap(struct memory_ranked *a, struct memory_ranked *b)
{
	struct memory_ranked was = *a;

	*a = *b;
	*b = was;
}

static void rise(struct top *t, unsigned i)
{
	for (; i > 0 && t->v[i].spared_ms < t->v[(i - 1) / 2].spared_ms; i = (i - 1) / 2)
		swap(&t->v[i], &t->v[(i - 1) / 2]);
}

static void sink(struct top *t)
{
	for (unsigned i = 0, least; 2 * i + 1 < t->n; i = least) {
		least = 2 * i + 1;
		if (least + 1 < t->n && t->v[least + 1].spared_ms < t->v[least].spared_ms)
			least++;
		if (t->v[i].spared_ms <= t->v[least].spared_ms)
			return;
		swap(&t->v[i], &t->v[least]);
	}
}

static void take(struct top *t, struct memory_ranked *r)
{
	if (t->n < t->max) {
		t->v[t->n] = *r;
		rise(t, t->n++);
	} else if (r->spared_ms > t->v[0].spared_ms) {
		swap(&t->v[0], r);
		entry_unref(&r->entry);
		sink(t);
	} else {
		entry_unref(&r->entry);
	}
}

/* ---- All of it ---- */

static void walk(struct top *t, struct shard *s)
{
	uint32_t cursor = 0;

	do {
		t->met_n = 0;
		pthread_mutex_lock(&s->mu);
		(void)shard_walk_locked(s, &cursor, meet, t);
		pthread_mutex_unlock(&s->mu);
		for (unsigned i = 0; i < t->met_n; i++)
			take(t, &t->met[i]);
	} while (cursor != 0);
}

static int by_spared(const void *a, const void *b)
{
	uint64_t x = ((const struct memory_ranked *)a)->spared_ms, y = ((const struct memory_ranked *)b)->spared_ms;

	return (x < y) - (x > y);
}

int memory_top(struct memory *m, unsigned n, void (*each)(void *arg, const struct memory_ranked *r), void *arg)
{
	struct top t = {.max = n};

	if (n == 0)
		return 0;
	t.v = mem_alloc(n * sizeof(*t.v));
	if (!t.v)
		return -ENOMEM;
	for (unsigned i = 0; i < m->shards_n; i++)
		walk(&t, &m->shards[i]);
	qsort(t.v, t.n, sizeof(*t.v), by_spared);
	for (unsigned i = 0; i < t.n; i++) {
		each(arg, &t.v[i]);
		entry_unref(&t.v[i].entry);
	}
	mem_free(t.v);
	return 0;
}
