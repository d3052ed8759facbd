/* SPDX-License-Identifier: MIT */
/* A slow JSON API to try the proxy with: `memoproxy --demo` serves in front of it with nothing else installed.
 * Thread: start and stop from one thread; it serves on a thread of its own, with plain evhttp and its own loop.
 * Owns: its listener, its loop, its data. Bounds: DEMO_CALLS_MAX calls at once (503), DEMO_BODY_MAX bytes of body (413),
 * DEMO_ITEMS_MAX items of a kind (507). */
#ifndef PROXY_DEMO_DEMO_H
#define PROXY_DEMO_DEMO_H

#include <stdint.h>

#include "base/check.h"

enum { DEMO_CALLS_MAX = 10000, DEMO_BODY_MAX = 16 * 1024 };

struct demo;

/* Every call is answered delay_ms after it came. port 0: any that is free. 0, or a negative errno as of bind(2): -EADDRNOTAVAIL where
 * the address, or the name, is none of this machine. */
int demo_start(const char *address, uint16_t port, int64_t delay_ms, struct demo **out) WARN_UNUSED;
/* Ends at once; calls that wait are not answered. */
void demo_stop(struct demo **demo);
uint16_t demo_port(const struct demo *demo);

#endif
