/* SPDX-License-Identifier: MIT */
/* What a worker counts and logs of its responses. */
#include "proxy/front/gate.h"
#include "proxy/front/transport.h"
#include "proxy/record/access_log.h"
#include "proxy/transaction/worker.h"

static void log_response(struct worker *w, struct access_record record)
{
	record.wall_ms = clock_now().wall_ms;
	record.id = ++w->next_request_id;
	if (w->access_log)
		access_log_add(w->access_log, &record);
}

/* NULL when a reload has taken the route away. */
static struct route_stats *route_stats_of(struct worker *w, const struct worker_response *a)
{
	const struct config_route *r;

	if (a->snapshot == w->snapshot)
		return &w->routes[a->route];
	r = config_route_named(w->snapshot->config, a->snapshot->config->routes[a->route].rules.route);
	return r ? &w->routes[r->rules.route_index] : NULL;
}

static bool is_saved(enum response_kind k)
{
	return k == RESPONSE_HIT || k == RESPONSE_STALE || k == RESPONSE_COLLAPSED;
}

static void count_response(struct worker *w, const struct worker_response *a)
{
	struct route_stats *route = route_stats_of(w, a);

	w->stats.responses[a->kind]++;
	if (a->status != STATUS_CLIENT_GONE) /* a cut says nothing about how long responses take */
		latency_add(&w->stats.latency[a->kind], a->total_us);
	if (!route)
		return;
	route->responses[a->kind]++;
	if (is_saved(a->kind))
		route->saved_us +=
			(uint64_t)atomic_load_explicit(&a->snapshot->fetch_us[a->route], memory_order_relaxed);
}

void worker_note_response(struct worker *w, const struct worker_response *a)
{
	count_response(w, a);
	log_response(w, (struct access_record){
				.http = a->transport->request,
				.peer = a->transport->peer,
				.status = a->status,
				.body_bytes = a->body_bytes,
				.kind = a->kind,
				.route = a->snapshot->config->routes[a->route].rules.route,
				.total_us = a->total_us,
				.upstream_us = a->upstream_us,
			});
}

void worker_note_refused(void *arg, struct gate *g, const struct http_error *e)
{
	uint16_t port;

	log_response(arg, (struct access_record){
				  /* A bad head is not shown, the one of a bad body is. */
				  .http = gate_request(g)->target.n ? gate_request(g) : NULL,
				  .peer = gate_peer(g, &port),
				  .status = e->status,
				  .kind = RESPONSE_ERROR,
				  .upstream_us = -1,
			  });
}
