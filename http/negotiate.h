/* SPDX-License-Identifier: MIT */
/* A client's preferences: Accept, Accept-Encoding, Accept-Language (RFC 9110 12.5).
 * Thread: any. Borrows: what it is given. Quality values are in thousandths, 0 to 1000; 0 is "not acceptable". */
#ifndef HTTP_NEGOTIATE_H
#define HTTP_NEGOTIATE_H

#include <stdbool.h>

#include "base/slice.h"
#include "http/fields.h"

#define HTTP_Q_MAX 1000

struct http_preference {
	struct slice token;  /* a coding, language range or media range, as sent */
	struct slice params; /* what is between the token and the weight, from its first ';' on, or empty */
	int q;
};

/* Strict (12.4.2): 0 to 1, up to three decimals. False for anything else. */
bool http_qvalue_parse(struct slice s, int *q) WARN_UNUSED;

/* The next member of one line; those whose weight can't be read are skipped. Start with *rest = value. */
bool http_preference_next(struct slice *rest, struct http_preference *out);

/* How much the content coding is wanted (12.5.3): the coding's own member, else that of `*`, else 0. "x-gzip" is gzip,
 * "x-compress" compress. identity is acceptable unless a member excludes it; where none names it or `*`, it comes last
 * (1). Without the field everything is acceptable (1000); with an empty one, identity only. */
int http_accept_encoding_q(const struct http_fields *f, struct slice coding);

/* "gzip" for "x-gzip", "compress" for "x-compress"; others as they are (RFC 9110 8.4.1). */
struct slice http_coding_less_x(struct slice coding);

/* How much a language tag is wanted (12.5.4): the longest range that matches it (RFC 4647 3.3.1, basic filtering), else
 * the longest whose shortened form does (3.4, lookup: "de" will do for "de-CH"), else that of `*`, else 0. Without the
 * field 1000. content_language may list several: the most wanted counts. */
int http_accept_language_q(const struct http_fields *f, struct slice content_language);
/* Is the range "*", the tag itself or its beginning up to a '-'? Any case. */
bool http_language_matches(struct slice range, struct slice tag);
/* Does the range, shortened subtag by subtag from its end, become the tag (RFC 4647 3.4)? */
bool http_language_looks_up(struct slice range, struct slice tag);

/* How much a media type is wanted (12.5.1): the most specific range that matches, parameters first, then type/subtype,
 * then type/, then all. Without the field 1000. */
int http_accept_q(const struct http_fields *f, struct slice content_type);

#endif
