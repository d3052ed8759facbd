/* The gate's life: installing it, making one for each connection, moving it from phase to phase, ending it. */
#include "proxy/gate_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/mem.h"

static struct gate_listener *listeners; /* guarded by listeners_mu */
static pthread_mutex_t listeners_mu = PTHREAD_MUTEX_INITIALIZER;

static struct gate *gate_from(void *arg)
{
	struct gate *g = arg;

	CHECK(g->magic == GATE_MAGIC);
	return g;
}

/* evhttp gives its connection as the argument of the callbacks it sets on the filter, and frees the filter with the
 * connection, which clears them. */
struct evhttp_connection *gate_evcon(const struct gate *g)
{
	void *arg = NULL;

	bufferevent_getcb(g->filter, NULL, NULL, NULL, &arg);
	return arg;
}

void gate_touch(struct gate *g)
{
	g->now_ms = clock_mono_us() / 1000;
}

void gate_schedule(struct gate *g)
{
	event_active(&g->work, EV_TIMEOUT, 1);
}

void gate_schedule_later(struct gate *g)
{
	static const struct timeval next_turn = {0, 0};

	(void)event_add(&g->work, &next_turn);
}

bool gate_is_serving(const struct gate *g)
{
	return g->phase == GATE_REPLY || g->phase == GATE_DRAIN;
}

/* ---- Ending ---- */

void gate_end(struct gate *g)
{
	struct evhttp_connection *evcon = gate_evcon(g);

	if (g->phase == GATE_DEAD)
		return;
	g->phase = GATE_DEAD;
	if (g->reset) { /* evhttp is about to send a FIN, which would make what was cut look whole: RST instead */
		struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
		(void)connect(bufferevent_getfd(g->sock), &unspecified, sizeof(unspecified));
	}
	if (evcon)
		evhttp_connection_free(evcon);
}

static void forget_callbacks(struct gate *g)
{
	g->on_room = g->on_gone = g->on_complete = NULL;
}

static void tell_gone(struct gate *g)
{
	void (*on_gone)(void *arg) = gate_is_serving(g) ? g->on_gone : NULL;
	void *arg = g->on_gone_arg;

	forget_callbacks(g);
	if (on_gone)
		on_gone(arg);
}

void gate_gone(struct gate *g)
{
	tell_gone(g);
	gate_end(g);
}

/* evhttp ends the connection by itself: evhttp_free, or out of memory. */
static void on_evhttp_close(struct evhttp_connection *evcon, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)evcon;
	if (g->phase == GATE_DEAD)
		return;
	tell_gone(g);
	g->phase = GATE_DEAD;
}

void gate_close(struct gate *g)
{
	g->phase = GATE_CLOSING;
	g->on_room = NULL;
}

/* Our last byte is with the kernel. */
static void finish_closing(struct gate *g)
{
	bool more_may_come = g->linger || evbuffer_get_length(bufferevent_get_input(g->sock)) > 0;

	if (!more_may_come || g->read_eof || g->reset) {
		gate_end(g);
		return;
	}
	g->phase = GATE_LINGER;
	g->linger_ms = g->now_ms;
	(void)shutdown(bufferevent_getfd(g->sock), SHUT_WR);
}

/* ---- Going on ---- */

static void drop_input(struct gate *g)
{
	struct evbuffer *input = bufferevent_get_input(g->sock);

	g->lingered += evbuffer_get_length(input);
	evbuffer_drain(input, evbuffer_get_length(input));
	if (g->read_eof || g->lingered > GATE_LINGER_BYTES)
		gate_end(g);
}

static void end_request(struct gate *g)
{
	void (*on_complete)(void *arg) = g->on_complete;
	void *arg = g->on_complete_arg;

	forget_callbacks(g);
	if (on_complete)
		on_complete(arg);
	g->reply_bytes = 0;
	g->reply_begun = false;
	g->idle_since_ms = g->now_ms;
	g->head_start_ms = 0;
	g->phase = GATE_HEAD;
	if (g->close_after) {
		g->linger = g->linger || g->view.keep_alive;
		gate_close(g);
	}
}

static bool step(struct gate *g)
{
	switch (g->phase) {
	case GATE_HEAD:
		return gate_read_head(g);
	case GATE_BODY:
		return gate_read_body(g);
	case GATE_REPLY:
		return false;
	case GATE_DRAIN:
		if (gate_unsent(g) > 0)
			return false;
		end_request(g);
		return true;
	case GATE_CLOSING:
		if (gate_unsent(g) > 0)
			return false;
		finish_closing(g);
		return g->phase == GATE_LINGER;
	case GATE_LINGER:
		drop_input(g);
		return false;
	case GATE_DEAD:
		return false;
	}
	return false;
}

/* Reading stops while enough is held back: the client then meets a full window. evhttp switches the filter's reading off
 * when it has a request, which reaches the socket, so it is switched on again here each time. */
static void set_reading(struct gate *g)
{
	size_t waiting = evbuffer_get_length(bufferevent_get_input(g->sock));
	bool full = waiting >= g->o->max_header + GATE_READ_AHEAD && g->phase != GATE_LINGER;

	g->input_seen = waiting;
	if (g->read_eof)
		return;
	if (full != g->holds_back) {
		g->holds_back = full;
		if (full)
			bufferevent_disable(g->sock, EV_READ);
		else
			bufferevent_enable(g->sock, EV_READ);
	}
	if (!(bufferevent_get_enabled(g->filter) & EV_READ))
		bufferevent_enable(g->filter, EV_READ);
}

void gate_run(struct gate *g)
{
	for (bool again = true; again && g->phase != GATE_DEAD;) {
		gate_send(g);
		again = !g->broken && step(g);
	}
	if (g->phase == GATE_DEAD)
		return;
	gate_send(g); /* many hits, one write */
	if (g->broken) {
		gate_gone(g);
		return;
	}
	set_reading(g);
	gate_arm_timer(g);
}

/* ---- Handlers of the socket and of our own event ---- */

static void on_readable(struct bufferevent *sock, void *arg)
{
	struct gate *g = gate_from(arg);
	size_t n = evbuffer_get_length(bufferevent_get_input(sock));

	gate_touch(g);
	if (n > g->input_seen)
		g->o->stats->bytes_in += n - g->input_seen;
	g->input_seen = n;
	gate_run(g);
}

static void set_up(struct gate *g, struct evhttp_connection *evcon)
{
	int one = 1;

	g->set_up = true;
	evhttp_connection_set_closecb(evcon, on_evhttp_close, g);
	(void)setsockopt(bufferevent_getfd(g->sock), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

/* The buffers of evhttp and the socket, then whatever they made possible. */
static void go_on(struct gate *g)
{
	gate_take_output(g);
	gate_send(g);
	if (g->broken) {
		gate_gone(g);
		return;
	}
	gate_check_room(g);
	if (g->phase != GATE_DEAD && g->tell_evhttp && gate_unsent(g) == 0) {
		g->tell_evhttp = false;
		bufferevent_trigger(g->filter, EV_WRITE, 0);
	}
	gate_run(g);
}

static void on_work(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = gate_from(arg);
	struct evhttp_connection *evcon = gate_evcon(g);

	(void)fd;
	(void)what;
	if (!evcon || g->phase == GATE_DEAD)
		return;
	gate_touch(g);
	if (!g->set_up)
		set_up(g, evcon);
	go_on(g);
}

static void on_writable(struct bufferevent *sock, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)sock;
	gate_touch(g);
	go_on(g);
}

/* An end of the client's bytes is no end of the connection: it may have closed one direction only (RFC 9112 9.6). */
static void on_socket_event(struct bufferevent *sock, short what, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)sock;
	gate_touch(g);
	if (what & BEV_EVENT_ERROR || (what & BEV_EVENT_EOF && what & BEV_EVENT_WRITING)) {
		gate_gone(g);
	} else if (what & BEV_EVENT_EOF) {
		g->read_eof = true;
		gate_run(g);
	}
}

/* ---- Birth and death ---- */

static void link_gate(struct gate *g, struct gate_listener *l)
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
	if (--l->refs == 0)
		mem_free(l);
}

static void unlink_gate(struct gate *g)
{
	if (g->next)
		g->next->prev = g->prev;
	if (g->prev)
		g->prev->next = g->next;
	else
		g->l->gates = g->next;
	listener_unref(g->l);
}

/* The filter's context goes away with it: after evhttp has freed the connection and no handler of it runs. */
static void gate_free(void *arg)
{
	struct gate *g = gate_from(arg);

	event_del(&g->work);
	event_del(&g->timer);
	g->o->stats->open--;
	unlink_gate(g);
	evbuffer_free(g->out);
	evbuffer_free(g->body);
	http_request_fini(&g->view);
	mem_free(g->head);
	g->magic = 0;
	mem_free(g);
}

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

static struct gate *gate_new(struct gate_listener *l)
{
	struct gate *g = mem_zalloc(sizeof(*g));

	if (!g)
		return NULL;
	g->magic = GATE_MAGIC;
	g->o = l->o;
	http_request_init(&g->view);
	g->out = evbuffer_new();
	g->body = evbuffer_new();
	/* A socket over TLS would be made here instead, and a reader of the PROXY protocol would be a phase before HEAD. */
	g->sock = bufferevent_socket_new(l->base, -1, BEV_OPT_CLOSE_ON_FREE);
	if (g->out && g->body && g->sock)
		g->filter = bufferevent_filter_new(g->sock, no_filter, no_filter, BEV_OPT_CLOSE_ON_FREE, gate_free, g);
	if (g->filter)
		return g;
	if (g->sock)
		bufferevent_free(g->sock);
	if (g->body)
		evbuffer_free(g->body);
	if (g->out)
		evbuffer_free(g->out);
	mem_free(g);
	return NULL;
}

static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct gate_listener *l = arg;
	struct gate *g = gate_new(l);

	if (!g)
		return NULL; /* evhttp then makes a plain connection, which gate_of refuses */
	link_gate(g, l);
	event_assign(&g->work, base, -1, 0, on_work, g);
	event_assign(&g->timer, base, -1, 0, gate_on_timer, g);
	bufferevent_setcb(g->sock, on_readable, on_writable, on_socket_event, g);
	bufferevent_setwatermark(g->sock, EV_WRITE, l->o->high_water / 2, 0);
	(void)evbuffer_add_cb(bufferevent_get_output(g->filter), gate_on_evhttp_output, g);
	(void)evbuffer_add_cb(bufferevent_get_output(g->sock), gate_on_socket_output, g);
	gate_touch(g);
	g->head_start_ms = g->idle_since_ms = g->now_ms;
	g->close_after = l->draining;
	l->o->stats->accepted++;
	l->o->stats->open++;
	gate_schedule(g); /* by then evhttp has given the filter its socket */
	return g->filter;
}

/* ---- Installing ---- */

int gate_install(struct evhttp *http, struct event_base *base, const struct gate_options *o)
{
	struct gate_listener *l = mem_zalloc(sizeof(*l));

	CHECK(o->stats && o->high_water > 0);
	if (!l)
		return -ENOMEM;
	*l = (struct gate_listener){.http = http, .base = base, .o = o, .refs = 1};
	pthread_mutex_lock(&listeners_mu);
	l->next = listeners;
	listeners = l;
	pthread_mutex_unlock(&listeners_mu);

	evhttp_set_bevcb(http, on_accept, l);
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

void gate_uninstall(struct evhttp *http)
{
	struct gate_listener *l = listener_of(http, true);

	if (l)
		listener_unref(l);
}

void gate_drain_all(struct evhttp *http)
{
	struct gate_listener *l = listener_of(http, false);

	if (!l)
		return;
	l->draining = true;
	for (struct gate *g = l->gates; g; g = g->next) {
		gate_close_after_reply(g);
		g->close_idle = true;
		if (g->phase == GATE_HEAD)
			gate_schedule(g);
	}
}

/* ---- What the program asks ---- */

struct gate *gate_of(struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct bufferevent *filter = evcon ? evhttp_connection_get_bufferevent(evcon) : NULL;
	struct bufferevent *sock = filter ? bufferevent_get_underlying(filter) : NULL;
	void *arg = NULL;

	if (!sock)
		return NULL;
	bufferevent_getcb(sock, NULL, NULL, NULL, &arg);
	struct gate *g = gate_from(arg);
	if (g->phase == GATE_REPLY && g->req != req) {
		g->req = req;
		evhttp_request_set_on_complete_cb(req, gate_on_evhttp_done, g);
		if (g->close_after)
			gate_close_after_reply(g);
	}
	return g;
}

const struct http_request *gate_request(const struct gate *g)
{
	return &g->view;
}

int64_t gate_request_start_us(const struct gate *g)
{
	return g->head_done_us;
}

uint64_t gate_reply_bytes(const struct gate *g)
{
	return g->reply_bytes;
}

static void read_peer(struct gate *g)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	const struct sockaddr_in *in = (const struct sockaddr_in *)&ss;
	const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&ss;

	if (getpeername(bufferevent_getfd(g->sock), (struct sockaddr *)&ss, &n) != 0)
		return;
	g->peer_known = true;
	if (ss.ss_family == AF_INET) {
		inet_ntop(AF_INET, &in->sin_addr, g->peer, sizeof(g->peer));
		g->peer_port = ntohs(in->sin_port);
	} else if (ss.ss_family == AF_INET6) {
		bool is_v4 = IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr);
		const void *address = is_v4 ? &in6->sin6_addr.s6_addr[12] : (const void *)&in6->sin6_addr;
		inet_ntop(is_v4 ? AF_INET : AF_INET6, address, g->peer, sizeof(g->peer));
		g->peer_port = ntohs(in6->sin6_port);
	}
}

const char *gate_peer(const struct gate *g, uint16_t *port)
{
	if (!g->peer_known)
		read_peer((struct gate *)g); /* remembering it is no change to the connection */
	if (port)
		*port = g->peer_port;
	return g->peer;
}

void gate_on_room(struct gate *g, void (*on_room)(void *arg), void *arg)
{
	g->on_room = on_room;
	g->on_room_arg = arg;
}

void gate_on_gone(struct gate *g, void (*on_gone)(void *arg), void *arg)
{
	g->on_gone = on_gone;
	g->on_gone_arg = arg;
}

void gate_on_complete(struct gate *g, void (*on_complete)(void *arg), void *arg)
{
	g->on_complete = on_complete;
	g->on_complete_arg = arg;
}
