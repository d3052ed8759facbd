/* SPDX-License-Identifier: MIT */
#include "http/range.h"

#include "http/fields.h"
#include "http/syntax.h"

#define OVERLAPS_MAX 2

static bool take_number(struct slice *s, uint64_t *value)
{
	size_t n = 0;
	unsigned long long v;
	while (n < s->n && http_char_is(s->p[n], HTTP_CH_DIGIT))
		n++;
	if (!slice_to_u64((struct slice){s->p, n}, INT64_MAX, &v)) /* beyond any length: saturated */
		return false;
	*value = v;
	*s = slice_from(*s, n);
	return true;
}

static bool take_char(struct slice *s, char c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = slice_from(*s, 1);
	return true;
}

static bool take_unit(struct slice *s, char end)
{
	static const struct slice unit = {"bytes", 5};
	if (!slice_starts_with_nocase(*s, unit))
		return false;
	*s = slice_from(*s, unit.n);
	return take_char(s, end);
}

enum spec { SPEC_BAD, SPEC_SATISFIABLE, SPEC_UNSATISFIABLE, SPEC_WHOLE };

/* int-range or suffix-range, RFC 9110 14.1.2 */
static enum spec read_spec(struct slice s, uint64_t length, struct http_range *out)
{
	uint64_t last = INT64_MAX, suffix;
	if (take_char(&s, '-')) {
		if (!take_number(&s, &suffix) || s.n > 0)
			return SPEC_BAD;
		if (suffix == 0)
			return SPEC_UNSATISFIABLE;
		if (length == 0)
			return SPEC_WHOLE;
		*out = (struct http_range){suffix < length ? length - suffix : 0, length - 1};
		return SPEC_SATISFIABLE;
	}
	if (!take_number(&s, &out->first) || !take_char(&s, '-'))
		return SPEC_BAD;
	if (s.n > 0 && (!take_number(&s, &last) || s.n > 0))
		return SPEC_BAD;
	if (out->first > last)
		return SPEC_BAD;
	if (out->first >= length)
		return SPEC_UNSATISFIABLE;
	out->last = last < length ? last : length - 1;
	return SPEC_SATISFIABLE;
}

static void remove_at(struct http_ranges *r, unsigned i)
{
	r->n--;
	memmove(&r->v[i], &r->v[i + 1], (r->n - i) * sizeof(r->v[0]));
}

/* Takes every range that shares a byte with r->v[i] into it; what grew may touch more, so that starts again. */
static unsigned merge_into(struct http_ranges *r, unsigned i)
{
	unsigned merged = 0;
	for (unsigned k = i + 1; k < r->n;) {
		struct http_range *a = &r->v[i], b = r->v[k];
		if (b.first > a->last || a->first > b.last) {
			k++;
			continue;
		}
		if (b.first < a->first)
			a->first = b.first;
		if (b.last > a->last)
			a->last = b.last;
		remove_at(r, k);
		merged++;
		k = i + 1;
	}
	return merged;
}

static unsigned merge_overlaps(struct http_ranges *r)
{
	unsigned merged = 0;
	for (unsigned i = 0; i < r->n; i++)
		merged += merge_into(r, i);
	return merged;
}

enum http_range_result http_range_parse(struct slice value, uint64_t length, struct http_ranges *out)
{
	struct slice rest = value, member;
	unsigned specs = 0;
	bool is_whole = false;
	out->n = 0;
	if (!take_unit(&rest, '='))
		return HTTP_RANGE_IGNORED;
	while (http_list_next(&rest, &member)) {
		struct http_range range;
		enum spec spec = read_spec(member, length, &range);
		if (spec == SPEC_BAD || ++specs > HTTP_RANGES_MAX)
			return HTTP_RANGE_IGNORED;
		is_whole |= spec == SPEC_WHOLE;
		if (spec == SPEC_SATISFIABLE)
			out->v[out->n++] = range;
	}
	if (specs == 0 || is_whole || merge_overlaps(out) > OVERLAPS_MAX)
		return HTTP_RANGE_IGNORED;
	return out->n > 0 ? HTTP_RANGE_SATISFIABLE : HTTP_RANGE_UNSATISFIABLE;
}

static bool take_length(struct slice *s, struct http_content_range *out)
{
	if (take_char(s, '*'))
		return s->n == 0;
	out->has_length = true;
	return take_number(s, &out->length) && s->n == 0;
}

bool http_content_range_parse(struct slice value, struct http_content_range *out)
{
	struct slice s = value;
	*out = (struct http_content_range){0};
	if (!take_unit(&s, ' '))
		return false;
	if (take_char(&s, '*'))
		return take_char(&s, '/') && take_length(&s, out) && out->has_length;
	out->has_range = true;
	if (!take_number(&s, &out->range.first) || !take_char(&s, '-') || !take_number(&s, &out->range.last) ||
		!take_char(&s, '/') || !take_length(&s, out))
		return false;
	return out->range.first <= out->range.last && (!out->has_length || out->range.last < out->length);
}

int http_content_range_add(struct buf *out, const struct http_content_range *range)
{
	buf_add_str(out, "bytes ");
	if (range->has_range) {
		buf_add_u64(out, range->range.first);
		buf_add_char(out, '-');
		buf_add_u64(out, range->range.last);
	} else {
		buf_add_char(out, '*');
	}
	buf_add_char(out, '/');
	if (range->has_length)
		return buf_add_u64(out, range->length);
	return buf_add_char(out, '*');
}

int http_multipart_part_add(struct buf *out, struct slice boundary, bool is_first, struct slice content_type,
	struct http_range range, uint64_t length)
{
	struct http_content_range part = {.has_range = true, .has_length = true, .range = range, .length = length};
	buf_add_str(out, is_first ? "--" : "\r\n--");
	buf_add_slice(out, boundary);
	buf_add_str(out, "\r\n");
	if (content_type.n > 0) {
		buf_add_str(out, "Content-Type: ");
		buf_add_slice(out, content_type);
		buf_add_str(out, "\r\n");
	}
	buf_add_str(out, "Content-Range: ");
	http_content_range_add(out, &part);
	return buf_add_str(out, "\r\n\r\n");
}

int http_multipart_end_add(struct buf *out, struct slice boundary)
{
	buf_add_str(out, "\r\n--");
	buf_add_slice(out, boundary);
	return buf_add_str(out, "--\r\n");
}
