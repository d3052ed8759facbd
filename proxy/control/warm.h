/* SPDX-License-Identifier: MIT */
/* The command warm: the running proxy is given a list of URLs, part by part as its bounds are, and it is shown how far it is.
 * Thread: main; it blocks until the list is through. Bounds: WARM_URLS_BYTES of URLs, WARM_SITEMAPS sitemaps of an index. */
#ifndef PROXY_CONTROL_WARM_H
#define PROXY_CONTROL_WARM_H

#include "proxy/control/control.h"

enum { WARM_URLS_BYTES = 64 << 20, WARM_SITEMAPS = 100 };

extern const struct word warm_word;

#endif
