/* SPDX-License-Identifier: MIT */
/* Heads as bytes, to be built once and written many times.
 * Thread: any. */
#ifndef HTTP_COMPOSE_H
#define HTTP_COMPOSE_H

#include "base/buf.h"
#include "http/fields.h"

/* "HTTP/1.1 200 OK" and CRLF. A status without a standard reason keeps the space before an empty one (RFC 9112 4). */
int http_status_line_append(struct buf *out, int status);
/* "Name: value" and CRLF. Values come from parsed messages or from us, so no CR or LF can be in them: one that has is our
 * mistake and is CHECKed. Both return out's error. */
int http_field_append(struct buf *out, struct slice name, struct slice value);

#endif
