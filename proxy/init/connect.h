/* SPDX-License-Identifier: MIT */
/* `memoproxy -t --connect`: does each origin of a configuration answer?
 * Thread: main; it blocks, for as long as the upstream's timeouts say, one origin after the other. */
#ifndef PROXY_INIT_CONNECT_H
#define PROXY_INIT_CONNECT_H

#include "config/config.h"

/* Asks each for its health_path, or else for /; whatever status it answers with is an answer. Prints a line for each, which says
 * "file:line: warning: ..." for those that don't. How many, or -ENOMEM. */
int connect_to_all(const struct config *c, FILE *to) WARN_UNUSED;

#endif
