/* SPDX-License-Identifier: MIT */
/* A client's address, as the socket or a PROXY protocol header tells it.
 * Thread: any. Owns: nothing. */
#ifndef PROXY_CONNECTION_PEER_H
#define PROXY_CONNECTION_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "config/config.h"

#define PEER_TEXT_MAX 46 /* INET6_ADDRSTRLEN */

struct peer {
	uint8_t address[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint16_t port;
};

/* False, and `p` all zero, when it is neither IPv4 nor IPv6. */
bool peer_from_sockaddr(const struct sockaddr *sa, struct peer *p);
/* Four bytes of IPv4 or sixteen of IPv6, in network order. */
void peer_from_v4(const uint8_t address[4], uint16_t port, struct peer *p);
void peer_from_v6(const uint8_t address[16], uint16_t port, struct peer *p);
/* "1.2.3.4" or "::1". */
void peer_text(const struct peer *p, char text[PEER_TEXT_MAX]);
bool peer_is_in(const struct peer *p, const struct config_networks *networks);

#endif
