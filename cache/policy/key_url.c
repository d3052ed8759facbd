/* SPDX-License-Identifier: MIT */
/* The URL of a key: the origin in its normal form, the path as it is, the query after the route's rule. */
#include "cache/policy/key.h"

#include <errno.h>
#include <stdlib.h>

#include "http/syntax.h"
#include "http/uri.h"

/* Scheme and host are case-insensitive, and a default port says nothing (RFC 9110 4.2.3). */
int cache_origin_add(struct buf *out, struct slice origin)
{
	struct slice scheme, authority, base_path, host;
	int port;
	if (!uri_split_absolute(origin, &scheme, &authority, &base_path) ||
		!uri_authority_parse(authority, &host, &port)) {
		return buf_add_slice(out, origin);
	}
	buf_add_lower(out, scheme);
	buf_add_str(out, "://");
	buf_add_lower(out, host);
	if (port >= 0 && port != uri_default_port(scheme)) {
		buf_add_char(out, ':');
		buf_add_u64(out, (unsigned)port);
	}
	return buf_add_slice(out, base_path);
}

/* The byte at *i as a form's reader sees it, '+' being a space; *i moves past it. */
static unsigned char decoded_at(struct slice s, size_t *i)
{
	char c = s.p[*i];
	if (c == '%' && s.n - *i >= 3) {
		int high = http_hex_value(s.p[*i + 1]), low = http_hex_value(s.p[*i + 2]);
		if (high >= 0 && low >= 0) {
			*i += 3;
			return (unsigned char)(high * 16 + low);
		}
	}
	*i += 1;
	return c == '+' ? ' ' : (unsigned char)c;
}

static int compare_names(struct slice a, struct slice b)
{
	size_t i = 0, j = 0;
	while (i < a.n && j < b.n) {
		int difference = decoded_at(a, &i) - decoded_at(b, &j);
		if (difference != 0)
			return difference;
	}
	return (i < a.n) - (j < b.n);
}

/* All parameters point into one query: by address is by position, which makes the order stable. */
static int compare_params(const void *left, const void *right)
{
	const struct uri_param *a = left, *b = right;
	int by_name = compare_names(a->name, b->name);
	if (by_name != 0)
		return by_name;
	return (a->whole.p > b->whole.p) - (a->whole.p < b->whole.p);
}

static size_t count_params(struct slice query)
{
	size_t n = 1;
	for (size_t i = 0; i < query.n; i++)
		n += query.p[i] == '&';
	return n;
}

static int add_sorted(struct buf *out, struct slice query)
{
	size_t n = 0, max = count_params(query);
	struct uri_param *params = mem_alloc(max * sizeof(*params));
	if (!params)
		return -ENOMEM;
	bool at_end = false;
	while (n < max && uri_query_next(&query, &at_end, &params[n]))
		n++;
	qsort(params, n, sizeof(*params), compare_params);
	for (size_t i = 0; i < n; i++) {
		buf_add_char(out, i == 0 ? '?' : '&');
		buf_add_slice(out, params[i].whole);
	}
	mem_free(params);
	return 0;
}

static bool is_named(const struct slices *names, struct slice encoded_name)
{
	for (unsigned i = 0; i < names->n; i++) {
		if (uri_name_matches(names->v[i], encoded_name))
			return true;
	}
	return false;
}

/* Keeps the parameters that are named (ONLY), or those that are not (DROP). */
static void add_filtered(struct buf *out, struct slice query, const struct slices *names, bool keep_named)
{
	struct uri_param param;
	bool at_end = false, first = true;
	while (uri_query_next(&query, &at_end, &param)) {
		if (is_named(names, param.name) != keep_named)
			continue;
		buf_add_char(out, first ? '?' : '&');
		buf_add_slice(out, param.whole);
		first = false;
	}
}

static int add_query(struct buf *out, const struct cache_rules *rules, struct slice query)
{
	switch (rules->query.rule) {
	case CACHE_QUERY_SORT:
		if (query.n > 0 && memchr(query.p, '&', query.n))
			return add_sorted(out, query);
		break;
	case CACHE_QUERY_IGNORE:
		return 0;
	case CACHE_QUERY_ONLY:
	case CACHE_QUERY_DROP:
		add_filtered(out, query, &rules->query.names, rules->query.rule == CACHE_QUERY_ONLY);
		return 0;
	case CACHE_QUERY_KEEP:
		break;
	}
	buf_add_char(out, '?');
	buf_add_slice(out, query);
	return 0;
}

static bool has_nul(struct slice s)
{
	return s.n > 0 && memchr(s.p, '\0', s.n) != NULL;
}

/* Behind the origin. */
static int add_target(
	struct buf *out, const struct cache_rules *rules, struct slice path, bool has_query, struct slice query)
{
	if (has_nul(path) || (has_query && has_nul(query)))
		return -EINVAL;
	if (query.n > CACHE_KEY_MAX) /* before anything is sorted */
		return -ENOBUFS;
	buf_add_slice(out, path);
	int rc = has_query ? add_query(out, rules, query) : 0;
	return rc < 0 ? rc : out->err;
}

int cache_url_build(struct buf *out, const struct cache_rules *rules, struct slice origin, struct slice path,
	bool has_query, struct slice query)
{
	if (has_nul(origin))
		return -EINVAL;
	(void)cache_origin_add(out, origin);
	return add_target(out, rules, path, has_query, query);
}

int cache_key_url_build(struct buf *out, const struct cache_rules *rules, const struct cache_key_input *in)
{
	const struct http_request *http = in->http;
	if (!in->is_normal_origin)
		return cache_url_build(out, rules, in->origin, http->path, http->has_query, http->query);
	buf_add_slice(out, in->origin);
	return add_target(out, rules, http->path, http->has_query, http->query);
}
