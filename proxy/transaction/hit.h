/* SPDX-License-Identifier: MIT */
/* The hit road: a GET or HEAD that a fresh object can answer is answered by the gate, without evhttp.
 * Thread: the worker. */
#ifndef PROXY_TRANSACTION_HIT_H
#define PROXY_TRANSACTION_HIT_H

#include <stdbool.h>

#include "base/clock.h"

struct transport;

/* gate_options.answer; arg is the worker. */
bool hit_answer(void *arg, struct transport *t, struct now now);

#endif
