/* SPDX-License-Identifier: MIT */
#include "http/negotiate.h"

#include "http/syntax.h"

static const struct slice star = {"*", 1};

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

/* The next of what ';' separates, trimmed; s begins behind a ';' or at the start. */
static bool next_parameter(struct slice *rest, struct slice *parameter)
{
	while (rest->n > 0) {
		size_t n = http_length_before(*rest, ';'), taken = n < rest->n ? n + 1 : n;
		*parameter = slice_trim((struct slice){rest->p, n});
		*rest = (struct slice){rest->p + taken, rest->n - taken};
		if (parameter->n > 0)
			return true;
	}
	return false;
}

static bool is_weight(struct slice parameter)
{
	return parameter.n >= 2 && http_char_lower(parameter.p[0]) == 'q' && parameter.p[1] == '=';
}

static bool read_preference(struct slice member, struct http_preference *out)
{
	size_t n = http_length_before(member, ';');
	struct slice rest = {member.p + n, member.n - n}, parameter;
	out->token = slice_trim((struct slice){member.p, n});
	out->params = rest;
	out->q = HTTP_Q_MAX;
	while (next_parameter(&rest, &parameter)) {
		if (is_weight(parameter)) {
			out->params.n = (size_t)(parameter.p - out->params.p);
			return http_qvalue_parse((struct slice){parameter.p + 2, parameter.n - 2}, &out->q);
		}
	}
	return true;
}

bool http_preference_next(struct slice *rest, struct http_preference *out)
{
	struct slice member;
	while (http_list_next(rest, &member)) {
		if (read_preference(member, out) && out->token.n > 0)
			return true;
	}
	return false;
}

/* Walks the members of all lines of a field. */
struct walk {
	const struct http_fields *f;
	enum http_field_id id;
	uint32_t i;
	struct slice rest;
};

static bool walk_next(struct walk *w, struct http_preference *out)
{
	while (!http_preference_next(&w->rest, out)) {
		const struct http_field *line = http_fields_next(w->f, w->id, &w->i);
		if (!line)
			return false;
		w->rest = line->value;
	}
	return true;
}

struct slice http_coding_less_x(struct slice coding)
{
	if (slice_equal_nocase(coding, SLICE_LIT("x-gzip")) || slice_equal_nocase(coding, SLICE_LIT("x-compress")))
		return (struct slice){coding.p + 2, coding.n - 2};
	return coding;
}

int http_accept_encoding_q(const struct http_fields *f, struct slice coding)
{
	struct walk w = {.f = f, .id = HF_ACCEPT_ENCODING, .rest = {"", 0}};
	struct http_preference p;
	int own = -1, any = -1;
	if (!http_fields_get(f, HF_ACCEPT_ENCODING))
		return HTTP_Q_MAX;
	while (walk_next(&w, &p)) {
		if (slice_equal(p.token, star))
			any = p.q;
		else if (own < 0 && slice_equal_nocase(http_coding_less_x(p.token), http_coding_less_x(coding)))
			own = p.q;
	}
	if (own >= 0)
		return own;
	if (any >= 0)
		return any;
	return slice_equal_nocase(coding, SLICE_LIT("identity")) ? 1 : 0;
}

bool http_language_matches(struct slice range, struct slice tag)
{
	if (slice_equal(range, star))
		return true;
	if (range.n == 0 || range.n > tag.n || (range.n < tag.n && tag.p[range.n] != '-'))
		return false;
	return slice_equal_nocase(range, (struct slice){tag.p, range.n});
}

bool http_language_looks_up(struct slice range, struct slice tag)
{
	if (slice_equal(range, star) || tag.n == 0 || tag.n > range.n)
		return false;
	bool is_cut = tag.n == range.n || range.p[tag.n] == '-';
	return is_cut && slice_equal_nocase((struct slice){range.p, tag.n}, tag);
}

/* How good the match is: its length over what only looks up, that over `*`; -1 none. */
static long language_rank(struct slice range, struct slice tag)
{
	if (slice_equal(range, star))
		return 0;
	if (http_language_matches(range, tag))
		return 1L << 20 | (long)range.n;
	return http_language_looks_up(range, tag) ? 1L << 10 : -1;
}

static int language_q(const struct http_fields *f, struct slice tag)
{
	struct walk w = {.f = f, .id = HF_ACCEPT_LANGUAGE, .rest = {"", 0}};
	struct http_preference p;
	long best = -1;
	int q = 0;
	while (walk_next(&w, &p)) {
		long rank = language_rank(p.token, tag);
		if (rank > best || (rank == best && rank >= 0 && p.q > q)) {
			best = rank;
			q = p.q;
		}
	}
	return q;
}

int http_accept_language_q(const struct http_fields *f, struct slice content_language)
{
	struct slice rest = content_language, tag;
	int best = 0;
	if (!http_fields_get(f, HF_ACCEPT_LANGUAGE))
		return HTTP_Q_MAX;
	while (http_list_next(&rest, &tag)) {
		int q = language_q(f, tag);
		if (q > best)
			best = q;
	}
	return best;
}

/* Is each of the range's parameters one of the type's? */
static bool has_parameters(struct slice wanted, struct slice type_params)
{
	struct slice parameter, candidate;
	while (next_parameter(&wanted, &parameter)) {
		struct slice rest = type_params;
		bool found = false;
		while (!found && next_parameter(&rest, &candidate))
			found = slice_equal_nocase(parameter, candidate);
		if (!found)
			return false;
	}
	return true;
}

/* 0 for all types, 1 for a type's, 2 for one, more by a parameter each; -1: does not match. */
static long media_rank(const struct http_preference *p, struct slice type, struct slice type_params)
{
	const char *slash = memchr(type.p, '/', type.n);
	size_t n = slash ? (size_t)(slash - type.p) + 1 : type.n;
	if (slice_equal(p->token, SLICE_LIT("*/*")))
		return 0;
	if (p->token.n == n + 1 && p->token.p[n] == '*' &&
		slice_equal_nocase((struct slice){p->token.p, n}, (struct slice){type.p, n}))
		return 1;
	if (!slice_equal_nocase(p->token, type) || !has_parameters(p->params, type_params))
		return -1;
	long rank = 2;
	struct slice rest = p->params, parameter;
	while (next_parameter(&rest, &parameter))
		rank++;
	return rank;
}

int http_accept_q(const struct http_fields *f, struct slice content_type)
{
	struct walk w = {.f = f, .id = HF_ACCEPT, .rest = {"", 0}};
	struct http_preference p;
	long best = -1;
	int q = 0;
	if (!http_fields_get(f, HF_ACCEPT))
		return HTTP_Q_MAX;
	if (content_type.n == 0)
		content_type = SLICE_LIT("");
	size_t n = http_length_before(content_type, ';');
	struct slice type = slice_trim((struct slice){content_type.p, n});
	struct slice params = {content_type.p + n, content_type.n - n};
	while (walk_next(&w, &p)) {
		long rank = media_rank(&p, type, params);
		if (rank > best) {
			best = rank;
			q = p.q;
		}
	}
	return q;
}
