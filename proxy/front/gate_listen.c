/* SPDX-License-Identifier: MIT */
/* Installing the gate in an evhttp, accepting connections, pausing while there are no descriptors for them, draining. */
#include <errno.h>
#include <event2/listener.h>
#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/front/gate_internal.h"

static struct gate_listener *listeners; /* guarded by listeners_mu */
static pthread_mutex_t listeners_mu = PTHREAD_MUTEX_INITIALIZER;

/* ---- Gates of a listener ---- */

void gate_link(struct gate *g, struct gate_listener *l)
{
	g->l = l;
	l->refs++;
	g->next = l->gates;
	if (g->next)
		g->next->prev = g;
	l->gates = g;
}

static void listener_unref(struct gate_listener *l)
{
	if (--l->refs > 0)
		return;
	mem_free(l->head);
	mem_free(l);
}

void gate_unlink(struct gate *g)
{
	if (g->next)
		g->next->prev = g->prev;
	if (g->prev)
		g->prev->next = g->next;
	else
		g->l->gates = g->next;
	listener_unref(g->l);
}

/* ---- Installing ---- */

int gate_install(struct evhttp *http, struct event_base *base, const struct gate_options *o)
{
	struct gate_listener *l = mem_zalloc(sizeof(*l));

	CHECK(o->stats && o->high_water > 0);
	if (!l)
		return -ENOMEM;
	l->http = http;
	l->base = base;
	l->o = o;
	l->refs = 1;
	gate_clock_init(l);
	pthread_mutex_lock(&listeners_mu);
	l->next = listeners;
	listeners = l;
	pthread_mutex_unlock(&listeners_mu);

	evhttp_set_bevcb(http, gate_on_accept, l);
	evhttp_set_default_content_type(http, NULL);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
	return 0;
}

static struct gate_listener *listener_of(struct evhttp *http, bool remove)
{
	struct gate_listener **at, *l;

	pthread_mutex_lock(&listeners_mu);
	for (at = &listeners; *at && (*at)->http != http;)
		at = &(*at)->next;
	l = *at;
	if (l && remove)
		*at = l->next;
	pthread_mutex_unlock(&listeners_mu);
	return l;
}

/* evhttp_free may have closed the socket itself. */
static void forget_sockets(struct gate_listener *l)
{
	struct gate_socket *s;

	while ((s = l->sockets)) {
		l->sockets = s->next;
		event_del(&s->resume);
		mem_free(s);
	}
}

void gate_uninstall(struct evhttp *http)
{
	struct gate_listener *l = listener_of(http, true);

	if (!l)
		return;
	forget_sockets(l);
	for (struct gate *g = l->gates; g; g = g->next)
		gate_count_out(g);
	gate_clock_fini(l);
	listener_unref(l);
}

/* ---- Accepting ---- */

static void on_resume(evutil_socket_t fd, short what, void *arg)
{
	struct gate_socket *s = arg;

	(void)fd;
	(void)what;
	(void)evconnlistener_enable(evhttp_bound_socket_get_listener(s->bound));
}

static void pause_accepting(struct gate_listener *l, struct evconnlistener *lev)
{
	static const struct timeval pause = {0, GATE_PAUSE_MS * 1000};
	struct gate_socket *s = l->sockets;

	while (s && evhttp_bound_socket_get_listener(s->bound) != lev)
		s = s->next;
	if (!s || event_add(&s->resume, &pause) != 0)
		return;
	(void)evconnlistener_disable(lev);
	l->o->stats->accept_pauses++;
}

/* The socket stays readable, so that without a pause the loop would come here for ever. arg is the evhttp. */
static void on_accept_error(struct evconnlistener *lev, void *arg)
{
	static struct log_limit limit;
	int err = EVUTIL_SOCKET_ERROR();
	struct gate_listener *l = listener_of(arg, false);

	if (log_allowed(&limit))
		log_warn("can't accept a connection: %s", strerror(err));
	/* Others are about the one connection that was not accepted. */
	if (l && (err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM))
		pause_accepting(l, lev);
}

int gate_listen(struct evhttp *http, int fd)
{
	struct gate_listener *l = listener_of(http, false);
	struct gate_socket *s = mem_zalloc(sizeof(*s));

	CHECK(l);
	if (!s)
		return -ENOMEM;
	event_assign(&s->resume, l->base, -1, 0, on_resume, s);
	s->bound = evhttp_accept_socket_with_handle(http, fd);
	if (!s->bound) {
		mem_free(s);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(evhttp_bound_socket_get_listener(s->bound), on_accept_error);
	s->next = l->sockets;
	l->sockets = s;
	return 0;
}

void gate_stop_listening(struct evhttp *http)
{
	struct gate_listener *l = listener_of(http, false);

	if (!l)
		return;
	for (struct gate_socket *s = l->sockets; s; s = s->next)
		evhttp_del_accept_socket(http, s->bound); /* closes the descriptor */
	forget_sockets(l);
}

/* ---- Draining ---- */

void gate_drain_all(struct evhttp *http)
{
	struct gate_listener *l = listener_of(http, false);

	if (!l)
		return;
	l->draining = true;
	for (struct gate *g = l->gates; g; g = g->next) {
		gate_close_after_reply(g);
		g->close_idle = true;
		if (g->phase <= GATE_HEAD)
			gate_schedule(g);
	}
}
