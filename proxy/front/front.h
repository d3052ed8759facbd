/* SPDX-License-Identifier: MIT */
/* A listener's way in: it accepts connections, and each request on them, once it is whole, comes with the transport to answer it on.
 * Thread: the loop that it was made with. Owns: its sockets and connections. Bounds: those of its options (gate.h). */
#ifndef PROXY_FRONT_FRONT_H
#define PROXY_FRONT_FRONT_H

#include "proxy/front/gate.h"
#include "proxy/front/transport.h"

struct front;

/* The options stay where they are until front_free. SIGPIPE must be ignored. 0 or -ENOMEM. */
int front_new(struct event_base *base, const struct gate_options *o, struct front **out) WARN_UNUSED;
/* Takes a listening socket when it succeeds. Out of descriptors or memory, accepting pauses for GATE_PAUSE_MS at a time. 0 or
 * -ENOMEM. */
int front_listen(struct front *f, int fd) WARN_UNUSED;
/* Closes them; connections stay. */
void front_stop_listening(struct front *f);
/* That, and connections end after the response that is under way; idle ones at once. */
void front_drain(struct front *f);
/* All connections end now. NULL is harmless. */
void front_free(struct front **f);

#endif
