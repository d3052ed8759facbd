/* SPDX-License-Identifier: MIT */
/* What a server does while another process takes over from it (upgrade.h, relay.h).
 * Thread: main. Borrows: the server. */
#ifndef PROXY_PROCESS_TAKEOVER_H
#define PROXY_PROCESS_TAKEOVER_H

#include <event2/util.h>

#include "proxy/process/relay.h"
#include "proxy/process/server.h"

/* The signal's handler, with the server. */
void takeover_on_usr2(evutil_socket_t sig, short what, void *arg);
/* A word from the other process, the older or the newer one. */
void takeover_on_word(void *arg, enum relay_word word);
/* Before a stop: a new process that does not serve yet is ended, as all is to stop; one that does goes on. */
void takeover_cancel(struct server *s);
/* The drain, or what comes before it, ends after shutdown_grace from now. */
void takeover_set_grace(struct server *s);

#endif
