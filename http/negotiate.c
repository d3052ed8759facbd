/* SPDX-License-Identifier: MIT */
#include "http/negotiate.h"

#include "http/syntax.h"

bool http_qvalue_parse(struct slice s, int *q)
{
	int value = 0;
	if (s.n == 0 || s.n > 5 || (s.p[0] != '0' && s.p[0] != '1') || (s.n > 1 && s.p[1] != '.'))
		return false;
	for (size_t i = 2; i < 5; i++) {
		char digit = i < s.n ? s.p[i] : '0';
		if (!http_char_is(digit, HTTP_CH_DIGIT))
			return false;
		value = value * 10 + (digit - '0');
	}
	if (s.p[0] == '1' && value > 0)
		return false;
	*q = s.p[0] == '1' ? HTTP_Q_MAX : value;
	return true;
}

struct preference {
	struct slice coding; /* or media range, as sent */
	int q;
};

/* False: it names nothing, or its weight can't be read. */
static bool read_preference(struct slice member, struct preference *out)
{
	size_t n = http_length_before(member, ';');
	struct slice rest = slice_from(member, n), parameter;
	out->coding = slice_trim((struct slice){member.p, n});
	out->q = HTTP_Q_MAX;
	while (http_split_next(&rest, ';', &parameter)) {
		if (slice_starts_with_nocase(parameter, SLICE_LIT("q=")))
			return http_qvalue_parse(slice_from(parameter, 2), &out->q) && out->coding.n > 0;
	}
	return out->coding.n > 0;
}

struct slice http_coding_less_x(struct slice coding)
{
	if (slice_equal_nocase(coding, SLICE_LIT("x-gzip")) || slice_equal_nocase(coding, SLICE_LIT("x-compress")))
		return slice_from(coding, 2);
	return coding;
}

int http_accept_encoding_q(const struct http_fields *f, struct slice coding)
{
	int own = -1, any = -1;
	uint32_t i = 0;
	if (!http_fields_get(f, HF_ACCEPT_ENCODING))
		return HTTP_Q_MAX;
	for (const struct http_field *line; (line = http_fields_next(f, HF_ACCEPT_ENCODING, &i)) != NULL;) {
		struct slice rest = line->value, member;
		struct preference p;
		while (http_list_next(&rest, &member)) {
			if (!read_preference(member, &p))
				continue;
			if (slice_equal(p.coding, SLICE_LIT("*")))
				any = p.q;
			else if (own < 0 &&
				 slice_equal_nocase(http_coding_less_x(p.coding), http_coding_less_x(coding)))
				own = p.q;
		}
	}
	if (own >= 0)
		return own;
	if (any >= 0)
		return any;
	return slice_equal_nocase(coding, SLICE_LIT("identity")) ? 1 : 0;
}

/* ---- Accept ---- */

/* "text/html;level=1": for less than all of that type. What stands behind the weight is no parameter of the type. */
static bool has_parameters(struct slice member)
{
	size_t n = http_length_before(member, ';');
	struct slice rest = slice_from(member, n), parameter;

	return http_split_next(&rest, ';', &parameter) && !slice_starts_with_nocase(parameter, SLICE_LIT("q="));
}

/* How closely the range is about the type: 3 for itself, 2 for its kind, 1 for all there is, 0 for something else. */
static int closeness(struct slice range, struct slice type)
{
	size_t kind = http_length_before(type, '/') + 1;

	if (slice_equal(range, SLICE_LIT("*/*")))
		return 1;
	if (range.n == kind + 1 && range.p[kind] == '*')
		return slice_equal_nocase((struct slice){range.p, kind}, (struct slice){type.p, kind}) ? 2 : 0;
	return slice_equal_nocase(range, type) ? 3 : 0;
}

int http_accept_q(const struct http_fields *f, struct slice type)
{
	int closest = 0, q = 0;
	uint32_t i = 0;

	if (!http_fields_get(f, HF_ACCEPT))
		return HTTP_Q_MAX;
	for (const struct http_field *line; (line = http_fields_next(f, HF_ACCEPT, &i)) != NULL;) {
		struct slice rest = line->value, member;
		struct preference p;

		while (http_list_next(&rest, &member)) {
			int close =
				has_parameters(member) || !read_preference(member, &p) ? 0 : closeness(p.coding, type);

			if (close > closest) {
				closest = close;
				q = p.q;
			}
		}
	}
	return q;
}
