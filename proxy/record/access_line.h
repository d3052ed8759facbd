/* SPDX-License-Identifier: MIT */
/* How one line of the access log looks. Every byte that came from outside is escaped, so that a line stays a line and a
 * reader's terminal stays as it was; nothing of Authorization or Cookie is ever read here.
 * Thread: any. Borrows: the record. Bounds: a value is cut at ACCESS_VALUE_MAX bytes after escaping, never inside an
 * escape or a character; a line has at most ACCESS_LINE_MAX. */
#ifndef PROXY_RECORD_ACCESS_LINE_H
#define PROXY_RECORD_ACCESS_LINE_H

#include "base/slice.h"
#include "config/config.h"
#include "proxy/record/access_log.h"

enum {
	ACCESS_VALUE_MAX = 2048,
	ACCESS_VALUES = 9, /* that come from outside, in the longer format */
	ACCESS_LINE_MAX = ACCESS_VALUES * ACCESS_VALUE_MAX + 1024,
};

/* Writes the line with its newline and returns its length; no allocation.
 * COMBINED: client - - [date] "METHOD target HTTP/1.x" status bytes "referer" "user-agent" cache= route= upstream= total= id= [error=]
 *           times in seconds, "-" for what there is none of; the date in the local time zone.
 * JSON:     one object with the same members on every line, null for what there is none of; times in ms, the date in UTC. */
size_t access_line_format(enum config_log_format format, const struct access_record *r, char line[ACCESS_LINE_MAX]);

/* upstream: from the end of the request's head to the head of the upstream's response, where this request asked it itself;
 * bytes: of the body, as far as the client's socket took them.
 *
 * The client's X-Request-ID when it is a token of at most 128 bytes, else empty. */
struct slice access_request_id(const struct http_request *r);
/* That, or else `id` as 16 hexadecimal digits in `text`. */
struct slice access_id(const struct http_request *r, uint64_t id, char text[17]);

#endif
