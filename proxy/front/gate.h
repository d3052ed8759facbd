/* SPDX-License-Identifier: MIT */
/* The gate: every client byte passes it before evhttp sees it, every response byte passes it on the way out.
 *
 * It sits as a bufferevent_filter between a connection's socket and evhttp (gate_evhttp.h). It parses each request head strictly, frames
 * the body itself and hands evhttp one request at a time in a canonical form (GET, HEAD or POST, "/", our own
 * framing), so that nothing of evhttp's own parsing decides anything: the request that the program works with is the
 * gate's view (gate_request). It refuses bad requests itself, writes 1xx responses below evhttp's, holds the header, body,
 * idle and write timers, and keeps what follows a request back until its response is complete.
 *
 * Thread: the worker that accepted the connection. Owns: the connection's parsed head and socket bufferevent.
 * Bounds: max_header and 64 KiB of unparsed bytes, max_body of a request's body, high water of unsent bytes (gate_room); connections
 * by `admission`. */
#ifndef PROXY_FRONT_GATE_H
#define PROXY_FRONT_GATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "config/config.h"
#include "base/clock.h"
#include "http/message.h"

struct admission;
struct body_port;
struct tls;
struct gate;
struct transport;

struct gate_stats {
#define STAT(kind, name, help) uint64_t name;
#include "proxy/front/gate_stats.def"
};

/* Valid until the gate has written it. */
struct gate_refusal {
	struct slice
		head; /* status line and field lines, without Connection and the empty line; empty: the gate's own words */
	struct slice body;
};

struct gate_options { /* one a listener, immutable while connections live; borrowed */
	size_t max_header;
	uint64_t max_body;
	int64_t header_timeout_ms; /* from the first byte of a head (or accept) to its end */
	int64_t body_timeout_ms;   /* longest silence inside a request body */
	uint64_t body_rate;        /* bytes a second on average over any body_timeout_ms of a body; 0: any */
	int64_t idle_timeout_ms;   /* between requests */
	int64_t write_timeout_ms; /* longest time without a byte taken by the client while there is something to send */
	size_t high_water;        /* unsent bytes from which gate_room is 0 */
	/* The fast path: answers at once from the head alone, begin to end, and returns true; or returns false and has had no
	 * effect that a later call of on_request does not take up (none at all, with hit_only of the transport). NULL: no fast path.
	 * Called for GET and HEAD without a body. */
	bool (*answer)(void *arg, struct transport *t, struct now now);
	/* Every other request, once it is whole. */
	void (*on_request)(void *arg, struct transport *t);
	/* The gate refuses a request: notes it for the access log, and may say what it is answered with, in place of the gate's own words; may
	 * be NULL. gate_request is the request when its body was at fault, and empty when its head was. */
	void (*on_refused)(void *arg, struct gate *g, const struct http_error *e, struct gate_refusal *out);
	void *arg;
	struct gate_stats *stats;    /* the worker's own; written without locks */
	struct admission *admission; /* NULL: everybody may come in */
	/* Connections of this listener: one more makes the one that has been idle for longest end. While none is, there may
	 * be four times as many. 0: no such bound. */
	unsigned most_open;
	struct body_port *bodies;                /* NULL: no bound but max_body of each */
	struct tls *tls;                         /* NULL: plain */
	bool proxy_protocol;                     /* connections begin with its header, before TLS */
	const struct config_networks *trusted;   /* who may send one */
	const struct config_networks *balancers; /* whose X-Forwarded-Proto counts; NULL: nobody's */
	const struct config_networks *purgers;   /* whose PURGE is obeyed; NULL: it is a method like any other */
};

/* The strict view of the request being served; valid until the response is complete or the connection is gone. The body is
 * the transport's. Body of a HEAD request: read and dropped. */
const struct http_request *gate_request(const struct gate *g);
/* "1.2.3.4" or "::1", as text, and the port: the socket's, or what the PROXY protocol says in its place. */
const char *gate_peer(const struct gate *g, uint16_t *port);

/* The time of this turn of the loop. */
struct now gate_now(const struct gate *g);

/* Writes an interim response (102, 103...), below evhttp. Only before the final head; ignored for HTTP/1.0 clients. */
void gate_write_informational(struct gate *g, int status, const struct http_fields *fields);
/* Bytes that may be added to the response before the high-water mark; 0: wait for on_room. Measured at the socket. */
size_t gate_room(struct gate *g);
/* The same with a mark of one's own, at most the high-water mark: below half of it on_room comes. */
size_t gate_room_below(struct gate *g, size_t mark);
/* Bytes of responses that the socket has not taken yet. */
size_t gate_unsent(const struct gate *g);
/* The transport's callbacks (transport.h): on_room when less than half of the mark waits, after gate_room gave 0. on_gone when the
 * client's connection is reset, timed out in writing, or closed in both directions (a half-closed client is still served), from the
 * loop or from front_free: gate and request are invalid after it. on_complete when the response's last byte is with the kernel;
 * gate_request is valid until on_complete returns. Exactly one of on_complete, on_gone and an abort ends a request. */

/* No further request on this connection after the current response (drain, Connection: close). Before the response's head: it
 * will say `Connection: close`. Must be called before a response of unknown length to an HTTP/1.0 client. */
void gate_close_after_response(struct gate *g);

#endif
