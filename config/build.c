/* SPDX-License-Identifier: MIT */
#include "config/build.h"

#include <errno.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/nearest.h"
#include "cache/policy/credentials.h"
#include "config/router.h"
#include "config/value.h"
#include "http/syntax.h"

#define DEFAULT_NAME SLICE_LIT("default")
#define NO_NAME SLICE_LIT("")
#define BIT(section) (1U << (section))

static const char *const kinds[] = {"proxy", "admin", "upstream", "cache", "disk", "warm", "defaults", "route"};

static bool is_kind(const struct ini_section *s, const char *kind)
{
	return slice_equal(s->kind, slice_of(kind));
}

/* ---- Sections ---- */

static bool is_known_kind(struct build *b, const struct ini_section *s)
{
	const char *near = nearest_word(s->kind, kinds, ARRAY_LEN(kinds));

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++)
		if (is_kind(s, kinds[i]))
			return true;
	report_at(b->report, s->line, "no section is called [%.*s]%s%s%s", SLICE_ARG(s->kind), near ? "; is it [" : "",
		near ? near : "", near ? "]?" : "");
	return false;
}

static void check_name(struct build *b, const struct ini_section *s)
{
	bool takes_name = is_kind(s, "upstream") || is_kind(s, "route");

	if (s->name.n > 0 && !takes_name)
		report_at(b->report, s->line, "[%.*s] has no name", SLICE_ARG(s->kind));
	else if (s->name.n == 0 && is_kind(s, "route"))
		report_at(b->report, s->line, "a route needs a name, as in [route users]");
	else if (takes_name && slice_equal(s->name, DEFAULT_NAME))
		report_at(b->report, s->line, "the name default is taken: set it up in [%s]",
			is_kind(s, "route") ? "defaults" : "upstream");
}

static unsigned count_named(const struct build *b, const char *kind)
{
	unsigned n = 0;

	for (const struct ini_section *s = b->sections; s; s = s->next)
		n += is_kind(s, kind) && s->name.n > 0;
	return n;
}

static void check_count(struct build *b, const char *kind, unsigned max)
{
	if (count_named(b, kind) > max)
		report_at(b->report, 0, "more than %u sections [%s NAME]", max, kind);
}

static void check_sections(struct build *b)
{
	for (const struct ini_section *s = b->sections; s; s = s->next)
		if (is_known_kind(b, s))
			check_name(b, s);
	check_count(b, "upstream", CONFIG_UPSTREAMS_MAX - 1);
	check_count(b, "route", CONFIG_ROUTES_MAX);
}

/* ---- Keys ---- */

static const struct option *find_option(unsigned sections, struct slice key)
{
	for (unsigned i = 0; i < SECTION_COUNT; i++) {
		const struct option *o = sections & BIT(i) ? option_find((enum option_section)i, key) : NULL;

		if (o)
			return o;
	}
	return NULL;
}

static void report_unknown_key(struct build *b, unsigned sections, const struct ini_entry *e)
{
	const struct option *elsewhere = find_option(~sections, e->key);
	const char *near = option_nearest(sections, e->key);

	if (elsewhere)
		report_at(b->report, e->line, "%.*s does not belong here but in %s", SLICE_ARG(e->key),
			option_section_title(elsewhere->section));
	else if (sections & BIT(SECTION_ROUTE) && slice_starts_with(e->key, SLICE_LIT("ttl_")) && e->key.n > 4 &&
		 http_char_is(e->key.p[4], HTTP_CH_DIGIT))
		report_at(b->report, e->line,
			"no key is called %.*s; a status is written as in ttl_404 or ttl_4xx, 2 to 5 first",
			SLICE_ARG(e->key));
	else if (near)
		report_at(b->report, e->line, "no key is called %.*s; is it %s?", SLICE_ARG(e->key), near);
	else
		report_at(b->report, e->line, "no key is called %.*s", SLICE_ARG(e->key));
}

static int read_by_type(const struct value_source *s, void *to)
{
	static value_reader *const readers[TYPE_COUNT] = {
		[TYPE_ADDRESSES] = value_read_addresses,
		[TYPE_NETWORKS] = value_read_networks,
		[TYPE_UINT] = value_read_uint,
		[TYPE_DURATION] = value_read_duration,
		[TYPE_SIZE] = value_read_size,
		[TYPE_BOOL] = value_read_bool,
		[TYPE_ENUM] = value_read_enum,
		[TYPE_LOG] = value_read_log,
		[TYPE_SECRET] = value_read_secret,
		[TYPE_PERCENT] = value_read_percent,
		[TYPE_AHEAD] = value_read_ahead,
		[TYPE_RATE] = value_read_rate,
		[TYPE_PATH] = value_read_path,
		[TYPE_URL] = value_read_url,
		[TYPE_NAME] = value_read_name,
		[TYPE_PATTERN] = value_read_pattern,
		[TYPE_PATTERNS] = value_read_patterns,
		[TYPE_HOSTS] = value_read_hosts,
		[TYPE_METHODS] = value_read_methods,
		[TYPE_CODINGS] = value_read_codings,
		[TYPE_WORDS] = value_read_words,
		[TYPE_FIELDS] = value_read_fields,
		[TYPE_PREFIXES] = value_read_prefixes,
		[TYPE_QUERY] = value_read_query,
		[TYPE_USER_FROM] = value_read_user_from,
		[TYPE_STATUS_TTL] = value_read_status_ttl,
		[TYPE_PAGES] = value_read_pages,
	};
	return readers[s->option->type](s, to);
}

/* *e is what the file says, or the default at line 0. */
static int read_value(struct build *b, const struct option *o, const struct ini_entry *e, void *to)
{
	struct value_source s = {o, e->key, e->value, e->line, e->is_expanded, b->config->arena, b->report};
	int rc = read_by_type(&s, (char *)to + o->offset);

	return rc == -ENOMEM ? rc : 0;
}

static int apply_defaults(struct build *b, enum option_section section, void *to)
{
	int rc = 0;

	for (unsigned i = 0; i < options_n && rc == 0; i++) {
		const struct option *o = &options[i];
		const struct ini_entry e = {.key = slice_of(o->key), .value = slice_of(o->default_text)};

		if (o->section == section)
			rc = read_value(b, o, &e, to);
	}
	return rc;
}

static int read_keys(struct build *b, const struct ini_section *s, unsigned sections, void *to)
{
	int rc = 0;

	for (const struct ini_entry *e = s ? s->entries : NULL; e && rc == 0; e = e->next) {
		const struct option *o = find_option(sections, e->key);

		if (o)
			rc = read_value(b, o, e, to);
		else
			report_unknown_key(b, sections, e);
	}
	return rc;
}

/* ---- [proxy], [cache], [disk], [warm], [admin] ---- */

static int build_single(struct build *b, enum option_section section, const char *kind, void *to)
{
	int rc = apply_defaults(b, section, to);

	return rc ? rc : read_keys(b, ini_section_of(b->sections, kind, NO_NAME), BIT(section), to);
}

int build_admin(struct build *b)
{
	unsigned errors = b->report->errors;
	int rc = build_single(b, SECTION_ADMIN, "admin", &b->config->admin);

	if (rc == 0 && errors == b->report->errors)
		rc = validate_admin(b, ini_section_of(b->sections, "admin", NO_NAME));
	return rc;
}

static int build_singles(struct build *b)
{
	struct config *c = b->config;
	unsigned errors;
	int rc;

	errors = b->report->errors;
	rc = build_single(b, SECTION_PROXY, "proxy", &c->proxy);
	if (rc)
		return rc;
	if (errors == b->report->errors)
		validate_proxy(b, ini_section_of(b->sections, "proxy", NO_NAME));
	if (errors == b->report->errors)
		validate_bodies(b, ini_section_of(b->sections, "proxy", NO_NAME));
	errors = b->report->errors;
	rc = build_single(b, SECTION_CACHE, "cache", &c->cache);
	if (rc == 0 && errors == b->report->errors)
		validate_cache(b, ini_section_of(b->sections, "cache", NO_NAME));
	if (rc == 0)
		rc = build_single(b, SECTION_DISK, "disk", &c->disk);
	if (rc == 0)
		rc = build_single(b, SECTION_WARM, "warm", &c->warm);
	return rc ? rc : build_admin(b);
}

/* ---- [upstream] ---- */

static int note_place(struct build *b, const struct ini_section *s, struct config_upstream *to)
{
	const struct ini_entry *url = ini_find(s, "url");

	if (url)
		to->place = arena_copy(b->config->arena, slice_of(report_file_and_line(b->report, url->line).z));
	return url && !to->place.p ? -ENOMEM : 0;
}

static int build_upstream(struct build *b, const struct ini_section *s, struct config_upstream *to)
{
	unsigned errors = b->report->errors;
	int rc = read_keys(b, s, BIT(SECTION_UPSTREAM), to);

	if (rc || errors != b->report->errors)
		return rc;
	if (s && s->name.n > 0 && !ini_find(s, "url"))
		report_at(b->report, s->line, "[upstream %.*s] needs a url", SLICE_ARG(s->name));
	if (s)
		validate_upstream(b, to, s);
	return note_place(b, s, to);
}

static int add_upstream(
	struct build *b, struct config_upstream *v, const struct config_upstream *from, struct slice name)
{
	struct config_upstream *to = &v[b->config->upstreams_n++];

	*to = *from;
	to->name = arena_copy(b->config->arena, name);
	return to->name.p ? 0 : -ENOMEM;
}

/* A named upstream begins as a copy of the one without a name, which is one itself if it has a url. */
static int build_upstreams(struct build *b)
{
	unsigned n = 1 + count_named(b, "upstream");
	struct config_upstream *v = arena_alloc(b->config->arena, n * sizeof(*v)), unnamed = {0};
	int rc;

	if (!v)
		return -ENOMEM;
	b->config->upstreams = v;
	rc = apply_defaults(b, SECTION_UPSTREAM, &unnamed);
	if (rc == 0)
		rc = build_upstream(b, ini_section_of(b->sections, "upstream", NO_NAME), &unnamed);
	if (rc == 0 && unnamed.url.whole.n > 0)
		rc = add_upstream(b, v, &unnamed, DEFAULT_NAME);
	for (const struct ini_section *s = b->sections; s && rc == 0; s = s->next) {
		if (!is_kind(s, "upstream") || s->name.n == 0)
			continue;
		rc = add_upstream(b, v, &unnamed, s->name);
		if (rc == 0)
			rc = build_upstream(b, s, &v[b->config->upstreams_n - 1]);
	}
	return rc;
}

/* ---- [defaults], [route NAME] ---- */

/* The one without a name is missing: told once, with what would mend it. Not where there are other mistakes, of which it may come: of a
 * misspelt url, for one. */
static void tell_of_upstream(struct build *b)
{
	const struct ini_section *unnamed = ini_section_of(b->sections, "upstream", NO_NAME);

	if (b->told_of_upstream || b->report->errors > 0)
		return;
	b->told_of_upstream = true;
	if (unnamed && ini_find(unnamed, "url"))
		return; /* with a mistake that was reported */
	if (unnamed)
		report_at(b->report, unnamed->line,
			"[upstream] does not say where the API is; add a line: url = http://localhost:3000");
	else if (b->config->upstreams_n > 0)
		report_at(b->report, 0,
			"a route needs an upstream, and there is none without a name; add a line to [defaults]: "
			"upstream = %.*s",
			SLICE_ARG(b->config->upstreams[0].name));
	else
		report_at(b->report, 0,
			"no upstream is configured; add two lines: [upstream] and, below it, url = "
			"http://localhost:3000");
}

static void find_upstream(struct build *b, struct config_route *to, unsigned line)
{
	const struct config_upstream *u = config_upstream_named(b->config, to->upstream_name);

	if (u)
		to->upstream = (unsigned)(u - b->config->upstreams);
	else if (slice_equal(to->upstream_name, DEFAULT_NAME))
		tell_of_upstream(b);
	else
		report_at(b->report, line, "upstream: there is no [upstream %s]", report_shown(to->upstream_name).z);
}

static int compile_invalidates(struct build *b, struct config_route *to, unsigned line)
{
	unsigned n = to->invalidates_text.n;
	struct pattern_template **v = arena_alloc(b->config->arena, n * sizeof(struct pattern_template *));

	if (!v)
		return -ENOMEM;
	to->invalidates.v = v;
	for (unsigned i = 0; i < n; i++) {
		const char *why = "";
		int rc = pattern_template_compile(to->invalidates_text.v[i], to->match, &v[to->invalidates.n], &why);

		if (rc == -ENOMEM)
			return rc;
		if (rc)
			report_at(b->report, line, "invalidates: \"%s\": %s", report_shown(to->invalidates_text.v[i]).z,
				why);
		else
			to->invalidates.n++;
	}
	return 0;
}

static uint64_t mix(uint64_t digest, uint64_t more)
{
	uint64_t both[2] = {digest, more};

	return hash64_of(both, sizeof(both));
}

static uint64_t mix_names(uint64_t digest, const struct slices *names)
{
	for (unsigned i = 0; i < names->n; i++)
		digest = mix(digest, hash64_of(names->v[i].p, names->v[i].n));
	return mix(digest, names->n);
}

static uint32_t trust_of(const struct config_route *r)
{
	uint64_t digest = mix_names(0, &r->rules.credentials);

	digest = mix_names(digest, &r->rules.shared_credentials);
	digest = mix_names(digest, &r->forward_headers);
	digest = mix(digest, (uint64_t)r->rules.set_cookie << 8 | (uint64_t)r->underscore_headers);
	if (cache_overrides(&r->rules))
		digest = mix(digest, cache_overrides(&r->rules));
	return (uint32_t)digest;
}

/* Waiters wait as long as the upstream may take, unless the file says otherwise. */
static int64_t coalesce_timeout(const struct config *c, const struct config_upstream *u)
{
	int64_t head_ms = u->queue_timeout_ms + u->connect_timeout_ms + u->first_byte_timeout_ms;

	if (c->cache.coalesce_timeout_ms >= 0)
		return c->cache.coalesce_timeout_ms;
	return head_ms > u->stall_timeout_ms ? head_ms : u->stall_timeout_ms;
}

/* Checks and members that need the whole route, after all of its keys were read without a mistake. */
static int finish_route(struct build *b, const struct ini_section *s, struct config_route *to)
{
	const char *why = "";
	int rc = 0;

	find_upstream(b, to, ini_line(s, b->defaults, "upstream"));
	if (!slice_equal(to->match_text, SLICE_LIT("*")))
		rc = pattern_compile(to->match_text, &to->match, &why);
	if (rc)
		return rc;
	to->rules.trust = trust_of(to);
	if (to->client_burst == 0)
		to->client_burst = to->client_rate.requests;
	credentials_note_absent(&to->rules);
	if (b->config->upstreams_n > 0)
		to->rules.coalesce_timeout_ms = coalesce_timeout(b->config, &b->config->upstreams[to->upstream]);
	rc = compile_invalidates(b, to, ini_line(s, b->defaults, "invalidates"));
	if (rc == 0)
		validate_route(b, to, s);
	return rc;
}

static int build_route(
	struct build *b, const struct ini_section *s, const struct config_route *defaults, struct config_route *to)
{
	unsigned errors = b->report->errors, index = to->rules.route_index;
	int rc;

	*to = *defaults;
	to->rules.route_index = index;
	to->rules.route = s ? arena_copy(b->config->arena, s->name) : DEFAULT_NAME;
	if (!to->rules.route.p)
		return -ENOMEM;
	rc = apply_defaults(b, SECTION_MATCH, to);
	if (rc == 0)
		rc = read_keys(b, s, BIT(SECTION_MATCH) | BIT(SECTION_ROUTE), to);
	if (rc == 0 && s)
		rc = places_of(b, s, &to->places);
	return rc || errors != b->report->errors ? rc : finish_route(b, s, to);
}

static int build_routes(struct build *b)
{
	unsigned n = 1 + count_named(b, "route"), i = 0, errors = b->report->errors;
	struct config_route *v = arena_alloc(b->config->arena, n * sizeof(*v));
	struct config_route defaults = {0};
	int rc;

	b->route_sections = arena_alloc(b->config->arena, n * sizeof(struct ini_section *));
	if (!v || !b->route_sections)
		return -ENOMEM;
	b->defaults = ini_section_of(b->sections, "defaults", NO_NAME);
	b->config->routes = v;
	b->config->routes_n = n;
	rc = apply_defaults(b, SECTION_ROUTE, &defaults);
	if (rc == 0)
		rc = read_keys(b, b->defaults, BIT(SECTION_ROUTE), &defaults);
	if (rc == 0 && b->defaults)
		rc = places_of(b, b->defaults, &b->config->defaults_places);
	/* A rule that [defaults] breaks is reported once, not for every route. */
	v[n - 1].rules.route_index = n - 1;
	if (rc == 0 && errors == b->report->errors)
		rc = build_route(b, NULL, &defaults, &v[n - 1]);
	for (const struct ini_section *s = b->sections; s && rc == 0; s = s->next) {
		if (!is_kind(s, "route") || s->name.n == 0)
			continue;
		v[i].rules.route_index = i;
		b->route_sections[i] = s;
		rc = build_route(b, s, &defaults, &v[i]);
		i++;
	}
	return rc;
}

static int by_name(const void *one, const void *two)
{
	struct slice a = (*(const struct config_route *const *)one)->rules.route;
	struct slice b = (*(const struct config_route *const *)two)->rules.route;

	return strcmp(a.p, b.p); /* names are letters, digits and the like */
}

/* By which routes are found. */
static int build_tables(struct build *b)
{
	struct config *c = b->config;
	struct router *router;
	int rc = router_new(c->arena, c->routes, c->routes_n, c->proxy.workers, &router);

	c->router = router;
	for (unsigned i = 0; i < c->routes_n; i++) {
		c->is_restricted |= c->routes[i].allow.n + c->routes[i].deny.n > 0;
		c->slowest = config_route_slower(c->slowest, &c->routes[i]);
	}
	c->routes_by_name = arena_alloc(c->arena, c->routes_n * sizeof(*c->routes_by_name));
	if (!c->routes_by_name)
		return -ENOMEM;
	for (unsigned i = 0; i < c->routes_n; i++)
		c->routes_by_name[i] = &c->routes[i];
	qsort(c->routes_by_name, c->routes_n, sizeof(*c->routes_by_name), by_name);
	return rc;
}

int build_config(struct build *b)
{
	int rc;

	check_sections(b);
	rc = take_new_names(b);
	if (rc == 0)
		rc = build_singles(b);
	if (rc == 0)
		rc = build_upstreams(b);
	if (rc == 0)
		rc = build_routes(b);
	if (rc == 0 && b->report->errors == 0)
		rc = build_tables(b);
	if (rc == 0 && b->report->errors == 0)
		validate_listeners(b);
	if (rc == 0 && b->report->errors == 0) {
		warn_of_old_names(b);
		warn_of_parts(b);
		warn_of_routes(b);
		warn_of_matches(b);
		warn_of_files(b);
	}
	return rc;
}
