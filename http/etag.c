/* SPDX-License-Identifier: MIT */
#include "http/etag.h"

/* Takes a weak tag's mark off. */
static bool take_weak_mark(struct slice *tag)
{
	if (tag->n < 2 || tag->p[0] != 'W' || tag->p[1] != '/')
		return false;
	*tag = slice_from(*tag, 2);
	return true;
}

static bool is_quoted(struct slice s)
{
	if (s.n < 2 || s.p[0] != '"' || s.p[s.n - 1] != '"')
		return false;
	for (size_t i = 1; i < s.n - 1; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c <= 0x20 || c == '"' || c == 0x7F)
			return false;
	}
	return true;
}

bool etag_is_valid(struct slice tag)
{
	take_weak_mark(&tag);
	return is_quoted(tag);
}

bool etag_is_strong(struct slice tag)
{
	return is_quoted(tag);
}

bool etag_weak_equal(struct slice a, struct slice b)
{
	if (a.n == 0 || b.n == 0)
		return false;
	if (etag_is_valid(a) && etag_is_valid(b)) {
		take_weak_mark(&a);
		take_weak_mark(&b);
	}
	return slice_equal(a, b);
}

bool etag_strong_equal(struct slice a, struct slice b)
{
	return etag_is_strong(a) && slice_equal(a, b);
}

static bool is_separator(char c)
{
	return c == ' ' || c == '\t' || c == ',';
}

bool etag_list_next(struct slice *rest, struct slice *tag)
{
	size_t from = 0;
	while (from < rest->n && is_separator(rest->p[from]))
		from++;
	if (from == rest->n)
		return false;
	size_t to = from;
	if (rest->n - to >= 2 && rest->p[to] == 'W' && rest->p[to + 1] == '/')
		to += 2;
	if (to < rest->n && rest->p[to] == '"') {
		const char *close = memchr(rest->p + to + 1, '"', rest->n - to - 1);
		to = close ? (size_t)(close - rest->p) + 1 : rest->n;
	}
	while (to < rest->n && rest->p[to] != ',')
		to++;
	*tag = slice_trim((struct slice){rest->p + from, to - from});
	*rest = slice_from(*rest, to);
	return true;
}

enum etag_condition etag_if_none_match(const struct http_fields *f, struct slice tag)
{
	uint32_t i = 0;
	unsigned members = 0;
	bool has_star = false, is_in_list = false;
	if (!http_fields_get(f, HF_IF_NONE_MATCH))
		return ETAG_NO_CONDITION;
	for (const struct http_field *line; (line = http_fields_next(f, HF_IF_NONE_MATCH, &i)) != NULL;) {
		struct slice rest = line->value, member;
		while (etag_list_next(&rest, &member)) {
			members++;
			has_star |= slice_equal(member, SLICE_LIT("*"));
			is_in_list |= etag_weak_equal(member, tag);
		}
	}
	return is_in_list || (has_star && members == 1) ? ETAG_MATCHES : ETAG_MATCHES_NOT;
}
