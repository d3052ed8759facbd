/* SPDX-License-Identifier: MIT */
/* What a client prefers: of content codings, Accept-Encoding (RFC 9110 12.5.3), and of media types, Accept (12.5.1).
 * Thread: any. Borrows: what it is given. Quality values are in thousandths, 0 to 1000; 0 is "not acceptable". */
#ifndef HTTP_NEGOTIATE_H
#define HTTP_NEGOTIATE_H

#include <stdbool.h>

#include "base/slice.h"
#include "http/fields.h"

#define HTTP_Q_MAX 1000

/* Strict (12.4.2): 0 to 1, up to three decimals. False for anything else. */
bool http_qvalue_parse(struct slice s, int *q) WARN_UNUSED;

/* How much the content coding is wanted (12.5.3): the coding's own member, else that of `*`, else 0. "x-gzip" is gzip,
 * "x-compress" compress. identity is acceptable unless a member excludes it; where none names it or `*`, it comes last
 * (1). Without the field everything is acceptable (1000); with an empty one, identity only. */
int http_accept_encoding_q(const struct http_fields *f, struct slice coding);

/* How much the media type ("text/html", without parameters) is wanted (12.5.1): by the range that names it, else by that of its kind
 * ("text" and a star), else by that of all, else 0. A range with parameters is for what has these. Without the field 1000. */
int http_accept_q(const struct http_fields *f, struct slice type);

/* "gzip" for "x-gzip", "compress" for "x-compress"; others as they are (RFC 9110 8.4.1). */
struct slice http_coding_less_x(struct slice coding);

#endif
