/* SPDX-License-Identifier: MIT */
/* Routes that no request can have, and matches that do not mean what their writer is used to.
 *
 * A route is hidden if an earlier one takes whatever it would. What is said is proved (pattern_covers, host by host), and what
 * takes several earlier routes together is not found. Where to look for such a route says the table of routes: it is asked for
 * a request that only routes with runs and {segments} in the same places have. */
#include <errno.h>

#include "config/build.h"
#include "config/router.h"
#include "config/routing/pattern_symbols.h"
#include "http/syntax.h"

enum { EXAMPLE_MAX = 16 * PATTERN_MAX };

/* ---- Hidden routes ---- */

/* Stand where a run or a segment does. A run may have slashes in it, and here it has two together, which no {segment} spans. */
#define SOME_RUN "~\x01//\x01~"
#define SOME_SEGMENT "~\x01~"

static void add_symbols(struct symbols s, struct buf *out)
{
	for (unsigned i = 0; i < s.n; i++) {
		if (s.v[i] == SYMBOL_RUN)
			buf_add_str(out, SOME_RUN);
		else if (s.v[i] == SYMBOL_SEGMENT)
			buf_add_str(out, SOME_SEGMENT);
		else if (s.v[i] & SYMBOL_ENCODED)
			buf_addf(out, "%%%02X", s.v[i] & 0xffU);
		else
			buf_add_char(out, (char)s.v[i]);
	}
}

/* A request that fits the route, in `path` and `query`; which of them asks is the host's matter. */
static int make_example(const struct config_route *r, struct buf *path, struct buf *query, struct router_asked *asked)
{
	struct symbols q;

	if (r->match)
		add_symbols(pattern_path(r->match), path);
	else
		buf_add_str(path, SOME_RUN);
	asked->has_query = r->match && pattern_query(r->match, &q);
	if (asked->has_query)
		add_symbols(q, query);
	asked->path = buf_slice(path);
	asked->query = buf_slice(query);
	return path->err ? path->err : query->err;
}

/* Every host that fits `host`, which may be "*.suffix", fits one of the route's. */
static bool covers_host(const struct config_route *r, struct slice host)
{
	bool is_covered = r->hosts.n == 0;

	for (unsigned i = 0; i < r->hosts.n && !is_covered; i++) {
		struct slice one = r->hosts.v[i];

		is_covered = slice_equal(one, host);
		if (one.p[0] == '*' && host.n >= one.n)
			is_covered = is_covered || slice_ends_with_nocase(host, slice_from(one, 1));
	}
	return is_covered;
}

/* The earlier route that has every request of this one to that host (empty: to any); NULL when none is known. */
static const struct config_route *hider_for(
	const struct config *c, const struct config_route *r, struct slice host, struct router_asked asked)
{
	const struct config_route *found;
	char some[300];

	asked.host = host;
	if (host.n > 1 && host.p[0] == '*' && host.n < sizeof(some)) {
		memcpy(some, host.p, host.n);
		some[0] = '~';
		asked.host = (struct slice){some, host.n};
	}
	found = &c->routes[router_look(c->router, &asked).route];
	if (found->rules.route_index >= r->rules.route_index || !pattern_covers(found->match, r->match))
		return NULL;
	if (host.n == 0 ? found->hosts.n > 0 : !covers_host(found, host))
		return NULL;
	return found;
}

static const struct config_route *hider_of(const struct config *c, const struct config_route *r)
{
	struct router_asked asked = {.is_decoded = false};
	const struct config_route *hider = NULL;
	struct buf path, query;

	buf_init(&path, EXAMPLE_MAX);
	buf_init(&query, EXAMPLE_MAX);
	if (make_example(r, &path, &query, &asked) == 0) {
		hider = hider_for(c, r, r->hosts.n ? r->hosts.v[0] : SLICE_LIT(""), asked);
		for (unsigned i = 1; i < r->hosts.n && hider; i++)
			if (hider_for(c, r, r->hosts.v[i], asked) != hider)
				hider = NULL; /* some hosts here, some there */
	}
	buf_fini(&path);
	buf_fini(&query);
	return hider;
}

static bool hosts_are_alike(const struct config_route *a, const struct config_route *b)
{
	bool alike = a->hosts.n == b->hosts.n;

	for (unsigned i = 0; i < a->hosts.n && alike; i++)
		alike = slices_have_nocase(&b->hosts, a->hosts.v[i]);
	return alike;
}

static unsigned match_line(const struct build *b, const struct config_route *r)
{
	return ini_line(b->route_sections[r->rules.route_index], NULL, "match");
}

static void warn_if_hidden(struct build *b, const struct config_route *r)
{
	const struct config_route *hider = hider_of(b->config, r);
	unsigned line = match_line(b, r);

	if (!hider)
		return;
	if (pattern_covers(r->match, hider->match) && hosts_are_alike(r, hider))
		report_warning(b->report, line,
			"match: the same as that of [route %.*s] (%s), which is first: this route is never used",
			SLICE_ARG(hider->rules.route), report_place(b->report, match_line(b, hider), line).z);
	else
		report_warning(b->report, line,
			"match: [route %.*s] (%s) stands before it and takes all of that: this route is never used",
			SLICE_ARG(hider->rules.route), report_place(b->report, match_line(b, hider), line).z);
}

/* ---- What a match says ---- */

static struct slice colon_segment(struct slice text)
{
	for (size_t i = 0; i + 2 < text.n; i++) {
		struct slice found = {text.p + i + 1, 1};

		if (text.p[i] != '/' || text.p[i + 1] != ':' || !http_char_is(text.p[i + 2], HTTP_CH_ALPHA))
			continue;
		while (i + 1 + found.n < text.n && !strchr("/?*", found.p[found.n]))
			found.n++;
		return found;
	}
	return (struct slice){"", 0};
}

static void warn_of_match(struct build *b, const struct config_route *r)
{
	const struct ini_section *s = b->route_sections[r->rules.route_index];
	const struct ini_entry *e = ini_find(s, "match");
	struct slice colon = colon_segment(r->match_text);

	if (!e && r->hosts.n == 0)
		report_warning(b->report, s->line,
			"[route %.*s] has no match and takes every request; say match = * if that is meant",
			SLICE_ARG(r->rules.route));
	if (!e)
		return;
	if (colon.n > 0)
		report_warning(b->report, e->line, "match: %s stands for itself; one segment of the path is {%.*s}",
			report_shown(colon).z, (int)colon.n - 1, colon.p + 1);
	if (slice_contains(r->match_text, SLICE_LIT("**")))
		report_warning(b->report, e->line,
			"match: ** is the same as *, which is any run of characters, slashes included");
}

void warn_of_matches(struct build *b)
{
	for (unsigned i = 0; i + 1 < b->config->routes_n; i++) {
		warn_of_match(b, &b->config->routes[i]);
		warn_if_hidden(b, &b->config->routes[i]);
	}
}
