/* SPDX-License-Identifier: MIT */
/* A stop: what runs is finished within shutdown_grace; a second signal, or the end of the grace, closes the rest.
 * Thread: main. Borrows: the server. */
#ifndef PROXY_PROCESS_DRAIN_H
#define PROXY_PROCESS_DRAIN_H

#include <event2/util.h>

#include "proxy/process/server.h"

/* Callbacks of main's loop; arg: the server. */
void drain_on_stop_signal(evutil_socket_t sig, short what, void *arg);
void drain_on_grace_over(evutil_socket_t fd, short what, void *arg);
void drain_on_end_tick(evutil_socket_t fd, short what, void *arg);
/* A worker's message: it has no client left. */
void drain_on_worker_drained(struct message *m);

#endif
