/* SPDX-License-Identifier: MIT */
#include "proxy/init/shape.h"

#include <stdio.h>

#include "config/routing/pattern.h"
#include "http/syntax.h"

enum { LONG_ID = 20, HEX_ID = 16, NAME_BYTES_MAX = 40 };

static bool is_id(struct slice s)
{
	size_t digits = 0, hex = 0, dashes = 0, letters = 0;

	for (size_t i = 0; i < s.n; i++) {
		digits += http_char_is(s.p[i], HTTP_CH_DIGIT);
		letters += http_char_is(s.p[i], HTTP_CH_ALPHA);
		hex += http_hex_value(s.p[i]) >= 0;
		dashes += s.p[i] == '-' || s.p[i] == '_';
	}
	if (digits == 0 || digits + letters + dashes != s.n)
		return false;
	return letters == 0 || (hex + dashes == s.n && s.n >= HEX_ID) || s.n >= LONG_ID;
}

/* The next segment with what is before it, its slash: false at the end. */
static bool next_segment(struct slice *rest, struct slice *segment)
{
	const char *slash;

	if (rest->n == 0)
		return false;
	rest->p++;
	rest->n--;
	slash = memchr(rest->p, '/', rest->n);
	*segment = (struct slice){rest->p, slash ? (size_t)(slash - rest->p) : rest->n};
	rest->p += segment->n;
	rest->n -= segment->n;
	return true;
}

int shape_fold(struct slice path, struct buf *out)
{
	struct slice segment;
	unsigned ids = 0;

	while (next_segment(&path, &segment)) {
		buf_add_char(out, '/');
		if (!is_id(segment))
			buf_add_slice(out, segment);
		else if (++ids > PATTERN_CAPTURES_MAX)
			buf_add_char(out, '*');
		else if (ids == 1)
			buf_add_str(out, "{id}");
		else
			buf_addf(out, "{id%u}", ids);
	}
	return out->err;
}

/* The name as patterns have it. False: it can't be one. */
static bool add_name(struct slice name, unsigned index, struct buf *out)
{
	size_t from = out->n;

	buf_add_char(out, '{');
	for (size_t i = 0; i < name.n && i < 24; i++)
		if (http_char_is(name.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT))
			buf_add_char(out, name.p[i]);
		else if (strchr("_-.", name.p[i]))
			buf_add_char(out, '_');
	if (out->n == from + 1 || http_char_is(out->p[from + 1], HTTP_CH_DIGIT)) {
		out->n = from;
		buf_addf(out, "{part%u", index);
	} else if (slice_contains((struct slice){out->p, from}, slice_from(buf_slice(out), from))) {
		buf_addf(out, "_%u", index); /* it begins as one before */
	}
	return buf_add_char(out, '}') == 0;
}

static void add_segment(struct slice s, unsigned *names, struct buf *out)
{
	bool is_whole = s.n > 2 && s.p[0] == '{' && memchr(s.p, '}', s.n) == s.p + s.n - 1;

	if (is_whole && *names < PATTERN_CAPTURES_MAX) {
		(void)add_name((struct slice){s.p + 1, s.n - 2}, ++*names, out);
		return;
	}
	while (s.n > 0) {
		const char *close = s.p[0] == '{' ? memchr(s.p, '}', s.n) : NULL;
		size_t n = close ? (size_t)(close - s.p) + 1 : 1;

		buf_add_char(out, close ? '*' : s.p[0]);
		s.p += n;
		s.n -= n;
	}
}

/* "{?page}" and the like at its end are about the query. */
static struct slice without_query(struct slice text)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] == '?' || text.p[i] == '#' ||
			(text.p[i] == '{' && i + 1 < text.n && strchr("?&#;", text.p[i + 1])))
			text.n = i;
	return text;
}

int shape_template(struct slice text, struct buf *out)
{
	struct slice segment;
	unsigned names = 0;

	text = without_query(text);
	while (next_segment(&text, &segment)) {
		buf_add_char(out, '/');
		add_segment(segment, &names, out);
	}
	return out->err;
}

int shape_name(struct slice pattern, struct buf *out)
{
	size_t from = out->n;

	for (size_t i = 0; i < pattern.n && out->n - from < NAME_BYTES_MAX; i++) {
		bool is_plain = http_char_is(pattern.p[i], HTTP_CH_ALPHA | HTTP_CH_DIGIT) || pattern.p[i] == '_';

		if (is_plain)
			buf_add_char(out, pattern.p[i]);
		else if (out->n > from && out->p[out->n - 1] != '-')
			buf_add_char(out, '-');
	}
	while (out->n > from && out->p[out->n - 1] == '-')
		out->n--;
	if (out->n == from)
		buf_add_str(out, "root");
	return out->err;
}

/* Where they begin to differ, a character that stands for itself goes before a name, and that before a run. */
static int rank(struct slice s, size_t at)
{
	return at == s.n ? 0 : s.p[at] == '{' ? 2 : s.p[at] == '*' ? 3 : 1;
}

int shape_compare(struct slice a, struct slice b)
{
	size_t at = 0;

	while (at < a.n && at < b.n && a.p[at] == b.p[at])
		at++;
	if (rank(a, at) != rank(b, at))
		return rank(a, at) - rank(b, at);
	return at == a.n ? 0 : (unsigned char)a.p[at] - (unsigned char)b.p[at];
}
