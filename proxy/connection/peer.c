/* SPDX-License-Identifier: MIT */
#include "proxy/connection/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

static const uint8_t v4_prefix[12] = {[10] = 0xff, [11] = 0xff};

void peer_from_v4(const uint8_t address[4], uint16_t port, struct peer *p)
{
	memcpy(p->address, v4_prefix, sizeof(v4_prefix));
	memcpy(p->address + sizeof(v4_prefix), address, 4);
	p->port = port;
}

void peer_from_v6(const uint8_t address[16], uint16_t port, struct peer *p)
{
	memcpy(p->address, address, sizeof(p->address));
	p->port = port;
}

bool peer_from_sockaddr(const struct sockaddr *sa, struct peer *p)
{
	struct sockaddr_in in;
	struct sockaddr_in6 in6;

	memset(p, 0, sizeof(*p));
	if (sa->sa_family == AF_INET) {
		memcpy(&in, sa, sizeof(in));
		peer_from_v4((const uint8_t *)&in.sin_addr, ntohs(in.sin_port), p);
	} else if (sa->sa_family == AF_INET6) {
		memcpy(&in6, sa, sizeof(in6));
		peer_from_v6(in6.sin6_addr.s6_addr, ntohs(in6.sin6_port), p);
	} else {
		return false;
	}
	return true;
}

void peer_text(const struct peer *p, char text[PEER_TEXT_MAX])
{
	bool is_v4 = memcmp(p->address, v4_prefix, sizeof(v4_prefix)) == 0;

	inet_ntop(is_v4 ? AF_INET : AF_INET6, is_v4 ? p->address + sizeof(v4_prefix) : p->address, text, PEER_TEXT_MAX);
}

bool peer_is_in(const struct peer *p, const struct config_networks *networks)
{
	return config_networks_hold(networks, p->address);
}
