/* SPDX-License-Identifier: MIT */
/* Responses through evhttp. Their heads are our own: evhttp's, which costs it a list entry and a printf a field, is written,
 * and replaced before it leaves. */
#include <event2/http.h>
#include <event2/http_struct.h>

#include "base/mem.h"
#include "proxy/front/front.h"
#include "proxy/front/gate_internal.h"

static const char no_memory[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

static struct gate *gate_at(const struct transport *t)
{
	return CONTAINER_OF(t, struct gate, transport);
}

/* ---- Heads ---- */

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

static int begin(struct transport *t, const struct transport_head *head)
{
	struct gate *g = gate_at(t);

	/* A body whose length is not known can only end with the connection for an HTTP/1.0 client (RFC 9112 6.3). */
	if (head->is_unframed && g->view.minor == 0)
		gate_close_after_reply(g);
	gate_end_head(g, head, g->close_after);
	g->response = (struct gate_response){
		.status = head->status,
		.head = head->text,
		.is_chunked = head->is_unframed && g->view.minor != 0,
		.is_framed = !head->is_unframed || g->view.minor != 0,
	};
	/* evhttp adds chunks' framing where it believes that it announced it, and a Date where its reply is of HTTP/1.1: the less of
	 * that, the less it costs. */
	g->req->minor = g->response.is_chunked;
	return head->text->err;
}

/* ---- Bodies ---- */

static struct evbuffer *pending(struct gate *g)
{
	if (!g->response.pending)
		g->response.pending = evbuffer_new();
	return g->response.pending;
}

void gate_drop_pending(struct gate *g)
{
	if (g->response.pending)
		evbuffer_free(g->response.pending);
	g->response.pending = NULL;
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
		evhttp_send_reply_start(g->req, r->status, "");
		gate_put_head(g, buf_slice(r->head), 0, r->is_framed);
	}
	if (r->pending)
		evhttp_send_reply_chunk(g->req, r->pending);
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
		evhttp_send_reply_end(g->req);
		return;
	}
	evhttp_send_reply(g->req, r->status, "", r->pending);
	gate_put_head(g, buf_slice(r->head), n, true);
	gate_drop_pending(g);
}

static void refuse(struct transport *t)
{
	struct gate *g = gate_at(t);

	gate_drop_pending(g);
	gate_close_after_reply(g);
	g->req->minor = 0;
	evhttp_send_reply(g->req, 503, "", NULL);
	gate_put_head(g, slice_of(no_memory), 0, true);
}

static void abort_response(struct transport *t)
{
	struct gate *g = gate_at(t);

	gate_drop_pending(g);
	gate_abort_reply(g, g->req);
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
	gate_close_after_reply(gate_at(t));
}

static struct evbuffer *body(struct transport *t)
{
	return evhttp_request_get_input_buffer(gate_at(t)->req);
}

static const struct transport_ops ops = {
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

/* ---- A listener's evhttp ---- */

struct front {
	struct evhttp *http;
	const struct gate_options *o;
};

static void on_request(struct evhttp_request *req, void *arg)
{
	const struct front *f = arg;
	struct gate *g = gate_of(req);

	if (!g) { /* out of memory when it was accepted */
		evhttp_connection_free(evhttp_request_get_connection(req));
		return;
	}
	g->response = (struct gate_response){0};
	gate_fill_transport(g, &ops);
	f->o->on_request(f->o->arg, &g->transport);
}

int front_new(struct event_base *base, const struct gate_options *o, struct front **out)
{
	struct front *f = mem_zalloc(sizeof(*f));
	int err = -ENOMEM;

	*out = NULL;
	if (!f)
		return err;
	f->o = o;
	f->http = evhttp_new(base);
	if (f->http)
		err = gate_install(f->http, base, o);
	if (err) {
		if (f->http)
			evhttp_free(f->http);
		mem_free(f);
		return err;
	}
	evhttp_set_gencb(f->http, on_request, f);
	*out = f;
	return 0;
}

int front_listen(struct front *f, int fd)
{
	return gate_listen(f->http, fd);
}

void front_stop_listening(struct front *f)
{
	gate_stop_listening(f->http);
}

void front_drain(struct front *f)
{
	gate_stop_listening(f->http);
	gate_drain_all(f->http);
}

void front_free(struct front **fp)
{
	struct front *f = *fp;

	*fp = NULL;
	if (!f)
		return;
	evhttp_free(f->http); /* with its sockets and connections; the gates' last bytes go with the event base */
	gate_uninstall(f->http);
	mem_free(f);
}
