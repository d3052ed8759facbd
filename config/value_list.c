/* SPDX-License-Identifier: MIT */
/* Values that name several things: fields, hosts, methods, patterns, statuses. */
#include <errno.h>

#include "config/value.h"
#include "http/syntax.h"

/* Says why an item is refused, or NULL when it is good. */
typedef const char *item_check(struct slice item);

static int read_list(const struct value_source *s, struct slice text, item_check *check, struct slices *to)
{
	unsigned n = value_count(text);
	struct slices made = {0};
	struct slice *v, item;

	if (n > CONFIG_LIST_MAX)
		return value_refuse(s, "%u items; %d at most", n, CONFIG_LIST_MAX);
	v = arena_alloc(s->arena, n * sizeof(*v));
	if (!v)
		return -ENOMEM;
	made.v = v;
	while (value_next(&text, &item)) {
		const char *why = check(item);

		if (why)
			return value_refuse(s, "\"%s\": %s", report_shown(item).z, why);
		if (slices_have_nocase(&made, item))
			return value_refuse(s, "\"%s\" stands there twice", report_shown(item).z);
		v[made.n] = arena_copy(s->arena, item);
		if (!v[made.n++].p)
			return -ENOMEM;
	}
	*to = made;
	return 0;
}

static const char *check_field(struct slice item)
{
	return http_is_token(item) ? NULL : "not a name as fields have it";
}

int value_read_fields(const struct value_source *s, void *to)
{
	return read_list(s, s->text, check_field, to);
}

static const char *check_prefix(struct slice item)
{
	const char *star = memchr(item.p, '*', item.n);

	if (star && (star == item.p || star != slice_end(item) - 1))
		return "a * can only stand at the end of a name";
	return check_field(item);
}

int value_read_prefixes(const struct value_source *s, void *to)
{
	return read_list(s, s->text, check_prefix, to);
}

static const char *check_host(struct slice host)
{
	if (host.n > 2 && host.p[0] == '*' && host.p[1] == '.')
		host = slice_from(host, 2);
	if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		return NULL;
	for (size_t i = 0; i < host.n; i++) {
		if (host.p[i] == ':')
			return "a host is written without its port";
		if (!http_char_is(host.p[i], HTTP_CH_REGNAME) || host.p[i] == '*')
			return "not a host; a * can only stand in front, as in *.example.org";
	}
	return host.p[host.n - 1] == '.' ? "a host is written without the final dot" : NULL;
}

int value_read_hosts(const struct value_source *s, void *to)
{
	const struct slices *hosts = to;
	int rc = read_list(s, s->text, check_host, to);

	for (unsigned i = 0; rc == 0 && i < hosts->n; i++) {
		char *z = (char *)(uintptr_t)hosts->v[i].p; /* the copy that was just made */

		for (; *z; z++)
			*z = ascii_lower(*z);
	}
	return rc;
}

static const char *check_method(struct slice item)
{
	switch (http_method_of(item)) {
	case HTTP_GET:
	case HTTP_HEAD:
	case HTTP_POST:
	case HTTP_QUERY:
		return NULL;
	default:
		return "only GET, HEAD, POST and QUERY can be cached";
	}
}

int value_read_methods(const struct value_source *s, void *to)
{
	struct slices names = {0};
	int rc = read_list(s, s->text, check_method, &names);
	unsigned bits = 0;

	if (rc)
		return rc;
	if (names.n == 0)
		return value_refuse(s, "a method is missing; cache = off is what stores nothing");
	for (unsigned i = 0; i < names.n; i++)
		bits |= 1U << http_method_of(names.v[i]);
	*(unsigned *)to = bits;
	return 0;
}

static int coding_of(struct slice item)
{
	if (slice_equal(item, SLICE_LIT("gzip")))
		return CACHE_GZIP;
	if (slice_equal(item, SLICE_LIT("br")))
		return CACHE_BR;
	return slice_equal(item, SLICE_LIT("zstd")) ? CACHE_ZSTD : -EINVAL;
}

static const char *check_coding(struct slice item)
{
	return coding_of(item) < 0 ? "a coding is gzip, br or zstd" : NULL;
}

int value_read_codings(const struct value_source *s, void *to)
{
	struct slices names = {0};
	unsigned bits = 0;
	int rc = 0;

	if (!slice_equal(s->text, SLICE_LIT("off")))
		rc = read_list(s, s->text, check_coding, &names);
	for (unsigned i = 0; i < names.n && rc == 0; i++) {
		int coding = coding_of(names.v[i]);

		CHECK(coding >= 0); /* check_coding let it through */
		bits |= 1U << coding;
	}
	if (rc == 0)
		*(unsigned *)to = bits;
	return rc;
}

/* Compiled again, and then kept, when the route is made: invalidates needs the route's match. */
int value_read_pattern(const struct value_source *s, void *to)
{
	const char *why = "";
	struct pattern *p;
	int rc = pattern_compile(s->text, &p, &why);

	pattern_free(&p);
	if (rc == -EINVAL)
		return value_refuse(s, "\"%s\": %s", report_shown(s->text).z, why);
	return rc ? rc : value_read_path(s, to);
}

static const char *check_template(struct slice item)
{
	return item.p[0] == '/' ? NULL : "a path begins with '/'";
}

int value_read_patterns(const struct value_source *s, void *to)
{
	return read_list(s, s->text, check_template, to);
}

/* ---- query, user_from ---- */

static const char *check_query_name(struct slice item)
{
	const char *star = memchr(item.p, '*', item.n);

	return star && star != slice_end(item) - 1 ? "a * can only stand at the end of a name" : NULL;
}

static int read_query_names(const struct value_source *s, enum cache_query_rule rule, struct slice text, void *to)
{
	struct cache_query made = {.rule = rule};
	int rc = read_list(s, text, check_query_name, &made.names);

	if (rc)
		return rc;
	if (made.names.n == 0)
		return value_refuse(s, "names are missing after the colon; ignore is what keeps none");
	*(struct cache_query *)to = made;
	return 0;
}

int value_read_query(const struct value_source *s, void *to)
{
	int index = option_word_index("keep|sort|ignore", s->text);

	if (index >= 0) {
		*(struct cache_query *)to = (struct cache_query){.rule = (enum cache_query_rule)index};
		return 0;
	}
	if (slice_starts_with(s->text, SLICE_LIT("only:")))
		return read_query_names(s, CACHE_QUERY_ONLY, slice_from(s->text, 5), to);
	if (slice_starts_with(s->text, SLICE_LIT("drop:")))
		return read_query_names(s, CACHE_QUERY_DROP, slice_from(s->text, 5), to);
	return value_refuse(s, "\"%s\" is none of: keep, sort, ignore, only:a,b, drop:x,y*", report_shown(s->text).z);
}

int value_read_user_from(const struct value_source *s, void *to)
{
	struct cache_user_from made = {.is_cookie = slice_starts_with(s->text, SLICE_LIT("cookie:"))};
	struct slice name = {s->text.p, s->text.n};

	*(struct cache_user_from *)to = made;
	if (s->text.n == 0 || value_is_word(s))
		return 0;
	if (made.is_cookie || slice_starts_with(s->text, SLICE_LIT("header:")))
		name = slice_from(s->text, 7);
	if (name.p == s->text.p || !http_is_token(name))
		return value_refuse(s, "\"%s\" is neither header:NAME nor cookie:NAME", report_shown(s->text).z);
	made.name = arena_copy(s->arena, name);
	*(struct cache_user_from *)to = made;
	return made.name.p ? 0 : -ENOMEM;
}

/* ---- ttl_404, ttl_5xx ---- */

static bool is_of(const struct cache_status_ttl *t, uint16_t low, uint16_t high)
{
	return t->low == low && t->high == high;
}

/* A copy of the list, which may be an inherited one, without that range's old value and with the new one in its place:
 * single statuses first, then classes. */
int value_read_status_ttl(const struct value_source *s, void *to)
{
	struct cache_status_ttls *list = to;
	struct cache_status_ttl *v, fresh = {0};
	unsigned n = 0, i = 0;
	bool is_off = value_is_word(s);
	int rc = is_off ? 0 : value_duration(s, s->text, &fresh.ttl_ms);

	if (rc || !option_status_range(s->key, &fresh.low, &fresh.high))
		return rc;
	v = arena_alloc(s->arena, (list->n + 1) * sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (; i < list->n && (fresh.low != fresh.high || list->v[i].low == list->v[i].high); i++)
		if (!is_of(&list->v[i], fresh.low, fresh.high))
			v[n++] = list->v[i];
	if (!is_off)
		v[n++] = fresh;
	for (; i < list->n; i++)
		v[n++] = list->v[i];
	*list = (struct cache_status_ttls){v, n};
	return 0;
}
