/* SPDX-License-Identifier: MIT */
/* Which route and which upstream. */
#include "config/config.h"
#include "config/router.h"

const struct config_route *config_route_for(
	const struct config *c, struct slice host, struct slice path, bool has_query, struct slice query)
{
	const struct router_asked asked = {.host = host, .path = path, .query = query, .has_query = has_query};

	return &c->routes[router_look(c->router, &asked).route];
}

const struct config_route *config_route_decoded(
	const struct config *c, struct slice host, struct slice path, bool has_query, struct slice query)
{
	const struct router_asked asked = {
		.host = host, .path = path, .query = query, .has_query = has_query, .is_decoded = true};

	return &c->routes[router_look(c->router, &asked).route];
}

void config_route_captures(const struct config_route *r, struct slice path, bool has_query, struct slice query,
	struct pattern_captures *out)
{
	out->n = 0;
	if (r->match)
		CHECK(pattern_match(r->match, path, has_query, query, out));
}

const struct config_route *config_route_named(const struct config *c, struct slice name)
{
	unsigned from = 0, to = c->routes_n;

	while (from < to) {
		unsigned middle = from + (to - from) / 2;
		const struct config_route *r = c->routes_by_name[middle];
		int order = strcmp(r->rules.route.p, name.p); /* both are followed by a NUL byte */

		if (order == 0)
			return r;
		if (order < 0)
			from = middle + 1;
		else
			to = middle;
	}
	return NULL;
}

const struct config_upstream *config_upstream_named(const struct config *c, struct slice name)
{
	if (name.n == 0)
		name = SLICE_LIT("default");
	for (unsigned i = 0; i < c->upstreams_n; i++)
		if (slice_equal(c->upstreams[i].name, name))
			return &c->upstreams[i];
	return NULL;
}

const struct config_route *config_route_slower(const struct config_route *a, const struct config_route *b)
{
	const struct config_rate *left = a ? &a->client_rate : NULL, *right = b ? &b->client_rate : NULL;

	if (!right || right->requests == 0)
		return left && left->requests > 0 ? a : NULL;
	if (!left || left->requests == 0)
		return b;
	return (uint64_t)right->requests * left->seconds < (uint64_t)left->requests * right->seconds ? b : a;
}
