/* SPDX-License-Identifier: MIT */
#include "http/sf.h"

#include <errno.h>

#include "http/syntax.h"

static char peek(const struct slice *s)
{
	return s->n > 0 ? s->p[0] : '\0';
}

static void skip(struct slice *s, size_t n)
{
	*s = slice_from(*s, n);
}

static void skip_spaces(struct slice *s)
{
	while (s->n > 0 && s->p[0] == ' ')
		skip(s, 1);
}

static void skip_ows(struct slice *s)
{
	while (s->n > 0 && (s->p[0] == ' ' || s->p[0] == '\t'))
		skip(s, 1);
}

/* What was taken from `from` until rest begins. */
static struct slice between(struct slice from, struct slice rest)
{
	return (struct slice){from.p, from.n - rest.n};
}

static bool is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

/* RFC 9651 4.2.3.3 */
static bool take_key(struct slice *s, struct slice *key)
{
	struct slice from = *s;
	if (s->n == 0 || (!is_lower(s->p[0]) && s->p[0] != '*'))
		return false;
	while (s->n > 0 && (is_lower(s->p[0]) || http_char_is(s->p[0], HTTP_CH_DIGIT) || s->p[0] == '_' ||
				   s->p[0] == '-' || s->p[0] == '.' || s->p[0] == '*'))
		skip(s, 1);
	*key = between(from, *s);
	return true;
}

/* At most `max` of them, so that *value can't overflow. */
static unsigned take_digits(struct slice *s, unsigned max, int64_t *value)
{
	unsigned digits = 0;
	while (s->n > 0 && http_char_is(s->p[0], HTTP_CH_DIGIT) && digits < max) {
		*value = *value * 10 + (s->p[0] - '0');
		digits++;
		skip(s, 1);
	}
	return digits;
}

/* RFC 9651 4.2.4: up to 15 digits, or up to 12 before the point and 1 to 3 behind it. */
static bool take_number(struct slice *s, struct sf_item *item)
{
	struct slice from = *s;
	bool is_negative = peek(s) == '-';
	int64_t value = 0;
	if (is_negative)
		skip(s, 1);
	unsigned digits = take_digits(s, 16, &value);
	item->type = SF_INTEGER;
	if (digits == 0 || digits > 15)
		return false;
	if (peek(s) == '.') {
		skip(s, 1);
		unsigned fraction = digits <= 12 ? take_digits(s, 4, &value) : 0;
		if (fraction == 0 || fraction > 3)
			return false;
		for (; fraction < 3; fraction++)
			value *= 10;
		item->type = SF_DECIMAL;
	}
	item->integer = is_negative ? -value : value;
	item->text = between(from, *s);
	return true;
}

static bool take_date(struct slice *s, struct sf_item *item)
{
	skip(s, 1);
	if (!take_number(s, item) || item->type != SF_INTEGER)
		return false;
	item->type = SF_DATE;
	return true;
}

/* RFC 9651 4.2.5 */
static bool take_string(struct slice *s, struct sf_item *item)
{
	skip(s, 1);
	struct slice from = *s;
	item->type = SF_STRING;
	for (; s->n > 0; skip(s, 1)) {
		unsigned char c = (unsigned char)s->p[0];
		if (c == '"') {
			item->text = between(from, *s);
			skip(s, 1);
			return true;
		}
		if (c < 0x20 || c > 0x7E)
			return false;
		if (c != '\\')
			continue;
		skip(s, 1);
		if (peek(s) != '"' && peek(s) != '\\')
			return false;
	}
	return false;
}

static bool take_token(struct slice *s, struct sf_item *item)
{
	struct slice from = *s;
	item->type = SF_TOKEN;
	while (s->n > 0 && (http_char_is(s->p[0], HTTP_CH_TOKEN) || s->p[0] == ':' || s->p[0] == '/'))
		skip(s, 1);
	item->text = between(from, *s);
	return true;
}

/* RFC 9651 4.2.7, with padding as it comes. */
static bool take_bytes(struct slice *s, struct sf_item *item)
{
	skip(s, 1);
	struct slice from = *s;
	item->type = SF_BYTES;
	while (s->n > 0 && s->p[0] != ':') {
		if (!http_char_is(s->p[0], HTTP_CH_ALPHA | HTTP_CH_DIGIT) && !strchr("+/=", s->p[0]))
			return false;
		if (s->p[0] == '\0')
			return false;
		skip(s, 1);
	}
	if (s->n == 0)
		return false;
	item->text = between(from, *s);
	skip(s, 1);
	return true;
}

static bool take_boolean(struct slice *s, struct sf_item *item)
{
	skip(s, 1);
	item->type = SF_BOOLEAN;
	if (peek(s) != '0' && peek(s) != '1')
		return false;
	item->boolean = s->p[0] == '1';
	skip(s, 1);
	return true;
}

/* A byte of a display string, from *s; percent-encoding is in lower case only (RFC 9651 4.2.10). -EINVAL: not one. */
static int take_display_byte(struct slice *s)
{
	unsigned char c = (unsigned char)s->p[0];
	skip(s, 1);
	if (c < 0x20 || c > 0x7E)
		return -EINVAL;
	if (c != '%')
		return c;
	if (s->n < 2 || http_hex_value(s->p[0]) < 0 || http_hex_value(s->p[1]) < 0 ||
		(s->p[0] >= 'A' && s->p[0] <= 'F') || (s->p[1] >= 'A' && s->p[1] <= 'F'))
		return -EINVAL;
	int byte = http_hex_value(s->p[0]) * 16 + http_hex_value(s->p[1]);
	skip(s, 2);
	return byte;
}

/* UTF-8 byte by byte (RFC 3629): how many continuation bytes are due, and the bounds of the next one. */
struct utf8 {
	int due, low, high;
};

static bool utf8_step(struct utf8 *u, int byte)
{
	if (u->due > 0) {
		bool is_good = byte >= u->low && byte <= u->high;
		*u = (struct utf8){u->due - 1, 0x80, 0xBF};
		return is_good;
	}
	if (byte < 0x80)
		return true;
	if (byte < 0xC2 || byte > 0xF4)
		return false;
	*u = (struct utf8){byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3, 0x80, 0xBF};
	if (byte == 0xE0)
		u->low = 0xA0; /* else overlong */
	else if (byte == 0xED)
		u->high = 0x9F; /* else a surrogate */
	else if (byte == 0xF0)
		u->low = 0x90;
	else if (byte == 0xF4)
		u->high = 0x8F; /* else above U+10FFFF */
	return true;
}

static bool take_display_string(struct slice *s, struct sf_item *item)
{
	struct utf8 utf8 = {0};
	skip(s, 1);
	if (peek(s) != '"')
		return false;
	skip(s, 1);
	struct slice from = *s;
	item->type = SF_DISPLAY_STRING;
	while (s->n > 0 && s->p[0] != '"') {
		int byte = take_display_byte(s);
		if (byte < 0 || !utf8_step(&utf8, byte))
			return false;
	}
	if (s->n == 0 || utf8.due > 0)
		return false;
	item->text = between(from, *s);
	skip(s, 1);
	return true;
}

/* RFC 9651 4.2.3.1, without parameters */
static bool take_bare_item(struct slice *s, struct sf_item *item)
{
	char c = peek(s);
	*item = (struct sf_item){.text = {"", 0}, .params = {"", 0}};
	if (c == '-' || http_char_is(c, HTTP_CH_DIGIT))
		return take_number(s, item);
	if (c == '*' || http_char_is(c, HTTP_CH_ALPHA))
		return take_token(s, item);
	switch (c) {
	case '"':
		return take_string(s, item);
	case ':':
		return take_bytes(s, item);
	case '?':
		return take_boolean(s, item);
	case '@':
		return take_date(s, item);
	case '%':
		return take_display_string(s, item);
	default:
		return false;
	}
}

/* One ";key[=value]" at the front: 1, none: 0, or -EINVAL. */
static int take_param(struct slice *s, struct slice *key, struct sf_item *value)
{
	if (peek(s) != ';')
		return 0;
	skip(s, 1);
	skip_spaces(s);
	if (!take_key(s, key))
		return -EINVAL;
	*value = (struct sf_item){.type = SF_BOOLEAN, .boolean = true, .text = {"", 0}, .params = {"", 0}};
	if (peek(s) != '=')
		return 1;
	skip(s, 1);
	return take_bare_item(s, value) ? 1 : -EINVAL;
}

static bool take_params(struct slice *s, struct slice *params)
{
	struct slice from = *s, key;
	struct sf_item value;
	int rc;
	do
		rc = take_param(s, &key, &value);
	while (rc == 1);
	*params = between(from, *s);
	return rc == 0;
}

static bool take_item(struct slice *s, struct sf_item *item)
{
	return take_bare_item(s, item) && take_params(s, &item->params);
}

/* RFC 9651 4.2.1.2: items between parentheses, with spaces between them. */
static bool take_inner_list(struct slice *s, struct sf_item *item)
{
	*item = (struct sf_item){.type = SF_INNER_LIST, .text = {"", 0}, .params = {"", 0}};
	skip(s, 1);
	struct slice from = *s;
	for (;;) {
		struct sf_item inner;
		skip_spaces(s);
		if (peek(s) == ')')
			break;
		if (!take_item(s, &inner) || (peek(s) != ' ' && peek(s) != ')'))
			return false;
	}
	item->text = between(from, *s);
	skip(s, 1);
	return take_params(s, &item->params);
}

static bool take_member(struct slice *s, struct sf_item *member)
{
	return peek(s) == '(' ? take_inner_list(s, member) : take_item(s, member);
}

static struct slice strip_spaces(struct slice s)
{
	skip_spaces(&s);
	while (s.n > 0 && s.p[s.n - 1] == ' ')
		s.n--;
	return s;
}

void sf_parser_init(struct sf_parser *parser, struct slice value)
{
	*parser = (struct sf_parser){.rest = strip_spaces(value), .is_first = true};
}

/* The comma before every member but the first: 1 a member must follow, 0 the end, -EINVAL. */
static int begin_member(struct sf_parser *parser)
{
	bool is_first = parser->is_first;
	parser->is_first = false;
	if (is_first)
		return parser->rest.n > 0;
	skip_ows(&parser->rest);
	if (parser->rest.n == 0)
		return 0;
	if (peek(&parser->rest) != ',')
		return -EINVAL;
	skip(&parser->rest, 1);
	skip_ows(&parser->rest);
	return parser->rest.n > 0 ? 1 : -EINVAL;
}

int sf_dict_next(struct sf_parser *parser, struct slice *key, struct sf_item *value)
{
	struct slice *s = &parser->rest;
	int rc = begin_member(parser);
	if (rc != 1)
		return rc;
	if (!take_key(s, key))
		return -EINVAL;
	if (peek(s) == '=') {
		skip(s, 1);
		return take_member(s, value) ? 1 : -EINVAL;
	}
	*value = (struct sf_item){.type = SF_BOOLEAN, .boolean = true, .text = {"", 0}, .params = {"", 0}};
	return take_params(s, &value->params) ? 1 : -EINVAL;
}

int sf_list_next(struct sf_parser *parser, struct sf_item *member)
{
	int rc = begin_member(parser);
	if (rc != 1)
		return rc;
	return take_member(&parser->rest, member) ? 1 : -EINVAL;
}

int sf_param_next(struct sf_parser *parser, struct slice *key, struct sf_item *value)
{
	if (parser->rest.n == 0)
		return 0;
	return take_param(&parser->rest, key, value) == 1 ? 1 : -EINVAL;
}

bool sf_dict_valid(struct slice value)
{
	struct sf_parser parser;
	struct slice key;
	struct sf_item item;
	int rc;
	sf_parser_init(&parser, value);
	while ((rc = sf_dict_next(&parser, &key, &item)) == 1)
		;
	return rc == 0;
}

bool sf_list_valid(struct slice value)
{
	struct sf_parser parser;
	struct sf_item item;
	int rc;
	sf_parser_init(&parser, value);
	while ((rc = sf_list_next(&parser, &item)) == 1)
		;
	return rc == 0;
}

int sf_string_unescape(const struct sf_item *item, struct buf *out)
{
	for (size_t i = 0; i < item->text.n; i++) {
		if (item->text.p[i] == '\\')
			i++;
		buf_add_char(out, item->text.p[i]);
	}
	return out->err;
}
