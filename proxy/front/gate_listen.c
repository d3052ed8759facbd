/* SPDX-License-Identifier: MIT */
/* A listener: its gates, its sockets, pausing while there are no descriptors for connections, draining. */
#include <errno.h>
#include <event2/listener.h>
#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/front/gate_internal.h"

struct gate_socket {              /* one that listens */
	struct gate_socket *next; /* guarded by sockets_mu; all else is its loop's */
	struct front *l;
	struct evhttp_bound_socket *bound;
	struct evconnlistener *accepts;
	struct event resume; /* ends a pause */
};

/* Of all loops: an error of one says no more than which evconnlistener it is. */
static struct gate_socket *sockets; /* guarded by sockets_mu */
static pthread_mutex_t sockets_mu = PTHREAD_MUTEX_INITIALIZER;

/* ---- Gates of a listener ---- */

void gate_link(struct gate *g, struct front *l)
{
	g->l = l;
	l->refs++;
	g->next = l->gates;
	if (g->next)
		g->next->prev = g;
	l->gates = g;
}

static void listener_unref(struct front *l)
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

int gate_listener_new(struct event_base *base, const struct gate_options *o, struct front **out)
{
	struct front *l = mem_zalloc(sizeof(*l));

	CHECK(o->stats && o->high_water > 0);
	*out = l;
	if (!l)
		return -ENOMEM;
	l->base = base;
	l->o = o;
	l->refs = 1;
	gate_clock_init(l);
	return 0;
}

/* ---- Sockets ---- */

static void keep_socket(struct gate_socket *s)
{
	pthread_mutex_lock(&sockets_mu);
	s->next = sockets;
	sockets = s;
	pthread_mutex_unlock(&sockets_mu);
}

/* Takes one of the listener's off the list. */
static struct gate_socket *take_socket(const struct front *l)
{
	struct gate_socket **at, *s;

	pthread_mutex_lock(&sockets_mu);
	for (at = &sockets; *at && (*at)->l != l;)
		at = &(*at)->next;
	s = *at;
	if (s)
		*at = s->next;
	pthread_mutex_unlock(&sockets_mu);
	return s;
}

static struct gate_socket *socket_of(const struct evconnlistener *accepts)
{
	struct gate_socket *s;

	pthread_mutex_lock(&sockets_mu);
	for (s = sockets; s && s->accepts != accepts;)
		s = s->next;
	pthread_mutex_unlock(&sockets_mu);
	return s;
}

static void socket_free(struct gate_socket *s)
{
	event_del(&s->resume);
	mem_free(s);
}

void gate_listener_end(struct front **lp)
{
	struct front *l = *lp;
	struct gate_socket *s;

	*lp = NULL;
	if (!l)
		return;
	while ((s = take_socket(l))) /* closed already */
		socket_free(s);
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
	(void)evconnlistener_enable(s->accepts);
}

static void pause_accepting(struct gate_socket *s)
{
	static const struct timeval pause = {0, GATE_PAUSE_MS * 1000};

	if (event_add(&s->resume, &pause) != 0)
		return;
	(void)evconnlistener_disable(s->accepts);
	s->l->o->stats->accept_pauses++;
}

/* The socket stays readable, so that without a pause the loop would come here for ever. */
static void on_accept_error(struct evconnlistener *accepts, void *arg)
{
	static struct log_limit limit;
	int err = EVUTIL_SOCKET_ERROR();
	struct gate_socket *s = socket_of(accepts);

	(void)arg; /* evhttp's */
	if (log_allowed(&limit))
		log_warn("can't accept a connection: %s", strerror(err));
	/* Others are about the one connection that was not accepted. */
	if (s && (err == EMFILE || err == ENFILE || err == ENOBUFS || err == ENOMEM))
		pause_accepting(s);
}

int front_listen(struct front *l, int fd)
{
	struct gate_socket *s = mem_zalloc(sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->l = l;
	event_assign(&s->resume, l->base, -1, 0, on_resume, s);
	s->accepts = gate_accept_on(l, fd, &s->bound);
	if (!s->accepts) {
		mem_free(s);
		return -ENOMEM;
	}
	evconnlistener_set_error_cb(s->accepts, on_accept_error);
	keep_socket(s);
	return 0;
}

void front_stop_listening(struct front *l)
{
	struct gate_socket *s;

	while ((s = take_socket(l))) {
		gate_accept_no_more(l, s->bound);
		socket_free(s);
	}
}

/* ---- Draining ---- */

void front_drain(struct front *l)
{
	front_stop_listening(l);
	l->draining = true;
	for (struct gate *g = l->gates; g; g = g->next) {
		gate_close_after_reply(g);
		g->close_idle = true;
		if (g->phase <= GATE_HEAD)
			gate_schedule(g);
	}
}
