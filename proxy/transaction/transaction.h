/* SPDX-License-Identifier: MIT */
/* One client request that was no hit at once, from its arrival to the end of its response.
 * Thread: the worker that accepted the connection. Owns: its target, its references to object and flight; the transport owns
 * the connection and the request. Life: transaction_begin to the response's end or the client's going, whichever
 * comes first; freed by itself. Bounds: one a connection. */
#ifndef PROXY_TRANSACTION_TRANSACTION_H
#define PROXY_TRANSACTION_TRANSACTION_H

#include "base/clock.h"

struct transport;
struct worker;

/* gate_options.on_request; arg is the worker. */
void transaction_begin(void *arg, struct transport *t);
/* Now and then: a range that has waited for too long for its first byte, while the whole comes in, goes to the origin by itself. */
void transaction_send_overdue(struct worker *w, struct now now);
/* At a worker's end: drops all transactions without responses. */
void transaction_drop_all(struct worker *w);

#endif
