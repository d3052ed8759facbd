/* SPDX-License-Identifier: MIT */
/* The gate's life: moving it from phase to phase, ending it; what the program asks of it. */
#include "proxy/front/gate_internal.h"

#include <errno.h>
#include <sys/socket.h>

#include "proxy/connection/tls.h"

/* ---- Ending ---- */

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

	gate_forget_callbacks(g);
	if (on_complete.fn)
		on_complete.fn(on_complete.arg);
	gate_drop_long_head(g);
	g->response_begun = g->was_probed = false;
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
	case GATE_TURN:
		if (!gate_takes_step(g))
			return false;
		gate_begin_body(g);
		return true;
	case GATE_BODY:
		return gate_read_body(g);
	case GATE_WHOLE:
		if (!gate_takes_step(g))
			return false;
		gate_hand_over(g);
		return true;
	case GATE_RESPONSE:
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

static void run(struct gate *g)
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
		if (g->phase != GATE_HEAD || gate_takes_step(g)) /* nobody waits for an idle one's end */
			gate_gone(g);
		return;
	}
	set_reading(g);
	gate_arm_timer(g);
}

/* ---- Handlers of the socket and of our own event ---- */

static void on_bytes(struct gate *g, size_t n)
{
	g->o->stats->bytes_in += n;
	g->l->ahead = (struct slice){g->l->read, n};
	if (g->phase != GATE_HEAD || evbuffer_get_length(g->in) > 0)
		gate_keep_ahead(g);
	run(g);
}

static void on_quick_readable(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = gate_from(arg);
	ssize_t n = gate_receive(g, g->l->read, sizeof(g->l->read));

	(void)fd;
	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	gate_touch(g);
	if (n > 0) {
		on_bytes(g, (size_t)n);
	} else if (n == 0) {
		gate_note_end(g);
		event_del(&g->readable);
		run(g);
	} else {
		g->broken = true;
		event_del(&g->readable);
		run(g);
	}
}

void gate_on_readable(struct bufferevent *sock, void *arg)
{
	struct gate *g = gate_from(arg);
	size_t n = evbuffer_get_length(bufferevent_get_input(sock));

	gate_touch(g);
	if (n > g->input_seen)
		g->o->stats->bytes_in += n - g->input_seen;
	g->input_seen = n;
	run(g);
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
	run(g);
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
		gate_set_up(g, on_quick_readable);
	go_on(g);
}

void gate_on_writable(struct bufferevent *sock, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)sock;
	gate_touch(g);
	go_on(g);
}

void gate_on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)fd;
	(void)what;
	if (g->phase == GATE_DEAD || !gate_is_connected(g))
		return;
	g->timer_at_ms = 0;
	gate_touch(g);
	if (gate_time_is_up(g))
		run(g);
}

void gate_on_socket_event(struct bufferevent *sock, short what, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)sock;
	gate_touch(g);
	if (what & BEV_EVENT_ERROR || (what & BEV_EVENT_EOF && what & BEV_EVENT_WRITING)) {
		g->broken = true;
		run(g);
	} else if (what & BEV_EVENT_EOF) {
		gate_note_end(g);
		run(g);
	}
}

/* ---- What the program asks ---- */

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
