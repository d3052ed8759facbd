/* SPDX-License-Identifier: MIT */
/* Takes the chunked transfer coding off a body, byte stream in, slices of data out (RFC 9112 7.1). Strict: a body that
 * another parser could read differently is an error.
 * Thread: one at a time. Borrows: the bytes of each call; data points into them. Owns: nothing.
 * Bounds: CHUNK_EXTENSIONS_MAX and CHUNK_TRAILERS_MAX bytes in one body; no buffer of its own. To give a piece of data
 * back, keep a copy of the decoder from before the call and go on from that. */
#ifndef HTTP_CHUNK_H
#define HTTP_CHUNK_H

#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

#define CHUNK_EXTENSIONS_MAX \
	4096 /* from the byte after the size to before CRLF; PADDED: since the last data, else in all */
#define CHUNK_TRAILERS_MAX 8192 /* field lines with their CRLF */

enum chunk_strictness {
	CHUNK_STRICT,
	CHUNK_PADDED, /* whitespace after a size is no error: some origins write sizes of a fixed width */
};

struct chunk_decoder {
	/* private */
	uint8_t state;
	uint8_t digits;
	uint8_t strictness;
	uint32_t extension_bytes, trailer_bytes;
	uint64_t left; /* data bytes of this chunk that are still to come */
};

enum chunk_result {
	CHUNK_MORE, /* all was consumed; nothing to hand out */
	CHUNK_DATA, /* *data is a part of the body; call again with what is left */
	CHUNK_END,  /* the body is complete; the bytes from *consumed on belong to the next message */
	CHUNK_BAD,  /* not a chunked body: it can't be resynchronised, close the connection */
};

void chunk_decoder_init(struct chunk_decoder *d, enum chunk_strictness strictness);
/* Sizes: 1 to 16 hex digits, at most INT64_MAX, no sign, no 0x, nothing but a chunk extension behind them. Every CRLF is
 * exactly that. Extensions are parsed (7.1.1) and dropped; trailer fields are checked as field lines and dropped. After
 * END or BAD the same response is given again, with nothing consumed. */
enum chunk_result chunk_decode(
	struct chunk_decoder *d, const char *p, size_t n, size_t *consumed, struct slice *data) WARN_UNUSED;
bool chunk_is_complete(const struct chunk_decoder *d); /* END was reached */
/* Data bytes of the chunk under way that are still to come: a size is a promise that a bound can be held against before
 * the bytes are here. */
static inline uint64_t chunk_expects(const struct chunk_decoder *d)
{
	return d->left;
}

#endif
