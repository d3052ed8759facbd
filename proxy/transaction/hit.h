/* SPDX-License-Identifier: MIT */
/* The hit road: a GET or HEAD that a fresh object can answer is answered by the gate, without evhttp.
 * Thread: the worker. */
#ifndef PROXY_TRANSACTION_HIT_H
#define PROXY_TRANSACTION_HIT_H

#include <stdbool.h>

struct gate;
struct http_request;

/* gate_options.answer; arg is the worker. */
bool hit_answer(void *arg, struct gate *g, const struct http_request *r, bool *close);

#endif
