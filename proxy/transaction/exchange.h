/* SPDX-License-Identifier: MIT */
/* One client request on the evhttp road, from its arrival to the end of its reply.
 * Thread: the worker that accepted the connection. Owns: its target, its references to object and flight; the gate and
 * evhttp own the connection and the request. Life: exchange_begin to the reply's end or the client's going, whichever
 * comes first; freed by itself. Bounds: one a connection. */
#ifndef PROXY_TRANSACTION_EXCHANGE_H
#define PROXY_TRANSACTION_EXCHANGE_H

struct evhttp_request;
struct worker;

/* evhttp's general callback; arg is the worker. */
void exchange_begin(struct evhttp_request *req, void *arg);
/* At a worker's end: drops all exchanges without replies. */
void exchange_drop_all(struct worker *w);

#endif
