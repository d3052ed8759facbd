#include "proxy/locate.h"

#include <errno.h>

#include "http/uri.h"

#define LOCATION_MAX (64 * 1024)

void location_init(struct location *l)
{
	memset(l, 0, sizeof(*l));
	buf_init(&l->url, LOCATION_MAX);
	buf_init(&l->head, LOCATION_MAX);
	http_request_init(&l->request);
}

void location_fini(struct location *l)
{
	buf_fini(&l->url);
	buf_fini(&l->head);
	http_request_fini(&l->request);
}

static struct slice after(struct slice s, size_t n)
{
	return (struct slice){s.p + n, s.n - n};
}

/* The part of an absolute URL that a client asks of this upstream, or false when the URL is not the upstream's. */
static bool is_of_upstream(const struct snapshot_upstream *u, struct slice url, struct slice *rest)
{
	if (!slice_starts_with(url, u->url))
		return false;
	*rest = after(url, u->url.n);
	return rest->n == 0 || rest->p[0] == '/' || rest->p[0] == '?';
}

static const struct config_route *route_of_upstream(
	const struct config *c, unsigned upstream, struct slice path, bool has_query, struct slice query)
{
	struct pattern_captures captures;

	for (unsigned i = 0; i < c->routes_n; i++) {
		const struct config_route *r = &c->routes[i];

		if (r->upstream == upstream &&
			(!r->match || pattern_match(r->match, path, has_query, query, &captures)))
			return r;
	}
	return &c->routes[c->routes_n - 1];
}

/* scheme://host of the client's choosing: an upstream whose requests bear the client's Host. */
static bool find_by_client_host(const struct snapshot *s, struct slice authority, struct slice path, bool has_query,
	struct slice query, struct location *l)
{
	l->route = config_route_for(s->config, authority, path, has_query, query, NULL);
	l->upstream = l->route->upstream;
	return s->upstreams[l->upstream].host_from_client;
}

struct parts {
	struct slice authority, path, query;
	bool has_query;
};

static void split_query(struct slice target, struct parts *p)
{
	const char *q = memchr(target.p, '?', target.n);

	p->has_query = q != NULL;
	p->path = q ? (struct slice){target.p, (size_t)(q - target.p)} : target;
	p->query = q ? after(target, p->path.n + 1) : (struct slice){NULL, 0};
	if (p->path.n == 0)
		p->path = SLICE_LIT("/");
}

static int find_absolute(
	struct location *l, const struct snapshot *s, struct slice url, struct parts *p, const char **why)
{
	struct slice scheme, rest;

	if (!uri_split_absolute(url, &scheme, &p->authority, &rest)) {
		*why = "url must be a path that begins with '/' or an absolute http or https URL";
		return -EINVAL;
	}
	for (unsigned i = 0; i < s->config->upstreams_n; i++) {
		struct slice asked;

		if (!is_of_upstream(&s->upstreams[i], url, &asked))
			continue;
		split_query(asked, p);
		l->upstream = i;
		l->route = route_of_upstream(s->config, i, p->path, p->has_query, p->query);
		return 0;
	}
	split_query(rest, p);
	if (find_by_client_host(s, p->authority, p->path, p->has_query, p->query, l))
		return 0;
	*why = "no upstream has this origin";
	return -EINVAL;
}

static int find(struct location *l, const struct snapshot *s, struct slice what, struct parts *p, const char **why)
{
	*p = (struct parts){0};
	if (what.n == 0) {
		*why = "an empty url";
		return -EINVAL;
	}
	if (what.p[0] != '/')
		return find_absolute(l, s, what, p, why);
	split_query(what, p);
	l->route = config_route_for(s->config, p->authority, p->path, p->has_query, p->query, NULL);
	l->upstream = l->route->upstream;
	return 0;
}

static int make_request(struct location *l, const struct parts *p, struct slice authority, const char **why)
{
	const struct http_head_limits limits = {.max_head = LOCATION_MAX, .max_fields = 4};
	struct http_error error;
	size_t scanned = 0;

	buf_reset(&l->head);
	buf_add_str(&l->head, "GET ");
	buf_add_slice(&l->head, p->path);
	if (p->has_query) {
		buf_add_char(&l->head, '?');
		buf_add_slice(&l->head, p->query);
	}
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

int location_find(struct location *l, const struct snapshot *s, struct slice what, bool is_prefix, const char **why)
{
	const struct snapshot_upstream *u;
	struct http_request with_host = {0};
	struct parts p;
	struct buf origin;
	int err = find(l, s, what, &p, why);

	if (err)
		return err;
	l->rules = &s->rules[l->route->index];
	u = &s->upstreams[l->upstream];
	if (!is_prefix) {
		err = make_request(l, &p, p.authority.n ? p.authority : u->authority, why);
		if (err)
			return err;
	}
	with_host.host = p.authority;
	buf_reset(&l->url);
	buf_init(&origin, LOCATION_MAX);
	err = target_origin(u, &with_host, &origin);
	if (!err && !is_prefix)
		err = cache_url_build(&l->url, l->rules, buf_slice(&origin), p.path, p.has_query, p.query);
	else if (!err) {
		buf_add_slice(&l->url, buf_slice(&origin));
		buf_add_slice(&l->url, p.path);
		if (p.has_query) {
			buf_add_char(&l->url, '?');
			buf_add_slice(&l->url, p.query);
		}
		err = l->url.err;
	}
	buf_fini(&origin);
	return err;
}
