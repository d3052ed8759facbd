/* SPDX-License-Identifier: MIT */
#include "http/cache_control.h"

#include "http/sf.h"
#include "http/syntax.h"

enum kind {
	STRICT,  /* a flag: set even if what follows the name makes no sense */
	LENIENT, /* a flag that lets a cache do more, so the directive must be well-formed */
	NO_CACHE,
	PRIVATE,
	DELTA,
	MAX_STALE,
	MIN_FRESH,
};

#define DIRECTIVE(text, kind, member)                                                  \
	{                                                                              \
		{text, sizeof(text) - 1}, kind, offsetof(struct cache_control, member) \
	}

static const struct directive {
	struct slice name;
	enum kind kind;
	size_t offset;
} directives[] = {
	DIRECTIVE("max-age", DELTA, max_age),
	DIRECTIVE("no-cache", NO_CACHE, no_cache),
	DIRECTIVE("no-store", STRICT, no_store),
	DIRECTIVE("public", LENIENT, public_),
	DIRECTIVE("private", PRIVATE, private_),
	DIRECTIVE("s-maxage", DELTA, s_maxage),
	DIRECTIVE("must-revalidate", STRICT, must_revalidate),
	DIRECTIVE("proxy-revalidate", STRICT, proxy_revalidate),
	DIRECTIVE("must-understand", LENIENT, must_understand),
	DIRECTIVE("immutable", LENIENT, immutable),
	DIRECTIVE("no-transform", STRICT, no_transform),
	DIRECTIVE("only-if-cached", LENIENT, only_if_cached),
	DIRECTIVE("stale-while-revalidate", DELTA, stale_while_revalidate),
	DIRECTIVE("stale-if-error", DELTA, stale_if_error),
	DIRECTIVE("max-stale", MAX_STALE, max_stale),
	DIRECTIVE("min-fresh", MIN_FRESH, min_fresh),
};

enum form { BARE, TOKEN, QUOTED, MALFORMED };

struct member {
	const struct directive *directive;
	enum form form;
	struct slice value; /* of TOKEN, or what is between QUOTED's quotes */
};

const struct cache_control cache_control_none = {
	.max_age = CC_ABSENT,
	.s_maxage = CC_ABSENT,
	.stale_while_revalidate = CC_ABSENT,
	.stale_if_error = CC_ABSENT,
	.max_stale = CC_ABSENT,
	.min_fresh = CC_ABSENT,
};

static const struct directive *directive_of(struct slice name)
{
	for (unsigned i = 0; i < ARRAY_LEN(directives); i++) {
		if (slice_equal_nocase(directives[i].name, name))
			return &directives[i];
	}
	return NULL;
}

/* From the first quoted string on that does not end, *is_broken, and members are split at every comma: a no-store behind it
 * must not be missed. */
static bool next_member(struct slice *rest, bool *is_broken, struct slice *member)
{
	struct slice before = *rest;
	if (!*is_broken) {
		if (!http_list_next(rest, member))
			return false;
		if (!http_has_open_quote(*member))
			return true;
		*is_broken = true;
	}
	for (*rest = before; rest->n > 0;) {
		(void)slice_cut(*rest, ',', member, rest);
		*member = slice_trim(*member);
		if (member->n > 0)
			return true;
	}
	return false;
}

/* token [ "=" ( token / quoted-string ) ], RFC 9111 5.2 */
static struct member read_member(struct slice s)
{
	struct member m = {.form = MALFORMED};
	size_t n = 0;
	while (n < s.n && http_char_is(s.p[n], HTTP_CH_TOKEN))
		n++;
	m.directive = directive_of((struct slice){s.p, n});
	if (n == s.n)
		m.form = BARE;
	if (n == s.n || s.p[n] != '=')
		return m;
	struct slice value = slice_from(s, n + 1);
	if (http_is_token(value)) {
		m.form = TOKEN;
		m.value = value;
	} else if (http_quoted_take(&value, &m.value) && value.n == 0) {
		m.form = QUOTED;
	}
	return m;
}

static bool read_delta(const struct member *m, int64_t *seconds)
{
	unsigned long long value;
	if ((m->form != TOKEN && m->form != QUOTED) || !slice_to_u64(m->value, CC_DELTA_MAX, &value))
		return false;
	*seconds = (int64_t)value;
	return true;
}

static void take_smaller(int64_t *delta, int64_t seconds)
{
	if (*delta == CC_ABSENT || seconds < *delta)
		*delta = seconds;
}

static void make_unqualified(struct cc_fields *fields)
{
	fields->is_unqualified = true;
	fields->n = 0;
}

/* A list of names counts only if all of it can be read; else the directive is about the whole response. */
static void add_names(struct cc_fields *fields, const struct member *m)
{
	struct slice rest = m->value, name;
	if (fields->is_unqualified)
		return;
	if (m->form != TOKEN && m->form != QUOTED) {
		make_unqualified(fields);
		return;
	}
	unsigned before = fields->n;
	while (http_list_next(&rest, &name)) {
		if (!http_is_token(name) || fields->n == CC_FIELDS_MAX) {
			make_unqualified(fields);
			return;
		}
		fields->v[fields->n++] = name;
	}
	if (fields->n == before)
		make_unqualified(fields);
}

static void apply(struct cache_control *cc, const struct member *m)
{
	void *target = (char *)cc + m->directive->offset;
	bool *flag = target;
	int64_t *delta = target, seconds;
	switch (m->directive->kind) {
	case STRICT:
		*flag = true;
		break;
	case LENIENT:
		*flag |= m->form != MALFORMED;
		break;
	case NO_CACHE:
		*flag = true;
		add_names(&cc->no_cache_fields, m);
		break;
	case PRIVATE:
		*flag = true;
		add_names(&cc->private_fields, m);
		break;
	case DELTA:
		take_smaller(delta, read_delta(m, &seconds) ? seconds : 0);
		break;
	case MAX_STALE:
		if (m->form == BARE)
			take_smaller(delta, CC_DELTA_MAX);
		else if (read_delta(m, &seconds))
			take_smaller(delta, seconds);
		break;
	case MIN_FRESH:
		if (!read_delta(m, &seconds))
			seconds = CC_DELTA_MAX;
		if (seconds > *delta)
			*delta = seconds;
		break;
	}
}

void cache_control_add(struct cache_control *cc, struct slice line)
{
	struct slice rest = line, text;
	bool is_broken = false;
	while (next_member(&rest, &is_broken, &text)) {
		struct member m = read_member(text);
		if (is_broken)
			m.form = MALFORMED;
		if (m.directive)
			apply(cc, &m);
	}
}

bool cache_control_of(struct cache_control *cc, const struct http_fields *f)
{
	uint32_t i = 0;
	bool found = false;
	*cc = cache_control_none;
	for (const struct http_field *line; (line = http_fields_next(f, HF_CACHE_CONTROL, &i)) != NULL;) {
		cache_control_add(cc, line->value);
		found = true;
	}
	return found;
}

/* A structured value as the same directive's would be in Cache-Control. */
static struct member member_of_sf(const struct directive *directive, const struct sf_item *item)
{
	struct member m = {.directive = directive, .form = MALFORMED};
	if (item->type == SF_BOOLEAN) {
		m.form = BARE;
	} else if (item->type == SF_STRING || item->type == SF_TOKEN || item->type == SF_INTEGER) {
		m.form = TOKEN;
		m.value = item->text;
	}
	return m;
}

/* Of a repeated key the last value counts, so the earlier one is forgotten (RFC 9651 3.2). */
static void forget(struct cache_control *cc, const struct directive *directive)
{
	void *target = (char *)cc + directive->offset;
	if (directive->kind == DELTA || directive->kind == MAX_STALE || directive->kind == MIN_FRESH)
		*(int64_t *)target = CC_ABSENT;
	else
		*(bool *)target = false;
	if (directive->kind == NO_CACHE)
		cc->no_cache_fields = (struct cc_fields){0};
	if (directive->kind == PRIVATE)
		cc->private_fields = (struct cc_fields){0};
}

bool cache_control_of_targeted(struct cache_control *cc, struct slice joined)
{
	struct sf_parser parser;
	struct slice key;
	struct sf_item item;
	unsigned members = 0;
	*cc = cache_control_none;
	if (!sf_dict_valid(joined))
		return false;
	sf_parser_init(&parser, joined);
	while (sf_dict_next(&parser, &key, &item) == 1) {
		const struct directive *directive = directive_of(key);
		members++;
		if (!directive)
			continue;
		forget(cc, directive);
		if (item.type == SF_BOOLEAN && !item.boolean)
			continue;
		struct member m = member_of_sf(directive, &item);
		if (item.type == SF_STRING && (directive->kind == DELTA || directive->kind == MIN_FRESH))
			m.form = MALFORMED;
		apply(cc, &m);
	}
	return members > 0;
}
