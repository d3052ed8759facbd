/* SPDX-License-Identifier: MIT */
#include "proxy/admin/collect.h"

#include <errno.h>

#include "base/mem.h"
#include "proxy/request/origins.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

struct part {
	struct message to_worker, to_main;
	struct collection *whole;
	struct worker *worker;
	struct worker_stats stats;
	struct gate_stats gate;
	struct upstream_stats *upstreams;
	struct route_stats *routes;
};

struct collection {
	struct service *service;
	void (*done)(void *arg, struct collected *sum);
	void *arg;
	unsigned missing;
	struct collected sum;
	struct part parts[];
};

/* On the worker. */
static void on_asked(struct message *m)
{
	struct part *p = CONTAINER_OF(m, struct part, to_worker);
	struct worker *w = p->worker;
	const struct collected *sum = &p->whole->sum;
	struct upstream_loop *loop = origins_loop(sum->snapshot->origins, w->index);

	p->stats = w->stats;
	p->gate = w->gate_stats;
	for (unsigned i = 0; loop && i < sum->upstreams_n; i++)
		upstream_stats(loop, i, &p->upstreams[i]);
	/* Another configuration may have overtaken this message. */
	if (w->snapshot == sum->snapshot)
		memcpy(p->routes, w->routes, sum->routes_n * sizeof(*p->routes));
	post_message(&w->service->mailbox, &p->to_main);
}

/* All four are nothing but counters of one width. */
static void add_counters(void *to, const void *from, size_t bytes)
{
	uint64_t *a = to;
	const uint64_t *b = from;

	for (size_t i = 0; i < bytes / sizeof(*a); i++)
		a[i] += b[i];
}

_Static_assert(sizeof(struct worker_stats) % sizeof(uint64_t) == 0, "counters only");
_Static_assert(sizeof(struct gate_stats) % sizeof(uint64_t) == 0, "counters only");
_Static_assert(sizeof(struct route_stats) % sizeof(uint64_t) == 0, "counters only");
_Static_assert(sizeof(struct upstream_stats) % sizeof(uint64_t) == 0, "counters only");

static void free_part(struct part *p)
{
	mem_free(p->upstreams);
	mem_free(p->routes);
	p->upstreams = NULL;
	p->routes = NULL;
}

static void collection_free(struct collection *c)
{
	for (unsigned i = 0; i < c->sum.workers; i++)
		free_part(&c->parts[i]);
	mem_free(c->sum.upstreams);
	mem_free(c->sum.routes);
	snapshot_unref(&c->sum.snapshot);
	mem_free(c);
}

void collected_free(struct collected **sum)
{
	struct collected *gone = *sum;

	*sum = NULL;
	if (gone)
		collection_free(CONTAINER_OF(gone, struct collection, sum));
}

/* On main. */
static void on_answered(struct message *m)
{
	struct part *p = CONTAINER_OF(m, struct part, to_main);
	struct collection *c = p->whole;

	add_counters(&c->sum.worker, &p->stats, sizeof(p->stats));
	add_counters(&c->sum.gate, &p->gate, sizeof(p->gate));
	for (unsigned i = 0; i < c->sum.upstreams_n; i++)
		add_counters(&c->sum.upstreams[i], &p->upstreams[i], sizeof(p->upstreams[i]));
	add_counters(c->sum.routes, p->routes, c->sum.routes_n * sizeof(*p->routes));
	free_part(p);
	if (--c->missing == 0)
		c->done(c->arg, &c->sum);
}

static int make_parts(struct collection *c)
{
	size_t bytes = (c->sum.upstreams_n + 1) * sizeof(struct upstream_stats);
	size_t route_bytes = c->sum.routes_n * sizeof(struct route_stats);

	c->sum.upstreams = mem_zalloc(bytes);
	c->sum.routes = mem_zalloc(route_bytes);
	if (!c->sum.upstreams || !c->sum.routes)
		return -ENOMEM;
	for (unsigned i = 0; i < c->sum.workers; i++) {
		struct part *p = &c->parts[i];

		p->to_worker.on_message = on_asked;
		p->to_main.on_message = on_answered;
		p->whole = c;
		p->worker = &c->service->workers[i];
		p->upstreams = mem_zalloc(bytes);
		p->routes = mem_zalloc(route_bytes);
		if (!p->upstreams || !p->routes)
			return -ENOMEM;
	}
	return 0;
}

int collect_start(struct service *s, void (*done)(void *arg, struct collected *sum), void *arg)
{
	struct collection *c = mem_zalloc(sizeof(*c) + s->workers_n * sizeof(c->parts[0]));

	if (!c)
		return -ENOMEM;
	c->service = s;
	c->done = done;
	c->arg = arg;
	c->missing = c->sum.workers = s->workers_n;
	c->sum.snapshot = snapshot_ref(s->snapshot);
	c->sum.upstreams_n = s->snapshot->config->upstreams_n;
	c->sum.routes_n = s->snapshot->config->routes_n;
	if (make_parts(c)) {
		collection_free(c);
		return -ENOMEM;
	}
	for (unsigned i = 0; i < c->sum.workers; i++)
		post_message(&c->parts[i].worker->mailbox, &c->parts[i].to_worker);
	return 0;
}
