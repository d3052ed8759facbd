/* SPDX-License-Identifier: MIT */
/* Was a response asked for? 206, 304, 412 and 416 make sense only to a request that brought a range or a condition (RFC 9110
 * 15.3.7, 15.4.5, 15.5.13, 15.5.17). To any other request they are a fault of the origin, and of no use to the client.
 * Thread: any. Borrows: what it is given. */
#ifndef HTTP_ASKED_H
#define HTTP_ASKED_H

#include <stdbool.h>

#include "http/fields.h"
#include "http/message.h"

enum http_asked {
	HTTP_ASKED_304 = 1 << 0,
	HTTP_ASKED_412 = 1 << 1,
	HTTP_ASKED_PART = 1 << 2, /* 206, and 416 */
};

/* What a request asks for: a set of enum http_asked. Fields that servers of their own kind use as conditions or ranges count
 * (WebDAV's If and Overwrite, X-Goog-If-Generation-Match, X-Ms-Range). If-None-Match and If-Modified-Since of GET and HEAD ask
 * for no 412. */
unsigned http_asked(enum http_method method, const struct http_fields *request);

/* A 206 or 416 counts only if its unit is bytes and its method GET or HEAD: some APIs say 206 of pages of a list, and 416 with a
 * Content-Range of another unit. A 416 without Content-Range is of bytes. */
bool http_was_asked_for(unsigned asked, enum http_method method, int status, const struct http_fields *response);

#endif
