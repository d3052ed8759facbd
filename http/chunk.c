/* SPDX-License-Identifier: MIT */
#include "http/chunk.h"

#include "http/syntax.h"

/* Named after what comes next. */
enum state {
	BAD,
	SIZE,
	EXT_SEMICOLON, /* whitespace after the size or after a value: only a further extension may follow */
	EXT_NAME_FIRST,
	EXT_NAME,
	EXT_AFTER_NAME, /* whitespace after a name */
	EXT_VALUE_FIRST,
	EXT_VALUE,
	EXT_QUOTED,
	EXT_QUOTED_PAIR,
	EXT_QUOTED_END,
	SIZE_LF,
	DATA,
	DATA_CR,
	DATA_LF,
	TRAILER_FIRST,
	TRAILER_NAME,
	TRAILER_VALUE,
	TRAILER_LF,
	END_LF,
	END,
};

void chunk_decoder_init(struct chunk_decoder *d, enum chunk_strictness strictness)
{
	*d = (struct chunk_decoder){.state = SIZE, .strictness = (uint8_t)strictness};
}

bool chunk_is_complete(const struct chunk_decoder *d)
{
	return d->state == END;
}

enum input { CONTROL, RETURN, SPACE, SEMICOLON, EQUALS, QUOTE, BACKSLASH, TOKEN, TEXT, INPUTS };

static enum input input_of(char c)
{
	switch (c) {
	case '\r':
		return RETURN;
	case ' ':
	case '\t':
		return SPACE;
	case ';':
		return SEMICOLON;
	case '=':
		return EQUALS;
	case '"':
		return QUOTE;
	case '\\':
		return BACKSLASH;
	default:
		return http_char_is(c, HTTP_CH_TOKEN) ? TOKEN : http_char_is(c, HTTP_CH_VALUE) ? TEXT : CONTROL;
	}
}

/* chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), RFC 9112 7.1.1. What is not here is BAD. */
static const uint8_t next_in_extension[EXT_QUOTED_END + 1][INPUTS] = {
	[EXT_SEMICOLON] = {[SPACE] = EXT_SEMICOLON, [SEMICOLON] = EXT_NAME_FIRST},
	[EXT_NAME_FIRST] = {[SPACE] = EXT_NAME_FIRST, [TOKEN] = EXT_NAME},
	[EXT_NAME] = {[TOKEN] = EXT_NAME,
		[SPACE] = EXT_AFTER_NAME,
		[EQUALS] = EXT_VALUE_FIRST,
		[SEMICOLON] = EXT_NAME_FIRST,
		[RETURN] = SIZE_LF},
	[EXT_AFTER_NAME] = {[SPACE] = EXT_AFTER_NAME, [EQUALS] = EXT_VALUE_FIRST, [SEMICOLON] = EXT_NAME_FIRST},
	[EXT_VALUE_FIRST] = {[SPACE] = EXT_VALUE_FIRST, [TOKEN] = EXT_VALUE, [QUOTE] = EXT_QUOTED},
	[EXT_VALUE] = {[TOKEN] = EXT_VALUE, [SPACE] = EXT_SEMICOLON, [SEMICOLON] = EXT_NAME_FIRST, [RETURN] = SIZE_LF},
	[EXT_QUOTED] = {[SPACE] = EXT_QUOTED,
		[SEMICOLON] = EXT_QUOTED,
		[EQUALS] = EXT_QUOTED,
		[TOKEN] = EXT_QUOTED,
		[TEXT] = EXT_QUOTED,
		[QUOTE] = EXT_QUOTED_END,
		[BACKSLASH] = EXT_QUOTED_PAIR},
	[EXT_QUOTED_PAIR] = {[SPACE] = EXT_QUOTED,
		[SEMICOLON] = EXT_QUOTED,
		[EQUALS] = EXT_QUOTED,
		[TOKEN] = EXT_QUOTED,
		[TEXT] = EXT_QUOTED,
		[QUOTE] = EXT_QUOTED,
		[BACKSLASH] = EXT_QUOTED},
	[EXT_QUOTED_END] = {[SPACE] = EXT_SEMICOLON, [SEMICOLON] = EXT_NAME_FIRST, [RETURN] = SIZE_LF},
};

static enum state on_size(struct chunk_decoder *d, char c)
{
	int digit = http_hex_value(c);
	if (digit < 0) /* a size ends as an extension's value does */
		return d->digits > 0 && !http_char_is(c, HTTP_CH_TOKEN) ? next_in_extension[EXT_VALUE][input_of(c)]
									: BAD;
	if (d->digits == 16 || d->left > (uint64_t)INT64_MAX >> 4)
		return BAD;
	d->digits++;
	d->left = d->left << 4 | (uint64_t)digit;
	return SIZE;
}

static enum state on_extension(struct chunk_decoder *d, char c)
{
	if (++d->extension_bytes > CHUNK_EXTENSIONS_MAX)
		return BAD;
	if (d->strictness == CHUNK_PADDED && d->state == EXT_SEMICOLON && c == '\r')
		return SIZE_LF;
	return next_in_extension[d->state][input_of(c)];
}

static enum state on_trailer(enum state state, char c)
{
	switch (state) {
	case TRAILER_FIRST:
		return c == '\r' ? END_LF : http_char_is(c, HTTP_CH_TOKEN) ? TRAILER_NAME : BAD;
	case TRAILER_NAME:
		return c == ':' ? TRAILER_VALUE : http_char_is(c, HTTP_CH_TOKEN) ? state : BAD;
	case TRAILER_VALUE:
		return c == '\r' ? TRAILER_LF : http_char_is(c, HTTP_CH_VALUE) ? state : BAD;
	case TRAILER_LF:
		return c == '\n' ? TRAILER_FIRST : BAD;
	default:
		return BAD;
	}
}

static enum state step(struct chunk_decoder *d, char c)
{
	enum state state = d->state;
	switch (state) {
	case SIZE:
		return on_size(d, c);
	case SIZE_LF:
		d->digits = 0;
		return c != '\n' ? BAD : d->left > 0 ? DATA : TRAILER_FIRST;
	case DATA_CR:
		return c == '\r' ? DATA_LF : BAD;
	case DATA_LF:
		return c == '\n' ? SIZE : BAD;
	case END_LF:
		return c == '\n' ? END : BAD;
	case TRAILER_FIRST:
	case TRAILER_NAME:
	case TRAILER_VALUE:
	case TRAILER_LF:
		return ++d->trailer_bytes > CHUNK_TRAILERS_MAX ? BAD : on_trailer(state, c);
	default:
		return on_extension(d, c);
	}
}

static enum chunk_result take_data(
	struct chunk_decoder *d, const char *p, size_t n, size_t *consumed, struct slice *data)
{
	size_t take = d->left < n ? (size_t)d->left : n;
	*data = (struct slice){p, take};
	*consumed += take;
	d->left -= take;
	if (d->strictness == CHUNK_PADDED)
		d->extension_bytes = 0;
	if (d->left == 0)
		d->state = DATA_CR;
	return CHUNK_DATA;
}

enum chunk_result chunk_decode(struct chunk_decoder *d, const char *p, size_t n, size_t *consumed, struct slice *data)
{
	*consumed = 0;
	while (d->state != END && d->state != BAD && *consumed < n) {
		if (d->state == DATA)
			return take_data(d, p + *consumed, n - *consumed, consumed, data);
		d->state = (uint8_t)step(d, p[*consumed]);
		if (d->state != BAD)
			(*consumed)++;
	}
	if (d->state == BAD)
		return CHUNK_BAD;
	return d->state == END ? CHUNK_END : CHUNK_MORE;
}
