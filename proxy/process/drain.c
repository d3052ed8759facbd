/* SPDX-License-Identifier: MIT */
#include "proxy/process/drain.h"

#include <event2/event.h>

#include "base/log.h"
#include "proxy/admin/admin.h"
#include "proxy/process/notify.h"
#include "proxy/process/takeover.h"

#define END_TICK_US 20000

static void stop_all(struct server *s)
{
	for (unsigned i = 0; i < s->service.workers_n; i++)
		post_worker_stop(&s->service.workers[i]);
	event_base_loopbreak(s->base);
}

static void begin_drain(struct server *s);

void drain_on_grace_over(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	if (!s->is_draining) { /* retiring: clients had time for their next request */
		begin_drain(s);
		return;
	}
	log_warn("shutdown_grace is over: closing what still runs");
	stop_all(arg);
}

void drain_on_end_tick(evutil_socket_t fd, short what, void *arg)
{
	struct server *s = arg;

	(void)fd;
	(void)what;
	if (admin_is_drained(s->admin))
		event_base_loopbreak(s->base);
}

/* No client is left. Operators who have asked for something (a refresh, say) get their responses. */
void drain_on_worker_drained(struct message *m)
{
	const struct timeval tick = {0, END_TICK_US};

	struct worker *w = CONTAINER_OF(m, struct worker, drained_message);
	struct server *s = CONTAINER_OF(w->service, struct server, service);

	for (unsigned i = 0; i < s->service.workers_n; i++)
		if (!atomic_load(&s->service.workers[i].drained))
			return;
	admin_drain(s->admin);
	if (event_add(s->end_event, &tick) || admin_is_drained(s->admin))
		event_base_loopbreak(s->base);
}

static void begin_drain(struct server *s)
{
	takeover_cancel(s);
	log_info("stopping: finishing what runs, %lld ms at most",
		(long long)s->service.snapshot->config->proxy.shutdown_grace_ms);
	if (!s->is_retiring)
		notify_state("STOPPING=1");
	s->is_draining = true;
	s->service.state = SERVICE_DRAINING;
	for (unsigned i = 0; i < s->service.workers_n; i++)
		post_worker_drain(&s->service.workers[i]);
	takeover_set_grace(s);
}

void drain_on_stop_signal(evutil_socket_t sig, short what, void *arg)
{
	struct server *s = arg;

	(void)what;
	(void)sig;
	if (s->is_draining)
		stop_all(s);
	else
		begin_drain(s);
}
