/* SPDX-License-Identifier: MIT */
/* The gate's life: moving it from phase to phase, ending it; what the program asks of it. */
#include "proxy/front/gate_internal.h"

#include <sys/socket.h>

#include "proxy/front/tls.h"

struct gate *gate_from(void *arg)
{
	struct gate *g = arg;

	CHECK(g->magic == GATE_MAGIC);
	return g;
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

static bool is_serving(const struct gate *g)
{
	return g->phase == GATE_REPLY || g->phase == GATE_DRAIN;
}

/* ---- Ending ---- */

void gate_end(struct gate *g)
{
	if (g->phase == GATE_DEAD)
		return;
	g->phase = GATE_DEAD;
	gate_forget_request(g);
	gate_end_quick(g);
	if (g->reset) { /* closing sends a FIN, which would make what was cut look whole: RST instead */
		struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
		(void)connect(bufferevent_getfd(g->sock), &unspecified, sizeof(unspecified));
	}
	gate_disconnect(g);
}

static void forget_callbacks(struct gate *g)
{
	g->transport.on_room = g->transport.on_gone = g->transport.on_complete =
		(struct transport_callback){NULL, NULL};
}

static void tell_gone(struct gate *g)
{
	struct transport_callback on_gone = g->transport.on_gone;

	forget_callbacks(g);
	gate_drop_pending(g);
	if (is_serving(g) && on_gone.fn)
		on_gone.fn(on_gone.arg);
}

void gate_gone(struct gate *g)
{
	tell_gone(g);
	gate_end(g);
}

/* The front ends, or evhttp is out of memory. */
void gate_left(struct gate *g)
{
	if (g->phase == GATE_DEAD)
		return;
	tell_gone(g);
	gate_end_quick(g);
	gate_forget_request(g);
	g->phase = GATE_DEAD;
}

void gate_close(struct gate *g)
{
	g->phase = GATE_CLOSING;
	g->transport.on_room.fn = NULL;
}

/* Our last byte is with the kernel. */
static void finish_closing(struct gate *g)
{
	bool more_may_come = g->linger || evbuffer_get_length(g->in) > 0;

	if (!more_may_come || g->at_once || g->read_eof || g->reset) {
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
	g->lingered += evbuffer_get_length(g->in);
	evbuffer_drain(g->in, evbuffer_get_length(g->in));
	if (g->read_eof || g->lingered > GATE_LINGER_BYTES)
		gate_end(g);
}

static void end_request(struct gate *g)
{
	struct transport_callback on_complete = g->transport.on_complete;

	forget_callbacks(g);
	if (on_complete.fn)
		on_complete.fn(on_complete.arg);
	gate_drop_long_head(g);
	g->reply_begun = false;
	g->idle_since_ms = g->now_ms;
	g->head_start_ms = 0;
	g->phase = GATE_HEAD;
	if (g->close_after) {
		g->linger = g->linger || g->view.keep_alive;
		gate_close(g);
	}
}

/* Everything but TLS's own end is with the kernel. */
static bool tell_end(struct gate *g)
{
	if (!g->tls || g->told_end || g->reset)
		return false;
	g->told_end = true;
	tls_stream_close(g->tls);
	return true;
}

static bool step(struct gate *g)
{
	switch (g->phase) {
	case GATE_PROXY:
		return gate_read_proxy_header(g);
	case GATE_HANDSHAKE:
		return gate_handshake(g);
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
		if (tell_end(g))
			return true;
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
	bool full = evbuffer_get_length(g->in) >= g->o->max_header + GATE_READ_AHEAD && g->phase != GATE_LINGER;

	if (g->room_wait_ms)
		full = true;
	/* TLS answers some of what it reads by itself. */
	if (g->tls && evbuffer_get_length(bufferevent_get_output(g->sock)) > 2 * g->o->high_water)
		full = true;
	if (!g->is_quick)
		g->input_seen = evbuffer_get_length(bufferevent_get_input(g->sock));
	if (g->read_eof)
		return;
	if (full != g->holds_back)
		gate_hold_back(g, full);
	if (!g->is_quick && !(bufferevent_get_enabled(g->filter) & EV_READ))
		bufferevent_enable(g->filter, EV_READ);
}

void gate_run(struct gate *g)
{
	for (bool again = true; again && g->phase != GATE_DEAD;) {
		gate_send(g);
		gate_decrypt(g);
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

void gate_on_readable(struct bufferevent *sock, void *arg)
{
	struct gate *g = gate_from(arg);
	size_t n = evbuffer_get_length(bufferevent_get_input(sock));

	gate_touch(g);
	if (n > g->input_seen)
		g->o->stats->bytes_in += n - g->input_seen;
	g->input_seen = n;
	gate_run(g);
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
	if (g->phase != GATE_DEAD && gate_unsent(g) == 0)
		gate_tell_sent(g);
	gate_run(g);
}

void gate_on_work(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)fd;
	(void)what;
	if (!gate_is_connected(g) || g->phase == GATE_DEAD)
		return;
	gate_touch(g);
	if (!g->set_up)
		gate_set_up(g);
	go_on(g);
}

void gate_on_writable(struct bufferevent *sock, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)sock;
	gate_touch(g);
	go_on(g);
}

/* An end of the client's bytes is no end of the connection: it may have closed one direction only (RFC 9112 9.6). */
void gate_on_socket_event(struct bufferevent *sock, short what, void *arg)
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

/* ---- What the program asks ---- */

void gate_fill_transport(struct gate *g, const struct transport_ops *ops)
{
	g->transport.ops = ops;
	g->transport.request = &g->view;
	g->transport.peer = g->inbound.peer_text;
	g->transport.is_tls = g->tls != NULL;
	g->transport.start_us = g->head_done_us;
}

const struct http_request *gate_request(const struct gate *g)
{
	return &g->view;
}

const char *gate_peer(const struct gate *g, uint16_t *port)
{
	if (port)
		*port = g->inbound.peer.port;
	return g->inbound.peer_text;
}
