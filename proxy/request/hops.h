/* SPDX-License-Identifier: MIT */
/* Between hops: requests that come back to the process that sent them on (RFC 8586; Via, RFC 9110 7.6.3), and those that may
 * go no further (Max-Forwards, RFC 9110 7.6.2).
 *
 * Each process marks what it sends with a random number of its own. So one memoproxy behind another is no loop, and a
 * loop through a process that replaces this one ends one turn later.
 * Thread: any. Bounds: none of its own. */
#ifndef PROXY_REQUEST_HOPS_H
#define PROXY_REQUEST_HOPS_H

#include "http/message.h"

/* Whether Via is added to requests and to responses: both, unless it is said. Before there are other threads. CDN-Loop bears the mark
 * in any case. */
void hops_set_via(bool of_requests, bool of_responses);

/* Did this process send it on already? */
bool hops_were_here(const struct http_fields *request);
/* What it adds to Via for a client of that minor version, and to CDN-Loop; constants of the process. */
struct slice hops_via(int minor); /* empty: nothing */
struct slice hops_cdn_loop(void);
/* What it adds to the Via of responses; without the mark, as it is stored. Empty: nothing. */
struct slice hops_via_of_responses(void);

/* How many more times an OPTIONS request may be forwarded; -1: nothing is said, or it is no OPTIONS. */
int64_t hops_left(const struct http_request *r);

#endif
