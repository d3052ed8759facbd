/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <malloc.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "proxy/record/access_log.h"
#include "proxy/transaction/transaction.h"
#include "proxy/transaction/fetch_job.h"
#include "proxy/request/origins.h"
#include "proxy/transaction/service.h"

#define TICK_MS 100
#define TRIM_AFTER_BYTES (16 << 20)
#define TRIM_QUIET_BYTES (64 << 10)
/* The sweeper's turn: so many steps, and as long as there is something to free, so many more within a time that no client
 * notices. Then others get theirs: for long when a round has ended, for less in the middle of one, for a moment when it is behind.
 * While there is nothing to free, it looks at up to 20,000 entries a second. */
#define SWEEP_STEPS 200
#define SWEEP_MORE_STEPS 64
#define SWEEP_TURN_US 500
#define SWEEP_PAUSE_MS 100
#define SWEEP_ROUND_MS 10
#define SWEEP_BEHIND_MS 1

/* ---- Messages and ticks ---- */

static void on_mailbox_event(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	mailbox_deliver(&w->mailbox);
}

static void check_drained(struct worker *w)
{
	if (!w->draining || w->gate_stats.open || w->transactions_n || atomic_load(&w->drained))
		return;
	atomic_store(&w->drained, true);
	post_message(&w->service->mailbox, &w->drained_message);
}

/* What large request bodies took lies in pieces all over the heap: it goes back to the system once they are through. */
static void trim_heap(struct worker *w)
{
	uint64_t in = w->gate_stats.bytes_in;
	bool is_quiet = in - w->bytes_in_at_tick < TRIM_QUIET_BYTES;

	w->bytes_in_at_tick = in;
	if (!is_quiet || in - w->bytes_in_at_trim < TRIM_AFTER_BYTES)
		return;
	w->bytes_in_at_trim = in;
	malloc_trim(0);
}

static void on_sweep(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;
	int64_t began_us = clock_mono_us();
	struct cache_swept did = cache_sweep(w->cache, SWEEP_STEPS, clock_now());
	int ms = SWEEP_ROUND_MS;

	(void)fd;
	(void)what;
	while (did.is_behind && clock_mono_us() - began_us < SWEEP_TURN_US)
		did = cache_sweep(w->cache, SWEEP_MORE_STEPS, clock_now());
	if (did.is_behind)
		ms = SWEEP_BEHIND_MS;
	else if (did.has_seen_all)
		ms = SWEEP_PAUSE_MS;
	(void)event_add(
		w->sweep_event, &(struct timeval){0, ms * 1000}); /* without memory for it: the next tick does */
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	if (w->sweep_event && !event_pending(w->sweep_event, EV_TIMEOUT, NULL))
		event_active(w->sweep_event, EV_TIMEOUT, 0);
	transaction_send_overdue(w, clock_now());
	hit_drop(&w->attempt); /* of a client that left at once */
	trim_heap(w);
	check_drained(w);
}

static void on_retire_message(struct message *m)
{
	struct worker *w = CONTAINER_OF(m, struct worker, retire_message);

	w->draining = true;
	worker_retire_front(w);
	check_drained(w);
}

static void on_drain_message(struct message *m)
{
	struct worker *w = CONTAINER_OF(m, struct worker, drain_message);

	w->draining = true;
	worker_drain_front(w);
	check_drained(w);
}

static void on_stop_message(struct message *m)
{
	struct worker *w = CONTAINER_OF(m, struct worker, stop_message);

	event_base_loopbreak(w->base);
}

void post_worker_retire(struct worker *w)
{
	post_message(&w->mailbox, &w->retire_message);
}

void post_worker_drain(struct worker *w)
{
	post_message(&w->mailbox, &w->drain_message);
}

void post_worker_stop(struct worker *w)
{
	post_message(&w->mailbox, &w->stop_message);
}

/* ---- A new configuration ---- */

struct worker_update {
	struct snapshot *snapshot;
	struct access_log *access_log;
	struct route_stats *routes; /* room for the new snapshot's */
	struct asker_stats *askers;
};

/* What is there on failure is the caller's to free. */
static int make_counters(const struct config *c, struct route_stats **routes, struct asker_stats **askers)
{
	*routes = mem_zalloc(c->routes_n * sizeof(**routes));
	*askers = mem_zalloc((c->upstreams_n + 1) * sizeof(**askers));
	return *routes && *askers ? 0 : -ENOMEM;
}

struct worker_update *worker_update_new(struct snapshot *s)
{
	struct worker_update *n = mem_zalloc(sizeof(*n));

	if (!n)
		return NULL;
	n->snapshot = snapshot_ref(s);
	if (make_counters(s->config, &n->routes, &n->askers))
		worker_update_free(&n);
	return n;
}

void worker_update_free(struct worker_update **np)
{
	struct worker_update *n = *np;

	*np = NULL;
	if (!n)
		return;
	snapshot_unref(&n->snapshot);
	mem_free(n->routes);
	mem_free(n->askers);
	mem_free(n);
}

void post_worker_update(struct worker *w, struct worker_update *n, struct access_log *log)
{
	struct worker_update *overtaken;

	n->access_log = log;
	overtaken = atomic_exchange(&w->update, n);
	worker_update_free(&overtaken);
	post_message(&w->mailbox, &w->update_message);
}

/* A route keeps its figures as long as it keeps its name, and so does an upstream. */
static void inherit_counters(struct worker *w, const struct worker_update *n)
{
	const struct config *before = w->snapshot->config, *now = n->snapshot->config;

	for (unsigned i = 0; i < now->routes_n; i++) {
		const struct config_route *r = config_route_named(before, now->routes[i].rules.route);

		if (r)
			n->routes[i] = w->routes[r->rules.route_index];
	}
	for (unsigned i = 0; i < now->upstreams_n; i++) {
		const struct config_upstream *u = config_upstream_named(before, now->upstreams[i].name);

		if (u)
			n->askers[i] = w->askers[u - before->upstreams];
	}
}

static void on_update_message(struct message *m)
{
	struct worker *w = CONTAINER_OF(m, struct worker, update_message);
	struct worker_update *n = atomic_exchange(&w->update, NULL);
	struct snapshot *before = w->snapshot;
	struct route_stats *routes = w->routes;
	struct asker_stats *askers = w->askers;

	if (!n)
		return;
	inherit_counters(w, n);
	w->snapshot = n->snapshot;
	w->routes = n->routes;
	w->askers = n->askers;
	w->access_log = n->access_log;
	hit_drop(&w->attempt);
	target_clear(&w->attempt_target);
	worker_configure_front(w);
	origins_renew(w->snapshot->origins, w->index);
	if (origins_open(w->snapshot->origins, w->index, w->base, origins_loop(before->origins, w->index)))
		log_error("worker %u: no memory for connections to the upstreams: requests to them are answered 503",
			w->index);
	n->snapshot = before;
	n->routes = routes;
	n->askers = askers;
	worker_update_free(&n);
}

/* ---- Set-up ---- */

static int make_events(struct worker *w)
{
	struct timeval tick = {0, TICK_MS * 1000};

	w->mailbox_event = event_new(w->base, w->mailbox.event_fd, EV_READ | EV_PERSIST, on_mailbox_event, w);
	w->tick_event = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	if (!w->mailbox_event || !w->tick_event || event_add(w->mailbox_event, NULL) || event_add(w->tick_event, &tick))
		return -ENOMEM;
	if (w->index != 0) /* one sweeps at a time */
		return 0;
	w->sweep_event = event_new(w->base, -1, 0, on_sweep, w);
	return w->sweep_event && event_add(w->sweep_event, &tick) == 0 ? 0 : -ENOMEM;
}

int worker_init(struct worker *w, const struct worker_options *o)
{
	int err;

	w->index = o->index;
	w->cache = o->service->cache;
	w->access_log = o->access_log;
	w->snapshot = snapshot_ref(o->snapshot);
	w->service = o->service;
	w->next_request_id = hash64_of(&(uint64_t[]){(uint64_t)clock_now().wall_ms, (uint64_t)getpid(), o->index}, 24);
	w->retire_message.on_message = on_retire_message;
	w->drain_message.on_message = on_drain_message;
	w->stop_message.on_message = on_stop_message;
	w->update_message.on_message = on_update_message;
	body_port_init(&w->bodies, w->service->bodies, &w->mailbox, &w->gate_stats.body_bytes);
	link_init(&w->transactions);
	link_init(&w->jobs);
	link_init(&w->ranges);
	link_init(&w->ranges_alone);
	forward_init(&w->forward);
	target_init(&w->attempt_target);
	response_init(&w->hit_response);
	w->base = event_base_new();
	if (!w->base)
		return -ENOMEM;
	err = make_counters(w->snapshot->config, &w->routes, &w->askers);
	if (!err)
		err = origins_open(w->snapshot->origins, w->index, w->base, NULL);
	if (!err)
		err = worker_open_front(w);
	if (!err)
		err = make_events(w);
	return err;
}

static void *run(void *arg)
{
	struct worker *w = arg;

	event_base_dispatch(w->base);
	return NULL;
}

int worker_start(struct worker *w)
{
	int err = thread_start(&w->thread, run, w);

	w->is_running = err == 0;
	return err;
}

void worker_join(struct worker *w)
{
	if (w->is_running)
		pthread_join(w->thread, NULL);
	w->is_running = false;
}

void worker_drop_requests(struct worker *w)
{
	if (!w->base)
		return;
	hit_drop(&w->attempt);
	transaction_drop_all(w);
	fetch_job_cancel_all(w);
}

void worker_drop_snapshot(struct worker *w)
{
	struct worker_update *n = atomic_exchange(&w->update, NULL);

	worker_update_free(&n);
	target_clear(&w->attempt_target);
	snapshot_unref(&w->snapshot);
}

void worker_fini(struct worker *w)
{
	if (w->mailbox_event)
		event_free(w->mailbox_event);
	if (w->tick_event)
		event_free(w->tick_event);
	if (w->sweep_event)
		event_free(w->sweep_event);
	if (w->base)
		event_base_free(w->base);
	mem_free(w->listeners); /* gates read their options until they are freed */
	mem_free(w->listen_fds);
	mem_free(w->listen_addresses);
	forward_fini(&w->forward);
	target_fini(&w->attempt_target);
	response_fini(&w->hit_response);
	mem_free(w->routes);
	mem_free(w->askers);
}
