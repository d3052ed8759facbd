/* SPDX-License-Identifier: MIT */
/* Which clients may ask for what. */
#include <string.h>

#include "config/config.h"

static bool is_in(const uint8_t address[16], const struct config_network *net)
{
	unsigned bytes = net->bits / 8, rest = net->bits % 8;

	if (memcmp(address, net->address, bytes) != 0)
		return false;
	return rest == 0 || (address[bytes] ^ net->address[bytes]) >> (8 - rest) == 0;
}

bool config_networks_hold(const struct config_networks *networks, const uint8_t address[16])
{
	for (unsigned i = 0; i < networks->n; i++)
		if (is_in(address, &networks->v[i]))
			return true;
	return false;
}

bool config_route_refuses(const struct config_route *r, const uint8_t address[16])
{
	return config_networks_hold(&r->deny, address) || (r->allow.n > 0 && !config_networks_hold(&r->allow, address));
}

bool config_refuses(const struct config *c, const uint8_t address[16])
{
	for (unsigned i = 0; c->is_restricted && i < c->routes_n; i++)
		if (config_route_refuses(&c->routes[i], address))
			return true;
	return false;
}
