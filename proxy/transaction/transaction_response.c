/* SPDX-License-Identifier: MIT */
/* Sending: heads in place of evhttp's, bodies by reference where they stay put, by copy while they grow. */
#include <errno.h>

#include "proxy/request/origins.h"
#include "proxy/transaction/transaction_internal.h"
#include "proxy/transaction/send.h"

/* The final head; its body, if there is one, follows. 0 or -ENOMEM: then nothing was sent. */
static int begin(struct transaction *x)
{
	struct transport *t = x->transport;
	const struct transport_head head = {
		.status = x->response.status,
		.text = &x->response.head,
		.is_unframed = x->response.content_length < 0 && x->response.body != RESPONSE_EMPTY,
	};

	if (x->worker->draining)
		t->ops->close_after(t);
	return t->ops->begin(t, &head);
}

/* Nothing was sent yet, and nothing but this can be said. */
static void send_no_memory(struct transaction *x)
{
	x->response.status = 503;
	x->response.body = RESPONSE_EMPTY;
	x->response.content_length = 0;
	x->transport->ops->refuse(x->transport);
	transaction_leave(x);
}

/* The whole response is at hand: it goes out in one piece. */
static void send_whole(struct transaction *x)
{
	if (send_body(x->transport, &x->response, x->object)) {
		send_no_memory(x);
		return;
	}
	x->sent = send_body_n(&x->response);
	x->worker->stats.body_bytes_out += x->sent;
	x->transport->ops->end(x->transport);
	transaction_leave(x);
}

static void on_room(void *arg);

static void await_room(struct transaction *x)
{
	transport_on_room(x->transport, on_room, x);
}

void transaction_send(struct transaction *x)
{
	trace(x, "answers %d, cache=%s%s%s", x->response.status, response_kind_name(x->kind),
		x->error ? ", error=" : "", x->error ? x->error : "");
	x->has_begun = true;
	if (begin(x)) {
		send_no_memory(x);
		return;
	}
	if (send_is_whole(&x->response, x->object)) {
		send_whole(x);
		return;
	}
	x->skip = x->response.offset;
	if (x->is_waiting)
		flight_advance(&x->waiter, x->skip); /* what comes before it need not be kept for it */
	x->transport->ops->flush(x->transport);
	if (x->reader || x->response.body == RESPONSE_OBJECT)
		transaction_pump(x);
}

/* How much of [skip + sent, ...) can go out now. */
static uint64_t sendable(const struct transaction *x, uint64_t available)
{
	uint64_t from = x->skip + x->sent, end = available;
	size_t room = x->transport->ops->room(x->transport, 0);

	if (x->response.length >= 0 && x->skip + (uint64_t)x->response.length < end)
		end = x->skip + (uint64_t)x->response.length;
	if (from >= end)
		return 0;
	return end - from < room ? end - from : room;
}

static bool is_all_sent(const struct transaction *x, enum body_state state, uint64_t available)
{
	if (x->response.length >= 0)
		return x->sent == (uint64_t)x->response.length;
	return state == BODY_COMPLETE && x->skip + x->sent == available;
}

/* 0 or -ENOMEM. */
static int send_more(struct transaction *x, uint64_t n)
{
	if (send_run(x->transport, x->object, x->skip + x->sent, n))
		return -ENOMEM;
	transaction_flush(x, n);
	if (x->is_waiting)
		flight_advance(&x->waiter, x->skip + x->sent);
	return 0;
}

static enum pump pump_memory(struct transaction *x)
{
	uint64_t available, n;
	enum body_state state = object_body_state(x->object, &available);

	/* Until the bytes or the room are used up: on_room comes only after the transport's room has been 0. */
	while ((n = sendable(x, available)))
		if (send_more(x, n))
			return PUMP_BROKEN;
	if (is_all_sent(x, state, available))
		return PUMP_ALL_SENT;
	if (x->skip + x->sent < available)
		return PUMP_NO_ROOM;
	return state == BODY_BROKEN ? PUMP_BROKEN : PUMP_WAITS;
}

/* A body that more was to come of, and did not; else it is here, and could not be sent or read. */
static enum fetch_cause cause_of_cut(const struct transaction *x)
{
	uint64_t available;

	return object_body_state(x->object, &available) == BODY_BROKEN ? FETCH_CAUSE_INCOMPLETE : FETCH_CAUSE_INTERNAL;
}

void transaction_pump(struct transaction *x)
{
	switch (x->reader ? transaction_pump_lower(x) : pump_memory(x)) {
	case PUMP_ALL_SENT:
		transaction_finish(x);
		return;
	case PUMP_NO_ROOM:
		await_room(x);
		return;
	case PUMP_WAITS:
		return;
	case PUMP_BROKEN:
		transaction_abort(x, cause_of_cut(x));
		return;
	}
}

static void on_room(void *arg)
{
	struct transaction *x = transaction_of(arg);

	if (x->reader || x->response.body == RESPONSE_OBJECT) {
		transaction_pump(x);
	} else if (x->is_stream_paused) {
		x->is_stream_paused = false;
		if (x->job)
			fetch_job_resume(x->job);
	}
}

enum fetch_write transaction_stream(struct transaction *x, const void *p, size_t n)
{
	struct transport *t = x->transport;

	if (t->ops->room(t, 0) == 0) {
		x->is_stream_paused = true;
		await_room(x);
		return FETCH_WRITE_PAUSE;
	}
	if (t->ops->add(t, p, n))
		return FETCH_WRITE_CANCEL;
	transaction_flush(x, n);
	return FETCH_WRITE_TAKEN;
}

void transaction_finish(struct transaction *x)
{
	struct transport *t = x->transport;

	transaction_leave(x);
	t->ops->end(t);
}

/* While nothing is sent to the upstream, coming back earlier is of no use. */
static int retry_after_s(const struct transaction *x, int wanted_s)
{
	const struct upstream_loop *loop;
	unsigned s;

	if (wanted_s < 0 || !x->target.upstream)
		return wanted_s;
	loop = origins_loop(x->target.snapshot->origins, x->worker->index);
	s = loop ? upstream_retry_after_s(loop, x->target.upstream_index) : 0;
	return s > (unsigned)wanted_s ? (int)s : wanted_s;
}

/* Of what is not an origin's response. */
static enum policy_store reason_of_problem(const struct transaction *x, int status)
{
	if (x->why == POLICY_NOT_ONLY_CACHED || x->why == POLICY_NOT_BUSY)
		return x->why;
	return status < 500 ? POLICY_NOT_REFUSED : POLICY_NOT_FAILURE;
}

int transaction_make_problem(struct transaction *x, struct failure why)
{
	const struct config_route *found = x->target.route;
	const struct config *config = found ? x->target.snapshot->config : x->worker->snapshot->config;
	const struct config_route *route = found ? found : &config->routes[config->routes_n - 1];
	const struct response_problem p = {
		.status = why.status,
		.detail = why.detail,
		.error = why.error,
		.retry_after_s = retry_after_s(x, why.retry_after_s),
		.id = transaction_id(x),
		.proxy_status = config->proxy.proxy_status,
		.pages = &route->error_pages,
		.next_hop = x->target.upstream ? x->target.upstream->name : (struct slice){NULL, 0},
	};

	x->kind = RESPONSE_ERROR;
	x->cache_status.detail = policy_reason(reason_of_problem(x, why.status))->token;
	x->error = why.error;
	return response_problem(&x->response, x->client, &p, clock_now(), &x->cache_status);
}

void transaction_problem(struct transaction *x, struct failure why)
{
	if (transaction_make_problem(x, why))
		send_no_memory(x);
	else
		transaction_send(x);
}

void transaction_abort(struct transaction *x, unsigned cause)
{
	struct transport *t = x->transport;

	x->worker->stats.aborted++;
	x->kind = RESPONSE_ERROR;
	x->error = fetch_cause_name(cause);
	transaction_note(x, false);
	transaction_free(x);
	t->ops->abort(t);
}
