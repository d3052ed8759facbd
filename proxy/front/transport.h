/* SPDX-License-Identifier: MIT */
/* How a transaction speaks with its client, whatever carries it: HTTP/1 over evhttp (gate_evhttp.c), the gate's direct way for
 * what can be answered at once (gate_direct.c), a recorder in the unit tests.
 *
 *      [informational]... begin [add | add_reference | flush]... end       a response
 *      [informational]... refuse                                           there is no memory for one
 *      begin ... flush ... abort                                           one that can't be finished as announced
 *
 * Thread: the worker of the connection. Owns: what was added and not flushed yet. Bounds: whoever adds looks at room first. */
#ifndef PROXY_FRONT_TRANSPORT_H
#define PROXY_FRONT_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"
#include "http/message.h"

struct evbuffer;
struct transport;

struct transport_head {
	int status;
	/* Status line and field lines of HTTP/1, each with its CRLF, without Connection, Transfer-Encoding and the empty line, which are
	 * added here: what a protocol needs of its own. Stays as it is until `end`. */
	struct buf *text;
	bool is_unframed; /* a body follows whose length the head does not say */
};

enum transport_purge { PURGE_IS_PASSED_ON, PURGE_IS_REFUSED, PURGE_IS_OBEYED };

struct transport_ops {
	/* An interim response (1xx). Ignored after begin, and for clients that do not know it. */
	void (*informational)(struct transport *t, int status, const struct http_fields *fields);
	/* 0 or -ENOMEM: then nothing was sent. */
	int (*begin)(struct transport *t, const struct transport_head *head);
	/* Body bytes: copied, or referred to until `done` is called. 0 or -ENOMEM: then `done` is not called, and the response is to be
	 * refused, or aborted where it was flushed. */
	int (*add)(struct transport *t, const void *p, size_t n);
	int (*add_reference)(struct transport *t, const void *p, size_t n,
		void (*done)(const void *p, size_t n, void *arg), void *arg);
	/* What was added goes out, behind the head. Without it all goes out at `end`, in one piece. */
	void (*flush)(struct transport *t);
	/* The response is complete; on_complete comes when its last byte is with the kernel. */
	void (*end)(struct transport *t);
	/* In place of a response of which nothing was flushed: 503, and the connection ends. As `end`. */
	void (*refuse)(struct transport *t);
	/* After flush: what is out stays, and the client sees that it was cut. `t` may not be used any more, and no callback comes. */
	void (*abort)(struct transport *t);
	/* How many bytes may be added before `mark` of them wait for the client; mark 0: the connection's own. 0: on_room will come. */
	size_t (*room)(struct transport *t, size_t mark);
	/* Bytes that the client has not taken yet. */
	size_t (*unsent)(const struct transport *t);
	/* No further request on this connection. Before begin: the head says so. */
	void (*close_after)(struct transport *t);
	/* Of a request with the method PURGE: does the listener obey such, and this client? */
	enum transport_purge (*purges)(const struct transport *t);
	/* The request's body, whole; empty where there is none. */
	struct evbuffer *(*body)(struct transport *t);
};

struct transport_callback {
	void (*fn)(void *arg); /* NULL: nobody */
	void *arg;
};

struct transport {
	const struct transport_ops *ops;
	const struct http_request
		*request;       /* as the client sent it; valid until on_complete has returned, or on_gone comes */
	const char *peer;       /* the client's address as text; empty: not known */
	const uint8_t *address; /* and its 16 bytes, IPv4 as ::ffff:a.b.c.d; all 0: not known */
	bool is_tls; /* the client's scheme is https: by its listener, or by what a balancer that is trusted says */
	int64_t start_us; /* CLOCK_MONOTONIC when the head was complete */
	/* The transaction's; false at the begin of a request: a response to this request was tried for already. */
	bool was_tried;
	bool was_charged, is_limited; /* the same of its client's bucket, and whether that had nothing left */
	int64_t wait_ms;              /* then: until it has */
	/* Many have come at once: a try gives a hit or nothing; what else the request takes waits for its turn. */
	bool hit_only;
	/* The transaction's. All come from the loop, never from within one of the calls above.
	 * on_room: once after room gave 0, when less than half of the mark waits.
	 * on_complete, on_gone: one of the two, once; then `t` is not the transaction's any more. on_gone: the client has left. */
	struct transport_callback on_room, on_complete, on_gone;
};

static inline void transport_on_room(struct transport *t, void (*fn)(void *arg), void *arg)
{
	t->on_room = (struct transport_callback){fn, arg};
}

static inline void transport_on_complete(struct transport *t, void (*fn)(void *arg), void *arg)
{
	t->on_complete = (struct transport_callback){fn, arg};
}

static inline void transport_on_gone(struct transport *t, void (*fn)(void *arg), void *arg)
{
	t->on_gone = (struct transport_callback){fn, arg};
}

#endif
