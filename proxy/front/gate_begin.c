/* SPDX-License-Identifier: MIT */
/* What comes before a connection's first request: admission, the PROXY protocol, TLS. */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "proxy/front/gate_internal.h"
#include "proxy/connection/tls.h"

/* ---- Coming in ---- */

void gate_count_out(struct gate *g)
{
	if (!g->o)
		return;
	gate_drop_body(g);
	g->o->stats->open--;
	if (g->is_inside)
		g->l->inside--;
	inbound_leave(&g->inbound, g->o);
	g->o = NULL;
}

/* A word costs nothing before TLS and the PROXY protocol begin, and fits into the socket's empty buffer. */
static void turn_away(struct gate *g)
{
	static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
				   "Connection: close\r\n\r\n";

	if (g->phase == GATE_HEAD)
		(void)evbuffer_add(g->out, busy, sizeof(busy) - 1);
	g->at_once = g->told_end = true;
	gate_close(g);
}

static void admit_address(struct gate *g)
{
	if (!inbound_admit_address(&g->inbound, g->o))
		turn_away(g);
}

/* Half a head is idle too; what the kernel still holds is not. */
static bool is_idle(const struct gate *g)
{
	int unread = 0;

	return g->is_inside && g->o && g->phase == GATE_HEAD && gate_unsent(g) == 0 &&
	       ioctl(bufferevent_getfd(g->sock), FIONREAD, &unread) == 0 && unread == 0;
}

static struct gate *longest_idle(const struct gate *g)
{
	struct gate *found = NULL;

	for (const struct link *l = g->l->gates.next; l != &g->l->gates; l = l->next) {
		struct gate *other = CONTAINER_OF(l, struct gate, link);

		if (other != g && is_idle(other) && (!found || other->idle_since_ms <= found->idle_since_ms))
			found = other;
	}
	return found;
}

/* Of those that come at once none has been read yet, so none may seem idle: they may stay until the next one comes. False:
 * turned away. */
static bool find_place(struct gate *g)
{
	unsigned most = g->o->most_open;
	struct gate *idle;

	while (most && g->l->inside >= most && (idle = longest_idle(g))) {
		g->o->stats->idle_evicted++;
		gate_count_out(idle); /* libevent frees it in its own time */
		gate_end(idle);
	}
	if (most == 0 || g->l->inside < 4 * most) {
		g->is_inside = true;
		g->l->inside++;
		return true;
	}
	g->o->stats->refused_total_bound++;
	turn_away(g);
	return false;
}

/* ---- The PROXY protocol ---- */

void gate_set_up(struct gate *g, event_callback_fn on_readable)
{
	int one = 1;

	g->set_up = true;
	gate_watch_end(g);
	(void)setsockopt(bufferevent_getfd(g->sock), IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	gate_begin_quick(g, on_readable);
	inbound_read_peer(&g->inbound, bufferevent_getfd(g->sock));
	if (!find_place(g))
		return;
	if (!inbound_admit(&g->inbound, g->o) || (g->o->proxy_protocol && !inbound_is_trusted(&g->inbound, g->o)))
		turn_away(g);
	else if (!g->o->proxy_protocol)
		admit_address(g);
}

/* Nothing of a request has come, and nothing will. */
static bool ends_before_request(struct gate *g)
{
	if (!g->read_eof && !(g->close_idle && evbuffer_get_length(bufferevent_get_input(g->sock)) == 0))
		return false;
	g->at_once = g->told_end = true;
	gate_close(g);
	return true;
}

bool gate_read_proxy_header(struct gate *g)
{
	switch (inbound_read_header(&g->inbound, g->o, bufferevent_get_input(g->sock))) {
	case PROXY_HEADER_MORE:
		return ends_before_request(g);
	case PROXY_HEADER_BAD:
		turn_away(g);
		return true;
	case PROXY_HEADER_DONE:
		break;
	}
	g->phase = g->tls ? GATE_HANDSHAKE : GATE_HEAD;
	admit_address(g);
	return true;
}

/* ---- TLS ---- */

bool gate_handshake(struct gate *g)
{
	switch (tls_stream_handshake(g->tls)) {
	case TLS_OK:
		g->o->stats->tls_handshakes++;
		g->head_start_ms = g->now_ms;
		g->phase = GATE_HEAD;
		return true;
	case TLS_MORE:
		gate_send(g);
		return ends_before_request(g);
	default:
		g->o->stats->tls_failures++;
		g->told_end = true; /* by an alert */
		gate_close(g);
		return true;
	}
}
