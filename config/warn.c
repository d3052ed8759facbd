/* SPDX-License-Identifier: MIT */
/* Settings that are valid and can't do what they seem to say. */
#include "cache/policy/policy.h"
#include "config/build.h"
#include "http/fields.h"

/* Whether the key that the route has does not count there, in spite of what it says. */
typedef bool route_check(const struct config_route *r);

static bool has_name(const struct slices *names, struct slice name, bool patterns)
{
	for (unsigned i = 0; i < names->n; i++) {
		struct slice one = names->v[i], begin = name;

		if (patterns && one.p[one.n - 1] == '*') {
			one.n--;
			begin.n = begin.n < one.n ? begin.n : one.n;
		}
		if (slice_equal_nocase(one, begin))
			return true;
	}
	return false;
}

/* A field that is a credential, and neither in the key nor said not to matter. */
static bool is_open_credential(const struct config_route *r, struct slice name)
{
	enum http_field_id id = http_field_id_of(name);
	bool counts = id == HF_AUTHORIZATION || id == HF_COOKIE || has_name(&r->rules.credentials, name, false);

	return counts && !has_name(&r->rules.key_headers, name, false) &&
	       !has_name(&r->rules.shared_credentials, name, true);
}

static bool scope_stores_nothing(const struct config_route *r)
{
	return r->rules.scope == CACHE_SCOPE_USER && !r->rules.cache;
}

static bool identity_is_unused(const struct config_route *r)
{
	return r->rules.scope != CACHE_SCOPE_USER && r->rules.user_from.name.n > 0;
}

static bool identity_forbids_force(const struct config_route *r)
{
	const struct cache_user_from *from = &r->rules.user_from;

	if (r->rules.ttl_force_ms < 0 || !identity_is_unused(r))
		return false;
	if (!from->is_cookie)
		return is_open_credential(r, from->name);
	return !has_name(&r->rules.key_cookies, from->name, false) &&
	       !has_name(&r->rules.shared_credentials, from->name, true) && is_open_credential(r, SLICE_LIT("Cookie"));
}

static bool identity_stays_here(const struct config_route *r)
{
	return r->rules.scope == CACHE_SCOPE_USER && !r->rules.user_from.is_cookie &&
	       http_field_is_hop_by_hop(http_field_id_of(r->rules.user_from.name));
}

static bool posts_are_all_alike(const struct config_route *r)
{
	return r->rules.cache && cache_takes_method(&r->rules, HTTP_POST) && r->rules.store_if == CACHE_STORE_ANY &&
	       !r->rules.json_body_key;
}

static bool stores_nothing(const struct config_route *r)
{
	return !r->rules.cache;
}

static bool max_cuts_force(const struct config_route *r)
{
	return r->rules.ttl_max_ms >= 0 && r->rules.ttl_force_ms > r->rules.ttl_max_ms;
}

static bool has_no_users(const struct config_route *r)
{
	return r->rules.scope != CACHE_SCOPE_USER;
}

static bool has_no_bodies(const struct config_route *r)
{
	return !cache_takes_method(&r->rules, HTTP_POST) && !cache_takes_method(&r->rules, HTTP_QUERY);
}

static bool refreshes_nothing(const struct config_route *r)
{
	return r->rules.refresh_ahead.ms < 0 && r->rules.refresh_ahead.percent == 0;
}

static bool override_is_vain(const struct config_route *r)
{
	return r->rules.override && (!r->rules.cache || !cache_overrides(&r->rules));
}

static bool override_of_keyed_authorization(const struct config_route *r)
{
	const struct cache_user_from *from = &r->rules.user_from;
	bool is_identity = r->rules.scope == CACHE_SCOPE_USER && !from->is_cookie &&
			   slice_equal_nocase(from->name, SLICE_LIT("Authorization"));

	return cache_overrides(&r->rules) & CACHE_OVERRIDE_AUTHORIZATION &&
	       (is_identity || !is_open_credential(r, SLICE_LIT("Authorization")));
}

static bool override_of_cookies_is_vain(const struct config_route *r)
{
	return cache_overrides(&r->rules) & CACHE_OVERRIDE_SET_COOKIE && r->rules.set_cookie != CACHE_COOKIE_AUTO;
}

static bool overrides_what_tokens_get(const struct config_route *r)
{
	const unsigned both = CACHE_OVERRIDE_PRIVATE | CACHE_OVERRIDE_AUTHORIZATION;

	return r->rules.cache && (cache_overrides(&r->rules) & both) == both && !override_of_keyed_authorization(r);
}

static const struct {
	const char *key;
	route_check *is_vain;
	const char *why;
} rules[] = {
	{"ttl_force", stores_nothing, "has no effect where cache = off"},
	{"ttl_force", max_cuts_force, "has no effect beyond ttl_max, which is less"},
	{"ttl_force", identity_forbids_force,
		"has no effect on requests with what user_from names: it is a credential, and in the key only with "
		"scope = user"},
	{"override", override_is_vain, "has no effect without ttl or ttl_force, or where cache = off"},
	{"override", override_of_keyed_authorization,
		"authorization has no effect: key_headers, user_from or shared_credentials names that field"},
	{"override", override_of_cookies_is_vain, "set-cookie has no effect: set_cookie says what is done with them"},
	{"override", overrides_what_tokens_get,
		"with private and authorization, what the API tells the bearer of one token only is told to everybody"},
	{"scope", scope_stores_nothing, "has no effect where cache = off"},
	{"user_from", identity_is_unused, "has no effect without scope = user"},
	{"user_from", identity_stays_here, "that field never reaches the origin, so no request has an identity"},
	{"max_entries_per_user", has_no_users, "has no effect without scope = user"},
	{"methods", posts_are_all_alike,
		"a POST that changes something would be answered from the cache: set store_if = graphql or json; if no "
		"POST of this route changes anything, set json_body_key"},
	{"json_body_key", has_no_bodies, "has no effect where methods has neither POST nor QUERY"},
	{"refresh_ahead_hits", refreshes_nothing, "has no effect without refresh_ahead"},
	{"ttl", stores_nothing, "has no effect where cache = off"},
	{"ttl_min", stores_nothing, "has no effect where cache = off"},
	{"ttl_max", stores_nothing, "has no effect where cache = off"},
	{"ttl_NNN", stores_nothing, "has no effect where cache = off"},
	{"ttl_jitter", stores_nothing, "has no effect where cache = off"},
	{"heuristic", stores_nothing, "has no effect where cache = off"},
	{"stale_while_revalidate", stores_nothing, "has no effect where cache = off"},
	{"stale_if_error", stores_nothing, "has no effect where cache = off"},
	{"stale_if_unreachable", stores_nothing, "has no effect where cache = off"},
	{"refresh_ahead", stores_nothing, "has no effect where cache = off"},
	{"memory_idle", stores_nothing, "has no effect where cache = off"},
};

static bool has_key(const struct ini_section *s, struct slice key)
{
	for (const struct ini_entry *e = s ? s->entries : NULL; e; e = e->next)
		if (slice_equal(e->key, key))
			return true;
	return false;
}

/* What [defaults] says is in vain if it is so in every route that takes it from there. */
static bool is_vain_everywhere(const struct build *b, struct slice key, route_check *is_vain)
{
	const struct config *c = b->config;

	for (unsigned i = 0; i < c->routes_n; i++) {
		const struct ini_section *s = i + 1 < c->routes_n ? b->route_sections[i] : NULL;

		if (!has_key(s, key) && !is_vain(&c->routes[i]))
			return false;
	}
	return true;
}

static bool is_about(unsigned rule, struct slice key)
{
	uint16_t low, high;

	if (strcmp(rules[rule].key, "ttl_NNN") == 0)
		return option_status_range(key, &low, &high);
	return slice_equal(slice_of(rules[rule].key), key);
}

static bool is_never_stored(struct slice key)
{
	uint16_t low, high;

	return option_status_range(key, &low, &high) && low == high && !policy_status_is_stored(low);
}

/* r NULL: [defaults]. What switches something off is not in vain where nothing is on. */
static void warn_of_entry(struct build *b, const struct ini_entry *e, const struct config_route *r)
{
	if (slice_equal(e->value, SLICE_LIT("off")) || slice_equal(e->value, SLICE_LIT("0")))
		return;
	if (is_never_stored(e->key))
		report_warning(b->report, e->line, "%.*s: has no effect: a response with that status is never stored",
			SLICE_ARG(e->key));
	for (unsigned k = 0; k < ARRAY_LEN(rules); k++) {
		if (!is_about(k, e->key))
			continue;
		if (r ? rules[k].is_vain(r) : is_vain_everywhere(b, e->key, rules[k].is_vain))
			report_warning(b->report, e->line, "%.*s: %s", SLICE_ARG(e->key), rules[k].why);
	}
}

void warn_of_routes(struct build *b)
{
	for (const struct ini_entry *e = b->defaults ? b->defaults->entries : NULL; e; e = e->next)
		warn_of_entry(b, e, NULL);
	for (unsigned i = 0; i + 1 < b->config->routes_n; i++)
		for (const struct ini_entry *e = b->route_sections[i]->entries; e; e = e->next)
			warn_of_entry(b, e, &b->config->routes[i]);
}
