/* SPDX-License-Identifier: MIT */
/* The characters that HTTP's grammar is made of, and the pieces that several parsers share.
 * Thread: any. Borrows: what it is given; nothing is kept. */
#ifndef HTTP_SYNTAX_H
#define HTTP_SYNTAX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

enum {
	HTTP_CH_TOKEN = 1,  /* tchar, RFC 9110 5.6.2 */
	HTTP_CH_TARGET = 2, /* visible ASCII but '#': what a request-target may hold here (see message.h) */
	HTTP_CH_VALUE = 4,  /* field-vchar, SP, HTAB: RFC 9110 5.5 */
	HTTP_CH_DIGIT = 8,
	HTTP_CH_HEX = 16,
	HTTP_CH_REGNAME = 32, /* unreserved / sub-delims, without the comma: RFC 3986 3.2.2 */
	HTTP_CH_ALPHA = 64,
	HTTP_CH_QDTEXT = 128, /* inside a quoted-string, unescaped: RFC 9110 5.6.4 */
};

extern const uint8_t http_char_class[256];

static inline bool http_char_is(char c, unsigned classes)
{
	return (http_char_class[(unsigned char)c] & classes) != 0;
}

static inline int http_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = ascii_lower(c);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Every byte is of one of the classes; true for an empty slice. */
bool http_all_of(struct slice s, unsigned classes);
/* 1*tchar */
bool http_is_token(struct slice s);

/* The first byte in [p, end) that a field value can't hold (a control character or DEL), or end. */
const char *http_value_end(const char *p, const char *end);

/* A field line without its CRLF (RFC 9112 5): a token, a colon right after it, a value, trimmed. False for anything
 * else: a folded line, an empty name, whitespace before the colon, control characters. */
bool http_field_line_split(struct slice line, struct slice *name, struct slice *value) WARN_UNUSED;

/* 1*DIGIT of at most INT64_MAX (RFC 9110 8.6): no sign, no list, no space. */
bool http_content_length_parse(struct slice s, uint64_t *bytes) WARN_UNUSED;

/* Bytes of s before the first `separator` that is not in a quoted-string; all of s where there is none. One whose end is missing runs
 * to the end of s. */
size_t http_length_before(struct slice s, char separator);
bool http_has_open_quote(struct slice s); /* is the end of a quoted-string missing? */
/* The next of what is separated so, trimmed; empty ones are passed over. Start with *rest = all; false at the end. */
bool http_split_next(struct slice *rest, char separator, struct slice *part);
/* Takes a quoted-string from the front of *rest; *inner is what is between the quotes, still escaped. False, and nothing
 * taken, when there is none that ends. */
bool http_quoted_take(struct slice *rest, struct slice *inner) WARN_UNUSED;

#endif
