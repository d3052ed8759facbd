/* SPDX-License-Identifier: MIT */
/* A listener: its gates' birth and death, its sockets, pausing while there are no descriptors for connections, draining. */
#include <errno.h>
#include <event2/listener.h>
#include <pthread.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "proxy/front/gate_internal.h"
#include "proxy/connection/tls.h"

struct gate_socket {      /* one that listens */
	struct link link; /* of sockets, guarded by sockets_mu; all else is its loop's */
	struct front *l;
	struct evhttp_bound_socket *bound;
	struct evconnlistener *accepts;
	struct event resume; /* ends a pause */
};

/* Of all loops: an error of one says no more than which evconnlistener it is. */
static struct link sockets = {&sockets, &sockets}; /* guarded by sockets_mu */
static pthread_mutex_t sockets_mu = PTHREAD_MUTEX_INITIALIZER;

/* ---- Gates of a listener ---- */

static void link_gate(struct gate *g, struct front *l)
{
	g->l = l;
	l->refs++;
	link_prepend(&l->gates, &g->link);
}

static void listener_unref(struct front *l)
{
	if (--l->refs > 0)
		return;
	mem_free(l->head);
	mem_free(l);
}

static void unlink_gate(struct gate *g)
{
	link_remove(&g->link);
	listener_unref(g->l);
}

/* ---- Death ---- */

static void free_buffers(struct gate *g)
{
	tls_stream_free(&g->tls);
	if (g->wire)
		evbuffer_free(g->wire);
	if (g->in_is_own && g->in)
		evbuffer_free(g->in);
	if (g->out)
		evbuffer_free(g->out);
}

/* The filter's context goes away with it: after evhttp has freed the connection and no handler of it runs. */
static void gate_free(void *arg)
{
	struct gate *g = gate_from(arg);

	event_del(&g->work);
	event_del(&g->timer);
	link_remove(&g->behind);
	gate_count_out(g);
	unlink_gate(g);
	free_buffers(g);
	http_request_fini(&g->view);
	mem_free(g->head);
	g->magic = 0;
	gate_drop_pending(g);
	mem_free(g);
}

/* ---- Birth ---- */

/* The filter moves nothing by itself. */
static enum bufferevent_filter_result no_filter(
	struct evbuffer *src, struct evbuffer *dst, ev_ssize_t limit, enum bufferevent_flush_mode mode, void *arg)
{
	(void)src;
	(void)dst;
	(void)limit;
	(void)mode;
	(void)arg;
	return BEV_NEED_MORE;
}

static bool make_buffers(struct gate *g)
{
	g->out = evbuffer_new();
	g->in_is_own = g->o->tls || gate_is_quick(g->o);
	g->in = g->in_is_own ? evbuffer_new() : bufferevent_get_input(g->sock);
	if (!g->o->tls)
		return g->out && g->in;
	g->wire = evbuffer_new();
	return g->out && g->in && g->wire &&
	       tls_stream_new(g->o->tls, bufferevent_get_input(g->sock), g->wire, &g->tls) == 0;
}

static struct gate *gate_new(struct front *l)
{
	struct gate *g = mem_zalloc(sizeof(*g));

	if (!g)
		return NULL;
	g->magic = GATE_MAGIC;
	g->o = l->o;
	g->phase = g->o->proxy_protocol ? GATE_PROXY : g->o->tls ? GATE_HANDSHAKE : GATE_HEAD;
	http_request_init(&g->view);
	link_init(&g->behind);
	g->sock = bufferevent_socket_new(l->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (g->sock && make_buffers(g))
		g->filter = bufferevent_filter_new(g->sock, no_filter, no_filter, BEV_OPT_CLOSE_ON_FREE, gate_free, g);
	if (g->filter)
		return g;
	free_buffers(g);
	if (g->sock)
		bufferevent_free(g->sock);
	gate_drop_pending(g);
	mem_free(g);
	return NULL;
}

/* ---- One turn's accepting ---- */

/* But for sockets that wait for descriptors. */
static void set_accepting(const struct front *l, int (*set)(struct evconnlistener *accepts))
{
	pthread_mutex_lock(&sockets_mu);
	for (const struct link *at = sockets.next; at != &sockets; at = at->next) {
		struct gate_socket *s = CONTAINER_OF(at, struct gate_socket, link);

		if (s->l == l && !event_pending(&s->resume, EV_TIMEOUT, NULL))
			(void)set(s->accepts);
	}
	pthread_mutex_unlock(&sockets_mu);
}

static void on_more(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	set_accepting(arg, evconnlistener_enable);
}

/* libevent would accept all that have come before it looks at anything else, a whole herd of new clients before the next
 * request of one that is connected. Without memory for the event it does. */
static void end_accepting_turn(struct front *l)
{
	static const struct timeval next_turn = {0, 0};

	l->accepted = 0;
	if (event_add(&l->more, &next_turn) == 0)
		set_accepting(l, evconnlistener_disable);
}

static struct gate *accept_one(struct front *l)
{
	struct gate *g = gate_new(l);

	if (++l->accepted >= GATE_ACCEPTS_PER_TURN)
		end_accepting_turn(l);
	if (!g)
		return NULL;
	link_gate(g, l);
	g->sock_out = bufferevent_get_output(g->sock);
	g->filter_out = bufferevent_get_output(g->filter);
	event_assign(&g->work, l->base, -1, 0, gate_on_work, g);
	event_assign(&g->timer, l->base, -1, 0, gate_on_timer, g);
	bufferevent_setcb(g->sock, gate_on_readable, gate_on_writable, gate_on_socket_event, g);
	bufferevent_setwatermark(g->sock, EV_WRITE, l->o->high_water / 2, 0);
	(void)evbuffer_add_cb(g->sock_out, gate_on_socket_output, g);
	gate_touch(g);
	g->head_start_ms = g->idle_since_ms = g->now_ms;
	g->close_after = l->draining;
	l->o->stats->accepted++;
	l->o->stats->open++;
	gate_schedule(g); /* by then the filter has its socket */
	return g;
}

/* ---- Sockets ---- */

static void keep_socket(struct gate_socket *s)
{
	pthread_mutex_lock(&sockets_mu);
	link_append(&sockets, &s->link);
	pthread_mutex_unlock(&sockets_mu);
}

/* One of the front's, or the one that `accepts`. */
static struct gate_socket *find_socket(const struct front *l, const struct evconnlistener *accepts)
{
	struct gate_socket *found = NULL;

	pthread_mutex_lock(&sockets_mu);
	for (const struct link *at = sockets.next; at != &sockets && !found; at = at->next) {
		struct gate_socket *s = CONTAINER_OF(at, struct gate_socket, link);

		if (s->l == l || s->accepts == accepts)
			found = s;
	}
	pthread_mutex_unlock(&sockets_mu);
	return found;
}

/* Before it stops listening: no other that listens lies where it did as long as it is found. */
static void socket_free(struct gate_socket *s)
{
	pthread_mutex_lock(&sockets_mu);
	link_remove(&s->link);
	pthread_mutex_unlock(&sockets_mu);
	event_del(&s->resume);
	mem_free(s);
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
	struct gate_socket *s = find_socket(NULL, accepts);

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

	while ((s = find_socket(l, NULL))) {
		struct evhttp_bound_socket *bound = s->bound;

		socket_free(s);
		gate_accept_no_more(l, bound);
	}
}

/* ---- Draining ---- */

void front_drain(struct front *l)
{
	front_stop_listening(l);
	l->draining = true;
	for (const struct link *at = l->gates.next; at != &l->gates; at = at->next) {
		struct gate *g = CONTAINER_OF(at, struct gate, link);

		gate_close_after_response(g);
		g->close_idle = true;
		if (g->phase <= GATE_HEAD)
			gate_schedule(g);
	}
}

/* ---- A front ---- */

int front_new(struct event_base *base, const struct gate_options *o, struct front **out)
{
	struct front *l = mem_zalloc(sizeof(*l));

	CHECK(o->stats && o->high_water > 0);
	*out = NULL;
	if (!l)
		return -ENOMEM;
	l->base = base;
	l->o = o;
	l->refs = 1;
	link_init(&l->gates);
	l->accept = accept_one;
	if (gate_http_new(l)) {
		mem_free(l);
		return -ENOMEM;
	}
	gate_clock_init(l);
	event_assign(&l->more, base, -1, 0, on_more, l);
	*out = l;
	return 0;
}

/* What libevent has not freed yet when this returns goes with its event base. */
void front_free(struct front **lp)
{
	struct front *l = *lp;
	struct gate_socket *s;

	*lp = NULL;
	if (!l)
		return;
	while ((s = find_socket(l, NULL)))
		socket_free(s);
	gate_http_free(l); /* with its sockets and connections */
	for (const struct link *at = l->gates.next; at != &l->gates; at = at->next)
		gate_count_out(CONTAINER_OF(at, struct gate, link));
	gate_clock_fini(l);
	event_del(&l->more);
	listener_unref(l);
}
