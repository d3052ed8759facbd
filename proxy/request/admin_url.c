/* SPDX-License-Identifier: MIT */
#include "proxy/request/admin_url.h"

#include <errno.h>
#include <netinet/in.h>

#include "http/uri.h"

#define ADMIN_URL_MAX (64 * 1024)
#define WHY_MAX 4096

void admin_url_init(struct admin_url *l)
{
	memset(l, 0, sizeof(*l));
	buf_init(&l->url, ADMIN_URL_MAX);
	buf_init(&l->head, ADMIN_URL_MAX);
	buf_init(&l->spelled, ADMIN_URL_MAX);
	buf_init(&l->why, WHY_MAX);
	http_request_init(&l->request);
}

void admin_url_fini(struct admin_url *l)
{
	buf_fini(&l->url);
	buf_fini(&l->head);
	buf_fini(&l->spelled);
	buf_fini(&l->why);
	http_request_fini(&l->request);
}

/* True: *path_query is what a client asks of this upstream. */
static bool begins_with_base(const struct config_upstream *u, struct slice *path_query)
{
	struct slice rest;

	if (!slice_starts_with(*path_query, u->url.base))
		return false;
	rest = slice_from(*path_query, u->url.base.n);
	if (rest.n > 0 && rest.p[0] != '/' && rest.p[0] != '?')
		return false;
	*path_query = rest;
	return true;
}

/* Of an absolute URL with this path and query, the part that a client asks of this upstream; false when it is not the
 * upstream's. */
static bool is_of_upstream(
	const struct config_upstream *u, struct slice url, struct slice path_query, struct slice *rest)
{
	*rest = path_query;
	return uri_same_origin(u->url.whole, url) && begins_with_base(u, rest);
}

struct parts {
	struct slice authority, path, query;
	bool has_query;
};

/* The first that leads there, of those that take any host if there is one; NULL: none. */
static const struct config_route *route_of_upstream(const struct config *c, unsigned upstream, const struct parts *p)
{
	const struct config_route *with_hosts = NULL;

	for (unsigned i = 0; i < c->routes_n; i++) {
		const struct config_route *r = &c->routes[i];

		if (r->upstream != upstream ||
			(r->match && !pattern_match(r->match, p->path, p->has_query, p->query, NULL)))
			continue;
		if (r->hosts.n == 0)
			return r;
		if (!with_hosts)
			with_hosts = r;
	}
	return with_hosts;
}

/* As a client's request is routed. */
static void find_route(struct admin_url *l, const struct snapshot *s, const struct parts *p)
{
	l->route = config_route_for(s->config, p->authority, p->path, p->has_query, p->query);
	l->upstream = l->route->upstream;
}

static void split_query(struct slice target, struct parts *p)
{
	p->has_query = slice_cut(target, '?', &p->path, &p->query);
	if (p->path.n == 0)
		p->path = SLICE_LIT("/");
}

static bool is_any_address(const struct config_address *a)
{
	const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)(const void *)&a->sa;
	const struct sockaddr_in *v4 = (const struct sockaddr_in *)(const void *)&a->sa;

	return a->sa.ss_family == AF_INET6 ? IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr)
					   : v4->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* As far as addresses tell; what names lead here nobody knows. */
static bool is_listened_on(const struct config_addresses *listen, struct slice scheme, struct slice authority)
{
	struct slice host, own_host;
	int port, own_port;

	if (!uri_authority_parse(authority, &host, &port))
		return false;
	port = port < 0 ? uri_default_port(scheme) : port;
	for (unsigned i = 0; i < listen->n; i++) {
		const struct config_address *a = &listen->v[i];

		if (!uri_authority_parse(a->text, &own_host, &own_port) || own_port != port)
			continue;
		if (is_any_address(a) || slice_equal_nocase(host, own_host) ||
			(a->is_loopback && slice_equal_nocase(host, SLICE_LIT("localhost"))))
			return true;
	}
	return false;
}

static bool is_said(const struct config *c, unsigned upstream)
{
	for (unsigned i = 0; i < upstream; i++)
		if (slice_equal(c->upstreams[i].url.whole, c->upstreams[upstream].url.whole))
			return true;
	return false;
}

/* Says what was probably meant. */
static int refuse_origin(
	struct admin_url *l, const struct snapshot *s, struct slice scheme, struct slice authority, const char **why)
{
	struct buf *text = &l->why;

	buf_reset(text);
	if (is_listened_on(&s->config->proxy.listen, scheme, authority))
		buf_add_str(text, "this is the proxy's own address: give the path alone");
	else
		buf_add_str(text, "no upstream has this origin: give the path alone");
	for (unsigned i = 0; i < s->config->upstreams_n; i++) {
		if (is_said(s->config, i))
			continue;
		buf_add_str(text, i == 0 ? ", or a URL of " : ", ");
		buf_add_slice(text, s->config->upstreams[i].url.whole);
	}
	buf_add(text, "", 1);
	*why = text->err ? "no upstream has this origin" : text->p;
	return -EINVAL;
}

static int find_absolute(
	struct admin_url *l, const struct snapshot *s, struct slice url, struct parts *p, const char **why)
{
	struct slice scheme, rest;

	if (!uri_split_absolute(url, &scheme, &p->authority, &rest)) {
		*why = "url must be a path that begins with '/' or an absolute http or https URL";
		return -EINVAL;
	}
	/* Of upstreams with one URL, that which is asked for this. */
	for (unsigned i = 0; i < s->config->upstreams_n; i++) {
		struct parts here = {.authority = p->authority};
		const struct config_route *route;
		struct slice asked;

		if (!is_of_upstream(&s->config->upstreams[i], url, rest, &asked))
			continue;
		split_query(asked, &here);
		route = route_of_upstream(s->config, i, &here);
		if (!route && l->is_unserved)
			continue;
		*p = here;
		l->upstream = i;
		l->route = route ? route : &s->config->routes[s->config->routes_n - 1];
		l->is_unserved = !route;
		if (route)
			return 0;
	}
	if (l->is_unserved)
		return 0;
	split_query(rest, p);
	find_route(l, s, p);
	/* As keys have it, with the path that the upstream's own URL begins with. */
	if (s->config->upstreams[l->upstream].host_header == CONFIG_HOST_CLIENT &&
		begins_with_base(&s->config->upstreams[l->upstream], &rest)) {
		split_query(rest, p);
		find_route(l, s, p);
	}
	/* scheme://host of the client's choosing: of an upstream whose requests bear the client's Host, or of a route's own. */
	if (s->config->upstreams[l->upstream].host_header == CONFIG_HOST_CLIENT || l->route->hosts.n > 0) {
		l->is_tls = slice_equal_nocase(scheme, SLICE_LIT("https"));
		return 0;
	}
	return refuse_origin(l, s, scheme, p->authority, why);
}

/* The admin side decodes its parameters, so that an URL with escapes that was given as it is has lost them. */
static int spell(struct buf *to, struct slice *what)
{
	static const char digits[] = "0123456789ABCDEF";

	buf_reset(to);
	for (size_t i = 0; i < what->n; i++) {
		unsigned char c = (unsigned char)what->p[i];
		char escape[3] = {'%', digits[c >> 4], digits[c & 15]};

		if (c == ' ' || c >= 0x80)
			buf_add(to, escape, sizeof(escape));
		else
			buf_add_char(to, (char)c);
	}
	*what = buf_slice(to);
	return to->err;
}

static int find(struct admin_url *l, const struct snapshot *s, struct slice what, struct parts *p, const char **why)
{
	int err = spell(&l->spelled, &what);

	*p = (struct parts){0};
	l->is_unserved = false;
	l->is_tls = !admin_url_has_listener(s, false);
	if (err)
		return err;
	if (what.n == 0) {
		*why = "an empty url";
		return -EINVAL;
	}
	l->is_path = what.p[0] == '/';
	if (!l->is_path)
		return find_absolute(l, s, what, p, why);
	split_query(what, p);
	find_route(l, s, p);
	return 0;
}

static int make_request(struct admin_url *l, const struct parts *p, struct slice authority, const char **why)
{
	const struct http_head_limits limits = {.max_head = ADMIN_URL_MAX, .max_fields = 4};
	struct http_error error;
	size_t scanned = 0;

	buf_reset(&l->head);
	buf_add_str(&l->head, "GET ");
	target_add_path(&l->head, p->path, p->has_query, p->query);
	buf_add_str(&l->head, " HTTP/1.1\r\nHost: ");
	buf_add_slice(&l->head, authority);
	buf_add_str(&l->head, "\r\n\r\n");
	if (l->head.err)
		return l->head.err;
	if (http_request_parse(l->head.p, l->head.n, &limits, &scanned, &l->request, &error) != HTTP_PARSE_DONE) {
		*why = "not a URL that a request could have";
		return -EINVAL;
	}
	return 0;
}

static int add_origin(const struct config_upstream *u, struct slice authority, bool is_tls, struct buf *to)
{
	struct buf host;
	int err = 0;

	buf_init(&host, ADMIN_URL_MAX);
	if (u->host_header == CONFIG_HOST_CLIENT)
		err = sent_host_add(&host, authority, is_tls ? SLICE_LIT("https") : SLICE_LIT("http"));
	if (!err)
		err = target_origin(u, buf_slice(&host), to);
	buf_fini(&host);
	return err;
}

/* The URL as keys have it. A prefix is taken literally. */
static int make_url(struct admin_url *l, const struct config_upstream *u, const struct parts *p, bool is_prefix)
{
	struct buf origin;
	int err;

	buf_reset(&l->url);
	buf_init(&origin, ADMIN_URL_MAX);
	err = add_origin(u, p->authority, l->is_tls, &origin);
	if (!err && !is_prefix) {
		err = cache_url_build(&l->url, &l->route->rules, buf_slice(&origin), p->path, p->has_query, p->query);
	} else if (!err) {
		buf_add_slice(&l->url, buf_slice(&origin));
		err = target_add_path(&l->url, p->path, p->has_query, p->query);
	}
	buf_fini(&origin);
	return err;
}

static bool takes_path(const struct config_route *r, const struct admin_url *l)
{
	const struct http_request *q = &l->request;

	return !r->match || pattern_match(r->match, q->path, q->has_query, q->query, NULL);
}

/* May a request that the URL names be this route's, for some host? */
static bool may_serve(const struct config_route *r, const struct admin_url *l)
{
	return r != l->route && r->upstream == l->upstream && takes_path(r, l);
}

const struct config_route *admin_url_next_by_host(const struct admin_url *l, const struct snapshot *s, unsigned *i)
{
	const struct config_route *r = NULL;

	while (!r && l->is_path && *i < s->config->routes_n && &s->config->routes[*i] != l->route) {
		r = &s->config->routes[(*i)++];
		if (r->hosts.n == 0 || !takes_path(r, l))
			r = NULL;
	}
	return r;
}

int admin_url_next(const struct admin_url *l, const struct snapshot *s, unsigned *i, struct buf *out)
{
	const struct config *c = s->config;
	struct buf origin;
	int err;

	while (*i < c->routes_n && !(l->request.has_query && may_serve(&c->routes[*i], l)))
		++*i;
	if (*i == c->routes_n)
		return 0;
	buf_reset(out);
	buf_init(&origin, ADMIN_URL_MAX);
	err = add_origin(&c->upstreams[l->upstream], l->request.host, l->is_tls, &origin);
	if (!err)
		err = cache_url_build(
			out, &c->routes[*i].rules, buf_slice(&origin), l->request.path, true, l->request.query);
	buf_fini(&origin);
	++*i;
	return err ? err : 1;
}

/* What `parts` are of l's upstream. */
static int make_admin_url(
	struct admin_url *l, const struct snapshot *s, const struct parts *p, bool is_prefix, const char **why)
{
	const struct config_upstream *u = &s->config->upstreams[l->upstream];
	int err = 0;

	if (u->host_header == CONFIG_HOST_CLIENT && p->authority.n == 0) {
		*why = "the upstream is asked with the client's Host here: give an absolute URL with it";
		return -EINVAL;
	}
	if (!is_prefix)
		err = make_request(l, p, p->authority.n ? p->authority : u->url.authority, why);
	return err ? err : make_url(l, u, p, is_prefix);
}

int admin_url_find(struct admin_url *l, const struct snapshot *s, struct slice what, bool is_prefix, const char **why)
{
	struct parts p;
	int err = find(l, s, what, &p, why);

	return err ? err : make_admin_url(l, s, &p, is_prefix, why);
}

int admin_url_find_on(
	struct admin_url *l, const struct snapshot *s, struct slice scheme, struct slice host, struct slice path_query)
{
	struct parts p = {.authority = host};
	const char *why;

	split_query(path_query, &p);
	l->is_tls = slice_equal_nocase(scheme, SLICE_LIT("https"));
	find_route(l, s, &p);
	return make_admin_url(l, s, &p, false, &why);
}

struct asked admin_url_asked(const struct admin_url *l)
{
	return (struct asked){.http = &l->request, .peer = NULL, .is_tls = l->is_tls, .route = l->route};
}

int admin_url_check_served(const struct admin_url *l, const char **why)
{
	if (l->is_unserved)
		*why = "no route leads to this URL: its responses are not cached";
	return l->is_unserved ? -EINVAL : 0;
}

bool admin_url_has_listener(const struct snapshot *s, bool is_tls)
{
	const struct config_addresses *listen = &s->config->proxy.listen;

	for (unsigned i = 0; i < listen->n; i++)
		if (listen->v[i].tls == is_tls)
			return true;
	return s->config->proxy.trusted_proxies.n > 0;
}
