/* SPDX-License-Identifier: MIT */
/* evhttp, which carries the requests that are not answered at once: what the gate tells it and asks of it. All that is said to
 * evhttp is said in gate_evhttp.c, and nothing outside of it knows its types (make lint looks).
 * Thread: the connection's worker. Owns: what was added to a response and not flushed. Bounds: the gate's. */
#ifndef PROXY_FRONT_GATE_EVHTTP_H
#define PROXY_FRONT_GATE_EVHTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/check.h"

struct buf;
struct evbuffer;
struct evconnlistener;
struct evhttp_bound_socket;
struct evhttp_request;
struct front;
struct gate;

struct gate_response {              /* of a request that evhttp has; all zero: it has none */
	struct evhttp_request *req; /* from gate_of until evhttp is done with it */
	int status;
	const struct buf *head;
	struct evbuffer *pending; /* body bytes that were added and not flushed; NULL: none */
	bool is_chunked;
	bool is_framed; /* its head says where it ends */
	bool has_begun; /* evhttp's head is written */
	bool tells_end; /* evhttp is to hear when the socket's buffer is empty */
};

/* ---- Connections ---- */

/* The evhttp of a listener, and all of its connections' end. 0 or -ENOMEM. */
int gate_http_new(struct front *l) WARN_UNUSED;
void gate_http_free(struct front *l);
/* Begins to accept on a socket, which is taken. NULL: no memory. */
struct evconnlistener *gate_accept_on(struct front *l, int fd, struct evhttp_bound_socket **bound) WARN_UNUSED;
/* Closes the socket. */
void gate_accept_no_more(struct front *l, struct evhttp_bound_socket *bound);
/* Called once the filter has its socket: the program is told too when the connection ends without the gate. */
void gate_watch_end(struct gate *g);
/* Whether the connection has not been freed yet: handlers may run behind that. */
bool gate_is_connected(const struct gate *g);
/* Frees the connection with its filter and its socket; the gate lives until the handler returns. */
void gate_end(struct gate *g);
/* Tells the program, then gate_end. */
void gate_gone(struct gate *g);

/* ---- Requests ---- */

/* Head and body, whole, in the one form that evhttp ever sees; the gate is in RESPONSE after this, or dead. */
void gate_hand_over(struct gate *g);
/* The gate of a request that evhttp just handed over. To be called first in every handler: it is also how the gate
 * learns of the request, whose on-complete callback it takes (the transport's is yours). NULL: there was no memory for
 * a gate when the connection was accepted, and evhttp's own parse is all there is: evhttp_connection_free it. */
struct gate *gate_of(struct evhttp_request *req);

/* ---- Responses ---- */

/* What evhttp has written to what goes out. */
void gate_take_output(struct gate *g);
/* All of that is with the kernel: evhttp is told, if it waits for that. */
void gate_tell_sent(struct gate *g);
/* The response can't be finished as announced: what is buffered goes out, then the connection is closed without a final
 * chunk so that the client sees it was cut (reset, where the response's end is the connection's). Ends the request: neither
 * it nor the gate may be used after this, and no callback is called. Only after the response's head. */
void gate_abort_response(struct gate *g, struct evhttp_request *req);
/* What was added and not flushed is let go. */
void gate_drop_pending(struct gate *g);

#endif
