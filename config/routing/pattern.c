/* SPDX-License-Identifier: MIT */
#include "config/routing/pattern.h"

#include <errno.h>

#include "base/mem.h"
#include "config/routing/pattern_symbols.h"

enum { NAME_MAX_BYTES = 32, TEMPLATE_NAMES_MAX = 16 };

struct pattern {
	char names[PATTERN_CAPTURES_MAX][NAME_MAX_BYTES + 1];
	unsigned names_n;
	unsigned path_n, query_n;
	bool with_query;
	uint16_t ops[]; /* path_n of the path, then query_n of the query */
};

struct part {
	int capture; /* index, or -1: text[off..off+n) */
	unsigned off, n;
};

struct pattern_template {
	struct part parts[2 * TEMPLATE_NAMES_MAX + 1];
	unsigned parts_n;
	bool is_prefix;
	char text[];
};

/* ---- Compiling ---- */

static bool is_name(struct slice s)
{
	if (s.n == 0 || s.n > NAME_MAX_BYTES || http_char_is(s.p[0], HTTP_CH_DIGIT))
		return false;
	for (size_t i = 0; i < s.n; i++)
		if (!http_char_is(s.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) && s.p[i] != '_')
			return false;
	return true;
}

static int name_index(const struct pattern *p, struct slice name)
{
	for (unsigned i = 0; p && i < p->names_n; i++)
		if (slice_equal(slice_of(p->names[i]), name))
			return (int)i;
	return -ENOENT;
}

/* "{name" was seen at rest->p; takes it with its '}'. */
static bool take_name(struct slice *rest, struct slice *name, const char **why)
{
	const char *close = memchr(rest->p, '}', rest->n);

	*why = "a name in {braces} is letters, digits and '_', 32 at most, and does not begin with a digit";
	if (!close)
		return false;
	*name = (struct slice){rest->p + 1, (size_t)(close - rest->p) - 1};
	rest->n -= name->n + 2;
	rest->p = close + 1;
	return is_name(*name);
}

/* A name stands for a whole segment, so that there is only one way to match it. */
static bool add_segment(struct pattern *p, struct slice *rest, bool after_slash, const char **why)
{
	struct slice name;

	if (!take_name(rest, &name, why))
		return false;
	*why = "a name in {braces} must be a whole path segment, as in /users/{id}/posts";
	if (!after_slash || (rest->n > 0 && rest->p[0] != '/' && rest->p[0] != '?'))
		return false;
	*why = "a pattern has at most 8 names in {braces}";
	if (p->names_n == PATTERN_CAPTURES_MAX)
		return false;
	*why = "the same name in {braces} stands there twice";
	if (name_index(p, name) >= 0)
		return false;
	memcpy(p->names[p->names_n], name.p, name.n);
	p->names_n++;
	return true;
}

static bool is_broken_escape(struct slice s)
{
	return s.p[0] == '%' && (s.n < 3 || http_hex_value(s.p[1]) < 0 || http_hex_value(s.p[2]) < 0);
}

static bool is_plain(struct slice s, const char **why)
{
	*why = "it can hold visible ASCII characters but '#' only; percent-encode others";
	if (!http_char_is(s.p[0], HTTP_CH_TARGET))
		return false;
	*why = "'}' without '{'";
	if (s.p[0] == '}')
		return false;
	*why = "'%' must be followed by two hexadecimal digits";
	return !is_broken_escape(s);
}

/* One symbol, run or name from the front of *rest; appends to ops[*n]. */
static bool compile_one(struct pattern *p, struct slice *rest, uint16_t *ops, unsigned *n, const char **why)
{
	const char *at = rest->p;

	if (at[0] == '{') {
		*why = "names in {braces} stand for path segments, not for parts of a query";
		if (p->with_query || !add_segment(p, rest, *n > 0 && ops[*n - 1] == '/', why))
			return false;
		ops[(*n)++] = SYMBOL_SEGMENT;
		return true;
	}
	if (!is_plain(*rest, why))
		return false;
	if (at[0] == '*') {
		if (*n == 0 || ops[*n - 1] != SYMBOL_RUN)
			ops[(*n)++] = SYMBOL_RUN;
		at++;
	} else {
		ops[(*n)++] = (uint16_t)symbol_next(&at, slice_end(*rest));
	}
	rest->n -= (size_t)(at - rest->p);
	rest->p = at;
	return true;
}

static bool compile(struct pattern *p, struct slice rest, const char **why)
{
	while (rest.n > 0) {
		if (rest.p[0] == '?' && !p->with_query) {
			p->with_query = true;
			rest.p++;
			rest.n--;
		} else if (!compile_one(p, &rest, p->ops + (p->with_query ? p->path_n : 0),
				   p->with_query ? &p->query_n : &p->path_n, why)) {
			return false;
		}
	}
	return true;
}

static bool has_good_shape(struct slice text, const char **why)
{
	*why = "a pattern begins with '/' or '*'";
	if (text.n == 0 || (text.p[0] != '/' && text.p[0] != '*'))
		return false;
	*why = "a pattern has at most 1024 bytes";
	return text.n <= PATTERN_MAX;
}

int pattern_compile(struct slice text, struct pattern **out, const char **why)
{
	struct pattern *p;

	*out = NULL;
	if (!has_good_shape(text, why))
		return -EINVAL;
	p = mem_zalloc(sizeof(*p) + text.n * sizeof(p->ops[0]));
	if (!p)
		return -ENOMEM;
	if (!compile(p, text, why)) {
		mem_free(p);
		return -EINVAL;
	}
	*out = p;
	return 0;
}

void pattern_free(struct pattern **p)
{
	mem_free(*p);
	*p = NULL;
}

/* ---- Matching ---- */

struct matcher {
	const uint16_t *op, *ops_end;
	const char *at, *end;
	struct slice *captures; /* may be NULL */
	unsigned segment;       /* the next one's index */
};

static bool step_segment(struct matcher *m)
{
	const char *slash = memchr(m->at, '/', (size_t)(m->end - m->at));
	const char *to = slash ? slash : m->end;

	if (to == m->at)
		return false;
	if (m->captures)
		m->captures[m->segment] = (struct slice){m->at, (size_t)(to - m->at)};
	m->segment++;
	m->at = to;
	m->op++;
	return true;
}

/* One op that is not SYMBOL_RUN. */
static bool step(struct matcher *m)
{
	if (m->op == m->ops_end)
		return false;
	if (*m->op == SYMBOL_SEGMENT)
		return step_segment(m);
	if (symbol_next(&m->at, m->end) != *m->op)
		return false;
	m->op++;
	return true;
}

/* What stands between two runs has one way to match from a given start, and from a later start it ends no earlier. So
 * the leftmost match is the best one, only the last run is ever tried again, and when the text ends too early once,
 * no later start can help. */
static bool match_part(const uint16_t *ops, unsigned n, struct slice text, struct slice *captures)
{
	struct matcher m = {ops, ops + n, text.p, slice_end(text), captures, 0};
	struct matcher retry = {0};

	for (;;) {
		if (m.op < m.ops_end && *m.op == SYMBOL_RUN) {
			m.op++;
			if (m.op == m.ops_end)
				return true;
			retry = m;
		} else if (m.at == m.end) {
			return m.op == m.ops_end;
		} else if (!step(&m)) {
			if (!retry.op)
				return false;
			symbol_next(&retry.at, retry.end);
			m = retry;
		}
	}
}

static bool match_query(const struct pattern *p, bool has_query, struct slice query)
{
	if (p->with_query && !has_query)
		return false;
	return !p->with_query || match_part(p->ops + p->path_n, p->query_n, query, NULL);
}

bool pattern_match(const struct pattern *p, struct slice path, bool has_query, struct slice query,
	struct pattern_captures *captures)
{
	if (captures)
		captures->n = p->names_n;
	return match_part(p->ops, p->path_n, path, captures ? captures->v : NULL) && match_query(p, has_query, query);
}

/* ---- One pattern in another ---- */

/* A segment takes a segment, but no run, which may have slashes in it. False: not from there. */
static bool cover_segment(struct symbols b, unsigned *at)
{
	unsigned from = *at;

	for (; *at < b.n && b.v[*at] != '/'; (*at)++)
		if (b.v[*at] == SYMBOL_RUN)
			return false;
	return *at > from;
}

/* As match_part, with the symbols of b for the text: what stands for itself there, runs and segments too, is taken by the same
 * in a, and by a's runs. Whatever comes in place of b's runs and segments is then taken by a. */
static bool covers_part(struct symbols a, struct symbols b)
{
	unsigned op = 0, at = 0, retry_op = 0, retry_at = 0;

	while (op < a.n || at < b.n) {
		if (op < a.n && a.v[op] == SYMBOL_RUN) {
			retry_op = ++op;
			retry_at = at;
		} else if (op < a.n && a.v[op] == SYMBOL_SEGMENT && cover_segment(b, &at)) {
			op++;
		} else if (op < a.n && at < b.n && a.v[op] != SYMBOL_SEGMENT && a.v[op] == b.v[at]) {
			op++;
			at++;
		} else if (retry_op > 0 && retry_at < b.n) {
			op = retry_op;
			at = ++retry_at;
		} else {
			return false;
		}
	}
	return true;
}

static bool covers_all(struct symbols a)
{
	return a.n == 1 && a.v[0] == SYMBOL_RUN;
}

bool pattern_covers(const struct pattern *a, const struct pattern *b)
{
	struct symbols query_a, query_b;

	if (!a)
		return true;
	if (!covers_all(pattern_path(a)) && (!b || !covers_part(pattern_path(a), pattern_path(b))))
		return false;
	if (!pattern_query(a, &query_a))
		return true;
	return b && pattern_query(b, &query_b) && covers_part(query_a, query_b);
}

/* ---- What it is made of ---- */

struct symbols pattern_path(const struct pattern *p)
{
	return (struct symbols){p->ops, p->path_n};
}

bool pattern_query(const struct pattern *p, struct symbols *query)
{
	*query = (struct symbols){p->ops + p->path_n, p->query_n};
	return p->with_query;
}

/* ---- Templates ---- */

static bool add_name_part(struct pattern_template *t, struct slice *rest, const struct pattern *match, const char **why)
{
	struct slice name;
	int index;

	if (!take_name(rest, &name, why))
		return false;
	*why = "a name in {braces} is not in the route's match";
	index = name_index(match, name);
	if (index < 0)
		return false;
	*why = "it has at most 16 names in {braces}";
	if (t->parts_n + 2 > ARRAY_LEN(t->parts))
		return false;
	t->parts[t->parts_n++] = (struct part){index, 0, 0};
	return true;
}

/* The plain text up to the next name, as one part. There is always room: two are kept for each name. */
static bool add_text_part(struct pattern_template *t, struct slice text, struct slice *rest, const char **why)
{
	struct part part = {-1, (unsigned)(rest->p - text.p), 0};

	for (; rest->n > 0 && rest->p[0] != '{'; rest->p++, rest->n--, part.n++) {
		*why = "'*' can only stand at its end";
		if (rest->p[0] == '*')
			return false;
		if (!is_plain(*rest, why))
			return false;
	}
	t->parts[t->parts_n++] = part;
	return true;
}

static bool template_compile(
	struct pattern_template *t, struct slice text, const struct pattern *match, const char **why)
{
	struct slice rest = text;

	if (rest.p[rest.n - 1] == '*') {
		t->is_prefix = true;
		rest.n--;
	}
	while (rest.n > 0) {
		if (rest.p[0] == '{' ? !add_name_part(t, &rest, match, why) : !add_text_part(t, text, &rest, why))
			return false;
	}
	return true;
}

int pattern_template_compile(
	struct slice text, const struct pattern *match, struct pattern_template **out, const char **why)
{
	struct pattern_template *t;

	*out = NULL;
	*why = "it begins with '/' and has at most 1024 bytes";
	if (text.n == 0 || text.n > PATTERN_MAX || text.p[0] != '/')
		return -EINVAL;
	t = mem_zalloc(sizeof(*t) + text.n);
	if (!t)
		return -ENOMEM;
	memcpy(t->text, text.p, text.n);
	if (!template_compile(t, text, match, why)) {
		mem_free(t);
		return -EINVAL;
	}
	*out = t;
	return 0;
}

void pattern_template_free(struct pattern_template **t)
{
	mem_free(*t);
	*t = NULL;
}

int pattern_expand(const struct pattern_template *t, const struct pattern_captures *captures, struct buf *out)
{
	for (unsigned i = 0; i < t->parts_n; i++) {
		const struct part *part = &t->parts[i];

		if (part->capture < 0) {
			buf_add(out, t->text + part->off, part->n);
		} else {
			CHECK((unsigned)part->capture < captures->n); /* of the pattern that it was compiled against */
			buf_add_slice(out, captures->v[part->capture]);
		}
	}
	return out->err;
}

bool pattern_template_is_prefix(const struct pattern_template *t)
{
	return t->is_prefix;
}
