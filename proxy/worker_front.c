/* A worker's listeners, and what its gate tells it. */
#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/access_log.h"
#include "proxy/worker.h"

int worker_open_listeners(struct worker *w)
{
	w->bound = mem_zalloc((w->listen_fds_n + 1) * sizeof(*w->bound));
	if (!w->bound)
		return -ENOMEM;
	for (unsigned i = 0; i < w->listen_fds_n; i++) {
		w->bound[i] = evhttp_accept_socket_with_handle(w->http, w->listen_fds[i]);
		if (!w->bound[i])
			return -ENOMEM;
	}
	return 0;
}

void worker_close_listeners(struct worker *w)
{
	for (unsigned i = 0; w->bound && i < w->listen_fds_n; i++)
		if (w->bound[i])
			evhttp_del_accept_socket(w->http, w->bound[i]); /* closes the descriptor */
	mem_free(w->bound);
	w->bound = NULL;
}

/* NULL when a reload has taken the route away. */
static struct route_stats *route_stats_of(struct worker *w, const struct worker_answer *a)
{
	const struct config *now = w->snapshot->config;

	if (a->snapshot == w->snapshot)
		return &w->routes[a->route];
	for (unsigned i = 0; i < now->routes_n; i++)
		if (slice_equal(now->routes[i].name, a->snapshot->config->routes[a->route].name))
			return &w->routes[i];
	return NULL;
}

static bool is_saved(enum answer_kind k)
{
	return k == ANSWER_HIT || k == ANSWER_STALE || k == ANSWER_COLLAPSED;
}

void worker_note_answer(struct worker *w, const struct worker_answer *a)
{
	struct route_stats *route = route_stats_of(w, a);

	w->stats.answers[a->kind]++;
	if (!a->is_cut)
		latency_add(&w->stats.latency[a->kind], a->total_us);
	if (!route)
		return;
	route->answers[a->kind]++;
	if (is_saved(a->kind))
		route->saved_us += (uint64_t)atomic_load_explicit(&a->snapshot->fetch_us[a->route], memory_order_relaxed);
}

uint64_t worker_request_id(struct worker *w)
{
	return ++w->next_request_id;
}

void worker_on_refused(void *arg, struct gate *g, const struct http_error *e)
{
	struct worker *w = arg;
	struct access_record record;
	uint16_t port;

	if (!w->access_log)
		return;
	record = (struct access_record){
		.http = gate_request(g)->target.n ? gate_request(g) : NULL, /* a bad head is not shown, the one of a bad body is */
		.peer = gate_peer(g, &port),
		.status = e->status,
		.kind = ANSWER_ERROR,
		.upstream_us = -1,
		.wall_ms = clock_now().wall_ms,
		.id = worker_request_id(w),
	};
	access_log_add(w->access_log, &record);
}
