/* SPDX-License-Identifier: MIT */
/* Byte ranges (RFC 9110 14): requests for them, Content-Range, the parts of a multipart/byteranges body.
 * Thread: any. Bounds: HTTP_RANGES_MAX ranges; a request for more is answered as if it had asked for none. */
#ifndef HTTP_RANGE_H
#define HTTP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/check.h"
#include "base/slice.h"

#define HTTP_RANGES_MAX 16

struct http_range {
	uint64_t first, last; /* bytes, both included */
};

struct http_ranges {
	struct http_range v[HTTP_RANGES_MAX];
	unsigned n;
};

enum http_range_result {
	HTTP_RANGE_IGNORED, /* another unit, bad syntax, too many, too much overlap: answer with the whole (14.2) */
	HTTP_RANGE_SATISFIABLE,
	HTTP_RANGE_UNSATISFIABLE, /* 416 */
};

/* A Range value against a representation of `length` bytes. Ranges that can't be satisfied are left out, ends are cut to the
 * length, two that overlap become one; the rest keep the order they were asked in. So the parts are never more than the
 * whole. More than two overlaps are ignored as an attack (14.2). Of an empty representation a suffix is the whole. */
enum http_range_result http_range_parse(struct slice value, uint64_t length, struct http_ranges *out) WARN_UNUSED;

struct http_content_range {
	bool has_range;  /* false: "bytes * /length", in a 416 */
	bool has_length; /* false: "first-last/ *" */
	struct http_range range;
	uint64_t length;
};
/* Strict (14.4): bytes only, first <= last < length. */
bool http_content_range_parse(struct slice value, struct http_content_range *out) WARN_UNUSED;
/* Appends such a value. Returns out's error. */
int http_content_range_add(struct buf *out, const struct http_content_range *range);

/* The delimiter and head of one part (14.6, RFC 2046 5.1.1); content_type may be empty. Then follow the bytes. */
int http_multipart_part_add(struct buf *out, struct slice boundary, bool is_first, struct slice content_type,
	struct http_range range, uint64_t length);
/* The closing delimiter. */
int http_multipart_end_add(struct buf *out, struct slice boundary);

#endif
