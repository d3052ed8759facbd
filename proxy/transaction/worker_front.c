/* SPDX-License-Identifier: MIT */
/* A worker's listeners, and what its gate tells it. */
#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/record/access_log.h"
#include "proxy/front/front.h"
#include "proxy/transaction/transaction.h"
#include "proxy/transaction/hit.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

#define HIGH_WATER (256 * 1024)

struct worker_listener {
	struct front *front;
	struct gate_options options;
};

static void log_answer(struct worker *w, const struct access_record *record)
{
	if (w->access_log)
		access_log_add(w->access_log, record);
}

static void on_refused(void *arg, struct gate *g, const struct http_error *e)
{
	struct worker *w = arg;
	uint16_t port;

	log_answer(w, &(struct access_record){
			      /* A bad head is not shown, the one of a bad body is. */
			      .http = gate_request(g)->target.n ? gate_request(g) : NULL,
			      .peer = gate_peer(g, &port),
			      .status = e->status,
			      .kind = ANSWER_ERROR,
			      .upstream_us = -1,
			      .wall_ms = clock_now().wall_ms,
			      .id = ++w->next_request_id,
		      });
}

static void configure(const struct worker *w, struct gate_options *o)
{
	const struct config_proxy *p = &w->snapshot->config->proxy;

	o->max_header = p->max_header_bytes;
	o->max_body = p->max_body_bytes;
	o->header_timeout_ms = p->client_header_timeout_ms;
	o->body_timeout_ms = p->client_body_timeout_ms;
	o->body_rate = p->client_body_rate;
	o->idle_timeout_ms = p->client_idle_timeout_ms;
	o->write_timeout_ms = p->client_write_timeout_ms;
	o->answer = w->snapshot->config->cache.hit_road ? hit_answer : NULL;
	o->trusted = &p->proxy_trusted;
}

static int open_listener(struct worker *w, unsigned i)
{
	const struct config_address *address = &w->snapshot->config->proxy.listen.v[w->listen_addresses[i]];
	struct worker_listener *l = &w->listeners[i];
	int err;

	l->options = (struct gate_options){
		.high_water = HIGH_WATER,
		.on_refused = on_refused,
		.on_request = transaction_begin,
		.arg = w,
		.stats = &w->gate_stats,
		.admission = w->service->admission,
		.bodies = &w->bodies,
		.tls = address->tls ? w->service->tls : NULL,
		.proxy_protocol = address->proxy_protocol,
	};
	configure(w, &l->options);
	err = front_new(w->base, &l->options, &l->front);
	if (!err)
		err = front_listen(l->front, w->listen_fds[i]);
	if (!err)
		w->listen_fds[i] = -1;
	return err;
}

int worker_open_front(struct worker *w)
{
	int err = 0;

	w->listeners = mem_zalloc((w->listen_fds_n + 1) * sizeof(*w->listeners));
	if (!w->listeners)
		return -ENOMEM;
	for (unsigned i = 0; i < w->listen_fds_n && !err; i++)
		err = open_listener(w, i);
	return err;
}

void worker_configure_front(struct worker *w)
{
	for (unsigned i = 0; i < w->listen_fds_n; i++)
		configure(w, &w->listeners[i].options);
}

void worker_retire_front(struct worker *w)
{
	for (unsigned i = 0; i < w->listen_fds_n; i++)
		front_stop_listening(w->listeners[i].front);
}

void worker_drain_front(struct worker *w)
{
	for (unsigned i = 0; i < w->listen_fds_n; i++)
		front_drain(w->listeners[i].front);
}

void worker_close_front(struct worker *w)
{
	for (unsigned i = 0; w->listeners && i < w->listen_fds_n; i++)
		front_free(&w->listeners[i].front);
	for (unsigned i = 0; i < w->listen_fds_n; i++)
		if (w->listen_fds[i] >= 0)
			close(w->listen_fds[i]);
	w->listen_fds_n = 0;
}

/* NULL when a reload has taken the route away. */
static struct route_stats *route_stats_of(struct worker *w, const struct worker_answer *a)
{
	const struct config *now = w->snapshot->config;

	if (a->snapshot == w->snapshot)
		return &w->routes[a->route];
	for (unsigned i = 0; i < now->routes_n; i++)
		if (slice_equal(now->routes[i].rules.route, a->snapshot->config->routes[a->route].rules.route))
			return &w->routes[i];
	return NULL;
}

static bool is_saved(enum answer_kind k)
{
	return k == ANSWER_HIT || k == ANSWER_STALE || k == ANSWER_COLLAPSED;
}

static void count_answer(struct worker *w, const struct worker_answer *a)
{
	struct route_stats *route = route_stats_of(w, a);

	w->stats.answers[a->kind]++;
	if (a->status != STATUS_CLIENT_GONE) /* a cut says nothing about how long answers take */
		latency_add(&w->stats.latency[a->kind], a->total_us);
	if (!route)
		return;
	route->answers[a->kind]++;
	if (is_saved(a->kind))
		route->saved_us +=
			(uint64_t)atomic_load_explicit(&a->snapshot->fetch_us[a->route], memory_order_relaxed);
}

void worker_note_answer(struct worker *w, const struct worker_answer *a)
{
	count_answer(w, a);
	log_answer(w, &(struct access_record){
			      .http = a->transport->request,
			      .peer = a->transport->peer,
			      .status = a->status,
			      .body_bytes = a->body_bytes,
			      .kind = a->kind,
			      .route = a->snapshot->config->routes[a->route].rules.route,
			      .total_us = a->total_us,
			      .upstream_us = a->upstream_us,
			      .wall_ms = clock_now().wall_ms,
			      .id = ++w->next_request_id,
		      });
}
