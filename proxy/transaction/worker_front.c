/* SPDX-License-Identifier: MIT */
/* A worker's listeners. */
#include <errno.h>
#include <event2/event.h>
#include <unistd.h>

#include "base/mem.h"
#include "proxy/front/front.h"
#include "proxy/transaction/transaction.h"
#include "proxy/transaction/hit.h"
#include "proxy/transaction/service.h"
#include "proxy/transaction/worker.h"

#define HIGH_WATER (256 * 1024)

struct worker_listener {
	struct front *front;
	bool purges;
	struct gate_options options;
};

static void configure(const struct worker *w, struct worker_listener *l)
{
	const struct config_proxy *p = &w->snapshot->config->proxy;
	struct gate_options *o = &l->options;

	o->max_header = p->max_header_bytes;
	o->max_body = p->max_body_bytes;
	o->header_timeout_ms = p->client_header_timeout_ms;
	o->body_timeout_ms = p->client_body_timeout_ms;
	o->body_rate = p->client_body_rate;
	o->idle_timeout_ms = p->client_idle_timeout_ms;
	o->write_timeout_ms = p->client_write_timeout_ms;
	o->answer = w->snapshot->config->cache.fast_path ? hit_answer : NULL;
	o->trusted = &p->proxy_trusted;
	o->balancers = &p->trusted_proxies;
	o->purgers = l->purges ? &p->purge_from : NULL;
}

static int open_listener(struct worker *w, unsigned i)
{
	const struct config_address *address = &w->snapshot->config->proxy.listen.v[w->listen_addresses[i]];
	struct worker_listener *l = &w->listeners[i];
	int err;

	l->options = (struct gate_options){
		.high_water = HIGH_WATER,
		.on_refused = worker_note_refused,
		.on_request = transaction_begin,
		.arg = w,
		.stats = &w->gate_stats,
		.admission = w->service->admission,
		.bodies = &w->bodies,
		.tls = address->tls ? w->service->tls : NULL,
		.proxy_protocol = address->proxy_protocol,
	};
	l->purges = address->purge;
	configure(w, l);
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
		configure(w, &w->listeners[i]);
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
