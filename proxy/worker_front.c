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

void worker_on_refused(void *arg, struct gate *g, const struct http_error *e)
{
	struct worker *w = arg;
	struct access_record record;
	uint16_t port;

	if (!w->access_log)
		return;
	record = (struct access_record){
		.http = NULL,
		.peer = gate_peer(g, &port),
		.status = e->status,
		.kind = ANSWER_ERROR,
		.upstream_us = -1,
		.wall_ms = clock_now().wall_ms,
	};
	access_log_add(w->access_log, &record);
}
