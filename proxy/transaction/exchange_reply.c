/* SPDX-License-Identifier: MIT */
/* Sending: heads in place of evhttp's, bodies by reference where they stay put, by copy while they grow. */
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>

#include "proxy/record/access_log.h"
#include "proxy/transaction/exchange.h"
#include "proxy/transaction/exchange_internal.h"
#include "proxy/request/origins.h"

/* ---- Heads ---- */

static const char no_memory[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

static bool is_unframed(const struct exchange *x)
{
	return x->reply.content_length < 0 && x->reply.body != REPLY_EMPTY;
}

/* An answer whose length is not known can only end with the connection for an HTTP/1.0 client (RFC 9112 6.3). */
static int end_head(struct exchange *x)
{
	struct buf *head = &x->reply.head;
	bool ends_with_connection = is_unframed(x) && x->client->minor == 0;

	if (ends_with_connection || x->worker->draining)
		gate_close_after_reply(x->gate);
	if (is_unframed(x) && !ends_with_connection)
		buf_add_str(head, "Transfer-Encoding: chunked\r\n");
	reply_end_head(head, x->client, gate_is_closing(x->gate));
	return head->err;
}

/* evhttp adds chunks' framing where it believes that it announced it, and a Date where its reply is of HTTP/1.1: the less
 * of that, the less it costs. */
static void prepare_evhttp(struct exchange *x)
{
	x->req->minor = is_unframed(x) && x->client->minor != 0;
}

/* In place of evhttp's head, once that is written; body_n: bytes that were written behind it. */
static void put_head(struct exchange *x, size_t body_n)
{
	gate_put_head(x->gate, buf_slice(&x->reply.head), body_n, !is_unframed(x) || x->client->minor != 0);
}

/* ---- Bodies ---- */

static void drop_object(const void *p, size_t n, void *arg)
{
	struct object *o = arg;

	(void)p;
	(void)n;
	object_unref(&o);
}

static int add_object_bytes(struct evbuffer *b, struct object *o, struct slice bytes, bool is_stable)
{
	if (!is_stable)
		return evbuffer_add(b, bytes.p, bytes.n);
	if (evbuffer_add_reference(b, bytes.p, bytes.n, drop_object, object_ref(o))) {
		struct object *mine = o;
		object_unref(&mine);
		return -1;
	}
	return 0;
}

static int add_object_run(struct evbuffer *b, struct object *o, uint64_t from, uint64_t n)
{
	bool is_stable = object_body_is_stable(o);

	while (n) {
		struct slice run = object_body_at(o, from);

		if (run.n > n)
			run.n = n;
		if (run.n == 0 || add_object_bytes(b, o, run, is_stable))
			return -1;
		from += run.n;
		n -= run.n;
	}
	return 0;
}

static int add_parts(struct exchange *x, struct evbuffer *b)
{
	const struct reply *r = &x->reply;

	for (unsigned i = 0; i < r->parts_n; i++) {
		if (evbuffer_add(b, r->part_heads.p + r->parts[i].head_off, r->parts[i].head_n) ||
			add_object_run(b, x->object, r->parts[i].offset, r->parts[i].length))
			return -1;
	}
	return 0;
}

/* The whole answer is at hand: one call, and evhttp ends the request. */
static void send_whole(struct exchange *x, struct evbuffer *body)
{
	int status = x->reply.status;

	x->sent = body ? evbuffer_get_length(body) : 0;
	x->worker->stats.body_bytes_out += x->sent;
	evhttp_send_reply(x->req, status, "", body);
	put_head(x, (size_t)x->sent);
	exchange_part(x);
	if (body)
		evbuffer_free(body);
}

/* Nothing was sent yet, and nothing but this can be said. */
static void send_no_memory(struct exchange *x)
{
	gate_close_after_reply(x->gate);
	x->reply.status = 503;
	x->reply.body = REPLY_EMPTY;
	x->reply.content_length = 0;
	prepare_evhttp(x);
	evhttp_send_reply(x->req, 503, "", NULL);
	gate_put_head(x->gate, slice_of(no_memory), 0, true);
	exchange_part(x);
}

/* A body that goes out in one piece, or NULL with *ok telling whether that is because it has none or must be streamed. */
static struct evbuffer *whole_body(struct exchange *x, bool *is_whole)
{
	const struct reply *r = &x->reply;
	struct evbuffer *b = NULL;
	int err = 0;

	*is_whole = r->body == REPLY_EMPTY || r->body == REPLY_BYTES || r->body == REPLY_PARTS ||
		    (r->body == REPLY_OBJECT && object_body_is_stable(x->object));
	if (exchange_is_large(x))
		*is_whole = false;
	if (!*is_whole || r->body == REPLY_EMPTY)
		return NULL;
	b = evbuffer_new();
	if (!b)
		return NULL;
	if (r->body == REPLY_BYTES)
		err = evbuffer_add(b, r->bytes.p, r->bytes.n);
	else if (r->body == REPLY_PARTS)
		err = add_parts(x, b);
	else
		err = add_object_run(b, x->object, r->offset, (uint64_t)r->length);
	if (err) {
		evbuffer_free(b);
		return NULL;
	}
	return b;
}

static void on_room(void *arg)
{
	struct exchange *x = arg;

	CHECK(x->magic == EXCHANGE_MAGIC);
	if (x->reader || x->reply.body == REPLY_OBJECT) {
		exchange_pump(x);
	} else if (x->is_stream_paused) {
		x->is_stream_paused = false;
		if (x->fill)
			fill_resume(x->fill);
	}
}

void exchange_await_room(struct exchange *x)
{
	gate_on_room(x->gate, on_room, x);
}

void exchange_send(struct exchange *x)
{
	bool is_whole;
	struct evbuffer *body = whole_body(x, &is_whole);

	x->has_begun = true;
	if ((is_whole && !body && x->reply.body != REPLY_EMPTY) || end_head(x)) {
		if (body)
			evbuffer_free(body);
		send_no_memory(x);
		return;
	}
	prepare_evhttp(x);
	if (is_whole) {
		send_whole(x, body);
		return;
	}
	x->skip = x->reply.offset;
	evhttp_send_reply_start(x->req, x->reply.status, "");
	put_head(x, 0);
	if (x->reader || x->reply.body == REPLY_OBJECT)
		exchange_pump(x);
}

void exchange_send_chunk(struct exchange *x, struct evbuffer *b)
{
	x->worker->stats.body_bytes_out += evbuffer_get_length(b);
	evhttp_send_reply_chunk(x->req, b);
}

/* How much of [skip + sent, ...) can go out now. */
static uint64_t sendable(const struct exchange *x, uint64_t available)
{
	uint64_t from = x->skip + x->sent, end = available;
	size_t room = gate_room(x->gate);

	if (x->reply.length >= 0 && x->skip + (uint64_t)x->reply.length < end)
		end = x->skip + (uint64_t)x->reply.length;
	if (from >= end)
		return 0;
	return end - from < room ? end - from : room;
}

static bool is_all_sent(const struct exchange *x, enum body_state state, uint64_t available)
{
	if (x->reply.length >= 0)
		return x->sent == (uint64_t)x->reply.length;
	return state == BODY_COMPLETE && x->skip + x->sent == available;
}

/* 0, or -1 when memory ran out. */
static int send_run(struct exchange *x, uint64_t n)
{
	struct evbuffer *b = evbuffer_new();

	if (!b)
		return -1;
	if (add_object_run(b, x->object, x->skip + x->sent, n)) {
		evbuffer_free(b);
		return -1;
	}
	x->sent += n;
	exchange_send_chunk(x, b);
	evbuffer_free(b);
	if (x->is_waiting)
		flight_advance(&x->waiter, x->skip + x->sent);
	return 0;
}

void exchange_pump(struct exchange *x)
{
	uint64_t available, n;
	enum body_state state;

	if (x->reader) {
		exchange_pump_large(x);
		return;
	}
	state = object_body_state(x->object, &available);
	/* Until the bytes or the room are used up: on_room comes only after gate_room has given 0. */
	while ((n = sendable(x, available))) {
		if (send_run(x, n)) {
			exchange_break(x, 503, "out of memory");
			return;
		}
	}
	if (is_all_sent(x, state, available))
		exchange_finish(x);
	else if (state == BODY_BROKEN && x->skip + x->sent >= available)
		exchange_break(x, 502, "the upstream broke off");
	else if (x->skip + x->sent < available)
		exchange_await_room(x);
}

enum fetch_write exchange_stream(struct exchange *x, const void *p, size_t n)
{
	struct evbuffer *b;
	int err;

	if (gate_room(x->gate) == 0) {
		x->is_stream_paused = true;
		gate_on_room(x->gate, on_room, x);
		return FETCH_WRITE_PAUSE;
	}
	b = evbuffer_new();
	if (!b)
		return FETCH_WRITE_CANCEL;
	err = evbuffer_add(b, p, n);
	if (!err) {
		x->sent += n;
		exchange_send_chunk(x, b);
	}
	evbuffer_free(b);
	return err ? FETCH_WRITE_CANCEL : FETCH_WRITE_TAKEN;
}

void exchange_finish(struct exchange *x)
{
	struct evhttp_request *req = x->req;

	exchange_part(x);
	evhttp_send_reply_end(req);
}

/* While nothing is sent to the upstream, coming back earlier is of no use. */
static int retry_after_s(const struct exchange *x, int wanted_s)
{
	const struct upstream_loop *loop;
	unsigned s;

	if (wanted_s < 0 || !x->target.upstream)
		return wanted_s;
	loop = origins_loop(x->target.snapshot->origins, x->worker->index);
	s = loop ? upstream_retry_after_s(loop, x->target.upstream_index) : 0;
	return s > (unsigned)wanted_s ? (int)s : wanted_s;
}

void exchange_problem(struct exchange *x, int status, const char *detail, int wait_s)
{
	x->kind = ANSWER_ERROR;
	if (reply_problem(&x->reply, x->client, status, detail, retry_after_s(x, wait_s), clock_now(), &x->note))
		send_no_memory(x);
	else
		exchange_send(x);
}

void exchange_break(struct exchange *x, int status, const char *detail)
{
	struct gate *gate = x->gate;
	struct evhttp_request *req = x->req;

	if (!x->has_begun) {
		exchange_problem(x, status, detail, status == 503 ? 1 : -1);
		return;
	}
	x->worker->stats.aborted++;
	x->kind = ANSWER_ERROR;
	exchange_note_now(x);
	exchange_free(x);
	gate_abort_reply(gate, req);
}
