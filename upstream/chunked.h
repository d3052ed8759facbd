/* Decodes the chunked transfer coding strictly (RFC 9112 7.1), in place, and tells where it ends.
 * Thread: one at a time. Borrows: the bytes it is given. Bounds: chunk lines and trailers together CHUNK_OVERHEAD_MAX
 * bytes between two pieces of data; trailers are read and dropped. */
#ifndef UPSTREAM_CHUNKED_H
#define UPSTREAM_CHUNKED_H

#include <stdbool.h>
#include <stdint.h>

#include "base/check.h"
#include "base/slice.h"

enum { CHUNK_OVERHEAD_MAX = 16384 };

enum chunk_state {
	CHUNK_SIZE,
	CHUNK_PADDING, /* whitespace after the size: an extension or the line's end follows */
	CHUNK_EXTENSION,
	CHUNK_SIZE_LF,
	CHUNK_DATA,
	CHUNK_DATA_CR,
	CHUNK_DATA_LF,
	CHUNK_LINE, /* at the start of a trailer line or of the last, empty one */
	CHUNK_TRAILER,
	CHUNK_TRAILER_LF,
	CHUNK_LAST_LF,
	CHUNK_DONE,
};

struct chunk_decoder {
	enum chunk_state state;
	unsigned digits;
	size_t overhead;
	uint64_t left; /* of the present chunk */
};

enum chunk_result {
	CHUNK_MORE,  /* all was read */
	CHUNK_PIECE, /* *data is next; the caller takes it with chunk_take before it goes on */
	CHUNK_END,   /* the body is complete; *used bytes are it */
	CHUNK_BAD,
};

void chunk_init(struct chunk_decoder *d);
/* Reads framing from p[0..n) up to the next piece of data; *used is what was read, the piece not included. */
enum chunk_result chunk_next(
	struct chunk_decoder *d, const char *p, size_t n, size_t *used, struct slice *data) WARN_UNUSED;
void chunk_take(struct chunk_decoder *d, size_t n);

#endif
