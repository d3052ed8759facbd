/* SPDX-License-Identifier: MIT */
#include "proxy/request/target.h"

#include <errno.h>
#include <stdio.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cache/policy/credentials.h"
#include "cache/policy/graphql.h"
#include "proxy/request/origins.h"
#include "http/uri.h"

#define PATH_MAX_BYTES (64 * 1024)

/* For "%.*s": as much of a name as is shown. */
#define NAME_SHOWN_MAX 48
#define NAME_SHOWN_ARG(s) (int)((s).n < NAME_SHOWN_MAX ? (s).n : NAME_SHOWN_MAX), (s).p

/* ---- Snapshot ---- */

static struct cache_names names_of(struct config_names n)
{
	return (struct cache_names){n.v, n.n};
}

static enum cache_query_rule query_rule(enum config_query_rule r)
{
	switch (r) {
	case CONFIG_QUERY_SORT:
		return CACHE_QUERY_SORT;
	case CONFIG_QUERY_IGNORE:
		return CACHE_QUERY_IGNORE;
	case CONFIG_QUERY_ONLY:
		return CACHE_QUERY_ONLY;
	case CONFIG_QUERY_DROP:
		return CACHE_QUERY_DROP;
	default:
		return CACHE_QUERY_KEEP;
	}
}

static enum cache_set_cookie set_cookie_rule(enum config_set_cookie s)
{
	switch (s) {
	case CONFIG_COOKIE_STORE:
		return CACHE_COOKIE_STORE;
	case CONFIG_COOKIE_STRIP:
		return CACHE_COOKIE_STRIP;
	case CONFIG_COOKIE_PASS:
		return CACHE_COOKIE_PASS;
	default:
		return CACHE_COOKIE_AUTO;
	}
}

static enum cache_store_if store_if_rule(enum config_store_if s)
{
	switch (s) {
	case CONFIG_STORE_JSON:
		return CACHE_STORE_JSON;
	case CONFIG_STORE_GRAPHQL:
		return CACHE_STORE_GRAPHQL;
	default:
		return CACHE_STORE_ANY;
	}
}

static unsigned codings(unsigned bits)
{
	return (bits & (1U << CONFIG_GZIP) ? 1U << CACHE_GZIP : 0) | (bits & (1U << CONFIG_BR) ? 1U << CACHE_BR : 0) |
	       (bits & (1U << CONFIG_ZSTD) ? 1U << CACHE_ZSTD : 0);
}

/* The status list is shared: both structs are {low, high, ttl}. */
_Static_assert(sizeof(struct config_status_ttl) == sizeof(struct cache_status_ttl), "one layout for status TTLs");

/* Who waits may wait as long as the upstream may work. */
static int64_t coalesce_timeout(const struct config *c, const struct config_upstream *u)
{
	int64_t head_ms = u->connect_timeout_ms + u->first_byte_timeout_ms;

	if (c->cache.coalesce_timeout_ms >= 0)
		return c->cache.coalesce_timeout_ms;
	return head_ms > u->stall_timeout_ms ? head_ms : u->stall_timeout_ms;
}

static uint64_t mix(uint64_t digest, uint64_t more)
{
	uint64_t both[2] = {digest, more};

	return hash64_of(both, sizeof(both));
}

static uint64_t mix_names(uint64_t digest, const struct config_names *names)
{
	for (unsigned i = 0; i < names->n; i++)
		digest = mix(digest, hash64_of(names->v[i].p, names->v[i].n));
	return mix(digest, names->n);
}

static uint32_t trust_of(const struct config_route *r)
{
	uint64_t digest = mix_names(0, &r->credentials);

	digest = mix_names(digest, &r->shared_credentials);
	digest = mix_names(digest, &r->forward_headers);
	return (uint32_t)mix(digest, (uint64_t)r->set_cookie << 8 | (uint64_t)r->underscore_headers);
}

static void fill_rules(struct cache_rules *to, const struct config *config, const struct config_route *from)
{
	*to = (struct cache_rules){
		.route = from->name,
		.route_index = from->index,
		.cache = from->cache,
		.cache_post = from->methods & (1u << HTTP_POST),
		.cache_query = from->methods & (1u << HTTP_QUERY),
		.json_body_key = from->json_body_key,
		.ttl_ms = from->ttl_ms,
		.ttl_force_ms = from->ttl_force_ms,
		.ttl_min_ms = from->ttl_min_ms,
		.ttl_max_ms = from->ttl_max_ms,
		.status_ttl = (const struct cache_status_ttl *)(const void *)from->status_ttl.v,
		.status_ttl_n = from->status_ttl.n,
		.stale_while_revalidate_ms = from->stale_while_revalidate_ms,
		.stale_if_error_ms = from->stale_if_error_ms,
		.stale_if_unreachable_ms = from->stale_if_unreachable_ms,
		.ttl_jitter_percent = from->ttl_jitter,
		.refresh_ahead_ms = from->refresh_ahead.ms,
		.refresh_ahead_percent = from->refresh_ahead.percent,
		.refresh_ahead_hits = from->refresh_ahead_hits,
		.memory_idle_ms = from->memory_idle_ms,
		.query = query_rule(from->query.rule),
		.query_names = names_of(from->query.names),
		.key_headers = names_of(from->key_headers),
		.key_cookies = names_of(from->key_cookies),
		.credentials = names_of(from->credentials),
		.shared_credentials = names_of(from->shared_credentials),
		.trust = trust_of(from),
		.scope = from->scope == CONFIG_SCOPE_USER ? CACHE_SCOPE_USER : CACHE_SCOPE_SHARED,
		.user_from_cookie = from->user_from.is_cookie,
		.user_from = from->user_from.name,
		.max_entries_per_user = from->max_entries_per_user,
		.set_cookie = set_cookie_rule(from->set_cookie),
		.coalesce_timeout_ms = coalesce_timeout(config, &config->upstreams[from->upstream]),
		.share_errors = from->share_errors,
		.fills_ranges = from->range_fill == CONFIG_RANGE_WHOLE,
		.client_refresh = from->client_refresh,
		.compress = codings(from->compress),
		.etag_auto = from->etag == CONFIG_ETAG_AUTO,
		.store_if = store_if_rule(from->store_if),
		.tag_headers = names_of(from->tag_headers),
		.targeted_fields = names_of(from->targeted),
	};
}

static void fill_upstream(struct snapshot_upstream *to, const struct config_upstream *from)
{
	const struct config_url *url = &from->url;
	size_t scheme = url->is_https ? 5 : 4;
	size_t before_base = scheme + 3 + url->authority.n;

	to->url = url->whole;
	to->scheme = (struct slice){url->whole.p, scheme};
	to->authority = url->authority;
	to->base = (struct slice){url->whole.p + before_base, url->whole.n - before_base};
	to->host_from_client = from->host_header == CONFIG_HOST_CLIENT;
	to->is_normal = cache_origin_is_normal(to->url);
}

int snapshot_new(struct config *config, struct origins *origins, struct snapshot **out)
{
	struct snapshot *s = mem_zalloc(sizeof(*s));

	if (!s)
		goto fail_snapshot;
	s->rules = mem_zalloc(config->routes_n * sizeof(*s->rules));
	if (!s->rules)
		goto fail_rules;
	s->upstreams = mem_zalloc(config->upstreams_n * sizeof(*s->upstreams));
	if (!s->upstreams)
		goto fail_upstreams;
	s->fetch_us = mem_zalloc(config->routes_n * sizeof(*s->fetch_us));
	if (!s->fetch_us)
		goto fail_fetch_us;
	for (unsigned i = 0; i < config->routes_n; i++)
		fill_rules(&s->rules[i], config, &config->routes[i]);
	for (unsigned i = 0; i < config->upstreams_n; i++)
		fill_upstream(&s->upstreams[i], &config->upstreams[i]);
	s->config = config;
	s->origins = origins;
	atomic_init(&s->refs, 1);
	*out = s;
	return 0;

fail_fetch_us:
	mem_free(s->upstreams);
fail_upstreams:
	mem_free(s->rules);
fail_rules:
	mem_free(s);
fail_snapshot:
	origins_unref(&origins);
	config_unref(&config);
	return -ENOMEM;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void snapshot_unref(struct snapshot **sp)
{
	struct snapshot *s = *sp;

	*sp = NULL;
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	origins_unref(&s->origins);
	config_unref(&s->config);
	mem_free(s->fetch_us);
	mem_free(s->upstreams);
	mem_free(s->rules);
	mem_free(s);
}

void snapshot_inherit(struct snapshot *to, const struct snapshot *from)
{
	for (unsigned i = 0; i < to->config->routes_n; i++)
		for (unsigned k = 0; k < from->config->routes_n; k++)
			if (slice_equal(to->config->routes[i].name, from->config->routes[k].name))
				atomic_store_explicit(
					&to->fetch_us[i], atomic_load(&from->fetch_us[k]), memory_order_relaxed);
}

/* An eighth of the way to the new figure. Two workers may overwrite each other's step: it is an estimate. */
void snapshot_note_fetch(struct snapshot *s, unsigned route, int64_t us)
{
	int64_t before = atomic_load_explicit(&s->fetch_us[route], memory_order_relaxed);

	atomic_store_explicit(&s->fetch_us[route], before ? before + (us - before) / 8 : us, memory_order_relaxed);
}

/* ---- Target ---- */

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

void target_release(struct target *t)
{
	snapshot_unref(&t->snapshot);
}

void target_fini(struct target *t)
{
	target_release(t);
	sent_fini(&t->sent);
	cache_key_fini(&t->key);
	buf_fini(&t->path);
	readings_fini(&t->readings);
	buf_fini(&t->origin);
}

int target_origin(const struct snapshot_upstream *u, struct slice host, struct buf *out)
{
	buf_reset(out);
	if (host.n == 0)
		return buf_add_slice(out, u->url);
	buf_add_slice(out, u->scheme);
	buf_add(out, "://", 3);
	buf_add_slice(out, host);
	return buf_add_slice(out, u->base);
}

/* RFC 9110 9.3.1: content in a GET has no defined meaning, so an answer that may depend on it is nobody else's; a Range
 * on its own does not keep a stored answer from serving. */
static bool cacheable_request(const struct target *t, const struct http_request *r)
{
	if (!t->rules->cache)
		return false;
	switch (r->method) {
	case HTTP_GET:
		return r->framing == HTTP_BODY_NONE;
	case HTTP_HEAD:
		return true;
	case HTTP_POST:
		return t->rules->cache_post;
	case HTTP_QUERY:
		return t->rules->cache_query;
	default:
		return false;
	}
}

/* A GraphQL operation may change something whatever the method is that brings it. */
static void look_into_graphql(struct target *t, const struct http_request *r, struct slice body)
{
	enum graphql_kind kind = graphql_kind_of(r, body);

	if (kind != GRAPHQL_READS)
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
	buf_add_slice(&t->path, t->upstream->base);
	buf_add_slice(&t->path, r->path);
	if (r->has_query) {
		buf_add_char(&t->path, '?');
		buf_add_slice(&t->path, r->query);
	}
	return t->path.err;
}

static int build_key(struct target *t, struct slice body)
{
	struct cache_key_input in = {
		.http = &t->sent.http,
		.origin = t->upstream->url,
		.is_https = t->sent.is_tls,
		.body = body,
		.is_normal_origin = t->upstream->is_normal,
	};

	if (t->sent.http.host.n > 0) {
		int err = target_origin(t->upstream, t->sent.http.host, &t->origin);

		if (err)
			return err;
		/* Two upstreams may be asked for the same Host: the upstream's own URL separates them. */
		in.extra = t->upstream->url;
		in.origin = buf_slice(&t->origin);
		in.host = t->sent.http.host;
		in.is_normal_origin = false;
	}
	return cache_key_build(&t->key, t->rules, &in);
}

void target_explain_credential(const struct target *t, char *out, size_t size)
{
	struct credentials c = credentials_of(t->rules, &t->sent.http.fields);
	struct slice field = c.has_authorization ? http_field_name(HF_AUTHORIZATION) : c.field;
	bool is_cookie = !c.has_authorization && http_field_id_of(field) == HF_COOKIE;
	struct slice cookie = is_cookie ? c.cookie : (struct slice){"", 0};

	*out = '\0';
	if (credentials_are_any(&c))
		snprintf(out, size, "%.*s%s%.*s: see %s or user_from or shared_credentials", NAME_SHOWN_ARG(field),
			cookie.n > 0 ? " " : "", NAME_SHOWN_ARG(cookie), is_cookie ? "key_cookies" : "key_headers");
}

static int make_sent(struct target *t, const struct asked *asked)
{
	const struct sent_terms terms = {
		.route = t->route,
		.host_from_client = t->upstream->host_from_client,
		.is_cacheable = t->is_cacheable,
	};

	return sent_make(&t->sent, asked, &terms);
}

int target_find(struct target *t, struct snapshot *s, const struct asked *asked, struct slice body)
{
	const struct http_request *r = asked->http;
	bool is_wanted;
	int err;

	if (t->snapshot != s) {
		target_release(t);
		t->snapshot = snapshot_ref(s);
	}
	t->route = config_route_for(s->config, r->host, r->path, r->has_query, r->query, &t->captures);
	t->rules = &s->rules[t->route->index];
	t->upstream_index = t->route->upstream;
	t->upstream = &s->upstreams[t->upstream_index];
	/* Routes match what the client wrote. Where an origin could read that as a path of another route ("//account/me",
	 * "/account%2fme"), nobody knows which rules are meant: then nothing is cached. */
	err = readings_look(&t->readings, s->config, r, t->route, &t->is_ambiguous);
	if (err)
		return err;
	is_wanted = t->is_cacheable = cacheable_request(t, r) && !t->is_ambiguous;
	t->is_write = false;
	err = make_sent(t, asked);
	if (err)
		return err;
	if (t->rules->cache && t->rules->store_if == CACHE_STORE_GRAPHQL)
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
		.rules = t->rules,
		.key = &t->key,
		.worker = worker,
		.rules_owner = t->snapshot,
		.rules_ref = owner_ref,
		.rules_unref = owner_unref,
	};
}
