/* SPDX-License-Identifier: MIT */
#include "proxy/admin/collect.h"

#include <errno.h>

#include "base/mem.h"
#include "proxy/request/origins.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

enum { COPY_ROUTES = 256 }; /* of a worker's, in one step of its mailbox */

struct part {
	struct message to_worker, to_main;
	struct collection *whole;
	struct worker *worker;
	struct worker_stats stats;
	struct gate_stats gate;
	struct upstream_stats *upstreams;
	struct asker_stats *askers;
	struct route_stats *routes;
	unsigned copied;   /* of the routes */
	bool is_overtaken; /* by another configuration */
};

struct collection {
	struct service *service;
	void (*done)(void *arg, struct collected *sum);
	void *arg;
	unsigned missing;
	bool is_overtaken;    /* of one worker at least */
	unsigned part, route; /* whose routes are added up next */
	struct collected sum;
	struct part parts[];
};

/* Few are copied at once, into memory that the kernel has yet to find. False: there are more. */
static bool copy_routes(struct part *p)
{
	const struct collected *sum = &p->whole->sum;
	unsigned left = sum->routes_n - p->copied, n = left < COPY_ROUTES ? left : COPY_ROUTES;

	memcpy(&p->routes[p->copied], &p->worker->routes[p->copied], n * sizeof(*p->routes));
	p->copied += n;
	return n == left;
}

static void copy_upstreams(struct part *p)
{
	const struct collected *sum = &p->whole->sum;
	struct worker *w = p->worker;
	struct upstream_loop *loop = origins_loop(sum->snapshot->origins, w->index);

	for (unsigned i = 0; loop && i < sum->upstreams_n; i++)
		upstream_stats(loop, i, &p->upstreams[i]);
	memcpy(p->askers, w->askers, sum->upstreams_n * sizeof(*p->askers));
}

/* On the worker. */
static void on_asked(struct message *m)
{
	struct part *p = CONTAINER_OF(m, struct part, to_worker);
	struct worker *w = p->worker;

	p->stats = w->stats;
	p->gate = w->gate_stats;
	p->is_overtaken = w->snapshot != p->whole->sum.snapshot;
	if (!p->is_overtaken) {
		if (p->copied == 0)
			copy_upstreams(p);
		if (!copy_routes(p)) {
			post_message(&w->mailbox, m);
			return;
		}
	}
	post_message(&w->service->mailbox, &p->to_main);
}

/* All five are nothing but counters of one width. */
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
_Static_assert(sizeof(struct asker_stats) % sizeof(uint64_t) == 0, "counters only");
_Static_assert(sizeof(struct upstream_stats) % sizeof(uint64_t) == 0, "counters only");

static void free_part(struct part *p)
{
	mem_free(p->upstreams);
	mem_free(p->askers);
	mem_free(p->routes);
	p->upstreams = NULL;
	p->askers = NULL;
	p->routes = NULL;
}

static void collection_free(struct collection *c)
{
	for (unsigned i = 0; i < c->sum.workers; i++)
		free_part(&c->parts[i]);
	mem_free(c->sum.upstreams);
	mem_free(c->sum.askers);
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
	add_counters(c->sum.upstreams, p->upstreams, c->sum.upstreams_n * sizeof(*p->upstreams));
	add_counters(c->sum.askers, p->askers, c->sum.upstreams_n * sizeof(*p->askers));
	c->is_overtaken |= p->is_overtaken;
	if (--c->missing > 0)
		return;
	/* Counters that went back to 0 for once would be counted twice by whoever reads them. */
	if (c->is_overtaken && !c->service->is_ended && collect_start(c->service, c->done, c->arg) == 0)
		collection_free(c);
	else
		c->done(c->arg, &c->sum);
}

bool collected_add_routes(struct collected *sum, unsigned routes)
{
	struct collection *c = CONTAINER_OF(sum, struct collection, sum);

	while (routes > 0 && c->part < sum->workers) {
		struct part *p = &c->parts[c->part];
		unsigned n = sum->routes_n - c->route < routes ? sum->routes_n - c->route : routes;

		add_counters(&sum->routes[c->route], &p->routes[c->route], n * sizeof(*p->routes));
		routes -= n;
		c->route += n;
		if (c->route == sum->routes_n) {
			free_part(p);
			c->route = 0;
			c->part++;
		}
	}
	return c->part < sum->workers;
}

static int make_counters(const struct collected *sum, struct upstream_stats **upstreams, struct asker_stats **askers,
	struct route_stats **routes)
{
	*upstreams = mem_zalloc((sum->upstreams_n + 1) * sizeof(**upstreams));
	*askers = mem_zalloc((sum->upstreams_n + 1) * sizeof(**askers));
	*routes = mem_zalloc(sum->routes_n * sizeof(**routes));
	return *upstreams && *askers && *routes ? 0 : -ENOMEM;
}

static int make_parts(struct collection *c)
{
	int err = make_counters(&c->sum, &c->sum.upstreams, &c->sum.askers, &c->sum.routes);

	for (unsigned i = 0; !err && i < c->sum.workers; i++) {
		struct part *p = &c->parts[i];

		p->to_worker.on_message = on_asked;
		p->to_main.on_message = on_answered;
		p->whole = c;
		p->worker = &c->service->workers[i];
		err = make_counters(&c->sum, &p->upstreams, &p->askers, &p->routes);
	}
	return err;
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
