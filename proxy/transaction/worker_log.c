/* SPDX-License-Identifier: MIT */
/* What a worker counts and logs of its responses. */
#include "proxy/front/gate.h"
#include "proxy/front/transport.h"
#include "proxy/record/access_line.h"
#include "proxy/record/access_log.h"
#include "proxy/transaction/failure.h"
#include "proxy/transaction/worker.h"

uint64_t worker_new_id(struct worker *w)
{
	return ++w->next_request_id;
}

static void log_response(struct worker *w, struct access_record record)
{
	record.wall_ms = clock_now().wall_ms;
	if (!record.id)
		record.id = worker_new_id(w);
	if (w->access_log)
		access_log_add(w->access_log, &record);
}

struct route_stats *worker_route_stats(struct worker *w, const struct snapshot *s, unsigned route)
{
	const struct config_route *now;

	if (s == w->snapshot)
		return &w->routes[route];
	now = config_route_named(w->snapshot->config, s->config->routes[route].rules.route);
	return now ? &w->routes[now->rules.route_index] : NULL;
}

/* Of its upstream; NULL when a reload has taken that away. */
static struct asker_stats *asker_stats_of(struct worker *w, const struct worker_response *r)
{
	const struct config *now = w->snapshot->config, *then = r->snapshot->config;
	unsigned i = then->routes[r->route].upstream;
	const struct config_upstream *u;

	if (r->snapshot == w->snapshot)
		return &w->askers[i];
	u = config_upstream_named(now, then->upstreams[i].name);
	return u ? &w->askers[u - now->upstreams] : NULL;
}

static bool is_saved(enum response_kind k)
{
	return k == RESPONSE_HIT || k == RESPONSE_STALE || k == RESPONSE_COLLAPSED;
}

static void count_response(struct worker *w, const struct worker_response *r)
{
	struct route_stats *route = worker_route_stats(w, r->snapshot, r->route);
	struct asker_stats *asker = asker_stats_of(w, r);
	unsigned slot = http_status_slot(r->status);

	w->stats.responses[r->kind]++;
	w->stats.codes[slot]++;
	if (asker)
		asker->codes[slot]++;
	if (r->status != STATUS_CLIENT_GONE) /* a cut says nothing about how long responses take */
		latency_add(&w->stats.latency[r->kind], r->total_us);
	if (!route)
		return;
	route->responses[r->kind]++;
	route->codes[slot]++;
	if (is_saved(r->kind))
		route->saved_us +=
			(uint64_t)atomic_load_explicit(&r->snapshot->fetch_us[r->route], memory_order_relaxed);
}

void worker_note_response(struct worker *w, const struct worker_response *r)
{
	count_response(w, r);
	log_response(w, (struct access_record){
				.http = r->transport->request,
				.peer = r->transport->peer,
				.status = r->status,
				.body_bytes = r->body_bytes,
				.kind = r->kind,
				.route = r->snapshot->config->routes[r->route].rules.route,
				.total_us = r->total_us,
				.upstream_us = r->upstream_us,
				.id = r->id,
				.error = r->error,
			});
}

/* Of the default route: which one it would have been is not asked of a request that is none. */
static void say_refused(struct worker *w, const struct http_request *r, const struct failure *why, struct slice id,
	struct gate_refusal *out)
{
	static const struct http_request none = {.method = HTTP_GET};
	const struct config *config = w->snapshot->config;
	const struct response_problem p = {
		.status = why->status,
		.detail = why->detail,
		.error = why->error,
		.retry_after_s = why->retry_after_s,
		.id = id,
		.proxy_status = config->proxy.proxy_status,
		.pages = &config->routes[config->routes_n - 1].error_pages,
	};
	struct response *said = &w->hit_response;

	if (response_problem(said, r ? r : &none, &p, clock_now(), NULL))
		return;
	*out = (struct gate_refusal){buf_slice(&said->head), buf_slice(&said->text)};
}

void worker_note_refused(void *arg, struct gate *g, const struct http_error *e, struct gate_refusal *out)
{
	struct worker *w = arg;
	/* A bad head is not shown, the one of a bad body is. */
	const struct http_request *r = gate_request(g)->target.n ? gate_request(g) : NULL;
	const struct failure why = failure_of(e->status, e->reason);
	uint64_t id = worker_new_id(w);
	char text[17];
	uint16_t port;

	w->stats.codes[http_status_slot(e->status)]++;
	say_refused(w, r, &why, access_id(r, id, text), out);
	log_response(w, (struct access_record){
				.http = r,
				.peer = gate_peer(g, &port),
				.status = e->status,
				.body_bytes = r && r->method == HTTP_HEAD ? 0 : out->body.n,
				.kind = RESPONSE_ERROR,
				.upstream_us = -1,
				.id = id,
				.error = why.error,
			});
}
