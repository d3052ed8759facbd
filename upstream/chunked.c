#include "upstream/chunked.h"

#include "http/syntax.h"

void chunk_init(struct chunk_decoder *d)
{
	*d = (struct chunk_decoder){.state = CHUNK_SIZE};
}

static bool on_size_end(struct chunk_decoder *d, char c)
{
	if (c == '\r')
		d->state = CHUNK_SIZE_LF;
	else if (c == ';')
		d->state = CHUNK_EXTENSION;
	else
		d->state = CHUNK_PADDING;
	return c == '\r' || c == ';' || c == ' ' || c == '\t';
}

/* chunk-size = 1*HEXDIG; what follows is an extension, whitespace that some servers pad with, or the line's end. */
static bool on_size(struct chunk_decoder *d, char c)
{
	int digit = http_hex_value(c);

	if (digit >= 0) {
		d->left = d->left << 4 | (unsigned)digit;
		return ++d->digits <= 15;
	}
	return d->digits > 0 && on_size_end(d, c);
}

/* A line whose content we don't need, up to its CR. */
static bool on_line(struct chunk_decoder *d, char c, enum chunk_state after_cr)
{
	if (c == '\r')
		d->state = after_cr;
	return c != '\n' && c != '\0';
}

static bool on_lf(struct chunk_decoder *d, char c, enum chunk_state next)
{
	d->state = next;
	return c == '\n';
}

static bool on_byte(struct chunk_decoder *d, char c)
{
	switch (d->state) {
	case CHUNK_SIZE:
		return on_size(d, c);
	case CHUNK_PADDING:
		return on_size_end(d, c);
	case CHUNK_EXTENSION:
		return on_line(d, c, CHUNK_SIZE_LF);
	case CHUNK_SIZE_LF:
		return on_lf(d, c, d->left > 0 ? CHUNK_DATA : CHUNK_LINE);
	case CHUNK_DATA_CR:
		d->state = CHUNK_DATA_LF;
		return c == '\r';
	case CHUNK_DATA_LF:
		d->digits = 0;
		return on_lf(d, c, CHUNK_SIZE);
	case CHUNK_LINE:
		d->state = CHUNK_TRAILER;
		return on_line(d, c, CHUNK_LAST_LF);
	case CHUNK_TRAILER:
		return on_line(d, c, CHUNK_TRAILER_LF);
	case CHUNK_TRAILER_LF:
		return on_lf(d, c, CHUNK_LINE);
	case CHUNK_LAST_LF:
		return on_lf(d, c, CHUNK_DONE);
	case CHUNK_DATA:
	case CHUNK_DONE:
		break;
	}
	return false;
}

enum chunk_result chunk_next(struct chunk_decoder *d, const char *p, size_t n, size_t *used, struct slice *data)
{
	size_t i = 0;

	while (i < n && d->state != CHUNK_DATA && d->state != CHUNK_DONE) {
		if (++d->overhead > CHUNK_OVERHEAD_MAX || !on_byte(d, p[i]))
			return CHUNK_BAD;
		i++;
	}
	*used = i;
	if (d->state == CHUNK_DONE)
		return CHUNK_END;
	if (i == n)
		return CHUNK_MORE;
	*data = (struct slice){p + i, n - i < d->left ? n - i : (size_t)d->left};
	return CHUNK_PIECE;
}

void chunk_take(struct chunk_decoder *d, size_t n)
{
	CHECK(d->state == CHUNK_DATA && n <= d->left);
	d->left -= n;
	d->overhead = 0;
	if (d->left == 0)
		d->state = CHUNK_DATA_CR;
}
