/* SPDX-License-Identifier: MIT */
#include "cache/memory/store_filter.h"

#include <errno.h>

#include "base/mem.h"

/* ---- By the head ---- */

bool store_filter_looks(const struct cache_rules *rules, int status)
{
	return rules->store_if != CACHE_STORE_ANY && (status == 200 || status == 206);
}

bool store_filter_allows_head(const struct cache_rules *rules, int status, const struct http_fields *fields)
{
	/* A part, or what is coded, can't be looked into. */
	return !store_filter_looks(rules, status) ||
	       (status == 200 && http_media_type_is_json(http_media_type(fields, NULL)) &&
		       !http_fields_get(fields, HF_CONTENT_ENCODING));
}

/* ---- JSON (RFC 8259), byte by byte ---- */

/* As deep as jansson reads it, which most that read it later are built on or are like. */
#define DEPTH_MAX 2048

enum state {
	VALUE,
	VALUE_OR_END, /* of an array */
	KEY,
	KEY_OR_END, /* of an object */
	COLON,
	AFTER, /* a value */
	STRING,
	ESCAPE,
	HEX,
	LOW_BACKSLASH, /* the second half of a pair of surrogates has to come */
	LOW_U,
	MINUS,
	ZERO,
	DIGITS,
	POINT,
	FRACTION,
	EXPONENT,
	EXPONENT_SIGN,
	EXPONENT_DIGITS,
	WORD,
	WRONG,
};

struct store_filter {
	bool is_graphql, has_errors;
	enum state state;
	unsigned depth;
	uint64_t is_object[DEPTH_MAX / 64]; /* bit by depth */
	const char *word;                   /* of WORD: what has to come */
	/* of strings */
	bool is_key;
	unsigned utf8_left;                /* bytes of a character that have to come */
	unsigned char utf8_low, utf8_high; /* between which the next of them lies */
	unsigned hex_n, hex,
		high;     /* of HEX: digits so far and what they say; the first of a pair of surrogates, or 0 */
	const char *rest; /* of the key "errors": what has to come; NULL: it is another one */
};

static bool is_in_object(const struct store_filter *f)
{
	return f->depth > 0 && (f->is_object[(f->depth - 1) / 64] >> (f->depth - 1) % 64 & 1);
}

static enum state open_level(struct store_filter *f, bool is_object)
{
	uint64_t *bits = &f->is_object[f->depth / 64], bit = UINT64_C(1) << f->depth % 64;

	if (f->depth == DEPTH_MAX)
		return WRONG;
	*bits = is_object ? *bits | bit : *bits & ~bit;
	f->depth++;
	return is_object ? KEY_OR_END : VALUE_OR_END;
}

static enum state close_level(struct store_filter *f, bool is_object)
{
	if (f->depth == 0 || is_in_object(f) != is_object)
		return WRONG;
	f->depth--;
	return AFTER;
}

static enum state begin_string(struct store_filter *f, bool is_key)
{
	f->is_key = is_key;
	f->rest = is_key && f->depth == 1 ? "errors" : NULL;
	f->high = 0;
	return STRING;
}

static enum state begin_word(struct store_filter *f, const char *rest)
{
	f->word = rest;
	return WORD;
}

static enum state begin_value(struct store_filter *f, unsigned char c)
{
	/* A response of GraphQL is an object. */
	if (f->is_graphql && f->depth == 0 && c != '{')
		return WRONG;
	switch (c) {
	case '{':
		return open_level(f, true);
	case '[':
		return open_level(f, false);
	case '"':
		return begin_string(f, false);
	case 't':
		return begin_word(f, "rue");
	case 'f':
		return begin_word(f, "alse");
	case 'n':
		return begin_word(f, "ull");
	case '-':
		return MINUS;
	case '0':
		return ZERO;
	default:
		return c >= '1' && c <= '9' ? DIGITS : WRONG;
	}
}

static enum state after_value(struct store_filter *f, unsigned char c)
{
	if (c == ',' && f->depth > 0)
		return is_in_object(f) ? KEY : VALUE;
	return c == '}' ? close_level(f, true) : c == ']' ? close_level(f, false) : WRONG;
}

/* ---- Strings ---- */

static void note_character(struct store_filter *f, unsigned c)
{
	if (f->rest)
		f->rest = *f->rest && (unsigned char)*f->rest == c ? f->rest + 1 : NULL;
}

static enum state end_string(struct store_filter *f)
{
	f->has_errors |= f->is_key && f->rest && !*f->rest;
	return f->is_key ? COLON : AFTER;
}

/* RFC 3629 4: the bytes that may follow. */
static enum state begin_character(struct store_filter *f, unsigned char c)
{
	f->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
	f->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
	f->utf8_left = c >= 0xc2 && c <= 0xdf ? 1 : (c & 0xf0) == 0xe0 ? 2 : c >= 0xf0 && c <= 0xf4 ? 3 : 0;
	note_character(f, 0x80);
	return f->utf8_left > 0 ? STRING : WRONG;
}

static enum state in_string(struct store_filter *f, unsigned char c)
{
	if (f->utf8_left > 0) {
		if (c < f->utf8_low || c > f->utf8_high)
			return WRONG;
		f->utf8_left--;
		f->utf8_low = 0x80;
		f->utf8_high = 0xbf;
		return STRING;
	}
	if (c == '"')
		return end_string(f);
	if (c == '\\')
		return ESCAPE;
	if (c >= 0x80)
		return begin_character(f, c);
	note_character(f, c);
	return c >= ' ' ? STRING : WRONG;
}

static enum state in_escape(struct store_filter *f, unsigned char c)
{
	f->hex_n = f->hex = 0;
	if (c == 'u')
		return HEX;
	/* None of those is in "errors". */
	note_character(f, 0x80);
	return c == '"' || c == '\\' || c == '/' || c == 'b' || c == 'f' || c == 'n' || c == 'r' || c == 't' ? STRING
													     : WRONG;
}

/* A surrogate is half of a character (RFC 8259 7). */
static enum state end_hex(struct store_filter *f)
{
	bool is_high = f->hex >= 0xd800 && f->hex < 0xdc00, is_low = f->hex >= 0xdc00 && f->hex < 0xe000;

	if (is_low != (f->high > 0))
		return WRONG;
	f->high = is_high ? f->hex : 0;
	if (is_high)
		return LOW_BACKSLASH;
	note_character(f, is_low ? 0x80 : f->hex);
	return STRING;
}

static enum state in_hex(struct store_filter *f, unsigned char c)
{
	unsigned lower = c | 0x20u;
	unsigned digit = c >= '0' && c <= '9'           ? c - (unsigned)'0'
			 : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10u
							: 16u;

	if (digit == 16)
		return WRONG;
	f->hex = f->hex << 4 | digit;
	return ++f->hex_n == 4 ? end_hex(f) : HEX;
}

/* ---- Numbers ---- */

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

/* Where it may end it ends with what comes next. */
static enum state end_number(struct store_filter *f, unsigned char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' ? AFTER : after_value(f, c);
}

static enum state in_number(struct store_filter *f, unsigned char c)
{
	switch (f->state) {
	case MINUS:
		return c == '0' ? ZERO : is_digit(c) ? DIGITS : WRONG;
	case ZERO:
	case DIGITS:
		if (is_digit(c))
			return f->state == DIGITS ? DIGITS : WRONG;
		return c == '.' ? POINT : (c | 0x20) == 'e' ? EXPONENT : end_number(f, c);
	case POINT:
		return is_digit(c) ? FRACTION : WRONG;
	case FRACTION:
		return is_digit(c) ? FRACTION : (c | 0x20) == 'e' ? EXPONENT : end_number(f, c);
	case EXPONENT:
		return c == '+' || c == '-' ? EXPONENT_SIGN : is_digit(c) ? EXPONENT_DIGITS : WRONG;
	case EXPONENT_SIGN:
		return is_digit(c) ? EXPONENT_DIGITS : WRONG;
	default:
		return is_digit(c) ? EXPONENT_DIGITS : end_number(f, c);
	}
}

/* ---- All of it ---- */

static enum state in_word(struct store_filter *f, unsigned char c)
{
	if ((unsigned char)*f->word != c)
		return WRONG;
	return *++f->word ? WORD : AFTER;
}

static enum state between(struct store_filter *f, unsigned char c)
{
	if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
		return f->state;
	switch (f->state) {
	case VALUE_OR_END:
		return c == ']' ? close_level(f, false) : begin_value(f, c);
	case KEY_OR_END:
		if (c == '}')
			return close_level(f, true);
		return c == '"' ? begin_string(f, true) : WRONG;
	case KEY:
		return c == '"' ? begin_string(f, true) : WRONG;
	case COLON:
		return c == ':' ? VALUE : WRONG;
	case AFTER:
		return after_value(f, c);
	default:
		return begin_value(f, c);
	}
}

static enum state next(struct store_filter *f, unsigned char c)
{
	switch (f->state) {
	case STRING:
		return in_string(f, c);
	case ESCAPE:
		return in_escape(f, c);
	case HEX:
		return in_hex(f, c);
	case LOW_BACKSLASH:
		return c == '\\' ? LOW_U : WRONG;
	case LOW_U:
		f->hex_n = f->hex = 0;
		return c == 'u' ? HEX : WRONG;
	case MINUS:
	case ZERO:
	case DIGITS:
	case POINT:
	case FRACTION:
	case EXPONENT:
	case EXPONENT_SIGN:
	case EXPONENT_DIGITS:
		return in_number(f, c);
	case WORD:
		return in_word(f, c);
	case WRONG:
		return WRONG;
	default:
		return between(f, c);
	}
}

int store_filter_begin(const struct cache_rules *rules, int status, struct store_filter **out)
{
	*out = NULL;
	if (!store_filter_looks(rules, status))
		return 0;
	*out = mem_zalloc(sizeof(**out));
	if (!*out)
		return -ENOMEM;
	(*out)->is_graphql = rules->store_if == CACHE_STORE_GRAPHQL;
	return 0;
}

void store_filter_feed(struct store_filter *f, const void *p, size_t n)
{
	const unsigned char *at = p;

	for (size_t i = 0; i < n && f->state != WRONG; i++)
		f->state = next(f, at[i]);
}

bool store_filter_allows(const struct store_filter *f)
{
	bool ends = f->state == AFTER || f->state == ZERO || f->state == DIGITS || f->state == FRACTION ||
		    f->state == EXPONENT_DIGITS;

	return ends && f->depth == 0 && !(f->is_graphql && f->has_errors);
}

void store_filter_free(struct store_filter **f)
{
	mem_free(*f);
	*f = NULL;
}
