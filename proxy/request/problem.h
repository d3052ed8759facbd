/* SPDX-License-Identifier: MIT */
/* What a client reads of an error of ours: problem details (RFC 9457), or HTML where it prefers that, or the operator's file.
 * Thread: any; pure. Borrows: what it is given. */
#ifndef PROXY_REQUEST_PROBLEM_H
#define PROXY_REQUEST_PROBLEM_H

#include "base/buf.h"
#include "config/config.h"
#include "http/fields.h"

/* What went wrong, in our own words. */
struct response_problem {
	int status;
	const char *detail; /* a constant, in which nothing needs escaping */
	const char *error;  /* a proxy error type (RFC 9209 2.3) */
	int retry_after_s;  /* below 0: no Retry-After */
	struct slice id;    /* of the request: a token, by which the log can be searched; empty: none */
	enum config_proxy_status proxy_status; /* what Proxy-Status says of it */
	struct slice next_hop;                 /* the upstream's name; empty: none was to be asked */
	const struct config_pages *pages;      /* NULL: none */
};

/* Appends the body that suits the request's Accept, and gives its media type. Errors are `to`'s. */
struct slice problem_body(struct buf *to, const struct response_problem *p, const struct http_fields *request);

#endif
