/* SPDX-License-Identifier: MIT */
#include "cache/policy/graphql.h"

#include <jansson.h>

#include "base/buf.h"
#include "http/syntax.h"
#include "http/uri.h"

/* ---- Documents (GraphQL, October 2021, 2 and Appendix B) ---- */

/* What stands at a document's top level, where nothing is skipped but strings, comments and what is in brackets. */
enum token { TOKEN_END, TOKEN_NAME, TOKEN_OPEN, TOKEN_CLOSE, TOKEN_STRING, TOKEN_OTHER, TOKEN_WRONG };

struct lexer {
	struct slice rest;
	struct slice text; /* of the token */
};

static void skip(struct lexer *l, size_t n)
{
	l->rest = slice_from(l->rest, n);
}

static bool is_line_end(char c)
{
	return c == '\n' || c == '\r';
}

/* White space, commas, comments and byte order marks mean nothing between tokens. */
static void skip_ignored(struct lexer *l)
{
	while (l->rest.n > 0) {
		if (strchr(" \t\n\r,", *l->rest.p) && *l->rest.p)
			skip(l, 1);
		else if (slice_starts_with(l->rest, SLICE_LIT("\xef\xbb\xbf")))
			skip(l, 3);
		else if (*l->rest.p == '#')
			while (l->rest.n > 0 && !is_line_end(*l->rest.p))
				skip(l, 1);
		else
			return;
	}
}

static enum token take_block_string(struct lexer *l)
{
	for (skip(l, 3); l->rest.n > 0;) {
		if (slice_starts_with(l->rest, SLICE_LIT("\\\"\"\""))) {
			skip(l, 4);
		} else if (slice_starts_with(l->rest, SLICE_LIT("\"\"\""))) {
			skip(l, 3);
			return TOKEN_STRING;
		} else {
			skip(l, 1);
		}
	}
	return TOKEN_WRONG;
}

static enum token take_string(struct lexer *l)
{
	if (slice_starts_with(l->rest, SLICE_LIT("\"\"\"")))
		return take_block_string(l);
	for (skip(l, 1); l->rest.n > 0 && !is_line_end(*l->rest.p);) {
		char c = *l->rest.p;

		skip(l, c == '\\' && l->rest.n > 1 ? 2 : 1);
		if (c == '"')
			return TOKEN_STRING;
	}
	return TOKEN_WRONG;
}

static bool is_name_char(char c)
{
	return http_char_is(c, HTTP_CH_ALPHA) || http_char_is(c, HTTP_CH_DIGIT) || c == '_';
}

static enum token take(struct lexer *l)
{
	size_t n = 0;
	char c;

	skip_ignored(l);
	if (l->rest.n == 0)
		return TOKEN_END;
	c = *l->rest.p;
	if (c == '"')
		return take_string(l);
	while (n < l->rest.n && is_name_char(l->rest.p[n]))
		n++;
	l->text = (struct slice){l->rest.p, n > 0 ? n : 1};
	skip(l, l->text.n);
	if (n > 0) /* numbers too: they stand in brackets only */
		return TOKEN_NAME;
	if (c == '{' || c == '(' || c == '[')
		return TOKEN_OPEN;
	if (c == '}' || c == ')' || c == ']')
		return TOKEN_CLOSE;
	return c && strchr("!$&.:=@|-+", c) ? TOKEN_OTHER : TOKEN_WRONG;
}

/* What follows an opening bracket, up to the one that closes it. */
static bool skip_brackets(struct lexer *l)
{
	for (unsigned depth = 1; depth > 0;)
		switch (take(l)) {
		case TOKEN_OPEN:
			depth++;
			break;
		case TOKEN_CLOSE:
			depth--;
			break;
		case TOKEN_END:
		case TOKEN_WRONG:
			return false;
		default:
			break;
		}
	return true;
}

/* The rest of a definition: all up to its selection set, and that. */
static bool skip_definition(struct lexer *l)
{
	for (;;)
		switch (take(l)) {
		case TOKEN_OPEN: {
			bool is_selection = *l->text.p == '{';

			if (!skip_brackets(l))
				return false;
			if (is_selection)
				return true;
			break;
		}
		case TOKEN_NAME:
		case TOKEN_STRING:
		case TOKEN_OTHER:
			break;
		default:
			return false;
		}
}

static bool is_word(struct slice s, const char *word)
{
	return slice_equal(s, slice_of(word));
}

/* One definition. *is_operation: it is not a fragment. */
static enum graphql_kind take_definition(struct lexer *l, enum token first, bool *is_operation)
{
	enum graphql_kind kind = GRAPHQL_READS;

	*is_operation = true;
	if (first == TOKEN_STRING) /* a description */
		first = take(l);
	if (first == TOKEN_OPEN)
		return *l->text.p == '{' && skip_brackets(l) ? GRAPHQL_READS : GRAPHQL_UNKNOWN;
	if (first != TOKEN_NAME)
		return GRAPHQL_UNKNOWN;
	if (is_word(l->text, "mutation") || is_word(l->text, "subscription"))
		kind = GRAPHQL_CHANGES;
	else if (is_word(l->text, "fragment"))
		*is_operation = false;
	else if (!is_word(l->text, "query"))
		return GRAPHQL_UNKNOWN;
	return skip_definition(l) ? kind : GRAPHQL_UNKNOWN;
}

enum graphql_kind graphql_document_kind(struct slice document)
{
	struct lexer l = {.rest = document};
	enum graphql_kind kind = GRAPHQL_READS;
	bool has_operation = false, is_operation;
	enum token first;

	while ((first = take(&l)) != TOKEN_END) {
		enum graphql_kind one = take_definition(&l, first, &is_operation);

		if (one == GRAPHQL_UNKNOWN)
			return GRAPHQL_UNKNOWN;
		if (one == GRAPHQL_CHANGES)
			kind = GRAPHQL_CHANGES;
		has_operation = has_operation || is_operation;
	}
	return has_operation ? kind : GRAPHQL_UNKNOWN;
}

/* ---- Requests ---- */

/* Of two that go out together: one that changes something makes both do so, and what is not known stays so. */
static enum graphql_kind worse(enum graphql_kind a, enum graphql_kind b)
{
	if (a == GRAPHQL_CHANGES || b == GRAPHQL_CHANGES)
		return GRAPHQL_CHANGES;
	return a == GRAPHQL_UNKNOWN ? a : b;
}

enum query_name { NAME_IS_OTHER, NAME_IS_QUERY, NAME_IS_UNSURE };

/* Some servers take names in any case. And some trim them, end them at a NUL or read a '[' or '.' in them as a member
 * of "query": what these see is not what is seen here. */
static enum query_name query_name_of(struct slice name)
{
	struct slice word = name;
	size_t n = 0;

	if (slice_equal_nocase(name, SLICE_LIT("query")))
		return NAME_IS_QUERY;
	while (word.n > 0 && !is_name_char(*word.p) && *word.p != '-')
		word = slice_from(word, 1);
	while (n < word.n && (is_name_char(word.p[n]) || word.p[n] == '-'))
		n++;
	return n > 0 && slice_equal_nocase((struct slice){word.p, n}, SLICE_LIT("query")) ? NAME_IS_UNSURE
											  : NAME_IS_OTHER;
}

static enum graphql_kind object_kind(json_t *object)
{
	enum graphql_kind kind = GRAPHQL_READS;
	bool has_query = false;

	for (void *at = json_object_iter(object); at; at = json_object_iter_next(object, at)) {
		const json_t *value = json_object_iter_value(at);

		enum query_name name = query_name_of(slice_of(json_object_iter_key(at)));

		if (name == NAME_IS_OTHER)
			continue;
		if (name == NAME_IS_UNSURE || !json_is_string(value))
			return GRAPHQL_UNKNOWN;
		has_query = true;
		kind = worse(kind,
			graphql_document_kind((struct slice){json_string_value(value), json_string_length(value)}));
	}
	return has_query ? kind : GRAPHQL_UNKNOWN;
}

static enum graphql_kind json_kind(struct slice body)
{
	json_t *root = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, NULL);
	enum graphql_kind kind = json_is_object(root) ? object_kind(root) : GRAPHQL_UNKNOWN;

	if (json_is_array(root) && json_array_size(root) > 0)
		kind = GRAPHQL_READS;
	for (size_t i = 0; json_is_array(root) && i < json_array_size(root); i++) {
		json_t *one = json_array_get(root, i);

		kind = worse(kind, json_is_object(one) ? object_kind(one) : GRAPHQL_UNKNOWN);
	}
	json_decref(root);
	return kind;
}

/* Where one server splits at '&' and another at ';' as well: does either see a "query" where there is a ';'? */
static bool is_split_unsurely(struct slice form)
{
	bool has_query = false;
	struct buf name;

	if (form.n == 0 || !memchr(form.p, ';', form.n))
		return false;
	buf_init(&name, GRAPHQL_BODY_MAX);
	for (size_t at = 0, begin = 0; at <= form.n && !has_query; at++) {
		if (at < form.n && !strchr("&;=", form.p[at]))
			continue;
		buf_reset(&name);
		has_query = uri_decode_form((struct slice){form.p + begin, at - begin}, &name) != 0 ||
			    query_name_of(buf_slice(&name)) != NAME_IS_OTHER;
		begin = at + 1;
	}
	buf_fini(&name);
	return has_query;
}

/* Of the parameters "query" of a form or URL; `without`: there is none. */
static enum graphql_kind form_kind(struct slice form, enum graphql_kind without)
{
	bool is_unsure = is_split_unsurely(form), at_end = false, has_query = is_unsure;
	enum graphql_kind kind = is_unsure ? GRAPHQL_UNKNOWN : GRAPHQL_READS;
	struct uri_param param;
	struct buf name, document;

	buf_init(&name, GRAPHQL_BODY_MAX);
	buf_init(&document, GRAPHQL_BODY_MAX);
	while (uri_query_next(&form, &at_end, &param)) {
		buf_reset(&name);
		buf_reset(&document);
		enum query_name is =
			uri_decode_form(param.name, &name) ? NAME_IS_UNSURE : query_name_of(buf_slice(&name));

		if (is == NAME_IS_OTHER)
			continue;
		has_query = true;
		kind = worse(kind, is == NAME_IS_UNSURE || uri_decode_form(param.value, &document) != 0
					   ? GRAPHQL_UNKNOWN
					   : graphql_document_kind(buf_slice(&document)));
	}
	buf_fini(&document);
	buf_fini(&name);
	return has_query ? kind : without;
}

/* Content-Type without its media type: each parameter, quoted or not, that may be a charset (RFC 9110 8.3.2) is UTF-8. */
static bool is_utf8(struct slice parameters)
{
	while (parameters.n > 0) {
		struct slice one;

		(void)slice_cut(parameters, ';', &one, &parameters);
		one = slice_trim(one);
		if (slice_starts_with_nocase(one, SLICE_LIT("charset")) &&
			!slice_equal_nocase(one, SLICE_LIT("charset=utf-8")) &&
			!slice_equal_nocase(one, SLICE_LIT("charset=\"utf-8\"")))
			return false;
	}
	return true;
}

static enum graphql_kind body_kind(const struct http_fields *fields, struct slice body)
{
	struct slice parameters, type = http_media_type(fields, &parameters);

	if (http_fields_count(fields, HF_CONTENT_TYPE) > 1 || http_fields_get(fields, HF_CONTENT_ENCODING) ||
		!is_utf8(parameters) || body.n == 0 || body.n > GRAPHQL_BODY_MAX)
		return GRAPHQL_UNKNOWN;
	if (slice_equal_nocase(type, SLICE_LIT("application/graphql")))
		return graphql_document_kind(body);
	if (slice_equal_nocase(type, SLICE_LIT("application/x-www-form-urlencoded")))
		return form_kind(body, GRAPHQL_UNKNOWN);
	if (type.n == 0 || (type.n >= 5 && slice_ends_with_nocase(type, SLICE_LIT("json"))))
		return json_kind(body);
	return GRAPHQL_UNKNOWN;
}

enum graphql_kind graphql_kind_of(const struct http_request *request, struct slice body)
{
	bool has_body = request->method == HTTP_POST || request->method == HTTP_QUERY;
	enum graphql_kind by_url = request->has_query ? form_kind(request->query, GRAPHQL_READS) : GRAPHQL_READS;

	return has_body ? worse(by_url, body_kind(&request->fields, body)) : by_url;
}
