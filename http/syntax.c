/* SPDX-License-Identifier: MIT */
#include "http/syntax.h"

#define IS_DIGIT(c) ((c) >= '0' && (c) <= '9')
#define IS_ALPHA(c) (((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define IS_HEX(c) (IS_DIGIT(c) || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define IS_ALNUM(c) (IS_DIGIT(c) || IS_ALPHA(c))
#define IS_VISIBLE(c) ((c) > 0x20 && (c) < 0x7F)
#define IS_TOKEN(c)                                                                                               \
	(IS_ALNUM(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' || (c) == '\'' ||      \
		(c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' || (c) == '_' || (c) == '`' || \
		(c) == '|' || (c) == '~')
#define IS_REGNAME(c)                                                                                              \
	(IS_ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~' || (c) == '!' || (c) == '$' ||        \
		(c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' || (c) == '*' || (c) == '+' || (c) == ';' || \
		(c) == '=')
#define IS_VALUE(c) ((c) == '\t' || ((c) >= 0x20 && (c) != 0x7F))

#define CLASS(c)                                                                                  \
	((IS_TOKEN(c) ? HTTP_CH_TOKEN : 0) | (IS_VISIBLE(c) && (c) != '#' ? HTTP_CH_TARGET : 0) | \
		(IS_VALUE(c) ? HTTP_CH_VALUE : 0) | (IS_DIGIT(c) ? HTTP_CH_DIGIT : 0) |           \
		(IS_HEX(c) ? HTTP_CH_HEX : 0) | (IS_REGNAME(c) ? HTTP_CH_REGNAME : 0) |           \
		(IS_ALPHA(c) ? HTTP_CH_ALPHA : 0) | (IS_VALUE(c) && (c) != '"' && (c) != '\\' ? HTTP_CH_QDTEXT : 0))
#define CLASS4(c) CLASS(c), CLASS((c) + 1), CLASS((c) + 2), CLASS((c) + 3)
#define CLASS16(c) CLASS4(c), CLASS4((c) + 4), CLASS4((c) + 8), CLASS4((c) + 12)
#define CLASS64(c) CLASS16(c), CLASS16((c) + 16), CLASS16((c) + 32), CLASS16((c) + 48)

const uint8_t http_char_class[256] = {CLASS64(0), CLASS64(64), CLASS64(128), CLASS64(192)};

bool http_all_of(struct slice s, unsigned classes)
{
	for (size_t i = 0; i < s.n; i++) {
		if (!http_char_is(s.p[i], classes))
			return false;
	}
	return true;
}

bool http_is_token(struct slice s)
{
	return s.n > 0 && http_all_of(s, HTTP_CH_TOKEN);
}

#define BYTES(x) (~0ULL / 255 * (x))

/* The lowest set bit is in the first byte that is below 0x20 or is 0x7F; higher bits may be wrong (borrows run upward). */
static inline uint64_t control_bytes(uint64_t w)
{
	uint64_t del = w ^ BYTES(0x7F);
	return (((w - BYTES(0x20)) & ~w) | ((del - BYTES(0x01)) & ~del)) & BYTES(0x80);
}

const char *http_value_end(const char *p, const char *end)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	while (end - p >= 8) {
		uint64_t w;
		memcpy(&w, p, 8);
		uint64_t hit = control_bytes(w);
		if (hit == 0) {
			p += 8;
			continue;
		}
		p += __builtin_ctzll(hit) >> 3;
		if (*p != '\t')
			return p;
		p++;
	}
#endif
	while (p < end && http_char_is(*p, HTTP_CH_VALUE))
		p++;
	return p;
}

bool http_field_line_split(struct slice line, struct slice *name, struct slice *value)
{
	if (line.n == 0)
		return false;
	const char *p = line.p, *end = slice_end(line);
	while (p < end && http_char_is(*p, HTTP_CH_TOKEN))
		p++;
	if (p == line.p || p == end || *p != ':')
		return false;
	if (http_value_end(p, end) != end)
		return false;
	*name = (struct slice){line.p, (size_t)(p - line.p)};
	*value = slice_trim((struct slice){p + 1, (size_t)(end - p - 1)});
	return true;
}

bool http_content_length_parse(struct slice s, uint64_t *bytes)
{
	uint64_t v = 0;
	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		unsigned digit = (unsigned)(unsigned char)s.p[i] - '0';
		if (digit > 9 || v > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		v = v * 10 + digit;
	}
	*bytes = v;
	return true;
}

enum { NO_SEPARATOR = -1 };

/* *is_quoted: a quoted-string is open where it ends. */
static size_t length_before(struct slice s, int separator, bool *is_quoted)
{
	*is_quoted = false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"')
			*is_quoted = !*is_quoted;
		else if (*is_quoted && s.p[i] == '\\')
			i++;
		else if (!*is_quoted && (unsigned char)s.p[i] == separator)
			return i;
	}
	return s.n;
}

size_t http_length_before(struct slice s, char separator)
{
	bool is_quoted;

	return length_before(s, (unsigned char)separator, &is_quoted);
}

bool http_has_open_quote(struct slice s)
{
	bool is_quoted;

	(void)length_before(s, NO_SEPARATOR, &is_quoted);
	return is_quoted;
}

bool http_split_next(struct slice *rest, char separator, struct slice *part)
{
	while (rest->n > 0) {
		size_t n = http_length_before(*rest, separator), taken = n < rest->n ? n + 1 : n;

		*part = slice_trim((struct slice){rest->p, n});
		*rest = slice_from(*rest, taken);
		if (part->n > 0)
			return true;
	}
	return false;
}

bool http_quoted_take(struct slice *rest, struct slice *inner)
{
	if (rest->n == 0 || rest->p[0] != '"')
		return false;
	for (size_t i = 1; i < rest->n; i++) {
		if (rest->p[i] == '\\') {
			i++;
		} else if (rest->p[i] == '"') {
			*inner = (struct slice){rest->p + 1, i - 1};
			*rest = slice_from(*rest, i + 1);
			return true;
		}
	}
	return false;
}
