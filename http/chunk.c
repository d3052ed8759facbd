#include "http/chunk.h"

#include "http/syntax.h"

/* Named after what comes next. */
enum state {
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
	BAD,
};

void chunk_decoder_init(struct chunk_decoder *d)
{
	*d = (struct chunk_decoder){.state = SIZE};
}

static bool is_bws(char c)
{
	return c == ' ' || c == '\t';
}

/* After a complete size, name or value; `on_space` is where whitespace leads. */
static enum state after_element(char c, enum state on_space)
{
	if (c == '\r')
		return SIZE_LF;
	if (c == ';')
		return EXT_NAME_FIRST;
	return is_bws(c) ? on_space : BAD;
}

static enum state on_size(struct chunk_decoder *d, char c)
{
	int digit = http_hex_value(c);
	if (digit < 0)
		return d->digits > 0 ? after_element(c, EXT_SEMICOLON) : BAD;
	if (d->digits == 16 || d->left > (uint64_t)INT64_MAX >> 4)
		return BAD;
	d->digits++;
	d->left = d->left << 4 | (uint64_t)digit;
	return SIZE;
}

/* chunk-ext = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] ), RFC 9112 7.1.1 */
static enum state on_extension(enum state state, char c)
{
	bool is_token = http_char_is(c, HTTP_CH_TOKEN);
	switch (state) {
	case EXT_SEMICOLON:
		return c == ';' ? EXT_NAME_FIRST : is_bws(c) ? state : BAD;
	case EXT_NAME_FIRST:
		return is_token ? EXT_NAME : is_bws(c) ? state : BAD;
	case EXT_NAME:
		return is_token ? state : c == '=' ? EXT_VALUE_FIRST : after_element(c, EXT_AFTER_NAME);
	case EXT_AFTER_NAME:
		return c == '=' ? EXT_VALUE_FIRST : c == ';' ? EXT_NAME_FIRST : is_bws(c) ? state : BAD;
	case EXT_VALUE_FIRST:
		return is_token ? EXT_VALUE : c == '"' ? EXT_QUOTED : is_bws(c) ? state : BAD;
	case EXT_VALUE:
		return is_token ? state : after_element(c, EXT_SEMICOLON);
	case EXT_QUOTED:
		if (c == '"')
			return EXT_QUOTED_END;
		return c == '\\' ? EXT_QUOTED_PAIR : http_char_is(c, HTTP_CH_QDTEXT) ? state : BAD;
	case EXT_QUOTED_PAIR:
		return http_char_is(c, HTTP_CH_VALUE) ? EXT_QUOTED : BAD;
	case EXT_QUOTED_END:
		return after_element(c, EXT_SEMICOLON);
	default:
		return BAD;
	}
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
		return ++d->extension_bytes > CHUNK_EXTENSIONS_MAX ? BAD : on_extension(state, c);
	}
}

static enum chunk_result take_data(
	struct chunk_decoder *d, const char *p, size_t n, size_t *consumed, struct slice *data)
{
	size_t take = d->left < n ? (size_t)d->left : n;
	*data = (struct slice){p, take};
	*consumed += take;
	d->left -= take;
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
