/* SPDX-License-Identifier: MIT */
/* A client's connection before its first request, whatever protocol the requests are of: who the client is, whether it may come in,
 * what the PROXY protocol says of it. Counts and logs what is refused; whoever carries the connection ends it.
 * Thread: the connection's loop. Owns: its places in the counts of `admission`. Bounds: those, and PROXY_HEADER_MAX. */
#ifndef PROXY_FRONT_INBOUND_H
#define PROXY_FRONT_INBOUND_H

#include <stdbool.h>

#include "base/check.h"
#include "proxy/connection/peer.h"
#include "proxy/connection/proxy_protocol.h"

struct evbuffer;
struct gate_options;

struct inbound { /* all zero at first */
	struct peer peer;
	char peer_text[PEER_TEXT_MAX]; /* empty: not known */
	bool admitted;                 /* counted in all */
	bool admitted_address;         /* counted under `peer` */
};

/* The peer is the socket's, until a PROXY header says otherwise. */
void inbound_read_peer(struct inbound *c, int fd);
/* Whether there is place for one more, in all and from this address; the latter once the peer is the client. Each needs
 * inbound_leave. */
bool inbound_admit(struct inbound *c, const struct gate_options *o) WARN_UNUSED;
bool inbound_admit_address(struct inbound *c, const struct gate_options *o) WARN_UNUSED;
void inbound_leave(struct inbound *c, const struct gate_options *o);
/* Whether the peer may say by the PROXY protocol who the client is. */
bool inbound_is_trusted(const struct inbound *c, const struct gate_options *o) WARN_UNUSED;
/* DONE: the header is taken off the input, and the peer is who it names. */
enum proxy_header_parse inbound_read_header(
	struct inbound *c, const struct gate_options *o, struct evbuffer *input) WARN_UNUSED;

#endif
