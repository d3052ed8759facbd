/* SPDX-License-Identifier: MIT */
#include "proxy/request/target.h"

#include <errno.h>
#include <stdio.h>

#include "cache/policy/credentials.h"
#include "cache/policy/graphql.h"
#include "http/uri.h"

#define PATH_MAX_BYTES (64 * 1024)

/* For "%.*s": as much of a name as is shown. */
#define NAME_SHOWN_MAX 48
#define NAME_SHOWN_ARG(s) (int)((s).n < NAME_SHOWN_MAX ? (s).n : NAME_SHOWN_MAX), (s).p

void target_init(struct target *t)
{
	memset(t, 0, sizeof(*t));
	sent_init(&t->sent);
	cache_key_init(&t->key);
	buf_init(&t->path, PATH_MAX_BYTES);
	readings_init(&t->readings);
	buf_init(&t->origin, CACHE_KEY_MAX);
}

void target_move(struct target *from, struct target *to)
{
	*to = *from;
	target_init(from);
}

void target_clear(struct target *t)
{
	snapshot_unref(&t->snapshot);
}

void target_fini(struct target *t)
{
	target_clear(t);
	sent_fini(&t->sent);
	cache_key_fini(&t->key);
	buf_fini(&t->path);
	readings_fini(&t->readings);
	buf_fini(&t->origin);
}

int target_origin(const struct config_upstream *u, struct slice host, struct buf *out)
{
	buf_reset(out);
	if (host.n == 0)
		return buf_add_slice(out, u->url.whole);
	buf_add_slice(out, u->url.scheme);
	buf_add(out, "://", 3);
	buf_add_slice(out, host);
	return buf_add_slice(out, u->url.base);
}

int target_add_path(struct buf *to, struct slice path, bool has_query, struct slice query)
{
	buf_add_slice(to, path);
	if (has_query) {
		buf_add_char(to, '?');
		buf_add_slice(to, query);
	}
	return to->err;
}

/* RFC 9110 9.3.1: content in a GET has no defined meaning, so a response that may depend on it is nobody else's; a Range
 * on its own does not keep a stored response from serving. */
static bool cacheable_request(const struct target *t, const struct http_request *r)
{
	if (!t->route->rules.cache)
		return false;
	switch (r->method) {
	case HTTP_GET:
		return r->framing == HTTP_BODY_NONE;
	case HTTP_HEAD:
		return true;
	default:
		return cache_takes_method(&t->route->rules, r->method);
	}
}

/* A GraphQL operation may change something whatever the method is that brings it. */
static void look_into_graphql(struct target *t, const struct http_request *r, struct slice body)
{
	enum graphql_kind kind = graphql_kind_of(r, body);

	t->is_graphql = kind != GRAPHQL_READS;
	if (t->is_graphql)
		t->is_cacheable = false;
	t->is_write = kind == GRAPHQL_CHANGES;
}

/* What may be cached is asked as it is keyed: after the query rule, so that nothing outside the key has a say. */
int target_complete(struct target *t)
{
	const struct http_request *r = &t->sent.http;

	buf_reset(&t->path);
	if (r->form == HTTP_TARGET_ASTERISK)
		return buf_add_char(&t->path, '*');
	if (t->is_cacheable) {
		struct slice url = cache_key_url(&t->key), scheme, authority, path_query;

		if (uri_split_absolute(url, &scheme, &authority, &path_query))
			return buf_add_slice(&t->path, path_query);
	}
	buf_add_slice(&t->path, t->upstream->url.base);
	return target_add_path(&t->path, r->path, r->has_query, r->query);
}

static int build_key(struct target *t, struct slice body)
{
	struct cache_key_input in = {
		.http = &t->sent.http,
		.origin = t->upstream->url.whole,
		.is_https = t->sent.is_tls,
		.body = body,
		.secret = t->snapshot->secret,
		.is_normal_origin = true,
	};

	if (t->sent.http.host.n > 0) {
		int err = target_origin(t->upstream, t->sent.http.host, &t->origin);

		if (err)
			return err;
		/* Two upstreams may be asked for the same Host: the upstream's own URL separates them. */
		in.extra = t->upstream->url.whole;
		in.origin = buf_slice(&t->origin);
		in.host = t->sent.http.host;
		in.is_normal_origin = false;
	}
	return cache_key_build(&t->key, &t->route->rules, &in);
}

void target_explain_credential(const struct target *t, char *out, size_t size)
{
	struct credentials c = credentials_of(&t->route->rules, &t->sent.http.fields);
	bool is_bound = credentials_bind(&t->route->rules, &c);
	struct slice field = c.has_authorization ? http_field_name(HF_AUTHORIZATION) : c.field;
	bool is_cookie = !c.has_authorization && http_field_id_of(field) == HF_COOKIE;
	struct slice cookie = is_cookie ? c.cookie : (struct slice){"", 0};

	*out = '\0';
	if (is_bound)
		snprintf(out, size, "%.*s%s%.*s: see %s or user_from or shared_credentials", NAME_SHOWN_ARG(field),
			cookie.n > 0 ? " " : "", NAME_SHOWN_ARG(cookie), is_cookie ? "key_cookies" : "key_headers");
}

enum policy_store target_why_not(const struct target *t)
{
	enum http_method method = t->sent.http.method;

	if (t->is_cacheable)
		return POLICY_STORE;
	if (!t->route->rules.cache)
		return POLICY_NOT_ROUTE;
	if (method != HTTP_GET && method != HTTP_HEAD && !cache_takes_method(&t->route->rules, method))
		return POLICY_NOT_METHOD;
	if (t->is_ambiguous)
		return POLICY_NOT_PATH;
	if (t->is_graphql)
		return POLICY_NOT_GRAPHQL;
	if (!t->has_key && t->route->rules.scope == CACHE_SCOPE_USER)
		return POLICY_NOT_IDENTITY;
	return t->has_key ? POLICY_NOT_CONTENT : POLICY_NOT_KEY;
}

static int make_sent(struct target *t, const struct asked *asked)
{
	const struct sent_terms terms = {
		.route = t->route,
		.host_from_client = t->upstream->host_header == CONFIG_HOST_CLIENT,
		.is_cacheable = t->is_cacheable,
	};

	return sent_make(&t->sent, asked, &terms);
}

int target_find(struct target *t, struct snapshot *s, const struct asked *asked, struct slice body)
{
	const struct http_request *r = asked->http;
	struct readings_verdict read;
	bool is_wanted;
	int err;

	if (t->snapshot != s) {
		target_clear(t);
		t->snapshot = snapshot_ref(s);
	}
	t->route = asked->route ? asked->route : config_route_for(s->config, r->host, r->path, r->has_query, r->query);
	t->upstream_index = t->route->upstream;
	t->upstream = &s->config->upstreams[t->upstream_index];
	/* Routes match what the client wrote. Where an origin could read that as a path of another route ("//account/me",
	 * "/account%2fme"), nobody knows which rules are meant: then nothing is cached. */
	err = readings_look(&t->readings, s->config, asked, t->route, &read);
	if (err)
		return err;
	t->is_ambiguous = read.is_ambiguous;
	t->is_denied = read.is_denied;
	t->limited_by = read.limited_by;
	is_wanted = t->is_cacheable = cacheable_request(t, r) && !t->is_ambiguous && !t->is_denied;
	t->is_write = t->is_graphql = false;
	err = make_sent(t, asked);
	if (err)
		return err;
	if (t->route->rules.cache && t->route->rules.store_if == CACHE_STORE_GRAPHQL)
		look_into_graphql(t, &t->sent.http, body);
	err = build_key(t, body);
	t->has_key = err == 0;
	if (err && err != -ENOKEY && err != -ENOBUFS)
		return err;
	t->is_cacheable &= t->has_key;
	/* What passes uncached passes with all its fields. */
	return is_wanted && !t->is_cacheable ? make_sent(t, asked) : 0;
}

int target_resolve(struct target *t, struct snapshot *s, const struct asked *asked, struct slice body)
{
	int err = target_find(t, s, asked, body);

	return err ? err : target_complete(t);
}

static void owner_ref(void *owner)
{
	snapshot_ref(owner);
}

static void owner_unref(void *owner)
{
	struct snapshot *s = owner;

	snapshot_unref(&s);
}

struct cache_request target_cache_request(const struct target *t, unsigned worker)
{
	return (struct cache_request){
		.http = &t->sent.http,
		.rules = &t->route->rules,
		.key = &t->key,
		.worker = worker,
		.rules_owner = t->snapshot,
		.rules_ref = owner_ref,
		.rules_unref = owner_unref,
	};
}
