/* SPDX-License-Identifier: MIT */
/* The gate and evhttp: each request as the one form that evhttp ever sees, responses by way of it. Their heads are our own:
 * evhttp's, which costs it a list entry and a printf a field, is written, and replaced before it leaves. */
#include <event2/http.h>
#include <event2/http_struct.h>
#include <errno.h>

#include "base/mem.h"
#include "proxy/front/front.h"
#include "proxy/front/gate_internal.h"

static const char no_memory[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

static struct gate *gate_at(const struct transport *t)
{
	return CONTAINER_OF(t, struct gate, transport);
}

/* ---- Connections ---- */

/* evhttp gives its connection as the argument of the callbacks it sets on the filter, and frees the filter with the
 * connection, which clears them. */
static struct evhttp_connection *connection_of(const struct gate *g)
{
	void *arg = NULL;

	bufferevent_getcb(g->filter, NULL, NULL, NULL, &arg);
	return arg;
}

bool gate_is_connected(const struct gate *g)
{
	return connection_of(g) != NULL;
}

/* evhttp writes its head field by field; the bytes are taken when it is back in the loop. */
static void on_output(struct evbuffer *b, const struct evbuffer_cb_info *info, void *arg)
{
	struct gate *g = arg;

	(void)b;
	if (info->n_added == 0)
		return;
	g->response_begun = true;
	gate_schedule(g);
}

/* evhttp is not to finish the request any more: it goes with its connection. */
static void forget_request(struct gate *g)
{
	g->response.req = NULL;
	g->response.tells_end = false;
}

void gate_drop_pending(struct gate *g)
{
	if (g->response.pending)
		evbuffer_free(g->response.pending);
	g->response.pending = NULL;
}

void gate_end(struct gate *g)
{
	struct evhttp_connection *c = connection_of(g);

	if (g->phase == GATE_DEAD)
		return;
	g->phase = GATE_DEAD;
	forget_request(g);
	gate_end_quick(g);
	if (g->reset) { /* closing sends a FIN, which would make what was cut look whole: RST instead */
		struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
		(void)connect(bufferevent_getfd(g->sock), &unspecified, sizeof(unspecified));
	}
	if (c)
		evhttp_connection_free(c);
}

static void tell_gone(struct gate *g)
{
	struct transport_callback on_gone = g->transport.on_gone;

	gate_forget_callbacks(g);
	gate_drop_pending(g);
	if ((g->phase == GATE_RESPONSE || g->phase == GATE_DRAIN) && on_gone.fn)
		on_gone.fn(on_gone.arg);
}

void gate_gone(struct gate *g)
{
	tell_gone(g);
	gate_end(g);
}

/* The front ends, or evhttp is out of memory. */
static void on_close(struct evhttp_connection *c, void *arg)
{
	struct gate *g = gate_from(arg);

	(void)c;
	if (g->phase == GATE_DEAD)
		return;
	tell_gone(g);
	gate_end_quick(g);
	forget_request(g);
	g->phase = GATE_DEAD;
}

void gate_watch_end(struct gate *g)
{
	evhttp_connection_set_closecb(connection_of(g), on_close, g);
}

/* ---- Requests ---- */

/* Connection is for what evhttp's own head says, where that is used. */
static int add_canonical_head(const struct gate *g, struct evbuffer *to)
{
	static const char usual[] = "GET / HTTP/1.1\r\n\r\n";
	size_t n = g->body ? body_length(g->body) : 0;
	const char *method = g->view.method == HTTP_HEAD ? "HEAD" : n > 0 ? "POST" : "GET";
	const char *connection = g->close_after ? "close" : "keep-alive";

	if (n == 0 && g->view.method != HTTP_HEAD && g->view.minor != 0 && !g->close_after)
		return evbuffer_add(to, usual, sizeof(usual) - 1);
	return evbuffer_add_printf(to, "%s / HTTP/1.%d\r\nConnection: %s\r\nContent-Length: %zu\r\n\r\n", method,
		g->view.minor, connection, n);
}

void gate_hand_over(struct gate *g)
{
	struct evbuffer *to = bufferevent_get_input(g->filter);

	if (add_canonical_head(g, to) < 0 || (g->body && body_pass_on(&g->body, to) != 0)) {
		gate_end(g); /* out of memory, with half a request in evhttp's buffer */
		return;
	}
	g->phase = GATE_RESPONSE;
	bufferevent_trigger(g->filter, EV_READ, BEV_TRIG_IGNORE_WATERMARKS);
}

/* evhttp is done with the response. It would end the connection by its own rules, and at once; ours is to send what is left
 * and to let the client read it, so it is made to believe that the connection stays. */
static void on_done(struct evhttp_request *req, void *arg)
{
	struct gate *g = gate_from(arg);
	struct evkeyvalq *in = evhttp_request_get_input_headers(req);
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);
	const char *connection = evhttp_find_header(out, "Connection");

	if (connection && evutil_ascii_strcasecmp(connection, "close") == 0)
		g->close_after = true;
	while (evhttp_remove_header(out, "Connection") == 0)
		continue;
	while (evhttp_remove_header(in, "Connection") == 0)
		continue;
	req->minor = 1;
	forget_request(g);
	if (g->phase == GATE_RESPONSE)
		g->phase = GATE_DRAIN;
	gate_schedule(g);
}

struct gate *gate_of(struct evhttp_request *req)
{
	struct evhttp_connection *c = evhttp_request_get_connection(req);
	struct bufferevent *filter = c ? evhttp_connection_get_bufferevent(c) : NULL;
	struct bufferevent *sock = filter ? bufferevent_get_underlying(filter) : NULL;
	void *arg = NULL;

	if (!sock)
		return NULL;
	bufferevent_getcb(sock, NULL, NULL, NULL, &arg);
	struct gate *g = gate_from(arg);
	if (g->phase == GATE_RESPONSE && g->response.req != req) {
		g->response = (struct gate_response){.req = req};
		evhttp_request_set_on_complete_cb(req, on_done, g);
		if (g->close_after)
			gate_close_after_response(g);
	}
	return g;
}

/* ---- What evhttp writes ---- */

void gate_take_output(struct gate *g)
{
	struct evbuffer *from = bufferevent_get_output(g->filter);
	size_t n = evbuffer_get_length(from);

	if (n == 0)
		return;
	if (g->phase != GATE_RESPONSE) { /* a response that was given up: nothing of it may follow */
		evbuffer_drain(from, n);
		return;
	}
	g->response.tells_end = true;
	(void)evbuffer_add_buffer(g->out, from);
}

void gate_tell_sent(struct gate *g)
{
	if (!g->response.tells_end)
		return;
	g->response.tells_end = false;
	bufferevent_trigger(g->filter, EV_WRITE, 0);
}

void gate_close_after_response(struct gate *g)
{
	struct evkeyvalq *in;

	g->close_after = true;
	if (!g->response.req || g->response_begun)
		return;
	in = evhttp_request_get_input_headers(g->response.req);
	while (evhttp_remove_header(in, "Connection") == 0)
		continue;
	(void)evhttp_add_header(in, "Connection", "close"); /* evhttp then says so in its response */
}

/* ---- Heads ---- */

/* Right after evhttp_send_reply or _start: `head`, empty line and all, in place of the head that evhttp wrote. body_n: bytes of
 * content behind it. */
static void put_head(struct gate *g, struct slice head, size_t body_n)
{
	size_t n = evbuffer_get_length(g->filter_out);

	CHECK(n >= body_n);
	if (evbuffer_drain(g->filter_out, n - body_n) != 0 || evbuffer_prepend(g->filter_out, head.p, head.n) != 0)
		g->broken = true;
}

static int begin(struct transport *t, const struct transport_head *head)
{
	struct gate *g = gate_at(t);

	/* A body whose length is not known can only end with the connection for an HTTP/1.0 client (RFC 9112 6.3). */
	if (head->is_unframed && g->view.minor == 0)
		gate_close_after_response(g);
	gate_end_head(g, head, g->close_after);
	g->response = (struct gate_response){
		.req = g->response.req,
		.status = head->status,
		.head = head->text,
		.is_chunked = head->is_unframed && g->view.minor != 0,
		.is_framed = !head->is_unframed || g->view.minor != 0,
	};
	/* evhttp adds chunks' framing where it believes that it announced it, and a Date where its response is of HTTP/1.1: the less of
	 * that, the less it costs. */
	g->response.req->minor = g->response.is_chunked;
	return head->text->err;
}

/* ---- Bodies ---- */

static struct evbuffer *pending(struct gate *g)
{
	if (!g->response.pending)
		g->response.pending = evbuffer_new();
	return g->response.pending;
}

static int add(struct transport *t, const void *p, size_t n)
{
	struct evbuffer *b = pending(gate_at(t));

	return b && evbuffer_add(b, p, n) == 0 ? 0 : -ENOMEM;
}

static int add_reference(
	struct transport *t, const void *p, size_t n, void (*done)(const void *p, size_t n, void *arg), void *arg)
{
	struct evbuffer *b = pending(gate_at(t));

	return b && evbuffer_add_reference(b, p, n, done, arg) == 0 ? 0 : -ENOMEM;
}

static void flush(struct transport *t)
{
	struct gate *g = gate_at(t);
	struct gate_response *r = &g->response;

	if (!r->has_begun) {
		r->has_begun = true;
		evhttp_send_reply_start(r->req, r->status, "");
		put_head(g, buf_slice(r->head), 0);
	}
	if (r->pending)
		evhttp_send_reply_chunk(r->req, r->pending);
	gate_drop_pending(g);
}

/* ---- Ends ---- */

static void end(struct transport *t)
{
	struct gate *g = gate_at(t);
	struct gate_response *r = &g->response;
	size_t n = r->pending ? evbuffer_get_length(r->pending) : 0;

	if (r->has_begun) {
		flush(t);
		evhttp_send_reply_end(r->req);
		return;
	}
	evhttp_send_reply(r->req, r->status, "", r->pending);
	put_head(g, buf_slice(r->head), n);
	gate_drop_pending(g);
}

static void refuse(struct transport *t)
{
	struct gate *g = gate_at(t);

	gate_drop_pending(g);
	gate_close_after_response(g);
	g->response.req->minor = 0;
	evhttp_send_reply(g->response.req, 503, "", NULL);
	put_head(g, slice_of(no_memory), 0);
}

void gate_abort_response(struct gate *g, struct evhttp_request *req)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(req);

	if (g->phase != GATE_RESPONSE)
		return;
	gate_take_output(g);
	g->transport.on_gone.fn = g->transport.on_complete.fn = NULL;
	forget_request(g); /* evhttp must not finish it: its request is freed with the connection */
	g->linger = true;
	/* A response that ends with the connection would look whole after an orderly close (RFC 9112 8). */
	g->reset = !g->response.is_framed && !evhttp_find_header(out, "Content-Length") &&
		   !evhttp_find_header(out, "Transfer-Encoding");
	gate_close(g);
	gate_schedule(g);
}

static void abort_response(struct transport *t)
{
	struct gate *g = gate_at(t);

	gate_drop_pending(g);
	gate_abort_response(g, g->response.req);
}

/* ---- The rest ---- */

static void informational(struct transport *t, int status, const struct http_fields *fields)
{
	gate_write_informational(gate_at(t), status, fields);
}

static size_t room(struct transport *t, size_t mark)
{
	return mark ? gate_room_below(gate_at(t), mark) : gate_room(gate_at(t));
}

static size_t unsent(const struct transport *t)
{
	return gate_unsent(gate_at(t));
}

static void close_after(struct transport *t)
{
	gate_close_after_response(gate_at(t));
}

static struct evbuffer *body(struct transport *t)
{
	return evhttp_request_get_input_buffer(gate_at(t)->response.req);
}

static enum transport_purge purges(const struct transport *t)
{
	const struct gate *g = gate_at(t);

	if (!g->o->purgers)
		return PURGE_IS_PASSED_ON;
	return peer_is_in(&g->inbound.peer, g->o->purgers) ? PURGE_IS_OBEYED : PURGE_IS_REFUSED;
}

static const struct transport_ops ops = {
	.purges = purges,
	.informational = informational,
	.begin = begin,
	.add = add,
	.add_reference = add_reference,
	.flush = flush,
	.end = end,
	.refuse = refuse,
	.abort = abort_response,
	.room = room,
	.unsent = unsent,
	.close_after = close_after,
	.body = body,
};

/* ---- A listener ---- */

struct evconnlistener *gate_accept_on(struct front *l, int fd, struct evhttp_bound_socket **bound)
{
	*bound = evhttp_accept_socket_with_handle(l->http, fd);
	return *bound ? evhttp_bound_socket_get_listener(*bound) : NULL;
}

void gate_accept_no_more(struct front *l, struct evhttp_bound_socket *bound)
{
	evhttp_del_accept_socket(l->http, bound);
}

/* NULL: evhttp then makes a plain connection, which gate_of refuses. */
static struct bufferevent *on_accept(struct event_base *base, void *arg)
{
	struct front *l = arg;
	struct gate *g = l->accept(l);

	(void)base;
	if (!g)
		return NULL;
	(void)evbuffer_add_cb(g->filter_out, on_output, g);
	return g->filter;
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct gate *g = gate_of(req);

	(void)arg;
	if (!g) { /* out of memory when it was accepted */
		evhttp_connection_free(evhttp_request_get_connection(req));
		return;
	}
	gate_fill_transport(g, &ops);
	g->o->on_request(g->o->arg, &g->transport);
}

/* evhttp adds nothing of its own to responses; its limits and time-outs stay unset. */
int gate_http_new(struct front *l)
{
	struct evhttp *http = evhttp_new(l->base);

	l->http = http;
	if (!http)
		return -ENOMEM;
	evhttp_set_bevcb(http, on_accept, l);
	evhttp_set_gencb(http, on_request, NULL);
	evhttp_set_default_content_type(http, NULL);
	evhttp_set_allowed_methods(http, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST);
	return 0;
}

void gate_http_free(struct front *l)
{
	evhttp_free(l->http);
}
