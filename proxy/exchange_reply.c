/* Sending: heads through evhttp's list, bodies by reference where they stay put, by copy while they grow. */
#include <event2/buffer.h>
#include <event2/http.h>
#include <event2/http_struct.h>

#include "proxy/access_log.h"
#include "proxy/exchange.h"
#include "proxy/exchange_internal.h"
#include "proxy/origins.h"

/* ---- Heads ---- */

/* Hands our composed lines to evhttp, which wants NUL-terminated names and values; the buffer is consumed. */
static int pass_head(struct exchange *x)
{
	struct evkeyvalq *out = evhttp_request_get_output_headers(x->req);
	char *p, *end;

	if (buf_add_char(&x->reply.head, '\0'))
		return -1;
	p = memchr(x->reply.head.p, '\n', x->reply.head.n);
	end = x->reply.head.p + x->reply.head.n - 1;
	for (p = p + 1; p < end;) {
		char *colon = strchr(p, ':'), *eol = strchr(p, '\r');

		*colon = '\0';
		*eol = '\0';
		if (evhttp_add_header(out, p, colon + 2))
			return -1;
		p = eol + 2;
	}
	return 0;
}

/* Before the head. An answer whose length is not known can only end with the connection for an HTTP/1.0 client (RFC 9112
 * 6.3): then evhttp must know that version. Else the answer bears our own version, which evhttp would take from the
 * request (RFC 9110 6.2), and says keep-alive itself where the client asked for it. */
static void prepare_framing(struct exchange *x)
{
	bool is_unframed = x->reply.content_length < 0 && x->reply.body != REPLY_EMPTY && x->http->minor == 0;

	if (is_unframed || x->worker->draining)
		gate_close_after_reply(x->gate);
	if (is_unframed || x->http->minor != 0)
		return;
	x->req->minor = 1;
	if (x->http->keep_alive && !x->worker->draining)
		evhttp_add_header(evhttp_request_get_output_headers(x->req), "Connection", "keep-alive");
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
	struct evhttp_request *req = x->req;
	int status = x->reply.status;

	x->sent = body ? evbuffer_get_length(body) : 0;
	x->worker->stats.body_bytes_out += x->sent;
	exchange_part(x);
	evhttp_send_reply(req, status, http_reason(status), body);
	if (body)
		evbuffer_free(body);
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

	if (is_whole && !body && x->reply.body != REPLY_EMPTY) {
		gate_close_after_reply(x->gate);
		x->reply.body = REPLY_EMPTY; /* out of memory: nothing was sent yet, and nothing but this can be said */
		x->reply.status = 503;
	}
	x->has_begun = true;
	if (pass_head(x))
		x->reply.status = 503;
	prepare_framing(x);
	if (is_whole) {
		send_whole(x, body);
		return;
	}
	x->skip = x->reply.offset;
	evhttp_send_reply_start(x->req, x->reply.status, http_reason(x->reply.status));
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
	loop = origins_loop(x->target.snapshot->origins, x->worker);
	s = loop ? upstream_retry_after_s(loop, x->target.upstream_index) : 0;
	return s > (unsigned)wanted_s ? (int)s : wanted_s;
}

void exchange_problem(struct exchange *x, int status, const char *detail, int wait_s)
{
	x->kind = ANSWER_ERROR;
	if (reply_problem(&x->reply, x->http, status, detail, retry_after_s(x, wait_s), clock_now(), &x->note))
		x->reply.status = 503; /* what fitted of it goes out */
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
