/* SPDX-License-Identifier: MIT */
/* The way out: to the socket, backpressure, interim responses, what heads say of the connection. */
#include "proxy/front/gate_internal.h"

#include <errno.h>

#include "proxy/connection/tls.h"

/* ---- The socket ---- */

void gate_on_socket_output(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	struct gate *g = arg;

	(void)b;
	if (info->n_deleted == 0)
		return;
	g->o->stats->bytes_out += info->n_deleted;
	gate_touch(g);
	g->progress_ms = g->now_ms;
}

/* What the socket takes at once need not wait for the loop to say that it is writable. */
static void write_now(struct gate *g, struct evbuffer *wire)
{
	int n = evbuffer_write(wire, bufferevent_getfd(g->sock));

	if (n > 0) {
		g->o->stats->bytes_out += (uint64_t)n;
		g->progress_ms = g->now_ms;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		g->broken = true;
	}
}

static void send_wire(struct gate *g, struct evbuffer *wire)
{
	struct evbuffer *socket_out = bufferevent_get_output(g->sock);

	if (evbuffer_get_length(wire) == 0)
		return;
	if (evbuffer_get_length(socket_out) == 0) {
		write_now(g, wire);
		if (evbuffer_get_length(wire) == 0 || g->broken)
			return;
		g->progress_ms = g->now_ms;
	}
	(void)evbuffer_add_buffer(socket_out, wire);
}

/* Ciphertext takes memory of its own, where plain responses often refer to stored ones: it is made in portions, the next
 * when the socket has taken most of the last (on_writable), or has taken all of it at once. */
static void send_encrypted(struct gate *g)
{
	size_t waiting = evbuffer_get_length(bufferevent_get_output(g->sock));

	if (evbuffer_get_length(g->out) > 0 && waiting < g->o->high_water &&
		tls_stream_write(g->tls, g->out, g->o->high_water - waiting) != 0) {
		g->broken = true;
		return;
	}
	send_wire(g, g->wire);
	if (evbuffer_get_length(g->out) > 0 && evbuffer_get_length(bufferevent_get_output(g->sock)) == 0)
		gate_schedule_later(g);
}

void gate_send(struct gate *g)
{
	if (g->l->said_n > 0)
		gate_send_said(g);
	if (g->tls)
		send_encrypted(g);
	else
		send_wire(g, g->out);
}

size_t gate_unsent(const struct gate *g)
{
	size_t n = evbuffer_get_length(g->sock_out) + evbuffer_get_length(g->out) + evbuffer_get_length(g->filter_out) +
		   g->l->said_n;

	return g->wire ? n + evbuffer_get_length(g->wire) : n;
}

void gate_decrypt(struct gate *g)
{
	if (!g->tls || g->broken || g->phase <= GATE_HANDSHAKE || g->phase >= GATE_LINGER ||
		evbuffer_get_length(bufferevent_get_input(g->sock)) == 0)
		return;
	switch (tls_stream_read(g->tls, g->in)) {
	case TLS_ENDED:
		gate_note_end(g);
		break;
	case TLS_FAILED:
		g->o->stats->tls_failures++;
		send_wire(g, g->wire); /* an alert, if the socket has room for it */
		g->broken = true;
		break;
	default:
		break;
	}
}

/* ---- Backpressure ---- */

size_t gate_room_below(struct gate *g, size_t mark)
{
	size_t unsent = gate_unsent(g);

	if (unsent < mark)
		return mark - unsent;
	g->wants_room_below = mark;
	return 0;
}

size_t gate_room(struct gate *g)
{
	return gate_room_below(g, g->o->high_water);
}

void gate_check_room(struct gate *g)
{
	if (g->wants_room_below == 0 || gate_unsent(g) > g->wants_room_below / 2)
		return;
	g->wants_room_below = 0;
	if (g->transport.on_room.fn)
		g->transport.on_room.fn(g->transport.on_room.arg);
}

/* ---- What the program does to a response ---- */

void gate_write_informational(struct gate *g, int status, const struct http_fields *fields)
{
	if (g->phase != GATE_RESPONSE || g->view.minor == 0 || g->response_begun)
		return;
	evbuffer_add_printf(g->out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
	for (uint32_t i = 0; fields && i < fields->n; i++) {
		const struct http_field *f = &fields->v[i];
		evbuffer_add(g->out, f->name.p, f->name.n);
		evbuffer_add(g->out, ": ", 2);
		evbuffer_add(g->out, f->value.p, f->value.n);
		evbuffer_add(g->out, "\r\n", 2);
	}
	evbuffer_add(g->out, "\r\n", 2);
	gate_schedule(g);
}

void gate_forget_callbacks(struct gate *g)
{
	g->transport.on_room = g->transport.on_gone = g->transport.on_complete =
		(struct transport_callback){NULL, NULL};
}

/* Whether the connection stays (RFC 9112 9.3; an HTTP/1.0 client that asked for it is told), how the body ends, and the empty line. */
void gate_end_head(const struct gate *g, const struct transport_head *head, bool closes)
{
	if (head->is_unframed && g->view.minor != 0)
		buf_add_str(head->text, "Transfer-Encoding: chunked\r\n");
	if (closes)
		buf_add_str(head->text, "Connection: close\r\n");
	else if (g->view.minor == 0)
		buf_add_str(head->text, "Connection: keep-alive\r\n");
	buf_add(head->text, "\r\n", 2);
}

/* ---- Transports ---- */

/* A value that is neither of the two, or more than one, says nothing that could be relied on. */
static bool is_https(const struct gate *g)
{
	const struct config_networks *balancers = g->o->balancers;
	const struct http_field *f;
	uint32_t i = 0;

	if (!balancers || balancers->n == 0 || !peer_is_in(&g->inbound.peer, balancers))
		return g->tls != NULL;
	f = http_fields_next(&g->view.fields, HF_X_FORWARDED_PROTO, &i);
	if (!f || http_fields_next(&g->view.fields, HF_X_FORWARDED_PROTO, &i))
		return g->tls != NULL;
	if (slice_equal_nocase(f->value, SLICE_LIT("https")))
		return true;
	return g->tls && !slice_equal_nocase(f->value, SLICE_LIT("http"));
}

void gate_fill_transport(struct gate *g, const struct transport_ops *ops)
{
	g->transport.ops = ops;
	g->transport.request = &g->view;
	g->transport.peer = g->inbound.peer_text;
	g->transport.address = g->inbound.peer.address;
	g->transport.is_tls = is_https(g);
	g->transport.start_us = g->head_done_us;
}
