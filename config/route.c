/* SPDX-License-Identifier: MIT */
/* Which route and which upstream. */
#include "config/config.h"

/* Without the port and the final dot of a fully qualified name. */
static struct slice bare_host(struct slice host)
{
	bool bracketed = host.n > 0 && host.p[0] == '[';
	const char *end = host.n > 0 ? memchr(host.p, bracketed ? ']' : ':', host.n) : NULL;

	if (end)
		host.n = (size_t)(end - host.p) + bracketed;
	if (host.n > 1 && host.p[host.n - 1] == '.')
		host.n--;
	return host;
}

/* "*.example.org" is every host below example.org, not that itself. */
static bool host_fits(struct slice pattern, struct slice host)
{
	if (pattern.p[0] != '*')
		return slice_equal_nocase(pattern, host);
	pattern.p++;
	pattern.n--;
	if (host.n <= pattern.n)
		return false;
	return slice_equal_nocase(pattern, (struct slice){host.p + host.n - pattern.n, pattern.n});
}

static bool any_host_fits(const struct slices *hosts, struct slice host)
{
	for (unsigned i = 0; i < hosts->n; i++)
		if (host_fits(hosts->v[i], host))
			return true;
	return hosts->n == 0;
}

const struct config_route *config_route_for(const struct config *c, struct slice host, struct slice path,
	bool has_query, struct slice query, struct pattern_captures *out)
{
	host = bare_host(host);
	for (unsigned i = 0; i + 1 < c->routes_n; i++) {
		const struct config_route *r = &c->routes[i];

		if (!any_host_fits(&r->hosts, host))
			continue;
		if (r->match && pattern_match(r->match, path, has_query, query, out))
			return r;
		if (r->match)
			continue;
		if (out)
			out->n = 0;
		return r;
	}
	if (out)
		out->n = 0;
	return &c->routes[c->routes_n - 1];
}

const struct config_route *config_route_decoded(
	const struct config *c, struct slice host, struct slice path, bool has_query, struct slice query)
{
	host = bare_host(host);
	for (unsigned i = 0; i + 1 < c->routes_n; i++) {
		const struct config_route *r = &c->routes[i];

		if (any_host_fits(&r->hosts, host) &&
			(!r->match || pattern_match_decoded(r->match, path, has_query, query)))
			return r;
	}
	return &c->routes[c->routes_n - 1];
}

const struct config_upstream *config_upstream_named(const struct config *c, struct slice name)
{
	if (name.n == 0)
		return &c->upstreams[0];
	for (unsigned i = 0; i < c->upstreams_n; i++)
		if (slice_equal(c->upstreams[i].name, name))
			return &c->upstreams[i];
	return NULL;
}
