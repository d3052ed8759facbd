/* SPDX-License-Identifier: MIT */
/* Keys of [proxy], [admin], [disk] and [upstream] that do nothing where they stand, because another key is off. */
#include <netinet/in.h>

#include "config/build.h"
#include "http/uri.h"

static bool no_listener_has_tls(const struct config *c)
{
	for (unsigned i = 0; i < c->proxy.listen.n; i++)
		if (c->proxy.listen.v[i].tls)
			return false;
	return true;
}

static bool no_listener_has_proxy(const struct config *c)
{
	for (unsigned i = 0; i < c->proxy.listen.n; i++)
		if (c->proxy.listen.v[i].proxy_protocol)
			return false;
	return true;
}

static bool no_listener_has_purge(const struct config *c)
{
	for (unsigned i = 0; i < c->proxy.listen.n; i++)
		if (c->proxy.listen.v[i].purge)
			return false;
	return true;
}

static bool no_access_log(const struct config *c)
{
	return c->proxy.access_log.n == 0;
}

static bool no_admin(const struct config *c)
{
	return c->admin.listen.n == 0;
}

static bool no_disk(const struct config *c)
{
	return c->disk.path.n == 0;
}

static const struct {
	const char *kind, *key;
	bool (*is_vain)(const struct config *c);
	const char *why;
} parts[] = {
	{"proxy", "tls_certificate", no_listener_has_tls, "no listener has the word tls"},
	{"proxy", "tls_key", no_listener_has_tls, "no listener has the word tls"},
	{"proxy", "proxy_trusted", no_listener_has_proxy, "no listener has the word proxy"},
	{"proxy", "purge_from", no_listener_has_purge, "no listener has the word purge"},
	{"proxy", "access_log_format", no_access_log, "access_log is off"},
	{"admin", "token", no_admin, "listen is off"},
	{"admin", "token_file", no_admin, "listen is off"},
	{"disk", "size", no_disk, "there is no path"},
	{"disk", "max_object", no_disk, "there is no path"},
	{"disk", "threads", no_disk, "there is no path"},
	{"disk", "admit", no_disk, "there is no path"},
	{"warm", "file", no_admin, "[admin] listen is off"},
	{"warm", "top", no_admin, "[admin] listen is off"},
	{"warm", "top", no_disk, "[disk] has no path"},
};

static void tell(struct build *b, const struct ini_entry *e, const char *why)
{
	report_warning(b->report, e->line, "%.*s: has no effect: %s", SLICE_ARG(e->key), why);
}

static void warn_of_singles(struct build *b)
{
	for (unsigned i = 0; i < ARRAY_LEN(parts); i++) {
		const struct ini_entry *e =
			ini_find(ini_section_of(b->sections, parts[i].kind, SLICE_LIT("")), parts[i].key);

		if (e && parts[i].is_vain(b->config))
			tell(b, e, parts[i].why);
	}
}

static void warn_of_disk_object(struct build *b)
{
	const struct config_disk *d = &b->config->disk;
	const struct ini_entry *e = ini_find(ini_section_of(b->sections, "disk", SLICE_LIT("")), "max_object");

	if (e && d->path.n > 0 && d->max_object_bytes > d->size_bytes / 4)
		report_warning(b->report, e->line, "max_object: no more than a quarter of size is written, %s",
			option_size_text((int64_t)(d->size_bytes / 4)).z);
}

/* ---- [upstream] ---- */

static bool has_one_origin(const struct config_upstream *u)
{
	return !u->url.next;
}

/* A health check says in /stats that it is down after so many. */
static bool never_leaves_one_out(const struct config_upstream *u)
{
	return has_one_origin(u) && u->health_path.n == 0;
}

static bool has_no_checks(const struct config_upstream *u)
{
	return u->health_path.n == 0;
}

static bool has_no_breaker(const struct config_upstream *u)
{
	return u->breaker_errors == 0 && u->breaker_slow_ms <= 0;
}

static bool counts_no_failures(const struct config_upstream *u)
{
	return never_leaves_one_out(u) && has_no_breaker(u);
}

static bool has_no_quota_guard(const struct config_upstream *u)
{
	return !u->quota_guard;
}

static bool has_no_https(const struct config_upstream *u)
{
	for (const struct config_url *url = &u->url; url; url = url->next)
		if (url->is_https)
			return false;
	return true;
}

static const struct {
	const char *key;
	bool (*is_vain)(const struct config_upstream *u);
	const char *why;
} upstream_keys[] = {
	{"balance", has_one_origin, "there is one url"},
	{"max_fails", never_leaves_one_out, "there is one url"},
	{"fail_timeout", never_leaves_one_out, "there is one url"},
	{"fail_on_5xx", counts_no_failures, "there is one url, and breaker_errors and breaker_slow are off"},
	{"health_interval", has_no_checks, "there is no health_path"},
	{"health_timeout", has_no_checks, "there is no health_path"},
	{"breaker_requests", has_no_breaker, "breaker_errors and breaker_slow are off"},
	{"breaker_window", has_no_breaker, "breaker_errors and breaker_slow are off"},
	{"breaker_open", has_no_breaker, "breaker_errors and breaker_slow are off"},
	{"quota_reserve", has_no_quota_guard, "quota_guard is off"},
	{"quota_stretch", has_no_quota_guard, "quota_guard is off"},
	{"tls_ca", has_no_https, "the url is http"},
	{"tls_verify", has_no_https, "the url is http"},
};

static const struct ini_section *section_of(const struct build *b, const struct config_upstream *u)
{
	return ini_section_of(
		b->sections, "upstream", slice_equal(u->name, SLICE_LIT("default")) ? SLICE_LIT("") : u->name);
}

/* Of what the one without a name says, those count which take it from there. */
static bool is_vain_in_all(const struct build *b, unsigned key)
{
	const struct config *c = b->config;

	for (unsigned i = 0; i < c->upstreams_n; i++) {
		const struct ini_section *s = section_of(b, &c->upstreams[i]);
		bool is_own = s && s->name.n > 0 && ini_find(s, upstream_keys[key].key);

		if (!is_own && !upstream_keys[key].is_vain(&c->upstreams[i]))
			return false;
	}
	return true;
}

static void warn_of_upstream_keys(struct build *b)
{
	const struct config *c = b->config;
	const struct ini_section *unnamed = ini_section_of(b->sections, "upstream", SLICE_LIT(""));

	for (unsigned k = 0; k < ARRAY_LEN(upstream_keys); k++) {
		const struct ini_entry *e = ini_find(unnamed, upstream_keys[k].key);

		if (e && is_vain_in_all(b, k))
			tell(b, e, upstream_keys[k].why);
		for (unsigned i = 0; i < c->upstreams_n; i++) {
			const struct ini_section *s = section_of(b, &c->upstreams[i]);

			e = s == unnamed ? NULL : ini_find(s, upstream_keys[k].key);
			if (e && upstream_keys[k].is_vain(&c->upstreams[i]))
				tell(b, e, upstream_keys[k].why);
		}
	}
}

static bool is_asked(const struct config *c, unsigned upstream)
{
	for (unsigned i = 0; i < c->routes_n; i++)
		if (c->routes[i].upstream == upstream)
			return true;
	return false;
}

static void warn_of_idle_upstreams(struct build *b)
{
	const struct config *c = b->config;

	for (unsigned i = 0; i < c->upstreams_n; i++)
		if (!is_asked(c, i))
			report_warning(b->report, ini_line(section_of(b, &c->upstreams[i]), NULL, "url"),
				"url: no route asks this upstream; a route names it by upstream = %.*s",
				SLICE_ARG(c->upstreams[i].name));
}

/* Where a socket address is of this machine whatever its interfaces: loopback, or all addresses of a listener. */
static bool is_this_machine(const struct sockaddr_storage *sa)
{
	if (sa->ss_family == AF_INET) {
		in_addr_t a = ntohl(((const struct sockaddr_in *)sa)->sin_addr.s_addr);

		return a == INADDR_ANY || a >> 24 == 127;
	}
	const struct in6_addr *a = &((const struct sockaddr_in6 *)sa)->sin6_addr;

	return IN6_IS_ADDR_UNSPECIFIED(a) || IN6_IS_ADDR_LOOPBACK(a);
}

/* A name that is looked up elsewhere is not: -t asks nobody. */
static bool leads_here(struct slice host)
{
	return slice_equal_nocase(host, SLICE_LIT("localhost")) || slice_equal(host, SLICE_LIT("[::1]")) ||
	       slice_starts_with(host, SLICE_LIT("127.")) || slice_equal(host, SLICE_LIT("0.0.0.0"));
}

static bool is_own_listener(const struct config *c, const struct config_url *url)
{
	struct slice host;
	int port;

	if (!uri_authority_parse(url->authority, &host, &port) || !leads_here(host))
		return false;
	if (port < 0)
		port = url->is_https ? 443 : 80;
	for (unsigned i = 0; i < c->proxy.listen.n; i++) {
		const struct sockaddr_storage *sa = &c->proxy.listen.v[i].sa;
		in_port_t of = sa->ss_family == AF_INET ? ((const struct sockaddr_in *)sa)->sin_port
							: ((const struct sockaddr_in6 *)sa)->sin6_port;

		if (port > 0 && ntohs(of) == port && is_this_machine(sa))
			return true;
	}
	return false;
}

static void warn_of_circles(struct build *b)
{
	const struct config *c = b->config;

	for (unsigned i = 0; i < c->upstreams_n; i++)
		for (const struct config_url *url = &c->upstreams[i].url; url; url = url->next)
			if (is_own_listener(c, url))
				report_warning(b->report, ini_line(section_of(b, &c->upstreams[i]), NULL, "url"),
					"url: %.*s is a listener of this proxy, which would ask itself",
					SLICE_ARG(url->whole));
}

void warn_of_parts(struct build *b)
{
	warn_of_singles(b);
	warn_of_disk_object(b);
	warn_of_upstream_keys(b);
	warn_of_idle_upstreams(b);
	warn_of_circles(b);
}
