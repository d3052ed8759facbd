#include "proxy/worker.h"

#include <errno.h>
#include <event2/event.h>
#include <event2/http.h>
#include <signal.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/access_log.h"
#include "proxy/exchange.h"
#include "proxy/fill.h"
#include "proxy/hit.h"
#include "proxy/server.h"

#define TICK_MS 100
/* Entries that one tick looks at: 10 ticks a second walk 10,000 entries a second and worker. */
#define SWEEP_STEPS 1000
#define ANSWER_HEAD_MAX (64 * 1024)
#define HIGH_WATER (256 * 1024)

void worker_list_add(struct worker_list *head, struct worker_list *item)
{
	item->prev = head->prev;
	item->next = head;
	head->prev->next = item;
	head->prev = item;
}

void worker_list_remove(struct worker_list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	item->prev = item->next = item;
}

static void worker_list_init(struct worker_list *head)
{
	head->prev = head->next = head;
}

/* ---- Letters and ticks ---- */

static void on_mail_event(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	mailbox_deliver(&w->mailbox);
}

static void check_drained(struct worker *w)
{
	if (!w->draining || w->gate_stats.open || w->exchanges_n || atomic_load(&w->drained))
		return;
	atomic_store(&w->drained, true);
	post_mail(&w->server->mailbox, &w->drained_mail);
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct worker *w = arg;

	(void)fd;
	(void)what;
	cache_sweep(w->cache, SWEEP_STEPS, clock_now());
	check_drained(w);
}

static void on_drain_mail(struct mail *m)
{
	struct worker *w = CONTAINER_OF(m, struct worker, drain_mail);

	w->draining = true;
	worker_close_listeners(w);
	gate_drain_all(w->http);
	check_drained(w);
}

static void on_stop_mail(struct mail *m)
{
	struct worker *w = CONTAINER_OF(m, struct worker, stop_mail);

	event_base_loopbreak(w->base);
}

void post_worker_drain(struct worker *w)
{
	post_mail(&w->mailbox, &w->drain_mail);
}

void post_worker_stop(struct worker *w)
{
	post_mail(&w->mailbox, &w->stop_mail);
}

/* ---- Set-up ---- */

static void fill_upstream_options(struct upstream_options *to, const struct config_upstream *from)
{
	*to = (struct upstream_options){
		.name = from->name,
		.url = from->url.whole,
		.connect_timeout_ms = from->connect_timeout_ms,
		.first_byte_timeout_ms = from->first_byte_timeout_ms,
		.stall_timeout_ms = from->stall_timeout_ms,
		.max_connections = from->max_connections,
		.queue_max = from->queue,
		.retries = from->retries,
		.http_version = from->http_version == CONFIG_HTTP_1_1 ? UPSTREAM_HTTP_1_1
		                : from->http_version == CONFIG_HTTP_2 ? UPSTREAM_HTTP_2
		                                                      : UPSTREAM_HTTP_AUTO,
		.tls_ca = from->tls_ca,
		.tls_verify = from->tls_verify,
	};
}

static int make_upstream(struct worker *w, unsigned workers)
{
	const struct config *c = w->snapshot->config;
	struct upstream_loop_options options;

	w->upstream_options = mem_zalloc(c->upstreams_n * sizeof(*w->upstream_options));
	if (!w->upstream_options)
		return -ENOMEM;
	for (unsigned i = 0; i < c->upstreams_n; i++)
		fill_upstream_options(&w->upstream_options[i], &c->upstreams[i]);
	options = (struct upstream_loop_options){
		.base = w->base,
		.upstreams = w->upstream_options,
		.upstreams_n = c->upstreams_n,
		.loops = workers,
		.max_head_bytes = ANSWER_HEAD_MAX,
	};
	return upstream_loop_new(&options, &w->upstream);
}

static int make_front(struct worker *w)
{
	const struct config_proxy *p = &w->snapshot->config->proxy;
	int err;

	w->http = evhttp_new(w->base);
	if (!w->http)
		return -ENOMEM;
	w->gate_options = (struct gate_options){
		.max_header = p->max_header_bytes,
		.max_body = p->max_body_bytes,
		.header_timeout_ms = p->client_header_timeout_ms,
		.body_timeout_ms = p->client_body_timeout_ms,
		.idle_timeout_ms = p->client_idle_timeout_ms,
		.write_timeout_ms = p->client_write_timeout_ms,
		.high_water = HIGH_WATER,
		.answer = w->snapshot->config->cache.hit_road ? hit_answer : NULL,
		.on_refused = worker_on_refused,
		.arg = w,
		.stats = &w->gate_stats,
	};
	err = gate_install(w->http, w->base, &w->gate_options);
	if (err)
		return err;
	evhttp_set_gencb(w->http, exchange_begin, w);
	return worker_open_listeners(w);
}

static int make_events(struct worker *w)
{
	struct timeval tick = {0, TICK_MS * 1000};

	w->mail_event = event_new(w->base, w->mailbox.event_fd, EV_READ | EV_PERSIST, on_mail_event, w);
	w->tick_event = event_new(w->base, -1, EV_PERSIST, on_tick, w);
	if (!w->mail_event || !w->tick_event || event_add(w->mail_event, NULL) || event_add(w->tick_event, &tick))
		return -ENOMEM;
	return 0;
}

int worker_init(struct worker *w, const struct worker_options *o)
{
	int err;

	w->index = o->index;
	w->cache = o->cache;
	w->access_log = o->access_log;
	w->snapshot = snapshot_ref(o->snapshot);
	w->server = o->server;
	w->drain_mail.on_mail = on_drain_mail;
	w->stop_mail.on_mail = on_stop_mail;
	worker_list_init(&w->exchanges);
	worker_list_init(&w->fills);
	forward_init(&w->forward);
	target_init(&w->hit_target);
	reply_init(&w->hit_reply);
	w->base = event_base_new();
	if (!w->base)
		return -ENOMEM;
	err = make_upstream(w, o->workers);
	if (!err)
		err = make_front(w);
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
	sigset_t all, before;
	int err;

	/* Signals belong to main. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	w->is_running = err == 0;
	return -err;
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
	exchange_drop_all(w);
	fill_cancel_all(w);
}

void worker_fini(struct worker *w)
{
	worker_close_listeners(w);
	if (w->http) {
		evhttp_free(w->http);
		gate_uninstall(w->http);
	}
	upstream_loop_free(&w->upstream);
	mem_free(w->upstream_options);
	if (w->mail_event)
		event_free(w->mail_event);
	if (w->tick_event)
		event_free(w->tick_event);
	if (w->base)
		event_base_free(w->base);
	mem_free(w->listen_fds);
	forward_fini(&w->forward);
	target_fini(&w->hit_target);
	reply_fini(&w->hit_reply);
	snapshot_unref(&w->snapshot);
}
