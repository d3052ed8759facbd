/* SPDX-License-Identifier: MIT */
#include "proxy/transaction/write_purges.h"

#include <errno.h>

#include "base/log.h"
#include "base/mem.h"
#include "http/sf.h"
#include "http/uri.h"
#include "proxy/request/admin_url.h"
#include "proxy/transaction/worker.h"

#define INVALIDATION_MAX (64 * 1024)

/* One thing to purge: a kind byte ('u' or 'p'), the URL, NUL. URLs hold no NUL. */
struct write_purges {
	struct buf list;
	size_t own_n;          /* the first entry is the target URL itself: list.p + 1, own_n bytes */
	struct buf public_url; /* the same as the client asked it: http, its Host, its path; empty without a Host */
	unsigned upstream;
};

static void add_entry(struct buf *list, char kind, struct slice url)
{
	buf_add_char(list, kind);
	buf_add_slice(list, url);
	buf_add_char(list, '\0');
}

static int add_own(struct write_purges *i, const struct target *t, struct slice origin)
{
	const struct http_request *r = &t->sent.http;
	struct buf url;
	int err;

	buf_init(&url, INVALIDATION_MAX);
	err = cache_url_build(&url, &t->route->rules, origin, r->path, r->has_query, r->query);
	if (!err)
		add_entry(&i->list, 'u', buf_slice(&url));
	i->own_n = url.n;
	buf_fini(&url);
	return err ? err : i->list.err;
}

/* A mutation may change what any query of its endpoint gets, whether that stands in a body or in the URL. */
static int add_endpoint(struct write_purges *i, const struct target *t, struct slice origin)
{
	const struct http_request *r = &t->sent.http;
	struct buf url;
	int err;

	buf_init(&url, INVALIDATION_MAX);
	buf_add_slice(&url, origin);
	buf_add_slice(&url, r->path);
	if (r->has_query) /* else it is the write's own */
		add_entry(&i->list, 'u', buf_slice(&url));
	buf_add_char(&url, '?');
	add_entry(&i->list, 'p', buf_slice(&url));
	err = url.err;
	buf_fini(&url);
	return err ? err : i->list.err;
}

static int add_public(struct write_purges *i, const struct target *t)
{
	if (t->sent.public_host.n == 0)
		return 0;
	buf_add_str(&i->public_url, "http://");
	buf_add_slice(&i->public_url, t->sent.public_host);
	return buf_add_slice(&i->public_url, t->sent.http.path);
}

static int add_templates(struct write_purges *i, const struct target *t, struct slice origin)
{
	const struct config_invalidates *templates = &t->route->invalidates;
	const struct http_request *r = &t->sent.http; /* its path and query are the client's */
	struct pattern_captures captures;
	int err = 0;

	config_route_captures(t->route, r->path, r->has_query, r->query, &captures);
	for (unsigned k = 0; k < templates->n && !err; k++) {
		buf_add_char(&i->list, pattern_template_is_prefix(templates->v[k]) ? 'p' : 'u');
		buf_add_slice(&i->list, origin);
		err = pattern_expand(templates->v[k], &captures, &i->list);
		buf_add_char(&i->list, '\0');
	}
	return err ? err : i->list.err;
}

int write_purges_new(const struct target *t, struct write_purges **out)
{
	const struct http_request *r = &t->sent.http;
	struct write_purges *i;
	struct buf origin;
	int err;

	*out = NULL;
	if (r->form == HTTP_TARGET_ASTERISK)
		return 0;
	i = mem_zalloc(sizeof(*i));
	if (!i)
		return -ENOMEM;
	buf_init(&i->list, INVALIDATION_MAX);
	buf_init(&i->public_url, INVALIDATION_MAX);
	i->upstream = t->upstream_index;
	buf_init(&origin, INVALIDATION_MAX);
	err = target_origin(t->upstream, r->host, &origin);
	if (!err)
		err = add_own(i, t, buf_slice(&origin));
	if (!err && t->is_graphql)
		err = add_endpoint(i, t, buf_slice(&origin));
	if (!err)
		err = add_public(i, t);
	if (!err)
		err = add_templates(i, t, buf_slice(&origin));
	buf_fini(&origin);
	if (err)
		write_purges_free(&i);
	*out = i;
	return err;
}

void write_purges_free(struct write_purges **ip)
{
	struct write_purges *i = *ip;

	*ip = NULL;
	if (!i)
		return;
	buf_fini(&i->list);
	buf_fini(&i->public_url);
	mem_free(i);
}

/* The purges of one write. */
struct purges {
	struct worker *w;
	uint64_t last; /* its sequence */
	unsigned n;
};

static void purge(struct purges *p, enum purge_kind kind, struct slice what)
{
	static struct log_limit limit;
	struct buf normal;
	char *room;
	int err;

	buf_init(&normal, INVALIDATION_MAX);
	/* Nothing is stored under so long a URL, and none is noted. In normal form it may be one that is. */
	room = kind != PURGE_TAG && what.n > CACHE_KEY_MAX ? buf_reserve(&normal, what.n) : NULL;
	if (room)
		what = (struct slice){room, uri_normalize(what, kind == PURGE_URL, room)};
	err = cache_purge_soon(p->w->cache, &(struct purge){.kind = kind, .what = what}, &p->last);
	buf_fini(&normal);
	p->n++;
	p->w->stats.invalidated_by_writes++;
	if (err && log_allowed(&limit))
		log_warn("invalidation after a write: %s", strerror(-err));
}

struct slice write_purges_url(const struct write_purges *i)
{
	return (struct slice){i->list.p + 1, i->own_n};
}

/* Whatever scheme and port TLS has where it ends. */
static bool same_host(struct slice a, struct slice b)
{
	struct slice scheme, authority[2], host[2], rest;
	int port[2];

	if (!uri_split_absolute(a, &scheme, &authority[0], &rest) ||
		!uri_split_absolute(b, &scheme, &authority[1], &rest) || uri_default_port(scheme) < 0)
		return false;
	for (unsigned i = 0; i < 2; i++) {
		if (!uri_authority_parse(authority[i], &host[i], &port[i]))
			return false;
		port[i] = port[i] == 80 || port[i] == 443 ? -1 : port[i];
	}
	return port[0] == port[1] && slice_equal_nocase(host[0], host[1]);
}

/* The path and query that clients ask of us, but on a route of the same upstream: a host that the client chose must not
 * reach another one's responses. */
static bool find_public(const struct write_purges *i, const struct snapshot *s, struct slice url, struct admin_url *l)
{
	struct slice scheme, authority, path_query;

	return same_host(buf_slice(&i->public_url), url) && uri_split_absolute(url, &scheme, &authority, &path_query) &&
	       admin_url_find_on(l, s, scheme, authority, path_query) == 0 && l->upstream == i->upstream;
}

static bool find_at_origin(
	const struct write_purges *i, const struct snapshot *s, struct slice url, struct admin_url *l)
{
	const char *why;

	return uri_same_origin(write_purges_url(i), url) && admin_url_find(l, s, url, false, &why) == 0;
}

/* A reference may be meant as the origin sees itself, or as its clients see it. It counts on the same origin, or on the Host
 * of the request, only: else one site could empty another's cache. */
static void purge_named(const struct write_purges *i, const struct snapshot *s, struct purges *p,
	const struct http_fields *response, enum http_field_id id)
{
	const struct http_field *f = http_fields_get(response, id);
	struct admin_url at_origin, public;
	struct buf url;

	if (!f)
		return;
	admin_url_init(&at_origin);
	admin_url_init(&public);
	buf_init(&url, INVALIDATION_MAX);
	if (uri_resolve(write_purges_url(i), f->value, &url) == 0 && find_at_origin(i, s, buf_slice(&url), &at_origin))
		purge(p, PURGE_URL, buf_slice(&at_origin.url));
	buf_reset(&url);
	if (uri_resolve(buf_slice(&i->public_url), f->value, &url) == 0 &&
		find_public(i, s, buf_slice(&url), &public) &&
		!slice_equal(buf_slice(&public.url), buf_slice(&at_origin.url)))
		purge(p, PURGE_URL, buf_slice(&public.url));
	buf_fini(&url);
	admin_url_fini(&public);
	admin_url_fini(&at_origin);
}

/* RFC 9875 3: a list of Strings, on responses to unsafe requests only, which is what we are called for. Groups of another
 * origin that bear the same name go too: that costs a fetch, no more. */
static void purge_groups(struct purges *p, const struct http_fields *response)
{
	struct sf_parser parser;
	struct sf_item item;
	struct buf joined, group;

	if (!http_fields_get(response, HF_CACHE_GROUP_INVALIDATION))
		return;
	buf_init(&joined, INVALIDATION_MAX);
	buf_init(&group, INVALIDATION_MAX);
	if (http_fields_join(response, HF_CACHE_GROUP_INVALIDATION, &joined) == 0 &&
		sf_list_valid(buf_slice(&joined))) {
		sf_parser_init(&parser, buf_slice(&joined));
		while (sf_list_next(&parser, &item) == 1) {
			buf_reset(&group);
			if (item.type == SF_STRING && sf_string_unescape(&item, &group) == 0)
				purge(p, PURGE_TAG, buf_slice(&group));
		}
	}
	buf_fini(&group);
	buf_fini(&joined);
}

/* As the route that serves it keeps its query, too. */
static void purge_as_kept(const struct write_purges *i, const struct snapshot *s, struct purges *p, struct slice url)
{
	struct admin_url kept;

	admin_url_init(&kept);
	if (find_at_origin(i, s, url, &kept) && !slice_equal(buf_slice(&kept.url), url))
		purge(p, PURGE_URL, buf_slice(&kept.url));
	admin_url_fini(&kept);
}

static void purge_listed(const struct write_purges *i, const struct snapshot *s, struct purges *p)
{
	const char *at = i->list.p, *end = slice_end(buf_slice(&i->list));

	while (at < end) {
		struct slice url = slice_of(at + 1);

		purge(p, *at == 'p' ? PURGE_PREFIX : PURGE_URL, url);
		if (*at == 'u' && memchr(url.p, '?', url.n))
			purge_as_kept(i, s, p, url);
		at = url.p + url.n + 1;
	}
}

uint64_t write_purges_apply(const struct write_purges *i, struct worker *w, const struct snapshot *s, int status,
	const struct http_fields *response, uint64_t before)
{
	struct purges p = {w, before, 0};

	if (status < 300)
		purge_listed(i, s, &p);
	else
		purge(&p, PURGE_URL, write_purges_url(i));
	purge_named(i, s, &p, response, HF_LOCATION);
	purge_named(i, s, &p, response, HF_CONTENT_LOCATION);
	purge_groups(&p, response);
	return p.last == before + p.n ? p.last : before;
}
