/* SPDX-License-Identifier: MIT */
#include "config/diff.h"

#include <stdio.h>

#include "config/ini/ini.h"
#include "config/options.h"

static bool same_names(const struct slices *a, const struct slices *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!slice_equal(a->v[i], b->v[i]))
			return false;
	return true;
}

static bool same_addresses(const struct config_addresses *a, const struct config_addresses *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (!slice_equal(a->v[i].text, b->v[i].text) || a->v[i].sa_bytes != b->v[i].sa_bytes ||
			a->v[i].tls != b->v[i].tls || a->v[i].proxy_protocol != b->v[i].proxy_protocol ||
			a->v[i].purge != b->v[i].purge || memcmp(&a->v[i].sa, &b->v[i].sa, a->v[i].sa_bytes) != 0)
			return false;
	return true;
}

static bool same_urls(const struct config_url *a, const struct config_url *b)
{
	for (; a && b; a = a->next, b = b->next)
		if (!slice_equal(a->whole, b->whole))
			return false;
	return !a && !b;
}

static bool same_networks(const struct config_networks *a, const struct config_networks *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (memcmp(a->v[i].address, b->v[i].address, sizeof(a->v[i].address)) != 0 ||
			a->v[i].bits != b->v[i].bits)
			return false;
	return true;
}

static bool same_status_ttls(const struct cache_status_ttls *a, const struct cache_status_ttls *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (a->v[i].low != b->v[i].low || a->v[i].high != b->v[i].high || a->v[i].ttl_ms != b->v[i].ttl_ms)
			return false;
	return true;
}

static bool same_pages(const struct config_pages *a, const struct config_pages *b)
{
	if (a->n != b->n)
		return false;
	for (unsigned i = 0; i < a->n; i++)
		if (a->v[i].low != b->v[i].low || a->v[i].high != b->v[i].high ||
			!slice_equal(a->v[i].path, b->v[i].path) || !slice_equal(a->v[i].text, b->v[i].text))
			return false;
	return true;
}

/* `a` and `b` point at the member that the option's type stands for (options.c checks that at compile time). */
static bool same_value(enum option_type type, const void *a, const void *b)
{
	const struct cache_query *query_a = a, *query_b = b;
	const struct cache_user_from *user_a = a, *user_b = b;
	const struct cache_ahead *ahead_a = a, *ahead_b = b;
	const struct config_rate *rate_a = a, *rate_b = b;

	switch (type) {
	case TYPE_ADDRESSES:
		return same_addresses(a, b);
	case TYPE_NETWORKS:
		return same_networks(a, b);
	case TYPE_UINT:
	case TYPE_PERCENT:
	case TYPE_METHODS:
	case TYPE_CODINGS:
	case TYPE_WORDS:
		return *(const unsigned *)a == *(const unsigned *)b;
	case TYPE_ENUM:
		return *(const int *)a == *(const int *)b;
	case TYPE_DURATION:
		return *(const int64_t *)a == *(const int64_t *)b;
	case TYPE_SIZE:
		return *(const uint64_t *)a == *(const uint64_t *)b;
	case TYPE_BOOL:
		return *(const bool *)a == *(const bool *)b;
	case TYPE_URL:
		return same_urls(a, b);
	case TYPE_AHEAD:
		return ahead_a->ms == ahead_b->ms && ahead_a->percent == ahead_b->percent;
	case TYPE_RATE:
		return rate_a->requests == rate_b->requests && rate_a->seconds == rate_b->seconds;
	case TYPE_LOG:
	case TYPE_SECRET:
	case TYPE_PATH:
	case TYPE_NAME:
	case TYPE_PATTERN:
		return slice_equal(*(const struct slice *)a, *(const struct slice *)b);
	case TYPE_PATTERNS:
	case TYPE_HOSTS:
	case TYPE_FIELDS:
	case TYPE_PREFIXES:
		return same_names(a, b);
	case TYPE_QUERY:
		return query_a->rule == query_b->rule && same_names(&query_a->names, &query_b->names);
	case TYPE_USER_FROM:
		return user_a->is_cookie == user_b->is_cookie && slice_equal(user_a->name, user_b->name);
	case TYPE_STATUS_TTL:
		return same_status_ttls(a, b);
	case TYPE_PAGES:
		return same_pages(a, b);
	case TYPE_COUNT:
		break;
	}
	return false;
}

static bool same_option(const struct option *o, const void *a, const void *b)
{
	return same_value(o->type, (const char *)a + o->offset, (const char *)b + o->offset);
}

/* What config_diff tells, and whom. */
struct diff {
	void (*each)(void *arg, const char *section, const char *key);
	void *arg;
	char title[INI_NAME_MAX + 16];
};

static void diff_keys(struct diff *d, unsigned sections, const void *a, const void *b)
{
	for (unsigned i = 0; i < options_n; i++)
		if (sections >> options[i].section & 1U && !same_option(&options[i], a, b))
			d->each(d->arg, d->title, options[i].key);
}

static void diff_single(struct diff *d, enum option_section section, const void *a, const void *b)
{
	snprintf(d->title, sizeof(d->title), "%s", option_section_title(section));
	diff_keys(d, 1U << section, a, b);
}

static void set_title(struct diff *d, const char *kind, struct slice name, bool has_name)
{
	if (has_name)
		snprintf(d->title, sizeof(d->title), "[%s %.*s]", kind, SLICE_ARG(name));
	else
		snprintf(d->title, sizeof(d->title), "[%s]", kind);
}

static void set_upstream_title(struct diff *d, const struct config_upstream *u)
{
	set_title(d, "upstream", u->name, !slice_equal(u->name, SLICE_LIT("default")));
}

static void diff_upstreams(struct diff *d, const struct config *a, const struct config *b)
{
	for (unsigned i = 0; i < a->upstreams_n || i < b->upstreams_n; i++) {
		const struct config_upstream *u = i < b->upstreams_n ? &b->upstreams[i] : &a->upstreams[i];

		set_upstream_title(d, u);
		if (i >= a->upstreams_n || i >= b->upstreams_n || !slice_equal(a->upstreams[i].name, u->name)) {
			d->each(d->arg, d->title, "");
			return;
		}
		diff_keys(d, 1U << SECTION_UPSTREAM, &a->upstreams[i], u);
	}
}

/* The one that says nothing stands for [defaults], and is last in both. */
static void diff_routes(struct diff *d, const struct config *a, const struct config *b)
{
	const unsigned keys = 1U << SECTION_MATCH | 1U << SECTION_ROUTE;

	set_title(d, "defaults", SLICE_LIT(""), false);
	diff_keys(d, 1U << SECTION_ROUTE, &a->routes[a->routes_n - 1], &b->routes[b->routes_n - 1]);
	for (unsigned i = 0; i < a->routes_n - 1 || i < b->routes_n - 1; i++) {
		const struct config_route *r = i < b->routes_n - 1 ? &b->routes[i] : &a->routes[i];

		set_title(d, "route", r->rules.route, true);
		if (i >= a->routes_n - 1 || i >= b->routes_n - 1 ||
			!slice_equal(a->routes[i].rules.route, r->rules.route)) {
			d->each(d->arg, d->title, "");
			return;
		}
		diff_keys(d, keys, &a->routes[i], r);
	}
}

void config_diff(const struct config *a, const struct config *b,
	void (*each)(void *arg, const char *section, const char *key), void *arg)
{
	struct diff d = {.each = each, .arg = arg};

	diff_single(&d, SECTION_PROXY, &a->proxy, &b->proxy);
	diff_single(&d, SECTION_ADMIN, &a->admin, &b->admin);
	diff_single(&d, SECTION_CACHE, &a->cache, &b->cache);
	diff_single(&d, SECTION_DISK, &a->disk, &b->disk);
	diff_single(&d, SECTION_WARM, &a->warm, &b->warm);
	diff_upstreams(&d, a, b);
	diff_routes(&d, a, b);
}

static bool same_upstream(const struct config_upstream *a, const struct config_upstream *b)
{
	if (!slice_equal(a->name, b->name))
		return false;
	for (unsigned i = 0; i < options_n; i++)
		if (options[i].section == SECTION_UPSTREAM && !same_option(&options[i], a, b))
			return false;
	return true;
}

bool config_same_upstreams(const struct config *a, const struct config *b)
{
	if (a->upstreams_n != b->upstreams_n)
		return false;
	for (unsigned i = 0; i < a->upstreams_n; i++)
		if (!same_upstream(&a->upstreams[i], &b->upstreams[i]))
			return false;
	return true;
}
